"""Whose a file is, and which notebook: what learning platforms, browsers and students make of names.

Platforms write the student's name or login, numbers and times in front of the name that the student gave the file, or
into the name of a folder around it. What stands behind is the student's choice, so the first mark of a platform counts
and later ones do not. A folder without a mark in front of one with a mark is taken for the download's own.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import PurePosixPath

BLACKBOARD, CANVAS, MOODLE, BRIGHTSPACE = "Blackboard", "Canvas", "Moodle", "Brightspace"
GITHUB, FOLDER = "GitHub Classroom", "folder"
LOGINS = (BLACKBOARD, GITHUB, FOLDER)  # what these write names one person; the others write full names and numbers

# One pattern for each system whose names bear its mark. `student` is whatever stands before the mark.
MARKS = {
    # Jan de Vries_123456_assignsubmission_file/02_x.ipynb, or the same with _ in place of /
    MOODLE: re.compile(r"(?P<student>.+?)_(?P<number>\d+)_assignsubmission_(?:file|onlinetext)(?:_(?P<file>.*))?"),
    # devriesjan_LATE_12345_67890_02_x.ipynb: the numbers are of the user and of what was handed in
    CANVAS: re.compile(r"(?P<student>.+?)(?P<late>_LATE)?_(?P<number>[1-9]\d*)_[1-9]\d*_(?P<file>.+)"),
    # ps1_jan_de_vries_attempt_2026-01-30-20-30-10_02_x.ipynb, and a .txt about each attempt
    BLACKBOARD: re.compile(
        r"(?P<student>.+?)_attempt_(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
        r"-(?P<hour>\d\d)-(?P<minute>\d\d)-(?P<second>\d\d)(?:_(?P<file>.+)|(?P<note>\.txt))?"
    ),
    # 12345-67890 - Jan de Vries - Jan 30, 2026 830 PM/02_x.ipynb, or the same with " - " in place of /
    BRIGHTSPACE: re.compile(
        r"(?P<number>\d+)-\d+ - (?P<student>.+?) - (?P<month>[A-Z][a-z]{2,8})\.? (?P<day>\d{1,2}), (?P<year>\d{4})"
        r" (?P<hour>\d{1,2}?):?(?P<minute>\d\d)(?: ?(?P<half>[AP]M))?(?: - (?P<file>.+))?"
    ),
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# What tools that fetch all repositories call the folder around them: ps1-submissions, ps1-01-30-2026-08-30-10
AROUND_REPOSITORIES = re.compile(r"submissions|\d+(?:-\d+){2,}")

# 02_x.ipynb, .IPYNB, and what browsers append: 02_x.ipynb.txt, 02_x.ipynb (1).txt
NOTEBOOK = re.compile(r"(?P<stem>.+?)\.ipynb(?: ?\(\d+\))?(?:\.(?:txt|json|ipynb))*", re.IGNORECASE)
COPY_OF = re.compile(r"(?:(?:Copy of|Kopie van|Kopie von|Copi[ae] d[ei]|Cópia de) )+", re.IGNORECASE)
COPY = re.compile(r"(?: ?\(\d+\)|[ _-]+copy ?\d*|-(?P<attempt>\d+))$", re.IGNORECASE)
AUTOSAVE = "-checkpoint"  # what Jupyter's autosave appends


@dataclass(frozen=True)
class Owner:
    """Whose a file is, as its name says.

    Attributes:
        system: Which platform gives such names: Blackboard, Canvas, Moodle, Brightspace, GitHub Classroom or folder.
        student: Login or full name, as the system writes it.
        number: The system's own number of the student, or None.
        late: Whether the name says so; that it does not is no proof.
        attempt: Which resubmission, or None if the name does not say.
        time: When it was handed in, or None.
        file: The name that the student gave the file; empty for a note of the platform's own.
    """

    system: str
    student: str
    number: str | None
    late: bool
    attempt: int | None
    time: datetime | None
    file: str


@dataclass(frozen=True)
class Named:
    """Everything that the name of a notebook says.

    Attributes:
        system: As in ``Owner``.
        student: Login or full name, as the system writes it.
        number: The system's own number of the student, or None.
        notebook: Which of the released notebooks it is, without ``.ipynb``.
        late: Whether the name says so.
        attempt: Which resubmission, or None if the name does not say.
        time: When it was handed in, or None.
    """

    system: str
    student: str
    number: str | None
    notebook: str
    late: bool
    attempt: int | None
    time: datetime | None


def read_name(
    path: PurePosixPath,
    assignment: str,
    notebooks: Sequence[str],
    title: str | None = None,
    zone: tzinfo | None = None,
) -> Named:
    """Read whose a file is, and which notebook.

    Args:
        path: Of the file in an archive. A zip in the archive counts as a folder; its name keeps ``.zip``.
        assignment: Its name in nbgrader.
        notebooks: The released ones, without ``.ipynb``.
        title: What the platform calls the assignment, if not ``assignment``.
        zone: The platform's time zone, in which names give times; None takes this machine's.

    Raises:
        ValueError: If the name leaves it open.
    """
    owner = read_owner(path, assignment, title, zone)
    notebook, attempt = read_notebook(owner.file, notebooks)
    if owner.system != CANVAS or not MARKS[CANVAS].fullmatch(path.name):  # only Canvas numbers resubmissions so
        attempt = owner.attempt
    return Named(owner.system, owner.student, owner.number, notebook, owner.late, attempt, owner.time)


def read_owner(path: PurePosixPath, assignment: str, title: str | None = None, zone: tzinfo | None = None) -> Owner:
    """Read whose a file is, whatever kind of file.

    Args:
        path: As for ``read_name``.
        assignment: Its name in nbgrader.
        title: What the platform calls the assignment, if not ``assignment``.
        zone: The platform's time zone; None takes this machine's.

    Raises:
        ValueError: If the name leaves it open.
    """
    parts = [unicodedata.normalize("NFC", part) for part in path.parts]
    for place, part in enumerate(parts):
        inside = parts[place + 1 :]
        owner = _marked(part, bool(inside), assignment, title, zone, path)
        if owner:
            return replace(owner, file=inside[-1]) if inside else owner
    return _in_a_folder(parts, assignment, title, path)


def read_notebook(file: str, notebooks: Sequence[str]) -> tuple[str, int | None]:
    """Return which notebook a file is, and the number of a name such as ``02_x-1.ipynb``.

    Args:
        file: Its name.
        notebooks: The released ones, without ``.ipynb``.

    Raises:
        ValueError: If it is none of them, or may be several.
    """
    file = unicodedata.normalize("NFC", file)
    match = NOTEBOOK.fullmatch(file)
    if not match:
        raise ValueError(f"{shown(file)} is not a notebook: expected {_listed(notebooks)}")
    known = {_key(name): name for name in notebooks}
    if is_autosave(file) and _key(match["stem"]) not in known:
        raise ValueError(f"{shown(file)} is an autosave of Jupyter's and no hand-in: expected {_listed(notebooks)}")
    whole = stem = COPY_OF.sub("", match["stem"])
    attempt = None
    while _key(stem) not in known and (copy := COPY.search(stem)):
        stem = stem[: copy.start()]
        attempt = int(copy["attempt"]) if copy["attempt"] and attempt is None else attempt
    if _key(stem) in known:
        return known[_key(stem)], attempt
    begun = [name for key, name in known.items() if _key(whole).startswith(f"{key}_")]
    if len(begun) == 1:  # 02_x_final
        return begun[0], attempt
    raise ValueError(f"{shown(file)} is none of the notebooks, or may be several: expected {_listed(notebooks)}")


def is_notebook(file: str) -> bool:
    """Say whether a file has the name of a notebook, released or not."""
    return NOTEBOOK.fullmatch(file) is not None


def is_autosave(file: str) -> bool:
    """Say whether a file has the name of a copy that Jupyter keeps for itself, such as ``02_x-checkpoint.ipynb``."""
    match = NOTEBOOK.fullmatch(file)
    stem = match["stem"] if match else ""
    while copy := COPY.search(stem):
        stem = stem[: copy.start()]
    return stem.casefold().endswith(AUTOSAVE)


def folders_in_front(path: PurePosixPath, assignment: str, title: str | None = None) -> list[str]:
    """Return the folders in front of a platform's mark; none if a path has no mark.

    Args:
        path: As for ``read_name``.
        assignment: Its name in nbgrader; a folder of that name is nobody's.
        title: What the platform calls the assignment, if not ``assignment``.
    """
    parts = [unicodedata.normalize("NFC", part) for part in path.parts]
    for place, part in enumerate(parts):
        if any(_marks(part, place < len(parts) - 1)):
            around = {assignment.lower(), (title or assignment).lower()}
            return [folder for each in parts[:place] if (folder := _folder(each)).lower() not in around]
    return []


def shown(text: object) -> str:
    """Return a text, such as a name in somebody's archive, as it can be printed in one line."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(text))


def _marked(
    part: str, is_folder: bool, assignment: str, title: str | None, zone: tzinfo | None, path: PurePosixPath
) -> Owner | None:
    """Return what the mark of a platform says in one part of a path, or None if there is none."""
    found = _marks(part, is_folder)
    if not found:
        return None
    if BLACKBOARD in found and _behind(found[BLACKBOARD]["student"], title or assignment, "_"):
        system = BLACKBOARD  # begins with the title
    else:
        system = min(found, key=lambda each: found[each].end("student"))
    match, groups = found[system], found[system].groupdict()
    student = match["student"]
    if system == BLACKBOARD:
        student = _behind_title(student, assignment, title, path)
    attempt = re.search(r"-(\d+)$", match["file"]) if system == CANVAS and is_folder else None
    return Owner(
        system,
        student.strip(),
        groups.get("number"),
        bool(groups.get("late")),
        int(attempt[1]) if attempt else None,
        _time_of(groups, zone, path) if "year" in groups else None,
        groups["file"] or "",
    )


def _marks(part: str, is_folder: bool) -> dict[str, re.Match[str]]:
    """Return the marks of platforms that one part of a path may have."""
    stem = _folder(part) if is_folder else part
    found = {system: match for system, mark in MARKS.items() if (match := mark.fullmatch(stem))}
    if is_folder and not _is_zip(part):
        found.pop(CANVAS, None)  # it makes no folders, and the names of others look like this
    return found


def _behind_title(head: str, assignment: str, title: str | None, path: PurePosixPath) -> str:
    """Return what stands behind the title of the assignment: Blackboard joins the two with an underscore."""
    known = title or assignment
    student = _behind(head, known, "_")
    if student:
        return student
    first, _, second = head.partition("_")
    if title is None and first and second and "_" not in second:
        return second
    raise ValueError(
        f"{shown(path)} must begin with the title of the assignment, and does not begin with {known}_: pass what "
        "stands before the student's login as --title"
    )


def _behind(text: str, known: str, sign: str) -> str:
    """Return what stands behind a known beginning, in capitals or not; empty if it begins otherwise."""
    known = unicodedata.normalize("NFC", known) + sign
    return text[len(known) :] if text[: len(known)].lower() == known.lower() else ""


def _time_of(groups: dict[str, str | None], zone: tzinfo | None, path: PurePosixPath) -> datetime:
    """Return the time in a name, which is the platform's local time."""
    month, hour = groups["month"], int(groups["hour"])
    if not month.isdigit():
        short = month[:3].lower()
        month = MONTHS.index(short) + 1 if short in MONTHS else 0
    if groups.get("half"):
        hour = hour % 12 + (12 if groups["half"] == "PM" else 0) if 0 < hour <= 12 else 99
    try:
        moment = datetime(
            int(groups["year"]),
            int(month),
            int(groups["day"]),
            hour,
            int(groups["minute"]),
            int(groups.get("second", 0)),
        )
        moment = moment.replace(tzinfo=zone) if zone else moment.astimezone()
        moment.astimezone(UTC)  # the first and last days of all have no other time zones
        return moment
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{shown(path)} must hold a time, got one that does not exist ({error})") from error


def _in_a_folder(parts: Sequence[str], assignment: str, title: str | None, path: PurePosixPath) -> Owner:
    """Read names without a mark: STUDENT/x.ipynb, STUDENT/ps1/x.ipynb and ps1-LOGIN/x.ipynb."""
    repository = re.sub(r"[^\w]+", "-", (title or assignment).lower())
    around = {assignment.lower(), (title or assignment).lower()}

    def is_around(name: str) -> bool:
        return name.lower() in around or bool(AROUND_REPOSITORIES.fullmatch(_behind(name, repository, "-")))

    folders = [part for part in parts[:-1] if not is_around(_folder(part))]
    if folders and (login := _behind(_folder(folders[0]), repository, "-")):
        return Owner(GITHUB, login, None, False, None, None, parts[-1])
    # Deeper, a folder may be the student's or the class'; whatever lies in a zip of a student's folder is the student's
    if len(folders) == 1 or [_is_zip(folder) for folder in folders[:2]] == [False, True]:
        student = _folder(folders[0])
        if not MARKS[CANVAS].fullmatch(student):
            return Owner(FOLDER, student, None, False, None, None, parts[-1])
        raise ValueError(f"{shown(path)} lies in a folder named like a zip of Canvas: leave that zip as it was")
    raise ValueError(
        f"{shown(path)} must say whose it is: expected STUDENT/NOTEBOOK.ipynb, or a name as Blackboard, Canvas, Moodle "
        "or Brightspace give it. Pass the folder in which the students' folders lie as --archive"
    )


def _is_zip(part: str) -> bool:
    return part.lower().endswith(".zip")


def _folder(part: str) -> str:
    """Return the name of a folder, or of a zip that stands for one."""
    return part[:-4] if _is_zip(part) else part


def _key(text: str) -> str:
    """Return what is left of a name when capitals, spaces and signs do not count."""
    return re.sub(r"[\W_]+", "_", text.casefold()).strip("_")


def _listed(notebooks: Sequence[str]) -> str:
    return " or ".join(f"{name}.ipynb" for name in notebooks)
