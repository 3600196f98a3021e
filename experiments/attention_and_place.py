"""Is it attention that helps a prior to count, or being told where it is?

Attention is told the place of every position; a convolution is not. So both are told it here, and both get the same
time: gated layers alone, the same told the place through their spatial condition, and those with attention after
every second layer. The maps need no VQ-VAE: scenes are cut into patches of 4x4 pixels, and each becomes the index of
the nearest of a few patches that k-means has found. Decoded, they can be counted in (page 13).
"""

import time
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.data import Batches, CodeSet
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.pixelsnail import PixelSNAIL, PixelSNAILConfig, positional_encoding
from vqvae_course.quantize import kmeans_init, nearest_code
from vqvae_course.runtime import seed_everything
from vqvae_course.sampling import sample
from vqvae_course.scenes import draw_scenes, read_scenes
from vqvae_course.train import StepResult, TrainConfig, fit

PATCH, SIZE, CLASSES = 4, 32, 9


@dataclass(frozen=True)
class Setting:
    """What one training is made of.

    Attributes:
        attention: Put an attention after every second gated layer.
        place: Give every gated layer the ``positional_encoding`` as a spatial condition.
        updates: Of 16 maps; chosen so that all settings take the same time.
        num_codes: K, patches that k-means finds.
        hidden: Channels.
        layers: Gated layers, an even number.
        lr: Highest learning rate of one cycle.
        images: To train on.
        held_out: To score on, and to draw.
    """

    attention: bool = False
    place: bool = False
    updates: int = 500
    num_codes: int = 32
    hidden: int = 16
    layers: int = 4
    lr: float = 0.008
    images: int = 4000
    held_out: int = 450


SETTINGS = {
    "convolutions": Setting(),
    "convolutions, told the place": Setting(place=True, updates=400),
    "attention, told the place": Setting(attention=True, place=True, updates=265),
}
SEEDS = range(5)
SMOKE = replace(SETTINGS["attention, told the place"], updates=2, num_codes=4, images=40, held_out=9)


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Train one prior; return its price, and whether its samples have as many shapes as asked.

    Returns:
        ``nats``, nats per code on held-out maps; ``count_right``, the share of samples with the right number of
        shapes, and ``count_right_real``, the same for the held-out maps themselves; ``weights``, parameters; and
        ``cpu_seconds`` of the training.
    """
    generator = seed_everything(seed)
    pictures, labels, _ = draw_scenes(setting.images + setting.held_out, SIZE, generator)
    rows = F.unfold(pictures.float() / 255, PATCH, stride=PATCH).transpose(1, 2)  # (N, 64, 48)
    patches = kmeans_init(rows[:400].flatten(0, 1), setting.num_codes, generator)
    side = SIZE // PATCH
    maps = nearest_code(rows.flatten(0, 1), patches).view(-1, side, side)
    codes = CodeSet(maps[setting.held_out :], labels[setting.held_out :], "patches of scenes")
    maps, labels = maps[: setting.held_out], labels[: setting.held_out]

    seed_everything(seed)
    prior, where = build(setting), encoding(setting, side)

    def nats(model: nn.Module, indices: Tensor, classes: Tensor) -> Tensor:
        there = None if where is None else where.expand(len(indices), -1, -1, -1)
        return F.cross_entropy(model(indices, classes, there), indices)

    def step(model, batch):
        loss = nats(model, batch.x, batch.labels)
        return StepResult(loss, {"nats": loss})

    plan = TrainConfig(setting.updates, setting.lr, log_every=setting.updates, clip=1.0, progress=False)
    started = time.process_time()
    fit(prior, Batches(codes, 16, generator), step, plan)
    took = time.process_time() - started
    with torch.no_grad():
        price = float(nats(prior.eval(), maps, labels))
    there = None if where is None else where.expand(len(labels), -1, -1, -1)
    drawn = sample(prior, maps.shape, labels, there, generator=generator)
    return {
        "nats": price,
        "count_right": share_right(drawn, patches, labels),
        "count_right_real": share_right(maps, patches, labels),
        "weights": sum(weight.numel() for weight in prior.parameters()),
        "cpu_seconds": took,
    }


def build(setting: Setting) -> nn.Module:
    """Return an untrained prior."""
    channels = encoding(setting, 1).shape[1] if setting.place else None
    shared = {"num_classes": CLASSES, "condition_channels": channels, "first_kernel_size": 5}
    if setting.attention:
        blocks = setting.layers // 2
        return PixelSNAIL(PixelSNAILConfig(setting.num_codes, setting.hidden, blocks, layers=2, **shared))
    return GatedPixelCNN(GatedPixelCNNConfig(setting.num_codes, setting.hidden, setting.layers, **shared))


def encoding(setting: Setting, side: int) -> Tensor | None:
    """Return where each position is, (1, channels, side, side), or None where nobody is told."""
    return positional_encoding(side, side).T.reshape(1, -1, side, side) if setting.place else None


def share_right(maps: Tensor, patches: Tensor, labels: Tensor) -> float:
    """Decode maps patch by patch and count the shapes; return how often they are as many as the class says."""
    rows = patches[maps.flatten(1)].transpose(1, 2)  # (N, 48, 64)
    count = read_scenes(F.fold(rows, SIZE, PATCH, stride=PATCH)).count
    return float((count == labels % 3 + 1).float().mean())
