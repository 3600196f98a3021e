"""The pictures of a run later on: moved, with other classes, and runs that another version started."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.runs import N_TEST, N_TRAIN, ONE_LEVEL, PRIOR, TWO_LEVELS, content
from vqvae_course.checkpoint import load_checkpoint

PUT_BACK = "give the folders of the classes the names they had"
ON_PICTURES = [("train", "--resume", "--steps", 8), ("encode",), ("reconstruct", "--count", 2), ("evaluate",)]
ON_CODES = [("train-prior", "--resume", "--steps", 8), ("sample", "--count", 2)]
AGAINST = "ant, bee, cow, got others"


def in_both_splits(change: Callable[[Path], object]) -> None:
    for split in ("train", "test"):
        change(Path("pets") / split)


CHANGES = {
    "renamed": (lambda pets: (pets / "ant").rename(pets / "zebra"), "(ant missing; zebra new)"),
    "removed": (lambda pets: shutil.rmtree(pets / "bee"), "(bee missing)"),
    "added": (lambda pets: shutil.copytree(pets / "cow", pets / "auk"), "(auk new)"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("command", ON_PICTURES, ids=lambda command: command[0])
def test_other_classes_are_refused_in_one_sentence_with_the_cure(cli, whole, change, command):
    make, said = CHANGES[change]
    in_both_splits(make)
    before = content("run")
    outcome = cli(*command, "--out", "run")
    assert outcome.status == 1
    assert f"folder:pets must have the classes of this run, {AGAINST} {said}: {PUT_BACK}" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert content("run") == before


@pytest.mark.parametrize("command", ON_CODES, ids=lambda command: command[0])
def test_what_needs_only_codes_goes_on_and_tells_of_other_classes(cli, whole, command):
    in_both_splits(CHANGES["renamed"][0])
    with pytest.warns(UserWarning, match=r"must have the classes of this run, .* \(ant missing; zebra new\).* goes on"):
        assert cli(*command, "--out", "run").status == 0


@pytest.mark.parametrize("command", [*ON_PICTURES, *ON_CODES], ids=lambda command: command[0])
def test_the_same_classes_pass(cli, whole, command):
    outcome = cli(*command, "--out", "run")
    assert (outcome.status, outcome.err) == (0, "")


def test_names_are_written_down_with_the_run_its_codes_and_its_prior(whole):
    names = ["ant", "bee", "cow"]
    assert json.loads(Path("run/train.json").read_text())["classes"] == names
    assert json.loads(Path("run/prior.json").read_text())["classes"] == names
    for split in ("train", "test"):
        with np.load(f"run/codes/{split}.npz") as file:
            assert file["classes"].tolist() == names


def rename(file: str, names: list[str] | None) -> None:
    """Change the names of the classes in a file of a run, or take them out, as it was before they had names."""
    if file.endswith(".json"):
        about = json.loads(Path(file).read_text())
        del about["classes"]
        Path(file).write_text(json.dumps(about | ({} if names is None else {"classes": names})))
    else:
        with np.load(file) as held:
            arrays = dict(held)
        del arrays["classes"]
        np.savez(file, **arrays, **({} if names is None else {"classes": np.array(names)}))


@pytest.mark.parametrize("command", [("train-prior", "--resume"), ("evaluate",)], ids=lambda command: command[0])
def test_codes_of_other_classes_are_refused(cli, whole, command):
    for split in ("train", "test"):
        rename(f"run/codes/{split}.npz", ["ant", "bee", "dog"])
    outcome = cli(*command, "--out", "run")
    assert outcome.status == 1
    assert (
        "must have the classes of this run, ant, bee, cow, got others (cow missing; dog new): run `vqvae-course enc"
        in (outcome.err)
    )


@pytest.mark.parametrize("command", [*ON_CODES, ("evaluate",)], ids=lambda command: command[0])
def test_a_prior_of_other_classes_is_refused(cli, whole, command):
    rename("run/prior.json", ["ant", "bee", "dog"])
    outcome = cli(*command, "--out", "run")
    assert outcome.status == 1
    assert "must have the classes of run/prior.pt, ant, bee, dog, got others (dog missing; cow new)" in outcome.err
    assert "or delete prior*.pt there and run train-prior again" in outcome.err


@pytest.mark.parametrize("command", [("train-prior", "--resume"), ("evaluate",)], ids=lambda command: command[0])
def test_codes_and_prior_are_compared_also_in_a_run_from_before_classes_had_names(cli, whole, command):
    rename("run/train.json", None)
    in_both_splits(CHANGES["renamed"][0])
    assert cli("encode", "--out", "run").status == 0
    outcome = cli(*command, "--out", "run")
    assert outcome.status == 1
    assert "must have the classes of run/prior.pt, ant, bee, cow, got others (ant missing; zebra new)" in outcome.err


@pytest.mark.parametrize("command", [*ON_PICTURES, *ON_CODES], ids=lambda command: command[0])
def test_files_from_before_classes_had_names_still_load(cli, whole, command):
    for file in ("train.json", "prior.json", "codes/train.npz", "codes/test.npz"):
        rename(f"run/{file}", None)
    about = json.loads(Path("run/train.json").read_text())
    del about["folder"]
    Path("run/train.json").write_text(json.dumps(about))
    outcome = cli(*command, "--out", "run")
    assert (outcome.status, outcome.err) == (0, "")


def test_more_classes_than_a_prior_without_names_knows_are_named(cli, whole):
    rename("run/prior.json", None)
    rename("run/train.json", None)
    in_both_splits(CHANGES["added"][0])
    assert cli("encode", "--out", "run").status == 0
    outcome = cli("evaluate", "--out", "run")
    assert outcome.status == 1
    assert "codes must be of the 3 classes that the prior knows, got 4: " + PUT_BACK in outcome.err


def test_more_pictures_than_a_run_was_started_with_are_refused_when_it_resumes(cli, trained):
    shutil.copy("pets/train/ant/0.png", "pets/train/ant/more.png")
    before = content("run")
    outcome = cli("train", "--out", "run", "--resume", "--steps", 8)
    assert outcome.status == 1
    assert f"must belong to {N_TRAIN + 1} examples, as folder:pets has for training now, got {N_TRAIN}" in outcome.err
    assert content("run") == before


# --- what is printed


@pytest.mark.parametrize("workers", [0, 1])
def test_train_and_encode_say_which_classes_there_are_and_what_was_left_out(cli, pets, workers):
    (pets / "train" / "ant" / "x.heic").write_bytes(b"")
    for command in (("train", *ONE_LEVEL, "--steps", 2, "--workers", workers), ("encode",)):
        outcome = cli(*command, "--out", "run")
        assert outcome.status == 0
        assert "3 classes in folder:pets: ant, bee, cow.\nLeft out: 1 .heic; pictures must end in .jpg" in outcome.out


def test_sample_says_which_class_is_which(cli, whole):
    assert "Classes: 2 cow, 0 ant." in cli("sample", "--out", "run", "--classes", 2, 0, "--count", 1).out


def test_a_class_without_training_pictures_keeps_its_place_in_the_prior(cli, pets):
    shutil.rmtree(pets / "test")
    for place in (pets / "train").iterdir():
        place.rename(pets / place.name)
    (pets / "train").rmdir()
    shutil.move(pets / "ant" / "9.png", pets / "dog.png")
    (pets / "dog").mkdir()  # after 25 others: the 26th picture is for training, the 30th for testing
    for n in range(4):
        shutil.copy(pets / "dog.png", pets / "dog" / f"{n}.png")
    assert cli("train", *ONE_LEVEL, "--steps", 2, "--out", "run").status == 0
    assert cli("encode", "--out", "run").status == 0
    assert cli("train-prior", *PRIOR, "--steps", 2, "--out", "run").status == 0
    assert load_checkpoint("run/prior.pt").model.num_classes == 4


# --- pictures that have moved


@pytest.mark.parametrize("command", ON_PICTURES, ids=lambda command: command[0])
def test_pictures_that_moved_are_found_where_data_says(cli, whole, pets, command):
    pets.rename(pets.with_name("birds"))
    shutil.rmtree("elsewhere", ignore_errors=True)
    about = json.loads(Path("run/train.json").read_text())
    Path("run/train.json").write_text(json.dumps(about | {"folder": "/gone"}))
    before = content("run")
    outcome = cli(*command, "--out", "run")
    assert outcome.status == 1
    assert (
        "folder:pets must name a folder, and there is none. Check the path, or pass --data folder:PATH" in outcome.err
    )
    assert content("run") == before
    assert cli(*command, "--out", "run", "--data", "folder:birds").status == 0


@pytest.mark.parametrize("command", ON_PICTURES, ids=lambda command: command[0])
def test_a_run_finds_its_pictures_from_any_folder(cli, pets, monkeypatch, command):
    assert cli("train", *ONE_LEVEL, "--steps", 6, "--out", "run").status == 0
    (pets.parent / "other").mkdir()
    monkeypatch.chdir("other")
    outcome = cli(*command, "--out", "../run")
    assert (outcome.status, outcome.err) == (0, "")


def test_here_and_above_mean_the_folders_of_the_start(cli, pets, monkeypatch):
    for here, data in (("pets", "folder:."), ("pets/train", "folder:..")):
        monkeypatch.chdir(pets.parent / here)
        assert cli("train", *ONE_LEVEL, "--data", data, "--steps", 2, "--out", pets.parent / "run").status == 0
        monkeypatch.chdir(pets / "train" / "ant")
        for command in (*ON_PICTURES[1:], ON_PICTURES[0]):
            outcome = cli(*command, "--out", pets.parent / "run")
            assert (outcome.status, outcome.err) == (0, "")
        shutil.rmtree(pets.parent / "run")


@pytest.mark.parametrize("command", ON_PICTURES, ids=lambda command: command[0])
def test_data_that_moved_must_have_the_same_classes(cli, whole, pets, command):
    shutil.copytree(pets, "birds")
    for split in ("train", "test"):
        Path("birds", split, "cow").rename(Path("birds", split, "owl"))
    outcome = cli(*command, "--out", "run", "--data", "folder:birds")
    assert outcome.status == 1
    assert f"folder:birds must have the classes of this run, {AGAINST} (cow missing; owl new)" in outcome.err


@pytest.mark.parametrize("data", ["glyphs", "mnist"])
@pytest.mark.parametrize("command", ON_PICTURES[1:], ids=lambda command: command[0])
def test_a_set_is_no_place_where_pictures_have_moved_to(cli, whole, command, data):
    outcome = cli(*command, "--out", "run", "--data", data)
    assert outcome.status == 1
    assert (
        f"data must be what this run was trained on, folder:pets, or where that has moved to, got {data}" in outcome.err
    )


def test_pictures_of_another_size_are_refused(cli, whole, pets):
    from PIL import Image

    for path in pets.rglob("*.png"):
        picture = Image.open(path).resize((8, 8))
        path.unlink()
        picture.save(path)
    for command in ON_PICTURES[1:]:
        outcome = cli(*command, "--out", "run")
        assert outcome.status == 1
        assert "images must be 3x8x12, as those this run was trained on, got 3x8x8" in outcome.err


# --- runs of another version


def changed(file: str, change: Callable[[dict], object]) -> None:
    about = json.loads(Path(file).read_text())
    change(about["options"])
    Path(file).write_text(json.dumps(about))


VERSIONS = {
    "missing": (lambda options: options.pop("timeout"), "timeout is missing and taken as"),
    "unknown": (lambda options: options.update(tempo=3), "tempo is not known here and left out"),
    "missing below": (lambda options: options["network"].pop("beta"), "another version"),
    "unknown below": (lambda options: options["training"].update(pace=[1]), "pace is not known here and left out"),
    "dropped": (
        lambda options: [
            options.update(keep_memory=True),
            options["training"].update(channels_last=True, fused=True, compile=False),
        ],
        "channels_last is not known here and left out; fused is not known here and left out; compile is not known",
    ),
    "no kind": (lambda options: options.pop("model"), "model is missing"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("command", [*ON_PICTURES[1:], *ON_CODES], ids=lambda command: command[0])
def test_a_run_of_another_version_opens_with_a_warning_and_works(cli, whole, version, command):
    change, said = VERSIONS[version]
    changed("run/train.json", change)
    with pytest.warns(UserWarning, match=f"The options of this run are of another version: .*{said}|{said}"):
        assert cli(*command, "--out", "run").status == 0


@pytest.mark.parametrize(
    ("options", "version"),
    [(ONE_LEVEL, "unknown"), (ONE_LEVEL, "missing"), (ONE_LEVEL, "dropped"), (TWO_LEVELS, "no kind")],
)
def test_a_run_of_another_version_is_trained_on(cli, pets, options, version):
    assert cli("train", *options, "--steps", 4, "--out", "run").status == 0
    changed("run/train.json", VERSIONS[version][0])
    with pytest.warns(UserWarning, match="of another version"):
        assert cli("train", "--out", "run", "--resume", "--steps", 6).status == 0
    assert cli("train", *options, "--steps", 6, "--out", "straight").status == 0
    assert load_checkpoint("run/model.pt").step == 6


def test_what_the_options_lack_is_taken_from_the_checkpoint(cli, whole):
    changed("run/train.json", lambda options: [options["network"].pop(name) for name in ("hidden", "num_codes")])
    changed("run/prior.json", lambda options: [options.pop(name) for name in ("hidden", "layers")])
    assert cli("train", "--out", "run", "--resume").status == 0
    assert cli("train-prior", "--out", "run", "--resume", "--steps", 8).status == 0
    assert load_checkpoint("run/prior.pt").step == 8


def test_the_size_that_the_options_lack_is_that_of_the_images(cli, pets):
    assert cli("train", *ONE_LEVEL, "--size", 8, "--steps", 4, "--out", "run").status == 0
    changed("run/train.json", lambda options: options.pop("size"))
    with pytest.warns(UserWarning, match="size is missing"):
        assert f"{N_TEST} test images" in cli("evaluate", "--out", "run").out
