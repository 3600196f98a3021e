"""Sampling without computing anything twice: what each layer of a prior keeps of the positions before."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.pixelcnn import GatedLayer, GatedPixelCNN, gate
from vqvae_course.pixelsnail import CausalAttention, PixelSNAIL, positional_encoding


class IncrementalLogits:
    """The logits of a gated PixelCNN or a PixelSNAIL position by position, each activation computed once.

    The vertical stack sees only the rows above, so it runs once a row; what it tells the horizontal
    stack of that row is then a table, one entry a column. The horizontal stack runs once a position:
    per layer one small matrix product over the columns to the left, the gate, another product. An
    attention layer keeps the keys and values of all positions so far, and a new position compares one
    query with them. All in all that is the arithmetic of one pass over the whole map, in many small
    pieces.

    Args:
        prior: A ``GatedPixelCNN`` or a ``PixelSNAIL``.
        indices: (B, h, w), read as they are filled in, in raster order.
        labels: (B,) int64, or None.
        condition: (B, C, h, w), or None.

    Explained in notebooks 11 and 13.
    """

    def __init__(
        self,
        prior: GatedPixelCNN | PixelSNAIL,
        indices: Tensor,
        labels: Tensor | None,
        condition: Tensor | None,
    ):
        self.prior = prior
        self.indices = indices
        self.labels, self.condition = labels, condition
        self.layers = [
            _AttentionMemory(layer, prior.embed, indices)
            if isinstance(layer, CausalAttention)
            else _LayerMemory(layer, len(indices), indices.shape[2])
            for layer in prior.layers
        ]
        self.gated = [memory for memory in self.layers if isinstance(memory, _LayerMemory)]

    def __call__(self, i: int, j: int) -> Tensor:
        """Return the (B, K) logits at row ``i``, column ``j``; all positions before must be filled in."""
        if j == 0:
            self._start_row(i)
        else:
            self.gated[0].put_left(j - 1, self.prior.embed(self.indices[:, i, j - 1]))
        h = None
        for memory in self.layers:
            h = memory.step(i, j, h)
        _, narrow, _, wide = self.prior.head
        return _pointwise(wide, _pointwise(narrow, h.relu()).relu())

    def _start_row(self, i: int) -> None:
        if i > 0:
            finished = self.prior.embed(self.indices[:, i - 1])  # (B, w, hidden)
            self.gated[0].put_above(finished.transpose(0, 1))
        condition = None if self.condition is None else self.condition[:, :, i : i + 1]
        for memory, following in zip(self.gated, [*self.gated[1:], None], strict=True):
            v = memory.start_row(self.labels, condition)
            if following is not None:  # nobody reads the last layer's vertical stack
                following.put_above(v)


class _AttentionMemory:
    """What one attention layer keeps: keys and values of "nothing" and of all positions so far."""

    def __init__(self, attention: CausalAttention, embed: nn.Embedding, indices: Tensor):
        self.attention, self.embed, self.indices = attention, embed, indices
        batch, height, width = indices.shape
        self.width = width
        nothing = attention.nothing.expand(batch, 1, -1)
        self.encoding = positional_encoding(height, width, nothing.device).to(nothing)
        # (B, heads, N, d) each, written one position at a time; the last position is never looked at.
        self.key, self.value = (
            attention.split_heads(x).repeat(1, 1, height * width, 1) for x in nothing.chunk(2, dim=2)
        )
        self.before: Tensor  # (B, 1, hidden): h at the position before

    def step(self, i: int, j: int, h: Tensor) -> Tensor:
        """Run the attention at row ``i``, column ``j``; ``h`` is (B, hidden)."""
        attention, here = self.attention, i * self.width + j
        if here > 0:
            code = self.embed(self.indices[:, (here - 1) // self.width, (here - 1) % self.width])[:, None]
            key_value = attention.look_at(self.before, code, self._encoding(here - 1)).chunk(2, dim=2)
            self.key[:, :, here], self.value[:, :, here] = (attention.split_heads(x)[:, :, 0] for x in key_value)
        self.before = h[:, None]
        query = attention.split_heads(attention.look_for(self.before, self._encoding(here)))  # (B, heads, 1, d)
        found = F.scaled_dot_product_attention(query, self.key[:, :, : here + 1], self.value[:, :, : here + 1])
        return h + attention.out(found.transpose(1, 2).flatten(1))

    def _encoding(self, position: int) -> Tensor:
        return self.encoding[position].expand(len(self.indices), 1, -1)


class _LayerMemory:
    """What one layer keeps of its input: the last rows, and the columns so far of the current row.

    Columns come first and channels last, so that the input seen through any column of a kernel is one
    matrix in memory and each product reads it in place.
    """

    def __init__(self, layer: GatedLayer, batch: int, width: int):
        self.layer, self.width = layer, width
        rows, columns = layer.vertical.kernel_size
        self.hidden = layer.out.in_channels
        weight = layer.vertical.weight
        self.by_column = weight.permute(3, 2, 1, 0).reshape(columns, rows * self.hidden, -1)
        self.leftward = layer.horizontal.weight[:, :, 0].permute(2, 1, 0).flatten(0, 1)  # (columns * hidden, 2 hidden)
        # Zero-padded as in GatedLayer.forward. Of the rows, the newest is last.
        self.above = weight.new_zeros(width + 2 * layer.reach, batch, rows * self.hidden)
        self.left = weight.new_zeros(batch, (width + layer.reach) * self.hidden)
        self.added: Tensor  # (w, B, 2 hidden): all that the horizontal stack adds inside its gate in this row

    def put_above(self, row: Tensor) -> None:
        """Take in the next row of the vertical stack, (w, B, hidden), and forget the oldest."""
        reach = self.layer.reach
        self.above = torch.cat([self.above[:, :, self.hidden :], F.pad(row, (0, 0, 0, 0, reach, reach))], dim=2)

    def put_left(self, j: int, column: Tensor) -> None:
        """Take in column ``j`` of the horizontal stack, (B, hidden)."""
        start = (j + self.layer.reach) * self.hidden
        self.left[:, start : start + self.hidden] = column

    def start_row(self, labels: Tensor | None, condition: Tensor | None) -> Tensor:
        """Run the vertical stack over a row; return what the next layer's shall see, (w, B, hidden)."""
        layer = self.layer
        bias_v, bias_h = (_columns_first(bias) for bias in layer.bias(labels, condition))
        flat = self.above.flatten(0, 1)  # ((w + padding) B, rows * hidden)
        batch = self.above.shape[1]
        above = layer.vertical.bias.expand(self.width * batch, -1)
        for column, weight in enumerate(self.by_column):
            seen = flat[column * batch : (column + self.width) * batch]
            above = torch.addmm(above, seen, weight)
        linked = _pointwise(layer.link, above).view(self.width, batch, -1)
        self.added = linked + layer.horizontal.bias + bias_h
        return gate((above.view_as(linked) + bias_v).flatten(0, 1)).view(self.width, batch, -1)

    def step(self, i: int, j: int, h: Tensor | None) -> Tensor:
        """Run the horizontal stack at row ``i``, column ``j``; ``h``, (B, hidden), is None in the first layer."""
        if h is not None:
            self.put_left(j, h)
        columns = self.layer.horizontal.kernel_size[1]
        window = self.left[:, j * self.hidden : (j + columns) * self.hidden]
        step = _pointwise(self.layer.out, gate(torch.addmm(self.added[j], window, self.leftward)))
        return step if h is None else h + step


def _pointwise(layer: nn.Conv2d, rows: Tensor) -> Tensor:
    """Apply a 1x1 convolution to (N, channels)."""
    return F.linear(rows, layer.weight[:, :, 0, 0], layer.bias)


def _columns_first(bias: Tensor | float) -> Tensor | float:
    """Lay out what is added inside a gate, (B, C, 1, w or 1), as (w or 1, B, C)."""
    return bias if isinstance(bias, float) else bias[:, :, 0].permute(2, 0, 1)
