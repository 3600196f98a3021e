"""Diagram 6, first part: masks A and B, and what they let a position see after one, two and three layers."""

from tools.diagrams.grammar import Drawing
from tools.diagrams.sight import COLUMNS, ROWS, hatch, is_past, masked, place, sight_map


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "Masks A and B, and the blind spot",
        "Two 5×5 kernels. Mask A, of the first layer, uses the two rows above and the two places to the left, and"
        " excludes the centre; mask B, of later layers, includes it. Below, what a position sees after one, two and"
        " three layers of 3×3 kernels: a triangle that grows upwards, and a wedge on the right that no depth reaches.",
        360,
    )
    for x, name, said in ((70, "mask A", "first layer"), (280, "mask B", "later layers")):
        kernel(d, x, 30, name == "mask B")
        d.text(x + 55, 14, name, bold=True)
        d.text(x + 55, 156, said, "quiet")
    d.text(230, 190, "what a position sees through 3×3 kernels", "quiet")
    # At any depth: more layers than the map has places to go through.
    ever = masked(ROWS + COLUMNS)
    past = {(i, j) for i in range(ROWS) for j in range(COLUMNS) if is_past((i, j))}
    for layers in (1, 2, 3):
        x = 10 + (layers - 1) * 155
        d.text(x + 65, 218, f"{layers} layer" + "s" * (layers > 1))
        sight_map(d, x, 232, 14.4, dict.fromkeys(masked(layers), "code half"), frozenset(past - ever))
    legend(d, 336)
    return d


def kernel(d: Drawing, x: float, y: float, centre: bool):
    """Draw a 5×5 kernel: the weights that may be used are filled."""
    used = [[(i, j) < (2, 2) or (centre and (i, j) == (2, 2)) for j in range(5)] for i in range(5)]
    d.tiles(x, y, [["code half" if each else None for each in row] for row in used], 22)
    place(d, x + 44, y + 44, 22)


def legend(d: Drawing, y: float):
    """Explain the shades."""
    names = {"seen": 12, "not yet": 88, "never": 182, "future": 268, "position": 358}
    shades = {"seen": "code half", "future": "faint half"}
    for name, x in names.items():
        d.tiles(x, y, [[shades.get(name)]], 16)
        if name == "never":
            hatch(d, x, y, 16)
        if name == "position":
            place(d, x, y, 16)
        d.text(x + 22, y + 8, name, anchor="start")
