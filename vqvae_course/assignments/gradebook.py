"""What nbgrader's gradebook holds."""

from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook, SubmittedNotebook
from sqlalchemy.exc import SQLAlchemyError


@dataclass(frozen=True)
class Score:
    """What a student has in a notebook.

    Attributes:
        student: Name of the student's folder.
        notebook: Name of the notebook.
        points: Reached.
        possible: To be reached.
        waiting: Whether a written answer waits for a person.
    """

    student: str
    notebook: str
    points: float
    possible: float
    waiting: bool


def is_graded(part: SubmittedNotebook) -> bool:
    """Whether a notebook has points, be it 0. nbgrader makes room for them before it grades, and may fail then."""
    return any(grade.auto_score is not None or grade.manual_score is not None for grade in part.grades)


def scores(course: Path, assignment: str) -> list[Score]:
    """Return what is in nbgrader's gradebook of all that was graded.

    Raises:
        ValueError: If there is no gradebook yet, or none that can be read.
    """
    place = course / "gradebook.db"
    if not place.exists():
        raise ValueError(f"course must hold a gradebook.db, and {course} does not: release and autograde first")
    try:
        with Gradebook(f"sqlite:///{place}") as book:
            return [
                Score(one.student.id, part.name, part.score, part.max_score, part.needs_manual_grade)
                for one in book.assignment_submissions(assignment)
                for part in one.notebooks
                if is_graded(part)
            ]
    except SQLAlchemyError as error:
        raise ValueError(f"{place} must be a gradebook of this version of nbgrader, and cannot be read") from error
