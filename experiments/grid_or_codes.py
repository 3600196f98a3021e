"""At equal bits, is a fine grid of few codes better or a coarse one of many?

Two index maps of 512 bits, trained for two lengths, because the answer of a short training need not be that of a long
one (page 8).
"""

from dataclasses import dataclass

from experiments.training import centred_start, split
from vqvae_course.data import Batches, as_float
from vqvae_course.evaluate import evaluate_vqvae
from vqvae_course.metrics import data_variance, latent_bits
from vqvae_course.runtime import seed_everything
from vqvae_course.train import TrainConfig, fit, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig


@dataclass(frozen=True)
class Setting:
    """What one training is made of.

    Attributes:
        downsample: Pixels per place, along one side.
        num_codes: K.
        updates: Of 32 images; the learning rate goes through one cycle in them.
        lr: Highest learning rate.
        hidden: Channels of the network.
        held_out: Images to score on.
        dataset: Name for ``split``.
    """

    downsample: int = 4
    num_codes: int = 64
    updates: int = 300
    lr: float = 0.005
    hidden: int = 16
    held_out: int = 1000
    dataset: str = "scenes"


MAPS = {"16×16 of 4": (2, 4), "8×8 of 256": (4, 256)}
SETTINGS = {
    f"{name}, {updates} updates": Setting(*shape, updates=updates)
    for updates in (200, 600)
    for name, shape in MAPS.items()
}
SEEDS = range(5)
SMOKE = Setting(num_codes=8, updates=3, hidden=8, held_out=20)


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Train once; return the price of a map and what it buys.

    Returns:
        ``bits`` per image; ``normalized_mse``, ``psnr``, ``perplexity`` and ``codes_used`` on held-out images;
        ``train_mse``, the normalised MSE on as many images of the training set.
    """
    train, validation = split(setting.dataset, setting.held_out)
    config = VQVAEConfig(
        hidden=setting.hidden,
        residual_layers=1,
        residual_hidden=setting.hidden // 2,
        num_codes=setting.num_codes,
        code_dim=16,
        downsample=setting.downsample,
        decay=0.95,
        data_variance=data_variance(train.images),
        normalize_latents=True,
        restart_below=1.0,
    )
    generator = seed_everything(seed)
    model = centred_start(VQVAE(config))
    model.init_codebook(as_float(train.images[:256]), generator)
    plan = TrainConfig(steps=setting.updates, lr=setting.lr, clip=1.0, log_every=setting.updates, progress=False)
    fit(model, Batches(train, 32, generator), vqvae_step, plan)
    scores = evaluate_vqvae(model, validation)
    side = train.images.shape[-1] // setting.downsample
    return {
        "bits": latent_bits(side, side, setting.num_codes),
        "normalized_mse": scores.normalized_mse,
        "psnr": scores.psnr,
        "perplexity": scores.perplexity,
        "codes_used": scores.codes_used,
        "train_mse": evaluate_vqvae(model, train.take(slice(0, setting.held_out))).normalized_mse,
    }
