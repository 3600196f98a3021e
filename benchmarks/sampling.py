"""Sampling from a prior: the naive loop against the incremental way, same network, same run."""

import torch
from torch import Tensor, nn

from benchmarks.measure import seconds_of
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.pixelsnail import CausalAttention, PixelSNAIL, PixelSNAILConfig
from vqvae_course.prior import Prior
from vqvae_course.sampling import draw, sample

SHAPES = [(64, 8, 8), (64, 16, 16), (64, 32, 32), (16, 64, 64)]  # (B, h, w)
ATTENTION_SHAPES = [(64, 8, 8), (64, 16, 16), (16, 32, 32)]  # attention is for the small maps of a hierarchy's top
NUM_CODES, HIDDEN, LAYERS = 128, 64, 15
NAIVE_SECONDS = 60.0  # a naive loop that takes longer is timed at so many positions, evenly spread, as fit in here


def build(device: str, attention: bool = False) -> Prior:
    """Return the network of all rows, untrained: what it draws is noise, what it costs is the same."""
    torch.manual_seed(0)
    if attention:  # after every third gated layer
        prior = PixelSNAIL(PixelSNAILConfig(NUM_CODES, HIDDEN, blocks=LAYERS // 3, layers=3))
    else:
        prior = GatedPixelCNN(GatedPixelCNNConfig(NUM_CODES, HIDDEN, LAYERS))
    return prior.to(device).eval()


def products_per_position(prior: nn.Module, positions: int) -> int:
    """Return the multiplications that a new position needs at the least, on average over a map.

    Each weight of each convolution and each linear layer once; and where there is attention, one product of
    a query with each earlier key, and one of each weight with its value.
    """
    weights = sum(layer.weight.numel() for layer in prior.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
    attended = sum(layer.out.in_features for layer in prior.modules() if isinstance(layer, CausalAttention))
    return weights + attended * positions  # 2 products with half of the positions


@torch.inference_mode()
def measure(shape: tuple[int, int, int], device: str = "cpu", whole: bool = False, attention: bool = False) -> dict:
    """Return the seconds of one forward pass, of the naive loop and of the incremental way, and whether they agree.

    The naive loop does the same at each position: a whole forward pass and one draw. Where all
    positions would take too long, some are timed, between two runs of the incremental way.

    Args:
        shape: (B, h, w).
        device: Where.
        whole: Run the naive loop over all positions however long it takes, and compare the indices.
        attention: Measure a PixelSNAIL in place of a gated PixelCNN.
    """
    prior, positions = build(device, attention), shape[1] * shape[2]
    generator = torch.Generator().manual_seed(0)
    indices = torch.randint(NUM_CODES, shape, generator=generator).to(device)

    def step(place: int) -> Tensor:
        return draw(prior(indices)[:, :, place // shape[2], place % shape[2]], generator=generator)

    def incremental() -> Tensor:
        return sample(prior, shape, generator=torch.Generator().manual_seed(1))

    step(0), incremental()  # caches and allocators settle
    forward = min(seconds_of(lambda: prior(indices)) for _ in range(3))
    fast = [seconds_of(incremental)]
    timed = positions if whole else max(8, min(positions, int(NAIVE_SECONDS / forward)))
    same = None
    if timed == positions:
        drawn: list[Tensor] = []
        naive = seconds_of(
            lambda: drawn.append(sample(prior, shape, generator=torch.Generator().manual_seed(1), incremental=False))
        )
        same = torch.equal(drawn[0], incremental())
    else:
        places = [place * positions // timed for place in range(timed)]
        naive = sum(seconds_of(lambda p=place: step(p)) for place in places) * positions / timed
    fast.append(seconds_of(incremental))
    arithmetic = 2 * products_per_position(prior, positions) * shape[0] * positions
    return {
        "shape": shape,
        "forward": forward,
        "naive": naive,
        "timed": timed,
        "same": same,
        "incremental": min(fast),
        "gigaflop": arithmetic / 1e9,
    }
