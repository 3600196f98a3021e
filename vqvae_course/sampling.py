"""Ancestral sampling: one code after another in raster order, from any prior."""

import sys
from collections.abc import Callable, Iterator, Sequence
from math import isnan
from sys import float_info

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vqvae_course.conditional import ConditionalPrior, as_maps
from vqvae_course.incremental import IncrementalLogits
from vqvae_course.pixelcnn import GatedPixelCNN
from vqvae_course.pixelsnail import PixelSNAIL
from vqvae_course.prior import Prior
from vqvae_course.runtime import device_of, eval_mode


def draw(logits: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Draw one code per row of logits, by inverting the cumulative distribution.

    Args:
        logits: (B, K); -infinity for a code that must not be drawn.
        temperature: Positive. Logits are divided by it: below 1 likely codes become likelier, above 1 rarer.
        generator: Where random numbers come from; the global CPU one if None.

    Returns:
        (B,) int64.

    Raises:
        ValueError: If ``temperature`` is not positive, or logits are no logits: NaN, infinity, or nothing to draw.

    Explained in notebook 11.
    """
    must_be_positive(temperature)
    scores = logits.double().cpu()
    # Relative to the largest, or a temperature near 0 would make two infinities of the two likeliest codes.
    scores = scores.sub(scores.amax(dim=1, keepdim=True)).div_(min(temperature, float_info.max))
    reach = scores.softmax(dim=1).cumsum(dim=1)  # (B, K), rising to 1
    if isnan(reach[:, -1].sum()):
        spoilt = int(reach[:, -1].isnan().sum())
        raise ValueError(
            "logits must be finite numbers, or -infinity for some of the codes, got NaN, infinity or nothing but "
            f"-infinity for {spoilt:,} of {len(logits):,} maps: the prior's weights are spoilt, or its layers overflow "
            "in half precision. Train it again with a lower lr or with clip, or sample in float32"
        )
    device = "cpu" if generator is None else generator.device
    u = torch.rand(len(logits), 1, generator=generator, device=device, dtype=torch.float64).cpu()
    chosen = torch.searchsorted(reach, u * reach[:, -1:], right=True).clamp(max=logits.shape[1] - 1)
    return chosen[:, 0].to(logits.device)


def must_be_positive(temperature: float) -> None:
    """Raise ``ValueError`` unless logits can be divided by it."""
    if not temperature > 0:
        raise ValueError(
            f"temperature must be positive, got {temperature}: for the likeliest code each time pass a small one, "
            "such as 1e-6"
        )


class SamplingInterrupted(KeyboardInterrupt):
    """Sampling was stopped by hand; what had been drawn until then is in ``indices``.

    Attributes:
        indices: (B, h, w) int64, -1 where nothing has been drawn yet. Passed to ``sample`` as
            ``given``, with the same generator, it leads to the maps that an uninterrupted run draws.
    """

    def __init__(self, indices: Tensor):
        self.indices = indices
        done, positions = int((indices[0] >= 0).sum()), indices[0].numel()
        super().__init__(
            f"stopped after {done} of {positions} positions: catch this error as `stopped`, then go on with "
            "sample(..., given=stopped.indices)"
        )


@torch.no_grad()
def sample(
    prior: nn.Module,
    shape: tuple[int, int, int],
    labels: Tensor | None = None,
    condition: Tensor | Sequence[Tensor] | None = None,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    incremental: bool = True,
    given: Tensor | None = None,
    progress: bool = False,
) -> Tensor:
    """Draw index maps from a prior, one position after another in raster order.

    Every code is drawn from p(k_i | k_1 ... k_{i-1}), which the prior gives once the codes before
    it are known; a map has as many draws as positions. The naive way runs the whole network for
    each of them. The incremental way computes each activation once and keeps what later positions
    read, and draws the same codes from the same generator. (In float32 the two round differently in
    the last digits, so a draw can fall on the other side of a border between two codes: measured for
    15 layers and 128 codes, once in ten million draws with flat logits, once in a hundred thousand
    with sharp ones. In bfloat16 the logits agree to about 1 %.)

    Args:
        prior: ``prior(indices, labels, condition) -> (B, K, h, w)`` logits, causal in raster order.
        shape: (B, h, w).
        labels: (B,) int64, for a prior with classes.
        condition: (B, C, h, w), for a prior with a spatial condition; for a ``ConditionalPrior`` the index
            maps of the levels above, top first.
        temperature: Positive; 1 samples the prior itself.
        generator: Where random numbers come from; the global CPU one if None.
        incremental: Use the incremental way where there is one: for a ``GatedPixelCNN``, a ``PixelSNAIL`` and
            a ``ConditionalPrior``.
        given: (B, h, w) int64, codes to keep, and -1 where one is to be drawn: the upper half of an
            image to be completed, or what an interrupted run left. None draws all.
        progress: Show a progress bar.

    Returns:
        (B, h, w) int64 indices on the prior's device. The prior's mode is left as it was.

    Raises:
        ValueError: If ``temperature`` is not positive, ``shape`` is not three positive sizes, or
            the labels, the condition or the given codes do not fit, or the prior's logits are NaN or infinite.
        SamplingInterrupted: If it is stopped by hand; what was drawn comes with it.

    Explained in notebooks 11 and 13.
    """
    must_be_positive(temperature)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape must be (B, h, w) with positive sizes, got {tuple(shape)}")
    if given is not None and (given.shape != tuple(shape) or given.dtype != torch.int64 or int(given.min()) < -1):
        raise ValueError(
            f"given must be {tuple(shape)} int64 of at least -1, got {tuple(given.shape)} {given.dtype} "
            f"with least value {given.min()}"
        )
    device = device_of(prior)
    kept = torch.full(shape, -1, device=device) if given is None else given.to(device)
    indices = kept.clamp(min=0)
    positions = [(i, j) for i in range(shape[1]) for j in range(shape[2])]
    to_draw = (kept < 0).any(dim=0).tolist()
    if isinstance(prior, Prior):
        prior.check_inputs(indices, labels, condition)
    with eval_mode(prior):
        if isinstance(prior, ConditionalPrior):  # what is above stays the same at every position
            prior, condition = prior.inner, prior.stack(as_maps(condition))
        remembers = incremental and isinstance(prior, GatedPixelCNN | PixelSNAIL)
        if remembers:
            logits_at = IncrementalLogits(prior, indices, labels, condition)
        else:
            logits_at = _naive_logits(prior, indices, labels, condition)
        done = 0
        try:
            for i, j in _with_bar(positions, shape[0], progress):
                if to_draw[i][j]:
                    drawn = draw(logits_at(i, j), temperature, generator)
                    indices[:, i, j] = torch.where(kept[:, i, j] < 0, drawn, kept[:, i, j])
                elif remembers:
                    logits_at(i, j)  # nothing to draw, but later positions read what it keeps
                done += 1
        except KeyboardInterrupt as stop:
            later = torch.arange(len(positions), device=device).view(shape[1:]) >= done
            raise SamplingInterrupted(torch.where(later & (kept < 0), -1, indices)) from stop
    return indices


def _with_bar(positions: list[tuple[int, int]], images: int, progress: bool) -> Iterator[tuple[int, int]]:
    """Go through the positions; the images all grow at once, so each of them is a share of all images."""
    form = "{percentage:3.0f}%|{bar}| {n:.1f}/{total} images [{elapsed}<{remaining}, {rate_fmt}]"
    # stdout, as Jupyter paints stderr red
    with tqdm(
        total=images,
        disable=not progress,
        leave=False,
        file=sys.stdout,
        mininterval=0.5,
        unit=" images",
        bar_format=form,
    ) as bar:
        for position in positions:
            yield position
            bar.update(images / len(positions))


def _naive_logits(
    prior: nn.Module, indices: Tensor, labels: Tensor | None, condition: Tensor | None
) -> Callable[[int, int], Tensor]:
    return lambda i, j: prior(indices, labels, condition)[:, :, i, j]


def sample_levels(
    priors: Sequence[Prior],
    shapes: Sequence[tuple[int, int, int]],
    labels: Tensor | None = None,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    incremental: bool = True,
    progress: bool = False,
) -> list[Tensor]:
    """Draw the index maps of a hierarchy, top first, each level given all those above it.

    VQ-VAE-2 (arXiv:1906.00446v1), section 3.2 and figure 2: what is drawn goes to the decoder, for instance
    ``data.decode_levels``. No encoder takes part.

    Args:
        priors: One prior a level, top first; the lower ones are told of the maps above if they take a condition.
        shapes: (B, h, w) of each level, top first.
        labels: (B,) int64, passed to the priors that have classes.
        temperature: As for ``sample``, on all levels.
        generator: Where random numbers come from; the global CPU one if None.
        incremental: As for ``sample``.
        progress: Show a progress bar for each level.

    Returns:
        (B, h, w) int64 indices a level, top first.

    Raises:
        ValueError: If there are not as many shapes as priors, or an argument does not fit a prior.

    Explained in notebook 13.
    """
    if len(priors) != len(shapes):
        raise ValueError(f"shapes must hold one (B, h, w) for each of {len(priors)} priors, got {len(shapes)}")
    maps: list[Tensor] = []
    for prior, shape in zip(priors, shapes, strict=True):
        drawn = sample(
            prior,
            shape,
            labels if prior.num_classes is not None else None,
            prior.condition_from(tuple(maps)),
            temperature,
            generator,
            incremental,
            progress=progress,
        )
        maps.append(drawn)
    return maps
