"""Pictures read from a folder while a model trains, by worker processes: for sets larger than memory."""

import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vqvae_course.data import SPLIT_SIZES, Batch, Batches, ImageSet, as_float
from vqvae_course.folders import DataUnavailable, PictureFiles, folder_name, list_folder
from vqvae_course.runtime import send
from vqvae_course.sources import must_have_shape, read_picture

PATIENCE = 16  # unreadable pictures in a row: then it is the disk, not the pictures
PEEK_PART = 50  # pictures that a worker reads at a time for ``peek``


class FolderStream:
    """An endless stream of shuffled batches of pictures that are read when their turn comes.

    It gives the very batches of ``Batches`` over the same folder in memory, and its state fits there
    too. A picture that cannot be read is replaced by the next one in the folder, with a warning, so
    that it does not end a run of hours.

    Args:
        folder: ``folder:PATH``, or the path alone; laid out as for ``load_images``.
        size: Side in pixels that all pictures are brought to; None takes them as they are, if they
            are all of one size.
        batch_size: Examples a batch, over all processes of a distributed run.
        split: ``train`` or ``test``.
        workers: Processes that read ahead; with 0, pictures are read when a batch is asked for.
        generator: Where the orders come from, on the CPU; None means a new one with seed 0. The first
            order is drawn from it, the others from a copy.
        device: Where the batches go.
        shard: (rank, size) where several processes share each batch, as for ``Batches``; each reads only
            its own part.

    Attributes:
        labels: (N,) int64, of all pictures of the split.
        name: Name of the folder.

    Raises:
        ValueError: If an argument is out of range.
        DataUnavailable: If the folder is not as it must be, or its first pictures cannot be read.
            While it runs: if too many pictures in a row cannot be read, their sizes differ and
            ``size`` is None, or a worker was killed.
    """

    def __init__(
        self,
        folder: str | Path,
        size: int | None,
        batch_size: int,
        split: str = "train",
        workers: int = 2,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        shard: tuple[int, int] = (0, 1),
    ):
        self._reader = _Reader(folder, split, size, workers)
        self.labels, self.name = self._reader.labels, self._reader.name
        self.batch_size, self.device, self.shard = batch_size, device, shard
        # Stands where the batches handed out end. What the workers are given runs ahead, on a copy.
        self._done = self._numbers(generator)
        self._done.generator = _copy(self._done.generator)  # nobody else draws from it, or the two would part
        self._incoming: Iterator[ImageSet] | None = None

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._incoming is None:
            ahead = self._numbers(torch.Generator())
            ahead.load_state_dict(self._done.state_dict())
            self._incoming = self._reader.read(_rows(ahead))
        try:
            read = next(self._incoming)
        except BaseException:  # also an impatient reader's: the next batch asked for is this one again
            self.close()
            raise
        next(self._done)
        return Batch(as_float(send(read.images, self.device)), send(read.labels, self.device))

    def state_dict(self) -> dict:
        """Return what ``load_state_dict`` needs to continue with the very next batch.

        What the workers have read ahead does not count.
        """
        return self._done.state_dict()

    def load_state_dict(self, state: dict) -> None:
        """Continue where ``state_dict`` was taken, by this class or by ``Batches``.

        Raises:
            ValueError: If the state belongs to another number of pictures.
        """
        self._done.load_state_dict(state)
        self.close()

    def peek(self, count: int) -> ImageSet:
        """Read a random sample of the split, always the same, and leave the stream where it is.

        Enough to estimate the variance of the data, and to start a codebook.

        Args:
            count: Pictures; all of the split if it has fewer.

        Returns:
            An ``ImageSet`` of (count, 3, H, W) uint8 in memory.

        Raises:
            ValueError: If ``count`` is below 1.
            DataUnavailable: As the stream.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(0))[:count]
        images, labels = [], []
        for part in self._reader.read(rows.tolist() for rows in order.split(PEEK_PART)):
            images.append(part.images.clone())  # what comes from a worker fills shared memory until it is freed
            labels.append(part.labels)
        return ImageSet(torch.cat(images), torch.cat(labels), self.name)

    def close(self) -> None:
        """End the workers; the next batch asked for starts new ones, which continue."""
        self._incoming = None

    def _numbers(self, generator: torch.Generator | None) -> Batches:
        """Return batches of the pictures' numbers in place of the pictures."""
        numbers = ImageSet(torch.arange(len(self.labels)), self.labels, self.name)
        return Batches(numbers, self.batch_size, generator, shard=self.shard)


def stream_parts(
    folder: str | Path, split: str = "train", size: int | None = None, workers: int = 2, part: int = 500
) -> Iterator[ImageSet]:
    """Read a whole split once, in its own order, a part at a time.

    A picture that cannot be read is left out, with a warning.

    Args:
        folder: ``folder:PATH``, or the path alone; laid out as for ``load_images``.
        split: ``train`` or ``test``.
        size: Side in pixels that all pictures are brought to; None takes them as they are.
        workers: Processes that read ahead, a part each and one more in store.
        part: Pictures at a time.

    Returns:
        An iterator of ``ImageSet``, (part, 3, H, W) uint8 each; the last may be smaller.

    Raises:
        ValueError: If an argument is out of range.
        DataUnavailable: As ``FolderStream``.
    """
    if part < 1:
        raise ValueError(f"part must be at least 1, got {part}")
    reader = _Reader(folder, split, size, workers, replace=False)
    rows = torch.arange(len(reader.labels)).split(part)
    return reader.read(few.tolist() for few in rows)


class _Read(NamedTuple):
    """What a worker sends: pictures (B, 3, H, W) uint8, their labels, and a sentence on each it could not read."""

    images: Tensor | np.ndarray
    labels: list[int]  # a tensor would hold a file open until it is freed
    unreadable: list[str]


class _Pictures(Dataset):
    """The pictures of a folder; indexed by a list of rows, it reads them."""

    def __init__(self, files: PictureFiles, size: int | None, replace: bool, share: bool):
        # One block of bytes: counting references to a million strings would copy them into every worker.
        self.paths = np.array([os.fsencode(path) for path in files.paths])
        self.labels = files.labels.numpy()
        self.size = size
        self.replace = replace
        self.share = share  # with another process
        self.shape: tuple[int, ...] | None = None
        self.shape = tuple(self._first_readable(0, [])[1].shape)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: list[int]) -> _Read | str:
        try:
            return self.read(rows)
        except DataUnavailable as error:
            return str(error)  # raised by the parent: torch would put a traceback into the sentence

    def read(self, rows: list[int]) -> _Read:
        pictures, labels, unreadable = [], [], []
        for row in rows:
            found, picture = self._first_readable(row, unreadable)
            if self.replace or found == row:
                pictures.append(picture)
                labels.append(int(self.labels[found]))
        images = torch.stack(pictures) if pictures else torch.empty(0)
        return _Read(_shared(images) if self.share else images, labels, unreadable)

    def _first_readable(self, row: int, unreadable: list[str]) -> tuple[int, Tensor]:
        """Return the first picture from this row on that can be read, and its row; note the others."""
        tries = min(PATIENCE, len(self))
        for found in (np.arange(row, row + tries) % len(self)).tolist():
            path = os.fsdecode(self.paths[found])
            try:
                picture = read_picture(path, self.size)
            except DataUnavailable as error:
                unreadable.append(str(error))
                continue
            must_have_shape(path, picture, self.shape or picture.shape)
            return found, picture
        raise DataUnavailable(f"{tries} pictures in a row cannot be read. The last of them: {unreadable[-1]}")


class _Reader:
    """Reads the pictures of a folder by their numbers, with workers, and warns once of each that is damaged."""

    def __init__(self, folder: str | Path, split: str, size: int | None, workers: int, replace: bool = True):
        path = str(folder).removeprefix("folder:")
        if not path:
            raise ValueError("folder must give a path, got none")
        if split not in SPLIT_SIZES:
            raise ValueError(f'split must be "train" or "test", got {split!r}')
        if size is not None and size < 8:
            raise ValueError(f"size must be at least 8 pixels, got {size}")
        if workers < 0:
            raise ValueError(f"workers must not be negative, got {workers}")
        place = Path(path).expanduser()
        files = list_folder(place, split)
        self.labels, self.name = files.labels, folder_name(place)
        self.workers = workers
        self.pictures = _Pictures(files, size, replace, share=workers > 0)
        self.warned: set[str] = set()

    def read(self, rows: Iterable[list[int]]) -> Iterator[ImageSet]:
        """Yield the pictures at each list of rows; unreadable ones are replaced or left out."""
        replace = self.pictures.replace
        loader = DataLoader(
            self.pictures,
            sampler=rows,
            batch_size=None,  # a row of the sampler is a whole batch
            collate_fn=_as_it_is,
            num_workers=self.workers,
            prefetch_factor=None if not self.workers else 2 if replace else 1,
            worker_init_fn=_leave_signals,
            generator=torch.Generator(),  # else torch would draw from the global one whenever workers start
        )
        with _own_signals():
            incoming = iter(loader)
        try:
            while (read := next(incoming, None)) is not None:
                if isinstance(read, str):
                    raise DataUnavailable(read)
                for sentence in read.unreadable:
                    if sentence not in self.warned:
                        self.warned.add(sentence)
                        instead = "The next picture takes its place." if replace else "It is left out."
                        warnings.warn(f"{sentence} {instead}", stacklevel=3)
                if read.labels:
                    yield ImageSet(torch.as_tensor(read.images), torch.tensor(read.labels), self.name)
        except RuntimeError as error:
            if "DataLoader worker (pid" not in str(error):
                raise
            raise DataUnavailable(
                f"A process that read pictures was ended from outside, most likely because memory ran out ({error}). "
                "Use fewer workers, or none (workers=0), or smaller batches; in a container, allow it more memory "
                "and more shared memory (docker run --shm-size=8g)."
            ) from error
        finally:
            # Torch ends workers when nothing refers to them any more, but the traceback of an error does.
            getattr(incoming, "_shutdown_workers", lambda: None)()


def _shared(images: Tensor) -> Tensor | np.ndarray:
    """Move pictures to shared memory; where that is full, return an array, which goes through a pipe instead.

    Left to torch, this would happen when the batch is sent: it would be lost, and the parent wait forever.
    """
    try:
        return images.share_memory_()
    except RuntimeError:
        return images.numpy()


def _as_it_is(read: _Read | str) -> _Read | str:
    return read


def _leave_signals(worker: int) -> None:
    """Leave it to the parent what to do when someone asks all processes to stop: it ends its workers itself.

    Left alone, each worker would do what the parent does, such as to print that it stops. And a worker that ends
    before its parent does would turn a stop with a checkpoint into an error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))  # asked twice, it ends


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep torch from handling the signal that a child process ended, and Ctrl-C from workers that are just starting.

    Torch's handler raises an error wherever the program happens to be at that moment, such as within a
    training step. Without it, the next wait for a batch finds the worker dead, after seconds.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    child = getattr(signal, "SIGCHLD", None)  # not on Windows
    before = signal.getsignal(child) if child and threading.current_thread() is threading.main_thread() else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(child, before)
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)  # workers keep what they began with


def _copy(generator: torch.Generator) -> torch.Generator:
    copy = torch.Generator()
    copy.set_state(generator.get_state())
    return copy


def _rows(numbers: Batches) -> Iterator[list[int]]:
    """Yield the rows of each batch. No method of the stream, or a cycle would keep its workers alive."""
    for batch in numbers:
        yield batch.x.tolist()
