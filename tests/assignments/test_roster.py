"""The list of a class, and whom names mean."""

import unicodedata

import pytest

from vqvae_course.assignments.names import Owner
from vqvae_course.assignments.roster import Student, match, must_be_folder, own_id, read_roster
from vqvae_course.cli.variants import Variants, named


def owner(student, system="folder", number=None):
    return Owner(system, student, number, False, None, None, "x.ipynb")


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "class.csv"
    path.write_bytes(text.encode(encoding))
    return path


# --- reading


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_our_own_columns_in_every_writing_of_csv(tmp_path, encoding, sign, end):
    rows = [["id", "name", "email", "canvas_id", "moodle_id"], ["josé", "José Núñez", "j@x.nl", "12", "34"], ["a.b"]]
    path = written(tmp_path, end.join(sign.join(row) for row in [*rows, [], [""] * 5]) + end, encoding)
    assert read_roster(path) == [Student("josé", "José Núñez", "j@x.nl", "12", "34"), Student("a.b")]


def test_only_the_id_must_be_there_and_columns_may_stand_in_any_order(tmp_path):
    path = written(tmp_path, "Name, ID ,Group\nJan de Vries, jan ,3\n")
    assert read_roster(path) == [Student("jan", "Jan de Vries")]


def test_canvas_gradebook_without_the_rows_that_are_no_students(tmp_path):
    path = written(
        tmp_path,
        "Student,ID,SIS User ID,SIS Login ID,Section,ps1 (99)\n"
        ",,,,,Manual Posting\n"
        '"    Points Possible",,,,,10\n'
        '"de Vries, Jan",11,s1,jan_de_vries,A,\n'
        '"Smith, Anna",12,s2,,A,\n'
        '"Núñez, José",13,,,A,\n'
        '"O\'Neil, Sean",14,,sean@x.ie,A,\n'
        '"Student, Test",15,,3f2a,A,\n',
    )
    assert read_roster(path) == [
        Student("jan_de_vries", "de Vries, Jan", "", "11"),
        Student("s2", "Smith, Anna", "", "12"),
        Student("13", "Núñez, José", "", "13"),
        Student("sean@x.ie", "O'Neil, Sean", "sean@x.ie", "14"),
    ]


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        ("Username,ID number,Full name,Email address", "jan,7,Jan de Vries,j@x.nl", "jan"),
        ("Username,ID number,Full name,Email address", ",7,Jan de Vries,j@x.nl", "7"),
        ("ID number,Full name,Email address", ",Jan de Vries,j@x.nl", "j@x.nl"),
        ("Full name,Status", "Jan de Vries,Submitted", "Jan_de_Vries"),
        ("Status", "Submitted", "Participant_123456"),
    ],
)
def test_moodle_s_worksheet_takes_the_best_id_it_has(tmp_path, columns, cells, expected):
    (student,) = read_roster(written(tmp_path, f"Identifier,{columns}\nParticipant 123456,{cells}\n"))
    assert (student.id, student.moodle) == (expected, "123456")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,email\nJan,j@x.nl\n", "must be a CSV file with a column id .* has the columns name, email"),
        ("id\njan\nJAN\n", "each id in .* must be of one student, got jan twice"),
        ("id,canvas_id\njan,1\nanna,1\n", "each canvas_id in .* must be of one student, got 1 twice"),
        ("id,moodle_id\njan,1\nanna,1\n", "each moodle_id in .* must be of one student"),
        ("id,name\n,Jan\n", "each id in .* must be a name for a folder"),
        ("id\n", "has none"),
        ("", "is empty"),
        ('id\n"jan"x"\n', "must be a CSV file, got"),
        ('Student,ID,SIS Login ID\n"Vries, Jan",,\n', "each id in .* must be a name for a folder"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_roster(written(tmp_path, text))


def test_a_list_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"can be read, got .*nowhere\.csv"):
        read_roster(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="save it as “CSV UTF-8”"):
        read_roster(written(tmp_path, "id,name\njose,José\n", "cp1252"))


BAD = (
    "",
    ".",
    "..",
    ".jan",
    "a/b",
    "a\\b",
    "../x",
    "a:b",
    "a*",
    "a[1]",
    "a\nb",
    "x.",
    " x",
    "x ",
    "nul",
    "CON",
    "com1.x",
)
BAD = (*BAD, "-x", "x" * 101, "a\u200bb", "a\udc80b")


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_a_folder_is_no_id(name, tmp_path):
    with pytest.raises(ValueError, match="id must be a name for a folder on every system"):
        must_be_folder(name)
    with pytest.raises(ValueError, match="id must be a name for a folder on every system"):
        own_id(owner(name))


@pytest.mark.parametrize(
    "name", ["a.smith", "marie-claire", "jan_de_vries", "Jan de Vries", "o'neil", "李小龙", "a@x.nl", "7"]
)
def test_logins_are_ids_as_they_are(name):
    assert own_id(owner(name)) == name


# --- without a roster


def test_names_with_numbers_become_folders_that_keep_two_people_apart():
    assert own_id(owner("Jan de Vries", "Moodle", "123456")) == "Jan_de_Vries-123456"
    assert own_id(owner("Jan de Vries", "Moodle", "123457")) == "Jan_de_Vries-123457"
    assert own_id(owner("devriesjan", "Canvas", "12345")) == "devriesjan-12345"
    assert own_id(owner("../../O'Neil", "Brightspace", "1")) == "O_Neil-1"
    assert own_id(owner("???", "Moodle", "1")) == "student-1"
    for name in ("con", "com1.x", ".x", "x" * 300):
        must_be_folder(own_id(owner(name, "Moodle", "1")))


# --- with one

JAN = Student("jdv", "Jan de Vries", "jan.vries@x.nl", "11", "21")
PIET = Student("pdv", "de Vries, Piet", "piet@x.nl", "12", "22")
JOSE = Student("s1234", "José-María Núñez O'Neil", "jose@x.nl")
ANNA = Student("Anna.Smith")
OEDIP = Student("ø1", "Øyvind Łukasz Müller")
CLASS = [JAN, PIET, JOSE, ANNA, OEDIP]


@pytest.mark.parametrize(
    ("named", "student"),
    [
        (owner("jdv"), JAN),
        (owner("JDV", "Blackboard"), JAN),
        (owner("anna.smith", "GitHub Classroom"), ANNA),
        (owner("whatever", "Canvas", "11"), JAN),
        (owner("whatever", "Moodle", "22"), PIET),
        (owner("jan.vries"), JAN),
        (owner("JAN.VRIES@x.nl"), JAN),
        (owner("Jan de Vries"), JAN),
        (owner("VRIES, JAN DE"), JAN),
        (owner("Piet de Vries", "Brightspace", "99"), PIET),
        (owner("Jose Maria Nunez ONeil", "Moodle", "23"), JOSE),
        (owner("Núñez O’Neil, José María", "Moodle", "23"), JOSE),
        (owner("nunezoneiljosemaria", "Canvas", "13"), JOSE),
        (owner("núñezoneiljosémaría", "Canvas", "13"), JOSE),
        (owner("nezoneiljosmara", "Canvas", "13"), JOSE),
        (owner("oyvind lukasz muller"), OEDIP),
        (owner("mlleryvindukasz", "Canvas", "14"), OEDIP),
    ],
)
def test_a_student_is_found_by_number_id_address_and_name(named, student):
    for form in ("NFC", "NFD"):
        other = owner(unicodedata.normalize(form, named.student), named.system, named.number)
        if student:
            assert match(other, CLASS) == student
        else:
            with pytest.raises(ValueError, match="not on the roster"):
                match(other, CLASS)


def test_another_number_is_another_person_of_that_name():
    with pytest.raises(ValueError, match=r"Canvas 99\) is not on the roster.*: write 99 as canvas_id into the row"):
        match(owner("devriesjan", "Canvas", "99"), [JAN, PIET])


def test_two_of_one_name_are_told_apart_by_their_numbers_and_not_at_all_without():
    twins = [Student("jan1", "Jan de Vries", canvas="1"), Student("jan2", "Jan de Vries", canvas="2")]
    assert match(owner("devriesjan", "Canvas", "2"), twins) == twins[1]
    with pytest.raises(ValueError, match=r"may be jan1 or jan2 of the roster: write 7 as moodle_id into the row"):
        match(owner("Jan de Vries", "Moodle", "7"), twins)


def test_two_addresses_with_one_beginning_are_not_guessed():
    with pytest.raises(ValueError, match="may be a or b of the roster: give the right one that login as id"):
        match(owner("jan"), [Student("a", email="jan@x.nl"), Student("b", email="jan@y.nl")])


def test_who_is_not_on_the_roster_is_named_beside_those_who_are_alike():
    with pytest.raises(
        ValueError, match=r"jan_de_vris \(Blackboard\) is not on the roster, perhaps jdv or pdv: .* or add a row"
    ):
        match(owner("jan_de_vris", "Blackboard"), CLASS)
    with pytest.raises(ValueError, match=r"zzz \(folder\) is not on the roster: give"):
        match(owner("zzz"), CLASS)


def test_a_student_without_a_name_is_nobody_s_namesake():
    with pytest.raises(ValueError, match="not on the roster"):
        match(owner("!!!"), [Student("a"), Student("b")])


# --- where the number, the name and the login do not agree

KIMS = [Student("s03", "Anna Kim", moodle="7003"), Student("s04", "Anna-Lena Kim", moodle="7004")]
LEES = [Student("leejan", "Jane Leeman"), Student("jlee", "Jan Lee", "leejane@x.nl")]


def test_a_number_and_the_name_of_somebody_else_are_refused():
    with pytest.raises(ValueError, match="the number 7004 is") as caught:
        match(owner("Anna Kim", "Moodle", "7004"), KIMS)
    assert str(caught.value) == (
        "the number 7004 is Anna-Lena Kim's (s04) and the name is Anna Kim's (s03): numbers of Moodle's participants "
        "differ from assignment to assignment; take them from this assignment's worksheet, or leave the column out"
    )
    with pytest.raises(ValueError, match=r"the number 11 is Jan de Vries's \(jdv\) .* mend canvas_id in the roster"):
        match(owner("devriespiet", "Canvas", "11"), CLASS)


def test_a_number_with_a_name_that_is_nobody_s_or_the_same_is_taken():
    assert match(owner("Annie Kim", "Moodle", "7004"), KIMS) == KIMS[1]
    assert match(owner("Kim Anna-Lena", "Moodle", "7004"), KIMS) == KIMS[1]
    twins = [Student("a", "Jan de Vries", moodle="1"), Student("b", "Jan de Vries", moodle="2")]
    assert match(owner("Jan de Vries", "Moodle", "2"), twins) == twins[1]


@pytest.mark.parametrize("system", ["Canvas", "Moodle", "Brightspace"])
def test_a_full_name_never_means_another_one_s_login_or_address(system):
    for name in ("leejan", "leejane"):
        roster = LEES if name == "leejan" else [LEES[1], Student("x", "Jane Lee")]
        with pytest.raises(ValueError, match=r"is the name of .* and the id or address of"):
            match(owner(name, system, "77"), roster)
    assert match(owner("leejan", system, "77"), [LEES[1], Student("leemanj", "Jane Leeman")]) == LEES[1]
    numbered = [LEES[0], Student("jlee", "Jan Lee", canvas="78", moodle="78")]
    with pytest.raises(ValueError, match="is the name of"):
        match(owner("leejan", system, "77"), numbered)


def test_a_login_is_a_login_where_platforms_write_logins():
    assert match(owner("leejan", "Blackboard"), LEES) == LEES[0]


# --- ids for the command that makes variants


@pytest.mark.parametrize("name", ["Jan de Vries", "o'neil", "a+b", "李小龙", "a@x.nl", "_x"])
def test_variants_take_the_ids_that_collecting_takes(name):
    assert named(Variants(ids=f"{name},bob")) == [name, "bob"]


def test_variants_refuse_ids_that_are_no_folders_or_one_folder_on_many_systems():
    for bad in ("nul", "x.", "a*", "../x"):
        with pytest.raises(ValueError, match=r"ids must be made of letters and digits: .* on every system"):
            named(Variants(ids=f"alice,{bad}"))
    with pytest.raises(ValueError, match="ids must differ in more than capitals, and alice and Alice do not"):
        named(Variants(ids="alice,bob,Alice"))


# --- what Excel makes of a list


def test_the_line_that_excel_reads_first_is_no_row(tmp_path):
    for sign in ",;":
        path = written(tmp_path, f"sep={sign}\r\nid{sign}name\r\njan{sign}Jan, de Vries\r\n".replace(", ", " "))
        assert read_roster(path) == [Student("jan", "Jan de Vries")]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_an_encoding_that_is_not_utf8_is_named(tmp_path, encoding):
    name = {"cp1252": "Windows-1252", "utf-16": "UTF-16"}[encoding]
    with pytest.raises(ValueError, match=rf"in UTF-8, got .* in .*{name}.*: save it as “CSV UTF-8”"):
        read_roster(written(tmp_path, "id;name\njose;José\n", encoding))


def test_two_columns_that_become_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"each column comes once, and .* has id 2 times"):
        read_roster(written(tmp_path, "ID,name,id\n1,Jan,jan\n"))
    assert read_roster(written(tmp_path, "id,Note,note\njan,a,b\n")) == [Student("jan")]
