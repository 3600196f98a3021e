"""Calling a learner's answer so that, whatever it does, it ends in a value or in a ``Mistake``."""

import builtins
import getpass
import inspect
import io
import logging
import math
import os
import random
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SECONDS = 30  # an answer that takes longer is taken for one that never ends
KEPT_OUTPUT = 400  # characters of what an answer prints that are shown
CHANGED = "Your function changes {} in place; whoever called it still needs it."
IN_PLACE = "Look for +=, -=, functions that end in _ and assignments to a slice."
PACKAGE = Path(__file__).parents[1]  # as frames name it, also where a link leads to it


class Mistake(Exception):
    """What is wrong with an answer, in one or two sentences, and optionally a hint."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.half = False  # whether the other half is right, and counts


class NotAttempted(Exception):
    """The answer is still a stub."""


class TimeIsUp(BaseException):
    """The answer takes too long. Not an ``Exception``, or the answer's own ``except`` would swallow it."""


class Answer:
    """A learner's function, called so that whatever it does ends in a value or in a ``Mistake``."""

    def __init__(self, function: Callable):
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        """Call the function; refuse changed arguments, seeds or settings, exceptions and ``None``."""
        before = [_copy(argument) for argument in arguments]
        seed, dtype, gradients = torch.initial_seed(), torch.get_default_dtype(), torch.is_grad_enabled()
        try:
            value = self.function(*arguments)
        except Mistake as mistake:  # of a judge that wraps the answer; an answer that raises one gains nothing by it
            mistake.half = False
            raise
        except (TimeIsUp, KeyboardInterrupt):
            raise
        except NotImplementedError as error:
            if str(error):  # torch raises it too, with a text: uint8 tensors have no mean, for instance
                raise Mistake(f"Your function raised {described(error)}", _where(error)) from error
            raise NotAttempted from error
        except SystemExit as error:
            raise Mistake(
                "Your function ends the whole program (sys.exit or the like). Return a value instead."
            ) from error
        except RecursionError as error:
            raise Mistake("Your function calls itself without end.", "What should make it stop?") from error
        except _InputAsked as error:
            raise Mistake("Your function waits for keyboard input. All it needs comes in its arguments.") from error
        except BaseException as error:
            if isinstance(error, RuntimeError) and "a leaf Variable that requires grad" in described(error):
                raise Mistake(CHANGED.format("one of its arguments"), IN_PLACE) from error
            raise Mistake(f"Your function raised {described(error)}", _where(error)) from error
        if inspect.iscoroutine(value):
            value.close()
            raise Mistake("Your function is asynchronous: calling it returns no value yet.", "Remove async.")
        if inspect.isgenerator(value):
            raise Mistake("Your function returns a generator, because it contains yield.", "Use return.")
        if torch.initial_seed() != seed:
            raise Mistake(
                "Your function changes the global random seed, and with it every random number drawn afterwards.",
                "Remove the call to torch.manual_seed.",
            )
        if gradients and not torch.is_grad_enabled():
            torch.set_grad_enabled(True)  # for the rest of the check
            raise Mistake(
                "Your function turns gradients off and leaves them off: nothing can be trained after it.",
                "torch.no_grad() as a context ends by itself.",
            )
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
            raise Mistake("Your function changes torch's default dtype, for whoever comes after it.", "Put it back.")
        for position, (old, new) in enumerate(zip(before, arguments, strict=True), start=1):
            if isinstance(old, list) and len(old) != len(new):
                raise Mistake(
                    f"Your function changes the length of the list in its argument number {position}; whoever called "
                    "it still needs it.",
                    "Go through it with a for loop, or with zip.",
                )
            if not _same(old, new):
                raise Mistake(CHANGED.format(f"its argument number {position}"), IN_PLACE)
        if value is None:
            raise Mistake("Your function returns None.", "Is there a return statement, on every way through?")
        return value

    def number(self, *arguments: Any) -> float:
        """Call the function and return its answer as a float; refuse what is not one finite number."""
        value = self(*arguments)
        if isinstance(value, Tensor | np.ndarray | np.generic) and math.prod(value.shape) != 1:
            raise Mistake(f"Your function returns an array of shape {tuple(value.shape)}; one number is asked for.")
        if isinstance(value, bool) or not isinstance(value, Real | Tensor | np.ndarray | np.generic):
            raise Mistake(f"Your function returns {kind(value)}; one number is asked for.")
        try:
            value = float(value.item() if isinstance(value, Tensor | np.ndarray) else value)
        except OverflowError as error:
            raise Mistake("Your function returns a number far too large.") from error
        except Exception as error:
            raise Mistake(f"Your function returns {kind(value)}; one number is asked for.") from error
        if not math.isfinite(value):
            raise Mistake(f"Your function returns {value}.", "Is there a division by zero, or the logarithm of zero?")
        return value

    def tensor(self, *arguments: Any, shape: tuple[int, ...]) -> Tensor:
        """Call the function and return its answer; refuse what is not a finite tensor of this shape."""
        value = self(*arguments)
        if not isinstance(value, Tensor):
            raise Mistake(f"Your function returns {kind(value)}; a torch tensor is asked for.")
        if value.shape != shape:
            raise Mistake(f"Your function returns shape {tuple(value.shape)}; for this input {shape} is asked for.")
        if not bool(value.isfinite().all()):
            raise Mistake("Your function returns infinite numbers or NaN.", "Look for a division by zero or log(0).")
        return value


@contextmanager
def worth_half(first_is_right: bool = True) -> Iterator[None]:
    """Judge the second part of an exercise, such as gradients, when the first is right: a mistake leaves half."""
    try:
        yield
    except Mistake as mistake:
        mistake.half = first_is_right
        raise


def close(a: float, b: float, tolerance: float = 1e-3) -> bool:
    """Whether two numbers agree up to a relative tolerance."""
    return math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-12)


NARROW = 2e-5  # relative; many candidates are compared with one answer, and none should match by chance


def recognise(got: float | Tensor, known: Iterable[tuple[Any, str, str]], tolerance: float = NARROW) -> None:
    """Refuse an answer that is the result of a known mistake.

    Args:
        got: The answer, a number or a tensor.
        known: (what a mistake leads to, message, hint), the most likely mistakes first; what is not
            finite fits nothing.
        tolerance: Relative to the largest entry.

    Raises:
        Mistake: The first that fits.
    """
    mine = torch.as_tensor(got).detach().double()
    for value, message, hint in known:
        other = torch.as_tensor(value).detach().double()
        if mine.shape != other.shape or not bool(other.isfinite().all()):
            continue
        scale = float(other.abs().max()) if other.numel() else 0.0
        if torch.allclose(mine, other, rtol=0, atol=tolerance * scale):
            raise Mistake(message, hint)


def reseed() -> None:
    """Let every check draw fresh inputs, whatever seed the notebook has set."""
    torch.random.default_generator.seed()


class _InputAsked(BaseException):
    pass


class Beginning(io.TextIOBase):
    """A stream that keeps the beginning of what is written to it and forgets the rest."""

    def __init__(self) -> None:
        self.text = ""

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, text: str) -> int:
        """Take a text, keep what there is room for."""
        self.text += text[: max(0, KEPT_OUTPUT + 1 - len(self.text))]
        return len(text)

    def kept(self) -> str:
        """Return what was kept, on one line."""
        return shorten(self.text.strip())


@contextmanager
def sheltered() -> Iterator[Beginning]:
    """Keep an answer from the learner's screen, keyboard, clock and random numbers."""
    printed = Beginning()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    dtype, device, gradients = torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
    folder, depth, logged = Path.cwd(), sys.getrecursionlimit(), logging.root.manager.disable
    asking, hidden_asking, stdin = builtins.input, getpass.getpass, sys.stdin

    def refuse(*_: Any, **__: Any) -> str:
        raise _InputAsked

    builtins.input, getpass.getpass, sys.stdin = refuse, refuse, _Deaf()
    logging.disable()  # a handler may hold the stream that a notebook shows, and a warning there would cost points
    reseed()
    try:
        with redirect_stdout(printed), redirect_stderr(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _time_limit(), torch.enable_grad():
                yield printed
    finally:
        builtins.input, getpass.getpass, sys.stdin = asking, hidden_asking, stdin
        logging.disable(logged)
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        torch.set_default_dtype(dtype)
        torch.set_default_device(device)
        torch.set_grad_enabled(gradients)
        sys.setrecursionlimit(depth)
        os.chdir(folder)


def let_time_begin_anew() -> None:
    """Give an answer its seconds again; for a judge that an answer calls again and again, and that counts the calls."""
    if hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread() and signal.alarm(0):
        signal.alarm(SECONDS)


class _Deaf(io.TextIOBase):
    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> str:
        raise _InputAsked

    def readline(self, size: int = -1) -> str:
        raise _InputAsked


@contextmanager
def _time_limit() -> Iterator[None]:
    """Stop an answer that never ends. Needs signals, so not on Windows and only in the main thread."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _where(error: BaseException) -> str:
    """Name the deepest line that the learner wrote: not one of this package, nor of another."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if frame.line]
    own = [f for f in frames if "site-packages" not in f.filename and PACKAGE not in Path(f.filename).parents]
    return f"It happened at: {shorten(own[-1].line)}" if own else ""


def described(error: BaseException) -> str:
    """Return kind and text of an exception, on one line."""
    try:
        return shorten(f"{type(error).__name__}: {error}".removesuffix(": "))
    except Exception:  # its text cannot be had
        return type(error).__name__


def shorten(text: str) -> str:
    """Return a text on one line, cut where it gets long."""
    text = " ".join(text.split())
    return text if len(text) <= KEPT_OUTPUT else text[:KEPT_OUTPUT] + " …"


def kind(value: Any) -> str:
    """Return the type of a value with its article."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _copy(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_copy(one) for one in argument]
    return argument.detach().clone() if isinstance(argument, Tensor) else argument


def _same(old: Any, new: Any) -> bool:
    """Whether a tensor, or each tensor of a list, is what it was; of anything else this is not known."""
    if isinstance(old, list):
        return all(_same(one, other) for one, other in zip(old, new, strict=True))
    if not isinstance(old, Tensor):
        return True
    return old.shape == new.shape and torch.equal(old.nan_to_num(), new.detach().nan_to_num())
