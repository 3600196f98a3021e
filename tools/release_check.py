"""What must hold before a release: ``make release-check``.

The version is that of the changelog and of the citation, the stored outputs are those of the code of the notebooks and
of the modules that they import, and the notebooks run against the built wheel, installed into an empty environment far
from this folder.
"""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import yaml

import vqvae_course
from tools import wheel
from tools.stamp import KEY, PACKAGE, code_sha256, modules_sha256

ROOT = Path(__file__).resolve().parents[1]
# To run notebooks as tests, beside what the wheel itself asks for.
RUNNERS = ("pytest", "nbval", "ipykernel", "nbformat")


def main() -> int:
    """Check everything; return 1 if something does not hold."""
    problems = [*version_problems(ROOT), *stamp_problems(ROOT / "notebooks")]
    for problem in problems:
        print(f"NOT READY  {problem}")
    if problems:
        return 1
    print(f"Version {vqvae_course.__version__}: changelog, citation and stored outputs agree.")
    place = ROOT / "_build" / "release"
    shutil.rmtree(place, ignore_errors=True)
    python = empty_environment(place / "venv", wheel.build(place))
    return run_notebooks(python, place / "elsewhere")


def version_problems(root: Path) -> list[str]:
    """Return where another version than the package's is written."""
    version, problems = vqvae_course.__version__, []
    newest = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    if newest is None or newest.group(1) != version:
        problems.append(f"CHANGELOG.md must begin with {version}, got {newest and newest.group(1)}")
    cited = str(yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))["version"])
    if cited != version:
        problems.append(f"CITATION.cff must name {version}, got {cited}")
    return problems


def stamp_problems(folder: Path, package: Path = PACKAGE) -> list[str]:
    """Return the notebooks whose stored outputs are of other code, their own or that of what they import."""
    problems = []
    for path in sorted(folder.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        stamp = notebook.metadata.get(KEY, {})
        if stamp.get("code_sha256") != code_sha256(notebook):
            problems.append(f"{path.name} must be executed again: its code has changed since")
        elif "modules_sha256" not in stamp:
            problems.append(f"{path.name} must be executed again: it is not known which modules it was run with")
        elif changed := _changed(stamp["modules_sha256"], package):
            problems.append(f"{path.name} must be executed again: changed since are {', '.join(changed)}")
    return problems


def _changed(stamped: dict[str, str], package: Path) -> list[str]:
    return [name for name, found in modules_sha256(stamped, package).items() if found != stamped[name]]


def empty_environment(place: Path, built: Path) -> Path:
    """Return the Python of a new environment with the wheel in it, and with what runs notebooks."""
    venv.create(place, with_pip=True)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    # The pins of torch and torchvision: a pair that is known to match.
    pins = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    pair = [pin for pin in pins if pin.startswith(("torch==", "torchvision=="))]
    subprocess.run([python, "-m", "pip", "install", "-q", built, *pair, *RUNNERS], check=True)
    print("Installed it into an empty environment.")
    return python


def run_notebooks(python: Path, elsewhere: Path) -> int:
    """Run copies of all notebooks under ``smoke``, where only the installed wheel can be imported."""
    shutil.copytree(ROOT / "notebooks", elsewhere, ignore=shutil.ignore_patterns(".*", "ruff.toml"))
    settings = {"VQVAE_COURSE_BUDGET": "smoke", "VQVAE_COURSE_STORED": "1", "OMP_NUM_THREADS": "1"}
    command = [python, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120", "."]
    code = "import vqvae_course; print('Notebooks import', vqvae_course.__file__)"
    subprocess.run([python, "-c", code], cwd=elsewhere, check=True)
    return subprocess.run(command, cwd=elsewhere, env=os.environ | settings).returncode


if __name__ == "__main__":
    sys.exit(main())
