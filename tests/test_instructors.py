"""What the pages for instructors say about exercises is what the notebooks and the checks say."""

import importlib
import itertools
import re
from pathlib import Path

import pytest

from tools import facts
from vqvae_course.checks import EXERCISES

ROOT = Path(__file__).parents[1]
SYLLABI, OBJECTIVES, MISTAKES = (
    (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("instructors", "teaching_objectives", "teaching_mistakes")
)


PAGES = facts.pages()
WITH_EXERCISES = [number for number, page in PAGES.items() if page.exercises]
CHAPTERS = [number for number in WITH_EXERCISES if number.isdigit()]  # appendices are in no syllabus


def section(text, number):
    """Return the part of a page about a chapter."""
    return re.search(rf"^## \[?{number}\. .*?(?=^## |\Z)", text, re.M | re.S)[0]


def test_every_fact_is_told_as_it_is():
    assert [path.name for path in facts.old()] == [], "make facts"


@pytest.mark.parametrize("number", WITH_EXERCISES)
def test_every_objective_has_an_exercise_and_every_exercise_an_objective(number):
    part = section(OBJECTIVES, number)
    objectives = part.partition("| exercises |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    assert len(objectives) >= 2
    shown = set()
    for line in objectives:
        named = re.findall(r"(\w+\.\d+) `(\w+)`", line)
        assert named, line
        shown |= set(named)
    assert shown == {(exercise.number, exercise.name) for exercise in PAGES[number].exercises}
    assert f"../notebooks/{PAGES[number].path.name}" in part


SCHEDULES = re.findall(r"^\| (\d+) \| ([\d, ]+) \| \d+ \| \d+ \| \d+ \|", SYLLABI, re.M)


def test_the_three_syllabi_contain_every_page_once():
    weeks = [int(week) for week, _ in SCHEDULES]
    starts = [place for place, week in enumerate(weeks) if week == 1]
    assert [weeks[start - 1] for start in starts[1:]] == [12, 6, 10]
    for start, stop in itertools.pairwise(starts):
        pages = [page for _, text in SCHEDULES[start:stop] for page in text.split(", ")]
        assert pages == [number for number in PAGES if number.isdigit()]


@pytest.mark.parametrize("number", CHAPTERS)
def test_each_mistake_is_one_that_its_check_recognises(number):
    answers = importlib.import_module(f"tests.checks.test_{PAGES[number].path.stem[3:]}").answers
    named = re.findall(r"\*\* \((\d+\.\d+), `(\w+)`: “([^”]+)”\)", section(MISTAKES, number))
    assert 2 <= len(named) <= 4
    assert len(named) == len(re.findall(r"^\*\*", section(MISTAKES, number), re.M))
    names = {exercise.number: exercise.name for exercise in PAGES[number].exercises}
    for exercise, name, said in named:
        assert name == names[exercise]
        assert any(said in wrong.fragment for wrong in answers.all_wrong(name)), said


def test_the_pages_know_every_chapter():
    assert {exercise.chapter for exercise in EXERCISES.values()} >= {PAGES[number].path.stem[3:] for number in CHAPTERS}
