"""Checks of notebook 05: data variance, normalised error, latent shape, one training step."""

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

from vqvae_course import metrics
from vqvae_course.checks.answer import NARROW, Answer, Mistake, close
from vqvae_course.checks.report import exercise
from vqvae_course.data import Batch
from vqvae_course.vqvae import VQVAE, VQVAEConfig

BATCH_SIZES = (1, 2, 8, 10, 16, 32, 50, 64, 100, 128, 200, 256, 300, 500, 512)


@exercise(points=1)
def data_variance(answer: Answer) -> None:
    """Judge ``data_variance(images)``: uint8 images to one variance on [0, 1]."""
    for channels in (1, 3):
        images = _uneven_images(channels)
        right = metrics.data_variance(images)
        got = answer.number(images)
        if not close(got, right, 2e-4):
            _explain_data_variance(got, right, images)


def _uneven_images(channels: int) -> Tensor:
    """Draw images of which no part, place or channel looks like the whole, and whose median is not their mean."""
    count = int(torch.randint(520, 700, ()))
    levels = torch.linspace(0.2, 0.8, count).square().view(-1, 1, 1, 1)  # from dark to bright
    noise = 0.3 * levels * (torch.rand(count, channels, 7, 5) - 0.5)
    tint = 0.1 * torch.arange(channels).view(1, -1, 1, 1)
    shade = 0.02 * torch.arange(7).view(-1, 1) - 0.03 * torch.arange(5)
    return (255 * (levels + noise + tint + shade).clamp(0, 0.97)).round().to(torch.uint8)


def _explain_data_variance(got: float, right: float, images: Tensor) -> None:
    unit = images.double() / 255
    factors = {
        255**2: ("Your variance is 255² times too large: pixels were used as 0…255.", "The model sees [0, 1]."),
        4: (
            "Your variance is 4 times too large: it belongs to pixels in [-1, 1], the model's are in [0, 1].",
            "Stretching the range by 2 stretches a variance by 2².",
        ),
        255: ("Your result is off by a factor of 255.", "Divide the pixels by 255, not their variance."),
        1 / 255: ("Your result is off by a factor of 255.", "Divide the pixels by 255, once."),
        (255 / 256) ** 2: ("You divide by 256. The largest pixel is 255, and it should become exactly 1.", ""),
        1 / float(unit.max()) ** 2: ("You divide by the brightest pixel of these images instead of by 255.", ""),
        0.5: ("Your result is half of the variance.", ""),
        2: ("Your result is twice the variance.", ""),
        images.numel(): ("This is the sum of the squared differences; the variance is their mean.", ""),
        1 / right: ("Your result is 1: the pixels were standardised first.", "Only scale them to [0, 1]."),
    }
    for factor, (message, hint) in factors.items():
        if close(got, right * factor, 2e-4):  # wide enough for n and n - 1
            raise Mistake(message, hint)
    one_mean = "All pixels of all images form one set of numbers with one mean."
    for size in BATCH_SIZES:
        for scale, correction in itertools.product((1, 4), (0, 1)):
            if size > 1 and close(got, scale * float(unit[:size].var(correction=correction)), NARROW):
                raise Mistake(
                    "This is the variance of a part of the images, such as the first batch only.",
                    "The whole data set is asked for.",
                )
        parts = unit.split(size)
        if any(close(got, sum(float(p.var(correction=c)) for p in parts) / len(parts), NARROW) for c in (0, 1)):
            raise Mistake(
                f"You take a variance within each {'batch' if size > 1 else 'image'} and average those. How bright "
                "one is compared with the others is lost.",
                one_mean,
            )
    averages = {
        "at each pixel's place over the images": (0,),
        "at each pixel's place over images and channels": (0, 1),
        "per channel": (0, 2, 3),
        "per row": (0, 1, 3),
        "per column": (0, 1, 2),
        "within each channel of each image": (2, 3),
    }
    for where, axes in averages.items():
        if any(close(got, float(unit.var(dim=axes, correction=c).mean()), NARROW) for c in (0, 1)):
            raise Mistake(f"You take one variance {where} and average those.", one_mean)
    values = {
        "This is the standard deviation; the variance is its square.": [
            scale * float(unit.std(correction=c)) for scale in (1, 255) for c in (0, 1)
        ],
        "This is the mean of the squares: the mean was not subtracted first.": (float(unit.square().mean()),),
        "This is the mean of the pixels, not their variance.": (float(unit.mean()), 255 * float(unit.mean())),
        "You subtract the median; a variance is about the mean.": (float((unit - unit.median()).square().mean()),),
        "You average absolute differences; square them.": (float((unit - unit.mean()).abs().mean()),),
    }
    for message, candidates in values.items():
        if any(close(got, candidate, NARROW) for candidate in candidates):
            raise Mistake(message)
    raise Mistake(
        f"For these images the variance is not {got:.4g}.",
        "In this order: floats (arithmetic in uint8 wraps around at 256), scale to [0, 1], one mean over everything.",
    )


@exercise(points=1)
def normalized_mse(answer: Answer) -> None:
    """Judge ``normalized_mse(x, x_hat, variance)``: a differentiable scalar."""
    for shape in ((3, 1, 4, 6), (2, 3, 5, 4), (1, 1, 2, 3)):
        x = torch.rand(shape)
        x_hat = (x + 0.2 * torch.randn(shape)).clamp(0, 1).requires_grad_()
        variance = float(torch.empty(()).uniform_(0.02, 0.2))
        got = answer.number(x, x_hat, variance)
        if x_hat.grad is not None:
            raise Mistake("Your function calls backward() itself; that is up to whoever uses the loss.")
        error = (x - x_hat).detach()
        mse = float(error.square().mean())
        if not close(got, mse / variance):
            _explain_normalized_mse(got, mse, x, error, variance)
        value = answer(x, x_hat, variance)
        if not isinstance(value, Tensor) or not value.requires_grad:
            raise Mistake(
                "The value is right, but no gradient flows back to x_hat, so nothing could be trained with it.",
                "Stay with torch tensors: .item(), float(), .numpy(), .detach() and torch.no_grad() all cut the graph.",
            )
        if value.ndim:
            raise Mistake(f"The value is right, but a scalar has no axes; yours has shape {tuple(value.shape)}.")
        (gradient,) = torch.autograd.grad(value, x_hat, allow_unused=True)
        wanted = -2 * error / (error.numel() * variance)
        if gradient is None or not torch.allclose(gradient, wanted, rtol=1e-3, atol=1e-6):
            raise Mistake("The value is right, but its gradient with respect to x_hat is not that of a mean square.")


def _explain_normalized_mse(got: float, mse: float, x: Tensor, error: Tensor, variance: float) -> None:
    batch, per_image, right = len(x), error.numel() // len(x), mse / variance
    per_image_mse, each = error.square().flatten(1).mean(dim=1), x.flatten(1)
    own_variances = [float(x.var(correction=c)) for c in (0, 1)] + [float(each.var(dim=1).mean())]
    x_hat = x - error
    values = {
        "You divide by the variance of the reconstructions instead of the one handed in.": [
            mse / float(x_hat.var(correction=c)) for c in (0, 1)
        ],
        "The sign is wrong: an error is positive, and training makes it smaller.": [-right],
        "The mean squared error is right, but it is not divided by the variance.": [mse],
        "You multiply by the variance; dividing by it makes the error of the mean image 1.": [mse * variance],
        "You divide by the standard deviation; a squared error is measured in units of the variance.": [
            mse / variance**0.5
        ],
        "You divide by the variance squared; it already is a square.": [mse / variance**2],
        "There is a ½ too many: you have the negative log-likelihood of a Gaussian with σ² = variance.": [right / 2],
        "The constant of the log-likelihood is still there; without it, a perfect reconstruction scores 0.": [
            right + 0.5 * math.log(math.pi * variance),
            right / 2 + 0.5 * math.log(2 * math.pi * variance),
        ],
        "This is 1 minus the normalised error, the share of variance that is explained.": [1 - right],
        "You average the differences before you square them, so that errors of opposite sign cancel.": [
            float(error.mean()) ** 2 / variance
        ],
        "There is a square root too many: the squared error itself is asked for.": [mse**0.5 / variance, right**0.5],
        "You average absolute differences; square them instead.": [float(error.abs().mean()) / variance],
        "You divide by the variance of these very images instead of the one handed in. Then the unit changes with "
        "every batch, and a flat image would divide by zero.": [
            *(mse / own for own in own_variances),
            *(float((per_image_mse / each.var(dim=1, correction=c)).mean()) for c in (0, 1)),
        ],
        "You sum over all pixels; with a mean, the loss does not depend on batch and image size.": [
            right * error.numel(),
            mse * error.numel(),
        ],
    }
    if batch > 1:  # with one image these sums are the one above
        values["You sum over the pixels of an image; a mean over all elements is asked for."] = [
            right * per_image,
            mse * per_image,
        ]
        values["You sum over the batch; a mean over all elements is asked for."] = [right * batch, mse * batch]
    for message, candidates in values.items():  # so many candidates that one would often be near by chance
        if any(close(got, candidate, NARROW) for candidate in candidates):
            raise Mistake(message)
    raise Mistake(
        f"For these tensors the result is not {got:.4g}.", "Mean of the squared differences, over the variance."
    )


@exercise(points=1)
def latent_shape(answer: Answer) -> None:
    """Judge ``latent_shape(config, height, width)``: rows and columns of the index map."""
    cases, given = [], []
    for downsample, (rows, columns) in itertools.product((4, 2, 8), ((7, 7), (3, 5), (9, 16))):
        config = VQVAEConfig(hidden=24, residual_layers=5, downsample=downsample, code_dim=6, num_codes=11)
        case = config, rows * downsample, columns * downsample
        cases.append(case)
        given.append(_pair(answer(*case), config))
    wanted = [(height // config.downsample, width // config.downsample) for config, height, width in cases]
    if given == wanted:
        return
    for rule, message in _WRONG_SHAPES.items():
        if given == [rule(*case) for case in cases]:
            raise Mistake(message, "How does one 4×4 convolution with stride 2 and padding 1 change a side? How often?")
    case, got = next((case, got) for case, got, right in zip(cases, given, wanted, strict=True) if got != right)
    raise Mistake(
        f"For {case[1]}×{case[2]} pixels and downsample={case[0].downsample} the index map does not have "
        f"{got[0]}×{got[1]} positions.",
        "How does one 4×4 convolution with stride 2 and padding 1 change a side? How often does it happen?",
    )


def _pair(value: object, config: VQVAEConfig) -> tuple[int, int]:
    if isinstance(value, Tensor | np.ndarray):
        if value.ndim > 1:
            raise Mistake(f"A pair (rows, columns) is asked for; an array of shape {tuple(value.shape)} came back.")
        value = value.tolist()
    if isinstance(value, Real):
        raise Mistake("One number came back; rows and columns are asked for.", "Return two numbers.")
    if not isinstance(value, tuple | list):
        raise Mistake(f"A pair (rows, columns) is asked for; a {type(value).__name__} came back.")
    if len(value) == 3 and config.code_dim in (value[0], value[2]):
        raise Mistake("The code length D is no side of the index map: an index stands for a whole code.")
    if len(value) == 3 and config.num_codes in (value[0], value[2]):
        raise Mistake("K is no side of the index map: it says which numbers stand in it, not how many.")
    if len(value) != 2:
        raise Mistake(f"A pair (rows, columns) is asked for; {len(value)} values came back.")
    sides = tuple(side.item() if isinstance(side, Tensor) else side for side in value)
    if not all(isinstance(side, Integral) and not isinstance(side, bool) for side in sides):
        hint = "Divide with //." if any(isinstance(side, float) for side in sides) else ""
        raise Mistake(f"Sizes are whole numbers; {sides[0]!r} came back.", hint)
    return int(sides[0]), int(sides[1])


def _both(side: Callable[[VQVAEConfig, int], int]) -> Callable[[VQVAEConfig, int, int], tuple[int, int]]:
    return lambda config, height, width: (side(config, height), side(config, width))


def _unpadded(config: VQVAEConfig, side: int) -> int:
    for _ in range(config.downsample.bit_length() - 1):
        side = (side - 4) // 2 + 1
    return side


# What learners compute in place of the answer, and what to say of it.
_WRONG_SHAPES = {
    lambda c, h, w: (w // c.downsample, h // c.downsample): "Rows and columns are swapped: the height comes first.",
    lambda c, h, w: (h // c.downsample,) * 2: "Your map is always square; the width has a say of its own.",
    lambda c, h, w: (w // c.downsample,) * 2: "Your map is always square; the height has a say of its own.",
    _both(
        lambda c, n: n // c.downsample + 1
    ): "Each side is one too large: these sides leave no remainder to round up.",
    _both(lambda c, n: n // 4): "You always divide by 4; the total stride stands in config.downsample.",
    _both(lambda c, n: n // 2): "You halve once; there are as many stages as it takes to reach config.downsample.",
    _both(lambda c, n: n // 2**c.downsample): "downsample is the total stride, not the number of halvings.",
    _both(lambda c, n: n // c.downsample**2): "You divide by the stride twice: each side shrinks by it once.",
    _both(
        lambda c, n: n // (c.downsample.bit_length() - 1)
    ): "You divide by the number of stages; each of them halves.",
    _both(lambda c, n: n // 2**c.residual_layers): "Residual layers leave the size as it is; only strides change it.",
    _both(lambda c, n: n // (2 * c.downsample)): "You halve once more than the encoder does.",
    _both(lambda c, n: n): "This is the size of the image; the index map is smaller by config.downsample.",
    _both(_unpadded): "You leave out the padding of 1, so each stage loses a row and a column.",
}


SMALL = VQVAEConfig(
    in_channels=1, hidden=4, residual_layers=1, residual_hidden=2, num_codes=5, code_dim=3, downsample=2
)


@exercise(points=3)
def train_step(answer: Answer) -> None:
    """Judge ``train_step(model, batch, optimizer)`` by what two calls do to a small model."""
    for quantizer, normalize in (("gradient", False), ("ema", True)):
        config = replace(
            SMALL, beta=0.5, decay=0.5, quantizer=quantizer, normalize_latents=normalize, data_variance=0.1
        )
        model = VQVAE(config)
        with torch.no_grad():
            model.to_code_dim.weight.mul_(20)  # latents as large as the codes, so that each loss term has a say
        optimizer = torch.optim.SGD(model.parameters(), lr=float(torch.empty(()).uniform_(0.05, 0.2)))
        model.eval()  # as an evaluation leaves it: a training step must not rely on the mode it finds
        for _ in range(2):
            _judge_one_call(answer, model, optimizer)


def _judge_one_call(answer: Answer, model: VQVAE, optimizer: torch.optim.Optimizer) -> None:
    batch = Batch(torch.rand(3, 1, 4, 6), torch.zeros(3, dtype=torch.int64))
    x, anatomy, lr = batch.x.clone(), _anatomy(model), optimizer.param_groups[0]["lr"]
    twin = copy.deepcopy(model).train()
    loss = float(twin(x).loss.detach())
    expected = _gradients(model, x, "loss")
    others = {name: _gradients(model, x, name) for name in _OTHER_LOSSES}
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
            "Your step changes the model itself (its parts, types or which weights may move), not just weights."
        )
    if optimizer.param_groups[0]["lr"] != lr:
        raise Mistake("Your step changes the settings of the optimizer; its learning rate is not yours to set.")
    moved = [(old - new.detach()) / lr for old, new in zip(before, model.parameters(), strict=True)]
    _judge_calls(calls, steps)
    if not _agree(moved, expected):
        _explain_train_step(model, moved, expected, stale, others, steps)
    if not steps:
        raise Mistake("The weights move, but not by the optimizer you were given; whoever chose it had a reason.")
    if not all(torch.allclose(a, b, atol=1e-5) for a, b in zip(model.buffers(), twin.buffers(), strict=True)):
        raise Mistake("The weights are right, but the running statistics are not those after one forward pass.")
    _judge_returned_loss(value, loss)


def _same(inputs: tuple, x: Tensor) -> bool:
    return len(inputs) == 1 and isinstance(inputs[0], Tensor) and torch.equal(inputs[0].detach(), x)


def _anatomy(model: VQVAE) -> tuple:
    """Return all of a model that a training step must leave alone: everything but the values of its weights."""
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    parts = [(name, tuple(t.shape), t.dtype, t.device, t.requires_grad) for name, t in tensors]
    return parts, [name for name, _ in model.named_modules()], "forward" in vars(model), "config" in vars(model)


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
    if not isinstance(value, Real | Tensor | np.ndarray | np.generic) or isinstance(value, bool):
        raise Mistake(f"The step is right, but it returns a {type(value).__name__}; the loss is asked for.")
    if isinstance(value, Tensor | np.ndarray) and math.prod(value.shape) != 1:
        raise Mistake(f"The step is right, but it returns shape {tuple(value.shape)}; the loss is one number.")
    if isinstance(value, Tensor) and value.requires_grad:
        raise Mistake(
            "The step is right, but the loss comes back with its whole graph, which would stay in memory as long as "
            "somebody keeps it for a plot.",
            "Return a plain number.",
        )
    if not close(float(value), loss):
        raise Mistake(
            "The step is right, but what it returns is not the loss it took the step on.", "Return output.loss."
        )


# What learners minimise in place of output.loss, and what to say of it.
_OTHER_LOSSES = {
    "reconstruction": "You minimise the reconstruction loss alone: nothing holds the encoder near its codes.",
    "no beta": "You add the commitment loss without its weight β. output.loss already has all terms, weighted.",
    "beta twice": "β is applied twice: output.loss already contains it.",
    "commitment added": "You add the commitment loss to output.loss, which already contains it.",
    "both added": "You add the codebook and commitment losses to output.loss, which already contains them.",
    "quantizer": "You leave out the reconstruction loss: the decoder learns nothing.",
    "bare MSE": "You minimise the bare squared error: the quantizer's losses and the data's variance are left out.",
    "unscaled": "You recompute the reconstruction error without dividing by the data's variance; take output.loss.",
}


def _gradients(model: VQVAE, x: Tensor, loss: str) -> list[Tensor]:
    """Return the gradient of every parameter for one of several losses, on a copy of the model."""
    twin = copy.deepcopy(model).train()
    output, beta = twin(x), model.config.beta
    recon, codebook, commitment = output.recon_loss, output.codebook_loss, output.commitment_loss
    losses = {
        "loss": output.loss,
        "reconstruction": recon,
        "no beta": recon + codebook + commitment,
        "beta twice": recon + codebook + beta**2 * commitment,
        "commitment added": output.loss + commitment,
        "both added": output.loss + codebook + beta * commitment,
        "quantizer": codebook + beta * commitment,
        "bare MSE": recon * model.config.data_variance,
        "unscaled": recon * model.config.data_variance + codebook + beta * commitment,
    }
    parameters = list(twin.parameters())
    found = torch.autograd.grad(losses[loss], parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def _agree(a: list[Tensor], b: list[Tensor], factor: float = 1.0) -> bool:
    return all(torch.allclose(p, factor * q, rtol=2e-3, atol=1e-4) for p, q in zip(a, b, strict=True))


def _explain_train_step(
    model: VQVAE,
    moved: list[Tensor],
    expected: list[Tensor],
    stale: list[Tensor],
    others: dict[str, list[Tensor]],
    steps: list[int],
) -> None:
    zero = [torch.zeros_like(p) for p in moved]
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
    for name, message in _OTHER_LOSSES.items():
        if _agree(moved, others[name]):
            raise Mistake(message, "Minimise output.loss.")
    if _agree(moved, expected, -1):
        raise Mistake("The step goes uphill: the loss has the wrong sign.")
    if not steps:
        raise Mistake("You do not use the optimizer you were given: its step() is never called.")
    along = sum(float((m * e).sum()) for m, e in zip(moved, expected, strict=True))
    ratio = along / sum(float(e.square().sum()) for e in expected)
    if _agree(moved, expected, ratio):
        raise Mistake(
            f"The weights move {ratio:.3g} times as far as they should: is the loss scaled, are gradients clipped or "
            "repeated, or did a second optimizer step?"
        )
    raise Mistake(
        "The weights do not move along the gradient of output.loss.",
        "Four lines in this order: call the model, zero_grad(), backward(), step(), each of them once.",
    )
