"""``vqvae-course evaluate``: all measures of a run, as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, log, prod
from pathlib import Path
from typing import Any

import torch

from vqvae_course.cli.options import device_from, parse
from vqvae_course.cli.run import RunError, environment, images_bar, say
from vqvae_course.cli.source import PUT_BACK
from vqvae_course.cli.train import reconstruct, test_images
from vqvae_course.cli.trained import Trained, open_trained, prior_name
from vqvae_course.data import CodeSet, ImageSet, as_float
from vqvae_course.evaluate import evaluate_prior, evaluate_vqvae, evaluate_vqvae2
from vqvae_course.metrics import bits_per_dim, latent_bits, nats_per_image, ssim
from vqvae_course.vqvae2 import VQVAE2

EXAMPLE = "vqvae-course evaluate --out runs/glyphs"


@dataclass(frozen=True)
class Evaluate:
    """Measure a run on test images it has not seen (notebooks 5, 8 and 9).

    Attributes:
        out: Folder of a run that has been trained; a prior is measured if there is one.
        data: Where its pictures are now, folder:PATH, if they have moved.
        count: Measure on so many test images at most, drawn at random.
        device: Such as ``cpu`` or ``cuda``; None takes the fastest.
    """

    out: Path = Path("runs/glyphs")
    data: str | None = None
    count: int = 10_000
    device: str | None = None

    def __post_init__(self):
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")


def main(arguments: Sequence[str]) -> None:
    """Read the options, measure, print the table and write the JSON."""
    options = parse(Evaluate, arguments, "evaluate", EXAMPLE)
    trained, _ = open_trained(options.out, device_from(options.device), options.data).with_pictures()
    images = test_images(trained.options, options.count)
    trained.must_fit(images.images)
    say(f"Measuring on {trained.device.type}, {len(images.labels):,} test images of {images.name}.")
    with trained.run.claimed():
        measured = stage_1(trained, images) | stage_2(trained, options.count)
        about = {"data": images.name, "images": len(images.labels), "environment": environment(trained.device)}
        trained.run.write_json("evaluation.json", measured | about)
    say(*table(measured), f"Wrote {trained.run / 'evaluation.json'}.")


def stage_1(trained: Trained, images: ImageSet) -> dict[str, Any]:
    """Return how well images are reconstructed, how the codes are used, and what they cost without a prior."""
    scores = (evaluate_vqvae2 if isinstance(trained.model, VQVAE2) else evaluate_vqvae)(trained.model, images)
    sizes = zip(trained.map_sizes, trained.num_codes, strict=True)
    uniform = fsum(latent_bits(*size, num_codes) for size, num_codes in sizes)
    return {
        "normalized_mse": scores.normalized_mse,
        "psnr_db": scores.psnr,
        "ssim": mean_ssim(trained, images),
        "perplexity": scores.perplexity,
        "codes_used": scores.codes_used,
        "num_codes": trained.model.config.num_codes,
        "bits_per_dim_without_prior": bits_per_dim(uniform * log(2), prod(trained.shape)),
    }


def mean_ssim(trained: Trained, images: ImageSet, batch_size: int = 500) -> float | None:
    """Return the structural similarity averaged over images; None if they are smaller than its window."""
    if min(trained.shape[1:]) < 11:
        return None
    weighted = []
    with images_bar(len(images.images)) as bar:
        for part in images.images.split(batch_size):
            x = as_float(part)
            weighted.append(float(ssim(x, reconstruct(trained.model, x, trained.device))) * len(x))
            bar.update(len(x))
    return fsum(weighted) / len(images.images)


def stage_2(trained: Trained, count: int) -> dict[str, Any]:
    """Return what codes cost with the prior, or nothing if there is none yet."""
    if not all((trained.run / f"{prior_name(level)}.pt").exists() for level in trained.levels):
        return {}
    held_out = [some(codes, count) for codes in trained.codes("test")]
    priors = trained.priors()
    for prior in priors:
        most = int(held_out[0].labels.max()) + 1
        if prior.num_classes is not None and most > prior.num_classes:  # of a prior from before classes had names
            raise RunError(
                f"codes must be of the {prior.num_classes} classes that the prior knows, got {most}: {PUT_BACK}, and "
                "encode again; or delete prior*.pt there and run train-prior again"
            )
    nats = [evaluate_prior(prior, codes) for prior, codes in zip(priors, held_out, strict=True)]
    joint = nats_per_image(nats, trained.map_sizes)
    return {
        "nats_per_code": nats if len(nats) > 1 else nats[0],
        "nats_per_image": joint,
        "bits_per_dim": bits_per_dim(joint, prod(trained.shape)),
    }


def some(codes: CodeSet, count: int) -> CodeSet:
    """Return the index maps of so many images at most, drawn at random."""
    rows = torch.randperm(len(codes.labels), generator=torch.Generator().manual_seed(0))[:count]
    above = tuple(maps[rows] for maps in codes.above)
    return codes._replace(indices=codes.indices[rows], labels=codes.labels[rows], above=above)


def table(measured: dict[str, Any]) -> list[str]:
    """Return what was measured, one line a quantity; several levels side by side, top first."""
    lines = []
    for name, value in measured.items():
        values = value if isinstance(value, list | tuple) else [value]
        shown = ["–" if one is None else f"{one:,}" if isinstance(one, int) else f"{one:.4g}" for one in values]
        lines.append(f"  {name:28}" + "  ".join(f"{one:>9}" for one in shown))
    return lines
