"""What does the weight of the commitment loss do, and where is its best value?

A VQ-VAE so small that eighty runs take minutes: each patch of 4×4 pixels of MNIST is encoded and decoded
by itself, by two layers each. Beta from 0 to 64, two starts of the codebook, and without a commitment term also a
codebook that follows a running mean (page 4).
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.training import split
from vqvae_course.data import as_float
from vqvae_course.metrics import perplexity
from vqvae_course.quantize import kmeans_init, straight_through
from vqvae_course.runtime import seed_everything


@dataclass(frozen=True)
class Setting:
    """What one training is made of.

    Attributes:
        beta: Weight of the commitment loss.
        start: ``"k-means"`` on the latents of the untrained encoder, or ``"random"``, a unit Gaussian.
        ema: The codebook follows a running mean, with a decay of 0.95, instead of a gradient.
        moments: Updates after which to measure; the last ends the run.
        batch: Patches per update.
        lr: Learning rate of Adam, the same throughout.
        num_codes: K.
        code_dim: D.
        hidden: Width of the layer between patch and latent.
        held_out: Images to score on.
        dataset: Name for ``load_images``.
    """

    beta: float
    start: str = "k-means"
    ema: bool = False
    moments: tuple[int, ...] = (100, 400, 1600)
    batch: int = 128
    lr: float = 3e-3
    num_codes: int = 32
    code_dim: int = 8
    hidden: int = 32
    held_out: int = 100
    dataset: str = "mnist"


SETTINGS = {
    **{f"k-means, β = {b:g}": Setting(b) for b in (0.05, 0.25, 1.0, 4.0, 16.0, 64.0)},
    **{f"random, β = {b:g}": Setting(b, start="random") for b in (0.05, 0.25, 1.0, 4.0, 16.0, 64.0)},
    "k-means, β = 0": Setting(0.0),
    "random, β = 0": Setting(0.0, start="random"),
    "EMA, β = 0": Setting(0.0, ema=True),
    "EMA, β = 0.25": Setting(0.25, ema=True),
}
SEEDS = range(5)
SMOKE = Setting(0.25, moments=(1, 2), batch=40, num_codes=8, hidden=8, held_out=20, dataset="glyphs")


def run(seed: int, setting: Setting) -> dict[str, float | list]:
    """Train once, stopping to measure; all settings of a seed are trained side by side, which is many times faster.

    Returns:
        At the end of the run ``error`` (a share of the variance, on held-out images), ``perplexity``, ``codes_used``,
        the mean ``distance`` of a latent from its code, ``gap`` (that of a code in use from its nearest neighbour in
        use; 0 if there is only one), ``spread`` (that of a latent from the mean latent), ``longest_latent``,
        ``longest_code``, and ``changed``, the share of patches whose index changed in the last ten updates. Under the
        same names with ``_at``, the list over ``moments``.
    """
    together = tuple(SETTINGS.values()) if setting in SETTINGS.values() else (setting,)
    measured = train_side_by_side(seed, together)[together.index(setting)]
    return {
        **measured[-1],
        "moments": list(setting.moments),
        **{f"{name}_at": [each[name] for each in measured] for name in measured[-1]},
    }


@cache
def train_side_by_side(seed: int, settings: tuple[Setting, ...]) -> list[list[dict]]:
    """Train models that share their first weights and their batches; return what each looked like at every moment."""
    shared = settings[0]
    train, validation = split(shared.dataset, shared.held_out)
    train, x = (patches_of(each.images[:10_000]) for each in (train, validation))
    generator = seed_everything(seed)
    models = SideBySide(settings, train, generator)
    optimizer = torch.optim.Adam(models.parameters(), lr=shared.lr, betas=(0.9, 0.99))
    measured, earlier = [[] for _ in settings], None
    for update in range(1, shared.moments[-1] + 1):
        batch = train[torch.randint(len(train), (shared.batch,), generator=generator)]
        optimizer.zero_grad()
        models.loss(batch).backward()
        optimizer.step()
        models.follow(batch)
        if any(update == max(1, moment - 10) for moment in shared.moments):
            earlier = models.choose(models.encode(x).detach())
        if update in shared.moments:
            for looks, found in zip(measured, models.looks(x, earlier), strict=True):
                looks.append(found)
    return measured


def patches_of(images: Tensor) -> Tensor:
    """Cut images into patches of 4×4 pixels as rows: (N, 1, H, W) uint8 -> (N H W / 16, 16) in [0, 1]."""
    return F.pixel_unshuffle(as_float(images), 4).movedim(1, -1).flatten(0, 2)


class SideBySide(nn.Module):
    """Several small VQ-VAEs of one shape; every tensor has an axis for the model, and no gradient crosses it."""

    def __init__(self, settings: tuple[Setting, ...], train: Tensor, generator: torch.Generator):
        super().__init__()
        shared, copies = settings[0], len(settings)
        widths = (16, shared.hidden, shared.code_dim, shared.hidden, 16)
        layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        self.weights = nn.ParameterList(layer.weight.detach().T.repeat(copies, 1, 1) for layer in layers)
        self.biases = nn.ParameterList(layer.bias.detach().repeat(copies, 1, 1) for layer in layers)
        some = train[torch.randperm(len(train), generator=generator)[:4000]]
        starts = {
            "k-means": kmeans_init(self.encode(some)[0].detach(), shared.num_codes, generator),
            "random": torch.randn(shared.num_codes, shared.code_dim, generator=generator),
        }
        self.codebook = nn.Parameter(torch.stack([starts[each.start] for each in settings]))  # (M, K, D)
        self.beta = torch.tensor([each.beta for each in settings])
        self.ema = torch.tensor([each.ema for each in settings])
        self.count = torch.ones(copies, shared.num_codes, 1)
        self.sum = self.codebook.detach().clone()
        self.variance = train.var()

    def encode(self, x: Tensor) -> Tensor:
        """Return latents: (N, 16) -> (M, N, D)."""
        return (x @ self.weights[0] + self.biases[0]).relu() @ self.weights[1] + self.biases[1]

    def decode(self, z_q: Tensor) -> Tensor:
        """Return patches: (M, N, D) -> (M, N, 16)."""
        return (z_q @ self.weights[2] + self.biases[2]).relu() @ self.weights[3] + self.biases[3]

    @torch.no_grad()
    def choose(self, z_e: Tensor) -> Tensor:
        """Return indices: (M, N, D) -> (M, N); in float64, as latents without a commitment term are far away."""
        codebook = self.codebook.double()
        return (codebook.square().sum(dim=2)[:, None] / 2 - z_e.double() @ codebook.mT).argmin(dim=2)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return codes: (M, N) -> (M, N, D)."""
        return self.codebook.gather(1, indices[..., None].expand(-1, -1, self.codebook.shape[2]))

    def loss(self, x: Tensor) -> Tensor:
        """Return the sum of the losses of all models."""
        z_e = self.encode(x)
        e_k = self.lookup(self.choose(z_e))
        x_hat = self.decode(straight_through(z_e, e_k))
        reconstruction = (x_hat - x).square().mean(dim=(1, 2)) / self.variance
        codebook = (z_e.detach() - e_k).square().mean(dim=(1, 2))
        commitment = (z_e - e_k.detach()).square().mean(dim=(1, 2))
        return (reconstruction + torch.where(self.ema, 0.0, codebook) + self.beta * commitment).sum()

    @torch.no_grad()
    def follow(self, x: Tensor) -> None:
        """Move the codebooks that are running means."""
        z_e = self.encode(x)
        chosen = F.one_hot(self.choose(z_e), self.codebook.shape[1]).to(z_e)  # (M, N, K)
        self.count.lerp_(chosen.sum(dim=1)[..., None], 0.05)
        self.sum.lerp_(chosen.mT @ z_e, 0.05)
        self.codebook.copy_(torch.where(self.ema[:, None, None], self.sum / self.count, self.codebook))

    @torch.no_grad()
    def looks(self, x: Tensor, earlier: Tensor) -> list[dict[str, float]]:
        """Return how good each model is on patches, and where its latents and codes lie."""
        z_e = self.encode(x)
        indices = self.choose(z_e)
        e_k = self.lookup(indices)
        errors = (self.decode(e_k) - x).square().mean(dim=(1, 2)) / self.variance
        changed = (indices != earlier).double().mean(dim=1)
        return [
            {
                "error": float(error),
                "perplexity": float(perplexity(k, len(codebook))),
                "codes_used": len(k.unique()),
                "distance": float((z - e).norm(dim=1).mean()),
                "gap": gap_between(codebook[k.unique()]),
                "spread": float((z - z.mean(dim=0)).norm(dim=1).mean()),
                "longest_latent": float(z.norm(dim=1).max()),
                "longest_code": float(codebook.norm(dim=1).max()),
                "changed": float(share),
            }
            for error, k, z, e, codebook, share in zip(
                errors, indices, z_e, e_k, self.codebook.detach(), changed, strict=True
            )
        ]


def gap_between(codes: Tensor) -> float:
    """Return the mean distance of a code from its nearest neighbour, 0 if it has none."""
    apart = torch.cdist(codes, codes).fill_diagonal_(float("inf"))
    return float(apart.amin(dim=1).mean()) if len(codes) > 1 else 0.0
