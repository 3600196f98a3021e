"""The frame of all checks: the registry of exercises, the report of a check, and how it is shown."""

import html
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from vqvae_course.checks import answer
from vqvae_course.checks.answer import Answer, Mistake, NotAttempted, TimeIsUp, described, kind, sheltered, shorten
from vqvae_course.checks.own import taken_over

NOT_ATTEMPTED, CORRECT, WRONG = "not attempted yet", "correct", "not yet"


class CheckFailed(AssertionError):
    """Raised instead of a message when a check is strict."""


@dataclass(frozen=True)
class Report:
    """The outcome of a check.

    Attributes:
        exercise: Name of the exercise.
        status: ``"not attempted yet"``, ``"correct"`` or ``"not yet"``.
        message: What is wrong, or empty.
        hint: A nudge towards the answer, or empty.
        printed: The beginning of what the answer printed.
        earned: The part of the points that the answer is worth, between 0 and 1.
    """

    exercise: str
    status: str
    message: str = ""
    hint: str = ""
    printed: str = ""
    earned: float = 0.0

    @property
    def correct(self) -> bool:
        """Whether the answer was accepted."""
        return self.status == CORRECT

    def __str__(self) -> str:
        lines = [f"{self.exercise}: {self.status}" + (f". {self.message}" if self.message else "")]
        lines += [f"Hint: {self.hint}"] if self.hint else []
        lines += [f"Your code printed: {self.printed}"] if self.printed else []
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        colour = {CORRECT: "#009E73", WRONG: "#D55E00"}.get(self.status, "#888888")
        parts = [f"<b>{html.escape(self.exercise)}: {self.status}</b>"]
        parts += [html.escape(self.message)] if self.message else []
        parts += [f"<i>Hint:</i> {html.escape(self.hint)}"] if self.hint else []
        parts += [f"<i>Your code printed:</i> <code>{html.escape(self.printed)}</code>"] if self.printed else []
        return (
            f'<div class="vqvae-check" style="border-left: 4px solid {colour}; padding: 0.3em 0.8em">'
            + "<br>".join(parts)
            + "</div>"
        )

    def _ipython_display_(self) -> None:
        """Show nothing: ``check`` has shown the report already, also when it is not a cell's last line."""


@dataclass(frozen=True)
class Exercise:
    """A registered exercise.

    Attributes:
        name: Name of the function the learner writes.
        module: Where it is judged.
        points: What it is worth.
        judge: Takes the ``Answer``; returns if it is right, raises ``Mistake`` if it is not.
    """

    name: str
    module: str
    points: int
    judge: Callable[[Answer], None]

    @property
    def chapter(self) -> str:
        """Name of the notebook without its number."""
        return chapter_of(self.module)

    @property
    def bank(self) -> bool:
        """Whether it belongs to the bank for classes that grade, and so to no notebook."""
        return self.module.startswith("vqvae_course.checks.bank.")


EXERCISES: dict[str, Exercise] = {}


def chapter_of(module: str) -> str:
    """Return the notebook, without its number, that the checks of a module are about; empty if there is none."""
    found = re.fullmatch(r"vqvae_course\.checks\.(?:bank\.)?chapter_(?:\d\d|A\d)_(\w+)", module)
    return found.group(1) if found else ""


def exercise(points: int) -> Callable[[Callable[[Answer], None]], Callable[[Answer], None]]:
    """Register a judge under its own name, as an exercise of the notebook its module is named after."""

    def register(judge: Callable[[Answer], None]) -> Callable[[Answer], None]:
        EXERCISES[judge.__name__] = Exercise(judge.__name__, judge.__module__, points, judge)
        return judge

    return register


def run(*arguments: Any, strict: bool = False) -> Report:
    """Check an answer and show what was found; see ``vqvae_course.check``."""
    report = _judge(arguments)
    show(report)
    if not report.correct and (strict or os.environ.get("VQVAE_COURSE_STRICT") == "1"):
        raise CheckFailed(str(report))
    return report


def judge_own(name: str, function: Any) -> Report:
    """Judge an answer that must be the learner's own work, and show nothing."""
    with taken_over(name, function) as found:
        report = _judge((name, function))
    if not (found and report.earned):
        return report
    message = f"Your answer {found[0]}. The exercise asks you to write it."
    return Report(name, WRONG, message, "Write the function in the notebook, without the package's, also in an assert.")


def _judge(arguments: tuple) -> Report:
    if len(arguments) == 2 and isinstance(arguments[0], str):
        name, function = arguments
    elif len(arguments) == 1 and not isinstance(arguments[0], str):
        (function,) = arguments
        name = getattr(function, "__name__", None)
        name = name if isinstance(name, str) else ""
    else:
        return Report("check", WRONG, 'Write check(your_function) or check("exercise_name", your_function).')
    if name not in EXERCISES:
        known = ", ".join(sorted(EXERCISES))
        if callable(function) and not name:
            return Report("check", WRONG, f'Name the exercise: check("name", your_function). There are: {known}.')
        if not callable(function):
            return Report(
                "check", WRONG, f"check needs the function itself, got {kind(function)}.", "Leave out the ()."
            )
        return Report("check", WRONG, f"There is no exercise named {shorten(repr(name))}. There are: {known}.")
    if not callable(function):
        message = f"check needs the function itself, got {kind(function)}."
        return Report(name, WRONG, message, "Write check(name) without calling the function.")
    earned = 0.0
    with sheltered() as printed:
        try:
            EXERCISES[name].judge(Answer(function))
            outcome, earned = (CORRECT, "", ""), 1.0
        except NotAttempted:
            outcome = (NOT_ATTEMPTED, "", "")
        except Mistake as mistake:
            outcome, earned = (WRONG, mistake.message, mistake.hint), 0.5 * mistake.half
        except TimeIsUp:
            outcome = (
                WRONG,
                f"Your function did not finish within {answer.SECONDS} seconds.",
                "Is there a loop without an end?",
            )
        except KeyboardInterrupt:
            outcome = (WRONG, "The check was interrupted.", "")
        except BaseException as error:  # an answer of a kind that nobody foresaw
            message = f"Your function returns something the check cannot use ({described(error)})."
            outcome = (WRONG, message, "Compare its type and shape with what the exercise asks for.")
    status, message, hint = outcome
    return Report(name, status, message, hint, printed.kept() if status == WRONG else "", earned)


def show(report: Report) -> None:
    """Show a report: as HTML in a notebook, as text elsewhere."""
    with suppress(ImportError):
        from IPython import get_ipython
        from IPython.display import display

        if getattr(get_ipython(), "kernel", None) is not None:
            display({"text/plain": str(report), "text/html": report._repr_html_()}, raw=True)
            return
    print(report)
