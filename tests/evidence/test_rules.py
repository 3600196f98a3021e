"""A rule holds exactly when the stored runs carry it."""

import math

import pytest

from vqvae_course.evidence import rules
from vqvae_course.evidence.rules import Alike, Every, Less, Ordered, Undecided, interval, plain
from vqvae_course.evidence.stored import Evidence

RUNS = {
    "low": [1.0, 1.1, 1.2, 1.0, 1.1],
    "middle": [1.5, 1.7, 1.6, 1.5, 1.7],
    "high": [3.0, 3.2, 3.7, 3.1, 3.2],
    "scattered": [0.5, 2.5, 1.0, 0.3, 2.0],
    "like low": [1.01, 1.09, 1.21, 1.0, 1.1],
}


@pytest.fixture(autouse=True)
def invented(monkeypatch):
    runs = tuple(
        {"setting": name, "seed": seed, "numbers": {"error": value}}
        for name, values in RUNS.items()
        for seed, value in enumerate(values)
    )
    short = ({"setting": "short", "seed": seed, "numbers": {"error": 1.0}} for seed in range(4))
    invented = Evidence("invented", "", {name: {} for name in (*RUNS, "short")}, (*runs, *short))
    monkeypatch.setattr(rules, "load", lambda name: invented)


def judge(rule, *rest, **options):
    return rule("invented", "error", *rest, **options).judge()


def test_less_holds_in_one_direction_only():
    assert judge(Less, "low", "high").holds
    assert not judge(Less, "high", "low").holds
    assert not judge(Less, "low", "low").holds


def test_less_by_a_margin_needs_the_whole_interval():
    assert judge(Less, "low", "high", by=1.8).holds
    assert not judge(Less, "low", "high", by=2.0).holds  # mean 2.16, from 1.9


def test_less_times_compares_ratios():
    assert judge(Less, "low", "high", times=2.8).holds
    assert not judge(Less, "low", "high", times=3.0).holds


def test_scattered_runs_decide_nothing():
    assert not judge(Less, "low", "scattered").holds
    assert not judge(Less, "scattered", "low").holds
    assert judge(Undecided, "low", "scattered").holds
    assert not judge(Undecided, "low", "high").holds


def test_no_difference_needs_evidence_of_its_own():
    assert judge(Alike, "low", "like low", within=0.05).holds
    assert not judge(Alike, "low", "scattered", within=0.05).holds  # undecided is not alike
    assert not judge(Alike, "low", "high", within=0.05).holds


def test_ordered_needs_every_step():
    assert judge(Ordered, ("low", "middle", "high")).holds
    assert not judge(Ordered, ("low", "high", "middle")).holds
    assert not judge(Ordered, ("low", "scattered", "high")).holds


def test_every_bounds_the_single_runs_and_not_their_mean():
    assert judge(Every, "low", least=1.0, most=1.2).holds
    assert not judge(Every, "low", most=1.15).holds
    assert not judge(Every, "low", least=1.05).holds


def test_four_seeds_are_too_few_for_any_rule():
    for rule, rest in ((Less, ("short", "short")), (Undecided, ("short", "short")), (Every, ("short",))):
        with pytest.raises(ValueError, match="must stand on at least 5 seeds, got 4"):
            judge(rule, *rest)


def test_settings_with_other_seeds_are_not_compared():
    with pytest.raises(ValueError, match="must have the same seeds"):
        judge(Less, "short", "low")


def test_numbers_that_are_not_finite_are_no_evidence():
    with pytest.raises(ValueError, match="values must be finite"):
        interval([1.0, 2.0, 3.0, 4.0, math.nan])


def test_the_interval_is_students():
    # By hand: mean 3, standard deviation sqrt(2.5), t = 2.776 with 4 degrees of freedom.
    mean, low, high = interval([1, 2, 3, 4, 5])
    assert mean == 3
    assert high - mean == pytest.approx(2.776 * math.sqrt(2.5 / 5), rel=1e-3)
    assert mean - low == pytest.approx(high - mean)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.07184, "0.0718"),
        (0.9996, "1.00"),
        (12.34, "12.3"),
        (128, "128"),
        (2049.7, "2,050"),
        (3e7, "3.00e+07"),
    ],
)
def test_numbers_are_written_plainly(value, text):
    assert plain(value) == text
