"""The built package: what a reader installs who has no copy of this folder."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "vqvae_course"


def build(place: Path, root: Path = ROOT) -> Path:
    """Build the wheel of a folder and return it; stop if its files are not those of the package.

    Args:
        place: Where the wheel goes; holds no other.
        root: The folder with ``pyproject.toml``.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", place, root], check=True)
    (wheel,) = place.glob("*.whl")
    if problems := faults(wheel, root):
        sys.exit("\n".join(problems))
    print(f"Built {wheel.name}.", flush=True)
    return wheel


def faults(wheel: Path, root: Path = ROOT) -> list[str]:
    """Say, a line each, which files of the package, modules and data, a wheel lacks, and which it alone has."""
    paths = [path for path in (root / PACKAGE).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    here = {path.relative_to(root).as_posix() for path in paths if not path.name.startswith(".")}
    held = {name for name in ZipFile(wheel).namelist() if name.startswith(f"{PACKAGE}/")}
    lost = [f"the wheel lacks {name}: name it in pyproject.toml" for name in sorted(here - held)]
    return lost + [f"the wheel holds {name}, which is gone: delete build/" for name in sorted(held - here)]
