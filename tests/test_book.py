"""The book's sources fit together. That it builds without a warning is ``make site``."""

import io
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tools import card, cards
from tools.check_links import broken

ROOT = Path(__file__).parents[1]
PROSE = [ROOT / "README.md", *sorted((ROOT / "book").glob("*.md")), *sorted((ROOT / "notebooks").glob("*.ipynb"))]
FIGURE = re.compile(r"^(`{3,}|:{3,})\{(figure|image)\} \S+\n(.*?)^\1", re.M | re.S)


def test_every_page_of_the_table_of_contents_is_there():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    assert len(set(pages)) == len(pages)
    for page in pages:
        assert (ROOT / f"{page}.md").exists() or (ROOT / f"{page}.ipynb").exists(), page


def test_every_module_of_the_package_is_described():
    package = ROOT / "vqvae_course"
    modules = {f"vqvae_course.{path.stem}" for path in package.glob("*.py") if not path.stem.startswith("__")}
    described = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    assert {module for module in modules if f".. automodule:: {module}\n" not in described} == set()


def prose(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


# That those which code cells draw have both is in test_notebooks.py.
@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.stem)
def test_every_picture_in_the_prose_says_what_it_shows(path):
    for _, kind, content in FIGURE.findall(prose(path)):
        options = re.findall(r"^:(\w+): *(.*)", content, re.M)
        assert len(dict(options).get("alt", "")) > 20, content
        assert kind == "figure", f"a picture has a caption: {content}"
        assert re.sub(r"^:\w+:.*", "", content, flags=re.M).strip(), f"there is no caption: {content}"
    for alt in re.findall(r"!\[(.*?)\]\(", prose(path)):
        assert len(alt) > 20, alt
    assert "<img" not in prose(path)


@cache
def sections(notebook):
    """Return what a link can name in a notebook: its headings, as MyST writes them into addresses."""
    headings = re.findall(r"^#{1,3} (.*)$", prose(notebook), re.M)
    plain = (re.sub(r"\$.*?\$|[*`]", "", heading) for heading in headings)
    return {re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in plain}


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.stem)
def test_a_link_into_a_notebook_names_a_section_that_is_there(path):
    for name, section in re.findall(r"\((?:\.\./notebooks/)?((?:\d\d|A\d)_\w+\.ipynb)#([^)]*)\)", prose(path)):
        assert section in sections(ROOT / "notebooks" / name), f"{name} has no section {section}"


@pytest.mark.parametrize("path", ["README.md", "book/intro.md"])
def test_the_hours_of_the_front_door_are_those_of_the_cards(path):
    minutes = re.findall(r"^\*(\d+) minutes\*$", (ROOT / "book" / "intro.md").read_text(encoding="utf-8"), re.M)
    assert len(minutes) == len(list((ROOT / "notebooks").glob("*.ipynb")))
    assert f"{sum(map(int, minutes)) / 60:.0f} hours" in (ROOT / path).read_text(encoding="utf-8")


def test_every_chapter_has_a_card_on_the_front_page_with_a_small_picture():
    front = (ROOT / "book" / "intro.md").read_text(encoding="utf-8")
    found = re.findall(
        r"^:link: \.\./notebooks/(\w+)\n:link-type: doc\n:img-top: (\S+)\n:img-alt: .{20,}$", front, re.M
    )
    assert [name for name, _ in found] == [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
    for _, picture in found:
        assert (ROOT / "book" / picture).stat().st_size < 15_000, "refresh it: .venv/bin/python -m tools.cards"


def test_the_map_that_writes_itself_stands_still_for_those_who_ask_for_it():
    indices = torch.tensor([[[7, 0, 1], [64, 5, 127]]])
    drawing = cards.hero(indices, torch.zeros(1, 1, 8, 12))
    texts = [each.text for each in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["7", "0", "1", "64", "5", "127"]
    still, _, moving = drawing.partition("@media (prefers-reduced-motion:no-preference)")
    assert "animation" in moving
    assert not re.search("animation|opacity:0", still)


def test_the_card_of_a_shared_link_shows_the_picture_of_the_front_page():
    stored, drawn = (Image.open(file).convert("RGB") for file in (card.CARD, io.BytesIO(card.draw())))
    assert stored.size == card.SIZE
    # Another version of matplotlib may place a letter otherwise.
    difference = np.abs(np.asarray(stored, dtype=float) - np.asarray(drawn, dtype=float)).mean()
    assert difference < 4, "refresh it: .venv/bin/python -m tools.card"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="other.html#there">', None),
        ('<a href="#here"><p id="here">', None),
        ('<a href="https://example.org">', None),
        ('<link rel="canonical" href="https://example.org">', None),
        ('<a href="missing.html">', "missing.html does not exist"),
        ('<a href="other.html#nowhere">', "other.html#nowhere has no such anchor"),
        ('<a href="#nowhere">', "#nowhere has no such anchor"),
        ('<img src="missing.png">', "missing.png does not exist"),
        ('<script src="https://example.org/a.js">', "https://example.org/a.js is loaded from the network"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "//example.org/a.css is loaded from the network"),
    ],
)
def test_the_link_check_names_what_does_not_work(tmp_path, body, problem):
    (tmp_path / "other.html").write_text('<p id="there">')
    (tmp_path / "page.html").write_text(body)
    assert broken(tmp_path) == ([f"page.html: {problem}"] if problem else [])


def test_the_page_for_what_is_missing_links_from_the_root(tmp_path):
    (tmp_path / "other.html").write_text('<p id="there">')
    (tmp_path / "404.html").write_text(
        '<a href="/book/other.html#there"><a href="/book/gone.html"><a href="other.html">'
    )
    assert broken(tmp_path) == ["404.html: /book/gone.html does not exist", "404.html: other.html does not exist"]
