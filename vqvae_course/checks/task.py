"""An exercise whose answer is compared: inputs, what is right, and what each known mistake computes.

A mistake is a function, like an answer. So the judge compares with it on the same inputs as with the right one, the
tests run it as an answer, and what to say of it is written once::

    step = Task(kmeans_step, points=2, reads=tensor, otherwise="These are not the means of the cells.")

    @step.inputs                    # borders always, not by chance: first and last code, an empty cell, a far origin
    def cells():
        yield z, codebook

    step.mistakes({"These are the sums of the cells; divide each by its number.": lambda z, codebook: ...})

    @step.unless                    # families that no single function is
    def families(got, z, codebook): ...

    @step.further                   # what no comparison shows: randomness, errors asked for, what is left behind
    def errors(answer): ...
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from torch import Tensor

from vqvae_course.checks.answer import NARROW, Answer, Mistake, worth_half
from vqvae_course.checks.compare import Observed, agree, as_tensor, fresh, in_float64, observe
from vqvae_course.checks.read import Reader, number
from vqvae_course.checks.report import EXERCISES, Exercise

LATER = 3  # so many inputs after the first on which an answer is wrong, to tell mistakes from each other


class Known(NamedTuple):
    """A known mistake: what it computes, and what is said of it."""

    function: Callable
    message: str
    hint: str
    part: int | None = None  # the value that it gets wrong, where a task asks for several


class Task:
    """An exercise whose answer is right if it agrees with a function on all inputs.

    Args:
        right: The model answer; its parameters name the arguments. It is given float64 where an answer is given
            float32.
        points: What the exercise is worth.
        otherwise: What to say of a wrong answer that is no known mistake: a text, or a function of what came back
            and of the arguments.
        hint: A nudge to go with it.
        name: Of the function that the learner writes; ``right.__name__`` if None.
        reads: How to read what comes back, one of ``checks.read``.
        tolerance: Relative to the largest entry.
        zero: Up to what an entry may differ where the right ones are all 0.
        entrywise: Whether the tolerance is relative to each entry, where small ones count as much as large ones.
        narrow: The tolerance, relative to the largest entry, within which a result is that of a known mistake.
        gradients: Names of the arguments whose gradients are compared, too.
        half: Whether right values with wrong gradients earn half of the points.
        keeps_dtype: Whether the result must have the type of the first floating argument.
        later: So many inputs after the first on which an answer is wrong are looked at, to tell mistakes apart.
        around: Of the arguments; entered around each call of the answer, to refuse what it leaves behind in them.
    """

    def __init__(
        self,
        right: Callable,
        *,
        points: int,
        otherwise: str | Callable[..., str],
        hint: str = "",
        name: str | None = None,
        reads: Reader = number,
        tolerance: float = 1e-4,
        zero: float = 1e-9,
        entrywise: bool = False,
        narrow: float = NARROW,
        gradients: Sequence[str] = (),
        half: bool = False,
        keeps_dtype: bool = False,
        later: int = LATER,
        around: Callable[..., AbstractContextManager] = lambda *_: nullcontext(),
    ):
        self.right, self.points, self.otherwise, self.hint = right, points, otherwise, hint
        self.name, self.reads = name or right.__name__, reads
        self.tolerance, self.zero, self.narrow = tolerance, zero, narrow
        self.half, self.keeps_dtype, self.later, self.around = half, keeps_dtype, later, around
        self.entrywise = entrywise
        parameters = list(inspect.signature(right).parameters)
        self.gradients = [(argument, parameters.index(argument)) for argument in gradients]
        self.known: list[Known] = []
        self._families: list[Callable] = []
        self._failures: list[Callable] = []
        self._further: list[Callable[[Answer], None]] = []
        self._suspicions: list[Callable[[Answer], None]] = []

    def inputs(self, cases: Callable[[], Iterable[tuple]]) -> Callable[[], Iterable[tuple]]:
        """Take a function that yields tuples of arguments, and register the exercise in its module."""
        self._inputs = cases
        EXERCISES[self.name] = Exercise(self.name, cases.__module__, self.points, self)
        return cases

    def mistakes(
        self,
        known: dict[str, Callable | tuple[Callable, ...]],
        part: int | None = None,
        of: Callable[..., tuple] | None = None,
    ) -> None:
        """Say what of answers that compute what a function computes; likely ones come first.

        Args:
            known: From the message, and a hint on a second line if there is one, to a function or several.
            part: Which of several values the functions compute; the others are not looked at.
            of: What the functions take, made from the arguments; the arguments themselves if None.
        """
        for text, functions in known.items():
            message, _, hint = text.partition("\n")
            for function in functions if isinstance(functions, tuple) else (functions,):
                whole = function if of is None else _after(of, function)
                whole = whole if part is None else _with_part(self.right, part, whole)
                self.known.append(Known(whole, message, hint, part))

    def unless(self, family: Callable[..., None]) -> Callable[..., None]:
        """Take a function of what came back and of the arguments that may raise a ``Mistake`` of a wrong answer."""
        self._families.append(family)
        return family

    def fails(self, failure: Callable[..., None]) -> Callable[..., None]:
        """Take a function of the ``Mistake`` of a failed call, and of the arguments, that may raise a better one."""
        self._failures.append(failure)
        return failure

    def further(self, judge: Callable[[Answer], None]) -> Callable[[Answer], None]:
        """Take a judge that an answer must pass once all its values are right."""
        self._further.append(judge)
        return judge

    def unrecognised(self, judge: Callable[[Answer], None]) -> Callable[[Answer], None]:
        """Take a judge to be asked about a wrong answer that is no known mistake, before it is given up."""
        self._suspicions.append(judge)
        return judge

    def __call__(self, answer: Answer) -> None:
        """Judge an answer.

        Raises:
            Mistake: If it is wrong; the first known mistake that computes what it computes, on all inputs seen.
        """
        seen: list[tuple[tuple, Observed, Observed]] = []
        wrong = None
        for arguments in self._inputs():
            try:
                got = self._observe(answer, arguments)
            except Mistake as mistake:
                if wrong is not None:
                    continue
                for failure in self._failures:
                    failure(mistake, *arguments)
                raise
            right = self._expect(self.right, arguments)
            seen.append((arguments, got, right))
            if wrong is None and not self._agree(got, right, self.tolerance):
                wrong = len(seen) - 1
            if wrong is not None and len(seen) > wrong + self.later:
                break
        if wrong is not None:
            self._explain(answer, seen, wrong)
        self._judge_repetition(answer, *seen[0][:2])
        if self.keeps_dtype:
            self._judge_dtypes(seen)
        for judge in self._further:
            judge(answer)

    def _observe(self, answer: Answer, arguments: tuple) -> Observed:
        """Call an answer on the arguments as they are, and read what comes back."""
        mine = fresh(arguments)
        with self.around(*mine):
            value = answer(*mine)
        values = self.reads(value)
        if any(isinstance(a, Tensor) and a.is_leaf and a.grad is not None for a in mine):
            raise Mistake("Your function calls backward() itself; that is up to whoever uses its result.")
        return observe(values, self._wanted(mine))

    def _expect(self, function: Callable, arguments: tuple) -> Observed:
        """Call the right function, or one of a mistake, in float64."""
        mine = tuple(in_float64(argument) for argument in fresh(arguments))
        value = function(*mine)
        values = value if isinstance(value, tuple | list) else (value,)
        return observe(tuple(as_tensor(part) for part in values), self._wanted(mine))

    def _wanted(self, arguments: tuple) -> list[Tensor]:
        return [arguments[position] for _, position in self.gradients]

    def _agree(self, got: Observed, other: Observed, tolerance: float) -> bool:
        return self._values_agree(got, other, tolerance) and all(
            agree(mine, its, max(tolerance, 1e-4), self.zero)
            for mine, its in zip(got.gradients, other.gradients, strict=True)
        )

    def _values_agree(self, got: Observed, other: Observed, tolerance: float) -> bool:
        return len(got.values) == len(other.values) and all(
            self._close(mine, its, tolerance) for mine, its in zip(got.values, other.values, strict=True)
        )

    def _close(self, mine: Tensor, its: Tensor, tolerance: float) -> bool:
        return agree(mine, its, tolerance, self.zero, self.entrywise)

    def _explain(self, answer: Answer, seen: list[tuple[tuple, Observed, Observed]], wrong: int) -> None:
        """Raise the ``Mistake`` of an answer that is wrong on one input at least."""
        arguments, got, right = seen[wrong]
        values_right = self._values_agree(got, right, self.tolerance)
        with worth_half(self.half and values_right):
            for known in self.known:
                if self._explains(known, seen, wrong):
                    raise Mistake(known.message, known.hint)
            if not values_right:
                shown = got.values if len(got.values) > 1 else got.values[0]
                for family in self._families:
                    family(float(shown) if self.reads is number else shown, *arguments)
            for known in self.known:  # a border may have gone wrong in another way besides
                if self._explains(known, [seen[wrong]], 0):
                    raise Mistake(known.message, known.hint)
            for judge in self._suspicions:
                judge(answer)
            self._judge_repetition(answer, arguments, got)
            if values_right:
                self._explain_gradients(got, right)
            self._explain_values(got, right, arguments)

    def _explains(self, known: Known, seen: list[tuple[tuple, Observed, Observed]], wrong: int) -> bool:
        part = known.part
        _, got, right = seen[wrong]
        values_wrong = not self._values_agree(got, right, self.tolerance)
        if part is not None and self._close(got.values[part], right.values[part], self.tolerance):
            return False
        for place, (arguments, got, _) in enumerate(seen):
            try:
                computed = self._expect(known.function, arguments)
            except Exception:  # not defined for these arguments
                return False
            tolerance = self.tolerance if place < wrong else self.narrow
            if part is None and not (self._values_agree if values_wrong else self._agree)(got, computed, tolerance):
                return False
            if part is not None and not self._close(got.values[part], computed.values[part], tolerance):
                return False
        return True

    def _explain_gradients(self, got: Observed, right: Observed) -> None:
        off = [
            name
            for (name, _), mine, its in zip(self.gradients, got.gradients, right.gradients, strict=True)
            if not agree(mine, its, self.tolerance, self.zero)
        ]
        if any(bool(gradient.isnan().any()) for gradient in got.gradients):
            raise Mistake(
                f"The values are right, but the gradient with respect to {' and '.join(off)} is NaN: something was NaN "
                "at some step, and replacing it afterwards does not save the way back, where 0 is multiplied by NaN.",
                "Let what is replaced afterwards be finite in the first place.",
            )
        if not any(bool(gradient.any()) for gradient in got.gradients):
            raise Mistake(
                f"The values are right, but no gradient flows back to {' and '.join(off)}.",
                "Stay with torch tensors: .item(), float(), .numpy(), .detach() and torch.no_grad() all cut the graph.",
            )
        raise Mistake(
            f"The values are right, but the gradient with respect to {' and '.join(off)} is not that of the formula.",
            "Is a part of it detached, or computed outside torch?",
        )

    def _explain_values(self, got: Observed, right: Observed, arguments: tuple) -> None:
        if len(got.values) != len(right.values):
            raise Mistake(f"Your function returns {len(got.values)} values; {len(right.values)} are asked for.")
        for mine, its in zip(got.values, right.values, strict=True):
            if mine.shape != its.shape:
                raise Mistake(
                    f"Your function returns shape {tuple(mine.shape)}; for this input {tuple(its.shape)} is asked for."
                )
            if mine.ndim == 0 and not mine.isfinite():
                raise Mistake(
                    f"Your function returns {float(mine)}.", "Is there a division by 0, or the logarithm of 0?"
                )
            if bool((~mine.isfinite() & its.isfinite()).any()):
                raise Mistake("Your function returns infinite numbers or NaN.", "Look for a division by 0 or log(0).")
        if self._values_agree(got, right, 5e-3):
            raise Mistake(
                "Your result is nearly right: it is off by less than half a per cent.",
                "Is something rounded, or a small number added? Is a count off by one?",
            )
        shown = got.values if len(got.values) > 1 else got.values[0]
        shown = float(shown) if self.reads is number else shown
        raise Mistake(
            self.otherwise if isinstance(self.otherwise, str) else self.otherwise(shown, *arguments), self.hint
        )

    def _judge_repetition(self, answer: Answer, arguments: tuple, got: Observed) -> None:
        again = self._observe(answer, arguments)
        if not all(
            agree(mine.nan_to_num(), its.nan_to_num(), 1e-9)
            for mine, its in zip(got.values, again.values, strict=False)
        ):
            raise Mistake(
                "The same arguments give another result each time: something is drawn at random.",
                "What is asked for can be computed exactly.",
            )

    def _judge_dtypes(self, seen: list[tuple[tuple, Observed, Observed]]) -> None:
        for arguments, got, _ in seen:
            wanted = next(a.dtype for a in arguments if isinstance(a, Tensor) and a.is_floating_point())
            if got.dtype != wanted:
                raise Mistake(f"The values are right, but for {wanted} you return {got.dtype}.", "Keep the dtype.")


def _after(of: Callable[..., tuple], function: Callable) -> Callable:
    return lambda *arguments: function(*of(*arguments))


def _with_part(right: Callable, part: int, function: Callable) -> Callable:
    """Return what is right but for one of several values."""

    def whole(*arguments: Any) -> tuple:
        values = list(right(*arguments))
        values[part] = function(*arguments)
        return tuple(values)

    return whole
