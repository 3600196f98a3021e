"""Diagram 3: forward through the lookup, backward past it."""

from tools.diagrams.grammar import Drawing


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "Straight-through",
        "Forward, the latent z_e goes into the lookup and comes out as the nearest code, which is the value of z_q."
        " Backward, the gradient of z_q is copied unchanged to z_e and so to the encoder: it goes past the lookup. The"
        " way back into the lookup and the codebook is cut by detach.",
        250,
    )
    d.box(8, 40, 80, 148, "encoder")
    d.box(372, 40, 80, 148, "decoder")
    d.text(230, 16, "forward: through the lookup")
    for x, name in ((130, "*z*~e~"), (328, "*z*~q~")):
        d.add("circle", "s-ink", cx=x, cy=72, r=20, fill="none", stroke_width=1.5)
        d.text(x, 71, name)
    d.tray(184, 46, 90, 56)
    for i in range(5):
        shades = [("code", "code half", "code tint")[(i * i + j) % 3] for j in range(2)]
        d.tiles(194 + 15 * i, 52, [[shade] for shade in shades], 10)
    d.text(229, 86, "lookup")
    for start, end in ((88, 108), (150, 182), (276, 306), (348, 370)):
        d.arrow([(start, 72), (end, 72)])
    d.line([(328, 92), (328, 120), (229, 120), (229, 104)], "gradient", dashed=True)
    scissors(d, 278, 120)
    d.text(240, 138, "detach", "quiet", "end")
    d.arrow([(372, 160), (328, 160), (130, 160), (90, 160)], "gradient", width=3, head=12)
    for x in (130, 328):
        d.add("circle", "f-gradient", cx=x, cy=160, r=5)
    d.line([(130, 155), (130, 92)], "gradient")
    d.line([(328, 155), (328, 120)], "gradient")
    d.text(229, 180, "backward: past it, copied", "gradient")
    d.text(230, 212, "*z*~q~ = *z*~e~ + sg[*e*~k~ − *z*~e~]")
    d.text(230, 236, "the value of *e*~k~, the gradient of *z*~e~", "quiet")
    return d


def scissors(d: Drawing, x: float, y: float):
    """Draw scissors that cut a level line from below."""
    d.add("rect", "f-paper", x=x - 7, y=y - 3, width=14, height=6)  # the cut
    d.line([(x - 6, y - 14), (x + 5, y + 12)], "ink", width=2)
    d.line([(x + 6, y - 14), (x - 5, y + 12)], "ink", width=2)
    for side in (-8, 8):
        d.add("circle", "s-ink", cx=x + side, cy=y + 16, r=5, fill="none", stroke_width=2)
