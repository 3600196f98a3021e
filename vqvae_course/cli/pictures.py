"""Grids of images as PNG files."""

from pathlib import Path

import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from vqvae_course.plotting import mosaic
from vqvae_course.runtime import whole_file


def save_figure(path: Path, figure: Figure) -> Path:
    """Write a figure as PNG, whole or not at all, and return where it is."""
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=150)
    return path


def save_pairs(path: Path, x: Tensor, x_hat: Tensor, width: int = 10) -> Path:
    """Write images above their reconstructions, and return where.

    Args:
        path: A PNG file.
        x: (N, C, H, W) in [0, 1].
        x_hat: The same shape.
        width: Images a row.
    """
    if len(x) <= width:
        return save_figure(path, mosaic({"images": x, "decoded": x_hat}))
    rows: dict[str, Tensor] = {}
    for start in range(0, len(x), width):
        some = f"{start + 1}–{min(start + width, len(x))}"
        rows[f"images {some}"], rows[f"decoded {some}"] = (
            _filled(part[start : start + width], width) for part in (x, x_hat)
        )
    return save_figure(path, mosaic(rows))


def _filled(images: Tensor, width: int) -> Tensor:
    """Return a row of images, white where there are none left."""
    return F.pad(images, (0, 0, 0, 0, 0, 0, 0, width - len(images)), value=1.0)
