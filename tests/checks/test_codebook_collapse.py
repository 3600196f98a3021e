"""Right and wrong answers to the exercises of notebook 07."""

import math
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F

from tests.checks.registered import Answers
from vqvae_course import quantize

answers = Answers()


def shares(indices, num_codes):
    return torch.bincount(indices.flatten(), minlength=num_codes).double() / indices.numel()


def entropy(share):
    return torch.special.entr(share).sum(dim=-1)


# perplexity


@answers.accept("perplexity")
def shares_without_zeros(indices, num_codes):
    share = shares(indices, num_codes)
    share = share[share > 0]
    return (-(share * share.log()).sum()).exp()


@answers.accept("perplexity")
def one_hot_with_a_small_number_in_the_logarithm(indices, num_codes):
    encodings = F.one_hot(indices.reshape(-1), num_codes).float()
    avg_probs = encodings.mean(dim=0)
    return torch.exp(-torch.sum(avg_probs * torch.log(avg_probs + 1e-10)))


@answers.accept("perplexity")
def bits_all_the_way(indices, num_codes):
    _, counts = np.unique(indices.numpy(), return_counts=True)
    share = counts / counts.sum()
    return 2 ** -(share * np.log2(share)).sum()


@answers.accept("perplexity")
def categorical_distribution(indices, num_codes):
    counts = torch.bincount(indices.ravel(), minlength=num_codes)
    return torch.distributions.Categorical(probs=counts.float()).perplexity()


@answers.accept("perplexity")
def product_of_powers(indices, num_codes):
    n = indices.numel()
    return math.prod((n / count) ** (count / n) for count in Counter(indices.flatten().tolist()).values())


@answers.reject("perplexity", "0 · log 0 is not a number")
def zero_times_log_zero(indices, num_codes):
    share = shares(indices, num_codes)
    return (-(share * share.log()).sum()).exp()


@answers.reject("perplexity", "before the logarithm")
def counts_for_shares(indices, num_codes):
    counts = torch.bincount(indices.flatten(), minlength=num_codes).double()
    return entropy(counts).exp()


@answers.reject("perplexity", "between 1 and")
def smoothed_by_a_tenth_in_the_logarithm(indices, num_codes):
    share = shares(indices, num_codes)
    return (-(share * (share + 0.9).log()).sum()).exp()


@answers.reject("perplexity", "one number is asked for")
def one_for_each_code(indices, num_codes):
    return torch.special.entr(shares(indices, num_codes)).exp()


# handicap_ratio


@answers.accept("handicap_ratio")
def line_by_line(z, codebook):
    mean = z.mean(dim=0)
    handicap = codebook @ mean - codebook.square().sum(dim=1) / 2
    contest = (z - mean) @ codebook.T
    return (handicap.std(unbiased=False) / contest.square().mean().sqrt()).item()


@answers.accept("handicap_ratio")
def with_loops(z, codebook):
    mean = [sum(column) / len(z) for column in z.T.tolist()]
    codes, rows = codebook.tolist(), z.tolist()
    handicaps = [sum(m * e - e * e / 2 for m, e in zip(mean, code, strict=True)) for code in codes]
    middle = sum(handicaps) / len(codes)
    spread = math.sqrt(sum((each - middle) ** 2 for each in handicaps) / len(codes))
    products = [sum((x - m) * e for x, m, e in zip(row, mean, code, strict=True)) for row in rows for code in codes]
    return spread / math.sqrt(sum(each**2 for each in products) / len(products))


@answers.accept("handicap_ratio")
def from_variances_in_numpy(z, codebook):
    z, codebook = z.detach().numpy().astype(np.float64), codebook.detach().numpy().astype(np.float64)
    deviation = z - z.mean(axis=0)
    handicap = codebook @ z.mean(axis=0) - 0.5 * np.einsum("kd,kd->k", codebook, codebook)
    return np.sqrt(handicap.var() / np.einsum("nd,kd->nk", deviation, codebook).var())


@answers.reject("handicap_ratio", "one number is asked for")
def a_ratio_for_each_code(z, codebook):
    mean = z.mean(dim=0)
    handicap = codebook @ mean - codebook.square().sum(dim=1) / 2
    return handicap / ((z - mean) @ codebook.T).square().mean(dim=0).sqrt()


@answers.reject("handicap_ratio", "it is 0 or more")
def a_signed_ratio(z, codebook):
    return -line_by_line(z, codebook)


# restart_dead_codes


def restarted(state, dead, rows, count):
    codebook, ema_count, ema_sum = (part.clone() for part in state)
    codebook[dead], ema_count[dead], ema_sum[dead] = rows, count, count * rows
    return codebook, ema_count, ema_sum


def draw(z, dead, generator):
    return z.detach()[torch.randperm(len(z), generator=generator)[: len(dead)]]


def find_dead(ema_count, min_count, z):
    return (ema_count < min_count).nonzero().flatten()[: len(z)]


@answers.accept("restart_dead_codes")
def indexed(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    return restarted((codebook, ema_count, ema_sum), dead, draw(z, dead, generator), max(1.0, min_count))


@answers.accept("restart_dead_codes")
def a_loop_over_codes(codebook, ema_count, ema_sum, z, min_count, generator=None):
    codebook, ema_count, ema_sum = codebook.clone(), ema_count.clone(), ema_sum.clone()
    with torch.no_grad():
        free = iter(torch.randperm(len(z), generator=generator).tolist())
        for k in range(len(codebook)):
            if ema_count[k] < min_count and (row := next(free, None)) is not None:
                codebook[k] = z[row]
                ema_count[k] = max(1, min_count)
                ema_sum[k] = codebook[k] * ema_count[k]
    return [codebook, ema_count, ema_sum]


@answers.accept("restart_dead_codes")
def masks_and_where(codebook, ema_count, ema_sum, z, min_count, generator=None):
    mask = ema_count < min_count
    mask &= mask.cumsum(0) <= len(z)
    order = torch.randperm(len(z), generator=generator)
    latent = z.detach()[order[(mask.cumsum(0) - 1).clamp(min=0)]]
    codebook = torch.where(mask[:, None], latent, codebook)
    ema_count = torch.where(mask, max(1.0, min_count), ema_count)
    return codebook, ema_count, torch.where(mask[:, None], latent * ema_count[:, None], ema_sum)


@answers.accept("restart_dead_codes")
def multinomial_without_replacement_for_the_last_dead(codebook, ema_count, ema_sum, z, min_count, generator=None):
    (dead,) = torch.where(ema_count < min_count)
    dead = dead.flip(0)[: len(z)]
    if len(dead) == 0:
        return codebook.clone(), ema_count.clone(), ema_sum.clone()
    rows = torch.multinomial(torch.ones(len(z)), len(dead), generator=generator)
    return restarted((codebook, ema_count, ema_sum), dead, z.detach()[rows], max(1.0, min_count))


@answers.reject("restart_dead_codes", "computed anew")
def codebook_from_the_new_statistics(codebook, ema_count, ema_sum, z, min_count, generator=None):
    _, ema_count, ema_sum = indexed(codebook, ema_count, ema_sum, z, min_count, generator)
    return ema_sum / ema_count[:, None], ema_count, ema_sum


@answers.accept("restart_dead_codes")
def through_the_package(codebook, ema_count, ema_sum, z, min_count, generator=None):
    quantizer = quantize.EMAVectorQuantizer(*codebook.shape).to(codebook.dtype)
    for name, value in (("codebook", codebook), ("ema_count", ema_count), ("ema_sum", ema_sum)):
        getattr(quantizer, name).copy_(value)
    z_e = z.T.reshape(1, z.shape[1], 1, len(z))
    quantize.restart_dead_codes(quantizer, z_e, min_usage=min_count, generator=generator)
    return quantizer.codebook, quantizer.ema_count, quantizer.ema_sum


@answers.reject("restart_dead_codes", "Counts and sums stay")
def code_alone(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    codebook = codebook.clone()
    codebook[dead] = draw(z, dead, generator)
    return codebook, ema_count.clone(), ema_sum.clone()


@answers.reject("restart_dead_codes", "The sums stay")
def forgets_the_sums(codebook, ema_count, ema_sum, z, min_count, generator=None):
    codebook, ema_count, _ = indexed(codebook, ema_count, ema_sum, z, min_count, generator)
    return codebook, ema_count, ema_sum.clone()


@answers.reject("restart_dead_codes", "they are still dead")
def forgets_the_counts(codebook, ema_count, ema_sum, z, min_count, generator=None):
    codebook, _, ema_sum = indexed(codebook, ema_count, ema_sum, z, min_count, generator)
    return codebook, ema_count.clone(), ema_sum


@answers.reject("restart_dead_codes", "dead again at once")
def always_count_one(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    return restarted((codebook, ema_count, ema_sum), dead, draw(z, dead, generator), 1.0)


@answers.reject("restart_dead_codes", "also where that is below 1")
def always_count_min_count(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    return restarted((codebook, ema_count, ema_sum), dead, draw(z, dead, generator), min_count)


@answers.reject("restart_dead_codes", "sums are the codes themselves")
def sum_without_count(codebook, ema_count, ema_sum, z, min_count, generator=None):
    new, count, ema_sum = indexed(codebook, ema_count, ema_sum, z, min_count, generator)
    dead = ema_count < min_count
    ema_sum[dead] = new[dead]
    return new, count, ema_sum


@answers.reject("restart_dead_codes", "Every code restarts")
def everything_restarts(codebook, ema_count, ema_sum, z, min_count, generator=None):
    rows = z.detach()[torch.randint(len(z), (len(codebook),), generator=generator)]
    return restarted((codebook, ema_count, ema_sum), slice(None), rows, max(1.0, min_count))


@answers.reject("restart_dead_codes", "points the wrong way")
def wrong_direction(codebook, ema_count, ema_sum, z, min_count, generator=None):
    alive = (ema_count > min_count).nonzero().flatten()[: len(z)]
    return restarted((codebook, ema_count, ema_sum), alive, draw(z, alive, generator), max(1.0, min_count))


@answers.reject("restart_dead_codes", "equals min_count is alive")
def at_most(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = (ema_count <= min_count).nonzero().flatten()[: len(z)]
    return restarted((codebook, ema_count, ema_sum), dead, draw(z, dead, generator), max(1.0, min_count))


@answers.reject("restart_dead_codes", "Live codes restart, too")
def below_the_mean(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = (ema_count < ema_count.max()).nonzero().flatten()
    rows = z.detach()[torch.randint(len(z), (len(dead),), generator=generator)]
    return restarted((codebook, ema_count, ema_sum), dead, rows, max(1.0, min_count))


@answers.reject("restart_dead_codes", "get the same latent. Equal codes")
def one_latent_for_all(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    row = z.detach()[torch.randint(len(z), (1,), generator=generator)]
    return restarted((codebook, ema_count, ema_sum), dead, row, max(1.0, min_count))


@answers.reject("restart_dead_codes", "with replacement")
def with_replacement(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    rows = torch.cat([torch.tensor([0, 0]), torch.randint(len(z), (len(dead),), generator=generator)])[: len(dead)]
    rows[-1:] = (rows[:1] + 1) % len(z)
    return restarted((codebook, ema_count, ema_sum), dead, z.detach()[rows], max(1.0, min_count))


@answers.reject("restart_dead_codes", "same latent")
def drawn_one_by_one(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    rows = z.detach()[torch.randint(len(z), (len(dead),), generator=generator)]
    return restarted((codebook, ema_count, ema_sum), dead, rows, max(1.0, min_count))


@answers.reject("restart_dead_codes", "mean of the latents")
def on_the_mean(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    return restarted((codebook, ema_count, ema_sum), dead, z.detach().mean(dim=0, keepdim=True), max(1.0, min_count))


@answers.reject("restart_dead_codes", "not rows of z")
def fresh_gaussians(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    rows = torch.randn(len(dead), z.shape[1], generator=generator, dtype=z.dtype)
    return restarted((codebook, ema_count, ema_sum), dead, rows, max(1.0, min_count))


@answers.reject("restart_dead_codes", "number 1 in place")
def in_place(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    codebook[dead] = draw(z, dead, generator)
    return codebook, ema_count, ema_sum


@answers.reject("restart_dead_codes", "counts of live codes")
def all_counts_reset(codebook, ema_count, ema_sum, z, min_count, generator=None):
    codebook, ema_count, ema_sum = indexed(codebook, ema_count, ema_sum, z, min_count, generator)
    return codebook, torch.full_like(ema_count, max(1.0, min_count)), ema_sum


@answers.reject("restart_dead_codes", "sums of live codes change")
def sums_of_all_codes_anew(codebook, ema_count, ema_sum, z, min_count, generator=None):
    codebook, ema_count, _ = indexed(codebook, ema_count, ema_sum, z, min_count, generator)
    return codebook, ema_count, codebook * ema_count[:, None]


@answers.reject("restart_dead_codes", "only one is ever drawn")
def never_the_last_latent(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    rows = torch.randperm(max(len(z) - 1, len(dead)), generator=generator)[: len(dead)]
    return restarted((codebook, ema_count, ema_sum), dead, z.detach()[rows], max(1.0, min_count))


@answers.reject("restart_dead_codes", "the very tensor that came in")
def hands_back_what_needs_no_restart(codebook, ema_count, ema_sum, z, min_count, generator=None):
    if not (ema_count < min_count).any():
        return codebook, ema_count, ema_sum
    return indexed(codebook, ema_count, ema_sum, z, min_count, generator)


@answers.reject("restart_dead_codes", "do not come from the global one")
def always_the_same_without_a_generator(codebook, ema_count, ema_sum, z, min_count, generator=None):
    generator = generator or torch.Generator().manual_seed(0)
    return indexed(codebook, ema_count, ema_sum, z, min_count, generator)


@answers.reject("restart_dead_codes", "first rows of z")
def first_latents(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    return restarted((codebook, ema_count, ema_sum), dead, z.detach()[: len(dead)], max(1.0, min_count))


@answers.reject("restart_dead_codes", "come from somewhere else")
def global_generator(codebook, ema_count, ema_sum, z, min_count, generator=None):
    return indexed(codebook, ema_count, ema_sum, z, min_count, None)


@answers.reject("restart_dead_codes", "nothing is drawn from the generator")
def own_generator(codebook, ema_count, ema_sum, z, min_count, generator=None):
    return indexed(codebook, ema_count, ema_sum, z, min_count, torch.Generator().manual_seed(3))


@answers.reject("restart_dead_codes", "With 5 dead codes and 3 latents")
def expects_latents_enough(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = (ema_count < min_count).nonzero().flatten()
    return restarted((codebook, ema_count, ema_sum), dead, draw(z, dead, generator), max(1.0, min_count))


@answers.reject("restart_dead_codes", "5 codes change, on 3 different latents")
def repeats_latents_when_there_are_too_few(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = (ema_count < min_count).nonzero().flatten()
    order = torch.randperm(len(z), generator=generator).repeat(len(codebook))[: len(dead)]
    return restarted((codebook, ema_count, ema_sum), dead, z.detach()[order], max(1.0, min_count))


@answers.reject("restart_dead_codes", "must keep their counts")
def counts_of_codes_left_over(codebook, ema_count, ema_sum, z, min_count, generator=None):
    new, count, total = indexed(codebook, ema_count, ema_sum, z, min_count, generator)
    return new, torch.where(count < min_count, max(1.0, min_count), count), total


@answers.reject("restart_dead_codes", "carries the gradient")
def keeps_the_graph(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    rows = z[torch.randperm(len(z), generator=generator)[: len(dead)]]
    return restarted((codebook, ema_count, ema_sum), dead, rows, max(1.0, min_count))


@answers.reject("restart_dead_codes", "nothing is drawn from the generator")
def the_worst_served_latents(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    order = torch.cdist(z.detach(), codebook).amin(dim=1).argsort(descending=True)
    return restarted((codebook, ema_count, ema_sum), dead, z.detach()[order[: len(dead)]], max(1.0, min_count))


@answers.reject("restart_dead_codes", "although there are latents enough")
def one_code_a_time(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)[:1]
    return restarted((codebook, ema_count, ema_sum), dead, draw(z, dead, generator), max(1.0, min_count))


@answers.reject("restart_dead_codes", "Sum divided by count is not the code")
def sum_with_the_old_count(codebook, ema_count, ema_sum, z, min_count, generator=None):
    new, count, total = indexed(codebook, ema_count, ema_sum, z, min_count, generator)
    dead = ema_count < min_count
    total[dead] = new[dead] * ema_count[dead, None]
    return new, count, total


@answers.reject("restart_dead_codes", "get the count 0")
def statistics_start_at_zero(codebook, ema_count, ema_sum, z, min_count, generator=None):
    dead = find_dead(ema_count, min_count, z)
    codebook, ema_count, ema_sum = indexed(codebook, ema_count, ema_sum, z, min_count, generator)
    ema_count[dead], ema_sum[dead] = 0, 0
    return codebook, ema_count, ema_sum


@answers.reject("restart_dead_codes", "3 tensors are asked for")
def codebook_only(codebook, ema_count, ema_sum, z, min_count, generator=None):
    return indexed(codebook, ema_count, ema_sum, z, min_count, generator)[0]


@answers.reject("restart_dead_codes", "No code restarts")
def returns_copies(codebook, ema_count, ema_sum, z, min_count, generator=None):
    return codebook.clone(), ema_count.clone(), ema_sum.clone()


# cause_of_death


@answers.accept("cause_of_death")
def two_questions(counts, recent):
    ever, lately = (counts > 0).any(dim=0), (counts[-recent:] > 0).any(dim=0)
    return torch.where(lately, 0, torch.where(ever, 2, 1))


@answers.accept("cause_of_death")
def by_sums(counts, recent):
    result = torch.ones(counts.shape[1], dtype=torch.int64)
    result[counts.sum(dim=0) > 0] = 2
    result[counts[len(counts) - recent :].sum(dim=0) > 0] = 0
    return result


@answers.accept("cause_of_death")
def the_last_batch_that_chose_it(counts, recent):
    found = []
    for column in counts.T.tolist():
        chosen = [batch for batch, count in enumerate(column) if count]
        found.append(1 if not chosen else 0 if chosen[-1] >= len(column) - recent else 2)
    return torch.tensor(found)


@answers.reject("cause_of_death", "An int64 tensor is asked for")
def floats(counts, recent):
    return two_questions(counts, recent).float()


@answers.reject("cause_of_death", "codes the second")
def over_the_wrong_axis(counts, recent):
    return two_questions(counts.T, recent)


@answers.reject("cause_of_death", "gets 0, 1 or 2")
def counted_from_one(counts, recent):
    return two_questions(counts, recent) + 1


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
