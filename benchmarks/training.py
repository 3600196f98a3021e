"""One training update of a VQ-VAE against the same network without a quantizer."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import interleaved
from vqvae_course.data import Batch
from vqvae_course.train import Step, StepResult, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig

BATCH, SIDE = 32, 32
QUEUED = 10  # updates between two looks at a clock on a GPU: as in training, the next is prepared while one runs
CONFIG = VQVAEConfig()  # the classic setting: 128 channels, two residual layers of 32, K = 512, D = 64


class Autoencoder(nn.Module):
    """The network of a VQ-VAE with nothing between encoder and decoder."""

    def __init__(self, config: VQVAEConfig):
        super().__init__()
        self.model = VQVAE(config)

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction."""
        return self.model.decoder(self.model.latents(x))


def autoencoder_step(model: nn.Module, batch: Batch) -> StepResult:
    """Compute the squared error of one batch."""
    loss = F.mse_loss(model(batch.x), batch.x)
    return StepResult(loss, {"recon_loss": loss})


def updater(model: nn.Module, step: Step, device: str, updates: int) -> Callable[[], None]:
    """Return a function that makes some updates, as ``train.fit`` does."""
    model = model.to(device)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=3e-4)
    batch = Batch(torch.rand(BATCH, 3, SIDE, SIDE, device=device), torch.zeros(BATCH, dtype=torch.int64))

    def update() -> None:
        for _ in range(updates):
            loss, _ = step(model, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return update


def measure(device: str = "cpu", rounds: int = 15) -> dict[str, float]:
    """Return name -> seconds of an update over those of the autoencoder; the latter in ``"floor_ms"``."""
    torch.manual_seed(0)
    updates = 1 if device == "cpu" else QUEUED
    seconds = interleaved(
        {
            "no quantizer": updater(Autoencoder(CONFIG), autoencoder_step, device, updates),
            "gradient codebook": updater(VQVAE(VQVAEConfig(quantizer="gradient")), vqvae_step, device, updates),
            "EMA codebook": updater(VQVAE(CONFIG), vqvae_step, device, updates),
        },
        rounds,
    )
    return {name: value / seconds["no quantizer"] for name, value in seconds.items()} | {
        "floor_ms": 1e3 * seconds["no quantizer"] / updates
    }
