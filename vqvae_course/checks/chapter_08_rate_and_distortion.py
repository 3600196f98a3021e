"""Checks of notebook 08: bits of a map, receptive field, Pareto front, residual layer and stack."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course import encdec, metrics
from vqvae_course.checks.answer import Answer, Mistake, close, kind, recognise
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task


def _between(low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, ()))


# latent_bits

latent_bits = Task(
    lambda h, w, k: h * w * math.log2(k),
    name="latent_bits",
    points=1,
    tolerance=2e-6,
    narrow=1e-6,
    otherwise=lambda got, h, w, k: (
        f"For {h}×{w} positions and K = {k} your function returns {got:g}; that is not its bits."
    ),
    hint="How many different maps are there, and how many bits does it take to name one of them?",
)


@latent_bits.inputs
def _maps() -> Iterator[tuple[int, int, int]]:
    yield 3, 5, 6
    yield _between(3, 8), _between(9, 14), 7 * _between(9, 70)
    yield from ((11, 4, 1100), (4, 6, 512), (3, 9, 2), (7, 2, 1))


def _each(bits: Callable[[int], float]) -> Callable[[int, int, int], float]:
    """Return the mistake that an index costs something else."""
    return lambda h, w, k: h * w * bits(k)


def _whole(change: Callable[[float], float]) -> Callable[[int, int, int], float]:
    """Return the mistake that something is done to the bits of the map."""
    return lambda h, w, k: change(h * w * math.log2(k))


_PACKED = "\nMany maps are packed together, so a fraction of a bit counts: the result is not rounded."
latent_bits.mistakes(
    {
        "These are nats: the natural logarithm was taken.\nOne bit is log 2 nats.": _each(math.log),
        "The logarithm has base 10; bits need base 2.": _each(math.log10),
        "You round up the bits of every single index." + _PACKED: _each(lambda codes: math.ceil(math.log2(codes))),
        "You round down the bits of every single index." + _PACKED: _each(lambda codes: math.floor(math.log2(codes))),
        "You take whole bits for every single index." + _PACKED: _each(lambda codes: codes.bit_length()),
        "You round the bits of the whole map." + _PACKED: (
            _whole(math.ceil),
            _whole(math.floor),
            *(_whole(lambda bits, digits=digits: round(bits, digits)) for digits in range(4)),
        ),
        "You round the bits of every single index." + _PACKED: tuple(
            _each(lambda codes, digits=digits: round(math.log2(codes), digits)) for digits in range(4)
        ),
        "These are bytes; bits are asked for.": (
            _whole(lambda bits: bits / 8),
            _whole(lambda bits: math.ceil(bits / 8)),
        ),
        "This is what one index costs; a map has height × width of them.": lambda h, w, k: math.log2(k),
        "You count one bit for each position, however many codes there are.\nAn index is one of K.": (
            _each(lambda codes: 1),
            _each(lambda codes: codes > 1),
        ),
        "You multiply by K. To name one of K codes takes far fewer than K bits.": _each(lambda codes: codes),
        "This is how many different maps there are.\nHow many bits name one of them?": lambda h, w, k: k ** (h * w),
        "Positions and codes have changed places.\nWhich of the two repeats?": (
            lambda h, w, k: k * math.log2(h * w),
            lambda h, w, k: (h * w) ** k,
        ),
        "The power is taken of the height alone.\nK ** height * width is (K ** height) * width.": (
            lambda h, w, k: h * math.log2(k) + math.log2(w)
        ),
        "The logarithm is taken of the product.\nEach position costs the same.": lambda h, w, k: math.log2(h * w * k),
        "You add height and width; a map has height × width positions.": lambda h, w, k: (h + w) * math.log2(k),
        "You take the map for a square; width counts as well.": lambda h, w, k: h**2 * math.log2(k),
        "You take the map for a square; height counts as well.": lambda h, w, k: w**2 * math.log2(k),
        "You count one code too many.\nIndices run from 0 to K - 1.": _each(lambda codes: math.log2(codes + 1)),
        "You count one code too few.\nIndices run from 0 to K - 1.": _each(lambda codes: math.log2(max(codes - 1, 1))),
        "The sign is wrong; bits are positive.": _whole(lambda bits: -bits),
    }
)
for _width in (8, 16, 32, 64):
    latent_bits.mistakes(
        {
            f"You count {_width} bits for every index, as an integer type does. One below K needs less.\nHow many bits "
            "does it take to name one of K?": _each(lambda codes, width=_width: width)
        }
    )


@latent_bits.unless
def _costs_where_nothing_is_said(got: float, height: int, width: int, codes: int) -> None:
    if codes == 1:
        raise Mistake(f"A map of one code costs {got:g} bits by your function; it can only say one thing.")


@latent_bits.unless
def _times_something(got: float, height: int, width: int, codes: int) -> None:
    times, per_index = got / (height * width * math.log2(codes)), got / (height * width)
    if (times > 1.5 and close(times, round(times), 1e-6)) or (per_index > 64 and per_index % 32 == 0):
        raise Mistake(
            f"Your result is {times:g} times too large. Does the length D of a code play a part, the size of the "
            "codebook, or the channels of the image? The decoder has the codes; only which one was chosen is sent."
        )


# receptive_field

Layers = list[tuple[int, int]]


receptive_field = Task(
    encdec.receptive_field,
    points=1,
    tolerance=1e-6,
    later=4,  # a match by chance is common between integers, on five chains it is not
    otherwise="For some layers your result is wrong.",
)


@receptive_field.inputs
def _chains() -> Iterator[tuple[Layers]]:
    yield ([(3, 2), (5, 1), (4, 3), (7, 2)],)
    yield ([(4, 2), (4, 2), (3, 1), (3, 1), (1, 1)],)
    for length in (2, 3, 4):
        kernels = [_between(2, 7) for _ in range(length)]
        yield ([(6, 3), *((kernel, _between(1, min(3, kernel))) for kernel in kernels), (3, 2)],)
    yield from (([(5, 2)],), ([(1, 1)],), ([(4, 4)],), ([],))


@receptive_field.unless
def _name_the_layers(got: float, layers: Layers) -> None:
    if len(layers) == 1:
        raise Mistake(
            f"A single convolution sees as many pixels as its kernel is wide, here {layers[0][0]}; yours returns "
            f"{got:g}.",
            "Does a layer's own stride change what one of its outputs sees?",
        )
    if not layers:
        raise Mistake(f"With no layer at all, an output is a pixel and sees 1 pixel; your function returns {got:g}.")
    raise Mistake(
        f"For the layers {layers} your function returns {got:g}; following the connections back gives another number.",
        "One more layer adds kernel - 1 steps. How many pixels long is a step of this layer?",
    )


def _sum_of(
    steps: Callable[[list[int]], Sequence[float]], first: float = 1, less: int = 1
) -> Callable[[Layers], float]:
    """Return the sum of (kernel - ``less``) steps, where ``steps`` makes the steps of the layers from their strides."""
    return lambda layers: (
        first + sum((k - less) * step for (k, _), step in zip(layers, steps(_strides(layers)), strict=True))
    )


def _upwards(grow: Callable[[float, int, int], float]) -> Callable[[Layers], float]:
    def field(layers: Layers) -> float:
        size = 1.0
        for kernel, stride in reversed(layers):
            size = grow(size, kernel, stride)
        return size

    return field


def _strides(layers: Layers) -> list[int]:
    return [stride for _, stride in layers]


def _jumps(strides: list[int]) -> list[int]:
    return [math.prod(strides[:i]) for i in range(len(strides))]


def _jumps_with_own(strides: list[int]) -> list[int]:
    return [math.prod(strides[: i + 1]) for i in range(len(strides))]


receptive_field.mistakes(
    {
        "One pixel is missing: the one that is seen with no layer at all.": _sum_of(_jumps, first=0),
        "One pixel too many.\nStart with one pixel, before any layer.": _sum_of(_jumps, first=2),
        "The strides play no part in your result.\nHow long is a later layer's step?": _sum_of(lambda s: [1] * len(s)),
        "You count the stride of a layer for this same layer.\nA layer's own stride sets how far its outputs lie "
        "apart, which only the layers after it feel.": (_sum_of(_jumps_with_own), _sum_of(_jumps_with_own, first=0)),
        "Each layer feels only its own stride.\nWhich strides lie between it and the image?": _sum_of(lambda s: s),
        "Each layer feels only the stride just before it.\nStrides multiply.": _sum_of(lambda s: [1, *s][: len(s)]),
        "You add up the strides; one after the other they multiply.\nHalf of a half is a quarter.": (
            _sum_of(lambda s: [sum(s[:i]) or 1 for i in range(len(s))]),
            _sum_of(lambda s: [1 + sum(s[:i]) for i in range(len(s))]),
        ),
        "You add k steps for a kernel of k.\nA kernel of 3 has 3 posts, but how many gaps between them?": (
            _sum_of(_jumps, first=0, less=0),
            _sum_of(_jumps, less=0),
        ),
        "Each layer feels the strides of all layers, also of those behind it.\nWhich strides lie between a layer and "
        "the image?": _sum_of(lambda s: [math.prod(s)] * len(s)),
        "The layers are taken in the wrong order: the first in the list is the one next to the image.\nThere is one "
        "recursion from the image upwards and another from the output down.": lambda layers: encdec.receptive_field(
            layers[::-1]
        ),
        "Going backwards you give each of r outputs a full stride.\nr outputs in a row have r - 1 gaps between them.": (
            _upwards(lambda field, kernel, stride: field * stride + kernel),
            _upwards(lambda field, kernel, stride: field * stride + kernel - 1),
        ),
        "Kernel and stride have changed places: each layer is (kernel, stride).": lambda layers: encdec.receptive_field(
            [(stride, kernel) for kernel, stride in layers]
        ),
        "The 1 is subtracted after multiplying: (kernel - 1) belongs in brackets.": lambda layers: (
            1 + sum(k * j - 1 for (k, _), j in zip(layers, _jumps(_strides(layers)), strict=True))
        ),
        "You take every stride for 2; they stand in the list.": _sum_of(lambda s: [2**i for i in range(len(s))]),
        "You take the power of a layer's own stride, as if all layers before it had the same.\nMultiply the strides "
        "that are really there.": _sum_of(lambda s: [stride**i for i, stride in enumerate(s)]),
        "This is an area; pixels along one side are asked for.": lambda layers: encdec.receptive_field(layers) ** 2,
        "This is how far it reaches to one side of the middle; the whole width is asked for.": (
            lambda layers: (encdec.receptive_field(layers) - 1) / 2,
            lambda layers: (encdec.receptive_field(layers) - 1) // 2,
        ),
        "You add up the kernels; windows overlap, and strides stretch them.": lambda layers: sum(k for k, _ in layers),
        "You multiply the kernels; neighbouring windows overlap.": lambda layers: math.prod(k for k, _ in layers),
        "This is the total stride: how far two outputs lie apart, not what one of them sees.": lambda layers: math.prod(
            _strides(layers)
        ),
        "This is the largest kernel alone; layers see through one another.": lambda layers: max(k for k, _ in layers),
        "Only the first layer counts in your result.\nEach further layer widens the field.": lambda layers: layers[0][
            0
        ],
        "Only the last layer counts in your result.\nThe layers below widen it, too.": (
            lambda layers: layers[-1][0],
            lambda layers: layers[-1][0] * math.prod(_strides(layers[:-1])),
        ),
    }
)


# pareto_front


@exercise(points=2)
def pareto_front(answer: Answer) -> None:
    """Judge ``pareto_front(points)``: the rows that are not dominated, by rising first column."""
    for columns in (2, 3):
        for _ in range(4):
            _judge_front(answer, _cloud(_between(11, 17), columns))
    same = torch.tensor([[4.0, 1.0], [2.0, 3.0], [2.0, 2.0], [9.0, 1.0], [5.0, 0.5], [6.0, 0.5], [1.0, 7.0]])
    _judge_front(answer, same[torch.randperm(len(same))])  # ties in one column
    twins = torch.tensor([[3.0, 1.0], [1.0, 4.0], [3.0, 1.0], [5.0, 2.0], [1.0, 4.0], [5.0, 2.0], [2.0, 2.0]])
    _judge_front(answer, twins[torch.randperm(len(twins))])  # equal rows, on the front and off it
    _judge_front(answer, torch.full((3, 2), 1.5))
    _judge_front(answer, torch.tensor([[2.0, -3.0]]))
    _judge_front(answer, torch.tensor([[5.0, 6.0], [1.0, 2.0], [3.0, 4.0]]))  # one row beats all others
    _judge_front(answer, _cloud(10, 4)[:, ::2] - 9)  # negative, not contiguous
    try:
        _judge_front(answer, 1e6 + 0.01 * _cloud(9, 2).double())
        for scale in (1e-12, 1e-3, 1e3):
            _judge_front(answer, scale * _cloud(9, 2))
        _judge_front(answer, _with_a_hair_worse(_cloud(9, 2)))
    except Mistake as mistake:
        raise Mistake(
            "Rows that differ by little, for numbers of their size, are compared wrongly.",
            "Do you round, or allow a tolerance?",
        ) from mistake


def _with_a_hair_worse(points: Tensor) -> Tensor:
    """Add to each row on the front one that is larger in one column, by as little as can be."""
    worse = points[_front(points)]
    worse[:, 1] = worse[:, 1].nextafter(torch.tensor(torch.inf))
    return torch.cat([points, worse])


def _cloud(count: int, columns: int) -> Tensor:
    """Draw points of which some are on the front, some on its convex hull, some inside."""
    while True:
        direction = torch.rand(count, columns) + 0.05
        radius = torch.tensor([0.85, 1.0, 1.0, 1.3, 1.6])[torch.randint(5, (count, 1))]
        points = radius * direction / direction.norm(dim=1, keepdim=True)  # on spheres, which bulge from the origin
        points = points * torch.arange(1.0, columns + 1)
        front = _front(points)
        signs = torch.ones(columns)
        signs[0] = -1
        others = [set(_front(points * sign)) for sign in (-1, signs, -signs)]
        order = points[:, 0].argsort().tolist()
        others += [set(range(count)) - set(front), set(range(len(front)))]
        others += [{order[i] for i in front}, {order.index(i) for i in front}]
        if min(map(len, others)) < 2 or len(set(map(frozenset, others))) < len(others):
            continue  # an answer should match one mistake only
        if columns > 2 or 2 < len(_hull(points, front)) < len(front) < count - 2:
            return points


def _front(points: Tensor, strict: bool = False) -> list[int]:
    """Return the rows that no row dominates, in their order; ``strict`` asks of a dominating row to win everywhere."""
    rows = points.tolist()

    def beats(a: list[float], b: list[float]) -> bool:
        pairs = list(zip(a, b, strict=True))
        return all(x < y for x, y in pairs) if strict else all(x <= y for x, y in pairs) and a != b

    return [i for i, mine in enumerate(rows) if not any(beats(other, mine) for other in rows)]


def _hull(points: Tensor, front: list[int]) -> list[int]:
    """Return the rows of a front of two columns that lie on its lower convex hull."""
    hull: list[int] = []
    rows = points.tolist()
    for i in sorted(front, key=lambda i: rows[i]):
        while len(hull) > 1:
            (x0, y0), (x1, y1), (x2, y2) = (rows[j] for j in (hull[-2], hull[-1], i))
            if (y1 - y0) * (x2 - x0) < (y2 - y0) * (x1 - x0):
                break
            hull.pop()
        hull.append(i)
    return hull


def _judge_front(answer: Answer, points: Tensor) -> None:
    rows = _row_numbers(answer(points), points)
    right = metrics.pareto_front(points).tolist()
    if sorted(rows) != sorted(right):
        _explain_front(rows, points)
    first = [float(points[row, 0]) for row in rows]
    if first != sorted(first):
        if first == sorted(first, reverse=True):
            raise Mistake("The rows are right, but in falling order of the first column.")
        if rows == sorted(rows):
            raise Mistake(
                "The rows are right, but they come in the order of the table, not by rising first column.",
                "Sort the rows you keep by what stands in their first column.",
            )
        raise Mistake("The rows are right, but not ordered by rising first column.")


def _row_numbers(value: Any, points: Tensor) -> list[int]:
    if isinstance(value, set | frozenset):
        raise Mistake(
            "Your function returns a set, which has no order.", "The rows should come by rising first column."
        )
    try:
        found = torch.as_tensor(np.asarray(value) if not isinstance(value, Tensor) else value.detach())
    except Exception as error:
        raise Mistake(f"Your function returns {kind(value)}; a tensor of row numbers is asked for.") from error
    if found.dtype == torch.bool:
        raise Mistake("Your function returns a mask of True and False; the numbers of the rows are asked for.")
    if found.ndim == 0:
        raise Mistake("Your function returns a single number; a tensor with one axis is asked for, even for one row.")
    if found.ndim == 2 and found.shape[1] == points.shape[1] and found.is_floating_point():
        raise Mistake("Your function returns the points themselves; the numbers of their rows are asked for.")
    if found.ndim == 2:
        raise Mistake(
            f"Your function returns shape {tuple(found.shape)}; one axis of row numbers is asked for.",
            "nonzero() returns one row for each place it finds.",
        )
    if found.ndim != 1:
        raise Mistake(f"Your function returns shape {tuple(found.shape)}; one axis of row numbers is asked for.")
    if found.numel() == 0:
        raise Mistake(
            "Your function returns no row at all, but there is always one that nothing dominates.",
            "Does a row dominate itself in your code, or its equal? It has to be better in at least one column.",
        )
    if found.is_floating_point():
        raise Mistake("Your function returns floating-point numbers; row numbers are integers.")
    rows = found.tolist()
    if min(rows) < 0 or max(rows) >= len(points):
        raise Mistake(f"Your function names rows that do not exist: {min(rows)} to {max(rows)} of {len(points)}.")
    if len(set(rows)) < len(rows):
        raise Mistake("Your function names a row twice.")
    return rows


def _explain_front(rows: list[int], points: Tensor) -> None:
    mine, right, every = set(rows), set(_front(points)), set(range(len(points)))
    flipped = points.clone()
    flipped[:, 0] *= -1
    order = points[:, 0].argsort(stable=True).tolist()
    table = points.tolist()
    twins = {i for i in right if table.count(table[i]) > 1}
    if len(points) == 3 and len({tuple(row) for row in table}) == 1:
        raise Mistake(
            "Of rows that are equal in every column, yours drops some. Equal rows do not dominate each other.",
            "To dominate, a row has to be smaller somewhere.",
        )
    if twins and mine == right - twins:
        raise Mistake("Two equal rows throw each other out. To dominate, a row has to be smaller somewhere.")
    if twins and mine < right and right - mine < twins:
        raise Mistake("Of equal rows on the front you keep only one; neither dominates the other, so both stay.")
    known = [
        (every - right, "You return the rows that are dominated; those that are not are asked for.", ""),
        (every, "You keep every row, also those that another one beats in all columns.", "When is a row beaten?"),
        (
            _front(-points),
            "The direction is wrong: your front is the one for more is better.",
            "Less is better. Or have the two axes of your table of comparisons changed places?",
        ),
        (_front(flipped), "In one column you take more for better, in the other less.", "Less is better in every one."),
        (
            _front(-flipped),
            "In one column you take more for better, in the other less.",
            "Less is better in every one.",
        ),
        (
            _front(points, strict=True),
            "You keep rows that are beaten in one column and only equal in another. That is dominated, too.",
            "At most as large everywhere, smaller at least once.",
        ),
        (
            [order.index(i) for i in right],
            "These are places in the sorted table; the rows' numbers in the table as it was given are asked for.",
            "argsort tells which row stands at each place.",
        ),
        (
            range(len(right)),
            "These are places among the rows you keep; the rows' numbers in the whole table are asked for.",
            "argsort tells which row stands at each place.",
        ),
        (
            [order[i] for i in right],
            "You found the right rows of the table as it was given, but pick them from the sorted one.",
            "Is the mask in the same order as what it is used on?",
        ),
    ]
    if points.shape[1] > 2:
        known += [
            (_front(points[:, list(pair)]), "You compare only two of the columns; the others count as well.", "")
            for pair in itertools.combinations(range(points.shape[1]), 2)
        ]
    elif len(right) > 2:
        best = [i for i in right if (points[i] == points.min(dim=0).values).any()]
        known.append((best, "You keep the winners of each column alone. Good compromises are on the front, too.", ""))
        known.append(
            (
                _hull(points, sorted(right)),
                "You keep the convex hull. A row above a straight line between two others is dominated by neither.",
                "",
            )
        )
    for candidate, message, hint in known:
        if mine == set(candidate):
            raise Mistake(message, hint)
    if len(mine) == 1 and len(right) > 1:
        raise Mistake("You return a single winner. A front has many: each is the best for some taste.", "")
    surplus, missing = mine - right, right - mine
    if surplus and not missing:
        raise Mistake(
            f"You keep {len(surplus)} of the {len(every - right)} dominated rows. After sorting by one column, ties in "
            "it still have to be looked at."
            if len(set(points[:, 0].tolist())) < len(points)
            else f"You keep {len(surplus)} of the {len(every - right)} dominated rows.",
            "Compare with all rows, not only with neighbours.",
        )
    if missing and not surplus:
        raise Mistake(
            f"{len(missing)} of the {len(right)} rows on the front are missing in your result.",
            "A row goes only if one and the same other row is at least as good in every column.",
        )
    raise Mistake(
        "Some rows are dominated and kept, others are not dominated and missing.",
        "Ask of each row: is there one other row that is nowhere larger and somewhere smaller?",
    )


# ResidualLayer and ResidualStack


class Weights(NamedTuple):
    """The parameters of one residual layer; a missing bias is zero."""

    wide: Tensor
    narrow: Tensor
    wide_bias: Tensor | None
    narrow_bias: Tensor | None


Activation = Callable[[Tensor], Tensor]


def _nothing(x: Tensor) -> Tensor:
    return x


def _inner(x: Tensor, w: Weights, first: Activation = F.relu, second: Activation = F.relu) -> Tensor:
    """Compute f(x), with the activations before the two convolutions."""
    inside = F.conv2d(first(x), w.wide.reshape(len(w.wide), -1, 3, 3), w.wide_bias, padding=1)
    return F.conv2d(second(inside), w.narrow.reshape(len(w.narrow), -1, 1, 1), w.narrow_bias)


def _layer(x: Tensor, w: Weights) -> Tensor:
    return x + _inner(x, w)


def _clipping_layer(x: Tensor, w: Weights) -> Tensor:
    return F.relu(x) + _inner(x, w)


class Outcome(NamedTuple):
    """What a module returned, what it made of its input, and whether that is a change."""

    y: Tensor
    left: Tensor
    changed: bool


def _build(answer: Answer, *sizes: int) -> nn.Module:
    module = answer(*sizes)
    if not isinstance(module, nn.Module):
        raise Mistake(f"Calling your class gives {kind(module)}; it should be a torch module (nn.Module).")
    return module


def _run(module: nn.Module, x: Tensor) -> Outcome:
    """Call a module on a copy, which is no leaf, so that in-place operations raise no error of their own."""
    given = x.clone()
    try:
        y = Answer(lambda box: module(box[0])).tensor((given,), shape=tuple(x.shape))
    except Mistake as mistake:
        if "must match the size of tensor" in mistake.message:
            raise Mistake(
                "What should be added to the input has another size than the input.",
                "Does the 3×3 convolution pad, and does the 1×1 convolution come back to all channels?",
            ) from mistake
        raise
    if y.dtype != x.dtype:
        raise Mistake(f"The input is {x.dtype}, and your module returns {y.dtype}.")
    left = given.detach()
    return Outcome(y, left, not torch.equal(left, x.detach()))


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-4 * (1 + float(b.detach().abs().max())))


def _weights(module: nn.Module, channels: int, hidden: int) -> tuple[list[Weights], list[tuple[int, ...]]]:
    """Return the layers found among the parameters, in order, and the shapes that belong to none."""
    found: dict[str, list[Tensor]] = {"wide": [], "narrow": [], "wide_bias": [], "narrow_bias": []}
    shapes = {
        (hidden, channels, 3, 3): "wide",
        (hidden, channels * 9): "wide",  # a linear layer on unfolded neighbourhoods
        (channels, hidden, 1, 1): "narrow",
        (channels, hidden): "narrow",
        (hidden,): "wide_bias",
        (channels,): "narrow_bias",
    }
    strangers = []
    for parameter in module.parameters():
        shape = tuple(parameter.shape)
        if shape in shapes:
            found[shapes[shape]].append(parameter)
        else:
            strangers.append(shape)
    count = len(found["wide"])
    if len(found["narrow"]) != count:
        return [], [tuple(parameter.shape) for parameter in module.parameters()]
    for name in ("wide_bias", "narrow_bias"):
        if len(found[name]) not in (0, count):
            strangers += [tuple(parameter.shape) for parameter in found[name]]
            found[name] = []
    empty = [None] * count
    columns = [found["wide"], found["narrow"], found["wide_bias"] or empty, found["narrow_bias"] or empty]
    return [Weights(*parts) for parts in zip(*columns, strict=True)], strangers


@torch.no_grad()
def _randomise(module: nn.Module) -> None:
    """Draw parameters anew: whatever the start was, zero weights included, every part of the module must matter."""
    for parameter in module.parameters():
        fan_in = max(1, math.prod(parameter.shape[1:]))
        parameter.copy_(torch.randn(parameter.shape) / math.sqrt(fan_in))


def _input(channels: int, batch: int = 2, height: int = 5, width: int = 7) -> Tensor:
    return (3 * torch.randn(batch, channels, height, width)).requires_grad_()  # some beyond 6, where ReLU6 is flat


def _without_parameters(what: str) -> Mistake:
    return Mistake(
        f"{what} has no parameters that an optimizer could find: there is nothing to learn.",
        "Convolutions are made once, in __init__, and kept as attributes of self, several of them in an nn.ModuleList "
        "or nn.Sequential. A plain list hides them.",
    )


def _judge_repeatable(module: nn.Module, x: Tensor) -> Tensor:
    first, second = _run(module, x), _run(module, x)
    if not torch.equal(first.y, second.y):
        raise Mistake(
            "Two calls with the same input give two results: is there dropout, noise, or a new layer each call?"
        )
    if not _same(_run(module.eval(), x).y, first.y):
        raise Mistake("In eval mode your module computes something else: is there dropout or a normalisation?")
    module.train()
    return first.y


def _judge_gradients(module: nn.Module, x: Tensor, right: Tensor) -> None:
    """Compare the gradients of input and parameters with those of the right result, which has the same value."""
    sent = torch.randn(right.shape)
    leaves = [x, *module.parameters()]
    try:
        got = torch.autograd.grad(_run(module, x).y, leaves, sent, allow_unused=True)
    except Mistake:
        raise
    except RuntimeError as error:
        raise Mistake(
            "The values are right, but no gradient can be computed.",
            f"torch says: {str(error).splitlines()[0][:160]}",
        ) from error
    expected = torch.autograd.grad(right, leaves, sent, allow_unused=True)
    for name, mine, theirs in zip(["input", *["parameters"] * len(leaves)], got, expected, strict=False):
        if theirs is not None and (mine is None or not _same(mine, theirs)):
            raise Mistake(
                f"The values are right, but the gradient of the {name} is not: something is cut from the graph.",
                "Look for detach(), .data, torch.no_grad() and numpy.",
            )


def _judge_independence(answer: Answer, *sizes: int) -> None:
    one, other = _build(answer, *sizes), _build(answer, *sizes)
    _run(one, _input(sizes[0])), _run(other, _input(sizes[0]))
    if {p.data_ptr() for p in one.parameters()} & {p.data_ptr() for p in other.parameters()}:
        raise Mistake(
            "Two modules of your class share their weights: training one changes the other.",
            "Make the layers in __init__, not in the body of the class, in a default argument or outside.",
        )


@exercise(points=2)
def ResidualLayer(answer: Answer) -> None:
    """Judge ``ResidualLayer(channels, residual_hidden)``: y = x + conv1x1(relu(conv3x3(relu(x))))."""
    for channels, hidden in ((5, 3), (4, 7)):
        module, x = _build(answer, channels, hidden), _input(channels)
        _run(module, x)  # lazy layers get their shapes
        _randomise_known(module, channels, hidden)
        (weights,), _ = _weights(module, channels, hidden)
        right = _layer(x, weights)
        got = _run(module, x)
        if got.changed or not _same(got.y, right):
            _explain_layer(got, x, weights, module)
        _judge_repeatable(module, x)
        for shape in ((1, 1, 1), (3, 1, 6)):
            small = _input(channels, *shape)
            if not _same(_run(module, small).y, _layer(small, weights)):
                raise Mistake(f"For an input of shape {tuple(small.shape)} the result is wrong, for larger ones right.")
        _judge_gradients(module, x, right)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.zero_()
        if not torch.equal(_run(module, x).y, x):
            raise Mistake("With all parameters at 0 your layer should return its input, exactly; it does not.")
        double = x.detach().double()
        got = _run(module.double(), double)
        module.float()  # layers kept outside of the class are met again
        if not torch.equal(got.y, double):
            raise Mistake("With parameters at 0 and float64 inputs, your layer does not return its input.")
    _judge_independence(answer, 4, 3)


def _randomise_known(module: nn.Module, channels: int, hidden: int) -> None:
    """Refuse a layer whose parameters are not those of the two convolutions; draw them anew."""
    shapes = sorted(tuple(parameter.shape) for parameter in module.parameters())
    if not shapes:
        raise _without_parameters("Your layer")
    layers, strangers = _weights(module, channels, hidden)
    if len(layers) == 1 and not strangers:
        _randomise(module)
        return
    kernels = [shape for shape in shapes if len(shape) > 1]
    if set(kernels) == {(hidden, channels, 1, 1), (channels, hidden, 3, 3)}:
        raise Mistake("The kernels have changed places: the 3×3 convolution comes first, the 1×1 comes back.")
    if set(kernels) == {(hidden, channels, 3, 3), (channels, hidden, 3, 3)}:
        raise Mistake("The second convolution has a 3×3 kernel; it should be 1×1.")
    if set(kernels) == {(hidden, channels, 1, 1), (channels, hidden, 1, 1)}:
        raise Mistake("The first convolution has a 1×1 kernel; it should be 3×3, or no pixel sees its neighbours.")
    if all(shape[:2] == (channels, channels) for shape in kernels):
        raise Mistake("Both convolutions go from channels to channels; residual_hidden is not used.")
    if len(kernels) != len(layers) * 2 or len(kernels) > 2:
        raise Mistake(
            f"The parameters should be the kernels of two convolutions. Yours have the shapes {shapes}, for channels = "
            f"{channels} and residual_hidden = {hidden}.",
            "3×3 from channels to residual_hidden, then 1×1 back to channels.",
        )
    raise Mistake(
        f"There are parameters besides the two convolutions with at most one bias each (all shapes: {shapes}). Is "
        "there a normalisation, or a learned factor?",
    )


def _explain_layer(got: Outcome, x: Tensor, w: Weights, module: nn.Module) -> None:
    y = got.y
    if got.changed and _same(y, _clipping_layer(x, w)):
        raise Mistake(
            "The first ReLU works in place: it overwrites x, so what is added afterwards is relu(x). The skip has lost "
            "its negative numbers, and the caller's tensor is damaged.",
            "inplace=True, or a function that ends in an underscore?",
        )
    if got.changed and _same(y, _layer(x, w)) and _same(got.left, F.relu(x)):
        raise Mistake(
            "The result is right, but the first ReLU works in place: the caller's tensor has lost its negative numbers."
        )
    if got.changed and _same(y, _layer(x, w)):
        raise Mistake(
            "The result is right, but your layer writes it into the caller's tensor.",
            "x += ... changes x itself; x = x + ... makes a new tensor.",
        )
    if got.changed:
        raise Mistake(
            "Your layer changes its input in place; the skip and the caller still need it.", "Look for inplace."
        )
    f = _inner(x, w)
    order = "ReLU, 3×3, ReLU, 1×1, then the sum."
    known = [
        (f, "There is no skip: your layer returns the correction f(x) alone.", "What should f = 0 give?"),
        (F.relu(f), "There is no skip: your layer returns the correction f(x) alone.", "What should f = 0 give?"),
        (
            _clipping_layer(x, w),
            "You add relu(x) instead of x: the skip has lost its negative numbers.",
            "Keep the input under a name of its own before the first ReLU.",
        ),
        (F.relu(x + f), "There is a ReLU after the sum: it clips the skip.", "The sum is the last thing."),
        (F.relu(F.relu(x) + f), "There is a ReLU after the sum, and the skip carries relu(x).", "The sum comes last."),
        (x + _inner(x, w, first=_nothing), "The first ReLU is missing.", order),
        (x + _inner(x, w, second=_nothing), "The ReLU between the two convolutions is missing.", order),
        (x + _inner(x, w, _nothing, _nothing), "Both ReLUs are missing: what is left is linear.", order),
        (
            x + F.relu(f),
            "There is a third ReLU, behind the 1×1 convolution: corrections could only be positive.",
            order,
        ),
        (
            x + F.relu(_inner(x, w, first=_nothing)),
            "The ReLUs stand behind the convolutions; each belongs in front of one.",
            order,
        ),
        (
            F.relu(x + _inner(x, w, first=_nothing)),
            "The ReLUs stand behind the first convolution and behind the sum; each belongs in front of a convolution.",
            order,
        ),
        (F.relu(_inner(x, w, first=_nothing)), "There is no skip: the input is never added.", order),
        (_inner(x, w, first=_nothing), "There is no skip, and the first ReLU is missing.", order),
        (x - f, "You subtract the correction; it is added.", ""),
        (f - x, "You subtract the input; it is added.", ""),
        ((x + f) / 2, "You take the mean of input and correction; their sum is asked for.", ""),
        (x * f, "You multiply by the correction; it is added.", ""),
        (x + x + f, "The input is added twice.", ""),
        (_layer(_layer(x, w), w), "The layer is applied twice.", ""),
        (x, "Your layer returns its input; the correction is missing.", ""),
    ]
    recognise(y, known, 1e-4)
    for name, activation in _OTHER_ACTIVATIONS.items():
        if _same(y, x + _inner(x, w, activation, activation)):
            raise Mistake(f"The activation is not a ReLU but {name}.")
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    if _same(y[inside], _layer(x, w)[inside]):
        raise Mistake("At the border the result is wrong, inside it is right.", "The 3×3 convolution pads with zeros.")
    step = (y - x).detach()
    factor = float((step * f).sum() / f.square().sum())
    if abs(factor) > 1e-2 and _same(step, factor * f):
        raise Mistake(f"The correction is added with a factor of {factor:.3g}; the sum is x + f(x).")
    _judge_repeatable(module, x)
    raise Mistake("The result is not x + conv1x1(relu(conv3x3(relu(x)))).", order)


_OTHER_ACTIVATIONS: dict[str, Activation] = {
    "GELU": F.gelu,
    "leaky ReLU": F.leaky_relu,
    "leaky ReLU with slope 0.2": lambda x: F.leaky_relu(x, 0.2),
    "ELU": F.elu,
    "SiLU": F.silu,
    "ReLU6": F.relu6,
    "tanh": torch.tanh,
}


@exercise(points=2)
def ResidualStack(answer: Answer) -> None:
    """Judge ``ResidualStack(channels, residual_layers, residual_hidden)``: layers with own weights, then a ReLU."""
    for channels, count, hidden in ((5, 3, 4), (3, 1, 6), (4, 2, 7)):
        module, x = _build(answer, channels, count, hidden), _input(channels)
        before = _run(module, x)
        layers = _layers_of_stack(module, channels, count, hidden)
        _randomise(module)
        got = _run(module, x)
        order = _order_of(got.y, x, layers)
        if got.changed or before.changed or order is None:
            _explain_stack(got, before, x, layers, module)
        _judge_repeatable(module, x)
        right = x
        for weights in order:
            right = _layer(right, weights)
        _judge_gradients(module, x, F.relu(right))
    _judge_empty_stack(answer)
    _judge_independence(answer, 4, 2, 3)


def _layers_of_stack(module: nn.Module, channels: int, count: int, hidden: int) -> list[Weights]:
    """Return the layers of a stack; refuse one that has too few, too many, or others."""
    shapes = [tuple(parameter.shape) for parameter in module.parameters()]
    if not shapes:
        raise _without_parameters("Your stack")
    layers, strangers = _weights(module, channels, hidden)
    if any(len(shape) == 4 and shape[:2] == (count, channels) for shape in strangers):
        raise Mistake(
            "The number of layers and the channels inside them have changed places.",
            "The arguments are channels, residual_layers, residual_hidden, in this order.",
        )
    if strangers or not layers:
        raise Mistake(
            f"The parameters are not those of residual layers. Yours have the shapes {shapes}, for channels = "
            f"{channels} and residual_hidden = {hidden}.",
        )
    if len(layers) == 1 < count:
        _randomise(module)
        x = _input(channels)
        y, repeated = _run(module, x).y, x
        for _ in range(count):
            repeated = _layer(repeated, layers[0])
        for shared in (repeated, F.relu(repeated)):
            if _same(y, shared):
                raise Mistake(
                    f"All {count} layers are one and the same: the stack has the parameters of a single layer. "
                    "[layer] * n repeats the layer itself, it does not copy it.",
                    "Make a new layer in each round of a loop or comprehension.",
                )
        if _same(y, F.relu(_layer(x, layers[0]))) or _same(y, _layer(x, layers[0])):
            raise Mistake(f"There is one layer, whatever residual_layers says; here it is {count}.")
    if len(layers) < count:
        raise Mistake(
            f"Of {count} layers, an optimizer finds the parameters of {len(layers)}.",
            "Are some kept in a plain list, shared, or does the loop end too early?",
        )
    if len(layers) > count:
        raise Mistake(f"{count} layers are asked for, and there are {len(layers)}.", "Is one made before the loop?")
    return layers


def _stacked(x: Tensor, layers: Sequence[Weights], layer: Callable[[Tensor, Weights], Tensor] = _layer) -> Tensor:
    for weights in layers:
        x = layer(x, weights)
    return x


def _order_of(y: Tensor, x: Tensor, layers: list[Weights]) -> tuple[Weights, ...] | None:
    """Return the layers in the order in which they were applied, however they are registered; None if in none."""
    columns = list(zip(*layers, strict=True))
    for narrow in itertools.permutations(range(len(layers))):
        mixed = [
            Weights(w, columns[1][i], b, columns[3][i]) for w, b, i in zip(columns[0], columns[2], narrow, strict=True)
        ]
        for order in itertools.permutations(mixed):
            if _same(y, F.relu(_stacked(x, order))):
                return order
    return None


def _explain_stack(got: Outcome, before: Outcome, x: Tensor, layers: list[Weights], module: nn.Module) -> None:
    y = got.y
    if got.changed or before.changed:
        if _same(y, F.relu(_stacked(x, layers))):
            raise Mistake("The result is right, but your stack changes its input in place.", "Look for += and inplace.")
        raise Mistake(
            "Your stack changes its input in place, and with it the skip: is a ReLU with inplace=True at the head "
            "of a layer?",
        )
    known = [
        (_stacked(x, layers), "The ReLU at the very end is missing.", ""),
        (
            F.relu(_stacked(x, layers, lambda x, w: F.relu(_layer(x, w)))),
            "There is a ReLU after every layer. It clips the skip on the way; only the very end has one.",
            "",
        ),
        (
            F.relu(_stacked(x, layers, _clipping_layer)),
            "The skip of your layers carries relu(x) instead of x: an in-place ReLU, or x = relu(x) before the sum.",
            "The first ReLU of a layer must leave its input as it is.",
        ),
        (_stacked(x, layers, _clipping_layer), "The last ReLU is missing, and the layers' skip carries relu(x).", ""),
        (F.relu(_stacked(F.relu(x), layers)), "There is a ReLU before the first layer: it clips the skip.", ""),
        (
            F.relu(_stacked(x, layers, lambda x, w: x + _layer(x, w))),
            "The input of each layer is added twice: a residual layer has its skip inside already.",
            "",
        ),
        (F.relu(x + _stacked(x, layers)), "The input of the stack is added once more at its end.", ""),
        (x + F.relu(_stacked(x, layers)), "The input of the stack is added once more at its end.", ""),
        (
            F.relu(x + sum(_inner(x, w) for w in layers)),
            "All layers get the same input; each belongs behind the last.",
            "",
        ),
        (F.relu(sum(_layer(x, w) for w in layers)), "All layers get the same input; each belongs behind the last.", ""),
        (F.relu(_layer(x, layers[-1])), "Only the last layer counts: each gets x, not what the one before made.", ""),
        (F.relu(_layer(x, layers[0])), "Only the first layer is used.", "Is there a return inside the loop?"),
        (F.relu(_stacked(x, layers, _inner)), "The layers have no skip.", ""),
        (F.relu(_stacked(x, layers[:-1])), "The last layer is not used.", ""),
        (F.relu(_stacked(x, layers[1:])), "The first layer is not used.", ""),
        (F.relu(x), "No layer is used: what comes out is relu(x).", ""),
    ]
    recognise(y, known, 1e-4)
    _judge_repeatable(module, x)
    raise Mistake(
        "The result is not that of residual layers one after the other and a ReLU at the end.",
        "Is each layer given the output of the one before, and is the layer itself right (exercise 8.4)?",
    )


def _judge_empty_stack(answer: Answer) -> None:
    try:
        module, x = _build(answer, 3, 0, 5), _input(3)
        got = _run(module, x)
    except Mistake as mistake:
        raise Mistake(f"With 0 layers something goes wrong. {mistake.message}", mistake.hint) from mistake
    if got.changed:
        raise Mistake(
            "With 0 layers the ReLU at the end works on the caller's tensor itself, in place.", "Look for inplace."
        )
    if list(module.parameters()):
        raise Mistake("With 0 layers your stack still has parameters.", "Is one layer made before the loop?")
    if not torch.equal(got.y, F.relu(x)):
        same = torch.equal(got.y, x)
        raise Mistake(
            f"With 0 layers only the ReLU should be left; yours returns {'x itself' if same else 'another map'}."
        )
