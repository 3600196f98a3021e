"""``vqvae-course results``: the points of a class as a table, also in the form that Canvas or Moodle takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vqvae_course.assignments.roster import read_roster
from vqvae_course.cli.course import OfAssignment, nbgrader_for
from vqvae_course.cli.options import parse
from vqvae_course.cli.run import say

if TYPE_CHECKING:
    from vqvae_course.assignments.table import Result

EXAMPLE = "vqvae-course results --course course --assignment ps1 --students students.csv --out results.csv"


@dataclass(frozen=True)
class Results(OfAssignment):
    """Write the points of a class into a CSV file.

    Attributes:
        students: The class as CSV, as for collect; none takes all who have been graded.
        canvas: A gradebook exported from Canvas: fill this assignment's column, for an import.
        moodle: A grading worksheet exported from Moodle: fill the grades, to upload it again.
        column: What the assignment is called in Canvas, if not as here.
        out: The file to be written; the exported one is not touched.
        waiting: Write it although some were not graded, or points wait for a person.
    """

    students: Path | None = None
    canvas: Path | None = None
    moodle: Path | None = None
    column: str | None = None
    out: Path = Path("results.csv")
    waiting: bool = False


def main(arguments: Sequence[str]) -> int:
    """Read the options and write the table; return 1 if somebody's points are not in it."""
    options = parse(Results, arguments, "results", EXAMPLE)
    with nbgrader_for("results"):
        from vqvae_course.assignments.roll import late_ones
        from vqvae_course.assignments.table import fill_canvas, fill_moodle, results, write_own
    if options.canvas and options.moodle:
        raise ValueError("results must be for one platform, got --canvas and --moodle")
    course, name, out = options.course.expanduser(), options.assignment, options.out.expanduser()
    exported = options.canvas or options.moodle
    if exported and exported.expanduser().resolve() == out.resolve():
        raise ValueError(f"out must be another file than the exported one, got {options.out} for both")
    listed = options.students or exported
    roster = read_roster(listed.expanduser()) if listed else None
    found = results(course, name, roster, late_ones(course, name), others=not options.students)
    if not options.waiting:
        must_be_complete(found)
    left_out: list[str] = []
    if options.canvas:
        left_out = fill_canvas(options.canvas.expanduser(), out, options.column or name, found)
    elif options.moodle:
        left_out = fill_moodle(options.moodle.expanduser(), out, found)
    else:
        write_own(out, found)
    for student in left_out:
        say(f"LEFT OUT  {student} has points and no row in {exported}")
    entries = len([one for one in found if one.points]) - len(left_out)
    say(f"{out}: {entries} of {len(found)} students have points.")
    return 1 if left_out else 0


def must_be_complete(found: "Sequence[Result]") -> None:
    """Raise ``ValueError`` if something has been handed in and not graded, or waits for a person."""
    ungraded = [one.student.id for one in found if one.ungraded]
    waiting = [one.student.id for one in found if one.waiting]
    reasons = []
    if ungraded:
        reasons.append(f"{', '.join(ungraded)} handed in and were not graded: autograde them")
    if waiting:
        reasons.append(
            f"{', '.join(waiting)} wait for you: written answers have no points yet, or points given by hand must be "
            "saved again after a regrade. Do that in the formgrader"
        )
    if reasons:
        raise ValueError(f"results must be complete, and {'; '.join(reasons)}; --waiting writes what there is")
