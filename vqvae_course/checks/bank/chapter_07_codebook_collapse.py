"""Bank, notebook 07: the codes that a line of latents can meet."""

import torch
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, kind
from vqvae_course.checks.report import exercise

TITLE = "the codes on the way"

TASK = r"""*difficulty ●●● · 25 min · 4 points*

Early in training the latents of an encoder often lie almost on a line. Take that literally: all latents lie on the
straight segment from `a` to `b`, at $z(t) = a + t\,(b - a)$ with $0 \le t \le 1$, in $D$ dimensions. A code that is
nearest to none of these points is dead, whatever the data.

Return the codes that are alive, in the order in which somebody walking from `a` to `b` meets them. Some are alive on
a very short stretch only, less than a millionth of the way, so trying many points is not enough. Where exactly does
the nearest code change? All is float64, and no three codes are equally near at the same point."""

STUB = '''def codes_on_the_way(a, b, codebook):
    """Return the codes that are nearest somewhere on a segment, in the order of the walk.

    a, b: (D,) float64 tensors, the ends of the segment; they differ.
    codebook: (K, D) float64 tensor, no two codes equal.
    Returns: list of indices into the codebook, from that nearest to a to that nearest to b.
    """
    raise NotImplementedError
'''

QUESTION = r"""(a) Show that no code can appear twice in the list, in any dimension. (b) Codes are drawn at random
from $\mathcal N(0, \sigma^2 I)$ in 64 dimensions, latents lie on a short segment near the origin. What happens to the
number of living codes as σ grows from very small to very large, compared with the length of the segment? (c) Name a
cure from the notebook that works in this situation whatever σ is, and say why."""

RUBRIC = """- **1 point**: (a) a valid argument, from the distances along the line or from the shape of the cells.
- **1 point**: (b) describes both ends and gives a reason in terms of distances or borders.
- **1 point**: (c) a cure from the notebook, with the reason why the scale of the start drops out.
"""

WRITTEN_POINTS = 3


@exercise(points=4)
def codes_on_the_way(answer: Answer) -> None:
    """Judge ``codes_on_the_way(a, b, codebook)``: between all pairwise borders, look once."""
    for a, b, codebook in (_plain(), *(_case(*size) for size in ((3, 7, 1.0), (2, 9, 0.4), (1, 6, 1.0))), *_special()):
        got = _indices(answer(a, b, codebook), len(codebook))
        right = _walk(a, b, codebook)
        if got == right:
            continue
        if got == right[::-1]:
            raise Mistake("The codes are right, but in the order from b to a.")
        if len(set(got)) < len(got):
            raise Mistake("A code appears more than once in your list; the walk meets each at most once.")
        if set(got) == set(right):
            raise Mistake(
                "The codes are right, but not in the order in which they are met.", "Where on the way does each begin?"
            )
        extra, missing = set(got) - set(right), set(right) - set(got)
        if not extra and right[0] in got and right[-1] in got and len(got) <= 2 < len(right):
            raise Mistake("You return the codes at the two ends; there are others between them.")
        if got == _line_only(a, b, codebook):
            raise Mistake(
                "You count a code that is nearest to no point of the way: beside the line stands another one that is "
                "nearer. It may lie next to the way, and yet too far off.",
                "How far a code is from the line counts too.",
            )
        if extra and extra <= set(_beyond(a, b, codebook)):
            raise Mistake("You go on beyond the ends of the segment: 0 ≤ t ≤ 1.")
        if not missing and len(got) == len(codebook):
            raise Mistake("You return all codes; some are nearest to no point of the way.")
        if extra:
            raise Mistake("Your list holds a code that is nearest to no point of the way.")
        raise Mistake(
            "Your list leaves out a code that is nearest on some stretch of the way; it may be a very short one.",
            "Between two codes the border is one point of the line: solve for its t. The squared distances differ by "
            "something linear in t.",
        )


def _case(dim: int, size: int, spread: float) -> tuple[Tensor, Tensor, Tensor]:
    a, b = torch.randn(2, dim, dtype=torch.float64)
    along = a + (torch.rand(size, 1, dtype=torch.float64) * 1.6 - 0.3) * (b - a)
    return a, b, along + spread * 0.2 * torch.randn(size, dim, dtype=torch.float64)


def _plain() -> tuple[Tensor, Tensor, Tensor]:
    """Three codes along the way, one beside it that loses to them, and one beyond the end."""
    codes = torch.tensor([[0.8, 0.1], [0.35, 0.9], [0.5, 0.05], [0.2, -0.1], [3.0, 0.0]], dtype=torch.float64)
    shift = torch.randn(2, dtype=torch.float64)
    angle = 6.3 * torch.rand((), dtype=torch.float64)
    turn = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()]).view(2, 2)
    return shift, shift + turn[0], shift + codes[torch.randperm(5)] @ turn


def _special() -> list[tuple[Tensor, Tensor, Tensor]]:
    cases = []
    for _ in range(3):  # a code that is alive on a millionth of the way
        a = torch.randn(4, dtype=torch.float64)
        b = a + torch.nn.functional.normalize(torch.randn(4, dtype=torch.float64), dim=0)
        t = 0.3 + 0.4 * float(torch.rand(()))
        places = torch.tensor([0.05, t, t + 5e-7, t + 1e-6, 0.97, 1.9], dtype=torch.float64)
        codes = a + places[:, None] * (b - a)
        cases.append((a, b, codes[torch.randperm(6)]))
    cases.append((a, b, torch.randn(1, 4, dtype=torch.float64)))  # K = 1
    return cases


def _walk(a: Tensor, b: Tensor, codebook: Tensor, low: float = 0.0, high: float = 1.0) -> list[int]:
    """Cut the way at every border of any two codes; the nearest code is constant in between."""
    step = b - a
    slope = codebook @ step
    height = (codebook - a).square().sum(1)
    pairs = torch.combinations(torch.arange(len(codebook)))
    i, j = pairs.T if len(pairs) else (torch.zeros(0, dtype=torch.int64),) * 2
    slopes = slope[i] - slope[j]
    cuts = (height[i] - height[j])[slopes != 0] / (2 * slopes[slopes != 0])
    cuts = cuts[(cuts > low) & (cuts < high)].sort().values
    ends = torch.cat([torch.tensor([low]).double(), cuts, torch.tensor([high]).double()])
    middles = ends[:-1].lerp(ends[1:], 0.5)
    nearest = (height - 2 * middles[:, None] * (slope - a @ step)).argmin(1)
    return torch.unique_consecutive(nearest).tolist()


def _line_only(a: Tensor, b: Tensor, codebook: Tensor) -> list[int]:
    """Return what is met if codes are projected onto the line."""
    step = b - a
    t = ((codebook - a) @ step / step.square().sum())[:, None]
    return _walk(a, b, a + t * step)


def _beyond(a: Tensor, b: Tensor, codebook: Tensor) -> list[int]:
    return _walk(a, b, codebook, -1e4, 1e4)


def _indices(value: object, size: int) -> list[int]:
    if isinstance(value, Tensor):
        value = value.tolist() if value.ndim == 1 else value
    if isinstance(value, set | frozenset | dict):
        raise Mistake("A set has no order; a list in the order of the walk is asked for.")
    if not isinstance(value, list | tuple):
        raise Mistake(f"A list of indices is asked for; {kind(value)} came back.")
    try:
        indices = [int(each) for each in value]
    except Exception as error:
        raise Mistake("A list of indices is asked for; one of your entries is no number.") from error
    if not indices or min(indices) < 0 or max(indices) >= size:
        raise Mistake(f"A list of indices from 0 to {size - 1} is asked for, with at least one in it.")
    return indices
