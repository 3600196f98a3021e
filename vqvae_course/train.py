"""Training: one loop for every model, and one step function for each."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import cos, inf, isfinite, pi
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from vqvae_course.checkpoint import describe, load_checkpoint, restore, save_checkpoint
from vqvae_course.data import Batch, Batches, LevelBatch
from vqvae_course.distributed import Parallel, anywhere, gathered, total, world
from vqvae_course.indices import count_indices
from vqvae_course.metrics import nats_per_code, perplexity_of_counts
from vqvae_course.prior import Prior
from vqvae_course.quantize import EMAVectorQuantizer, VectorQuantizer
from vqvae_course.runtime import device_of

__all__ = [
    "History",
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
        channels_last: Lay images and weights out with the channels innermost, which convolutions read faster.
        fused: Update all weights in one pass of the optimizer.
        compile: Have ``torch.compile`` write code for this network first; that takes a C++ compiler, and some time.
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
    channels_last: bool = False
    fused: bool = False
    compile: bool = False

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
    if config.channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.lr,
        betas=config.betas,
        weight_decay=config.weight_decay,
        fused=config.fused or None,
    )
    history, recent, done = History(), _Averages(), 0
    if config.checkpoint:  # better now than after an hour
        describe(model)
        if not hasattr(batches, "state_dict"):
            raise ValueError(f"batches must have a state_dict to save checkpoints, got {type(batches).__name__}")
    if config.resume and config.checkpoint and Path(config.checkpoint).exists():
        checkpoint = load_checkpoint(config.checkpoint)
        done = checkpoint.step
        if done > config.steps:
            raise ValueError(f"steps must be at least the {done} that the checkpoint has done, got {config.steps}")
        restore(checkpoint, model, optimizer, batches, generator)
        history = _resumed(checkpoint.history, recent)
        if on_entry:
            on_entry(history)
    device, first = device_of(model), world().rank == 0
    trained = Parallel(model) if world().size > 1 else model
    if config.compile:
        trained = torch.compile(trained)
    quantizers = [part for part in model.modules() if isinstance(part, VectorQuantizer | EMAVectorQuantizer)]
    stream = _checked(batches, model, step)
    draws = {} if generator is None else {"generator": generator}
    trained.train()
    before = started = time.perf_counter()
    earlier, latest = history.images, ""
    with _progress(done, config) as bar, _left_uncompiled(quantizers if config.compile else []):
        for update in range(done, config.steps):
            batch = next(stream, None)
            if batch is None:
                raise ValueError(f"batches must last for {config.steps} steps, ended after {update}: use Batches")
            if config.channels_last and batch.x.ndim == 4:
                batch = batch._replace(x=batch.x.contiguous(memory_format=torch.channels_last))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(update, config)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                loss, logs = step(trained, batch, **draws)
            optimizer.zero_grad()
            loss.backward()
            if config.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            recent.add({"loss": loss, **logs})
            history.images += len(batch.x) * world().size
            rate = (history.images - earlier) / (time.perf_counter() - started)
            bar.set_postfix_str(f"{rate:,.0f} images/s{latest}", refresh=False)
            bar.update()

            stop = should_stop is not None and anywhere(should_stop())
            last = update + 1 == config.steps or stop
            if (update + 1) % config.log_every == 0 or last:
                recent.write(history, update + 1)
                now = time.perf_counter()
                history.seconds, before = history.seconds + now - before, now
                latest = f", loss {history['loss'][-1]:.4g}"
                if on_entry:
                    on_entry(history)
            if config.checkpoint and ((update + 1) % config.checkpoint_every == 0 or last):
                recent.means(update + 1)  # finite, or the last good checkpoint would be overwritten with NaN
                _must_be_finite(model, update + 1)
                history.recent = recent.state_dict()
                if first:
                    measured = asdict(history)
                    save_checkpoint(config.checkpoint, model, update + 1, measured, optimizer, batches, generator)
            if stop:
                break
    model.eval()
    return history


@contextmanager
def _left_uncompiled(quantizers: list[nn.Module]) -> Iterator[None]:
    """Let ``torch.compile`` pass over quantizers for the while.

    Compiled code looks the chosen codes up again on its way back, to save memory, but a codebook of running means
    has moved by then: PyTorch refuses.
    """
    for quantizer in quantizers:
        quantizer.forward = torch.compiler.disable(quantizer.forward)
    try:
        yield
    finally:
        for quantizer in quantizers:
            del quantizer.forward  # the method of the class shows again


def _checked(batches: Iterable[Batch], model: nn.Module, step: Step) -> Iterator[Batch]:
    """Return the batches; a prior's are looked at here, since within a step on a GPU ``check_indices`` does not look.

    What ``Batches`` holds is looked at once and as a whole, wherever it lies; other batches one by one.
    """
    if not (step is prior_step and isinstance(model, Prior)):
        return iter(batches)
    if isinstance(batches, Batches):
        _check_codes(model, batches.examples, batches.labels, batches.above)
        return iter(batches)

    def checked(batch: Batch) -> Batch:
        _check_codes(model, batch.x, batch.labels, batch.above if isinstance(batch, LevelBatch) else ())
        return batch

    return map(checked, batches)


@torch.no_grad()
def _check_codes(model: Prior, maps: Tensor, labels: Tensor, above: tuple[Tensor, ...]) -> None:
    model.check_inputs(maps, labels if model.num_classes is not None else None, model.condition_from(above))


def _must_be_finite(model: nn.Module, update: int) -> None:
    weights = [weight.isfinite().all() for weight in model.parameters()]
    if weights and not torch.stack(weights).all():  # one look at the GPU, not one a weight
        raise FloatingPointError(
            f"the weights must stay finite, but update {update} spoilt them: lower lr, set clip, or look at the data"
        )


def _resumed(saved: dict | None, recent: "_Averages") -> History:
    """Return the history of a checkpoint; what it had of the next entry goes to the averages."""
    try:
        history = History(**(saved or {}))
        if history.recent:
            recent.load_state_dict(history.recent)
        return history
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint must hold the history of a run to continue, got another ({error})") from error


class _Averages:
    """Running means of what the step functions log, kept as tensors so that a GPU need not wait."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, logs: dict[str, Tensor]) -> None:
        for name, value in logs.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach()
        self.count += 1

    def means(self, update: int) -> dict[str, float]:
        """Return the means over the updates and processes, which must be finite."""
        if not self.count:
            return {}
        shares = self.count * world().size
        place = next(iter(self.sums.values())).device
        sums = torch.stack([summed.to(place).reshape(()) for summed in self.sums.values()])
        sums = total(sums).cpu().tolist()  # one look at the GPU, not one a quantity
        means = {name: summed / shares for name, summed in zip(self.sums, sums, strict=True)}
        if not all(map(isfinite, means.values())):
            raise FloatingPointError(
                f"the loss must stay finite, got {means} by update {update}: lower lr, set clip, or look at the data"
            )
        return means

    def state_dict(self) -> dict:
        return {"sums": {name: total(summed).cpu() for name, summed in self.sums.items()}, "count": self.count}

    def load_state_dict(self, state: dict) -> None:
        """Continue from there; the first process takes the sums of all."""
        share = int(world().rank == 0)
        self.sums, self.count = {name: share * summed for name, summed in state["sums"].items()}, state["count"]

    def write(self, history: History, update: int) -> None:
        means = self.means(update)
        history.steps.append(update)
        for name, mean in means.items():
            history.values.setdefault(name, []).append(mean)
        self.sums, self.count = {}, 0


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
