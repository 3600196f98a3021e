"""Diagram 4: an EMA codebook keeps two leaking tanks for each code."""

from tools.diagrams.grammar import Drawing


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "Two leaking tanks",
        "For each code i two tanks: N_i holds a count, m_i a sum of latents. Each batch pours one minus gamma times its"
        " count and its sum in, and one minus gamma of what was there leaks out. The code is m_i divided by N_i; where"
        " no latent comes, both sink alike and the code stays.",
        330,
    )
    d.text(230, 14, "for each code *i*", "quiet")
    tank(d, 42, "(1 − γ) *n*~i~", "*N*~i~", "how many", level=0.62)
    tank(d, 258, "(1 − γ) Σ *z*", "*m*~i~", "their sum", level=0.45)
    d.lines(230, 68, ["each", "batch"], "quiet")
    d.lines(230, 160, ["leak:", "1 − γ"], "quiet")
    d.arrow([(338, 222), (338, 266), (282, 266)], "code", width=2)
    d.arrow([(122, 222), (122, 266), (178, 266)], "code", width=2)
    d.add("rect", "f-code tint", x=182, y=248, width=96, height=36, rx=4)
    d.add("rect", "s-code", x=182, y=248, width=96, height=36, rx=4, fill="none", stroke_width=2)
    d.text(230, 265, "*e*~i~ = *m*~i~ / *N*~i~")
    d.text(230, 312, "No latents: both sink alike, the code stays.", "quiet")
    return d


def tank(d: Drawing, x: float, poured: str, name: str, said: str, level: float):
    """Draw a tank that is filled from above and leaks at its foot."""
    top, foot, w = 84, 214, 160
    water = foot - level * (foot - top)
    d.text(x + w / 2, 42, poured, "code")
    d.arrow([(x + w / 2, 54), (x + w / 2, 80)], "code", width=3, head=12)
    d.add("rect", "f-code tint", x=x, y=water, width=w, height=foot - water)
    d.line([(x, water), (x + w, water)], "code", width=2)
    d.line([(x, top), (x, foot), (x + w, foot), (x + w, top)], "ink", width=2)
    d.text(x + w / 2, 172, name, bold=True)
    d.text(x + w / 2, 194, said, "quiet")
    hole, out = (x + w, x + w + 24) if x < 200 else (x, x - 24)
    d.arrow([(hole, foot - 10), (out, foot - 10), (out, foot + 14)], "code")
