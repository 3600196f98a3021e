"""Measure a trained model on a whole data set."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqvae_course.classifier import Classifier
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
    mse, (indices,) = _reconstruct(model, data, batch_size)
    num_codes = model.config.num_codes
    return VQVAEScores(
        mse,
        mse / model.config.data_variance,
        _decibels(mse),
        float(perplexity(indices, num_codes)),
        codebook_usage(indices, num_codes),
    )


class VQVAE2Scores(NamedTuple):
    """How good a VQ-VAE-2 is on a data set.

    Attributes:
        mse: Mean squared error per sub-pixel, images in [0, 1].
        normalized_mse: The same divided by the training data's variance.
        psnr: Decibels, from ``mse``.
        perplexity: Effective number of codes of each level, top first, over all index maps together.
        codes_used: Codes of each level that appear at least once, top first.
    """

    mse: float
    normalized_mse: float
    psnr: float
    perplexity: tuple[float, ...]
    codes_used: tuple[int, ...]


@torch.no_grad()
def evaluate_vqvae2(model: nn.Module, data: ImageSet, batch_size: int = 500) -> VQVAE2Scores:
    """Measure reconstruction and the use of each codebook over a whole data set, in eval mode.

    Args:
        model: A ``VQVAE2``.
        data: Images it was not trained on.
        batch_size: Images at a time; the scores do not depend on it.

    Returns:
        The ``VQVAE2Scores``.

    Explained in notebook 12.
    """
    mse, levels = _reconstruct(model, data, batch_size)
    sizes = model.config.num_codes
    return VQVAE2Scores(
        mse,
        mse / model.config.data_variance,
        _decibels(mse),
        tuple(float(perplexity(indices, k)) for indices, k in zip(levels, sizes, strict=True)),
        tuple(codebook_usage(indices, k) for indices, k in zip(levels, sizes, strict=True)),
    )


def _reconstruct(model: nn.Module, data: ImageSet, batch_size: int) -> tuple[float, list[Tensor]]:
    """Return the mean squared error over a data set, and all index maps of each level."""
    device = device_of(model)
    squared_error, parts = 0.0, []
    with eval_mode(model):
        for images in data.images.split(batch_size):
            x = as_float(images.to(device))
            output = model(x)
            squared_error += float((output.x_hat.float() - x).square().sum(dtype=torch.float64))
            levels = [output.indices] if isinstance(output.indices, Tensor) else output.indices
            parts.append([indices.cpu() for indices in levels])
    return squared_error / data.images.numel(), [torch.cat(level) for level in zip(*parts, strict=True)]


def _decibels(mse: float) -> float:
    return float(psnr(torch.zeros(1), torch.full((1,), mse**0.5)))


@torch.no_grad()
def evaluate_prior(prior: nn.Module, data: CodeSet, batch_size: int = 500) -> float:
    """Return the mean nats per code of a prior over a whole set of index maps, in eval mode.

    Args:
        prior: A prior, with classes or without; with a condition, given the levels above.
        data: Index maps it was not trained on.
        batch_size: Maps at a time; the result does not depend on it.

    Explained in notebook 09.
    """
    device = device_of(prior)
    nats = 0.0
    with eval_mode(prior):
        for rows in torch.arange(len(data.indices)).split(batch_size):
            indices, labels = data.indices[rows].to(device), data.labels[rows].to(device)
            above = tuple(maps[rows].to(device) for maps in data.above)
            logits = prior(indices, labels if prior.num_classes is not None else None, prior.condition_from(above))
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


class Judged(NamedTuple):
    """What a classifier sees in images.

    Attributes:
        features: (N, F) float32 on the CPU, what its last layer reads.
        probabilities: (N, classes) float32 on the CPU.
    """

    features: Tensor
    probabilities: Tensor


@torch.no_grad()
def judge(classifier: Classifier, images: Tensor, batch_size: int = 500) -> Judged:
    """Return the features and the class probabilities of images, in eval mode.

    Args:
        classifier: A trained ``Classifier``.
        images: (N, C, H, W), float in [0, 1] or uint8.
        batch_size: Images at a time; the result does not depend on it.

    Returns:
        The ``Judged``, for ``fidelity``.

    Explained in notebook 13.
    """
    device = device_of(classifier)
    features, probabilities = [], []
    with eval_mode(classifier):
        for part in images.split(batch_size):
            seen = classifier.features(as_float(part.to(device)))
            features.append(seen.float().cpu())
            probabilities.append(classifier[-1](seen).float().softmax(dim=1).cpu())
    return Judged(torch.cat(features), torch.cat(probabilities))
