"""The points that a check's cell gives: whole, half, none, and none for what is not the student's own."""

import cProfile
import functools
import logging
import operator
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from IPython.core.formatters import PlainTextFormatter

from vqvae_course import checks, encdec, metrics, quantize
from vqvae_course.assignments import hidden
from vqvae_course.assignments.convert import check_cell
from vqvae_course.assignments.grade import grade
from vqvae_course.checks import answer, own, report
from vqvae_course.checks import chapter_03_straight_through as straight_through
from vqvae_course.checks.answer import Mistake
from vqvae_course.checks.report import EXERCISES, CheckFailed


def right(z_e, e_k):
    return z_e + (e_k - z_e).detach()


def test_a_right_answer_earns_all_points_in_a_form_that_nbgrader_reads():
    points = grade("straight_through", right)
    assert points == EXERCISES["straight_through"].points
    assert float(PlainTextFormatter()(points)) == points
    assert points._repr_html_() == "1 of 1 points"


class ValueAlone(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, step):
        return (x / step).round() * step

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError


def losses_without_stop_gradient(z_e, codebook, beta):
    e_k = codebook[quantize.nearest_code(z_e, codebook)]
    square = (z_e - e_k).square().mean()
    return z_e + (e_k - z_e).detach(), square, square, (1 + beta) * square


@pytest.mark.parametrize(("name", "answer"), [("RoundSTE", ValueAlone), ("vq_losses", losses_without_stop_gradient)])
def test_exercises_with_two_parts_give_half_for_right_values_with_wrong_gradients(name, answer):
    assert not checks.check(name, answer).correct  # a reader is told what is wrong, as ever
    assert grade(name, answer) == 0.5 * EXERCISES[name].points
    assert hidden.grade_again(name, answer) == 0.5 * EXERCISES[name].points


def test_a_value_that_is_no_work_earns_nothing():
    with pytest.raises(CheckFailed, match="The value is right"):
        grade("straight_through", lambda z_e, e_k: e_k)


def test_wrong_values_earn_nothing_and_the_reason_is_said():
    with pytest.raises(CheckFailed, match="This is the value of z_e"):
        grade("straight_through", lambda z_e, e_k: z_e)


# --- the package's own functions


def called(indices, num_codes):
    return metrics.perplexity(indices, num_codes)


class Inherited(encdec.ResidualLayer):
    pass


class Held(torch.nn.Module):
    def __init__(self, channels, residual_hidden):
        super().__init__()
        self.layer = encdec.ResidualLayer(channels, residual_hidden)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("perplexity", metrics.perplexity),
        ("perplexity", called),
        ("perplexity", functools.partial(metrics.perplexity)),
        ("straight_through", quantize.straight_through),
        ("straight_through", torch.enable_grad()(quantize.straight_through)),
        ("kmeans_step", lambda z, codebook: quantize.kmeans_step(z, codebook)),
        ("ResidualLayer", encdec.ResidualLayer),
        ("ResidualLayer", Inherited),
        ("ResidualLayer", Held),
    ],
)
def test_the_functions_of_the_package_are_nobodys_answer(name, answer):
    assert checks.check(name, answer).correct  # it is right, and that is not the question
    with pytest.raises(CheckFailed, match=rf"(is|calls) the package's own {name}"):
        grade(name, answer)


class Called:
    __call__ = staticmethod(quantize.straight_through)


class Forward(torch.nn.Module):
    forward = staticmethod(quantize.straight_through)


def in_a_thread(z_e, e_k):
    with ThreadPoolExecutor() as pool:
        return pool.submit(quantize.straight_through, z_e, e_k).result()


def unwatched(z_e, e_k):
    sys.setprofile(None)
    return quantize.straight_through(z_e, e_k)


copied = types.FunctionType(
    quantize.straight_through.__code__.replace(co_firstlineno=1), quantize.straight_through.__globals__
)


@pytest.mark.parametrize(
    "answer",
    [
        Called(),
        Forward(),
        functools.lru_cache(quantize.straight_through),
        torch.enable_grad()(functools.partial(quantize.straight_through)),
        functools.partial(operator.call, quantize.straight_through),
        in_a_thread,
        unwatched,
        copied,
        torch.fx.symbolic_trace(right),
    ],
)
def test_wrapping_does_not_make_it_ones_own(answer):
    with pytest.raises(CheckFailed):
        grade("straight_through", answer)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("EMAQuantizer", quantize.EMAVectorQuantizer),
        ("perplexity", lambda indices, K: metrics.perplexity_of_counts(metrics.code_counts(indices, K))),
    ],
)
def test_what_does_the_job_under_another_name_is_not_ones_own_either(name, answer):
    with pytest.raises(CheckFailed, match="the package's own"):
        grade(name, answer)


def test_a_mistake_that_the_answer_raises_itself_earns_nothing():
    def answer(*arguments):
        mistake = Mistake("x")
        mistake.half = 99.0
        raise mistake

    for name in ("straight_through", "vq_losses"):
        with pytest.raises(CheckFailed):
            grade(name, answer)


def test_a_profiler_that_was_left_on_costs_nothing():
    profile = cProfile.Profile()
    profile.enable()
    try:
        assert grade("straight_through", right) == 1
    finally:
        profile.disable()


def test_what_an_answer_logs_is_not_shown(capfd):
    logging.basicConfig(force=True)

    def answer(z_e, e_k):
        logging.getLogger("mine").error("look")
        return right(z_e, e_k)

    assert grade("straight_through", answer) == 1
    assert "look" not in capfd.readouterr().err
    assert logging.root.manager.disable == logging.NOTSET


# --- what runs only when answers are graded


def test_the_hidden_test_takes_right_answers_and_refuses_wrong_ones():
    assert hidden.grade_again("straight_through", right) == EXERCISES["straight_through"].points
    with pytest.raises(CheckFailed):
        hidden.grade_again("straight_through", lambda z_e, e_k: e_k)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (report, "_judge"),
        (report, "run"),
        (report, "judge_own"),
        (checks, "check"),
        (answer, "recognise"),
        (answer, "worth_half"),
        (report, "exercise"),
        (own, "taken_over"),
        (hidden.grading, "grade"),
    ],
)
def test_the_hidden_test_sees_replaced_parts_of_the_checks(monkeypatch, place, name):
    monkeypatch.setattr(place, name, lambda *arguments, **options: report.Report("straight_through", "correct"))
    with pytest.raises(hidden.Tampered, match=name):
        hidden.grade_again("straight_through", right)


def test_the_hidden_test_sees_a_replaced_judge_and_a_replaced_method(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(EXERCISES, "straight_through", report.Exercise("straight_through", "straight_through", 1, print))
        with pytest.raises(hidden.Tampered, match="judge of straight_through"):
            hidden.grade_again("straight_through", right)
    monkeypatch.setattr(answer.Answer, "tensor", lambda self, *arguments, shape: arguments[0])
    with pytest.raises(hidden.Tampered, match=r"Answer\.tensor"):
        hidden.grade_again("straight_through", right)
    assert straight_through  # the chapter whose judge it was


def test_the_hidden_test_asks_a_task_as_it_is_installed(monkeypatch):
    def reconstruction_alone(log_likelihood, q, p):
        return (q * log_likelihood).sum()

    monkeypatch.setattr(EXERCISES["elbo"].judge, "right", reconstruction_alone)
    assert grade("elbo", reconstruction_alone) == EXERCISES["elbo"].points
    with pytest.raises(CheckFailed, match="KL divergence is missing"):
        hidden.grade_again("elbo", reconstruction_alone)


@pytest.mark.parametrize(("library", "name"), hidden.COMPARISONS)
def test_the_hidden_test_sees_replaced_comparisons(monkeypatch, library, name):
    monkeypatch.setattr(library, name, lambda *arguments, **options: True)
    with pytest.raises(hidden.Tampered, match=name):
        hidden.grade_again("straight_through", right)


def test_an_answer_bound_to_its_name_in_another_way_counts():
    cell = check_cell("some-check", "straight_through")
    exec(cell.source, {"straight_through": right})
    with pytest.raises(CheckFailed):
        exec(cell.source, {"straight_through": lambda z_e, e_k: z_e})


def test_a_check_that_the_notebook_has_rebound_changes_nothing():
    cell = check_cell("some-check", "straight_through")
    with pytest.raises(CheckFailed):
        exec(cell.source, {"check": lambda *_, **__: None, "grade": print, "straight_through": lambda z_e, e_k: z_e})


def test_an_object_that_only_pretends_to_be_a_function_is_judged_by_what_it_does():
    with pytest.raises(CheckFailed):
        grade("straight_through", SimpleNamespace(__code__=None))
