"""Grading a class: every student alone, several at a time."""

import subprocess
import threading
import time

import nbformat
import pytest

pytest.importorskip("nbgrader")

from tests.assignments.courses import NAME, graded, hand_in, put_into_gradebook
from vqvae_course.assignments import programs
from vqvae_course.assignments.autograde import autograde, handed_in
from vqvae_course.assignments.programs import open_gradebook
from vqvae_course.cli import main


class Nbgrader:
    """Stands for the program: notes what was asked, and how many ran at once."""

    def __init__(self, answers):
        self.answers, self.asked, self.running, self.most = answers, [], 0, 0
        self.lock = threading.Lock()

    def __call__(self, command, **_):
        student = command[command.index("--student") + 1]
        with self.lock:
            self.asked.append((student, "--force" in command))
            self.running += 1
            self.most = max(self.most, self.running)
            answers = self.answers.get(student, [""])
            said = answers.pop(0) if len(answers) > 1 else answers[0]
        time.sleep(0.02)
        with self.lock:
            self.running -= 1
        return subprocess.CompletedProcess(command, int(bool(said)), stdout="", stderr=said)


@pytest.fixture
def nbgrader(monkeypatch):
    def standing_for(**answers):
        program = Nbgrader(answers)
        monkeypatch.setattr(programs.subprocess, "run", program)
        return program

    return standing_for


def test_one_submission_that_cannot_be_graded_stops_no_other(nbgrader, tmp_path):
    program = nbgrader(bob=["[AutogradeApp | ERROR] There was an error processing bob"])
    done = {one.student: one.problem for one in autograde(tmp_path, "ps1", ["alice", "bob", "carol"], 1, force=True)}
    assert done == {"alice": "", "bob": "[AutogradeApp | ERROR] There was an error processing bob", "carol": ""}
    assert {force for _, force in program.asked} == {True}


def test_as_many_run_at_once_as_was_asked(nbgrader, tmp_path):
    program = nbgrader()
    assert len(list(autograde(tmp_path, "ps1", [f"s{n}" for n in range(8)], 2, force=False))) == 8
    assert program.most == 2


def test_a_gradebook_that_another_process_writes_to_is_tried_again(nbgrader, tmp_path):
    program = nbgrader(alice=["sqlite3.OperationalError: database is locked", ""])
    (done,) = autograde(tmp_path, "ps1", ["alice"], 1, force=False)
    assert done.problem == ""
    assert len(program.asked) == 2


def test_what_cannot_be_graded_takes_no_other_notebook_with_it(nbgrader, tmp_path):
    folder = tmp_path / "submitted" / "bob" / "ps1"
    folder.mkdir(parents=True)
    for name in ("02_x", "03_y"):
        (folder / f"{name}.ipynb").write_text("{}", encoding="utf-8")
    program = nbgrader(bob=["Traceback\nNotJSONError: it broke\nERROR see above", "", "NotJSONError: it broke"])
    (done,) = autograde(tmp_path, "ps1", ["bob"], 1, force=False)
    assert done.problem == "03_y: NotJSONError: it broke"
    assert len(program.asked) == 3


def test_an_end_without_a_word_is_still_a_problem(nbgrader, tmp_path):
    nbgrader(alice=["Killed"])
    (done,) = autograde(tmp_path, "ps1", ["alice"], 1, force=False)
    assert done.problem == "Killed"


@pytest.fixture
def given(course, monkeypatch):
    """Return a course in which somebody gave points by hand, and a stand-in for nbgrader that changes what it likes."""
    put_into_gradebook(course, {"alice": 0, "bob": 0})
    for student in ("alice", "bob"):
        hand_in(course, student)
        graded(course, student)
    enter(course, "alice", manual_score=3.0, needs_manual_grade=False)
    enter(course, "bob", auto_score=None)

    def grading(change):
        def run(command, **_):
            change(command[command.index("--student") + 1])
            return subprocess.CompletedProcess(command, 0, stdout="", stderr="")

        monkeypatch.setattr(programs.subprocess, "run", run)

    return course, grading


def enter(course, student: str, **facts) -> None:
    with open_gradebook(course / "gradebook.db") as book:
        grade = book.find_grade("first-check", NAME, "ps1", student)
        for name, value in facts.items():
            setattr(grade, name, value)
        book.db.commit()


def grade_of(course, student: str) -> tuple:
    with open_gradebook(course / "gradebook.db") as book:
        grade = book.find_grade("first-check", NAME, "ps1", student)
        return grade.auto_score, grade.manual_score, grade.needs_manual_grade


@pytest.mark.parametrize(("points", "again"), [(0.0, False), (5.0, True)])
def test_points_given_by_hand_need_a_second_look_only_where_something_changed(given, points, again):
    course, grading = given
    grading(lambda student: enter(course, student, auto_score=points, needs_manual_grade=True))
    list(autograde(course, "ps1", ["alice"], 1, force=True))
    assert grade_of(course, "alice") == (points, 3.0, again)


def test_another_answer_needs_a_second_look(given):
    course, grading = given

    def change(student):
        enter(course, student, needs_manual_grade=True)
        path = course / "autograded" / student / "ps1" / f"{NAME}.ipynb"
        path.write_text(path.read_text(encoding="utf-8").replace('check(\\"first', 'print(); check(\\"first'), "utf-8")

    grading(change)
    list(autograde(course, "ps1", ["alice"], 1, force=True))
    assert grade_of(course, "alice") == (0.0, 3.0, True)


def test_a_cell_that_a_notebook_does_not_have_waits_for_nobody(given):
    course, grading = given
    path = course / "autograded" / "bob" / "ps1" / f"{NAME}.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells = [cell for cell in notebook.cells if cell.id != "first-check"]
    nbformat.write(notebook, path)
    grading(lambda student: None)
    list(autograde(course, "ps1", ["bob"], 1, force=True))
    assert grade_of(course, "bob") == (0.0, None, False)


def test_a_submission_that_writes_into_the_gradebook_is_noticed(given, capsys):
    course, grading = given
    grading(lambda student: enter(course, "alice", manual_score=10.0))
    assert main(["autograde", "--course", str(course), "--assignment", "ps1", "--students", "bob"]) == 1
    said = capsys.readouterr().out
    assert f"CHANGED  ps1/alice/{NAME}/first-check: 3.0 became 10.0 while this ran." in said


@pytest.fixture
def folders(tmp_path):
    for student in ("bob", "alice"):
        (tmp_path / "submitted" / student / "ps1").mkdir(parents=True)
    return tmp_path


def test_everybody_who_handed_in_is_graded(folders, nbgrader, capsys):
    program = nbgrader(bob=["ERROR it broke"])
    assert handed_in(folders, "ps1") == ["alice", "bob"]
    assert main(["autograde", "--course", str(folders), "--assignment", "ps1", "--jobs", "1"]) == 1
    said = capsys.readouterr().out
    assert [student for student, _ in program.asked] == ["alice", "bob"]
    assert "2 of 2  bob: ERROR it broke" in said
    assert "2 submissions" in said
    assert "1 of them could not be graded" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--assignment", "ps2"], "course must hold submitted/STUDENT/ps2"),
        (
            ["--assignment", "ps1", "--students", "alice,zoe"],
            "students must have handed in ps1, and these have not: zoe",
        ),
        (["--assignment", "ps1", "--jobs", "-1"], "jobs must be 0 or more, got -1"),
    ],
)
def test_what_cannot_be_graded_is_said(folders, capsys, arguments, message):
    assert main(["autograde", "--course", str(folders), *arguments]) == 1
    assert message in capsys.readouterr().err
