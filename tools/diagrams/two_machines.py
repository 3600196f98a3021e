"""Diagram 2: a VAE and a VQ-VAE side by side; only what differs is coloured."""

import math

from tools.diagrams.grammar import Drawing, number
from tools.diagrams.pictures import digit

LEFT, RIGHT = 118, 342


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "VAE and VQ-VAE",
        "Two aligned lines from image to image. In the VAE the encoder gives a Gaussian posterior, the prior is a"
        " Gaussian, and the KL divergence moves with the image and the weights. In the VQ-VAE the posterior puts all"
        " its mass on one of K indices, the prior is uniform, and the KL divergence is stuck at log K.",
        516,
    )
    for x, name in ((LEFT, "VAE"), (RIGHT, "VQ-VAE")):
        d.text(x, 14, name, bold=True)
        digit(d, x - 24, 30, 48)
        d.arrow([(x, 82), (x, 98)])
        d.box(x - 52, 100, 104, 32, "encoder")
        d.arrow([(x, 134), (x, 152)])
        d.arrow([(x, 284), (x, 304)])
        d.box(x - 52, 306, 104, 32, "decoder")
        d.arrow([(x, 340), (x, 358)])
        digit(d, x - 24, 362, 48, soft=1.1, frame="picture")
    bells(d)
    bars(d)
    gauge(d, LEFT, 478, moving=True)
    gauge(d, RIGHT, 478, moving=False)
    d.text(LEFT, 500, "KL: moves with *x*", "gradient")
    d.text(RIGHT, 500, "KL: log *K*, always", "code")
    return d


def bells(d: Drawing):
    """Draw the posterior and the prior of a VAE: two Gaussians."""
    base = 222

    def bell(centre: float, wide: float, high: float) -> str:
        across = [LEFT - 86 + 4 * i for i in range(44)]
        points = [(x, base - high * math.exp(-0.5 * ((x - centre) / wide) ** 2)) for x in across]
        return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)

    d.line([(LEFT - 90, base), (LEFT + 90, base)], "quiet", width=1)
    d.add("path", "f-gradient tint", d=bell(LEFT + 26, 15, 56) + "z")
    d.add("path", "s-gradient", d=bell(LEFT + 26, 15, 56), fill="none", stroke_width=2)
    d.add("path", "s-quiet", d=bell(LEFT, 36, 26), fill="none", stroke_width=2)
    d.text(LEFT, 242, "*q*(*z*|*x*) = N(μ, σ²)", "gradient")
    d.text(LEFT, 266, "prior N(0, 1)", "quiet")


def bars(d: Drawing):
    """Draw the posterior and the prior of an index: one bar, and many of the same height."""
    base, number_of_bars = 222, 12
    d.line([(RIGHT - 90, base), (RIGHT + 90, base)], "quiet", width=1)
    for i in range(number_of_bars):
        x = RIGHT - 84 + 14 * i
        chosen = i == 7
        if chosen:
            d.add("rect", "f-code tint", x=x + 2, y=base - 60, width=10, height=60)
            d.add("rect", "s-code", x=x + 2, y=base - 60, width=10, height=60, fill="none", stroke_width=2)
        d.add("rect", "s-quiet", x=x + 2, y=base - 8, width=10, height=8, fill="none", stroke_width=1.5)
    d.text(RIGHT, 242, "*q*(*k*|*x*) = 1 for one *k*", "code")
    d.text(RIGHT, 266, "prior 1/*K* each", "quiet")


def gauge(d: Drawing, x: float, y: float, moving: bool):
    """Draw a dial whose needle swings, or one whose needle stands."""
    role = "gradient" if moving else "code"
    d.add("path", "s-quiet", d=f"M{x - 46} {y}a46 46 0 0 1 92 0z", fill="none", stroke_width=1.5)

    def tip(degrees: float, length: float) -> tuple[float, float]:
        return (x + length * math.cos(math.radians(degrees)), y - length * math.sin(math.radians(degrees)))

    for degrees in (30, 60, 90, 120, 150):
        d.line([tip(degrees, 40), tip(degrees, 46)], "quiet", width=1)
    if moving:
        for degrees in (128, 62):
            d.line([(x, y), tip(degrees, 36)], role, dashed=True)
        d.line([(x, y), tip(98, 38)], role, width=3)
    else:
        d.line([(x, y), tip(62, 38)], role, width=3)
        d.add("circle", f"f-{role}", cx=tip(62, 46)[0], cy=tip(62, 46)[1], r=4)  # the pin that holds it
    d.add("circle", f"f-{role}", cx=x, cy=y, r=4)
