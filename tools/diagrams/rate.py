"""Diagram 11: bits are the area of the map times log₂ K, whatever the shape."""

from tools.diagrams.grammar import Drawing, number

TILE = 7
FOOT = 134  # of the solids
SOLIDS = ((8, 16, 16, 2), (196, 8, 16, 4), (356, 8, 8, 8))  # left edge, rows, columns, bits an index


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "The same bits in three shapes",
        "Three solids of the same volume, 512 bits: a map of 16×16 indices with 2 bits each, K = 4; a map of 8×16"
        " with 4 bits each, K = 16; and a map of 8×8 with 8 bits each, K = 256.",
        228,
    )
    d.text(230, 16, "area of the map × bits for each index", "quiet")
    for x, rows, columns, bits in SOLIDS:
        w = columns * TILE
        solid(d, x, rows, columns, bits)
        middle = x + w / 2 + (rows * TILE / 4)
        d.text(middle, 160, f"{rows}×{columns}, *K* = {2**bits}")
        d.text(middle, 184, f"{rows * columns} × {bits} bits", "code")
    d.text(230, 212, "each 512 bits", bold=True)
    return d


def solid(d: Drawing, x: float, rows: int, columns: int, bits: int):
    """Draw a map as the floor of a solid that is as high as each index has bits."""
    w, h, deep = columns * TILE, bits * TILE, rows * TILE / 2
    top = FOOT - h

    def face(role: str, corners: list[tuple[float, float]]):
        d.add("path", role, d="M" + "L".join(f"{number(a)} {number(b)}" for a, b in corners) + "z")

    roof = [(x, top), (x + w, top), (x + w + deep, top - deep), (x + deep, top - deep)]
    face("f-code tint", roof)
    face("f-code half", [(x, top), (x + w, top), (x + w, FOOT), (x, FOOT)])
    face("f-code", [(x + w, top), (x + w + deep, top - deep), (x + w + deep, FOOT - deep), (x + w, FOOT)])
    back = f"l{number(deep)} {number(-deep)}"
    grid = "".join(f"M{number(x + j * TILE)} {FOOT}v{number(-h)}{back}" for j in range(columns + 1))
    grid += "".join(f"M{number(x + i * TILE / 2)} {number(top - i * TILE / 2)}h{w}v{h}" for i in range(rows + 1))
    grid += "".join(f"M{x} {number(FOOT - b * TILE)}h{w}{back}" for b in range(bits + 1))
    d.add("path", "s-paper", d=grid, fill="none", stroke_width=0.8)
