"""How close samples are to real images, as numbers about features, and how to keep the better ones."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vqvae_course.indices import check_indices

NUMBERS_AT_ONCE = 2**22  # distances are computed in chunks of so many: memory stays, whatever N and M are
ROUNDING = 1e-12  # relative to the squares that a squared distance is the small difference of


class PrecisionRecall(NamedTuple):
    """How good and how varied a set of samples is.

    Attributes:
        precision: Fraction of the samples that look like real images.
        recall: Fraction of the real images that look like samples.
    """

    precision: float
    recall: float


class Nearest(NamedTuple):
    """The nearest reference of each query.

    Attributes:
        distance: (N,) float64.
        index: (N,) int64, a row of the references.
    """

    distance: Tensor
    index: Tensor


@torch.no_grad()
def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Return the Fréchet distance between two sets of features, each taken for a Gaussian.

    Dowson and Landau (1982), and Heusel et al. (arXiv:1706.08500), eq. 6, with the means mu and the
    covariances C of the two sets:

        d^2 = |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^{1/2})

    The last trace is the sum of the square roots of the eigenvalues of C_a C_b, which are those of
    the symmetric matrix C_a^{1/2} C_b C_a^{1/2}. All is done in float64, and covariances without
    full rank are no obstacle. Covariances are unbiased, divided by n - 1.

    This is the formula of FID and not FID, whose features are those of an Inception network trained
    on ImageNet. With the features of a small classifier of our own images the numbers have a scale
    of their own: compare them for one classifier and one number of samples only, since few samples
    raise the distance.

    Args:
        a: (N, F) features, one row an image; N at least 2.
        b: (M, F) features; M at least 2.

    Returns:
        d^2, in squared units of the features; 0 where means and covariances are equal.

    Raises:
        ValueError: If the shapes do not fit together, there are fewer than 2 rows, or a number is not
            finite.

    Explained in notebook 13.
    """
    _refuse_unequal("a", a, "b", b)
    for name, x in (("a", a), ("b", b)):
        if len(x) < 2:
            raise ValueError(f"{name} must have at least 2 rows to have a covariance, got {len(x)}")
    a, b = a.double(), b.double()
    gap = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    cov_a, cov_b = _covariance(a), _covariance(b)
    # With X = C_b^{1/2} C_a^{1/2}, X'X is that symmetric matrix, so the square roots of its eigenvalues are
    # the singular values of X: no small number is squared and rooted again.
    roots = torch.linalg.svdvals(_root(cov_b) @ _root(cov_a))
    return max(0.0, float(gap + cov_a.trace() + cov_b.trace() - 2 * roots.sum()))


def _covariance(x: Tensor) -> Tensor:
    x = x - x.mean(dim=0)
    return x.T @ x / (len(x) - 1)


def _root(matrix: Tensor) -> Tensor:
    """Return the symmetric square root of a covariance."""
    values, vectors = torch.linalg.eigh(matrix)
    # Eigenvalues that should be 0 come out as rounding errors of either sign; a root would make them large.
    noise = len(values) * torch.finfo(values.dtype).eps * values[-1]
    return vectors * values.where(values > noise, 0).sqrt() @ vectors.T


@torch.no_grad()
def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> PrecisionRecall:
    """Return which fraction of samples is like real images, and of real images like samples.

    Kynkäänniemi et al. (arXiv:1904.06991), eqs. 1 and 2. Around each feature of a set lies a ball that
    reaches to its k-th nearest neighbour in the set; the union of the balls stands for the
    distribution the set was drawn from:

        precision = fraction of fake features that lie in at least one ball of a real feature
        recall    = fraction of real features that lie in at least one ball of a fake feature

    A feature is no neighbour of itself, and the surface of a ball belongs to it. Chunks of rows keep
    the memory bounded; the numbers are exact.

    Args:
        real: (N, F) features of real images, N above k.
        fake: (M, F) features of samples, M above k; N and M should be about equal, since more features
            have smaller balls.
        k: Which neighbour a ball reaches to.

    Returns:
        The ``PrecisionRecall``, both in [0, 1].

    Raises:
        ValueError: If the shapes do not fit together, there are too few rows, or a number is not finite.

    Explained in notebook 13.
    """
    _refuse_unequal("real", real, "fake", fake)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    for name, x in (("real", real), ("fake", fake)):
        if len(x) <= k:
            raise ValueError(f"{name} must have more than k = {k} rows, got {len(x)}")
    real, fake = real.double(), fake.double()
    centre = real.mean(dim=0)  # moves no distance, and keeps the squares small
    real, fake = real - centre, fake - centre
    return PrecisionRecall(_covered(fake, real, k), _covered(real, fake, k))


def _covered(queries: Tensor, references: Tensor, k: int) -> float:
    """Return the fraction of queries in at least one reference's ball around its k nearest neighbours."""
    reach = []  # the k-th distance of each reference, squared
    for rows in torch.arange(len(references), device=references.device).split(_rows_at_once(references)):
        squared = _squared_distances(references[rows], references)
        squared[torch.arange(len(rows), device=rows.device), rows] = math.inf  # no neighbour of itself
        reach.append(squared.kthvalue(k, dim=1).values)
    reach, inside = torch.cat(reach), 0
    norms = references.square().sum(dim=1)
    for part in queries.split(_rows_at_once(references)):
        slack = ROUNDING * (part.square().sum(dim=1)[:, None] + norms)  # a tie counts, rounded or not
        inside += int((_squared_distances(part, references) <= reach + slack).any(dim=1).sum())
    return inside / len(queries)


@torch.no_grad()
def nearest_distances(queries: Tensor, references: Tensor) -> Nearest:
    """Find the nearest reference of each query: for samples and training images, what was learnt by heart.

    Euclidean distances, over all axes but the first, of pixels or of features. The nearest is found by
    expanding the square in float64, a matrix product in chunks; the distance to it is then taken from
    the difference itself, so that a copy has the distance 0.

    Args:
        queries: (N, ...) float, or uint8, which is taken for pixels and divided by 255.
        references: (M, ...) of the same kind.

    Returns:
        The ``Nearest``; among references equally near up to rounding, any one of them.

    Raises:
        ValueError: If the shapes do not fit together, there is no reference, or a number is not finite.

    Explained in notebook 13.
    """
    if queries.ndim < 2 or references.ndim < 2 or queries.shape[1:] != references.shape[1:]:
        raise ValueError(
            "queries and references must have shapes (N, ...) and (M, ...), equal but for the first axis, "
            f"got {tuple(queries.shape)} and {tuple(references.shape)}"
        )
    if len(references) == 0:
        raise ValueError("references must hold at least one row, got none")
    queries, references = _rows(queries), _rows(references)
    _refuse_unequal("queries", queries, "references", references)
    centre = references[:1].double()  # moves no distance, and keeps the squares small
    best = torch.full((len(queries),), math.inf, dtype=torch.float64, device=queries.device)
    index = torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
    size = max(1, NUMBERS_AT_ONCE // max(len(queries), references.shape[1]))
    queries = queries.double() - centre
    for start in range(0, len(references), size):
        squared, found = _squared_distances(queries, references[start : start + size].double() - centre).min(dim=1)
        index = torch.where(squared < best, start + found, index)
        best = torch.minimum(best, squared)
    distance = best
    for rows in torch.arange(len(queries), device=queries.device).split(_rows_at_once(queries.T)):
        distance[rows] = (queries[rows] - (references[index[rows]].double() - centre)).norm(dim=1)
    return Nearest(distance, index)


@torch.no_grad()
def reject(probabilities: Tensor, labels: Tensor, keep: float) -> Tensor:
    """Keep the samples that a classifier finds most like what they were asked to be.

    VQ-VAE-2 (arXiv:1906.00446), section 3.3: samples of a class are ranked by the probability a
    classifier gives to that class, p(label | image), and only the best are kept. A smaller fraction
    means better samples and fewer kinds of them. The ranking is within each class, or easy classes
    would crowd out hard ones.

    Args:
        probabilities: (N, classes) of the classifier.
        labels: (N,) int64, the class each sample was asked for.
        keep: Fraction to keep, in (0, 1]: of the n samples of a class, ``keep * n`` to the nearest whole
            number, and at least one.

    Returns:
        (M,) int64, the rows kept, in ascending order.

    Raises:
        ValueError: If the shapes do not fit together, a label is no class, a probability is NaN, or
            ``keep`` lies outside (0, 1].

    Explained in notebook 13.
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            "probabilities and labels must have shapes (N, classes) and (N,), "
            f"got {tuple(probabilities.shape)} and {tuple(labels.shape)}"
        )
    if not 0 < keep <= 1:
        raise ValueError(f"keep must lie in (0, 1], got {keep}")
    classes = probabilities.shape[1]
    check_indices(labels, classes, "labels")
    if bool(probabilities.isnan().any()):
        raise ValueError("probabilities must be numbers, got NaN")
    asked = probabilities.gather(1, labels[:, None])[:, 0]
    kept = [labels[:0].long()]
    for label in labels.unique():
        rows = (labels == label).nonzero()[:, 0]
        best = asked[rows].argsort(descending=True, stable=True)
        kept.append(rows[best[: max(1, round(keep * len(rows)))]])
    return torch.cat(kept).sort().values


def _rows(x: Tensor) -> Tensor:
    x = x.flatten(1)
    return x.double() / 255 if x.dtype == torch.uint8 else x


def _rows_at_once(references: Tensor) -> int:
    return max(1, NUMBERS_AT_ONCE // max(1, len(references)))


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return (N, M), never below 0, for (N, F) and (M, F) in float64."""
    norms = b.square().sum(dim=1)
    return torch.addmm(norms, a, b.T, alpha=-2).add_(a.square().sum(dim=1)[:, None]).clamp_(min=0)


def _refuse_unequal(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{name_a} and {name_b} must have shapes (N, F) and (M, F) with the same F, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    for name, x in ((name_a, a), (name_b, b)):
        if not bool(x.isfinite().all()):
            raise ValueError(f"{name} must hold finite numbers, got NaN or infinity")
