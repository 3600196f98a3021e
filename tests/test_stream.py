import multiprocessing
import os
import pickle
import signal
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqvae_course import stream
from vqvae_course.checkpoint import load_checkpoint
from vqvae_course.data import Batch, Batches, DataUnavailable, ImageSet, load_images
from vqvae_course.stream import FolderStream, stream_parts
from vqvae_course.train import TrainConfig, fit, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig

H, W, SIZE = 9, 13, 8
CLASSES = {"cat": 6, "dog": 4, "emu": 3}  # 13 pictures, of which the tenth is for the test split
N = 12

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # where there is one core for two workers
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


@pytest.fixture
def pets(tmp_path) -> Path:
    """Pictures of noise in three classes, no two alike."""
    noise = np.random.default_rng(0)
    for name, count in CLASSES.items():
        (tmp_path / "pets" / name).mkdir(parents=True)
        for n in range(count):
            picture = Image.fromarray(noise.integers(256, size=(H, W, 3), dtype=np.uint8))
            picture.save(tmp_path / "pets" / name / f"{n}.png")
    return tmp_path / "pets"


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_same(ours: list[Batch], theirs: list[Batch]) -> None:
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert torch.equal(our.x, their.x)
        assert our.x.dtype == their.x.dtype
        assert torch.equal(our.labels, their.labels)
        assert our.labels.dtype == their.labels.dtype


def children() -> set[int]:
    return {process.pid for process in multiprocessing.active_children()}


# --- the same batches as from memory


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [SIZE, None])
def test_the_batches_are_those_of_the_folder_in_memory(pets, workers, size):
    expected = Batches(load_images(f"folder:{pets}", size=size), 5, seeded())
    batches = FolderStream(f"folder:{pets}", size, 5, workers=workers, generator=seeded())
    assert_same(list(islice(batches, 7)), list(islice(expected, 7)))  # over three passes, with two left in each
    assert batches.name == "pets"
    assert torch.equal(batches.labels, load_images(f"folder:{pets}").labels)


def test_without_a_generator_the_seed_is_zero(pets):
    ours, theirs = FolderStream(pets, SIZE, 4, workers=0), FolderStream(pets, SIZE, 4, workers=0, generator=seeded(0))
    assert_same(list(islice(ours, 4)), list(islice(theirs, 4)))


def test_the_test_split_is_streamed_by_name(pets):
    [batch] = islice(FolderStream(pets, SIZE, 1, split="test", workers=0), 1)
    assert torch.equal(batch.x[0] * 255, load_images(f"folder:{pets}", "test", size=SIZE).images[0].float())


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_each_batch_in_order(pets, world):
    whole = list(islice(Batches(load_images(f"folder:{pets}", size=SIZE), 6, seeded()), 5))
    streams = [FolderStream(pets, SIZE, 6, workers=0, generator=seeded(), shard=(r, world)) for r in range(world)]
    shares = [list(islice(batches, 5)) for batches in streams]
    assert all(len(batch.x) == 6 // world for share in shares for batch in share)
    joined = [
        Batch(torch.cat([part.x for part in parts]), torch.cat([part.labels for part in parts]))
        for parts in zip(*shares, strict=True)
    ]
    assert_same(joined, whole)


def test_two_streams_of_one_generator_have_orders_of_their_own(pets):
    generator = seeded()
    one, other = (FolderStream(pets, SIZE, N, workers=0, generator=generator) for _ in range(2))
    assert not torch.equal(next(one).x, next(other).x)


def test_nobody_else_s_random_numbers_change_the_order(pets):
    generator = seeded()
    undisturbed = list(islice(FolderStream(pets, SIZE, 5, workers=0, generator=seeded()), 6))
    disturbed = FolderStream(pets, SIZE, 5, workers=0, generator=generator)
    batches = []
    for _ in range(6):
        torch.rand(3, generator=generator)
        batches.append(next(disturbed))
    assert_same(batches, undisturbed)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_random_numbers_stay_where_they_are(pets, workers):
    before = torch.get_rng_state()
    batches = FolderStream(pets, SIZE, 5, workers=workers)
    next(batches)
    batches.peek(3)
    assert torch.equal(torch.get_rng_state(), before)


# --- put aside and taken up again


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("seen", [0, 1, 2, 5])
def test_a_restored_stream_continues_with_the_very_next_batch(pets, tmp_path, workers, seen):
    batches = FolderStream(pets, SIZE, 5, workers=workers, generator=seeded())
    list(islice(batches, seen))
    torch.save(batches.state_dict(), tmp_path / "state.pt")  # workers are several batches ahead by now
    expected = list(islice(batches, 5))
    batches.close()
    other = FolderStream(pets, SIZE, 5, workers=workers)
    next(other)  # what it has read ahead must not be handed out
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert_same(list(islice(other, 5)), expected)


def test_a_state_fits_pictures_from_memory_and_the_other_way_round(pets):
    memory = Batches(load_images(f"folder:{pets}", size=SIZE), 5, seeded())
    batches = FolderStream(pets, SIZE, 5, workers=0)
    list(islice(memory, 3))
    batches.load_state_dict(memory.state_dict())
    assert_same(list(islice(batches, 4)), list(islice(memory, 4)))
    list(islice(batches, 2))
    memory.load_state_dict(batches.state_dict())
    assert_same(list(islice(memory, 4)), list(islice(batches, 4)))


def test_a_state_of_another_number_of_pictures_is_refused(pets):
    state = FolderStream(pets, SIZE, 5, workers=0).state_dict()
    Image.new("RGB", (W, H)).save(pets / "emu" / "9.png")
    with pytest.raises(ValueError, match="state must belong to 13 examples, got 12"):
        FolderStream(pets, SIZE, 5, workers=0).load_state_dict(state)


def test_a_run_that_was_interrupted_ends_like_one_that_was_not(pets, tmp_path):
    def run(steps: int, path: Path, workers: int) -> VQVAE:
        torch.manual_seed(1)
        config = VQVAEConfig(3, hidden=4, residual_layers=1, residual_hidden=3, num_codes=7, code_dim=2)
        model, batches = VQVAE(config), FolderStream(pets, SIZE, 5, workers=workers)
        options = {"schedule": "constant", "checkpoint": str(path), "resume": True, "progress": False}
        fit(model, batches, vqvae_step, TrainConfig(steps, **options))
        batches.close()
        return model

    expected = run(5, tmp_path / "whole.pt", workers=0)
    run(2, tmp_path / "half.pt", workers=1)
    assert load_checkpoint(tmp_path / "half.pt").step == 2
    resumed = run(5, tmp_path / "half.pt", workers=2)
    for name, value in expected.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_an_interrupted_wait_loses_no_batch(pets, monkeypatch):
    expected = list(islice(FolderStream(pets, SIZE, 5, workers=0), 3))
    batches = FolderStream(pets, SIZE, 5, workers=0)
    first = next(batches)

    def stop(path, size):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stream, "read_picture", stop)
        with pytest.raises(KeyboardInterrupt):
            next(batches)
    assert_same([first, *islice(batches, 2)], expected)


# --- pictures that cannot be read


def numbered_folder(folder: Path, count: int, broken: set[int]) -> Path:
    """Pictures whose grey is their number; one class, no split of its own needed."""
    for split in ("train", "test"):
        (folder / split / "all").mkdir(parents=True)
        for n in range(count):
            path = folder / split / "all" / f"{n:02}.png"
            Image.new("L", (W, H), n).save(path)
            if n in broken:
                path.write_bytes(path.read_bytes()[:40])
    return folder


def shades(images: torch.Tensor) -> list[int]:
    images = images.mul(255).round() if images.is_floating_point() else images
    return images[:, 0, 0, 0].int().tolist()


@pytest.mark.parametrize("workers", [0, 1])
def test_the_next_picture_takes_the_place_of_one_that_cannot_be_read(tmp_path, workers):
    folder = numbered_folder(tmp_path / "grey", 6, broken={2, 3, 5})
    batches = FolderStream(folder, None, 6, workers=workers, generator=seeded())
    with pytest.warns(UserWarning, match="takes its place") as caught:
        read = [shades(next(batches).x) for _ in range(2)]
    orders = seeded()
    replaced = {2: 4, 3: 4, 5: 0}  # the last is followed by the first
    for found in read:
        assert found == [replaced.get(n, n) for n in torch.randperm(6, generator=orders).tolist()]
    texts = [str(warning.message) for warning in caught if warning.category is UserWarning]
    for n in (2, 3, 5):  # once each, though 2 leads to 3, and there were two passes
        [text] = [text for text in texts if f"{n:02}.png" in text]
        assert "is not a picture that can be read" in text
        assert "The next picture takes its place." in text
    assert len(texts) == 3


def test_a_replacement_brings_its_own_label(pets):
    (pets / "cat" / "5.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"5\.png"):
        batch = next(FolderStream(pets, None, N, workers=0, generator=seeded()))
    order = torch.randperm(N, generator=seeded())
    place = order.tolist().index(5)
    assert batch.labels[place] == 1  # that of the dog which follows
    assert batch.labels.tolist().count(0) == 5


@pytest.mark.parametrize("workers", [0, 1])
def test_sixteen_in_a_row_end_the_run_and_fifteen_do_not(tmp_path, workers):
    folder = numbered_folder(tmp_path / "grey", 20, broken=set(range(2, 17)))
    with pytest.warns(UserWarning, match="takes its place") as caught:
        batch = next(FolderStream(folder, SIZE, 20, workers=workers))
    assert sorted(shades(batch.x)) == [0, 1, *[17] * 16, 18, 19]
    assert sum(warning.category is UserWarning for warning in caught) == 15
    (folder / "train" / "all" / "17.png").write_bytes(b"")
    with pytest.raises(DataUnavailable, match=r"^16 pictures in a row cannot be read\. The last of them: .*17\.png"):
        next(FolderStream(folder, SIZE, 20, workers=workers))


def test_a_folder_without_a_readable_picture_is_refused_at_once(tmp_path):
    folder = numbered_folder(tmp_path / "grey", 3, broken={0, 1, 2})
    with pytest.raises(DataUnavailable, match="3 pictures in a row cannot be read"):
        FolderStream(folder, SIZE, 2)


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_of_mixed_sizes_end_the_run_with_the_cure(pets, workers):
    Image.new("RGB", (W, H + 1)).save(pets / "dog" / "2.png")
    batches = FolderStream(pets, None, N, workers=workers)
    with pytest.raises(
        DataUnavailable, match=r"2\.png has 10x13 pixels, the pictures before it 9x13\. Pass size="
    ) as e:
        next(batches)
    assert "Traceback" not in str(e.value)  # a sentence, not a worker's stack
    assert next(FolderStream(pets, SIZE, N, workers=0)).x.shape == (N, 3, SIZE, SIZE)


# --- workers


def test_closing_and_dropping_a_stream_end_its_workers(pets):
    before = children()
    batches = FolderStream(pets, SIZE, 5, workers=2)
    assert children() == before  # none until a batch is asked for
    expected = FolderStream(pets, SIZE, 5, workers=0)
    assert_same([next(batches)], [next(expected)])
    assert len(children() - before) == 2
    batches.close()
    assert children() == before
    batches.close()
    assert_same([next(batches)], [next(expected)])  # new workers continue
    assert len(children() - before) == 2
    del batches
    assert children() == before


def test_a_worker_that_is_killed_ends_the_run_with_the_cure_and_nowhere_else(pets):
    before = children()
    handler = signal.getsignal(signal.SIGCHLD)
    batches = FolderStream(pets, SIZE, 5, workers=1)
    expected = list(islice(FolderStream(pets, SIZE, 5, workers=0), 10))
    first = next(batches)
    assert signal.getsignal(signal.SIGCHLD) == handler
    [worker] = children() - before
    os.kill(worker, signal.SIGKILL)
    read, began = [first], time.monotonic()
    while worker in children():  # a training step in the meantime is not interrupted
        assert time.monotonic() < began + 30
    with pytest.raises(DataUnavailable, match="ended from outside") as caught:
        read.extend(islice(batches, 9))  # first what it had sent before
    assert time.monotonic() < began + 30
    for cure in ("fewer workers", "workers=0", "smaller batches", "shared memory"):
        assert cure in str(caught.value)
    assert children() == before
    assert len(read) < 10
    read.extend(islice(batches, 10 - len(read)))  # whoever catches the error can go on
    batches.close()
    assert_same(read, expected)


@pytest.mark.parametrize(
    "text",
    [
        "DataLoader worker (pid(s) 12, 13) exited unexpectedly",
        "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that ... out of shared memory.",
    ],
)
def test_torch_s_words_for_a_dead_worker_are_explained(pets, monkeypatch, text):
    def died(path, size):
        raise RuntimeError(text)

    batches = FolderStream(pets, SIZE, 5, workers=0)
    monkeypatch.setattr(stream, "read_picture", died)
    with pytest.raises(DataUnavailable, match="Use fewer workers, or none") as caught:
        next(batches)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "text", ["a mistake in the program", "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback"]
)
def test_other_errors_are_left_as_they_are(pets, monkeypatch, text):
    def failed(path, size):
        raise RuntimeError(text)

    batches = FolderStream(pets, SIZE, 5, workers=0)
    monkeypatch.setattr(stream, "read_picture", failed)
    with pytest.raises(RuntimeError, match=rf"^{text}$"):
        next(batches)


def test_where_shared_memory_is_full_pictures_come_by_another_way(pets, monkeypatch):
    def full(tensor):
        raise RuntimeError("unable to allocate shared memory(shm) for file: No space left on device (28)")

    expected = list(islice(FolderStream(pets, SIZE, 5, workers=0), 4))
    pictures = stream._Reader(pets, "train", SIZE, 1).pictures
    assert isinstance(pictures[[3, 1]].images, torch.Tensor)
    assert pictures[[3, 1]].images.is_shared()
    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    assert isinstance(pictures[[3, 1]].images, np.ndarray)
    batches = FolderStream(pets, SIZE, 5, workers=1)
    assert_same(list(islice(batches, 4)), expected)


def test_what_workers_need_can_be_sent_to_them(pets):
    pictures = stream._Reader(pets, "train", SIZE, 2).pictures
    sent = pickle.loads(pickle.dumps(pictures))  # as systems without fork do
    assert torch.equal(sent[[3, 1]].images, pictures[[3, 1]].images)


# --- a sample, and the whole split in parts


@pytest.mark.parametrize("workers", [0, 1])
def test_peeking_shows_a_random_sample_and_moves_nothing(pets, monkeypatch, workers):
    monkeypatch.setattr(stream, "PEEK_PART", 3)
    batches = FolderStream(pets, SIZE, 5, workers=workers, generator=seeded())
    first = next(batches)
    sample = batches.peek(7)
    data = load_images(f"folder:{pets}", size=SIZE)
    rows = torch.randperm(N, generator=seeded(0))[:7]
    assert torch.equal(sample.images, data.images[rows])
    assert torch.equal(sample.labels, data.labels[rows])
    assert sample.images.dtype == torch.uint8
    assert sample.name == "pets"
    assert_same([first, *islice(batches, 3)], list(islice(Batches(data, 5, seeded()), 4)))


def test_peeking_at_more_than_there_is_shows_all(pets):
    assert len(FolderStream(pets, SIZE, 5, workers=0).peek(100).images) == N


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [SIZE, None])
def test_parts_are_the_whole_split_in_its_own_order(pets, workers, size):
    parts = list(stream_parts(pets, size=size, workers=workers, part=5))
    data = load_images(f"folder:{pets}", size=size)
    assert [len(part.images) for part in parts] == [5, 5, 2]
    assert torch.equal(torch.cat([part.images for part in parts]), data.images)
    assert torch.equal(torch.cat([part.labels for part in parts]), data.labels)
    assert all(isinstance(part, ImageSet) and part.name == "pets" for part in parts)
    assert len(next(stream_parts(f"folder:{pets}", "test", size, workers=0)).images) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_parts_leave_out_what_cannot_be_read(tmp_path, workers):
    folder = numbered_folder(tmp_path / "grey", 7, broken={1, 4, 5})
    with pytest.warns(UserWarning, match="It is left out") as caught:
        parts = list(stream_parts(folder, workers=workers, part=2))
    assert [shades(part.images) for part in parts] == [[0], [2, 3], [6]]  # of the third part nothing was left
    assert sum(warning.category is UserWarning for warning in caught) == 3


def test_parts_of_mixed_sizes_are_refused_even_if_the_first_picture_cannot_be_read(pets):
    (pets / "cat" / "0.png").write_bytes(b"")
    Image.new("RGB", (W, H + 1)).save(pets / "emu" / "2.png")
    parts = stream_parts(pets, workers=0, part=4)
    with pytest.warns(UserWarning, match="It is left out"):
        assert len(next(parts).images) == 3
    with pytest.raises(DataUnavailable, match=r"2\.png has 10x13 pixels, the pictures before it 9x13\. Pass size="):
        list(parts)


def test_parts_that_are_not_read_to_the_end_leave_no_worker(pets):
    before = children()
    parts = stream_parts(pets, size=SIZE, workers=1, part=2)
    next(parts)
    assert len(children() - before) == 1
    parts.close()
    assert children() == before


# --- arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size must lie between 1 and the 12 examples, got 0"),
        ({"batch_size": N + 1}, "batch_size must lie between 1 and the 12 examples, got 13"),
        ({"shard": (0, 3)}, "batch_size must be a multiple of the 3 processes, got 5"),
        ({"shard": (2, 2)}, r"shard must be \(rank, size\) with rank in \[0, size\), got \(2, 2\)"),
        ({"split": "valid"}, 'split must be "train" or "test", got \'valid\''),
        ({"size": 7}, "size must be at least 8 pixels, got 7"),
        ({"workers": -1}, "workers must not be negative, got -1"),
        ({"folder": "folder:"}, "folder must give a path, got none"),
    ],
    ids=str,
)
def test_an_argument_out_of_range_is_refused(pets, changes, message):
    with pytest.raises(ValueError, match=message):
        FolderStream(**{"folder": pets, "size": SIZE, "batch_size": 5, **changes})


def test_counts_below_one_are_refused(pets):
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        FolderStream(pets, SIZE, 5, workers=0).peek(0)
    with pytest.raises(ValueError, match="part must be at least 1, got 0"):
        stream_parts(pets, part=0)  # at once, not when the first part is asked for


def test_a_missing_folder_is_named(tmp_path):
    for start in (lambda: FolderStream(tmp_path / "nowhere", SIZE, 5), lambda: stream_parts(tmp_path / "nowhere")):
        with pytest.raises(DataUnavailable, match="nowhere must name a folder, and there is none"):
            start()
