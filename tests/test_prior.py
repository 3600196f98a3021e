import math

import pytest
import torch

from vqvae_course.metrics import nats_per_code
from vqvae_course.prior import FrequencyPrior, Prior
from vqvae_course.sampling import sample

N, H, W, K = 7, 2, 3, 5
CLASSES, CHANNELS = 4, 6


@pytest.fixture
def maps(generator):
    return torch.randint(K - 1, (N, H, W), generator=generator)  # the last code never occurs


def probabilities(prior, height=H, width=W):
    """Return what a prior says of one map: (K, h, w)."""
    return prior(torch.zeros(1, height, width, dtype=torch.int64))[0].softmax(dim=0)


# --- counting


def test_a_frequency_is_the_share_of_a_code_among_all_counts_with_alpha_added_to_each(maps):
    got = probabilities(FrequencyPrior(maps, K, alpha=0.3))
    for code in range(K):
        count = sum(index == code for index in maps.flatten().tolist())
        share = (count + 0.3) / (N * H * W + 0.3 * K)
        torch.testing.assert_close(got[code], torch.full((H, W), share))


def test_by_position_each_place_is_counted_on_its_own(maps):
    got = probabilities(FrequencyPrior(maps, K, per_position=True, alpha=2.0))
    for code in range(K):
        for i in range(H):
            for j in range(W):
                count = sum(int(each[i, j]) == code for each in maps)
                assert float(got[code, i, j]) == pytest.approx((count + 2) / (N + 2 * K), rel=1e-5)


@pytest.mark.parametrize("per_position", [False, True])
def test_the_logits_are_logarithms_of_probabilities_already(maps, per_position):
    logits = FrequencyPrior(maps, K, per_position)(maps)
    assert logits.shape == (N, K, H, W)
    torch.testing.assert_close(logits.logsumexp(dim=1), torch.zeros(N, H, W))


@pytest.mark.parametrize("per_position", [False, True])
def test_alpha_is_one_unless_said_otherwise(maps, per_position):
    ours, named = (FrequencyPrior(maps, K, per_position, **alpha)(maps) for alpha in ({}, {"alpha": 1.0}))
    assert torch.equal(ours, named)


@pytest.mark.parametrize("per_position", [False, True])
def test_counting_nothing_costs_log_k_whatever_the_maps_are(maps, per_position):
    prior = FrequencyPrior(maps[:0], K, per_position)
    assert float(nats_per_code(prior(maps), maps)) == pytest.approx(math.log(K))


@pytest.mark.parametrize("per_position", [False, True])
def test_a_code_that_was_never_counted_stays_possible(maps, per_position):
    unseen = torch.full((1, H, W), K - 1)
    nats = nats_per_code(FrequencyPrior(maps, K, per_position)(unseen), unseen)
    assert float(nats) == pytest.approx(math.log((N if per_position else N * H * W) + K))


def test_a_huge_alpha_drowns_the_counts(maps):
    torch.testing.assert_close(
        probabilities(FrequencyPrior(maps, K, True, 1e9)), torch.full((K, H, W), 1 / K), rtol=1e-5, atol=0
    )


def test_on_the_maps_it_counted_no_prior_of_its_kind_is_cheaper_than_bare_counts(maps):
    count = torch.bincount(maps.flatten(), minlength=K).double()
    share = count[count > 0] / count.sum()
    entropy = -float((share * share.log()).sum())
    assert float(nats_per_code(FrequencyPrior(maps, K, alpha=1e-6)(maps), maps)) == pytest.approx(entropy, abs=1e-3)
    for alpha in (0.1, 1.0, 10.0):
        assert float(nats_per_code(FrequencyPrior(maps, K, alpha=alpha)(maps), maps)) > entropy


def test_no_logit_depends_on_any_index(maps):
    prior = FrequencyPrior(maps, K, per_position=True)
    assert torch.equal(prior(maps), prior((maps + 1) % K))


def test_unigram_counts_serve_maps_of_any_size_and_counts_by_position_only_their_own(maps):
    larger = torch.zeros(2, W, H, dtype=torch.int64)
    assert FrequencyPrior(maps, K)(larger).shape == (2, K, W, H)
    with pytest.raises(ValueError, match=r"indices must be maps of the size that was counted, \(2, 3\), got \(3, 2\)"):
        FrequencyPrior(maps, K, per_position=True)(larger)


def test_counts_are_saved_with_the_prior_and_nothing_is_trained(maps):
    prior, other = FrequencyPrior(maps, K, True), FrequencyPrior(maps[:0], K, True)
    other.load_state_dict(prior.state_dict())
    assert torch.equal(other(maps), prior(maps))
    assert list(prior.parameters()) == []


def test_samples_come_as_often_as_they_were_counted(generator):
    maps = torch.tensor([[[0, 1, 1]], [[0, 2, 1]]])  # the first place is always 0, the last always 1
    drawn = sample(FrequencyPrior(maps, 3, per_position=True, alpha=1e-6), (4000, 1, 3), generator=generator)
    assert set(drawn[:, 0, 0].tolist()) == {0}
    assert set(drawn[:, 0, 2].tolist()) == {1}
    assert float((drawn[:, 0, 1] == 2).double().mean()) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan, math.inf])
def test_alpha_must_be_positive_and_finite(maps, alpha):
    with pytest.raises(ValueError, match=f"alpha must be positive and finite, got {alpha}"):
        FrequencyPrior(maps, K, alpha=alpha)


@pytest.mark.parametrize("value", [-1, K])
def test_only_maps_of_codes_can_be_counted(maps, value):
    maps[3, 1, 2] = value
    with pytest.raises(ValueError, match=r"indices must lie in \[0, 5\), got"):
        FrequencyPrior(maps, K)


# --- what every prior asks of its inputs


def build(classes=None, channels=None):
    return Prior(K, classes, channels)


@pytest.mark.parametrize("name", ["num_codes", "num_classes", "condition_channels"])
def test_a_prior_of_nothing_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        Prior(**{"num_codes": K, name: 0})


def test_inputs_that_fit_pass(maps):
    build().check_inputs(maps, None, None)
    build().check_inputs(maps[:0], None, None)
    build(CLASSES, CHANNELS).check_inputs(maps.int(), torch.arange(N) % CLASSES, torch.zeros(N, CHANNELS, H, W))


@pytest.mark.parametrize(
    "indices",
    [
        torch.zeros(N, H * W, dtype=torch.int64),
        torch.zeros(N, 1, H, W, dtype=torch.int64),
        torch.zeros(N, H, W),
        torch.zeros(N, H, W, dtype=torch.bool),
    ],
    ids=["flat", "with channels", "float", "bool"],
)
def test_indices_must_be_integer_maps(indices):
    with pytest.raises(ValueError, match=r"indices must be \(B, h, w\) integers, got"):
        build().check_inputs(indices, None, None)


@pytest.mark.parametrize("value", [-1, K])
def test_indices_must_name_codes(maps, value):
    maps[2, 0, 1] = value
    with pytest.raises(ValueError, match=r"indices must lie in \[0, 5\), got"):
        build().check_inputs(maps, None, None)


@pytest.mark.parametrize("classes", [None, CLASSES])
def test_labels_come_exactly_when_there_are_classes(maps, classes):
    labels = None if classes else torch.zeros(N, dtype=torch.int64)
    with pytest.raises(ValueError, match=f"labels must be given exactly when num_classes is; num_classes is {classes}"):
        build(classes).check_inputs(maps, labels, None)


@pytest.mark.parametrize("labels", [torch.zeros(N - 1, dtype=torch.int64), torch.zeros(N)], ids=["short", "float"])
def test_labels_must_be_one_integer_a_map(maps, labels):
    with pytest.raises(ValueError, match=r"labels must be \(7,\) integers, got"):
        build(CLASSES).check_inputs(maps, labels, None)


@pytest.mark.parametrize("value", [-1, CLASSES])
def test_labels_must_name_classes(maps, value):
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 4\), got"):
        build(CLASSES).check_inputs(maps, torch.full((N,), value), None)


@pytest.mark.parametrize("channels", [None, CHANNELS])
def test_a_condition_comes_exactly_when_the_prior_has_one(maps, channels):
    condition = None if channels else torch.zeros(N, CHANNELS, H, W)
    with pytest.raises(ValueError, match=f"exactly when condition_channels is; condition_channels is {channels}"):
        build(channels=channels).check_inputs(maps, None, condition)


@pytest.mark.parametrize("shape", [(N, CHANNELS, W, H), (N, CHANNELS - 1, H, W), (N - 1, CHANNELS, H, W)])
def test_a_condition_must_have_the_size_of_the_maps(maps, shape):
    with pytest.raises(ValueError, match=r"condition must have shape \(7, 6, 2, 3\), got"):
        build(channels=CHANNELS).check_inputs(maps, None, torch.zeros(shape))


def test_counting_refuses_labels_and_conditions(maps):
    prior = FrequencyPrior(maps, K)
    with pytest.raises(ValueError, match="labels must be given exactly when"):
        prior(maps, torch.zeros(N, dtype=torch.int64))
    with pytest.raises(ValueError, match="condition must be given exactly when"):
        prior(maps, None, torch.zeros(N, 1, H, W))
