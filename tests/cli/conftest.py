"""Commands in this process, a folder with a few tiny pictures to run them on, and runs to start from."""

import io
import os
import shutil
from contextlib import chdir, redirect_stdout
from pathlib import Path

import pytest
import torch

from tests.cli.runs import ONE_LEVEL, PRIOR, TWO_LEVELS, Cli, Outcome, draw_pets
from vqvae_course.cli import main, options

ENCODE = ("encode", "--out", "run")
RUNS = {
    "trained": [("train", "--out", "run", "--steps", "6", *ONE_LEVEL)],
    "whole": [ENCODE, ("train-prior", "--out", "run", "--steps", "6", *PRIOR)],
    "hierarchy": [("train", "--out", "run", "--steps", "6", *TWO_LEVELS), ENCODE],
}


@pytest.fixture(scope="session", autouse=True)
def _on_the_cpu():
    """Run on the CPU, also where there is a GPU: only there are two runs equal to the last bit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "pick_device", lambda: torch.device("cpu"))
        yield


@pytest.fixture
def cli(capsys) -> Cli:
    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """Make the pictures and each of the runs once."""
    folder = tmp_path_factory.mktemp("made")
    draw_pets(folder / "pets")
    for name, commands in RUNS.items():
        (folder / name).mkdir()
        (folder / name / "pets").symlink_to(folder / "pets")
        if name == "whole":
            shutil.copytree(folder / "trained" / "run", folder / "whole" / "run")
        with chdir(folder / name), redirect_stdout(io.StringIO()):
            for command in commands:
                assert main(command) == 0
    return folder


@pytest.fixture
def pets(tmp_path, monkeypatch, made) -> Path:
    """Work in a folder of its own, which holds the pictures under ``pets``."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made / "pets", "pets", copy_function=os.link)
    return tmp_path / "pets"


@pytest.fixture
def trained(pets, made) -> Path:
    """Start from a trained VQ-VAE in ``run``."""
    return shutil.copytree(made / "trained" / "run", pets.parent / "run")


@pytest.fixture
def whole(pets, made) -> Path:
    """Start from a run with codes and a prior in ``run``."""
    return shutil.copytree(made / "whole" / "run", pets.parent / "run")


@pytest.fixture
def hierarchy(pets, made) -> Path:
    """Start from a VQ-VAE-2 and its codes in ``run``."""
    return shutil.copytree(made / "hierarchy" / "run", pets.parent / "run")
