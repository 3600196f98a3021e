"""The folder of a run: where everything is, what is written down about it, and that only one process writes."""

import csv
import io
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torchvision
from filelock import FileLock, Timeout
from tqdm import tqdm

import vqvae_course
from vqvae_course.folders import LOCK, named
from vqvae_course.history import History
from vqvae_course.runtime import half_written, whole_file
from vqvae_course.train import LEVEL_NAMES

LEVELS = ("", *sorted({f"_{name}" for names in LEVEL_NAMES.values() for name in names}))
OWN_FILES = (
    *("train.json", "model.pt", "model.csv", "evaluation.json"),
    *(f"prior{level}.{kind}" for level in LEVELS for kind in ("json", "pt", "csv")),
    *(f"codes/{split}{level}.npz" for level in LEVELS for split in ("train", "test")),
    *("onnx/encoder.onnx", "onnx/decoder.onnx", "onnx/export.json", *(f"onnx/prior{level}.onnx" for level in LEVELS)),
)


OWN_PICTURES = tuple(
    f"pictures/{name}.png"
    for name in ("reconstructions", "own", *(f"samples_{codes}" for codes in ("prior", "uniform", "unigram")))
)


class RunError(ValueError):
    """A folder is no run, not far enough, or in use."""


class Run:
    """The folder of a run.

    - ``train.json``: options of stage 1, the data's shape, versions; enough to repeat it.
    - ``model.pt`` and ``model.csv``: the last checkpoint of stage 1, and what was measured while training.
    - ``codes/``: index maps and labels, one file a split and level.
    - ``prior*.json``, ``prior*.pt`` and ``prior*.csv``: the same for the prior, or for that of each level.
    - ``pictures/``: PNG files.
    - ``tensorboard/``: if asked for.
    - ``evaluation.json``: what ``evaluate`` measured.
    - ``onnx/``: what ``export`` wrote.

    Args:
        folder: It need not be there yet.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def __str__(self) -> str:
        return shlex.quote(str(self.folder))  # as it is typed on a command line

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other processes from writing here meanwhile. However this process ends, the claim ends with it.

        Raises:
            RunError: If another process has it, or it can be no folder of a run.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise RunError(f"out must be a folder, got {self.folder}, where a file is: pass another --out") from None
        except PermissionError as error:
            raise RunError(self._forbidden(error)) from error
        lock = FileLock(self._lock(), timeout=0)
        try:
            lock.acquire()
        except PermissionError as error:
            raise RunError(self._forbidden(error)) from error
        except Timeout:
            raise RunError(
                f"{self.folder} is in use by another process: wait until it ends, or choose another --out"
            ) from None
        try:
            self._tidy()
            yield
        finally:
            lock.release()

    def _forbidden(self, error: OSError) -> str:
        return f"out must be a folder that you may write to, got {self.folder} ({error.strerror}): pass another --out"

    def _lock(self) -> Path:
        """Return the file to lock. Some versions of filelock empty it, which somebody else's must not suffer.

        Raises:
            RunError: If it is somebody else's.
        """
        path = self.folder / LOCK
        held = (
            path.is_file() and path.stat().st_size > 0 and not self.has_begun()
        )  # where locks are files, ours are too
        if path.is_symlink() or path.is_dir() or held:
            raise RunError(
                f"{path} must be an empty file, with which this command keeps others from writing here, got something "
                "else: pass another --out"
            )
        return path

    def has_begun(self) -> bool:
        """Say whether a run was started here, and not merely another program has a ``train.json`` here."""
        try:
            self.read_json("train.json", "train")
        except (RunError, OSError):
            return False
        return True

    def must_write_over_nothing(self) -> None:
        """Raise ``RunError`` if a run that starts here would write over files that are none of a run's."""
        if self.has_begun():
            return
        theirs = [name for name in (*OWN_FILES, *OWN_PICTURES) if os.path.lexists(self.folder / name)]
        if theirs:
            raise RunError(
                f"{self.folder} must hold no files called like those of a run, got {named(theirs)}, and no train.json "
                "of this command that says whose they are: pass another --out, or move them away"
            )

    def _tidy(self) -> None:
        """Delete what a killed process left half written of this run's own files; nobody else writes them now.

        By exact name and place: other runs may lie below, and a folder may hold much that is none of ours.
        """
        if not self.has_begun():  # so nothing here can be its own
            return
        for name in OWN_FILES:
            for left in half_written(self.folder / name):
                left.unlink(missing_ok=True)

    def need(self, name: str, command: str) -> Path:
        """Return the path of a file that an earlier command makes.

        Raises:
            RunError: If it is not there.
        """
        path = self.folder / name
        if not path.exists():
            raise RunError(f"{path} is missing: run `vqvae-course {command} --out {self}` first")
        return path

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file, whole or not at all."""
        with whole_file(self.folder / name) as file:
            file.write((json.dumps(content, indent=2, default=str) + "\n").encode())

    def read_json(self, name: str, command: str) -> dict[str, Any]:
        """Read a JSON file with the options of an earlier command.

        Raises:
            RunError: If it is missing or damaged.
        """
        path = self.need(name, command)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunError(f"{path} must be JSON, got something damaged ({error})") from error
        if not isinstance(content, dict) or not isinstance(content.get("options"), dict):
            raise RunError(f"{path} must hold the options of a run, got something else: start a new run")
        return content


def environment(device: torch.device) -> dict[str, Any]:
    """Return what else a result depends on: versions and machine."""
    return {
        "vqvae_course": vqvae_course.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
    }


def as_plain(options: Any) -> dict[str, Any]:
    """Return a dataclass of options as values that JSON knows."""
    return json.loads(json.dumps(asdict(options), default=str))


class HistoryFile:
    """The training history as a table, one row an entry, which grows while a run goes on.

    The first call writes the file anew, so that rows which a cut-off run wrote after its last checkpoint go.

    Args:
        path: A CSV file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows: int | None = None

    def __call__(self, history: History) -> None:
        """Write the entries that are not there yet."""
        if not history.steps:
            return
        table = [[step, *(values[row] for values in history.values.values())] for row, step in enumerate(history.steps)]
        if self.rows is None:
            with whole_file(self.path) as file:
                file.write(_as_csv([["update", *history.values], *table]).encode())
        else:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                file.write(_as_csv(table[self.rows :]))
        self.rows = len(table)


def _as_csv(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def images_bar(total: int | None = None) -> tqdm:
    """Return a progress bar that counts images, with images a second and the time left."""
    return tqdm(total=total, unit=" images", leave=False, file=sys.stdout, mininterval=0.5)


def say(*lines: str) -> None:
    """Print lines at once, also where the output goes into a file."""
    print(*lines, sep="\n", flush=True)
