"""The continuous baseline: its divergence, its shapes, and its negative ELBO."""

import dataclasses
import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from vqvae_course.vae import VAE, VAEConfig, kl_gauss

B, C, H, W, L = 3, 2, 8, 12, 5
SMALL = VAEConfig(in_channels=C, height=H, width=W, hidden=6, residual_layers=1, residual_hidden=4, latent_dim=L)


def build(**changes) -> VAE:
    return VAE(dataclasses.replace(SMALL, **changes))


def trained(model: VAE, x: torch.Tensor) -> VAE:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        loss = model(x).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.fixture
def x():
    return torch.rand(B, C, H, W)


def test_kl_gauss_agrees_with_torch_distributions():
    mu, logvar = torch.randn(2, 4, L, dtype=torch.float64), torch.randn(2, 4, L, dtype=torch.float64)
    posterior = Independent(Normal(mu, (0.5 * logvar).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    torch.testing.assert_close(kl_gauss(mu, logvar), kl_divergence(posterior, prior))


def test_kl_gauss_is_zero_for_the_prior_alone():
    assert kl_gauss(torch.zeros(L), torch.zeros(L)) == 0
    assert (kl_gauss(torch.randn(50, L), torch.randn(50, L)) > 0).all()


def test_kl_gauss_refuses_different_shapes():
    with pytest.raises(ValueError, match=r"logvar must have the shape of mu, \(3, 5\), got \(3, 1\)"):
        kl_gauss(torch.zeros(3, 5), torch.zeros(3, 1))


def test_an_image_becomes_a_vector_and_an_image_again(x):
    output = build()(x)
    assert output.mu.shape == output.logvar.shape == (B, L)
    assert output.x_hat.shape == x.shape


def test_the_loss_is_minus_the_log_likelihood_plus_the_divergence(x):
    model = build(pixel_variance=0.1).eval()
    output = model(x)
    likelihood = Independent(Normal(model.decode(output.mu), 0.1**0.5), 3)
    torch.testing.assert_close(output.recon_nats, -likelihood.log_prob(x).mean(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.kl_nats, kl_gauss(output.mu, output.logvar).mean())
    assert output.loss == output.recon_nats + output.kl_nats


def test_latents_are_drawn_in_train_mode_and_the_mean_is_taken_in_eval_mode(x):
    model = build()
    first, second = model(x).x_hat, model(x).x_hat
    assert not torch.equal(first, second)
    model.eval()
    assert torch.equal(model(x).x_hat, model(x).x_hat)


def test_the_noise_follows_its_generator_and_has_the_posteriors_spread(x):
    model = build()
    drawn = []
    model.image = lambda z: drawn.append(z) or torch.zeros(len(z), C, H, W)
    many = x[:1].expand(4000, -1, -1, -1)
    for _ in range(2):
        output = model(many, torch.Generator().manual_seed(0))
    assert torch.equal(*drawn)
    torch.testing.assert_close(drawn[0].mean(dim=0), output.mu[0], rtol=0, atol=0.08)
    torch.testing.assert_close(drawn[0].std(dim=0), (0.5 * output.logvar[0]).exp(), rtol=0.08, atol=0)


def test_encoding_and_decoding_keep_no_graph_and_leave_the_mode_alone(x):
    model = build()
    mu, logvar = model.encode(x)
    assert not any(part.requires_grad for part in (mu, logvar, model.decode(mu)))
    assert model(x).mu.requires_grad
    assert model.training


def test_gradients_reach_every_weight(x):
    model = build()
    model(x).loss.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_it_can_learn_one_batch_by_heart(x):
    x = torch.nn.functional.interpolate(x[..., :2, :3], size=(H, W), mode="bilinear")  # smooth, so learnable
    model = trained(build(hidden=24, pixel_variance=0.01), x)
    error = (model.eval()(x).x_hat - x).square().mean()
    assert error < 0.2 * x.var()


def test_a_wide_likelihood_silences_the_latent(x):
    model = trained(build(pixel_variance=100.0), x)
    assert model(x).kl_nats < 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"residual_layers": -1}, "residual_layers must be at least 0, got -1"),
        ({"pixel_variance": 0.0}, r"pixel_variance must be positive, got 0\.0"),
        ({"pixel_variance": math.nan}, "pixel_variance must be positive, got nan"),
        ({"downsample": 3}, "downsample must be a power of two, at least 2, got 3"),
        ({"height": 10}, "height must be a multiple of downsample = 4, got 10"),
        ({"width": 30}, "width must be a multiple of downsample = 4, got 30"),
    ],
)
def test_a_config_refuses_values_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)


@pytest.mark.parametrize("wrong", [torch.rand(B, C, W, H), torch.rand(C, H, W), torch.ones(B, C, H, W).byte()])
def test_images_of_another_kind_are_refused(wrong):
    with pytest.raises(ValueError, match=r"x must be \(B, 2, 8, 12\) float in \[0, 1\], got"):
        build()(wrong)
