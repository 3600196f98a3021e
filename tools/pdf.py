"""Print the built book into one PDF: ``python -m tools.pdf SITE FILE.pdf``.

The pages are those of the HTML book, put one behind the other in a single page, with their links turned inwards,
and printed by Chromium. LaTeX is not needed.
"""

import io
import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import matplotlib
import yaml
from bs4 import BeautifulSoup, Tag

import vqvae_course

ROOT = Path(__file__).parents[1]
LOOK = (  # style sheets of the book that its pages need without their frame
    "styles/theme.css",
    "styles/pydata-sphinx-theme.css",
    "pygments.css",
    "styles/sphinx-book-theme.css",
    "mystnb.*.css",
    "sphinx-design.min.css",
    "custom.css",
    "diagrams.css",
)
PRINT = """
@page { size: A4; margin: 17mm 16mm 18mm; @bottom-center { content: counter(page); font: 8pt sans-serif; } }
@page :first { @bottom-center { content: none; } }
html, body { font-size: 10pt !important; background: white; color: black; scroll-padding: 0; }
body, p, h1, h2, h3, h4, h5 { font-family: "Course text", serif !important; }
code, pre, kbd { font-family: "Course code", monospace !important; }
body { display: block !important; margin: 0; min-height: 0 !important; }
.bd-article { padding: 0 !important; max-width: none; }
.bd-article > section { margin: 0; }
.page, .contents, #solutions { break-before: page; }
.title { padding-top: 60mm; text-align: center; }
.title h1 { font-size: 30pt !important; margin: 0 0 4mm; }
.title p { max-width: 130mm; margin: 3mm auto; }
.title img { display: block; margin: 0 auto 12mm; width: 40mm; }
.contents .part { font-weight: 600; margin: 4mm 0 1mm; }
.contents a[data-page]::after { content: attr(data-page); float: right; }
.contents ol { list-style: none; margin: 0 0 0 6mm; padding: 0; }
.contents > ol { margin: 0 0 4mm; }
.contents li { break-inside: avoid; margin: 0.8mm 0; }
.contents > ol > li { font-weight: 600; }
.contents > ol > li > ol { font-weight: 400; columns: 2; font-size: 9pt; }
/* With letters that touch the top of a page, Chromium writes a heading into its bookmark twice. */
h1, h2, h3, h4, h5 {
  break-after: avoid; line-height: 1.3 !important; margin-top: 0.9em !important; padding-top: 0.3em !important;
}
h1 { font-size: 20pt !important; margin-top: 0 !important; }
h2 { font-size: 15pt !important; }
h3 { font-size: 12pt !important; }
h4, h5 { font-size: 10.5pt !important; }
p, li { orphans: 3; widows: 3; }
a { color: #0b5394 !important; text-decoration: none !important; }
pre, .bd-article .cell_input pre {
  font-size: 7.6pt !important; line-height: 1.32; white-space: pre-wrap !important; overflow: visible !important;
  overflow-wrap: anywhere; padding: 1.6mm 2.4mm; break-inside: avoid; max-height: none !important;
}
pre.long { break-inside: auto; }
div.highlight, div.cell, .cell_output, .cell_input { overflow: visible !important; max-height: none !important; }
figure { break-inside: avoid; text-align: center; margin: 3mm 0 !important; }
figure img, .cell_output img { max-width: 100% !important; max-height: 190mm; width: auto; height: auto; }
figcaption { font-size: 8.5pt !important; }
figcaption p { margin: 1mm 0; }
table { font-size: 8.5pt; width: auto; max-width: 100%; }
tr { break-inside: avoid; }
td, th { padding: 1mm 2mm !important; overflow-wrap: break-word !important; white-space: normal !important; }
.bd-article td:has(code) { min-width: 0; }
.pst-scrollable-table-container { overflow: visible !important; }
mjx-container [stroke-width="0"] { stroke: none; }  /* or paper shows a hairline around every letter */
mjx-container[display="true"] { overflow: visible !important; break-inside: avoid; }
.solution { border-left: 1mm solid #009e73; margin: 0 0 5mm; padding-left: 3mm; }
.solution > h3 { margin-top: 0 !important; }
.solution-link { font-size: 9pt; }
dl.py { break-inside: auto; }
"""
# Formulas that are wider than the paper are set smaller; the rest of what is too wide is reported.
SETTLE = """
async () => {
  await MathJax.startup.promise;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  const paper = document.querySelector(".bd-article").clientWidth;
  for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
    const drawn = formula.querySelector("svg");
    const room = formula.parentElement.clientWidth;
    const width = drawn ? drawn.getBoundingClientRect().width : 0;
    if (width > room) formula.style.fontSize = `${Math.floor(1000 * room / width) / 10}%`;
  }
  for (const link of document.querySelectorAll(".contents a")) link.dataset.page = "000";
  const wide = [];
  for (const tag of document.querySelectorAll("pre, table, img, svg, figure, p, li, dt")) {
    const { right, width } = tag.getBoundingClientRect();
    if (width && right > document.querySelector(".bd-article").getBoundingClientRect().right + 1) {
      wide.push(`${tag.tagName.toLowerCase()}: ${tag.closest("[id]")?.id} (${Math.round(right - paper)} px too wide)`);
    }
  }
  const broken = [...document.images].filter((image) => !image.naturalWidth).map((image) => `img: ${image.src}`);
  const wrong = [...document.querySelectorAll("mjx-merror, [data-mjx-error]")].map((e) => `formula: ${e.textContent}`);
  return [...wide, ...broken, ...wrong];
}
"""


# Printed twice: the first print tells on which page everything is.
NUMBER = """
(pages) => {
  for (const link of document.querySelectorAll(".contents a"))
    link.dataset.page = pages[decodeURIComponent(link.hash.slice(1))] ?? "";
}
"""


class Chapter(NamedTuple):
    """A page of the book: its name, such as ``notebooks/05_training_a_vqvae``, and the caption of its part."""

    name: str
    part: str


def chapters(toc: dict) -> list[Chapter]:
    """Return the pages of a table of contents, in order."""
    pages = [Chapter(toc["root"], "")]
    pages += [Chapter(entry["file"], part["caption"]) for part in toc["parts"] for entry in part["chapters"]]
    return pages


def slug(page: str) -> str:
    """Return the prefix of a page's anchors."""
    return re.sub(r"[^a-z0-9]+", "-", page.lower())


def inwards(address: str, page: str, pages: set[str]) -> str | None:
    """Return an address on a page as it reads in the one file, or None if it leads to something left out."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return address
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path))) if parts.path else ""
    name = target.removesuffix(".html") if target else page
    if name not in pages:
        return None
    return f"#{slug(name)}--{parts.fragment}" if parts.fragment else f"#{slug(name)}"


def article(html: str, page: str, pages: set[str]) -> Tag:
    """Return the text of a page, without what only a screen can use, with anchors and links of the one file."""
    text = BeautifulSoup(html, "html.parser").select_one("article.bd-article")
    text.name, text["class"], text["id"] = "div", ["page"], slug(page)
    for tag in text.select("a.headerlink, .viewcode-link, script, button, .toctree-wrapper"):
        tag.decompose()
    for cell in text.select("div.cell.tag_hide-input > details"):
        cell.decompose()
    for cell in text.select("div.cell.tag_hide-input"):
        if not cell.get_text(strip=True) and not cell.find("img"):
            cell.decompose()
    for details in text.select("details"):
        for summary in details.select("summary"):
            summary.decompose()
        details.name, details["class"] = "div", ["opened"]
    for tag in text.find_all(id=True):
        tag["id"] = f"{slug(page)}--{tag['id']}"
    for tag in text.find_all("a", href=True):
        address = inwards(tag["href"], page, pages)
        if address is None:
            tag.unwrap()
        else:
            tag["href"] = address
    for tag in text.find_all("img", src=True):
        if not urlsplit(tag["src"]).scheme:
            tag["src"] = posixpath.normpath(posixpath.join(posixpath.dirname(page), tag["src"]))
    for tag in text.find_all("pre"):
        if tag.get_text().count("\n") > 45:
            tag["class"] = [*tag.get("class", []), "long"]
    return text


def move_solutions(text: Tag, soup: BeautifulSoup) -> list[Tag]:
    """Take the solutions out of a page, leave a link in the place of each, and return them with a link back."""
    moved = []
    for cell in text.select("div.cell.tag_solution"):
        number = re.search(r"@title Solution ([\d.]+)", cell.get_text())[1]
        exercise = cell.find_parent("section")
        link = soup.new_tag("p", attrs={"class": "solution-link"})
        link.append(soup.new_tag("a", href=f"#solution-{number}", string=f"Solution {number}"))
        cell.replace_with(link)
        whole = soup.new_tag("div", attrs={"class": "solution", "id": f"solution-{number}"})
        heading = soup.new_tag("h3")
        heading.append(soup.new_tag("a", href=f"#{exercise['id']}", string=f"Solution {number}"))
        whole.extend([heading, cell])
        moved.append(whole)
    return moved


def contents(chapter_list: list[Chapter], texts: dict[str, Tag], soup: BeautifulSoup, solutions: bool) -> Tag:
    """Return a table of contents with links to chapters and their sections."""
    table = soup.new_tag("div", attrs={"class": "contents"})
    table.append(soup.new_tag("h1", string="Contents"))
    part = None
    for chapter in chapter_list:
        if chapter.part != part:
            part = chapter.part
            if part:
                table.append(soup.new_tag("p", string=part, attrs={"class": "part"}))
            rows = soup.new_tag("ol")
            table.append(rows)
        text = texts[chapter.name]
        entry = soup.new_tag("li")
        entry.append(soup.new_tag("a", href=f"#{slug(chapter.name)}", string=text.find("h1").get_text(strip=True)))
        if chapter.name.startswith("notebooks/"):
            below = soup.new_tag("ol")
            for heading in text.find_all("h2"):
                row = soup.new_tag("li")
                address = f"#{heading.find_parent('section')['id']}"
                row.append(soup.new_tag("a", href=address, string=heading.get_text(strip=True)))
                below.append(row)
            entry.append(below)
        rows.append(entry)
    if solutions:
        entry = soup.new_tag("li")
        entry.append(soup.new_tag("a", href="#solutions", string="Solutions"))
        rows.append(entry)
    return table


def title_page(config: dict, soup: BeautifulSoup) -> Tag:
    """Return the first page."""
    page = soup.new_tag("div", attrs={"class": "title"})
    page.append(soup.new_tag("img", src="_static/logo.svg", alt=""))
    page.append(soup.new_tag("h1", string=config["title"]))
    for line in (
        "A course on discrete representation learning that a reader can run",
        f"Version {vqvae_course.__version__} · {config['author']} · {config['copyright']}",
        f"Notebooks, package and checks: {config['repository']['url']}",
        "This is the book in print. Code that only draws a figure is left out, and stands in the notebooks. "
        "Solutions are at the end, so that nobody reads one by accident.",
    ):
        page.append(soup.new_tag("p", string=line))
    return page


def merge(site: Path, toc: dict, config: dict) -> str:
    """Return the whole book as one page of HTML, for the folder of the site.

    Raises:
        ValueError: If a link leads to an anchor that is not there, or an anchor is there twice.
    """
    order = chapters(toc)
    names = {chapter.name for chapter in order}
    soup = BeautifulSoup("", "html.parser")
    texts, solutions = {}, soup.new_tag("div", attrs={"id": "solutions", "class": "mathjax_ignore"})
    solutions.append(soup.new_tag("h1", string="Solutions"))
    for chapter in order:
        html = (site / f"{chapter.name}.html").read_text(encoding="utf-8")
        texts[chapter.name] = text = article(html, chapter.name, names)
        moved = move_solutions(text, soup)
        if moved:
            solutions.append(soup.new_tag("h2", string=text.find("h1").get_text(strip=True)))
            solutions.extend(moved)
    body = soup.new_tag("div", attrs={"class": "bd-article"})
    body.extend([title_page(config, soup), contents(order, texts, soup, len(solutions) > 1), *texts.values()])
    if len(solutions) > 1:
        body.append(solutions)
    must_hold_together(body)
    styles = "\n".join(f'<link rel="stylesheet" href="{address}">' for address in style_sheets(site))
    mathjax = (
        '<script>window.MathJax = {options: {enableMenu: false, processHtmlClass: "math|output_area"}}</script>\n'
        '<script defer src="_static/tex-svg-full.js"></script>'
    )
    return (
        '<!DOCTYPE html>\n<html lang="en" data-theme="light" data-mode="light">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{config['title']}</title>\n{styles}\n<style>{fonts()}{PRINT}</style>\n{mathjax}\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def must_hold_together(body: Tag) -> None:
    """Raise if an inner link leads nowhere, or could lead to two places."""
    anchors = [tag["id"] for tag in body.find_all(id=True)]
    twice = sorted({each for each in anchors if anchors.count(each) > 1}) if len(set(anchors)) < len(anchors) else []
    links = {tag["href"][1:] for tag in body.find_all("a", href=re.compile("^#"))}
    lost = sorted({unquote(each) for each in links} - set(anchors))
    if twice or lost:
        raise ValueError(f"links must lead to one place each; nowhere: {lost[:5]}, twice: {twice[:5]}")


def fonts() -> str:
    """Return the fonts of the print, which come with matplotlib: the same paper from every machine."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = [
        ("Course text", "STIXGeneral.ttf", "normal", "normal"),
        ("Course text", "STIXGeneralBol.ttf", "bold", "normal"),
        ("Course text", "STIXGeneralItalic.ttf", "normal", "italic"),
        ("Course text", "STIXGeneralBolIta.ttf", "bold", "italic"),
        ("Course code", "DejaVuSansMono.ttf", "normal", "normal"),
        ("Course code", "DejaVuSansMono-Bold.ttf", "bold", "normal"),
        ("Course code", "DejaVuSansMono-Oblique.ttf", "normal", "italic"),
    ]
    return "".join(
        f'@font-face {{ font-family: "{name}"; font-weight: {weight}; font-style: {style}; '
        f'src: url("{(folder / file).as_uri()}"); }}\n'
        for name, file, weight, style in faces
    )


def style_sheets(site: Path) -> Iterator[str]:
    """Yield the addresses of the book's style sheets."""
    for pattern in LOOK:
        for path in sorted((site / "_static").glob(pattern)):
            yield path.relative_to(site).as_posix()


def chromium() -> str:
    """Return the path of Chromium or Chrome.

    Raises:
        FileNotFoundError: If there is none.
    """
    for name in (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", "chrome"):
        if name and (path := shutil.which(name)):
            return path
    raise FileNotFoundError("Chromium is missing: install it (Debian: apt install chromium), or name it in CHROMIUM")


def page_numbers(pdf: bytes) -> dict[str, int]:
    """Return on which page of a PDF each anchor is."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(pdf))
    places = {name: reader.get_destination_page_number(place) for name, place in reader.named_destinations.items()}
    return {unquote(name.removeprefix("/")): place + 1 for name, place in places.items()}


def cannot_be_read() -> list[str]:
    """Say which scripts of the glossary no installed font has, where that can be asked."""
    asked = shutil.which("fc-list")
    scripts = {"zh": "Chinese (Debian: apt install fonts-noto-cjk)", "ar": "Arabic"}
    return [
        f"no font for {name}: its words in the glossary are not printed"
        for code, name in scripts.items()
        if asked and not subprocess.run([asked, f":lang={code}"], capture_output=True, check=False).stdout.strip()
    ]


def print_page(page: Path, target: Path) -> list[str]:
    """Print a page of HTML into a PDF and return what does not fit on the paper."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        tab = browser.new_page(viewport={"width": 673, "height": 990})  # A4 less its margins
        tab.set_default_timeout(600_000)
        tab.emulate_media(media="print", color_scheme="light")
        tab.goto(page.as_uri(), wait_until="load")
        problems = tab.evaluate(SETTLE)
        settings = {"prefer_css_page_size": True, "print_background": True, "outline": True, "tagged": True}
        tab.evaluate(NUMBER, page_numbers(tab.pdf(**settings)))
        tab.pdf(path=target, **settings)
        browser.close()
    return problems


def main(site: Path, target: Path) -> int:
    """Merge, print, and say what does not fit."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    page = site / "book-in-one-page.html"
    page.write_text(merge(site, toc, config), encoding="utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    problems = print_page(page.resolve(), target)
    for line in [*problems, *cannot_be_read()]:
        print(line, file=sys.stderr)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
