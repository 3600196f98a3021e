"""The results of a class as tables: ours, and those that Canvas and Moodle take back."""

import csv
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("nbgrader")

from vqvae_course.assignments.roster import Student
from vqvae_course.assignments.table import Result, fill_canvas, fill_moodle, number, write_own


def result(student: Student, *points: float, **facts) -> Result:
    usual = {"handed_in": None, "late": None, "marked_late": False, "waiting": False}
    notebooks = dict(zip(("02_x", "03_y"), points, strict=False))
    return Result(student, notebooks, 10.0, **(usual | facts))


FOUND = [
    result(Student("jan", "Jan de Vries", canvas="11", moodle="501"), 4, 2.5, waiting=True),
    result(
        Student("anna", "Anna Smith", canvas="12", moodle="502"),
        4,
        handed_in=datetime(2026, 3, 2, 1, 29, tzinfo=UTC),
        late=timedelta(hours=1.5),
    ),
    result(Student("absent")),
    result(Student("zero", canvas="14", moodle="504"), 0, 0, marked_late=True),
]


def rows_of(path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_our_table_has_a_row_for_everybody(tmp_path):
    write_own(tmp_path / "results.csv", FOUND)
    head, *rows = rows_of(tmp_path / "results.csv")
    table = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert table["jan"]["points"] == "6.5"
    assert table["jan"]["waiting"] == "yes"
    assert (table["anna"]["02_x"], table["anna"]["03_y"]) == ("4", "")
    assert (table["anna"]["hours_late"], table["anna"]["late"]) == ("1.5", "yes")
    assert table["anna"]["handed_in"] == "2026-03-02T01:29:00+00:00"
    assert (table["absent"]["points"], table["absent"]["possible"]) == ("", "10")
    assert (table["zero"]["points"], table["zero"]["late"]) == ("0", "yes")


@pytest.mark.parametrize(("points", "text"), [(0.0, "0"), (10.0, "10"), (7.25, "7.25"), (1 / 3, "0.3333"), (None, "")])
def test_points_have_no_needless_digits(points, text):
    assert number(points) == text


CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,ps1 (99),ps10 (100)\n"
    '"    Points Possible",,,,,10,5\n'
    '"de Vries, Jan",11,s1,jan,A,,3\n'
    '"Smith, Anna",12,s2,a.smith@x.org,A,1,2\n'
    '"Sent, Ab",13,s3,absent,A,,\n'
    '"Ro, Ze",14,s4,zero,A,,\n'
)


def test_canvas_gets_its_own_rows_back_with_one_column_filled(tmp_path):
    (tmp_path / "canvas.csv").write_text(CANVAS, encoding="utf-8")
    assert fill_canvas(tmp_path / "canvas.csv", tmp_path / "import.csv", "ps1", FOUND) == 3
    assert rows_of(tmp_path / "import.csv") == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "ps1 (99)"],
        ["Points Possible", "", "", "", "", ""],
        ["de Vries, Jan", "11", "s1", "jan", "A", "6.5"],
        ["Smith, Anna", "12", "s2", "a.smith@x.org", "A", "4"],
        ["Sent, Ab", "13", "s3", "absent", "A", ""],
        ["Ro, Ze", "14", "s4", "zero", "A", "0"],
    ]


def test_canvas_must_have_the_column(tmp_path):
    (tmp_path / "canvas.csv").write_text(CANVAS, encoding="utf-8")
    with pytest.raises(ValueError, match=r"one column 'ps2', and .* has none"):
        fill_canvas(tmp_path / "canvas.csv", tmp_path / "import.csv", "ps2", FOUND)
    assert not (tmp_path / "import.csv").exists()


MOODLE = (
    "Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,Feedback comments\n"
    "Participant 501,Jan de Vries,jan@x.org,Submitted,,10.00,Yes,\n"
    "Participant 502,Anna Smith,anna@x.org,Submitted,7.00,10.00,Yes,good\n"
    "Participant 503,Ab Sent,absent,No submission,,10.00,Yes,\n"
    "Participant 504,Ze Ro,zero@x.org,Submitted,,10.00,Yes,\n"
)


def test_moodle_gets_its_worksheet_back_with_the_grades(tmp_path):
    (tmp_path / "moodle.csv").write_text(MOODLE, encoding="utf-8")
    assert fill_moodle(tmp_path / "moodle.csv", tmp_path / "upload.csv", FOUND) == 3
    head, *rows = rows_of(tmp_path / "upload.csv")
    assert head == MOODLE.splitlines()[0].split(",")
    assert [row[4] for row in rows] == ["6.5", "4", "", "0"]
    assert rows[1][7] == "good"


def test_moodle_must_have_the_same_maximum(tmp_path):
    (tmp_path / "moodle.csv").write_text(MOODLE.replace("10.00", "100.00"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"maximum grade of the assignment, 10, and .* has 100\.00: change it"):
        fill_moodle(tmp_path / "moodle.csv", tmp_path / "upload.csv", FOUND)


def test_nobody_who_was_graded_is_left_out_of_an_import(tmp_path):
    (tmp_path / "canvas.csv").write_text(CANVAS.replace("12,s2", "22,s2"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"must hold everybody who was graded, and lacks anna"):
        fill_canvas(tmp_path / "canvas.csv", tmp_path / "import.csv", "ps1", FOUND)
