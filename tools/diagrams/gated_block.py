"""Diagram 6, last part: one layer of the gated PixelCNN."""

from tools.diagrams.grammar import Drawing

V, H = 100, 330  # the axes of the two stacks


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "One gated layer",
        "Left, the vertical stack: a convolution over the rows above makes two halves, the class is added, and a gate,"
        " tanh times sigmoid, makes the output. Right, the horizontal stack: a convolution over the row to the left;"
        " the link brings the vertical convolution's result from before its gate; the class is added; gate; a 1×1"
        " convolution; and the input is added, except in the first layer.",
        432,
    )
    d.text(V, 14, "vertical stack *v*", "top")
    d.text(H, 14, "horizontal stack *h*", "prior")
    for x, said, role in ((V, "convolution:|rows above", "top"), (H, "convolution:|row to the left", "prior")):
        d.arrow([(x, 28), (x, 52)])
        d.box(x - 70, 54, 140, 50, said, role)
    d.line([(V, 104), (V, 178)])
    d.arrow([(V, 128), (158, 128)], "top", width=2.5, head=10)
    d.box(160, 112, 88, 32, "link 1×1", "top")
    d.arrow([(248, 128), (H - 14, 128)], "top", width=2.5, head=10)
    d.arrow([(H, 104), (H, 114)], head=7)
    plus(d, H, 128)
    d.line([(H, 142), (H, 178)])
    d.arrow([(V, 166), (V, 172)], head=7)
    d.arrow([(H, 166), (H, 172)], head=7)
    plus(d, V, 186)
    plus(d, H, 186)
    d.box(180, 170, 70, 32, "class", "ink")
    d.arrow([(180, 186), (V + 16, 186)])
    d.arrow([(250, 186), (H - 16, 186)])
    for x, role in ((V, "top"), (H, "prior")):
        gate(d, x, 222, role)
    d.arrow([(V, 310), (V, 404)])
    d.text(V, 418, "*v*, one layer up", "top")
    d.arrow([(H, 310), (H, 326)])
    d.box(H - 46, 328, 92, 30, "1×1", "prior")
    d.arrow([(H, 358), (H, 370)], head=7)
    plus(d, H, 384)
    d.arrow([(H, 398), (H, 408)], head=7)
    d.text(H, 420, "*h*, one layer up", "prior")
    d.arrow([(H, 38), (432, 38), (432, 384), (H + 16, 384)])
    d.lines(208, 374, ["from the second", "layer on: add *h*"], "quiet")
    return d


def plus(d: Drawing, x: float, y: float):
    """Draw a sum."""
    d.add("circle", "s-ink f-paper", cx=x, cy=y, r=13, stroke_width=1.5)
    d.line([(x - 6, y), (x + 6, y)])
    d.line([(x, y - 6), (x, y + 6)])


def gate(d: Drawing, x: float, y: float, role: str):
    """Draw tanh times sigmoid: two halves of the channels, multiplied."""
    d.line([(x, y - 23), (x, y - 10), (x - 36, y - 10)])
    d.line([(x, y - 10), (x + 36, y - 10)])
    for side, name in ((-36, "tanh"), (36, "σ")):
        d.arrow([(x + side, y - 10), (x + side, y)], head=6)
        d.box(x + side - 28, y, 56, 30, name, role)
        d.line([(x + side, y + 30), (x + side, y + 44), (x, y + 44)])
    d.arrow([(x, y + 44), (x, y + 58)], head=6)
    d.add("circle", "s-ink f-paper", cx=x, cy=y + 72, r=13, stroke_width=1.5)
    d.text(x, y + 71, "×")
