"""The benchmarks measure what they say. How fast anything is, no test asks."""

import math
import sys
import time

import pytest
import torch

from benchmarks import sampling, training
from benchmarks.__main__ import RESULTS, sampling_table, table
from benchmarks.measure import interleaved, peak_mib


def test_interleaved_calls_each_method_once_a_round_and_returns_medians():
    calls = []
    seconds = interleaved(
        {"a": lambda: calls.append("a"), "b": lambda: (calls.append("b"), time.sleep(0.01))}, rounds=5
    )
    rounds = [set(calls[start : start + 2]) for start in range(0, len(calls), 2)]
    assert rounds == [{"a", "b"}] * 7
    assert seconds["a"] < 0.01 <= seconds["b"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own counter")
def test_the_peak_is_what_a_call_holds_at_most_and_not_what_it_returns():
    def call():
        for _ in range(3):
            torch.ones(2**24)  # 64 MiB, one at a time

    assert 60 < peak_mib(call) < 100


def test_sampling_compares_two_ways_that_agree():
    row = sampling.measure((2, 3, 4))
    assert row["same"] is True
    assert row["timed"] == 12
    assert all(row[name] > 0 for name in ("forward", "naive", "incremental", "gigaflop"))


def test_a_long_naive_loop_is_timed_in_part(monkeypatch):
    monkeypatch.setattr(sampling, "NAIVE_SECONDS", 0.0)
    row = sampling.measure((2, 3, 5))
    assert row["timed"] == 8
    assert row["same"] is None
    assert "from 8 of 15 positions" in sampling_table([row])


def test_the_arithmetic_counts_each_weight_of_each_convolution():
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 5, (2, 1)), torch.nn.Embedding(7, 4), torch.nn.Conv2d(5, 2, 1))
    assert sampling.products_per_position(layer) == 3 * 5 * 2 + 5 * 2


def test_training_compares_with_the_same_network_without_its_quantizer():
    vqvae = training.VQVAE(training.CONFIG)
    wrapped = training.Autoencoder(training.CONFIG)
    with_codes = {name for name, _ in vqvae.named_parameters()}
    assert {name.removeprefix("model.") for name, _ in wrapped.named_parameters()} == with_codes
    assert wrapped(torch.rand(2, 3, 8, 12)).shape == (2, 3, 8, 12)


@pytest.mark.parametrize(("shape", "num_codes"), [((2, 3, 4, 6), 5)])
def test_all_quantizers_return_latents_of_the_input_shape_and_a_loss(shape, num_codes):
    pytest.importorskip("vector_quantize_pytorch", reason="make bench installs it")
    from benchmarks import quantizer

    found = quantizer.contestants(shape, num_codes, "cpu")
    assert len(found) == 5
    for name, quantize in found.items():
        z_q, loss = quantize(torch.randn(shape, requires_grad=True))
        assert z_q.shape == shape, name
        assert math.isfinite(loss.item()), name
    assert set(quantizer.measure(shape, num_codes, rounds=1)) == {"floor", *found}
    assert set(quantizer.memory(shape, num_codes)) == {"floor", *found}


def test_the_results_on_the_page_are_stored():
    text = RESULTS.read_text(encoding="utf-8")
    assert text.startswith("Measured on 20")
    for heading in ("## The whole quantizer", "## One training update", "## Sampling", "## Importing"):
        assert heading in text
    assert "NO" not in text.split()


def test_a_table_has_a_line_below_its_header():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
