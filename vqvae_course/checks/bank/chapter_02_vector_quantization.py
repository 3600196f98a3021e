"""Bank, notebook 02: a codebook of combinations."""

import torch
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, kind
from vqvae_course.checks.report import exercise

TITLE = "a codebook that nobody could store"

TASK = r"""*difficulty ●●○ · 20 min · 3 points*

Cut every vector of length $D = G\,d$ into $G$ neighbouring groups of $d$ numbers, and give each group a codebook of
its own with $K$ codes of length $d$. Whoever picks one code for each group has picked one of $K^G$ vectors of length
$D$: a *product codebook*. Find the nearest of all of them.

Return it, and its number. Number the $K^G$ codes like a counter: number 0 takes code 0 in every group, number 1 has
code 1 in the **last** group, and when the last group has gone through its $K$ codes, the one before it moves on by
one. The numbers must be exact up to $2^{62}$.

The check has cases with $K^G \approx 10^{17}$, so no table of all codes will do. Where two codes are equally near,
either is right."""

STUB = '''def product_nearest(z, codebooks):
    """Return the nearest code of a product codebook, and its number.

    z: (N, G * d) float tensor; group g is columns g * d to (g + 1) * d - 1.
    codebooks: (G, K, d) float tensor of the same dtype, one codebook a group.
    Returns: codes (N, G * d), the nearest ones, and numbers (N,) int64 in [0, K ** G).
    """
    raise NotImplementedError
'''

QUESTION = r"""A product codebook with $G = 8$ groups of $K = 256$ codes costs as many bits per vector as an ordinary
codebook of $2^{64}$ codes. (a) How many distances, each over how many numbers, are computed for one vector in either
case? (b) For vectors in two dimensions, describe or draw a set of latents on which four codes in a product codebook
($G = 2$, $K = 2$) do clearly worse than four free codes, and one on which they do as well. What property of the
latents decides?"""

RUBRIC = """- **1 point**: (a) counts both cases correctly, including the length of the vectors compared.
- **1 point**: (b) gives a valid example of each kind; where the codes may stand in the product codebook is described
  correctly.
- **1 point**: (b) names the property of the joint distribution of the groups, and does not confuse it with the spread
  of a single group.
"""

WRITTEN_POINTS = 3


@exercise(points=3)
def product_nearest(answer: Answer) -> None:
    """Judge ``product_nearest(z, codebooks)``: read the number's digits, and measure what they reach."""
    for groups, size, dim, n, dtype in (
        (2, 5, 3, 11, torch.float32),
        (3, 4, 2, 7, torch.float64),
        (1, 6, 4, 5, torch.float32),
        (4, 1, 2, 3, torch.float32),
        (7, 263, 1, 19, torch.float64),  # 263 ** 7 is more than 2 ** 53, which float64 cannot count
    ):
        codebooks = torch.randn(groups, size, dim, dtype=dtype)
        z = torch.randn(groups * dim, n, dtype=dtype).T  # not contiguous
        codes, numbers = _pair(answer(z, codebooks), z)
        if not bool(((numbers >= 0) & (numbers < size**groups)).all()):
            raise Mistake(
                f"Some numbers lie outside 0 ... K ** G - 1 (here {size} ** {groups}).",
                "A number has G digits in base K. How much is a digit of the first group worth?",
            )
        digits = _digits(numbers, groups, size)
        if _reached(z, codebooks, digits):
            _judge_codes(codes, codebooks, digits)
            continue
        if _reached(z, codebooks, digits.flip(1)):
            raise Mistake(
                "The codes are right, but their numbers run the wrong way: your first group changes fastest.",
                "With K = 10 the number should read like a decimal number, the first group on the left.",
            )
        parts = z.reshape(n, dim, groups).transpose(1, 2).reshape(n, -1)
        if _reached(parts, codebooks, digits):
            raise Mistake(
                "You deal the columns out to the groups one by one; a group is d neighbouring columns.",
                "In reshape, the axis that changes fastest stands last.",
            )
        if _reached(z, codebooks[:1].expand_as(codebooks), digits):
            raise Mistake("You look up every group in the codebook of the first; each group has its own.")
        if size**groups > 2**53 and _agree(digits, z, codebooks):
            raise Mistake(
                "Large numbers are rounded: they agree with the right ones in the first digits and not in the last.",
                "Floating point counts exactly up to 2 ** 53 (float32: 2 ** 24) only.",
            )
        raise Mistake(
            "Your numbers, read as G digits in base K, do not name the nearest code of each group.",
            "Why may each group be decided alone? What does the squared distance of whole vectors consist of?",
        )


def _pair(value: object, z: Tensor) -> tuple[Tensor, Tensor]:
    if not isinstance(value, tuple | list) or len(value) != 2 or not all(isinstance(v, Tensor) for v in value):
        raise Mistake(f"A pair of tensors (codes, numbers) is asked for; {kind(value)} came back.")
    codes, numbers = value
    if codes.shape == z.shape[:1] and numbers.shape == z.shape:
        raise Mistake("The two results are in the wrong order: the codes come first.")
    if codes.shape != z.shape:
        raise Mistake(f"The codes have shape {tuple(codes.shape)}; {tuple(z.shape)} is asked for.")
    if numbers.shape != z.shape[:1]:
        raise Mistake(
            f"The numbers have shape {tuple(numbers.shape)}; {tuple(z.shape[:1])} is asked for.",
            "One number for the whole vector, not one for each group.",
        )
    if numbers.dtype != torch.int64:
        raise Mistake(f"The numbers are {numbers.dtype}; int64 is asked for. Floating point would round large ones.")
    return codes.detach(), numbers


def _digits(numbers: Tensor, groups: int, size: int) -> Tensor:
    rest, digits = numbers.tolist(), []
    for _ in range(groups):
        digits.append([number % size for number in rest])
        rest = [number // size for number in rest]
    return torch.tensor(digits[::-1]).T  # (N, G)


def _distances(z: Tensor, codebooks: Tensor) -> Tensor:
    groups, _, dim = codebooks.shape
    parts = z.double().reshape(len(z), groups, 1, dim)
    return (parts - codebooks.double()).square().sum(-1)  # (N, G, K)


def _best(z: Tensor, codebooks: Tensor) -> Tensor:
    return _distances(z, codebooks).argmin(-1)


def _reached(z: Tensor, codebooks: Tensor, digits: Tensor) -> bool:
    distances = _distances(z, codebooks)
    mine = distances.gather(2, digits[:, :, None])[:, :, 0]
    return bool((mine <= distances.amin(-1) * (1 + 1e-4) + 1e-10).all())


def _agree(digits: Tensor, z: Tensor, codebooks: Tensor) -> bool:
    """Whether the leading digits are right though some of the last are not."""
    first = digits.shape[1] // 3
    return bool((digits == _best(z, codebooks))[:, :first].float().mean() > 0.9)


def _judge_codes(codes: Tensor, codebooks: Tensor, digits: Tensor) -> None:
    named = torch.cat([codebooks[g, digits[:, g]] for g in range(len(codebooks))], dim=1)
    if torch.allclose(codes.double(), named.double(), rtol=1e-5, atol=1e-6):
        return
    groups, dim = codebooks.shape[0], codebooks.shape[2]
    scrambled = named.reshape(-1, groups, dim).transpose(0, 1).reshape(len(codes), -1)
    if torch.allclose(codes.double(), scrambled.double(), rtol=1e-5, atol=1e-6):
        raise Mistake(
            "The numbers are right, but the codes of different vectors are mixed up on the way back.",
            "With the groups on axis 0, reshape alone does not bring the vectors back to the front.",
        )
    raise Mistake("The numbers are right, but the codes that come back are not the codes they name.")
