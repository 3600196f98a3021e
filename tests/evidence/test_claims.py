"""Every comparison on a page is a claim, and stored runs carry every claim."""

import json
import re
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from experiments import runner
from experiments.__main__ import names
from vqvae_course.evidence import claim, load
from vqvae_course.evidence.claims import all_claims
from vqvae_course.evidence.rules import FEWEST_SEEDS
from vqvae_course.evidence.stored import available

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = all_claims()


def shown_on_pages() -> dict[str, list[str]]:
    """Return the ids of the claims that each notebook shows, by the page's number."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("*_*.ipynb")):
        code = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
        found[path.stem[:2]] = re.findall(r"""\bclaim\(\s*["']([^"']+)["']""", code)
    return found


@pytest.mark.parametrize("id", CLAIMS)
def test_stored_runs_carry_the_claim(id):
    for rule in CLAIMS[id].rules:
        verdict = rule.judge()
        assert verdict.holds, f"{CLAIMS[id].sentence} The stored runs say: {verdict.numbers}"


@pytest.mark.parametrize("id", CLAIMS)
def test_a_claim_is_a_sentence(id):
    assert CLAIMS[id].sentence.endswith(".")
    assert CLAIMS[id].rules, "a claim needs a rule"


def test_every_claim_stands_on_its_page_and_no_other():
    shown = [id for page, ids in shown_on_pages().items() for id in ids if id.startswith(page)]
    assert sorted(shown) == sorted(CLAIMS)
    elsewhere = {(page, id) for page, ids in shown_on_pages().items() for id in ids if not id.startswith(page)}
    assert not elsewhere


@pytest.mark.parametrize("name", available())
def test_results_belong_to_the_script_as_it_is(name):
    script, evidence = import_module(f"experiments.{name}"), load(name)
    for setting, each in script.SETTINGS.items():
        assert evidence.settings[setting] == json.loads(json.dumps(asdict(each))), (
            f"{setting} has changed: make experiment NAME={name}"
        )
        assert evidence.seeds(setting) == list(script.SEEDS), f"runs are missing: make experiment NAME={name}"
    assert set(evidence.settings) == set(script.SETTINGS)
    code = runner.code_sha256(script)
    assert {run["code_sha256"] for run in evidence.runs} == {code}, f"of an older script: make experiment NAME={name}"
    claimed = {rule.experiment for each in CLAIMS.values() for rule in each.rules}
    assert len(script.SEEDS) >= FEWEST_SEEDS or name not in claimed, "one run shows, but carries no claim"


def test_every_experiment_has_its_script_and_its_results():
    assert available() == names()


@pytest.mark.parametrize("name", names())
def test_a_script_measures_numbers(name):
    script = import_module(f"experiments.{name}")
    assert script.__doc__.split("\n")[0].endswith("?"), "its docstring begins with the question"
    numbers = script.run(0, script.SMOKE)
    known = {key for run in load(name).runs for key in run["numbers"]}
    assert numbers.keys() <= known
    for value in numbers.values():
        assert isinstance(value, int | float | list | tuple)


def test_an_unknown_claim_lists_those_of_its_page():
    with pytest.raises(ValueError, match="id must be one of"):
        claim("07-nonsense")


def test_an_unknown_experiment_lists_those_that_are_available():
    with pytest.raises(ValueError, match=r"name must be one of \['"):
        load("nonsense")


def test_an_unknown_setting_or_number_lists_what_there_is():
    evidence = load(available()[0])
    setting = next(iter(evidence.settings))
    with pytest.raises(KeyError, match="setting must be one of"):
        evidence.values("nonsense", "nonsense")
    with pytest.raises(KeyError, match="number must be one of"):
        evidence.values(setting, "nonsense")
    number = next(iter(evidence.runs[0]["numbers"]))
    assert evidence.table(number)[setting] == evidence.values(setting, number)


def test_a_claim_shows_its_sentence_and_the_numbers_of_each_rule_in_a_quotation():
    for each in CLAIMS.values():
        first, *rest = each._repr_markdown_().splitlines()
        assert first == f"> **Measured:** {each.sentence}"
        assert rest == [">", *(f"> - {rule.judge().numbers}" for rule in each.rules)]
