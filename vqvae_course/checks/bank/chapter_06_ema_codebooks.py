"""Bank, notebook 06: what a code remembers."""

import torch
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, close, recognise
from vqvae_course.checks.report import exercise

TITLE = "what a code remembers"

TASK = r"""*difficulty ●●● · 20 min · 3 points*

One code of an EMA codebook starts with count $N = 1$ and sum $m = e_0$, and lives through $T$ batches by eqs. 6 and
7, without smoothing. In batch $t$ it was chosen by `counts[t - 1]` latents, perhaps by none. Its value today is a
weighted mean of all it has met:

$$\frac{m}{N} \;=\; w_0\, e_0 \;+\; \sum_{t=1}^{T} w_t \sum_{j} z^{(t)}_{j} .$$

Return the weights: first $w_0$, then for each batch, oldest first, the weight $w_t$ of *one* latent of that batch;
where no latent chose the code, return 0.

Histories can be long: several thousand batches, with γ down to 0.3 and float64. A code that has not been chosen for
the last 4000 batches still stands somewhere, and its weights are ordinary numbers."""

STUB = '''def latent_weights(counts, decay):
    """Return the weights of the start and of one latent of each batch in the code.

    counts: (T,) int64, how many latents chose the code in each batch, oldest first.
    decay: gamma in (0, 1).
    Returns: (T + 1,) float64: the weight of the start code, then those of the batches.
    """
    raise NotImplementedError
'''

QUESTION = r"""(a) A code is chosen in every tenth batch only, by 10 latents; another one in every batch, by one
latent. After a very long time, which of the two is more strongly influenced by its most recent ten latents? Argue
with the weights. (b) A third code has been chosen by nobody for 4000 batches. Now a single latent chooses it. Where
does the code stand afterwards, and what do you expect training to look like around such a code? What would Laplace
smoothing change?"""

RUBRIC = """- **1 point**: (a) works out the share of the ten latest latents for both codes, and draws the conclusion.
- **1 point**: (b) says where the code lands and why, from the running count.
- **1 point**: (b) describes a consequence for training, and what smoothing does to a code with so small a count.
"""

WRITTEN_POINTS = 3


@exercise(points=3)
def latent_weights(answer: Answer) -> None:
    """Judge ``latent_weights(counts, decay)``: lives are simulated, and the weights must explain them."""
    for batches, decay, idle in ((5, 0.8, 0), (9, 0.6, 1), (1, 0.5, 0), (12, 0.9, 3), (7, 0.99, 2)):
        counts = torch.randint(1, 6, (batches,))
        counts[1 + torch.randperm(batches - 1)[: batches // 3]] = 0
        if idle:
            counts[-idle:] = 0
        got = answer.tensor(counts, decay, shape=(batches + 1,)).double()
        if bool((got[1:][counts == 0] != 0).any()):
            raise Mistake("A batch in which no latent chose the code has a weight; return 0 there.")
        _judge_known(got, counts, decay)
        if not close(float(got[0] + (got[1:] * counts).sum()), 1, 1e-4):
            raise Mistake(
                "The weights of all latents and of the start do not add up to 1, so this is no mean.",
                "w_t is the weight of one latent, and all latents of that batch have it.",
            )
        for _ in range(3):
            start, sums = torch.randn((), dtype=torch.float64), torch.randn(batches, dtype=torch.float64) * counts
            code = _live(start, sums, counts, decay)
            if abs(float(got[0] * start + (got[1:] * sums).sum()) - code) > 1e-4:
                raise Mistake(
                    "The weights add up to 1, but they do not explain where the code stands.",
                    "By what is a latent multiplied in the batch it arrives in, and by what in every later batch?",
                )
    _judge_long(answer)


def _live(start: Tensor, sums: Tensor, counts: Tensor, decay: float) -> float:
    count, total = 1.0, float(start)
    for n, added in zip(counts.tolist(), sums.tolist(), strict=True):
        count += (1 - decay) * (n - count)
        total += (1 - decay) * (added - total)
    return total / count


def _judge_known(got: Tensor, counts: Tensor, decay: float) -> None:
    met, n = counts > 0, counts.double()
    age = torch.arange(len(counts) - 1, -1, -1).double()
    own_clock = n.gt(0).double().flip(0).cumsum(0).flip(0) - 1  # counts only the batches that chose the code

    def weights(start: float, ages: Tensor, gain: float, share: Tensor | float = 1.0) -> Tensor:
        w = torch.cat([torch.tensor([start], dtype=torch.float64), gain * decay**ages * met * share])
        return w / (w[0] + (w[1:] * n).sum())

    fresh, steps = 1 - decay, len(counts)
    known = [
        (
            weights(decay**steps, age, 1.0),
            "In the end only the start weighs too little: a latent comes in with weight 1 - γ, the start with 1.",
            "Eq. 6 again: what stands before n?",
        ),
        (
            weights(decay**steps, age.flip(0), fresh),
            "The oldest batches weigh most; the code forgets, so they should weigh least.",
            "counts holds the oldest batch first.",
        ),
        (
            weights(0.0, age, fresh),
            "The start has no weight; it fades like everything else, but it was there.",
            "N starts at 1, and not at 0.",
        ),
        (
            weights(1.0, age, fresh),
            "The start does not fade in yours.",
            "Every batch multiplies the old count and the old sum by γ.",
        ),
        (
            weights(decay ** float(met.sum()), own_clock, fresh),
            "In yours, time stands still for a code while nobody chooses it. But N and m are multiplied by γ in every "
            "batch.",
            "The quotient stays; the weight against latents that come later does not.",
        ),
        (
            weights(decay**steps, age, fresh, 1 / n.clamp(min=1)),
            "In yours every batch has the same influence, however many latents it brought.",
            "m takes in the sum of the latents, not their mean.",
        ),
    ]
    unnormalised = torch.cat([torch.tensor([decay**steps], dtype=torch.float64), fresh * decay**age * met])
    count = unnormalised[0] + (unnormalised[1:] * n).sum()
    known.append((unnormalised, "These are the weights in m; the code is m / N.", "What do they add up to?"))
    whole = unnormalised / count * torch.cat([torch.ones(1, dtype=torch.float64), n])
    known.append((whole, "These are the weights of whole batches; that of one latent is asked for.", ""))
    truth = unnormalised / count
    if not torch.allclose(got, truth, rtol=1e-5, atol=1e-9):
        recognise(got, known, 1e-6)


def _judge_long(answer: Answer) -> None:
    """Whether numbers survive a long idleness: nothing changes in the weights while nobody comes."""
    short = torch.tensor([2, 0, 3, 1])
    known = answer.tensor(short, 0.3, shape=(5,)).double()
    for counts, decay, wanted in (
        (torch.cat([short, torch.zeros(4000, dtype=torch.int64)]), 0.3, known),
        (torch.zeros(3000, dtype=torch.int64), 0.4, torch.ones(1, dtype=torch.float64)),
    ):
        try:
            got = answer.tensor(counts, decay, shape=(len(counts) + 1,)).double()
        except Mistake as mistake:
            if "infinite" not in mistake.message and "division" not in mistake.message.lower():
                raise
            raise Mistake(
                "After thousands of batches without a latent, your weights are NaN or infinite.",
                "γ to the power 4000 is 0 in floating point. Does the last, idle stretch change the quotient at all?",
            ) from mistake
        if not torch.allclose(got[: len(wanted)], wanted, rtol=1e-4, atol=1e-9) or bool(got[len(wanted) :].any()):
            raise Mistake(
                "While nobody chooses the code, its weights must stay as they were; yours change in the long run.",
                "γ to the power 4000 is 0 in floating point. What matters is how old batches are relative to each "
                "other.",
            )
