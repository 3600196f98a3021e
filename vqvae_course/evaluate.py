"""Measure a trained model on a whole data set."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqvae_course.data import CodeSet, ImageSet, as_float
from vqvae_course.metrics import codebook_usage, nats_per_code, perplexity, psnr
from vqvae_course.runtime import device_of, eval_mode


class VQVAEScores(NamedTuple):
    """How good a VQ-VAE is on a data set.

    Attributes:
        mse: Mean squared error per sub-pixel, images in [0, 1].
        normalized_mse: The same divided by the training data's variance.
        psnr: Decibels, from ``mse``.
        perplexity: Effective number of codes, over all index maps together.
        codes_used: Codes that appear at least once.
    """

    mse: float
    normalized_mse: float
    psnr: float
    perplexity: float
    codes_used: int


@torch.no_grad()
def evaluate_vqvae(model: nn.Module, data: ImageSet, batch_size: int = 500) -> VQVAEScores:
    """Measure reconstruction and codebook use over a whole data set, in eval mode.

    Args:
        model: A ``VQVAE``.
        data: Images it was not trained on.
        batch_size: Images at a time; the scores do not depend on it.

    Returns:
        The ``VQVAEScores``.

    Explained in notebook 05.
    """
    device = device_of(model)
    squared_error, maps = 0.0, []
    with eval_mode(model):
        for part in data.images.split(batch_size):
            x = as_float(part.to(device))
            output = model(x)
            squared_error += float((output.x_hat.float() - x).square().sum(dtype=torch.float64))
            maps.append(output.indices.cpu())
    indices, num_codes = torch.cat(maps), model.config.num_codes
    mse = squared_error / data.images.numel()
    return VQVAEScores(
        mse,
        mse / model.config.data_variance,
        float(psnr(torch.zeros(1), torch.full((1,), mse**0.5))),
        float(perplexity(indices, num_codes)),
        codebook_usage(indices, num_codes),
    )


@torch.no_grad()
def evaluate_prior(prior: nn.Module, data: CodeSet, batch_size: int = 500) -> float:
    """Return the mean nats per code of a prior over a whole set of index maps, in eval mode.

    Args:
        prior: A prior, with classes or without.
        data: Index maps it was not trained on.
        batch_size: Maps at a time; the result does not depend on it.

    Explained in notebook 09.
    """
    device = device_of(prior)
    nats = 0.0
    with eval_mode(prior):
        for indices, labels in zip(data.indices.split(batch_size), data.labels.split(batch_size), strict=True):
            indices, labels = indices.to(device), labels.to(device)
            logits = prior(indices, labels if prior.num_classes is not None else None)
            nats += float(nats_per_code(logits, indices)) * len(indices)
    return nats / len(data.indices)


@torch.no_grad()
def agreement(classifier: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 500) -> float:
    """Return the fraction of images that a classifier gives the label they should have.

    Args:
        classifier: Maps (B, C, H, W) in [0, 1] to (B, classes) logits.
        images: (N, C, H, W), float in [0, 1] or uint8.
        labels: (N,) int64, what each image should show.
        batch_size: Images at a time.

    Returns:
        A number in [0, 1]: accuracy for real images; for samples, how often an image shows the
        class it was asked for.

    Explained in notebook 11.
    """
    device = device_of(classifier)
    hits = 0
    with eval_mode(classifier):
        for part, want in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            hits += int((classifier(as_float(part.to(device))).argmax(dim=1) == want.to(device)).sum())
    return hits / len(images)
