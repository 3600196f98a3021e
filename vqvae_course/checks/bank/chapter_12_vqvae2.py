"""Bank, notebook 12: what the bottom repeats."""

import math
from collections import Counter

import torch
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, close, recognise
from vqvae_course.checks.report import exercise

TITLE = "does the bottom repeat the top?"

TASK = r"""*difficulty ●●○ · 15 min · 3 points*

Above each code of the bottom stands one code of the top: top cell $(i, j)$ covers $a \times b$ bottom cells, $a$ down
and $b$ across, which may differ. Given the maps of many images, how many bits does a bottom code say that its top
code has said already? Take all pairs (a bottom code, the top code above it), of all images and places together, count
how often each pair occurs, $q(t, b)$, and return the *mutual information*

$$I = \sum_{t, b} q(t, b)\, \log_2 \frac{q(t, b)}{q(t)\, q(b)} .$$

If the bottom code is independent of the top code above it, $I$ is 0; if it only repeats it, $I$ is all that the
bottom code says. Codes may be any whole numbers from 0 to 500."""

STUB = '''def repeated_bits(top, bottom):
    """Return the mutual information of a bottom code and the top code above it, in bits.

    top: (B, h, w) int64. bottom: (B, a * h, b * w) int64, with whole numbers a and b.
    Returns: one number, not negative.
    """
    raise NotImplementedError
'''

QUESTION = r"""A model has $I = 1.9$ bits, where a bottom code has an entropy of 6.1 bits. (a) How many bits per
bottom code can a prior of the bottom save by looking at the one top code above it, compared with a prior that counts
bottom codes alone? (b) Why can the saving of a real conditional prior be smaller than $I$, and why can it be larger?
Two reasons for either. (c) Measured on 20 images, $I$ is 3.4 bits, and on 20 000 images of the same kind it is 1.9.
Nothing is wrong with the code. Explain."""

RUBRIC = """- **1 point**: (a) the right number, with the identity behind it.
- **2 points**: (b) at least one valid reason in each direction for 1 point, two in each for 2.
- **1 point**: (c) names the bias of counted tables, its sign, and what it depends on.
"""

WRITTEN_POINTS = 4


@exercise(points=3)
def repeated_bits(answer: Answer) -> None:
    """Judge ``repeated_bits(top, bottom)``: by entropies of pairs, counted one by one."""
    for images, (h, w), (a, b), sizes, link in (
        (3, (4, 5), (2, 3), (4, 6), 0.6),
        (2, (3, 2), (3, 1), (5, 4), 0.3),
        (4, (2, 3), (1, 2), (3, 3), 1.0),
        (1, (5, 4), (2, 2), (1, 7), 0.0),
        (5, (3, 4), (2, 2), (500, 501), 0.8),
    ):
        top = (sizes[0] * torch.rand(images, h, w) ** 1.5).long()
        repeat = torch.arange(a * h)[:, None] // a, torch.arange(b * w)[None] // b
        said = (top[:, repeat[0], repeat[1]] * 3 + 1) % sizes[1]
        bottom = torch.where(torch.rand(said.shape) < link, said, torch.randint(sizes[1], said.shape))
        got, right = answer.number(top, bottom), _information(top, bottom, a, b)
        if abs(got - right) < 1e-3:
            continue
        _judge_known(got, right, top, bottom, a, b)
        raise Mistake(
            "This is not the mutual information of a bottom code and the top code above it.",
            "Which top cell is above bottom cell (y, x)? Then it is a table of pairs, and three entropies.",
        )


def _entropy(symbols: list) -> float:
    n = len(symbols)
    return -math.fsum(count / n * math.log2(count / n) for count in Counter(symbols).values())


def _information(top: Tensor, bottom: Tensor, a: int, b: int) -> float:
    above, below = _pairs(top, bottom, a, b)
    return _entropy(above) + _entropy(below) - _entropy(list(zip(above, below, strict=True)))


def _pairs(top: Tensor, bottom: Tensor, a: int, b: int) -> tuple[list[int], list[int]]:
    above, below = [], []
    for image, codes in enumerate(bottom.tolist()):
        for y, row in enumerate(codes):
            for x, code in enumerate(row):
                above.append(int(top[image, min(y // a, top.shape[1] - 1), min(x // b, top.shape[2] - 1)]))
                below.append(code)
    return above, below


def _judge_known(got: float, right: float, top: Tensor, bottom: Tensor, a: int, b: int) -> None:
    above, below = _pairs(top, bottom, a, b)
    joint = _entropy(list(zip(above, below, strict=True)))
    tiled = top.repeat(1, a, b).flatten().tolist()
    wrong_way = _entropy(tiled) + _entropy(below) - _entropy(list(zip(tiled, below, strict=True)))
    single = sum(_information(t[None], o[None], a, b) for t, o in zip(top, bottom, strict=True)) / len(top)
    corner = _information(top, bottom[:, ::a, ::b], 1, 1)
    recognise(
        got,
        [
            (right * math.log(2), "This is in nats; bits are asked for.", "log₂"),
            (
                joint - _entropy(above),
                "This is what the bottom code says that the top has not said; asked for is what it repeats.",
                "The two add up to the whole entropy of the bottom code.",
            ),
            (joint - _entropy(below), "This is what the bottom leaves open about the top.", "Which way round?"),
            (joint, "This is the entropy of the pairs, all that the two say together.", "What is said twice?"),
            (_entropy(below), "This is all that a bottom code says.", "What of it has been said already?"),
            (
                wrong_way,
                "You lay the whole top map beside itself until it covers the bottom; each top cell covers a block of "
                "neighbours.",
                "1 2 becomes 1 1 2 2, and not 1 2 1 2.",
            ),
            (
                single,
                "You take the mean of what single images give; all pairs belong into one table.",
                "In one image a pair that occurs once looks like a law.",
            ),
            (corner, "Only one bottom code under each top code takes part; all of them do.", ""),
            (_information(top, bottom, b, a), "a and b are exchanged: a goes down, b across.", ""),
            (-right, "The sign is wrong.", "Which way up does the fraction stand?"),
            (right * bottom[0].numel(), "This is for a whole image; one code is asked for.", ""),
        ],
        5e-6,
    )
    if not close(got, right) and got < -1e-6:
        raise Mistake("Mutual information is never negative; yours is.", "Do all shares add up to 1?")
