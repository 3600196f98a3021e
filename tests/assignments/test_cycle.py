"""A class from the notebook to the grades, with nbgrader itself: the straight way and all that goes wrong on it."""

import csv
import re
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbgrader")

from tests.assignments.pages import ROOT, solutions_of
from vqvae_course.assignments.programs import open_gradebook, run_nbgrader
from vqvae_course.cli import main

STEM = "03_straight_through"
EXERCISES = {"straight_through": 1, "RoundSTE": 2, "ste_bias": 3}  # 3.1, 3.2 and 3.5
ROSTER = """\
id,name,email,canvas_id,moodle_id
jan_de_vries,Jan de Vries,jan@example.org,,
piet_de_vries,Piet de Vries,piet@example.org,,
a.smith,Anna Smith,,77,
marie-claire,Marie-Claire Dubois,,,555
bom,Bo Mark,,,
empty,Em Pty,,,
copied,Co Pied,,,
late,Ma Late,,88,
piper,Pi Per,,,
borrower,Bor Rower,,,
looper,Loo Per,,,
printer,Prin Ter,,,
hostile,Hos Tile,,,
stripped,Strip Ped,,,
half,Hal F,,,
absent,Ab Sent,,,
"""
ALIKE = ("a.smith", "late", "marie-claire")  # hand in what others do: they are collected, and for once not graded
FORWARD_ALONE = """\
class RoundSTE(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, step):
        return (x / step).round() * step

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient, None
"""
# Where each hands in, as the platforms write it: students' own file names are {} below
NAMES = {
    "jan_de_vries": "ps1_jan_de_vries_attempt_2026-01-30-20-30-10_{}.ipynb",
    "piet_de_vries": "ps1_piet_de_vries_attempt_2026-01-30-21-00-00_{}.ipynb",
    "a.smith": "smithanna_77_4001_{}-1.ipynb",
    "late": "latema_LATE_88_4002_{}.ipynb",
    "marie-claire": "Marie-Claire Dubois_555_assignsubmission_file/{}.ipynb",
    "borrower": "borrower/{} (1).ipynb",
}


def nbgrader(course: Path, *words: str) -> None:
    done = run_nbgrader(course, words)
    assert done.returncode == 0, done.stderr[-3000:]


def answered(released, answers: dict[str, str]):
    """Return a copy of a release with answers."""
    notebook = nbformat.from_dict(released.copy())
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in answers:
            cell.source = answers[name]
    return notebook


def before_the_exercises(notebook, source: str):
    """Return a notebook with a cell of the student's own before the exercises."""
    place = next(n for n, cell in enumerate(notebook.cells) if cell.source.startswith("## Exercises"))
    notebook.cells.insert(place, nbformat.v4.new_code_cell(source))
    return notebook


def submissions(released, solutions: dict[str, str]) -> dict[str, bytes]:
    """Return what each student hands in."""
    done = {name: solutions[name] for name in EXERCISES}

    def everything():
        return answered(released, done)

    made = {name: everything() for name in ("jan_de_vries", "a.smith", "late", "marie-claire", "bom")}
    made["piet_de_vries"] = answered(
        released, {"straight_through": done["straight_through"], "RoundSTE": "def RoundSTE(:"}
    )
    made["half"] = answered(released, {"RoundSTE": FORWARD_ALONE})
    made["borrower"] = answered(released, {"straight_through": "from vqvae_course.quantize import straight_through"})
    made["piper"] = before_the_exercises(everything(), "%pip install -q a-package-that-nobody-has-made")
    made["looper"] = before_the_exercises(everything(), "while True:\n    pass")
    made["printer"] = before_the_exercises(everything(), "for _ in range(50):\n    print('x' * 10**6)")
    hostile = (
        "import vqvae_course.checks.report as r\nr.judge_own = lambda name, f: r.Report(name, 'correct', earned=1.0)"
    )
    made["hostile"] = before_the_exercises(answered(released, {}), hostile)
    made["stripped"] = everything()
    for cell in made["stripped"].cells:
        cell.metadata = {}
    made["copied"] = everything()
    place = next(n for n, c in enumerate(made["copied"].cells) if c.source == done["straight_through"])
    made["copied"].cells.insert(place, nbformat.from_dict(made["copied"].cells[place] | {"id": "copy"}))
    files = {name: nbformat.writes(notebook).encode() for name, notebook in made.items()}
    return files | {"bom": b"\xef\xbb\xbf" + files["bom"], "empty": b""}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Return a course that was assigned, released, handed in as platforms give it, collected, mended and graded."""
    folder = tmp_path_factory.mktemp("class") / "course"
    assert main(["assign", "--exercises", "3.1,3.2,3.5", *options(folder)]) == 0
    config = folder / "nbgrader_config.py"
    config.write_text(config.read_text(encoding="utf-8").replace("timeout = 120", "timeout = 20"), encoding="utf-8")
    assert main(["release", "--course", str(folder), "--due", "2026-01-30 20:45 +00:00"]) == 0
    released = nbformat.read(folder / "release" / "ps1" / f"{STEM}.ipynb", 4)
    solutions = solutions_of(nbformat.read(ROOT / "notebooks" / f"{STEM}.ipynb", 4))
    (folder.parent / "students.csv").write_text(ROSTER, encoding="utf-8")
    archive = folder / "downloaded" / "ps1" / "archive"
    archive.mkdir(parents=True)
    with zipfile.ZipFile(archive / "submissions.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in submissions(released, solutions).items():
            file.writestr(NAMES.get(name, f"{name}/{{}}.ipynb").format(STEM), content)
    return folder


@pytest.mark.slow  # two minutes: weekly, and before a release
def test_a_class(course, capsys):
    """All of it in order, because each command goes on where the last one ended."""
    roster = ["--students", str(course.parent / "students.csv")]
    where = ["--course", str(course), "--assignment", "ps1"]

    main(["collect", *where, *roster, "--timezone", "UTC"])
    said = capsys.readouterr().out
    submitted = sorted(path.name for path in (course / "submitted").iterdir())
    assert submitted == sorted(line.split(",")[0] for line in ROSTER.splitlines()[1:] if "absent" not in line)
    assert "absent" in said

    assert main(["grade-report", *where]) == 1  # before anything was graded
    said = capsys.readouterr().out
    for student in ("piper", "hostile", "stripped", "copied", "empty", "bom"):
        assert f"LOOK  {student}:" in said
    assert main(["grade-report", *where, "--repair"]) == 1
    capsys.readouterr()

    graded = ",".join(name for name in submitted if name not in ALIKE)
    assert main(["autograde", *where, "--jobs", "2", "--students", graded]) == 1
    said = capsys.readouterr().out
    assert "empty: " in said  # nobody can grade that, and it stops no other
    assert main(["results", *where, *roster, "--out", str(course.parent / "early.csv")]) == 1
    ungraded = "a.smith, marie-claire, empty, late handed in and were not graded"
    assert ungraded in capsys.readouterr().err
    points = earned(course, [*roster, "--waiting"])
    assert points == {
        "jan_de_vries": 6,
        "piet_de_vries": 1,
        "a.smith": None,
        "marie-claire": None,
        "bom": 6,
        "empty": None,
        "copied": 6,
        "late": None,
        "piper": 6,
        "borrower": 0,
        "looper": 6,
        "printer": 6,
        "hostile": 0,
        "stripped": 6,
        "half": 1,
        "absent": None,
    }
    capsys.readouterr()
    assert main(["grade-report", *where, *roster]) == 1
    said = capsys.readouterr().out
    assert "MISSING  absent handed in nothing." in said
    assert f"LATE     late: {STEM}, as the platform says." in said
    assert f"LATE     piet_de_vries: {STEM}, 15 minutes after the time to hand in." in said
    assert re.search(r"NOTE  piet_de_vries: .* syntax error in the answer to RoundSTE", said)
    assert not re.search(r"LOOK  (jan_de_vries|bom|copied|stripped|half|looper|printer):", said)

    nbgrader(course, "generate_feedback", "ps1", "--student", "borrower")
    (page,) = (course / "feedback" / "borrower" / "ps1").glob("*.html")
    feedback = page.read_text(encoding="utf-8")
    assert "the package&#39;s own straight_through" in feedback or "the package's own straight_through" in feedback
    for word in ("HIDDEN TESTS", "grade_again", str(Path(sys.prefix)), str(course)):
        assert word not in feedback

    by_hand(course, "half", "ste_bias", 1.5)
    assert main(["assign", "--exercises", "3.1,3.5", *options(course), "--replace"]) == 0
    assert main(["release", *where]) == 0
    assert main(["autograde", *where, "--students", "half,piet_de_vries", "--force"]) == 0
    again = earned(course, [*roster, "--waiting"])
    with open_gradebook(course / "gradebook.db") as book:  # what was given by hand and has not changed is final
        assert not book.find_submission("ps1", "half").needs_manual_grade
    assert again == points | {"piet_de_vries": 3, "borrower": 2, "hostile": 2, "half": 3.5}


def by_hand(course: Path, student: str, name: str, given: float) -> None:
    """Give points as a person does in the formgrader."""
    with open_gradebook(course / "gradebook.db") as book:
        grade = book.find_grade(f"{name}-check", STEM, "ps1", student)
        grade.manual_score, grade.needs_manual_grade = given, False
        book.db.commit()


def options(course: Path) -> list[str]:
    return ["--only-exercises", "--notebooks", str(ROOT / "notebooks"), "--out", str(course / "source" / "ps1")]


def earned(course: Path, roster: list[str]) -> dict[str, float | None]:
    table = course.parent / "results.csv"
    assert main(["results", "--course", str(course), "--assignment", "ps1", *roster, "--out", str(table)]) == 0
    with table.open(encoding="utf-8-sig", newline="") as file:
        return {row["id"]: float(row["points"]) if row["points"] else None for row in csv.DictReader(file)}
