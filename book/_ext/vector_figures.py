"""Plots as part of the page: an SVG that stands in the page itself takes the colour of the text around it."""

import re
from base64 import b64decode
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
                html = inline(drawing.read_text(encoding="utf-8"), image.get("alt", ""))
                image.replace_self(nodes.raw("", f'<div class="drawing">{html}</div>', format="html"))
        for raw in self.document.findall(nodes.raw):
            if 'class="explore"' in raw.rawsource or 'class="explore"' in raw.astext():
                html = DRAWING_IN_HTML.sub(lambda found: inline(b64decode(found[2]).decode(), found[1]), raw.astext())
                raw.replace_self(nodes.raw("", html, format="html", classes=raw["classes"]))


def inline(drawing: str, alt: str) -> str:
    """Return an SVG with its description, in the colour of the text."""
    alt = alt.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;") if "&" not in alt else alt
    opening, rest = drawing.split(">", 1)
    opening = re.sub(r' color="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{alt}">{rest}'


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.add_post_transform(InlineDrawings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
