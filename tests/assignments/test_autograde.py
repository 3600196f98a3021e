"""Grading a class: every student alone, several at a time."""

import subprocess
import threading
import time

import pytest

pytest.importorskip("nbgrader")

from vqvae_course.assignments import programs
from vqvae_course.assignments.autograde import autograde, handed_in
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
def course(tmp_path):
    for student in ("bob", "alice"):
        (tmp_path / "submitted" / student / "ps1").mkdir(parents=True)
    return tmp_path


def test_everybody_who_handed_in_is_graded(course, nbgrader, capsys):
    program = nbgrader(bob=["ERROR it broke"])
    assert handed_in(course, "ps1") == ["alice", "bob"]
    assert main(["autograde", "--course", str(course), "--assignment", "ps1", "--jobs", "1"]) == 1
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
def test_what_cannot_be_graded_is_said(course, capsys, arguments, message):
    assert main(["autograde", "--course", str(course), *arguments]) == 1
    assert message in capsys.readouterr().err
