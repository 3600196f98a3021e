"""The notebook with variants that nbgrader releases, the same for all, and what is handed out to one student."""

from collections.abc import Sequence

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from vqvae_course.assignments.convert import answer_cell, marked
from vqvae_course.assignments.variants.draw import Part, Variant, heading, module_of

PLACEHOLDER = "Your own task is in the notebook that was handed out to you."
HAND_IN = """\
# {title}

> **Everybody has other numbers.** They are in the notebook that was handed out to you, and your answers are judged by \
them; somebody else's notebook, or numbers, get no points. Leave the cells that hold your numbers as they are. Write \
each answer where the function says `raise NotImplementedError`, and run the cell below it: it says whether the *form* \
is right, such as shapes and types. Whether the content is right is judged when answers are graded. You may compute \
with whatever you like. Do not rename, split or copy cells or rename functions, hand in the notebook under its own \
name, and choose *Restart and run all* before you do."""
COLAB = """\
import sys

if "google.colab" in sys.modules:
    %pip install -q git+https://github.com/vqvae-course/vqvae-course"""
SETUP = """\
import math

import torch
import torch.nn.functional as F

from vqvae_course.assignments.variants import check_form"""
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


def source(assignment: str, families: Sequence[str]) -> NotebookNode:
    """Return the instructor's version: no student's numbers, hidden tests that judge by those of whoever handed in.

    Args:
        assignment: Its name.
        families: Which exercises, in this order.
    """
    cells = [
        new_markdown_cell(HAND_IN.format(title=assignment), id="hand-in"),
        new_code_cell(COLAB, id="colab", metadata={"tags": ["hide-input"]}),
        new_code_cell(SETUP, id="setup", metadata=marked(grade_id="setup", locked=True)),
        new_code_cell(_whose(""), id="whose"),
    ]
    for family in families:
        cells.append(new_markdown_cell(heading(family) + PLACEHOLDER, id=f"{family}-task"))
        cells.append(new_code_cell(f"GIVEN[{family!r}] = None  # yours stand here", id=f"{family}-given"))
        for part in module_of(family).PARTS:
            cells += _cells_of(part)
    return new_notebook(cells=cells, metadata=KERNEL)


def _whose(student: str) -> str:
    return f"STUDENT = {student!r}\nGIVEN = {{}}"


def _cells_of(part: Part) -> list[NotebookNode]:
    text = [new_markdown_cell(part.task.strip(), id=f"{part.name}-text")] if part.task else []
    nothing = "### BEGIN SOLUTION\n# Everybody has another one.\n### END SOLUTION"
    check = f"""\
check_form("{part.name}", {part.name}, GIVEN)
### BEGIN HIDDEN TESTS
from vqvae_course.assignments.variants import check_value

check_value("{part.name}", {part.name}, STUDENT, GIVEN)
### END HIDDEN TESTS"""
    marks = marked(grade_id=f"{part.name}-check", grade=True, locked=True, points=part.points)
    return [
        *text,
        answer_cell(f"{part.name}-stub", part.name, f"{part.stub.strip()}\n\n\n{nothing}"),
        new_code_cell(check, id=f"{part.name}-check", metadata={**marks, "tags": ["raises-exception"]}),
    ]


def handout(released: NotebookNode, student: str, variants: Sequence[Variant]) -> NotebookNode:
    """Return a copy of what nbgrader released with a student's name, tasks and numbers in its unlocked cells.

    Raises:
        ValueError: If the released notebook lacks a cell for them, or still holds hidden tests.
    """
    filled = {"whose": _whose(student)}
    for variant in variants:
        filled |= {f"{variant.family}-task": variant.text, f"{variant.family}-given": variant.cell}
    made = from_dict(released)
    missing = filled.keys() - {cell.id for cell in made.cells}
    if missing or any("HIDDEN TESTS" in cell.source for cell in made.cells):
        raise ValueError(
            "the released notebook must be what nbgrader made of this assignment's source, and is not: run nbgrader "
            "generate_assignment with --force, then this again"
        )
    for cell in made.cells:
        cell.source = filled.get(cell.id, cell.source)
    return made
