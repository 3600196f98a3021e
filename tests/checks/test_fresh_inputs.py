"""Verdicts do not hang on the inputs that a check happens to draw. It takes long, so by hand: ``pytest -m slow``."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.checks.registered import Answers
from vqvae_course import check

ROUNDS = 100
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fresh_inputs")]


def registered() -> Iterator[tuple[str, Answers]]:
    """Find the registered answers of all chapters."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path != Path(__file__):
            module = importlib.import_module(f"{__package__}.{path.stem}")
            if hasattr(module, "answers"):
                yield path.stem.removeprefix("test_"), module.answers


CHAPTERS = dict(registered())
RIGHT = [(chapter, name, f) for chapter, a in CHAPTERS.items() for name, fs in a.right.items() for f in fs]
WRONG = [(chapter, name, *w) for chapter, a in CHAPTERS.items() for name in a.right for w in a.all_wrong(name)]


def title(row: tuple[str, str, Callable]) -> str:
    chapter, name, function, *_ = row
    return f"{chapter}-{name}-{function.__name__}"


@pytest.mark.parametrize(("chapter", "name", "function"), RIGHT, ids=map(title, RIGHT))
def test_right_answers_are_accepted_whatever_is_drawn(chapter, name, function):
    assert all(check(name, function).correct for _ in range(ROUNDS))


@pytest.mark.parametrize(("chapter", "name", "function", "fragment"), WRONG, ids=map(title, WRONG))
def test_wrong_answers_are_told_why_nearly_whatever_is_drawn(chapter, name, function, fragment):
    reports = [check(name, function) for _ in range(ROUNDS)]
    assert not any(report.correct for report in reports)
    assert sum(fragment not in str(report) for report in reports) <= 1  # another mistake may give the same number
