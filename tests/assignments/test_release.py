"""A release, and a mended one after grading: what was earned stays earned."""

import shutil
import sqlite3
import warnings
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbgrader")

from tests.assignments.pages import ROOT
from vqvae_course.assignments.mended import follow
from vqvae_course.assignments.programs import open_gradebook
from vqvae_course.assignments.release import due_of, release
from vqvae_course.cli import main

STEM = "03_straight_through"
BOTH = ("straight_through", "RoundSTE", "ste_bias")  # exercises 3.1, 3.2 and 3.5
POINTS = {"straight_through": 1, "RoundSTE": 2, "ste_bias": 3, "codebook_grad_from_recon": 2}


def assign(course: Path, exercises: str, *options: str) -> None:
    arguments = ["assign", "--exercises", exercises, "--only-exercises", "--out", str(course / "source" / "ps1")]
    assert main([*arguments, "--notebooks", str(ROOT / "notebooks"), *options]) == 0


def give(course: Path, student: str, grades: dict[str, float], by_hand: dict[str, float] | None = None) -> None:
    """Enter points as autograding and a grader would."""
    with warnings.catch_warnings(), open_gradebook(course / "gradebook.db") as book:
        warnings.simplefilter("ignore")  # nbgrader's way to add a submission makes SQLAlchemy warn
        book.update_or_create_student(student)
        book.update_or_create_submission("ps1", student)
        for name, points in grades.items():
            grade = book.find_grade(f"{name}-check", STEM, "ps1", student)
            grade.auto_score, grade.needs_manual_grade = points, False
        for name, points in (by_hand or {}).items():
            grade = book.find_grade(f"{name}-check", STEM, "ps1", student)
            grade.manual_score = points
            book.find_comment(name, STEM, "ps1", student).manual_comment = f"well thought: {name}"
        book.db.commit()


def points_of(course: Path, student: str) -> dict[str, float]:
    with open_gradebook(course / "gradebook.db") as book:
        grades = book.find_submission("ps1", student).notebooks[0].grades
        return {grade.name.removesuffix("-check"): grade.score for grade in grades}


def submitted(course: Path, student: str) -> Path:
    return course / "submitted" / student / "ps1" / f"{STEM}.ipynb"


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Return a course whose first release has been handed in and graded: all, half of it, nothing right."""
    course = tmp_path_factory.mktemp("class") / "course"
    assign(course, "3.1,3.2,3.5")
    release(course, "ps1", due=datetime.fromisoformat("2026-03-01 23:59+01:00"))
    for student in ("alice", "bob", "carol"):
        submitted(course, student).parent.mkdir(parents=True)
        submitted(course, student).write_bytes((course / "release" / "ps1" / f"{STEM}.ipynb").read_bytes())
    give(course, "alice", {name: POINTS[name] for name in BOTH})
    give(course, "bob", {"straight_through": 1, "RoundSTE": 0, "ste_bias": 0}, {"ste_bias": 1.5})
    give(course, "carol", dict.fromkeys(BOTH, 0))
    return course


@pytest.fixture
def course(graded, tmp_path):
    """Return a copy of that course, to be changed."""
    return Path(shutil.copytree(graded, tmp_path / "course"))


@pytest.fixture(scope="module")
def mended(graded, tmp_path_factory):
    """Return that course after exercise 3.2 was removed, and what the release said."""
    course = Path(shutil.copytree(graded, tmp_path_factory.mktemp("mended") / "course"))
    assign(course, "3.1,3.5", "--replace")
    return course, release(course, "ps1")


def test_the_first_release_makes_what_is_handed_out_and_nothing_else(tmp_path):
    course = tmp_path / "course"
    assign(course, "3.1", "--bank")
    (course / "source" / "ps1" / "data").mkdir()
    (course / "source" / "ps1" / "data" / "table.csv").write_text("a,b\n", encoding="utf-8")
    done = release(course, "ps1")
    assert (done.removed, done.added, done.back, done.submissions, done.updated, done.kept) == ((), (), (), 0, [], None)
    handed_out = (course / "release" / "ps1" / f"{STEM}.ipynb").read_text(encoding="utf-8")
    assert "In your own words" in handed_out
    assert not [word for word in ("grade_again", "MARK SCHEME", "For those who grade") if word in handed_out]
    assert (course / "release" / "ps1" / "data" / "table.csv").read_text(encoding="utf-8") == "a,b\n"
    names = sorted(path.name for path in course.iterdir())
    assert names == ["gradebook.db", "nbgrader_config.py", "release", "source"]


def test_an_exercise_that_is_removed_counts_for_everybody(mended):
    course, done = mended
    assert done.removed == [f"RoundSTE-check in {STEM}"]
    assert (done.added, done.submissions) == ([], 3)
    assert points_of(course, "alice") == {"straight_through": 1, "RoundSTE": 2, "ste_bias": 3}
    assert points_of(course, "bob") == {"straight_through": 1, "RoundSTE": 2, "ste_bias": 1.5}
    assert points_of(course, "carol") == {"straight_through": 0, "RoundSTE": 2, "ste_bias": 0}


def test_the_cell_of_an_exercise_that_is_removed_passes_for_those_who_hand_in_later(mended):
    course, _ = mended
    notebook = nbformat.read(course / "release" / "ps1" / f"{STEM}.ipynb", 4)
    (cell,) = [cell for cell in notebook.cells if "RoundSTE" in str(cell.metadata.get("nbgrader", {}))]
    exec(cell.source, {})
    assert cell.metadata.nbgrader.points == 2
    assert cell.metadata.nbgrader.locked


def test_an_exercise_that_is_dropped_makes_the_total_smaller(course):
    assign(course, "3.1,3.5", "--replace")
    release(course, "ps1", removed="drop")
    assert points_of(course, "bob") == {"straight_through": 1, "ste_bias": 1.5}
    with open_gradebook(course / "gradebook.db") as book:
        assert book.find_assignment("ps1").max_score == 4


def test_an_exercise_that_is_added_takes_nothing_away_and_all_is_said(course, capsys):
    assign(course, "3.1,3.3,3.5", "--replace")
    capsys.readouterr()
    assert main(["release", "--course", str(course), "--assignment", "ps1"]) == 0
    said = capsys.readouterr().out
    assert f"- RoundSTE-check in {STEM}: gone, its points count for everybody" in said
    assert f"+ codebook_grad_from_recon-check in {STEM}: new" in said
    assert "3 submitted notebooks follow" in said
    assert "Next, for 3 submissions: vqvae-course autograde --course" in said
    before = {"straight_through": 1, "RoundSTE": 2, "ste_bias": 3}
    assert points_of(course, "alice") == before | {"codebook_grad_from_recon": 0}
    with open_gradebook(course / "gradebook.db") as book:
        assert not any(one.needs_manual_grade for one in book.assignment_submissions("ps1"))
    again = release(course, "ps1")
    assert (again.removed, again.added, again.updated) == ([], [], [])


def test_points_and_comments_given_by_hand_stay(mended):
    course, _ = mended
    with open_gradebook(course / "gradebook.db") as book:
        assert book.find_grade("ste_bias-check", STEM, "ps1", "bob").manual_score == 1.5
        assert book.find_comment("ste_bias", STEM, "ps1", "bob").manual_comment == "well thought: ste_bias"


def test_what_comes_back_brings_back_what_was_given_by_hand(mended, tmp_path):
    course = Path(shutil.copytree(mended[0], tmp_path / "course"))
    assign(course, "3.1,3.2", "--replace")
    done = release(course, "ps1")  # now 3.5, which bob has 1.5 points of by hand, is gone as well
    assert done.removed == [f"ste_bias-check in {STEM}"]
    assert done.back == [f"RoundSTE-check in {STEM}"]
    assert points_of(course, "bob")["ste_bias"] == 3
    assign(course, "3.1,3.2,3.5", "--replace")
    assert release(course, "ps1").back == [f"ste_bias-check in {STEM}"]
    assert points_of(course, "bob")["ste_bias"] == 1.5
    with open_gradebook(course / "gradebook.db") as book:
        assert book.find_comment("ste_bias", STEM, "ps1", "bob").manual_comment == "well thought: ste_bias"


def test_an_older_release_handed_in_later_loses_marks_that_are_no_longer_known(graded, mended, tmp_path):
    course = Path(shutil.copytree(mended[0], tmp_path / "course"))
    submitted(course, "dave").parent.mkdir(parents=True)
    shutil.copy(graded / "release" / "ps1" / f"{STEM}.ipynb", submitted(course, "dave"))
    assert follow(course, "ps1", "dave") == [submitted(course, "dave").relative_to(course)]
    marks = [cell.metadata.get("nbgrader", {}) for cell in nbformat.read(submitted(course, "dave"), 4).cells]
    assert "RoundSTE" not in [one.get("grade_id") for one in marks]
    assert follow(course, "ps1") == []


@pytest.mark.parametrize("odd", ["none", {"grade_id": ["x"]}, {"grade_id": 3, "solution": True}, []])
def test_a_notebook_with_odd_marks_stops_nothing(graded, mended, tmp_path, odd):
    course = Path(shutil.copytree(mended[0], tmp_path / "course"))
    notebook = nbformat.read(graded / "release" / "ps1" / f"{STEM}.ipynb", 4)
    notebook.cells[0].metadata["nbgrader"] = odd
    for student in ("aaron", "zed"):
        submitted(course, student).parent.mkdir(parents=True)
        nbformat.write(notebook, submitted(course, student))
        notebook.cells[0].metadata.pop("nbgrader", None)
    assert submitted(course, "zed").relative_to(course) in follow(course, "ps1")


def test_old_submissions_keep_the_marks_that_still_mean_something(graded, mended):
    course, done = mended
    assert len(done.updated) == 3
    ids = [
        cell.metadata.nbgrader.grade_id
        for cell in nbformat.read(submitted(course, "bob"), 4).cells
        if "nbgrader" in cell.metadata
    ]
    assert "RoundSTE" not in ids
    assert {"RoundSTE-check", "straight_through", "straight_through-check", "ste_bias"} <= set(ids)
    assert (course / "as_handed_in" / "bob" / "ps1" / f"{STEM}.ipynb").read_bytes() == submitted(
        graded, "bob"
    ).read_bytes()


def test_what_was_there_before_is_kept(graded, mended):
    kept = mended[1].kept
    old = graded / "release" / "ps1" / f"{STEM}.ipynb"
    assert (kept / "release" / f"{STEM}.ipynb").read_bytes() == old.read_bytes()
    with open_gradebook(kept / "gradebook.db") as book:
        assert book.find_assignment("ps1").max_score == 6
        assert book.find_submission("ps1", "carol").score == 0


def test_a_release_that_nbgrader_refuses_changes_nothing(course):
    path = course / "source" / "ps1" / f"{STEM}.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells.append(nbformat.from_dict(notebook.cells[-1] | {"id": "again"}))
    marked = next(cell for cell in notebook.cells if "nbgrader" in cell.metadata)
    notebook.cells[-1].metadata["nbgrader"] = marked.metadata.nbgrader  # two cells of one name
    nbformat.write(notebook, path)
    before = {file: file.read_bytes() for file in course.rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match=r"nbgrader can release, and it says: .*Nothing has been changed"):
        release(course, "ps1")
    assert {file: file.read_bytes() for file in course.rglob("*") if file.is_file()} == before


def test_a_grader_who_has_the_gradebook_open_sees_the_new_one(course):
    with closing(sqlite3.connect(course / "gradebook.db")) as open_elsewhere:
        assign(course, "3.1,3.5", "--replace")
        release(course, "ps1", removed="drop")
        assert open_elsewhere.execute("select count(*) from grade_cells").fetchone() == (2,)


def test_points_given_while_a_release_is_made_are_not_lost(course, monkeypatch):
    from vqvae_course.assignments import release as module

    generate = module._generate

    def meanwhile(*arguments):
        generate(*arguments)
        give(course, "carol", {"ste_bias": 3})

    monkeypatch.setattr(module, "_generate", meanwhile)
    assign(course, "3.1,3.5", "--replace")
    with pytest.raises(ValueError, match="gradebook must not change meanwhile"):
        release(course, "ps1")
    assert points_of(course, "carol")["ste_bias"] == 3


def test_a_notebook_can_be_added_and_another_removed(course):
    arguments = ["assign", "--exercises", "4.3", "--only-exercises", "--out", str(course / "source" / "ps1")]
    assert main([*arguments, "--notebooks", str(ROOT / "notebooks")]) == 0
    release(course, "ps1")
    with open_gradebook(course / "gradebook.db") as book:
        assert {part.name for part in book.find_submission("ps1", "bob").notebooks} == {STEM, "04_three_losses"}
        assert book.find_submission("ps1", "bob").score == 2.5
    (course / "source" / "ps1" / f"{STEM}.ipynb").unlink()
    release(course, "ps1")
    with open_gradebook(course / "gradebook.db") as book:
        assert book.find_submission("ps1", "carol").score == 6  # all that was removed counts
        assert book.find_submission("ps1", "bob").max_score == 7


def test_a_time_to_hand_in_is_kept_in_utc_and_survives_a_second_release(mended):
    assert due_of(mended[0], "ps1") == datetime(2026, 3, 1, 22, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--assignment", "ps9"], "course must hold source/ps9 with notebooks"),
        (["--due", "tomorrow"], "due must be a time such as '2026-03-01 23:59', got 'tomorrow'"),
    ],
)
def test_what_cannot_be_released_is_said(tmp_path, capsys, arguments, message):
    assert main(["release", "--course", str(tmp_path), *arguments]) == 1
    assert message in capsys.readouterr().err
