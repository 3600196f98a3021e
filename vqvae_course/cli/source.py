"""The pictures of a run: where they are, where its files may go, and whether their classes are still the same."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqvae_course.cli.run import Run, RunError, say
from vqvae_course.folders import DataUnavailable, PictureFiles, folder_name, list_folder, named

FOLDER = "folder:"
PUT_BACK = "give the folders of the classes the names they had, or start a new run with another --out"


def folder_of(data: str) -> Path | None:
    """Return the folder that ``--data`` names, or None if it names a set.

    Raises:
        ValueError: If there is nothing behind ``folder:``.
    """
    if not data.startswith(FOLDER):
        return None
    if data == FOLDER:
        raise ValueError("data must give the path behind folder:, got none")
    return Path(data.removeprefix(FOLDER)).expanduser()


def located(data: str, run: Run, about: dict[str, Any]) -> str:
    """Return where the pictures of a run are: where ``--data`` says, seen from here, or where they were at its start.

    Where there are both, and the run lies where it was started, they are the latter: a folder of the same name that
    lies here is another. A run that was copied goes with the pictures that were copied with it.

    Args:
        data: The option ``--data`` of the run.
        run: The run.
        about: What it wrote down; at its start, of late with the whole paths of the pictures and of itself.
    """
    folder, started_with = folder_of(data), about.get("folder")
    if folder is None or not isinstance(started_with, str) or not Path(started_with).is_dir():
        return data
    if folder.is_dir() and folder.resolve() == Path(started_with).resolve():
        return data
    always_there = all(part == ".." for part in folder.parts)  # . and .., whatever they are
    stayed = about.get("place") == str(run.folder.resolve())
    return FOLDER + started_with if always_there or stayed or not folder.is_dir() else data


def moved(data: str, asked: str) -> str:
    """Return where the pictures of a run have moved to.

    Raises:
        ValueError: If that is something else than they were.
    """
    if (folder_of(data) is None) != (folder_of(asked) is None) or (folder_of(data) is None and data != asked):
        raise ValueError(f"data must be what this run was trained on, {data}, or where that has moved to, got {asked}")
    return asked


def pictures_of(data: str, split: str = "train") -> PictureFiles | None:
    """Return the pictures of a folder, or None of a set, which has no folder.

    Raises:
        DataUnavailable: If there are none.
    """
    folder = folder_of(data)
    if folder is None:
        return None
    if not folder.exists():
        raise DataUnavailable(
            f"folder:{folder} must name a folder, and there is none. Check the path, or pass --data folder:PATH if "
            "the pictures have moved."
        )
    return list_folder(folder, split)


def must_be_same_classes(where: str, now: Sequence[str], whose: str, then: Sequence[str] | None, cure: str) -> None:
    """Raise ``RunError`` if classes are not those of before; what was written before classes had names passes.

    Args:
        where: Whose classes they are now.
        now: Their names, in the order of their numbers.
        whose: Whose they were.
        then: Their names at that time.
        cure: What to do.
    """
    if not now or not then or tuple(now) == tuple(then):
        return
    gone, new = ([name for name in one if name not in other] for one, other in ((then, now), (now, then)))
    changes = [f"{named(names)} {word}" for names, word in ((gone, "missing"), (new, "new")) if names]
    said = "; ".join(changes) or "in another order"
    raise RunError(f"{where} must have the classes of {whose}, {named(then)}, got others ({said}): {cure}")


def default_out(data: str) -> Path:
    """Return where a run on these data goes: below this folder, or beside the pictures if this is one of theirs."""
    folder = folder_of(data)
    if folder is None:
        return Path("runs") / data
    among = Path.cwd().resolve().is_relative_to(folder.resolve())
    return Path(os.path.relpath(folder.resolve().parent) if among else "") / "runs" / folder_name(folder)


def must_be_apart(out: Path, data: str, training: PictureFiles) -> None:
    """Raise ``ValueError`` if the folder of a run would be one of those that hold its pictures."""
    folder = folder_of(data)
    top = folder.resolve()
    paths = [*training.paths, *list_folder(folder, "test").paths]
    holding = {Path(place).resolve() for place in {os.path.dirname(path) for path in paths}}
    holding |= {top, *(above for place in holding for above in place.parents if above.is_relative_to(top))}
    if out.resolve() in holding:
        raise ValueError(
            f"out must be a folder apart from the pictures of {data}, got {out}: pass another --out, such as "
            f"{default_out(data)}"
        )


def tell(data: str, files: PictureFiles) -> None:
    """Print what was found in a folder: its classes, and what was passed over."""
    count = len(files.classes)
    say(f"{count:,} {'class' if count == 1 else 'classes'} in {data}: {named(files.classes)}.", *files.remarks)
