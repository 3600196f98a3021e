"""Bank, notebook 11: a prior as a classifier."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, recognise
from vqvae_course.checks.report import exercise

TITLE = "half a digit, and what it may become"

TASK = r"""*difficulty ●●○ · 20 min · 3 points*

A prior that knows the class, $p(k \mid c)$, can be read backwards: seeing codes, which class is it? And it need not
see all of them. Given only the first `rows` rows of each map, return the probability of every class,

$$p(c \mid k_1, \dots, k_{\text{rows} \cdot w}) .$$

`prior(indices, labels)` takes maps (B, h, w) and labels (B,) and returns logits (B, K, h, w), not normalised, causal
in raster order, of any size up to the hundreds. Classes are not equally common: `class_probs` says how common each is
before anything is seen. What stands in the rows below is of no account: it holds whatever happened to be there.
`rows` may be 0, and it may be $h$. The prior is large: call it for one class at a time or for all at once, but not
for one position at a time (the check counts the maps it is shown)."""

STUB = '''def class_posterior(prior, indices, rows, class_probs):
    """Return the probability of each class, given the first rows of each map.

    prior: prior(indices, labels) -> (B, K, h, w) logits; labels (B,) int64.
    indices: (B, h, w) int64; only the first rows of each map are known.
    rows: how many rows are known, 0 ... h.
    class_probs: (C,) float tensor, how common the classes are; positive, adds up to 1.
    Returns: (B, C) float tensor; each row adds up to 1.
    """
    raise NotImplementedError
'''

QUESTION = r"""(a) Why may the logits of the known rows be used although the rows below hold nonsense? With which of
the networks of notebook 10 would this go wrong? (b) The prior was trained with labels dropped at random, so that it
also gives $p(k)$ without a class. A student has $p(k \mid c)$ and $p(k)$ from it and wants $p(c \mid k)$ for *one*
class without running the others. Which formula, and what would you check before trusting it? (c) The posteriors for
whole maps come out as 1.000 for one class, nearly always, and are wrong in 6 % of cases. What does that tell you
about the prior?"""

RUBRIC = """- **1 point**: (a) argues from causality, and names a network or mask that breaks the argument.
- **1 point**: (b) gives the formula with all its factors and a consistency check between the two outputs.
- **1 point**: (c) connects overconfidence with how many log-probabilities are added up, and not only with too little
  data.
"""

WRITTEN_POINTS = 3


class _Prior:
    """A causal prior without a network: logits depend on class, place, and the codes above and to the left."""

    def __init__(self, classes: int, size: int, height: int, width: int, scale: float, offset: float):
        self.height, self.width, self.size, self.classes = height, width, size, classes
        self.place = torch.randn(classes, size, height, width)
        self.left, self.above = torch.randn(2, classes, size + 1, size)
        self.scale, self.offset = scale, offset
        self.shown = 0

    def __call__(self, indices: Tensor, labels: Tensor) -> Tensor:
        if not isinstance(labels, Tensor) or labels.shape != indices.shape[:1] or labels.dtype != torch.int64:
            raise Mistake(
                "The prior needs labels: an int64 tensor with one class for each map it is shown.",
                "Which class does it cost to explain this map?",
            )
        self.shown += len(indices)
        left = F.pad(indices, (1, 0), value=self.size)[:, :, :-1]
        above = F.pad(indices, (0, 0, 1, 0), value=self.size)[:, :-1]
        who = labels[:, None, None]
        near = self.left[who, left] + self.above[who, above]  # (B, h, w, K)
        # Unnormalised, differently for each class, so that raw logits mislead
        return self.scale * (self.place[labels] + near.movedim(3, 1)) + self.offset * labels[:, None, None, None]


@exercise(points=3)
def class_posterior(answer: Answer) -> None:
    """Judge ``class_posterior(...)``: on a prior whose every number is known."""
    for batch, classes, size, shape, rows, scale, offset in (
        (3, 4, 5, (4, 6), 2, 0.15, 0.3),
        (2, 3, 6, (5, 3), 5, 0.12, 0.0),
        (4, 5, 3, (3, 4), 0, 0.3, 1.0),
        (2, 3, 7, (6, 9), 5, 40.0, 100.0),
    ):
        prior = _Prior(classes, size, *shape, scale, offset)
        indices = torch.randint(size, (batch, *shape))
        class_probs = torch.softmax(1.3 * torch.randn(classes), dim=0)
        got = _probabilities(answer, prior, indices, rows, class_probs)
        if prior.shown > 2 * batch * classes:
            raise Mistake(
                f"The prior was shown {prior.shown} maps; {batch} maps and {classes} classes need no more than "
                f"{batch * classes}.",
                "One call gives the logits of all positions.",
            )
        nats = _nats(prior, indices, classes)  # (B, C, h, w)
        _judge(got, nats, rows, class_probs, prior, indices)
        other = indices.clone()
        other[:, rows:] = torch.randint(size, other[:, rows:].shape)
        again = _probabilities(answer, prior, other, rows, class_probs)
        if not torch.allclose(got, again, atol=1e-3):
            raise Mistake("Your answer depends on the codes of rows that are not known.")


def _probabilities(answer: Answer, prior: Callable, indices: Tensor, rows: int, class_probs: Tensor) -> Tensor:
    shape = (len(indices), len(class_probs))
    try:
        return answer.tensor(prior, indices, rows, class_probs, shape=shape).detach().double()
    except Mistake as mistake:
        if "infinite" not in mistake.message:
            raise
        raise Mistake(
            "Your probabilities are NaN or infinite: for large logits, or for many codes, every class has a "
            "probability that rounds to 0.",
            "Stay with logarithms until the very end.",
        ) from mistake


def _nats(prior: _Prior, indices: Tensor, classes: int) -> Tensor:
    """Return what each code costs under each class."""
    costs = []
    for c in range(classes):
        logits = prior(indices, torch.full((len(indices),), c)).double()
        costs.append(F.cross_entropy(logits, indices, reduction="none"))
    return torch.stack(costs, dim=1)


def _judge(got: Tensor, nats: Tensor, rows: int, class_probs: Tensor, prior: _Prior, indices: Tensor) -> None:
    base, known = class_probs.double().log(), nats[:, :, :rows].sum((2, 3))
    # Differences in price, as odds against each class: no normalisation takes part
    odds = (known[:, :, None] - known[:, None, :]) + (base[None, :] - base[:, None])
    right = 1 / odds.exp().sum(2)
    if torch.allclose(got, right, atol=2e-3):
        return
    classes = nats.shape[1]
    raw = torch.stack(
        [
            prior(indices, torch.full((len(indices),), c)).double().gather(1, indices[:, None])[:, 0]
            for c in range(classes)
        ],
        dim=1,
    )[:, :, :rows].sum((2, 3))

    def posterior(evidence: Tensor, start: Tensor | float = base) -> Tensor:
        return torch.softmax(evidence + start, dim=1)

    positions = max(1, rows * nats.shape[3])
    recognise(
        got,
        [
            (
                posterior(-known, 0.0),
                "class_probs takes no part: a rare class must explain the codes better to be as probable.",
                "What is the answer for rows = 0?",
            ),
            (
                posterior(-nats.sum((2, 3))),
                "All rows take part, also those that are not known.",
                "Which positions' prices may be added?",
            ),
            (
                posterior(-known / positions),
                "You take the mean price of a code. Evidence adds up: twenty codes that speak for a class say more "
                "than one.",
                "The probability of several codes is a product.",
            ),
            (posterior(-nats[:, :, rows:].sum((2, 3))), "You use the rows that are not known, and not the others.", ""),
            (
                posterior(-nats[:, :, :, :rows].sum((2, 3))),
                "You cut off columns; rows are asked for.",
                "Which axis is which in (B, h, w)?",
            ),
            (
                posterior(raw),
                "You add up logits as they are. They are not normalised, and differently so for each class.",
                "What turns logits into log-probabilities, and along which axis?",
            ),
            (
                posterior(known),
                "Your signs are turned round: the class that explains the codes worst gets the most.",
                "A price is minus a log-probability.",
            ),
            (
                posterior(-known, class_probs.double()),
                "class_probs is added to logarithms; is it one?",
                "A product of probabilities is a sum of their logarithms.",
            ),
            (
                torch.exp(base - known),
                "These are joint probabilities of class and codes; over the classes they do not add up to 1.",
                "",
            ),
            (torch.exp(-known), "These are probabilities of the codes given the class, not of the class.", ""),
            (
                F.one_hot(right.argmax(1), classes).double(),
                "This is the most probable class with all of the probability; each class has a share.",
                "",
            ),
        ],
        1e-4,
    )
    if not torch.allclose(got.sum(1), torch.ones(len(got), dtype=torch.float64), atol=1e-3):
        raise Mistake("Your rows do not add up to 1 over the classes.", "What is the same for all classes cancels.")
    raise Mistake(
        "These are not the probabilities of the classes given the known rows.",
        "By Bayes' rule: how common a class is, times how probable it makes what is known. Is every map seen with "
        "every class?",
    )
