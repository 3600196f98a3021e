"""Checks of the exercises: one module a notebook, ``chapter_NN_`` and its name (``chapter_A1_`` of an appendix)."""

import importlib
import pkgutil
from typing import Any

from vqvae_course.checks import report
from vqvae_course.checks.report import EXERCISES, CheckFailed, Exercise, Report

__all__ = ["EXERCISES", "CheckFailed", "Exercise", "Report", "check", "report"]

for _found in pkgutil.iter_modules(__path__, f"{__name__}."):
    if report.chapter_of(_found.name):
        importlib.import_module(_found.name)  # registers its exercises


def check(*answer: Any, strict: bool = False) -> Report:
    """Say whether an answer to an exercise is right, and if not, what is wrong.

    ``check(straight_through)`` finds the exercise by the function's name;
    ``check("straight_through", any_function)`` names it. The answer is tried on fresh random inputs.
    Nothing it does stops the notebook.

    Args:
        *answer: The function, or the exercise's name and the function.
        strict: Raise if the answer is not correct; the environment variable
            ``VQVAE_COURSE_STRICT=1`` does the same.

    Returns:
        A ``Report``, which has also been shown.

    Raises:
        CheckFailed: If the check is strict and the answer not correct.

    Explained in notebook 05.
    """
    return report.run(*answer, strict=strict)
