"""What does a count of 0 beside a sum that is the code do to the codebook of a real model?

The same models from the same random codes with counts that start at 0 and at 1, three decays (page 6).
"""

from dataclasses import dataclass

from experiments.training import split
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
        count: First value of every running count; the running sum starts at the code.
        decay: Of the EMA codebook.
        updates: Of 32 images, at a constant learning rate.
        num_codes: K.
        hidden: Channels of the network.
        held_out: Images to score on.
        dataset: Name for ``load_images``.
    """

    count: float = 0.0
    decay: float = 0.99
    updates: int = 500
    num_codes: int = 128
    hidden: int = 32
    held_out: int = 1000
    dataset: str = "mnist"


SETTINGS = {
    "N = 0, decay 0.99": Setting(),
    "N = 1, decay 0.99": Setting(count=1.0),
    "N = 0, decay 0.97": Setting(decay=0.97, updates=600),
    "N = 0, decay 0.9": Setting(decay=0.9, updates=200),
}
SEEDS = range(5)
SMOKE = Setting(updates=4, num_codes=8, hidden=8, held_out=10, dataset="glyphs")


def run(seed: int, setting: Setting) -> dict[str, float | list[float]]:
    """Train once and watch the longest code.

    Returns:
        ``length_0``, ``length_1``, ``length_10``: the length of the longest code before the first update and after 1
        and 10 (or all, if fewer); ``longest`` and ``perplexity_curve``: that length and the batch's perplexity after
        each update; ``home``: the first update after which no code is longer than twice the longest first one, -1 if
        there is none; ``woken``: the first update after ``home`` at which a batch's perplexity is above 2, likewise;
        ``normalized_mse`` and ``codes_used`` on held-out images in the end.
    """
    train, validation = split(setting.dataset, setting.held_out)
    config = VQVAEConfig(
        in_channels=1,
        hidden=setting.hidden,
        residual_layers=0,
        num_codes=setting.num_codes,
        code_dim=32,
        decay=setting.decay,
        data_variance=data_variance(train.images),
    )
    generator = seed_everything(seed)
    model = VQVAE(config)
    model.quantizer.ema_count.fill_(setting.count)
    lengths = [longest(model)]
    plan = TrainConfig(steps=setting.updates, lr=0.002, schedule="constant", log_every=1, progress=False)
    history = fit(
        model, Batches(train, 32, generator), vqvae_step, plan, on_entry=lambda _: lengths.append(longest(model))
    )
    scores = evaluate_vqvae(model, validation)
    perplexities = history["perplexity"]
    first_long = next((i for i, each in enumerate(lengths) if each > 2 * lengths[0]), 0)
    home = next((i for i in range(first_long, len(lengths)) if lengths[i] <= 2 * lengths[0]), -1)
    woken = next((i + 1 for i in range(max(home, 0), len(perplexities)) if perplexities[i] > 2), -1)
    return {
        "length_0": lengths[0],
        "length_1": lengths[1],
        "length_10": lengths[min(10, len(lengths) - 1)],
        "home": home,
        "woken": woken if home >= 0 else -1,
        "normalized_mse": scores.normalized_mse,
        "codes_used": scores.codes_used,
        "longest": [float(f"{each:.4g}") for each in lengths],
        "perplexity_curve": [float(f"{each:.4g}") for each in perplexities],
    }


def longest(model: VQVAE) -> float:
    """Return the length of the longest code."""
    return float(model.quantizer.codebook.norm(dim=1).max())
