"""Checks of notebook 07: perplexity, codes used by a stream, k-means++ seeds, restarts that last."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from vqvae_course import metrics
from vqvae_course.checks.answer import Answer, Mistake, close, recognise
from vqvae_course.checks.report import exercise


@exercise(points=2)
def perplexity(answer: Answer) -> None:
    """Judge ``perplexity(indices, num_codes)``: exp of the entropy of all indices together."""
    for shape, num_codes in (((4, 3, 5), 7), ((83,), 11), ((2, 5, 3, 4), 9)):
        indices = _uneven_indices(shape, num_codes)
        right = float(metrics.perplexity(indices, num_codes))
        got = answer.number(indices, num_codes)
        if not close(got, right):
            _explain_perplexity(got, indices, num_codes)
    for indices, num_codes in ((torch.zeros(3, 2, 4, dtype=torch.int64), 1), (torch.tensor([4]), 6)):
        got = answer.number(indices, num_codes)
        if not close(got, 1):
            raise Mistake(
                f"With K = {num_codes} and only one code in use the perplexity is 1; yours is {got:.4g}.",
                "The entropy of a certain event is 0. Is anything added to the shares?",
            )


def _uneven_indices(shape: tuple[int, ...], num_codes: int) -> Tensor:
    """Draw indices of unequal shares, with an unused code, and a first part unlike the rest."""
    weights = 1 / torch.arange(1.0, num_codes)  # the last code is never chosen
    indices = torch.multinomial(weights, math.prod(shape), replacement=True).view(shape)
    part = indices[0] if len(shape) > 1 else indices[: shape[0] // 3]
    part.clamp_(max=1)
    indices.view(-1)[:3] = torch.arange(3)
    return indices


def _exp_entropy(weights: Tensor) -> Tensor:
    return torch.special.entr(weights / weights.sum(dim=-1, keepdim=True)).sum(dim=-1).exp()


def _explain_perplexity(got: float, indices: Tensor, num_codes: int) -> None:
    counts = metrics.code_counts(indices, num_codes).double()
    n, share = counts.sum(), counts / counts.sum()
    nats = torch.special.entr(share).sum()
    bits, tens = nats / math.log(2), nats / math.log(10)
    used = share[share > 0]
    pieces = _parts(indices)
    each = {name: _exp_entropy(_counts_of(parts, num_codes)) for name, parts in pieces.items()}
    one_hot = torch.nn.functional.one_hot(indices, num_codes).double()
    place = torch.special.entr(one_hot.mean(dim=0)) if indices.ndim > 1 else one_hot.new_full((1, 1), math.nan)
    together = "Count all indices together first; entropy and exponential come once, at the end."
    known = [
        (value, "This is the entropy; the perplexity is its exponential.", "Which number of equal shares has it?")
        for value in (nats, bits)
    ]
    known += [
        (
            value,
            "Two bases are mixed: an entropy in nats (natural logarithm) goes with exp, one in bits (log2) with 2**H.",
            "Use the same base on the way in and on the way out.",
        )
        for value in (2**nats, bits.exp(), 10**nats, tens.exp(), 2**tens, 10**bits)
    ]
    known += [((-nats).exp(), "The sign of the entropy is wrong: -p log p is positive for shares below 1.", "")]
    known += [
        (
            torch.ones(()),
            "Your result is 1, as if one code did everything.",
            "Shares are counts divided by their sum: no whole-number division, no softmax.",
        ),
        (
            _exp_entropy(counts.softmax(dim=0)),
            "A softmax of the counts is not the shares: it turns counts into powers of e.",
            "Divide each count by their sum.",
        ),
    ]
    for name, perplexities in each.items():
        known += [
            (
                perplexities.mean(),
                f"You compute a perplexity {name} and average those. That says how varied each part is, not how many "
                "codes are in use.",
                together,
            ),
            (
                perplexities.log().mean().exp(),
                f"You average the entropies taken {name}. Their mean is at most the entropy of all indices together.",
                together,
            ),
        ]
    for perplexities in [each["per image"]] if each else []:
        known += [
            (part, "This is the perplexity of a part of the indices, such as the first image.", together)
            for part in (perplexities[0], perplexities[-1])
        ]
    axis = "The mean is taken over the wrong axis: "
    known += [
        (
            (n / num_codes * math.log(num_codes)).exp(),
            axis + "averaging a one-hot vector over its K entries always gives 1/K.",
            "One share per code: average over all positions.",
        ),
        (
            place.sum().exp(),
            axis + "over the batch only, so that every place of the map has shares of its own.",
            together,
        ),
        (
            torch.tensor(float(len(used))),
            "You count the codes that appear at all. In a perplexity a rare code counts less than a common one.",
            "",
        ),
        (
            1 / share.square().sum(),
            "This is 1/Σp², another effective number, made from squares. The perplexity is made from the entropy.",
            "",
        ),
        (nats.exp() / num_codes, "You divide by K. The perplexity is a number of codes, not a fraction.", ""),
        (nats / math.log(num_codes), "You divide the entropy by log K. The perplexity is a number of codes.", ""),
        (
            (1 / used).log().mean().exp(),
            "You average log(1/p) over the codes as if all were equally common; each has its share p as weight.",
            "",
        ),
        (
            _exp_entropy(share.softmax(dim=0)),
            "The shares already sum to 1; a softmax of them is another distribution.",
            "",
        ),
        (
            _exp_entropy(counts + 1),
            "Something is added to every count: a code that is never chosen has share 0 and contributes nothing.",
            "Leave the zeros out of the sum instead.",
        ),
        (
            torch.special.entr(counts / num_codes).sum().exp(),
            "The counts are divided by K. Shares sum to 1: divide by the number of indices.",
            "",
        ),
        (
            torch.special.entr(counts / len(indices)).sum().exp(),
            "The counts are divided by len(indices), the number of images; each has many positions.",
            "Divide by the number of indices.",
        ),
        (1 / share.max(), "You look at the most common code only.", together),
        (torch.tensor(float(num_codes)), "You answer K, which is reached only if all codes are equally common.", ""),
        (
            torch.special.entr(share).mean().exp(),
            "You take the mean of -p log p over the codes; an entropy is their sum.",
            "The weights are in the p already.",
        ),
    ]
    recognise(got, known)
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
    raise Mistake(
        f"For these {indices.numel()} indices the perplexity is not {got:.4g}.",
        "Try it on the example by hand, eight positions with shares 1/2, 1/4, 1/8 and 1/8, and compare every step.",
    )


def _parts(indices: Tensor) -> dict[str, Tensor]:
    """Return the ways of cutting indices into parts: name to (parts, positions)."""
    if indices.ndim == 1:
        return {}
    last = indices.movedim(-1, 0).flatten(1)
    return {
        "per image": indices.flatten(1),
        "at each position over the batch": indices.flatten(1).T,
        "per row of the map": indices.flatten(0, -2),
        "per column": last,
    }


def _counts_of(parts: Tensor, num_codes: int) -> Tensor:
    return torch.nn.functional.one_hot(parts, num_codes).sum(dim=1).double()


@exercise(points=1)
def codebook_usage(answer: Answer) -> None:
    """Judge ``codebook_usage(stream, num_codes)``: codes that appear anywhere in a stream."""
    num_codes = 31
    batches, right = _overlapping_batches(num_codes)
    got = answer.number(batches, num_codes)
    if got != right:
        _explain_usage(got, right, batches, num_codes)
    once = "The stream may be a generator, which can be run through only once and has no length."
    got = _in_case("For a generator instead of a list: ", answer, (b for b in batches), num_codes, hint=once)
    if got != right:
        raise Mistake(
            f"For a list of batches you find {right} codes, for a generator of the same batches {got:g}.", once
        )
    got = _in_case("For an empty stream: ", answer, [], num_codes, hint="What is the count before the first batch?")
    if got != 0:
        raise Mistake(f"An empty stream uses no code; you find {got:g}.")
    got = answer.number(iter([torch.zeros(2, 3, dtype=torch.int64)] * 2), 1)
    if got != 1:
        raise Mistake(f"With K = 1, two batches of index 0 use 1 code; you find {got:g}.")


def _overlapping_batches(num_codes: int) -> tuple[list[Tensor], int]:
    """Draw three batches of different shapes that use 7, 9 and 3 codes, 14 together, one of them only once."""
    names = 1 + torch.randperm(num_codes - 2)  # the first and the last code are never used
    parts = (((3, 2, 5), names[:7]), ((3, 2, 5), names[3:12]), ((1, 2, 5), names[11:14]))
    batches = []
    for shape, codes in parts:
        often = codes[:-1]  # twice at least
        more = often[torch.randint(len(often), (math.prod(shape) - len(codes) - len(often),))]
        mixed = torch.cat([codes, often, more])[torch.randperm(math.prod(shape))]
        batches.append(mixed.view(shape))
    return batches, 14


def _in_case(where: str, answer: Answer, stream: Iterable, num_codes: int, hint: str) -> float:
    try:
        return answer.number(stream, num_codes)
    except Mistake as mistake:
        raise Mistake(where + mistake.message, hint) from mistake


def _explain_usage(got: float, right: int, batches: list[Tensor], num_codes: int) -> None:
    each = [metrics.codebook_usage(batch, num_codes) for batch in batches]
    every = torch.cat([batch.flatten() for batch in batches])
    counts = torch.stack([metrics.code_counts(batch, num_codes) for batch in batches])
    union = "A code counts once, in whichever batch it appears. What must be remembered from batch to batch?"
    values = (
        (right / num_codes, "This is the share of the codebook that is used; the number of codes is asked for.", ""),
        (each[-1], "You count the codes of the last batch only: what the batches before used is forgotten.", union),
        (each[0], "You count the codes of the first batch only.", "Is there a return inside the loop?"),
        (len(torch.cat([batch.flatten() for batch in batches[:-1]]).unique()), "You leave out the last batch.", union),
        (sum(each), "You add up the batches' numbers, so a code that appears in two batches counts twice.", union),
        (
            sum(each) / len(each),
            "This is the mean of the batches' numbers. The longer the stream, the more is used.",
            union,
        ),
        (max(each), "This is the number of the best single batch.", union),
        (int((counts > 0).all(dim=0).sum()), "You count the codes that appear in every batch.", union),
        (num_codes - right, "You count the codes that are not used.", ""),
        (
            len(every),
            "You count positions; each code counts once, however often it is chosen.",
            "If you collect in a set: two tensors are never the same to it, numbers are.",
        ),
        (sum(each) / len(each) / num_codes, "This is the mean share of the codebook that a batch uses.", union),
        (len(batches), "You count the batches.", ""),
        (
            int(every.max()) + 1,
            "You take the largest index for the number of codes; indices below it may be unused.",
            "",
        ),
        (
            float(metrics.perplexity(every, num_codes)),
            "This is the perplexity; every code that appears counts as 1.",
            "",
        ),
        (int((counts.sum(dim=0) > 1).sum()), "A code that was chosen once is used, too.", ""),
        (num_codes, "You answer K, whatever was used.", ""),
    )
    recognise(got, ((torch.tensor(float(value)), message, hint) for value, message, hint in values))
    if got != round(got):
        raise Mistake(f"A number of codes is whole; yours is {got:.4g}.", union)
    raise Mistake(f"In these {len(batches)} batches {got:g} is not the number of codes in use.", union)


@exercise(points=2)
def seed_probabilities(answer: Answer) -> None:
    """Judge ``seed_probabilities(z, seeds)``: each latent's share of the squared error."""
    for number, dtype in ((4, torch.float32), (1, torch.float32), (3, torch.float64)):
        z = torch.randn(11, 3, dtype=dtype) * torch.linspace(0.3, 0.8, 11, dtype=dtype)[:, None]
        elsewhere = 0.7 * torch.randn(3, 3, dtype=dtype)[: number - 1]
        z[7 : 6 + number] = 0.8 * elsewhere  # so that no seed is the nearest, or the furthest, of all latents
        seeds = torch.cat([elsewhere, z[5:6]])  # the newest seed is a latent
        got = answer.tensor(z, seeds, shape=(11,))
        right = _shares(z, seeds)
        if torch.allclose(got.detach().double(), right, rtol=1e-3, atol=1e-5):
            continue
        _explain_seed_probabilities(got, z, seeds)


def _shares(z: Tensor, seeds: Tensor) -> Tensor:
    cost = _squared(z, seeds).amin(dim=1)
    return cost / cost.sum()


def _squared(z: Tensor, seeds: Tensor) -> Tensor:
    return (z.double()[:, None] - seeds.double()).square().sum(dim=2)


def _explain_seed_probabilities(got: Tensor, z: Tensor, seeds: Tensor) -> None:
    squared = _squared(z, seeds)
    cost = squared.amin(dim=1)
    nearest = "What counts is the distance to the nearest of all seeds: that is the error of a latent now."
    rules = [
        (
            cost.sqrt(),
            "You use the distances as they are. The error is a square, so a latent weighs its distance squared.",
            "",
        ),
        (cost.square(), "You square twice: the squared distance is squared again.", ""),
    ]
    if len(seeds) > 1:  # with one seed these are the right answer
        for values, root in ((squared, ""), (squared.sqrt(), " Nor is it squared.")):
            rules += [
                (values[:, -1], "Only the newest seed is looked at." + root, nearest),
                (values[:, 0], "Only the first seed is looked at." + root, nearest),
                (values.sum(dim=1), "The distances to all seeds are added up or averaged." + root, nearest),
                (
                    values.amax(dim=1),
                    "You take the furthest seed of each latent instead of the nearest." + root,
                    nearest,
                ),
            ]
        rules += [
            (
                (z.double() - seeds.double().mean(dim=0)).square().sum(dim=1),
                "You measure from the mean of the seeds.",
                nearest,
            )
        ]
    if torch.allclose(got.detach().double() / float(got.sum()), cost / cost.sum(), rtol=1e-3, atol=1e-5):
        raise Mistake("The weights are right, but they do not sum to 1.", "By what are they to be divided?")
    softmax = "A softmax turns squared distances into powers of e; the probabilities are proportional to them."
    near = "Latents near a seed are the likeliest in your answer. The next seed should go where the error is."
    others = [
        (
            (cost == cost.max()).double(),
            "You always take the furthest latent. It may be a single stray one; let each have its share of the chance.",
            "",
        ),
        (cost.softmax(dim=0), softmax, "Divide by the sum."),
        (cost.sqrt().softmax(dim=0), softmax, "Divide by the sum."),
        ((-cost).softmax(dim=0), near, ""),
        ((-cost.sqrt()).softmax(dim=0), near, ""),
        (
            torch.full_like(cost, 1 / len(cost)),
            "All latents are equally likely in your answer: the seeds play no part.",
            "",
        ),
    ]
    absolute = (z.double()[:, None] - seeds.double()).abs().sum(dim=2).amin(dim=1)
    euclid = "You add up absolute differences; the squared distance adds up their squares."
    rules += [
        (absolute, euclid, ""),
        (absolute.square(), euclid, ""),
        (squared.argmin(dim=1).double(), "Those are the numbers of the nearest seeds, not the distances to them.", ""),
    ]
    known = [(values / values.sum(), message, hint) for values, message, hint in rules]
    recognise(got, [*known, *others, *rules])
    if int(got.argmax()) == int(cost.argmin()):
        raise Mistake(near)
    if bool((got < 0).any()):
        raise Mistake("Some of your probabilities are negative.", "The square of a distance never is.")
    if not close(float(got.sum()), 1):
        raise Mistake(f"Your probabilities sum to {float(got.sum()):.4g}, not to 1.", "What is the error as a whole?")
    raise Mistake(
        "These are not the shares of the squared error.",
        "Take one latent: what does it cost as long as there are only these seeds? And what do all cost together?",
    )


@exercise(points=3)
def kmeans_init(answer: Answer) -> None:
    """Judge ``kmeans_init(z, num_codes, generator)``: k-means++ seeds, all random numbers from the generator."""
    for dtype in (torch.float32, torch.float64):
        z = 30 + torch.randn(9, 3, dtype=dtype)
        for _ in range(6):
            _judge_seeds(_seeds(answer, z, 8), z)
    _judge_use_of_the_generator(answer)
    _judge_groups(answer)
    _judge_equal_latents(answer)
    _judge_too_few(answer)
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


def _judge_seeds(codes: Tensor, z: Tensor) -> None:
    rows = _row_numbers(codes, z)
    if -1 in rows:
        inside = bool((codes >= z.amin(dim=0)).all() and (codes <= z.amax(dim=0)).all())
        raise Mistake(
            "Some of your codes lie between latents, as means do. Only the seeds are asked for; k-means comes later."
            if inside
            else "Some of your codes are not latents at all: they lie outside of the latents' range.",
            "Every code is a row of z, unchanged.",
        )
    if len(set(rows)) < len(rows):
        raise Mistake(
            "The same latent is chosen twice; one of the two codes would be dead from the start.",
            "A latent that is a seed already has distance 0. What does that do to its probability?",
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
    found = [len(set(group[_row_numbers(_seeds(answer, z, 8), z)].tolist())) for _ in range(8)]
    if sum(count == 8 for count in found) < 2:
        raise Mistake(
            f"Eight groups far apart, from 150 latents down to 3, and your eight codes serve {sum(found) / 8:.1f} of "
            "them on average: the crowd gets several, small groups none. Latents picked uniformly at random do that.",
            "The probability of the next seed is proportional to the squared distance from the nearest of all seeds.",
        )


def _judge_equal_latents(answer: Answer) -> None:
    """Most positions of a digit are one background latent: equal rows must not become several codes."""
    distinct = torch.randn(6, 2)
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


def _judge_too_few(answer: Answer) -> None:
    for z, what in (
        (torch.randn(4, 3), "4 latents"),
        (torch.randn(4, 3).repeat(5, 1), "20 latents of which 4 are distinct"),
    ):
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
    if len(set(first)) == 1:
        raise Mistake("The first seed is always the same latent, whatever the generator.", "Draw it, too.")


def _judge_stray_latent(answer: Answer) -> None:
    """Count how often a stray latent is chosen that makes up half of the error: half of the time is right.

    The other half are five places with twenty latents each. A distance that is not squared chooses the
    stray one in 1 of 7 tries, places instead of latents in 19 of 20, a fourth power in 49 of 50.
    """
    places = torch.randn(5, 2)
    places = (places - places.mean(dim=0)) / places.var(dim=0, correction=0).sum().sqrt()
    z = torch.cat([places.repeat(20, 1), torch.tensor([[14.0, 2.0]])])[torch.randperm(101)]
    stray = int(z[:, 0].argmax())
    hits = sum(stray in _row_numbers(_seeds(answer, z, 2), z) for _ in range(300))
    often = (
        f"One stray latent makes up half of the error, so it should be drawn about every second time; it was {hits} "
    )
    if hits > 260:
        raise Mistake(
            often + "times in 300. Do you take the furthest latent instead of drawing one? Is the squared distance "
            "squared again? Are equal latents counted as one?",
            "Every row of z has a chance, in proportion to its squared distance.",
        )
    if hits < 90:
        raise Mistake(
            often + "times in 300. Is its distance squared?", "The probability is the share of the squared error."
        )


@exercise(points=3)
def restart_dead_codes(answer: Answer) -> None:
    """Judge ``restart_dead_codes(codebook, ema_count, ema_sum, z, min_count, generator)``."""
    for min_count, dtype in ((2.5, torch.float32), (0.5, torch.float32), (1.5, torch.float64)):
        for _ in range(4):
            state = _state(9, min_count, dead=4, dtype=dtype)
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


def _state(num_codes: int, min_count: float, dead: int, dtype: torch.dtype = torch.float32) -> State:
    """Draw a codebook with so many dead codes and, where there is room, one exactly on the threshold."""
    order = torch.randperm(num_codes)
    count = min_count * (1.5 + 3 * torch.rand(num_codes, dtype=dtype))
    count[order[:dead]] = min_count * (0.1 + 0.8 * torch.rand(dead, dtype=dtype))
    if dead < num_codes:
        count[order[dead]] = min_count
    codebook = torch.randn(num_codes, 3, dtype=dtype)
    return codebook, count, codebook * count[:, None]


def _restart(
    answer: Answer, state: State, z: Tensor, min_count: float, generator: torch.Generator | None = None
) -> State:
    got = answer(*state, z, min_count, generator or _generator())
    return _three_tensors(got, state)


def _three_tensors(got: object, state: State) -> State:
    if not isinstance(got, tuple | list) or len(got) != 3:
        raise Mistake(
            "Three tensors are asked for: codebook, counts and sums, in this order.",
            "return codebook, ema_count, ema_sum",
        )
    for name, mine, old in zip(("codebook", "counts", "sums"), got, state, strict=True):
        if not isinstance(mine, Tensor):
            raise Mistake(f"The {name} you return are no tensor but {type(mine).__name__}.")
        if mine.shape != old.shape:
            raise Mistake(f"Your {name} have shape {tuple(mine.shape)}; {tuple(old.shape)} came in.")
        if mine.dtype != old.dtype:
            raise Mistake(f"Your {name} are {mine.dtype}; {old.dtype} came in.")
    return tuple(got)


def _judge_restart(got: State, state: State, z: Tensor, min_count: float) -> None:
    codebook, count, total = (part.detach() for part in got)
    dead = state[1] < min_count
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
    for name, mine, old in (("counts", count, state[1]), ("sums", total, state[2])):
        if not torch.allclose(mine[~dead], old[~dead], rtol=1e-5):
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
    _three_tensors(answer(*state, z, 1.0), state)  # without a generator, the global one


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
