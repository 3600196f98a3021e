"""Notebooks are cut into slides that a person can read: ``make slides``."""

import base64
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import slides

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (800).to_bytes(4, "big") + (400).to_bytes(4, "big") + bytes(24)
).decode()


def decks(*cells):
    """Return the sources on each slide, (kind, [source, ...])."""
    found = []
    for cell in slides.cut(new_notebook(cells=list(cells))).cells:
        kind = cell.metadata["slideshow"]["slide_type"]
        if kind != "-":
            found.append((kind, []))
        found[-1][1].append(cell)
    return found


def sources(*cells):
    return [(kind, [cell.source for cell in mine]) for kind, mine in decks(*cells)]


def test_a_heading_begins_a_slide():
    assert sources(new_markdown_cell("# A\n\none\n\n## B\n\ntwo")) == [
        ("slide", ["# A", "one"]),
        ("slide", ["## B", "two"]),
    ]


def test_headings_that_follow_each_other_share_a_slide():
    assert sources(new_markdown_cell("## A\n\n### B\n\ntext")) == [("slide", ["## A", "### B", "text"])]


def test_long_text_is_continued_below_its_heading():
    paragraph = "word " * 110
    found = sources(new_markdown_cell(f"## A & B\n\n{paragraph}\n\n{paragraph}\n\n{paragraph}"))
    assert [kind for kind, _ in found] == ["slide", "subslide"]
    assert found[1][1][0] == '<p class="running">A &amp; B</p>'


def test_a_paragraph_with_bold_first_words_is_an_idea_of_its_own():
    found = sources(new_markdown_cell("## A\n\none\n\n**Two.** More."))
    assert [kind for kind, _ in found] == ["slide", "subslide"]


def test_formulas_and_fences_stay_whole():
    formula = "$$\na = b\n\n+ c\n$$"
    fence = "```python\n# no heading\n\nx = 1\n```"
    assert slides.blocks(f"before\n\n{fence}\n\nafter\n{formula}\n\nEnd") == [
        "before",
        fence,
        f"after\n{formula}",
        "End",
    ]


def test_a_sentence_goes_on_after_its_formula():
    text = "Let\n\n$$\na = b\n$$\n\nwhere b is 1.\n\nAnother."
    assert slides.blocks(text) == ["Let\n\n$$\na = b\n$$\n\nwhere b is 1.", "Another."]


def test_a_long_table_is_continued_with_its_head():
    table = "\n".join(["| a | b |", "|---|---|", *(f"| {row} | x |" for row in range(40))])
    parts = slides.rows_that_fit(table)
    assert len(parts) > 1
    assert all(part.startswith("| a | b |\n|---|---|\n| ") for part in parts)
    assert sum(part.count("x |") for part in parts) == 40


def test_items_of_a_list_stay_together_as_long_as_they_fit():
    assert slides.blocks("- a\n- b\n  more") == ["- a\n- b\n  more"]
    items = "\n".join("- " + "word " * 100 for _ in range(6))
    assert len(slides.blocks(items)) > 1


def test_checks_and_solutions_are_left_out():
    cells = [
        new_code_cell("def f(): raise NotImplementedError", metadata={"tags": ["exercise"]}),
        new_code_cell("check(f)", metadata={"tags": ["check"]}),
        new_code_cell("def f(): return 1", metadata={"tags": ["solution", "hide-cell"]}),
    ]
    assert [source for _, mine in sources(*cells) for source in mine] == ["def f(): raise NotImplementedError"]


@pytest.mark.parametrize("tag", ["hide-input", "hide-cell"])
def test_hidden_code_shows_its_outputs_only(tag):
    output = new_output("stream", text="42\n")
    ((_, (cell,)),) = decks(new_code_cell("plot()", metadata={"tags": [tag]}, outputs=[output]))
    assert cell.source == ""
    assert "42" in cell.outputs[0].data["text/html"]


def test_long_outputs_say_how_much_is_missing():
    output = new_output("stream", text="\n".join(map(str, range(100))))
    ((_, (_, cell)),) = decks(new_code_cell("x", outputs=[output]))
    assert (
        f"\n{slides.LINES - 1}\n… and {100 - slides.LINES} more lines in the notebook"
        in cell.outputs[0].data["text/html"]
    )


def test_a_figure_keeps_its_caption_and_its_alternative_text():
    marks = {"figure": {"caption": "What *it* is."}, "image": {"alt": 'A "grey" square.'}}
    output = new_output("display_data", data={"image/png": PNG})
    ((_, (cell,)),) = decks(new_code_cell("x", metadata={"tags": ["hide-input"], "mystnb": marks}, outputs=[output]))
    html = cell.outputs[0].data["text/html"]
    assert 'alt="A &quot;grey&quot; square."' in html
    assert "What <em>it</em> is." in html


def test_a_plot_stays_a_drawing_in_black():
    svg = '<svg width="800" viewBox="0 0 576 288" fill="currentColor" color="#797979"><path/></svg>'
    output = new_output("display_data", data={"image/png": PNG, "image/svg+xml": svg})
    marks = {"figure": {"caption": "What *it* is."}, "image": {"alt": 'A "grey" line.'}}
    ((_, (cell,)),) = decks(new_code_cell("x", metadata={"tags": ["hide-input"], "mystnb": marks}, outputs=[output]))
    html = cell.outputs[0].data["text/html"]
    assert 'aria-label="A &quot;grey&quot; line."' in html
    assert "What <em>it</em> is." in html
    assert re.findall(r'width="(\d+)"', html) == ["940"]  # higher does not fit a slide
    assert "#797979" not in html


def test_a_picture_that_moves_keeps_its_frames_and_its_caption():
    data = {"text/html": '<div class="explore"></div>', "image/png": PNG}
    marks = {"figure": {"caption": "What *it* is."}}
    output = new_output("display_data", data=data)
    ((_, (cell,)),) = decks(new_code_cell("x", metadata={"tags": ["hide-input"], "mystnb": marks}, outputs=[output]))
    html = cell.outputs[0].data["text/html"]
    assert '<div class="explore"></div>' in html
    assert "What <em>it</em> is." in html
    assert "image/png" not in html


def test_a_sharp_picture_takes_the_place_that_it_is_shown_at():
    (sharp,) = slides.shown(new_output("display_data", {"image/png": PNG}, metadata={"image/png": {"width": 1}}), {})
    (plain,) = slides.shown(new_output("display_data", {"image/png": PNG}), {})
    assert sharp.height < plain.height


def test_links_lead_to_decks_or_nowhere():
    text = "[3](03_x.ipynb#a) [f](../book/faq.md) ![p](../book/_static/p.png) [w](https://example.org)"
    assert slides.relinked(text) == "[3](03_x.slides.html) f ![p](p.png) [w](https://example.org)"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_of_a_page_is_lost_and_no_slide_is_planned_too_full(path):
    notebook = nbformat.read(path, as_version=4)
    deck = slides.cut(notebook)
    shown = "\n".join(cell.source for cell in deck.cells if cell.cell_type == "markdown")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in slides.relinked(cell.source).splitlines():
                assert line.strip() in shown
    assert "@title Solution" not in "\n".join(cell.source for cell in deck.cells)
    for piece in slides.pieces_of(notebook):
        assert piece.height <= slides.ROOM + 60, piece.cells[0].source[:80]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("playwright")
    try:
        slides.reveal_js()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("slides")
    slides.write(folder, [path for path in NOTEBOOKS if path.stem == "03_straight_through"])
    return folder


MEASURE = """
async () => {
  await MathJax.startup.promise;
  while (!window.Reveal || !Reveal.isReady()) await new Promise((done) => setTimeout(done, 50));
  const found = [];
  for (const slide of Reveal.getSlides()) {
    const { h, v } = Reveal.getIndices(slide);
    Reveal.slide(h, v);
    await new Promise((done) => requestAnimationFrame(done));
    const problems = [];
    if (slide.scrollHeight > HEIGHT) problems.push(`${slide.scrollHeight} px high`);
    for (const tag of [slide, ...slide.querySelectorAll("pre, table, mjx-container[display], figure, img")]) {
      const box = tag.getBoundingClientRect(), edge = slide.getBoundingClientRect();
      if (tag.scrollWidth > tag.clientWidth + 1 && tag.clientWidth && getComputedStyle(tag).display !== "inline")
        problems.push(`${tag.tagName} is ${tag.scrollWidth} px wide`);
      if (box.right > edge.right + 1) problems.push(`${tag.tagName} leaves the slide`);
    }
    if (problems.length) found.push(`${h}/${v} ${slide.textContent.trim().slice(0, 50)}: ${problems}`);
  }
  return [Reveal.getTotalSlides(), found];
}
""".replace("HEIGHT", str(slides.HEIGHT))


@pytest.mark.browser
def test_no_slide_overflows_and_nothing_is_loaded_from_elsewhere(folder):
    from playwright.sync_api import sync_playwright

    from tools.pdf import chromium

    asked, said = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        tab = browser.new_page(viewport={"width": slides.WIDTH, "height": slides.HEIGHT})
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("requestfailed", lambda request: said.append(request.url))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto((folder / "03_straight_through.slides.html").as_uri())
        total, problems = tab.evaluate(MEASURE)
        browser.close()
    assert total > 50
    assert problems == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []
