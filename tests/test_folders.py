"""Which folders are classes and splits, which files are pictures, and that each picture counts once."""

import os
from pathlib import Path

import pytest
from PIL import Image

from vqvae_course.data import load_images
from vqvae_course.folders import PICTURES, folder_name, list_folder, named
from vqvae_course.sources import DataUnavailable
from vqvae_course.stream import stream_parts

RUN_FILES = ("train.json", "model.pt", "model.csv")


def draw(folder: Path, count: int, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        Image.new("RGB", (9, 8), (n, 7, 90)).save(folder / f"{n}{suffix}")


def draw_run(folder: Path) -> None:
    draw(folder / "pictures", 2)
    for name in RUN_FILES:
        (folder / name).write_text("")


def listed(folder: Path, split: str = "train") -> dict[str, list[str]]:
    """Return the pictures of each class, below the folder."""
    files = list_folder(folder, split)
    found: dict[str, list[str]] = {name: [] for name in files.classes}
    for path, label in zip(files.paths, files.labels.tolist(), strict=True):
        found[files.classes[label]].append(os.path.relpath(path, folder))
    return found


def remarks(folder: Path, split: str = "train") -> str:
    return "\n".join(list_folder(folder, split).remarks)


@pytest.fixture
def pets(tmp_path) -> Path:
    draw(tmp_path / "pets" / "cat", 3)
    draw(tmp_path / "pets" / "dog", 2)
    return tmp_path / "pets"


PLAIN = {"cat": ["cat/0.png", "cat/1.png", "cat/2.png"], "dog": ["dog/0.png", "dog/1.png"]}


def test_a_plain_folder_needs_no_remark(pets):
    assert listed(pets) == PLAIN
    assert remarks(pets) == ""
    assert list_folder(pets, "train").classes == ("cat", "dog")


# --- links


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("alias", "cat"),  # sorts before the class it leads to
        ("zebra", "cat"),
        ("up", "."),
        ("out", ".."),
        ("cat/up", ".."),
        ("cat/self", "."),
        ("dog/cats", "../cat"),
        ("dog/one.png", "../cat/1.png"),
        ("alias.png", "cat/0.png"),
        ("cat/nothing", "missing"),
        ("loop", "loop"),
    ],
)
def test_a_picture_that_links_lead_to_once_more_counts_once(pets, link, target):
    (pets / link).symlink_to(target)
    draw(pets.parent / "strangers", 2)
    assert listed(pets) == PLAIN


@pytest.mark.parametrize("make", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_picture_with_two_names_counts_once_in_all_splits(tmp_path, make):
    draw(tmp_path / "train" / "cat", 2)
    draw(tmp_path / "test" / "cat", 1)
    make(tmp_path / "train" / "cat" / "1.png", tmp_path / "test" / "cat" / "also.png")
    assert listed(tmp_path) == {"cat": ["train/cat/0.png", "train/cat/1.png"]}
    assert listed(tmp_path, "test") == {"cat": ["test/cat/0.png"]}
    assert "Counted once, though links lead there again: test/cat/also.png." in remarks(tmp_path, "test")


def test_a_test_split_that_is_a_link_to_the_training_split_is_refused(tmp_path):
    draw(tmp_path / "train" / "cat", 2)
    (tmp_path / "test").symlink_to("train")
    assert listed(tmp_path) == {"cat": ["train/cat/0.png", "train/cat/1.png"]}
    with pytest.raises(DataUnavailable, match="its pictures are counted already, test/cat"):
        list_folder(tmp_path, "test")


def test_classes_and_pictures_that_are_links_to_elsewhere_are_read(tmp_path):
    draw(tmp_path / "store" / "a", 2)
    draw(tmp_path / "store" / "b", 1)
    (tmp_path / "pets" / "dog").mkdir(parents=True)
    (tmp_path / "pets" / "cat").symlink_to(tmp_path / "store" / "a")
    (tmp_path / "pets" / "dog" / "x.png").symlink_to(tmp_path / "store" / "b" / "0.png")
    assert listed(tmp_path / "pets") == {"cat": ["cat/0.png", "cat/1.png"], "dog": ["dog/x.png"]}


# --- what is no class


def test_runs_among_the_pictures_are_no_classes_wherever_they_are(pets):
    draw_run(pets / "runs" / "pets")
    draw_run(pets / "runs" / "other")
    draw_run(pets / "mine")
    draw_run(pets / "cat" / "runs" / "deep")
    (pets / "begun").mkdir()
    (pets / "begun" / ".lock").write_text("")
    assert listed(pets) == PLAIN
    assert "Left out: begun, mine, runs, cat/runs/deep, where runs of this command are." in remarks(pets)


def test_a_class_keeps_its_pictures_when_a_run_lies_among_them(pets):
    before = listed(pets)
    draw_run(pets / "cat")
    assert listed(pets) == before
    assert os.path.join("cat", "pictures") in remarks(pets)


def test_one_file_of_the_name_of_a_runs_makes_no_run(pets):
    (pets / "cat" / "train.json").write_text("{}")
    assert listed(pets) == PLAIN


def test_what_systems_leave_behind_is_passed_over_without_a_word(pets):
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png"):
        (pets / "cat" / name).write_bytes(b"junk")
    for name in ("__MACOSX", ".ipynb_checkpoints", "@eaDir"):
        draw(pets / name / "cat", 2)
        draw(pets / "cat" / name, 2)
    assert listed(pets) == PLAIN
    assert remarks(pets) == ""


def test_folders_without_pictures_and_pictures_without_folders_are_named(pets):
    (pets / "cow" / "notes").mkdir(parents=True)
    draw(pets, 2)
    assert listed(pets) == PLAIN
    assert "Left out: cow, without a picture of its own." in remarks(pets)
    assert f"Left out: 2 pictures in {pets} beside the folders of its classes." in remarks(pets)


def test_names_that_differ_in_case_only_are_named(tmp_path):
    draw(tmp_path / "Cat", 1)
    draw(tmp_path / "cat", 2)
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system takes both names for one")
    assert listed(tmp_path) == {"Cat": ["Cat/0.png"], "cat": ["cat/0.png", "cat/1.png"]}
    assert "differ only in upper and lower case" in remarks(tmp_path)


def test_an_accent_written_in_two_ways_is_the_same_class(tmp_path):
    draw(tmp_path / "caf\u00e9", 1)
    assert list_folder(tmp_path, "train").classes == ("caf\u00e9",)
    (tmp_path / "caf\u00e9").rename(tmp_path / "cafe\u0301")
    assert list_folder(tmp_path, "train").classes == ("caf\u00e9",)


def test_a_folder_that_cannot_be_read_is_named(pets, monkeypatch):
    scandir = os.scandir

    def refuse(place):
        if os.path.basename(place) == "dog":
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataUnavailable, match=r"dog must be a folder that can be read \(.*Permission denied"):
        list_folder(pets, "train")


# --- which files are pictures


@pytest.mark.parametrize("suffix", PICTURES)
def test_every_kind_that_is_counted_can_be_read(suffix):
    assert Image.registered_extensions()[suffix] in Image.OPEN


@pytest.mark.parametrize("suffix", [".gif", ".jp2", ".tga", ".JPG", ".jfif", ".webp"])
def test_other_kinds_beside_the_usual_ones_count_in_memory_and_read_as_they_come(pets, suffix):
    for n in range(20):
        Image.new("RGB", (9, 8), (n, 7, 90)).save(pets / "dog" / f"x{n:02}{suffix}")
    for split, count in (("train", 23), ("test", 2)):
        loaded = load_images(f"folder:{pets}", split)
        (part,) = stream_parts(pets, split, workers=0)
        assert len(loaded.labels) == count
        assert part.images.equal(loaded.images)
        assert part.labels.equal(loaded.labels)


def test_kinds_that_are_not_read_are_named_with_their_number(pets):
    for name in ("cat/a.heic", "dog/b.HEIC", "dog/c.txt", "dog/d"):
        (pets / name).write_bytes(b"")
    assert listed(pets) == PLAIN
    assert "Left out: 2 .heic, 1 .txt, 1 without an ending; pictures must end in .jpg" in remarks(pets)


# --- splits


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Train", "Test"),
        ("training_set", "test_set"),
        ("TRAINING", "testing"),
        ("train", "val"),
        ("train", "Validation"),
        ("training-data", "valid"),
        ("train_images", "dev"),
    ],
)
def test_splits_go_by_many_names(tmp_path, train, test):
    draw(tmp_path / train / "cat", 2)
    draw(tmp_path / train / "dog", 1)
    draw(tmp_path / test / "dog", 3)
    assert listed(tmp_path) == {"cat": [f"{train}/cat/0.png", f"{train}/cat/1.png"], "dog": [f"{train}/dog/0.png"]}
    assert listed(tmp_path, "test") == {"cat": [], "dog": [f"{test}/dog/{n}.png" for n in range(3)]}
    said = f"Splits: {train} for training, {test} for testing."
    assert remarks(tmp_path) == ("" if (train, test) == ("train", "test") else said)


@pytest.mark.parametrize("inner", ["", "{split}", "images"], ids=["plain", "as unpacked", "in a folder"])
def test_splits_may_share_a_beginning_and_lie_one_deeper(tmp_path, inner):
    for split, count in (("seg_train", 3), ("seg_test", 2)):
        for name in ("owl", "emu"):
            draw(tmp_path / split / inner.format(split=split) / name, count)
    draw(tmp_path / "seg_pred" / "seg_pred", 2)
    files = list_folder(tmp_path, "train")
    assert (files.classes, len(files.paths)) == (("emu", "owl"), 6)
    assert len(list_folder(tmp_path, "test").paths) == 4
    assert "Left out: seg_pred, beside the splits." in files.remarks
    assert "Splits: seg_train for training, seg_test for testing." in files.remarks


def test_names_that_end_like_splits_are_classes_where_pictures_lie_in_them(tmp_path):
    draw(tmp_path / "bullet_train", 11)
    draw(tmp_path / "bullet_test", 11)
    assert list_folder(tmp_path, "train").classes == ("bullet_test", "bullet_train")


def test_splits_of_which_one_lies_deeper_are_not_looked_through(tmp_path):
    draw(tmp_path / "train" / "owl" / "day", 2)
    draw(tmp_path / "train" / "owl" / "night", 2)
    draw(tmp_path / "test" / "owl", 3)
    assert list_folder(tmp_path, "train").classes == ("owl",)


def test_what_lies_beside_the_splits_is_named(tmp_path):
    for name in ("train", "val", "test", "more"):
        draw(tmp_path / name / "cat", 2)
    assert listed(tmp_path, "test") == {"cat": ["test/cat/0.png", "test/cat/1.png"]}
    assert remarks(tmp_path) == "Left out: more, val, beside the splits."


@pytest.mark.parametrize("names", [("train", "Train", "test"), ("train", "test", "test_set")])
def test_splits_that_may_be_meant_by_two_folders_are_refused(tmp_path, names):
    for name in names:
        draw(tmp_path / name / "cat", 1)
    if len(list(tmp_path.iterdir())) < len(names):
        pytest.skip("this file system takes both names for one")
    with pytest.raises(DataUnavailable, match=r"must hold one folder for each split, got .*: rename or move all but"):
        list_folder(tmp_path, "train")


@pytest.mark.parametrize("name", ["train", "Test", "val"])
def test_one_split_without_the_other_is_refused(tmp_path, name):
    draw(tmp_path / name / "cat", 2)
    with pytest.raises(DataUnavailable, match="must hold both a train and a test sub-folder, or neither"):
        list_folder(tmp_path, "train")


def test_trains_may_be_a_class_beside_buses(tmp_path):
    draw(tmp_path / "bus", 1)
    draw(tmp_path / "train", 2)
    assert listed(tmp_path) == {"bus": ["bus/0.png"], "train": ["train/0.png", "train/1.png"]}


def test_a_class_of_the_test_split_alone_is_refused(tmp_path):
    draw(tmp_path / "train" / "cat", 2)
    draw(tmp_path / "test" / "cat", 1)
    draw(tmp_path / "test" / "new", 1)
    with pytest.raises(DataUnavailable, match=r"must hold classes of .*train, which are cat, got new too: rename or"):
        list_folder(tmp_path, "test")


# --- one folder too high or too low


@pytest.mark.parametrize("way", ["pets", "archive/data"])
def test_a_folder_that_holds_only_that_of_the_classes_is_looked_through(pets, way):
    high = pets.parent / "high"
    (high / way).parent.mkdir(parents=True)
    pets.rename(high / way)
    draw(high / "__MACOSX" / "pets", 1)
    (high / "pets.zip").write_bytes(b"")
    draw_run(high / "runs" / "high")
    assert listed(high) == {name: [f"{way}/{path}" for path in paths] for name, paths in PLAIN.items()}
    assert f"Reading {high / way}, the only folder in {(high / way).parent}." in remarks(high)


def test_an_archive_unpacked_in_a_folder_of_its_name_may_hold_one_class(tmp_path):
    draw(tmp_path / "pets" / "pets" / "cat", 2)
    assert listed(tmp_path / "pets") == {"cat": ["pets/cat/0.png", "pets/cat/1.png"]}


def test_the_only_class_may_have_folders_of_its_own(tmp_path):
    draw(tmp_path / "cat" / "2019", 2)
    draw(tmp_path / "cat", 1)
    draw(tmp_path / "cat" / "2020", 1)
    assert listed(tmp_path) == {"cat": ["cat/0.png", "cat/2019/0.png", "cat/2019/1.png", "cat/2020/0.png"]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda here: draw(here, 3), r"3 pictures in no sub-folder: put them into one, such as .*all, or name the f"),
        (lambda here: (here / "pets.zip").write_bytes(b""), r"pets\.zip must be unpacked first"),
        (lambda here: (here / "cat").mkdir(), r"found no picture in cat"),
        (lambda here: ((here / "cat").mkdir(), (here / "cat" / "x.heic").touch()), r"found only \.heic, and none of"),
        (lambda here: draw_run(here / "runs" / "x"), r"found runs, where runs of this command are, which are no cl"),
        (lambda here: (draw(here / "train", 2), draw(here / "test", 1)), r"2 pictures in no sub-folder: .*all"),
    ],
    ids=["flat", "archive", "empty class", "other kinds", "runs", "flat splits"],
)
def test_a_folder_without_classes_is_refused_for_a_reason(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(DataUnavailable, match=rf"must hold one sub-folder of pictures for each class \(.*{message}"):
        list_folder(tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "cure"), [("pets.tar.gz", "Unpack it, and name the folder"), ("cat.png", "Name the folder that holds")]
)
def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path, name, cure):
    (tmp_path / name).touch()
    with pytest.raises(DataUnavailable, match=rf"{name} must name a folder, and this is a file\. {cure}"):
        list_folder(tmp_path / name, "train")


def test_what_may_be_meant_as_a_class_and_cannot_be_one_is_named(pets):
    (pets / "owl").symlink_to("/nowhere/owl")
    (pets / "self").symlink_to("self")
    (pets / "dog.zip").touch()
    (pets / "readme.txt").touch()
    (pets / "unpacked.zip").mkdir()
    assert "Left out: dog.zip, owl, self, which would have to be folders to be classes." in remarks(pets)


# --- names


def test_a_folder_has_a_name_however_it_is_given(pets, monkeypatch):
    monkeypatch.chdir(pets)
    assert [folder_name(folder) for folder in (".", "cat/..", pets, f"{pets}/", "cat")] == ["pets"] * 4 + ["cat"]
    assert load_images("folder:.").name == "pets"
    assert folder_name("/") == "pictures"


def test_many_names_are_shortened_and_none_is_lost_from_a_few():
    assert named(["a", "b"]) == "a, b"
    assert named([f"{n}" for n in range(13)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"
    assert named([f"{n}" for n in range(40)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … 28 more"
