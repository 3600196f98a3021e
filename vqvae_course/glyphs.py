"""Built-in grey digits: printed ones of fifteen fonts, bent, stretched, thickened and thinned.

The same seed draws the same pixels on every machine. The printed digits are a picture in the package, distances are
roots of whole numbers, and the rest is computed in float64: what processors and releases differ by, some 1e-12 of a
grey level, is too little to round any pixel of the two splits another way.
"""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vqvae_course.runtime import one_thread

SIZE = 28  # pixels, as MNIST
CANVAS = 56  # templates have twice the size, so that warping does not blur them
SHEET = Path(__file__).with_name("glyphs.png")  # one row a font, one column a digit; tools/printed_digits.py drew it


@lru_cache(maxsize=1)
def digit_distances() -> Tensor:
    """Return how far each point lies inside the stroke of each printed digit.

    Returns:
        (fonts, 10, CANVAS, CANVAS) float64, signed distance to the outline in canvas pixels, positive inside.
        With distances instead of ink, a stroke is made bolder by adding a number.
    """
    with Image.open(SHEET) as sheet:
        ink = torch.from_numpy(np.array(sheet.convert("L"))) > 0
    inside = ink.unflatten(0, (-1, CANVAS)).unflatten(2, (-1, CANVAS)).movedim(2, 1)  # (fonts, 10, CANVAS, CANVAS)
    padded = F.pad(inside, (1, 1, 1, 1))
    all_around = padded[..., :-2, 1:-1] & padded[..., 2:, 1:-1] & padded[..., 1:-1, :-2] & padded[..., 1:-1, 2:]
    axis = torch.arange(CANVAS)
    apart = (axis[:, None] - axis).square()  # (CANVAS, CANVAS), of two rows, or of two columns
    squared = torch.empty(inside.shape, dtype=torch.int64)
    for font, outlines in enumerate(inside & ~all_around):
        for digit, outline in enumerate(outlines):
            rows, columns = outline.nonzero(as_tuple=True)
            squared[font, digit] = (apart[:, None, rows] + apart[None, :, columns]).amin(dim=2)
    distance = squared.double().sqrt()
    return torch.where(inside, distance + 0.5, 0.5 - distance)


@one_thread()
def draw_glyphs(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw digits, each from a random font under a random warp.

    Args:
        count: How many.
        generator: CPU generator; the same state draws the same digits, on every machine.

    Returns:
        Images (count, 1, 28, 28) uint8, white on black, and labels (count,) int64 in [0, 10).

    Explained in notebook 00.
    """
    labels = torch.randint(10, (count,), generator=generator)
    images = torch.empty(count, 1, SIZE, SIZE, dtype=torch.uint8)
    for start in range(0, count, 2000):
        rows = torch.arange(start, min(start + 2000, count))
        random = _random_warp(len(rows), generator)
        for part in torch.arange(len(rows)).split(100):  # what a processor's cache holds
            images[rows[part]] = _warped(labels[rows[part]], *(of_all[part] for of_all in random))
    return images, labels


def _random_warp(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Draw what ``_warped`` does to each digit: font, affine map, bends, boldness and brightness, in float64."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator).double()

    font = torch.randint(len(digit_distances()), (count,), generator=generator)
    turn, shear = uniform(-0.3, 0.3), uniform(-0.35, 0.25)  # radians; shear: most hands lean to the right
    stretch = uniform(0.8, 1.1, 2)
    rotation = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], dim=1).view(count, 2, 2)
    slant = torch.eye(2, dtype=torch.float64).repeat(count, 1, 1)
    slant[:, 0, 1] = -shear
    linear = rotation @ slant * stretch[:, None, :]
    affine = torch.cat([linear, uniform(-0.1, 0.1, 2, 1)], dim=2)  # (n, 2, 3)
    bends = 0.045 * _normal(50 * count, generator).view(count, 2, 5, 5)
    return font, affine, bends, uniform(0.75, 1.15), uniform(0.85, 1.0, 1, 1, 1)


def _warped(labels: Tensor, font: Tensor, affine: Tensor, bends: Tensor, boldness: Tensor, bright: Tensor) -> Tensor:
    """Return (n, 1, SIZE, SIZE) uint8 digits."""
    printed = digit_distances()[font, labels]  # (n, CANVAS, CANVAS)
    grid = F.affine_grid(affine, (len(labels), 1, SIZE, SIZE), align_corners=False)
    bends = F.interpolate(bends, size=(SIZE, SIZE), mode="bicubic", align_corners=True)
    grid = grid + bends.movedim(1, -1)  # (n, 28, 28, 2)

    depth = F.grid_sample(printed[:, None], grid, padding_mode="border", align_corners=False)
    half_width = printed.amax(dim=(1, 2))  # of the printed stroke
    wanted = half_width.clamp(2.9, 4.4) * boldness
    ink = torch.sigmoid(1.6 * (depth + (wanted - half_width).view(-1, 1, 1, 1)))
    return (255 * ink * bright).round().to(torch.uint8)


def _normal(count: int, generator: torch.Generator) -> Tensor:
    """Draw (count,) float64 standard normal numbers by Box and Muller's method, two from two uniform ones.

    ``torch.randn`` does the same in float32, where logarithm and cosine depend on the processor.
    """
    first, second = torch.rand(-(-count // 16), 2, 8, generator=generator).double().unbind(1)
    radius, angle = (-2 * torch.log1p(-first)).sqrt(), 2 * math.pi * second
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1).flatten()[:count]
