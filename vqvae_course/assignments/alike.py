"""Answers that are the same but for names, comments and layout."""

import ast
import copy
import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from vqvae_course.assignments.submission import (
    Unreadable,
    bound_by,
    defined,
    is_answer,
    is_written,
    matched,
    plain,
    python_of,
    read,
    submissions,
    wanted,
)

# 17 of the 75 published solutions of functions are shorter: a formula in a line, which most people write alike. Of the
# right answers that tests/checks registers, written to differ from each other, no two of this size are the same.
NODES = 30
WORDS = 8  # of an answer in words; fewer are a yes, a no or a number
SOLUTION = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.S)
NUMBER = re.compile(r"^#+ Exercise (\w+\.\d+)", re.M)
PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font-family: sans-serif; margin: 1em }}
.group {{ display: flex; gap: 1em; overflow-x: auto }}
.group div {{ min-width: 24em; flex: 1 }}
pre {{ border: 1px solid #ccc; padding: 0.6em; white-space: pre-wrap }}
</style></head><body><h1>{title}</h1>
<p>Answers in a row are the same but for names of variables, comments and layout. That alone proves nothing.</p>
{groups}
</body></html>
"""


@dataclass(frozen=True)
class Group:
    """Students with the same answer to an exercise.

    Attributes:
        notebook: Name of the notebook.
        exercise: Number and name of the exercise.
        students: Names of their folders.
        answers: What each of them wrote.
        size: Of the answer, such as "38 nodes" of its syntax tree, or "12 words".
        published: Whether it is the published solution.
    """

    notebook: str
    exercise: str
    students: tuple[str, ...]
    answers: tuple[str, ...]
    size: str
    published: bool = False

    def __str__(self) -> str:
        if self.published:
            count = f"{len(self.students)} answer{'s are' if len(self.students) > 1 else ' is'}"
            return f"{count} the published solution of {self.exercise}"
        return f"{self.exercise}: {', '.join(self.students)} ({self.size})"


def alike(course: Path, assignment: str) -> list[Group]:
    """Return groups of students whose answers are the same, and which are longer than what everybody writes.

    Comments, docstrings, annotations, layout and the names of local variables do not count. Untouched stubs and the
    published solutions are left out; ``published`` counts those.

    Raises:
        ValueError: If there is no such assignment.
    """
    return [group for group in _groups(course, assignment) if not group.published and len(group.students) > 1]


def published(course: Path, assignment: str) -> list[Group]:
    """Return who answered with the published solution, one group an exercise.

    Raises:
        ValueError: If there is no such assignment.
    """
    return [group for group in _groups(course, assignment) if group.published]


@dataclass(frozen=True)
class _Exercise:
    title: str
    released: NotebookNode  # the cell
    functions: frozenset[str]  # that it asks for
    solution: str  # normalised; empty if there is none


def _groups(course: Path, assignment: str) -> list[Group]:
    exercises: dict[str, dict[str, _Exercise]] = {}
    references: dict[str, NotebookNode] = {}
    found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    sizes: dict[str, str] = {}
    for folder, name in submissions(course, assignment):
        if name not in exercises:
            source = read(course / "source" / assignment / f"{name}.ipynb")
            references[name] = _released(course, assignment, name, source)
            exercises[name] = _exercises(source, references[name])
        try:
            notebook = read(folder / f"{name}.ipynb")
        except (FileNotFoundError, Unreadable):
            continue  # which looks.py says
        places = matched(notebook, references[name])
        for grade_id, exercise in exercises[name].items():
            if grade_id not in places:
                continue
            answer = notebook.cells[places[grade_id]].source
            if plain(answer) == plain(exercise.released.source):
                continue
            key, size = _words(answer) if is_written(exercise.released) else _code(answer, exercise.functions)
            if key:
                sizes[key] = size
                found.setdefault((name, grade_id, key), []).append((folder.parent.name, answer))

    def in_order(one: tuple[tuple[str, str, str], list]) -> tuple[str, int]:
        (name, grade_id, _), _ = one
        return name, list(exercises[name]).index(grade_id)

    return [
        Group(
            name,
            exercises[name][grade_id].title,
            tuple(student for student, _ in pairs),
            tuple(answer for _, answer in pairs),
            sizes[key],
            key == exercises[name][grade_id].solution,
        )
        for (name, grade_id, key), pairs in sorted(found.items(), key=in_order)
        if key == exercises[name][grade_id].solution or _long(sizes[key])
    ]


def _released(course: Path, assignment: str, name: str, source: NotebookNode) -> NotebookNode:
    try:
        return read(course / "release" / assignment / f"{name}.ipynb")
    except (FileNotFoundError, Unreadable):
        return source


def _exercises(source: NotebookNode, released: NotebookNode) -> dict[str, _Exercise]:
    """Return the answers that a notebook asks for by grade id, with the number that the text above gives them."""
    found, number, stubs = {}, "", wanted(released)
    for cell in source.cells:
        if cell.cell_type == "markdown" and (heading := NUMBER.search(cell.source)):
            number = heading[1]
        elif cell.cell_type == "markdown" and cell.source.startswith("#"):
            number = ""
        for name in [name for name, one in wanted(source).items() if one is cell and name in stubs]:
            if is_answer(cell) or is_written(cell):
                solution = SOLUTION.search(cell.source) if is_answer(cell) else None
                functions = frozenset(defined(stubs[name].source)) if is_answer(cell) else frozenset()
                key = _code(solution[1], functions)[0] if solution and defined(solution[1]) else ""
                found[name] = _Exercise(f"{number} {name}".strip(), stubs[name], functions, key)
    return found


def _long(size: str) -> bool:
    count, unit = size.split()
    return int(count) >= (NODES if unit == "nodes" else WORDS)


def _words(answer: str) -> tuple[str, str]:
    words = answer.casefold().split()
    return " ".join(words), f"{len(words)} words"


def _code(answer: str, functions: frozenset[str]) -> tuple[str, str]:
    """Return what is left of an answer without names, comments and layout, and its size; nothing if it is no Python."""
    try:
        tree = normalised(answer, functions)
        return ast.dump(tree, annotate_fields=False), f"{nodes(tree)} nodes"
    except (SyntaxError, RecursionError):
        return "", "0 nodes"


def nodes(tree: ast.AST) -> int:
    """Return the size of a syntax tree, without what only says whether a name is read or written."""
    return sum(not isinstance(node, ast.expr_context) for node in ast.walk(tree))


def normalised(source: str, functions: frozenset[str]) -> ast.Module:
    """Return the syntax tree of the definitions in a cell, with its own names numbered in order of appearance.

    Args:
        source: Of the cell.
        functions: Names that the exercise asks for, which stay.

    Raises:
        SyntaxError: If it is no Python.
    """
    body = [node for node in python_of(source).body if not isinstance(node, ast.Expr | ast.Import | ast.ImportFrom)]
    last = {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    body = [node for node in body if last.get(getattr(node, "name", None), node) is node]  # no stub above its answer
    return _Renamer(bound_by(body) - functions).visit(ast.Module(copy.deepcopy(body), []))


class _Renamer(ast.NodeTransformer):
    """Numbers local names and drops what a program does not need."""

    def __init__(self, names: Iterable[str]):
        self._scopes: list[dict[str, str | None]] = [dict.fromkeys(names)]

    def _name(self, name: str) -> str:
        for depth, scope in reversed(list(enumerate(self._scopes))):
            if name in scope:
                if scope[name] is None:
                    scope[name] = f"_{depth}_{sum(one is not None for one in scope.values())}"
                return scope[name] or name
        return name

    def _within(self, names: Iterable[str], node: ast.AST) -> ast.AST:
        self._scopes.append(dict.fromkeys(names))
        self.generic_visit(node)
        self._scopes.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self._name(node.name)
        node.body = _without_text(node.body)
        node.returns = None
        outside = {name for one in ast.walk(node) if isinstance(one, ast.Global | ast.Nonlocal) for name in one.names}
        arguments = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
        return self._within((bound_by(node.body) | arguments) - outside, node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._within({one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}, node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._name(node.name)
        node.body = _without_text(node.body)
        self._scopes.append({})  # names of attributes and methods are seen from outside
        self.generic_visit(node)
        self._scopes.pop()
        return node

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> ast.AST:
        inner = [one for part in node.generators for one in ast.walk(part.target) if isinstance(one, ast.Name)]
        return self._within([one.id for one in inner], node)

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._name(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation, node.type_comment = self._name(node.arg), None, None
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.name = node.name and self._name(node.name)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        return ast.Assign([node.target], node.value) if node.value else None


def _without_text(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements without docstrings and other lone texts."""
    kept = [one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    return kept or [ast.Pass()]


def page(groups: Iterable[Group], title: str) -> str:
    """Return a page of HTML that needs nothing else, with the answers of each group side by side."""
    parts = []
    for group in groups:
        columns = "".join(
            f"<div><h3>{html.escape(student)}</h3><pre>{html.escape(answer)}</pre></div>"
            for student, answer in zip(group.students, group.answers, strict=True)
        )
        heading = html.escape(f"{group.notebook}, {group.exercise} ({group.size})")
        parts.append(f'<h2>{heading}</h2>\n<div class="group">{columns}</div>')
    return PAGE.format(title=html.escape(title), groups="\n".join(parts) or "<p>No two answers are alike.</p>")
