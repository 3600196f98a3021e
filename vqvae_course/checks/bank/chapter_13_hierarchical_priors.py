"""Bank, notebook 13: attention over a past in two parts."""

import torch
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, kind
from vqvae_course.checks.report import exercise

TITLE = "attention in two instalments"

TASK = r"""*difficulty ●●○ · 15 min · 3 points*

The past of a position is divided into two parts that do not overlap, say the top map and the earlier codes of the
bottom. Attention over each part alone has been computed already, with scores $s_j$ and values $v_j$:

$$\mathrm{out} = \frac{\sum_{j} \mathrm e^{s_j} v_j}{\sum_{j} \mathrm e^{s_j}} ,
\qquad \ell = \log \sum_{j} \mathrm e^{s_j} ,$$

where $j$ runs over the part. Scores and values have been thrown away. From `out` and $\ell$ of both parts, compute
`out` and $\ell$ of attention over the **union**. So attention can be added up in instalments, which is how it is done
when the past does not fit into memory.

Scores may be of any size from $-10\,000$ to $10\,000$. A position may have nobody to look at in a part: there
$\ell = -\infty$ and the output is all zeros. If it has nobody in either part, the result is again zeros and
$-\infty$, and never NaN."""

STUB = '''def merge_looks(out_a, log_a, out_b, log_b):
    """Merge attention over two disjoint sets of positions.

    out_a, out_b: (B, N, d) float tensors, the outputs for each of N positions.
    log_a, log_b: (B, N) of the same dtype, log-sum-exp of the scores; may be -inf.
    Returns: (out, log), of shapes (B, N, d) and (B, N), for the union of the two sets.
    """
    raise NotImplementedError
'''

QUESTION = r"""(a) Show that merging is associative: for three parts it does not matter which two are merged first.
What is its neutral element? (b) With this function somebody samples a bottom map of 64 × 64 codes and computes the
attention over the top's 1024 positions once for each bottom position, merging in the earlier codes of the bottom. Why
may the part over the top be computed for all positions in parallel, before the first code is drawn, *only if* a
certain quantity does not depend on the codes drawn? Which one, and does it in PixelSNAIL? (c) Why is it not enough to
hand on `out` alone?"""

RUBRIC = """- **1 point**: (a) associativity from numerators and denominators, and the neutral element with both its
  components.
- **1 point**: (b) names the quantity and answers for PixelSNAIL from what it is computed of.
- **1 point**: (c) an example or an argument in which equal outputs must be merged differently.
"""

WRITTEN_POINTS = 3


@exercise(points=3)
def merge_looks(answer: Answer) -> None:
    """Judge ``merge_looks(...)``: against attention over the whole past in one piece."""
    for batch, n, dim, left, right, scale, shift in (
        (2, 3, 4, 5, 7, 1.0, 0.0),
        (1, 6, 3, 2, 9, 4.0, 0.0),
        (3, 2, 5, 4, 3, 2.0, 9000.0),
        (2, 4, 1, 3, 2, 2.0, -9000.0),
        (2, 5, 3, 6, 4, 3000.0, 0.0),
    ):
        scores = scale * torch.randn(batch, n, left + right, dtype=torch.float64) + shift
        scores[..., left:] += 1.5  # so that the parts do not weigh alike
        values = torch.randn(batch, left + right, dim, dtype=torch.float64)
        empty = shift != 0 or scale > 4
        if empty:
            scores[:, 0, :left] = -torch.inf
            scores[0, 1] = -torch.inf
        parts = [*_attention(scores[..., :left], values[:, :left]), *_attention(scores[..., left:], values[:, left:])]
        out, log = _pair(answer(*parts), parts)
        right_out, right_log = _attention(scores, values)
        if bool(out.isnan().any()) or bool(log.isnan().any()):
            raise Mistake(
                "Your result has NaN in it, "
                + ("where a part is empty or scores are large." if empty else "although no part is empty."),
                "exp(9000) is infinite, and so is -(-inf); what is their difference or their quotient? What may be "
                "subtracted from both logarithms?",
            )
        _judge_log(log, right_log, parts)
        _judge_out(out, right_out, parts)


def _attention(scores: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return output and log-sum-exp of attention, zeros and -inf where nobody is looked at."""
    nobody = scores.isneginf().all(2)
    weights = torch.where(nobody[..., None], 0.0, scores).softmax(2).masked_fill(nobody[..., None], 0)
    peak = torch.where(nobody, 0.0, scores.amax(2))
    return weights @ values, (scores - peak[..., None]).exp().sum(2).log() + peak


def _pair(value: object, parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    if not isinstance(value, tuple | list) or len(value) != 2 or not all(isinstance(v, Tensor) for v in value):
        raise Mistake(f"A pair of tensors (out, log) is asked for; {kind(value)} came back.")
    out, log = value
    if out.shape == parts[1].shape and log.shape == parts[0].shape:
        raise Mistake("The two results are in the wrong order: the output comes first.")
    for name, mine, like in (("out", out, parts[0]), ("log", log, parts[1])):
        if mine.shape != like.shape:
            raise Mistake(f"{name} has shape {tuple(mine.shape)}; {tuple(like.shape)} is asked for.")
    return out.detach().double(), log.detach().double()


def _same(a: Tensor, b: Tensor) -> bool:
    both = a.isneginf() & b.isneginf()
    return torch.allclose(a.masked_fill(both, 0), b.masked_fill(both, 0), rtol=1e-6, atol=1e-4)


def _judge_log(log: Tensor, right: Tensor, parts: list[Tensor]) -> None:
    if _same(log, right):
        return
    log_a, log_b = parts[1], parts[3]
    if _same(log, log_a + log_b):
        raise Mistake("You add the two logarithms, which multiplies the sums; the sums are to be added.", "")
    if _same(log, torch.maximum(log_a, log_b)):
        raise Mistake(
            "Your log is the larger of the two. That is right only if one part outweighs the other.",
            "Two equally heavy parts weigh twice as much as one.",
        )
    if _same(log, (log_a + log_b) / 2):
        raise Mistake("Your log is the mean of the two logarithms; it is the logarithm of a sum.", "")
    nobody = right.isneginf()
    if bool(nobody.any()) and not bool(log[nobody].isneginf().all()):
        raise Mistake("Where both parts are empty, log must be -inf: the sum over nobody is 0.", "")
    if not bool(torch.isfinite(log[~nobody]).all()):
        raise Mistake(
            "Your log is infinite where the scores are large.",
            "What may be taken out of the sum before exp is called?",
        )
    raise Mistake("Your log is not the logarithm of the sum over both parts.", "What is Σ over the union?")


def _judge_out(out: Tensor, right: Tensor, parts: list[Tensor]) -> None:
    if torch.allclose(out, right, rtol=1e-4, atol=1e-4):
        return
    out_a, log_a, out_b, log_b = parts
    share = torch.sigmoid(torch.nan_to_num(log_a - log_b, nan=0.0))[..., None]
    for mine, message, hint in (
        (
            (out_a + out_b) / 2,
            "You take the mean of the two outputs. A part that holds one position of little weight counts as much as "
            "one with a hundred.",
            "How much weight has each part in the union?",
        ),
        (out_a + out_b, "You add the two outputs; their weights then add up to 2.", ""),
        (
            share * out_b + (1 - share) * out_a,
            "The weights of the two parts are exchanged: the part with the smaller sum weighs more.",
            "",
        ),
        (
            torch.where((log_a > log_b)[..., None], out_a, out_b),
            "Only the heavier part counts in yours; the other has its share too.",
            "",
        ),
    ):
        if torch.allclose(out, mine, rtol=1e-4, atol=1e-4):
            raise Mistake(message, hint)
    nobody = (log_a.isneginf() & log_b.isneginf())[..., None]
    if torch.allclose(out.masked_fill(nobody, 0), right, rtol=1e-4, atol=1e-4):
        raise Mistake("Where both parts are empty, the output must be zeros.")
    raise Mistake(
        "The output is not that of attention over both parts together.",
        "Multiply each output by its denominator, and you have the numerators back.",
    )
