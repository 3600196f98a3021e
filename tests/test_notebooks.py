"""Every notebook keeps the rules of CONTRIBUTING.md, and the tools that store its outputs enforce theirs."""

import io
import re
import sys
from base64 import b64decode, b64encode
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from tools import execute, facts, outputs, stamp

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
INSTALL = f'import sys\n\nif "google.colab" in sys.modules:\n    %pip install -q git+{REPOSITORY}'
TAGS = {"hide-input", "hide-output", "hide-cell", "remove-input", "setup", "exercise", "check", "solution"}
TAGS |= {"nbval-check-output", "raises-exception"}


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def nb(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture
def code(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def test_the_numbers_of_the_notebooks_are_the_order_of_the_book():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert [page for page in pages if page.startswith("notebooks/")] == [f"notebooks/{path.stem}" for path in PATHS]


def test_every_figure_of_the_book_has_a_name_of_its_own():
    cells = [cell for path in PATHS for cell in nbformat.read(path, as_version=4).cells]
    names = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in cells]
    assert {name for name in names if name and names.count(name) > 1} == set()


def test_the_outputs_are_those_of_this_code(nb, path):
    stamped, code = nb.metadata.get(stamp.KEY, {}), stamp.code_sha256(nb)
    refresh = f"make execute NB={path.stem} BUDGET=laptop"
    assert stamped.get("code_sha256") == code, f"the code has changed since it was run: {refresh}"
    assert stamped["budget"] in ("laptop", "gpu"), f"the stored outputs are for readers, not for tests: {refresh}"
    assert stamped["dataset"]
    assert stamped["device"] in ("cpu", "cuda", "mps")
    assert stamped["version"]


def test_the_outputs_are_fit_to_be_stored(nb):
    assert outputs.faults(nb) == []


def test_the_file_is_small_and_names_no_place_of_a_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) <= outputs.MAX_BYTES
    assert not outputs.MACHINE_PATH.search(re.sub(r'"image/png": "[^"]*"', "", text))


def test_it_was_run_once_from_top_to_bottom(code):
    counts = [cell.execution_count for cell in code if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1))


def test_every_cell_has_an_id_of_its_own(nb):
    ids = [cell.get("id") for cell in nb.cells]
    assert all(ids)
    assert len(set(ids)) == len(ids)


def test_the_first_code_cell_installs_the_package_on_colab_only(code):
    assert code[0].source == INSTALL
    assert "setup" in code[0].metadata.tags


def test_what_sets_a_page_up_stands_together_near_the_top_and_is_folded_in_the_book(nb):
    setup = [place for place, cell in enumerate(nb.cells) if "setup" in cell.metadata.get("tags", [])]
    assert setup == list(range(setup[0], setup[0] + len(setup)))
    assert setup[0] <= 4  # after the question, its picture and the answer
    cells = [nb.cells[place] for place in setup]
    assert all("hide-input" in cell.metadata.tags for cell in cells if cell.cell_type == "code")
    assert "check_setup(" in cells[-1].source
    assert not any(
        line.startswith("#") for cell in cells if cell.cell_type == "markdown" for line in cell.source.split("\n")
    )


def test_code_cells_are_short_and_plain_python(code):
    for cell in code:
        assert cell.source.count("\n") < 25, cell.source
        assert not re.search(r"^\s*(!|%%(bash|sh|script|system)\b)", cell.source, re.M), cell.source
        assert not re.search(r"^\s*from .* import \*", cell.source, re.M), cell.source


def test_tags_are_known(nb):
    assert {tag for cell in nb.cells for tag in cell.metadata.get("tags", [])} <= TAGS


def test_every_figure_has_a_caption_and_an_alternative_text(code):
    for cell in code:
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            shown = cell.metadata.get("mystnb", {})
            assert shown.get("image", {}).get("alt", "").strip(), cell.source
            assert shown.get("figure", {}).get("caption", "").strip(), cell.source


# The tools


def test_the_time_for_exercises_is_the_sum_of_their_minutes_and_with_the_reading_that_of_the_front_page(nb, path):
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    minutes = list(map(int, re.findall(r"^\*difficulty .* · (\d+) min · ", text, re.M)))
    reading = int(re.search(r"\*\*Time:\*\* reading (?:and running )?(\d+) minutes", text).group(1))
    said = re.search(r"; exercises (\d+) minutes\.", text)
    exercises = int(said.group(1)) if said else 0
    assert abs(exercises - sum(minutes)) <= 2  # to the nearest five
    intro = (ROOT / "book" / "intro.md").read_text(encoding="utf-8")
    card = re.search(rf"^:::\{{grid-item-card\}} {facts.label(path)}\. .*?^:::$", intro, re.M | re.S)[0]
    in_all = int(re.search(r"^\*(\d+) minutes\*$", card, re.M).group(1))
    assert in_all == reading + exercises


def stream(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def png(picture):
    file = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def notebook(*stored, **metadata):
    cells = [new_markdown_cell("## Here"), new_code_cell("1", outputs=list(stored))]
    return new_notebook(cells=cells, metadata=metadata)


def test_the_stamp_follows_the_code_and_not_the_prose():
    cells = [new_markdown_cell("a"), new_code_cell("b"), new_code_cell("c")]
    before = stamp.code_sha256(new_notebook(cells=cells))
    cells[0].source = "another"
    cells[1].outputs = [stream("d")]
    assert stamp.code_sha256(new_notebook(cells=cells)) == before
    assert stamp.code_sha256(new_notebook(cells=[cells[1], cells[0], cells[2]])) == before
    assert stamp.code_sha256(new_notebook(cells=[cells[0], cells[2], cells[1]])) != before
    assert stamp.code_sha256(new_notebook(cells=[new_code_cell("bc")])) != before


def test_progress_bars_vanish_and_pieces_of_a_stream_are_joined():
    def bar():
        return [stream("\r  0%|   |"), stream("\r 50%|#  |"), stream("\r        \r")]

    figure = new_output("display_data", {"image/png": b64encode(png(np.zeros((2, 3)))).decode()})
    nb = notebook(*bar(), figure, *bar(), stream("one\n"), stream("two\r\n"), widgets={"state": {}})
    outputs.tidy(nb)
    assert [output.get("text") for output in nb.cells[1].outputs] == [None, "one\ntwo\r\n"]
    assert "widgets" not in nb.metadata


def pixels(file):
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), dtype=int)


def test_a_figure_is_stored_with_a_palette_unless_that_can_be_seen():
    random = np.random.default_rng(0)
    chart = random.integers(256, size=(5, 3))[random.integers(5, size=(60, 80))]  # five colours
    many = random.integers(256, size=(60, 80, 3))
    assert Image.open(io.BytesIO(outputs.compact(png(chart)))).mode == "P"
    for picture in (chart, many):
        assert len(outputs.compact(png(picture))) <= len(png(picture))
        assert (pixels(outputs.compact(png(picture))) == picture).all()


def test_frames_of_a_slider_keep_every_pixel_in_fewer_bytes():
    picture = np.kron(np.random.default_rng(0).integers(256, size=(8, 9, 3)), np.ones((12, 12, 1), dtype=int))
    html = f'<img src="data:image/png;base64,{b64encode(png(picture)).decode()}"> and'
    nb = notebook(new_output("display_data", {"text/html": html}))
    outputs.tidy(nb)
    stored = re.fullmatch('<img src="data:image/webp;base64,([^"]*)"> and', nb.cells[1].outputs[0].data["text/html"])
    assert (pixels(b64decode(stored[1])) == picture).all()
    assert len(b64decode(stored[1])) < len(png(picture))


def test_tidying_keeps_ids_sources_tags_and_captions():
    nb = notebook(stream("1\n"))
    nb.cells[1].metadata = {"tags": ["check"], "mystnb": {"figure": {}}, "execution": {"iopub.execute_input": "now"}}
    cells = [(cell.id, cell.source) for cell in nb.cells]
    outputs.tidy(nb)
    assert [(cell.id, cell.source) for cell in nb.cells] == cells
    assert nb.cells[1].metadata == {"tags": ["check"], "mystnb": {"figure": {}}}


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        (stream("UserWarning: ...", "stderr"), "wrote to stderr"),
        (new_output("error", ename="ValueError", evalue="no", traceback=[]), "raised ValueError: no"),
        (stream("Traceback (most recent call last):\n..."), "raised an exception"),
        (stream(f"saved to {Path.home()}/model.pt"), "path of this machine"),
        (new_output("display_data", {"text/html": f"<b>{ROOT}</b>"}), "path of this machine"),
        (new_output("display_data", {outputs.WIDGET: {}}), "widget"),
        (new_output("display_data", {"image/gif": ""}), "not image/png"),
        (new_output("display_data", {"image/svg+xml": "<svg/>"}), "no image/png beside it"),
    ],
)
def test_outputs_that_must_not_be_stored_are_named_with_their_place(stored, fault):
    (found,) = outputs.faults(notebook(stored))
    assert re.search(rf"under 'Here'.*{fault}", found)


def test_a_notebook_that_grew_too_large_is_refused():
    (found,) = outputs.faults(notebook(stream("x" * outputs.MAX_BYTES)))
    assert "at most 1,000,000" in found


def test_outputs_on_other_data_than_the_notebook_names_are_refused():
    ran = {"dataset": "mnist", "loaded": ["glyphs"], "modules": []}
    (found,) = execute.stamp(notebook(), ran)
    assert "'mnist'" in found
    assert "['glyphs']" in found


@pytest.mark.skipif(sys.platform == "win32", reason="make execute is for machines with make")
def test_a_notebook_that_raises_is_left_as_it_was(tmp_path, monkeypatch, capsys):
    path = tmp_path / "00_broken.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("print(1)"), new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    monkeypatch.setattr(sys, "argv", ["execute", str(path)])
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        execute.main()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert "[ 2/2]" in capsys.readouterr().out
