"""Empty figures in the style of the course."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

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
            rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options
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


class PlainLogLocator(LogLocator):
    """Ticks at 1, 2 and 5 times a power of ten; at the powers alone where the axis is long."""

    def tick_values(self, vmin: float, vmax: float) -> np.ndarray:
        """Return the ticks between two values."""
        low, high = sorted((vmin, vmax))
        decades = np.log10(high / low) if low > 0 else 1
        powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        factors = (1, 2, 5) if decades < 2.4 else (1,)
        ticks = np.array([factor * power for power in powers for factor in factors])
        if ((ticks >= low) & (ticks <= high)).sum() >= 2:
            return ticks[:: max(1, int(decades / 6))] if len(factors) == 1 else ticks
        return MaxNLocator(4).tick_values(low, high)


def plain_ticks(axis: Axes) -> None:
    """Write plain numbers at 1, 2 and 5 times the powers of ten on the logarithmic axes of a panel."""
    for each in (axis.xaxis, axis.yaxis):
        if each.get_scale() == "log" and type(each.get_major_locator()) is LogLocator:
            each.set_major_locator(PlainLogLocator())
            each.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
            each.set_minor_locator(NullLocator())
