import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vqvae_course.encdec import (
    Decoder,
    Encoder,
    ResidualLayer,
    ResidualStack,
    halvings,
    receptive_field,
    stage_widths,
    start_from_data,
)

B, CHANNELS, HIDDEN, RESIDUAL_HIDDEN, H, W = 2, 3, 8, 5, 4, 6


def zero_last_convolution(layer: ResidualLayer) -> None:
    last = layer.block[-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


def test_a_residual_layer_adds_relu_conv_relu_conv_to_its_input():
    layer, x = ResidualLayer(HIDDEN, RESIDUAL_HIDDEN), torch.randn(B, HIDDEN, H, W)
    wide, narrow = (module for module in layer.modules() if isinstance(module, nn.Conv2d))
    assert wide.weight.shape == (RESIDUAL_HIDDEN, HIDDEN, 3, 3)
    assert narrow.weight.shape == (HIDDEN, RESIDUAL_HIDDEN, 1, 1)
    inside = F.relu(F.conv2d(F.relu(x), wide.weight, wide.bias, padding=1))
    torch.testing.assert_close(layer(x), x + F.conv2d(inside, narrow.weight, narrow.bias))


def test_the_skip_path_is_exact_for_negative_inputs_too():
    layer, x = ResidualLayer(HIDDEN, RESIDUAL_HIDDEN), torch.randn(B, HIDDEN, H, W)
    zero_last_convolution(layer)
    assert (x < 0).any()
    assert torch.equal(layer(x), x)


def test_a_stack_of_idle_layers_is_a_relu():
    stack, x = ResidualStack(HIDDEN, 3, RESIDUAL_HIDDEN), torch.randn(B, HIDDEN, H, W)
    for layer in list(stack)[:-1]:
        zero_last_convolution(layer)
    assert torch.equal(stack(x), F.relu(x))


def test_an_empty_stack_is_a_relu():
    x = torch.randn(B, HIDDEN, H, W)
    assert torch.equal(ResidualStack(HIDDEN, 0, RESIDUAL_HIDDEN)(x), F.relu(x))


@pytest.mark.parametrize(
    "network",
    [
        ResidualStack(HIDDEN, 3, RESIDUAL_HIDDEN),
        Encoder(CHANNELS, HIDDEN, 3, RESIDUAL_HIDDEN, 4),
        Decoder(CHANNELS, HIDDEN, 3, RESIDUAL_HIDDEN, 4, 1),
    ],
    ids=lambda network: type(network).__name__,
)
def test_every_residual_layer_has_weights_of_its_own(network):
    layers = [module for module in network.modules() if isinstance(module, ResidualLayer)]
    weights = [parameter.data_ptr() for layer in layers for parameter in layer.parameters()]
    assert len(layers) == 3
    assert len(weights) == len(set(weights)) == 3 * 4


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_each_residual_layer_adds_the_same_number_of_parameters(layers):
    def count(number):
        return sum(p.numel() for p in Encoder(CHANNELS, HIDDEN, number, RESIDUAL_HIDDEN, 4).parameters())

    one = sum(p.numel() for p in ResidualLayer(HIDDEN, RESIDUAL_HIDDEN).parameters())
    assert count(layers) == count(0) + layers * one


@pytest.mark.parametrize(
    "network",
    [
        ResidualLayer(HIDDEN, 5),
        ResidualStack(HIDDEN, 2, 5),
        Encoder(HIDDEN, 4, 2, 5, 2),
        Decoder(HIDDEN, 4, 2, 5, 2, 3),
    ],
    ids=lambda network: type(network).__name__,
)
def test_a_network_does_not_change_its_input(network):
    x = torch.randn(B, HIDDEN, H, W)
    before = x.clone()
    network(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("residual_layers", [0, 2])
def test_the_encoder_divides_each_side_by_the_stride_and_the_decoder_undoes_it(stride, residual_layers):
    x = torch.rand(B, CHANNELS, 8 * 2, 8 * 3)
    features = Encoder(CHANNELS, HIDDEN, residual_layers, RESIDUAL_HIDDEN, stride)(x)
    assert features.shape == (B, HIDDEN, 16 // stride, 24 // stride)
    decoder = Decoder(HIDDEN, 10, residual_layers, RESIDUAL_HIDDEN, stride, CHANNELS)
    assert decoder(features).shape == x.shape


def test_the_largest_maps_have_half_the_channels():
    assert stage_widths(8, 1) == [8]
    assert stage_widths(8, 2) == [4, 8]
    assert stage_widths(8, 3) == [4, 8, 8]


def test_even_the_narrowest_network_keeps_a_channel():
    assert min(stage_widths(1, 2)) >= 1


def test_the_image_is_not_clipped():
    x_hat = Decoder(HIDDEN, HIDDEN, 2, RESIDUAL_HIDDEN, 4, CHANNELS)(10 * torch.randn(B, HIDDEN, H, W))
    assert x_hat.min() < 0 < x_hat.max()


def test_gradients_reach_every_weight():
    encoder = Encoder(CHANNELS, HIDDEN, 2, RESIDUAL_HIDDEN, 4)
    decoder = Decoder(HIDDEN, HIDDEN, 2, RESIDUAL_HIDDEN, 4, CHANNELS)
    decoder(encoder(torch.rand(B, CHANNELS, 16, 24))).square().sum().backward()
    for name, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("stride", "number"), [(2, 1), (4, 2), (8, 3), (16, 4)])
def test_halvings_count_the_powers_of_two(stride, number):
    assert halvings(stride) == number


@pytest.mark.parametrize("stride", [0, 1, 3, 6, -2])
def test_a_stride_must_be_a_power_of_two(stride):
    with pytest.raises(ValueError, match=f"downsample must be a power of two, at least 2, got {stride}"):
        Encoder(CHANNELS, HIDDEN, 2, RESIDUAL_HIDDEN, stride)
    with pytest.raises(ValueError, match=f"must be a power of two, at least 2, got {stride}"):
        Decoder(HIDDEN, HIDDEN, 2, RESIDUAL_HIDDEN, stride, CHANNELS)


def test_the_receptive_field_is_what_gradients_reach():
    layers = [(4, 2), (3, 1), (5, 2), (2, 1)]
    network = nn.Sequential(*(nn.Conv1d(1, 1, kernel, stride) for kernel, stride in layers))
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.5)
    x = torch.zeros(1, 1, 80, requires_grad=True)
    network(x)[0, 0, 2].backward()
    assert int((x.grad != 0).sum()) == receptive_field(layers)


def test_without_layers_an_output_sees_one_pixel():
    assert receptive_field([]) == 1


@pytest.mark.parametrize("downsample", [2, 4, 8])
def test_with_patches_a_latent_sees_its_own_patch_and_one_pixel_around_it(downsample):
    encoder = Encoder(1, 8, 0, 4, downsample, patches=True).double()
    x = torch.rand(1, 1, 5 * downsample, 6 * downsample, dtype=torch.float64, requires_grad=True)
    features = encoder(x)
    assert features.shape == (1, 8, 5, 6)
    (gradient,) = torch.autograd.grad(features[0, :, 2, 3].sum(), x)
    rows, columns = gradient[0, 0].abs().sum(dim=1).nonzero()[:, 0], gradient[0, 0].abs().sum(dim=0).nonzero()[:, 0]
    for seen, first in ((rows, 2 * downsample - 1), (columns, 3 * downsample - 1)):
        assert first <= seen.min()
        assert seen.max() < first + downsample + 2
    assert len(rows) == len(columns) == downsample + 2


def started_from_data(images: torch.Tensor) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(Encoder(CHANNELS, 64, 2, 32, 4), Decoder(64, 64, 2, 32, 4, CHANNELS))
    start_from_data(model, model[0][0], model[1][-1], images)
    return model


def noise(shift: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    return shift + scale * torch.randn(16, CHANNELS, 32, 48, generator=torch.Generator().manual_seed(1))


def test_a_start_from_data_keeps_the_size_of_the_signal_in_every_layer():
    images = noise(0.6, 0.1)
    x = images
    for part in started_from_data(images):
        for layer in part:
            x = layer(x).detach()
            inside = x[:, :, 2:-2, 2:-2]  # padding takes away a little at the border
            if layer is not part[-1] and isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                assert 0.4 < float(inside.square().mean()) < 3  # PyTorch's own start: less than 0.1 after two layers


def test_a_start_from_data_begins_near_the_mean_image():
    images = noise(0.3, 0.1) + torch.tensor([0.0, 0.2, 0.4])[:, None, None]
    first_pictures = started_from_data(images)(images)
    means = first_pictures.mean(dim=(0, 2, 3)) - images.mean(dim=(0, 2, 3))
    assert means.abs().max() < 0.1
    assert first_pictures.std() < 2 * images.std()


def test_a_start_from_data_does_not_depend_on_brightness_and_contrast_of_the_images():
    grey, pale = noise(0.5, 0.2), noise(0.9, 0.02)
    grey_features = started_from_data(grey)[0][0](grey)[:, :, 1:-1, 1:-1]
    pale_features = started_from_data(pale)[0][0](pale)[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(grey_features, pale_features, atol=1e-3, rtol=1e-3)
