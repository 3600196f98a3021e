"""Diagram 1: the whole machine, and the prior that writes a map into the same decoder."""

from tools.diagrams.grammar import Drawing
from tools.diagrams.pictures import digit, index_map, indices

SHOWN = (5, 3)  # the place that is followed through the lookup
CHOSEN = indices(3)[SHOWN[0]][SHOWN[1]]


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "The machine",
        "Stage 1: the encoder turns a digit of 28×28 pixels into 7×7 vectors; each is replaced by the nearest code of a"
        " codebook, of which only the index is kept; from 7×7 indices the decoder draws the digit again. Stage 2: a"
        " prior writes a map of indices of its own, and the same decoder makes a new digit of it.",
        562,
    )
    d.text(12, 14, "Stage 1", anchor="start", bold=True)
    digit(d, 12, 30, 84)
    d.text(12, 130, "28×28 pixels", "quiet", "start")
    d.arrow([(100, 72), (126, 72)])
    d.box(128, 48, 84, 48, "encoder")
    d.arrow([(216, 72), (244, 72)])
    for back in (12, 6):  # each place holds a vector: the map has depth
        d.add("rect", "f-paper s-faint", x=248 + back, y=36 - back, width=84, height=84)
    d.add("rect", "f-paper", x=248, y=36, width=84, height=84)
    d.tiles(248, 36, [["quiet tint"] * 7] * 7, 12)
    outline(d, 248, 36, 12)
    d.lines(354, 76, ["7×7 vectors", "*z*~e~"], "quiet", "start")
    d.arrow([(296, 124), (296, 172)])
    d.text(308, 148, "nearest code", anchor="start")
    d.text(12, 160, "codebook: *K* = 128 codes", "code", "start")
    codebook(d)
    d.arrow([(89, 232), (89, 256)])
    index_map(d, 12, 260, 22, numbers=True)
    outline(d, 12, 260, 22)
    d.text(89, 429, "7×7 indices", "quiet")
    d.arrow([(170, 337), (204, 337)])
    d.box(206, 306, 96, 214, "decoder")
    d.arrow([(306, 337), (342, 337)])
    digit(d, 346, 295, 84, soft=1.1, frame="picture")
    d.text(388, 394, "reconstruction", "picture")
    d.text(12, 456, "Stage 2", anchor="start", bold=True)
    d.box(12, 470, 54, 44, "prior", "prior")
    d.arrow([(66, 492), (88, 492)], "prior")
    index_map(d, 92, 453, 11, 7, "prior")
    d.arrow([(173, 492), (204, 492)])
    d.arrow([(306, 492), (342, 492)])
    digit(d, 346, 450, 84, 7, soft=1.1, frame="picture")
    d.text(388, 549, "sample", "picture")
    return d


def outline(d: Drawing, x: float, y: float, size: float):
    """Outline the place that is followed."""
    at = {"x": x + SHOWN[1] * size, "y": y + SHOWN[0] * size}
    d.add("rect", "s-code", **at, width=size, height=size, fill="none", stroke_width=2.5)


def codebook(d: Drawing):
    """Draw codes as columns of numbers, in their tray, with their indices below."""
    d.tray(12, 174, 436, 58)
    names = ("0", "1", "2", "…", "17", "…", "39", "…", str(CHOSEN), "…", "97", "…", "127")
    for place, name in enumerate(names):
        x = 32 + 33 * place
        if name == "…":
            d.text(x, 196, name)
            continue
        shades = [("code", "code half", "code tint")[(place * place + i) % 3] for i in range(3)]
        d.tiles(x - 5, 180, [[shade] for shade in shades], 10)
        d.text(x, 222, name, "code" if name == str(CHOSEN) else "ink", bold=name == str(CHOSEN))
