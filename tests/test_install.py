"""What ``make book`` does before there is anything: an environment, whole or made anew."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from tools import install

ROOT = Path(__file__).parents[1]
UV_PIN = next(line.split()[0] for line in install.REQUIREMENTS.read_text().splitlines() if line.startswith("uv=="))
FETCH, INSTALL = "--only-binary", "-r"


@pytest.fixture
def commands(monkeypatch):
    """Record what would be run; what holds a word of ``commands.fails`` fails."""
    log = SimpleNamespace(run=[], fails=(), settings="")

    def run(command, **_):
        words = [str(word) for word in command]
        if "config" in words:
            return SimpleNamespace(stdout=log.settings)
        log.run.append(words)
        return SimpleNamespace(returncode=int(any(word in words for word in log.fails)))

    monkeypatch.setattr(install.subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["install.py"])
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return log


def test_uv_is_fetched_as_a_wheel_and_installs_the_requirements(commands, capsys):
    assert install.main() == 0
    fetch, work = commands.run
    assert fetch[1:4] == ["-m", "pip", "--disable-pip-version-check"]
    assert fetch[4:] == ["install", "-q", "--only-binary", ":all:", UV_PIN]
    assert work[1:6] == ["-m", "uv", "pip", "install", "--python"]
    assert work[6:] == [sys.executable, "-r", str(install.REQUIREMENTS)]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("fails", [FETCH, "uv"], ids=["there is no uv", "uv cannot reach the packages"])
def test_pip_installs_where_uv_cannot_and_says_so(commands, capsys, fails):
    commands.fails = (fails,)
    assert install.main() == 0
    assert commands.run[-1][1:] == [
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "-r",
        str(install.REQUIREMENTS),
    ]
    assert "could not be done with uv" in capsys.readouterr().out


def test_the_installation_fails_where_pip_fails_too(commands):
    commands.fails = (INSTALL,)
    assert install.main() == 1


def test_a_build_of_torch_is_handed_to_uv(commands, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["install.py", "--torch", "cpu"])
    assert install.main() == 0
    assert commands.run[-1][7:9] == ["--torch-backend", "cpu"]


def test_who_asks_for_a_small_build_of_torch_does_not_get_the_large_one(commands, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["install.py", "--torch", "cpu"])
    commands.fails = ("uv",)
    assert install.main() == 1
    assert not any("pip" in words and "-r" in words and "uv" not in words for words in commands.run)
    assert "TORCH=cpu takes uv and the address where torch keeps its own wheels" in capsys.readouterr().out


def test_bytecode_is_written_at_once_where_imports_write_none(commands, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    install.main()
    assert "--compile-bytecode" in commands.run[-1]


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ("", []),
        ("global.timeout='60'\n:env:.cert='/etc/a=b.crt'", []),
        ("global.index-url='https://mirror.example/simple'", ["--default-index=https://mirror.example/simple"]),
        # The environment counts more than the section of the command, and that more than the file's first section.
        (
            ":env:.index-url='https://c.example'\nglobal.index-url='https://a.example'\ninstall.index-url='https://b.example'",
            ["--default-index=https://c.example"],
        ),
        (
            "global.index-url='https://a.example'\ninstall.index-url='https://b.example'",
            ["--default-index=https://b.example"],
        ),
        (
            "global.extra-index-url='\\nfile:///one\\nfile:///two'",
            ["--index=file:///one", "--index=file:///two", "--index-strategy=unsafe-best-match"],
        ),
        (":env:.find-links='/wheels'\n:env:.no-index='1'", ["--find-links=/wheels", "--no-index"]),
        (":env:.no-index='false'", []),
        ("download.index-url='https://other.example'", []),
    ],
)
def test_uv_looks_where_pip_is_told_to_look(commands, settings, options):
    assert install.uv_options(settings) == options
    commands.settings = settings
    install.main()
    assert commands.run[-1][7:-2] == options


def test_pip_tells_its_settings_in_the_form_that_is_read(tmp_path):
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://a.example/simple\nextra-index-url =\n  file:///x\n  file:///y\n"
    )
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env=os.environ | {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    options = install.uv_options(listing.stdout)
    assert "--default-index=https://a.example/simple" in options
    assert {"--index=file:///x", "--index=file:///y", "--no-index"} <= set(options)


@pytest.mark.parametrize("package", ["torch", "torchvision"])
def test_the_pins_accept_a_build_for_processors(package):
    (pin,) = (
        line.split()[0] for line in install.REQUIREMENTS.read_text().splitlines() if line.startswith(f"{package}==")
    )
    assert Requirement(pin).specifier.contains(f"{pin.partition('==')[2]}+cpu")


PYTHON = """#!/bin/sh
echo "python $*" >> log
case "$*" in
    "-m venv --clear .venv") rm -rf .venv && mkdir -p .venv/bin && cp python3 .venv/bin/python ;;
    tools/install.py*) test ! -e broken ;;
esac
"""


@pytest.fixture
def make(tmp_path):
    """Run the Makefile with a Python that only notes what it is asked for, and returns what it noted."""
    if not shutil.which("make") or os.name == "nt":
        pytest.skip("there is no make here")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    for name in ("vqvae_course", "book", "notebooks", "benchmarks"):
        (tmp_path / name).mkdir()
    (tmp_path / "python3").write_text(PYTHON)
    (tmp_path / "python3").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "TORCH")}

    def run(*arguments, broken=False):
        (tmp_path / "log").write_text("")
        (tmp_path / "broken").touch() if broken else (tmp_path / "broken").unlink(missing_ok=True)
        command = ["make", "PYTHON=./python3", ".venv/installed", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode != 0) == broken, done.stderr
        noted = (tmp_path / "log").read_text()
        return ("anew" if "-m venv --clear" in noted else "kept"), noted.partition("tools/install.py")[2].strip()

    run.folder = tmp_path
    return run


def test_an_installation_that_broke_off_starts_over_from_nothing(make):
    assert make(broken=True) == ("anew", "--torch")
    assert not (make.folder / ".venv" / "installed").exists()
    assert make() == ("anew", "--torch")
    assert make() == ("kept", "")  # whole: nothing to do


def test_changed_requirements_are_installed_into_what_is_there(make):
    make()
    os.utime(make.folder / "requirements.txt", (2**31, 2**31))
    assert make(broken=True) == ("kept", "--torch")
    assert make() == ("anew", "--torch")  # broke off: who knows what is there


def test_another_build_of_torch_is_installed_from_nothing_and_then_kept(make):
    make()
    assert make("TORCH=cpu") == ("anew", "--torch cpu")
    assert make("TORCH=cpu") == ("kept", "")
    assert make() == ("kept", "")
    os.utime(make.folder / "requirements.txt", (2**31, 2**31))
    assert make() == ("kept", "--torch cpu")
