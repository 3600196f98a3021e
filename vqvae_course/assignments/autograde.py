"""Grading a class: nbgrader once per student, several at a time, so that one submission stops no other."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from vqvae_course.assignments.programs import run_nbgrader

TRIES = 3  # two processes may write to the gradebook in the same moment


@dataclass(frozen=True)
class Graded:
    """How the grading of one student ended.

    Attributes:
        student: Name of the student's folder.
        problem: What nbgrader said, empty if it graded.
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


def _one(course: Path, assignment: str, student: str, force: bool) -> Graded:
    command = ["autograde", assignment, "--student", student, *(["--force"] if force else [])]
    for _ in range(TRIES):
        done = run_nbgrader(course, command)
        if "database is locked" not in done.stderr:
            break
    if not done.returncode:
        return Graded(student, "")
    said = [line for line in done.stderr.splitlines() if "ERROR" in line or "Error:" in line]
    return Graded(student, " ".join(said[-1:]) or f"nbgrader ended with status {done.returncode}")
