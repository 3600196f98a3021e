"""What runs when answers are graded, and only then: the check once more, and that nobody has rewritten the check."""

import importlib
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import torch

from vqvae_course import checks
from vqvae_course.assignments import grade as grading
from vqvae_course.assignments.grade import Points, grade
from vqvae_course.checks import report

TIMES = 2  # each with fresh random inputs
COMPARISONS = ((math, "isclose"), (torch, "isclose"), (torch, "allclose"), (torch, "equal"))  # what judges decide by


class Tampered(AssertionError):
    """A check is no longer what it is in the installed package."""


def grade_again(name: str, function: Callable) -> Points:
    """Grade an answer on fresh random inputs with the checks as they are installed.

    Args:
        name: Of the exercise.
        function: The answer.

    Returns:
        The fewest points that it earned.

    Raises:
        CheckFailed: If the answer earns nothing.
        Tampered: If something in this kernel has replaced a part of the checks.
    """
    registered = report.EXERCISES[name]
    judging = {name: module for name, module in sys.modules.items() if name.startswith(checks.__name__)}
    chapters = [judging[name] for name in judging if report.chapter_of(name) == registered.chapter != ""]
    frame = [judging[name] for name in judging if not report.chapter_of(name)]
    for module in (grading, *frame, *chapters):
        must_be_untouched(module)
    for library, part in COMPARISONS:
        found = getattr(library, part)
        if not isinstance(found, BuiltinFunctionType) or found.__name__ != part:
            raise Tampered(f"{library.__name__}.{part} is not what is installed")
    if registered.judge not in [getattr(module, name, None) for module in chapters]:
        raise Tampered(f"the judge of {name} is not the installed one")
    for module in chapters:  # a task could have been given another right answer: it is read from its file again
        importlib.reload(module)
    return min(grade(name, function) for _ in range(TIMES))


def must_be_untouched(module: ModuleType) -> None:
    """Raise ``Tampered`` where a function or method of a module is not what its file says."""
    for path, code in _compiled(module).items():
        found = module
        for part in path.split("."):
            found = inspect.unwrap(vars(found)[part]) if part in vars(found) else None
            found = getattr(found, "__func__", getattr(found, "fget", None) or found)
            if found is None:
                break
        if not isinstance(found, FunctionType) or found.__code__ != code:
            raise Tampered(f"{module.__name__}.{path} is not what is installed")


def _compiled(module: ModuleType) -> dict[str, CodeType]:
    """Return the code of each function and method of a module as its file has it."""
    source = Path(module.__file__).read_text(encoding="utf-8")
    return dict(_inside(compile(source, module.__file__, "exec", dont_inherit=True)))


def _inside(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and "<" not in constant.co_qualname:
            if constant.co_flags & inspect.CO_NEWLOCALS and constant.co_flags & inspect.CO_OPTIMIZED:
                yield constant.co_qualname, constant
            else:  # a class
                yield from _inside(constant)
