"""A notebook as an assignment: everything graded is there, nothing is told, and it runs without its lesson."""

import contextlib
import io
import json
import os

import nbformat
import pytest

pytest.importorskip("nbgrader")

from IPython.core.inputtransformer2 import TransformerManager
from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme, ClearOutput, ClearSolutions
from traitlets.config import Config

from tests.assignments.pages import NOTEBOOKS, ROOT, solutions_of
from vqvae_course.assignments.convert import STUB_NOTE, absolute, convert
from vqvae_course.assignments.grade import grade
from vqvae_course.checks.report import EXERCISES
from vqvae_course.cli import main
from vqvae_course.cli.assign import BOOK

CHAPTER = "03_straight_through"


def original(stem: str = CHAPTER):
    return nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", as_version=4)


def points_of(notebook) -> float:
    return sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in notebook.cells)


def text_of(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_assignment_has_every_exercise_with_its_points_and_nothing_stored(path):
    notebook = nbformat.read(path, as_version=4)
    made = convert(notebook)
    nbformat.validate(made)
    expected = solutions_of(notebook)
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
        assert f'\n\ngrade("{name}", {name})\n### BEGIN HIDDEN TESTS' in test.source
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in made.cells)
    assert not any("# @title Solution" in cell.source for cell in made.cells)
    assert len({cell.id for cell in made.cells}) == len(made.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_without_the_lesson_the_solutions_still_run_and_earn_all_points(path, monkeypatch):
    """Solutions are their own work, too: none takes over the package's function of its name."""
    monkeypatch.setenv("VQVAE_COURSE_BUDGET", "smoke")
    monkeypatch.setenv("VQVAE_COURSE_STORED", "1")
    made, names, earned = convert(nbformat.read(path, as_version=4), lesson=False), {}, {}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in made.cells:
            marks = cell.metadata.get("nbgrader", {})
            if cell.cell_type == "code" and not marks.get("grade"):
                exec(TransformerManager().transform_cell(cell.source), names)
            elif marks.get("grade"):
                name = marks.grade_id.removesuffix("-check")
                earned[name] = grade(name, names[name])
    assert earned == {name: EXERCISES[name].points for name in earned}
    assert sum(earned.values()) == points_of(made)
    full = convert(nbformat.read(path, as_version=4))
    assert sum(cell.cell_type == "code" for cell in made.cells) < sum(cell.cell_type == "code" for cell in full.cells)


def leaks(released, notebook) -> list[str]:
    """Return the lines of solutions that stand in a release and nowhere else in the notebook."""
    open_cells = [cell.source for cell in notebook.cells if "solution" not in cell.metadata.get("tags", [])]
    known, text = "\n".join(open_cells), json.dumps(released, ensure_ascii=False)
    lines = {line.strip() for solution in solutions_of(notebook).values() for line in solution.splitlines()}
    told = [line for line in lines if len(line) > 12 and line not in known and json.dumps(line)[1:-1] in text]
    marks = ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS", "grade_again", "@title Solution", "MARK SCHEME")
    return told + [mark for mark in marks if mark in text]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_release_leaks_no_solution_in_source_outputs_metadata_or_attachments(path):
    notebook = nbformat.read(path, as_version=4)
    made = convert(notebook)
    assert len(leaks(made, notebook)) > 4  # before the release they are there, and this test sees them
    settings = Config(ClearSolutions={"code_stub": {"python": STUB_NOTE}}, ClearMarkScheme={"enforce_metadata": False})
    for step in (ClearSolutions, ClearHiddenTests, ClearMarkScheme, ClearOutput):
        made, _ = step(config=settings).preprocess(made, {})
    assert leaks(made, notebook) == []
    assert not any(cell.get("attachments") for cell in made.cells)
    assert STUB_NOTE in str(made)


def test_single_exercises_come_with_what_leads_to_them_and_no_others():
    made = convert(original("14_bug_clinic"), numbers=["14.2", "14.9"])
    text = text_of(made)
    assert "### Patient 2" in text
    assert "### Exercise 14.9" in text
    assert "### Patient 3" not in text
    assert points_of(made) == EXERCISES["patient_2"].points + EXERCISES["patient_9"].points


def test_minutes_and_points_are_those_of_what_was_chosen():
    text = text_of(convert(original(), numbers=["3.1", "3.5"]))
    assert "exercises 20 minutes." in text
    assert "2 exercises of about 20 minutes, worth 4 points" in text
    assert "never stops the notebook" not in text  # a check that is worth points does


def test_links_lead_to_the_published_book():
    made = convert(original(), book="https://book/", address="https://book/notebooks/x.html")
    assert "](https://book/notebooks/04_three_losses.html)" in text_of(made)
    assert ".ipynb)" not in text_of(made)
    assert absolute("[a](../book/faq.md#bits) [b](02_x.ipynb#the-idea) [c](https://x/02_x.ipynb)", "https://b/") == (
        "[a](https://b/book/faq.html#bits) [b](https://b/notebooks/02_x.html#the-idea) [c](https://x/02_x.ipynb)"
    )


def test_the_book_is_where_the_configuration_puts_it():
    assert f"baseurl: {BOOK} " in (ROOT / "_config.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("without", ["solution", "check"])
def test_an_exercise_that_lacks_a_part_is_refused(without):
    notebook = original()
    notebook.cells = [cell for cell in notebook.cells if without not in cell.metadata.get("tags", [])]
    with pytest.raises(ValueError, match="exercise straight_through must"):
        convert(notebook)


def test_an_exercise_that_is_not_on_the_page_is_refused():
    with pytest.raises(ValueError, match=r"exercises must be among 3\.1, .*3\.5, got 3\.9"):
        convert(original(), numbers=["3.1", "3.9"])


# --- the command


def assign(out, *arguments: str) -> int:
    return main(["assign", *arguments, "--out", str(out), "--notebooks", str(ROOT / "notebooks")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--chapters", "1", "--notebooks", "nowhere"], "notebooks must be the folder of the course's notebooks"),
        (["--chapters", "99"], "chapters must be numbers of notebooks"),
        (["--chapters", "00"], "00_quickstart.ipynb cannot be assigned: a notebook must have a heading '## Exercises'"),
        ([], "assign must be told --chapters, such as 02,03, or --exercises, such as 2.1,3.2, and not both"),
        (["--chapters", "2", "--exercises", "2.1"], "and not both"),
        (["--chapters", "02,3,2"], "chapters must name each notebook once, got 2 twice"),
        (["--exercises", "2.1,3.2,02.1"], "exercises must name each exercise once, got 2.1 twice"),
        (["--exercises", "2.7"], "02_vector_quantization.ipynb cannot be assigned: exercises must be among 2.1"),
        (["--exercises", "x.1"], "exercises must be numbers of notebooks"),
        (["--chapters", "2", "--out", "elsewhere/ps1"], "out must be COURSE/source/ASSIGNMENT"),
    ],
)
def test_what_cannot_be_assigned_is_said_and_nothing_is_written(tmp_path, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["--notebooks", str(ROOT / "notebooks")] if "--notebooks" not in arguments else []
    assert main(["assign", *given, *arguments]) == 1
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_an_assignment_is_not_written_over_another_without_a_word(tmp_path, capsys):
    out = tmp_path / "course" / "source" / "ps1"
    assert assign(out, "--chapters", "3") == 0
    assert assign(out, "--chapters", "3") == 0  # the same again
    mended = out / f"{CHAPTER}.ipynb"
    mended.write_text(mended.read_text(encoding="utf-8").replace("from memory", "without looking"), encoding="utf-8")
    by_hand = mended.read_bytes()
    assert assign(out, "--chapters", "3,4") == 1
    assert f"holds {CHAPTER}.ipynb: add --replace" in capsys.readouterr().err
    assert mended.read_bytes() == by_hand
    assert not (out / "04_three_losses.ipynb").exists()
    assert assign(out, "--chapters", "3,4", "--replace") == 0
    (kept,) = (tmp_path / "course" / "kept").glob(f"ps1-source-*/{CHAPTER}.ipynb")
    assert kept.read_bytes() == by_hand
    assert mended.read_bytes() != by_hand


def test_settings_that_somebody_changed_stay_and_that_is_said(tmp_path, capsys):
    out = tmp_path / "course" / "source" / "ps1"
    assert assign(out, "--exercises", "3.1") == 0
    config = tmp_path / "course" / "nbgrader_config.py"
    config.write_text("c = get_config()\n", encoding="utf-8")
    assert assign(out, "--exercises", "3.1") == 0
    assert config.read_text(encoding="utf-8") == "c = get_config()\n"
    assert "is as you left it" in capsys.readouterr().out


# --- the second bank


def test_every_notebook_can_be_given_an_exercise_of_the_second_bank_and_a_written_question(tmp_path, capsys):
    paths = [path for path in NOTEBOOKS if path.stem[0] != "A"]
    chapters = ",".join(path.stem[:2] for path in paths)
    out, with_bank = (tmp_path / "course" / "source" / name for name in ("all", "bank"))
    assert assign(out, "--chapters", chapters) == 0
    assert assign(with_bank, "--chapters", chapters, "--bank") == 0
    for path in paths:
        made = nbformat.read(with_bank / path.name, as_version=4)
        nbformat.validate(made)
        stub, test, question, written = [cell for cell in made.cells if "nbgrader" in cell.metadata][-4:]
        name = stub.metadata.nbgrader.grade_id
        assert EXERCISES[name].chapter == path.stem[3:]
        assert "No solution of this exercise is published" in stub.source
        assert test.source.startswith("import vqvae_course.checks.bank")
        assert question.metadata.nbgrader.locked
        assert question.source.count("=== BEGIN MARK SCHEME ===") == 1
        marks = written.metadata.nbgrader
        assert marks.grade
        assert marks.solution
        without = points_of(nbformat.read(out / path.name, as_version=4))
        assert points_of(made) == without + EXERCISES[name].points + marks.points
        headings = [cell.source.splitlines()[0] for cell in made.cells if cell.source.startswith("## ")]
        places = [n for n, cell in enumerate(made.cells) if cell.source.startswith("## Common bugs")]
        assert headings[-3:] == ["## Common bugs", "## Recap", "## References"]
        assert made.cells.index(written) < places[0]
        assert f"worth {points_of(made)} points" in text_of(made)
    assert "with the bank: turn the gradient as the latent was turned (20 minutes, 3 points)" in capsys.readouterr().out
