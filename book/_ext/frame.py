"""The frame of a page: the strip with the machine, one folded Setup, and numbers of figures and equations."""

import re
from collections.abc import Iterator
from pathlib import Path

from diagrams import embed
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

SETUP = "Setup — where this runs and how long it takes"
STRIPS = Path("book/_static/diagrams")


class Strip(nodes.General, nodes.Element):
    """The machine above a page, ``drawn`` as HTML; a node of its own, so that its words are not searched for."""


class Fold(nodes.General, nodes.Element):
    """Something that a reader may open: ``summary`` is the line that says what is inside."""


def draw_strip(writer: nodes.NodeVisitor, node: Strip) -> None:
    """Write it in HTML."""
    writer.body.append(f"{node['drawn']}\n")


def open_fold(writer: nodes.NodeVisitor, node: Fold) -> None:
    """Begin it in HTML."""
    writer.body.append(f'<details class="{" ".join(node["classes"])}">\n<summary>{node["summary"]}</summary>\n')


def close_fold(writer: nodes.NodeVisitor, node: Fold) -> None:
    """End it in HTML."""
    writer.body.append("</details>\n")


def nothing(writer: nodes.NodeVisitor, node: nodes.Element) -> None:
    """Leave it out of what is not HTML, and the content of a fold in."""


def add_strip(app: Sphinx, document: nodes.document) -> None:
    """Show the machine below the title of a notebook, with the part lit that the page is about."""
    path = Path(app.srcdir, STRIPS, f"strip_{page_number(app.env.docname).zfill(2)}.svg")
    title = document.next_node(nodes.title)
    if title is None or not path.exists():
        return
    app.env.note_dependency(str(path))
    svg = path.read_text(encoding="utf-8")
    said = ". ".join(re.search(f"<{part}>(.*?)</{part}>", svg, re.DOTALL)[1] for part in ("title", "desc"))
    title.parent.insert(title.parent.index(title) + 1, Strip("", drawn=embed(svg, said)))


def fold_setup(app: Sphinx, document: nodes.document) -> None:
    """Put the cells tagged ``setup``, and the text between them, into one fold, inside which code is not folded."""
    cells = [each for each in document.findall(nodes.container) if "tag_setup" in each["classes"]]
    if not cells:
        return
    page = cells[0].parent
    for cell in cells:
        cell.attributes.pop("hide_mode", None)
    first, last = page.index(cells[0]), page.index(cells[-1])
    fold = Fold("", *page[first : last + 1], summary=SETUP, classes=["setup"])
    page[first : last + 1] = [fold]


def name_what_is_numbered(app: Sphinx, document: nodes.document) -> None:
    """Give the figures and displayed equations of a page the names without which Sphinx does not number them."""
    for figure in document.findall(nodes.figure):
        if not figure["ids"]:
            document.set_id(figure)
    if not page_number(app.env.docname):
        return
    for number, equation in enumerate(equations(document), start=1):
        equation["number"] = number  # any: what is shown is the number of the page and that of the name
        if not equation["ids"]:
            equation["ids"].append(f"equation-{number}")


def equations(document: nodes.document) -> Iterator[nodes.math_block]:
    """Yield the displayed equations that a page writes, not those that its code prints."""
    for equation in document.findall(nodes.math_block):
        above = equation.parent
        while above is not None and above.get("nb_element") != "cell_code_output":
            above = above.parent
        if above is None:
            yield equation


def page_number(page: str) -> str:
    """Return the number of a notebook as readers know it: 7 for ``notebooks/07_codebook_collapse``, else nothing."""
    number = re.fullmatch(r"notebooks/(?:0*(\d+)|([A-Z]\d*))_.*", page)
    return (number[1] or number[2]) if number else ""


def give_numbers_back(app: Sphinx, environment: BuildEnvironment) -> list[str]:
    """Let Sphinx compare its new numbers with its own old ones, so that it writes no page without need."""
    environment.toc_fignumbers = getattr(environment, "numbers_through_the_book", environment.toc_fignumbers)
    return []


def number_by_page(app: Sphinx, environment: BuildEnvironment) -> list[str]:
    """Number figures and equations page by page, where Sphinx counts through the whole book."""
    environment.numbers_through_the_book = environment.toc_fignumbers
    environment.toc_fignumbers = {
        page: {
            kind: {
                name: tuple(filter(None, (page_number(page), str(place)))) for place, name in enumerate(names, start=1)
            }
            for kind, names in kinds.items()
        }
        for page, kinds in environment.toc_fignumbers.items()
    }
    return []


def end_numbers_with_a_stop(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Begin a caption with "Figure 7.3", and a full stop before its words."""
    number = r'(<span class="caption-number">[^<]*?) </span>'
    context["body"] = re.sub(number, r"\1. </span>", context.get("body", ""))


def setup(app: Sphinx) -> dict[str, object]:
    """Connect them."""
    elsewhere = dict.fromkeys(("latex", "text", "man", "texinfo"), (nothing, nothing))
    app.add_node(Strip, html=(draw_strip, nothing), **elsewhere)
    app.add_node(Fold, html=(open_fold, close_fold), **elsewhere)
    app.connect("doctree-read", add_strip)
    app.connect("doctree-read", fold_setup)
    app.connect("doctree-read", name_what_is_numbered)
    app.connect("env-get-updated", give_numbers_back, priority=400)  # before Sphinx counts
    app.connect("env-get-updated", number_by_page, priority=600)
    app.connect("html-page-context", end_numbers_with_a_stop)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
