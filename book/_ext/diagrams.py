"""Diagrams stand in the pages themselves, not as images, so that they follow the theme of the book.

A notebook shows a diagram as a plain image, which JupyterLab can draw: ``![what it shows](../book/_static/diagrams/
NN_name.svg)``. A paragraph in italics right below it is its caption. In the book both become a figure, and the file
is put into the page without its own colours and its white sheet; ``_static/diagrams.css`` has the colours.
"""

import re
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

FOLDER = "_static/diagrams/"
OWN = r"<(style|title|desc)>.*?</\1>\s*|<rect class=\"[^\"]*\bground\"[^>]*/>\s*"  # what only a file of its own needs


def embed(svg: str, said: str) -> str:
    """Turn the text of a diagram's file into what stands in a page.

    Args:
        svg: The file.
        said: What is read aloud in place of the picture.

    Returns:
        The ``svg`` element, coloured by the page.
    """
    bare = re.sub(r">\s+<", "><", re.sub(OWN, "", svg, flags=re.DOTALL)).strip()
    return bare.replace("<svg ", f'<svg aria-label="{escape(said)}" ', 1)


class Diagrams(SphinxTransform):
    """Make a figure of each diagram and of the paragraph in italics below it."""

    default_priority = 205  # early: images are collected and figures are numbered after all transforms

    def apply(self, **options: object) -> None:
        """Replace the images of this page that are diagrams."""
        for image in list(self.document.findall(nodes.image)):
            if FOLDER in image["uri"]:
                self._replace(image)

    def _replace(self, image: nodes.image) -> None:
        path = Path(self.env.srcdir, self.env.relfn2path(image["uri"])[0])
        self.env.note_dependency(str(path))
        drawn = nodes.raw("", embed(path.read_text(encoding="utf-8"), image.get("alt", "")), format="html")
        if isinstance(image.parent, nodes.figure):
            image.parent["classes"].append("diagram")
            image.replace_self(drawn)
            return
        paragraph = image.parent
        figure = nodes.figure("", drawn, classes=["diagram"], ids=[f"diagram-{path.stem}".replace("_", "-")])
        below = paragraph.next_node(descend=False, siblings=True)
        if isinstance(below, nodes.paragraph) and len(below) == 1 and isinstance(below[0], nodes.emphasis):
            figure += nodes.caption("", "", *below[0].children)
            below.parent.remove(below)
        paragraph.replace_self(figure)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.add_transform(Diagrams)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
