"""The diagrams of the course, as SVG that a script writes: one grammar (``grammar``), one file per diagram.

``python -m tools.diagrams`` writes them all to ``book/_static/diagrams`` and their colours to
``book/_static/diagrams.css``. ``strip`` draws the small machine at the top of every page.
"""

from pathlib import Path

from tools.diagrams import strip
from tools.diagrams.grammar import stylesheet

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
DRAWN = {}  # name of the file: the function that draws it


def files() -> dict[str, str]:
    """Return what is stored: path below ``book/_static`` and text."""
    drawings = {name: draw() for name, draw in DRAWN.items()}
    drawings |= {f"strip_{page}": strip.drawing(lit) for page, lit in strip.LIT.items()}
    return {"diagrams.css": stylesheet()} | {f"diagrams/{name}.svg": str(each) for name, each in drawings.items()}
