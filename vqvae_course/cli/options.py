"""The options of the training commands: the frozen configurations of the package, and what a run needs besides."""

import warnings
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import torch
import tyro

from vqvae_course.distributed import local_device
from vqvae_course.runtime import fast_precision, pick_device
from vqvae_course.train import TrainConfig
from vqvae_course.vqvae import VQVAEConfig
from vqvae_course.vqvae2 import VQVAE2Config

T = TypeVar("T")
Hidden = tyro.conf.Suppress  # not an option: the command sets it


@dataclass(frozen=True)
class VQVAEOptions(VQVAEConfig):
    """A ``VQVAEConfig`` of which the data decide two fields."""

    in_channels: Hidden[int] = 3
    data_variance: Hidden[float] = 1.0


@dataclass(frozen=True)
class VQVAE2Options(VQVAE2Config):
    """A ``VQVAE2Config`` of which the data decide two fields."""

    in_channels: Hidden[int] = 3
    data_variance: Hidden[float] = 1.0


@dataclass(frozen=True)
class Training(TrainConfig):
    """A ``TrainConfig`` whose checkpoint lies in the run's folder.

    Attributes:
        resume: Continue the run in ``--out`` with the options it was started with, unless others are given.
    """

    steps: int = 1000
    checkpoint: Hidden[str | None] = None
    resume: bool = False


LONGEST = 365 * 24 * 3600  # seconds; torch counts them in a number of limited size


@dataclass(frozen=True)
class Session:
    """What the two training commands share.

    Attributes:
        out: Folder of the run; by default ``runs/`` and the name of the data set.
        batch_size: Examples in an update, over all processes.
        epochs: Passes over the data, in place of ``steps``.
        seed: Of weights, codebook and data order.
        device: Such as ``cpu`` or ``cuda``; None takes the fastest.
        tensorboard: Write losses, pictures and code usage for TensorBoard too (``pip install tensorboard``).
        timeout: Seconds after which another process that does not answer is given up.
    """

    out: Path = Path("runs/glyphs")
    batch_size: int = 32
    epochs: float | None = None
    seed: int = 0
    device: str | None = None
    tensorboard: bool = False
    timeout: float = 300.0
    training: Training = field(default_factory=Training)

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.epochs is not None and not 0 < self.epochs < inf:
            raise ValueError(f"epochs must be positive and finite or None, got {self.epochs}")
        if not 0 < self.timeout < LONGEST:
            raise ValueError(f"timeout must be seconds between 0 and {LONGEST:,}, got {self.timeout}")
        must_be_seed(self.seed)

    def training_for(self, examples: int) -> Training:
        """Return how to train on so many examples: ``epochs`` passes, or ``steps`` updates."""
        if self.epochs is None:
            return self.training
        return replace(self.training, steps=max(1, round(self.epochs * (examples // self.batch_size))))


def must_be_seed(seed: int) -> None:
    """Raise ``ValueError`` if torch's generators cannot be started with a number."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must lie between 0 and 2**63, got {seed}")


S = TypeVar("S", bound=Session)


@dataclass(frozen=True)
class Stage1:
    """What stage 1 learns from, and what it learns.

    Attributes:
        data: glyphs, scenes, mnist, fashion_mnist, cifar10 or folder:PATH.
        size: Side in pixels, for scenes and folder:PATH.
        workers: Processes that read folder:PATH while training, for sets larger than memory; 0 loads it first.
        model: vqvae, or vqvae2 with two or three maps of codes.
        preset: Where the defaults come from: quick, mnist-classic, cifar10-classic, cifar10, quick-hierarchy or
            imagenet-256.
        codebook: Where codes start: k-means of the first latents, N(0, 1), or uniform in [-1/K, 1/K].
        data_variance: The squared error is divided by it; None measures it.
    """

    data: str = "glyphs"
    size: int | None = None
    workers: int = 0
    model: Literal["vqvae", "vqvae2"] = "vqvae"
    preset: str = "quick"
    codebook: Literal["kmeans", "normal", "uniform"] = "kmeans"
    data_variance: float | None = None

    def __post_init__(self):
        if self.workers < 0:
            raise ValueError(f"workers must not be negative, got {self.workers}")
        if self.workers and not self.data.startswith("folder:"):
            raise ValueError(f"workers must be 0 unless data is folder:PATH, got {self.workers} for {self.data}")
        if self.data_variance is not None and not 0 < self.data_variance < inf:
            raise ValueError(f"data_variance must be positive and finite or None, got {self.data_variance}")


@dataclass(frozen=True)
class TrainVQVAE(Session, Stage1):
    """Learn a codebook: an encoder, K codes and a decoder (notebooks 2 to 8)."""

    network: VQVAEOptions = field(default_factory=VQVAEOptions)

    def __post_init__(self):
        Stage1.__post_init__(self)
        Session.__post_init__(self)


@dataclass(frozen=True)
class TrainVQVAE2(TrainVQVAE):
    """Learn a hierarchy of codebooks, top and bottom (notebook 12)."""

    model: Literal["vqvae", "vqvae2"] = "vqvae2"
    preset: str = "quick-hierarchy"
    network: VQVAE2Options = field(default_factory=VQVAE2Options)


def kind_of(saved: dict[str, Any]) -> type[TrainVQVAE]:
    """Return the class of saved options of ``train``."""
    levels = isinstance(saved.get("network"), dict) and "strides" in saved["network"]
    return TrainVQVAE2 if saved.get("model", "vqvae2" if levels else "vqvae") == "vqvae2" else TrainVQVAE


def parse(kind: type[T], arguments: Sequence[str], command: str, example: str, default: T | None = None) -> T:
    """Read the options of a command; ``--help`` explains them, or lists them if there is a screen full of them.

    Args:
        kind: A frozen dataclass whose docstring describes the command and its fields.
        arguments: What stands behind the command.
        command: Its name.
        example: A whole command line, for the help.
        default: Where the defaults come from; None takes those of the class.
    """
    summary = kind.__doc__.splitlines()[0]
    default = kind() if default is None else default
    if not any(map(is_dataclass, vars(default).values())):  # only options of its own, no groups of them: a few
        arguments = ["--help-verbose" if word in ("-h", "--help") else word for word in arguments]
    return tyro.cli(
        kind,
        prog=f"vqvae-course {command}",
        description=f"{summary}\n\nExample: {example}",
        args=list(arguments),
        default=default,
        compact_help=True,
        config=(tyro.conf.OmitArgPrefixes,),
    )


def given(arguments: Sequence[str], option: str) -> str | None:
    """Return the value of one option before all of them are read, since others have defaults that hang on it."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(option, dest="value", nargs="?")
    return parser.parse_known_args(arguments)[0].value


def steps_count(options: S, arguments: Sequence[str]) -> S:
    """Return the options without ``epochs``, which would decide, if the command line gives ``--steps`` alone."""
    alone = given(arguments, "--steps") is not None and given(arguments, "--epochs") is None
    return replace(options, epochs=None) if alone else options


def device_from(name: str | None) -> torch.device:
    """Return the device that ``--device`` names, or the one this process should take.

    Raises:
        ValueError: If there is no such device here.
    """
    if name is None:
        return local_device() or pick_device()
    try:
        device = torch.device(name)
        float(torch.zeros(1, device=device))  # not on "meta", where nothing is computed
    except (RuntimeError, AssertionError, ImportError) as error:  # for a kind that this build of torch does not know
        raise ValueError(
            f"device must be one that this machine has, got {name!r}: pass {' or '.join(devices())}, or leave it out"
        ) from error
    return device


def devices() -> list[str]:
    """Return the names of the devices that this machine has and this build of torch can use."""
    gpus = [f"cuda:{gpu}" for gpu in range(torch.cuda.device_count())]
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def quick_training(device: torch.device, **changes: Any) -> Training:
    """Return settings for a device, in the precision that it computes fastest in."""
    return Training(**{"precision": fast_precision(device), **changes})


def from_plain(kind: type[T], plain: dict[str, Any]) -> T:
    """Rebuild a dataclass of options from the values that JSON holds.

    Options that another version wrote and this one does not have are left out, those it did not have take their
    defaults; a warning names both.

    Raises:
        ValueError: If values are of another type, or out of range.
    """
    differences: list[str] = []
    options = _rebuilt(kind, plain, differences)
    if differences:
        warnings.warn(f"The options of this run are of another version: {'; '.join(differences)}.", stacklevel=2)
    return options


def _rebuilt(kind: Any, value: Any, differences: list[str]) -> Any:
    if is_dataclass(kind):
        kinds = get_type_hints(kind)
        try:
            known = {name: _rebuilt(kinds[name], value[name], differences) for name in kinds if name in value}
            differences += [f"{name} is not known here and left out" for name in value if name not in kinds]
            options = kind(**known)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"the saved options must have values of the right type, got others ({error})") from error
        missing = [name for name in kinds if name not in known]
        differences += [f"{name} is missing and taken as {getattr(options, name)}" for name in missing]
        return options
    if kind is Path:
        return Path(value)
    return tuple(value) if isinstance(value, list) else value
