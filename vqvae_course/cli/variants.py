"""``vqvae-course variants``: an assignment in which every student has other numbers, and the notebooks to hand out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqvae_course.assignments.roster import folded, must_be_folder, read_roster
from vqvae_course.assignments.variants import draw
from vqvae_course.cli.course import OfAssignment, nbgrader_for
from vqvae_course.cli.options import parse
from vqvae_course.cli.run import say
from vqvae_course.runtime import whole_file

EXAMPLE = "vqvae-course variants --course course --assignment exam --students students.csv"


@dataclass(frozen=True)
class Variants(OfAssignment):
    """Make an assignment with other numbers for every student: source, release, and a notebook for each of them.

    Run it again when somebody joins: nothing that is there is changed.

    Attributes:
        course: Folder of the course, in which nbgrader runs; its secret.txt is made there, once.
        assignment: Its name, and that of its notebook.
        students: The roster, a table with the names of students' folders.
        ids: Names of students' folders, separated by commas, besides or in place of a roster.
        exercises: Names separated by commas, or all.
    """

    assignment: str = "exam"
    students: Path | None = None
    ids: str = ""
    exercises: str = "all"


def main(arguments: Sequence[str]) -> None:
    """Read the options, judge what is there, then make source, release and handouts."""
    options = parse(Variants, arguments, "variants", EXAMPLE)
    with nbgrader_for("variants"):
        import nbformat
        import nbgrader  # noqa: F401 - generate_assignment needs it, and better fails before anything is written

        from vqvae_course.assignments.variants.pages import source
    course, name = options.course.expanduser(), options.assignment
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"assignment must be made of letters, digits, '_', '.' and '-', got {name!r}")
    families, students = chosen(options.exercises), named(options)
    made = nbformat.writes(source(name, families)) + "\n"
    place, released = (course / step / name / f"{name}.ipynb" for step in ("source", "release"))
    if place.exists() and place.read_text(encoding="utf-8") != made:
        raise ValueError(f"{place} must hold the same exercises as before, and does not: choose another --assignment")
    if (course / draw.SECRET).exists():
        draw.read_secret(course)

    say(f"{name} for {len(students)} students, in {course}:")
    for family in families:
        module = draw.module_of(family)
        points = sum(part.points for part in module.PARTS)
        say(f"  {family}: {points} points, {module.MINUTES} minutes, at least {module.SPACE:.0e} variants")
    draw.make_secret(course)
    write_if_missing(place, made)
    write_if_missing(course / "nbgrader_config.py", config(course))
    if not released.exists():
        generate(course, name)
    hand_out(course, name, families, students)


def chosen(exercises: str) -> list[str]:
    """Return the families with these names, in the order of the package.

    Raises:
        ValueError: If there is no such family, or none is named.
    """
    names = set(draw.FAMILIES) if exercises == "all" else {part.strip() for part in exercises.split(",")}
    if not names <= set(draw.FAMILIES):
        raise ValueError(f"exercises must be all, or of {', '.join(draw.FAMILIES)}, got {exercises!r}")
    return [family for family in draw.FAMILIES if family in names]


def named(options: Variants) -> list[str]:
    """Return the names of all students' folders.

    Raises:
        ValueError: If there are none, one comes twice, or one cannot be the name of a folder in nbgrader.
    """
    ids = [part.strip() for part in options.ids.split(",") if part.strip()]
    if options.students is not None:
        ids += [student.id for student in read_roster(options.students.expanduser())]
    if not ids:
        raise ValueError("students must be a table, or ids names of folders separated by commas, got neither")
    for one in ids:
        try:
            must_be_folder(one)
        except ValueError as error:
            raise ValueError(f"ids must be made of letters and digits: {error}") from error
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise ValueError(f"ids must differ, and {', '.join(twice)} comes more than once")
    alike: dict[str, list[str]] = {}
    for one in ids:
        alike.setdefault(folded(one), []).append(one)
    if same := [names for names in alike.values() if len(names) > 1]:
        raise ValueError(f"ids must differ in more than capitals, and {' and '.join(same[0])} do not")
    return ids


def config(course: Path) -> str:
    """Return the configuration of nbgrader that ``assign`` writes too."""
    from vqvae_course.assignments.convert import STUB_NOTE
    from vqvae_course.cli.assign import CONFIG

    return CONFIG.format(name=course.resolve().name, note=STUB_NOTE)


def write_if_missing(path: Path, text: str) -> None:
    """Write a file unless it is there."""
    if not path.exists():
        with whole_file(path) as file:
            file.write(text.encode())


def generate(course: Path, assignment: str) -> None:
    """Have nbgrader make the release.

    Raises:
        ValueError: If it could not.
    """
    from vqvae_course.assignments.programs import run_nbgrader

    done = run_nbgrader(course, ["generate_assignment", assignment])
    if done.returncode or not (course / "release" / assignment / f"{assignment}.ipynb").exists():
        said = "\n".join(done.stderr.splitlines()[-5:])
        raise ValueError(
            f"nbgrader generate_assignment {assignment} made no release of the notebook, but said:\n{said}"
        )


def hand_out(course: Path, assignment: str, families: Sequence[str], students: Sequence[str]) -> None:
    """Write a notebook for each student who has none yet.

    Raises:
        ValueError: If one was handed out that is not what would be handed out now; then none is written.
    """
    import nbformat

    from vqvae_course.assignments.variants.pages import handout

    secret, folder = draw.read_secret(course), course / "handout" / assignment
    released = nbformat.read(course / "release" / assignment / f"{assignment}.ipynb", as_version=4)
    made = {}
    for student in students:
        variants = [draw.drawn(secret, assignment, family, student) for family in families]
        made[folder / student / f"{assignment}.ipynb"] = nbformat.writes(handout(released, student, variants)) + "\n"
    changed = [path for path, text in made.items() if path.exists() and path.read_text(encoding="utf-8") != text]
    if changed:
        raise ValueError(
            f"{len(changed)} notebooks were handed out that differ from what would be now, such as {changed[0]}: bring "
            f"back the {draw.SECRET} and the release from which they were made, or move {folder} away and hand out anew"
        )
    new = [path for path in made if not path.exists()]
    for path in new:
        write_if_missing(path, made[path])
    say(
        f"{len(new)} new notebooks, {len(made) - len(new)} that were there, in {folder}: give each student their own.",
        f"{course / draw.SECRET} decides what is right: keep it to yourself, and a copy until grades are final.",
    )
