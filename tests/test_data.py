import gzip
import http.client
import struct
import threading
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from vqvae_course import data, sources
from vqvae_course.data import (
    Batches,
    CodeSet,
    DataUnavailable,
    ImageSet,
    as_float,
    data_root,
    encode_dataset,
    load_images,
    load_images_or,
)
from vqvae_course.vqvae import VQVAE, VQVAEConfig

N, C, H, W = 11, 3, 8, 12


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    """Point the data folder at an empty place, and see that no test asks a server."""
    monkeypatch.setenv("VQVAE_COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(sources, "_why_unreachable", lambda url: "the test has no network")


@pytest.fixture
def small_splits(monkeypatch):
    monkeypatch.setitem(data.SPLIT_SIZES, "train", 40)
    monkeypatch.setitem(data.SPLIT_SIZES, "test", 20)


@pytest.fixture
def images():
    return ImageSet(torch.randint(256, (N, C, H, W), dtype=torch.uint8), torch.arange(N) % 4, "noise")


def assert_same_set(one: ImageSet, other: ImageSet) -> None:
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.labels, other.labels)
    assert one.name == other.name


# --- built-in sets


@pytest.mark.parametrize(("name", "shape"), [("glyphs", (1, 28, 28)), ("scenes", (3, 32, 32))])
def test_built_in_sets_are_the_same_every_time_and_differ_between_splits(small_splits, name, shape):
    train, test = load_images(name), load_images(name, "test")
    assert train.images.shape == (40, *shape)
    assert test.images.shape == (20, *shape)
    assert train.images.dtype == torch.uint8
    assert train.labels.dtype == torch.int64
    assert train.name == test.name == name
    torch.rand(7)
    assert_same_set(load_images(name), train)
    both = torch.cat([train.images, test.images]).flatten(1)
    assert len(both.unique(dim=0)) == 60


@pytest.mark.parametrize("name", ["glyphs", "scenes"])
def test_train_and_test_are_different_draws(monkeypatch, small_splits, name):
    monkeypatch.setitem(data.SPLIT_SIZES, "test", 40)  # of equal sizes, one seed would give one set
    train, test = load_images(name), load_images(name, "test")
    assert not torch.equal(train.labels, test.labels)
    assert len(torch.cat([train.images, test.images]).flatten(1).unique(dim=0)) == 80


def test_scenes_come_in_any_size(small_splits):
    assert load_images("scenes", "test", size=13).images.shape == (20, 3, 13, 13)


@pytest.mark.parametrize("name", ["imagenet", "MNIST", "", "folders:x"])
def test_an_unknown_name_is_refused_with_the_list_of_names(name):
    with pytest.raises(
        ValueError, match="name must be one of glyphs, scenes, mnist, fashion_mnist, cifar10 or folder:PATH, got"
    ):
        load_images(name)


@pytest.mark.parametrize("name", ["glyphs", "mnist", "folder:x"])
def test_an_unknown_split_is_refused(name):
    with pytest.raises(ValueError, match='split must be "train" or "test", got \'valid\''):
        load_images(name, "valid")


@pytest.mark.parametrize("name", ["glyphs", "mnist", "fashion_mnist", "cifar10"])
def test_a_size_is_refused_where_pictures_have_their_own(name):
    with pytest.raises(ValueError, match=f"size must be left out for {name}, whose pictures have a size of their own"):
        load_images(name, size=32)


@pytest.mark.parametrize("name", ["scenes", "folder:x"])
def test_a_size_below_eight_pixels_is_refused(name):
    with pytest.raises(ValueError, match="size must be at least 8 pixels, got 7"):
        load_images(name, size=7)


def test_taking_rows_keeps_images_labels_and_name_together(images):
    for rows in (slice(2, 5), torch.tensor([7, 0])):
        part = images.take(rows)
        assert torch.equal(part.images, images.images[rows])
        assert torch.equal(part.labels, images.labels[rows])
        assert part.name == images.name


def test_bytes_become_floats_between_zero_and_one_and_all_else_stays():
    floats = as_float(torch.tensor([0, 51, 255], dtype=torch.uint8))
    torch.testing.assert_close(floats, torch.tensor([0.0, 0.2, 1.0]))
    for same in (torch.tensor([0.3]), torch.tensor([200])):
        assert as_float(same) is same


# --- where the data are


def test_the_root_is_the_argument_else_the_environment_else_a_cache(monkeypatch, tmp_path):
    assert data_root(tmp_path / "mine") == tmp_path / "mine"
    assert data_root() == tmp_path / "data"
    monkeypatch.setenv("VQVAE_COURSE_DATA", "")
    assert data_root() == Path.home() / ".cache" / "vqvae_course"
    assert data_root("~/sets") == Path.home() / "sets"


# --- sets of torchvision


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write a file in MNIST's own format."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


def write_mnist_test_split(raw: Path, count: int = 10_000) -> np.ndarray:
    """Write MNIST's four files, with a single training image."""
    raw.mkdir(parents=True)
    pixels = np.zeros((count, 28, 28), dtype=np.uint8)
    pixels[:, 3, 5] = np.arange(count) % 256
    write_idx(raw / "t10k-images-idx3-ubyte", pixels)
    write_idx(raw / "t10k-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    write_idx(raw / "train-images-idx3-ubyte", pixels[:1])
    write_idx(raw / "train-labels-idx1-ubyte", np.zeros(1, dtype=np.uint8))
    return pixels


def test_a_set_found_in_the_folder_is_used(tmp_path):
    pixels = write_mnist_test_split(tmp_path / "data" / "MNIST" / "raw")
    loaded = load_images("mnist", "test")
    assert loaded.images.shape == (10_000, 1, 28, 28)
    assert loaded.images.dtype == torch.uint8
    assert torch.equal(loaded.images[:, 0], torch.from_numpy(pixels))
    assert torch.equal(loaded.labels, torch.arange(10_000) % 10)
    assert loaded.name == "mnist"


def test_the_root_argument_names_the_folder(tmp_path):
    write_mnist_test_split(tmp_path / "elsewhere" / "FashionMNIST" / "raw")
    assert len(load_images("fashion_mnist", "test", root=tmp_path / "elsewhere").images) == 10_000


def test_colour_comes_before_height_and_width(monkeypatch, tmp_path):
    class Fake(datasets.CIFAR10):
        def __init__(self, root, train, download):
            self.data = np.zeros((10_000, 32, 32, 3), dtype=np.uint8)
            self.data[:, 5, 7] = [1, 2, 3]
            self.targets = [n % 10 for n in range(10_000)]

    (tmp_path / "data" / Fake.base_folder).mkdir(parents=True)
    monkeypatch.setitem(sources.TORCHVISION, "cifar10", Fake)
    loaded = load_images("cifar10", "test")
    assert loaded.images.shape == (10_000, 3, 32, 32)
    assert loaded.images.is_contiguous()
    assert loaded.images[9, :, 5, 7].tolist() == [1, 2, 3]
    assert loaded.labels.dtype == torch.int64


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_missing_set_and_no_network_say_what_to_do(tmp_path, name):
    with pytest.raises(DataUnavailable, match=f"{name} is not in .* and its server cannot be reached") as caught:
        load_images(name)
    for cure in ("the test has no network", "Connect to the internet", "VQVAE_COURSE_DATA", '"glyphs" or "scenes"'):
        assert cure in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST/raw"), ("cifar10", "cifar-10-batches-py")])
@pytest.mark.parametrize("content", [None, b"", b"junk", gzip.compress(b"junk")], ids=["none", "empty", "junk", "gzip"])
def test_a_damaged_set_says_what_to_do(tmp_path, name, folder, content):
    raw = tmp_path / "data" / folder
    raw.mkdir(parents=True)
    files = ["data_batch_1", "test_batch", "batches.meta"]
    files += [f"{s}-{w}-ubyte" for s in ("train", "t10k") for w in ("images-idx3", "labels-idx1")]
    for file in files:
        if content is not None:
            (raw / file).write_bytes(content)
    with pytest.raises(DataUnavailable, match=f"{name} in .* is incomplete or damaged") as caught:
        load_images(name)
    assert "Delete that folder and run this again" in str(caught.value)


def test_a_set_with_too_few_images_is_damaged(tmp_path):
    write_mnist_test_split(tmp_path / "data" / "MNIST" / "raw", count=100)
    with pytest.raises(DataUnavailable, match="it holds 100 images and 100 labels"):
        load_images("mnist", "test")


@pytest.fixture
def reachable(monkeypatch):
    monkeypatch.setattr(sources, "_why_unreachable", lambda url: None)


@pytest.mark.parametrize(
    ("failure", "raised"), [(OSError("the line broke"), DataUnavailable), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_a_download_that_stops_halfway_leaves_nothing_behind(monkeypatch, tmp_path, reachable, failure, raised):
    started = []

    def download(self):
        raw = Path(self.raw_folder)
        raw.mkdir(parents=True)
        (raw / "train-images-idx3-ubyte").write_bytes(b"half")
        started.append(raw)
        raise failure

    monkeypatch.setattr(datasets.MNIST, "download", download)
    with pytest.raises(raised) as caught:
        load_images("mnist")
    assert started
    assert list((tmp_path / "data").iterdir()) == []
    if raised is DataUnavailable:
        assert "mnist could not be downloaded to" in str(caught.value)
        assert "the line broke" in str(caught.value)


def test_a_download_is_used_at_once_and_kept(monkeypatch, tmp_path, reachable):
    downloads = []

    def download(self):
        downloads.append(self.root)
        write_mnist_test_split(Path(self.raw_folder))

    monkeypatch.setattr(datasets.MNIST, "download", download)
    first = load_images("mnist", "test")
    assert_same_set(load_images("mnist", "test"), first)
    assert len(downloads) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["MNIST"]


def ask_server(monkeypatch, answer) -> str | None:
    monkeypatch.undo()  # the real function again
    monkeypatch.setattr(sources.urllib.request, "urlopen", answer)
    return sources._why_unreachable("http://server.invalid/")


class Reply:
    def close(self):
        """There is nothing to close."""


def raising(error):
    def answer(*args, **kwargs):
        raise error

    return answer


def test_a_server_that_answers_is_reachable(monkeypatch):
    assert ask_server(monkeypatch, lambda *args, **kwargs: Reply()) is None


def test_a_server_that_refuses_a_listing_is_reachable(monkeypatch):
    refusal = urllib.error.HTTPError("http://server.invalid/", 403, "Forbidden", {}, None)
    assert ask_server(monkeypatch, raising(refusal)) is None


@pytest.mark.parametrize(
    "error",
    [urllib.error.URLError("no such host"), TimeoutError("timed out"), ValueError("odd address"), TimeoutError()],
    ids=repr,
)
def test_a_server_that_fails_is_unreachable_for_a_reason(monkeypatch, error):
    reason = ask_server(monkeypatch, raising(error))
    assert reason
    assert str(error) in reason


def test_a_server_that_talks_nonsense_is_unreachable(monkeypatch):
    assert ask_server(monkeypatch, raising(http.client.BadStatusLine("<html>")))


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch):
    asked = threading.Event()
    monkeypatch.undo()
    monkeypatch.setattr(sources, "REACH_SECONDS", 0.05)
    monkeypatch.setattr(sources.urllib.request, "urlopen", lambda *args, **kwargs: asked.wait(10) and Reply())
    assert sources._why_unreachable("http://server.invalid/") == "no answer within 0.05 seconds"
    asked.set()


# --- the visible fallback


def test_the_fallback_is_used_and_says_so(small_splits, capsys):
    loaded = load_images_or("mnist", "glyphs", split="test")
    assert_same_set(loaded, load_images("glyphs", "test"))
    printed = capsys.readouterr().out
    assert printed.startswith("Using 'glyphs' in place of 'mnist'.")
    assert "VQVAE_COURSE_DATA" in printed


def test_the_set_itself_is_used_silently_where_it_can_be_had(small_splits, capsys):
    assert load_images_or("scenes", "glyphs").name == "scenes"
    assert capsys.readouterr().out == ""


def test_the_fallback_hides_no_spelling_mistake():
    with pytest.raises(ValueError, match="name must be one of"):
        load_images_or("mnits", "glyphs")


# --- folders of pictures


def write_pictures(folder: Path, classes: dict[str, int], size=(W, H), shade=0) -> None:
    """Write plain pictures whose grey tells their number within the class; ``size`` is (width, height)."""
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for n in range(count):
            Image.new("RGB", size, (shade + n, 100, 200)).save(folder / name / f"{n:03}.png")


def test_a_set_is_three_things_to_unpack(tmp_path):
    write_pictures(tmp_path / "pets", {"cat": 6, "dog": 7})
    for name in ("scenes", f"folder:{tmp_path / 'pets'}"):
        images, labels, called = load_images(name, "test")
        assert len(images) == len(labels)
        assert called in ("scenes", "pets")


def test_sub_folders_are_classes_and_pictures_keep_their_pixels(tmp_path):
    write_pictures(tmp_path / "pets", {"cat": 4, "dog": 3})
    loaded = load_images(f"folder:{tmp_path / 'pets'}")
    assert loaded.images.shape == (7, 3, H, W)
    assert loaded.images.dtype == torch.uint8
    assert loaded.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert loaded.labels.dtype == torch.int64
    assert loaded.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert loaded.images[:, 1:, H - 1, W - 1].unique(dim=0).tolist() == [[100, 200]]
    assert loaded.name == "pets"


def test_every_tenth_picture_goes_to_the_test_split(tmp_path):
    write_pictures(tmp_path / "pets", {"cat": 15, "dog": 8})
    train, test = (load_images(f"folder:{tmp_path / 'pets'}", split) for split in ("train", "test"))
    shades = list(range(15)) + list(range(8))
    assert test.images[:, 0, 0, 0].tolist() == [shades[9], shades[19]]
    assert test.labels.tolist() == [0, 1]
    assert train.images[:, 0, 0, 0].tolist() == [shade for n, shade in enumerate(shades) if n not in (9, 19)]


def test_train_and_test_sub_folders_are_used_where_both_exist(tmp_path):
    write_pictures(tmp_path / "train", {"cat": 3, "dog": 2})
    write_pictures(tmp_path / "test", {"cat": 1, "dog": 1}, shade=50)
    assert load_images(f"folder:{tmp_path}").images[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1]
    assert load_images(f"folder:{tmp_path}", "test").images[:, 0, 0, 0].tolist() == [50, 50]


def test_a_label_means_the_same_in_both_sub_folders(tmp_path):
    write_pictures(tmp_path / "train", {"cat": 2, "dog": 2, "emu": 2})
    write_pictures(tmp_path / "test", {"cat": 1, "emu": 1})  # no dog to test with
    train, test = (load_images(f"folder:{tmp_path}", split) for split in ("train", "test"))
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert test.labels.tolist() == [0, 2]


def test_with_a_size_pictures_are_resized_and_their_middle_is_cut_out(tmp_path):
    write_pictures(tmp_path / "pets", {"cat": 2}, size=(40, 20))
    picture = Image.new("RGB", (40, 20), (255, 0, 0))
    picture.paste((0, 0, 255), (10, 0, 30, 20))  # blue is the middle square
    picture.save(tmp_path / "pets" / "cat" / "002.png")
    loaded = load_images(f"folder:{tmp_path / 'pets'}", size=10)
    assert loaded.images.shape == (3, 3, 10, 10)
    assert loaded.images[2, :, 5, 2:8].float().mean(dim=1).tolist() == [0, 0, 255]


def test_with_a_size_mixed_pictures_are_welcome(tmp_path):
    write_pictures(tmp_path / "pets", {"cat": 2}, size=(W, H))
    write_pictures(tmp_path / "pets", {"dog": 1}, size=(H, 3 * W))
    assert load_images(f"folder:{tmp_path / 'pets'}", size=9).images.shape == (3, 3, 9, 9)


def test_grey_and_transparent_pictures_become_colour(tmp_path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    Image.new("L", (W, H), 7).save(tmp_path / "pets" / "cat" / "0.png")
    Image.new("RGBA", (W, H), (1, 2, 3, 255)).save(tmp_path / "pets" / "cat" / "1.png")
    loaded = load_images(f"folder:{tmp_path / 'pets'}")
    assert loaded.images[:, :, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3]]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataUnavailable, match="nowhere must name a folder, and there is none"):
        load_images(f"folder:{tmp_path / 'nowhere'}")


@pytest.mark.parametrize("classes", [[], ["cat"]], ids=["no class", "empty class"])
def test_an_empty_folder_is_refused(tmp_path, classes):
    (tmp_path / "pets").mkdir()
    for name in classes:
        (tmp_path / "pets" / name).mkdir()
    with pytest.raises(DataUnavailable, match="must hold one sub-folder of pictures for each class"):
        load_images(f"folder:{tmp_path / 'pets'}")


def test_pictures_of_mixed_sizes_are_refused_with_the_cure(tmp_path):
    write_pictures(tmp_path / "pets", {"cat": 2}, size=(W, H))
    write_pictures(tmp_path / "pets", {"dog": 1}, size=(W, H + 1))
    with pytest.raises(DataUnavailable, match=r"has 9x12 pixels, the pictures before it 8x12\. Pass size="):
        load_images(f"folder:{tmp_path / 'pets'}")


@pytest.mark.parametrize("content", [b"", b"no picture", "half"], ids=["empty", "junk", "half"])
def test_a_picture_that_cannot_be_read_is_named(tmp_path, content):
    write_pictures(tmp_path / "pets", {"cat": 3})
    broken = tmp_path / "pets" / "cat" / "001.png"
    if content == "half":
        Image.effect_noise((64, 64), 50).save(broken)
        content = broken.read_bytes()[:1500]
    broken.write_bytes(content)
    with pytest.raises(DataUnavailable, match=r"001\.png is not a picture that can be read .* Mend or remove it"):
        load_images(f"folder:{tmp_path / 'pets'}")


def test_too_few_pictures_for_a_test_split_are_refused(tmp_path):
    write_pictures(tmp_path / "pets", {"cat": 9})
    with pytest.raises(DataUnavailable, match="holds too few pictures for a test split of its own"):
        load_images(f"folder:{tmp_path / 'pets'}", "test")


# --- batches


def numbered(count: int = N) -> CodeSet:
    """Index maps that all show their own number."""
    return CodeSet(torch.arange(count)[:, None, None].expand(count, 4, 6), torch.arange(count) + 100, "numbers")


def numbers(batch) -> list[int]:
    return batch.x[:, 0, 0].tolist()


@pytest.mark.parametrize("batch_size", [1, 3, 4, N])
def test_a_pass_shows_no_example_twice(batch_size):
    batches = Batches(numbered(), batch_size)
    for _ in range(3):
        shown = [n for _ in range(N // batch_size) for n in numbers(next(batches))]
        assert len(shown) == len(set(shown)) == N - N % batch_size


def test_a_pass_covers_every_example_and_has_an_order_of_its_own():
    batches = Batches(numbered(12), 4)
    passes = [[n for _ in range(3) for n in numbers(next(batches))] for _ in range(3)]
    assert all(sorted(order) == list(range(12)) for order in passes)
    assert passes[0] != passes[1] != passes[2] != passes[0]
    assert passes[0] != list(range(12))


def test_each_example_keeps_its_label():
    for batch, _ in zip(Batches(numbered(), 3), range(8), strict=False):
        assert batch.labels.tolist() == [n + 100 for n in numbers(batch)]


def test_images_come_as_floats_and_index_maps_as_they_are(images):
    batch = next(Batches(images, 3, torch.Generator().manual_seed(3)))
    rows = torch.randperm(N, generator=torch.Generator().manual_seed(3))[:3]
    torch.testing.assert_close(batch.x, images.images[rows] / 255)
    assert batch.x.dtype == torch.float32
    assert torch.equal(batch.labels, images.labels[rows])
    assert next(Batches(numbered(), 3)).x.dtype == torch.int64


def test_the_orders_follow_the_generator_and_by_default_a_fixed_one():
    def first(generator=None):
        batches = Batches(numbered(), 3, generator)
        return [numbers(next(batches)) for _ in range(8)]

    assert first() == first()
    assert first() == first(torch.Generator().manual_seed(0))
    assert first() != first(torch.Generator().manual_seed(1))


@pytest.mark.parametrize("seen", [0, 1, 3, 4, 7])
def test_a_restored_stream_continues_with_the_very_next_batch(seen):
    batches = Batches(numbered(), 3, torch.Generator().manual_seed(3))
    for _ in range(seen):
        next(batches)
    state = batches.state_dict()
    expected = [numbers(next(batches)) for _ in range(9)]  # the state must not move along
    other = Batches(numbered(), 3)
    next(other)
    other.load_state_dict(state)
    assert [numbers(next(other)) for _ in range(9)] == expected


def test_a_state_of_another_data_set_is_refused():
    state = Batches(numbered(N + 1), 3).state_dict()
    with pytest.raises(ValueError, match="state must belong to 11 examples, got 12"):
        Batches(numbered(), 3).load_state_dict(state)


@pytest.mark.parametrize("batch_size", [0, -1, N + 1])
def test_a_batch_size_out_of_range_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"batch_size must lie between 1 and the 11 examples, got {batch_size}"):
        Batches(numbered(), batch_size)


# --- encode_dataset


@pytest.fixture
def model():
    config = VQVAEConfig(
        in_channels=C, hidden=4, residual_layers=1, residual_hidden=3, num_codes=7, code_dim=2, normalize_latents=True
    )
    model = VQVAE(config)
    model(torch.rand(2, C, H, W))  # some statistics to normalise with
    return model


def test_encoding_a_set_keeps_order_labels_and_name(model, images, monkeypatch):
    # In double precision: a batch of another size rounds differently, and in float32 a latent can lie between two codes
    model.double()
    monkeypatch.setattr(model, "encode", lambda x: VQVAE.encode(model, x.double()))
    codes = encode_dataset(model, images, batch_size=4)
    assert codes.indices.shape == (N, H // 4, W // 4)
    assert codes.indices.dtype == torch.int64
    model.eval()
    one_by_one = [model.encode(as_float(image[None])) for image in images.images]
    assert torch.equal(codes.indices, torch.cat(one_by_one))
    assert torch.equal(codes.labels, images.labels)
    assert codes.name == images.name


@pytest.mark.parametrize("mode", [True, False])
def test_encoding_a_set_leaves_mode_codebook_and_statistics_as_they_were(model, images, mode):
    model.train(mode)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    encode_dataset(model, images)
    assert model.training is mode
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
