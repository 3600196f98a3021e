"""Feedback as students get it: their answers and what the checks said, not how they were graded."""

import re

from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

HIDDEN = (
    re.compile(r"\n?### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS", re.DOTALL),
    re.compile(r"\n*=== BEGIN MARK SCHEME ===.*?=== END MARK SCHEME ===", re.DOTALL),
)
PATH = re.compile(r"""(?<![\w:/])(?:/[\w.@+ -]+){2,}/(?=[\w.-]+\.py)|[A-Za-z]:\\(?:[\w.@+ -]+\\)+(?=[\w.-]+\.py)""")
TERMINAL = re.compile(r"\x1b\[[0-9;]*m")


class HideGrading(NbGraderPreprocessor):
    """Take hidden tests, rubrics, tracebacks of checks and the paths of the grading machine out of feedback."""

    def preprocess_cell(
        self, cell: NotebookNode, resources: ResourcesDict, index: int
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Change one cell."""
        for region in HIDDEN:
            cell.source = region.sub("", cell.source)
        for output in cell.get("outputs", []):
            if output.output_type != "error":
                continue
            if output.ename in ("CheckFailed", "Tampered"):  # all that matters is what the check said
                output.traceback = [f"{output.ename}: {output.evalue}"]
            else:
                output.traceback = [PATH.sub("", TERMINAL.sub("", line)) for line in output.traceback]
        return cell, resources
