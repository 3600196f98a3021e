"""Grading a class: nbgrader once per student, several at a time, so that one submission stops no other."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import nbformat

from vqvae_course.assignments.mended import follow
from vqvae_course.assignments.programs import open_gradebook, reason, run_nbgrader

TRIES = 3  # two processes may write to the gradebook in the same moment
ONE_WRITES = Lock()


@dataclass(frozen=True)
class Graded:
    """How the grading of one student ended.

    Attributes:
        student: Name of the student's folder.
        problem: Why nbgrader could not grade all of it, empty if it could.
    """

    student: str
    problem: str


def autograde(course: Path, assignment: str, students: Sequence[str], jobs: int, force: bool) -> Iterator[Graded]:
    """Autograde submissions, and yield how each ended, in the order in which they end.

    Args:
        course: Folder of the course, in which nbgrader runs.
        assignment: Its name.
        students: Names of their folders.
        jobs: How many at a time.
        force: Also those that have been graded.
    """
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_one, course, assignment, student, force) for student in students]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def handed_in(course: Path, assignment: str) -> list[str]:
    """Return the students who have a folder for this assignment.

    Raises:
        ValueError: If nobody has.
    """
    found = sorted(path.parent.name for path in (course / "submitted").glob(f"*/{assignment}") if path.is_dir())
    if not found:
        raise ValueError(f"course must hold submitted/STUDENT/{assignment}, and {course} does not: collect first")
    return found


def by_hand(course: Path) -> dict[tuple[str, ...], tuple]:
    """Return all that people have entered into a gradebook: points, extra credit and comments, by where they stand.

    Grading runs what students wrote, in a folder below the gradebook. Nothing of this may change by it.
    """
    if not (course / "gradebook.db").exists():
        return {}
    with open_gradebook(course / "gradebook.db") as book:
        parts = [(one, part) for name in book.assignments for one in name.submissions for part in one.notebooks]
        points = {
            (one.assignment.name, one.student.id, part.name, grade.name): (grade.manual_score, grade.extra_credit)
            for one, part in parts
            for grade in part.grades
            if grade.manual_score is not None or grade.extra_credit
        }
        comments = {
            (one.assignment.name, one.student.id, part.name, note.name, "comment"): (note.manual_comment,)
            for one, part in parts
            for note in part.comments
            if note.manual_comment
        }
        return points | comments


def _one(course: Path, assignment: str, student: str, force: bool) -> Graded:
    with ONE_WRITES:
        follow(course, assignment, student)
        confirmed = _confirmed(course, assignment, student)
    command = ["autograde", assignment, "--student", student, *(["--force"] if force else [])]
    problems = [_run(course, command)]
    names = sorted(path.stem for path in (course / "submitted" / student / assignment).glob("*.ipynb"))
    if problems[0] and len(names) > 1:  # nbgrader gives up the others with the one that it cannot grade
        problems = [f"{name}: {said}" for name in names if (said := _run(course, [*command, "--notebook", name]))]
    with ONE_WRITES:
        _settle(course, assignment, student, confirmed)
    return Graded(student, "; ".join(filter(None, problems)))


def _run(course: Path, command: Sequence[str]) -> str:
    for _ in range(TRIES):
        done = run_nbgrader(course, command)
        if "database is locked" not in done.stderr:
            break
    return reason(done.stderr) if done.returncode else ""


def _confirmed(course: Path, assignment: str, student: str) -> dict[tuple[str, str], tuple]:
    """Return the cells that a person has looked at, with what was looked at: the automatic points and the answer."""
    if not (course / "gradebook.db").exists():
        return {}
    with open_gradebook(course / "gradebook.db") as book:
        return {
            (part.name, grade.name): (grade.auto_score, _source(course, assignment, student, part.name, grade.name))
            for one in book.assignment_submissions(assignment)
            if one.student.id == student
            for part in one.notebooks
            for grade in part.grades
            if grade.manual_score is not None and not grade.needs_manual_grade
        }


def _settle(course: Path, assignment: str, student: str, confirmed: dict[tuple[str, str], tuple]) -> None:
    """Finish what nbgrader leaves open.

    A cell that a notebook does not have, as when it was made from an earlier release, has 0 points and waits for
    nobody. Points given by hand need no second look if neither the answer nor its automatic points have changed.
    """
    if not (course / "gradebook.db").exists():
        return
    with open_gradebook(course / "gradebook.db") as book:
        for one in book.assignment_submissions(assignment):
            for part in one.notebooks if one.student.id == student else ():
                cells = _cells(course, assignment, student, part.name)
                for grade in part.grades if cells else ():
                    if grade.name not in cells and grade.auto_score is None and grade.manual_score is None:
                        grade.auto_score, grade.needs_manual_grade = 0.0, False
                    if confirmed.get((part.name, grade.name)) == (grade.auto_score, cells.get(grade.name)):
                        grade.needs_manual_grade = False
        book.db.commit()


def _source(course: Path, assignment: str, student: str, notebook: str, name: str) -> str | None:
    return _cells(course, assignment, student, notebook).get(name)


def _cells(course: Path, assignment: str, student: str, notebook: str) -> dict[str, str]:
    """Return the cells of a notebook that was graded, by the names that nbgrader has for them."""
    path = course / "autograded" / student / assignment / f"{notebook}.ipynb"
    if not path.exists():
        return {}
    cells = nbformat.read(path, as_version=4).cells
    return {cell.metadata.nbgrader.grade_id: cell.source for cell in cells if "nbgrader" in cell.metadata}
