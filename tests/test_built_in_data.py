"""The built-in sets are the same pixels on every machine: other processors, threads and releases of what draws them."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from vqvae_course.data import BUILT_IN, load_images
from vqvae_course.glyphs import draw_glyphs
from vqvae_course.scenes import draw_scenes

HASHES = {
    ("glyphs", "train"): "47494b9d12b8c6b7dfe3290abab91e894b7f3be5fd75b0d148c561512cfc88e2",
    ("glyphs", "test"): "0674c827c38dc20c9ccc051f198dbc54886be836d939edd2fd6ec61e7932c736",
    ("scenes", "train"): "5f2828ef5cf02117a1b17a61b0756b4a8f09c5ca150592ff2059ebb66adcfd41",
    ("scenes", "test"): "830f7f1d5ebc363d5dc17c5d2e2a1a733a10bd4b0c5e895cb998af71dd393e8e",
}


def hash_of(name: str, split: str) -> str:
    images, labels, _ = load_images(name, split)
    assert images.is_contiguous()
    assert labels.is_contiguous()
    return sha256(images.numpy().tobytes() + labels.numpy().astype("<i8").tobytes()).hexdigest()


@pytest.mark.parametrize(("name", "split"), HASHES)
def test_a_built_in_set_is_these_pixels_and_labels(name, split):
    assert hash_of(name, split) == HASHES[name, split]


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_pixel_is_near_to_being_rounded_the_other_way(name, monkeypatch):
    """Processors and releases differ by some 1e-12 of a grey level, a thousandth of what is asserted here."""
    nearest, rounded = [], torch.Tensor.round

    def measured(x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.float64
        nearest.append(float((x - x.floor() - 0.5).abs().min()))
        return rounded(x)

    monkeypatch.setattr(torch.Tensor, "round", measured)
    for split in ("train", "test"):
        load_images(name, split)
    assert min(nearest) > 1e-9


@pytest.mark.parametrize("changed", [{"ATEN_CPU_CAPABILITY": "default"}, {"OMP_NUM_THREADS": "3"}])
def test_another_processor_draws_the_same_pixels(changed):
    """In a process of its own: a processor's best instructions are chosen once, when torch is loaded."""
    draw = "from tests.test_built_in_data import hash_of; print(hash_of('glyphs', 'test'), hash_of('scenes', 'test'))"
    done = subprocess.run(
        [sys.executable, "-c", draw],
        cwd=Path(__file__).parents[1],
        env=os.environ | changed,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [HASHES["glyphs", "test"], HASHES["scenes", "test"]]


@pytest.mark.parametrize(
    "draw", [lambda g: draw_glyphs(3, g), lambda g: draw_scenes(3, 8, g)], ids=["glyphs", "scenes"]
)
def test_built_in_sets_are_drawn_by_one_thread(draw, monkeypatch):
    seen, rounded = [], torch.Tensor.round

    def watched(x: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return rounded(x)

    monkeypatch.setattr(torch.Tensor, "round", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        draw(torch.Generator().manual_seed(0))
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}
