import re

import pytest
import torch

from vqvae_course.indices import check_indices, count_indices, holds_integers
from vqvae_course.quantize import VectorQuantizer

B, H, W, K = 2, 3, 4, 7


@pytest.mark.parametrize("value", [-1, K])
@pytest.mark.parametrize("dtype", [torch.int8, torch.int64])
@pytest.mark.parametrize("training", [False, True])
def test_an_index_outside_is_refused_with_the_range_that_was_found(value, dtype, training):
    indices = torch.full((B, H, W), 2, dtype=dtype)
    indices[1, 0, 3] = value
    message = f"labels must lie in [0, {K}), got {min(value, 2)} to {max(value, 2)}"
    with pytest.raises(ValueError, match=re.escape(message)):
        check_indices(indices, K, "labels", training)


def test_every_index_inside_passes():
    check_indices(torch.arange(K), K)
    check_indices(torch.zeros(0, H, W, dtype=torch.int64), K)


@pytest.mark.parametrize(
    ("dtype", "whole"),
    [(torch.uint8, True), (torch.int64, True), (torch.bool, False), (torch.float16, False), (torch.complex64, False)],
)
def test_only_whole_numbers_are_integers(dtype, whole):
    assert holds_integers(torch.zeros(3, dtype=dtype)) is whole


def test_a_lookup_can_be_exported():
    class Lookup(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.quantizer = VectorQuantizer(K, 5)

        def forward(self, indices):
            return self.quantizer.lookup(indices)

    model, indices = Lookup(), torch.randint(K, (B, H, W))
    exported = torch.export.export(model, (indices,)).module()
    assert torch.equal(exported(indices.flip(0)), model(indices.flip(0)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_each_index_is_counted_as_often_as_it_occurs(dtype):
    indices = torch.tensor([[[0, 3, 3], [6, 3, 0]]], dtype=dtype)
    count = count_indices(indices, K)
    assert count.dtype == torch.int64
    assert count.tolist() == [2, 0, 0, 3, 0, 0, 1]
    assert count_indices(indices[:0], K).tolist() == [0] * K
