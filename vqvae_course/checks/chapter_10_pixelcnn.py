"""Checks of notebook 10: causal masks, a detector of leaks, the blind spot, masks as shifts, layers and sight."""

import copy
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course import causality
from vqvae_course import pixelcnn as reference
from vqvae_course.checks.answer import Answer, Mistake, kind, recognise
from vqvae_course.checks.report import exercise
from vqvae_course.pixelcnn import MaskedConv2d


def _as_tensor(value: Any, shape: tuple[int, ...], what: str) -> Tensor:
    """Return zeros and ones in any container as a bool tensor; refuse what is no such thing."""
    if isinstance(value, list | tuple | np.ndarray):
        try:
            value = torch.as_tensor(np.asarray(value))
        except Exception as error:
            raise Mistake(f"Your function returns {kind(value)} that is no table of numbers.") from error
    if not isinstance(value, Tensor):
        raise Mistake(f"Your function returns {kind(value)}; {what} is asked for.")
    if value.shape != shape:
        raise Mistake(f"Your function returns shape {tuple(value.shape)}; {shape} is asked for.")
    if not bool(((value == 0) | (value == 1)).all()):
        raise Mistake("Your result holds other values than 0 and 1 (or False and True).")
    return value.detach().cpu() != 0


# Masks


@exercise(points=2)
def causal_mask(answer: Answer) -> None:
    """Judge ``causal_mask(kernel_size, kind)``: what a kernel may see."""
    for size, letter in ((5, "A"), (5, "B"), (3, "A"), (3, "B"), (9, "A"), (7, "B"), (1, "B"), (1, "A")):
        got = _as_tensor(answer(size, letter), (size, size), f"a tensor of shape ({size}, {size})")
        right = reference.causal_mask(size, letter)
        if torch.equal(got, right):
            continue
        if size == 1:
            raise Mistake(
                "A 1 x 1 kernel with mask B loses its only weight. The centre is shown."
                if letter == "B"
                else "A 1 x 1 kernel with mask A keeps its only weight. That is the centre, the value to be predicted.",
                "What does your rule say about the centre?",
            )
        _recognise_mask(got, right, letter)
        a, b = ((got != right).nonzero()[0]).tolist()
        verb = "shows" if bool(got[a, b]) else "hides"
        raise Mistake(
            f"The {size} x {size} mask {letter} {verb} the weight at row {a}, column {b} (counted from 0); the centre "
            f"is at row {size // 2}, column {size // 2}.",
            "Is that place before the centre, as you read a page?",
        )


def _recognise_mask(got: Tensor, right: Tensor, letter: str) -> None:
    size = len(right)
    centre = size // 2
    both = torch.ones(size, size, dtype=torch.bool)
    row, column = torch.arange(size)[:, None] + 0 * both, torch.arange(size)[None] + 0 * both
    own = (row == centre) & (column == centre)
    above, left = row < centre, (row == centre) & (column < centre)
    keep = own if letter == "B" else ~both  # what the letter says of the centre

    def known(mask: Tensor, message: str, hint: str = "") -> tuple[Tensor, str, str]:
        return mask.float(), message, hint

    swapped = (
        "Mask A shows the centre and should hide it: in the first layer the centre is the value to be predicted."
        if letter == "A"
        else "Mask B hides the centre and should show it: after the first layer it holds only what came before."
    )
    recognise(
        got.float(),
        [
            known(reference.causal_mask(size, "AB".replace(letter, "")), swapped, "Which letter is for which layer?"),
            known(right.T, "Your mask is transposed: it runs column by column.", "Which index of a tensor is the row?"),
            known(
                right.T ^ own,
                "Your mask is transposed, and treats the centre the wrong way.",
                "Which index of a tensor is the row?",
            ),
            known(
                right.flip(0, 1), "Your mask shows the future: it is turned by half a turn.", "conv2d does not flip."
            ),
            known(~right, "Zeros and ones are swapped: 1 stands where a weight may be used."),
            known(
                above | left | keep | (row > centre),
                "The rows below the centre are visible; they come later.",
                "Only rows above were there before.",
            ),
            *(
                known(
                    (above & (column <= centre + shift)) | left | keep,
                    "In the rows above, the right part is hidden. All of it comes before the centre: those rows are "
                    "finished.",
                    "Read the order of a page: is the end of the line above before this word?",
                )
                for shift in (-1, 0)
            ),
            known(
                (above & (column == centre)) | left | keep,
                "In the rows above only the middle column is visible; all of them come before the centre.",
            ),
            known(left | keep, "The rows above are hidden; all of them come before the centre."),
            known(above | keep, "The left part of the centre's own row is hidden; it comes before the centre."),
            known(
                above | (row == centre),
                "The right part of the centre's own row is visible; it comes later.",
                "How far does your slice of that row go?",
            ),
            known(
                (above | (row == centre)) ^ own,
                "The right part of the centre's own row is visible; it comes later.",
                "How far does your slice of that row go?",
            ),
            known(
                (above & (row == centre - 1)) | left | keep,
                "Only the nearest row above is visible; all rows above come before the centre.",
            ),
            known(
                both.tril(-1), "This is a triangle: it compares row and column of a place with each other.", _COMPARE
            ),
            known(both.tril(), "This is a triangle: it compares row and column of a place with each other.", _COMPARE),
            known(both.triu(), "This is a triangle: it compares row and column of a place with each other.", _COMPARE),
            known(both, "Nothing is masked."),
            known(~both, "Everything is masked."),
        ],
    )


_COMPARE = "Compare the place with the centre, in raster order."


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


def _numbered(height: int, width: int, number: Callable[[int, int], int]) -> Tensor:
    """Return (P, P) bool: the input's number is lower than the output's."""
    numbers = torch.tensor([number(i, j) for i, j in itertools.product(range(height), range(width))])
    return numbers[None] < numbers[:, None]


def _undisturbed(answer: Answer, net: nn.Module, *arguments: Any) -> Any:
    """Call the answer on a net and refuse what it leaves behind in it."""
    before = copy.deepcopy(net.state_dict())
    for parameter in itertools.islice(net.parameters(), 1):  # one has a gradient already, the others have none
        parameter.grad = torch.randn_like(parameter)
    gradients = [None if parameter.grad is None else parameter.grad.clone() for parameter in net.parameters()]
    trainable = [parameter.requires_grad for parameter in net.parameters()]
    value = answer(net, *arguments)
    for name, parameter in net.state_dict().items():
        if parameter.dtype != before[name].dtype:
            raise Mistake("Your function converts the network to another type, and leaves it so.", "Convert a copy.")
        if not torch.equal(parameter, before[name]):
            raise Mistake(
                "Your function changes the parameters of the network. The verdict is to be on the network as it is.",
                "Nothing needs to be drawn anew or trained, except the inputs.",
            )
    kept = [(old, parameter.grad) for old, parameter in zip(gradients, net.parameters(), strict=True)]
    if any(old is not None and (new is None or not bool(new.any())) for old, new in kept):
        raise Mistake(
            "Your function erases the gradients that stood in the parameters of the network before.",
            "zero_grad() also takes what was there. torch.autograd.grad stores nothing, so nothing is to be erased.",
        )
    if any(new is not None and (old is None or not torch.equal(old, new)) for old, new in kept):
        raise Mistake(
            "Your function leaves gradients in the parameters of the network; the next optimizer step of its owner "
            "would use them.",
            "backward() stores gradients wherever it can. torch.autograd.grad returns the one you ask for.",
        )
    if [parameter.requires_grad for parameter in net.parameters()] != trainable:
        raise Mistake("Your function leaves parameters with another requires_grad than they had.")
    if not all(module.training for module in net.modules()):
        raise Mistake("Your function leaves the network in eval mode; it was in train mode.", "Put it back.")
    return value


# A detector of leaks


class _Case(NamedTuple):
    sound: bool
    height: int
    width: int
    body: nn.Module
    message: str
    hint: str = ""


OVERLOOKED = "Your function overlooks a leak: "
ALL_PAIRS = "Ask every output position about every input position from its own on."


def _relu_above(x: Tensor) -> Tensor:
    return (x - 0.7).relu()


def _relu_below(x: Tensor) -> Tensor:
    return (-x - 0.7).relu()


def _leak(height: int, width: int, pairs: list[tuple[int, int]], size: float = 1.0, **options: Any) -> nn.Module:
    places = height * width
    extra = torch.zeros(2, places, places)
    for p, q in pairs:
        extra[:, p, q] = size
    return _Pairs(_past(places), extra, **options)


def _cases() -> list[_Case]:
    """Return networks from the plainest to the trickiest, so that the first failure names the misconception."""
    h, w = 3, 5
    places = h * w
    p = (1, 3, 4, 6, 8, 9)[int(torch.randint(6, ()))]  # not the first, not the middle, none of every fifth
    below_right = [
        q for q in range((p // w + 1) * w, places) if q % w >= p % w
    ]  # what is below on the left comes apart
    later_row = below_right[int(torch.randint(len(below_right), ()))]
    below = [(p, p + w) for p in range(places - w)]
    beside = [(p, p + 1) for p in range(places - 1) if p % w < w - 1]
    future = torch.ones(2, places, places).triu()

    one_channel, opposite = torch.zeros(2, 3, places, places)
    one_channel[2, p, later_row] = 1.0
    opposite[0], opposite[1] = future[0], -future[0]
    wrong_side = _numbered(h, w, lambda i, j: i * h + j)
    columns = _numbered(h, w, lambda i, j: j * h + i)
    quiet = _past(places)
    quiet[:, :, ::2] = 0
    relu = nn.ReLU
    tall = (5, 2) if torch.rand(()) < 0.5 else (6, 2)
    return [
        _Case(
            False, h, w, nn.Conv2d(1, 3, 3, padding=1), OVERLOOKED + "an ordinary convolution, with no mask.", ALL_PAIRS
        ),
        _Case(
            True,
            h,
            w,
            _stack("ABB", (3, 3, 3), relu),
            "Your function calls a sound network leaky: masked convolutions, A and then B twice.",
            "Rows of J are outputs, columns are inputs. On which side of the diagonal is the past?",
        ),
        _Case(
            False,
            h,
            w,
            _leak(h, w, [(p, p) for p in range(places)]),
            OVERLOOKED + "every output feels its own position, as it does where the first layer has mask B.",
            "The diagonal is forbidden too.",
        ),
        _Case(
            False,
            h,
            w,
            _leak(h, w, below),
            OVERLOOKED + "every output feels the position right below it.",
            "Later means: to the right in the same row, and anywhere in the rows below.",
        ),
        _Case(
            False,
            h,
            w,
            _leak(h, w, beside),
            OVERLOOKED + "every output feels its right neighbour.",
            "Later means: to the right in the same row, and anywhere in the rows below.",
        ),
        _Case(
            True,
            h,
            w,
            _Pairs(_past(places)),
            "Your function calls a sound network leaky: each output feels all of the past, and nothing else.",
            "The end of the row above is the past too. Does your order run row by row?",
        ),
        _Case(
            False,
            h,
            w,
            _leak(h, w, [(p, later_row)]),
            OVERLOOKED + "one single output feels one single later position.",
            ALL_PAIRS,
        ),
        _Case(
            False,
            h,
            w,
            _leak(h, w, [(p, p + w - 1) for p in range(places - w) if p % w]),
            OVERLOOKED + "every output feels the position below it on the left.",
            "Later means: to the right in the same row, and anywhere in the rows below.",
        ),
        _Case(
            False,
            h,
            w,
            _leak(h, w, [(places - 1, places - 1)]),
            OVERLOOKED + "the last position feels itself.",
            "Does your loop end one too early?",
        ),
        _Case(
            False,
            h,
            w,
            _leak(h, w, [(0, 0)]),
            OVERLOOKED + "the first position feels itself.",
            "It has no past at all, but it can leak.",
        ),
        _Case(
            False,
            h,
            w,
            _Pairs(torch.randn(2, places, places) * columns),
            OVERLOOKED + "a network that is causal column by column, and not row by row.",
            "What is the number of row i, column j in raster order?",
        ),
        _Case(
            False,
            h,
            w,
            _Pairs(torch.randn(2, places, places) * wrong_side),
            OVERLOOKED + "a network that numbers its positions with the number of rows in place of the number of "
            "columns, so that it leaks where the map is not square.",
            "Does your own numbering use H where it should use W?",
        ),
        _Case(
            False,
            h,
            w,
            _leak(h, w, [(i * w, i * w + w - 1) for i in range(h)]),
            OVERLOOKED + "the first column feels the last one of its own row, as after torch.roll.",
            ALL_PAIRS,
        ),
        _Case(
            False,
            h,
            w,
            _leak(h, w, [(0, places - 1)]),
            OVERLOOKED + "the first position feels the last one, as after a shift that goes round.",
            ALL_PAIRS,
        ),
        _Case(
            False,
            h,
            w,
            _Pairs(_past(places, 3), one_channel),
            OVERLOOKED + "only the last output channel leaks.",
            "Do you ask all channels of the output?",
        ),
        _Case(
            False,
            h,
            w,
            _Pairs(_past(places, 3), opposite),
            OVERLOOKED + "two output channels feel the future with opposite signs, and in your sum they cancel.",
            "Look at the channels one by one, or add them with random weights.",
        ),
        _Case(
            False,
            h,
            w,
            _leak(h, w, below, 1e-3),
            OVERLOOKED + "it is a thousandth of what the output feels of its past.",
            "What must be 0 is exactly 0. How large is your tolerance?",
        ),
        _Case(
            False,
            h,
            w,
            _Pairs(_past(places), future, act=torch.square),
            OVERLOOKED + "it goes with the square of the input, and at an input of 0 its gradient is 0.",
            "Use random inputs.",
        ),
        _Case(
            False,
            h,
            w,
            _Pairs(_past(places), future, act=_relu_above),
            OVERLOOKED + "it stands behind a ReLU that is off at an input of 0.",
            "Use random inputs, and several.",
        ),
        _Case(
            False,
            h,
            w,
            _Pairs(_past(places), future, act=_relu_below),
            OVERLOOKED + "it stands behind a ReLU that is on for negative inputs only.",
            "Do your inputs have both signs?",
        ),
        _Case(
            True,
            h,
            w,
            _Pairs(torch.zeros(2, places, places), _past(places), act=_relu_above),
            "Your function calls a sound network leaky whose ReLUs are off for most inputs.",
            "A gradient of 0 in the past proves nothing, and forbids nothing.",
        ),
        _Case(
            True,
            h,
            w,
            _Pairs(quiet),
            "Your function calls a sound network leaky in which outputs miss much of their past.",
            "Not to see the past is a pity, not a leak.",
        ),
        _Case(
            True,
            h,
            w,
            _Pairs(torch.zeros(2, places, places)),
            "Your function calls a sound network leaky that ignores its input altogether.",
            "Who sees nothing sees nothing forbidden.",
        ),
        _Case(
            True, *tall, _stack("AB", (5, 3), relu), "Your function calls a sound network leaky on a tall, narrow map."
        ),
        _Case(
            False,
            *tall,
            _leak(*tall, [(tall[1] - 1, tall[1])]),
            OVERLOOKED + "on a tall, narrow map, the end of the first row feels the start of the second.",
            ALL_PAIRS,
        ),
        _Case(True, 1, 6, _stack("AB", (3, 3), relu), "Your function calls a sound network leaky on a map of one row."),
    ]


@exercise(points=4)
def is_causal(answer: Answer) -> None:
    """Judge ``is_causal(net, H, W)``: whether no output feels its own position or a later one."""
    cases = _cases()
    verdicts, hasty = [], False
    for case in cases:
        net = _Probe(case.body, case.height, case.width)
        verdicts.append(_verdict(_undisturbed(answer, net, case.height, case.width)))
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
    for case, verdict in zip(cases, verdicts, strict=True):
        if verdict != case.sound:
            raise Mistake(case.message, case.hint)
    if hasty:
        raise Mistake(
            "Your function calls a network causal after a single input. A leak behind a ReLU that is off there "
            "stays hidden.",
            "Use several random inputs.",
        )


def _verdict(value: Any) -> bool:
    if isinstance(value, Tensor | np.ndarray | np.generic):
        if value.size != 1 if isinstance(value, np.ndarray | np.generic) else value.numel() != 1:
            raise Mistake(f"Your function returns an array of shape {tuple(value.shape)}; True or False is asked for.")
        value = value.item()
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise Mistake(f"Your function returns {kind(value)}; True or False is asked for.")
    return bool(value)


# The blind spot


class _Sight(NamedTuple):
    height: int
    width: int
    place: tuple[int, int]
    body: nn.Module
    message: str  # if nothing more precise is known
    hint: str = ""


@exercise(points=3)
def blind_spot(answer: Answer) -> None:
    """Judge ``blind_spot(net, H, W, i, j)``: which earlier positions an output does not feel."""
    for case in _sights():
        net = _Probe(case.body, case.height, case.width)
        h, w, (i, j) = case.height, case.width, case.place
        felt = _feels(case.body, h, w)
        got = _as_tensor(_undisturbed(answer, net, h, w, i, j), (h, w), f"a bool tensor of shape ({h}, {w})")
        earlier = (torch.arange(h * w) < i * w + j).view(h, w)
        right = earlier & ~felt[i, j]
        if torch.equal(got, right):
            continue
        if isinstance(case.body, nn.Sequential):  # the other networks are each there for one mistake
            _recognise_sight(got, felt, right, earlier, (i, j))
            faint = int((got & ~right).sum())
            if not bool((right & ~got).any()) and not bool((got & ~earlier).any()):
                raise Mistake(
                    f"Too much is blind: of the positions that you mark, {faint} are felt, be they felt weakly or "
                    "with a negative gradient.",
                    "Felt is whatever has a gradient that is not exactly 0.",
                )
        raise Mistake(case.message, case.hint)


def _feels(body: nn.Module, h: int, w: int) -> Tensor:
    """Return (h, w, h, w) bool: an output position, and whether it feels an input position."""
    felt = torch.zeros(h * w, h * w, dtype=torch.bool)
    for _ in range(3):
        felt |= causality.influence(body, torch.randn(4, 1, h, w)) != 0
    return felt.view(h, w, h, w)


def _sights() -> list[_Sight]:
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
    return [
        _Sight(5, 7, (3, 4), _stack("AB", (3, 3), tanh), f"{miss}, for two masked convolutions.", "Which is J[p, q]?"),
        _Sight(5, 7, (3, 2), _stack("ABBBB", (3,) * 5, tanh), f"{miss}, for five masked convolutions."),
        _Sight(6, 4, (4, 1), _stack("AB", (5, 3), tanh), f"{miss}, for a first kernel of 5 x 5 and one of 3 x 3."),
        _Sight(
            4,
            7,
            (2, 4),
            _Pairs(pattern),
            f"{miss}, for a network that feels its past in no regular pattern.",
            "Measure; a formula for masked kernels does not cover every network.",
        ),
        _Sight(
            4,
            7,
            (3, 5),
            _Pairs(weak),
            "What is felt weakly, at a ten-thousandth of the rest, is felt.",
            "What is not felt has a gradient of exactly 0. How large is your tolerance?",
        ),
        _Sight(
            4,
            7,
            (2, 3),
            _Pairs(opposite),
            "Two output channels feel the past with opposite signs; in your sum they cancel, and you call the position "
            "blind.",
            "Look at the channels one by one, or add them with random weights.",
        ),
        _Sight(
            4,
            7,
            (3, 3),
            _Pairs(last_only),
            "Some positions are felt by the last output channel only. They are felt, and you call them blind.",
            "Do you ask all channels of the output?",
        ),
        _Sight(
            4,
            7,
            (2, 3),
            _Pairs(torch.zeros(2, places, places), _past(places), act=torch.square),
            "This network feels the square of its input; at an input of 0 you see nothing of it.",
            "Use random inputs.",
        ),
        _Sight(4, 7, (2, 3), _Gated(), f"{miss}, for two layers of the gated network.", "Its reach is limited too."),
        _Sight(4, 7, (3, 2), _Pairs(_past(places)), "This network feels all of its past: nothing is blind."),
        _Sight(
            5,
            7,
            (2, 3),
            _stack("-", (3,), tanh),
            "This network leaks, and feels later positions too. Your map is to speak of earlier ones all the same.",
        ),
        _Sight(
            5, 7, (2, 3), nn.Conv2d(1, 2, 1), "A 1 x 1 convolution feels itself only: it is blind to all of the past."
        ),
        _Sight(5, 7, (0, 0), _stack("AB", (3, 3), tanh), "The first position has no past, so it misses nothing."),
        _Sight(5, 7, (0, 5), _stack("AB", (3, 3), tanh), f"{miss}, in the first row."),
        _Sight(5, 7, (4, 6), _stack("AB", (3, 3), tanh), f"{miss}, at the last position."),
        _Sight(1, 6, (0, 4), _stack("AB", (3, 3), tanh), f"{miss}, on a map of one row."),
    ]


def _recognise_sight(got: Tensor, felt: Tensor, right: Tensor, earlier: Tensor, place: tuple[int, int]) -> None:
    (i, j), (h, w) = place, right.shape
    mine, own = felt[i, j], torch.zeros_like(right)
    own[i, j] = True
    row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    by_columns = (column < j) | ((column == j) & (row < i))
    heard_by = felt[:, :, i, j]  # which outputs feel the input at (i, j)
    known = [
        (mine, "This is what the output feels; what it does not feel is asked for."),
        (mine & earlier, "This is what the output feels; what it does not feel is asked for."),
        (
            ~mine,
            "Your map also marks the position itself and later ones. They are not felt, and rightly so: the blind spot "
            "is what is missing from the past.",
        ),
        (right | (own & ~mine), "Your map marks the position itself, which is not earlier than itself."),
        (right | own, "Your map marks the position itself, which is not earlier than itself."),
        (~mine & ~earlier & ~own, "These are later positions; earlier ones are asked for."),
        (~mine & ~earlier, "These are later positions; earlier ones are asked for."),
        (
            by_columns & ~mine,
            "Your order runs column by column. In raster order all rows above come first, then the row's left part.",
        ),
        (
            ((row < i) & (column <= j)) & ~mine | (right & (row == i)),
            "Of the rows above you look at the left part only; all of each row above is earlier.",
        ),
        (
            right & (column > j),
            "You look right of the output only; what few layers do not reach on the left is blind to them, too.",
        ),
        (
            (torch.arange(h * w) < i * h + j).view(h, w) & ~mine,
            "You number row i, column j as i * H + j; a row has W positions.",
        ),
        ((row < i) & ~mine, "You look at the rows above only; the left of the own row is earlier too."),
        (
            ~earlier & ~own & ~heard_by,
            "Outputs and inputs are swapped: these are the outputs that do not feel the input at (i, j).",
        ),
        (
            earlier,
            "This is all of the past, and some of it is felt. Did you ask which outputs feel the input at (i, j)? No "
            "earlier output does.",
        ),
        (
            earlier & (column - j > i - row) & (row < i),
            "This is the wedge that masked 3 x 3 kernels never see. With few layers, positions not reached yet "
            "are missing too; and other networks have other shapes.",
        ),
    ]
    if j < h and i < w and (i, j) != (j, i):
        swapped = (torch.arange(h * w) < j * w + i).view(h, w) & ~felt[j, i]
        for candidate in (swapped, earlier & ~felt[j, i]):
            known.append((candidate, "Row and column of the output are swapped: i is the row."))
    for candidate, message in known:
        if not torch.equal(candidate, right):
            recognise(got.float(), [(candidate.float(), message, "Compare your map with the picture of the page.")])


# Masks as shifts


@exercise(points=3)
def shift_and_pad(answer: Answer) -> None:
    """Judge ``shift_and_pad(x, weight, kind)``: a masked convolution from two smaller ones."""
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
        x = torch.randn(batch, inward, height, width) + 0.5
        weight = torch.randn(outward, inward, size, size)
        mask = reference.causal_mask(size, letter)
        if hidden is not None:
            weight.masked_fill_(~mask, hidden)
        shape = (batch, outward, height, width)
        try:
            got = answer.tensor(x, weight, letter, shape=shape)
        except Mistake as mistake:
            if hidden is None or "NaN" not in mistake.message:
                raise
            raise Mistake(
                "The hidden weights were NaN here, and now the result is: they still take part. A product with 0 does "
                "not remove NaN.",
                "Cut the two parts out of the kernel with slices.",
            ) from mistake
        right = F.conv2d(x, weight.where(mask, 0), padding=size // 2)
        if got.dtype != right.dtype or torch.allclose(got, right, rtol=1e-4, atol=1e-4):
            if got.dtype != right.dtype:
                raise Mistake(f"Your result has dtype {got.dtype}; {right.dtype} went in.")
            continue
        _recognise_shift(got, x, weight, letter)
        inside = (slice(None), slice(None), slice(size // 2, None), slice(size // 2, width - size // 2))
        if got[inside].numel() and torch.allclose(got[inside], right[inside], rtol=1e-4, atol=1e-4):
            raise Mistake(
                "Inside the map your result is right, near the edges it is not.", "Zeros lie beyond the edge."
            )
        raise Mistake(
            f"This is not what a convolution with a {size} x {size} kernel and mask {letter} gives.",
            "Try a kernel with a single 1 in it, and see where it takes its input from.",
        )


def _recognise_shift(got: Tensor, x: Tensor, weight: Tensor, letter: str) -> None:
    size = weight.shape[-1]
    r, own = size // 2, int(letter == "B")
    mask = reference.causal_mask(size, letter)
    place = torch.arange(size)
    row, column = place[:, None].expand(size, size), place[None].expand(size, size)

    def with_weights(kept: Tensor) -> Tensor:
        return F.conv2d(x, weight.where(kept, 0), padding=r)

    def parts(top: int = 0, aside: int = 0) -> Tensor:
        """Add the two parts, one moved down by ``top`` rows too few, the other right by ``aside`` too few."""
        above = F.conv2d(F.pad(x, (r, r, r - top, top - 1)), weight[:, :, :r])
        left = weight[:, :, r : r + 1, : r + own]
        return above + F.conv2d(F.pad(x, (r - aside, own - 1 + aside, 0, 0)), left)

    def upper(around: tuple[int, int, int, int]) -> Tensor:
        return F.conv2d(F.pad(x, around), weight[:, :, :r])

    def aside(row_of_kernel: int) -> Tensor:
        return F.conv2d(F.pad(x, (r, own - 1, 0, 0)), weight[:, :, row_of_kernel : row_of_kernel + 1, : r + own])

    above, left = row < r, (row == r) & (column < r + own)
    other = reference.causal_mask(size, "AB".replace(letter, ""))
    centre = (
        "This is mask B: the centre takes part, and kind is A."
        if letter == "A"
        else "This is mask A: the centre is left out, and kind is B."
    )
    future = "The crop is missing or on the wrong side: "
    top_left = (
        "All the padding is on the top and on the left. It is causal, but another convolution: what lies above on "
        "the right is never seen."
    )
    recognise(
        got,
        [
            (with_weights(torch.ones_like(mask)), "This is the whole kernel: it sees the future.", ""),
            (with_weights(other), centre, "How many columns has the left part?"),
            (with_weights(above), "The left part of the own row is missing.", "Two parts are to be added."),
            (with_weights(left), "The rows above are missing.", "Two parts are to be added."),
            (with_weights(above & (column <= r) | left), "In the rows above you leave out what is on the right.", ""),
            (
                with_weights(above | (row == r)),
                "The own row takes part as a whole, also right of the centre: it sees the future.",
                "How many rows has the upper part?",
            ),
            (
                with_weights((above | (row == r)) & ~((row == r) & (column == r))),
                "The own row takes part right of the centre: it sees the future.",
                "How many columns has the left part?",
            ),
            (
                parts(top=1),
                future + "the upper part is one row too low, and sees the own row.",
                "What does F.pad do with a negative number?",
            ),
            (parts(top=-1), "The upper part is one row too high: it misses the row right above.", ""),
            (
                parts(aside=1),
                future + "the left part is one column too far right.",
                "Which columns should the output at column j see?",
            ),
            (parts(aside=-1), "The left part is one column too far left: it misses the nearest neighbour.", ""),
            *(
                (
                    upper(around) + aside(row_of_kernel),
                    message,
                    "The centre is at row r, column r of the kernel."
                    if around == (r, r, r, -1)
                    else "F.pad counts left, right, top, bottom.",
                )
                for around, row_of_kernel, message in (
                    ((r, r, r, -1), r - 1, "The left part is cut from the kernel's row above the centre."),
                    ((r, r, r, -1), r + 1, "The left part is cut from the kernel's row below the centre."),
                    ((r, r, -1, r), r, "The upper part is shifted up instead of down: it sees the rows below."),
                    ((2 * r, 0, r, -1), r, "The upper part is padded on the left only: nothing on the right is seen."),
                )
            ),
            (
                upper((r, r, r, -1)) + F.conv2d(F.pad(x, (own - 1, r, 0, 0)), weight[:, :, r : r + 1, : r + own]),
                "The left part is shifted left instead of right: it sees what is on the right.",
                "F.pad counts left, right, top, bottom.",
            ),
            (parts(1, 1), future + "both parts are shifted by one too little, and see their own position.", ""),
            (
                F.conv2d(F.pad(x, (size - 1, 0, size - 1, 0)), weight),
                top_left,
                "Where does the kernel's last column lie?",
            ),
            (
                F.conv2d(F.pad(x, (size - 1, 0, size - 1, 0)), weight.where(mask, 0)),
                top_left,
                "Where does the kernel's last column lie?",
            ),
            (
                F.conv2d(x, weight.flip(2, 3).where(mask, 0), padding=r),
                "The kernel is flipped. conv2d does not flip kernels, so a slice needs none either.",
                "",
            ),
            (
                F.conv2d(x, weight.where(mask.T, 0), padding=r),
                "Rows and columns are swapped: you cut column by column.",
                "",
            ),
            (
                F.conv2d(x, weight.mT.where(mask, 0), padding=r),
                "Rows and columns of the kernel are swapped.",
                "weight is (C', C, rows, columns).",
            ),
        ],
    )


# Layers and sight


@exercise(points=2)
def layers_to_see(answer: Answer) -> None:
    """Judge ``layers_to_see(up, right)``: how many masked 3 x 3 layers it takes, or -1."""
    near = [(up, right) for up in range(6) for right in range(-6, 8)]
    near += [(int(torch.randint(7, 40, ())), int(torch.randint(-40, 50, ()))) for _ in range(10)]
    near += [(17, 17), (17, 18), (17, -18), (0, -23), (23, 0)]
    got, right_answers = [], []
    for up, right in near:
        got.append(answer.number(up, right))
        right_answers.append(_layers(up, right))
    mine, true = (torch.tensor(values, dtype=torch.float64) for values in (got, right_answers))
    if torch.equal(mine, true):
        return
    up, right = torch.tensor(near, dtype=torch.float64).T
    never, far = true == -1, torch.maximum(up, right.abs())

    def candidate(layers: Tensor, hidden: Tensor, mark: float = -1) -> Tensor:
        return layers.masked_fill(hidden, mark)

    itself = (up == 0) & (right == 0)
    future = (up == 0) & (right >= 0)
    recognise(
        mine,
        [
            (far, "You know no blind spot: there are positions that no number of layers can see.", _DIAGONAL),
            (candidate(far, future), "You know no blind spot: right of a diagonal nothing is seen.", _DIAGONAL),
            (candidate(far, itself), "You know no blind spot, and in the own row you see the future.", _DIAGONAL),
            (candidate(far, never, 0), "For a position that is never seen you return 0; -1 is asked for.", ""),
            *(
                (
                    candidate(up + aside, never),
                    "You count rows and columns one after the other; a step can go up and aside at once.",
                    "A 3 x 3 kernel sees the corners, too.",
                )
                for aside in (right.abs(), (-right).clamp(min=0))
            ),
            (
                candidate(far, never | (right > 0)),
                "You call everything on the right blind. A step that goes up can go right at the same time.",
                "A 3 x 3 kernel sees the corner above on the right.",
            ),
            (
                candidate(far, (-right > up) | ((up == 0) & (right <= 0))),
                "Left and right are swapped: right is negative for a position to the left.",
                "What is hidden by a mask, and on which side?",
            ),
            (candidate(far + 1, never), "One layer too many: the first layer already sees its neighbours.", ""),
            (candidate(far - 1, never), "One layer too few: without a layer nothing is seen.", ""),
            (
                candidate(far, never | (right >= up)),
                "The diagonal itself can be seen: one step up takes one column to the right along.",
                "A 3 x 3 kernel sees the corner above on the right.",
            ),
            *(
                (
                    candidate(far, (right.abs() > up) & seldom | future),
                    "You treat left and right alike. Within the own row a step can go left, but not right.",
                    "What is hidden by a mask, and on which side?",
                )
                for seldom in (up >= 0, up > 0)
            ),
            *(
                (candidate(rows, never), "You count the rows only; far to the left takes many layers, too.", "")
                for rows in (up, up.clamp(min=1))
            ),
            (
                candidate(far, (right > up) & ~future),
                "A position to the right in the own row, and the position itself, can never be seen.",
                "up = 0.",
            ),
            (
                candidate(far, (right > up) | (future & ~itself)),
                "The position itself can never be seen: the first layer has mask A.",
                "up = 0 and right = 0.",
            ),
        ],
        tolerance=1e-6,
    )
    wrong = int((mine != true).nonzero()[0])
    what = "that no depth can see" if bool(never[wrong]) else "that can be seen"
    raise Mistake(
        f"Wrong for a position {what}: up = {near[wrong][0]}, right = {near[wrong][1]}; you say {mine[wrong]:g}.",
        "Draw the grid. Which squares does one layer see, and which does the next add?",
    )


_DIAGONAL = "How far to the right can a path get that goes up by so many rows?"


def _layers(up: int, right: int) -> int:
    return -1 if right > up or (up == 0 and right >= 0) else max(up, abs(right))
