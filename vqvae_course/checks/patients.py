"""The nine patients of the bug clinic; each docstring says what the code is meant to do. And what one may find.

Explained in notebook 14.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.metrics import data_variance
from vqvae_course.pixelcnn import gate
from vqvae_course.quantize import EMAVectorQuantizer, Quantized, VectorQuantizer, straight_through

FINDINGS = {
    "beta-on-codebook": "β weighs the pull on the codes; the pull on the latents has weight 1",
    "losses-too-late": "the losses are computed after straight-through",
    "reconstruction-trains-codebook": "the reconstruction's gradient flows into the codebook",
    "farthest-code": "latents do not get their nearest code",
    "mixed-channels": "the map is laid out as rows without moving the channels last",
    "ema-start": "running counts and sums start with values that do not fit together",
    "restart-keeps-statistics": "a restart changes codes, but not the counts and sums behind them",
    "updates-in-eval": "the codebook moves in eval mode too",
    "shared-layers": "layers that should differ share their weights",
    "inplace-skip": "an in-place ReLU changes what the skip connection carries",
    "swapped-crop": "rows are cropped by the width and columns by the height",
    "mask-hides-centre": "a later causal layer does not see its own position",
    "future-leak": "a position feels what it is to predict, or what comes later",
    "softmax-twice": "a softmax is taken before the cross-entropy, which takes one itself",
    "wrong-range-variance": "the variance belongs to another range of pixels than the loss",
    "sound": "it does what it is meant to do",
}


class Patient1(nn.Module):
    """Add several small corrections to a feature map, one after the other.

    Each layer learns a correction of its own and adds it to what comes in:
    ``x + conv1x1(relu(conv3x3(relu(x))))``. No ReLU follows the last layer.

    Args:
        channels: Channels in and out.
        hidden: Channels between the two convolutions.
        layers: How many layers.
    """

    def __init__(self, channels: int, hidden: int, layers: int):
        super().__init__()
        layer = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
        )
        self.layers = nn.ModuleList([layer] * layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        for layer in self.layers:
            x = x + layer(x)
        return x


class Patient2(VectorQuantizer):
    """Replace each latent by its nearest code; the codebook learns by gradient.

    The loss pulls each chosen code to its latent, with weight 1, and each latent
    to its code, with weight ``beta``.
    """

    def forward(self, z_e: Tensor) -> Quantized:
        """Quantize a feature map (B, D, h, w)."""
        indices = self.choose(z_e)
        e_k = self.lookup(indices)
        codebook_loss = F.mse_loss(z_e, e_k.detach())
        commitment_loss = F.mse_loss(e_k, z_e.detach())
        loss = codebook_loss + self.beta * commitment_loss
        z_q = straight_through(z_e, e_k)
        return Quantized(z_q, indices, loss, codebook_loss, commitment_loss)


class Patient3(nn.Module):
    """Add several small corrections to a feature map, one after the other.

    Each layer learns a correction of its own and adds it to what comes in:
    ``x + conv1x1(relu(conv3x3(relu(x))))``. No ReLU follows the last layer.

    Args:
        channels: Channels in and out.
        hidden: Channels between the two convolutions.
        layers: How many layers.
    """

    def __init__(self, channels: int, hidden: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(inplace=True),
                nn.Conv2d(channels, hidden, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(hidden, channels, 1),
            )
            for _ in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        for layer in self.layers:
            x = x + layer(x)
        return x


class Patient4:
    """Measure reconstructions in units of the data's variance.

    The network sees and draws pixels between -1 and 1. Whoever answers the mean
    grey of the training set everywhere gets a loss of 1.

    Args:
        images: (N, C, H, W) uint8, the whole training set.
    """

    def __init__(self, images: Tensor):
        self.variance = data_variance(images)

    def prepare(self, images: Tensor) -> Tensor:
        """Turn uint8 images into what the network sees, float in [-1, 1]."""
        return images.float() / 127.5 - 1

    def __call__(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Return the loss of reconstructions of prepared images."""
        return F.mse_loss(x_hat, x) / self.variance


class Patient5(VectorQuantizer):
    """Replace each latent by its nearest code; the codebook learns by gradient.

    The loss pulls each chosen code to its latent, with weight 1, and each latent
    to its code, with weight ``beta``.
    """

    def forward(self, z_e: Tensor) -> Quantized:
        """Quantize a feature map (B, D, h, w)."""
        rows = z_e.movedim(1, -1)
        scores = rows @ self.codebook.T - self.codebook.square().sum(dim=1) / 2
        indices = scores.argmax(dim=-1)
        e_k = F.embedding(indices, self.codebook).movedim(-1, 1)
        codebook_loss = (z_e.detach() - e_k).square().mean()
        commitment_loss = (e_k.detach() - z_e).square().mean()
        loss = self.beta * commitment_loss + codebook_loss
        z_q = z_e - (z_e - e_k).detach()
        return Quantized(z_q, indices, loss, codebook_loss, commitment_loss)


class Patient6(EMAVectorQuantizer):
    """Replace each latent by its nearest code; the codebook follows a running mean.

    The first codes are drawn at random. After each batch in train mode, running
    counts and sums take a step towards those of the batch, and each code becomes
    its sum divided by its count, which is Laplace-smoothed.
    """

    def __init__(
        self,
        num_codes: int,
        code_dim: int,
        beta: float = 0.25,
        decay: float = 0.99,
    ):
        super().__init__(num_codes, code_dim, beta, decay)
        codebook = torch.empty(num_codes, code_dim).uniform_(-1, 1)
        self.register_buffer("codebook", codebook)
        self.register_buffer("ema_count", torch.zeros(num_codes))
        self.register_buffer("ema_sum", codebook.clone())

    @torch.no_grad()
    def update(self, z: Tensor, indices: Tensor) -> None:
        """Move the codebook towards one batch: latents (N, D), their codes (N,)."""
        one_hot = F.one_hot(indices, self.num_codes).to(z)
        self.ema_count.lerp_(one_hot.sum(dim=0), 1 - self.decay)
        self.ema_sum.lerp_(one_hot.T @ z, 1 - self.decay)
        n = self.ema_count.sum()
        size = (self.ema_count + self.eps) / (n + self.num_codes * self.eps) * n
        self.codebook.copy_(self.ema_sum / size[:, None])


class Patient7(nn.Module):
    """One layer of a gated PixelCNN: a vertical and a horizontal stack.

    The vertical stack reads its own row (not in the first layer) and the rows above,
    the horizontal stack its own place (not in the first layer) and the places on its
    left. Both convolutions see zeros outside the map, and what is too much of their
    output is cut off.

    Args:
        hidden: Channels of each stack.
        kernel_size: Odd, at least 3.
        first: Whether v and h are the embedded codes themselves.
    """

    def __init__(self, hidden: int, kernel_size: int, first: bool = False):
        super().__init__()
        self.start = 0 if first else 1
        reach = kernel_size // 2
        size = reach + self.start
        both = 2 * hidden
        self.vertical = nn.Conv2d(hidden, both, (size, kernel_size), padding=(size, reach))
        self.horizontal = nn.Conv2d(hidden, both, (1, size), padding=(0, size))
        self.link = nn.Conv2d(both, both, 1)
        self.out = nn.Conv2d(hidden, hidden, 1)

    def forward(self, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Map (v, h), each (B, hidden, height, width), to the next (v, h)."""
        above = self.vertical(v)[:, :, self.start : self.start + v.shape[-1]]
        left = self.horizontal(h)[:, :, :, self.start : self.start + h.shape[-2]]
        step = self.out(gate(left + self.link(above)))
        return gate(above), h + step if self.start else step


class Patient8(VectorQuantizer):
    """Replace each latent by its nearest code; the codebook learns by gradient.

    The loss pulls each chosen code to its latent, with weight 1, and each latent
    to its code, with weight ``beta``.
    """

    def forward(self, z_e: Tensor) -> Quantized:
        """Quantize a feature map (B, D, h, w)."""
        indices = self.choose(z_e)
        z_q = straight_through(z_e, self.lookup(indices))
        codebook_loss = F.mse_loss(z_q, z_e.detach())
        commitment_loss = F.mse_loss(z_e, z_q.detach())
        loss = codebook_loss + self.beta * commitment_loss
        return Quantized(z_q, indices, loss, codebook_loss, commitment_loss)


class Patient9(EMAVectorQuantizer):
    """Replace each latent by its nearest code; hardly used codes are put to new use.

    The codebook follows a running mean, as in ``EMAVectorQuantizer``. Besides, in
    train mode, each code whose running count has fallen below ``min_count`` starts
    again from a latent drawn from the batch.
    """

    def __init__(
        self,
        num_codes: int,
        code_dim: int,
        beta: float = 0.25,
        decay: float = 0.99,
        min_count: float = 0.1,
    ):
        super().__init__(num_codes, code_dim, beta, decay)
        self.min_count = min_count

    @torch.no_grad()
    def update(self, z: Tensor, indices: Tensor) -> None:
        """Move the codebook towards one batch: latents (N, D), their codes (N,)."""
        dead = (self.ema_count < self.min_count).nonzero().flatten()
        drawn = torch.randint(len(z), dead.shape, device=z.device)
        self.codebook[dead] = z[drawn]
        super().update(z, indices)


PATIENTS = (Patient1, Patient2, Patient3, Patient4, Patient5, Patient6, Patient7, Patient8, Patient9)
