"""The line that a check's cell of an assignment runs: the check, and the points that the answer is worth."""

from collections.abc import Callable

from vqvae_course.checks.report import EXERCISES, CheckFailed, judge_own, show


class Points(float):
    """Points of an exercise. nbgrader reads them off the text that the cell shows."""

    possible: float = 0.0

    def _repr_html_(self) -> str:
        return f"{self:g} of {self.possible:g} points"


def grade(name: str, function: Callable) -> Points:
    """Check an answer, show what was found, and return its points.

    Other than ``check`` it takes no function of the package itself: that is not the student's answer.

    Args:
        name: Of the exercise.
        function: The answer.

    Raises:
        CheckFailed: If the answer earns nothing. Its text says why.
    """
    report = judge_own(name, function)
    show(report)
    if not report.earned:
        raise CheckFailed(str(report))
    possible = EXERCISES[name].points
    points = Points(report.earned * possible)
    points.possible = possible
    return points
