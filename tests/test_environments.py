"""What ``make colab``, ``make lowest`` and ``make newest`` are built from, and what they would notice."""

import re
import tomllib
from pathlib import Path
from zipfile import ZipFile

import nbformat
import pytest
import yaml
from jupyter_client.kernelspec import KernelSpecManager

from tools import environments, wheel
from tools.environments import differences, pinned

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COLAB, LOWEST = (pinned(ROOT / "tools" / "constraints" / f"{name}.txt") for name in ("colab", "lowest"))
REQUIREMENTS = [
    *PROJECT["dependencies"],
    *(each for extra in PROJECT["optional-dependencies"].values() for each in extra),
]
FLOORS = dict(re.match(r"([\w-]+)>=([\w.]+)", each).groups() for each in REQUIREMENTS)


def release(version):
    """Return a version as numbers that compare."""
    return tuple(map(int, re.findall(r"\d+", version)))


def first_cells():
    for path in environments.NOTEBOOKS:
        nb = nbformat.read(path, as_version=4)
        yield next(cell.source for cell in nb.cells if cell.cell_type == "code")


# Lists of versions


def test_lowest_pins_every_floor_of_the_package_and_of_its_extras():
    assert LOWEST == FLOORS
    assert len(LOWEST) == len(REQUIREMENTS)


def test_lowest_runs_on_the_lowest_python():
    assert PROJECT["requires-python"] == f">={environments.PYTHON['lowest']}"


def test_no_floor_is_above_what_colab_has():
    for name in FLOORS.keys() & COLAB.keys():
        assert release(FLOORS[name]) <= release(COLAB[name]), name


def test_colab_has_all_that_the_package_needs_except_what_the_first_cell_may_add():
    needed = {re.match(r"[\w-]+", each).group() for each in PROJECT["dependencies"]}
    assert needed - COLAB.keys() == environments.LACKED & needed
    assert not environments.LACKED & COLAB.keys()


@pytest.mark.parametrize("name", ["lowest", "colab"])
def test_a_list_names_nothing_twice_and_every_line_is_a_pin_or_a_remark(name):
    path = ROOT / "tools" / "constraints" / f"{name}.txt"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z\d-]+==[\w.]+", line) for line in lines)
    assert len(lines) == len(pinned(path))


def test_what_runs_the_tests_is_pinned_in_the_requirements():
    assert set(environments.RUNNERS) <= pinned(ROOT / "requirements.txt").keys()


# The first cell


def test_all_notebooks_have_one_first_cell():
    assert len(list(first_cells())) == len(environments.NOTEBOOKS)
    assert len(set(first_cells())) == 1


def test_the_wheel_takes_the_place_of_the_address_and_of_nothing_else():
    cell = next(first_cells())
    changed = environments.with_wheel(cell, Path("/a place/package.whl"))
    address = re.search(r"git\+\S+", cell).group()
    assert changed == cell.replace(address, "'/a place/package.whl'")
    assert changed.splitlines()[-1] == "    %pip install -q '/a place/package.whl'"


@pytest.mark.parametrize("cell", ["%pip install -q vqvae-course", "import sys"])
def test_a_first_cell_that_installs_something_else_is_refused(cell):
    with pytest.raises(ValueError, match="the first cell must install git"):
        environments.with_wheel(cell, Path("package.whl"))


def test_the_copies_for_colab_differ_in_the_first_cell_only(tmp_path):
    environments.copy_notebooks(tmp_path / "verbatim")
    environments.copy_notebooks(tmp_path / "colab", Path("package.whl"))
    for path in environments.NOTEBOOKS:
        source, verbatim, colab = (
            [cell.source for cell in nbformat.read(folder / path.name, as_version=4).cells]
            for folder in (path.parent, tmp_path / "verbatim", tmp_path / "colab")
        )
        assert verbatim == source
        assert [before for before, after in zip(source, colab, strict=True) if before != after] == [next(first_cells())]


# What is noticed


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ({"torch": "2.11.0", "ipywidgets": "7.7.1"}, []),
        ({"torch": "2.11.0", "ipywidgets": "8.1.9"}, ["ipywidgets must be 7.7.1, got 8.1.9"]),
        ({"torch": "2.11.0"}, ["ipywidgets must be 7.7.1, got absent"]),
        ({"torch": "2.11.0", "ipywidgets": "7.7.1", "rich": "1"}, ["rich must be absent, got 1"]),
    ],
)
def test_a_version_that_is_replaced_or_gone_or_new_is_named(after, told):
    assert differences({"torch": "2.11.0", "ipywidgets": "7.7.1"}, after) == told


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ({"torch": "2.11.0", "tyro": "1.0.17", "vqvae-course": "0.1.0"}, []),
        ({"torch": "2.15.0", "tyro": "1.0.17"}, ["torch must be 2.11.0, got 2.15.0"]),
        ({"tyro": "1.0.17"}, ["torch must be 2.11.0, got absent"]),
        ({"torch": "2.11.0", "rich": "13.9.4"}, ["rich must not be added: Colab has it, or nothing needs it"]),
    ],
)
def test_the_first_cell_may_add_what_colab_lacks_and_change_nothing(after, told):
    assert environments.changes({"torch": "2.11.0"}, after) == told


def test_a_first_cell_that_speaks_or_leaves_another_package_to_be_imported_is_noticed(tmp_path):
    path = tmp_path / "speaks.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print('Collecting torch')")]), path)
    silence, place = environments.first_cell(path, tmp_path / "venv")
    assert re.match("the first cell must print nothing, got .*Collecting torch", silence)
    assert place.startswith("the wheel must be imported, got ")
    assert place.endswith("__init__.py")


def test_a_first_cell_that_fails_is_noticed(tmp_path):
    path = tmp_path / "fails.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]), path)
    (told,) = environments.first_cell(path, tmp_path / "venv")
    assert re.match("(?s)the first cell must install the package, got .*ZeroDivisionError", told)


def test_notebooks_and_sliders_run_in_the_kernel_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", "elsewhere")
    environments.use_kernel(tmp_path, Path("/there/python"), "--ext=google.colab", PYTHONPATH="stand_in")
    spec = KernelSpecManager().get_kernel_spec("python3")  # the name that every notebook asks for
    assert (spec.argv[0], spec.argv[-1]) == ("/there/python", "--ext=google.colab")
    assert spec.env["PYTHONPATH"] == "stand_in"


def test_the_table_counts_what_failed():
    results = [environments.Result("00_quickstart", True, 12.3), environments.Result("unit tests", False, 400.0)]
    lines = environments.table("make newest", results).splitlines()
    assert lines[0] == "make newest"
    assert re.fullmatch(r"00_quickstart +passed +12 s", lines[1])
    assert re.fullmatch(r"unit tests +FAILED +400 s", lines[2])
    assert lines[3] == "1 of 2 passed in 412 s"


def test_a_file_that_the_wheel_lacks_or_alone_has_is_named(tmp_path):
    package = tmp_path / wheel.PACKAGE
    (package / "checks" / "__pycache__").mkdir(parents=True)
    for name in ("__init__.py", "digits.png", "checks/one.py", "checks/__pycache__/one.cpython-311.pyc"):
        (package / name).touch()
    built = tmp_path / "package.whl"
    with ZipFile(built, "w") as file:
        for name in ("__init__.py", "checks/one.py", "gone.py"):
            file.writestr(f"{wheel.PACKAGE}/{name}", "")
        file.writestr("package.dist-info/METADATA", "")
    assert wheel.faults(built, tmp_path) == [
        f"the wheel lacks {wheel.PACKAGE}/digits.png: name it in pyproject.toml",
        f"the wheel holds {wheel.PACKAGE}/gone.py, which is gone: delete build/",
    ]


# Where they are run


def test_each_has_a_target_a_job_and_a_line_for_the_release():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "environments.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["environments"]
    assert {each["name"]: each["python"] for each in job["strategy"]["matrix"]["include"]} == environments.PYTHON
    assert job["steps"][-1]["run"] == "make ${{ matrix.name }} TORCH=cpu"
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Release")[1]
    for name in environments.PYTHON:
        assert re.search(rf"^{name}: \$\(INSTALLED\)", makefile, re.M)
        assert f"`make {name}`" in text
