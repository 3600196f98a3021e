"""Right and wrong answers to the exercises of notebook 03."""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.checks.registered import Answers
from vqvae_course import quantize

answers = Answers()


# straight_through


@answers.accept("straight_through")
def one_line(z_e, e_k):
    return z_e + (e_k - z_e).detach()


@answers.accept("straight_through")
def exact_to_the_last_bit(z_e, e_k):
    return e_k.detach() + (z_e - z_e.detach())


@answers.accept("straight_through")
def each_part_detached(z_e, e_k):
    return z_e - z_e.detach() + e_k.detach()


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z_e, e_k):
        return e_k.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@answers.accept("straight_through")
def by_a_function_of_its_own(z_e, e_k):
    return _Copy.apply(z_e, e_k)


class _CopyAsItIs(_Copy):
    @staticmethod
    def forward(ctx, z_e, e_k):
        return e_k

    @staticmethod
    def backward(ctx, gradient):
        return gradient, torch.zeros_like(gradient)


@answers.accept("straight_through")
def by_a_function_that_returns_zeros_for_the_codes(z_e, e_k):
    return _CopyAsItIs.apply(z_e, e_k)


@answers.accept("straight_through")
def constant_made_without_gradients(z_e, e_k):
    with torch.no_grad():
        way = e_k - z_e
    return torch.add(z_e, way)


@answers.accept("straight_through")
def values_exchanged_behind_the_back_of_autograd(z_e, e_k):
    z_q = z_e.clone()
    z_q.data.copy_(e_k)
    return z_q


@answers.accept("straight_through")
def in_place_on_a_copy(z_e, e_k):
    z_q = z_e.clone()
    z_q += (e_k - z_e).detach()
    return z_q


@answers.accept("straight_through")
def in_double_precision_and_back(z_e, e_k):
    return one_line(z_e.double(), e_k.double()).to(z_e.dtype)


@answers.accept("straight_through")
def the_package(z_e, e_k):
    return quantize.straight_through(z_e, e_k)


@answers.reject("straight_through", "all of the gradient goes into e_k")
def returns_the_codes(z_e, e_k):
    return e_k


@answers.reject("straight_through", "all of the gradient goes into e_k")
def only_the_latents_detached(z_e, e_k):
    return z_e.detach() + e_k - z_e.detach()


@answers.reject("straight_through", "This is the value of z_e")
def returns_the_latents(z_e, e_k):
    return z_e


@answers.reject("straight_through", "cut off from everything")
def detaches_everything(z_e, e_k):
    return (z_e + (e_k - z_e)).detach()


@answers.reject("straight_through", "cut off from everything")
def returns_detached_codes(z_e, e_k):
    return e_k.detach()


@answers.reject("straight_through", "cut off from everything")
@torch.no_grad()
def under_no_grad(z_e, e_k):
    return z_e + (e_k - z_e)


@answers.reject("straight_through", "cut off from everything")
def through_numpy(z_e, e_k):
    return torch.from_numpy(e_k.detach().numpy())


@answers.reject("straight_through", "cut off from everything")
def a_fresh_leaf(z_e, e_k):
    return e_k.detach().clone()


@answers.reject("straight_through", "z_e is not in the formula where autograd")
def codes_on_a_fresh_leaf(z_e, e_k):
    return (z_e.detach() + (e_k - z_e.detach())).clone()


@answers.reject("straight_through", "the codes get all of it")
def no_stop_gradient(z_e, e_k):
    return z_e + (e_k - z_e)


@answers.reject("straight_through", "the codes get all of it")
def latents_kept_in_the_graph_only(z_e, e_k):
    return e_k + 0 * z_e


@answers.reject("straight_through", "all that is outside of it cancels")
def only_the_code_detached(z_e, e_k):
    return z_e + (e_k.detach() - z_e)


@answers.reject("straight_through", "but not under torch.no_grad(). This is the value of z_e")
def latents_themselves_in_an_evaluation(z_e, e_k):
    return one_line(z_e, e_k) if torch.is_grad_enabled() else z_e


@answers.reject("straight_through", "but not under torch.no_grad(). Your function raised")
def by_a_hook_on_the_latents(z_e, e_k):
    z_e.register_hook(lambda gradient: gradient)
    return one_line(z_e, e_k)


@answers.reject("straight_through", "e_k gets one as well")
def codebook_learns_too(z_e, e_k):
    return z_e + e_k - z_e.detach()


class _ToBoth(_Copy):
    @staticmethod
    def backward(ctx, gradient):
        return gradient, gradient


@answers.reject("straight_through", "e_k gets one as well")
def function_hands_it_to_both(z_e, e_k):
    return _ToBoth.apply(z_e, e_k)


@answers.reject("straight_through", "around the z_e that is added")
def wrong_part_detached(z_e, e_k):
    return z_e.detach() + (e_k - z_e)


@answers.reject("straight_through", "sign turned")
def uphill(z_e, e_k):
    return (e_k + z_e).detach() - z_e


@answers.reject("straight_through", "changed places")
def arguments_swapped(z_e, e_k):
    return e_k + (z_e - e_k).detach()


@answers.reject("straight_through", "wrong way round: the value is 2 z_e - e_k")
def difference_the_wrong_way_round(z_e, e_k):
    return z_e + (z_e - e_k).detach()


@answers.reject("straight_through", "added to the code")
def added_to_the_code(z_e, e_k):
    return e_k + (e_k - z_e).detach()


@answers.reject("straight_through", "z_e + e_k")
def nothing_taken_away(z_e, e_k):
    return z_e + e_k.detach()


@answers.reject("straight_through", "latent itself is missing")
def only_the_difference(z_e, e_k):
    return (e_k - z_e).detach()


@answers.reject("straight_through", "halfway")
def mean_of_both(z_e, e_k):
    return (z_e + e_k) / 2


@answers.reject("straight_through", "2 times")
def gradient_doubled(z_e, e_k):
    return 2 * z_e + (e_k - 2 * z_e).detach()


@answers.reject("straight_through", "scaled, mixed or lost")
def a_factor_instead_of_a_summand(z_e, e_k):
    return z_e * (e_k / z_e).detach()


@answers.reject("straight_through", "0.5 times")
def half_the_gradient(z_e, e_k):
    return z_e / 2 + (e_k - z_e / 2).detach()


@answers.reject("straight_through", "scaled, mixed or lost")
def gradient_clipped(z_e, e_k):
    inside = z_e.clamp(-0.3, 0.3)
    return inside + (e_k - inside).detach()


@answers.reject("straight_through", "scaled, mixed or lost")
def steep_gradient_clipped(z_e, e_k):
    z_q = one_line(z_e, e_k)
    if z_q.requires_grad:
        z_q.register_hook(lambda gradient: gradient.clamp(-10, 10))
    return z_q


@answers.reject("straight_through", "does not know z_e")
def a_graph_of_its_own(z_e, e_k):
    return e_k.detach().requires_grad_()


@answers.reject("straight_through", "calls backward() itself")
def calls_backward(z_e, e_k):
    z_q = z_e + (e_k - z_e).detach()
    if z_q.requires_grad:
        z_q.sum().backward(retain_graph=True)
    return z_q


@answers.reject("straight_through", "into torch.float32")
def always_single_precision(z_e, e_k):
    return z_e.float() + (e_k - z_e).detach().float()


@answers.reject("straight_through", "a torch tensor is asked for")
def returns_both(z_e, e_k):
    return z_e, e_k.detach()


@answers.reject("straight_through", "in place")
def overwrites_the_latents(z_e, e_k):
    z_e.data.copy_(e_k)
    return z_e


@answers.reject("straight_through", "for this input (2, 3, 4, 6) is asked for")
def flattened(z_e, e_k):
    return (z_e + (e_k - z_e).detach()).flatten(1) if z_e.ndim > 1 else z_e + (e_k - z_e).detach()


# RoundSTE


class _Function(torch.autograd.Function):
    """The right answer, to be spoiled below."""

    @staticmethod
    def forward(ctx, x, step):
        return (x / step).round() * step

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@answers.accept("RoundSTE")
class ByRound(_Function):
    pass


@answers.accept("RoundSTE")
class HalfwayUp(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return torch.floor(x / step + 0.5) * step

    @staticmethod
    def backward(ctx, gradient):
        return gradient.clone(), None


@answers.accept("RoundSTE")
class ByRemainder(_Function):
    @staticmethod
    def forward(ctx, x, step):
        rest = torch.remainder(x, step)
        return torch.where(rest < step / 2, x - rest, x - rest + step)

    @staticmethod
    def backward(ctx, *gradients):
        (gradient,) = gradients
        return 1.0 * gradient, None


@answers.accept("RoundSTE")
class WithSetupContext(torch.autograd.Function):
    @staticmethod
    def forward(x, step):
        return torch.round(x / step).mul(step)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.step = inputs[1]

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@answers.accept("RoundSTE")
class ByNumpy(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return torch.from_numpy(np.rint(x.detach().numpy() / step) * step).to(x.dtype)


@answers.accept("RoundSTE")
class InPlaceOnACopy(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return x.clone().div_(step).round_().mul_(step)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None, None  # torch forgives a None too many


@answers.accept("RoundSTE")
class NumberByNumber(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return torch.tensor([round(v / step) * step for v in x.flatten().tolist()], dtype=x.dtype).view(x.shape)


@answers.accept("RoundSTE")
class SignTimesRoundedSize(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return ((x / step).abs() + 0.5).floor() * x.sign() * step


@answers.reject("RoundSTE", "returns a gradient for step")
class ZeroForTheStep(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return gradient, 0.0


@answers.reject("RoundSTE", "wrong arguments")
class BackwardWantsTheStep(_Function):
    @staticmethod
    def backward(ctx, gradient, step):
        return gradient, None


@answers.reject("RoundSTE", "has not the shape of x")
class SumOfTheGradient(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return gradient.sum(), None


@answers.reject("RoundSTE", "multiplied by 0.5")
class Halved(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return gradient / 2, None


@answers.reject("RoundSTE", "gradient is 0")
class TrueSlope(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return torch.zeros_like(gradient), None


@answers.reject("RoundSTE", "one gradient for each of them")
class ForgetsTheStep(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return gradient


@answers.reject("RoundSTE", "returns a gradient for step")
class GradientForTheStep(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return gradient, gradient.sum()


@answers.reject("RoundSTE", "multiply the gradient by the step")
class TimesStep(_Function):
    @staticmethod
    def forward(ctx, x, step):
        ctx.step = step
        return (x / step).round() * step

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.step, None


@answers.reject("RoundSTE", "divide the gradient by the step")
class OverStep(TimesStep):
    @staticmethod
    def backward(ctx, gradient):
        return gradient / ctx.step, None


@answers.reject("RoundSTE", "thrown away")
class SlopeOne(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return torch.ones_like(gradient), None


@answers.reject("RoundSTE", "do not multiply by the step again")
class InSteps(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return (x / step).round()


@answers.reject("RoundSTE", "ignore the step")
class WholeNumbers(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return x.round()


@answers.reject("RoundSTE", "always round down")
class Floor(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return x // step * step


@answers.reject("RoundSTE", "cut off towards 0")
class Truncated(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return (x / step).long().to(x.dtype) * step


@answers.reject("RoundSTE", "positive numbers only")
class HalfAddedAndCutOff(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return (x / step + 0.5).trunc() * step


@answers.reject("RoundSTE", "the middle between two multiples")
class MiddleOfTheStep(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return (x / step).floor() * step + step / 2


@answers.reject("RoundSTE", "what rounding takes away")
class RoundingError(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return x - (x / step).round() * step


@answers.reject("RoundSTE", "a list counts as one")
class ListOfGradients(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return [gradient, None]


@answers.reject("RoundSTE", "neither a tensor nor None")
class PlainOne(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return 1, None


@answers.reject("RoundSTE", "multiplied by 2")
class DoubledInPlace(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return gradient.mul_(2), None


@answers.reject("RoundSTE", "multiples of 1/step")
class WrongOrder(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return (x * step).round() / step


@answers.reject("RoundSTE", "nothing is rounded")
class Identity(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return x.clone()


@answers.reject("RoundSTE", "backward is still missing")
class WithoutBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, step):
        return (x / step).round() * step


@answers.reject("RoundSTE", "backward is still missing")
class BackwardLeftAsAStub(_Function):
    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError


@answers.reject("RoundSTE", "returns None for x")
class NoGradientAtAll(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return None, None


@answers.reject("RoundSTE", "returns a gradient for step")
class OrderSwapped(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return None, gradient


@answers.reject("RoundSTE", "as in a hardtanh")
class Clipped(_Function):
    @staticmethod
    def forward(ctx, x, step):
        ctx.save_for_backward(x)
        return (x / step).round() * step

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1), None


@answers.reject("RoundSTE", "not the one that entered it")
class SteepGradientClipped(_Function):
    """A gradient above 10 is cut down."""

    @staticmethod
    def backward(ctx, gradient):
        return gradient.clamp(-10, 10), None


@answers.reject("RoundSTE", "returns x in place of a gradient")
class ReturnsItsInput(Clipped):
    @staticmethod
    def backward(ctx, gradient):
        return ctx.saved_tensors[0], None


@answers.reject("RoundSTE", "sign turned")
class Uphill(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return -gradient, None


@answers.reject("RoundSTE", "into torch.float32")
class ThroughIntegers(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return (x / step).round().int() * step


@answers.reject("RoundSTE", "in place")
class InPlace(_Function):
    @staticmethod
    def forward(ctx, x, step):
        return x.div_(step).round_().mul_(step)


@answers.reject("RoundSTE", "derived from torch.autograd.Function")
def rounds_but_is_no_class(x, step):
    return x + ((x / step).round() * step - x).detach()


@answers.reject("RoundSTE", "derived from torch.autograd.Function")
class AModule(torch.nn.Module):
    def forward(self, x, step):
        return x + ((x / step).round() * step - x).detach()


@answers.reject("RoundSTE", "It happened at: return gradient * ctx.stride")
class RaisesInBackward(_Function):
    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.stride, None


# codebook_grad_from_recon


@answers.accept("codebook_grad_from_recon")
def asks_autograd(model, x):
    codebook = model.quantizer.codebook
    (gradient,) = torch.autograd.grad(model(x).recon_loss, codebook, allow_unused=True)
    return torch.zeros_like(codebook) if gradient is None else gradient


@answers.accept("codebook_grad_from_recon")
def zeros_by_torch(model, x):
    loss = model(x).recon_loss
    return torch.autograd.grad(loss, model.quantizer.codebook, materialize_grads=True)[0]


@answers.accept("codebook_grad_from_recon")
def on_a_copy(model, x):
    model = copy.deepcopy(model)
    model.zero_grad()
    model(x).recon_loss.backward()
    gradient = model.quantizer.codebook.grad
    return gradient if gradient is not None else torch.zeros(model.config.num_codes, model.config.code_dim)


@answers.accept("codebook_grad_from_recon")
def puts_everything_back(model, x):
    kept = {p: p.grad for p in model.parameters()}
    for p in model.parameters():
        p.grad = None
    model(x).recon_loss.backward()
    gradient = model.quantizer.codebook.grad
    for p, old in kept.items():
        p.grad = old
    return torch.zeros_like(model.quantizer.codebook) if gradient is None else gradient


@answers.accept("codebook_grad_from_recon")
def step_by_step(model, x):
    z_q = model.quantizer(model.latents(x)).z_q
    loss = ((model.decoder(z_q) - x) ** 2).mean() / model.config.data_variance
    found = torch.autograd.grad(loss, [model.quantizer.codebook], allow_unused=True)[0]
    return 0 * model.quantizer.codebook.detach() if found is None else found


@answers.accept("codebook_grad_from_recon")
def as_a_function_of_the_codebook(model, x):
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    codebook = weights["quantizer.codebook"].clone().requires_grad_()
    output = torch.func.functional_call(model, weights | {"quantizer.codebook": codebook}, (x,))
    if not output.recon_loss.requires_grad:
        return torch.zeros_like(codebook)
    return torch.autograd.grad(output.recon_loss, codebook, materialize_grads=True)[0]


@answers.accept("codebook_grad_from_recon")
def in_double_precision(model, x):
    return zeros_by_torch(model, x).double()


@answers.accept("codebook_grad_from_recon")
def backward_into_the_codebook_only(model, x):
    codebook = model.quantizer.codebook
    old, codebook.grad = codebook.grad, None
    model(x).recon_loss.backward(inputs=[codebook])
    gradient, codebook.grad = codebook.grad, old
    return torch.zeros_like(codebook) if gradient is None else gradient


@answers.accept("codebook_grad_from_recon")
def heard_by_a_hook(model, x):
    heard = [torch.zeros_like(model.quantizer.codebook)]
    model = copy.deepcopy(model)
    model.quantizer.codebook.register_hook(heard.append)
    model(x).recon_loss.backward()
    return sum(heard)


@answers.reject("codebook_grad_from_recon", "by the number of images")
def summed_over_the_images(model, x):
    return len(x) * zeros_by_torch(model, x)


@answers.reject("codebook_grad_from_recon", "the codebook itself")
def the_codebook_whatever_the_model(model, x):
    return model.quantizer.codebook


@answers.reject("codebook_grad_from_recon", "by a planted fault")
def of_a_copy_of_the_codebook(model, x):
    codebook = model.quantizer.codebook.clone()
    return torch.autograd.grad(model(x).recon_loss, codebook, materialize_grads=True)[0]


@answers.reject("codebook_grad_from_recon", "in another mode")
def leaves_it_in_eval_mode(model, x):
    return zeros_by_torch(model.eval(), x)


@answers.reject("codebook_grad_from_recon", "codebook loss is in it")
def of_the_whole_loss(model, x):
    return torch.autograd.grad(model(x).loss, model.quantizer.codebook)[0]


@answers.reject("codebook_grad_from_recon", "codebook loss is in it")
def of_the_codebook_loss(model, x):
    return torch.autograd.grad(model(x).codebook_loss, model.quantizer.codebook)[0]


@answers.reject("codebook_grad_from_recon", "returns None")
def forwards_none(model, x):
    loss = model(x).recon_loss
    return torch.autograd.grad(loss, model.quantizer.codebook, allow_unused=True)[0]


@answers.reject("codebook_grad_from_recon", "no path leads from the loss")
def without_allow_unused(model, x):
    return torch.autograd.grad(model(x).recon_loss, model.quantizer.codebook)[0]


@answers.reject("codebook_grad_from_recon", "by a planted fault")
def always_zeros(model, x):
    return torch.zeros_like(model.quantizer.codebook)


@answers.reject("codebook_grad_from_recon", "by a planted fault")
def on_a_detached_copy_of_the_codebook(model, x):
    codebook = model.quantizer.codebook.detach().requires_grad_()
    found = torch.autograd.grad(model(x).recon_loss, codebook, allow_unused=True)[0]
    return torch.zeros_like(codebook) if found is None else found


@answers.reject("codebook_grad_from_recon", "decode from the indices")
def decodes_indices(model, x):
    x_hat = model.decoder(model.quantizer.lookup(model.encode(x)))
    loss = F.mse_loss(x_hat, x) / model.config.data_variance
    return torch.autograd.grad(loss, model.quantizer.codebook)[0]


@answers.reject("codebook_grad_from_recon", "decode from the indices")
def decodes_indices_plain_error(model, x):
    loss = F.mse_loss(model.decoder(model.quantizer.lookup(model(x).indices)), x)
    return torch.autograd.grad(loss, model.quantizer.codebook)[0]


@answers.reject("codebook_grad_from_recon", "without dividing by the data's variance")
def plain_error(model, x):
    loss = F.mse_loss(model(x).x_hat, x)
    return torch.autograd.grad(loss, model.quantizer.codebook, materialize_grads=True)[0]


@answers.reject("codebook_grad_from_recon", "leaves gradients behind")
def backward_on_the_model(model, x):
    model(x).recon_loss.backward()
    gradient = model.quantizer.codebook.grad
    return torch.zeros_like(model.quantizer.codebook) if gradient is None else gradient


@answers.reject("codebook_grad_from_recon", "changed or gone")
def clears_first_and_last(model, x):
    model.zero_grad()
    model(x).recon_loss.backward()
    gradient = model.quantizer.codebook.grad
    model.zero_grad()
    return torch.zeros_like(model.quantizer.codebook) if gradient is None else gradient


@answers.reject("codebook_grad_from_recon", "older gradient")
def copy_with_old_gradients(model, x):
    twin = copy.deepcopy(model)
    for name, parameter in twin.named_parameters():
        old = model.get_parameter(name).grad
        parameter.grad = None if old is None else old.clone()
    twin(x).recon_loss.backward()
    gradient = twin.quantizer.codebook.grad
    return torch.zeros_like(twin.quantizer.codebook) if gradient is None else gradient


@answers.reject("codebook_grad_from_recon", "in another mode")
def leaves_it_in_train_mode(model, x):
    return zeros_by_torch(model.train(), x)


@answers.reject("codebook_grad_from_recon", "the codebook itself")
def the_codebook_itself(model, x):
    found = forwards_none(model, x)
    codebook = model.quantizer.codebook
    return torch.zeros_like(codebook) if found is None else codebook


@answers.reject("codebook_grad_from_recon", "a torch tensor is asked for")
def yes_or_no(model, x):
    return forwards_none(model, x) is not None


@answers.reject("codebook_grad_from_recon", "is asked for")
def its_length(model, x):
    return zeros_by_torch(model, x).norm()


@answers.reject("codebook_grad_from_recon", "sign is wrong")
def the_step(model, x):
    return -zeros_by_torch(model, x)


@answers.reject("codebook_grad_from_recon", "raised")
@torch.no_grad()
def without_gradients(model, x):
    return torch.autograd.grad(model(x).recon_loss, model.quantizer.codebook, allow_unused=True)[0]


@answers.reject("codebook_grad_from_recon", "changes the weights")
def trains_a_step(model, x):
    gradient = zeros_by_torch(model, x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(0.01)
    return gradient


@answers.reject("codebook_grad_from_recon", "which weights of the model may learn")
def freezes_the_rest(model, x):
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("codebook" in name)
    loss = model(x).recon_loss
    if not loss.requires_grad:
        return torch.zeros_like(model.quantizer.codebook)
    return torch.autograd.grad(loss, model.quantizer.codebook, materialize_grads=True)[0]


# steps_to_switch


@answers.accept("steps_to_switch")
def a_loop(z_e, gradient, codebook, lr):
    first = (codebook - z_e).norm(dim=1).argmin()
    for updates in range(1, 1000):
        z = z_e - updates * lr * gradient
        if (codebook - z).norm(dim=1).argmin() != first:
            return updates
    return None


@answers.accept("steps_to_switch")
def the_package_in_a_loop(z_e, gradient, codebook, lr):
    z, updates = z_e[None], 0
    while quantize.nearest_code(z, codebook) == quantize.nearest_code(z_e[None], codebook):
        z, updates = z - lr * gradient, updates + 1
    return torch.tensor(updates)


@answers.accept("steps_to_switch")
def in_closed_form(z_e, gradient, codebook, lr):
    squares = ((codebook - z_e) ** 2).sum(dim=1)
    first = squares.argmin()
    # |z - n s - e_j|^2 < |z - n s - e_k|^2 is linear in n
    lead = squares - squares[first]
    rate = 2 * lr * (codebook[first] - codebook) @ gradient
    times = [float(a / b) for a, b in zip(lead, rate, strict=True) if b > 0]
    return math.ceil(min(times))


@answers.accept("steps_to_switch")
def all_at_once_in_numpy(z_e, gradient, codebook, lr):
    updates = np.arange(101)[:, None, None]
    path = z_e.numpy() - updates * lr * gradient.numpy()
    codes = np.linalg.norm(path - codebook.numpy(), axis=-1).argmin(axis=-1)
    return (codes != codes[0]).argmax()


@answers.reject("steps_to_switch", "whole numbers")
def not_rounded_up(z_e, gradient, codebook, lr):
    squares = ((codebook - z_e) ** 2).sum(dim=1)
    first = squares.argmin()
    rate = 2 * lr * (codebook[first] - codebook) @ gradient
    return min(float(a / b) for a, b in zip(squares - squares[first], rate, strict=True) if b > 0)


@answers.reject("steps_to_switch", "one number is asked for")
def returns_the_path(z_e, gradient, codebook, lr):
    return torch.stack([z_e - n * lr * gradient for n in range(5)])


@answers.reject("steps_to_switch", "in place")
def moves_the_callers_latent(z_e, gradient, codebook, lr):
    first, updates = (codebook - z_e).norm(dim=1).argmin(), 0
    while (codebook - z_e).norm(dim=1).argmin() == first:
        z_e -= lr * gradient
        updates += 1
    return updates


@answers.reject("steps_to_switch", "the code changes")
def by_the_nearest_two_codes_only(z_e, gradient, codebook, lr):
    order = (codebook - z_e).norm(dim=1).argsort()[:2]
    for updates in range(1, 100):
        z = z_e - updates * lr * gradient
        if (codebook[order] - z).norm(dim=1).argmin() != 0:
            return updates
    return 100


@answers.reject("steps_to_switch", "is 50; the code changes later")
def gives_up_after_half(z_e, gradient, codebook, lr):
    return min(a_loop(z_e, gradient, codebook, lr), 50)


@answers.reject("steps_to_switch", "at least one")
def looks_before_the_first_update(z_e, gradient, codebook, lr):
    return 0


@answers.reject("steps_to_switch", "the code changes later")
def at_once(z_e, gradient, codebook, lr):
    return 1


# ste_bias


@answers.accept("ste_bias")
def a_quarter_of_the_gap(codes):
    code, neighbour = codes.sort().values[:2].tolist()
    return code, code + (neighbour - code) / 4


@answers.accept("ste_bias")
def from_above_as_a_tensor(codes):
    below, code = codes.double().sort().values[-2:]
    return torch.stack([code + 1, code - 0.49 * (code - below)])


@answers.accept("ste_bias")
def in_numpy(codes):
    ordered = np.sort(codes.numpy())
    k = len(ordered) // 2
    gap = ordered[k] - ordered[k - 1]
    return np.array([ordered[k] - 0.4 * gap, ordered[k] - 0.1 * gap])


@answers.accept("ste_bias")
def by_trial(codes):
    while True:
        z, target = (torch.rand(2) * 3 - 1) * (codes.max() - codes.min()) + codes.min()
        k = (codes - z).abs().argmin()
        way = torch.sign(target - codes[k])
        ahead = codes[(codes - codes[k]) * way > 0]
        if len(ahead):
            reached = ahead[(ahead - codes[k]).abs().argmin()]
            if (reached - target).abs() > 1.01 * (codes[k] - target).abs():
                return [z, target]


@answers.accept("ste_bias")
def barely_beside_the_code(codes):
    code, largest = codes.min().item(), codes.max().item()
    return code, code + 1e-4 * (largest - code)


@answers.accept("ste_bias")
def in_a_column(codes):
    return torch.tensor(a_quarter_of_the_gap(codes))[:, None]


@answers.accept("ste_bias")
def as_arrays_of_one_number(codes):
    z, target = a_quarter_of_the_gap(codes)
    return np.array([z]), torch.tensor([target])


@answers.reject("ste_bias", "a Tensor of shape")
def all_codes_sorted(codes):
    return tuple(codes.sort())


@answers.reject("ste_bias", "a str and a str")
def as_text(codes):
    return tuple(f"{number:.6f}" for number in a_quarter_of_the_gap(codes))


@answers.reject("ste_bias", "the estimator is right")
def target_near_the_neighbour(codes):
    code, neighbour = codes.sort().values[:2].tolist()
    return code, code + 0.75 * (neighbour - code)


@answers.reject("ste_bias", "the estimator is right")
def target_on_the_neighbour(codes):
    code, neighbour = codes.sort().values[:2].tolist()
    return code, neighbour


@answers.reject("ste_bias", "gradient there is 0")
def target_on_the_code(codes):
    code = codes.min().item()
    return code, code


@answers.reject("ste_bias", "no other code")
def target_outside(codes):
    code = codes.min().item()
    return code, code - 0.1


@answers.reject("ste_bias", "same loss")
def target_on_the_border(codes):
    code, neighbour = codes.sort().values[:2].tolist()
    return code, (code + neighbour) / 2


@answers.reject("ste_bias", "border of two cells")
def latent_on_the_border(codes):
    code, neighbour = codes.double().sort().values[:2].tolist()
    return (code + neighbour) / 2, code + 0.1 * (neighbour - code)


@answers.reject("ste_bias", "swapped")
def target_first(codes):
    z, target = a_quarter_of_the_gap(codes)
    return target, z - 100 * abs(z - target)


@answers.reject("ste_bias", "the first code that it reaches is")
def codes_taken_as_sorted(codes):
    code, neighbour = codes[:2].tolist()
    return code, code + (neighbour - code) * 0.49


@answers.reject("ste_bias", "the estimator is right")
def a_thousandth_beside_the_code(codes):
    return codes.min().item(), codes.min().item() + 0.001


@answers.reject("ste_bias", "there is no other code")
def the_case_of_the_page(codes):
    return 0.5, 0.6


@answers.reject("ste_bias", "Two numbers are asked for")
def one_number(codes):
    return codes.min().item()


@answers.reject("ste_bias", "3 values came back")
def with_the_code_as_well(codes):
    z, target = a_quarter_of_the_gap(codes)
    return z, z, target


@answers.reject("ste_bias", "finite")
def infinitely_far(codes):
    return codes.min(), float("inf")


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
