"""The pictures of a run: where they are, where its files may go, and whether their classes are still the same."""

import os
from pathlib import Path

from vqvae_course.cli.run import say
from vqvae_course.data import SPLIT_SIZES
from vqvae_course.folders import PictureFiles, folder_name, list_folder, named

FOLDER = "folder:"


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


def default_out(data: str) -> Path:
    """Return where a run on these data goes: below this folder, or beside the pictures if this is one of theirs."""
    folder = folder_of(data)
    if folder is None:
        return Path("runs") / data
    among = Path.cwd().resolve().is_relative_to(folder.resolve())
    return Path(os.path.relpath(folder.resolve().parent) if among else "") / "runs" / folder_name(folder)


def must_be_apart(out: Path, data: str) -> None:
    """Raise ``ValueError`` if the folder of a run would be one of those that hold its pictures."""
    folder = folder_of(data)
    top = folder.resolve()
    paths = [path for split in SPLIT_SIZES for path in list_folder(folder, split).paths]
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
