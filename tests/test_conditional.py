import re

import pytest
import torch
from torch import nn

from vqvae_course.causality import influence
from vqvae_course.conditional import ConditionalPrior, ConditionalPriorConfig, ConditionStack
from vqvae_course.data import Batches, CodeSet
from vqvae_course.evaluate import evaluate_prior
from vqvae_course.pixelsnail import PixelSNAIL, PixelSNAILConfig
from vqvae_course.sampling import sample, sample_levels
from vqvae_course.train import TrainConfig, fit, load_checkpoint, prior_step, save_checkpoint

B, H, W, K = 3, 4, 6, 5  # of the bottom
TOP, MIDDLE = 7, 9
CLASSES, HIDDEN = 3, 8


def build(two_above=False, **arguments) -> ConditionalPrior:
    above = [(TOP, 2), (MIDDLE, 2)] if two_above else [(TOP, 2)]
    prior = ConditionalPrior(ConditionalPriorConfig(K, above, **{"hidden": HIDDEN, "layers": 2, **arguments}))
    with torch.no_grad():
        prior.inner.head[-1].weight *= 30  # an untrained prior is nearly uniform, and would hide mistakes
        for layer in prior.inner.layers:
            layer.condition.weight *= 10
    return prior


def maps_above(two_above=False, height=H, width=W) -> tuple[torch.Tensor, ...]:
    if not two_above:
        return (torch.randint(TOP, (B, height // 2, width // 2)),)
    return torch.randint(TOP, (B, height // 4, width // 4)), torch.randint(MIDDLE, (B, height // 2, width // 2))


# --- the stack


def test_the_stack_brings_the_levels_above_to_the_grid_below():
    assert ConditionStack([(TOP, 2)], 6)(maps_above()).shape == (B, 6, H, W)
    assert ConditionStack([(TOP, 2), (MIDDLE, 2)], 6)(maps_above(True, 8, 12)).shape == (B, 6, 8, 12)
    assert ConditionStack([(TOP, 4)], 6)([torch.randint(TOP, (B, 1, 3))]).shape == (B, 6, 4, 12)


def test_every_feature_sees_the_whole_map_above_also_what_comes_later_in_raster_order():
    torch.manual_seed(0)
    stack = ConditionStack([(TOP, 2)], 6, residual_layers=3).double()
    embedded = torch.randn(1, 6, 3, 4, dtype=torch.float64, requires_grad=True)
    out = stack.features_from([embedded])
    for feature in out.sum(dim=1).flatten():
        (gradient,) = torch.autograd.grad(feature, embedded, retain_graph=True)
        assert (gradient.abs().sum(dim=1) > 0).all()


def test_a_feature_sees_as_far_as_the_docstring_says():
    torch.manual_seed(0)
    stack = ConditionStack([(TOP, 2)], 4, residual_layers=2)
    convolution, residual_stack, _ = stack.bring_down[0]  # and the upsampling
    stack.bring_down[0] = nn.Sequential(convolution, residual_stack)
    felt = influence(lambda x: stack.features_from([x]), torch.randn(4, 4, 1, 20)) > 0
    places = torch.arange(20)
    assert torch.equal(felt, (places[:, None] - places).abs() <= 3)


def test_features_stand_below_the_cells_they_come_from():
    torch.manual_seed(0)
    stack = ConditionStack([(TOP, 2)], 6, residual_layers=0)
    one = torch.zeros(1, 5, 7, dtype=torch.int64)
    other = one.clone()
    other[0, 2, 3] = 3
    changed = (stack([one]) != stack([other])).any(dim=1)[0]
    rows, columns = changed.nonzero().unbind(dim=1)
    assert float(rows.float().mean()) == pytest.approx(2 * 2 + 0.5)
    assert float(columns.float().mean()) == pytest.approx(2 * 3 + 0.5)


def test_a_stack_without_a_level_above_is_refused():
    with pytest.raises(ValueError, match="above must hold K and a factor for at least one level, got none"):
        ConditionStack([], 6)


def test_a_factor_that_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="a factor of above must be a power of two"):
        ConditionStack([(TOP, 3)], 6)


# --- the prior


@pytest.mark.parametrize("two_above", [False, True])
def test_it_is_causal_in_its_own_level_and_sees_all_of_the_levels_above(two_above):
    torch.manual_seed(0)
    height, width = (8, 12) if two_above else (H, W)
    prior, above = build(two_above).eval(), maps_above(two_above, height, width)
    indices = torch.randint(K, (B, height, width))
    with torch.no_grad():
        before = prior(indices, None, above).flatten(2)
        for place in range(0, height * width, 5):
            changed = indices.clone()
            changed.view(B, -1)[:, place] = (changed.view(B, -1)[:, place] + 1) % K
            after = prior(changed, None, above).flatten(2)
            torch.testing.assert_close(after[:, :, : place + 1], before[:, :, : place + 1], rtol=0, atol=1e-5)
        for level, k in enumerate((TOP, MIDDLE)[: len(above)]):
            for place in range(above[level][0].numel()):
                other = [one.clone() for one in above]
                other[level].view(B, -1)[:, place] = (other[level].view(B, -1)[:, place] + 1) % k
                after = prior(indices, None, other).flatten(2)
                assert (after[:, :, 0] != before[:, :, 0]).any(dim=1).all()  # the very first code knows of it


def test_it_is_the_gated_pixelcnn_given_what_the_stack_returns():
    prior, above = build(num_classes=CLASSES), maps_above()
    indices, labels = torch.randint(K, (B, H, W)), torch.arange(B) % CLASSES
    expected = prior.inner(indices, labels, prior.stack(above))
    torch.testing.assert_close(prior(indices, labels, above), expected)


def test_a_single_level_above_may_come_without_a_tuple():
    prior, above = build(), maps_above()
    indices = torch.randint(K, (B, H, W))
    assert torch.equal(prior(indices, None, above), prior(indices, None, above[0]))


def test_images_of_a_batch_do_not_influence_one_another():
    prior, above = build().eval(), maps_above()
    indices = torch.randint(K, (B, H, W))
    together = prior(indices, None, above)
    for row in range(B):
        alone = prior(indices[row : row + 1], None, (above[0][row : row + 1],))
        torch.testing.assert_close(alone, together[row : row + 1])


def test_in_bfloat16_logits_stay_close():
    torch.manual_seed(0)
    prior, above, indices = build(hidden=32).eval(), maps_above(), torch.randint(K, (B, H, W))
    with torch.no_grad():
        expected = prior(indices, None, above)
        half = prior.bfloat16()(indices, None, above)
    assert half.dtype == torch.bfloat16
    assert (half.float() - expected).square().mean().sqrt() / expected.std() < 0.03


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (None, "condition must hold the index maps of the levels above, got None"),
        ((), "condition must hold one map for each of 1 levels, got 0"),
        (torch.zeros(B, H, W, dtype=torch.int64), "condition must hold a map 2 times smaller than the (3, 4, 6) below"),
        (torch.zeros(B, H // 2, W // 2), "condition must hold integers, got torch.float32"),
        (torch.full((B, H // 2, W // 2), TOP), "condition[0] must lie in [0, 7), got 7 to 7"),
    ],
    ids=["none", "too few", "size", "floats", "range"],
)
def test_a_condition_that_does_not_fit_is_refused(condition, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()(torch.zeros(B, H, W, dtype=torch.int64), None, condition)


def test_a_checkpoint_rebuilds_it(tmp_path):
    prior, above = build(two_above=True, num_classes=CLASSES).eval(), maps_above(True, 8, 12)
    save_checkpoint(tmp_path / "prior.pt", prior)
    again = load_checkpoint(tmp_path / "prior.pt").model
    indices, labels = torch.randint(K, (B, 8, 12)), torch.arange(B) % CLASSES
    assert torch.equal(prior(indices, labels, above), again(indices, labels, above))


# --- sampling


@pytest.mark.parametrize("two_above", [False, True])
def test_both_ways_draw_the_same_codes(two_above):
    prior, above = build(two_above, num_classes=CLASSES).double(), maps_above(two_above, 8, 12)  # see test_sampling.py
    one, other = (
        sample(
            prior,
            (B, 8, 12),
            torch.arange(B) % CLASSES,
            above,
            generator=torch.Generator().manual_seed(3),
            incremental=incremental,
        )
        for incremental in (True, False)
    )
    assert torch.equal(one, other)


def test_the_levels_above_steer_the_samples():
    prior = build()
    with torch.no_grad():
        for layer in prior.inner.layers:  # said so loudly that no draw can fail to hear it
            layer.condition.weight.mul_(30)
    one, other = (
        sample(prior, (B, H, W), condition=above, generator=torch.Generator().manual_seed(3))
        for above in (maps_above(), maps_above())
    )
    assert not torch.equal(one, other)


def test_levels_are_drawn_from_the_top_down_each_given_all_above():
    top = PixelSNAIL(PixelSNAILConfig(TOP, hidden=HIDDEN, blocks=1, layers=1, num_classes=CLASSES))
    middle = ConditionalPrior(ConditionalPriorConfig(MIDDLE, [(TOP, 2)], hidden=HIDDEN, layers=1, stack_layers=1))
    bottom = build(two_above=True, num_classes=CLASSES)
    labels, shapes = torch.arange(B) % CLASSES, [(B, 2, 3), (B, 4, 6), (B, 8, 12)]
    maps = sample_levels([top, middle, bottom], shapes, labels, generator=torch.Generator().manual_seed(3))
    assert [tuple(one.shape) for one in maps] == shapes
    generator = torch.Generator().manual_seed(3)
    by_hand = [sample(top, shapes[0], labels, generator=generator)]
    by_hand.append(sample(middle, shapes[1], condition=by_hand[0], generator=generator))
    by_hand.append(sample(bottom, shapes[2], labels, tuple(by_hand), generator=generator))
    assert all(torch.equal(one, other) for one, other in zip(maps, by_hand, strict=True))


def test_shapes_and_priors_must_be_as_many():
    with pytest.raises(ValueError, match=re.escape("shapes must hold one (B, h, w) for each of 1 priors, got 2")):
        sample_levels([build()], [(B, 2, 3), (B, H, W)])


# --- training


def test_training_and_scores_use_the_levels_above():
    """The bottom repeats the code above it, which only a prior that is told of it can know."""
    torch.manual_seed(0)
    top = torch.randint(K, (200, 2, 3))
    bottom = top.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    codes = CodeSet(bottom, torch.zeros(200, dtype=torch.int64), "copies", (top,))
    prior = ConditionalPrior(ConditionalPriorConfig(K, [(K, 2)], hidden=16, layers=1, stack_layers=1))
    fit(prior, Batches(codes, 20), prior_step, TrainConfig(steps=120, lr=1e-2, progress=False))
    assert evaluate_prior(prior, codes) < 0.1
    shuffled = codes._replace(above=(top.roll(1, dims=0),))
    assert evaluate_prior(prior, shuffled) > 1
