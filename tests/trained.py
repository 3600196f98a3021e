"""Which tests train: they are marked ``trained`` when they are collected, so that nobody has to think of it."""

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType

import pytest

# A training loop, an update, and what compares the checkpoints that the command line leaves.
TRAINING = {"fit", "Adam", "AdamW", "SGD", "saved"}


def codes_in(function: Callable) -> Iterator[CodeType]:
    """Give the code of a function and of all that is defined inside of it."""
    found = [function.__code__]
    while found:
        code = found.pop()
        yield code
        found.extend(each for each in code.co_consts if isinstance(each, CodeType))


def helpers(function: FunctionType, names: set[str]) -> Iterator[FunctionType]:
    """Give the functions of the tests that a function may call by one of these names."""
    for name in names:
        value = function.__globals__.get(name)
        value = getattr(value, "__wrapped__", value)  # what a cache is around
        if isinstance(value, FunctionType) and value.__module__.partition(".")[0] == __package__:
            yield value


def trains(*functions: Callable) -> bool:
    """Say whether one of these functions, or a function of the tests that they call, trains.

    Args:
        *functions: A test and the fixtures that it uses.
    """
    todo, seen = [getattr(each, "__func__", each) for each in functions], set()
    while todo:
        function = todo.pop()
        if function in seen or not isinstance(function, FunctionType):
            continue
        seen.add(function)
        names = {name for code in codes_in(function) for name in code.co_names + code.co_freevars}
        if names & TRAINING:
            return True
        todo.extend(helpers(function, names))
    return False


def mark(items: list[pytest.Item]) -> None:
    """Mark the tests that train."""
    for item in items:
        if isinstance(item, pytest.Function):
            fixtures = [each.func for found in item._fixtureinfo.name2fixturedefs.values() for each in found]
            if trains(item.function, *fixtures):
                item.add_marker(pytest.mark.trained)
