"""A notebook of the course as an nbgrader source notebook: the instructor's version, solutions included."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from vqvae_course.checks.report import EXERCISES

SCHEMA = 3  # of nbgrader's metadata
STUB_NOTE = "# Replace `raise NotImplementedError` above with your answer."  # where the solution was
HAND_IN = """\
> **An assignment.** Write each answer where the function says `raise NotImplementedError`, and run the cell below \
it: it says what is wrong. Cells that check are locked, and replaced by fresh ones before they count; more checks run \
when the answers are graded. Do not rename, split or copy cells or rename functions, and hand in the notebook under \
its own name. Before that, choose *Restart and run all* once: what you hand in is run from top to bottom. A check \
that is not content ends in a red traceback; its last line says why. Exercises *for a grade* may stand at the very \
end."""


@dataclass(frozen=True)
class Extra:
    """An exercise that is appended to a notebook.

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


def convert(notebook: NotebookNode, extras: Sequence[Extra] = ()) -> NotebookNode:
    """Return the instructor's version of a notebook of the course.

    Stubs become autograded answers with the reference between ``### BEGIN SOLUTION`` and ``### END SOLUTION``,
    checks become tests worth their points, with hidden ones between ``### BEGIN HIDDEN TESTS`` and
    ``### END HIDDEN TESTS``, and the cells with solutions disappear. Outputs go: they may show answers.

    Args:
        notebook: One of ``notebooks/``.
        extras: Exercises to append.

    Raises:
        ValueError: If a stub has no check or no solution.
    """
    cells: list[NotebookNode] = []
    for place, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            continue
        if "exercise" in tags:
            name = defined_by(cell.source)
            reference = solution_of(notebook, place, name)
            cells.append(answer_cell(cell.id, name, f"{cell.source.rstrip()}\n\n\n{reference}"))
        elif "check" in tags:
            cells.append(check_cell(cell.id, checked_by(cell.source)))
        elif cell.cell_type == "code":
            cells.append(new_code_cell(cell.source, id=cell.id, metadata={"tags": [t for t in tags if "hide" in t]}))
        else:
            cells.append(new_markdown_cell(cell.source, id=cell.id))
    cells.insert(1, new_markdown_cell(HAND_IN, id="hand-in"))
    for extra in extras:
        cells += extra_cells(extra)
    language = {name: notebook.metadata[name] for name in ("kernelspec", "language_info") if name in notebook.metadata}
    return new_notebook(cells=cells, metadata=language)


def defined_by(stub: str) -> str:
    """Return the name of the one function or class that a stub defines."""
    names = [node.name for node in ast.parse(stub).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    if len(names) != 1:
        raise ValueError(f"a stub must define one function or class, got {names}")
    return names[0]


def checked_by(source: str) -> str:
    """Return the name of the exercise that a check's cell checks."""
    call = ast.parse(source).body[-1].value
    if not (isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Name)):
        raise ValueError(f"a check must be check(name), got {source!r}")
    return call.args[0].id


def solution_of(notebook: NotebookNode, place: int, name: str) -> str:
    """Return the reference that follows a stub, without its title line and its check, between nbgrader's marks."""
    for cell in notebook.cells[place + 1 :]:
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags:
            break
        if "solution" in tags:
            lines = [line for line in cell.source.splitlines() if not line.startswith("# @title")]
            reference = "\n".join(lines).strip().removesuffix(f"check({name})").strip()
            return f"### BEGIN SOLUTION\n{reference}\n### END SOLUTION"
    raise ValueError(f"exercise {name} must be followed by its solution, got none")


def marked(**marks: object) -> dict:
    """Return nbgrader's metadata of a cell."""
    usual = {"schema_version": SCHEMA, "grade": False, "solution": False, "locked": False, "task": False}
    return {"nbgrader": usual | marks}


def answer_cell(cell_id: str, name: str, source: str) -> NotebookNode:
    """Return a cell that the student completes."""
    return new_code_cell(source, id=cell_id, metadata=marked(grade_id=name, solution=True))


def check_cell(cell_id: str, name: str, before: str = "") -> NotebookNode:
    """Return a locked cell that is worth the points of an exercise.

    It is tagged ``raises-exception``, so that *Run all* goes on after an answer that is not right yet.
    """
    source = f"""\
{before}check("{name}", {name}, strict=True)
### BEGIN HIDDEN TESTS
from vqvae_course.assignments.hidden import check_again

check_again("{name}", {name})
### END HIDDEN TESTS"""
    marks = marked(grade_id=f"{name}-check", grade=True, locked=True, points=EXERCISES[name].points)
    return new_code_cell(source, id=cell_id, metadata={**marks, "tags": ["raises-exception"]})


def extra_cells(extra: Extra) -> list[NotebookNode]:
    """Return the cells of an exercise without a published solution, and of a written question with its rubric."""
    no_reference = "### BEGIN SOLUTION\n# No solution of this exercise is published.\n### END SOLUTION"
    written = f"### BEGIN SOLUTION\n{extra.rubric.strip()}\n### END SOLUTION"
    return [
        new_markdown_cell(f"### For a grade: {extra.title}\n\n{extra.task.strip()}", id=f"{extra.name}-text"),
        answer_cell(f"{extra.name}-stub", extra.name, f"{extra.stub.strip()}\n\n\n{no_reference}"),
        check_cell(f"{extra.name}-check", extra.name, "import vqvae_course.checks.bank  # where this check is\n\n"),
        new_markdown_cell(
            f"**In your own words** ({extra.rubric_points} points)\n\n{extra.question.strip()}",
            id=f"{extra.name}-question",
        ),
        new_markdown_cell(
            written,
            id=f"{extra.name}-written",
            metadata=marked(grade_id=f"{extra.name}-written", grade=True, solution=True, points=extra.rubric_points),
        ),
    ]
