"""Figures hold what they were given, and are shown once."""

import re
from base64 import b64decode
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from vqvae_course import plotting
from vqvae_course.plotting import images, plane, rendering


class Record:
    """A training history of two quantities."""

    steps = (10, 20, 30)

    def __getitem__(self, name):
        return {"loss": [3.0, 2.0, 1.0], "perplexity": [1.0, 4.0, 9.0]}[name]


# How colours look to an eye without the first, second or third kind of cones (Machado, Oliveira and Fernandes, 2009,
# doi:10.1109/TVCG.2009.113, severity 1).
EYES = {
    "all cones": np.eye(3),
    "no first": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no second": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no third": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour):
    """Return red, green and blue as amounts of light."""
    share = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """Return the contrast of two colours, as WCAG defines it."""
    low, high = sorted(float(linear(each) @ (0.2126, 0.7152, 0.0722)) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(colour, eye="all cones"):
    """Return a colour in CIELAB, in which distances are those that one sees."""
    light = (EYES[eye] @ linear(colour)).clip(0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    share = to_xyz @ light / (0.9505, 1.0, 1.089)
    x, y, z = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    yield
    assert plt.get_fignums() == []  # a notebook would show an open figure a second time


def test_image_rows_draws_every_image_in_its_row_in_grey_and_in_colour():
    for channels in (1, 3):
        images = torch.rand(4, channels, 5, 7)
        figure = plotting.image_rows({"image": images, "negative": 1 - images[:3]}, columns=["a", "b", "c"])
        assert len(figure.axes) == 2 * 3  # as long as the shortest row
        shown = figure.axes[4].images[0].get_array()
        np.testing.assert_allclose(np.asarray(shown).squeeze(), (1 - images[1]).movedim(0, -1).squeeze(), rtol=1e-6)
        assert [axis.get_title() for axis in figure.axes[:3]] == ["a", "b", "c"]
        assert figure.axes[3].get_ylabel() == "negative"


def test_images_outside_the_range_are_clipped():
    figure = plotting.image_rows({"x": torch.tensor([-1.0, 0.5, 2.0]).view(1, 1, 1, 3).repeat(2, 1, 1, 1)})
    assert figure.axes[0].images[0].get_array().tolist() == [[0.0, 0.5, 1.0]]


def test_code_maps_writes_the_index_at_its_place_and_gives_equal_indices_one_colour():
    indices = torch.tensor([[[3, 0, 3], [1, 2, 4]]])
    figure = plotting.code_maps(torch.rand(1, 1, 8, 12), indices, torch.rand(1, 1, 8, 12), num_codes=5)
    middle = figure.axes[1]
    written = {tuple(text.get_position()): text.get_text() for text in middle.texts}
    assert written[(2, 0)] == "3"
    assert written[(0, 1)] == "1"
    colours = middle.images[0].get_array()
    assert (colours[0, 0] == colours[0, 2]).all()
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) == 5


def test_code_maps_shows_few_images_and_writes_numbers_into_the_first_map_only():
    x, indices = torch.rand(6, 1, 8, 12), torch.randint(5, (6, 2, 3))
    figure = plotting.code_maps(x, indices, x, num_codes=5)
    assert len(figure.axes) == 3 * 4
    assert [len(axis.texts) for axis in figure.axes] == [0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("commonest", [0, 3])
@pytest.mark.parametrize("codebook", [None, torch.arange(12.0).view(6, 2)])
def test_the_commonest_index_is_always_the_same_grey(commonest, codebook):
    colours = images.index_colours(torch.tensor([1, 2, 5, 4, commonest, commonest, commonest]), 6, codebook)
    assert colours[commonest].tolist() == [0.8] * 3
    others = np.delete(colours, commonest, axis=0)
    assert (np.ptp(others, axis=1) > 0.1).all()  # nothing else is grey
    assert ((colours >= 0) & (colours <= 1)).all()


def test_indices_that_occur_often_have_colours_that_nobody_takes_for_each_other():
    indices = torch.arange(128).repeat_interleave(torch.arange(128, 0, -1))
    often = [lab(to_hex(colour)) for colour in images.index_colours(indices, 128)[:10]]
    assert min(np.linalg.norm(a - b) for a, b in combinations(often, 2)) > 20


def test_with_the_codebook_codes_that_are_alike_have_colours_that_are_alike():
    places = torch.tensor([0.0, 9.0, 3.0, 6.0, 12.0])
    codebook = torch.stack([places, 0.1 * torch.cos(places)], dim=1)
    colours = images.index_colours(torch.tensor([0, 0, 1, 2, 3, 4]), 5, codebook)
    brightness = [lab(to_hex(colours[index]))[0] for index in (2, 3, 1, 4)]
    assert brightness in (sorted(brightness), sorted(brightness, reverse=True))


def test_a_cell_can_show_the_patch_that_its_code_decodes_to():
    patches = torch.rand(5, 1, 2, 3)
    indices = torch.tensor([[[3, 0, 3], [1, 2, 4]]])
    figure = plotting.code_maps(torch.rand(1, 1, 8, 12), indices, torch.rand(1, 1, 8, 12), 5, patches=patches)
    picture = figure.axes[1].images[0].get_array()
    assert picture.shape == (2 * 2, 3 * 3, 3)
    np.testing.assert_allclose(picture[2:4, 3:6, 0], patches[2, 0], rtol=1e-6)
    assert len(figure.axes[1].texts) == 0


def test_curves_draws_one_panel_a_quantity_and_one_line_a_run():
    figure = plotting.curves({"a": Record(), "b": Record()}, {"loss": "loss", "perplexity": "perplexity"})
    left, right = figure.axes
    assert [len(axis.lines) for axis in (left, right)] == [2, 2]
    assert left.lines[0].get_ydata().tolist() == [3.0, 2.0, 1.0]
    assert left.get_yscale() == "log"
    assert right.get_ylabel() == "perplexity"


def test_lines_draws_each_series_and_names_them_only_if_there_are_several():
    one = plotting.lines({"a": ([1, 2], [3, 4])}, "x", "y", yscale="log")
    assert one.axes[0].lines[0].get_ydata().tolist() == [3, 4]
    assert one.axes[0].get_yscale() == "log"
    assert one.axes[0].get_legend() is None
    figure, axes = plotting.panels(columns=2)
    assert plotting.lines({"a": ([1], [3]), "b": ([1], [5])}, "x", "y", axis=axes[0, 1]) is figure
    assert [text.get_text() for text in axes[0, 1].get_legend().get_texts()] == ["a", "b"]


def drawn_cells(axis):
    """Return the outlines of the cells and their tints."""
    (cells,) = [each for each in axis.collections if isinstance(each, PolyCollection)]
    return cells.get_paths(), [tuple(tint) for tint in cells.get_facecolors()]


def test_voronoi_cuts_the_plane_into_what_is_nearest_to_each_code():
    _, axes = plotting.panels()
    codes = torch.randn(23, 2, generator=torch.Generator().manual_seed(0))
    plotting.voronoi(axes[0, 0], codes, limits=(-2, 2, -3, 3))
    outlines, _ = drawn_cells(axes[0, 0])
    places = torch.rand(500, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([4, 6]) - torch.tensor(
        [2, 3]
    )
    nearest = (places[:, None] - codes).square().sum(dim=2).argmin(dim=1)
    within = np.stack([outline.contains_points(places) for outline in outlines], axis=1)
    for place, index in enumerate(nearest.tolist()):
        assert within[place, index]
        assert within[place].sum() == 1


def test_cells_side_by_side_never_have_the_same_tint():
    for seed in range(20):
        codes = np.random.default_rng(seed).normal(size=(40, 2))
        neighbours = [cell.neighbours for cell in plane.cut(codes, (-3, 3, -3, 3))]
        colours = plane.tell_apart(neighbours)
        assert all(colours[index] != colours[other] for index, each in enumerate(neighbours) for other in each)
        assert max(map(len, neighbours)) > 5  # it was not too easy


def test_a_few_cells_have_the_colour_of_their_index():
    assert plane.tell_apart([{1, 2}, {0, 2}, {0, 1}]) == [0, 1, 2]


def test_of_equal_codes_the_first_has_the_cell():
    first, second, other = plane.cut(np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), (-2, 2, -2, 2))
    assert len(second.corners) == 0
    assert first.corners[:, 0].max() == 0.5
    assert first.neighbours == {2}
    assert other.neighbours == {0}


def test_voronoi_gives_a_point_its_cells_colour_and_leaves_dead_codes_hollow_and_without_tint():
    _, axes = plotting.panels()
    codes = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    points = torch.tensor([[-1.5, 1.9], [0.9, -0.9]])
    plotting.voronoi(axes[0, 0], codes, points, limits=(-2, 2, -3, 3), numbers=True)
    _, tints = drawn_cells(axes[0, 0])
    dots, _, living, dead = axes[0, 0].collections
    colours = dict(zip(map(tuple, dots.get_offsets().tolist()), dots.get_facecolors(), strict=True))
    for point, index in zip(points, (2, 1), strict=True):
        assert colours[tuple(point.tolist())][:3] == pytest.approx(tints[index][:3])
    assert [tint[3] > 0 for tint in tints] == [False, True, True]
    assert living.get_offsets().tolist() == codes[1:].tolist()
    assert dead.get_offsets().tolist() == codes[:1].tolist()
    assert len(dead.get_facecolors()) == 0
    assert {text.get_text() for text in axes[0, 0].texts} == {"0", "1", "2"}


def test_without_points_no_code_is_called_dead():
    _, axes = plotting.panels()
    plotting.voronoi(axes[0, 0], torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    assert all(tint[3] > 0 for tint in drawn_cells(axes[0, 0])[1])
    assert len(axes[0, 0].collections[-1].get_offsets()) == 0


def test_voronoi_of_a_single_code_is_one_cell_and_a_bar_tells_the_scale():
    _, axes = plotting.panels()
    plotting.voronoi(axes[0, 0], torch.zeros(1, 2), scale=0.5)
    ((outline,), _) = drawn_cells(axes[0, 0])
    assert outline.get_extents().bounds == (-2, -2, 4, 4)
    (bar,) = axes[0, 0].lines
    assert np.ptp(bar.get_xdata()) == pytest.approx(0.5)
    assert [text.get_text() for text in axes[0, 0].texts] == ["0.5"]


def test_usage_sorts_shares_and_counts_the_codes_in_use():
    figure = plotting.usage({"model": torch.tensor([0, 30, 10, 60])})
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == [0.6, 0.3, 0.1, 0.0]
    assert "3 of 4 used" in figure.axes[0].get_title()


def test_explore_stores_one_panel_a_value(monkeypatch):
    monkeypatch.setenv("VQVAE_COURSE_STORED", "1")
    figure = plotting.explore(lambda axis, value: axis.plot([0, value]), "beta", [0.1, 0.5, 2.0])
    assert [axis.get_title() for axis in figure.axes] == ["beta = 0.1", "beta = 0.5", "beta = 2.0"]
    assert figure.axes[2].lines[0].get_ydata().tolist() == [0, 2.0]


def test_explore_wraps_into_rows_and_leaves_no_empty_axes(monkeypatch):
    monkeypatch.setenv("VQVAE_COURSE_STORED", "1")
    figure = plotting.explore(lambda axis, value: axis.plot(value), "k", [1, 2, 3], columns=2)
    assert [axis.axison for axis in figure.axes] == [True, True, True, False]
    assert figure.axes[2].get_position().y1 < figure.axes[0].get_position().y0


# ipywidgets 7.7 asks ipykernel for a class that it would rather have asked elsewhere.
@pytest.mark.filterwarnings("ignore:The `ipykernel.comm.Comm` class has been deprecated:DeprecationWarning")
def test_explore_offers_a_slider_over_the_same_values_when_live(monkeypatch):
    import ipywidgets

    monkeypatch.delenv("VQVAE_COURSE_STORED", raising=False)
    shown = []
    monkeypatch.setattr(ipywidgets, "interact", lambda show, value: shown.append((show, value)))
    drawn = []
    assert plotting.explore(lambda axis, value: drawn.append(value), "beta", [0.1, 0.5]) is None
    ((show, slider),) = shown
    assert slider.options == (0.1, 0.5)
    show(0.5)
    assert drawn == [0.5]


def test_a_mosaic_puts_a_named_row_below_another_in_one_picture():
    rows = {"first": torch.zeros(5, 1, 4, 6), "second": torch.ones(3, 1, 4, 6)}
    figure = plotting.mosaic(rows)
    (axis,) = figure.axes
    picture = axis.images[0].get_array()
    assert picture.shape == (2 * (4 + 2), 3 * (6 + 2))
    assert [label.get_text() for label in axis.get_yticklabels()] == ["first", "second"]
    assert (picture[1:5, 1:7] == 0).all()
    assert (picture[7:11, 9:15] == 1).all()


def test_a_mosaic_of_colour_images_keeps_their_colours():
    picture = plotting.mosaic({"red": torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(2, 3, 4, 6)}).axes[0].images[0]
    assert tuple(picture.get_array()[2, 3]) == (1, 0, 0)


def dots_of(axis):
    """Return where the dots of a panel are, one array a line of them, and where its rings are."""
    full = [
        line.get_xydata() for line in axis.lines if line.get_marker() == "o" and line.get_markerfacecolor() != "none"
    ]
    rings = [line.get_xydata() for line in axis.lines if line.get_markerfacecolor() == "none"]
    return full, rings


def test_dots_shows_every_seed_the_mean_and_the_live_run_in_the_column_of_its_setting():
    results = {"EMA codebook": [1.0, 4.0, 4.0], "other": [2.0, 3.0, 7.0]}
    axis = plotting.dots(results, "error", live={"other": 5.0}, title="t").axes[0]
    full, rings = dots_of(axis)
    for place, (seeds, numbers) in enumerate(zip(full, results.values(), strict=True)):
        assert seeds[:, 1].tolist() == numbers
        assert len({*seeds[:, 0]}) == 3  # equal numbers do not hide each other
        assert (abs(seeds[:, 0] - place) < 0.5).all()
    means = [line.get_ydata().tolist() for line in axis.lines if line.get_linestyle() == "-"]
    assert means == [[3.0, 3.0], [4.0, 4.0]]
    ((ring,),) = rings
    assert ring[1] == 5.0
    assert 0.5 < ring[0] < 1.5
    assert [label.get_text() for label in axis.get_xticklabels()] == ["EMA codebook", "other"]
    assert axis.lines[0].get_color() == plotting.ROLES["EMA codebook"]
    assert (axis.get_ylabel(), axis.get_title()) == ("error", "t")


def test_dots_with_long_names_lie_and_are_read_from_the_top():
    names = [f"a recipe with a name as long as this, number {each}" for each in range(3)]
    axis = plotting.dots({name: [1.0, 10.0] for name in names}, "error", log=True).axes[0]
    assert axis.get_xlabel() == "error"
    assert axis.get_xscale() == "log"
    assert [label.get_text() for label in axis.get_yticklabels()] == names
    assert axis.get_ylim()[0] > axis.get_ylim()[1]
    assert [seeds[:, 0].tolist() for seeds in dots_of(axis)[0]] == [[1.0, 10.0]] * 3


def test_bands_shows_every_seed_a_line_through_the_means_and_the_live_run():
    series = {"a": ([2, 8, 64], [[1.0, 3.0], [4.0, 6.0], [9.0, 9.0]]), "sample": ([2, 8], [[5.0], [7.0]])}
    axis = plotting.bands(series, "K", "perplexity", live={"a": ([8], [2.0])}, xscale="log").axes[0]
    full, rings = dots_of(axis)
    assert np.concatenate(full).tolist() == [[2, 1], [2, 3], [8, 4], [8, 6], [64, 9], [64, 9], [2, 5], [8, 7]]
    means = [line.get_xydata().tolist() for line in axis.lines if line.get_linestyle() == "-"]
    assert means == [[[2, 2], [8, 5], [64, 9]], [[2, 5], [8, 7]]]
    assert np.concatenate(rings).tolist() == [[8, 2]]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["2", "8", "64"]
    colours = {line.get_label(): line.get_color() for line in axis.lines if line.get_linestyle() == "-"}
    assert colours["sample"] == plotting.ROLES["sample"] != colours["a"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.9, 25, ["1", "2", "5", "10", "20"]), (0.004, 0.06, ["0.005", "0.01", "0.02", "0.05"]), (30, 2500, 6)],
)
def test_a_logarithmic_axis_has_plain_numbers_at_1_2_and_5(low, high, expected):
    figure = plotting.dots({"a": [low, high]}, "y", log=True, ylim=(low, high))
    figure.draw_without_rendering()
    written = [
        label.get_text()
        for label, tick in zip(figure.axes[0].get_yticklabels(), figure.axes[0].get_yticks(), strict=True)
        if low <= tick <= high
    ]
    assert written == expected or len(written) == expected


def test_a_short_logarithmic_axis_has_ticks_too():
    figure = plotting.dots({"a": [0.11, 0.19]}, "y", log=True)
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_ylim()
    assert sum(low <= tick <= high for tick in figure.axes[0].get_yticks()) >= 2


@pytest.mark.parametrize("ground", ["#ffffff", "#14181e", "#111111"], ids=["white", "book in the dark", "JupyterLab"])
def test_every_colour_with_a_meaning_is_seen_on_white_and_in_the_dark(ground):
    for name, colour in {**plotting.ROLES, **{each: each for each in plotting.COLOURS}}.items():
        assert contrast(colour, ground) >= 3, name
    assert contrast(rendering.INK, ground) >= 4


@pytest.mark.parametrize("eye", EYES)
def test_what_shares_a_figure_is_told_apart_by_every_eye(eye):
    for group in (*plotting.GROUPS.values(), dict(enumerate(plotting.COLOURS))):
        for (one, a), (other, b) in combinations(group.items(), 2):
            assert np.linalg.norm(lab(a, eye) - lab(b, eye)) > 10, (one, other)


def test_roles_have_one_colour_each():
    assert len(plotting.ROLES) == sum(len(group) for group in plotting.GROUPS.values())


def test_a_plot_is_an_svg_that_takes_the_colour_and_the_ground_of_its_page():
    figure = plotting.lines({"a": ([1, 2], [3, 4]), "b": ([1, 2], [5, 4])}, "x", "y")
    figure.axes[0].axhline(3.5, color="black")
    data, _ = figure._repr_mimebundle_()
    drawing = data["image/svg+xml"]
    assert drawing.startswith("<svg ")
    assert 'width="600"' in drawing
    assert not re.search("#000000|#ffffff|<style|<metadata|<text", drawing)
    assert drawing.count("currentColor") > 5
    assert plotting.COLOURS[0].lower() in drawing
    assert b64decode(data["image/png"]).startswith(b"\x89PNG")  # for what shows no SVG


def test_equal_figures_are_equal_svgs_and_different_ones_share_no_names():
    one, again, other = (plotting.lines({"a": ([1, 2], [3, y])}, "x", "y") for y in (4, 4, 5))
    assert rendering.svg(one) == rendering.svg(one) == rendering.svg(again)
    names = [set(re.findall(r'\bid="([^"]*)"', rendering.svg(each))) for each in (one, other)]
    assert names[0]
    assert not names[0] & names[1]
    referred = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', rendering.svg(one))
    assert {a or b for a, b in referred} <= names[0]


def test_panels_side_by_side_may_be_parted_between_their_letters():
    figure, axes = plotting.panels(8, 3, 1, 3)
    for axis in axes[0]:
        axis.plot([0, 1])
        axis.set_ylabel("y")
    cuts = re.search('data-cuts="([^"]*)"', rendering.svg(figure)).group(1).split()
    assert len(cuts) == 2
    for cut, left, right in zip(map(float, cuts), axes[0, :-1], axes[0, 1:], strict=True):
        assert left.get_tightbbox().x1 < cut * figure.bbox.width < right.get_tightbbox().x0


def test_rows_of_panels_and_panels_with_one_legend_stay_together():
    assert "data-cuts" not in rendering.svg(plotting.panels(8, 6, 2, 2)[0])
    assert "data-cuts" not in rendering.svg(plotting.panels(8, 3, 1, 1)[0])
    figure, axes = plotting.panels(8, 3, 1, 2)
    figure.legend(axes[0, 0].plot([1, 2]), ["a"], loc="outside upper center")
    assert "data-cuts" not in rendering.svg(figure)


def pixels(png):
    """Return width and height of a PNG."""
    return tuple(int.from_bytes(b64decode(png)[place : place + 4], "big") for place in (16, 20))


def test_a_picture_is_a_png_of_twice_the_pixels_that_it_is_shown_at():
    data, shown = plotting.image_rows({"image": torch.rand(4, 1, 5, 7)}, width=6.0)._repr_mimebundle_()
    assert set(data) == {"image/png"}
    assert pixels(data["image/png"])[0] == 1200
    assert shown == {"image/png": {"width": 600}}


def test_thousands_of_points_do_not_make_an_svg_large():
    figure, axes = plotting.panels(4, 4)
    axes[0, 0].scatter(*torch.linspace(0, 1, 20_000).expand(2, -1), s=2)
    axes[0, 0].plot(*torch.linspace(1, 0, 20_000).expand(2, -1), "o")
    drawing = rendering.svg(figure)
    assert "<image" in drawing
    assert len(drawing) < rendering.MOST_LETTERS


def test_round_dots_keep_place_size_colour_and_cost_few_letters():
    figure, axes = plotting.panels(4, 4)
    axes[0, 0].scatter(range(1000), range(1000), s=16, c=["#0072b2"] * 500 + ["#d55e00"] * 500, linewidths=0)
    drawing = rendering.svg(figure)
    assert len(drawing) < 40_000
    rows = re.findall(
        r'<path d="((?:M[-\d.]+ [-\d.]+h0)+)" stroke-linecap="round" stroke-width="([\d.]+)" style="([^"]*)"', drawing
    )
    assert [row[0].count("M") for row in rows] == [500, 500]
    assert [float(row[1]) for row in rows] == pytest.approx([4.0, 4.0], abs=0.02)  # s is the square of the width
    assert ["#0072b2" in rows[0][2], "#d55e00" in rows[1][2]] == [True, True]


def test_a_legend_is_no_white_slab_on_a_dark_page():
    figure, axes = plotting.panels()
    axes[0, 0].plot([1, 2], label="a")
    axes[0, 0].legend(frameon=True)
    assert "#ffffff" not in rendering.svg(figure)


def test_explore_stores_every_frame_with_its_value_and_an_image_for_readers_without_html(monkeypatch):
    monkeypatch.setenv("VQVAE_COURSE_STORED", "1")
    draw = {0.5: lambda axis: axis.plot([1, 2]), 2.0: lambda axis: axis.imshow([[0, 1]])}
    figure = plotting.explore(lambda axis, value: draw[value](axis), "a < b", [0.5, 2.0], width=6)
    data, _ = figure._repr_mimebundle_()
    assert set(data) == {"text/html", "image/png"}
    assert re.findall('data-value="([^"]*)"', data["text/html"]) == ["0.5", "2.0"]
    assert re.findall('alt="([^"]*)"', data["text/html"]) == ["a &lt; b = 0.5", "a &lt; b = 2.0"]
    kinds = re.findall(r'src="data:image/([^;]*);base64,', data["text/html"])
    assert kinds == ["svg+xml", "png"]
    assert pixels(data["image/png"])[0] > 400


def test_a_frame_is_no_higher_than_what_one_sees_at_once(monkeypatch):
    monkeypatch.setenv("VQVAE_COURSE_STORED", "1")
    figure = plotting.explore(lambda axis, value: axis.plot(value), "k", [1, 2], aspect=5.0)
    assert all(frame.get_figheight() < 4.5 for frame in figure.frames.values())
