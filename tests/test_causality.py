import copy

import pytest
import torch
from torch import nn

from vqvae_course.causality import blind_spot, influence, is_causal
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig, MaskedConv2d, PixelCNN, PixelCNNConfig

B, C, C_OUT, H, W, K = 2, 3, 4, 4, 6, 5
PAST = torch.ones(H * W, H * W).tril(-1).bool()


class Leak(nn.Module):
    """Let one output position feel one input position."""

    def __init__(self, output: tuple[int, int], source: tuple[int, int]):
        super().__init__()
        self.output, self.source = output, source

    def forward(self, x):
        out = torch.zeros_like(x)
        out[:, :, self.output[0], self.output[1]] = x[:, :, self.source[0], self.source[1]]
        return out


def masked(kind="A", **arguments) -> MaskedConv2d:
    return MaskedConv2d(C, C_OUT, **{"kernel_size": 3, **arguments}, kind=kind)


# --- influence


def test_the_influence_of_a_linear_map_is_the_size_of_its_entries():
    matrix = torch.randn(H * W, H * W, dtype=torch.float64)
    felt = influence(lambda x: (x.flatten(2) @ matrix.T).view_as(x), torch.randn(1, 1, H, W, dtype=torch.float64))
    ratio = felt / matrix.abs()
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))  # all scaled by the one output weight


def test_rows_are_output_positions_and_columns_input_positions():
    felt = influence(Leak((1, 2), (3, 5)), torch.randn(B, C, H, W))
    assert felt.nonzero().tolist() == [[1 * W + 2, 3 * W + 5]]


def test_effects_on_two_channels_do_not_cancel():
    felt = influence(lambda x: torch.cat([x, -x], dim=1), torch.randn(B, C, H, W))
    assert torch.equal(felt > 0, torch.eye(H * W).bool())


def test_influences_add_up_over_batch_and_channels():
    def measured(net, batch):
        x = torch.randn(batch, C, H, W, dtype=torch.float64)
        return influence(net, x, torch.Generator().manual_seed(0)).diagonal()

    signs = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64).view(C, 1, 1)  # a sum without abs would be 1
    one = measured(lambda x: x[:, :1], 1)
    torch.testing.assert_close(measured(lambda x: x[:, :1], B), B * one)
    torch.testing.assert_close(measured(lambda x: (signs * x).sum(dim=1, keepdim=True), B), B * C * one)


def test_a_net_that_ignores_its_input_has_no_influence():
    x = torch.randn(B, C, H, W)
    assert not influence(torch.zeros_like, x).any()
    assert not influence(lambda x: torch.zeros_like(x) + nn.Parameter(torch.ones(())), x).any()


def test_an_influence_too_small_for_float32_is_measured():
    faint = nn.Sequential(*(MaskedConv2d(C, C, 3, "B") for _ in range(6)))
    for layer in faint:
        layer.weight.data.mul_(1e-9)
    felt = influence(faint, torch.randn(1, C, H, W))
    assert felt[2 * W + 3, 0] > 0
    assert felt[2 * W + 3, 0] < 1e-45


@pytest.mark.parametrize("out", [lambda x: x[..., :-1], lambda x: x.mT, lambda x: x.flatten(1), lambda x: x[:1]])
def test_a_net_must_keep_its_size(out):
    with pytest.raises(ValueError, match=r"net must return \(B, C', h, w\) with the B, h and w of its input"):
        influence(out, torch.randn(B, C, H, W))


# --- is_causal


@pytest.mark.parametrize("depth", [1, 3])
def test_mask_a_first_is_strictly_causal_and_mask_b_alone_is_not(depth):
    rest = [layer for _ in range(depth) for layer in (nn.ReLU(), MaskedConv2d(C_OUT, C_OUT, 3, "B"))]
    assert is_causal(nn.Sequential(masked("A"), *rest), C, H, W)
    assert not is_causal(nn.Sequential(masked("B"), *rest), C, H, W)
    assert is_causal(nn.Sequential(masked("B"), *rest), C, H, W, strict=False)
    assert not is_causal(nn.Sequential(nn.Conv2d(C, C_OUT, 3, padding=1), *rest), C, H, W, strict=False)


@pytest.mark.parametrize("source", [(1, 2), (1, 3), (2, 0), (3, 5)], ids=str)
def test_one_leak_anywhere_is_found(source):
    assert not is_causal(Leak((1, 2), source), C, H, W)
    assert is_causal(Leak((1, 2), source), C, H, W, strict=False) == (source == (1, 2))


@pytest.mark.parametrize("source", [(1, 1), (0, 5), (0, 0)], ids=str)
def test_the_past_may_be_felt(source):
    assert is_causal(Leak((1, 2), source), C, H, W)


def test_the_order_is_that_of_rows():
    def by_columns(x):
        columns = x.mT.flatten(2)
        return (columns.cumsum(2) - columns).view(*x.shape[:2], x.shape[3], x.shape[2]).mT

    assert not is_causal(by_columns, C, H, W)
    assert is_causal(lambda x: (x.flatten(2).cumsum(2) - x.flatten(2)).view_as(x), C, H, W)


def test_a_leak_behind_a_relu_that_is_mostly_off_is_found():
    net = nn.Sequential(nn.Conv2d(C, C, 1), nn.ReLU(), nn.Conv2d(C, C_OUT, 1))
    net[0].bias.data.fill_(-6.0)  # on only for large inputs
    assert not is_causal(net, C, H, W)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_a_net_stays_as_it_is(dtype):
    net = nn.Sequential(masked("A"), nn.BatchNorm2d(C_OUT), nn.Dropout()).to(dtype).train()
    before = copy.deepcopy(net.state_dict())
    for measure in (is_causal, blind_spot):
        measure(net, C, H, W)
    influence(net, torch.randn(B, C, H, W))
    assert net.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == before[name].dtype
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


def test_statistics_of_a_batch_are_a_leak_in_train_mode_only():
    net = nn.Sequential(masked("A"), nn.BatchNorm2d(C_OUT))
    assert not is_causal(net.train(), C, H, W)
    assert is_causal(net.eval(), C, H, W)


def test_it_can_be_asked_where_gradients_are_off():
    with torch.no_grad():
        assert is_causal(masked("A"), C, H, W)
        assert not is_causal(masked("B"), C, H, W)


@pytest.mark.parametrize(
    "prior", [PixelCNN(PixelCNNConfig(K, 8, 3)), GatedPixelCNN(GatedPixelCNNConfig(K, 8, 3))], ids=["masked", "gated"]
)
def test_a_prior_is_asked_through_its_embedded_codes(prior):
    assert is_causal(prior.logits_from, 8, H, W)
    assert next(prior.parameters()).dtype == torch.float32


def test_the_same_generator_leads_to_the_same_measurement():
    net, x = masked("A"), torch.randn(B, C, H, W)
    one, again, other = (influence(net, x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


# --- blind_spot


def test_a_net_that_feels_all_of_the_past_has_no_blind_spot():
    assert not blind_spot(lambda x: (x.flatten(2).cumsum(2) - x.flatten(2)).view_as(x), C, H, W).any()


def test_a_net_that_feels_nothing_is_blind_to_all_of_the_past_and_only_to_that():
    assert torch.equal(blind_spot(torch.zeros_like, C, H, W), PAST)


def test_one_masked_kernel_is_blind_to_all_but_its_neighbours():
    blind = blind_spot(masked("A"), C, H, W)[2 * W + 3].view(H, W)
    expected = PAST[2 * W + 3].view(H, W).clone()
    expected[1, 2:5] = expected[2, 2] = False
    assert torch.equal(blind, expected)
