"""What a claim can say of stored runs, and whether they carry it.

Runs of two settings are compared seed by seed: the same seed means the same images in the same order, so that what
both have in common cancels. Intervals are Student's for the mean of those differences, at 95 %; a mean ratio is
geometric, the exponential of a mean of differences of logarithms. What stands behind ± is the standard deviation over
seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, isfinite, log, sqrt
from statistics import fmean, stdev
from typing import NamedTuple, Protocol

from vqvae_course.evidence.stored import load

FEWEST_SEEDS = 5
# Student's t for 95 %, two-sided, by degrees of freedom from 4; beyond the list that of the last, which is wider.
QUANTILES = (2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101)


class Verdict(NamedTuple):
    """Whether stored runs carry a rule, and the numbers that say so."""

    holds: bool
    numbers: str


class Rule(Protocol):
    """A statement about stored runs."""

    experiment: str

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that it speaks of."""

    def judge(self) -> Verdict:
        """Evaluate it from the stored numbers."""


class Interval(NamedTuple):
    """A mean over seeds and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of a few numbers and Student's 95 % interval for it.

    Raises:
        ValueError: If there are fewer than five, or one is not finite.
    """
    if len(values) < FEWEST_SEEDS:
        raise ValueError(f"a claim must stand on at least {FEWEST_SEEDS} seeds, got {len(values)}")
    if not all(map(isfinite, values)):
        raise ValueError(f"values must be finite, got {list(values)}")
    quantile = QUANTILES[min(len(values) - FEWEST_SEEDS, len(QUANTILES) - 1)]
    mean, half = fmean(values), quantile * stdev(values) / sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def plain(value: float) -> str:
    """Write a number with three significant digits, without an exponent where that is readable."""
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        digits = 0 if value == 0 or abs(value) >= 1000 else max(0, 2 - _magnitude(value))
        return f"{value:,.{digits}f}"
    return f"{value:.2e}"


def _magnitude(value: float) -> int:
    """Return the power of ten of the first significant digit, once rounded to three digits."""
    return int(f"{abs(value):.2e}".split("e")[1])


def _named(number: str) -> str:
    """Write the name of what was measured as words."""
    return number.replace("_", " ")


def _spread(values: Sequence[float]) -> str:
    """Write the mean and the standard deviation over seeds, this to the decimals of the mean if that leaves a digit."""
    mean, deviation = plain(fmean(values)), stdev(values)
    decimals = len(mean.partition(".")[2])
    shown = f"{deviation:,.{decimals}f}" if "e" not in mean else f"{deviation:.0e}"
    return f"{mean} ± {shown if float(shown.replace(',', '')) or not deviation else f'{deviation:.1g}'}"


def _beside(rule: "Less | Alike | Undecided", word: str, first: Sequence[float], second: Sequence[float]) -> str:
    """Write what two settings measured, with the word between them."""
    one, other = rule.settings
    return f"{_named(rule.number)}: {_spread(first)} ({one}) {word} {_spread(second)} ({other}), {len(first)} seeds; "


def _paired(rule: "Less | Alike | Undecided") -> tuple[list[float], list[float]]:
    evidence = load(rule.experiment)
    first, second = rule.settings
    if evidence.seeds(first) != evidence.seeds(second):
        raise ValueError(f"{first!r} and {second!r} must have the same seeds to be compared seed by seed")
    return evidence.values(first, rule.number), evidence.values(second, rule.number)


@dataclass(frozen=True)
class Less:
    """One setting has less of a number than another, by a margin or a factor if one is given.

    Attributes:
        experiment: Its name.
        number: What is compared.
        low: The setting that has less.
        high: The setting that has more.
        by: The interval of the paired difference must lie above this.
        times: If given, the interval of the paired *ratio* must lie above this instead.
    """

    experiment: str
    number: str
    low: str
    high: str
    by: float = 0.0
    times: float | None = None

    @property
    def settings(self) -> tuple[str, ...]:
        """Both."""
        return self.low, self.high

    def judge(self) -> Verdict:
        """Evaluate it from the stored numbers."""
        low, high = _paired(self)
        shown = _beside(self, "against", low, high)
        if self.times is None:
            mean, left, right = interval([b - a for a, b in zip(low, high, strict=True)])
            return Verdict(left > self.by, f"{shown}difference {_ends(mean, left, right)}")
        mean, left, right = map(exp, interval([log(b / a) for a, b in zip(low, high, strict=True)]))
        return Verdict(left > self.times, f"{shown}mean ratio {_ends(mean, left, right)}")


def _ends(mean: float, low: float, high: float) -> str:
    return f"{plain(mean)}, 95 % interval {plain(low)} to {plain(high)}"


def _difference(rule: "Alike | Undecided") -> tuple[Interval, str]:
    """Return the interval of the paired difference, and the words that tell it."""
    first, second = _paired(rule)
    found = interval([b - a for a, b in zip(first, second, strict=True)])
    return found, f"{_beside(rule, 'and', first, second)}difference {_ends(*found)}"


@dataclass(frozen=True)
class Ordered:
    """A number grows from each setting to the next; every neighbouring pair must be decided.

    Attributes:
        experiment: Its name.
        number: What is compared.
        order: Settings, the least first.
    """

    experiment: str
    number: str
    order: tuple[str, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """All of them."""
        return self.order

    def judge(self) -> Verdict:
        """Evaluate it from the stored numbers."""
        holds = all(Less(self.experiment, self.number, *pair).judge().holds for pair in pairwise(self.order))
        evidence = load(self.experiment)
        values = {name: evidence.values(name, self.number) for name in self.order}
        shown = " < ".join(f"{_spread(each)} ({name})" for name, each in values.items())
        return Verdict(
            holds, f"{_named(self.number)}: {shown}; {len(next(iter(values.values())))} seeds, every step decided"
        )


@dataclass(frozen=True)
class Alike:
    """Two settings do not differ by more than a stated amount: the whole interval of the difference lies inside it.

    Attributes:
        experiment: Its name.
        number: What is compared.
        first: A setting.
        second: Another.
        within: The largest difference that still counts as none.
    """

    experiment: str
    number: str
    first: str
    second: str
    within: float

    @property
    def settings(self) -> tuple[str, ...]:
        """Both."""
        return self.first, self.second

    def judge(self) -> Verdict:
        """Evaluate it from the stored numbers."""
        (_, left, right), numbers = _difference(self)
        return Verdict(-self.within < left and right < self.within, f"{numbers}, inside ±{plain(self.within)}")


@dataclass(frozen=True)
class Undecided:
    """The stored runs cannot tell two settings apart: the interval of the difference contains 0.

    Attributes:
        experiment: Its name.
        number: What is compared.
        first: A setting.
        second: Another.
    """

    experiment: str
    number: str
    first: str
    second: str

    @property
    def settings(self) -> tuple[str, ...]:
        """Both."""
        return self.first, self.second

    def judge(self) -> Verdict:
        """Evaluate it from the stored numbers."""
        (_, left, right), numbers = _difference(self)
        return Verdict(left <= 0 <= right, f"{numbers}: these runs cannot tell")


@dataclass(frozen=True)
class Every:
    """Every single run of a setting lies between two bounds.

    Attributes:
        experiment: Its name.
        number: What is bounded.
        setting: Whose runs.
        least: No run lies below this, if given.
        most: No run lies above this, if given.
    """

    experiment: str
    number: str
    setting: str
    least: float | None = None
    most: float | None = None

    @property
    def settings(self) -> tuple[str, ...]:
        """The one."""
        return (self.setting,)

    def judge(self) -> Verdict:
        """Evaluate it from the stored numbers."""
        values = load(self.experiment).values(self.setting, self.number)
        interval(values)  # as many seeds as any claim
        low, high = min(values), max(values)
        holds = (self.least is None or low >= self.least) and (self.most is None or high <= self.most)
        shown = f"{plain(low)} in each of {len(values)} seeds" if low == high else ", ".join(map(plain, sorted(values)))
        return Verdict(holds, f"{_named(self.number)}: {shown} ({self.setting})")
