"""How does the classic setting on CIFAR-10 compare with the curve that its authors stored?

One run, a reproduction beside its source: the example notebook of Sonnet, version 2 (commit ae34a78, 14 May 2020),
stores the error and the perplexity of one run. Images are a copy of CIFAR-10 that had been saved as JPEG files. The run
can be interrupted: it goes on from a checkpoint in the folder for temporary files (page 8).
"""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from experiments.training import centred_start, split
from vqvae_course.data import Batches
from vqvae_course.evaluate import evaluate_vqvae
from vqvae_course.metrics import data_variance
from vqvae_course.runtime import seed_everything
from vqvae_course.train import TrainConfig, fit, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig


@dataclass(frozen=True)
class Setting:
    """What one training is made of.

    Attributes:
        updates: Of 32 images, at a constant learning rate.
        hidden: Channels of the network.
        num_codes: K.
        held_out: Images to score on; the authors trained on 40,000 as well.
        every: Updates averaged into a point of the curves.
        dataset: Name for ``split``.
    """

    updates: int = 10_000
    hidden: int = 128
    num_codes: int = 512
    held_out: int = 10_000
    every: int = 100
    dataset: str = "cifar10_jpeg"


SETTINGS = {"the examples' start": Setting(updates=2000)}
SEEDS = range(1)
SMOKE = Setting(updates=4, hidden=8, num_codes=16, held_out=20, every=2, dataset="scenes")


def run(seed: int, setting: Setting) -> dict[str, float | list[float]]:
    """Train once with the authors' start of the weights, the codes and the running averages.

    Returns:
        ``steps``, ``recon_curve`` and ``perplexity_curve``: updates, and the normalised MSE and the perplexity of a
        batch, each a mean over the ``every`` updates before; ``normalized_mse``, ``perplexity`` and ``codes_used`` on
        held-out images in the end.
    """
    train, validation = split(setting.dataset, setting.held_out)
    generator = seed_everything(seed)
    config = VQVAEConfig(hidden=setting.hidden, num_codes=setting.num_codes, data_variance=data_variance(train.images))
    model = centred_start(VQVAE(config), exactly=True)
    codes = (2 * torch.rand(config.num_codes, config.code_dim) - 1) * math.sqrt(3 / config.code_dim)
    model.quantizer.reset_codes(slice(None), codes, count=1e-8)
    checkpoint = Path(tempfile.gettempdir()) / f"classic_{setting.dataset}_{setting.hidden}_{seed}.pt"
    plan = TrainConfig(
        steps=setting.updates,
        lr=3e-4,
        schedule="constant",
        betas=(0.9, 0.999),
        log_every=setting.every,
        checkpoint=str(checkpoint),
        checkpoint_every=setting.every,
        resume=True,
        progress=False,
    )
    history = fit(model, Batches(train, 32, generator), vqvae_step, plan)
    scores = evaluate_vqvae(model, validation)
    checkpoint.unlink()
    return {
        "steps": list(history.steps),
        "recon_curve": list(history["recon_loss"]),
        "perplexity_curve": list(history["perplexity"]),
        "normalized_mse": scores.normalized_mse,
        "perplexity": scores.perplexity,
        "codes_used": scores.codes_used,
    }
