"""``vqvae-course reconstruct``: pictures beside what is left of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from vqvae_course.cli.options import device_from, parse
from vqvae_course.cli.pictures import must_spare, save_pairs
from vqvae_course.cli.run import images_bar, say
from vqvae_course.cli.train import reconstruct, test_images
from vqvae_course.cli.trained import open_trained
from vqvae_course.data import as_float
from vqvae_course.folders import is_leftover
from vqvae_course.metrics import psnr
from vqvae_course.sources import DataUnavailable, middle, open_picture

EXAMPLE = "vqvae-course reconstruct --out runs/glyphs --pictures ~/Pictures"


@dataclass(frozen=True)
class Reconstruct:
    """Write images above what is left of them after encoding and decoding (notebook 5).

    Attributes:
        out: Folder of a run that has been trained.
        data: Where the pictures of the run are now, folder:PATH, if they have moved.
        pictures: A folder of pictures of your own, or one file; None takes test images of the run's data set.
        count: How many, at most.
        picture: Where to write the PNG; None writes it into the run's folder.
        device: Such as ``cpu`` or ``cuda``; None takes the fastest.
    """

    out: Path = Path("runs/glyphs")
    data: str | None = None
    pictures: Path | None = None
    count: int = 10
    picture: Path | None = None
    device: str | None = None

    def __post_init__(self):
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")


def main(arguments: Sequence[str]) -> None:
    """Read the options, reconstruct, and write the pairs."""
    options = parse(Reconstruct, arguments, "reconstruct", EXAMPLE)
    device = device_from(options.device)
    trained = open_trained(options.out, device, options.data)
    own = options.pictures.expanduser() if options.pictures else None
    must_spare(options.picture, trained.run, trained.options.data, own)
    say(f"Reconstructing on {device.type}.")
    if own is None:
        trained, _ = trained.with_pictures()
        x = as_float(test_images(trained.options, options.count).images)
        trained.must_fit(x)
    else:
        x = own_pictures(own, options.count, trained.shape)
    parts = []
    with images_bar(len(x)) as bar:
        for part in x.split(100):
            parts.append(reconstruct(trained.model, part, device))
            bar.update(len(part))
    x_hat = torch.cat(parts)
    path = options.picture or trained.run / "pictures" / ("own.png" if options.pictures else "reconstructions.png")
    say(
        f"{len(x)} images, PSNR {float(psnr(x, x_hat)):.1f} dB.",
        f"Wrote {save_pairs(path, x, x_hat)}.",
        f"Next: vqvae-course evaluate --out {trained.run}",
    )


def own_pictures(place: Path, count: int, shape: tuple[int, int, int]) -> Tensor:
    """Return a reader's own pictures (N, C, H, W) in [0, 1], brought to the shape that the model was trained on.

    The shorter side is fitted and the middle cut out. Files that are no pictures are passed over, broken
    pictures are named.

    Raises:
        DataUnavailable: If there is none that can be read.
    """
    if not place.exists():
        raise DataUnavailable(f"{place} must be a folder of pictures or a picture, and there is none. Check the path.")
    known = Image.registered_extensions()
    files = (
        [place]
        if place.is_file()
        else sorted(file for file in place.iterdir() if file.suffix.lower() in known and not is_leftover(file.name))
    )
    pictures: list[Tensor] = []
    for file in files:
        try:
            pictures.append(fitted(open_picture(file), shape))
        except DataUnavailable as error:
            say(f"Left out: {error}")
        if len(pictures) == count:
            break
    if not pictures:
        raise DataUnavailable(f"{place} holds no picture that can be read.")
    return as_float(torch.stack(pictures))


def fitted(picture: Image.Image, shape: tuple[int, int, int]) -> Tensor:
    """Return the middle of a picture as (C, H, W) uint8."""
    channels, height, width = shape
    pixels = transform.pil_to_tensor(middle(picture, height, width))
    return transform.rgb_to_grayscale(pixels) if channels == 1 else pixels
