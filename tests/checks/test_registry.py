"""Every exercise has its cells in one notebook and its answers in one test file; those of the bank have neither."""

import functools
import importlib
import re
from pathlib import Path

import nbformat
import pytest

from vqvae_course.checks import EXERCISES, check
from vqvae_course.checks.bank import BANK
from vqvae_course.checks.report import NOT_ATTEMPTED

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PUBLIC = [name for name, exercise in EXERCISES.items() if not exercise.bank]
IN_THE_BANK = [name for name, exercise in EXERCISES.items() if exercise.bank]


@functools.cache
def cells_of(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def cells_with(tag: str, path: Path) -> list[str]:
    return [cell.source for cell in cells_of(path) if tag in cell.metadata.get("tags", [])]


def notebook_of(chapter: str) -> Path:
    (path,) = [path for path in NOTEBOOKS if path.stem.partition("_")[2] == chapter]
    return path


@pytest.mark.parametrize("name", PUBLIC)
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
        assert cell.partition("check(")[2].partition(")")[0] in PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_exercise_has_registered_answers(name):
    module = importlib.import_module(f"tests.checks.test_{EXERCISES[name].chapter}")
    assert len(module.answers.right[name]) >= 2
    assert len(module.answers.all_wrong(name)) >= 6


def test_registered_answers_belong_to_exercises_of_their_chapter():
    for chapter in {EXERCISES[name].chapter for name in PUBLIC}:
        answers = importlib.import_module(f"tests.checks.test_{chapter}").answers
        for name in (*answers.right, *answers.wrong):
            assert name in PUBLIC
            assert EXERCISES[name].chapter == chapter


def test_the_bank_has_one_exercise_for_each_notebook_with_exercises():
    chapters = [path for path in NOTEBOOKS if path.stem[0] != "A"]  # an appendix needs none
    with_exercises = [path.stem.partition("_")[2] for path in chapters if cells_with("exercise", path)]
    assert list(BANK) == with_exercises
    assert sorted(EXERCISES[name].chapter for name in IN_THE_BANK) == sorted(with_exercises)


@pytest.mark.parametrize("name", IN_THE_BANK)
def test_bank_exercise_is_in_no_notebook(name):
    for path in NOTEBOOKS:
        assert name not in path.read_text(encoding="utf-8"), path.name


@pytest.mark.parametrize("name", IN_THE_BANK)
def test_bank_exercise_has_a_task_and_a_stub(name):
    module = BANK[EXERCISES[name].chapter]
    assert module.TITLE
    difficulty, _, task = module.TASK.partition("\n\n")
    points = EXERCISES[name].points
    assert re.fullmatch(rf"\*difficulty [●○]{{3}} · \d+ min · {points} points?\*", difficulty)
    assert len(task) > 200
    namespace = {}
    exec(compile(module.STUB, name, "exec"), namespace)
    assert namespace[name].__doc__
    assert check(name, namespace[name]).status == NOT_ATTEMPTED


@pytest.mark.parametrize("name", IN_THE_BANK)
def test_the_points_of_a_bank_rubric_add_up(name):
    module = BANK[EXERCISES[name].chapter]
    criteria = re.findall(r"^- \*\*(\d+) points?\*\*: ", module.RUBRIC, re.M)
    assert 2 <= len(criteria) <= 4
    assert len(criteria) == module.RUBRIC.count("\n- ") + 1
    assert sum(map(int, criteria)) == module.WRITTEN_POINTS
    assert "?" in module.QUESTION
