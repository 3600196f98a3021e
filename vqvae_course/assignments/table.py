"""The results of a class as tables: our own, and those that Canvas and Moodle take back."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nbgrader.api import MissingEntry, SubmittedAssignment

from vqvae_course.assignments.gradebook import is_graded
from vqvae_course.assignments.handed_in import handed_in, last, submitters
from vqvae_course.assignments.names import shown
from vqvae_course.assignments.programs import open_gradebook
from vqvae_course.assignments.roster import (
    CANVAS_LOGINS,
    MOODLE_LOGINS,
    Student,
    fits,
    folded,
    of_canvas,
    of_moodle,
    read_lines,
)
from vqvae_course.runtime import whole_file

CANVAS_COLUMNS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")  # what Canvas wants to find a row by
POSSIBLE = "points possible"  # Canvas' row with the maximum of each column
DECIMAL_COMMA = re.compile(r"[\d.\s]*\d,\d{1,2}")
FORMULA = re.compile(r"[=+@\t\r-]")  # how a cell begins that a spreadsheet computes
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


@dataclass(frozen=True)
class Result:
    """What a student has in an assignment.

    Attributes:
        student: Of the roster; without one, with the id alone.
        points: By notebook, without the penalty. Empty if nothing was graded.
        possible: Points that can be had in the whole assignment.
        handed_in: When, in UTC; None if that is not known.
        late: How much after the time to hand in; None if in time or unknown.
        marked_late: Whether the learning platform said that it was late.
        waiting: Whether a written answer waits for a person.
        penalty: What nbgrader subtracts because it was late; the points are what remains.
        ungraded: Whether something was handed in that nobody has graded.
    """

    student: Student
    points: Mapping[str, float]
    possible: float
    handed_in: datetime | None
    late: timedelta | None
    marked_late: bool
    waiting: bool
    penalty: float = 0.0
    ungraded: bool = False

    @property
    def total(self) -> float | None:
        """All points, None if nothing was graded."""
        return sum(self.points.values()) if self.points else None


def results(
    course: Path,
    assignment: str,
    roster: Sequence[Student] | None = None,
    marked_late: Sequence[str] = (),
    others: bool = False,
) -> list[Result]:
    """Return what everybody has: all who have been graded or handed in, and all of the roster.

    Args:
        course: Folder of the course.
        assignment: Its name.
        roster: The class.
        marked_late: Ids of students whose hand-in the learning platform called late.
        others: Take those whom the roster lacks too, with the id alone, in place of refusing.

    Raises:
        ValueError: If nothing has been graded yet, or somebody who has, or handed in, is not on the roster.
    """
    place = course / "gradebook.db"
    if not place.exists():
        raise ValueError(f"course must hold a gradebook.db, and {course} does not: release and autograde first")
    with open_gradebook(place) as book:
        try:
            made = book.find_assignment(assignment)
            graded = {one.student.id: one for one in book.assignment_submissions(assignment)}
        except MissingEntry as error:
            raise ValueError(f"assignment must be one that has been released, got {assignment!r}") from error
        there = submitters(course, assignment)
        known = {one.id: one for one in roster or ()}
        strangers = sorted((graded.keys() | there) - known.keys())
        if strangers and roster is not None and not others:
            raise ValueError(
                f"students must hold everybody who handed in or was graded, and lacks {', '.join(strangers)}"
            )
        times = _times(course, assignment)
        due = made.duedate and made.duedate.replace(tzinfo=UTC)
        found = []
        for one in (*known.values(), *map(Student, strangers)):
            submission = graded.get(one.id)
            held = _held(course, assignment, one.id) & {part.name for part in made.notebooks}
            moment, late = _when(submission, times.get(one.id) if one.id in there else None, due)
            facts = _Facts(made.max_score, moment, late, one.id in marked_late, one.id in there, held)
            found.append(_result(one, submission, facts))
        return found


@dataclass(frozen=True)
class _Facts:
    """What is known of a student without the gradebook's points."""

    possible: float
    moment: datetime | None
    late: timedelta | None
    marked_late: bool
    there: bool
    held: set[str]


def _times(course: Path, assignment: str) -> dict[str, datetime]:
    """Return when students handed in, the last of their notebooks, as collecting wrote it down."""
    times: dict[str, datetime] = {}
    for (student, _), row in last(handed_in(course, assignment)).items():
        if row.time:
            times[student] = max(row.time, times.get(student, row.time))
    return times


def _held(course: Path, assignment: str, student: str) -> set[str]:
    return {path.stem for path in (course / "submitted" / student / assignment).glob("*.ipynb")}


def _when(
    submission: SubmittedAssignment | None, collected: datetime | None, due: datetime | None
) -> tuple[datetime | None, timedelta | None]:
    """Return when it was handed in and how late: nbgrader knows that of what it graded, extensions too."""
    if submission and submission.timestamp:
        late = timedelta(seconds=submission.total_seconds_late)
        return submission.timestamp.replace(tzinfo=UTC), late or None
    return collected, collected - due if collected and due and collected > due else None


def _result(student: Student, submission: SubmittedAssignment | None, facts: _Facts) -> Result:
    parts = [part for part in submission.notebooks if is_graded(part)] if submission else []
    penalties = {part.name: part.late_submission_penalty or 0.0 for part in parts}
    return Result(
        student,
        {part.name: max(0.0, part.score - penalties[part.name]) for part in parts},  # as nbgrader's own export
        facts.possible,
        facts.moment,
        facts.late,
        facts.marked_late,
        any(part.needs_manual_grade for part in parts),
        sum(penalties.values()),
        facts.there and (not parts or bool(facts.held - penalties.keys())),
    )


def number(points: float | None) -> str:
    """Return points as a table has them, with at most four decimals and no needless zeros; empty for none."""
    if points is None:
        return ""
    rounded = round(points, 4) + 0.0  # never -0
    return f"{rounded:.4f}".rstrip("0").rstrip(".")


def write_own(path: Path, found: Sequence[Result]) -> None:
    """Write a row a student, with the points of each notebook; no cell is one that a spreadsheet computes."""
    notebooks = sorted({name for one in found for name in one.points})
    known = ["penalty", "points", "possible", "handed_in", "hours_late", "late", "graded", "waiting"]
    rows = [
        [
            one.student.id,
            one.student.name,
            one.student.email,
            *(number(one.points.get(name)) for name in notebooks),
            number(one.penalty or None),
            number(one.total),
            number(one.possible),
            one.handed_in.isoformat() if one.handed_in else "",
            f"{one.late.total_seconds() / 3600:.1f}" if one.late else "",
            "yes" if one.late or one.marked_late else "",
            "yes" if one.points and not one.ungraded else "no",
            "yes" if one.waiting else "",
        ]
        for one in found
    ]
    head = ["id", "name", "email", *notebooks, *known]
    _write(path, [[_harmless(cell) for cell in row] for row in (head, *rows)])


def _harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: names are what students write."""
    return f"'{cell}" if FORMULA.match(cell) and not NUMBER.fullmatch(cell) else cell


def fill_canvas(template: Path, path: Path, assignment: str, found: Sequence[Result]) -> list[str]:
    """Fill the column of an assignment in a gradebook that was exported from Canvas, for its import.

    Of the other columns only those remain by which Canvas finds a student, so that an import changes nothing else. Who
    was not graded gets no entry, and keeps what Canvas has.

    Args:
        template: The exported gradebook.
        path: The file to be written.
        assignment: The beginning of the column's name, as ``ps1`` for ``ps1 (12345)``.
        found: The results.

    Returns:
        The ids of students who have points and no row.

    Raises:
        ValueError: If there is not exactly one such column, it has another maximum than the assignment, or if it is not
            certain whose a row is.
    """
    export = _read_export(template, "canvas")
    columns = export.columns
    fitting = [name for name in columns if name == assignment or name.startswith(f"{assignment} (")]
    if len(fitting) != 1:
        raise ValueError(
            f"canvas must be a gradebook exported from Canvas with one column {assignment!r}, and {template} has "
            f"{', '.join(fitting) or 'none'}: make the assignment in Canvas and export again, or name it with --column"
        )
    column = columns.index(fitting[0])
    maxima = [row[column] for row in export.rows if any(cell.casefold() == POSSIBLE for cell in row)]
    _must_have_maximum("Canvas", maxima, found, template)
    entered, left_out = _entered(export, of_canvas, CANVAS_LOGINS, found)
    comma = _has_decimal_commas(cell for row in export.rows for cell in row[len(CANVAS_COLUMNS) :])
    kept = [columns.index(name) for name in CANVAS_COLUMNS if name in columns]
    body = [
        [*(row[each] for each in kept), _written(entered.get(place), comma)] for place, row in enumerate(export.rows)
    ]
    _write(path, [[*(columns[each] for each in kept), *fitting], *body], export.sign)
    return left_out


def fill_moodle(template: Path, path: Path, found: Sequence[Result]) -> list[str]:
    """Fill the grades in a grading worksheet that was exported from Moodle, to be uploaded there again.

    Args:
        template: The exported worksheet.
        path: The file to be written.
        found: The results.

    Returns:
        The ids of students who have points and no row.

    Raises:
        ValueError: If the worksheet has no column for grades, or another maximum than the assignment, or if it is not
            certain whose a row is.
    """
    export = _read_export(template, "moodle")
    columns = export.columns
    if "Grade" not in columns:
        raise ValueError(f"moodle must be a grading worksheet with a column 'Grade', and {template} has none")
    grade = columns.index("Grade")
    maxima = [row[columns.index("Maximum Grade")] for row in export.rows] if "Maximum Grade" in columns else []
    _must_have_maximum("Moodle", maxima, found, template)
    entered, left_out = _entered(export, of_moodle, MOODLE_LOGINS, found)
    comma = _has_decimal_commas([*maxima, *(row[grade] for row in export.rows)])
    body = [
        [*row[:grade], _written(entered.get(place), comma) or row[grade], *row[grade + 1 :]]
        for place, row in enumerate(export.rows)
    ]
    _write(path, [columns, *body], export.sign)
    return left_out


# --- what a platform exported


@dataclass(frozen=True)
class _Export:
    """A table of a platform's: its rows are at least as long as its columns, and none is blank."""

    path: Path
    columns: list[str]
    rows: list[list[str]]
    sign: str


def _read_export(path: Path, what: str) -> _Export:
    (columns, *lines), sign = read_lines(path, what)
    return _Export(path, columns, [[*line, *[""] * (len(columns) - len(line))] for line in lines if any(line)], sign)


def _must_have_maximum(platform: str, cells: Iterable[str], found: Sequence[Result], template: Path) -> None:
    """Raise ``ValueError`` if a platform counts to another number of points than the assignment."""
    possible = found[0].possible if found else 0.0
    for cell in filter(None, cells):
        most = _read_number(cell)
        if found and (most is None or abs(most - possible) > 0.005):  # platforms show two decimals
            raise ValueError(
                f"{platform.lower()} must have the maximum grade of the assignment, {number(possible)}, and {template} "
                f"has {shown(cell)}: change it in the settings of the assignment in {platform}, and export again"
            )


def _read_number(text: str) -> float | None:
    """Return a number such as ``10.00``, ``10,00``, ``1,000.00`` or ``1.000,00``; None if it is none."""
    text = re.sub(r"\s", "", text)
    if "," in text and "." in text:
        text = text.replace(min(",.", key=text.rindex), "")  # the last sign is that of the decimals
    text = text.replace(",", ".")
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) else None


def _has_decimal_commas(cells: Iterable[str]) -> bool:
    return any(map(DECIMAL_COMMA.fullmatch, cells))


def _written(result: Result | None, comma: bool) -> str:
    text = number(result.total) if result else ""
    return text.replace(".", ",") if comma else text


# --- whose row it is


@dataclass(frozen=True)
class _Row:
    """The student in a row of an export, and the logins there, in small letters."""

    student: Student
    logins: frozenset[str]

    def __str__(self) -> str:
        parts = (self.student.name, self.student.canvas or self.student.moodle or self.student.id)
        return " ".join(shown(part) for part in parts if part)


def _entered(
    export: _Export,
    reader: Callable[[Sequence[dict[str, str]]], Iterator[Student]],
    logins: Sequence[str],
    found: Sequence[Result],
) -> tuple[dict[int, Result], list[str]]:
    """Return what is to be entered in which row, and the ids of those who have points and no row.

    Raises:
        ValueError: If it is not certain whose a row is.
    """
    rows: dict[int, _Row] = {}
    for place, cells in enumerate(export.rows):
        row = dict(zip(map(str.casefold, export.columns), cells, strict=False))
        for student in reader([row]):
            rows[place] = _Row(student, frozenset(folded(row[key]) for key in logins if row.get(key)))
    sure = [(place, one) for place, row in rows.items() for one in found if _is_of(row, one.student)]
    _must_be_one_each(sure, rows, export.path)
    _must_not_be_another(sure, rows, found, export.path)
    pairs = [*sure, *_by_name(sure, rows, found)]
    there = {one.student.id for _, one in pairs}
    left_out = [one.student.id for one in found if one.points and one.student.id not in there]
    return dict(pairs), sorted(left_out)


def _is_of(row: _Row, student: Student) -> bool | None:
    """Say whether a row is a student's: by the platform's number, else by a login; None if neither tells.

    Canvas' own number is no login, be it somebody's id.
    """
    other = row.student
    for one, another in ((student.canvas, other.canvas), (student.moodle, other.moodle)):
        if one and another:
            return one == another
    return True if folded(student.id) in row.logins else None


def _by_name(
    sure: Sequence[tuple[int, Result]], rows: Mapping[int, _Row], found: Sequence[Result]
) -> list[tuple[int, Result]]:
    """Return pairs of one full name, of which no other row and no other student may be."""
    taken, known = {place for place, _ in sure}, {one.student.id for _, one in sure}
    pairs = [
        (place, one)
        for place, row in rows.items()
        for one in found
        if _is_of(row, one.student) is None and fits(row.student.name, one.student.name)
    ]
    places, ids = [place for place, _ in pairs], [one.student.id for _, one in pairs]
    return [
        (place, one)
        for place, one in pairs
        if places.count(place) == ids.count(one.student.id) == 1 and place not in taken and one.student.id not in known
    ]


def _must_be_one_each(sure: Sequence[tuple[int, Result]], rows: Mapping[int, _Row], path: Path) -> None:
    of_student: dict[str, list[str]] = {}
    of_row: dict[int, list[str]] = {}
    for place, one in sure:
        of_student.setdefault(one.student.id, []).append(str(rows[place]))
        of_row.setdefault(place, []).append(one.student.id)
    for student, several in of_student.items():
        if len(several) > 1:
            raise ValueError(
                f"{path} must have one row a student, and those of {' and '.join(several)} are both of {student}, by "
                "number or login: mend the roster, or take the wrong row out"
            )
    for place, ids in of_row.items():
        if len(ids) > 1:
            raise ValueError(
                f"each row of {path} must be of one student, and that of {rows[place]} is of {' and of '.join(ids)}, "
                "by number or login: mend the roster"
            )


def _must_not_be_another(
    sure: Sequence[tuple[int, Result]], rows: Mapping[int, _Row], found: Sequence[Result], path: Path
) -> None:
    for place, one in sure:
        name = rows[place].student.name
        called = [each.student.id for each in found if fits(name, each.student.name)]
        if called and one.student.id not in called:
            raise ValueError(
                f"the row of {rows[place]} in {path} is of {one.student.id} by number or login, and of {called[0]} by "
                "name: mend the roster (numbers of Moodle's participants differ from assignment to assignment)"
            )


def _write(path: Path, lines: Sequence[Sequence[str]], sign: str = ",") -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=sign).writerows(lines)
    with whole_file(path) as file:
        file.write(b"\xef\xbb\xbf" + text.getvalue().encode())  # spreadsheets take it for UTF-8 by that
