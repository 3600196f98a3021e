"""Which encoder makes codes that a prior can learn, and what do temperature and luck do to the digits it draws?

A VQ-VAE, a class-conditional gated PixelCNN over its codes and a classifier that reads the samples, on MNIST. The
encoder's view and the temperature are varied alone (pages 9 and 11).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import log
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from experiments.training import split, trained_vqvae
from vqvae_course.classifier import Classifier
from vqvae_course.data import Batches, CodeSet, decode_codes, encode_dataset
from vqvae_course.evaluate import agreement, evaluate_prior, evaluate_vqvae
from vqvae_course.metrics import data_variance, nats_per_code
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.prior import FrequencyPrior
from vqvae_course.runtime import seed_everything
from vqvae_course.sampling import sample
from vqvae_course.train import TrainConfig, classifier_step, fit, prior_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig

CLASSES = 10


@dataclass(frozen=True)
class Setting:
    """What is trained and how it is drawn from.

    Attributes:
        patches: Whether the encoder sees little more than a latent's own patch of the image.
        prior_updates: Of 32 maps.
        temperature: Of the samples.
        stage_1_updates: Of 32 images.
        judge_updates: Of 128 images.
        num_codes: K.
        hidden: Channels of the VQ-VAE.
        prior_hidden: Channels of the prior, which has four layers.
        samples: Maps in one draw, as many of each class.
        draws: How often as many maps are drawn from the same prior.
        encoded: Training images whose maps the prior and the counts learn from.
        held_out: Images to score on.
        dataset: Name for ``load_images``.
    """

    patches: bool = True
    prior_updates: int = 300
    temperature: float = 1.0
    stage_1_updates: int = 250
    judge_updates: int = 200
    num_codes: int = 128
    hidden: int = 32
    prior_hidden: int = 16
    samples: int = 200
    draws: int = 5
    encoded: int = 20_000
    held_out: int = 2000
    dataset: str = "mnist"


NARROW = Setting()
SETTINGS = {
    "narrow view": NARROW,
    **{f"T = {T}": replace(NARROW, temperature=T) for T in (0.5, 0.8, 0.9, 1.2)},
    "wide view": replace(NARROW, patches=False),
}
SEEDS = range(5)
SMOKE = Setting(prior_updates=2, stage_1_updates=2, judge_updates=2, num_codes=8, hidden=8, prior_hidden=4,
                samples=20, draws=2, held_out=20, dataset="glyphs")  # fmt: skip


class Trained(NamedTuple):
    """What all temperatures of a seed share, and what was measured of it."""

    model: VQVAE
    prior: GatedPixelCNN
    judge: Classifier
    held_out: CodeSet
    commonest: int
    numbers: dict[str, float]


@lru_cache(maxsize=1)
def stage_1(seed: int, setting: Setting) -> VQVAE:
    """Train a VQ-VAE."""
    s = setting
    train, _ = split(s.dataset, s.held_out)
    config = VQVAEConfig(
        in_channels=1,
        hidden=s.hidden,
        residual_layers=0,
        num_codes=s.num_codes,
        code_dim=32,
        downsample=4,
        decay=0.95,
        normalize_latents=True,
        patches=s.patches,
        data_variance=data_variance(train.images),
    )
    plan = TrainConfig(steps=s.stage_1_updates, lr=0.016, progress=False)
    return trained_vqvae(config, train, plan, seed, kmeans_images=512)


@lru_cache(maxsize=1)
def reader(updates: int, held_out: int, dataset: str) -> Classifier:
    """Train a classifier that reads digits, the same for all seeds: it measures."""
    generator = seed_everything(0)
    judge = Classifier(in_channels=1, num_classes=CLASSES)
    plan = TrainConfig(steps=updates, lr=0.003, progress=False)
    fit(judge, Batches(split(dataset, held_out).train, 128, generator), classifier_step, plan)
    return judge


@lru_cache(maxsize=1)
def trained(seed: int, setting: Setting) -> Trained:
    """Train a VQ-VAE, a prior and a judge, and measure them on held-out images."""
    s = setting
    train, images = split(s.dataset, s.held_out)
    model = stage_1(seed, replace(s, prior_updates=0))
    judge = reader(s.judge_updates, s.held_out, s.dataset)
    codes, held_out = (encode_dataset(model, part) for part in (train.take(slice(s.encoded)), images))

    generator = seed_everything(seed)
    prior = GatedPixelCNN(GatedPixelCNNConfig(s.num_codes, s.prior_hidden, 4, 3, CLASSES, None, 3))
    plan = TrainConfig(steps=s.prior_updates, lr=0.008, weight_decay=0.01, clip=1.0, progress=False)
    fit(prior, Batches(codes, 32, generator), prior_step, plan)

    scores, nats = evaluate_vqvae(model, images), evaluate_prior(prior, held_out)
    commonest = int(torch.bincount(codes.indices.flatten()).argmax())
    unigram, per_position = (counted_nats(codes, held_out, s.num_codes, each) for each in (False, True))
    reconstructions = decode_codes(model, held_out.indices)
    numbers = {
        "normalized_mse": scores.normalized_mse,
        "perplexity": scores.perplexity,
        "unigram": unigram,
        "per_position": per_position,
        "nats_per_code": nats,
        "saved_by_place": unigram - per_position,
        "saved_by_looking_back": per_position - nats,
        "bits_per_image": nats * held_out.indices[0].numel() / log(2),
        "agreement_of_images": 100 * agreement(judge, images.images, images.labels),
        "agreement_of_reconstructions": 100 * agreement(judge, reconstructions, images.labels),
        "differing_codes_of_images": differing(held_out.indices, held_out.labels),
        "background_of_images": float((held_out.indices == commonest).double().mean()),
    }
    return Trained(model, prior, judge, held_out, commonest, numbers)


def run(seed: int, setting: Setting) -> dict[str, float | list[float]]:
    """Train what is not trained yet, draw, and measure.

    Returns:
        Of stage 1: ``normalized_mse``, ``perplexity``. Nats per code on held-out codes: ``unigram``, ``per_position``,
        ``nats_per_code`` (the prior), their differences ``saved_by_place`` and ``saved_by_looking_back``, and
        ``nats_at_temperature`` (the logits divided by T). ``bits_per_image`` under the prior. Of the samples:
        ``agreement`` (mean of the draws, percent), ``agreement_of_draws``, their ``spread_of_draws`` (largest less
        smallest), ``differing_codes`` of two samples of a class, ``background`` (share of
        the commonest code). The same of held-out images: ``agreement_of_images``, ``agreement_of_reconstructions``,
        ``differing_codes_of_images``, ``background_of_images``.
    """
    t = trained(seed, replace(setting, temperature=1.0))
    asked = torch.arange(setting.samples) % CLASSES
    draws = [drawn(t.prior, setting, asked, draw) for draw in range(setting.draws)]
    pictures = [decode_codes(t.model, maps) for maps in draws]
    of_draws = [100 * agreement(t.judge, each, asked) for each in pictures]
    return {
        **t.numbers,
        "nats_at_temperature": nats_at(t, setting.temperature),
        "agreement": fmean(of_draws),
        "agreement_of_draws": of_draws,
        "spread_of_draws": max(of_draws) - min(of_draws),
        "differing_codes": fmean(differing(maps, asked) for maps in draws),
        "background": float((torch.cat(draws) == t.commonest).double().mean()),
    }


def drawn(prior: GatedPixelCNN, setting: Setting, asked: Tensor, draw: int) -> Tensor:
    """Draw maps of the classes that are asked for, each draw from a generator of its own."""
    shape, generator = (len(asked), 7, 7), torch.Generator().manual_seed(1000 + draw)
    return sample(prior, shape, asked, temperature=setting.temperature, generator=generator)


def counted_nats(codes: CodeSet, held_out: CodeSet, num_codes: int, per_position: bool) -> float:
    """Return what held-out codes cost under counts."""
    counted = FrequencyPrior(codes.indices, num_codes, per_position)
    return float(nats_per_code(counted(held_out.indices), held_out.indices))


@torch.no_grad()
def nats_at(t: Trained, temperature: float) -> float:
    """Return what held-out codes cost if the logits are divided by a temperature."""
    indices, labels = t.held_out.indices, t.held_out.labels
    t.prior.eval()
    return float(nats_per_code(t.prior(indices, labels) / temperature, indices))


def differing(maps: Tensor, classes: Tensor) -> float:
    """Return in how many codes two maps of one class differ on average, each with the next of its class."""
    own = [maps[classes == c] for c in range(CLASSES)]
    return float(torch.cat([(each[1:] != each[:-1]).sum(dim=(1, 2)).float() for each in own]).mean())
