"""A small course by hand: one assignment with two exercises and a question, and what students hand in."""

import os
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest.mock import patch

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

NAME = "03_small"
IMPORTS = "import math\n\nimport torch\nimport torch.nn.functional as F\n\nfrom vqvae_course import check"
FIRST = "def first(x):\n    return x + 1"
SECOND = """\
def second(x, y):
    total = 0.0
    for a, b in zip(x, y):
        total = total + (a - b) ** 2
    return total / len(x)"""
STUBS = {
    name: f"def {name}({given}):\n    raise NotImplementedError" for name, given in (("first", "x"), ("second", "x, y"))
}
WORDS = "The codes move because the loss pulls them towards the latents."


def marks(**given: object) -> dict:
    usual = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    return {"nbgrader": usual | given}


def answer(name: str, source: str) -> NotebookNode:
    return new_code_cell(source, id=f"{name}-stub", metadata=marks(grade_id=name, solution=True))


def a_copy(name: str, source: str) -> NotebookNode:
    made = answer(name, source)
    made.id = "copy"
    return made


def a_check(name: str) -> NotebookNode:
    made = marks(grade_id=f"{name}-check", grade=True, locked=True, points=5)
    return new_code_cell(f'check("{name}", {name}, strict=True)', id=f"{name}-check", metadata=made)


def notebook(answers: dict[str, str], written: str = "*Your answer here.*") -> NotebookNode:
    cells = [
        new_markdown_cell("# Small", id="title"),
        new_code_cell(IMPORTS, id="imports"),
        new_markdown_cell("### Exercise 3.1 — one", id="first-text"),
        answer("first", answers["first"]),
        a_check("first"),
        new_markdown_cell("### Exercise 3.2 — two", id="second-text"),
        answer("second", answers["second"]),
        a_check("second"),
        new_markdown_cell("**In your own words** (2 points)\n\nWhy?", id="why-question"),
        new_markdown_cell(
            written, id="why-written", metadata=marks(grade_id="why", grade=True, solution=True, points=2)
        ),
    ]
    return new_notebook(cells=cells)


def write(path: Path, made: NotebookNode) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(made), encoding="utf-8")
    return path


def make(folder: Path) -> Path:
    """Make the course, with nothing handed in."""
    solved = {
        name: f"{STUBS[name]}\n\n\n### BEGIN SOLUTION\n{solution}\n### END SOLUTION"
        for name, solution in (("first", FIRST), ("second", SECOND))
    }
    source = notebook(solved, "### BEGIN SOLUTION\nA rubric.\n### END SOLUTION")
    for cell in source.cells:
        if cell.id.endswith("-check"):
            cell.source += "\n### BEGIN HIDDEN TESTS\ncheck_again()\n### END HIDDEN TESTS"
    write(folder / "source" / "ps1" / f"{NAME}.ipynb", source)
    write(folder / "release" / "ps1" / f"{NAME}.ipynb", notebook(STUBS))
    return folder


def path_of(course: Path, student: str, step: str = "submitted", name: str = f"{NAME}.ipynb") -> Path:
    return course / step / student / "ps1" / name


def hand_in(
    course: Path,
    student: str,
    first: str = FIRST,
    second: str = SECOND,
    written: str = "*Your answer here.*",
    change: Callable[[NotebookNode], None] = lambda made: None,
    more: Iterable[str] = (),
    name: str = f"{NAME}.ipynb",
) -> Path:
    """Hand in the notebook with these answers, changed, and with more cells at its end."""
    made = notebook({"first": first, "second": second}, written)
    made.cells += [new_code_cell(source, id=f"more-{place}") for place, source in enumerate(more)]
    change(made)
    return write(path_of(course, student, name=name), made)


def cell(made: NotebookNode, cell_id: str) -> NotebookNode:
    return next(one for one in made.cells if one.get("id") == cell_id)


def without(*ids: str) -> Callable[[NotebookNode], None]:
    def change(made: NotebookNode) -> None:
        made.cells = [one for one in made.cells if one.id not in ids]

    return change


def stripped(made: NotebookNode) -> None:
    for one in made.cells:
        one.metadata = {}


def texts(found: Iterable, student: str) -> list[str]:
    return [one.text for one in found if one.student == student]


def put_into_gradebook(course: Path, points: dict[str, float]) -> None:
    """Give students points of 10 in a gradebook."""
    from nbgrader.api import Gradebook

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader starts alembic by its name
    with warnings.catch_warnings(), patch.dict(os.environ, PATH=path):
        warnings.simplefilter("ignore")  # SQLAlchemy's, on how nbgrader adds a submission
        with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
            book.add_assignment("ps1")
            book.add_notebook(NAME, "ps1")
            book.add_grade_cell("first-check", NAME, "ps1", max_score=10, cell_type="code")
            for student, reached in points.items():
                book.add_student(student)
                book.add_submission("ps1", student)
                book.find_grade("first-check", NAME, "ps1", student).auto_score = reached
            book.db.commit()


def graded(course: Path, student: str, *outputs: dict, made: NotebookNode | None = None) -> Path:
    """Put a notebook where nbgrader puts what it has run, with outputs of the first check."""
    made = made or notebook({"first": FIRST, "second": SECOND})
    for one in made.cells:
        if one.cell_type == "code":
            one.execution_count = 1
    cell(made, "first-check").outputs = [nbformat.v4.new_output(**output) for output in outputs]
    return write(path_of(course, student, "autograded"), made)


def an_error(kind: str, text: str) -> dict:
    return {"output_type": "error", "ename": kind, "evalue": text, "traceback": []}
