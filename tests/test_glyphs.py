from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from tools.printed_digits import FONTS, sheet
from vqvae_course.glyphs import CANVAS, SHEET, SIZE, digit_distances, draw_glyphs


def drawn(count: int, seed: int = 0):
    return draw_glyphs(count, torch.Generator().manual_seed(seed))


def test_glyphs_have_the_shape_and_type_of_mnist():
    images, labels = drawn(30)
    assert images.shape == (30, 1, SIZE, SIZE) == (30, 1, 28, 28)
    assert images.dtype == torch.uint8
    assert labels.shape == (30,)
    assert labels.dtype == torch.int64


def test_one_seed_draws_one_set_and_another_seed_another():
    images, labels = drawn(30)
    torch.rand(7)  # the global generator plays no part
    again, same_labels = drawn(30)
    assert torch.equal(images, again)
    assert torch.equal(labels, same_labels)
    assert not torch.equal(images, drawn(30, seed=1)[0])


def test_every_digit_appears_about_equally_often():
    count = torch.bincount(drawn(600)[1], minlength=10)
    assert len(count) == 10
    assert count.min() > 30
    assert count.max() < 90


def test_glyphs_are_white_on_black():
    images = drawn(100)[0].float()
    border = torch.cat([images[:, 0, 0], images[:, 0, -1], images[:, 0, :, 0], images[:, 0, :, -1]], dim=1)
    assert border.mean() < 15
    assert (images.amax(dim=(1, 2, 3)) > 150).all()
    assert 15 < images.mean() < 70  # MNIST: 33


def test_no_two_glyphs_are_equal():
    assert len(drawn(300)[0].flatten(1).unique(dim=0)) == 300


def test_a_label_names_the_digit_that_is_drawn():
    images, labels = drawn(600)
    means = torch.stack([images[labels == digit].float().mean(dim=0) for digit in range(10)])
    fresh, truth = drawn(300, seed=1)
    named = torch.cdist(fresh.flatten(1).float(), means.flatten(1)).argmin(dim=1)
    assert (named == truth).float().mean() > 0.6  # ten classes: 0.1 by chance


@pytest.mark.parametrize("count", [1, 2001])  # glyphs are drawn 2000 at a time
def test_any_number_of_glyphs_can_be_drawn(count):
    images, labels = drawn(count)
    assert images.shape == (count, 1, SIZE, SIZE)
    assert labels.shape == (count,)


def test_no_glyph_at_all_is_an_empty_set():
    images, labels = drawn(0)
    assert images.shape == (0, 1, SIZE, SIZE)
    assert images.dtype == torch.uint8
    assert labels.shape == (0,)


def test_distances_are_positive_in_the_stroke_and_change_by_one_a_pixel():
    distances = digit_distances()
    assert distances.shape == (len(FONTS), 10, CANVAS, CANVAS)
    assert (distances.amax(dim=(2, 3)) > 1).all()  # every digit of every font has a stroke
    assert (distances[:, :, 0, 0] < 0).all()
    step = (distances[:, :, 1:] - distances[:, :, :-1]).abs()
    # A distance changes by at most the way walked; the half pixel on either side of the outline adds one.
    assert step.max() <= 2 + 1e-5


def test_a_distance_is_that_to_the_nearest_pixel_of_the_outline():
    distances = digit_distances()
    font, digit, row, column = 3, 7, 40, 9
    inside = distances[font, digit] > 0
    outline = [
        (i, j)
        for i, j in inside.nonzero().tolist()
        if not (inside[i - 1, j] and inside[i + 1, j] and inside[i, j - 1] and inside[i, j + 1])
    ]
    nearest = min((i - row) ** 2 + (j - column) ** 2 for i, j in outline)
    assert not inside[row, column]
    assert distances[font, digit, row, column] == 0.5 - nearest**0.5


def test_the_sheet_of_printed_digits_is_what_the_tool_draws():
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    if missing := [font for font in FONTS if not (fonts / f"{font}.ttf").exists()]:
        pytest.skip(f"this matplotlib has no {', '.join(missing)}")
    with Image.open(SHEET) as stored:
        kept = np.array(stored.convert("L"))
    assert (kept == np.array(sheet().convert("L"))).mean() > 0.995  # what draws fonts differs between releases
