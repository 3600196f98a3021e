"""A prior over one level of a hierarchy, given all levels above it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqvae_course.configs import at_least, odd_kernels
from vqvae_course.encdec import Decoder, halvings
from vqvae_course.indices import check_indices, holds_integers
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.prior import Prior


def check_above(above: Sequence[tuple[int, int]]) -> None:
    """Raise ``ValueError`` unless there is a level above, and each map fits into the next a power of two times."""
    if not above:
        raise ValueError("above must hold K and a factor for at least one level, got none")
    for _, factor in above:
        halvings(factor, "a factor of above")


class ConditionStack(nn.Module):
    """Turn the index maps of the levels above into one map of features for the level below.

    VQ-VAE-2 (arXiv:1906.00446v1), section 3.2: residual blocks and strided transposed convolutions. They look to
    all sides: the levels above are known as a whole before the first code of the level below is drawn, so there is
    nothing to mask.

    Args:
        above: For each level above, top first: K, and how many times larger the map of the next level is.
        channels: Channels of all feature maps.
        residual_layers: Residual layers a level. A feature sees ``residual_layers + 1`` cells of the map above to
            each side, and a little more through the upsampling.

    Raises:
        ValueError: If there is no level above, or a factor is not a power of two, at least 2.

    Explained in notebook 13.
    """

    def __init__(self, above: Sequence[tuple[int, int]], channels: int, residual_layers: int = 6):
        super().__init__()
        check_above(above)
        self.factors = [factor for _, factor in above]
        self.embed = nn.ModuleList(nn.Embedding(num_codes, channels) for num_codes, _ in above)
        self.bring_down = nn.ModuleList(
            Decoder(channels, channels, residual_layers, channels, factor, channels) for factor in self.factors
        )

    def check_maps(self, maps: Sequence[Tensor], batch: int, height: int, width: int) -> None:
        """Raise ``ValueError`` where the maps above do not fit a level of (batch, height, width) below."""
        if len(maps) != len(self.factors):
            raise ValueError(f"condition must hold one map for each of {len(self.factors)} levels, got {len(maps)}")
        for one, factor in zip(reversed(maps), reversed(self.factors), strict=True):
            if height % factor or width % factor or one.shape != (batch, height // factor, width // factor):
                raise ValueError(
                    f"condition must hold a map {factor} times smaller than the ({batch}, {height}, {width}) below it, "
                    f"got {tuple(one.shape)}"
                )
            height, width = one.shape[1:]
            if not holds_integers(one):
                raise ValueError(f"condition must hold integers, got {one.dtype}")
        for level, (one, embed) in enumerate(zip(maps, self.embed, strict=True)):
            check_indices(one, embed.num_embeddings, f"condition[{level}]", self.training)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the features: (B, h', w') int64 maps, top first -> (B, channels, h, w) for the level below."""
        return self.features_from(
            [embed(one.long()).movedim(-1, 1) for embed, one in zip(self.embed, maps, strict=True)]
        )

    def features_from(self, embedded: Sequence[Tensor]) -> Tensor:
        """Return the features from embedded codes, through which gradients can be taken; see ``causality``.

        Args:
            embedded: (B, channels, h', w') each, top first.

        Returns:
            (B, channels, h, w).
        """
        x = torch.zeros_like(embedded[0])
        for one, down in zip(embedded, self.bring_down, strict=True):
            x = down(x + one)
        return x


@dataclass(frozen=True)
class ConditionalPriorConfig:
    """Everything that defines a prior below other levels; ``ConditionalPrior(config)`` rebuilds it.

    Attributes:
        num_codes: K of the level to be predicted.
        above: For each level above, top first: K, and how many times larger the map of the next level is.
        hidden: Channels of the gated PixelCNN and of the stack.
        layers: Gated layers, the first one included.
        kernel_size: Odd size of all kernels but the first layer's.
        num_classes: Number of labels; None for a prior without classes.
        stack_layers: Residual layers of the stack, a level.
        first_kernel_size: Odd size of the first layer's kernel.
    """

    num_codes: int
    above: tuple[tuple[int, int], ...]
    hidden: int = 64
    layers: int = 5
    kernel_size: int = 3
    num_classes: int | None = None
    stack_layers: int = 6
    first_kernel_size: int = 7

    def __post_init__(self):
        object.__setattr__(self, "above", tuple(map(tuple, self.above)))  # a list would not compare equal, nor hash
        check_above(self.above)
        at_least(1, self, "num_codes", "hidden", "layers", "num_classes")
        at_least(0, self, "stack_layers")
        odd_kernels(self, "kernel_size", "first_kernel_size")


class ConditionalPrior(Prior):
    """A gated PixelCNN over one level, told of all levels above by a ``ConditionStack``.

    VQ-VAE-2 (arXiv:1906.00446v1), section 3.2:

        p(k_bottom | k_top, label) = prod_i p(k_bottom,i | k_bottom,1 ... k_bottom,i-1, all of k_top, label)

    Args:
        config: A ``ConditionalPriorConfig``.

    Attributes:
        stack: The ``ConditionStack``.
        inner: The ``GatedPixelCNN``, whose spatial condition is what the stack returns.

    Explained in notebook 13.
    """

    def __init__(self, config: ConditionalPriorConfig):
        super().__init__(config.num_codes, config.num_classes)
        self.config = config
        c = config
        self.stack = ConditionStack(c.above, c.hidden, c.stack_layers)
        self.inner = GatedPixelCNN(
            GatedPixelCNNConfig(
                c.num_codes,
                c.hidden,
                c.layers,
                c.kernel_size,
                c.num_classes,
                condition_channels=c.hidden,
                first_kernel_size=c.first_kernel_size,
            )
        )

    def condition_from(self, above: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return what this prior takes as its condition, of the index maps of the levels above: all of them."""
        return above

    def check_inputs(self, indices: Tensor, labels: Tensor | None, condition: Tensor | Sequence[Tensor] | None) -> None:
        """Raise ``ValueError`` where indices, labels or the maps above do not fit this prior."""
        super().check_inputs(indices, labels, None)
        if condition is None:
            raise ValueError("condition must hold the index maps of the levels above, got None")
        self.stack.check_maps(as_maps(condition), *indices.shape)

    def forward(
        self, indices: Tensor, labels: Tensor | None = None, condition: Tensor | Sequence[Tensor] | None = None
    ) -> Tensor:
        """Return the logits of each position given the positions before it and all of the levels above.

        Args:
            indices: (B, h, w) int64 in [0, K).
            labels: (B,) int64, exactly when the prior has classes.
            condition: (B, h', w') int64 index maps of the levels above, top first; a single one may stand alone.

        Returns:
            (B, K, h, w) logits; those at a position do not depend on it or on any later one of its own level.

        Raises:
            ValueError: If an input does not fit.
        """
        self.check_inputs(indices, labels, condition)
        return self.inner(indices, labels, self.stack(as_maps(condition)))


def as_maps(condition: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the maps of the levels above as a sequence, also where there is only one of them."""
    return (condition,) if isinstance(condition, Tensor) else condition
