"""What nbgrader keeps silent about: submissions that score 0, or full points, for a reason that is no answer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

IMPORTS = ("ModuleNotFoundError", "ImportError")
# An answer has no business with these; whether it meant harm a person must say.
MEDDLING = re.compile(
    r"vqvae_course\.(checks|assignments)|sys\.modules|\bcheck\s*=|def check\b|import\s+check\b.*as|__code__|"
    r"EXERCISES|get_ipython|os\._exit|importlib|strict\s*=\s*False|unittest\.mock"
)


@dataclass(frozen=True)
class Finding:
    """Something that a grade does not say.

    Attributes:
        student: Name of the student's folder.
        notebook: Name of the notebook, without ``.ipynb``.
        text: What was found, and what to do.
    """

    student: str
    notebook: str
    text: str


def findings(course: Path, assignment: str) -> list[Finding]:
    """Return what is odd about the submissions of an assignment.

    Args:
        course: Folder of the course, in which nbgrader runs.
        assignment: Its name.

    Raises:
        ValueError: If there is no such assignment.
    """
    return [finding for student, name in submissions(course, assignment) for finding in _examine(course, student, name)]


def submissions(course: Path, assignment: str) -> list[tuple[Path, str]]:
    """Return (folder of the submission, name of the notebook) for all that should have been handed in."""
    names = sorted(path.stem for path in (course / "source" / assignment).glob("*.ipynb"))
    if not names:
        raise ValueError(f"course must hold source/{assignment} with notebooks, and {course} does not")
    folders = sorted((course / "submitted").glob(f"*/{assignment}"))
    return [(folder, name) for folder in folders for name in names]


def _examine(course: Path, folder: Path, name: str) -> Iterator[Finding]:
    student, assignment = folder.parent.name, folder.name

    def finding(text: str) -> Finding:
        return Finding(student, name, text)

    try:
        handed_in = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    except FileNotFoundError:
        yield finding("was not handed in, or under another name.")
        return
    except Exception as error:  # nbformat and json raise many kinds for one cause
        yield finding(f"is no notebook that can be read ({str(error).splitlines()[0][:100]}). Ask for it again.")
        return
    source = nbformat.read(course / "source" / assignment / f"{name}.ipynb", as_version=4)
    missing = [cell.id for name, cell in wanted(source).items() if name not in wanted(handed_in)]
    deleted = set(missing) - {cell.id for cell in handed_in.cells}
    if deleted:
        yield finding(
            f"lacks {len(deleted)} of {len(wanted(source))} cells that nbgrader knows, which score 0. Copy the "
            "answers into a fresh copy of the release, then autograde again with --force."
        )
    if len(missing) > len(deleted):
        yield finding(
            f"has lost nbgrader's marks on {len(missing) - len(deleted)} of {len(wanted(source))} cells, so nbgrader "
            f"gives them 0 points and reports no error. Give the marks back with `vqvae-course grade-report --course "
            f"{course} --assignment {assignment} --repair`, then autograde again with --force."
        )
    released = course / "release" / assignment / f"{name}.ipynb"
    known = [source, *([nbformat.read(released, as_version=4)] if released.exists() else [])]
    ours = {cell.source for one in known for cell in one.cells}
    for cell in handed_in.cells:
        marks = cell.metadata.get("nbgrader", {})
        if cell.cell_type != "code" or marks.get("locked") or cell.source in ours:
            continue
        if found := MEDDLING.search(cell.source):
            yield finding(f"has a cell that says {found.group()!r}: look at it before you trust its points.")
    yield from map(finding, _after_grading(course / "autograded" / student / assignment / f"{name}.ipynb"))


def _after_grading(path: Path) -> Iterator[str]:
    """Say what is odd about a notebook after it was run for grading."""
    if not path.exists():
        yield "has not been autograded, or its kernel died on the way (an answer may have ended the process)."
        return
    graded = nbformat.read(path, as_version=4)
    for cell in graded.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error" and output.ename in IMPORTS:
                yield (
                    f"could not import something when it was graded ({output.evalue}), so all that follows scores 0. "
                    "Install it where you grade, then autograde again with --force."
                )
                return
    tests = [cell for cell in wanted(graded).values() if cell.metadata.nbgrader.grade and cell.cell_type == "code"]
    not_run = [cell for cell in tests if cell.execution_count is None]
    if not_run:
        yield f"was not run to its end: {len(not_run)} of {len(tests)} checks have not been reached."
    for cell in tests:
        if any(output.output_type == "stream" and output.name == "stderr" for output in cell.outputs):
            grade_id = cell.metadata.nbgrader.grade_id
            yield f"printed a warning in {grade_id}, for which nbgrader gives 0 points whatever the check says."


def wanted(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Return the cells that nbgrader knows, by their grade ids."""
    cells = [cell for cell in notebook.cells if "grade_id" in cell.metadata.get("nbgrader", {})]
    return {cell.metadata.nbgrader.grade_id: cell for cell in cells}


def repair(course: Path, assignment: str) -> list[Finding]:
    """Give lost marks back to submitted notebooks, cell by cell with the same id, and say where.

    The marks come from the released version. The notebook as it was handed in is kept below ``COURSE/as_handed_in``.
    """
    done = []
    for folder, name in submissions(course, assignment):
        path, released = folder / f"{name}.ipynb", course / "release" / assignment / f"{name}.ipynb"
        if not (path.exists() and released.exists()):
            continue
        notebook, original = nbformat.read(path, as_version=4), nbformat.read(released, as_version=4)
        marks = {cell.id: cell.metadata.nbgrader for cell in original.cells if "nbgrader" in cell.metadata}
        lost = [cell for cell in notebook.cells if cell.id in marks and "nbgrader" not in cell.metadata]
        if not lost:
            continue
        kept = course / "as_handed_in" / path.relative_to(course / "submitted")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(path.read_bytes())
        for cell in lost:
            cell.metadata["nbgrader"] = marks[cell.id]
        nbformat.write(notebook, path)
        done.append(Finding(folder.parent.name, name, f"has its marks back on {len(lost)} cells."))
    return done


@dataclass(frozen=True)
class Score:
    """What a student has in a notebook.

    Attributes:
        student: Name of the student's folder.
        notebook: Name of the notebook.
        points: Reached.
        possible: To be reached.
        waiting: Whether a written answer waits for a person.
    """

    student: str
    notebook: str
    points: float
    possible: float
    waiting: bool


def scores(course: Path, assignment: str) -> list[Score]:
    """Return what is in nbgrader's gradebook.

    Raises:
        ValueError: If there is no gradebook yet.
    """
    from nbgrader.api import Gradebook, MissingEntry

    place = course / "gradebook.db"
    if not place.exists():
        raise ValueError(f"course must hold a gradebook.db, and {course} does not: run nbgrader autograde first")
    with Gradebook(f"sqlite:///{place}") as book:
        try:
            handed_in = book.assignment_submissions(assignment)
        except MissingEntry as error:
            raise ValueError(f"assignment must be one that has been autograded, got {assignment!r}") from error
        return [
            Score(one.student.id, part.name, part.score, part.max_score, part.needs_manual_grade)
            for one in handed_in
            for part in one.notebooks
        ]
