"""Plots stand in the page itself, described, in the colour of the text, and parted where a phone is too narrow."""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
SOURCE = Path(__file__).parents[1] / "book" / "_ext" / "vector_figures.py"


@pytest.fixture(scope="module")
def vector_figures():
    spec = importlib.util.spec_from_file_location("vector_figures", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_drawing_in_a_page_has_the_colour_of_the_text_and_says_what_it_shows(vector_figures):
    drawing = '<svg width="600" viewBox="0 0 432 216" fill="currentColor" color="#797979"><path/></svg>'
    html = vector_figures.inline(drawing, "Two &lt; three.")
    opening = '<svg width="600" viewBox="0 0 432 216" fill="currentColor" role="img" aria-label="Two &lt; three.">'
    assert html == f"{opening}<path/></svg>"


def test_strips_show_every_part_of_a_drawing_once_at_its_size(vector_figures):
    drawing = '<svg width="800" viewBox="0 0 576 216" data-cuts="0.250 0.625" color="#797979"><path/></svg>'
    html = vector_figures.inline(drawing, "a")
    (name,) = re.findall('<g id="([^"]*)">', html)
    strips = re.findall('<svg aria-hidden="true" width="([^"]*)" viewBox="([^"]*)".*?href="#([^"]*)"', html)
    assert strips == [
        ("200", "0.0 0 144.0 216.0", name),
        ("300", "144.0 0 216.0 216.0", name),
        ("300", "360.0 0 216.0 216.0", name),
    ]
    assert html.count("<path/>") == 1
    assert html.count("aria-label") == 1
