"""Convolutional priors over index maps: the PixelCNN with masked weights, and the gated PixelCNN with two stacks."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.configs import at_least, odd_kernels
from vqvae_course.prior import EmbeddingPrior


def causal_mask(kernel_size: int, kind: str) -> Tensor:
    """Return which weights of a kernel may be used: those of positions before the centre in raster order.

    PixelRNN (arXiv:1601.06759v3), section 3.4: mask A, for the first layer, hides the centre too,
    since there the centre is the very code to be predicted; mask B shows it.

    Args:
        kernel_size: Odd.
        kind: ``"A"`` or ``"B"``.

    Returns:
        (kernel_size, kernel_size) bool, True where a weight may be used.

    Raises:
        ValueError: If ``kind`` is another letter, or ``kernel_size`` even or below 1.

    Explained in notebook 10.
    """
    if kind not in ("A", "B"):
        raise ValueError(f'kind must be "A" or "B", got {kind!r}')
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and at least 1, got {kernel_size}")
    order = torch.arange(kernel_size**2).view(kernel_size, kernel_size)  # raster order
    centre = kernel_size**2 // 2
    return order < centre if kind == "A" else order <= centre


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees the positions above and to the left, and with mask B its own.

    PixelRNN (arXiv:1601.06759v3), section 3.4. Stride 1, output the size of the input.

    The mask replaces hidden weights by zero each time they are used. Zeroed once at the start, they
    would be filled again by the next optimizer step or a loaded checkpoint.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        kernel_size: Odd.
        kind: ``"A"`` or ``"B"``, see ``causal_mask``.

    Raises:
        ValueError: If ``kind`` or ``kernel_size`` is not one of those.

    Explained in notebook 10.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, kind: str):
        mask = causal_mask(kernel_size, kind)
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.kind = kind
        self.register_buffer("mask", mask, persistent=False)  # no checkpoint holds it, so none can change it

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, in_channels, h, w) to (B, out_channels, h, w)."""
        return self._conv_forward(x, self.weight.masked_fill(~self.mask, 0), self.bias)

    def extra_repr(self) -> str:  # noqa: D102 - torch documents it
        return f"{super().extra_repr()}, kind={self.kind!r}"


class MaskedResidual(nn.Sequential):
    """A residual layer of masked convolutions: 1x1 down to half the channels, masked, 1x1 up, added to what came.

    PixelRNN (arXiv:1601.06759v3), figure 5.

    Args:
        hidden: Channels that come and go.
        kernel_size: Odd size of the masked convolution.

    Explained in notebook 10.
    """

    def __init__(self, hidden: int, kernel_size: int):
        narrow = max(1, hidden // 2)
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(hidden, narrow, 1),
            nn.ReLU(),
            MaskedConv2d(narrow, narrow, kernel_size, "B"),
            nn.ReLU(),
            nn.Conv2d(narrow, hidden, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add to (B, hidden, h, w) what the layers make of it."""
        return x + super().forward(x)


@dataclass(frozen=True)
class PixelCNNConfig:
    """Everything that defines a PixelCNN; ``PixelCNN(config)`` rebuilds it.

    Attributes:
        num_codes: K.
        hidden: Channels.
        layers: Masked convolutions, the first one included.
        kernel_size: Odd size of all masked kernels but the first.
        first_kernel_size: Odd size of the first kernel; 7 as in the paper.
    """

    num_codes: int
    hidden: int = 64
    layers: int = 5
    kernel_size: int = 3
    first_kernel_size: int = 7

    def __post_init__(self):
        at_least(1, self, "num_codes", "hidden", "layers")
        odd_kernels(self, "kernel_size", "first_kernel_size")


class PixelCNN(EmbeddingPrior):
    """The first convolutional prior: one stack of masked convolutions, with a blind spot.

    PixelRNN (arXiv:1601.06759v3), sections 3.4 and 3.5, table 1: a convolution with mask A, residual
    layers with mask B, 1x1 convolutions. However deep, it never sees some positions above and to the
    right (the blind spot: a masked kernel reaches one column to the right for each row up, and
    nothing in its own row); ``GatedPixelCNN`` does. It has neither classes nor a condition.

    Departure: codes are embedded, as they have no order; the paper's input are pixel values.

    Args:
        config: A ``PixelCNNConfig``.

    Explained in notebook 10.
    """

    def __init__(self, config: PixelCNNConfig):
        super().__init__(config.num_codes, config.hidden)
        self.config = config
        c = config
        self.first = MaskedConv2d(c.hidden, c.hidden, c.first_kernel_size, "A")
        self.residual = nn.Sequential(*(MaskedResidual(c.hidden, c.kernel_size) for _ in range(c.layers - 1)))
        self.head = output_stack(c.hidden, c.num_codes)

    def logits_from(self, embedded: Tensor, labels: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return (B, K, h, w) logits from embedded codes (B, hidden, h, w)."""
        return self.head(self.residual(self.first(embedded)))


def output_stack(hidden: int, num_codes: int) -> nn.Sequential:
    """Return the last layers of a prior, position by position: (B, hidden, h, w) -> (B, K, h, w)."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(hidden, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, num_codes, 1))


def gate(x: Tensor) -> Tensor:
    """Multiply a tanh half by a sigmoid half: (B, 2C, h, w) -> (B, C, h, w).

    Gated PixelCNN (arXiv:1606.05328v2), eq. 2: ``y = tanh(W_f * x) . sigmoid(W_g * x)``.

    Explained in notebook 11.
    """
    signal, valve = x.chunk(2, dim=1)
    return torch.tanh(signal) * torch.sigmoid(valve)


class GatedLayer(nn.Module):
    """One layer of the two stacks that together see all of the past and nothing else.

    Gated PixelCNN (arXiv:1606.05328v2), sections 2.2 and 2.3, figure 2. The vertical stack sees the
    rows above, to the left and to the right; the horizontal stack sees its own row to the left, and
    is told of the rows above by a 1x1 link taken before the gate. Nothing flows from the horizontal
    to the vertical stack: that would carry what is on the right of a position into the next row,
    where it is on the left.

    Departure: convolutions padded on one side instead of masked weights, so that there is no mask
    for an optimizer step or a loaded checkpoint to undo.

    Args:
        hidden: Channels of each stack.
        kernel_size: Odd, at least 3.
        first: Whether this layer reads the codes themselves, and so must leave out its own position.
        num_classes: Number of labels, or None.
        condition_channels: Channels of a spatial condition, or None.

    Explained in notebook 11.
    """

    def __init__(
        self,
        hidden: int,
        kernel_size: int,
        first: bool = False,
        num_classes: int | None = None,
        condition_channels: int | None = None,
    ):
        super().__init__()
        self.first = first
        self.reach = kernel_size // 2
        extent = self.reach if first else self.reach + 1  # rows up and columns left, own one included or not
        self.vertical = nn.Conv2d(hidden, 2 * hidden, (extent, kernel_size))
        self.horizontal = nn.Conv2d(hidden, 2 * hidden, (1, extent))
        self.link = nn.Conv2d(2 * hidden, 2 * hidden, 1)
        self.out = nn.Conv2d(hidden, hidden, 1)
        self.class_bias = None if num_classes is None else nn.Embedding(num_classes, 4 * hidden)
        self.condition = None if condition_channels is None else nn.Conv2d(condition_channels, 4 * hidden, 1)

    def bias(self, labels: Tensor | None, condition: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
        """Return what is added inside the gates of the vertical and of the horizontal stack.

        Gated PixelCNN, eq. 4: ``tanh(W_f * x + V_f h) . sigmoid(W_g * x + V_g h)``.

        Args:
            labels: (B,) int64, or None.
            condition: (B, condition_channels, h, w), or None.

        Returns:
            Two tensors that broadcast to (B, 2 * hidden, h, w), or zeros.
        """
        total: Tensor | float = 0.0
        if self.class_bias is not None:
            total = total + self.class_bias(labels)[:, :, None, None]
        if self.condition is not None:
            total = total + self.condition(condition)
        return (0.0, 0.0) if isinstance(total, float) else tuple(total.chunk(2, dim=1))

    def forward(
        self, v: Tensor, h: Tensor, labels: Tensor | None = None, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map both stacks one layer up.

        Args:
            v: (B, hidden, h, w), the vertical stack.
            h: (B, hidden, h, w), the horizontal stack.
            labels: (B,) int64, or None.
            condition: (B, condition_channels, h, w), or None.

        Returns:
            The two stacks, shaped as they came.
        """
        bias_v, bias_h = self.bias(labels, condition)
        past = -1 if self.first else 0  # a negative pad crops: the map moves by one, its own place drops out
        above = self.vertical(F.pad(v, (self.reach, self.reach, self.reach, past)))
        left = self.horizontal(F.pad(h, (self.reach, past, 0, 0)))
        step = self.out(gate(left + self.link(above) + bias_h))
        # In the first layer h still holds the position's own code: adding it would leak the answer.
        return gate(above + bias_v), step if self.first else h + step


@dataclass(frozen=True)
class GatedPixelCNNConfig:
    """Everything that defines a gated PixelCNN; ``GatedPixelCNN(config)`` rebuilds it.

    Attributes:
        num_codes: K.
        hidden: Channels of each stack.
        layers: Gated layers, the first one included.
        kernel_size: Odd size of all kernels but the first layer's.
        num_classes: Number of labels; None for a prior without classes.
        condition_channels: Channels of a spatial condition; None for a prior without one.
        first_kernel_size: Odd size of the first layer's kernel; 7 as in the paper.
    """

    num_codes: int
    hidden: int = 64
    layers: int = 5
    kernel_size: int = 3
    num_classes: int | None = None
    condition_channels: int | None = None
    first_kernel_size: int = 7

    def __post_init__(self):
        at_least(1, self, "num_codes", "hidden", "layers", "num_classes", "condition_channels")
        odd_kernels(self, "kernel_size", "first_kernel_size")


class GatedPixelCNN(EmbeddingPrior):
    """A prior over index maps: the distribution of each code given all before it in raster order.

    Gated PixelCNN (arXiv:1606.05328v2), eqs. 1, 2 and 4:

        p(k) = prod_i p(k_i | k_1 ... k_{i-1}, label, condition)

    Args:
        config: A ``GatedPixelCNNConfig``.

    Explained in notebook 11.
    """

    def __init__(self, config: GatedPixelCNNConfig):
        super().__init__(config.num_codes, config.hidden, config.num_classes, config.condition_channels)
        self.config = config
        c = config
        kernels = [c.first_kernel_size] + [c.kernel_size] * (c.layers - 1)
        self.layers = nn.ModuleList(
            GatedLayer(c.hidden, kernel, depth == 0, c.num_classes, c.condition_channels)
            for depth, kernel in enumerate(kernels)
        )
        self.head = output_stack(c.hidden, c.num_codes)

    def logits_from(self, embedded: Tensor, labels: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return (B, K, h, w) logits from embedded codes (B, hidden, h, w)."""
        v = h = embedded
        for layer in self.layers:
            v, h = layer(v, h, labels, condition)
        return self.head(h)
