"""Does a prior that looks back win back what a wide view of the encoder costs, and is the wide view better at drawing?

VQ-VAEs whose latents see 6 x 6 or 18 x 18 pixels, and three priors over their indices, on MNIST (pages 9 and 11).
"""

from dataclasses import dataclass
from math import log

import torch

from experiments.training import split, trained_vqvae
from vqvae_course.data import Batches, CodeSet, encode_dataset
from vqvae_course.evaluate import evaluate_prior, evaluate_vqvae
from vqvae_course.metrics import data_variance, nats_per_code
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.prior import FrequencyPrior
from vqvae_course.runtime import seed_everything
from vqvae_course.train import TrainConfig, fit, prior_step
from vqvae_course.vqvae import VQVAEConfig


@dataclass(frozen=True)
class Setting:
    """What is trained.

    Attributes:
        patches: Whether the encoder sees little more than a latent's own patch of the image.
        stage_1_updates: Of 32 images.
        prior_updates: Of 32 maps.
        num_codes: K.
        hidden: Channels of the VQ-VAE.
        prior_hidden: Channels of the prior, which has four layers and no classes.
        encoded: Training images whose maps the priors learn from.
        held_out: Images to score on.
        dataset: Name for ``load_images``.
    """

    patches: bool = True
    stage_1_updates: int = 600
    prior_updates: int = 400
    num_codes: int = 128
    hidden: int = 32
    prior_hidden: int = 16
    encoded: int = 20_000
    held_out: int = 2000
    dataset: str = "mnist"


SETTINGS = {"narrow view": Setting(), "wide view": Setting(patches=False)}
SEEDS = range(5)
SMOKE = Setting(
    stage_1_updates=2, prior_updates=2, num_codes=8, hidden=8, prior_hidden=4, held_out=20, dataset="glyphs"
)


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Train a VQ-VAE and three priors.

    Returns:
        Of stage 1 on held-out images: ``normalized_mse``, ``perplexity``, and ``background``, the share of the
        commonest index. Nats per code of held-out maps: ``unigram``, ``per_position`` and ``pixelcnn``; what the place
        saves (``saved_by_place``) and what looking back saves beyond it (``saved_by_looking_back``);
        ``bits_per_image`` under the PixelCNN.
    """
    s = setting
    train, images = split(s.dataset, s.held_out)
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
    model = trained_vqvae(config, train, plan, seed, kmeans_images=512)
    seen, unseen = (encode_dataset(model, part) for part in (train.take(slice(s.encoded)), images))

    generator = seed_everything(seed)
    prior = GatedPixelCNN(GatedPixelCNNConfig(s.num_codes, s.prior_hidden, 4, 3, first_kernel_size=3))
    plan = TrainConfig(steps=s.prior_updates, lr=0.008, weight_decay=0.01, clip=1.0, progress=False)
    fit(prior, Batches(seen, 32, generator), prior_step, plan)

    scores, pixelcnn = evaluate_vqvae(model, images), evaluate_prior(prior, unseen)
    unigram, per_position = (counted_nats(seen, unseen, s.num_codes, each) for each in (False, True))
    return {
        "normalized_mse": scores.normalized_mse,
        "perplexity": scores.perplexity,
        "background": float(torch.bincount(unseen.indices.flatten()).max() / unseen.indices.numel()),
        "unigram": unigram,
        "per_position": per_position,
        "pixelcnn": pixelcnn,
        "saved_by_place": unigram - per_position,
        "saved_by_looking_back": per_position - pixelcnn,
        "bits_per_image": pixelcnn * unseen.indices[0].numel() / log(2),
    }


def counted_nats(seen: CodeSet, unseen: CodeSet, num_codes: int, per_position: bool) -> float:
    """Return what unseen maps cost under counts."""
    counted = FrequencyPrior(seen.indices, num_codes, per_position)
    return float(nats_per_code(counted(unseen.indices), unseen.indices))
