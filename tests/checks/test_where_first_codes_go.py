"""Right and wrong answers to the exercises of appendix A2."""

import numpy as np
import torch
import torch.nn.functional as F

from tests.checks.registered import Answers
from vqvae_course import quantize

answers = Answers()


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


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
