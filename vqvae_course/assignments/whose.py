"""Whose each file of some downloads is, so that two people stay two, and one stays one."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path, PurePosixPath

from vqvae_course.assignments.archives import Member
from vqvae_course.assignments.names import (
    BLACKBOARD,
    FOLDER,
    Named,
    Owner,
    folders_in_front,
    is_notebook,
    read_name,
    read_owner,
    shown,
)
from vqvae_course.assignments.roster import Student, folded, match, own_id

OWN_NOTES = ("index.html",)  # what Brightspace adds to a download


@dataclass(frozen=True)
class Found:
    """A file whose student is known.

    Attributes:
        student: The id, which is the name of the folder.
        owner: What the file's name says about the student.
        member: The file.
        named: What its name says; None if it is none of the released notebooks.
        why: Why, in that case.
    """

    student: str
    owner: Owner
    member: Member
    named: Named | None = None
    why: str = ""


@dataclass(frozen=True)
class Reader:
    """What is needed to tell whose a file is.

    Attributes:
        assignment: Its name in nbgrader.
        notebooks: The released ones, without ``.ipynb``.
        roster: The class, or None.
        title: What the platform calls the assignment, or None.
        zone: The platform's time zone, or None.
    """

    assignment: str
    notebooks: Sequence[str]
    roster: Sequence[Student] | None
    title: str | None
    zone: tzinfo | None

    def owner(self, path: PurePosixPath) -> Owner:
        """Return what a path says about the student."""
        return read_owner(path, self.assignment, self.title, self.zone)

    def found(self, member: Member, path: PurePosixPath, owner: Owner) -> Found:
        """Return a file with the student's id and what its name says."""
        student = own_id(owner) if self.roster is None else match(owner, self.roster).id
        self._must_not_lie_with_another(student, path)
        if member.link:
            return Found(student, owner, member, why="a link, which is not followed")
        try:
            named = read_name(path, self.assignment, self.notebooks, self.title, self.zone)
        except ValueError as error:
            return Found(student, owner, member, why=str(error))
        return Found(student, owner, member, named)

    def _must_not_lie_with_another(self, student: str, path: PurePosixPath) -> None:
        """Raise ``ValueError`` if a file named after one student lies in the folder of another of the roster."""
        for folder in folders_in_front(path, self.assignment, self.title) if self.roster else ():
            try:
                other = match(Owner(FOLDER, folder, None, False, None, None, path.name), self.roster).id
            except ValueError:
                continue  # the download's own folder
            if other != student:
                raise ValueError(
                    f"it lies in the folder of {other}, and its own name says {student}: rename the file if it is "
                    f"{other}'s, or move it out of that folder"
                )


def whose(files: Sequence[Member], reader: Reader, errors: list[str], left_out: list[str]) -> list[Found]:
    """Return the files whose student is known.

    Args:
        files: Of all downloads.
        reader: Which tells whose they are.
        errors: Takes a sentence on each file of which the student must be known and is not.
        left_out: Takes one on each that is nobody's and no notebook.
    """
    found = []
    for download in _by_download(files):
        read = _owners(download, reader, errors, left_out)
        for member, path, owner in read:
            try:
                found.append(reader.found(member, path, owner))
            except ValueError as error:
                errors.append(f"{member.shown}: {error}")
    if reader.roster is None:
        _must_lie_in_one_zip(found, errors)
    return found


def _by_download(files: Sequence[Member]) -> list[list[Member]]:
    """Return the files of each download that is a zip, and those of folders together."""
    groups: dict[object, list[Member]] = {}
    for member in files:
        groups.setdefault(member.source if member.download else None, []).append(member)
    return list(groups.values())


def _owners(
    files: Sequence[Member], reader: Reader, errors: list[str], left_out: list[str]
) -> list[tuple[Member, PurePosixPath, Owner]]:
    """Return the files with what their names say about the student, and the path that says it."""
    paths = [member.path for member in files]
    if _is_of_one(files, reader):
        paths = [PurePosixPath(member.download, member.path) for member in files]
    read = []
    for member, path in zip(files, paths, strict=True):
        try:
            read.append((member, path, reader.owner(path)))
        except ValueError as error:
            if is_notebook(path.name):
                errors.append(f"{member.shown}: {error}")
            elif path.name.lower() not in OWN_NOTES:
                left_out.append(f"{member.shown} is not a notebook, and nobody's by its name: left where it is")
    students = {folded(owner.student) for _, _, owner in read}
    if reader.roster is None and files[0].download and len(students) == 1 and read[0][2].system == FOLDER:
        student = read[0][2].student
        if folded(student) != folded(files[0].download):
            errors.append(
                f"{files[0].shown.partition('/')[0]} holds one folder, {shown(student)}: that may be the student, or "
                "the zip is named after one. Put the zip into a folder named after the student, or pass --students"
            )
    return read


def _is_of_one(files: Sequence[Member], reader: Reader) -> bool:
    """Say whether a download is a zip with files alone, of which none names a student: then the zip must do so."""
    if not files[0].download or any(len(member.path.parts) > 1 for member in files):
        return False
    for member in files:
        try:
            reader.owner(member.path)
        except ValueError:
            continue
        return False
    return any(member.path.name.lower() not in OWN_NOTES for member in files)


def must_be_different_people(found: Sequence[Found], course: Path, errors: list[str]) -> None:
    """Say where two people would get one folder, on some system.

    Args:
        found: The files of all downloads.
        course: Folder of the course; its ``submitted`` may have folders already.
        errors: Takes the sentences.
    """
    _must_be_one_each(found, errors)
    folders = (course / "submitted").iterdir() if (course / "submitted").is_dir() else ()
    there = {unicodedata.normalize("NFC", folder.name) for folder in folders}
    alike: dict[str, set[str]] = {}
    for name in there | {each.student for each in found}:
        alike.setdefault(folded(name), set()).add(name)
    for each in sorted({folded(each.student) for each in found}):
        if len(alike[each]) > 1:
            errors.append(
                f"{' and '.join(sorted(alike[each]))} differ in capitals alone, and are one folder on many systems: "
                "pass a roster with --students, or rename one"
            )


def _must_be_one_each(found: Sequence[Found], errors: list[str]) -> None:
    """Say where a platform has two names, or numbers, for what is read as one student."""
    people: dict[tuple[str, str], dict[str, str]] = {}
    for each in found:
        owner = each.owner
        who = f"{owner.student} {owner.number}" if owner.number else owner.student
        of_system = people.setdefault((each.student, owner.system), {})
        of_system.setdefault(owner.number or folded(owner.student), shown(who))
    for (student, system), who in people.items():
        if len(who) > 1:
            errors.append(
                f"{' and '.join(who.values())} of {system} are both read as {student}: write their numbers or logins "
                "into the roster, or rename a folder if they are one person"
            )


def _must_lie_in_one_zip(found: Sequence[Found], errors: list[str]) -> None:
    """Say which folders lie in several zips: those of two students may both be called ``homework``."""
    zips: dict[str, set[str]] = {}
    for each in found:
        if (
            each.owner.system == FOLDER
            and each.member.download
            and folded(each.student) != folded(each.member.download)
        ):
            zips.setdefault(each.student, set()).add(each.member.shown.partition("/")[0])
    for student, names in zips.items():
        if len(names) > 1:
            errors.append(
                f"{student} is a folder in {' and '.join(sorted(names))}, perhaps of different students: put each zip "
                "into a folder named after its student, or pass --students"
            )


def beginning_of_all(found: Sequence[Found]) -> str:
    """Return what all logins of Blackboard's begin with, up to an underscore: it may belong to the title."""
    logins = {each.student for each in found if each.owner.system == BLACKBOARD}
    begun = {login.partition("_")[0] if "_" in login else "" for login in logins}
    return begun.pop() if len(begun) == 1 and len(logins) > 1 else ""
