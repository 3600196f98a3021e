"""Raster order, and what a prior may see at one position."""

from tools.diagrams.grammar import Drawing
from tools.diagrams.sight import place

ROWS, COLUMNS, AT, SIZE = 4, 6, 9, 44  # AT: the place in raster order, counted from 0


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "Raster order",
        "A map of 4×6 places, numbered as one reads a page: row by row, each from left to right. At place 10 the prior"
        " may see places 1 to 9, in the rows above on both sides and to the left in its own row; itself and all later"
        " places it may not.",
        280,
    )
    x, y = 30, 14
    order = [[i * COLUMNS + j for j in range(COLUMNS)] for i in range(ROWS)]
    d.tiles(
        x,
        y,
        [["code half" if n < AT else None if n == AT else "faint half" for n in row] for row in order],
        SIZE,
        [[str(n + 1) for n in row] for row in order],
    )
    place(d, x + AT % COLUMNS * SIZE, y + AT // COLUMNS * SIZE, SIZE)
    d.lines(x + COLUMNS * SIZE + 20, y + 44, ["the past:", "seen"], "code", "start")
    d.lines(x + COLUMNS * SIZE + 20, y + 88, ["now: to be", "predicted"], "gradient", "start")
    d.lines(x + COLUMNS * SIZE + 20, y + 146, ["the future:", "not seen"], "quiet", "start")
    d.text(230, 216, "*p*(*x*~1~, …, *x*~24~) =")
    d.text(230, 244, "*p*(*x*~1~) · *p*(*x*~2~ | *x*~1~) · … · *p*(*x*~10~ | *x*~1~, …, *x*~9~) · …")
    return d
