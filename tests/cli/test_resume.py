import csv
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.cli.runs import (
    ONE_LEVEL,
    PRIOR,
    TWO_LEVELS,
    content,
    in_a_child,
    same,
    saved,
    wait_until,
    written,
)
from vqvae_course.checkpoint import load_checkpoint
from vqvae_course.cli import session
from vqvae_course.cli import train as train_command
from vqvae_course.cli import train_prior as prior_command
from vqvae_course.runtime import host_name
from vqvae_course.stream import FolderStream

PEEK = FolderStream.peek

# Codes that start anew are drawn from the global generator, so that its state counts too. Not every update is
# followed by a checkpoint, so that some are done twice.
RUN = ("--steps", "24", "--checkpoint-every", "4", "--log-every", "2", "--restart-below", "0.9", "--normalize-latents")
LONG = ("--steps", "160", "--checkpoint-every", "4", "--log-every", "4", "--restart-below", "0.9")

MODELS = pytest.mark.parametrize(
    "options",
    [
        ONE_LEVEL,
        TWO_LEVELS,
        (*ONE_LEVEL, "--workers", "2"),
        (*ONE_LEVEL, "--clip", "1.0"),
    ],
    ids=["vqvae", "vqvae2", "streaming", "clipped"],
)
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are ended in the way of Unix"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # where there is one core for two workers
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


class Crash(Exception):
    """What a power cut looks like from inside."""


@contextmanager
def at_update(number: int, happen: Callable[[], None]) -> Iterator[None]:
    """Have something happen within one update of the training meanwhile, counted over all levels."""
    numbers = count(1)

    def watched(step):
        def with_event(model, batch):
            if next(numbers) == number:
                happen()
            return step(model, batch)

        return with_event

    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (train_command, "vqvae_step"),
            (train_command, "vqvae2_step"),
            (prior_command, "prior_step"),
        ):
            patch.setattr(module, name, watched(getattr(module, name)))
        yield


def crash() -> None:
    raise Crash


def ctrl_c(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def steps_of(table: str | Path) -> list[int]:
    with Path(table).open(newline="") as file:
        return [int(row[0]) for row in list(csv.reader(file))[1:]]


def assert_same_run(one: str, other: str, name: str = "model") -> None:
    assert same(saved(f"{one}/{name}.pt"), saved(f"{other}/{name}.pt"))
    assert Path(one, f"{name}.csv").read_bytes() == Path(other, f"{name}.csv").read_bytes()


# --- killed


def test_a_run_killed_at_random_moments_ends_like_one_that_never_was(cli, pets, tmp_path):
    assert cli("train", "--out", "straight", *ONE_LEVEL, *LONG).status == 0
    checkpoint, kills = Path("run/model.pt"), 0
    command = ("train", "--out", "run", *ONE_LEVEL, *LONG)
    for _ in range(6):
        before = written(checkpoint)
        child = in_a_child(command, tmp_path / "log")
        wait_until(lambda before=before, child=child: written(checkpoint) != before or not child.is_alive())
        time.sleep(random.uniform(0, 0.06))
        child.kill()
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL), (tmp_path / "log").read_text()
        load_checkpoint(checkpoint)  # whole at any moment
        if child.exitcode == 0:
            break
        kills += 1
        command = ("train", "--out", "run", "--resume")
    assert kills >= 2
    assert cli("train", "--out", "run", "--resume").status == 0
    assert_same_run("straight", "run")
    assert sorted(content("run")) == [name.replace("straight", "run") for name in sorted(content("straight"))]


def test_a_run_killed_before_its_first_checkpoint_starts_anew(cli, pets, tmp_path):
    assert cli("train", "--out", "straight", *ONE_LEVEL, *LONG, "--checkpoint-every", 160).status == 0
    child = in_a_child(("train", "--out", "run", *ONE_LEVEL, *LONG, "--checkpoint-every", "160"), tmp_path / "log")
    wait_until(Path("run/train.json").exists)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not Path("run/model.pt").exists()
    assert cli("train", "--out", "run", "--resume").status == 0
    assert_same_run("straight", "run")


@pytest.fixture
def dead() -> int:
    """Return the number of a process that is gone."""
    child = multiprocessing.get_context("fork").Process(target=os._exit, args=(0,))
    child.start()
    child.join()
    return child.pid


def write(*paths: Path | str) -> None:
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half a file")


@pytest.mark.parametrize("host", ["", f"{host_name()}."], ids=["before hosts were named", "named"])
def test_what_a_killed_process_left_half_written_is_cleared_away(cli, trained, dead, host):
    names = (".model.pt", ".prior_top.csv", "codes/.train.npz", "onnx/.prior_top.onnx", "onnx/.export.json")
    left = [trained / f"{name}.{host}{dead}" for name in names]
    write(*left)
    assert cli("train", "--out", "run", "--resume").status == 0
    assert not any(path.exists() for path in left)


def test_nothing_else_is_cleared_away_whatever_it_is_called(cli, trained, dead):
    kept = [
        *("my.pt.notes", ".best.pt.bak", ".model.pt.backup", f".best.pt.{dead}", ".model.pt.007", f".model.pt.{dead}~"),
        *(f"other/.weights.npz.{dead}", f"nested/.model.pt.{dead}", f"codes/.model.pt.{dead}", f".train.npz.{dead}"),
        *(f"nested/codes/.train.npz.{dead}", f".model.pt.{os.getpid()}", f".model.pt.{host_name()}.{os.getppid()}"),
        *(f".model.pt.another-machine.{dead}", ".model.pt.20261130"),
    ]
    write(*(trained / name for name in kept))
    (trained / f".model.csv.{dead}").mkdir()
    assert cli("train", "--out", "run", "--resume").status == 0
    assert {name: (trained / name).read_bytes() for name in kept} == dict.fromkeys(kept, b"half a file")
    assert (trained / f".model.csv.{dead}").is_dir()


def test_a_folder_that_is_no_run_yet_keeps_all_it_holds(cli, pets, dead):
    kept = [f"run/.model.pt.{dead}", f"run/codes/.train.npz.{dead}", "run/.prior.pt.bak"]
    write(*kept)
    assert cli("train", "--out", "run", *ONE_LEVEL, "--steps", 2).status == 0
    assert all(Path(name).read_bytes() == b"half a file" for name in kept)


# --- stopped by an error


@MODELS
@pytest.mark.parametrize("number", [3, 5, 15], ids=lambda number: f"in update {number}")
def test_a_run_that_crashed_ends_like_one_that_never_did(cli, pets, options, number):
    assert cli("train", "--out", "straight", *options, *RUN).status == 0
    with at_update(number, crash), pytest.raises(Crash):
        cli("train", "--out", "run", *options, *RUN)
    assert Path("run/model.pt").exists() is (number > 4)
    torch.manual_seed(number)  # another process, with another state
    assert cli("train", "--out", "run", "--resume").status == 0
    assert_same_run("straight", "run")


@pytest.mark.parametrize("happening", [crash, ctrl_c], ids=["crash", "ctrl-c"])
def test_a_prior_that_was_stopped_ends_like_one_that_never_was(cli, hierarchy, happening):
    steps = ("--steps", 10, "--checkpoint-every", 2, "--clip", 1.0)
    assert cli("train-prior", "--out", "run", *PRIOR, *steps).status == 0
    levels = ("prior_top", "prior_bottom")
    expected = {name: saved(f"run/{name}.pt") for name in levels}
    tables = {name: Path(f"run/{name}.csv").read_bytes() for name in levels}
    for file in Path("run").glob("prior*"):
        file.unlink()
    with at_update(16, happening), pytest.raises(Crash) if happening is crash else nullcontext():  # below: the sixth
        assert cli("train-prior", "--out", "run", *PRIOR, *steps).status == 130
    assert [load_checkpoint(f"run/{name}.pt").step for name in levels] == [10, 4 if happening is crash else 6]
    torch.manual_seed(9)
    assert cli("train-prior", "--out", "run", "--resume").status == 0
    for name in levels:
        assert same(saved(f"run/{name}.pt"), expected[name])
        assert Path(f"run/{name}.csv").read_bytes() == tables[name]


def test_rows_written_after_the_last_checkpoint_are_written_once(cli, pets):
    with at_update(16, crash), pytest.raises(Crash):
        cli("train", "--out", "run", *ONE_LEVEL, *RUN)
    assert load_checkpoint("run/model.pt").step == 12
    assert steps_of("run/model.csv") == [2, 4, 6, 8, 10, 12, 14]
    assert cli("train", "--out", "run", "--resume").status == 0
    assert steps_of("run/model.csv") == list(range(2, 26, 2))


# --- stopped by hand


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "shutdown"])
def test_who_asks_to_stop_gets_a_checkpoint_and_goes_on_bit_for_bit(cli, pets, number):
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    assert cli("train", "--out", "straight", *ONE_LEVEL, *RUN).status == 0
    with at_update(7, lambda: ctrl_c(number)):
        outcome = cli("train", "--out", "run", *ONE_LEVEL, *RUN)
    assert outcome.status == 130
    assert outcome.err == "vqvae-course train: stopped after update 7 of 24; --resume goes on from there\n"
    assert "Stopping after this update, with a checkpoint." in outcome.out
    assert load_checkpoint("run/model.pt").step == 7
    assert steps_of("run/model.csv") == [2, 4, 6, 7]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert cli("train", "--out", "run", "--resume").status == 0
    ours, theirs = saved("run/model.pt"), saved("straight/model.pt")
    assert ours.pop("history")["steps"][-1] == theirs.pop("history")["steps"][-1] == 24
    assert same(ours, theirs)


@pytest.mark.parametrize(("later", "stops_at_once"), [(3.0, True), (0.5, False)])
def test_who_asks_twice_is_obeyed_at_once_but_not_if_a_launcher_repeats_it(
    cli, pets, monkeypatch, later, stops_at_once
):
    clock = count(100.0, later)
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    def twice() -> None:
        ctrl_c()
        ctrl_c()

    with at_update(7, twice):
        outcome = cli("train", "--out", "run", *ONE_LEVEL, *RUN)
    assert outcome.status == 130
    if stops_at_once:
        assert outcome.err == "vqvae-course train: stopped at once; the last checkpoint is whole\n"
    assert load_checkpoint("run/model.pt").step == (4 if stops_at_once else 7)


def test_ctrl_c_outside_of_training_ends_with_130_too(cli, trained, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("vqvae_course.cli.encode.encode_split", interrupted)
    assert cli("encode", "--out", "run")[::2] == (130, "vqvae-course encode: stopped\n")


def test_ctrl_c_reaches_a_command_that_was_started_from_a_shell(pets):
    repository = Path(__file__).parents[2]
    command = [sys.executable, "-m", "vqvae_course", "train", "--out", "run", *ONE_LEVEL, *LONG, "--steps", "1000000"]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        wait_until(lambda: Path("run/model.pt").exists() or child.poll() is not None, seconds=60)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "stopped after update " in err
    assert "Traceback" not in out + err
    assert load_checkpoint("run/model.pt").step == steps_of("run/model.csv")[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "shutdown"])
def test_processes_that_read_pictures_keep_silent_when_all_are_asked_to_stop(pets, tmp_path, number):
    log = tmp_path / "log"
    words = ("train", "--out", "run", *ONE_LEVEL, *LONG, "--steps", "1000000", "--workers", "3")
    child = in_a_child(words, log, before=os.setsid)
    wait_until(lambda: Path("run/model.pt").exists() or not child.is_alive(), seconds=60)
    os.killpg(child.pid, number)  # as a terminal does
    child.join(60)
    lines = [line for line in log.read_text().splitlines() if "top" in line]
    assert child.exitcode == 130, lines
    assert len(lines) == 2, lines
    assert lines[0] == "Stopping after this update, with a checkpoint. Ctrl-C once more stops at once."
    assert re.fullmatch(r"vqvae-course train: stopped after update \d+ of 1000000; --resume .*", lines[1])
    assert "Traceback" not in log.read_text()
    assert load_checkpoint("run/model.pt").step == steps_of("run/model.csv")[-1]


# --- with other options


def test_a_run_goes_on_with_the_options_it_was_started_with_unless_others_are_given(cli, trained):
    outcome = cli("train", "--out", "run", "--resume", "--steps", 10, "--log-every", 5)
    assert outcome.status == 0
    checkpoint = load_checkpoint("run/model.pt")
    assert checkpoint.step == 10
    assert checkpoint.history["steps"] == [2, 4, 6, 10]
    assert cli("train", "--out", "run", "--resume").status == 0  # which remembers the ten
    assert load_checkpoint("run/model.pt").step == 10


def test_a_finished_run_stays_as_it_is(cli, trained):
    before = saved("run/model.pt")
    table = Path("run/model.csv").read_bytes()
    assert cli("train", "--out", "run", "--resume").status == 0
    assert same(saved("run/model.pt"), before)
    assert Path("run/model.csv").read_bytes() == table


def test_no_codebook_is_started_for_a_run_that_has_one(cli, trained, monkeypatch):
    monkeypatch.setattr(train_command, "start_codebook", crash)  # which takes a while with many codes
    assert cli("train", "--out", "run", "--resume", "--steps", 7).status == 0


def test_a_run_can_be_moved_before_it_goes_on(cli, trained):
    trained.rename(trained.with_name("moved"))
    assert "moved/model.pt" in cli("train", "--out", "moved", "--resume", "--steps", 8).out
    assert load_checkpoint("moved/model.pt").step == 8
    assert not trained.exists()


def test_the_run_of_a_preset_is_resumed_where_the_preset_put_it(cli, pets):
    arguments = ("train", "--preset", "cifar10", *ONE_LEVEL[2:], "--data=folder:pets")
    assert cli(*arguments, "--steps", 2).status == 0
    assert cli(*arguments, "--steps", 4, "--resume").status == 0
    assert load_checkpoint("runs/pets/model.pt").step == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hidden", 16), "checkpoint must belong to this model, got one of another: hidden is 8 there, 16 here"),
        (("--steps", 3), "steps must be at least the 6 that the checkpoint has done, got 3"),
        (
            ("--data", "folder:fewer", "--data-variance", 0.1),
            "checkpoint must belong to this model|must belong to 9 examples",
        ),
        (("--model", "vqvae2"), "model must be vqvae, which this run was started with, got 'vqvae2'"),
        (("--preset", "cifar10"), "preset must be quick, which this run was started with, got 'cifar10'"),
        (("--quantizer", "gradient"), "checkpoint must belong to this model"),
    ],
)
def test_options_that_do_not_fit_the_checkpoint_change_nothing(cli, trained, options, message):
    Path("fewer").mkdir()
    Path("fewer/train").symlink_to(Path("pets/test").resolve())
    Path("fewer/test").symlink_to(Path("pets/test").resolve())
    before = content("run")
    outcome = cli("train", "--out", "run", "--resume", *options)
    assert outcome.status == 1
    assert re.search(message, outcome.err)
    assert content("run") == before
    assert cli("train", "--out", "run", "--resume").status == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hidden", 16), "checkpoint must belong to this model"),
        (("--steps", 3), "steps must be at least the 6 that the checkpoint has done, got 3"),
        (("--prior", "pixelsnail"), "this model, got one of another: a GatedPixelCNN, not a PixelSNAIL"),
    ],
)
def test_options_that_do_not_fit_the_checkpoint_of_a_prior_change_nothing(cli, whole, options, message):
    before = content("run")
    outcome = cli("train-prior", "--out", "run", "--resume", *options)
    assert outcome.status == 1
    assert message in outcome.err
    assert content("run") == before
    assert cli("train-prior", "--out", "run", "--resume").status == 0


def test_the_prior_of_each_level_resumes_with_its_own_options(cli, hierarchy):
    for level, hidden in (("top", 8), ("bottom", 12)):
        command = ("train-prior", "--out", "run", "--level", level, "--steps", 10, "--checkpoint-every", 2)
        with at_update(5, crash), pytest.raises(Crash):
            cli(*command, *PRIOR, "--hidden", hidden)
    assert cli("train-prior", "--out", "run", "--resume", "--level", "top").status == 0
    for level, hidden, steps in (("top", 8, 10), ("bottom", 12, 4)):
        assert json.loads(Path(f"run/prior_{level}.json").read_text())["options"]["hidden"] == hidden
        assert load_checkpoint(f"run/prior_{level}.pt").step == steps
    assert cli("train-prior", "--out", "run", "--resume", "--level", "bottom").status == 0
    assert load_checkpoint("run/prior_bottom.pt").step == 10


# --- streaming


def test_workers_can_be_changed_when_a_run_resumes(cli, pets, monkeypatch):
    monkeypatch.setattr(FolderStream, "peek", lambda stream, count: PEEK(stream, 5))  # a set larger than the sample
    assert cli("train", "--out", "run", *ONE_LEVEL, "--steps", 4).status == 0
    variance = load_checkpoint("run/model.pt").model.config.data_variance
    assert cli("train", "--out", "run", "--resume", "--steps", 6, "--workers", 1).status == 0
    assert load_checkpoint("run/model.pt").model.config.data_variance == variance
    assert load_checkpoint("run/model.pt").step == 6


def test_codes_of_pictures_read_as_they_come_are_those_of_pictures_in_memory(cli, trained):
    assert cli("encode", "--out", "run").status == 0
    before = content("run/codes")
    assert cli("train", "--out", "run", "--resume", "--workers", 2).status == 0  # finished: it only notes the workers
    assert cli("encode", "--out", "run").status == 0
    assert content("run/codes") == before
    assert cli("reconstruct", "--out", "run", "--count", 2).status == 0
    assert cli("evaluate", "--out", "run").status == 0
