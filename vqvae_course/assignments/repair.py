"""Mending what was handed in, so that nbgrader can grade it; the file as it came is kept."""

import copy
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from vqvae_course.assignments.beside import renamed
from vqvae_course.assignments.releases import added_since, earlier_releases, foreign, releases, swapped
from vqvae_course.assignments.submission import (
    Finding,
    Unreadable,
    as_notebook,
    bytes_of,
    copies,
    encoding_of,
    format_of,
    gone,
    grade_id_of,
    marks_of,
    matched,
    parsed,
    same_marks,
    strays,
    stubs_below_answers,
    submissions,
    text_of,
    wanted,
)
from vqvae_course.runtime import whole_file

KEPT = "as_handed_in"  # folder of a course


@dataclass(frozen=True)
class Change:
    """What a repair does to one notebook.

    Attributes:
        student: Name of the student's folder.
        notebook: Name of the notebook, without ``.ipynb``.
        text: What will be done, or why nothing can be.
        path: The file to be written.
        content: What it will hold; None if nothing can be done.
    """

    student: str
    notebook: str
    text: str
    path: Path
    content: bytes | None = None


def plan_repair(course: Path, assignment: str) -> list[Change]:
    """Return what can be repaired in the submissions of an assignment, and what cannot; nothing is changed yet.

    Each file is judged by itself.

    Raises:
        ValueError: If there is no such assignment.
    """
    todo, released = submissions(course, assignment), releases(course, assignment)
    return [change for folder, name in todo for change in _planned(course, folder, name, released)]


def carry_out(course: Path, changes: list[Change]) -> tuple[list[Finding], list[Finding]]:
    """Make the planned changes, and return what was done and what could not be.

    What was handed in is kept below ``COURSE/as_handed_in`` before it is replaced, and is never overwritten there.
    Interrupted halfway, the rest is planned and done next time.
    """
    done, failed = [], []
    for change in changes:
        if change.content is None:
            continue
        try:
            _keep(course, change.path)
            with whole_file(change.path) as file:
                file.write(change.content)
        except OSError as error:
            text = f"could not be repaired ({error}). Make its folder one that you may write to, then repair again."
            failed.append(Finding(change.student, change.notebook, text))
        else:
            done.append(Finding(change.student, change.notebook, change.text))
    return done, failed


def _keep(course: Path, path: Path) -> None:
    """Keep a file as it was handed in, beside an earlier one that differs: it may have been handed in again."""
    if not path.exists():
        return
    data = path.read_bytes()
    first = course / KEPT / path.relative_to(course / "submitted")
    number, kept = 1, first
    while kept.exists() and kept.read_bytes() != data:
        number += 1
        kept = first.with_name(f"{first.stem}.{number}{first.suffix}")
    if not kept.exists():
        with whole_file(kept) as file:
            file.write(data)


def _planned(course: Path, folder: Path, name: str, of_all: Mapping[str, NotebookNode]) -> list[Change]:
    student, path = folder.parent.name, folder / f"{name}.ipynb"
    released = course / "release" / folder.name / f"{name}.ipynb"

    def impossible(why: object) -> Change:
        return Change(student, name, f"cannot be repaired: it {why}.", path)

    steps, origin = [], path
    if not path.exists():
        if place := next((one for one, other in swapped(folder, of_all).items() if other == name), ""):
            return [impossible(f"was handed in as {place}.ipynb: give the files their right names in {folder}")]
        others = renamed(folder, name)
        if len(others) != 1:
            several = f"has {len(others)} files that may be meant: rename the right one" if others else ""
            return [impossible(several or "was not handed in: ask for it")]
        (origin,) = others
        steps.append(f"is copied from {str(origin.relative_to(folder))!r}")
    try:
        data = bytes_of(origin)
        found = parsed(data)
        notebook = as_notebook(found)
    except (Unreadable, FileNotFoundError) as error:
        return [impossible(error)]
    if format_of(found) != 4:
        return [impossible("is in notebook format 3: open and save it in a current Jupyter")]
    if other := foreign(notebook, name, of_all):
        return [impossible(f"holds the cells of {other}: give the files their right names in {folder}")]
    repaired = copy.deepcopy(found)
    steps += _in_the_file(data, found, repaired)
    cannot = []
    try:
        original = parsed(bytes_of(released))
        as_released = as_notebook(original)
    except (FileNotFoundError, Unreadable):
        if not all(map(grade_id_of, notebook.cells)):
            cannot = [impossible(f"may lack marks, and {released} is missing or broken: generate the assignment")]
    else:
        added = added_since(notebook, as_released, earlier_releases(course, folder.name, name))
        steps += _marks(repaired, notebook, original, as_released, added)
        cannot = [impossible(why) for why in _without_remedy(notebook, as_released, added)]
    if not steps:
        return cannot
    content = data if repaired == found and encoding_of(data) == "utf-8" else _written(repaired)
    return [Change(student, name, f"{' and '.join(steps)}.", path, content), *cannot]


def _written(notebook: dict[str, Any]) -> bytes:
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a character, which JSON can hold as an escape
        return (json.dumps(notebook, indent=1) + "\n").encode()


def _in_the_file(data: bytes, found: dict[str, Any], repaired: dict[str, Any]) -> list[str]:
    """Mend what concerns no mark, and say what."""
    steps = []
    if encoding_of(data) != "utf-8":
        steps.append(f"is rewritten from {encoding_of(data)} to plain UTF-8")
    if "nbformat" not in found or "metadata" not in found:
        missing = {"metadata": {}, "nbformat": 4, "nbformat_minor": 5 if any("id" in c for c in found["cells"]) else 4}
        repaired |= {key: value for key, value in missing.items() if key not in found}
        steps.append("says again that it is in notebook format 4")
    windows = [cell for cell in repaired["cells"] if "\r\n" in text_of(cell)]
    for cell in windows:
        cell["source"] = text_of(cell).replace("\r\n", "\n")
    if windows:
        steps.append(f"has plain line ends again in {len(windows)} cells")
    return steps


def _marks(
    repaired: dict[str, Any],
    notebook: NotebookNode,
    original: dict[str, Any],
    released: NotebookNode,
    added: Collection[str],
) -> list[str]:
    """Take marks off copies and strays, give lost ones back, put checks back that were deleted, and say so."""
    steps, cells, originals = [], repaired["cells"], wanted(released)
    places = matched(notebook, released)
    lost = [name for name, place in places.items() if not same_marks(notebook.cells[place], originals[name])]
    for name in lost:
        cells[places[name]].setdefault("metadata", {})["nbgrader"] = dict(marks_of(originals[name]))
    if lost:
        steps.append(f"has its marks back on {len(lost)} cells")
    copied = copies(notebook, released)
    for place in [place for place, cell in enumerate(notebook.cells) if any(cell is one for one in copied)]:
        del cells[place]["metadata"]["nbgrader"]
    if copied:
        steps.append(f"has lost them on {len(copied)} copies")
    unknown = strays(notebook, released)
    for place in unknown:
        del cells[place]["metadata"]["nbgrader"]
    if unknown:
        steps.append(f"has lost marks that the release does not know on {len(unknown)} cells")
    back = [name for name in gone(notebook, released).checks if name not in added]
    _put_back(repaired, {name: cells[place] for name, place in places.items()}, original, back)
    if back:
        steps.append(f"has {len(back)} deleted checks back")
    return steps


def _put_back(repaired: dict[str, Any], present: dict[str, dict], original: dict[str, Any], checks: list[str]) -> None:
    """Put released checks behind the answers that they check, or at the end where those are not in place."""
    cells = repaired["cells"]
    before = ""
    for cell in original["cells"]:
        name = grade_id_of(cell)
        if name in checks:
            fresh = copy.deepcopy(cell)
            if not any("id" in one for one in cells):
                fresh.pop("id", None)  # such a format has none
            place = next((n for n, one in enumerate(cells, 1) if one is present.get(before)), len(cells))
            cells.insert(place, fresh)
        before = name or before


def _without_remedy(notebook: NotebookNode, released: NotebookNode, added: Collection[str]) -> list[str]:
    missing = [name for name in gone(notebook, released).missing if name not in added]
    stubs = stubs_below_answers(notebook, released)
    return [
        *(f"lacks {name}, which stands nowhere else: ask whether that was meant" for name in missing),
        *(
            f"has the untouched stub of {name} below its answer, which defines it anew: delete that cell"
            for name in stubs
        ),
    ]
