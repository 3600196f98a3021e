"""The strip at the top of every page: the whole machine, very small, with the part lit that the page is about."""

from collections.abc import Collection
from contextlib import AbstractContextManager

from tools.diagrams.grammar import Drawing

# In the order in which they are drawn and read.
PARTS = (
    *("image", "encoder", "gradient", "losses", "lookup", "codebook"),
    *("indices", "hierarchy", "rate", "prior", "decoder", "output"),
)
# Which parts a page is about; the key is the number in the notebook's name.
LIT = {
    "00": PARTS,
    "01": ("indices", "rate"),
    "02": ("lookup", "codebook"),
    "03": ("gradient",),
    "04": ("losses",),
    "05": ("encoder", "decoder"),
    "06": ("codebook",),
    "07": ("codebook",),
    "08": ("indices", "rate"),
    "09": ("indices", "prior"),
    "10": ("prior",),
    "11": ("prior",),
    "12": ("indices", "hierarchy"),
    "13": ("hierarchy", "prior"),
    "14": PARTS,
    "A1": ("codebook", "indices"),
    "A2": ("codebook",),
}
SAID = {"indices": "map of indices", "hierarchy": "second map", "rate": "bits", "gradient": "way of the gradient"}
WIDTH, HEIGHT = 360, 53


class _Strip(Drawing):
    """A drawing whose parts are coloured where they are lit and pale where not."""

    def __init__(self, lit: Collection[str]):
        unknown = set(lit) - set(PARTS)
        if unknown:
            raise ValueError(f"lit must name parts of the strip, got {sorted(unknown)}")
        names = ", ".join(SAID.get(part, part) for part in PARTS if part in lit)
        about = "all of it" if set(lit) == set(PARTS) else names or "nothing"
        super().__init__(
            "The machine: " + about,
            "An image goes through the encoder, each vector to its nearest code in the codebook, and the map of"
            " indices through the decoder to an image; a prior can write the map instead."
            f" Lit here: {about}.",
            HEIGHT,
            WIDTH,
            size=12,
        )
        self.root.set("class", "diagram strip")
        self.lit = lit

    def part(self, name: str) -> AbstractContextManager:
        """Return the group of a part."""
        return self.group(f"part part-{name}" + " lit" * (name in self.lit))

    def look(self, name: str, role: str) -> tuple[str, str, float]:
        """Return the role of lines, the role of words and the width of lines."""
        return (role, "ink", 1.8) if name in self.lit else ("faint", "quiet", 1.2)

    def flow(self, start: float, end: float, name: str):
        """Draw an arrow of the main line."""
        line, _, width = self.look(name, "ink")
        self.arrow([(start + 3, 21), (end - 3, 21)], "quiet" if line == "faint" else line, width=width, head=6)

    def chip(self, x: float, y: float, w: float, h: float, label: str, part: str, role: str):
        """Draw a small box with its name."""
        line, words, width = self.look(part, role)
        if line != "faint":
            self.add("rect", f"f-{role} tint", x=x, y=y, width=w, height=h, rx=4)
        self.add("rect", f"s-{line}", x=x, y=y, width=w, height=h, rx=4, fill="none", stroke_width=width)
        self.text(x + w / 2, y + h / 2, label, words)

    def map(self, x: float, y: float, places: int, part: str, role: str):
        """Draw a map of indices."""
        line, _, _ = self.look(part, role)
        filled = f"{role} tint" if line != "faint" else None
        rows = [[role if filled and (i * i + 2 * j) % 3 == 0 else filled for j in range(places)] for i in range(places)]
        self.tiles(x, y, rows, 5, line=line)

    def picture(self, x: float, part: str, role: str):
        """Draw an image of a digit."""
        line, _, width = self.look(part, role)
        self.add("rect", f"s-{line}", x=x, y=11, width=20, height=20, rx=2, fill="none", stroke_width=width)
        stroke = {"fill": "none", "stroke_width": 2, "stroke_linecap": "round"}
        pen = "s-quiet" if line == "faint" else f"s-{line}"
        self.add("path", pen, d=f"M{x + 6} 16q5 -4 8 0q1 3 -5 5q7 1 5 4q-3 4 -8 1", **stroke)


def drawing(lit: Collection[str]) -> Drawing:
    """Return the strip as a drawing; see ``strip``."""
    d = _Strip(lit)
    with d.part("image"):
        d.picture(5, "image", "ink")
        d.flow(25, 45, "image")
    with d.part("encoder"):
        d.chip(45, 12, 54, 18, "encoder", "encoder", "ink")
    with d.part("gradient"):
        line, _, width = d.look("gradient", "gradient")
        d.arrow([(286, 12), (286, 4), (72, 4), (72, 12)], line, width=width, head=6)
    with d.part("losses"):
        d.chip(50, 38, 44, 14, "losses", "losses", "gradient")
        line, _, width = d.look("losses", "gradient")
        d.arrow([(72, 38), (72, 30)], line, width=width, head=5)
        d.arrow([(94, 45), (152, 45), (152, 30)], line, width=width, head=6)
    with d.part("lookup"):
        d.flow(99, 119, "lookup")
        d.flow(185, 205, "lookup")
    with d.part("codebook"):
        line, words, width = d.look("codebook", "code")
        if line != "faint":
            d.add("rect", "f-code tint", x=119, y=12, width=66, height=18)
        d.line([(119, 12), (119, 30), (185, 30), (185, 12)], line, width=width)
        d.text(152, 20.5, "codebook", words)
    with d.part("indices"):
        d.map(205, 11, 4, "indices", "code")
    with d.part("hierarchy"):
        d.map(230, 16, 2, "hierarchy", "top")
    with d.part("rate"):
        d.text(203, 45, "bits", d.look("rate", "ink")[1], "end", bold="rate" in lit)
    with d.part("prior"):
        d.chip(264, 38, 44, 14, "prior", "prior", "prior")
        line, _, width = d.look("prior", "prior")
        d.arrow([(264, 45), (215, 45), (215, 31)], line, width=width, head=6)
    with d.part("decoder"):
        d.flow(240, 259, "decoder")
        d.chip(259, 12, 54, 18, "decoder", "decoder", "ink")
    with d.part("output"):
        d.flow(313, 333, "output")
        d.picture(333, "output", "picture")
    return d


def strip(lit: Collection[str]) -> str:
    """Return the strip as an SVG to be put into a page, with the parts named in ``lit`` coloured.

    Each part is a group of the classes ``part``, ``part-NAME`` and, where it is lit, ``lit``. The colours come
    from ``book/_static/diagrams.css``. What the book reads is stored: ``book/_static/diagrams/strip_NN.svg``.

    Args:
        lit: Names from ``PARTS``; ``LIT`` has those of every page.

    Returns:
        An ``svg`` element without style and without ids.

    Raises:
        ValueError: ``lit`` holds another name.
    """
    return drawing(lit).inline()
