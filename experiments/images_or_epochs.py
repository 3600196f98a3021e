"""Does a VQ-VAE overfit when it sees its images often, or when it has few of them?

The number of distinct images and the number of updates are varied each on its own, in factors of four, so that equal
epochs and equal updates can both be compared (page 8).
"""

from dataclasses import dataclass

from experiments.training import centred_start, split
from vqvae_course.data import Batches, as_float
from vqvae_course.evaluate import evaluate_vqvae
from vqvae_course.metrics import data_variance
from vqvae_course.runtime import seed_everything
from vqvae_course.train import TrainConfig, fit, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig


@dataclass(frozen=True)
class Setting:
    """What one training is made of.

    Attributes:
        images: Distinct images to train on; every seed has others.
        updates: Of 32 images; the learning rate goes through one cycle in them.
        lr: Highest learning rate.
        num_codes: K.
        code_dim: D.
        hidden: Channels of the network.
        held_out: Fresh images to score on.
        dataset: Name for ``split``.
    """

    images: int = 64
    updates: int = 100
    lr: float = 0.005
    num_codes: int = 64
    code_dim: int = 16
    hidden: int = 16
    held_out: int = 1000
    dataset: str = "cifar10_jpeg"


SETTINGS = {f"{n} images, {t} updates": Setting(n, t) for n in (64, 256) for t in (100, 400)}
SEEDS = range(5)
SMOKE = Setting(images=32, updates=3, num_codes=8, hidden=8, held_out=20, dataset="scenes")


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Train once; compare the images it was trained on with fresh ones.

    Returns:
        ``epochs``; ``trained_mse`` and ``fresh_mse``, the normalised MSE on both; ``gap``, by what part the second is
        larger than the first.
    """
    train, fresh = split(setting.dataset, setting.held_out)
    few = train.take(slice(seed * setting.images, (seed + 1) * setting.images))
    config = VQVAEConfig(
        hidden=setting.hidden,
        residual_layers=1,
        residual_hidden=setting.hidden // 2,
        num_codes=setting.num_codes,
        code_dim=setting.code_dim,
        decay=0.95,
        data_variance=data_variance(train.images),
        normalize_latents=True,
        restart_below=1.0,
    )
    generator = seed_everything(seed)
    model = centred_start(VQVAE(config))
    model.init_codebook(as_float(few.images[:256]), generator)
    plan = TrainConfig(steps=setting.updates, lr=setting.lr, clip=1.0, log_every=setting.updates, progress=False)
    fit(model, Batches(few, 32, generator), vqvae_step, plan)
    trained_mse, fresh_mse = (evaluate_vqvae(model, part).normalized_mse for part in (few, fresh))
    return {
        "epochs": setting.updates * 32 / setting.images,
        "trained_mse": trained_mse,
        "fresh_mse": fresh_mse,
        "gap": fresh_mse / trained_mse - 1,
    }
