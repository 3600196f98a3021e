"""Whether an answer is the learner's own: neither a function of the package that does the job, nor a call of one."""

import functools
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

from vqvae_course.checks.answer import PACKAGE, Answer

TORCH = Path(torch.__file__).parent  # as frames name it, also where a link leads to it
NOT_TAUGHT = tuple(PACKAGE / name for name in ("checks", "assignments", "cli"))
# What does the job of an exercise under another name than the exercise's.
ALSO = {
    "EMAQuantizer": ("EMAVectorQuantizer",),
    "perplexity": ("perplexity_of_counts",),
    "nll": ("nats_per_code",),
    "causal_mask": ("MaskedConv2d",),
    "latent_bits": ("compression_ratio", "hierarchy_ratio"),
}
RECORDED = (torch.jit.ScriptFunction, torch.jit.ScriptModule, torch.fx.GraphModule)


@contextmanager
def taken_over(name: str, answer: Any) -> Iterator[list[str]]:
    """Note, while an answer is being judged, that it is the package's own, or calls it.

    Args:
        name: Of the exercise.
        answer: The function or class that is judged.

    Yields:
        A list that stays empty if the answer is the learner's own, and else says in words what it does.
    """
    names = {name, *ALSO.get(name, ())}
    found = [f"is the package's own {name}"] if _is_ours(answer, names) else []
    if isinstance(answer, RECORDED):
        found.append("is a recording of a function, and not the function")

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and _does_the_job(frame.f_code, names) and not _called_by_us(frame):
            found.append(f"calls the package's own {frame.f_code.co_qualname.partition('.')[0]}")

    before = sys.getprofile()
    sys.setprofile(look)
    threading.setprofile(look)
    try:
        yield found
        if sys.getprofile() is not look:
            found.append("turns off what watches over it")
    finally:
        threading.setprofile(None)
        sys.setprofile(before if callable(before) else None)


def _does_the_job(code: CodeType, names: set[str]) -> bool:
    """Whether code is that of a function, or of a class's methods, with one of these names in the taught package."""
    return code.co_qualname.partition(".")[0] in names and _is_taught(code.co_filename)


@functools.cache
def _is_taught(filename: str) -> bool:
    folders = Path(filename).parents
    return PACKAGE in folders and not any(folder in folders for folder in NOT_TAUGHT)


def _is_ours(answer: Any, names: set[str]) -> bool:
    while isinstance(answer, functools.partial):
        answer = answer.func
    if isinstance(answer, type):
        ours = [one for one in answer.__mro__ if one.__module__.startswith("vqvae_course.")]
        return any(one.__name__ in names and _is_taught(inspect.getfile(one)) for one in ours)
    code = getattr(inspect.unwrap(answer), "__code__", None) if callable(answer) else None
    return isinstance(code, CodeType) and _does_the_job(code, names)


def _called_by_us(frame: FrameType) -> bool:
    """Whether a judge or the package made a call, directly or through torch (a module's call, a decorator).

    ``Answer`` calls nothing but the answer: what it seems to call, an answer without a frame of its own has called.
    """
    caller = frame.f_back
    while caller is not None and TORCH in Path(caller.f_code.co_filename).parents:
        caller = caller.f_back
    if caller is None or caller.f_code is Answer.__call__.__code__:
        return False
    return PACKAGE in Path(caller.f_code.co_filename).parents
