"""``vqvae-course encode``: from images to index maps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vqvae_course.cli.options import device_from, parse
from vqvae_course.cli.run import images_bar, say
from vqvae_course.cli.source import tell
from vqvae_course.cli.trained import Trained, codes_file, open_trained
from vqvae_course.data import CodeSet, ImageSet, encode_dataset, encode_levels, load_images, save_codes
from vqvae_course.metrics import latent_bits, perplexity
from vqvae_course.sources import list_folder
from vqvae_course.stream import stream_parts
from vqvae_course.vqvae2 import VQVAE2

EXAMPLE = "vqvae-course encode --out runs/glyphs"


@dataclass(frozen=True)
class Encode:
    """Write the index map of every image, with its label (notebook 9).

    Attributes:
        out: Folder of a run that has been trained.
        data: Where its pictures are now, folder:PATH, if they have moved.
        device: Such as ``cpu`` or ``cuda``; None takes the fastest.
    """

    out: Path = Path("runs/glyphs")
    data: str | None = None
    device: str | None = None


def main(arguments: Sequence[str]) -> None:
    """Read the options, encode both splits, and write the codes."""
    options = parse(Encode, arguments, "encode", EXAMPLE)
    trained, files = open_trained(options.out, device_from(options.device), options.data).with_pictures()
    with trained.run.claimed():
        say(f"Encoding {trained.options.data} on {trained.device.type}.")
        if files:
            tell(trained.options.data, files)
        for split in ("train", "test"):
            levels = encode_split(trained, split)
            for level, codes, num_codes in zip(trained.levels, levels, trained.num_codes, strict=True):
                path = trained.run / codes_file(split, level)
                save_codes(path, codes, trained.model)
                count, height, width = codes.indices.shape
                say(
                    f"{path}: {count:,} maps of {height}x{width} codes of {num_codes}, "
                    f"{latent_bits(height, width, num_codes):.0f} bits an image, "
                    f"perplexity {float(perplexity(codes.indices, num_codes)):.1f}"
                )
        say(f"Next: vqvae-course train-prior --out {trained.run}")


def encode_split(trained: Trained, split: str) -> list[CodeSet]:
    """Return the index maps of a split, top level first, part by part where the pictures are read as they come."""
    parts = []
    with images_bar() as bar:
        for images, total in images_of(trained, split):
            bar.total = total
            trained.must_fit(images.images)
            parts.append(_encode(trained, images))
            bar.update(len(images.labels))
    return [_joined([part[level] for part in parts], trained.classes) for level in range(len(trained.levels))]


def images_of(trained: Trained, split: str, part: int = 500) -> Iterator[tuple[ImageSet, int]]:
    """Yield the images of a split in parts, each with the number of all; read as they come if memory is too small."""
    options = trained.options
    if options.workers:
        folder = Path(options.data.removeprefix("folder:")).expanduser()
        total = len(list_folder(folder, split).paths)
        for images in stream_parts(folder, split, options.size, options.workers, part):
            yield images, total
    else:
        images = load_images(options.data, split, size=options.size)
        for start in range(0, len(images.labels), part):
            yield images.take(slice(start, start + part)), len(images.labels)


def _encode(trained: Trained, images: ImageSet) -> list[CodeSet]:
    if isinstance(trained.model, VQVAE2):
        return encode_levels(trained.model, images)
    return [encode_dataset(trained.model, images)]


def _joined(parts: list[CodeSet], classes: tuple[str, ...]) -> CodeSet:
    above = tuple(torch.cat(maps) for maps in zip(*(part.above for part in parts), strict=True))
    indices, labels = (torch.cat([part[field] for part in parts]) for field in (0, 1))
    return CodeSet(indices, labels, parts[0].name, above, classes)
