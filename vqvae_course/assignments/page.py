"""The parts of a notebook of the course: its lesson, its exercises, and what the exercises take from the lesson."""

import ast
import builtins
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

HEADING = re.compile(r"^### Exercise (\w+\.\d+) — (.+)$", re.MULTILINE)
MINUTES = re.compile(r"\*difficulty [●○]+ · (\d+) min · ")


@dataclass(frozen=True)
class Exercise:
    """An exercise on a page.

    Attributes:
        number: Such as ``3.1``, on an appendix page ``A1.1``.
        title: Its heading.
        name: Of the function or class to be written.
        minutes: That it takes.
        cells: From what introduces it to its folded solution.
    """

    number: str
    title: str
    name: str
    minutes: int
    cells: Sequence[NotebookNode]


@dataclass(frozen=True)
class Page:
    """A notebook, taken apart.

    Attributes:
        lesson: The cells before the heading of the exercises.
        introduction: That heading, and what all exercises share.
        exercises: In the order of the page.
        rest: The cells behind them.
    """

    lesson: Sequence[NotebookNode]
    introduction: Sequence[NotebookNode]
    exercises: Sequence[Exercise]
    rest: Sequence[NotebookNode]


def take_apart(notebook: NotebookNode) -> Page:
    """Return the parts of a notebook.

    Raises:
        ValueError: If it has no exercises, or one of them lacks its heading, its stub or its solution.
    """
    cells = notebook.cells
    start = next((n for n, cell in enumerate(cells) if cell.source.startswith("## Exercises")), None)
    if start is None:
        raise ValueError("a notebook must have a heading '## Exercises', got none")
    first = next((n for n in range(start + 1, len(cells)) if cells[n].source.startswith("### ")), len(cells))
    solved = [n for n in range(start, len(cells)) if "solution" in tags_of(cells[n])]
    borders = [first, *(n + 1 for n in solved)]
    exercises = [_exercise(cells[a:b]) for a, b in pairwise(borders)]
    rest = cells[borders[-1] :]
    if left := [cell for cell in rest if "exercise" in tags_of(cell)]:
        raise ValueError(f"exercise {defined_by(left[0].source)} must be followed by its solution, got none")
    return Page(cells[:start], cells[start:first], exercises, rest)


def _exercise(cells: Sequence[NotebookNode]) -> Exercise:
    stubs = [cell for cell in cells if "exercise" in tags_of(cell)]
    texts = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    heading, minutes = HEADING.search(texts), MINUTES.search(texts)
    if len(stubs) != 1 or not (heading and minutes):
        raise ValueError(f"an exercise must have a numbered heading, its minutes and one stub, got {texts[:80]!r}")
    return Exercise(heading[1], heading[2], defined_by(stubs[0].source), int(minutes[1]), cells)


def tags_of(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


def defined_by(stub: str) -> str:
    """Return the name of the one function or class that a stub defines."""
    names = [node.name for node in ast.parse(stub).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    if len(names) != 1:
        raise ValueError(f"a stub must define one function or class, got {names}")
    return names[0]


def needed(lesson: Sequence[NotebookNode], cells: Iterable[NotebookNode]) -> list[NotebookNode]:
    """Return the code cells of a lesson without which some later cells cannot run, in their order.

    The cells that import are always among them: an answer may use what the lesson has imported.

    Args:
        lesson: Cells that come before.
        cells: The later ones.
    """
    wanted = set().union(*(_free(cell) for cell in cells if cell.cell_type == "code"))
    kept: list[NotebookNode] = []
    for cell in reversed(lesson):
        if cell.cell_type != "code":
            continue
        bound = _bound(cell)
        if bound & wanted or _imports(cell):
            kept.append(cell)
            wanted = (wanted - bound) | _free(cell) | _changed(cell)
    return kept[::-1]


def _tree(cell: NotebookNode) -> ast.Module:
    return ast.parse(TransformerManager().transform_cell(cell.source))


def _imports(cell: NotebookNode) -> bool:
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(_tree(cell)))


def _bound(cell: NotebookNode) -> set[str]:
    """Return the names that a cell binds, and those whose object it changes (``codes[0] = ...``)."""
    return _stored(_tree(cell)) | _changed(cell)


def _stored(tree: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return names


def _changed(cell: NotebookNode) -> set[str]:
    """Return the names of objects into which a cell stores something."""
    targets = [
        node
        for node in ast.walk(_tree(cell))
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _free(cell: NotebookNode) -> set[str]:
    """Return the names that a cell takes from elsewhere."""
    tree = _tree(cell)
    loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    parameters = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return loaded - parameters - (_stored(tree) - _also_read_before(tree)) - set(dir(builtins))


def _also_read_before(tree: ast.Module) -> set[str]:
    """Return names that a cell reads in a statement before the one that binds them (``x = x + 1`` counts)."""
    found, bound = set(), set()
    for statement in tree.body:
        read = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        if isinstance(statement, ast.Assign | ast.AugAssign):
            found |= read - bound
        bound |= _stored(statement)
    return found
