"""Diagram 9: one query of causal attention; the thicker a line, the larger the weight."""

from tools.diagrams.grammar import Drawing
from tools.diagrams.sight import place

SIZE, LEFT, TOP = 44, 104, 46
ROWS, COLUMNS, AT = 5, 6, (3, 3)
# Weights of a softmax, by hand; what is not listed shares the rest.
WEIGHTS = {(0, 1): 0.3, (1, 4): 0.22, (3, 2): 0.12, (2, 3): 0.08}
NOTHING = 0.16


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "One query",
        "A map in raster order. One position asks; lines lead from the earlier positions to it, thick where the weight"
        " is large, however far away they are. A slot called nothing, before all positions, gets a weight too. The"
        " position itself and all later ones get none.",
        304,
    )
    d.text(230, 18, "one query: who before me matters?")
    past = [(i, j) for i in range(ROWS) for j in range(COLUMNS) if (i, j) < AT]
    rows = [["code tint" if (i, j) in past else "faint half" for j in range(COLUMNS)] for i in range(ROWS)]
    rows[AT[0]][AT[1]] = None
    d.tiles(LEFT, TOP, rows, SIZE)
    d.box(10, TOP + 8, 74, 30, "nothing", "code")
    asks = centre(AT)
    rest = (1 - NOTHING - sum(WEIGHTS.values())) / (len(past) - len(WEIGHTS))
    for one in past:
        weight = WEIGHTS.get(one, rest)
        d.line([centre(one), asks], "code", width=max(0.6, 36 * weight))
    d.line([(47, TOP + 38), asks], "code", width=36 * NOTHING)
    for one in past:
        x, y = centre(one)
        d.add("circle", "f-code s-paper", cx=x, cy=y, r=3 + 16 * WEIGHTS.get(one, rest), stroke_width=1)
    d.add("circle", "f-gradient s-paper", cx=asks[0], cy=asks[1], r=8, stroke_width=2)
    place(d, LEFT + AT[1] * SIZE, TOP + AT[0] * SIZE, SIZE)
    d.text(LEFT + COLUMNS * SIZE + 14, TOP + SIZE / 2, "the past", "code", "start")
    d.lines(LEFT + COLUMNS * SIZE + 14, TOP + 3.5 * SIZE, ["itself and", "later: 0"], "quiet", "start")
    d.text(230, 288, "Thick: a large weight. All sum to 1.", "quiet")
    return d


def centre(at: tuple[int, int]) -> tuple[float, float]:
    """Return the middle of a tile."""
    return LEFT + (at[1] + 0.5) * SIZE, TOP + (at[0] + 0.5) * SIZE
