"""A fact about a page or an exercise stands once, and is written wherever else it is told."""

import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import facts


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Return a copy of the notebooks and pages that tell facts."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(facts.ROOT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".*"))
    for name in facts.PROSE:
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(facts.ROOT / name, root / name)
    return root


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("notebooks/07_codebook_collapse.ipynb", "; exercises 75 minutes", "; exercises 35 minutes"),
        ("notebooks/07_codebook_collapse.ipynb", "25 min · 3 points*", "25 min · 1 point*"),
        ("book/intro.md", "whole machine do?\n\n*", "whole machine do?\n\n*1"),
        ("book/instructors.md", "| 50 | 9 | Where in the code", "| 51 | 8 | Where in the code"),
        ("book/teaching_objectives.md", "| 1.3 | `elbo` | ●●○ |", "| 1.3 | `bound` | ●○○ |"),
        ("book/teaching_objectives.md", "1.5 `elbo_bits_per_dim` |\n\n", "1.5 `elbo_bits` |\n\n"),
        ("README.md", " hours for all notebooks", "0 hours for all notebooks"),
    ],
)
def test_what_is_told_wrongly_is_written_anew(copy, name, right, wrong):
    path = copy / name
    before = path.read_text(encoding="utf-8")
    assert right in before
    path.write_text(before.replace(right, wrong, 1), encoding="utf-8")
    try:
        assert list(facts.old(copy)) == [path]
        facts.main(copy)
        assert path.read_text(encoding="utf-8") == before
    finally:
        path.write_text(before, encoding="utf-8")


def test_what_is_folded_away_and_exercises_take_no_time_to_read():
    figure = new_output("display_data", {"image/png": ""})
    lesson = [
        new_markdown_cell("word " * 240 + "$$a$$ <details>" + "word " * 999 + "</details>"),
        new_code_cell("x = 1\n\n" * 20, outputs=[figure]),
        new_code_cell("x = 1\n" * 500, metadata={"tags": ["hide-input"]}),
    ]
    exercises = [new_markdown_cell("## Exercises\n" + "word " * 999), new_code_cell("x = 1\n" * 200)]
    recap = [new_markdown_cell("## Recap\n" + "word " * 118)]
    whole = new_notebook(cells=lesson + exercises + recap)
    assert facts.reading_minutes(whole) == pytest.approx(2 + 1 + 1 + 0.5 + 1)
    assert facts.reading_minutes(nbformat.v4.new_notebook()) == 0
