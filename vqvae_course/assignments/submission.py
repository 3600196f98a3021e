"""Reading what students handed in: any file may lie there, and none may stop the others from being read."""

import ast
import codecs
import json
import re
import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

FLAGS = ("grade", "solution", "locked", "task")
WORDS_OF_AN_ANSWER = 3
MARKS_OF_ENCODINGS = (  # the longer ones first, since one begins like another
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Unreadable(ValueError):
    """A file is no notebook of format 4; the message says why, and what to do."""


class Note(str):
    """A text that is only worth knowing, and asks nobody to act."""

    __slots__ = ()


@dataclass(frozen=True)
class Finding:
    """Something that a grade does not say.

    Attributes:
        student: Name of the student's folder.
        notebook: Name of the notebook, without ``.ipynb``; that of the assignment if it is about the whole folder.
        text: What was found, and what to do.
        note: Whether it is only worth knowing, and asks nobody to act.
    """

    student: str
    notebook: str
    text: str
    note: bool = False


def submissions(course: Path, assignment: str) -> list[tuple[Path, str]]:
    """Return (folder of the submission, name of the notebook) for all that should have been handed in.

    Raises:
        ValueError: If there is no such assignment.
    """
    names = notebooks_of(course, assignment)
    folders = [student / assignment for student in sorted((course / "submitted").glob("*"))]
    return [(folder, name) for folder in folders if folder.exists() for name in names]


def notebooks_of(course: Path, assignment: str) -> list[str]:
    """Return the names of the notebooks of an assignment.

    Raises:
        ValueError: If it has none.
    """
    names = sorted(path.stem for path in (course / "source" / assignment).glob("*.ipynb"))
    if not names:
        raise ValueError(f"course must hold source/{assignment} with notebooks, and {course} does not")
    return names


def bytes_of(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        Unreadable: If it cannot be opened.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except IsADirectoryError as error:
        raise Unreadable("is a folder, not a file: look for the notebook inside of it, or ask for it again") from error
    except OSError as error:
        raise Unreadable(
            f"cannot be opened ({error.strerror}): make the file readable for yourself, then run this again"
        ) from error


def parsed(data: bytes) -> dict[str, Any]:
    """Return the JSON of a notebook in any encoding that its bytes name, and nothing changed in it.

    Raises:
        Unreadable: If it is no notebook of format 3 or 4.
    """
    if not data.strip():
        raise Unreadable("is an empty file: ask for it again")
    try:
        found = json.loads(data.decode(encoding_of(data)))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"is no notebook that can be read ({str(error)[:100]}): ask for it again") from error
    if not isinstance(found, dict):
        raise Unreadable("is no notebook that can be read (it has no cells): ask for it again")
    number = format_of(found)
    if number not in (3, 4):
        raise Unreadable(
            f"is in notebook format {number!r}, and nbgrader reads format 4: ask for it again, saved in a current "
            "Jupyter"
        )
    cells = found.get("cells" if number == 4 else "worksheets")
    if not isinstance(cells, list):
        raise Unreadable("is no notebook that can be read (it has no cells): ask for it again")
    for place, cell in enumerate(cells if number == 4 else (), 1):
        _must_be_cell(cell, place)
    return found


def encoding_of(data: bytes) -> str:
    """Return the encoding that a file names at its beginning, or UTF-8."""
    return next((name for mark, name in MARKS_OF_ENCODINGS if data.startswith(mark)), "utf-8")


def format_of(found: dict[str, Any]) -> Any:
    """Return the number of a notebook's format; one without a number has cells at its top from format 4 on."""
    return found.get("nbformat", 4 if "cells" in found else 3)


def _must_be_cell(cell: Any, place: int) -> None:
    fine = isinstance(cell, dict) and isinstance(cell.get("cell_type"), str)
    fine = fine and isinstance(cell.get("metadata", {}), dict)
    source = cell.get("source", "") if fine else None
    if not isinstance(source, str) and not (isinstance(source, list) and all(isinstance(line, str) for line in source)):
        raise Unreadable(f"is no notebook that can be read (cell {place} is broken): ask for it again")


def read(path: Path, outputs: bool = False) -> NotebookNode:
    """Return a notebook in format 4, quickly also where it holds a lot of output.

    Args:
        path: The file.
        outputs: Keep what the cells printed.

    Raises:
        FileNotFoundError: If there is no such file.
        Unreadable: If it is no notebook.
    """
    return as_notebook(parsed(bytes_of(path)), outputs)


def as_notebook(found: dict[str, Any], outputs: bool = False) -> NotebookNode:
    """Return the notebook that a JSON describes; the JSON stays as it is.

    Raises:
        Unreadable: If it is in format 3, and cannot be converted.
    """
    if format_of(found) == 3:
        try:
            found = nbformat.convert(nbformat.versions[3].to_notebook_json(found), 4)
        except Exception as error:  # of whatever kind, for a file that anybody may have written
            raise Unreadable("is in notebook format 3, and cannot be converted: ask for it again") from error
    cells = [
        {
            **{name: value for name, value in cell.items() if name != "outputs"},
            "metadata": cell.get("metadata", {}),
            "source": text_of(cell),
            **({"outputs": cell.get("outputs", []) if outputs else []} if cell["cell_type"] == "code" else {}),
        }
        for cell in found["cells"]
    ]
    return nbformat.from_dict({"metadata": {}, "nbformat": 4, "nbformat_minor": 5, "cells": cells})


def text_of(cell: dict[str, Any]) -> str:
    """Return the source of a cell, which a file may hold as one text or as lines."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def plain(source: str) -> str:
    """Return a source without what no reader sees: kinds of line ends, spaces at the end of lines, empty last lines."""
    return "\n".join(line.rstrip() for line in source.replace("\r\n", "\n").replace("\r", "\n").split("\n")).strip("\n")


def marks_of(cell: NotebookNode) -> dict[str, Any]:
    """Return nbgrader's marks on a cell, empty if it has none."""
    marks = cell.get("metadata", {}).get("nbgrader")
    return marks if isinstance(marks, dict) else {}


def grade_id_of(cell: NotebookNode) -> str:
    """Return the name that nbgrader has for a cell, empty if it knows it not."""
    return str(marks_of(cell).get("grade_id") or "")


def id_of(cell: NotebookNode) -> str:
    """Return a cell's id, which an older format and Colab keep in the metadata; empty if it has none."""
    return str(cell.get("id") or cell.get("metadata", {}).get("id") or "")


def wanted(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Return the cells that nbgrader knows, by their grade ids."""
    return {grade_id_of(cell): cell for cell in notebook.cells if grade_id_of(cell)}


def is_answer(cell: NotebookNode) -> bool:
    """Say whether a cell is code that a student completes."""
    return cell.cell_type == "code" and bool(marks_of(cell).get("solution"))


def is_check(cell: NotebookNode) -> bool:
    """Say whether a cell is code that gives points."""
    return cell.cell_type == "code" and bool(marks_of(cell).get("grade"))


def is_written(cell: NotebookNode) -> bool:
    """Say whether a cell is an answer in words."""
    return cell.cell_type == "markdown" and bool(marks_of(cell).get("grade"))


def same_marks(cell: NotebookNode, original: NotebookNode) -> bool:
    """Say whether nbgrader would treat a cell as it treats the original one."""
    ours, theirs = marks_of(cell), marks_of(original)
    same = all(bool(ours.get(flag)) == bool(theirs.get(flag)) for flag in FLAGS)
    return same and grade_id_of(cell) == grade_id_of(original)


def copies(notebook: NotebookNode, released: NotebookNode) -> list[NotebookNode]:
    """Return cells that share their grade id with another one and are not the one to keep.

    That is the cell in place, known by its id, or else the last one; and where it is the untouched stub, the last copy
    that is not.
    """
    originals = wanted(released)
    known = [cell for cell in notebook.cells if grade_id_of(cell)]
    kept = {}
    for name in {grade_id_of(cell) for cell in known}:
        alike = [cell for cell in known if grade_id_of(cell) == name]
        original = originals.get(name)
        in_place = [cell for cell in alike if original is not None and id_of(cell) == id_of(original) != ""]
        best = (in_place or alike)[-1]
        if original is not None and plain(best.source) == plain(original.source):
            best = next((one for one in reversed(alike) if plain(one.source) != plain(original.source)), best)
        kept[name] = best
    return [cell for cell in known if kept[grade_id_of(cell)] is not cell]


def strays(notebook: NotebookNode, released: NotebookNode) -> list[int]:
    """Return where cells have marks that the release does not know, at which nbgrader stops.

    Exercises that are no longer in the release leave them behind.
    """
    originals, places = wanted(released), matched(notebook, released).values()
    copied = copies(notebook, released)
    return [
        place
        for place, cell in enumerate(notebook.cells)
        if any(marks_of(cell).get(flag) for flag in FLAGS) and grade_id_of(cell) not in originals
        if place not in places and not any(cell is one for one in copied)
    ]


def beside_unanswered(notebook: NotebookNode, released: NotebookNode, given: Collection[str]) -> list[str]:
    """Return the questions whose cell for the answer is untouched, while text of the student's own stands next to it.

    Args:
        notebook: What was handed in.
        released: What was handed out.
        given: Plain sources of all texts that were handed out.
    """
    originals, places = wanted(released), matched(notebook, released)

    def is_own(cell: NotebookNode) -> bool:
        enough = len(re.findall(r"\w+", cell.source)) >= WORDS_OF_AN_ANSWER
        return cell.cell_type == "markdown" and enough and plain(cell.source) not in given

    def ends(place: int) -> bool:
        cell = notebook.cells[place]
        is_heading = cell.cell_type == "markdown" and cell.source.startswith("#") and plain(cell.source) in given
        return is_heading or place in places.values() or bool(grade_id_of(cell))

    found = []
    for name, place in places.items():
        untouched = plain(notebook.cells[place].source) == plain(originals[name].source)
        if not (is_written(originals[name]) and untouched):
            continue
        above = [place - 1] if place and not ends(place - 1) else []
        below = takewhile(lambda one: not ends(one), range(place + 1, len(notebook.cells)))
        if any(is_own(notebook.cells[one]) for one in (*above, *below)):
            found.append(name)
    return found


def matched(notebook: NotebookNode, released: NotebookNode) -> dict[str, int]:
    """Return where the released cells that nbgrader knows are in a notebook, by grade id, marks or no marks.

    A cell is known by its grade id, by its own id, a locked one by its source, an answer by the function that it
    defines, and an answer in words by the question above it.
    """
    originals, copied = wanted(released), copies(notebook, released)
    lesson = {plain(cell.source) for cell in released.cells if not grade_id_of(cell)}
    found: dict[str, int] = {}
    unmarked = []
    for place, cell in enumerate(notebook.cells):
        if grade_id_of(cell) in originals:
            if not any(cell is one for one in copied):
                found[grade_id_of(cell)] = place
        elif plain(cell.source) not in lesson:
            unmarked.append(place)
    questions = {
        grade_id_of(cell): plain(above.source) for above, cell in zip(released.cells, released.cells[1:], strict=False)
    }

    def same_question(cell: NotebookNode, original: NotebookNode) -> bool:
        place = next(number for number, one in enumerate(notebook.cells) if one is cell)
        above = plain(notebook.cells[place - 1].source) if place else None
        return is_written(original) and cell.cell_type == "markdown" and above == questions.get(grade_id_of(original))

    for known_by in (_same_id, _same_locked_source, _same_definition, same_question):
        for name, original in originals.items():
            free = [place for place in unmarked if place not in found.values()]
            fits = [place for place in free if known_by(notebook.cells[place], original)]
            if name not in found and fits:
                found[name] = fits[-1]  # what is defined last is what the check gets
    return found


class Gone(NamedTuple):
    """Released cells that nbgrader knows and that are not in a notebook, by their grade ids.

    Attributes:
        checks: Without them an answer gets nothing, right or wrong.
        elsewhere: Answers whose functions other cells define, which costs nothing.
        missing: What is nowhere, not even in a cell whose syntax is broken.
    """

    checks: list[str]
    elsewhere: list[str]
    missing: list[str]


def gone(notebook: NotebookNode, released: NotebookNode) -> Gone:
    """Return which released cells that nbgrader knows are not in a notebook, told apart by what that costs."""
    places = matched(notebook, released)
    absent = {name: cell for name, cell in wanted(released).items() if name not in places}
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    names, anywhere = set().union(*map(bound, code)), set().union(*map(defined, code))
    checks = [name for name, cell in absent.items() if marks_of(cell).get("locked")]
    asked = {name: defined(cell.source) for name, cell in absent.items() if is_answer(cell)}
    elsewhere = [name for name, functions in asked.items() if functions and functions <= names]
    written_down = [name for name, functions in asked.items() if functions and functions <= anywhere]
    return Gone(checks, elsewhere, [name for name in absent if name not in (*checks, *elsewhere, *written_down)])


def stubs_below_answers(notebook: NotebookNode, released: NotebookNode) -> list[str]:
    """Return the answers between which and their checks the untouched stub stands once more, and wins."""
    places, originals = matched(notebook, released), wanted(released)
    names, found = list(originals), []
    for number, name in enumerate(names):
        if name not in places or not is_answer(originals[name]):
            continue
        stub, answer = plain(originals[name].source), notebook.cells[places[name]]
        check = next((other for other in names[number:] if is_check(originals[other])), "")
        between = notebook.cells[places[name] + 1 : places.get(check, len(notebook.cells))]
        if plain(answer.source) != stub and any(plain(cell.source) == stub for cell in between):
            found.append(name)
    return found


def _same_id(cell: NotebookNode, original: NotebookNode) -> bool:
    return id_of(cell) == id_of(original) != ""


def _same_locked_source(cell: NotebookNode, original: NotebookNode) -> bool:
    return bool(marks_of(original).get("locked")) and plain(cell.source) == plain(original.source)


def _same_definition(cell: NotebookNode, original: NotebookNode) -> bool:
    return is_answer(original) and cell.cell_type == "code" and bool(defined(cell.source) & defined(original.source))


@lru_cache(maxsize=4096)  # most cells are those that were handed out
def python_of(source: str) -> ast.Module:
    """Return the syntax tree of a code cell, with IPython's own syntax as the calls that it stands for.

    It is shared: whoever changes it, copies it first.

    Raises:
        SyntaxError: If it is no Python.
    """
    lines = source.replace("\r\n", "\n").replace("\r", "\n")
    empty = len(lines) - len(lines.lstrip("\n"))  # IPython drops them, and lines shall keep their numbers
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on escapes such as "\d"
            return ast.increment_lineno(ast.parse(TransformerManager().transform_cell(lines)), empty)
    except (ValueError, RecursionError, MemoryError, RuntimeError) as error:  # null bytes, a thousand brackets
        raise SyntaxError(str(error)) from error


def defined(source: str) -> set[str]:
    """Return the names of the functions and classes that a code cell defines, also where its syntax is broken."""
    try:
        body = python_of(source).body
    except SyntaxError:
        return set(re.findall(r"^(?:async )?(?:def|class) (\w+)", source, re.M))
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}


def bound(source: str) -> set[str]:
    """Return the names that a code cell gives a value in whatever way, and none if its syntax is broken."""
    try:
        return bound_by(python_of(source).body)
    except (SyntaxError, RecursionError):
        return set()


def bound_by(body: Iterable[ast.AST]) -> set[str]:
    """Return the names that get a value where some code stands, not inside of the functions and classes in it."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue  # what is in it has names of its own
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            names |= {one.target.id for one in ast.walk(node) if isinstance(one, ast.NamedExpr)}
            continue  # the other names in it are its own
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
        names |= bound_by(ast.iter_child_nodes(node))
    return names
