"""Bank, notebook 09: a prior that learns while it is used."""

import math

import torch
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, close, recognise
from vqvae_course.checks.report import exercise

TITLE = "counting as you go"

TASK = r"""*difficulty ●●○ · 15 min · 2 points*

Exercise 9.3 counts in one set of maps and pays for another, and whoever is to read the message needs the table of
counts first. Here nobody sends a table. Sender and reader both start with a count of 1 for each of the $K$ codes. A
code costs what the counts *of this moment* say, $-\log$ of its share; **afterwards** both add it to their counts. So
both always have the same table.

Return the price of all the maps together in nats, one map after another, each in raster order, with counts that are
kept from map to map. The total, not a mean. $K$ may be 1."""

STUB = '''def price_as_you_go(indices, num_codes):
    """Return the total price in nats of maps, under counts that grow as they are read.

    indices: (M, h, w) int64 in [0, num_codes).
    num_codes: K, at least 1.
    Returns: one number, in nats.
    """
    raise NotImplementedError
'''

QUESTION = r"""(a) The price of a single code depends on what came before it. Show that the total does not depend on
the order of the codes. (b) Compare with the price under the best fixed table, $n\,H(\hat q)$ nats for $n$ codes with
shares $\hat q$, which the reader would have to be given. About how fast does the difference grow with $n$? A
measurement on synthetic codes for several $n$ is as good as a derivation. (c) What would you change so that the
counts follow maps whose statistics drift?"""

RUBRIC = """- **1 point**: (a) writes the product of all shares and says which factors occur, in whatever order.
- **2 points**: (b) compares the two prices on equal terms (1) and gives the kind of growth, with evidence (1).
- **1 point**: (c) proposes a forgetting count, with what it costs when nothing drifts.
"""

WRITTEN_POINTS = 4


@exercise(points=2)
def price_as_you_go(answer: Answer) -> None:
    """Judge ``price_as_you_go(indices, num_codes)``: the total has a closed form, by factorials."""
    for maps, height, width, size, skew in (
        (3, 4, 5, 6, 2.0),
        (1, 1, 1, 9, 1.0),
        (2, 3, 2, 1, 1.0),
        (5, 7, 3, 40, 3.0),
    ):
        indices = (size * torch.rand(maps, height, width) ** skew).long().clamp(max=size - 1)
        got, right = answer.number(indices, size), _total(indices, size)
        if abs(got - right) <= 1e-4 * max(1.0, right):
            continue
        _judge_known(got, indices, size, right)
        raise Mistake(
            "This is not the price of the maps under counts that grow as they are read.",
            "On paper, for the codes 0, 0, 1 with K = 2: the prices are log 2, log 3/2 and log 4.",
        )
    many = torch.randint(7, (6, 60, 70))
    if not close(answer.number(many, 7), _total(many, 7), 1e-4):
        raise Mistake("For many codes your total drifts away from the right one.", "Is float32 enough for the sum?")


def _total(indices: Tensor, size: int) -> float:
    counts = torch.bincount(indices.flatten(), minlength=size).tolist()
    total = math.lgamma(indices.numel() + size) - math.lgamma(size)
    return total - math.fsum(math.lgamma(count + 1) for count in counts)


def _judge_known(got: float, indices: Tensor, size: int, right: float) -> None:
    flat, n = indices.flatten(), indices.numel()
    counts = torch.bincount(flat, minlength=size).double()
    later = n - torch.arange(n).double()
    seen = [int((flat[:i] == code).sum()) for i, code in enumerate(flat.tolist())]
    before = torch.tensor(seen).double()
    after = torch.arange(n).double()
    recognise(
        got,
        [
            (
                -((counts + 1) / (n + size)).log()[flat].sum(),
                "You count all maps first and pay afterwards. The reader would need your table before the first code.",
                "What does the reader know when the third code arrives?",
            ),
            (
                -((before + 2) / (after + 1 + size)).log().sum(),
                "A code takes part in the counts that set its own price. The reader cannot count it before it is read.",
                "First pay, then count.",
            ),
            (-((before + 2) / (after + size)).log().sum(), "A code is counted before it is paid for.", "First pay."),
            (right / n, "This is the mean price of a code; the total is asked for.", ""),
            (right / math.log(2), "This is in bits; nats are asked for.", ""),
            (
                sum(_total(one, size) for one in indices),
                "Your counts start again with every map; they are to be kept.",
                "Where are the counts set to 1?",
            ),
            (n * math.log(size), "This is the price under a prior that never learns: log K for each code.", ""),
            (
                -((before + 1) / (after + 1)).log().sum(),
                "The counts you divide by leave out the 1 that each of the K codes starts with.",
                "What do all K counts sum to at the start?",
            ),
            (
                -((before + 1) / size).log().sum(),
                "Your shares are not divided by the sum of all counts at that moment, which grows.",
                "",
            ),
            (-((before + 1) / (later + size)).log().sum(), "The sum of all counts grows with what has been read.", ""),
        ],
        2e-6,
    )
