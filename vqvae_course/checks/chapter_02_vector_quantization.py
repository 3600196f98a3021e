"""Checks of notebook 02: squared distances, the nearest code as a linear layer, quantizing, k-means, compression."""

import math
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations, permutations
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vqvae_course.checks.answer import Answer, Mistake, kind, recognise
from vqvae_course.checks.compare import agree
from vqvae_course.checks.read import tensor
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task
from vqvae_course.quantize import kmeans_step as package_step

CLOSE = 1e-4  # relative to the largest entry: room for float32, none for a mistake


# pairwise_sq_dist


def _squared(z: Tensor, e: Tensor) -> Tensor:
    return (z.detach().double()[:, None] - e.detach().double()).square().sum(dim=2)


pairwise_sq_dist = Task(
    _squared,
    name="pairwise_sq_dist",
    points=3,
    reads=tensor,
    narrow=CLOSE,
    keeps_dtype=True,
    otherwise=lambda got, z, e: (
        f"For {len(z)} vectors and {len(e)} codes of length {z.shape[1]} these are not the squared distances."
    ),
    hint="Try one vector and one code by hand.",
)


@pairwise_sq_dist.inputs
def _vectors_and_codes() -> Iterator[tuple[Tensor, Tensor]]:
    for n, k, d in ((6, 6, 4), (7, 5, 3), (1, 4, 3), (5, 1, 2), (1, 1, 3)):  # square first: see the wrong axis
        for dtype in (torch.float32, torch.float64):
            yield _vectors(n, d, dtype), _codes(k, d, dtype)
    for scale in (1000, 0.001):
        yield scale * _vectors(4, 3), scale * _codes(5, 3)
    yield _vectors(3, 8).T.requires_grad_(), _codes(3, 6).T.requires_grad_()  # in another order in memory


def _vectors(n: int, d: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return 1.3 * torch.randn(n, d, dtype=dtype) + 0.7


def _codes(k: int, d: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw codes of different lengths, whose mean is neither the origin nor that of the vectors."""
    return torch.linspace(0.6, 1.6, k, dtype=dtype)[:, None] * torch.randn(k, d, dtype=dtype) - 0.4


def _terms(z: Tensor, e: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ||z||² as (N, 1), ||e||² as (K,), and z·e."""
    return z.square().sum(dim=1, keepdim=True), e.square().sum(dim=1), z @ e.T


_MULTIPLY = "\nMultiply out (a - b)² and compare term by term."
_AXIS = "\nIt goes unnoticed only where N = K; keepdim=True, or [:, None], says which axis a sum belongs to."
pairwise_sq_dist.mistakes(
    {
        "These are the distances; their squares are asked for.\nWhere does a root come in?": lambda zz, ee, dot: (
            zz + ee - 2 * dot
        ).sqrt(),
        "The middle term lacks its factor 2." + _MULTIPLY: lambda zz, ee, dot: zz + ee - dot,
        "The middle term has the wrong sign: this is ||z + e||²." + _MULTIPLY: lambda zz, ee, dot: zz + ee + 2 * dot,
        "The middle term has the wrong sign and lacks its factor 2." + _MULTIPLY: lambda zz, ee, dot: zz + ee + dot,
        "The middle term, the product of vector and code, is missing." + _MULTIPLY: lambda zz, ee, dot: zz + ee,
        "||z||² is missing. The search for the nearest code may leave it out; a distance may not.\nSome of your "
        "numbers are negative.": lambda zz, ee, dot: ee - 2 * dot,
        "||e||² is missing, and it differs from code to code." + _MULTIPLY: lambda zz, ee, dot: zz - 2 * dot,
        "Only the middle term is there; both squared lengths are missing." + _MULTIPLY: lambda zz, ee, dot: -2 * dot,
        "These are dot products, not distances." + _MULTIPLY: lambda zz, ee, dot: dot,
        "These are negative dot products, not distances." + _MULTIPLY: lambda zz, ee, dot: -dot,
        "The lengths are not squared: ||z||² is the sum of squares, no root.": lambda zz, ee, dot: (
            zz.sqrt() + ee.sqrt() - 2 * dot
        ),
        "The sign is wrong: a squared distance is positive.": lambda zz, ee, dot: 2 * dot - zz - ee,
        "Your distances are half of what they should be.": lambda zz, ee, dot: (zz + ee) / 2 - dot,
        "You square twice: these are the fourth powers of the distances.": lambda zz, ee, dot: (
            zz + ee - 2 * dot
        ).square(),
        "These are cosine similarities: they forget how long the vectors are.": lambda zz, ee, dot: (
            dot / zz.sqrt() / ee.sqrt()
        ),
        "These are cosine distances: they forget how long the vectors are.": lambda zz, ee, dot: (
            1 - dot / zz.sqrt() / ee.sqrt()
        ),
        "You scale all vectors to length 1 first; these are distances of other vectors.\nLeave out the "
        "normalisation.": lambda zz, ee, dot: 2 - 2 * dot / zz.sqrt() / ee.sqrt(),
        "You subtract lengths; the length of the difference is asked for.\nTwo vectors of the same length may lie far "
        "apart.": lambda zz, ee, dot: (zz.sqrt() - ee.sqrt()).square(),
        "||z||² is added along the wrong axis: each row has a value of its own." + _AXIS: lambda zz, ee, dot: (
            zz.T + ee - 2 * dot
        ),
        "||e||² is added along the wrong axis: each column has its own." + _AXIS: lambda zz, ee, dot: (
            zz + ee[:, None] - 2 * dot
        ),
    },
    of=_terms,
)
pairwise_sq_dist.mistakes(
    {
        "You average over D; the squared distance is a sum.": lambda z, e: _squared(z, e) / z.shape[1],
        "You sum absolute differences (p = 1); square them instead.": lambda z, e: (z[:, None] - e).abs().sum(dim=2),
        "You take the largest difference; sum all squares instead.": lambda z, e: (z[:, None] - e).abs().amax(dim=2),
        "You sum the differences first and square the sum; the squares are to be summed.\nDifferences of opposite sign "
        "must not cancel.": lambda z, e: (z.sum(dim=1, keepdim=True) - e.sum(dim=1)).square(),
        "You move only one of the two sides, which changes their distances.\nMove both.": (
            lambda z, e: _squared(z - z.mean(dim=0), e),
            lambda z, e: _squared(z, e - z.mean(dim=0)),
            lambda z, e: _squared(z - e.mean(dim=0), e),
            lambda z, e: _squared(z, e - e.mean(dim=0)),
        ),
        "You subtract one vector from z and another one from e, which changes their distances.\nTake the same vector "
        "for both.": lambda z, e: _squared(z - z.mean(dim=0), e - e.mean(dim=0)),
        "You subtract one vector from z and another one from e, and take a root besides.": lambda z, e: _squared(
            z - z.mean(dim=0), e - e.mean(dim=0)
        ).sqrt(),
        "The table is transposed: rows belong to vectors, columns to codes.": lambda z, e: _squared(e, z),
        "The squared differences are not summed over D yet.\nSum over the last axis.": lambda z, e: (
            z[:, None] - e
        ).square(),
        "For one vector or one code an axis of the table has vanished: it is (N, K) even then.": lambda z, e: _squared(
            z, e
        ).squeeze(),
    }
)


@pairwise_sq_dist.unless
def _no_table(got: Tensor, z: Tensor, e: Tensor) -> None:
    n, k, d = len(z), len(e), z.shape[1]
    if got.shape == (n,) != (n, k):
        raise Mistake("One entry a vector came back; every vector has a distance to each of the K codes.")
    if got.shape in {(n, d), (k, d)} and got.shape != (n, k):
        raise Mistake(
            "The table has D columns, as if the coordinates were still there; it has one column a code.",
            "Which axis is summed over, and which two stay?",
        )


@pairwise_sq_dist.further
def _signs(answer: Answer) -> None:
    e = _codes(60, 17)
    z = e[torch.randperm(60)].clone()  # each vector equals a code
    (got,) = tensor(answer(z, e))
    if bool(got.isnan().any()):
        raise Mistake(
            "Where a vector equals a code, NaN comes out: rounding left a number below zero, and its root was taken.",
            "No root is needed anywhere.",
        )
    if bool((got < 0).any()):
        raise Mistake(
            "Some squared distances are negative. Where a vector nearly equals a code, rounding of the three terms "
            "can leave a little less than nothing.",
            "What is the smallest value a squared distance can have?",
        )


@pairwise_sq_dist.further
def _far_away(answer: Answer) -> None:
    place = 1000 * torch.tensor([1.0, -1.0, 1.0]).repeat(3)  # no single number brings all coordinates back
    z, e = _vectors(40, 9) + place, _codes(30, 9) + place
    (got,) = tensor(answer(z, e))
    if not agree(got.detach().double(), _squared(z, e), 0.01, entrywise=True):
        raise Mistake(
            "Far from the origin the distances drown in rounding: squares near a million are subtracted from each "
            "other, and float32 keeps seven digits of them.",
            "Moving all vectors and all codes by the same vector changes no distance. Which one makes the squares "
            "small? (torch.cdist expands the square too, unless compute_mode says otherwise.)",
        )


@pairwise_sq_dist.further
def _memory(answer: Answer) -> None:
    n, k, d = 800, 10, 200  # few codes, so that a patient loop over all pairs has the time it needs
    z, e = _vectors(n, d), _codes(k, d)
    with _largest_allocation(z, e) as largest:
        value = answer(z, e)
    if not agree(tensor(value)[0].detach().double(), _squared(z, e), CLOSE):
        raise Mistake(f"For {n} vectors and {k} codes of length {d} these are not the squared distances.")
    if largest.bytes > n * k * d * z.element_size() // 4:
        numbers = largest.bytes // z.element_size()
        raise Mistake(
            f"The distances are right, but on the way {numbers:,} numbers are in memory at once, for N = {n}, K = {k}, "
            f"D = {d}. At the sizes of a real batch N·K·D numbers do not fit.",
            "Multiply out the square: which term needs both z and e, and what is its shape?",
        )


class _Largest(TorchDispatchMode):
    """Note the most bytes behind any one tensor that an operation returns, other than the arguments."""

    def __init__(self, arguments: tuple[Tensor, ...]):
        super().__init__()
        self.bytes = 0
        self.known = {each.untyped_storage().data_ptr() for each in arguments}

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, Tensor) and each.untyped_storage().data_ptr() not in self.known:
                self.bytes = max(self.bytes, each.untyped_storage().nbytes())
        return result


@contextmanager
def _largest_allocation(*arguments: Tensor) -> Iterator[_Largest]:
    """Watch torch's tensors one by one, and what NumPy takes in all."""
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        with _Largest(arguments) as largest:
            yield largest
        # Half: Python's own objects are in it, such as one tensor for each pair of a patient loop.
        largest.bytes = max(largest.bytes, (tracemalloc.get_traced_memory()[1] - before) // 2)
    finally:
        if not traced:
            tracemalloc.stop()


# nearest_as_linear


def _given(value: Any, shape: tuple[int, ...]) -> Tensor:
    """Refuse a value that is there already if it is not a finite tensor of this shape."""
    return Answer(lambda: value).tensor(shape=shape).detach()


@exercise(points=1)
def nearest_as_linear(answer: Answer) -> None:
    """Judge ``nearest_as_linear(codebook)`` by the distances that its argmax achieves."""
    for k, d, dtype in ((7, 3, torch.float32), (6, 4, torch.float64), (1, 3, torch.float32), (5, 1, torch.float32)):
        codebook = _codes(k, d, dtype)
        weight, bias = _layer(answer(codebook.T.contiguous().T), k, d)
        z = 2 * torch.randn(2000, d, dtype=torch.float64)
        score = z @ weight.double().T + bias.double()
        distance = _squared(z, codebook)
        if not _nearest(score.argmax(dim=1), distance):
            _explain_layer(score, distance, z, codebook.double())


def _layer(value: Any, k: int, d: int) -> tuple[Tensor, Tensor]:
    if isinstance(value, nn.Linear):
        value = value.weight, value.bias
    if isinstance(value, Tensor) and value.shape == (k, d):
        raise Mistake("Only one tensor came back; a pair (weight, bias) is asked for.", "A bias of 0 is not enough.")
    if not isinstance(value, tuple | list) or len(value) != 2:
        what = f"{len(value)} values" if isinstance(value, tuple | list) else kind(value)
        raise Mistake(f"A pair (weight, bias) is asked for; {what} came back.")
    weight, bias = value
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
        raise Mistake(f"Two tensors are asked for; {kind(weight)} and {kind(bias)} came back.")
    if weight.ndim == 1 and bias.ndim == 2:
        raise Mistake("The pair comes in the wrong order: weight first, then bias.")
    if weight.shape == (d, k) and d != k:
        raise Mistake("The weight is transposed: a linear layer has one row for each output, here for each code.")
    if bias.shape != (k,):
        raise Mistake(f"The bias has shape {tuple(bias.shape)}; one number a code, (K,), is asked for.")
    return _given(weight, (k, d)), _given(bias, (k,))


def _nearest(indices: Tensor, distance: Tensor) -> bool:
    """Whether these indices achieve the smallest distances, up to rounding."""
    achieved = distance.gather(1, indices[:, None])[:, 0]
    return bool((achieved <= distance.min(dim=1).values + CLOSE * distance.mean()).all())


def _explain_layer(score: Tensor, distance: Tensor, z: Tensor, e: Tensor) -> None:
    dot, ee = z @ e.T, e.square().sum(dim=1)
    if _nearest(score.argmin(dim=1), distance):
        raise Mistake(
            "The smallest output is at the nearest code, but argmax takes the largest.",
            "What turns the smallest into the largest?",
        )
    half = "Divide ||e||² - 2 z·e by -2, both terms of it."
    rules = [
        (dot, "The bias does nothing: the largest dot product wins, and long codes win too often.", half),
        (dot - ee, "The bias is twice what belongs to these weights: long codes lose too often.", half),
        (2 * dot - ee / 2, "The weights are twice what belongs to this bias: long codes win too often.", half),
        (dot + ee / 2, "The bias has the wrong sign: it favours long codes.", half),
        (dot + ee, "The bias has the wrong sign: it favours long codes.", half),
        (2 * dot + ee, "The bias has the wrong sign: it favours long codes.", half),
        (dot - ee.sqrt() / 2, "The bias uses the length of a code; its square is needed.", half),
        (dot - ee.sqrt(), "The bias uses the length of a code; its square is needed.", half),
        (dot - ee / 2 / e.shape[1], "The bias averages over D; a squared length is a sum.", half),
        (dot - ee / e.shape[1], "The bias averages over D; a squared length is a sum.", half),
        (dot / ee.sqrt(), "You scale the codes to length 1: this finds the most similar direction.", half),
        *((sign, "The weights have the wrong sign.", half) for sign in (-dot - ee / 2, -2 * dot - ee, -dot - ee)),
        (
            dot - e.sum(dim=1).square() / 2,
            "The bias squares the sum of a code's numbers; a squared length is the sum of their squares.",
            half,
        ),
        (
            z @ (e - e.mean(dim=0)).T - (e - e.mean(dim=0)).square().sum(dim=1) / 2,
            "The bias measures the codes from their mean, but z is measured from the origin.",
            "Moving the codes alone changes which of them is nearest.",
        ),
        (-dot, "The smallest dot product wins.", half),
    ]
    for rule, message, hint in rules:
        if torch.equal(score.argmax(dim=1), rule.argmax(dim=1)):
            raise Mistake(message, hint)
    share = (score.argmax(dim=1) != distance.argmin(dim=1)).double().mean()
    raise Mistake(f"For {share:.0%} of vectors the largest output is not at the nearest code.", half)


# quantize


@exercise(points=2)
def quantize(answer: Answer) -> None:
    """Judge ``quantize(z_e, codebook)`` by the distances that the indices achieve, and by the codes at their places."""
    cases = (
        (2, 3, 4, 5, 7, torch.float32),
        (3, 4, 2, 6, 5, torch.float64),
        (1, 3, 1, 1, 4, torch.float32),
        (2, 3, 2, 4, 1, torch.float32),
        (1, 1, 3, 2, 6, torch.float32),
    )
    for b, d, h, w, k, dtype in cases:
        z_e = 1.3 * torch.randn(b, d, h, w, dtype=dtype) + 0.5
        _judge_quantized(answer, z_e, _codes(k, d, dtype))
    z_e = torch.randn(2, 3, 4, 5)
    codebook = _codes(6, 3)[torch.tensor([0, 1, 2, 1, 0, 3])]  # equal codes: either index is right
    _judge_quantized(answer, z_e.contiguous(memory_format=torch.channels_last), codebook)
    _judge_quantized(answer, z_e.transpose(2, 3).requires_grad_(), codebook)


def _judge_quantized(answer: Answer, z_e: Tensor, codebook: Tensor) -> None:
    value = answer(z_e, codebook)
    latents, codes = z_e.detach(), codebook.detach()
    e_k, indices = _pair(value, latents.shape, len(codes))
    rows = latents.movedim(1, -1).reshape(-1, codes.shape[1])
    if not _nearest(indices.flatten(), _squared(rows, codes)):
        _explain_indices(indices, latents, codes)
    _judge_codes(e_k, indices, latents, codes)


def _pair(value: Any, shape: torch.Size, k: int) -> tuple[Tensor, Tensor]:
    b, d, h, w = shape
    if not isinstance(value, tuple | list) or len(value) != 2:
        what = "One tensor" if isinstance(value, Tensor) else kind(value).capitalize()
        what = f"{len(value)} values" if isinstance(value, tuple | list) else what
        raise Mistake(f"{what} came back; a pair is asked for: the codes and their indices.")
    e_k, indices = value
    if not isinstance(e_k, Tensor) or not isinstance(indices, Tensor):
        raise Mistake(f"Two tensors are asked for; {kind(e_k)} and {kind(indices)} came back.")
    if not e_k.dtype.is_floating_point and indices.dtype.is_floating_point:
        raise Mistake("The pair comes in the wrong order: the codes first, then the indices.")
    where = "An index map has one whole number for each of h·w places of each image."
    shapes = {
        (b * h * w,): "The indices come back as one long row, (B·h·w,); they should be a map again, (B, h, w).",
        (b * h * w, 1): "The indices come back as one long column; they should be a map again, (B, h, w).",
        (b, h * w): "The indices of an image come back as one row; they should be a map again, (B, h, w).",
        (b, w, h): "Rows and columns of the index map are swapped.",
        (b, 1, h, w): "The index map has an axis too many: (B, h, w) is asked for.",
        (b, h, w, 1): "The index map has an axis too many: (B, h, w) is asked for.",
        (b, h, w, k): "These are one-hot vectors, or distances; the number of the code is asked for.",
        (b * h * w, k): "These are one-hot vectors, or distances; the number of the code is asked for.",
        (b, d, h, w): "There is an index for every single number; one index stands for a vector across all channels.",
        (k,): "You look for the nearest vector of each code (argmin over the wrong axis).",
    }
    if indices.shape != (b, h, w):
        if indices.ndim < 3 and indices.numel() == b * h * w and 1 in (b, h, w):
            raise Mistake("Axes of length 1 have vanished from the indices.", "Is there a squeeze()?")
        if tuple(indices.shape) in shapes:
            raise Mistake(shapes[tuple(indices.shape)], where)
        raise Mistake(f"The indices have shape {tuple(indices.shape)}; {(b, h, w)} is asked for.", where)
    if indices.dtype != torch.int64:
        raise Mistake(f"The indices are {indices.dtype}; whole numbers of type int64 are asked for.")
    if bool(((indices < 0) | (indices >= k)).any()):
        raise Mistake(
            f"There are indices outside 0 to {k - 1}, where no code is.",
            "Is the argmin taken over the axis of the codes? Are they counted from 0?",
        )
    return e_k, indices


def _explain_indices(indices: Tensor, z_e: Tensor, codes: Tensor) -> None:
    b, d, h, w = z_e.shape
    rows = z_e.double().movedim(1, -1).reshape(-1, d)
    e = codes.double()
    dot, ee, distance = rows @ e.T, e.square().sum(dim=1), _squared(rows, e)
    place = "Rows must be cut in the order image, row, column, and put back in the same order."
    move = "Move the channels to the end first: (B, D, h, w) to (B, h, w, D)."
    multiply = "What may be left out of ||z||² - 2 z·e + ||e||², and what not?"
    known = [
        (distance.argmin(dim=1) + 1, "Every index is one too high: codes are counted from 0.", ""),
        (distance.argmax(dim=1), "Each vector gets the code that is farthest away: argmax for argmin.", ""),
        (dot.argmax(dim=1), "You take the largest dot product, which favours long codes.", multiply),
        (dot.argmin(dim=1), "You take the smallest dot product.", multiply),
        ((ee - dot).argmin(dim=1), "The middle term of the distance lacks its factor 2.", multiply),
        ((ee + 2 * dot).argmin(dim=1), "The middle term of the distance has the wrong sign.", multiply),
        ((dot / ee.sqrt()).argmax(dim=1), "You take the largest cosine, which forgets lengths.", multiply),
        ((rows[:, None] - e).abs().sum(dim=2).argmin(dim=1), "You compare sums of absolute differences.", ""),
    ]
    for order in permutations(range(4)):
        cut = _squared(z_e.permute(order).reshape(-1, d), e).argmin(dim=1)
        if order[-1] == 1:
            known += [(cut, "The nearest codes are found, but their indices stand at the wrong places.", place)]
        else:
            known += [(cut, "Your rows are not vectors across the channels: they mix channels and places.", move)]
    right = distance.argmin(dim=1).view(b, h, w)
    for order in permutations(range(3)):  # taken apart, or put together, in another order
        sides = [right.shape[axis] for axis in order]
        for cut in (right.permute(order), right.reshape(sides).permute(*torch.tensor(order).argsort())):
            known += [(cut, "The nearest codes are found, but their indices stand at the wrong places.", place)]
    for candidate, message, hint in known:
        if torch.equal(candidate.reshape(-1), indices.reshape(-1)):
            raise Mistake(message, hint)
    share = (indices != right).double().mean()
    raise Mistake(f"At {share:.0%} of the places the index is not that of the nearest code.", f"{move} {multiply}")


def _judge_codes(e_k: Tensor, indices: Tensor, z_e: Tensor, codes: Tensor) -> None:
    b, d, h, w = z_e.shape
    chosen = codes[indices]  # (B, h, w, D)
    back = "What codebook[indices] returns has the channels last; move them back to the second place."
    if e_k.shape == (b, h, w, d) != z_e.shape:
        raise Mistake("The indices are right, but the codes come back with the channels last.", back)
    if e_k.shape == (b * h * w, d):
        raise Mistake("The indices are right, but the codes come back as rows; a feature map is asked for.", back)
    if e_k.shape == (b, d, w, h) != z_e.shape:
        raise Mistake("The indices are right, but height and width of the codes are swapped.", back)
    if e_k.ndim < 4 and e_k.numel() == z_e.numel() and 1 in z_e.shape:
        raise Mistake("The indices are right, but axes of length 1 have vanished from the codes.", "squeeze()?")
    if e_k.shape == (b, w, d, h) != z_e.shape:
        raise Mistake(
            "The indices are right, but the codes come back as (B, w, D, h): the order of axes that leads to rows does "
            "not lead back when it is used a second time.",
            back,
        )
    if e_k.shape != z_e.shape:
        raise Mistake(f"The indices are right, but the codes have shape {tuple(e_k.shape)}, not that of z_e.", back)
    e_k, right = _given(e_k, (b, d, h, w)), chosen.movedim(-1, 1)
    if not agree(e_k.double(), right.double(), CLOSE):
        recognise(
            e_k,
            [
                (z_e, "The indices are right, but what comes back beside them is z_e itself.", "Look the codes up."),
                (
                    chosen.reshape(b, d, h, w),
                    "The indices are right, but view or reshape scrambles the codes on the way back: it changes the "
                    "shape without moving the channels.",
                    back,
                ),
                (z_e - right, "You return what is left over, z_e - e_k; the codes themselves are asked for.", ""),
                (right - z_e, "You return the difference e_k - z_e; the codes themselves are asked for.", ""),
                *(
                    (
                        chosen.permute(order).reshape(b, d, h, w),
                        "The indices are right, but their codes stand at the wrong places.",
                        back,
                    )
                    for order in permutations(range(4))
                ),
            ],
            CLOSE,
        )
        raise Mistake("The indices are right, but the codes are not codebook[indices] at their places.", back)
    if e_k.dtype != codes.dtype:
        raise Mistake(f"The codes are right, but for {codes.dtype} you return {e_k.dtype}.", "Keep the dtype.")


# kmeans_step

kmeans_step = Task(
    package_step,
    points=2,
    reads=tensor,
    narrow=CLOSE,
    keeps_dtype=True,
    otherwise="The codes that are in use are not at the means of the vectors that chose them.",
    hint="Take one code: which vectors are nearest to it, and what is their mean?",
)


@kmeans_step.inputs
def _cells() -> Iterator[tuple[Tensor, Tensor]]:
    """Draw cells none of which is empty, then some of which the first, the last or another one is."""
    z, codebook = _clear_cells(41, 5, 3, torch.float32, None)
    yield z, codebook
    yield 1000 * z, 1000 * codebook
    yield _clear_cells(30, 4, 2, torch.float64, None)
    yield _clear_cells(12, 3, 1, torch.float32, None)
    yield _clear_cells(9, 1, 2, torch.float32, None)
    yield _clear_cells(41, 6, 3, torch.float32, 1)
    yield _clear_cells(30, 5, 2, torch.float64, 4)  # the last: a count that ends with the codes in use is too short
    z, codebook = _clear_cells(25, 4, 3, torch.float32, 0)
    yield z.T.contiguous().T.requires_grad_(), codebook
    yield 0.001 * z, 0.001 * codebook
    yield _clear_cells(1, 4, 3, torch.float32, 1)


def _clear_cells(n: int, k: int, d: int, dtype: torch.dtype, unused: int | None) -> tuple[Tensor, Tensor]:
    """Draw vectors that all have one clearly nearest code; of the codes nobody chooses the one that is named alone."""
    while True:
        z = torch.randn(n, d, dtype=dtype) + 2
        codebook = 0.9 * torch.randn(k, d, dtype=dtype) + 1.7
        if unused is not None:
            codebook[unused] = -6.0 - torch.rand(d, dtype=dtype)
        distance = _squared(z, codebook)
        nearest = distance.topk(min(2, k), dim=1, largest=False).values
        clear = k == 1 or bool((nearest[:, 1] - nearest[:, 0] > 1e-2).all())
        in_use = len(distance.argmin(dim=1).unique())
        if clear and (n < k or (in_use == k - (unused is not None) and (n < 20 or _takes_long(z, codebook)))):
            return z, codebook


def _takes_long(z: Tensor, codebook: Tensor) -> bool:
    """Whether one step, two steps, many, and one with the codes moving in turn end at different places."""
    ends = [_steps(z, codebook, 1), _steps(z, codebook, 2), _steps(z, codebook, 40), _one_by_one(z, codebook)]
    return all(float((a - b).abs().max()) > 0.01 for a, b in combinations(ends, 2))


def _one_by_one(z: Tensor, codebook: Tensor) -> Tensor:
    """Move one code at a time, and let each see where those before it have gone."""
    moved = codebook.clone()
    for j in range(len(codebook)):
        cell = z.detach()[_squared(z, moved).argmin(dim=1) == j]
        moved[j] = cell.mean(dim=0) if len(cell) else moved[j]
    return moved


def _steps(z: Tensor, codebook: Tensor, count: int) -> Tensor:
    for _ in range(count):
        codebook = package_step(z, codebook)
    return codebook


def _chosen(z: Tensor, codebook: Tensor) -> Tensor:
    return _squared(z, codebook).argmin(dim=1)


def _means(z: Tensor, indices: Tensor, codebook: Tensor, least: int = 1) -> Tensor:
    """Average each cell of at least so many vectors; the other codes stay."""
    members = F.one_hot(indices, len(codebook)).to(z.dtype)
    count = members.sum(dim=0)[:, None]
    return torch.where(count >= least, members.T @ z / count.clamp(min=1), codebook)


def _sums(z: Tensor, codebook: Tensor, by: Callable) -> Tensor:
    """Return the sum of each cell over a function of its count and of the old code; empty cells stay."""
    members = F.one_hot(_chosen(z, codebook), len(codebook)).to(z.dtype)
    count = members.sum(dim=0)[:, None]
    return torch.where(count > 0, by(members.T @ z, count, codebook), codebook)


def _soft(z: Tensor, codebook: Tensor, width: float) -> Tensor:
    shares = (-_squared(z, codebook) / width).softmax(dim=1).to(z.dtype)
    return shares.T @ z / shares.sum(dim=0)[:, None]


def _medians(z: Tensor, codebook: Tensor) -> Tensor:
    moved, indices = codebook.clone(), _chosen(z, codebook)
    for j in indices.unique():
        moved[j] = z.detach()[indices == j].median(dim=0).values
    return moved


def _packed(z: Tensor, codebook: Tensor) -> Tensor:
    moved, used = codebook.clone(), _chosen(z, codebook).unique()
    moved[: len(used)] = package_step(z, codebook)[used]
    return moved


_FIRST = "\nFind all indices first, with the codebook as it was given, and only then move codes."
kmeans_step.mistakes(
    {
        "These are the sums of the cells; divide each by the number of its vectors.": lambda z, e: _sums(
            z, e, lambda s, n, old: s
        ),
        "You divide by the number of all vectors; divide by those of the cell.": lambda z, e: _sums(
            z, e, lambda s, n, old: s / len(z)
        ),
        "You divide by the number of codes; divide by the number of vectors in the cell.": lambda z, e: _sums(
            z, e, lambda s, n, old: s / len(e)
        ),
        "A code that one vector alone chose has not moved.\nWhat is the mean of a single vector?": lambda z, e: _means(
            z, _chosen(z, e), e, least=2
        ),
        "Nothing has moved.\nDo you average the vectors of a cell, or the codes they chose?": lambda z, e: e.clone(),
        "The vectors are assigned again after the codes have moved: two steps." + _FIRST: lambda z, e: _steps(z, e, 2),
        "Codes that have moved already take part in the search for the others." + _FIRST: _one_by_one,
        "You go on until nothing changes; one step is asked for.\nLeave out the outer loop.": lambda z, e: _steps(
            z, e, 40
        ),
        "These are the ways that the codes go; their new places are asked for.": lambda z, e: package_step(z, e) - e,
        "You divide by one too many, which draws every code to the origin.": lambda z, e: _sums(
            z, e, lambda s, n, old: s / (n + 1)
        ),
        "The old code is counted as one of its vectors.": lambda z, e: _sums(
            z, e, lambda s, n, old: (s + old) / (n + 1)
        ),
        "You take the median of each cell; the mean makes the squared error small.": _medians,
        "Each code jumps to the vector nearest to it; it should move to the mean of its cell.\nargmin over the codes, "
        "for each vector.": lambda z, e: z[_squared(z, e).argmin(dim=0)],
        "All codes move to the mean of all vectors.\nOne mean a cell.": lambda z, e: z.mean(dim=0).expand_as(e),
        "You assign by the largest dot product, not by the distance.": lambda z, e: _means(
            z, (z @ e.T).argmax(dim=1), e
        ),
        "You assign by the largest cosine, not by the distance.": lambda z, e: _means(
            z, (z @ F.normalize(e, dim=1).T).argmax(dim=1), e
        ),
        "You assign each vector to the code that is farthest away.": lambda z, e: _means(
            z, _squared(z, e).argmax(dim=1), e
        ),
        "You average over the coordinates as well; each coordinate has a mean of its own.\nmean(dim=0)": lambda z, e: (
            _sums(z, e, lambda s, n, old: (s / n).mean(dim=1, keepdim=True).expand_as(s))
        ),
        "The means are right, but stand at the wrong rows: an empty cell shifts all those behind it.": _packed,
        "Every vector takes part in every code, with soft shares: this is EM, not k-means.\nEach vector belongs to one "
        "cell.": (lambda z, e: _soft(z, e, 1.0), lambda z, e: _soft(z, e, 2.0)),
    }
)


@kmeans_step.fails
def _several_values(mistake: Mistake, *_: Any) -> None:
    if "a tuple" in mistake.message or "a list" in mistake.message:
        raise Mistake("Several values came back; only the new codebook, (K, D), is asked for.")


@kmeans_step.unless
def _unlike_a_codebook(got: Tensor, z: Tensor, codebook: Tensor) -> None:
    used = torch.bincount(_chosen(z, codebook), minlength=len(codebook)) > 0
    if got.shape == z.shape != codebook.shape:
        raise Mistake("One row a vector came back; the new codebook has one row a code.", "Average within each cell.")
    if got.shape == (len(z),):
        raise Mistake("One number a vector came back, such as its index; that is only the first half of the step.")
    if got.shape[1:] == codebook.shape[1:] and len(got) < len(codebook):
        last = len(got) == int(used.nonzero().max()) + 1
        raise Mistake(
            f"Codes {'after the last one in use' if last else 'that no vector chose'} have vanished: {len(got)} of "
            f"{len(codebook)} rows came back.",
            "How many codes there are, the codebook knows; the indices do not. Every code keeps its row.",
        )


@kmeans_step.unless
def _unused_codes(got: Tensor, z: Tensor, codebook: Tensor) -> None:
    used = torch.bincount(_chosen(z, codebook), minlength=len(codebook)) > 0
    right = package_step(z, codebook).double()
    if got.shape != codebook.shape or not agree(got[used], right[used], CLOSE):
        return
    stay, mine, scale = "Such a code should stay exactly where it is.", got[~used], float(z.abs().max())
    if bool(mine.isnan().any()):
        raise Mistake("A code that no vector chose becomes NaN: the mean of nothing is 0/0.", stay)
    if float(mine.abs().max()) < 1e-3 * scale:
        raise Mistake("A code that no vector chose is pulled to the origin.", stay)
    if agree(mine, z.mean(dim=0).double().expand_as(mine), CLOSE):
        raise Mistake("A code that no vector chose is moved to the mean of all vectors.", stay)
    if float(_squared(mine, z).min(dim=1).values.max()) < 1e-6 * scale**2:
        raise Mistake("A code that no vector chose is moved onto a vector. That restart is another method.", stay)
    raise Mistake("A code that no vector chose has moved.", stay)


@kmeans_step.unless
def _part_of_the_way(got: Tensor, z: Tensor, codebook: Tensor) -> None:
    if got.shape != codebook.shape or not bool(got.isfinite().all()):
        return
    way, mine = (package_step(z, codebook) - codebook).double(), got - codebook.double()
    part = float((mine * way).sum() / way.square().sum())
    if abs(part - 1) > 0.005 and agree(mine, part * way, CLOSE):
        raise Mistake(
            f"The codes move {part:.2g} times as far as to the means of their cells.",
            "A step of k-means goes all the way, whatever the step before was.",
        )


# compression_ratio


class _Message(NamedTuple):
    """The arguments, and what follows from them."""

    shape: tuple[int, ...]
    latent: tuple[int, ...]
    K: int
    bits: int
    raw: int  # bits of the picture
    places: int
    each: float  # bits of an index
    numbers: int  # of the picture


def _message(shape: tuple[int, ...], latent: tuple[int, ...], K: int, bits: int = 8) -> tuple[_Message]:
    numbers = math.prod(shape)
    return (_Message(shape, latent, K, bits, numbers * bits, latent[1] * latent[2], math.log2(K), numbers),)


def _ratio(shape: tuple[int, ...], latent: tuple[int, ...], K: int, bits: int = 8) -> float:
    (c,) = _message(shape, latent, K, bits)
    return c.raw / (c.places * c.each)


compression_ratio = Task(
    _ratio,
    name="compression_ratio",
    points=1,
    narrow=1e-4,
    otherwise=lambda got, shape, latent, K, bits=8: (
        f"For a picture {shape}, a latent {latent}, K = {K} and {bits} bits the ratio is not {got:.4g}."
    ),
    hint="Bits of the picture: all its numbers. Bits of the message: one index at each place.",
)


@compression_ratio.inputs
def _pictures() -> Iterator[tuple]:
    yield (3, 40, 24), (11, 5, 6), 600
    yield (3, 32, 48), (64, 8, 12), 512, 12
    yield (1, 28, 36), (7, 14, 9), 100, 8
    yield (4, 20, 30), (1, 4, 3), 2, 16
    yield (3, 256, 200), (5, 1, 1), 3, 8
    yield (1, 4, 6), (2, 16, 24), 2**40, 1  # larger than the picture


compression_ratio.mistakes(
    {
        "You count D numbers at each place, but no code is sent.\nOnly the index is sent; the receiver looks the D "
        "numbers up.": (
            *(lambda c, per=per: c.raw / (c.places * c.latent[0] * per) for per in (32, 64, 16, 8, 1)),
            lambda c: c.raw / (c.places * c.latent[0] * c.each),
            lambda c: c.numbers / (c.places * c.latent[0]),
        ),
        "You leave out the channels of the picture: each pixel has C numbers.": lambda c: (
            c.raw / c.shape[0] / (c.places * c.each)
        ),
        "You measure the indices in nats; the picture is measured in bits.\nWhich base has the logarithm?": lambda c: (
            c.raw / (c.places * math.log(c.K))
        ),
        "The logarithm has base 10; bits need base 2.": lambda c: c.raw / (c.places * math.log10(c.K)),
        "You take K bits for an index; how many bits tell K numbers apart?": lambda c: c.raw / (c.places * c.K),
        "You round the bits of an index; several indices can share theirs.\nLeave the logarithm as it is.": (
            lambda c: c.raw / (c.places * math.ceil(c.each)),
            lambda c: c.raw / (c.places * math.floor(c.each)),
            lambda c: c.raw / (c.places * c.K.bit_length()),
        ),
        "You divide numbers by indices; compare the bits they take.\nAn index has log2 K bits.": (
            lambda c: c.numbers / c.places,
            lambda c: c.raw / c.places,
        ),
        "You count the bits of the integers in memory (32 or 64); an index below K needs fewer.": tuple(
            lambda c, per=per: c.raw / (c.places * per) for per in (16, 32, 64)
        ),
        "The numbers of the raw picture have bits, too.\nThe default is 8.": lambda c: c.numbers / (c.places * c.each),
        "The number of bits is always 8, whatever bits says.": lambda c: 8 * c.numbers / (c.places * c.each),
        "This is the inverse: how large the message is compared with the picture.": (
            lambda c: c.places * c.each / c.raw,
            lambda c: 100 * c.places * c.each / c.raw,
        ),
        "This is the share of bits that is saved; how many times fewer bits are there?": (
            lambda c: 1 - c.places * c.each / c.raw,
            lambda c: 100 * (1 - c.places * c.each / c.raw),
        ),
        "These are bits; how many times fewer are there than in the picture?": (
            lambda c: c.places * c.each,
            lambda c: c.places * c.each / (c.shape[1] * c.shape[2]),
        ),
        "You compare areas; compare the bits.\nWhat does a pixel cost, and what does an index?": lambda c: (
            c.shape[1] * c.shape[2] / c.places
        ),
        "You count one index for the whole picture; there is one at each of h·w places.": lambda c: c.raw / c.each,
        "You take the wrong two axes of the latent: it is (D, h, w), and the places are h·w.": (
            lambda c: c.raw / (c.latent[0] * c.latent[1] * c.each),
            lambda c: c.raw / (c.latent[0] * c.latent[2] * c.each),
        ),
        "You count the places along one side only; there are h·w.": (
            lambda c: c.raw / (c.latent[1] * c.each),
            lambda c: c.raw / (c.latent[2] * c.each),
        ),
        "You count the codebook; it is shared by many pictures and left out here.": tuple(
            lambda c, per=per: c.raw / (c.places * c.each + c.K * c.latent[0] * per) for per in (1, 8, 16, 32, 64)
        ),
        "The logarithm is taken of all indices together; it belongs to each of them.": lambda c: (
            c.raw / math.log2(c.places * c.K)
        ),
    },
    of=_message,
)


@compression_ratio.unless
def _rounded(got: float, *arguments: Any) -> None:
    right = _ratio(*arguments)
    if got == math.floor(right) or any(got == round(right, digits) for digits in range(3)):
        raise Mistake("The ratio is rounded.", "Divide with /, and do not round.")
