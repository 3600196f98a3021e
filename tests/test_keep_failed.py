import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parents[1]
PROCESSES = ["-n", "2", "--dist", "loadfile"] if find_spec("xdist") else []
CHECKED = {"tags": ["nbval-check-output"]}


def stored(source, text, metadata=None):
    """Return a cell that once printed ``text``."""
    output = new_output("stream", name="stdout", text=text)
    return new_code_cell(source, outputs=[output], execution_count=1, metadata=metadata or {})


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Three notebooks, run as ``make notebooks`` runs them; the folder and what pytest said."""
    folder = tmp_path_factory.mktemp("project")
    notebooks = {
        "good": [stored("print(1 + 1)", "2\n", CHECKED)],
        "raises": [
            new_markdown_cell("A page."),
            stored("print('before')", "of another day\n"),
            stored("1 / 0", "of another day\n"),
            stored("print('after')", "of another day\n"),
        ],
        "differs": [stored("print(1 + 2)", "2\n", CHECKED)],
    }
    (folder / "notebooks").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, cells in notebooks.items():
        nbformat.write(new_notebook(cells=cells), folder / "notebooks" / f"{name}.ipynb")
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tools.keep_failed", *PROCESSES, *options, "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    return folder, run.stdout


def shown(folder, name):
    """Return what each code cell of a kept notebook shows, as text."""
    notebook = nbformat.read(folder / "_build" / "failed" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    joined = [
        "".join(output.get("text", "\n".join(output.get("traceback", []))) for output in cell.outputs) for cell in cells
    ]
    return [re.sub(r"\x1b\[[\d;]*m", "", text) for text in joined]


def test_a_notebook_that_raises_is_kept_with_its_error_and_with_the_outputs_of_this_run(ran):
    before, error, after = shown(ran[0], "raises")
    assert (before, after) == ("before\n", "after\n")
    assert "ZeroDivisionError: division by zero" in error
    assert "of another day" not in error


def test_a_notebook_whose_output_differs_is_kept_with_both_outputs(ran):
    (text,) = shown(ran[0], "differs")
    assert text.startswith("3\n")
    assert "Cell outputs differ" in text


def test_only_failing_notebooks_are_kept_and_the_run_says_where(ran):
    folder, said = ran
    kept = {path.name for path in (folder / "_build" / "failed").iterdir()}
    assert kept == {"raises.ipynb", "differs.ipynb"}
    assert re.findall(r"with the error: (\S+)", said) == [str(Path("_build", "failed", name)) for name in sorted(kept)]
