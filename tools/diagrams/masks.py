"""Diagram 6, first part: masks A and B."""

from tools.diagrams.grammar import Drawing
from tools.diagrams.sight import place

SIZE = 26


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "Masks A and B",
        "Two 5×5 kernels over the same position. Both use the two rows above, on both sides, and the two places to the"
        " left, and nothing to the right or below. Mask A, of the first layer, excludes the centre; mask B, of all"
        " later layers, includes it.",
        200,
    )
    for x, name, said, centre in (
        (62, "mask A", "first layer: own place out", False),
        (268, "mask B", "later layers: own place in", True),
    ):
        used = [[(i, j) < (2, 2) or (centre and (i, j) == (2, 2)) for j in range(5)] for i in range(5)]
        d.tiles(x, 30, [["code half" if each else None for each in row] for row in used], SIZE)
        place(d, x + 2 * SIZE, 30 + 2 * SIZE, SIZE)
        d.text(x + 2.5 * SIZE, 14, name, bold=True)
        d.text(x + 2.5 * SIZE, 180, said, "quiet")
    return d
