"""Checks of notebook 01: two divergences, log K, the bound, and its value in bits per dimension."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.special import entr, xlogy

from vqvae_course import vae
from vqvae_course.checks.answer import Mistake
from vqvae_course.checks.read import tensor
from vqvae_course.checks.task import Task

LN2, LN10 = math.log(2), math.log(10)
NEGATIVE = "The sign is wrong: a KL divergence is never negative."
BITS = "These are bits; nats are asked for, which belong to the natural logarithm."
BASE_10 = "You take the logarithm to base 10; a nat belongs to the natural one."
ZERO_LOG_ZERO = (
    "Your function returns NaN: 0 · log 0 is not a number in floating point. An outcome with q = 0 counts 0.",
    "Is there a way to leave such an outcome out, or a torch function that knows the rule?",
)


def simplex(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw distributions that are neither uniform nor one-hot."""
    return torch.softmax(1.5 * torch.randn(shape, dtype=dtype), dim=-1)


def kl(q: Tensor, p: Tensor) -> Tensor:
    """Return KL(q ‖ p), summed over the last axis, where an outcome with q = 0 counts 0."""
    return (xlogy(q, q) - xlogy(q, p)).sum(dim=-1)


# kl_onehot_uniform

kl_onehot_uniform = Task(
    lambda K, n_latents=1: n_latents * math.log(K),
    name="kl_onehot_uniform",
    points=1,
    zero=1e-4,
    otherwise=lambda got, K, n=1: f"For K = {K} and n_latents = {n} the divergence is not {got:.5g} nats.",
    hint="Write the sum over the K outcomes of one position. How many terms are not 0? Then add up the positions.",
)


@kl_onehot_uniform.inputs
def _sizes() -> Iterator[tuple[int, ...]]:
    sizes = [int(size) for size in torch.randint(100, 700, (3,))]  # whoever lists K^7 combinations fails at once
    yield from ((sizes[0],), (sizes[1], 7), (sizes[2], 49), (1, 5), (1,), (2, 640), (100_003, 3))
    yield from ((8192, 128), (10**6,))


@kl_onehot_uniform.fails
def _too_many(mistake: Mistake, K: int, n: int = 1) -> None:
    if n > 1 and any(word in mistake.message.lower() for word in ("memory", "overflow", "too large")):
        raise Mistake(
            "Your function fails because K^N is too large: nobody can list so many combinations.",
            "The positions are independent. What does that make of a divergence over all of them?",
        ) from mistake


kl_onehot_uniform.mistakes(
    {
        NEGATIVE: lambda K, n=1: -n * math.log(K),
        BITS: lambda K, n=1: n * math.log2(K),
        "The sign is wrong, and these are bits.": lambda K, n=1: -n * math.log2(K),
        BASE_10: lambda K, n=1: n * math.log10(K),
        "n_latents plays no part in your result: this is the price of one position.": lambda K, n=1: math.log(K),
        "n_latents plays no part in your result, and its unit is the bit.": lambda K, n=1: math.log2(K),
        "You divide by n_latents; each further position costs more, not less.": lambda K, n=1: math.log(K) / n,
        "This is log(K · N), as if one index chose among K · N codes. N positions have "
        "K^N combinations.": lambda K, n=1: math.log(K * n),
        "You add n_latents; each position costs its own log K.": (
            lambda K, n=1: math.log(K) + n,
            lambda K, n=1: math.log(K) + n - 1,
        ),
        "You raise log K to the power N; the divergences of independent positions add.": lambda K, n=1: (
            math.log(K) ** n
        ),
        "K and n_latents have changed places: N positions, K outcomes at each.": (
            lambda K, n=1: K * math.log(n),
            lambda K, n=1: K * math.log(n) if n > 1 else math.log(K),
        ),
        "You count all K outcomes in full. Only the outcomes that q allows have a weight.": lambda K, n=1: (
            n * K * math.log(K)
        ),
        "You take a mean over the K outcomes; a KL divergence is a sum weighted by q.": lambda K, n=1: (
            n * math.log(K) / K
        ),
        "This is log(K + 1): there are K outcomes, whatever their numbers are.": lambda K, n=1: n * math.log(K + 1),
        "This is log(K − 1): there are K outcomes, whatever their numbers are.": (
            lambda K, n=1: n * math.log(K - 1) if K > 1 else math.nan,
            lambda K, n=1: n * math.log(max(K - 1, 1)),
        ),
        "This is K, not its logarithm.": lambda K, n=1: n * K,
        "You count each position as 1. Does it cost the same to name one of 2 codes and one of 512?": (
            lambda K, n=1: n,
            lambda K, n=1: n if K > 1 else 0,
            lambda K, n=1: n * (math.log(K, K) if K > 1 else 1),
        ),
        "For K = 1 nothing is left to be said: an index with one value costs 0.": lambda K, n=1: (
            n * math.log(max(K, 2))
        ),
        "You round the bits of an index up to a whole number; log₂ K need not be one.": (
            lambda K, n=1: n * math.ceil(math.log2(K)) * LN2
        ),
        "Your result is 0: that is the entropy of a one-hot distribution, or its divergence from itself. The prior is "
        "uniform, and the one outcome that q allows surprises it.": lambda K, n=1: 0.0,
    }
)


@kl_onehot_uniform.unless
def _infinite_or_nan(got: float, K: int, n: int = 1) -> None:
    if math.isnan(got):
        raise Mistake(*ZERO_LOG_ZERO)
    if math.isinf(got):
        raise Mistake(
            "Your function returns infinity: the divergence of the uniform distribution from a one-hot one, or a power "
            "K^N that is too large to be written down.",
            "Which of the two is the posterior? And does the logarithm of a power need the power?",
        )


# kl_categorical

kl_categorical = Task(
    kl,
    name="kl_categorical",
    points=2,
    reads=tensor,
    tolerance=1e-3,
    zero=2e-5,
    narrow=1e-4,
    otherwise=lambda got, q, p: (
        f"Your divergences, which begin with {float(got.flatten()[0]):.4f}, are not right."
        + (" Here q contains zeros: each must count 0, and change nothing else." if bool((q == 0).any()) else "")
    ),
    hint="Each outcome contributes q_k (log q_k − log p_k); add these up along the last axis.",
)


@kl_categorical.inputs
def _pairs() -> Iterator[tuple[Tensor, Tensor]]:
    yield simplex(3, 4, 7), simplex(3, 4, 7)
    yield simplex(5), simplex(5)
    yield simplex(6, 3, dtype=torch.float64), simplex(3, dtype=torch.float64)
    q, p = with_zeros(), simplex(4, 6)
    yield q, p
    yield torch.eye(5), simplex(5)
    yield torch.ones(3, 1), torch.ones(1)
    hidden = simplex(4, 6) * (q > 0)  # p is 0 where q is, and nowhere else
    yield q, hidden / hidden.sum(dim=-1, keepdim=True)
    for row in (1, 2):
        p[row] = 1 / 5
        p[row, int(q[row].argmax())] = 0  # excludes what q allows
    yield q, p


def with_zeros() -> Tensor:
    """Draw four distributions that exclude their first outcome, the last of them one-hot."""
    weights = simplex(4, 6)
    weights[:, 0] = 0
    weights[0, 3] = 0
    weights[-1] = 0
    weights[-1, 2] = 1
    return weights / weights.sum(dim=-1, keepdim=True)


def _log_ratio(q: Tensor, p: Tensor) -> Tensor:
    return torch.where(q > 0, q / p, 1.0).log()


_SUM = "Sum over the last axis, and over no other."
_MEAN = "You take a mean over the outcomes; a KL divergence is a sum, with q as the weights."
kl_categorical.mistakes(
    {
        "This is KL(p ‖ q), the other way round: the mean is taken over outcomes drawn from q.": (
            lambda q, p: kl(p.expand_as(q), q),
            lambda q, p: torch.where(q > 0, p * (p.log() - q.log()), 0.0).sum(-1),
        ),
        NEGATIVE: lambda q, p: -kl(q, p),
        "The weights are those of p; what comes out is −KL(p ‖ q).": (
            lambda q, p: -kl(p.expand_as(q), q),
            lambda q, p: (p * _log_ratio(q, p)).sum(-1),
        ),
        _MEAN: lambda q, p: kl(q, p) / q.shape[-1],
        _MEAN + " And it is KL(p ‖ q); mind the order of F.kl_div.": lambda q, p: kl(p.expand_as(q), q) / q.shape[-1],
        BITS: lambda q, p: kl(q, p) / LN2,
        BASE_10: lambda q, p: kl(q, p) / LN10,
        "This is the cross-entropy −Σ q log p; the entropy of q has to be taken off.": lambda q, p: (
            -xlogy(q, p).sum(-1)
        ),
        "This is Σ q log p; the part with log q is missing, and the sign is wrong.": lambda q, p: xlogy(q, p).sum(-1),
        "This is the entropy of q; p plays no part in it.": lambda q, p: entr(q).sum(-1),
        "This is Σ q log q; p plays no part in it.": lambda q, p: -entr(q).sum(-1),
        "The entropy of q is added to the cross-entropy; it has to be taken off.": lambda q, p: (
            entr(q) - xlogy(q, p)
        ).sum(-1),
        "You add both directions; only KL(q ‖ p) is asked for.": lambda q, p: kl(q, p) + kl(p.expand_as(q), q),
        "You average both directions; only KL(q ‖ p) is asked for.": lambda q, p: (
            (kl(q, p) + kl(p.expand_as(q), q)) / 2
        ),
        "This is the Jensen–Shannon divergence, which is symmetric; KL(q ‖ p) is not.": lambda q, p: (
            (kl(q, (q + p) / 2) + kl(p.expand_as(q), (q + p) / 2)) / 2
        ),
        "The logarithms are added without weights; each counts q_k times.": lambda q, p: (q / p).log().sum(-1),
        "The logarithms are averaged with equal weights; each counts q_k times.": lambda q, p: (q / p).log().mean(-1),
        "The logarithm of p is missing; F.kl_div, for one, wants log p as its first argument.": lambda q, p: (
            xlogy(q, q) - q * p
        ).sum(-1),
        "You take the difference of the probabilities, not of their logarithms.": lambda q, p: (q * (q - p)).sum(-1),
        "The ratio q / p stands there without its logarithm.": lambda q, p: (q * q / p).sum(-1),
        "You add up absolute values; the terms of a KL divergence have signs.": lambda q, p: (
            q * _log_ratio(q, p).abs()
        ).sum(-1),
        "This is a sum of absolute differences, not a KL divergence.": lambda q, p: (q - p).abs().sum(-1),
        "This is a sum of squared differences, not a KL divergence.": lambda q, p: (q - p).square().sum(-1),
        "q and p go through a softmax; they are probabilities already.": lambda q, p: kl(q.softmax(-1), p.softmax(-1)),
        "p goes through a softmax; it is a distribution already.": lambda q, p: kl(q, p.softmax(-1)),
        "p plays no part in your result: this is the divergence from the uniform distribution.": lambda q, p: kl(
            q, torch.full_like(q, 1 / q.shape[-1])
        ),
        "Your result is always 0.": lambda q, p: torch.zeros_like(q[..., 0]),
        "One number came back, averaged over more than it should be. F.kl_div averages over all elements by default, "
        "and with batchmean it divides by the first axis only."
        + "\n"
        + "Each distribution has a number of its own: sum over the last axis.": (
            lambda q, p: kl(q, p).mean() / q.shape[-1],
            lambda q, p: kl(q, p).sum() / len(q),
        ),
        "You average over every distribution; each has a number of its own." + "\n" + _SUM: lambda q, p: kl(
            q, p
        ).mean(),
        "You sum over every distribution as well; each has a number of its own." + "\n" + _SUM: lambda q, p: kl(
            q, p
        ).sum(),
        "The outcomes, the last axis, were not summed.": (
            lambda q, p: xlogy(q, q) - xlogy(q, p),
            lambda q, p: xlogy(q, q / p),
        ),
        "Your result keeps the last axis as one of size 1.": lambda q, p: kl(q, p)[..., None],
        "You sum over the second axis; the outcomes are the last.": lambda q, p: (xlogy(q, q) - xlogy(q, p)).sum(1),
        "You sum over the first axis; the outcomes are the last.": lambda q, p: (xlogy(q, q) - xlogy(q, p)).sum(0),
    }
)


@kl_categorical.unless
def _zeros(got: Tensor, q: Tensor, p: Tensor) -> None:
    right = kl(q.double(), p.double())
    if got.shape != right.shape:
        return
    excludes, both = right.isinf(), bool(((q == 0) & (p == 0)).any())
    if bool(got.isnan().any()):
        if both:
            raise Mistake(
                "Your function returns NaN where q = 0 and p = 0: you divide 0 by 0, or multiply 0 by an infinite "
                "logarithm.",
                "What does the text say of such an outcome? Which function knows it, and is it still asked when the "
                "NaN is there?",
            )
        if bool((q == 0).any()):
            raise Mistake(*ZERO_LOG_ZERO)
        raise Mistake("Your function returns NaN although no probability is 0.", "A logarithm of a negative number?")
    if bool((got[~excludes] == math.inf).any()):
        raise Mistake(
            "Your function returns infinity where q = 0 and p = 0. What q rules out costs nothing, whatever p says."
            if both
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


# elbo


def _elbo(log_likelihood: Tensor, q: Tensor, p: Tensor) -> Tensor:
    return (q * log_likelihood).sum() - kl(q, p)


elbo = Task(
    _elbo,
    name="elbo",
    points=2,
    tolerance=1e-5,
    zero=1e-4,
    otherwise=lambda got, loglik, *_: f"For {len(loglik)} choices that were tried the ELBO is not {got:.5g} nats.",
    hint="Line (6) has two parts. Under which distribution is the mean taken in each, and what is it the mean of?",
)


@elbo.inputs
def _bounds() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    models = [list(_posteriors(*model)) for model in ((5, -3.0, 1.5), (7, -12.0, 3.0), (4, 6.0, 2.0))]
    for same_kind in zip(*models, strict=True):
        yield from same_kind
    yield from _posteriors(6, -900.0, 40.0)
    yield torch.tensor([-2.5]), torch.ones(1), torch.ones(1)


def _posteriors(size: int, level: float, spread: float) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Draw a model, and posteriors with no zero, with one, with one entry that is not zero, and the true one."""
    log_likelihood = level + spread * torch.randn(size)
    q, p = simplex(size), simplex(size)
    if q.argmax() == log_likelihood.argmax():  # taking the one for the other would not be noticed
        log_likelihood = log_likelihood.roll(1)
    partly = q.clone()
    partly[int(torch.randint(size, ()))] = 0
    yield log_likelihood, q, p
    yield log_likelihood, partly / partly.sum(), p
    yield log_likelihood, torch.eye(size)[int(torch.randint(size, ()))], p
    yield log_likelihood, torch.softmax(log_likelihood + p.log(), dim=0), p


def _evidence(loglik: Tensor, p: Tensor) -> Tensor:
    return (loglik + p.log()).logsumexp(0)


elbo.mistakes(
    {
        "This is the negative ELBO, the loss; the bound itself is asked for.": lambda loglik, q, p: (
            -_elbo(loglik, q, p)
        ),
        "The KL is added; it is a price, and prices are taken off.": lambda loglik, q, p: (q * loglik).sum() + kl(q, p),
        "The KL divergence is missing: this is the reconstruction alone. Saying z has a price.": lambda loglik, q, p: (
            q * loglik
        ).sum(),
        "The reconstruction is missing: this is the price of z alone.": lambda loglik, q, p: -kl(q, p),
        "This is the KL divergence alone.": lambda loglik, q, p: kl(q, p),
        "This is log p(x) itself; q plays no part in it, and the ELBO depends on q.": lambda loglik, q, p: _evidence(
            loglik, p
        ),
        "The logarithm stands outside the mean, log E_q[p(x | z)]. By Jensen's inequality that is too large: the "
        "reconstruction is the mean of the logarithms.": lambda loglik, q, p: (
            (loglik + q.log()).logsumexp(0) - kl(q, p)
        ),
        "This is log E_q[p(x | z)], a logarithm of a mean, and without a price for z.": lambda loglik, q, p: (
            loglik + q.log()
        ).logsumexp(0),
        "The entropy of q enters with the wrong sign.": lambda loglik, q, p: (q * loglik - entr(q) + xlogy(q, p)).sum(),
        "The entropy of q is missing: this is the mean of log p(x, z). The KL has two logarithms, and a posterior that "
        "leaves things open is cheaper than one that is certain.": lambda loglik, q, p: (
            q * loglik + xlogy(q, p)
        ).sum(),
        "The prior is missing: this is the reconstruction plus the entropy of q.": lambda loglik, q, p: (
            q * loglik + entr(q)
        ).sum(),
        "The logarithm of the prior has the wrong sign, and the entropy of q is missing.": lambda loglik, q, p: (
            q * loglik - xlogy(q, p)
        ).sum(),
        "The prior is counted twice: it stands in log p(x, z) already, and in the KL again.": lambda loglik, q, p: (
            (q * loglik + xlogy(q, p)).sum() - kl(q, p)
        ),
        "log K is the price of a one-hot posterior under a uniform prior; q and p are "
        "handed in.": lambda loglik, q, p: (q * loglik).sum() - math.log(len(q)),
        "The largest log-likelihood is taken off, so that exponentials stay in range, and not put back.": (
            lambda loglik, q, p: _elbo(loglik - loglik.max(), q, p)
        ),
        "The prior is missing, and the entropy of q has the wrong sign.": lambda loglik, q, p: (
            q * loglik - entr(q)
        ).sum(),
        "Your KL is the other way round, KL(p ‖ q); the mean is over z drawn from q.": lambda loglik, q, p: (
            (q * loglik).sum() - kl(p, q)
        ),
        "The reconstruction is averaged over the prior; the decoder is shown a z drawn from "
        "the posterior.": lambda loglik, q, p: (p * loglik).sum() - kl(q, p),
        "q and p have changed places: the posterior is the second argument, the prior "
        "the third.": lambda loglik, q, p: _elbo(loglik, p, q),
        "The log-likelihoods are added without weights; each counts q_k times.": lambda loglik, q, p: (
            loglik.sum() - kl(q, p)
        ),
        "The choices are added up without weights; each counts q_k times.": lambda loglik, q, p: (
            loglik + p.log() - q.log()
        ).sum(),
        "The log-likelihoods are averaged with equal weights; each counts q_k times.": lambda loglik, q, p: (
            loglik.mean() - kl(q, p)
        ),
        "You take the largest log-likelihood instead of the mean under q.": lambda loglik, q, p: (
            loglik.max() - kl(q, p)
        ),
        "You take the likeliest z alone; the mean under q is asked for.": lambda loglik, q, p: (
            loglik[q.argmax()] - kl(q, p)
        ),
        "You take the likeliest z alone, and without a price for it.": lambda loglik, q, p: loglik[q.argmax()],
        "You take one term of the sum, log p(x | k) + log p(k); that is the ELBO of a one-hot "
        "q only.": lambda loglik, q, p: loglik[q.argmax()] + p[q.argmax()].log(),
        "You take a mean over the choices; the sum is already weighted by q.": lambda loglik, q, p: (
            _elbo(loglik, q, p) / len(q)
        ),
        "Your KL is a mean over the choices; it is a sum, weighted by q.": lambda loglik, q, p: (
            (q * loglik).sum() - kl(q, p) / len(q)
        ),
        "Your reconstruction is a mean over the choices; it is a sum, weighted by q.": lambda loglik, q, p: (
            (q * loglik).mean() - kl(q, p)
        ),
        "The logarithm of the prior is missing.": lambda loglik, q, p: (q * loglik + entr(q) + q * p).sum(),
        "q goes through a softmax; it is a distribution already.": lambda loglik, q, p: _elbo(loglik, q.softmax(0), p),
        "Your KL is in bits, the reconstruction in nats.": lambda loglik, q, p: (q * loglik).sum() - kl(q, p) / LN2,
        "Your reconstruction is in bits, the KL in nats.": lambda loglik, q, p: (q * loglik).sum() / LN2 - kl(q, p),
        BITS: lambda loglik, q, p: _elbo(loglik, q, p) / LN2,
        "The likelihoods stand there without their logarithm; you are given logarithms.": lambda loglik, q, p: (
            (q * loglik.exp()).sum() - kl(q, p)
        ),
        "Your KL is the one from the uniform prior; p is handed in.": lambda loglik, q, p: _elbo(
            loglik, q, torch.full_like(q, 1 / len(q))
        ),
        "This is the gap between log p(x) and the ELBO, not the ELBO.": lambda loglik, q, p: kl(
            q, (loglik + p.log()).softmax(0)
        ),
        "You subtract the divergence from the true posterior. That is the gap between log p(x) and the ELBO; inside "
        "the ELBO stands the divergence from the prior.": lambda loglik, q, p: _elbo(
            loglik, q, (loglik + p.log()).softmax(0)
        ),
    }
)


@elbo.unless
def _not_finite(got: float, loglik: Tensor, q: Tensor, p: Tensor) -> None:
    if math.isnan(got) and bool((q == 0).any()):
        raise Mistake(*ZERO_LOG_ZERO)
    if math.isnan(got):
        raise Mistake(
            "Your function returns NaN although q has no zero here: the logarithm of a negative number, or 0 / 0 after "
            "an exponential that is 0 in floating point.",
            "You are given logarithms. Need they be turned into anything?",
        )
    if math.isinf(got):
        raise Mistake(
            "Your function returns infinity: a log-likelihood was turned into a probability, which is 0 in floating "
            "point, or the logarithm of a zero of q got through.",
            "The ELBO never needs p(x | z), only its logarithm; and what q rules out counts 0.",
        )


# kl_gauss


def _half_of(terms: Tensor) -> Tensor:
    return terms.sum(dim=-1) / 2


kl_gauss = Task(
    vae.kl_gauss,
    points=2,
    reads=tensor,
    tolerance=1e-3,
    zero=1e-4,
    narrow=1e-4,
    gradients=("mu", "logvar"),
    otherwise="Your divergences are not right; each should be 0 for mu = 0 and logvar = 0, positive everywhere else.",
    hint="Four terms in each dimension: mean squared, variance, its logarithm, 1. Which signs, which factor in front?",
)


@kl_gauss.inputs
def _gaussians() -> Iterator[tuple[Tensor, Tensor]]:
    for shape, dtype in (((4, 3), torch.float32), ((2, 3, 5), torch.float64), ((6,), None), ((3, 1), None)):
        mu = torch.randn(shape, dtype=dtype) + 0.4
        yield mu.requires_grad_(), (1.3 * torch.randn(shape, dtype=dtype) - 0.5).requires_grad_()
    for logvar in (0.0, -12.0, 9.0):
        mu = torch.zeros(2, 3) if logvar == 0 else torch.randn(2, 3)
        yield mu.requires_grad_(), torch.full((2, 3), logvar, requires_grad=True)


_ONCE = "The 1 is taken off once for each vector; it belongs to each dimension."
_SIGNS = " In the familiar form with −½ all four signs inside are turned round."
kl_gauss.mistakes(
    {
        "The factor ½ is missing: your result is twice the divergence.": lambda m, v: 2 * vae.kl_gauss(m, v),
        NEGATIVE + _SIGNS: lambda m, v: -vae.kl_gauss(m, v),
        "The sign is wrong, and the factor ½ is missing.": lambda m, v: -2 * vae.kl_gauss(m, v),
        "You average over the dimensions; independent dimensions add up. An average is too small beside a sum over "
        "pixels.": lambda m, v: vae.kl_gauss(m, v) / m.shape[-1],
        "You average over the dimensions, and the factor ½ is missing.": lambda m, v: (
            2 * vae.kl_gauss(m, v) / m.shape[-1]
        ),
        BITS: lambda m, v: vae.kl_gauss(m, v) / LN2,
        "You read logvar as the logarithm of the standard deviation; it is that of the variance.": lambda m, v: (
            vae.kl_gauss(m, 2 * v)
        ),
        "You read logvar as the logarithm of the standard deviation, and the factor ½ is missing.": lambda m, v: (
            2 * vae.kl_gauss(m, 2 * v)
        ),
        "exp(logvar) is σ² already; you square it once more.": lambda m, v: _half_of(
            m.square() + (2 * v).exp() - v - 1
        ),
        "The standard deviation stands where the variance belongs.": lambda m, v: _half_of(
            m.square() + (v / 2).exp() - v - 1
        ),
        "The factor ½ is applied twice: your result is half the divergence.": lambda m, v: vae.kl_gauss(m, v) / 2,
        "exp(logvar) is σ² already, and logvar its logarithm; you double the logarithm.": lambda m, v: _half_of(
            m.square() + v.exp() - 2 * v - 1
        ),
        "½ log 2π is left over; it stands in both densities, so what becomes of it?": lambda m, v: (
            vae.kl_gauss(m, v) + m.shape[-1] * math.log(2 * math.pi) / 2
        ),
        "The logarithm is halved twice; the ½ stands in front of everything already.": lambda m, v: _half_of(
            m.square() + v.exp() - v / 2 - 1
        ),
        "The standard deviation and its logarithm stand where the variance and its logarithm belong.": lambda m, v: (
            _half_of(m.square() + (v / 2).exp() - v / 2 - 1)
        ),
        "You use logvar as if it were the standard deviation: it is squared, not exponentiated.": lambda m, v: _half_of(
            m.square() + v.square() - v - 1
        ),
        "You use logvar as the standard deviation: its square and the logarithm of that stand in "
        "your result.": lambda m, v: _half_of(m.square() + v.square() - v.square().log() - 1),
        "logvar cancels out of your result: it stands as it is where exp(logvar) belongs.": lambda m, v: _half_of(
            m.square() + v - v - 1
        ),
        "The logarithm of the variance is added; it has to be taken off.": lambda m, v: _half_of(
            m.square() + v.exp() + v - 1
        ),
        "The −1 is missing: for mu = 0 and logvar = 0 the posterior is the prior, and the price must "
        "be 0.": lambda m, v: _half_of(m.square() + v.exp() - v),
        "The 1 has the wrong sign: for mu = 0 and logvar = 0 the posterior is the prior, the price must "
        "be 0.": lambda m, v: _half_of(m.square() + v.exp() - v + 1),
        _ONCE: lambda m, v: (m.square() + v.exp() - v).sum(-1) / 2 - 0.5,
        "The ½ is applied to some of the four terms only; it stands in front of all.": (
            lambda m, v: _half_of(m.square() + 2 * (v.exp() - v - 1)),
            lambda m, v: _half_of(m.square() + v.exp() - 2 * (v + 1)),
        ),
        "The 1 is taken off once for each vector, after the ½; it belongs to each dimension.": lambda m, v: (
            _half_of(m.square() + v.exp() - v) - 1
        ),
        "The ½ is left out at mu²; it stands in front of all four terms.": lambda m, v: _half_of(
            2 * m.square() + v.exp() - v - 1
        ),
        "The variance has the wrong sign; a wider posterior than the prior costs something.": lambda m, v: _half_of(
            m.square() - v.exp() - v - 1
        ),
        "mu is not squared.": lambda m, v: _half_of(m + v.exp() - v - 1),
        "You take the absolute value of mu; it must be squared.": lambda m, v: _half_of(m.abs() + v.exp() - v - 1),
        "mu plays no part in your result; a posterior away from 0 costs something.": lambda m, v: _half_of(
            v.exp() - v - 1
        ),
        "The variance itself is missing; only its logarithm is there.": lambda m, v: _half_of(m.square() - v - 1),
        "The logarithm of the variance is missing.": lambda m, v: _half_of(m.square() + v.exp() - 1),
        "mu² is taken off; a posterior further from 0 costs more, not less.": lambda m, v: _half_of(
            v.exp() - m.square() - v - 1
        ),
        "This is the divergence the other way round, KL(N(0, 1) ‖ N(mu, σ²)).": lambda m, v: _half_of(
            (m.square() + 1) / v.exp() + v - 1
        ),
        "This is the divergence of the prior from N(0, σ²), or the variance is turned over.": lambda m, v: _half_of(
            m.square() + 1 / v.exp() + v - 1
        ),
        "You average over every vector; each has a number of its own." + "\n" + _SUM: lambda m, v: vae.kl_gauss(
            m, v
        ).mean(),
        "You sum over every vector as well; each has a number of its own." + "\n" + _SUM: lambda m, v: vae.kl_gauss(
            m, v
        ).sum(),
        "The dimensions, the last axis, were not summed." + "\n" + _SUM: lambda m, v: (
            (m.square() + v.exp() - v - 1) / 2
        ),
        "Your result keeps the last axis as one of size 1.": lambda m, v: vae.kl_gauss(m, v)[..., None],
        "One number came back, averaged over more than it should be. Each vector has a number of its own.\n"
        + _SUM: lambda m, v: (m.square() + v.exp() - v - 1).mean() / 2,
        "You sum over the second axis; the dimensions are the last.": lambda m, v: (
            (m.square() + v.exp() - v - 1).sum(1) / 2
        ),
        "You sum over the first axis; the dimensions are the last.": lambda m, v: (
            (m.square() + v.exp() - v - 1).sum(0) / 2
        ),
    }
)


@kl_gauss.unless
def _extreme(got: Tensor, mu: Tensor, logvar: Tensor) -> None:
    if not bool(got.isfinite().all()):
        raise Mistake(
            "Your function returns infinite numbers or NaN. logvar is a logarithm already and may be negative: taking "
            "its logarithm or its root fails.",
            "Which function undoes a logarithm?",
        )
    level = float(logvar.flatten()[0])
    if bool((logvar == level).all()) and level:  # the last cases; the others were right
        shown = f"{level:.0f}".replace("-", "−")
        raise Mistake(
            f"Your function is right for moderate variances, but not for logvar = {shown}.",
            "Is logvar clamped, or a small number added to the variance?",
        )


# elbo_bits_per_dim

elbo_bits_per_dim = Task(
    lambda nll_nats, n_latents, K, n_dims: (nll_nats + n_latents * math.log(K)) / (n_dims * LN2),
    name="elbo_bits_per_dim",
    points=2,
    zero=1e-7,
    otherwise=lambda got, nll, n, K, dims: (
        f"For nll_nats = {nll:.5g}, {n} indices below {K}, {dims} sub-pixels it is not {got:.5g}."
    ),
    hint="What is the unit of each part, and over what is it summed already? Only like may be added to like.",
)


@elbo_bits_per_dim.inputs
def _images() -> Iterator[tuple[float, int, int, int]]:
    for n_latents, least, height, width, channels in ((35, 20, 20, 28, 3), (48, 130, 24, 32, 1), (30, 600, 12, 20, 3)):
        n_dims, K = height * width * channels, least + int(torch.randint(100, ()))
        yield n_dims * float(torch.empty(()).uniform_(0.3, 2.5)), n_latents, K, n_dims
    yield from ((0.0, 640, 512, 32 * 32 * 3), (-731.5, 49, 128, 784), (812.5, 40, 1, 600), (55.25, 4000, 8192, 12288))


_NO_KL = "The KL is missing: N indices below K are part of the message, although no training changes their price."
elbo_bits_per_dim.mistakes(
    {
        _NO_KL: lambda nll, n, K, dims: nll / dims / LN2,
        _NO_KL + " And these are nats.": lambda nll, n, K, dims: nll / dims,
        "You count one index; the image has n_latents of them.": lambda nll, n, K, dims: (
            (nll + math.log(K)) / dims / LN2
        ),
        "You take log(K · N); N indices have K^N combinations.": lambda nll, n, K, dims: (
            (nll + math.log(K * n)) / dims / LN2
        ),
        "K and n_latents have changed places.": lambda nll, n, K, dims: (nll + K * math.log(n)) / dims / LN2,
        "You drop the sign of nll_nats. It may be negative: a density can exceed 1.": lambda nll, n, K, dims: (
            (n * math.log(K) + abs(nll)) / dims / LN2
        ),
        "You cut nll_nats off at 0. It may be negative: a density can exceed 1.": lambda nll, n, K, dims: (
            (n * math.log(K) + max(nll, 0)) / dims / LN2
        ),
        "You cut the result off at 0. It may be negative: a density can exceed 1.": lambda nll, n, K, dims: max(
            0.0, (n * math.log(K) + nll) / dims / LN2
        ),
        "The reconstruction is missing: this is the price of the indices alone.": lambda nll, n, K, dims: (
            n * math.log2(K) / dims
        ),
        "These are nats per dimension; one bit is ln 2 nats.": lambda nll, n, K, dims: (nll + n * math.log(K)) / dims,
        "You multiply by ln 2; a nat is more than a bit, so the number of bits is larger.": lambda nll, n, K, dims: (
            (nll + n * math.log(K)) / dims * LN2
        ),
        "These are bits for the whole image; divide by its dimensions.": lambda nll, n, K, dims: (
            (nll + n * math.log(K)) / LN2
        ),
        "You multiply by n_dims instead of dividing by it.": lambda nll, n, K, dims: (
            (nll + n * math.log(K)) / LN2 * dims
        ),
        "These are nats for the whole image; bits per dimension are asked for.": lambda nll, n, K, dims: (
            nll + n * math.log(K)
        ),
        "The sign is wrong: this is the ELBO; its negative, the length of the message, is "
        "asked for.": lambda nll, n, K, dims: -(nll + n * math.log(K)) / dims / LN2,
        "Your result is 3 times too large: n_dims already counts each colour channel.": lambda nll, n, K, dims: (
            3 * (nll + n * math.log(K)) / dims / LN2
        ),
        "Your result is 3 times too small: n_dims already counts each colour channel.": lambda nll, n, K, dims: (
            (nll + n * math.log(K)) / dims / LN2 / 3
        ),
        "You convert with the logarithm of 10; a bit belongs to the logarithm to base 2.": lambda nll, n, K, dims: (
            (nll + n * math.log(K)) / dims / LN10
        ),
        "N log K enters in bits, the reconstruction in nats, and then both are divided by "
        "ln 2.": lambda nll, n, K, dims: (nll + n * math.log2(K)) / dims / LN2,
        "You add bits to nats: N log₂ K is in bits, nll_nats is not.": lambda nll, n, K, dims: (
            (nll + n * math.log2(K)) / dims
        ),
        "You add nats to bits: only the reconstruction is divided by ln 2.": lambda nll, n, K, dims: (
            (nll / LN2 + n * math.log(K)) / dims
        ),
        "Only the reconstruction is divided by n_dims; both parts belong to the whole image.": lambda nll, n, K, dims: (
            nll / dims / LN2 + n * math.log2(K)
        ),
        "Only the KL is divided by n_dims; nll_nats is that of the whole image too.": lambda nll, n, K, dims: (
            (nll + n * math.log(K) / dims) / LN2
        ),
        "Only the KL is converted to bits per dimension; nll_nats is in nats, and of the "
        "whole image.": lambda nll, n, K, dims: nll + n * math.log2(K) / dims,
        "You divide the KL by the number of indices; bits per dimension count sub-pixels, for "
        "both parts.": lambda nll, n, K, dims: nll / dims / LN2 + math.log2(K),
        "You divide by the number of indices; bits per dimension count sub-pixels.": lambda nll, n, K, dims: (
            (nll + n * math.log(K)) / n / LN2
        ),
        "This counts K + 1 codes; there are K.": lambda nll, n, K, dims: (nll + n * math.log(K + 1)) / dims / LN2,
        "This counts K − 1 codes; there are K, of which the first is number 0.": lambda nll, n, K, dims: (
            (nll + n * math.log(max(K - 1, 1))) / dims / LN2
        ),
        "You round the bits of an index up to a whole number; log₂ K need not be one.": lambda nll, n, K, dims: (
            (nll / LN2 + n * math.ceil(math.log2(K))) / dims
        ),
        "An index with one value costs nothing; yours costs a bit.": lambda nll, n, K, dims: (
            (nll + n * math.log(max(K, 2))) / dims / LN2
        ),
        "You add log₂ 255 bits, which turn a density into a probability; nll_nats is to be taken as "
        "it is.": lambda nll, n, K, dims: (nll + n * math.log(K)) / dims / LN2 + math.log2(255),
        "You add 8 bits; nll_nats is to be taken as it is.": lambda nll, n, K, dims: (
            (nll + n * math.log(K)) / dims / LN2 + 8
        ),
        "You take K instead of its logarithm.": lambda nll, n, K, dims: (nll + n * K) / dims / LN2,
        "You subtract the KL; in the negative ELBO the price of z is added.": lambda nll, n, K, dims: (
            (nll - n * math.log(K)) / dims / LN2
        ),
        "The reconstruction has the wrong sign: nll_nats is −log p(x | z) already.": lambda nll, n, K, dims: (
            (n * math.log(K) - nll) / dims / LN2
        ),
    }
)


@elbo_bits_per_dim.unless
def _logarithm_or_power(got: float, *_: float) -> None:
    if math.isnan(got):
        raise Mistake(
            "Your function returns NaN.", "Is the logarithm of nll_nats taken? It is one already, and may be negative."
        )
    if math.isinf(got):
        raise Mistake("Your function returns infinity.", "N log K needs no power K^N, and nothing is divided by 0.")
