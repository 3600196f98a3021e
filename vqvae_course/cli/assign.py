"""``vqvae-course assign``: notebooks of the course as nbgrader assignments."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqvae_course.cli.options import parse
from vqvae_course.cli.run import say
from vqvae_course.runtime import whole_file

EXAMPLE = "vqvae-course assign --chapters 02,03 --out course/source/ps1"
CONFIG = '''\
"""How nbgrader runs this course; written by `vqvae-course assign`, and yours to change."""

import os

os.environ.setdefault("VQVAE_COURSE_BUDGET", "smoke")  # trainings outside the exercises are short when graded
os.environ.setdefault("VQVAE_COURSE_STORED", "1")  # no sliders

c = get_config()  # noqa: F821 - nbgrader provides it
c.CourseDirectory.course_id = {name!r}
c.ClearSolutions.code_stub = {{"python": {note!r}}}
c.ClearSolutions.text_stub = "*Your answer here.*"
c.ExecutePreprocessor.timeout = 300
# What nbgrader zip_collect takes from the names of files: ps1_alice_attempt_2026-01-30-20-30-10_02_vector_quantization
c.FileNameCollectorPlugin.named_regexp = r".*_(?P<student_id>\\w+)_attempt_(?P<timestamp>[0-9\\-]+)_(?P<file_id>.+)"
'''


@dataclass(frozen=True)
class Assign:
    """Turn notebooks into nbgrader assignments: stubs, checks worth points, hidden tests, rubrics.

    Attributes:
        chapters: Numbers of notebooks, separated by commas.
        out: Where the instructor's version goes: COURSE/source/ASSIGNMENT.
        notebooks: Folder of the course's notebooks.
        bank: Append an exercise without published solution and a written question to each notebook.
    """

    chapters: str = "02"
    out: Path = Path("course/source/ps1")
    notebooks: Path = Path("notebooks")
    bank: bool = False


def main(arguments: Sequence[str]) -> None:
    """Read the options, convert, and write the notebooks and nbgrader's configuration."""
    options = parse(Assign, arguments, "assign", EXAMPLE)
    try:
        import nbformat

        from vqvae_course.assignments.convert import STUB_NOTE, convert
    except ImportError as error:
        raise ValueError(f"assign must find nbformat and nbgrader ({error}): python -m pip install nbgrader") from error
    out = options.out.expanduser()
    if out.parent.name != "source":
        raise ValueError(f"out must be COURSE/source/ASSIGNMENT, as nbgrader expects it, got {options.out}")
    total = 0
    for path in chosen(options):
        extras = extras_of(path) if options.bank else ()
        made = convert(nbformat.read(path, as_version=4), extras)
        points = sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in made.cells)
        with whole_file(out / path.name) as file:
            file.write((nbformat.writes(made) + "\n").encode())
        say(f"{out / path.name}: {points} points")
        total += points
    course = out.parents[1]
    if not (course / "nbgrader_config.py").exists():
        with whole_file(course / "nbgrader_config.py") as file:
            file.write(CONFIG.format(name=course.resolve().name, note=STUB_NOTE).encode())
    say(f"{total} points in all.", f"Next, in {course}: nbgrader generate_assignment {out.name}")


def chosen(options: Assign) -> list[Path]:
    """Return the notebooks with these numbers.

    Raises:
        ValueError: If one of them is not there, or has no exercises.
    """
    if not options.notebooks.expanduser().is_dir():
        raise ValueError(f"notebooks must be the folder of the course's notebooks, and there is no {options.notebooks}")
    found = []
    for number in filter(None, (part.strip() for part in options.chapters.split(","))):
        paths = sorted(options.notebooks.expanduser().glob(f"{number.zfill(2)}_*.ipynb"))
        if not paths:
            raise ValueError(f"chapters must be numbers of notebooks in {options.notebooks}, got {number!r}")
        cells = json.loads(paths[0].read_text(encoding="utf-8"))["cells"]
        if not any("exercise" in cell["metadata"].get("tags", []) for cell in cells):
            raise ValueError(f"chapters must have exercises, got {number!r}, which has none")
        found.append(paths[0])
    if not found:
        raise ValueError("chapters must name at least one notebook, such as 02,03")
    return found


def extras_of(path: Path) -> list:
    """Return the exercises of the second bank for a notebook."""
    from vqvae_course.assignments.convert import Extra
    from vqvae_course.checks import bank
    from vqvae_course.checks.report import EXERCISES

    chapter = path.stem.split("_", 1)[1]
    module = getattr(bank, chapter)
    (name,) = [one.name for one in EXERCISES.values() if one.judge.__module__ == module.__name__]
    return [Extra(name, module.TITLE, module.TASK, module.STUB, module.QUESTION, module.RUBRIC, module.WRITTEN_POINTS)]
