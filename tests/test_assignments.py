"""An assignment from the notebook to the grades, with nbgrader itself."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbgrader")

from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme, ClearOutput, ClearSolutions
from traitlets.config import Config

from vqvae_course import check, checks
from vqvae_course.assignments import hidden, looks
from vqvae_course.assignments.convert import STUB_NOTE, check_cell, convert
from vqvae_course.checks import report, straight_through
from vqvae_course.checks.report import EXERCISES, CheckFailed
from vqvae_course.cli import main

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").glob("*.ipynb") if not path.stem.startswith("00"))
CHAPTER = "03_straight_through"
STUDENTS = ("perfect", "empty", "half", "hostile", "stripped")


def exercises(notebook) -> dict[str, str]:
    """Return the solutions of a notebook by the name of the exercise, without title and check."""
    found, name = {}, None
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags:
            name = re.search(r"(?:def|class) (\w+)", cell.source).group(1)
        elif "solution" in tags:
            lines = [line for line in cell.source.splitlines() if not line.startswith(("# @title", "check("))]
            found[name] = "\n".join(lines).strip()
    return found


def points_of(notebook) -> float:
    return sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in notebook.cells)


# --- converting


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_assignment_has_every_exercise_with_its_points_and_nothing_stored(path):
    original = nbformat.read(path, as_version=4)
    made = convert(original)
    nbformat.validate(made)
    expected = exercises(original)
    assert points_of(made) == sum(EXERCISES[name].points for name in expected)
    marks = {cell.metadata.nbgrader.grade_id: cell for cell in made.cells if "nbgrader" in cell.metadata}
    assert marks.keys() == {*expected, *(f"{name}-check" for name in expected)}
    for name, solution in expected.items():
        answer, test = marks[name], marks[f"{name}-check"]
        assert answer.metadata.nbgrader.solution
        assert not answer.metadata.nbgrader.grade
        assert solution in answer.source.split("### BEGIN SOLUTION")[1]
        assert "raise NotImplementedError" in answer.source.split("### BEGIN SOLUTION")[0]
        assert test.metadata.nbgrader.grade
        assert test.metadata.nbgrader.locked
        assert test.source.startswith(f'check("{name}", {name}, strict=True)\n### BEGIN HIDDEN TESTS')
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in made.cells)
    assert not any("# @title Solution" in cell.source for cell in made.cells)
    assert len({cell.id for cell in made.cells}) == len(made.cells)


def test_a_stub_without_a_solution_is_refused():
    notebook = nbformat.read(ROOT / "notebooks" / f"{CHAPTER}.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "solution" not in cell.metadata.get("tags", [])]
    with pytest.raises(ValueError, match="exercise straight_through must be followed by its solution"):
        convert(notebook)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--notebooks", "nowhere"], "notebooks must be the folder of the course's notebooks, and there is no nowhere"),
        (["--chapters", "99"], "chapters must be numbers of notebooks"),
        (["--chapters", "00"], "chapters must have exercises"),
        (["--chapters", ""], "chapters must name at least one notebook"),
        (["--out", "elsewhere/ps1"], "out must be COURSE/source/ASSIGNMENT"),
    ],
)
def test_what_cannot_be_assigned_is_said(arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["assign", *arguments]) == 1
    assert message in capsys.readouterr().err


# --- the hidden tests


def right(z_e, e_k):
    return z_e + (e_k - z_e).detach()


def test_the_hidden_test_takes_right_answers_and_refuses_wrong_ones():
    hidden.check_again("straight_through", right)
    with pytest.raises(CheckFailed):
        hidden.check_again("straight_through", lambda z_e, e_k: e_k)


@pytest.mark.parametrize(
    ("place", "name"),
    [(report, "_judge"), (report, "run"), (checks, "check"), (hidden.answer, "recognise"), (report, "exercise")],
)
def test_the_hidden_test_sees_replaced_parts_of_the_checks(monkeypatch, place, name):
    monkeypatch.setattr(place, name, lambda *arguments, **options: report.Report("straight_through", "correct"))
    with pytest.raises(hidden.Tampered, match=name):
        hidden.check_again("straight_through", right)


def test_the_hidden_test_sees_a_replaced_judge_and_a_replaced_method(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(EXERCISES, "straight_through", report.Exercise("straight_through", "straight_through", 1, print))
        with pytest.raises(hidden.Tampered, match="judge of straight_through"):
            hidden.check_again("straight_through", right)
    monkeypatch.setattr(hidden.answer.Answer, "tensor", lambda self, *arguments, shape: arguments[0])
    with pytest.raises(hidden.Tampered, match=r"Answer\.tensor"):
        hidden.check_again("straight_through", right)
    assert straight_through  # the chapter whose judge it was


# --- the whole cycle


def nbgrader(course: Path, *words: str, expect: int = 0) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader starts alembic by its name
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "HOME": str(course.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *words], cwd=course, env=environment, capture_output=True, text=True
    )
    assert done.returncode == expect, done.stderr[-3000:]
    return done.stdout + done.stderr


def hand_in(course: Path, student: str, released, solutions: dict[str, str]) -> None:
    notebook = nbformat.from_dict(released.copy())
    names = list(solutions)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        solved = names if student in ("perfect", "stripped") else names[: len(names) // 2] if student == "half" else []
        if name in solved:
            cell.source = solutions[name]
        if student == "hostile" and name == names[0]:
            cell.source = (
                "import vqvae_course.checks.report as r\n"
                "r._judge = lambda arguments: r.Report(arguments[0].__name__, 'correct')\n"
                f"def {name}(*arguments):\n    raise SystemExit\n"
            )
        elif student == "hostile" and name in names:
            cell.source = (
                f"def check(*answer, **options):\n    return None\n\n\ndef {name}(*arguments):\n    return None\n"
            )
        if student == "stripped":
            cell.metadata = {}
    place = course / "submitted" / student / "ps1"
    place.mkdir(parents=True)
    nbformat.write(notebook, place / f"{CHAPTER}.ipynb")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Return a course that has been assigned, released, handed in by five students and graded."""
    folder = tmp_path_factory.mktemp("class") / "course"
    arguments = ["assign", "--chapters", "3", "--out", str(folder / "source" / "ps1")]
    assert main([*arguments, "--notebooks", str(ROOT / "notebooks")]) == 0
    nbgrader(folder, "generate_assignment", "ps1")
    released = nbformat.read(folder / "release" / "ps1" / f"{CHAPTER}.ipynb", as_version=4)
    solutions = exercises(nbformat.read(ROOT / "notebooks" / f"{CHAPTER}.ipynb", as_version=4))
    for student in STUDENTS:
        hand_in(
            folder,
            student,
            nbformat.from_dict(nbformat.read(folder / "release" / "ps1" / f"{CHAPTER}.ipynb", 4)),
            solutions,
        )
    nbgrader(folder, "autograde", "ps1")
    nbgrader(folder, "generate_feedback", "ps1")
    nbgrader(folder, "export", "--to", "grades.csv")
    return folder, released, solutions


def scored(folder: Path) -> dict[str, float]:
    with (folder / "grades.csv").open(encoding="utf-8") as file:
        return {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}


def leaks(released, original) -> list[str]:
    """Return the lines of solutions that stand in a release and nowhere else in the notebook."""
    open_cells = [cell.source for cell in original.cells if "solution" not in cell.metadata.get("tags", [])]
    known, text = "\n".join(open_cells), json.dumps(released, ensure_ascii=False)
    lines = {line.strip() for solution in exercises(original).values() for line in solution.splitlines()}
    told = [line for line in lines if len(line) > 12 and line not in known and json.dumps(line)[1:-1] in text]
    marks = ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS", "check_again", "@title Solution")
    return told + [mark for mark in marks if mark in text]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_release_leaks_no_solution_in_source_outputs_metadata_or_attachments(path):
    original = nbformat.read(path, as_version=4)
    made = convert(original)
    assert len(leaks(made, original)) > 4  # before the release they are there, and this test sees them
    settings = Config(ClearSolutions={"code_stub": {"python": STUB_NOTE}})
    for step in (ClearSolutions, ClearHiddenTests, ClearMarkScheme, ClearOutput):
        made, _ = step(config=settings).preprocess(made, {})
    assert leaks(made, original) == []
    assert not any(cell.get("attachments") for cell in made.cells)
    assert STUB_NOTE in str(made)


def test_what_nbgrader_releases_leaks_nothing_either(course):
    _, released, _ = course
    assert leaks(released, nbformat.read(ROOT / "notebooks" / f"{CHAPTER}.ipynb", as_version=4)) == []
    assert all(not cell.get("outputs") and not cell.get("attachments") for cell in released.cells)


def test_the_points_of_a_release_add_up_and_unsolved_cells_do_not_stop_a_run(course):
    folder, released, solutions = course
    possible = sum(EXERCISES[name].points for name in solutions)
    assert points_of(released) == possible
    checks_in = [cell for cell in released.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert all("raises-exception" in cell.metadata.tags for cell in checks_in)
    assert "Success" in nbgrader(folder, "validate", str(folder / "source" / "ps1" / f"{CHAPTER}.ipynb"))


def test_each_submission_scores_what_it_is_worth(course):
    folder, _, solutions = course
    points = [EXERCISES[name].points for name in solutions]
    assert scored(folder) == {
        "perfect": sum(points),
        "empty": 0,
        "half": sum(points[: len(points) // 2]),
        "hostile": 0,
        "stripped": 0,
    }
    assert sorted(path.parent.parent.name for path in folder.glob("feedback/*/ps1/*.html")) == sorted(STUDENTS)


def test_the_report_says_what_a_score_of_zero_hides_and_marks_can_be_given_back(course, capsys):
    folder, _, solutions = course
    arguments = ["grade-report", "--course", str(folder), "--assignment", "ps1"]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert {one.student for one in looks.findings(folder, "ps1")} == {"hostile", "stripped"}
    assert re.search(r"LOOK  stripped: .* has lost nbgrader's marks on 10 of 10 cells", printed)
    assert re.search(r"LOOK  hostile: .* has a cell that says", printed)
    assert f"perfect: {CHAPTER} {sum(EXERCISES[name].points for name in solutions)} of" in printed

    assert main([*arguments, "--repair"]) == 1
    printed = capsys.readouterr().out
    assert "stripped: 03_straight_through has its marks back on 10 cells" in printed
    assert "nbgrader autograde ps1 --force" in printed
    nbgrader(folder, "autograde", "ps1", "--student", "stripped", "--force")
    nbgrader(folder, "export", "--to", "grades.csv")
    assert scored(folder)["stripped"] == scored(folder)["perfect"]
    assert {one.student for one in looks.findings(folder, "ps1")} == {"hostile"}
    assert (folder / "as_handed_in" / "stripped" / "ps1" / f"{CHAPTER}.ipynb").exists()


def test_an_archive_of_a_learning_platform_is_sorted_into_folders(course):
    folder, _, _ = course
    archive = folder / "downloaded" / "ps2" / "archive"
    archive.mkdir(parents=True)
    shutil.copy(
        folder / "submitted" / "perfect" / "ps1" / f"{CHAPTER}.ipynb",
        archive / f"ps2_alice_attempt_2026-01-30-20-30-10_{CHAPTER}.ipynb",
    )
    nbgrader(folder, "zip_collect", "ps2")
    assert (folder / "submitted" / "alice" / "ps2" / f"{CHAPTER}.ipynb").exists()


def test_an_answer_bound_to_its_name_in_another_way_counts():
    cell = check_cell("some-check", "straight_through")
    namespace = {"check": check, "straight_through": lambda z_e, e_k: z_e + (e_k - z_e).detach()}
    exec(cell.source, namespace)
    with pytest.raises(CheckFailed):
        exec(cell.source, namespace | {"straight_through": lambda z_e, e_k: z_e})


# --- the second bank


def test_every_notebook_can_be_given_an_exercise_of_the_second_bank_and_a_written_question(tmp_path, capsys):
    chapters = ",".join(path.stem[:2] for path in NOTEBOOKS)
    out = tmp_path / "course" / "source" / "all"
    arguments = ["assign", "--chapters", chapters, "--out", str(out), "--notebooks", str(ROOT / "notebooks")]
    assert main(arguments) == 0
    without = {path.stem: points_of(nbformat.read(path, as_version=4)) for path in out.glob("*.ipynb")}
    assert main([*arguments, "--bank"]) == 0
    for path in NOTEBOOKS:
        made = nbformat.read(out / path.name, as_version=4)
        nbformat.validate(made)
        stub, test, written = [cell for cell in made.cells if "nbgrader" in cell.metadata][-3:]
        name = stub.metadata.nbgrader.grade_id
        assert EXERCISES[name].chapter == path.stem[3:]
        assert "No solution of this exercise is published" in stub.source
        assert test.source.startswith("import vqvae_course.checks.bank")
        marks = written.metadata.nbgrader
        assert marks.grade
        assert marks.solution
        assert "BEGIN SOLUTION" in written.source
        assert points_of(made) == without[path.stem] + EXERCISES[name].points + marks.points
    assert "points in all." in capsys.readouterr().out
