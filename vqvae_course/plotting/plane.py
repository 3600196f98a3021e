"""Codes in the plane and the cell of points that are nearest to each."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from torch import Tensor

from vqvae_course.plotting.frame import bare
from vqvae_course.plotting.roles import COLOURS
from vqvae_course.quantize import nearest_code


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
    bare(axis)


def _edges(cells: np.ndarray) -> np.ndarray:
    """Return 1 where a cell borders on another, 0 inside."""
    edges = np.zeros(cells.shape)
    edges[:, 1:] += cells[:, 1:] != cells[:, :-1]
    edges[1:] += cells[1:] != cells[:-1]
    return edges.clip(0, 1)
