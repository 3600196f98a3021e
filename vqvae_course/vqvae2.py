"""The VQ-VAE-2: several maps of codes, a small one for the whole and larger ones for the detail."""

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.configs import check_codebooks
from vqvae_course.distributed import SharedBatchNorm2d
from vqvae_course.encdec import Decoder, Encoder, halvings
from vqvae_course.quantize import EMAVectorQuantizer, check_finite, kmeans_init, restart_dead_codes
from vqvae_course.runtime import eval_mode


@dataclass(frozen=True)
class VQVAE2Config:
    """Everything that defines a VQ-VAE-2; ``VQVAE2(config)`` rebuilds it. Tuples run top level first.

    Attributes:
        in_channels: Channels of the image.
        hidden: Channels of all feature maps.
        residual_layers: Residual layers of each encoder and decoder.
        residual_hidden: Channels inside a residual layer.
        num_codes: K of each level.
        code_dim: D, the length of a code, the same on all levels.
        strides: How many times smaller the map of each level is than that of the level below it, powers of
            two; the last is the stride between the bottom map and the image. ``(2, 4)`` gives a bottom map
            4 times and a top map 8 times smaller than the image.
        beta: Weight of the commitment loss, the same on all levels.
        decay: gamma of the EMA codebooks.
        data_variance: Variance of the training pixels on [0, 1]; the reconstruction loss is divided by it.
        normalize_latents: Give each channel of ``z_e`` mean 0 and variance 1 before quantizing, on each level.
        restart_below: In train mode, restart codes whose ``ema_count`` is below this; 0 never does.
        patches: Let each encoder look at its patches almost on their own (see ``Encoder``).
    """

    in_channels: int = 3
    hidden: int = 128
    residual_layers: int = 2
    residual_hidden: int = 64
    num_codes: tuple[int, ...] = (512, 512)
    code_dim: int = 64
    strides: tuple[int, ...] = (2, 4)
    beta: float = 0.25
    decay: float = 0.99
    data_variance: float = 1.0
    normalize_latents: bool = False
    restart_below: float = 0.0
    patches: bool = False

    def __post_init__(self):
        for name in ("num_codes", "strides"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a list would not compare equal, nor hash
        if len(self.strides) not in (2, 3):
            raise ValueError(f"strides must hold one stride for each of two or three levels, got {self.strides}")
        if len(self.num_codes) != len(self.strides):
            raise ValueError(f"num_codes must have as many entries as strides {self.strides}, got {self.num_codes}")
        if min(self.num_codes) < 1:
            raise ValueError(f"num_codes must be at least 1 on each level, got {self.num_codes}")
        check_codebooks(self)
        for stride in self.strides:
            halvings(stride, "strides")

    @property
    def levels(self) -> int:
        """How many levels there are."""
        return len(self.strides)

    @property
    def total_stride(self) -> int:
        """How many times smaller the top map is than the image; its sides must be multiples of it."""
        return prod(self.strides)

    def map_sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return (h, w) of each level's index map for an image of this size, top first."""
        below = [prod(self.strides[level:]) for level in range(self.levels)]
        return [(height // factor, width // factor) for factor in below]


# VQ-VAE-2 (arXiv:1906.00446v1), appendix A.2: 128 hidden units, 64 residual units, 2 layers, 512 codes of dimension
# 64, beta 0.25 (and batches of 128). 256x256 pixels become 32x32 + 64x64 indices, 1024x1024 pixels become
# 32x32 + 64x64 + 128x128. The decay of 0.99 is from section 2.1. How strides are shared out among the encoders is ours,
# and so are the 4x4 kernels of strided convolutions, where the paper lists 3 for its encoder.
IMAGENET_256 = VQVAE2Config(num_codes=(512, 512), strides=(2, 4))
FFHQ_1024 = VQVAE2Config(num_codes=(512, 512, 512), strides=(2, 2, 8))


class VQVAE2Output(NamedTuple):
    """What ``VQVAE2.forward`` returns; losses are summed over the levels.

    Attributes:
        x_hat: (B, C, H, W), the reconstruction; not clipped to [0, 1].
        indices: Top first, (B, h, w) int64 each.
        loss: Scalar to minimise: ``recon_loss`` plus the loss of every quantizer.
        recon_loss: Scalar, mean squared error divided by the data's variance.
        codebook_loss: Scalar, 0: the codebooks follow running means.
        commitment_loss: Scalar, not yet multiplied by beta.
    """

    x_hat: Tensor
    indices: list[Tensor]
    loss: Tensor
    recon_loss: Tensor
    codebook_loss: Tensor
    commitment_loss: Tensor


class VQVAE2(nn.Module):
    """Compress an image into two or three maps of code indices and back.

    VQ-VAE-2 (arXiv:1906.00446v1), section 3.1, algorithm 1 and figure 2, for two levels:

        e_top    = quantize(E_top(x))
        e_bottom = quantize(E_bottom(x, e_top))
        x_hat    = D(e_top, e_bottom)

    Features are made from the bottom up: the encoder of a level reads the features of the level below it. Codes
    are chosen from the top down: ``z_e`` of a level depends on its features and on the quantized levels above, so
    that it need not repeat what they say. ``decoders[l]`` reads all levels down to l and makes a map for the grid
    below it. Level l + 1 is conditioned on that map, and the last of them is the image.

    Departures: one chain of decoders tells lower encoders and the image decoder of the levels above, where the
    paper draws an arrow for each; and those of ``VQVAE`` (means instead of sums, the data's variance).

    Args:
        config: A ``VQVAE2Config``.

    Explained in notebook 12.
    """

    def __init__(self, config: VQVAE2Config):
        super().__init__()
        self.config = config
        c = config
        body = (c.hidden, c.residual_layers, c.residual_hidden)
        # Channels, one entry a level: what its encoder takes, what comes down from above, what its decoder returns.
        encoder_in = [*[c.hidden] * (c.levels - 1), c.in_channels]
        from_above = [0, *[c.code_dim] * (c.levels - 1)]
        decoder_out = [*from_above[1:], c.in_channels]
        self.encoders = nn.ModuleList(
            Encoder(channels, *body, stride, c.patches) for channels, stride in zip(encoder_in, c.strides, strict=True)
        )
        self.to_code_dim = nn.ModuleList(nn.Conv2d(c.hidden + above, c.code_dim, 1) for above in from_above)
        self.normalize = nn.ModuleList(
            SharedBatchNorm2d(c.code_dim) if c.normalize_latents else nn.Identity() for _ in from_above
        )
        self.quantizers = nn.ModuleList(EMAVectorQuantizer(k, c.code_dim, c.beta, c.decay) for k in c.num_codes)
        self.decoders = nn.ModuleList(
            Decoder(above + c.code_dim, *body, stride, channels)
            for above, stride, channels in zip(from_above, c.strides, decoder_out, strict=True)
        )

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the feature map of each level, top first: (B, C, H, W) in [0, 1] -> (B, hidden, h, w) each.

        Raises:
            ValueError: If ``x`` is not (B, C, H, W) floats with H and W divisible by the total stride.
        """
        c, stride = self.config.in_channels, self.config.total_stride
        if x.ndim != 4 or x.shape[1] != c or x.shape[2] % stride or x.shape[3] % stride or 0 in x.shape:
            raise ValueError(
                f"x must have shape (B, {c}, H, W) with H and W positive multiples of {stride}, got {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise ValueError(f"x must be float in [0, 1], got {x.dtype}: divide uint8 images by 255")
        maps = []
        for encoder in reversed(self.encoders):
            x = encoder(x)
            maps.append(x)
        return maps[::-1]

    def latents(self, level: int, features: Tensor, above: Tensor | None) -> Tensor:
        """Return ``z_e`` of a level.

        Args:
            level: 0 is the top.
            features: (B, hidden, h, w), this level's.
            above: (B, D, h, w), what ``descend`` made of the levels above; None at the top.

        Returns:
            (B, D, h, w).
        """
        seen = features if above is None else torch.cat([features, above], dim=1)
        return self.normalize[level](self.to_code_dim[level](seen))

    def descend(self, level: int, above: Tensor | None, z_q: Tensor) -> Tensor:
        """Bring all levels down to this one to the grid below it: the next level's, or the image's.

        Args:
            level: 0 is the top.
            above: (B, D, h, w), what ``descend`` made of the levels above; None at the top.
            z_q: (B, D, h, w), this level's quantized latent.

        Returns:
            (B, D, h', w') for the level below; after the bottom the image, (B, C, H, W).
        """
        return self.decoders[level](z_q if above is None else torch.cat([above, z_q], dim=1))

    def _typed(self, level: int, codes: Tensor) -> Tensor:
        """Return the codes of a level in the type of the layers that they go to."""
        return codes.to(self.to_code_dim[level].weight.dtype)

    @torch.no_grad()
    def init_codebook(self, x: Tensor, generator: torch.Generator | None = None) -> None:
        """Put the codes of every level on the latents of one batch by k-means, top first, before training starts.

        Args:
            x: (B, C, H, W) in [0, 1], with at least as many latents as codes on each level.
            generator: Where random numbers come from, on the CPU; the global one if None.

        Raises:
            ValueError: If there are fewer distinct latents than codes on a level, or some are not finite.

        Explained in notebook 12.
        """
        check_finite("x", x, "images", "leave those out")  # before they spoil the means of the normalisation
        was_training = self.training
        self.train()  # normalised as the first training batches will be
        above = None
        try:
            for level, features in enumerate(self.features(x)):
                z_e = self.latents(level, features, above)
                quantizer = self.quantizers[level]
                z = quantizer.to_rows(z_e).to(quantizer.codebook.dtype)
                quantizer.reset_codes(slice(None), kmeans_init(z, quantizer.num_codes, generator))
                if level + 1 < self.config.levels:
                    above = self.descend(level, above, self._typed(level, quantizer.codes_of(quantizer.choose(z_e))))
        finally:
            self.train(was_training)

    @torch.no_grad()
    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the index maps of each image, top first, in eval mode.

        Args:
            x: (B, C, H, W) in [0, 1].

        Returns:
            (B, h, w) int64 each; the ones of a level depend on those above it and on no map below.
        """
        above, maps = None, []
        with eval_mode(self):
            for level, features in enumerate(self.features(x)):
                indices = self.quantizers[level].choose(self.latents(level, features, above))
                maps.append(indices)
                if level + 1 < self.config.levels:
                    above = self.descend(level, above, self._typed(level, self.quantizers[level].codes_of(indices)))
        return maps

    @torch.no_grad()
    def decode(self, indices: list[Tensor]) -> Tensor:
        """Return the images of index maps, in eval mode.

        Args:
            indices: Top first, one (B, h, w) int64 map a level, each larger than the one before by its stride.

        Returns:
            (B, C, H, W).

        Raises:
            ValueError: If there are not as many maps as levels, or their sizes do not belong together.
        """
        sizes = [tuple(one.shape) for one in indices]
        if len(sizes) != self.config.levels:
            raise ValueError(f"indices must hold one map for each of {self.config.levels} levels, got {len(sizes)}")
        batch, *top = sizes[0]
        fitting = [(batch, *(side * prod(self.config.strides[:level]) for side in top)) for level in range(len(sizes))]
        if sizes != fitting:
            raise ValueError(f"indices must run top first, with shapes like {fitting} below {sizes[0]}, got {sizes}")
        above = None
        with eval_mode(self):
            for level, one in enumerate(indices):
                above = self.descend(level, above, self._typed(level, self.quantizers[level].lookup(one)))
        return above

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> VQVAE2Output:
        """Encode, quantize and decode a batch, with gradients.

        Args:
            x: (B, C, H, W) in [0, 1], H and W divisible by the total stride.
            generator: What restarts draw from, on the CPU; the global one if None.

        Returns:
            A ``VQVAE2Output``.
        """
        above, quantized = None, []
        for level, features in enumerate(self.features(x)):
            z_e = self.latents(level, features, above)
            quantized.append(self.quantizers[level](z_e))
            if self.training and self.config.restart_below > 0:
                least = self.config.restart_below
                restart_dead_codes(self.quantizers[level], z_e, min_usage=least, generator=generator)
            above = self.descend(level, above, quantized[-1].z_q)
        recon_loss = F.mse_loss(above.float(), x.float()) / self.config.data_variance
        indices, losses, codebook_losses, commitment_losses = zip(*(q[1:] for q in quantized), strict=True)
        return VQVAE2Output(
            above,
            list(indices),
            recon_loss + sum(losses),
            recon_loss,
            sum(codebook_losses),
            sum(commitment_losses),
        )
