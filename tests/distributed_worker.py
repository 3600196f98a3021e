"""One of the processes that ``test_distributed`` starts: ``python -m tests.distributed_worker FOLDER``.

Each scenario returns what this process has seen; it is saved as ``FOLDER/<scenario>_<rank>.pt``. The tests call the
scenarios in their own process too, where they are the run of a single process to compare with.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from vqvae_course import distributed
from vqvae_course.conditional import ConditionalPrior, ConditionalPriorConfig
from vqvae_course.data import Batches, CodeSet, ImageSet, as_float
from vqvae_course.distributed import Parallel, World, agreed, anywhere, from_first, gathered, together, total, world
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.quantize import EMAVectorQuantizer, VectorQuantizer, kmeans_init, restart_dead_codes
from vqvae_course.train import TrainConfig, fit, prior_step, vqvae2_step, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig
from vqvae_course.vqvae2 import VQVAE2, VQVAE2Config

N, H, W, K, BATCH = 200, 8, 12, 17, 24
SMALL = {"in_channels": 1, "hidden": 8, "residual_layers": 1, "residual_hidden": 4, "num_codes": K, "code_dim": 3}
PLAIN = TrainConfig(steps=20, lr=1e-2, log_every=5, progress=False)


def images() -> ImageSet:
    """Return noise over shapes that differ, so that codes do."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(N, 1, H, W, generator=generator)
    tilt = torch.linspace(0, 1, W) * torch.rand(N, 1, 1, 1, generator=generator)
    return ImageSet(((noise + 2 * tilt) / 3 * 255).byte(), torch.arange(N) % 3, "noise")


def batches(data: ImageSet | CodeSet) -> Batches:
    """Return the stream of this process."""
    return Batches(data, BATCH, torch.Generator().manual_seed(1), shard=tuple(world()))


def part(x: torch.Tensor) -> torch.Tensor:
    """Return this process's share of rows."""
    rank, size = world()
    return x.chunk(size)[rank]


def state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of weights and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def trained(model: torch.nn.Module, data: ImageSet | CodeSet, step: Callable, **changes: Any) -> dict[str, Any]:
    """Train for 20 updates and return the weights and the history."""
    history = fit(model, batches(data), step, replace(PLAIN, **changes))
    return {"weights": state(model), "history": history.values, "images": history.images, "steps": history.steps}


def vqvae(**changes: Any) -> VQVAE:
    """Return a small model, its codes on the latents of all processes' images."""
    torch.manual_seed(1)
    model = VQVAE(VQVAEConfig(**{**SMALL, "downsample": 2, **changes}))
    model.init_codebook(part(as_float(images().images[: 2 * BATCH])))
    return model


def talk() -> dict[str, Any]:
    """Use every way to agree."""
    rank = world().rank
    mine = torch.tensor([[1.0, rank]])
    return {
        "world": world(),
        "total": total(mine),
        "kept": mine,
        "gathered": gathered(mine),
        "from_first": from_first(mine),
        "agreed": agreed({"rank": rank}),
        "anywhere": (anywhere(rank == 0), anywhere(False)),
    }


def ema() -> dict[str, Any]:
    """Train with running means, and codes that are restarted all the time."""
    return trained(vqvae(restart_below=1.0), images(), vqvae_step)


def gradient() -> dict[str, Any]:
    """Train with a codebook that learns by gradient."""
    return trained(vqvae(quantizer="gradient"), images(), vqvae_step, clip=0.1)


def hierarchy() -> dict[str, Any]:
    """Train a VQ-VAE-2."""
    torch.manual_seed(1)
    model = VQVAE2(VQVAE2Config(**SMALL | {"num_codes": (5, K)}, strides=(2, 2), restart_below=0.5))
    model.init_codebook(part(as_float(images().images[: 2 * BATCH])))
    return trained(model, images(), vqvae2_step)


def prior() -> dict[str, Any]:
    """Train a prior with classes."""
    torch.manual_seed(1)
    maps = (torch.arange(N)[:, None, None] + torch.arange(4)[:, None] + torch.arange(6)) % K
    codes = CodeSet(maps, torch.arange(N) % 3, "stairs")
    return trained(GatedPixelCNN(GatedPixelCNNConfig(K, hidden=6, layers=2, num_classes=3)), codes, prior_step)


def conditional() -> dict[str, Any]:
    """Train a prior that is told of a level above."""
    torch.manual_seed(1)
    maps = (torch.arange(N)[:, None, None] + torch.arange(4)[:, None] + torch.arange(6)) % K
    codes = CodeSet(maps, torch.arange(N) % 3, "stairs", (maps[:, ::2, ::2],))
    return trained(
        ConditionalPrior(ConditionalPriorConfig(K, [(K, 2)], hidden=6, layers=2, stack_layers=1)), codes, prior_step
    )


def normalized() -> dict[str, Any]:
    """Take one gradient through the shared normalisation."""
    model = vqvae(normalize_latents=True).train()
    step = Parallel(model) if world().size > 1 else model
    x = part(as_float(images().images[:BATCH]))
    output = step(x)
    output.loss.backward()
    return {
        "x_hat": output.x_hat.detach(),
        "gradients": {name: weight.grad for name, weight in model.named_parameters()},
        "buffers": {name: buffer.clone() for name, buffer in model.named_buffers()},
    }


def restarts() -> dict[str, Any]:
    """Restart codes where each process has a random state and latents of its own."""
    rank = world().rank
    torch.manual_seed(5)
    latents = part(torch.randn(6, 3, 2, 5))
    quantizer, gradient_quantizer = EMAVectorQuantizer(7, 3), VectorQuantizer(7, 3)
    torch.manual_seed(100 + rank)
    quantizer.reset_codes(slice(None), kmeans_init(quantizer.to_rows(latents), 7))
    started = quantizer.codebook.clone()
    quantizer.ema_count[[1, 4]] = 0.0
    restarted = restart_dead_codes(quantizer, latents)
    usage = torch.tensor([0.0, 3.0, 0.0, 3.0, 3.0, 3.0, 0.0]) if rank == 0 else torch.tensor([3.0] + [0.0] * 6)
    by_usage = restart_dead_codes(gradient_quantizer, latents, usage=usage)
    return {
        "latents": latents,
        "started": started,
        "restarted": restarted,
        "codebook": quantizer.codebook.clone(),
        "sums": quantizer.ema_sum.clone(),
        "by_usage": by_usage,
        "gradient_codebook": gradient_quantizer.codebook.detach().clone(),
    }


def stream() -> dict[str, Any]:
    """Take the batches of two passes and a half."""
    data = ImageSet(torch.zeros(N, 1, 2, 2, dtype=torch.uint8), torch.arange(N), "numbers")
    return {"rows": [next(batch).labels for batch in [batches(data)] for _ in range(20)]}


def stopping(folder: Path) -> dict[str, Any]:
    """Be asked to stop in the last process only, and see who writes."""
    asked = iter(range(1, 100))
    path = folder / f"checkpoint_{world().rank}.pt"
    last = world().rank == world().size - 1
    config = replace(PLAIN, checkpoint=str(path))
    model = vqvae()
    history = fit(model, batches(images()), vqvae_step, config, should_stop=lambda: next(asked) == 7 and last)
    return {"steps": history.steps, "wrote": path.exists()}


def different_weights() -> dict[str, Any]:
    """Start each process with weights and buffers of its own, which must not stay."""
    torch.manual_seed(world().rank)
    return trained(VQVAE(VQVAEConfig(**SMALL, downsample=2)), images(), vqvae_step, steps=2)


SCENARIOS = (talk, ema, gradient, hierarchy, prior, conditional, normalized, restarts, stream, different_weights)


def main(folder: Path) -> None:
    """Run all scenarios."""
    torch.set_num_threads(1)
    with together(timeout=600) as (rank, _):
        for scenario in SCENARIOS:
            torch.save(scenario(), folder / f"{scenario.__name__}_{rank}.pt")
        torch.save(stopping(folder), folder / f"stopping_{rank}.pt")
    assert distributed.world() == World(0, 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
