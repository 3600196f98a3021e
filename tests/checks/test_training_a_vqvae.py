"""Right and wrong answers to the exercises of notebook 05."""

import numpy as np
import torch
import torch.nn.functional as F

from tests.checks.registered import Answers

answers = Answers()


# data_variance


@answers.accept("data_variance")
def mean_of_squared_differences(images):
    pixels = images.double() / 255
    return ((pixels - pixels.mean()) ** 2).mean()


@answers.accept("data_variance")
def torch_var(images):
    return images.float().div(255).var().item()


@answers.accept("data_variance")
def numpy_var(images):
    return np.var(images.numpy() / 255.0)


@answers.accept("data_variance")
def two_moments_image_by_image(images):
    total = squares = 0.0
    for image in images:
        image = image.double() / 255
        total += float(image.sum())
        squares += float((image * image).sum())
    mean = total / images.numel()
    return squares / images.numel() - mean**2


@answers.accept("data_variance")
def as_an_array_of_one_number(images):
    return (images / 255).var().reshape(1)


@answers.reject("data_variance", "first batch only")
def first_128(images):
    return (images[:128] / 255).var()


@answers.reject("data_variance", "first batch only")
def first_64(images):
    return (images[:64].double() / 255).var(correction=0)


@answers.reject("data_variance", "within each image")
def per_image_mean(images):
    return (images / 255).flatten(1).var(dim=1).mean()


@answers.reject("data_variance", "wraps around at 256")
def uint8_arithmetic(images):
    return (images * images).double().mean() / 255**2 - ((images / 255).mean()) ** 2


@answers.reject("data_variance", "one number is asked for")
def one_per_channel(images):
    return (images.repeat(1, 2, 1, 1) / 255).var(dim=(0, 2, 3))


@answers.reject("data_variance", "raised")
def torch_cannot_average_bytes(images):
    return images.mean() / 255


@answers.reject("data_variance", "within each batch")
def mean_of_batch_variances(images):
    return torch.stack([(batch / 255).var() for batch in images.split(64)]).mean()


@answers.reject("data_variance", "the variance is not 0.0949")
def hard_coded_mnist(images):
    return 0.0949


@answers.reject("data_variance", "is not")
def without_the_border(images):
    return (images[:, :, 1:-1] / 255).var()


@answers.reject("data_variance", "in place")
def scales_in_place(images):
    images //= 255
    return images.float().var()


@answers.reject("data_variance", "is not")
def never_below_a_level(images):
    return max(float((images / 255).var()), 1e-4)


@answers.reject("data_variance", "255² times too large")
def scales_only_what_looks_unscaled(images):
    pixels = images.float()
    return (pixels / 255 if pixels.max() > 1 else pixels).var()


# normalized_mse


@answers.accept("normalized_mse")
def mean_square_over_variance(x, x_hat, variance):
    return ((x - x_hat) ** 2).mean() / variance


@answers.accept("normalized_mse")
def torch_functional(x, x_hat, variance):
    return F.mse_loss(x_hat, x) / variance


@answers.accept("normalized_mse")
def einsum(x, x_hat, variance):
    difference = (x_hat - x).flatten(1)
    return torch.einsum("bi,bi->", difference, difference) / (variance * x.numel())


@answers.accept("normalized_mse")
def loop_over_images(x, x_hat, variance):
    return sum(((a - b) ** 2).mean() for a, b in zip(x, x_hat, strict=True)) / len(x) / variance


@answers.reject("normalized_mse", "sum over all pixels")
def total(x, x_hat, variance):
    return ((x - x_hat) ** 2).sum() / variance


@answers.reject("normalized_mse", "no gradient flows")
def a_python_float(x, x_hat, variance):
    return F.mse_loss(x_hat, x).item() / variance


@answers.reject("normalized_mse", "no gradient flows")
def detached(x, x_hat, variance):
    return F.mse_loss(x_hat.detach(), x) / variance


@answers.reject("normalized_mse", "no gradient flows")
@torch.no_grad()
def without_gradients(x, x_hat, variance):
    return F.mse_loss(x_hat, x) / variance


@answers.reject("normalized_mse", "calls backward() itself")
def calls_backward(x, x_hat, variance):
    loss = F.mse_loss(x_hat, x) / variance
    loss.backward()
    return loss


@answers.reject("normalized_mse", "is not")
def cuts_errors_off(x, x_hat, variance):
    return (x - x_hat).clamp(-5, 5).square().mean() / variance


# latent_shape


@answers.accept("latent_shape")
def floor_division(config, height, width):
    return height // config.downsample, width // config.downsample


@answers.accept("latent_shape")
def stage_by_stage(config, height, width):
    sides = [height, width]
    stride = 1
    while stride < config.downsample:
        sides = [(side + 2 * 1 - 4) // 2 + 1 for side in sides]
        stride *= 2
    return sides


@answers.accept("latent_shape")
def ask_the_model(config, height, width):
    from vqvae_course.vqvae import VQVAE

    return VQVAE(config).encode(torch.zeros(1, config.in_channels, height, width)).shape[1:]


@answers.accept("latent_shape")
def numpy_integers(config, height, width):
    return tuple(np.array([height, width]) // config.downsample)


@answers.reject("latent_shape", "whole numbers")
def true_division(config, height, width):
    return height / config.downsample, width / config.downsample


@answers.reject("latent_shape", "One number")
def how_many_positions(config, height, width):
    return (height // config.downsample) * (width // config.downsample)


@answers.reject("latent_shape", "array of shape")
def an_empty_map(config, height, width):
    return torch.zeros(height // config.downsample, width // config.downsample)


@answers.reject("latent_shape", "one too large")
def two_positions_at_least(config, height, width):
    return max(2, height // config.downsample), max(2, width // config.downsample)


# train_step


@answers.accept("train_step")
def by_the_book(model, batch, optimizer):
    model.train()
    loss = model(batch.x).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@answers.accept("train_step")
def clears_first_and_returns_a_tensor(model, batch, optimizer):
    optimizer.zero_grad(set_to_none=False)
    x, _ = batch
    output = model.train()(x)
    output.loss.backward()
    optimizer.step()
    return output.loss.detach()


@answers.accept("train_step")
def clears_afterwards(model, batch, optimizer):
    model.train()
    loss = model(batch.x).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss)


@answers.accept("train_step")
def adds_the_terms_itself(model, batch, optimizer):
    model.train()
    for parameter in model.parameters():
        parameter.grad = None
    output = model(batch.x)
    loss = output.recon_loss + output.codebook_loss + model.config.beta * output.commitment_loss
    torch.autograd.backward(loss)
    optimizer.step()
    return loss.detach().numpy()


def step_along(model, batch, optimizer, *weights):
    """Take a step along a sum of the three losses with these weights."""
    optimizer.zero_grad()
    output = model.train()(batch.x)
    losses = output.recon_loss, output.codebook_loss, output.commitment_loss
    sum(weight * loss for weight, loss in zip(weights, losses, strict=True)).backward()
    optimizer.step()
    return output.loss.item()


@answers.reject("train_step", "zero_grad() is missing")
def no_zero_grad(model, batch, optimizer):
    model.train()
    loss = model(batch.x).loss
    loss.backward()
    optimizer.step()
    return loss.item()


@answers.reject("train_step", "eval mode")
def stays_in_eval_mode(model, batch, optimizer):
    loss = model(batch.x).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@answers.reject("train_step", "eval mode")
def only_the_decoder_in_train_mode(model, batch, optimizer):
    model.decoder.train()
    return stays_in_eval_mode(model, batch, optimizer)


@answers.reject("train_step", "comes before backward()")
def step_before_backward(model, batch, optimizer):
    model.train()
    loss = model(batch.x).loss
    optimizer.zero_grad()
    optimizer.step()
    loss.backward()
    return loss.item()


@answers.reject("train_step", "backward() is missing")
def no_backward(model, batch, optimizer):
    model.train()
    loss = model(batch.x).loss
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


@answers.reject("train_step", "wipes them out")
def cleared_in_between(model, batch, optimizer):
    model.train()
    loss = model(batch.x).loss
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


@answers.reject("train_step", "optimizer.step() is missing")
def no_step(model, batch, optimizer):
    model.train()
    optimizer.zero_grad()
    loss = model(batch.x).loss
    loss.backward()
    return loss.item()


@answers.reject("train_step", "reconstruction loss alone")
def reconstruction_only(model, batch, optimizer):
    return step_along(model, batch, optimizer, 1, 0, 0)


@answers.reject("train_step", "bare squared error")
def bare_squared_error(model, batch, optimizer):
    model.train()
    optimizer.zero_grad()
    loss = F.mse_loss(model(batch.x).x_hat, batch.x)
    loss.backward()
    optimizer.step()
    return loss.item()


@answers.reject("train_step", "without its weight")
def commitment_without_beta(model, batch, optimizer):
    return step_along(model, batch, optimizer, 1, 1, 1)


@answers.reject("train_step", "before the codebook loss")
def beta_on_both(model, batch, optimizer):
    return step_along(model, batch, optimizer, 1, model.config.beta, model.config.beta)


@answers.reject("train_step", "before the codebook loss")
def beta_on_the_wrong_loss(model, batch, optimizer):
    return step_along(model, batch, optimizer, 1, model.config.beta, 1)


@answers.reject("train_step", "0.2 times the codebook loss and 0.7 times the commitment loss")
def weights_of_its_own(model, batch, optimizer):
    return step_along(model, batch, optimizer, 1, 0.2, 0.7)


@answers.reject("train_step", "uphill")
def ascent(model, batch, optimizer):
    return step_along(model, batch, optimizer, -1, -1, -model.config.beta)


@answers.reject("train_step", "step() is called 2 times")
def two_steps(model, batch, optimizer):
    model.train()
    optimizer.zero_grad()
    loss = model(batch.x).loss
    loss.backward()
    optimizer.step()
    optimizer.step()
    return loss.item()


@answers.reject("train_step", "runs 2 times in one step")
def runs_the_model_twice(model, batch, optimizer):
    model.train()
    optimizer.zero_grad()
    model(batch.x).loss.backward()
    optimizer.step()
    return model(batch.x).loss.item()


@answers.reject("train_step", "not the loss it took the step on")
def returns_the_reconstruction_loss(model, batch, optimizer):
    model.train()
    optimizer.zero_grad()
    output = model(batch.x)
    output.loss.backward()
    optimizer.step()
    return output.recon_loss.item()


@answers.reject("train_step", "a part of it")
def only_the_quantizer_in_train_mode(model, batch, optimizer):
    model.quantizer.train()
    return stays_in_eval_mode(model, batch, optimizer)


@answers.reject("train_step", "by the optimizer you were given")
def an_optimizer_of_its_own(model, batch, optimizer):
    model.train()
    own = torch.optim.SGD(model.parameters(), lr=optimizer.param_groups[0]["lr"])
    own.zero_grad()
    loss = model(batch.x).loss
    loss.backward()
    own.step()
    return loss.item()


@answers.reject("train_step", "never called")
def adam_of_its_own(model, batch, optimizer):
    model.train()
    own = torch.optim.Adam(model.parameters())
    own.zero_grad()
    loss = model(batch.x).loss
    loss.backward()
    own.step()
    return loss.item()


@answers.reject("train_step", "2 updates instead of one")
def two_updates(model, batch, optimizer):
    by_the_book(model, batch, optimizer)
    return by_the_book(model, batch, optimizer)


@answers.reject("train_step", "once more in eval mode")
def logs_in_eval_mode(model, batch, optimizer):
    loss = by_the_book(model, batch, optimizer)
    model.eval()(batch.x)
    return loss


@answers.reject("train_step", "batch.x as it is")
def on_another_range(model, batch, optimizer):
    model.train()
    optimizer.zero_grad()
    loss = model(batch.x * 2 - 1).loss
    loss.backward()
    optimizer.step()
    return loss.item()


@answers.reject("train_step", "batch.x as it is")
def only_the_first_image(model, batch, optimizer):
    return by_the_book(model, batch._replace(x=batch.x[:1]), optimizer)


@answers.reject("train_step", "It happened at: return model(batch)")
def passes_the_whole_batch(model, batch, optimizer):
    return model(batch).loss.item()


@answers.reject("train_step", "changes the model itself")
def freezes_the_decoder(model, batch, optimizer):
    for parameter in model.decoder.parameters():
        parameter.requires_grad_(False)
    return by_the_book(model, batch, optimizer)


@answers.reject("train_step", "settings of the optimizer")
def changes_the_learning_rate(model, batch, optimizer):
    loss = by_the_book(model, batch, optimizer)
    optimizer.param_groups[0]["lr"] /= 2
    return loss


@answers.reject("train_step", "settings of the optimizer")
def turns_momentum_on(model, batch, optimizer):
    loss = by_the_book(model, batch, optimizer)
    optimizer.param_groups[0]["momentum"] = 0.9
    return loss


@answers.reject("train_step", "hooks")
def leaves_a_hook_behind(model, batch, optimizer):
    model.register_forward_hook(lambda *_: None)
    return by_the_book(model, batch, optimizer)


@answers.reject("train_step", "gradients clipped")
def clips_steep_gradients(model, batch, optimizer):
    model.train()
    loss = model(batch.x).loss
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1000)
    optimizer.step()
    return loss.item()


@answers.reject("train_step", "running statistics")
def forgets_the_statistics(model, batch, optimizer):
    loss = by_the_book(model, batch, optimizer)
    for buffer in model.buffers():
        buffer.zero_()
    return loss


@answers.reject("train_step", "which already contains it")
def adds_commitment_again(model, batch, optimizer):
    return step_along(model, batch, optimizer, 1, 1, 1 + model.config.beta)


@answers.reject("train_step", "whole graph")
def returns_the_graph(model, batch, optimizer):
    model.train()
    optimizer.zero_grad()
    loss = model(batch.x).loss
    loss.backward()
    optimizer.step()
    return loss


@answers.reject("train_step", "times as far")
def scales_the_loss(model, batch, optimizer):
    return step_along(model, batch, optimizer, 2, 2, 2 * model.config.beta)


@answers.reject("train_step", "a copy was trained")
def cuts_the_loss_from_the_graph(model, batch, optimizer):
    model.train()
    optimizer.zero_grad()
    loss = model(batch.x).loss.detach().requires_grad_()
    loss.backward()
    optimizer.step()
    return loss.item()


@answers.reject("train_step", "returns None")
def forgets_to_return(model, batch, optimizer):
    by_the_book(model, batch, optimizer)


@answers.reject("train_step", "one number is asked for")
def returns_the_output(model, batch, optimizer):
    model.train()
    optimizer.zero_grad()
    output = model(batch.x)
    output.loss.backward()
    optimizer.step()
    return output


test_right_answers_are_accepted, test_wrong_answers_are_told_why = answers.tests()
