"""The one grammar of all diagrams: what a colour, a box, a tile, a tray, an arrow and a dashed line mean.

A rounded box is a network, a grid of tiles is a map or a picture, a tray is the codebook, an arrow is what flows, and a
dashed line is what training does not follow (stop-gradient). Colours are classes, never attributes, so that the book
can give each of them a second value for its dark theme.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from xml.etree import ElementTree

WIDTH = 460  # units; a phone shows them on about 358 pixels, which leaves 12 for letters of SIZE
SIZE = 16  # of all text
FONT = '-apple-system, BlinkMacSystemFont, "Segoe UI", "Helvetica Neue", Arial, sans-serif'  # the theme's
SHOWN = 1.1  # pixels a unit, where there is room
GROUND = "ground"  # the class of the sheet that a file carries and the book takes away

# What a colour stands for: (on white, on dark). The roles are Okabe and Ito's colours, safe for all eyes.
COLOURS = {
    "ink": ("#1f2328", "#e6e8eb"),
    "quiet": ("#59636e", "#a9b1ba"),
    "faint": ("#c3c9d0", "#4d5560"),
    "paper": ("#ffffff", "#121212"),
    "night": ("#1f2328", "#05070a"),  # the ground of a picture of a digit
    "light": ("#ffffff", "#ffffff"),  # and its strokes
    "code": ("#0072B2", "#4fa8e0"),  # codebook, its codes, EMA
    "gradient": ("#D55E00", "#ff8b42"),  # gradients and what they move
    "picture": ("#009E73", "#2cc79b"),  # reconstruction, sample
    "prior": ("#CC79A7", "#e39cc4"),
    "top": ("#E69F00", "#f2b53a"),  # the coarse level
    "bottom": ("#56B4E9", "#86cbf2"),  # the fine level
}
# Words need more contrast than lines and areas.
WORDS = {
    "ink": COLOURS["ink"],
    "quiet": COLOURS["quiet"],
    "light": COLOURS["light"],
    "code": ("#0069a5", "#62b4e8"),
    "gradient": ("#b04c00", "#ff9a5a"),
    "picture": ("#007354", "#2cc79b"),
    "prior": ("#9c4577", "#e8aacd"),
    "top": ("#855b00", "#f2b53a"),
    "bottom": ("#1d6fa0", "#86cbf2"),
}
TINT, HALF = 0.2, 0.55  # the opacity of an area that carries text, and of one that stands between it and a full one

# Widths of Helvetica's letters, in thousandths of the size; what is not listed is as wide as a digit.
NARROW = {**dict.fromkeys("ijl'|", 222), **dict.fromkeys("ft.,:;/ I![]·", 278), **dict.fromkeys("r()-", 333)}
WIDE = {**dict.fromkeys("ckszxyvJ", 500), **dict.fromkeys("FTZLβ", 611), **dict.fromkeys("ABEKPSVXY", 667)}
WIDE |= {**dict.fromkeys("CDHNRUw", 722), **dict.fromkeys("GOQ", 778), **dict.fromkeys("mM", 833), "W": 944}
WIDE |= {**dict.fromkeys("→←↑↓", 1000), **dict.fromkeys("=+×<>−≈", 584), **dict.fromkeys("‖", 400)}
WIDTHS = NARROW | WIDE
SUBSCRIPT = 0.75  # of the size: 12 units, a letter beside the one that is read


def number(value: float) -> str:
    """Return a coordinate as it is written: at most two decimals, no trailing zeros."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def parts(text: str) -> list[tuple[str, str]]:
    """Split ``*K*`` (a variable) and ``~e~`` (a subscript) from plain text: (text, kind) pairs."""
    pieces = re.split(r"(\*[^*]+\*|~[^~]+~)", text)
    kinds = {"*": "variable", "~": "subscript"}
    return [(p.strip("*~") if p[0] in kinds else p, kinds.get(p[0], "plain")) for p in pieces if p]


def width_of(text: str, size: float = SIZE, bold: bool = False) -> float:
    """Estimate how wide a text is drawn, a little on the safe side."""
    total = 0.0
    for piece, kind in parts(text):
        total += sum(WIDTHS.get(letter, 556) for letter in piece) * (SUBSCRIPT if kind == "subscript" else 1)
    return total / 1000 * size * (1.1 if bold else 1.04)


def style(root: str = "", dark: bool = False, text: bool = True) -> str:
    """Return the rules that give every class its look, below a selector ``root``."""
    at = 1 if dark else 0
    rules = []
    for name, pair in COLOURS.items():
        rules += [f".f-{name}{{fill:{pair[at]}}}", f".s-{name}{{stroke:{pair[at]}}}"]
    rules += [f".w-{name}{{fill:{pair[at]}}}" for name, pair in WORDS.items()]
    if text:
        rules += [
            f"text{{font-family:{FONT}}}",
            f".tint{{fill-opacity:{TINT}}}",
            f".half{{fill-opacity:{HALF}}}",
            ".bold{font-weight:600}",
            ".variable{font-style:italic}",
            f".subscript{{font-size:{SUBSCRIPT}em}}",
        ]
    return "\n".join(f"{root} {rule}".strip() for rule in rules)


def stylesheet() -> str:
    """Return the colours of diagrams that stand in a page of the book, for both of its themes."""
    return f"""/* Written by tools/diagrams. The colours of the diagrams that stand in the pages, light and dark. */

svg.diagram {{
  display: block;
  height: auto;
  margin-inline: auto;
  max-width: 100%;
}}

figure.diagram {{
  padding-inline: 0;
}}

svg.diagram.strip {{
  width: min(100%, 34rem);
}}

{style("svg.diagram")}

{style('html[data-theme="dark"] svg.diagram', dark=True, text=False)}
"""


class Drawing:
    """One SVG, filled by the words of the grammar; coordinates are units from the top left corner."""

    def __init__(self, title: str, description: str, height: float, width: float = WIDTH, size: float = SIZE):
        self.width, self.height, self.size = width, height, size
        self.root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {number(width)} {number(height)}",
                "width": number(width * SHOWN),
                "height": number(height * SHOWN),
                "role": "img",
                "class": "diagram",
                "font-size": number(size),
            },
        )
        self.inside = [self.root]
        ElementTree.SubElement(self.root, "title").text = title
        ElementTree.SubElement(self.root, "desc").text = description

    def inline(self) -> str:
        """Return what is put into a page, which brings the colours."""
        return ElementTree.tostring(self.root, encoding="unicode")

    def __str__(self) -> str:
        """Return a file of its own: with its colours, on a white sheet, so that it is legible on any ground."""
        whole = deepcopy(self.root)
        css, sheet = ElementTree.Element("style"), ElementTree.Element("rect")
        css.text = "\n" + style() + "\n"
        sheet.attrib.update(
            {"class": f"f-paper {GROUND}", "width": number(self.width), "height": number(self.height), "rx": "8"}
        )
        whole.insert(2, css)
        whole.insert(3, sheet)
        lines = ElementTree.tostring(whole, encoding="unicode").replace("><", ">\n<")
        # Inside a text a new line would be a space.
        return re.sub(r"\n(?=<tspan|</text)", "", lines) + "\n"

    def add(self, tag: str, classes: str = "", **attributes: float | str) -> ElementTree.Element:
        """Add an element; numbers are written short, ``_`` in a name stands for ``-``."""
        element = ElementTree.SubElement(self.inside[-1], tag)
        if classes:
            element.set("class", classes)
        for name, value in attributes.items():
            element.set(name.replace("_", "-"), value if isinstance(value, str) else number(value))
        return element

    @contextmanager
    def group(self, classes: str) -> Iterator[None]:
        """Put what is drawn inside the ``with`` into one group."""
        self.inside.append(self.add("g", classes))
        yield
        self.inside.pop()

    def text(self, x: float, y: float, text: str, role: str = "ink", anchor: str = "middle", bold: bool = False):
        """Write one line whose letters stand around the height ``y``; ``*K*`` is a variable, ``~e~`` a subscript."""
        element = self.add("text", f"w-{role}" + " bold" * bold, x=x, y=y + 0.35 * self.size, text_anchor=anchor)
        pieces = parts(text)
        if pieces == [(text, "plain")]:
            element.text = text
            return
        lowered = False
        for piece, kind in pieces:
            span = ElementTree.SubElement(element, "tspan")
            span.text = piece
            if kind != "plain":
                span.set("class", kind)
            if lowered != (kind == "subscript"):
                lowered = not lowered
                span.set("dy", "4" if lowered else "-4")

    def lines(self, x: float, y: float, rows: Sequence[str], role: str = "ink", anchor: str = "middle", **options):
        """Write several lines, centred on the height ``y``."""
        for i, row in enumerate(rows):
            self.text(x, y + (i - (len(rows) - 1) / 2) * 1.2 * self.size, row, role, anchor, **options)

    def box(self, x: float, y: float, w: float, h: float, label: str = "", role: str = "ink", words: str = "ink"):
        """Draw a network: a rounded box with its name; several lines are separated by ``|``."""
        self.add("rect", f"f-{'quiet' if role == 'ink' else role} tint", x=x, y=y, width=w, height=h, rx=8)
        self.frame(x, y, w, h, role)
        if label:
            self.lines(x + w / 2, y + h / 2, label.split("|"), words)

    def frame(self, x: float, y: float, w: float, h: float, role: str = "ink"):
        """Draw a rounded frame around what belongs together."""
        self.add("rect", f"s-{role}", x=x, y=y, width=w, height=h, rx=8, fill="none", stroke_width=1.5)

    def tiles(
        self,
        x: float,
        y: float,
        rows: Sequence[Sequence[str | None]],
        size: float,
        labels: Sequence[Sequence[str]] | None = None,
        line: str = "faint",
    ):
        """Draw a map: a tile for each place, in the colour of its role (``role``, ``role tint`` or None)."""
        for i, row in enumerate(rows):
            for j, role in enumerate(row):
                place = {"x": x + j * size, "y": y + i * size, "width": size, "height": size}
                if role:
                    self.add("rect", f"f-{role}", **place)
        columns = len(rows[0])
        grid = "".join(f"M{number(x + j * size)} {number(y)}v{number(size * len(rows))}" for j in range(columns + 1))
        grid += "".join(f"M{number(x)} {number(y + i * size)}h{number(size * columns)}" for i in range(len(rows) + 1))
        self.add("path", f"s-{line}", d=grid, fill="none", stroke_width=1)
        for i, row in enumerate(labels or ()):
            for j, label in enumerate(row):
                if label:
                    self.text(x + (j + 0.5) * size, y + (i + 0.5) * size, label)

    def tray(self, x: float, y: float, w: float, h: float, role: str = "code"):
        """Draw the tray that holds the codes: open at the top."""
        self.add("rect", f"f-{role} tint", x=x, y=y, width=w, height=h)
        edge = f"M{number(x)} {number(y)}v{number(h)}h{number(w)}v{number(-h)}"
        self.add("path", f"s-{role}", d=edge, fill="none", stroke_width=2.5, stroke_linejoin="round")

    def line(self, points: Sequence[tuple[float, float]], role: str = "ink", dashed: bool = False, width: float = 1.5):
        """Draw a line through points; dashed is what no gradient follows."""
        d = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
        dashes = {"stroke_dasharray": "5 4"} if dashed else {}
        self.add("path", f"s-{role}", d=d, fill="none", stroke_width=width, stroke_linejoin="round", **dashes)

    def arrow(
        self,
        points: Sequence[tuple[float, float]],
        role: str = "ink",
        dashed: bool = False,
        width: float = 1.5,
        head: float = 8,
    ):
        """Draw the one form of arrow, along straight pieces, its tip in the last point."""
        (ax, ay), (bx, by) = points[-2:]
        length = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5
        ux, uy = (bx - ax) / length, (by - ay) / length
        neck = (bx - 0.8 * head * ux, by - 0.8 * head * uy)
        self.line([*points[:-1], neck], role, dashed, width)
        back = (bx - head * ux, by - head * uy)
        wings = [(back[0] - side * 0.5 * head * uy, back[1] + side * 0.5 * head * ux) for side in (1, -1)]
        d = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in ((bx, by), *wings)) + "z"
        self.add("path", f"f-{role}", d=d)
