"""Draw the pictures of the front page: one for the card of each notebook, and an index map that writes itself.

All digits and maps are real: the code of the quickstart is run once, somewhat shorter (a minute on a laptop), and what
it encodes and draws is shown. The rest is drawn by hand. ``python -m tools.cards`` writes everything anew.
"""

from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import nbformat
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from tools.outputs import compact
from vqvae_course.data import as_float, load_images

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "book" / "_static" / "cards"
HERO = ROOT / "book" / "_static" / "hero.svg"
INK, QUIET, FAINT = "#1f2328", "#59636e", "#c3c9d0"
BLUE, ORANGE, GREEN, PINK, AMBER, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
SIZE = (480, 270)  # pixels, twice the size at which a card shows them
UPDATES = {"STAGE_1_UPDATES": 800, "STAGE_2_UPDATES": 900}
GOOD = 60  # the first of ten samples, one for each class, that are easy to read
EMPTY = 0.06  # mean grey below which a patch of a digit is background
SECONDS = 9.0  # of the animation, from one empty map to the next
WRITING = 0.6  # of them, while the map is written


def quickstart() -> dict:
    """Run the code of the quickstart up to its samples and return its variables."""
    variables: dict = {}
    for cell in nbformat.read(ROOT / "notebooks" / "00_quickstart.ipynb", as_version=4).cells:
        if cell.cell_type == "code" and "%pip" not in cell.source and "from_prior" not in variables:
            exec(cell.source, variables)
            variables |= UPDATES
    return variables


# The cards. Each function draws on an area of 16 x 9.


def machine(ax: Axes, run: dict) -> None:
    """A digit, its map of integers, and the digit decoded from it."""
    image = run["two_each"][3:4]
    indices = run["model"].encode(image)
    tile(ax, image[0, 0], 0.6, 2.6, 4)
    write_map(ax, indices[0], 6, 2.6, 4)
    tile(ax, run["model"].decode(indices)[0, 0], 11.4, 2.6, 4)
    for x in (4.75, 10.15):
        arrow(ax, (x, 4.6), (x + 1.1, 4.6), INK)


def two_posteriors(ax: Axes, run: dict) -> None:
    """A bell, and a bar that is one-hot."""
    x = np.linspace(0.8, 7, 80)
    ax.fill_between(x, 2, 2 + 4 * np.exp(-(((x - 3.9) / 1.3) ** 2)), color=ORANGE, alpha=0.3, linewidth=0)
    ax.plot(x, 2 + 4 * np.exp(-(((x - 3.9) / 1.3) ** 2)), color=ORANGE, linewidth=2.5)
    for place in range(9):
        ax.bar(9 + 0.75 * place, 4.8 if place == 5 else 0.25, 0.55, bottom=2, color=BLUE if place == 5 else FAINT)
    ax.text(3.9, 1, "learned", ha="center", va="center", color=ORANGE, fontsize=17)
    ax.text(12, 1, "log K, always", ha="center", va="center", color=BLUE, fontsize=17)


def cells(ax: Axes, run: dict) -> None:
    """Points, codes, and the cells of the codes."""
    random = np.random.default_rng(4)
    codes = np.stack(np.meshgrid((2.5, 6.2, 9.9, 13.6), (2.3, 6.7)), -1).reshape(-1, 2) + random.uniform(-1, 1, (8, 2))
    y, x = np.mgrid[0:9:270j, 0:16:480j]
    nearest = ((x[..., None] - codes[:, 0]) ** 2 + (y[..., None] - codes[:, 1]) ** 2).argmin(-1)
    tints = mpl.colormaps["Blues"](np.linspace(0.08, 0.5, len(codes)))[random.permutation(len(codes))]
    ax.imshow(tints[nearest], extent=(0, 16, 0, 9), origin="lower", aspect="auto")
    ax.plot(*random.uniform((0.3, 0.3), (15.7, 8.7), (140, 2)).T, ".", color=QUIET, markersize=4)
    ax.plot(*codes.T, "s", color=BLUE, markersize=11, markeredgecolor="white", markeredgewidth=1.5)


def staircase(ax: Axes, run: dict) -> None:
    """A staircase, and the straight line whose slope is taken for it."""
    ax.plot([2, 14], [1, 8], "--", color=ORANGE, linewidth=3)
    steps = np.linspace(2, 14, 6)
    ax.step(steps, np.linspace(1, 8, 6), where="mid", color=BLUE, linewidth=3.5)
    ax.text(3, 6.6, "value", color=BLUE, fontsize=17)
    ax.text(10.6, 2.6, "gradient", color=ORANGE, fontsize=17)


def two_pulls(ax: Axes, run: dict) -> None:
    """A code and a latent that pull at each other."""
    arrow(ax, (4.3, 5.2), (11.6, 5.2), BLUE, 4)
    arrow(ax, (11.7, 3.8), (4.4, 3.8), ORANGE, 2)
    ax.plot(3.4, 4.5, "s", color=BLUE, markersize=26)
    ax.plot(12.6, 4.5, "o", color=ORANGE, markersize=24)
    ax.text(8, 6.5, "codebook loss", ha="center", color=BLUE, fontsize=17)
    ax.text(8, 1.8, "β · commitment loss", ha="center", color=ORANGE, fontsize=17)


def reconstructions(ax: Axes, run: dict) -> None:
    """Five digits, and below them what is decoded from their maps."""
    images = run["two_each"][[1, 2, 4, 5, 8]]
    decoded = run["model"].decode(run["model"].encode(images))
    for column, (image, again) in enumerate(zip(images, decoded, strict=True)):
        tile(ax, image[0], 0.7 + 3 * column, 4.7, 2.6)
        tile(ax, again[0], 0.7 + 3 * column, 1.7, 2.6)


def running_mean(ax: Axes, run: dict) -> None:
    """Latents that move, and a code that follows them."""
    random = np.random.default_rng(1)
    centre = np.stack([np.linspace(2.5, 13, 40), 4.5 + 2 * np.sin(np.linspace(0, 4, 40))], 1)
    code, path = np.array([2.0, 2.0]), []
    for mean in centre:
        code = 0.8 * code + 0.2 * mean
        path.append(code)
    for moment in (0, 13, 26, 39):
        points = random.normal(centre[moment], 0.55, (22, 2))
        ax.plot(*points.T, ".", color=QUIET, alpha=0.3 + moment / 60, markersize=6)
    ax.plot(*np.array(path).T, color=BLUE, linewidth=2.5)
    ax.plot(*path[-1], "s", color=BLUE, markersize=15)


def dead_codes(ax: Axes, run: dict) -> None:
    """Two codes among the latents, and many that nobody chooses."""
    random = np.random.default_rng(2)
    ax.plot(*random.normal((11.5, 5), (1.3, 1), (60, 2)).T, ".", color=QUIET, markersize=6)
    ax.plot(*random.uniform((1, 1), (7.5, 8), (13, 2)).T, "P", color="none", markeredgecolor=QUIET, markersize=11)
    ax.plot([10.6, 12.4], [4.4, 5.6], "s", color=BLUE, markersize=15, markeredgecolor="white")


def rate_curve(ax: Axes, run: dict) -> None:
    """Error falls as bits are spent."""
    bits = np.linspace(0, 12, 60)
    ax.plot(2 + bits, 1.6 + 6 * np.exp(-bits / 3.5), color=BLUE, linewidth=3)
    for spent, above in ((0.6, 0.4), (2.2, 0.7), (4.4, 0.5), (7, 0.6), (10, 0.4)):
        ax.plot(2 + spent, 1.6 + 6 * np.exp(-spent / 3.5) + above, "o", color=ORANGE, markersize=11)
    ax.plot([1.6, 1.6, 14.6], [8, 1.2, 1.2], color=QUIET, linewidth=1.5)
    ax.text(14.4, 0.3, "bits", ha="right", color=QUIET, fontsize=17)
    ax.text(3.2, 7.7, "error", color=QUIET, fontsize=17, va="center")


def random_and_drawn(ax: Axes, run: dict) -> None:
    """Above, pictures decoded from random integers; below, from those that a prior drew."""
    for column in range(5):
        tile(ax, run["from_noise"][column, 0], 0.7 + 3 * column, 4.7, 2.6)
        tile(ax, run["from_prior"][GOOD + 2 + column, 0], 0.7 + 3 * column, 1.7, 2.6)


def what_a_mask_shows(ax: Axes, run: dict) -> None:
    """A grid: seen, the position itself, and the future."""
    rows, columns, side = 5, 9, 1.5
    for row in range(rows):
        for column in range(columns):
            past = (row, column) < (2, 4)
            corner = (1.25 + column * side, 6.75 - row * side)
            ax.add_patch(mpl.patches.Rectangle(corner, side, side, facecolor=SKY if past else "#e8eaed", edgecolor="w"))
    ax.add_patch(mpl.patches.Rectangle((1.25 + 4 * side, 6.75 - 2 * side), side, side, fill=False, ec=ORANGE, lw=4))


def samples(ax: Axes, run: dict) -> None:
    """Ten digits that a prior drew, one for each class."""
    for digit in range(10):
        tile(ax, run["from_prior"][GOOD + digit, 0], 0.7 + 3 * (digit % 5), 4.7 - 3 * (digit // 5), 2.6)


def two_levels(ax: Axes, run: dict) -> None:
    """A scene, and the same in large and in small squares."""
    image = as_float(load_images("scenes", "test").images[5])
    side = image.shape[-1]
    for place, squares in enumerate((side, 16, 8)):
        coarse = torch.nn.functional.adaptive_avg_pool2d(image, squares)
        tile(ax, coarse, 0.6 + 5.2 * place, 2.3, 4.4)


def one_query(ax: Axes, run: dict) -> None:
    """A position that looks back, at some earlier positions more than at others."""
    here = (9.5, 3.0)
    random = np.random.default_rng(5)
    for row in range(4):
        for column in range(8):
            there = (2 + column * 1.5, 7.5 - row * 1.5)
            past = there[1] > here[1] or (there[1] == here[1] and there[0] < here[0])
            if past:
                weight = random.exponential(1.6)
                ax.plot(*zip(there, here, strict=True), color=BLUE, linewidth=weight, alpha=0.6)
            ax.plot(*there, "o", color=BLUE if past else FAINT, markersize=7)
    ax.plot(*here, "s", color=ORANGE, markersize=16)


def two_curves(ax: Axes, run: dict) -> None:
    """Two loss curves that both fall; one of the models is ill."""
    x = np.linspace(0, 12, 80)
    for height, floor, colour in ((5.6, 1.3, GREEN), (5.2, 1.9, ORANGE)):
        ax.plot(2 + x, floor + height * np.exp(-x / 2.2), color=colour, linewidth=3)
    ax.plot([1.6, 1.6, 14.6], [8, 0.9, 0.9], color=QUIET, linewidth=1.5)
    ax.text(9, 5, "which is ill?", ha="center", color=INK, fontsize=20)


CARDS: list[Callable[[Axes, dict], None]] = [
    *(machine, two_posteriors, cells, staircase, two_pulls, reconstructions, running_mean, dead_codes, rate_curve),
    *(random_and_drawn, what_a_mask_shows, samples, two_levels, one_query, two_curves),
]


def tile(ax: Axes, image: torch.Tensor, x: float, y: float, side: float) -> None:
    """Show an image, (H, W) grey or (3, H, W), with its lower left corner at a place."""
    shown = image.detach().cpu().clamp(0, 1).numpy()
    shown = shown if shown.ndim == 2 else shown.transpose(1, 2, 0)
    ax.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=(x, x + side, y, y + side), interpolation="nearest")


def write_map(ax: Axes, indices: torch.Tensor, x: float, y: float, side: float) -> None:
    """Show an index map, (h, w), as numbers."""
    h, w = indices.shape
    for row in range(h):
        for column in range(w):
            place = (x + (column + 0.5) * side / w, y + side - (row + 0.5) * side / h)
            ax.text(*place, int(indices[row, column]), ha="center", va="center", fontsize=7.5, color=BLUE)
    ax.add_patch(mpl.patches.Rectangle((x, y), side, side, fill=False, edgecolor=FAINT))


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, width: float = 2) -> None:
    """Draw an arrow."""
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": width, "mutation_scale": 18})


def draw(card: Callable[[Axes, dict], None], run: dict) -> bytes:
    """Return a card as a PNG on white."""
    figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    card(ax, run)
    ax.set(xlim=(0, 16), ylim=(0, 9), aspect="auto")
    ax.axis("off")
    file = BytesIO()
    figure.savefig(file)
    return compact(file.getvalue())


# The index map that writes itself.


def hero(indices: torch.Tensor, images: torch.Tensor) -> str:
    """Return an SVG in which maps are written, index by index, and then decoded.

    Who asks their system for less motion sees the finished maps and pictures.

    Args:
        indices: (n, h, w) int64, maps that the prior drew.
        images: (n, 1, H, W) float in [0, 1], decoded from them.
    """
    n, h, w = indices.shape
    side, gap = 30, 26
    width, height = n * w * side + (n - 1) * gap, 2 * h * side + 70
    parts = [_rules(h * w)]
    for number, (one, image) in enumerate(zip(indices, images, strict=True)):
        left = number * (w * side + gap)
        for place, index in enumerate(one.flatten().tolist()):
            x, y = left + place % w * side, place // w * side
            stroke = image[0, place // w * 4 : place // w * 4 + 4, place % w * 4 : place % w * 4 + 4].mean() > EMPTY
            parts.append(
                f'<g class="d{place}"><rect x="{x}" y="{y}" width="{side}" height="{side}" '
                f'class="{"stroke" if stroke else "blank"}"/><text x="{x + side / 2:g}" y="{y + 20}">{index}</text></g>'
            )
        where = f'x="{left}" y="{h * side + 70}" width="{w * side}" height="{h * side}"'
        parts.append(f'<path class="arrow" d="M{left + w * side / 2:g} {h * side + 12}v42m-9 -11l9 11l9 -11"/>')
        parts.append(f'<rect class="frame" {where}/><image class="drawn" {where} href="{_data(image)}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {width + 4} {height + 4}" '
        f'width="{width}" height="{height}">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _rules(places: int) -> str:
    """The style of the animation: every index has the moment at which it appears."""
    moments = "".join(
        f"@keyframes a{place}{{0%,{(at := 100 * WRITING * (place + 1) / places):.1f}%{{opacity:0}}"
        f"{at + 0.5:.1f}%,96%{{opacity:1}}100%{{opacity:0}}}}.d{place}{{animation-name:a{place}}}"
        for place in range(places)
    )
    return (
        "<style>text{font:600 13px sans-serif;text-anchor:middle;fill:#59636e}.stroke{fill:#0072B2}"
        ".stroke+text{fill:#fff}.blank{fill:#eef1f4}rect{stroke:#fff}.frame{fill:#000}"
        ".arrow{fill:none;stroke:#59636e;stroke-width:3}"
        "@media (prefers-reduced-motion:no-preference){"
        f"g,.drawn{{animation:{SECONDS:g}s linear infinite}}.drawn{{animation-name:drawn}}"
        f"@keyframes drawn{{0%,{100 * WRITING + 4:g}%{{opacity:0}}"
        f"{100 * WRITING + 12:g}%,96%{{opacity:1}}100%{{opacity:0}}}}"
        f"{moments}}}</style>"
    )


def _data(image: torch.Tensor) -> str:
    """Return a grey image as an address that holds it, four times as large."""
    pixels = (image[0].detach().cpu().clamp(0, 1) * 255).byte().numpy()
    file = BytesIO()
    Image.fromarray(pixels).resize((112, 112), Image.Resampling.BICUBIC).quantize(32).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def main() -> None:
    """Write all pictures."""
    run = quickstart()
    FOLDER.mkdir(exist_ok=True)
    for number, card in enumerate(CARDS):
        (FOLDER / f"{number:02d}.png").write_bytes(draw(card, run))
    chosen = [3, 5, 28]  # a three, a five and an eight that are easy to read
    HERO.write_text(hero(run["drawn"][chosen].cpu(), run["from_prior"][chosen].cpu()), encoding="utf-8")


if __name__ == "__main__":
    main()
