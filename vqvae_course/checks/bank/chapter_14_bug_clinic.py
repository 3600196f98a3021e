"""Bank, notebook 14: a leak that no gradient shows."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.checks.answer import Answer, Mistake
from vqvae_course.checks.report import exercise

TITLE = "a leak that no gradient shows"

TASK = r"""*difficulty ●●● · 25 min · 4 points*

A network of several layers is not causal. You are given its layers as a list, each a module that maps (B, C, H, W) to
(B, C, H, W), to be applied one after another. **Which is the first layer that lets a position feel a later one**, in
raster order? Feeling itself is allowed here. Return its number, counted from 0, or −1 if all layers are sound.

The layers round their outputs to whole multiples of something. So their derivative is 0 almost everywhere, and the
detector of exercise 10.2 finds nothing; neither do changes that are too small. Some leaks concern a single position,
or one channel, or only take what lies *below*. Some sound layers reach far back. In a sound layer, whatever happens
later changes nothing at all. A layer must be examined on inputs of its own, not only behind the others: what one
layer wipes out, the next cannot show. Random inputs with a deviation of 1 are what the layers are made for.

Layers may come in train or eval mode, and behave alike in both. Leave them as they are."""

STUB = '''def first_leak(layers, channels, height, width):
    """Return the number of the first layer whose output feels a later position.

    layers: list of modules, each maps (B, channels, height, width) floats to the same
        shape. Their outputs are rounded.
    Returns: a whole number, 0 ... len(layers) - 1, or -1 if there is no leak.
    """
    raise NotImplementedError
'''

QUESTION = r"""(a) A layer normalises each map by the mean and the deviation over all of its positions and channels.
Is it sound in a prior? And one that normalises each position over its channels? (b) Poking one position at a time
takes $H \cdot W$ passes for one input. Give a scheme that gets by with less work, and say what it can miss that yours
cannot; or argue that every leak can only be found with that many changed inputs. (c) Your instrument reports "no
leak" for a layer. Name two ways in which the layer can leak nevertheless."""

RUBRIC = """- **1 point**: (a) both layers judged correctly, with who feels whom.
- **2 points**: (b) a scheme, or a bound, that is right (1), and an argument for what it finds and what it misses (1).
- **1 point**: (c) two different ways, such as inputs that were not tried and parameters as they happen to be.
"""

WRITTEN_POINTS = 4


class _Layer(nn.Module):
    """A masked convolution or a sum over the past, with a leak or without, and a rounded result."""

    def __init__(self, channels: int, fault: str | None, far: bool = False, mixed: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels, 3, 3) / 2)
        mask = torch.ones(3, 3)
        mask[1, 2:], mask[2] = 0, 0
        if fault == "right":
            mask[1, 2] = 1
        if fault == "below":
            mask[2, 0] = 1  # left, but in the row below
        self.register_buffer("mask", mask.expand(channels, channels, 3, 3).clone())
        if fault == "channel":
            self.mask[-1, 0, 2, 1] = 1
            with torch.no_grad():
                self.weight[-1, 0, 2, 1] = 1.5
        self.fault, self.far, self.mixed = fault, far, mixed

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.weight * self.mask, padding=1) if self.mixed else x.tanh() * 2
        if self.far:
            y = y + x.flatten(2).cumsum(2).view_as(x)
        if self.fault == "wrap":  # the left neighbour of the first column is taken to be the last one
            y = y + x.roll(1, 3)
        if self.fault == "mean":
            y = y + 2 * x.mean((2, 3), keepdim=True)
        if self.fault == "single":
            y = y.clone()
            y[:, :, 0, 1] = y[:, :, 0, 1] + x[:, :, -1, 0]
        if self.fault == "order":
            y = y + x.transpose(2, 3).flatten(2).cumsum(2).view(*x.shape[:2], x.shape[3], x.shape[2]).transpose(2, 3)
        return (4 * y).detach().round() / 4


FAULTS = {
    "right": "looks at the position on its right",
    "below": "looks at the row below, to the left; earlier columns, but a later row",
    "channel": "leaks in a single pair of channels",
    "wrap": "takes the last column for the left neighbour of the first, which is later in the same row",
    "mean": "uses the mean over the whole map, of which the later positions are a part",
    "single": "leaks at a single position",
    "order": "goes through the map column by column, which is another order",
}


@exercise(points=4)
def first_leak(answer: Answer) -> None:
    """Judge ``first_leak(layers, channels, height, width)``: layers whose fault is known, since it was built in."""
    channels, height, width = 2, 3, 5
    plans: list[list[str | None]] = [[None, None, None], [None, "right", "mean"]]
    for number, fault in enumerate(("below", "single", "wrap", "channel", "mean", "order")):
        plans.append([None] * (number % 3) + [fault] + [None] * ((number + 1) % 2))
    plans.append([None, "blank", "below"])  # the middle one forgets its input
    for number, plan in enumerate(plans):
        layers: list[nn.Module] = []
        for place, fault in enumerate(plan):
            if fault == "blank":
                layers.append(_Blank())
            else:
                layers.append(_Layer(channels, fault, far=(number + place) % 2 == 0, mixed=fault != "wrap"))
            layers[-1].train((number + place) % 3 > 0)
        _examine(answer, layers, plan, channels, height, width)


class _Blank(nn.Module):
    """A layer that wipes out its input: sound, and behind it nothing can be seen."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def _examine(answer: Answer, layers: list, plan: list, channels: int, height: int, width: int) -> None:
    state = [[value.clone() for value in layer.state_dict().values()] for layer in layers]
    modes = [layer.training for layer in layers]
    got = answer.number(layers, channels, height, width)
    if [layer.training for layer in layers] != modes:
        raise Mistake("Your function changes the mode of the layers, train or eval.", "Leave them as they are.")
    for layer, old in zip(layers, state, strict=True):
        new = layer.state_dict().values()
        if not all(torch.equal(a, b) for a, b in zip(old, new, strict=True)):
            raise Mistake("Your function changes the parameters of the layers.", "")
    leaks = [place for place, fault in enumerate(plan) if fault in FAULTS]
    right = leaks[0] if leaks else -1
    if got == right:
        return
    if right == -1:
        raise Mistake(
            "You find a leak where there is none. These layers feel themselves and earlier positions, some far back; "
            "that is allowed.",
            "Which positions may change when position q is changed?",
        )
    if got == right + 1 and len(leaks) == 1:
        raise Mistake("You are off by one: layers are counted from 0.")
    if got == -1 and "blank" in plan:
        raise Mistake(
            "You miss a leak that stands behind a layer which forgets its input.",
            "Give every layer random inputs of its own.",
        )
    if got == -1:
        raise Mistake(
            f"You miss a leak: a layer {FAULTS[plan[right]]}.",
            "Whoever rounds has derivative 0: poke, and poke hard. Try every position, every channel, and several "
            "inputs, and compare exactly.",
        )
    if got > right:
        raise Mistake("That is not the first leak; there is one before it.")
    raise Mistake(
        "You accuse a layer that is sound.", "Later in raster order: further right in the same row, or in a row below."
    )
