"""Diagram 6, third part: two stacks over three layers, and the link that goes one way."""

from tools.diagrams.grammar import Drawing
from tools.diagrams.sight import AT, horizontal, sight_map, vertical

TILE = 14.4
TOP, FOOT = 56, 206  # of the two rows of maps


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "Two stacks and a one-way link",
        "Above, what the vertical stack sees after one, two and three layers: rectangles of the rows above. Below, the"
        " horizontal stack: its own row to the left, and by the link of each layer what the vertical stack sees at its"
        " place. No arrow leads from the horizontal stack to the vertical one, and there is no blind spot.",
        366,
    )
    for layer in (1, 2, 3):
        x = 10 + (layer - 1) * 155
        d.text(x + 65, 14, f"layer {layer}", bold=True)
        rows = vertical(layer)
        left = {place for place in horizontal(layer) if place[0] == AT[0]}
        sight_map(d, x, TOP, TILE, dict.fromkeys(rows, "top half"), frozenset())
        told = dict.fromkeys(horizontal(layer) - left, "top half") | dict.fromkeys(left, "prior")
        sight_map(d, x, FOOT, TILE, told, frozenset())
        d.arrow([(x + 64.8, TOP + 90), (x + 64.8, FOOT - 4)], "top", width=3, head=12)
        d.text(x + 76, 174, "link", "top", "start")
    for y in (TOP + 43, FOOT + 43):
        for x in (141, 296):
            d.arrow([(x + 2, y), (x + 22, y)])
    d.text(10, 40, "vertical stack: the rows above", "top", "start")
    d.text(10, FOOT + 106, "horizontal stack: the row to the left", "prior", "start")
    d.text(10, FOOT + 128, "… and, by the link, the rows above", "top", "start")
    d.text(10, FOOT + 150, "Never from horizontal to vertical.", "quiet", "start")
    return d
