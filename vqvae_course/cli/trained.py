"""Open what a run has made so far, for the commands that come after ``train``."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vqvae_course.checkpoint import describe, load_checkpoint
from vqvae_course.cli.options import TrainVQVAE, from_plain, kind_of
from vqvae_course.cli.run import Run, RunError
from vqvae_course.cli.source import PUT_BACK, folder_of, located, moved, must_be_same_classes, pictures_of
from vqvae_course.data import CodeSet, decode_codes, decode_levels, fingerprint, load_codes
from vqvae_course.folders import DataUnavailable, PictureFiles
from vqvae_course.prior import Prior
from vqvae_course.train import LEVEL_NAMES
from vqvae_course.vqvae import VQVAE
from vqvae_course.vqvae2 import VQVAE2


class Trained(NamedTuple):
    """Stage 1 of a run.

    Attributes:
        run: Its folder.
        options: What it was trained with.
        model: From its last checkpoint, in eval mode.
        shape: (C, H, W) of its images.
        device: Where the model is.
        updates: How many it was trained for.
        classes: What its classes were called when it started; empty for a set, and if that was not written down.
    """

    run: Run
    options: TrainVQVAE
    model: nn.Module
    shape: tuple[int, int, int]
    device: torch.device
    updates: int
    classes: tuple[str, ...] = ()

    def with_pictures(self) -> tuple["Trained", PictureFiles | None]:
        """Look whether the pictures are there and their classes still the same; return both, with the classes' names.

        Raises:
            DataUnavailable: If the pictures are not there.
            RunError: If a class was renamed, added or removed.
        """
        files = pictures_of(self.options.data)
        if files is None:
            return self, None
        must_be_same_classes(self.options.data, files.classes, "this run", self.classes, PUT_BACK)
        return self._replace(classes=files.classes), files

    def warn_of_other_classes(self) -> None:
        """Warn if the pictures are there with other classes, for a command that only needs the codes.

        Sets larger than memory are not looked through for that.
        """
        folder = folder_of(self.options.data)
        if self.classes and folder and folder.is_dir() and not self.options.workers:
            try:
                self.with_pictures()
            except (RunError, DataUnavailable) as error:
                warnings.warn(f"{error}. This command goes on with the classes it knows.", stacklevel=2)

    def must_fit(self, images: Tensor) -> None:
        """Raise ``ValueError`` unless images have the shape of those that the model was trained on."""
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(
                f"images must be {as_size(self.shape)}, as those this run was trained on, got "
                f"{as_size(images.shape[1:])}: pass --data with where those are"
            )

    @property
    def levels(self) -> tuple[str, ...]:
        """What the levels are called, top first; a single one has no name."""
        return LEVEL_NAMES[self.model.config.levels] if isinstance(self.model, VQVAE2) else ("",)

    @property
    def num_codes(self) -> tuple[int, ...]:
        """K of each level, top first."""
        sizes = self.model.config.num_codes
        return sizes if isinstance(sizes, tuple) else (sizes,)

    @property
    def map_sizes(self) -> list[tuple[int, int]]:
        """(h, w) of each level's index map, top first."""
        _, height, width = self.shape
        if isinstance(self.model, VQVAE2):
            return self.model.config.map_sizes(height, width)
        stride = self.model.config.downsample
        return [(height // stride, width // stride)]

    def decode(self, maps: list[Tensor]) -> Tensor:
        """Return the images (N, C, H, W) of index maps, top first."""
        return decode_levels(self.model, maps) if isinstance(self.model, VQVAE2) else decode_codes(self.model, maps[0])

    def codes(self, split: str) -> list[CodeSet]:
        """Return the index maps of a split, top level first."""
        files = [self.run.need(codes_file(split, level), "encode") for level in self.levels]
        try:
            codes = [load_codes(file, self.model) for file in files]
        except ValueError as error:
            raise RunError(f"{error}. Here: run `vqvae-course encode --out {self.run}` again") from error
        for file, level in zip(files, codes, strict=True):
            cure = f"run `vqvae-course encode --out {self.run}` again"
            must_be_same_classes(str(file), level.classes, "this run", self.classes, cure)
        return codes

    def check_owner(self) -> None:
        """Raise ``RunError`` if there are priors, and they are of another model or were trained on other classes."""
        names = [prior_name(level) for level in self.levels]
        for name in filter(lambda name: (self.run / f"{name}.pt").exists(), names):
            about = self.run.read_json(f"{name}.json", "train-prior")
            if about.get("model") != fingerprint(self.model):
                raise RunError(
                    f"{self.run / name}.pt must belong to {self.run / 'model.pt'}, got a prior for the codes of "
                    "another model: delete prior*.pt there, then run encode and train-prior again"
                )
            must_be_same_classes(
                str(self.run.folder),
                self.classes,
                f"{self.run / name}.pt",
                about.get("classes"),
                f"{PUT_BACK}, and encode again; or delete prior*.pt there and run train-prior again",
            )

    def priors(self) -> list[Prior]:
        """Return the prior of each level, top first."""
        self.check_owner()
        return [self.prior(number) for number in range(len(self.levels))]

    def prior(self, number: int) -> Prior:
        """Return the prior of one level, 0 being the top."""
        file = self.run.need(f"{prior_name(self.levels[number])}.pt", "train-prior")
        prior, num_codes = load_checkpoint(file, self.device).model, self.num_codes[number]
        if not isinstance(prior, Prior) or prior.num_codes != num_codes:
            raise RunError(f"{file} must hold a prior over {num_codes} codes, got another {type(prior).__name__}")
        return prior


def codes_file(split: str, level: str) -> str:
    """Return the name of the file of index maps of a split and level."""
    return f"codes/{split}_{level}.npz" if level else f"codes/{split}.npz"


def prior_name(level: str) -> str:
    """Return the name of the prior of a level."""
    return f"prior_{level}" if level else "prior"


def with_config_of(saved: dict[str, Any], fields: Iterable[str], path: Path) -> dict[str, Any]:
    """Return saved options, with those of another version that are missing as the model in a checkpoint has them."""
    missing = set(fields) - saved.keys()
    if not missing or not path.exists():
        return saved
    _, config = describe(load_checkpoint(path).model)
    return saved | {name: config[name] for name in missing & config.keys()}


def as_size(shape: Sequence[int]) -> str:
    """Return a shape as it is printed."""
    return "x".join(map(str, shape))


def open_trained(out: str | Path, device: torch.device, data: str | None = None) -> Trained:
    """Open the folder of a run in which ``train`` has written a checkpoint.

    Args:
        out: The folder.
        device: Where the model goes.
        data: Where the pictures are now; None if they are where they were.

    Raises:
        RunError: If there is none, or what is there does not belong together.
        ValueError: If one of its files is damaged.
    """
    run = Run(out)
    about = run.read_json("train.json", "train")
    saved = about["options"]
    options = from_plain(kind_of(saved), saved)
    options = replace(options, data=moved(options.data, data) if data else located(options.data, run, about))
    try:
        channels, height, width = about["data"]["shape"]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run / 'train.json'} must hold the shape (C, H, W) of the data, got none ({error})") from error
    if "size" not in saved and height == width and folder_of(options.data):
        options = replace(options, size=height)
    path = run.need("model.pt", "train")
    model, updates, *_ = load_checkpoint(path, device)
    expected = VQVAE2 if options.model == "vqvae2" else VQVAE
    if not isinstance(model, expected):
        raise RunError(f"{path} must hold a {expected.__name__}, got a {type(model).__name__}")
    classes = about.get("classes")  # older runs have none
    classes = tuple(map(str, classes)) if isinstance(classes, list) else ()
    return Trained(run, options, model, (channels, height, width), device, updates, classes)
