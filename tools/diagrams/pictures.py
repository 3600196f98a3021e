"""What diagrams show of data: a digit of 28×28 pixels, its map of 7×7 indices, and a scene."""

import math

from tools.diagrams.grammar import Drawing, number

SIDE = 28  # pixels
LEVELS = 4  # of grey


def arc(x: float, y: float, r: float, start: float, end: float) -> list[tuple[float, float]]:
    """Return points on a circle, from one angle to another, in degrees clockwise from the right."""
    turn = [math.radians(start + (end - start) * i / 24) for i in range(25)]
    return [(x + r * math.cos(a), y + r * math.sin(a)) for a in turn]


STROKES = {
    3: [*arc(13.5, 9.5, 4.7, -150, 90), *arc(13.5, 18.8, 5.2, -90, 150)],
    7: [(7.5, 7), (20, 7), (16, 14), (12.5, 22.5)],
}


def grey(digit: int, soft: float) -> list[list[float]]:
    """Return the pixels of a digit, 0 to 1: the nearer to its stroke, the lighter."""

    def distance(x: float, y: float) -> float:
        best = math.inf
        for (ax, ay), (bx, by) in zip(STROKES[digit], STROKES[digit][1:], strict=False):
            dx, dy = bx - ax, by - ay
            along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy or 1)
            along = min(1, max(0, along))
            best = min(best, math.hypot(x - ax - along * dx, y - ay - along * dy))
        return best

    middle = [i + 0.5 for i in range(SIDE)]
    return [[min(1, max(0, (1.6 + soft - distance(x, y)) / (2 * soft))) for x in middle] for y in middle]


def digit(d: Drawing, x: float, y: float, side: float, which: int = 3, soft: float = 0.5, frame: str = "ink"):
    """Draw a digit, pixel by pixel; a larger ``soft`` makes it less sharp, as a reconstruction is."""
    d.add("rect", "f-night", x=x, y=y, width=side, height=side)
    step = side / SIDE
    rows = [[round(value * LEVELS) for value in row] for row in grey(which, soft)]
    for level in range(1, LEVELS + 1):
        runs = []
        for i, row in enumerate(rows):
            j = 0
            while j < SIDE:
                end = j
                while end < SIDE and row[end] == level:
                    end += 1
                if end > j:
                    runs.append(f"M{number(x + j * step)} {number(y + i * step)}h{number((end - j) * step)}v")
                    runs[-1] += f"{number(step)}h{number((j - end) * step)}z"
                j = max(end, j + 1)
        if runs:
            d.add("path", "f-light", d="".join(runs), fill_opacity=level / LEVELS)
    d.add("rect", f"s-{frame}", x=x, y=y, width=side, height=side, fill="none", stroke_width=2)


BACKGROUND = 17  # the index of an empty patch
# One index for each way in which the four quarters of a patch are lit.
NUMBERS = (BACKGROUND, 64, 8, 91, 33, 45, 70, 26, 5, 88, 52, 39, 76, 12, 60, 97)


def indices(which: int) -> list[list[int]]:
    """Return the 7×7 indices of a digit: what stands in each patch of 4×4 pixels decides."""
    pixels = grey(which, 0.5)

    def index(i: int, j: int) -> int:
        lit = 0
        for quarter, (a, b) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
            total = sum(pixels[4 * i + a + p][4 * j + b + q] for p in (0, 1) for q in (0, 1))
            lit |= (total > 2) << quarter
        return NUMBERS[lit]

    return [[index(i, j) for j in range(7)] for i in range(7)]


def index_map(d: Drawing, x: float, y: float, size: float, which: int = 3, role: str = "code", numbers: bool = False):
    """Draw a map of 7×7 indices; the commonest index stays pale."""
    rows = indices(which)
    shades = {index: f"{role}{('', ' half', ' tint')[place % 3]}" for place, index in enumerate(NUMBERS)}
    if numbers:  # that they can be read
        shades = dict.fromkeys(NUMBERS, f"{role} tint")
    shades[BACKGROUND] = None
    labels = [[str(index) for index in row] for row in rows] if numbers else None
    d.tiles(x, y, [[shades[index] for index in row] for row in rows], size, labels)


def scene(d: Drawing, x: float, y: float, side: float, frame: str = "ink"):
    """Draw a picture of a scene: a disc and a square before a ground."""
    d.add("rect", "f-faint half", x=x, y=y, width=side, height=side)
    d.add("circle", "f-code", cx=x + 0.36 * side, cy=y + 0.36 * side, r=0.22 * side)
    d.add("rect", "f-top", x=x + 0.5 * side, y=y + 0.54 * side, width=0.34 * side, height=0.3 * side)
    d.add("rect", f"s-{frame}", x=x, y=y, width=side, height=side, fill="none", stroke_width=2)
