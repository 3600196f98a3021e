"""``vqvae-course grade-report``: all scores of an assignment, and what they do not say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqvae_course.cli.options import parse
from vqvae_course.cli.run import say

EXAMPLE = "vqvae-course grade-report --course course --assignment ps1"


@dataclass(frozen=True)
class GradeReport:
    """List the scores of an assignment, and submissions whose score means something else than it says.

    Attributes:
        course: Folder of the course, in which nbgrader runs.
        assignment: Its name.
        repair: Give lost marks back to notebooks before reporting; autograde again afterwards.
    """

    course: Path = Path("course")
    assignment: str = "ps1"
    repair: bool = False


def main(arguments: Sequence[str]) -> int:
    """Read the options and report; return 1 if something needs a look."""
    options = parse(GradeReport, arguments, "grade-report", EXAMPLE)
    try:
        from vqvae_course.assignments import grades
    except ImportError as error:
        raise ValueError(f"grade-report must find nbgrader ({error}): python -m pip install nbgrader") from error
    course = options.course.expanduser()
    repaired = grades.repair(course, options.assignment) if options.repair else []
    for one in repaired:
        say(f"{one.student}: {one.notebook} {one.text}")
    for score in grades.scores(course, options.assignment):
        waiting = ", a written answer waits for you" if score.waiting else ""
        say(f"{score.student}: {score.notebook} {score.points:g} of {score.possible:g} points{waiting}")
    found = grades.findings(course, options.assignment)
    for one in found:
        say(f"LOOK  {one.student}: {one.notebook} {one.text}")
    if repaired:
        say(f"Scores are from before the repair. Now, in {course}: nbgrader autograde {options.assignment} --force")
    say(f"{len(found)} things to look at." if found else "Nothing odd.")
    return 1 if found or repaired else 0
