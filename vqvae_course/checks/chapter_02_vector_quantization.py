"""Checks of notebook 02: squared distances, the nearest code as a linear layer, quantizing, k-means, compression."""

import math
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations, permutations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vqvae_course.checks.answer import Answer, Mistake, close, kind, recognise
from vqvae_course.checks.report import exercise
from vqvae_course.quantize import kmeans_step as package_step

CLOSE = 1e-4  # relative to the largest entry: room for float32, none for a mistake


# pairwise_sq_dist


@exercise(points=3)
def pairwise_sq_dist(answer: Answer) -> None:
    """Judge ``pairwise_sq_dist(z, e)`` by values, signs, accuracy far from the origin, and memory."""
    for n, k, d in ((6, 6, 4), (7, 5, 3), (1, 4, 3), (5, 1, 2), (1, 1, 3)):  # square first: see the wrong axis
        for dtype in (torch.float32, torch.float64):
            z, e = _vectors(n, d, dtype), _codes(k, d, dtype)
            _judge_distances(_table(answer, z, e), z, e)
    z, e = _vectors(3, 8).T.requires_grad_(), _codes(3, 6).T.requires_grad_()  # in another order in memory
    _judge_distances(_table(answer, z, e), z, e)
    _judge_signs(answer)
    _judge_far_away(answer)
    _judge_memory(answer)


def _vectors(n: int, d: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return 1.3 * torch.randn(n, d, dtype=dtype) + 0.7


def _codes(k: int, d: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw codes of different lengths, whose mean is neither the origin nor that of the vectors."""
    return torch.linspace(0.6, 1.6, k, dtype=dtype)[:, None] * torch.randn(k, d, dtype=dtype) - 0.4


def _squared(z: Tensor, e: Tensor) -> Tensor:
    return (z.detach().double()[:, None] - e.detach().double()).square().sum(dim=2)


def _given(value: Any, shape: tuple[int, ...]) -> Tensor:
    """Refuse a value that is there already if it is not a finite tensor of this shape."""
    return Answer(lambda: value).tensor(shape=shape).detach()


def _table(answer: Answer, z: Tensor, e: Tensor) -> Tensor:
    value = answer(z, e)
    n, k, d = len(z), len(e), z.shape[1]
    shape = tuple(value.shape) if isinstance(value, Tensor) else None
    if shape == (k, n) and n != k:
        raise Mistake("The table is transposed: it has one row a code; (N, K) has one row a vector.")
    if shape == (n, k, d) and n * k * d > 1:
        raise Mistake("The squared differences are not summed over D yet.", "Sum over the last axis.")
    if 1 in (n, k) and shape != (n, k) and isinstance(value, Tensor) and value.numel() == n * k:
        raise Mistake("For one vector or one code an axis of the table has vanished: it is (N, K) even then.")
    if shape == (n,):
        raise Mistake("One entry a vector came back; every vector has a distance to each of the K codes.")
    if shape in {(n, d), (k, d)} and shape != (n, k):
        raise Mistake(
            "The table has D columns, as if the coordinates were still there; it has one column a code.",
            "Which axis is summed over, and which two stay?",
        )
    got = _given(value, (n, k))
    if not got.dtype.is_floating_point:
        raise Mistake(f"Distances of floats came back as {got.dtype}.")
    return got


def _judge_distances(got: Tensor, z: Tensor, e: Tensor) -> None:
    right = _squared(z, e)
    if not _agree(got, right):
        _explain_distances(got, right, z.detach().double(), e.detach().double())
    if got.dtype != z.dtype:
        raise Mistake(f"The distances are right, but for {z.dtype} you return {got.dtype}.", "Keep the dtype.")


def _agree(got: Tensor, right: Tensor, tolerance: float = CLOSE) -> bool:
    return torch.allclose(got.double(), right, rtol=0, atol=tolerance * float(right.abs().max()))


def _explain_distances(got: Tensor, right: Tensor, z: Tensor, e: Tensor) -> None:
    dot, zz, ee = z @ e.T, z.square().sum(dim=1, keepdim=True), e.square().sum(dim=1)
    lengths = zz.sqrt() * ee.sqrt()
    own = _squared(z - z.mean(dim=0), e - e.mean(dim=0))
    multiply = "Multiply out (a - b)² and compare term by term."
    known = [
        (right.sqrt(), "These are the distances; their squares are asked for.", "Where does a root come in?"),
        (zz + ee - dot, "The middle term lacks its factor 2.", multiply),
        (zz + ee + 2 * dot, "The middle term has the wrong sign: this is ||z + e||².", multiply),
        (zz + ee + dot, "The middle term has the wrong sign and lacks its factor 2.", multiply),
        (zz + ee, "The middle term, the product of vector and code, is missing.", multiply),
        (
            ee - 2 * dot,
            "||z||² is missing. The search for the nearest code may leave it out; a distance may not.",
            "Some of your numbers are negative.",
        ),
        (zz - 2 * dot, "||e||² is missing, and it differs from code to code.", multiply),
        (-2 * dot, "Only the middle term is there; both squared lengths are missing.", multiply),
        (dot, "These are dot products, not distances.", multiply),
        (-dot, "These are negative dot products, not distances.", multiply),
        (zz.sqrt() + ee.sqrt() - 2 * dot, "The lengths are not squared: ||z||² is the sum of squares, no root.", ""),
        (-right, "The sign is wrong: a squared distance is positive.", ""),
        (right / 2, "Your distances are half of what they should be.", ""),
        (right.square(), "You square twice: these are the fourth powers of the distances.", ""),
        (right / z.shape[1], "You average over D; the squared distance is a sum.", ""),
        ((z[:, None] - e).abs().sum(dim=2), "You sum absolute differences (p = 1); square them instead.", ""),
        ((z[:, None] - e).abs().amax(dim=2), "You take the largest difference; sum all squares instead.", ""),
        (dot / lengths, "These are cosine similarities: they forget how long the vectors are.", ""),
        (1 - dot / lengths, "These are cosine distances: they forget how long the vectors are.", ""),
        (
            2 - 2 * dot / lengths,
            "You scale all vectors to length 1 first; these are distances of other vectors.",
            "Leave out the normalisation.",
        ),
        (
            (zz.sqrt() - ee.sqrt()).square(),
            "You subtract lengths; the length of the difference is asked for.",
            "Two vectors of the same length may lie far apart.",
        ),
        (
            (z.sum(dim=1, keepdim=True) - e.sum(dim=1)).square(),
            "You sum the differences first and square the sum; the squares are to be summed.",
            "Differences of opposite sign must not cancel.",
        ),
        *(
            (_squared(a, b), "You move only one of the two sides, which changes their distances.", "Move both.")
            for centre in (z.mean(dim=0), e.mean(dim=0))
            for a, b in ((z - centre, e), (z, e - centre))
        ),
        (
            own,
            "You subtract one vector from z and another one from e, which changes their distances.",
            "Take the same vector for both.",
        ),
        (own.sqrt(), "You subtract one vector from z and another one from e, and take a root besides.", ""),
    ]
    if len(z) == len(e) > 1:
        axis = "It goes unnoticed only where N = K; keepdim=True, or [:, None], says which axis a sum belongs to."
        known += [
            (right.T, "The table is transposed: rows belong to vectors, columns to codes.", ""),
            (zz.T + ee - 2 * dot, "||z||² is added along the wrong axis: each row has a value of its own.", axis),
            (zz + ee[:, None] - 2 * dot, "||e||² is added along the wrong axis: each column has its own.", axis),
        ]
    recognise(got, known, CLOSE)
    raise Mistake(
        f"For {len(z)} vectors and {len(e)} codes of length {z.shape[1]} these are not the squared distances.",
        "Try one vector and one code by hand.",
    )


def _judge_signs(answer: Answer) -> None:
    e = _codes(60, 17)
    z = e[torch.randperm(60)].clone()  # each vector equals a code
    value = answer(z, e)
    if isinstance(value, Tensor) and bool(value.isnan().any()):
        raise Mistake(
            "Where a vector equals a code, NaN comes out: rounding left a number below zero, and its root was taken.",
            "No root is needed anywhere.",
        )
    got = _given(value, (60, 60))
    if bool((got < 0).any()):
        raise Mistake(
            "Some squared distances are negative. Where a vector nearly equals a code, rounding of the three terms "
            "can leave a little less than nothing.",
            "What is the smallest value a squared distance can have?",
        )
    _judge_distances(got, z, e)


def _judge_far_away(answer: Answer) -> None:
    place = 1000 * torch.tensor([1.0, -1.0, 1.0]).repeat(3)  # no single number brings all coordinates back
    z, e = _vectors(40, 9) + place, _codes(30, 9) + place
    right = _squared(z, e)
    got = _given(answer(z, e), (40, 30)).double()
    if bool(((got - right).abs() > 0.01 * right).any()):
        raise Mistake(
            "Far from the origin the distances drown in rounding: squares near a million are subtracted from each "
            "other, and float32 keeps seven digits of them.",
            "Moving all vectors and all codes by the same vector changes no distance. Which one makes the squares "
            "small? (torch.cdist expands the square too, unless compute_mode says otherwise.)",
        )


def _judge_memory(answer: Answer) -> None:
    n, k, d = 800, 10, 200  # few codes, so that a patient loop over all pairs has the time it needs
    z, e = _vectors(n, d), _codes(k, d)
    with _largest_allocation(z, e) as largest:
        value = answer(z, e)
    _judge_distances(_given(value, (n, k)), z, e)
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


@exercise(points=1)
def nearest_as_linear(answer: Answer) -> None:
    """Judge ``nearest_as_linear(codebook)`` by the distances that its argmax achieves."""
    for k, d, dtype in ((7, 3, torch.float32), (6, 4, torch.float64), (1, 3, torch.float32), (5, 1, torch.float32)):
        codebook = _codes(k, d, dtype)
        given = nn.Parameter(codebook.clone()) if d == 4 else codebook.T.contiguous().T
        weight, bias = _layer(answer(given), k, d)
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
    _judge_quantized(answer, z_e.transpose(2, 3).requires_grad_(), nn.Parameter(codebook))


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
    if not _agree(e_k, right.double()):
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


@exercise(points=2)
def kmeans_step(answer: Answer) -> None:
    """Judge ``kmeans_step(z, codebook)``: codes in use at the means of their cells, unused ones where they were."""
    for n, k, d, dtype, unused in (
        (41, 6, 3, torch.float32, 1),
        (30, 5, 2, torch.float64, 4),  # the last: a count that ends with the codes in use is too short
        (1, 4, 3, torch.float32, 1),
        (9, 1, 2, torch.float32, None),
        (12, 3, 1, torch.float32, None),
    ):
        z, codebook = _clear_cells(n, k, d, dtype, unused)
        _judge_step(answer, z, codebook)
    z, codebook = _clear_cells(25, 4, 3, torch.float32, unused=0)
    _judge_step(answer, z.T.contiguous().T.requires_grad_(), nn.Parameter(codebook))


def _clear_cells(n: int, k: int, d: int, dtype: torch.dtype, unused: int | None) -> tuple[Tensor, Tensor]:
    """Draw vectors that all have one clearly nearest code, and one code, if asked for, that nobody chooses."""
    while True:
        z = torch.randn(n, d, dtype=dtype) + 2
        codebook = 0.9 * torch.randn(k, d, dtype=dtype) + 1.7
        if unused is not None:
            codebook[unused] = -6.0 - torch.rand(d, dtype=dtype)
        distance = _squared(z, codebook)
        nearest = distance.topk(min(2, k), dim=1, largest=False).values
        clear = k == 1 or bool((nearest[:, 1] - nearest[:, 0] > 1e-2).all())
        if clear and (n < 20 or (len(distance.argmin(dim=1).unique()) >= k - 2 and _takes_long(z, codebook))):
            return z, codebook


def _takes_long(z: Tensor, codebook: Tensor) -> bool:
    """Whether one step, two steps, many, and one with the codes moving in turn end at different places."""
    ends = [_steps(z, codebook, 1), _steps(z, codebook, 2), _steps(z, codebook, 40), _one_by_one(z, codebook)]
    return all(float((a - b).abs().max()) > 0.01 for a, b in combinations(ends, 2))


def _one_by_one(z: Tensor, codebook: Tensor) -> Tensor:
    """Move one code at a time, and let each see where those before it have gone."""
    moved = codebook.clone()
    for j in range(len(codebook)):
        cell = z[_squared(z, moved).argmin(dim=1) == j]
        moved[j] = cell.mean(dim=0) if len(cell) else moved[j]
    return moved


def _steps(z: Tensor, codebook: Tensor, count: int) -> Tensor:
    for _ in range(count):
        codebook = package_step(z, codebook)
    return codebook


def _judge_step(answer: Answer, z: Tensor, codebook: Tensor) -> None:
    value = answer(z, codebook)
    z, codebook = z.detach(), codebook.detach()
    indices = _squared(z, codebook).argmin(dim=1)
    used = torch.bincount(indices, minlength=len(codebook)) > 0
    _judge_step_shape(value, z, codebook, used)
    got, right = value.detach(), package_step(z, codebook)
    if not _agree(_given(got[used], right[used].shape), right[used].double()):
        _explain_step(got, right, z, codebook, indices, used)
    if bool(got.isnan().any()):
        raise Mistake(
            "A code that no vector chose becomes NaN: the mean of nothing is 0/0.",
            "Such a code should stay where it is.",
        )
    if not _agree(got, right.double()):
        _explain_unused(got[~used], codebook[~used], z)
    if got.dtype != codebook.dtype:
        raise Mistake(f"The codes are right, but for {codebook.dtype} you return {got.dtype}.", "Keep the dtype.")


def _judge_step_shape(value: Any, z: Tensor, codebook: Tensor, used: Tensor) -> None:
    if isinstance(value, tuple | list):
        raise Mistake(f"{len(value)} values came back; only the new codebook, (K, D), is asked for.")
    shape = tuple(value.shape) if isinstance(value, Tensor) else None
    if shape == tuple(codebook.shape):
        return
    if shape == (int(used.nonzero().max()) + 1, codebook.shape[1]):
        raise Mistake(
            f"The codes after the last one in use have vanished: {shape[0]} of {len(codebook)} rows came back.",
            "How many codes there are, the codebook knows; the indices do not.",
        )
    if shape == (int(used.sum()), codebook.shape[1]):
        raise Mistake(
            f"Codes that no vector chose have vanished: {shape[0]} of {len(codebook)} rows came back, and the others "
            "have changed their numbers.",
            "Every code keeps its row.",
        )
    if shape == tuple(z.shape):
        raise Mistake("One row a vector came back; the new codebook has one row a code.", "Average within each cell.")
    if shape == (len(z),):
        raise Mistake("One number a vector came back, such as its index; that is only the first half of the step.")
    _given(value, tuple(codebook.shape))


def _explain_step(got: Tensor, right: Tensor, z: Tensor, codebook: Tensor, indices: Tensor, used: Tensor) -> None:
    distance, n, k = _squared(z, codebook), len(z), len(codebook)
    count = torch.bincount(indices, minlength=k)[:, None]
    total = torch.zeros_like(codebook).index_add_(0, indices, z)
    middle = codebook.clone()
    for j in used.nonzero().flatten():
        middle[j] = z[indices == j].median(dim=0).values
    packed = codebook.clone()
    packed[: int(used.sum())] = right[used]
    by_dot, farthest = (z @ codebook.T).argmax(dim=1), distance.argmax(dim=1)
    by_cosine = (z @ F.normalize(codebook, dim=1).T).argmax(dim=1)
    after = "Find all indices first, with the codebook as it was given, and only then move codes."
    known = [
        (total, "These are the sums of the cells; divide each by the number of its vectors.", ""),
        (total / n, "You divide by the number of all vectors; divide by those of the cell.", ""),
        (total / k, "You divide by the number of codes; divide by the number of vectors in the cell.", ""),
        (
            _means(z, indices, codebook, least=2),
            "A code that one vector alone chose has not moved.",
            "What is the mean of a single vector?",
        ),
        (codebook, "Nothing has moved.", "Do you average the vectors of a cell, or the codes they chose?"),
        (_steps(z, codebook, 2), "The vectors are assigned again after the codes have moved: two steps.", after),
        (_one_by_one(z, codebook), "Codes that have moved already take part in the search for the others.", after),
        (
            _steps(z, codebook, 40),
            "You go on until nothing changes; one step is asked for.",
            "Leave out the outer loop.",
        ),
        (right - codebook, "These are the ways that the codes go; their new places are asked for.", ""),
        (total / (count + 1), "You divide by one too many, which draws every code to the origin.", ""),
        ((total + codebook) / (count + 1), "The old code is counted as one of its vectors.", ""),
        (middle, "You take the median of each cell; the mean makes the squared error small.", ""),
        (
            z[distance.argmin(dim=0)],
            "Each code jumps to the vector nearest to it; it should move to the mean of its cell.",
            "argmin over the codes, for each vector.",
        ),
        (z.mean(dim=0).expand_as(codebook), "All codes move to the mean of all vectors.", "One mean a cell."),
        (_means(z, by_dot, codebook), "You assign by the largest dot product, not by the distance.", ""),
        (_means(z, by_cosine, codebook), "You assign by the largest cosine, not by the distance.", ""),
        (_means(z, farthest, codebook), "You assign each vector to the code that is farthest away.", ""),
        (
            _means(z, indices, codebook).mean(dim=1, keepdim=True).expand_as(codebook),
            "You average over the coordinates as well; each coordinate has a mean of its own.",
            "mean(dim=0)",
        ),
        (packed, "The means are right, but stand at the wrong rows: an empty cell shifts all those behind it.", ""),
    ]
    for width in (1.0, 2.0):
        shares = (-distance / width).softmax(dim=1)
        known += [
            (
                shares.T @ z.double() / shares.sum(dim=0)[:, None],
                "Every vector takes part in every code, with soft shares: this is EM, not k-means.",
                "Each vector belongs to one cell.",
            )
        ]
    recognise(got[used], [(candidate[used], *rest) for candidate, *rest in known], CLOSE)
    way = (right - codebook)[used]
    part = float(((got - codebook)[used] * way).sum() / way.square().sum())
    if abs(part - 1) > 0.005 and _agree((got - codebook)[used], part * way.double()):
        raise Mistake(
            f"The codes move {part:.2g} times as far as to the means of their cells.",
            "A step of k-means goes all the way, whatever the step before was.",
        )
    raise Mistake(
        "The codes that are in use are not at the means of the vectors that chose them.",
        "Take one code: which vectors are nearest to it, and what is their mean?",
    )


def _means(z: Tensor, indices: Tensor, codebook: Tensor, least: int = 1) -> Tensor:
    """Average each cell of at least so many vectors; the other codes stay."""
    members = F.one_hot(indices, len(codebook)).to(z.dtype)
    count = members.sum(dim=0)[:, None]
    return torch.where(count >= least, members.T @ z / count.clamp(min=1), codebook)


def _explain_unused(got: Tensor, before: Tensor, z: Tensor) -> None:
    stay = "Such a code should stay exactly where it is."
    if not bool(got.any()) or float(got.abs().max()) < 1e-3:
        raise Mistake("A code that no vector chose is pulled to the origin.", stay)
    if torch.allclose(got, z.mean(dim=0).to(got).expand_as(got), atol=1e-4):
        raise Mistake("A code that no vector chose is moved to the mean of all vectors.", stay)
    if float(_squared(got, z).min(dim=1).values.max()) < 1e-6:
        raise Mistake("A code that no vector chose is moved onto a vector. That restart is another method.", stay)
    raise Mistake("A code that no vector chose has moved.", stay)


# compression_ratio


@exercise(points=1)
def compression_ratio(answer: Answer) -> None:
    """Judge ``compression_ratio(shape, latent, K, bits=8)``: bits of the picture over bits of the indices."""
    for shape, latent, k, bits in (
        ((3, 40, 24), (11, 5, 6), 600, None),
        ((3, 32, 48), (64, 8, 12), 512, 12),
        ((1, 28, 36), (7, 14, 9), 100, 8),
        ((4, 20, 30), (1, 4, 3), 2, 16),
    ):
        got = answer.number(shape, latent, k, *([] if bits is None else [bits]))
        _judge_ratio(got, shape, latent, k, 8 if bits is None else bits)


def _judge_ratio(got: float, shape: tuple[int, ...], latent: tuple[int, ...], k: int, bits: int) -> None:
    (c, height, width), (d, h, w) = shape, latent
    raw, each = c * height * width * bits, math.log2(k)
    right = raw / (h * w * each)
    if close(got, right, 1e-4):
        return
    no_d = "Only the index is sent; the receiver looks the D numbers up."
    values = {
        ("You count D numbers at each place, but no code is sent.", no_d): [
            raw / (h * w * d * per) for per in (32, 64, 16, 8, bits, each, 1)
        ]
        + [c * height * width / (h * w * d)],
        ("You leave out the channels of the picture: each pixel has C numbers.", ""): [right / c],
        ("You measure the indices in nats; the picture is measured in bits.", "Which base has the logarithm?"): [
            raw / (h * w * math.log(k))
        ],
        ("The logarithm has base 10; bits need base 2.", ""): [raw / (h * w * math.log10(k))],
        ("You take K bits for an index; how many bits tell K numbers apart?", ""): [raw / (h * w * k)],
        ("You round the bits of an index; several indices can share theirs.", "Leave the logarithm as it is."): [
            raw / (h * w * math.ceil(each)),
            raw / (h * w * math.floor(each)),
            raw / (h * w * k.bit_length()),
        ],
        ("You divide numbers by indices; compare the bits they take.", "An index has log2 K bits."): [
            c * height * width / (h * w),
            raw / (h * w),
        ],
        ("You count the bits of the integers in memory (32 or 64); an index below K needs fewer.", ""): [
            raw / (h * w * per) for per in (16, 32, 64)
        ],
        ("The numbers of the raw picture have bits, too.", "The default is 8."): [right / bits],
        ("The number of bits is always 8, whatever bits says.", ""): [right / bits * 8],
        ("This is the inverse: how large the message is compared with the picture.", ""): [1 / right, 100 / right],
        ("This is the share of bits that is saved; how many times fewer bits are there?", ""): [
            1 - 1 / right,
            100 * (1 - 1 / right),
        ],
        ("These are bits; how many times fewer are there than in the picture?", ""): [
            h * w * each,
            h * w * each / (height * width),
        ],
        ("You compare areas; compare the bits.", "What does a pixel cost, and what does an index?"): [
            height * width / (h * w)
        ],
        ("You count one index for the whole picture; there is one at each of h·w places.", ""): [raw / each],
        ("You take the wrong two axes of the latent: it is (D, h, w), and the places are h·w.", ""): [
            raw / (d * h * each),
            raw / (d * w * each),
        ],
        ("You count the places along one side only; there are h·w.", ""): [raw / (h * each), raw / (w * each)],
        ("You count the codebook; it is shared by many pictures and left out here.", ""): [
            raw / (h * w * each + k * d * per) for per in (1, 8, 16, 32, 64, bits)
        ],
        ("The logarithm is taken of all indices together; it belongs to each of them.", ""): [
            raw / math.log2(h * w * k)
        ],
    }
    for (message, hint), candidates in values.items():
        if any(close(got, candidate, 1e-4) for candidate in candidates):
            raise Mistake(message, hint)
    if got == math.floor(right) or any(got == round(right, digits) for digits in range(3)):
        raise Mistake("The ratio is rounded.", "Divide with /, and do not round.")
    raise Mistake(
        f"For a picture {shape}, a latent {latent}, K = {k} and {bits} bits the ratio is not {got:.4g}.",
        "Bits of the picture: all its numbers. Bits of the message: one index at each place.",
    )
