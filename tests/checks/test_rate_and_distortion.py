"""Right and wrong answers to the exercises of notebook 08."""

import copy
import itertools
import math
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.checks.registered import Answers
from vqvae_course import encdec, metrics

answers = Answers()


# latent_bits


@answers.accept("latent_bits")
def product_of_log2(height, width, num_codes):
    return height * width * math.log2(num_codes)


@answers.accept("latent_bits")
def change_of_base(height, width, num_codes):
    return width * height * np.log(num_codes) / np.log(2)


@answers.accept("latent_bits")
def position_by_position(height, width, num_codes):
    return sum(torch.tensor(num_codes, dtype=torch.float64).log2() for _ in range(height) for _ in range(width))


@answers.accept("latent_bits")
def number_of_maps(height, width, num_codes):
    return math.log2(num_codes ** (height * width))


@answers.accept("latent_bits")
def entropy_of_a_uniform_index(height, width, num_codes):
    p = torch.full((num_codes,), 1 / num_codes, dtype=torch.float64)
    return height * width * torch.distributions.Categorical(p).entropy() / math.log(2)


@answers.accept("latent_bits")
def by_float32(height, width, num_codes):
    return height * width * torch.tensor(float(num_codes)).log2()


@answers.reject("latent_bits", "length D of a code")
def times_the_code_length(height, width, num_codes, code_dim=64):
    return height * width * code_dim * math.log2(num_codes)


@answers.reject("latent_bits", "Does the length D")
def floats_of_the_codes(height, width, num_codes, code_dim=64):
    return height * width * code_dim * 32


@answers.reject("latent_bits", "it can only say one thing")
def at_least_one_bit(height, width, num_codes):
    return height * width * max(1.0, math.log2(num_codes))


@answers.reject("latent_bits", "that is not its bits")
def with_the_codebook(height, width, num_codes):
    return height * width * math.log2(num_codes) + 0.7 * num_codes


@answers.reject("latent_bits", "size of the codebook")
def times_the_number_of_codes(height, width, num_codes):
    return height * width * num_codes * math.log2(num_codes)


@answers.reject("latent_bits", "one number is asked for")
def a_map_of_bits(height, width, num_codes):
    return torch.full((height, width), math.log2(num_codes))


# receptive_field


@answers.accept("receptive_field")
def recursion_forwards(layers):
    field, jump = 1, 1
    for kernel, stride in layers:
        field, jump = field + (kernel - 1) * jump, jump * stride
    return field


@answers.accept("receptive_field")
def recursion_backwards(layers):
    field = 1
    for kernel, stride in reversed(layers):
        field = (field - 1) * stride + kernel
    return field


@answers.accept("receptive_field")
def the_sum_of_the_formula(layers):
    strides = [stride for _, stride in layers]
    return 1 + sum((layers[i][0] - 1) * np.prod(strides[:i], dtype=int) for i in range(len(layers)))


@answers.accept("receptive_field")
def following_connections(layers):
    units = {0}
    for kernel, stride in layers[::-1]:
        units = {unit * stride + tap for unit in units for tap in range(kernel)}
    return torch.tensor(len(units))


@answers.accept("receptive_field")
def measured_by_gradient(layers):
    x = torch.zeros(1, 1, 20_000, dtype=torch.float64, requires_grad=True)
    y = x
    for kernel, stride in layers:
        y = F.conv1d(y, torch.ones(1, 1, kernel, dtype=torch.float64) / kernel, stride=stride)
    y[0, 0, 0].backward()
    return float((x.grad != 0).sum())


@answers.accept("receptive_field")
def recursive(layers):
    if not layers:
        return 1
    (kernel, stride), *rest = layers
    return (recursive(rest) - 1) * stride + kernel


@answers.reject("receptive_field", "With no layer at all")
def nothing_sees_nothing(layers):
    return recursion_forwards(layers) if layers else 0


@answers.reject("receptive_field", "raised IndexError")
def starts_from_the_first_kernel(layers):
    field, jump = layers[0]
    for kernel, stride in layers[1:]:
        field += (kernel - 1) * jump
        jump *= stride
    return field


@answers.reject("receptive_field", "changes the length of the list")
def pops(layers):
    field = 1
    while layers:
        kernel, stride = layers.pop()
        field = (field - 1) * stride + kernel
    return field


@answers.reject("receptive_field", "kernel is wide")
def one_layer_feels_its_own_stride(layers):
    if len(layers) == 1:
        return (layers[0][0] - 1) * layers[0][1] + 1
    return recursion_forwards(layers)


@answers.reject("receptive_field", "following the connections back")
def never_more_than_32(layers):
    return min(recursion_forwards(layers), 32)


# pareto_front


@answers.accept("pareto_front")
def broadcast(points):
    return metrics.pareto_front(points)


@answers.accept("pareto_front")
def pairs_in_python(points):
    rows = [tuple(row) for row in points.tolist()]
    kept = [
        i
        for i, a in enumerate(rows)
        if not any(all(p <= q for p, q in zip(b, a, strict=True)) and b != a for b in rows)
    ]
    return torch.tensor(sorted(kept, key=lambda i: rows[i]))


@answers.accept("pareto_front")
def numpy_array(points):
    table = points.numpy()
    beaten = (table[:, None] <= table).all(2) & (table[:, None] < table).any(2)
    kept = np.flatnonzero(~beaten.any(0))
    return kept[np.argsort(table[kept, 0])]


@answers.accept("pareto_front")
def list_of_rows_equal_first_columns_in_falling_order(points):
    kept = broadcast(points).tolist()
    return sorted(kept, key=lambda i: (float(points[i, 0]), -float(points[i, 1])))


@answers.accept("pareto_front")
def int32_rows(points):
    return broadcast(points.clone()).to(torch.int32)


@answers.accept("pareto_front")
def weeding_out(points):
    alive = list(range(len(points)))
    for i in range(len(points)):
        for j in list(alive):
            if (points[i] <= points[j]).all() and not torch.equal(points[i], points[j]):
                alive.remove(j)
    return torch.tensor(sorted(alive, key=lambda i: points[i, 0].item()), dtype=torch.long)


@answers.reject("pareto_front", "more is better")
def more_is_better(points):
    kept = metrics.pareto_front(-points)
    return kept[points[kept, 0].argsort()]


@answers.reject("pareto_front", "In one column you take more")
def bits_down_quality_up(points):
    flipped = points.clone()
    flipped[:, 1:] *= -1
    return metrics.pareto_front(flipped)


@answers.reject("pareto_front", "keep every row")
def keeps_all(points):
    return points[:, 0].argsort()


@answers.reject("pareto_front", "rows that are dominated")
def dominated_ones(points):
    front = set(broadcast(points).tolist())
    rest = [i for i in range(len(points)) if i not in front]
    return torch.tensor(sorted(rest, key=lambda i: points[i, 0].item()), dtype=torch.long)


@answers.reject("pareto_front", "only equal in another")
def strictly_worse_everywhere(points):
    beaten = (points[:, None] < points).all(dim=2).any(dim=0)
    kept = (~beaten).nonzero().flatten()
    return kept[points[kept, 0].argsort()]


@answers.reject("pareto_front", "no row at all")
def dominates_itself(points):
    beaten = (points[:, None] <= points).all(dim=2).any(dim=0)
    return (~beaten).nonzero().flatten()


@answers.reject("pareto_front", "throw each other out")
def equal_rows_throw_each_other_out(points):
    no_worse = (points[:, None] <= points).all(dim=2)
    no_worse.fill_diagonal_(False)
    kept = (~no_worse.any(dim=0)).nonzero().flatten()
    return kept[points[kept, 0].argsort()]


@answers.reject("pareto_front", "keep only one")
def unique_rows(points):
    kept, seen = [], set()
    for i in broadcast(points).tolist():
        if tuple(points[i].tolist()) not in seen:
            seen.add(tuple(points[i].tolist()))
            kept.append(i)
    return torch.tensor(kept)


@answers.reject("pareto_front", "compare only two")
def first_two_columns(points):
    return metrics.pareto_front(points[:, :2])


@answers.reject("pareto_front", "convex hull")
def convex_hull(points):
    if points.shape[1] > 2:
        return broadcast(points)
    hull = []
    for i in broadcast(points).tolist():
        while len(hull) > 1:
            (x0, y0), (x1, y1), (x2, y2) = (points[j].tolist() for j in (hull[-2], hull[-1], i))
            if (y1 - y0) * (x2 - x0) < (y2 - y0) * (x1 - x0):
                break
            hull.pop()
        hull.append(i)
    return torch.tensor(hull)


@answers.reject("pareto_front", "places in the sorted table")
def places_after_sorting(points):
    order = points[:, 0].argsort(stable=True)
    return metrics.pareto_front(points[order])


@answers.reject("pareto_front", "order of the table")
def not_sorted(points):
    return broadcast(points).sort().values


@answers.reject("pareto_front", "falling order")
def falling(points):
    return broadcast(points).flip(0)


@answers.reject("pareto_front", "mask")
def mask(points):
    kept = torch.zeros(len(points), dtype=torch.bool)
    kept[broadcast(points)] = True
    return kept


@answers.reject("pareto_front", "points themselves")
def the_points(points):
    return points[broadcast(points)]


@answers.reject("pareto_front", "one axis of row numbers")
def nonzero_keeps_an_axis(points):
    return broadcast(points)[:, None]


@answers.reject("pareto_front", "even for one row")
def squeezed(points):
    return broadcast(points)[:, None].squeeze()


@answers.reject("pareto_front", "single winner")
def smallest_sum(points):
    return points.sum(dim=1).argmin().reshape(1)


@answers.reject("pareto_front", "only equal in another")
def scan_with_ties_in_any_order(points):
    if points.shape[1] > 2:
        return broadcast(points)
    kept, best = [], math.inf
    for i in sorted(range(len(points)), key=lambda i: (float(points[i, 0]), -float(points[i, 1]))):
        if float(points[i, 1]) <= best:
            best = float(points[i, 1])
            kept.append(i)
    return torch.tensor(kept)


@answers.reject("pareto_front", "has no order")
def as_a_set(points):
    return set(broadcast(points).tolist())


@answers.reject("pareto_front", "floating-point")
def float_rows(points):
    return broadcast(points).float()


@answers.reject("pareto_front", "in place")
def sorts_the_table(points):
    kept = broadcast(points)
    points[:] = points[points[:, 0].argsort()]
    return kept


@answers.reject("pareto_front", "winners of each column")
def each_column_beaten_by_somebody(points):
    smaller = (points[:, None] < points).any(dim=0).all(dim=1)
    kept = (~smaller).nonzero().flatten()
    return kept[points[kept, 0].argsort(stable=True)]


@answers.reject("pareto_front", "dominated rows")
def only_better_than_the_neighbour(points):
    order = points[:, 0].argsort().tolist()
    pairs = itertools.pairwise(order)
    return torch.tensor([order[0]] + [b for a, b in pairs if points[b, 1] < points[a, 1]])


@answers.reject("pareto_front", "one axis of row numbers")
def tuple_of_nonzero(points):
    no_worse, better = (points[:, None] <= points).all(2), (points[:, None] < points).any(2)
    return torch.nonzero(~(no_worse & better).any(0), as_tuple=True)


@answers.reject("pareto_front", "changed places")
def wrong_axis(points):
    no_worse, better = (points[:, None] <= points).all(2), (points[:, None] < points).any(2)
    kept = (~(no_worse & better).any(1)).nonzero().flatten()
    return kept[points[kept, 0].argsort()]


@answers.reject("pareto_front", "twice")
def repeats_a_row(points):
    kept = broadcast(points)
    return torch.cat([kept[:1], kept])


@answers.reject("pareto_front", "differ by little")
def rounded_to_float32(points):
    return metrics.pareto_front(points.float())


def front_with_tolerance(points, tolerance):
    no_worse, better = points[:, None] <= points + tolerance, points[:, None] < points - tolerance
    kept = (~(no_worse.all(2) & better.any(2)).any(0)).nonzero().flatten()
    return kept[points[kept, 0].argsort()]


@answers.reject("pareto_front", "differ by little")
def absolute_tolerance(points):
    return front_with_tolerance(points, 1e-8)


@answers.reject("pareto_front", "differ by little")
def relative_tolerance(points):
    return front_with_tolerance(points, 1e-6 * points.abs())


@answers.reject("pareto_front", "places among the rows you keep")
def places_among_the_kept(points):
    kept = broadcast(points).sort().values
    return points[kept, 0].argsort()


@answers.reject("pareto_front", "pick them from the sorted one")
def mask_on_the_sorted_order(points):
    mask = torch.zeros(len(points), dtype=torch.bool)
    mask[broadcast(points)] = True
    return points[:, 0].argsort()[mask]


# ResidualLayer


class Functional(nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.wide = nn.Conv2d(channels, residual_hidden, 3, padding=1)
        self.narrow = nn.Conv2d(residual_hidden, channels, 1)

    def forward(self, x):
        return x + self.narrow(F.relu(self.wide(F.relu(x))))


answers.accept("ResidualLayer")(encdec.ResidualLayer)
answers.accept("ResidualLayer")(Functional)


@answers.accept("ResidualLayer")
class SequentialWithoutBias(nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.f = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, residual_hidden, 3, 1, padding="same", bias=False),
            nn.ReLU(inplace=True),  # what it overwrites is the layer's own
            nn.Conv2d(residual_hidden, channels, 1, bias=False),
        )

    def forward(self, x):
        return self.f(x).add(x)


@answers.accept("ResidualLayer")
class BareParameters(nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.narrow = nn.Parameter(torch.zeros(channels, residual_hidden))  # starts as the identity
        self.wide = nn.Parameter(0.1 * torch.randn(residual_hidden, channels, 3, 3))

    def forward(self, x):
        inside = F.conv2d(x.clamp(min=0), self.wide, padding=1).clamp(min=0)
        return x + torch.einsum("ch,bhij->bcij", self.narrow, inside)


@answers.accept("ResidualLayer")
class LinearOverChannels(nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.wide = nn.Conv2d(channels, residual_hidden, 3, padding=1)
        self.narrow = nn.Linear(residual_hidden, channels)

    def forward(self, x):
        inside = (self.wide(x * (x > 0)).clamp(min=0)).movedim(1, -1)
        return torch.add(self.narrow(inside).movedim(-1, 1), x)


@answers.accept("ResidualLayer")
class LinearOverNeighbourhoods(nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.wide, self.narrow = nn.Linear(9 * channels, residual_hidden), nn.Linear(residual_hidden, channels)

    def forward(self, x):
        around = F.unfold(F.relu(x), 3, padding=1).mT  # (B, h w, 9 channels)
        return x + self.narrow(F.relu(self.wide(around))).mT.view_as(x)


@answers.accept("ResidualLayer")
class LazyAndInPlaceOnACopy(nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.first = nn.LazyConv2d(residual_hidden, 3, padding=1)
        self.second = nn.LazyConv2d(channels, 1)

    def forward(self, x):
        y = x.clone().relu_()
        y = self.second(self.first(y).relu_())
        y += x
        return y


def a_function_that_builds_a_module(channels, residual_hidden):
    return encdec.ResidualLayer(channels, residual_hidden)


answers.accept("ResidualLayer")(a_function_that_builds_a_module)


class Broken(Functional):
    """A layer to spoil: subclasses change one thing."""


@answers.reject("ResidualLayer", "first ReLU works in place")
class ReluInPlace(Broken):
    def forward(self, x):
        return x + self.narrow(F.relu(self.wide(F.relu(x, inplace=True))))


@answers.reject("ResidualLayer", "first ReLU works in place")
class SequentialInPlace(nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.block = nn.Sequential(
            nn.ReLU(True),
            nn.Conv2d(channels, residual_hidden, 3, padding=1, bias=False),
            nn.ReLU(True),
            nn.Conv2d(residual_hidden, channels, 1, bias=False),
        )

    def forward(self, x):
        return x + self.block(x)


@answers.reject("ResidualLayer", "You add relu(x) instead of x")
class SkipTakenTooLate(Broken):
    def forward(self, x):
        x = F.relu(x)
        return x + self.narrow(F.relu(self.wide(x)))


@answers.reject("ResidualLayer", "There is no skip")
class NoSkip(Broken):
    def forward(self, x):
        return self.narrow(F.relu(self.wide(F.relu(x))))


@answers.reject("ResidualLayer", "ReLU after the sum")
class ReluAfterTheSum(Broken):
    def forward(self, x):
        return F.relu(super().forward(x))


@answers.reject("ResidualLayer", "The first ReLU is missing")
class NoFirstRelu(Broken):
    def forward(self, x):
        return x + self.narrow(F.relu(self.wide(x)))


@answers.reject("ResidualLayer", "between the two convolutions is missing")
class NoSecondRelu(Broken):
    def forward(self, x):
        return x + self.narrow(self.wide(F.relu(x)))


@answers.reject("ResidualLayer", "Both ReLUs are missing")
class NoRelu(Broken):
    def forward(self, x):
        return x + self.narrow(self.wide(x))


@answers.reject("ResidualLayer", "third ReLU")
class ThirdRelu(Broken):
    def forward(self, x):
        return x + F.relu(self.narrow(F.relu(self.wide(F.relu(x)))))


@answers.reject("ResidualLayer", "behind the convolutions")
class RelusBehind(Broken):
    def forward(self, x):
        return x + F.relu(self.narrow(F.relu(self.wide(x))))


@answers.reject("ResidualLayer", "behind the sum")
class AsInTheFirstResNet(Broken):
    def forward(self, x):
        return F.relu(x + self.narrow(F.relu(self.wide(x))))


@answers.reject("ResidualLayer", "the caller's tensor has lost its negative numbers")
class InPlaceButTheSkipIsACopy(Broken):
    def forward(self, x):
        kept = x.clone()
        return kept + self.narrow(F.relu(self.wide(x.relu_())))


@answers.reject("ResidualLayer", "first ReLU works in place")
class AnotherNameIsNoCopy(Broken):
    def forward(self, x):
        kept = x
        return kept + self.narrow(F.relu(self.wide(F.relu_(x))))


@answers.reject("ResidualLayer", "is there dropout or a normalisation")
class NormalisationWithoutParameters(Functional):
    def __init__(self, channels, residual_hidden):
        super().__init__(channels, residual_hidden)
        self.norm = nn.BatchNorm2d(residual_hidden, affine=False)

    def forward(self, x):
        return x + self.narrow(F.relu(self.norm(self.wide(F.relu(x)))))


@answers.reject("ResidualLayer", "no gradient can be computed")
class WithoutGradients(Broken):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


@answers.reject("ResidualLayer", "for this input (2, 5, 5, 7) is asked for")
class Concatenated(Broken):
    def forward(self, x):
        return torch.cat([x, self.narrow(F.relu(self.wide(F.relu(x))))], dim=1)


@answers.reject("ResidualLayer", "kernels of two convolutions")
class LargeKernel(Functional):
    def __init__(self, channels, residual_hidden):
        super().__init__(channels, residual_hidden)
        self.wide = nn.Conv2d(channels, residual_hidden, 5, padding=2)


@answers.reject("ResidualLayer", "x += ...")
class PlusEquals(Broken):
    def forward(self, x):
        x += self.narrow(F.relu(self.wide(F.relu(x))))
        return x


@answers.reject("ResidualLayer", "another size")
class NoPadding(nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.f = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, residual_hidden, 3), nn.ReLU(), nn.Conv2d(residual_hidden, channels, 1)
        )

    def forward(self, x):
        return x + self.f(x)


@answers.reject("ResidualLayer", "kernels have changed places")
class KernelsSwapped(Functional):
    def __init__(self, channels, residual_hidden):
        nn.Module.__init__(self)
        self.wide = nn.Conv2d(channels, residual_hidden, 1)
        self.narrow = nn.Conv2d(residual_hidden, channels, 3, padding=1)


@answers.reject("ResidualLayer", "second convolution has a 3×3 kernel")
class BothThree(Functional):
    def __init__(self, channels, residual_hidden):
        nn.Module.__init__(self)
        self.wide = nn.Conv2d(channels, residual_hidden, 3, padding=1)
        self.narrow = nn.Conv2d(residual_hidden, channels, 3, padding=1)


@answers.reject("ResidualLayer", "residual_hidden is not used")
class HiddenIgnored(Functional):
    def __init__(self, channels, residual_hidden):
        super().__init__(channels, channels)


@answers.reject("ResidualLayer", "besides the two convolutions")
class WithNormalisation(Functional):
    def __init__(self, channels, residual_hidden):
        super().__init__(channels, residual_hidden)
        self.norm = nn.BatchNorm2d(residual_hidden)

    def forward(self, x):
        return x + self.narrow(F.relu(self.norm(self.wide(F.relu(x)))))


@answers.reject("ResidualLayer", "an optimizer could find")
class MadeAtEveryCall(nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.sizes = channels, residual_hidden

    def forward(self, x):
        channels, hidden = self.sizes
        return x + nn.Conv2d(hidden, channels, 1)(F.relu(nn.Conv2d(channels, hidden, 3, padding=1)(F.relu(x))))


@answers.reject("ResidualLayer", "an optimizer could find")
class PlainList(nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.convolutions = [
            nn.Conv2d(channels, residual_hidden, 3, padding=1),
            nn.Conv2d(residual_hidden, channels, 1),
        ]

    def forward(self, x):
        y = x
        for convolution in self.convolutions:
            y = convolution(F.relu(y))
        return x + y


@answers.reject("ResidualLayer", "share their weights")
class ConvolutionsOfTheClass(nn.Module):
    kept: ClassVar = {}

    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.layer = self.kept.setdefault((channels, residual_hidden), Functional(channels, residual_hidden))

    def forward(self, x):
        return self.layer(x)


@answers.reject("ResidualLayer", "At the border")
class ReflectingBorder(Functional):
    def __init__(self, channels, residual_hidden):
        super().__init__(channels, residual_hidden)
        self.wide = nn.Conv2d(channels, residual_hidden, 3, padding=1, padding_mode="replicate")


@answers.reject("ResidualLayer", "GELU")
class WithGelu(Broken):
    def forward(self, x):
        return x + self.narrow(F.gelu(self.wide(F.gelu(x))))


@answers.reject("ResidualLayer", "ReLU6")
class WithRelu6(Broken):
    def forward(self, x):
        return x + self.narrow(F.relu6(self.wide(F.relu6(x))))


@answers.reject("ResidualLayer", "factor of 0.1")
class ScaledCorrection(Broken):
    def forward(self, x):
        return x + 0.1 * self.narrow(F.relu(self.wide(F.relu(x))))


@answers.reject("ResidualLayer", "cut from the graph")
class DetachedSkip(Broken):
    def forward(self, x):
        return x.detach() + self.narrow(F.relu(self.wide(F.relu(x))))


@answers.reject("ResidualLayer", "dropout")
class WithDropout(Broken):
    def forward(self, x):
        return x + F.dropout(self.narrow(F.relu(self.wide(F.relu(x)))), 0.3, self.training)


@answers.reject("ResidualLayer", "input is added twice")
class SkipTwice(Broken):
    def forward(self, x):
        return x + super().forward(x)


@answers.reject("ResidualLayer", "It happened at: self.wide")
class ForgetsSuper(nn.Module):
    def __init__(self, channels, residual_hidden):
        self.wide = nn.Conv2d(channels, residual_hidden, 3, padding=1)


@answers.reject("ResidualLayer", "forward")
class NoForward(nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.f = Functional(channels, residual_hidden)


@answers.reject("ResidualLayer", "returns None")
class NoReturn(Broken):
    def forward(self, x):
        super().forward(x)


@answers.reject("ResidualLayer", "torch module")
class NoModule:
    def __init__(self, channels, residual_hidden):
        self.layer = Functional(channels, residual_hidden)

    def __call__(self, x):
        return self.layer(x)


# ResidualStack

answers.accept("ResidualStack")(encdec.ResidualStack)


@answers.accept("ResidualStack")
class ListOfModules(nn.Module):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__()
        self.layers = nn.ModuleList(Functional(channels, residual_hidden) for _ in range(residual_layers))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return torch.relu(x)


@answers.accept("ResidualStack")
class AttributesInReverse(nn.Module):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__()
        self.count = residual_layers
        for i in reversed(range(residual_layers)):
            setattr(self, f"layer{i}", SequentialWithoutBias(channels, residual_hidden))

    def forward(self, x):
        for i in range(self.count):
            x = getattr(self, f"layer{i}")(x)
        return x.clamp(min=0)


@answers.accept("ResidualStack")
class Recursive(nn.Module):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__()
        sizes = channels, residual_layers - 1, residual_hidden
        self.first = encdec.ResidualLayer(channels, residual_hidden) if residual_layers else None
        self.rest = Recursive(*sizes) if residual_layers else None

    def forward(self, x):
        return F.relu(x) if self.first is None else self.rest(self.first(x))


@answers.accept("ResidualStack")
class Copies(nn.Sequential):
    def __init__(self, channels, residual_layers, residual_hidden):
        layer = encdec.ResidualLayer(channels, residual_hidden)
        super().__init__(*[copy.deepcopy(layer) for _ in range(residual_layers)], nn.ReLU(), nn.ReLU())


@answers.accept("ResidualStack")
class WideAndNarrowApart(nn.Module):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__()
        numbers = range(residual_layers)
        self.narrow = nn.ModuleList(nn.Conv2d(residual_hidden, channels, 1) for _ in numbers)
        self.wide = nn.ModuleList(nn.Conv2d(channels, residual_hidden, 3, padding=1) for _ in numbers)

    def forward(self, x):
        for wide, narrow in zip(self.wide, self.narrow, strict=True):
            x = x + narrow(F.relu(wide(F.relu(x))))
        return F.relu(x)


class BrokenStack(ListOfModules):
    """A stack to spoil."""


@answers.reject("ResidualStack", "[layer] * n")
class OneLayerManyTimes(BrokenStack):
    def __init__(self, channels, residual_layers, residual_hidden):
        nn.Module.__init__(self)
        self.layers = nn.ModuleList([Functional(channels, residual_hidden)] * residual_layers)


@answers.reject("ResidualStack", "[layer] * n")
class OneLayerInALoop(nn.Module):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__()
        self.layer, self.count = Functional(channels, residual_hidden), residual_layers

    def forward(self, x):
        for _ in range(self.count):
            x = self.layer(x)
        return F.relu(x)


@answers.reject("ResidualStack", "[layer] * n")
class OneAttributeOverwritten(nn.Module):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__()
        self.count = residual_layers
        for _ in range(residual_layers):
            self.layer = Functional(channels, residual_hidden)

    def forward(self, x):
        for _ in range(self.count):
            x = self.layer(x)
        return F.relu(x)


@answers.reject("ResidualStack", "skip inside already")
class SkipAroundTheLayers(BrokenStack):
    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return F.relu(x)


@answers.reject("ResidualStack", "No layer is used")
class ResultsThrownAway(BrokenStack):
    def forward(self, x):
        for layer in self.layers:
            layer(x)
        return F.relu(x)


@answers.reject("ResidualStack", "It happened at: return self.layers(x)")
class CallsTheList(BrokenStack):
    def forward(self, x):
        return self.layers(x)


@answers.reject("ResidualStack", "plain list hides them")
class HiddenInAList(BrokenStack):
    def __init__(self, channels, residual_layers, residual_hidden):
        nn.Module.__init__(self)
        self.layers = [Functional(channels, residual_hidden) for _ in range(residual_layers)]


@answers.reject("ResidualStack", "plain list hides them")
class HiddenInADictionary(nn.Module):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__()
        self.layers = {i: Functional(channels, residual_hidden) for i in range(residual_layers)}

    def forward(self, x):
        for layer in self.layers.values():
            x = layer(x)
        return F.relu(x)


@answers.reject("ResidualStack", "an optimizer finds the parameters of 1")
class OnlyTheFirstRegistered(nn.Module):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__()
        self.layers = [Functional(channels, residual_hidden) for _ in range(residual_layers)]
        self.first = self.layers[0] if self.layers else None

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return F.relu(x)


@answers.reject("ResidualStack", "The ReLU at the very end is missing")
class NoLastRelu(BrokenStack):
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@answers.reject("ResidualStack", "after every layer")
class ReluAfterEach(BrokenStack):
    def forward(self, x):
        for layer in self.layers:
            x = F.relu(layer(x))
        return F.relu(x)


@answers.reject("ResidualStack", "before the first layer")
class ReluFirst(BrokenStack):
    def forward(self, x):
        return super().forward(F.relu(x))


@answers.reject("ResidualStack", "inplace=True at the head")
class CarelessLayers(BrokenStack):
    def __init__(self, channels, residual_layers, residual_hidden):
        nn.Module.__init__(self)
        self.layers = nn.ModuleList(SequentialInPlace(channels, residual_hidden) for _ in range(residual_layers))


@answers.reject("ResidualStack", "carries relu(x) instead of x")
class ClippingLayers(BrokenStack):
    def __init__(self, channels, residual_layers, residual_hidden):
        nn.Module.__init__(self)
        self.layers = nn.ModuleList(SkipTakenTooLate(channels, residual_hidden) for _ in range(residual_layers))


@answers.reject("ResidualStack", "added once more")
class LongSkip(BrokenStack):
    def forward(self, x):
        return F.relu(x + nn.Sequential(*self.layers)(x))


@answers.reject("ResidualStack", "same input")
class InParallel(BrokenStack):
    def forward(self, x):
        return F.relu(sum((layer(x) for layer in self.layers), torch.zeros_like(x)))


@answers.reject("ResidualStack", "Only the last layer counts")
class ForgetsTheOnesBefore(BrokenStack):
    def forward(self, x):
        y = x
        for layer in self.layers:
            y = layer(x)
        return F.relu(y)


@answers.reject("ResidualStack", "return inside the loop")
class ReturnsTooEarly(BrokenStack):
    def forward(self, x):
        for layer in self.layers:
            return F.relu(layer(x))
        return F.relu(x)


@answers.reject("ResidualStack", "layers have no skip")
class LayersWithoutSkip(BrokenStack):
    def __init__(self, channels, residual_layers, residual_hidden):
        nn.Module.__init__(self)
        self.layers = nn.ModuleList(NoSkip(channels, residual_hidden) for _ in range(residual_layers))


@answers.reject("ResidualStack", "parameters of 2")
class OneTooFew(ListOfModules):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__(channels, residual_layers - 1, residual_hidden)


@answers.reject("ResidualStack", "made before the loop")
class OneTooMany(ListOfModules):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__(channels, residual_layers + 1, residual_hidden)


@answers.reject("ResidualStack", "whatever residual_layers says")
class AlwaysOne(ListOfModules):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__(channels, 1, residual_hidden)


@answers.reject("ResidualStack", "have changed places")
class ArgumentsSwapped(ListOfModules):
    def __init__(self, channels, residual_hidden, residual_layers):
        super().__init__(channels, residual_layers, residual_hidden)


@answers.reject("ResidualStack", "With 0 layers the ReLU")
class LastReluInPlace(ListOfModules):
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return F.relu_(x)


@answers.reject("ResidualStack", "With 0 layers something goes wrong")
class NeedsALayer(nn.Module):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__()
        self.layers = nn.ModuleList(Functional(channels, residual_hidden) for _ in range(residual_layers))

    def forward(self, x):
        y = self.layers[0](x)
        for layer in self.layers[1:]:
            y = layer(y)
        return F.relu(y)


@answers.reject("ResidualStack", "yours returns x itself")
class NothingForNoLayers(ListOfModules):
    def forward(self, x):
        return super().forward(x) if len(self.layers) else x.clone()


@answers.reject("ResidualStack", "not those of residual layers")
class OneConvolutionEach(nn.Sequential):
    def __init__(self, channels, residual_layers, residual_hidden):
        super().__init__(*[nn.Conv2d(channels, channels, 3, padding=1) for _ in range(residual_layers)], nn.ReLU())


@answers.reject("ResidualStack", "share their weights")
class LayersKeptInADefault(ListOfModules):
    def __init__(self, channels, residual_layers, residual_hidden, kept={}):  # noqa: B006
        nn.Module.__init__(self)
        key = channels, residual_hidden, residual_layers
        if key not in kept:
            kept[key] = nn.ModuleList(Functional(channels, residual_hidden) for _ in range(residual_layers))
        self.layers = kept[key]


@answers.reject("ResidualStack", "dropout")
class DropoutAtTheEnd(BrokenStack):
    def forward(self, x):
        return F.dropout(super().forward(x), training=self.training)


@answers.reject("ResidualStack", "cut from the graph")
class DetachedBetween(BrokenStack):
    def forward(self, x):
        for layer in self.layers:
            x = layer(x.detach())
        return F.relu(x)


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
