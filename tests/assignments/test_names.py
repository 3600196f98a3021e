"""Whose a file is, by its name, on each platform."""

import unicodedata
from datetime import UTC, datetime
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

import pytest

from vqvae_course.assignments.names import is_autosave, read_name, read_notebook, read_owner, shown

VQ, ST = "02_vector_quantization", "03_straight_through"
NOTEBOOKS = (VQ, ST)
JANUARY = datetime(2026, 1, 30, 20, 30, 10, tzinfo=UTC)
MINUTE = JANUARY.replace(second=0)


def read(path, assignment="ps1", **options):
    return read_name(PurePosixPath(path), assignment, NOTEBOOKS, **{"zone": UTC} | options)


# (path, system, student, number)
NAMES = [
    *(
        (f"ps1_{login}_attempt_2026-01-30-20-30-10_{VQ}.ipynb", "Blackboard", login, None)
        for login in (
            *("alice", "jan_de_vries", "piet_de_vries", "a.smith", "marie-claire", "s1234567", "o'brien", "josé"),
            *("x_attempt_y", "jan_1_2", "12_345"),
        )
    ),
    *(
        (f"{name}_12345_67890_{VQ}.ipynb", "Canvas", name, "12345")
        for name in ("devriesjan", "smithanna", "obriensean", "müllerjörg", "marie-claire", "smith2john")
    ),
    ("devriesjan_LATE_12345_67890_02_vector_quantization.ipynb", "Canvas", "devriesjan", "12345"),
    ("devriesjan_12345_67890_my homework.zip/notebooks/02_vector_quantization.ipynb", "Canvas", "devriesjan", "12345"),
    *(
        (f"{name}_123456_assignsubmission_file{join}{VQ}.ipynb", "Moodle", name, "123456")
        for name in (
            "Jan de Vries",
            "Anne-Marie O'Neil",
            "José Núñez",
            "a_b c_d",
            "李 小龙",
            "Participant",
            "J. R. 2nd",
        )
        for join in ("/", "_/", "_")
    ),
    ("Jan de Vries_7_assignsubmission_file/code/ps1/02_vector_quantization.ipynb", "Moodle", "Jan de Vries", "7"),
    *(
        (f"12345-67890 - {name} - Jan 30, 2026 830 PM{join}{VQ}.ipynb", "Brightspace", name, "12345")
        for name in ("Jan de Vries", "Anne-Marie O'Neil", "José - Núñez", "J_R")
        for join in ("/", " - ")
    ),
    *(
        (f"{around}ps1-{login}/{inside}{VQ}.ipynb", "GitHub Classroom", login, None)
        for login in ("alice", "marie-claire", "a1-2")
        for around in ("", "ps1-submissions/", "ps1-01-30-2026-08-30-10/")
        for inside in ("", "notebooks/")
    ),
    *(
        (f"{student}/{inside}{VQ}.ipynb", "folder", student, None)
        for student in ("alice", "jan_de_vries", "a.smith", "marie-claire", "José", "2024", "Jan de Vries", "..")
        for inside in ("", "ps1/", "PS1/")
    ),
    ("ps1/alice/02_vector_quantization.ipynb", "folder", "alice", None),
    ("alice.zip/02_vector_quantization.ipynb", "folder", "alice", None),
    ("alice/homework.zip/a/b/02_vector_quantization.ipynb", "folder", "alice", None),
]


@pytest.mark.parametrize(("path", "system", "student", "number"), NAMES, ids=[name[0] for name in NAMES])
def test_each_platform_is_read(path, system, student, number):
    named = read(path)
    assert (named.system, named.student, named.number, named.notebook) == (system, student, number, VQ)


def test_two_surnames_alike_are_two_students():
    paths = [f"ps1_{login}_attempt_2026-01-30-20-30-10_{VQ}.ipynb" for login in ("jan_de_vries", "piet_de_vries")]
    assert {read(path).student for path in paths} == {"jan_de_vries", "piet_de_vries"}


@pytest.mark.parametrize("title", ["Problem Set 1", "ps_1", "PS1: quantization_and_more"])
def test_a_title_of_the_platform_s_own_may_have_underscores_and_spaces(title):
    path = f"{title}_jan_de_vries_attempt_2026-01-30-20-30-10_{VQ}.ipynb"
    assert read(path, title=title).student == "jan_de_vries"
    assert read(path, assignment=title).student == "jan_de_vries"
    with pytest.raises(ValueError, match="pass what stands before the student's login as --title"):
        read(path)


def test_one_underscore_leaves_no_doubt_about_the_title():
    assert read(f"Problem Set 1_alice_attempt_2026-01-30-20-30-10_{VQ}.ipynb").student == "alice"


def test_a_title_with_numbers_is_not_taken_for_canvas():
    path = f"hw_1_2_alice_attempt_2026-01-30-20-30-10_{VQ}.ipynb"
    assert read(path, title="hw_1_2").student == "alice"


def test_a_title_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="--title"):
        read(f"ps1_alice_attempt_2026-01-30-20-30-10_{VQ}.ipynb", title="ps2")


@pytest.mark.parametrize(
    "path",
    [
        f"devriesjan_12345_67890_ps1_alice_attempt_2026-01-30-20-30-10_{VQ}.ipynb",
        f"devriesjan_12345_67890_x.zip/alice_1_assignsubmission_file/{VQ}.ipynb",
        f"devriesjan_12345_67890_x.zip/smithanna_22_33_{VQ}.ipynb",
    ],
)
def test_what_a_student_writes_into_a_name_makes_nobody_else_of_the_student(path):
    assert read_owner(PurePosixPath(path), "ps1").student == "devriesjan"


def test_composed_and_decomposed_accents_are_one_name():
    forms = [unicodedata.normalize(form, f"José Núñez_12_assignsubmission_file/{VQ}.ipynb") for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    assert {read(form).student for form in forms} == {"José Núñez"}


@pytest.mark.parametrize(
    ("path", "time"),
    [
        (f"ps1_alice_attempt_2026-01-30-20-30-10_{VQ}.ipynb", JANUARY),
        (f"1-2 - Jan de Vries - Jan 30, 2026 830 PM/{VQ}.ipynb", MINUTE),
        (f"1-2 - Jan de Vries - January 30, 2026 8:30 PM/{VQ}.ipynb", MINUTE),
        (f"1-2 - Jan de Vries - Jan 30, 2026 2030/{VQ}.ipynb", MINUTE),
        (f"1-2 - Jan de Vries - Jan 30, 2026 1230 AM/{VQ}.ipynb", MINUTE.replace(hour=0)),
        (f"1-2 - Jan de Vries - Jan 30, 2026 1230 PM/{VQ}.ipynb", MINUTE.replace(hour=12)),
        (f"devriesjan_12345_67890_{VQ}.ipynb", None),
        (f"alice/{VQ}.ipynb", None),
    ],
)
def test_the_time_in_a_name_is_read(path, time):
    assert read(path).time == time


def test_the_time_in_a_name_is_of_the_platform_s_time_zone():
    named = read(f"ps1_alice_attempt_2026-07-30-20-30-10_{VQ}.ipynb", zone=ZoneInfo("Europe/Amsterdam"))
    assert named.time == datetime(2026, 7, 30, 18, 30, 10, tzinfo=UTC)


def test_without_a_time_zone_it_is_this_machine_s():
    named = read(f"ps1_alice_attempt_2026-07-30-20-30-10_{VQ}.ipynb", zone=None)
    assert named.time == datetime(2026, 7, 30, 20, 30, 10).astimezone()


@pytest.mark.parametrize(
    "path",
    [
        f"ps1_alice_attempt_2026-02-30-20-30-10_{VQ}.ipynb",
        f"1-2 - Jan - Foo 30, 2026 830 PM/{VQ}.ipynb",
        f"1-2 - Jan - Jan 30, 2026 1330 PM/{VQ}.ipynb",
    ],
)
def test_a_time_that_does_not_exist_is_refused(path):
    with pytest.raises(ValueError, match="must hold a time"):
        read(path)


@pytest.mark.parametrize(("year", "zone"), [("0001", "Asia/Tokyo"), ("9999", "America/New_York")])
def test_a_time_at_the_end_of_all_times_is_refused(year, zone):
    day = "01-01-00-00-00" if year == "0001" else "12-31-23-59-59"
    with pytest.raises(ValueError, match="must hold a time"):
        read(f"ps1_alice_attempt_{year}-{day}_{VQ}.ipynb", zone=ZoneInfo(zone))


def test_canvas_says_who_is_late_and_which_attempt_it_is():
    late = read(f"devriesjan_LATE_12345_67890_{VQ}-2.ipynb")
    assert (late.late, late.attempt, late.notebook) == (True, 2, VQ)
    plain = read(f"devriesjan_12345_67890_{VQ}.ipynb")
    assert (plain.late, plain.attempt) == (False, None)
    assert read(f"devriesjan_12345_67890_work-3.zip/{VQ}-1.ipynb").attempt == 3


def test_elsewhere_a_number_behind_a_name_is_no_attempt():
    assert read(f"alice/{VQ}-1.ipynb").attempt is None


@pytest.mark.parametrize(
    "file",
    [
        *("{}.ipynb", "{}.IPYNB", "{}.ipynb.txt", "{}.ipynb.json", "{}.ipynb (1).txt", "{} (1).ipynb", "{}(2).ipynb"),
        *("{}-Copy1.ipynb", "{}-Copy2-Copy1.ipynb", "{} - Copy.ipynb", "{} - Copy (2).ipynb", "{} copy 3.ipynb"),
        *("Copy of {}.ipynb", "Copy of Copy of {}.ipynb", "Kopie van {}.ipynb", "{}-1.ipynb", "{}-1 (1).ipynb"),
        *("{}_final.ipynb", "{} final version.ipynb", "{}_jan.ipynb.txt"),
    ],
)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_names_changed_by_browsers_and_students_are_read(file, name):
    assert read_notebook(file.format(name), NOTEBOOKS)[0] == name
    assert read_notebook(file.format(name.replace("_", "-").title()), NOTEBOOKS)[0] == name


@pytest.mark.parametrize("file", ["Untitled.ipynb", "02.ipynb", "homework_02_vector_quantization.ipynb", ".ipynb"])
def test_a_notebook_of_another_name_is_refused_and_the_names_are_said(file):
    with pytest.raises(ValueError, match=r"expected 02_vector_quantization.ipynb or 03_straight_through.ipynb"):
        read_notebook(file, NOTEBOOKS)


def test_a_beginning_that_two_notebooks_share_is_refused():
    with pytest.raises(ValueError, match="may be several"):
        read_notebook("02_x_y_final.ipynb", ["02_x", "02_x_y"])
    assert read_notebook("02_x_y.ipynb", ["02_x", "02_x_y"]) == ("02_x_y", None)
    assert read_notebook("ex1_final.ipynb", ["ex1", "ex10"]) == ("ex1", None)


def test_a_released_notebook_may_end_in_a_number():
    assert read_notebook("lab-1.ipynb", ["lab-1", "lab-2"]) == ("lab-1", None)
    assert read_notebook("lab-1-1.ipynb", ["lab-1", "lab-2"]) == ("lab-1", 1)


@pytest.mark.parametrize("file", ["{}-checkpoint.ipynb", "{}-checkpoint (2).ipynb", "{}-checkpoint-Copy1.ipynb"])
def test_an_autosave_is_no_notebook_unless_one_is_released_under_that_name(file):
    assert is_autosave(file.format(VQ))
    with pytest.raises(ValueError, match="is an autosave of Jupyter's"):
        read_notebook(file.format(VQ), NOTEBOOKS)
    assert read_notebook("a-checkpoint.ipynb", ["a-checkpoint"]) == ("a-checkpoint", None)
    assert not is_autosave("02_checkpoint_files.ipynb")


@pytest.mark.parametrize(
    "path",
    [
        f"{VQ}.ipynb",
        f"ps1/{VQ}.ipynb",
        f"submissions/alice/{VQ}.ipynb",
        f"alice/homework/{VQ}.ipynb",
        f"group.zip/alice/{VQ}.ipynb",
    ],
)
def test_a_path_that_leaves_the_student_open_is_refused(path):
    with pytest.raises(ValueError, match=r"must say whose it is: expected STUDENT/NOTEBOOK\.ipynb"):
        read(path)


def test_an_unpacked_zip_of_canvas_is_no_student():
    with pytest.raises(ValueError, match="named like a zip of Canvas"):
        read(f"devriesjan_12345_67890_homework/{VQ}.ipynb")


def test_names_are_printed_in_one_line():
    assert shown("a\nb\x1b[31m\udc80é") == r"a\nb\x1b[31m\udc80é"
