"""What has been released of an assignment, now and earlier, and which of it a notebook was made from."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nbformat import NotebookNode

from vqvae_course.assignments.submission import Unreadable, defined, gone, is_answer, marks_of, plain, read, wanted

TIME = re.compile(r"\d{4}(-\d+)+")  # of the folders that release.py keeps


def releases(course: Path, assignment: str) -> dict[str, NotebookNode]:
    """Return the students' versions of an assignment by name, or the instructor's of what has not been released.

    What cannot be read is left out.
    """
    found = {}
    for step in ("source", "release"):
        for path in sorted((course / step / assignment).glob("*.ipynb")):
            with suppress(Unreadable, FileNotFoundError):
                found[path.stem] = read(path)
    return found


def earlier_releases(course: Path, assignment: str, name: str) -> list[NotebookNode]:
    """Return what a notebook was before its release was mended, the newest first."""
    found = []
    for folder in sorted((course / "kept").glob(f"{assignment}-*"), reverse=True):
        if TIME.fullmatch(folder.name.removeprefix(f"{assignment}-")):
            with suppress(Unreadable, FileNotFoundError):
                found.append(read(folder / "release" / f"{name}.ipynb"))
    return found


def added_since(notebook: NotebookNode, released: NotebookNode, earlier: Sequence[NotebookNode]) -> frozenset[str]:
    """Return the grade ids that a notebook lacks because it was made from an earlier release.

    None if it lacks others as well: then nobody can say what it was made from.
    """
    absent = {name for names in gone(notebook, released) for name in names}
    there = wanted(released).keys() - absent
    for one in earlier:
        if absent and there and there == wanted(released).keys() & wanted(one).keys():
            return frozenset(absent)
    return frozenset()


def foreign(notebook: NotebookNode, name: str, released: Mapping[str, NotebookNode]) -> str:
    """Return the name of the other notebook of an assignment whose cells a file holds, empty if they are its own.

    Args:
        notebook: What the file holds.
        name: Of the file, without ``.ipynb``.
        released: All notebooks of the assignment, by name.
    """
    if name not in released:
        return ""
    own = _recognised(notebook, released[name])
    if 2 * own >= len(wanted(released[name])):
        return ""
    for other, its_release in released.items():
        held = _recognised(notebook, its_release) if other != name else 0
        if held > own and 2 * held >= len(wanted(its_release)):
            return other
    return ""


def _recognised(notebook: NotebookNode, released: NotebookNode) -> int:
    """Return how many released cells are in a notebook; ids of cells say nothing, since all notebooks have the same."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    marked, sources, names = wanted(notebook), set(map(plain, code)), set().union(*map(defined, code))

    def is_there(name: str, cell: NotebookNode) -> bool:
        is_locked = bool(marks_of(cell).get("locked")) and plain(cell.source) in sources
        return name in marked or is_locked or (is_answer(cell) and bool(defined(cell.source) & names))

    return sum(is_there(name, cell) for name, cell in wanted(released).items())


def swapped(folder: Path, released: Mapping[str, NotebookNode]) -> dict[str, str]:
    """Return which files of a submission hold the cells of another notebook, and of which."""
    found = {}
    for name in released if len(released) > 1 else ():
        with suppress(Unreadable, FileNotFoundError):
            if other := foreign(read(folder / f"{name}.ipynb"), name, released):
                found[name] = other
    return found
