"""Bank, notebook 08: coders in a mixture."""

import torch
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, recognise
from vqvae_course.checks.report import exercise

TITLE = "which coder for which share of the images?"

TASK = r"""*difficulty ●●● · 20 min · 4 points*

You have trained $n$ coders. Coder $i$ needs `rates[i]` bits an image and makes a mean squared error of `errors[i]`. A
server may spend `budget` bits an image *on average*. You are free to send some images through one coder and some
through another, at random: a fraction $f_i$ of the images goes to coder $i$.

Choose the fractions such that the mean rate is at most the budget and the mean error (error, not PSNR) is as small as
possible. Coders are in no particular order; some may be useless, and more bits do not always mean less error. At
least one coder's rate is below the budget. Any best answer is accepted; the mean error has to be right to one part in
a thousand."""

STUB = '''def mix_coders(rates, errors, budget):
    """Return the fractions of the images that go to each coder.

    rates: (n,) float64 tensor, bits an image. errors: (n,) float64, mean squared errors.
    budget: bits an image on average, a float, more than the smallest rate.
    Returns: (n,) tensor of fractions, none negative, which add up to 1.
    """
    raise NotImplementedError
'''

QUESTION = r"""(a) Draw four coders in the plane of rate and error such that one of them is on the Pareto front
(nothing dominates it) and yet gets a fraction of 0 for every budget. (b) Somebody proposes to choose the mixture with
the best mean PSNR, averaged over images. Which coders does that favour, and why? (c) For a given picture the error of
coder $i$ may be far from its mean. How could images be given to coders better than at random, at the same mean rate?"""

RUBRIC = """- **1 point**: (a) a correct example, with the line that rules the coder out.
- **1 point**: (b) names what the logarithm does to coders with a very small error.
- **1 point**: (c) proposes a rule that compares, image by image, the error saved with the bits spent.
"""

WRITTEN_POINTS = 3


@exercise(points=4)
def mix_coders(answer: Answer) -> None:
    """Judge ``mix_coders(rates, errors, budget)``: feasible, and as good as a bound from below says is possible."""
    for rates, errors, budget in _cases():
        got = answer.tensor(rates, errors, budget, shape=rates.shape).detach().double()
        if float(got.min()) < -1e-6:
            raise Mistake("One of your fractions is negative.", "The budget lies between the rates you mix, or above.")
        if abs(float(got.sum()) - 1) > 1e-4:
            raise Mistake("The fractions do not add up to 1: every image needs a coder, and one alone.")
        rate, error = float(got @ rates), float(got @ errors)
        if rate > budget * (1 + 1e-4):
            raise Mistake("Your mixture needs more bits than the budget allows.", "The mean rate is Σ fraction · rate.")
        least = _bound(rates, errors, budget)
        if error <= least * (1 + 1e-3):
            continue
        bracket = _bracket(rates, errors, budget)
        known = [
            (
                _single(rates, errors, budget),
                "This is the best single coder within the budget. A mixture with a more expensive one does better, "
                "and its mean rate is within the budget too.",
                "What is left of the budget?",
            ),
            (
                bracket,
                "You mix the two coders whose rates are next to the budget. There are two others whose connecting line "
                "runs below theirs.",
                "The best curve never lies above a chord.",
            ),
        ]
        recognise(got, known, 1e-4)
        psnr = _bound(rates, 10 * errors.log10(), budget)
        if float(got @ (10 * errors.log10())) <= psnr + 1e-6:
            raise Mistake("Your mixture has the best mean PSNR; the mean error is to be small.", "Error first.")
        if rate < budget * (1 - 1e-3):
            raise Mistake(
                "Your mixture leaves bits unspent that would make the error smaller.",
                "Which coder could take some of the images?",
            )
        raise Mistake(
            "Your mixture spends the budget, but another one reaches a smaller mean error with it.",
            "How many coders does a best mixture need at most? Then how many candidates are there?",
        )


def _cases() -> list[tuple[Tensor, Tensor, float]]:
    fixed = [
        # The second coder is on the Pareto front and above the chord from the first to the third
        ([100.0, 200.0, 300.0, 700.0], [0.10, 0.085, 0.03, 0.02], 240.0),
        ([100.0, 200.0, 300.0, 700.0], [0.10, 0.085, 0.03, 0.02], 190.0),
        ([64.0, 256.0], [0.09, 0.011], 131.0),  # PSNR would choose alike; a mixture is needed
        ([50.0, 400.0, 900.0], [0.08, 0.03, 0.0000004], 500.0),
        ([80.0, 160.0, 320.0], [0.05, 0.02, 0.03], 300.0),  # more bits, more error
        ([120.0], [0.04], 500.0),
    ]
    cases = []
    for rates, errors, budget in fixed:
        order = torch.randperm(len(rates))
        jitter = 1 + 0.02 * torch.rand(2, dtype=torch.float64)
        cases.append(
            (
                torch.tensor(rates, dtype=torch.float64)[order] * jitter[0],
                torch.tensor(errors, dtype=torch.float64)[order] * jitter[1],
                budget * float(jitter[0]),
            )
        )
    rates = 50 + 900 * torch.rand(9, dtype=torch.float64)
    errors = 0.1 * torch.exp(-rates / 300) * (0.7 + 0.6 * torch.rand(9, dtype=torch.float64))
    cases.append((rates, errors, float(rates.min()) + 0.5 * float(rates.max() - rates.min())))
    return cases


def _bound(rates: Tensor, errors: Tensor, budget: float) -> float:
    """Return the least mean error from the dual problem: a price per bit, and no fractions at all."""
    difference = rates[:, None] - rates[None]
    slopes = -(errors[:, None] - errors[None])[difference != 0] / difference[difference != 0]
    prices = torch.cat([torch.zeros(1, dtype=torch.float64), slopes[slopes > 0]])
    return float((errors + prices[:, None] * (rates - budget)).amin(1).max())


def _single(rates: Tensor, errors: Tensor, budget: float) -> Tensor:
    best = torch.where(rates <= budget, errors, torch.inf).argmin()
    return torch.nn.functional.one_hot(best, len(rates)).double()


def _bracket(rates: Tensor, errors: Tensor, budget: float) -> Tensor:
    below, above = torch.where(rates <= budget, rates, -torch.inf), torch.where(rates > budget, rates, torch.inf)
    low, high = int(below.argmax()), int(above.argmin())
    fractions = torch.zeros_like(rates)
    if not bool((rates > budget).any()):
        fractions[low] = 1
        return fractions
    fractions[high] = (budget - rates[low]) / (rates[high] - rates[low])
    fractions[low] = 1 - fractions[high]
    return fractions
