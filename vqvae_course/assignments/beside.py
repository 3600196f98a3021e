"""The names of what was handed in: notebooks that were renamed, and files that nobody asked for."""

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from vqvae_course.assignments.submission import Note

IMPORTABLE = {".py", ".pyc", ".pyd", ".so", ".dll", ".pth", ".egg", ".zip", ".whl", ".ipy"}
# What systems and Jupyter leave beside files, and nbgrader's own note of the time.
LEFTOVERS = {".ipynb_checkpoints", "__pycache__", "__macosx", "thumbs.db", "desktop.ini", "timestamp.txt"}


def renamed(folder: Path, name: str) -> list[Path]:
    """Return the files of a submission that look like a notebook under another name, those with the same bytes once."""
    found: dict[bytes, Path] = {}
    siblings = _names_of(folder)
    for path in _files(folder):
        if not _like_any(path, [f"{name}.ipynb"]) or path == folder / f"{name}.ipynb":
            continue
        if path.parent == folder and path.name in siblings:  # the right name of another notebook
            continue
        try:
            found.setdefault(path.read_bytes(), path)
        except OSError:
            continue
    return list(found.values())


def _names_of(folder: Path) -> set[str]:
    """Return the names that the notebooks of an assignment have, from the folder of one submission."""
    return {path.name for path in (folder.parents[2] / "source" / folder.name).glob("*.ipynb")}


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _like_any(path: Path, names: Iterable[str]) -> bool:
    """Say whether a file is called like one of some notebooks: ``02_x (1).ipynb``, ``Copy of 02_x.ipynb.txt``."""
    is_notebook = ".ipynb" in path.name.casefold() or path.suffix.casefold() == ".json"
    return is_notebook and any(_letters(name.removesuffix(".ipynb")) in _letters(path.name) for name in names)


def _files(folder: Path) -> list[Path]:
    """Return the files of a submission, also in folders inside of it, without what systems leave behind."""
    files = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.casefold() in LEFTOVERS or part.startswith(".") for part in parts):
            files.append(path)
    return files


def beside(folder: Path) -> Iterator[str]:
    """Say which files were handed in that nobody asked for: Python may import them, or an answer may be in them."""
    names = _names_of(folder)
    given = [folder.parents[2] / place / folder.name for place in ("source", "release")]
    extra = [
        path.relative_to(folder)
        for path in _files(folder)
        if path.name not in names or path.parent != folder
        if not any((place / path.relative_to(folder)).exists() for place in given)
    ]
    code = [path for path in extra if path.suffix.casefold() in IMPORTABLE]
    if code:
        shadowing = sorted({path.parts[0].partition(".")[0] for path in code} & _libraries())
        instead = f" Of these, {', '.join(shadowing)} would be imported instead of a library." if shadowing else ""
        yield (
            f"holds files that Python can import and nobody checks ({', '.join(map(str, code))}).{instead} Read them "
            f"before you trust any points, or delete them from {folder} and autograde again with --force."
        )
    missing = [name for name in names if not (folder / name).exists()]
    claimed = [path for path in extra if _like_any(path, missing)]  # said of the notebook that is missing
    copies_of = [path for path in extra if path not in claimed and _like_any(path, names)]
    if copies_of:
        yield (
            f"holds {', '.join(repr(str(path)) for path in copies_of)} beside a notebook of that name, and nbgrader "
            "grades only the one with the right name. Look which of them holds the answers; if it is another one, "
            "rename it and autograde again with --force."
        )
    rest = [path for path in extra if path not in {*code, *copies_of, *claimed}]
    if rest:
        listed = ", ".join(map(str, rest[:8])) + (f" and {len(rest) - 8} more" if len(rest) > 8 else "")
        yield Note(f"holds other files ({listed}). nbgrader does not grade them: there is nothing to do.")


def _libraries() -> set[str]:
    return {*sys.stdlib_module_names, *packages_distributions(), "vqvae_course", "sitecustomize", "usercustomize"}
