"""How many nats does a VAE pay, and for how many dimensions, as the variance of a pixel in its likelihood grows?

The VAE of page 1 on MNIST, beside what a linear VAE would pay for the principal components of the same images.
"""

from dataclasses import dataclass
from math import log2

import torch

from experiments.training import split
from vqvae_course.data import Batches, as_float
from vqvae_course.metrics import bits_per_dim
from vqvae_course.runtime import seed_everything
from vqvae_course.train import TrainConfig, fit, vae_step
from vqvae_course.vae import VAE, VAEConfig, kl_gauss


@dataclass(frozen=True)
class Setting:
    """What one training is made of.

    Attributes:
        pixel_variance: Of the likelihood.
        updates: Of 32 images; the learning rate goes through one cycle in them.
        latent_dim: Latent numbers per image.
        hidden: Channels of the network.
        held_out: Images to score on.
        dataset: Name for ``load_images``.
    """

    pixel_variance: float
    updates: int = 300
    latent_dim: int = 32
    hidden: int = 16
    held_out: int = 500
    dataset: str = "mnist"


SETTINGS = {
    "0.02": Setting(0.02),
    "0.5 (sum)": Setting(0.5),
    "392 (mean)": Setting(392.0),
}
SEEDS = range(5)
SMOKE = Setting(0.5, updates=2, latent_dim=4, hidden=8, held_out=20, dataset="glyphs")


def run(seed: int, setting: Setting) -> dict[str, float | list]:
    """Train once and measure on held-out images, with latents drawn from the posterior.

    Returns:
        ``rate`` in nats per image, ``active`` dimensions (more than 0.05 nats on average), ``mse``, ``bits`` per
        dimension of the whole bound, ``linear_rate`` that a linear VAE would pay, their difference ``over_linear``, and
        ``per_dimension``, the nats of each dimension, most expensive first.
    """
    train, validation = split(setting.dataset, setting.held_out)
    generator = seed_everything(seed)
    config = VAEConfig(hidden=setting.hidden, latent_dim=setting.latent_dim, pixel_variance=setting.pixel_variance)
    model = VAE(config)
    plan = TrainConfig(steps=setting.updates, lr=4e-3, log_every=setting.updates, progress=False)
    fit(model, Batches(train, 32, generator), vae_step, plan)
    x = as_float(validation.images)
    with torch.no_grad():
        output = model.train()(x)  # train mode draws z, as the bound demands
    kl = kl_gauss(output.mu[..., None], output.logvar[..., None]).mean(dim=0).sort(descending=True).values
    pixels = as_float(train.images[:4000]).flatten(1)
    components = torch.linalg.eigvalsh(torch.cov(pixels.T)).flip(0)[: setting.latent_dim]
    linear = float(0.5 * (components / setting.pixel_variance).log().clamp(min=0).sum())
    return {
        "rate": float(kl.sum()),
        "active": int((kl > 0.05).sum()),
        "mse": float((output.x_hat - x).square().mean()),
        "bits": bits_per_dim(float(output.loss), x[0].numel()) + log2(255),
        "linear_rate": linear,
        "over_linear": float(kl.sum()) - linear,
        "per_dimension": kl.tolist(),
    }
