"""Built-in colour scenes: one to three shapes on a texture, every factor known.

The same seed draws the same pixels on every machine: numbers are drawn in float32, which is exact, and computed with
in float64. What processors and releases differ by then is too little to round any pixel of the two splits another way.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vqvae_course.runtime import one_thread

KINDS = ("circle", "square", "triangle")
COLOURS = ("red", "green", "blue", "yellow", "magenta", "cyan")
RGB = torch.tensor(
    [
        [0.86, 0.18, 0.16],
        [0.18, 0.63, 0.24],
        [0.16, 0.36, 0.85],
        [0.95, 0.80, 0.15],
        [0.80, 0.25, 0.75],
        [0.15, 0.75, 0.80],
    ]
)
MAX_COUNT = 3


class Factors(NamedTuple):
    """What is in each scene; the truth that samples can be compared with.

    Attributes:
        kind: (N,) int64 into ``KINDS``; all shapes of a scene are of one kind.
        count: (N,) int64, 1 to 3.
        colour: (N, 3) int64 into ``COLOURS``, -1 where there is no such shape.
        centre: (N, 3, 2) row and column in [0, 1], NaN where there is no such shape.
        radius: (N, 3) in units of the image's side, NaN where there is no such shape.
    """

    kind: Tensor
    count: Tensor
    colour: Tensor
    centre: Tensor
    radius: Tensor


@one_thread()
def draw_scenes(count: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Factors]:
    """Draw scenes of shapes on textured ground.

    The label is ``3 * kind + (number of shapes - 1)``: nine classes. Shapes stand in different
    quarters of the picture, so they never hide each other.

    Args:
        count: How many scenes.
        size: Height and width in pixels, at least 8.
        generator: CPU generator; the same state draws the same scenes, on every machine.

    Returns:
        Images (count, 3, size, size) uint8, labels (count,) int64 in [0, 9), and the ``Factors``.

    Raises:
        ValueError: If ``size`` is below 8.

    Explained in notebook 08.
    """
    if size < 8:
        raise ValueError(f"size must be at least 8 pixels, got {size}")
    kind = torch.randint(len(KINDS), (count,), generator=generator)
    number = torch.randint(1, MAX_COUNT + 1, (count,), generator=generator)
    present = torch.arange(MAX_COUNT) < number[:, None]  # (n, 3)
    colour = torch.randint(len(COLOURS), (count, MAX_COUNT), generator=generator)
    quarter = torch.rand(count, 4, generator=generator).argsort(dim=1, stable=True)[:, :MAX_COUNT]
    corner = torch.stack([quarter // 2, quarter % 2], dim=2) / 2  # (n, 3, 2)
    centre = corner + 0.19 + 0.12 * torch.rand(count, MAX_COUNT, 2, generator=generator)
    radius = 0.11 + 0.07 * torch.rand(count, MAX_COUNT, generator=generator)
    turn = 2 * math.pi * torch.rand(count, MAX_COUNT, generator=generator)
    blank = ~present
    factors = Factors(
        kind,
        number,
        colour.masked_fill(blank, -1),
        centre.masked_fill(blank[:, :, None], math.nan),
        radius.masked_fill(blank, math.nan),
    )
    images = torch.empty(count, 3, size, size, dtype=torch.uint8)
    palette = RGB.double()
    for rows in torch.arange(count).split(max(1, 2_000_000 // size**2)):
        random = _random_ground(len(rows), generator)
        for part in torch.arange(len(rows)).split(max(1, 100_000 // size**2)):  # what a processor's cache holds
            picture = _ground(*(of_all[part] for of_all in random), size)
            for s in range(MAX_COUNT):
                where, half, angle = (of_all[rows[part], s].double() for of_all in (centre, radius, turn))
                depth = _depth(kind[rows[part]], where, half, angle, size)
                cover = (depth * size + 0.5).clamp(0, 1) * present[rows[part], s, None, None]  # one pixel of soft edge
                picture = torch.lerp(picture, palette[colour[rows[part], s], :, None, None], cover[:, None])
            images[rows[part]] = (255 * picture).round().to(torch.uint8)
    return images, 3 * kind + number - 1, factors


def _random_ground(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Draw what ``_ground`` paints, float64: two tones, direction and number of stripes, noise, stripes or noise."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator).double()

    tones = 0.45 + 0.4 * uniform(2, 3, 1, 1)
    tones[:, 1] = tones[:, 0] + 0.2 * (uniform(3, 1, 1) - 0.5)
    return tones, math.pi * uniform(1, 1), 3 + 3 * uniform(1, 1), uniform(1, 6, 6), uniform(1, 1) < 0.5


def _ground(tones: Tensor, angle: Tensor, waves: Tensor, noise: Tensor, striped: Tensor, size: int) -> Tensor:
    """Return (n, 3, size, size) pale ground: two close tones mixed by stripes or by soft noise."""
    axis = torch.linspace(0, 1, size, dtype=torch.float64)
    along = axis[:, None] * angle.sin() + axis[None, :] * angle.cos()
    stripes = 0.5 + 0.5 * torch.sin(2 * math.pi * waves * along)
    soft = F.interpolate(noise, size=(size, size), mode="bicubic", align_corners=True).clamp(0, 1)[:, 0]
    mix = torch.where(striped, stripes, soft)[:, None]
    return torch.lerp(tones[:, 0], tones[:, 1], mix)


def _depth(kind: Tensor, centre: Tensor, radius: Tensor, turn: Tensor, size: int) -> Tensor:
    """Return (n, size, size) how far each pixel lies inside the shape, in units of the image's side."""
    axis = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    y = axis[None, :, None] - centre[:, 0, None, None]
    x = axis[None, None, :] - centre[:, 1, None, None]
    cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
    u, v = cos * x + sin * y, cos * y - sin * x
    r = radius[:, None, None]
    circle = r - torch.hypot(u, v)
    square = 0.85 * r - torch.maximum(u.abs(), v.abs())
    triangle = 0.6 * r - torch.maximum(v, (3**0.5 * u.abs() - v) / 2)
    return torch.stack([circle, square, triangle]).gather(0, kind.view(1, -1, 1, 1).expand(1, -1, size, size))[0]


def light_scenes(images: Tensor, generator: torch.Generator) -> Tensor:
    """Put each picture in a light of its own: one factor per colour and picture, between 0.2 and 1.

    Args:
        images: (N, 3, H, W) uint8.
        generator: CPU generator; the same state draws the same lights, on every machine.

    Returns:
        The lit pictures, (N, 3, H, W) uint8.

    Explained in notebook 12.
    """
    light = 1 - 0.8 * torch.rand(len(images), 3, 1, 1, generator=generator)
    return (images * light).round().to(torch.uint8)


class SceneReading(NamedTuple):
    """What ``read_scenes`` finds in pictures; quarters run row by row from the top left.

    Attributes:
        count: (N,) int64, in how many quarters there is a shape, 0 to 4.
        colour: (N, 4) int64 into ``COLOURS``, -1 for a quarter without a shape.
        centre: (N, 4, 2) row and column in [0, 1], NaN for a quarter without a shape.
        area: (N, 4) fraction of the whole picture, 0 for a quarter without a shape.
    """

    count: Tensor
    colour: Tensor
    centre: Tensor
    area: Tensor


FARTHEST = 0.4  # between a pixel of a shape and its colour, in RGB on [0, 1]
SMALLEST = 0.012  # of the picture: half of the smallest shape that is drawn


def read_scenes(images: Tensor) -> SceneReading:
    """Measure what is in scenes, real or generated, from their pixels alone.

    Each pixel goes to the nearest of seven colours: the six of the shapes and the ground of its own
    picture, whose colour is the median of all pixels, and then once more of those that went to it.
    In a quarter of the picture the colour with most pixels is that of its shape, if they are enough;
    their mean position is its centre.

    Half of a soft edge goes to either side, so a decoder's blur changes little. A corner that sticks
    out of its quarter, at most a fortieth of the side, is not seen.

    Args:
        images: (N, 3, H, W) uint8, or float in [0, 1].

    Returns:
        The ``SceneReading``.

    Raises:
        ValueError: If the images are not colour images.

    Explained in notebook 13.
    """
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < 2:
        raise ValueError(f"images must be (N, 3, H, W) of at least 2x2 pixels, got shape {tuple(images.shape)}")
    height, width = images.shape[2:]
    row = (torch.arange(height, device=images.device) + 0.5) / height
    column = (torch.arange(width, device=images.device) + 0.5) / width
    coordinates = torch.cartesian_prod(row, column)  # (H W, 2)
    quarter = (2 * (coordinates[:, 0] >= 0.5) + (coordinates[:, 1] >= 0.5)).long()
    there = F.one_hot(quarter, 4).float()  # (H W, 4)
    sums = torch.cat([there, there * coordinates[:, :1], there * coordinates[:, 1:]], dim=1)  # (H W, 12)
    found = []
    for part in images.split(max(1, 500_000 // (height * width))):
        pixels = part.float().flatten(2).contiguous()  # (n, 3, H W); nanmedian errs where one number stands for all
        shape = _shape_of_pixels(pixels / 255 if part.dtype == torch.uint8 else pixels)
        own = F.one_hot(shape, 1 + len(COLOURS))[:, :, 1:].float()  # (n, H W, 6)
        found.append(torch.einsum("npk,ps->nks", own, sums).unflatten(2, (3, 4)))
    tally = torch.cat(found) if found else images.new_zeros(0, len(COLOURS), 3, 4, dtype=torch.float32)
    pixels, colour = tally[:, :, 0].max(dim=1)  # (N, 4)
    none = pixels < SMALLEST * height * width
    moment = tally[:, :, 1:].gather(1, colour[:, None, None].expand(-1, 1, 2, -1))[:, 0]  # (N, 2, 4)
    centre = (moment / pixels[:, None]).transpose(1, 2)
    return SceneReading(
        (~none).sum(dim=1),
        colour.masked_fill(none, -1),
        centre.masked_fill(none[:, :, None], math.nan),
        (pixels / (height * width)).masked_fill(none, 0),
    )


def _shape_of_pixels(pixels: Tensor) -> Tensor:
    """Return (n, P) int64 for (n, 3, P) pixels: 0 for the ground, else 1 plus which of ``COLOURS`` it is."""
    palette = RGB.to(pixels.device)
    which = (2 * palette @ pixels - palette.square().sum(dim=1, keepdim=True)).argmax(dim=1)  # nearest to the pixel
    to_shape = (pixels - palette.T[:, which].transpose(0, 1)).square().sum(dim=1)
    to_shape = to_shape.masked_fill(to_shape > FARTHEST**2, math.inf)
    ground = pixels
    for _ in range(2):
        tone = ground.nanmedian(dim=2, keepdim=True).values.nan_to_num()
        nearest = torch.where(to_shape < (pixels - tone).square().sum(dim=1), which + 1, 0)
        ground = pixels.masked_fill((nearest > 0)[:, None], math.nan)
    return nearest
