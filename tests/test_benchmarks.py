"""The benchmarks measure what they say. How fast anything is, no test asks."""

import json
import math
import sys
import time
from pathlib import Path

import nbformat
import pytest
import torch

from benchmarks import hierarchy, sampling, training
from benchmarks.__main__ import RESULTS, sampling_table
from benchmarks.measure import interleaved, peak_mib, table
from vqvae_course.data import ImageSet
from vqvae_course.pixelsnail import CausalAttention
from vqvae_course.vqvae2 import VQVAE2Config


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


@pytest.mark.parametrize("attention", [False, True])
def test_sampling_compares_two_ways_that_agree(attention):
    row = sampling.measure((2, 3, 4), attention=attention)
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
    assert sampling.products_per_position(layer, 100) == 3 * 5 * 2 + 5 * 2


def test_the_arithmetic_of_attention_grows_with_the_map():
    attention = CausalAttention(hidden=8, heads=2)
    weights = attention.query.weight.numel() + attention.key_value.weight.numel() + attention.out.weight.numel()
    # 8 products with each earlier key and 8 with each earlier value; on average half of 10 positions are earlier.
    assert sampling.products_per_position(attention, 10) == weights + (8 + 8) * 10 / 2


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


def test_the_whole_hierarchy_runs_and_writes_its_numbers_picture_and_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setattr(hierarchy, "PROBE", 2)
    images, labels = torch.randint(256, (300, 3, 16, 16), dtype=torch.uint8), torch.arange(300) % 2
    data = ImageSet(images, labels, "noise")
    config = VQVAE2Config(3, 4, 0, 2, num_codes=(4, 5), code_dim=2, strides=(2, 2))
    found = hierarchy.run(data, data.take(slice(100)), config, 0.0, "cpu", tmp_path, hidden=4, samples=80)
    assert json.loads((tmp_path / "hierarchy_noise.json").read_text())["levels"] == [[4, 4, 4], [8, 8, 5]]
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md", ".png", ".pt"}
    assert "not measured" not in (tmp_path / "hierarchy_noise.md").read_text().partition("test images")[0]
    assert found["nats_per_image"] == pytest.approx(
        sum(n * prior["nats_per_code"] for n, prior in zip((16, 64), found["priors"], strict=True))
    )
    assert set(found["measures"]["samples"]) >= {"agreement", "frechet_distance", "precision", "recall"}


def test_the_results_on_the_page_are_stored():
    text = RESULTS.read_text(encoding="utf-8")
    assert text.startswith("Measured on 20")
    for heading in (
        "## The whole quantizer",
        "## One training update",
        "## Sampling",
        "## Sampling with attention",
        "## Importing",
    ):
        assert heading in text
    assert "NO" not in text.split()


def test_a_table_has_a_line_below_its_header():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_page_of_the_gpu_run_says_what_its_numbers_say():
    numbers = RESULTS.with_name("hierarchy_cifar10_jpeg.json")
    found = json.loads(numbers.read_text(encoding="utf-8"))
    assert numbers.with_suffix(".md").read_text(encoding="utf-8") == hierarchy.report(found)
    notebooks = Path(__file__).parents[1] / "notebooks"
    cells = nbformat.read(notebooks / "13_hierarchical_priors.ipynb", as_version=4).cells
    (page,) = [cell.source for cell in cells if cell.id == "gpu-results"]
    stage_1, (top, bottom), rows = found["stage 1"], found["priors"], found["measures"]
    scores = [rows[name]["classification_accuracy_score"] for name in ("training images", "samples")]
    agreement = [rows[name]["agreement"] for name in ("test images", "samples", "samples, the best quarter")]
    for number in (
        f"{stage_1['seconds']:.0f} s | normalised MSE {stage_1['normalized_mse']:.3f}",
        f"{top['seconds']:.0f} s | {top['nats_per_code']:.2f} nats",
        f"{bottom['seconds']:.0f} s | {bottom['nats_per_code']:.2f} nats",
        f"{found['nats_per_image']:,.0f} nats an image",
        f"{found['sampling_seconds']:.1f} s",
        *(f"{100 * share:.1f} %" for share in agreement),
        *(f"{score:.3f}" for score in scores),
    ):
        assert number in page, number
