"""Answers to exercises, registered next to the claim about them."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from vqvae_course import check
from vqvae_course.checks import EXERCISES, Report
from vqvae_course.checks.task import Task


class WrongAnswer(NamedTuple):
    """An answer that must be rejected, and a fragment of what its report must say."""

    function: Callable
    fragment: str


class Answers:
    """The registered answers of one chapter."""

    def __init__(self) -> None:
        self.right: dict[str, list[Callable]] = {}
        self.wrong: dict[str, list[WrongAnswer]] = {}

    def accept(self, exercise: str) -> Callable[[Callable], Callable]:
        """Register a right answer."""

        def register(function: Callable) -> Callable:
            self.right.setdefault(exercise, []).append(function)
            return function

        return register

    def reject(self, exercise: str, fragment: str) -> Callable[[Callable], Callable]:
        """Register a wrong answer, whose report must contain ``fragment``."""

        def register(function: Callable) -> Callable:
            self.wrong.setdefault(exercise, []).append(WrongAnswer(function, fragment))
            return function

        return register

    def all_wrong(self, exercise: str) -> list[WrongAnswer]:
        """Return the registered wrong answers, and those that a task knows: each is run as an answer, too."""
        judge = EXERCISES[exercise].judge
        known = judge.known if isinstance(judge, Task) else []
        return [WrongAnswer(one.function, one.message) for one in known] + self.wrong.get(exercise, [])

    def tests(self) -> tuple[Callable, Callable]:
        """Return one test of all right answers and one of all wrong ones, for the module to name."""
        right = [(name, function) for name, functions in self.right.items() for function in functions]
        wrong = [(name, *answer) for name in self.right for answer in self.all_wrong(name)]

        @pytest.mark.parametrize(("name", "function"), right, ids=[f"{n}-{f.__name__}" for n, f in right])
        def accepted(name: str, function: Callable) -> None:
            assert check(name, function).correct

        @pytest.mark.parametrize(("name", "function", "fragment"), wrong, ids=[_title(*row) for row in wrong])
        def rejected(name: str, function: Callable, fragment: str) -> None:
            report: Report = check(name, function)
            assert not report.correct
            assert fragment in str(report)

        return accepted, rejected


def _title(name: str, function: Callable, fragment: str) -> str:
    return f"{name}-{fragment[:40] if function.__name__ == '<lambda>' else function.__name__}"
