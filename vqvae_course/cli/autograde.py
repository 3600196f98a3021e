"""``vqvae-course autograde``: nbgrader on every submission, several at a time."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vqvae_course.cli.course import OfAssignment, nbgrader_for
from vqvae_course.cli.options import parse
from vqvae_course.cli.run import say

EXAMPLE = "vqvae-course autograde --course course --assignment ps1"


@dataclass(frozen=True)
class Autograde(OfAssignment):
    """Run every submission of an assignment and let its checks give the points.

    Attributes:
        students: Only these, separated by commas.
        jobs: How many submissions at a time; by default one per core, at most eight.
        force: Also those that have been graded before. Points given by hand stay.
    """

    students: str = ""
    jobs: int = 0
    force: bool = False


def main(arguments: Sequence[str]) -> int:
    """Read the options and grade; return 1 if a submission could not be graded."""
    options = parse(Autograde, arguments, "autograde", EXAMPLE)
    with nbgrader_for("autograde"):
        import nbgrader  # noqa: F401 - it is started as a program
    from vqvae_course.assignments.autograde import autograde, by_hand, handed_in

    course, name = options.course.expanduser(), options.assignment
    if options.jobs < 0:
        raise ValueError(f"jobs must be 0 or more, got {options.jobs}")
    known = handed_in(course, name)
    students = [one.strip() for one in options.students.split(",") if one.strip()] or known
    if unknown := [one for one in students if one not in known]:
        raise ValueError(f"students must have handed in {name}, and these have not: {', '.join(unknown)}")
    before = by_hand(course)
    jobs, began, failed = options.jobs or min(8, os.cpu_count() or 1), time.monotonic(), 0
    for number, done in enumerate(autograde(course, name, students, jobs, options.force), start=1):
        failed += bool(done.problem)
        say(f"{number} of {len(students)}  {done.student}{f': {done.problem}' if done.problem else ''}")
    say(f"{len(students)} submissions in {time.monotonic() - began:.0f} s, {failed} of them could not be graded.")
    after = by_hand(course)
    changed = sorted(where for where in before.keys() | after.keys() if before.get(where) != after.get(where))
    for where in changed:
        say(f"CHANGED  {'/'.join(where)}: {shown(before.get(where))} became {shown(after.get(where))} while this ran.")
    if changed:
        say("Unless a person entered that meanwhile, a submission has written into the gradebook: look for it.")
    say(f"Next: vqvae-course grade-report --course {course} --assignment {name}")
    return 1 if failed or changed else 0


def shown(entered: tuple | None) -> str:
    """Return what was entered, as words."""
    return " and ".join(str(one) for one in entered if one is not None) if entered else "nothing"
