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


def rows_of(path, sign=",") -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, delimiter=sign))


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


EXACT = [(100.25, "100.25"), (12345.5, "12345.5"), (1e6, "1000000"), (0.00001, "0"), (-0.00001, "0"), (100.0, "100")]


@pytest.mark.parametrize(
    ("points", "text"), [(0.0, "0"), (10.0, "10"), (7.25, "7.25"), (1 / 3, "0.3333"), (None, ""), *EXACT]
)
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
    assert fill_canvas(tmp_path / "canvas.csv", tmp_path / "import.csv", "ps1", FOUND) == []
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
    assert fill_moodle(tmp_path / "moodle.csv", tmp_path / "upload.csv", FOUND) == []
    head, *rows = rows_of(tmp_path / "upload.csv")
    assert head == MOODLE.splitlines()[0].split(",")
    assert [row[4] for row in rows] == ["6.5", "4", "", "0"]
    assert rows[1][7] == "good"


def test_moodle_must_have_the_same_maximum(tmp_path):
    (tmp_path / "moodle.csv").write_text(MOODLE.replace("10.00", "100.00"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"maximum grade of the assignment, 10, and .* has 100\.00: change it"):
        fill_moodle(tmp_path / "moodle.csv", tmp_path / "upload.csv", FOUND)


def canvas(tmp_path, text, found, column="ps1"):
    (tmp_path / "canvas.csv").write_text(text, encoding="utf-8")
    left_out = fill_canvas(tmp_path / "canvas.csv", tmp_path / "import.csv", column, found)
    return left_out, {row[0]: row[-1] for row in rows_of(tmp_path / "import.csv")[1:]}


def test_who_has_points_and_no_row_is_named(tmp_path):
    left_out, entries = canvas(tmp_path, CANVAS.replace("12,s2", "22,s2"), FOUND)
    assert left_out == ["anna"]
    assert entries["Smith, Anna"] == ""
    assert entries["de Vries, Jan"] == "6.5"


# --- whose row it is


def test_canvas_own_number_is_nobody_s_id(tmp_path):
    text = 'Student,ID,SIS User ID,SIS Login ID,Section,ps1 (99)\n"de Vries, Jan",11,,,A,\n"Smith, Anna",12,,,A,\n'
    left_out, entries = canvas(tmp_path, text, [result(Student("11", "Somebody Else"), 5)])
    assert (left_out, set(entries.values())) == (["11"], {""})
    left_out, entries = canvas(tmp_path, text, [result(Student("12", "Jan de Vries"), 5)])
    assert (left_out, entries) == ([], {"de Vries, Jan": "5", "Smith, Anna": ""})


def test_a_login_or_the_university_s_number_is_an_id(tmp_path):
    left_out, entries = canvas(tmp_path, CANVAS, [result(Student("s1"), 5), result(Student("A.SMITH@x.org"), 6)])
    assert left_out == []
    assert (entries["de Vries, Jan"], entries["Smith, Anna"]) == ("5", "6")


def test_a_full_name_counts_if_it_is_one_row_s_and_one_student_s(tmp_path):
    text = CANVAS.replace("Sent, Ab", "de Vries, Jan")
    twins = [result(Student("a", "Jan de Vries"), 5), result(Student("b", "Jan de Vries"), 6)]
    left_out, entries = canvas(tmp_path, CANVAS, twins[:1])
    assert (left_out, entries["de Vries, Jan"]) == ([], "5")
    assert canvas(tmp_path, CANVAS, twins)[0] == ["a", "b"]
    assert canvas(tmp_path, text, twins[:1])[0] == ["a"]
    assert set(entries.values()) == {"5", ""}


def test_another_number_of_the_platform_is_somebody_else_of_that_name(tmp_path):
    assert canvas(tmp_path, CANVAS, [result(Student("x", "Jan de Vries", canvas="77"), 5)])[0] == ["x"]


def test_a_student_with_two_rows_and_a_row_of_two_students_are_refused(tmp_path):
    text = CANVAS + '"Vries, J",21,s21,s1,A,,\n'
    with pytest.raises(ValueError, match=r"those of de Vries, Jan 11 and Vries, J 21 are both of s1"):
        canvas(tmp_path, text, [result(Student("s1"), 5)])
    with pytest.raises(ValueError, match=r"that of de Vries, Jan 11 is of a and of jan, by number or login"):
        canvas(tmp_path, CANVAS, [result(Student("a", canvas="11"), 5), result(Student("jan"), 6)])
    assert not (tmp_path / "import.csv").exists()


def test_a_number_that_is_another_one_s_by_name_is_refused(tmp_path):
    (tmp_path / "moodle.csv").write_text(MOODLE, encoding="utf-8")
    found = [result(Student("anna", "Anna Smith", moodle="501"), 5), result(Student("jan", "Jan de Vries"), 6)]
    with pytest.raises(
        ValueError, match=r"row of Jan de Vries 501 .* is of anna by number or login, and of jan by name"
    ):
        fill_moodle(tmp_path / "moodle.csv", tmp_path / "upload.csv", found)


# --- how tables are written


def test_short_rows_and_blank_lines_are_no_trouble(tmp_path):
    text = "\n".join(line.rstrip(",") for line in CANVAS.splitlines()) + "\n\n \n"
    left_out, entries = canvas(tmp_path, text, FOUND)
    assert (left_out, entries["de Vries, Jan"], entries["Ro, Ze"]) == ([], "6.5", "0")
    (tmp_path / "moodle.csv").write_text(
        MOODLE.replace("No submission,,10.00,Yes,", "No submission") + "\n", encoding="utf-8"
    )
    assert fill_moodle(tmp_path / "moodle.csv", tmp_path / "upload.csv", FOUND) == []
    assert [row[4] for row in rows_of(tmp_path / "upload.csv")[1:]] == ["6.5", "4", "", "0"]


@pytest.mark.parametrize("maximum", ["-", "Scale", "1.000,00", "nan", "1e1", "100", "1,000.00"])
def test_another_maximum_or_none_is_a_sentence(tmp_path, maximum):
    (tmp_path / "moodle.csv").write_text(MOODLE.replace("10.00", f'"{maximum}"'), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"moodle must have the maximum grade .* 10, and .* has {maximum}:"):
        fill_moodle(tmp_path / "moodle.csv", tmp_path / "upload.csv", FOUND)
    with pytest.raises(ValueError, match=rf"canvas must have the maximum grade .* 10, and .* has {maximum}:"):
        canvas(tmp_path, CANVAS.replace(",10,5", f',"{maximum}",5'), FOUND)


@pytest.mark.parametrize("maximum", ["1.000,00", "1,000.00", "1000", "1000,0", "1\N{NO-BREAK SPACE}000.00"])
def test_the_maximum_is_read_in_every_country(tmp_path, maximum):
    found = [Result(Student("jan", moodle="501"), {"02_x": 6.5}, 1000.0, None, None, False, False)]
    (tmp_path / "moodle.csv").write_text(MOODLE.replace("10.00", f'"{maximum}"'), encoding="utf-8")
    assert fill_moodle(tmp_path / "moodle.csv", tmp_path / "upload.csv", found) == []


def test_semicolons_and_decimal_commas_stay(tmp_path):
    text = MOODLE.replace(",", ";").replace("10.00", "10,00").replace("7.00", "7,00")
    (tmp_path / "moodle.csv").write_text(text, encoding="utf-8")
    fill_moodle(tmp_path / "moodle.csv", tmp_path / "upload.csv", FOUND)
    rows = rows_of(tmp_path / "upload.csv", ";")
    assert [row[4] for row in rows[1:]] == ["6,5", "4", "", "0"]
    assert {row[5] for row in rows[1:]} == {"10,00"}
    head = "Student;ID;SIS User ID;SIS Login ID;Section;ps1 (99);ps2 (1)\n"
    (tmp_path / "canvas.csv").write_text(head + "Points Possible;;;;;10,0;5\nJan;11;;;A;;\n", encoding="utf-8")
    fill_canvas(tmp_path / "canvas.csv", tmp_path / "import.csv", "ps1", FOUND[:1])
    assert rows_of(tmp_path / "import.csv", ";")[-1][-1] == "6,5"


def test_no_cell_of_ours_is_computed_by_a_spreadsheet(tmp_path):
    names = ["=HYPERLINK(1)", "+cmd|x", "-2+3", "@SUM(A1)", "\tx", "Jan-Piet", "-5", "+31 6"]
    write_own(tmp_path / "results.csv", [result(Student(f"s{n}", name), -1) for n, name in enumerate(names)])
    rows = rows_of(tmp_path / "results.csv")[1:]
    assert [row[1] for row in rows] == [*(f"'{name}" for name in names[:5]), "Jan-Piet", "-5", "'+31 6"]
    assert {row[3] for row in rows} == {"-1"}


def test_our_table_says_what_was_subtracted_and_what_nobody_graded(tmp_path):
    found = [result(Student("a"), 4, penalty=1.5), result(Student("b"), ungraded=True), *FOUND[2:]]
    write_own(tmp_path / "results.csv", found)
    head, *rows = rows_of(tmp_path / "results.csv")
    table = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert {key: (row["penalty"], row["graded"]) for key, row in table.items()} == {
        "a": ("1.5", "yes"),
        "b": ("", "no"),
        "absent": ("", "no"),
        "zero": ("", "yes"),
    }


def test_an_export_that_cannot_be_read_is_named_as_such(tmp_path):
    with pytest.raises(ValueError, match="canvas must be a CSV file that can be read"):
        fill_canvas(tmp_path / "canvas.csv", tmp_path / "import.csv", "ps1", FOUND)
    (tmp_path / "moodle.csv").write_bytes("Grade;Näme\n".encode("cp1252"))
    with pytest.raises(ValueError, match=r"moodle must be a CSV file in UTF-8, got .* Windows-1252"):
        fill_moodle(tmp_path / "moodle.csv", tmp_path / "upload.csv", FOUND)
