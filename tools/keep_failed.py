"""Keep what a failing notebook showed: a plugin of pytest beside nbval, which throws it away.

With ``-p tools.keep_failed`` a notebook in which a cell fails is written to ``_build/failed``, with the outputs of this
run, the error where it happened among them.
"""

from collections.abc import Generator
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell

RAN = pytest.StashKey[NotebookNode]()
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what a cell showed; once one has failed, write the notebook after it and after each that follows."""
    report = yield
    if isinstance(item, IPyNbCell) and (call.when == "call" or report.failed):
        notebook = item.parent.stash.setdefault(RAN, _without_outputs(item.parent.nb))
        _show(notebook, item, report)
        if report.failed:
            item.parent.stash[FAILED] = True
        if item.parent.stash.get(FAILED, False):
            folder = _folder(item.config)
            folder.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, folder / item.path.name)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the notebooks are."""
    for path in sorted(_folder(config).glob("*.ipynb")):
        terminalreporter.write_line(f"As far as it ran, with the error: {path.relative_to(config.rootpath)}")


def _folder(config: pytest.Config) -> Path:
    return config.rootpath / "_build" / "failed"


def _without_outputs(notebook: NotebookNode) -> NotebookNode:
    copy = deepcopy(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    return copy


def _show(notebook: NotebookNode, item: IPyNbCell, report: pytest.TestReport) -> None:
    """Put the outputs of one cell into the notebook, and what failed if they do not tell."""
    cell = [each for each in notebook.cells if each.cell_type == "code"][item.cell_num]
    cell.outputs = deepcopy(item.test_outputs or [])
    cell.execution_count = item.cell_num + 1
    if report.failed and not any(output.output_type == "error" for output in cell.outputs):
        # It ran but showed something else than is stored, or the kernel is dead.
        lines = report.longreprtext.splitlines()
        cell.outputs.append(nbformat.v4.new_output("error", ename="nbval", evalue=lines[0], traceback=lines))
