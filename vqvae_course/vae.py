"""The variational autoencoder: the continuous model that a VQ-VAE is compared with."""

from dataclasses import dataclass
from math import log, pi
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqvae_course.configs import at_least, check_layers
from vqvae_course.encdec import Decoder, Encoder, halvings
from vqvae_course.runtime import eval_mode


def kl_gauss(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return the KL divergence of a diagonal Gaussian from the standard normal, in nats.

    Auto-Encoding Variational Bayes (arXiv:1312.6114v11), appendix B:

        KL(N(mu, sigma^2) || N(0, 1)) = 1/2 sum_j (mu_j^2 + sigma_j^2 - log sigma_j^2 - 1)

    Args:
        mu: (..., L) means.
        logvar: (..., L), the logarithm of the variances sigma^2, not of the standard deviations.

    Returns:
        (...): summed over the last axis, the dimensions of one latent.

    Raises:
        ValueError: If the shapes differ.

    Explained in notebook 01.
    """
    if mu.shape != logvar.shape:
        raise ValueError(f"logvar must have the shape of mu, {tuple(mu.shape)}, got {tuple(logvar.shape)}")
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum(dim=-1)


@dataclass(frozen=True)
class VAEConfig:
    """Everything that defines a VAE; ``VAE(config)`` rebuilds it.

    Attributes:
        in_channels: Channels of the image.
        height: H, rows of the image.
        width: W, columns of the image.
        hidden: Channels of the encoder's and decoder's feature maps.
        residual_layers: Residual layers on each side.
        residual_hidden: Channels inside a residual layer.
        latent_dim: L, numbers in the latent vector of one image.
        downsample: Total stride between image and feature map, a power of two.
        pixel_variance: sigma^2 of the Gaussian likelihood of a pixel on [0, 1]. The smaller, the
            more an error costs, and the more nats the latent is worth.
    """

    in_channels: int = 1
    height: int = 28
    width: int = 28
    hidden: int = 64
    residual_layers: int = 0
    residual_hidden: int = 32
    latent_dim: int = 16
    downsample: int = 4
    pixel_variance: float = 0.05

    def __post_init__(self):
        check_layers(self)
        at_least(1, self, "height", "width", "latent_dim")
        if not self.pixel_variance > 0:
            raise ValueError(f"pixel_variance must be positive, got {self.pixel_variance}")
        halvings(self.downsample)
        for name in ("height", "width"):
            side = getattr(self, name)
            if side % self.downsample:
                raise ValueError(f"{name} must be a multiple of downsample = {self.downsample}, got {side}")


class VAEOutput(NamedTuple):
    """What ``VAE.forward`` returns.

    Attributes:
        x_hat: (B, C, H, W), the mean of the likelihood; not clipped to [0, 1].
        mu: (B, L), mean of the posterior.
        logvar: (B, L), logarithm of its variances.
        loss: Scalar, the negative ELBO in nats an image: ``recon_nats + kl_nats``.
        recon_nats: Scalar, ``-log p(x | z)`` with its constant, averaged over the batch.
        kl_nats: Scalar, ``KL(q(z | x) || p(z))`` averaged over the batch.
    """

    x_hat: Tensor
    mu: Tensor
    logvar: Tensor
    loss: Tensor
    recon_nats: Tensor
    kl_nats: Tensor


class VAE(nn.Module):
    """Compress an image into a vector of Gaussian random variables and back.

    Auto-Encoding Variational Bayes (arXiv:1312.6114v11), eqs. 3 and 10, with one sample of z:

        -ELBO = -log p(x | z) + KL(q(z | x) || p(z))      z = mu(x) + sigma(x) eps,  eps ~ N(0, 1)

    with p(z) = N(0, I) and p(x | z) = N(x_hat(z), pixel_variance I). In eval mode z is the mean mu.

    Args:
        config: A ``VAEConfig``.

    Explained in notebook 01.
    """

    def __init__(self, config: VAEConfig):
        super().__init__()
        self.config = config
        c = config
        self.map_shape = (c.hidden, c.height // c.downsample, c.width // c.downsample)
        features = self.map_shape[0] * self.map_shape[1] * self.map_shape[2]
        self.encoder = Encoder(c.in_channels, c.hidden, c.residual_layers, c.residual_hidden, c.downsample)
        self.to_posterior = nn.Linear(features, 2 * c.latent_dim)
        self.from_latent = nn.Linear(c.latent_dim, features)
        self.decoder = Decoder(c.hidden, c.hidden, c.residual_layers, c.residual_hidden, c.downsample, c.in_channels)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior's ``mu`` and ``logvar``, with gradients: (B, C, H, W) in [0, 1] -> (B, L), (B, L).

        Raises:
            ValueError: If ``x`` is not (B, C, H, W) floats of the config's size.
        """
        c = self.config
        if x.ndim != 4 or x.shape[1:] != (c.in_channels, c.height, c.width) or not x.is_floating_point():
            raise ValueError(
                f"x must be (B, {c.in_channels}, {c.height}, {c.width}) float in [0, 1], got {tuple(x.shape)} {x.dtype}"
            )
        mu, logvar = self.to_posterior(self.encoder(x).flatten(1)).chunk(2, dim=1)
        return mu, logvar

    def image(self, z: Tensor) -> Tensor:
        """Return the mean of the likelihood of latent vectors, with gradients: (B, L) -> (B, C, H, W)."""
        return self.decoder(self.from_latent(z).view(-1, *self.map_shape))

    @torch.no_grad()
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior's ``mu`` and ``logvar``, in eval mode: (B, C, H, W) in [0, 1] -> (B, L), (B, L)."""
        with eval_mode(self):
            return self.posterior(x)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Return the images of latent vectors, in eval mode: (B, L) -> (B, C, H, W)."""
        with eval_mode(self):
            return self.image(z)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> VAEOutput:
        """Encode, draw a latent and decode.

        Args:
            x: (B, C, H, W) in [0, 1].
            generator: Where the noise comes from; the global one if None.

        Returns:
            A ``VAEOutput``.
        """
        mu, logvar = self.posterior(x)
        z = mu
        if self.training:
            noise = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
            z = mu + (0.5 * logvar).exp() * noise
        x_hat = self.image(z)
        variance, pixels = self.config.pixel_variance, x[0].numel()
        squared_error = (x_hat - x).square().flatten(1).sum(dim=1).mean()
        recon_nats = squared_error / (2 * variance) + 0.5 * pixels * log(2 * pi * variance)
        kl_nats = kl_gauss(mu, logvar).mean()
        return VAEOutput(x_hat, mu, logvar, recon_nats + kl_nats, recon_nats, kl_nats)
