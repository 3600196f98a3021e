"""Grids of images as PNG files."""

from pathlib import Path

import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from vqvae_course.cli.run import Run
from vqvae_course.cli.source import folder_of
from vqvae_course.plotting import mosaic
from vqvae_course.runtime import whole_file


def save_figure(path: Path, figure: Figure) -> Path:
    """Write a figure as PNG, whole or not at all, and return where it is."""
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=150, bbox_inches="tight")  # labels of any length
    return path


def must_spare(picture: Path | None, run: Run, data: str, read: Path | None = None) -> None:
    """Raise ``ValueError`` if ``--picture`` would replace a picture that a command reads, or join those of the data.

    Args:
        picture: What is to be written; None is a place of the run's own.
        run: The run.
        data: Its option ``--data``.
        read: The picture, or the folder of pictures, that the command reads.
    """
    if picture is None:
        return
    path, folder = picture.resolve(), folder_of(data)
    among = folder is not None and path.is_relative_to(folder.resolve())
    among = among and not path.is_relative_to(run.folder.resolve())
    replaced = read is not None and path.exists() and read.resolve() in (path, path.parent)
    if among or replaced:
        place = data if among else read
        raise ValueError(f"picture must be a file apart from the pictures of {place}, got {picture}: pass another")


def save_pairs(path: Path, x: Tensor, x_hat: Tensor) -> Path:
    """Write images above their reconstructions, ten a row, and return where.

    Args:
        path: A PNG file.
        x: (N, C, H, W) in [0, 1].
        x_hat: The same shape.
    """
    above, below = in_rows("images", x, 10), in_rows("decoded", x_hat, 10)
    pairs = zip(above.items(), below.items(), strict=True)
    return save_figure(path, mosaic(dict(row for pair in pairs for row in pair)))


def in_rows(name: str, images: Tensor, width: int) -> dict[str, Tensor]:
    """Return images as named rows of at most ``width``, filled up with white where there are several rows.

    Args:
        name: Of the only row; of several, each has its numbers behind it.
        images: (N, C, H, W) in [0, 1].
        width: Images a row.
    """
    if len(images) <= width:
        return {name: images}
    rows = {}
    for start in range(0, len(images), width):
        row = images[start : start + width]
        blank = (0, 0, 0, 0, 0, 0, 0, width - len(row))
        rows[f"{name} {start + 1}–{start + len(row)}"] = F.pad(row, blank, value=1.0)
    return rows
