"""The map of the package: which module may import which."""

import ast
from pathlib import Path

import pytest

import vqvae_course

PACKAGE = "vqvae_course"
ROOT = Path(vqvae_course.__file__).parent

LAYER = {
    "runtime": 0,
    "distributed": 0,
    "configs": 0,
    "encdec": 0,
    "indices": 0,
    "folders": 0,
    "brought": 0,
    "causality": 0,
    "glyphs": 1,
    "scenes": 1,
    "metrics": 1,
    "nearest": 1,
    "fidelity": 1,
    "prior": 1,
    "sources": 1,
    "vae": 1,
    "classifier": 1,
    "data": 2,
    "history": 1,
    "known_codes": 3,
    "quantize": 2,
    "vqvae": 3,
    "vqvae2": 3,
    "evaluate": 3,
    "stream": 3,
    "pixelcnn": 2,
    "pixelsnail": 3,
    "conditional": 3,
    "incremental": 4,
    "checkpoint": 4,
    "sampling": 5,
    "train": 5,
}
LEAVES = {"plotting", "export", "evidence", "checks", "assignments", "cli", "__main__"}
MAY_IMPORT_A_LEAF = {
    ("__init__", "checks"),
    ("__main__", "cli"),
    ("cli", "plotting"),
    ("cli", "export"),
    ("cli", "checks"),
    ("cli", "assignments"),
    ("assignments", "checks"),
}
# Pictures are made of arrays: numbers about codes and pixels, yes; networks, no.
PLOTTING_MAY_IMPORT = {"runtime", "quantize", "metrics", "glyphs", "scenes"}

FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def module_of(file: Path) -> str:
    """Return the first level below the package: ``checks/report.py`` belongs to ``checks``."""
    return file.parts[0].removesuffix(".py")


def imported_modules(source: str, file: Path) -> set[str]:
    """Return the package's own modules that a source imports anywhere, also inside functions.

    The package itself (its version, ``check``) counts as ``__init__``.
    """
    known = {*LAYER, *LEAVES}
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = [PACKAGE, *file.parts[:-1]]
            base = here[: len(here) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            if origin == PACKAGE:
                names.update(f"{PACKAGE}.{alias.name}" if alias.name in known else PACKAGE for alias in node.names)
            else:
                names.add(origin)
    parts = [name.split(".") for name in names]
    return {part[1] if len(part) > 1 else "__init__" for part in parts if part[0] == PACKAGE}


def complaint(importer: str, imported: str) -> str | None:
    """Return what is wrong with an import and what to do, or None if it is allowed."""
    if importer == imported or (importer, imported) in MAY_IMPORT_A_LEAF:
        return None
    if imported == "__init__":
        if importer in LEAVES:
            return None
        return f"{importer} imports the package itself, which imports the checks: import the module you need instead"
    if imported in LEAVES:
        return f"{importer} imports the leaf {imported}: move what both need into a module of a numbered layer"
    if imported not in LAYER:
        return f"{importer} imports {imported}, which has no layer: add it to LAYER or LEAVES in this file"
    if importer == "plotting" and imported not in PLOTTING_MAY_IMPORT:
        return f"plotting imports {imported}: plotting takes arrays, so compute them in the caller and pass them in"
    if importer in LAYER and LAYER[imported] >= LAYER[importer]:
        return (
            f"{importer} (layer {LAYER[importer]}) imports {imported} (layer {LAYER[imported]}), but only lower layers "
            f"are allowed: move the shared part down, or take it as an argument"
        )
    return None


def test_every_module_has_one_layer():
    modules = {module_of(file) for file in FILES} - {"__init__"}
    missing = modules - LAYER.keys() - LEAVES
    assert not missing, f"give {sorted(missing)} a layer: add to LAYER or LEAVES in {Path(__file__).name}"
    gone = LAYER.keys() - modules
    assert not gone, f"{sorted(gone)} left the package: remove from LAYER in {Path(__file__).name}"
    assert not LAYER.keys() & LEAVES, "a module is either in a numbered layer or a leaf"


@pytest.mark.parametrize("file", FILES, ids=str)
def test_module_imports_only_lower_layers(file):
    importer = module_of(file)
    imported = imported_modules((ROOT / file).read_text(encoding="utf-8"), file)
    problems = list(filter(None, (complaint(importer, name) for name in sorted(imported))))
    assert not problems, f"{PACKAGE}/{file}: " + "; ".join(problems)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_module_holds_a_function_named_like_a_module(file):
    # After `from vqvae_course import sample` a reader must know which of the two it is. Exercises are named by their
    # notebooks, and `assignments` after what an instructor does: neither folder is imported by a reader.
    if file.parts[0] in ("checks", "assignments"):
        return
    names = {top.name for top in ast.parse((ROOT / file).read_text(encoding="utf-8")).body if hasattr(top, "name")}
    clashes = names & {*LAYER, *LEAVES, file.stem}
    assert not clashes, f"{PACKAGE}/{file} defines {sorted(clashes)}, which is also a module: rename one of the two"


@pytest.mark.parametrize(
    ("source", "file", "expected"),
    [
        ("import vqvae_course.train", "data.py", {"train"}),
        ("import vqvae_course.checks.report as r", "data.py", {"checks"}),
        ("from vqvae_course.train import fit", "data.py", {"train"}),
        ("from vqvae_course import train, metrics", "data.py", {"train", "metrics"}),
        ("from vqvae_course import __version__", "cli.py", {"__init__"}),
        ("from .train import fit", "data.py", {"train"}),
        ("from . import train", "data.py", {"train"}),
        ("from .report import Report", "checks/straight.py", {"checks"}),
        ("from ..quantize import nearest_code", "checks/straight.py", {"quantize"}),
        ("def f():\n    from vqvae_course import plotting", "data.py", {"plotting"}),
        ("import torch\nfrom vqvae_courses import train", "data.py", set()),
    ],
)
def test_the_search_sees_every_form_of_import(source, file, expected):
    assert imported_modules(source, Path(file)) == expected


@pytest.mark.parametrize(
    ("importer", "imported", "fragment"),
    [
        ("metrics", "quantize", "only lower layers"),
        ("data", "train", "only lower layers"),
        ("train", "plotting", "imports the leaf"),
        ("plotting", "vqvae", "takes arrays"),
        ("plotting", "encdec", "takes arrays"),
        ("checks", "plotting", "imports the leaf"),
        ("train", "__init__", "the package itself"),
        ("train", "helpers", "no layer"),
    ],
)
def test_a_forbidden_import_is_named_with_its_cure(importer, imported, fragment):
    assert fragment in complaint(importer, imported)


@pytest.mark.parametrize(
    ("importer", "imported"),
    [("train", "data"), ("__init__", "checks"), ("__main__", "cli"), ("checks", "train"), ("plotting", "metrics")],
)
def test_an_allowed_import_passes(importer, imported):
    assert complaint(importer, imported) is None
