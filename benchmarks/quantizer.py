"""The whole quantizer, forward and backward, in multiples of what finding the nearest code costs at the very least."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

from benchmarks.measure import interleaved, peak_mib
from vqvae_course.quantize import EMAVectorQuantizer, VectorQuantizer

SHAPES = [((32, 64, 8, 8), 512), ((128, 16, 7, 7), 128), ((16, 64, 64, 64), 512)]  # (B, D, h, w), K
TOO_LARGE = 4e9  # bytes: a difference of all latents with all codes beyond this is not tried


class Tutorial(nn.Module):
    """A quantizer as tutorials write it, with one way or another to find the nearest code."""

    def __init__(self, num_codes: int, code_dim: int, distance: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(num_codes, code_dim))
        self.distance = distance

    def forward(self, z_e: Tensor) -> tuple[Tensor, Tensor]:
        """Return the quantized latents and the loss."""
        rows = z_e.permute(0, 2, 3, 1).contiguous()  # (B, h, w, D)
        flat = rows.view(-1, rows.shape[-1])
        e_k = F.embedding(self.distance(flat, self.codebook).argmin(dim=1), self.codebook).view(rows.shape)
        loss = F.mse_loss(e_k, rows.detach()) + 0.25 * F.mse_loss(rows, e_k.detach())
        return (rows + (e_k - rows).detach()).permute(0, 3, 1, 2).contiguous(), loss


def broadcast(z: Tensor, codebook: Tensor) -> Tensor:
    """Return all squared distances by way of all differences, (N, K, D) of them."""
    return (z[:, None] - codebook).square().sum(dim=2)


def contestants(shape: tuple[int, int, int, int], num_codes: int, device: str) -> dict[str, Callable[[Tensor], tuple]]:
    """Return name -> quantizer, called with ``z_e`` and returning the quantized latents and a loss."""
    batch, dim, height, width = shape
    published = VectorQuantize(dim, num_codes, accept_image_fmap=True).to(device)  # returns quantized, indices, loss
    found: dict[str, Callable[[Tensor], tuple]] = {
        "this course, gradient codebook": _latents_and_loss(VectorQuantizer(num_codes, dim).to(device)),
        "this course, EMA codebook": _latents_and_loss(EMAVectorQuantizer(num_codes, dim).to(device)),
        "`vector-quantize-pytorch`": lambda z: published(z)[::2],
        "`torch.cdist`": Tutorial(num_codes, dim, torch.cdist).to(device),
    }
    if 4 * batch * height * width * num_codes * dim < TOO_LARGE:
        found["broadcast of many tutorials"] = Tutorial(num_codes, dim, broadcast).to(device)
    return found


def _latents_and_loss(quantizer: nn.Module) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    def call(z_e: Tensor) -> tuple[Tensor, Tensor]:
        q = quantizer(z_e)
        return q.z_q, q.loss

    return call


def once(quantizer: Callable[[Tensor], tuple], z_e: Tensor, upstream: Tensor | None) -> None:
    """Run a quantizer forward, and backward too if there is a gradient to send."""
    z_q, loss = quantizer(z_e)
    if upstream is not None:
        torch.autograd.backward([z_q, loss], [upstream, torch.ones_like(loss)])
        z_e.grad = None


def measure(shape: tuple[int, int, int, int], num_codes: int, device: str = "cpu", rounds: int = 15) -> dict[str, dict]:
    """Return name -> times of each contestant over that of the floor, forward and with backward; the floor in ms."""
    torch.manual_seed(0)
    z_e = torch.randn(shape, device=device, requires_grad=True)
    upstream = torch.randn(shape, device=device)
    rows = z_e.detach().movedim(1, -1).reshape(-1, shape[1])
    codebook = torch.randn(num_codes, shape[1], device=device)

    def floor() -> None:
        torch.addmm(codebook.square().sum(dim=1), rows, codebook.T, alpha=-2).argmin(dim=1)

    methods: dict[str, Callable[[], object]] = {"floor": floor}
    quantizers = contestants(shape, num_codes, device)
    for name, quantizer in quantizers.items():
        methods[name] = lambda q=quantizer: once(q, z_e, None)
        methods[f"{name}, backward"] = lambda q=quantizer: once(q, z_e, upstream)
    seconds = interleaved(methods, rounds)
    return {"floor": {"ms": 1e3 * seconds["floor"]}} | {
        name: {
            "forward": seconds[name] / seconds["floor"],
            "both": seconds[f"{name}, backward"] / seconds["floor"],
        }
        for name in quantizers
    }


def memory(shape: tuple[int, int, int, int], num_codes: int) -> dict[str, dict]:
    """Return name -> MiB by which a call, forward and backward, raises the memory in use; as "floor" those of z_e."""
    torch.manual_seed(0)
    z_e = torch.randn(shape, requires_grad=True)
    upstream = torch.randn(shape)
    return {"floor": {"mib": z_e.numel() * 4 / 2**20}} | {
        name: {"mib": peak_mib(lambda q=quantizer: once(q, z_e, upstream))}
        for name, quantizer in contestants(shape, num_codes, "cpu").items()
    }
