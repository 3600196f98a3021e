"""What is said about submissions, before and after grading."""

import json
import time
from pathlib import Path

import pytest

pytest.importorskip("nbgrader")

import nbformat
from nbformat.v4 import new_code_cell

from tests.assignments.courses import (
    FIRST,
    IMPORTS,
    NAME,
    SECOND,
    STUBS,
    a_copy,
    an_error,
    answer,
    cell,
    graded,
    hand_in,
    notebook,
    path_of,
    put_into_gradebook,
    stripped,
    texts,
    without,
    write,
)
from vqvae_course.assignments import gradebook, looks
from vqvae_course.cli import main

OTHER = "04_other"


def before(course, student="alice"):
    return texts(looks.before_grading(course, "ps1"), student)


def after(course, student="alice"):
    return texts(looks.after_grading(course, "ps1"), student)


def noted(course, student="alice"):
    return texts(looks.notes(course, "ps1"), student)


# --- an ordinary submission


def test_right_wrong_and_untouched_answers_are_nothing_to_look_at(course):
    hand_in(course, "alice")
    hand_in(course, "bob", first="def first(x):\n    return x - 1", more=["x = 1\nprint(first(x))"])
    hand_in(course, "carol", **STUBS)
    assert looks.findings(course, "ps1") == []
    assert looks.notes(course, "ps1") == []


def test_an_unknown_assignment_is_refused(course):
    for look in (looks.findings, looks.before_grading, looks.after_grading, looks.notes):
        with pytest.raises(ValueError, match="course must hold source/ps9"):
            look(course, "ps9")


def test_one_submission_that_cannot_be_read_hides_no_other(course):
    path_of(course, "alice").parent.mkdir(parents=True)
    path_of(course, "alice").write_bytes(b"")
    path_of(course, "bob").mkdir(parents=True)
    path_of(course, "carol").parent.mkdir(parents=True)
    path_of(course, "carol").write_text("[" * 100_000, encoding="utf-8")
    hand_in(course, "dave", more=["torch.allclose = print"])
    for student, said in (("alice", "is an empty file"), ("bob", "is a folder"), ("carol", "is no notebook")):
        (text,) = before(course, student)
        assert said in text
    assert "torch.allclose" in before(course, "dave")[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no notebook that can be read"),
        ("[1]", "it has no cells"),
        ('{"nbformat": 4, "cells": [3]}', "cell 1 is broken"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": 3}]}', "cell 1 is broken"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "metadata": [], "source": ""}]}', "cell 1 is broken"),
        ('{"nbformat": 7, "cells": []}', "is in notebook format 7"),
        ('{"nbformat": "x", "cells": []}', "is in notebook format 'x'"),
    ],
)
def test_a_file_that_is_no_notebook_says_why(course, content, said):
    path_of(course, "alice").parent.mkdir(parents=True)
    path_of(course, "alice").write_text(content, encoding="utf-8")
    (text,) = before(course)
    assert said in text
    assert "ask for it again" in text


def test_a_file_that_may_not_be_read_is_said(course, monkeypatch):
    path, read = hand_in(course, "alice"), Path.read_bytes

    def forbidden(self):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    (text,) = before(course)
    assert "cannot be opened (Permission denied): make the file readable" in text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_said_and_the_notebook_judged(course, encoding):
    path = hand_in(course, "alice", more=["torch.allclose = print"])
    path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    mark, cell_of_it = before(course)
    assert encoding in mark
    assert "--repair" in mark
    assert "torch.allclose" in cell_of_it


def test_a_notebook_without_its_format_or_in_an_old_one_is_said_and_judged(course):
    path = hand_in(course, "alice", more=["torch.allclose = print"])
    found = json.loads(path.read_text(encoding="utf-8"))
    del found["nbformat"], found["nbformat_minor"], found["metadata"]
    path.write_text(json.dumps(found), encoding="utf-8")
    said, cell_of_it = before(course)
    assert "does not say in which format it is" in said
    assert "torch.allclose" in cell_of_it
    old = nbformat.convert(notebook({"first": FIRST, "second": "torch.allclose = print"}), 3)
    hand_in(course, "bob").write_text(json.dumps(old), encoding="utf-8")
    found = before(course, "bob")
    assert "is in notebook format 3" in found[0]
    assert any("torch.allclose" in text for text in found)


def test_fifty_megabytes_of_output_are_said_and_judged_quickly(course):
    def printed_much(made):
        line = "0123456789" * 10 + "\n"
        cell(made, "imports").outputs = [nbformat.v4.new_output("stream", text=[line] * 500_000)]

    path = path_of(course, "alice")
    made = notebook({"first": FIRST, "second": SECOND})
    printed_much(made)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(made), encoding="utf-8")
    begin = time.perf_counter()
    (text,) = noted(course)
    assert "MB large" in text
    assert before(course) == []
    assert time.perf_counter() - begin < 20  # checking every line of it against nbformat's schema takes minutes


# --- names of files


@pytest.mark.parametrize(
    "name", [f"{NAME} (1).ipynb", f"Copy of {NAME}.ipynb", f"{NAME}-Copy1.ipynb", f"{NAME}.ipynb.txt", "03 Small.ipynb"]
)
def test_a_renamed_notebook_is_found(course, name):
    hand_in(course, "alice", name=name)
    (text,) = before(course)
    assert f"was handed in as {name!r}" in text
    assert "--repair" in text
    assert noted(course) == []


def test_several_renamed_notebooks_are_all_named_and_a_missing_one_is_asked_for(course):
    hand_in(course, "alice", name=f"{NAME} (1).ipynb")
    hand_in(course, "alice", first=STUBS["first"], name=f"{NAME} (2).ipynb")
    (text,) = before(course)
    assert f"'{NAME} (1).ipynb', '{NAME} (2).ipynb'" in text
    path_of(course, "bob").parent.mkdir(parents=True)
    assert "was not handed in" in before(course, "bob")[0]


def test_a_copy_beside_the_notebook_is_said(course):
    hand_in(course, "alice", **STUBS)
    hand_in(course, "alice", name=f"{NAME} (1).ipynb")
    (text,) = before(course)
    assert f"'{NAME} (1).ipynb' beside a notebook of that name" in text


def test_files_that_imports_find_are_named_and_others_only_noted(course):
    folder = hand_in(course, "alice").parent
    for name in ("tools.py", "torch.py", "report.pdf", "timestamp.txt"):
        (folder / name).write_text("", encoding="utf-8")
    (course / "source" / "ps1" / "given.py").write_text("", encoding="utf-8")
    (folder / "given.py").write_text("", encoding="utf-8")
    (text,) = before(course)
    assert "(tools.py, torch.py)" in text
    assert "torch would be imported instead of a library" in text.replace("tools, ", "")
    (note,) = noted(course)
    assert "report.pdf" in note
    assert "timestamp" not in note


# --- cells and marks


def test_lost_marks_deleted_checks_and_deleted_answers_are_told_apart(course):
    hand_in(course, "alice", change=stripped)
    hand_in(course, "bob", change=without("first-check"))
    hand_in(course, "carol", change=without("first-stub"))
    hand_in(course, "dave", change=without("first-stub"), more=["first = lambda x: x + 1"])
    hand_in(course, "erin", change=without("first-stub"), more=[FIRST])
    (lost,) = before(course)
    assert "has lost nbgrader's marks on 5 of 5 cells" in lost
    (check,) = before(course, "bob")
    assert "lacks 1 of 5 cells" in check
    assert "without its check an answer gets nothing, right or wrong" in check
    (missing,) = before(course, "carol")
    assert "(first), and what they ask for stands nowhere else" in missing
    assert before(course, "dave") == []
    assert "which costs nothing" in noted(course, "dave")[0]
    assert before(course, "erin") == []
    assert "which costs nothing" in noted(course, "erin")[0]


def test_marks_that_say_something_else_are_lost_marks(course):
    def changed(made):
        cell(made, "first-check").metadata.nbgrader.grade = False

    hand_in(course, "alice", change=changed)
    assert "has lost nbgrader's marks on 1 of 5 cells" in before(course)[0]


def test_copies_are_reported(course):
    def copied(made):
        made.cells.insert(2, a_copy("first", FIRST))

    hand_in(course, "alice", change=copied)
    (text,) = before(course)
    assert "has copies of cells with nbgrader's marks (first)" in text


def test_a_stub_below_its_answer_is_reported(course):
    def twice(made):
        made.cells.insert(4, nbformat.v4.new_code_cell(STUBS["first"], id="more"))

    hand_in(course, "alice", change=twice)
    (text,) = before(course)
    assert "untouched stub of first below its answer" in text
    hand_in(course, "bob", more=[STUBS["first"]])  # below the check as well, where it is too late to matter
    assert before(course, "bob") == []


def test_cells_that_were_handed_out_never_count_whatever_their_line_ends(course):
    setup = 'import sys\n\nif "google.colab" in sys.modules:\n    %pip install -q vqvae-course'
    for step in ("source", "release"):
        path = course / step / "ps1" / f"{NAME}.ipynb"
        made = nbformat.read(path, as_version=4)
        cell(made, "imports").source = setup
        write(path, made)

    def saved_elsewhere(made):
        cell(made, "imports").source = setup.replace("\n", "  \r\n") + "\r\n"

    hand_in(course, "alice", change=saved_elsewhere)
    assert before(course) == []
    assert "ends lines as Windows does" in noted(course)[0]
    hand_in(course, "bob", more=[setup + " einops"])
    assert "%pip install" in before(course, "bob")[0]


def test_a_mark_of_ones_own_hides_no_cell(course):
    def hidden(made):
        made.cells.append(answer("mine", "torch.allclose = print"))
        made.cells[-1].metadata.nbgrader |= {"locked": True, "solution": False}

    hand_in(course, "alice", change=hidden)
    unknown, reaching = before(course)
    assert "on cells that the release does not know (mine)" in unknown
    assert "torch.allclose" in reaching


def test_a_changed_check_is_replaced_by_nbgrader_and_no_matter(course):
    def changed(made):
        cell(made, "first-check").source = "torch.allclose = print"

    hand_in(course, "alice", change=changed)
    assert before(course) == []


def other_notebook():
    """Return a second notebook of the assignment, whose cells have the same ids as those of the first."""
    made = notebook({"first": "def third(x):\n    return x", "second": "def fourth(x):\n    return 2 * x"})
    for one in made.cells:
        one.source = one.source.replace("first", "third").replace("second", "fourth")
        if "nbgrader" in one.metadata:
            one.metadata.nbgrader.grade_id = f"other-{one.metadata.nbgrader.grade_id}"
    return made


@pytest.fixture
def two(course):
    """Return a course with a second notebook."""
    for step in ("source", "release"):
        write(course / step / "ps1" / f"{OTHER}.ipynb", other_notebook())
    return course


def test_a_notebook_under_the_name_of_another_is_said_and_nothing_else_of_it(two):
    def under_other_names(student, change=lambda made: None):
        changed = other_notebook()
        change(changed)
        write(path_of(two, student), changed)
        hand_in(two, student, change=change, name=f"{OTHER}.ipynb")

    under_other_names("alice")
    under_other_names("bob", stripped)
    for student in ("alice", "bob"):
        first, second = before(two, student)
        assert f"holds the cells of {OTHER}: was it renamed? Give the files their right names in" in first
        assert f"holds the cells of {NAME}: was it renamed?" in second
        assert noted(two, student) == []
    hand_in(two, "carol", name=f"{OTHER}.ipynb")  # the other one was not handed in
    (text,) = before(two, "carol")
    assert f"holds the cells of {NAME}" in text
    graded(two, "alice", an_error("NameError", "name 'x' is not defined"))
    assert after(two, "alice") == []


def test_a_notebook_that_holds_its_own_cells_and_more_is_not_foreign(two):
    def more(made):
        pasted = other_notebook().cells
        for one in pasted:
            one.id = f"pasted-{one.id}"
        made.cells += pasted

    hand_in(two, "alice", change=more)
    write(path_of(two, "alice", name=f"{OTHER}.ipynb"), other_notebook())
    hand_in(two, "bob", change=without("first-stub", "first-check", "second-stub", "second-check"))
    write(path_of(two, "bob", name=f"{OTHER}.ipynb"), other_notebook())
    assert not any("holds the cells of" in text for text in [*before(two), *before(two, "bob")])


def put_at(place, text, kind=nbformat.v4.new_markdown_cell):
    return lambda made: made.cells.insert(place, kind(text, id="mine"))


@pytest.mark.parametrize("place", [9, 10])
def test_text_beside_an_unanswered_question_is_said(course, place):
    hand_in(course, "alice", change=put_at(place, "# Because\n\nthe loss pulls them."))
    (text,) = before(course)
    assert "has text beside the unanswered question why, which gets 0" in text


def test_an_answer_within_the_cell_of_the_question_is_said(course):
    def below_the_question(made):
        cell(made, "why-question").source += "\n\nThe loss pulls them."

    hand_in(course, "alice", change=below_the_question)
    assert "beside the unanswered question why" in before(course)[0]


@pytest.mark.parametrize(
    "change",
    [put_at(10, "To do"), put_at(8, "Notes on the second exercise"), put_at(10, "print(1, 2, 3)", new_code_cell)],
)
def test_other_cells_near_an_unanswered_question_are_no_answer(course, change):
    hand_in(course, "alice", change=change)
    assert before(course) == []


def test_text_beside_an_answered_question_is_no_matter(course):
    hand_in(course, "alice", written="Because the loss pulls.", change=put_at(10, "And it pulls for ever."))
    assert before(course) == []


def mended(course, *ids):
    """Keep a release without some cells, as if they had been added later."""
    earlier = notebook(STUBS)
    without(*ids)(earlier)
    cell(earlier, "title").source = "# Small, as it was"
    return write(course / "kept" / "ps1-2026-01-30-20-30-10-000001" / "release" / f"{NAME}.ipynb", earlier)


def test_what_an_earlier_release_had_not_is_only_noted(course):
    mended(course, "second-stub", "second-check")
    hand_in(course, "alice", change=without("second-stub", "second-check"))
    assert before(course) == []
    (note,) = noted(course)
    assert "was made from an earlier release, which had no second, second-check; nobody has points for it" in note
    hand_in(course, "bob")
    assert before(course, "bob") == noted(course, "bob") == []


def test_what_an_earlier_release_had_is_missing(course):
    mended(course, "second-stub", "second-check")
    hand_in(course, "alice", change=without("first-check"))
    hand_in(course, "bob", change=without("first-check", "second-stub", "second-check"))
    assert "lacks 1 of 5 cells" in before(course)[0]
    assert "lacks 2 of 5 cells" in before(course, "bob")[0]
    assert not any("earlier release" in text for text in [*noted(course), *noted(course, "bob")])


def test_the_text_of_an_earlier_release_is_no_answer_of_the_students(course):
    path = mended(course)
    earlier = nbformat.read(path, as_version=4)
    cell(earlier, "why-question").source = "**In your own words** Why on earth?"
    write(path, earlier)
    write(path_of(course, "alice"), earlier)
    assert before(course) == []


def test_what_was_handed_out_to_another_student_is_said_with_the_name(course):
    for student, number in (("alice", 3), ("bob", 4), ("carol", 4)):
        handed_out = notebook(STUBS)
        handed_out.cells.append(new_code_cell(f"exec('GIVEN = {number}')", id="given"))
        write(course / "handout" / "ps1" / student / f"{NAME}.ipynb", handed_out)
        hand_in(course, student, more=["exec('GIVEN = 4')"])
    (text,) = before(course)
    assert "holds what was handed out to bob or carol and not to alice (cell 11)" in text
    assert before(course, "bob") == before(course, "carol") == []
    hand_in(course, "alice", more=["exec('GIVEN = 5')"])
    assert "exec" in before(course)[0]


# --- syntax


def test_a_syntax_error_is_an_ordinary_wrong_answer(course):
    broken = "def first(x):\n    return x +"
    hand_in(course, "alice", first=broken)
    graded(course, "alice", an_error("NameError", "name 'first' is not defined"))
    assert looks.findings(course, "ps1") == []
    (note,) = noted(course)
    assert "has a syntax error in the answer to first, line 2" in note


def test_a_syntax_error_that_takes_another_answer_along_is_reported(course):
    hand_in(course, "alice", first=f"def first(x):\n    return x +\n\n\n{SECOND}", change=without("second-stub"))
    (text,) = [text for text in before(course) if "syntax" in text]
    assert "in a cell that also answers second" in text
    assert not any("stands nowhere else" in text for text in before(course))


# --- after grading


def test_nothing_is_said_of_grading_before_it_begins(course, capsys):
    hand_in(course, "alice")
    hand_in(course, "bob", change=stripped)
    assert after(course) == []
    assert main(["grade-report", "--course", str(course)]) == 1
    printed = capsys.readouterr().out
    assert "Nothing was graded yet" in printed
    assert "LOOK  bob: 03_small has lost nbgrader's marks" in printed
    hand_in(course, "bob")
    assert main(["grade-report", "--course", str(course)]) == 0


def test_who_was_not_graded_is_reported(course):
    hand_in(course, "alice")
    hand_in(course, "bob")
    graded(course, "alice")
    assert after(course) == []
    (text,) = after(course, "bob")
    assert "has not been autograded: `vqvae-course autograde --course" in text
    assert "--students bob` says why" in text
    put_into_gradebook(course, {"bob": 4})  # nbgrader has dropped the file, since another notebook failed
    (text,) = after(course, "bob")
    assert "has 4 of 10 points in the gradebook and no graded file" in text
    assert "has not been autograded" not in text


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (an_error("ModuleNotFoundError", "No module named 'torch'"), "could not import something when it was graded"),
        ({"output_type": "stream", "name": "stderr", "text": "warning"}, "printed a warning in first-check"),
        (an_error("NameError", "name 'check' is not defined"), "ended first-check in NameError"),
        (an_error("Tampered", "checks.check"), "ended first-check in Tampered"),
    ],
)
def test_a_check_that_could_not_judge_is_reported(course, output, said):
    hand_in(course, "alice")
    graded(course, "alice", output)
    (text,) = after(course)
    assert said in text
    assert "scored" not in text


def test_a_check_that_failed_is_not_reported_and_one_not_reached_is(course):
    hand_in(course, "alice")
    path = graded(course, "alice", an_error("CheckFailed", "not yet"))
    assert after(course) == []
    graded(course, "alice", an_error("CheckFailed", "f: not yet. The numbers are not those handed out to alice."))
    (text,) = after(course)
    assert "failed in first-check: f: not yet. The numbers are not those handed out to alice. Ask" in text
    graded(course, "alice", an_error("CheckFailed", "not yet"))
    made = nbformat.read(path, as_version=4)
    cell(made, "second-check").execution_count = None
    write(path, made)
    assert "1 of 2 checks have not been reached" in after(course)[0]


def test_a_score_is_said_as_the_gradebook_has_it_or_not_at_all(course):
    hand_in(course, "alice", change=stripped)
    hand_in(course, "bob", change=stripped)
    assert "scored" not in before(course)[0]
    graded(course, "alice")
    put_into_gradebook(course, {"alice": 10, "bob": 0})
    assert "It scored 10 of 10 points." in before(course)[0]
    assert "scored" not in before(course, "bob")[0]  # bob was not graded, whatever the gradebook holds
    assert [(one.student, one.points, one.possible) for one in gradebook.scores(course, "ps1")] == [
        ("alice", 10, 10),
        ("bob", 0, 10),
    ]


def test_a_gradebook_that_is_none_is_refused_and_hides_no_finding(course):
    hand_in(course, "alice", change=stripped)
    (course / "gradebook.db").write_text("no database", encoding="utf-8")
    assert len(before(course)) == 1
    with pytest.raises(ValueError, match="must be a gradebook"):
        gradebook.scores(course, "ps1")


def test_a_broken_source_is_the_instructors_to_mend_and_a_missing_release_is_no_matter(course):
    hand_in(course, "alice", first=IMPORTS)
    (course / "release" / "ps1" / f"{NAME}.ipynb").unlink()
    assert before(course) == []
    (course / "source" / "ps1" / f"{NAME}.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="source must hold notebooks that can be read"):
        before(course)


def test_every_text_is_a_sentence_with_something_to_do(course):
    hand_in(course, "alice", change=stripped, more=["torch.allclose = print", STUBS["first"]])
    hand_in(course, "bob", name=f"{NAME} (1).ipynb")
    hand_in(course, "carol", change=without("first-check", "second-stub"))
    found = [*looks.findings(course, "ps1"), *looks.notes(course, "ps1")]
    assert len(found) >= 5
    assert all(one.text.endswith(".") and ".." not in one.text.replace("...", "") for one in found)
