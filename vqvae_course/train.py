"""Training: one loop for every model, and one step function for each."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from math import cos, inf, pi
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from vqvae_course.checkpoint import Checkpoint, describe, load_checkpoint, restore, save_checkpoint
from vqvae_course.data import Batch, LevelBatch
from vqvae_course.distributed import Parallel, anywhere, gathered, world
from vqvae_course.history import History, Recorder
from vqvae_course.indices import count_indices
from vqvae_course.known_codes import known
from vqvae_course.metrics import nats_per_code, perplexity_of_counts
from vqvae_course.prior import Prior
from vqvae_course.runtime import device_of

__all__ = [
    "StepResult",
    "TrainConfig",
    "classifier_step",
    "fit",
    "learning_rate",
    "load_checkpoint",
    "prior_step",
    "save_checkpoint",
    "vae_step",
    "vqvae2_step",
    "vqvae_step",
]


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        steps: Updates in all, counted from the very first, also when a run resumes.
        lr: Highest learning rate.
        schedule: ``"one-cycle"`` rises over the first fifth and falls to zero along a cosine,
            ``"cosine"`` only falls, ``"constant"`` stays.
        weight_decay: AdamW's.
        betas: AdamW's memory of gradients and of their squares; a short run cannot wait for 0.999.
        clip: Gradients are scaled down to this norm; None leaves them alone.
        log_every: Updates averaged into one entry of the history.
        checkpoint: File to save to; None saves nothing.
        checkpoint_every: Updates between two saves; the end is saved in any case.
        resume: Continue from ``checkpoint`` if that file is there.
        progress: Show a progress bar.
        precision: What the layers compute in. ``"bfloat16"`` is autocast: weights, statistics and losses stay float32.
    """

    steps: int
    lr: float = 1e-3
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float | None = None
    log_every: int = 50
    checkpoint: str | None = None
    checkpoint_every: int = 500
    resume: bool = False
    progress: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self):
        for name in ("steps", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.lr < inf:
            raise ValueError(f"lr must be positive and finite, got {self.lr}")
        if self.schedule not in ("one-cycle", "cosine", "constant"):
            raise ValueError(f'schedule must be "one-cycle", "cosine" or "constant", got {self.schedule!r}')
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f'precision must be "float32" or "bfloat16", got {self.precision!r}')
        if not 0 <= self.weight_decay < inf:
            raise ValueError(f"weight_decay must be finite and not negative, got {self.weight_decay}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must lie in [0, 1), got {self.betas}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip must be positive or None, got {self.clip}")


class StepResult(NamedTuple):
    """What a step function returns: the scalar to minimise, and scalars to log under their names."""

    loss: Tensor
    logs: dict[str, Tensor]


Step = Callable[..., StepResult]  # of the model, a batch, and a generator if fit has one


def vqvae_step(model: nn.Module, batch: Batch, generator: torch.Generator | None = None) -> StepResult:
    """Compute the loss of a VQ-VAE on one batch of images; explained in notebook 05."""
    output = model(batch.x, generator)
    logs = {
        "recon_loss": output.recon_loss,
        "codebook_loss": output.codebook_loss,
        "commitment_loss": output.commitment_loss,
        "perplexity": _perplexity(output.indices, model.config.num_codes),
    }
    return StepResult(output.loss, logs)


def _perplexity(indices: Tensor, num_codes: int) -> Tensor:
    """Return the perplexity over all processes of indices that a model chose: whether they fit need not be asked."""
    return perplexity_of_counts(count_indices(gathered(indices), num_codes))


LEVEL_NAMES = {2: ("top", "bottom"), 3: ("top", "middle", "bottom")}


def vqvae2_step(model: nn.Module, batch: Batch, generator: torch.Generator | None = None) -> StepResult:
    """Compute the loss of a VQ-VAE-2 on one batch of images; explained in notebook 12."""
    output = model(batch.x, generator)
    logs = {"recon_loss": output.recon_loss, "commitment_loss": output.commitment_loss}
    for name, indices, num_codes in zip(
        LEVEL_NAMES[model.config.levels], output.indices, model.config.num_codes, strict=True
    ):
        logs[f"perplexity_{name}"] = _perplexity(indices, num_codes)
    return StepResult(output.loss, logs)


def vae_step(model: nn.Module, batch: Batch, generator: torch.Generator | None = None) -> StepResult:
    """Compute the negative ELBO of a VAE on one batch of images; explained in notebook 01."""
    output = model(batch.x, generator)
    return StepResult(output.loss, {"recon_nats": output.recon_nats, "kl_nats": output.kl_nats})


def prior_step(model: nn.Module, batch: Batch | LevelBatch) -> StepResult:
    """Compute the nats per code of a prior on one batch of index maps; explained in notebooks 00 and 13."""
    labels = batch.labels if model.num_classes is not None else None
    above = batch.above if isinstance(batch, LevelBatch) else ()
    loss = nats_per_code(model(batch.x, labels, model.condition_from(above)), batch.x)
    return StepResult(loss, {"nats_per_code": loss})


def classifier_step(model: nn.Module, batch: Batch) -> StepResult:
    """Compute the cross-entropy of a classifier on one batch of images; explained in notebook 00."""
    loss = F.cross_entropy(model(batch.x), batch.labels)
    return StepResult(loss, {"cross_entropy": loss})


def learning_rate(update: int, config: TrainConfig) -> float:
    """Return the learning rate of update number ``update``, counted from 0; explained in notebook 05."""
    done = update / config.steps
    if config.schedule == "constant":
        return config.lr
    rise = 0.2 if config.schedule == "one-cycle" else 0.0
    if done < rise:
        return config.lr * (update + 1) / (rise * config.steps + 1)
    return config.lr * 0.5 * (1 + cos(pi * (done - rise) / (1 - rise)))


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    step: Step,
    config: TrainConfig,
    on_entry: Callable[[History], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    generator: torch.Generator | None = None,
) -> History:
    """Train a model with AdamW.

    In a run of several processes (see ``distributed``) each of them calls this with its own shard of the batches;
    gradients are averaged, and only the first writes.

    Args:
        model: Left in eval mode.
        batches: An endless stream, such as ``Batches``.
        step: ``step(model, batch) -> StepResult``; it takes a ``generator`` too if there is one.
        config: A ``TrainConfig``.
        on_entry: Called with the history after each entry, and once with that of the run to be resumed.
        should_stop: Asked after each update; when it says so, the run is saved and ends early.
        generator: What the step draws from, such as restarted codes; None leaves it the global one.

    Returns:
        The ``History``. A run that was interrupted and resumed ends with the weights, bit for bit
        on a CPU, of one that never stopped.

    Raises:
        ValueError: If the batches run out or hold codes that the prior does not know, or the checkpoint to resume
            from does not fit.
        FloatingPointError: If the loss or a weight is no longer a finite number; the checkpoint is the one before.

    Explained in notebook 05.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
    )
    if config.checkpoint:
        _must_be_savable(model, batches)  # better now than after an hour
    checkpoint = _resume(model, optimizer, batches, config, generator)
    done, recorder = (checkpoint.step, Recorder(checkpoint.history)) if checkpoint else (0, Recorder())
    if checkpoint and on_entry:
        on_entry(recorder.history)
    trained = Parallel(model) if world().size > 1 else model
    draws = {} if generator is None else {"generator": generator}
    trained.train()
    stream = known(batches, model) if step is prior_step and isinstance(model, Prior) else iter(batches)
    with _progress(done, config) as bar:
        for update in range(done + 1, config.steps + 1):
            batch = next(stream, None)
            if batch is None:
                raise ValueError(f"batches must last for {config.steps} steps, ended after {update - 1}: use Batches")
            loss, logs = _update(
                trained, batch, partial(step, **draws), optimizer, learning_rate(update - 1, config), config
            )
            recorder.add({"loss": loss, **logs}, len(batch.x))
            bar.set_postfix_str(recorder.speed(), refresh=False)
            bar.update()
            stop = should_stop is not None and anywhere(should_stop())
            last = update == config.steps or stop
            if update % config.log_every == 0 or last:
                recorder.write(update)
                if on_entry:
                    on_entry(recorder.history)
            if config.checkpoint and (update % config.checkpoint_every == 0 or last):
                measured = recorder.state_dict(update)
                _must_be_finite(model, update)  # or the last good checkpoint would be overwritten with NaN
                if world().rank == 0:
                    save_checkpoint(config.checkpoint, model, update, measured, optimizer, batches, generator)
            if stop:
                break
    model.eval()
    return recorder.history


def _must_be_savable(model: nn.Module, batches: Iterable[Batch]) -> None:
    describe(model)
    if not hasattr(batches, "state_dict"):
        raise ValueError(f"batches must have a state_dict to save checkpoints, got {type(batches).__name__}")


def _resume(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    config: TrainConfig,
    generator: torch.Generator | None,
) -> Checkpoint | None:
    """Bring everything to where the checkpoint was made, and return it; None if there is nothing to resume."""
    if not (config.resume and config.checkpoint and Path(config.checkpoint).exists()):
        return None
    checkpoint = load_checkpoint(config.checkpoint)
    if checkpoint.step > config.steps:
        raise ValueError(
            f"steps must be at least the {checkpoint.step} that the checkpoint has done, got {config.steps}"
        )
    restore(checkpoint, model, optimizer, batches, generator)
    return checkpoint


def _update(
    model: nn.Module, batch: Batch, step: Step, optimizer: torch.optim.Optimizer, lr: float, config: TrainConfig
) -> StepResult:
    """Move the weights once against the gradient of a batch."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    with torch.autocast(device_of(model).type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        loss, logs = step(model, batch)
    optimizer.zero_grad()
    loss.backward()
    if config.clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    return StepResult(loss, logs)


def _must_be_finite(model: nn.Module, update: int) -> None:
    weights = [weight.isfinite().all() for weight in model.parameters()]
    if weights and not torch.stack(weights).all():  # one look at the GPU, not one a weight
        raise FloatingPointError(
            f"the weights must stay finite, but update {update} spoilt them: lower lr, set clip, or look at the data"
        )


def _progress(done: int, config: TrainConfig) -> tqdm:
    return tqdm(
        initial=done,
        total=config.steps,
        disable=not config.progress or world().rank > 0,
        leave=False,
        file=sys.stdout,  # Jupyter paints stderr red
        mininterval=0.5,
        unit=" updates",
    )
