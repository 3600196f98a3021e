"""Right and wrong answers to the exercises of notebook 01."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal, kl_divergence

from tests.checks.registered import Answers

answers = Answers()


# kl_onehot_uniform


@answers.accept("kl_onehot_uniform")
def n_log_k(K, n_latents=1):
    return n_latents * math.log(K)


@answers.accept("kl_onehot_uniform")
def loop_over_positions_and_outcomes(K, n_latents=1):
    q = [0.0] * K
    q[-1] = 1.0
    total = 0.0
    for _ in range(n_latents):
        for q_k in q:
            if q_k > 0:
                total += q_k * math.log(q_k / (1 / K))
    return total


@answers.accept("kl_onehot_uniform")
def torch_tensor_without_axes(K, n_latents=1):
    q = F.one_hot(torch.tensor(0), K).double()
    return n_latents * (torch.special.xlogy(q, q) - torch.special.xlogy(q, 1 / K)).sum()


@answers.accept("kl_onehot_uniform")
def logarithm_of_all_combinations(K, n_latents=1):
    return math.log(K**n_latents)


@answers.accept("kl_onehot_uniform")
def numpy_number(K, n_latents=1):
    return np.log(np.full(n_latents, K)).sum()


@answers.accept("kl_onehot_uniform")
def cross_entropy_of_no_opinion(K, n_latents=1):
    return F.cross_entropy(torch.zeros(n_latents, K), torch.zeros(n_latents, dtype=torch.int64), reduction="sum")


@answers.accept("kl_onehot_uniform")
def smoothed_a_little(K, n_latents=1):
    q = torch.eye(1, K, dtype=torch.float64)[0]
    return n_latents * (q * ((q + 1e-12) * K).log()).sum().item()


@answers.accept("kl_onehot_uniform")
def divergence_of_two_categoricals(K, n_latents=1):
    q, p = Categorical(probs=torch.eye(1, K)[0]), Categorical(probs=torch.ones(K))
    return kl_divergence(q, p) * n_latents


@answers.reject("kl_onehot_uniform", "0 · log 0")
def nan_from_log_zero(K, n_latents=1):
    q = F.one_hot(torch.tensor(0), K).float()
    return n_latents * (q * (q * K).log()).sum()


@answers.reject("kl_onehot_uniform", "Which of the two is the posterior?")
def uniform_from_one_hot(K, n_latents=1):
    q, p = F.one_hot(torch.tensor(0), K).float(), torch.full((K,), 1 / K)
    return n_latents * (p * (p / q).log()).sum()


@answers.reject("kl_onehot_uniform", "too large to be written down")
def power_in_float(K, n_latents=1):
    return torch.tensor(float(K)).pow(n_latents).log()


@answers.reject("kl_onehot_uniform", "missing 1 required positional argument")
def no_default(K, n_latents):
    return n_latents * math.log(K)


@answers.reject("kl_onehot_uniform", "the divergence is not")
def always_8(K, n_latents=1):
    return n_latents * math.log(8)


@answers.reject("kl_onehot_uniform", "list so many combinations")
def all_combinations_written_out(K, n_latents=1):
    p = torch.full((K**n_latents,), 1 / K**n_latents)
    return -p[0].log()


@answers.reject("kl_onehot_uniform", "list so many combinations")
def all_combinations_in_a_list(K, n_latents=1):
    return -math.log(([1 / K**n_latents] * K**n_latents)[0])


@answers.reject("kl_onehot_uniform", "nearly right")
def smoothed_too_much(K, n_latents=1):
    q = torch.eye(1, K)[0]
    return n_latents * (q * ((q + 1e-3) * K).log()).sum()


@answers.reject("kl_onehot_uniform", "one number is asked for")
def one_a_position(K, n_latents=1):
    return torch.full((n_latents + 1,), math.log(K))


# kl_categorical


@answers.accept("kl_categorical")
def xlogy(q, p):
    return (torch.special.xlogy(q, q) - torch.special.xlogy(q, p)).sum(dim=-1)


@answers.accept("kl_categorical")
def torch_distributions(q, p):
    return kl_divergence(Categorical(probs=q), Categorical(probs=p.expand_as(q)))


@answers.accept("kl_categorical")
def masked_product(q, p):
    return torch.where(q > 0, q * (q / p).log(), 0.0).sum(-1)


@answers.accept("kl_categorical")
def nan_left_out(q, p):
    return (q * (q.log() - p.log())).nansum(-1)


@answers.accept("kl_categorical")
def functional_kl_div_mended_in_place(q, p):
    parts = F.kl_div(p.log().expand_as(q), q, reduction="none")
    parts[q == 0] = 0
    return parts.sum(-1)


@answers.accept("kl_categorical")
def nan_mended(q, p):
    return torch.nan_to_num(q * (q / p).log(), nan=0.0, posinf=math.inf).sum(-1)


@answers.accept("kl_categorical")
def loop(q, p):
    rows, p_rows = q.reshape(-1, q.shape[-1]), p.expand_as(q).reshape(-1, q.shape[-1])
    result = torch.zeros(len(rows), dtype=q.dtype)
    for i, (a, b) in enumerate(zip(rows, p_rows, strict=True)):
        for q_k, p_k in zip(a.tolist(), b.tolist(), strict=True):
            if q_k > 0:
                result[i] += q_k * math.log(q_k / p_k) if p_k > 0 else math.inf
    return result.reshape(q.shape[:-1])


@answers.accept("kl_categorical")
def cross_entropy_minus_entropy(q, p):
    return -torch.special.xlogy(q, p).sum(-1) - torch.special.entr(q).sum(-1)


@answers.accept("kl_categorical")
def through_numpy(q, p):
    a, b = np.broadcast_arrays(q.double().numpy(), p.double().numpy())
    with np.errstate(all="ignore"):
        terms = np.where(a > 0, a * (np.log(a) - np.log(b)), 0.0)
    return torch.from_numpy(np.asarray(terms.sum(-1)))


@answers.accept("kl_categorical")
def einsum_of_masked_logarithms(q, p):
    ratio = torch.where(q > 0, (q / p), torch.ones_like(q)).log()
    return torch.einsum("...k,...k->...", q, ratio) if ratio.isfinite().all() else (q * ratio).sum(-1)


@answers.reject("kl_categorical", "0 · log 0")
def unguarded(q, p):
    return (q * (q / p).log()).sum(-1)


@answers.reject("kl_categorical", "result is finite")
def small_number_inside(q, p):
    return (q * ((q + 1e-12).log() - (p + 1e-12).log())).sum(-1)


@answers.reject("kl_categorical", "result is finite")
def clamped(q, p):
    return (q * (q.clamp(min=1e-20) / p.clamp(min=1e-20)).log()).sum(-1)


@answers.reject("kl_categorical", "result is finite")
def nan_to_num(q, p):
    return torch.nan_to_num(q * (q / p).log()).sum(-1)


@answers.reject("kl_categorical", "result is finite")
def leaves_out_the_zeros_of_p(q, p):
    return torch.where((q > 0) & (p > 0), q * (q / p).log(), 0.0).sum(-1)


@answers.reject("kl_categorical", "were not summed")
def terms(q, p):
    return torch.special.xlogy(q, q) - torch.special.xlogy(q, p)


@answers.reject("kl_categorical", "NaN where q = 0 and p = 0")
def xlogy_of_the_ratio(q, p):
    return torch.special.xlogy(q, q / p).sum(-1)


@answers.reject("kl_categorical", "NaN where q = 0 and p = 0")
def small_number_in_one_place(q, p):
    return (q * ((q + 1e-8).log() - p.log())).sum(-1)


@answers.reject("kl_categorical", "NaN where q = 0 and p = 0")
def functional_kl_div_at_a_double_zero(q, p):
    return F.kl_div(p.log(), q, reduction="none").sum(-1)


@answers.reject("kl_categorical", "infinity where q = 0 and p = 0")
def infinite_wherever_p_is_zero(q, p):
    value = torch.where((q > 0) & (p > 0), q * (q / p).log(), 0.0).sum(-1)
    return torch.where((p == 0).expand_as(q).any(-1), math.inf, value)


@answers.reject("kl_categorical", "in place")
def fills_in_place(q, p):
    q[q == 0] = 1e-10
    return (q * (q / p).log()).sum(-1)


@answers.reject("kl_categorical", "a torch tensor is asked for")
def a_list(q, p):
    return xlogy(q, p).tolist() if q.ndim > 1 else xlogy(q, p)


# elbo


@answers.accept("elbo")
def reconstruction_minus_kl(log_likelihood, q, p):
    return (q * log_likelihood).sum() - xlogy(q, p)


@answers.accept("elbo")
def mean_of_log_joint_plus_entropy(log_likelihood, q, p):
    return (q * (log_likelihood + p.log())).sum() + torch.special.entr(q).sum()


@answers.accept("elbo")
def evidence_minus_gap(log_likelihood, q, p):
    joint = log_likelihood.double() + p.double().log()
    gap = torch.special.xlogy(q, q).sum() - (q * (joint - joint.logsumexp(0))).sum()
    return joint.logsumexp(0) - gap


@answers.accept("elbo")
def elbo_loop(log_likelihood, q, p):
    total = 0.0
    for k in range(len(q)):
        if q[k] > 0:
            total += float(q[k] * (log_likelihood[k] + math.log(p[k]) - math.log(q[k])))
    return total


@answers.accept("elbo")
def elbo_dot(log_likelihood, q, p):
    allowed = q > 0
    weights = q[allowed]
    return weights @ (log_likelihood + p.log())[allowed] - weights @ weights.log()


@answers.accept("elbo")
def one_functional_kl_div(log_likelihood, q, p):
    return -F.kl_div(log_likelihood + p.log(), q, reduction="sum")


@answers.accept("elbo")
def reconstruction_in_numpy(log_likelihood, q, p):
    return np.dot(q.numpy(), log_likelihood.numpy()) - xlogy(q, p).item()


@answers.reject("elbo", "0 · log 0")
def nan_at_zero(log_likelihood, q, p):
    return (q * (log_likelihood + p.log() - q.log())).sum()


@answers.reject("elbo", "logarithm of a negative number")
def logarithm_of_a_logarithm(log_likelihood, q, p):
    return (q * log_likelihood.log()).sum() - xlogy(q, p)


@answers.reject("elbo", "0 in floating point")
def through_probabilities(log_likelihood, q, p):
    joint = log_likelihood.exp() * p
    allowed = q > 0
    return (q[allowed] * (joint[allowed] / q[allowed]).log()).sum()


@answers.reject("elbo", "drawn at random")
def one_draw(log_likelihood, q, p):
    return log_likelihood[torch.multinomial(q, 1)] + 0.1 * torch.randn(1) - xlogy(q, p)


@answers.reject("elbo", "one number is asked for")
def both_parts(log_likelihood, q, p):
    return (q * log_likelihood).sum(), xlogy(q, p)


# kl_gauss


@answers.accept("kl_gauss")
def four_terms(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(-1)


@answers.accept("kl_gauss")
def the_familiar_form(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)


@answers.accept("kl_gauss")
def torch_normal(mu, logvar):
    posterior = Independent(Normal(mu, (0.5 * logvar).exp()), 1)
    return kl_divergence(posterior, Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1))


@answers.accept("kl_gauss")
def one_dimension_at_a_time(mu, logvar):
    total = torch.zeros(mu.shape[:-1], dtype=mu.dtype)
    for j in range(mu.shape[-1]):
        std = torch.exp(logvar[..., j] / 2)
        total = total + (std**2 + mu[..., j] ** 2) / 2 - 0.5 - torch.log(std)
    return total


@answers.accept("kl_gauss")
def norms_and_einsum(mu, logvar):
    square = torch.einsum("...l,...l->...", mu, mu)
    return (square + logvar.exp().sum(-1) - logvar.sum(-1) - mu.shape[-1]) / 2


@answers.accept("kl_gauss")
def torch_multivariate_normal(mu, logvar):
    standard = MultivariateNormal(torch.zeros_like(mu), torch.eye(mu.shape[-1], dtype=mu.dtype))
    return kl_divergence(MultivariateNormal(mu, torch.diag_embed(logvar.exp())), standard)


@answers.accept("kl_gauss")
def in_place_on_own_tensors(mu, logvar):
    terms = mu.double() ** 2
    terms += logvar.double().exp()
    terms -= logvar + 1
    return terms.sum(-1).div_(2)


@answers.accept("kl_gauss")
def mean_over_good_points(mu, logvar):
    points, weights = (torch.from_numpy(a).to(mu) for a in np.polynomial.hermite_e.hermegauss(20))
    z = mu[..., None] + (0.5 * logvar).exp()[..., None] * points
    log_ratio = 0.5 * (z**2 - points**2 - logvar[..., None])
    return (log_ratio @ weights / weights.sum()).sum(-1)


@answers.reject("kl_gauss", "not for logvar = −12")
def clamped_logvar(mu, logvar):
    return four_terms(mu, logvar.clamp(-10, 10))


@answers.reject("kl_gauss", "not for logvar = −12")
def small_number_inside_the_logarithm(mu, logvar):
    variance = logvar.exp()
    return 0.5 * (mu**2 + variance - (variance + 1e-6).log() - 1).sum(-1)


@answers.reject("kl_gauss", "may be negative")
def logvar_as_variance(mu, logvar):
    return 0.5 * (mu**2 + logvar - logvar.log() - 1).sum(-1)


@answers.reject("kl_gauss", "no gradient flows")
def detached(mu, logvar):
    return four_terms(mu.detach(), logvar.detach())


@answers.reject("kl_gauss", "gradient with respect to logvar")
def half_detached(mu, logvar):
    return four_terms(mu, logvar.detach())


@answers.reject("kl_gauss", "drawn at random")
def one_sample(mu, logvar):
    posterior = Normal(mu, (0.5 * logvar).exp())
    z = posterior.rsample()
    return (posterior.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1)


# elbo_bits_per_dim


@answers.accept("elbo_bits_per_dim")
def add_convert_divide(nll_nats, n_latents, K, n_dims):
    return (nll_nats + n_latents * math.log(K)) / math.log(2) / n_dims


@answers.accept("elbo_bits_per_dim")
def each_part_in_bits(nll_nats, n_latents, K, n_dims):
    return (nll_nats * math.log2(math.e) + n_latents * math.log2(K)) / n_dims


@answers.accept("elbo_bits_per_dim")
def in_torch(nll_nats, n_latents, K, n_dims):
    kl = torch.log(torch.full((n_latents,), float(K), dtype=torch.float64)).sum()
    return (torch.tensor(nll_nats) + kl) / (n_dims * torch.tensor(2.0).log())


@answers.accept("elbo_bits_per_dim")
def with_numpy(nll_nats, n_latents, K, n_dims):
    return np.float64(nll_nats + n_latents * np.log(K)) / (np.log(2) * n_dims)


@answers.accept("elbo_bits_per_dim")
def logarithm_of_a_probability_per_dimension(nll_nats, n_latents, K, n_dims):
    return -np.log2(np.exp(-nll_nats / n_dims) * (1 / K) ** (n_latents / n_dims))


@answers.reject("elbo_bits_per_dim", "nearly right")
def coarse_unit(nll_nats, n_latents, K, n_dims):
    return (nll_nats + n_latents * math.log(K)) * 1.44 / n_dims


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
