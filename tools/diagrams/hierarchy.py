"""Diagram 7: the two maps of a VQ-VAE-2 and the way on which the bottom is told the top."""

from tools.diagrams.grammar import Drawing
from tools.diagrams.pictures import scene

TILE = 6
SIDES, BITS = (8, 16), (8, 4)  # of the maps of page 12, the top first; bits an index: K = 256 and 16


def some(rows: int, role: str) -> list[list[str]]:
    """Return shades for a map of indices, the same ones every time."""
    shades = (role, f"{role} half", f"{role} tint", f"{role} half")
    return [[shades[(i * i + 3 * j + i * j // 2) % 4] for j in range(rows)] for i in range(rows)]


def cost(level: int) -> str:
    """Say what a map costs."""
    places = SIDES[level] ** 2
    return f"{places} × {BITS[level]} = {places * BITS[level]:,} bits"


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "VQ-VAE-2",
        "The bottom's features are made first, from the image; the top's features are made from them. The top is"
        " quantized first, to a map of 8×8 indices; expanded by U, it conditions the quantization of the bottom, a map"
        " of 16×16 indices, and goes to the decoder together with it.",
        330,
    )
    scene(d, 6, 196, 62)
    d.text(37, 274, "64×64", "quiet")
    d.arrow([(70, 227), (84, 227)])
    d.box(86, 203, 42, 48, "*E*~b~")
    d.arrow([(128, 227), (182, 227)])
    d.add("circle", "f-ink", cx=146, cy=227, r=4)
    d.text(160, 210, "*f*~b~")
    d.arrow([(146, 227), (146, 124)])
    d.box(125, 74, 42, 48, "*E*~t~")
    d.arrow([(167, 98), (182, 98)])
    d.tiles(186, 74, some(SIDES[0], "top"), TILE)
    d.lines(210, 34, ["top: 8×8", cost(0)], "top")
    d.arrow([(236, 98), (262, 98)], "top")
    d.box(264, 74, 46, 48, "*U*", "top")
    d.arrow([(287, 122), (287, 152), (234, 152), (234, 176)], "top", width=2.5, head=10)
    d.text(226, 152, "told", "top", "end")
    d.arrow([(310, 98), (331, 98), (331, 182)], "top", width=2.5, head=10)
    d.text(342, 140, "*u*", "top", "start")
    d.tiles(186, 179, some(SIDES[1], "bottom"), TILE)
    d.lines(234, 300, ["bottom: 16×16", cost(1)], "bottom")
    d.arrow([(284, 227), (308, 227)])
    d.box(310, 184, 42, 86, "*D*")
    d.arrow([(352, 227), (384, 227)])
    scene(d, 388, 196, 62, "picture")
    return d
