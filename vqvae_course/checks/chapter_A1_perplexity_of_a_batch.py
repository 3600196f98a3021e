"""Checks of appendix A1: codes used by a stream."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vqvae_course import metrics
from vqvae_course.checks.answer import Answer, Mistake
from vqvae_course.checks.read import number
from vqvae_course.checks.task import Task

# codebook_usage

_UNION = "A code counts once, in whichever batch it appears. What must be remembered from batch to batch?"
_ONCE = "The stream may be a generator, which can be run through only once and has no length."

codebook_usage = Task(
    lambda stream, num_codes: len({index for batch in stream for index in batch.flatten().tolist()}),
    name="codebook_usage",
    points=1,
    otherwise=lambda got, stream, K: (
        f"In these {len(stream)} batches {got:g} is not the number of codes in use."
        if stream
        else f"An empty stream uses no code; you find {got:g}."
    ),
    hint=_UNION,
)


@codebook_usage.inputs
def _streams() -> Iterator[tuple[list[Tensor], int]]:
    for first, last in ((1, 29), (0, 30), (0, 29), (1, 30)):
        yield _overlapping_batches(first, last), 31
    first, *others = _overlapping_batches(0, 30)
    yield [first, first, *others], 31  # a batch that brings nothing new
    yield [torch.arange(300).view(3, 10, 10)], 300  # more than a byte can tell apart
    yield [], 31
    yield [torch.zeros(2, 3, dtype=torch.int64)] * 2, 1
    yield [torch.tensor([5])], 6


def _overlapping_batches(first: int, last: int) -> list[Tensor]:
    """Draw three batches of different shapes that use 7, 9 and 4 codes, 15 together, one of them only once."""
    inner = first + 1 + torch.randperm(last - first - 1)
    names = torch.cat([torch.tensor([first, last])[torch.randperm(2)], inner])
    parts = (((3, 2, 5), names[:7]), ((3, 2, 5), names[3:12]), ((1, 2, 5), names[11:15]))
    batches = []
    for shape, codes in parts:
        often = codes[:-1]  # twice at least
        more = often[torch.randint(len(often), (math.prod(shape) - len(codes) - len(often),))]
        mixed = torch.cat([codes, often, more])[torch.randperm(math.prod(shape))]
        batches.append(mixed.view(shape))
    return batches


def _numbers(stream: list[Tensor], K: int) -> tuple[list[int], Tensor, Tensor, int]:
    """Return how many codes each batch uses, how often each batch uses each code, all indices, and K."""
    indices = torch.cat([torch.empty(0, dtype=torch.int64), *(batch.flatten() for batch in stream)])
    counts = torch.stack([metrics.code_counts(batch, K) for batch in stream]) if stream else torch.zeros(0, K)
    return (counts > 0).sum(dim=1).tolist(), counts, indices, K


def _used(counts: Tensor) -> float:
    return float((counts.sum(dim=0) > 0).sum())


def _until_nothing_new(each: list[int], counts: Tensor, indices: Tensor, K: int) -> int:
    seen = torch.zeros(K, dtype=torch.bool)
    for batch in counts:
        if not bool((batch > 0)[~seen].any()):
            break
        seen |= batch > 0
    return int(seen.sum())


codebook_usage.mistakes(
    {
        "This is the share of the codebook that is used; the number of codes is asked for.": lambda each, n, i, K: (
            _used(n) / K
        ),
        "You count the codes of the last batch only: what the batches before used is forgotten."
        f"\n{_UNION}": lambda each, n, i, K: each[-1],
        "You count the codes of the first batch only.\nIs there a return inside the loop?": (
            lambda each, n, i, K: each[0]
        ),
        f"You leave out the last batch.\n{_UNION}": lambda each, n, i, K: _used(n[:-1]),
        "You add up the batches' numbers, so a code that appears in two batches counts twice."
        f"\n{_UNION}": lambda each, n, i, K: sum(each),
        "This is the mean of the batches' numbers. The longer the stream, the more is used."
        f"\n{_UNION}": lambda each, n, i, K: sum(each) / len(each),
        f"This is the number of the best single batch.\n{_UNION}": lambda each, n, i, K: max(each),
        f"You count the codes that appear in every batch.\n{_UNION}": lambda each, n, i, K: (n > 0).all(dim=0).sum(),
        "You count the codes that are not used.": lambda each, n, i, K: K - _used(n),
        "You count positions; each code counts once, however often it is chosen.\nIf you collect in a set: two tensors "
        "are never the same to it, numbers are.": lambda each, n, i, K: len(i),
        f"This is the mean share of the codebook that a batch uses.\n{_UNION}": lambda each, n, i, K: (
            sum(each) / len(each) / K
        ),
        "You count the batches.": lambda each, n, i, K: len(each),
        "You take the largest index for the number of codes; indices below it may be unused.": lambda each, n, i, K: (
            i.max() + 1
        ),
        "This is the perplexity; every code that appears counts as 1.": lambda each, n, i, K: metrics.perplexity(i, K),
        "A code that was chosen once is used, too.": lambda each, n, i, K: (n.sum(dim=0) > 1).sum(),
        "You answer K, whatever was used.": lambda each, n, i, K: K,
        "You stop at a batch that brings nothing new; the next one may.": _until_nothing_new,
        "Your indices are bytes: from 256 on they begin with 0 again.": lambda each, n, i, K: len((i % 256).unique()),
        "Index 0 is a code like any other; you leave it out.": lambda each, n, i, K: _used(n[:, 1:]),
        "Index K - 1 is a code like any other; you leave it out.": lambda each, n, i, K: _used(n[:, :-1]),
    },
    of=_numbers,
)


@codebook_usage.unless
def _no_whole_number(got: float, *_: object) -> None:
    if got != round(got):
        raise Mistake(f"A number of codes is whole; yours is {got:.4g}.", _UNION)


@codebook_usage.fails
def _empty(mistake: Mistake, stream: list[Tensor], K: int) -> None:
    if not stream:
        raise Mistake("For an empty stream: " + mistake.message, "What is the count before the first batch?")


@codebook_usage.further
def _once_through(answer: Answer) -> None:
    batches = _overlapping_batches(0, 30)
    try:
        (got,) = number(answer((batch for batch in batches), 31))
    except Mistake as mistake:
        raise Mistake("For a generator instead of a list: " + mistake.message, _ONCE) from mistake
    if got != 15:
        raise Mistake(f"For a list of batches you find 15 codes, for a generator of the same batches {got:g}.", _ONCE)
