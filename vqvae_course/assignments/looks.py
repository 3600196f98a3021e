"""What nbgrader keeps silent about: submissions whose score means something else than it says."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from nbformat import NotebookNode

from vqvae_course.assignments import gradebook
from vqvae_course.assignments.beside import beside, renamed
from vqvae_course.assignments.reach import Watch
from vqvae_course.assignments.releases import added_since, earlier_releases, releases, swapped
from vqvae_course.assignments.submission import (
    Finding,
    Gone,
    Note,
    Unreadable,
    as_notebook,
    beside_unanswered,
    bytes_of,
    copies,
    defined,
    encoding_of,
    format_of,
    gone,
    grade_id_of,
    is_answer,
    is_check,
    marks_of,
    matched,
    parsed,
    plain,
    python_of,
    read,
    same_marks,
    strays,
    stubs_below_answers,
    submissions,
    wanted,
)

IMPORTS = ("ModuleNotFoundError", "ImportError")
NOT_OWN = ("handed out to", "are not those handed out")  # what a check of a variant says
LARGE = 10 * 2**20  # bytes of a notebook


@dataclass(frozen=True)
class Ours:
    """What a notebook was when it was handed out.

    Attributes:
        released: The students' version, or the instructor's where there is no release.
        cells: Sources of its code cells, and of those of all releases, as ``plain`` has them.
        texts: The same of its other cells.
        open: Sources of the released code cells that are no checks.
        earlier: What was handed out before the release was mended, the newest first.
    """

    released: NotebookNode
    cells: frozenset[str]
    texts: frozenset[str]
    open: tuple[str, ...]
    earlier: tuple[NotebookNode, ...] = ()

    @classmethod
    def of(cls, course: Path, assignment: str, name: str) -> "Ours":
        """Read the source of a notebook, and its release if there is one.

        Raises:
            ValueError: If the source cannot be read.
        """
        path = course / "source" / assignment / f"{name}.ipynb"
        try:
            source = released = read(path)
        except Unreadable as error:
            raise ValueError(f"source must hold notebooks that can be read, and {path} {error}") from error
        with suppress(FileNotFoundError, Unreadable):  # without a release, the source has to do
            released = read(course / "release" / assignment / f"{name}.ipynb")
        earlier = earlier_releases(course, assignment, name)
        is_open = tuple(cell.source for cell in released.cells if cell.cell_type == "code" and not is_check(cell))
        sources = [_sources(one) for one in (source, released, *earlier)]
        code, texts = (frozenset().union(*some) for some in zip(*sources, strict=True))
        return cls(released, code, texts, is_open, tuple(earlier))

    def and_of(self, handout: Path) -> "Ours":
        """Return the same with the cells of what one student alone was handed out, if that was so (variants)."""
        try:
            code, texts = _sources(read(handout))
        except (FileNotFoundError, Unreadable):
            return self
        return replace(self, cells=self.cells | code, texts=self.texts | texts)


def _sources(notebook: NotebookNode) -> tuple[set[str], set[str]]:
    """Return the plain sources of the code cells, and of the others."""
    code = {plain(cell.source) for cell in notebook.cells if cell.cell_type == "code"}
    return code, {plain(cell.source) for cell in notebook.cells if cell.cell_type != "code"}


def findings(course: Path, assignment: str) -> list[Finding]:
    """Return what somebody has to look at in the submissions of an assignment, before and after grading.

    Args:
        course: Folder of the course, in which nbgrader runs.
        assignment: Its name.

    Raises:
        ValueError: If there is no such assignment.
    """
    found = before_grading(course, assignment)
    return sorted(
        [*found, *after_grading(course, assignment)], key=lambda one: (one.student, one.notebook)
    )  # stable: what was handed in comes first


def before_grading(course: Path, assignment: str) -> list[Finding]:
    """Return what somebody has to look at in what was handed in; needs nothing that was graded.

    Raises:
        ValueError: If there is no such assignment.
    """
    return [finding for finding in _handed_in(course, assignment) if not finding.note]


def notes(course: Path, assignment: str) -> list[Finding]:
    """Return what is worth knowing about what was handed in, and asks nobody to act.

    Raises:
        ValueError: If there is no such assignment.
    """
    return [finding for finding in _handed_in(course, assignment) if finding.note]


def was_graded(course: Path, assignment: str) -> bool:
    """Say whether ``nbgrader autograde`` has begun with an assignment."""
    return any((course / "autograded").glob(f"*/{assignment}"))


def _handed_in(course: Path, assignment: str) -> Iterator[Finding]:
    todo = submissions(course, assignment)
    names = sorted({name for _, name in todo})
    ours = {name: Ours.of(course, assignment, name) for name in names}
    owners = {name: _owners(course, assignment, name) for name in names}
    released = releases(course, assignment)
    scored = _scores(course, assignment)
    mend = f"`vqvae-course grade-report {_where(course, assignment)} --repair`"
    for folder in dict.fromkeys(folder for folder, _ in todo):
        student, confused = folder.parent.name, swapped(folder, released)
        for name in names:
            if name in confused:
                yield Finding(student, name, _confused(folder, confused[name]))
                continue
            if name in confused.values() and not (folder / f"{name}.ipynb").exists():
                continue  # which has just been said
            own = ours[name].and_of(course / "handout" / assignment / student / f"{name}.ipynb")
            look = _Look(folder, name, own, mend, scored(student, name), owners[name])
            for text in look.all():
                yield Finding(student, name, text, isinstance(text, Note))
        for text in beside(folder):
            yield Finding(student, assignment, text, isinstance(text, Note))


def _where(course: Path, assignment: str) -> str:
    return f"--course {shlex.quote(str(course))} --assignment {shlex.quote(assignment)}"


def _confused(folder: Path, other: str) -> str:
    return (
        f"holds the cells of {other}: was it renamed? Give the files their right names in {folder}, then autograde "
        "again with --force."
    )


def _owners(course: Path, assignment: str, name: str) -> dict[str, list[str]]:
    """Return to whom each code cell was handed out that not everybody has (variants)."""
    found: dict[str, list[str]] = {}
    for path in sorted((course / "handout" / assignment).glob(f"*/{name}.ipynb")):
        with suppress(FileNotFoundError, Unreadable):
            for source in sorted(_sources(read(path))[0]):
                found.setdefault(source, []).append(path.parent.name)
    return found


def _in_gradebook(course: Path, assignment: str) -> dict[tuple[str, str], gradebook.Score]:
    """Return the scores by student and notebook, none if there is no gradebook that can be read."""
    try:
        return {(one.student, one.notebook): one for one in gradebook.scores(course, assignment)}
    except ValueError:
        return {}


def _scores(course: Path, assignment: str) -> Callable[[str, str], str]:
    """Return what says a score as it stands in the gradebook, or nothing where none does."""
    known = _in_gradebook(course, assignment)

    def scored(student: str, name: str) -> str:
        one = known.get((student, name))
        graded = (course / "autograded" / student / assignment / f"{name}.ipynb").exists()
        return f" It scored {one.points:g} of {one.possible:g} points." if one and graded else ""

    return scored


@dataclass(frozen=True)
class _Look:
    """One look at one notebook that was handed in."""

    folder: Path
    name: str
    ours: Ours
    mend: str  # the command that repairs
    scored: str
    owners: Mapping[str, list[str]]  # of code cells, as they were handed out

    def all(self) -> Iterator[str]:
        try:
            data = bytes_of(self.folder / f"{self.name}.ipynb")
            found = parsed(data)
            notebook = as_notebook(found)
        except FileNotFoundError:
            yield from self._missing()
            return
        except Unreadable as error:
            yield f"{error}."
            return
        yield from self._file(data, found)
        if any("\r\n" in cell.source for cell in notebook.cells):
            yield Note(f"ends lines as Windows does, which costs nothing. {self.mend} makes them like the others.")
        yield from self._marks(notebook)
        yield from self._copies(notebook)
        yield from self._strays(notebook)
        yield from self._written(notebook)
        yield from self._of_others(notebook)
        yield from self._reaches(notebook)
        yield from self._broken(notebook)

    def _missing(self) -> Iterator[str]:
        others = renamed(self.folder, self.name)
        if not others:
            yield "was not handed in, and no other file has a similar name: ask for it."
        elif len(others) == 1:
            yield (
                f"was handed in as {str(others[0].relative_to(self.folder))!r}, which nbgrader skips. Copy it to its "
                f"name with {self.mend}, or rename it in {self.folder}; then autograde again with --force."
            )
        else:
            names = ", ".join(repr(str(one.relative_to(self.folder))) for one in others)
            yield (
                f"was handed in under {len(others)} other names ({names}), which nbgrader skips. Copy the right one to "
                f"{self.name}.ipynb in {self.folder}, then autograde again with --force."
            )

    def _file(self, data: bytes, found: dict) -> Iterator[str]:
        encoding = encoding_of(data)
        if encoding != "utf-8":
            yield (
                f"is written in {encoding} with a byte order mark, which nbgrader cannot read. Rewrite it as UTF-8 "
                f"with {self.mend}, then autograde again with --force."
            )
        if "nbformat" not in found or "metadata" not in found:
            yield (
                f"does not say in which format it is, so nbgrader takes it for an ancient one. Mend it with "
                f"{self.mend}, then autograde again with --force."
            )
        elif format_of(found) != 4:
            yield (
                "is in notebook format 3, and was released in format 4; marks and outputs may have been lost on the "
                "way. Open and save it in a current Jupyter, then autograde again with --force."
            )
        if len(data) > LARGE:
            yield Note(
                f"is {len(data) / 2**20:.0f} MB large, most of it output. There is nothing to do: nbgrader drops "
                "outputs before it runs a notebook."
            )

    def _marks(self, notebook: NotebookNode) -> Iterator[str]:
        originals, places = wanted(self.ours.released), matched(notebook, self.ours.released)
        lost = [name for name, place in places.items() if not same_marks(notebook.cells[place], originals[name])]
        costly = [name for name in lost if marks_of(originals[name]).get("grade")]
        if lost and not costly:
            yield Note(
                f"has lost nbgrader's marks on the answers {', '.join(lost)}, which costs nothing: points hang on the "
                f"checks. {self.mend} gives them back."
            )
        if costly:
            yield (
                f"has lost nbgrader's marks on {len(lost)} of {len(originals)} cells, and nbgrader gives nothing for "
                f"checks without them and reports no error.{self.scored} Give the marks back with {self.mend}, then "
                "autograde again with --force."
            )
        added = added_since(notebook, self.ours.released, self.ours.earlier)
        if added:
            names = ", ".join(name for name in originals if name in added)
            yield Note(
                f"was made from an earlier release, which had no {names}; nobody has points for it before handing in "
                "again."
            )
        absent = gone(notebook, self.ours.released) if not added else Gone([], [], [])
        if absent.checks:
            yield (
                f"lacks {len(absent.checks)} of {len(originals)} cells that nbgrader knows, which hold checks "
                f"({', '.join(absent.checks)}); without its check an answer gets nothing, right or wrong.{self.scored} "
                f"Put them back with {self.mend}, then autograde again with --force."
            )
        if absent.elsewhere:
            yield Note(
                f"lacks the cells of {', '.join(absent.elsewhere)}, and defines what they ask for in other cells, "
                "which costs nothing. There is nothing to do."
            )
        if absent.missing:
            yield (
                f"lacks {len(absent.missing)} of {len(originals)} cells that nbgrader knows "
                f"({', '.join(absent.missing)}), and what they ask for stands nowhere else.{self.scored} Ask whether "
                "that was meant; if the answer is in another file, copy it into this one and autograde again with "
                "--force."
            )
        for name in stubs_below_answers(notebook, self.ours.released):
            yield (
                f"has the untouched stub of {name} below its answer, which defines it anew and wins.{self.scored} "
                "Delete that cell, then autograde again with --force."
            )

    def _copies(self, notebook: NotebookNode) -> Iterator[str]:
        if copied := copies(notebook, self.ours.released):
            yield (
                f"has copies of cells with nbgrader's marks ({', '.join(sorted(set(map(grade_id_of, copied))))}). "
                "nbgrader calls that an old format and grades nothing of it. Take the marks off the copies with "
                f"{self.mend}, then autograde again."
            )

    def _strays(self, notebook: NotebookNode) -> Iterator[str]:
        if unknown := [notebook.cells[place] for place in strays(notebook, self.ours.released)]:
            names = ", ".join(grade_id_of(cell) or "without a name" for cell in unknown)
            yield (
                f"has nbgrader's marks on cells that the release does not know ({names}), and nbgrader stops at such "
                f"cells. Take the marks off with {self.mend}, then autograde again with --force."
            )

    def _written(self, notebook: NotebookNode) -> Iterator[str]:
        for name in beside_unanswered(notebook, self.ours.released, self.ours.texts):
            yield (
                f"has text beside the unanswered question {name}, which gets 0: read it and give points by hand, or "
                "copy it into the cell and autograde again with --force."
            )

    def _of_others(self, notebook: NotebookNode) -> Iterator[str]:
        found: dict[str, list[str]] = {}
        for number, cell in enumerate(notebook.cells, 1):
            if owners := self._owners_of(cell):
                found.setdefault(" or ".join(owners), []).append(str(number))
        for owners, numbers in found.items():
            yield (
                f"holds what was handed out to {owners} and not to {self.folder.parent.name} (cell"
                f"{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}).{self.scored} Ask whose work it is."
            )

    def _owners_of(self, cell: NotebookNode) -> list[str]:
        """Return to which other students a cell was handed out, nobody if also to this one."""
        source = plain(cell.source)
        return self.owners.get(source, []) if cell.cell_type == "code" and source not in self.ours.cells else []

    def _reaches(self, notebook: NotebookNode) -> Iterator[str]:
        watch, originals = Watch(self.ours.open), wanted(self.ours.released)
        for number, cell in enumerate(notebook.cells, 1):
            if cell.cell_type != "code":
                continue
            reaches = watch.look(cell.source)
            original = originals.get(grade_id_of(cell))
            replaced = original is not None and marks_of(original).get("locked")  # by ours, before it is run
            if not reaches or replaced or plain(cell.source) in self.ours.cells or self._owners_of(cell):
                continue
            first, others = reaches[0], len(reaches) - 1
            yield (
                f"has a cell that says {first.code!r} (cell {number}, line {first.line}): it {first.why}"
                f"{f', and {others} more of this kind' if others else ''}.{self.scored} Look at it before you trust "
                "its points."
            )

    def _broken(self, notebook: NotebookNode) -> Iterator[str]:
        originals, places = wanted(self.ours.released), matched(notebook, self.ours.released)
        asked = {name: defined(cell.source) for name, cell in originals.items() if is_answer(cell)}
        for name in asked:
            error = syntax_error(notebook.cells[places[name]].source) if name in places else None
            if error is None:
                continue
            line = f"has a syntax error in the answer to {name}, line {error.lineno or 1} ({error.msg})"
            here = defined(notebook.cells[places[name]].source)
            others = [other for other, names in asked.items() if other != name and names & here]
            if others:
                yield (
                    f"{line}, in a cell that also answers {', '.join(others)}, which counts for nothing because of "
                    f"it.{self.scored} Judge that answer apart from it, and give its points by hand."
                )
            else:
                yield Note(f"{line}. That is a wrong answer like any other: there is nothing to do.")


def syntax_error(source: str) -> SyntaxError | None:
    """Return what is wrong with the syntax of a code cell."""
    try:
        python_of(source)
    except SyntaxError as error:
        return error
    return None


def after_grading(course: Path, assignment: str) -> list[Finding]:
    """Return what somebody has to look at in what was graded, nothing if grading has not begun.

    Raises:
        ValueError: If there is no such assignment.
    """
    if not was_graded(course, assignment):
        submissions(course, assignment)
        return []
    scored, found = _scores(course, assignment), []
    known, released = _in_gradebook(course, assignment), releases(course, assignment)
    todo = submissions(course, assignment)
    confused = {folder: swapped(folder, released) for folder, _ in todo}
    for folder, name in todo:
        student = folder.parent.name
        if name in confused[folder]:
            continue  # which is said of what was handed in
        try:
            handed_in = read(folder / f"{name}.ipynb")
        except (FileNotFoundError, Unreadable):
            continue  # which is said of what was handed in
        path = course / "autograded" / student / assignment / f"{name}.ipynb"
        if not path.exists():
            again = f"`vqvae-course autograde {_where(course, assignment)} --students {shlex.quote(student)}`"
            found.append(Finding(student, name, _not_graded(known.get((student, name)), again)))
            continue
        texts = _after_grading(path, handed_in, scored(student, name))
        found += [Finding(student, name, text) for text in texts]
    return found


def _not_graded(before: gradebook.Score | None, again: str) -> str:
    if before is None:
        return f"has not been autograded: {again} says why if it cannot be."
    return (
        f"has {before.points:g} of {before.possible:g} points in the gradebook and no graded file: nbgrader drops all "
        f"files of a student when one notebook fails. {again} says which, and why."
    )


def _after_grading(path: Path, handed_in: NotebookNode, scored: str) -> Iterator[str]:
    """Say what is odd about a notebook after it was run for grading."""
    try:
        graded = read(path, outputs=True)
    except Unreadable:
        yield "was autograded into a file that cannot be read: autograde again with --force."
        return
    for cell in graded.cells:
        for output in _errors(cell):
            if output.get("ename") in IMPORTS:
                yield (
                    f"could not import something when it was graded ({output.get('evalue')}), so what needs it fails."
                    f"{scored} Install it where you grade, then autograde again with --force."
                )
                return
    tests = [cell for cell in wanted(graded).values() if is_check(cell)]
    not_run = [cell for cell in tests if cell.get("execution_count") is None]
    if not_run:
        yield (
            f"was not run to its end: {len(not_run)} of {len(tests)} checks have not been reached.{scored} Look where "
            "it stopped, then ask for it again or give points by hand."
        )
    broken = {name for cell in handed_in.cells if _is_broken(cell) for name in defined(cell.source)}
    odd: dict[str, list[str]] = {}
    not_own: dict[str, list[str]] = {}
    for cell in tests:
        for output in _errors(cell):
            said = " ".join(str(output.get("evalue")).split())
            if output.get("ename") == "CheckFailed" and any(words in said for words in NOT_OWN):
                not_own.setdefault(said, []).append(grade_id_of(cell))
            named = re.match(r"name '(\w+)' is not defined", str(output.get("evalue")))
            if output.get("ename") == "CheckFailed" or (named and named[1] in broken):
                continue
            odd.setdefault(f"{output.get('ename')}: {output.get('evalue')}", []).append(grade_id_of(cell))
    for said, where in not_own.items():
        yield f"failed in {', '.join(where)}: {said[:300].rstrip('.')}.{scored} Ask whose work it is."
    for error, where in odd.items():
        yield (
            f"ended {', '.join(where)} in {error[:200]}, which no wrong answer does: a function was renamed, an import "
            f"is gone, or a check was changed.{scored} Look at it."
        )
    warned = [grade_id_of(cell) for cell in tests if _warned(cell)]
    if warned:
        yield (
            f"printed a warning in {', '.join(warned)}, for which nbgrader gives 0 points whatever the check says."
            f"{scored} Read what the check says, and give the points by hand."
        )


def _is_broken(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and syntax_error(cell.source) is not None


def _errors(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.get("outputs", ()) if output.get("output_type") == "error"]


def _warned(cell: NotebookNode) -> bool:
    return any(one.get("output_type") == "stream" and one.get("name") == "stderr" for one in cell.outputs)
