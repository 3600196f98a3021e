"""Whatever an answer does, the check survives and says something true."""

import functools
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from vqvae_course import check
from vqvae_course.checks import CheckFailed, answer, report


def recursion(images):
    return recursion(images)


def endless(images):
    while True:
        pass


def prints_a_megabyte(images):
    print("x" * 1_000_000)
    return 0.5


def changes_its_argument(images):
    images.zero_()
    return 0.5


def changes_the_seed(images):
    torch.manual_seed(0)
    return (images / 255).var()


def reads_stdin(images):
    return float(sys.stdin.readline())


class Mute(Exception):
    """Has no text."""

    def __str__(self):
        raise RuntimeError


def raises_without_words(images):
    raise Mute


async def coroutine(images):
    return 0.1


class Strange:
    """Refuses everything."""

    def __getattribute__(self, name):
        raise RuntimeError(name)


HOSTILE = {
    "raised ZeroDivisionError": lambda images: 1 / 0,
    "raised KeyError": lambda images: {}["missing"],
    "returns None": lambda images: None,
    "returns a str": lambda images: "0.1",
    "returns a list": lambda images: [0.1],
    "returns a bool": lambda images: True,
    "array of shape": lambda images: images,
    "returns nan": lambda images: float("nan"),
    "returns inf": lambda images: torch.tensor(float("inf")),
    "returns a complex": lambda images: 1j,
    "calls itself without end": recursion,
    "xxx": prints_a_megabyte,
    "in place": changes_its_argument,
    "global random seed": changes_the_seed,
    "ends the whole program": lambda images: sys.exit(),
    "keyboard input": lambda images: float(input("variance? ")),
    "waits for keyboard": reads_stdin,
    "interrupted": lambda images: (_ for _ in ()).throw(KeyboardInterrupt),
    "generator": lambda images: (yield 0.1),
    "number far too large": lambda images: 10**5000,
    "raised Mute": raises_without_words,
    "asynchronous": coroutine,
    "missing 1 required positional argument": lambda images, extra: 0.1,
}


@pytest.mark.parametrize(("fragment", "function"), HOSTILE.items(), ids=HOSTILE)
def test_hostile_answers_get_a_true_sentence(fragment, function):
    found = check("data_variance", function)
    assert not found.correct
    assert fragment in str(found)
    assert len(str(found)) < 2000


def test_an_object_that_refuses_everything_is_survived():
    assert not check("data_variance", lambda images: Strange()).correct
    assert not check("normalized_mse", lambda *_: Strange()).correct
    assert not check("latent_shape", lambda *_: Strange()).correct
    assert not check("train_step", lambda *_: Strange()).correct


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs alarm signals, which Windows lacks")
def test_an_endless_loop_is_stopped(monkeypatch):
    monkeypatch.setattr(answer, "SECONDS", 1)
    assert "did not finish within 1 seconds" in str(check("data_variance", endless))


def test_the_check_works_outside_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(check("data_variance", lambda images: None)))
    thread.start()
    thread.join()
    assert "returns None" in str(found[0])


def test_global_state_is_left_alone():
    def meddles(images):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.rand(7)
        torch.set_default_device("meta")
        sys.setrecursionlimit(5000)
        os.chdir("/")
        return 0.5

    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), torch.initial_seed()  # noqa: NPY002
    stdin, written, folder, depth = sys.stdin, sys.stdout, os.getcwd(), sys.getrecursionlimit()
    check("data_variance", meddles)
    assert torch.get_default_device().type == "cpu"
    assert (os.getcwd(), sys.getrecursionlimit()) == (folder, depth)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.initial_seed() == states[3]
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert (sys.stdin, sys.stdout) == (stdin, written)


@pytest.mark.usefixtures("fresh_inputs")
def test_every_check_draws_fresh_inputs():
    seen = []
    for _ in range(2):
        torch.manual_seed(0)
        check("data_variance", lambda images: seen.append(images.double().mean().item()))
    assert seen[0] != seen[1]


def test_a_stub_is_not_attempted_and_no_failure():
    def data_variance(images):
        raise NotImplementedError

    assert str(check(data_variance)) == "data_variance: not attempted yet"


def test_the_report_is_shown_at_once(capsys):
    check("data_variance", lambda images: (images / 255).var())
    assert capsys.readouterr().out == "data_variance: correct\n"


def test_html_is_escaped():
    found = report.Report("name", report.WRONG, "shape <3>", "x & y", "<script>")
    assert "<script>" not in found._repr_html_()
    assert "shape &lt;3&gt;" in found._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ((), "check(your_function)"),
        (("data_variance",), "check(your_function)"),
        ((3,), "needs the function itself"),
        (("data_variance", 3), "needs the function itself"),
        (("no_such", len), "no exercise named 'no_such'"),
        ((len,), "no exercise named 'len'"),
        ((1, 2, 3), "check(your_function)"),
        ((functools.partial(len),), 'check("name", your_function)'),
    ],
)
def test_a_wrong_call_is_explained(arguments, fragment):
    assert fragment in str(check(*arguments))


def test_strict_raises_unless_correct(monkeypatch):
    with pytest.raises(CheckFailed, match="returns None"):
        check("data_variance", lambda images: None, strict=True)
    monkeypatch.setenv("VQVAE_COURSE_STRICT", "1")
    with pytest.raises(CheckFailed, match="not attempted yet"):
        check("data_variance", _unsolved)
    check("data_variance", lambda images: (images / 255).var())


def _unsolved(images):
    raise NotImplementedError


def test_a_known_mistake_is_recognised_by_its_result_alone():
    known = [(torch.tensor([1.0, 2.0]), "first", ""), (torch.tensor([[1.0, 2.0]]), "second", "a hint")]
    with pytest.raises(answer.Mistake, match="second") as caught:
        answer.recognise(torch.tensor([[1.0, 2.0]], requires_grad=True), known)
    assert caught.value.hint == "a hint"
    answer.recognise(torch.tensor([1.0, 2.001]), known)
    with pytest.raises(answer.Mistake, match="first"):
        answer.recognise(torch.tensor([1.0, 2.001]), known, tolerance=1e-2)


def test_recognising_takes_plain_numbers_too():
    with pytest.raises(answer.Mistake, match="twice"):
        answer.recognise(3.0, [(1.5, "half", ""), (np.float32(3.0), "twice", "")])
    answer.recognise(3.0, [(float("inf"), "infinite", ""), (float("nan"), "no number", "")])


def test_right_answers_are_right_where_the_package_is_reached_by_a_link(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(Path(__file__).resolve().parents[2], target_is_directory=True)
    code = """
import torch
from vqvae_course import quantize
from vqvae_course.assignments.grade import grade


def kmeans_step(z, codebook):
    indices = quantize.nearest_code(z, codebook)
    members = torch.nn.functional.one_hot(indices, len(codebook)).to(z.dtype)
    count = members.sum(dim=0)[:, None]
    return torch.where(count > 0, members.T @ z / count.clamp(min=1), codebook)


print(grade("kmeans_step", kmeans_step))
grade("kmeans_step", quantize.kmeans_step)
"""
    environment = os.environ | {"PYTHONPATH": str(link)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "kmeans_step: correct\n2.0" in done.stdout, done.stdout + done.stderr
    assert "is the package's own kmeans_step" in done.stderr
