"""Checks of notebook 06: running sums, smoothing, memory and batch size, debiasing, starts, the EMA layer."""

import copy
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.checks.answer import Answer, Mistake, close, described, kind
from vqvae_course.checks.compare import agree, meant
from vqvae_course.checks.read import tensor, tensors
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task
from vqvae_course.quantize import laplace_smooth as smoothed

GRAPH = "It drags the graph of every batch along, and memory grows until none is left."
SWAPPED = "γ and 1 - γ are swapped: the old value is to keep most of its weight.\nWhich factor is near 1?"
ABSENT = (
    "Codes that no latent chose are left as they are. They fade like all others; their quotient stays the same."
    "\nn_i = 0 is a count like any other."
)


def _sums(z: Tensor, indices: Tensor, num_codes: int) -> tuple[Tensor, Tensor]:
    """Return how many latents chose each code, (K,), and their sums, (K, D)."""
    z = z.detach()
    count = torch.bincount(indices, minlength=num_codes).to(z)
    return count, torch.zeros(num_codes, z.shape[1]).to(z).index_add_(0, indices, z)


# The running sums


def _updated(count: Tensor, total: Tensor, z: Tensor, indices: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    n, added = _sums(z, indices, len(count))
    return decay * count + (1 - decay) * n, decay * total + (1 - decay) * added


ema_update = Task(
    _updated,
    name="ema_update",
    points=2,
    reads=tensors("new_count", "new_total"),
    tolerance=1e-5,
    narrow=1e-5,
    otherwise=lambda got, count, total, z, indices, g: (
        "The new total is not γ times the old one plus 1 - γ times the sum of each cell's latents."
        if agree(got[0], _updated(count, total, z, indices, g)[0].double(), 1e-5)
        else "The new count is not γ times the old one plus 1 - γ times the latents of this batch."
    ),
    hint="n_i is how many entries of indices are i. Row i takes the sum of those rows of z whose index is i.",
)


@ema_update.inputs
def _batches() -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, float]]:
    """Draw batches: some leave out the first or the last code, or all others; some are tiny, some huge."""
    for num_codes, dim, n, absent, decay, scale, dtype in (
        (7, 3, 24, {6}, 0.8, 1, torch.float32),
        (5, 4, 9, {0}, 0.65, 1, torch.float64),
        (6, 2, 13, {3}, 0.0, 1, torch.float32),
        (4, 3, 1, {1, 2, 3}, 0.7, 1, torch.float32),
        (1, 3, 6, set(), 0.9, 1, torch.float32),
        (5, 3, 40, {0, 2, 4}, 0.9999, 1, torch.float64),
        (4, 2, 12, {0, 1, 2}, 0.99, 1000, torch.float32),
        (4, 2, 12, set(), 0.6, 0.001, torch.float32),
    ):
        count = scale * (0.5 + 3 * torch.rand(num_codes, dtype=dtype))
        total = scale * (torch.randn(num_codes, dim, dtype=dtype) + 1)
        z = scale * (torch.randn(dim, n, dtype=dtype) + 0.5).T  # not contiguous, and part of a graph
        present = torch.tensor([k for k in range(num_codes) if k not in absent])
        yield count, total, z.requires_grad_(), present[torch.randint(len(present), (n,))], decay


def _of_counts(N: Tensor, m: Tensor, z: Tensor, k: Tensor, g: float) -> tuple:
    return N, _sums(z, k, len(N))[0], g


def _of_totals(N: Tensor, m: Tensor, z: Tensor, k: Tensor, g: float) -> tuple:
    """Return the sums, old and of the batch, one latent of each cell, and the counts, old and of the batch."""
    n, added = _sums(z, k, len(N))
    last = torch.zeros_like(m)
    for latent, code in zip(z.detach(), k, strict=True):
        last[code] = latent
    return m, added, last, N[:, None], n[:, None], g


ema_update.mistakes(
    {
        SWAPPED: lambda N, n, g: (1 - g) * N + g * n,
        ABSENT: lambda N, n, g: torch.where(n > 0, g * N + (1 - g) * n, N),
        "You count a latent for codes that nothing chose: n_i is 0.": lambda N, n, g: g * N + (1 - g) * n.clamp(min=1),
        "Your batch enters the count with weight 1; its weight is 1 - γ.": lambda N, n, g: g * N + n,
        "Your count never forgets: the old value is to be multiplied by γ.": (
            lambda N, n, g: N + n,
            lambda N, n, g: N + (1 - g) * n,
        ),
        "This is the count of this batch alone; the old count has no part in it.": lambda N, n, g: n,
        "The old count is missing from yours.": lambda N, n, g: (1 - g) * n,
        "You average shares of the batch, n_i / n; the count n_i itself is asked for.\nm_i holds a sum, so N_i must "
        "hold a number of latents, or their quotient is off by a factor.": lambda N, n, g: (
            g * N + (1 - g) * n / n.sum()
        ),
        "Each code counts at most one latent of the batch, however many chose it.\ncount[indices] += 1 writes once "
        "for each index. torch.bincount counts all of them.": lambda N, n, g: g * N + (1 - g) * (n > 0),
        "The old count fades once for each latent; it fades once for the whole batch.\nMultiply by γ outside the "
        "loop.": lambda N, n, g: g**n * N + 1 - g**n,
        "You divide the count by 1 - γ; eq. 6 has no bias correction.": lambda N, n, g: g * N / (1 - g) + n,
        "You divide the counts by their sum; they are counts, not shares.": lambda N, n, g: (
            (g * N + (1 - g) * n) / (g * N + (1 - g) * n).sum()
        ),
        "The new count is rounded to whole numbers, so small batches leave no trace.": lambda N, n, g: (
            g * N + (1 - g) * n
        ).floor(),
    },
    part=0,
    of=_of_counts,
)
ema_update.mistakes(
    {
        SWAPPED: lambda m, s, last, N, n, g: (1 - g) * m + g * s,
        ABSENT: lambda m, s, last, N, n, g: torch.where(n > 0, g * m + (1 - g) * s, m),
        "You average the mean of the cell; the sum of its latents is asked for.\nm_i / N_i divides by the count later. "
        "Divided twice, latents of large cells would weigh too little.": (
            lambda m, s, last, N, n, g: g * m + (1 - g) * s / n.clamp(min=1),
            lambda m, s, last, N, n, g: torch.where(n > 0, g * m + (1 - g) * s / n, m),
        ),
        "You treat the old total as if it were the codes; it is their sums, m_i, and is not divided by anything "
        "here.": (
            lambda m, s, last, N, n, g: g * m / N + (1 - g) * s / n.clamp(min=1),
            lambda m, s, last, N, n, g: g * m / N + (1 - g) * s,
        ),
        "You divide the sums by the number of latents in the batch.": lambda m, s, last, N, n, g: (
            g * m + (1 - g) * s / n.sum()
        ),
        "Your batch enters the total with weight 1; its weight is 1 - γ.": lambda m, s, last, N, n, g: g * m + s,
        "Your total never forgets: the old value is to be multiplied by γ.": (
            lambda m, s, last, N, n, g: m + s,
            lambda m, s, last, N, n, g: m + (1 - g) * s,
        ),
        "This is the sum of this batch alone; the old total has no part in it.": lambda m, s, last, N, n, g: s,
        "The old total is missing from yours.": lambda m, s, last, N, n, g: (1 - g) * s,
        "You divide the total by 1 - γ; eq. 7 has no bias correction.": lambda m, s, last, N, n, g: g * m / (1 - g) + s,
        "Of each cell only one latent is added.\ntotal[indices] += z writes once for each index, the last one wins. "
        "index_add_ adds all of them.": lambda m, s, last, N, n, g: g * m + (1 - g) * last,
        "This is the codebook, total over count; the total itself is asked for.": lambda m, s, last, N, n, g: (
            (g * m + (1 - g) * s) / (g * N + (1 - g) * n)
        ),
        "You average the old mean and the mean of the cell: a mean of means, in which a batch with one latent counts "
        "as much as a batch with a hundred.\nAverage sums and counts; divide later.": lambda m, s, last, N, n, g: (
            (g * N + (1 - g) * n) * (g * m / N + (1 - g) * s / n.clamp(min=1))
        ),
    },
    part=1,
    of=_of_totals,
)


@ema_update.fails
def _one_tensor(mistake: Mistake, *_: Any) -> None:
    if "returns a Tensor" in mistake.message:
        raise Mistake("One tensor came back; the new count and the new total are asked for, not their quotient.")


@ema_update.unless
def _shapes(got: tuple[Tensor, Tensor], count: Tensor, total: Tensor, *_: Any) -> None:
    if got[0].shape == total.shape and got[1].shape == count.shape:
        raise Mistake("The two results are in the wrong order: the count comes first.")
    for name, new, old in zip(("count", "total"), got, (count, total), strict=True):
        if new.shape[1:] == old.shape[1:] and len(new) < len(old):
            raise Mistake(
                f"The new {name} has shape {tuple(new.shape)}; {tuple(old.shape)} is asked for.",
                "A code that no latent chose has a place too, also the last one. See minlength of torch.bincount.",
            )
        if not bool(new.isfinite().all()):
            raise Mistake(f"The new {name} holds infinite numbers or NaN: is a sum divided by a count of 0?")


@ema_update.further
def _kept(answer: Answer) -> None:
    count, total = torch.ones(3, dtype=torch.float64), torch.ones(3, 2, dtype=torch.float64)
    z = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    for name, value in zip(("count", "total"), answer(count, total, z, torch.arange(5) % 3, 0.5), strict=True):
        if value.requires_grad:
            raise Mistake("The numbers are right, but the running sums require gradients. " + GRAPH, "Detach z.")
        if value.dtype != count.dtype:
            raise Mistake(f"{name} comes back as {value.dtype}, and went in as {count.dtype}.", "Keep its dtype.")


# Laplace smoothing

_TOTAL = "The total is not kept: the smoothed counts must sum to what the counts summed to."

laplace_smooth = Task(
    smoothed,
    points=1,
    reads=tensor,
    entrywise=True,
    zero=0,
    otherwise=lambda got, count, eps: (
        "The total is kept, but the shares are not those of counts that were given eps each."
        if close(float(got.sum()), float(count.sum()))
        else _TOTAL
    ),
    hint="First add eps to each, then scale all by one factor, so that the sum is what it was.",
)


@laplace_smooth.inputs
def _counts() -> Iterator[tuple[Tensor, float]]:
    for num_codes, eps, scale, zeros, dtype in (
        (6, 0.5, 9.0, [0], torch.float32),
        (5, 2.0, 3.0, [4], torch.float64),
        (9, 1e-5, 200.0, [0, 3, 8], torch.float32),
        (1, 0.25, 4.0, [], torch.float32),
        (4, 0.003, 0.001, [1], torch.float64),
        (3, 40.0, 5000.0, [], torch.float32),
        (4, 1e-7, 5.0, [0, 1, 3], torch.float64),
    ):
        count = scale * torch.rand(num_codes, dtype=dtype) ** 2 + scale / 10
        count[zeros] = 0.0
        yield count, eps


def _scaled(raised: Tensor, count: Tensor) -> Tensor:
    return raised / raised.sum() * count.sum()


laplace_smooth.mistakes(
    {
        "eps is given to the codes with a count of 0 alone; every code is given it.": lambda c, eps: _scaled(
            torch.where(c > 0, c, c + eps), c
        ),
        "eps is a floor for the counts in your function; it is added to every count.": lambda c, eps: _scaled(
            c.clamp(min=eps), c
        ),
        "The codes share one eps; each is given a whole one.": lambda c, eps: _scaled(c + eps / len(c), c),
        _TOTAL + "\nEvery code got eps more. What factor takes that back?": lambda c, eps: c + eps,
        "These are probabilities, they sum to 1; counts are asked for.\nWhat turns a share into a "
        "count?": lambda c, eps: (c + eps) / (c + eps).sum(),
        _TOTAL + "\nDivide by the sum of what stands above: all K codes got their eps.": lambda c, eps: (
            (c + eps) / c.sum()
        ),
        "The total is not kept: eps was given to K codes, and only one of them is in your denominator.\nWhat do the K "
        "numerators sum to?": lambda c, eps: (c + eps) / (c.sum() + eps) * c.sum(),
        _TOTAL + "\nWhat do the K numerators sum to? And what makes a share a count?": lambda c, eps: (
            (c + eps) / (c.sum() + eps)
        ),
        _TOTAL + "\nYou lift the small counts alone; every code is given eps, also those in use.": (
            lambda c, eps: c.clamp(min=eps),
            lambda c, eps: torch.where(c == 0, eps, c),
        ),
        "eps is missing above: a count of 0 is still 0.": lambda c, eps: c / (c.sum() + len(c) * eps) * c.sum(),
        "These are the counts as they were: a count of 0 is still 0.": lambda c, eps: c.clone(),
        _TOTAL + "\nEach code is given a whole eps, and then all are scaled.": lambda c, eps: c + eps / len(c),
        "n is the sum of the counts; you take their mean.": lambda c, eps: (
            (c + eps) / (c.mean() + len(c) * eps) * c.mean()
        ),
        "You give every code n·eps; it is eps.": lambda c, eps: (c + c.sum() * eps) / (1 + len(c) * eps),
        "Every code has the same count now.": lambda c, eps: torch.full_like(c, c.sum() / len(c)),
        "You add 1 to each count; it is eps that is added.": lambda c, eps: smoothed(c, 1),
        "Your eps is not the one handed in: it is fixed, or cut off.\nUse the argument as it is.": tuple(
            lambda c, eps, fixed=fixed: smoothed(c, fixed) for fixed in (1e-5, 1e-6, 1e-8, 1e-3)
        ),
    }
)


@laplace_smooth.fails
def _stored_back(mistake: Mistake, *_: Any) -> None:
    if "in place" in mistake.message:
        raise Mistake(
            "You store the smoothed counts back into the running ones (in place). The next batch would smooth them "
            "again, and a code that nobody uses would never fade below a level of about eps / (1 - γ).",
            "Make a new tensor. Look for +=, *=, functions that end in _ and assignments to a slice.",
        ) from mistake


# Another batch size

rescale_decay = Task(
    lambda decay, factor: decay**factor,
    name="rescale_decay",
    points=1,
    tolerance=1e-6,
    zero=0,
    narrow=1e-7,
    otherwise=lambda got, decay, factor: (
        f"With a decay of {decay} and batches {factor} times as large, the memory in latents is not the same for "
        f"{got:.4g}."
    ),
    hint="By what is the old value multiplied after as many latents as one large batch holds?",
)


@rescale_decay.inputs
def _decays() -> Iterator[tuple[float, float]]:
    yield from ((0.6, 3), (0.85, 0.5), (0.9, 4), (0.99, 8), (0.95, 1), (0.7, 2.5))
    yield from ((0.9999, 64), (0.9999, 1 / 64), (0.5, 40), (0.05, 0.25))


_LIMIT = "\nTwo updates with the small batch multiply the old value by γ twice."
rescale_decay.mistakes(
    {
        "The memory is counted in updates, and each of them now sees another number of latents.": lambda g, f: g,
        "A larger batch brings more latents per update, so more is to be forgotten per update, not less.\nWhich of the "
        "two decays belongs to the larger batch?": (lambda g, f: g ** (1 / f), lambda g, f: 1 - (1 - g) / f),
        "Scaling 1 - γ is right only in the limit of γ near 1; for a large factor γ even falls below 0." + _LIMIT: (
            lambda g, f: 1 - f * (1 - g),
            lambda g, f: max(0.0, 1 - f * (1 - g)),
        ),
        "Right in the limit of γ near 1 alone: what is kept of an old latent's weight is not the same." + _LIMIT: (
            lambda g, f: g / (g + f * (1 - g)),  # the mean age, divided by the factor
            lambda g, f: math.exp(-f * (1 - g)),
        ),
        "Dividing γ is no rule of forgetting.\nWhat do two small updates do to the old value?": lambda g, f: g / f,
        "Multiplying γ soon gives more than 1, a memory that grows.\nThink of two updates.": lambda g, f: g * f,
        "This is the weight of the new batch; the decay is the weight of the old value.": lambda g, f: 1 - g**f,
        "You raise 1 - γ to a power; the old value's weight repeats.": lambda g, f: 1 - (1 - g) ** f,
    }
)


# A debiased average as a module


@exercise(points=2)
def debiased_ema(answer: Answer) -> None:
    """Judge ``debiased_ema(decay, shape)``: a module with ``update(value)`` and a property ``value``."""
    for decay, shape, scale, updates in (
        (0.8, (3, 5), 1, 5),
        (0.35, (), 1000, 5),
        (0.0, (2,), 1, 3),
        (0.999, (4,), 0.001, 14),
        (0.9, (), 1, 130),  # more updates than a byte can count
    ):
        average = _module(answer, decay, shape)
        if float(_read(average, shape).abs().max()) != 0:
            raise Mistake("Before the first update the average is not 0.")
        seen: list[Tensor] = []
        for step in range(updates):
            value = (scale * (torch.randn(shape) + 2 + step)).requires_grad_(step == 2)
            seen.append(value.detach())
            _take(average, value)
            got = _read(average, shape)
            if not agree(got.detach().double(), _debiased(seen, decay), 5e-4):
                _explain_debiased(got, seen, decay)
            if got.requires_grad:
                raise Mistake("The average requires gradients. " + GRAPH, "Detach the value, or use torch.no_grad().")
        if any(p.requires_grad for p in average.parameters()):
            raise Mistake(
                "Your average holds a Parameter, which an optimizer will want to train.", "Use register_buffer."
            )
        _judge_round_trip(answer, average, seen, decay, shape)


def _module(answer: Answer, *arguments: Any) -> nn.Module:
    module = answer(*arguments)
    if not isinstance(module, nn.Module):
        raise Mistake(f"A torch.nn.Module is asked for; {kind(module)} came back.")
    return module


def _take(average: nn.Module, value: Tensor) -> None:
    if not callable(getattr(average, "update", None)):
        raise Mistake("Your module has no method update(value).")
    Answer(lambda value: (average.update(value), True))(value)  # update may well return None


def _read(average: nn.Module, shape: tuple[int, ...]) -> Tensor:
    written = getattr(type(average), "value", None)
    if written is None and not hasattr(average, "value"):
        raise Mistake("Your module has no property value.")
    # Called directly: an AttributeError inside would reach us as "no attribute 'value'", by way of nn.Module.
    value = Answer(written.fget)(average) if isinstance(written, property) else Answer(lambda: average.value)()
    if callable(value) and not isinstance(value, Tensor):
        raise Mistake("value is a method of your module; it is to be a property.", "Write @property above it.")
    (value,) = tensor(value)
    if value.shape != shape:
        raise Mistake(f"value has shape {tuple(value.shape)}; for these values it is {shape}.")
    if not bool(value.isfinite().all()):
        raise Mistake(
            "value is infinite or NaN. With t = 0 the correction divides by 1 - γ⁰ = 0.",
            "This happens before the first update, or when t is counted up too late, or is lost on the way through "
            "state_dict.",
        )
    return value


def _hidden(seen: list[Tensor], g: float) -> Tensor:
    """Return the average that starts at 0, uncorrected."""
    total = torch.zeros_like(seen[0]).double()
    for value in seen:
        total = g * total + (1 - g) * value.double()
    return total


def _debiased(seen: list[Tensor], g: float) -> Tensor:
    return _hidden(seen, g) / (1 - g ** len(seen))


def _explain_debiased(got: Tensor, seen: list[Tensor], g: float) -> None:
    t, hidden = len(seen), _hidden(seen, g)
    from_first, stored = seen[0].double(), torch.zeros_like(hidden)
    for step, value in enumerate(seen, start=1):
        from_first = g * from_first + (1 - g) * value.double()
        stored = (g * stored + (1 - g) * value.double()) / (1 - g**step)
    meant(
        got,
        {
            "No correction: the average starts at 0, and after t updates it is too small by 1 - γ^t.": hidden,
            SWAPPED: (_hidden(seen, 1 - g) / (1 - (1 - g) ** t), _hidden(seen, 1 - g) / (1 - g**t)),
            "γ and 1 - γ are swapped, and there is no correction.": _hidden(seen, 1 - g),
            "You correct the average that you keep, so it is corrected again and again."
            "\nKeep the uncorrected one; correct what you return.": stored,
            "You start from the first value. It then keeps the weight γ^t, more than any other; here the "
            "average starts at 0 and is corrected.": from_first,
            "Your count of updates is one ahead.\nAfter the first update the divisor is 1 - γ.": hidden
            / (1 - g ** (t + 1)),
            "You divide by 1 - γ after every update; after t of them it is 1 - γ^t.": hidden / (1 - g),
            "This is the plain mean of all values: nothing is forgotten.": sum(seen) / t,
            "Your count of updates is one behind.\nCount first, then divide.": hidden / (1 - g ** (t - 1))
            if t == 2
            else math.nan,
            "This is the last value; the ones before are forgotten.": seen[-1],
        },
        1e-4,
    )
    raise Mistake(
        f"After update {t} the value is not the weighted mean in which a value seen s updates ago has weight γ^s.",
        "Two things are kept, the average that started at 0 and the number of updates.",
    )


def _judge_round_trip(answer: Answer, average: nn.Module, seen: list[Tensor], g: float, shape: tuple[int, ...]) -> None:
    fresh = _module(answer, g, shape)
    _load(fresh, average)
    lost = (
        "After a round trip through state_dict the average is another one: the number of updates is not saved. A "
        "Python integer is no part of state_dict.\nKeep it as a tensor, with register_buffer."
    )
    try:
        after_loading = _read(fresh, shape)
    except Mistake as mistake:
        raise Mistake(*lost.split("\n")) from mistake
    value = seen[0].abs().amax() * (torch.randn(shape) + 7)
    _take(fresh, value)
    got, t = _read(fresh, shape), len(seen)
    loaded = agree(after_loading.double(), _debiased(seen, g), 5e-4)
    if loaded and agree(got.double(), _debiased([*seen, value], g), 5e-4):
        return
    meant(
        got,
        {
            lost: _hidden([*seen, value], g) / (1 - g) if g else math.nan,
            "The average comes through state_dict, but the number of updates does not: the next one is taken for the "
            "first.\nKeep it as a tensor, with register_buffer.": value if loaded else math.nan,
            "Nothing of the average is in state_dict: a module that is loaded again starts from 0."
            "\nA plain attribute is not saved, and a buffer with persistent=False is not either.": value,
            "state_dict has the number of updates, but not the average itself.\nKeep both with register_buffer.": (
                1 - g
            )
            * value
            / (1 - g ** (t + 1)),
        },
        1e-4,
    )
    raise Mistake(
        "A module that is loaded from state_dict does not go on where the saved one was.",
        "Everything that the next value depends on must be a persistent buffer.",
    )


def _load(fresh: nn.Module, saved: nn.Module) -> None:
    try:
        fresh.load_state_dict(copy.deepcopy(saved.state_dict()))
    except Exception as error:
        raise Mistake(
            f"A fresh module cannot load the state_dict of a used one ({described(error)}).",
            "Register every buffer in __init__, with its final shape.",
        ) from error


# The first step


def _length(N: float, m: float, total: float, size: int, eps: float) -> float:
    """Return the length of a code with count N and sum m, where all counts together are ``total``."""
    return m * (total + size * eps) / ((N + eps) * total)


def _first_step(init: str, n: int, K: int, g: float, eps: float) -> float:
    N, m = {"both zero": (0, 0), "count zero": (0, 1), "consistent": (1, 1)}[init]
    return _length(g * N, g * m, g * N * K + (1 - g) * n, K, eps)


codebook_after_first_step = Task(
    _first_step,
    name="codebook_after_first_step",
    points=2,
    otherwise=lambda got, init, *_: f"{init}: {got:.5g} is not the new length over the old one.",
    hint="Write down the code's new N, its new m, and the smoothed count of all codes together.",
)


@codebook_after_first_step.inputs
def _starts() -> Iterator[tuple[str, int, int, float, float]]:
    for case in (
        (50, 8, 0.9, 0.02),
        (20, 3, 0.6, 0.1),
        (300, 64, 0.99, 1e-5),
        (1, 2, 0.9999, 0.5),
        (4000, 30, 0.05, 7.0),
    ):
        yield from ((init, *case) for init in ("count zero", "consistent", "both zero"))


def _only(init: str, function: Callable) -> Callable:
    """Return a mistake of n, K, γ and eps that is made for one start."""
    return lambda at, *rest: function(*rest) if at == init else _first_step(at, *rest)


_COUNT_ZERO = {
    "the sum m fades by γ in this step too, also for a code that nothing chose.": lambda n, K, g, eps: _length(
        0, 1, (1 - g) * n, K, eps
    ),
    "the batch enters the counts with weight 1 - γ, so their total is (1 - γ) n.": lambda n, K, g, eps: _length(
        0, g, n, K, eps
    ),
    "near, but the smoothed count of an empty code is not exactly eps.\nPut a count of 0 into the formula of the "
    "smoothing; the total n there is that of all counts.": lambda n, K, g, eps: g / eps,
    "the sum fades by γ, and the smoothed count is not exactly eps.": lambda n, K, g, eps: 1 / eps,
    "γ and 1 - γ are swapped. The old sum keeps the weight γ.": lambda n, K, g, eps: _length(
        0, 1 - g, (1 - g) * n, K, eps
    ),
    "all counts start at 0 here, so the total is that of the batch alone.": lambda n, K, g, eps: _length(
        0, g, (1 - g) * n + g * K, K, eps
    ),
    "the smoothed count lacks its last factor, the total.": lambda n, K, g, eps: g * ((1 - g) * n + K * eps) / eps,
    "you leave the code in place, but its sum is divided by almost nothing.": lambda n, K, g, eps: 1.0,
    "the sum starts at the code, not at 0.": lambda n, K, g, eps: 0.0,
    "the sum fades by γ, but what is it divided by?": lambda n, K, g, eps: g,
}
_CONSISTENT = {
    "almost. The smoothing moves the code a little; it is part of the update.": lambda n, K, g, eps: 1.0,
    "the count fades by γ as well as the sum.": lambda n, K, g, eps: g,
    "you smooth with N + eps alone; the formula also keeps the total.": lambda n, K, g, eps: g / (g + eps),
    "the old counts, 1 each, have their part in the total too.\nThey have faded.": lambda n, K, g, eps: _length(
        g, g, (1 - g) * n, K, eps
    ),
    "in the total, old counts weigh γ and those of the batch 1 - γ.": lambda n, K, g, eps: _length(g, g, K + n, K, eps),
    "the code's own count has faded to γ by then.": lambda n, K, g, eps: _length(1, g, (1 - g) * n + g * K, K, eps),
    "the sum fades by γ as well as the count.": lambda n, K, g, eps: _length(g, 1, (1 - g) * n + g * K, K, eps),
    "this is the state before the update; count and sum fade by γ.": lambda n, K, g, eps: 1 / (1 + eps),
}
codebook_after_first_step.mistakes(
    {f"count zero: {text}": _only("count zero", function) for text, function in _COUNT_ZERO.items()}
    | {f"consistent: {text}": _only("consistent", function) for text, function in _CONSISTENT.items()}
    | {
        "both zero: you leave the code in place. Here nothing guards it, and its sum is 0.": _only(
            "both zero", lambda *_: 1.0
        )
    }
)


# The layer


@exercise(points=4)
def EMAQuantizer(answer: Answer) -> None:
    """Judge ``EMAQuantizer(num_codes, code_dim, beta, decay, eps)``: the whole layer."""
    for shape, num_codes, beta, decay, eps, scale, updates in (
        ((2, 3, 4, 6), 29, 0.4, 0.8, 0.3, 1, 3),
        ((3, 2, 5, 1), 7, 0.25, 0.6, 1e-5, 30, 11),
        ((1, 2, 1, 1), 1, 0.25, 0.9, 1e-5, 1, 1),
        ((2, 2, 3, 4), 3, 0.9, 0.9999, 0.01, 1, 2),
    ):
        options = (num_codes, shape[1], beta, decay, eps)
        layer = _module(answer, *options).train()
        _judge_codes(layer, num_codes, shape)
        start = layer.codebook.detach().clone()
        first = (scale * (0.7 * torch.randn(shape) + 0.3)).requires_grad_()
        indices = _judge_forward(layer, first, beta)
        _judge_first_update(layer, start, first, indices, decay, eps)
        later = [scale * (torch.randn(shape) + step % 4) for step in range(updates)]
        _judge_later_updates(layer, start, first, indices, later, decay, eps)
        _judge_eval(layer, torch.randn(shape))
        _judge_reload(answer, options, layer, torch.randn(shape) - 1)
    _judge_defaults(answer)


def _judge_defaults(answer: Answer) -> None:
    """Judge the defaults as far as there are any."""
    parameters = list(inspect.signature(answer.function).parameters.values())[2:]
    for parameter, (name, wanted) in zip(parameters, (("beta", 0.25), ("decay", 0.99), ("eps", 1e-5)), strict=False):
        if isinstance(parameter.default, float | int) and parameter.default != wanted:
            raise Mistake(f"By default {name} is {parameter.default}; {wanted} is asked for.", "See the stub.")


def _judge_codes(layer: nn.Module, num_codes: int, shape: tuple[int, ...]) -> None:
    codes = getattr(layer, "codebook", None)
    if not isinstance(codes, Tensor):
        raise Mistake("Your layer has no tensor named codebook.", 'register_buffer("codebook", ...)')
    if codes.shape != (num_codes, shape[1]):
        raise Mistake(
            f"With K = {num_codes} and D = {shape[1]} codebook has shape {tuple(codes.shape)}; (K, D), one code a row, "
            "is asked for."
        )
    if len(codes) > 1 and len(codes.detach().unique(dim=0)) < len(codes):
        raise Mistake("Some codes start at the same place, and only one of them can ever be the nearest.")
    if not any(p.requires_grad for p in layer.parameters()):
        return
    q = Answer(layer)(torch.randn(shape, requires_grad=True))
    reached = False
    loss, z_q = getattr(q, "loss", None), getattr(q, "z_q", None)
    parts = [part.sum() for part in (loss, z_q) if isinstance(part, Tensor) and part.requires_grad]
    if parts and codes.requires_grad:
        try:
            (gradient,) = torch.autograd.grad(sum(parts), codes, allow_unused=True)
        except RuntimeError:
            gradient = None
        reached = gradient is not None and bool(gradient.any())
    if reached:
        raise Mistake(
            "A gradient flows into the codebook, so an optimizer and the running means would pull at the same codes.",
            "A buffer instead of a Parameter, and no codebook loss: the means do that work.",
        )
    raise Mistake(
        "Your layer has Parameters: an optimizer gets hold of them, and weight decay or a stray gradient changes them "
        "behind the back of the running means.",
        "register_buffer keeps a tensor in state_dict and out of parameters(). nn.Embedding holds a Parameter.",
    )


def _fields(q: Any) -> tuple[Tensor, Tensor, Tensor]:
    names = ("z_q", "indices", "loss")
    missing = [name for name in names if not isinstance(getattr(q, name, None), Tensor)]
    if missing:
        raise Mistake(
            f"A Quantized is asked for, with tensors z_q, indices and loss; {kind(q)} without {missing[0]} came back."
        )
    return q.z_q, q.indices, q.loss


ORDER = (
    "You update the codebook first and quantize afterwards, so the latents meet codes that have just been pulled "
    "towards them. Training looks better than it is.\nKeep the codes that were chosen, and let the update come last."
)


def _distances(rows: Tensor, codes: Tensor) -> Tensor:
    return torch.cdist(rows, codes, compute_mode="donot_use_mm_for_euclid_dist")


def _rows(z: Tensor) -> Tensor:
    return z.detach().movedim(1, -1).reshape(-1, z.shape[1])


def _judge_forward(layer: nn.Module, z_e: Tensor, beta: float) -> Tensor:
    """Judge what a pass in train mode returns; return the indices as (N,)."""
    before = layer.codebook.detach().clone()
    q = Answer(layer)(z_e)
    z_q, indices, loss = _fields(q)
    after, rows = layer.codebook.detach().clone(), _rows(z_e)
    batch, dim, height, width = z_e.shape
    if indices.shape != (batch, height, width) or indices.dtype.is_floating_point:
        raise Mistake(
            f"indices is {tuple(indices.shape)} {indices.dtype}; ({batch}, {height}, {width}) integers are asked for."
        )
    flat, distances = indices.reshape(-1).long(), _distances(rows, before)
    if not 0 <= int(flat.min()) <= int(flat.max()) < len(before):
        raise Mistake("An index lies outside [0, K).")
    achieved, best = distances[torch.arange(len(rows)), flat], distances.amin(dim=1)
    if not torch.allclose(achieved, best, rtol=1e-3, atol=1e-4):
        _explain_indices(flat, z_e, before, after)
    if z_q.shape != z_e.shape:
        raise Mistake(f"z_q has shape {tuple(z_q.shape)}; that of z_e, {tuple(z_e.shape)}, is asked for.")
    e_k = before[flat].view(batch, height, width, dim).movedim(-1, 1)
    moved = after[flat].view(batch, height, width, dim).movedim(-1, 1)
    if not torch.allclose(z_q.detach(), e_k, atol=1e-4):
        meant(
            z_q,
            {
                ORDER: moved,
                "z_q has the value of z_e: nothing was quantized.\nWhere does stop-gradient go?": z_e,
                "The codes are in the wrong places: view alone mixes positions and channels."
                "\nBring the channels to the end before you flatten, and back after.": before[flat].view(z_e.shape),
            },
            1e-4,
        )
        raise Mistake("z_q does not have the value of the chosen codes at each position.")
    _judge_loss(loss, z_e, e_k, moved, beta)
    _judge_parts(q, float((z_e.detach() - e_k).square().mean()), beta)
    _judge_gradients(z_q, loss, z_e, e_k, beta)
    held = [name for name, value in (*layer.named_buffers(), ("codebook", layer.codebook)) if value.requires_grad]
    if held:
        raise Mistake(f"After a pass, {held[0]} requires gradients. {GRAPH}", "Detach the latents before you count.")
    return flat


def _explain_indices(flat: Tensor, z_e: Tensor, before: Tensor, after: Tensor) -> None:
    unordered = z_e.detach().reshape(-1, z_e.shape[1])
    if torch.equal(flat, _distances(unordered, before).argmin(dim=1)):
        raise Mistake(
            "view alone cuts z_e into pieces that mix positions and channels.",
            "Bring the channels to the end before you flatten.",
        )
    if torch.equal(flat, _distances(_rows(z_e), after).argmin(dim=1)):
        raise Mistake("The codebook is updated before the codes are chosen.", "Choose, look up, and update last.")
    if torch.equal(flat, _distances(_rows(z_e), before).argmax(dim=1)):
        raise Mistake("The indices are those of the farthest codes.")
    raise Mistake("The indices are not those of the nearest codes of the codebook as it was before this batch.")


def _judge_loss(loss: Tensor, z_e: Tensor, e_k: Tensor, moved: Tensor, beta: float) -> None:
    if loss.numel() != 1:
        raise Mistake(f"loss has shape {tuple(loss.shape)}; a scalar is asked for.")
    got, commitment = float(loss.detach()), float((z_e.detach() - e_k).square().mean())
    if close(got, beta * commitment):
        return
    late = float((z_e.detach() - moved).square().mean())
    both = "A codebook loss is still there. The running means have taken its place, so only β times commitment is left."
    known = {
        ORDER: beta * late,
        f"β is missing. {ORDER}": late,
        both: ((1 + beta) * commitment, commitment + beta * late, 2 * beta * commitment),
        "β is missing: the loss is β times the commitment loss.": commitment,
        "The commitment loss is a mean over all elements; yours is a sum.": beta * commitment * z_e.numel(),
        "The commitment loss is a mean over all elements, the D numbers too.": beta * commitment * z_e.shape[1],
        "β is applied twice.": beta**2 * commitment,
        "Your β is 0.25 whatever beta is.\nUse the argument.": 0.25 * commitment,
        "The commitment loss is a mean of squares; yours is Huber's, or of absolute differences.": (
            beta * float(F.smooth_l1_loss(z_e, e_k)),
            beta * float(F.l1_loss(z_e, e_k)),
        ),
    }
    if abs(got) < 1e-6:
        raise Mistake("The loss is 0.", "Is it computed with z_q, after straight-through? Take the codes themselves.")
    meant(got, known, 1e-4)
    raise Mistake("The loss is not β times the mean squared distance of the latents from the codes they chose.")


def _judge_parts(q: Any, commitment: float, beta: float) -> None:
    """Judge the two losses that are only reported; whether they carry gradients is left open."""
    got = {}
    for name in ("codebook_loss", "commitment_loss"):
        part = getattr(q, name, None)
        if not isinstance(part, int | float) and not (isinstance(part, Tensor) and part.numel() == 1):
            raise Mistake(f"{name} is not one number, but {kind(part)}.")
        got[name] = float(torch.as_tensor(part).detach())
    if close(got["codebook_loss"], commitment) and close(got["commitment_loss"], 0):
        raise Mistake("codebook_loss and commitment_loss have changed places.", "Which of the two is still there?")
    if not close(got["codebook_loss"], 0):
        raise Mistake("codebook_loss is not 0.", "Does a loss move the codes of this layer?")
    if close(got["commitment_loss"], beta * commitment):
        raise Mistake("commitment_loss is already multiplied by β.", "β has its place in loss alone.")
    if not close(got["commitment_loss"], commitment):
        raise Mistake("loss is right, but commitment_loss is not the mean squared distance of latents and codes.")


def _judge_gradients(z_q: Tensor, loss: Tensor, z_e: Tensor, e_k: Tensor, beta: float) -> None:
    weight = 1000 * torch.randn_like(z_e)  # far beyond what anybody would clip gradients to
    found = []
    for value in ((z_q * weight).sum(), loss.sum()):
        try:
            found.append(torch.autograd.grad(value, z_e, retain_graph=True, allow_unused=True)[0])
        except RuntimeError as error:
            if "does not require grad" not in str(error):
                raise Mistake(
                    f"The backward pass fails ({described(error)}): the update has changed a tensor that it needs.",
                    "The codes that were looked up must be a copy, not a view of the codebook.",
                ) from error
            found.append(None)
    through, pulled = found
    if through is None or not bool(through.any()):
        raise Mistake("No gradient gets from z_q back to the encoder.", "Straight-through: value e_k, gradient of z_e.")
    if not agree(through, weight, 1e-5):
        raise Mistake("The gradient of z_q is not handed to z_e unchanged.", "Value e_k, gradient of z_e.")
    if pulled is None or not bool(pulled.any()):
        raise Mistake("The commitment loss gives the encoder no gradient.", "Which of its two sides is detached?")
    if not agree(pulled, 2 * beta * (z_e.detach() - e_k) / z_e.numel(), 1e-3):
        raise Mistake("The gradient of the loss with respect to z_e is not that of β times a mean square.")


def _judge_first_update(layer: nn.Module, start: Tensor, z_e: Tensor, indices: Tensor, g: float, eps: float) -> None:
    got, size = layer.codebook.detach(), len(start)
    count, added = _sums(_rows(z_e), indices, size)
    N, m = g + (1 - g) * count, g * start + (1 - g) * added
    right = m / smoothed(N, eps)[:, None]
    if agree(got, right, 2e-5):
        return
    present, mean = (count > 0)[:, None], added / count.clamp(min=1)[:, None]
    fresh, faded = (1 - g) * count, g * start + (1 - g) * mean
    ignored = (0.99 * start + 0.01 * added) / smoothed(0.99 + 0.01 * count, eps)[:, None]
    zero, twice = (1 - g) * added / smoothed(fresh, eps)[:, None], g * m + (1 - g) * added
    means = (
        "You average the means of the cells: a batch with one latent counts as much as a batch with a hundred."
        "\nKeep a running count and a running sum, and divide one by the other."
    )
    meant(
        got,
        {
            "The codebook does not move in train mode.\nDoes the update write into self.codebook?": start,
            "Your counts start at 0 and your sums at the codes, which do not fit together: a code that "
            "nothing chose is divided by almost nothing and flies off.\nWith which count is sum / count the "
            "code?": m / smoothed(fresh, eps)[:, None],
            "Your counts start at 0 beside sums that start at the codes.": m / (fresh + eps)[:, None],
            "Your counts and sums start at 0: a code that nothing chose in the first batch falls to the "
            "origin.\nStart from a count of 1 and a sum equal to the code.": zero,
            "Your counts and sums start at 0, so the codes' first places are forgotten at the first "
            "latent.\nStart from a count of 1 and a sum equal to the code.": torch.where(present, zero, start),
            SWAPPED: (g * added + (1 - g) * start) / smoothed(g * count + 1 - g, eps)[:, None],
            means: (
                faded,
                torch.where(present, faded, start),
                (g * start + (1 - g) * mean) / smoothed(N, eps)[:, None],
            ),
            "Codes that no latent chose are skipped. Let their count and sum fade as well.": torch.where(
                present, right, start
            ),
            "The counts are not smoothed with eps: it has no effect, or you take 1e-5 whatever eps is."
            "\nUse the argument, and divide by the smoothed counts.": m / N[:, None],
            "Your eps is the same whatever eps is.\nUse the argument.": tuple(
                m / smoothed(N, fixed)[:, None] for fixed in (1e-3, 1e-2, 0.1, 1.0)
            ),
            "The counts get eps, but their total is not kept.\nSee laplace_smooth.": m / (N + eps)[:, None],
            "You divide by smoothed shares; by smoothed counts is asked for.\nWhat turns a share into a count?": m
            / ((N + eps) / (N.sum() + size * eps))[:, None],
            "Your codes jump to this batch's means: nothing is remembered.": torch.where(present, mean, start),
            "Your codes are the running sums: they are divided by nothing, by the counts from before this batch, or "
            "the count never changes.": m,
            "Your γ is 0.99 whatever decay is.\nUse the argument.": ignored,
            "The batch enters counts and sums twice.": twice / smoothed(g * N + (1 - g) * count, eps)[:, None],
        },
        1e-4,
    )
    if torch.allclose(got[count == 0], start[count == 0], rtol=1e-2) or bool((count > 0).all()):
        raise Mistake(
            "After one batch the codes that were chosen are not where eqs. 6 to 8 put them.",
            "Start from a count of 1 and a sum equal to the code; smooth the new counts; divide.",
        )
    raise Mistake("After one batch the codes that nothing chose have moved.", "A count of 1, a sum equal to the code.")


def _judge_later_updates(
    layer: nn.Module, start: Tensor, first: Tensor, indices: Tensor, later: list[Tensor], g: float, eps: float
) -> None:
    size, codes = len(start), layer.codebook.detach().clone()
    states = {"right": (torch.ones(size), start), "stored": (torch.ones(size), start)}

    def follow(name: str, rows: Tensor, chosen: Tensor) -> Tensor:
        (N, m), (count, added) = states[name], _sums(rows, chosen, size)
        N, m = g * N + (1 - g) * count, g * m + (1 - g) * added
        smooth = smoothed(N, eps)
        states[name] = (smooth if name == "stored" else N, m)
        return m / smooth[:, None]

    for name in states:
        follow(name, _rows(first), indices)
    for number, z_e in enumerate(later, start=2):
        _, chosen, _ = _fields(Answer(layer)(z_e))
        rows, chosen, got = _rows(z_e), chosen.reshape(-1).long(), layer.codebook.detach().clone()
        count, added = _sums(rows, chosen, size)
        right, stored = follow("right", rows, chosen), follow("stored", rows, chosen)
        if not agree(got, right, 1e-4):
            alone = (g * codes + (1 - g) * added) / smoothed(g + (1 - g) * count, eps)[:, None]
            meant(
                got,
                {
                    "The first update is right, but the smoothed counts are stored back, so every batch smooths them "
                    "again.\nSmooth when you divide; keep the count as it is.": stored,
                    "The first update is right, but the second one starts from a count of 1 again: nothing is "
                    "remembered.\nWrite the new count and the new sum back into the buffers.": alone,
                    f"From batch number {number} on the codebook does not move.": codes,
                },
                1e-3,
            )
            raise Mistake(
                "The first update is right, the next one is not: is everything kept that eqs. 6 and 7 need?",
                "The count without smoothing, and the sum, not the code.",
            )
        codes = got


def _everything(layer: nn.Module) -> dict[str, Tensor]:
    return {**copy.deepcopy(layer.state_dict()), "codebook": layer.codebook.detach().clone()}


def _judge_eval(layer: nn.Module, z_e: Tensor) -> None:
    layer.eval()
    before = _everything(layer)
    z_q, indices, _ = _fields(Answer(layer)(z_e))
    after = _everything(layer)
    layer.train()
    if any(not torch.equal(value, after[name]) for name, value in before.items()):
        raise Mistake(
            "The layer learns in eval mode, so every look at the test set changes the model.", "See self.training."
        )
    codes = before["codebook"][indices.reshape(-1).long()]
    if not torch.allclose(_rows(z_q), codes, atol=1e-4):
        raise Mistake("In eval mode z_q is not made of the chosen codes.")


def _judge_reload(answer: Answer, options: tuple, layer: nn.Module, z_e: Tensor) -> None:
    fresh = _module(answer, *options).train()
    _load(fresh, layer)
    if not torch.equal(fresh.codebook.detach(), layer.codebook.detach()):
        raise Mistake("The codebook is not in state_dict.", "A plain attribute is not saved; a buffer is.")
    for each in (layer, fresh):
        _fields(Answer(each)(z_e))
    if not torch.allclose(fresh.codebook.detach(), layer.codebook.detach(), rtol=1e-4, atol=1e-5):
        raise Mistake(
            "Loaded from state_dict, the layer has its codes but goes on with other statistics: the running count or "
            "sum is not saved.",
            "Plain attributes are not in state_dict, and buffers with persistent=False are not either.",
        )
