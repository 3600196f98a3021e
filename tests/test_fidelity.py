import math

import pytest
import torch

from vqvae_course import fidelity
from vqvae_course.fidelity import frechet_distance, nearest_distances, precision_recall, reject

N, M, FEATURES = 23, 17, 5


def features(rows: int, seed: int, columns: int = FEATURES) -> torch.Tensor:
    """Correlated columns of unequal variance and mean."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(columns, columns, generator=generator, dtype=torch.float64)
    shift = torch.randn(columns, generator=generator, dtype=torch.float64)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64) @ mix + shift


@pytest.fixture(params=[1, 40, 2**22])
def numbers_at_once(request, monkeypatch):
    monkeypatch.setattr(fidelity, "NUMBERS_AT_ONCE", request.param)


# --- frechet_distance


def test_the_frechet_distance_is_that_of_the_definition():
    a, b = features(N, 0), features(M, 1)
    cov_a, cov_b = a.T.cov(), b.T.cov()
    roots = torch.linalg.eigvals(cov_a @ cov_b).real.sqrt().sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + (cov_a + cov_b).trace() - 2 * roots
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_for_one_feature_it_compares_means_and_standard_deviations():
    a, b = features(N, 0, columns=1), features(M, 1, columns=1)
    expected = (a.mean() - b.mean()).square() + (a.std() - b.std()).square()
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_a_shift_costs_its_squared_length_and_nothing_else():
    a, shift = features(N, 0), torch.tensor([3.0, 0.0, -1.0, 2.0, 0.5])
    assert frechet_distance(a, a + shift) == pytest.approx(14.25, rel=1e-9)


def test_a_symmetric_stretch_is_the_cheapest_transport():
    # If A is symmetric and positive, no plan moves the Gaussian of x to that of A x for less than x -> A x does.
    a = features(N, 0)
    root = features(N, 2)
    stretch = root.T @ root / N
    moved = a @ stretch
    cost = (a - moved - (a - moved).mean(0)).square().sum() / (N - 1) + (a.mean(0) - moved.mean(0)).square().sum()
    assert frechet_distance(a, moved) == pytest.approx(float(cost), rel=1e-9)


def test_covariances_are_divided_by_one_row_less():
    assert frechet_distance(torch.tensor([[-1.0], [1.0]]), torch.zeros(3, 1)) == pytest.approx(2.0)


def test_the_frechet_distance_is_symmetric_and_turns_with_the_axes():
    a, b = features(N, 0), features(M, 1)
    turn = torch.linalg.qr(features(FEATURES, 3)).Q
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-9)
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-9)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * frechet_distance(a, b), rel=1e-9)


@pytest.mark.parametrize("rows", [2, 3, N])
def test_equal_sets_are_at_distance_zero_also_with_more_features_than_rows(rows):
    a = features(rows, 0, columns=37)
    scale = float(a.var(dim=0).sum())
    assert 0 <= frechet_distance(a, a.flip(0)) < 1e-12 * scale


def test_singular_covariances_are_no_obstacle():
    flat = features(N, 0) * torch.tensor([1.0, 0.0, 2.0, 0.0, 1.0])
    expected = flat.T.cov().trace() + flat.mean(0).square().sum()
    assert frechet_distance(flat, torch.zeros(M, FEATURES)) == pytest.approx(float(expected), rel=1e-12)
    turn = torch.linalg.qr(features(FEATURES, 3)).Q  # one set in a plane, the other in a plane across it
    ones, others = features(N, 1)[:, :2] @ turn[:2], features(M, 2)[:, :2] @ turn[2:4]
    expected = (ones.mean(0) - others.mean(0)).square().sum() + ones.T.cov().trace() + others.T.cov().trace()
    assert frechet_distance(ones, others) == pytest.approx(float(expected), rel=1e-12)


def test_features_far_from_the_origin_and_in_float32_keep_their_distance():
    a, b = features(N, 0).float(), features(M, 1).float()
    far = torch.full((FEATURES,), 4096.0)
    a, b = (a * 1024).round() / 1024, (b * 1024).round() / 1024  # so that adding 4096 rounds nothing
    assert frechet_distance(a + far, b + far) == pytest.approx(frechet_distance(a, b), rel=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(4, 2), r"the same F, got \(4, 3\) and \(4, 2\)"),
        (torch.zeros(4), torch.zeros(4), r"got \(4,\) and \(4,\)"),
        (torch.zeros(1, 3), torch.zeros(4, 3), "a must have at least 2 rows to have a covariance, got 1"),
        (torch.zeros(4, 3), torch.zeros(0, 3), "b must have at least 2 rows to have a covariance, got 0"),
        (torch.full((4, 3), math.nan), torch.zeros(4, 3), "a must hold finite numbers, got NaN or infinity"),
        (torch.zeros(4, 3), torch.full((4, 3), math.inf), "b must hold finite numbers, got NaN or infinity"),
    ],
)
def test_the_frechet_distance_refuses_what_has_none(a, b, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)


# --- precision_recall


def covered(queries, references, k):
    hits = 0
    for q in queries.tolist():
        for i, r in enumerate(references.tolist()):
            others = [math.dist(r, s) for j, s in enumerate(references.tolist()) if j != i]
            if math.dist(q, r) <= sorted(others)[k - 1]:
                hits += 1
                break
    return hits / len(queries)


@pytest.mark.parametrize("k", [1, 3, 4])
@pytest.mark.parametrize("whole", [True, False])
def test_precision_and_recall_are_those_of_the_definition(k, whole, numbers_at_once):
    real, fake = features(N, 0, columns=2), features(M, 1, columns=2) / 2
    if whole:  # many ties, many copies
        real, fake = real.round(), fake.round()
    got = precision_recall(real, fake, k)
    assert got.precision == pytest.approx(covered(fake, real, k))
    assert got.recall == pytest.approx(covered(real, fake, k))
    assert k == 1 or got.precision != got.recall


def test_swapping_the_sets_swaps_precision_and_recall():
    real, fake = features(N, 0), features(M, 1)
    assert precision_recall(fake, real) == precision_recall(real, fake)[::-1]


def test_copies_of_a_few_real_images_are_precise_and_recall_little():
    grid = torch.cartesian_prod(torch.arange(5.0), torch.arange(7.0))
    got = precision_recall(grid, grid[:1].repeat(9, 1))
    assert got.precision == 1.0
    assert got.recall == pytest.approx(1 / 35)  # all balls have the radius 0


def test_noise_around_everything_recalls_all_and_is_not_precise():
    real = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0)) / 10
    fake = 40 * torch.cartesian_prod(torch.arange(-1.0, 2.0), torch.arange(-1.0, 3.0))
    got = precision_recall(real, fake)
    assert got.recall == 1.0
    assert got.precision == pytest.approx(1 / 12)


def test_the_surface_of_a_ball_belongs_to_it():
    line = torch.tensor([[0.0], [1.0], [2.0]])
    assert precision_recall(line, torch.tensor([[3.0], [-1.0]]), k=1).precision == 1.0
    assert precision_recall(line, torch.tensor([[3.001], [-1.001]]), k=1).precision == 0.0


def test_precision_and_recall_do_not_depend_on_where_the_origin_is():
    real, fake = features(N, 0).round(), features(M, 1).round()
    assert precision_recall(real + 2.0**20, fake + 2.0**20) == precision_recall(real, fake)


@pytest.mark.parametrize(
    ("real", "fake", "k", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(4, 2), 3, r"real and fake must .* same F, got \(4, 3\) and \(4, 2\)"),
        (torch.zeros(3, 2), torch.zeros(4, 2), 3, "real must have more than k = 3 rows, got 3"),
        (torch.zeros(4, 2), torch.zeros(2, 2), 2, "fake must have more than k = 2 rows, got 2"),
        (torch.zeros(4, 2), torch.zeros(4, 2), 0, "k must be at least 1, got 0"),
        (torch.zeros(4, 2), torch.full((4, 2), math.nan), 1, "fake must hold finite numbers"),
    ],
)
def test_precision_and_recall_refuse_what_they_cannot_count(real, fake, k, message):
    with pytest.raises(ValueError, match=message):
        precision_recall(real, fake, k)


# --- nearest_distances


def test_the_nearest_reference_is_that_of_all_distances(numbers_at_once):
    queries, references = torch.rand(N, 3, 4, 6), torch.rand(M, 3, 4, 6)
    got = nearest_distances(queries, references)
    every = (queries[:, None].double() - references.double()).flatten(2).norm(dim=2)
    torch.testing.assert_close(got.distance, every.min(dim=1).values, rtol=1e-12, atol=0)
    assert torch.equal(got.index, every.argmin(dim=1))


def test_a_copy_is_found_and_is_at_distance_zero_however_far_from_the_origin(numbers_at_once):
    references = torch.rand(M, FEATURES) + 1000
    order = torch.randperm(M)
    got = nearest_distances(references[order], references)
    assert torch.equal(got.index, order)
    assert (got.distance == 0).all()


def test_bytes_are_taken_for_pixels():
    queries, references = torch.randint(256, (N, 3, 4, 6)).byte(), torch.randint(256, (M, 3, 4, 6)).byte()
    got, expected = nearest_distances(queries, references), nearest_distances(queries / 255, references / 255)
    torch.testing.assert_close(got.distance, expected.distance, rtol=1e-6, atol=0)
    assert torch.equal(got.index, expected.index)


def test_nothing_asked_is_nothing_found():
    got = nearest_distances(torch.zeros(0, FEATURES), torch.zeros(M, FEATURES))
    assert got.distance.shape == got.index.shape == (0,)


@pytest.mark.parametrize(
    ("queries", "references", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(4, 2), r"equal but for the first axis, got \(4, 3\) and \(4, 2\)"),
        (torch.zeros(4), torch.zeros(4), r"equal but for the first axis, got \(4,\) and \(4,\)"),
        (torch.zeros(4, 3), torch.zeros(0, 3), "references must hold at least one row, got none"),
        (torch.full((4, 3), math.nan), torch.zeros(4, 3), "queries must hold finite numbers"),
    ],
)
def test_nearest_distances_refuse_what_has_none(queries, references, message):
    with pytest.raises(ValueError, match=message):
        nearest_distances(queries, references)


# --- reject


def test_the_best_of_each_class_by_the_class_asked_for_are_kept():
    asked = torch.tensor([0.10, 0.30, 0.20, 0.90, 0.80, 0.70, 0.60])
    labels = torch.tensor([0, 0, 0, 2, 2, 2, 2])
    probabilities = torch.zeros(7, 3)
    probabilities[torch.arange(7), labels] = asked
    probabilities[torch.arange(7), 1] = 1 - asked  # the unsure ones are sure of another class
    assert reject(probabilities, labels, 0.5).tolist() == [1, 2, 3, 4]  # two of three, two of four
    assert reject(probabilities, labels, 0.3).tolist() == [1, 3]
    assert reject(probabilities, labels, 1.0).tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_each_class_keeps_its_share_and_at_least_one():
    labels = torch.tensor([0] * 20 + [1] * 10 + [3])
    probabilities = torch.rand(31, 4).softmax(dim=1)
    probabilities[:, 0] *= 0.01  # a class that the classifier never believes in
    kept = labels[reject(probabilities, labels, 0.2)]
    assert torch.bincount(kept, minlength=4).tolist() == [4, 2, 0, 1]


def test_the_rows_kept_do_not_depend_on_the_order_of_the_samples():
    probabilities, labels = torch.rand(N, 3).softmax(dim=1), torch.arange(N) % 3
    order = torch.randperm(N)
    again = order[reject(probabilities[order], labels[order], 0.4)].sort().values
    assert torch.equal(again, reject(probabilities, labels, 0.4))


def test_among_equally_probable_samples_the_first_are_kept():
    assert reject(torch.full((6, 2), 0.5), torch.zeros(6, dtype=torch.int64), 0.5).tolist() == [0, 1, 2]


def test_of_no_samples_none_are_kept():
    kept = reject(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 0.5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


@pytest.mark.parametrize(
    ("probabilities", "labels", "keep", "message"),
    [
        (torch.ones(4, 3), torch.tensor([0, 1, 2]), 0.5, r"\(N, classes\) and \(N,\), got \(4, 3\) and \(3,\)"),
        (torch.ones(4), torch.tensor([0, 1, 2, 0]), 0.5, r"got \(4,\) and \(4,\)"),
        (torch.ones(2, 3), torch.tensor([0, 3]), 0.5, r"labels must lie in \[0, 3\), got 0 to 3"),
        (torch.ones(2, 3), torch.tensor([-1, 2]), 0.5, r"labels must lie in \[0, 3\), got -1 to 2"),
        (torch.ones(2, 3), torch.tensor([0, 1]), 0.0, r"keep must lie in \(0, 1\], got 0.0"),
        (torch.ones(2, 3), torch.tensor([0, 1]), 1.1, r"keep must lie in \(0, 1\], got 1.1"),
        (torch.full((2, 3), math.nan), torch.tensor([0, 1]), 0.5, "probabilities must be numbers, got NaN"),
    ],
)
def test_reject_refuses_what_it_cannot_rank(probabilities, labels, keep, message):
    with pytest.raises(ValueError, match=message):
        reject(probabilities, labels, keep)
