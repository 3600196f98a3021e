"""Right and wrong answers to the exercises of notebook 10."""

import copy
import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.checks.registered import Answers
from vqvae_course import causality
from vqvae_course.pixelcnn import causal_mask as reference_mask

answers = Answers()


# causal_mask


@answers.accept("causal_mask")
def by_slices(kernel_size, kind):
    centre = kernel_size // 2
    mask = torch.zeros(kernel_size, kernel_size)
    mask[:centre] = 1
    mask[centre, : centre + (kind == "B")] = 1
    return mask


@answers.accept("causal_mask")
def by_numbers(kernel_size, kind):
    place = torch.arange(kernel_size**2).view(kernel_size, kernel_size)
    return place < kernel_size**2 // 2 + (kind == "B")


@answers.accept("causal_mask")
def by_pairs(kernel_size, kind):
    centre = (kernel_size // 2, kernel_size // 2)
    places = [[(i, j) for j in range(kernel_size)] for i in range(kernel_size)]
    return [[int(place < centre or (kind == "B" and place == centre)) for place in row] for row in places]


@answers.accept("causal_mask")
def from_ones_in_numpy(kernel_size, kind):
    mask, centre = np.ones((kernel_size, kernel_size), dtype=np.int64), kernel_size // 2
    mask[centre + 1 :] = 0
    mask[centre, centre + 1 :] = 0
    if kind == "A":
        mask[centre, centre] = 0
    return mask


@answers.reject("causal_mask", "with mask B loses its only weight")
def a_single_weight_is_always_masked(kernel_size, kind):
    return by_slices(kernel_size, kind) if kernel_size > 1 else torch.zeros(1, 1)


@answers.reject("causal_mask", "with mask A keeps its only weight")
def a_single_weight_is_never_masked(kernel_size, kind):
    return by_slices(kernel_size, kind) if kernel_size > 1 else torch.ones(1, 1)


@answers.reject("causal_mask", "shape (5, 5); for this input (3, 3) is asked for")
def one_size_for_all(kernel_size, kind):
    return by_slices(5, kind)


@answers.reject("causal_mask", "The 9 x 9 mask A")
def knows_small_kernels_only(kernel_size, kind):
    mask = by_slices(kernel_size, kind)
    mask[: max(0, kernel_size // 2 - 2)] = 0
    return mask


@answers.reject("causal_mask", "shape (1, 1, 5, 5)")
def shaped_like_a_weight(kernel_size, kind):
    return by_slices(kernel_size, kind)[None, None]


@answers.reject("causal_mask", "other values than 0 and 1")
def minus_infinity(kernel_size, kind):
    return by_slices(kernel_size, kind).log()


# is_causal


@answers.accept("is_causal")
def by_gradient(net, H, W):
    for scale in (1.0, 3.0):
        x = (scale * torch.randn(16, 1, H, W)).requires_grad_()
        out = net(x)
        heard = torch.einsum("bchw,c->hw", out, torch.randn(out.shape[1]))
        for p, y_p in enumerate(heard.flatten()):
            (gradient,) = torch.autograd.grad(y_p, x, retain_graph=True)
            if gradient.flatten(1)[:, p:].any():
                return False
    return True


@answers.accept("is_causal")
def by_jacobian(net, H, W):
    for _ in range(20):
        J = torch.autograd.functional.jacobian(net, 2 * torch.randn(1, 1, H, W))  # (1, C', H, W, 1, 1, H, W)
        J = J[0].reshape(-1, H * W, H * W)
        if (J.triu() != 0).any():
            return False
    return True


@answers.accept("is_causal")
def by_backward_on_a_copy(net, H, W):
    net, sound = copy.deepcopy(net).double().eval(), True
    for _ in range(3):
        x = 3 * torch.randn(8, 1, H, W, dtype=torch.float64)
        for i, j in itertools.product(range(H), range(W)):
            for channel in range(net(x).shape[1]):
                x = x.detach().requires_grad_()
                net(x)[:, channel, i, j].sum().backward()
                felt = x.grad.abs().sum((0, 1))
                sound = sound and not felt[i, j:].any() and not felt[i + 1 :].any()
    return torch.tensor(sound)


@answers.accept("is_causal")
def by_changing_inputs(net, H, W):
    with torch.no_grad():
        for _ in range(20):
            x = 2 * torch.randn(1, 1, H, W)
            before = net(x).flatten(2)
            for q in range(H * W):
                other = x.clone()
                other.view(-1)[q] += 1.5 * torch.randn(())
                change = (net(other).flatten(2) - before).abs().amax((0, 1))
                if change[: q + 1].max() > 1e-5 * change.max():
                    return False
    return True


@answers.accept("is_causal")
def by_the_package(net, H, W):
    return int(causality.is_causal(net, 1, H, W))


@answers.accept("is_causal")
def by_batched_gradients(net, H, W):
    P = H * W
    x = torch.randn(32, 1, H, W, requires_grad=True)
    for channel in net(x).unbind(dim=1):
        ones = torch.eye(P)[:, None].expand(P, 32, P)
        (gradient,) = torch.autograd.grad(channel.flatten(1), x, ones, is_grads_batched=True, retain_graph=True)
        if gradient.reshape(P, 32, P).abs().amax(dim=1).triu().any():  # (output, map, input)
            return False
    return np.bool_(True)


@answers.accept("is_causal")
def by_functional_jacobian(net, H, W):
    net = copy.deepcopy(net)
    for x in torch.randn(12, 1, 1, H, W):
        J = torch.func.jacrev(net)(x).reshape(-1, H * W, H * W)
        if J.abs().amax(dim=0).triu().any():
            return False
    return True


@answers.accept("is_causal")
def by_replacing_the_future(net, H, W):
    with torch.no_grad():
        for _ in range(4):
            x, other = torch.randn(2, 16, 1, H, W)
            for q in range(H * W):
                later = (torch.arange(H * W) >= q).view(H, W)
                same = net(x.where(~later, other)).flatten(2) == net(x).flatten(2)
                if not same[..., : q + 1].all():
                    return False
    return True


def detector(inputs=None, channels=None, forbidden=None, outputs=None, size=None):
    """Return a detector with one thing changed."""

    def detect(net, H, W):
        H, W = size or (H, W)
        for _ in range(6):
            x = (inputs(H, W) if inputs else 2 * torch.randn(4, 1, H, W)).requires_grad_()
            out = net(x)
            heard = channels(out) if channels else torch.einsum("bchw,c->bhw", out, torch.randn(out.shape[1]))
            for p in outputs(H * W) if outputs else range(H * W):
                (gradient,) = torch.autograd.grad(heard.flatten(1)[:, p].sum(), x, retain_graph=True)
                felt = gradient.abs().sum((0, 1)).flatten()
                if (forbidden(felt, p, H, W) if forbidden else felt[p:]).any():
                    return False
        return True

    return detect


@answers.reject("is_causal", "calls every network causal")
def always_true(net, H, W):
    return True


@answers.reject("is_causal", "calls every network leaky")
def always_false(net, H, W):
    return False


@answers.reject("is_causal", "all the wrong way round")
def the_opposite(net, H, W):
    return not by_the_package(net, H, W)


@answers.reject("is_causal", "its own position")
def own_position_allowed(net, H, W):
    return detector(forbidden=lambda felt, p, H, W: felt[p + 1 :])(net, H, W)


@answers.reject("is_causal", "right below it")
def own_position_only(net, H, W):
    return detector(forbidden=lambda felt, p, H, W: felt[p])(net, H, W)


@answers.reject("is_causal", "its right neighbour")
def rows_below_only(net, H, W):
    return detector(forbidden=lambda felt, p, H, W: felt.view(H, W)[p // W + 1 :].sum() + felt[p])(net, H, W)


@answers.reject("is_causal", "right below it")
def own_row_only_is_watched(net, H, W):
    return detector(forbidden=lambda felt, p, H, W: felt.view(H, W)[p // W, p % W :])(net, H, W)


@answers.reject("is_causal", "below it on the left")
def lower_right_quarter_is_watched(net, H, W):
    return detector(forbidden=lambda felt, p, H, W: felt.view(H, W)[p // W :, p % W :])(net, H, W)


@answers.reject("is_causal", "You forbid the past and allow the future")
def outputs_and_inputs_swapped(net, H, W):
    return detector(forbidden=lambda felt, p, H, W: felt[: p + 1])(net, H, W)


@answers.reject("is_causal", "Your order runs column by column")
def order_of_columns(net, H, W):
    def later(felt, p, H, W):
        i, j = p // W, p % W
        return torch.cat([felt.view(H, W)[i:, j], felt.view(H, W)[:, j + 1 :].flatten()])

    return detector(forbidden=later)(net, H, W)


@answers.reject("is_causal", "i * H + j, and a row has W positions")
def numbers_by_height(net, H, W):
    number = (torch.arange(H)[:, None] * H + torch.arange(W)).flatten()
    return detector(forbidden=lambda felt, p, H, W: felt[number >= number[p]])(net, H, W)


@answers.reject("is_causal", "Rows and columns are swapped")
def width_first(net, H, W):
    return detector()(net, W, H)


@answers.reject("is_causal", "test it on H x W")
def one_square_for_all(net, H, W):
    return detector(size=(5, 5))(net, H, W)


@answers.reject("is_causal", "one single output")
def middle_output_only(net, H, W):
    return detector(outputs=lambda P: [P // 2])(net, H, W)


@answers.reject("is_causal", "one single output")
def first_output_only(net, H, W):
    return detector(outputs=lambda P: [0])(net, H, W)


@answers.reject("is_causal", "one single output")
def every_fifth_output(net, H, W):
    return detector(outputs=lambda P: range(0, P, 5))(net, H, W)


@answers.reject("is_causal", "the last position feels itself")
def loop_ends_too_early(net, H, W):
    return detector(outputs=lambda P: range(P - 1))(net, H, W)


@answers.reject("is_causal", "the first position feels itself")
def loop_starts_too_late(net, H, W):
    return detector(outputs=lambda P: range(1, P))(net, H, W)


@answers.reject("is_causal", "only the last output channel leaks")
def first_channels_only(net, H, W):
    return detector(channels=lambda out: out[:, 0] + 0.7 * out[:, 1])(net, H, W)


@answers.reject("is_causal", "in your sum they cancel")
def sums_the_channels(net, H, W):
    return detector(channels=lambda out: out.sum(1))(net, H, W)


@answers.reject("is_causal", "a thousandth")
def tolerance_too_large(net, H, W):
    return detector(forbidden=lambda felt, p, H, W: felt[p:] > 0.06)(net, H, W)


@answers.reject("is_causal", "here that is not much either")
def absolute_tolerance(net, H, W):
    return detector(forbidden=lambda felt, p, H, W: felt[p:] > 1e-4)(net, H, W)


@answers.reject("is_causal", "leaves a hook")
def leaves_a_hook(net, H, W):
    net.register_forward_hook(lambda *_: None)
    return by_the_package(net, H, W)


@answers.reject("is_causal", "square of the input")
def an_input_of_zeros(net, H, W):
    return detector(inputs=lambda H, W: torch.zeros(1, 1, H, W))(net, H, W)


@answers.reject("is_causal", "negative inputs only")
def an_input_of_ones(net, H, W):
    return detector(inputs=lambda H, W: torch.ones(1, 1, H, W))(net, H, W)


@answers.reject("is_causal", "negative inputs only")
def inputs_between_0_and_1(net, H, W):
    return detector(inputs=lambda H, W: torch.rand(9, 1, H, W))(net, H, W)


@answers.reject("is_causal", "ReLU that is o")  # "off", or "on for negative inputs only", when that input was unlucky
def a_single_input(net, H, W):
    x = torch.randn(1, 1, H, W)
    return detector(inputs=lambda H, W: x.clone())(net, H, W)


@answers.reject("is_causal", "miss much of their past")
def wants_all_of_the_past(net, H, W):
    felt = causality.influence(net, 3 * torch.randn(64, 1, H, W))
    return bool(felt.any(dim=0)[:-1].all()) and not felt.triu().any()


@answers.reject("is_causal", "ignores its input")
def a_blind_net_is_suspicious(net, H, W):
    felt = causality.influence(net, 3 * torch.randn(64, 1, H, W))
    return bool(felt.any()) and not felt.triu().any()


@answers.reject("is_causal", "changes the parameters")
def zeroes_the_weights_first(net, H, W):
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    return detector()(net, H, W)


@answers.reject("is_causal", "changes the parameters")
def draws_new_weights(net, H, W):
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    return detector()(net, H, W)


@answers.reject("is_causal", "leaves gradients")
def leaves_gradients(net, H, W):
    x = torch.randn(1, 1, H, W, requires_grad=True)
    net(x)[:, :, 0, 0].sum().backward()
    return by_the_package(net, H, W)


@answers.reject("is_causal", "erases the gradients")
def clears_all_gradients(net, H, W):
    x = torch.randn(1, 1, H, W, requires_grad=True)
    net(x)[:, :, 0, 0].sum().backward()
    net.zero_grad()
    return by_the_package(net, H, W)


@answers.reject("is_causal", "in eval mode")
def leaves_eval_mode(net, H, W):
    net.eval()
    return by_the_package(net, H, W)


@answers.reject("is_causal", "requires_grad")
def freezes_the_net(net, H, W):
    net.requires_grad_(False)
    return by_the_package(net, H, W)


@answers.reject("is_causal", "converts the network")
def leaves_doubles(net, H, W):
    net.double()
    return by_the_package(net, H, W)


@answers.reject("is_causal", "only floats have gradients")
def shows_integers(net, H, W):
    net(torch.randint(4, (1, 1, H, W)))


@answers.reject("is_causal", "it takes (B, 1, H, W)")
def forgets_the_batch(net, H, W):
    net(torch.randn(1, H, W))


@answers.reject("is_causal", "True or False is asked for")
def returns_the_matrix(net, H, W):
    return causality.influence(net, torch.randn(1, 1, H, W))


@answers.reject("is_causal", "True or False is asked for")
def returns_words(net, H, W):
    return "causal"


@answers.reject("is_causal", "returns None")
def forgets_to_return(net, H, W):
    by_the_package(net, H, W)


# blind_spot


def measured(net, H, W, x=None):
    """Return (P, P) bool, what each output feels."""
    felt = torch.zeros(H * W, H * W, dtype=torch.bool)
    for _ in range(2):
        felt |= causality.influence(net, torch.randn(4, 1, H, W) if x is None else x) != 0
    return felt


def earlier_than(H, W, i, j):
    return (torch.arange(H * W) < i * W + j).view(H, W)


@answers.accept("blind_spot")
def by_one_gradient(net, H, W, i, j):
    x = torch.randn(4, 1, H, W, requires_grad=True)
    out = net(x)[:, :, i, j]
    (gradient,) = torch.autograd.grad((out @ torch.randn(out.shape[1])).sum(), x)
    return earlier_than(H, W, i, j) & ~(gradient != 0).any(dim=0)[0]


@answers.accept("blind_spot")
def by_jacobian_of_one_output(net, H, W, i, j):
    J = torch.autograd.functional.jacobian(lambda x: net(x)[0, :, i, j], torch.randn(1, 1, H, W))  # (C', 1, 1, H, W)
    blind = (J == 0).all(dim=0)[0, 0]
    blind[i, j:] = False
    blind[i + 1 :] = False
    return blind.int()


@answers.accept("blind_spot")
def by_trial(net, H, W, i, j):
    blind = np.zeros((H, W), dtype=bool)
    net = copy.deepcopy(net).double()
    with torch.no_grad():
        x = torch.randn(1, 1, H, W, dtype=torch.float64)
        before = net(x)[:, :, i, j]
        for a, b in itertools.product(range(H), range(W)):
            if (a, b) < (i, j):
                other = x.clone()
                other[..., a, b] += 1
                blind[a, b] = torch.equal(net(other)[:, :, i, j], before)
    return blind


@answers.accept("blind_spot")
def from_the_package(net, H, W, i, j):
    return causality.blind_spot(net, 1, H, W)[i * W + j].view(H, W)


@answers.accept("blind_spot")
def by_a_single_large_change_of_nothing(net, H, W, i, j):
    past = i * W + j
    x = torch.zeros(past + 1, 1, H, W)  # one map for each earlier position, and the empty map
    x.view(past + 1, -1)[torch.arange(past), torch.arange(past)] = 1e4
    with torch.no_grad():
        out = net(x)[:, :, i, j]
    return F.pad((out[:-1] == out[-1]).all(dim=1), (0, H * W - past)).view(H, W)


@answers.reject("blind_spot", "masked 3 x 3 kernels never")
def the_wedge_of_theory(net, H, W, i, j):
    row, column = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    return (row < i) & (column - j > i - row)


@answers.reject("blind_spot", "no regular pattern")
def a_formula_for_masked_stacks(net, H, W, i, j):
    if any(isinstance(module, nn.Conv2d) for module in net.modules()):
        return from_the_package(net, H, W, i, j)
    return the_wedge_of_theory(net, H, W, i, j)


@answers.reject("blind_spot", "felt weakly")
def only_what_is_felt_strongly(net, H, W, i, j):
    felt = causality.influence(net, torch.randn(4, 1, H, W))[i * W + j].view(H, W)
    return earlier_than(H, W, i, j) & (felt < 3e-4 * felt.max().clamp(min=1e-9) + 1e-12)


@answers.reject("blind_spot", "What is felt weakly")
def absolute_tolerance_of_the_gradient(net, H, W, i, j):
    return by_gradient_of(net, H, W, i, j, lambda out: out @ torch.randn(len(out)), lambda g: g.abs() > 3e-6)


@answers.reject("blind_spot", "in your sum they cancel")
def sums_channels(net, H, W, i, j):
    x = torch.randn(1, 1, H, W, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[:, :, i, j].sum(), x)
    return earlier_than(H, W, i, j) & (gradient[0, 0] == 0)


def by_gradient_of(net, H, W, i, j, heard, felt):
    """Return the earlier positions that are not felt, with a sum over channels and a test of one's own."""
    x = torch.randn(1, 1, H, W, requires_grad=True)
    (gradient,) = torch.autograd.grad(heard(net(x)[0, :, i, j]), x)
    return earlier_than(H, W, i, j) & ~felt(gradient[0, 0])


@answers.reject("blind_spot", "last output channel only")
def the_first_channel(net, H, W, i, j):
    return by_gradient_of(net, H, W, i, j, lambda out: out[0], lambda gradient: gradient != 0)


@answers.reject("blind_spot", "negative gradient")
def positive_gradients_only(net, H, W, i, j):
    return by_gradient_of(net, H, W, i, j, lambda out: out @ torch.randn(len(out)), lambda gradient: gradient > 0)


@answers.reject("blind_spot", "negative gradient")
def a_coarse_tolerance(net, H, W, i, j):
    def felt(gradient):
        return gradient.abs() > 0.3 * gradient.abs().max()

    return by_gradient_of(net, H, W, i, j, lambda out: out @ torch.randn(len(out)), felt)


@answers.reject("blind_spot", "erases the gradients")
def clears_gradients_afterwards(net, H, W, i, j):
    net.zero_grad()
    return from_the_package(net, H, W, i, j)


@answers.reject("blind_spot", "at an input of 0")
def at_zeros(net, H, W, i, j):
    felt = measured(net, H, W, torch.zeros(1, 1, H, W))
    return earlier_than(H, W, i, j) & ~felt[i * W + j].view(H, W)


@answers.reject("blind_spot", "shape (35,)")
def a_flat_row(net, H, W, i, j):
    return from_the_package(net, H, W, i, j).flatten()


@answers.reject("blind_spot", "other values than 0 and 1")
def returns_strengths(net, H, W, i, j):
    return causality.influence(net, torch.randn(1, 1, H, W))[i * W + j].view(H, W)


@answers.reject("blind_spot", "leaves gradients")
def uses_backward(net, H, W, i, j):
    x = torch.randn(4, 1, H, W, requires_grad=True)
    out = net(x)[:, :, i, j]
    (out @ torch.randn(out.shape[1])).sum().backward()
    return earlier_than(H, W, i, j) & ~(x.grad != 0).any(dim=0)[0]


@answers.reject("blind_spot", "Rows and columns are swapped")
def swaps_sizes(net, H, W, i, j):
    return from_the_package(net, W, H, j, i).T


# shift_and_pad


@answers.accept("shift_and_pad")
def two_slices(x, weight, kind):
    r, own = weight.shape[-1] // 2, int(kind == "B")
    above = F.conv2d(F.pad(x, (r, r, r, -1)), weight[:, :, :r])
    return above + F.conv2d(F.pad(x, (r, own - 1, 0, 0)), weight[:, :, r : r + 1, : r + own])


@answers.accept("shift_and_pad")
def pads_and_crops_by_hand(x, weight, kind):
    B, C, H, W = x.shape
    k = weight.shape[-1]
    r = k // 2
    up = torch.cat([torch.zeros(B, C, r, W), x], dim=2)
    above = F.conv2d(up, weight[:, :, :r], padding=(0, r))[:, :, :H]
    width = r + 1 if kind == "B" else r
    aside = torch.cat([torch.zeros(B, C, H, r), x], dim=3)
    left = F.conv2d(aside, weight[:, :, r : r + 1, :width])[..., :W]
    return above + left


@answers.accept("shift_and_pad")
def weight_by_weight(x, weight, kind):
    B, _, H, W = x.shape
    k = weight.shape[-1]
    r = k // 2
    padded, total = F.pad(x, (r, r, r, r)), torch.zeros(B, len(weight), H, W)
    for a, b in itertools.product(range(k), range(k)):
        if (a, b) < (r, r) or ((a, b) == (r, r) and kind == "B"):
            total += torch.einsum("bchw,oc->bohw", padded[:, :, a : a + H, b : b + W], weight[:, :, a, b])
    return total


@answers.accept("shift_and_pad")
def replaces_hidden_weights(x, weight, kind):
    mask = reference_mask(weight.shape[-1], kind)
    return F.conv2d(x, weight.masked_fill(~mask, 0), padding=weight.shape[-1] // 2)


@answers.accept("shift_and_pad")
def by_unfolding(x, weight, kind):
    k = weight.shape[-1]
    used = k * k // 2 + (kind == "B")  # the weights before the centre, and with mask B the centre
    places = F.unfold(x, k, padding=k // 2).unflatten(1, (x.shape[1], k * k))  # (B, C, k k, H W)
    out = torch.einsum("ocn,bcnp->bop", weight.flatten(2)[..., :used], places[:, :, :used])
    return out.unflatten(2, x.shape[2:])


@answers.accept("shift_and_pad")
def crops_the_outputs(x, weight, kind):
    H, W = x.shape[2:]
    r, own = weight.shape[-1] // 2, kind == "B"
    above = F.conv2d(x, weight[:, :, :r], padding=(r, r))[:, :, :H]
    return above + F.conv2d(x, weight[:, :, r : r + 1, : r + own], padding=(0, r))[..., :W]


@answers.reject("shift_and_pad", "A product with 0 does not remove NaN")
def multiplies_by_the_mask(x, weight, kind):
    return F.conv2d(x, weight * reference_mask(weight.shape[-1], kind), padding=weight.shape[-1] // 2)


@answers.reject("shift_and_pad", "near the edges it is not")
def repeats_the_edge(x, weight, kind):
    r = weight.shape[-1] // 2
    return two_slices(F.pad(x, (r, r, r, r), mode="replicate"), weight, kind)[:, :, r:-r, r:-r]


@answers.reject("shift_and_pad", "returns shape")
def swaps_the_pads(x, weight, kind):
    r, own = weight.shape[-1] // 2, int(kind == "B")
    above = F.conv2d(F.pad(x, (r, -1, r, r)), weight[:, :, :r])
    return above if own else above[..., :-1]


@answers.reject("shift_and_pad", "no gradient flows back to x and weight")
def detached(x, weight, kind):
    return two_slices(x.detach(), weight.detach(), kind)


@answers.reject("shift_and_pad", "gradient with respect to weight")
def half_of_the_kernel_detached(x, weight, kind):
    r, own = weight.shape[-1] // 2, int(kind == "B")
    above = F.conv2d(F.pad(x, (r, r, r, -1)), weight[:, :, :r])
    return above + F.conv2d(F.pad(x, (r, own - 1, 0, 0)), weight[:, :, r : r + 1, : r + own].detach())


@answers.reject("shift_and_pad", "raised")
def knows_3_by_3_only(x, weight, kind):
    above = F.conv2d(F.pad(x, (1, 1, 1, -1)), weight[:, :, :1])
    return above + F.conv2d(F.pad(x, (1, int(kind == "B") - 1, 0, 0)), weight[:, :, 1:2, : 1 + int(kind == "B")])


# layers_to_see


@answers.accept("layers_to_see")
def by_formula(up, right):
    return -1 if right > up or (up == 0 and right >= 0) else max(up, abs(right))


@answers.accept("layers_to_see")
def by_spreading(up, right):
    if right > up or (up == 0 and right >= 0):
        return -1
    seen = {(1, -1), (1, 0), (1, 1), (0, -1)}  # up, right
    for layers in itertools.count(1):
        if (up, right) in seen:
            return layers
        steps = [(1, -1), (1, 0), (1, 1), (0, -1), (0, 0)]
        corner = (max(up, 0), right)
        seen = {
            (a + u, b + d)
            for a, b in seen
            for u, d in steps
            if a + u <= corner[0] and (b + d >= corner[1] or b + d >= -abs(right))
        }


@answers.accept("layers_to_see")
def by_recursion(up, right):
    if up == 0:
        return -right if right < 0 else -1
    if right == 0:
        return float(up)
    if right > 0:
        return torch.tensor(-1) if right > up else torch.tensor(up)
    return np.maximum(up, -right)


@answers.reject("layers_to_see", "Wrong for a position that can be seen")
def five_layers_are_enough(up, right):
    return min(5, by_formula(up, right))


@answers.reject("layers_to_see", "you return None; -1")
def none_for_never(up, right):
    layers = by_formula(up, right)
    return layers if layers > 0 else None


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
