"""What runs in the cells that check a variant: its form at home, its value when it is graded."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vqvae_course.assignments.hidden import must_be_untouched
from vqvae_course.assignments.variants import draw
from vqvae_course.checks import answer, report
from vqvae_course.checks.answer import Answer, Mistake

# A notebook's first cell imports this module, so this is where it was started, wherever an answer goes later. nbgrader
# starts it in COURSE/autograded/STUDENT/ASSIGNMENT (nbconvert takes the folder of the file that it runs).
STARTED_IN = Path.cwd()


class NotGradedHere(RuntimeError):
    """This is no place where answers are graded: whose notebook it is, or the secret, cannot be known."""


def check_form(name: str, function: Callable, given: dict[str, Any]) -> None:
    """Check what can be checked without the secret: that an answer runs, and what kind of thing it returns.

    Args:
        name: Of the function to be written.
        function: The answer.
        given: The notebook's ``GIVEN``.

    Raises:
        CheckFailed: If the form is not right.
    """
    family = draw.family_of(name)

    def judge(answer: Answer) -> None:
        getattr(draw.module_of(family), f"form_{name}")(answer, _handed_out(family, given))

    _run(f"form of {name} (its content is judged when it is graded)", function, judge)


def check_value(name: str, function: Callable, student: str, given: dict[str, Any]) -> None:
    """Judge an answer by the numbers of the student in whose folder it is graded.

    Args:
        name: Of the function to be written.
        function: The answer.
        student: The notebook's ``STUDENT``, which is compared and not trusted.
        given: The notebook's ``GIVEN``, likewise.

    Raises:
        CheckFailed: If the answer is not right, or the notebook is another student's.
        NotGradedHere: If this does not run where nbgrader grades, or the course has lost its secret.
        Tampered: If something in this kernel has replaced a part of the checks.
    """
    family = draw.family_of(name)
    module = draw.module_of(family)
    for untouched in (draw, module, answer, report, sys.modules[__name__]):
        must_be_untouched(untouched)
    own = _graded_here(family)

    def judge(answer: Answer) -> None:
        if student != own.student:
            raise Mistake(f"This notebook was handed out to somebody else, and handed in by {own.student}.")
        if _handed_out(family, given) != own.given:
            raise Mistake(
                f"The numbers in this notebook's cell GIVEN[{family!r}] are not those handed out to {own.student}.",
                "Copy that cell from the notebook that was handed out.",
            )
        getattr(module, f"form_{name}")(answer, own.given)
        getattr(module, f"judge_{name}")(answer, own.given)

    _run(name, function, judge)


def _graded_here(family: str) -> draw.Variant:
    """Return the variant of the student in whose folder this notebook was started."""
    student, assignment = STARTED_IN.parent.name, STARTED_IN.name
    if STARTED_IN.parent.parent.name != "autograded":
        raise NotGradedHere(f"answers are judged in COURSE/autograded/STUDENT/ASSIGNMENT, and this is {STARTED_IN}")
    course = STARTED_IN.parents[2]
    try:
        return draw.drawn(draw.read_secret(course), assignment, family, student)
    except ValueError as error:
        raise NotGradedHere(str(error)) from error


def _handed_out(family: str, given: Any) -> dict[str, Any]:
    found = given.get(family) if isinstance(given, dict) else None
    if not isinstance(found, dict):
        raise Mistake(
            f"GIVEN[{family!r}] holds no numbers.", "Your own are in the notebook that was handed out to you."
        )
    return found


def _run(name: str, function: Callable, judge: Callable[[Answer], None]) -> None:
    with _registered(name, judge):
        report.run(name, function, strict=True)


@contextmanager
def _registered(name: str, judge: Callable[[Answer], None]) -> Iterator[None]:
    """Have the frame of all checks know a judge, for as long as it judges."""
    report.EXERCISES[name] = report.Exercise(name, "variants", 0, judge)
    try:
        yield
    finally:
        del report.EXERCISES[name]
