"""Data sets by name, held as uint8 tensors, and batches drawn from them by index."""

import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vqvae_course.folders import folder_name
from vqvae_course.glyphs import draw_glyphs
from vqvae_course.runtime import device_of, eval_mode, send, whole_file
from vqvae_course.scenes import draw_scenes
from vqvae_course.sources import TORCHVISION, DataUnavailable, load_folder, load_torchvision

BUILT_IN = ("glyphs", "scenes")
SPLIT_SIZES = {"train": 20_000, "test": 4_000}  # of the built-in sets
SPLIT_SEEDS = {"train": 0, "test": 1}  # train and test are different draws


class ImageSet(NamedTuple):
    """A data set in memory.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        name: What it is called in titles and tables.
    """

    images: Tensor
    labels: Tensor
    name: str

    def take(self, rows: slice | Tensor) -> "ImageSet":
        """Return the images and labels at these rows, under the same name."""
        return self._replace(images=self.images[rows], labels=self.labels[rows])


class CodeSet(NamedTuple):
    """A data set after stage 1: each image as its index map.

    Attributes:
        indices: (N, h, w) int64.
        labels: (N,) int64.
        name: Name of the image set.
        above: In a hierarchy, the index maps of the levels above, top first, (N, h', w') int64 each.
        classes: What the labels are called, for a folder of pictures, in the order of their numbers.
    """

    indices: Tensor
    labels: Tensor
    name: str
    above: tuple[Tensor, ...] = ()
    classes: tuple[str, ...] = ()


class Batch(NamedTuple):
    """A few examples.

    Attributes:
        x: (B, C, H, W) float images in [0, 1], or (B, h, w) int64 index maps.
        labels: (B,) int64.
    """

    x: Tensor
    labels: Tensor


class LevelBatch(NamedTuple):
    """A few examples of a lower level of a hierarchy.

    Attributes:
        x: (B, h, w) int64 index maps.
        labels: (B,) int64.
        above: The index maps of the levels above, top first, (B, h', w') int64 each.
    """

    x: Tensor
    labels: Tensor
    above: tuple[Tensor, ...]


def as_float(images: Tensor) -> Tensor:
    """Scale uint8 images to float32 in [0, 1]; leave anything else as it is."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def load_images(name: str, split: str = "train", root: str | Path | None = None, size: int | None = None) -> ImageSet:
    """Load a data set into memory.

    Args:
        name: ``glyphs`` or ``scenes`` (built in; ``scenes`` has 32x32 pixels unless ``size`` says
            otherwise), ``mnist``, ``fashion_mnist`` or ``cifar10`` (found under ``root``, else
            downloaded there), or ``folder:PATH`` (one sub-folder of pictures a class, below
            ``PATH/train`` and ``PATH/test`` where those exist, under these or the other usual names).
        split: ``train`` or ``test``. A folder without such sub-folders gives every tenth picture to
            the test split.
        root: Folder of the data sets; None means ``VQVAE_COURSE_DATA``, or a cache folder.
        size: Side in pixels for ``scenes`` and ``folder:PATH``; pictures are resized and their
            middle is cut out.

    Returns:
        An ``ImageSet``; the same call gives the same tensors.

    Raises:
        ValueError: If a name or an argument is not one of these.
        DataUnavailable: If the data are missing, damaged, unreadable, of mixed sizes, or cannot be
            downloaded.

    Explained in notebook 00.
    """
    if split not in SPLIT_SIZES:
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    folder = name.removeprefix("folder:") if name.startswith("folder:") else None
    if folder is None and name not in BUILT_IN and name not in TORCHVISION:
        raise ValueError(f"name must be one of {', '.join((*BUILT_IN, *TORCHVISION))} or folder:PATH, got {name!r}")
    if size is not None and folder is None and name != "scenes":
        raise ValueError(f"size must be left out for {name}, whose pictures have a size of their own, got {size}")
    if size is not None and size < 8:
        raise ValueError(f"size must be at least 8 pixels, got {size}")
    if folder == "":
        raise ValueError("name must give the path behind folder:, got none")
    if folder is not None:
        place = Path(folder).expanduser()
        return ImageSet(*load_folder(place, split, size), folder_name(place))
    if name in TORCHVISION:
        return ImageSet(*load_torchvision(name, split, data_root(root)), name)
    generator = torch.Generator().manual_seed(SPLIT_SEEDS[split])
    if name == "glyphs":
        return ImageSet(*draw_glyphs(SPLIT_SIZES[split], generator), name)
    images, labels, _ = draw_scenes(SPLIT_SIZES[split], size or 32, generator)
    return ImageSet(images, labels, name)


def load_images_or(name: str, fallback: str, split: str = "train", root: str | Path | None = None) -> ImageSet:
    """Load a data set, or say that it cannot be had and load a built-in one of the same shape.

    Args:
        name: As for ``load_images``.
        fallback: ``glyphs`` or ``scenes``.
        split: ``train`` or ``test``.
        root: As for ``load_images``.

    Returns:
        The first set, or the second if the first is not available. Its ``name`` tells which.

    Explained in notebook 05.
    """
    try:
        return load_images(name, split, root)
    except DataUnavailable as error:
        print(f"Using {fallback!r} in place of {name!r}. {error}")
        return load_images(fallback, split)


def data_root(root: str | Path | None = None) -> Path:
    """Return the folder of the data sets: ``root``, else ``VQVAE_COURSE_DATA``, else a cache folder."""
    return Path(root or os.environ.get("VQVAE_COURSE_DATA") or Path.home() / ".cache" / "vqvae_course").expanduser()


def part_of(batch_size: int, shard: tuple[int, int]) -> slice:
    """Return which rows of each batch belong to a process.

    Args:
        batch_size: Examples of the whole batch, over all processes.
        shard: (rank, size).

    Raises:
        ValueError: If the batch cannot be divided into equal parts.
    """
    rank, size = shard
    if not 0 <= rank < size:
        raise ValueError(f"shard must be (rank, size) with rank in [0, size), got {shard}")
    if batch_size % size:
        raise ValueError(f"batch_size must be a multiple of the {size} processes, got {batch_size}")
    part = batch_size // size
    return slice(rank * part, (rank + 1) * part)


class Batches:
    """An endless stream of shuffled batches that can be put aside and taken up again.

    Every pass over the data has an order of its own; the examples that do not fill a last batch
    wait for the next pass. Whole batches are cut out by index, with no work per image in Python.

    Args:
        data: An ``ImageSet`` or a ``CodeSet``.
        batch_size: Examples a batch.
        generator: Where the orders come from, on the CPU; None means a new one with seed 0.
        device: Where the batches go.
        shard: (rank, size) where several processes share each batch: all draw the same order, and each cuts its
            own part out of the ``batch_size`` examples, so that together they see what one process would.

    Raises:
        ValueError: If ``batch_size`` is below 1, above the number of examples, or no multiple of the processes.

    Explained in notebook 05.
    """

    def __init__(
        self,
        data: ImageSet | CodeSet,
        batch_size: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        shard: tuple[int, int] = (0, 1),
    ):
        if not 1 <= batch_size <= len(data.labels):
            raise ValueError(f"batch_size must lie between 1 and the {len(data.labels)} examples, got {batch_size}")
        self.examples, self.labels = data[0], data[1]
        self.above = data.above if isinstance(data, CodeSet) else ()
        self.batch_size = batch_size
        self.part = part_of(batch_size, shard)
        self.generator = generator or torch.Generator().manual_seed(0)
        self.device = device
        self.order = torch.randperm(len(self.labels), generator=self.generator)
        self.position = 0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch | LevelBatch:
        if self.position + self.batch_size > len(self.order):
            self.order = torch.randperm(len(self.labels), generator=self.generator)
            self.position = 0
        rows = self.order[self.position : self.position + self.batch_size][self.part]
        self.position += self.batch_size
        x, labels, *above = (self._cut(whole, rows) for whole in (self.examples, self.labels, *self.above))
        return LevelBatch(as_float(x), labels, tuple(above)) if above else Batch(as_float(x), labels)

    def _cut(self, whole: Tensor, rows: Tensor) -> Tensor:
        return send(whole[send(rows, whole.device)], self.device)

    def state_dict(self) -> dict:
        """Return what ``load_state_dict`` needs to continue with the very next batch."""
        return {"order": self.order, "position": self.position, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict) -> None:
        """Continue where ``state_dict`` was taken.

        Raises:
            ValueError: If the state belongs to a data set of another length.
        """
        if len(state["order"]) != len(self.labels):
            raise ValueError(
                f"state must belong to {len(self.labels)} examples, got {len(state['order'])}: "
                "continue with the data it was made on, or start anew"
            )
        self.order, self.position = state["order"], state["position"]
        self.generator.set_state(state["generator"])


@torch.no_grad()
def encode_dataset(model: nn.Module, data: ImageSet, batch_size: int = 500) -> CodeSet:
    """Replace each image of a data set by its index map.

    Args:
        model: A model with ``encode``; put in eval mode for the while, so that its codebook keeps still.
        data: The images; their order and labels are kept.
        batch_size: Images at a time.

    Returns:
        A ``CodeSet`` on the CPU.

    Explained in notebook 09.
    """
    device = device_of(model)
    with eval_mode(model):
        maps = [model.encode(as_float(part.to(device))).cpu() for part in data.images.split(batch_size)]
    return CodeSet(torch.cat(maps), data.labels, data.name)


@torch.no_grad()
def decode_codes(model: nn.Module, indices: Tensor, batch_size: int = 500) -> Tensor:
    """Turn index maps back into images, in eval mode.

    Args:
        model: The model whose codes they are.
        indices: (N, h, w) int64, from ``encode_dataset`` or drawn from a prior.
        batch_size: Maps at a time.

    Returns:
        (N, C, H, W) float32 in [0, 1] on the CPU; what the decoder makes beyond black or white is clipped.

    Explained in notebook 09.
    """
    device = device_of(model)
    with eval_mode(model):
        images = [model.decode(part.to(device)).float().cpu() for part in indices.split(batch_size)]
    return torch.cat(images).clamp(0, 1)


@torch.no_grad()
def encode_levels(model: nn.Module, data: ImageSet, batch_size: int = 500) -> list[CodeSet]:
    """Replace each image of a data set by its index maps on all levels of a hierarchy.

    Args:
        model: A ``VQVAE2``; put in eval mode for the while, so that its codebooks keep still.
        data: The images; their order and labels are kept.
        batch_size: Images at a time.

    Returns:
        One ``CodeSet`` a level, top first, on the CPU; each holds the maps of the levels above it in ``above``.

    Explained in notebook 12.
    """
    device = device_of(model)
    with eval_mode(model):
        parts = [
            [maps.cpu() for maps in model.encode(as_float(part.to(device)))] for part in data.images.split(batch_size)
        ]
    levels = [torch.cat(maps) for maps in zip(*parts, strict=True)]
    return [CodeSet(maps, data.labels, data.name, tuple(levels[:above])) for above, maps in enumerate(levels)]


@torch.no_grad()
def decode_levels(model: nn.Module, maps: Sequence[Tensor], batch_size: int = 500) -> Tensor:
    """Turn the index maps of a hierarchy back into images, in eval mode.

    Args:
        model: The ``VQVAE2`` whose codes they are.
        maps: Top first, (N, h, w) int64 each, from ``encode_levels`` or ``sampling.sample_levels``.
        batch_size: Images at a time.

    Returns:
        (N, C, H, W) float32 in [0, 1] on the CPU; what the decoder makes beyond black or white is clipped.

    Explained in notebook 12.
    """
    device = device_of(model)
    with eval_mode(model):
        parts = zip(*(level.split(batch_size) for level in maps), strict=True)
        images = [model.decode([level.to(device) for level in part]).float().cpu() for part in parts]
    return torch.cat(images).clamp(0, 1)


def fingerprint(model: nn.Module) -> str:
    """Return a hash of a model's kind, configuration and weights: equal for equal models, on any device.

    Explained in notebook 09.
    """
    digest = sha256(f"{type(model).__name__} {getattr(model, 'config', None)}".encode())
    for name, value in sorted(model.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


CODES_FORMAT = 1  # raised when the layout changes, so that an older file is refused by name


def save_codes(path: str | Path, codes: CodeSet, model: nn.Module) -> None:
    """Write index maps and labels to an ``.npz`` file, with the fingerprint of the model they belong to.

    The file appears whole or not at all.

    Args:
        path: Where to; the name is used as it is.
        codes: From ``encode_dataset``.
        model: The model that made them.

    Explained in notebook 09.
    """
    with whole_file(path) as file:
        np.savez_compressed(
            file,
            format=CODES_FORMAT,
            indices=codes.indices.cpu().numpy(),
            labels=codes.labels.cpu().numpy(),
            name=codes.name,
            model=fingerprint(model),
            classes=np.array(codes.classes, dtype=str),
            **{f"above_{level}": maps.cpu().numpy() for level, maps in enumerate(codes.above)},
        )


def load_codes(path: str | Path, model: nn.Module) -> CodeSet:
    """Read index maps that this model made; those of another are refused.

    An index is the number of a code in one codebook. In another codebook, or after one more training
    step, the same number stands for something else.

    Args:
        path: A file from ``save_codes``.
        model: The model the codes should belong to.

    Returns:
        A ``CodeSet``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or foreign, or its codes belong to another model.

    Explained in notebook 09.
    """
    try:
        # Opened here: numpy leaves a damaged file open. And no pickle, so that a file cannot run code.
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            found = int(file["format"])
            if found == CODES_FORMAT:
                maps, labels = torch.from_numpy(file["indices"]), torch.from_numpy(file["labels"])
                levels = sum(name.startswith("above_") for name in file)
                above = tuple(torch.from_numpy(file[f"above_{level}"]) for level in range(levels))
                classes = tuple(file["classes"].tolist()) if "classes" in file else ()  # older files have none
                codes, owner = CodeSet(maps, labels, str(file["name"]), above, classes), str(file["model"])
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy raises many kinds for one cause: this is no file of codes
        raise ValueError(f"{path} must be a file from save_codes, got a damaged or foreign one ({error})") from error
    if found != CODES_FORMAT:
        raise ValueError(
            f"{path} must be a file of codes of format {CODES_FORMAT}, got {found}: encode the images again"
        )
    if owner != fingerprint(model):
        raise ValueError(
            f"{path} must hold codes of this model, {fingerprint(model)[:12]}, got codes of {owner[:12]}: "
            "load the model that made them, or encode the images again with encode_dataset"
        )
    return codes
