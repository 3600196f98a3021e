"""Whether an answer is the learner's own: neither a function of the package under the same name, nor a call of one."""

import functools
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import torch

from vqvae_course.checks.answer import PACKAGE

TORCH = Path(torch.__file__).resolve().parent
NOT_TAUGHT = ("vqvae_course.checks", "vqvae_course.assignments", "vqvae_course.cli")


def taught(name: str) -> list[Any]:
    """Return the functions and classes of this name in the package, which an exercise asks to be written."""
    modules = [module for key, module in list(sys.modules.items()) if key.startswith("vqvae_course.")]
    found = [vars(module).get(name) for module in modules if not module.__name__.startswith(NOT_TAUGHT)]
    return [one for one in found if getattr(one, "__module__", "").startswith("vqvae_course.")]


@contextmanager
def taken_over(name: str, answer: Any) -> Iterator[list[str]]:
    """Note, while an answer is being judged, that it is the package's own, or calls it.

    Args:
        name: Of the exercise.
        answer: The function or class that is judged.

    Yields:
        A list that stays empty if the answer is the learner's own.
    """
    ours = taught(name)
    codes = {code for one in ours for code in _codes(one)}
    found = ["is"] if _is_one_of(answer, ours, codes) else []

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in codes and not _called_by_us(frame):
            found.append("calls")

    before = sys.getprofile()
    sys.setprofile(look if codes else before)
    try:
        yield found
    finally:
        sys.setprofile(before)


def _is_one_of(answer: Any, ours: list[Any], codes: set[CodeType]) -> bool:
    while isinstance(answer, functools.partial):
        answer = answer.func
    if isinstance(answer, type):
        return any(one in ours for one in answer.__mro__)
    return getattr(inspect.unwrap(answer), "__code__", None) in codes


def _codes(one: Any) -> list[CodeType]:
    members = vars(one).values() if isinstance(one, type) else [one]
    plain = [inspect.unwrap(getattr(member, "__func__", member)) for member in members if callable(member)]
    return [member.__code__ for member in plain if isinstance(member, FunctionType)]


def _called_by_us(frame: FrameType) -> bool:
    """Whether the package itself made a call, directly or through torch (a module's call, a decorator)."""
    caller = frame.f_back
    while caller is not None and TORCH in Path(caller.f_code.co_filename).parents:
        caller = caller.f_back
    return caller is None or PACKAGE in Path(caller.f_code.co_filename).parents
