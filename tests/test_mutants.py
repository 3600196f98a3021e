"""Machine-made mutants of the published solutions are refused, or right as well; all of them: ``make mutants``."""

import pytest

from tools import mutants
from tools.equivalent import EQUIVALENT, equivalent
from tools.mutate import mutants as changed

SOLUTIONS = {solution.exercise: solution for solution in mutants.solutions()}
SAMPLE = 24  # every so many of them are tried here


@pytest.fixture(autouse=True)
def _same_inputs():
    with mutants.same_inputs():
        yield


@pytest.mark.parametrize("name", SOLUTIONS)
def test_the_published_solution_is_accepted_and_a_sample_of_its_mutants_refused(name):
    solution = SOLUTIONS[name]
    assert mutants.verdict(solution).correct
    first = sum(map(ord, name)) % SAMPLE  # not always those of the first line
    some = list(changed(solution.source))[first::SAMPLE]
    assert set(mutants.survivors(solution, some)) <= equivalent(name)


def test_every_equivalent_mutant_is_one_of_a_published_solution_and_has_a_reason():
    for name, listed in EQUIVALENT.items():
        made = {mutant.change for mutant in changed(SOLUTIONS[name].source)}
        assert equivalent(name) <= made
        assert all(listed)


@pytest.mark.parametrize(
    ("source", "mutant"),
    [
        ("y = a - b", "y = a + b"),
        ("y = a - b", "y = b - a"),
        ("y = a @ b", "y = b @ a"),
        ("y = a * b", "y = a"),
        ("y = a < b", "y = a <= b"),
        ("y = not a", "y = a"),
        ("y = a and b", "y = a or b"),
        ("y = x.sum(dim=1)", "y = x.sum(dim=2)"),
        ("y = x.sum(dim=1)", "y = x.sum()"),
        ("y = x.sum(dim=1)", "y = x.mean(dim=1)"),
        ("y = x.detach() + 1", "y = x + 1"),
        ("y = torch.exp(x)", "y = x"),
        ("y = f(a, b)", "y = f(b, a)"),
        ("y = 0.25", "y = 0.5"),
        ("y = True", "y = False"),
        ("y = x[0]", "y = x[1]"),
        ("y = x[0]", "y = x"),
        ("y = a if c else b", "y = b"),
        ("y += x", "y = x"),
        ("f()\ng()", "pass\ng()"),
        ("return_ = (a, b)", "return_ = (b, a)"),
    ],
)
def test_a_mutant_changes_one_thing(source, mutant):
    assert mutant in [one.source for one in changed(source)]


def test_mutants_differ_from_each_other_and_from_what_they_change():
    source = SOLUTIONS["kl_categorical"].source
    made = list(changed(source))
    assert len({one.source for one in made} | {source}) == len(made) + 1
    assert len({one.change for one in made}) == len(made)
    assert list(changed('"""A text."""')) == []


def test_a_mutant_that_survives_is_named_and_fails_the_command(monkeypatch, capsys):
    weak = SOLUTIONS["rescale_decay"]
    monkeypatch.setattr(mutants, "solutions", lambda: [weak])
    monkeypatch.setattr(mutants, "survivors", lambda *_: ["decay ** factor -> decay"])
    assert mutants.main([]) == 1
    assert "SURVIVES: decay ** factor -> decay" in capsys.readouterr().out
    monkeypatch.setattr(mutants, "survivors", lambda *_: [])
    monkeypatch.setitem(EQUIVALENT, "rescale_decay", {"a reason": ("another",)})
    assert mutants.main(["rescale_decay"]) == 1
    assert "LISTED IN VAIN: another" in capsys.readouterr().out
