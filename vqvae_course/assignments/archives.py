"""What is in a download: the files in folders, in zips and in zips inside them, read but never unpacked to the disk."""

import os
import re
import stat
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile, ZipInfo

from vqvae_course.assignments.names import shown
from vqvae_course.folders import ARCHIVES, LEFTOVERS

LIMIT = 100 * 2**20  # bytes of one file, and of all that a zip inside a zip unpacks to
LONGEST = 255  # signs of a name
DEEPEST = 3  # zips inside each other
SKIPPED = {*LEFTOVERS, ".ds_store", ".ipynb_checkpoints", ".git", "__pycache__"}
UTF8 = 0x800  # the flag of a name in a zip that is written in UTF-8
UNREADABLE = (
    *(BadZipFile, NotImplementedError, EOFError, OSError, ValueError, struct.error, zlib.error, LZMAError),
    RuntimeError,  # a password
)


@dataclass(frozen=True)
class Member:
    """A file in a download.

    Attributes:
        source: The file on the disk: itself, or the outermost zip that holds it.
        inner: Its place in that zip, and in each zip inside; empty for a file on the disk.
        path: What the student's name is read from: without the name of the download, with that of zips inside it.
        shown: What to call it in messages.
        download: Name of the download, if it is a zip, without ``.zip``; else empty.
        link: Whether it is a link, which is not followed.
    """

    source: Path
    inner: tuple[int, ...]
    path: PurePosixPath
    shown: str
    download: str = ""
    link: bool = False


def members(archive: Path, problems: list[str]) -> Iterator[Member]:
    """Go through the files of a download, in the order of their names.

    What systems leave behind (``__MACOSX``, ``._x``, ``.DS_Store``, ``.ipynb_checkpoints``, …) is passed over.

    Args:
        archive: A zip, a folder (zips directly in it are downloads too), or a single file.
        problems: Takes a sentence on whatever cannot be read.
    """
    if archive.is_dir():
        yield from _of_folder(archive, problems)
    elif not archive.is_file():
        problems.append(f"archive must be a zip, a folder or a notebook, and there is no {shown(archive)}")
    elif is_zip(archive.name):
        yield from _of_zip(_Zip(archive, (), PurePosixPath(), shown(archive.name), archive.stem), archive, problems)
    elif archive.suffix.lower() in ARCHIVES:
        problems.append(f"{shown(archive)} must be a zip: unpack it and pass the folder as --archive")
    else:
        yield Member(archive, (), PurePosixPath(archive.name), shown(archive.name))


def contents(wanted: Sequence[Member], problems: list[str]) -> Iterator[tuple[Member, bytes]]:
    """Read files of downloads, each zip opened once.

    Args:
        wanted: From ``members``.
        problems: Takes a sentence on whatever cannot be read.
    """
    for source, group in groupby(sorted(wanted, key=lambda each: (each.source, each.inner)), lambda each: each.source):
        found = list(group)
        if not found[0].inner:
            yield from _read_each(found, lambda member: _on_disk(member.source), problems)
            continue
        try:
            with ZipFile(source) as zipped:
                yield from _read_each(found, lambda member, zipped=zipped: _inside(zipped, member.inner), problems)
        except (BadZipFile, OSError) as error:
            problems.append(f"{shown(source)} cannot be read ({error})")


def is_zip(name: str) -> bool:
    """Say whether a file is to be looked into, by its name."""
    return name.lower().endswith(".zip")


@dataclass(frozen=True)
class _Zip:
    """Where a zip is."""

    source: Path
    inner: tuple[int, ...]
    path: PurePosixPath
    shown: str
    download: str


def _of_folder(archive: Path, problems: list[str]) -> Iterator[Member]:
    def complain(error: OSError) -> None:
        problems.append(f"{shown(error.filename)} cannot be read ({error.strerror})")

    for folder, below, files in os.walk(archive, onerror=complain):
        below[:] = sorted(name for name in below if not _is_leftover(name))
        links = [name for name in below if Path(folder, name).is_symlink()]  # os.walk does not go into these
        for name in sorted(name for name in (*files, *links) if not _is_leftover(name)):
            file = Path(folder, name)
            path = PurePosixPath(file.relative_to(archive).as_posix())
            if is_zip(name) and not file.is_symlink():
                download = file.stem if len(path.parts) == 1 else ""
                inside = PurePosixPath() if download else path
                yield from _of_zip(_Zip(file, (), inside, shown(path), download), file, problems)
            else:
                yield Member(file, (), path, shown(path), link=file.is_symlink())


def _of_zip(place: _Zip, file: Path | BinaryIO, problems: list[str]) -> Iterator[Member]:
    try:
        with ZipFile(file) as zipped:
            if place.inner:  # a student's, who may have it unpack to anything
                _must_fit(sum(each.file_size for each in zipped.infolist()))
            for number, info in enumerate(zipped.infolist()):
                if not _name_of(info).endswith("/"):  # a folder's
                    yield from _of_entry(place, zipped, number, info, problems)
    except UNREADABLE as error:
        problems.append(f"{place.shown} cannot be unpacked ({error}): ask for it again, or unpack it into a folder")


def _of_entry(place: _Zip, zipped: ZipFile, number: int, info: ZipInfo, problems: list[str]) -> Iterator[Member]:
    name = _name_of(info)
    inner, path, said = (*place.inner, number), PurePosixPath(name), f"{place.shown}/{shown(name)}"
    if not path.parts or any(map(_is_leftover, path.parts)):
        return
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:/", name):
        problems.append(f"{said} must lie in its archive, and its name leads out of it")
        return
    if max(map(len, path.parts)) > LONGEST:
        problems.append(f"{said[:LONGEST]}… must have a name that a disk takes, of at most {LONGEST} signs")
        return
    link = stat.S_ISLNK(info.external_attr >> 16)
    if link or not is_zip(name):
        yield Member(place.source, inner, place.path / path, said, place.download, link)
        return
    if len(inner) >= DEEPEST:
        problems.append(f"{said} is a zip in a zip in a zip: unpack it")
        return
    try:
        data = _unpacked(zipped, info)
    except UNREADABLE as error:
        problems.append(f"{said} cannot be unpacked ({error}): ask for it again, or unpack it into a folder")
        return
    yield from _of_zip(_Zip(place.source, inner, place.path / path, said, place.download), BytesIO(data), problems)


def _name_of(info: ZipInfo) -> str:
    r"""Return a name in a zip: many tools write UTF-8 and do not say so, and some write ``\`` for ``/``."""
    name = info.filename
    if not info.flag_bits & UTF8:
        with suppress(UnicodeError):  # then it is what it says
            name = name.encode("cp437").decode("utf-8")
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _is_leftover(name: str) -> bool:
    return name.startswith("._") or name.lower() in SKIPPED


def _read_each(
    found: Sequence[Member], read: Callable[[Member], bytes], problems: list[str]
) -> Iterator[tuple[Member, bytes]]:
    for member in found:
        try:
            data = read(member)
        except UNREADABLE as error:
            problems.append(f"{member.shown} cannot be read ({error}): ask for it again")
            continue
        yield member, data


def _on_disk(path: Path) -> bytes:
    _must_fit(path.stat().st_size)
    return path.read_bytes()


def _inside(zipped: ZipFile, inner: Sequence[int]) -> bytes:
    data = _unpacked(zipped, zipped.infolist()[inner[0]])
    if not inner[1:]:
        return data
    with ZipFile(BytesIO(data)) as inside:
        return _inside(inside, inner[1:])


def _unpacked(zipped: ZipFile, info: ZipInfo) -> bytes:
    _must_fit(info.file_size)
    return zipped.read(info)  # never more than file_size, whatever the file really unpacks to


def _must_fit(size: int) -> None:
    if size > LIMIT:
        raise ValueError(f"it must have at most {LIMIT >> 20} MB, got {size >> 20} MB")
