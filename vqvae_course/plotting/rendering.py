"""How a figure is shown: plots as SVG in the colours of the page, pictures as PNG for screens of twice the pixels."""

import hashlib
import io
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby, pairwise

import matplotlib.pyplot as plt
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure

from vqvae_course.plotting.ticks import plain_ticks

PIXELS_AN_INCH = 100  # of the page
SHARP = 2 * PIXELS_AN_INCH
PLAIN = 72  # dots an inch of what is only seen where neither SVG nor HTML is
INK = "#797979"  # outside the book a plot does not learn what it stands on: as readable on white as on near black
MANY_POINTS = 4000  # more are drawn as pixels inside the SVG
MOST_LETTERS = 200_000  # of an SVG; a bigger one is stored as pixels


class CourseFigure(Figure):
    """A figure that shows itself as SVG where it is a plot, and as PNG at twice its size where it holds an image."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        """Return what IPython shows and stores; without it, IPython would draw the figure itself."""
        if holds_image(self) or len(drawing := svg(self)) > MOST_LETTERS:
            return {"image/png": encoded(png(self, SHARP))}, {"image/png": {"width": css_width(self)}}
        # Where an SVG is not trusted or not understood the other one is shown.
        return {"image/svg+xml": drawing, "image/png": encoded(png(self, PLAIN))}, {}


def holds_image(figure: Figure) -> bool:
    """Whether a figure shows pixels rather than lines."""
    return any(axis.images or any(isinstance(each, QuadMesh) for each in axis.collections) for axis in figure.axes)


def css_width(figure: Figure) -> int:
    """Return how wide a figure is on a page, in the page's pixels."""
    return round(figure.get_figwidth() * PIXELS_AN_INCH)


def encoded(content: bytes) -> str:
    """Return bytes as text, as notebooks hold them."""
    return b64encode(content).decode()


def png(figure: Figure, dpi: int) -> bytes:
    """Return a figure as pixels on white."""
    content = io.BytesIO()
    with _ready(figure):
        figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    return content.getvalue()


def svg(figure: Figure) -> str:
    """Return a figure as SVG: no ground, black in the colour of the text around it, the same letters on every machine.

    Equal figures give equal text, and the names inside belong to no other figure of a page.
    """
    content = io.StringIO()
    with _ready(figure), plt.rc_context({"svg.fonttype": "path", "svg.hashsalt": "course"}):
        dots = [each for axis in figure.axes for each in axis.collections if isinstance(each, PathCollection)]
        lines = [line for axis in figure.axes for line in axis.lines if line.get_marker() not in ("", "None", None)]
        crowded = [each for each in dots if len(each.get_offsets()) > MANY_POINTS]
        crowded += [each for each in lines if len(each.get_xdata()) > MANY_POINTS]
        for each in crowded:
            each.set_rasterized(True)
        figure.savefig(content, format="svg", dpi=SHARP, transparent=True, metadata={"Date": None})
        places = cuts(figure)
    return _inline(content.getvalue(), css_width(figure), places)


def cuts(figure: Figure) -> list[float]:
    """Return where panels that stand side by side may be parted, so that a phone can show them below each other.

    Args:
        figure: As it was drawn last.

    Returns:
        Shares of the width between 0 and 1; none where there are rows, or something that all panels share.
    """
    boxes = sorted((axis.get_tightbbox() for axis in figure.axes), key=lambda box: box.x0)
    in_a_row = all(one.y0 < other.y1 and other.y0 < one.y1 for one in boxes for other in boxes)
    shared = [each for each in (*figure.legends, *figure.texts, figure._suptitle) if each is not None]
    if not in_a_row or shared or any(one.x1 > other.x0 for one, other in pairwise(boxes)):
        return []
    return [(one.x1 + other.x0) / 2 / figure.bbox.width for one, other in pairwise(boxes)]


@contextmanager
def _ready(figure: Figure) -> Iterator[None]:
    """Mend, while a figure is drawn, what notebooks leave to the style of matplotlib."""
    for axis in figure.axes:
        plain_ticks(axis)
    for legend in [*figure.legends, *(axis.get_legend() for axis in figure.axes)]:
        if legend is not None:
            legend.set_frame_on(False)  # it would be a white slab on a dark page
    yield


def _inline(drawing: str, width: int, places: list[float]) -> str:
    """Make of a file in SVG an element that may stand in a page, in fewer letters."""
    view = re.search(r'viewBox="([^"]*)"', drawing).group(1)
    body = drawing[drawing.index(">", drawing.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|xlink:(?=href)", "", body, flags=re.S)
    body = re.sub(r"(fill|stroke): #000000", r"\1: currentColor", body)
    body = re.sub(r'<g id="[^"]*">', "<g>", body)  # nothing refers to them, and every figure has an "axes_1"
    body = re.sub(r'\b(?:d|x|y|points)="[^"]*"', lambda places: _shorter(places.group()), body)
    body = re.sub(r">\s+<", "><", body)
    body = re.sub(r'(?:<g clip-path="[^"]*"><use [^>]*/></g>){2,}', _under_one_clip, body)
    circles = dict(re.findall(r'<path id="([^"]*)" d="M0 ([\d.]+)(?:C[^C"]*){8}"', body))
    body = re.sub(r'(?:<use href="#[^"]*" x="[^"]*" y="[^"]*" style="[^"]*"/>){2,}', partial(_dots, circles), body)
    body = re.sub(r'(?<=style=")[^"]*', lambda look: re.sub(r"(?<=[:;]) ", "", look.group()), body)
    mark = hashlib.sha256(body.encode()).hexdigest()[:6]
    names = {name: f"{mark}-{number}" for number, name in enumerate(re.findall(r'\bid="([^"]*)"', body))}
    body = re.sub(r'(?<=\bid=")[^"]*|(?<=href="#)[^"]*|(?<=url\(#)[^)]*', lambda name: names[name.group()], body)
    marks = f' data-cuts="{" ".join(f"{each:.3f}" for each in places)}"' if places else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" viewBox="{view}"{marks} '
        f'fill="currentColor" color="{INK}" stroke-linejoin="round">{body}'
    )


def _shorter(places: str) -> str:
    """Write the same path in hundredths of a point and without the space around letters."""
    places = re.sub(r"(\.\d\d)\d+", r"\1", places)
    return re.sub(r"\s*([A-Za-z])\s*(?=[-\d\"])", r"\1", re.sub(r"\s+", " ", places))


def _under_one_clip(found: re.Match) -> str:
    """Write once what a row of markers is cut by."""
    each = re.findall(r'<g clip-path="([^"]*)">(<use [^>]*/>)</g>', found.group())
    return "".join(
        f'<g clip-path="{clip}">{"".join(marker for _, marker in row)}</g>'
        for clip, row in groupby(each, lambda m: m[0])
    )


def _dots(circles: dict[str, str], found: re.Match) -> str:
    """Write once what equal markers look like; round ones become the round ends of lines that have no length."""
    each = re.findall(r'href="#([^"]*)" x="([^"]*)" y="([^"]*)" style="([^"]*)"', found.group())
    rows = []
    for (name, look), row in groupby(each, lambda marker: (marker[0], marker[3])):
        if name in circles and "fill: none" not in look and not re.search("stroke(?!-opacity)", look):
            places = "".join(f"M{x} {y}h0" for _, x, y, _ in row)
            line = look.replace("fill", "stroke") if "fill:" in look else f"stroke: currentColor; {look}"
            wide = 2 * float(circles[name])
            rows.append(f'<path d="{places}" stroke-linecap="round" stroke-width="{wide:.2f}" style="{line}"/>')
        else:
            places = "".join(f'<use href="#{name}" x="{x}" y="{y}"/>' for _, x, y, _ in row)
            rows.append(f'<g style="{look}">{places}</g>')
    return "".join(rows)
