"""Empty figures in the style of the course."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vqvae_course.plotting.rendering import CourseFigure
from vqvae_course.plotting.roles import COLOURS

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
            rows,
            columns,
            figsize=(width, height),
            squeeze=False,
            layout="constrained",
            **{"FigureClass": CourseFigure} | options,
        )
    plt.close(figure)  # the notebook shows what a cell returns; left open, it would be shown twice
    return figure, axes


def bare(axis: Axes) -> None:
    """Leave nothing of a panel but what is drawn in it."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)
