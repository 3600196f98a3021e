"""Convolutional encoders and decoders: strided convolutions around a stack of residual layers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ResidualLayer(nn.Module):
    """Add a small correction to a feature map.

    VQ-VAE (arXiv:1711.00937v2), section 4.1: "ReLU, 3x3 conv, ReLU, 1x1 conv", added to the input.

    Args:
        channels: Channels in and out.
        residual_hidden: Channels between the two convolutions.

    Explained in notebook 08.
    """

    def __init__(self, channels: int, residual_hidden: int):
        super().__init__()
        # No inplace=True on the first ReLU: it would clip the skip path as well.
        self.block = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, residual_hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(residual_hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        return x + self.block(x)


class ResidualStack(nn.Sequential):
    """Apply several residual layers, each with weights of its own, then a ReLU.

    Args:
        channels: Channels in and out.
        residual_layers: How many layers; 0 leaves the ReLU alone.
        residual_hidden: Channels inside each layer.

    Explained in notebook 08.
    """

    def __init__(self, channels: int, residual_layers: int, residual_hidden: int):
        layers = [ResidualLayer(channels, residual_hidden) for _ in range(residual_layers)]
        super().__init__(*layers, nn.ReLU())


def halvings(stride: int, name: str = "downsample") -> int:
    """Return n for a total stride of 2**n.

    Raises:
        ValueError: If ``stride`` is not a power of two, at least 2.
    """
    if stride < 2 or stride & (stride - 1):
        raise ValueError(f"{name} must be a power of two, at least 2, got {stride}")
    return stride.bit_length() - 1


def stage_widths(hidden: int, stages: int) -> list[int]:
    """Return the channels after each halving: half of ``hidden`` first, where maps are largest."""
    return [max(1, hidden // 2) if stage == 0 and stages > 1 else hidden for stage in range(stages)]


def receptive_field(layers: Sequence[tuple[int, int]]) -> int:
    """Return how many input pixels, along one side, one output of stacked convolutions looks at.

    Each layer adds (kernel - 1) steps of the size that the strides before it have reached:

        r = 1 + sum_l (k_l - 1) prod_{i < l} s_i

    Args:
        layers: (kernel, stride) of each convolution, first layer first.

    Explained in notebook 08.
    """
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field


class Encoder(nn.Sequential):
    """Turn an image into a feature map ``downsample`` times smaller.

    VQ-VAE (arXiv:1711.00937v2), section 4.1: 4x4 convolutions of stride 2, then residual layers.
    A 3x3 convolution stands between the two, as in the authors' published example, whose first
    convolution also has half the channels.

    Args:
        in_channels: Channels of the image.
        hidden: Channels of the feature map.
        residual_layers: Layers of the residual stack.
        residual_hidden: Channels inside a residual layer.
        downsample: Total stride, a power of two.
        patches: Look no further than the own patch and one pixel around it, ``downsample + 2`` pixels
            a side: after the first convolution the strided ones have 2x2 kernels, and the last is 1x1.
            Residual layers, with their 3x3 kernels, would look further again.

    Raises:
        ValueError: If ``downsample`` is not a power of two, at least 2.

    Explained in notebooks 05, 08 and 09.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        residual_layers: int,
        residual_hidden: int,
        downsample: int,
        patches: bool = False,
    ):
        widths = stage_widths(hidden, halvings(downsample))
        layers: list[nn.Module] = []
        for stage, (before, after) in enumerate(zip([in_channels, *widths], widths, strict=False)):
            kernel = 2 if patches and stage > 0 else 4
            layers += [nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2 - 1), nn.ReLU()]
        last = 1 if patches else 3
        layers += [
            nn.Conv2d(hidden, hidden, last, padding=last // 2),
            ResidualStack(hidden, residual_layers, residual_hidden),
        ]
        super().__init__(*layers)


class Decoder(nn.Sequential):
    """Turn a feature map back into an image, the mirror of ``Encoder``.

    Args:
        in_channels: Channels of the feature map, D when it holds codes.
        hidden: Channels inside.
        residual_layers: Layers of the residual stack.
        residual_hidden: Channels inside a residual layer.
        upsample: Total factor, a power of two.
        out_channels: Channels of the image.

    Raises:
        ValueError: If ``upsample`` is not a power of two, at least 2.

    Explained in notebooks 05 and 08.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        residual_layers: int,
        residual_hidden: int,
        upsample: int,
        out_channels: int,
    ):
        widths = stage_widths(hidden, halvings(upsample, "upsample"))[::-1]
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, hidden, 3, padding=1),
            ResidualStack(hidden, residual_layers, residual_hidden),
        ]
        for before, after in zip(widths, [*widths[1:], out_channels], strict=True):
            layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        super().__init__(*layers[:-1])  # no ReLU on the image


@torch.no_grad()
def start_from_data(model: nn.Module, first: nn.Module, last: nn.Module, images: Tensor) -> None:
    """Draw all convolutions anew, so that the signal keeps its size on the way and the first pictures are the mean.

    He et al. (arXiv:1502.01852v1), eq. 10: weights from N(0, 2 / n), where n is how many products an output adds up,
    and biases 0. Besides, the first layer takes away the mean of the images and divides by their standard deviation,
    and the last one does the reverse; a residual layer starts at half strength. PyTorch's own start lets the signal
    fade from layer to layer, and training then waits at the mean image for a time that depends on luck.

    Args:
        model: With layers of this module.
        first: The convolution that reads the image.
        last: The convolution that makes it.
        images: (N, C, H, W) float in [0, 1], some that it will be trained on.

    Explained in notebook 12.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            products = layer.in_channels * layer.weight[0, 0].numel()
            if isinstance(layer, nn.ConvTranspose2d):
                products /= layer.stride[0] * layer.stride[1]  # an output hears only every stride-th weight
            layer.weight.normal_(std=(2 / products) ** 0.5)
            layer.bias.zero_()
    for layer in model.modules():
        if isinstance(layer, ResidualLayer):
            layer.block[-1].weight.mul_(0.5)
    mean, std = images.mean(dim=(0, 2, 3)), float(images.std())
    first.weight.div_(std * 2**0.5)  # no ReLU before it halves what comes in
    first.bias.sub_(torch.einsum("ochw,c->o", first.weight, mean))
    last.weight.mul_(std / 2)
    last.bias.copy_(mean)
