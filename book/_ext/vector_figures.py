"""Plots as part of the page: an SVG that stands in the page itself takes the colour of the text around it."""

import re
from base64 import b64decode
from hashlib import sha256
from html import escape
from itertools import pairwise
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

DRAWING_IN_HTML = re.compile(r'<img alt="([^"]*)"[^>]*src="data:image/svg\+xml;base64,([^"]+)">')


class InlineDrawings(SphinxPostTransform):
    """Put the drawings that notebooks hold into the page, after myst-nb has chosen which output to show."""

    default_priority = 5
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Replace the pictures of a page."""
        for image in list(self.document.findall(nodes.image)):
            drawing = Path(self.env.srcdir, image["uri"])
            if "jupyter_execute" in drawing.parts and drawing.suffix == ".svg":
                html = inline(drawing.read_text(encoding="utf-8"), escape(image.get("alt", "")))
                image.replace_self(nodes.raw("", f'<div class="drawing">{html}</div>', format="html"))
        for raw in list(self.document.findall(nodes.raw)):
            if 'class="explore"' in raw.astext():
                html = DRAWING_IN_HTML.sub(lambda found: inline(b64decode(found[2]).decode(), found[1]), raw.astext())
                raw.replace_self(nodes.raw("", html, format="html", classes=raw["classes"]))


def inline(drawing: str, alt: str) -> str:
    """Return an SVG with its description, in the colour of the text; on a phone its panels stand below each other.

    Args:
        drawing: The SVG, as ``plotting`` writes it.
        alt: Its description, escaped.
    """
    opening, rest = drawing.split(">", 1)
    opening = re.sub(r' color="[^"]*"', "", opening) + f' role="img" aria-label="{alt}"'
    cuts = re.search(r' data-cuts="([^"]*)"', opening)
    if not cuts:
        return f"{opening}>{rest}"
    name = "panels-" + sha256(drawing.encode()).hexdigest()[:8]
    body = rest.removesuffix("</svg>")
    edges = [0.0, *map(float, cuts[1].split()), 1.0]
    strips = "".join(strip(opening, name, left, right) for left, right in pairwise(edges))
    return f'{opening} class="side-by-side"><g id="{name}">{body}</g></svg><div class="stacked">{strips}</div>'


def strip(opening: str, name: str, left: float, right: float) -> str:
    """Return a part of a drawing, between two shares of its width, as a drawing of its own."""
    across, up = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', opening).groups())
    width = float(re.search(r' width="([\d.]+)"', opening)[1])
    view = f"{left * across:.1f} 0 {(right - left) * across:.1f} {up:.1f}"
    return (
        f'<svg aria-hidden="true" width="{(right - left) * width:.0f}" viewBox="{view}" fill="currentColor" '
        f'stroke-linejoin="round"><use href="#{name}"/></svg>'
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.add_post_transform(InlineDrawings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
