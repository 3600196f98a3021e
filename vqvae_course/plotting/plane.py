"""Codes in the plane and the cell of points that are nearest to each."""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from torch import Tensor

from vqvae_course.plotting.frame import bare
from vqvae_course.plotting.roles import COLOURS, GREY
from vqvae_course.quantize import nearest_code


class Cell(NamedTuple):
    """What is nearer to one code than to every other.

    Attributes:
        corners: (M, 2), in order around the cell; none where no place is nearest to the code.
        neighbours: Indices of the codes whose cells share an edge with this one.
    """

    corners: np.ndarray
    neighbours: set[int]


def voronoi(
    axis: Axes,
    codebook: Tensor,
    points: Tensor | None = None,
    limits: tuple[float, float, float, float] = (-2.0, 2.0, -2.0, 2.0),
    numbers: bool = False,
    scale: float | None = None,
) -> None:
    """Draw codes in the plane, the cell of points nearest to each, and points in their cell's colour.

    No two cells that share an edge have the same colour. Codes that no point chooses are hollow grey
    crosses in cells without a tint.

    Args:
        axis: Where to draw.
        codebook: (K, 2).
        points: (N, 2), or None: then every code counts as chosen.
        limits: Left, right, bottom and top edge.
        numbers: Write each code's index beside it.
        scale: Length of a bar in the lower left corner that tells the scale, or None.

    Explained in notebook 02.
    """
    codes = codebook.detach().float().cpu()
    cells = cut(codes.double().numpy(), limits)
    tints = np.array(COLOURS)[tell_apart([cell.neighbours for cell in cells])]
    alive = np.ones(len(codes), dtype=bool)
    if points is not None:
        dots = points.detach().float().cpu()
        chosen = nearest_code(dots, codes).numpy()
        alive = np.isin(np.arange(len(codes)), chosen)
        order = chosen.argsort(kind="stable")  # dots of one colour after each other make a smaller file
        axis.scatter(*dots[order].T, s=7, c=tints[chosen[order]], linewidths=0, alpha=0.8)
    shown = [index for index, cell in enumerate(cells) if len(cell.corners)]
    axis.add_collection(
        PolyCollection(
            [cells[index].corners for index in shown],
            facecolors=[(tints[index], 0.2 if alive[index] else 0.0) for index in shown],
            edgecolors=[("black", 0.35)],
            linewidths=0.7,
            zorder=0.5,
        )
    )
    living, dead = codes[torch.from_numpy(alive)], codes[torch.from_numpy(~alive)]
    axis.scatter(*living.T, s=60, c=tints[alive], marker="X", edgecolors="black", linewidths=0.8, zorder=3)
    axis.scatter(*dead.T, s=45, c="none", marker="X", edgecolors=GREY, linewidths=1.0, zorder=3)
    if numbers:
        for index, (x, y) in enumerate(codes.tolist()):
            axis.annotate(str(index), (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8)
    axis.set(xlim=limits[:2], ylim=limits[2:], aspect="equal")
    bare(axis)
    if scale is not None:
        _scale_bar(axis, scale)


def cut(codes: np.ndarray, limits: tuple[float, float, float, float]) -> list[Cell]:
    """Cut a rectangle into the cells of codes.

    Args:
        codes: (K, 2).
        limits: Left, right, bottom and top edge of the rectangle.

    Returns:
        A cell for each code. Of equal codes the first has the cell, as in ``nearest_code``.
    """
    left, right, bottom, top = limits
    cells = []
    for index, code in enumerate(codes):
        corners = np.array([(left, bottom), (right, bottom), (right, top), (left, top)], dtype=float)
        beyond = [-1] * 4  # whose cell lies behind the edge that leaves a corner; -1 is the rectangle
        for other in np.argsort(np.square(codes - code).sum(axis=1), kind="stable"):
            if other == index:
                continue
            if (codes[other] == code).all():
                if other < index:
                    corners, beyond = corners[:0], []
                continue
            corners, beyond = _cut_off(corners, beyond, code, codes[other], int(other))
        cells.append(Cell(corners, set(beyond) - {-1}))
    return cells


def _cut_off(
    corners: np.ndarray, beyond: list[int], code: np.ndarray, other: np.ndarray, name: int
) -> tuple[np.ndarray, list[int]]:
    """Cut off what of a cell is nearer to another code."""
    away = (corners - (code + other) / 2) @ (other - code)  # above 0: nearer to the other code
    if (away <= 0).all():
        return corners, beyond
    kept, edges = [], []
    for place, side in enumerate(away):
        following = (place + 1) % len(corners)
        if side <= 0:
            kept.append(corners[place])
            edges.append(beyond[place])
        if (side <= 0) != (away[following] <= 0):
            share = side / (side - away[following])
            kept.append(corners[place] + share * (corners[following] - corners[place]))
            edges.append(name if side <= 0 else beyond[place])
    return np.array(kept).reshape(-1, 2), edges


def tell_apart(neighbours: list[set[int]]) -> list[int]:
    """Give cells colours so that no two neighbours have the same.

    Each cell takes the colour of its index where that is possible. In a map of the plane some cell
    always has five neighbours at most; put aside again and again, and coloured last, it finds one of six.

    Args:
        neighbours: For each cell the indices of those that share an edge with it.

    Returns:
        For each cell the index of its colour.
    """
    around = [set(each) for each in neighbours]
    for index, each in enumerate(neighbours):
        for other in each:
            around[other].add(index)  # rounding may have seen a short edge from one side only
    wished = [index % len(COLOURS) for index in range(len(around))]
    if all(wished[index] != wished[other] for index, each in enumerate(around) for other in each):
        return wished
    left, order = set(range(len(around))), []
    while left:
        order.append(min(left, key=lambda index: (len(around[index] & left), index)))
        left.remove(order[-1])
    given: dict[int, int] = {}
    for index in reversed(order):
        taken = {given[other] for other in around[index] if other in given}
        choices = [(wished[index] + step) % len(COLOURS) for step in range(len(COLOURS))]
        given[index] = next((each for each in choices if each not in taken), wished[index])
    return [given[index] for index in range(len(around))]


def _scale_bar(axis: Axes, length: float) -> None:
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    x, y = left + 0.05 * (right - left), bottom + 0.06 * (top - bottom)
    axis.plot([x, x + length], [y, y], color="black", linewidth=2.5, solid_capstyle="butt", zorder=4)
    axis.text(x + length / 2, y + 0.02 * (top - bottom), f"{length:g}", ha="center", va="bottom", fontsize=8, zorder=4)
