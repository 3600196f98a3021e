"""Diagram 5: how a code dies, and how a restart brings it back."""

from tools.diagrams.grammar import Drawing

# A cloud of latents, by hand: two clumps.
LATENTS = ((24, 34), (36, 22), (44, 40), (30, 50), (52, 28), (20, 46), (70, 60), (84, 52), (78, 74), (92, 66), (64, 72))
SIDE = 136


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "Death and restart of a code",
        "Three moments. Start: every latent is nearer to one code than to the other, which lies far away. Death: the"
        " winner has moved to the mean of the latents; nothing chose the other code, so nothing moved it, and its count"
        " has decayed. Restart: the dead code is put onto a latent of the current batch and shares the latents.",
        252,
    )
    said = (
        ("Start", ["The nearer code", "wins every latent."]),
        ("Death", ["The other gets", "nothing; its count", "decays."]),
        ("Restart", ["Moved onto a", "latent, it wins", "its share."]),
    )
    for place, (title, lines) in enumerate(said):
        x = 10 + place * 152
        d.text(x + SIDE / 2, 14, title, bold=True)
        d.add("rect", "s-faint", x=x, y=28, width=SIDE, height=SIDE, rx=6, fill="none", stroke_width=1.5)
        d.lines(x + SIDE / 2, 184 + 9.6 * (len(lines) - 1), lines, "quiet")
    near, mean, far, clump = (56, 92), (54, 49), (116, 116), (78, 74)
    moment(d, 10, 28, [near] * len(LATENTS))
    code(d, 10, 28, near)
    code(d, 10, 28, far)
    moment(d, 162, 28, [mean] * len(LATENTS))
    d.line([(162 + near[0], 28 + near[1]), (162 + mean[0], 28 + mean[1])], "code", dashed=True)
    code(d, 162, 28, mean)
    code(d, 162, 28, far, dead=True)
    left = (34, 37)
    moment(d, 314, 28, [left if x < 60 else clump for x, _ in LATENTS])
    d.arrow([(314 + far[0], 28 + far[1]), (314 + clump[0] + 8, 28 + clump[1] + 12)], "code", dashed=True)
    code(d, 314, 28, left)
    code(d, 314, 28, clump)
    code(d, 314, 28, far, dead=True)
    return d


def moment(d: Drawing, x: float, y: float, chosen: list[tuple[float, float]]):
    """Draw the latents, each tied to the code that it chose."""
    for (a, b), (p, q) in zip(LATENTS, chosen, strict=True):
        d.line([(x + a, y + b), (x + p, y + q)], "faint", width=1)
    for a, b in LATENTS:
        d.add("circle", "f-quiet", cx=x + a, cy=y + b, r=3)


def code(d: Drawing, x: float, y: float, at: tuple[float, float], dead: bool = False):
    """Draw a code: a disc, or a hollow grey cross when it is dead."""
    a, b = x + at[0], y + at[1]
    if not dead:
        d.add("circle", "f-code s-paper", cx=a, cy=b, r=8, stroke_width=2)
        return
    arm, w = 9, 3
    cross = f"M{a - w} {b - arm}h{2 * w}v{arm - w}h{arm - w}v{2 * w}h{w - arm}v{arm - w}h{-2 * w}v{w - arm}h{w - arm}"
    d.add("path", "s-quiet f-paper", d=cross + f"v{-2 * w}h{arm - w}z", stroke_width=1.5)
