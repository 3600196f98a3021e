"""Comparing what an answer makes of its arguments with what another function makes of them: values and gradients."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vqvae_course.checks.answer import NARROW, Mistake, described, recognise
from vqvae_course.checks.read import is_number


class Observed(NamedTuple):
    """What a function makes of its arguments, in float64.

    Attributes:
        values: What it returns, one tensor or several.
        gradients: Of the sum of all values, each with a weight of its own, with respect to the arguments that the
            task names; empty if it names none.
        dtype: The type of the first value.
    """

    values: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]
    dtype: torch.dtype


def observe(values: tuple[Tensor, ...], wanted: list[Tensor]) -> Observed:
    """Return values, and their gradients with respect to some tensors, in float64.

    Raises:
        Mistake: If a gradient cannot be computed.
    """
    gradients: tuple[Tensor, ...] = tuple(torch.zeros_like(argument).double() for argument in wanted)
    flowing = [value for value in values if value.requires_grad]
    if wanted and flowing:
        total = sum((_weights(value) * value.double()).sum() for value in flowing)
        try:
            found = torch.autograd.grad(total, wanted, allow_unused=True)
        except RuntimeError as error:
            message = f"The gradient of what your function returns cannot be computed: {described(error)}"
            raise Mistake(message) from error
        gradients = tuple(zero if one is None else one.double() for zero, one in zip(gradients, found, strict=True))
    return Observed(tuple(value.detach().double() for value in values), gradients, values[0].dtype)


def _weights(value: Tensor) -> Tensor:
    """Return a weight for each entry, the same at every call, so that no gradient cancels in a sum."""
    return torch.linspace(0.5, 1.5, value.numel(), dtype=torch.float64).sin().add(1).view(value.shape)


def fresh(arguments: tuple) -> tuple:
    """Return copies of the arguments, each tensor a leaf and laid out in memory as it was."""
    return tuple(_copied(argument) for argument in arguments)


def _copied(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        own = argument.detach().clone(memory_format=torch.preserve_format)
        return own.requires_grad_(argument.requires_grad)
    if isinstance(argument, list):
        return [_copied(one) for one in argument]
    if isinstance(argument, torch.Generator):
        return argument.clone_state()
    return copy.deepcopy(argument) if isinstance(argument, nn.Module) else argument


def in_float64(argument: Any) -> Any:
    """Return an argument with its floating-point numbers in float64, each tensor a leaf."""
    if isinstance(argument, list):
        return [in_float64(one) for one in argument]
    if isinstance(argument, Tensor) and argument.is_floating_point():
        return argument.detach().double().requires_grad_(argument.requires_grad)
    return argument


def as_tensor(part: Any) -> Tensor:
    """Return what a model answer or a mistake computes as a tensor."""
    return torch.tensor(float(part), dtype=torch.float64) if is_number(part) else torch.as_tensor(part)


def agree(mine: Tensor, its: Tensor, tolerance: float, zero: float = 1e-9, entrywise: bool = False) -> bool:
    """Whether two tensors agree, infinite where the other is, up to a share of the largest finite entry, or of each."""
    if mine.shape != its.shape or bool(mine.isnan().any()) or bool(its.isnan().any()):
        return False
    finite = its.isfinite()
    if not torch.equal(finite, mine.isfinite()) or not torch.equal(mine[~finite], its[~finite]):
        return False
    if not bool(finite.any()):
        return True
    size = its[finite].abs()
    scale = size if entrywise else size.max()
    return bool(((mine - its)[finite].abs() <= (tolerance * scale).clamp(min=zero)).all())


def meant(got: Tensor | float, known: dict[str, Any], tolerance: float = NARROW) -> None:
    """Refuse the result of a known mistake, for a judge that is no task: a layer's, or a step's.

    Args:
        got: What came back.
        known: From the message, and a hint on a second line if there is one, to what a mistake leads to, or to
            several such values.
        tolerance: Relative to the largest entry.
    """
    for text, values in known.items():
        message, _, hint = text.partition("\n")
        candidates = values if isinstance(values, tuple | list) else (values,)
        recognise(got, [(value, message, hint) for value in candidates], tolerance)


def rows_of(codes: Tensor, z: Tensor) -> list[int]:
    """Return which row of ``z`` each code is; -1 for a code that is none."""
    equal = codes[:, None].isclose(z, rtol=1e-5, atol=1e-6).all(dim=2)
    return [int(row.nonzero()[0]) if row.any() else -1 for row in equal]
