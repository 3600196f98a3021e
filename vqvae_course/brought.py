"""Files of MNIST, Fashion-MNIST and CIFAR-10 that someone brought by hand, packed or not, to where they may lie."""

import gzip
import struct
import tarfile
import zlib
from collections.abc import Container, Iterator
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from torchvision.datasets.utils import check_integrity

UNREADABLE = (OSError, EOFError, ValueError, zlib.error, tarfile.TarError)  # what a damaged file or archive raises
# The files of these two sets have the same names, and begin with these labels.
FIRST_LABELS = {
    "MNIST": {"train": bytes([5, 0, 4, 1, 9, 2, 1, 3]), "t10k": bytes([7, 2, 1, 0, 4, 1, 4, 9])},
    "FashionMNIST": {"train": bytes([9, 0, 0, 3, 0, 2, 7, 2]), "t10k": bytes([9, 2, 1, 1, 6, 1, 4, 6])},
}


class Brought(NamedTuple):
    """What was found of a set.

    Attributes:
        kind: The class of torchvision that reads it from ``root``; None if the set is not whole.
        root: What to hand to that class.
        problems: A sentence on each file that is damaged or missing; none if there is nothing of the set.
        keep: Whether something of it must not be thrown away: it is whole, or someone brought it.
    """

    kind: type | None
    root: Path
    problems: tuple[str, ...] = ()
    keep: bool = False


def bring(kind: type, root: Path, into: Path) -> Brought:
    """Look for the files of a set under ``root``, and unpack them to where torchvision reads them.

    They may lie in torchvision's own folder, in one called like the set in any spelling, or in ``root`` itself.
    Files that are whole are never written to.

    Args:
        kind: ``datasets.MNIST``, ``FashionMNIST`` or ``CIFAR10``.
        root: The folder of the data sets.
        into: The same folder, or another where that one cannot be written to.
    """
    return _bring_batches(kind, root, into) if hasattr(kind, "train_list") else _bring_idx(kind, root, into)


def _bring_idx(kind: type, root: Path, into: Path) -> Brought:
    """Bring the four files of MNIST or Fashion-MNIST: ``.gz`` or not, with hyphens or with the dots of some sites."""
    usual, target = (folder / kind.__name__ / "raw" for folder in (root, into))
    folders = [path for folder in _called(root, kind.__name__) for path in (folder / "raw", folder)]
    folders += [] if _holds_the_other(kind.__name__, root) else [root]
    whole: dict[str, tuple[Path, bytes]] = {}
    problems, keep = [], False
    names = [name.removesuffix(".gz") for name, _ in kind.resources]
    for name in names:
        damaged = []
        for file in _files(name, folders):
            try:
                whole[name] = file, _read_idx(file)
                break
            except UNREADABLE as error:
                damaged.append(f"{file} is damaged: {error}")
                keep = keep or file != usual / name
        if name not in whole:
            problems += damaged or [f"{name} or {name}.gz is missing"]
    if not whole and not any("damaged" in problem for problem in problems):
        return Brought(None, into)
    if problems:
        return Brought(None, into, tuple(problems), keep or bool(whole))
    for name, (file, content) in whole.items():
        if file != target / name:
            target.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=target, prefix=".unpack-") as half_done:
                (Path(half_done) / name).write_bytes(content)
                (Path(half_done) / name).replace(target / name)
    return Brought(kind, into, keep=any(file != usual / name for name in names for file in _files(name, folders)))


def _bring_batches(kind: type, root: Path, into: Path) -> Brought:
    """Bring CIFAR-10: its archive, or the folder of its batches under any name."""
    expected = dict((*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])))
    first, usual = next(iter(expected)), root / kind.base_folder
    folders = [root, *_called(root, "cifar10"), *_called(root, "cifar10python"), *_called(root, kind.base_folder)]
    for path in [path.absolute() for folder in folders for path in (folder / kind.base_folder, folder)]:
        if (path / first).is_file() and path != usual.absolute():
            return Brought(type(kind.__name__, (kind,), {"base_folder": path.name}), path.parent, keep=True)
    problems = []
    for archive in [file for folder in folders for file in sorted(folder.glob("cifar-10-python*.t*"))]:
        try:
            batches = _read_archive(archive, expected)
        except UNREADABLE as error:
            problems.append(f"{archive} is damaged or cut short: {str(error).splitlines()[0].rstrip(':')}")
            continue
        if problem := _put_batches(kind, batches, into):
            problems.append(f"{archive} is damaged: {problem}")
            continue
        return Brought(kind, into, keep=True)
    keep = bool(problems)
    if usual.is_dir():
        bad = [name for name, md5 in expected.items() if not check_integrity(usual / name, md5)]
        problems += [f"{usual / name} is {'damaged' if (usual / name).exists() else 'missing'}" for name in bad]
        keep = keep or len(bad) < len(expected)
    return Brought(None, into, tuple(problems), keep)


def _read_archive(archive: Path, names: Container[str]) -> dict[str, bytes]:
    """Return the files with these names, whatever folder they are in: an archive can hold paths that lead anywhere."""
    with tarfile.open(archive) as packed:
        members = [(Path(member.name).name, member) for member in packed if member.isfile()]
        return {name: packed.extractfile(member).read() for name, member in members if name in names}


def _put_batches(kind: type, batches: dict[str, bytes], into: Path) -> str | None:
    """Write batches to where torchvision reads them, once it has; else return what it says."""
    with TemporaryDirectory(dir=into, prefix=".unpack-") as half_done:
        folder = Path(half_done) / kind.base_folder
        folder.mkdir()
        for name, content in batches.items():
            (folder / name).write_bytes(content)
        try:
            kind(half_done, train=False, download=False)
        except Exception as error:
            return str(error)
        move_unless_there(folder, into / kind.base_folder)
    return None


def move_unless_there(folder: Path, target: Path) -> None:
    """Give a finished folder its name; if another process was faster, its own, equal folder stays."""
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _called(root: Path, name: str) -> list[Path]:
    """Return the folders with this name in any spelling, such as ``Fashion-MNIST``: in ``root``, or ``root`` itself."""
    entries = sorted(root.iterdir()) if root.is_dir() else []
    entries.sort(key=lambda entry: entry.name != name)  # torchvision's own spelling first
    folders = [entry for entry in entries if entry.is_dir() and _letters(entry.name) == _letters(name)]
    return folders + ([root] if _letters(root.absolute().name) == _letters(name) else [])


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _files(name: str, folders: list[Path]) -> Iterator[Path]:
    dotted = name.replace("-idx", ".idx")
    for folder in folders:
        for called in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
            file = folder / called
            file = file / called if file.is_dir() else file  # some archives have a folder with the name of its file
            if file.is_file():
                yield file


def _read_idx(file: Path) -> bytes:
    """Return the content of a file in MNIST's format, unpacked.

    Raises:
        ValueError: If it is not as long as its header says.
    """
    content = file.read_bytes()
    if content[:2] == b"\x1f\x8b":  # by content: some browsers unpack what they download and keep the name
        content = gzip.decompress(content)
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    start = 4 + 4 * axes
    if not axes or len(content) < start:
        raise ValueError("it is not in MNIST's format")
    promised = start + prod(struct.unpack_from(f">{axes}I", content, 4))
    if len(content) != promised:
        raise ValueError(f"its {len(content):,} bytes should be {promised:,}")
    return content


def _holds_the_other(kind: str, folder: Path) -> bool:
    """Say whether files that lie in a folder without a telling name are those of the other set of the two."""
    for split in ("train", "t10k"):
        for file in _files(f"{split}-labels-idx1-ubyte", [folder]):
            try:
                content = _read_idx(file)
            except UNREADABLE:
                continue
            return any(other != kind and content[8:].startswith(first[split]) for other, first in FIRST_LABELS.items())
    return False
