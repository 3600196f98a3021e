"""Checks of appendix A2: k-means++ seeds."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, close
from vqvae_course.checks.compare import agree, rows_of
from vqvae_course.checks.read import tensor
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task

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


def _judge_seeds(answer: Answer) -> None:
    """Judge eight of nine latents, many times; all are rows of z, and none is chosen twice."""
    repeated = []  # (first place, second place) of a latent that is chosen twice
    for dtype in 12 * (torch.float32, torch.float64):
        z = 30 + torch.randn(9, 3, dtype=dtype)
        codes = _seeds(answer, z, 8)
        rows = rows_of(codes, z)
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
    rows = [sorted(rows_of(_seeds(answer, z, 6), z)) for _ in range(6)]
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
    found = [len(set(group[rows_of(_seeds(answer, z, 8), z)].tolist())) for _ in range(4)]
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
    first = [rows_of(_seeds(answer, z, 1), z)[0] for _ in range(30)]
    if first.count(far) > 15:
        raise Mistake(
            "The first seed is nearly always the latent that is furthest from the origin.",
            "As long as there is no seed, every row of z has the same chance.",
        )
    pair = [rows_of(_seeds(answer, z[:2], 1), z)[0] for _ in range(24)]
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
            rows = rows_of(_seeds(answer, z, 3), z)
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
