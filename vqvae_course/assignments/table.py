"""The results of a class as tables: our own, and those that Canvas and Moodle take back."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nbgrader.api import MissingEntry

from vqvae_course.assignments.gradebook import is_graded
from vqvae_course.assignments.programs import open_gradebook
from vqvae_course.assignments.roster import Student, folded, of_canvas, of_moodle, read_lines
from vqvae_course.runtime import whole_file

CANVAS_COLUMNS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")  # what Canvas wants to find a row by


@dataclass(frozen=True)
class Result:
    """What a student has in an assignment.

    Attributes:
        student: Of the roster; without one, with the id alone.
        points: By notebook. Empty if nothing was graded.
        possible: Points that can be had in the whole assignment.
        handed_in: When, in UTC; None if that is not known.
        late: How much after the time to hand in; None if in time or unknown.
        marked_late: Whether the learning platform said that it was late.
        waiting: Whether a written answer waits for a person.
    """

    student: Student
    points: Mapping[str, float]
    possible: float
    handed_in: datetime | None
    late: timedelta | None
    marked_late: bool
    waiting: bool

    @property
    def total(self) -> float | None:
        """All points, None if nothing was graded."""
        return sum(self.points.values()) if self.points else None


def results(
    course: Path, assignment: str, roster: Sequence[Student] | None = None, marked_late: Sequence[str] = ()
) -> list[Result]:
    """Return what everybody has: all who have been graded, and all of the roster.

    Args:
        course: Folder of the course.
        assignment: Its name.
        roster: The class.
        marked_late: Ids of students whose hand-in the learning platform called late.

    Raises:
        ValueError: If nothing has been graded yet, or somebody who has is not on the roster.
    """
    place = course / "gradebook.db"
    if not place.exists():
        raise ValueError(f"course must hold a gradebook.db, and {course} does not: release and autograde first")
    with open_gradebook(place) as book:
        try:
            possible = book.find_assignment(assignment).max_score
            graded = {one.student.id: one for one in book.assignment_submissions(assignment)}
        except MissingEntry as error:
            raise ValueError(f"assignment must be one that has been released, got {assignment!r}") from error
        known = {one.id: one for one in (roster if roster is not None else map(Student, graded))}
        if strangers := sorted(graded.keys() - known.keys()):
            raise ValueError(f"students must hold everybody who was graded, and lacks {', '.join(strangers)}")
        return [_result(one, graded.get(one.id), possible, one.id in marked_late) for one in known.values()]


def _result(student: Student, graded: object, possible: float, marked_late: bool) -> Result:
    parts = [part for part in graded.notebooks if is_graded(part)] if graded else []
    if not parts:
        return Result(student, {}, possible, None, None, marked_late, False)
    return Result(
        student,
        {part.name: part.score for part in parts},
        possible,
        graded.timestamp and graded.timestamp.replace(tzinfo=UTC),
        timedelta(seconds=graded.total_seconds_late) or None,
        marked_late,
        any(part.needs_manual_grade for part in parts),
    )


def number(points: float | None) -> str:
    """Return points as a table has them, without needless zeros; empty for none."""
    return "" if points is None else f"{points:.4g}"


def write_own(path: Path, found: Sequence[Result]) -> None:
    """Write a row a student, with the points of each notebook."""
    notebooks = sorted({name for one in found for name in one.points})
    head = ["id", "name", "email", *notebooks, "points", "possible", "handed_in", "hours_late", "late", "waiting"]
    rows = [
        [
            one.student.id,
            one.student.name,
            one.student.email,
            *(number(one.points.get(name)) for name in notebooks),
            number(one.total),
            number(one.possible),
            one.handed_in.isoformat() if one.handed_in else "",
            f"{one.late.total_seconds() / 3600:.1f}" if one.late else "",
            "yes" if one.late or one.marked_late else "",
            "yes" if one.waiting else "",
        ]
        for one in found
    ]
    _write(path, head, rows)


def fill_canvas(template: Path, path: Path, assignment: str, found: Sequence[Result]) -> int:
    """Fill the column of an assignment in a gradebook that was exported from Canvas, for its import.

    Of the other columns only those remain by which Canvas finds a student, so that an import changes nothing else. Who
    was not graded gets no entry, and keeps what Canvas has.

    Args:
        template: The exported gradebook.
        path: The file to be written.
        assignment: The beginning of the column's name, as ``ps1`` for ``ps1 (12345)``.
        found: The results.

    Returns:
        How many students have an entry.

    Raises:
        ValueError: If there is not exactly one such column, or a student of the results has no row.
    """
    columns, *rows = read_lines(template)[0]
    fitting = [name for name in columns if name == assignment or name.startswith(f"{assignment} (")]
    if len(fitting) != 1:
        raise ValueError(
            f"canvas must be a gradebook exported from Canvas with one column {assignment!r}, and {template} has "
            f"{', '.join(fitting) or 'none'}: make the assignment in Canvas and export again, or name it with --column"
        )
    entries = _entries(columns, rows, of_canvas, found, template)
    kept = [columns.index(name) for name in CANVAS_COLUMNS if name in columns]
    body = [[*(row[place] for place in kept), entry] for row, entry in zip(rows, entries, strict=True) if any(row)]
    _write(path, [*(columns[place] for place in kept), *fitting], body)
    return sum(map(bool, entries))


def fill_moodle(template: Path, path: Path, found: Sequence[Result]) -> int:
    """Fill the grades in a grading worksheet that was exported from Moodle, to be uploaded there again.

    Args:
        template: The exported worksheet.
        path: The file to be written.
        found: The results.

    Returns:
        How many students have an entry.

    Raises:
        ValueError: If the worksheet has no column for grades, or another maximum than the assignment, or if a student
            of the results has no row.
    """
    columns, *rows = read_lines(template)[0]
    if "Grade" not in columns:
        raise ValueError(f"moodle must be a grading worksheet with a column 'Grade', and {template} has none")
    grade, possible = columns.index("Grade"), found[0].possible if found else 0.0
    if "Maximum Grade" in columns:
        place = columns.index("Maximum Grade")
        maxima = {row[place].replace(",", ".") for row in rows if len(row) > place and row[place]}
        if wrong := [most for most in maxima if float(most) != possible]:
            raise ValueError(
                f"moodle must have the maximum grade of the assignment, {number(possible)}, and {template} has "
                f"{wrong[0]}: change it in the settings of the assignment in Moodle, and export again"
            )
    entries = _entries(columns, rows, of_moodle, found, template)
    body = [[*row[:grade], entry or row[grade], *row[grade + 1 :]] for row, entry in zip(rows, entries, strict=True)]
    _write(path, columns, body)
    return sum(map(bool, entries))


def _entries(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    reader: Callable[[Sequence[dict[str, str]]], Iterator[Student]],
    found: Sequence[Result],
    template: Path,
) -> list[str]:
    """Return the points to be entered in each row of an export, empty where there are none."""
    low = [name.casefold() for name in columns]
    students = [next(reader([dict(zip(low, row, strict=False))]), None) if any(row) else None for row in rows]
    entries, entered = [], set()
    for student in students:
        own = [one for one in found if student and _same(one.student, student)]
        entered |= {one.student.id for one in own}
        entries.append(number(own[0].total) if own else "")
    if lacking := sorted(one.student.id for one in found if one.points and one.student.id not in entered):
        raise ValueError(f"{template} must hold everybody who was graded, and lacks {', '.join(lacking)}")
    return entries


def _same(one: Student, other: Student) -> bool:
    """Whether the rows of two lists are of one student: by a number of the platform, else by the id."""
    numbers = [(one.canvas, other.canvas), (one.moodle, other.moodle)]
    known = [a == b for a, b in numbers if a and b]
    return known[0] if known else folded(one.id) == folded(other.id)


def _write(path: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([head, *rows])
    with whole_file(path) as file:
        file.write(b"\xef\xbb\xbf" + text.getvalue().encode())  # spreadsheets take it for UTF-8 by that
