"""Every command for classes that the pages show can be typed as it stands there."""

import re
import shlex
from importlib import import_module

import pytest

from tests.assignments.pages import ROOT
from vqvae_course import cli
from vqvae_course.cli import main
from vqvae_course.cli.run import RunError

CLASSES = ("assign", "release", "collect", "autograde", "grade-report", "results", "variants")
PAGE = (ROOT / "book" / "instructors.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^vqvae-course (.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def stopped(monkeypatch):
    """Stop each command once its options are read."""
    for name in CLASSES:
        module = import_module(f"vqvae_course.cli.{name.replace('-', '_')}")

        def parse(*arguments, real=module.parse):
            real(*arguments)
            raise RunError("parsed")

        monkeypatch.setattr(module, "parse", parse)


def is_parsed(line: str, capsys) -> bool:
    main(shlex.split(line))
    return capsys.readouterr().err.endswith(": parsed\n")


@pytest.mark.parametrize("line", SHOWN)
def test_a_command_of_the_page_for_instructors_can_be_typed(stopped, capsys, line):
    assert is_parsed(line, capsys)


@pytest.mark.parametrize("name", CLASSES)
def test_each_command_has_an_example_stands_on_the_page_and_in_the_overview(stopped, capsys, name):
    example = import_module(f"vqvae_course.cli.{name.replace('-', '_')}").EXAMPLE
    assert example.startswith(f"vqvae-course {name} ")
    assert is_parsed(example.removeprefix("vqvae-course "), capsys)
    assert any(line.startswith(f"{name} ") for line in SHOWN)
    assert f"`{name}`" in cli.__doc__
    assert name in cli.COMMANDS


@pytest.mark.parametrize("name", CLASSES)
def test_each_command_explains_its_options(capsys, name):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert "--course" in capsys.readouterr().out or name == "assign"
