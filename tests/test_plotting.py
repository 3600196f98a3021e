"""Figures hold what they were given, and are shown once."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from vqvae_course import plotting


class Record:
    """A training history of two quantities."""

    steps = (10, 20, 30)

    def __getitem__(self, name):
        return {"loss": [3.0, 2.0, 1.0], "perplexity": [1.0, 4.0, 9.0]}[name]


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
    assert colours[0, 0] == colours[0, 2]
    assert len(np.unique(colours)) == 5


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


def test_voronoi_paints_each_place_like_the_code_nearest_to_it():
    _, axes = plotting.panels()
    codes = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    plotting.voronoi(axes[0, 0], codes, points=torch.tensor([[-1.5, 1.9]]), limits=(-2, 2, -3, 3), numbers=True)
    cells = np.asarray(axes[0, 0].images[0].get_array())
    assert axes[0, 0].images[0].origin == "lower"
    assert [cells[10, 10], cells[10, -10], cells[-10, 10]] == [0, 1, 2]
    assert axes[0, 0].collections[-2].get_array().tolist() == [2]  # the point has the colour of its cell
    assert {text.get_text() for text in axes[0, 0].texts} == {"0", "1", "2"}


def test_voronoi_of_a_single_code_is_one_cell():
    _, axes = plotting.panels()
    plotting.voronoi(axes[0, 0], torch.zeros(1, 2))
    assert np.unique(axes[0, 0].images[0].get_array()).tolist() == [0]


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
