"""What must be said in two places is said alike in both."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import vqvae_course

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
REPOSITORY = CONFIG["repository"]["url"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = [line for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines() if line[:1].strip("#")]
PATTERNS = "*.md *.toml *.yml *.cff book/*.md notebooks/*.ipynb vqvae_course/**/*.py tools/*.py .github/**/*.yml"
TEXT_OF = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
WORKFLOWS = {name: yaml.safe_load(text) for name, text in TEXT_OF.items()}
TEXTS = [path for pattern in PATTERNS.split() for path in sorted(ROOT.glob(pattern))]


def name(requirement):
    return re.match(r"[\w-]+", requirement).group().lower()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_address_of_the_repository_is_the_same_everywhere(path):
    owner, repository = REPOSITORY.split("/")[-2:]
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(rf"\b(?:github\.com|github|gh)/([\w.-]+)/{repository}\b", text)) <= {owner}
    assert set(re.findall(rf"([\w-]+)\.github\.io/{repository}\b", text)) <= {owner}
    assert not re.search(r"OWNER/REPO|YOUR[-_]?NAME/", text)


def test_the_address_is_where_readers_look_for_it():
    assert PROJECT["urls"]["Repository"] == REPOSITORY
    assert REPOSITORY in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_book_is_published_where_the_repository_is():
    owner, repository = REPOSITORY.split("/")[-2:]
    assert CONFIG["html"]["baseurl"] == f"https://{owner}.github.io/{repository}/"
    assert CONFIG["html"]["baseurl"] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_citation_names_this_version_of_this_course():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    entry = re.search(r"^## (\S+) — (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"] == CONFIG["title"] == CONFIG["sphinx"]["config"]["ogp_site_name"]
    assert citation["authors"] == [{"name": CONFIG["author"]}]
    assert citation["version"] == vqvae_course.__version__
    assert (citation["version"], citation["date-released"]) == entry.groups()
    assert citation["url"] == CONFIG["html"]["baseurl"]
    assert citation["repository-code"] == REPOSITORY


def test_the_package_leaves_torch_as_it_finds_it():
    torches = [each for each in PROJECT["dependencies"] if name(each) in ("torch", "torchvision")]
    assert len(torches) == 2
    assert not any(re.search("==|<|~", each) for each in torches)


def test_every_requirement_is_pinned_and_says_who_needs_it():
    assert PINS[-1] == "-e ."
    for line in PINS[:-1]:
        assert re.fullmatch(r"[\w.-]+==[\w.]+ +# \S.*", line), line
    assert {name(each) for each in PROJECT["dependencies"]} <= {name(each) for each in PINS[:-1]}


def test_the_changelog_begins_with_this_version():
    entries = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert entries[0] == vqvae_course.__version__


def test_a_commit_is_checked_by_make_lint_and_by_nothing_else():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    assert [(hook["entry"], hook["pass_filenames"]) for hook in repos[0]["hooks"]] == [("make lint", False)]


def steps(job):
    return WORKFLOWS["test"]["jobs"][job]["steps"]


def test_continuous_integration_runs_make_test():
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == "make test"
    assert next(step["run"] for step in steps("linux") if "run" in step) == ".ci/run"


def test_every_accepted_python_runs_units_and_notebooks_and_one_runs_all():
    (all_of_it,) = (
        step["with"]["python-version"] for step in steps("linux") if "python-version" in step.get("with", {})
    )
    others = WORKFLOWS["test"]["jobs"]["pythons"]["strategy"]["matrix"]["python"]
    assert sorted([all_of_it, *others]) == [f"3.{minor}" for minor in range(11, 15)]
    assert PROJECT["requires-python"] == ">=3.11"
    assert [step["run"] for step in steps("pythons") if "run" in step] == ["make units notebooks"]


def uploads(job):
    return {step["with"]["path"]: step for step in steps(job) if "upload-artifact" in step.get("uses", "")}


def test_a_pull_request_shows_its_book_also_where_a_test_failed():
    preview = uploads("linux")["_build/site/_build/html"]
    assert preview["if"] == "${{ !cancelled() && github.event_name == 'pull_request' }}"
    assert "pull_request" in WORKFLOWS["test"][True]  # YAML reads the key on as true


@pytest.mark.parametrize("job", ["linux", "pythons"])
def test_a_failing_notebook_is_kept_where_make_notebooks_writes_it(job):
    assert uploads(job)["_build/failed"]["if"] == "${{ failure() }}"
    recipe = re.search(r"^notebooks:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1]
    assert "-p tools.keep_failed" in recipe


def test_the_workflows_are_audited_and_read_as_github_reads_them_by_make_lint():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1]
    assert "zizmor --offline" in recipe
    assert "check-jsonschema" in recipe
    assert not (ROOT / ".github" / "zizmor.yml").exists()  # no rule of it is turned off
    assert not [name for name, text in TEXT_OF.items() if "zizmor: ignore" in text]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_ask_for_no_more_rights_than_they_name(name):
    assert {"name", "jobs", "permissions"} <= set(WORKFLOWS[name])
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in TEXT_OF[name]
    assert "secrets." not in TEXT_OF[name]


def test_an_action_is_the_same_commit_everywhere_and_says_which_version_that_is():
    used = set(re.findall(r"uses: *(\S+)@(.*)", "\n".join(TEXT_OF.values())))
    assert all(re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", version) for _, version in used), used
    assert len({action for action, _ in used}) == len(used)
