"""From a learning platform's download to nbgrader's folders: everything is judged first, and nobody is lost.

A *file* is in a download, a *notebook* is what it counts as, and for each student and notebook one file is *chosen*.
What is not chosen is said, with the reason. After one error nothing is written.
"""

import codecs
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from itertools import chain, count
from pathlib import Path

from vqvae_course.assignments.archives import Member, contents, members
from vqvae_course.assignments.handed_in import HandedIn, as_csv, handed_in, last, list_of
from vqvae_course.assignments.names import AUTOSAVE, is_autosave, is_notebook, read_notebook
from vqvae_course.assignments.roster import Student, must_be_folder
from vqvae_course.assignments.whose import Found, Reader, beginning_of_all, must_be_different_people, whose
from vqvae_course.folders import named as listed
from vqvae_course.runtime import whole_file

__all__ = ["Chosen", "HandedIn", "Plan", "carry_out", "handed_in", "plan", "released"]

LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Chosen:
    """A file that is to be in ``submitted/``.

    Attributes:
        row: What is written down about it.
        member: Where it is.
        state: ``new``, ``same`` (it has been collected already) or ``replaces`` (another one has).
    """

    row: HandedIn
    member: Member
    state: str


@dataclass
class Plan:
    """What collecting would do.

    Attributes:
        course: Folder of the course.
        assignment: Its name.
        chosen: The files for ``submitted/``, in the order of students.
        rows: What to add to the list of what was handed in; of several rows for a notebook the last is the one chosen.
        errors: What forbids to do it.
        warnings: What to know about files that are taken.
        left_out: Which files are not taken.
        unread: Those of them that are notebooks, and neither autosaves nor older than one that is taken.
        missing: Who handed in nothing, or not everything.
    """

    course: Path
    assignment: str
    chosen: list[Chosen] = field(default_factory=list)
    rows: list[HandedIn] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Read:
    """A notebook whose bytes have been read."""

    found: Found
    sha256: str
    odd: str


def plan(
    course: Path,
    assignment: str,
    archives: Sequence[Path] = (),
    roster: Sequence[Student] | None = None,
    title: str | None = None,
    latest: bool = False,
    replace: bool = False,
    zone: tzinfo | None = None,
) -> Plan:
    """Judge everything in some downloads, and write nothing.

    Args:
        course: Folder of the course, in which nbgrader runs.
        assignment: Its name.
        archives: Zips, folders and single notebooks; none takes ``COURSE/downloaded/ASSIGNMENT/archive``.
        roster: The class, from ``read_roster``; None takes everybody under the name that the platform writes.
        title: What the platform calls the assignment, if not ``assignment``.
        latest: Take the newest of several files of a student for a notebook, by times or numbers in their names.
        replace: Take a file though another one of that student has been collected; that one is kept.
        zone: The time zone of times in names, which are local times of the platform; None takes this machine's.

    Raises:
        ValueError: If there is no such assignment. All else that is wrong is among the plan's errors.
    """
    notebooks = released(course, assignment)
    rows = handed_in(course, assignment)
    before = last(rows)
    made = Plan(course, assignment)
    files = [
        member
        for archive in archives or [course / "downloaded" / assignment / "archive"]
        for member in members(archive.expanduser(), made.errors)
    ]
    found = whose(files, Reader(assignment, notebooks, roster, title, zone), made.errors, made.left_out)
    must_be_different_people(found, course, made.errors)
    beginning = "" if roster or title else beginning_of_all(found)
    if beginning:
        made.warnings.append(
            f"all logins begin with {beginning}_: if that belongs to the title, pass --title {assignment}_{beginning}"
        )
    _judge_others(found, notebooks, made)
    for key, handed in sorted(_with_bytes(found, made.errors).items()):
        one = _choose(": ".join(key), handed, latest, made)
        if one is not None:
            others = [_row(other) for other in handed if other.sha256 != one.sha256]
            made.rows += [*others, *_in_order(_row(one), before.get(key))]
            made.chosen.append(_placed(one, before.get(key), replace, made))
    _warn_of_other_ids(rows, made)
    if not made.chosen and not made.errors:
        made.errors.append("archive must hold what was handed in, and there is no notebook in it")
    if not made.errors:  # else somebody may be missing because of one
        made.missing += _missing(made, notebooks, roster)
    made.errors[:] = dict.fromkeys(made.errors)  # each of them once
    return made


def carry_out(made: Plan) -> None:
    """Write what a plan says: notebooks, times and the list of what was handed in.

    ``timestamp.txt`` holds the newest time in the names of a student's notebooks, in UTC, from which nbgrader tells who
    is late. Names carry the platform's local time, so it is right if ``zone`` named the platform's time zone. What is
    replaced goes below ``COURSE/as_handed_in``. An interruption leaves whole files; do it again.

    Raises:
        ValueError: If the plan has errors, or a download has changed since.
    """
    if made.errors:
        raise ValueError(f"a plan must have no errors to be carried out, got {len(made.errors)}")
    wanted = {one.member: one for one in made.chosen if one.state != "same"}
    problems: list[str] = []
    for member, data in contents(list(wanted), problems):
        row = wanted[member].row
        if hashlib.sha256(data).hexdigest() != row.sha256:
            raise ValueError(
                f"{member.shown} must stay as it is while it is collected, and it has changed: start again"
            )
        path = _submitted(made, row.student, f"{row.notebook}.ipynb")
        _keep(made, path)
        _write(path, data)
    if problems:
        raise ValueError("; ".join(problems))
    before, added = handed_in(made.course, made.assignment), {_key(row) for row in made.rows}
    rows = [row for row in before if _key(row) not in added] + list(dict.fromkeys(made.rows))
    _write_times(made, rows, {row.student for row in set(made.rows) - set(before)})
    _write(list_of(made.course, made.assignment), as_csv(rows))


def released(course: Path, assignment: str) -> list[str]:
    """Return the notebooks of an assignment, as students got them, without ``.ipynb``.

    Raises:
        ValueError: If there are none.
    """
    must_be_folder(assignment, "assignment")
    for step in ("release", "source"):
        found = sorted(path.stem for path in (course / step / assignment).glob("*.ipynb"))
        if found:
            return found
    raise ValueError(f"course must hold release/{assignment} with notebooks, and {course} does not")


def _judge_others(found: Sequence[Found], notebooks: Sequence[str], made: Plan) -> None:
    """Say which files are no released notebooks; an error where an answer may be among them."""
    for student in sorted({each.student for each in found}):
        own = [each for each in found if each.student == student]
        read = {each.named.notebook for each in own if each.named}
        others = [each for each in own if not each.named]
        if not read:
            whys = "; ".join(f"{each.member.shown}: {_why(each)}" for each in others)
            made.errors.append(
                f"{student} handed in no notebook ({whys}): rename it, or ask for it and take these files out of the "
                "download (unpack a zip, and pass the folder as --archive)"
            )
            continue
        for each in others:
            if is_autosave(each.owner.file):
                made.left_out.append(f"{student}: {each.member.shown} is an autosave of Jupyter's and no hand-in")
                made.unread += [each.member.shown] if _saved_from(each, notebooks) not in read else []
            elif is_notebook(each.owner.file) and len(read) < len(notebooks):
                made.errors.append(f"{student}: {each.member.shown} may be one that is missing: {_why(each)}")
        rest = [each for each in others if each.owner.file and not is_autosave(each.owner.file)]
        spare = [each.member.shown for each in rest]
        made.unread += [each.member.shown for each in rest if is_notebook(each.owner.file)]
        if spare:
            made.left_out.append(f"{student}: {listed(spare)} not collected, left where it is")


def _saved_from(each: Found, notebooks: Sequence[str]) -> str | None:
    """Return the released notebook that an autosave is of, or None if it is of another."""
    try:
        return read_notebook(each.owner.file.lower().replace(AUTOSAVE, "", 1), notebooks)[0]
    except ValueError:
        return None


def _why(each: Found) -> str:
    return each.why if is_notebook(each.owner.file) else "not a notebook"


# --- which file counts


def _with_bytes(found: Sequence[Found], errors: list[str]) -> dict[tuple[str, str], list[_Read]]:
    """Read the notebooks; return those of each student for each notebook."""
    wanted = {each.member: each for each in found if each.named}
    read: dict[tuple[str, str], list[_Read]] = {}
    for member, data in contents(list(wanted), errors):
        each = wanted[member]
        one = _Read(each, hashlib.sha256(data).hexdigest(), _oddity(data))
        read.setdefault((each.student, each.named.notebook), []).append(one)
    return read


def _oddity(data: bytes) -> str:
    """Return what is odd about the bytes of a notebook, or nothing. Whether that can be graded others judge."""
    if not data.strip():
        return "is empty"
    mark = "begins with a byte order mark" if data.startswith(codecs.BOM_UTF8) else ""
    try:
        cells = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return "is no notebook inside"
    return mark if isinstance(cells, dict) and ("cells" in cells or "worksheets" in cells) else "is no notebook inside"


def _choose(what: str, handed: Sequence[_Read], latest: bool, made: Plan) -> _Read | None:
    """Return the one that counts, or None after an error."""
    if len({one.sha256 for one in handed}) == 1:  # copies of one file: it was handed in with the first
        return min(handed, key=lambda one: one.found.named.time or LAST)
    names = listed([one.found.member.shown for one in handed])
    if not latest:
        made.errors.append(f"{what} was handed in as different files ({names}): leave one, or pass --latest")
        return None
    ages = _ages(handed)
    newest = [one for one, age in zip(handed, ages, strict=True) if age == max(ages)] if ages else []
    if len({one.sha256 for one in newest}) != 1:
        made.errors.append(
            f"{what} was handed in as different files ({names}), and no name says which is newest: leave one"
        )
        return None
    for one in handed:
        if one.sha256 != newest[0].sha256:
            made.left_out.append(f"{what}: {newest[0].found.member.shown} is newer than {one.found.member.shown}")
    return newest[0]


def _ages(handed: Sequence[_Read]) -> list[datetime] | list[int]:
    """Return what orders files in time, by their names; nothing if their names do not."""
    named = [one.found.named for one in handed]
    if all(one.time for one in named):
        return [one.time for one in named]
    if len({one.system for one in named}) == 1 and any(one.attempt for one in named):
        return [one.attempt or 0 for one in named]
    return []


def _row(one: _Read) -> HandedIn:
    named, found = one.found.named, one.found
    time = named.time.astimezone(UTC) if named.time else None
    return HandedIn(
        found.student, named.notebook, found.member.shown, named.system, time, named.late, named.attempt, one.sha256
    )


def _key(row: HandedIn) -> tuple[str, ...]:
    """Return what two rows about one file share; its time may be read anew, in another time zone."""
    return row.student, row.notebook, row.file, row.sha256


def _in_order(row: HandedIn, before: HandedIn | None) -> list[HandedIn]:
    """Return the rows to add so that the one that counts is last: the same bytes were handed in the first time."""
    if before and before.sha256 == row.sha256 and _key(before) != _key(row):
        return sorted((row, before), key=lambda each: each.time or LAST, reverse=True)
    return [row]


def _placed(one: _Read, before: HandedIn | None, replace: bool, made: Plan) -> Chosen:
    """Compare with what has been collected already."""
    row = _row(one)
    path = _submitted(made, row.student, f"{row.notebook}.ipynb")
    what = f"{row.student}: {row.notebook}"
    if one.odd:
        made.warnings.append(f"{what} {one.odd} ({row.file})")
    if not path.exists():
        return Chosen(row, one.found.member, "new")
    # Changed since it was collected, such as by `grade-report --repair`, it stays as it is.
    if row.sha256 in (before and before.sha256, hashlib.sha256(path.read_bytes()).hexdigest()):
        return Chosen(row, one.found.member, "same")
    if not replace:
        made.errors.append(
            f"{what} has been collected, and {row.file} differs: pass --replace to take it (both are kept)"
        )
    elif row.time is None and path.with_name("timestamp.txt").exists():
        made.warnings.append(f"{what}: the name of {row.file} holds no time, so timestamp.txt is of the earlier one")
    return Chosen(row, one.found.member, "replaces")


def _warn_of_other_ids(rows: Sequence[HandedIn], made: Plan) -> None:
    """Say which new students may be others under another id, so that nobody is graded twice."""
    now = {one.row.student for one in made.chosen}
    for row in (one.row for one in made.chosen if one.state == "new"):
        others = {each.student for each in rows if (each.notebook, each.sha256) == (row.notebook, row.sha256)} - now
        made.warnings += [
            f"{row.student}: {row.notebook} is what was collected before as that of {other}, who is not in this "
            f"download: if {other} is now {row.student}, move {_submitted(made, other).parent} away"
            for other in sorted(others)
            if _submitted(made, other).is_dir()
        ]


def _missing(made: Plan, notebooks: Sequence[str], roster: Sequence[Student] | None) -> list[str]:
    """Return who, after this, has handed in nothing, or not everything."""
    have: dict[str, set[str]] = {student.id: set() for student in roster or ()}
    for one in made.chosen:
        have.setdefault(one.row.student, set()).add(one.row.notebook)
    said = []
    for student, own in sorted(have.items()):
        there = own | {path.stem for path in _submitted(made, student).glob("*.ipynb")}
        lacking = [name for name in notebooks if name not in there]
        if len(lacking) == len(notebooks):
            said.append(f"{student} handed in nothing")
        elif lacking:
            said.append(f"{student} did not hand in {', '.join(lacking)}")
    return said


# --- writing


def _submitted(made: Plan, student: str, file: str = "") -> Path:
    return made.course / "submitted" / student / made.assignment / file


def _keep(made: Plan, path: Path) -> None:
    """Copy a file that is to be replaced, and what ``grade-report --repair`` kept of it, to names with a time."""
    kept = made.course / "as_handed_in" / path.relative_to(made.course / "submitted")
    for old in (path, kept):
        if old.exists():
            stem = f"{path.stem}-{datetime.now(UTC):%Y-%m-%d-%H%M%S}"
            free = (kept.with_name(f"{stem}{more}{path.suffix}") for more in chain([""], (f"-{n}" for n in count(2))))
            _write(next(name for name in free if not name.exists()), old.read_bytes())


def _write(path: Path, data: bytes) -> None:
    with whole_file(path) as file:
        file.write(data)


def _write_times(made: Plan, rows: Sequence[HandedIn], students: set[str]) -> None:
    """Write ``timestamp.txt`` for those of whom there is news; somebody may have changed those of the others."""
    for student in sorted(students):
        times = [row.time for (whose, _), row in last(rows).items() if whose == student and row.time]
        path = _submitted(made, student, "timestamp.txt")
        data = f"{max(times):%Y-%m-%d %H:%M:%S} UTC\n".encode() if times else b""
        if times and not (path.exists() and path.read_bytes() == data):
            _keep(made, path)
            _write(path, data)
