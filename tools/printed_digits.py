"""Draw the sheet of printed digits that the built-in ``glyphs`` are bent from: ``python -m tools.printed_digits``.

The sheet is data of the package, not drawn where it is used: which fonts matplotlib carries and how they come out
as pixels differs between releases, and everybody should see the same digits. This is how it was made, with the
fonts of matplotlib 3.11; run it again only to change the digits, which changes every stored output that shows them.
"""

from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from vqvae_course.glyphs import CANVAS, SHEET
from vqvae_course.runtime import whole_file

HEIGHT = 40  # of a digit on the canvas: 20 of 28 pixels, as in MNIST
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"),
)


def sheet() -> Image.Image:
    """Return one row a font, one column a digit, each on a canvas of CANVAS x CANVAS black or white pixels."""
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    drawn = Image.new("1", (10 * CANVAS, len(FONTS) * CANVAS))
    for row, font in enumerate(FONTS):
        for digit in range(10):
            drawn.paste(_printed(fonts / f"{font}.ttf", digit), (digit * CANVAS, row * CANVAS))
    return drawn


def _printed(font: Path, digit: int) -> Image.Image:
    large = Image.new("L", (240, 240))
    ImageDraw.Draw(large).text((60, 40), str(digit), font=ImageFont.truetype(str(font), 120), fill=255)
    ink = large.crop(large.getbbox())
    width = max(1, round(ink.width * HEIGHT / ink.height))
    canvas = Image.new("L", (CANVAS, CANVAS))
    canvas.paste(ink.resize((width, HEIGHT)), ((CANVAS - width) // 2, (CANVAS - HEIGHT) // 2))
    return canvas.point(lambda level: 255 * (level > 127)).convert("1")


if __name__ == "__main__":
    with whole_file(SHEET) as file:
        sheet().save(file, format="PNG", optimize=True)
