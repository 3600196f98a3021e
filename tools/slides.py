"""Turn notebooks into slides that need no network: ``python -m tools.slides _build/slides [NOTEBOOK ...]``.

nbconvert makes the decks, by its exporter for reveal.js. What it is given is a copy of the notebook that is cut
into slides: nbconvert itself would put a whole page on one.
"""

import base64
import math
import re
import shutil
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbconvert import SlidesExporter
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from traitlets.config import Config

ROOT = Path(__file__).parents[1]
REVEAL = "sphinx-revealjs"  # the package of PyPI that carries reveal.js
MATHJAX = "tex-svg-full.js"  # the file that the book uses

WIDTH, HEIGHT = 1280, 720  # of a slide, in CSS pixels
ROOM = 590  # of these for what is below the running title
COLUMNS = 96  # characters in a line of prose
FIGURE = 470  # the height that a figure is scaled to, if it is higher
LINES, ROWS = 16, 12  # of an output that are shown

TEMPLATE = """\
{%- extends 'reveal/index.html.j2' -%}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}
<script>
  window.MathJax = {
    tex: {inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]], processEscapes: true},
    options: {enableMenu: false}
  };
</script>
<script src="@MATHJAX@"></script>
{% endblock %}
{% block html_head_css %}<style>@STYLE@</style>{% endblock %}
{% block footer_js %}
<script src="reveal.js/dist/reveal.js"></script>
<script src="reveal.js/plugin/notes/notes.js"></script>
<script>
  // Formulas are measured when they are set, and nothing can be measured on a slide that is not shown.
  MathJax.startup.promise.then(() => Reveal.initialize({
    width: @WIDTH@, height: @HEIGHT@, margin: 0.02, center: false, hash: true, transition: "none",
    slideNumber: "c/t", plugins: [RevealNotes]
  }));
</script>
{% endblock %}
"""
STYLE = """
.reveal { font-size: 26px; }
.reveal .slides { text-align: left; }
.reveal .slides section { box-sizing: border-box; padding: 24px 56px 0; width: 100%; }
.reveal .slides section section { height: auto; }
.reveal .slides > section { padding: 0; }
.reveal .jp-Cell, .reveal .jp-Cell-inputWrapper { margin: 0; padding: 0; }
.reveal .jp-InputPrompt, .reveal .jp-OutputPrompt, .reveal .jp-Collapser { display: none; }
.reveal .jp-RenderedHTMLCommon { font-family: inherit; font-size: 26px; line-height: 1.4; padding: 0; }
.reveal .jp-RenderedHTMLCommon p, .reveal .jp-RenderedHTMLCommon ul, .reveal .jp-RenderedHTMLCommon ol {
  margin: 0 0 12px;
}
.reveal .jp-RenderedHTMLCommon li { margin: 0 0 5px; }
.reveal h1, .reveal h2, .reveal h3, .reveal h4 {
  color: #14202b; font-weight: 600; letter-spacing: 0; line-height: 1.15; margin: 0 0 14px;
  text-transform: none !important;
}
.reveal .jp-RenderedHTMLCommon :is(h1, h2, h3) { padding-bottom: 8px; }
.reveal .jp-RenderedHTMLCommon h1 { font-size: 44px; }
.reveal .jp-RenderedHTMLCommon h2 { font-size: 36px; }
.reveal .jp-RenderedHTMLCommon h3 { font-size: 29px; }
.reveal p.running { color: #5a6672; font-size: 17px; }
.reveal .jp-InputArea-editor { background: #f5f7f9; border: 0; border-left: 4px solid #c3ccd4; margin: 2px 0 10px; }
.reveal .celltag_exercise .jp-InputArea-editor { border-left-color: #e69f00; }
.reveal pre, .reveal .jp-RenderedText pre, .reveal .highlight pre {
  box-shadow: none; font-size: 18px !important; line-height: 1.3 !important; margin: 0; max-height: none; width: 100%;
  white-space: pre-wrap; overflow-wrap: anywhere;
}
.reveal .highlight { margin: 0; padding: 8px 12px; background: transparent; }
.reveal .jp-RenderedMarkdown .highlight { background: #f5f7f9; margin-bottom: 12px; }
.reveal .jp-RenderedHTMLCommon code { font-size: 0.84em; }
.reveal .jp-OutputArea-output { margin: 0 0 8px; }
.reveal .jp-RenderedText { padding: 4px 16px; }
.reveal .jp-RenderedText pre { font-size: 17px !important; }
.reveal .jp-RenderedHTMLCommon table { font-size: 19px; margin: 4px 0 12px; }
.reveal .jp-RenderedHTMLCommon :is(td, th) { padding: 3px 12px; text-align: left; white-space: normal; }
.reveal figure { margin: 0; text-align: center; }
.reveal .jp-RenderedMarkdown img, .reveal figure img {
  background: white; margin: 0 auto; max-height: @FIGURE@px; max-width: 100%;
}
.reveal figcaption, .reveal figcaption p {
  color: #3c4650; font-size: 18px; line-height: 1.35; margin: 4px 0 0; text-align: center;
}
.reveal mjx-container[display="true"] { margin: 6px 0 12px !important; }
.reveal .slide-number { background: none; color: #5a6672; font-size: 15px; left: 56px; right: auto; }
"""


@dataclass
class Piece:
    """What belongs together on a slide.

    Attributes:
        cells: Cells of the copy.
        height: Estimated, in CSS pixels.
        heading: Its level, or 0 if the piece is none.
        text: The heading's words.
        apart: Whether an idea begins here, so that it should not be crowded onto a slide that has begun.
    """

    cells: list[NotebookNode]
    height: float
    heading: int = 0
    text: str = ""
    apart: bool = False


@dataclass
class Slide:
    """A slide in the making."""

    kind: str
    pieces: list[Piece] = field(default_factory=list)

    @property
    def height(self) -> float:
        """Return the estimated height."""
        return sum(piece.height for piece in self.pieces)

    @property
    def only_headings(self) -> bool:
        """Return whether there is nothing below the headings yet."""
        return all(piece.heading for piece in self.pieces)


def cut(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of a notebook that is cut into slides.

    A heading begins a slide. What does not fit below it, and each paragraph that begins with bold words, goes on in
    a slide underneath, with the heading repeated in small letters. Code tagged ``hide-input`` shows its outputs
    alone; checks and solutions are left out.
    """
    slides: list[Slide] = []
    title = ""
    for piece in pieces_of(notebook):
        if piece.heading:
            if not slides or not slides[-1].only_headings:
                slides.append(Slide("slide"))
            title = piece.text
        elif not slides:
            slides.append(Slide("slide"))
        else:
            full = slides[-1].height + piece.height > ROOM
            if (full or piece.apart) and not slides[-1].only_headings:
                running = f'<p class="running">{escape(title)}</p>'
                slides.append(Slide("subslide", [Piece([new_markdown_cell(running)], 0, heading=9)]))
        slides[-1].pieces.append(piece)
    cells = []
    for slide in slides:
        mine = [cell for piece in slide.pieces for cell in piece.cells]
        for place, cell in enumerate(mine):
            cell.metadata["slideshow"] = {"slide_type": "-" if place else slide.kind}
        cells += mine
    return new_notebook(cells=cells, metadata=notebook.metadata)


def pieces_of(notebook: NotebookNode) -> Iterator[Piece]:
    """Yield what is to be shown of a notebook, in order."""
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        if cell.cell_type == "markdown":
            yield from prose(cell.source)
        elif cell.cell_type == "code" and not tags & {"check", "solution"}:
            if not tags & {"hide-input", "hide-cell"} and cell.source.strip():
                lines = cell.source.count("\n") + 1
                yield Piece([new_code_cell(cell.source, metadata={"tags": sorted(tags)})], 23.4 * lines + 36)
            for output in cell.get("outputs", []):
                yield from shown(output, cell.metadata.get("mystnb", {}))


def prose(source: str) -> Iterator[Piece]:
    """Yield the headings, paragraphs, formulas, tables and items of a markdown cell."""
    for block in [part for whole in blocks(source) for part in rows_that_fit(whole)]:
        heading = re.match(r"(#+) +(.*)", block)
        cell = new_markdown_cell(relinked(block))
        if heading:
            level = len(heading[1])
            yield Piece([cell], {1: 76, 2: 66}.get(level, 58), heading=level, text=plain(heading[2]))
        else:
            yield Piece([cell], height_of(block), apart=bool(re.match(r"\*\*[^*]+(?<!:)\*\*", block)))


def blocks(source: str) -> list[str]:
    """Split markdown at empty lines, headings and the items of lists; fences and formulas stay whole."""
    found: list[list[str]] = [[]]
    fence = ""
    for line in source.strip().splitlines():
        mark = next((each for each in ("```", "$$") if line.strip().startswith(each)), "")
        if fence:
            found[-1].append(line)
            if line.strip().endswith(fence):
                fence = ""
        elif mark and not (mark == "$$" and line.strip() != "$$" and line.strip().endswith("$$")):
            if mark == "```":
                found.append([])
            found[-1].append(line)
            fence = mark
        elif not line.strip():
            found.append([])
        elif re.match(r"#+ |[-*] |\d+\. ", line):
            found.append([line])
            if line.startswith("#"):
                found.append([])
        else:
            found[-1].append(line)
    return attached(["\n".join(lines) for lines in found if lines])


def rows_that_fit(block: str) -> list[str]:
    """Split a table that is too long for a slide, and repeat its head."""
    if not block.startswith("|") or height_of(block) <= ROOM - 40:
        return [block]
    head, line, *rows = block.splitlines()
    tables = [[head, line]]
    for row in rows:
        if height_of("\n".join([*tables[-1], row])) > ROOM - 40:
            tables.append([head, line])
        tables[-1].append(row)
    return ["\n".join(table) for table in tables]


def attached(parts: list[str]) -> list[str]:
    """Join a formula, and a list's continuation, to the sentence before it, and items that are short."""
    joined: list[str] = []
    for part in parts:
        item = re.match(r"[-*] |\d+\. ", part)
        before = joined[-1] if joined else ""
        if not before or before.startswith("#") or before.startswith("```"):
            joined.append(part)
        elif (part.startswith(("$$", "  ")) or goes_on(before, part)) and fits(before, part):
            joined[-1] += "\n\n" + part
        elif item and not part.startswith("**") and fits(before, part):
            follows = re.match(r"[-*] |\d+\. ", before.rsplit("\n\n", 1)[-1])
            joined[-1] += ("\n" if follows else "\n\n") + part
        else:
            joined.append(part)
    return joined


def goes_on(before: str, part: str) -> bool:
    """Return whether a sentence goes on after a formula."""
    return before.endswith("$$") and part[:1].islower()


def fits(before: str, part: str) -> bool:
    """Return whether two blocks may share a slide."""
    return height_of(before) + height_of(part) < ROOM - 60


def plain(text: str) -> str:
    """Return about what is left of markdown when it is set."""
    text = re.sub(r"\]\([^)]*\)", "", text)
    text = re.sub(r"\\(?:math\w+|text|operatorname|mathrm|big\w*|left|right)", "", text)
    text = re.sub(r"\\[a-zA-Z]+", "x", text)
    return re.sub(r"[\\{}$*`\[\]]|\\[,;!]", "", text)


def height_of(block: str) -> float:
    """Estimate the height of blocks of markdown, in CSS pixels."""
    total = 0.0
    for part in re.split(r"\n\s*\n", block):
        if part.lstrip().startswith("```"):
            total += 23.4 * part.count("\n") + 20
        elif part.lstrip().startswith("|"):
            total += sum(row_height(line) for line in part.splitlines() if not re.fullmatch(r"[|:\- ]+", line)) + 16
        else:
            words, *formulas = re.split(r"(\$\$.*?\$\$)", part, flags=re.S)
            for formula in [each for each in formulas if each.startswith("$$")]:
                rows = formula.count(r"\\") + formula.count(r"\cr") + 1
                deep = sum(bool(re.search(r"\\(frac|sum|prod|int|underbrace)", row)) for row in formula.split(r"\\"))
                total += 44 * rows + 24 * deep + 22
            words = " ".join([words, *[each for each in formulas if not each.startswith("$$")]])
            for item in re.split(r"\n(?=\s*[-*] |\s*\d+\. )", words):
                if item.strip():
                    read, pictures = re.subn(r"!\[[^\]]*\]\([^)]*\)", "", item)  # nobody sees the alternative text
                    total += 37 * math.ceil(len(plain(read)) / COLUMNS) + 6
                    total += 10 * (r"\frac" in read) + FIGURE * pictures
            total += 8
    return total


def row_height(line: str) -> float:
    """Estimate the height of a row of a table."""
    cells = line.strip().strip("|").split("|")
    widest = sum(len(plain(cell)) for cell in cells)
    share = max(8.0, 118 / len(cells))
    lines = max(math.ceil(len(plain(cell)) / share) for cell in cells) if widest > 108 else 1
    return 28 * lines + 6


def relinked(source: str) -> str:
    """Lead links to other notebooks to their slides, pictures to their copies, and take off links to other pages."""
    source = re.sub(r"\]\(((?:\d\d|A\d)_\w+)\.ipynb(#[^)]*)?\)", r"](\1.slides.html)", source)
    source = re.sub(r"(!\[[^\]]*\])\(\.\./book/_static/([^)]*)\)", r"\1(\2)", source)
    return re.sub(r"(?<!!)\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", source)


def shown(output: NotebookNode, marks: dict) -> Iterator[Piece]:
    """Yield what is shown of an output: a figure with its caption, a table, or the first lines of a text."""
    data = output.get("data", {})
    if 'class="explore"' in data.get("text/html", ""):
        yield captioned(data["text/html"], FIGURE, marks)  # a picture that moves
    elif "image/svg+xml" in data:
        yield drawing(data["image/svg+xml"], marks)
    elif "image/png" in data:
        yield figure(data["image/png"].replace("\n", ""), marks, output.metadata.get("image/png", {}).get("width"))
    elif "text/markdown" in data:
        text = shortened(data["text/markdown"].strip().splitlines(), ROWS + 2, "rows")
        for part in [part for whole in blocks(text) for part in rows_that_fit(whole)]:
            yield Piece([new_markdown_cell(part)], height_of(part))
    elif "text/html" in data:
        yield Piece([printed(data["text/html"])], 60)
    else:
        text = shortened(output.get("text", data.get("text/plain", "")).rstrip().splitlines(), LINES, "lines")
        if text:
            lines = sum(math.ceil(max(1, len(line)) / 112) for line in text.splitlines())
            yield Piece([printed(f"<pre>{escape(text)}</pre>", "jp-RenderedText")], 22 * lines + 20)


def shortened(lines: list[str], most: int, what: str) -> str:
    """Return the first lines of an output, and how many more there are."""
    if len(lines) <= most + 1:
        return "\n".join(lines)
    rest = f"… and {len(lines) - most} more {what} in the notebook"
    return "\n".join(lines[:most]) + ("\n\n" if what == "rows" else "\n") + rest


def drawing(svg: str, marks: dict) -> Piece:
    """Return a plot with its caption and its alternative text, black on the slide's white."""
    _, _, across, up = map(float, re.search(r'viewBox="([^"]*)"', svg).group(1).split())
    width = float(re.search(r'width="([^"]*)"', svg).group(1))
    width *= min(1.25, FIGURE / (width * up / across), (WIDTH - 112) / width)
    svg = re.sub(r' (?:width|color)="[^"]*"', "", svg, count=2)
    opening = f'<svg role="img" aria-label="{alt_text(marks)}" width="{width:.0f}" '
    return captioned(svg.replace("<svg ", opening, 1), width * up / across, marks)


def figure(png: str, marks: dict, shown_width: int | None = None) -> Piece:
    """Return a picture with its caption and its alternative text."""
    width, height = struct.unpack(">II", base64.b64decode(png[:64])[16:24])
    if shown_width:  # it has more pixels than it is shown at
        width, height = shown_width, height * shown_width / width
    scale = min(1.25, FIGURE / height, (WIDTH - 112) / width)  # enlarged: it is seen from the last row
    image = f'<img width="{width * scale:.0f}" alt="{alt_text(marks)}" src="data:image/png;base64,{png}">'
    return captioned(image, height * scale, marks)


def alt_text(marks: dict) -> str:
    """Return the alternative text of a figure for an attribute."""
    return escape(marks.get("image", {}).get("alt", ""), quote=True)


def captioned(html: str, height: float, marks: dict) -> Piece:
    """Return what a figure holds with its caption below."""
    caption = marks.get("figure", {}).get("caption", "")
    legend = f"<figcaption>{markdown2html(caption)}</figcaption>" if caption else ""
    return Piece([printed(f"<figure>{html}{legend}</figure>")], height + 25 * math.ceil(len(plain(caption)) / 125) + 16)


def printed(html: str, kind: str = "") -> NotebookNode:
    """Return a cell that shows HTML and no code."""
    html = f'<div class="{kind}">{html}</div>' if kind else html
    output = new_output("display_data", data={"text/html": html})
    return new_code_cell("", outputs=[output], metadata={"tags": ["hide-input"]})


def exporter() -> SlidesExporter:
    """Return nbconvert's exporter, with a template that loads nothing from the network."""
    template = TEMPLATE.replace("@STYLE@", STYLE)
    values = {"MATHJAX": MATHJAX, "WIDTH": WIDTH, "HEIGHT": HEIGHT, "FIGURE": FIGURE}
    for name, value in values.items():
        template = template.replace(f"@{name}@", str(value))
    return SlidesExporter(
        extra_loaders=[DictLoader({"course.html.j2": template})],
        template_file="course.html.j2",
        reveal_url_prefix="reveal.js",
        reveal_theme="white",
        config=Config(TagRemovePreprocessor={"enabled": True, "remove_input_tags": ["hide-input"]}),
    )


def reveal_js() -> Path:
    """Return the folder of reveal.js.

    Raises:
        FileNotFoundError: If it is not installed.
    """
    try:
        package = distribution(REVEAL)
    except PackageNotFoundError as error:
        raise FileNotFoundError(f"reveal.js is missing: python -m pip install --no-deps {REVEAL}") from error
    (script,) = [each for each in package.files or [] if each.as_posix().endswith("/dist/reveal.js")]
    return Path(package.locate_file(script)).parents[1]


def write(folder: Path, notebooks: list[Path]) -> None:
    """Write a deck for each notebook into a folder, and everything that the decks load."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("dist", "plugin/notes"):
        shutil.copytree(
            reveal_js() / part,
            folder / "reveal.js" / part,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("*.map", "*.esm.js"),
        )
    mathjax = distribution("sphinx-mathjax-offline").locate_file(f"sphinx-mathjax-offline/static/mathjax/{MATHJAX}")
    shutil.copy(str(mathjax), folder / MATHJAX)
    maker = exporter()
    entries = []
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        for picture in re.findall(r"\]\(\.\./book/_static/([^)]*)\)", "\n".join(c.source for c in notebook.cells)):
            (folder / picture).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / "book" / "_static" / picture, folder / picture)
        title = plain(notebook.cells[0].source.splitlines()[0].lstrip("# "))
        deck = cut(notebook)
        deck.metadata["title"] = title
        html, _ = maker.from_notebook_node(deck, resources={"metadata": {"name": path.stem}})
        (folder / f"{path.stem}.slides.html").write_text(html, encoding="utf-8")
        entries.append(f'<li><a href="{path.stem}.slides.html">{escape(title)}</a></li>')
    index = '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>Slides</title>\n<h1>Slides</h1>\n<ul>\n'
    (folder / "index.html").write_text(index + "\n".join(entries) + "\n</ul>\n</html>\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        write(Path(sys.argv[1]), [Path(each) for each in sys.argv[2:]] or sorted((ROOT / "notebooks").glob("*.ipynb")))
    except FileNotFoundError as error:
        sys.exit(str(error))
