"""A picture that depends on one number."""

import os
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vqvae_course.plotting.frame import panels


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
