"""Checks of notebook 05: data variance, normalised error, latent shape, one training step."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vqvae_course import metrics
from vqvae_course.checks.answer import NARROW, Answer, Mistake, close
from vqvae_course.checks.compare import agree
from vqvae_course.checks.read import integers, number, tensor
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task
from vqvae_course.data import Batch
from vqvae_course.vqvae import VQVAE, VQVAEConfig

BATCH_SIZES = (1, 2, 8, 10, 16, 32, 50, 64, 100, 128, 200, 256, 300, 500, 512)


# data_variance

data_variance = Task(
    metrics.data_variance,
    points=1,
    tolerance=2e-4,  # wide enough for n and n - 1
    narrow=2e-4,
    otherwise=lambda got, images: f"For these images the variance is not {got:.4g}.",
    hint="In this order: floats (arithmetic in uint8 wraps around at 256), scale to [0, 1], one mean over everything.",
)


@data_variance.inputs
def _image_sets() -> Iterator[tuple[Tensor]]:
    yield (_uneven_images(1),)
    yield (_uneven_images(3),)
    yield ((_uneven_images(1) > 100).to(torch.uint8),)  # nearly black: pixels of 0 and 1
    yield (255 * (_uneven_images(1) > 100).to(torch.uint8),)  # black and white
    yield (torch.full((520, 1, 2, 3), 200, dtype=torch.uint8),)


def _uneven_images(channels: int) -> Tensor:
    """Draw images of which no part, place or channel looks like the whole, and whose median is not their mean."""
    count = int(torch.randint(520, 700, ()))
    levels = torch.linspace(0.2, 0.8, count).square().view(-1, 1, 1, 1)  # from dark to bright
    noise = 0.3 * levels * (torch.rand(count, channels, 7, 5) - 0.5)
    tint = 0.1 * torch.arange(channels).view(1, -1, 1, 1)
    shade = 0.02 * torch.arange(7).view(-1, 1) - 0.03 * torch.arange(5)
    return (255 * (levels + noise + tint + shade).clamp(0, 0.97)).round().to(torch.uint8)


_ONE_MEAN = "\nAll pixels of all images form one set of numbers with one mean."
_OFF_BY_255 = "Your result is off by a factor of 255.\nDivide the pixels by 255, once, and not their variance."
_PLACES = {
    "at each pixel's place over the images": (0,),
    "at each pixel's place over images and channels": (0, 1),
    "per channel": (0, 2, 3),
    "per row": (0, 1, 3),
    "per column": (0, 1, 2),
    "within each channel of each image": (2, 3),
}
data_variance.mistakes(
    {
        "Your variance is 255² times too large: pixels were used as 0…255.\nThe model sees [0, 1].": lambda x: (
            255**2 * x.var()
        ),
        "Your variance is 4 times too large: it belongs to pixels in [-1, 1], the model's are in [0, 1].\nStretching "
        "the range by 2 stretches a variance by 2².": lambda x: 4 * x.var(),
        _OFF_BY_255: (lambda x: 255 * x.var(), lambda x: x.var() / 255),
        "You divide by 256. The largest pixel is 255, and it should become exactly 1.": lambda x: (
            x.var() * (255 / 256) ** 2
        ),
        "You divide by the brightest pixel of these images instead of by 255.": lambda x: (x / x.max()).var(),
        "Your result is half of the variance.": lambda x: x.var() / 2,
        "Your result is twice the variance.": lambda x: 2 * x.var(),
        "This is the sum of the squared differences; the variance is their mean.": lambda x: x.numel() * x.var(),
        "Your result is 1: the pixels were standardised first.\nOnly scale them to [0, 1].": lambda x: 1.0,
    }
    | {
        f"You take one variance {where} and average those.{_ONE_MEAN}": tuple(
            lambda x, axes=axes, correction=correction: x.var(dim=axes, correction=correction).mean()
            for correction in (0, 1)
        )
        for where, axes in _PLACES.items()
    }
    | {
        "This is the standard deviation; the variance is its square.": (
            lambda x: x.std(),
            lambda x: 255 * x.std(),
        ),
        "This is the mean of the squares: the mean was not subtracted first.": lambda x: x.square().mean(),
        "This is the mean of the pixels, not their variance.": (lambda x: x.mean(), lambda x: 255 * x.mean()),
        "You subtract the median; a variance is about the mean.": lambda x: (x - x.median()).square().mean(),
        "You average absolute differences; square them.": lambda x: (x - x.mean()).abs().mean(),
    },
    of=lambda images: (images.double() / 255,),
)


@data_variance.unless
def _of_parts(got: float, images: Tensor) -> None:
    unit = images.double() / 255
    for size, correction in itertools.product(BATCH_SIZES, (0, 1)):
        first = float(unit[:size].var(correction=correction))
        if size > 1 and (close(got, first, NARROW) or close(got, 4 * first, NARROW)):
            raise Mistake(
                "This is the variance of a part of the images, such as the first batch only.",
                "The whole data set is asked for.",
            )
        parts = [float(part.var(correction=correction)) for part in unit.split(size)]
        if close(got, sum(parts) / len(parts), NARROW):
            raise Mistake(
                f"You take a variance within each {'batch' if size > 1 else 'image'} and average those. How bright "
                "one is compared with the others is lost.",
                _ONE_MEAN.strip(),
            )


# normalized_mse

normalized_mse = Task(
    lambda x, x_hat, variance: (x - x_hat).square().mean() / variance,
    name="normalized_mse",
    points=1,
    reads=tensor,
    gradients=("x_hat",),
    otherwise=lambda got, *_: f"For these tensors the result is not {float(got):.4g}.",
    hint="Mean of the squared differences, over the variance.",
)


@normalized_mse.inputs
def _reconstructions() -> Iterator[tuple[Tensor, Tensor, float]]:
    """Draw reconstructions; of the last two one is far off, where Huber's loss and clipping show, one nearly right."""
    shapes = ((3, 1, 4, 6), (2, 3, 5, 4), (1, 1, 2, 3), (2, 1, 3, 4), (2, 1, 3, 4))
    for shape, error in zip(shapes, (0.2, 0.2, 0.2, 50, 0.001), strict=True):
        x = torch.rand(shape)
        x_hat = x + error * torch.randn(shape)
        x_hat = x_hat.clamp(0, 1) if error == 0.2 else x_hat
        yield x, x_hat.requires_grad_(), float(torch.empty(()).uniform_(0.02, 0.2))


normalized_mse.mistakes(
    {
        "You divide by the variance of the reconstructions instead of the one handed in.": (
            lambda x, y, v: F.mse_loss(x, y) / y.var(),
            lambda x, y, v: F.mse_loss(x, y) / y.var(correction=0),
        ),
        "The sign is wrong: an error is positive, and training makes it smaller.": lambda x, y, v: (
            -F.mse_loss(x, y) / v
        ),
        "The mean squared error is right, but it is not divided by the variance.": lambda x, y, v: F.mse_loss(x, y),
        "You multiply by the variance; dividing by it makes the error of the mean image 1.": lambda x, y, v: (
            F.mse_loss(x, y) * v
        ),
        "You divide by the standard deviation; a squared error is measured in units of the variance.": lambda x, y, v: (
            F.mse_loss(x, y) / v**0.5
        ),
        "You divide by the variance squared; it already is a square.": lambda x, y, v: F.mse_loss(x, y) / v**2,
        "There is a ½ too many: you have the negative log-likelihood of a Gaussian with "
        "σ² = variance.": lambda x, y, v: F.mse_loss(x, y) / v / 2,
        "The constant of the log-likelihood is still there; without it, a perfect reconstruction scores 0.": (
            lambda x, y, v: F.mse_loss(x, y) / v + 0.5 * math.log(math.pi * v),
            lambda x, y, v: F.mse_loss(x, y) / v / 2 + 0.5 * math.log(2 * math.pi * v),
        ),
        "This is 1 minus the normalised error, the share of variance that is explained.": lambda x, y, v: (
            1 - F.mse_loss(x, y) / v
        ),
        "You average the differences before you square them, so that errors of opposite sign cancel.": lambda x, y, v: (
            (x - y).mean() ** 2 / v
        ),
        "There is a square root too many: the squared error itself is asked for.": (
            lambda x, y, v: F.mse_loss(x, y).sqrt() / v,
            lambda x, y, v: (F.mse_loss(x, y) / v).sqrt(),
        ),
        "You average absolute differences; square them instead.": lambda x, y, v: F.l1_loss(x, y) / v,
        "This is Huber's loss, which counts large errors less; square them all.": (
            lambda x, y, v: F.huber_loss(y, x) / v,
            lambda x, y, v: 2 * F.huber_loss(y, x) / v,
        ),
        "You divide by the variance of these very images instead of the one handed in. Then the unit changes with "
        "every batch, and a flat image would divide by zero.": (
            lambda x, y, v: F.mse_loss(x, y) / x.var(),
            lambda x, y, v: F.mse_loss(x, y) / x.var(correction=0),
            lambda x, y, v: F.mse_loss(x, y) / x.flatten(1).var(dim=1).mean(),
            lambda x, y, v: ((x - y).square().flatten(1).mean(1) / x.flatten(1).var(1)).mean(),
            lambda x, y, v: ((x - y).square().flatten(1).mean(1) / x.flatten(1).var(1, correction=0)).mean(),
        ),
        "You sum over all pixels; with a mean, the loss does not depend on batch and image size.": (
            lambda x, y, v: (x - y).square().sum() / v,
            lambda x, y, v: (x - y).square().sum(),
        ),
        "You sum over the pixels of an image; a mean over all elements is asked for.": (
            lambda x, y, v: (x - y).square().sum() / len(x) / v,
            lambda x, y, v: (x - y).square().sum() / len(x),
        ),
        "You sum over the batch; a mean over all elements is asked for.": (
            lambda x, y, v: F.mse_loss(x, y) * len(x) / v,
            lambda x, y, v: F.mse_loss(x, y) * len(x),
        ),
        "The errors of the single pixels came back; one number is asked for, their mean.": (
            lambda x, y, v: (x - y).square() / v,
            lambda x, y, v: (x - y).square(),
        ),
        "The value is right, but a scalar has no axes; yours has some, of size 1.": (
            lambda x, y, v: (x - y).square().mean(dim=(0, 1, 2, 3), keepdim=True) / v,
            lambda x, y, v: (F.mse_loss(x, y) / v).view(1),
        ),
    }
)


# latent_shape

_STRIDES = "How does one 4×4 convolution with stride 2 and padding 1 change a side? How often does it happen?"
latent_shape = Task(
    lambda config, height, width: (height // config.downsample, width // config.downsample),
    name="latent_shape",
    points=1,
    reads=integers("rows", "columns"),
    zero=0.5,
    otherwise=lambda got, config, height, width: (
        f"For {height}×{width} pixels and downsample={config.downsample} the index map does not have "
        f"{'×'.join(f'{float(side):g}' for side in got)} positions."
    ),
    hint=_STRIDES,
)


@latent_shape.inputs
def _image_sizes() -> Iterator[tuple[VQVAEConfig, int, int]]:
    for (rows, columns), downsample in itertools.product(((17, 17), (3, 5), (9, 16), (1, 1)), (4, 2, 8)):
        config = VQVAEConfig(hidden=24, residual_layers=5, downsample=downsample, code_dim=6, num_codes=11)
        yield config, rows * downsample, columns * downsample


def _both(side: Callable[[VQVAEConfig, int], int]) -> Callable[[VQVAEConfig, int, int], tuple[int, int]]:
    return lambda config, height, width: (side(config, height), side(config, width))


def _unpadded(config: VQVAEConfig, side: int) -> int:
    for _ in range(config.downsample.bit_length() - 1):
        side = (side - 4) // 2 + 1
    return side


latent_shape.mistakes(
    {
        "Rows and columns are swapped: the height comes first.": lambda c, h, w: (w // c.downsample, h // c.downsample),
        "Your map is always square; the width has a say of its own.": lambda c, h, w: (h // c.downsample,) * 2,
        "Your map is always square; the height has a say of its own.": lambda c, h, w: (w // c.downsample,) * 2,
        "Each side is one too large: these sides leave no remainder to round up.": _both(
            lambda c, n: n // c.downsample + 1
        ),
        "You always divide by 4; the total stride stands in config.downsample.": _both(lambda c, n: n // 4),
        "You halve once; there are as many stages as it takes to reach config.downsample.": _both(lambda c, n: n // 2),
        "downsample is the total stride, not the number of halvings.": _both(lambda c, n: n // 2**c.downsample),
        "You divide by the stride twice: each side shrinks by it once.": _both(lambda c, n: n // c.downsample**2),
        "You divide by the number of stages; each of them halves.": _both(
            lambda c, n: n // (c.downsample.bit_length() - 1)
        ),
        "Residual layers leave the size as it is; only strides change it.": _both(
            lambda c, n: n // 2**c.residual_layers
        ),
        "You halve once more than the encoder does.": _both(lambda c, n: n // (2 * c.downsample)),
        "This is the size of the image; the index map is smaller by config.downsample.": _both(lambda c, n: n),
        "You leave out the padding of 1, so each stage loses a row and a column.": _both(_unpadded),
        "The code length D is no side of the index map: an index stands for a whole code.": (
            lambda c, h, w: (c.code_dim, h // c.downsample, w // c.downsample),
            lambda c, h, w: (h // c.downsample, w // c.downsample, c.code_dim),
        ),
        "K is no side of the index map: it says which numbers stand in it, not how many.": (
            lambda c, h, w: (c.num_codes, h // c.downsample, w // c.downsample),
            lambda c, h, w: (h // c.downsample, w // c.downsample, c.num_codes),
        ),
    }
)


# train_step

SMALL = VQVAEConfig(
    in_channels=1, hidden=4, residual_layers=1, residual_hidden=2, num_codes=5, code_dim=3, downsample=2, beta=0.3
)
Gradients = list[Tensor]  # one for each parameter


@exercise(points=3)
def train_step(answer: Answer) -> None:
    """Judge ``train_step(model, batch, optimizer)`` by what two calls do to small models, the last a steep one."""
    for quantizer, normalize, variance, lr in (
        ("gradient", False, 0.1, float(torch.empty(()).uniform_(0.05, 0.2))),
        ("ema", True, 0.1, float(torch.empty(()).uniform_(0.05, 0.2))),
        ("gradient", False, 1e-4, 1e-4),
    ):
        options = {"quantizer": quantizer, "normalize_latents": normalize, "data_variance": variance}
        model = VQVAE(replace(SMALL, decay=0.5, **options))
        with torch.no_grad():
            model.to_code_dim.weight.mul_(20)  # latents as large as the codes, so that each loss term has a say
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        model.eval()  # as an evaluation leaves it: a training step must not rely on the mode it finds
        for _ in range(2):
            _judge_one_call(answer, model, optimizer)


def _judge_one_call(answer: Answer, model: VQVAE, optimizer: torch.optim.Optimizer) -> None:
    batch = Batch(torch.rand(3, 1, 4, 6), torch.zeros(3, dtype=torch.int64))
    x, anatomy, settings, lr = batch.x.clone(), _anatomy(model), _settings(optimizer), optimizer.param_groups[0]["lr"]
    twin = copy.deepcopy(model).train()
    output = twin(x)
    parts = [_gradients(twin, loss) for loss in (output.recon_loss, output.codebook_loss, output.commitment_loss)]
    stale = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]
    before = [p.detach().clone() for p in model.parameters()]
    calls: list[tuple[bool, bool]] = []  # of each call of the model: all in train mode? with the batch as it is?
    steps: list[int] = []
    hooks = [
        model.register_forward_pre_hook(
            lambda module, inputs: calls.append((all(m.training for m in module.modules()), _same(inputs, x)))
        ),
        optimizer.register_step_post_hook(lambda *_: steps.append(1)),
    ]
    try:
        value = answer(model, batch, optimizer)
    finally:
        for hook in hooks:
            hook.remove()

    if not torch.equal(batch.x, x):
        raise Mistake("Your step changes the batch it was given; the next epoch would see other images.")
    if _anatomy(model) != anatomy:
        raise Mistake(
            "Your step changes the model itself (its parts, types, hooks, which weights may move), not just weights."
        )
    if _settings(optimizer) != settings:
        raise Mistake("Your step changes the settings of the optimizer; its learning rate is not yours to set.")
    moved = [(old - new.detach()) / lr for old, new in zip(before, model.parameters(), strict=True)]
    _judge_calls(calls, steps)
    if not _agree(moved, _combined(parts, (1, 1, model.config.beta))):
        _explain_train_step(model, moved, parts, stale, steps)
    if not steps:
        raise Mistake("The weights move, but not by the optimizer you were given; whoever chose it had a reason.")
    if not all(torch.allclose(a, b, atol=1e-5) for a, b in zip(model.buffers(), twin.buffers(), strict=True)):
        raise Mistake("The weights are right, but the running statistics are not those after one forward pass.")
    _judge_returned_loss(value, float(output.loss.detach()))


def _same(inputs: tuple, x: Tensor) -> bool:
    return len(inputs) == 1 and isinstance(inputs[0], Tensor) and torch.equal(inputs[0].detach(), x)


def _anatomy(model: VQVAE) -> tuple:
    """Return all of a model that a training step must leave alone: everything but the values of its weights."""
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    parts = [(name, tuple(t.shape), t.dtype, t.device, t.requires_grad) for name, t in tensors]
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()]
    return parts, hooks, [name for name, _ in model.named_modules()], "forward" in vars(model), "config" in vars(model)


def _settings(optimizer: torch.optim.Optimizer) -> list[dict]:
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]


def _judge_calls(calls: list[tuple[bool, bool]], steps: list[int]) -> None:
    if not calls:
        raise Mistake("The model is never called.", "Start from output = model(batch.x).")
    trained = [in_train_mode for in_train_mode, _ in calls]
    if not any(trained):
        raise Mistake(
            "The model, or a part of it, runs in eval mode. An EMA codebook only learns in train mode, so here it "
            "would stand still, and nothing would complain.",
            "An evaluation leaves the model in eval mode. Which line undoes that?",
        )
    if not all(trained):
        raise Mistake("The model is called once more in eval mode.", "The training pass has the loss: keep its output.")
    if not all(with_batch for _, with_batch in calls):
        raise Mistake("The model is not given batch.x as it is.", "The images are in [0, 1] already; use all of them.")
    if len(calls) > 1 and len(steps) > 1:
        raise Mistake(f"You take {len(steps)} updates instead of one.")
    if len(calls) > 1:
        raise Mistake(
            f"The model runs {len(calls)} times in one step: each pass in train mode moves the EMA codebook again.",
            "Keep the output of one call and use it for everything.",
        )
    if len(steps) > 1:
        raise Mistake(f"optimizer.step() is called {len(steps)} times: the weights move {len(steps)} times as far.")


def _judge_returned_loss(value: object, loss: float) -> None:
    try:
        (got,) = number(value)
    except Mistake as mistake:
        raise Mistake(f"The step is right, but not what comes back. {mistake.message}") from mistake
    if got.requires_grad:
        raise Mistake(
            "The step is right, but the loss comes back with its whole graph, which would stay in memory as long as "
            "somebody keeps it for a plot.",
            "Return a plain number.",
        )
    if not close(float(got), loss):
        raise Mistake(
            "The step is right, but what it returns is not the loss it took the step on.", "Return output.loss."
        )


def _gradients(model: VQVAE, loss: Tensor) -> Gradients:
    parameters = list(model.parameters())
    if not loss.requires_grad:  # the codebook loss of an EMA codebook
        return [torch.zeros_like(p) for p in parameters]
    found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def _combined(parts: list[Gradients], weights: tuple[float, ...]) -> Gradients:
    return [sum(w * g for w, g in zip(weights, gs, strict=True)) for gs in zip(*parts, strict=True)]


def _agree(a: Gradients, b: Gradients, factor: float = 1.0) -> bool:
    """Whether gradients agree in each parameter, up to rounding of the steepest."""
    steepest = max(float(q.abs().max()) for q in b)
    return all(
        agree(p, factor * q, 2e-3, zero=max(1e-5 * abs(factor) * steepest, 1e-5)) for p, q in zip(a, b, strict=True)
    )


def _weights_of(parts: list[Gradients], moved: Gradients) -> tuple[float, ...]:
    """Return with which weights of the three losses the weights were moved, as nearly as possible."""
    columns = torch.stack([torch.cat([g.flatten() for g in part]) for part in parts], dim=1).double()
    target = torch.cat([m.flatten() for m in moved]).double()
    return tuple(torch.linalg.lstsq(columns, target[:, None], driver="gelsd").solution.flatten().tolist())


def _other_losses(beta: float, variance: float) -> dict[str, tuple[tuple[float, float, float], ...]]:
    """Return what learners minimise in place of output.loss: weights of reconstruction, codebook and commitment."""
    return {
        "You minimise the reconstruction loss alone: nothing holds the encoder near its codes.": ((1, 0, 0),),
        "You add the commitment loss without its weight β. output.loss already has all terms, weighted.": ((1, 1, 1),),
        "β is applied twice: output.loss already contains it.": ((1, 1, beta**2),),
        "β stands before the codebook loss; it belongs to the commitment loss alone.": (
            (1, beta, 1),
            (1, beta, beta),
            (1, beta, beta**2),
        ),
        "You add the commitment loss to output.loss, which already contains it.": ((1, 1, beta + 1), (1, 1, 2 * beta)),
        "You add the codebook and commitment losses to output.loss, which already contains them.": (
            (1, 2, 2 * beta),
            (1, 2, beta + 1),
        ),
        "You leave out the commitment loss.": ((1, 1, 0),),
        "You leave out the codebook loss: nothing moves the codes.": ((1, 0, beta), (1, 0, 1)),
        "You leave out the reconstruction loss: the decoder learns nothing.": ((0, 1, beta), (0, 1, 1)),
        "You minimise the bare squared error: the quantizer's losses and the data's variance are left out.": (
            (variance, 0, 0),
        ),
        "You recompute the reconstruction error without dividing by the data's variance; take output.loss.": (
            (variance, 1, beta),
            (variance, 1, 1),
        ),
    }


def _explain_train_step(
    model: VQVAE, moved: Gradients, parts: list[Gradients], stale: Gradients, steps: list[int]
) -> None:
    beta, zero = model.config.beta, [torch.zeros_like(p) for p in moved]
    expected = _combined(parts, (1, 1, beta))
    was_stale = not _agree(stale, zero)
    if was_stale and _agree(moved, stale):
        raise Mistake("The weights move by the gradients of the batch before: step() comes before backward().")
    if _agree(moved, zero):
        if any(p.grad is not None and bool(p.grad.any()) for p in model.parameters()):
            raise Mistake(
                "Gradients are there, but the weights did not move: optimizer.step() is missing, or comes before "
                "backward()."
            )
        raise Mistake(
            "The weights did not move, and there are no gradients: backward() is missing, or zero_grad() stands "
            "between backward() and step() and wipes them out, or the loss was cut from the graph, or a copy was "
            "trained."
        )
    if was_stale and _agree(moved, [g + s for g, s in zip(expected, stale, strict=True)]):
        raise Mistake(
            "The gradients of the batch before are still there and are added to the new ones: zero_grad() is missing.",
            "backward() adds to .grad; it never starts from zero by itself.",
        )
    for message, weights in _other_losses(beta, model.config.data_variance).items():
        if any(_agree(moved, _combined(parts, w)) for w in weights):
            raise Mistake(message, "Minimise output.loss.")
    if _agree(moved, expected, -1):
        raise Mistake("The step goes uphill: the loss has the wrong sign.")
    if not steps:
        raise Mistake("You do not use the optimizer you were given: its step() is never called.")
    found = _weights_of(parts, moved)
    if _agree(moved, expected, found[0]):
        raise Mistake(
            f"The weights move {found[0]:.3g} times as far as they should: is the loss scaled, are gradients clipped "
            "or repeated, or did a second optimizer step?"
        )
    if _agree(moved, _combined(parts, found)):
        raise Mistake(
            f"The step goes along {found[0]:.3g} times the reconstruction loss, {found[1]:.3g} times the codebook loss "
            f"and {found[2]:.3g} times the commitment loss; the weights are 1, 1 and β = {beta}.",
            "Minimise output.loss.",
        )
    raise Mistake(
        "The weights do not move along the gradient of output.loss.",
        "Four lines in this order: call the model, zero_grad(), backward(), step(), each of them once.",
    )
