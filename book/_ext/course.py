"""The book as a whole: pages that need no network, equations that keep their shape, small repairs."""

import re
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlsplit

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx_thebe import init_thebe_core, update_thebe_context

MATHJAX = "tex-svg-full.js"  # one file, glyphs included: no font to fetch, and it works from a disk
REPAIRS = {
    "Show code cell source": "Show the code",
    "Hide code cell source": "Hide the code",
    "Show code cell content": "Show the solution",  # nothing else hides a whole cell
    "Hide code cell content": "Hide the solution",
    ' aria-label="Toggle hidden content"': "",  # it kept those words from screen readers
    ' role="list" class="citation-list"': ' class="citation-list"',  # a list that has no list items
    ' role="doc-biblioentry"': "",  # deprecated
    # A name that differs from the text one sees, which someone who speaks to the computer would say.
    'search-button-field search-button__button pst-js-only" title="Search" aria-label="Search"': (
        'search-button-field search-button__button pst-js-only"'
    ),
    'data-mode="light" title="Light"': 'data-mode="light"',
    'data-mode="dark"  title="Dark"': 'data-mode="dark"',
    'data-mode="auto"  title="System Settings"': 'data-mode="auto"',
    # The logo and the search button are in no region of the page.
    '<div id="pst-primary-sidebar" class=': '<div id="pst-primary-sidebar" role="region" aria-label="Sidebar" class=',
}


def use_local_mathjax(app: Sphinx, config: Config) -> None:
    """Ship one file of MathJax with the book."""
    package = distribution("sphinx-mathjax-offline")
    config.html_static_path.append(str(package.locate_file(f"sphinx-mathjax-offline/static/mathjax/{MATHJAX}")))
    config.mathjax_path = MATHJAX


def drop_thebe(app: Sphinx) -> None:
    """Silence sphinx-thebe, which jupyter-book always loads: its script comes from a CDN and is declared twice."""
    for listeners in app.events.listeners.values():
        listeners[:] = [each for each in listeners if each.handler not in (init_thebe_core, update_thebe_context)]


def keep_equations(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Show as written what a docstring indents after a line that ends in a colon."""
    for number, line in enumerate(lines[:-2]):
        indent = len(line) - len(line.lstrip())
        if line.endswith(":") and not lines[number + 1] and lines[number + 2].startswith(" " * (indent + 1)):
            lines[number] += ":"


def skip_fields(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Leave out the fields of a NamedTuple: its docstring describes them."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def use_address(app: Sphinx, config: Config) -> None:
    """Tell the extensions that need it where the book is published."""
    config.ogp_site_url = config.html_baseurl
    config.notfound_urls_prefix = root = urlsplit(config.html_baseurl).path
    config.notfound_context["body"] = config.notfound_context["body"].format(root=root)


def name_languages(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Say which cells of tables are Chinese or Arabic, so that they are read aloud and drawn as such."""
    cell = r"<(t[dh][^>]*)>(?=<p>[^<]*[{}])"
    for letters, language in (("\u4e00-\u9fff", 'lang="zh-Hans"'), ("\u0600-\u06ff", 'lang="ar" dir="auto"')):
        context["body"] = re.sub(cell.format(letters), rf"<\1 {language}>", context.get("body", ""))


def repair(app: Sphinx, exception: Exception | None) -> None:
    """Mend what the theme and other extensions write into the pages."""
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        before = after = page.read_text(encoding="utf-8")
        for wrong, right in REPAIRS.items():
            after = after.replace(wrong, right)
        if after != before:
            page.write_text(after, encoding="utf-8")


def write_index(app: Sphinx, exception: Exception | None) -> None:
    """Lead from the bare address to the front page, with its card; what is written by default is not even HTML."""
    if exception or app.builder.format != "html":
        return
    front = f"{app.config.root_doc}.html"
    page = (Path(app.outdir) / front).read_text(encoding="utf-8")
    card = re.findall(r'<(?:meta (?:property="og:|name="twitter:|name="description")|link rel="canonical")[^>]*>', page)
    (Path(app.outdir) / "index.html").write_text(
        f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{app.config.html_title}</title>
<meta http-equiv="refresh" content="0; url={front}">
<link rel="icon" href="_static/favicon.svg">
{chr(10).join(card)}
</head>
<body><main><h1><a href="{front}">{app.config.html_title}</a></h1></main></body>
</html>
""",
        encoding="utf-8",
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect them."""
    drop_thebe(app)
    app.connect("config-inited", use_local_mathjax)
    app.connect("autodoc-process-docstring", keep_equations, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("config-inited", use_address, priority=400)
    app.connect("html-page-context", name_languages)
    app.connect("build-finished", repair)
    app.connect("build-finished", write_index, priority=400)  # before sphinx-external-toc writes its own
    return {"parallel_read_safe": True, "parallel_write_safe": True}
