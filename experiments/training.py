"""What the experiments share: images to train and to score on, and a VQ-VAE trained on them."""

from functools import cache
from typing import NamedTuple

import torch
from torch import nn

from vqvae_course.data import Batches, ImageSet, as_float, data_root, load_images
from vqvae_course.runtime import seed_everything
from vqvae_course.train import TrainConfig, fit, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig


class Split(NamedTuple):
    """Images of a training set, divided: no experiment looks at a test set.

    Attributes:
        train: To train on.
        validation: To score on, and to choose settings by.
    """

    train: ImageSet
    validation: ImageSet


def split(dataset: str, held_out: int) -> Split:
    """Divide a training set; ``validation`` is its first ``held_out`` images, as on the pages.

    Args:
        dataset: Name for ``load_images``; the folder is ``VQVAE_COURSE_DATA``.
        held_out: Images to score on.
    """
    every = loaded(dataset)
    return Split(every.take(slice(held_out, None)), every.take(slice(0, held_out)))


@cache
def loaded(dataset: str) -> ImageSet:
    """Load a training set, once a process: sixty thousand small files take longer than many a training.

    Args:
        dataset: Name for ``load_images``, or that of a folder in ``VQVAE_COURSE_DATA``, such as ``cifar10_jpeg``.
    """
    folder = data_root() / dataset
    return load_images(f"folder:{folder}" if dataset.endswith("_jpeg") else dataset)


def trained_vqvae(
    config: VQVAEConfig,
    train: ImageSet,
    plan: TrainConfig,
    seed: int,
    batch_size: int = 32,
    kmeans_images: int = 0,
    scale: float | None = None,
) -> VQVAE:
    """Train a VQ-VAE from a seed, on the CPU.

    Args:
        config: Of the model.
        train: Images to train on.
        plan: How long, and how fast.
        seed: Of the weights, the codebook and the order of the images.
        batch_size: Images per update.
        kmeans_images: Images for a k-means start of the codebook; 0 keeps the random one.
        scale: What the first codes are multiplied by, if given.

    Returns:
        The trained model.
    """
    generator = seed_everything(seed)
    model = VQVAE(config)
    if kmeans_images:
        model.init_codebook(as_float(train.images[:kmeans_images]), generator)
    if scale is not None:
        scale_codes(model, scale)
    fit(model, Batches(train, batch_size, generator), vqvae_step, plan)
    return model


def scale_codes(model: VQVAE, scale: float) -> None:
    """Multiply the codes of an untrained model, with the statistics of an EMA codebook."""
    model.quantizer.reset_codes(slice(None), scale * model.quantizer.codebook.detach())


@torch.no_grad()
def centred_start(model: VQVAE, exactly: bool = False) -> VQVAE:
    """Draw the weights of a model as the authors' examples do, and centre the pixels by biases, as on page 8.

    Args:
        model: Untrained.
        exactly: Count the channels that go out of a transposed convolution, as the examples do, not those that come in.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            flip = isinstance(layer, nn.ConvTranspose2d) and not exactly
            std = (layer.weight[:, 0] if flip else layer.weight[0]).numel() ** -0.5
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            layer.bias.zero_()
    first, last = model.encoder[0], model.decoder[-1]
    first.bias -= 0.5 * first.weight.sum(dim=(1, 2, 3))
    last.bias += 0.5
    return model
