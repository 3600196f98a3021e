"""Draw the card that a shared link to the book shows: its title, above the picture of samples."""

from io import BytesIO
from pathlib import Path

import matplotlib.image
from matplotlib.figure import Figure

from tools.outputs import compact
from tools.picture import PICTURE

CARD = Path(__file__).resolve().parents[1] / "book" / "_static" / "card.png"
SIZE = (1200, 630)  # what the sites that show such cards ask for


def draw() -> bytes:
    """Return the card as a PNG."""
    samples = matplotlib.image.imread(PICTURE)
    figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100)
    figure.text(0.045, 0.9, "The VQ-VAE course", size=44, weight="bold", color="#0072B2", va="center")
    figure.text(0.045, 0.79, "pictures → whole numbers → new pictures", size=24, color="#333333", va="center")
    axes = figure.add_axes((0.04, 0.03, 0.92, 0.69))
    axes.imshow(samples, interpolation="lanczos")
    axes.axis("off")
    file = BytesIO()
    figure.savefig(file)
    return compact(file.getvalue())


if __name__ == "__main__":
    CARD.write_bytes(draw())
