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


# codebook_usage


@answers.accept("codebook_usage")
def a_mask_of_the_seen(stream, num_codes):
    seen = torch.zeros(num_codes, dtype=torch.bool)
    for indices in stream:
        seen[indices] = True
    return seen.sum()


@answers.accept("codebook_usage")
def a_set(stream, num_codes):
    return len({index for batch in stream for index in batch.flatten().tolist()})


@answers.accept("codebook_usage")
def counts_added_up(stream, num_codes):
    total = sum((torch.bincount(batch.flatten(), minlength=num_codes) for batch in stream), torch.zeros(num_codes))
    return float((total > 0).sum())


@answers.accept("codebook_usage")
def numpy_union(stream, num_codes):
    seen = np.array([], dtype=np.int64)
    for batch in stream:
        seen = np.union1d(seen, batch.numpy())
    return np.int64(seen.size)


@answers.accept("codebook_usage")
def collected_first(stream, num_codes):
    everything = [batch.flatten() for batch in stream]
    return torch.cat(everything).unique().numel() if everything else 0


@answers.reject("codebook_usage", "For a generator")
def needs_a_length(stream, num_codes):
    return a_set([stream[i] for i in range(len(stream))], num_codes)


@answers.reject("codebook_usage", "for a generator of the same batches 0")
def runs_through_twice(stream, num_codes):
    batches = sum(1 for _ in stream)
    return a_set(stream, num_codes) if batches else 0


@answers.reject("codebook_usage", "For an empty stream")
def stumbles_over_nothing(stream, num_codes):
    return torch.cat([batch.flatten() for batch in stream]).unique().numel()


@answers.reject("codebook_usage", "It happened at: return torch.stack")
def stacks_batches(stream, num_codes):
    return torch.stack(list(stream)).unique().numel()


@answers.reject("codebook_usage", "one number is asked for")
def the_mask_itself(stream, num_codes):
    seen = torch.zeros(num_codes, dtype=torch.bool)
    for indices in stream:
        seen[indices] = True
    return seen


# seed_probabilities


def squared_distances(z, seeds):
    return (z[:, None] - seeds).square().sum(dim=2)


@answers.accept("seed_probabilities")
def share_of_the_squared_error(z, seeds):
    cost = squared_distances(z, seeds).min(dim=1).values
    return cost / cost.sum()


@answers.accept("seed_probabilities")
def cdist_squared(z, seeds):
    return F.normalize(torch.cdist(z, seeds).amin(dim=1) ** 2, p=1, dim=0)


@answers.accept("seed_probabilities")
def nested_loops(z, seeds):
    cost = [min(sum(float(d) ** 2 for d in row - seed) for seed in seeds) for row in z]
    return torch.tensor([c / sum(cost) for c in cost])


@answers.accept("seed_probabilities")
def by_the_nearest_code(z, seeds):
    cost = F.mse_loss(z, seeds[quantize.nearest_code(z, seeds)], reduction="none").mean(dim=1)
    return torch.distributions.Categorical(probs=cost).probs


@answers.accept("seed_probabilities")
def expanded_square_about_the_mean(z, seeds):
    centre = z.mean(dim=0)
    return expanded_square(z - centre, seeds - centre)


@answers.reject("seed_probabilities", "Far from the origin")
def expanded_square(z, seeds):
    cost = (z**2).sum(1, keepdim=True) - 2 * z @ seeds.T + (seeds**2).sum(1)
    cost = cost.min(dim=1).values.clamp(min=0)
    return cost / cost.sum()


@answers.reject("seed_probabilities", "do not sum to 1")
def not_normalised(z, seeds):
    return squared_distances(z, seeds).amin(dim=1)


@answers.reject("seed_probabilities", "do not sum to 1")
def over_the_largest(z, seeds):
    cost = squared_distances(z, seeds).amin(dim=1)
    return cost / cost.max()


@answers.reject("seed_probabilities", "shape (11, 4)")
def a_column_for_each_seed(z, seeds):
    cost = squared_distances(z, seeds)
    return cost / cost.sum(dim=0)


@answers.reject("seed_probabilities", "shape (4,)")
def of_the_seeds(z, seeds):
    cost = squared_distances(z, seeds).amin(dim=0)
    return cost / cost.sum()


@answers.reject("seed_probabilities", "do not sum to 1")
def over_the_sum_of_all_distances(z, seeds):
    cost = squared_distances(z, seeds)
    return cost.amin(dim=1) / cost.sum()


# kmeans_init


@answers.accept("kmeans_init")
def the_package(z, num_codes, generator):
    return quantize.kmeans_init(z, num_codes, generator, iterations=0)


@answers.accept("kmeans_init")
def multinomial(z, num_codes, generator):
    seeds = z[torch.randint(len(z), (1,), generator=generator)]
    while len(seeds) < num_codes:
        cost = squared_distances(z, seeds).amin(dim=1)
        if cost.sum() == 0:
            raise ValueError("too few distinct latents")
        seeds = torch.cat([seeds, z[torch.multinomial(cost, 1, generator=generator)]])
    return seeds


@answers.accept("kmeans_init")
def distinct_rows_first_and_plain_loops(z, num_codes, generator):
    if len(torch.unique(z, dim=0)) < num_codes:
        raise ValueError("too few distinct latents")
    chosen = [torch.randint(0, len(z), (), generator=generator).item()]
    for _ in range(num_codes - 1):
        cost = [min(float((row - z[i]).square().sum()) for i in chosen) for row in z]
        dart = float(torch.rand((), generator=generator, dtype=torch.float64)) * sum(cost)
        passed = 0
        while dart >= cost[passed]:
            dart -= cost[passed]
            passed += 1
        chosen.append(passed)
    return torch.stack([z[i] for i in chosen])


@answers.accept("kmeans_init")
def numpy_seeded_from_the_generator(z, num_codes, generator):
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    chosen = [int(rng.integers(len(z)))]
    for _ in range(1, num_codes):
        cost = squared_distances(z.double(), z[chosen].double()).amin(dim=1).numpy()
        if not cost.any():
            raise ValueError("too few distinct latents")
        chosen.append(int(rng.choice(len(z), p=cost / cost.sum())))
    return z[chosen].clone()


@answers.accept("kmeans_init")
def greedy_candidates(z, num_codes, generator):
    seeds = z[torch.randint(len(z), (1,), generator=generator)]
    for _ in range(num_codes - 1):
        cost = squared_distances(z, seeds).amin(dim=1)
        if not cost.any():
            raise ValueError("too few distinct latents")
        tries = torch.multinomial(cost, 2, replacement=True, generator=generator)
        left = [torch.minimum(cost, (z - z[t]).square().sum(dim=1)).sum() for t in tries]
        seeds = torch.cat([seeds, z[tries[int(left[1] < left[0])]][None]])
    return seeds


def guarded(choose):
    def wrapped(z, num_codes, generator, *options, **more):
        if len(z.unique(dim=0)) < num_codes:
            raise ValueError("too few distinct latents")
        return choose(z, num_codes, generator, *options, **more)

    wrapped.__name__ = choose.__name__
    return wrapped


@answers.accept("kmeans_init")
def exponential_race(z, num_codes, generator):
    if len(z.unique(dim=0)) < num_codes:
        raise ValueError("too few distinct latents")
    seeds = z[torch.randperm(len(z), generator=generator)[:1]]
    while len(seeds) < num_codes:
        times = torch.empty(len(z)).exponential_(generator=generator)
        seeds = torch.vstack([seeds, z[(squared_distances(z, seeds).amin(dim=1) / times).argmax()]])
    return seeds


def by_cost(z, seeds):
    return squared_distances(z, seeds).amin(dim=1)


@guarded
def seeded(z, num_codes, generator, weights, first=None):
    """Draw seeds with weights; several wrong answers differ in these, or in the first seed."""
    seeds = z[torch.randint(len(z), (1,), generator=generator) if first is None else first]
    while len(seeds) < num_codes:
        seeds = torch.cat([seeds, z[torch.multinomial(weights(z, seeds), 1, generator=generator)]])
    return seeds


@answers.reject("kmeans_init", "first K latents")
def first_rows(z, num_codes, generator):
    return z[:num_codes]


@answers.reject("kmeans_init", "small groups none")
def random_rows(z, num_codes, generator):
    return z[torch.randperm(len(z), generator=generator)[:num_codes]]


@answers.reject("kmeans_init", "same latent is chosen twice")
def random_rows_with_replacement(z, num_codes, generator):
    return z[torch.randint(len(z), (num_codes,), generator=generator)]


@answers.reject("kmeans_init", "not latents at all")
def gaussian_codes(z, num_codes, generator):
    return torch.randn(num_codes, z.shape[1], generator=generator, dtype=z.dtype)


@answers.reject("kmeans_init", "come from somewhere else")
@guarded
def ignores_the_generator(z, num_codes, generator):
    return multinomial(z, num_codes, None)


@answers.reject("kmeans_init", "nothing is drawn from the generator")
@guarded
def a_generator_of_its_own(z, num_codes, generator):
    return multinomial(z, num_codes, torch.Generator().manual_seed(0))


@answers.reject("kmeans_init", "furthest latent instead of drawing")
def always_the_furthest(z, num_codes, generator):
    return seeded(z, num_codes, generator, lambda z, seeds: F.one_hot(by_cost(z, seeds).argmax(), len(z)).double())


@answers.reject("kmeans_init", "Is its distance squared?")
def distance_not_squared(z, num_codes, generator):
    return seeded(z, num_codes, generator, lambda z, seeds: by_cost(z, seeds).sqrt())


@answers.reject("kmeans_init", "first seed is always the same")
def starts_with_the_first_row(z, num_codes, generator):
    return seeded(z, num_codes, generator, by_cost, first=torch.tensor([0]))


@answers.reject("kmeans_init", "first seed is always the same")
def starts_near_the_mean(z, num_codes, generator):
    return seeded(z, num_codes, generator, by_cost, first=(z - z.mean(dim=0)).norm(dim=1).argmin()[None])


@answers.reject("kmeans_init", "furthest from the origin")
def first_seed_by_its_length(z, num_codes, generator):
    return seeded(
        z, num_codes, generator, by_cost, first=torch.multinomial(z.square().sum(dim=1), 1, generator=generator)
    )


@answers.reject("kmeans_init", "squared again")
def fourth_power(z, num_codes, generator):
    return seeded(z, num_codes, generator, lambda z, seeds: by_cost(z, seeds) ** 2)


@answers.reject("kmeans_init", "added up over all D numbers")
def largest_coordinate(z, num_codes, generator):
    return seeded(z, num_codes, generator, lambda z, seeds: (z[:, None] - seeds).square().amax(dim=2).amin(dim=1))


@answers.reject("kmeans_init", "and from later ones?")
def later_distances_not_squared(z, num_codes, generator):
    def weights(z, seeds):
        first, later = by_cost(z, seeds[:1]), squared_distances(z, seeds[1:]).sqrt()
        return torch.cat([first[:, None], later], dim=1).amin(dim=1)

    return seeded(z, num_codes, generator, weights)


@answers.reject("kmeans_init", "squared again")
def square_of_the_summed_differences(z, num_codes, generator):
    return seeded(z, num_codes, generator, lambda z, seeds: torch.cdist(z, seeds, p=1).amin(dim=1) ** 2)


@answers.reject("kmeans_init", "equal latents counted as one")
@guarded
def distinct_rows_only(z, num_codes, generator):
    return multinomial(z.unique(dim=0), num_codes, generator)


@answers.reject("kmeans_init", "same latent is chosen twice")
def newest_seed_alone(z, num_codes, generator):
    return seeded(z, num_codes, generator, lambda z, seeds: (z - seeds[-1]).square().sum(dim=1))


@answers.reject("kmeans_init", "as means do")
def with_steps_of_kmeans(z, num_codes, generator):
    return quantize.kmeans_init(z, num_codes, generator)


@answers.reject("kmeans_init", "returns codes, some of which must be equal")
def fills_up_with_copies(z, num_codes, generator):
    seeds = z[torch.randint(len(z), (1,), generator=generator)]
    while len(seeds) < num_codes:
        cost = squared_distances(z, seeds).amin(dim=1) + 1e-20
        seeds = torch.cat([seeds, z[torch.multinomial(cost, 1, generator=generator)]])
    return seeds


@answers.reject("kmeans_init", "20 latents of which 4 are distinct")
def counts_rows_only(z, num_codes, generator):
    if len(z) < num_codes:
        raise ValueError("too few latents")
    return fills_up_with_copies(z, num_codes, generator)


@answers.reject("kmeans_init", "raised RuntimeError")
def leaves_it_to_torch(z, num_codes, generator):
    seeds = z[torch.randint(len(z), (1,), generator=generator)]
    while len(seeds) < num_codes:
        cost = squared_distances(z, seeds).amin(dim=1)
        seeds = torch.cat([seeds, z[torch.multinomial(cost, 1, generator=generator)]])
    return seeds


@answers.reject("kmeans_init", "raised AssertionError")
def asserts(z, num_codes, generator):
    assert len(z.unique(dim=0)) >= num_codes
    return multinomial(z, num_codes, generator)


@answers.reject("kmeans_init", "6 are distinct")
def more_rows_than_needed(z, num_codes, generator):
    if len(z.unique(dim=0)) <= num_codes:
        raise ValueError("too few distinct latents")
    return multinomial(z, num_codes, generator)


@answers.reject("kmeans_init", "the latents torch.float64")
def single_precision(z, num_codes, generator):
    return multinomial(z, num_codes, generator).float()


@answers.reject("kmeans_init", "global random seed")
def seeds_everything(z, num_codes, generator):
    torch.manual_seed(0)
    return multinomial(z, num_codes, None)


@answers.reject("kmeans_init", "torch tensor is asked for")
def a_list_of_rows(z, num_codes, generator):
    return list(multinomial(z, num_codes, generator))


@answers.reject("kmeans_init", "mean over all seeds")
def mean_over_the_seeds(z, num_codes, generator):
    return seeded(z, num_codes, generator, lambda z, seeds: squared_distances(z, seeds).mean(dim=1))


@answers.reject("kmeans_init", "Far from the origin")
def by_expanded_squares(z, num_codes, generator):
    return seeded(z, num_codes, generator, expanded_square)


@answers.reject("kmeans_init", "Far from the origin")
def by_cdist(z, num_codes, generator):
    return seeded(z, num_codes, generator, lambda z, seeds: torch.cdist(z, seeds).amin(dim=1) ** 2)


@answers.reject("kmeans_init", "first seed is always the same")
def never_starts_with_the_last_row(z, num_codes, generator):
    return seeded(z, num_codes, generator, by_cost, first=torch.randint(max(1, len(z) - 1), (1,), generator=generator))


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
    order = squared_distances(z.detach(), codebook).amin(dim=1).argsort(descending=True)
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


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
