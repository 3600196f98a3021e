"""Numbers that say how good a model is; each name carries its unit."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vqvae_course.indices import check_indices, count_indices


def data_variance(images: Tensor) -> float:
    """Return the variance of all pixels of a data set, on the range [0, 1].

    Squared errors divided by it are 1 for a model that always answers the mean grey.

    Args:
        images: (N, C, H, W) uint8 in [0, 255], or float in [0, 1].

    Returns:
        One number for the whole set: 0.0949 for MNIST's training images.

    Raises:
        ValueError: If there is no image.

    Explained in notebook 05.
    """
    if images.numel() == 0:
        raise ValueError(f"images must hold at least one pixel, got shape {tuple(images.shape)}")
    if images.dtype == torch.uint8:  # from a histogram: exact, and no float copy of the set
        count = torch.bincount(images.flatten(), minlength=256).double()
        level = torch.arange(256, dtype=torch.float64, device=images.device) / 255
        mean = (count * level).sum() / count.sum()
        return float((count * (level - mean).square()).sum() / count.sum())
    return float(images.double().var(correction=0))


def normalized_mse(x: Tensor, x_hat: Tensor, variance: float) -> Tensor:
    """Return the mean squared error in units of the data's variance.

    Up to a constant this is the negative log-likelihood per pixel of a Gaussian whose variance is
    half of the data's. Without a unit, comparable between data sets; 1 is what the mean image gets.

    Args:
        x: (B, C, H, W), images in [0, 1].
        x_hat: Reconstructions, the shape of ``x``.
        variance: Variance of the whole training set on the same range.

    Returns:
        A scalar.

    Raises:
        ValueError: If the shapes differ or ``variance`` is not positive.

    Explained in notebook 05.
    """
    if x.shape != x_hat.shape:
        raise ValueError(f"x_hat must have the shape of x, {tuple(x.shape)}, got {tuple(x_hat.shape)}")
    if not variance > 0:
        raise ValueError(f"variance must be positive, got {variance}")
    return F.mse_loss(x_hat.float(), x.float()) / variance


def psnr(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in decibels, ``-10 log10 MSE`` for pixels in [0, 1].

    Args:
        x: (B, C, H, W), images in [0, 1].
        x_hat: Reconstructions, the shape of ``x``.

    Returns:
        A scalar in dB; infinite where the two are equal.

    Explained in notebook 08.
    """
    return -10 * normalized_mse(x, x_hat, 1.0).log10()


def ssim(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return the structural similarity of images, averaged over places, channels and images.

    Wang, Bovik, Sheikh and Simoncelli (2004), eq. 13, in a Gaussian window of 11x11 with a standard
    deviation of 1.5 pixels, C1 = 0.01^2 and C2 = 0.03^2 for pixels in [0, 1]:

        SSIM = (2 mu_x mu_y + C1) (2 sigma_xy + C2) / ((mu_x^2 + mu_y^2 + C1) (sigma_x^2 + sigma_y^2 + C2))

    Only windows that lie wholly inside the image count, and colour channels are compared one by one.

    Args:
        x: (B, C, H, W), images in [0, 1], at least 11x11.
        x_hat: Reconstructions, the shape of ``x``.

    Returns:
        A scalar, at most 1, which only equal images reach.

    Raises:
        ValueError: If the shapes differ or the images are smaller than the window.

    Explained in notebook 08.
    """
    if x.shape != x_hat.shape:
        raise ValueError(f"x_hat must have the shape of x, {tuple(x.shape)}, got {tuple(x_hat.shape)}")
    if min(x.shape[2:]) < 11:
        raise ValueError(f"x must be at least 11x11 pixels, got {tuple(x.shape)}")
    planes = torch.stack([x, x_hat]).float().flatten(0, 2)[:, None]  # (2 B C, 1, H, W)
    offset = torch.arange(-5, 6, device=x.device, dtype=torch.float32)
    bell = (-offset.square() / (2 * 1.5**2)).exp()
    bell = bell / bell.sum()
    window = (bell[:, None] * bell).view(1, 1, 11, 11)
    mean_x, mean_y = F.conv2d(planes, window).chunk(2)
    square_x, square_y = F.conv2d(planes.square(), window).chunk(2)
    first, second = planes.chunk(2)
    variance_x, variance_y = square_x - mean_x.square(), square_y - mean_y.square()
    covariance = F.conv2d(first * second, window) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    brightness = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (brightness * structure).mean()


def code_counts(indices: Tensor, num_codes: int) -> Tensor:
    """Count how often each code was chosen.

    Args:
        indices: Integers in [0, K), any shape: one batch, or a whole data set.
        num_codes: K.

    Returns:
        (K,) int64.

    Raises:
        ValueError: If an index lies outside [0, K).

    Explained in notebook 07.
    """
    check_indices(indices, num_codes)
    return count_indices(indices, num_codes)


def perplexity(indices: Tensor, num_codes: int) -> Tensor:
    """Return the effective number of codes in use: ``exp(H)`` with ``H = -sum_k p_k log p_k`` in nats.

    Args:
        indices: Integers in [0, K), any shape; give all of them, not a mean over batches.
        num_codes: K.

    Returns:
        A scalar between 1 (one code does everything) and K (all equally often).

    Raises:
        ValueError: If there is no index, or one lies outside [0, K).

    Explained in notebook 07.
    """
    if indices.numel() == 0:
        raise ValueError("indices must hold at least one index, got none")
    return perplexity_of_counts(code_counts(indices, num_codes))


def perplexity_of_counts(count: Tensor) -> Tensor:
    """Return the effective number of codes in use; see ``perplexity``.

    Args:
        count: (K,) int64, how often each code was chosen; not all 0.

    Returns:
        A scalar between 1 and K.

    Explained in notebook 07.
    """
    exact = torch.float32 if count.device.type == "mps" else torch.float64  # MPS has no float64
    p = count.to(exact) / count.sum()
    return torch.special.entr(p).sum().exp().float()  # entr is -p log p with 0 log 0 = 0


def codebook_usage(indices: Tensor, num_codes: int) -> int:
    """Return how many of the K codes appear at all.

    Args:
        indices: Integers in [0, K), any shape.
        num_codes: K.

    Explained in notebook 07.
    """
    return int((code_counts(indices, num_codes) > 0).sum())


def latent_bits(height: int, width: int, num_codes: int) -> float:
    """Return the bits that an index map costs without a prior: ``h w log2 K``. D plays no part.

    Args:
        height: h, rows of the index map.
        width: w, columns of the index map.
        num_codes: K.

    Explained in notebook 08.
    """
    return height * width * math.log2(num_codes)


def compression_ratio(shape: Sequence[int], latent: Sequence[int], num_codes: int, bits: int = 8) -> float:
    """Return how many times fewer bits the index map takes than the raw image.

    Args:
        shape: (C, H, W) of the image.
        latent: (D, h, w) of the encoder's output; D plays no part.
        num_codes: K.
        bits: Bits per sub-pixel of the raw image.

    Returns:
        ``C H W bits / (h w log2 K)``; infinite for K = 1, which says nothing and costs nothing.

    Explained in notebook 02.
    """
    _, height, width = latent
    coded = latent_bits(height, width, num_codes)
    return math.prod(shape) * bits / coded if coded else math.inf


def hierarchy_ratio(shape: Sequence[int], levels: Sequence[tuple[int, int, int]], bits: int = 8) -> float:
    """Return how many times fewer bits the index maps of all levels take together than the raw image.

    VQ-VAE-2 (arXiv:1906.00446v1), section 3: 34 times fewer for 256x256 pixels as 32x32 + 64x64 indices of K = 512.

    Args:
        shape: (C, H, W) of the image.
        levels: (h, w, K) of each level.
        bits: Bits per sub-pixel of the raw image.

    Returns:
        ``C H W bits / sum_l (h_l w_l log2 K_l)``; infinite where every K is 1.

    Explained in notebook 12.
    """
    coded = sum(latent_bits(*level) for level in levels)
    return math.prod(shape) * bits / coded if coded else math.inf


def pareto_front(points: Tensor) -> Tensor:
    """Find the settings that no other one beats, for example of (bits, error) pairs.

    A point is dominated if another one is at least as good in every number and better in one.

    Args:
        points: (N, M), one row a setting; in every column less is better.

    Returns:
        (F,) int64, the rows that are not dominated, by rising first column.

    Raises:
        ValueError: If ``points`` is not two-dimensional or holds NaN.

    Explained in notebook 08.
    """
    if points.ndim != 2 or bool(points.isnan().any()):
        raise ValueError(f"points must be (N, M) numbers without NaN, got shape {tuple(points.shape)}")
    no_worse = (points[:, None] <= points).all(dim=2)  # (N, N): row i is at least as good as row j everywhere
    better = (points[:, None] < points).any(dim=2)
    kept = (~(no_worse & better).any(dim=0)).nonzero().flatten()
    return kept[points[kept, 0].argsort(stable=True)]


def kl_categorical(q: Tensor, p: Tensor) -> Tensor:
    """Return the KL divergence of one categorical distribution from another, in nats.

        KL(q || p) = sum_k q_k log(q_k / p_k)       0 log 0 = 0, and infinite where q_k > 0 = p_k

    For a one-hot q and a uniform p this is log K (VQ-VAE, arXiv:1711.00937v2, section 3.1).

    Args:
        q: (..., K) probabilities.
        p: Probabilities that broadcast against ``q``.

    Returns:
        (...): summed over the last axis, the outcomes.

    Raises:
        ValueError: If the numbers of outcomes differ.

    Explained in notebook 01.
    """
    if q.shape[-1] != p.shape[-1]:
        raise ValueError(f"p must have as many outcomes as q, {q.shape[-1]}, got {p.shape[-1]}")
    return (torch.special.xlogy(q, q) - torch.special.xlogy(q, p)).sum(dim=-1)


def nats_per_code(logits: Tensor, indices: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the indices under a prior.

    Args:
        logits: (B, K, h, w), unnormalised log-probabilities; a softmax beforehand would be counted twice.
        indices: (B, h, w) int64.

    Returns:
        A scalar in nats; log K is what knowing nothing costs.

    Explained in notebook 11.
    """
    return F.cross_entropy(logits.float(), indices)


def nats_per_image(nats_per_code: Sequence[float], shapes: Sequence[tuple[int, int]]) -> float:
    """Return the negative log-likelihood of all levels of a hierarchy together, in nats per image.

    By the chain rule the levels' surprises add up, each level's being a mean over its h w positions:

        -log p(top, bottom) = -log p(top) - log p(bottom | top) = sum_l h_l w_l nats_l

    So a nat on a large map weighs more than one on a small map, and a mean over levels means nothing.

    Args:
        nats_per_code: Nats per code of each level, given the levels above it.
        shapes: (h, w) of each level's map, in the same order.

    Raises:
        ValueError: If there are no levels, or not as many shapes as levels.

    Explained in notebook 13.
    """
    if len(nats_per_code) == 0 or len(nats_per_code) != len(shapes):
        raise ValueError(
            f"shapes must be one (h, w) for each of the levels in nats_per_code, got {len(shapes)} and "
            f"{len(nats_per_code)}"
        )
    return math.fsum(h * w * float(nats) for nats, (h, w) in zip(nats_per_code, shapes, strict=True))


def bits_per_dim(nll_nats: float | Tensor, num_dims: int) -> float | Tensor:
    """Convert nats per image to bits per dimension.

    Args:
        nll_nats: Negative log-likelihood of one whole image in nats.
        num_dims: Number of sub-pixels, C * H * W.

    Explained in notebook 01.
    """
    return nll_nats / (num_dims * math.log(2))
