"""Right and wrong answers to the exercises of notebook 06."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.checks.registered import Answers
from vqvae_course.quantize import EMAVectorQuantizer, Quantized, nearest_code, straight_through
from vqvae_course.quantize import laplace_smooth as smoothed

answers = Answers()


# ema_update


@answers.accept("ema_update")
def by_the_book(count, total, z, indices, decay):
    n = torch.bincount(indices, minlength=len(count)).to(count)
    added = torch.zeros_like(total).index_add_(0, indices, z.detach())
    return decay * count + (1 - decay) * n, decay * total + (1 - decay) * added


@answers.accept("ema_update")
def code_by_code(count, total, z, indices, decay):
    new_count, new_total = count.clone(), total.clone()
    for i in range(len(count)):
        cell = z[indices == i].detach()
        new_count[i] = decay * count[i] + (1 - decay) * len(cell)
        new_total[i] = decay * total[i] + (1 - decay) * cell.sum(0)
    return new_count, new_total


@answers.accept("ema_update")
def latent_by_latent(count, total, z, indices, decay):
    count, total = decay * count, decay * total
    with torch.no_grad():
        for latent, k in zip(z, indices.tolist(), strict=True):
            count[k] += 1 - decay
            total[k] += (1 - decay) * latent
    return [count, total]


@answers.accept("ema_update")
def one_hot_einsum(count, total, z, indices, decay):
    chosen = F.one_hot(indices, len(count)).to(z)
    n, added = chosen.sum(0), torch.einsum("nk,nd->kd", chosen, z.detach())
    return torch.lerp(n, count, decay), torch.lerp(added, total, decay)


@answers.accept("ema_update")
@torch.no_grad()
def towards_the_batch(count, total, z, indices, decay):
    counts, sums = torch.zeros_like(count), torch.zeros_like(total)
    counts.scatter_add_(0, indices, torch.ones(len(z), dtype=count.dtype))
    sums.scatter_add_(0, indices[:, None].expand_as(z), z)
    return count - (1 - decay) * (count - counts), total - (1 - decay) * (total - sums)


@answers.reject("ema_update", "in place")
def in_place(count, total, z, indices, decay):
    n, added = by_the_book(count, total, z, indices, 0.0)
    return count.mul_(decay).add_(n, alpha=1 - decay), total.mul_(decay).add_(added, alpha=1 - decay)


@answers.reject("ema_update", "minlength")
def forgets_minlength(count, total, z, indices, decay):
    n = torch.bincount(indices)
    new = decay * count[: len(n)] + (1 - decay) * n
    return new, by_the_book(count, total, z, indices, decay)[1]


@answers.reject("ema_update", "raised")
def forgets_minlength_and_adds(count, total, z, indices, decay):
    return decay * count + (1 - decay) * torch.bincount(indices), total


@answers.reject("ema_update", "graph of every batch")
def keeps_the_graph(count, total, z, indices, decay):
    added = torch.zeros_like(total).index_add(0, indices, z)
    return by_the_book(count, total, z, indices, decay)[0], decay * total + (1 - decay) * added


@answers.reject("ema_update", "not their quotient")
def returns_the_codebook(count, total, z, indices, decay):
    new_count, new_total = by_the_book(count, total, z, indices, decay)
    return new_total / new_count[:, None]


@answers.reject("ema_update", "wrong order")
def returns_total_first(count, total, z, indices, decay):
    return by_the_book(count, total, z, indices, decay)[::-1]


@answers.reject("ema_update", "(7, 3) is asked for.")
def transposes_the_total(count, total, z, indices, decay):
    new_count, new_total = by_the_book(count, total, z, indices, decay)
    return new_count, new_total.T


@answers.reject("ema_update", "went in as")
def returns_float32(count, total, z, indices, decay):
    return tuple(value.float() for value in by_the_book(count, total, z, indices, decay))


@answers.reject("ema_update", "Row i takes the sum")
def sums_the_wrong_rows(count, total, z, indices, decay):
    return by_the_book(count, total, z.flip(0), indices, decay)


@answers.reject("ema_update", "new count is not")
def never_above_99(count, total, z, indices, decay):
    return by_the_book(count, total, z, indices, min(decay, 0.99))


@answers.reject("ema_update", "new total is not")
def cuts_latents_off(count, total, z, indices, decay):
    return by_the_book(count, total, z.clamp(-10, 10), indices, decay)


# laplace_smooth


@answers.accept("laplace_smooth")
def total_kept(count, eps):
    n = count.sum()
    return (count + eps) / (n + len(count) * eps) * n


@answers.accept("laplace_smooth")
def numerators_first(count, eps):
    lifted = count + eps
    return lifted * (count.sum() / lifted.sum())


@answers.accept("laplace_smooth")
def code_by_code_in_python(count, eps):
    values = count.double().tolist()
    n = sum(values)
    return torch.tensor([(value + eps) / (n + len(values) * eps) * n for value in values])


@answers.accept("laplace_smooth")
def a_mixture_with_the_uniform_distribution(count, eps):
    n, k = count.sum(), count.numel()
    weight = k * eps / (n + k * eps)
    return n * torch.lerp(count / n, torch.full_like(count, 1 / k), weight)


@answers.reject("laplace_smooth", "store the smoothed counts back")
def stored_back(count, eps):
    n = count.sum()
    count += eps
    count *= n / (n + len(count) * eps)
    return count


@answers.reject("laplace_smooth", "store the smoothed counts back")
def copied_back(count, eps):
    count.copy_(total_kept(count, eps))
    return count.clone()


@answers.reject("laplace_smooth", "shares are not those")
def softmax(count, eps):
    return count.sum() * torch.softmax(count + eps, dim=0)


@answers.reject("laplace_smooth", "total is not kept")
def larger_of_the_two(count, eps):
    return torch.maximum(total_kept(count, eps), count)


@answers.reject("laplace_smooth", "a torch tensor is asked for")
def returns_a_list(count, eps):
    return total_kept(count, eps).tolist()


@answers.reject("laplace_smooth", "for this input")
def returns_the_total(count, eps):
    return total_kept(count, eps).sum()


@answers.reject("laplace_smooth", "cut off")
def never_below_the_default(count, eps):
    return total_kept(count, max(eps, 1e-5))


# rescale_decay


@answers.accept("rescale_decay")
def power(decay, factor):
    return decay**factor


@answers.accept("rescale_decay")
def by_half_lives(decay, factor):
    half_life = math.log(0.5) / math.log(decay)
    return 0.5 ** (factor / half_life)


@answers.accept("rescale_decay")
def by_numpy(decay, factor):
    return np.exp(factor * np.log(decay))


@answers.accept("rescale_decay")
def as_a_tensor(decay, factor):
    return torch.tensor(decay, dtype=torch.float64) ** factor


@answers.reject("rescale_decay", "By what is the old value multiplied")
def square_root(decay, factor):
    return decay**0.5


@answers.reject("rescale_decay", "nearly right")
def never_above_999(decay, factor):
    return min(decay**factor, 0.999)


@answers.reject("rescale_decay", "is not the same")
def never_below_a_thousandth(decay, factor):
    return max(decay**factor, 0.001)


# debiased_ema


class Average(nn.Module):
    """What several answers share."""

    def __init__(self, decay, shape):
        super().__init__()
        self.decay = decay
        self.register_buffer("hidden", torch.zeros(shape))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, value):
        self.step += 1
        self.hidden.mul_(self.decay).add_(value, alpha=1 - self.decay)

    @property
    def value(self):
        if self.step == 0:
            return torch.zeros_like(self.hidden)
        return self.hidden / (1 - self.decay ** int(self.step))


answers.accept("debiased_ema")(Average)


@answers.accept("debiased_ema")
class WithTheWeightOfTheValues(nn.Module):
    """Averages the constant 1 along with the values: its average is 1 - decay^t."""

    def __init__(self, decay, shape):
        super().__init__()
        self.decay = decay
        self.register_buffer("sums", torch.zeros(2, *shape))

    def update(self, value):
        new = torch.stack([value.detach(), torch.ones_like(value)])
        self.sums = self.decay * self.sums + (1 - self.decay) * new
        return self.value

    @property
    def value(self):
        return self.sums[0] / self.sums[1].clamp(min=1e-30)


@answers.accept("debiased_ema")
def a_factory(decay, shape):
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("average", torch.zeros(shape))
            self.register_buffer("t", torch.tensor(0.0))

        def update(self, value):
            self.t = self.t + 1
            share = (1 - decay) / (1 - decay**self.t)  # a debiased average is a mean with shrinking steps
            self.average = self.average + share * (value.detach() - self.average)

        value = property(lambda self: self.average)

    return Inner()


@answers.accept("debiased_ema")
class IntegerInExtraState(nn.Module):
    """A Python integer is fine if it travels with state_dict."""

    def __init__(self, decay, shape):
        super().__init__()
        self.decay, self.t = decay, 0
        self.register_buffer("hidden", torch.zeros(shape))

    def update(self, value):
        self.t += 1
        self.hidden.copy_(self.decay * self.hidden + (1 - self.decay) * value.detach())

    @property
    def value(self):
        return self.hidden / (1 - self.decay**self.t) if self.t else self.hidden.clone()

    def get_extra_state(self):
        return {"t": self.t}

    def set_extra_state(self, state):
        self.t = state["t"]


@answers.reject("debiased_ema", "Python integer is no part of state_dict")
class PythonInteger(Average):
    """The step is a Python int, with a guard for 0."""

    def __init__(self, decay, shape):
        super().__init__(decay, shape)
        del self.step
        self.step = 0


@answers.reject("debiased_ema", "Python integer is no part of state_dict")
class PythonIntegerUnguarded(nn.Module):
    """The step is a Python int that starts at 0 and makes infinity after loading."""

    def __init__(self, decay, shape):
        super().__init__()
        self.decay, self.t = decay, 0
        self.register_buffer("hidden", torch.zeros(shape))
        self.register_buffer("average", torch.zeros(shape))

    def update(self, value):
        self.t += 1
        self.hidden = self.decay * self.hidden + (1 - self.decay) * value.detach()

    @property
    def value(self):
        return self.hidden / (1 - self.decay**self.t) if self.hidden.any() else self.average


@answers.reject("debiased_ema", "No correction")
class Uncorrected(Average):
    """The bare average."""

    @property
    def value(self):
        return self.hidden.clone()


@answers.reject("debiased_ema", "swapped")
class Swapped(Average):
    """Old and new change places."""

    @torch.no_grad()
    def update(self, value):
        self.step += 1
        self.hidden = (1 - self.decay) * self.hidden + self.decay * value

    @property
    def value(self):
        return self.hidden / (1 - (1 - self.decay) ** int(self.step)) if self.step else self.hidden


@answers.reject("debiased_ema", "again and again")
class StoresTheCorrected(Average):
    """The corrected average is kept."""

    @torch.no_grad()
    def update(self, value):
        super().update(value)
        self.hidden = self.hidden / (1 - self.decay ** int(self.step))

    @property
    def value(self):
        return self.hidden


@answers.reject("debiased_ema", "start from the first value")
class FromTheFirst(Average):
    """The first value is the start."""

    @torch.no_grad()
    def update(self, value):
        self.hidden = value.clone() if self.step == 0 else self.decay * self.hidden + (1 - self.decay) * value
        self.step += 1

    @property
    def value(self):
        return self.hidden


@answers.reject("debiased_ema", "one ahead")
class OneAhead(Average):
    """The step starts at 1."""

    @property
    def value(self):
        return self.hidden / (1 - self.decay ** (int(self.step) + 1))


@answers.reject("debiased_ema", "infinite or NaN")
class OneBehind(Average):
    """The step is counted after the division."""

    @property
    def value(self):
        return self.hidden / (1 - self.decay ** (int(self.step) - 1)) if self.step else self.hidden


@answers.reject("debiased_ema", "infinite or NaN")
class Unguarded(Average):
    """0 / 0 before the first update."""

    @property
    def value(self):
        return self.hidden / (1 - self.decay ** int(self.step))


@answers.reject("debiased_ema", "divide by 1 - γ after every update")
class ConstantCorrection(Average):
    """The correction of the first step at every step."""

    @property
    def value(self):
        return self.hidden / (1 - self.decay)


@answers.reject("debiased_ema", "Nothing of the average is in state_dict")
class PlainAttributes(nn.Module):
    """Nothing is registered."""

    def __init__(self, decay, shape):
        super().__init__()
        self.decay, self.hidden, self.t = decay, torch.zeros(shape), 0

    update, value = IntegerInExtraState.update, IntegerInExtraState.value


@answers.accept("debiased_ema")
class WeightedSum(nn.Module):
    """No factor 1 - decay anywhere: a fading sum over the sum of its weights."""

    def __init__(self, decay, shape):
        super().__init__()
        self.decay = decay
        self.register_buffer("added", torch.zeros(shape))
        self.register_buffer("weight", torch.zeros(()))

    @torch.no_grad()
    def update(self, value):
        self.added.mul_(self.decay).add_(value)
        self.weight.mul_(self.decay).add_(1)

    @property
    def value(self):
        return self.added / self.weight if self.weight else self.added


@answers.reject("debiased_ema", "taken for the first")
class ShrinkingSteps(nn.Module):
    """The average is saved, the step that sets its next weight is not."""

    def __init__(self, decay, shape):
        super().__init__()
        self.decay, self.t = decay, 0
        self.register_buffer("value", torch.zeros(shape))

    def update(self, value):
        self.t += 1
        self.value = self.value + (1 - self.decay) / (1 - self.decay**self.t) * (value.detach() - self.value)


@answers.reject("debiased_ema", "not the average itself")
class SavesTheStepOnly(Average):
    """The average is a plain attribute."""

    def __init__(self, decay, shape):
        super().__init__(decay, shape)
        del self.hidden
        self.hidden = torch.zeros(shape)


@answers.reject("debiased_ema", "Nothing of the average is in state_dict")
class NotPersistent(Average):
    """Buffers that are not saved."""

    def __init__(self, decay, shape):
        super().__init__(decay, shape)
        self.register_buffer("hidden", torch.zeros(shape), persistent=False)
        self.register_buffer("step", torch.zeros(()), persistent=False)


@answers.reject("debiased_ema", "cannot load")
class MadeAtTheFirstUpdate(nn.Module):
    """The buffer is registered when the first value comes."""

    def __init__(self, decay, shape):
        super().__init__()
        self.decay, self.shape = decay, shape

    def update(self, value):
        if not hasattr(self, "hidden"):
            self.register_buffer("hidden", torch.zeros(self.shape))
            self.register_buffer("step", torch.tensor(0))
        self.step += 1
        self.hidden = self.decay * self.hidden + (1 - self.decay) * value.detach()

    @property
    def value(self):
        return Average.value.fget(self) if hasattr(self, "hidden") else torch.zeros(self.shape)


@answers.reject("debiased_ema", "Parameter")
class HoldsAParameter(Average):
    """The average is a Parameter."""

    def __init__(self, decay, shape):
        super().__init__(decay, shape)
        del self.hidden
        self.hidden = nn.Parameter(torch.zeros(shape))

    @property
    def value(self):
        return super().value.detach()


@answers.reject("debiased_ema", "graph of every batch")
class KeepsTheGraph(Average):
    """The values are not detached."""

    def update(self, value):
        self.step += 1
        self.hidden = self.decay * self.hidden + (1 - self.decay) * value


@answers.reject("debiased_ema", "@property")
class ValueIsAMethod(Average):
    """The property is a method."""

    def value(self):
        return self.hidden / (1 - self.decay ** int(self.step))


@answers.reject("debiased_ema", "in place")
class ScalesTheArgument(Average):
    """The update damages what it is given."""

    @torch.no_grad()
    def update(self, value):
        self.step += 1
        self.hidden.mul_(self.decay).add_(value.mul_(1 - self.decay))


@answers.reject("debiased_ema", "Module is asked for")
def returns_a_tensor(decay, shape):
    return torch.zeros(shape)


@answers.reject("debiased_ema", "no attribute 'hidden_'")
class MisspeltInside(Average):
    """An AttributeError inside the property must not look like a missing property."""

    @property
    def value(self):
        return self.hidden_


@answers.reject("debiased_ema", "no property value")
class WithoutValue(nn.Module):
    """Half of the module is missing."""

    def __init__(self, decay, shape):
        super().__init__()

    def update(self, value):
        pass


@answers.reject("debiased_ema", "plain mean of all values")
class RunningMean(Average):
    """Nothing is forgotten."""

    @torch.no_grad()
    def update(self, value):
        self.step += 1
        self.hidden += (value - self.hidden) / self.step

    @property
    def value(self):
        return self.hidden


@answers.reject("debiased_ema", "After update 11")
class CorrectsTenTimes(Average):
    """From the eleventh update on the correction stays as it is."""

    @property
    def value(self):
        return self.hidden / (1 - self.decay ** min(int(self.step), 10)) if self.step else self.hidden


@answers.reject("debiased_ema", "After update 2")
class ForgetsFaster(Average):
    """A decay above 0.99 is cut down to it."""

    def __init__(self, decay, shape):
        super().__init__(min(decay, 0.99), shape)


# codebook_after_first_step


@answers.accept("codebook_after_first_step")
def by_formula(init, n, num_codes, decay, eps):
    if init == "both zero":
        return 0.0
    old = 1.0 if init == "consistent" else 0.0
    total = decay * old * num_codes + (1 - decay) * n
    return decay / ((decay * old + eps) / (total + num_codes * eps) * total)


@answers.accept("codebook_after_first_step")
def by_simulation(init, n, num_codes, decay, eps):
    count = torch.full((num_codes,), 1.0 if init == "consistent" else 0.0, dtype=torch.float64)
    m = 0.0 if init == "both zero" else 1.0
    chosen = torch.zeros(num_codes, dtype=torch.float64)
    chosen[1] = n
    count = decay * count + (1 - decay) * chosen
    return decay * m / smoothed(count, eps)[0]


@answers.accept("codebook_after_first_step")
def by_the_package(init, n, num_codes, decay, eps):
    layer = EMAVectorQuantizer(num_codes, 1, decay=decay, eps=eps).double()
    layer.reset_codes(torch.arange(num_codes), torch.ones(num_codes, 1))
    layer.ema_count.mul_(init == "consistent")
    layer.ema_sum.mul_(init != "both zero")
    layer.update(torch.ones(n, 1).double(), torch.ones(n, dtype=torch.int64))
    return float(layer.codebook[0])


def after(init, zero=0.0, mismatched=None, consistent=None, arguments=()):
    """Return a right answer in all cases but one."""
    right = by_formula(init, *arguments)
    wrong = {"both zero": zero, "count zero": mismatched, "consistent": consistent}[init]
    return right if wrong is None else wrong


@answers.reject("codebook_after_first_step", "returns nan")
def zero_over_zero(init, n, num_codes, decay, eps):
    return after(init, zero=math.nan, arguments=(n, num_codes, decay, eps))


@answers.reject("codebook_after_first_step", "is not the new length")
def decay_cut_at_99(init, n, num_codes, decay, eps):
    return by_formula(init, n, num_codes, min(decay, 0.99), eps)


# EMAQuantizer


class Layer(nn.Module):
    """What many answers share; the wrong ones change one method."""

    def __init__(self, num_codes, code_dim, beta=0.25, decay=0.99, eps=1e-5):
        super().__init__()
        self.beta, self.decay, self.eps = beta, decay, eps
        self.register_buffer("codebook", torch.randn(num_codes, code_dim))
        self.register_buffer("count", torch.ones(num_codes))
        self.register_buffer("total", self.codebook.clone())

    def rows(self, z_e):
        return z_e.movedim(1, -1).reshape(-1, z_e.shape[1])

    def codes(self, indices):
        return self.codebook[indices].movedim(-1, 1)

    def loss(self, z_e, e_k):
        return self.beta * F.mse_loss(z_e, e_k.detach())

    def through(self, z_e, e_k):
        return straight_through(z_e, e_k)

    def forward(self, z_e):
        indices = nearest_code(self.rows(z_e), self.codebook).view(len(z_e), *z_e.shape[2:])
        e_k = self.codes(indices)
        loss = self.loss(z_e, e_k)
        q = Quantized(self.through(z_e, e_k), indices, loss, torch.zeros_like(loss), loss / self.beta)
        if self.training:
            self.update(self.rows(z_e.detach()), indices.view(-1))
        return q

    def update(self, z, indices):
        count, total = by_the_book(self.count, self.total, z, indices, self.decay)
        self.count.copy_(count)
        self.total.copy_(total)
        self.codebook.copy_(total / smoothed(count, self.eps)[:, None])


answers.accept("EMAQuantizer")(Layer)
answers.accept("EMAQuantizer")(EMAVectorQuantizer)


@answers.accept("EMAQuantizer")
class ByOneHot(nn.Module):
    """Everything by hand, buffers replaced instead of changed."""

    def __init__(self, K, D, beta, decay, eps):
        super().__init__()
        codebook = torch.empty(K, D).uniform_(-1, 1)
        for name, value in {"codebook": codebook, "N": torch.ones(K), "m": codebook.clone()}.items():
            self.register_buffer(name, value)
        self.options = beta, decay, eps

    def forward(self, z_e):
        beta, decay, eps = self.options
        B, D, h, w = z_e.shape
        z = z_e.permute(0, 2, 3, 1).contiguous().view(-1, D)
        k = (z[:, None] - self.codebook).pow(2).sum(-1).argmin(1)
        A = F.one_hot(k, len(self.codebook)).float()
        e = (A @ self.codebook).view(B, h, w, D).permute(0, 3, 1, 2)
        commitment = (z_e - e).pow(2).mean()
        if self.training:
            with torch.no_grad():
                self.N = decay * self.N + (1 - decay) * A.sum(0)
                self.m = decay * self.m + (1 - decay) * A.T @ z
                n = self.N.sum()
                self.codebook = self.m / ((self.N + eps) / (n + len(self.N) * eps) * n).unsqueeze(1)
        return Quantized(z_e + (e - z_e).detach(), k.view(B, h, w), beta * commitment, 0 * commitment, commitment)


@answers.accept("EMAQuantizer")
class FrozenEmbedding(nn.Module):
    """The codes live in an nn.Embedding that no optimizer moves, the statistics in buffers."""

    def __init__(self, K, D, beta=0.25, decay=0.99, eps=1e-5):
        super().__init__()
        self.embedding = nn.Embedding(K, D)
        self.embedding.weight.requires_grad_(False)
        self.register_buffer("statistics", torch.cat([torch.ones(K, 1), self.embedding.weight], dim=1))
        self.options = beta, decay, eps

    @property
    def codebook(self):
        return self.embedding.weight

    def forward(self, z_e):
        beta, decay, eps = self.options
        z = z_e.detach().movedim(1, -1).flatten(0, 2)
        k = torch.cdist(z, self.codebook).argmin(dim=1)
        indices = k.view(z_e.shape[0], *z_e.shape[2:])
        e_k = self.embedding(indices).movedim(-1, 1)
        loss = beta * ((e_k - z_e) ** 2).mean()
        if self.training:
            self.statistics *= decay
            self.statistics.index_add_(0, k, (1 - decay) * torch.cat([torch.ones(len(z), 1), z], dim=1))
            N = self.statistics[:, 0]
            self.embedding.weight.copy_(self.statistics[:, 1:] / smoothed(N, eps)[:, None])
        return Quantized(straight_through(z_e, e_k), indices, loss, loss.new_zeros(()), loss / beta)


@answers.reject("EMAQuantizer", "gradient flows into the codebook")
class GradientIntoTheCodebook(Layer):
    """The codebook is a Parameter and the loss pulls at it."""

    def __init__(self, *options):
        super().__init__(*options)
        codes = self.codebook
        del self.codebook
        self.codebook = nn.Parameter(codes)

    def loss(self, z_e, e_k):
        return self.beta * F.mse_loss(z_e, e_k)

    def update(self, z, indices):
        count, total = by_the_book(self.count, self.total, z, indices, self.decay)
        self.count, self.total = count, total
        self.codebook.data.copy_(total / smoothed(count, self.eps)[:, None])


@answers.reject("EMAQuantizer", "optimizer gets hold of them")
class ParameterWithoutGradient(GradientIntoTheCodebook):
    """The codebook is a Parameter that no loss reaches."""

    loss = Layer.loss


@answers.reject("EMAQuantizer", "learns in eval mode")
class LearnsInEval(Layer):
    """Every pass updates."""

    def forward(self, z_e):
        q = super().forward(z_e)
        if not self.training:
            self.update(self.rows(z_e.detach()), q.indices.view(-1))
        return q


@answers.reject("EMAQuantizer", "update the codebook first and quantize afterwards")
class UpdatesFirst(Layer):
    """The codes are looked up after the update."""

    def forward(self, z_e):
        indices = nearest_code(self.rows(z_e), self.codebook).view(len(z_e), *z_e.shape[2:])
        if self.training:
            self.update(self.rows(z_e.detach()), indices.view(-1))
        e_k = self.codes(indices)
        loss = self.loss(z_e, e_k)
        return Quantized(straight_through(z_e, e_k), indices, loss, loss, loss)


@answers.reject("EMAQuantizer", "update the codebook first and quantize afterwards")
class LossAfterTheUpdate(Layer):
    """Only the loss is late."""

    def forward(self, z_e):
        q = super().forward(z_e)
        return q._replace(loss=self.loss(z_e, self.codes(q.indices)))


@answers.reject("EMAQuantizer", "Your counts start at 0 and your sums at the codes")
class CountZero(Layer):
    """The famous bug."""

    def __init__(self, *options):
        super().__init__(*options)
        self.count.zero_()


@answers.reject("EMAQuantizer", "falls to the origin")
class BothZero(CountZero):
    """Both start at 0."""

    def __init__(self, *options):
        super().__init__(*options)
        self.total.zero_()


@answers.reject("EMAQuantizer", "swapped")
class SwappedDecay(Layer):
    """Old and new change places."""

    def __init__(self, K, D, beta=0.25, decay=0.99, eps=1e-5):
        super().__init__(K, D, beta, 1 - decay, eps)


@answers.reject("EMAQuantizer", "average the means of the cells")
class MeanOfMeans(Layer):
    """No counts."""

    def update(self, z, indices):
        n, added = by_the_book(self.count, self.total, z, indices, 0.0)
        mean = torch.where((n > 0)[:, None], added / n.clamp(min=1)[:, None], self.codebook)
        self.codebook.copy_(self.decay * self.codebook + (1 - self.decay) * mean)


@answers.reject("EMAQuantizer", "are skipped")
class SkipsEmptyCells(Layer):
    """Codes without latents stand still."""

    def update(self, z, indices):
        before, chosen = self.codebook.clone(), torch.zeros(len(self.codebook), dtype=torch.bool)
        chosen[indices] = True
        super().update(z, indices)
        self.codebook.copy_(torch.where(chosen[:, None], self.codebook, before))


@answers.reject("EMAQuantizer", "stored back")
class StoresSmoothedCounts(Layer):
    """The smoothing is kept."""

    def update(self, z, indices):
        super().update(z, indices)
        self.count.copy_(smoothed(self.count, self.eps))


@answers.reject("EMAQuantizer", "not smoothed")
class Unsmoothed(Layer):
    """No eps."""

    def update(self, z, indices):
        super().update(z, indices)
        self.codebook.copy_(self.total / self.count[:, None])


@answers.reject("EMAQuantizer", "smoothed shares")
class DividesByShares(Layer):
    """The smoothing lacks its last factor."""

    def update(self, z, indices):
        super().update(z, indices)
        shares = smoothed(self.count, self.eps) / self.count.sum()
        self.codebook.copy_(self.total / shares[:, None])


@answers.reject("EMAQuantizer", "statistics")
class StatisticsAreNoBuffers(Layer):
    """Count and sum are plain attributes."""

    def __init__(self, *options):
        super().__init__(*options)
        count, total = self.count, self.total
        del self.count, self.total
        self.count, self.total = count, total


@answers.reject("EMAQuantizer", "codebook is not in state_dict")
class CodebookIsNoBuffer(Layer):
    """The codebook is a plain attribute."""

    def __init__(self, *options):
        super().__init__(*options)
        codes = self.codebook
        del self.codebook
        self.codebook = codes


@answers.reject("EMAQuantizer", "1e-5 whatever eps is")
class IgnoresEps(Layer):
    """The argument is not used."""

    def __init__(self, K, D, beta=0.25, decay=0.99, eps=1e-5):
        super().__init__(K, D, beta, decay)


@answers.reject("EMAQuantizer", "Your eps is the same")
class EpsOfItsOwn(Layer):
    """A thousandth, always."""

    def __init__(self, K, D, beta=0.25, decay=0.99, eps=1e-5):
        super().__init__(K, D, beta, decay, 1e-3)


@answers.reject("EMAQuantizer", "0.99 whatever decay is")
class NeverAbove99(Layer):
    """A decay above 0.99 is cut down to it."""

    def __init__(self, K, D, beta=0.25, decay=0.99, eps=1e-5):
        super().__init__(K, D, beta, min(decay, 0.99), eps)


@answers.reject("EMAQuantizer", "From batch number 11 on")
class UpdatesTenTimes(Layer):
    """A schedule freezes the codebook."""

    updates = 0

    def update(self, z, indices):
        self.updates += 1
        if self.updates <= 10:
            super().update(z, indices)


@answers.reject("EMAQuantizer", "handed to z_e unchanged")
class ClipsGradients(Layer):
    """Large gradients are cut off on the way."""

    def through(self, z_e, e_k):
        z_q = straight_through(z_e, e_k)
        z_q.register_hook(lambda gradient: gradient.clamp(-10, 10))
        return z_q


@answers.reject("EMAQuantizer", "mean squared distance")
class CutsErrorsOff(Layer):
    """Large errors count less."""

    def loss(self, z_e, e_k):
        return self.beta * (z_e - e_k).clamp(-5, 5).square().mean()


@answers.reject("EMAQuantizer", "yours is Huber's")
class HuberLoss(Layer):
    """Large errors count less, by a loss that torch has."""

    def loss(self, z_e, e_k):
        return self.beta * F.smooth_l1_loss(z_e, e_k)


@answers.reject("EMAQuantizer", "A codebook loss is still there")
class KeepsTheCodebookLoss(Layer):
    """Both losses."""

    def loss(self, z_e, e_k):
        return F.mse_loss(e_k, z_e.detach()) + self.beta * F.mse_loss(z_e, e_k)


@answers.reject("EMAQuantizer", "β is missing")
class WithoutBeta(Layer):
    """The bare commitment loss."""

    def loss(self, z_e, e_k):
        return F.mse_loss(z_e, e_k)


@answers.reject("EMAQuantizer", "yours is a sum")
class SummedLoss(Layer):
    """A sum over everything."""

    def loss(self, z_e, e_k):
        return self.beta * (z_e - e_k).square().sum()


@answers.reject("EMAQuantizer", "whatever beta is")
class IgnoresBeta(Layer):
    """The argument is not used."""

    def loss(self, z_e, e_k):
        return 0.25 * F.mse_loss(z_e, e_k)


@answers.reject("EMAQuantizer", "By default decay is 0.999")
class OtherDefaults(Layer):
    """A default is not that of the stub."""

    def __init__(self, K, D, beta=0.25, decay=0.999, eps=1e-5):
        super().__init__(K, D, beta, decay, eps)


@answers.reject("EMAQuantizer", "whatever decay is")
class IgnoresDecay(Layer):
    """The argument is not used."""

    def __init__(self, K, D, beta=0.25, decay=0.99, eps=1e-5):
        super().__init__(K, D, beta, eps=eps)


@answers.reject("EMAQuantizer", "(K, D), one code a row")
class IgnoresTheNumberOfCodes(Layer):
    """The size of the paper's codebook, always."""

    def __init__(self, K, D, *options):
        super().__init__(512, D, *options)


class OtherParts(Layer):
    """The reported losses are replaced."""

    def parts(self, q):
        return {}

    def forward(self, z_e):
        q = super().forward(z_e)
        return q._replace(**self.parts(q))


@answers.accept("EMAQuantizer")
class PlainZero(OtherParts):
    """A zero that is no tensor, and a commitment loss for the log only."""

    def parts(self, q):
        return {"codebook_loss": 0.0, "commitment_loss": q.commitment_loss.detach()}


@answers.reject("EMAQuantizer", "codebook_loss is not 0")
class ReportsACodebookLoss(OtherParts):
    """Reported, though it is not in the loss."""

    def parts(self, q):
        return {"codebook_loss": q.commitment_loss}


@answers.reject("EMAQuantizer", "changed places")
class PartsInTheWrongOrder(OtherParts):
    """The last two fields of Quantized are swapped."""

    def parts(self, q):
        return {"codebook_loss": q.commitment_loss, "commitment_loss": q.codebook_loss}


@answers.reject("EMAQuantizer", "already multiplied by β")
class ReportsTheWeightedLoss(OtherParts):
    """The weight is in the part too."""

    def parts(self, q):
        return {"commitment_loss": q.loss}


@answers.reject("EMAQuantizer", "codebook_loss is not one number")
class WithoutACodebookLoss(OtherParts):
    """None for what is no longer there."""

    def parts(self, q):
        return {"codebook_loss": None}


@answers.reject("EMAQuantizer", "The loss is 0")
class LossOfTheOutput(Layer):
    """The loss compares the latents with z_q."""

    def loss(self, z_e, e_k):
        z_q = straight_through(z_e, e_k)
        return self.beta * F.mse_loss(z_e, z_e + (z_e - z_q).detach() * 0)


@answers.reject("EMAQuantizer", "gives the encoder no gradient")
class DetachedLatents(Layer):
    """The wrong side is detached."""

    def loss(self, z_e, e_k):
        return self.beta * F.mse_loss(z_e.detach(), e_k)


@answers.reject("EMAQuantizer", "No gradient gets from z_q")
class NoStraightThrough(Layer):
    """The codes are handed on as they are."""

    def through(self, z_e, e_k):
        return e_k


@answers.reject("EMAQuantizer", "nothing was quantized")
class HandsOnTheLatents(Layer):
    """Detached in the wrong place."""

    def through(self, z_e, e_k):
        return e_k + (z_e - e_k)


@answers.reject("EMAQuantizer", "mix positions and channels")
class ViewAlone(Layer):
    """The channels stay where they are."""

    def rows(self, z_e):
        return z_e.reshape(-1, z_e.shape[1])


@answers.reject("EMAQuantizer", "wrong places")
class ViewOnTheWayBack(Layer):
    """The codes come back without moving the channels."""

    def codes(self, indices):
        B, h, w = indices.shape
        return self.codebook[indices].reshape(B, -1, h, w)


@answers.reject("EMAQuantizer", "graph of every batch")
class GraphInTheStatistics(Layer):
    """The latents are not detached."""

    def forward(self, z_e):
        training, self.training = self.training, False
        q = super().forward(z_e)
        self.training = training
        if training:
            z, k = self.rows(z_e), q.indices.view(-1)
            A = F.one_hot(k, len(self.codebook)).to(z)
            self.count = self.decay * self.count + (1 - self.decay) * A.sum(0)
            self.total = self.decay * self.total + (1 - self.decay) * A.T @ z
            self.codebook = self.total / smoothed(self.count, self.eps)[:, None]
        return q


@answers.reject("EMAQuantizer", "nothing is remembered")
class JumpsToTheMeans(Layer):
    """k-means on one batch."""

    def update(self, z, indices):
        n, added = by_the_book(self.count, self.total, z, indices, 0.0)
        mean = added / n.clamp(min=1)[:, None]
        self.codebook.copy_(torch.where((n > 0)[:, None], mean, self.codebook))


@answers.reject("EMAQuantizer", "enters counts and sums twice")
class UpdatesTwice(Layer):
    """Once in forward, once in a helper."""

    def update(self, z, indices):
        super().update(z, indices)
        super().update(z, indices)


@answers.reject("EMAQuantizer", "the count never changes")
class ForgetsTheCount(Layer):
    """Only the sums are averaged."""

    def update(self, z, indices):
        self.total.copy_(by_the_book(self.count, self.total, z, indices, self.decay)[1])
        self.codebook.copy_(self.total / smoothed(self.count, self.eps)[:, None])


@answers.reject("EMAQuantizer", "the counts from before this batch")
class DividesByTheOldCount(Layer):
    """The new sums meet the old counts."""

    def update(self, z, indices):
        before = smoothed(self.count, self.eps)
        super().update(z, indices)
        self.codebook.copy_(self.total / before[:, None])


@answers.reject("EMAQuantizer", "starts from a count of 1 again")
class ForgetsTheStatistics(Layer):
    """Each update starts from a fresh pair."""

    def update(self, z, indices):
        self.count.fill_(1)
        self.total.copy_(self.codebook)
        super().update(z, indices)


@answers.reject("EMAQuantizer", "does not move in train mode")
class StandsStill(Layer):
    """No update."""

    def update(self, z, indices):
        pass


@answers.reject("EMAQuantizer", "same place")
class AllCodesEqual(Layer):
    """Codes of zeros."""

    def __init__(self, *options):
        super().__init__(*options)
        self.codebook.zero_()
        self.total.zero_()


@answers.reject("EMAQuantizer", "integers are asked for")
class FlatIndices(Layer):
    """Indices without a map."""

    def forward(self, z_e):
        q = super().forward(z_e)
        return q._replace(indices=q.indices.view(-1))


@answers.reject("EMAQuantizer", "Quantized is asked for")
class ReturnsTheCodes(Layer):
    """Only z_q comes back."""

    def forward(self, z_e):
        return super().forward(z_e).z_q


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
