"""``vqvae-course collect``: a learning platform's download, sorted into nbgrader's folders, nobody lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from vqvae_course.cli.course import OfAssignment
from vqvae_course.cli.options import parse
from vqvae_course.cli.run import say

if TYPE_CHECKING:
    from vqvae_course.assignments.collect import Chosen, Plan

EXAMPLE = "vqvae-course collect --course course --assignment ps1 --archive submissions.zip --students students.csv"


@dataclass(frozen=True)
class Collect(OfAssignment):
    """Sort what students handed in into nbgrader's folders: all of it, or nothing and the reasons.

    Attributes:
        archive: Zips, folders or notebooks; none takes COURSE/downloaded/ASSIGNMENT/archive.
        students: The class as CSV: columns id,name,email,canvas_id,moodle_id, Canvas' gradebook or Moodle's worksheet.
        title: What the platform calls the assignment, if not as nbgrader does.
        timezone: Of times in names, such as Europe/Amsterdam; None takes this machine's.
        latest: Of several files of a student for a notebook, take the newest by its name.
        replace: Replace what has been collected; the old is kept below COURSE/as_handed_in.
        dry_run: Say everything and write nothing.
    """

    archive: tuple[Path, ...] = ()
    students: Path | None = None
    title: str | None = None
    timezone: str | None = None
    latest: bool = False
    replace: bool = False
    dry_run: bool = False


def main(arguments: Sequence[str]) -> int:
    """Read the options, judge the download, and collect it if nothing is wrong.

    Return 0 if everything of the released notebooks was written, and only spare files were left out: what is no
    notebook, an autosave beside its notebook, and with ``--latest`` an older version. Return 1 for errors, and if
    another notebook of a student was left out.
    """
    options = parse(Collect, arguments, "collect", EXAMPLE)
    from vqvae_course.assignments.collect import carry_out, plan
    from vqvae_course.assignments.roster import read_roster

    made = plan(
        options.course.expanduser(),
        options.assignment,
        options.archive,
        roster=read_roster(options.students.expanduser()) if options.students else None,
        title=options.title,
        latest=options.latest,
        replace=options.replace,
        zone=zone_of(options.timezone),
    )
    if not made.errors and not options.dry_run:
        carry_out(made)
    report(made)
    say(*summary(made, options))
    return 1 if made.errors or made.unread else 0


def zone_of(name: str | None) -> tzinfo | None:
    """Return the time zone with a name.

    Raises:
        ValueError: If there is none.
    """
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError) as error:  # an OSError for the name of a folder
        raise ValueError(
            f"timezone must be one such as Europe/Amsterdam, got {name!r} (where the system knows none: python -m pip "
            "install tzdata)"
        ) from error


def report(made: "Plan") -> None:
    """Print a line for each student, then what to know."""
    for student, chosen in groupby(made.chosen, key=lambda one: one.row.student):
        say(f"{student}: {', '.join(map(described, chosen))}")
    for label, lines in (
        ("MISSING", made.missing),
        ("WARNING", made.warnings),
        ("LEFT OUT", made.left_out),
        ("ERROR", made.errors),
    ):
        if lines:
            say(*(f"{label}  {line}" for line in lines))


def described(one: "Chosen") -> str:
    """Return a notebook with what is known about it."""
    notes = [one.row.system]
    notes += [f"{one.row.time:%Y-%m-%d %H:%M} UTC"] if one.row.time else []
    notes += ["late"] if one.row.late else []
    notes += {"same": ["collected before"], "replaces": ["replaces another"]}.get(one.state, [])
    return f"{one.row.notebook} ({', '.join(notes)})"


def summary(made: "Plan", options: Collect) -> list[str]:
    """Return how much it was, and what to do next."""
    students = len({one.row.student for one in made.chosen})
    counts = (
        f"{len(made.chosen)} notebooks of {students} students, {len(made.warnings)} warnings, {len(made.left_out)} "
        f"left out, {len(made.errors)} errors."
    )
    if made.errors:
        return [f"{counts} Nothing was written. Mend what is named above, and run this again."]
    if options.dry_run:
        return [f"{counts} Nothing was written, because of --dry-run."]
    replaced = sorted({one.row.student for one in made.chosen if one.state == "replaces"})
    again = [f"Autograde again, with --force, if they have been graded: {', '.join(replaced)}"] if replaced else []
    return [
        counts,
        *again,
        f"Next: vqvae-course autograde --course {options.course} --assignment {options.assignment}",
    ]
