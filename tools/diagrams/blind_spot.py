"""Diagram 6, second part: what a position sees through masked layers, and what it never will."""

from tools.diagrams.grammar import Drawing
from tools.diagrams.sight import COLUMNS, ROWS, hatch, is_past, masked, place, sight_map


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "The blind spot",
        "What one position sees through one, two and three layers of 3×3 masked kernels: a region that grows upwards"
        " and to the left with every layer, and to the right by one column for each row up. A wedge of the past, on the"
        " right, is reached at no depth.",
        164,
    )
    ever = masked(ROWS + COLUMNS)  # more layers than the map has places to go through
    past = {(i, j) for i in range(ROWS) for j in range(COLUMNS) if is_past((i, j))}
    for layers in (1, 2, 3):
        x = 10 + (layers - 1) * 155
        d.text(x + 65, 14, f"{layers} layer" + "s" * (layers > 1), bold=True)
        sight_map(d, x, 30, 14.4, dict.fromkeys(masked(layers), "code half"), frozenset(past - ever))
    names = {"seen": 12, "not yet": 88, "never": 182, "future": 268, "position": 358}
    shades = {"seen": "code half", "future": "faint half"}
    for name, x in names.items():
        d.tiles(x, 136, [[shades.get(name)]], 16)
        if name == "never":
            hatch(d, x, 136, 16)
        if name == "position":
            place(d, x, 136, 16)
        d.text(x + 22, 144, name, anchor="start")
    return d
