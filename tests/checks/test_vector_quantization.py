"""Right and wrong answers to the exercises of notebook 02."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.checks.registered import Answers
from vqvae_course import metrics
from vqvae_course import quantize as vq

answers = Answers()


# pairwise_sq_dist


@answers.accept("pairwise_sq_dist")
def centred_and_expanded(z, e):
    centre = e.mean(dim=0)
    z, e = z - centre, e - centre
    return (z.square().sum(1, keepdim=True) - 2 * z @ e.T + e.square().sum(1)).clamp(min=0)


@answers.accept("pairwise_sq_dist")
def direct_one_code_at_a_time(z, e):
    return torch.stack([((z - code) ** 2).sum(dim=1) for code in e], dim=1)


@answers.accept("pairwise_sq_dist")
def direct_one_pair_at_a_time(z, e):
    table = torch.empty(len(z), len(e), dtype=z.dtype)
    for i in range(len(z)):
        for j in range(len(e)):
            table[i, j] = ((z[i] - e[j]) ** 2).sum().item()
    return table


@answers.accept("pairwise_sq_dist")
def direct_one_coordinate_at_a_time(z, e):
    total = torch.zeros(len(z), len(e), dtype=z.dtype)
    for d in range(z.shape[1]):
        total = total + (z[:, d, None] - e[:, d]) ** 2
    return total


@answers.accept("pairwise_sq_dist")
def broadcast_in_pieces(z, e):
    return torch.cat([((part[:, None] - e) ** 2).sum(dim=2) for part in z.split(64)])


@answers.accept("pairwise_sq_dist")
def expanded_in_float64(z, e):
    a, b = z.double(), e.double()
    c = a[0]
    a, b = a - c, b - c
    return torch.addmm((b * b).sum(1), a, b.T, alpha=-2).add((a * a).sum(1)[:, None]).relu().to(z.dtype)


@answers.accept("pairwise_sq_dist")
def cdist_without_products(z, e):
    return torch.cdist(z, e, compute_mode="donot_use_mm_for_euclid_dist") ** 2


@answers.accept("pairwise_sq_dist")
def einsum_about_the_first_vector(z, e):
    z, e = z - z[:1].detach(), e - z[:1].detach()
    cross = torch.einsum("id,jd->ij", z, e)
    return (torch.einsum("id,id->i", z, z)[:, None] + torch.einsum("jd,jd->j", e, e) - 2 * cross).abs()


@answers.accept("pairwise_sq_dist")
def cdist_of_the_centred(z, e):
    return torch.cdist(z - e.mean(0), e - e.mean(0)).square()


@answers.accept("pairwise_sq_dist")
def one_product_of_longer_vectors(z, e):
    z, e = z - e.mean(0), e - e.mean(0)
    left = torch.cat([-2 * z, (z * z).sum(1, keepdim=True), torch.ones_like(z[:, :1])], dim=1)
    right = torch.cat([e, torch.ones_like(e[:, :1]), (e * e).sum(1, keepdim=True)], dim=1)
    return (left @ right.T).clamp_min(0)


@answers.accept("pairwise_sq_dist")
def a_list_of_all_pairs(z, e):
    return torch.stack([torch.dist(a, b) ** 2 for a in z for b in e]).view(len(z), len(e))


@answers.accept("pairwise_sq_dist")
def vmapped_rows(z, e):
    return torch.stack([torch.vmap(lambda code, row=row: (row - code).square().sum())(e) for row in z])


@answers.accept("pairwise_sq_dist")
def expanded_in_float64_about_the_origin(z, e):
    return torch.stack([(v @ v + (e.double() ** 2).sum(1) - 2 * e.double() @ v).clamp(min=0) for v in z.double()]).to(
        z.dtype
    )


@answers.accept("pairwise_sq_dist")
def numpy_in_float64(z, e):
    rows, codes = z.detach().double().numpy(), e.detach().double().numpy()
    return torch.from_numpy(np.stack([((rows - code) ** 2).sum(axis=1) for code in codes], axis=1)).to(z.dtype)


@answers.reject("pairwise_sq_dist", "numbers are in memory at once")
def broadcast(z, e):
    return ((z[:, None, :] - e[None, :, :]) ** 2).sum(dim=-1)


@answers.reject("pairwise_sq_dist", "numbers are in memory at once")
def broadcast_by_repeating(z, e):
    return F.pairwise_distance(z[:, None].repeat(1, len(e), 1), e.repeat(len(z), 1, 1), eps=0.0) ** 2


@answers.reject("pairwise_sq_dist", "numbers are in memory at once")
def stacked_before_the_sum(z, e):
    return torch.stack([(z - code).square() for code in e], dim=1).sum(dim=-1)


@answers.reject("pairwise_sq_dist", "numbers are in memory at once")
def broadcast_in_numpy(z, e):
    return torch.from_numpy(((z.detach().numpy()[:, None] - e.detach().numpy()) ** 2).sum(-1))


@answers.reject("pairwise_sq_dist", "numbers are in memory at once")
def broadcast_centred(z, e):
    c = e.mean(0)
    return ((z - c).unsqueeze(1) - (e - c).unsqueeze(0)).pow(2).sum(-1).clamp(min=0)


@answers.reject("pairwise_sq_dist", "Some squared distances are negative")
def expanded_without_clamp(z, e):
    return z.pow(2).sum(1, keepdim=True) - 2 * z @ e.T + e.pow(2).sum(1)


@answers.reject("pairwise_sq_dist", "Some squared distances are negative")
def centred_without_clamp(z, e):
    c = e.mean(0)
    return expanded_without_clamp(z - c, e - c)


@answers.reject("pairwise_sq_dist", "drown in rounding")
def expanded_clamped(z, e):
    return expanded_without_clamp(z, e).clamp(min=0)


@answers.reject("pairwise_sq_dist", "drown in rounding")
def cdist_squared(z, e):
    return torch.cdist(z, e, compute_mode="use_mm_for_euclid_dist") ** 2


@answers.reject("pairwise_sq_dist", "drown in rounding")
def cdist_squared_by_default(z, e):
    return torch.cdist(z, e).square()


@answers.reject("pairwise_sq_dist", "drown in rounding")
def centred_by_a_single_number(z, e):
    z, e = z - e.mean(), e - e.mean()
    return expanded_without_clamp(z, e).clamp(min=0)


@answers.reject("pairwise_sq_dist", "each of the K codes")
def nearest_only(z, e):
    return direct_one_code_at_a_time(z, e).min(dim=1).values


@answers.reject("pairwise_sq_dist", "float64")
def always_float64(z, e):
    return direct_one_code_at_a_time(z.double(), e.double())


@answers.reject("pairwise_sq_dist", "NaN comes out")
def squared_root_of_rounding(z, e):
    return expanded_without_clamp(z, e).sqrt() ** 2


@answers.reject("pairwise_sq_dist", "in place")
def subtracts_in_place(z, e):
    with torch.no_grad():
        z -= e.mean(0)
    return centred_and_expanded(z, e)


@answers.reject("pairwise_sq_dist", "nearly right")
def half_precision_product(z, e):
    return (z.pow(2).sum(1, keepdim=True) - 2 * (z.bfloat16() @ e.bfloat16().T) + e.pow(2).sum(1)).to(z.dtype)


@answers.reject("pairwise_sq_dist", "has D columns")
def summed_over_the_codes(z, e):
    return (z[:, None] - e).square().sum(dim=1)


# nearest_as_linear


@answers.accept("nearest_as_linear")
def half_the_squared_lengths(codebook):
    return codebook, -0.5 * codebook.square().sum(dim=1)


@answers.accept("nearest_as_linear")
def doubled(codebook):
    return [2 * codebook, -(codebook.norm(dim=1) ** 2)]


@answers.accept("nearest_as_linear")
def about_the_mean(codebook):
    mean = codebook.detach().mean(0)
    centred = codebook.detach() - mean
    return centred, -(centred**2).sum(1) / 2 - centred @ mean


@answers.accept("nearest_as_linear")
def weights_about_the_mean(codebook):
    return codebook - codebook.mean(0), -0.5 * codebook.square().sum(dim=1)  # takes the same from every output


@answers.accept("nearest_as_linear")
def as_a_module(codebook):
    layer = nn.Linear(codebook.shape[1], len(codebook), dtype=codebook.dtype)
    with torch.no_grad():
        layer.weight.copy_(codebook)
        layer.bias.copy_(torch.stack([-0.5 * code @ code for code in codebook]))
    return layer


@answers.accept("nearest_as_linear")
def in_numpy_linear(codebook):
    codes = codebook.numpy()
    return torch.from_numpy(codes.copy()), torch.from_numpy(-(codes**2).sum(axis=1) / 2)


@answers.reject("nearest_as_linear", "bias does nothing")
def no_bias(codebook):
    return codebook, torch.zeros(len(codebook))


@answers.reject("nearest_as_linear", "Only one tensor")
def weights_alone(codebook):
    return codebook


@answers.reject("nearest_as_linear", "twice what belongs to these weights")
def whole_squared_length(codebook):
    return codebook, -codebook.square().sum(dim=1)


@answers.reject("nearest_as_linear", "argmax takes the largest")
def for_an_argmin(codebook):
    return -2 * codebook, codebook.square().sum(dim=1)


@answers.reject("nearest_as_linear", "wrong sign")
def bias_with_the_wrong_sign(codebook):
    return codebook, 0.5 * codebook.square().sum(dim=1)


@answers.reject("nearest_as_linear", "wrong sign")
def bias_of_the_distance(codebook):
    return 2 * codebook, codebook.square().sum(dim=1)


@answers.reject("nearest_as_linear", "its square is needed")
def length_not_squared(codebook):
    return codebook, -0.5 * codebook.norm(dim=1)


@answers.reject("nearest_as_linear", "scale the codes to length 1")
def directions(codebook):
    return F.normalize(codebook, dim=1), torch.zeros(len(codebook))


@answers.reject("nearest_as_linear", "transposed")
def transposed_weight(codebook):
    return codebook.T, -0.5 * codebook.square().sum(dim=1)


@answers.reject("nearest_as_linear", "wrong order")
def bias_first(codebook):
    return -0.5 * codebook.square().sum(dim=1), codebook


@answers.reject("nearest_as_linear", "one number a code")
def bias_with_an_axis_too_many(codebook):
    return codebook, -0.5 * codebook.square().sum(dim=1, keepdim=True)


@answers.reject("nearest_as_linear", "averages over D")
def mean_for_sum(codebook):
    return codebook, -0.5 * codebook.square().mean(dim=1)


@answers.reject("nearest_as_linear", "weights are twice")
def doubled_weights_alone(codebook):
    return 2 * codebook, -0.5 * codebook.square().sum(dim=1)


@answers.reject("nearest_as_linear", "from their mean")
def lengths_about_the_mean(codebook):
    return codebook, -0.5 * (codebook - codebook.mean(0)).square().sum(dim=1)


@answers.reject("nearest_as_linear", "weights have the wrong sign")
def minus_two_in_the_weights_alone(codebook):
    return -2 * codebook, -codebook.square().sum(dim=1)


@answers.reject("nearest_as_linear", "is not at the nearest code")
def directions_with_the_bias_of_the_codes(codebook):
    return F.normalize(codebook, dim=1), -0.5 * codebook.square().sum(dim=1)


@answers.reject("nearest_as_linear", "squares the sum")
def square_of_the_sum(codebook):
    return codebook, -0.5 * codebook.sum(dim=1) ** 2


@answers.reject("nearest_as_linear", "from their mean")
def all_about_the_mean(codebook):
    centred = codebook - codebook.mean(0)
    return centred, -0.5 * centred.square().sum(dim=1)


@answers.reject("nearest_as_linear", "The bias has shape (3,)")
def squares_summed_over_the_codes(codebook):
    return codebook, -0.5 * codebook.square().sum(dim=0)


# quantize


@answers.accept("quantize")
def by_the_book(z_e, codebook):
    B, D, h, w = z_e.shape
    indices = vq.nearest_code(z_e.movedim(1, -1).reshape(-1, D), codebook).view(B, h, w)
    return codebook[indices].movedim(-1, 1), indices


@answers.accept("quantize")
def broadcast_over_the_map(z_e, codebook):
    distances = (z_e[:, None] - codebook[None, :, :, None, None]).pow(2).sum(dim=2)  # (B, K, h, w)
    indices = distances.argmin(dim=1)
    return F.embedding(indices, codebook).permute(0, 3, 1, 2).contiguous(), indices


@answers.accept("quantize")
def one_place_at_a_time(z_e, codebook):
    e_k, indices = torch.empty_like(z_e.detach()), torch.empty(z_e[:, 0].shape, dtype=torch.long)
    for b in range(len(z_e)):
        for i in range(z_e.shape[2]):
            for j in range(z_e.shape[3]):
                k = (codebook - z_e[b, :, i, j]).norm(dim=1).argmin()
                e_k[b, :, i, j], indices[b, i, j] = codebook[k].detach(), k
    return e_k, indices


@answers.accept("quantize")
def one_hot_product_and_straight_through(z_e, codebook):
    rows = z_e.permute(0, 2, 3, 1).flatten(0, 2)
    indices = torch.cdist(rows, codebook).argmin(dim=1)
    e_k = F.one_hot(indices, len(codebook)).to(codebook.dtype) @ codebook
    e_k = e_k.unflatten(0, (len(z_e), *z_e.shape[2:])).permute(0, 3, 1, 2)
    return z_e + (e_k - z_e).detach(), indices.view(len(z_e), *z_e.shape[2:])


@answers.accept("quantize")
def by_a_convolution(z_e, codebook):
    scores = F.conv2d(z_e, codebook[:, :, None, None], -0.5 * codebook.square().sum(1))
    indices = scores.flip(1).argmax(dim=1).neg() + len(codebook) - 1  # the last of equal codes
    return codebook[indices].movedim(-1, 1), indices


@answers.accept("quantize")
def with_the_package(z_e, codebook):
    quantizer = vq.VectorQuantizer(*codebook.shape).to(codebook.dtype)
    quantizer.codebook.data = codebook.data.clone()
    indices = quantizer.choose(z_e)
    return quantizer.lookup(indices), indices


@answers.accept("quantize")
def codes_in_numpy(z_e, codebook):
    rows, codes = z_e.detach().movedim(1, -1).numpy(), codebook.numpy()
    indices = ((rows[..., None, :] - codes) ** 2).sum(-1).argmin(-1)
    return torch.from_numpy(codes[indices]).movedim(-1, 1), torch.from_numpy(indices)


@answers.reject("quantize", "mix channels and places")
def view_without_moving_channels(z_e, codebook):
    B, D, h, w = z_e.shape
    indices = vq.nearest_code(z_e.reshape(-1, D), codebook)
    return codebook[indices].view(B, D, h, w), indices.view(B, h, w)


@answers.reject("quantize", "mix channels and places")
def half_moved(z_e, codebook):
    B, D, h, w = z_e.shape
    indices = vq.nearest_code(z_e.permute(0, 2, 1, 3).reshape(-1, D), codebook).view(B, h, w)
    return codebook[indices].movedim(-1, 1), indices


@answers.reject("quantize", "farthest away")
def argmax_of_distances(z_e, codebook):
    B, D, h, w = z_e.shape
    indices = torch.cdist(z_e.movedim(1, -1).reshape(-1, D), codebook).argmax(dim=1).view(B, h, w)
    return codebook[indices].movedim(-1, 1), indices


@answers.reject("quantize", "wrong places")
def columns_before_rows(z_e, codebook):
    B, D, h, w = z_e.shape
    indices = vq.nearest_code(z_e.permute(0, 3, 2, 1).reshape(-1, D), codebook).view(B, h, w)
    return codebook[indices].movedim(-1, 1), indices


@answers.reject("quantize", "wrong places")
def images_last(z_e, codebook):
    B, D, h, w = z_e.shape
    indices = vq.nearest_code(z_e.permute(2, 3, 0, 1).reshape(-1, D), codebook).view(B, h, w)
    return codebook[indices].movedim(-1, 1), indices


@answers.reject("quantize", "wrong places")
def channels_first_of_all(z_e, codebook):
    B, D, h, w = z_e.shape
    rows = z_e.movedim(1, 0).reshape(D, -1).T
    indices = vq.nearest_code(rows, codebook).view(h, w, B).movedim(-1, 0)
    return codebook[indices].movedim(-1, 1), indices


@answers.reject("quantize", "one long row")
def flat_indices(z_e, codebook):
    e_k, indices = by_the_book(z_e, codebook)
    return e_k, indices.flatten()


@answers.reject("quantize", "wrong order: the codes first")
def swapped_pair(z_e, codebook):
    return by_the_book(z_e, codebook)[::-1]


@answers.reject("quantize", "pair is asked for")
def codes_alone(z_e, codebook):
    return by_the_book(z_e, codebook)[0]


@answers.reject("quantize", "channels last")
def channels_last(z_e, codebook):
    _, indices = by_the_book(z_e, codebook)
    return codebook[indices], indices


@answers.reject("quantize", "scrambles the codes on the way back")
def view_on_the_way_back(z_e, codebook):
    _, indices = by_the_book(z_e, codebook)
    return codebook[indices].view(z_e.shape), indices


@answers.reject("quantize", "height and width of the codes are swapped")
def transposed_back(z_e, codebook):
    _, indices = by_the_book(z_e, codebook)
    return codebook[indices].transpose(1, 3), indices


@answers.reject("quantize", "codes come back as rows")
def rows_of_codes(z_e, codebook):
    _, indices = by_the_book(z_e, codebook)
    return codebook[indices.flatten()], indices


@answers.reject("quantize", "largest dot product")
def dot_product(z_e, codebook):
    indices = torch.einsum("bdhw,kd->bkhw", z_e, codebook).argmax(dim=1)
    return codebook[indices].movedim(-1, 1), indices


@answers.reject("quantize", "factor 2")
def no_factor_two_in_the_search(z_e, codebook):
    indices = (codebook.pow(2).sum(1)[:, None, None] - torch.einsum("bdhw,kd->bkhw", z_e, codebook)).argmin(dim=1)
    return codebook[indices].movedim(-1, 1), indices


@answers.reject("quantize", "cosine")
def by_cosine(z_e, codebook):
    unit = F.normalize(codebook, dim=1)
    indices = torch.einsum("bdhw,kd->bkhw", F.normalize(z_e, dim=1), unit).argmax(dim=1)
    return codebook[indices].movedim(-1, 1), indices


@answers.reject("quantize", "an index for every single number")
def every_number_by_itself(z_e, codebook):
    indices = (z_e[..., None] - codebook.mean(1)).abs().argmin(dim=-1)
    return codebook.mean(1)[indices], indices


@answers.reject("quantize", "argmin over the wrong axis")
def nearest_vector_of_each_code(z_e, codebook):
    rows = z_e.movedim(1, -1).flatten(0, 2)
    indices = torch.cdist(rows, codebook).argmin(dim=0)
    return codebook[indices % len(codebook)], indices


@answers.reject("quantize", "int64")
def float_indices(z_e, codebook):
    e_k, indices = by_the_book(z_e, codebook)
    return e_k, indices.float()


@answers.reject("quantize", "z_e itself")
def latents_come_back(z_e, codebook):
    return z_e, by_the_book(z_e, codebook)[1]


@answers.reject("quantize", "where no code is")
def counted_from_one(z_e, codebook):
    e_k, indices = by_the_book(z_e, codebook)
    return e_k, indices + len(codebook)


@answers.reject("quantize", "view")
def only_contiguous_input(z_e, codebook):
    B, D, h, w = z_e.shape
    rows = z_e.view(B, D, h * w).transpose(1, 2).reshape(-1, D)
    indices = vq.nearest_code(rows, codebook).view(B, h, w)
    return codebook[indices].movedim(-1, 1), indices


@answers.reject("quantize", "z_e - e_k")
def what_is_left(z_e, codebook):
    e_k, indices = by_the_book(z_e, codebook)
    return z_e - e_k, indices


@answers.reject("quantize", "Rows and columns of the index map are swapped")
def transposed_map(z_e, codebook):
    e_k, indices = by_the_book(z_e, codebook)
    return e_k, indices.transpose(1, 2)


@answers.reject("quantize", "one-hot")
def one_hot_indices(z_e, codebook):
    e_k, indices = by_the_book(z_e, codebook)
    return e_k, F.one_hot(indices, len(codebook))


@answers.reject("quantize", "wrong places")
def put_back_as_columns(z_e, codebook):
    B, D, h, w = z_e.shape
    indices = vq.nearest_code(z_e.movedim(1, -1).reshape(-1, D), codebook).view(B, w, h).transpose(1, 2)
    return codebook[indices].movedim(-1, 1), indices


@answers.reject("quantize", "have vanished from the indices")
def squeezed_map(z_e, codebook):
    e_k, indices = by_the_book(z_e, codebook)
    return e_k, indices.squeeze()


@answers.reject("quantize", "have vanished from the codes")
def squeezed_codes(z_e, codebook):
    e_k, indices = by_the_book(z_e, codebook)
    return e_k.squeeze(), indices


@answers.reject("quantize", "3 values came back")
def with_the_loss(z_e, codebook):
    e_k, indices = by_the_book(z_e, codebook)
    return e_k, indices, F.mse_loss(e_k, z_e)


@answers.reject("quantize", "counted from 0")
def one_too_many(z_e, codebook):
    e_k, indices = by_the_book(z_e, codebook)
    return e_k, indices + 1


@answers.reject("quantize", "not codebook[indices]")
def soft_codes(z_e, codebook):
    rows = z_e.movedim(1, -1)
    shares = (-(rows[..., None, :] - codebook).square().sum(-1)).softmax(dim=-1)
    return (shares @ codebook).movedim(-1, 1), shares.argmax(dim=-1)


@answers.reject("quantize", "does not lead back")
def the_same_permutation_twice(z_e, codebook):
    _, indices = by_the_book(z_e, codebook)
    return codebook[indices].permute(0, 2, 3, 1), indices


@answers.reject("quantize", "not that of z_e")
def one_row_of_codes_an_image(z_e, codebook):
    _, indices = by_the_book(z_e, codebook)
    return codebook[indices].flatten(1, 2), indices


# kmeans_step


@answers.accept("kmeans_step")
def the_package(z, codebook):
    return vq.kmeans_step(z, codebook)


@answers.accept("kmeans_step")
def loop_over_codes(z, codebook):
    indices = vq.nearest_code(z, codebook)
    moved = codebook.detach().clone()
    for j in range(len(codebook)):
        if (indices == j).any():
            moved[j] = z[indices == j].mean(dim=0).detach()
    return moved


@answers.accept("kmeans_step")
def one_hot_and_where(z, codebook):
    indices = torch.cdist(z, codebook).argmin(dim=1)
    members = F.one_hot(indices, len(codebook)).to(z.dtype)
    count = members.sum(0).unsqueeze(1)
    return torch.where(count > 0, members.T @ z / count.clamp(min=1), codebook)


@answers.accept("kmeans_step")
def nan_replaced_by_the_old_code(z, codebook):
    indices = ((z[:, None] - codebook) ** 2).sum(-1).argmin(1)
    means = torch.stack([z[indices == j].mean(0) for j in range(len(codebook))])
    return torch.where(means.isnan(), codebook, means)


@answers.accept("kmeans_step")
def scatter_reduce(z, codebook):
    indices = vq.nearest_code(z, codebook)[:, None].expand_as(z)
    moved = codebook.detach().clone()
    return moved.scatter_reduce(0, indices, z.detach(), reduce="mean", include_self=False)


@answers.accept("kmeans_step")
def dictionary_of_lists(z, codebook):
    cells = {}
    for vector in z.detach():
        cells.setdefault(int((codebook - vector).pow(2).sum(1).argmin()), []).append(vector)
    rows = [sum(cells[j]) / len(cells[j]) if j in cells else code for j, code in enumerate(codebook.detach())]
    return torch.stack(rows)


@answers.accept("kmeans_step")
def half_a_gradient_over_the_count(z, codebook):
    indices, moved = vq.nearest_code(z, codebook), codebook.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad((z.detach() - moved[indices]).square().sum(), moved)
    count = torch.bincount(indices, minlength=len(codebook)).clamp(min=1)
    return (moved - gradient / 2 / count[:, None]).detach()


@answers.accept("kmeans_step")
def running_means(z, codebook):
    moved, count = codebook.detach().clone(), [0] * len(codebook)
    for vector, j in zip(z.detach(), vq.nearest_code(z, codebook).tolist(), strict=True):
        count[j] += 1
        moved[j] += (vector - moved[j]) / count[j]  # the first vector replaces the old code
    return moved


@answers.accept("kmeans_step")
def cells_in_numpy(z, codebook):
    vectors, moved = z.detach().numpy(), codebook.numpy().copy()
    indices = ((vectors[:, None] - moved) ** 2).sum(-1).argmin(1)
    for j in np.unique(indices):
        moved[j] = vectors[indices == j].mean(axis=0)
    return torch.from_numpy(moved)


@answers.reject("kmeans_step", "becomes NaN")
def nan_on_an_empty_cell(z, codebook):
    indices = vq.nearest_code(z, codebook)
    return torch.stack([z[indices == j].mean(dim=0) for j in range(len(codebook))])


@answers.reject("kmeans_step", "becomes NaN")
def nothing_by_nothing(z, codebook):
    members = F.one_hot(vq.nearest_code(z, codebook), len(codebook)).to(z.dtype)
    return members.T @ z / members.sum(0)[:, None]


@answers.reject("kmeans_step", "pulled to the origin")
def empties_to_zero(z, codebook):
    members = F.one_hot(vq.nearest_code(z, codebook), len(codebook)).to(z.dtype)
    return members.T @ z / members.sum(0)[:, None].clamp(min=1)


@answers.reject("kmeans_step", "pulled to the origin")
def nan_to_zero(z, codebook):
    return nothing_by_nothing(z, codebook).nan_to_num()


@answers.reject("kmeans_step", "sums of the cells")
def sums(z, codebook):
    indices = vq.nearest_code(z, codebook)
    return torch.zeros_like(codebook).index_add(0, indices, z)


@answers.reject("kmeans_step", "have vanished")
def only_codes_in_use(z, codebook):
    indices = vq.nearest_code(z, codebook)
    return torch.stack([z[indices == j].mean(dim=0) for j in indices.unique()])


@answers.reject("kmeans_step", "times as far")
def moving_average(z, codebook):
    return 0.9 * codebook + 0.1 * the_package(z, codebook)


@answers.reject("kmeans_step", "That restart is another method")
def restart(z, codebook):
    moved = vq.kmeans_step(z, codebook)
    count = torch.bincount(vq.nearest_code(z, codebook), minlength=len(codebook))
    return torch.where(count[:, None] > 0, moved, z[:1])


@answers.reject("kmeans_step", "one row a code")
def quantized_vectors(z, codebook):
    return codebook[vq.nearest_code(z, codebook)]


@answers.reject("kmeans_step", "first half of the step")
def indices_alone(z, codebook):
    return vq.nearest_code(z, codebook)


@answers.reject("kmeans_step", "in place")
def changes_the_codebook(z, codebook):
    codebook.data.copy_(vq.kmeans_step(z, codebook))
    return codebook


@answers.reject("kmeans_step", "pulled to the origin")
def a_little_more_than_nothing(z, codebook):
    count = torch.bincount(vq.nearest_code(z, codebook), minlength=len(codebook))[:, None]
    return sums(z, codebook) / (count + 1e-6)


@answers.reject("kmeans_step", "not at the means of the vectors")
def last_vector_wins(z, codebook):
    moved = codebook.detach().clone()
    moved[vq.nearest_code(z, codebook)] = z.detach()
    return moved


@answers.reject("kmeans_step", "values came back")
def with_the_indices(z, codebook):
    return vq.kmeans_step(z, codebook), vq.nearest_code(z, codebook)


@answers.reject("kmeans_step", "must match the size")
def counts_end_with_the_last_code_in_use(z, codebook):
    indices = vq.nearest_code(z, codebook)
    count = torch.bincount(indices)[:, None]
    return torch.where(count > 0, sums(z, codebook) / count.clamp(min=1), codebook)


@answers.reject("kmeans_step", "after the last one in use")
def rows_end_with_the_last_code_in_use(z, codebook):
    return the_package(z, codebook)[: vq.nearest_code(z, codebook).max() + 1]


# compression_ratio


@answers.accept("compression_ratio")
def bits_over_bits(shape, latent, K, bits=8):
    return math.prod(shape) * bits / (latent[1] * latent[2] * math.log2(K))


@answers.accept("compression_ratio")
def in_numpy(shape, latent, K, bits=8):
    return np.prod(shape) * bits / np.prod(latent[-2:]) / np.log2(K)


@answers.accept("compression_ratio")
def in_torch(shape, latent, K, bits=8):
    index_bits = torch.log(torch.tensor(float(K))) / torch.log(torch.tensor(2.0))
    return torch.tensor(shape).prod() * bits / (latent[1] * latent[2] * index_bits)


@answers.accept("compression_ratio")
def with_metrics(shape, latent, K, bits=8):
    return metrics.compression_ratio(shape, latent, K, bits)


@answers.reject("compression_ratio", "is rounded")
def to_one_decimal(shape, latent, K, bits=8):
    return round(bits_over_bits(shape, latent, K, bits), 1)


@answers.reject("compression_ratio", "is rounded")
def floored(shape, latent, K, bits=8):
    return int(bits_over_bits(shape, latent, K, bits))


@answers.reject("compression_ratio", "missing 1 required positional argument")
def without_the_default(shape, latent, K, bits):
    return bits_over_bits(shape, latent, K, bits)


@answers.reject("compression_ratio", "the ratio is not")
def sides_only(shape, latent, K, bits=8):
    return shape[1] / latent[1]


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
