"""Right and wrong answers to the exercises of notebook 04."""

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.checks.registered import Answers
from vqvae_course.checks import chapter_04_three_losses as three_losses
from vqvae_course.checks import snippets
from vqvae_course.checks.answer import sheltered
from vqvae_course.quantize import VectorQuantizer, nearest_code, straight_through

answers = Answers()


# vq_losses


@answers.accept("vq_losses")
def by_the_book(z_e, codebook, beta):
    e_k = codebook[nearest_code(z_e, codebook)]
    codebook_loss = ((z_e.detach() - e_k) ** 2).mean()
    commitment_loss = ((z_e - e_k.detach()) ** 2).mean()
    z_q = z_e + (e_k - z_e).detach()
    return z_q, codebook_loss, commitment_loss, codebook_loss + beta * commitment_loss


@answers.accept("vq_losses")
def by_the_package(z_e, codebook, beta):
    quantizer = VectorQuantizer(*codebook.shape, beta=beta)
    del quantizer._parameters["codebook"]
    quantizer.codebook = codebook
    q = quantizer(z_e[:, :, None, None])
    return q.z_q[:, :, 0, 0], q.codebook_loss, q.commitment_loss, q.loss


class Losses(NamedTuple):
    z_q: Tensor
    codebook_loss: Tensor
    commitment_loss: Tensor
    loss: Tensor


@answers.accept("vq_losses")
def loop_in_a_named_tuple(z_e, codebook, beta):
    rows, codes, latents = [], 0.0, 0.0
    for z in z_e:
        e = min(codebook, key=lambda code: float((z - code).detach().square().sum()))
        codes = codes + (e - z.detach()).pow(2).sum()
        latents = latents + (e.detach() - z).pow(2).sum()
        rows.append(e.detach() + z - z.detach())
    n = z_e.numel()
    return Losses(torch.stack(rows), codes / n, latents / n, codes / n + beta * latents / n)


@answers.accept("vq_losses")
def one_hot_and_a_list(z_e, codebook, beta):
    with torch.no_grad():
        choice = torch.cdist(z_e, codebook).argmin(dim=1)
    e_k = F.one_hot(choice, len(codebook)).to(codebook.dtype) @ codebook
    first, second = F.mse_loss(e_k, z_e.detach()), F.mse_loss(z_e, e_k.detach())
    return [straight_through(z_e, e_k), first, second, torch.add(first, second, alpha=beta)]


class CopyBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z_e, e_k):
        return e_k.clone()

    @staticmethod
    def backward(ctx, back):
        return back, None


@answers.accept("vq_losses")
def own_autograd_function_and_einsum(z_e, codebook, beta):
    scores = torch.einsum("nd,kd->nk", z_e, codebook) - codebook.square().sum(dim=1) / 2
    e_k = codebook.index_select(0, scores.argmax(dim=1))
    away = (z_e.detach() - e_k).square().sum(dim=1).mean() / z_e.shape[1]
    home = (z_e - e_k.clone().detach()).square().sum(dim=1).mean() / z_e.shape[1]
    return CopyBack.apply(z_e, e_k), away, home, away + home * beta


def parts(z_e, codebook):
    e_k = codebook[nearest_code(z_e, codebook)]
    return e_k, F.mse_loss(e_k, z_e.detach()), F.mse_loss(z_e, e_k.detach()), straight_through(z_e, e_k)


@answers.reject("vq_losses", "β multiplies the codebook term")
def beta_on_the_codebook_term(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, beta * first + second


@answers.reject("vq_losses", "stop-gradients are swapped")
def stop_gradients_swapped(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, second, first, second + beta * first


@answers.reject("vq_losses", "no stop-gradient in the losses")
def no_stop_gradients(z_e, codebook, beta):
    e_k, *_, z_q = parts(z_e, codebook)
    square = F.mse_loss(e_k, z_e)
    return z_q, square, square, square + beta * square


@answers.reject("vq_losses", "before straight-through")
def losses_after_straight_through(z_e, codebook, beta):
    z_q = parts(z_e, codebook)[-1]
    first, second = F.mse_loss(z_q, z_e.detach()), F.mse_loss(z_q.detach(), z_e)
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "before straight-through")
def codebook_detached_from_the_start(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook.detach())
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "sum over all numbers")
def sum_for_mean(z_e, codebook, beta):
    e_k, *_, z_q = parts(z_e, codebook)
    first, second = ((e_k - z_e.detach()) ** 2).sum(), ((e_k.detach() - z_e) ** 2).sum()
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "sum over the D numbers")
def mean_over_latents_alone(z_e, codebook, beta):
    e_k, *_, z_q = parts(z_e, codebook)
    first = ((e_k - z_e.detach()) ** 2).sum(dim=1).mean()
    second = ((e_k.detach() - z_e) ** 2).sum(dim=1).mean()
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "square root too many")
def lengths_not_squared(z_e, codebook, beta):
    e_k, *_, z_q = parts(z_e, codebook)
    first, second = (e_k - z_e.detach()).norm(), (e_k.detach() - z_e).norm()
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "squared distance")
def absolute_differences(z_e, codebook, beta):
    e_k, *_, z_q = parts(z_e, codebook)
    first, second = F.l1_loss(e_k, z_e.detach()), F.l1_loss(e_k.detach(), z_e)
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "multiplied by β already")
def commitment_returned_with_beta(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, beta * second, first + beta * second


@answers.reject("vq_losses", "β is applied twice")
def beta_twice(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, first + beta * (beta * second)


@answers.reject("vq_losses", "β multiplies both terms")
def beta_on_both(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, beta * (first + second)


@answers.reject("vq_losses", "β does not occur")
def beta_forgotten(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, first + second


@answers.reject("vq_losses", "lacks the codebook term")
def as_for_an_ema_codebook(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, beta * second


@answers.reject("vq_losses", "never reaches the encoder")
def no_straight_through(z_e, codebook, beta):
    e_k, first, second, _ = parts(z_e, codebook)
    return e_k, first, second, first + beta * second


@answers.reject("vq_losses", "Nothing of the decoder's gradient")
def z_q_detached(z_e, codebook, beta):
    e_k, first, second, _ = parts(z_e, codebook)
    return e_k.detach(), first, second, first + beta * second


@answers.reject("vq_losses", "flows into the codebook as well")
def detached_too_little(z_e, codebook, beta):
    e_k, first, second, _ = parts(z_e, codebook)
    return z_e + e_k - z_e.detach(), first, second, first + beta * second


@answers.reject("vq_losses", "nothing has been quantized")
def latents_passed_on(z_e, codebook, beta):
    _, first, second, _ = parts(z_e, codebook)
    return z_e, first, second, first + beta * second


@answers.reject("vq_losses", "no rows of the codebook")
def straight_through_with_the_wrong_sign(z_e, codebook, beta):
    e_k, first, second, _ = parts(z_e, codebook)
    return z_e + (z_e - e_k).detach(), first, second, first + beta * second


@answers.reject("vq_losses", "farthest away")
def argmax_of_distances(z_e, codebook, beta):
    e_k = codebook[torch.cdist(z_e, codebook).argmax(dim=1)]
    first, second = F.mse_loss(e_k, z_e.detach()), F.mse_loss(z_e, e_k.detach())
    return straight_through(z_e, e_k), first, second, first + beta * second


@answers.reject("vq_losses", "Not every latent gets its nearest code")
def argmax_of_products(z_e, codebook, beta):
    e_k = codebook[(z_e @ codebook.T).argmax(dim=1)]
    first, second = F.mse_loss(e_k, z_e.detach()), F.mse_loss(z_e, e_k.detach())
    return straight_through(z_e, e_k), first, second, first + beta * second


@answers.reject("vq_losses", "codebook_loss is 0")
def compares_the_code_with_itself(z_e, codebook, beta):
    e_k, _, _, z_q = parts(z_e, codebook)
    first, second = F.mse_loss(z_q, e_k), F.mse_loss(z_q.detach(), z_e)
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "through which no gradient can flow")
def plain_numbers(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first.item(), second.item(), first + beta * second


@answers.reject("vq_losses", "both ends stand inside detach()")
def without_gradients(z_e, codebook, beta):
    z_q = parts(z_e, codebook)[-1]
    with torch.no_grad():
        _, first, second, _ = parts(z_e, codebook)
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "pull at the same end")
def both_detach_the_latents(z_e, codebook, beta):
    e_k, first, _, z_q = parts(z_e, codebook)
    second = F.mse_loss(e_k, z_e.detach())
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "pulls at the latents")
def codebook_term_not_detached(z_e, codebook, beta):
    e_k, _, second, z_q = parts(z_e, codebook)
    first = F.mse_loss(e_k, z_e)
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "something constant is added")
def sum_partly_detached(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, first + beta * second + first.detach()


@answers.reject("vq_losses", "β and 1 - β")
def convex_combination(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, (1 - beta) * first + beta * second


@answers.reject("vq_losses", "commitment term with 1 - β")
def commitment_with_the_rest(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, first + (1 - beta) * second


@answers.reject("vq_losses", "is halved")
def mean_of_the_two_terms(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, (first + beta * second) / 2


@answers.reject("vq_losses", "pulls at both ends with the same force")
def sum_from_an_unsplit_distance(z_e, codebook, beta):
    e_k, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, (1 + beta) * F.mse_loss(z_e, e_k)


@answers.reject("vq_losses", "pulls at the latents alone")
def one_value_for_both_terms(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, (1 + beta) * second


@answers.reject("vq_losses", "pulls at the codes alone")
def commitment_detached_in_the_sum(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, first + beta * second.detach()


@answers.reject("vq_losses", "stand in each other's place")
def commitment_returned_first(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, second, first, first + beta * second


@answers.reject("vq_losses", "has the value of the whole sum")
def the_sum_second(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first + beta * second, first, second


@answers.reject("vq_losses", "whose value should the decoder see")
def straight_through_the_wrong_way_round(z_e, codebook, beta):
    e_k, first, second, _ = parts(z_e, codebook)
    return e_k + (z_e - e_k).detach(), first, second, first + beta * second


@answers.reject("vq_losses", "what comes out?")
def softmax_for_the_nearest(z_e, codebook, beta):
    mixed = (-torch.cdist(z_e, codebook)).softmax(dim=1) @ codebook
    first, second = F.mse_loss(mixed, z_e.detach()), F.mse_loss(mixed.detach(), z_e)
    return straight_through(z_e, mixed), first, second, first + beta * second


@answers.reject("vq_losses", "Four values are asked for; 2 came back")
def z_q_and_the_sum(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first + beta * second


@answers.reject("vq_losses", "another order")
def the_sum_first(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return first + beta * second, first, second, z_q


@answers.reject("vq_losses", "a scalar is asked for")
def no_mean_at_all(z_e, codebook, beta):
    e_k, *_, z_q = parts(z_e, codebook)
    first, second = (e_k - z_e.detach()) ** 2, (e_k.detach() - z_e) ** 2
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "0.25 is built in")
def beta_built_in(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, first + 0.25 * second


@answers.reject("vq_losses", "the derivative 1 - 1")
def commitment_from_z_q(z_e, codebook, beta):
    _, first, _, z_q = parts(z_e, codebook)
    second = F.mse_loss(z_e, z_q)
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "½ too many")
def half_of_each(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first / 2, second / 2, (first + beta * second) / 2


@answers.reject("vq_losses", "is subtracted")
def commitment_subtracted(z_e, codebook, beta):
    _, first, second, z_q = parts(z_e, codebook)
    return z_q, first, second, first - beta * second


@answers.reject("vq_losses", "mean squared distance")
def distances_to_all_codes(z_e, codebook, beta):
    z_q = parts(z_e, codebook)[-1]
    first = ((z_e.detach()[:, None] - codebook) ** 2).mean()
    second = ((z_e[:, None] - codebook.detach()) ** 2).mean()
    return z_q, first, second, first + beta * second


@answers.reject("vq_losses", "changes the precision")
def always_float32(z_e, codebook, beta):
    return by_the_book(z_e.float(), codebook.float(), beta)


@answers.accept("vq_losses")
def commitment_from_z_q_detached(z_e, codebook, beta):
    e_k, first, _, z_q = parts(z_e, codebook)
    second = F.mse_loss(z_e, z_q.detach())
    return z_e + (e_k.data - z_e.data), first, second, first + beta * second


@answers.reject("vq_losses", "calls backward()")
def trains_on_its_own(z_e, codebook, beta):
    result = by_the_book(z_e, codebook, beta)
    result[3].backward(retain_graph=True)
    return result


# gradient_table

RIGHT = {variant: three_losses.reached(variant) for variant in three_losses.VARIANTS}


@answers.accept("gradient_table")
def four_sets(variant):
    derived = {
        ("encoder", "reconstruction"),
        ("decoder", "reconstruction"),
        ("codebook", "codebook"),
        ("encoder", "commitment"),
    }
    return {
        "as derived": derived,
        "no straight-through": derived - {("encoder", "reconstruction")} | {("codebook", "reconstruction")},
        "no stop-gradients": derived | {("encoder", "codebook"), ("codebook", "commitment")},
        "too late": derived - {("codebook", "codebook")} | {("encoder", "codebook")},
    }[variant]


@answers.accept("gradient_table")
def as_a_dictionary_of_truths(variant):
    return {
        (part, term): (part, term) in four_sets(variant) for part in three_losses.PARTS for term in three_losses.TERMS
    }


@answers.accept("gradient_table")
def as_a_list_of_lists(variant):
    return [list(pair) for pair in sorted(four_sets(variant))]


@answers.accept("gradient_table")
def measured_with_autograd(variant):
    z_e, codebook = torch.randn(9, 2, requires_grad=True), torch.randn(3, 2, requires_grad=True)
    decoder = torch.randn(2, requires_grad=True)
    e_k = codebook[nearest_code(z_e, codebook)]
    z_q = e_k if variant == "no straight-through" else z_e + (e_k - z_e).detach()
    code = z_q if variant == "too late" else e_k
    stop = (lambda t: t) if variant == "no stop-gradients" else torch.detach
    losses = {
        "reconstruction": ((z_q * decoder - 1) ** 2).sum(),
        "codebook": ((stop(z_e) - code) ** 2).sum(),
        "commitment": ((z_e - stop(code)) ** 2).sum(),
    }
    ends, found = {"encoder": z_e, "codebook": codebook, "decoder": decoder}, set()
    for term, loss in losses.items():
        gradients = torch.autograd.grad(loss, list(ends.values()), allow_unused=True, retain_graph=True)
        found |= {(part, term) for part, g in zip(ends, gradients, strict=True) if g is not None}
    return found


def changed(variant, at, *, add=(), drop=()):
    return (RIGHT[variant] | set(add)) - set(drop) if variant == at else RIGHT[variant]


@answers.reject("gradient_table", "Where in z_q does the code stand")
def reconstruction_trains_the_codebook(variant):
    return changed(variant, "as derived", add=[("codebook", "reconstruction")])


@answers.reject("gradient_table", "Is there another one in z_q?")
def encoder_gets_no_reconstruction(variant):
    return changed(variant, "as derived", drop=[("encoder", "reconstruction")])


@answers.reject("gradient_table", "what the decoder makes of z_q")
def decoder_gets_nothing(variant):
    return changed(variant, "as derived", drop=[("decoder", "reconstruction")])


@answers.reject("gradient_table", "the encoder is reached by the codebook term. Which of the two ends")
def codebook_term_moves_the_encoder(variant):
    return changed(variant, "as derived", add=[("encoder", "codebook")])


@answers.reject("gradient_table", "the codebook is reached by the commitment term. Which of the two ends")
def commitment_moves_the_codebook(variant):
    return changed(variant, "as derived", add=[("codebook", "commitment")])


@answers.reject("gradient_table", "the codebook is not reached by the codebook term. e_k is a row")
def nothing_moves_the_codebook(variant):
    return changed(variant, "as derived", drop=[("codebook", "codebook")])


@answers.reject("gradient_table", "the encoder is not reached by the commitment term. Which of the two ends")
def nothing_holds_the_encoder(variant):
    return changed(variant, "as derived", drop=[("encoder", "commitment")])


@answers.reject("gradient_table", "Which of the decoder's weights")
def decoder_gets_everything(variant):
    return changed(variant, "as derived", add=[("decoder", term) for term in three_losses.TERMS])


@answers.reject("gradient_table", "derivative of an argmin")
def gradient_through_the_choice(variant):
    return changed(variant, "no straight-through", add=[("encoder", "reconstruction")])


@answers.reject("gradient_table", '"no straight-through": you say that the codebook is not reached')
def the_lookup_stops_gradients(variant):
    return changed(variant, "no straight-through", drop=[("codebook", "reconstruction")])


@answers.reject("gradient_table", "when either of its ends moves")
def without_stop_gradients_the_same(variant):
    return RIGHT["as derived" if variant == "no stop-gradients" else variant]


@answers.reject("gradient_table", "straight-through still has its own")
def without_stop_gradients_everything(variant):
    return changed(variant, "no stop-gradients", add=[("codebook", "reconstruction")])


@answers.reject("gradient_table", "z_q is a function too")
def too_late_the_encoder_is_safe(variant):
    return changed(variant, "too late", drop=[("encoder", "codebook")])


@answers.reject("gradient_table", "Follow the code back")
def too_late_makes_no_difference(variant):
    return RIGHT["as derived"] | {("encoder", "codebook")} if variant == "too late" else RIGHT[variant]


@answers.reject("gradient_table", "derivative of an argmin")
def one_table_for_all(variant):
    return RIGHT["as derived"]


@answers.reject("gradient_table", "wrong way round")
def term_before_part(variant):
    return {(term, part) for part, term in RIGHT[variant]}


@answers.reject("gradient_table", "A set of pairs")
def as_a_text(variant):
    return "the encoder gets the reconstruction and the commitment"


@answers.reject("gradient_table", "should be a pair")
def one_flat_set(variant):
    return {"encoder", "codebook"}


@answers.reject("gradient_table", "is no pair of a part")
def terms_by_symbol(variant):
    return {("encoder", "beta")}


# rescale_beta


@answers.accept("rescale_beta")
def over_the_square(scale, beta=0.25):
    return beta / scale**2


@answers.accept("rescale_beta")
def step_by_step(scale, beta=0.25):
    for _ in range(2):
        beta /= scale
    return beta


@answers.accept("rescale_beta")
def measured_on_a_model(scale, beta=0.25):
    def pull(factor):
        u = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        e = torch.tensor([0.5, 1.0], dtype=torch.float64)
        (gradient,) = torch.autograd.grad(((factor * u - factor * e) ** 2).mean(), u)
        return gradient.norm()

    return beta * pull(1.0) / pull(scale)


@answers.reject("rescale_beta", "as seen from the encoder's weights")
def a_difference(scale, beta=0.25):
    return beta - scale**2


# who_feels_beta


@answers.accept("who_feels_beta")
def by_autograd(quantize):
    z_e, codebook = torch.randn(20, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)

    def gradients(beta):
        found = torch.autograd.grad(quantize(z_e, codebook, beta)[1], [z_e, codebook], allow_unused=True)
        return [torch.zeros(1) if g is None else g for g in found]

    pairs = zip(("encoder", "codebook"), gradients(0.25), gradients(0.75), strict=True)
    return {name for name, a, b in pairs if not torch.allclose(a, b)}


@answers.accept("who_feels_beta")
def by_backward_in_float64(quantize):
    lengths = []
    for beta in (0.0, 1.5):
        z_e = torch.linspace(-2, 3, 28, dtype=torch.float64).sin().view(7, 4).requires_grad_()
        codebook = torch.nn.Parameter(torch.linspace(0, 5, 12, dtype=torch.float64).cos().view(3, 4))
        quantize(z_e, codebook, beta)[1].backward()
        lengths.append([0.0 if t.grad is None else float(t.grad.norm()) for t in (z_e, codebook)])
    names = ["encoder", "codebook"]
    return [name for name, a, b in zip(names, *lengths, strict=True) if abs(a - b) > 1e-9]


@answers.accept("who_feels_beta")
def by_differentiating_the_gradient(quantize):
    z_e, codebook = torch.randn(9, 2, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    beta, feels = torch.tensor(0.3, requires_grad=True), set()
    for name, end in (("encoder", z_e), ("codebook", codebook)):
        loss = quantize(z_e, codebook, beta)[1]
        (g,) = torch.autograd.grad(loss, end, create_graph=True, allow_unused=True)
        if g is not None and g.requires_grad:
            (change,) = torch.autograd.grad(g.norm(), beta, allow_unused=True)
            if change is not None and abs(float(change)) > 1e-6:
                feels.add(name)
    return feels


@answers.accept("who_feels_beta")
def one_latent_one_code(quantize):
    z_e, codebook = torch.ones(1, 1, requires_grad=True), torch.zeros(1, 1, requires_grad=True)
    g = [torch.func.grad(lambda *ends, b=b: quantize(*ends, b)[1], argnums=(0, 1))(z_e, codebook) for b in (1.0, 3.0)]
    return frozenset(n for n, a, b in zip(("encoder", "codebook"), *g, strict=True) if not torch.equal(a, b))


def two_gradients(quantize, first=0.25, second=0.75):
    torch.set_grad_enabled(True)
    z_e, codebook = torch.randn(20, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    found = []
    for beta in (first, second):
        g = torch.autograd.grad(quantize(z_e, codebook, beta)[1], [z_e, codebook], allow_unused=True)
        found.append([torch.zeros(1) if end is None else end for end in g])
    return found


@answers.reject("who_feels_beta", "values are compared")
def compares_values(quantize):
    z_e, codebook = torch.randn(20, 3), torch.randn(5, 3)
    different = quantize(z_e, codebook, 0.25)[1] != quantize(z_e, codebook, 0.75)[1]
    return {"encoder", "codebook"} if different else set()


@answers.reject("who_feels_beta", "confuses the two ends")
def names_confused(quantize):
    return {{"encoder": "codebook", "codebook": "encoder"}[name] for name in by_autograd(quantize)}


@answers.reject("who_feels_beta", "does not use β")
def takes_the_encoder_for_granted(quantize):
    return by_autograd(quantize) | {"encoder"}


@answers.reject("who_feels_beta", "every end that receives a gradient")
def other_latents_in_the_second_call(quantize):
    pairs = zip(("encoder", "codebook"), two_gradients(quantize)[0], two_gradients(quantize)[1], strict=True)
    return {name for name, a, b in pairs if not torch.allclose(a, b)}


@answers.reject("who_feels_beta", "always reports both ends")
def both_ends_always(quantize):
    return ["encoder", "codebook"]


@answers.reject("who_feels_beta", "adds to what .grad holds already")
def gradients_pile_up(quantize):
    z_e, codebook = torch.randn(20, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    found = []
    for beta in (0.25, 0.75):
        quantize(z_e, codebook, beta)[1].backward()
        found.append([torch.zeros(1) if t.grad is None else t.grad.clone() for t in (z_e, codebook)])
    return {n for n, a, b in zip(("encoder", "codebook"), *found, strict=True) if not torch.allclose(a, b)}


@answers.reject("who_feels_beta", "never finds anything")
def latents_on_their_codes(quantize):
    codebook = torch.randn(5, 3, requires_grad=True)
    z_e = codebook.detach().clone().requires_grad_()
    found = []
    for beta in (0.25, 0.75):
        g = torch.autograd.grad(quantize(z_e, codebook, beta)[1], [z_e, codebook], allow_unused=True)
        found.append([torch.zeros(1) if end is None else end for end in g])
    return {n for n, a, b in zip(("encoder", "codebook"), *found, strict=True) if not torch.allclose(a, b)}


@answers.reject("who_feels_beta", "never finds anything")
def the_same_beta_twice(quantize):
    pairs = zip(("encoder", "codebook"), *two_gradients(quantize, 0.5, 0.5), strict=True)
    return {name for name, a, b in pairs if not torch.allclose(a, b)}


@answers.reject("who_feels_beta", "whose gradient changes")
def who_gets_any_gradient(quantize):
    pairs = zip(("encoder", "codebook"), two_gradients(quantize)[0], strict=True)
    return {name for name, g in pairs if g.any()}


@answers.reject("who_feels_beta", "not whether they double or vanish")
def looks_for_doubling(quantize):
    pairs = zip(("encoder", "codebook"), *two_gradients(quantize, 0.3, 0.6), strict=True)
    return {name for name, a, b in pairs if a.any() and torch.allclose(2 * a, b)}


@answers.reject("who_feels_beta", "allow_unused=True")
def refuses_unused(quantize):
    z_e, codebook = torch.randn(20, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    a, b = (torch.autograd.grad(quantize(z_e, codebook, beta)[1], [z_e, codebook]) for beta in (0.25, 0.75))
    return {n for n, p, q in zip(("encoder", "codebook"), a, b, strict=True) if not torch.allclose(p, q)}


@answers.reject("who_feels_beta", "Treat None as zero")
def stumbles_over_none(quantize):
    z_e, codebook = torch.randn(20, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    found = []
    for beta in (0.25, 0.75):
        z_e.grad = codebook.grad = None
        quantize(z_e, codebook, beta)[1].backward()
        found.append((z_e.grad.norm(), codebook.grad.norm()))
    return {n for n, a, b in zip(("encoder", "codebook"), *found, strict=True) if not torch.isclose(a, b)}


@answers.reject("who_feels_beta", "that autograd does not follow")
def codebook_without_gradient(quantize):
    z_e, codebook = torch.randn(20, 3, requires_grad=True), torch.randn(5, 3)
    a, b = (torch.autograd.grad(quantize(z_e, codebook, beta)[1], [z_e, codebook]) for beta in (0.25, 0.75))
    return {n for n, p, q in zip(("encoder", "codebook"), a, b, strict=True) if not torch.allclose(p, q)}


@answers.reject("who_feels_beta", "the very .grad that you kept")
def keeps_the_gradient_without_a_copy(quantize):
    z_e, codebook = torch.randn(20, 3, requires_grad=True), torch.zeros(5, 3, requires_grad=True)
    found = []
    for beta in (0.25, 0.75):
        torch.optim.SGD([z_e, codebook]).zero_grad(set_to_none=False)
        quantize(z_e, codebook, beta)[1].backward()
        found.append([torch.zeros(1) if t.grad is None else t.grad for t in (z_e, codebook)])
    return {n for n, p, q in zip(("encoder", "codebook"), *found, strict=True) if not torch.allclose(p, q)}


@answers.reject("who_feels_beta", "wrong about a quantizer with β on the codebook term: it misses the codebook")
def only_looks_at_the_encoder(quantize):
    return by_autograd(quantize) & {"encoder"}


@answers.reject("who_feels_beta", "may swallow them")
def tolerance_too_wide(quantize):
    z_e, codebook = torch.randn(2000, 64, requires_grad=True), torch.randn(512, 64, requires_grad=True)
    found = []
    for beta in (0.25, 0.75):
        g = torch.autograd.grad(quantize(z_e, codebook, beta)[1], [z_e, codebook], allow_unused=True)
        found.append([torch.zeros(1) if end is None else end for end in g])
    names = ("encoder", "codebook")
    return {n for n, a, b in zip(names, *found, strict=True) if not torch.allclose(a, b, atol=1e-4)}


@answers.reject("who_feels_beta", 'The names are "encoder" and "codebook"')
def other_names(quantize):
    return {"z_e"} if by_autograd(quantize) else set()


@answers.reject("who_feels_beta", "A set of names")
def yes_or_no(quantize):
    return by_autograd(quantize) == {"encoder"}


@answers.reject("who_feels_beta", "(N, D) and (K, D) are agreed on")
def feature_maps(quantize):
    z_e, codebook = torch.randn(2, 3, 4, 5, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    quantize(z_e, codebook, 0.25)
    return set()


@answers.reject("who_feels_beta", "same answer for every quantizer")
def only_knows_the_right_one(quantize):
    return {"encoder"}


# is_this_a_bug

VERDICT = {"a": "beta on the codebook term", "b": "right", "c": "losses after straight-through"}


@answers.accept("is_this_a_bug")
def from_a_table(snippet):
    return VERDICT[snippet]


@answers.accept("is_this_a_bug")
def by_running_it(snippet):
    space = {"torch": torch, "F": F}
    exec(snippets.SNIPPETS[snippet], space)
    feels = by_autograd(space["quantize"])
    z_e, codebook = torch.randn(20, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    loss = space["quantize"](z_e, codebook, 0.25)[1]
    if torch.autograd.grad(loss, codebook, allow_unused=True)[0] is None:
        return "losses after straight-through"
    return "right" if feels == {"encoder"} else "beta on the codebook term"


@answers.accept("is_this_a_bug")
def in_a_one_tuple_with_spaces(snippet):
    return (VERDICT[snippet] + " ",)


def mistaken(snippet, at, verdict):
    return verdict if snippet == at else VERDICT[snippet]


@answers.reject("is_this_a_bug", "only the one at the latents should change")
def trusts_a(snippet):
    return mistaken(snippet, "a", "right")


@answers.reject("is_this_a_bug", "Set β to 0")
def misses_stop_gradients_in_a(snippet):
    return mistaken(snippet, "a", "no stop-gradients")


@answers.reject("is_this_a_bug", "there is nothing to find")
def takes_a_for_too_late(snippet):
    return mistaken(snippet, "a", "losses after straight-through")


@answers.reject("is_this_a_bug", "codebook[nearest_code(z_e, codebook)]")
def stumbles_over_the_argmax_of_b(snippet):
    return mistaken(snippet, "b", "not the nearest code")


@answers.reject("is_this_a_bug", "with respect to the latents")
def does_not_know_straight_through_in_another_order(snippet):
    return mistaken(snippet, "b", "no straight-through")


@answers.reject("is_this_a_bug", 'Snippet b fails the test for "beta on the codebook term"')
def misled_by_the_names_of_b(snippet):
    return mistaken(snippet, "b", "beta on the codebook term")


@answers.reject("is_this_a_bug", 'Snippet c fails the test for "right"')
def trusts_c(snippet):
    return mistaken(snippet, "c", "right")


@answers.reject("is_this_a_bug", "with respect to the codebook. Is there anything?")
def codebook_by_reconstruction_in_c(snippet):
    return mistaken(snippet, "c", "reconstruction trains the codebook")


@answers.reject("is_this_a_bug", "bare yes or no")
def a_truth_value(snippet):
    return snippet != "b"


@answers.reject("is_this_a_bug", "none of the verdicts")
def own_words(snippet):
    return "the beta is wrong"


@answers.reject("is_this_a_bug", "A verdict is a string")
def a_number(snippet):
    return 1


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()


@pytest.mark.parametrize("snippet", VERDICT)
def test_the_snippets_run_and_have_nearest_codes_as_values(snippet):
    space = {"torch": torch, "F": F}
    exec(snippets.SNIPPETS[snippet], space)
    z_e, codebook = torch.randn(7, 3), torch.randn(5, 3)
    z_q, loss = space["quantize"](z_e, codebook, 0.25)
    e_k = codebook[nearest_code(z_e, codebook)]
    assert torch.allclose(z_q, e_k, atol=1e-6)
    assert torch.allclose(loss, 1.25 * F.mse_loss(z_e, e_k))
    assert by_running_it(snippet) == VERDICT[snippet]


def test_every_entry_of_the_gradient_tables_has_an_explanation():
    for part in three_losses.PARTS:
        for term in three_losses.TERMS:
            assert (part, term) in three_losses._WHY


def test_the_suspects_are_what_they_are_called():
    with sheltered():
        for quantize, feels in three_losses._SUSPECTS.values():
            assert by_autograd(quantize) == feels
