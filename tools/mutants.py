"""Change one thing in a published solution and ask its check: ``make mutants``.

A check is as strong as the wrong answers it refuses. Those registered in ``tests/checks`` are the ones somebody thought
of; here a machine changes the model answer of every exercise, one place at a time. Each mutant must be refused, or be
listed in ``tools/equivalent.py`` with the reason why it is right as well.
"""

import argparse
import ast
import contextlib
import io
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
import torch
from IPython.core.inputtransformer2 import TransformerManager

from tools.equivalent import equivalent
from tools.mutate import Mutant, mutants
from vqvae_course import check
from vqvae_course.assignments.page import needed, tags_of, take_apart
from vqvae_course.checks import Report, answer

ROOT = Path(__file__).resolve().parents[1]
SEED = 1711_00937
SECONDS = 10  # a mutant may never end


class Solution(NamedTuple):
    """The published answer to an exercise: its name, what must run before it, and its source."""

    exercise: str
    before: str
    source: str


def solutions(root: Path = ROOT) -> Iterator[Solution]:
    """Yield the published answer to each exercise, in the order of the book."""
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if not any("solution" in tags_of(cell) for cell in notebook.cells):
            continue
        page = take_apart(notebook)
        for exercise in page.exercises:
            (cell,) = [cell for cell in exercise.cells if "solution" in tags_of(cell)]
            before = "\n".join(_definitions(one.source) for one in needed(page.lesson, [cell]))
            yield Solution(exercise.name, before, _definitions(cell.source))


def _definitions(source: str) -> str:
    """Return the imports, functions and classes of a cell, without what it shows, trains or checks."""
    kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    body = ast.parse(TransformerManager().transform_cell(source)).body
    return "\n".join(ast.unparse(node) for node in body if isinstance(node, kept))


def verdict(solution: Solution) -> Report:
    """Return what the check says of a solution, on the same inputs each time."""
    space: dict[str, object] = {"__name__": "solution"}
    exec(solution.before, space)
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(solution.source, space)
        except Exception as error:  # a class body can fail where it stands
            return Report(solution.exercise, "not yet", repr(error))
        return check(solution.exercise, space[solution.exercise])


def survivors(solution: Solution, changed: list[Mutant]) -> list[str]:
    """Return the changes that the check accepts."""
    return [one.change for one in changed if verdict(solution._replace(source=one.source)).correct]


@contextlib.contextmanager
def same_inputs() -> Iterator[None]:
    """Let checks draw the same inputs each time, and wait less long."""
    before = answer.reseed, answer.SECONDS
    answer.reseed, answer.SECONDS = lambda: torch.manual_seed(SEED), SECONDS
    try:
        yield
    finally:
        answer.reseed, answer.SECONDS = before


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each exercise and for each mutant that needs one; return 1 if there is such a mutant."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("exercise", nargs="*", help="names of exercises; all if none is given")
    wanted = parser.parse_args(arguments).exercise
    total: Counter[str] = Counter()
    with same_inputs():
        for solution in solutions():
            if not wanted or solution.exercise in wanted:
                total += _tell(solution)
    print(", ".join(f"{count} {what}" for what, count in total.items()))
    return int(total["that survive"] + total["listed in vain"] > 0)


def _tell(solution: Solution) -> Counter[str]:
    changed = list(mutants(solution.source))
    alive = survivors(solution, changed)
    listed = equivalent(solution.exercise)
    unexplained = [change for change in alive if change not in listed]
    in_vain = sorted(listed - set(alive))
    refused, right = len(changed) - len(alive), len(alive) - len(unexplained)
    print(f"{solution.exercise:26} {len(changed):4} mutants {refused:4} refused {right:3} equivalent", flush=True)
    for what, changes in (("SURVIVES", unexplained), ("LISTED IN VAIN", in_vain)):
        for change in changes:
            print(f"    {what}: {change}")
    return Counter(
        {
            "mutants": len(changed),
            "refused": refused,
            "equivalent": right,
            "that survive": len(unexplained),
            "listed in vain": len(in_vain),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
