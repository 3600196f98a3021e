"""Checks of notebook 07: perplexity, codes used by a stream, k-means++ seeds, restarts that last."""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.special import entr

from vqvae_course import metrics
from vqvae_course.checks.answer import Answer, Mistake, close
from vqvae_course.checks.compare import agree
from vqvae_course.checks.read import number, tensor, tensors
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task

# perplexity

perplexity = Task(
    metrics.perplexity,
    points=2,
    tolerance=2e-4,
    otherwise=lambda got, indices, K: f"For these {indices.numel()} indices the perplexity is not {got:.4g}.",
    hint="Try it on the example by hand, eight positions with shares 1/2, 1/4, 1/8 and 1/8, and compare every step.",
)


@perplexity.inputs
def _index_sets() -> Iterator[tuple[Tensor, int]]:
    """Draw sets in which the last code is unused, the first, or neither; one code alone, and all alike."""
    yield _uneven_indices((4, 3, 5), 6), 7
    yield _uneven_indices((2, 5, 3, 4), 8) + 1, 9
    yield _uneven_indices((83,), 10), 11
    yield _uneven_indices((3, 4, 7), 6), 6
    yield torch.zeros(3, 2, 4, dtype=torch.int64), 1
    yield from ((torch.tensor([index]), 6) for index in (4, 0, 5))
    yield torch.arange(40).repeat(3).view(2, 6, 10), 40
    yield torch.arange(300).view(3, 10, 10), 300  # more than a byte can tell apart


def _uneven_indices(shape: tuple[int, ...], used: int) -> Tensor:
    """Draw indices of unequal shares, with a first part unlike the rest."""
    indices = torch.multinomial(1 / torch.arange(1.0, used + 1), math.prod(shape), replacement=True).view(shape)
    part = indices[0] if len(shape) > 1 else indices[: shape[0] // 3]
    part.clamp_(max=1)
    indices.view(-1)[:3] = torch.arange(3)
    indices.view(-1)[-1] = used - 1
    return indices


def _statistics(indices: Tensor, K: int) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Return the indices, their counts, shares and entropy in nats, and K."""
    counts = metrics.code_counts(indices, K).double()
    share = counts / counts.sum()
    return indices, counts, share, entr(share).sum(), K


def _each(parts: Tensor, K: int) -> Tensor:
    """Return the entropy of each row of indices."""
    return entr(F.one_hot(parts, K).double().mean(dim=1)).sum(dim=1)


_PARTS = {
    "per image": lambda i: i.reshape(len(i), -1),
    "at each position over the batch": lambda i: i.reshape(len(i), -1).T,
    "per row of the map": lambda i: i.reshape(-1, i.shape[-1]),
    "per column": lambda i: i.movedim(-1, 0).reshape(i.shape[-1], -1),
}
_TOGETHER = "\nCount all indices together first; entropy and exponential come once, at the end."
_AXIS = "The mean is taken over the wrong axis: "
_LOG2, _LOG10 = math.log(2), math.log(10)

perplexity.mistakes(
    {
        "Your indices are bytes: from 256 on they begin with 0 again.": lambda i, n, p, H, K: metrics.perplexity(
            i % 256, 256
        ),
        "This is the entropy; the perplexity is its exponential.\nWhich number of equal shares has it?": (
            lambda i, n, p, H, K: H,
            lambda i, n, p, H, K: H / _LOG2,
        ),
        "Two bases are mixed: an entropy in nats (natural logarithm) goes with exp, one in bits (log2) with 2**H."
        "\nUse the same base on the way in and on the way out.": (
            lambda i, n, p, H, K: 2**H,
            lambda i, n, p, H, K: (H / _LOG2).exp(),
            lambda i, n, p, H, K: 10**H,
            lambda i, n, p, H, K: (H / _LOG10).exp(),
            lambda i, n, p, H, K: 2 ** (H / _LOG10),
            lambda i, n, p, H, K: 10 ** (H / _LOG2),
        ),
        "The sign of the entropy is wrong: -p log p is positive for shares below 1.": lambda i, n, p, H, K: (-H).exp(),
        "Your result is 1, as if one code did everything.\nShares are counts divided by their sum: no whole-number "
        "division, no softmax.": lambda i, n, p, H, K: 1.0,
        "A softmax of the counts is not the shares: it turns counts into powers of e.\nDivide each count by their "
        "sum.": lambda i, n, p, H, K: entr(n.softmax(0)).sum().exp(),
    }
    | {
        text.format(name) + _TOGETHER: (lambda i, n, p, H, K, cut=cut, mean=mean: mean(_each(cut(i), K)))
        for name, cut in _PARTS.items()
        for text, mean in {
            "You compute a perplexity {} and average those. That says how varied each part is, not how many codes are "
            "in use.": lambda entropies: entropies.exp().mean(),
            "You average the entropies taken {}. Their mean is at most the entropy of all indices "
            "together.": lambda entropies: entropies.mean().exp(),
        }.items()
    }
    | {
        "This is the perplexity of a part of the indices, such as the first image." + _TOGETHER: (
            lambda i, n, p, H, K: _each(_PARTS["per image"](i), K)[0].exp(),
            lambda i, n, p, H, K: _each(_PARTS["per image"](i), K)[-1].exp(),
        ),
        _AXIS + "averaging a one-hot vector over its K entries always gives 1/K.\nOne share per code: average over all "
        "positions.": lambda i, n, p, H, K: (n.sum() / K * math.log(K)).exp(),
        _AXIS + "over the batch only, so that every place of the map has shares of its own." + _TOGETHER: (
            lambda i, n, p, H, K: entr(F.one_hot(i, K).double().mean(dim=0)).sum().exp()
        ),
        "You count the codes that appear at all. In a perplexity a rare code counts less than a common "
        "one.": lambda i, n, p, H, K: (n > 0).sum(),
        "This is 1/Σp², another effective number, made from squares. The perplexity is made from the "
        "entropy.": lambda i, n, p, H, K: 1 / p.square().sum(),
        "You divide by K. The perplexity is a number of codes, not a fraction.": lambda i, n, p, H, K: H.exp() / K,
        "You divide the entropy by log K. The perplexity is a number of codes.": lambda i, n, p, H, K: H / math.log(K),
        "You average log(1/p) over the codes as if all were equally common; each has its share p as "
        "weight.": lambda i, n, p, H, K: (1 / p[p > 0]).log().mean().exp(),
        "The shares already sum to 1; a softmax of them is another distribution.": lambda i, n, p, H, K: (
            entr(p.softmax(0)).sum().exp()
        ),
        "Something is added to every count: a code that is never chosen has share 0 and contributes nothing.\nLeave "
        "the zeros out of the sum instead.": lambda i, n, p, H, K: entr((n + 1) / (n + 1).sum()).sum().exp(),
        "The counts are divided by K. Shares sum to 1: divide by the number of indices.": lambda i, n, p, H, K: (
            entr(n / K).sum().exp()
        ),
        "The counts are divided by len(indices), the number of images; each has many positions.\nDivide by the number "
        "of indices.": lambda i, n, p, H, K: entr(n / len(i)).sum().exp(),
        "You look at the most common code only." + _TOGETHER: lambda i, n, p, H, K: 1 / p.max(),
        "You answer K, which is reached only if all codes are equally common.": lambda i, n, p, H, K: K,
        "You take the mean of -p log p over the codes; an entropy is their sum.\nThe weights are in the p "
        "already.": lambda i, n, p, H, K: entr(p).mean().exp(),
        "The first code is left out; index 0 is a code like any other.": lambda i, n, p, H, K: entr(p[1:]).sum().exp(),
        "The last code is left out; index K - 1 is a code like any other.": lambda i, n, p, H, K: (
            entr(p[:-1]).sum().exp()
        ),
    },
    of=_statistics,
)


@perplexity.unless
def _out_of_range(got: float, indices: Tensor, num_codes: int) -> None:
    if not math.isfinite(got):
        raise Mistake(
            f"Your function returns {got}: 0 · log 0 is not a number in floating point. A code that does not occur "
            "contributes nothing.",
            "Leave the zeros out of the sum.",
        )
    if got < 1e-6:
        raise Mistake(
            f"Your result is {got:.3g}; a perplexity is at least 1.",
            "Are the counts divided by their sum before the logarithm? Is the sign right?",
        )
    if not 1 - 1e-3 <= got <= num_codes * (1 + 1e-3):
        raise Mistake(
            f"A perplexity of {num_codes} codes lies between 1 and {num_codes}; yours is {got:.4g}.",
            "Counts, shares that sum to 1, entropy, exponential: which of them is out of its range?",
        )
    if len(indices.unique()) == 1:
        raise Mistake(
            f"With K = {num_codes} and only one code in use the perplexity is 1; yours is {got:.4g}.",
            "The entropy of a certain event is 0. Is anything added to the shares?",
        )


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


# seed_probabilities


def _squared(z: Tensor, seeds: Tensor) -> Tensor:
    return (z[:, None] - seeds).square().sum(dim=2)


def _shares(weights: Tensor) -> Tensor:
    return weights / weights.sum().clamp(min=1e-30)


seed_probabilities = Task(
    lambda z, seeds: _shares(_squared(z, seeds).amin(dim=1)),
    name="seed_probabilities",
    points=2,
    reads=tensor,
    otherwise="These are not the shares of the squared error.",
    hint="Take one latent: what does it cost as long as there are only these seeds? And what do all cost together?",
)


@seed_probabilities.inputs
def _latents() -> Iterator[tuple[Tensor, Tensor]]:
    for count, dtype, scale, centre in (
        (4, torch.float32, 1, 0),
        (1, torch.float32, 1, 0),
        (3, torch.float64, 1000, 0),
        (2, torch.float32, 0.01, 0),
        (3, torch.float32, 1, 1000),
    ):
        z = torch.randn(11, 3, dtype=dtype) * torch.linspace(0.3, 0.8, 11, dtype=dtype)[:, None]
        elsewhere = 0.7 * torch.randn(3, 3, dtype=dtype)[: count - 1]
        z[7 : 6 + count] = 0.8 * elsewhere  # so that no seed is the nearest, or the furthest, of all latents
        seeds = torch.cat([elsewhere, z[5:6]])  # the newest seed is a latent
        yield scale * z + centre, scale * seeds + centre


def _distances(z: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    squared = _squared(z, seeds)
    return squared, squared.amin(dim=1)


def _weights(weights: Callable) -> tuple[Callable, Callable]:
    """Return what weights lead to, and the weights as they are."""
    return lambda *a: _shares(weights(*a)), weights


_NEAREST = "\nWhat counts is the distance to the nearest of all seeds: that is the error of a latent now."
_SOFTMAX = "A softmax turns squared distances into powers of e; the probabilities are proportional to them."
_NEAR = "Latents near a seed are the likeliest in your answer. The next seed should go where the error is."

seed_probabilities.mistakes(
    {
        "You use the distances as they are. The error is a square, so a latent weighs its distance squared.": _weights(
            lambda squared, cost: cost.sqrt()
        ),
        "You square twice: the squared distance is squared again.": _weights(lambda squared, cost: cost.square()),
    }
    | {
        text + root + _NEAREST: _weights(lambda squared, cost, over=over, power=power: over(squared**power))
        for root, power in (("", 1), (" Nor is it squared.", 0.5))
        for text, over in {
            "Only the newest seed is looked at.": lambda d: d[:, -1],
            "Only the first seed is looked at.": lambda d: d[:, 0],
            "The distances to all seeds are added up or averaged.": lambda d: d.sum(dim=1),
            "You take the furthest seed of each latent instead of the nearest.": lambda d: d.amax(dim=1),
        }.items()
    }
    | {
        "You always take the furthest latent. It may be a single stray one; let each have its share of the "
        "chance.": lambda squared, cost: (cost == cost.max()).double(),
        _SOFTMAX + "\nDivide by the sum.": (
            lambda squared, cost: cost.softmax(0),
            lambda squared, cost: cost.sqrt().softmax(0),
        ),
        _NEAR: (
            lambda squared, cost: (-cost).softmax(0),
            lambda squared, cost: (-cost.sqrt()).softmax(0),
            lambda squared, cost: (1 - _shares(cost)) / (len(cost) - 1),
        ),
        "All latents are equally likely in your answer: the seeds play no part.": lambda squared, cost: torch.full_like(
            cost, 1 / len(cost)
        ),
        "Those are the numbers of the nearest seeds, not the distances to them.": _weights(
            lambda squared, cost: squared.argmin(dim=1).double()
        ),
    },
    of=_distances,
)
seed_probabilities.mistakes(
    {
        "You measure from the mean of the seeds." + _NEAREST: _weights(
            lambda z, seeds: (z - seeds.mean(dim=0)).square().sum(dim=1)
        ),
        "You add up absolute differences; the squared distance adds up their squares.": (
            *_weights(lambda z, seeds: (z[:, None] - seeds).abs().sum(dim=2).amin(dim=1)),
            *_weights(lambda z, seeds: (z[:, None] - seeds).abs().sum(dim=2).amin(dim=1).square()),
        ),
    }
)


@seed_probabilities.unless
def _not_proportional(got: Tensor, z: Tensor, seeds: Tensor) -> None:
    if got.shape != z.shape[:1] or not bool(got.isfinite().all()):
        return
    if float(z.mean()) > 500:  # the last case; the others were right
        raise Mistake(
            "Far from the origin your squared distances are rounding errors: large squares that are nearly equal are "
            "taken from each other.",
            "Subtract first, then square. Or take the same point off latents and seeds before anything else.",
        )
    cost = _squared(z.double(), seeds.double()).amin(dim=1)
    if agree(_shares(got), _shares(cost), 1e-3):
        raise Mistake("The weights are right, but they do not sum to 1.", "By what are they to be divided?")
    if int(got.argmax()) == int(cost.argmin()):
        raise Mistake(_NEAR)
    if bool((got < 0).any()):
        raise Mistake("Some of your probabilities are negative.", "The square of a distance never is.")
    if not close(float(got.sum()), 1):
        raise Mistake(f"Your probabilities sum to {float(got.sum()):.4g}, not to 1.", "What is the error as a whole?")


# kmeans_init


@exercise(points=3)
def kmeans_init(answer: Answer) -> None:
    """Judge ``kmeans_init(z, num_codes, generator)``: k-means++ seeds, all random numbers from the generator."""
    _judge_seeds(answer)
    _judge_use_of_the_generator(answer)
    _judge_groups(answer)
    _judge_equal_latents(answer)
    _judge_too_few(answer)
    for where, centre, spread, hint in (
        (
            "Far from the origin, with latents near 10000",
            10_000.0,
            1.0,
            "Rounding: ||z||² − 2 z·s + ||s||², which torch.cdist computes for many latents, takes large numbers from "
            "each other. Subtract first, then square.",
        ),
        (
            "With latents near 0.00001",
            0.0,
            1e-5,
            "What is a small number beside squared distances of 1e-10? A latent that is a seed has the distance 0.",
        ),
    ):
        try:
            _judge_equal_latents(answer, centre, spread)
            _judge_too_few(answer, centre, spread)
        except Mistake as mistake:
            raise Mistake(f"{where}: {mistake.message}", hint) from mistake
    _judge_first_seed(answer)
    _judge_stray_latent(answer)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(int(torch.randint(2**31, ())))


def _seeds(answer: Answer, z: Tensor, num_codes: int) -> Tensor:
    got = answer.tensor(z, num_codes, _generator(), shape=(num_codes, z.shape[1]))
    if got.dtype != z.dtype:
        raise Mistake(f"Your codes are {got.dtype}, the latents {z.dtype}.")
    return got


def _row_numbers(codes: Tensor, z: Tensor) -> list[int]:
    """Return which row of z each code is; -1 for a code that is none."""
    equal = codes[:, None].isclose(z, rtol=1e-5, atol=1e-6).all(dim=2)
    return [int(row.nonzero()[0]) if row.any() else -1 for row in equal]


def _judge_seeds(answer: Answer) -> None:
    """Judge eight of nine latents, many times; all are rows of z, and none is chosen twice."""
    repeated = []  # (first place, second place) of a latent that is chosen twice
    for dtype in 12 * (torch.float32, torch.float64):
        z = 30 + torch.randn(9, 3, dtype=dtype)
        codes = _seeds(answer, z, 8)
        rows = _row_numbers(codes, z)
        if -1 in rows:
            inside = bool((codes >= z.amin(dim=0)).all() and (codes <= z.amax(dim=0)).all())
            raise Mistake(
                "Some of your codes lie between latents, as means do. Only seeds are asked for; k-means comes later."
                if inside
                else "Some of your codes are not latents at all: they lie outside of the latents' range.",
                "Every code is a row of z, unchanged.",
            )
        repeated += [(rows.index(row), place) for place, row in enumerate(rows) if row in rows[:place]]
    if not repeated:
        return
    if (0, 1) in repeated:
        why = "Is it drawn as if there were no seeds yet?"
    elif any(second == first + 1 for first, second in repeated):
        why = "On the mean over all seeds, or seen from the first alone, it is not."
    else:
        why = "Seen from the newest seed alone it is not."
    raise Mistake(
        "The same latent is chosen twice; one of the two codes would be dead from the start.",
        f"A latent that is a seed already has distance 0 to the nearest of all seeds. {why}",
    )


def _judge_use_of_the_generator(answer: Answer) -> None:
    z = torch.randn(40, 3)
    seed = int(torch.randint(2**31, ()))
    one, two = (answer.tensor(z, 6, torch.Generator().manual_seed(seed), shape=(6, 3)) for _ in range(2))
    if not torch.equal(one, two):
        raise Mistake(
            "Two calls with equally seeded generators give different codes: random numbers come from somewhere else.",
            "torch's functions that draw take generator=...",
        )
    rows = [sorted(_row_numbers(_seeds(answer, z, 6), z)) for _ in range(6)]
    if all(chosen == list(range(6)) for chosen in rows):
        raise Mistake(
            "You take the first K latents. In a batch of feature maps those are neighbours in one image.",
            "Latents should be drawn, the far ones more often.",
        )
    if all(chosen == rows[0] for chosen in rows):
        raise Mistake(
            "Differently seeded generators give the same codes: nothing is drawn from the generator.",
            "Pass it on to torch's functions that draw.",
        )


def _judge_groups(answer: Answer) -> None:
    """Refuse what misses small groups; k-means++ misses one in about a thousand tries."""
    sizes = torch.tensor([150, 60, 30, 12, 6, 4, 3, 3])
    centres = 4 * torch.tensor([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)]) + torch.rand(8, 3)
    group = torch.arange(8).repeat_interleave(sizes)[torch.randperm(int(sizes.sum()))]
    z = centres[group] + 1e-3 * torch.randn(len(group), 3)
    found = [len(set(group[_row_numbers(_seeds(answer, z, 8), z)].tolist())) for _ in range(4)]
    if 8 not in found:
        raise Mistake(
            f"Eight groups far apart, from 150 latents down to 3, and your eight codes serve {sum(found) / 4:.1f} of "
            "them on average: the crowd gets several, small groups none. Latents picked uniformly at random do that.",
            "The probability of the next seed is proportional to the squared distance from the nearest of all seeds.",
        )


def _judge_equal_latents(answer: Answer, centre: float = 0.0, spread: float = 1.0) -> None:
    """Most positions of a digit are one background latent: equal rows must not become several codes."""
    distinct = centre + spread * torch.randn(6, 2)
    z = torch.cat([distinct[:1].expand(30, -1), distinct.repeat(3, 1)])[torch.randperm(48)]
    for num_codes in (4, 6):
        for _ in range(4):
            try:
                codes = _seeds(answer, z, num_codes)
            except Mistake as mistake:
                raise Mistake(
                    f"With 48 latents of which 6 are distinct, and K = {num_codes}: {mistake.message}",
                    mistake.hint or "Many latents may be equal; 6 distinct ones are enough for 6 codes.",
                ) from mistake
            if len(codes.unique(dim=0)) < num_codes:
                raise Mistake(
                    "Two of your codes are equal. Different rows of z can hold the same latent, as the background of "
                    "every digit does.",
                    "Rule out latents by their distance to the seeds, not by their row number.",
                )


def _judge_too_few(answer: Answer, centre: float = 0.0, spread: float = 1.0) -> None:
    few = centre + spread * torch.randn(4, 3)
    for z, what in ((few, "4 latents"), (few.repeat(5, 1), "20 latents of which 4 are distinct")):
        try:
            answer(z, 5, _generator())
        except Mistake as mistake:
            cause = mistake.__cause__
            if isinstance(cause, ValueError):
                continue
            if cause is None:
                raise
            raise Mistake(
                f"For {what} and K = 5 a ValueError is asked for; your function raised {type(cause).__name__}.",
                "Notice it yourself, and raise ValueError with a message that says what is wrong.",
            ) from mistake
        raise Mistake(
            f"For {what} and K = 5 your function returns codes, some of which must be equal. Raise ValueError.",
            "When no latent has any distance left, there is nothing to draw from.",
        )


def _judge_first_seed(answer: Answer) -> None:
    z = torch.randn(10, 3)
    far = 4
    z[far] = 100
    first = [_row_numbers(_seeds(answer, z, 1), z)[0] for _ in range(30)]
    if first.count(far) > 15:
        raise Mistake(
            "The first seed is nearly always the latent that is furthest from the origin.",
            "As long as there is no seed, every row of z has the same chance.",
        )
    pair = [_row_numbers(_seeds(answer, z[:2], 1), z)[0] for _ in range(24)]
    if len(set(pair)) == 1:
        raise Mistake("The first seed is always the same latent, whatever the generator.", "Draw it, too.")


def _judge_stray_latent(answer: Answer) -> None:
    """Count how often a stray latent is chosen that makes up half of the error: half of the time is right.

    The other half are twenty latents at one place. A second crowd is so far away that the first two of three seeds are
    one of each crowd; the third is judged for either order. Two strays: along one axis, where a distance that is not
    squared chooses it in 1 of 5 tries, and across sixteen, where the largest coordinate alone chooses it in 1 of 17.
    Places instead of latents choose it in 19 of 20 tries, a fourth power more often still.
    """
    axis, across = torch.zeros(17), torch.full((17,), 0.25)
    axis[1], across[0] = 1, 0
    for direction, tries, least, why in (
        (axis, 240, 0.3, "Is its distance squared? From the first seed, and from later ones?"),
        (across, 160, 0.2, "Is its distance added up over all D numbers?"),
    ):
        z = torch.zeros(82, 17)
        z[:, 0] = torch.tensor([-1.0, 1.0, 1000.0]).repeat_interleave(torch.tensor([20, 20, 42]))
        z[40] = 80**0.5 * direction
        z = z[torch.randperm(82)]
        stray = int(z[:, 1:].sum(dim=1).argmax())
        hits: dict[bool, list[bool]] = {True: [], False: []}  # by whether the first seed is one of the far crowd
        for _ in range(tries):
            rows = _row_numbers(_seeds(answer, z, 3), z)
            hits[float(z[rows[0], 0]) > 500].append(stray in rows)
        share = {name: sum(found) / max(len(found), 1) for name, found in hits.items()}
        together = sum(map(sum, hits.values()))
        often = (
            "One stray latent makes up half of the error, so it should be drawn about every second time; it was "
            f"{together} times in {tries}. "
        )
        if together > 0.87 * tries:
            raise Mistake(
                often
                + "Do you take the furthest latent instead of drawing one? Is the squared distance squared again? "
                "Are equal latents counted as one?",
                "Every row of z has a chance, in proportion to its squared distance.",
            )
        if min(share.values()) < least:
            raise Mistake(often + why, "The probability is the share of the squared error.")


# restart_dead_codes


@exercise(points=3)
def restart_dead_codes(answer: Answer) -> None:
    """Judge ``restart_dead_codes(codebook, ema_count, ema_sum, z, min_count, generator)``."""
    for min_count, dtype in ((2.5, torch.float32), (0.5, torch.float32), (1.5, torch.float64)):
        for at_the_ends in (True, False, False):
            state = _state(9, min_count, 4, dtype, at_the_ends)
            z = 10 + torch.randn(5, 3, dtype=dtype)
            _judge_restart(_restart(answer, state, z, min_count), state, z, min_count)
    _judge_randomness(answer)
    _judge_borders(answer)
    state, z = _state(9, 1.0, dead=4), torch.randn(8, 3, requires_grad=True)
    if any(part.requires_grad for part in _restart(answer, state, z * 2, 1.0)):
        raise Mistake(
            "What you return carries the gradient of z: a codebook that keeps it keeps the graph of this batch in "
            "memory, and of the next, and of the next.",
            "Cut the latents from their graph.",
        )


State = tuple[Tensor, Tensor, Tensor]  # codebook, ema_count, ema_sum


def _state(
    num_codes: int, min_count: float, dead: int, dtype: torch.dtype = torch.float32, at_the_ends: bool = False
) -> State:
    """Draw a codebook with so many dead codes and, where there is room, one exactly on the threshold.

    Count and sum do not quite fit a code, as smoothing leaves them. Of the first and the last code both or neither
    are dead, if there are others.
    """
    inner = 1 + torch.randperm(max(num_codes - 2, 0))
    ends = torch.tensor([0, num_codes - 1][:num_codes])
    order = torch.cat([ends, inner] if at_the_ends else [inner, ends])
    count = min_count * (1.5 + 3 * torch.rand(num_codes, dtype=dtype))
    count[order[:dead]] = min_count * (0.1 + 0.8 * torch.rand(dead, dtype=dtype))
    if dead < num_codes:
        count[order[dead]] = min_count
    codebook = torch.randn(num_codes, 3, dtype=dtype)
    return codebook, count, codebook * count[:, None] * (1 + 0.3 * torch.rand(num_codes, 1, dtype=dtype))


def _restart(
    answer: Answer, state: State, z: Tensor, min_count: float, generator: torch.Generator | None = None
) -> State:
    return _three_tensors(answer(*state, z, min_count, generator or _generator()), state)


def _three_tensors(got: object, state: State) -> State:
    parts = tensors("codebook", "ema_count", "ema_sum")(got)
    for name, mine, old in zip(("codes", "counts", "sums"), parts, state, strict=True):
        if mine.shape != old.shape:
            raise Mistake(f"Your {name} have shape {tuple(mine.shape)}; {tuple(old.shape)} came in.")
        if mine.dtype != old.dtype:
            raise Mistake(f"Your {name} are {mine.dtype}; {old.dtype} came in.")
        if mine.data_ptr() == old.data_ptr():
            raise Mistake(
                f"Your {name} are the very tensor that came in; new ones are asked for, which share no memory.",
                "clone() makes a copy.",
            )
    return parts


def _judge_restart(got: State, state: State, z: Tensor, min_count: float) -> None:
    codebook, count, total = (part.detach() for part in got)
    dead = state[1] < min_count
    if agree(codebook[~dead], (state[2] / state[1][:, None])[~dead], 1e-5):
        raise Mistake(
            "Live codes are computed anew from sum and count, and move: smoothing, for one, leaves the quotient a "
            "little off the code.",
            "Live codes keep code, count and sum exactly.",
        )
    changed = _moved(codebook, state[0])
    _judge_which(changed, dead, state[1], min_count)
    _judge_places(codebook[dead], z)
    start = max(1.0, min_count)
    same_count, same_total = torch.equal(count[dead], state[1][dead]), torch.equal(total[dead], state[2][dead])
    undo = "The code of an EMA codebook is the quotient of its sum and its count; the next update computes it anew."
    if same_count and same_total:
        raise Mistake("Counts and sums stay as they were, so the next update moves the codes back.", undo)
    if same_total:
        raise Mistake("The sums stay as they were, so the next update pulls the codes back.", undo)
    if same_count:
        raise Mistake("The counts of the restarted codes stay as they were: they are still dead.", undo)
    if not torch.allclose(count[dead], torch.full_like(count[dead], start)):
        _explain_count(count[dead], min_count, start)
    right = start * codebook[dead]
    if not torch.allclose(total[dead], right, rtol=1e-4):
        if torch.allclose(total[dead], codebook[dead], rtol=1e-4):
            raise Mistake(
                "The sums are the codes themselves, but the counts are not 1: the next update divides the one by the "
                "other, and the code jumps.",
                "What must the sum be, so that sum / count is the code?",
            )
        raise Mistake("Sum divided by count is not the code, so the next update moves the codes away.", undo)
    for name, mine, old in zip(("codes", "counts", "sums"), (codebook, count, total), state, strict=True):
        if not torch.equal(mine[~dead], old[~dead]):
            raise Mistake(
                f"The {name} of live codes change, too; only the dead restart.", "Set them for the dead only."
            )


def _moved(codebook: Tensor, old: Tensor) -> Tensor:
    return ~codebook.isclose(old, rtol=1e-5, atol=1e-6).all(dim=1)


def _judge_which(changed: Tensor, dead: Tensor, count: Tensor, min_count: float) -> None:
    if torch.equal(changed, dead):
        return
    if not changed.any():
        raise Mistake("No code restarts, although some counts are below min_count.", "Is the new codebook returned?")
    if changed.all():
        raise Mistake("Every code restarts, the live ones as well: what the codebook has learned is lost.", "")
    if not (changed & dead).any():
        raise Mistake(
            "The live codes restart and the dead ones stay: the comparison points the wrong way.",
            "Dead are codes whose count is less than min_count.",
        )
    extra = changed & ~dead
    if bool(extra.any()) and bool((count[extra] == min_count).all()):
        raise Mistake("A code whose count equals min_count is alive; yours restarts.", "Less than, or at most?")
    if extra.any():
        raise Mistake(
            "Live codes restart, too.", "Look at each code's own count. Which of them are less than min_count?"
        )
    raise Mistake("Some dead codes stay where they were, although there are latents enough.", "")


def _judge_places(codes: Tensor, z: Tensor) -> None:
    rows = _row_numbers(codes, z)
    if -1 in rows:
        if torch.allclose(codes, z.mean(dim=0).expand_as(codes), rtol=1e-4):
            raise Mistake(
                "All dead codes are put on the mean of the latents, where there may be no latent at all.",
                "Each gets a row of z.",
            )
        raise Mistake("Restarted codes are not rows of z.", "Take latents as they are, without noise or averages.")
    if len(rows) > 1 and len(set(rows)) == 1:
        raise Mistake(
            "All dead codes get the same latent. Equal codes share what they win, and most of them die again.",
            "Draw as many different rows as there are dead codes.",
        )
    if len(set(rows)) < len(rows):
        raise Mistake(
            "Two dead codes get the same latent: rows are drawn with replacement.",
            "A random order of the rows has no row twice.",
        )


def _explain_count(count: Tensor, min_count: float, start: float) -> None:
    values = {
        1.0: "Restarted codes get the count 1, which is below min_count here: they are dead again at once.",
        min_count: "Restarted codes get the count min_count, also where that is below 1.",
        0.0: "Restarted codes get the count 0, and the next update divides by it.",
    }
    for value, message in values.items():
        if value != start and torch.allclose(count, torch.full_like(count, value)):
            raise Mistake(message, "max(1, min_count)")
    raise Mistake(f"Restarted codes do not get the count max(1, min_count), here {start:g}.", "")


def _judge_randomness(answer: Answer) -> None:
    state, z = _state(8, 1.0, dead=3), 10 + torch.randn(20, 3)
    seed = int(torch.randint(2**31, ()))
    one, two = (_restart(answer, state, z, 1.0, torch.Generator().manual_seed(seed))[0].detach() for _ in range(2))
    if not torch.equal(one, two):
        raise Mistake(
            "Two calls with equally seeded generators differ: random numbers come from somewhere else.",
            "torch's functions that draw take generator=...",
        )
    dead = state[1] < 1
    rows = [_row_numbers(_restart(answer, state, z, 1.0)[0].detach()[dead], z) for _ in range(6)]
    if all(set(chosen) == {0, 1, 2} for chosen in rows):
        raise Mistake(
            "The dead codes always get the first rows of z, which are neighbours in one image.", "Draw the rows."
        )
    if all(chosen == rows[0] for chosen in rows):
        raise Mistake("Differently seeded generators give the same rows: nothing is drawn from the generator.")
    before = torch.get_rng_state()  # without a generator, the global one
    default = _three_tensors(answer(*state, z, 1.0), state)
    torch.set_rng_state(before)
    again = _three_tensors(answer(*state, z, 1.0), state)
    others = [_three_tensors(answer(*state, z, 1.0), state)[0] for _ in range(6)]
    if not torch.equal(default[0], again[0]) or all(torch.equal(other, again[0]) for other in others):
        raise Mistake(
            "Without a generator your rows do not come from the global one.", "torch draws from it for generator=None."
        )
    state, two = _state(8, 1.0, dead=1), z[:2]
    restarted = [_restart(answer, state, two, 1.0)[0].detach() for _ in range(24)]
    drawn = {row for codes in restarted for row in _row_numbers(codes[state[1] < 1], two)}
    if drawn != {0, 1}:
        raise Mistake("Of two latents only one is ever drawn; each has a chance.", "Look at the ends of the range.")


def _judge_borders(answer: Answer) -> None:
    """Judge no dead code, one code, and more dead codes than latents."""
    for num_codes, dead, latents, where in (
        (6, 0, 4, "When no code is dead: "),
        (1, 1, 4, "With K = 1: "),
        (7, 5, 3, "With 5 dead codes and 3 latents: "),
        (4, 4, 1, "With 4 dead codes and 1 latent: "),
    ):
        state, z = _state(num_codes, 1.0, dead), 10 + torch.randn(latents, 3)
        try:
            codebook, count, total = (part.detach() for part in _restart(answer, state, z, 1.0))
        except Mistake as mistake:
            raise Mistake(where + mistake.message, mistake.hint) from mistake
        changed = _moved(codebook, state[0])
        wanted = min(dead, latents)
        rows = _row_numbers(codebook[changed], z)
        if int(changed.sum()) != wanted or len(set(rows)) < len(rows) or -1 in rows:
            raise Mistake(
                f"{where}{int(changed.sum())} codes change, on {len(set(rows) - {-1})} different latents; {wanted} of "
                "each are asked for.",
                "Each latent serves at most one dead code; dead codes that are left over stay as they are.",
            )
        left = ~changed
        if not torch.allclose(count[left], state[1][left]) or not torch.allclose(total[left], state[2][left]):
            raise Mistake(f"{where}codes that stay where they are must keep their counts and sums.", "")
        if not torch.allclose(total[changed], codebook[changed] * count[changed][:, None], rtol=1e-4):
            raise Mistake(f"{where}sum divided by count is not the code.", "")
