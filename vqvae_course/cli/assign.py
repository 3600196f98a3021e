"""``vqvae-course assign``: notebooks of the course as nbgrader assignments."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vqvae_course.cli.options import parse
from vqvae_course.cli.run import say
from vqvae_course.runtime import whole_file

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from vqvae_course.assignments.convert import Extra

BOOK = "https://vqvae-course.github.io/vqvae-course/"  # a test keeps it equal to the setting in _config.yml
EXAMPLE = "vqvae-course assign --chapters 02,03 --out course/source/ps1"
CONFIG = '''\
"""How nbgrader runs this course; written by `vqvae-course assign`, and yours to change."""

import os

os.environ.setdefault("VQVAE_COURSE_BUDGET", "smoke")  # trainings outside the exercises are short when graded
os.environ.setdefault("VQVAE_COURSE_STORED", "1")  # no sliders
os.environ.update(PIP_DRY_RUN="1", PIP_NO_INDEX="1")  # a %pip install in a submission installs nothing here

c = get_config()  # noqa: F821 - nbgrader provides it
c.CourseDirectory.course_id = {name!r}
c.ClearSolutions.code_stub = {{"python": {note!r}}}
c.ClearSolutions.text_stub = "*Your answer here.*"
c.ClearMarkScheme.enforce_metadata = False  # rubrics stand with the questions, which are no tasks of nbgrader's
c.Execute.timeout = 120  # seconds a cell may take when it is graded
c.GenerateFeedback.preprocessors = [
    "nbgrader.preprocessors.GetGrades",
    "vqvae_course.assignments.feedback.HideGrading",  # without it, feedback shows hidden tests, rubrics and paths
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]
'''


@dataclass(frozen=True)
class Assign:
    """Turn notebooks into nbgrader assignments: stubs, checks worth points, hidden tests, rubrics.

    Attributes:
        chapters: Numbers of notebooks, separated by commas; all exercises of each.
        exercises: Numbers of single exercises, such as 2.1,2.3,3.2, instead of whole chapters.
        out: Where the instructor's version goes: COURSE/source/ASSIGNMENT.
        notebooks: Folder of the course's notebooks.
        bank: Add to each notebook an exercise without published solution, and a written question.
        only_exercises: Leave out the lesson, but for the code that the exercises need; links lead to the book.
        replace: Write over notebooks that are there and differ; the old ones are kept in COURSE/kept.
    """

    chapters: str = ""
    exercises: str = ""
    out: Path = Path("course/source/ps1")
    notebooks: Path = Path("notebooks")
    bank: bool = False
    only_exercises: bool = False
    replace: bool = False


def main(arguments: Sequence[str]) -> None:
    """Read the options, convert, and write the notebooks and nbgrader's configuration."""
    options = parse(Assign, arguments, "assign", EXAMPLE)
    try:
        import nbformat

        from vqvae_course.assignments.convert import STUB_NOTE
    except ImportError as error:
        raise ValueError(f"assign must find nbformat and nbgrader ({error}): python -m pip install nbgrader") from error
    out = options.out.expanduser()
    if out.parent.name != "source":
        raise ValueError(f"out must be COURSE/source/ASSIGNMENT, as nbgrader expects it, got {options.out}")
    course, total = out.parents[1], 0
    made = {path.name: made_from(path, numbers, options) for path, numbers in chosen(options).items()}
    written = {name: (nbformat.writes(notebook) + "\n").encode() for name, (notebook, _) in made.items()}
    make_room(out, written, options.replace)
    for name, (notebook, extras) in made.items():
        points = sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in notebook.cells)
        with whole_file(out / name) as file:
            file.write(written[name])
        say(f"{out / name}: {points} points", *(f"  {told(extra)}" for extra in extras))
        total += points
    settings = CONFIG.format(name=course.resolve().name, note=STUB_NOTE).encode()
    config = course / "nbgrader_config.py"
    if not config.exists():
        with whole_file(config) as file:
            file.write(settings)
    elif config.read_bytes() != settings:
        say(f"{config} is as you left it; it differs from what this version would write.")
    say(f"{total} points in all.", f"Next: vqvae-course release --course {course} --assignment {out.name}")


def told(extra: "Extra") -> str:
    """Say what an exercise of the bank adds."""
    from vqvae_course.checks.report import EXERCISES

    points = EXERCISES[extra.name].points
    return (
        f"with the bank: {extra.title} ({extra.minutes} minutes, {points} points), a written question "
        f"({extra.rubric_points} points)"
    )


def make_room(out: Path, written: dict[str, bytes], replace: bool) -> None:
    """Keep what stands where notebooks are to be written, if it differs.

    Raises:
        ValueError: If something does, and it was not said that it is to be replaced.
    """
    there = {path.name: path for path in out.glob("*.ipynb")}
    differ = [name for name in written if name in there and there[name].read_bytes() != written[name]]
    if differ and not replace:
        raise ValueError(
            f"out must not hold other versions of these notebooks, and {out} holds {', '.join(differ)}: "
            "add --replace to write over them and keep the old ones, or choose another --out"
        )
    now = datetime.now(UTC).strftime("%Y-%m-%d-%H-%M-%S-%f")
    for name in differ:
        kept = out.parents[1] / "kept" / f"{out.name}-source-{now}" / name
        with whole_file(kept) as file:
            file.write(there[name].read_bytes())
        say(f"{out / name}: the old one is kept as {kept}")
    if others := sorted(there.keys() - written.keys()):
        say(f"{out} holds {', '.join(others)} as well, which stay in the assignment.")


def chosen(options: Assign) -> dict[Path, list[str] | None]:
    """Return the notebooks to be converted, each with the numbers of its exercises, None for all.

    Raises:
        ValueError: If one of them is not there, has no exercises, or is given twice.
    """
    if not options.notebooks.expanduser().is_dir():
        raise ValueError(f"notebooks must be the folder of the course's notebooks, and there is no {options.notebooks}")
    if bool(options.chapters.strip(" ,")) == bool(options.exercises.strip(" ,")):
        raise ValueError("assign must be told --chapters, such as 02,03, or --exercises, such as 2.1,3.2, and not both")
    found: dict[Path, list[str] | None] = {}
    for number in parts(options.chapters):
        path = notebook_of(number, "chapters", options.notebooks.expanduser())
        if path in found:
            raise ValueError(f"chapters must name each notebook once, got {number} twice")
        found[path] = None
    for number in parts(options.exercises):
        numbers = found.setdefault(notebook_of(number.split(".")[0], "exercises", options.notebooks.expanduser()), [])
        number = ".".join(part.lstrip("0") for part in number.split("."))
        if number in numbers:
            raise ValueError(f"exercises must name each exercise once, got {number} twice")
        numbers.append(number)
    return found


def parts(text: str) -> list[str]:
    """Return what stands between the commas of an option."""
    return [part.strip() for part in text.split(",") if part.strip()]


def notebook_of(number: str, option: str, folder: Path) -> Path:
    """Return the notebook with a number."""
    paths = sorted(folder.glob(f"{number.zfill(2)}_*.ipynb"))
    if not paths or not re.fullmatch(r"\d+|A\d", number):
        raise ValueError(f"{option} must be numbers of notebooks in {folder}, got {number!r}")
    return paths[0]


def made_from(path: Path, numbers: list[str] | None, options: Assign) -> tuple["NotebookNode", list["Extra"]]:
    """Return the instructor's version of a notebook, and what the bank has added to it."""
    import nbformat

    from vqvae_course.assignments.convert import convert

    extras = extras_of(path) if options.bank else []
    try:
        notebook = convert(
            nbformat.read(path, as_version=4),
            extras,
            numbers,
            lesson=not options.only_exercises,
            book=BOOK,
            address=f"{BOOK}notebooks/{path.stem}.html",
        )
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be assigned: {error}") from error
    return notebook, extras


def extras_of(path: Path) -> list["Extra"]:
    """Return the exercises of the second bank for a notebook; an appendix has none."""
    from vqvae_course.assignments.convert import Extra
    from vqvae_course.checks.bank import BANK
    from vqvae_course.checks.report import EXERCISES

    chapter = path.stem.split("_", 1)[1]
    if chapter not in BANK:
        return []
    module = BANK[chapter]
    (name,) = [one.name for one in EXERCISES.values() if one.module == module.__name__]
    return [Extra(name, module.TITLE, module.TASK, module.STUB, module.QUESTION, module.RUBRIC, module.WRITTEN_POINTS)]
