"""Reading what an answer returns: one number, one tensor, several tensors. What is no such thing is a ``Mistake``."""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqvae_course.checks.answer import Mistake, kind

Reader = Callable[[Any], tuple[Tensor, ...]]


def is_number(value: Any) -> bool:
    """Whether a value is a plain number, of Python or of NumPy; True and False are none."""
    return isinstance(value, Real | np.generic) and not isinstance(value, bool | np.bool_)


def number(value: Any) -> tuple[Tensor, ...]:
    """Read one number, also out of a tensor or an array with one entry."""
    if isinstance(value, Tensor | np.ndarray) and math.prod(value.shape) != 1:
        raise Mistake(f"Your function returns an array of shape {tuple(value.shape)}; one number is asked for.")
    if not (is_number(value) or isinstance(value, Tensor | np.ndarray)):
        raise Mistake(f"Your function returns {kind(value)}; one number is asked for.")
    if isinstance(value, Tensor):
        return (value.reshape(()),)
    try:
        return (torch.tensor(float(value if is_number(value) else value.item()), dtype=torch.float64),)
    except OverflowError as error:
        raise Mistake("Your function returns a number far too large.") from error


def plain_number(value: Any) -> tuple[Tensor, ...]:
    """Read one number that is no tensor and no array, where a task asks for that."""
    if not is_number(value):
        raise Mistake(f"Your function returns {kind(value)}; a plain number is asked for.", ".item() makes one.")
    return number(value)


def tensor(value: Any) -> tuple[Tensor, ...]:
    """Read one tensor; where one number is asked for, a plain number will do."""
    if is_number(value):
        return number(value)
    if not isinstance(value, Tensor):
        lost = "; it carries no gradient either" if isinstance(value, np.ndarray) else ""
        raise Mistake(f"Your function returns {kind(value)}; a torch tensor is asked for{lost}.")
    return (value,)


def zeros_and_ones(value: Any) -> tuple[Tensor, ...]:
    """Read zeros and ones, or False and True, in a tensor, an array or nested lists, as a float64 tensor."""
    if isinstance(value, list | tuple | np.ndarray):
        try:
            value = torch.as_tensor(np.asarray(value))
        except Exception as error:
            raise Mistake(f"Your function returns {kind(value)} that is no table of numbers.") from error
    if not isinstance(value, Tensor):
        raise Mistake(f"Your function returns {kind(value)}; a tensor of zeros and ones is asked for.")
    if not bool(((value == 0) | (value == 1)).all()):
        raise Mistake("Your result holds other values than 0 and 1 (or False and True).")
    return (value.detach().cpu().double(),)


def tensors(*names: str) -> Reader:
    """Return a reader of a tuple or list of tensors with these names."""

    def read(value: Any) -> tuple[Tensor, ...]:
        wanted = f"({', '.join(names)})"
        if not isinstance(value, tuple | list):
            raise Mistake(f"Your function returns {kind(value)}; {len(names)} tensors are asked for, {wanted}.")
        if len(value) != len(names):
            raise Mistake(f"Your function returns {len(value)} values; {len(names)} are asked for, {wanted}.")
        for name, part in zip(names, value, strict=True):
            if not isinstance(part, Tensor) and not is_number(part):
                raise Mistake(f"The {name} that you return is {kind(part)}; a torch tensor is asked for.")
        return tuple(part if isinstance(part, Tensor) else torch.tensor(float(part)) for part in value)

    return read


def integers(*names: str) -> Reader:
    """Return a reader of whole numbers with these names, also of more or fewer: that is for the task to judge."""

    def read(value: Any) -> tuple[Tensor, ...]:
        wanted = f"({', '.join(names)})"
        if isinstance(value, Tensor | np.ndarray):
            if value.ndim > 1:
                raise Mistake(f"{wanted} is asked for; an array of shape {tuple(value.shape)} came back.")
            value = value.tolist()
        if is_number(value):
            raise Mistake(f"One number came back; {wanted} is asked for.", f"Return {len(names)} numbers.")
        if not isinstance(value, tuple | list):
            raise Mistake(f"{wanted} is asked for; {kind(value)} came back.")
        parts = [part.item() if isinstance(part, Tensor) and part.numel() == 1 else part for part in value]
        for part in parts:
            if not isinstance(part, Integral) or isinstance(part, bool):
                hint = "Divide with //." if isinstance(part, float) else ""
                raise Mistake(f"{wanted} are whole numbers; {part!r} came back.", hint)
        return tuple(torch.tensor(int(part), dtype=torch.float64) for part in parts)

    return read
