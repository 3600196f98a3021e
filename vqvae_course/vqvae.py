"""The VQ-VAE: an encoder, a codebook and a decoder."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.configs import at_least, check_codebooks
from vqvae_course.distributed import SharedBatchNorm2d
from vqvae_course.encdec import Decoder, Encoder, halvings
from vqvae_course.quantize import EMAVectorQuantizer, VectorQuantizer, check_finite, kmeans_init, restart_dead_codes
from vqvae_course.runtime import eval_mode


@dataclass(frozen=True)
class VQVAEConfig:
    """Everything that defines a VQ-VAE; ``VQVAE(config)`` rebuilds it.

    Attributes:
        in_channels: Channels of the image.
        hidden: Channels of the encoder's and decoder's feature maps.
        residual_layers: Residual layers on each side.
        residual_hidden: Channels inside a residual layer.
        num_codes: K, the number of codes.
        code_dim: D, the length of a code.
        downsample: Total stride between image and index map, a power of two.
        beta: Weight of the commitment loss.
        decay: gamma of the EMA codebook.
        quantizer: ``"ema"`` or ``"gradient"``.
        data_variance: Variance of the training pixels on [0, 1]; the reconstruction loss is divided by it.
        normalize_latents: Give each channel of ``z_e`` mean 0 and variance 1 before quantizing (batch
            normalisation without learned scale). Not in the paper; it keeps the latents' scale still
            while the codebook follows them.
        restart_below: In train mode, restart codes whose ``ema_count`` is below this; 0 never does.
        patches: Let the encoder look at each patch almost on its own (see ``Encoder``). Not in the paper;
            it costs a little reconstruction and makes the codes much easier to predict for a prior.
    """

    in_channels: int = 3
    hidden: int = 128
    residual_layers: int = 2
    residual_hidden: int = 32
    num_codes: int = 512
    code_dim: int = 64
    downsample: int = 4
    beta: float = 0.25
    decay: float = 0.99
    quantizer: Literal["ema", "gradient"] = "ema"
    data_variance: float = 1.0
    normalize_latents: bool = False
    restart_below: float = 0.0
    patches: bool = False

    def __post_init__(self):
        check_codebooks(self)
        at_least(1, self, "num_codes")
        if self.quantizer not in ("ema", "gradient"):
            raise ValueError(f'quantizer must be "ema" or "gradient", got {self.quantizer!r}')
        if self.restart_below and self.quantizer != "ema":
            raise ValueError('restart_below must be 0 unless quantizer is "ema", which keeps the counts it needs')
        halvings(self.downsample)


class VQVAEOutput(NamedTuple):
    """What ``VQVAE.forward`` returns.

    Attributes:
        x_hat: (B, C, H, W), the reconstruction; not clipped to [0, 1].
        indices: (B, h, w) int64.
        loss: Scalar to minimise: ``recon_loss`` plus the quantizer's loss.
        recon_loss: Scalar, mean squared error divided by the data's variance.
        codebook_loss: Scalar, 0 for EMA codebooks.
        commitment_loss: Scalar, not yet multiplied by beta.
    """

    x_hat: Tensor
    indices: Tensor
    loss: Tensor
    recon_loss: Tensor
    codebook_loss: Tensor
    commitment_loss: Tensor


class VQVAE(nn.Module):
    """Compress an image into a small map of code indices and back.

    VQ-VAE (arXiv:1711.00937v2), eq. 3, with sg the stop-gradient:

        loss = -log p(x | z_q) + ||sg[z_e] - e_k||^2 + beta ||z_e - sg[e_k]||^2

    Departures: the first term is the squared error divided by the data's variance, a Gaussian
    likelihood without its constant; means instead of sums. With ``quantizer="ema"`` the second term
    is replaced by running means.

    Args:
        config: A ``VQVAEConfig``.

    Explained in notebook 05.
    """

    def __init__(self, config: VQVAEConfig):
        super().__init__()
        self.config = config
        c = config
        self.encoder = Encoder(c.in_channels, c.hidden, c.residual_layers, c.residual_hidden, c.downsample, c.patches)
        self.to_code_dim = nn.Conv2d(c.hidden, c.code_dim, 1)
        self.normalize = SharedBatchNorm2d(c.code_dim) if c.normalize_latents else nn.Identity()
        if c.quantizer == "ema":
            self.quantizer = EMAVectorQuantizer(c.num_codes, c.code_dim, c.beta, c.decay)
        else:
            self.quantizer = VectorQuantizer(c.num_codes, c.code_dim, c.beta)
        self.decoder = Decoder(c.code_dim, c.hidden, c.residual_layers, c.residual_hidden, c.downsample, c.in_channels)

    def latents(self, x: Tensor) -> Tensor:
        """Return the encoder output ``z_e``: (B, C, H, W) in [0, 1] -> (B, D, h, w).

        Raises:
            ValueError: If ``x`` is not (B, C, H, W) floats with H and W divisible by ``downsample``.
        """
        c, stride = self.config.in_channels, self.config.downsample
        if x.ndim != 4 or x.shape[1] != c or x.shape[2] % stride or x.shape[3] % stride or 0 in x.shape:
            raise ValueError(
                f"x must have shape (B, {c}, H, W) with H and W positive multiples of {stride}, got {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise ValueError(f"x must be float in [0, 1], got {x.dtype}: divide uint8 images by 255")
        return self.normalize(self.to_code_dim(self.encoder(x)))

    @torch.no_grad()
    def init_codebook(self, x: Tensor, generator: torch.Generator | None = None) -> None:
        """Put the codes on the latents of one batch by k-means, before training starts.

        Args:
            x: (B, C, H, W) in [0, 1], with at least as many latents as codes.
            generator: Where random numbers come from, on the CPU; the global one if None.

        Raises:
            ValueError: If there are fewer distinct latents than codes, or some are not finite.

        Explained in notebook 07.
        """
        check_finite("x", x, "images", "leave those out")  # before they spoil the means of the normalisation
        was_training = self.training
        self.train()  # normalised as the first training batches will be
        try:
            z = self.quantizer.to_rows(self.latents(x)).to(self.quantizer.codebook.dtype)
            self.quantizer.reset_codes(slice(None), kmeans_init(z, self.config.num_codes, generator))
        finally:
            self.train(was_training)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Return the index map of each image, in eval mode: (B, C, H, W) in [0, 1] -> (B, h, w) int64."""
        with eval_mode(self):
            return self.quantizer.choose(self.latents(x))

    @torch.no_grad()
    def decode(self, indices: Tensor) -> Tensor:
        """Return the images of index maps, in eval mode: (B, h, w) int64 -> (B, C, H, W)."""
        with eval_mode(self):
            return self.decoder(self.quantizer.lookup(indices).to(self.to_code_dim.weight.dtype))

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> VQVAEOutput:
        """Encode, quantize and decode a batch, with gradients.

        Args:
            x: (B, C, H, W) in [0, 1], H and W divisible by ``downsample``.
            generator: What restarts draw from, on the CPU; the global one if None.

        Returns:
            A ``VQVAEOutput``.
        """
        z_e = self.latents(x)
        q = self.quantizer(z_e)
        if self.training and self.config.restart_below > 0:
            restart_dead_codes(self.quantizer, z_e, min_usage=self.config.restart_below, generator=generator)
        x_hat = self.decoder(q.z_q)
        recon_loss = F.mse_loss(x_hat.float(), x.float()) / self.config.data_variance
        return VQVAEOutput(x_hat, q.indices, recon_loss + q.loss, recon_loss, q.codebook_loss, q.commitment_loss)
