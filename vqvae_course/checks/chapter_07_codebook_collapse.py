"""Checks of notebook 07: perplexity, the handicap of a start, restarts that last, how codes died."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.special import entr

from vqvae_course import metrics
from vqvae_course.checks.answer import Answer, Mistake
from vqvae_course.checks.compare import agree, rows_of
from vqvae_course.checks.read import tensor, tensors
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task

# perplexity

perplexity = Task(
    metrics.perplexity,
    points=1,
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


# handicap_ratio


def _handicaps(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return both handicaps of every code, and what each latent adds, from its deviation and as it is."""
    mean = z.mean(dim=0)
    off_centre, too_large = codebook @ mean, -codebook.square().sum(dim=1) / 2
    return off_centre, too_large, (z - mean) @ codebook.T, z @ codebook.T


def _rms(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()


def _std(values: Tensor) -> Tensor:
    return values.std(unbiased=False)


def _handicap_ratio(z: Tensor, codebook: Tensor) -> Tensor:
    off_centre, too_large, contest, _ = _handicaps(z, codebook)
    return _std(off_centre + too_large) / _rms(contest)


handicap_ratio = Task(
    _handicap_ratio,
    name="handicap_ratio",
    points=2,
    tolerance=1e-3,
    entrywise=True,
    otherwise=lambda got, z, codebook: (
        f"For {len(z)} latents and {len(codebook)} codes in {z.shape[1]} dimensions the ratio is not {got:.4g}."
    ),
    hint="Compute μ, the deviations and the handicap of every code first, each on a line of its own; which of them is "
    "a number for each code, and which a number for each latent and code?",
)


@handicap_ratio.inputs
def _starts() -> Iterator[tuple[Tensor, Tensor]]:
    """Draw starts in which either handicap matters, both, and at a tiny and a huge scale."""
    for count, num_codes, dim, centre, scale, unit in (
        (9, 5, 3, 0.7, 1.0, 1.0),
        (6, 2, 4, 0.0, 1.5, 1.0),
        (7, 3, 1, 3.0, 0.4, 1.0),
        (9, 5, 3, 0.7, 1.0, 1e-3),
        (9, 5, 3, 0.7, 1.0, 1e3),
        (2, 6, 3, 0.4, 0.8, 1.0),
    ):
        z = torch.randn(count, dim) + centre * torch.linspace(0.5, 1.5, dim)
        yield unit * z, unit * scale * (torch.randn(num_codes, dim) + 0.3)
    yield torch.randn(8, 3, dtype=torch.float64) + 1, torch.randn(4, 3, dtype=torch.float64)


handicap_ratio.mistakes(
    {
        "The half is missing: the handicap is μ·e − ½‖e‖².": lambda m, s, c, zc: _std(m + 2 * s) / _rms(c),
        "The two handicaps are added: a long code is at a disadvantage, so ½‖e‖² is subtracted.": lambda m, s, c, zc: (
            _std(m - s) / _rms(c)
        ),
        "You take the length of a code, not its square: ‖e‖² is the sum of its squared entries.": lambda m, s, c, zc: (
            _std(m - (-2 * s).sqrt() / 2) / _rms(c)
        ),
        "The handicap of latents that are off-centre, μ·e, is missing.": lambda m, s, c, zc: _std(s) / _rms(c),
        "The handicap of codes that are too large, ½‖e‖², is missing.": lambda m, s, c, zc: _std(m) / _rms(c),
        "Below the line stand the latents as they are; what differs from latent to latent is their deviation from μ."
        "\nSubtract the mean of the latents first.": (
            lambda m, s, c, zc: _std(m + s) / _rms(zc),
            lambda m, s, c, zc: _std(m + s) / _std(zc),
        ),
        "The standard deviation over the codes is asked for with K below it, not K − 1.\nSee the argument of std.": (
            lambda m, s, c, zc: (m + s).std() / _rms(c)
        ),
        "That is the ratio of the variances.\nTake both roots.": lambda m, s, c, zc: (_std(m + s) / _rms(c)).square(),
        "The ratio is upside down: handicap above, contest below.": lambda m, s, c, zc: _rms(c) / _std(m + s),
        "You take the root mean square of the handicaps. What all codes have in common decides nothing: take their "
        "standard deviation.": lambda m, s, c, zc: _rms(m + s) / _rms(c),
        "You take the range of the handicaps, not their standard deviation.": lambda m, s, c, zc: (
            ((m + s).amax() - (m + s).amin()) / _rms(c)
        ),
        "Absolute values are averaged below the line; the root mean square averages squares.": lambda m, s, c, zc: (
            _std(m + s) / c.abs().mean()
        ),
        "Squares are added up below the line, not averaged over all latents and codes.": lambda m, s, c, zc: (
            _std(m + s) / c.norm()
        ),
        "This is the handicaps' spread alone; divide by what differs from latent to latent.": lambda m, s, c, zc: _std(
            m + s
        ),
        "This is the spread of δ·e alone; the handicaps' spread is to be divided by it.": lambda m, s, c, zc: _rms(c),
    },
    of=_handicaps,
)
handicap_ratio.mistakes(
    {
        "μ is the mean of the latents; you take that of the codes.": lambda z, e: (
            _std(e @ e.mean(dim=0) - e.square().sum(dim=1) / 2) / _rms((z - e.mean(dim=0)) @ e.T)
        ),
        "‖e‖² is a sum over the D entries of a code, not their mean.": lambda z, e: (
            _std(e @ z.mean(dim=0) - e.square().mean(dim=1) / 2) / _rms((z - z.mean(dim=0)) @ e.T)
        ),
        "δ is each latent minus one mean vector μ; you subtract from each latent the mean of its own entries.": (
            lambda z, e: (
                _std(e @ z.mean(dim=0) - e.square().sum(dim=1) / 2) / _rms((z - z.mean(dim=1, keepdim=True)) @ e.T)
            )
        ),
        "μ has a mean for each of the D entries; you take one mean over all entries.": lambda z, e: (
            _std(e @ z.mean().expand(z.shape[1]) - e.square().sum(dim=1) / 2) / _rms((z - z.mean()) @ e.T)
        ),
        "This is s/(√2σ), the estimate for random codes and centred latents; the handicaps of these codes are asked "
        "for.": lambda z, e: _rms(e) / (2**0.5 * _rms(z - z.mean(dim=0))),
        "Below the line stands the spread of the deviations; what counts is their product with each code, δ·e.": (
            lambda z, e: _std(e @ z.mean(dim=0) - e.square().sum(dim=1) / 2) / _rms(z - z.mean(dim=0))
        ),
    }
)


@handicap_ratio.unless
def _no_ratio(got: float, z: Tensor, codebook: Tensor) -> None:
    if not math.isfinite(got) or got < 0:
        raise Mistake(f"Your ratio is {got:.4g}; it is 0 or more, and finite unless all latents are equal.")


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
    drawn = generator or torch.Generator().manual_seed(int(torch.randint(2**31, ())))
    return _three_tensors(answer(*state, z, min_count, drawn), state)


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
    rows = rows_of(codes, z)
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
    rows = [rows_of(_restart(answer, state, z, 1.0)[0].detach()[dead], z) for _ in range(6)]
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
    drawn = {row for codes in restarted for row in rows_of(codes[state[1] < 1], two)}
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
        rows = rows_of(codebook[changed], z)
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


# cause_of_death

_ALIVE, _STILLBORN, _ABANDONED = range(3)


def _verdicts(alive: Tensor, ever: Tensor) -> Tensor:
    """Return 0 for what is alive, 1 for what never was, 2 for the others."""
    return torch.where(alive, _ALIVE, torch.where(ever, _ABANDONED, _STILLBORN))


cause_of_death = Task(
    lambda counts, recent: _verdicts((counts[-recent:] > 0).any(dim=0), (counts > 0).any(dim=0)),
    name="cause_of_death",
    points=2,
    reads=tensor,
    otherwise=lambda got, counts, recent: (
        f"Of {counts.shape[1]} codes in {len(counts)} batches, the last {recent} of which are recent, some are told "
        "wrongly."
    ),
    hint="Two questions for each code: was it ever chosen, and was it chosen recently?",
)


@cause_of_death.inputs
def _lives() -> Iterator[tuple[Tensor, int]]:
    """Draw lives of every kind: chosen early, late, once, in the batch before the recent ones, never."""
    for batches, codes, recent in ((8, 9, 3), (6, 7, 1), (5, 8, 5), (1, 6, 1), (9, 7, 2)):
        yield _life(batches, codes, recent), recent
    yield torch.zeros(4, 3, dtype=torch.int64), 2
    yield torch.ones(4, 3, dtype=torch.int64), 2


def _life(batches: int, codes: int, recent: int) -> Tensor:
    """Draw how often each batch chose each code; the kinds stand in random order, so that no place tells one."""
    counts = torch.zeros(batches, codes, dtype=torch.int64)
    old = batches - recent
    counts[:, 0] = 5
    counts[-recent, 1] = 1  # once, in the first of the recent batches
    counts[-1, 2] = 4  # in the last batch only
    if old:
        counts[old - 1, 3] = 3  # in the last batch before the recent ones
        counts[0, 4] = 1  # in the first batch only, and once
        counts[:old, 6] = 2
    return counts[:, torch.randperm(codes)]


def _seen(counts: Tensor, recent: int) -> tuple[Tensor, int, Tensor, Tensor]:
    """Return the counts, the number of recent batches, and which codes were chosen recently, and ever."""
    return counts, recent, (counts[-recent:] > 0).any(dim=0), (counts > 0).any(dim=0)


cause_of_death.mistakes(
    {
        "1 and 2 are swapped: a stillborn code was never chosen, an abandoned one was.": lambda n, r, alive, ever: (
            torch.where(alive, 0, torch.where(ever, 1, 2))
        ),
        "Only the very last batch decides who is alive; the last `recent` batches should.": lambda n, r, alive, ever: (
            _verdicts(n[-1] > 0, ever)
        ),
        "The first `recent` batches decide who is alive in yours; the last ones should.": lambda n, r, alive, ever: (
            _verdicts((n[:r] > 0).any(dim=0), ever)
        ),
        "You look at one recent batch too many.\nThe last `recent` rows are counts[-recent:].": (
            lambda n, r, alive, ever: _verdicts((n[-r - 1 :] > 0).any(dim=0), ever)
        ),
        "You look at one recent batch too few.\nThe last `recent` rows are counts[-recent:].": (
            lambda n, r, alive, ever: _verdicts((n[len(n) - r + 1 :] > 0).any(dim=0), ever)
        ),
        "A code is stillborn if it was *never* chosen; you look at the first batch alone.": lambda n, r, alive, ever: (
            _verdicts(alive, n[0] > 0)
        ),
        "A code that was chosen once is alive, too.": lambda n, r, alive, ever: _verdicts(
            (n[-r:].sum(dim=0) > 1), n.sum(dim=0) > 1
        ),
        "A code is alive only if every recent batch chose it in yours; once is enough.": lambda n, r, alive, ever: (
            _verdicts((n[-r:] > 0).all(dim=0), ever)
        ),
        "Every code that was ever chosen is alive in yours: those that were abandoned are not found.": (
            lambda n, r, alive, ever: _verdicts(ever, ever)
        ),
        "A code that came alive late is alive, whatever happened before.": lambda n, r, alive, ever: _verdicts(
            alive & (n[: len(n) - r] > 0).any(dim=0), ever
        ),
        "A code that came alive late is called stillborn in yours; it is alive.": lambda n, r, alive, ever: torch.where(
            (n[: len(n) - r] > 0).any(dim=0), torch.where(alive, 0, 2), 1
        ),
        "Every dead code is stillborn in yours.": lambda n, r, alive, ever: torch.where(alive, 0, 1),
        "Every dead code is abandoned in yours.": lambda n, r, alive, ever: torch.where(alive, 0, 2),
        "This says who is alive (1) and who is not (0); three numbers are asked for: 0 alive, 1 stillborn, 2 "
        "abandoned.": lambda n, r, alive, ever: alive.long(),
    },
    of=_seen,
)


@cause_of_death.unless
def _no_verdict(got: Tensor, counts: Tensor, recent: int) -> None:
    if got.shape != counts.shape[1:]:
        raise Mistake(
            f"One number for each of {counts.shape[1]} codes is asked for; yours have shape {tuple(got.shape)}.",
            "Batches are the first axis of counts, codes the second.",
        )
    if not bool(torch.isin(got, torch.arange(3, dtype=got.dtype)).all()):
        raise Mistake("Each code gets 0, 1 or 2; some of yours get something else.")


@cause_of_death.further
def _whole_numbers(answer: Answer) -> None:
    got = answer(_life(7, 8, 2), 2)
    if got.dtype != torch.int64:
        raise Mistake(f"An int64 tensor is asked for; yours is {got.dtype}.")
