"""What follows an assignment that was mended after it had been graded: the gradebook, and the old submissions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Assignment, Comment, Grade, Gradebook, MissingEntry, Notebook, SubmittedNotebook
from nbgrader.utils import is_grade, is_locked, is_solution, is_task

from vqvae_course.assignments.convert import marked
from vqvae_course.assignments.gradebook import is_graded
from vqvae_course.assignments.programs import open_gradebook
from vqvae_course.runtime import whole_file

NO_LONGER = "# {name} is no longer part of this assignment. Its points count for everybody."
GONE = "This notebook is no longer part of the assignment. Its points count for everybody who hands it in."


def graded(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Return the cells of a notebook that are worth points, by their names."""
    return {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if is_grade(cell) or is_task(cell)}


def graded_of(known: Assignment) -> set[tuple[str, str]]:
    """Return (notebook, name) of the cells that are worth points according to a gradebook."""
    return {(one.name, cell.name) for one in known.notebooks for cell in (*one.grade_cells, *one.task_cells)}


def give_points_to_all(known: Assignment, sources: dict[str, NotebookNode], gone: set[tuple[str, str]]) -> None:
    """Put a locked cell that passes in the place of each one that is gone."""
    points = {(one.name, cell.name): cell.max_score for one in known.notebooks for cell in one.grade_cells}
    for stem, name in sorted(gone & points.keys()):
        text = new_markdown_cell(GONE, id="no-longer")
        cells = sources.setdefault(stem, new_notebook(cells=[text])).cells
        marks = marked(grade_id=name, grade=True, locked=True, points=points[stem, name])
        cells.append(new_code_cell(NO_LONGER.format(name=name.removesuffix("-check")), metadata=marks))


def match_cells(book: Gradebook, known: Assignment, sources: Mapping[str, NotebookNode]) -> None:
    """Give the notebooks of a gradebook the very cells that the sources have: nbgrader insists on it."""
    for notebook in list(known.notebooks):
        if notebook.name not in sources:
            book.remove_notebook(notebook.name, known.name)
        elif notebook.submissions:
            _match_notebook(book, notebook, known.name, sources[notebook.name])
    for name in sources.keys() - {notebook.name for notebook in known.notebooks}:
        book.add_notebook(name, known.name)


def _match_notebook(book: Gradebook, notebook: Notebook, assignment: str, source: NotebookNode) -> None:
    marked_cells = [cell for cell in source.cells if "nbgrader" in cell.metadata]
    for kind, belongs in (("grade", is_grade), ("solution", is_solution), ("task", is_task), ("source", _is_kept)):
        wanted = {cell.metadata.nbgrader.grade_id: cell for cell in marked_cells if belongs(cell)}
        there = {cell.name: cell for cell in getattr(notebook, f"{kind}_cells")}
        for name in there.keys() - wanted.keys():
            for dependent in (
                *(getattr(there[name], "grades", None) or ()),
                *(getattr(there[name], "comments", None) or ()),
            ):
                book.db.delete(dependent)
            book.db.delete(there[name])
        book.db.commit()
        for name in wanted.keys() - there.keys():
            facts = {} if kind == "solution" else {"cell_type": wanted[name].cell_type}
            if kind in ("grade", "task"):
                facts["max_score"] = float(wanted[name].metadata.nbgrader.points)
            getattr(book, f"add_{kind}_cell")(name, notebook.name, assignment, **facts)


def _is_kept(cell: NotebookNode) -> bool:
    return is_grade(cell) or is_solution(cell) or is_locked(cell) or is_task(cell)


def back_again(known: Assignment, sources: Mapping[str, NotebookNode]) -> set[tuple[str, str]]:
    """Return (notebook, name) of cells that had been removed, as the gradebook still has them, and are there again."""
    gone = NO_LONGER.partition("{name}")[2]
    before = {(one.name, cell.name) for one in known.notebooks for cell in one.source_cells if gone in cell.source}
    now = {(stem, name) for stem, one in sources.items() for name, cell in graded(one).items() if gone in cell.source}
    return before - now


def bring_back(book: Gradebook, known: Assignment, kept: Sequence[Path], back: set[tuple[str, str]]) -> None:
    """Give cells that are there again the points and comments that people gave before they were removed.

    Args:
        book: The gradebook.
        known: The assignment in it.
        kept: Earlier gradebooks, the newest first.
        back: (notebook, name) of the cells.
    """
    for place in kept:
        with open_gradebook(place) as earlier:
            try:
                old = earlier.find_assignment(known.name)
            except MissingEntry:  # of another assignment whose name begins alike
                continue
            removed = back_again(old, {})
            found = back & graded_of(old) - removed
            for submission in old.submissions:
                for part in submission.notebooks:
                    _bring_back_part(book, known.name, submission.student.id, part, found)
        back -= found


def _bring_back_part(
    book: Gradebook, assignment: str, student: str, part: SubmittedNotebook, found: set[tuple[str, str]]
) -> None:
    names = {name for stem, name in found if stem == part.name}
    for old in part.grades:
        if old.name in names:
            grade = book.find_grade(old.name, part.name, assignment, student)
            grade.manual_score, grade.extra_credit = old.manual_score, old.extra_credit
    for old in part.comments:
        if old.manual_comment and names & {old.name, f"{old.name}-check"}:
            book.find_comment(old.name, part.name, assignment, student).manual_comment = old.manual_comment
    book.db.commit()


def complete_submissions(book: Gradebook, known: Assignment, everybody: set[tuple[str, str]]) -> None:
    """Give old submissions a place for each cell: 0 points for what they cannot contain, all for what is gone."""
    for submission in known.submissions:
        there = {part.name: part for part in submission.notebooks}
        for notebook in known.notebooks:
            part = there.get(notebook.name)
            if part is None:
                part = SubmittedNotebook(notebook_id=notebook.id, assignment_id=submission.id)
                book.db.add(part)
                book.db.flush()
            graded = {grade.cell_id: grade for grade in part.grades}
            commented = {comment.cell_id for comment in part.comments}
            for cell in (*notebook.grade_cells, *notebook.task_cells):
                grade = graded.get(cell.id)
                if grade is None:
                    grade = Grade(cell_id=cell.id, notebook_id=part.id, auto_score=0.0, needs_manual_grade=False)
                    book.db.add(grade)
                if (notebook.name, cell.name) in everybody and is_graded(part):
                    grade.auto_score, grade.manual_score, grade.needs_manual_grade = cell.max_score, None, False
            for cell in (*notebook.solution_cells, *notebook.task_cells):
                if cell.id not in commented:
                    book.db.add(Comment(cell_id=cell.id, notebook_id=part.id))
    book.db.commit()


def follow(course: Path, assignment: str, student: str = "*") -> list[Path]:
    """Give the cells of submitted notebooks the marks of the release, and none to those that it does not know.

    With a name that the release does not know nbgrader grades nothing of a notebook: so after an exercise was removed,
    and for whoever hands in an earlier release later.

    Args:
        course: Folder of the course.
        assignment: Its name.
        student: Name of a student's folder; a star takes all.
    """
    updated = []
    for released in sorted((course / "release" / assignment).glob("*.ipynb")):
        new = nbformat.read(released, as_version=4)
        marks = {cell.metadata.nbgrader.grade_id: cell for cell in new.cells if "nbgrader" in cell.metadata}
        for path in sorted((course / "submitted").glob(f"{student}/{assignment}/{released.name}")):
            try:
                notebook = nbformat.read(path, as_version=4)
                changed = [_take_marks(cell, marks) for cell in notebook.cells]
                content = (nbformat.writes(notebook) + "\n").encode()
            except Exception:  # of many kinds, for it is somebody else's file; the report says what is wrong with it
                continue
            if not any(changed):
                continue
            kept = course / "as_handed_in" / path.relative_to(course / "submitted")
            if not kept.exists():
                with whole_file(kept) as file:
                    file.write(path.read_bytes())
            with whole_file(path) as file:
                file.write(content)
            updated.append(path.relative_to(course))
    return updated


def _take_marks(cell: NotebookNode, marks: Mapping[str, NotebookNode]) -> bool:
    """Give one cell the marks that the new release has under its name; return whether that changed how it is graded."""
    own = cell.metadata.get("nbgrader")
    if not isinstance(own, dict) or not isinstance(own.get("grade_id"), str):
        return False
    new = marks.get(own.grade_id)
    if new is None:
        del cell.metadata["nbgrader"]
        return True
    if all(own.get(key) == new.metadata.nbgrader.get(key) for key in ("grade", "solution", "locked", "task", "points")):
        return False
    cell.metadata["nbgrader"] = new.metadata.nbgrader
    return True
