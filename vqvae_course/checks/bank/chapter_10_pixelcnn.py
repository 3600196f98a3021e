"""Bank, notebook 10: masks for colours."""

import torch
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake
from vqvae_course.checks.report import exercise

TITLE = "red, then green, then blue"

TASK = r"""*difficulty ●●○ · 15 min · 3 points*

A PixelCNN on colour images predicts three numbers a pixel, one after another: red from all earlier pixels, green from
those and the pixel's red, blue from those and both. So the mask depends on the channels as well. In every layer the
channels are divided into three equal, **neighbouring** parts, for red, green and blue; an output channel of the green
part may know no more than is known when green's turn comes.

Build the mask of the whole weight. Positions earlier in raster order are open to all, later ones to none. At the
centre, kind `"A"` (for the first layer, whose inputs are the colours themselves) shows a colour only the colours
*before* it, and kind `"B"` (for later layers) also its own. Both numbers of channels are multiples of 3, and differ."""

STUB = '''def colour_mask(channels_in, channels_out, kernel_size, kind):
    """Return which weights of a masked convolution over colours may be used.

    channels_in, channels_out: multiples of 3; parts red, green and blue, in this order.
    kernel_size: k, an odd number, at least 1. kind: "A" or "B".
    Returns: (channels_out, channels_in, k, k) tensor of zeros and ones, as in Conv2d.weight.
    """
    raise NotImplementedError
'''

QUESTION = r"""(a) Why is kind A right in the first layer and wrong in the second, for colours? What exactly would get
lost if all layers had kind A? (b) A student builds the network with grouped convolutions (`groups=3`) instead, so
that red channels read only red channels, and so on. Is this network causal? What can it not express? (c) Codes of a
VQ-VAE have one index a position and are fed in through an embedding of $C$ channels. Should its masks divide the
channels in three? Why, or why not?"""

RUBRIC = """- **1 point**: (a) what the channels of a later layer hold, compared with those of the input, and the loss
  with A everywhere.
- **1 point**: (b) causality and expressiveness judged separately, both correctly.
- **1 point**: (c) decides correctly, with what the embedding's channels have in common.
"""

WRITTEN_POINTS = 3

COLOURS = ("red", "green", "blue")


@exercise(points=3)
def colour_mask(answer: Answer) -> None:
    """Judge ``colour_mask(...)``: sub-pixels in the order of their turn."""
    for channels_in, channels_out, k, kind in ((3, 9, 5, "A"), (9, 6, 3, "B"), (6, 12, 1, "A"), (3, 6, 1, "B")):
        got = answer.tensor(channels_in, channels_out, k, kind, shape=(channels_out, channels_in, k, k)).double()
        if not bool(((got == 0) | (got == 1)).all()):
            raise Mistake("A mask holds zeros and ones, and nothing else.")
        turn = torch.arange(k * k).view(k, k) - k * k // 2
        if not bool((got[:, :, turn < 0] == 1).all()):
            raise Mistake(
                "Some weights on earlier positions are closed. A pixel above or to the left is finished, in all its "
                "colours, for every colour.",
                "The order of the colours matters at the centre only.",
            )
        if not bool((got[:, :, turn > 0] == 0).all()):
            raise Mistake("Some weights on later positions are open.", "Later in raster order: right of it, and below.")
        _judge_centre(got[:, :, k // 2, k // 2], kind)


def _judge_centre(centre: Tensor, kind: str) -> None:
    """Compare (out, in) at the centre with who has had a turn."""
    tables = {
        (by, each, dealt): _table(*centre.shape, by, each, dealt)
        for by in ("out", "in")
        for each in "AB"
        for dealt in (False, True)
    }
    if torch.equal(centre, tables["out", kind, False]):
        return
    other = "B" if kind == "A" else "A"
    if torch.equal(centre, tables["out", other, False]):
        raise Mistake(
            f"For kind {kind}, this is what kind {other} would be.",
            "In which layer does a channel of the red part hold red itself, and in which only what red may know?",
        )
    if torch.equal(centre, tables["in", kind, False]) or torch.equal(centre, tables["in", other, False]):
        raise Mistake(
            "At the centre the colours look in the wrong direction: red sees blue.",
            "Axis 0 of a weight is the output, axis 1 the input.",
        )
    if any(torch.equal(centre, table) for (_, _, dealt), table in tables.items() if dealt):
        raise Mistake(
            "You deal the channels out to the colours in turn; each colour has a part of neighbouring channels.",
            "Which colour has channel 1 of 9?",
        )
    if not bool(centre.any()):
        raise Mistake(
            "At the centre nothing is open, as in a grey image. Green may know the red of its own pixel.",
            "Which pairs of colours?",
        )
    if bool(centre.all()):
        raise Mistake("At the centre everything is open, so red sees the blue that comes after it.", "")
    right = tables["out", kind, False]
    out, into = (int(each) for each in (centre != right).nonzero()[0])
    to, of = (COLOURS[3 * c // n] for c, n in zip((out, into), centre.shape, strict=True))
    state = "open" if centre[out, into] else "closed"
    raise Mistake(f"At the centre, kind {kind}, a channel of {to} has its weight on a channel of {of} {state}.")


def _table(channels_out: int, channels_in: int, by: str, kind: str, dealt: bool) -> Tensor:
    table = torch.zeros(channels_out, channels_in, dtype=torch.float64)
    for out in range(channels_out):
        for into in range(channels_in):
            mine = out % 3 if dealt else 3 * out // channels_out
            theirs = into % 3 if dealt else 3 * into // channels_in
            if by == "in":
                mine, theirs = theirs, mine
            table[out, into] = theirs + (kind == "A") <= mine
    return table
