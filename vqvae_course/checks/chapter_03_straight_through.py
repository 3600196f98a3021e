"""Checks of notebook 03: the estimator, rounding, the codebook's gradient, when a code changes, a wrong sign."""

import copy
import itertools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, kind, recognise, worth_half
from vqvae_course.checks.compare import agree
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task
from vqvae_course.quantize import Quantized, VectorQuantizer
from vqvae_course.vqvae import VQVAE, VQVAEConfig

# straight_through


@exercise(points=1)
def straight_through(answer: Answer) -> None:
    """Judge ``straight_through(z_e, e_k)`` by its value and by both of its Jacobians."""
    far = 1000.0  # z_e far from the origin: rounding is of the size of its last digit, and that is fine
    for shape, dtype, offset, slope in (
        ((2, 3, 4, 6), torch.float32, 0.0, 1),
        ((7,), torch.float64, 0.0, 1000),  # steeper than anybody would clip gradients to
        ((1, 5), torch.float32, far, 0.001),
    ):
        z_e = (torch.randn(shape, dtype=dtype) + offset).requires_grad_()
        e_k = torch.randn(shape, dtype=dtype).requires_grad_()
        _judge_estimator(answer, z_e, e_k, slope)
    swapped = torch.randn(3, 5, 2, 4).movedim(1, -1)  # not contiguous, as a feature map laid out for the quantizer
    _judge_estimator(answer, swapped.requires_grad_(), torch.randn(3, 2, 4, 5))  # codes that need no gradient: EMA
    with torch.no_grad():
        try:
            _judge_value(answer, torch.randn(2, 5), torch.randn(2, 5))
        except Mistake as mistake:
            raise Mistake(
                f"It works in training, but not under torch.no_grad(). {mistake.message}", mistake.hint
            ) from None


def _judge_value(answer: Answer, z_e: Tensor, e_k: Tensor) -> Tensor:
    value = answer.tensor(z_e, e_k, shape=tuple(z_e.shape))
    if value.dtype != z_e.dtype:
        raise Mistake(f"Your function turns {z_e.dtype} into {value.dtype}.", "Which operation changes the dtype?")
    if z_e.grad is not None or e_k.grad is not None:
        raise Mistake("Your function calls backward() itself; that is up to whoever computes the loss.")
    z, e = z_e.detach(), e_k.detach()
    error = (value.detach() - e).abs()
    if bool((error <= 8 * torch.finfo(z.dtype).eps * (z.abs() + e.abs())).all()):
        return value
    into_codes = value.requires_grad and value.grad_fn is not None and _gradients(value, z_e, e_k, None)[1] is not None
    if into_codes and torch.allclose(value.detach(), z, rtol=1e-4, atol=1e-5):
        raise Mistake(
            "Latents and codes have changed places: the value is that of z_e, and the gradient goes to e_k.",
            "Which of the two shall the decoder be given? Which one shall learn from it?",
        )
    hint = "Put numbers in: with z_e = 0.5 and e_k = 0.2 the result has to be 0.2."
    recognise(
        value,
        [
            (z, "This is the value of z_e: the decoder would see the latents as they are, unquantized.", hint),
            (2 * z - e, "The difference is taken the wrong way round: the value is 2 z_e - e_k.", hint),
            (2 * e - z, "The difference is added to the code and not to the latent: the value is 2 e_k - z_e.", hint),
            (z + e, "The value is z_e + e_k: the latent outside is not taken away again.", hint),
            (e - z, "The value is e_k - z_e, the way from the latent to the code; the latent itself is missing.", hint),
            (z - e, "The value is z_e - e_k; it has to be e_k.", hint),
            ((z + e) / 2, "The value is halfway between latent and code; the decoder must be given the code.", hint),
            (torch.zeros_like(z), "The value is 0 everywhere; it has to be e_k.", hint),
        ],
    )
    raise Mistake("The value of the result is not e_k.", hint)


def _gradients(value: Tensor, z_e: Tensor, e_k: Tensor, upstream: Tensor | None) -> tuple[Tensor | None, ...]:
    upstream = torch.ones_like(value) if upstream is None else upstream
    wanted = [tensor for tensor in (z_e, e_k) if tensor.requires_grad]
    found = iter(torch.autograd.grad(value, wanted, upstream, allow_unused=True, retain_graph=True))
    return tuple(next(found) if tensor.requires_grad else None for tensor in (z_e, e_k))


def _judge_estimator(answer: Answer, z_e: Tensor, e_k: Tensor, slope: float = 1) -> None:
    value = _judge_value(answer, z_e, e_k)
    if not value.requires_grad:
        raise Mistake(
            "The value is right, but it is cut off from everything: no gradient reaches z_e, and the encoder would not "
            "learn.",
            "Only the difference may be a constant. Look for a detach() around too much, no_grad, .data or NumPy.",
        )
    upstream = slope * torch.randn_like(value)
    to_latents, to_codes = _gradients(value, z_e, e_k, upstream)
    deaf = to_latents is None or not to_latents.any()
    heard = to_codes is not None and bool(to_codes.any())
    if heard and to_latents is None:
        raise Mistake(
            "The value is right, but all of the gradient goes into e_k, and z_e is not in the formula where autograd "
            "can see it: the encoder would not learn.",
            "The result has to depend on z_e in the eyes of autograd, although its value does not.",
        )
    if deaf and heard:
        raise Mistake(
            "The value is right, but the gradient of z_e is exactly 0, and the codes get all of it. What cancels on "
            "the way forward cancels on the way back as well.",
            "If z_e stands there twice, one of the two has to be a constant.",
        )
    if to_latents is None:
        raise Mistake(
            "The value is right, but the result hangs on a new tensor that does not know z_e: no gradient gets back "
            "to the encoder.",
            "requires_grad_() on a detached tensor begins a graph of its own. Use z_e itself.",
        )
    if deaf:
        raise Mistake(
            "The value is right, but the gradient of z_e is exactly 0. The code is behind a stop-gradient, but all "
            "that is outside of it cancels.",
            "If z_e stands there twice, one of the two has to be a constant.",
        )
    _judge_jacobian(to_latents, upstream, heard)
    if heard:
        raise Mistake(
            "z_e gets its gradient, but e_k gets one as well: the reconstruction loss would move the codebook.",
            "The code has to stand behind the stop-gradient, too.",
        )


def _judge_jacobian(to_latents: Tensor, upstream: Tensor, codes_learn: bool) -> None:
    factor = float((to_latents * upstream).sum() / upstream.square().sum())
    if not agree(to_latents, factor * upstream, 1e-4):
        raise Mistake(
            "The gradient that reaches z_e is not the one that arrives at z_q: entries are scaled, mixed or lost.",
            "The derivative of each entry of z_q with respect to the same entry of z_e has to be 1.",
        )
    if math.isclose(factor, -1, rel_tol=1e-4):
        where = "The stop-gradient is around the z_e that is added; the one that is taken away got the gradient. "
        raise Mistake(
            (where if codes_learn else "") + "The value is right, but z_e gets the gradient with its sign turned: "
            "training would go uphill.",
            "Which of the two z_e has a plus in front of it?",
        )
    if not math.isclose(factor, 1, rel_tol=1e-4):
        raise Mistake(f"The gradient of z_e is {factor:.3g} times the one that arrives at z_q; it has to be the same.")


# RoundSTE


@exercise(points=2)
def RoundSTE(answer: Answer) -> None:
    """Judge ``RoundSTE.apply(x, step)``: multiples of the step forwards, the identity backwards."""
    function = answer.function
    if not (isinstance(function, type) and issubclass(function, torch.autograd.Function)):
        raise Mistake("RoundSTE has to be a class derived from torch.autograd.Function.", "Keep the first line as is.")
    cases = []
    for shape, step, dtype in (
        ((3, 5), 0.25, torch.float32),
        ((7,), 0.3, torch.float64),
        ((2, 4, 3), 1.7, torch.float32),
        ((2, 3), 40.0, torch.float32),
    ):
        counts = torch.randint(-6, 7, shape).to(dtype)
        counts.view(-1)[:3] = torch.tensor([-5, 6, 3], dtype=dtype)  # negative ones and large ones, each time
        rest = torch.empty(shape, dtype=dtype).uniform_(0.05, 0.45)
        rest.view(-1)[1::2] *= -1
        x = (counts + rest) * step
        _judge_rounding(Answer(function.apply), x, step, counts * step)
        _judge_rounding(Answer(function.apply), x.movedim(0, -1), step, (counts * step).movedim(0, -1))
        cases.append((x, step))
    halfway = (torch.arange(-3, 4) + 0.5) * 0.25
    distance = (Answer(function.apply).tensor(halfway, 0.25, shape=(7,)) - halfway).abs()
    if not torch.allclose(distance, torch.full((7,), 0.125)):
        raise Mistake("A number halfway between two multiples of the step is not sent to one of the two.")
    with worth_half():
        for (x, step), slope in zip(cases, (1, 1000, 0.001, 1), strict=True):
            _judge_backward(function, x.requires_grad_(), step, slope)


def _judge_rounding(apply: Answer, x: Tensor, step: float, right: Tensor) -> None:
    value = apply.tensor(x, step, shape=tuple(x.shape))
    if value.dtype != x.dtype:
        raise Mistake(f"The forward pass turns {x.dtype} into {value.dtype}.", "Which operation changes the dtype?")
    if torch.allclose(value, right, rtol=1e-5, atol=1e-6 * step):
        return
    hint = "How many steps is x long? Round that number, then turn it back into a length."
    recognise(
        value,
        [
            ((x / step).round(), "You count x in steps and round, but do not multiply by the step again.", hint),
            (
                (x / step).floor() * step,
                "You always round down; the nearest multiple is asked for.",
                "round, not floor",
            ),
            ((x / step).ceil() * step, "You always round up; the nearest multiple is asked for.", "round, not ceil"),
            (
                (x / step).trunc() * step,
                "You cut off towards 0; the nearest multiple is asked for.",
                "int() and // cut",
            ),
            (
                (x / step + 0.5).trunc() * step,
                "You add a half and cut off. That is right for positive numbers only: cutting off goes towards 0.",
                "Try x = -1 with a step of 1.",
            ),
            (
                (x / step).floor() * step + step / 2,
                "You return the middle between two multiples of the step, which is no multiple itself.",
                hint,
            ),
            (x - right, "This is what rounding takes away from x; what it leaves is asked for.", hint),
            (x.round(), "You round to whole numbers and ignore the step.", hint),
            (
                (x * step).round() / step,
                "You multiply and divide in the wrong order: these are multiples of 1/step.",
                hint,
            ),
            ((x * step).round() * step, "You multiply by the step twice.", hint),
            ((x * step).round(), "You multiply by the step before rounding and do not undo it.", hint),
            ((x / step).round() / step, "You divide by the step twice.", hint),
            (x.round() * step, "You round x itself, and multiply by the step afterwards.", hint),
            (x, "x comes back as it was; nothing is rounded.", hint),
        ],
    )
    raise Mistake("The forward pass does not return the nearest multiple of the step.", hint)


def _judge_backward(function: type, x: Tensor, step: float, slope: float) -> None:
    upstream = slope * torch.randn_like(x)

    def through(x: Tensor, step: float, upstream: Tensor) -> Tensor:
        value = function.apply(x, step)
        try:
            (gradient,) = torch.autograd.grad(value, x, upstream.clone(), allow_unused=True)
        except NotImplementedError as error:
            raise Mistake("The forward pass is right; backward is still missing.") from error
        except (RuntimeError, TypeError) as error:
            raise _misunderstood(error) from error
        if gradient is None:
            raise Mistake("backward returns None for x, so nothing before the rounding could learn.")
        return gradient

    gradient = Answer(through).tensor(x, step, upstream, shape=tuple(x.shape))
    if agree(gradient, upstream, 1e-5):
        return
    value, hint = (x / step).round() * step, "backward returns what it is given."
    recognise(
        gradient,
        [
            (
                torch.zeros_like(x),
                "The gradient is 0: that is the true slope of rounding, and with it nothing learns.",
                "Which slope does the estimator put in its place?",
            ),
            (torch.ones_like(x), "The gradient is 1 everywhere: the one that arrives from above is thrown away.", hint),
            (upstream * step, "You multiply the gradient by the step; it has to pass unchanged.", hint),
            (upstream / step, "You divide the gradient by the step; it has to pass unchanged.", hint),
            (-upstream, "The gradient has its sign turned.", hint),
            (upstream * value, "You multiply the gradient by the rounded numbers; the slope is taken to be 1.", hint),
            (upstream * x, "You multiply the gradient by x; the slope is taken to be 1.", hint),
            (value, "backward returns the rounded numbers in place of a gradient.", hint),
            (x, "backward returns x in place of a gradient.", hint),
            ((upstream / step).round() * step, "You round the gradient as well; it has to pass unchanged.", hint),
            (upstream.round(), "You round the gradient as well; it has to pass unchanged.", hint),
        ],
    )
    lost = (gradient == 0) & (upstream != 0)
    if bool(lost.any()) and torch.allclose(gradient[~lost], upstream[~lost]):
        raise Mistake(
            "The gradient is cut off for some entries, as in a hardtanh; here it has to pass for every x.",
            hint,
        )
    factor = float((gradient * upstream).sum() / upstream.square().sum())
    if torch.allclose(gradient, factor * upstream, rtol=1e-4, atol=1e-5):
        raise Mistake(f"The gradient is multiplied by {factor:.3g}; it has to pass unchanged.", hint)
    raise Mistake("The gradient that leaves backward is not the one that entered it.", hint)


def _misunderstood(error: Exception) -> Exception:
    """Turn what torch says of a wrong ``backward`` into what it means."""
    if "incorrect number of gradients" in str(error):
        return Mistake(
            "backward does not return as many values as forward has arguments after ctx: torch asks for one gradient "
            "for each of them, in a tuple (a list counts as one).",
            "What is the gradient of something that is no tensor?",
        )
    if "expected Variable or None" in str(error):
        return Mistake("backward returns something for x that is neither a tensor nor None.", "It is given a tensor.")
    if re.search("gradient different (than|from) None", str(error)):
        return Mistake(
            "backward returns a gradient for step. It is a plain number, not a tensor, and torch accepts no gradient "
            "for it.",
            "Say that there is none.",
        )
    if "invalid gradient" in str(error):
        return Mistake("The gradient that backward returns has not the shape of x.", "It is what backward is given.")
    if isinstance(error, TypeError) and "backward()" in str(error):
        return Mistake(
            "backward has the wrong arguments: after ctx it is given one gradient for every output of forward, and "
            "forward has one."
        )
    return error


# codebook_grad_from_recon


class _Bare(VectorQuantizer):
    """A planted fault: the decoder is given the codes themselves."""

    def forward(self, z_e: Tensor) -> Quantized:
        quantized = super().forward(z_e)
        return quantized._replace(z_q=self.lookup(quantized.indices))


class _Leaking(VectorQuantizer):
    """A planted fault: latents and codes both get the gradient."""

    def forward(self, z_e: Tensor) -> Quantized:
        quantized = super().forward(z_e)
        e_k = self.lookup(quantized.indices)
        return quantized._replace(z_q=quantized.z_q + e_k - e_k.detach())


SMALL = VQVAEConfig(
    in_channels=1,
    hidden=4,
    residual_layers=1,
    residual_hidden=2,
    num_codes=5,
    code_dim=3,
    downsample=2,
    quantizer="gradient",
    data_variance=0.1,
)


@exercise(points=2)
def codebook_grad_from_recon(answer: Answer) -> None:
    """Judge ``codebook_grad_from_recon(model, x)`` on sound models and on two with a planted fault."""
    for fault, stale, training in (
        (VectorQuantizer, False, True),
        (_Bare, False, True),
        (_Leaking, True, False),
        (VectorQuantizer, True, True),
    ):
        model, x = _example(fault)
        if stale:
            model(torch.rand(2, 1, 4, 6)).loss.backward()
        _judge_codebook_gradient(answer, model.train(training), x)


def _example(fault: type[VectorQuantizer]) -> tuple[VQVAE, Tensor]:
    """Draw a small model with this quantizer, and images that make it use several codes."""
    while True:
        model, x = VQVAE(replace(SMALL, beta=0.5)), torch.rand(3, 1, 6, 4)
        with torch.no_grad():
            model.to_code_dim.weight.mul_(20)  # latents as large as the codes
        model.quantizer.__class__ = fault
        found = _codebook_gradient(model, lambda twin, x=x: twin(x).recon_loss)
        loud = fault is VectorQuantizer or float(found.abs().max()) > 0.05
        if loud and len(model.encode(x).unique()) > 1:
            return model, x


def _judge_codebook_gradient(answer: Answer, model: VQVAE, x: Tensor) -> None:
    codebook = model.quantizer.codebook
    right = _codebook_gradient(model, lambda twin: twin(x).recon_loss)
    old = {name: (p.detach().clone(), _copy(p.grad), p.requires_grad) for name, p in model.named_parameters()}
    modes = [module.training for module in model.modules()]
    got = Answer(_explaining_none(answer.function)).tensor(model, x, shape=tuple(codebook.shape)).detach()
    got = got.to(right.dtype)
    if not agree(got, right, 1e-3, zero=1e-7):
        _explain_codebook_gradient(got, right, model, x, old["quantizer.codebook"][1])
    if any(not torch.equal(p, old[name][0]) for name, p in model.named_parameters()):
        raise Mistake("The gradient is right, but your function changes the weights of the model.")
    for name, parameter in model.named_parameters():
        before, after = old[name][1], parameter.grad
        if before is None and after is not None:
            raise Mistake(
                "The gradient is right, but your function leaves gradients behind in the model's .grad; the next "
                "optimizer step would take them for its own.",
                "torch.autograd.grad returns a gradient without storing it anywhere.",
            )
        if before is not None and (after is None or not torch.equal(before, after)):
            raise Mistake(
                "The gradient is right, but the gradients that stood in the model's .grad are changed or gone.",
                "torch.autograd.grad returns a gradient without storing it anywhere.",
            )
    if [module.training for module in model.modules()] != modes:
        raise Mistake("The gradient is right, but your function leaves the model in another mode (train or eval).")
    if any(p.requires_grad != old[name][2] for name, p in model.named_parameters()):
        raise Mistake("The gradient is right, but your function changes which weights of the model may learn.")


def _copy(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.clone()


def _codebook_gradient(model: VQVAE, loss: Callable[[VQVAE], Tensor]) -> Tensor:
    """Return the gradient of a loss with respect to the codebook, on a copy of the model."""
    twin = copy.deepcopy(model)
    value, codebook = loss(twin), twin.quantizer.codebook
    found = torch.autograd.grad(value, codebook, allow_unused=True)[0] if value.requires_grad else None
    return torch.zeros_like(codebook) if found is None else found


def _explaining_none(function: Callable) -> Callable:
    """Wrap an answer so that the two ways in which autograd says "no path" are told apart from other slips."""

    def wrapped(model: VQVAE, x: Tensor) -> object:
        try:
            value = function(model, x)
        except RuntimeError as error:
            if "not have been used in the graph" in str(error):
                raise Mistake(
                    "torch.autograd.grad refuses, because no path leads from the loss to the codebook. That is the "
                    "finding, not an accident; zeros are asked for.",
                    "Its error message names the option.",
                ) from error
            raise
        if value is None:
            raise Mistake(
                "Your function returns None. If that is what autograd found: it means that no path leads to the "
                "codebook, and zeros of its shape are asked for.",
            )
        return value

    return wrapped


def _explain_codebook_gradient(got: Tensor, right: Tensor, model: VQVAE, x: Tensor, stale: Tensor | None) -> None:
    recon = "Only output.recon_loss is asked for."
    fresh = "backward() adds to .grad, and .grad keeps what was there. Who cleared it?"
    looked_up = (
        "You decode from the indices. That way looks the codes up again, connected to the codebook, and does not pass "
        "the quantizer's own output: it finds a gradient in every model."
    )

    def looked_up_image(twin: VQVAE) -> Tensor:
        return twin.decoder(twin.quantizer.lookup(twin.encode(x)))

    losses: list[tuple[Callable[[VQVAE], Tensor], str]] = [
        (
            lambda twin: twin(x).loss,
            "The codebook loss is in it, and that term is meant to move the codes; the question is what the "
            "reconstruction does on its own.",
        ),
        (
            lambda twin: F.mse_loss(twin(x).x_hat, x),
            "You recompute the error without dividing by the data's variance; take output.recon_loss.",
        ),
        (
            lambda twin: F.mse_loss(twin(x).x_hat, x, reduction="sum"),
            "You sum the squared errors; take output.recon_loss.",
        ),
        (lambda twin: F.mse_loss(looked_up_image(twin), x) / model.config.data_variance, looked_up),
        (lambda twin: F.mse_loss(looked_up_image(twin), x), looked_up),
    ]
    gradients = [(_codebook_gradient(model, loss), message) for loss, message in losses]
    known = [(value, message, recon) for value, message in gradients if value.any()]
    known += [
        (model.quantizer.codebook, "This is the codebook itself; the gradient with respect to it is asked for.", "")
    ]
    if stale is not None:
        known += [(right + stale, "An older gradient, which stood in .grad before your call, is mixed in.", fresh)]
        known += [(stale, "This is an older gradient, which stood in .grad before your call.", fresh)]
        known += [
            (value + stale, f"{message} And an older gradient is mixed in.", recon) for value, message in gradients
        ]
    if right.any():
        known += [
            (
                torch.zeros_like(right),
                "Here the reconstruction does train the codebook, by a planted fault, and your function says that it "
                "does not.",
                "Is the answer zeros whatever the model? Is something detached, or under torch.no_grad()? Which "
                "tensor's gradient do you ask for?",
            ),
            (-right, "The sign is wrong: the gradient is asked for, not the step.", ""),
            (right.abs(), "The signs are lost.", ""),
            (right / right.norm(), "You scale the gradient to length 1.", ""),
            (len(x) * right, "You multiply by the number of images; recon_loss is a mean.", ""),
            (right.square(), "You square the gradient.", ""),
        ]
    recognise(got, known, tolerance=1e-4)
    sound = "" if right.any() else " In this model it is 0."
    raise Mistake(f"This is not the gradient of the reconstruction loss with respect to the codebook.{sound}", recon)


# steps_to_switch

MOST = 100  # updates within which the code changes


def _otherwise(got: float, *case: Any) -> str:
    k, d = case[2].shape
    when = "earlier" if got > _switch(*case) else "later"
    return f"With {k} codes of length {d} your count is {got:g}; the code changes {when}."


steps_to_switch = Task(
    lambda z_e, gradient, codebook, lr: _switch(z_e, gradient, codebook, lr),
    name="steps_to_switch",
    points=2,
    zero=0.4,
    otherwise=_otherwise,
    hint="Each update replaces z by z - lr * gradient. Which code is nearest by distance, after each of them?",
)


@steps_to_switch.inputs
def _latents() -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
    sizes = ((4, 2, torch.float32), (7, 1, torch.float64), (9, 5, torch.float32), (6, 2, torch.float32))
    yield from (_crossing(*size) for size in sizes)
    z_e, gradient, codebook, lr = _crossing(5, 3, torch.float32)
    yield 1000 * z_e, 1000 * gradient, 1000 * codebook, lr
    yield 0.001 * z_e, 0.001 * gradient, 0.001 * codebook, lr
    yield _crossing(2, 3, torch.float32)  # later, since here a walk uphill never ends
    yield from (_late_crossing(d) for d in (1, 4))


@steps_to_switch.unless
def _no_count(got: float, *case: Any) -> None:
    if got != round(got):
        raise Mistake(
            f"{got:.4g} came back; updates are whole numbers.",
            "After which whole number of them is the other code nearer for the first time?",
        )
    if got < 1:
        raise Mistake(f"{got:g} updates: at the start the nearest code is the first one, so it takes at least one.")
    raise Mistake(steps_to_switch.otherwise(got, *case), steps_to_switch.hint)  # one small number proves no mistake


def _nearest(z: Tensor, codebook: Tensor) -> int:
    return int((codebook.double() - z.double()).square().sum(dim=1).argmin())


def _switch(z_e: Tensor, gradient: Tensor, codebook: Tensor, lr: float, sign: float = -1.0) -> int | None:
    """Return the number of updates, or None if the code stays for good."""
    z, step, first = z_e.double(), sign * lr * gradient.double(), _nearest(z_e, codebook)
    return next((n for n in range(1, MOST + 1) if _nearest(z + n * step, codebook) != first), None)


def _crossing(k: int, d: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, float]:
    """Draw a latent whose code changes after a few updates, clearly, and by any wrong rule after another number."""
    while True:
        codebook = torch.randn(k, d, dtype=dtype) + 2
        z_e = codebook[int(torch.randint(k, ()))] + 0.3 * torch.randn(d, dtype=dtype)
        gradient, lr = 0.25 * torch.randn(d, dtype=dtype), float(torch.empty(()).uniform_(0.3, 0.6))
        case = z_e, gradient, codebook, lr
        count = _switch(*case)
        if count is None or not 3 <= count <= MOST // 2:
            continue
        clear = all(_gap(z_e - n * lr * gradient, codebook) > 0.01 for n in (0, count - 1, count))
        first, second = (codebook - z_e).norm(dim=1).argsort()[:2].tolist()
        from_code = _switch(codebook[first], gradient, codebook, lr)
        counts = [count, from_code, *(_switch(z_e, gradient, codebook, rate) for rate in (1.0, 1 / lr))]
        if not clear or None in counts or 1 in counts or len(set(counts)) < len(counts):
            continue
        # Uphill the code has to change too, or a loop in the wrong direction would never end. With 2 codes it can not.
        uphill = _switch(*case, sign=1.0)
        if k == 2 or (_nearest(z_e - count * lr * gradient, codebook) != second and uphill not in (None, count)):
            return case


def _late_crossing(d: int) -> tuple[Tensor, Tensor, Tensor, float]:
    """Draw a latent whose code changes after nearly as many updates as the task allows."""
    z_e, gradient, codebook, _ = _crossing(2, d, torch.float64)
    old = _nearest(z_e, codebook)
    lead = (z_e - codebook[1 - old]).square().sum() - (z_e - codebook[old]).square().sum()
    way = lead / (2 * gradient @ (codebook[old] - codebook[1 - old]))  # in gradients, to the border of the two cells
    return z_e, gradient, codebook, float(way) / (int(torch.randint(MOST - 20, MOST, ())) - 0.5)


def _gap(z: Tensor, codebook: Tensor) -> float:
    """Return by how much the nearest code is nearer than the next one."""
    near, next_one = (codebook - z).norm(dim=1).sort().values[:2].tolist()
    return next_one - near


def _by_product(z_e: Tensor, gradient: Tensor, codebook: Tensor, lr: float) -> int:
    first = int((codebook @ z_e).argmax())
    path = (z_e - n * lr * gradient for n in range(1, MOST + 1))
    return next((n for n, z in enumerate(path, start=1) if int((codebook @ z).argmax()) != first), MOST + 1)


_WALK = "\nEach update replaces z by z - lr * gradient. Count them; look after each."
steps_to_switch.mistakes(
    {
        "Your count is one too small: after that many updates the code is still the old one." + _WALK: (
            lambda *case: _switch(*case) - 1
        ),
        "Your count is one too large: the code has changed one update earlier." + _WALK: lambda *case: (
            _switch(*case) + 1
        ),
        "You move along the gradient, uphill; gradient descent moves against it." + _WALK: lambda *case: _switch(
            *case, sign=1.0
        ),
        "You leave out the learning rate: each update moves the latent by lr times the gradient." + _WALK: (
            lambda z, g, codebook, lr: _switch(z, g, codebook, 1.0)
        ),
        "You divide by the learning rate; each update moves the latent by lr times the gradient." + _WALK: (
            lambda z, g, codebook, lr: _switch(z, g, codebook, 1 / lr)
        ),
        "You use the direction of the gradient only; its length counts as well." + _WALK: (
            lambda z, g, codebook, lr: _switch(z, g / g.norm(), codebook, lr)
        ),
        "You start from the code; it is the latent that moves." + _WALK: (
            lambda z, g, codebook, lr: _switch(codebook[_nearest(z, codebook)], g, codebook, lr)
        ),
        "You take the code with the largest inner product for the nearest one." + _WALK: _by_product,
        "You return the number of the code that is reached, not the number of updates." + _WALK: (
            lambda z, g, codebook, lr: _nearest(z - _switch(z, g, codebook, lr) * lr * g, codebook)
        ),
    }
)


# ste_bias


@exercise(points=3)
def ste_bias(answer: Answer) -> None:
    """Judge ``ste_bias(codes)`` by what the estimator does in the case that it returns."""
    for k, scale in zip((2, 2, 3, 4, 5, 7, 9, 9, 16, 25, 25), itertools.cycle((1.0, 0.05, 30.0, 1e-4)), strict=False):
        gaps = torch.empty(k).uniform_(0.3, 1.5)
        codes = scale * (gaps.cumsum(dim=0) + float(torch.randn(())))
        codes = codes[torch.randperm(k)]
        z, target = _two_numbers(answer(codes))
        problem = _what_happens(z, target, codes.double().tolist())
        if problem is None:
            continue
        if _what_happens(target, z, codes.double().tolist()) is None:
            raise Mistake("With the two numbers swapped this would be right: the latent comes first.")
        raise problem


def _two_numbers(value: object) -> tuple[float, float]:
    if isinstance(value, Tensor | np.ndarray):
        value = value.squeeze().tolist()
    if not isinstance(value, tuple | list) or len(value) != 2:
        came = f"{len(value)} values" if isinstance(value, tuple | list) else kind(value)
        raise Mistake(f"Two numbers are asked for, (z, target); {came} came back.")
    single = [part.item() if math.prod(getattr(part, "shape", (0,))) == 1 else part for part in value]
    if not all(isinstance(part, Real) for part in single):
        came = " and ".join(
            f"{kind(part)} of shape {tuple(part.shape)}" if hasattr(part, "shape") else kind(part) for part in single
        )
        raise Mistake(f"Two numbers are asked for, (z, target); {came} came back.")
    z, target = map(float, single)
    if not (math.isfinite(z) and math.isfinite(target)):
        raise Mistake(f"Two finite numbers are asked for; {z} and {target} came back.")
    return z, target


def _what_happens(z: float, target: float, codes: list[float]) -> Mistake | None:
    """Follow the estimator; return None if it is led astray, else what is wrong with the case."""
    codes, span = sorted(codes), max(codes) - min(codes)
    near = sorted(range(len(codes)), key=lambda j: abs(codes[j] - z))
    if abs(codes[near[1]] - z) - abs(codes[near[0]] - z) < 1e-6 * span:
        return Mistake("Your z lies on the border of two cells, so it has no code of its own.", "Move it into a cell.")
    k = near[0]
    code, gradient = codes[k], codes[k] - target
    if gradient == 0:
        return Mistake(
            f"The target is the code of your z, {code:.4g}: the gradient there is 0 and points nowhere.",
            "The gradient of the loss at a code e is e - t.",
        )
    way, j = ("up", k + 1) if gradient < 0 else ("down", k - 1)
    if not 0 <= j < len(codes):
        return Mistake(
            f"The code of your z is {code:.4g} and the gradient {gradient:.3g}, so z moves {way}, where there is no "
            "other code: the loss never changes.",
            "Sort the codes. On which side does this one have a neighbour?",
        )
    here, there = (0.5 * (e - target) ** 2 for e in (code, codes[j]))
    scene = (
        f"The code of z = {z:.4g} is {code:.4g}, the gradient there {gradient:.3g}, so z moves {way}, and the first "
        f"code that it reaches is {codes[j]:.4g}."
    )
    if abs(there - here) < 1e-6 * span**2:
        return Mistake(f"{scene} Both codes have the same loss, so nothing gets worse.", "Move the target a little.")
    if there < here:
        return Mistake(
            f"{scene} The loss falls from {here:.3g} to {there:.3g}: the estimator is right.",
            "Which code is the best one for your target? Is it the one that z has?",
        )
    return None
