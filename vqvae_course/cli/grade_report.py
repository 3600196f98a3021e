"""``vqvae-course grade-report``: all scores of an assignment, and what they do not say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vqvae_course.assignments.roster import read_roster
from vqvae_course.cli.course import OfAssignment, nbgrader_for
from vqvae_course.cli.options import parse
from vqvae_course.cli.run import say
from vqvae_course.runtime import whole_file

EXAMPLE = "vqvae-course grade-report --course course --assignment ps1"


@dataclass(frozen=True)
class GradeReport(OfAssignment):
    """List the scores of an assignment, and submissions whose score means something else than it says.

    Attributes:
        students: The class as CSV, as for collect: then those who handed in nothing are named too.
        repair: Mend submitted notebooks before reporting; autograde again afterwards.
        alike: File for a page of HTML that shows answers which are the same side by side.
    """

    students: Path | None = None
    repair: bool = False
    alike: Path | None = None


class Said(Protocol):
    """A text about a notebook of a student."""

    student: str
    notebook: str
    text: str


def main(arguments: Sequence[str]) -> int:
    """Read the options and report; return 1 if something needs a look."""
    options = parse(GradeReport, arguments, "grade-report", EXAMPLE)
    with nbgrader_for("grade-report"):
        from vqvae_course.assignments import alike, gradebook, looks
        from vqvae_course.assignments.roll import roll
    course, assignment = options.course.expanduser(), options.assignment
    repaired = repair(course, assignment) if options.repair else 0
    found, notes = looks.findings(course, assignment), looks.notes(course, assignment)
    groups, published = alike.alike(course, assignment), alike.published(course, assignment)
    if looks.was_graded(course, assignment):
        for score in gradebook.scores(course, assignment):
            waiting = ", a written answer waits for you" if score.waiting else ""
            say(f"{score.student}: {score.notebook} {score.points:g} of {score.possible:g} points{waiting}")
    else:
        say(f"Nothing was graded yet. To grade: vqvae-course autograde --course {course} --assignment {assignment}")
    say_all(*roll(course, assignment, read_roster(options.students.expanduser()) if options.students else None))
    say_all(*(f"NOTE  {group}." for group in published), *lines("NOTE  ", notes))
    say_all(*(f"ALIKE  {group}" for group in groups))
    say_all(*lines("LOOK  ", found))
    if options.alike:
        with whole_file(options.alike.expanduser()) as file:
            file.write(alike.page(groups, f"Answers that are alike in {assignment}").encode())
        say(f"{len(groups)} groups of answers side by side: {options.alike}")
    if repaired:
        again = f"vqvae-course autograde --course {course} --assignment {assignment} --force"
        say(f"Scores are from before the repair. Now: {again}")
    say(f"{len(found)} things to look at." if found else "Nothing odd.")
    return 1 if found or repaired else 0


def repair(course: Path, assignment: str) -> int:
    """Say what will be repaired and what cannot be, do it, say what was done, and return how much that was."""
    from vqvae_course.assignments.repair import carry_out, plan_repair

    changes = plan_repair(course, assignment)
    to_do = [change for change in changes if change.content is not None]
    cannot = [change for change in changes if change.content is None]
    say("To be repaired:" if to_do else "Nothing can be repaired." if cannot else "Nothing to repair.")
    say_all(*lines("  ", to_do), *lines("CANNOT  ", cannot))
    done, failed = carry_out(course, changes)
    say_all(*(["Repaired; what was handed in is kept under as_handed_in:"] if done else []), *lines("  ", done))
    say_all(*lines("FAILED  ", failed))
    return len(done) + len(failed)


def say_all(*some: str) -> None:
    """Print lines, and nothing where there are none."""
    if some:
        say(*some)


def lines(mark: str, said: Iterable[Said]) -> list[str]:
    """Return texts about notebooks as lines."""
    return [f"{mark}{one.student}: {one.notebook} {one.text}" for one in said]
