"""The network of page 5, map by map, at true relative size."""

from tools.diagrams.grammar import WIDTH, Drawing
from tools.diagrams.pictures import digit

PIXEL = 2.5  # units
AXIS, SHAPE, MADE = 68, 142, 244  # where maps stand, and the two columns of text
# shape, what makes it, side, channels, height of the row
ENCODER = (
    ("32×14×14", "conv 4×4, stride 2", 14, 32, 54),
    ("64×7×7", "conv 4×4, stride 2", 7, 64, 44),
    ("64×7×7", "conv 3×3", 7, 64, 42),
    ("32×7×7", "conv 1×1: *z*~e~", 7, 32, 40),
)
QUANTIZER = (("7×7", "index of the nearest code", 7, 0, 38), ("32×7×7", "its code: *z*~q~", 7, 32, 40))
DECODER = (
    ("64×7×7", "conv 3×3", 7, 64, 44),
    ("32×14×14", "transposed 4×4, stride 2", 14, 32, 56),
    ("1×28×28", "transposed 4×4, stride 2", 28, 0, 88),
)
HEAD, GAP, MARGIN = 84, 10, 16  # the image on top, between the three parts, and inside each below its rows


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "The network",
        "Encoder: an image of 1×28×28 becomes 32×14×14 and 64×7×7 by 4×4 convolutions of stride 2, 64×7×7 by a 3×3"
        " convolution, and 32×7×7, the latents z_e, by a 1×1 convolution. Quantizer: 7×7 indices, and their codes z_q,"
        " 32×7×7. Decoder: 64×7×7 by a 3×3 convolution, 32×14×14 and 1×28×28 by transposed 4×4 convolutions.",
        HEAD + sum(row[-1] for row in ENCODER + QUANTIZER + DECODER) + 3 * (MARGIN + GAP),
    )
    d.text(SHAPE, 14, "channels × map", "quiet", "start")
    side = 28 * PIXEL
    digit(d, AXIS - side / 2, 6, side)
    d.text(SHAPE, 42, "1×28×28", anchor="start")
    d.text(MADE, 42, "the image", anchor="start")
    y = float(HEAD)
    parts = (("encoder", "ink", ENCODER), ("quantizer", "code", QUANTIZER), ("decoder", "ink", DECODER))
    for name, role, rows in parts:
        height = sum(row[-1] for row in rows) + MARGIN
        d.frame(8, y, WIDTH - 16, height, role)
        line = y
        for row in rows:
            stage(d, line, *row)
            line += row[-1]
        d.text(WIDTH - 18, y + height - 16, name, "code" if role == "code" else "ink", "end", bold=True)
        y += height + GAP
    return d


def stage(d: Drawing, y: float, shape: str, made: str, side: int, channels: int, height: float):
    """Draw one layer: an arrow, the map that it makes, and what is to be said."""
    size = side * PIXEL
    middle = y + height - size / 2 - 2
    d.arrow([(AXIS, middle - size / 2 - 20), (AXIS, middle - size / 2 - 3 - channels / 8)], head=7)
    if side == 28:
        digit(d, AXIS - size / 2, middle - size / 2, size, soft=1.1, frame="picture")
    elif channels:
        stack(d, AXIS, middle, size, channels)
    else:
        d.add("rect", "f-code half", x=AXIS - size / 2, y=middle - size / 2, width=size, height=size)
    d.text(SHAPE, middle, shape, anchor="start")
    d.text(MADE, middle, made, anchor="start")


def stack(d: Drawing, x: float, y: float, size: float, channels: int):
    """Draw a map with its channels behind it."""
    for back in range(channels // 8, -1, -1):
        place = {"x": x - size / 2 + 2 * back, "y": y - size / 2 - back, "width": size, "height": size}
        d.add("rect", "f-paper s-quiet", **place, stroke_width=1)
    d.add("rect", "f-quiet tint", **place)
