"""What the pages for instructors say about exercises is what the notebooks and the checks say."""

import importlib
import itertools
import re
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

from vqvae_course.checks import EXERCISES

ROOT = Path(__file__).parents[1]
SYLLABI, OBJECTIVES, MISTAKES = (
    (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("instructors", "teaching_objectives", "teaching_mistakes")
)


class Facts(NamedTuple):
    """What a notebook says about an exercise."""

    name: str
    difficulty: str
    minutes: int
    points: int


def exercises_of(path):
    found = {}
    cells = nbformat.read(path, as_version=4).cells
    for place, cell in enumerate(cells):
        number = re.search(r"### Exercise (\d+\.\d+) ", cell.source)
        if cell.cell_type == "markdown" and number:
            facts = re.search(r"\*difficulty (\S+) · (\d+) min · (\d+) point", cell.source)
            stub = next(each for each in cells[place:] if "exercise" in each.metadata.get("tags", []))
            name = re.search(r"(?:def|class) (\w+)", stub.source)[1]
            found[number[1]] = Facts(name, facts[1], int(facts[2]), int(facts[3]))
    return found


NOTEBOOKS = {int(path.stem[:2]): path for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))}
FACTS = {number: exercises_of(path) for number, path in NOTEBOOKS.items()}
PAGES = {
    int(number): int(minutes)
    for number, minutes in re.findall(
        r"^\| \[(\d+)\. .*\| (\d+) \|$", (ROOT / "book" / "intro.md").read_text(encoding="utf-8"), re.M
    )
}
CHAPTERS = [number for number in NOTEBOOKS if FACTS[number]]


def section(text, number):
    """Return the part of a page about a chapter."""
    return re.search(rf"^## \[?{number}\. .*?(?=^## |\Z)", text, re.M | re.S)[0]


@pytest.mark.parametrize("number", CHAPTERS)
def test_the_table_of_a_chapter_is_that_of_its_notebook(number):
    rows = re.findall(r"^\| ([\d.]+) \| `(\w+)` \| (\S+) \| (\d+) \| (\d+) \|$", section(OBJECTIVES, number), re.M)
    table = {exercise: Facts(name, how, int(minutes), int(points)) for exercise, name, how, minutes, points in rows}
    assert table == FACTS[number]
    minutes, points = (sum(getattr(facts, what) for facts in table.values()) for what in ("minutes", "points"))
    assert f"\n{len(table)} exercises, {minutes} minutes, {points} points.\n" in section(OBJECTIVES, number)
    assert f"../notebooks/{NOTEBOOKS[number].name}" in section(OBJECTIVES, number)


@pytest.mark.parametrize("number", CHAPTERS)
def test_every_objective_has_an_exercise_and_every_exercise_an_objective(number):
    part = section(OBJECTIVES, number)
    objectives = part.partition("| exercises |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    assert len(objectives) >= 2
    shown = set()
    for line in objectives:
        named = re.findall(r"(\d+\.\d+) `(\w+)`", line)
        assert named, line
        assert all(FACTS[number][exercise].name == name for exercise, name in named), line
        shown |= {exercise for exercise, _ in named}
    assert shown == set(FACTS[number])


def test_the_sums_over_all_chapters_are_right():
    every = [facts for chapter in FACTS.values() for facts in chapter.values()]
    minutes, points = sum(facts.minutes for facts in every), sum(facts.points for facts in every)
    assert f"{len(every)} exercises, {minutes} minutes, {points} points" in OBJECTIVES


SCHEDULES = re.findall(r"^\| (\d+) \| ([\d, ]+) \| (\d+) \| (\d+) \| (\d+) \|", SYLLABI, re.M)


@pytest.mark.parametrize(("week", "pages", "minutes", "practice", "points"), SCHEDULES)
def test_a_week_takes_as_long_as_its_pages(week, pages, minutes, practice, points):
    chosen = [int(page) for page in pages.split(", ")]
    facts = [each for page in chosen for each in FACTS[page].values()]
    assert int(minutes) == sum(PAGES[page] for page in chosen)
    assert int(practice) == sum(each.minutes for each in facts)
    assert int(points) == sum(each.points for each in facts)


def test_the_three_syllabi_contain_every_page_once():
    weeks = [int(week) for week, *_ in SCHEDULES]
    starts = [place for place, week in enumerate(weeks) if week == 1]
    assert [weeks[start - 1] for start in starts[1:]] == [12, 6, 10]
    for start, stop in itertools.pairwise(starts):
        pages = [int(page) for _, text, *_ in SCHEDULES[start:stop] for page in text.split(", ")]
        assert pages == list(PAGES)


@pytest.mark.parametrize("number", CHAPTERS)
def test_each_mistake_is_one_that_its_check_recognises(number):
    answers = importlib.import_module(f"tests.checks.test_{NOTEBOOKS[number].stem[3:]}").answers
    named = re.findall(r"\*\* \((\d+\.\d+), `(\w+)`: “([^”]+)”\)", section(MISTAKES, number))
    assert 2 <= len(named) <= 4
    assert len(named) == len(re.findall(r"^\*\*", section(MISTAKES, number), re.M))
    for exercise, name, said in named:
        assert FACTS[number][exercise].name == name
        assert any(said in wrong.fragment for wrong in answers.all_wrong(name)), said


def test_the_pages_know_every_chapter():
    assert {exercise.chapter for exercise in EXERCISES.values()} >= {NOTEBOOKS[number].stem[3:] for number in CHAPTERS}
