"""Is an EMA codebook better than one that learns by gradient, when both step sizes are tuned?

The same networks, the same first codes by k-means and the same batches; only the rule that moves the codes differs.
Four decays and four learning rates of the codes. The best of each is chosen on other images than those that compare
them (page 6).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from experiments.training import split
from vqvae_course.data import Batch, Batches, as_float
from vqvae_course.evaluate import evaluate_vqvae
from vqvae_course.metrics import data_variance
from vqvae_course.runtime import seed_everything
from vqvae_course.train import vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig


@dataclass(frozen=True)
class Setting:
    """What one training is made of.

    Attributes:
        quantizer: ``"gradient"`` or ``"ema"``.
        decay: Of an EMA codebook.
        factor: Learning rate of a gradient codebook, the network's being 1.
        updates: Of 32 images, at a constant learning rate.
        early: After how many updates the error is measured for the first time.
        lr: Learning rate of the network.
        num_codes: K.
        hidden: Channels of the network.
        held_out: Images to choose a step size by; twice as many compare.
        dataset: Name for ``load_images``.
    """

    quantizer: str = "ema"
    decay: float = 0.99
    factor: float = 1.0
    updates: int = 250
    early: int = 100
    lr: float = 0.002
    num_codes: int = 128
    hidden: int = 32
    held_out: int = 1000
    dataset: str = "mnist"


GRADIENT = Setting(quantizer="gradient")
SETTINGS = {
    **{f"EMA, decay {decay}": Setting(decay=decay) for decay in (0.99, 0.9, 0.7, 0.3)},
    **{f"gradient, codes × {factor}": replace(GRADIENT, factor=factor) for factor in (1, 10, 30, 100)},
}
SEEDS = range(5)
SMOKE = Setting(
    quantizer="gradient", factor=2, updates=3, early=1, num_codes=8, hidden=8, held_out=10, dataset="glyphs"
)


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Train once; return how good the model is, and how far its codes went.

    Returns:
        ``choosing_mse``, the normalised MSE on the images that a step size is chosen by; ``early_mse``,
        ``normalized_mse``, ``codes_used``, ``perplexity`` and ``latents_lost``, the squared distance between latents
        and codes in units of the latents' variance, on the images that compare; ``first_codes``, ``latents`` and
        ``travelled``, the largest number in the first codes, in the latents after training, and the largest change of
        a number in the codebook.
    """
    train, held_out = split(setting.dataset, 3 * setting.held_out)
    choosing, comparing = held_out.take(slice(0, setting.held_out)), held_out.take(slice(setting.held_out, None))
    config = VQVAEConfig(
        in_channels=1,
        hidden=setting.hidden,
        residual_layers=0,
        num_codes=setting.num_codes,
        code_dim=32,
        decay=setting.decay,
        quantizer=setting.quantizer,
        data_variance=data_variance(train.images),
    )
    generator = seed_everything(seed)
    model = VQVAE(config)
    model.init_codebook(as_float(train.images[:512]), generator)
    first_codes = model.quantizer.codebook.detach().clone()
    optimizer, batches = optimizer_of(model, setting), iter(Batches(train, 32, generator))
    train_for(setting.early, model, optimizer, batches)
    early = evaluate_vqvae(model, comparing)
    train_for(setting.updates - setting.early, model, optimizer, batches)
    scores = evaluate_vqvae(model, comparing)
    with torch.no_grad():
        z_e = model.latents(as_float(comparing.images))
        lost = model.quantizer(z_e).commitment_loss / z_e.var()
    return {
        "choosing_mse": evaluate_vqvae(model, choosing).normalized_mse,
        "early_mse": early.normalized_mse,
        "normalized_mse": scores.normalized_mse,
        "codes_used": scores.codes_used,
        "perplexity": scores.perplexity,
        "latents_lost": float(lost),
        "first_codes": float(first_codes.abs().max()),
        "latents": float(z_e.abs().max()),
        "travelled": float((model.quantizer.codebook.detach() - first_codes).abs().max()),
    }


def optimizer_of(model: VQVAE, setting: Setting) -> torch.optim.Optimizer:
    """Return AdamW with a learning rate of its own for a codebook that learns by gradient."""
    codes = list(model.quantizer.parameters())
    others = [each for each in model.parameters() if all(each is not code for code in codes)]
    groups = [{"params": others}, {"params": codes, "lr": setting.factor * setting.lr}]
    return torch.optim.AdamW(groups[: 1 + len(codes)], lr=setting.lr, betas=(0.9, 0.99), weight_decay=0.0)


def train_for(updates: int, model: VQVAE, optimizer: torch.optim.Optimizer, batches: Iterator[Batch]) -> None:
    """Train for some updates more and leave the model in eval mode."""
    model.train()
    for _ in range(updates):
        loss = vqvae_step(model, next(batches)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
