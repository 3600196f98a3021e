"""One EMA update by hand: counts, sums and codes after one small batch, with Laplace smoothing.

Four codes in the plane, drawn in steps of 0.1 between -3 and 3, make more than 10^12 variants. Drawn cases are such
that every known mistake leads to another codebook.
"""

from typing import Any

import torch
from torch import Tensor

from vqvae_course.assignments.variants.draw import Draws, Part
from vqvae_course.checks.answer import Answer, Mistake, kind, recognise
from vqvae_course.quantize import laplace_smooth

TITLE = "one update of an EMA codebook"
MINUTES = 20
SPACE = 10**12
PARTS = (
    Part(
        "updated_codebook",
        3,
        '''def updated_codebook():
    """Return the codes after the update: K rows of D numbers, as a tensor or as lists."""
    raise NotImplementedError
''',
    ),
)
CODES, DIM, LATENTS = 4, 2, 7
APART = 0.02  # a drawn case moves some number of the result by so much for every known mistake
TOLERANCE = 2e-3
ROUNDED = 1e-4


def draw(draws: Draws) -> dict[str, Any]:
    """Draw cases until one shows every known mistake, and no latent lies between two codes."""
    while True:
        given = _any_case(draws)
        codes, latents = _tensor(given["codes"]), _tensor(given["latents"])
        distances = _distances(latents, codes)
        near, next_to_it = distances.sort(dim=1).values.T[:2]
        counts = distances.argmin(dim=1).bincount(minlength=CODES)
        unclear = float((next_to_it - near).min()) < 0.105  # they are whole hundredths, so rounding decides nothing
        if unclear or int(counts.max()) < 2 or int((counts == 0).sum()) != 1:
            continue
        right = updated(given)
        if all(float((value - right).abs().max()) > APART for value, _ in mistakes(given)):
            return given


def _any_case(draws: Draws) -> dict[str, Any]:
    """Draw whole numbers; tenths and hundredths are made of them, so that no sum rounds."""
    codes = [[draws.between(-30, 30) for _ in range(DIM)] for _ in range(CODES)]
    counts = [draws.between(12, 40) for _ in range(CODES)]
    return {
        "codes": [[value / 10 for value in code] for code in codes],
        "counts": [count / 10 for count in counts],
        "sums": [[count * value / 100 for value in code] for count, code in zip(counts, codes, strict=True)],
        "gamma": draws.choice((0.55, 0.6, 0.65, 0.7, 0.75)),
        "epsilon": draws.choice((0.3, 0.4, 0.5, 0.6)),
        "latents": [[draws.between(-30, 30) / 10 for _ in range(DIM)] for _ in range(LATENTS)],
    }


def task(given: dict[str, Any]) -> str:
    """Return the task with a student's numbers."""
    rows = zip(given["codes"], given["counts"], given["sums"], strict=True)
    table = "\n".join(f"| {i} | {tuple(e)} | {n} | {tuple(m)} |" for i, (e, n, m) in enumerate(rows))
    return f"""\
A codebook of {CODES} codes in the plane is learned by exponential moving averages. It stands like this:

| i | code $e_i$ | running count $N_i$ | running sum $m_i$ |
|---|---|---|---|
{table}

Now this batch of {LATENTS} latents arrives:

`{given["latents"]}`

Return the codebook after the *one* update that this batch causes, with decay γ = {given["gamma"]} (the weight of the \
past) and Laplace smoothing of the counts with ε = {given["epsilon"]}, which keeps their total. Give at least five \
significant digits, or compute with your numbers in the cell below."""


def form_updated_codebook(answer: Answer, given: dict[str, Any]) -> Tensor:
    """Return the answer as a tensor; refuse what is no table of K rows of D finite numbers."""
    value = answer()
    try:
        got = torch.as_tensor(value).detach().double().cpu()
    except Exception:
        try:
            got = torch.stack([torch.as_tensor(row).detach().double().cpu() for row in value])  # a list of tensors
        except Exception as error:
            raise Mistake(f"Your function returns {kind(value)} that is no table of numbers.") from error
    if got.shape != (CODES, DIM):
        raise Mistake(f"Your function returns shape {tuple(got.shape)}; {(CODES, DIM)}, a row a code, is asked for.")
    if not bool(got.isfinite().all()):
        raise Mistake("Your function returns infinite numbers or NaN.", "Do you divide by a count of 0?")
    return got


def judge_updated_codebook(answer: Answer, given: dict[str, Any]) -> None:
    """Judge the codebook as a whole."""
    got, right = form_updated_codebook(answer, given), updated(given)
    if float((got - right).abs().max()) <= TOLERANCE:
        return
    recognise(got, [(value, message, "") for value, message in mistakes(given)], ROUNDED)
    wrong = [i for i in range(CODES) if float((got[i] - right[i]).abs().max()) > TOLERANCE]
    raise Mistake(
        f"Not where the update puts them: codes {wrong} of 0 to {CODES - 1}.",
        "Choose with the codes as they stand; then counts; then sums; then smooth; then divide.",
    )


def updated(given: dict[str, Any]) -> Tensor:
    """Return the right codebook."""
    counts, sums = _averages(given, given["gamma"], *_batch(given, _tensor(given["codes"])))
    return sums / laplace_smooth(counts, given["epsilon"])[:, None]


def _averages(given: dict[str, Any], gamma: float, n: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Return counts and sums after the update, before smoothing."""
    return gamma * _tensor(given["counts"]) + (1 - gamma) * n, gamma * _tensor(given["sums"]) + (1 - gamma) * s


def _batch(given: dict[str, Any], codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many latents choose each of these codes, and their sums."""
    latents = _tensor(given["latents"])
    chosen = torch.nn.functional.one_hot(_distances(latents, codes).argmin(dim=1), CODES).double()
    return chosen.sum(dim=0), chosen.T @ latents


def mistakes(given: dict[str, Any]) -> list[tuple[Tensor, str]]:
    """Return what known mistakes lead to."""
    gamma, eps, codes, old = given["gamma"], given["epsilon"], _tensor(given["codes"]), _tensor(given["counts"])
    old_sums = _tensor(given["sums"])
    n, s = _batch(given, codes)
    counts, sums = _averages(given, gamma, n, s)
    means, met = s / n.clamp(min=1)[:, None], (n > 0)[:, None]

    def smoothed(counts: Tensor, sums: Tensor) -> Tensor:
        return sums / laplace_smooth(counts, eps)[:, None]

    def with_total(total: float | Tensor) -> Tensor:
        return sums / ((counts + eps) / (total + CODES * eps) * total)[:, None]

    again = _averages(given, gamma, *_batch(given, updated(given)))
    kept = torch.where(n > 0, counts, old), torch.where(met, sums, old_sums)
    step = 2 / (LATENTS * DIM) * (n[:, None] * codes - s)  # the gradient of the codebook loss
    stayed = torch.where(met, smoothed(counts, sums), codes)
    moved = torch.where(met, gamma * codes + (1 - gamma) * means, codes)
    swapped, mean = _averages(given, 1 - gamma, n, s), _averages(given, gamma, n, means)[1]
    return [
        (sums / counts[:, None], "The counts are not smoothed; ε goes to each of them."),
        (smoothed(*swapped), "γ and 1 - γ are swapped: the past has the weight γ."),
        (sums / (counts + eps)[:, None], "ε is added to the counts, but their total is not kept."),
        (with_total(LATENTS), "Smoothing keeps the total of the running counts, not the size of the batch."),
        (with_total(old.sum()), "Smoothing keeps the total of the counts after the update, not before it."),
        (smoothed(*again), "The latents have chosen among the new codes; they choose before the codes move."),
        (smoothed(*kept), "Count and sum of the code that nobody chose have not decayed; they do in every batch."),
        (stayed, "The code that nobody chose stays where it was; its count decays, and is smoothed like all."),
        (moved, "You have averaged codes with means of the batch; averaged are counts and sums, and e = m / N."),
        (codes - step, "You have moved the codes by a gradient; an EMA codebook takes no gradient step."),
        (smoothed(counts, mean), "The sums take in the sum of the latents, not their mean."),
        (smoothed(old + n, old_sums + s), "Nothing decays: γ weighs the past, 1 - γ the batch."),
        (smoothed(gamma * old + n, gamma * old_sums + s), "The batch comes in with weight 1; it has 1 - γ."),
        (torch.where(met, means, codes), "These are the means of the batch, as in k-means; the past is gone."),
        (codes, "This is the codebook before the update."),
    ]


def _distances(latents: Tensor, codes: Tensor) -> Tensor:
    return (latents[:, None] - codes).square().sum(dim=2)


def _tensor(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
