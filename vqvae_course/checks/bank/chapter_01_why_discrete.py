"""Bank, notebook 01: a bound from several draws."""

import torch

from vqvae_course.checks.answer import Answer, Mistake, recognise
from vqvae_course.checks.report import exercise

TITLE = "many looks at one picture"

TASK = r"""*difficulty ●●○ · 15 min · 3 points*

Instead of one choice, draw $S$ of them, $z_1, \dots, z_S$, independently from the posterior $q(z \mid x)$. Each gives
a weight

$$w_s = \frac{p(x, z_s)}{q(z_s \mid x)} .$$

The mean of the weights, $\frac1S \sum_s w_s$, is on average exactly $p(x)$ if $q$ rules out nothing that is possible.
Its logarithm is a bound on $\log p(x)$: with $S = 1$ it is, on average, the ELBO, and with more draws it comes
closer. Return it for $N$ pictures at once, in nats.

You are given logarithms, since the probabilities of real pictures are numbers like $\mathrm e^{-900}$. A draw may be
impossible, $\log p(x, z_s) = -\infty$ (its weight is 0), but at least one draw of each picture is possible. $\log q$
is finite."""

STUB = '''def bound_of_many(log_joint, log_q):
    """Return the logarithm of the mean weight of S draws, in nats.

    log_joint: (S, N) float tensor, log p(x_n, z_sn) of draw s for picture n; may be -inf.
    log_q: (S, N) float tensor, log q(z_sn | x_n).
    Returns: (N,) tensor of the same dtype.
    """
    raise NotImplementedError
'''

QUESTION = r"""For one picture the bound of one draw, averaged over many repetitions, is 12 nats below $\log p(x)$.
With 5000 draws at once it is 4 nats below. (a) Use Jensen's inequality to say why the second gap cannot be larger
than the first. (b) A student concludes: "So with enough draws the posterior does not matter." Under what condition is
that right in the limit, what does it cost, and what happens if the posterior is one-hot, as in a VQ-VAE?"""

RUBRIC = """- **1 point**: (a) applies Jensen to the mean of the weights, with the logarithm on the correct side, and
  names what is averaged over.
- **1 point**: (b) names the condition on where the posterior is positive, and that the number of draws needed depends
  on how uneven the weights are.
- **1 point**: (b) says what several draws from a one-hot posterior are worth, and why.
"""

WRITTEN_POINTS = 3


@exercise(points=3)
def bound_of_many(answer: Answer) -> None:
    """Judge ``bound_of_many(log_joint, log_q)``: with the bound taken off, the weights have mean 1."""
    for draws, pictures, level, possible, dtype in (
        (1, 3, -5.0, 1.0, torch.float32),
        (6, 4, -2.0, 1.0, torch.float32),
        (9, 2, -900.0, 1.0, torch.float64),
        (7, 5, -1300.0, 0.6, torch.float32),
        (4, 3, 400.0, 0.5, torch.float64),  # densities can be large
    ):
        log_joint = level + 3 * torch.randn(draws, pictures, dtype=dtype)
        log_joint[1:][torch.rand(draws - 1, pictures) > possible] = -torch.inf
        log_q = -(0.3 + 2 * torch.rand(draws, pictures, dtype=dtype))
        got = _finite(answer, log_joint, log_q)
        log_weights = log_joint.double() - log_q.double()
        if bool((((log_weights - got).exp().mean(0) - 1).abs() < 2e-3).all()):
            continue
        total = (log_weights - log_weights.amax(0)).exp().sum(0).log() + log_weights.amax(0)
        joint = log_joint.double()
        alone = (joint - joint.amax(0)).exp().mean(0).log() + joint.amax(0)
        recognise(
            got,
            [
                (
                    log_weights.mean(0),
                    "You take the mean of the logarithms. That is the bound of one draw, measured more precisely; "
                    "more draws do not bring it closer.",
                    "On which side of the logarithm does the mean over the draws stand?",
                ),
                (
                    total,
                    "This grows without end as draws are added, even if all have the same weight.",
                    "Is it a sum or a mean of the weights?",
                ),
                (
                    alone,
                    "q takes no part in it. Choices that the posterior prefers are drawn too often, and nothing "
                    "makes up for that.",
                    "What does a draw weigh that q makes twice as often?",
                ),
                (log_weights.amax(0), "This is the best draw alone; all draws count.", ""),
                (
                    (joint + log_q.double()).exp().mean(0).log(),
                    "You multiply by q; a weight divides by it.",
                    "A quotient, as a difference of logarithms.",
                ),
                (log_weights.sum(0), "You multiply the weights of the draws; their mean is asked for.", ""),
            ],
            tolerance=1e-5 if dtype == torch.float64 else 2e-6,
        )
        raise Mistake(
            "If your number is taken off all log-weights of a picture, the mean of the weights must be 1; it is not.",
            "Write the weights as logarithms first. Then ask what the mean over the draws is.",
        )


def _finite(answer: Answer, log_joint: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    try:
        return answer.tensor(log_joint, log_q, shape=log_joint.shape[1:]).detach().double()
    except Mistake as mistake:
        if "infinite" not in mistake.message:
            raise
        raise Mistake(
            "Your bound is infinite or NaN where the log-probabilities are around -900, or where one draw is "
            "impossible.",
            "exp(-900) is 0 in floating point. What can be taken out of the sum before exp? And -inf - (-inf) is NaN.",
        ) from mistake
