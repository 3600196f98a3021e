"""What keeps a codebook alive, and what does it cost?

Eight recipes for an EMA codebook and a gradient codebook with a random start, the scale of the first codes, the size of
the codebook and the code dimension, each varied alone on MNIST (page 7).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from experiments.training import scale_codes, split
from vqvae_course.data import Batches, as_float
from vqvae_course.evaluate import evaluate_vqvae
from vqvae_course.metrics import codebook_usage, data_variance
from vqvae_course.quantize import nearest_code
from vqvae_course.runtime import seed_everything
from vqvae_course.train import TrainConfig, fit, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig


@dataclass(frozen=True)
class Setting:
    """What one training is made of.

    Attributes:
        quantizer: ``"gradient"`` or ``"ema"``.
        kmeans: Start the codebook by k-means on the latents of the untrained encoder.
        normalize: Give each channel of ``z_e`` mean 0 and variance 1.
        restart: Restart codes whose running count is below 1.
        scale: What the first codes are multiplied by.
        num_codes: K.
        code_dim: D.
        updates: Of 32 images; the learning rate goes through one cycle in them.
        lr: Highest learning rate.
        hidden: Channels of the network.
        held_out: Images to score on.
        dataset: Name for ``load_images``.
    """

    quantizer: str = "ema"
    kmeans: bool = False
    normalize: bool = False
    restart: bool = False
    scale: float = 1.0
    num_codes: int = 128
    code_dim: int = 32
    updates: int = 400
    lr: float = 0.008
    hidden: int = 64
    held_out: int = 2000
    dataset: str = "mnist"


GRADIENT = Setting(quantizer="gradient")
RECIPES = {
    "gradient": GRADIENT,
    "EMA": Setting(),
    "EMA + k-means": Setting(kmeans=True),
    "EMA + normalised": Setting(normalize=True),
    "EMA + restart": Setting(restart=True),
    "EMA + k-means + normalised": Setting(kmeans=True, normalize=True),
    "EMA + k-means + restart": Setting(kmeans=True, restart=True),
    "EMA + normalised + restart": Setting(normalize=True, restart=True),
    "EMA + k-means + normalised + restart": Setting(kmeans=True, normalize=True, restart=True),
    "gradient + k-means": replace(GRADIENT, kmeans=True),
    "gradient + normalised": replace(GRADIENT, normalize=True),
    "gradient + k-means + normalised": replace(GRADIENT, kmeans=True, normalize=True),
}
REMEDY = Setting(normalize=True, restart=True)
LONGER = ("gradient", "EMA", "EMA + normalised", "EMA + k-means + normalised + restart")
SCALES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
SETTINGS = {
    **{name: replace(each, updates=200) for name, each in RECIPES.items()},
    **{f"{name}, 800 updates": replace(RECIPES[name], updates=800) for name in LONGER},
    **{f"gradient, s = {s:g}": replace(GRADIENT, scale=s, updates=200) for s in SCALES},
    **{f"normalised + restart, s = {s:g}": replace(REMEDY, scale=s, updates=200) for s in (0.01, 100.0)},
    **{f"K = {k}": Setting(normalize=True, num_codes=k, updates=200) for k in (16, 64, 256)},
    **{f"K = {k} + restart": replace(REMEDY, num_codes=k, updates=200) for k in (16, 64, 256)},
    **{f"D = {d}": replace(GRADIENT, code_dim=d, updates=200) for d in (2, 8, 32, 64)},
}
SEEDS = range(5)
SMOKE = Setting(
    kmeans=True, normalize=True, restart=True, num_codes=8, updates=3, hidden=8, held_out=20, dataset="glyphs"
)


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Train once; return how good and how alive the codebook is, and what the untrained model said of it.

    Returns:
        ``normalized_mse``, ``perplexity`` and ``codes_used`` on held-out images after training; ``used_at_start``,
        ``mean_length``, ``spread`` and ``code_scale`` on a batch before the first update, the last three per direction;
        ``longest_code`` and ``longest_latent`` after the last.
    """
    train, validation = split(setting.dataset, setting.held_out)
    config = VQVAEConfig(
        in_channels=1,
        hidden=setting.hidden,
        residual_layers=0,
        num_codes=setting.num_codes,
        code_dim=setting.code_dim,
        decay=0.95,
        quantizer=setting.quantizer,
        data_variance=data_variance(train.images),
        normalize_latents=setting.normalize,
        restart_below=float(setting.restart),
    )
    generator = seed_everything(seed)
    model = VQVAE(config)
    first = as_float(train.images[:512])
    if setting.kmeans:
        model.init_codebook(first, generator)
    if setting.scale != 1:
        scale_codes(model, setting.scale)
    start = looks_of(model, first)
    plan = TrainConfig(steps=setting.updates, lr=setting.lr, log_every=setting.updates, progress=False)
    fit(model, Batches(train, 32, generator), vqvae_step, plan)
    scores = evaluate_vqvae(model, validation)
    z = latents_of(model, as_float(validation.images[:512]))
    return {
        "normalized_mse": scores.normalized_mse,
        "perplexity": scores.perplexity,
        "codes_used": scores.codes_used,
        **start,
        "longest_code": float(model.quantizer.codebook.detach().norm(dim=1).max()),
        "longest_latent": float(z.norm(dim=1).max()),
    }


@torch.no_grad()
def latents_of(model: VQVAE, x: Tensor) -> Tensor:
    """Return the latents of images as rows, without touching the running statistics of the normalisation."""
    normalize = model.normalize
    model.normalize = torch.nn.Identity()
    z_e = model.latents(x)
    model.normalize = normalize
    if model.config.normalize_latents:
        z_e = (z_e - z_e.mean(dim=(0, 2, 3), keepdim=True)) / (z_e.var(dim=(0, 2, 3), keepdim=True) + 1e-5).sqrt()
    return model.quantizer.to_rows(z_e)


def looks_of(model: VQVAE, x: Tensor) -> dict[str, float]:
    """Return what a batch says of a model: codes that win, and the three numbers of the handicap, per direction."""
    z, codebook = latents_of(model, x), model.quantizer.codebook.detach()
    mean = z.mean(dim=0)
    return {
        "used_at_start": codebook_usage(nearest_code(z, codebook), len(codebook)),
        "mean_length": float(mean.square().mean().sqrt()),
        "spread": float((z - mean).square().mean().sqrt()),
        "code_scale": float(codebook.square().mean().sqrt()),
    }
