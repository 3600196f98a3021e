"""Checks of notebook 10: causal masks, a detector of leaks, the blind spot, masks as shifts, layers and sight."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course import causality
from vqvae_course import pixelcnn as reference
from vqvae_course.checks.answer import Answer, Mistake, kind
from vqvae_course.checks.read import tensor, zeros_and_ones
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task
from vqvae_course.checks.untouched import must_be_in_mode, untouched
from vqvae_course.pixelcnn import MaskedConv2d

OTHER = {"A": "B", "B": "A"}


# Masks


def _first_wrong_weight(got: Tensor, size: int, letter: str) -> str:
    a, b = ((got != reference.causal_mask(size, letter)).nonzero()[0]).tolist()
    return (
        f"The {size} x {size} mask {letter} {'shows' if bool(got[a, b]) else 'hides'} the weight at row {a}, column "
        f"{b} (counted from 0); the centre is at row {size // 2}, column {size // 2}."
    )


causal_mask = Task(
    reference.causal_mask,
    points=2,
    reads=zeros_and_ones,
    otherwise=_first_wrong_weight,
    hint="Is that place before the centre, as you read a page?",
)


@causal_mask.inputs
def _sizes() -> Iterator[tuple[int, str]]:
    yield from ((5, "A"), (5, "B"), (3, "A"), (3, "B"), (9, "A"), (7, "B"), (1, "B"), (1, "A"))


class Kernel:
    """Places of a square kernel, each as a (k, k) bool tensor."""

    def __init__(self, size: int, letter: str = "A"):
        self.row, self.column = torch.arange(size)[:, None].expand(size, size), torch.arange(size).expand(size, size)
        centre = self.centre = size // 2
        self.all = torch.ones(size, size, dtype=torch.bool)
        self.own = (self.row == centre) & (self.column == centre)
        self.above, self.own_row = self.row < centre, self.row == centre
        self.left = self.own_row & (self.column < centre)
        self.kept = self.left | (self.own & (letter == "B"))  # of the own row
        self.right = self.above | self.kept  # the mask that is asked for


def _kernels(*places: Callable[[Kernel], Tensor]) -> tuple[Callable[[int, str], Tensor], ...]:
    def mask(of: Callable[[Kernel], Tensor]) -> Callable[[int, str], Tensor]:
        return lambda size, letter: of(Kernel(size, letter))

    return tuple(mask(of) for of in places)


causal_mask.mistakes(
    {
        "Mask A shows the centre and should hide it: in the first layer the centre is the value to be predicted.\n"
        "Which letter is for which layer?": (
            lambda size, letter: reference.causal_mask(size, OTHER[letter]),
            lambda size, letter: reference.causal_mask(size, "B"),
        ),
        "Mask B hides the centre and should show it: after the first layer it holds only what came before.\nWhich "
        "letter is for which layer?": lambda size, letter: reference.causal_mask(size, "A"),
        "Your mask is transposed: it runs column by column.\nWhich index of a tensor is the row?": _kernels(
            lambda k: k.right.T
        ),
        "Your mask is transposed, and treats the centre the wrong way.\nWhich index of a tensor is the row?": _kernels(
            lambda k: k.right.T ^ k.own
        ),
        "Your mask shows the future: it is turned by half a turn.\nconv2d does not flip.": _kernels(
            lambda k: k.right.flip(0, 1)
        ),
        "Zeros and ones are swapped: 1 stands where a weight may be used.": _kernels(lambda k: ~k.right),
        "The rows below the centre are visible; they come later.\nOnly rows above were there before.": _kernels(
            lambda k: k.right | (k.row > k.centre)
        ),
        "In the rows above, the right part is hidden. All of it comes before the centre: those rows are finished.\n"
        "Read the order of a page: is the end of the line above before this word?": _kernels(
            lambda k: (k.above & (k.column < k.centre)) | k.kept, lambda k: (k.above & (k.column <= k.centre)) | k.kept
        ),
        "In the rows above only the middle column is visible; all of them come before the centre.": _kernels(
            lambda k: (k.above & (k.column == k.centre)) | k.kept
        ),
        "The rows above are hidden; all of them come before the centre.": _kernels(lambda k: k.kept),
        "The left part of the centre's own row is hidden; it comes before the centre.": _kernels(
            lambda k: k.right & ~k.left
        ),
        "The right part of the centre's own row is visible; it comes later.\nHow far does your slice of that row "
        "go?": _kernels(lambda k: k.above | k.own_row, lambda k: k.right | (k.own_row & (k.column > k.centre))),
        "Only the nearest row above is visible; all rows above come before the centre.": _kernels(
            lambda k: (k.row == k.centre - 1) | k.kept
        ),
        "This is a triangle: it compares row and column of a place with each other.\nCompare the place with the "
        "centre, in raster order.": (
            *_kernels(lambda k: k.all.tril(-1), lambda k: k.all.tril(), lambda k: k.all.triu()),
            lambda size, letter: torch.ones(size, size).tril(-1 if letter == "A" else 0),
        ),
        "Nothing is masked.": _kernels(lambda k: k.all),
        "Everything is masked.": _kernels(lambda k: ~k.all),
    }
)


@causal_mask.unless
def _single_weights(got: Tensor, size: int, letter: str) -> None:
    if size == 1 and got.shape == (1, 1):
        raise Mistake(
            "A 1 x 1 kernel with mask B loses its only weight. The centre is shown."
            if letter == "B"
            else "A 1 x 1 kernel with mask A keeps its only weight. That is the centre, the value to be predicted.",
            "What does your rule say about the centre?",
        )


# Networks that are asked what they see


class _Shown:
    """Remembers whether a network, or a copy of it, was shown more than one input."""

    def __init__(self) -> None:
        self.first: Tensor | None = None
        self.several = False

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Shown":
        return self

    def note(self, x: Tensor) -> None:
        if self.several or not len(x):
            return
        try:
            rows = x.detach().flatten(1).double()
            self.first = rows[0].clone() if self.first is None else self.first
            self.several = bool((rows != self.first).any())
        except RuntimeError:  # torch.func hides the numbers
            self.several = True


class _Probe(nn.Module):
    """A network that takes maps of one size, and says so."""

    def __init__(self, body: nn.Module, height: int, width: int):
        super().__init__()
        self.body, self.size, self.shown = body, (height, width), _Shown()

    def forward(self, x: Tensor) -> Tensor:
        h, w = self.size
        if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[1] != 1:
            shape = tuple(x.shape) if isinstance(x, Tensor) else kind(x)
            raise Mistake(f"The network is given {shape}; it takes (B, 1, H, W), which is (B, 1, {h}, {w}) here.")
        if not x.is_floating_point():
            raise Mistake(f"The network is given {x.dtype}; it takes floats, and only floats have gradients.")
        if tuple(x.shape[2:]) == (w, h) and h != w:
            raise Mistake(
                f"Rows and columns are swapped: the network takes {h} rows and {w} columns.", "H comes first."
            )
        if tuple(x.shape[2:]) != (h, w):
            raise Mistake(
                f"The network is given maps of {x.shape[2]} x {x.shape[3]}; test it on H x W, here {h} x {w}.",
                "A net may be sound on one size and leak on another; on squares, two swapped axes never show.",
            )
        self.shown.note(x)
        return self.body(x)


class _Pairs(nn.Module):
    """Outputs that feel exactly the pairs one wants: y_p = sum_q base_pq x_q + extra_pq act(x_q) + bias_p."""

    def __init__(self, base: Tensor, extra: Tensor | None = None, act: Callable[[Tensor], Tensor] = torch.clone):
        super().__init__()
        self.base = nn.Parameter(base)  # (C', P, P)
        self.extra = nn.Parameter(torch.zeros_like(base) if extra is None else extra)
        self.bias = nn.Parameter(torch.randn(base.shape[:2]))
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)  # (B, P)
        out = torch.einsum("cpq,bq->bcp", self.base, flat) + torch.einsum("cpq,bq->bcp", self.extra, self.act(flat))
        return (out + self.bias).unflatten(2, x.shape[2:])


class _Gated(nn.Module):
    """Two gated layers on one input channel: no blind spot, only a limited reach."""

    def __init__(self, layers: int = 2):
        super().__init__()
        self.enter = nn.Conv2d(1, 4, 1)
        self.layers = nn.ModuleList(reference.GatedLayer(4, 3, first=depth == 0) for depth in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        v = h = self.enter(x)
        for layer in self.layers:
            v, h = layer(v, h)
        return h


def _stack(kinds: str, kernels: tuple[int, ...], act: type[nn.Module], channels: int = 4) -> nn.Sequential:
    layers: list[nn.Module] = []
    for depth, (letter, kernel) in enumerate(zip(kinds, kernels, strict=True)):
        entering = 1 if depth == 0 else channels
        if letter == "-":
            layers += [nn.Conv2d(entering, channels, kernel, padding=kernel // 2), act()]
        else:
            layers += [MaskedConv2d(entering, channels, kernel, letter), act()]
    return nn.Sequential(*layers, nn.Conv2d(channels, 3, 1))


def _past(places: int, channels: int = 2) -> Tensor:
    """Return (channels, P, P), random on all pairs of the past, never tiny."""
    size = 0.5 + torch.rand(channels, places, places)
    return (size * (torch.randint(2, size.shape) * 2 - 1)).tril(-1)


@contextmanager
def _undisturbed(net: nn.Module, *_: Any) -> Iterator[None]:
    """Refuse what an answer leaves behind in a network, one parameter of which has a gradient already."""
    for parameter in itertools.islice(net.parameters(), 1):
        parameter.grad = torch.randn_like(parameter)
    with untouched(
        net,
        "Your function changes the parameters of the network. The verdict is to be on the network as it is.",
        "Nothing needs to be drawn anew or trained, except the inputs.",
    ):
        yield
    must_be_in_mode(net, True)


def _scaled(net: nn.Module, factor: float) -> nn.Module:
    """Scale a network that is linear in its parameters, so that an absolute tolerance shows."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(factor)
    return net


def _feels(net: nn.Module, h: int, w: int, spread: float = 1.0) -> Tensor:
    """Return (P, P) bool: an output position, and whether it feels an input position."""
    return torch.stack([causality.influence(net, spread * torch.randn(4, 1, h, w)) != 0 for _ in range(3)]).any(dim=0)


# A detector of leaks


class _Case(NamedTuple):
    sound: bool
    body: nn.Module
    message: str
    hint: str = ""
    size: tuple[int, int] = (3, 5)


ALL_PAIRS = "Ask every output position about every input position from its own on."
LATER = "Later means: to the right in the same row, and anywhere in the rows below."


def _relu_above(x: Tensor) -> Tensor:
    return (x - 0.7).relu()


def _relu_below(x: Tensor) -> Tensor:
    return (-x - 0.7).relu()


def _leaky(places: int, pairs: list[tuple[int, int]], size: float = 1.0) -> nn.Module:
    extra = torch.zeros(2, places, places)
    for p, q in pairs:
        extra[:, p, q] = size
    return _Pairs(_past(places), extra)


def _cases() -> Iterator[_Case]:
    """Yield networks from the plainest to the trickiest, so that the first failure names the misconception."""
    h, w = 3, 5
    places = h * w
    p = (1, 3, 4, 6, 8, 9)[int(torch.randint(6, ()))]  # not the first, not the middle, none of every fifth
    below_right = [q for q in range((p // w + 1) * w, places) if q % w >= p % w]  # below on the left comes apart
    later_row = below_right[int(torch.randint(len(below_right), ()))]
    below = [(p, p + w) for p in range(places - w)]
    future = torch.ones(2, places, places).triu()
    one_channel, opposite = torch.zeros(2, 3, places, places)
    one_channel[2, p, later_row] = 1.0
    opposite[0], opposite[1] = future[0], -future[0]
    quiet = _past(places)
    quiet[:, :, ::2] = 0
    relu = nn.ReLU
    tall = (5, 2) if torch.rand(()) < 0.5 else (6, 2)

    def leak(body: nn.Module, what: str, hint: str = ALL_PAIRS, size: tuple[int, int] = (h, w)) -> _Case:
        return _Case(False, body, "Your function overlooks a leak: " + what, hint, size)

    def sound(body: nn.Module, what: str, hint: str = "", size: tuple[int, int] = (h, w)) -> _Case:
        return _Case(True, body, "Your function calls a sound network leaky" + what, hint, size)

    yield leak(nn.Conv2d(1, 3, 3, padding=1), "an ordinary convolution, with no mask.")
    yield sound(
        _stack("ABB", (3, 3, 3), relu),
        ": masked convolutions, A and then B twice.",
        "Rows of J are outputs, columns are inputs. On which side of the diagonal is the past?",
    )
    yield leak(
        _leaky(places, [(p, p) for p in range(places)]),
        "every output feels its own position, as it does where the first layer has mask B.",
        "The diagonal is forbidden too.",
    )
    yield leak(_leaky(places, below), "every output feels the position right below it.", LATER)
    beside = [(p, p + 1) for p in range(places - 1) if p % w < w - 1]
    yield leak(_leaky(places, beside), "every output feels its right neighbour.", LATER)
    yield sound(
        _Pairs(_past(places)),
        ": each output feels all of the past, and nothing else.",
        "The end of the row above is the past too. Does your order run row by row?",
    )
    yield leak(_leaky(places, [(p, later_row)]), "one single output feels one single later position.")
    aslant = [(p, p + w - 1) for p in range(places - w) if p % w]
    yield leak(_leaky(places, aslant), "every output feels the position below it on the left.", LATER)
    last = [(places - 1, places - 1)]
    yield leak(_leaky(places, last), "the last position feels itself.", "Does your loop end one too early?")
    yield leak(_leaky(places, [(0, 0)]), "the first position feels itself.", "It has no past at all, but it can leak.")
    yield leak(
        _Pairs(torch.randn(2, places, places) * _lower(h, w, lambda i, j: j * h + i)),
        "a network that is causal column by column, and not row by row.",
        "What is the number of row i, column j in raster order?",
    )
    yield leak(
        _Pairs(torch.randn(2, places, places) * _lower(h, w, lambda i, j: i * h + j)),
        "a network that numbers its positions with the number of rows in place of the number of columns, so that it "
        "leaks where the map is not square.",
        "Does your own numbering use H where it should use W?",
    )
    yield leak(
        _leaky(places, [(i * w, i * w + w - 1) for i in range(h)]),
        "the first column feels the last one of its own row, as after torch.roll.",
    )
    yield leak(
        _leaky(places, [(0, places - 1)]),
        "the first position feels the last one, as after a shift that goes round.",
    )
    yield leak(
        _Pairs(_past(places, 3), one_channel),
        "only the last output channel leaks.",
        "Do you ask all channels of the output?",
    )
    yield leak(
        _Pairs(_past(places, 3), opposite),
        "two output channels feel the future with opposite signs, and in your sum they cancel.",
        "Look at the channels one by one, or add them with random weights.",
    )
    for factor in (1.0, 1e-3):
        yield leak(
            _scaled(_leaky(places, below, 1e-3), factor),
            "it is a thousandth of what the output feels of its past"
            + (", and here that is not much either." if factor < 1 else "."),
            "What must be 0 is exactly 0. How large is your tolerance?",
        )
    yield leak(
        _Pairs(_past(places), future, act=torch.square),
        "it goes with the square of the input, and at an input of 0 its gradient is 0.",
        "Use random inputs.",
    )
    yield leak(
        _Pairs(_past(places), future, act=_relu_above),
        "it stands behind a ReLU that is off at an input of 0.",
        "Use random inputs, and several.",
    )
    yield leak(
        _Pairs(_past(places), future, act=_relu_below),
        "it stands behind a ReLU that is on for negative inputs only.",
        "Do your inputs have both signs?",
    )
    yield sound(
        _Pairs(torch.zeros(2, places, places), _past(places), act=_relu_above),
        " whose ReLUs are off for most inputs.",
        "A gradient of 0 in the past proves nothing, and forbids nothing.",
    )
    yield sound(
        _Pairs(quiet), " in which outputs miss much of their past.", "Not to see the past is a pity, not a leak."
    )
    yield sound(
        _Pairs(torch.zeros(2, places, places)),
        " that ignores its input altogether.",
        "Who sees nothing sees nothing forbidden.",
    )
    yield sound(_stack("AB", (5, 3), relu), " on a tall, narrow map.", size=tall)
    yield leak(
        _leaky(tall[0] * tall[1], [(tall[1] - 1, tall[1])]),
        "on a tall, narrow map, the end of the first row feels the start of the second.",
        size=tall,
    )
    yield sound(_stack("AB", (3, 3), relu), " on a map of one row.", size=(1, 6))


def _lower(height: int, width: int, number: Callable[[int, int], int]) -> Tensor:
    """Return (P, P) bool: the input's number is lower than the output's."""
    numbers = torch.tensor([number(i, j) for i, j in itertools.product(range(height), range(width))])
    return numbers < numbers[:, None]


# What detectors allow outputs to feel that take another order for raster order.
ORDERS: dict[str, Callable[[int, int], Tensor]] = {
    "You forbid the past and allow the future.\nRows of J are outputs, columns are inputs. On which side of the "
    "diagonal is the past?": lambda h, w: ~_lower(h, w, lambda i, j: i * w + j).fill_diagonal_(True),
    "Your order runs column by column; in raster order all rows above come first, then the row's left "
    "part.\nWhat is the number of row i, column j?": lambda h, w: _lower(h, w, lambda i, j: j * h + i),
    "You number row i, column j as i * H + j, and a row has W positions. On maps that are not square your order is "
    "another one.\nWhat is the number of the first position of row 1?": lambda h, w: _lower(
        h, w, lambda i, j: i * h + j
    ),
}


@exercise(points=4)
def is_causal(answer: Answer) -> None:
    """Judge ``is_causal(net, H, W)``: whether no output feels its own position or a later one."""
    cases = list(_cases())
    verdicts, hasty = [], False
    for case in cases:
        net = _Probe(case.body, *case.size)
        with _undisturbed(net):
            verdicts.append(_verdict(answer(net, *case.size)))
        hasty = hasty or (verdicts[-1] and net.shown.first is not None and not net.shown.several)
    sound = [case.sound for case in cases]
    if verdicts == [not value for value in sound]:
        raise Mistake("Your verdicts are all the wrong way round: True is asked for a network that does not leak.")
    if all(verdicts):
        raise Mistake(
            "Your function calls every network causal, even an ordinary convolution without a mask.",
            "Which entries of J have to be 0?",
        )
    if not any(verdicts):
        raise Mistake(
            "Your function calls every network leaky, even masked convolutions and one that ignores its input.",
            "Which entries of J may be anything?",
        )
    if verdicts != sound:
        _explain_order(cases, verdicts)
    for case, verdict in zip(cases, verdicts, strict=True):
        if verdict != case.sound:
            raise Mistake(case.message, case.hint)
    if hasty:
        raise Mistake(
            "Your function calls a network causal after a single input. A leak behind a ReLU that is off there "
            "stays hidden.",
            "Use several random inputs.",
        )


def _explain_order(cases: list[_Case], verdicts: list[bool]) -> None:
    """Say so if the verdicts are those of a detector that takes another order for raster order."""
    felt = [_feels(case.body, *case.size, spread=2.0) for case in cases]
    for text, allowed in ORDERS.items():
        theirs = [not bool((each & ~allowed(*case.size)).any()) for case, each in zip(cases, felt, strict=True)]
        if theirs == verdicts:
            raise Mistake(*text.split("\n"))


def _verdict(value: Any) -> bool:
    if isinstance(value, Tensor | np.ndarray | np.generic):
        if value.size != 1 if isinstance(value, np.ndarray | np.generic) else value.numel() != 1:
            raise Mistake(f"Your function returns an array of shape {tuple(value.shape)}; True or False is asked for.")
        value = value.item()
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise Mistake(f"Your function returns {kind(value)}; True or False is asked for.")
    return bool(value)


# The blind spot


class _Seen(_Probe):
    """A probe that knows which positions its outputs feel, and what to say where nothing more precise is known."""

    def __init__(self, body: nn.Module, size: tuple[int, int], message: str, hint: str):
        super().__init__(body, *size)
        self.felt = _feels(body, *size).view(*size, *size)
        self.mistake = (message, hint)


Place = tuple[_Seen, int, int, int, int]


class Sight:
    """What can be said of one output and all positions, each as an (H, W) bool tensor."""

    def __init__(self, net: _Seen, h: int, w: int, i: int, j: int):
        self.row, self.column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        self.number = torch.arange(h * w).view(h, w)
        self.earlier, self.own = self.number < i * w + j, self.number == i * w + j
        self.later = ~self.earlier & ~self.own
        self.felt, self.all_felt = net.felt[i, j], net.felt
        self.heard_by = net.felt[:, :, i, j]  # which outputs feel the input at (i, j)
        self.blind = self.earlier & ~self.felt
        self.h, self.i, self.j = h, i, j


def _seen(of: Callable[[Sight], Tensor]) -> Callable[..., Tensor]:
    return lambda *place: of(Sight(*place))


blind_spot = Task(
    _seen(lambda s: s.blind),
    name="blind_spot",
    points=3,
    reads=zeros_and_ones,
    around=_undisturbed,
    otherwise=lambda got, net, *_: net.mistake[0],
)


@blind_spot.inputs
def _sights() -> Iterator[Place]:
    tanh = nn.Tanh
    places = 4 * 7
    pattern = _past(places) * (torch.rand(places, places) < 0.6)
    weak = _past(places) * torch.where(torch.rand(places, places) < 0.5, 1.0, 1e-4)
    weak[1] = 0.5 * weak[0]  # so that no sum of channels cancels here
    opposite = _past(places)
    opposite[1] = -opposite[0]
    last_only = _past(places, 3)
    last_only[:2] *= pattern[:2] != 0
    miss = "Your map is not that of the earlier positions with a gradient of 0"
    look = "Compare your map with the picture of the page."

    def sight(i: int, j: int, body: nn.Module, message: str, hint: str = look, size: tuple[int, int] = (4, 7)) -> Place:
        return _Seen(body, size, message, hint), *size, i, j

    two, five = _stack("AB", (3, 3), tanh), _stack("ABBBB", (3,) * 5, tanh)
    yield sight(3, 4, two, f"{miss}, for two masked convolutions.", "Which is J[p, q]?", size=(5, 7))
    yield sight(3, 2, five, f"{miss}, for five masked convolutions.", size=(5, 7))
    mixed = _stack("AB", (5, 3), tanh)
    yield sight(4, 1, mixed, f"{miss}, for a first kernel of 5 x 5 and one of 3 x 3.", size=(6, 4))
    yield sight(
        *(2, 4, _Pairs(pattern), f"{miss}, for a network that feels its past in no regular pattern."),
        "Measure; a formula for masked kernels does not cover every network.",
    )
    for factor in (1.0, 1e-3):
        yield sight(
            *(3, 5, _scaled(_Pairs(weak.clone()), factor)),
            "What is felt weakly, at a ten-thousandth of the rest, is felt.",
            "What is not felt has a gradient of exactly 0. How large is your tolerance?",
        )
    yield sight(
        *(2, 3, _Pairs(opposite)),
        "Two output channels feel the past with opposite signs; in your sum they cancel, and you call the position "
        "blind.",
        "Look at the channels one by one, or add them with random weights.",
    )
    yield sight(
        *(3, 3, _Pairs(last_only)),
        "Some positions are felt by the last output channel only. They are felt, and you call them blind.",
        "Do you ask all channels of the output?",
    )
    yield sight(
        *(2, 3, _Pairs(torch.zeros(2, places, places), _past(places), act=torch.square)),
        "This network feels the square of its input; at an input of 0 you see nothing of it.",
        "Use random inputs.",
    )
    yield sight(2, 3, _Gated(), f"{miss}, for two layers of the gated network.", "Its reach is limited too.")
    yield sight(3, 2, _Pairs(_past(places)), "This network feels all of its past: nothing is blind.")
    leaky = "This network leaks, and feels later positions too. Your map is to speak of earlier ones all the same."
    yield sight(2, 3, _stack("-", (3,), tanh), leaky, size=(5, 7))
    alone = "A 1 x 1 convolution feels itself only: it is blind to all of the past."
    yield sight(2, 3, nn.Conv2d(1, 2, 1), alone, size=(5, 7))
    yield sight(0, 0, two, "The first position has no past, so it misses nothing.", size=(5, 7))
    yield sight(0, 5, two, f"{miss}, in the first row.", size=(5, 7))
    yield sight(4, 6, two, f"{miss}, at the last position.", size=(5, 7))
    yield sight(0, 4, two, f"{miss}, on a map of one row.", size=(1, 6))


blind_spot.mistakes(
    {
        "This is what the output feels; what it does not feel is asked for.": (
            _seen(lambda s: s.felt),
            _seen(lambda s: s.felt & s.earlier),
        ),
        "Your map also marks the position itself and later ones. They are not felt, and rightly so: the blind spot is "
        "what is missing from the past.": _seen(lambda s: ~s.felt),
        "Your map marks the position itself, which is not earlier than itself.": (
            _seen(lambda s: s.blind | (s.own & ~s.felt)),
            _seen(lambda s: s.blind | s.own),
        ),
        "These are later positions; earlier ones are asked for.": (
            _seen(lambda s: ~s.felt & s.later),
            _seen(lambda s: ~s.felt & ~s.earlier),
        ),
        "Your order runs column by column. In raster order all rows above come first, then the row's left part.": _seen(
            lambda s: ((s.column < s.j) | ((s.column == s.j) & (s.row < s.i))) & ~s.felt
        ),
        "Of the rows above you look at the left part only; all of each row above is earlier.": _seen(
            lambda s: s.blind & (s.column <= s.j)
        ),
        "You look right of the output only; what few layers do not reach on the left is blind to them, too.": _seen(
            lambda s: s.blind & (s.column > s.j)
        ),
        "You number row i, column j as i * H + j; a row has W positions.": _seen(
            lambda s: (s.number < s.i * s.h + s.j) & ~s.felt
        ),
        "You look at the rows above only; the left of the own row is earlier too.": _seen(
            lambda s: (s.row < s.i) & ~s.felt
        ),
        "Outputs and inputs are swapped: these are the outputs that do not feel the input at (i, j).": _seen(
            lambda s: s.later & ~s.heard_by
        ),
        "This is all of the past, and some of it is felt. Did you ask which outputs feel the input at (i, j)? No "
        "earlier output does.": _seen(lambda s: s.earlier),
        "This is the wedge that masked 3 x 3 kernels never see. With few layers, positions not reached yet are missing "
        "too; and other networks have other shapes.": _seen(lambda s: (s.row < s.i) & (s.column - s.j > s.i - s.row)),
        "Row and column of the output are swapped: i is the row.": (
            lambda net, h, w, i, j: Sight(net, h, w, j, i).blind,
            lambda net, h, w, i, j: Sight(net, h, w, i, j).earlier & ~net.felt[min(j, h - 1), min(i, w - 1)],
        ),
    }
)


@blind_spot.unless
def _too_much(got: Tensor, net: _Seen, h: int, w: int, i: int, j: int) -> None:
    if got.shape != (h, w):
        return
    sight, got = Sight(net, h, w, i, j), got != 0
    if isinstance(net.body, nn.Sequential) and not bool((got & ~sight.earlier).any() or (sight.blind & ~got).any()):
        raise Mistake(
            f"Too much is blind: of the positions that you mark, {int((got & ~sight.blind).sum())} are felt, be they "
            "felt weakly or with a negative gradient.",
            "Felt is whatever has a gradient that is not exactly 0.",
        )
    if not isinstance(net.body, nn.Sequential):  # networks that are each there for one mistake
        raise Mistake(*net.mistake)


# Masks as shifts


def _masked(x: Tensor, weight: Tensor, kept: Tensor) -> Tensor:
    """Convolve with the weights that are kept."""
    return F.conv2d(x, weight.where(kept, 0), padding=weight.shape[-1] // 2)


shift_and_pad = Task(
    lambda x, weight, letter: _masked(x, weight, Kernel(weight.shape[-1], letter).right),
    name="shift_and_pad",
    points=3,
    reads=tensor,
    zero=1e-5,  # a gradient may cancel, up to rounding
    gradients=("x", "weight"),
    half=True,
    keeps_dtype=True,
    otherwise=lambda got, x, weight, letter: (
        f"This is not what a convolution with a {weight.shape[-1]} x {weight.shape[-1]} kernel and mask {letter} gives."
    ),
    hint="Try a kernel with a single 1 in it, and see where it takes its input from.",
)


@shift_and_pad.inputs
def _convolutions() -> Iterator[tuple[Tensor, Tensor, str]]:
    for batch, inward, outward, height, width, size, letter, hidden in (
        (2, 3, 4, 5, 8, 5, "A", None),
        (2, 3, 4, 5, 8, 5, "B", None),
        (1, 2, 3, 7, 4, 3, "A", None),
        (1, 2, 3, 7, 4, 3, "B", None),
        (2, 1, 2, 2, 3, 7, "B", None),  # a kernel larger than the map
        (2, 1, 1, 1, 4, 3, "A", None),
        (2, 3, 2, 6, 5, 3, "A", float("nan")),
        (2, 2, 5, 4, 6, 5, "B", float("nan")),
    ):
        x, weight = torch.randn(batch, inward, height, width) + 0.5, torch.randn(outward, inward, size, size)
        if hidden is not None:
            weight.masked_fill_(~reference.causal_mask(size, letter), hidden)
        yield x.requires_grad_(size == 3), weight.requires_grad_(size == 3), letter


def _kept(of: Callable[[Kernel], Tensor]) -> Callable[[Tensor, Tensor, str], Tensor]:
    """Return a convolution with the weights at some places only."""
    return lambda x, weight, letter: _masked(x, weight, of(Kernel(weight.shape[-1], letter)))


def _parts(
    upper: Callable[[int], tuple] = lambda r: (r, r, r, -1),
    aside: Callable[[int, int], tuple] = lambda r, own: (r, own - 1, 0, 0),
    row: int = 0,
) -> Callable[[Tensor, Tensor, str], Tensor]:
    """Return a convolution in two parts with other paddings, or with another row of the kernel for the own row."""

    def convolved(x: Tensor, weight: Tensor, letter: str) -> Tensor:
        r, own = weight.shape[-1] // 2, int(letter == "B")
        left = weight[:, :, r + row : r + row + 1, : r + own]
        return F.conv2d(F.pad(x, upper(r)), weight[:, :, :r]) + F.conv2d(F.pad(x, aside(r, own)), left)

    return convolved


def _padded_top_left(x: Tensor, weight: Tensor, letter: str = "") -> Tensor:
    k = weight.shape[-1]
    return F.conv2d(F.pad(x, (k - 1, 0, k - 1, 0)), weight.where(Kernel(k, letter).right, 0) if letter else weight)


def _raised(r: int, by: int) -> tuple[int, int, int, int]:
    """Pad the upper part so that it sees rows lower by so many than it should."""
    return (r, r, r - by, by - 1)


def _moved(r: int, own: int, by: int) -> tuple[int, int, int, int]:
    return (r - by, own - 1 + by, 0, 0)


_CENTRE_ROW = "\nThe centre is at row r, column r of the kernel."
_PAD = "\nF.pad counts left, right, top, bottom."
shift_and_pad.mistakes(
    {
        "This is the whole kernel: it sees the future.": _kept(lambda k: k.all),
        "This is mask B: the centre takes part, and kind is A.\nHow many columns has the left part?": (
            lambda x, weight, letter: shift_and_pad.right(x, weight, "B"),
            lambda x, weight, letter: shift_and_pad.right(x, weight, OTHER[letter]),
        ),
        "This is mask A: the centre is left out, and kind is B.\nHow many columns has the left part?": (
            lambda x, weight, letter: shift_and_pad.right(x, weight, "A")
        ),
        "The left part of the own row is missing.\nTwo parts are to be added.": _kept(lambda k: k.above),
        "The rows above are missing.\nTwo parts are to be added.": _kept(lambda k: k.kept),
        "In the rows above you leave out what is on the right.": _kept(
            lambda k: k.kept | (k.above & (k.column <= k.centre))
        ),
        "The own row takes part as a whole, also right of the centre: it sees the future.\nHow many rows has the upper "
        "part?": _kept(lambda k: k.above | k.own_row),
        "The own row takes part right of the centre: it sees the future.\nHow many columns has the left part?": _kept(
            lambda k: k.above | (k.own_row & ~k.own)
        ),
        "The crop is missing or on the wrong side: the upper part is one row too low, and sees the own row.\nWhat does "
        "F.pad do with a negative number?": _parts(upper=lambda r: _raised(r, 1)),
        "The upper part is one row too high: it misses the row right above.": _parts(upper=lambda r: _raised(r, -1)),
        "The crop is missing or on the wrong side: the left part is one column too far right.\nWhich columns should "
        "the output at column j see?": _parts(aside=lambda r, own: _moved(r, own, 1)),
        "The left part is one column too far left: it misses the nearest neighbour.": _parts(
            aside=lambda r, own: _moved(r, own, -1)
        ),
        "The left part is cut from the kernel's row above the centre." + _CENTRE_ROW: _parts(row=-1),
        "The left part is cut from the kernel's row below the centre." + _CENTRE_ROW: _parts(row=1),
        "The upper part is shifted up instead of down: it sees the rows below." + _PAD: _parts(
            upper=lambda r: (r, r, -1, r)
        ),
        "The upper part is padded on the left only: nothing on the right is seen." + _PAD: _parts(
            upper=lambda r: (2 * r, 0, r, -1)
        ),
        "The left part is shifted left instead of right: it sees what is on the right." + _PAD: _parts(
            aside=lambda r, own: (own - 1, r, 0, 0)
        ),
        "The crop is missing or on the wrong side: both parts are shifted by one too little, and see their own "
        "position.": _parts(upper=lambda r: _raised(r, 1), aside=lambda r, own: _moved(r, own, 1)),
        "All the padding is on the top and on the left. It is causal, but another convolution: what lies above on the "
        "right is never seen.\nWhere does the kernel's last column lie?": (
            lambda x, weight, letter: _padded_top_left(x, weight),
            _padded_top_left,
        ),
        "The kernel is flipped. conv2d does not flip kernels, so a slice needs none either.": (
            lambda x, weight, letter: shift_and_pad.right(x, weight.flip(2, 3), letter)
        ),
        "Rows and columns are swapped: you cut column by column.": _kept(lambda k: k.right.T),
        "Rows and columns of the kernel are swapped.\nweight is (C', C, rows, columns).": (
            lambda x, weight, letter: shift_and_pad.right(x, weight.mT, letter)
        ),
    }
)


@shift_and_pad.unless
def _nan_or_edges(got: Tensor, x: Tensor, weight: Tensor, letter: str) -> None:
    if bool(got.isnan().any()) and bool(weight.isnan().any()):
        raise Mistake(
            "The hidden weights were NaN here, and now the result is: they still take part. A product with 0 does not "
            "remove NaN.",
            "Cut the two parts out of the kernel with slices.",
        )
    right, r = shift_and_pad.right(x, weight, letter).double(), weight.shape[-1] // 2
    if got.shape != right.shape:
        return
    inside = (slice(None), slice(None), slice(r, None), slice(r, x.shape[3] - r))
    if right[inside].numel() and torch.allclose(got[inside], right[inside], rtol=1e-4, atol=1e-4):
        raise Mistake("Inside the map your result is right, near the edges it is not.", "Zeros lie beyond the edge.")


# Layers and sight


def _hidden(up: int, right: int) -> bool:
    return right > up or (up == 0 and right >= 0)


def _far(up: int, right: int) -> int:
    return max(up, abs(right))


layers_to_see = Task(
    lambda up, right: -1 if _hidden(up, right) else _far(up, right),
    name="layers_to_see",
    points=2,
    tolerance=1e-6,
    later=1000,  # all of them
    otherwise="Wrong for some position.",
)


@layers_to_see.inputs
def _offsets() -> Iterator[tuple[int, int]]:
    yield from itertools.product(range(6), range(-6, 8))
    yield from ((int(torch.randint(7, 40, ())), int(torch.randint(-40, 50, ()))) for _ in range(10))
    yield from ((17, 17), (17, 18), (17, -18), (0, -23), (23, 0))


@layers_to_see.fails
def _no_number_for_never(mistake: Mistake, up: int, right: int) -> None:
    if "returns None" in mistake.message and _hidden(up, right):
        raise Mistake("For a position that is never seen you return None; -1 is asked for.") from mistake


@layers_to_see.unless
def _name_the_position(got: float, up: int, right: int) -> None:
    what = "that no depth can see" if _hidden(up, right) else "that can be seen"
    raise Mistake(
        f"Wrong for a position {what}: up = {up}, right = {right}; you say {got:g}.",
        "Draw the grid. Which squares does one layer see, and which does the next add?",
    )


def _seen_in(layers: Callable[[int, int], float], never: Callable[[int, int], bool] = _hidden) -> Callable:
    """Return a mistake that sees some positions in some layers, and all others never."""
    return lambda up, right: -1 if never(up, right) else layers(up, right)


def _future(up: int, right: int) -> bool:
    return up == 0 and right >= 0


_DIAGONAL = "\nHow far to the right can a path get that goes up by so many rows?"
_SIDE = "\nWhat is hidden by a mask, and on which side?"
_CORNER = "\nA 3 x 3 kernel sees the corner above on the right."
layers_to_see.mistakes(
    {
        "You know no blind spot: there are positions that no number of layers can see." + _DIAGONAL: _far,
        "You know no blind spot: right of a diagonal nothing is seen." + _DIAGONAL: _seen_in(_far, _future),
        "You know no blind spot, and in the own row you see the future." + _DIAGONAL: _seen_in(
            _far, lambda up, right: (up, right) == (0, 0)
        ),
        "For a position that is never seen you return 0; -1 is asked for.": lambda up, right: (
            0 if _hidden(up, right) else _far(up, right)
        ),
        "For a position that is never seen you return infinity; -1 is asked for.": lambda up, right: (
            float("inf") if _hidden(up, right) else _far(up, right)
        ),
        "You count rows and columns one after the other; a step can go up and aside at once.\nA 3 x 3 kernel sees the "
        "corners, too.": (
            _seen_in(lambda up, right: up + abs(right)),
            _seen_in(lambda up, right: up + max(-right, 0)),
        ),
        "You call everything on the right blind. A step that goes up can go right at the same time." + _CORNER: (
            _seen_in(_far, lambda up, right: _hidden(up, right) or right > 0)
        ),
        "Left and right are swapped: right is negative for a position to the left." + _SIDE: _seen_in(
            _far, lambda up, right: _hidden(up, -right)
        ),
        "One layer too many: the first layer already sees its neighbours.": _seen_in(
            lambda up, right: _far(up, right) + 1
        ),
        "One layer too few: without a layer nothing is seen.": _seen_in(lambda up, right: _far(up, right) - 1),
        "The diagonal itself can be seen: one step up takes one column to the right along." + _CORNER: _seen_in(
            _far, lambda up, right: _hidden(up, right) or right >= up
        ),
        "You treat left and right alike. Within the own row a step can go left, but not right." + _SIDE: (
            _seen_in(_far, lambda up, right: abs(right) > up or _future(up, right)),
            _seen_in(_far, lambda up, right: (abs(right) > up and up > 0) or _future(up, right)),
        ),
        "You count the rows only; far to the left takes many layers, too.": (
            _seen_in(lambda up, right: up),
            _seen_in(lambda up, right: max(up, 1)),
        ),
        "A position to the right in the own row, and the position itself, can never be seen.\nup = 0.": _seen_in(
            _far, lambda up, right: right > up > 0
        ),
        "The position itself can never be seen: the first layer has mask A.\nup = 0 and right = 0.": _seen_in(
            _far, lambda up, right: right > up
        ),
    }
)
