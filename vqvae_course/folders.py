"""A folder of pictures: which folders in it are splits and classes, and which files are pictures."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

# Kinds that every supported Pillow reads: the same files, and so the same splits, on every machine.
PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".bmp", ".dib"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga"),
)
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
# What systems leave behind; names that begin with a dot, such as macOS's ``._x.png``, are passed over too.
LEFTOVERS = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "$recycle.bin", "lost+found")
OF = "(?P<of>.+[ _-])?"  # as in seg_train and seg_test
SET = "([ _-]?(set|data|images|pictures|split))?"
SPLITS = {
    "train": re.compile(f"{OF}(train|training){SET}", re.IGNORECASE),
    "test": re.compile(f"{OF}(test|testing){SET}", re.IGNORECASE),
    "validation": re.compile(f"{OF}(val|valid|validation|dev){SET}", re.IGNORECASE),
}
LOCK = ".lock"
# Two of these make a folder that of a run.
RUN = {LOCK, "train.json", "model.pt", "model.csv", "prior.json", "prior.pt", "prior.csv", "codes", "evaluation.json"}
NAMED = 12  # names in a sentence


class DataUnavailable(RuntimeError):
    """A data set could not be had; the message says what to do."""


class PictureFiles(NamedTuple):
    """The pictures of a folder, not opened yet.

    Attributes:
        paths: One path a picture, in the order of the set.
        labels: (N,) int64, the numbers of their classes.
        classes: What the classes are called, in the order of their numbers, in both splits the same.
        remarks: A sentence on each thing that was passed over, or that was not read in the plainest way.
    """

    paths: list[str]
    labels: Tensor
    classes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def list_folder(folder: Path, split: str) -> PictureFiles:
    """Return the pictures of a split of a folder with one sub-folder for each class.

    Where it has a folder for training and one for testing (``train`` and ``test``, ``Training_set`` and ``val``,
    ``seg_train`` and ``seg_test``, and so on), they are the splits; else every tenth picture is for ``test``. A folder
    that holds nothing but the folder of the classes is looked through, also in both splits. A picture that several
    links lead to is counted once, at the path without links if there is one, and in the training split if it is in
    both. Folders of runs are no classes.

    Args:
        folder: Where the pictures are.
        split: ``train`` or ``test``.

    Returns:
        At least one picture; class by class, and by name within a class.

    Raises:
        DataUnavailable: If the folder or its sub-folders are not as they must be.
    """
    if folder.is_file():
        packed = folder.name.lower().endswith(ARCHIVES)
        cure = "Unpack it, and name the folder" if packed else "Name the folder that holds the classes"
        raise DataUnavailable(f"folder:{folder} must name a folder, and this is a file. {cure}.")
    if not folder.is_dir():
        raise DataUnavailable(f"folder:{folder} must name a folder, and there is none. Check the path.")
    place, remarks = _inner(folder)
    divided = _splits(place, remarks)
    walk = _Walk(place, remarks)
    found = walk.classes(divided["train"] if divided else place)
    classes = tuple(sorted({one.name for one in found}))
    if divided and split == "test":
        found = walk.classes(divided["test"])
        if unknown := sorted({one.name for one in found} - set(classes)):
            raise DataUnavailable(
                f"{divided['test']} must hold classes of {divided['train']}, which are {named(classes)}, got "
                f"{named(unknown)} too: rename or remove that folder."
            )
    order = {name: number for number, name in enumerate(classes)}
    pictures = sorted(found, key=lambda one: (order[one.name], one.folder, one.file))
    if not divided:
        pictures = [one for number, one in enumerate(pictures) if (number % 10 == 9) == (split == "test")]
    if not pictures:
        raise DataUnavailable(
            f"{place} holds too few pictures for a {split} split of its own: every tenth is for test, so there must "
            "be ten at least. Add some, or divide them into the folders train and test."
        )
    labels = torch.tensor([order[one.name] for one in pictures])
    return PictureFiles([f"{one.folder}{os.sep}{one.file}" for one in pictures], labels, classes, walk.remarks())


def folder_name(folder: str | Path) -> str:
    """Return what a folder is called, also one that is given as ``.`` or ``..``."""
    return Path(os.path.abspath(folder)).name or "pictures"


def named(names: Sequence[str]) -> str:
    """Return names for a sentence, the first few of them if there are many."""
    shown = list(names) if len(names) <= NAMED + 1 else [*names[:NAMED], f"… {len(names) - NAMED} more"]
    return ", ".join(shown)


class _Picture(NamedTuple):
    name: str  # of its class
    folder: str
    file: str


class _Walk:
    """Finds pictures, each of them once, however many links lead to it."""

    def __init__(self, place: Path, said: list[str]):
        self.folders = _line(place)  # a link to one of them leads round in a circle
        self.files: set[str] = set()
        self.place, self.said = place, said
        self.runs: list[str] = []
        self.empty: list[str] = []
        self.again: list[str] = []
        self.others: Counter[str] = Counter()

    def classes(self, place: Path) -> list[_Picture]:
        """Return the pictures below the sub-folders of a folder.

        Raises:
            DataUnavailable: If there are none.
        """
        found: list[_Picture] = []
        links: list[tuple[str, str, str]] = []
        self.runs += [str(path) for path in _folders(place) if _holds_runs(path)]
        inside = {path.name: _as_composed(path.name) for path in _sub_folders(place)}
        for entry, name in inside.items():
            if os.path.islink(place / entry):
                links.append((name, str(place), entry))
            else:
                self._below(name, str(place / entry), found, links)
        while links:  # last, so that a link never stands in for the picture itself
            several, links = sorted(links), []
            for name, folder, entry in several:
                path = os.path.join(folder, entry)
                if os.path.isdir(path):
                    self._below(name, path, found, links)
                else:
                    self._take(_Picture(name, folder, entry), os.path.realpath(path), found)
        names = {one.name for one in found}
        again = {os.path.join(place, entry) for entry in inside}.intersection(self.again)  # said there
        self.empty += [
            entry for entry, name in inside.items() if name not in names and os.path.join(place, entry) not in again
        ]
        if not found:
            raise DataUnavailable(f"{place} must hold one sub-folder of pictures for each class ({self._why(place)}).")
        if missed := _missed(place):
            self.said.append(f"Left out: {named(missed)}, which would have to be folders to be classes.")
        if beside := _count_pictures(place):
            self.said.append(f"Left out: {_counted(beside, 'picture')} in {place} beside the folders of its classes.")
        if len({name.lower() for name in names}) < len(names):
            self.said.append("Some class folders differ only in upper and lower case; each is a class of its own.")
        return found

    def remarks(self) -> tuple[str, ...]:
        """Return what there is to say about all that was walked."""
        said = list(self.said)
        if self.runs:
            said.append(f"Left out: {named(self._short(self.runs))}, where runs of this command are.")
        if self.empty:
            said.append(f"Left out: {named(self.empty)}, without a picture of its own.")
        if self.again:
            said.append(f"Counted once, though links lead there again: {named(self._short(self.again))}.")
        if self.others:
            kinds = [f"{count} {kind}" for kind, count in sorted(self.others.items())]
            said.append(f"Left out: {named(kinds)}; pictures must end in {' '.join(PICTURES)}.")
        return tuple(said)

    def _below(self, name: str, folder: str, found: list[_Picture], links: list[tuple[str, str, str]]) -> None:
        """Collect the pictures of a class at any depth, and the links met on the way."""
        real = os.path.realpath(folder)
        if real in self.folders:
            self.again.append(folder)
            return
        self.folders.add(real)
        if _is_run(folder):
            self.runs.append(folder)
            return
        run_among_pictures = _has_run_files(folder)  # older versions could put one there
        for entry in _entries(folder):
            is_folder = _is_folder(entry)
            if run_among_pictures and entry.name == "pictures":  # what the run drew
                self.runs.append(entry.path)
                continue
            if not is_folder and not _is_picture(entry.name):
                if entry.name != LOCK:
                    self.others[os.path.splitext(entry.name)[1].lower() or "without an ending"] += 1
            elif entry.is_symlink():
                links.append((name, folder, entry.name))
            elif is_folder:
                self._below(name, entry.path, found, links)
            else:
                self._take(_Picture(name, folder, entry.name), f"{real}{os.sep}{entry.name}", found)

    def _take(self, picture: _Picture, real: str, found: list[_Picture]) -> None:
        try:
            about = os.stat(real)
        except OSError:  # a link to nothing, which is named when it is to be read
            real = os.path.join(picture.folder, picture.file)
        else:
            if about.st_nlink > 1:  # hard links: several names, none of which is the true one
                real = f"{about.st_dev} {about.st_ino}"
        if real in self.files:
            self.again.append(os.path.join(picture.folder, picture.file))
        else:
            self.files.add(real)
            found.append(picture)

    def _short(self, paths: list[str]) -> list[str]:
        return [os.path.relpath(path, self.place) for path in paths]

    def _why(self, place: Path) -> str:
        """Say why no class was found."""
        if pictures := _count_pictures(place):
            return (
                f"{_counted(pictures, 'picture')} in no sub-folder: put them into one, such as {place / 'all'}, or "
                "name the folder above if this is a class"
            )
        if archives := [entry.name for entry in _entries(place) if entry.name.lower().endswith(ARCHIVES)]:
            return f"{named(archives)} must be unpacked first"
        if self.again:
            return f"links: its pictures are counted already, {named(self._short(self.again))}"
        if self.runs:
            return f"found {named(self._short(self.runs))}, where runs of this command are, which are no classes"
        if self.others:
            return f"found only {named(sorted(self.others))}, and none of {' '.join(PICTURES)}"
        return f"found no picture in {named(self.empty)}" if self.empty else "found no sub-folder"


def _inner(folder: Path) -> tuple[Path, list[str]]:
    """Return the folder that holds the classes or splits, where all others down to it hold one folder, and a remark."""
    place = folder
    while not _holds_pictures(place):
        inside = _sub_folders(place)
        if len(inside) != 1 or _split_of(inside[0].name):
            break
        if os.path.realpath(inside[0]) in _line(place):
            break
        above, place = place, inside[0]
        alike = place.name.lower() == above.resolve().name.lower()  # as an archive of that name unpacks
        if not _holds_pictures(place) and len(_sub_folders(place)) > (0 if alike else 1):
            return place, [f"Reading {place}, the only folder in {above}."]
    return folder, []


def _line(place: Path) -> set[str]:
    """Return a folder and those it lies in, without links."""
    real = Path(os.path.realpath(place))
    return {str(real), *map(str, real.parents)}


def _splits(place: Path, said: list[str]) -> dict[str, Path] | None:
    """Return the folders for training and for testing, or None if a folder has none.

    Raises:
        DataUnavailable: If it has one of them only, or several that may be meant.
    """
    inside = _sub_folders(place)
    of = _common_beginning(inside)
    meant = {kind: [path for path in inside if _split_of(path.name, of) == kind] for kind in SPLITS}
    held_out = meant["test"] or meant["validation"]
    if not (meant["train"] and held_out):
        # Alone it is a split if it holds folders; trains beside buses are a class.
        if any(_sub_folders(path) and not _holds_pictures(path) for path in (*meant["train"], *held_out)):
            raise DataUnavailable(f"{place} must hold both a train and a test sub-folder, or neither.")
        return None
    for paths in (meant["train"], held_out):
        if len(paths) > 1:
            raise DataUnavailable(
                f"{place} must hold one folder for each split, got {named([path.name for path in paths])}: "
                "rename or move all but one."
            )
    divided = {"train": meant["train"][0], "test": held_out[0]}
    if [path.name for path in divided.values()] != list(divided):
        said.append(f"Splits: {divided['train'].name} for training, {divided['test'].name} for testing.")
    beside = [path.name for path in inside if path not in divided.values()]
    inner = {split: _inner(path) for split, path in divided.items()}
    if all(looked_through for _, looked_through in inner.values()):
        divided = {split: path for split, (path, _) in inner.items()}
        said += [remark for _, looked_through in inner.values() for remark in looked_through]
    if beside:
        said.append(f"Left out: {named(beside)}, beside the splits.")
    return divided


def _split_of(name: str, of: str | None = None) -> str | None:
    """Return which split a folder is by its name, behind the beginning that the splits share."""
    matches = ((kind, names.fullmatch(name)) for kind, names in SPLITS.items())
    return next((kind for kind, match in matches if match and match["of"] == of), None)


def _common_beginning(inside: list[Path]) -> str | None:
    """Return with what the names of splits begin, if there are splits that hold folders of classes; else None."""
    beginnings = {match["of"] for path in inside for names in SPLITS.values() if (match := names.fullmatch(path.name))}
    if None in beginnings:
        return None
    for of in sorted(beginnings):
        splits = {_split_of(path.name, of): path for path in inside if _split_of(path.name, of)}
        hold_classes = all(_sub_folders(path) and not _holds_pictures(path) for path in splits.values())
        if "train" in splits and len(splits) > 1 and hold_classes:
            return of
    return None


def _scan(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Yield what a folder holds, but for what systems leave behind; of hidden entries only our own lock.

    Raises:
        DataUnavailable: If it cannot be read: what is missing then would not be noticed.
    """
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not is_leftover(entry.name))
    except OSError as error:
        raise DataUnavailable(f"{folder} must be a folder that can be read ({error}). Mend or remove it.") from error


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    return sorted(_scan(folder), key=lambda entry: entry.name)


def _folders(place: Path) -> list[Path]:
    return [place / entry.name for entry in _entries(place) if _is_folder(entry)]


def _sub_folders(place: Path) -> list[Path]:
    """Return the folders that may be classes or splits."""
    return [path for path in _folders(place) if not _holds_runs(path)]


def _holds_runs(folder: Path) -> bool:
    """Say whether a folder is that of a run, or holds such folders and nothing else, as ``runs`` does."""
    if _is_run(folder):
        return True
    empty = True
    for entry in _scan(folder):  # of a class, no further than its first picture
        empty = False
        if not (_is_folder(entry) and _is_run(entry.path)):
            return False
    return not empty


def _is_run(folder: str | Path) -> bool:
    """Say whether a folder is that of a run, whose pictures nobody should train on; it has none but in a sub-folder."""
    return _has_run_files(folder) and not _holds_pictures(folder)


def _has_run_files(folder: str | Path) -> bool:
    found = {name for name in RUN if os.path.lexists(os.path.join(folder, name))}
    # A run that has just begun holds nothing but its lock.
    return len(found) > 1 or (found == {LOCK} and all(entry.name == LOCK for entry in _scan(folder)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_leftover(name: str) -> bool:
    """Say whether a file or folder is one that systems leave behind, or hidden."""
    return name != LOCK and (name.startswith(".") or name.lower() in LEFTOVERS)


def _missed(place: Path) -> list[str]:
    """Return what lies where classes do and may be meant as one: archives, and links that lead nowhere."""

    def leads_nowhere(entry: os.DirEntry[str]) -> bool:
        return entry.is_symlink() and not os.path.exists(entry.path) and not _is_picture(entry.name)

    return [
        entry.name
        for entry in _entries(place)
        if leads_nowhere(entry) or (entry.name.lower().endswith(ARCHIVES) and not _is_folder(entry))
    ]


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURES)


def _holds_pictures(place: str | Path) -> bool:
    return any(_is_picture(entry.name) for entry in _scan(place))


def _count_pictures(place: Path) -> int:
    return sum(_is_picture(entry.name) for entry in _scan(place))


def _as_composed(name: str) -> str:
    """Return a name with its accents as most systems write them; macOS may take them apart."""
    return unicodedata.normalize("NFC", name)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
