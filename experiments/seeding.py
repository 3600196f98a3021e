"""Which latents make good first codes?

Nine codes for one crowd, eight small groups and sixteen strays in the plane, seeded in three ways (appendix A2). A seed
draws new latents; each way is tried a hundred times on them.
"""

import math
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from vqvae_course.quantize import kmeans_init, kmeans_step, nearest_code


@dataclass(frozen=True)
class Setting:
    """How seeds are chosen.

    Attributes:
        way: ``"random"``, ``"furthest"`` or ``"k-means++"``.
        num_codes: K.
        tries: That the errors are means of.
    """

    way: str
    num_codes: int = 9
    tries: int = 100


SETTINGS = {
    "at random": Setting("random"),
    "always the furthest": Setting("furthest"),
    "k-means++": Setting("k-means++"),
}
SEEDS = range(8)
SMOKE = Setting("furthest", tries=2)


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Return the mean squared error of the seeds, and of the codes after ten steps of k-means."""
    z = crowd(torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(1000 + seed)
    before, after = [], []
    for _ in range(setting.tries):
        codes = chosen(setting.way, z, setting.num_codes, generator)
        before.append(error(z, codes))
        for _ in range(10):
            codes = kmeans_step(z, codes)
        after.append(error(z, codes))
    return {"seeds": fmean(before), "after_ten_steps": fmean(after), "worst_after_ten_steps": max(after)}


def crowd(generator: torch.Generator) -> Tensor:
    """Draw 480 latents in one place, eight groups of 30 in a ring around it, and 16 strays further out."""
    places = on_circle(1.2, torch.arange(8) * (math.pi / 4))
    groups = torch.cat([torch.zeros(480, 2), places.repeat_interleave(30, dim=0)])
    groups = groups + 0.12 * torch.randn(720, 2, generator=generator)
    far_out = 2.2 + 0.4 * torch.rand(16, generator=generator)
    return torch.cat([groups, on_circle(far_out, 2 * math.pi * torch.rand(16, generator=generator))])


def on_circle(radius: float | Tensor, angle: Tensor) -> Tensor:
    """Return points in the plane, given distance and direction from the origin."""
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def chosen(way: str, z: Tensor, num_codes: int, generator: torch.Generator) -> Tensor:
    """Choose seeds among the latents."""
    if way == "random":
        return z[torch.randperm(len(z), generator=generator)[:num_codes]]
    if way == "k-means++":
        return kmeans_init(z, num_codes, generator, iterations=0)
    seeds = z[torch.randint(len(z), (1,), generator=generator)]
    while len(seeds) < num_codes:
        nearest = (z[:, None] - seeds).square().sum(dim=2).amin(dim=1)
        seeds = torch.cat([seeds, z[nearest.argmax()][None]])
    return seeds


def error(z: Tensor, codebook: Tensor) -> float:
    """Return the mean squared distance from latents to their nearest codes."""
    return float((z - codebook[nearest_code(z, codebook)]).square().sum(dim=1).mean())
