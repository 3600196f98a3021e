"""The PixelSNAIL: gated causal convolutions with causal self-attention between them."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.configs import at_least, odd_kernels
from vqvae_course.pixelcnn import GatedLayer, output_stack
from vqvae_course.prior import EmbeddingPrior

PERIODS = (4, 8, 16, 32, 64, 128, 256)  # of the waves that tell places apart, in positions


def positional_encoding(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Describe each position of a map by waves along its row and its column number.

    After Vaswani et al. (arXiv:1706.03762v7), section 3.5, in two dimensions: ``sin`` and ``cos`` of
    ``2 pi i / T`` and ``2 pi j / T`` for each period T in ``PERIODS``. Two places at the same distance from each
    other are the same rotation apart wherever they stand, so attention can learn "one row up" as one rule.

    Args:
        height: Rows of the map.
        width: Columns of the map.
        device: Where to compute them; the CPU if None.

    Returns:
        (height * width, 4 * len(PERIODS)) float32, in raster order.

    Explained in notebook 13.
    """
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    i, j = torch.cartesian_prod(rows, columns).view(-1, 2).unbind(dim=1)
    angles = torch.stack([axis * (2 * math.pi / period) for axis in (i, j) for period in PERIODS], dim=1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def check_heads(hidden: int, heads: int) -> None:
    """Raise ``ValueError`` unless so many heads can share so many channels."""
    if heads < 1 or hidden % heads:
        raise ValueError(f"heads must be at least 1 and divide hidden = {hidden}, got {heads}")


class CausalAttention(nn.Module):
    """Let each position look back at every earlier one, however far away.

    PixelSNAIL (arXiv:1712.09763v1), section 2.2, with the attention of Vaswani et al. (arXiv:1706.03762v7), eq. 1,
    in several heads of d numbers each:

        out_i = sum_{j < i} softmax_j(q_i . k_j / sqrt(d)) v_j

    The query at i is made of ``h_i``, which knows the codes before i only. Keys and values at j are made of ``h_j``
    and of the code at j itself, which may be read since j lies strictly before i. The first position has nothing
    before it, and a softmax over nothing is 0 / 0. So there is one more pair of key and value, learned, in front of
    all positions: "nothing". Every position may look at it, and no row of the mask is empty.

    Departures: waves tell positions apart (``positional_encoding``) instead of two ramps; a layer normalisation keeps
    scores in range however deep the network is; the result is added to h.

    Args:
        hidden: Channels, a multiple of ``heads``.
        heads: How many things a position can look for at once.

    Raises:
        ValueError: If ``heads`` is below 1 or does not divide ``hidden``.

    Explained in notebook 13.
    """

    def __init__(self, hidden: int, heads: int = 4):
        super().__init__()
        check_heads(hidden, heads)
        waves = 4 * len(PERIODS)
        self.heads = heads
        self.norm = nn.LayerNorm(hidden)
        self.query = nn.Linear(hidden + waves, hidden)
        self.key_value = nn.Linear(2 * hidden + waves, 2 * hidden)
        self.nothing = nn.Parameter(0.02 * torch.randn(2 * hidden))
        self.out = nn.Linear(hidden, hidden)

    def forward(self, h: Tensor, codes: Tensor) -> Tensor:
        """Add to ``h`` what each position finds at earlier ones.

        Args:
            h: (B, hidden, height, width), at each position a function of the codes before it.
            codes: (B, hidden, height, width), the embedded codes themselves.

        Returns:
            (B, hidden, height, width).
        """
        batch, _, height, width = h.shape
        encoding = positional_encoding(height, width, h.device).to(h).expand(batch, -1, -1)
        rows, code_rows = (x.flatten(2).transpose(1, 2) for x in (h, codes))  # (B, N, hidden)
        key_value = self.look_at(rows, code_rows, encoding)
        start = self.nothing.expand(batch, 1, -1).to(key_value.dtype)
        # One place later, behind "nothing": what is allowed is then the usual triangle with its diagonal.
        key, value = torch.cat([start, key_value[:, :-1]], dim=1).chunk(2, dim=2)
        found = F.scaled_dot_product_attention(
            *(self.split_heads(x) for x in (self.look_for(rows, encoding), key, value)), is_causal=True
        )
        found = self.out(found.transpose(1, 2).flatten(2))  # (B, N, hidden)
        return h + found.transpose(1, 2).unflatten(2, (height, width))

    def look_for(self, h: Tensor, encoding: Tensor) -> Tensor:
        """Return the queries (B, N, hidden) of rows ``h`` (B, N, hidden), with positions encoded as (B, N, P)."""
        return self.query(torch.cat([self.norm(h), encoding], dim=2))

    def look_at(self, h: Tensor, codes: Tensor, encoding: Tensor) -> Tensor:
        """Return keys and values (B, N, 2 * hidden) of rows ``h``, their codes and their encoded positions."""
        return self.key_value(torch.cat([self.norm(h), codes, encoding], dim=2))

    def split_heads(self, x: Tensor) -> Tensor:
        """Deal out (B, N, hidden) to the heads: (B, heads, N, d)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


@dataclass(frozen=True)
class PixelSNAILConfig:
    """Everything that defines a PixelSNAIL; ``PixelSNAIL(config)`` rebuilds it.

    Attributes:
        num_codes: K.
        hidden: Channels, a multiple of ``heads``.
        blocks: How many times gated layers and attention follow each other.
        layers: Gated layers in a block.
        heads: Heads of each attention.
        kernel_size: Odd size of all kernels but the first layer's.
        num_classes: Number of labels; None for a prior without classes.
        condition_channels: Channels of a spatial condition; None for a prior without one.
        first_kernel_size: Odd size of the first layer's kernel.
    """

    num_codes: int
    hidden: int = 64
    blocks: int = 2
    layers: int = 2
    heads: int = 4
    kernel_size: int = 3
    num_classes: int | None = None
    condition_channels: int | None = None
    first_kernel_size: int = 7

    def __post_init__(self):
        at_least(1, self, "num_codes", "hidden", "blocks", "layers", "num_classes", "condition_channels")
        check_heads(self.hidden, self.heads)
        odd_kernels(self, "kernel_size", "first_kernel_size")


class PixelSNAIL(EmbeddingPrior):
    """A prior over index maps that sees near codes by convolution and far ones by attention.

    PixelSNAIL (arXiv:1712.09763v1), figure 3; as the top prior of VQ-VAE-2 (arXiv:1906.00446v1), section 3.2:

        p(k) = prod_i p(k_i | k_1 ... k_{i-1}, label, condition)

    Blocks of gated layers (``GatedLayer``, the two stacks of the gated PixelCNN), each followed by one
    ``CausalAttention``. Convolutions know what is next to what. Attention costs a comparison of every pair of
    positions, so it is for small maps: four times as many positions take sixteen times as many comparisons.

    Args:
        config: A ``PixelSNAILConfig``.

    Explained in notebook 13.
    """

    def __init__(self, config: PixelSNAILConfig):
        super().__init__(config.num_codes, config.hidden, config.num_classes, config.condition_channels)
        self.config = config
        c = config
        self.layers = nn.ModuleList()
        for depth in range(c.blocks * c.layers):
            kernel = c.kernel_size if depth else c.first_kernel_size
            self.layers.append(GatedLayer(c.hidden, kernel, depth == 0, c.num_classes, c.condition_channels))
            if (depth + 1) % c.layers == 0:
                self.layers.append(CausalAttention(c.hidden, c.heads))
        self.head = output_stack(c.hidden, c.num_codes)

    def logits_from(self, embedded: Tensor, labels: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return (B, K, h, w) logits from embedded codes (B, hidden, h, w)."""
        v = h = embedded
        for layer in self.layers:
            if isinstance(layer, CausalAttention):
                h = layer(h, embedded)
            else:
                v, h = layer(v, h, labels, condition)
        return self.head(h)
