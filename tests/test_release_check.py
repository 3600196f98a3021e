import nbformat
import pytest

import vqvae_course
from tools import release_check
from tools.stamp import KEY, code_sha256, modules_sha256

MODULE = '"""One."""\n\n\ndef one(x):\n    return x + 1  # one more\n'


@pytest.fixture
def project(tmp_path):
    version = vqvae_course.__version__
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {version} — 2026-01-01\n\n## 0.0.1 — 2025-01-01\n")
    (tmp_path / "CITATION.cff").write_text(f"version: {version}\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    package = tmp_path / "vqvae_course"
    package.mkdir()
    (package / "one.py").write_text(MODULE)
    modules = modules_sha256(["vqvae_course", "vqvae_course.one", "vqvae_course.checks.answer", "torch"], package)
    assert list(modules) == ["vqvae_course.one"]
    notebook.metadata[KEY] = {"code_sha256": code_sha256(notebook), "version": "0.0.1", "modules_sha256": modules}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "01_one.ipynb")
    return tmp_path


def test_a_project_that_agrees_with_itself_has_no_problems(project):
    assert release_check.version_problems(project) == []
    assert release_check.stamp_problems(project / "notebooks", project / "vqvae_course") == []


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("CHANGELOG.md", "# Changelog\n\n## 9.9.9 — 2026-01-01\n", "CHANGELOG.md must begin with"),
        ("CHANGELOG.md", "# Changelog\n", "got None"),
        ("CITATION.cff", "version: 9.9.9\n", "CITATION.cff must name"),
    ],
)
def test_another_version_anywhere_is_a_problem(project, file, text, problem):
    (project / file).write_text(text)
    (found,) = release_check.version_problems(project)
    assert problem in found


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda notebook: notebook.cells[0].update(source="x = 2"), "its code has changed since"),
        (lambda notebook: notebook.metadata[KEY].pop("modules_sha256"), "not known which modules"),
        (lambda notebook: notebook.metadata.pop(KEY), "its code has changed since"),
    ],
)
def test_outputs_of_other_code_are_a_problem(project, change, problem):
    path = project / "notebooks" / "01_one.ipynb"
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)
    (found,) = release_check.stamp_problems(project / "notebooks", project / "vqvae_course")
    assert found.startswith("01_one.ipynb must be executed again")
    assert problem in found


@pytest.mark.parametrize(
    ("source", "same"),
    [
        (MODULE.replace("One.", "Two."), True),
        (MODULE.replace("one more", "two more"), True),
        (MODULE.replace("+ 1", "+ 2"), False),
        (None, False),
    ],
)
def test_outputs_are_old_when_an_imported_module_computes_something_else(project, source, same):
    path = project / "vqvae_course" / "one.py"
    path.unlink() if source is None else path.write_text(source)
    found = release_check.stamp_problems(project / "notebooks", project / "vqvae_course")
    assert found == [] if same else "changed since are vqvae_course.one" in found[0]


def test_nothing_is_built_where_something_does_not_hold(monkeypatch, capsys):
    monkeypatch.setattr(release_check, "version_problems", lambda root: ["one thing"])
    monkeypatch.setattr(release_check.wheel, "build", lambda place: pytest.fail("built"))
    assert release_check.main() == 1
    assert "NOT READY  one thing" in capsys.readouterr().out
