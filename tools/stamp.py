"""The stamp in a notebook's metadata: what its stored outputs were made from, where and on what."""

import ast
import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from nbformat import NotebookNode

KEY = "vqvae_course"
PACKAGE = Path(__file__).resolve().parents[1] / "vqvae_course"
# What these do is either shown by outputs that every test compares, or by none.
APART = ("vqvae_course", "vqvae_course.checks", "vqvae_course.assignments", "vqvae_course.cli")


def code_sha256(nb: NotebookNode) -> str:
    """Hash the sources of the code cells, in order. Prose may change without new outputs, code may not."""
    sources = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    return sha256(json.dumps(sources).encode()).hexdigest()


def modules_sha256(names: Iterable[str], package: Path = PACKAGE) -> dict[str, str]:
    """Hash the code of modules of the package, without comments and docstrings.

    Args:
        names: Of imported modules; those of other packages, and those whose outputs are compared in every test or
            shown nowhere, are left out.
        package: The folder of ``vqvae_course``.

    Returns:
        From the name of a module to its hash; empty for one that is no longer there.
    """
    wanted = sorted(name for name in names if name.startswith("vqvae_course.") and not _apart(name))
    return {name: _hash(package.joinpath(*name.split(".")[1:])) for name in wanted}


def _apart(name: str) -> bool:
    return any(name == other or (other.count(".") and name.startswith(f"{other}.")) for other in APART)


def _hash(place: Path) -> str:
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if not path.is_file():
        return ""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return sha256(ast.unparse(tree).encode()).hexdigest()
