import math

import pytest
import torch
from torch import nn

from vqvae_course.incremental import IncrementalLogits
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.sampling import SamplingInterrupted, draw, sample

B, H, W, K = 3, 4, 6, 5
CLASSES, CONDITION = 3, 2
CONDITIONING = pytest.mark.parametrize(
    ("with_labels", "with_condition"),
    [(False, False), (True, False), (False, True), (True, True)],
    ids=["plain", "classes", "condition", "both"],
)
CHI_SQUARE_999 = {2: 13.8, 8: 26.1}  # degrees of freedom -> what chance exceeds once in a thousand seeds


def build(with_labels=False, with_condition=False, **arguments) -> GatedPixelCNN:
    prior = GatedPixelCNN(
        GatedPixelCNNConfig(
            **{"num_codes": K, "hidden": 6, "layers": 3, **arguments},
            num_classes=CLASSES if with_labels else None,
            condition_channels=CONDITION if with_condition else None,
        )
    )
    with torch.no_grad():
        prior.head[-1].weight *= 30  # an untrained prior is nearly uniform, and would hide mistakes
    return prior


def given(with_labels=False, with_condition=False, height=H, width=W, dtype=torch.float32) -> dict:
    return {
        "labels": torch.arange(B) % CLASSES if with_labels else None,
        "condition": torch.randn(B, CONDITION, height, width, dtype=dtype) if with_condition else None,
    }


def chi_square(count: torch.Tensor, p: torch.Tensor) -> float:
    expected = p * count.sum()
    return float(((count - expected) ** 2 / expected).sum())


class TwoPositions(nn.Module):
    """A prior over 1x2 maps of three codes, whose joint distribution is known."""

    first = torch.tensor([0.5, 0.3, 0.2])
    second = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]])  # given the first

    def forward(self, indices, labels=None, condition=None):
        return torch.stack([self.first.expand(len(indices), 3), self.second[indices[:, 0, 0]]], dim=2)[:, :, None].log()


# --- draw


def test_draws_follow_the_softmax_of_the_logits(generator):
    logits = torch.tensor([[1.0, 0.0, -1.0]])
    count = torch.bincount(draw(logits.expand(6000, 3), generator=generator), minlength=3)
    assert chi_square(count, logits[0].softmax(dim=0)) < CHI_SQUARE_999[2]


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_temperature_divides_the_logits(generator, temperature):
    logits = torch.tensor([[1.0, 0.0, -1.0]])
    count = torch.bincount(draw(logits.expand(6000, 3), temperature, generator), minlength=3)
    assert chi_square(count, (logits[0] / temperature).softmax(dim=0)) < CHI_SQUARE_999[2]


def test_every_row_is_drawn_from_its_own_logits(generator):
    logits = 50 * torch.eye(K)
    assert draw(logits[[3, 0, 4]], generator=generator).tolist() == [3, 0, 4]


def test_a_code_of_probability_zero_is_never_drawn(generator):
    logits = torch.tensor([-math.inf, 0.0, -math.inf, 1.0, -math.inf])
    assert set(draw(logits.expand(2000, K), generator=generator).tolist()) == {1, 3}


@pytest.mark.parametrize("u", [0.0, 1 - 2**-53], ids=["least", "greatest"])
def test_not_even_the_extreme_random_numbers_draw_a_code_of_probability_zero(monkeypatch, u):
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, u, dtype=torch.float64))
    logits = torch.tensor([[-math.inf, 0.0, 1.0, 0.3, -math.inf]])
    assert draw(logits).item() == (1 if u == 0 else 3)


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-9])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 3e38])
def test_however_small_the_temperature_the_likeliest_code_is_drawn(temperature, scale, generator):
    logits = scale * torch.tensor([[-math.inf, 0.5, 0.9, -1.0], [0.7, 0.1, -math.inf, 0.2]])
    assert draw(logits, temperature, generator).tolist() == [2, 0]
    tied = torch.tensor([1.0, -math.inf, 1.0, 0.0]).expand(200, 4)
    assert set(draw(tied, temperature, generator).tolist()) == {0, 2}


@pytest.mark.parametrize("temperature", [1e300, math.inf])
def test_however_large_the_temperature_a_code_of_probability_zero_is_never_drawn(temperature, generator):
    logits = torch.tensor([3.0, -math.inf, 50.0, -1e30]).double()
    count = torch.bincount(draw(logits.expand(3000, 4), temperature, generator), minlength=4)
    assert count[1] == 0
    assert chi_square(count[[0, 2, 3]], torch.full((3,), 1 / 3)) < CHI_SQUARE_999[2]


NO_LOGITS = pytest.mark.parametrize(
    "row",
    [[0.0, math.nan, 1.0], [0.0, math.inf, 1.0], [math.inf] * 3, [-math.inf] * 3, [-math.inf, math.nan, 0.0]],
    ids=str,
)


@NO_LOGITS
@pytest.mark.parametrize("temperature", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_logits_that_are_none_are_refused_and_counted(row, temperature, dtype):
    logits = torch.tensor([[0.0, 1.0, 2.0], row, [1.0, 0.0, -math.inf], row], dtype=dtype)
    with pytest.raises(ValueError, match=r"logits must be finite numbers, .* for 2 of 4 maps: the prior's weights are"):
        draw(logits, temperature)
    assert draw(logits[[0, 2]], temperature).shape == (2,)


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan])
def test_draws_need_a_positive_temperature(temperature):
    with pytest.raises(ValueError, match=r"temperature must be positive, got .* pass a small one"):
        draw(torch.zeros(2, K), temperature)


def test_draws_ignore_a_constant_added_to_the_logits():
    logits = torch.randn(50, K)
    one, other = (draw(logits + shift, generator=torch.Generator().manual_seed(3)) for shift in (0.0, 100.0))
    assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_draws_are_indices_whatever_the_dtype_of_the_logits(dtype, generator):
    drawn = draw(torch.randn(7, K).to(dtype), generator=generator)
    assert drawn.shape == (7,)
    assert drawn.dtype == torch.int64


# --- the distribution of samples


@pytest.mark.parametrize("incremental", [True, False])
def test_samples_follow_a_known_joint_distribution(generator, incremental):
    maps = sample(TwoPositions(), (9000, 1, 2), generator=generator, incremental=incremental)
    count = torch.bincount(3 * maps[:, 0, 0] + maps[:, 0, 1], minlength=9)
    joint = TwoPositions.first[:, None] * TwoPositions.second
    assert chi_square(count, joint.flatten()) < CHI_SQUARE_999[8]


def test_the_temperature_sharpens_each_conditional_distribution(generator):
    maps = sample(TwoPositions(), (9000, 1, 2), temperature=0.5, generator=generator)
    count = torch.bincount(3 * maps[:, 0, 0] + maps[:, 0, 1], minlength=9)
    first, second = TwoPositions.first**2, TwoPositions.second**2
    joint = first[:, None] / first.sum() * second / second.sum(dim=1, keepdim=True)
    assert chi_square(count, joint.flatten()) < CHI_SQUARE_999[8]


@pytest.mark.parametrize("shape", [(1, 2), (2, 1)])
def test_incremental_samples_follow_the_joint_distribution_of_their_prior(generator, shape):
    prior = build(num_codes=3).eval()
    every_map = torch.cartesian_prod(torch.arange(3), torch.arange(3)).view(9, *shape)
    log_p = prior(every_map).log_softmax(dim=1).gather(1, every_map[:, None]).sum(dim=(1, 2, 3))
    torch.testing.assert_close(log_p.exp().sum(), torch.tensor(1.0))
    maps = sample(prior, (6000, *shape), generator=generator).flatten(1)
    count = torch.bincount(3 * maps[:, 0] + maps[:, 1], minlength=9)
    assert chi_square(count, log_p.exp().detach()) < CHI_SQUARE_999[8]


@pytest.mark.parametrize("incremental", [True, False])
def test_a_low_temperature_takes_the_likeliest_code_each_time(incremental):
    prior = build().double().eval()
    greedy = torch.zeros(B, H, W, dtype=torch.int64)
    for i in range(H):
        for j in range(W):
            greedy[:, i, j] = prior(greedy)[:, :, i, j].argmax(dim=1)
    assert torch.equal(sample(prior, (B, H, W), temperature=1e-12, incremental=incremental), greedy)


# --- the incremental way
#
# The two ways round differently. In float32 one draw in a hundred thousand then falls on another side of a border
# between two codes, on some processor. So both draw in double precision here, and their logits are compared in float32.


@CONDITIONING
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1), (4, 6)])
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_both_ways_draw_the_same_codes(with_labels, with_condition, height, width, layers):
    prior = build(with_labels, with_condition, layers=layers).double()
    arguments = given(with_labels, with_condition, height, width, torch.float64)
    one, other = (
        sample(
            prior, (B, height, width), **arguments, generator=torch.Generator().manual_seed(3), incremental=incremental
        )
        for incremental in (True, False)
    )
    assert one.shape == (B, height, width)
    assert torch.equal(one, other)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("sizes", [{"first_kernel_size": 3}, {"kernel_size": 5}], ids=["narrow first", "wide"])
def test_both_ways_draw_the_same_codes_at_any_temperature_and_kernel_size(temperature, sizes):
    prior = build(with_labels=True, **sizes).double()
    one, other = (
        sample(
            prior,
            (B, H, W),
            **given(with_labels=True),
            temperature=temperature,
            generator=torch.Generator().manual_seed(3),
            incremental=incremental,
        )
        for incremental in (True, False)
    )
    assert torch.equal(one, other)


@CONDITIONING
@pytest.mark.parametrize("layers", [1, 2, 6])
def test_incremental_logits_equal_those_of_the_whole_network(with_labels, with_condition, layers):
    prior = build(with_labels, with_condition, layers=layers).eval()
    arguments, indices = given(with_labels, with_condition), torch.randint(K, (B, H, W))
    with torch.no_grad():
        expected = prior(indices, **arguments)
        logits_at = IncrementalLogits(prior, indices, **arguments)
        for i in range(H):
            for j in range(W):
                torch.testing.assert_close(logits_at(i, j), expected[:, :, i, j], rtol=1e-4, atol=1e-4)


def test_labels_and_condition_steer_the_samples():
    for name in ("labels", "condition"):
        prior = build(with_labels=name == "labels", with_condition=name == "condition")
        with torch.no_grad():
            for layer in prior.layers:  # said so loudly that no draw can fail to hear it
                (layer.class_bias if name == "labels" else layer.condition).weight.mul_(30)
        first = given(name == "labels", name == "condition")
        second = {**first, name: (first[name] + 1) % CLASSES}
        one, other = (
            sample(prior, (B, H, W), **arguments, generator=torch.Generator().manual_seed(3))
            for arguments in (first, second)
        )
        assert not torch.equal(one, other)


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("layers", [2, 15])
def test_both_ways_draw_the_same_codes_in_batches_of_any_size_and_at_any_depth(batch, layers):
    prior = build(with_labels=True, layers=layers, hidden=8).double()
    labels = torch.arange(batch) % CLASSES
    one, other = (
        sample(prior, (batch, 5, 8), labels, generator=torch.Generator().manual_seed(3), incremental=incremental)
        for incremental in (True, False)
    )
    assert torch.equal(one, other)


def test_in_bfloat16_both_ways_see_nearly_the_same_logits():
    prior = build(True, True, hidden=32, layers=5).bfloat16().eval()
    arguments, indices = given(True, True), torch.randint(K, (B, H, W))
    arguments["condition"] = arguments["condition"].bfloat16()
    with torch.no_grad():
        expected = prior(indices, **arguments).float()
        logits_at = IncrementalLogits(prior, indices, **arguments)
        logits = torch.stack([torch.stack([logits_at(i, j) for j in range(W)], dim=-1) for i in range(H)], dim=-2)
    assert logits.dtype == torch.bfloat16
    error = (logits.float() - expected).square().mean().sqrt() / expected.std()
    assert error < 0.02  # a bfloat16 has 8 bits, and each layer rounds


# --- completion and interruption


@pytest.mark.parametrize("incremental", [True, False])
def test_given_codes_are_kept_and_the_rest_is_drawn_given_them(incremental, generator):
    prior, codes = build(with_labels=True), torch.randint(K, (B, H, W), generator=generator)
    hidden = torch.rand(B, H, W, generator=generator) < 0.5
    drawn = sample(
        prior,
        (B, H, W),
        **given(with_labels=True),
        generator=generator,
        incremental=incremental,
        given=codes.masked_fill(hidden, -1),
    )
    assert torch.equal(drawn[~hidden], codes[~hidden])
    assert (drawn != codes)[hidden].any()
    assert 0 <= int(drawn.min()) <= int(drawn.max()) < K


def test_what_is_drawn_follows_the_distribution_given_what_is_kept(generator):
    kept = torch.tensor([[[2, -1]]]).expand(9000, 1, 2)
    maps = sample(TwoPositions(), (9000, 1, 2), generator=generator, given=kept)
    count = torch.bincount(maps[:, 0, 1], minlength=3)
    assert chi_square(count, TwoPositions.second[2]) < CHI_SQUARE_999[2]


def test_both_ways_complete_alike():
    prior, codes = build().double(), torch.randint(K, (B, H, W))
    codes[:, 2:] = -1
    one, other = (
        sample(prior, (B, H, W), generator=torch.Generator().manual_seed(3), incremental=incremental, given=codes)
        for incremental in (True, False)
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    "codes",
    [
        torch.zeros(B, W, H, dtype=torch.int64),
        torch.zeros(B, H, W),
        torch.full((B, H, W), -2),
        torch.full((B, H, W), K),
    ],
    ids=["shape", "float", "below -1", "no such code"],
)
@pytest.mark.parametrize("incremental", [True, False])
def test_given_codes_must_fit(codes, incremental):
    with pytest.raises(ValueError, match=r"given must be|indices must lie in"):
        sample(build(), (B, H, W), given=codes, incremental=incremental)


class Stopped(GatedPixelCNN):
    """A prior during which somebody presses the stop button, once."""

    stop_after = 2 * W + 4

    def embed_or_stop(self, module, args, output):
        self.stop_after -= 1
        if self.stop_after == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("incremental", [True, False])
def test_an_interrupted_run_hands_over_what_it_has_and_can_go_on_to_the_same_maps(incremental):
    torch.manual_seed(5)
    prior = Stopped(GatedPixelCNNConfig(K, hidden=6, layers=3))
    options = {"prior": prior, "shape": (B, H, W), "incremental": incremental}
    expected = sample(**options, generator=torch.Generator().manual_seed(3))
    hook = prior.embed.register_forward_hook(prior.embed_or_stop)
    prior.train()
    generator = torch.Generator().manual_seed(3)
    with pytest.raises(
        SamplingInterrupted, match=r"stopped after \d+ of 24 positions.*given=stopped.indices"
    ) as stopped:
        sample(**options, generator=generator)
    hook.remove()
    assert prior.training
    left = stopped.value.indices
    done = int((left[0] >= 0).sum())
    assert 0 < done < H * W
    assert torch.equal(left.flatten(1)[:, :done], expected.flatten(1)[:, :done])
    assert (left.flatten(1)[:, done:] == -1).all()
    assert torch.equal(sample(**options, generator=generator, given=left), expected)
    assert issubclass(SamplingInterrupted, KeyboardInterrupt)


def test_a_progress_bar_counts_images_on_stdout(capsys):
    sample(build(), (B, H, W), progress=True)
    shown = capsys.readouterr()
    assert f"0.0/{B} images [" in shown.out
    assert "%" in shown.out
    assert shown.err == ""
    sample(build(), (B, H, W))
    assert capsys.readouterr().out == ""


class SpoiltLater(nn.Module):
    """A prior whose logits are no numbers at one position."""

    def __init__(self, value: float):
        super().__init__()
        self.value = value

    def forward(self, indices, labels=None, condition=None):
        logits = torch.zeros(len(indices), K, *indices.shape[1:])
        logits[1, 2, 3, 4] = self.value
        return logits


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_prior_that_is_spoilt_draws_nothing(value):
    with pytest.raises(ValueError, match=r"for 1 of 3 maps: the prior's weights are spoilt"):
        sample(SpoiltLater(value), (B, H, W))
    maps = sample(SpoiltLater(-math.inf), (B, H, W))  # one code may be forbidden
    assert maps[1, 3, 4] != 2


@pytest.mark.parametrize("incremental", [True, False])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_spoilt_weights_are_noticed_either_way(value, incremental):
    prior = build()
    with torch.no_grad():
        prior.head[-1].bias[3] = value
    with pytest.raises(ValueError, match=r"logits must be finite numbers, .* for 3 of 3 maps"):
        sample(prior, (B, H, W), incremental=incremental)
    with torch.no_grad():
        prior.head[-1].bias[3] = -math.inf
    assert not (sample(prior, (B, H, W), incremental=incremental) == 3).any()


# --- contract


@pytest.mark.parametrize("incremental", [True, False])
def test_samples_are_index_maps_without_a_graph(incremental):
    prior = build()
    maps = sample(prior, (B, H, W), incremental=incremental)
    prior(maps).sum().backward()  # ordinary tensors, to train on if one likes
    assert maps.shape == (B, H, W)
    assert maps.dtype == torch.int64
    assert not maps.requires_grad
    assert 0 <= int(maps.min()) <= int(maps.max()) < K


@pytest.mark.parametrize("incremental", [True, False])
def test_samples_follow_their_generator_alone(incremental):
    prior = build()
    one = sample(prior, (B, H, W), generator=torch.Generator().manual_seed(3), incremental=incremental)
    torch.rand(7)
    same = sample(prior, (B, H, W), generator=torch.Generator().manual_seed(3), incremental=incremental)
    other = sample(prior, (B, H, W), generator=torch.Generator().manual_seed(4), incremental=incremental)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_without_a_generator_the_global_one_is_used():
    prior = build()
    torch.manual_seed(3)
    one = sample(prior, (B, H, W))
    torch.manual_seed(3)
    assert torch.equal(sample(prior, (B, H, W)), one)
    assert not torch.equal(sample(prior, (B, H, W)), one)


class Moody(TwoPositions):
    """Remembers the mode it is called in, and can be told to fail."""

    fails = False

    def forward(self, indices, labels=None, condition=None):
        self.seen = self.training
        if self.fails:
            raise RuntimeError("no logits today")
        return super().forward(indices)


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_sampling_runs_in_eval_mode_and_restores_the_mode_even_after_an_error(mode, fails):
    prior = Moody().train(mode)
    prior.fails = fails
    if fails:
        with pytest.raises(RuntimeError, match="no logits today"):
            sample(prior, (B, 1, 2))
    else:
        sample(prior, (B, 1, 2))
    assert prior.seen is False
    assert prior.training is mode


@pytest.mark.parametrize("mode", [True, False])
def test_the_incremental_way_restores_the_mode(mode):
    prior = build().train(mode)
    sample(prior, (B, H, W))
    assert prior.training is mode
    with pytest.raises(ValueError, match="labels must be given exactly when"):
        sample(prior, (B, H, W), labels=torch.zeros(B, dtype=torch.int64))
    assert prior.training is mode


def test_sampling_leaves_the_weights_alone():
    prior = build()
    before = {name: value.clone() for name, value in prior.state_dict().items()}
    sample(prior, (B, H, W))
    assert all(torch.equal(value, before[name]) for name, value in prior.state_dict().items())


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_the_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match="temperature must be positive, got"):
        sample(build(), (B, H, W), temperature=temperature)


@pytest.mark.parametrize("shape", [(H, W), (B, 1, H, W), (0, H, W), (B, 0, W), (B, H, -1)])
def test_the_shape_must_be_three_positive_sizes(shape):
    with pytest.raises(ValueError, match=r"shape must be \(B, h, w\) with positive sizes, got"):
        sample(build(), shape)


@pytest.mark.parametrize("incremental", [True, False])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": None, "condition": torch.zeros(B, CONDITION, H, W)}, "labels must be given exactly when"),
        ({"labels": torch.zeros(B, dtype=torch.int64)}, "condition must be given exactly when"),
        (
            {"labels": torch.full((B,), CLASSES), "condition": torch.zeros(B, CONDITION, H, W)},
            r"labels must lie in \[0, 3\)",
        ),
        (
            {"labels": torch.zeros(B, dtype=torch.int64), "condition": torch.zeros(B, CONDITION, W, H)},
            "condition must have shape",
        ),
    ],
    ids=["no labels", "no condition", "no such class", "size"],
)
def test_labels_and_condition_must_fit_either_way(incremental, arguments, message):
    with pytest.raises(ValueError, match=message):
        sample(build(True, True), (B, H, W), **arguments, incremental=incremental)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_and_the_cpu_draw_the_same_codes():
    prior = build(with_labels=True)
    arguments = given(with_labels=True)
    cpu = sample(prior, (B, H, W), **arguments, generator=torch.Generator().manual_seed(3))
    labels = arguments["labels"].cuda()
    gpu = sample(prior.cuda(), (B, H, W), labels, generator=torch.Generator().manual_seed(3))
    assert gpu.device.type == "cuda"
    assert (gpu.cpu() == cpu).float().mean() > 0.9  # the two round differently, so a draw may fall to a neighbour
