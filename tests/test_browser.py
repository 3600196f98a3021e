"""The built book in a browser: every page, with the network off, on a phone, in the dark, by keyboard.

``make site`` builds the book first, and ``make browser`` looks at it. Where no Chromium is installed, all of this is
skipped.
"""

import os
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

from tools.check_links import anchors

axe = pytest.importorskip("axe_playwright_python.base")

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[1]
SITE = Path(os.environ.get("VQVAE_COURSE_SITE", ROOT / "_build" / "site" / "_build" / "html")).resolve()
PAGES = sorted(str(page.relative_to(SITE)) for page in SITE.rglob("*.html") if "_static" not in page.parts)
NOTEBOOKS = [name for name in PAGES if name.startswith("notebooks/")]
PREFIX = urlsplit(yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["html"]["baseurl"]).path
WCAG = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "rules": {"label-content-name-mismatch": {"enabled": True}},
}
SLIDERS = [name for name in NOTEBOOKS if 'class="explore"' in (SITE / name).read_text(encoding="utf-8")]
CONTRAST = {"runOnly": ["color-contrast"]}
READY = """async () => {
    await document.fonts.ready;
    await window.MathJax?.startup?.promise;
    if (typeof fitting !== "undefined") await fitting;  // equations and tables that are too wide
}"""
# What sticks out of the page to the right, and neither scrolls inside something nor is cut off there.
WIDE = """() => {
    const width = document.documentElement.clientWidth;
    const inside = (each) => {
        for (let box = each.parentElement; box && box !== document.body; box = box.parentElement) {
            const fits = box.getBoundingClientRect().right <= width + 1;
            if (fits && getComputedStyle(box).overflowX !== "visible") return true;
        }
        return false;
    };
    const wide = [...document.querySelectorAll(".bd-article-container *, footer *")].filter((each) => {
        const box = each.getBoundingClientRect();
        const seen = box.width && box.height && each.checkVisibility({ visibilityProperty: true });
        return seen && box.right > width + 1 && !inside(each);
    });
    const page = document.documentElement.scrollWidth > width ? ["the page scrolls sideways"] : [];
    return page.concat(wide.map((each) => each.outerHTML.slice(0, 120)));
}"""
# What scrolls sideways inside the page and is neither code nor what code prints.
SCROLLS = """() => [...document.querySelectorAll(".bd-article *")].filter((each) => {
    const scrolls = ["auto", "scroll"].includes(getComputedStyle(each).overflowX);
    return scrolls && each.tagName !== "PRE" && each.clientWidth && each.scrollWidth > each.clientWidth;
}).map((each) => each.textContent.trim().slice(0, 80))"""
# Only for speed: of the thousands of pieces of code that look alike, of formulas, and of the descriptions that one
# template writes for the package, some are enough.
THIN_OUT = """() => {
    document.querySelectorAll("mjx-container > *").forEach((each) => each.remove());
    [...document.querySelectorAll("dl.py")].slice(40).forEach((each) => each.remove());
    const seen = new Set();
    const again = [...document.querySelectorAll("pre span, code span, .sig span, .sig em")].filter((each) => {
        const look = getComputedStyle(each);
        const place = each.closest("pre, code, .sig").className + Boolean(each.closest("a"));
        const kind = [look.color, look.backgroundColor, look.fontWeight, look.fontSize, place].join();
        return seen.has(kind) || !seen.add(kind);
    });
    again.forEach((each) => each.replaceWith(...each.childNodes));
}"""
AXE = """async (rules) => (await axe.run({ ...rules, resultTypes: ["violations"], preload: false })).violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .flatMap((each) => each.nodes.map((node) => `${each.id}: ${node.target} ${node.html.slice(0, 120)}`))"""


class Handler(SimpleHTTPRequestHandler):
    """Serve the book below the folder where it will be published, with its page for what is missing."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path):
        return super().translate_path("/" + path.removeprefix(PREFIX) if path.startswith(PREFIX) else "/missing")

    def send_error(self, code, message=None, explain=None):
        body = (SITE / "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    """Where the book is served."""
    if not PAGES:
        pytest.skip(f"there is no book in {SITE}: make site builds it")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def faults():
    """What went wrong in the pages of a test: errors in the console, requests that failed or left the book."""
    return []


@pytest.fixture
def open_page(browser, address, faults):
    """Open a page of the book, by name or by address, in a window of a given size."""
    contexts = []

    def open_page(name, width=1280, height=800, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda said: note(said.type in ("error", "warning"), said.text))
        page.on("pageerror", lambda error: note(True, str(error)))
        page.on("requestfailed", lambda request: note(not is_left(request), f"{request.url}: {request.failure}"))
        page.on("response", lambda answer: note(answer.status >= 400, f"{answer.url}: {answer.status}"))
        page.on("request", lambda request: note(leaves(request), f"left the book: {request.url}"))
        page.goto(name if "://" in name else address + name)
        page.evaluate(READY)
        return page

    def note(wrong, what):
        if wrong:
            faults.append(what)

    def is_left(request):
        """Whether a request was given up because the page was left before the answer came."""
        return request.failure == "net::ERR_ABORTED"

    def leaves(request):
        return not request.url.startswith((address, SITE.as_uri(), "data:", "blob:"))

    yield open_page
    for context in contexts:
        context.close()


def set_theme(page, theme):
    page.add_style_tag(content="* { transition: none !important; }")
    page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)


def broken_links(page, address, name):
    """Say which links of a page lead nowhere inside the book."""
    found = []
    for link in page.evaluate("() => [...document.links].map((each) => each.href)"):
        path, _, anchor = link.partition("#")
        if path.startswith(address):
            here = path == page.url.partition("#")[0]
            target = SITE / (name if here else unquote(urlsplit(path).path).removeprefix(PREFIX))
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (target.suffix == ".html" and unquote(anchor) not in anchors(target)):
                found.append(link)
    return found


def barriers(page):
    """Say what axe finds in both colour modes."""
    page.evaluate(THIN_OUT)
    page.evaluate(axe.AXE_SCRIPT)
    found = page.evaluate(AXE, WCAG)
    set_theme(page, "dark")
    return found + [f"dark: {each}" for each in page.evaluate(AXE, CONTRAST)]


@pytest.mark.parametrize("name", [name for name in PAGES if name != "index.html"])
def test_a_page_works_for_everybody(open_page, address, faults, name):
    page = open_page(name, width=390)  # a phone
    assert page.evaluate(WIDE) == []
    assert broken_links(page, address, name) == []
    assert barriers(page) == []
    page.set_viewport_size({"width": 720, "height": 450})  # half of an ordinary window, as with a zoom of 200 %
    assert page.evaluate(WIDE) == []
    assert faults == []


def test_a_wide_equation_is_broken_into_lines_only_where_it_must_be(open_page, faults):
    page = open_page("notebooks/07_codebook_collapse.html")
    heights = "() => [...document.querySelectorAll('mjx-container[display=true]')].map((each) => each.offsetHeight)"
    wide = page.evaluate(heights)
    page.set_viewport_size({"width": 390, "height": 800})
    page.evaluate(READY)
    narrow = page.evaluate(heights)
    assert any(one > 1.5 * other for one, other in zip(narrow, wide, strict=True))
    assert page.locator("mjx-container[display=true] mjx-assistive-mml").count() == len(narrow)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.evaluate(READY)
    assert page.evaluate(heights) == wide
    assert faults == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_on_a_phone_a_page_begins_with_the_machine_and_a_folded_setup_and_only_code_scrolls(open_page, faults, name):
    page = open_page(name, width=390)
    assert page.evaluate(SCROLLS) == []
    strip = page.locator("h1 ~ svg.strip")
    assert strip.count() == 1
    assert strip.get_attribute("role") == "img"
    assert strip.get_attribute("aria-label").startswith("The machine: ")
    assert strip.locator(".lit").count() > 0
    assert strip.bounding_box()["width"] <= 390
    setup = page.locator("details.setup")
    assert setup.count() == 1
    assert setup.locator(".cell").count() == page.locator(".tag_setup").count() > 0
    assert setup.locator("details").count() == 0
    assert not setup.locator("pre").first.is_visible()
    setup.locator("summary").focus()
    assert has_a_ring(page)
    page.keyboard.press("Enter")
    assert all(code.is_visible() for code in setup.locator("pre").all())
    assert setup.get_by_text("This notebook should take").is_visible()
    assert page.evaluate(WIDE) == []
    assert faults == []


def test_the_part_of_the_machine_that_is_lit_is_that_of_the_page():
    said = [written(name).select_one("svg.strip")["aria-label"] for name in NOTEBOOKS]
    assert len(set(said)) > len(said) / 2


def test_the_machine_follows_the_theme(open_page):
    page = open_page("notebooks/06_ema_codebooks.html")
    ink = "() => getComputedStyle(document.querySelector('svg.strip .lit text')).fill"
    set_theme(page, "light")
    light = page.evaluate(ink)
    set_theme(page, "dark")
    assert page.evaluate(ink) != light


def written(name):
    """Return a page as it was built."""
    return BeautifulSoup((SITE / name).read_text(encoding="utf-8"), "html.parser").select_one("article.bd-article")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_figures_and_equations_have_numbers_of_their_page(name):
    page, number = written(name), re.search(r"/0?(\w+?)_", name)[1]
    figures = [each.get_text() for each in page.select(".caption-number")]
    assert len(figures) == len(page.select("figcaption")) > 0
    assert figures == [f"Figure {number}.{place + 1}. " for place in range(len(figures))]
    equations = [each.contents[0] for each in page.select(".eqno")]
    assert len(equations) == len(page.select("div.math")) - len(page.select(".cell_output div.math")) > 0
    assert equations == [f"({number}.{place + 1})" for place in range(len(equations))]


def test_the_outline_shows_two_levels_and_what_is_smaller_is_lighter(open_page):
    page = open_page("notebooks/07_codebook_collapse.html")
    assert page.locator(".page-toc .toc-h2 > a:visible").count() > 5
    below = page.locator(".page-toc .toc-h3 > a")
    assert below.count() > 3
    assert all(link.is_visible() for link in below.all())
    look = """(name) => {
        const style = getComputedStyle(document.querySelector(`.bd-article ${name}`));
        return [parseFloat(style.fontSize), Number(style.fontWeight)];
    }"""
    (large, *_), (second, heavy), (third, light) = (page.evaluate(look, name) for name in ("h1", "h2", "h3"))
    assert large > second > third
    assert heavy > light


def test_on_a_phone_code_is_folded_and_opens_by_keyboard(open_page, faults):
    page = open_page("notebooks/07_codebook_collapse.html", width=390)
    code = page.locator(".bd-article .cell_input pre:visible")
    assert code.count() == page.locator(".cell.tag_exercise").count() > 0
    assert page.locator(".cell.tag_exercise pre").first.is_visible()
    fold = page.locator("details.phone").first
    assert fold.get_by_text("Show the code").is_visible()
    fold.locator("summary").focus()
    assert has_a_ring(page)
    page.keyboard.press("Enter")
    assert fold.locator("pre").is_visible()
    assert fold.get_by_text("Hide the code").is_visible()
    page.set_viewport_size({"width": 1280, "height": 800})
    page.wait_for_function("() => !document.querySelector('details.phone')")
    assert code.count() > page.locator(".cell.tag_exercise").count()
    assert faults == []


def test_on_a_phone_a_link_to_a_section_leads_there(open_page, address):
    page = open_page(f"{address}notebooks/07_codebook_collapse.html#exercises", width=390)
    page.wait_for_function("""() => {
        const top = document.querySelector("#exercises").getBoundingClientRect().top;
        return top > -5 && top < 400;
    }""")


@pytest.mark.parametrize("name", ["book/intro.html", "notebooks/03_straight_through.html", "search.html"])
def test_what_only_a_wide_window_shows_works_for_everybody(open_page, name):
    assert barriers(open_page(name)) == []


def test_an_unknown_address_leads_back(open_page, address, faults):
    page = open_page("some/where/else.html")
    assert page.locator("h1:visible").inner_text().startswith("No such page")
    assert broken_links(page, address, "404.html") == []
    faults.remove(f"{address}some/where/else.html: 404")
    assert [fault for fault in faults if "Failed to load resource" not in fault] == []
    page.get_by_role("link", name="front page").click()
    assert "VQ-VAE, taken apart" in page.title()


def test_the_bare_address_leads_to_the_front_page(open_page, address, faults):
    page = open_page("book/notation.html")
    page.goto(address)
    page.wait_for_url(f"{address}book/intro.html")
    assert faults == []


@pytest.mark.parametrize("where", ["served", "from a disk"])
def test_formulas_pictures_navigation_and_search_need_no_network(open_page, address, faults, where):
    root = address if where == "served" else f"{SITE.as_uri()}/"
    page = open_page(f"{root}notebooks/03_straight_through.html")
    assert page.locator("mjx-container svg").count() > 20
    assert page.locator("mjx-container [data-mjx-error], .MathJax_Error").count() == 0
    assert page.evaluate("() => [...document.images].every((each) => each.complete && each.naturalWidth > 0)")
    page.get_by_role("link", name="4. Three losses").first.click()
    page.wait_for_url(f"{root}notebooks/04_three_losses.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("straight-through")
    page.keyboard.press("Enter")
    page.get_by_text("Search finished").wait_for()
    results = page.locator("#search-results ul.search a").evaluate_all("(all) => all.map((each) => each.href)")
    assert any("notebooks/03_straight_through.html" in each for each in results)
    page.locator('#search-results a[href*="03_straight_through"]').first.click()
    assert "Straight-through" in page.title()
    assert faults == []


def test_terms_in_other_languages_are_marked_as_such(open_page):
    page = open_page("book/glossary.html")
    terms = page.locator("tbody tr").count()
    assert terms > 100
    for number, language in ((2, "zh-Hans"), (3, "ar")):
        assert page.locator(f"tbody td:nth-child({number})[lang={language}]").count() == terms
        assert page.locator(f"th:nth-child({number})[lang={language}]").count() == 1


def test_a_copy_button_copies_the_code(open_page, address, faults):
    page = open_page("notebooks/00_quickstart.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    cell = page.locator(".cell_input:visible", has=page.locator("pre")).first
    button = cell.locator("button.copybtn")
    button.focus()
    page.wait_for_function("() => getComputedStyle(document.activeElement).opacity === '1'")
    page.keyboard.press("Enter")
    page.locator("button.copybtn.success").wait_for()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied.strip() == cell.locator("pre").inner_text().strip()
    assert faults == []


def test_a_solution_opens_and_closes_by_keyboard(open_page, faults):
    page = open_page("notebooks/03_straight_through.html")
    solution = page.locator(".tag_solution details").first
    code = solution.locator("pre").first
    assert not code.is_visible()
    solution.locator("summary").focus()
    assert has_a_ring(page)
    page.keyboard.press("Enter")
    code.wait_for(state="visible")
    page.keyboard.press("Enter")
    code.wait_for(state="hidden")
    assert faults == []


def test_a_slider_moves_by_keyboard_and_shows_another_frame(open_page, faults):
    if not SLIDERS:
        pytest.skip("no stored output of the book holds a slider")
    page = open_page(SLIDERS[0], width=390)
    figure = page.locator(".explore").first
    slider, shown = figure.get_by_role("slider"), figure.locator(".frame:visible")
    assert slider.evaluate("(each) => each.labels.length") == 1
    assert shown.count() == 1
    values = [shown.get_attribute("data-value")]
    slider.focus()
    for key in ("End", "ArrowLeft", "Home"):
        page.keyboard.press(key)
        assert shown.count() == 1
        assert shown.bounding_box()["width"] <= 390
        values.append(shown.get_attribute("data-value"))
        assert slider.get_attribute("aria-valuetext") == figure.locator("output").inner_text() == values[-1]
    every = figure.locator(".frame").evaluate_all("(all) => all.map((each) => each.dataset.value)")
    assert values == [every[0], every[-1], every[-2], every[0]]
    assert faults == []


def test_a_plot_takes_the_colour_of_the_text_in_both_themes(open_page):
    if not SLIDERS:
        pytest.skip("no stored output of the book holds a drawing")
    page = open_page(SLIDERS[0])
    inks = set()
    for theme in ("light", "dark"):
        set_theme(page, theme)
        colours = "(each) => [getComputedStyle(each).fill, getComputedStyle(document.body).color]"
        ink, text = page.locator(".drawing svg").first.evaluate(colours)
        assert ink == text
        inks.add(ink)
    assert len(inks) == 2


def has_a_ring(page):
    """Whether one sees where the keyboard is."""
    return page.evaluate("""() => {
        return [null, "::after"].some((part) => {
            const style = getComputedStyle(document.activeElement, part);
            return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
        });
    }""")


def test_the_first_stop_of_the_keyboard_leads_past_the_navigation(open_page):
    page = open_page("notebooks/03_straight_through.html")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to main content")
    assert skip.evaluate("(each) => each === document.activeElement")
    page.wait_for_function("() => document.activeElement.getBoundingClientRect().top >= 0")  # it slides in
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.getElementById('main-content').contains(document.activeElement)")


def test_every_stop_of_the_keyboard_can_be_seen(open_page):
    page = open_page("book/intro.html")
    stops = page.locator("a[href]:visible, button:visible, summary:visible").count()
    unseen = []
    for _ in range(min(stops, 60)):
        page.keyboard.press("Tab")
        if not has_a_ring(page):
            unseen.append(page.evaluate("() => document.activeElement.outerHTML.slice(0, 120)"))
    assert unseen == []


def test_on_a_phone_the_keyboard_reaches_the_pages_of_the_book(open_page, faults):
    page = open_page("notebooks/03_straight_through.html", width=390)
    page.locator("button.primary-toggle").focus()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name="4. Three losses").first
    link.wait_for()
    for _ in range(40):
        page.keyboard.press("Tab")
        if link.evaluate("(each) => each === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/04_three_losses.html")
    assert faults == []


def paper(page):
    """How bright the page is, from 0 to 255."""
    colour = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return max(int(each) for each in colour[colour.index("(") + 1 : -1].split(",")[:3])


def test_dark_mode_is_that_of_the_system_until_one_chooses(open_page):
    assert paper(open_page("book/intro.html", color_scheme="light")) > 240
    page = open_page("book/intro.html", color_scheme="dark")
    assert paper(page) < 60
    switch = page.locator("button.theme-switch-button:visible")
    for _ in range(3):
        switch.focus()
        page.keyboard.press("Enter")
        if page.evaluate("() => document.documentElement.dataset.mode") == "light":
            break
    assert paper(page) > 240
    page.reload()
    assert paper(page) > 240
