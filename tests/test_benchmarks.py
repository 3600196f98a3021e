"""The benchmarks measure what they say. How fast anything is, no test asks."""

import io
import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import torch

from benchmarks import hierarchy, precision, quality, sampling, scaling, training
from benchmarks.__main__ import RESULTS, sampling_table
from benchmarks.measure import interleaved, table, with_section
from benchmarks.workers import Worker, train_on_request
from vqvae_course.data import ImageSet
from vqvae_course.pixelsnail import CausalAttention
from vqvae_course.vqvae2 import VQVAE2Config

ROOT = Path(__file__).resolve().parents[1]


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
    call = """
import torch
from benchmarks.measure import peak_mib

def call():
    for _ in range(3):
        torch.ones(2**24)  # 64 MiB, one at a time

print(peak_mib(call))
"""
    # In a process of its own: how an allocator lays out blocks depends on all that was allocated there before.
    run = subprocess.run([sys.executable, "-c", call], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 60 < float(run.stdout) < 100


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


TINY = {"hidden": 4, "residual_layers": 0, "num_codes": 5, "code_dim": 2}


def test_a_worker_makes_as_many_updates_as_it_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("0\n2\n1\n"))
    model, batch, step = precision.build({"batch_size": 2, **TINY})
    updates = []
    train_on_request(model, batch, lambda model, batch: (updates.append(len(batch.x)), step(model, batch))[1], lr=1e-3)
    assert updates == [2, 2, 2]
    assert capsys.readouterr().out.split() == ["done"] * 3


def test_what_goes_wrong_in_a_worker_is_not_taken_for_its_end(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n1\n"))
    model, batch, step = precision.build({"batch_size": 2, **TINY})
    with pytest.raises(ValueError, match="x must have shape"):
        train_on_request(model, batch._replace(x=batch.x[:, :2]), step, lr=1e-3)


def test_precisions_are_measured_in_processes_of_their_own():
    found = precision.measure({"batch_size": 2, **TINY}, rounds=1)
    assert list(found) == ["float32", "bfloat16"]
    assert all(seconds > 0 for seconds in found.values())
    assert "| tiny | " in precision.speed_table({"tiny": found})


def test_a_worker_that_fails_is_noticed():
    worker = Worker("benchmarks.precision", [{"batch_size": 2, "hidden": 0}, "float32"])
    with pytest.raises(RuntimeError, match="ended with status 1"):
        worker.update()
    worker.process.stdin.close()
    worker.process.stdout.close()


@pytest.mark.parametrize("name", [*precision.NETWORKS, *precision.PRIORS])
def test_every_network_can_be_built(name):
    network = (precision.NETWORKS | precision.PRIORS)[name]
    _, batch, _ = precision.build(network)
    assert len(batch.x) == network["batch_size"]


def test_a_section_is_replaced_and_the_others_stay():
    page = "line\n\n## a\n\nold\n\n## b\n\nkept\n"
    assert with_section(page, "a", "new") == page.replace("old", "new")
    assert with_section(page, "b", "new") == page.replace("kept", "new")
    assert with_section(page, "c", "new") == page + "\n## c\n\nnew\n"


def test_quality_trains_both_presets_and_measures_on_other_images(monkeypatch):
    for name in ("cifar10-classic", "cifar10"):
        preset = quality.PRESETS[name]

        def small(device, preset=preset):
            chosen = preset(device)
            return replace(chosen, network=replace(chosen.network, **TINY))

        monkeypatch.setitem(quality.PRESETS, name, small)
    images = ImageSet(torch.randint(256, (40, 3, 8, 12), dtype=torch.uint8), torch.zeros(40).long(), "noise")
    found = quality.measure(images, images.take(slice(7)), steps=(1, 2), seeds=1)
    assert [(run["preset"], run["steps"]) for run in found["runs"]] == [
        ("cifar10-classic", 1),
        ("cifar10-classic", 2),
        ("cifar10", 1),
        ("cifar10", 2),
    ]
    assert found["images"] == [40, 7]
    assert "| `cifar10` | 2 | " in quality.report(found)


def test_every_kind_of_collective_has_a_name():
    config = scaling.VQVAEConfig(**TINY)
    kinds = [
        scaling.kind_of("all_reduce", torch.zeros(5), config),
        scaling.kind_of("all_reduce", torch.zeros(5, 2), config),
        scaling.kind_of("all_reduce", torch.zeros(2), config),
        scaling.kind_of("all_reduce", torch.zeros(()), config),
        scaling.kind_of("all_gather", torch.zeros(3).long(), config),
        scaling.kind_of("all_gather", torch.zeros(3, 2), config),
        scaling.kind_of("broadcast", torch.zeros(3, 2), config),
    ]
    assert len(set(kinds)) == 7


@pytest.mark.parametrize("name", scaling.FAULTS)
def test_a_process_alone_has_nothing_to_differ_from_and_every_fault_is_undone(name):
    shared = {name: getattr(scaling.vqvae_course.quantize, name) for name in scaling.ALONE}
    images = ImageSet(torch.randint(256, (64, 1, 8, 12), dtype=torch.uint8), torch.zeros(64).long(), "noise")
    found = scaling.train_with(scaling.FAULTS[name], 2, images, images.take(slice(3)))
    assert found["drift"] == found["codes_differ"] == 0
    assert found["normalized_mse"] == found["normalized_mse_of_foreign_codes"] > 0
    assert {name: getattr(scaling.vqvae_course.quantize, name) for name in scaling.ALONE} == shared


@pytest.mark.parametrize(("module", "name"), [(scaling, "scaling"), (quality, "quality_cifar10_jpeg")])
def test_the_pages_say_what_the_numbers_say(module, name):
    numbers = RESULTS.with_name(f"{name}.json")
    found = json.loads(numbers.read_text(encoding="utf-8"))
    assert numbers.with_suffix(".md").read_text(encoding="utf-8") == module.report(found)


def test_the_results_on_the_page_are_stored():
    text = RESULTS.read_text(encoding="utf-8")
    assert text.startswith("Measured on 20")
    for heading in (
        "## The whole quantizer",
        "## One training update",
        "## Sampling",
        "## Sampling with attention",
        "## Importing",
        "## The precision of a training update",
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
        f"{found['nats_per_image']:,.0f} nats per image",
        f"{found['sampling_seconds']:.1f} s",
        *(f"{100 * share:.1f} %" for share in agreement),
        *(f"{score:.3f}" for score in scores),
    ):
        assert number in page, number
