"""What do longer vectors gain, and what do they cost?

Numbers in groups of D, k-means codebooks of K vectors, scored on fresh vectors (page 2). Independent numbers have
nothing in common, so what longer vectors gain on them is the better filling of space; scenes whose pixels are shuffled
over all patches are the control for scenes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vqvae_course.data import as_float
from vqvae_course.quantize import kmeans_init, nearest_code
from vqvae_course.runtime import seed_everything
from vqvae_course.scenes import draw_scenes


@dataclass(frozen=True)
class Setting:
    """What one codebook is made for.

    Attributes:
        source: ``"normal"`` or ``"uniform"`` independent numbers, ``"scenes"``, or ``"shuffled"`` scenes, where each
            number of a patch comes from a patch of its own.
        length: Numbers in a vector; for scenes the side of a patch, which has 3 numbers per pixel.
        num_codes: K.
        vectors: To make the codebook from, and as many to score it on.
        scenes: Pictures to cut patches from.
        iterations: Of k-means.
    """

    source: str
    length: int
    num_codes: int
    vectors: int = 10_000
    scenes: int = 100
    iterations: int = 20


def equal_bits(source: str, bits: int, lengths: tuple[int, ...]) -> dict[str, Setting]:
    """Return settings of the same number of bits for each number."""
    return {f"{source}, {bits} bit{'s' * (bits > 1)}, D = {d}": Setting(source, d, 2 ** (bits * d)) for d in lengths}


PATCHES = ((1, 2), (2, 16), (2, 4), (4, 256), (4, 4), (8, 256))  # two by two at equal bits per pixel
SETTINGS = {
    **equal_bits("normal", 1, (1, 2, 4, 8)),
    **equal_bits("uniform", 2, (1, 2, 4)),
    **{f"normal, K = 256, D = {d}": Setting("normal", d, 256) for d in (1, 2, 4, 8, 16, 32, 64)},
    **{
        f"{source}, {side}×{side}, K = {k}": Setting(source, side, k)
        for source in ("scenes", "shuffled")
        for side, k in PATCHES
    },
}
SEEDS = range(5)
SMOKE = Setting("shuffled", 2, 4, vectors=50, scenes=2, iterations=2)


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Make a codebook and score it.

    Returns:
        ``error`` on fresh vectors and ``error_train`` on those of the codebook, both as a share of the variance;
        ``codes_used`` on fresh vectors.
    """
    generator = seed_everything(seed)
    train, test = vectors(setting, generator), vectors(setting, generator)
    codebook = kmeans_init(train, setting.num_codes, generator, iterations=setting.iterations)
    variance = train.var(dim=0).mean()
    indices = nearest_code(test, codebook)
    return {
        "error": float((test - codebook[indices]).square().mean() / variance),
        "error_train": float((train - codebook[nearest_code(train, codebook)]).square().mean() / variance),
        "codes_used": len(indices.unique()),
    }


def vectors(setting: Setting, generator: torch.Generator) -> Tensor:
    """Draw vectors as rows."""
    shape = setting.vectors, setting.length
    if setting.source == "normal":
        return torch.randn(shape, generator=generator)
    if setting.source == "uniform":
        return torch.rand(shape, generator=generator)
    drawn, _, _ = draw_scenes(setting.scenes, 64, generator)
    rows = F.pixel_unshuffle(as_float(drawn), setting.length).movedim(1, -1).flatten(0, 2)
    rows = rows[torch.randperm(len(rows), generator=generator)[: setting.vectors]]
    if setting.source == "shuffled":
        rows = torch.stack([column[torch.randperm(len(rows), generator=generator)] for column in rows.T], dim=1)
    return rows
