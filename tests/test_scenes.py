import math

import pytest
import torch
import torch.nn.functional as F

from vqvae_course.scenes import COLOURS, KINDS, MAX_COUNT, RGB, draw_scenes, light_scenes, read_scenes

SIZE = 24


def drawn(count: int, seed: int = 0, size: int = SIZE):
    return draw_scenes(count, size, torch.Generator().manual_seed(seed))


def present(factors) -> torch.Tensor:
    """Return (N, 3), whether there is such a shape, from the count alone."""
    return torch.arange(MAX_COUNT) < factors.count[:, None]


@pytest.mark.parametrize("size", [8, 13, 32])
def test_scenes_have_the_size_asked_for(size):
    images, labels, factors = drawn(7, size=size)
    assert images.shape == (7, 3, size, size)
    assert images.dtype == torch.uint8
    assert labels.shape == (7,)
    assert labels.dtype == torch.int64
    assert [tuple(value.shape) for value in factors] == [(7,), (7,), (7, 3), (7, 3, 2), (7, 3)]


def test_one_seed_draws_one_set_and_another_seed_another():
    images, labels, factors = drawn(7)
    torch.rand(7)  # the global generator plays no part
    again, same_labels, same_factors = drawn(7)
    assert torch.equal(images, again)
    assert torch.equal(labels, same_labels)
    for one, other in zip(factors, same_factors, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(images, drawn(7, seed=1)[0])


def test_a_label_tells_kind_and_count():
    _, labels, factors = drawn(300)
    assert torch.equal(labels, 3 * factors.kind + factors.count - 1)
    assert sorted(labels.unique().tolist()) == list(range(9))


def test_factors_lie_in_their_ranges_and_are_blank_where_there_is_no_shape():
    _, _, factors = drawn(300)
    there = present(factors)
    assert sorted(factors.kind.unique().tolist()) == list(range(len(KINDS)))
    assert sorted(factors.count.unique().tolist()) == [1, 2, 3]
    assert sorted(factors.colour[there].unique().tolist()) == list(range(len(COLOURS)))
    assert (factors.colour[~there] == -1).all()
    assert factors.centre[~there].isnan().all()
    assert factors.radius[~there].isnan().all()
    assert ((factors.centre[there] > 0) & (factors.centre[there] < 1)).all()
    assert ((factors.radius[there] > 0) & (factors.radius[there] < 0.25)).all()


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_the_pixel_at_a_centre_has_the_colour_of_its_shape(kind):
    images, _, factors = drawn(200)
    checked = 0
    for n in (factors.kind == kind).nonzero().flatten():
        for s in range(factors.count[n]):
            row, column = (factors.centre[n, s] * SIZE).long()
            expected = (255 * RGB[factors.colour[n, s]]).round()
            assert (images[n, :, row, column].float() - expected).abs().max() <= 1
            checked += 1
    assert checked > 50


def test_a_circle_covers_the_area_its_radius_says():
    size = 64
    images, _, factors = drawn(200, size=size)
    single = ((factors.kind == 0) & (factors.count == 1)).nonzero().flatten()
    ratios = []
    for n in single:
        colour = RGB[factors.colour[n, 0]].view(3, 1, 1)
        covered = ((images[n].float() / 255 - colour).abs().amax(dim=0) < 0.01).sum()
        ratios.append(float(covered) / (math.pi * (float(factors.radius[n, 0]) * size) ** 2))
    assert len(ratios) > 10
    # The soft edge, half a pixel wide on each side, is not counted.
    assert 0.8 < sorted(ratios)[len(ratios) // 2] < 1.0


def test_the_shapes_of_a_scene_stand_in_different_quarters():
    _, _, factors = drawn(300)
    quarter = (factors.centre > 0.5).float()
    number = (2 * quarter[..., 0] + quarter[..., 1])[factors.count == 3]
    assert all(len(row.unique()) == 3 for row in number)


def test_textures_are_paler_than_shapes_and_vary():
    images = drawn(200)[0]
    corners = images[:, :, 0, 0].float() / 255
    assert corners.std(dim=0).min() > 0.05
    assert corners.min() > 0.3
    assert len(images.flatten(1).unique(dim=0)) == 200


@pytest.mark.parametrize("size", [7, 0, -1])
def test_a_scene_needs_eight_pixels(size):
    with pytest.raises(ValueError, match=f"size must be at least 8 pixels, got {size}"):
        drawn(1, size=size)


# --- read_scenes


def by_quarter(factors):
    """Return the true (N, 4) colours, (N, 4, 2) centres and (N, 4) areas, one entry a quarter."""
    n = len(factors.count)
    colour, centre, area = torch.full((n, 4), -1), torch.full((n, 4, 2), math.nan), torch.zeros(n, 4)
    side = torch.tensor([math.pi**0.5, 2 * 0.85, 27**0.25 * 0.6])  # of a square as large, for a radius of 1
    for s in range(MAX_COUNT):
        rows = present(factors)[:, s].nonzero().flatten()
        where = (factors.centre[rows, s] > 0.5).long()
        quarter = 2 * where[:, 0] + where[:, 1]
        colour[rows, quarter] = factors.colour[rows, s]
        centre[rows, quarter] = factors.centre[rows, s]
        area[rows, quarter] = (side[factors.kind[rows]] * factors.radius[rows, s]).square()
    return colour, centre, area


@pytest.mark.parametrize("size", [24, 32, 33, 64])
def test_what_is_drawn_is_what_is_read(size):
    images, _, factors = drawn(600, seed=1, size=size)
    reading = read_scenes(images)
    colour, centre, area = by_quarter(factors)
    assert (reading.count == factors.count).float().mean() > 0.995
    assert (reading.colour == colour).all(dim=1).float().mean() > 0.995
    there = (colour >= 0) & (reading.colour >= 0)
    off = (reading.centre - centre)[there].abs()
    assert off.mean() < 0.1 / size
    assert off.max() < 0.7 / size
    ratio = (reading.area / area)[there]
    assert 0.97 < ratio.mean() < 1.01
    assert 0.7 < ratio.min() < ratio.max() < 1.3


@pytest.mark.parametrize("deviation", [0.7, 1.0])
def test_a_decoders_blur_and_noise_change_little(deviation):
    images, _, factors = drawn(600, seed=2, size=32)
    place = torch.arange(-4.0, 5)
    bell = (-place.square() / (2 * deviation**2)).exp()
    bell = (bell / bell.sum()).expand(3, 1, 1, -1)
    x = F.pad(images.float() / 255, (4, 4, 4, 4), mode="replicate")
    x = F.conv2d(F.conv2d(x, bell, groups=3), bell.transpose(2, 3), groups=3)
    x = (x + 0.03 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))).clamp(0, 1)
    reading, (colour, centre, _) = read_scenes(x), by_quarter(factors)
    assert (reading.count == factors.count).float().mean() > 0.99
    assert (reading.colour == colour)[colour >= 0].float().mean() > 0.99
    assert (reading.centre - centre)[(colour >= 0) & (reading.colour >= 0)].abs().mean() < 0.2 / 32


def test_bytes_and_floats_read_alike():
    images = drawn(50)[0]
    for one, other in zip(read_scenes(images), read_scenes(images.float() / 255), strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)


def flat(height: int, width: int, tone=(0.7, 0.6, 0.65)) -> torch.Tensor:
    return torch.tensor(tone)[:, None, None].expand(3, height, width).clone()


def test_each_quarter_is_read_by_itself_in_a_picture_of_any_size():
    picture = flat(40, 50)
    picture[:, 4:12, 30:45] = RGB[2][:, None, None]  # top right: rows 4 to 11, columns 30 to 44
    picture[:, 25:31, 5:9] = RGB[4][:, None, None]  # bottom left
    reading = read_scenes(picture[None])
    assert reading.count.tolist() == [2]
    assert reading.colour.tolist() == [[-1, 2, 4, -1]]
    torch.testing.assert_close(reading.centre[0, 1], torch.tensor([8 / 40, 37.5 / 50]))
    torch.testing.assert_close(reading.centre[0, 2], torch.tensor([28 / 40, 7 / 50]))
    torch.testing.assert_close(reading.area[0], torch.tensor([0, 8 * 15 / 2000, 6 * 4 / 2000, 0]))
    assert reading.centre[0, [0, 3]].isnan().all()


def test_more_shapes_than_are_ever_drawn_are_counted():
    picture = flat(32, 32)
    for k, (row, column) in enumerate([(4, 4), (4, 20), (20, 4), (20, 20)]):
        picture[:, row : row + 7, column : column + 7] = RGB[k][:, None, None]
    assert read_scenes(picture[None]).colour.tolist() == [[0, 1, 2, 3]]


def test_a_speck_and_a_colour_of_no_shape_are_not_read():
    speck = flat(32, 32)
    speck[:, 4:6, 4:8] = RGB[0][:, None, None]
    black = flat(32, 32)
    black[:, 4:14, 4:14] = 0.0
    assert read_scenes(torch.stack([speck, black, flat(32, 32)])).count.tolist() == [0, 0, 0]


def test_a_picture_of_one_colour_and_no_pictures_at_all_hold_no_shape():
    assert read_scenes(RGB[3].view(1, 3, 1, 1).expand(1, 3, 8, 8)).count.tolist() == [0]
    reading = read_scenes(torch.zeros(0, 3, 8, 9, dtype=torch.uint8))
    assert [tuple(value.shape) for value in reading] == [(0,), (0, 4), (0, 4, 2), (0, 4)]


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (3, 8, 8), (2, 3, 1, 8)])
def test_only_colour_pictures_are_read(shape):
    with pytest.raises(ValueError, match=r"images must be \(N, 3, H, W\) of at least 2x2 pixels, got shape"):
        read_scenes(torch.zeros(shape))


def test_light_multiplies_each_colour_of_a_picture_by_one_factor():
    white = torch.full((50, 3, 4, 6), 200, dtype=torch.uint8)
    lit = light_scenes(white, torch.Generator().manual_seed(0))
    assert lit.dtype == torch.uint8
    assert torch.equal(lit, lit[:, :, :1, :1].expand_as(lit))
    assert 40 <= lit.min() < 60
    assert 180 < lit.max() <= 200
    assert len(lit[:, :, 0, 0].unique(dim=0)) == 50


def test_one_seed_gives_one_light():
    images, _, _ = drawn(5)
    first, again, other = (light_scenes(images, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
