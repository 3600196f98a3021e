"""How noisy is a rare code beside a common one?

Two codes stand far apart, each on its cloud of latents; one of them is chosen by a share of the latents that is set by
hand, and nothing moves but by chance. No model is trained (page 6).
"""

from dataclasses import dataclass

import torch

from vqvae_course.quantize import EMAVectorQuantizer, VectorQuantizer


@dataclass(frozen=True)
class Setting:
    """One code and the rule that moves it.

    Attributes:
        rule: ``"EMA"``, ``"SGD"`` or ``"Adam"``.
        share: Of the latents that choose the code.
        batch: Latents per batch.
        batches: Over which the scatter is measured, after a tenth as many to settle.
        chase: Batches after the cloud has jumped.
        decay: Of the EMA.
        lr: Adam's; SGD's is such that a code with a share of 64 % goes as far per batch as under EMA.
    """

    rule: str = "EMA"
    share: float = 0.64
    batch: int = 256
    batches: int = 1000
    chase: int = 70
    decay: float = 0.99
    lr: float = 0.01


DIM = 32
SETTINGS = {
    f"{rule}, {share:.0%}": Setting(rule, share) for rule in ("EMA", "SGD", "Adam") for share in (0.64, 0.08, 0.01)
}
SEEDS = range(5)
SMOKE = Setting(rule="SGD", batches=20, chase=3)


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Let the code stand in the stream, then let its cloud jump by 1 in every direction.

    Returns:
        ``scatter``: the variance of a number of the code around the centre of its cloud, whose latents have variance
        1; ``gone``: the part of the way to the cloud's new centre that the code has gone after ``chase`` batches.
    """
    generator = torch.Generator().manual_seed(seed)
    layer, optimizer = at_home(setting)
    places = torch.stack([visit(layer, optimizer, setting, generator) for _ in range(setting.batches * 11 // 10)])
    before = places[-1].mean()
    for _ in range(setting.chase):
        after = visit(layer, optimizer, setting, generator, centre=1.0).mean()
    return {
        "scatter": float(places[setting.batches // 10 :].square().mean()),
        "gone": float((after - before) / (1 - before)),
    }


def at_home(setting: Setting) -> tuple[EMAVectorQuantizer | VectorQuantizer, torch.optim.Optimizer | None]:
    """Return a layer of two codes on the centres of their clouds, and what moves them if it is no EMA."""
    homes = torch.stack([torch.zeros(DIM), torch.full((DIM,), 100.0)])
    if setting.rule == "EMA":
        layer = EMAVectorQuantizer(2, DIM, decay=setting.decay)
        for i, share in enumerate((setting.share, 1 - setting.share)):  # counts as a long time here leaves them
            layer.reset_codes(torch.tensor([i]), homes[i : i + 1], setting.batch * share)
        return layer, None
    layer = VectorQuantizer(2, DIM)
    layer.reset_codes(slice(None), homes)
    if setting.rule == "Adam":
        return layer, torch.optim.Adam(layer.parameters(), lr=setting.lr, betas=(0.9, 0.99))
    return layer, torch.optim.SGD(layer.parameters(), lr=(1 - setting.decay) * DIM / (2 * 0.64))


def visit(layer, optimizer, setting: Setting, generator: torch.Generator, centre: float = 0.0) -> torch.Tensor:
    """Show the layer one batch; return where the code is then, (D,)."""
    ours = torch.rand(setting.batch, 1, generator=generator) < setting.share
    z = torch.randn(setting.batch, DIM, generator=generator) + torch.where(ours, centre, 100.0)
    loss = layer(z.T[None, :, None]).codebook_loss
    if optimizer:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return layer.codebook.detach()[0].clone()
