"""Experiments resume: what is stored is kept, what no longer belongs to the script is run again."""

import json
import sys
from types import ModuleType

import pytest

from experiments import runner

SOURCE = '''
"""Is it so?"""
from dataclasses import dataclass

@dataclass(frozen=True)
class Setting:
    """A setting."""
    factor: float = 1.0

SETTINGS = {"one": Setting(), "two": Setting(2.0)}
SEEDS = range(2)
SMOKE = Setting()

def run(seed, setting):
    """Multiply."""
    return {"product": setting.factor * seed, "list": [seed / 3, 1]}
'''


@pytest.fixture
def script(monkeypatch):
    """Put a script among the experiments, made from a source that a test can change."""

    def make(source=SOURCE):
        module = ModuleType("experiments.invented", "Is it so?")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(source, module.__dict__)
        monkeypatch.setattr(runner.inspect, "getsource", lambda _: source)
        return module

    return make


def run_all(folder):
    for setting, seed in runner.missing("invented", folder=folder):
        runner.write("invented", [*runner.read("invented", folder), runner.one_run("invented", setting, seed)], folder)


def test_the_first_seed_of_all_settings_comes_first(script, tmp_path):
    script()
    assert runner.missing("invented", folder=tmp_path) == [("one", 0), ("two", 0), ("one", 1), ("two", 1)]
    assert runner.missing("invented", only="tw", folder=tmp_path) == [("two", 0), ("two", 1)]


def test_what_is_stored_is_not_run_again(script, tmp_path):
    script()
    run_all(tmp_path)
    assert runner.missing("invented", folder=tmp_path) == []
    content = json.loads((tmp_path / "invented.json").read_text())
    assert content["question"] == "Is it so?"
    assert [run["numbers"]["product"] for run in content["runs"]] == [0, 1, 0, 2]
    assert content["runs"][1]["numbers"]["list"] == [0.333333, 1]


def test_a_new_setting_keeps_the_others_and_a_changed_one_runs_again(script, tmp_path):
    script()
    run_all(tmp_path)
    script(SOURCE.replace('"two": Setting(2.0)', '"two": Setting(3.0), "three": Setting()'))
    assert runner.missing("invented", folder=tmp_path) == [("two", 0), ("three", 0), ("two", 1), ("three", 1)]


def test_another_way_to_compute_outdates_everything_but_words_do_not(script, tmp_path):
    script()
    run_all(tmp_path)
    script(SOURCE.replace("Multiply.", "Multiply both."))
    assert runner.missing("invented", folder=tmp_path) == []
    script(SOURCE.replace("setting.factor * seed", "setting.factor + seed"))
    assert len(runner.missing("invented", folder=tmp_path)) == 4


def test_a_setting_that_is_gone_takes_its_runs_along(script, tmp_path):
    script()
    run_all(tmp_path)
    script(SOURCE.replace('"one": Setting(), ', ""))
    runner.write("invented", runner.read("invented", tmp_path), tmp_path)
    assert list(json.loads((tmp_path / "invented.json").read_text())["settings"]) == ["two"]


def test_an_interrupted_write_leaves_the_old_file(script, tmp_path, monkeypatch):
    script()
    run_all(tmp_path)
    before = (tmp_path / "invented.json").read_text()
    monkeypatch.setattr(runner, "_lines", lambda content: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runner.write("invented", [], tmp_path)
    assert (tmp_path / "invented.json").read_text() == before


def test_a_field_that_is_a_tuple_is_the_same_when_read_back(script, tmp_path):
    script(SOURCE.replace("factor: float = 1.0", "factor: float = 1.0\n    sizes: tuple = (1, 2)"))
    run_all(tmp_path)
    assert runner.missing("invented", folder=tmp_path) == []
