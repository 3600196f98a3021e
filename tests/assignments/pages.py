"""What the tests of assignments share: the notebooks with exercises, and their solutions."""

import re
from pathlib import Path

from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").glob("*.ipynb") if not path.stem.startswith("00"))


def solutions_of(notebook: NotebookNode) -> dict[str, str]:
    """Return the solutions of a notebook by the name of the exercise, without title and check."""
    found, name = {}, None
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags:
            name = re.search(r"(?:def|class) (\w+)", cell.source).group(1)
        elif "solution" in tags:
            lines = [line for line in cell.source.splitlines() if not line.startswith(("# @title", "check("))]
            found[name] = "\n".join(lines).strip()
    return found
