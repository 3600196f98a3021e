"""What does an encoder learn with the straight-through estimator, and what without it?

The two trainings of page 3: a small network that draws a curve through sixteen fixed codes, and a VQ-VAE on glyphs.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.training import split
from vqvae_course.data import Batches, as_float
from vqvae_course.evaluate import evaluate_vqvae
from vqvae_course.metrics import data_variance
from vqvae_course.quantize import Quantized, VectorQuantizer, nearest_code, straight_through
from vqvae_course.runtime import seed_everything
from vqvae_course.train import TrainConfig, fit, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig


@dataclass(frozen=True)
class Setting:
    """What one training is made of.

    Attributes:
        task: ``"curve"`` or ``"glyphs"``.
        given: What the decoder is given: ``"straight-through"`` codes, the codes ``"without it"``, or, for the curve,
            the latents with ``"no quantizer"``.
        updates: In all; for glyphs, of 32 images.
    """

    task: str
    given: str
    updates: int


SETTINGS = {
    **{
        f"curve, {given}": Setting("curve", given, 1200) for given in ("without it", "straight-through", "no quantizer")
    },
    **{f"glyphs, {given}": Setting("glyphs", given, 300) for given in ("without it", "straight-through")},
}
SEEDS = range(5)
SMOKE = Setting("curve", "straight-through", 60)


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Train once; return ``error``, and ``codes_used``: of 16 for the curve, of 64 on held-out glyphs."""
    return (draw_a_curve if setting.task == "curve" else compress_glyphs)(seed, setting)


def draw_a_curve(seed: int, setting: Setting) -> dict[str, float]:
    """Train on y = sin(pi x / 2); the error is the mean squared error over the last fifty updates."""
    seed_everything(seed)
    inputs = torch.linspace(-3, 3, 256)[:, None]
    wanted = torch.sin(0.5 * torch.pi * inputs)
    encoder, decoder = tanh_layers(1, 32, 32, 2), tanh_layers(2, 32, 1)
    codes = 2 * torch.rand(16, 2) - 1
    optimizer, errors = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3), []
    for _ in range(setting.updates):
        z_e = encoder(inputs).tanh()
        indices = nearest_code(z_e, codes)
        given = {
            "straight-through": straight_through(z_e, codes[indices]),
            "without it": codes[indices],
            "no quantizer": z_e,
        }
        loss = F.mse_loss(decoder(given[setting.given]), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    return {"error": sum(errors[-50:]) / 50, "codes_used": len(indices.unique())}


def tanh_layers(*widths: int) -> nn.Sequential:
    """Return linear layers of these widths with a tanh between them."""
    layers = [part for pair in pairwise(widths) for part in (nn.Linear(*pair), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


class WithoutStraightThrough(VectorQuantizer):
    """Give the decoder the codes themselves, connected to the codebook."""

    def forward(self, z_e: Tensor) -> Quantized:
        """Quantize a feature map."""
        quantized = super().forward(z_e)
        return quantized._replace(z_q=self.lookup(quantized.indices))


def compress_glyphs(seed: int, setting: Setting) -> dict[str, float]:
    """Train a VQ-VAE; the error is the normalised one on held-out glyphs."""
    train, validation = split("glyphs", 500)
    generator = seed_everything(seed)
    variance = data_variance(train.images)
    config = VQVAEConfig(
        1, hidden=32, residual_layers=0, num_codes=64, code_dim=16, quantizer="gradient", data_variance=variance
    )
    model = VQVAE(config)
    model.init_codebook(as_float(train.images[:256]), generator)
    if setting.given == "without it":
        model.quantizer.__class__ = WithoutStraightThrough
    plan = TrainConfig(steps=setting.updates, lr=2e-3, log_every=setting.updates, progress=False)
    fit(model, Batches(train, 32, generator), vqvae_step, plan)
    scores = evaluate_vqvae(model, validation)
    return {"error": scores.normalized_mse, "codes_used": scores.codes_used}
