"""Images, side by side or as one picture, and the maps of indices between an image and its reconstruction."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from vqvae_course.plotting.frame import bare, panels

SATURATION, VALUE = np.array([0.85, 0.45, 0.9]), np.array([0.85, 0.95, 0.5])  # of colours in turn


def _show_image(axis: Axes, image: Tensor) -> None:
    pixels = image.detach().float().cpu().clamp(0, 1).movedim(0, -1).numpy()  # (H, W, C)
    grey = pixels.shape[-1] == 1
    axis.imshow(
        pixels[..., 0] if grey else pixels, cmap="gray" if grey else None, vmin=0, vmax=1, interpolation="nearest"
    )
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


def code_maps(
    x: Tensor,
    indices: Tensor,
    x_hat: Tensor,
    num_codes: int,
    width: float = 8.0,
    codebook: Tensor | None = None,
    patches: Tensor | None = None,
    columns: int = 4,
) -> Figure:
    """Draw images, the index maps between, and the reconstructions; every index keeps one colour.

    The commonest index is grey. Integers are written into the first map only.

    Args:
        x: (N, C, H, W) images in [0, 1].
        indices: (N, h, w) int64.
        x_hat: (N, C, H, W) reconstructions.
        num_codes: K, for the colours.
        width: Of the figure in inches.
        codebook: (K, D); codes that are alike then have colours that are alike. None: the more often
            an index occurs, the further its colour is from the others.
        patches: (K, C, p, q) images in [0, 1] of what each code decodes to, shown in its cells instead
            of a colour; or None.
        columns: Most images that are shown, the first ones.

    Returns:
        The figure, one column an image.

    Explained in notebook 05.
    """
    count = min(len(x), columns)
    heights = (1.0, 1.5, 1.0)  # an index map is looked at longest
    side = width / count
    figure, axes = panels(width, side * sum(heights) / max(heights), 3, count, height_ratios=heights)
    colours = index_colours(indices, num_codes, codebook)
    for column in range(count):
        _show_image(axes[0, column], x[column])
        _show_image(axes[2, column], x_hat[column])
        index_map = indices[column].cpu()
        painted = colours[index_map] if patches is None else _tiled(patches, index_map)
        tall, wide = index_map.shape
        axes[1, column].imshow(painted, interpolation="nearest", extent=(-0.5, wide - 0.5, tall - 0.5, -0.5))
        _bare_with_lines(axes[1, column], tall, wide)
    if max(indices.shape[1:]) <= 10 and patches is None:
        _write_indices(axes[1, 0], indices[0].cpu(), colours)
    for axis, name in zip(axes[:, 0], ("image", "indices", "reconstruction"), strict=True):
        axis.set_ylabel(name)
    return figure


def index_colours(indices: Tensor, num_codes: int, codebook: Tensor | None = None) -> np.ndarray:
    """Return a colour for every index: grey for the commonest one, the others by likeness or well apart.

    Args:
        indices: (...) int64, which are to be drawn.
        num_codes: K.
        codebook: (K, D), or None.

    Returns:
        (K, 3) in [0, 1].
    """
    counts = torch.bincount(indices.flatten().cpu(), minlength=num_codes)
    commonest, *others = counts.argsort(descending=True, stable=True).tolist()
    colours = np.empty((num_codes, 3))
    colours[commonest] = 0.8
    if codebook is None:
        # A step of the golden ratio never comes near a hue that was used shortly before.
        place = np.arange(len(others))
        hue, saturation, value = (0.58 + 0.618034 * place) % 1, SATURATION[place % 3], VALUE[place % 3]
        colours[others] = hsv_to_rgb(np.stack([hue, saturation, value], axis=1))
        return colours
    used = [index for index in others if counts[index]]
    if used:
        codes = codebook.detach().double().cpu()
        centred = codes - codes[used].mean(dim=0)
        direction = torch.linalg.svd(centred[used], full_matrices=False).Vh[0]
        place = (centred @ (direction * direction[direction.abs().argmax()].sign())).numpy()
        rank = np.searchsorted(np.sort(place[used]), place[others]) / max(1, len(used) - 1)
        colours[others] = colormaps["viridis"](rank.clip(0, 1))[:, :3]
    return colours


def _tiled(patches: Tensor, index_map: Tensor) -> np.ndarray:
    """Put the patch of its code into every cell of a map: (h p, w q, 3)."""
    tiles = patches.detach().float().cpu().clamp(0, 1)[index_map]  # (h, w, C, p, q)
    picture = tiles.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return picture.expand(-1, -1, 3).numpy()


def _bare_with_lines(axis: Axes, tall: int, wide: int) -> None:
    """Leave of a panel its picture, and thin lines between the cells."""
    bare(axis)
    look = {"colors": "white", "linewidths": 0.6}
    axis.hlines(np.arange(1, tall) - 0.5, -0.5, wide - 0.5, **look)
    axis.vlines(np.arange(1, wide) - 0.5, -0.5, tall - 0.5, **look)


def _write_indices(axis: Axes, index_map: Tensor, colours: np.ndarray) -> None:
    """Write each index into its cell, in black or white, whichever is read better."""
    for (i, j), index in np.ndenumerate(index_map.numpy()):
        ink = "black" if colours[index] @ (0.3, 0.6, 0.1) > 0.5 else "white"
        axis.text(j, i, str(index), ha="center", va="center", fontsize=7, color=ink)
