"""What both training commands do around ``fit``: stop cleanly, write down what happens, show pictures."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from vqvae_course.cli.run import HistoryFile, Run, say
from vqvae_course.distributed import world
from vqvae_course.history import History
from vqvae_course.train import Step, TrainConfig, fit

PICTURE_EVERY = 500  # updates between two sets of pictures on TensorBoard


class Stop:
    """Whether someone asked to stop; asked twice, the process ends at once."""

    def __init__(self) -> None:
        self.asked = False
        self.since = 0.0

    def __call__(self) -> bool:
        """Say whether someone did."""
        return self.asked

    @contextmanager
    def on_signals(self) -> Iterator["Stop"]:
        """Take Ctrl-C, and the polite request of a system that shuts down, as a wish to save and stop."""
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and time.monotonic() - self.since > 2:  # a launcher passes on what the terminal sent already
            raise KeyboardInterrupt("stopped at once; the last checkpoint is whole")
        if not self.asked:
            self.asked, self.since = True, time.monotonic()
            if world().rank == 0:
                say("", "Stopping after this update, with a checkpoint. Ctrl-C once more stops at once.")


class Board:
    """TensorBoard: every entry of the history, and from time to time pictures and the usage of codes.

    Args:
        folder: Where TensorBoard looks.
        pictures: Returns name to (N, C, H, W) images in [0, 1].
        usage: Returns name to the indices that some images choose.

    Raises:
        ValueError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path, pictures: Callable[[], dict[str, Tensor]], usage: Callable[[], dict[str, Tensor]]):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ValueError(
                "--tensorboard must find the package tensorboard, which is not installed here: "
                "python -m pip install tensorboard"
            ) from error
        self.open = lambda step: SummaryWriter(str(folder), purge_step=step)
        self.writer: Any = None
        self.pictures, self.usage = pictures, usage
        self.rows = 0

    def __call__(self, history: History) -> None:
        """Write the entries that are not there yet."""
        if not history.steps:
            return
        if self.writer is None:
            self.writer = self.open(history.steps[-1])  # what a run that was cut off wrote later goes
            self.rows = max(0, len(history.steps) - 1)
        for row in range(self.rows, len(history.steps)):
            for name, values in history.values.items():
                self.writer.add_scalar(name, values[row], history.steps[row])
        if self.rows == 0 or history.steps[-1] // PICTURE_EVERY > history.steps[self.rows - 1] // PICTURE_EVERY:
            for name, images in self.pictures().items():
                self.writer.add_images(name, images, history.steps[-1])
            for name, indices in self.usage().items():
                self.writer.add_histogram(name, indices, history.steps[-1])
        self.rows = len(history.steps)

    def close(self) -> None:
        """Write what is still in memory."""
        if self.writer is not None:
            self.writer.close()


def announce(model: nn.Module, data: str, training: TrainConfig, batch_size: int, device: torch.device) -> None:
    """Print what will be trained, on what, and where."""
    weights = sum(weight.numel() for weight in model.parameters())
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    processes = f", {world().size} processes" if world().size > 1 else ""
    say(
        f"{type(model).__name__} with {weights:,} weights on {data}; {training.steps:,} updates of {batch_size}.",
        f"Device: {where}, {torch.get_num_threads()} CPU threads, {training.precision}{processes}.",
    )


def fit_in(
    run: Run,
    name: str,
    model: nn.Module,
    batches: Iterable,
    step: Step,
    config: TrainConfig,
    board: Board | None = None,
    about: Callable[[], None] | None = None,
) -> History:
    """Run ``fit`` with its checkpoint and history in the folder of a run.

    Args:
        run: The folder.
        name: Of both files, ``NAME.pt`` and ``NAME.csv``.
        model: What to train.
        batches: An endless stream.
        step: The step function.
        config: How to train.
        board: TensorBoard, or None.
        about: Writes down with which options; called once it is certain that they fit what is to be resumed.

    Raises:
        KeyboardInterrupt: If someone asked to stop; the checkpoint is written.
    """
    checkpoint = run / f"{name}.pt"
    watchers = [HistoryFile(run / f"{name}.csv"), *([board] if board else [])] if world().rank == 0 else []
    resumes = config.resume and checkpoint.exists()
    if about and not resumes:
        about()

    def on_entry(history: History) -> None:
        nonlocal resumes
        if about and resumes:  # the first call of a resumed run: what was asked for fits the checkpoint
            about()
        resumes = False
        for watcher in watchers:
            watcher(history)

    try:
        with Stop().on_signals() as stop:
            config = replace(config, checkpoint=str(checkpoint))
            history = fit(model, batches, step, config, on_entry, stop)
    finally:
        if board:
            board.close()
    if history.steps[-1] < config.steps:
        raise KeyboardInterrupt(
            f"stopped after update {history.steps[-1]} of {config.steps}; --resume goes on from there"
        )
    return history


def report(history: History) -> None:
    """Print how fast a training was and where it ended."""
    ended = ", ".join(f"{name} {values[-1]:.4g}" for name, values in history.values.items())
    say(
        f"{history.steps[-1]:,} updates in {history.seconds:.0f} s, {history.images_per_second:,.0f} images/s. "
        f"The last entry: {ended}."
    )
