"""Equation 1 and the fast search for it: both are held against all differences at once, and against each other."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.distances import assert_nearest
from vqvae_course import nearest, quantize
from vqvae_course.nearest import FEW_SCORES, SCORES_AT_ONCE, nearest_fast
from vqvae_course.quantize import nearest_code

D, K = 3, 5
CHUNK = SCORES_AT_ONCE // K  # latents at once

SHAPES = [
    (0, K, D),
    (1, K, D),
    (1, 1, 1),
    (7, 1, D),
    (48, K, D),
    (11, 97, 1),
    (300, 33, 64),
    (CHUNK - 1, K, D),
    (CHUNK, K, D),
    (CHUNK + 1, K, D),
    (2 * CHUNK, K, D),
    (2 * CHUNK + 1, K, D),
]


def equation(monkeypatch):
    """Compute all scores at once, whatever their number."""
    monkeypatch.setattr(quantize, "fits_at_once", lambda z, codebook: True)
    return nearest_code


def as_on_a_gpu(monkeypatch):
    """Search in float64 from the start, as a GPU does: its form needs no GPU to be tested."""
    monkeypatch.setattr(nearest, "_compared_in", lambda z, codebook: torch.float64)
    return nearest_fast


WAYS = {
    "nearest_code": lambda monkeypatch: nearest_code,
    "equation": equation,
    "fast": lambda monkeypatch: nearest_fast,
    "fast, as on a GPU": as_on_a_gpu,
}


@pytest.fixture(params=WAYS)
def search(request, monkeypatch):
    return WAYS[request.param](monkeypatch)


@pytest.mark.parametrize(("n", "k", "d"), SHAPES)
def test_nearest_code_agrees_with_a_broadcast(search, n, k, d):
    z, codebook = torch.randn(n, d), torch.randn(k, d)
    assert_nearest(search(z, codebook), z, codebook)


@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_nearest_code_stays_exact_far_from_the_origin(search, spread):
    z, codebook = 1000 + spread * torch.randn(300, D), 1000 + spread * torch.randn(50, D)
    assert_nearest(search(z, codebook), z, codebook)


def test_nearest_code_stays_exact_in_clusters_far_apart(search):
    side = torch.tensor([1000.0, -1000.0])
    z = torch.randn(300, D) + side.repeat(150)[:, None]
    codebook = torch.randn(50, D) + side.repeat(25)[:, None]
    assert_nearest(search(z, codebook), z, codebook)


def test_nearest_code_stays_exact_beside_one_code_far_away(search):
    z, codebook = 0.01 * torch.randn(300, D), 0.01 * torch.randn(50, D)
    codebook[7] = 1e4
    assert_nearest(search(z, codebook), z, codebook)


def test_a_latent_on_a_code_chooses_it(search):
    codebook = 1000 + torch.randn(50, D)
    order = torch.randperm(50)
    assert torch.equal(search(codebook[order], codebook), order)


def test_equal_codes_tie_without_harm(search):
    codebook = torch.randn(K, D).repeat(2, 1)
    z = torch.cat([torch.randn(40, D), codebook])
    assert_nearest(search(z, codebook), z, codebook)


def test_codes_that_are_all_equal_tie_without_harm(search):
    z, codebook = torch.randn(40, D), torch.ones(K, D)
    assert_nearest(search(z, codebook), z, codebook)


def test_nearest_code_reads_any_memory_layout(search):
    z, codebook = torch.randn(D, 60).T[::2], torch.randn(D, K).T
    assert not z.is_contiguous()
    assert torch.equal(search(z, codebook), search(z.contiguous(), codebook.contiguous()))


def test_nearest_code_keeps_float64_precision(search):
    # The codes differ by less than float32 can tell apart at 1.
    codebook = 1 + 1e-12 * torch.arange(K, dtype=torch.float64)[:, None].repeat(1, D)
    assert torch.equal(search(codebook, codebook), torch.arange(K))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_latents_are_compared_in_float32(search, dtype):
    # Distances near 1 that differ by less than this dtype resolves there.
    z = torch.ones(40, 1, dtype=dtype)
    codebook = torch.tensor([[0.0], [2 - 1e-4], [2 + 1e-4]])
    assert torch.equal(search(z, codebook), torch.ones(40, dtype=torch.int64))
    z, codebook = torch.randn(60, D).to(dtype), torch.randn(K, D).to(dtype)
    assert_nearest(search(z, codebook), z, codebook)


def test_latents_and_codebook_may_differ_in_dtype(search):
    z, codebook = torch.randn(60, D).bfloat16(), torch.randn(K, D, dtype=torch.float64)
    assert_nearest(search(z, codebook), z, codebook)


def test_autocast_changes_no_index(search):
    z, codebook = 10 + torch.randn(60, D), 10 + torch.randn(200, D)  # so many codes that bfloat16 would choose others
    expected = search(z, codebook)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(search(z, codebook), expected)


def test_nearest_code_takes_part_in_no_gradient_and_changes_no_input(search):
    z, codebook = torch.randn(60, D, requires_grad=True), torch.randn(K, D, requires_grad=True)
    before = z.detach().clone(), codebook.detach().clone()
    indices = search(z, codebook)
    assert not indices.requires_grad
    assert torch.equal(z, before[0])
    assert torch.equal(codebook, before[1])


def test_latents_that_are_not_numbers_still_get_an_index_of_the_codebook(search):
    z, codebook = torch.randn(4, 3), torch.randn(5, 3)
    z[1] = math.nan
    z[2, 0] = math.inf
    indices = search(z, codebook)
    assert 0 <= int(indices.min()) <= int(indices.max()) < 5
    assert torch.equal(indices[[0, 3]], search(z[[0, 3]], codebook))


@pytest.mark.parametrize(
    ("z_shape", "codebook_shape"), [((48, D), (K, D + 1)), ((2, 24, D), (K, D)), ((48, D), (D,)), ((D,), (K, D))]
)
def test_nearest_code_refuses_shapes_that_do_not_fit(search, z_shape, codebook_shape):
    with pytest.raises(ValueError, match=r"z and codebook must have shapes \(N, D\) and \(K, D\)"):
        search(torch.randn(z_shape), torch.randn(codebook_shape))


def test_nearest_code_refuses_an_empty_codebook(search):
    with pytest.raises(ValueError, match="codebook must hold at least one code"):
        search(torch.randn(48, D), torch.randn(0, D))


@pytest.mark.parametrize("offset", [0.0, 30.0, 1000.0])
@pytest.mark.parametrize("spread", [1e-3, 1.0])
def test_the_fast_search_finds_what_the_equation_finds(monkeypatch, offset, spread):
    z, codebook = torch.randn(5, 400, 8), torch.randn(5, 60, 8)
    codebook[1, :30] += 500  # two groups of codes
    z[1, :200] += 500
    codebook[2, 7] = 1e4
    codebook[3, 30:] = codebook[3, :30]
    z[4, :60] = codebook[4]
    at_once = equation(monkeypatch)
    for latents, codes in zip(offset + spread * z, offset + spread * codebook, strict=True):
        fast, exact = nearest_fast(latents, codes), at_once(latents, codes)
        distance = torch.linalg.vector_norm(latents.double() - codes[fast], dim=1)
        least = torch.linalg.vector_norm(latents.double() - codes[exact], dim=1)
        torch.testing.assert_close(distance, least, rtol=1e-4, atol=0)


def test_many_scores_are_left_to_the_fast_search(monkeypatch):
    monkeypatch.setattr(quantize, "nearest_fast", lambda z, codebook: "fast")
    z, codebook = torch.randn(FEW_SCORES // 8, D), torch.randn(8, D)
    assert nearest_code(z, codebook).shape == (len(z),)
    assert nearest_code(torch.cat([z, z[:1]]), codebook) == "fast"


class LargestTensor(TorchDispatchMode):
    """Remember the size of the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, torch.Tensor):
                self.numel = max(self.numel, value.numel())
        return result


@pytest.mark.parametrize("way", [nearest_code, nearest_fast])
@pytest.mark.parametrize("scale", [1.0, 1e-6], ids=["float32", "all rows compared again"])
def test_memory_is_bounded_by_one_chunk(way, scale):
    k, d = 40, D
    n = 3 * (SCORES_AT_ONCE // k) + 7
    z, codebook = 1 + scale * torch.randn(n, d), 1 + scale * torch.randn(k, d)
    codebook[0] = 1 + 1 / scale  # the other codes are so close together that float32 is unsure of each row
    with LargestTensor() as largest:
        way(z, codebook)
    assert 0 < largest.numel <= max(SCORES_AT_ONCE, n * d) < n * k


@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="this torch does not say when it exports")
@pytest.mark.parametrize("way", [nearest_code, nearest_fast])
def test_an_exported_graph_finds_the_same_codes_for_any_number_of_latents(way):
    class Search(torch.nn.Module):
        def forward(self, z, codebook):
            return way(z, codebook)

    z, codebook = 3e4 + torch.randn(60, D), 3e4 + torch.randn(K, D)  # so far out that float32 alone errs
    rows = torch.export.Dim("rows")
    exported = torch.export.export(Search(), (z[:7], codebook), dynamic_shapes=({0: rows}, None)).module()
    assert torch.equal(exported(z, codebook), way(z, codebook))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["highest", "high"])
@pytest.mark.parametrize("n", [30, 3000])
def test_nearest_code_on_a_gpu_is_exact_whatever_the_matmul_precision(search, precision, n):
    before = torch.get_float32_matmul_precision()
    z, codebook = torch.randn(n, 64), torch.randn(512, 64)
    try:
        torch.set_float32_matmul_precision(precision)
        indices = search(z.cuda(), codebook.cuda())
    finally:
        torch.set_float32_matmul_precision(before)
    assert_nearest(indices.cpu(), z, codebook)


# --- the least score


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 1), (1, 7), (64, 300)])
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e20])
def test_the_least_score_of_a_row_is_found_with_its_column(dtype, shape, scale):
    scores = (scale * torch.randn(shape)).to(dtype)
    best, chosen = nearest._least(scores.clone(), torch.arange(shape[1], dtype=dtype))
    assert torch.equal(best, scores.amin(dim=1))
    assert torch.equal(chosen, scores.argmin(dim=1))


def test_among_equal_scores_the_column_of_one_of_them_is_named():
    scores = torch.tensor([[3.0, 1.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0], [math.inf, 5.0, math.inf, math.inf]])
    _, chosen = nearest._least(scores.clone(), torch.arange(4.0))
    assert scores[torch.arange(3), chosen].tolist() == [1.0, 0.0, 5.0]
