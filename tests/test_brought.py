"""Data sets that someone brought by hand: where their files may lie, and what is said of those that are damaged."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from vqvae_course import sources
from vqvae_course.brought import FIRST_LABELS
from vqvae_course.data import DataUnavailable, load_images

COUNTS = {"train": 12, "test": 7}
NAMES = [f"{split}-{what}-ubyte" for split in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
FOLDER = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}


@pytest.fixture(autouse=True)
def _small_and_offline(monkeypatch):
    for name in sources.TORCHVISION_SIZES:
        monkeypatch.setitem(sources.TORCHVISION_SIZES, name, COUNTS)
    monkeypatch.setattr(sources, "_why_unreachable", lambda url: "the test has no network")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def files_of(name: str) -> dict[str, bytes]:
    """Return the four files of a small set, whose labels begin as those of the real one."""
    files = {}
    for split, count in (("train", COUNTS["train"]), ("t10k", COUNTS["test"])):
        pixels = np.random.default_rng(count).integers(256, size=(count, 28, 28), dtype=np.uint8)
        labels = np.resize(np.frombuffer(FIRST_LABELS[FOLDER[name]][split], np.uint8), count)
        files |= {f"{split}-images-idx3-ubyte": idx(pixels), f"{split}-labels-idx1-ubyte": idx(labels)}
    return files


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def packed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content) for name, content in files.items()}


def assert_whole(name: str, root: Path, files: dict[str, bytes] | None = None) -> None:
    files = files_of(name) if files is None else files
    for split, part in (("train", "train"), ("test", "t10k")):
        loaded = load_images(name, split, root)
        assert loaded.images.shape == (COUNTS[split], 1, 28, 28)
        assert loaded.images.numpy().tobytes() == files[f"{part}-images-idx3-ubyte"][16:]
        assert bytes(loaded.labels.tolist()) == files[f"{part}-labels-idx1-ubyte"][8:]


def everything(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


SPELT = [
    ("mnist", "MNIST/raw"),
    ("mnist", "MNIST"),
    ("mnist", "mnist"),
    ("mnist", ""),
    ("fashion_mnist", "FashionMNIST/raw"),
    ("fashion_mnist", "fashion-mnist"),
    ("fashion_mnist", "Fashion_MNIST/raw"),
    ("fashion_mnist", "."),
]


@pytest.mark.parametrize(("name", "folder"), SPELT)
@pytest.mark.parametrize("form", [packed, dict], ids=["packed", "unpacked"])
def test_four_files_are_found_where_people_put_them(tmp_path, name, folder, form):
    brought = form(files_of(name))
    write(tmp_path / folder, brought)
    before = everything(tmp_path)
    assert_whole(name, tmp_path)
    assert_whole(name, tmp_path)  # and again, from where they are now
    after = everything(tmp_path)
    assert before.items() <= after.items()  # what was brought is as it was
    assert {Path(file).name for file in after} <= {*NAMES, *brought}


def test_the_folder_named_may_be_that_of_the_set_itself(tmp_path):
    write(tmp_path / "mnist", files_of("mnist"))
    assert_whole("mnist", tmp_path / "mnist")


def test_other_ways_to_write_the_same_files_are_known(tmp_path):
    files = files_of("mnist")
    train_images, train_labels, test_images, test_labels = NAMES
    write(
        tmp_path / "MNIST",
        {
            train_images.replace("-idx", ".idx"): files[train_images],  # with a dot
            f"{train_labels}.gz": files[train_labels],  # unpacked by a browser that kept the name
            f"{test_images}/{test_images}": files[test_images],  # in a folder called like the file
            f"{test_labels.replace('-idx', '.idx')}.gz": gzip.compress(files[test_labels]),
        },
    )
    assert_whole("mnist", tmp_path)


def test_two_sets_whose_files_have_the_same_names_are_told_apart(tmp_path):
    write(tmp_path, packed(files_of("fashion_mnist")))
    with pytest.raises(DataUnavailable, match=r"mnist is not in .* and its server cannot be reached"):
        load_images("mnist", root=tmp_path)
    assert_whole("fashion_mnist", tmp_path)


@pytest.mark.parametrize("damage", [b"", b"x", b"\x1f\x8bx", "cut", "short"], ids=str)
@pytest.mark.parametrize("form", [packed, dict], ids=["packed", "unpacked"])
def test_what_is_damaged_is_named_and_nothing_whole_is_to_be_deleted(tmp_path, damage, form):
    files = form(files_of("mnist"))
    victim = list(files)[2]
    content = gzip.decompress(files[victim]) if victim.endswith(".gz") else files[victim]
    cut = gzip.compress(content[:-1]) if victim.endswith(".gz") else content[:-1]
    files[victim] = {"cut": files[victim][: len(files[victim]) // 2], "short": cut}.get(damage, damage)
    write(tmp_path / "MNIST" / "raw", files)
    with pytest.raises(DataUnavailable, match=f"mnist in .*MNIST is incomplete .*{victim} is damaged") as caught:
        load_images("mnist", "test", tmp_path)
    message = str(caught.value)
    assert not any(name in message for name in files if name != victim)
    assert "elete" not in message
    assert "Bring what is named here once more (the rest is whole), or move" in message
    assert len(message.splitlines()) == 1
    assert everything(tmp_path).keys() == {f"MNIST/raw/{name}" for name in files}


def test_what_is_missing_is_named(tmp_path):
    files = packed(files_of("mnist"))
    del files["t10k-labels-idx1-ubyte.gz"]
    write(tmp_path / "MNIST" / "raw", files)
    with pytest.raises(DataUnavailable, match=r"t10k-labels-idx1-ubyte or \S+\.gz is missing\)\. Bring"):
        load_images("mnist", root=tmp_path)


def test_four_damaged_files_that_were_brought_are_not_to_be_deleted(tmp_path):
    write(tmp_path / "MNIST" / "raw", dict.fromkeys(packed(files_of("mnist")), b"x"))
    with pytest.raises(DataUnavailable, match=r"(\S+\.gz is damaged: it is not in MNIST's format(; )?){4}") as caught:
        load_images("mnist", root=tmp_path)
    assert "elete" not in str(caught.value)


def test_a_file_that_was_half_unpacked_is_unpacked_again(tmp_path):
    files = files_of("mnist")
    write(tmp_path / "MNIST" / "raw", packed(files) | {NAMES[0]: files[NAMES[0]][:100]})
    assert_whole("mnist", tmp_path)


def test_files_in_a_folder_that_may_not_be_written_to_are_used_all_the_same(monkeypatch, tmp_path):
    write(tmp_path / "mnist", packed(files_of("mnist")))
    before = everything(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert_whole("mnist", tmp_path)
    assert everything(tmp_path) == before


# --- CIFAR-10


@pytest.fixture
def batches(monkeypatch) -> dict[str, bytes]:
    """Let a few noisy pictures be CIFAR-10, and return its files."""
    noise = np.random.default_rng(0)
    rows = {f"data_batch_{n}": count for n, count in zip(range(1, 6), (3, 2, 3, 2, 2), strict=True)} | {"test_batch": 7}
    files = {
        name: pickle.dumps({"data": noise.integers(256, size=(n, 3072), dtype=np.uint8), "labels": [n] * n})
        for name, n in rows.items()
    }
    files["batches.meta"] = pickle.dumps({"label_names": list("abcdefghij")})
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}

    changes = {
        "train_list": [[name, md5[name]] for name in rows if name != "test_batch"],
        "test_list": [["test_batch", md5["test_batch"]]],
        "meta": datasets.CIFAR10.meta | {"md5": md5["batches.meta"]},
    }
    monkeypatch.setitem(sources.TORCHVISION, "cifar10", type("CIFAR10", (datasets.CIFAR10,), changes))
    return files


def archive_of(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return held.getvalue()


def assert_cifar(root: Path, files: dict[str, bytes]) -> None:
    train, test = load_images("cifar10", "train", root), load_images("cifar10", "test", root)
    assert train.labels.tolist() == [3, 3, 3, 2, 2, 3, 3, 3, 2, 2, 2, 2]
    rows = pickle.loads(files["test_batch"])["data"]
    assert torch.equal(test.images.flatten(1), torch.from_numpy(rows))


ARCHIVE = "cifar-10-python.tar.gz"


@pytest.mark.parametrize("place", ["", "cifar10", "CIFAR-10", "cifar-10-python", "cifar-10-batches-py"])
@pytest.mark.parametrize("name", [ARCHIVE, "cifar-10-python.tar", "cifar-10-python (1).tar.gz"])
def test_the_archive_of_cifar_is_found_where_people_put_it(tmp_path, batches, place, name):
    write(tmp_path / place, {name: archive_of(batches, "w:" if name.endswith("tar") else "w:gz")})
    before = everything(tmp_path)
    if place == "cifar-10-batches-py":  # the place is taken: used as far as it goes, and left as it is
        with pytest.raises(DataUnavailable):
            load_images("cifar10", root=tmp_path)
        assert everything(tmp_path) == before
        return
    assert_cifar(tmp_path, batches)
    assert_cifar(tmp_path, batches)
    assert before.items() <= everything(tmp_path).items()
    assert {path.name for path in tmp_path.iterdir()} == {"cifar-10-batches-py", place or name}


@pytest.mark.parametrize("place", ["cifar10/cifar-10-batches-py", "cifar10", "cifar-10-python/cifar-10-batches-py"])
def test_the_batches_of_cifar_are_used_where_they_were_unpacked(tmp_path, batches, place):
    write(tmp_path / place, batches)
    before = everything(tmp_path)
    assert_cifar(tmp_path, batches)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("damage", ["text", "cut", "without a batch", "another batch"])
def test_a_damaged_archive_is_named_and_leaves_nothing(tmp_path, batches, damage):
    whole = archive_of(batches)
    content = {
        "text": b"x",
        "cut": whole[: len(whole) // 2],
        "without a batch": archive_of({name: batches[name] for name in list(batches)[1:]}),
        "another batch": archive_of(batches | {"data_batch_3": b"x"}),
    }[damage]
    write(tmp_path, {ARCHIVE: content})
    with pytest.raises(DataUnavailable, match=f"{ARCHIVE} is damaged") as caught:
        load_images("cifar10", root=tmp_path)
    assert "elete" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert everything(tmp_path) == {ARCHIVE: content}
    assert [path.name for path in tmp_path.iterdir()] == [ARCHIVE]


def test_an_archive_writes_nowhere_else(tmp_path, batches):
    held = io.BytesIO(archive_of(batches, "w:"))
    with tarfile.open(fileobj=held, mode="a:") as archive:
        for name in ("../../outside", "cifar-10-batches-py/../../test_batch"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    write(tmp_path / "root", {"cifar-10-python.tar": held.getvalue()})
    with pytest.raises(DataUnavailable, match="is damaged"):  # its last test_batch is empty
        load_images("cifar10", root=tmp_path / "root")
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_a_damaged_batch_is_named(tmp_path, batches):
    write(tmp_path / "cifar-10-batches-py", batches | {"data_batch_3": b"x"})
    (tmp_path / "cifar-10-batches-py/data_batch_4").unlink()
    with pytest.raises(DataUnavailable, match=r"data_batch_3 is damaged; \S+data_batch_4 is missing") as caught:
        load_images("cifar10", root=tmp_path)
    assert "elete" not in str(caught.value)


# --- two processes at once


@pytest.fixture
def reachable(monkeypatch):
    monkeypatch.setattr(sources, "_why_unreachable", lambda url: None)


def test_another_process_that_was_faster_is_made_use_of(monkeypatch, tmp_path, reachable):
    def download(self):
        write(tmp_path / "MNIST" / "raw", files_of("mnist"))  # the other one
        write(Path(self.raw_folder), files_of("mnist"))

    monkeypatch.setattr(datasets.MNIST, "download", download)
    assert_whole("mnist", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]


def test_of_two_at_once_one_downloads_and_the_other_waits(monkeypatch, tmp_path, reachable):
    downloads = []

    def download(self):
        downloads.append(self.root)
        time.sleep(0.3)  # the other one arrives meanwhile; were it later, it would find the set
        write(Path(self.raw_folder), files_of("mnist"))

    monkeypatch.setattr(datasets.MNIST, "download", download)
    found = []
    threads = [threading.Thread(target=lambda: found.append(load_images("mnist", root=tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(downloads) == 1
    assert len(found) == 3
    assert all(torch.equal(one.images, found[0].images) for one in found)


def test_several_can_unpack_at_once_where_there_are_no_locks(monkeypatch, tmp_path, batches):
    monkeypatch.setattr(sources.FileLock, "acquire", lambda *_, **__: (_ for _ in ()).throw(NotImplementedError))
    write(tmp_path, {ARCHIVE: archive_of(batches)} | packed(files_of("mnist")))
    found = []
    threads = [
        threading.Thread(target=lambda name=name: found.append(load_images(name, root=tmp_path)))
        for name in ("mnist", "cifar10") * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert {path.name for path in tmp_path.iterdir()} >= {"MNIST", "cifar-10-batches-py", ARCHIVE}
    assert not list(tmp_path.rglob(".unpack-*"))
