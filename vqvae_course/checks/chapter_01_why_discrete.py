"""Checks of notebook 01: two divergences, log K, the bound, and its value in bits per dimension."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqvae_course import metrics, vae
from vqvae_course.checks.answer import NARROW, Answer, Mistake, close, kind, recognise
from vqvae_course.checks.report import exercise

LN2 = math.log(2)
NEGATIVE = "The sign is wrong: a KL divergence is never negative."
BITS = "These are bits; nats are asked for, which belong to the natural logarithm."
ZERO_LOG_ZERO = (
    "Your function returns NaN: 0 · log 0 is not a number in floating point. An outcome with q = 0 counts 0.",
    "Is there a way to leave such an outcome out, or a torch function that knows the rule?",
)
DOUBLE_ZERO = (
    "Your function returns NaN where q = 0 and p = 0: you divide 0 by 0, or multiply 0 by an infinite logarithm.",
    "What does the text say of such an outcome? Which function knows it, and is it still asked when the NaN is there?",
)
AT_RANDOM = (
    "The same arguments give another result each time: something is drawn at random.",
    "The mean over z can be worked out exactly, as a sum or as a formula.",
)


def _explain(got: float | Tensor, known: Mapping[str, Any], hint: str, tolerance: float = NARROW) -> None:
    """Refuse an answer that is one of the known values, each under what to say of it, the likeliest first."""
    recognise(got, [(value, message, hint) for message, value in known.items()], tolerance)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real | np.generic) and not isinstance(value, bool)


def _number(answer: Answer, arguments: tuple, nan: tuple[str, str], infinite: tuple[str, str]) -> float:
    """Return a finite answer; say of NaN and of infinity what is handed in."""
    value = answer(*arguments)
    if _is_number(value) or (isinstance(value, Tensor | np.ndarray) and math.prod(value.shape) == 1):
        first = float(torch.as_tensor(value).detach().reshape(()))
        if math.isnan(first):
            raise Mistake(*nan)
        if math.isinf(first):
            raise Mistake(*infinite)
        if not close(first, answer.number(*arguments)):
            raise Mistake(*AT_RANDOM)
        return first
    return answer.number(*arguments)


def _explain_all(got: list[float], known: list[dict[str, Any]], hint: str) -> None:
    """Refuse numbers that are the same known mistake, each for its own arguments; a single one may be a coincidence."""
    double = torch.float64
    together = {message: torch.tensor([float(each[message]) for each in known], dtype=double) for message in known[0]}
    _explain(torch.tensor(got, dtype=double), together, hint)


def _refuse_nearly(got: float, right: float) -> None:
    """Refuse an answer that fits no known mistake and is off by very little."""
    if close(got, right, tolerance=5e-3):
        raise Mistake(
            "Your result is nearly right: it is off by less than half a per cent.",
            "Is something rounded, the result or ln 2? Is a small number added, or a count off by one?",
        )


@exercise(points=1)
def kl_onehot_uniform(answer: Answer) -> None:
    """Judge ``kl_onehot_uniform(K, n_latents=1)``: N log K in nats."""
    sizes = [int(size) for size in torch.randint(100, 700, (3,))]  # whoever lists K^7 combinations fails at once
    cases: list[tuple[int, ...]] = [(sizes[0],), (sizes[1], 7), (sizes[2], 49), (1, 5), (1,), (2, 640), (100_003, 3)]
    infinite = (
        "Your function returns infinity: the divergence of the uniform distribution from a one-hot one, or a power K^N "
        "that is too large to be written down.",
        "Which of the two is the posterior? And does the logarithm of a power need the power?",
    )
    too_many = (
        "Your function fails because K^N is too large: nobody can list so many combinations.",
        "The positions are independent. What does that make of a divergence over all of them?",
    )
    for case in cases:
        K, n = case[0], case[1] if len(case) > 1 else 1
        try:
            got = _number(answer, case, ZERO_LOG_ZERO, infinite)
        except Mistake as mistake:
            failed = mistake.__cause__ is not None and n > 1
            if failed and any(word in mistake.message.lower() for word in ("memory", "overflow")):
                raise Mistake(*too_many) from mistake
            raise
        if not math.isclose(got, n * math.log(K), rel_tol=1e-4, abs_tol=1e-4):
            _explain_one_hot(got, K, n)


def _explain_one_hot(got: float, K: int, n: int) -> None:
    log_k = math.log(K)
    known = {
        NEGATIVE: -n * log_k,
        BITS: n * log_k / LN2,
        "The sign is wrong, and these are bits.": -n * log_k / LN2,
        "You take the logarithm to base 10; a nat belongs to the natural one.": n * log_k / math.log(10),
    }
    if n > 1 and K > 1:
        known |= {
            "n_latents plays no part in your result: this is the price of one position.": log_k,
            "n_latents plays no part in your result, and its unit is the bit.": log_k / LN2,
            "You divide by n_latents; each further position costs more, not less.": log_k / n,
            "This is log(K · N), as if one index chose among K · N codes. N positions have K^N combinations.": math.log(
                K * n
            ),
            "You add n_latents; each position costs its own log K.": log_k + n,
            "You raise log K to the power N; the divergences of independent positions add.": log_k**n,
            "K and n_latents have changed places: N positions, K outcomes at each.": K * math.log(n),
        }
    known |= {
        "You count all K outcomes in full. Only the outcomes that q allows have a weight.": n * K * log_k,
        "You take a mean over the K outcomes; a KL divergence is a sum weighted by q.": n * log_k / K,
        "This is log(K + 1): there are K outcomes, whatever their numbers are.": n * math.log(K + 1),
        "This is log(K − 1): there are K outcomes, whatever their numbers are.": n * math.log(max(K - 1, 1))
        or math.inf,
        "This is K, not its logarithm.": n * K,
        "You count each position as 1. Does it cost the same to name one of 2 codes and one of 512?": n,
        "Your result is 0: that is the entropy of a one-hot distribution, or its divergence from itself. The prior is "
        "uniform, and the one outcome that q allows surprises it.": 0.0,
    }
    hint = "Write the sum over the K outcomes of one position. How many terms are not 0? Then add up the positions."
    _explain(got, known, hint)
    _refuse_nearly(got, n * log_k)
    raise Mistake(f"For K = {K} and n_latents = {n} the divergence is not {got:.5g} nats.", hint)


@exercise(points=2)
def kl_categorical(answer: Answer) -> None:
    """Judge ``kl_categorical(q, p)``: sums over the last axis, zeros and infinities included."""
    for shape, p_shape, dtype in (
        ((3, 4, 7), (3, 4, 7), torch.float32),
        ((5,), (5,), torch.float32),
        ((6, 3), (3,), torch.float64),
    ):
        _judge_divergence(answer, _simplex(shape, dtype), _simplex(p_shape, dtype))
    q, p = _with_zeros((4, 6)), _simplex((4, 6))
    _judge_divergence(answer, q, p)
    _judge_divergence(answer, torch.eye(5), _simplex((5,)))
    _judge_divergence(answer, torch.ones(3, 1), torch.ones(1))
    hidden = _simplex((4, 6)) * (q > 0)  # p is 0 where q is, and nowhere else
    _judge_divergence(answer, q, hidden / hidden.sum(dim=-1, keepdim=True))
    for row in (1, 2):
        p[row] = 1 / 5
        p[row, int(q[row].argmax())] = 0  # excludes what q allows
    _judge_divergence(answer, q, p)


def _simplex(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw distributions that are neither uniform nor one-hot."""
    return torch.softmax(1.5 * torch.randn(shape, dtype=dtype), dim=-1)


def _with_zeros(shape: tuple[int, int]) -> Tensor:
    """Draw distributions that exclude their first outcome, the last of them one-hot."""
    weights = _simplex(shape)
    weights[:, 0] = 0
    weights[0, 3] = 0
    weights[-1] = 0
    weights[-1, 2] = 1
    return weights / weights.sum(dim=-1, keepdim=True)


def _judge_divergence(answer: Answer, q: Tensor, p: Tensor) -> None:
    right = metrics.kl_categorical(q.double(), p.double())
    got = _per_distribution(answer(q, p), q, p)
    excludes = right.isinf()
    q_has_zeros, p_has_zeros = bool((q == 0).any()), bool((p == 0).any())
    if bool(got.isnan().any()):
        if bool(((q == 0) & (p == 0)).any()):
            raise Mistake(*DOUBLE_ZERO)
        if q_has_zeros:
            raise Mistake(*ZERO_LOG_ZERO)
        raise Mistake("Your function returns NaN although no probability is 0.", "A logarithm of a negative number?")
    if bool((got[~excludes] == math.inf).any()):
        raise Mistake(
            "Your function returns infinity where q = 0 and p = 0. What q rules out costs nothing, whatever p says."
            if p_has_zeros
            else "Your function returns infinity where q has a zero: you divide by it, or take its logarithm with a "
            "weight that is not 0. That belongs to KL(p ‖ q).",
            "The divergence is infinite only where q > 0 and p = 0.",
        )
    if bool((got == -math.inf).any()):
        raise Mistake(
            "Your function returns minus infinity. A KL divergence is never negative.",
            "Where does the logarithm of a zero come in, and with which sign and weight?",
        )
    if bool(got[excludes].isfinite().any()):
        raise Mistake(
            "Where q > 0 and p = 0 your result is finite. A small number inside the logarithm, a clamp, nan_to_num, or "
            "leaving out the zeros of p hides that q allows what p excludes.",
            "Only the zeros of q may be left out.",
        )
    if not torch.allclose(got[~excludes], right[~excludes], rtol=1e-3, atol=2e-5):
        _explain_divergence(got[~excludes], q.double()[~excludes], p.double().expand_as(q)[~excludes])


def _per_distribution(value: Any, q: Tensor, p: Tensor) -> Tensor:
    """Return the answer in float64, or say what is wrong with its type or shape."""
    wanted = tuple(q.shape[:-1])
    if _is_number(value):
        value = torch.as_tensor(float(value))
    if not isinstance(value, Tensor):
        raise Mistake(f"Your function returns {kind(value)}; a torch tensor is asked for.")
    got, shape = value.detach().double(), tuple(value.shape)
    if shape == wanted:
        return got
    each = metrics.kl_categorical(q.double(), p.double())
    if got.numel() == 1 and each.numel() > 1:
        for shared in (float(each.mean()) / q.shape[-1], float(each.sum()) / len(q)):
            if close(float(got), shared):
                raise Mistake(
                    "One number came back, averaged over more than it should be. F.kl_div averages over all elements "
                    "by default, and with batchmean it divides by the first axis only.",
                    "Each distribution has a number of its own: sum over the last axis.",
                )
    _refuse_shape(got, each, q, "distribution", "outcomes")


def _refuse_shape(got: Tensor, right: Tensor, given: Tensor, each: str, axis: str) -> None:
    """Say of a result of the wrong shape what was summed that should not be, or the other way round."""
    shape, wanted, hint = tuple(got.shape), tuple(right.shape), "Sum over the last axis, and over no other."
    if got.numel() == 1 and right.numel() > 1:
        own = f"each {each} has a number of its own."
        if close(float(got), float(right.mean())):
            raise Mistake(f"You average over every {each}; {own}", hint)
        if close(float(got), float(right.sum())):
            raise Mistake(f"You sum over every {each} as well; {own}", hint)
        raise Mistake(f"One number came back where {right.numel()} are asked for; {own}", hint)
    if shape == tuple(given.shape):
        raise Mistake(f"Your result has shape {shape}: the {axis}, the last axis, were not summed.")
    if shape == (*wanted, 1):
        raise Mistake(f"Your result keeps the last axis as one of size 1, {shape}; {wanted} is asked for.")
    for position, name in enumerate(("first", "second")[: given.ndim - 1]):
        if shape == tuple(size for place, size in enumerate(given.shape) if place != position):
            raise Mistake(f"Your result has shape {shape}: you sum over the {name} axis; the {axis} are the last.")
    raise Mistake(
        f"Your result has shape {shape}; for an input of shape {tuple(given.shape)} it should be {wanted}.", hint
    )


def _explain_divergence(got: Tensor, q: Tensor, p: Tensor) -> None:
    outcomes = q.shape[-1]
    right, swapped = metrics.kl_categorical(q, p), metrics.kl_categorical(p, q)
    cross, entropy = -torch.special.xlogy(q, p).sum(dim=-1), torch.special.entr(q).sum(dim=-1)
    middle, ratio = (q + p) / 2, (q / p).log()
    mean = "You take a mean over the outcomes; a KL divergence is a sum, with q as the weights."
    known = {
        "This is KL(p ‖ q), the other way round: the mean is taken over outcomes drawn from q.": swapped,
        NEGATIVE: -right,
        "The weights are those of p; what comes out is −KL(p ‖ q).": -swapped,
        mean: right / outcomes,
        mean + " And it is KL(p ‖ q); mind the order of F.kl_div.": swapped / outcomes,
        BITS: right / LN2,
        "You take the logarithm to base 10; a nat belongs to the natural one.": right / math.log(10),
        "This is the cross-entropy −Σ q log p; the entropy of q has to be taken off.": cross,
        "This is Σ q log p; the part with log q is missing, and the sign is wrong.": -cross,
        "This is the entropy of q; p plays no part in it.": entropy,
        "This is Σ q log q; p plays no part in it.": -entropy,
        "The entropy of q is added to the cross-entropy; it has to be taken off.": cross + entropy,
        "You add both directions; only KL(q ‖ p) is asked for.": right + swapped,
        "You average both directions; only KL(q ‖ p) is asked for.": (right + swapped) / 2,
        "This is the Jensen–Shannon divergence, which is symmetric; KL(q ‖ p) is not.": (
            metrics.kl_categorical(q, middle) + metrics.kl_categorical(p, middle)
        )
        / 2,
        "The logarithms are added without weights; each counts q_k times.": ratio.sum(dim=-1),
        "The logarithms are averaged with equal weights; each counts q_k times.": ratio.mean(dim=-1),
        "The logarithm of p is missing; F.kl_div, for one, wants log p as its first argument.": -entropy
        - (q * p).sum(dim=-1),
        "You take the difference of the probabilities, not of their logarithms.": (q * (q - p)).sum(dim=-1),
        "The ratio q / p stands there without its logarithm.": (q * q / p).sum(dim=-1),
        "You add up absolute values; the terms of a KL divergence have signs.": (q * ratio.abs()).sum(dim=-1),
        "This is a sum of absolute differences, not a KL divergence.": (q - p).abs().sum(dim=-1),
        "This is a sum of squared differences, not a KL divergence.": (q - p).square().sum(dim=-1),
        "q and p go through a softmax; they are probabilities already.": metrics.kl_categorical(
            q.softmax(dim=-1), p.softmax(dim=-1)
        ),
        "p goes through a softmax; it is a distribution already.": metrics.kl_categorical(q, p.softmax(dim=-1)),
        "p plays no part in your result: this is the divergence from the uniform distribution.": metrics.kl_categorical(
            q, torch.full_like(q, 1 / outcomes)
        ),
        "Your result is always 0.": torch.zeros_like(right),
    }
    hint = "Each outcome contributes q_k (log q_k − log p_k); add these up along the last axis."
    _explain(got, known, hint, tolerance=1e-4)
    shown = ", ".join(f"{value:.4f}" for value in got.flatten()[:2].tolist())
    zeros = " Here q contains zeros: each must count 0, and change nothing else." if bool((q == 0).any()) else ""
    raise Mistake(f"Your divergences, which begin with {shown}, are not right.{zeros}", hint)


@exercise(points=2)
def elbo(answer: Answer) -> None:
    """Judge ``elbo(log_likelihood, q, p)``: reconstruction minus KL, for blurred, one-hot and exact posteriors."""
    models = [_bounds(*model) for model in ((5, -3.0, 1.5), (7, -12.0, 3.0), (4, 6.0, 2.0))]
    for same_kind in zip(*models, strict=True):
        _judge_bounds(answer, list(same_kind))
    _judge_bounds(answer, _bounds(6, -900.0, 40.0))
    _judge_bounds(answer, [(torch.tensor([-2.5]), torch.ones(1), torch.ones(1))])


Bound = tuple[Tensor, Tensor, Tensor]  # log-likelihood, posterior, prior


def _bounds(size: int, level: float, spread: float) -> list[Bound]:
    """Draw a model, and posteriors with no zero, with one, with one entry that is not zero, and the true one."""
    log_likelihood = level + spread * torch.randn(size)
    q, p = _simplex((size,)), _simplex((size,))
    if q.argmax() == log_likelihood.argmax():  # taking the one for the other would not be noticed
        log_likelihood = log_likelihood.roll(1)
    partly = q.clone()
    partly[int(torch.randint(size, ()))] = 0
    one_hot = torch.eye(size)[int(torch.randint(size, ()))]
    exact = torch.softmax(log_likelihood + p.log(), dim=0)
    return [(log_likelihood, posterior, p) for posterior in (q, partly / partly.sum(), one_hot, exact)]


def _judge_bounds(answer: Answer, cases: list[Bound]) -> None:
    nan = (
        "Your function returns NaN although q has no zero here: the logarithm of a negative number, or 0 / 0 after an "
        "exponential that is 0 in floating point.",
        "You are given logarithms. Need they be turned into anything?",
    )
    infinite = (
        "Your function returns infinity: a log-likelihood was turned into a probability, which is 0 in floating point, "
        "or the logarithm of a zero of q got through.",
        "The ELBO never needs p(x | z), only its logarithm; and what q rules out counts 0.",
    )
    got = [_number(answer, case, ZERO_LOG_ZERO if bool((case[1] == 0).any()) else nan, infinite) for case in cases]
    exact = [tuple(part.double() for part in case) for case in cases]
    right = [float((q * log_likelihood).sum() - metrics.kl_categorical(q, p)) for log_likelihood, q, p in exact]
    wrong = [not math.isclose(mine, bound, rel_tol=1e-5, abs_tol=1e-4) for mine, bound in zip(got, right, strict=True)]
    if any(wrong):
        hint = "Line (6) has two parts. Under which distribution is the mean taken in each, and what is it the mean of?"
        _explain_all(got, [_known_bounds(*case) for case in exact], hint)
        first = wrong.index(True)
        raise Mistake(
            f"For {len(cases[first][1])} choices that were tried the ELBO is not {got[first]:.5g} nats.", hint
        )


def _known_bounds(loglik: Tensor, q: Tensor, p: Tensor) -> dict[str, Any]:
    """Return what known mistakes lead to, under what to say of each, the likeliest first."""
    reconstruction, kl = (q * loglik).sum(), metrics.kl_categorical(q, p)
    entropy, cross = torch.special.entr(q).sum(), torch.special.xlogy(q, p).sum()
    swapped, jensen = metrics.kl_categorical(p, q), (loglik + q.log()).logsumexp(dim=0)
    true_posterior, choices = (loglik + p.log()).softmax(dim=0), len(q)
    return {
        "This is the negative ELBO, the loss; the bound itself is asked for.": kl - reconstruction,
        "The KL is added; it is a price, and prices are taken off.": reconstruction + kl,
        "The KL divergence is missing: this is the reconstruction alone. Saying z has a price.": reconstruction,
        "The reconstruction is missing: this is the price of z alone.": -kl,
        "This is the KL divergence alone.": kl,
        "This is log p(x) itself; q plays no part in it, and the ELBO depends on q.": (loglik + p.log()).logsumexp(
            dim=0
        ),
        "The logarithm stands outside the mean, log E_q[p(x | z)]. By Jensen's inequality that is too large: the "
        "reconstruction is the mean of the logarithms.": jensen - kl,
        "This is log E_q[p(x | z)], a logarithm of a mean, and without a price for z.": jensen,
        "The entropy of q enters with the wrong sign.": reconstruction - entropy + cross,
        "The entropy of q is missing: this is the mean of log p(x, z). The KL has two logarithms, and a posterior that "
        "leaves things open is cheaper than one that is certain.": reconstruction + cross,
        "The prior is missing: this is the reconstruction plus the entropy of q.": reconstruction + entropy,
        "The logarithm of the prior has the wrong sign, and the entropy of q is missing.": reconstruction - cross,
        "The prior is counted twice: it stands in log p(x, z) already, and in the KL again.": reconstruction
        + cross
        - kl,
        "log K is the price of a one-hot posterior under a uniform prior; q and p are handed in.": (
            reconstruction - math.log(choices)
        ),
        "The prior is missing, and the entropy of q has the wrong sign.": reconstruction - entropy,
        "Your KL is the other way round, KL(p ‖ q); the mean is over z drawn from q.": reconstruction - swapped,
        "The reconstruction is averaged over the prior; the decoder is shown a z drawn from the posterior.": (
            (p * loglik).sum() - kl
        ),
        "q and p have changed places: the posterior is the second argument, the prior the third.": (
            (p * loglik).sum() - swapped
        ),
        "The log-likelihoods are added without weights; each counts q_k times.": loglik.sum() - kl,
        "The choices are added up without weights; each counts q_k times.": (loglik + p.log() - q.log()).sum(),
        "The log-likelihoods are averaged with equal weights; each counts q_k times.": loglik.mean() - kl,
        "You take the largest log-likelihood instead of the mean under q.": loglik.max() - kl,
        "You take the likeliest z alone; the mean under q is asked for.": loglik[q.argmax()] - kl,
        "You take the likeliest z alone, and without a price for it.": loglik[q.argmax()],
        "You take one term of the sum, log p(x | k) + log p(k); that is the ELBO of a one-hot q only.": (
            loglik[q.argmax()] + p[q.argmax()].log()
        ),
        "You take a mean over the choices; the sum is already weighted by q.": (reconstruction - kl) / choices,
        "Your KL is a mean over the choices; it is a sum, weighted by q.": reconstruction - kl / choices,
        "Your reconstruction is a mean over the choices; it is a sum, weighted by q.": reconstruction / choices - kl,
        "The logarithm of the prior is missing.": reconstruction + entropy + (q * p).sum(),
        "q goes through a softmax; it is a distribution already.": (q.softmax(dim=0) * loglik).sum()
        - metrics.kl_categorical(q.softmax(dim=0), p),
        "This is the gap between log p(x) and the ELBO, not the ELBO.": metrics.kl_categorical(q, true_posterior),
        "Your KL is in bits, the reconstruction in nats.": reconstruction - kl / LN2,
        "Your reconstruction is in bits, the KL in nats.": reconstruction / LN2 - kl,
        BITS: (reconstruction - kl) / LN2,
        "The likelihoods stand there without their logarithm; you are given logarithms.": (q * loglik.exp()).sum() - kl,
        "Your KL is the one from the uniform prior; p is handed in.": (
            reconstruction - metrics.kl_categorical(q, torch.full_like(q, 1 / choices))
        ),
        "You subtract the divergence from the true posterior. That is the gap between log p(x) and the ELBO; inside "
        "the ELBO stands the divergence from the prior.": reconstruction - metrics.kl_categorical(q, true_posterior),
    }


@exercise(points=2)
def kl_gauss(answer: Answer) -> None:
    """Judge ``kl_gauss(mu, logvar)``: summed over the last axis, with its gradients."""
    for shape, dtype in (((4, 3), torch.float32), ((2, 3, 5), torch.float64), ((6,), None), ((3, 1), None)):
        mu = torch.randn(shape, dtype=dtype) + 0.4
        _judge_gaussian(answer, mu, 1.3 * torch.randn(shape, dtype=dtype) - 0.5)
    _judge_gaussian(answer, torch.zeros(2, 3), torch.zeros(2, 3))
    _judge_gaussian(answer, torch.randn(2, 3), torch.full((2, 3), -12.0))


def _judge_gaussian(answer: Answer, mu: Tensor, logvar: Tensor) -> None:
    mu, logvar = mu.requires_grad_(), logvar.requires_grad_()
    value = answer(mu, logvar)
    if mu.grad is not None or logvar.grad is not None:
        raise Mistake("Your function calls backward() itself; that is up to whoever uses the loss.")
    m, v = mu.detach().double(), logvar.detach().double()
    right = vae.kl_gauss(m, v)
    if not isinstance(value, Tensor):
        cut = (
            "; numbers and NumPy arrays carry no gradient" if _is_number(value) or isinstance(value, np.ndarray) else ""
        )
        raise Mistake(f"Your function returns {kind(value)}; a torch tensor is asked for{cut}.")
    got = value.detach().double()
    if got.shape != right.shape:
        _refuse_shape(got, right, m, "vector", "dimensions")
    if not bool(got.isfinite().all()):
        raise Mistake(
            "Your function returns infinite numbers or NaN. logvar is a logarithm already and may be negative: taking "
            "its logarithm or its root fails.",
            "Which function undoes a logarithm?",
        )
    if not torch.equal(got, answer(mu, logvar).detach().double()):
        raise Mistake(*AT_RANDOM)
    if not torch.allclose(got, right, rtol=1e-3, atol=1e-4):
        _explain_gaussian(got, m, v)
    if not value.requires_grad:
        raise Mistake(
            "The values are right, but no gradient flows back to mu and logvar; no encoder could be trained with them.",
            "Stay with torch tensors: .item(), float(), .numpy(), .detach() and torch.no_grad() all cut the graph.",
        )
    gradients = torch.autograd.grad(value.sum(), (mu, logvar), allow_unused=True)
    for name, gradient, wanted in zip(("mu", "logvar"), gradients, (m, (v.exp() - 1) / 2), strict=True):
        if gradient is None or not torch.allclose(gradient.double(), wanted, rtol=1e-3, atol=1e-4):
            raise Mistake(
                f"The values are right, but the gradient with respect to {name} is not that of the formula.",
                "Is a part of it detached, or computed outside torch?",
            )


def _explain_gaussian(got: Tensor, mu: Tensor, logvar: Tensor) -> None:
    variance, std, square = logvar.exp(), (0.5 * logvar).exp(), mu.square()

    def total(terms: Tensor) -> Tensor:
        return terms.sum(dim=-1) / 2

    right, size = total(square + variance - logvar - 1), mu.shape[-1]
    read_as_std = total(square + (2 * logvar).exp() - 2 * logvar - 1)
    known = {
        "The factor ½ is missing: your result is twice the divergence.": 2 * right,
        NEGATIVE + " In the familiar form with −½ all four signs inside are turned round.": -right,
        "The sign is wrong, and the factor ½ is missing.": -2 * right,
        "You average over the dimensions; independent dimensions add up. An average is too small beside a sum over "
        "pixels.": right / size,
        "You average over the dimensions, and the factor ½ is missing.": 2 * right / size,
        BITS: right / LN2,
        "You read logvar as the logarithm of the standard deviation; it is that of the variance.": read_as_std,
        "You read logvar as the logarithm of the standard deviation, and the factor ½ is missing.": 2 * read_as_std,
        "exp(logvar) is σ² already; you square it once more.": total(square + (2 * logvar).exp() - logvar - 1),
        "The standard deviation stands where the variance belongs.": total(square + std - logvar - 1),
        "The factor ½ is applied twice: your result is half the divergence.": right / 2,
        "exp(logvar) is σ² already, and logvar its logarithm; you double the logarithm.": total(
            square + variance - 2 * logvar - 1
        ),
        "½ log 2π is left over; it stands in both densities, so what becomes of it?": right
        + size * math.log(2 * math.pi) / 2,
        "The logarithm is halved twice; the ½ stands in front of everything already.": total(
            square + variance - 0.5 * logvar - 1
        ),
        "The standard deviation and its logarithm stand where the variance and its logarithm belong.": total(
            square + std - 0.5 * logvar - 1
        ),
        "You use logvar as if it were the standard deviation: it is squared, not exponentiated.": total(
            square + logvar.square() - logvar - 1
        ),
        "You use logvar as the standard deviation: its square and the logarithm of that stand in your result.": total(
            square + logvar.square() - logvar.square().log() - 1
        ),
        "logvar cancels out of your result: it stands as it is where exp(logvar) belongs.": total(square - 1),
        "The logarithm of the variance is added; it has to be taken off.": total(square + variance + logvar - 1),
        "The −1 is missing: for mu = 0 and logvar = 0 the posterior is the prior, and the price must be 0.": total(
            square + variance - logvar
        ),
        "The 1 has the wrong sign: for mu = 0 and logvar = 0 the posterior is the prior, the price must be 0.": total(
            square + variance - logvar + 1
        ),
        "The 1 is taken off once for each vector; it belongs to each dimension.": total(
            square + variance - logvar - 1 / size
        ),
        "The ½ is applied to some of the four terms only; it stands in front of all.": (
            total(square) + total(variance - logvar - 1) * 2
        ),
        "The 1 is taken off once for each vector, after the ½; it belongs to each dimension.": total(
            square + variance - logvar
        )
        - 1,
        "The ½ is left out at mu²; it stands in front of all four terms.": total(2 * square + variance - logvar - 1),
        "The variance has the wrong sign; a wider posterior than the prior costs something.": total(
            square - variance - logvar - 1
        ),
        "mu is not squared.": total(mu + variance - logvar - 1),
        "You take the absolute value of mu; it must be squared.": total(mu.abs() + variance - logvar - 1),
        "mu plays no part in your result; a posterior away from 0 costs something.": total(variance - logvar - 1),
        "The variance itself is missing; only its logarithm is there.": total(square - logvar - 1),
        "The logarithm of the variance is missing.": total(square + variance - 1),
        "mu² is taken off; a posterior further from 0 costs more, not less.": total(variance - square - logvar - 1),
        "This is the divergence the other way round, KL(N(0, 1) ‖ N(mu, σ²)).": total(
            (square + 1) / variance + logvar - 1
        ),
        "This is the divergence of the prior from N(0, σ²), or the variance is turned over.": total(
            square + 1 / variance + logvar - 1
        ),
    }
    hint = "Four terms in each dimension: mean squared, variance, its logarithm, 1. Which signs, which factor in front?"
    _explain(got, known, hint, tolerance=1e-4)
    if bool((logvar < -10).all()):  # the last case; the others were right
        raise Mistake(
            "Your function is right for moderate variances, but not for logvar = −12.",
            "Is logvar clamped, or a small number added to the variance?",
        )
    raise Mistake(
        "Your divergences are not right; each should be 0 for mu = 0 and logvar = 0, and positive everywhere else.",
        hint,
    )


@exercise(points=2)
def elbo_bits_per_dim(answer: Answer) -> None:
    """Judge ``elbo_bits_per_dim(nll_nats, n_latents, K, n_dims)``: both parts, in one unit, divided once."""
    general: list[BitsCase] = []
    for n_latents, height, width, channels in ((35, 20, 28, 3), (48, 24, 32, 1), (30, 12, 20, 3)):
        n_dims = height * width * channels
        nll = n_dims * float(torch.empty(()).uniform_(0.3, 2.5))
        general.append((nll, n_latents, int(torch.randint(20, 900, ())), n_dims))
    _judge_bits(answer, general)
    for case in ((0.0, 640, 512, 32 * 32 * 3), (-731.5, 49, 128, 784), (812.5, 40, 1, 600)):
        _judge_bits(answer, [case])


BitsCase = tuple[float, int, int, int]  # nll_nats, n_latents, K, n_dims


def _judge_bits(answer: Answer, cases: list[BitsCase]) -> None:
    nan = ("Your function returns NaN.", "Is the logarithm of nll_nats taken? It is one already, and may be negative.")
    infinite = ("Your function returns infinity.", "N log K needs no power K^N, and nothing is divided by 0.")
    hint = "What is the unit of each part, and over what is it summed already? Only like may be added to like."
    got = [_number(answer, case, nan, infinite) for case in cases]
    for mine, (nll, n_latents, K, n_dims) in zip(got, cases, strict=True):
        right = (nll + n_latents * math.log(K)) / (n_dims * LN2)
        if not math.isclose(mine, right, rel_tol=1e-4, abs_tol=1e-7):
            _explain_all(got, [_known_bits(*case) for case in cases], hint)
            _refuse_nearly(mine, right)
            raise Mistake(
                f"For nll_nats = {nll:.5g}, {n_latents} indices below {K}, {n_dims} sub-pixels it is not {mine:.5g}.",
                hint,
            )


def _known_bits(nll: float, n_latents: int, K: int, n_dims: int) -> dict[str, float]:
    """Return what known mistakes lead to, under what to say of each, the likeliest first."""
    kl, unit = n_latents * math.log(K), n_dims * LN2
    right = (nll + kl) / unit
    no_kl = "The KL is missing: N indices below K are part of the message, although no training changes their price."
    known = {}
    if n_latents > 1 and K > 1:
        known |= {
            no_kl: nll / unit,
            no_kl + " And these are nats.": nll / n_dims,
            "You count one index; the image has n_latents of them.": (nll + math.log(K)) / unit,
            "You take log(K · N); N indices have K^N combinations.": (nll + math.log(K * n_latents)) / unit,
            "K and n_latents have changed places.": (nll + K * math.log(n_latents)) / unit,
        }
    if nll < 0:
        known |= {
            "You drop the sign of nll_nats. It may be negative: a density can exceed 1.": (kl - nll) / unit,
            "You cut nll_nats off at 0. It may be negative: a density can exceed 1.": kl / unit,
            "You cut the result off at 0. It may be negative: a density can exceed 1.": 0.0,
        }
    if nll:
        known["The reconstruction is missing: this is the price of the indices alone."] = kl / unit
    known |= {
        "These are nats per dimension; one bit is ln 2 nats.": right * LN2,
        "You multiply by ln 2; a nat is more than a bit, so the number of bits is larger.": right * LN2**2,
        "These are bits for the whole image; divide by its dimensions.": right * n_dims,
        "You multiply by n_dims instead of dividing by it.": right * n_dims**2,
        "These are nats for the whole image; bits per dimension are asked for.": nll + kl,
        "The sign is wrong: this is the ELBO; its negative, the length of the message, is asked for.": -right,
        "Your result is 3 times too large: n_dims already counts each colour channel.": 3 * right,
        "Your result is 3 times too small: n_dims already counts each colour channel.": right / 3,
        "You convert with the logarithm of 10; a bit belongs to the logarithm to base 2.": right * LN2 / math.log(10),
        "N log K enters in bits, the reconstruction in nats, and then both are divided by ln 2.": (nll + kl / LN2)
        / unit,
        "You add bits to nats: N log₂ K is in bits, nll_nats is not.": (nll + kl / LN2) / n_dims,
        "You add nats to bits: only the reconstruction is divided by ln 2.": (nll / LN2 + kl) / n_dims,
        "Only the reconstruction is divided by n_dims; both parts belong to the whole image.": nll / unit + kl / LN2,
        "Only the KL is divided by n_dims; nll_nats is that of the whole image too.": nll / LN2 + kl / unit,
        "Only the KL is converted to bits per dimension; nll_nats is in nats, and of the whole image.": nll + kl / unit,
        "You divide the KL by the number of indices; bits per dimension count sub-pixels, for both parts.": (
            nll / unit + math.log(K) / LN2
        ),
        "You divide by the number of indices; bits per dimension count sub-pixels.": right * n_dims / n_latents,
        "This counts K + 1 codes; there are K.": (nll + n_latents * math.log(K + 1)) / unit,
        "This counts K − 1 codes; there are K, of which the first is number 0.": (
            (nll + n_latents * math.log(max(K - 1, 1))) / unit
        ),
        "You round the bits of an index up to a whole number; log₂ K need not be one.": (
            (nll / LN2 + n_latents * math.ceil(math.log2(K))) / n_dims
        ),
        "You add log₂ 255 bits, which turn a density into a probability; nll_nats is to be taken as it is.": (
            right + math.log2(255)
        ),
        "You add 8 bits; nll_nats is to be taken as it is.": right + 8,
        "You take K instead of its logarithm.": (nll + n_latents * K) / unit,
        "You subtract the KL; in the negative ELBO the price of z is added.": (nll - kl) / unit,
        "The reconstruction has the wrong sign: nll_nats is −log p(x | z) already.": (kl - nll) / unit,
    }
    return known
