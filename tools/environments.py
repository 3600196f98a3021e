"""Run the course where its readers run it: ``make colab``, ``make lowest``, ``make newest``.

Each builds an environment below ``_build/envs``, installs the wheel into it and ends in a table of what held:

- ``colab``: what Colab has, version for version. The wheel is installed by the first cell of a notebook, which must
  change nothing that was there, print nothing and ask for no restart. Then every notebook from an empty folder, with
  live sliders, and the sliders moved.
- ``lowest``: the lowest versions that ``pyproject.toml`` accepts. The unit tests.
- ``newest``: the newest versions there are. The unit tests and every notebook.

uv takes the Python that each is meant for where there is one, and otherwise the Python that runs this;
``UV_PYTHON=/where/python3.13 make colab`` names one. ``TORCH=cpu`` takes the small build of torch. A mirror of the
package index is named by variables, ``UV_DEFAULT_INDEX`` for uv and ``PIP_INDEX_URL`` for the first cell's pip.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from tools import wheel

ROOT = wheel.ROOT
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CONSTRAINTS = ROOT / "tools" / "constraints"
UV = [sys.executable, "-m", "uv", "--quiet"]
PYTHON = {"colab": "3.13", "lowest": "3.11", "newest": "3.14"}
# What the unit tests and nbval need beside the package and pip.
RUNNERS = ("pytest", "pytest-xdist", "nbval", "nbformat", "nbclient", "ipykernel", "beautifulsoup4", "pyyaml")
# What the first cell may add beside the package: all else that it needs is on Colab. IPython asks for jedi, which Colab
# removes from its machines, so pip puts it back whenever something asks for IPython.
LACKED = {"vqvae-course", "tyro", "jedi"}
# CUDA's libraries, which torch brings along from the package index.
OF_TORCH = re.compile("nvidia-|cuda-|triton")
SMOKE = {"VQVAE_COURSE_BUDGET": "smoke", "OMP_NUM_THREADS": "1"}
# Of whoever runs this, and not of a reader: other code, other data, stored outputs, a pip that is told to be silent.
MINE = ("PYTHONPATH", "VQVAE_COURSE_DATA", "VQVAE_COURSE_STORED", "PIP_DISABLE_PIP_VERSION_CHECK")
TAIL = 10_000  # characters of what failed


class Result(NamedTuple):
    """One line of the table."""

    what: str
    passed: bool
    seconds: float


def main() -> int:
    """Build the environment that the command line names, run what belongs to it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PYTHON)
    parser.add_argument("--jobs", type=int, default=2, help="processes for the unit tests")
    options = parser.parse_args()
    name = options.name
    place = ROOT / "_build" / "envs" / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for variable in MINE:
        os.environ.pop(variable, None)
    os.environ["PIP_CONFIG_FILE"] = os.devnull  # pip warns of what a machine's own settings name; variables still hold
    python = environment(place / "venv", PYTHON[name])
    built = wheel.build(place)
    if name == "colab":
        results = colab(place, python, built)
    else:
        results = {"lowest": lowest, "newest": newest}[name](place, python, built, options.jobs)
    versions = installed(python)
    print(
        "",
        ", ".join(
            f"{package} {versions[package]}" for package in pinned(CONSTRAINTS / "lowest.txt") if package in versions
        ),
    )
    print(table(f"make {name}", results), flush=True)
    return 0 if all(result.passed for result in results) else 1


def colab(place: Path, python: Path, built: Path) -> list[Result]:
    """Install as Colab's first cell does, then run every notebook and move the sliders."""
    pins = CONSTRAINTS / "colab.txt"
    install(python, "--no-deps", "-r", pins)
    install(python, *(line for line in pins.read_text().splitlines() if line.startswith("torch")))
    before = installed(python)
    here = {name: version.partition("+")[0] for name, version in before.items() if not OF_TORCH.match(name)}
    if told := differences(pinned(pins), here):
        sys.exit("\n".join(["This is not what Colab has:", *told]))
    (place / "stand_in" / "google").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "colab.py", place / "stand_in" / "google")
    use_kernel(place, python, "--ext=google.colab", PYTHONPATH=str(place / "stand_in"))
    copy_notebooks(elsewhere := place / "elsewhere", built)

    started = perf_counter()
    problems = first_cell(elsewhere / NOTEBOOKS[0].name, place / "venv")
    after = installed(python)
    problems += changes(before, after)
    print("The first cell added", ", ".join(f"{name} {after[name]}" for name in sorted(after.keys() - before.keys())))
    print(*problems, sep="\n", end="\n" * bool(problems), flush=True)
    results = [Result("first cell", not problems, perf_counter() - started)]
    if problems:
        return results  # what follows would not be what a reader on Colab has
    results += notebooks(sys.executable, elsewhere)
    shutil.copy(ROOT / "tests" / "test_sliders.py", elsewhere)
    return [*results, pytest("sliders", place, sys.executable, elsewhere, "test_sliders.py")]


def lowest(place: Path, python: Path, built: Path, jobs: int) -> list[Result]:
    """Run the unit tests where everything is as old as it may be, except what runs the tests."""
    pins = pinned(ROOT / "requirements.txt")
    runners = [f"{name}=={pins[name]}" for name in RUNNERS]
    install(python, "-c", CONSTRAINTS / "lowest.txt", with_extras(built), *runners, "pip")
    return [units(place, python, jobs)]


def newest(place: Path, python: Path, built: Path, jobs: int) -> list[Result]:
    """Run the unit tests and every notebook with the newest of everything."""
    install(python, with_extras(built), *RUNNERS, "pip")
    results = [units(place, python, jobs)]
    copy_notebooks(elsewhere := place / "elsewhere")
    return [*results, *notebooks(python, elsewhere)]


def environment(place: Path, version: str) -> Path:
    """Return the Python of a new, empty environment."""
    command = [*UV, "venv", "--no-project", place, "--python"]
    if named := os.environ.get("UV_PYTHON"):
        subprocess.run([*command, named], check=True)
    elif subprocess.run([*command, version], capture_output=True).returncode:
        print(f"No Python {version} was found, and none could be fetched; this one goes on.", flush=True)
        subprocess.run([*command, sys.executable], check=True)
    python = place / "bin" / "python"
    subprocess.run([python, "-c", "import sys; print('Python', sys.version)"], check=True)
    return python


def install(python: Path, *what: str | Path) -> None:
    """Install into an environment; stop with what uv says where that fails."""
    command = [*UV, "pip", "install", "--python", python, *what]
    if subprocess.run(command).returncode:
        sys.exit(f"stopped at: {' '.join(map(str, command))}")


def installed(python: Path) -> dict[str, str]:
    """Return the version of every package of an environment."""
    command = [*UV, "pip", "list", "--python", python, "--format", "json"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {normal(each["name"]): each["version"] for each in told}


def pinned(path: Path) -> dict[str, str]:
    """Return the versions that a file of requirements pins."""
    lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return {normal(name): version for name, equal, version in (line.partition("==") for line in lines) if equal}


def normal(name: str) -> str:
    """Return the one way to write a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def differences(expected: Mapping[str, str], got: Mapping[str, str]) -> list[str]:
    """Say, a line each, what is not at the version expected, is gone or was not expected."""
    pairs = [(name, expected.get(name, "absent"), got.get(name, "absent")) for name in sorted({*expected, *got})]
    return [f"{name} must be {wanted}, got {found}" for name, wanted, found in pairs if wanted != found]


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Say, a line each, what the first cell changed that it must not."""
    added = sorted(after.keys() - before.keys() - LACKED)
    told = differences(before, {name: version for name, version in after.items() if name in before})
    return told + [f"{name} must not be added: Colab has it, or nothing needs it" for name in added]


def with_extras(built: Path) -> str:
    """Return the requirement of a wheel with everything that it may ask for."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return f"vqvae-course[{','.join(extras)}] @ {built.as_uri()}"


def use_kernel(place: Path, python: Path, *arguments: str, **variables: str) -> None:
    """Let every program started from here run notebooks in an environment's kernel."""
    spec = place / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}", *arguments]
    variables |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # else a debugger that nobody asked for talks into the log
    spec.write_text(json.dumps({"argv": command, "display_name": place.name, "language": "python", "env": variables}))
    os.environ["JUPYTER_PATH"] = str(place / "jupyter")  # looked at before what is installed for the user


def copy_notebooks(elsewhere: Path, built: Path | None = None) -> None:
    """Copy all notebooks into a folder of their own; on Colab they install the wheel."""
    elsewhere.mkdir()
    for path in NOTEBOOKS:
        nb = nbformat.read(path, as_version=4)
        if built:
            cell = next(cell for cell in nb.cells if cell.cell_type == "code")
            cell.source = with_wheel(cell.source, built)
        nbformat.write(nb, elsewhere / path.name)


def with_wheel(source: str, built: Path) -> str:
    """Return a first cell that installs a wheel where readers install the repository, and is otherwise the same."""
    address = "git+" + yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    if source.count(address) != 1:
        raise ValueError(f"the first cell must install {address}, got {source!r}")
    return source.replace(address, shlex.quote(str(built)))


def first_cell(notebook: Path, venv: Path) -> list[str]:
    """Run a notebook's first cell and say, a line each, what a reader would notice."""
    cell = next(cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code")
    where = new_code_cell("import vqvae_course\nprint(vqvae_course.__file__)")
    nb = new_notebook(cells=[cell, where])
    try:
        NotebookClient(nb, timeout=600, resources={"metadata": {"path": str(notebook.parent)}}).execute()
    except CellExecutionError as error:
        return [f"the first cell must install the package, got {error}"]
    # Colab asks for a restart when pip says that it replaced what is imported; where pip says nothing, it cannot.
    problems = [f"the first cell must print nothing, got {output}" for output in cell.outputs]
    imported = where.outputs[0].text.strip()
    return problems + [f"the wheel must be imported, got {imported}"] * (not imported.startswith(str(venv)))


def notebooks(python: str | Path, elsewhere: Path) -> list[Result]:
    """Run every notebook under ``smoke``, one after another, and compare the outputs that must not change."""
    options = ("-x", "--nbval-lax", "--nbval-cell-timeout=300")  # after one cell has failed, all later ones do
    return [pytest(path.stem, elsewhere.parent, python, elsewhere, *options, path.name) for path in NOTEBOOKS]


def units(place: Path, python: Path, jobs: int) -> Result:
    """Run the unit tests with an environment's Python, as ``make units`` does with its own."""
    use_kernel(place, python)
    return pytest("unit tests", place, python, ROOT, "-p", "no:cacheprovider", "-n", str(jobs), "--dist", "loadfile")


def pytest(what: str, place: Path, python: str | Path, folder: Path, *arguments: str) -> Result:
    """Run pytest in a folder, keep what it says, and show the end of that where something failed."""
    alone = [] if folder == ROOT else ["-c", os.devnull, "--rootdir", "."]
    command = [python, "-m", "pytest", "-q", "-ra", "--color=no", *alone, *arguments]
    log = place / f"{what}.log"
    started = perf_counter()
    with log.open("w", encoding="utf-8") as said:
        run = subprocess.run(command, cwd=folder, env=os.environ | SMOKE, stdout=said, stderr=subprocess.STDOUT)
    result = Result(what, run.returncode == 0, perf_counter() - started)
    print(line(result), flush=True)
    if not result.passed:
        print(log.read_text(encoding="utf-8")[-TAIL:], f"All of it is in {log}.", sep="\n", flush=True)
    return result


def line(result: Result) -> str:
    """Return a result as a line of the table."""
    return f"{result.what:<28} {'passed' if result.passed else 'FAILED'} {result.seconds:6.0f} s"


def table(title: str, results: list[Result]) -> str:
    """Return what passed and what did not."""
    failed = sum(not result.passed for result in results)
    said = f"{len(results) - failed} of {len(results)} passed in {sum(result.seconds for result in results):.0f} s"
    return "\n".join([title, *map(line, results), said])


if __name__ == "__main__":
    sys.exit(main())
