import copy
import dataclasses

import pytest
import torch
from torch import nn

from vqvae_course.quantize import kmeans_init
from vqvae_course.vqvae import VQVAE, VQVAEConfig

B, C, D, K = 2, 3, 4, 5
HEIGHT, WIDTH, STRIDE = 16, 24, 4
H, W = HEIGHT // STRIDE, WIDTH // STRIDE
SMALL = VQVAEConfig(
    in_channels=C, hidden=8, residual_layers=1, residual_hidden=6, num_codes=K, code_dim=D, downsample=STRIDE
)
VARIANTS = pytest.mark.parametrize(
    ("quantizer", "normalize_latents"),
    [("ema", False), ("ema", True), ("gradient", False), ("gradient", True)],
    ids=lambda value: value if isinstance(value, str) else f"normalize={value}",
)


def build(**changes) -> VQVAE:
    return VQVAE(dataclasses.replace(SMALL, **changes))


@pytest.fixture
def x():
    return torch.rand(B, C, HEIGHT, WIDTH)


def snapshot(model: nn.Module) -> dict:
    return copy.deepcopy(model.state_dict())


def assert_unchanged(model: nn.Module, before: dict, prefix: str = "") -> None:
    for name, value in model.state_dict().items():
        if name.startswith(prefix):
            assert torch.equal(value, before[name]), name


# --- shapes and losses


@VARIANTS
def test_a_model_of_half_precision_keeps_codes_and_losses_in_float32(x, quantizer, normalize_latents):
    model, x = build(quantizer=quantizer, normalize_latents=normalize_latents).bfloat16(), x.bfloat16()
    model.init_codebook(x)
    output = model(x)
    output.loss.backward()
    assert output.loss.dtype == model.quantizer.codebook.dtype == torch.float32
    assert output.x_hat.dtype == model.decode(model.encode(x)).dtype == torch.bfloat16
    assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)


@VARIANTS
def test_shapes_follow_the_stride(x, quantizer, normalize_latents):
    model = build(quantizer=quantizer, normalize_latents=normalize_latents)
    output = model(x)
    assert model.latents(x).shape == (B, D, H, W)
    assert output.x_hat.shape == x.shape
    assert output.indices.shape == model.encode(x).shape == (B, H, W)
    assert output.indices.dtype == torch.int64
    assert all(value.shape == () for value in output[2:])


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_any_power_of_two_may_be_the_stride(x, stride):
    model = build(downsample=stride)
    assert model(x).x_hat.shape == x.shape
    assert model.encode(x).shape == (B, HEIGHT // stride, WIDTH // stride)


@VARIANTS
def test_the_loss_is_the_sum_of_its_three_terms(x, quantizer, normalize_latents):
    model = build(quantizer=quantizer, normalize_latents=normalize_latents, beta=0.7)
    output = model(x)
    expected = output.recon_loss + output.codebook_loss + 0.7 * output.commitment_loss
    torch.testing.assert_close(output.loss, expected)
    assert output.commitment_loss > 0
    assert (output.codebook_loss > 0) == (quantizer == "gradient")


def test_the_reconstruction_loss_is_the_mean_squared_error_in_units_of_the_data_variance(x):
    output = build(data_variance=0.1)(x)
    torch.testing.assert_close(output.recon_loss, (output.x_hat - x).square().sum() / x.numel() / 0.1)


def test_beta_reaches_the_quantizer(x):
    assert build(beta=0.7).quantizer.beta == 0.7
    assert build(beta=0.7, quantizer="gradient").quantizer.beta == 0.7
    assert build(decay=0.8).quantizer.decay == 0.8


# --- encode and decode


@VARIANTS
def test_decoding_the_indices_gives_the_reconstruction(x, quantizer, normalize_latents):
    model = build(quantizer=quantizer, normalize_latents=normalize_latents)
    model(x)  # so that the running statistics are no longer 0 and 1
    model.eval()
    output = model(x)
    assert torch.equal(model.encode(x), output.indices)
    torch.testing.assert_close(model.decode(model.encode(x)), output.x_hat, rtol=1e-4, atol=1e-5)


@VARIANTS
def test_an_index_map_does_not_depend_on_the_other_images_of_its_batch(x, quantizer, normalize_latents):
    model, x = build(quantizer=quantizer, normalize_latents=normalize_latents).double().eval(), x.double()
    assert torch.equal(model.encode(x), torch.cat([model.encode(x[:1]), model.encode(x[1:])]))


@pytest.mark.parametrize("mode", [True, False])
def test_encoding_never_moves_the_ema_codebook(x, mode):
    model = build().train(mode)
    before = snapshot(model)
    model.encode(x)
    model.decode(model.encode(x))
    assert_unchanged(model, before)


@VARIANTS
def test_eval_mode_changes_nothing(x, quantizer, normalize_latents):
    restart = 5.0 if quantizer == "ema" else 0.0
    model = build(quantizer=quantizer, normalize_latents=normalize_latents, restart_below=restart).eval()
    before = snapshot(model)
    model(x)
    assert_unchanged(model, before)


def test_train_mode_moves_the_ema_codebook(x):
    model = build()
    before = model.quantizer.codebook.clone()
    model(x)
    assert not torch.equal(model.quantizer.codebook, before)


def test_encoding_and_decoding_keep_no_graph_and_leave_the_mode_alone(x):
    model = build()
    assert not model.encode(x).requires_grad
    assert not model.decode(model.encode(x)).requires_grad
    assert model(x).x_hat.requires_grad
    assert model.training


# --- gradients


@VARIANTS
def test_the_reconstruction_teaches_the_encoder_through_the_codes_but_not_the_codebook(x, quantizer, normalize_latents):
    model = build(quantizer=quantizer, normalize_latents=normalize_latents)
    model(x).recon_loss.backward()
    for name, parameter in model.named_parameters():
        if name == "quantizer.codebook":
            assert parameter.grad is None or not parameter.grad.any()
        elif not (normalize_latents and name == "to_code_dim.bias"):  # a mean that normalisation takes away
            assert parameter.grad.abs().sum() > 0, name


def test_commitment_does_not_reach_the_decoder(x):
    model = build()
    model(x).commitment_loss.backward()
    assert all(parameter.grad is None for parameter in model.decoder.parameters())


# --- normalised latents


def test_normalized_latents_have_mean_zero_and_variance_one_in_each_channel(x):
    model = build(normalize_latents=True)
    assert [name for name, _ in model.normalize.named_parameters()] == []  # no learned scale
    z_e = model.latents(10 * x)
    torch.testing.assert_close(z_e.mean(dim=(0, 2, 3)), torch.zeros(D), rtol=0, atol=1e-4)
    torch.testing.assert_close(z_e.var(dim=(0, 2, 3), correction=0), torch.ones(D), rtol=0.05, atol=0)


def test_latents_are_left_as_they_are_unless_asked(x):
    model = build()
    torch.testing.assert_close(model.latents(x), model.to_code_dim(model.encoder(x)))


# --- codebook start and restart


@VARIANTS
def test_init_codebook_puts_the_codes_on_the_latents(x, quantizer, normalize_latents):
    model = build(quantizer=quantizer, normalize_latents=normalize_latents)
    model.init_codebook(x, torch.Generator().manual_seed(0))
    latents = model.quantizer.to_rows(model.latents(x).detach())
    expected = kmeans_init(latents, K, torch.Generator().manual_seed(0))
    assert len(expected.unique(dim=0)) == K
    torch.testing.assert_close(model.quantizer.codebook.detach(), expected)


def test_init_codebook_restarts_the_statistics_too(x):
    model = build()
    model(x)  # moves the statistics away from where they start
    model.init_codebook(x, torch.Generator().manual_seed(0))
    placed = model.quantizer.codebook.clone()
    assert torch.equal(model.quantizer.ema_sum, placed)
    assert torch.equal(model.quantizer.ema_count, torch.ones(K))
    q = model.quantizer(model.latents(x))
    # So one update moves each code from there a known part of the way to the mean of the latents that chose it.
    latents, chosen = model.quantizer.to_rows(model.latents(x)), q.indices.flatten()
    share = 1 - model.quantizer.decay
    for code in chosen.unique():
        mine = latents[chosen == code]
        part = share * len(mine) / (1 - share + share * len(mine))
        expected = placed[code] + part * (mine.mean(dim=0) - placed[code])
        torch.testing.assert_close(model.quantizer.codebook[code], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("quantizer", ["ema", "gradient"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_init_codebook_keeps_the_means_of_half_precision_latents_in_float32(x, quantizer, dtype):
    model, z_e = build(quantizer=quantizer), (100 * torch.randn(B, D, H, W)).to(dtype)
    model.latents = lambda x: z_e
    model.init_codebook(x, torch.Generator().manual_seed(0))
    rows = model.quantizer.to_rows(z_e.float())
    torch.testing.assert_close(
        model.quantizer.codebook.detach(), kmeans_init(rows, K, torch.Generator().manual_seed(0))
    )


def test_init_codebook_follows_its_generator(x):
    model, other = build(), build()
    other.load_state_dict(model.state_dict())
    model.init_codebook(x, torch.Generator().manual_seed(3))
    torch.rand(7)
    other.init_codebook(x, torch.Generator().manual_seed(3))
    assert torch.equal(model.quantizer.codebook, other.quantizer.codebook)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_init_codebook_refuses_images_that_are_not_finite_and_leaves_the_model_as_it_was(x, value):
    model = build(normalize_latents=True).eval()
    before = snapshot(model)
    x[1, 0, 2, 3] = value
    with pytest.raises(ValueError, match="x must be finite, got NaN or infinity in 1 of 2 images: leave those out"):
        model.init_codebook(x)
    assert_unchanged(model, before)
    with torch.no_grad():
        model.to_code_dim.bias[0] = value
    with pytest.raises(ValueError, match="z must be finite, got NaN or infinity in 48 of 48 latents"):
        model.init_codebook(torch.rand_like(x))
    assert_unchanged(model, before, "quantizer.")
    assert not model.training


def test_init_codebook_needs_a_latent_for_each_code(x):
    with pytest.raises(ValueError, match="z must hold at least num_codes = 500 latents, got 48"):
        build(num_codes=500).init_codebook(x)


def test_codes_in_disuse_restart_in_train_mode(x):
    model = build(restart_below=0.995)
    with torch.no_grad():
        model.quantizer.codebook[3] = model.quantizer.ema_sum[3] = 100.0
    model(x)
    assert model.quantizer.codebook[3].abs().max() < 50
    assert model.quantizer.ema_count[3] == 1.0


def test_restarts_draw_from_the_generator_that_is_given(x):
    model = build(restart_below=2.0)  # of 5 codes, several restart
    other, third = copy.deepcopy(model), copy.deepcopy(model)
    model(x, torch.Generator().manual_seed(3))
    state = torch.get_rng_state()
    other(x, torch.Generator().manual_seed(3))
    third(x, torch.Generator().manual_seed(4))
    assert torch.equal(torch.get_rng_state(), state)  # the global one plays no part
    assert torch.equal(model.quantizer.codebook, other.quantizer.codebook)
    assert not torch.equal(model.quantizer.codebook, third.quantizer.codebook)


def test_codes_in_disuse_stay_unless_asked(x):
    model = build()
    with torch.no_grad():
        model.quantizer.codebook[3] = model.quantizer.ema_sum[3] = 100.0
    model(x)
    assert model.quantizer.codebook[3].min() > 50


# --- learning


@VARIANTS
def test_it_can_learn_one_batch_by_heart(x, quantizer, normalize_latents):
    x = nn.functional.interpolate(x[..., :4, :6], size=(HEIGHT, WIDTH), mode="bilinear")  # smooth, so learnable
    model = build(
        hidden=24, num_codes=48, quantizer=quantizer, normalize_latents=normalize_latents, data_variance=float(x.var())
    )
    model.init_codebook(x, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(400):
        output = model(x)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(float(output.recon_loss.detach()))
    assert losses[0] > 1  # worse than the mean image
    assert losses[-1] < 0.25  # with a single code, its place in the map still tells it enough for about 0.5


def test_autocast_keeps_the_losses_in_float32(x):
    model = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(x)
    assert output.loss.dtype == output.recon_loss.dtype == torch.float32
    output.loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


# --- configuration


@VARIANTS
def test_a_model_rebuilds_from_its_config(x, quantizer, normalize_latents):
    model = build(quantizer=quantizer, normalize_latents=normalize_latents)
    again = VQVAE(model.config)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(x).x_hat, model.eval()(x).x_hat)


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.beta = 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"residual_hidden": 0}, "residual_hidden must be at least 1, got 0"),
        ({"num_codes": 0}, "num_codes must be at least 1, got 0"),
        ({"code_dim": 0}, "code_dim must be at least 1, got 0"),
        ({"residual_layers": -1}, "residual_layers must be at least 0, got -1"),
        ({"data_variance": 0.0}, "data_variance must be positive and finite, got 0.0"),
        ({"data_variance": float("nan")}, "data_variance must be positive and finite, got nan"),
        ({"beta": -0.1}, "beta must be finite and not negative, got -0.1"),
        ({"decay": 1.0}, r"decay must lie in \[0, 1\), got 1.0"),
        ({"decay": -0.1}, r"decay must lie in \[0, 1\), got -0.1"),
        ({"quantizer": "gumbel"}, 'quantizer must be "ema" or "gradient", got \'gumbel\''),
        ({"restart_below": float("nan")}, "restart_below must be finite and not negative, got nan"),
        ({"quantizer": "gradient", "restart_below": 1.0}, "restart_below must be 0 unless quantizer is"),
        ({"downsample": 3}, "downsample must be a power of two, at least 2, got 3"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_config_refuses_values_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        VQVAEConfig(**changes)


def test_every_width_that_the_config_allows_builds():
    x = torch.rand(B, 1, HEIGHT, WIDTH)
    config = VQVAEConfig(in_channels=1, hidden=1, residual_layers=0, residual_hidden=1, num_codes=1, code_dim=1)
    assert VQVAE(config)(x).x_hat.shape == x.shape


@pytest.mark.parametrize(
    "shape",
    [(C, HEIGHT, WIDTH), (B, C + 1, HEIGHT, WIDTH), (B, C, 18, WIDTH), (B, C, HEIGHT, 23), (B, C, 0, WIDTH)],
    ids=lambda shape: "x".join(map(str, shape)),
)
@pytest.mark.parametrize("method", ["forward", "encode", "latents", "init_codebook"])
def test_images_of_another_shape_are_refused(shape, method):
    with pytest.raises(ValueError, match=r"x must have shape \(B, 3, H, W\) with H and W positive multiples of 4, got"):
        getattr(build(), method)(torch.rand(shape))


@pytest.mark.parametrize("method", ["forward", "encode"])
def test_images_of_bytes_are_refused_with_the_cure(x, method):
    with pytest.raises(ValueError, match=r"x must be float in \[0, 1\], got torch.uint8: divide uint8 images by 255"):
        getattr(build(), method)((255 * x).to(torch.uint8))


def test_decode_refuses_indices_without_a_code():
    with pytest.raises(ValueError, match=r"indices must lie in \[0, 5\), got 5 to 5"):
        build().decode(torch.full((B, H, W), K))
