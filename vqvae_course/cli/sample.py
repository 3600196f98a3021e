"""``vqvae-course sample``: new images from a prior, or from codes drawn without one."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vqvae_course.cli.options import device_from, must_be_seed, parse
from vqvae_course.cli.pictures import in_rows, must_spare, save_figure
from vqvae_course.cli.run import say
from vqvae_course.cli.trained import Trained, open_trained
from vqvae_course.folders import named
from vqvae_course.plotting import mosaic
from vqvae_course.prior import FrequencyPrior, Prior
from vqvae_course.sampling import SamplingInterrupted, sample_levels

EXAMPLE = "vqvae-course sample --out runs/glyphs --classes 3 7 --temperature 0.9"


@dataclass(frozen=True)
class Sample:
    """Draw index maps and decode them to a grid of new images (notebooks 9, 11 and 13).

    Attributes:
        out: Folder of a run with a prior.
        classes: Labels to draw, a row each; none given draws all of them.
        count: Images a class.
        temperature: Below 1 likely codes become likelier, above 1 rarer.
        seed: Of the draws.
        codes: prior; or, to see what a prior is for: uniform (each code equally likely), unigram (as often as in
            the training set, anywhere).
        picture: Where to write the PNG; None writes it into the run's folder.
        device: Such as ``cpu`` or ``cuda``; None takes the fastest.
    """

    out: Path = Path("runs/glyphs")
    classes: tuple[int, ...] = ()
    count: int = 10
    temperature: float = 1.0
    seed: int = 0
    codes: Literal["prior", "uniform", "unigram"] = "prior"
    picture: Path | None = None
    device: str | None = None

    def __post_init__(self):
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")
        if not 0 < self.temperature < inf:
            raise ValueError(f"temperature must be positive and finite, got {self.temperature}")
        must_be_seed(self.seed)


def main(arguments: Sequence[str]) -> None:
    """Read the options, draw, decode, and write the grid."""
    options = parse(Sample, arguments, "sample", EXAMPLE)
    trained = open_trained(options.out, device_from(options.device))
    must_spare(options.picture, trained.run, trained.options.data)
    trained.warn_of_other_classes()
    priors = [prior.to(trained.device) for prior in priors_of(trained, options.codes)]
    classes = classes_of(priors, options.classes)
    labels = torch.tensor(classes).repeat_interleave(options.count).to(trained.device) if classes else None
    number = options.count * max(1, len(classes))
    say(f"Drawing {number} images on {trained.device.type}, codes from: {options.codes}.")
    if classes and max(classes) < len(trained.classes):
        say(f"Classes: {named([f'{label} {trained.classes[label]}' for label in classes])}.")
    try:
        maps = sample_levels(
            priors,
            [(number, *size) for size in trained.map_sizes],
            labels,
            options.temperature,
            torch.Generator().manual_seed(options.seed),
            progress=True,
        )
    except SamplingInterrupted:  # its own advice is for those who write programs
        raise KeyboardInterrupt("stopped; no picture was written") from None
    images = trained.decode(maps)
    names = [f"class {label}" for label in classes] or [options.codes]
    rows: dict[str, Tensor] = {}
    for name, some in zip(names, images.split(options.count), strict=True):
        rows |= in_rows(name, some, 20 if classes else 10)
    path = options.picture or trained.run / "pictures" / f"samples_{options.codes}.png"
    say(f"Wrote {save_figure(path, mosaic(rows))}.", f"Next: vqvae-course reconstruct --out {trained.run}")


def priors_of(trained: Trained, codes: str) -> list[Prior]:
    """Return what to draw from on each level, top first."""
    if codes == "prior":
        return trained.priors()
    if codes == "unigram":
        counted = [level.indices for level in trained.codes("train")]
    else:  # no maps counted: every code is as likely as any other
        counted = [torch.zeros(0, 1, 1, dtype=torch.int64) for _ in trained.num_codes]
    return [FrequencyPrior(maps, num_codes) for maps, num_codes in zip(counted, trained.num_codes, strict=True)]


def classes_of(priors: Sequence[Prior], asked: tuple[int, ...]) -> list[int]:
    """Return the labels to draw, none of them for priors without classes.

    Raises:
        ValueError: If a class was asked for that the priors do not know.
    """
    known = max((prior.num_classes or 0) for prior in priors)
    if asked and not known:
        raise ValueError(f"classes must be left out for a prior that knows none, got {' '.join(map(str, asked))}")
    if asked and not 0 <= min(asked) <= max(asked) < known:
        raise ValueError(f"classes must lie in [0, {known}), got {' '.join(map(str, asked))}")
    return list(dict.fromkeys(asked)) or list(range(known))
