"""Ancestral sampling: one code after another in raster order, from any prior."""

import sys
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vqvae_course.pixelcnn import GatedPixelCNN, gate
from vqvae_course.runtime import eval_mode


def draw(logits: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Draw one code per row of logits, by inverting the cumulative distribution.

    Args:
        logits: (B, K).
        temperature: Logits are divided by it: below 1 likely codes become likelier, above 1 rarer.
        generator: Where random numbers come from; the global CPU one if None.

    Returns:
        (B,) int64.

    Explained in notebook 00.
    """
    reach = (logits.double().cpu() / temperature).softmax(dim=1).cumsum(dim=1)  # (B, K), rising to 1
    device = "cpu" if generator is None else generator.device
    u = torch.rand(len(logits), 1, generator=generator, device=device, dtype=torch.float64).cpu()
    chosen = torch.searchsorted(reach, u * reach[:, -1:], right=True).clamp(max=logits.shape[1] - 1)
    return chosen[:, 0].to(logits.device)


class SamplingInterrupted(KeyboardInterrupt):
    """Sampling was stopped by hand; what had been drawn until then is in ``indices``.

    Attributes:
        indices: (B, h, w) int64, -1 where nothing has been drawn yet. Passed to ``sample`` as
            ``given``, with the same generator, it leads to the maps that an uninterrupted run draws.
    """

    def __init__(self, indices: Tensor):
        self.indices = indices
        done, places = int((indices[0] >= 0).sum()), indices[0].numel()
        super().__init__(
            f"stopped after {done} of {places} positions: catch this error as `stopped`, then go on with "
            "sample(..., given=stopped.indices)"
        )


@torch.inference_mode()
def sample(
    prior: nn.Module,
    shape: tuple[int, int, int],
    labels: Tensor | None = None,
    condition: Tensor | None = None,
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
    read, and draws the same codes from the same generator.

    Args:
        prior: ``prior(indices, labels, condition) -> (B, K, h, w)`` logits, causal in raster order.
        shape: (B, h, w).
        labels: (B,) int64, for a prior with classes.
        condition: (B, C, h, w), for a prior with a spatial condition.
        temperature: Positive; 1 samples the prior itself.
        generator: Where random numbers come from; the global CPU one if None.
        incremental: Use the incremental way where there is one, which is for a ``GatedPixelCNN``.
        given: (B, h, w) int64, codes to keep, and -1 where one is to be drawn: the upper half of an
            image to be completed, or what an interrupted run left. None draws all.
        progress: Show a progress bar over positions.

    Returns:
        (B, h, w) int64 indices on the prior's device. The prior's mode is left as it was.

    Raises:
        ValueError: If ``temperature`` is not positive, ``shape`` is not three positive sizes, or
            the labels, the condition or the given codes do not fit.
        SamplingInterrupted: If it is stopped by hand; what was drawn comes with it.

    Explained in notebook 11.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape must be (B, h, w) with positive sizes, got {tuple(shape)}")
    if given is not None and (given.shape != tuple(shape) or given.dtype != torch.int64 or int(given.min()) < -1):
        raise ValueError(
            f"given must be {tuple(shape)} int64 of at least -1, got {tuple(given.shape)} {given.dtype} "
            f"with least value {given.min()}"
        )
    device = next((parameter.device for parameter in prior.parameters()), torch.device("cpu"))
    kept = torch.full(shape, -1, device=device) if given is None else given.to(device)
    indices = kept.clamp(min=0)
    places = [(i, j) for i in range(shape[1]) for j in range(shape[2])]
    with eval_mode(prior):
        if incremental and isinstance(prior, GatedPixelCNN):
            prior.check_inputs(indices, labels, condition)
            logits_at = IncrementalLogits(prior, indices, labels, condition)
        else:
            logits_at = _naive_logits(prior, indices, labels, condition)
        done = 0
        try:
            for done, (i, j) in enumerate(_bar(places, progress)):
                logits = logits_at(i, j)
                if (kept[:, i, j] < 0).any():
                    drawn = draw(logits, temperature, generator)
                    indices[:, i, j] = torch.where(kept[:, i, j] < 0, drawn, kept[:, i, j])
        except KeyboardInterrupt as stop:
            later = torch.arange(len(places), device=device).view(shape[1:]) >= done
            raise SamplingInterrupted(torch.where(later & (kept < 0), -1, indices)) from stop
    return indices


def _bar(places: list[tuple[int, int]], progress: bool) -> Iterable[tuple[int, int]]:
    # stdout, as Jupyter paints stderr red
    return tqdm(places, disable=not progress, leave=False, file=sys.stdout, mininterval=0.5, unit=" positions")


def _naive_logits(
    prior: nn.Module, indices: Tensor, labels: Tensor | None, condition: Tensor | None
) -> Callable[[int, int], Tensor]:
    return lambda i, j: prior(indices, labels, condition)[:, :, i, j]


class IncrementalLogits:
    """The logits of a gated PixelCNN position by position, each activation computed once.

    The vertical stack sees only the rows above, so it runs once a row, on the last few rows of each
    layer's input. The horizontal stack runs once a position, on the last few columns of each layer's
    input: a small matrix product, the gate, another product.

    Args:
        prior: A ``GatedPixelCNN``.
        indices: (B, h, w), read as they are filled in, in raster order.
        labels: (B,) int64, or None.
        condition: (B, C, h, w), or None.
    """

    def __init__(self, prior: GatedPixelCNN, indices: Tensor, labels: Tensor | None, condition: Tensor | None):
        self.prior = prior
        self.indices = indices
        self.labels, self.condition = labels, condition
        batch, height, width = indices.shape
        weight = prior.embed.weight
        # What each layer reads, zero-padded as in GatedLayer.forward: whole rows, and one row of columns.
        self.above = [
            weight.new_zeros(batch, weight.shape[1], height + layer.reach, width + 2 * layer.reach)
            for layer in prior.layers
        ]
        self.left = [weight.new_zeros(batch, weight.shape[1], 1, width + layer.reach) for layer in prior.layers]
        self.told: list[Tensor] = []  # per layer (B, 2 * hidden, 1, w): what the row is told of the rows above

    def __call__(self, i: int, j: int) -> Tensor:
        """Return the (B, K) logits at row ``i``, column ``j``; all positions before must be filled in."""
        if j == 0:
            self._start_row(i)
        else:
            newest = self.prior.embed(self.indices[:, i, j - 1])
            self.left[0][:, :, 0, j - 1 + self.prior.layers[0].reach] = newest
        h = None
        for layer, left, told in zip(self.prior.layers, self.left, self.told, strict=True):
            if h is not None:
                left[:, :, :, j + layer.reach] = h[:, :, :, 0]
            window = left[:, :, :, j : j + layer.horizontal.kernel_size[1]]
            step = layer.out(gate(layer.horizontal(window) + told[:, :, :, j : j + 1]))
            h = step if layer.first else h + step
        return self.prior.head(h)[:, :, 0, 0]

    def _start_row(self, i: int) -> None:
        if i > 0:
            finished = self.prior.embed(self.indices[:, i - 1]).movedim(-1, 1)  # (B, hidden, w)
            self._push(0, i - 1, finished)
        self.told = []
        for depth, layer in enumerate(self.prior.layers):
            row = None if self.condition is None else self.condition[:, :, i : i + 1]
            bias_v, bias_h = layer.bias(self.labels, row)
            above = layer.vertical(self.above[depth][:, :, i : i + layer.vertical.kernel_size[0]])
            told = layer.link(above) + bias_h
            self.told.append(told)
            if depth + 1 < len(self.prior.layers):
                self._push(depth + 1, i, gate(above + bias_v)[:, :, 0])

    def _push(self, depth: int, i: int, row: Tensor) -> None:
        reach = self.prior.layers[depth].reach
        self.above[depth][:, :, i + reach, reach : reach + row.shape[2]] = row
