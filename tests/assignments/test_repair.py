"""What is mended in submissions, what is kept, and what is left alone."""

import json
import os

import pytest

pytest.importorskip("nbgrader")

import nbformat

from tests.assignments.courses import (
    FIRST,
    NAME,
    SECOND,
    STUBS,
    a_check,
    a_copy,
    answer,
    cell,
    hand_in,
    notebook,
    path_of,
    stripped,
    texts,
    without,
    write,
)
from vqvae_course.assignments import looks, repair
from vqvae_course.assignments.repair import carry_out, plan_repair
from vqvae_course.assignments.submission import grade_id_of, read
from vqvae_course.cli import main


def mend(course):
    """Repair all, and return what was done and what cannot be."""
    changes = plan_repair(course, "ps1")
    done, failed = carry_out(course, changes)
    assert failed == []
    return done, [change for change in changes if change.content is None]


def grade_ids(path) -> list[str]:
    return [name for name in map(grade_id_of, read(path).cells) if name]


ALL = ["first", "first-check", "second", "second-check", "why"]


def without_ids(made):
    stripped(made)
    for one in made.cells:
        one.pop("id", None)
    made.nbformat_minor = 4


def ids_in_the_metadata(made):
    for one in made.cells:
        one.metadata = {"id": one.pop("id")}
    made.nbformat_minor = 0


@pytest.mark.parametrize("change", [stripped, ids_in_the_metadata, without_ids])
def test_lost_marks_come_back(course, change):
    path = hand_in(course, "alice", written="Because.", change=change)
    (done,) = mend(course)[0]
    assert done.text == "has its marks back on 5 cells."
    assert grade_ids(path) == ALL
    assert looks.findings(course, "ps1") == []


def test_without_ids_an_answer_is_known_by_its_function_also_where_its_syntax_is_broken(course):
    path = hand_in(course, "alice", first="a = 1\n\ndef first(y):\n    return y +", change=without_ids)
    mend(course)
    assert grade_ids(path) == ALL


def test_a_repair_changes_nothing_else(course):
    def with_more(made):
        stripped(made)
        cell(made, "imports").outputs = [nbformat.v4.new_output("stream", text="é\n")]
        made.metadata = {"widgets": {"x": [1, 2]}}

    path = hand_in(course, "alice", change=with_more)
    before = json.loads(path.read_text(encoding="utf-8"))
    mend(course)
    after = json.loads(path.read_text(encoding="utf-8"))
    for one in after["cells"]:
        one["metadata"].pop("nbgrader", None)
    assert after == before


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_taken_off(course, encoding):
    path = hand_in(course, "alice")
    text = path.read_text(encoding="utf-8")
    path.write_text(text, encoding=encoding)
    mend(course)
    assert json.loads(path.read_bytes().decode("utf-8")) == json.loads(text)
    assert looks.findings(course, "ps1") == []


def test_line_ends_and_a_lost_format_are_mended(course):
    path = hand_in(course, "alice")
    found = json.loads(path.read_text(encoding="utf-8"))
    del found["nbformat"], found["metadata"]
    found["cells"][1]["source"] = ["import math\r\n", "import torch\r\n"]
    path.write_text(json.dumps(found), encoding="utf-8")
    mend(course)
    made = nbformat.read(path, as_version=4)
    nbformat.validate(made)
    assert made.cells[1].source == "import math\nimport torch\n"


def test_marks_are_taken_off_the_copy_and_the_cell_in_place_keeps_them(course):
    def copied(made):
        made.cells.insert(2, a_copy("first", "def first(x):\n    return x"))

    path = hand_in(course, "alice", change=copied)
    (done,) = mend(course)[0]
    assert done.text == "has lost them on 1 copies."
    marked = {one.id: grade_id_of(one) for one in read(path).cells}
    assert marked["copy"] == ""
    assert marked["first-stub"] == "first"


def test_a_copy_that_holds_the_answer_keeps_its_marks_and_the_stub_loses_them(course):
    def below(made):
        made.cells.insert(4, a_copy("first", FIRST))

    path = hand_in(course, "alice", first=STUBS["first"], change=below)
    mend(course)
    marked = {one.id: grade_id_of(one) for one in read(path).cells}
    assert marked["copy"] == "first"
    assert marked["first-stub"] == ""
    assert looks.findings(course, "ps1") == []


def test_a_stub_that_wins_over_its_answer_cannot_be_repaired_and_is_said(course):
    def above(made):
        made.cells.insert(2, a_copy("first", FIRST))

    hand_in(course, "alice", first=STUBS["first"], change=above)
    (cannot,) = mend(course)[1]
    assert "untouched stub of first below its answer" in cannot.text
    assert "untouched stub" in texts(looks.findings(course, "ps1"), "alice")[0]


def test_a_deleted_check_comes_back_behind_its_answer_and_a_deleted_answer_does_not(course):
    path = hand_in(course, "alice", change=without("first-check", "second-stub"))
    done, cannot = mend(course)
    assert done[0].text == "has 1 deleted checks back."
    assert grade_ids(path) == ["first", "first-check", "second-check", "why"]
    assert "lacks second, which stands nowhere else" in cannot[0].text


def test_a_renamed_notebook_is_copied_to_its_name_and_mended_on_the_way(course):
    other = hand_in(course, "alice", change=stripped, name=f"{NAME} (1).ipynb")
    before = other.read_bytes()
    (done,) = mend(course)[0]
    assert done.text == f"is copied from '{NAME} (1).ipynb' and has its marks back on 5 cells."
    assert grade_ids(path_of(course, "alice")) == ALL
    assert other.read_bytes() == before


def test_a_renamed_notebook_without_damage_is_copied_byte_for_byte(course):
    other = hand_in(course, "alice", name=f"Copy of {NAME}.ipynb")
    mend(course)
    assert path_of(course, "alice").read_bytes() == other.read_bytes()


def test_two_candidates_are_left_to_a_person(course):
    hand_in(course, "alice", name=f"{NAME} (1).ipynb")
    hand_in(course, "alice", first=STUBS["first"], name=f"{NAME} (2).ipynb")
    done, cannot = mend(course)
    assert done == []
    assert "2 files that may be meant" in cannot[0].text


def test_each_file_is_judged_by_itself(course):
    for student, content in (("alice", b""), ("bob", b"{"), ("carol", b"\xff\xfe\xff")):
        path_of(course, student).parent.mkdir(parents=True)
        path_of(course, student).write_bytes(content)
    path_of(course, "dave").mkdir(parents=True)
    path_of(course, "erin").parent.mkdir(parents=True)
    old = nbformat.convert(notebook({"first": FIRST, "second": SECOND}), 3)
    hand_in(course, "frank").write_text(json.dumps(old), encoding="utf-8")
    path = hand_in(course, "zoe", change=stripped)
    done, cannot = mend(course)
    assert [one.student for one in done] == ["zoe"]
    assert [one.student for one in cannot] == ["alice", "bob", "carol", "dave", "erin", "frank"]
    assert all(one.text.startswith("cannot be repaired: it ") for one in cannot)
    assert grade_ids(path) == ALL


def test_a_notebook_under_the_name_of_another_is_left_alone(course):
    other = notebook({"first": "def third(x):\n    return x", "second": "def fourth(x):\n    return x"})
    for one in other.cells:
        one.source = one.source.replace("first", "third").replace("second", "fourth")
        if "nbgrader" in one.metadata:
            one.metadata.nbgrader.grade_id = f"other-{one.metadata.nbgrader.grade_id}"
    for step in ("source", "release"):
        write(course / step / "ps1" / "04_other.ipynb", other)
    path = hand_in(course, "alice", change=stripped, name="04_other.ipynb")
    before = path.read_bytes()
    done, cannot = mend(course)
    assert done == []
    assert path.read_bytes() == before
    assert not path_of(course, "alice").exists()
    assert "was handed in as 04_other.ipynb: give the files their right names" in cannot[0].text
    assert "holds the cells of 03_small: give the files their right names" in cannot[1].text


def test_marks_that_the_release_does_not_know_are_taken_off_and_the_cell_stays(course):
    def of_an_older_release(made):
        made.cells.insert(5, answer("removed", "def removed(x):\n    return x"))
        made.cells.insert(6, a_check("removed"))

    path = hand_in(course, "alice", change=of_an_older_release)
    assert "does not know (removed, removed-check)" in texts(looks.findings(course, "ps1"), "alice")[0]
    (done,) = mend(course)[0]
    assert done.text == "has lost marks that the release does not know on 2 cells."
    assert grade_ids(path) == ALL
    assert "def removed(x):\n    return x" in [one.source for one in read(path).cells]
    assert looks.findings(course, "ps1") == []


def test_checks_that_were_added_after_a_notebook_was_handed_out_are_not_put_into_it(course):
    earlier = notebook(STUBS)
    without("second-stub", "second-check")(earlier)
    write(course / "kept" / "ps1-2026-01-30-20-30-10-000001" / "release" / f"{NAME}.ipynb", earlier)
    hand_in(course, "alice", change=without("second-stub", "second-check"))
    assert mend(course) == ([], [])
    bob = hand_in(course, "bob", change=without("second-check"))
    assert [one.text for one in mend(course)[0]] == ["has 1 deleted checks back."]
    assert grade_ids(bob) == ALL


def test_a_missing_release_stops_only_what_needs_it(course):
    (course / "release" / "ps1" / f"{NAME}.ipynb").unlink()
    path = hand_in(course, "alice", change=stripped)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    done, cannot = mend(course)
    assert "plain UTF-8" in done[0].text
    assert "generate the assignment" in cannot[0].text


def test_what_was_handed_in_is_kept_once_and_never_overwritten(course):
    path = hand_in(course, "alice", change=stripped)
    first = path.read_bytes()
    kept = course / "as_handed_in" / "alice" / "ps1"
    mend(course)
    assert (kept / path.name).read_bytes() == first
    hand_in(course, "alice", first=STUBS["first"], change=stripped)  # handed in once more
    second = path.read_bytes()
    mend(course)
    assert (kept / path.name).read_bytes() == first
    assert (kept / f"{NAME}.2.ipynb").read_bytes() == second


def test_repairing_twice_changes_nothing(course):
    hand_in(course, "alice", change=stripped)
    hand_in(course, "bob", change=without("first-check"))
    hand_in(course, "carol", name=f"{NAME} (1).ipynb")
    mend(course)
    files = {path: path.read_bytes() for path in course.rglob("*") if path.is_file()}
    assert mend(course)[0] == []
    assert {path: path.read_bytes() for path in course.rglob("*") if path.is_file()} == files


def test_a_sound_submission_is_not_written(course):
    path = hand_in(course, "alice")
    os.utime(path, (1, 1))
    assert mend(course) == ([], [])
    assert path.stat().st_mtime == 1
    assert not (course / "as_handed_in").exists()


def test_a_plan_changes_nothing_and_an_interrupted_repair_is_finished_the_next_time(course, monkeypatch):
    paths = [hand_in(course, student, change=stripped) for student in ("alice", "bob")]
    originals = [path.read_bytes() for path in paths]
    changes = plan_repair(course, "ps1")
    assert [path.read_bytes() for path in paths] == originals
    write, calls = repair.whole_file, []

    def stops_at_the_fourth(path):
        calls.append(path)
        if len(calls) == 4:  # bob's is kept, and not repaired yet
            raise KeyboardInterrupt
        return write(path)

    with monkeypatch.context() as patch:
        patch.setattr(repair, "whole_file", stops_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            carry_out(course, changes)
    assert grade_ids(paths[0]) == ALL
    assert paths[1].read_bytes() == originals[1]
    assert [one.student for one in mend(course)[0]] == ["bob"]
    kept = sorted(path for path in (course / "as_handed_in").rglob("*.ipynb"))
    assert [path.read_bytes() for path in kept] == originals


def test_a_file_that_cannot_be_written_stops_no_other(course, monkeypatch):
    hand_in(course, "alice", change=stripped)
    bob = hand_in(course, "bob", change=stripped)
    write = repair.whole_file

    def forbidden(path):
        if "alice" in path.parts:
            raise PermissionError(13, "Permission denied")
        return write(path)

    monkeypatch.setattr(repair, "whole_file", forbidden)
    done, failed = carry_out(course, plan_repair(course, "ps1"))
    assert [one.student for one in failed] == ["alice"]
    assert [one.student for one in done] == ["bob"]
    assert grade_ids(bob) == ALL


def test_the_command_says_what_it_will_do_and_what_it_did(course, capsys):
    hand_in(course, "alice", change=stripped)
    hand_in(course, "bob").write_text("", encoding="utf-8")
    arguments = ["grade-report", "--course", str(course), "--repair"]
    assert main(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    said = "  alice: 03_small has its marks back on 5 cells."
    assert lines.index("To be repaired:") < lines.index(said) < lines.index(said, lines.index(said) + 1)
    assert any(line.startswith("CANNOT  bob: 03_small cannot be repaired: it is an empty file") for line in lines)
    assert any("--assignment ps1 --force" in line for line in lines)
    main(arguments)
    assert "Nothing can be repaired." in capsys.readouterr().out
