"""The list of a class, and which of its students a name in a download means."""

import codecs
import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from io import StringIO
from itertools import chain
from pathlib import Path

from vqvae_course.assignments.names import CANVAS, LOGINS, MOODLE, Named, Owner, shown

LONGEST = 100  # signs of an id, which is a folder's name
SIGNS = " ._-+@'"  # what an id may have besides letters and digits; nbgrader takes [ and * for patterns
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names that Windows keeps for itself
LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i", "þ": "th", "ð": "d"})
APOSTROPHES = re.compile("['’‘`´ʼ]")
NO_STUDENTS = ("points possible", "student, test", "test student")  # rows of Canvas' about columns, and for trying out
COLUMN = {CANVAS: "canvas_id", MOODLE: "moodle_id"}
CANVAS_LOGINS, MOODLE_LOGINS = ("sis login id", "sis user id"), ("username", "id number", "email address")
READ = {  # columns that say who a student is
    *("id", "name", "email", "canvas_id", "moodle_id", "student", "identifier", "full name"),
    *(*CANVAS_LOGINS, *MOODLE_LOGINS),
}
SEPARATOR = re.compile(r'"?sep=(?P<sign>[,;\t])"?\r?\n', re.IGNORECASE)  # the line that Excel reads first


@dataclass(frozen=True)
class Student:
    """One of the class.

    Attributes:
        id: What nbgrader calls the student, and the name of the folder.
        name: Full name, or empty.
        email: Address, or empty.
        canvas: Canvas' number of the user, or empty.
        moodle: Moodle's number of the participant in this assignment, or empty.
    """

    id: str
    name: str = ""
    email: str = ""
    canvas: str = ""
    moodle: str = ""


def read_roster(path: Path) -> list[Student]:
    """Read a class from a CSV file: with our columns, Canvas' gradebook or Moodle's grading worksheet.

    - Ours: ``id,name,email,canvas_id,moodle_id``, of which only ``id`` must be there.
    - Canvas: the id is the SIS Login ID, else the SIS User ID, else the ID.
    - Moodle: the id is the username, else the ID number, the email address, the full name or the identifier.

    Args:
        path: In UTF-8, with commas or semicolons.

    Raises:
        ValueError: If it cannot be read, or its ids cannot be folders of different students.
    """
    columns, rows = _table(path)
    if "student" in columns and "id" in columns:
        students = list(of_canvas(rows))
    elif "identifier" in columns:
        students = list(of_moodle(rows))
    elif "id" in columns:
        students = [
            Student(*(row.get(key, "") for key in ("id", "name", "email", "canvas_id", "moodle_id"))) for row in rows
        ]
    else:
        raise ValueError(
            f"students must be a CSV file with a column id (and, if known, name, email, canvas_id, moodle_id), Canvas' "
            f"gradebook or Moodle's grading worksheet; {shown(path)} has the columns {', '.join(map(shown, columns))}"
        )
    _must_differ(students, path)
    return students


def match(named: Named | Owner, roster: Sequence[Student]) -> Student:
    """Return the one student whom a name means: by number, id, email address or full name.

    Capitals do not count, nor accents, signs and the order of first and last name. A student with another number of the
    same platform is somebody else of the same name. Where a platform writes full names, the name comes before ids and
    addresses, and must not contradict them, nor the number.

    Raises:
        ValueError: If that is nobody, or several; the message says what to write into the roster.
    """
    known = {student: _number(student, named.system) for student in roster}
    called = [student for student in roster if fits(named.student, student.name)]
    if named.number:
        numbered = [student for student in roster if known[student] == named.number]
        if numbered:
            return _not_another(_one(numbered, named, roster), called, named)
        roster = [student for student in roster if not known[student]]
    word = _plain(named.student)
    by_id = [student for student in roster if _plain(student.id) == word]
    by_address = [
        student for student in roster if word in (_plain(student.email), _plain(student.email).partition("@")[0])
    ]
    by_name = [student for student in called if student in roster]
    if named.system in LOGINS:
        found = by_id or by_address or by_name
    else:
        _must_agree(named, called, [*by_id, *by_address])
        found = by_name or by_id or by_address
    return _one(found, named, roster)


def fits(written: str, name: str) -> bool:
    """Say whether a platform may write the full name of somebody on the roster so."""
    words = _words(written)
    return bool(words) and not {"".join(words), "".join(sorted(words))}.isdisjoint(_writings(name))


def _not_another(student: Student, called: Sequence[Student], named: Named | Owner) -> Student:
    """Return the student whose number it is, unless the name is that of somebody else.

    Raises:
        ValueError: If it is.
    """
    if not called or student in called:
        return student
    cure = {
        MOODLE: "numbers of Moodle's participants differ from assignment to assignment; take them from this "
        "assignment's worksheet, or leave the column out",
    }.get(named.system, f"mend {COLUMN.get(named.system, 'the number')} in the roster, or leave the column out")
    raise ValueError(
        f"the number {named.number} is {_whose(student)} and the name is {' or '.join(map(_whose, called))}: {cure}"
    )


def _must_agree(named: Named | Owner, called: Sequence[Student], others: Sequence[Student]) -> None:
    """Raise ``ValueError`` if a word is the full name of one student, and the id or address of another."""
    if called and (clash := [student for student in others if student not in called]):
        raise ValueError(
            f"{shown(named.student)} ({named.system}) is the name of {_whose(called[0], '')} and the id or address of "
            f"{_whose(clash[0], '')}: write {named.system}'s number of each of them into the roster, or take the file "
            "out and collect it in a folder named after the student"
        )


def _whose(student: Student, ending: str = "'s") -> str:
    return f"{shown(student.name)}{ending} ({student.id})" if student.name else f"{student.id}{ending}"


def own_id(named: Named | Owner) -> str:
    """Return what to call a student without a roster: the login as it is, or name and number made a folder's name.

    Raises:
        ValueError: If a login cannot be the name of a folder.
    """
    if named.system in LOGINS:
        must_be_folder(named.student)
        return unicodedata.normalize("NFC", named.student)
    name = unicodedata.normalize("NFC", named.student)
    name = "".join(sign if _is_letter(sign) or sign == "-" else "_" for sign in name)
    name = re.sub("_+", "_", name).strip("_-")[: LONGEST - 20]
    return "-".join(filter(None, (name or "student", named.number)))


def must_be_folder(name: str, what: str = "id") -> None:
    """Raise ``ValueError`` unless a name can be that of a folder on every system, and no pattern for nbgrader."""
    fits = 0 < len(name) <= LONGEST and all(_is_letter(sign) or sign in SIGNS for sign in name)
    if not fits or not _is_letter(name[0]) or name[-1] in " ." or RESERVED.fullmatch(name):
        raise ValueError(
            f"{what} must be a name for a folder on every system: letters, digits, and {SIGNS.strip()} or spaces "
            f"between them, at most {LONGEST}, and none that Windows reserves, got {shown(name)!r}"
        )


def folded(name: str) -> str:
    """Return what two names share that a file system may take for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of a CSV file, in small letters, and its rows without the empty ones."""
    head, *lines = read_lines(path)[0]
    columns = [cell.casefold() for cell in head]
    if twice := [name for name, times in Counter(columns).items() if times > 1 and name in READ]:
        raise ValueError(
            f"students must be a CSV file in which each column comes once, and {shown(path)} has {twice[0]} "
            f"{columns.count(twice[0])} times (capitals do not count): leave the right one"
        )
    return columns, [dict(zip(columns, line, strict=False)) for line in lines if any(line)]


def read_lines(path: Path, what: str = "students") -> tuple[list[list[str]], str]:
    """Return the lines of a CSV file, and the sign between its cells.

    There is at least one line; cells have no spaces around them.

    Args:
        path: Of the file, in UTF-8.
        what: What to call it in messages.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{what} must be a CSV file that can be read, got {shown(path)} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{what} must be a CSV file in UTF-8, got {shown(path)} in {_encoding_of(path.read_bytes())}: save it as "
            "“CSV UTF-8”"
        ) from error
    if named := SEPARATOR.match(text):
        text = text[named.end() :]
    sign = named["sign"] if named else max(",;\t", key=text.partition("\n")[0].count)
    try:
        lines = list(csv.reader(StringIO(text, newline=""), delimiter=sign, strict=True))
    except csv.Error as error:
        raise ValueError(f"{what} must be a CSV file, got {shown(path)} ({error})") from error
    if not lines:
        raise ValueError(f"{what} must be a CSV file with a row a student, and {shown(path)} is empty")
    return [[unicodedata.normalize("NFC", cell.strip()) for cell in line] for line in lines], sign


def _encoding_of(data: bytes) -> str:
    """Return in words which encoding a file that is not UTF-8 seems to have."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16 (Excel's “Unicode Text”)"
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "an encoding that is not known here"
    return "what seems to be Windows-1252 (Excel's plain “CSV”)"


def of_canvas(rows: Sequence[dict[str, str]]) -> Iterator[Student]:
    """Yield the students in rows of Canvas' gradebook, whose columns are in small letters."""
    for row in rows:
        name, number = row.get("student", ""), row.get("id", "")
        if not (name or number) or name.casefold() in NO_STUDENTS:
            continue
        login, sis = row.get("sis login id", ""), row.get("sis user id", "")
        yield Student(login or sis or number, name, login if "@" in login else "", number)


def of_moodle(rows: Sequence[dict[str, str]]) -> Iterator[Student]:
    """Yield the students in rows of Moodle's grading worksheet, whose columns are in small letters."""
    for row in rows:
        name, email, identifier = row.get("full name", ""), row.get("email address", ""), row.get("identifier", "")
        login = row.get("username", "") or row.get("id number", "") or email
        number = re.search(r"\d+$", identifier)
        yield Student(login or (name or identifier).replace(" ", "_"), name, email, moodle=number[0] if number else "")


def _must_differ(students: Sequence[Student], path: Path) -> None:
    """Raise ``ValueError`` unless each student has an id and numbers of one's own."""
    if not students:
        raise ValueError(f"students must be a CSV file with a row a student, and {shown(path)} has none")
    for student in students:
        must_be_folder(student.id, f"each id in {shown(path)}")
    for what, values in (
        ("id", [folded(student.id) for student in students]),
        ("canvas_id", [student.canvas for student in students]),
        ("moodle_id", [student.moodle for student in students]),
    ):
        twice = sorted(value for value, times in Counter(values).items() if value and times > 1)
        if twice:
            raise ValueError(
                f"each {what} in {shown(path)} must be of one student, got {', '.join(map(shown, twice))} twice"
            )


def _one(found: Sequence[Student], named: Named | Owner, roster: Sequence[Student]) -> Student:
    if len(found) == 1:
        return found[0]
    number = f" ({named.system} {named.number})" if named.number else f" ({named.system})"
    who, column = f"{shown(named.student)}{number}", COLUMN.get(named.system)
    cure = (
        f"write {named.number} as {column} into the row of the right one"
        if column and named.number
        else ("give the right one that login as id, or the name that is read here as name")
    )
    if found:
        raise ValueError(f"{who} may be {' or '.join(student.id for student in found)} of the roster: {cure}")
    likely = _alike(named, roster)
    raise ValueError(f"{who} is not on the roster{f', perhaps {likely}' if likely else ''}: {cure}, or add a row")


def _alike(named: Named | Owner, roster: Sequence[Student]) -> str:
    """Return ids of students whose ids or names are nearly such."""
    called = {key: student.id for student in roster for key in (_plain(student.id), _joined(student.name)) if key}
    close = chain(*(get_close_matches(key, called, 2) for key in (_plain(named.student), _joined(named.student))))
    return " or ".join(dict.fromkeys(called[key] for key in close))


def _number(student: Student, system: str) -> str:
    return {CANVAS: student.canvas, MOODLE: student.moodle}.get(system, "")


@cache
def _writings(name: str) -> set[str]:
    """Return a full name in all the writings that a platform may give it, without spaces and signs.

    Canvas writes the last name first, and where that begins in a name of several words nobody can tell, so each turn of
    the words counts. Accented letters may be left out there. Others may sort the words in any way.
    """
    words, bare = _words(name), _words("".join(sign for sign in name if sign.isascii()))
    turns = ("".join(each[place:] + each[:place]) for each in (words, bare) for place in range(len(each)))
    return {"".join(sorted(words)), *turns} - {""}


@cache
def _words(name: str) -> tuple[str, ...]:
    """Return the words of a name without accents, in small letters; an apostrophe divides no word, a hyphen does."""
    name = unicodedata.normalize("NFKD", APOSTROPHES.sub("", name).casefold()).translate(LETTERS)
    letters = "".join(sign for sign in name if not unicodedata.combining(sign))
    return tuple(re.findall(r"[^\W_]+", letters))


def _joined(name: str) -> str:
    return "".join(_words(name))


def _plain(text: str) -> str:
    return folded(text.strip())


def _is_letter(sign: str) -> bool:
    """Say whether a sign is a letter, one of its marks, or a digit, of any script."""
    return unicodedata.category(sign)[0] in "LMN" or sign == "_"
