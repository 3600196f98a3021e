"""Outputs that are stored: tidied before they are written, and the rules they must keep."""

import io
import re
import struct
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from PIL import Image

MAX_BYTES = 1_000_000  # a notebook
MAX_FIGURE = 300_000, 2_000  # bytes, pixels wide
MAX_DRAWING = 250_000  # bytes of an SVG
UNSEEN = 1.5  # mean error, in levels of 255, that a palette may cost a figure
PNG_IN_HTML = r"data:image/png;base64,([\w+/=]+)"
SVG = "image/svg+xml"
WIDGET = "application/vnd.jupyter.widget-view+json"
ROOT = Path(__file__).resolve().parents[1]
PLACES = [re.escape(str(place)) for place in (ROOT, Path.home(), tempfile.gettempdir()) if len(str(place)) > 1]
# Of any machine, and of this one; what stands in the middle of an address is none.
MACHINE_PATH = re.compile(
    rf"(?<![\w.:/])(?:/(?:home|Users|root|tmp|var/folders|content)/\w|[A-Z]:\\+Users|(?:{'|'.join(PLACES)})\b)"
)


def tidy(nb: NotebookNode) -> None:
    """Leave in a notebook what a reader sees, and nothing that differs from run to run or machine to machine."""
    nb.metadata.pop("widgets", None)
    nb.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    # myst-nb colours the cells with this lexer, the only one that knows %pip.
    nb.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}
    for index, cell in enumerate(nb.cells):
        for volatile in ("execution", "collapsed", "scrolled", "ExecuteTime"):
            cell.metadata.pop(volatile, None)
        if cell.cell_type == "code":
            CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, index)  # a carriage return overwrites
            cell.outputs = [output for output in cell.outputs if output.get("text") is None or output.text.strip()]
            for output in cell.outputs:
                data = output.get("data", {})
                if "image/png" in data:
                    data["image/png"] = b64encode(compact(b64decode(data["image/png"]))).decode()
                if "text/html" in data:
                    data["text/html"] = re.sub(PNG_IN_HTML, as_webp, data["text/html"])


def as_webp(found: re.Match) -> str:
    """Return the same frame of a slider in half the bytes; HTML is for browsers, and they all know this format."""
    smaller = io.BytesIO()
    Image.open(io.BytesIO(b64decode(found[1]))).convert("RGB").save(smaller, "WEBP", lossless=True, method=6)
    return f"data:image/webp;base64,{b64encode(smaller.getvalue()).decode()}"


def compact(png: bytes) -> bytes:
    """Return the same figure in fewer bytes: with a palette of 256 colours where nobody can see the difference."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    palette = picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    error = np.abs(np.asarray(picture, dtype=float) - np.asarray(palette.convert("RGB"), dtype=float)).mean()
    smaller = io.BytesIO()
    (palette if error < UNSEEN else picture).save(smaller, "PNG", optimize=True)
    return min(png, smaller.getvalue(), key=len)


def faults(nb: NotebookNode) -> list[str]:
    """Say, a line each, what of a notebook's outputs must not be stored."""
    found = ["its metadata holds the state of widgets"] if "widgets" in nb.metadata else []
    size = len(nbformat.writes(nb).encode())
    if size > MAX_BYTES:
        found.append(f"it has {size:,} bytes, at most {MAX_BYTES:,} are allowed")
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "code":
            here = f"cell {index}, under {heading(nb, index)!r}"
            found += [f"{here}: {fault}" for output in cell.outputs for fault in _faults(output, cell)]
    return found


def _faults(output: NotebookNode, cell: NotebookNode) -> Iterator[str]:
    data = output.get("data", {})
    text = "\n".join([output.get("text", ""), *(str(data[kind]) for kind in data if kind.startswith("text/"))])
    expected = "raises-exception" in cell.metadata.get("tags", [])
    if not expected and (output.output_type == "error" or "Traceback (most recent call last)" in text):
        yield f"it raised {output.get('ename', 'an exception')}: {output.get('evalue', text[-200:])}"
    if output.get("name") == "stderr":
        yield f"it wrote to stderr: {text.strip()[:200]}"
    if path := MACHINE_PATH.search(text):
        yield f"it shows a path of this machine: {text[path.start() : path.start() + 80].splitlines()[0]}"
    for kind in data:
        if kind == WIDGET:
            yield "it shows a widget, which is nothing without a kernel"
        if kind.startswith("image/") and kind not in ("image/png", SVG):
            yield f"its figure is {kind}, not image/png"
    if SVG in data:
        if "image/png" not in data:
            yield "its SVG has no image/png beside it, for readers that show none"
        if len(data[SVG]) > MAX_DRAWING:
            yield f"its SVG has {len(data[SVG]):,} bytes, more than {MAX_DRAWING:,}"
    if "image/png" in data:
        png = b64decode(data["image/png"])
        (width,) = struct.unpack(">I", png[16:20])
        if len(png) > MAX_FIGURE[0] or width > MAX_FIGURE[1]:
            yield f"its figure has {len(png):,} bytes and {width} pixels across, more than {MAX_FIGURE}"


def heading(nb: NotebookNode, index: int) -> str:
    """Return the last heading above a cell."""
    titles = [
        line.lstrip("# ")
        for cell in nb.cells[:index]
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if re.match("#+ ", line)
    ]
    return titles[-1] if titles else "the top"
