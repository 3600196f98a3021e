"""When do two maps of codes beat one of as many bits, and what does the top of the two hold?

Scenes of 32x32 pixels, as they are and in a light of a random colour per image, and CIFAR-10 (a copy saved as JPEG);
one bottom map or flat map of 8x8 places, a top of 2x2 or 4x4. The two rivals have about as many weights and take
about as long, and the hierarchy never has more bits. Learning rate and networks come from earlier
trials on lit scenes, where .004 was better than .0015, and were not tuned for each rival; the runs stored here are
scored on held-out training images (page 12).
"""

from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import log2, prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.training import Split
from vqvae_course.conditional import ConditionalPrior, ConditionalPriorConfig
from vqvae_course.data import (
    Batches,
    CodeSet,
    ImageSet,
    as_float,
    data_root,
    decode_codes,
    decode_levels,
    encode_dataset,
    encode_levels,
    load_images,
)
from vqvae_course.encdec import start_from_data
from vqvae_course.evaluate import evaluate_prior
from vqvae_course.history import History
from vqvae_course.metrics import data_variance, nats_per_image, perplexity
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.runtime import seed_everything
from vqvae_course.scenes import draw_scenes, light_scenes
from vqvae_course.train import TrainConfig, fit, prior_step, vqvae2_step, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig
from vqvae_course.vqvae2 import VQVAE2, VQVAE2Config


@dataclass(frozen=True)
class Setting:
    """What one training is made of.

    Attributes:
        dataset: ``"lit"``, ``"plain"`` (scenes) or the name of a folder among the data sets.
        num_codes: K of each map, the top first; one map is trained if there is only one.
        strides: How many times smaller each map is than what is below it, the top first.
        told: Whether the bottom is told about the top when its codes are chosen.
        hidden: Channels of the network.
        residual_layers: Of each encoder and decoder.
        lr: Highest learning rate.
        updates: Of 16 images; the learning rate goes through one cycle in them.
        prior_updates: Of 32 maps, for the priors; 0 trains none.
        prior_hidden: Channels of the priors.
        images: To train on.
        held_out: To score on.
    """

    dataset: str = "lit"
    num_codes: tuple[int, ...] = (256, 5)
    strides: tuple[int, ...] = (4, 4)
    told: bool = True
    hidden: int = 32
    residual_layers: int = 1
    lr: float = 0.004
    updates: int = 400
    prior_updates: int = 0
    prior_hidden: int = 32
    images: int = 12_000
    held_out: int = 1000


TWO = Setting()
ONE = Setting(num_codes=(8,), strides=(4,), hidden=48, residual_layers=2)
RATES = {192: ((256, 5), (8,)), 384: ((256, 45), (64,))}
PAIRS = [("lit", 192), ("lit", 384), ("plain", 192), ("plain", 384), ("cifar10_jpeg", 192)]
SETTINGS = {
    **{
        f"{dataset}, {bits} bits, {name}": replace(rival, dataset=dataset, num_codes=RATES[bits][which])
        for dataset, bits in PAIRS
        for which, (name, rival) in enumerate({"two maps": TWO, "one map": ONE}.items())
    },
    "lit, 192 bits, two maps, not told": replace(TWO, told=False),
    "lit, 192 bits, one deeper map": replace(ONE, hidden=40, residual_layers=5),
    "plain, 384 bits, two maps, 4x4 above 8x8": replace(TWO, dataset="plain", num_codes=(256, 16), strides=(2, 4)),
}
SEEDS = range(5)
SMOKE = Setting(dataset="plain", hidden=8, updates=2, images=300, held_out=20)


class NotTold(VQVAE2):
    """Two levels whose bottom is chosen without knowing the top: it hears zeros. The decoder sees both."""

    def latents(self, level: int, features: Tensor, above: Tensor | None) -> Tensor:
        """Return ``z_e`` of a level from its features alone."""
        return super().latents(level, features, None if above is None else torch.zeros_like(above))


def run(seed: int, setting: Setting) -> dict[str, float | list[float]]:
    """Train once; return errors, also band by band, what follows which map, and nats under priors.

    Returns:
        ``normalized_mse`` on held-out images, ``bits``, ``weights`` and the reconstruction loss every 50 updates,
        ``losses``. ``error_bands``, ``image_bands``: error and image in units of the variance of the pixels, from
        what is the same all over the picture through 16x16, 8x8 and 4x4 blocks to pixels (``bands_of``);
        ``error_coarse`` is the first two, ``error_detail`` the others. ``perplexity`` of each map, top first. With
        two maps ``top_share_coarse``, ``bottom_share_detail`` and so on: see ``shares``. With priors
        ``nats_per_image``, ``nats`` of each map, ``prior_weights`` and ``bits_counted``, the entropy of the codes
        counted without looking at neighbours.
    """
    images = images_of(setting.dataset, setting.images, setting.held_out)
    generator = seed_everything(seed)
    model = untrained(setting, data_variance(images.train.images))
    history = train(model, images.train, setting, generator)
    x = as_float(images.validation.images)
    maps = [level.indices for level in codes_of(model, images.validation)]
    decoded = decode(model, maps)
    variance = model.config.data_variance
    error = [energy / variance for energy in bands_of(decoded - x)]
    numbers = {
        "normalized_mse": sum(error),
        "error_coarse": sum(error[:2]),
        "error_detail": sum(error[2:]),
        "error_bands": error,
        "image_bands": [energy / variance for energy in bands_of(x - x.mean(dim=(0, 2, 3), keepdim=True))],
        "losses": history["recon_loss"],
        "bits": sum(one[0].numel() * log2(k) for one, k in zip(maps, setting.num_codes, strict=True)),
        "weights": weights_of(model),
        "perplexity": [float(perplexity(one, k)) for one, k in zip(maps, setting.num_codes, strict=True)],
    }
    if len(maps) == 2:
        numbers |= shares(model, maps, decoded)
    if setting.prior_updates:
        numbers |= nats_of(codes_of(model, images.train), codes_of(model, images.validation), setting, generator)
    return numbers


@cache
def images_of(dataset: str, count: int, held_out: int) -> Split:
    """Return images to train and to score on; no test set is looked at."""
    if dataset not in ("lit", "plain"):
        every = load_images(f"folder:{data_root() / dataset}")
        order = torch.randperm(len(every.labels), generator=torch.Generator().manual_seed(0))
        return Split(every.take(order[held_out : held_out + count]), every.take(order[:held_out]))
    draw = torch.Generator().manual_seed(2)
    pictures, labels, _ = draw_scenes(held_out + count, 32, draw)
    if dataset == "lit":
        pictures = light_scenes(pictures, draw)
    every = ImageSet(pictures, labels, dataset)
    return Split(every.take(slice(held_out, None)), every.take(slice(0, held_out)))


def untrained(setting: Setting, variance: float) -> VQVAE | VQVAE2:
    """Return the model of a setting."""
    shared = {
        "hidden": setting.hidden,
        "residual_layers": setting.residual_layers,
        "residual_hidden": 16,
        "code_dim": 16,
        "decay": 0.97,
        "data_variance": variance,
        "normalize_latents": True,
        "restart_below": 0.02,
        "patches": True,
    }
    if len(setting.num_codes) == 1:
        return VQVAE(VQVAEConfig(num_codes=setting.num_codes[0], downsample=setting.strides[0], **shared))
    kind = VQVAE2 if setting.told else NotTold
    return kind(VQVAE2Config(num_codes=setting.num_codes, strides=setting.strides, **shared))


def train(model: VQVAE | VQVAE2, images: ImageSet, setting: Setting, generator: torch.Generator) -> History:
    """Start from the data, put the codebooks on the latents by k-means, train."""
    first = as_float(images.images[:512])
    two = isinstance(model, VQVAE2)
    ends = (model.encoders[-1][0], model.decoders[-1][-1]) if two else (model.encoder[0], model.decoder[-1])
    start_from_data(model, *ends, first)
    model.init_codebook(first, generator)
    plan = TrainConfig(steps=setting.updates, lr=setting.lr, clip=1.0, progress=False)
    return fit(model, Batches(images, 16, generator), vqvae2_step if two else vqvae_step, plan)


def codes_of(model: VQVAE | VQVAE2, images: ImageSet) -> list[CodeSet]:
    """Return the index maps of images, top first."""
    return encode_levels(model, images) if isinstance(model, VQVAE2) else [encode_dataset(model, images)]


def decode(model: VQVAE | VQVAE2, maps: list[Tensor]) -> Tensor:
    """Return the pictures of index maps, top first."""
    return decode_levels(model, maps) if isinstance(model, VQVAE2) else decode_codes(model, maps[0])


def bands_of(pictures: Tensor) -> list[float]:
    """Split the mean square of pictures into five parts that add up to it.

    Returns:
        Of the mean of a picture, and then of what the means of 16x16, 8x8 and 4x4 blocks and single pixels add to the
        means of the next larger blocks. Deviations from the means of larger blocks are orthogonal to those means.
    """
    side = pictures.shape[-1]
    energy = [float(F.avg_pool2d(pictures, block).square().mean()) for block in (side, 16, 8, 4, 1)]
    return [energy[0], *(fine - coarse for coarse, fine in pairwise(energy))]


def shares(model: VQVAE2, maps: list[Tensor], decoded: Tensor) -> dict[str, float]:
    """Say how much of the difference between two pictures follows the top map, and how much the bottom map.

    Give each image the top (or the bottom) of the next image: the mean square of the change, divided by that between
    the decoded images themselves; 1 if everything that tells them apart in that band comes from that map.
    """
    top, bottom = maps
    between = bands_of(decoded.roll(1, dims=0) - decoded)
    found = {}
    for name, swapped in {"top": [top.roll(1, dims=0), bottom], "bottom": [top, bottom.roll(1, dims=0)]}.items():
        change = bands_of(decode(model, swapped) - decoded)
        found[f"{name}_share_coarse"] = sum(change[:2]) / sum(between[:2])
        found[f"{name}_share_detail"] = sum(change[2:]) / sum(between[2:])
        found[f"{name}_share"] = sum(change) / sum(between)
        found[f"{name}_share_bands"] = [part / whole for part, whole in zip(change, between, strict=True)]
    return found


def nats_of(
    codes: list[CodeSet], held_out: list[CodeSet], setting: Setting, generator: torch.Generator
) -> dict[str, float | list[float]]:
    """Train a small prior for each map, the bottom's told about the top; return the nats of held-out images."""
    priors = priors_of(setting)
    plan = TrainConfig(steps=setting.prior_updates, lr=0.004, clip=1.0, progress=False)
    for prior, level in zip(priors, codes, strict=True):
        fit(prior, Batches(level, 32, generator), prior_step, plan)
    sizes = [tuple(level.indices.shape[1:]) for level in codes]
    each = [evaluate_prior(prior, level) for prior, level in zip(priors, held_out, strict=True)]
    counted = [log2(float(perplexity(level.indices, k))) for level, k in zip(held_out, setting.num_codes, strict=True)]
    return {
        "nats_per_image": nats_per_image(each, sizes),
        "nats": [nats * prod(size) for nats, size in zip(each, sizes, strict=True)],
        "bits_counted": sum(bits * prod(size) for bits, size in zip(counted, sizes, strict=True)),
        "prior_weights": sum(map(weights_of, priors)),
    }


def priors_of(setting: Setting) -> list[nn.Module]:
    """Return untrained priors, top first."""
    hidden, (first_codes, *lower) = setting.prior_hidden, setting.num_codes
    priors = [GatedPixelCNN(GatedPixelCNNConfig(first_codes, hidden, layers=4, first_kernel_size=5))]
    if lower:
        above = ((first_codes, setting.strides[0]),)
        small = GatedPixelCNNConfig(first_codes, hidden, layers=2, first_kernel_size=3)  # for a map of 2x2
        bottom = ConditionalPriorConfig(lower[0], above, hidden, layers=4, stack_layers=1, first_kernel_size=5)
        priors = [GatedPixelCNN(small), ConditionalPrior(bottom)]
    return priors


def weights_of(model: nn.Module) -> int:
    """Return how many numbers are trained."""
    return sum(parameter.numel() for parameter in model.parameters())
