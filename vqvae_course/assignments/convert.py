"""A notebook of the course as an nbgrader source notebook: the instructor's version, solutions included."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from vqvae_course.assignments.page import MINUTES, Exercise, Page, needed, tags_of, take_apart
from vqvae_course.checks.report import EXERCISES

SCHEMA = 3  # of nbgrader's metadata
STUB_NOTE = "# Replace `raise NotImplementedError` above with your answer."  # where the solution was
HAND_IN = """\
> **An assignment**, {total}. Write each answer where the function says `raise NotImplementedError`, and run the cell \
below it: it says what is wrong, and how many points the answer is worth. Cells that check are locked, and replaced \
by fresh ones before they count; more checks run when the answers are graded. Do not rename, split or copy cells or \
rename functions, and hand in the notebook under its own name. Before that, choose *Restart and run all* once: what \
you hand in is run from top to bottom. A check that is not content ends in a red traceback; its last line says why. A \
function that the package has under the same name is not your answer: write it yourself."""
LESSON = "# Exercises of page {title}\n\nThe page itself is [in the book]({address})."
NEVER_STOPS = "says what is wrong with the result, and never stops the notebook"  # true of a page, not of a grade
TIME = re.compile(r"exercises \d+ minutes")


@dataclass(frozen=True)
class Extra:
    """An exercise of the bank, which stands behind the others of its notebook.

    Attributes:
        name: Of the function to be written, under which its check is registered.
        title: Its heading.
        task: Markdown.
        stub: Source of the cell to be completed.
        question: Markdown of a written question.
        rubric: Markdown, for those who grade the written answer.
        rubric_points: What the written answer is worth.
    """

    name: str
    title: str
    task: str
    stub: str
    question: str
    rubric: str
    rubric_points: int

    @property
    def minutes(self) -> int:
        """What the exercise takes, without the written question."""
        return int(MINUTES.match(self.task)[1])


def convert(
    notebook: NotebookNode,
    extras: Sequence[Extra] = (),
    numbers: Sequence[str] | None = None,
    lesson: bool = True,
    book: str = "",
    address: str = "",
) -> NotebookNode:
    """Return the instructor's version of a notebook of the course.

    Stubs become autograded answers with the reference between ``### BEGIN SOLUTION`` and ``### END SOLUTION``,
    checks become tests worth their points, with hidden ones between ``### BEGIN HIDDEN TESTS`` and
    ``### END HIDDEN TESTS``, and the cells with solutions disappear. Outputs go: they may show answers.

    Args:
        notebook: One of ``notebooks/``.
        extras: Exercises to add behind the others.
        numbers: Of the exercises to take, such as ``3.1``; None takes all.
        lesson: Whether the page itself is in the assignment. Without it only those of its code cells remain that
            the exercises need, and grading does not run the others.
        book: Address of the published book, to which links to other pages lead; empty leaves links as they are.
        address: Of this page in it.

    Raises:
        ValueError: If a stub has no check or no solution, or if a number is not on the page.
    """
    page = take_apart(notebook)
    chosen = _choose(page, numbers)
    minutes = _count(chosen, extras)
    cells = [_plain(cell, minutes) for cell in page.lesson] if lesson else _essence(page, chosen, address)
    cells.insert(1, new_markdown_cell(HAND_IN.format(total=_total(chosen, extras)), id="hand-in"))
    cells += [_plain(cell) for cell in page.introduction]
    for cell in cells:
        cell.source = cell.source.replace(NEVER_STOPS, "says what is wrong with the result")
    for exercise in chosen:
        cells += _exercise_cells(exercise)
    for extra in extras:
        cells += _extra_cells(extra)
    cells += [_plain(cell) for cell in page.rest] if lesson else []
    for cell in cells:
        if cell.cell_type == "markdown" and book:
            cell.source = absolute(cell.source, book)
    language = {name: notebook.metadata[name] for name in ("kernelspec", "language_info") if name in notebook.metadata}
    return new_notebook(cells=cells, metadata=language)


def absolute(text: str, book: str) -> str:
    """Return Markdown whose links to other pages of the course lead to the published book."""
    text = re.sub(r"\]\(((?:\d\d|A\d)_\w+)\.ipynb(#[^)]*)?\)", rf"]({book}notebooks/\1.html\2)", text)
    return re.sub(r"\]\(\.\./(book/\w+)\.md(#[^)]*)?\)", rf"]({book}\1.html\2)", text)


def _choose(page: Page, numbers: Sequence[str] | None) -> list[Exercise]:
    known = [exercise.number for exercise in page.exercises]
    if unknown := [number for number in numbers or () if number not in known]:
        raise ValueError(f"exercises must be among {', '.join(known)}, got {', '.join(unknown)}")
    return [exercise for exercise in page.exercises if numbers is None or exercise.number in numbers]


def _count(chosen: Sequence[Exercise], extras: Sequence[Extra]) -> int:
    return sum(one.minutes for one in (*chosen, *extras))


def _total(chosen: Sequence[Exercise], extras: Sequence[Extra]) -> str:
    points = sum(EXERCISES[one.name].points for one in (*chosen, *extras)) + sum(one.rubric_points for one in extras)
    exercises = len(chosen) + len(extras)
    written = " and a question to be answered in words" if extras else ""
    plural = "s" if exercises != 1 else ""
    return f"{exercises} exercise{plural} of about {_count(chosen, extras)} minutes{written}, worth {points} points"


def _essence(page: Page, chosen: Sequence[Exercise], address: str) -> list[NotebookNode]:
    """Return a title and the code of the lesson that the exercises cannot do without."""
    title = page.lesson[0].source.splitlines()[0].removeprefix("# ")
    later = [*page.introduction, *(cell for exercise in chosen for cell in exercise.cells)]
    head = new_markdown_cell(LESSON.format(title=title, address=address), id=page.lesson[0].id)
    return [head, *(_plain(cell) for cell in needed(page.lesson, later))]


def _plain(cell: NotebookNode, minutes: int | None = None) -> NotebookNode:
    """Return a cell that nbgrader need not know, without its outputs."""
    if cell.cell_type == "code":
        return new_code_cell(
            cell.source, id=cell.id, metadata={"tags": [tag for tag in tags_of(cell) if "hide" in tag]}
        )
    source = cell.source if minutes is None else TIME.sub(f"exercises {minutes} minutes", cell.source)
    return new_markdown_cell(source, id=cell.id)


def _exercise_cells(exercise: Exercise) -> list[NotebookNode]:
    name, made = exercise.name, []
    solution = next(cell for cell in exercise.cells if "solution" in tags_of(cell))
    checks = [cell for cell in exercise.cells if "check" in tags_of(cell)]
    if [cell.source for cell in checks] != [f"check({name})"]:
        raise ValueError(f"exercise {name} must have one cell check({name}), got {[cell.source for cell in checks]}")
    for cell in exercise.cells:
        if "exercise" in tags_of(cell):
            made.append(answer_cell(cell.id, name, f"{cell.source.rstrip()}\n\n\n{_reference(solution, name)}"))
        elif "check" in tags_of(cell):
            made.append(check_cell(cell.id, name))
        elif "solution" not in tags_of(cell):
            made.append(_plain(cell))
    return made


def _reference(solution: NotebookNode, name: str) -> str:
    """Return a solution without its title line and its check, between nbgrader's marks."""
    lines = [line for line in solution.source.splitlines() if not line.startswith("# @title")]
    reference = "\n".join(lines).strip().removesuffix(f"check({name})").strip()
    return f"### BEGIN SOLUTION\n{reference}\n### END SOLUTION"


def marked(**marks: object) -> dict:
    """Return nbgrader's metadata of a cell."""
    usual = {"schema_version": SCHEMA, "grade": False, "solution": False, "locked": False, "task": False}
    return {"nbgrader": usual | marks}


def answer_cell(cell_id: str, name: str, source: str) -> NotebookNode:
    """Return a cell that the student completes."""
    return new_code_cell(source, id=cell_id, metadata=marked(grade_id=name, solution=True))


def check_cell(cell_id: str, name: str, before: str = "") -> NotebookNode:
    """Return a locked cell that is worth the points of an exercise.

    What it returns last are the points, and nbgrader takes them from there. It is tagged ``raises-exception``, so that
    *Run all* goes on after an answer that earns none.
    """
    source = f"""\
{before}from vqvae_course.assignments.grade import grade

grade("{name}", {name})
### BEGIN HIDDEN TESTS
from vqvae_course.assignments.hidden import grade_again

grade_again("{name}", {name})
### END HIDDEN TESTS"""
    marks = marked(grade_id=f"{name}-check", grade=True, locked=True, points=EXERCISES[name].points)
    return new_code_cell(source, id=cell_id, metadata={**marks, "tags": ["raises-exception"]})


def _extra_cells(extra: Extra) -> list[NotebookNode]:
    """Return the cells of an exercise without a published solution, and of a written question.

    The question is a locked cell, which is restored when answers are graded, and with it the rubric: who grades sees it
    right above the answer.
    """
    no_reference = "### BEGIN SOLUTION\n# No solution of this exercise is published.\n### END SOLUTION"
    question = f"**In your own words** ({extra.rubric_points} points)\n\n{extra.question.strip()}"
    rubric = f"**For those who grade**\n\n{extra.rubric.strip()}"
    written = "### BEGIN SOLUTION\nThe rubric stands with the question.\n### END SOLUTION"
    return [
        new_markdown_cell(f"### For a grade: {extra.title}\n\n{extra.task.strip()}", id=f"{extra.name}-text"),
        answer_cell(f"{extra.name}-stub", extra.name, f"{extra.stub.strip()}\n\n\n{no_reference}"),
        check_cell(f"{extra.name}-check", extra.name, "import vqvae_course.checks.bank  # where this check is\n"),
        new_markdown_cell(
            f"{question}\n\n=== BEGIN MARK SCHEME ===\n\n{rubric}\n\n=== END MARK SCHEME ===",
            id=f"{extra.name}-question",
            metadata=marked(grade_id=f"{extra.name}-question", locked=True),
        ),
        new_markdown_cell(
            written,
            id=f"{extra.name}-written",
            metadata=marked(grade_id=f"{extra.name}-written", grade=True, solution=True, points=extra.rubric_points),
        ),
    ]
