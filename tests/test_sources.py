"""Pictures of the kinds that readers have; each test makes one and knows its pixels beforehand."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from vqvae_course.data import load_images
from vqvae_course.sources import DataUnavailable, open_picture, read_picture

H, W = 5, 7
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def pixels(path) -> np.ndarray:
    """Open a picture, (H, W, 3), and see that it is what was promised."""
    picture = open_picture(path)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def grey(path) -> list[int]:
    """Return the first row of a picture whose channels are all equal."""
    row = pixels(path)[0]
    assert (row == row[:, :1]).all()
    return row[:, 0].tolist()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def write_png(path, bits: int, kind: int, row: bytes, transparent: bytes, width: int = 2) -> None:
    """Write a PNG of one row with a tRNS chunk, in kinds that Pillow can read and not write."""
    header = struct.pack(">IIBBBBB", width, 1, bits, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


# --- colours


def test_a_plain_picture_keeps_every_pixel(tmp_path):
    noise = np.random.default_rng(0).integers(256, size=(H, W, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    assert (pixels(tmp_path / "a.png") == noise).all()


@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_printers_inks_become_light(tmp_path, suffix):
    picture = Image.new("CMYK", (32, 16), (0, 255, 255, 0))  # magenta and yellow: red
    picture.paste((255, 255, 0, 0), (16, 0, 32, 16))  # cyan and magenta: blue
    picture.save(tmp_path / f"a.{suffix}")
    found = pixels(tmp_path / f"a.{suffix}").astype(int)
    assert found.shape == (16, 32, 3)
    assert abs(found[8, 4] - RED).max() < 8  # JPEG is not exact
    assert abs(found[8, 28] - BLUE).max() < 8


def test_black_ink_darkens(tmp_path):
    Image.new("CMYK", (W, H), (0, 0, 0, 155)).save(tmp_path / "a.tif")
    assert grey(tmp_path / "a.tif") == [100] * W


def test_a_palette_is_looked_up(tmp_path):
    picture = Image.new("P", (3, 2))
    picture.putpalette([*BLUE, *RED, *GREEN])
    picture.putdata([1, 2, 0, 0, 0, 0])
    picture.save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png")[0].tolist() == [list(RED), list(GREEN), list(BLUE)]


def test_one_bit_is_black_or_white(tmp_path):
    picture = Image.new("1", (3, 2))
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "a.png")
    assert grey(tmp_path / "a.png") == [0, 255, 0]


def test_a_single_pixel_is_a_picture_of_any_size_asked_for(tmp_path):
    Image.new("L", (1, 1), 77).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").tolist() == [[[77, 77, 77]]]
    assert torch.equal(read_picture(tmp_path / "a.png", 9), torch.full((3, 9, 9), 77, dtype=torch.uint8))


# --- grey of more than 8 bits

LEVELS = np.array([[0, 257, 514 + 128, 32896, 65535]])  # 257 levels to each of 8 bits; 128 more are not half of one
SCALED = [0, 1, 2, 128, 255]


def test_grey_of_16_bits_is_scaled_in_every_file_format(tmp_path):
    Image.fromarray(LEVELS.astype(np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(LEVELS.astype(np.uint16)).save(tmp_path / "a.tif")
    Image.frombytes("I;16B", (5, 1), LEVELS.astype(">u2").tobytes()).save(tmp_path / "b.tif")
    Image.fromarray(LEVELS.astype(np.int32)).save(tmp_path / "c.tif")
    (tmp_path / "a.pgm").write_bytes(b"P5\n5 1\n65535\n" + LEVELS.astype(">u2").tobytes())
    modes = set()
    for name in ("a.png", "a.tif", "b.tif", "c.tif", "a.pgm"):
        with Image.open(tmp_path / name) as picture:
            modes.add(picture.mode)
        assert grey(tmp_path / name) == SCALED, name
    assert modes == {"I;16", "I;16B", "I"}


def test_a_dark_picture_of_16_bits_stays_dark(tmp_path):
    Image.fromarray(np.array([[0, 200, 257]], dtype=np.int32)).save(tmp_path / "a.tif")
    assert grey(tmp_path / "a.tif") == [0, 1, 1]


@pytest.mark.parametrize("level", [-1, 65536])
def test_grey_in_no_known_range_is_refused(tmp_path, level):
    Image.fromarray(np.array([[0, level]], dtype=np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(DataUnavailable, match=r"a\.tif is not a picture that can be read .*not between 0 and 65535"):
        open_picture(tmp_path / "a.tif")


def test_grey_without_an_agreed_white_is_refused_with_the_cure(tmp_path):
    Image.fromarray((LEVELS / 65535).astype(np.float32)).save(tmp_path / "floats.tif")
    write_png(tmp_path / "clear.png", 16, 0, struct.pack(">2H", 4660, 7 * 257), struct.pack(">H", 4660))
    for name in ("floats.tif", "clear.png"):
        with pytest.raises(DataUnavailable, match=rf"{name} is not a picture that can be read .*saved with 8 bits"):
            open_picture(tmp_path / name)


# --- transparency


def over_white(colour: int, alpha: int) -> float:
    return colour * alpha / 255 + 255 * (1 - alpha / 255)


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("LA", "png"), ("RGBA", "webp"), ("LA", "tif")])
def test_alpha_is_laid_over_white(tmp_path, mode, suffix):
    picture = Image.new(mode, (3, 2))
    for x, alpha in enumerate((0, 51, 255)):
        picture.putpixel((x, 0), (*[100] * (len(mode) - 1), alpha))
    picture.save(tmp_path / f"a.{suffix}", **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    assert grey(tmp_path / f"a.{suffix}") == [over_white(100, alpha) for alpha in (0, 51, 255)] == [255, 224, 100]


@pytest.mark.parametrize("mode", ["RGBa", "PA"])
def test_rarer_forms_of_alpha_are_laid_over_white(monkeypatch, tmp_path, mode):
    if mode == "PA":
        rare = Image.new("PA", (1, 1))
        rare.putpalette([*BLUE, 100, 100, 100])
        rare.putpixel((0, 0), (1, 51))
    else:
        rare = Image.new(mode.upper(), (1, 1), (*[100] * (len(mode) - 1), 51)).convert(mode)
    (tmp_path / "a.png").touch()
    monkeypatch.setattr(Image, "open", lambda file: rare)  # hardly a file comes as these
    [shade] = grey(tmp_path / "a.png")
    assert shade == pytest.approx(over_white(100, 51), abs=1)


def test_a_form_of_alpha_that_pillow_cannot_convert_is_refused(monkeypatch, tmp_path):
    (tmp_path / "a.png").touch()
    monkeypatch.setattr(Image, "open", lambda file: Image.new("LA", (1, 1), (100, 51)).convert("La"))
    with pytest.raises(DataUnavailable, match=r"a\.png is not a picture that can be read .*conversion from La"):
        open_picture(tmp_path / "a.png")


def test_a_palette_may_be_transparent_in_part(tmp_path):
    picture = Image.new("P", (3, 2))
    picture.putpalette([*BLUE, *RED, *GREEN])
    picture.putdata([0, 1, 2, 0, 0, 0])
    picture.save(tmp_path / "a.png", transparency=bytes([0, 51, 255]))  # one alpha for each colour
    assert pixels(tmp_path / "a.png")[0].tolist() == [list(WHITE), [255, 204, 204], list(GREEN)]


@pytest.mark.parametrize(
    ("bits", "kind", "row", "transparent", "expected"),
    [
        (8, 0, bytes([9, 7]), struct.pack(">H", 9), [WHITE, (7, 7, 7)]),
        (8, 2, bytes([*RED, *BLUE]), struct.pack(">3H", *RED), [WHITE, BLUE]),
    ],
    ids=["grey", "colour"],
)
def test_one_colour_of_a_png_may_be_transparent(tmp_path, bits, kind, row, transparent, expected):
    write_png(tmp_path / "a.png", bits, kind, row, transparent)
    assert pixels(tmp_path / "a.png").tolist() == [[list(colour) for colour in expected]]


# --- animations and orientation


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, suffix):
    frames = [Image.new("RGB", (W, H), colour) for colour in (RED, GREEN, BLUE)]
    lossless = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], duration=40, **lossless)
    with Image.open(tmp_path / f"a.{suffix}") as picture:
        assert picture.n_frames == 3
    assert (pixels(tmp_path / f"a.{suffix}") == RED).all()
    assert pixels(tmp_path / f"a.{suffix}").shape == (H, W, 3)


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])  # quarters, against the clock
@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "P"])
def test_a_picture_taken_with_a_turned_camera_is_turned_back(tmp_path, orientation, turns, mode):
    shades = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    picture = Image.fromarray(shades.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(shades)
    picture = picture if mode == "I;16" else picture.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    assert (pixels(tmp_path / "a.png") == np.rot90(shades, turns)[..., None]).all()


def test_damaged_notes_of_a_camera_do_not_spoil_the_picture(tmp_path):
    Image.new("RGB", (W, H), WHITE).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0")
    assert (pixels(tmp_path / "a.jpg") == 255).all()


# --- files that are no pictures


def test_a_photograph_that_is_cut_off_is_refused_and_named(tmp_path):
    noise = np.random.default_rng(0).integers(256, size=(64, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "half.jpg")
    whole = (tmp_path / "half.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataUnavailable, match=r"half\.jpg is not a picture that can be read .* Mend or remove it\."):
        open_picture(tmp_path / "half.jpg")


@pytest.mark.parametrize("content", [b"", b"no picture", None], ids=["empty", "text", "missing"])
def test_what_is_no_picture_is_refused_and_named(tmp_path, content):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataUnavailable, match=r"a\.png is not a picture that can be read .* Mend or remove it\."):
        open_picture(str(tmp_path / "a.png"))


@pytest.mark.parametrize("limit", [H * W - 1, H * W // 2 - 1], ids=["warning", "error"])
def test_a_picture_of_too_many_pixels_is_refused_and_named(monkeypatch, tmp_path, limit):
    Image.new("L", (W, H)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # Pillow warns beyond it, and refuses beyond twice as many
    with pytest.raises(DataUnavailable, match=r"a\.png is not a picture .*35 pixels.* exceeds limit"):
        open_picture(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W)
    assert grey(tmp_path / "a.png") == [0] * W


def test_folders_are_read_the_same_way(tmp_path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    Image.fromarray(np.full((H, W), 100 * 257, dtype=np.uint16)).save(tmp_path / "pets" / "cat" / "0.png")
    Image.new("LA", (W, H), (0, 0)).save(tmp_path / "pets" / "cat" / "1.png")
    assert load_images(f"folder:{tmp_path / 'pets'}").images.flatten(1).unique(dim=1).tolist() == [[100], [255]]
