"""The roll of a class: who handed in nothing, not everything, too late, or more than once."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from vqvae_course.assignments.handed_in import handed_in, last, submitters
from vqvae_course.assignments.release import due_of
from vqvae_course.assignments.roster import Student
from vqvae_course.assignments.submission import notebooks_of


def roll(course: Path, assignment: str, roster: Sequence[Student] | None = None) -> list[str]:
    """Return a line for each thing to know about who handed in when.

    Times are those that collecting read off the names of files. Platforms that write no time into a name may mark it as
    late.

    Args:
        course: Folder of the course.
        assignment: Its name.
        roster: The class; without it nobody can be missed.
    """
    rows, due = handed_in(course, assignment), due_of(course, assignment)
    there = submitters(course, assignment)
    lines = [f"MISSING  {one.id} handed in nothing." for one in roster or () if one.id not in there]
    for student in sorted(there):
        held = {path.stem for path in (course / "submitted" / student / assignment).glob("*.ipynb")}
        if absent := [name for name in notebooks_of(course, assignment) if name not in held]:
            lines.append(f"MISSING  {student} handed in no {', '.join(absent)}.")
    for (student, notebook), row in sorted(last(rows).items()):
        late = row.time - due if row.time and due and row.time > due else None
        if late or row.late:
            after = f"{hours(late)} after the time to hand in" if late else "as the platform says"
            lines.append(f"LATE     {student}: {notebook}, {after}.")
    times: dict[tuple[str, str], int] = {}
    for row in rows:
        times[row.student, row.notebook] = times.get((row.student, row.notebook), 0) + 1
    lines += [
        f"AGAIN    {student}: {notebook} was handed in {count} times; the last one counts."
        for (student, notebook), count in sorted(times.items())
        if count > 1
    ]
    return lines


def late_ones(course: Path, assignment: str) -> list[str]:
    """Return the students of whom the platform said that they were late."""
    return sorted({student for (student, _), row in last(handed_in(course, assignment)).items() if row.late})


def hours(late: timedelta) -> str:
    """Return a time span as people say it."""
    minutes = round(late.total_seconds() / 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes / 60:.1f} hours" if minutes < 2880 else f"{minutes / 1440:.1f} days"
