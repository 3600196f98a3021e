import errno
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.cli.runs import ONE_LEVEL, PRIOR, content, in_a_child, same, saved
from vqvae_course.checkpoint import load_checkpoint

COMMANDS = ("encode", "train-prior", "sample", "reconstruct", "evaluate")
AFTER_CODES = (("train-prior", "--resume"), ("sample", "--codes", "unigram"), ("evaluate",))
AFTER_PRIOR = (("train-prior", "--resume"), ("sample",), ("evaluate",))


def commands(*without: str) -> list[tuple[str, ...]]:
    """Return all commands that read a run, the training ones to go on with it."""
    some = [(name, "--resume") if name == "train-prior" else (name,) for name in COMMANDS if name not in without]
    return [("train", "--resume"), *some]


def assert_refused(cli, run: str, each: list | tuple, message: str) -> None:
    """Assert that commands end with a message, one line from us, and leave all files as they are."""
    before = content(run)
    for name, *arguments in each:
        outcome = cli(name, "--out", run, *arguments)
        assert outcome.status == 1, name
        assert outcome.err.startswith(f"vqvae-course {name}: ")
        assert message in outcome.err
        assert "Traceback" not in outcome.err
        assert content(run) == before


# --- the checkpoint


@pytest.mark.parametrize("left", [0, 100, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_refused(cli, whole, left):
    path = Path("run/model.pt")
    os.truncate(path, int(left * path.stat().st_size) if left < 1 else left)
    assert_refused(cli, "run", commands(), "run/model.pt must be a checkpoint of this course, got a damaged")


def test_a_prior_cut_short_is_refused(cli, whole):
    os.truncate("run/prior.pt", 1000)
    assert_refused(cli, "run", AFTER_PRIOR, "run/prior.pt must be a checkpoint of this course, got a damaged")


def test_a_checkpoint_of_another_kind_of_model_is_refused(cli, whole):
    shutil.copy("run/prior.pt", "run/model.pt")
    assert_refused(cli, "run", commands("train")[1:], "run/model.pt must hold a VQVAE, got a GatedPixelCNN")
    assert_refused(cli, "run", [("train", "--resume")], "checkpoint must belong to this model")


def test_a_model_in_the_place_of_a_prior_is_refused(cli, whole):
    shutil.copy("run/model.pt", "run/prior.pt")
    assert_refused(cli, "run", AFTER_PRIOR[1:], "run/prior.pt must hold a prior over 7 codes, got another VQVAE")
    assert_refused(cli, "run", AFTER_PRIOR[:1], "checkpoint must belong to this model")


def test_a_checkpoint_of_another_format_is_refused(cli, whole):
    torch.save(torch.load("run/model.pt", weights_only=True) | {"format": 99}, "run/model.pt")
    assert_refused(cli, "run", commands(), "run/model.pt must be a checkpoint of format 1, got 99")


class Hostile:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("owned"),))


@pytest.mark.parametrize("in_a_zip", [True, False])
@pytest.mark.parametrize("name", ["model.pt", "prior.pt"])
def test_a_hostile_pickle_is_refused_and_does_nothing(cli, whole, name, in_a_zip):
    path = Path("run", name)
    if in_a_zip:
        torch.save({"format": 1, "model": Hostile()}, path)
    else:
        path.write_bytes(pickle.dumps(Hostile(), protocol=2))
    each = commands() if name == "model.pt" else AFTER_PRIOR
    assert_refused(cli, "run", each, f"run/{name} must be a checkpoint of this course, got a damaged or foreign file")
    assert not Path("owned").exists()
    pickle.loads(pickle.dumps(Hostile()))
    assert Path("owned").exists()  # it would have worked


# --- the options


@pytest.mark.parametrize("held", ["{}", "[]", "3", '{"options": 3}', '{"options": []}'])
def test_json_that_holds_no_options_is_refused(cli, whole, held):
    Path("run/train.json").write_text(held)
    assert_refused(cli, "run", commands(), "run/train.json must hold the options of a run, got something else")


def test_options_cut_short_are_refused(cli, whole):
    os.truncate("run/train.json", 100)
    assert_refused(cli, "run", commands("train-prior"), "run/train.json must be JSON, got something damaged")
    Path("run/prior.json").write_text("{")
    assert_refused(cli, "run", [("train-prior", "--resume")], "run/prior.json must be JSON, got something damaged")


def changed(file: str, change: Callable[[dict], object]) -> None:
    about = json.loads(Path(file).read_text())
    change(about)
    Path(file).write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda about: about["options"]["training"].update(steps="ten"),
            "must have values of the right type, got others",
        ),
        (lambda about: about["options"].update(network=3), "must have values of the right type, got others"),
        (lambda about: about["options"].update(batch_size=0), "batch_size must be at least 1, got 0"),
    ],
    ids=["type", "type below", "range"],
)
def test_options_that_make_no_sense_are_refused(cli, whole, change, message):
    changed("run/train.json", change)
    assert_refused(cli, "run", commands(), message)


@pytest.mark.parametrize("shape", [None, [3, 8], "large"])
def test_options_without_the_shape_of_the_data_are_refused(cli, whole, shape):
    changed("run/train.json", lambda about: about["data"].update(shape=shape))
    assert_refused(cli, "run", commands()[1:], "run/train.json must hold the shape (C, H, W) of the data, got none")


# --- codes and priors of another model


@pytest.fixture
def other_model(whole, cli):
    """Put the model of another run into the place of this one's."""
    assert cli("train", "--out", "other", "--steps", 6, *ONE_LEVEL, "--seed", 1).status == 0
    shutil.copy("other/model.pt", "run/model.pt")


def test_codes_of_another_model_are_refused_with_the_command_that_makes_new_ones(cli, other_model):
    Path("run/prior.pt").unlink()
    advice = "Here: run `vqvae-course encode --out run` again"
    assert_refused(cli, "run", [("train-prior",), ("sample", "--codes", "unigram")], advice)


def test_a_prior_over_the_codes_of_another_model_is_refused(cli, other_model):
    message = "run/prior.pt must belong to run/model.pt, got a prior for the codes of another model: delete prior*.pt"
    assert_refused(cli, "run", [("sample",), ("train-prior", "--resume")], message)
    assert cli("encode", "--out", "run").status == 0
    assert_refused(cli, "run", AFTER_PRIOR, message)
    for file in Path("run").glob("prior*.pt"):
        file.unlink()
    assert cli("train-prior", "--out", "run", "--steps", 2, *PRIOR).status == 0
    assert cli("sample", "--out", "run", "--count", 1).status == 0


def test_a_model_trained_on_asks_for_new_codes(cli, whole):
    assert cli("train", "--out", "run", "--resume", "--steps", 8).status == 0
    assert_refused(cli, "run", [("sample", "--codes", "unigram")], "run `vqvae-course encode --out run` again")


def test_codes_cut_short_are_refused(cli, whole):
    os.truncate("run/codes/train.npz", 300)
    os.truncate("run/codes/test.npz", 300)
    assert_refused(cli, "run", AFTER_CODES, "must be a file from save_codes, got a damaged or foreign one")


# --- a full disk

FULL = (
    "the disk is full ({}): make room and run this again. Files are written whole or not at all, so what was there is "
    "as it was; a training"
)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT], ids=["full", "quota"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(cli, trained, monkeypatch, wrapped, number):
    assert cli("train", "--out", "straight", *ONE_LEVEL, "--steps", 10).status == 0
    before = saved("run/model.pt")

    def full(held, file):
        file.write(b"half a checkpoint")
        try:
            raise OSError(number, os.strerror(number))
        finally:
            if wrapped:  # as torch does where writing fails in the middle
                raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 768 vs 662")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        outcome = cli("train", "--out", "run", "--resume", "--steps", 10)
    assert outcome.status == 1
    said = FULL.format(f"[Errno {number}] {os.strerror(number)}")
    assert outcome.err == f"vqvae-course train: {said} goes on from its last checkpoint with --resume\n"
    assert same(saved("run/model.pt"), before)
    assert not list(Path("run").rglob(".*.*"))
    assert cli("train", "--out", "run", "--resume").status == 0
    weights, expected = (load_checkpoint(f"{run}/model.pt").model.state_dict() for run in ("run", "straight"))
    assert weights.keys() == expected.keys()
    assert load_checkpoint("run/model.pt").step == 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of the size of files are Unix")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("room", [1000, 5000, 20_000])
def test_a_disk_that_is_really_full_leaves_the_last_checkpoint(cli, trained, tmp_path, room):
    import resource

    before = saved("run/model.pt")
    assert Path("run/model.pt").stat().st_size > 20_000

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    child = in_a_child(("train", "--out", "run", "--resume", "--steps", "9"), tmp_path / "log", before=limit)
    child.join(30)
    said = (tmp_path / "log").read_text()
    assert child.exitcode == 1
    assert "vqvae-course train: the disk is full ([Errno 27]" in said
    assert "Traceback" not in said
    assert same(saved("run/model.pt"), before)
    assert not list(Path("run").rglob(".*.*"))
    assert cli("train", "--out", "run", "--resume", "--steps", 9).status == 0


def test_a_full_disk_leaves_codes_and_pictures_too(cli, whole, monkeypatch):
    before = content("run")

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for command in (("encode",), ("sample",), ("reconstruct",), ("evaluate",)):
        outcome = cli(*command, "--out", "run")
        assert outcome.status == 1
        assert "the disk is full" in outcome.err
    assert content("run") == before


def test_a_folder_nobody_may_write_to_is_named(cli, pets):
    Path("taken").write_text("a file, not a folder")
    outcome = cli("train", "--out", "taken", *ONE_LEVEL)
    assert outcome.status == 1
    assert "got taken, where a file is" in outcome.err
    assert Path("taken").read_text() == "a file, not a folder"
