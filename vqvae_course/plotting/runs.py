"""What was measured: every seed a dot, every mean a line."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, pairwise
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vqvae_course.plotting.frame import panels
from vqvae_course.plotting.roles import BLUE, COLOURS, GREY, ROLES
from vqvae_course.plotting.ticks import plain_ticks

LETTERS_BELOW = 60  # more do not fit below the columns of one figure
DOT = {"linestyle": "", "marker": "o", "markersize": 5.5, "markeredgewidth": 0}
RING = {
    "linestyle": "",
    "marker": "o",
    "markersize": 9,
    "markerfacecolor": "none",
    "markeredgewidth": 1.8,
    "zorder": 4,
}


class TrainingRecord(Protocol):
    """What ``curves`` needs of a training history."""

    steps: list[int]

    def __getitem__(self, name: str) -> list[float]:
        """Return the values of one quantity."""


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
        axes[0, 0].legend(frameon=False)
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
        axis.legend(frameon=False)
    return axis.figure


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


def dots(
    results: Mapping[str, Sequence[float]],
    ylabel: str,
    live: Mapping[str, float] | None = None,
    axis: Axes | None = None,
    log: bool = False,
    colours: Mapping[str, str] | None = None,
    **options,
) -> Figure:
    """Draw every seed as a dot and the mean as a short line, one column a setting.

    Long names make rows of the columns, so that they can be read.

    Args:
        results: Name of the setting to one number a seed.
        ylabel: What was measured.
        live: Name of the setting to the number of a run made here, drawn as a ring.
        axis: Where to draw; a new figure of one panel if None.
        log: Logarithmic axis of the numbers.
        colours: Name of the setting to its colour; names that have a role need none.
        **options: Properties of the axes, such as ``title="..."``.

    Returns:
        The figure.

    Explained in notebook 07.
    """
    lying = len(results) * max(map(len, results)) > LETTERS_BELOW or len(results) > 8
    if axis is None:
        _, axes = panels(6.0, 0.8 + 0.38 * len(results) if lying else 3.0)
        axis = axes[0, 0]
    known = ROLES | dict(colours or {})
    other = GREY if any(name in known for name in results) else BLUE  # the name stands on the axis
    for place, (name, numbers) in enumerate(results.items()):
        colour = known.get(name, other)
        spread = np.linspace(-0.18, 0.18, len(numbers)) if len(numbers) > 1 else np.zeros(1)
        _put(axis, lying, place + spread, numbers, color=colour, alpha=0.75, **DOT)
        _put(axis, lying, [place - 0.3, place + 0.3], [np.mean(numbers)] * 2, color=colour, linewidth=2)
        if live and name in live:
            _put(axis, lying, [place + 0.36], [live[name]], **RING, color=colour)
    names = axis.yaxis if lying else axis.xaxis
    names.set_ticks(range(len(results)), list(results))
    names.grid(False)
    if lying:
        axis.set(ylim=(len(results) - 0.5, -0.5), xlabel=ylabel, xscale="log" if log else "linear", **options)
    else:
        axis.set(xlim=(-0.5, len(results) - 0.5), ylabel=ylabel, yscale="log" if log else "linear", **options)
    plain_ticks(axis)
    return axis.figure


def bands(
    series: Mapping[str, tuple[Sequence[float], Sequence[Sequence[float]]]],
    xlabel: str,
    ylabel: str,
    live: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    axis: Axes | None = None,
    log: bool = False,
    colours: Mapping[str, str] | None = None,
    **options,
) -> Figure:
    """Draw what depends on a number: a dot for every seed and a line through the means.

    Args:
        series: Name to horizontal values and, for each of them, the numbers of all seeds.
        xlabel: What is written below.
        ylabel: What is written beside.
        live: Name to horizontal values and the numbers of a run made here, drawn as rings.
        axis: Where to draw; a new figure of one panel if None.
        log: Logarithmic vertical axis.
        colours: Name to its colour; names that have a role need none.
        **options: Properties of the axes, such as ``xscale="log"`` or ``title="..."``.

    Returns:
        The figure.

    Explained in notebook 08.
    """
    if axis is None:
        _, axes = panels(6.0, 3.2)
        axis = axes[0, 0]
    shades = _shades(series, colours)
    for name, (across, seeds) in series.items():
        for x, numbers in zip(across, seeds, strict=True):
            axis.plot([x] * len(numbers), numbers, color=shades[name], alpha=0.6, **DOT | {"markersize": 4})
        axis.plot(across, [np.mean(numbers) for numbers in seeds], color=shades[name], label=name)
        if live and name in live:
            axis.plot(*live[name], **RING, color=shades[name])
    axis.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear", **options)
    plain_ticks(axis)
    measured = sorted({x for across, _ in series.values() for x in across})
    if axis.get_xscale() == "log" and all(b > 1.4 * a for a, b in pairwise(measured)):
        axis.set_xticks(measured)
    if len(series) > 1:
        axis.legend(frameon=False)
    return axis.figure


def _put(axis: Axes, lying: bool, places: Sequence[float], numbers: Sequence[float], **look) -> None:
    """Draw numbers above their places, or beside them in a figure that lies."""
    axis.plot(*((numbers, places) if lying else (places, numbers)), **look)


def _shades(names: Iterable[str], colours: Mapping[str, str] | None) -> dict[str, str]:
    """Return a colour for every name: the one given, that of its role, or the next that is free."""
    known = ROLES | dict(colours or {})
    free = cycle([each for each in COLOURS if each not in {known.get(name) for name in names}] or COLOURS)
    return {name: known[name] if name in known else next(free) for name in names}
