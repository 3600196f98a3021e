"""Ticks of logarithmic axes."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator


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
