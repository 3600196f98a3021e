"""Every exercise has its cells in one notebook and its answers in one test file."""

import importlib
import re
from pathlib import Path

import nbformat
import pytest

from vqvae_course.checks import EXERCISES

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells_with(tag: str, path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if tag in cell.metadata.get("tags", [])]


def notebook_of(chapter: str) -> Path:
    (path,) = [path for path in NOTEBOOKS if path.stem.partition("_")[2] == chapter]
    return path


@pytest.mark.parametrize("name", EXERCISES)
def test_exercise_has_stub_check_and_solution_in_its_notebook_alone(name):
    home = notebook_of(EXERCISES[name].chapter)
    for path in NOTEBOOKS:
        expected = 1 if path == home else 0
        stubs = [cell for cell in cells_with("exercise", path) if f"def {name}(" in cell or f"class {name}(" in cell]
        checks = [cell for cell in cells_with("check", path) if f"check({name})" in cell]
        solutions = [cell for cell in cells_with("solution", path) if f"check({name})" in cell]
        assert [len(stubs), len(checks), len(solutions)] == [expected] * 3, path.name
        assert all("raise NotImplementedError" in cell for cell in stubs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_notebook_checks_an_unknown_exercise(path):
    for cell in cells_with("check", path):
        assert cell.partition("check(")[2].partition(")")[0] in EXERCISES


@pytest.mark.parametrize("name", EXERCISES)
def test_points_in_the_notebook_are_those_of_the_registry(name):
    cells = nbformat.read(notebook_of(EXERCISES[name].chapter), as_version=4).cells
    stub = next(
        i
        for i, cell in enumerate(cells)
        if cell.cell_type == "code" and re.search(rf"(def|class) {name}\(", cell.source)
    )
    task = next(cell.source for cell in reversed(cells[:stub]) if cell.cell_type == "markdown")
    points = EXERCISES[name].points
    assert f"{points} point{'s' if points > 1 else ''}*" in task


@pytest.mark.parametrize("name", EXERCISES)
def test_exercise_has_registered_answers(name):
    module = importlib.import_module(f"tests.checks.test_{EXERCISES[name].chapter}")
    assert len(module.answers.right[name]) >= 2
    assert len(module.answers.wrong[name]) >= 4


def test_registered_answers_belong_to_exercises_of_their_chapter():
    for chapter in {exercise.chapter for exercise in EXERCISES.values()}:
        answers = importlib.import_module(f"tests.checks.test_{chapter}").answers
        for name in (*answers.right, *answers.wrong):
            assert EXERCISES[name].chapter == chapter
