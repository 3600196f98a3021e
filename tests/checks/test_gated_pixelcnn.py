"""Right and wrong answers to the exercises of notebook 11."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.checks.registered import Answers
from vqvae_course.sampling import sample as package_sample

answers = Answers()


def gated(x):
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)


# GatedLayer


@answers.accept("GatedLayer")
class Padded(nn.Module):
    """Cut-down kernels and one-sided padding."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__()
        self.first, self.r = first, kernel_size // 2
        extent = self.r if first else self.r + 1
        self.vertical = nn.Conv2d(hidden, 2 * hidden, (extent, kernel_size))
        self.horizontal = nn.Conv2d(hidden, 2 * hidden, (1, extent))
        self.link = nn.Conv2d(2 * hidden, 2 * hidden, 1)
        self.out = nn.Conv2d(hidden, hidden, 1)

    def above(self, v):
        return self.vertical(F.pad(v, (self.r, self.r, self.r, -1 if self.first else 0)))

    def left(self, h):
        return self.horizontal(F.pad(h, (self.r, -1 if self.first else 0, 0, 0)))

    def gate(self, x):
        return gated(x)

    def combine(self, v, h):
        above = self.above(v)
        return self.gate(above), self.out(self.gate(self.left(h) + self.link(above)))

    def forward(self, v, h):
        new_v, step = self.combine(v, h)
        return new_v, step if self.first else h + step


@answers.accept("GatedLayer")
class Masked(nn.Module):
    """Full kernels, masked each time they are used; two convolutions for the two halves."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__()
        self.first, self.r = first, kernel_size // 2
        row, column = torch.arange(kernel_size)[:, None], torch.arange(kernel_size)[None]
        last = self.r - 1 if first else self.r
        self.register_buffer("rows", (row <= last).expand(kernel_size, kernel_size).float())
        self.register_buffer("line", ((row == self.r) & (column <= last)).float())
        square = {"kernel_size": kernel_size, "padding": self.r}
        self.v_convs = nn.ModuleList([nn.Conv2d(hidden, hidden, **square) for _ in "fg"])
        self.h_convs = nn.ModuleList([nn.Conv2d(hidden, hidden, **square) for _ in "fg"])
        self.links = nn.ModuleList([nn.Conv2d(2 * hidden, hidden, 1) for _ in "fg"])
        self.out = nn.Linear(hidden, hidden)

    def forward(self, v, h):
        above = [F.conv2d(v, conv.weight * self.rows, conv.bias, padding=self.r) for conv in self.v_convs]
        left = [F.conv2d(h, conv.weight * self.line, conv.bias, padding=self.r) for conv in self.h_convs]
        f, g = (own + link(torch.cat(above, dim=1)) for own, link in zip(left, self.links, strict=True))
        step = self.out((f.tanh() * g.sigmoid()).movedim(1, -1)).movedim(-1, 1)
        return [above[0].tanh() * above[1].sigmoid(), step + (0 if self.first else h)]


@answers.accept("GatedLayer")
class PaddedAllAroundThenCropped(Padded):
    """The way of much public code: pad on both sides, crop what is too much; halves the other way round."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__(hidden, kernel_size, first)
        extent = self.vertical.kernel_size[0]
        self.vertical = nn.Conv2d(hidden, 2 * hidden, (extent, kernel_size), padding=(extent, self.r))
        self.horizontal = nn.Conv2d(hidden, 2 * hidden, (1, extent), padding=(0, extent))

    def above(self, v):
        start = 0 if self.first else 1
        return self.vertical(v)[:, :, start : start + v.shape[2]]

    def left(self, h):
        start = 0 if self.first else 1
        return self.horizontal(h)[:, :, :, start : start + h.shape[3]]

    def gate(self, x):
        b, a = x.chunk(2, dim=1)
        return torch.tanh(a) * torch.sigmoid(b)


@answers.accept("GatedLayer")
class Shifted(nn.Module):
    """Sums of shifted products, with einsum."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__()
        self.first, self.r, self.k = first, kernel_size // 2, kernel_size
        self.extent = self.r if first else self.r + 1
        self.w_v = nn.Parameter(torch.randn(2 * hidden, hidden, self.extent, kernel_size) / 3)
        self.w_h = nn.Parameter(torch.randn(2 * hidden, hidden, self.extent) / 3)
        self.w_link = nn.Parameter(torch.randn(2 * hidden, 2 * hidden) / 3)
        self.w_out = nn.Parameter(torch.randn(hidden, hidden) / 3)

    def forward(self, v, h):
        height, width = v.shape[2:]
        big_v, big_h = F.pad(v, (self.r, self.r, self.r, 0)), F.pad(h, (self.r, 0, 0, 0))
        above = sum(
            torch.einsum("oc,bchw->bohw", self.w_v[:, :, i, j], big_v[:, :, i : i + height, j : j + width])
            for i in range(self.extent)
            for j in range(self.k)
        )
        left = sum(
            torch.einsum("oc,bchw->bohw", self.w_h[:, :, j], big_h[:, :, :, j : j + width]) for j in range(self.extent)
        )
        x = left + torch.einsum("oc,bchw->bohw", self.w_link, above)
        step = torch.einsum("oc,bchw->bohw", self.w_out, gated(x))
        return gated(above), step if self.first else step + h


@answers.reject("GatedLayer", "horizontal stack flows into the vertical")
class HorizontalIntoVertical(Padded):
    """v' hears h."""

    def forward(self, v, h):
        new_v, new_h = super().forward(v, h)
        return new_v + new_h, new_h


@answers.reject("GatedLayer", "not moved down by one row")
class NotMovedDown(Padded):
    """The first layer reads its own row."""

    def above(self, v):
        r = self.r
        return self.vertical(F.pad(v, (r, r, r - 1, 0) if self.first else (r, r, r, 0)))


@answers.reject("GatedLayer", "without row i the stack moves down")
class MovedDownEverywhere(Padded):
    """Each layer leaves its own row out."""

    def above(self, v):
        r = self.r
        return self.vertical(F.pad(v, (r, r, r if self.first else r + 1, -1)))


@answers.reject("GatedLayer", "sees the future")
class PaddedInTheMiddle(Padded):
    """An ordinary convolution upstairs."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__(hidden, kernel_size, first)
        self.vertical = nn.Conv2d(hidden, 2 * hidden, kernel_size, padding=self.r)

    def above(self, v):
        return self.vertical(v)


@answers.reject("GatedLayer", "rows and columns are swapped")
class SwappedCrop(PaddedAllAroundThenCropped):
    """Crops rows by the width."""

    def above(self, v):
        start = 0 if self.first else 1
        return self.vertical(v)[:, :, start : start + v.shape[3]]


@answers.reject("GatedLayer", "rows and columns are swapped")
class SwappedCropOfColumns(PaddedAllAroundThenCropped):
    """Crops columns by the height."""

    def left(self, h):
        start = 0 if self.first else 1
        return self.horizontal(h)[:, :, :, start : start + h.shape[2]]


@answers.reject("GatedLayer", "added after the horizontal gate")
class LinkAfterTheGate(Padded):
    """A sum of two functions."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__(hidden, kernel_size, first)
        self.link = nn.Conv2d(2 * hidden, hidden, 1)

    def combine(self, v, h):
        above = self.above(v)
        return gated(above), self.out(gated(self.left(h))) + self.link(above)


@answers.reject("GatedLayer", "has been through the vertical gate")
class LinkOfTheGated(Padded):
    """The link takes the new v."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__(hidden, kernel_size, first)
        self.link = nn.Conv2d(hidden, 2 * hidden, 1)

    def combine(self, v, h):
        new_v = gated(self.above(v))
        return new_v, self.out(gated(self.left(h) + self.link(new_v)))


@answers.reject("GatedLayer", "not v itself")
class LinkFromTheInput(Padded):
    """The link takes v."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__(hidden, kernel_size, first)
        self.link = nn.Conv2d(hidden, 2 * hidden, 1)

    def combine(self, v, h):
        return gated(self.above(v)), self.out(gated(self.left(h) + self.link(v)))


@answers.reject("GatedLayer", "is missing")
class NoLink(Padded):
    """Two nets that never meet."""

    def combine(self, v, h):
        return gated(self.above(v)), self.out(gated(self.left(h)))


@answers.reject("GatedLayer", "h itself is missing")
class NoResidual(Padded):
    """No way past the gate."""

    def forward(self, v, h):
        return self.combine(v, h)


@answers.reject("GatedLayer", "the very codes that are to be predicted")
class ResidualAtTheStart(Padded):
    """A residual in the first layer."""

    def forward(self, v, h):
        new_v, step = self.combine(v, h)
        return new_v, h + step


@answers.reject("GatedLayer", "in the horizontal stack alone")
class ResidualInVertical(Padded):
    """A residual upstairs, not in the first layer."""

    def forward(self, v, h):
        new_v, new_h = super().forward(v, h)
        return new_v if self.first else new_v + v, new_h


@answers.reject("GatedLayer", "its own column: the code that is to be predicted")
class OwnColumnAtTheStart(Padded):
    """Mask B in the first layer."""

    def left(self, h):
        return self.horizontal(F.pad(h, (self.r - 1 if self.first else self.r, 0, 0, 0)))


@answers.reject("GatedLayer", "Later layers are a mask B")
class OwnColumnNever(Padded):
    """Mask A everywhere."""

    def left(self, h):
        return self.horizontal(F.pad(h, (self.r if self.first else self.r + 1, -1, 0, 0)))


@answers.reject("GatedLayer", "columns to the right of j")
class LooksRight(Padded):
    """The horizontal convolution is padded on both sides."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__(hidden, kernel_size, first)
        self.horizontal = nn.Conv2d(hidden, 2 * hidden, (1, kernel_size), padding=(0, self.r))

    def left(self, h):
        return self.horizontal(h)


@answers.reject("GatedLayer", "other rows of h")
class HorizontalSeesRows(Padded):
    """The horizontal kernel is a rectangle."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__(hidden, kernel_size, first)
        self.horizontal = nn.Conv2d(hidden, 2 * hidden, (2, self.horizontal.kernel_size[1]))

    def left(self, h):
        return self.horizontal(F.pad(h, (self.r, -1 if self.first else 0, 1, 0)))


@answers.reject("GatedLayer", "columns j - 1 to j + 1")
class LooksTooFar(Padded):
    """The vertical kernel is too wide."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__(hidden, kernel_size, first)
        self.vertical = nn.Conv2d(hidden, 2 * hidden, (self.vertical.kernel_size[0], kernel_size + 2))

    def above(self, v):
        r = self.r
        return self.vertical(F.pad(v, (r + 1, r + 1, r, -1 if self.first else 0)))


@answers.reject("GatedLayer", "never closed")
class TanhAlone(Padded):
    """Only the signal half is used."""

    def gate(self, x):
        return torch.tanh(x.chunk(2, dim=1)[0])


@answers.reject("GatedLayer", "knows two states only")
class OneHalfForBoth(Padded):
    """Both factors see the same channels."""

    def gate(self, x):
        a = x.chunk(2, dim=1)[0]
        return torch.tanh(a) * torch.sigmoid(a)


@answers.reject("GatedLayer", "gate of the new h knows two states")
class OneHalfForBothDownstairs(Padded):
    """Both factors see the same channels, in the horizontal stack."""

    def combine(self, v, h):
        above = self.above(v)
        a = (self.left(h) + self.link(above)).chunk(2, dim=1)[0]
        return gated(above), self.out(torch.tanh(a) * torch.sigmoid(a))


@answers.reject("GatedLayer", "no product of a tanh and a sigmoid")
class Rectified(Padded):
    """ReLU for a gate."""

    def gate(self, x):
        return x.chunk(2, dim=1)[0].relu()


@answers.reject("GatedLayer", "half as many")
class NotHalved(Padded):
    """tanh and sigmoid of all channels."""

    def gate(self, x):
        return torch.tanh(x) * torch.sigmoid(x)

    def combine(self, v, h):
        above = self.above(v)
        return self.gate(above), gated(self.left(h) + self.link(above))


@answers.reject("GatedLayer", "1x1 convolution between the horizontal gate")
class NoOutput(Padded):
    """The gated result is added as it is."""

    def combine(self, v, h):
        above = self.above(v)
        return gated(above), gated(self.left(h) + self.link(above))


@answers.reject("GatedLayer", "after every parameter has been changed")
class MaskedOnce(nn.Module):
    """The mask is multiplied in at construction."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__()
        self.inner = Masked(hidden, kernel_size, first)
        with torch.no_grad():
            for conv in self.inner.v_convs:
                conv.weight *= self.inner.rows
        self.inner.rows = torch.ones_like(self.inner.rows)

    def forward(self, v, h):
        return self.inner(v, h)


@answers.reject("GatedLayer", "no parameters")
class Hidden(nn.Module):
    """Modules in a plain list."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__()
        self.parts = [Padded(hidden, kernel_size, first)]

    def forward(self, v, h):
        return self.parts[0](v, h)


@answers.reject("GatedLayer", "pair (v, h)")
class OnlyH(Padded):
    """Returns one stack."""

    def forward(self, v, h):
        return super().forward(v, h)[1]


@answers.reject("GatedLayer", "influence one another")
class OverTheBatch(Padded):
    """Normalises over the batch."""

    def above(self, v):
        above = super().above(v)
        return above - above.mean(dim=0, keepdim=True)


@answers.reject("GatedLayer", "in place")
class InPlace(Padded):
    """Adds to h in place."""

    def forward(self, v, h):
        new_v, step = self.combine(v, h)
        return new_v, step if self.first else h.data.add_(step)


@answers.reject("GatedLayer", "positional argument")
class IgnoresFirst(nn.Module):
    """Takes two arguments."""

    def __init__(self, hidden, kernel_size):
        super().__init__()
        self.inner = Padded(hidden, kernel_size)

    def forward(self, v, h):
        return self.inner(v, h)


@answers.accept("GatedLayer")
class InTurns(Padded):
    """Signals and valves in turns, even and odd channels."""

    def gate(self, x):
        return torch.tanh(x[:, ::2]) * torch.sigmoid(x[:, 1::2])


@answers.accept("GatedLayer")
class MasksItsWeightsAtEachCall(Padded):
    """Full kernels whose hidden weights are set to 0 before each use, which no optimizer step survives."""

    def __init__(self, hidden, kernel_size, first=False):
        super().__init__(hidden, kernel_size, first)
        self.extent = self.vertical.kernel_size[0]
        self.vertical = nn.Conv2d(hidden, 2 * hidden, kernel_size, padding="same")

    def above(self, v):
        self.vertical.weight.data[:, :, self.extent :] = 0
        return self.vertical(v)


@answers.reject("GatedLayer", "is not tanh of one half times sigmoid of the other")
class AddsDownstairs(Padded):
    def combine(self, v, h):
        above = self.above(v)
        a, b = (self.left(h) + self.link(above)).chunk(2, dim=1)
        return self.gate(above), self.out(torch.tanh(a) + torch.sigmoid(b))


@answers.reject("GatedLayer", "in place of sigmoid there is another function")
class HardSigmoid(Padded):
    def combine(self, v, h):
        above = self.above(v)
        a, b = (self.left(h) + self.link(above)).chunk(2, dim=1)
        return self.gate(above), self.out(torch.tanh(a) * F.hardsigmoid(b))


@answers.reject("GatedLayer", "in place of tanh there is another function")
class HardTanh(Padded):
    def gate(self, x):
        a, b = x.chunk(2, dim=1)
        return F.hardtanh(a) * torch.sigmoid(b)


@answers.reject("GatedLayer", "The link has weights of its own")
class LinkWithoutWeights(Padded):
    def combine(self, v, h):
        above = self.above(v)
        return self.gate(above), self.out(self.gate(self.left(h) + above))


@answers.reject("GatedLayer", "it is not added")
class LinkMultiplies(Padded):
    def combine(self, v, h):
        above, left = self.above(v), self.left(h)
        return self.gate(above), self.out(self.gate(left + left * self.link(above)))


@answers.reject("GatedLayer", "Pad with zeros")
class CopiesOfTheEdge(Padded):
    def above(self, v):
        wide = F.pad(v, (self.r, self.r, 0, 0), mode="replicate")
        return self.vertical(F.pad(wide, (0, 0, self.r, -1 if self.first else 0)))


@answers.reject("GatedLayer", "Pad with zeros")
class CopiesOfTheFirstRow(Padded):
    def above(self, v):
        wide = F.pad(v[:, :, :-1] if self.first else v, (self.r, self.r, 0, 0))
        return self.vertical(F.pad(wide, (0, 0, self.vertical.kernel_size[0] - (not self.first), 0), mode="replicate"))


@answers.reject("GatedLayer", "another result the second time")
class WithDropout(Padded):
    def above(self, v):
        return F.dropout(super().above(v), 0.1)


@answers.reject("GatedLayer", "pair as (h, v)")
class TheOtherWayRound(Padded):
    def forward(self, v, h):
        return super().forward(v, h)[::-1]


@answers.reject("GatedLayer", "after it has been added")
class ResidualBeforeTheOutput(Padded):
    def forward(self, v, h):
        above = self.above(v)
        inner = self.gate(self.left(h) + self.link(above))
        return self.gate(above), self.out(inner if self.first else inner + h)


# class_bias


@answers.accept("class_bias")
def by_the_book(x, labels, table):
    return gated(x + table[labels][:, :, None, None])


@answers.accept("class_bias")
def by_one_hot(x, labels, table):
    rows = F.one_hot(labels, len(table)).to(table) @ table
    a, b = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
    f, g = rows.view(len(x), 2, -1, 1, 1).unbind(dim=1)
    return (a + f).tanh() * (b + g).sigmoid()


@answers.accept("class_bias")
def image_by_image(x, labels, table):
    out = []
    for image, label in zip(x, labels.tolist(), strict=True):
        both = image.movedim(0, -1) + table[label]
        a, b = both.chunk(2, dim=-1)
        out.append((torch.tanh(a) / (1 + torch.exp(-b))).movedim(-1, 0))
    return torch.stack(out)


@answers.reject("class_bias", "no gradient flows back to x and table")
def detached_class(x, labels, table):
    return by_the_book(x.detach(), labels, table.detach())


@answers.reject("class_bias", "gradient with respect to table")
def frozen_table(x, labels, table):
    return by_the_book(x, labels, table.detach())


@answers.reject("class_bias", "raised")
def no_axes(x, labels, table):
    return gated(x + table[labels])


@answers.reject("class_bias", "in place")
def changes_x(x, labels, table):
    x += table[labels][:, :, None, None]
    return gated(x)


@answers.reject("class_bias", "shape")
def not_gated(x, labels, table):
    return x + table[labels][:, :, None, None]


# nll


@answers.accept("nll")
def by_cross_entropy(logits, indices):
    return F.cross_entropy(logits, indices)


@answers.accept("nll")
def by_logsumexp(logits, indices):
    right = logits.gather(1, indices[:, None])[:, 0]
    return float((logits.logsumexp(dim=1) - right).mean())


@answers.accept("nll")
def by_numpy(logits, indices):
    rows = logits.detach().movedim(1, -1).flatten(0, 2).double().numpy()
    rows = rows - rows.max(axis=1, keepdims=True)
    log_p = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(rows)), indices.flatten().numpy()].mean()


@answers.accept("nll")
def by_one_hot_sum(logits, indices):
    hit = F.one_hot(indices, logits.shape[1]).movedim(-1, 1)
    return -(hit * logits.log_softmax(dim=1)).sum() / indices.numel()


@answers.accept("nll")
def by_numpy_in_single_precision(logits, indices):
    x = logits.detach().numpy()
    x = x - x.max(axis=1, keepdims=True)
    picked = np.take_along_axis(x, indices.numpy()[:, None], 1)[:, 0]
    return (np.log(np.exp(x).sum(axis=1)) - picked).mean()  # a np.float32


@answers.reject("nll", "in the hundreds")
def unstable(logits, indices):
    p = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    return -p.gather(1, indices[:, None]).log().mean()


@answers.reject("nll", "in the hundreds")
def log_of_softmax_with_eps(logits, indices):
    return -(logits.softmax(dim=1).gather(1, indices[:, None]) + 1e-8).log().mean()


@answers.reject("nll", "A clamp, of logits or of probabilities")
def clamped_logits(logits, indices):
    return F.cross_entropy(logits.clamp(-50, 50), indices)


@answers.reject("nll", "one number is asked for")
def not_averaged(logits, indices):
    return F.cross_entropy(logits, indices, reduction="none")


# sample


@answers.accept("sample")
def by_multinomial(prior, shape, labels=None, temperature=1.0, generator=None):
    indices = torch.zeros(shape, dtype=torch.int64)
    for i in range(shape[1]):
        for j in range(shape[2]):
            with torch.no_grad():
                logits = prior(indices, labels)[:, :, i, j]
            p = (logits / temperature).softmax(dim=1)
            indices[:, i, j] = torch.multinomial(p, 1, generator=generator)[:, 0]
    return indices


@answers.accept("sample")
@torch.no_grad()
def by_gumbel(prior, shape, labels=None, temperature=1.0, generator=None):
    _, height, width = shape
    indices = torch.zeros(shape).long()
    for place in range(height * width):
        i, j = divmod(place, width)
        logits = prior(indices[:, : i + 1], labels)[:, :, i, j] / temperature
        u = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
        indices[:, i, j] = (logits - (-u.log()).log()).argmax(dim=1)
    return indices


@answers.accept("sample")
@torch.inference_mode()
def by_inversion(prior, shape, labels=None, temperature=1.0, generator=None):
    prior.eval()
    out = torch.randint(0, 2, shape, generator=generator)
    for i, j in torch.cartesian_prod(torch.arange(shape[1]), torch.arange(shape[2])).tolist():
        logits = prior(out, labels).double()[..., i, j] / temperature
        p = (logits - logits.amax(dim=1, keepdim=True)).exp()
        reach = p.cumsum(dim=1)
        u = reach[:, -1:] * torch.rand(shape[0], 1, generator=generator).double()
        out[:, i, j] = (reach <= u).sum(dim=1).clamp(max=p.shape[1] - 1)
    return out.clone()


@answers.accept("sample")
def by_package(prior, shape, labels=None, temperature=1.0, generator=None):
    return package_sample(prior, shape, labels, temperature=temperature, generator=generator).clone()


def by_loop(prior, shape, labels=None, temperature=1.0, generator=None, choose=None, order="raster", filling=0):
    choose = choose or (lambda p: torch.multinomial(p, 1, generator=generator)[:, 0])
    indices = torch.full(shape, filling)
    places = [(i, j) for i in range(shape[1]) for j in range(shape[2])]
    if order == "columns":
        places = sorted(places, key=lambda place: place[::-1])
    if order == "backwards":
        places = places[::-1]
    for i, j in places:
        p = (prior(indices, labels)[:, :, i, j].detach() / temperature).softmax(dim=1)
        indices[:, i, j] = choose(p)
    return indices


@answers.accept("sample")
@torch.no_grad()
def by_growing(prior, shape, labels=None, temperature=1.0, generator=None):
    """The map has no more rows than have been begun; codes race to be first, at rates of their probabilities."""
    batch, height, width = shape
    maps = torch.zeros(batch, 0, width, dtype=torch.long)
    for _ in range(height):
        maps = torch.cat([maps, torch.zeros(batch, 1, width, dtype=torch.long)], dim=1)
        for j in range(width):
            p = (prior(maps, labels)[:, :, -1, j].double() / temperature).softmax(dim=1)
            maps[:, -1, j] = (p / torch.empty_like(p).exponential_(generator=generator)).argmax(dim=1)
    return maps


@answers.reject("sample", "the draw itself is wrong")
def counts_the_sums_above(prior, shape, labels=None, temperature=1.0, generator=None):
    def choose(p):
        u = torch.rand(len(p), 1, generator=generator)
        return (p.cumsum(dim=1) > u).sum(dim=1).clamp(max=p.shape[1] - 1)

    return by_loop(prior, shape, labels, temperature, generator, choose)


@answers.reject("sample", "the draw itself is wrong")
def softmax_twice(prior, shape, labels=None, temperature=1.0, generator=None):
    def choose(p):
        return torch.multinomial(p.softmax(dim=1), 1, generator=generator)[:, 0]

    return by_loop(prior, shape, labels, temperature, generator, choose)


@answers.reject("sample", "argmax")
def likeliest(prior, shape, labels=None, temperature=1.0, generator=None):
    return by_loop(prior, shape, labels, temperature, choose=lambda p: p.argmax(dim=1))


@answers.reject("sample", "runs once, and all")
def one_pass(prior, shape, labels=None, temperature=1.0, generator=None):
    logits = prior(torch.zeros(shape, dtype=torch.int64), labels).detach() / temperature
    rows = logits.movedim(1, -1).reshape(-1, logits.shape[1]).softmax(dim=1)
    return torch.multinomial(rows, 1, generator=generator).view(shape)


@answers.reject("sample", "once per row")
def row_by_row(prior, shape, labels=None, temperature=1.0, generator=None):
    indices = torch.zeros(shape, dtype=torch.int64)
    for i in range(shape[1]):
        logits = prior(indices, labels)[:, :, i].detach() / temperature
        rows = logits.movedim(1, -1).reshape(-1, logits.shape[1]).softmax(dim=1)
        indices[:, i] = torch.multinomial(rows, 1, generator=generator).view(shape[0], shape[2])
    return indices


@answers.reject("sample", "raster order")
def column_order(prior, shape, labels=None, temperature=1.0, generator=None):
    return by_loop(prior, shape, labels, temperature, generator, order="columns")


@answers.reject("sample", "raster order")
def backwards(prior, shape, labels=None, temperature=1.0, generator=None):
    return by_loop(prior, shape, labels, temperature, generator, order="backwards")


@answers.reject("sample", "never reach the prior")
def never_conditions(prior, shape, labels=None, temperature=1.0, generator=None):
    empty, out = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    for i in range(shape[1]):
        for j in range(shape[2]):
            p = (prior(empty, labels)[:, :, i, j].detach() / temperature).softmax(dim=1)
            out[:, i, j] = torch.multinomial(p, 1, generator=generator)[:, 0]
    return out


@answers.reject("sample", "one draw earlier")
def stale(prior, shape, labels=None, temperature=1.0, generator=None):
    indices = torch.zeros(shape, dtype=torch.int64)
    logits = prior(indices, labels)
    for i in range(shape[1]):
        for j in range(shape[2]):
            p = (logits[:, :, i, j].detach() / temperature).softmax(dim=1)
            logits = prior(indices, labels)
            indices[:, i, j] = torch.multinomial(p, 1, generator=generator)[:, 0]
    return indices


@answers.reject("sample", "only the first 3 are drawn")
def both_loops_over_the_height(prior, shape, labels=None, temperature=1.0, generator=None):
    indices = torch.zeros(shape, dtype=torch.int64)
    for i in range(shape[1]):
        for j in range(shape[1]):
            p = (prior(indices, labels)[:, :, i, j].detach() / temperature).softmax(dim=1)
            indices[:, i, j] = torch.multinomial(p, 1, generator=generator)[:, 0]
    return indices


@answers.reject("sample", "where no temperature is given")
def another_default(prior, shape, labels=None, temperature=0.5, generator=None):
    return by_loop(prior, shape, labels, temperature, generator)


@answers.reject("sample", "At row 0, column 1, and not before: The temperature changes nothing")
def temperature_at_the_first_place_only(prior, shape, labels=None, temperature=1.0, generator=None):
    indices = torch.zeros(shape, dtype=torch.int64)
    for place in range(shape[1] * shape[2]):
        i, j = divmod(place, shape[2])
        p = (prior(indices, labels)[:, :, i, j].detach() / (1.0 if place else temperature)).softmax(dim=1)
        indices[:, i, j] = torch.multinomial(p, 1, generator=generator)[:, 0]
    return indices


@answers.reject("sample", "not drawn independently of one another")
def pairs_of_images_share_a_number_from_the_second_place_on(prior, shape, labels=None, temperature=1.0, generator=None):
    drawn = iter(range(shape[1] * shape[2]))

    def choose(p):
        u = torch.rand(len(p), 1, generator=generator)
        if next(drawn) > 0:
            u = u[: (len(u) + 1) // 2].repeat_interleave(2, dim=0)[: len(u)]
        return (p.cumsum(dim=1) <= u).sum(dim=1).clamp(max=p.shape[1] - 1)

    return by_loop(prior, shape, labels, temperature, generator, choose=choose)


@answers.reject("sample", "wrong way round")
def multiplied(prior, shape, labels=None, temperature=1.0, generator=None):
    return by_loop(prior, shape, labels, 1 / temperature, generator)


@answers.reject("sample", "temperature changes nothing")
def ignores_temperature(prior, shape, labels=None, temperature=1.0, generator=None):
    return by_loop(prior, shape, labels, 1.0, generator)


@answers.reject("sample", "in proportion to the logits")
def no_softmax(prior, shape, labels=None, temperature=1.0, generator=None):
    indices = torch.zeros(shape, dtype=torch.int64)
    for i in range(shape[1]):
        for j in range(shape[2]):
            weights = (prior(indices, labels)[:, :, i, j].detach() / temperature).clamp(min=0)
            weights = weights + 1e-9
            indices[:, i, j] = torch.multinomial(weights, 1, generator=generator)[:, 0]
    return indices


@answers.reject("sample", "equally often")
def uniform(prior, shape, labels=None, temperature=1.0, generator=None):
    def choose(p):
        allowed = (p > 1e-9).double()
        return torch.multinomial(allowed, 1, generator=generator)[:, 0]

    return by_loop(prior, shape, labels, temperature, generator, choose=choose)


@answers.reject("sample", "share one random number")
def one_number_for_the_batch(prior, shape, labels=None, temperature=1.0, generator=None):
    def choose(p):
        return (p.cumsum(dim=1) <= torch.rand(1, generator=generator)).sum(dim=1).clamp(max=p.shape[1] - 1)

    return by_loop(prior, shape, labels, temperature, generator, choose=choose)


@answers.reject("sample", "use the same random numbers")
def one_number_for_all_positions(prior, shape, labels=None, temperature=1.0, generator=None):
    u = torch.rand(shape[0], 1, generator=generator)

    def choose(p):
        return (p.cumsum(dim=1) <= u).sum(dim=1).clamp(max=p.shape[1] - 1)

    return by_loop(prior, shape, labels, temperature, generator, choose=choose)


@answers.reject("sample", "come from elsewhere")
def ignores_generator(prior, shape, labels=None, temperature=1.0, generator=None):
    return by_loop(prior, shape, labels, temperature)


@answers.reject("sample", "seeded anew")
def seeds_inside(prior, shape, labels=None, temperature=1.0, generator=None):
    return by_loop(prior, shape, labels, temperature, torch.Generator().manual_seed(0))


@answers.reject("sample", "seeded anew")
def reseeds_the_generator(prior, shape, labels=None, temperature=1.0, generator=None):
    if generator is not None:
        generator.manual_seed(generator.initial_seed())
    return by_loop(prior, shape, labels, temperature, generator)


@answers.reject("sample", "global random seed")
def seeds_the_world(prior, shape, labels=None, temperature=1.0, generator=None):
    torch.manual_seed(0)
    return by_loop(prior, shape, labels, temperature)


@answers.reject("sample", "labels do not reach")
def without_labels(prior, shape, labels=None, temperature=1.0, generator=None):
    return by_loop(prior, shape, None, temperature, generator)


@answers.reject("sample", "outside [0, 7)")
def filled_with_minus_one(prior, shape, labels=None, temperature=1.0, generator=None):
    return by_loop(prior, shape, labels, temperature, generator, filling=-1)


@answers.reject("sample", "float32")
def filled_with_floats(prior, shape, labels=None, temperature=1.0, generator=None):
    return by_loop(prior, shape, labels, temperature, generator, filling=0.0)


@answers.reject("sample", "shape")
def flat(prior, shape, labels=None, temperature=1.0, generator=None):
    return by_loop(prior, shape, labels, temperature, generator).flatten(1)


@answers.reject("sample", "raised")
def overflows(prior, shape, labels=None, temperature=1.0, generator=None):
    indices = torch.zeros(shape, dtype=torch.int64)
    for i in range(shape[1]):
        for j in range(shape[2]):
            weights = (prior(indices, labels)[:, :, i, j].detach() / temperature).exp()
            indices[:, i, j] = torch.multinomial(weights, 1, generator=generator)[:, 0]
    return indices


@answers.reject("sample", "codes come with shares")
def adds_temperature_after(prior, shape, labels=None, temperature=1.0, generator=None):
    indices = torch.zeros(shape, dtype=torch.int64)
    for i in range(shape[1]):
        for j in range(shape[2]):
            p = prior(indices, labels)[:, :, i, j].detach().softmax(dim=1) / temperature
            indices[:, i, j] = torch.multinomial(p.softmax(dim=1) if temperature != 1 else p, 1, generator=generator)[
                :, 0
            ]
    return indices


# temperature_entropy


@answers.accept("temperature_entropy")
def by_categorical(logits, temperature):
    return torch.distributions.Categorical(logits=logits / temperature).entropy()


@answers.accept("temperature_entropy")
def by_entr(logits, temperature):
    return torch.special.entr((logits / temperature).softmax(dim=1)).sum(dim=1)


@answers.accept("temperature_entropy")
def row_by_row_entropy(logits, temperature):
    out = []
    for row in logits.tolist():
        top = max(row)
        weights = [math.exp((value - top) / temperature) for value in row]
        out.append(-sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights if w > 0))
    return torch.tensor(out)


def h(p):
    return -torch.special.xlogy(p, p).sum(dim=1)


@answers.reject("temperature_entropy", "some lower bound")
def bounded_temperature(logits, temperature):
    return h((logits / max(temperature, 0.1)).softmax(dim=1))


@answers.reject("temperature_entropy", "not finite")
def zero_log_zero(logits, temperature):
    p = (logits / temperature).softmax(dim=1)
    return -(p * p.log()).sum(dim=1)


@answers.reject("temperature_entropy", "not finite")
def overflowing(logits, temperature):
    p = (logits / temperature).exp()
    return h(p / p.sum(dim=1, keepdim=True))


@answers.reject("temperature_entropy", "shape")
def over_the_rows(logits, temperature):
    return h((logits / temperature).softmax(dim=1).T)


@answers.reject("temperature_entropy", "shape")
def one_number(logits, temperature):
    return h((logits / temperature).softmax(dim=1)).mean()


@answers.reject("temperature_entropy", "entropies are wrong")
def clamped_probabilities(logits, temperature):
    p = (logits / temperature).softmax(dim=1) + 1e-3 * (temperature < 0.1)
    return -(p * p.log()).sum(dim=1)


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
