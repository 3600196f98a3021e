"""Tests that train are found by what they call, wherever the training hides."""

import functools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.trained import trains
from vqvae_course import train
from vqvae_course.train import fit

ROOT = Path(__file__).parents[1]


def helper() -> None:
    fit(None, None, None, None)


@functools.cache
def remembered() -> None:
    helper()


def calls_fit() -> None:
    fit(None, None, None, None)


def calls_fit_of_a_module() -> None:
    train.fit(None, None, None, None)


def takes_steps_itself() -> None:
    torch.optim.Adam([])


def asks_a_helper() -> None:
    helper()


def asks_a_helper_that_remembers() -> None:
    assert remembered() is None


def trains_within() -> None:
    def run() -> None:
        helper()

    run()


def trains_in_a_loop() -> None:
    assert [helper() for _ in range(2)]


class Group:
    def test_in_a_class(self) -> None:
        helper()


@pytest.mark.parametrize(
    "test",
    [
        calls_fit,
        calls_fit_of_a_module,
        takes_steps_itself,
        asks_a_helper,
        asks_a_helper_that_remembers,
        trains_within,
        trains_in_a_loop,
        Group().test_in_a_class,
    ],
    ids=lambda test: test.__name__,
)
def test_a_test_that_trains_is_found(test):
    assert trains(test)


def only_looks() -> None:
    assert torch.optim
    assert train.TrainConfig


def test_a_test_that_does_not_train_is_left_alone_unless_a_fixture_does():
    assert not trains(only_looks)
    assert trains(only_looks, helper)


@pytest.fixture
def learned() -> Callable:
    return fit


def test_the_mark_is_there_when_tests_are_chosen(request):
    assert fit  # to name it is enough
    assert request.node.get_closest_marker("trained")


def test_the_fixtures_of_a_test_count_too(request, learned):
    assert request.node.get_closest_marker("trained")


def test_other_tests_have_no_mark(request):
    assert not request.node.get_closest_marker("trained")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_test_runs_them_once_more_as_the_plainest_processor_would():
    printed = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in printed.splitlines() if "-m 'trained " in line]
    assert {"ATEN_CPU_CAPABILITY=default", "ONEDNN_MAX_CPU_ISA=SSE41", "OMP_NUM_THREADS=1"} <= set(line.split())
