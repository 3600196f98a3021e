"""The README's program does both stages, from images to new images."""

import re
from pathlib import Path

import pytest
import torch

from vqvae_course import data

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_program_of_the_readme_runs_from_images_to_new_images(tmp_path, monkeypatch):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.S)
    program, count = re.subn(r"TrainConfig\(steps=500", "TrainConfig(steps=3, progress=False", program)
    assert count == 2
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(data.SPLIT_SIZES, "train", 300)
    names: dict = {}
    exec(program, names)
    assert names["new_images"].shape == (10, 1, 28, 28)
    assert 0 <= names["new_images"].min() <= names["new_images"].max() <= 1
    assert torch.equal(names["codes"].indices, data.encode_dataset(names["model"], names["images"]).indices)
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"vqvae.pt", "codes.npz"}
    names["model"].train()(torch.rand(4, 1, 28, 28))  # one more look at images, and the codebook is another
    with pytest.raises(ValueError, match="must hold codes of this model"):
        data.load_codes("runs/codes.npz", names["model"])
