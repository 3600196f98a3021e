"""Checkpoints: everything a run needs to continue, written so that no interruption can spoil them."""

import pickle
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vqvae_course.conditional import ConditionalPrior, ConditionalPriorConfig
from vqvae_course.distributed import world
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig, PixelCNN, PixelCNNConfig
from vqvae_course.pixelsnail import PixelSNAIL, PixelSNAILConfig
from vqvae_course.runtime import whole_file
from vqvae_course.vae import VAE, VAEConfig
from vqvae_course.vqvae import VQVAE, VQVAEConfig
from vqvae_course.vqvae2 import VQVAE2, VQVAE2Config

FORMAT = 1  # raised when the layout changes, so that an older file is refused by name


REBUILD: dict[str, tuple[type[nn.Module], type]] = {
    "VAE": (VAE, VAEConfig),
    "VQVAE": (VQVAE, VQVAEConfig),
    "VQVAE2": (VQVAE2, VQVAE2Config),
    "PixelCNN": (PixelCNN, PixelCNNConfig),
    "GatedPixelCNN": (GatedPixelCNN, GatedPixelCNNConfig),
    "PixelSNAIL": (PixelSNAIL, PixelSNAILConfig),
    "ConditionalPrior": (ConditionalPrior, ConditionalPriorConfig),
}


class Checkpoint(NamedTuple):
    """What ``load_checkpoint`` returns.

    Attributes:
        model: The model, rebuilt from its configuration, with its weights, in eval mode.
        step: Updates done.
        history: The training history as a dict, or None.
        optimizer: The optimizer's state, or None.
        batches: The stream's state, or None.
        random: The states of torch's global generators, and of the one that the steps drew from.
    """

    model: nn.Module
    step: int
    history: dict | None
    optimizer: dict | None
    batches: dict | None
    random: dict


def describe(model: nn.Module) -> tuple[str, dict[str, Any]]:
    """Return the name and the configuration that a model can be rebuilt from.

    Raises:
        ValueError: If it is of a kind that checkpoints do not know.
    """
    name = type(model).__name__
    if name in REBUILD:
        return name, asdict(model.config)
    raise ValueError(f"model must be one of {', '.join(REBUILD)}, got {name}")


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    step: int = 0,
    history: dict | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    batches: Any = None,
    generator: torch.Generator | None = None,
) -> None:
    """Write a checkpoint under a temporary name, then rename it: the old one stays whole until the new one is.

    Args:
        path: Where to.
        model: A model that rebuilds from its configuration, one of those in ``REBUILD``.
        step: Updates done.
        history: The training history as a dict.
        optimizer: To continue training later.
        batches: A stream with ``state_dict``, to continue with the very next batch.
        generator: What the steps draw from, if not from the global ones.

    Raises:
        ValueError: If the model is of another kind.

    Explained in notebook 05.
    """
    name, config = describe(model)
    content = {
        "format": FORMAT,
        "model": name,
        "config": config,
        "weights": model.state_dict(),
        "step": step,
        "history": history,
        "optimizer": None if optimizer is None else optimizer.state_dict(),
        "batches": None if batches is None else batches.state_dict(),
        "random": _random_state(generator),
    }
    with whole_file(path) as file:
        torch.save(content, file)


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint and rebuild its model.

    Only tensors and plain values are read (``weights_only=True``): a file cannot run code.

    Args:
        path: Where from.
        device: Where the model goes; the generators' states stay on the CPU.

    Returns:
        A ``Checkpoint``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, not a checkpoint, or of another format.

    Explained in notebook 05.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises many kinds for one cause: this is no whole checkpoint
        foreign = isinstance(error, pickle.UnpicklingError)  # whose own text advises to load it anyway
        reason = "more than tensors and plain values; nothing in it was run" if foreign else error
        raise ValueError(
            f"{path} must be a checkpoint of this course, got a damaged or foreign file ({reason})"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path} must be a checkpoint of format {FORMAT}, got {found!r}")
    try:
        kind, config = REBUILD[content["model"]]
        model = kind(config(**content["config"]))
        model.load_state_dict(content["weights"])
        rest = [content[name] for name in ("step", "history", "optimizer", "batches", "random")]
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} must hold a model and the weights that fit it, got others ({error})") from error
    if not isinstance(content["step"], int):
        raise ValueError(f"{path} must hold the number of updates done, got {content['step']!r}")
    return Checkpoint(model.to(device).eval(), *rest)


def restore(
    checkpoint: Checkpoint,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Any,
    generator: torch.Generator | None = None,
) -> None:
    """Bring a model, its optimizer, its stream and the generators to where a checkpoint was made.

    On a machine with another number of GPUs the generators of those that are in both continue; a warning says so.

    Raises:
        ValueError: If the checkpoint belongs to a model of another kind or configuration, or does
            not hold what is needed to continue.

    Explained in notebook 05.
    """
    if (difference := _difference(describe(checkpoint.model), describe(model))) is not None:
        raise ValueError(
            f"checkpoint must belong to this model, got one of another: {difference}. Continue with the configuration "
            "it has, or train from the beginning under another name"
        )
    if checkpoint.optimizer is None or checkpoint.batches is None:
        raise ValueError("checkpoint must hold the optimizer and the stream of batches to continue, got neither or one")
    model.load_state_dict(checkpoint.model.state_dict())
    try:
        optimizer.load_state_dict(checkpoint.optimizer)
        batches.load_state_dict(checkpoint.batches)
        torch.set_rng_state(checkpoint.random["cpu"])
        _restore_gpus(checkpoint.random["cuda"])
        if generator is not None:
            generator.set_state(checkpoint.random["given"])
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"checkpoint must hold the state of a whole run, got a damaged one ({error!r})") from error


def _restore_gpus(states: list[Tensor]) -> None:
    """Bring the generators of the GPUs to where a checkpoint was made, as far as both have the same ones."""
    if torch.cuda.is_available():
        torch.cuda.init()  # before, torch has no generators, and would fail later for those it does not get
    here = len(torch.cuda.default_generators)
    for gpu, state in enumerate(states[:here]):
        torch.cuda.set_rng_state(state, gpu)
    if len(states) != here and world().rank == 0:
        warnings.warn(
            f"the checkpoint was made on a machine with {_gpus(len(states))}, this one has {_gpus(here)}: the run goes "
            "on, but restarts and whatever else is drawn at random on a GPU will draw other codes than there",
            stacklevel=3,
        )


def _gpus(count: int) -> str:
    return {0: "no GPU", 1: "1 GPU"}.get(count, f"{count} GPUs")


def _difference(there: tuple[str, dict], here: tuple[str, dict]) -> str | None:
    """Say in what two descriptions of a model differ; None if in nothing."""
    if there[0] != here[0]:
        return f"a {there[0]}, not a {here[0]}"
    names = [name for name in {**there[1], **here[1]} if there[1].get(name) != here[1].get(name)]
    return ", ".join(f"{name} is {there[1].get(name)} there, {here[1].get(name)} here" for name in names) or None


def _random_state(generator: torch.Generator | None) -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    given = {} if generator is None else {"given": generator.get_state()}
    return {"cpu": torch.get_rng_state(), "cuda": cuda, **given}
