"""Answers that are the same, and those that only look like it."""

import pytest

pytest.importorskip("nbgrader")

import nbformat

from tests.assignments.courses import NAME, SECOND, STUBS, WORDS, hand_in, stripped
from vqvae_course.assignments.alike import alike, page, published
from vqvae_course.cli import main

OWN = '''\
def second(x, y):
    """Return the mean square."""
    pairs = list(zip(x, y))
    squares = [(a - b) * (a - b) for a, b in pairs]
    return sum(squares) / max(1, len(squares))'''
DISGUISED = """\
def second(left, right: "Tensor") -> float:
    both   = list(zip(left, right))   # together
    parts: list = [(p - q) * (p - q)
                   for p, q in both]
    return sum(parts) / max(1, len(parts))
print(second([1], [2]))"""


def students(course) -> list[tuple[str, ...]]:
    return [group.students for group in alike(course, "ps1")]


def test_names_comments_annotations_and_layout_hide_nothing(course):
    hand_in(course, "alice", second=OWN)
    hand_in(course, "bob", second=f"{STUBS['second']}\n\n\n{DISGUISED}")
    hand_in(course, "carol", second=OWN.replace("max(1, len(squares))", "len(squares)"))
    (group,) = alike(course, "ps1")
    assert group.students == ("alice", "bob")
    assert str(group).startswith("3.2 second: alice, bob (")
    assert str(group).endswith(" nodes)")


def test_names_of_libraries_count(course):
    hand_in(course, "alice", second=OWN)
    hand_in(course, "bob", second=OWN.replace("sum(", "max("))
    hand_in(course, "carol", second=OWN.replace("zip(", "enumerate("))
    assert alike(course, "ps1") == []


def test_which_variable_stands_where_counts(course):
    hand_in(course, "alice", second=OWN)
    hand_in(course, "bob", second=OWN.replace("(a - b) * (a - b)", "(a - b) * (b - a)"))
    assert alike(course, "ps1") == []


def test_helpers_in_the_same_cell_count_under_any_name(course):
    helped = "def square(a, b):\n    return (a - b) * (a - b)\n\n\n" + OWN.replace("(a - b) * (a - b)", "square(a, b)")
    hand_in(course, "alice", second=helped)
    hand_in(course, "bob", second=helped.replace("square(", "difference("))
    hand_in(course, "carol", second=helped.replace("* (a - b)", "** 1"))
    assert students(course) == [("alice", "bob")]


def test_untouched_stubs_and_short_answers_are_nothing(course):
    for student in ("alice", "bob"):
        hand_in(course, student, first="def first(x):\n    return 1 + x", second=STUBS["second"])
    assert alike(course, "ps1") == []


def test_published_solutions_are_counted_and_accuse_nobody(course):
    renamed = SECOND.replace("total", "summe").replace("for a, b", "for p, q").replace("(a - b)", "(p - q)")
    hand_in(course, "alice", first="def first(x):\n    return 1 + x")
    hand_in(course, "bob", second=renamed)
    hand_in(course, "carol", second=OWN)
    hand_in(course, "dave", **STUBS)
    assert alike(course, "ps1") == []
    assert [str(group) for group in published(course, "ps1")] == [
        "2 answers are the published solution of 3.1 first",
        "2 answers are the published solution of 3.2 second",
    ]


def test_answers_that_are_no_python_or_no_notebook_stop_nothing(course):
    hand_in(course, "alice", second=OWN)
    hand_in(course, "bob", second=OWN + "\n(")
    hand_in(course, "carol", second=OWN)
    hand_in(course, "dave").write_text("{", encoding="utf-8")
    assert students(course) == [("alice", "carol")]


def test_answers_without_marks_are_compared_too(course):
    hand_in(course, "alice", second=OWN)
    hand_in(course, "bob", second=OWN, change=stripped)
    assert students(course) == [("alice", "bob")]


def test_written_answers_are_compared_without_spaces_and_case(course):
    hand_in(course, "alice", written=WORDS)
    hand_in(course, "bob", written=WORDS.upper().replace(" ", "\n"))
    hand_in(course, "carol", written="It is so.")
    hand_in(course, "dave", written="It is so.")
    (group,) = alike(course, "ps1")
    assert group.students == ("alice", "bob")
    assert group.size == "11 words"


def test_the_page_shows_answers_side_by_side_and_runs_nothing(course, tmp_path, capsys):
    evil = OWN.replace("the mean square", "<script>alert(1)</script>")
    hand_in(course, "alice", second=evil)
    hand_in(course, "bob & co", second=evil)
    out = tmp_path / "pages" / "alike.html"
    assert main(["grade-report", "--course", str(course), "--alike", str(out)]) == 0
    assert "ALIKE  3.2 second: alice, bob & co (" in capsys.readouterr().out
    text = out.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "bob & co" not in text
    assert text.count("<pre>") == 2
    assert "http" not in text
    assert "No two answers" in page([], "None")


def test_a_notebook_without_numbers_is_named_by_its_exercises(course):
    path = course / "source" / "ps1" / f"{NAME}.ipynb"
    made = nbformat.read(path, as_version=4)
    for cell in made.cells:
        cell.source = cell.source.replace("### Exercise 3.", "### Task ")
    path.write_text(nbformat.writes(made), encoding="utf-8")
    hand_in(course, "alice", second=OWN)
    hand_in(course, "bob", second=OWN)
    assert [group.exercise for group in alike(course, "ps1")] == ["second"]
