"""Right and wrong answers to the exercises of appendix A1."""

import numpy as np
import torch

from tests.checks.registered import Answers

answers = Answers()


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


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
