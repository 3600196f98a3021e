"""Named settings for ``train --preset``: those of public scripts, and the course's own."""

from collections.abc import Callable
from pathlib import Path

import torch

from vqvae_course.cli.options import TrainVQVAE, TrainVQVAE2, VQVAE2Options, VQVAEOptions, quick_training

# What public scripts train with, by their defaults: a constant learning rate, Adam with its own betas (AdamW
# without weight decay is Adam), a codebook that learns by gradient and starts in [-1/K, 1/K].
CLASSIC_ADAM = {"schedule": "constant", "betas": (0.9, 0.999)}


def quick(device: torch.device) -> TrainVQVAE:
    """Seconds on a laptop: the network of notebook 0, a little smaller."""
    network = VQVAEOptions(
        hidden=32,
        residual_layers=0,
        num_codes=128,
        code_dim=16,
        decay=0.95,
        normalize_latents=True,
        patches=True,
    )
    return TrainVQVAE(
        preset="quick", network=network, training=quick_training(device, steps=1000, lr=0.016, log_every=50)
    )


def mnist_classic(device: torch.device) -> TrainVQVAE:
    """MNIST with K = 512, D = 40, batches of 128, ten epochs, learning rate 2e-4, beta 1."""
    return TrainVQVAE(
        preset="mnist-classic",
        data="mnist",
        out=Path("runs/mnist-classic"),
        batch_size=128,
        epochs=10,
        codebook="uniform",
        network=VQVAEOptions(num_codes=512, code_dim=40, beta=1.0, quantizer="gradient"),
        training=quick_training(device, lr=2e-4, **CLASSIC_ADAM),
    )


def cifar10_classic(device: torch.device) -> TrainVQVAE:
    """CIFAR-10 with 128 channels, K = 512, D = 64, beta 0.25, batches of 32, 5000 updates, learning rate 3e-4."""
    return TrainVQVAE(
        preset="cifar10-classic",
        data="cifar10",
        out=Path("runs/cifar10-classic"),
        codebook="uniform",
        network=VQVAEOptions(quantizer="gradient"),
        training=quick_training(device, steps=5000, lr=3e-4, **CLASSIC_ADAM),
    )


def cifar10(device: torch.device) -> TrainVQVAE:
    """The network of ``cifar10-classic`` with the course's quantizer: normalised latents, k-means, running means."""
    return TrainVQVAE(
        preset="cifar10",
        data="cifar10",
        out=Path("runs/cifar10"),
        network=VQVAEOptions(decay=0.98, normalize_latents=True, restart_below=0.1),
        training=quick_training(device, steps=2000, lr=5e-3, clip=1.0),
    )


def quick_hierarchy(device: torch.device) -> TrainVQVAE2:
    """A minute or two on a laptop: the two levels of notebook 13."""
    network = VQVAE2Options(
        hidden=32,
        residual_layers=1,
        residual_hidden=16,
        num_codes=(64, 64),
        code_dim=16,
        strides=(2, 2),
        decay=0.95,
        normalize_latents=True,
        restart_below=0.02,
        patches=True,
    )
    return TrainVQVAE2(
        preset="quick-hierarchy",
        data="scenes",
        out=Path("runs/scenes"),
        network=network,
        training=quick_training(device, steps=1000, lr=8e-3),
    )


def imagenet_256(device: torch.device) -> TrainVQVAE2:
    """VQ-VAE-2's two levels for 256x256 pixels; name the pictures with --data folder:PATH."""
    return TrainVQVAE2(
        preset="imagenet-256",
        data="folder:imagenet",
        size=256,
        out=Path("runs/imagenet-256"),
        batch_size=128,
        workers=8,
        network=VQVAE2Options(),
        training=quick_training(device, steps=250_000, lr=3e-4, **CLASSIC_ADAM),
    )


PRESETS: dict[str, Callable[[torch.device], TrainVQVAE]] = {
    "quick": quick,
    "mnist-classic": mnist_classic,
    "cifar10-classic": cifar10_classic,
    "cifar10": cifar10,
    "quick-hierarchy": quick_hierarchy,
    "imagenet-256": imagenet_256,
}
