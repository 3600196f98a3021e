"""A run in a folder that holds what others wrote: nothing of theirs is lost, and a sentence says what is there."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.runs import ONE_LEVEL, TRAIN, content

TRAIN_ONE = ("train", *ONE_LEVEL, "--steps", 2)


def theirs(path: str) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text('{"images": []}')
    return Path(path)


@pytest.mark.parametrize(
    "name",
    ["train.json", "model.csv", "evaluation.json", "codes/test.npz", "prior_top.json", "pictures/reconstructions.png"],
)
def test_a_run_does_not_begin_where_it_would_write_over_files_of_others(cli, pets, name):
    file = theirs(f"project/{name}")
    leftover = theirs("project/.model.pt.7777777")
    outcome = cli(*TRAIN_ONE, "--out", "project")
    assert outcome.status == 1
    assert f"project must hold no files called like those of a run, got {name}, and no train.json" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert {path for path in Path("project").rglob("*") if path.is_file()} == {file, leftover}
    assert file.read_text() == '{"images": []}'


def test_a_run_begins_beside_files_of_other_names(cli, pets):
    theirs("project/model.json")
    theirs("project/pictures/mine.png")
    assert cli(*TRAIN_ONE, "--out", "project").status == 0
    assert Path("project/model.json").read_text() == Path("project/pictures/mine.png").read_text() == '{"images": []}'


@pytest.mark.parametrize("kind", ["a file", "a link", "a folder"])
def test_a_lock_of_others_is_neither_emptied_nor_followed(cli, pets, kind):
    if kind == "a file":
        theirs("project/.lock")
    elif kind == "a link":
        theirs("precious")
        Path("project").mkdir()
        Path("project/.lock").symlink_to("../precious")
    else:
        Path("project/.lock").mkdir(parents=True)
    outcome = cli(*TRAIN_ONE, "--out", "project")
    assert outcome.status == 1
    assert "project/.lock must be an empty file, with which this command keeps others from writing here" in outcome.err
    if kind != "a folder":
        assert Path("project/.lock").read_text() == '{"images": []}'


def test_a_lock_that_holds_something_is_its_own_where_a_run_has_begun(cli, trained):
    (trained / ".lock").write_text("4242\n")  # as locks are where the disk knows none
    assert cli("encode", "--out", "run").status == 0


@pytest.mark.parametrize("out", ["notes", "notes/run"])
def test_a_file_is_no_folder_for_a_run(cli, pets, out):
    theirs("notes")
    outcome = cli(*TRAIN_ONE, "--out", out)
    assert outcome.status == 1
    assert f"out must be a folder, got {out}, where a file is: pass another --out" in outcome.err


def test_a_folder_that_may_not_be_written_to_is_named(cli, pets, monkeypatch):
    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied", str(self.lock_file))

    monkeypatch.setattr("vqvae_course.cli.run.FileLock.acquire", refuse)  # modes of folders do not stop root
    outcome = cli(*TRAIN_ONE, "--out", "run")
    said = "out must be a folder that you may write to, got run (Permission denied): pass another --out"
    assert (outcome.status, outcome.err) == (1, f"vqvae-course train: {said}\n")


@pytest.mark.parametrize("command", [("encode",), ("evaluate",), ("train", "--resume", "--steps", 4)])
def test_a_folder_of_the_same_name_elsewhere_is_not_taken_for_the_pictures(cli, pets, monkeypatch, command):
    assert cli(*TRAIN_ONE, "--out", "run").status == 0
    shutil.copytree("pets", "elsewhere/pets")
    for name in TRAIN:
        (Path("elsewhere/pets/train") / name / "0.png").write_bytes(b"no picture")
        (Path("elsewhere/pets/test") / name / "0.png").write_bytes(b"no picture")
    monkeypatch.chdir("elsewhere")
    outcome = cli(*command, "--out", "../run")
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("sample", "--codes", "uniform"),
        ("reconstruct",),
        ("reconstruct", "--pictures", "mine"),
        ("reconstruct", "--pictures", "mine/0.png"),
    ],
    ids=" ".join,
)
def test_no_picture_is_written_over_one_that_is_read(cli, trained, words):
    shutil.copytree("pets/test/ant", "mine")
    picture = "mine/0.png" if "--pictures" in words else "pets/train/ant/new.png"
    before = content("mine") | content("pets")
    outcome = cli(*words, "--out", "run", "--picture", picture)
    assert outcome.status == 1
    assert f"got {picture}: pass another" in outcome.err
    assert content("mine") | content("pets") == before
    assert cli(*words, "--out", "run", "--picture", "new.png").status == 0
    assert cli(*words, "--out", "run", "--picture", "new.png").status == 0  # it may be written anew
    assert os.path.exists("new.png")
