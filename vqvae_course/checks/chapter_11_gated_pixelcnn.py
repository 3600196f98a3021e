"""Checks of notebook 11: a gated layer, the class inside the gate, nats per code, sampling, temperature."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.special import entr

from vqvae_course.checks.answer import Answer, Mistake, kind, let_time_begin_anew
from vqvae_course.checks.read import tensor
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task

# The layer of two stacks


@exercise(points=4)
def GatedLayer(answer: Answer) -> None:
    """Judge ``GatedLayer(hidden, kernel_size, first)``: what depends on what, and whether the gates are gates."""
    for height, width, size, first in ((5, 7, 3, False), (5, 7, 3, True), (6, 5, 5, False), (6, 5, 5, True)):
        layer = _built(answer, 3, size, first)
        _judge_shapes(layer, 3, height, width)
        _judge_range(layer, 3, height, width)
        try:
            _judge_paths(layer, 3, height, width, size, first)
        except Mistake:
            _judge_frame(copy.deepcopy(layer), 3, size // 2)  # copies of the edge are felt at strange places
            raise
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.normal_(std=0.3)
        try:
            _judge_paths(layer, 3, height, width, size, first)
        except Mistake as mistake:
            raise Mistake(
                "At first all is well. But after every parameter has been changed, as an optimizer step or a loaded "
                f"checkpoint would do: {mistake.message}",
                "A mask that is applied once, at construction, is undone. Apply it each time.",
            ) from mistake
    _judge_gates(answer)
    for first in (False, True):
        _judge_parameters(_built(answer, 3, 3, first), 3, 4, 6, first)
    _judge_formula(answer)
    for size, first in ((3, False), (5, True)):
        _judge_frame(_built(answer, 2, size, first), 2, size // 2)
    for height, width, size, first in ((1, 6, 5, True), (6, 1, 3, False), (2, 3, 7, True)):
        layer = _built(answer, 2, size, first)
        _judge_shapes(layer, 2, height, width)
        _judge_paths(layer, 2, height, width, size, first)


def _built(answer: Answer, hidden: int, size: int, first: bool) -> nn.Module:
    layer = answer(hidden, size, first) if first else answer(hidden, size)
    if not isinstance(layer, nn.Module):
        raise Mistake(f"GatedLayer(...) gives {kind(layer)}; a torch.nn.Module is asked for.")
    if not list(layer.parameters()):
        raise Mistake(
            "The layer has no parameters, so no optimizer can train it.",
            "Modules in a plain list, or made in forward, are not found. Assign each to self.",
        )
    return layer


def _stacks(layer: nn.Module, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Run the layer; return the two stacks."""
    value = Answer(layer)(v, h)
    if not isinstance(value, tuple | list) or len(value) != 2 or not all(isinstance(t, Tensor) for t in value):
        raise Mistake(f"forward is to return the pair (v, h) of tensors; it returns {kind(value)}.")
    for name, new, old in zip("vh", value, (v, h), strict=True):
        if new.shape != old.shape:
            halves = (
                "tanh takes one half of the channels and sigmoid the other, so their product has half as many."
                if new.ndim == 4 and new.shape[1] == 2 * old.shape[1]
                else "Count the zeros on each side: the output is to be as large as the input."
            )
            raise Mistake(f"The new {name} has shape {tuple(new.shape)}; {tuple(old.shape)} came in.", halves)
        if not bool(new.isfinite().all()):
            raise Mistake(f"The new {name} holds infinite numbers or NaN.")
    return value[0], value[1]


def _judge_shapes(layer: nn.Module, hidden: int, height: int, width: int) -> None:
    try:
        _stacks(layer, *torch.randn(2, 2, hidden, height, width))
    except Mistake as mistake:
        try:
            _stacks(layer, *torch.randn(2, 2, hidden, height, height))
        except Mistake:
            raise mistake from None
        raise Mistake(
            f"It runs on a square map of {height} rows and columns, and not on one of {height} rows and {width} "
            f"columns. {mistake.message}",
            "Somewhere rows and columns are swapped, most likely where you crop: the rows of a (B, C, h, w) tensor "
            "are axis 2.",
        ) from mistake


UPWARDS = (
    "The new v feels h: the horizontal stack flows into the vertical one. A layer later, a position would find there "
    "what lies on its right, and its own code.",
    "The link goes one way.",
)


def _judge_range(layer: nn.Module, hidden: int, height: int, width: int) -> None:
    """The new v is a product of a tanh and a sigmoid, so it keeps within -1 and 1, however large v is."""
    v, h = torch.randn(2, 4, hidden, height, width)
    with torch.no_grad():
        new_v, new_h = _stacks(layer, 1e4 * v, h)
        if not torch.equal(new_v, _stacks(layer, 1e4 * v, h)[0]):
            raise Mistake(
                "The same v and h give another result the second time: something is drawn at random, or counted.",
                "The layer has no dropout.",
            )
        other_v, other_h = _stacks(layer, 1e4 * v, h + torch.randn_like(h))
        if not torch.equal(new_v, other_v):
            if torch.equal(new_h, other_h):
                raise Mistake("You return the pair as (h, v): the first of the two feels h, the second does not.")
            raise Mistake(*UPWARDS)
    if float(new_v.abs().max()) > 1.01:
        if float((new_v - 1e4 * v).abs().max()) < 2:
            raise Mistake(
                "You add v to the new v. The residual connection is in the horizontal stack alone.",
                "What keeps the vertical stack's values between -1 and 1?",
            )
        raise Mistake(
            "The new v leaves the range from -1 to 1, so it is no product of a tanh and a sigmoid.", "See eq. 2."
        )


def _feels(out: Tensor, inputs: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Return for each input (P, P) bool: which of its positions each position of the first image's output feels."""
    weight = torch.rand(out.shape[1]) + 0.5
    heard = torch.einsum("chw,c->hw", out[0], weight).flatten()
    felt = []
    for place in heard:
        if not place.requires_grad:
            felt.append([torch.zeros_like(x) for x in inputs])
            continue
        gradients = torch.autograd.grad(place, inputs, retain_graph=True, allow_unused=True)
        felt.append([torch.zeros_like(x) if g is None else g for x, g in zip(inputs, gradients, strict=True)])
    if any(bool(g[1:].any()) for row in felt for g in row):
        raise Mistake("The images of a batch influence one another.", "Which operation mixes over axis 0?")
    return [torch.stack([row[n][0].abs().sum(dim=0).flatten() > 0 for row in felt]) for n in range(2)]


def _judge_paths(layer: nn.Module, hidden: int, height: int, width: int, size: int, first: bool) -> None:
    """Compare which inputs each output feels with what the exercise says."""
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    down, right = (places[None] - places[:, None]).unbind(dim=2)  # input minus output
    reach = size // 2
    vv = hv = hh = vh = torch.zeros_like(down, dtype=torch.bool)
    for _ in range(2):  # two inputs, so that no gradient is 0 by chance
        v, h = torch.randn(2, 2, hidden, height, width).unbind()
        v.requires_grad_()
        h.requires_grad_()
        new_v, new_h = _stacks(layer, v, h)
        step = new_h if first else new_h - h
        (felt_vv, felt_vh), (felt_hv, felt_hh) = _feels(new_v, (v, h)), _feels(step, (v, h))
        vv, vh, hv, hh = vv | felt_vv, vh | felt_vh, hv | felt_hv, hh | felt_hh
    if vh.any():
        raise Mistake(*UPWARDS)
    _judge_vertical(vv, down, right, reach, first)
    _judge_horizontal(hh, down, right, reach, first, layer, hidden)
    above = (down >= -reach) & (down <= (-1 if first else 0)) & (right.abs() <= reach)
    if not hv.any():
        if above.any():
            raise Mistake(
                "The new h feels nothing of v: the link from the vertical to the horizontal stack is missing."
            )
    elif (hv & ~above).any():
        raise Mistake(
            "Through the link the new h feels places of v that the vertical convolution at the same position does not "
            "read" + (", among them its own row: the code to be predicted or later ones." if first else "."),
            "The link takes the output of the vertical convolution, not v itself.",
        )
    elif (above & ~hv).any():
        raise Mistake(
            "Through the link the new h feels only a part of what the vertical convolution reads.",
            "The link takes the output of the vertical convolution, not v itself.",
        )


def _judge_vertical(felt: Tensor, down: Tensor, right: Tensor, reach: int, first: bool) -> None:
    if (felt & (down > 0)).any():
        raise Mistake("The new v at row i feels rows below row i: the vertical stack sees the future.")
    last = -1 if first else 0
    if first and (felt & (down == 0)).any():
        raise Mistake(
            "In the first layer the new v at row i feels row i, where v still holds the codes themselves: the vertical "
            "stack is not moved down by one row.",
            "Drop the last row of what goes in, and pad one more row of zeros at the top.",
        )
    if not first and not (felt & (down == 0)).any():
        raise Mistake(
            "In a later layer the new v at row i does not feel row i. It may, and has to: there v holds rows above "
            "only, and without row i the stack moves down by one more row at each layer.",
            "Only the first layer leaves its own row out.",
        )
    expected = (down >= -reach) & (down <= last) & (right.abs() <= reach)
    if torch.equal(felt, expected):
        return
    _refuse_window("v", "v", felt, down, right, f"rows i - {reach} to i{' - 1' if first else ''}", reach, reach)


def _refuse_window(
    new: str, old: str, felt: Tensor, down: Tensor, right: Tensor, rows: str, left: int, rightmost: int
) -> None:
    seen = (
        f"rows {int(down[felt].min()):+d} to {int(down[felt].max()):+d} and columns {int(right[felt].min()):+d} to "
        f"{int(right[felt].max()):+d}, counted from its own"
        if felt.any()
        else "nothing"
    )
    raise Mistake(
        f"The new {new} feels {seen}, of {old}. It is to feel {rows} and columns j - {left} to j + {rightmost}, all "
        "of them.",
        "How many zeros go on which side? F.pad counts left, right, top, bottom.",
    )


def _judge_horizontal(
    felt: Tensor, down: Tensor, right: Tensor, reach: int, first: bool, layer: nn.Module, hidden: int
) -> None:
    blank, h = copy.deepcopy(layer), torch.randn(2, hidden, *_size(down))
    with torch.no_grad():
        for parameter in blank.parameters():
            parameter.zero_()
        left = _stacks(blank, torch.randn_like(h), h)[1]
    if first and torch.allclose(left, h):
        raise Mistake(
            "In the first layer you add h to the new h. There h holds the very codes that are to be predicted.",
            "The residual connection starts with the second layer.",
        )
    if not first and not torch.allclose(left, h):
        raise Mistake(
            "In a later layer the new h is to be h plus what the layer computes; h itself is missing, or it is scaled, "
            "or something is done to it after it has been added.",
            "Which stack has the residual connection, and in which layers?",
        )
    if (felt & (down != 0)).any():
        raise Mistake(
            "The new h at row i feels other rows of h. The rows above are the vertical stack's business, and those "
            "below are the future."
        )
    if (felt & (right > 0)).any():
        raise Mistake("The new h at column j feels columns to the right of j in its own row: the future.")
    if first and (felt & (right == 0)).any():
        raise Mistake(
            "In the first layer the new h feels its own column: the code that is to be predicted.",
            "The first layer is a mask A: the kernel ends one column before.",
        )
    if not first and not (felt & (right == 0)).any():
        raise Mistake(
            "In a later layer the convolution over h leaves its own column out, where h holds columns to the left "
            "only. Each such layer moves the stack one more column away.",
            "Later layers are a mask B.",
        )
    expected = (down == 0) & (right >= -reach) & (right <= (-1 if first else 0))
    if not torch.equal(felt, expected):
        _refuse_window("h", "h", felt, down, right, "row i", reach, -1 if first else 0)


def _size(down: Tensor) -> tuple[int, int]:
    height = int(down.max()) + 1
    return height, len(down) // height


def _judge_parameters(layer: nn.Module, hidden: int, height: int, width: int, first: bool) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        v, h = torch.randn(2, 2, hidden, height, width)
        new_v, new_h = _stacks(layer, v, h)
    if float(new_v.abs().max()) > 1e-5 or float((new_h - (0 if first else h)).abs().max()) > 1e-5:
        raise Mistake(
            "With all parameters at 0 the new v is to be 0, and the new h "
            + ("0" if first else "the old one")
            + ". They are not: something is added that is no parameter, or the gate is not tanh times sigmoid.",
            "tanh(0) times sigmoid(0) is 0.",
        )


def _judge_gates(answer: Answer) -> None:
    """Judge the nonlinearities by the values they saturate at, in layers of one channel with random weights."""
    vertical, horizontal, plain = [], [], []
    for _ in range(16):
        layer = _built(answer, 1, 3, False)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.normal_()
            h, v = torch.randn(2, 6, 1, 6, 7)
            v = 1e6 * v
            new_v, new_h = _stacks(layer, v, h)
        step = new_h - h
        if float(step.abs().max()) > 1e4:
            raise Mistake(
                "The new h grows without bounds with v: the link is added after the horizontal gate, or there is no "
                "gate. Before the gate, a unit can react to what is on the left and above together.",
                "Add the link to the horizontal convolution first, then gate.",
            )
        vertical.append(_levels(new_v))
        horizontal.append(_levels(step))
        plain.append(_follows(step, new_v))
    if not any(len(levels) == 3 for levels in vertical):
        _refuse_levels("v", vertical)
    if all(not levels for levels in horizontal):
        raise Mistake(
            "However large v gets, the new h still follows h: what the link brings has been through the vertical gate, "
            "which bounds it, or both parts have a gate of their own and are added afterwards.",
            "The link takes the vertical convolution's output before its gate, and is added before the other gate.",
        )
    threes = [levels for levels in horizontal if len(levels) == 3]
    many = [levels for levels in horizontal if len(levels) > 3 and levels[-1] - levels[0] > 0.01]
    if not threes or len(many) > 2:
        _refuse_levels("h", horizontal)
    if all(plain):
        raise Mistake(
            "Where the link brings much, the horizontal gate opens and closes exactly with the vertical one: what it "
            "brings has not been through a 1x1 convolution.",
            "The link has weights of its own.",
        )
    if all(abs(a + 1) < 1e-3 and abs(b) < 1e-3 and abs(c - 1) < 1e-3 for a, b, c in threes):
        raise Mistake("The 1x1 convolution between the horizontal gate and the new h is missing.")


def _follows(step: Tensor, new_v: Tensor) -> bool:
    """Whether, where all gates are saturated, the step is the same wherever the new v is the same."""
    spread = float(step.max() - step.min())
    groups = [step[(new_v - level).abs() < 0.01] for level in (-1, 0, 1)]
    off = sum(int(((group - group.median()).abs() > 1e-2 * spread).sum()) for group in groups if len(group))
    return spread > 1e-3 and off < 0.05 * step.numel()


def _judge_formula(answer: Answer) -> None:
    """Judge that it is tanh and sigmoid, and nothing that only looks like them.

    With all biases at 0 and all weights scaled by s, a signal a and a valve b become s a and s b. Then
    tanh(s a) sigmoid(s b) - tanh(-s a) sigmoid(-s b) = tanh(s a), so both factors can be read off.
    """
    for _ in range(4):
        layer = _built(answer, 1, 3, False)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.normal_()
                if parameter.ndim == 1:
                    parameter.zero_()
        weights = [parameter.detach().clone() for parameter in layer.parameters()]
        some, none = torch.randn(4, 1, 6, 7), torch.zeros(4, 1, 6, 7)
        if any(float(stack.abs().max()) > 0 for stack in _stacks(layer, none, none)):
            return  # there are biases of another form
        if float(_stacks(layer, some, none)[1].abs().max()) == 0:
            raise Mistake(
                "Where h is 0 and there are no biases, the link brings nothing to the new h: it is not added.",
                "The link's output is added to that of the horizontal convolution.",
            )

        def run(
            scale: float,
            stack: int,
            layer: nn.Module = layer,
            weights: list[Tensor] = weights,
            some: Tensor = some,
            none: Tensor = none,
        ) -> Tensor:
            with torch.no_grad():
                for parameter, weight in zip(layer.parameters(), weights, strict=True):
                    parameter.copy_(scale * weight)
                if stack == 0:
                    return _stacks(layer, some, none)[0].double()
                return (_stacks(layer, none, some)[1] - some).double() / scale  # the last convolution scales too

        for stack, name in enumerate("vh"):
            height = float((run(1e4, stack) - run(-1e4, stack)).abs().max())  # where tanh is 1
            if height < 0.1:
                continue
            tanh, valve = {}, {}
            for scale in (1.0, 0.5):
                there, back = run(scale, stack), run(-scale, stack)
                tanh[scale], valve[scale] = (there - back) / height, there / (there - back)
            fair = (tanh[1.0].abs() < 0.9) & (tanh[0.5].abs() > 0.1)
            for what, values, curve in (("tanh", tanh, torch.atanh), ("sigmoid", valve, torch.logit)):
                inside = fair & ((valve[1.0] - 0.5).abs() < 0.4) & ((valve[0.5] - 0.5).abs() < 0.4)
                if bool(((curve(values[1.0]) - 2 * curve(values[0.5])).abs() > 0.05)[inside].any()):
                    raise Mistake(
                        f"The gate of the new {name} behaves like tanh times sigmoid at its ends but not in between: "
                        f"in place of {what} there is another function.",
                        "torch.tanh and torch.sigmoid, of one half of the channels each.",
                    )


def _judge_frame(layer: nn.Module, hidden: int, reach: int) -> None:
    """Zeros outside the map: a frame of zeros around it, as wide as the kernel reaches, changes nothing inside."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.3)
        v, h = torch.randn(2, 2, hidden, 6, 7)
        frame = (reach, reach, reach, reach)
        for name, plain, framed in zip(
            "vh", _stacks(layer, v, h), _stacks(layer, F.pad(v, frame), F.pad(h, frame)), strict=True
        ):
            inside = framed[:, :, reach:-reach, reach:-reach]
            if not torch.allclose(inside, plain, atol=1e-4):
                raise Mistake(
                    f"A frame of zeros around the map changes the new {name} inside it: outside the map you do not "
                    "count zeros, or the result depends on the size of the map.",
                    "Pad with zeros, not with copies of the edge.",
                )


def _levels(values: Tensor) -> list[float]:
    """Return the few values that nearly all of these have; empty if there are no such values."""
    ordered = values.detach().flatten().double().sort().values
    spread = float(ordered[-1] - ordered[0])
    if spread < 1e-6:
        return [float(ordered[0])]
    breaks = (ordered.diff() > 1e-3 * spread).nonzero()[:, 0] + 1
    groups = [group for group in torch.tensor_split(ordered, breaks.tolist()) if len(group) >= 0.02 * len(ordered)]
    covered = sum(len(group) for group in groups)
    return [float(group.median()) for group in groups] if covered >= 0.95 * len(ordered) and len(groups) <= 8 else []


def _refuse_levels(stack: str, found: list[list[float]]) -> None:
    if any(len(levels) > 3 for levels in found) or all(not levels for levels in found):
        raise Mistake(f"The nonlinearity of the new {stack} is not tanh of one half times sigmoid of the other.")
    both = [levels for levels in found if len(levels) == 2]
    if stack == "v" and both and all(abs(low + 1) < 0.01 for low, _ in both):
        raise Mistake(
            "The new v takes both signs but is never closed: the sigmoid half of the gate is missing.", "See eq. 2."
        )
    raise Mistake(
        f"The gate of the new {stack} knows two states only, where tanh times sigmoid has three: plus, minus and "
        "closed. Either one factor is missing, or both see the same half of the channels.",
        "Half of the channels for tanh, the other half for sigmoid.",
    )


# The class inside the gate


def _gate(x: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)


Rows = Callable[[Tensor, Tensor], Tensor]  # of labels and table, one row an image


def _with(rows: Rows = lambda labels, table: table[labels]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the gate with such rows added inside."""
    return lambda x, labels, table: _gate(x + rows(labels, table)[:, :, None, None])


def _halves(gated: Callable[..., Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return a function of the two halves of the channels and of their two biases."""
    return lambda x, labels, table: gated(*x.chunk(2, dim=1), *table[labels][:, :, None, None].chunk(2, dim=1))


class_bias = Task(
    _with(),
    name="class_bias",
    points=2,
    reads=tensor,
    zero=1e-6,  # a gradient may cancel, up to rounding
    gradients=("x", "table"),
    half=True,
    otherwise="The result is not tanh(a + V_f) times sigmoid(b + V_g) with each image's own row of the table.",
    hint="Look up the rows first, give them two more axes, add, and gate last.",
)


@class_bias.inputs
def _images() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    # In the third case the (B, 2C) rows fit the last two axes as well, so a wrong axis raises no error there.
    for batch, channels, height, width, classes in ((3, 2, 4, 5, 6), (1, 3, 2, 5, 4), (4, 3, 4, 6, 5), (6, 1, 3, 1, 7)):
        labels = torch.randperm(classes)[:batch] if batch > 1 else torch.randint(1, classes, (1,))
        x, table = _signals(batch, channels, height, width), _class_table(classes, channels)
        yield x.requires_grad_(batch != 3), labels, table.requires_grad_(batch != 3)  # without, x += ... runs, too
    yield _signals(5, 2, 2, 3), torch.tensor([8, 0, 8, 3, 0]), _class_table(9, 2)  # the first class, the last, again


def _signals(batch: int, channels: int, height: int, width: int) -> Tensor:
    return torch.randn(batch, 2 * channels, height, width).requires_grad_()


def _class_table(classes: int, channels: int) -> Tensor:
    return (1.5 * torch.randn(classes, 2 * channels)).requires_grad_()


def _on_wrong_axes(x: Tensor, labels: Tensor, table: Tensor) -> Tensor:
    fits = x.shape[2:] == (len(x), x.shape[1])
    return _gate(x + table[labels]) if fits else _with()(x, labels, table)


class_bias.mistakes(
    {
        "The class is not in the result at all: this is the plain gate.\nWhere does the table come "
        "in?": lambda x, labels, table: _gate(x),
        "The class is added after the gate. There it shifts the result and cannot change how the unit responds.\n"
        "Add it before tanh and sigmoid.": _halves(lambda a, b, f, g: torch.tanh(a) * torch.sigmoid(b) + f),
        "Your second half of the table is added after the gate.\nBoth halves go inside.": (
            _halves(lambda a, b, f, g: torch.tanh(a + f) * torch.sigmoid(b) + g),
            _halves(lambda a, b, f, g: torch.tanh(a) * torch.sigmoid(b) + g),
        ),
        "The class reaches the tanh half only, so it cannot open or close the valves.\nThe table has one number for "
        "each of the 2C channels.": _halves(lambda a, b, f, g: torch.tanh(a + f) * torch.sigmoid(b)),
        "The class reaches the sigmoid half only.\nThe table has one number for each of the 2C channels.": _halves(
            lambda a, b, f, g: torch.tanh(a) * torch.sigmoid(b + g)
        ),
        "The halves are swapped: the first half of the channels is the signal, for tanh, the second the valve.\nWhich "
        "half does your tanh see?": _halves(lambda a, b, f, g: torch.sigmoid(a + f) * torch.tanh(b + g)),
        "The two halves of the table are swapped.\nIt is laid out like the channels.": _halves(
            lambda a, b, f, g: torch.tanh(a + g) * torch.sigmoid(b + f)
        ),
        "All images get the class of the first one.\nlabels has one entry per image.": _with(
            lambda labels, table: table[labels][:1]
        ),
        "All images get the mean of the batch's classes.\nOne row of the table per image.": _with(
            lambda labels, table: table[labels].mean(dim=0, keepdim=True)
        ),
        "All images get the sum of the batch's classes.\nOne row of the table per image.": _with(
            lambda labels, table: table[labels].sum(dim=0, keepdim=True)
        ),
        "Each image gets the row of the table with its own number in the batch, not that of its class.\nUse "
        "labels.": _with(lambda labels, table: table[torch.arange(len(labels)) % len(table)]),
        "Each image gets the row of another class: the one after its own.\nClasses are counted from 0.": _with(
            lambda labels, table: table[(labels + 1) % len(table)]
        ),
        "Each image gets the row of another class: the one before its own.\nClasses are counted from 0.": _with(
            lambda labels, table: table[labels - 1]
        ),
        "The class multiplies what comes in; eq. 4 adds it.\nA plus, not a times.": (
            lambda x, labels, table: _gate(x * table[labels][:, :, None, None])
        ),
        "The class is subtracted.\nMind the sign.": _with(lambda labels, table: -table[labels]),
        "The signals and valves are taken in turns, even and odd channels.\nThe first half of the channels are the "
        "signals.": lambda x, labels, table: _gate(
            torch.cat([(x + table[labels][:, :, None, None])[:, start::2] for start in (0, 1)], dim=1)
        ),
        "tanh is applied to both halves.\nThe valve lies between 0 and 1.": _halves(
            lambda a, b, f, g: torch.tanh(a + f) * torch.tanh(b + g)
        ),
        "sigmoid is applied to both halves.\nThe signal lies between -1 and 1.": _halves(
            lambda a, b, f, g: torch.sigmoid(a + f) * torch.sigmoid(b + g)
        ),
        "The class is added to the two factors, after tanh and sigmoid.\nEq. 4 adds it to a and b, inside.": _halves(
            lambda a, b, f, g: (torch.tanh(a) + f) * (torch.sigmoid(b) + g)
        ),
        "The signal does not go through tanh.\nEq. 2.": _halves(lambda a, b, f, g: (a + f) * torch.sigmoid(b + g)),
        "The halves are added; a valve multiplies.\nEq. 2.": _halves(
            lambda a, b, f, g: torch.tanh(a + f) + torch.sigmoid(b + g)
        ),
        "The rows of the table land on the wrong axes: on height and width. It runs only where the sizes happen to "
        "fit.\nGive the (B, 2C) rows two more axes at the end.": _on_wrong_axes,
    }
)


# Nats per code


def _each(logits: Tensor, indices: Tensor, axis: int = 1) -> Tensor:
    """Return -log p at the code that came, (B, h, w), with a softmax over one axis."""
    return -logits.log_softmax(dim=axis).gather(1, indices[:, None])[:, 0]


nll = Task(
    lambda logits, indices: _each(logits, indices).mean(),
    name="nll",
    points=2,
    otherwise="This is not the mean of -log softmax at the code that came.",
    hint="Per position: log-sum-exp of the K logits minus the logit of the right code.",
)


@nll.inputs
def _logits() -> Iterator[tuple[Tensor, Tensor]]:
    for batch, codes, height, width in ((2, 5, 3, 4), (3, 2, 1, 6), (1, 7, 4, 2), (4, 4, 4, 4)):
        logits = 2 * torch.randn(batch, codes, height, width) + 3 + torch.randn(batch, 1, height, width)
        yield logits.requires_grad_(batch == 3), _codes(batch, codes, height, width)
    yield 300 * torch.randn(2, 5, 3, 4), _codes(2, 5, 3, 4)


def _codes(batch: int, codes: int, height: int, width: int) -> Tensor:
    """Draw codes, the first and the last among them."""
    indices = torch.randint(codes, (batch, height, width))
    indices[0, 0, 0], indices[-1, -1, -1] = 0, codes - 1
    return indices


def _chance(logits: Tensor, indices: Tensor) -> Tensor:
    return (-_each(logits, indices)).exp()


nll.mistakes(
    {
        "You apply softmax before the cross-entropy, which applies it again.\nIt takes logits as they are.": (
            lambda logits, indices: F.cross_entropy(logits.softmax(dim=1), indices)
        ),
        "This is the sum over all positions; the mean is asked for.\nHow does it change with the batch size?": (
            lambda logits, indices: _each(logits, indices).sum()
        ),
        "This is in bits: base 2. Nats are asked for.\nWhich logarithm?": lambda logits, indices: (
            _each(logits, indices).mean() / math.log(2)
        ),
        "The sign is wrong: this is the log-likelihood, which is negative.\nnll has a minus in front.": (
            lambda logits, indices: -_each(logits, indices).mean()
        ),
        "This is nats per image: the sum over positions, averaged over the batch. Per code is asked for.\nHow many "
        "codes has a map?": lambda logits, indices: _each(logits, indices).sum() / len(indices),
        "You divide by K as well: only one of the K entries of a position counts.\nTake the mean over positions, after "
        "picking the right entry.": lambda logits, indices: _each(logits, indices).mean() / logits.shape[1],
        "You average -log p over all K codes, not only over the right one.\nWhere do the indices come in?": (
            lambda logits, indices: -logits.log_softmax(dim=1).mean()
        ),
        "The logits are not normalised, and you do not normalise them.\nA log-sum-exp is missing.": (
            lambda logits, indices: -logits.gather(1, indices[:, None]).mean()
        ),
        "This is minus the mean probability; the logarithm is missing.\nLog first, mean afterwards.": (
            lambda logits, indices: -_chance(logits, indices).mean()
        ),
        "You take the logarithm of the mean probability; asked for is the mean of the logarithms.\nSwap the two.": (
            lambda logits, indices: -_chance(logits, indices).mean().log()
        ),
        "This is the perplexity, e to the power of the answer.\nLeave out the exp.": lambda logits, indices: (
            _each(logits, indices).mean().exp()
        ),
        "This is the entropy of your predictions: it does not ask which code came.\nWhere do the indices come in?": (
            lambda logits, indices: entr(logits.softmax(dim=1)).sum(dim=1).mean()
        ),
        "This is the cost of the likeliest code, not of the one that came.\nUse the indices.": (
            lambda logits, indices: -logits.log_softmax(dim=1).amax(dim=1).mean()
        ),
        "You use the indices of another image of the batch.\nKeep the order.": lambda logits, indices: _each(
            logits, indices.roll(1, 0)
        ).mean(),
        **{
            f"The softmax runs over the {name}: the wrong axis.\nThe K codes are axis 1.": (
                lambda logits, indices, axis=axis: _each(logits, indices, axis).mean()
            )
            for axis, name in ((0, "batch"), (2, "height"), (3, "width"))
        },
        "You reshape (B, K, h, w) into rows of K numbers without moving the codes to the last axis first, so a row "
        "mixes positions.\nMove the axis, then flatten.": lambda logits, indices: F.cross_entropy(
            logits.reshape(-1, logits.shape[1]), indices.flatten()
        ),
    }
)


@nll.unless
def _in_the_hundreds(got: float, logits: Tensor, indices: Tensor) -> None:
    if float(logits.detach().abs().max()) < 100:
        return
    found = (
        f"For logits in the hundreds your function gives {got:.12}; {float(nll.right(logits, indices)):.1f} is right."
    )
    if math.isfinite(got):
        raise Mistake(
            f"{found} A clamp, of logits or of probabilities, or a small number inside the logarithm hides what an "
            "unlikely code costs.",
            "Subtract log-sum-exp from the logit, or use log_softmax: nothing has to be kept from getting large.",
        )
    raise Mistake(
        f"{found} e to the power of some hundreds does not fit into a float, and the logarithm of a probability "
        "rounded to 0 is infinite.",
        "Stay in logarithms: subtract log-sum-exp from the logit, or use log_softmax.",
    )


# Sampling


MOST_CALLS = 200_000  # of a prior; one for each image and place is far less


class _Toy(nn.Module):
    """A prior that watches who asks it what."""

    def __init__(self, codes: int, rule: Callable[[Tensor], Tensor], classes: bool = False):
        super().__init__()
        self.codes, self.rule, self.classes = codes, rule, classes
        self.calls, self.first_map, self.saw_draws = 0, None, False
        self.scale = nn.Parameter(torch.ones(()))  # as a prior has parameters, logits belong to a graph

    def forward(self, indices: Tensor, labels: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return the logits that the rule makes of the maps."""
        self.calls += 1
        let_time_begin_anew()
        if self.calls > MOST_CALLS:
            raise Mistake(f"You call the prior more than {MOST_CALLS} times.", "Does your loop come to an end?")
        if not isinstance(indices, Tensor) or indices.ndim != 3:
            raise Mistake("The prior is to be given maps (B, h, w).", "Look at the call of prior.")
        if indices.dtype != torch.int64:
            raise Mistake(f"The prior is given maps of {indices.dtype}; int64 is asked for.", "An index is an integer.")
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < self.codes:
            raise Mistake(
                f"The prior is given indices outside [0, {self.codes}).", "What do you fill the map with at first?"
            )
        if self.classes and not (isinstance(labels, Tensor) and labels.shape == (len(indices),)):
            raise Mistake("The labels do not reach the prior.", "Hand them on in each call.")
        if self.first_map is None:
            self.first_map = indices.clone()
        else:
            filling = self.first_map[:, : indices.shape[1]]
            self.saw_draws |= filling.shape == indices.shape and not torch.equal(filling, indices)
        return self.scale * (self.rule(indices) if not self.classes else self.rule(indices, labels))


def _drawn(answer: Answer, prior: _Toy, shape: tuple[int, int, int], *arguments: Any) -> Tensor:
    value = answer(prior, shape, *arguments)
    if not isinstance(value, Tensor):
        raise Mistake(f"Your function returns {kind(value)}; a tensor of indices is asked for.")
    if value.shape != shape:
        raise Mistake(f"Your function returns shape {tuple(value.shape)}; {shape} is asked for.")
    if value.dtype != torch.int64:
        raise Mistake(f"Your function returns {value.dtype}; int64 is asked for.")
    if int(value.min()) < 0 or int(value.max()) >= prior.codes:
        raise Mistake(f"Your function returns indices outside [0, {prior.codes}).")
    return value


def _previous(maps: Tensor) -> Tensor:
    """Return at each position the index before it in raster order; 0 before the first."""
    return F.pad(maps.flatten(1), (1, 0))[:, :-1].view_as(maps)


def _above_right(maps: Tensor) -> Tensor:
    return F.pad(maps, (0, 1, 1, 0))[:, :-1, 1:]


def _successor(maps: Tensor, codes: int) -> Tensor:
    """Return what the deterministic toy prior wants at each position, given the positions before it."""
    return (2 * _previous(maps) + _above_right(maps) + 1) % codes


@exercise(points=4)
def sample(answer: Answer) -> None:
    """Judge ``sample(prior, shape, labels, temperature, generator)`` on toy priors whose law is known."""
    _judge_order(answer)
    _judge_single_draws(answer)
    _judge_generators(answer)
    _judge_joint(answer)
    _judge_labels(answer)


def _judge_order(answer: Answer) -> None:
    """The first code is free, every other one follows from those before it: no chance in the verdict."""
    codes = 7

    def rule(maps: Tensor) -> Tensor:
        wanted = F.one_hot(_successor(maps, codes), codes).movedim(-1, 1) * 900.0 - 450
        wanted[:, :, 0, 0] = 0.0
        return wanted

    for shape in ((40, 3, 5), (3, 4, 2), (1, 5, 1), (2, 1, 6)):
        prior = _Toy(codes, rule)
        maps = _drawn(answer, prior, shape, None, 1.0, torch.Generator().manual_seed(5))
        wanted = _successor(maps, codes)
        fits = (maps == wanted).flatten(1)[:, 1:]
        if fits.all():
            if prior.calls < shape[1] * shape[2]:
                raise Mistake("The codes are right, but the prior was asked too rarely for that to be honest.")
            continue
        _, height, width = shape
        if prior.calls == 1:
            raise Mistake(
                "The prior runs once, and all positions are drawn from that one pass: each code is drawn given the "
                "filling of the map, not given the codes before it.",
                "After each draw, ask again.",
            )
        if prior.calls == height**2 and height < width:
            raise Mistake(
                f"Of the {width} columns only the first {height} are drawn, as many as there are rows; the others keep "
                "the filling.",
                "Over what do your two loops run? Maps need not be square.",
            )
        if prior.calls == height and width > 1:
            raise Mistake(
                "The prior runs once per row: the codes of a row do not know those on their left.",
                "Even the neighbour in the same row is the past.",
            )
        blind = _successor(torch.zeros_like(maps), codes)
        if torch.equal(maps.flatten(1)[:, 1:], blind.flatten(1)[:, 1:]) and not prior.saw_draws:
            raise Mistake(
                "Every code is drawn as if all codes before it were still the filling of the map: the drawn codes "
                "never reach the prior.",
                "Write each draw into the map that the next call gets.",
            )
        late = (_above_right(maps) + 1) % codes  # what follows if the code before is still the filling
        if width > 2 and torch.equal(maps.flatten(1)[:, 1:], late.flatten(1)[:, 1:]):
            raise Mistake(
                "Each draw sees the map as it was one draw earlier: it never knows its direct predecessor.",
                "In which order do you draw, write and ask?",
            )
        _judge_certain_draw(answer)
        if height > 1 and width > 1:
            raise Mistake(
                "The codes do not follow from those before them in raster order: row by row, each row from left to "
                "right. Are they drawn column by column, or backwards, or is a draw written to another place than it "
                "was asked for?",
                "Which of the two loops is the outer one?",
            )
        raise Mistake(
            "Within a row, the codes do not follow from those on their left.", "Draw from left to right, one by one."
        )


def _judge_certain_draw(answer: Answer) -> None:
    """Before the order is blamed: is the right code drawn where there is but one position, and one code to draw?"""
    for codes, certain in ((7, 3), (5, 0), (4, 3)):
        logits = 900.0 * F.one_hot(torch.tensor(certain), codes) - 450
        got = _single(answer, logits, 1.0, 6, images=20)
        if bool((got != certain).any()):
            raise Mistake(
                f"On a map of a single position, where code {certain} has the probability 1, another code is drawn. "
                "So before the order matters, the draw itself is wrong.",
                "From logits to probabilities, from probabilities to their sums, from the sums to a code: which step?",
            )


P = torch.tensor([0.5, 0.26, 0.16, 0.08])
MANY = 4000
OFF = 0.055  # a share of 4000 draws is further off than this once in 10^10 checks: 7 standard deviations


def _single(
    answer: Answer, logits: Tensor, temperature: float, seed: int, size: tuple[int, int] = (1, 1), images: int = MANY
) -> Tensor:
    prior = _Toy(len(logits), lambda maps: logits.view(1, -1, 1, 1).expand(len(maps), -1, *maps.shape[1:]).clone())
    generator = torch.Generator().manual_seed(seed)
    return _drawn(answer, prior, (images, *size), None, temperature, generator)


def _share(maps: Tensor) -> Tensor:
    return torch.bincount(maps.flatten(), minlength=len(P)) / maps.numel()


def _judge_single_draws(answer: Answer) -> None:
    logits = P.log() + 4  # all positive, and their softmax is P
    drawn = _single(answer, logits, 1.0, 11)
    if len(drawn.unique()) == 1:
        again = [_single(answer, logits, 1.0, seed, images=2) for seed in range(20, 50)]
        if all(int(maps[0, 0, 0]) == 0 for maps in [drawn, *again]):
            raise Mistake(
                "You take the likeliest code each time (argmax). Nothing is random then: there is one map per class, "
                "however often you ask.",
                "Draw a code with its probability.",
            )
        raise Mistake(
            "All images of a batch get the same code: they share one random number.", "How many numbers are drawn?"
        )
    share = _share(drawn)
    _refuse_share(share, P, {"logits": logits / logits.sum(), "uniform": torch.full((4,), 0.25)}, 1.0)
    for temperature, seed in ((1.0, 14), (0.5, 15), (2.0, 16)):
        _judge_all_places(answer, logits, temperature, seed)
    if len(_single(answer, logits, 0.01, 17, images=200).unique()) > 1:
        raise Mistake("At a temperature of 0.01 only the likeliest code should be left; others are drawn as well.")
    huge = torch.tensor([400.0, 401.0, -300.0, 399.0])
    _refuse_share(_share(_single(answer, huge, 1.0, 18)), huge.softmax(dim=0), {}, 1.0, "logits in the hundreds")


def _judge_all_places(answer: Answer, logits: Tensor, temperature: float, seed: int) -> None:
    """Judge shares at each place of a map, and whether places, and images, are drawn independently."""
    tempered, multiplied = (logits / temperature).softmax(dim=0), (logits * temperature).softmax(dim=0)
    maps = _single(answer, logits, temperature, seed, size=(2, 3)).flatten(1)
    for place, drawn in enumerate(maps.T):
        where = f"row {place // 3}, column {place % 3}" if place else ""
        _refuse_share(_share(drawn), tempered, {"multiplied": multiplied, "ignored": P}, temperature, where)
    expected = float(tempered.square().sum())
    for one, other in itertools.combinations(maps.T, 2):
        if abs(float((one == other).float().mean()) - expected) > 0.08:
            raise Mistake(
                "Two positions whose codes should be independent are drawn alike: they use the same random numbers.",
                "Draw fresh numbers at each position; do not seed inside the loop.",
            )
    for drawn in maps.T:
        if abs(float((drawn[::2] == drawn[1::2]).float().mean()) - expected) > 0.08:
            raise Mistake(
                "Images of a batch are not drawn independently of one another.", "One random number per image."
            )


def _refuse_share(got: Tensor, right: Tensor, known: dict[str, Tensor], temperature: float, which: str = "") -> None:
    if float((got - right).abs().max()) < OFF:
        return
    texts = {
        "logits": (
            "Codes are drawn in proportion to the logits themselves.",
            "Logits are logarithms of probabilities, up to a constant. What turns them into probabilities?",
        ),
        "uniform": ("All codes are drawn equally often, whatever the logits say.", "Where do the logits come in?"),
        "multiplied": (
            "The temperature works the wrong way round: below 1 it is to sharpen, above 1 to flatten.",
            "Multiplied or divided?",
        ),
        "ignored": ("The temperature changes nothing.", "Divide the logits by it, before the softmax."),
    }
    for name, share in known.items():
        if float((got - share).abs().max()) < 0.025 and float((right - share).abs().max()) > 2 * OFF:
            message, hint = texts[name]
            raise Mistake((f"At {which}, and not before: " if which else "") + message, hint)
    shown = ", ".join(f"{value:.2f}" for value in got.tolist())
    expected = ", ".join(f"{value:.2f}" for value in right.tolist())
    raise Mistake(
        f"For {which or 'one position'} at temperature {temperature:g}, codes come with shares {shown}; their "
        f"probabilities are {expected}.",
        "Draw code k with probability softmax(logits / temperature)_k.",
    )


def _judge_generators(answer: Answer) -> None:
    prior = _Toy(4, lambda maps: P.log().view(1, -1, 1, 1).expand(len(maps), -1, *maps.shape[1:]).clone())

    def run(generator: torch.Generator | None) -> Tensor:
        return _drawn(answer, prior, (50, 2, 3), None, 1.0, generator)

    first = run(torch.Generator().manual_seed(3))
    torch.rand(7)
    again = run(torch.Generator().manual_seed(3))
    if not torch.equal(first, again):
        raise Mistake(
            "The same generator state gives other samples the second time: some numbers come from elsewhere.",
            "Hand the generator to whatever draws.",
        )
    if torch.equal(first, run(torch.Generator().manual_seed(4))):
        raise Mistake("Another generator gives the same samples: it is not used, or it is seeded anew inside.")
    generator = torch.Generator().manual_seed(3)
    run(generator)
    if torch.equal(first, run(generator)):
        raise Mistake("A generator that has gone on gives the same samples again: it is seeded anew inside.")
    plain = _share(_drawn(answer, prior, (MANY, 1, 1)))  # with nothing but the shape
    _refuse_share(plain, P, {}, 1.0, "one position, where no temperature is given and 1 is the default,")
    if torch.equal(run(None), run(None)):
        raise Mistake("Without a generator every call gives the same samples; torch's global one is to be used.")


def _judge_joint(answer: Answer) -> None:
    """A law over 2 x 2 maps of two codes in which every code depends on all before it."""
    tables = [0.15 + 0.7 * torch.rand(2**n) for n in range(4)]  # P(code 1 | the codes before, read as a binary number)

    def rule(maps: Tensor) -> Tensor:
        flat, ones = maps.flatten(1), []
        for n in range(flat.shape[1]):
            seen = sum(flat[:, m] * 2 ** (n - 1 - m) for m in range(n)) if n else torch.zeros(len(flat)).long()
            ones.append(tables[n][seen])
        p = torch.stack(ones, dim=1)
        return torch.stack([1 - p, p], dim=1).log().view(len(maps), 2, *maps.shape[1:]) + 1.5

    maps = _drawn(answer, _Toy(2, rule), (MANY, 2, 2), None, 1.0, torch.Generator().manual_seed(8)).flatten(1)
    every = torch.cartesian_prod(*[torch.arange(2)] * 4).view(16, 2, 2)
    log_p = rule(every).log_softmax(dim=1).gather(1, every[:, None])[:, 0].sum(dim=(1, 2))
    count = torch.bincount(maps @ torch.tensor([8, 4, 2, 1]), minlength=16) / len(maps)
    if float((count - log_p.exp()).abs().max()) > OFF:
        raise Mistake(
            "The maps do not come with their joint probabilities, the product of the conditional ones.",
            "Each code is drawn from the logits at its own position, given the codes before it.",
        )


def _judge_labels(answer: Answer) -> None:
    def rule(maps: Tensor, labels: Tensor) -> Tensor:
        wanted = (labels[:, None, None] + _previous(maps)) % 5
        return F.one_hot(wanted, 5).movedim(-1, 1) * 600.0

    labels = torch.tensor([3, 1, 4, 1, 2, 0])
    maps = _drawn(answer, _Toy(5, rule, classes=True), (6, 2, 3), labels, 1.0, torch.Generator().manual_seed(9))
    if not torch.equal(maps, (labels[:, None, None] + _previous(maps)) % 5):
        raise Mistake("The samples do not follow their labels.", "Hand labels to the prior as they are.")


# Temperature


def _entropy_at(temper: Callable[[Tensor, float], Tensor], axis: int = 1) -> Callable[[Tensor, float], Tensor]:
    """Return the entropy, in nats, of the softmax of tempered logits."""
    return lambda logits, temperature: entr(temper(logits, temperature).softmax(dim=axis)).sum(dim=1)


def _divided(logits: Tensor, temperature: float) -> Tensor:
    return logits / temperature


temperature_entropy = Task(
    _entropy_at(_divided),
    name="temperature_entropy",
    points=2,
    reads=tensor,
    zero=1e-4,
    otherwise="This is not the entropy of softmax(logits / temperature).",
    hint="Minus the sum of p log p over the codes.",
)


@temperature_entropy.inputs
def _tempered() -> Iterator[tuple[Tensor, float]]:
    for rows, codes, temperature in ((3, 5, 0.7), (4, 3, 2.5), (1, 2, 0.3), (2, 6, 1.0)):
        yield 1.5 * torch.randn(rows, codes) + 2, temperature
    for temperature in (0.001, 1000.0):
        yield (
            torch.tensor([[3.0, 1.0, -2.0], [1.0, 0.0, 1.0], [-900.0, 0.0, 900.0], [0.002, 0.0, 0.001]]),
            temperature,
        )


def _of_tempered(change: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """Return what is made of log p at T = 1, of log p at T, and of T."""
    return lambda logits, temperature: change(
        logits.log_softmax(dim=1), (logits / temperature).log_softmax(dim=1), temperature
    )


def _mean_of(values: Tensor, log_p: Tensor) -> Tensor:
    return (log_p.exp() * values).sum(dim=1)


temperature_entropy.mistakes(
    {
        "The temperature changes nothing in your result.\nDivide the logits by it.": _entropy_at(lambda x, t: x),
        "You multiply by the temperature: a high one is to flatten, and raise the entropy.\nMultiplied or "
        "divided?": _entropy_at(lambda x, t: x * t),
        "This is in bits. Nats are asked for.\nWhich logarithm?": lambda x, t: (
            _entropy_at(_divided)(x, t) / math.log(2)
        ),
        "log Z is that of the logits at T = 1.\nIn H = log Z - the mean of logits / T, Z too belongs to the tempered "
        "distribution.": lambda x, t: x.logsumexp(dim=1) - _mean_of(x / t, (x / t).log_softmax(dim=1)),
        "The mean of the logits is not divided by the temperature.\nH = log Z - the mean of logits / T.": (
            lambda x, t: (x / t).logsumexp(dim=1) - _mean_of(x, (x / t).log_softmax(dim=1))
        ),
        "The softmax runs over the rows; each row is a distribution of its own.\nThe codes are axis 1.": _entropy_at(
            _divided, axis=0
        ),
        "The sign is wrong: no entropy of codes is negative.\nlog p is.": lambda x, t: -_entropy_at(_divided)(x, t),
        "The logarithm is that of the distribution at T = 1: this is a cross-entropy.\nBoth factors belong to the "
        "tempered one.": _of_tempered(lambda plain, log_p, t: -_mean_of(plain, log_p)),
        "You weigh with the distribution at T = 1: this is a cross-entropy.\nBoth factors belong to the tempered "
        "one.": _of_tempered(lambda plain, log_p, t: -_mean_of(log_p, plain)),
        "p to the power of 1/T does not add up to 1 until it is normalised.\nDivide by its sum.": _of_tempered(
            lambda plain, log_p, t: entr(plain.exp() ** (1 / t)).sum(dim=1)
        ),
        "You divide the probabilities by the temperature, not the logits.\nThe softmax comes afterwards.": _entropy_at(
            lambda x, t: x.softmax(dim=1) / t
        ),
        "You take the mean over codes; an entropy is a sum.\nThe p in front is the weight already.": (
            lambda x, t: _entropy_at(_divided)(x, t) / x.shape[1]
        ),
        "This is the perplexity, e to the power of the entropy.\nLeave out the exp.": lambda x, t: _entropy_at(
            _divided
        )(x, t).exp(),
        "You divide the entropy by the temperature.\nThe temperature acts on the logits.": lambda x, t: (
            _entropy_at(_divided)(x, 1.0) / t
        ),
        "You multiply the entropy by the temperature.\nThe temperature acts on the logits.": lambda x, t: (
            _entropy_at(_divided)(x, 1.0) * t
        ),
    }
)


@temperature_entropy.unless
def _at_extreme_temperatures(got: Tensor, logits: Tensor, temperature: float) -> None:
    right = temperature_entropy.right(logits.double(), temperature)
    if got.shape != right.shape or 0.01 < temperature < 100:
        return
    if not bool(got.isfinite().all()):
        raise Mistake(
            f"At temperature {temperature:g} the result is not finite: a probability rounds to 0, and 0 times the "
            "logarithm of 0 is not a number; or e to a large power overflows.",
            "0 log 0 counts as 0. Start from log_softmax, or use torch.special.xlogy or entr.",
        )
    off = (got - right).abs() > 1e-3
    if bool(off[3]) and not bool(off[:3].any()):
        raise Mistake(
            f"At temperature {temperature:g} logits that differ by about as much have the entropy {right[3]:.3f}; "
            f"you find {got[3]:.3f}.",
            "Is the temperature kept above some lower bound?",
        )
    row = int((got - right).abs().argmax())
    logits_shown = ", ".join(f"{value:g}" for value in logits[row].tolist())
    raise Mistake(
        f"At temperature {temperature:g} the entropies are wrong: for the logits {logits_shown} you find "
        f"{got[row]:.4f}, and {right[row]:.4f} is right. "
        + (
            "Two codes that share the lead keep log 2 nats; a single leader keeps 0."
            if temperature < 1
            else "Logits that differ by far less than the temperature leave all codes equally likely."
        ),
        "Is something added to the probabilities to avoid log(0), or is something clamped?",
    )
