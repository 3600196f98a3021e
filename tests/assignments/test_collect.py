"""Collecting loses nobody: everything is judged first, and written whole or not at all."""

import csv
import io
import json
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import pytest

from vqvae_course.assignments import collect
from vqvae_course.assignments.collect import carry_out, handed_in, plan
from vqvae_course.assignments.roster import Student
from vqvae_course.cli.collect import main

VQ, ST = "02_vector_quantization", "03_straight_through"


def notebook(text="") -> bytes:
    return json.dumps({"cells": [{"cell_type": "markdown", "source": text}], "nbformat": 4}).encode()


@pytest.fixture
def course(tmp_path) -> Path:
    """Return a course whose assignment ps1 has two notebooks, and nothing handed in."""
    folder = tmp_path / "course"
    for name in (VQ, ST):
        path = folder / "release" / "ps1" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(notebook())
    return folder


def archive(course: Path, files: dict[str, bytes], name: str = "submissions.zip") -> Path:
    """Write a download where collecting looks for it."""
    path = course / "downloaded" / "ps1" / "archive" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w") as zipped:
        for each, data in files.items():
            zipped.writestr(each, data)
    return path


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return file.getvalue()


def planned(course: Path, **options):
    return plan(course, "ps1", zone=UTC, **options)


def collected(course: Path, **options):
    made = planned(course, **options)
    assert made.errors == []
    carry_out(made)
    return made


def submitted(course: Path) -> dict[str, bytes]:
    """Return the notebooks of all students: STUDENT/NOTEBOOK and their bytes."""
    found = (course / "submitted").glob("*/ps1/*.ipynb")
    return {f"{path.parent.parent.name}/{path.stem}": path.read_bytes() for path in found}


def everything(course: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in course.rglob("*") if path.is_file()}


def attempt(student: str, name: str = VQ, time: str = "2026-01-30-20-30-10") -> str:
    return f"ps1_{student}_attempt_{time}_{name}.ipynb"


# --- nobody is lost


def test_every_student_of_every_platform_gets_a_folder_of_their_own(course):
    logins = ("jan_de_vries", "piet_de_vries", "a.smith", "marie-claire", "josé")
    people = [
        f"{name}_{number}_assignsubmission_file/{VQ}.ipynb"
        for name, number in (("Jan de Vries", 1), ("Jan de Vries", 2))
    ]
    people += [f"devriesjan_{number}_99_{VQ}.ipynb" for number in (11, 12)]
    people += [
        f"5-6 - Anne O'Neil - Jan 30, 2026 830 PM/{VQ}.ipynb",
        f"ps1-octo-cat/{VQ}.ipynb",
        f"plain/ps1/{VQ}.ipynb",
    ]
    archive(course, {name: notebook(name) for name in [*map(attempt, logins), *people]})
    made = collected(course)
    expected = {*logins, "Jan_de_Vries-1", "Jan_de_Vries-2", "devriesjan-11", "devriesjan-12", "Anne_O_Neil-5"}
    assert {path.partition("/")[0] for path in submitted(course)} == expected | {"octo-cat", "plain"}
    assert submitted(course)[f"jan_de_vries/{VQ}"] == notebook(attempt("jan_de_vries"))
    assert made.left_out == []


def test_students_who_hand_in_the_same_bytes_are_as_many(course):
    archive(course, {attempt(name): notebook() for name in ("alice", "bob")})
    collected(course)
    assert set(submitted(course)) == {f"alice/{VQ}", f"bob/{VQ}"}


def test_zips_that_are_named_after_students_are_students_and_folders_inside_are_not(course):
    archive(course, {f"{VQ}.ipynb": notebook("a")}, "alice.zip")
    archive(course, {f"{VQ}.ipynb": notebook("b")}, "bob.zip")
    archive(course, {f"carl/{VQ}.ipynb": notebook("c")}, "carl.zip")
    collected(course)
    assert set(submitted(course)) == {f"alice/{VQ}", f"bob/{VQ}", f"carl/{VQ}"}
    for name in ("dora", "emil"):
        archive(course, {f"homework/{VQ}.ipynb": notebook()}, f"{name}.zip")
    errors = planned(course).errors
    assert [error.partition(" holds")[0] for error in errors[:2]] == ["dora.zip", "emil.zip"]
    assert "Put the zip into a folder named after the student" in errors[0]
    for name in ("dora", "emil"):
        path = course / "downloaded" / "ps1" / "archive" / f"{name}.zip"
        path.parent.joinpath(name).mkdir()
        path.rename(path.parent / name / path.name)
    collected(course)
    assert {f"dora/{VQ}", f"emil/{VQ}"} < set(submitted(course))


def test_folders_single_notebooks_and_zips_in_zips_are_taken_too(course, tmp_path):
    folder = tmp_path / "folder"
    (folder / "alice").mkdir(parents=True)
    (folder / "alice" / f"{VQ} (1).ipynb").write_bytes(notebook("a"))
    single = tmp_path / attempt("bob")
    single.write_bytes(notebook("b"))
    inner = archive(
        course,
        {"smithanna_12_34_all.zip": zipped({f"x/{VQ}.ipynb": notebook("c"), f"{ST}-Copy1.ipynb": notebook("d")})},
    )
    collected(course, archives=[folder, single, inner])
    assert submitted(course) == {
        f"alice/{VQ}": notebook("a"),
        f"bob/{VQ}": notebook("b"),
        f"smithanna-12/{VQ}": notebook("c"),
        f"smithanna-12/{ST}": notebook("d"),
    }


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_in_either_form_are_one_student(course, form):
    archive(course, {unicodedata.normalize(form, f"José/{VQ}.ipynb"): notebook()}, "one.zip")
    archive(
        course, {unicodedata.normalize("NFC", f"José/{ST}.ipynb"): notebook(), f"b/{ST}.ipynb": notebook()}, "two.zip"
    )
    archive(course, {f"b/{VQ}.ipynb": notebook()}, "b.zip")
    (course / "downloaded/ps1/archive/one.zip").rename(course / "downloaded/ps1/archive/José.zip")
    collected(course)
    assert set(submitted(course)) == {f"{student}/{name}" for student in ("José", "b") for name in (VQ, ST)}


def test_names_that_one_file_system_takes_for_one_are_an_error(course):
    archive(course, {attempt("alice"): notebook(), attempt("Alice", ST): notebook("b")})
    assert "Alice and alice differ in capitals alone" in planned(course).errors[0]
    archive(course, {attempt("alice"): notebook()})
    (course / "submitted" / "ALICE").mkdir(parents=True)
    assert "ALICE and alice differ in capitals alone" in planned(course).errors[0]


@pytest.mark.parametrize("name", ["..", "nul", "com1", ".hidden", "a*"])
def test_a_student_who_cannot_be_a_folder_is_an_error(course, name):
    archive(course, {attempt(name): notebook(), attempt("alice"): notebook()})
    made = planned(course)
    assert len(made.errors) == 1
    assert "id must be a name for a folder" in made.errors[0]


def test_two_people_whom_the_roster_takes_for_one_are_an_error(course):
    archive(course, {f"devriesjan_{number}_9_{VQ}.ipynb": notebook() for number in (11, 12)})
    errors = planned(course, roster=[Student("jan", "Jan de Vries")]).errors
    assert "devriesjan 11 and devriesjan 12 of Canvas are both read as jan" in errors[0]
    twins = [Student("jan", "Jan de Vries", canvas="11"), Student("jan2", "Jan de Vries", canvas="12")]
    collected(course, roster=twins)
    assert set(submitted(course)) == {f"jan/{VQ}", f"jan2/{VQ}"}


def test_folders_of_one_name_in_two_zips_may_be_of_two_students(course):
    for name in ("dora", "emil"):
        archive(course, {f"week{n}/{VQ}.ipynb": notebook() for n in (1, 2)}, f"{name}.zip")
    errors = planned(course).errors
    assert len(errors) == 2
    assert "week1 is a folder in dora.zip and emil.zip, perhaps of different students" in errors[0]
    collected(course, roster=[Student("week1"), Student("week2")])


def test_a_beginning_that_all_logins_share_may_belong_to_the_title(course):
    archive(course, {attempt(f"codes_{name}"): notebook() for name in ("alice", "jan_de_vries")})
    assert "pass --title ps1_codes" in planned(course).warnings[0]
    assert planned(course, title="ps1_codes").warnings == []
    collected(course, title="ps1_codes")
    assert set(submitted(course)) == {f"alice/{VQ}", f"jan_de_vries/{VQ}"}


# --- one error, and nothing is written


def test_after_an_error_nothing_is_written_and_all_errors_are_said(course, capsys):
    archive(
        course,
        {
            attempt("alice"): notebook("a"),
            "nobody.ipynb": notebook(),
            attempt("bob", "Untitled"): notebook(),
            "../x.ipynb": notebook(),
            "ps2_c_d_attempt_2026-01-30-20-30-10_02_vector_quantization.ipynb": notebook(),
        },
    )
    before = everything(course)
    assert main(["--course", str(course)]) == 1
    assert everything(course) == before
    printed = capsys.readouterr().out
    for said in ("nobody.ipynb: nobody.ipynb must say whose", "bob handed in no notebook", "leads out", "--title"):
        assert said in printed
    assert printed.count("ERROR  ") == 4
    assert "Nothing was written. Mend" in printed
    with pytest.raises(ValueError, match="a plan must have no errors"):
        carry_out(planned(course))


def test_a_student_who_is_not_on_the_roster_is_an_error(course):
    archive(course, {attempt("alice"): notebook(), attempt("mallory"): notebook()})
    errors = planned(course, roster=[Student("alice")]).errors
    assert len(errors) == 1
    assert "mallory (Blackboard) is not on the roster" in errors[0]


def test_an_empty_download_or_none_is_an_error(course):
    assert "there is no" in planned(course).errors[0]
    archive(course, {"index.html": b""})
    assert planned(course).errors == ["archive must hold what was handed in, and there is no notebook in it"]


def test_an_unknown_assignment_is_an_error(course):
    for name, message in (("ps9", "must hold release/ps9"), ("../ps1", "assignment must be a name for a folder")):
        with pytest.raises(ValueError, match=message):
            plan(course, name)


def test_what_changes_between_judging_and_writing_is_not_written(course):
    archive(course, {attempt("alice"): notebook("a")})
    made = planned(course)
    archive(course, {attempt("alice"): notebook("b")})
    with pytest.raises(ValueError, match="must stay as it is while it is collected"):
        carry_out(made)
    assert submitted(course) == {}


# --- several files for one notebook


def test_copies_of_one_file_are_one_handed_in_the_first_time(course):
    archive(course, {attempt("alice", time=f"2026-01-{day}-10-00-00"): notebook() for day in (31, 30)})
    made = collected(course)
    assert made.left_out == []
    assert [row.time for row in handed_in(course, "ps1")] == [datetime(2026, 1, 30, 10, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (attempt("x", time="2026-01-30-10-00-00"), attempt("x", time="2026-01-30-10-00-01")),
        (f"x_1_2_{VQ}.ipynb", f"x_1_3_{VQ}-1.ipynb"),
        (f"x_1_2_{VQ}-9.ipynb", f"x_1_3_{VQ}-10.ipynb"),
        (f"1-2 - x - Jan 9, 2026 830 PM/{VQ}.ipynb", f"1-2 - x - Jan 30, 2026 830 AM/{VQ}.ipynb"),
    ],
)
def test_of_different_files_the_newest_is_taken_if_told_to(course, older, newer):
    archive(course, {newer: notebook("new"), older: notebook("old"), attempt("y"): notebook()})
    errors = planned(course).errors
    assert len(errors) == 1
    assert "was handed in as different files" in errors[0]
    assert "--latest" in errors[0]
    made = collected(course, latest=True)
    assert notebook("new") in submitted(course).values()
    assert notebook("old") not in submitted(course).values()
    assert len(made.left_out) == 1
    assert made.left_out[0].endswith(f"submissions.zip/{newer} is newer than submissions.zip/{older}")
    rows = [row.file for row in handed_in(course, "ps1") if row.student != "y"]
    assert rows == [f"submissions.zip/{older}", f"submissions.zip/{newer}"]


def test_who_goes_back_to_an_older_version_has_handed_that_in_last(course):
    files = {attempt("x", time=f"2026-01-0{day}-10-00-00"): notebook(text) for day, text in enumerate("aba", 1)}
    archive(course, files)
    collected(course, latest=True)
    assert submitted(course) == {f"x/{VQ}": notebook("a")}


@pytest.mark.parametrize(
    "names",
    [
        (f"x/{VQ}.ipynb", f"x/{VQ} (1).ipynb"),
        (f"x_1_2_{VQ}.ipynb", f"x_1_2_{VQ} (1).ipynb"),
        (attempt("x"), attempt("x", f"{VQ}_final")),
    ],
)
def test_where_no_name_says_which_is_newest_nothing_is_guessed(course, names):
    archive(course, {name: notebook(name) for name in names} | {f"y/{VQ}.ipynb": notebook()})
    assert any("no name says which is newest" in error for error in planned(course, latest=True).errors)


# --- what has been collected before


def test_collecting_twice_changes_nothing(course):
    archive(course, {attempt("alice"): notebook("a"), attempt("bob"): notebook("b")})
    collected(course)
    before = everything(course)
    made = collected(course)
    assert {one.state for one in made.chosen} == {"same"}
    assert everything(course) == before


def test_another_file_is_an_error_until_told_to_replace_and_the_old_one_is_kept(course):
    archive(course, {attempt("alice"): notebook("old")})
    collected(course)
    archive(course, {attempt("alice", time="2026-02-01-10-00-00"): notebook("new")})
    assert "pass --replace to take it" in planned(course).errors[0]
    collected(course, replace=True)
    assert submitted(course) == {f"alice/{VQ}": notebook("new")}
    kept = sorted((course / "as_handed_in" / "alice" / "ps1").iterdir())
    assert [path.suffix for path in kept] == [".ipynb", ".txt"]
    assert kept[0].read_bytes() == notebook("old")
    assert kept[0].name.startswith(f"{VQ}-20")
    assert [row.sha256[:4] for row in handed_in(course, "ps1")] == [sha(notebook("old"))[:4], sha(notebook("new"))[:4]]
    archive(course, {attempt("alice"): notebook("old")})
    collected(course, replace=True)
    assert submitted(course) == {f"alice/{VQ}": notebook("old")}
    assert handed_in(course, "ps1")[-1].sha256 == sha(notebook("old"))
    assert len(list((course / "as_handed_in" / "alice" / "ps1").glob("*.ipynb"))) == 2


def sha(data: bytes) -> str:
    return collect.hashlib.sha256(data).hexdigest()


def test_a_notebook_that_was_repaired_since_stays_repaired(course):
    archive(course, {attempt("alice"): notebook("marks lost")})
    collected(course)
    path = course / "submitted" / "alice" / "ps1" / f"{VQ}.ipynb"
    path.write_bytes(notebook("marks given back"))
    (path.parent / "timestamp.txt").write_text("2026-01-01 00:00:00 UTC", encoding="utf-8")
    collected(course)
    assert path.read_bytes() == notebook("marks given back")
    assert (path.parent / "timestamp.txt").read_text(encoding="utf-8") == "2026-01-01 00:00:00 UTC"


def test_what_repairing_kept_survives_a_replacement_and_the_next_repair(course):
    archive(course, {attempt("alice"): notebook("first")})
    collected(course)
    path = course / "submitted" / "alice" / "ps1" / f"{VQ}.ipynb"
    kept = course / "as_handed_in" / "alice" / "ps1" / f"{VQ}.ipynb"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(path.read_bytes())
    path.write_bytes(notebook("repaired"))
    archive(course, {attempt("alice"): notebook("second")})
    collected(course, replace=True)
    versions = {each.read_bytes() for each in kept.parent.glob(f"{VQ}-*.ipynb")}
    assert versions == {notebook("first"), notebook("repaired")}


def test_the_same_bytes_a_second_time_are_not_late(course):
    archive(course, {attempt("alice", time="2026-01-30-10-00-00"): notebook()})
    collected(course)
    archive(course, {attempt("alice", time="2026-02-28-10-00-00"): notebook()})
    collected(course)
    assert [row.time.month for row in handed_in(course, "ps1")] == [2, 1]
    stamp = course / "submitted" / "alice" / "ps1" / "timestamp.txt"
    assert stamp.read_text(encoding="utf-8") == "2026-01-30 10:00:00 UTC\n"


def test_a_second_download_adds_to_the_first(course):
    archive(course, {attempt("alice"): notebook("a")})
    collected(course)
    archive(course, {attempt("alice", ST, "2026-01-31-10-00-00"): notebook("b"), attempt("bob"): notebook("c")})
    made = collected(course)
    assert set(submitted(course)) == {f"alice/{VQ}", f"alice/{ST}", f"bob/{VQ}"}
    assert made.missing == [f"bob did not hand in {ST}"]
    assert {(row.student, row.notebook) for row in handed_in(course, "ps1")} == {
        ("alice", VQ),
        ("alice", ST),
        ("bob", VQ),
    }
    stamp = course / "submitted" / "alice" / "ps1" / "timestamp.txt"
    assert stamp.read_text(encoding="utf-8") == "2026-01-31 10:00:00 UTC\n"


# --- what is no notebook, or hardly


def test_what_is_no_notebook_stays_where_it_is_and_is_said(course):
    files = {f"alice/{VQ}.ipynb": notebook(), f"alice/{ST}.ipynb": notebook()}
    others = {"alice/tools.py": b"", "alice/Untitled.ipynb": b"", "index.html": b"", "x.pdf": b""}
    archive(course, files | others | {f"bob/{VQ}.ipynb": notebook(), f"carl/{VQ}.ipynb": notebook()})
    made = collected(course)
    assert made.left_out == [
        "submissions.zip/x.pdf is not a notebook, and nobody's by its name: left where it is",
        "alice: submissions.zip/alice/tools.py, submissions.zip/alice/Untitled.ipynb not collected, left where it is",
    ]
    assert set(submitted(course)) == {f"alice/{VQ}", f"alice/{ST}", f"bob/{VQ}", f"carl/{VQ}"}


@pytest.mark.parametrize("file", ["homework.pdf", "work.rar", "homework.ipynb"])
def test_who_hands_in_no_notebook_at_all_is_an_error(course, file):
    archive(course, {f"alice/{file}": b"x", f"bob/{VQ}.ipynb": notebook()})
    (error,) = planned(course).errors
    assert error.startswith(f"alice handed in no notebook (submissions.zip/alice/{file}: ")


def test_a_notebook_of_another_name_may_be_the_one_that_is_missing(course):
    archive(course, {f"alice/{VQ}.ipynb": notebook(), "alice/mine.ipynb": notebook(), f"bob/{VQ}.ipynb": notebook()})
    (error,) = planned(course).errors
    assert error.startswith("alice: submissions.zip/alice/mine.ipynb may be one that is missing: mine.ipynb is none of")


def test_blackboard_s_note_about_an_attempt_is_nothing_left_out_and_yet_a_student(course):
    note = "ps1_{}_attempt_2026-01-30-20-30-10.txt"
    archive(course, {attempt("alice"): notebook(), note.format("alice"): b"Name: Alice"})
    assert collected(course).left_out == []
    archive(course, {attempt("alice"): notebook(), note.format("bob"): b"Name: Bob"})
    assert planned(course).errors[0].startswith("bob handed in no notebook")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xef\xbb\xbf" + notebook(), "begins with a byte order mark"),
        (notebook()[:20], "is no notebook inside"),
        (b"%PDF-1.7 \xff", "is no notebook inside"),
        (b"[]", "is no notebook inside"),
        (b"[" * 100_000, "is no notebook inside"),
        (json.dumps({}).encode("utf-16"), "is no notebook inside"),
    ],
)
def test_broken_notebooks_are_collected_as_they_are_with_a_warning(course, data, said):
    archive(course, {attempt("alice"): data})
    made = collected(course)
    assert made.warnings == [f"alice: {VQ} {said} (submissions.zip/{attempt('alice')})"]
    assert submitted(course) == {f"alice/{VQ}": data}


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_is_no_notebook(course, tmp_path):
    folder = tmp_path / "folder"
    (folder / "alice").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(notebook("secret"))
    (folder / "alice" / f"{VQ}.ipynb").symlink_to(tmp_path / "secret")
    (error,) = planned(course, archives=[folder]).errors
    assert "a link, which is not followed" in error


# --- what is written down


def test_the_list_says_what_names_say_and_comes_back(course):
    archive(course, {f"o,'x\"_LATE_12_34_{VQ}-2.ipynb": notebook("a"), attempt("bob"): notebook("b")})
    collected(course)
    with (course / "collected" / "ps1.csv").open(encoding="utf-8", newline="") as file:
        late, bob = sorted(csv.DictReader(file), key=lambda row: row["system"], reverse=True)
    assert list(bob) == ["student", "notebook", "file", "system", "time", "late", "attempt", "sha256"]
    assert (bob["student"], bob["time"], bob["late"], bob["attempt"]) == ("bob", "2026-01-30T20:30:10+00:00", "", "")
    assert (late["system"], late["time"], late["late"], late["attempt"]) == ("Canvas", "", "yes", "2")
    rows = handed_in(course, "ps1")
    assert [(row.student, row.late, row.attempt) for row in rows] == [("bob", False, None), ("o_x-12", True, 2)]
    assert rows[0].sha256 == sha(notebook("b"))
    assert handed_in(course, "ps2") == []


def test_a_list_that_somebody_changed_is_refused(course):
    archive(course, {attempt("alice"): notebook()})
    collected(course)
    path = course / "collected" / "ps1.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",", ";"), encoding="utf-8")
    with pytest.raises(ValueError, match="must be as it was written"):
        planned(course)


def test_times_are_those_of_the_platform_and_nbgrader_reads_them(course):
    archive(course, {attempt("alice", time="2026-07-30-20-30-10"): notebook()})
    carry_out(plan(course, "ps1", zone=ZoneInfo("Europe/Amsterdam")))
    text = (course / "submitted" / "alice" / "ps1" / "timestamp.txt").read_text(encoding="utf-8")
    assert text == "2026-07-30 18:30:10 UTC\n"
    utils = pytest.importorskip("nbgrader.utils")
    assert utils.parse_utc(text.strip()) == datetime(2026, 7, 30, 18, 30, 10)


@pytest.mark.parametrize("zones", [("UTC", "Europe/Amsterdam"), ("Europe/Amsterdam", "UTC")])
def test_a_wrong_time_zone_is_mended_by_collecting_again(course, zones):
    archive(course, {attempt("alice", time="2026-07-30-20-30-10"): notebook()})
    for zone in zones:
        carry_out(plan(course, "ps1", zone=ZoneInfo(zone)))
    right = datetime(2026, 7, 30, 20, 30, 10, tzinfo=ZoneInfo(zones[-1])).astimezone(UTC)
    assert [row.time for row in handed_in(course, "ps1")] == [right]
    text = (course / "submitted" / "alice" / "ps1" / "timestamp.txt").read_text(encoding="utf-8")
    assert text == f"{right:%Y-%m-%d %H:%M:%S} UTC\n"


def test_where_no_name_holds_a_time_there_is_no_timestamp(course):
    archive(course, {f"alice/{VQ}.ipynb": notebook(), f"bob/{VQ}.ipynb": notebook()})
    collected(course)
    assert not list(course.rglob("timestamp.txt"))


def test_with_a_roster_who_handed_in_nothing_is_said(course):
    archive(course, {attempt("alice"): notebook(), attempt("bob"): notebook(), attempt("bob", ST): notebook()})
    made = collected(course, roster=[Student("carl"), Student("alice"), Student("bob")])
    assert made.missing == [f"alice did not hand in {ST}", "carl handed in nothing"]


def test_a_class_of_two_hundred_is_collected(course):
    files = {
        f"Jan de Vries_{n}_assignsubmission_file/{name}.ipynb": notebook(f"{n}{name}")
        for n in range(1000, 1200)
        for name in (VQ, ST)
    }
    archive(course, files)
    roster = [Student(f"s{n}", "Jan de Vries", moodle=str(n)) for n in range(1000, 1200)]
    made = collected(course, roster=roster)
    assert made.missing == []
    assert submitted(course) == {f"s{n}/{name}": notebook(f"{n}{name}") for n in range(1000, 1200) for name in (VQ, ST)}


# --- the command


def test_the_command_says_who_handed_in_what_and_what_to_run_next(course, tmp_path, capsys):
    archive(course, {attempt("alice"): notebook(), f"devriesjan_LATE_11_2_{VQ}.ipynb": notebook("b")})
    students = tmp_path / "students.csv"
    students.write_text("id,canvas_id\nalice,\njan,11\ncarl,\n", encoding="utf-8")
    arguments = ["--course", str(course), "--students", str(students), "--timezone", "UTC"]
    assert main([*arguments, "--dry-run"]) == 0
    assert "because of --dry-run" in capsys.readouterr().out
    assert submitted(course) == {}
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"alice: {VQ} (Blackboard, 2026-01-30 20:30 UTC)",
        f"jan: {VQ} (Canvas, late)",
        f"MISSING  alice did not hand in {ST}",
        "MISSING  carl handed in nothing",
        f"MISSING  jan did not hand in {ST}",
        "2 notebooks of 2 students, 0 warnings, 0 left out, 0 errors.",
        f"Next: vqvae-course autograde --course {course} --assignment ps1",
    ]
    assert set(submitted(course)) == {f"alice/{VQ}", f"jan/{VQ}"}


def test_the_status_is_0_if_only_spare_files_were_left_out(course, capsys):
    spare = {"notes.pdf": b"", attempt("alice", f"{VQ}-checkpoint"): notebook("older")}
    archive(course, {attempt("alice"): notebook(), attempt("bob"): notebook()} | spare)
    assert main(["--course", str(course)]) == 0
    said = capsys.readouterr().out
    assert "LEFT OUT  submissions.zip/notes.pdf" in said
    assert "-checkpoint.ipynb is an autosave of Jupyter's and no hand-in" in said
    assert set(submitted(course)) == {f"alice/{VQ}", f"bob/{VQ}"}
    archive(course, {attempt("alice"): notebook(), attempt("bob", ST, "2026-02-01-10-00-00"): notebook("new")})
    archive(course, {attempt("bob", ST): notebook("old")}, "more.zip")
    assert main(["--course", str(course), "--latest"]) == 0
    assert "LEFT OUT  bob" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["Untitled.ipynb", "Untitled-checkpoint.ipynb"])
def test_the_status_is_1_if_a_notebook_was_left_out(course, capsys, file):
    notebooks = {f"alice/{name}.ipynb": notebook() for name in (VQ, ST)}
    archive(course, notebooks | {f"alice/{file}": notebook("more"), f"bob/{VQ}.ipynb": notebook()})
    assert main(["--course", str(course)]) == 1
    assert file in capsys.readouterr().out


# --- who is who


@pytest.mark.parametrize("ending", ["-checkpoint.ipynb", "-checkpoint (1).ipynb", "-Checkpoint.ipynb.txt"])
def test_an_autosave_is_no_hand_in(course, ending):
    archive(course, {f"alice/{VQ}.ipynb": notebook(), f"alice/{ST}{ending}": notebook("x"), "bob/x.pdf": b""})
    errors = planned(course).errors
    assert len(errors) == 1
    assert errors[0].startswith("bob handed in no notebook")
    archive(course, {f"alice/{VQ}.ipynb": notebook(), f"alice/{VQ}{ending}": notebook("x"), f"bob/{VQ}.ipynb": b"{}"})
    made = collected(course, roster=[Student("alice"), Student("bob")])
    assert submitted(course)[f"alice/{VQ}"] == notebook()
    assert made.left_out == [
        f"alice: submissions.zip/alice/{VQ}{ending} is an autosave of Jupyter's and no hand-in",
    ]
    assert made.unread == []


def test_who_hands_in_an_autosave_alone_is_not_lost(course):
    archive(course, {f"alice/{VQ}-checkpoint.ipynb": notebook(), f"bob/{VQ}.ipynb": notebook()})
    (error,) = planned(course).errors
    assert error.startswith("alice handed in no notebook")
    archive(course, {f"bob/{ST}-checkpoint.ipynb": notebook(), f"bob/{VQ}.ipynb": notebook(), f"c/{VQ}.ipynb": b"{}"})
    made = collected(course)
    assert f"bob/{ST}" not in submitted(course)
    assert made.unread == [f"submissions.zip/bob/{ST}-checkpoint.ipynb"]


def test_a_file_of_one_student_in_the_folder_of_another_is_an_error(course):
    roster = [Student("alice", "Alice Jansen"), Student("jan", "Jan de Vries", canvas="11")]
    for folder in ("alice", "Alice Jansen", "week/alice"):
        for file in (f"devriesjan_11_22_{VQ}.ipynb", attempt("jan")):
            archive(course, {f"{folder}/{file}": notebook()})
            (error,) = planned(course, roster=roster).errors
            assert "it lies in the folder of alice, and its own name says jan" in error
    for folder in ("jan", "ps1", "downloads"):
        archive(course, {f"{folder}/{attempt('jan')}": notebook()})
        assert planned(course, roster=roster).errors == []


def test_an_id_that_changed_between_two_downloads_is_said(course):
    archive(course, {f"devriesjan_11_22_{VQ}.ipynb": notebook("mine"), attempt("bob"): notebook("b")})
    collected(course)
    made = collected(course, roster=[Student("jan", "Jan de Vries", canvas="11"), Student("bob")])
    (warning,) = made.warnings
    assert warning.startswith(f"jan: {VQ} is what was collected before as that of devriesjan-11, who is not in this")
    assert str(course / "submitted" / "devriesjan-11") in warning
    assert planned(course, roster=[Student("jan", "Jan de Vries", canvas="11"), Student("bob")]).warnings == []


def test_no_warning_where_the_other_one_s_folder_is_gone_or_the_other_is_there(course):
    archive(course, {attempt("old"): notebook("same"), attempt("bob"): notebook("b")})
    collected(course)
    archive(course, {attempt("old"): notebook("same"), attempt("new"): notebook("same")})
    assert planned(course).warnings == []
    archive(course, {attempt("new"): notebook("same"), attempt("bob"): notebook("b")})
    assert len(planned(course).warnings) == 1
    (course / "submitted" / "old").rename(course / "away")
    assert planned(course).warnings == []


def test_replacing_says_to_grade_again(course, capsys):
    archive(course, {attempt("alice"): notebook("old")})
    assert main(["--course", str(course)]) == 0
    archive(course, {attempt("alice", time="2026-02-01-10-00-00"): notebook("new")})
    assert main(["--course", str(course), "--replace"]) == 0
    assert "Autograde again, with --force, if they have been graded: alice" in capsys.readouterr().out


def test_several_archives_and_a_title_can_be_named(course, tmp_path):
    names = [f"Problem set_1_{name}_attempt_2026-01-30-20-30-10_{VQ}.ipynb" for name in ("jan_de_vries", "bob")]
    for name in names:
        (tmp_path / name).write_bytes(notebook())
    paths = [str(tmp_path / name) for name in names]
    assert main(["--course", str(course), "--archive", *paths, "--title", "Problem set_1"]) == 0
    assert set(submitted(course)) == {f"jan_de_vries/{VQ}", f"bob/{VQ}"}


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe", "../x", "x" * 300])
def test_an_unknown_time_zone_is_refused(course, name):
    with pytest.raises(ValueError, match="timezone must be one such as Europe/Amsterdam"):
        main(["--course", str(course), "--timezone", name])
