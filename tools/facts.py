"""Minutes, points and names of exercises, written wherever they are told: ``make facts``.

A fact stands once. Points are those that a check gives, an exercise's name and minutes those of its page, and the time
to read a page follows from what is on it. Lines of notebooks, the tables of the front page and of the pages for
instructors, and sums are made from these; a test compares them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from vqvae_course.assignments.page import MINUTES, Exercise, tags_of, take_apart
from vqvae_course.checks import EXERCISES
from vqvae_course.runtime import whole_file

ROOT = Path(__file__).resolve().parents[1]
HIDDEN = {"hide-input", "hide-cell", "remove-cell", "solution"}
# Calibrated with timed readers; holds within 10 %.
WORDS_A_MINUTE, LINES_A_MINUTE, EQUATIONS_A_MINUTE, FIGURES_A_MINUTE = 120, 20, 2, 1


@dataclass(frozen=True)
class Page:
    """A notebook and how long it takes.

    Attributes:
        path: Of the notebook.
        reading: Minutes for its lesson, to the next five.
        exercises: In its order.
    """

    path: Path
    reading: int
    exercises: Sequence[Exercise]

    @property
    def practice(self) -> int:
        """Minutes for all exercises."""
        return sum(exercise.minutes for exercise in self.exercises)

    @property
    def minutes(self) -> int:
        """Minutes for all of it."""
        return self.reading + self.practice

    @property
    def points(self) -> int:
        """Points of all exercises."""
        return sum(EXERCISES[exercise.name].points for exercise in self.exercises)


def pages(root: Path = ROOT) -> dict[str, Page]:
    """Return every notebook by its number, as readers know it: ``"7"``, and ``"A1"`` of an appendix."""
    found = {}
    for path in sorted((root / "notebooks").glob("*_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        solved = any("solution" in tags_of(cell) for cell in notebook.cells)
        found[label(path)] = Page(
            path, 5 * round(reading_minutes(notebook) / 5), take_apart(notebook).exercises if solved else ()
        )
    return found


def label(path: Path) -> str:
    """Return the number of a notebook as readers know it."""
    return path.stem[:2].removeprefix("0")


def reading_minutes(notebook: NotebookNode) -> float:
    """Return how long the lesson of a notebook takes: its words, shown code, figures and displayed equations.

    Exercises and the questions before them are not counted, nor is what is folded away.
    """
    words = lines = figures = equations = 0
    counts = True
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            if re.search(r"^#+ .*(Exercises|Three questions)", cell.source, re.M):
                counts = False
            if re.search(r"^#+ .*(Common bugs|Recap)", cell.source, re.M):
                counts = True
        if not counts:
            continue
        if cell.cell_type == "markdown":
            shown = re.sub(r"<details>.*?</details>", "", cell.source, flags=re.S)
            equations += shown.count("$$") // 2
            words += len(re.sub(r"\$\$.*?\$\$", "", shown, flags=re.S).split())
        elif cell.cell_type == "code":
            if not HIDDEN & set(tags_of(cell)):
                lines += sum(bool(line.strip()) for line in cell.source.splitlines())
            figures += any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {}))
    return words / WORDS_A_MINUTE + lines / LINES_A_MINUTE + figures / FIGURES_A_MINUTE + equations / EQUATIONS_A_MINUTE


def in_notebook(notebook: NotebookNode, page: Page) -> None:
    """Write minutes and points into the lines of a notebook that tell them."""
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        cell.source = re.sub(
            r"(?m)^(\*\*Time:\*\* reading(?: and running)?) \d+ minutes", rf"\1 {page.reading} minutes", cell.source
        )
        cell.source = re.sub(
            r"(?m)^(\*\*Time:\*\* .*; exercises) \d+ minutes", rf"\1 {page.practice} minutes", cell.source
        )
    for exercise in page.exercises:
        points = EXERCISES[exercise.name].points
        for cell in notebook.cells:
            if cell.cell_type == "markdown" and f"### Exercise {exercise.number} " in cell.source:
                cell.source = re.sub(
                    rf"({MINUTES.pattern})\d+ points?\*", rf"\g<1>{_points(points)}*", cell.source, count=1
                )


def _points(count: int) -> str:
    return f"{count} point" if count == 1 else f"{count} points"


def in_front_page(text: str, every: dict[str, Page]) -> str:
    """Write the minutes of each page onto its card, and the hours of all."""
    text = re.sub(
        r"(?m)^(:::\{grid-item-card\} (\w+)\. (?:(?!:::$).*\n)+?\*)\d+ minutes\*$",
        lambda card: f"{card[1]}{every[card[2]].minutes} minutes*",
        text,
    )
    hours = round(sum(page.minutes for page in every.values()) / 60)
    return re.sub(
        r"\d+ hours for all notebooks with their exercises",
        f"{hours} hours for all notebooks with their exercises",
        text,
    )


def in_syllabi(text: str, every: dict[str, Page]) -> str:
    """Write minutes, minutes of exercises and points into the rows of syllabi, which name pages."""

    def row(found: re.Match) -> str:
        chosen = [every[number] for number in found[2].split(", ")]
        sums = (sum(getattr(page, what) for page in chosen) for what in ("minutes", "practice", "points"))
        return f"{found[1]}{' | '.join(map(str, sums))} |"

    return re.sub(r"(?m)^(\| \d+ \| (\d+(?:, \d+)*) \| )\d+ \| \d+ \| \d+ \|", row, text)


def in_objectives(text: str, every: dict[str, Page]) -> str:
    """Write the table of exercises of each chapter, its sums, and the names beside each objective."""
    every = {number: page for number, page in every.items() if page.exercises}
    parts = re.split(r"(?m)^(?=## )", text)
    for place, part in enumerate(parts):
        if number := re.match(r"## \[?(\d+|A\d)\. ", part):
            parts[place] = _chapter(part, every[number[1]])
    whole = _sums(list(every.values()))
    return re.sub(r"In all: \d+ exercises, \d+ minutes, \d+ points", f"In all: {whole}", "".join(parts))


def _chapter(part: str, page: Page) -> str:
    head = "| exercise | name | difficulty | minutes | points |\n|---|---|---|---|---|\n"
    rows = "".join(
        f"| {one.number} | `{one.name}` | {_difficulty(one)} | {one.minutes} | {EXERCISES[one.name].points} |\n"
        for one in page.exercises
    )
    part = re.sub(re.escape(head) + r"(?:\|.*\n)*", lambda _: head + rows, part)
    part = re.sub(r"(?m)^\d+ exercises, \d+ minutes, \d+ points\.$", f"{_sums([page])}.", part)
    names = {one.number: one.name for one in page.exercises}
    return re.sub(r"((?:\d+|A\d)\.\d+) `\w+`", lambda found: f"{found[1]} `{names.get(found[1], '?')}`", part)


def _difficulty(exercise: Exercise) -> str:
    return re.search(r"\*difficulty ([●○]+)", "\n".join(cell.source for cell in exercise.cells))[1]


def _sums(chosen: Sequence[Page]) -> str:
    count = sum(len(page.exercises) for page in chosen)
    minutes, points = (sum(getattr(page, what) for page in chosen) for what in ("practice", "points"))
    return f"{count} exercises, {minutes} minutes, {points} points"


PROSE = {
    "README.md": in_front_page,
    "book/intro.md": in_front_page,
    "book/instructors.md": in_syllabi,
    "book/teaching_objectives.md": in_objectives,
}


def old(root: Path = ROOT) -> dict[Path, str]:
    """Return the files in which something is told that is no longer so, and what each of them should say."""
    every = pages(root)
    found = {}
    for page in every.values():
        notebook = nbformat.read(page.path, as_version=4)
        before = nbformat.writes(notebook)
        in_notebook(notebook, page)
        if (text := nbformat.writes(notebook)) != before:
            found[page.path] = f"{text}\n"
    for name, tell in PROSE.items():
        before = (root / name).read_text(encoding="utf-8")
        if (text := tell(before, every)) != before:
            found[root / name] = text
    return found


def main(root: Path = ROOT) -> None:
    """Write every fact where it is told; name the files that changed."""
    for path, text in old(root).items():
        with whole_file(path) as file:
            file.write(text.encode())
        print(path.relative_to(root))


if __name__ == "__main__":
    main()
