"""``vqvae-course release``: an assignment as students get it, the first time and after it was mended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from vqvae_course.cli.course import OfAssignment, nbgrader_for
from vqvae_course.cli.options import parse
from vqvae_course.cli.run import say

EXAMPLE = "vqvae-course release --course course --assignment ps1 --due '2026-03-01 23:59'"


@dataclass(frozen=True)
class Release(OfAssignment):
    """Release COURSE/source/ASSIGNMENT, also once more after it has been graded: no grade is lost.

    Attributes:
        removed: What becomes of an exercise that is no longer there: its points count for everybody, or are dropped.
        due: Until when to hand in, such as '2026-03-01 23:59' in this machine's time zone, or '... +01:00'.
    """

    removed: Literal["count", "drop"] = "count"
    due: str = ""


def main(arguments: Sequence[str]) -> None:
    """Read the options, release, and say what has changed."""
    options = parse(Release, arguments, "release", EXAMPLE)
    with nbgrader_for("release"):
        from vqvae_course.assignments.release import due_of, release
    course, name = options.course.expanduser(), options.assignment
    done = release(course, name, options.removed, time_of(options.due))
    worth = "count for everybody" if options.removed == "count" else "are dropped"
    for cell in done.removed:
        say(f"- {cell}: gone, its points {worth}")
    for cell in done.back:
        say(f"+ {cell}: back again, with the points and comments that were given by hand before")
    for change in done.repriced:
        say(f"* {change}")
    for cell in done.added:
        say(f"+ {cell}: new; of those who have handed in, nobody has points for it before handing in again")
    if done.updated:
        say(f"{len(done.updated)} submitted notebooks follow; they are kept as they were in {course / 'as_handed_in'}")
    if done.kept:
        say(f"The gradebook and the release before this one are kept in {done.kept}")
    if (due := due_of(course, name)) is not None:
        past = " That is past." if due < datetime.now(UTC) else ""
        say(f"To be handed in until {due.astimezone():%Y-%m-%d %H:%M %Z} ({due:%Y-%m-%d %H:%M} UTC).{past}")
    say(f"Hand out {course / 'release' / name}.")
    if done.submissions:
        again = f"vqvae-course autograde --course {course} --assignment {name} --force"
        say(f"Next, for {done.submissions} submissions: {again}")


def time_of(text: str) -> datetime | None:
    """Return a time; without an offset it is one of this machine's time zone.

    Raises:
        ValueError: If it is none.
    """
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"due must be a time such as '2026-03-01 23:59', got {text!r}") from error
