"""How far do rare and unchosen codes move, under plain gradient descent and under Adam?

Page 4's toy: a thousand latents that stay where they are, 990 around one place, 10 around another, and a code far from
each. A third code is chosen for the first twenty updates only.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vqvae_course.quantize import nearest_code
from vqvae_course.runtime import seed_everything


@dataclass(frozen=True)
class Setting:
    """What one run is made of.

    Attributes:
        optimizer: ``"SGD"`` or ``"Adam"``, with the course's memory of 0.9 and 0.99.
        lr: Learning rate. Plain descent needs a large one to be seen at all.
        batch: Latents per update, drawn anew each time; 0 for all of them.
        updates: In all.
        until: Updates during which the third code has latents.
    """

    optimizer: str
    lr: float
    batch: int = 0
    updates: int = 200
    until: int = 20


SETTINGS = {
    "SGD, all latents": Setting("SGD", 1.0),
    "SGD, batches of 50": Setting("SGD", 1.0, batch=50),
    "Adam, all latents": Setting("Adam", 1e-3),
    "Adam, batches of 50": Setting("Adam", 1e-3, batch=50),
}
SEEDS = range(10)
SMOKE = Setting("Adam", 1e-3, updates=3, until=1)
COMMON, RARE, LEFT = range(3)


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Let three codes follow their latents.

    Returns:
        ``common`` and ``rare``, how far these codes have moved, and ``ratio``, the first over the second; ``left``, how
        far the third moved while it was chosen, and ``drift``, how far after it was chosen for the last time.
    """
    generator = seed_everything(seed)
    homes = 20 * torch.eye(3, 16)  # far enough apart that nobody changes its mind
    latents = torch.cat(
        [home + 0.1 * torch.randn(n, 16, generator=generator) for home, n in zip(homes, (990, 10, 50), strict=True)]
    )
    direction = torch.nn.functional.normalize(torch.randn(3, 16, generator=generator), dim=1)
    codes = torch.nn.Parameter(homes + 4 * direction)
    options = {"betas": (0.9, 0.99)} if setting.optimizer == "Adam" else {}
    optimizer = getattr(torch.optim, setting.optimizer)([codes], lr=setting.lr, **options)
    places = [codes.detach().clone()]
    for update in range(setting.updates):
        z = batch_of(latents if update < setting.until else latents[:1000], setting.batch, generator)
        loss = (z - codes[nearest_code(z, codes.detach())]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        places.append(codes.detach().clone())
    start, then, end = places[0], places[setting.until], places[-1]
    moved = (end - start).norm(dim=1)
    return {
        "common": float(moved[COMMON]),
        "rare": float(moved[RARE]),
        "ratio": float(moved[COMMON] / moved[RARE]),
        "left": float((then - start)[LEFT].norm()),
        "drift": float((end - then)[LEFT].norm()),
    }


def batch_of(latents: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return some of the latents, drawn at random, or all."""
    return latents[torch.randperm(len(latents), generator=generator)[:size]] if size else latents
