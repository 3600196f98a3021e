"""What is measured while a model trains: the history, and who writes it."""

import time
from dataclasses import asdict, dataclass, field
from math import isfinite

import torch
from torch import Tensor

from vqvae_course.distributed import total, world


@dataclass
class History:
    """What was measured while training.

    Attributes:
        steps: The update at which each entry was written.
        values: One list per quantity, as long as ``steps``; each entry is a mean over the updates
            since the one before.
        seconds: Time spent in updates, over all sessions of a resumed run.
        images: Examples seen.
        recent: In a checkpoint between two entries: what the next one is made of so far.
    """

    steps: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    images: int = 0
    recent: dict = field(default_factory=dict)

    def __getitem__(self, name: str) -> list[float]:
        return self.values[name]

    @property
    def images_per_second(self) -> float:
        """Examples seen per second of training."""
        return self.images / self.seconds if self.seconds else 0.0


class Recorder:
    """Writes a history. What is logged is summed up in tensors, so that a GPU need not wait between two entries.

    Args:
        saved: The history of a checkpoint to continue; None starts a new one.

    Raises:
        ValueError: If a checkpoint has another history.
    """

    def __init__(self, saved: dict | None = None):
        self.sums: dict[str, Tensor] = {}
        self.count = 0
        try:
            self.history = History(**(saved or {}))
            if recent := self.history.recent:  # the first process takes the sums of all
                self.sums = {name: int(world().rank == 0) * summed for name, summed in recent["sums"].items()}
                self.count = recent["count"]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"checkpoint must hold the history of a run to continue, got another ({error})") from error
        self.started = self.last_entry = time.perf_counter()
        self.images_before = self.history.images

    def add(self, logs: dict[str, Tensor], images: int) -> None:
        """Take in one update: what its step logged, and the examples it saw in this process."""
        for name, value in logs.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach()
        self.count += 1
        self.history.images += images * world().size

    def write(self, update: int) -> None:
        """Write an entry: the means over the updates since the one before.

        Raises:
            FloatingPointError: If one is no finite number.
        """
        means = self._means(update)
        self.history.steps.append(update)
        for name, mean in means.items():
            self.history.values.setdefault(name, []).append(mean)
        self.sums, self.count = {}, 0
        now = time.perf_counter()
        self.history.seconds, self.last_entry = self.history.seconds + now - self.last_entry, now

    def state_dict(self, update: int) -> dict:
        """Return the history for a checkpoint, with what the next entry is made of so far.

        Raises:
            FloatingPointError: If that is not finite, or the last good checkpoint would be overwritten with NaN.
        """
        self._means(update)
        sums = {name: total(summed).cpu() for name, summed in self.sums.items()}
        self.history.recent = {"sums": sums, "count": self.count}
        return asdict(self.history)

    def speed(self) -> str:
        """Return the examples a second of this session, and the last loss, for a progress bar."""
        rate = (self.history.images - self.images_before) / (time.perf_counter() - self.started)
        loss = f", loss {self.history['loss'][-1]:.4g}" if self.history.steps else ""
        return f"{rate:,.0f} images/s{loss}"

    def _means(self, update: int) -> dict[str, float]:
        """Return the means over the updates and processes, which must be finite."""
        if not self.count:
            return {}
        device = next(iter(self.sums.values())).device
        sums = torch.stack([summed.to(device).reshape(()) for summed in self.sums.values()])
        sums = total(sums).cpu().tolist()  # one look at the GPU, not one a quantity
        means = {name: summed / (self.count * world().size) for name, summed in zip(self.sums, sums, strict=True)}
        if not all(map(isfinite, means.values())):
            raise FloatingPointError(
                f"the loss must stay finite, got {means} by update {update}: lower lr, set clip, or look at the data"
            )
        return means
