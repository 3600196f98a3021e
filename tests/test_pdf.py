"""The helpers of ``make pdf``. The whole print takes minutes and is marked slow."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from tools import pdf

ROOT = Path(__file__).parents[1]
TOC = {"root": "book/intro", "parts": [{"caption": "Part", "chapters": [{"file": "notebooks/01_a"}]}]}
CONFIG = {"title": "T", "author": "A", "copyright": "C", "repository": {"url": "https://example.org/r"}}
PAGES = {"book/intro", "notebooks/01_a"}
INTRO = """<article class="bd-article"><section id="top"><h1>Intro<a class="headerlink" href="#top">#</a></h1>
<a href="../notebooks/01_a.html#exercise">there</a> <a href="../index.html">out</a>
<img src="../_images/x.png"></section></article>"""
CHAPTER = """<article class="bd-article"><section id="top"><h1>1. A</h1><section id="exercise"><h2>Exercise</h2>
<div class="cell tag_hide-input"><details class="hide"><summary>Show</summary><pre>plot()</pre></details>
<div class="cell_output"><img src="../_images/y.png"></div></div>
<details><summary>An answer</summary><p>No.</p></details>
<div class="cell tag_solution"><details class="hide"><summary>Show</summary><pre># @title Solution 1.1
x</pre></details></div></section></section></article>"""


@pytest.fixture
def site(tmp_path):
    for name, html in {"book/intro": INTRO, "notebooks/01_a": CHAPTER}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.html").write_text(f"<html><body>{html}</body></html>", encoding="utf-8")
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "custom.css").touch()
    return tmp_path


@pytest.fixture
def book(site):
    return BeautifulSoup(pdf.merge(site, TOC, CONFIG), "html.parser")


@pytest.mark.parametrize(
    ("address", "inner"),
    [
        ("#a", "#notebooks-01-a--a"),
        ("../book/intro.html", "#book-intro"),
        ("../book/intro.html#b", "#book-intro--b"),
        ("https://example.org/x", "https://example.org/x"),
        ("../genindex.html", None),
    ],
)
def test_links_are_turned_inwards(address, inner):
    assert pdf.inwards(address, "notebooks/01_a", PAGES) == inner


def test_every_page_of_the_real_table_of_contents_has_a_prefix_of_its_own():
    import yaml

    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    prefixes = [pdf.slug(chapter.name) for chapter in pdf.chapters(toc)]
    assert len(set(prefixes)) == len(prefixes) > 15


def test_anchors_of_different_pages_do_not_meet(book):
    ids = [tag["id"] for tag in book.find_all(id=True)]
    assert len(set(ids)) == len(ids)
    assert {"book-intro--top", "notebooks-01-a--top"} <= set(ids)


def test_a_link_to_another_page_leads_into_it_and_one_that_leaves_the_book_is_text(book):
    assert book.find("a", string="there")["href"] == "#notebooks-01-a--exercise"
    assert not book.find("a", string="out")
    assert "out" in book.get_text()


def test_pictures_are_found_from_the_top_folder(book):
    assert {"_images/x.png", "_images/y.png"} <= {image["src"] for image in book.find_all("img")}


def test_code_of_plots_is_left_out_and_their_figures_stay(book):
    assert "plot()" not in book.get_text()
    assert book.find("img", src="_images/y.png")


def test_solutions_stand_at_the_end_with_links_there_and_back(book):
    assert book.find("a", href="#solution-1.1").find_parent(id="notebooks-01-a")
    solution = book.find(id="solution-1.1")
    assert solution.find_parent(id="solutions")
    assert "x" in solution.find("pre").get_text()
    assert solution.find("a")["href"] == "#notebooks-01-a--exercise"


def test_the_contents_name_chapters_sections_and_solutions(book):
    links = {a.get_text(): a["href"] for a in book.select_one(".contents").find_all("a")}
    assert links["Intro"] == "#book-intro"
    assert links["Exercise"] == "#notebooks-01-a--exercise"
    assert links["Solutions"] == "#solutions"


def test_nothing_of_the_screen_is_left(book):
    assert not book.find_all(["details", "summary", "button"])
    assert "Show" not in book.get_text()
    assert not book.find_all("a", class_="headerlink")


def test_what_the_text_folds_away_is_printed_below_its_summary(book):
    assert book.select_one(".opened > p.summary").get_text() == "An answer"
    assert book.select_one(".opened > p.summary + p").get_text() == "No."


def test_a_link_that_leads_nowhere_is_an_error(site):
    page = site / "book" / "intro.html"
    page.write_text(page.read_text().replace("#exercise", "#nowhere"))
    with pytest.raises(ValueError, match="nowhere: \\['notebooks-01-a--nowhere'\\]"):
        pdf.merge(site, TOC, CONFIG)


def test_page_numbers_are_read_from_the_first_print():
    pypdf = pytest.importorskip("pypdf")
    writer, name = pypdf.PdfWriter(), pypdf.generic.NameObject
    pages = [writer.add_blank_page(100, 100) for _ in range(3)]
    places = {"/first": pages[0], "/second--part": pages[2], "/caf%C3%A9": pages[1]}
    whole = [name("/XYZ"), *3 * [pypdf.generic.NullObject()]]
    at = {name(each): pypdf.generic.ArrayObject([page.indirect_reference, *whole]) for each, page in places.items()}
    writer.root_object[name("/Dests")] = pypdf.generic.DictionaryObject(at)  # as Chromium writes them
    written = io.BytesIO()
    writer.write(written)
    assert pdf.page_numbers(written.getvalue()) == {"first": 1, "second--part": 3, "café": 2}


def test_a_missing_browser_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CHROMIUM", "")
    with pytest.raises(FileNotFoundError, match="Chromium is missing"):
        pdf.chromium()


@pytest.mark.slow
@pytest.mark.browser
def test_the_whole_book_fits_on_its_paper(tmp_path):
    target = tmp_path / "book.pdf"
    builder = Path(sys.executable).with_name("jupyter-book")
    build = [builder, "build", ".", "--path-output", tmp_path, "-q"]
    subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert pdf.main(tmp_path / "_build" / "html", target) == 0
    data = target.read_bytes()
    assert data.startswith(b"%PDF")
    assert b"/Outlines" in data
    assert data.count(b"/Type /Page\n") > 200
