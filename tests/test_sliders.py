"""The slider of ``plotting.explore`` in a live kernel, under whichever ipywidgets that kernel has (7 or 8)."""

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

WIDGET = "application/vnd.jupyter.widget-view+json"
OPEN = """
from vqvae_course import plotting

plotting.explore(lambda axis, value: axis.plot([0, value], [0, 1 / value]), "beta", [0.1, 0.5, 2.0])
"""
# A kernel does the same with the message that a browser sends when the slider has been moved.
MOVE = """
import gc
import ipywidgets

(slider,) = [each for each in gc.get_objects() if type(each) is ipywidgets.SelectionSlider]
slider.set_state({{"index": {index}}})
print(slider.value)
"""


@pytest.fixture(scope="module")
def shown():
    """Return what the slider's place shows after opening and after each move, and what each cell printed."""
    nb = new_notebook(cells=[new_code_cell(OPEN), *(new_code_cell(MOVE.format(index=index)) for index in (2, 1, 0))])
    client = NotebookClient(nb, timeout=120)
    pictures = []
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("VQVAE_COURSE_STORED", raising=False)  # the kernel inherits it
        with client.setup_kernel():
            for index, cell in enumerate(nb.cells):
                client.execute_cell(cell, index)
                (place,) = [each for each in client.widget_state.values() if each["_model_name"] == "OutputModel"]
                pictures.append([output["data"]["image/png"] for output in place["outputs"]])
    return nb.cells, pictures


def test_a_slider_and_one_figure_are_shown(shown):
    cells, pictures = shown
    assert [set(output.get("data", {})) for output in cells[0].outputs] == [{WIDGET, "text/plain"}]
    assert len(pictures[0]) == 1


def test_moving_the_slider_puts_another_figure_in_the_place_of_the_one_before(shown):
    cells, pictures = shown
    assert [[output["text"] for output in cell.outputs] for cell in cells[1:]] == [["2.0\n"], ["0.5\n"], ["0.1\n"]]
    assert [len(each) for each in pictures] == [1, 1, 1, 1]
    assert len({each[0] for each in pictures}) == 3


def test_moving_it_back_shows_the_first_figure_again(shown):
    _, pictures = shown
    assert pictures[3] == pictures[0]
