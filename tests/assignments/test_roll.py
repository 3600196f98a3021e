"""Who handed in nothing, not everything, too late or more than once; and results as the command writes them."""

import csv
import shutil
from datetime import UTC, datetime

import nbformat
import pytest

pytest.importorskip("nbgrader")

from tests.assignments.courses import NAME, hand_in, make, put_into_gradebook
from vqvae_course.assignments.handed_in import HandedIn, as_csv, list_of
from vqvae_course.assignments.programs import open_gradebook
from vqvae_course.assignments.roll import late_ones, roll
from vqvae_course.assignments.roster import Student
from vqvae_course.cli import main

DUE = datetime(2026, 3, 1, 22, 59)  # in UTC, as nbgrader keeps it


def collected(course, *rows: tuple[str, datetime | None, bool]) -> None:
    path = list_of(course, "ps1")
    path.parent.mkdir(parents=True, exist_ok=True)
    made = [HandedIn(student, NAME, "a file", "Canvas", time, late, None, "00") for student, time, late in rows]
    path.write_bytes(as_csv(made))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a course in which two have points, one handed in what nobody could grade, and one nothing."""
    course = make(tmp_path_factory.mktemp("class") / "course")
    put_into_gradebook(course, {"alice": 10, "bob": 4})
    for student in ("alice", "bob", "carol"):
        hand_in(course, student)
    with open_gradebook(course / "gradebook.db") as book:
        book.find_assignment("ps1").duedate = DUE
        for student in ("alice", "bob"):
            book.find_grade("first-check", NAME, "ps1", student).needs_manual_grade = False
        book.db.commit()
    (course.parent / "students.csv").write_text("id,name\nalice,A\nbob,B\ncarol,C\ndave,D\n", encoding="utf-8")
    return course


@pytest.fixture
def graded(made, tmp_path):
    """Return a copy of that course, with the list of the class beside it."""
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "course"


def test_who_handed_in_nothing_is_known_from_the_list_of_the_class(graded):
    assert roll(graded, "ps1") == []
    assert roll(graded, "ps1", [Student(one) for one in ("alice", "bob", "carol", "dave")]) == [
        "MISSING  dave handed in nothing."
    ]


def test_a_notebook_that_somebody_did_not_hand_in_is_named(graded):
    nbformat.write(nbformat.v4.new_notebook(), graded / "source" / "ps1" / "04_more.ipynb")
    assert roll(graded, "ps1") == [f"MISSING  {one} handed in no 04_more." for one in ("alice", "bob", "carol")]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("2026-03-01 23:14", "15 minutes after the time to hand in"),
        ("2026-03-02 04:59", "6.0 hours after the time to hand in"),
        ("2026-03-08 22:59", "7.0 days after the time to hand in"),
        ("2026-03-01 22:58", None),
    ],
)
def test_how_late_it_was_is_known_where_names_carry_times(graded, after, said):
    collected(graded, ("bob", datetime.fromisoformat(after).replace(tzinfo=UTC), False))
    assert roll(graded, "ps1") == ([f"LATE     bob: {NAME}, {said}."] if said else [])


def test_what_a_platform_marks_as_late_is_late(graded):
    collected(graded, ("bob", None, True), ("alice", None, False))
    assert roll(graded, "ps1") == [f"LATE     bob: {NAME}, as the platform says."]
    assert late_ones(graded, "ps1") == ["bob"]


def test_the_last_of_several_hand_ins_counts(graded):
    collected(graded, ("bob", None, True), ("bob", None, False))
    assert roll(graded, "ps1") == [f"AGAIN    bob: {NAME} was handed in 2 times; the last one counts."]
    assert late_ones(graded, "ps1") == []


# --- the commands


def results(course, *arguments: str) -> int:
    return main(["results", "--course", str(course), "--assignment", "ps1", *arguments])


def test_the_report_names_those_who_are_missing(graded, capsys):
    students = str(graded.parent / "students.csv")
    main(["grade-report", "--course", str(graded), "--assignment", "ps1", "--students", students])
    assert "MISSING  dave handed in nothing." in capsys.readouterr().out


def test_results_have_a_row_for_everybody_on_the_list(graded, capsys):
    out = graded.parent / "results.csv"
    students = str(graded.parent / "students.csv")
    assert results(graded, "--students", students, "--out", str(out), "--waiting") == 0
    with out.open(encoding="utf-8-sig", newline="") as file:
        points = {row["id"]: row["points"] for row in csv.DictReader(file)}
    assert points == {"alice": "10", "bob": "4", "carol": "", "dave": ""}
    assert "2 of 4 students have points" in capsys.readouterr().out


def test_an_export_of_canvas_is_list_and_form_at_once(graded):
    exported, out = graded.parent / "canvas.csv", graded.parent / "import.csv"
    rows = [f"{one.title()},{n},s{n},{one},A," for n, one in enumerate(("alice", "bob", "carol", "dave"))]
    exported.write_text("\n".join(["Student,ID,SIS User ID,SIS Login ID,Section,Homework (7)", *rows]), "utf-8")
    before = exported.read_bytes()
    assert results(graded, "--canvas", str(exported), "--column", "Homework", "--out", str(out), "--waiting") == 0
    with out.open(encoding="utf-8-sig", newline="") as file:
        assert [row[-1] for row in csv.reader(file)] == ["Homework (7)", "10", "4", "", ""]
    assert exported.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--canvas", "students.csv", "--moodle", "students.csv"], "results must be for one platform"),
        (["--canvas", "students.csv", "--out", "students.csv"], "out must be another file than the exported one"),
        (["--canvas", "students.csv", "--out", "x.csv", "--waiting"], "one column 'ps1', and students.csv has none"),
        (["--moodle", "students.csv", "--out", "x.csv", "--waiting"], "a grading worksheet with a column 'Grade'"),
        (
            ["--students", "short.csv", "--out", "x.csv"],
            "students must hold everybody who handed in or was graded, and lacks bob, carol",
        ),
        (["--students", "none.csv"], "students must be a CSV file that can be read, got none.csv"),
        (["--assignment", "ps9"], "assignment must be one that has been released, got 'ps9'"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is(graded, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(graded.parent)
    (graded.parent / "short.csv").write_text("id\nalice\n", encoding="utf-8")
    before = {path: path.read_bytes() for path in graded.parent.glob("*.csv")}
    assert results(graded, *arguments) == 1
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in graded.parent.glob("*.csv")} == before


def test_points_that_wait_for_a_person_are_not_final(graded, capsys):
    with open_gradebook(graded / "gradebook.db") as book:
        book.find_grade("first-check", NAME, "ps1", "bob").needs_manual_grade = True
        book.db.commit()
    out = graded.parent / "results.csv"
    assert results(graded, "--out", str(out)) == 1
    assert "bob wait for you" in capsys.readouterr().err
    assert not out.exists()
    assert results(graded, "--out", str(out), "--waiting") == 0


def table_of(path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_what_was_handed_in_and_not_graded_is_no_empty_result(graded, capsys):
    collected(graded, ("carol", datetime(2026, 3, 2, 0, 59, tzinfo=UTC), True))
    out = graded.parent / "results.csv"
    assert results(graded, "--out", str(out)) == 1
    assert "carol handed in and were not graded: autograde them; --waiting" in capsys.readouterr().err
    assert not out.exists()
    assert results(graded, "--out", str(out), "--waiting") == 0
    table = table_of(out)
    assert {student: row["graded"] for student, row in table.items()} == {"alice": "yes", "bob": "yes", "carol": "no"}
    carol = table["carol"]
    assert (carol["handed_in"], carol["hours_late"], carol["late"]) == ("2026-03-02T00:59:00+00:00", "2.0", "yes")


def test_a_second_notebook_that_was_not_graded_is_not_graded(graded, capsys):
    shutil.rmtree(graded / "submitted" / "carol")
    with open_gradebook(graded / "gradebook.db") as book:
        book.add_notebook("04_more", "ps1")
        book.db.commit()
    nbformat.write(nbformat.v4.new_notebook(), graded / "submitted" / "bob" / "ps1" / "04_more.ipynb")
    assert results(graded, "--out", str(graded.parent / "results.csv")) == 1
    assert "bob handed in and were not graded" in capsys.readouterr().err


def test_a_penalty_is_subtracted_as_nbgrader_s_export_does(graded):
    with open_gradebook(graded / "gradebook.db") as book:
        for student, penalty in (("alice", 2.5), ("bob", 7)):
            book.find_submission_notebook(NAME, "ps1", student).late_submission_penalty = penalty
        book.db.commit()
        expected = {
            one.student.id: max(0.0, one.score - one.late_submission_penalty)
            for one in book.assignment_submissions("ps1")
        }
    out = graded.parent / "results.csv"
    assert results(graded, "--out", str(out), "--waiting") == 0
    table = table_of(out)
    assert {one: float(table[one]["points"]) for one in expected} == expected == {"alice": 7.5, "bob": 0}
    assert (table["alice"]["penalty"], table["alice"][NAME]) == ("2.5", "7.5")


def test_who_has_no_row_is_left_out_and_said_after_the_others_are_written(graded, capsys):
    exported, out = graded.parent / "canvas.csv", graded.parent / "import.csv"
    exported.write_text("Student,ID,SIS User ID,SIS Login ID,Section,ps1 (7)\nA,1,,alice,A,\n", "utf-8")
    assert results(graded, "--canvas", str(exported), "--out", str(out), "--waiting") == 1
    said = capsys.readouterr().out
    assert f"LEFT OUT  bob has points and no row in {exported}" in said
    assert "1 of 3 students have points" in said
    with out.open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file))[1][-1] == "10"
