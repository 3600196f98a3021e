"""What a position of a causal network sees: sets of places, worked out by the layers' own rules."""

from collections.abc import Iterable
from functools import cache

from tools.diagrams.grammar import Drawing

ROWS, COLUMNS, AT = 6, 9, (4, 4)  # of the maps that are drawn, and the position that is asked
Places = frozenset[tuple[int, int]]

MASK_A = ((-1, -1), (-1, 0), (-1, 1), (0, -1))
MASK_B = (*MASK_A, (0, 0))


def step(place: tuple[int, int], by: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the places at some offsets that lie on the map."""
    i, j = place
    return [(i + a, j + b) for a, b in by if 0 <= i + a < ROWS and 0 <= j + b < COLUMNS]


@cache
def masked(layers: int, place: tuple[int, int] = AT) -> Places:
    """Return what a stack of 3×3 masked convolutions sees: mask A first, then mask B."""
    if layers == 1:
        return frozenset(step(place, MASK_A))
    return frozenset().union(*(masked(layers - 1, one) for one in step(place, MASK_B)))


@cache
def vertical(layers: int, place: tuple[int, int] = AT) -> Places:
    """Return what the vertical stack sees: rows above, and in later layers its own row of the layer below."""
    above = [(-1, b) for b in (-1, 0, 1)]
    if layers == 1:
        return frozenset(step(place, above))
    own = [(0, b) for b in (-1, 0, 1)]
    return frozenset().union(*(vertical(layers - 1, one) for one in step(place, [*above, *own])))


@cache
def horizontal(layers: int, place: tuple[int, int] = AT) -> Places:
    """Return what the horizontal stack sees: its row to the left, and what the link brings from the vertical one."""
    if layers == 1:
        return frozenset(step(place, [(0, -1)])) | vertical(1, place)
    left = frozenset().union(*(horizontal(layers - 1, one) for one in step(place, [(0, -1), (0, 0)])))
    return left | vertical(layers, place)


def is_past(place: tuple[int, int]) -> bool:
    """Return whether a place comes before the asked one in raster order."""
    return place < AT


def sight_map(d: Drawing, x: float, y: float, size: float, shade: dict[tuple[int, int], str], blind: Places):
    """Draw a map: what is seen in its shade, the asked place outlined, the blind spot hatched, the future grey."""
    future = {(i, j): "faint half" for i in range(ROWS) for j in range(COLUMNS) if not is_past((i, j))}
    shade = future | shade
    rows = [[shade.get((i, j)) for j in range(COLUMNS)] for i in range(ROWS)]
    rows[AT[0]][AT[1]] = None
    d.tiles(x, y, rows, size)
    for i, j in sorted(blind):
        hatch(d, x + j * size, y + i * size, size)
    place(d, x + AT[1] * size, y + AT[0] * size, size)


def hatch(d: Drawing, x: float, y: float, size: float):
    """Hatch a tile: a place of the past that no depth reaches."""
    end, half = size - 1, size / 2
    for start, stop in (((1, end), (end, 1)), ((1, half), (half, 1)), ((half, end), (end, half))):
        d.line([(x + start[0], y + start[1]), (x + stop[0], y + stop[1])], "ink", width=1)


def place(d: Drawing, x: float, y: float, size: float):
    """Outline the place that is asked for."""
    d.add("rect", "s-gradient", x=x, y=y, width=size, height=size, fill="none", stroke_width=2.5)
