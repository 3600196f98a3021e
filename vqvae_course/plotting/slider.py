"""A picture that depends on one number: a slider in a live kernel, and in a page without one."""

import os
from collections.abc import Callable, Sequence
from html import escape

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vqvae_course.plotting.frame import panels
from vqvae_course.plotting.rendering import (
    PLAIN,
    SHARP,
    CourseFigure,
    css_width,
    encoded,
    holds_image,
    png,
    svg,
)

HIGHEST = 4.2  # inches, so that picture and slider are seen together

# Without it (a notebook that is not trusted, paper) the frames stand side by side; with it they become a slider.
SCRIPT = """<script>
(() => {
  if (!document.getElementById("explore-style")) {
    const style = document.createElement("style");
    style.id = "explore-style";
    style.textContent = `
      @media screen {
        .explore.alive .frame { display: none !important; }
        .explore.alive .frame.shown { display: block !important; margin: 0 auto !important; }
        .explore.alive .frame > div { display: none; }
      }
      @media print { .explore .control { display: none !important; } }
      .explore .control { align-items: center; display: flex; gap: 1rem; justify-content: center;
        margin-block: 0.5rem; }
      .explore label { align-items: center; display: flex; flex: 0 1 22rem; gap: 1rem; margin: 0; }
      .explore input { accent-color: #0072b2; flex: 1 1 8rem; height: 2rem; min-width: 6rem; }
      .explore output { font-variant-numeric: tabular-nums; min-width: 4ch; text-align: left; }`;
    document.head.append(style);
  }
  for (const place of document.querySelectorAll(".explore:not(.alive)")) {
    const frames = [...place.querySelectorAll(".frame")];
    const make = (tag) => document.createElement(tag);
    const [control, label, input, said] = ["div", "label", "input", "output"].map(make);
    const show = () => {
      frames.forEach((each, index) => each.classList.toggle("shown", index === Number(input.value)));
      said.textContent = frames[input.value].dataset.value;
      input.setAttribute("aria-valuetext", said.textContent);
    };
    Object.assign(input, { type: "range", min: 0, max: frames.length - 1, step: 1, value: 0 });
    control.className = "control";
    label.append(place.dataset.name, input);
    control.append(label, said);
    said.setAttribute("aria-hidden", "true"); // the slider itself says its value
    input.addEventListener("input", show);
    place.prepend(control);
    place.classList.add("alive");
    show();
  }
})();
</script>"""


class Frames(CourseFigure):
    """Small multiples that show themselves as a slider wherever a script may run."""

    frames: dict[str, Figure]
    name: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        """Return the frames as HTML, and the small multiples for whatever shows no HTML."""
        return {"text/html": html(self.name, self.frames), "image/png": encoded(png(self, PLAIN))}, {}


def explore(
    draw: Callable[[Axes, float], None],
    name: str,
    values: Sequence[float],
    width: float = 8.0,
    columns: int | None = None,
    aspect: float = 1.0,
) -> Figure | None:
    """Draw a picture that depends on one number, with a slider for the number.

    In a live kernel the slider is a widget. Where outputs are stored the picture is drawn at every
    value, and the stored HTML holds all of them and the slider: it works in the book, in slides and
    from a disk, with no kernel and no network. Where no script may run they stand side by side.

    Args:
        draw: Draws the picture for a value onto axes.
        name: What the number is.
        values: Where it may stand.
        width: Of the small multiples in inches; a single picture is half as wide.
        columns: Small multiples a row; None puts all in one row.
        aspect: Height of a picture divided by its width.

    Returns:
        The figure of small multiples, or None where a widget is shown.

    Explained in notebook 05.
    """
    if os.environ.get("VQVAE_COURSE_STORED"):  # set where outputs are stored or compared, not used by a person
        figure = _small_multiples(draw, name, values, width, columns or len(values), aspect)
        figure.name = name
        figure.frames = {f"{value}": _single(draw, value, width, aspect) for value in values}
        return figure

    import ipywidgets
    from IPython.display import display

    def show(value: float) -> None:
        display(_single(draw, value, width, aspect))

    ipywidgets.interact(show, value=ipywidgets.SelectionSlider(options=list(values), description=name))
    return None


def html(name: str, frames: dict[str, Figure]) -> str:
    """Return frames as HTML, with the script that makes a slider of them."""
    placed = "\n".join(_place(name, value, figure) for value, figure in frames.items())
    return f'<div class="explore" data-name="{escape(name)}">\n{placed}\n</div>\n{SCRIPT}'


def _place(name: str, value: str, figure: Figure) -> str:
    """Return one frame as HTML, with its value above it."""
    said = escape(f"{name} = {value}")
    look = f"display: inline-block; max-width: 100%; width: {css_width(figure)}px"
    return (
        f'<div class="frame" data-value="{escape(value)}" style="{look}">\n'
        f'<div style="text-align: center">{said}</div>\n'
        f'<img alt="{said}" style="width: 100%" src="{_source(figure)}">\n</div>'
    )


def _source(figure: Figure) -> str:
    if holds_image(figure):
        return f"data:image/png;base64,{encoded(png(figure, SHARP))}"
    return f"data:image/svg+xml;base64,{encoded(svg(figure).encode())}"


def _single(draw: Callable[[Axes, float], None], value: float, width: float, aspect: float) -> Figure:
    across = min(width / 2, HIGHEST / aspect)
    figure, axes = panels(across, aspect * across)
    draw(axes[0, 0], value)
    return figure


def _small_multiples(
    draw: Callable[[Axes, float], None], name: str, values: Sequence[float], width: float, columns: int, aspect: float
) -> Frames:
    rows = -(-len(values) // columns)
    height = rows * (aspect * width / columns + 0.3)
    figure, axes = panels(width, height, rows, columns, FigureClass=Frames)
    for axis, value in zip(axes.flat, values, strict=False):
        draw(axis, value)
        axis.set_title(f"{name} = {value}", fontsize=9)
    for axis in axes.flat[len(values) :]:
        axis.set_axis_off()
    return figure
