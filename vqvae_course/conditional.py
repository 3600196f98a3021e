"""A prior over one level of a hierarchy, given all levels above it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqvae_course.encdec import Decoder
from vqvae_course.indices import check_indices, holds_integers
from vqvae_course.pixelcnn import GatedPixelCNN
from vqvae_course.prior import Prior


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
        if not above:
            raise ValueError("above must hold K and a factor for at least one level, got none")
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


class ConditionalPrior(Prior):
    """A gated PixelCNN over one level, told of all levels above by a ``ConditionStack``.

    VQ-VAE-2 (arXiv:1906.00446v1), section 3.2:

        p(k_bottom | k_top, label) = prod_i p(k_bottom,i | k_bottom,1 ... k_bottom,i-1, all of k_top, label)

    Args:
        num_codes: K of the level to be predicted.
        above: For each level above, top first: K, and how many times larger the map of the next level is.
        hidden: Channels of the gated PixelCNN and of the stack.
        layers: Gated layers, the first one included.
        kernel_size: Odd size of all kernels but the first layer's.
        num_classes: Number of labels; None for a prior without classes.
        stack_layers: Residual layers of the stack, a level.
        first_kernel_size: Odd size of the first layer's kernel.

    Attributes:
        config: These arguments as a dict; ``ConditionalPrior(**config)`` rebuilds the network.
        stack: The ``ConditionStack``.
        inner: The ``GatedPixelCNN``, whose spatial condition is what the stack returns.

    Raises:
        ValueError: If an argument is out of its range.

    Explained in notebook 13.
    """

    def __init__(
        self,
        num_codes: int,
        above: Sequence[tuple[int, int]],
        hidden: int = 64,
        layers: int = 5,
        kernel_size: int = 3,
        num_classes: int | None = None,
        stack_layers: int = 6,
        first_kernel_size: int = 7,
    ):
        super().__init__(num_codes, num_classes)
        self.config = {
            "num_codes": num_codes,
            "above": [list(level) for level in above],
            "hidden": hidden,
            "layers": layers,
            "kernel_size": kernel_size,
            "num_classes": num_classes,
            "stack_layers": stack_layers,
            "first_kernel_size": first_kernel_size,
        }
        self.stack = ConditionStack(above, hidden, stack_layers)
        self.inner = GatedPixelCNN(num_codes, hidden, layers, kernel_size, num_classes, hidden, first_kernel_size)

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
