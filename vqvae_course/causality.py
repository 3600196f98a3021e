"""What a network over maps sees: which positions an output feels, whether any is in the future, which it misses."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

Net = Callable[[Tensor], Tensor]

SCALES = (1.0, 1.0, 10.0, 0.1)  # of the random inputs: a unit that is dead or saturated at one wakes up at another


def influence(net: Net, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Measure how strongly each output position feels each input position, by gradient.

        influence[p, q] = sum_{b,c} | d (sum_o weight_o net(x)_{b,o,p}) / d x_{b,c,q} |

    The random weights keep effects on several output channels from cancelling. A module, or a
    method of one, is copied to the CPU in float64, so that weak influences are not rounded to 0,
    and stays as it is; it is asked in the mode it is in. Any other callable gets ``x`` itself.

    Args:
        net: Maps (B, C, h, w) to (B, C', h, w), such as a layer, or ``prior.logits_from``, which
            takes embedded codes; an index has no gradient.
        x: (B, C, h, w) float, where the gradient is taken.
        generator: Where the weights come from, a CPU generator; the global one if None.

    Returns:
        (h * w, h * w) float: row an output position, column an input position, both in raster
        order. A 0 means that nothing is felt at this ``x`` with these parameters.

    Raises:
        ValueError: If the net does not return one position per position.

    Explained in notebook 10.
    """
    net, dtype = _in_double(net)
    return _influence(net, x.detach().to("cpu" if dtype else x.device, dtype or x.dtype), generator)


def is_causal(
    net: Net,
    channels: int,
    height: int,
    width: int,
    strict: bool = True,
    generator: torch.Generator | None = None,
) -> bool:
    """Say whether no output position feels anything later in raster order, nor, if strict, itself.

    Random inputs of several scales, so that a ReLU that is off does not hide a leak. The verdict is
    on the parameters as they are: a weight that is zero today, and not kept at zero, may leak
    tomorrow. Use a ``height`` and a ``width`` that differ; two axes in the wrong order do not show
    on a square.

    Args:
        net: Maps (B, channels, h, w) to (B, C', h, w); see ``influence``.
        channels: C.
        height: h.
        width: w.
        strict: Whether a position must not feel itself either, as a whole prior must not; a layer
            with mask B may.
        generator: Where inputs and weights come from, a CPU generator; the global one if None.

    Returns:
        The verdict.

    Explained in notebook 10.
    """
    felt = _felt(net, channels, height, width, generator)
    return not bool(felt.triu(0 if strict else 1).any())


def blind_spot(net: Net, channels: int, height: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    """Return which earlier positions each output position does not feel.

    Gated PixelCNN (arXiv:1606.05328v2), section 2.2, figure 1: a stack of masked convolutions never
    sees some positions above and to the right. A net without enough layers misses more, the
    positions it does not reach yet.

    Args:
        net: Maps (B, channels, h, w) to (B, C', h, w); see ``influence``.
        channels: C.
        height: h.
        width: w.
        generator: Where inputs and weights come from, a CPU generator; the global one if None.

    Returns:
        (h * w, h * w) bool, row an output position, column an input position: True where the
        column is earlier in raster order and not felt.

    Explained in notebook 10.
    """
    felt = _felt(net, channels, height, width, generator)
    return ~felt & torch.ones_like(felt).tril(-1)


def _in_double(net: Net) -> tuple[Net, torch.dtype | None]:
    """Return a copy in float64 and that type, or the net itself and None if there is nothing to copy."""
    if not isinstance(getattr(net, "__self__", net), nn.Module):
        return net, None
    net = copy.deepcopy(net)  # of a method, with the module it belongs to
    module = getattr(net, "__self__", net)
    module.to("cpu", torch.float64).requires_grad_(False)
    return net, torch.float64


def _influence(net: Net, x: Tensor, generator: torch.Generator | None) -> Tensor:
    with torch.enable_grad():
        x = x.requires_grad_()
        out = net(x)
        if out.ndim != 4 or out.shape[0] != x.shape[0] or out.shape[2:] != x.shape[2:]:
            raise ValueError(
                f"net must return (B, C', h, w) with the B, h and w of its input {tuple(x.shape)}, "
                f"got {tuple(out.shape)}"
            )
        positions = x.shape[2] * x.shape[3]
        if not out.requires_grad:  # it does not look at its input
            return x.new_zeros(positions, positions)
        weight = torch.randn(out.shape[1], generator=generator, dtype=torch.float64).to(out)
        heard = torch.einsum("bchw,c->hw", out, weight).flatten()
        rows = []
        for total in heard:
            (gradient,) = torch.autograd.grad(total, x, retain_graph=True, materialize_grads=True)
            rows.append(gradient.abs().sum(dim=(0, 1)).flatten())
    return torch.stack(rows)


def _felt(net: Net, channels: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
    """Return (h * w, h * w) bool, what is felt at one of several random inputs."""
    net, dtype = _in_double(net)
    felt = torch.zeros(height * width, height * width, dtype=torch.bool)
    for scale in SCALES:
        x = scale * torch.randn(4, channels, height, width, generator=generator, dtype=dtype)
        felt |= _influence(net, x, generator) != 0  # NaN counts as felt
    return felt
