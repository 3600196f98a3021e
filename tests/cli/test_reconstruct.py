import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.runs import N_TEST, QUIET, SIZES, H, W, content
from vqvae_course import data
from vqvae_course.checkpoint import load_checkpoint
from vqvae_course.cli import reconstruct as command
from vqvae_course.cli.reconstruct import own_pictures
from vqvae_course.data import as_float, load_images
from vqvae_course.metrics import psnr

SIDES = (40, 23)  # width and height, neither that of the model


@pytest.fixture
def odd(tmp_path) -> Path:
    """Pictures of one colour each, as strange as they come, and two files that are none."""
    folder = tmp_path / "odd"
    folder.mkdir()
    Image.new("CMYK", SIDES, (0, 255, 255, 0)).save(folder / "a_cmyk.jpg", quality=95)  # red
    Image.fromarray(np.full(SIDES[::-1], 32768, dtype=np.uint16)).save(folder / "b_16_bit.png")  # half grey
    frames = [Image.new("RGB", SIDES, colour) for colour in ("blue", "lime")]
    frames[0].save(folder / "c_animated.gif", save_all=True, append_images=frames[1:])
    Image.new("RGB", (1, 1), "yellow").save(folder / "d_one_pixel.png")
    Image.new("RGBA", SIDES, (255, 0, 0, 0)).save(folder / "e_clear.png")  # white
    noise = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "f_whole.jpg")
    (folder / "f_cut.jpg").write_bytes((folder / "f_whole.jpg").read_bytes()[:900])
    (folder / "f_whole.jpg").unlink()
    (folder / "g_text.png").write_text("This is no picture.")
    (folder / "notes.txt").write_text("Nor is this.")
    (folder / "h.folder.png").mkdir()
    return folder


COLOURS = {"red": (1, 0, 0), "grey": (0.5, 0.5, 0.5), "blue": (0, 0, 1), "yellow": (1, 1, 0), "white": (1, 1, 1)}


def test_a_strip_is_cut_before_it_is_scaled(tmp_path):
    """Scaled first it would have 2,560,000 x 256 pixels, two gigabytes."""
    Image.new("RGB", (10_000, 1), "red").save(tmp_path / "strip.png")
    strip = own_pictures(tmp_path, 1, (3, 256, 256))
    assert strip.shape == (1, 3, 256, 256)
    assert torch.equal(strip[0, :, 100, 100], torch.tensor([1.0, 0, 0]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_left_out(cli, trained, tmp_path):
    Image.new("RGB", SIDES, "red").save(tmp_path / "red.png")
    os.mkfifo(tmp_path / "pipe.png")
    outcome = cli("reconstruct", "--out", "run", "--pictures", tmp_path)
    assert outcome.status == 0
    assert "pipe.png is not a picture that can be read (not a file)" in outcome.out


@pytest.fixture
def pairs(monkeypatch) -> list:
    """Collect what is drawn."""
    drawn, save = [], command.save_pairs

    def spy(path, x, x_hat):
        drawn.append((x, x_hat))
        return save(path, x, x_hat)

    monkeypatch.setattr(command, "save_pairs", spy)
    return drawn


def test_odd_pictures_are_shown_as_a_viewer_shows_them_and_broken_ones_named(cli, trained, odd, pairs):
    outcome = cli("reconstruct", "--out", "run", "--pictures", odd)
    assert (outcome.status, outcome.err) == (0, "")
    [(x, x_hat)] = pairs
    assert x.shape == x_hat.shape == (len(COLOURS), 3, H, W)
    for picture, (name, colour) in zip(x, COLOURS.items(), strict=True):
        expected = torch.tensor(colour)[:, None, None].expand_as(picture)
        torch.testing.assert_close(picture, expected.float(), atol=0.02, rtol=0, msg=name)
    left_out = [line for line in outcome.out.splitlines() if line.startswith("Left out: ")]
    assert [Path(line.split()[2]).name for line in left_out] == ["f_cut.jpg", "g_text.png", "h.folder.png"]
    assert "notes.txt" not in outcome.out
    assert f"{len(COLOURS)} images, PSNR" in outcome.out
    assert Path("run/pictures/own.png").exists()


def test_a_model_of_grey_images_sees_them_in_grey(cli, odd, pairs, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 30), ("test", 12)):
        monkeypatch.setitem(data.SPLIT_SIZES, split, count)
    assert cli("train", "--out", "run", "--data", "glyphs", "--steps", 2, "--num-codes", 9, *SIZES, *QUIET).status == 0
    assert cli("reconstruct", "--out", "run", "--pictures", odd).status == 0
    [(x, x_hat)] = pairs
    assert x.shape == x_hat.shape == (len(COLOURS), 1, 28, 28)
    for picture, colour in zip(x, COLOURS.values(), strict=True):
        grey = float(torch.tensor(colour, dtype=torch.float32) @ torch.tensor([0.299, 0.587, 0.114]))
        torch.testing.assert_close(picture, torch.full_like(picture, grey), atol=0.02, rtol=0)


def test_test_images_stand_beside_what_the_model_makes_of_them(cli, trained, pairs):
    out = cli("reconstruct", "--out", "run", "--count", N_TEST + 5).out
    [(x, x_hat)] = pairs
    images = as_float(load_images("folder:pets", "test").images)
    assert sorted(x.flatten(1).tolist()) == sorted(images.flatten(1).tolist())
    with torch.no_grad():
        expected = load_checkpoint("run/model.pt").model(x).x_hat.clamp(0, 1)
    assert torch.equal(x_hat, expected)
    assert f"{N_TEST} images, PSNR {float(psnr(x, expected)):.1f} dB." in out


def test_what_systems_leave_among_pictures_is_passed_over_without_a_word(cli, trained, pets):
    for name in ("._0.png", ".hidden.png", "Thumbs.db", "desktop.ini"):
        (pets / "train" / "cow" / name).write_bytes(b"junk")
    outcome = cli("reconstruct", "--out", "run", "--pictures", pets / "train" / "cow")
    assert outcome.status == 0
    assert "Left out" not in outcome.out
    assert "6 images" in outcome.out


@pytest.mark.parametrize("count", [1, 3])
def test_no_more_are_shown_than_asked_for(cli, trained, odd, pairs, count):
    cli("reconstruct", "--out", "run", "--count", count)
    cli("reconstruct", "--out", "run", "--count", count, "--pictures", odd)
    assert [len(x) for x, _ in pairs] == [count, count]


def test_more_than_a_row_of_images_fits_into_the_picture(cli, trained, pairs):
    Path("many").mkdir()
    for n in range(23):
        Image.new("RGB", SIDES, (n, n, n)).save(f"many/{n}.png")
    heights = []
    for count in (10, 99):
        name = f"here/{count}.png"
        assert cli("reconstruct", "--out", "run", "--count", count, "--pictures", "many", "--picture", name).status == 0
        with Image.open(name) as picture:
            heights.append(picture.height)
    assert [len(x) for x, _ in pairs] == [10, 23]
    assert heights[1] > 2 * heights[0]  # three rows of pairs


def test_one_picture_can_be_named(cli, trained, odd, pairs):
    assert cli("reconstruct", "--out", "run", "--pictures", odd / "c_animated.gif").status == 0
    assert pairs[0][0].shape == (1, 3, H, W)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("empty", "empty holds no picture that can be read"),
        ("nowhere", "nowhere must be a folder of pictures or a picture, and there is none"),
        ("odd/notes.txt", "odd/notes.txt holds no picture that can be read"),
    ],
)
def test_where_there_is_no_picture_nothing_is_written(cli, trained, odd, place, message):
    Path("empty").mkdir()
    before = content("run")
    outcome = cli("reconstruct", "--out", "run", "--pictures", place)
    assert outcome.status == 1
    assert outcome.err.startswith(f"vqvae-course reconstruct: {message}")
    assert content("run") == before


def test_the_middle_of_a_picture_is_cut_out_not_squeezed(tmp_path):
    pixels = np.zeros((10, 90, 3), dtype=np.uint8)
    pixels[:, 30:60] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    [picture] = own_pictures(tmp_path, 1, (3, 8, 12))
    assert torch.equal(picture, torch.ones(3, 8, 12))
