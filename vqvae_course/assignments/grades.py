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
    r"EXERCISES|get_ipython|os\._exit|importlib|strict\s*=\s*False|unittest\.mock|_getframe|currentframe|"
    r"\bgc\.|f_globals|f_locals|f_back|__defaults__|__globals__|__closure__|\bsetattr\(|\bglobals\(|"
    r"\b(torch|F|nn|np|numpy|math)(\.\w+)+\s*=[^=]"
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
    missing = [id_of(cell) for name, cell in wanted(source).items() if name not in wanted(handed_in)]
    deleted = set(missing) - {id_of(cell) for cell in handed_in.cells}
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
    if copied := copies(handed_in, source):
        yield finding(
            f"has copies of cells with nbgrader's marks ({', '.join(sorted(set(map(grade_id_of, copied))))}). nbgrader "
            "calls that an old format and stops there, so nobody behind this student is graded. Take the marks off "
            f"the copies with `vqvae-course grade-report --course {course} --assignment {assignment} --repair`, then "
            "autograde again."
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
        yield (
            "has not been autograded: nbgrader stopped before, at a student above, or the kernel died on the way (an "
            "answer may have ended the process). Autograde this student alone, with --student, to see which."
        )
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
    odd: dict[str, list[str]] = {}
    for cell in tests:
        for output in cell.outputs:
            if output.output_type == "error" and output.ename != "CheckFailed":
                odd.setdefault(f"{output.ename}: {output.evalue}", []).append(grade_id_of(cell))
    for error, where in odd.items():
        yield (
            f"ended {', '.join(where)} in {error[:200]}, which no wrong answer does: a function was renamed, an import "
            "is gone, or a check was changed. Look at it."
        )
    for cell in tests:
        if any(output.output_type == "stream" and output.name == "stderr" for output in cell.outputs):
            where = grade_id_of(cell)
            yield f"printed a warning in {where}, for which nbgrader gives 0 points whatever the check says."


def wanted(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Return the cells that nbgrader knows, by their grade ids."""
    return {grade_id_of(cell): cell for cell in notebook.cells if grade_id_of(cell)}


def copies(notebook: NotebookNode, released: NotebookNode) -> list[NotebookNode]:
    """Return cells that share their grade id with another one and are not the cell that was released."""
    ids = {name: id_of(cell) for name, cell in wanted(released).items()}
    kept: dict[str, NotebookNode] = {}
    for cell in notebook.cells:
        name = grade_id_of(cell)
        if name not in kept or id_of(cell) == ids.get(name):
            kept[name] = cell
    return [cell for cell in notebook.cells if grade_id_of(cell) and kept[grade_id_of(cell)] is not cell]


def grade_id_of(cell: NotebookNode) -> str:
    """Return the name that nbgrader has for a cell, empty if it knows it not."""
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def id_of(cell: NotebookNode) -> str:
    """Return a cell's id, which an older format and Colab keep in the metadata; empty if it has none."""
    return cell.get("id") or cell.metadata.get("id", "")


def repair(course: Path, assignment: str) -> list[Finding]:
    """Give lost marks back to submitted notebooks, cell by cell with the same id, take them off copies, say where.

    The marks come from the released version. The notebook as it was handed in is kept below ``COURSE/as_handed_in``.
    """
    done = []
    for folder, name in submissions(course, assignment):
        path, released = folder / f"{name}.ipynb", course / "release" / assignment / f"{name}.ipynb"
        if not (path.exists() and released.exists()):
            continue
        notebook, original = nbformat.read(path, as_version=4), nbformat.read(released, as_version=4)
        marks = {cell.id: cell.metadata.nbgrader for cell in original.cells if grade_id_of(cell)}
        copied = copies(notebook, original)
        lost = [cell for cell in notebook.cells if id_of(cell) in marks and not grade_id_of(cell)]
        if not (copied or lost):
            continue
        kept = course / "as_handed_in" / path.relative_to(course / "submitted")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(path.read_bytes())
        for cell in copied:
            del cell.metadata["nbgrader"]
        for cell in lost:
            cell.metadata["nbgrader"] = marks[id_of(cell)]
        nbformat.write(notebook, path)
        given = [f"has its marks back on {len(lost)} cells"] if lost else []
        taken = [f"has lost them on {len(copied)} copies"] if copied else []
        done.append(Finding(folder.parent.name, name, f"{' and '.join(given + taken)}."))
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
