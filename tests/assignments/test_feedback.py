"""Feedback shows answers and what the checks said, and nothing of how it was graded."""

import nbformat
import pytest

pytest.importorskip("nbgrader")

from vqvae_course.assignments.convert import check_cell
from vqvae_course.assignments.feedback import HideGrading


def error(ename: str, evalue: str, *traceback: str):
    return nbformat.v4.new_output("error", ename=ename, evalue=evalue, traceback=list(traceback))


def shown(*cells) -> str:
    notebook, _ = HideGrading().preprocess(nbformat.v4.new_notebook(cells=list(cells)), {})
    return str(notebook)


def test_hidden_tests_and_rubrics_are_not_shown():
    cell = check_cell("check", "straight_through")
    question = nbformat.v4.new_markdown_cell(
        "Why?\n\n=== BEGIN MARK SCHEME ===\n\n1 point for this\n\n=== END MARK SCHEME ==="
    )
    text = shown(cell, question)
    assert 'grade("straight_through", straight_through)' in text
    assert "Why?" in text
    for word in ("HIDDEN", "grade_again", "MARK SCHEME", "1 point for this"):
        assert word not in text


def test_of_a_check_only_its_message_is_shown():
    cell = check_cell("check", "straight_through")
    cell.outputs = [
        error("CheckFailed", "straight_through: not yet. It is z_e.", "Traceback", "/srv/x/grade.py in grade")
    ]
    text = shown(cell)
    assert "CheckFailed: straight_through: not yet. It is z_e." in text
    assert "grade.py" not in text


@pytest.mark.parametrize(
    "line",
    [
        "File /home/teacher/My Course/.venv/lib/python3.11/site-packages/torch/functional.py:366, in einsum",
        "File \x1b[0;32m/opt/grading/vqvae_course/quantize.py:12\x1b[0m",
        r"File C:\Users\teacher\course\tools\reader.py:5, in read",
    ],
)
def test_tracebacks_name_files_and_not_where_they_lie(line):
    cell = nbformat.v4.new_code_cell("1 / 0")
    cell.outputs = [error("ZeroDivisionError", "division by zero", line)]
    text = shown(cell)
    for word in ("teacher", "/opt", "grading", "site-packages"):
        assert word not in text
    assert ".py:" in text


def test_a_fraction_and_an_address_are_no_paths():
    cell = nbformat.v4.new_code_cell("raise ValueError")
    cell.outputs = [error("ValueError", "", "3/4 of https://arxiv.org/abs/1711.00937 and a/b.py")]
    assert "3/4 of https://arxiv.org/abs/1711.00937 and a/b.py" in shown(cell)
