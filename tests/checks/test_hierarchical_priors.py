"""Right and wrong answers to the exercises of notebook 13."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.checks.registered import Answers
from vqvae_course import fidelity

answers = Answers()


# causal_attention_mask


def past(scores, diagonal=-1):
    return torch.ones_like(scores, dtype=torch.bool).tril(diagonal)


@answers.accept("causal_attention_mask")
def fills_with_infinity(scores):
    return scores.masked_fill(~past(scores), -math.inf).softmax(dim=-1).nan_to_num()


@answers.accept("causal_attention_mask")
def leaves_the_first_row_out(scores):
    hidden = ~past(scores)
    hidden[:, 0] = False
    weights = scores.masked_fill(hidden, -math.inf).softmax(dim=2)
    return torch.cat([torch.zeros_like(weights[:, :1]), weights[:, 1:]], dim=1)


@answers.accept("causal_attention_mask")
def row_by_row(scores):
    size = scores.shape[1]
    rows = [F.pad(scores[:, i, :i].softmax(dim=-1), (0, size - i)) for i in range(size)]
    return torch.stack(rows, dim=1)


@answers.accept("causal_attention_mask")
def with_the_smallest_number(scores):
    mask = past(scores)
    lowest = torch.finfo(scores.dtype).min
    return torch.where(mask, scores, lowest).softmax(dim=-1) * mask


@answers.accept("causal_attention_mask")
def by_hand(scores):
    mask = past(scores)
    top = scores.masked_fill(~mask, -math.inf).amax(dim=2, keepdim=True).detach()
    powers = (scores - top.nan_to_num(neginf=0.0)).masked_fill(~mask, -math.inf).exp()
    total = powers.sum(dim=2, keepdim=True)
    return powers / total.where(total > 0, 1.0)


@answers.accept("causal_attention_mask")
def with_a_cell_for_nothing(scores):
    """A column of its own for the first row alone, cut off afterwards."""
    nothing = torch.full_like(scores[:, :, :1], -math.inf)
    nothing[:, 0] = 0
    filled = scores.masked_fill(~past(scores), -math.inf)
    return torch.cat([nothing, filled], dim=2).softmax(dim=2)[:, :, 1:]


@answers.accept("causal_attention_mask")
def in_float32_with_a_billion(scores):
    mask = past(scores)
    return scores.float().masked_fill(~mask, -1e9).softmax(dim=-1) * mask


@answers.accept("causal_attention_mask")
def by_log_softmax(scores):
    mask = past(scores)
    logs = scores.masked_fill(~mask & (mask.any(dim=-1, keepdim=True)), -math.inf).log_softmax(dim=-1)
    return logs.exp() * mask


@answers.reject("causal_attention_mask", "near -1000 in float16")
def adds_the_smallest_number(scores):
    mask = past(scores)
    return (scores + (~mask).to(scores.dtype) * torch.finfo(scores.dtype).min).softmax(-1) * mask


@answers.reject("causal_attention_mask", "digits are lost")
def minus_the_log_sum(scores):
    mask = past(scores)
    z = scores.masked_fill(~mask & (mask.any(dim=-1, keepdim=True)), -math.inf)
    return (z - z.logsumexp(-1, keepdim=True)).exp() * mask


def nothing_in_front(scores, value=0.0):
    shifted = torch.cat([torch.full_like(scores[:, :, :1], value), scores[:, :, :-1]], dim=2)
    return shifted.masked_fill(~past(scores, 0), -math.inf).softmax(dim=-1)


@answers.reject("causal_attention_mask", "shifted by one place")
def shifted_with_nothing(scores):
    return nothing_in_front(scores)


@answers.reject("causal_attention_mask", "shifted by one place")
def shifted_with_a_doubtful_nothing(scores):
    return nothing_in_front(scores, -3.0)


@answers.reject("causal_attention_mask", "shifted by one place")
def shifted_and_blanked(scores):
    return torch.cat([torch.zeros_like(scores[:, :1]), nothing_in_front(scores)[:, 1:]], dim=1)


@answers.reject("causal_attention_mask", "shifted by one place")
def shifted_without_nothing(scores):
    return F.pad(fills_with_infinity(scores), (1, 0))[:, :, :-1]


@answers.reject("causal_attention_mask", "no column for nothing")
def keeps_the_cell_for_nothing(scores):
    return F.pad(fills_with_infinity(scores), (1, 0))


@answers.reject("causal_attention_mask", "first row is not a number")
def nan_in_the_first_row(scores):
    return scores.masked_fill(~past(scores), -math.inf).softmax(dim=-1)


@answers.reject("causal_attention_mask", "not exactly 0")
def minus_one(scores):
    return scores.masked_fill(~past(scores), -1.0).softmax(dim=-1)


@answers.reject("causal_attention_mask", "not small enough")
def minus_ten_thousand(scores):
    hidden = ~past(scores)
    weights = (scores - 1e4 * hidden).softmax(dim=-1)
    return torch.cat([torch.zeros_like(weights[:, :1]), weights[:, 1:]], dim=1)


@answers.reject("causal_attention_mask", "divides 0 by 0")
def renormalised_without_care(scores):
    weights = scores.softmax(dim=-1) * past(scores)
    return weights / weights.sum(dim=-1, keepdim=True)


@answers.reject("causal_attention_mask", "rounds to 0 or overflows")
def renormalised_from_all(scores):
    weights = scores.softmax(dim=-1) * past(scores)
    return weights / (weights.sum(dim=-1, keepdim=True) + 1e-12)


@answers.reject("causal_attention_mask", "in the hundreds")
def without_the_maximum(scores):
    powers = scores.exp() * past(scores)
    total = powers.sum(dim=-1, keepdim=True)
    return powers / total.where(total > 0, 1.0)


@answers.reject("causal_attention_mask", "float16")
def minus_a_billion_in_half(scores):
    mask = past(scores)
    return scores.masked_fill(~mask, -1e9).softmax(dim=-1) * mask


@answers.reject("causal_attention_mask", "gradient with respect to scores is NaN")
def nan_on_the_way_back(scores):
    blocked = torch.zeros_like(scores).masked_fill(~past(scores), -math.inf)
    return (scores + blocked).softmax(dim=-1).nan_to_num()


@answers.reject("causal_attention_mask", "no gradient flows back to scores")
def detached(scores):
    return fills_with_infinity(scores.detach())


@answers.reject("causal_attention_mask", "in place")
def in_place(scores):
    return scores.masked_fill_(~past(scores), -math.inf).softmax(dim=-1).nan_to_num()


@answers.reject("causal_attention_mask", "not small enough")
def fills_with_minus_100000(scores):
    mask = past(scores)
    return scores.float().masked_fill(~mask, -1e5).softmax(dim=-1) * mask


@answers.reject("causal_attention_mask", "not the softmax of the scores")
def uniform_past(scores):
    mask = past(scores).to(scores.dtype)
    return mask / mask.sum(dim=-1, keepdim=True).clamp(min=1) + 0 * scores


@answers.reject("causal_attention_mask", "shape")
def without_the_first_row(scores):
    return fills_with_infinity(scores)[:, 1:]


# conditional_prior


def condition(embed, mix, indices, above, step=lambda c, conv: c + conv(c.relu())):
    c = embed(above).movedim(-1, 1)
    for conv in mix:
        c = step(c, conv)
    return repeated(c, indices)


def repeated(c, indices):
    down, across = indices.shape[1] // c.shape[2], indices.shape[2] // c.shape[3]
    return c.repeat_interleave(down, dim=2).repeat_interleave(across, dim=3)


@answers.accept("conditional_prior")
def by_repeat_interleave(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, above))


@answers.accept("conditional_prior")
def by_interpolate(prior, embed, mix, indices, above):
    c = embed(above).permute(0, 3, 1, 2)
    for conv in mix:
        c = conv(F.relu(c)) + c
    return prior(indices, condition=F.interpolate(c, size=indices.shape[1:], mode="nearest"))


@answers.accept("conditional_prior")
def by_expand(prior, embed, mix, indices, above):
    c = torch.einsum("bijc->bcij", embed.weight[above])
    for conv in mix:
        c = c + F.conv2d(c.clamp(min=0), conv.weight, conv.bias, padding=1)
    batch, channels, rows, columns = c.shape
    down, across = indices.shape[1] // rows, indices.shape[2] // columns
    c = c[:, :, :, None, :, None].expand(-1, -1, -1, down, -1, across)
    return prior(indices=indices, labels=None, condition=c.reshape(batch, channels, *indices.shape[1:]))


@answers.accept("conditional_prior")
def by_index(prior, embed, mix, indices, above):
    c = embed(above).movedim(-1, 1)
    for conv in mix:
        c = c + conv(torch.relu(c))
    rows = torch.arange(indices.shape[1]) * c.shape[2] // indices.shape[1]
    columns = torch.arange(indices.shape[2]) * c.shape[3] // indices.shape[2]
    return prior(indices, None, c[:, :, rows[:, None], columns])


@answers.accept("conditional_prior")
def by_kron(prior, embed, mix, indices, above):
    c = embed(above).movedim(-1, 1)
    for conv in mix:
        c = c.add(conv(c.relu()))
    ones = torch.ones(1, 1, indices.shape[1] // c.shape[2], indices.shape[2] // c.shape[3])
    return prior(indices, None, torch.kron(c.contiguous(), ones))


@answers.reject("conditional_prior", "convolutions of mix are not used")
def skips_mix(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, [], indices, above))


@answers.reject("conditional_prior", "not quantities")
def integers_as_floats(prior, embed, mix, indices, above):
    return prior(indices, None, repeated(above[:, None].float(), indices))


@answers.reject("conditional_prior", "causal mask")
def masks_the_condition(prior, embed, mix, indices, above):
    mask = torch.tensor([[1.0, 1, 1], [1, 1, 0], [0, 0, 0]])

    def step(c, conv):
        return c + F.conv2d(c.relu(), conv.weight * mask, conv.bias, padding=1)

    return prior(indices, None, condition(embed, mix, indices, above, step))


@answers.reject("conditional_prior", "causal mask")
def masks_the_centre_as_well(prior, embed, mix, indices, above):
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 0, 0]])

    def step(c, conv):
        return c + F.conv2d(c.relu(), conv.weight * mask, conv.bias, padding=1)

    return prior(indices, None, condition(embed, mix, indices, above, step))


@answers.reject("conditional_prior", "shifted")
def shifted_down(prior, embed, mix, indices, above):
    return prior(indices, None, F.pad(condition(embed, mix, indices, above), (0, 0, 1, 0))[:, :, :-1])


@answers.reject("conditional_prior", "shifted")
def shifted_in_raster_order(prior, embed, mix, indices, above):
    c = condition(embed, mix, indices, above)
    return prior(indices, None, F.pad(c.flatten(2), (1, 0))[:, :, :-1].view_as(c))


@answers.reject("conditional_prior", "tiles")
def tiled(prior, embed, mix, indices, above):
    c = condition(embed, mix, above, above)
    return prior(indices, None, c.repeat(1, 1, indices.shape[1] // c.shape[2], indices.shape[2] // c.shape[3]))


@answers.reject("conditional_prior", "a factor each")
def one_factor(prior, embed, mix, indices, above):
    c = condition(embed, mix, above, above)
    down = indices.shape[1] // c.shape[2]
    return prior(indices, None, c.repeat_interleave(down, dim=2).repeat_interleave(down, dim=3))


@answers.reject("conditional_prior", "is transposed")
def permuted_wrongly(prior, embed, mix, indices, above):
    c = embed(above).permute(0, 3, 2, 1)
    for conv in mix:
        c = c + conv(c.relu())
    down, across = indices.shape[1] // above.shape[1], indices.shape[2] // above.shape[2]
    return prior(indices, None, c.repeat_interleave(down, dim=2).repeat_interleave(across, dim=3))


@answers.reject("conditional_prior", "reshaped")
def viewed(prior, embed, mix, indices, above):
    batch, rows, columns = above.shape
    c = embed(above).view(batch, -1, rows, columns)
    for conv in mix:
        c = c + conv(c.relu())
    return prior(indices, None, repeated(c, indices))


@answers.reject("conditional_prior", "repeat first and mix afterwards")
def mixes_afterwards(prior, embed, mix, indices, above):
    c = condition(embed, [], indices, above)
    for conv in mix:
        c = c + conv(c.relu())
    return prior(indices, None, c)


@answers.reject("conditional_prior", "interpolate")
def bilinear(prior, embed, mix, indices, above):
    c = condition(embed, mix, above, above)
    return prior(indices, None, F.interpolate(c, size=indices.shape[1:], mode="bilinear"))


@answers.reject("conditional_prior", "first row of the map above")
def one_row_for_all(prior, embed, mix, indices, above):
    c = condition(embed, mix, indices, above)
    return prior(indices, None, c[:, :, :1].expand_as(c))


@answers.reject("conditional_prior", "comes a ReLU")
def relu_at_the_end(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, above).relu())


@answers.reject("conditional_prior", "comes a ReLU")
def relu_after_each(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, above, lambda c, conv: (c + conv(c.relu())).relu()))


@answers.reject("conditional_prior", "in-place ReLU")
def relu_in_place(prior, embed, mix, indices, above):
    return prior(
        indices, None, condition(embed, mix, indices, above, lambda c, conv: F.relu_(c.clone()) + conv(c.relu()))
    )


@answers.reject("conditional_prior", "no ReLU before")
def no_relu(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, above, lambda c, conv: c + conv(c)))


@answers.reject("conditional_prior", "after the convolution, not before")
def relu_outside(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, above, lambda c, conv: c + conv(c).relu()))


@answers.reject("conditional_prior", "replaces the map")
def no_residual(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, above, lambda c, conv: conv(c.relu())))


@answers.reject("conditional_prior", "Only one of the convolutions")
def first_convolution_only(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix[:1], indices, above))


@answers.reject("conditional_prior", "read the embedded map")
def all_read_the_start(prior, embed, mix, indices, above):
    c = condition(embed, [], above, above)
    return prior(indices, None, repeated(c + sum(conv(c.relu()) for conv in mix), indices))


@answers.reject("conditional_prior", "is transposed")
def transposed_and_interpolated(prior, embed, mix, indices, above):
    c = condition(embed, mix, above, above).transpose(2, 3)
    return prior(indices, None, F.interpolate(c, size=indices.shape[1:]))


@answers.reject("conditional_prior", "is transposed")
def transposed_before_mixing(prior, embed, mix, indices, above):
    c = condition(embed, mix, above.mT, above.mT)
    return prior(indices, None, F.interpolate(c, size=indices.shape[1:]))


@answers.reject("conditional_prior", "is transposed")
def transposed_at_last(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, above).mT)


@answers.reject("conditional_prior", "without their biases")
def no_biases(prior, embed, mix, indices, above):
    def step(c, conv):
        return c + F.conv2d(c.relu(), conv.weight, padding=1)

    return prior(indices, None, condition(embed, mix, indices, above, step))


@answers.reject("conditional_prior", "another image")
def flipped_batch(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, above.flip(0)))


@answers.reject("conditional_prior", "another image")
def shuffled_batch(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, above)[torch.randperm(len(above))])


@answers.reject("conditional_prior", "again and again")
def first_convolution_again(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, [mix[0]] * len(mix), indices, above))


@answers.reject("conditional_prior", "again and again")
def last_convolution_again(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, [mix[-1]] * len(mix), indices, above))


@answers.reject("conditional_prior", "reverse order")
def reversed_mix(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix[::-1], indices, above))


@answers.reject("conditional_prior", "second argument, which is the labels")
def as_labels(prior, embed, mix, indices, above):
    return prior(indices, condition(embed, mix, indices, above))


@answers.reject("conditional_prior", "gets labels")
def above_as_labels(prior, embed, mix, indices, above):
    return prior(indices, above, condition(embed, mix, indices, above))


@answers.reject("conditional_prior", "no condition")
def without_condition(prior, embed, mix, indices, above):
    return prior(indices)


@answers.reject("conditional_prior", "is to be the bottom's indices")
def asks_about_the_top(prior, embed, mix, indices, above):
    return prior(above, None, condition(embed, mix, indices, above))


@answers.reject("conditional_prior", "what it is to predict")
def embeds_the_bottom(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, indices))


@answers.reject("conditional_prior", "grid of the map above")
def forgets_to_repeat(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, above, above))


@answers.reject("conditional_prior", "last axis")
def channels_last(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, above).movedim(1, -1))


@answers.reject("conditional_prior", "returns logits")
def probabilities_of_the_prior(prior, embed, mix, indices, above):
    return by_repeat_interleave(prior, embed, mix, indices, above).softmax(dim=1)


@answers.reject("conditional_prior", "No gradient flows")
@torch.no_grad()
def without_gradient(prior, embed, mix, indices, above):
    return by_repeat_interleave(prior, embed, mix, indices, above)


@answers.reject("conditional_prior", "does not reach embed")
def detached_embedding(prior, embed, mix, indices, above):
    c = embed(above).detach().movedim(-1, 1)
    for conv in mix:
        c = c + conv(c.relu())
    return prior(indices, None, repeated(c, indices))


@answers.reject("conditional_prior", "first one")
def one_image_for_all(prior, embed, mix, indices, above):
    return prior(indices, None, condition(embed, mix, indices, above[:1].expand_as(above)))


@answers.reject("conditional_prior", "changes the length of the list")
def empties_the_list(prior, embed, mix, indices, above):
    c = embed(above).movedim(-1, 1)
    while mix:
        c = c + (conv := mix.pop(0))(c.relu())
        assert conv
    return prior(indices, None, repeated(c, indices))


# joint_nats


@answers.accept("joint_nats")
def by_cross_entropy(logits, indices):
    total = sum(F.cross_entropy(a, b, reduction="sum") for a, b in zip(logits, indices, strict=True))
    return total / len(indices[0])


@answers.accept("joint_nats")
def by_gather(logits, indices):
    total = 0.0
    for a, b in zip(logits, indices, strict=True):
        log_p = a.log_softmax(dim=1).gather(1, b[:, None])
        total -= log_p.sum(dim=(1, 2, 3)).mean().item()
    return total


@answers.accept("joint_nats")
def by_means_times_positions(logits, indices):
    return sum(F.cross_entropy(a, b) * b[0].numel() for a, b in zip(logits, indices, strict=True))


@answers.accept("joint_nats")
def by_categorical(logits, indices):
    per_image = torch.zeros(len(indices[0]))
    for a, b in zip(logits, indices, strict=True):
        per_image = per_image - torch.distributions.Categorical(logits=a.movedim(1, -1)).log_prob(b).flatten(1).sum(1)
    return per_image.mean()


@answers.accept("joint_nats")
def with_numpy(logits, indices):
    total = 0.0
    for a, b in zip(logits, indices, strict=True):
        x, k = a.detach().double().numpy(), b.numpy()
        x = x - x.max(axis=1, keepdims=True)
        x = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
        total -= np.take_along_axis(x, k[:, None], axis=1).sum() / len(k)
    return total


@answers.reject("joint_nats", "in the hundreds")
def by_probabilities(logits, indices):
    p = [a.softmax(dim=1).gather(1, b[:, None]) for a, b in zip(logits, indices, strict=True)]
    return -sum((x + 1e-20).log().sum() for x in p) / len(indices[0])


@answers.reject("joint_nats", "array of shape")
def per_image(logits, indices):
    return sum(F.cross_entropy(a, b, reduction="none").flatten(1).sum(1) for a, b in zip(logits, indices, strict=True))


@answers.reject("joint_nats", "changes the length of the list")
def pops(logits, indices):
    total = 0.0
    while logits:
        b = indices.pop()
        total += F.cross_entropy(logits.pop(), b, reduction="sum") / len(b)
    return total


@answers.reject("joint_nats", "argument number 1 in place")
def normalises_in_place(logits, indices):
    total = 0.0
    for a, b in zip(logits, indices, strict=True):
        a.data -= a.data.logsumexp(dim=1, keepdim=True)
        total -= a.gather(1, b[:, None]).sum() / len(b)
    return total


# reject


@answers.accept("reject")
def by_argsort(probabilities, labels, keep):
    rows = []
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        order = probabilities[own, label].argsort(descending=True)
        rows.append(own[order[: max(1, round(keep * len(own)))]])
    return torch.cat(rows).sort().values


@answers.accept("reject")
def by_topk(probabilities, labels, keep):
    mask = torch.zeros_like(labels, dtype=torch.bool)
    for label in set(labels.tolist()):
        asked = torch.where(labels == label, probabilities[:, label], -1.0)
        mask[asked.topk(max(1, int(keep * int((labels == label).sum()) + 0.5))).indices] = True
    return mask.nonzero().flatten()


@answers.accept("reject")
def by_rank(probabilities, labels, keep):
    asked = probabilities[torch.arange(len(labels)), labels]
    same = labels[:, None] == labels
    rank = (same & (asked[None] > asked[:, None])).sum(dim=1)
    count = (keep * same.sum(dim=1)).round().clamp(min=1)
    return torch.where(rank < count)[0]


@answers.accept("reject")
def with_lists(probabilities, labels, keep):
    kept = []
    for label in range(probabilities.shape[1]):
        own = [n for n, other in enumerate(labels.tolist()) if other == label]
        own.sort(key=lambda n: -float(probabilities[n, label]))
        kept += own[: max(1, round(keep * len(own)))]
    return torch.tensor(sorted(kept))


@answers.accept("reject")
def by_package(probabilities, labels, keep):
    return fidelity.reject(probabilities, labels, keep)


def choose(score, labels, keep, count=None, group=None):
    group = labels if group is None else group
    rows = []
    for label in group.unique():
        own = (group == label).nonzero()[:, 0]
        number = count(len(own)) if count else max(1, round(keep * len(own)))
        rows.append(own[score[own].argsort(descending=True)[:number]])
    return torch.cat(rows).sort().values


def asked(probabilities, labels):
    return probabilities.gather(1, labels[:, None])[:, 0]


@answers.reject("reject", "True and False")
def as_a_mask(probabilities, labels, keep):
    mask = torch.zeros_like(labels, dtype=torch.bool)
    mask[by_argsort(probabilities, labels, keep)] = True
    return mask


@answers.reject("reject", "you keep")
def by_quantile_of_the_class(probabilities, labels, keep):
    rows = []
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        p = probabilities[own, label]
        rows.append(own[p >= p.quantile(1 - keep)])
    return torch.cat(rows).sort().values


@answers.reject("reject", "but not the right ones")
def by_lead(probabilities, labels, keep):
    """The lead over the strongest other class."""
    others = probabilities.clone()
    others[torch.arange(len(labels)), labels] = -1
    return choose(-others.amax(dim=1), labels, keep)


@answers.reject("reject", "not in ascending order")
def class_by_class(probabilities, labels, keep):
    rows = [choose(asked(probabilities, labels), labels, keep)]
    return rows[0][labels[rows[0]].argsort(stable=True)]


@answers.reject("reject", "within a class")
def local_numbers(probabilities, labels, keep):
    rows = []
    for label in labels.unique():
        own = asked(probabilities, labels)[labels == label]
        rows.append(own.argsort(descending=True)[: max(1, round(keep * len(own)))])
    return torch.cat(rows)


@answers.reject("reject", "integers")
def returns_probabilities(probabilities, labels, keep):
    return asked(probabilities, labels)[by_argsort(probabilities, labels, keep)]


@answers.reject("reject", "a list; a tensor of row numbers")
def returns_a_list(probabilities, labels, keep):
    return by_argsort(probabilities, labels, keep).tolist()


@answers.reject("reject", "a tensor of row numbers, of shape (M,)")
def returns_a_column(probabilities, labels, keep):
    return by_argsort(probabilities, labels, keep)[:, None]


# frechet_distance


def parts(a, b):
    return (a.mean(0) - b.mean(0)).square().sum(), a.T.cov().reshape(a.shape[1], -1), b.T.cov().reshape(b.shape[1], -1)


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


@answers.accept("frechet_distance")
def by_symmetric_roots(a, b):
    gap, cov_a, cov_b = parts(a, b)
    half = root(cov_a)
    return gap + cov_a.trace() + cov_b.trace() - 2 * root(half @ cov_b @ half).trace()


@answers.accept("frechet_distance")
def by_eigenvalues_of_the_product(a, b):
    gap, cov_a, cov_b = parts(a, b)
    values = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0)
    return float(gap + (cov_a + cov_b).trace() - 2 * values.sqrt().sum())


@answers.accept("frechet_distance")
def by_complex_roots(a, b):
    gap, cov_a, cov_b = parts(a, b)
    values = torch.linalg.eigvals(cov_a @ cov_b)
    return gap + torch.trace(cov_a) + torch.trace(cov_b) - 2 * values.sqrt().real.sum()


@answers.accept("frechet_distance")
def by_numpy(a, b):
    a, b = a.numpy(), b.numpy()
    cov_a, cov_b = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    values = np.linalg.eigvals(cov_a @ cov_b).astype(complex)
    gap = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    return gap + np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(values).real.sum()


@answers.accept("frechet_distance")
def by_the_nuclear_norm(a, b):
    x = (a - a.mean(0)) / (len(a) - 1) ** 0.5
    y = (b - b.mean(0)) / (len(b) - 1) ** 0.5
    return (
        (a.mean(0) - b.mean(0)).square().sum() + (x * x).sum() + (y * y).sum() - 2 * torch.linalg.svdvals(x @ y.T).sum()
    )


@answers.accept("frechet_distance")
def with_a_little_on_the_diagonal(a, b):
    gap, cov_a, cov_b = parts(a, b)
    little = 1e-9 * torch.eye(len(cov_a), dtype=a.dtype)
    half = root(cov_a + little)
    return gap + cov_a.trace() + cov_b.trace() - 2 * root(half @ (cov_b + little) @ half).trace()


@answers.accept("frechet_distance")
def in_float32(a, b):
    return by_eigenvalues_of_the_product(a.float(), b.float())


@answers.accept("frechet_distance")
def with_the_floor_of_rounding(a, b):
    return with_a_floor(a, b, 1e-10)


def with_a_floor(a, b, floor):
    gap, cov_a, cov_b = parts(a, b)
    return gap + (cov_a + cov_b).trace() - 2 * torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=floor).sqrt().sum()


@answers.reject("frechet_distance", "count as if they were 1e-06")
def floor_of_a_millionth(a, b):
    return with_a_floor(a, b, 1e-6)


@answers.reject("frechet_distance", "count as if they were 1e-05")
def floor_a(a, b):
    return with_a_floor(a, b, 1e-5)


@answers.reject("frechet_distance", "count as if they were 0.0001")
def floor_b(a, b):
    return with_a_floor(a, b, 1e-4)


@answers.reject("frechet_distance", "count as if they were 0.0003")
def floor_c(a, b):
    return with_a_floor(a, b, 3e-4)


@answers.reject("frechet_distance", "count as if they were 0.001")
def floor_of_a_thousandth(a, b):
    return with_a_floor(a, b, 1e-3)


@answers.reject("frechet_distance", "count as if they were 0.001")
def floor_of_a_symmetric_matrix(a, b):
    gap, cov_a, cov_b = parts(a, b)
    half = root(cov_a)
    return gap + (cov_a + cov_b).trace() - 2 * torch.linalg.eigvalsh(half @ cov_b @ half).clamp(min=1e-3).sqrt().sum()


@answers.reject("frechet_distance", "One covariance is divided by n,")
def biased_in_the_first(a, b):
    gap, _, cov_b = parts(a, b)
    cov_a = a.T.cov(correction=0).reshape(cov_b.shape)
    half = root(cov_a)
    return gap + (cov_a + cov_b).trace() - 2 * root(half @ cov_b @ half).trace()


def rest(a, b):
    gap, _, _ = parts(a, b)
    return by_symmetric_roots(a, b) - gap
