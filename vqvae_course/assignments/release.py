"""The release of an assignment, and a mended one after submissions have been graded.

nbgrader refuses to release an assignment whose cells have changed once there are submissions, after it has deleted the
release that was there. Here the gradebook is brought up to date first, in a copy, and everything is put in its place
only when nbgrader has made the new release. What was there before is kept below ``COURSE/kept``.
"""

import hashlib
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Assignment, Gradebook, MissingEntry

from vqvae_course.assignments.mended import (
    back_again,
    bring_back,
    complete_submissions,
    follow,
    give_points_to_all,
    graded,
    graded_of,
    match_cells,
)
from vqvae_course.assignments.programs import open_gradebook, reason, run_nbgrader
from vqvae_course.runtime import whole_file


@dataclass(frozen=True)
class Released:
    """What a release has changed.

    Attributes:
        removed: Names of graded cells that are gone, and what became of their points.
        added: Names of graded cells that were not there before.
        back: Names of graded cells that had been removed and are there again.
        repriced: Names of graded cells whose points changed, with both.
        submissions: How many students have handed in an earlier release.
        updated: Submitted notebooks whose marks had to follow, as paths below the course.
        kept: Folder with what was there before; None for a first release.
    """

    removed: Sequence[str]
    added: Sequence[str]
    back: Sequence[str]
    repriced: Sequence[str]
    submissions: int
    updated: Sequence[Path]
    kept: Path | None


def release(
    course: Path, assignment: str, removed: Literal["count", "drop"] = "count", due: datetime | None = None
) -> Released:
    """Release ``COURSE/source/ASSIGNMENT``, for the first time or once more.

    Points that were given by hand stay, and so do comments. Old submissions keep what they earn; of an exercise that
    was added they have 0 points until they are handed in again.

    Args:
        course: Folder of the course, in which nbgrader runs.
        assignment: Its name.
        removed: What becomes of an exercise that is no longer there. ``"count"``: everybody has its points.
            ``"drop"``: it is worth nothing, and the total is smaller.
        due: Until when to hand in; None leaves it as it is.

    Raises:
        ValueError: If there is nothing to release, nbgrader refuses it, or somebody grades meanwhile.
    """
    sources = {
        path.stem: nbformat.read(path, as_version=4)
        for path in sorted((course / "source" / assignment).glob("*.ipynb"))
    }
    if not sources:
        raise ValueError(f"course must hold source/{assignment} with notebooks, and {course} does not")
    live = course / "gradebook.db"
    before = _digest(live)
    with TemporaryDirectory(prefix="release-", dir=course) as name:
        made = Path(name)
        if live.exists():
            _copy(live, made / "gradebook.db")
        with open_gradebook(made / "gradebook.db", course.resolve().name) as book:
            known = _assignment(book, assignment, due)
            gone = graded_of(known) - {(stem, cell) for stem, notebook in sources.items() for cell in graded(notebook)}
            added = {(stem, cell) for stem, one in sources.items() for cell in graded(one)} - graded_of(known)
            back, repriced = back_again(known, sources), _repriced(known, sources)
            if removed == "count":
                give_points_to_all(known, sources, gone)
            match_cells(book, known, sources)
            submissions = len(known.submissions)
        _write_all(made / "source" / assignment, sources)
        _copy_others(course / "source" / assignment, made / "source" / assignment)
        _generate(course, assignment, made)
        with open_gradebook(made / "gradebook.db") as book:
            known = book.find_assignment(assignment)
            complete_submissions(book, known, gone if removed == "count" else set())
            bring_back(book, known, sorted(course.glob(f"kept/{assignment}-*/gradebook.db"), reverse=True), set(back))
        if _digest(live) != before:
            raise ValueError(
                "gradebook must not change meanwhile, and somebody gave points in this moment: close the formgrader, "
                "and release again. Nothing has been changed"
            )
        kept = _keep(course, assignment) if submissions or (course / "release" / assignment).exists() else None
        _copy(made / "gradebook.db", live)
        shutil.rmtree(course / "release" / assignment, ignore_errors=True)
        shutil.copytree(made / "release" / assignment, course / "release" / assignment)
    if gone and removed == "count":
        _write_all(course / "source" / assignment, sources)
    updated = follow(course, assignment) if submissions or (course / "submitted").exists() else []
    names = [[f"{cell} in {stem}" for stem, cell in sorted(cells)] for cells in (gone, added, back)]
    return Released(*names if submissions else ((), (), ()), repriced, submissions, updated, kept)


def _repriced(known: Assignment, sources: Mapping[str, NotebookNode]) -> list[str]:
    """Return what changed in the points of cells that were there before."""
    old = {(one.name, cell.name): cell.max_score for one in known.notebooks for cell in one.grade_cells}
    new = {
        (stem, name): cell.metadata.nbgrader.get("points")
        for stem, one in sources.items()
        for name, cell in graded(one).items()
    }
    both = sorted(old.keys() & new.keys())
    return [f"{key[1]} in {key[0]}: {old[key]:g} -> {new[key]:g} points" for key in both if old[key] != new[key]]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _copy(source: Path, target: Path) -> None:
    """Copy a gradebook into another in one transaction, also where a program has the other one open."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target, timeout=60)) as other:
        one.backup(other)


def _assignment(book: Gradebook, name: str, due: datetime | None) -> Assignment:
    settings = {} if due is None else {"duedate": due.astimezone(UTC).replace(tzinfo=None)}
    return book.update_or_create_assignment(name, **settings)


def _write_all(folder: Path, notebooks: Mapping[str, NotebookNode]) -> None:
    for stem, notebook in notebooks.items():
        with whole_file(folder / f"{stem}.ipynb") as file:
            file.write((nbformat.writes(notebook) + "\n").encode())


def _copy_others(source: Path, target: Path) -> None:
    """Copy what lies beside the notebooks, which nbgrader hands out as well."""
    for path in source.iterdir():
        if path.is_dir():
            shutil.copytree(path, target / path.name)
        elif path.suffix != ".ipynb":
            shutil.copy2(path, target / path.name)


def _generate(course: Path, assignment: str, made: Path) -> None:
    command = ["generate_assignment", assignment, "--force"]
    directories = {step: f"{made.name}/{step}" for step in ("source", "release")}
    settings = [f"--CourseDirectory.{step}_directory={path}" for step, path in directories.items()]
    settings += [f"--CourseDirectory.db_url=sqlite:///{made.resolve() / 'gradebook.db'}"]
    settings += ["--ClearMarkScheme.enforce_metadata=False"]  # a rubric stands with a question, which is no task
    done = run_nbgrader(course, [*command, *settings])
    if done.returncode or not any((made / "release" / assignment).glob("*.ipynb")):
        raise ValueError(
            f"assignment must be one that nbgrader can release, and it says: {reason(done.stderr)}. Nothing has been "
            "changed"
        )


def _keep(course: Path, assignment: str) -> Path:
    """Keep the gradebook and the release as they are, and return the folder."""
    now = datetime.now(UTC).strftime("%Y-%m-%d-%H-%M-%S-%f")
    kept = course / "kept" / f"{assignment}-{now}"
    kept.mkdir(parents=True)
    if (course / "gradebook.db").exists():
        _copy(course / "gradebook.db", kept / "gradebook.db")
    if (course / "release" / assignment).exists():
        shutil.copytree(course / "release" / assignment, kept / "release")
    return kept


def due_of(course: Path, assignment: str) -> datetime | None:
    """Return until when an assignment is to be handed in, in UTC, if that has been set."""
    with open_gradebook(course / "gradebook.db") as book:
        try:
            due = book.find_assignment(assignment).duedate
        except MissingEntry:
            return None
    return due and due.replace(tzinfo=UTC)
