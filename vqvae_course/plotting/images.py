"""Images, side by side or as one picture, and the maps of indices between an image and its reconstruction."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vqvae_course.plotting.frame import bare, panels


def _show_image(axis: Axes, image: Tensor) -> None:
    pixels = image.detach().float().cpu().clamp(0, 1).movedim(0, -1).numpy()  # (H, W, C)
    grey = pixels.shape[-1] == 1
    axis.imshow(pixels[..., 0] if grey else pixels, cmap="gray" if grey else None, vmin=0, vmax=1)
    bare(axis)


def image_rows(rows: Mapping[str, Tensor], columns: Sequence[str] | None = None, width: float = 8.0) -> Figure:
    """Draw rows of images, each row with its name on the left.

    Args:
        rows: Name to (N, C, H, W) float images in [0, 1]; all rows as long as the shortest.
        columns: What to write above the columns, or None.
        width: Of the figure in inches.

    Returns:
        The figure.

    Explained in notebook 00.
    """
    count = min(len(images) for images in rows.values())
    _, _, tall, wide = next(iter(rows.values())).shape
    label = 0.105 * max(len(name.strip()) for name in rows)
    side = (width - label) / count
    height = len(rows) * side * tall / wide + (0.3 if columns else 0)
    figure, axes = panels(width, height + 0.05 * len(rows), len(rows), count)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=False):
            _show_image(axis, image)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=6)
    for axis, text in zip(axes[0], columns or [], strict=False):
        axis.set_title(text, fontsize=9)
    return figure


def mosaic(rows: Mapping[str, Tensor], width: float = 8.0) -> Figure:
    """Draw many small images as one picture, a named row after another; quicker than ``image_rows`` for a hundred.

    Args:
        rows: Name to (N, C, H, W) float images in [0, 1]; all rows as long as the shortest.
        width: Of the figure in inches.

    Returns:
        The figure.

    Explained in notebook 11.
    """
    count = min(len(images) for images in rows.values())
    strips = []
    for images in rows.values():
        tiles = F.pad(images[:count].detach().float().cpu(), (1, 1, 1, 1), value=0.25)  # a grey line around each
        strips.append(tiles.permute(1, 2, 0, 3).flatten(2))  # (C, H + 2, N (W + 2))
    picture = torch.cat(strips, dim=1)
    tall = strips[0].shape[1]
    label = 0.105 * max(len(name) for name in rows)
    figure, axes = panels(width, (width - label) * picture.shape[1] / picture.shape[2])
    _show_image(axes[0, 0], picture)
    axes[0, 0].set_yticks([tall * (line + 0.5) - 0.5 for line in range(len(rows))], list(rows))
    axes[0, 0].tick_params(left=False)
    return figure


def code_maps(x: Tensor, indices: Tensor, x_hat: Tensor, num_codes: int, width: float = 8.0) -> Figure:
    """Draw images, the index maps between, and the reconstructions; every index keeps one colour.

    Args:
        x: (N, C, H, W) images in [0, 1].
        indices: (N, h, w) int64.
        x_hat: (N, C, H, W) reconstructions.
        num_codes: K, for the colours.
        width: Of the figure in inches.

    Returns:
        The figure, one column an image.

    Explained in notebook 05.
    """
    count = len(x)
    figure, axes = panels(width, 3 * width / count, 3, count)
    # Neighbouring integers mean nothing, so neighbouring colours should not either.
    shuffled = np.random.default_rng(0).permutation(num_codes)
    for column in range(count):
        _show_image(axes[0, column], x[column])
        index_map = indices[column].cpu().numpy()
        axes[1, column].imshow(shuffled[index_map], cmap="nipy_spectral", vmin=0, vmax=num_codes - 1)
        if index_map.shape[0] <= 8 and width / count >= 1.2:
            for (i, j), index in np.ndenumerate(index_map):
                shade = shuffled[index] / num_codes
                ink = "black" if 0.35 < shade < 0.85 else "white"
                axes[1, column].text(j, i, str(index), ha="center", va="center", fontsize=6, color=ink)
        bare(axes[1, column])
        _show_image(axes[2, column], x_hat[column])
    for axis, name in zip(axes[:, 0], ("image", "indices", "reconstruction"), strict=True):
        axis.set_ylabel(name)
    return figure
