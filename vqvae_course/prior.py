"""What every prior over index maps has in common, and the simplest of them: counting."""

from math import inf

import torch
from torch import Tensor, nn

from vqvae_course.configs import at_least
from vqvae_course.indices import check_indices, check_map, count_indices, holds_integers


class Prior(nn.Module):
    """A distribution over index maps, one code after another in raster order.

        p(k) = prod_i p(k_i | k_1 ... k_{i-1}, label, condition)

    A subclass defines ``forward(indices, labels=None, condition=None)``: (B, h, w) int64 in,
    (B, K, h, w) logits out, and the logits at a position depend on no index there or later.

    Args:
        num_codes: K.
        num_classes: Number of labels; None for a prior without classes.
        condition_channels: Channels of a spatial condition; None for a prior without one.

    Raises:
        ValueError: If one of the numbers is below 1.

    Explained in notebook 09.
    """

    def __init__(self, num_codes: int, num_classes: int | None = None, condition_channels: int | None = None):
        super().__init__()
        self.num_codes = num_codes
        self.num_classes = num_classes
        self.condition_channels = condition_channels
        at_least(1, self, "num_codes", "num_classes", "condition_channels")

    def condition_from(self, above: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """Return what this prior takes as its condition, of the index maps of the levels above: nothing.

        Args:
            above: (B, h', w') int64 each, top first.

        Explained in notebook 13.
        """
        return None

    def check_inputs(self, indices: Tensor, labels: Tensor | None, condition: Tensor | None) -> None:
        """Raise ``ValueError`` where indices, labels or condition do not fit this prior; see ``check_indices``."""
        check_map(indices, self.num_codes, self.training)
        batch, height, width = indices.shape
        if (labels is None) != (self.num_classes is None):
            raise ValueError(f"labels must be given exactly when num_classes is; num_classes is {self.num_classes}")
        if labels is not None:
            if labels.shape != (batch,) or not holds_integers(labels):
                raise ValueError(f"labels must be ({batch},) integers, got {tuple(labels.shape)} {labels.dtype}")
            check_indices(labels, self.num_classes, "labels", self.training)
        if (condition is None) != (self.condition_channels is None):
            raise ValueError(
                "condition must be given exactly when condition_channels is; "
                f"condition_channels is {self.condition_channels}"
            )
        if condition is not None and condition.shape != (batch, self.condition_channels, height, width):
            raise ValueError(
                f"condition must have shape {(batch, self.condition_channels, height, width)}, "
                f"got {tuple(condition.shape)}"
            )


class EmbeddingPrior(Prior):
    """A prior whose network starts from embedded codes; what comes after is ``logits_from``.

    Args:
        num_codes: K.
        hidden: Length of the vector that stands for each code.
        num_classes: Number of labels; None for a prior without classes.
        condition_channels: Channels of a spatial condition; None for a prior without one.

    Explained in notebook 10.
    """

    def __init__(
        self, num_codes: int, hidden: int, num_classes: int | None = None, condition_channels: int | None = None
    ):
        super().__init__(num_codes, num_classes, condition_channels)
        self.embed = nn.Embedding(num_codes, hidden)

    def forward(self, indices: Tensor, labels: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return the logits of each position given the positions before it.

        Args:
            indices: (B, h, w) int64 in [0, K).
            labels: (B,) int64, exactly when the prior has classes.
            condition: (B, condition_channels, h, w), exactly when the prior has a condition.

        Returns:
            (B, K, h, w) logits; those at a position do not depend on it or on any later one.

        Raises:
            ValueError: If an input does not fit.
        """
        self.check_inputs(indices, labels, condition)
        return self.logits_from(self.embed(indices.long()).movedim(-1, 1), labels, condition)

    def logits_from(self, embedded: Tensor, labels: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return the logits from embedded codes, through which gradients can be taken; see ``causality``.

        Args:
            embedded: (B, hidden, h, w).
            labels: (B,) int64, exactly when the prior has classes.
            condition: (B, condition_channels, h, w), exactly when the prior has a condition.

        Returns:
            (B, K, h, w) logits.
        """
        raise NotImplementedError


class FrequencyPrior(Prior):
    """A prior made by counting: how often each code occurs, anywhere or at each position.

        p(k) = (n_k + alpha) / (n + K alpha)        n_k: how often code k was counted, n: all counts

    It knows nothing of the codes before, so it is what a learned prior has to beat. The alpha
    (Laplace's add-one rule when it is 1) keeps a code that was never counted possible; without it
    the first such code in new data would cost infinitely many nats. Counting no maps at all gives
    the uniform prior, log K nats a code.

    Args:
        indices: (N, h, w) int64, the maps to count; N may be 0.
        num_codes: K.
        per_position: Count at each position on its own; maps must then keep the size (h, w).
        alpha: What each count starts with, positive and finite.

    Raises:
        ValueError: If the indices are not maps of codes below K, or ``alpha`` is not positive and finite.

    Explained in notebook 09.
    """

    def __init__(self, indices: Tensor, num_codes: int, per_position: bool = False, alpha: float = 1.0):
        super().__init__(num_codes)
        with torch.no_grad():  # no training step: it has no weights
            self.check_inputs(indices, None, None)
        if not 0 < alpha < inf:
            raise ValueError(f"alpha must be positive and finite, got {alpha}")
        self.per_position = per_position
        maps = indices.flatten(1).long()
        positions = maps.shape[1]
        position = torch.arange(positions, device=maps.device)
        count = count_indices(maps + num_codes * position, num_codes * positions)
        count = count.view(positions, num_codes).to(torch.get_default_dtype())
        count = count if per_position else count.sum(dim=0, keepdim=True)
        log_p = (count + alpha).log() - (count + alpha).sum(dim=1, keepdim=True).log()  # (positions or 1, K)
        size = indices.shape[1:] if per_position else (1, 1)
        self.register_buffer("log_p", log_p.T.reshape(num_codes, *size))

    def forward(self, indices: Tensor, labels: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return the same logits for every map.

        Args:
            indices: (B, h, w) int64 in [0, K).
            labels: None; counting asks for no class.
            condition: None.

        Returns:
            (B, K, h, w), the logarithms of the probabilities.

        Raises:
            ValueError: If an input does not fit, or the maps have another size than those counted by position.
        """
        with torch.no_grad():
            self.check_inputs(indices, labels, condition)
        if self.per_position and indices.shape[1:] != self.log_p.shape[1:]:
            raise ValueError(
                f"indices must be maps of the size that was counted, {tuple(self.log_p.shape[1:])}, "
                f"got {tuple(indices.shape[1:])}"
            )
        return self.log_p.expand(len(indices), self.num_codes, *indices.shape[1:])
