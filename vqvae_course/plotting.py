"""Pictures: arrays in, a matplotlib ``Figure`` out."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

from vqvae_course.quantize import nearest_code

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito: safe for all eyes
STYLE = {
    "figure.dpi": 100,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


class TrainingRecord(Protocol):
    """What ``curves`` needs of a training history."""

    steps: list[int]

    def __getitem__(self, name: str) -> list[float]:
        """Return the values of one quantity."""


def panels(
    width: float = 8.0, height: float = 2.9, rows: int = 1, columns: int = 1, **options
) -> tuple[Figure, np.ndarray]:
    """Return an empty figure in the style of the course and its axes.

    Args:
        width: Of the figure in inches; a page shows 8.
        height: Of the figure in inches.
        rows: Rows of panels.
        columns: Panels a row.
        **options: Passed to ``matplotlib.pyplot.subplots``, such as ``sharey=True``.

    Returns:
        The figure, which a notebook shows when it is a cell's last line, and a (rows, columns)
        array of axes.

    Explained in notebook 01.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options
        )
    plt.close(figure)  # the notebook shows what a cell returns; left open, it would be shown twice
    return figure, axes


def _show_image(axis: Axes, image: Tensor) -> None:
    pixels = image.detach().float().cpu().clamp(0, 1).movedim(0, -1).numpy()  # (H, W, C)
    grey = pixels.shape[-1] == 1
    axis.imshow(pixels[..., 0] if grey else pixels, cmap="gray" if grey else None, vmin=0, vmax=1)
    _bare(axis)


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)


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
        _bare(axes[1, column])
        _show_image(axes[2, column], x_hat[column])
    for axis, name in zip(axes[:, 0], ("image", "indices", "reconstruction"), strict=True):
        axis.set_ylabel(name)
    return figure


def curves(
    records: Mapping[str, TrainingRecord], quantities: Mapping[str, str], log: bool = True, width: float = 8.0
) -> Figure:
    """Draw one panel a quantity, one line a training run.

    Args:
        records: Name of the run to its history.
        quantities: Name in the history to what is written beside the axis.
        log: Logarithmic vertical axes.
        width: Of the figure in inches.

    Returns:
        The figure.

    Explained in notebook 05.
    """
    figure, axes = panels(width, 2.9, 1, len(quantities))
    for axis, (quantity, text) in zip(axes[0], quantities.items(), strict=True):
        for (name, record), colour in zip(records.items(), COLOURS, strict=False):
            axis.plot(record.steps, record[quantity], label=name, color=colour)
        axis.set(xlabel="update", ylabel=text, yscale="log" if log else "linear")
    if len(records) > 1:
        axes[0, 0].legend()
    return figure


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    axis: Axes | None = None,
    marker: str | None = "o",
    **options,
) -> Figure:
    """Draw measured values as lines, one a name.

    Args:
        series: Name to horizontal and vertical values.
        xlabel: What is written below.
        ylabel: What is written beside.
        axis: Where to draw; a new figure of one panel if None.
        marker: At each measured value; None draws the line alone.
        **options: Properties of the axes, such as ``xscale="log"`` or ``title="..."``.

    Returns:
        The figure.

    Explained in notebook 01.
    """
    if axis is None:
        _, axes = panels(6.0, 3.2)
        axis = axes[0, 0]
    for name, (across, up) in series.items():
        axis.plot(across, up, marker=marker, markersize=4, label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel, **options)
    if len(series) > 1:
        axis.legend()
    return axis.figure


def voronoi(
    axis: Axes,
    codebook: Tensor,
    points: Tensor | None = None,
    limits: tuple[float, float, float, float] = (-2.0, 2.0, -2.0, 2.0),
    numbers: bool = False,
) -> None:
    """Draw codes in the plane, the cell of points nearest to each, and points in their cell's colour.

    Args:
        axis: Where to draw.
        codebook: (K, 2).
        points: (N, 2), or None.
        limits: Left, right, bottom and top edge.
        numbers: Write each code's index beside it.

    Explained in notebook 02.
    """
    codes = codebook.detach().float().cpu()
    left, right, bottom, top = limits
    across, up = torch.linspace(left, right, 400), torch.linspace(bottom, top, 400)
    grid = torch.cartesian_prod(up, across).flip(1)  # row by row, from the bottom
    cells = nearest_code(grid, codes).view(400, 400).numpy()
    tints = ListedColormap([COLOURS[index % len(COLOURS)] for index in range(len(codes))])
    scale = {"cmap": tints, "vmin": -0.5, "vmax": len(codes) - 0.5}
    axis.imshow(cells, extent=limits, origin="lower", alpha=0.18, aspect="equal", interpolation="nearest", **scale)
    if len(codes) > 1:
        axis.contour(across, up, _edges(cells), levels=[0.5], colors="white", linewidths=1.2)
    if points is not None:
        dots = points.detach().float().cpu()
        axis.scatter(*dots.T, s=7, c=nearest_code(dots, codes).numpy(), linewidths=0, alpha=0.8, **scale)
    axis.scatter(*codes.T, s=60, c=range(len(codes)), marker="X", edgecolors="black", linewidths=0.8, zorder=3, **scale)
    if numbers:
        for index, (x, y) in enumerate(codes.tolist()):
            axis.annotate(str(index), (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8)
    axis.set(xlim=limits[:2], ylim=limits[2:])
    _bare(axis)


def _edges(cells: np.ndarray) -> np.ndarray:
    """Return 1 where a cell borders on another, 0 inside."""
    edges = np.zeros(cells.shape)
    edges[:, 1:] += cells[:, 1:] != cells[:, :-1]
    edges[1:] += cells[1:] != cells[:-1]
    return edges.clip(0, 1)


def usage(counts: Mapping[str, Tensor], width: float = 8.0) -> Figure:
    """Draw how often each code is used, most used first, one panel a model.

    Args:
        counts: Name to (K,) counts.
        width: Of the figure in inches.

    Returns:
        The figure.

    Explained in notebook 05.
    """
    figure, axes = panels(width, 2.6, 1, len(counts), sharey=True)
    for axis, colour, (name, count) in zip(axes[0], COLOURS, counts.items(), strict=False):
        share = np.sort(count.double().cpu().numpy() / float(count.sum()))[::-1]
        axis.bar(np.arange(len(share)), share, width=1.0, color=colour)
        axis.axhline(1 / len(share), color="black", linewidth=0.8, linestyle=":")
        axis.set(
            xlabel="codes, most used first",
            yscale="log",
            title=f"{name}: {int((count > 0).sum())} of {len(count)} used",
        )
    axes[0, 0].set_ylabel("share of positions")
    return figure


def explore(
    draw: Callable[[Axes, float], None],
    name: str,
    values: Sequence[float],
    width: float = 8.0,
    columns: int | None = None,
    aspect: float = 1.0,
) -> Figure | None:
    """Draw a picture that depends on one number: a slider in a live kernel, small multiples otherwise.

    Args:
        draw: Draws the picture for a value onto axes.
        name: What the number is.
        values: Where it may stand. Stored outputs show the picture at each of them, side by side,
            so that the page says the same without a kernel.
        width: Of the small multiples in inches.
        columns: Small multiples a row; None puts all in one row.
        aspect: Height of a picture divided by its width.

    Returns:
        The figure of small multiples, or None where a slider is shown.

    Explained in notebook 05.
    """
    if os.environ.get("VQVAE_COURSE_STORED"):  # set where outputs are stored or compared, not used by a person
        columns = columns or len(values)
        rows = -(-len(values) // columns)
        figure, axes = panels(width, rows * (aspect * width / columns + 0.3), rows, columns)
        for axis, value in zip(axes.flat, values, strict=False):
            draw(axis, value)
            axis.set_title(f"{name} = {value}", fontsize=9)
        for axis in axes.flat[len(values) :]:
            axis.set_axis_off()
        return figure

    import ipywidgets
    from IPython.display import display

    def show(value: float) -> None:
        figure, axes = panels(width / 2, aspect * width / 2)
        draw(axes[0, 0], value)
        display(figure)

    ipywidgets.interact(show, value=ipywidgets.SelectionSlider(options=list(values), description=name))
    return None
