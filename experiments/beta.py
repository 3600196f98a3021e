"""What does the weight of the commitment loss do, and where is its best value?

The small VQ-VAE of page 4 on MNIST: beta from 0 to 64, two starts of the codebook, and without a commitment term also a
codebook that follows a running mean; measured on the way, so that one run has several lengths.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.training import split
from vqvae_course.data import Batches, ImageSet, as_float
from vqvae_course.evaluate import evaluate_vqvae
from vqvae_course.metrics import data_variance
from vqvae_course.runtime import eval_mode, seed_everything
from vqvae_course.train import TrainConfig, fit, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig


@dataclass(frozen=True)
class Setting:
    """What one training is made of.

    Attributes:
        beta: Weight of the commitment loss.
        kmeans: Start the codebook by k-means on the latents of the untrained encoder, instead of at random.
        quantizer: ``"gradient"`` or ``"ema"``.
        moments: Updates of 16 images after which to measure; the last ends the run.
        lr: Learning rate, the same throughout.
        num_codes: K.
        code_dim: D.
        hidden: Channels of the network.
        held_out: Images to score on.
        dataset: Name for ``load_images``.
    """

    beta: float
    kmeans: bool = False
    quantizer: str = "gradient"
    moments: tuple[int, ...] = (100, 200, 400)
    lr: float = 3e-3
    num_codes: int = 64
    code_dim: int = 16
    hidden: int = 16
    held_out: int = 500
    dataset: str = "mnist"


SETTINGS = {
    **{f"k-means, β = {b:g}": Setting(b, kmeans=True) for b in (0.25, 1.0, 4.0, 16.0, 64.0)},
    **{f"random, β = {b:g}": Setting(b) for b in (0.05, 0.25, 1.0, 4.0)},
    "k-means, β = 0": Setting(0.0, kmeans=True),
    "EMA + k-means, β = 0": Setting(0.0, kmeans=True, quantizer="ema"),
}
SEEDS = range(5)
SMOKE = Setting(0.25, kmeans=True, moments=(1, 2), num_codes=8, hidden=8, held_out=20, dataset="glyphs")


def run(seed: int, setting: Setting) -> dict[str, float | list]:
    """Train once, stopping to measure.

    Returns:
        At the end of the run ``error`` (normalised, on held-out images), ``perplexity``, ``codes_used``, the mean
        ``distance`` of a latent from its code, ``gap`` (the mean distance of a code in use from its nearest neighbour
        in use; 0 if there is only one), ``spread`` (the same of a latent from the mean latent), ``mean_latent``,
        ``longest_latent`` and ``longest_code``, and ``changed``, the share of positions whose index changed in the
        last ten updates. Under the same names with ``_at``, the list over ``moments``.
    """
    train, validation = split(setting.dataset, setting.held_out)
    config = VQVAEConfig(
        in_channels=1,
        hidden=setting.hidden,
        residual_layers=0,
        num_codes=setting.num_codes,
        code_dim=setting.code_dim,
        beta=setting.beta,
        quantizer=setting.quantizer,
        data_variance=data_variance(train.images),
    )
    generator = seed_everything(seed)
    model = VQVAE(config)
    if setting.kmeans:
        model.init_codebook(as_float(train.images[:200]), generator)
    measured = train_and_measure(model, Batches(train, 16, generator), validation, setting)
    return {
        **measured[-1],
        "moments": list(setting.moments),
        **{f"{name}_at": [each[name] for each in measured] for name in measured[-1]},
    }


def train_and_measure(model: VQVAE, batches: Batches, validation: ImageSet, setting: Setting) -> list[dict]:
    """Train a model; return what it looks like at each of the moments."""
    x = as_float(validation.images[:200])
    taken, measured, earlier = 0, [], {}

    def watch(model):
        if any(taken == max(0, moment - 10) for moment in setting.moments):
            earlier["indices"] = model.encode(x)
        if taken in setting.moments:
            changed = float((model.encode(x) != earlier["indices"]).double().mean())
            measured.append({**looks_of(model, validation, x), "changed": changed})

    def step(model, batch):
        nonlocal taken
        with eval_mode(model):
            watch(model)
        taken += 1
        return vqvae_step(model, batch)

    end = setting.moments[-1]
    plan = TrainConfig(steps=end, lr=setting.lr, schedule="constant", log_every=end, progress=False)
    fit(model, batches, step, plan)
    watch(model)
    return measured


@torch.no_grad()
def looks_of(model: VQVAE, validation: ImageSet, x: Tensor) -> dict[str, float]:
    """Return how good a model is on images, and where the latents of some and the codes lie; the model is evaluated."""
    scores = evaluate_vqvae(model, validation)
    z_e = model.latents(x)
    indices = model.quantizer.choose(z_e)
    z, e_k = (model.quantizer.to_rows(each) for each in (z_e, model.quantizer.lookup(indices)))
    codebook = model.quantizer.codebook.detach()
    used = codebook[indices.unique()]
    apart = torch.cdist(used, used).fill_diagonal_(float("inf"))
    return {
        "error": scores.normalized_mse,
        "perplexity": scores.perplexity,
        "codes_used": scores.codes_used,
        "distance": float((z - e_k).norm(dim=1).mean()),
        "gap": float(apart.amin(dim=1).mean()) if len(used) > 1 else 0.0,
        "spread": float((z - z.mean(dim=0)).norm(dim=1).mean()),
        "mean_latent": float(z.norm(dim=1).mean()),
        "longest_latent": float(z.norm(dim=1).max()),
        "longest_code": float(codebook.norm(dim=1).max()),
    }
