import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sys

import numpy as np
import pytest
import torch

from vqvae_course import runtime
from vqvae_course.runtime import (
    BUDGETS,
    REFERENCE_RATE,
    budget,
    budget_name,
    check_setup,
    one_thread,
    pick_device,
    seed_everything,
)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("VQVAE_COURSE_BUDGET", "VQVAE_COURSE_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def with_cuda(monkeypatch):
    def set_cuda(there: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: there)

    return set_cuda


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_fastest_device_is_picked(monkeypatch, with_cuda, cuda, mps, expected):
    with_cuda(cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device() == torch.device(expected)


def draws(generator: torch.Generator) -> list:
    return [
        random.random(),
        float(np.random.rand()),  # noqa: NPY002 - the global state is what is tested
        float(torch.rand(1)),
        float(torch.rand(1, generator=generator)),
    ]


def test_one_seed_fixes_every_source_of_random_numbers():
    first = draws(seed_everything(7))
    assert draws(seed_everything(7)) == first
    assert all(a != b for a, b in zip(first, draws(seed_everything(8)), strict=True))


def test_the_returned_generator_is_not_the_global_one():
    generator = seed_everything(7)
    torch.rand(1)
    assert float(torch.rand(1, generator=generator)) == float(torch.rand(1, generator=seed_everything(7)))


def test_a_seed_may_exceed_the_32_bits_that_numpy_takes():
    first = draws(seed_everything(2**32 + 5))
    assert first == draws(seed_everything(2**32 + 5))


@pytest.mark.parametrize("seed", [-1, 1.0, "1", None])
def test_a_seed_must_be_a_whole_number(seed):
    with pytest.raises(ValueError, match="seed must be a non-negative integer, got"):
        seed_everything(seed)


@pytest.mark.parametrize("name", BUDGETS)
def test_the_environment_decides_the_budget(monkeypatch, with_cuda, name):
    with_cuda(name != "gpu")  # the opposite of the default
    monkeypatch.setenv("VQVAE_COURSE_BUDGET", name)
    assert budget_name() == name
    assert budget(smoke="smoke", laptop="laptop", gpu="gpu") == name


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize(("cuda", "expected"), [(True, "gpu"), (False, "laptop")])
def test_without_a_word_the_budget_follows_the_hardware(monkeypatch, with_cuda, value, cuda, expected):
    with_cuda(cuda)
    if value is not None:
        monkeypatch.setenv("VQVAE_COURSE_BUDGET", value)
    assert budget_name() == expected


def test_an_unknown_budget_is_refused(monkeypatch):
    monkeypatch.setenv("VQVAE_COURSE_BUDGET", "tpu")
    with pytest.raises(ValueError, match="VQVAE_COURSE_BUDGET must be one of smoke, laptop, gpu, got 'tpu'"):
        budget(smoke=1, laptop=2, gpu=3)


# --- check_setup


@pytest.fixture
def plain_machine(monkeypatch, with_cuda):
    """A laptop exactly as fast as the one of the stored outputs, with nothing to mend."""
    with_cuda(False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.setattr(runtime, "_speed", lambda device: REFERENCE_RATE)


def test_a_good_setup_has_nothing_to_mend(plain_machine, capsys):
    assert check_setup(120.0) == []
    printed = capsys.readouterr().out
    assert "Nothing to mend." in printed
    assert torch.__version__ in printed
    assert "Device: cpu" in printed
    assert "Budget: laptop." in printed


@pytest.mark.parametrize(("factor", "minutes"), [(1.0, "2.0"), (0.5, "4.0"), (4.0, "0.5"), (1000.0, "0.1")])
def test_the_expected_time_follows_the_speed_of_the_machine(monkeypatch, plain_machine, capsys, factor, minutes):
    monkeypatch.setattr(runtime, "_speed", lambda device: factor * REFERENCE_RATE)
    check_setup(120.0)
    assert f"should take about {minutes} minutes here" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["smoke", "gpu"])
def test_the_time_of_a_laptop_is_not_promised_for_another_budget(monkeypatch, plain_machine, capsys, name):
    monkeypatch.setenv("VQVAE_COURSE_BUDGET", name)
    check_setup(120.0)
    assert "minutes" not in capsys.readouterr().out


def assert_mend(capsys, fragment: str) -> None:
    problems = check_setup(120.0)
    assert len(problems) == 1
    assert fragment in problems[0]
    printed = capsys.readouterr().out
    assert f"To mend: {problems[0]}" in printed
    assert "Nothing to mend" not in printed


def test_a_gpu_that_torch_cannot_use_is_pointed_out(monkeypatch, plain_machine, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi" if name == "nvidia-smi" else None)
    assert_mend(capsys, "this build of torch cannot use it")


def test_a_data_folder_that_is_missing_is_pointed_out(monkeypatch, plain_machine, capsys, tmp_path):
    monkeypatch.setenv("VQVAE_COURSE_DATA", str(tmp_path))
    assert check_setup(120.0) == []
    capsys.readouterr()
    monkeypatch.setenv("VQVAE_COURSE_DATA", str(tmp_path / "nowhere"))
    assert_mend(capsys, "which is no folder")


def test_colab_without_a_gpu_is_pointed_out(monkeypatch, plain_machine, capsys):
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    assert_mend(capsys, "Change runtime type")


def test_the_speed_is_a_rate():
    assert runtime._speed(torch.device("cpu")) > 0


@pytest.mark.parametrize("model", [torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(2, affine=False), torch.nn.ReLU()])
def test_a_model_stands_where_its_tensors_are_and_an_empty_one_on_the_cpu(model):
    assert runtime.device_of(model) == torch.device("cpu")
    moved = model.to("meta")
    assert runtime.device_of(moved).type == ("meta" if moved.state_dict() else "cpu")


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file"
    with runtime.whole_file(path) as file:
        file.write(b"first")

    def write_and_stop():
        with runtime.whole_file(path) as file:
            file.write(b"half of the sec")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert path.read_bytes() == b"first"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are ended in the way of Unix")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_what_a_killed_process_left_is_found_under_the_name_it_was_writing(tmp_path):
    def write_and_die() -> None:
        with runtime.whole_file(tmp_path / "model.pt") as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    child = multiprocessing.get_context("fork").Process(target=write_and_die)
    child.start()
    child.join()
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"half"
    assert runtime.half_written(tmp_path / "model.pt") == [left]
    assert runtime.half_written(tmp_path / "prior.pt") == []
    assert runtime.half_written(tmp_path / "nowhere" / "model.pt") == []


def test_what_is_being_written_is_not_taken_for_left_over(tmp_path, monkeypatch):
    with runtime.whole_file(tmp_path / "model.pt"):
        assert len(list(tmp_path.iterdir())) == 1
        assert runtime.half_written(tmp_path / "model.pt") == []
        # Nor is what a machine writes that shares the disk, where our number of its process is nobody's.
        monkeypatch.setattr(runtime.platform, "node", lambda: "other.example")
        monkeypatch.setattr(runtime, "_is_alive", lambda process: False)
        assert runtime.half_written(tmp_path / "model.pt") == []
    with runtime.whole_file(tmp_path / "model.pt"):
        assert [path.name for path in tmp_path.glob(".*")] == [f".model.pt.other-example.{os.getpid()}"]


@pytest.mark.parametrize("ends", ["well", "in an error"])
def test_one_thread_is_for_a_while_and_the_others_come_back(ends):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with contextlib.suppress(RuntimeError), one_thread():
            assert torch.get_num_threads() == 1
            if ends == "in an error":
                raise RuntimeError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
