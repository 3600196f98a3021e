"""Look through built pages for links and anchors that lead nowhere, and for anything loaded from the network."""

import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

LINKS = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src", "iframe": "src"}


@cache
def read(page: Path) -> BeautifulSoup:
    """Parse a page, once."""
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(page: Path) -> set[str]:
    """Return what an address can point to in a page."""
    return {tag["id"] for tag in read(page).find_all(id=True)} | {""}


def broken(site: Path) -> list[str]:
    """Say, a line each, which addresses in the pages of a folder do not work from a disk with no network."""
    found = []
    for page in sorted(each for each in site.rglob("*.html") if "_static" not in each.parts):
        for tag in read(page).find_all(list(LINKS)):
            address = urlsplit(tag.get(LINKS[tag.name], ""))
            path = unquote(address.path)
            if page == site / "404.html" and path:  # shown at any address: its links begin where the book is published
                path = re.sub("^/[^/]+/", "", path) if path.startswith("/") else f"/{path}"
            target = (page.parent / path).resolve() if path else page
            if address.scheme in ("http", "https") or address.netloc:
                loads = tag.name not in ("a", "link") or "stylesheet" in tag.get("rel", [])
                problem = "is loaded from the network" if loads else ""
            elif address.scheme:  # mailto:, data:
                problem = ""
            elif not target.is_file():
                problem = "does not exist"
            else:
                missing = target.suffix == ".html" and unquote(address.fragment) not in anchors(target)
                problem = "has no such anchor" if missing else ""
            if problem:
                found.append(f"{page.relative_to(site)}: {address.geturl()} {problem}")
    return found


if __name__ == "__main__":
    problems = broken(Path(sys.argv[1]).resolve())
    sys.exit("\n".join(problems) or 0)
