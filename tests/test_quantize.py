import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.distances import all_distances, assert_nearest
from vqvae_course import quantize
from vqvae_course.quantize import (
    EMAVectorQuantizer,
    VectorQuantizer,
    kmeans_init,
    kmeans_step,
    laplace_smooth,
    restart_dead_codes,
    straight_through,
)

B, D, H, W, K = 2, 3, 4, 6, 5
ELEMENTS = B * D * H * W
BOTH = pytest.mark.parametrize("kind", [VectorQuantizer, EMAVectorQuantizer])


def rows_of(z_e: torch.Tensor) -> torch.Tensor:
    """Return the latents one by one, without the reshape under test."""
    return torch.stack([z_e[b, :, i, j] for b in range(len(z_e)) for i in range(H) for j in range(W)])


# --- straight_through


def test_straight_through_has_the_value_of_the_codes():
    z_e, e_k = torch.randn(B, D, H, W), torch.randn(B, D, H, W)
    torch.testing.assert_close(straight_through(z_e, e_k), e_k)


def test_straight_through_has_the_identity_as_jacobian_in_the_latents_and_zero_in_the_codes():
    shape = (1, D, 2, 4)
    z_e, e_k = torch.randn(shape), torch.randn(shape)
    by_latents, by_codes = torch.autograd.functional.jacobian(straight_through, (z_e, e_k))
    size = z_e.numel()
    assert torch.equal(by_latents.view(size, size), torch.eye(size))
    assert torch.equal(by_codes, torch.zeros_like(by_codes))


def test_straight_through_refuses_different_shapes():
    with pytest.raises(ValueError, match=r"e_k must have the shape of z_e, \(2, 3, 4, 6\), got \(2, 3, 4, 1\)"):
        straight_through(torch.randn(B, D, H, W), torch.randn(B, D, H, 1))


# --- what both quantizers share


@BOTH
def test_each_position_gets_the_code_nearest_to_its_own_latent(kind):
    quantizer, z_e = kind(K, D), torch.randn(B, D, H, W)
    codebook = quantizer.codebook.detach().clone()
    q = quantizer(z_e)
    assert q.indices.shape == (B, H, W)
    assert_nearest(q.indices.flatten(), rows_of(z_e), codebook)
    torch.testing.assert_close(rows_of(q.z_q).detach(), codebook[q.indices.flatten()])


@BOTH
def test_rows_come_in_raster_order(kind):
    z_e = torch.randn(B, D, H, W)
    assert torch.equal(kind(K, D).to_rows(z_e), rows_of(z_e))


@BOTH
def test_lookup_puts_each_code_at_its_position(kind):
    quantizer, indices = kind(K, D), torch.randint(K, (B, H, W))
    codes = quantizer.lookup(indices)
    assert codes.shape == (B, D, H, W)
    for b, i, j in np.ndindex(B, H, W):
        assert torch.equal(codes[b, :, i, j], quantizer.codebook[indices[b, i, j]])


@BOTH
def test_the_indices_lead_back_to_the_codes(kind):
    quantizer = kind(K, D).eval()
    q = quantizer(torch.randn(B, D, H, W))
    torch.testing.assert_close(quantizer.lookup(q.indices), q.z_q)


@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="this torch does not say when it exports")
@BOTH
def test_an_exported_graph_chooses_the_same_codes_for_a_batch_of_any_size(kind):
    class Choose(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.quantizer = kind(K, D)

        def forward(self, z_e):
            return self.quantizer.choose(z_e)

    model, far = Choose(), 3e4  # so far out that float32 without a second look errs
    model.quantizer.reset_codes(slice(None), torch.randn(K, D) + far)
    z_e = torch.randn(B + 5, D, H, W) + far
    exported = torch.export.export(model, (z_e[:B],), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    assert torch.equal(exported(z_e), model(z_e))


@BOTH
def test_memory_layout_changes_nothing(kind):
    quantizer, z_e = kind(K, D).eval(), torch.randn(B, D, H, W)
    expected = quantizer(z_e).indices
    assert torch.equal(quantizer(z_e.to(memory_format=torch.channels_last)).indices, expected)
    assert torch.equal(quantizer(z_e.mT.contiguous().mT).indices, expected)


@BOTH
def test_quantizing_does_not_change_its_input(kind):
    z_e = torch.randn(B, D, H, W)
    before = z_e.clone()
    kind(K, D)(z_e)
    assert torch.equal(z_e, before)


@BOTH
def test_losses_are_means_over_all_elements(kind):
    quantizer, z_e = kind(K, D, beta=0.5), torch.randn(B, D, H, W)
    codes = quantizer.codebook.detach().clone()
    q = quantizer(z_e)
    loss, codebook, commitment = (float(value.detach()) for value in q[2:])
    squares = sum(float((z - codes[k]).square().sum()) for z, k in zip(rows_of(z_e), q.indices.flatten(), strict=True))
    mean = squares / ELEMENTS
    expected = mean if kind is VectorQuantizer else 0.0
    assert commitment == pytest.approx(mean, rel=1e-5)
    assert codebook == pytest.approx(expected, rel=1e-5)
    assert loss == pytest.approx(expected + 0.5 * mean, rel=1e-5)


@BOTH
def test_the_loss_does_not_depend_on_the_image_size(kind):
    quantizer, z_e = kind(K, D).eval(), torch.randn(B, D, H, W)
    torch.testing.assert_close(quantizer(z_e.repeat(1, 1, 2, 3)).loss, quantizer(z_e).loss)


@BOTH
def test_the_encoder_gets_the_gradient_of_the_quantized_latent_unchanged(kind):
    z_e, weight = torch.randn(B, D, H, W, requires_grad=True), torch.randn(B, D, H, W)
    (kind(K, D)(z_e).z_q * weight).sum().backward()
    assert torch.equal(z_e.grad, weight)


@BOTH
def test_commitment_pulls_the_encoder_with_strength_beta(kind):
    quantizer, z_e = kind(K, D, beta=0.75), torch.randn(B, D, H, W, requires_grad=True)
    codebook = quantizer.codebook.detach().clone()
    q = quantizer(z_e)
    q.loss.backward()
    e_k = codebook[q.indices].movedim(-1, 1)
    torch.testing.assert_close(z_e.grad, 0.75 * 2 * (z_e.detach() - e_k) / ELEMENTS)


@BOTH
def test_autocast_changes_no_index(kind):
    quantizer = kind(200, D).eval()  # so many codes that bfloat16 would choose others
    z_e = 10 + torch.randn(B, D, H, W)
    with torch.no_grad():
        quantizer.codebook += 10
    plain = quantizer(z_e)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = quantizer(z_e)
    assert torch.equal(mixed.indices, plain.indices)
    for name in ("z_q", "loss", "commitment_loss", "codebook_loss"):
        assert getattr(mixed, name).dtype == torch.float32
        torch.testing.assert_close(getattr(mixed, name), getattr(plain, name))


@BOTH
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_latents_give_back_their_dtype_and_a_float32_loss(kind, dtype):
    quantizer, z_e = kind(K, D), torch.randn(B, D, H, W).to(dtype).requires_grad_()
    codebook = quantizer.codebook.detach().clone()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        q = quantizer(z_e)
    assert q.z_q.dtype == dtype
    assert q.loss.dtype == torch.float32
    assert torch.isfinite(q.z_q).all()
    assert_nearest(q.indices.flatten(), rows_of(z_e), codebook)
    q.loss.backward()
    assert torch.isfinite(z_e.grad).all()


HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


@BOTH
@HALVES
@pytest.mark.parametrize("how", ["method", "to", "inside", "default"])
def test_codes_and_statistics_stay_float32_in_a_model_of_half_precision(kind, dtype, how):
    codebook = torch.randn(K, D)
    if how == "default":
        torch.set_default_dtype(dtype)
    try:
        quantizer = kind(K, D)
    finally:
        torch.set_default_dtype(torch.float32)
    quantizer.reset_codes(slice(None), codebook)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, D, 1), quantizer)
    if how == "method":
        quantizer.half() if dtype == torch.float16 else quantizer.bfloat16()
    elif how == "to":
        quantizer.to("cpu", dtype)
    elif how == "inside":
        model.to(dtype)
        assert model[0].weight.dtype == dtype
    assert {value.dtype for value in quantizer.state_dict().values()} == {torch.float32}
    assert torch.equal(quantizer.codebook.detach(), codebook)  # not even rounded on the way
    q = quantizer(torch.randn(B, D, H, W).to(dtype))
    assert q.z_q.dtype == dtype
    assert q.loss.dtype == torch.float32


@BOTH
def test_a_quantizer_still_goes_to_float64_and_other_devices(kind):
    quantizer = kind(K, D).double()
    assert {value.dtype for value in quantizer.state_dict().values()} == {torch.float64}
    assert quantizer.half().codebook.dtype == torch.float64
    moved = kind(K, D).to("meta", torch.float16)
    assert (moved.codebook.device.type, moved.codebook.dtype) == ("meta", torch.float32)


@HALVES
def test_more_latents_than_float16_can_count_move_the_codes_to_their_mean(dtype):
    quantizer = EMAVectorQuantizer(2, 1, decay=0.0, eps=1e-9).to(dtype)
    quantizer.reset_codes(slice(None), torch.tensor([[0.0], [9.0]]))
    quantizer(torch.full((17, 1, 64, 64), 1.5).to(dtype))  # 69,632 of them
    assert quantizer.ema_count.tolist() == [69632, 0]
    torch.testing.assert_close(quantizer.codebook[0], torch.tensor([1.5]))


@pytest.mark.filterwarnings("ignore:Applying the CPU mse kernel on half-type tensors")  # torch 2.4, before that
@pytest.mark.parametrize("assigned", [True, False])
def test_statistics_brought_to_half_precision_by_force_are_refused(assigned):
    quantizer = EMAVectorQuantizer(K, D)
    if assigned:
        quantizer.load_state_dict({name: value.half() for name, value in quantizer.state_dict().items()}, assign=True)
    else:
        quantizer.ema_count = quantizer.ema_count.bfloat16()
    with pytest.raises(ValueError, match=r"ema_count must be float32 or wider, got torch\.b?float16"):
        quantizer(torch.randn(B, D, H, W))


@BOTH
def test_far_from_its_code_a_half_precision_latent_is_still_replaced_by_it(kind):
    quantizer = kind(1, D)
    quantizer.reset_codes(slice(None), torch.full((1, D), -0.25))
    for value in (60000.0, -60000.0, 300.0):
        z_e = torch.full((B, D, H, W), value).half()
        assert torch.equal(quantizer.eval()(z_e).z_q, torch.full_like(z_e, -0.25))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_latent_that_is_not_finite_spoils_no_running_mean(value):
    quantizer = EMAVectorQuantizer(K, D)
    before = quantizer.codebook.clone()
    z_e = torch.randn(B, D, H, W)
    z_e[1, :, 2, 3] = value
    indices = quantizer(z_e).indices
    moved = (quantizer.codebook != before).any(dim=1)
    assert quantizer.codebook.isfinite().all()
    assert moved.sum() > 1  # the others go on
    torch.testing.assert_close(quantizer.codebook[indices[1, 2, 3]], before[indices[1, 2, 3]])


@BOTH
@pytest.mark.parametrize(
    "shape",
    [(B, D + 1, H, W), (B, H, W, D), (D, H, W), (B, D, H), (B, D, H, W, 1)],
    ids=lambda s: "x".join(map(str, s)),
)
def test_a_feature_map_of_another_shape_is_refused(kind, shape):
    with pytest.raises(ValueError, match=r"z_e must have shape \(B, 3, h, w\), got"):
        kind(K, D)(torch.randn(shape))


@BOTH
@pytest.mark.parametrize(
    "indices",
    [torch.zeros(H, W, dtype=torch.int64), torch.zeros(B, H, W), torch.zeros(B, H, W, dtype=torch.bool)],
    ids=["rank", "float", "bool"],
)
def test_lookup_refuses_what_is_no_index_map(kind, indices):
    with pytest.raises(ValueError, match=r"indices must be \(B, h, w\) integers, got"):
        kind(K, D).lookup(indices)


@BOTH
@pytest.mark.parametrize("value", [-1, K])
def test_lookup_refuses_indices_without_a_code(kind, value):
    indices = torch.zeros(B, H, W, dtype=torch.int64)
    indices[1, 2, 3] = value
    with pytest.raises(ValueError, match=rf"indices must lie in \[0, 5\), got {min(0, value)} to {max(0, value)}"):
        kind(K, D).lookup(indices)


@BOTH
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_codes": 0}, "num_codes must be at least 1, got 0"),
        ({"code_dim": 0}, "code_dim must be at least 1, got 0"),
        ({"beta": -0.1}, "beta must not be negative, got -0.1"),
    ],
)
def test_a_quantizer_refuses_arguments_out_of_range(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**{"num_codes": K, "code_dim": D, **arguments})


# --- the gradient codebook


def gradients(beta: float):
    torch.manual_seed(1)
    quantizer, z_e = VectorQuantizer(K, D, beta=beta), torch.randn(B, D, H, W, requires_grad=True)
    quantizer(z_e).loss.backward()
    return z_e.grad, quantizer.codebook.grad


def test_beta_scales_only_the_encoder_gradient():
    encoder, codes = gradients(0.25)
    encoder_tripled, codes_same = gradients(0.75)
    torch.testing.assert_close(encoder_tripled, 3 * encoder)
    assert torch.equal(codes_same, codes)
    assert encoder.abs().sum() > 0


def test_without_beta_only_the_codebook_learns():
    encoder, codes = gradients(0.0)
    assert torch.equal(encoder, torch.zeros_like(encoder))
    assert codes.abs().sum() > 0


def test_the_codebook_loss_pulls_each_code_to_the_latents_that_chose_it():
    quantizer, z_e = VectorQuantizer(K, D), torch.randn(B, D, H, W)
    q = quantizer(z_e)
    q.loss.backward()
    expected = torch.zeros(K, D)
    for z, k in zip(rows_of(z_e), q.indices.flatten(), strict=True):
        expected[k] += 2 * (quantizer.codebook[k].detach() - z) / ELEMENTS
    torch.testing.assert_close(quantizer.codebook.grad, expected)


def test_the_reconstruction_gives_the_gradient_codebook_no_gradient():
    quantizer, z_e = VectorQuantizer(K, D), torch.randn(B, D, H, W, requires_grad=True)
    q = quantizer(z_e)
    reached = torch.autograd.grad(q.z_q.square().sum(), quantizer.codebook, allow_unused=True)[0]
    assert reached is None or not reached.any()


def test_each_loss_reaches_one_side_only():
    quantizer, z_e = VectorQuantizer(K, D), torch.randn(B, D, H, W, requires_grad=True)
    q = quantizer(z_e)
    assert torch.autograd.grad(q.codebook_loss, z_e, retain_graph=True, allow_unused=True)[0] is None
    assert torch.autograd.grad(q.commitment_loss, quantizer.codebook, allow_unused=True)[0] is None


def test_lookup_is_connected_to_the_codebook():
    quantizer, indices = VectorQuantizer(K, D), torch.randint(K, (B, H, W))
    quantizer.lookup(indices).sum().backward()
    count = torch.bincount(indices.flatten(), minlength=K).float()
    assert torch.equal(quantizer.codebook.grad, count[:, None].expand(K, D))


# --- the EMA codebook


def test_ema_equals_a_replay_by_hand():
    decay, eps, k = 0.9, 1e-2, 9
    quantizer = EMAVectorQuantizer(k, D, decay=decay, eps=eps)
    with torch.no_grad():
        quantizer.codebook[K:] += 50  # codes nobody uses
        quantizer.ema_sum[K:] += 50
    codes = quantizer.codebook.double().numpy().copy()
    count, total = np.ones(k), codes.copy()
    for step in range(20):
        z_e = torch.randn(B, D, H, W) + 0.1 * step
        quantizer(z_e)
        z = rows_of(z_e).double().numpy()
        chosen = ((z[:, None] - codes[None]) ** 2).sum(axis=2).argmin(axis=1)
        assert chosen.max() < K
        for i in range(k):
            count[i] = decay * count[i] + (1 - decay) * np.sum(chosen == i)
            total[i] = decay * total[i] + (1 - decay) * z[chosen == i].sum(axis=0)
        n = count.sum()
        codes = total / ((count + eps) / (n + k * eps) * n)[:, None]
    np.testing.assert_allclose(quantizer.ema_count.numpy(), count, rtol=1e-4)
    np.testing.assert_allclose(quantizer.ema_sum.numpy(), total, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(quantizer.codebook.numpy(), codes, rtol=1e-4, atol=1e-4)


def test_the_ema_moves_each_chosen_code_a_fraction_of_the_way_to_the_mean_of_its_latents():
    decay = 0.8
    quantizer = EMAVectorQuantizer(K, D, decay=decay, eps=1e-9)
    codes, z = quantizer.codebook.clone(), torch.randn(B * H * W, D)
    indices = torch.arange(len(z)) % (K - 1)  # nothing chooses the last one
    quantizer.update(z, indices)
    for i in range(K - 1):
        mine = z[indices == i]
        fraction = (1 - decay) * len(mine) / quantizer.ema_count[i]
        torch.testing.assert_close(quantizer.codebook[i], codes[i] + fraction * (mine.mean(dim=0) - codes[i]))
    torch.testing.assert_close(quantizer.codebook[K - 1], codes[K - 1])


def test_ema_starts_from_a_consistent_pair():
    quantizer = EMAVectorQuantizer(K, D)
    assert torch.equal(quantizer.ema_count, torch.ones(K))
    assert torch.equal(quantizer.ema_sum, quantizer.codebook)


@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_no_code_flies_off_in_the_first_hundred_steps(offset):
    quantizer = EMAVectorQuantizer(512, D)
    largest = quantizer.codebook.norm(dim=1).max()
    for _ in range(100):
        z_e = offset + torch.randn(B, D, H, W)
        largest = torch.maximum(largest, z_e.norm(dim=1).max())
        quantizer(z_e)
        assert quantizer.codebook.norm(dim=1).max() <= 2 * largest


def test_a_code_nobody_uses_stays_where_it_is():
    quantizer = EMAVectorQuantizer(K, D)
    with torch.no_grad():
        quantizer.codebook[4] = quantizer.ema_sum[4] = 50.0
    for _ in range(100):
        assert not (quantizer(torch.randn(B, D, H, W)).indices == 4).any()
    torch.testing.assert_close(quantizer.codebook[4], torch.full((D,), 50.0), rtol=1e-3, atol=0)


def test_without_memory_each_code_becomes_the_mean_of_its_latents():
    quantizer, z_e = EMAVectorQuantizer(K, D, decay=0.0), torch.randn(B, D, H, W)
    indices = quantizer(z_e).indices.flatten()
    assert len(indices.unique()) > 1
    for k in indices.unique():
        torch.testing.assert_close(quantizer.codebook[k], rows_of(z_e)[indices == k].mean(dim=0), rtol=1e-3, atol=1e-4)


def test_laplace_smoothing_keeps_the_total_and_evens_out_the_counts():
    eps = 0.5
    quantizer = EMAVectorQuantizer(K, D, decay=0.5, eps=eps)
    quantizer(3 + torch.randn(B, D, H, W))
    smoothed = (quantizer.ema_sum / quantizer.codebook).mean(dim=1)
    total = quantizer.ema_count.sum()
    torch.testing.assert_close(smoothed.sum(), total)
    torch.testing.assert_close(smoothed, (quantizer.ema_count + eps) / (total + K * eps) * total)
    assert smoothed.std() < quantizer.ema_count.std()


def test_without_memory_or_users_a_code_stays_finite():
    quantizer = EMAVectorQuantizer(K, D, decay=0.0)
    for _ in range(3):
        quantizer(torch.randn(B, D, H, W) + 5)
    assert torch.isfinite(quantizer.codebook).all()


def test_the_ema_codebook_is_no_parameter_and_its_loss_is_zero():
    quantizer = EMAVectorQuantizer(K, D)
    q = quantizer(torch.randn(B, D, H, W, requires_grad=True))
    assert list(quantizer.parameters()) == []
    assert float(q.codebook_loss) == 0.0
    assert not quantizer.codebook.requires_grad
    (q.loss + q.z_q.sum()).backward()
    assert quantizer.codebook.grad is None


def test_eval_mode_leaves_the_codebook_alone():
    quantizer = EMAVectorQuantizer(K, D).eval()
    before = copy.deepcopy(quantizer.state_dict())
    quantizer(torch.randn(B, D, H, W))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


def test_the_forward_pass_uses_the_codebook_from_before_its_update():
    quantizer, z_e = EMAVectorQuantizer(K, D, decay=0.5), torch.randn(B, D, H, W)
    before = quantizer.codebook.clone()
    q = quantizer(z_e)
    assert_nearest(q.indices.flatten(), rows_of(z_e), before)
    torch.testing.assert_close(q.z_q, before[q.indices].movedim(-1, 1))
    assert not torch.allclose(quantizer.codebook, before, atol=1e-2)


def test_the_update_does_not_spoil_the_backward_pass():
    # The codebook moves in place between forward and backward.
    quantizer, z_e = EMAVectorQuantizer(K, D, beta=1.0, decay=0.1), torch.randn(B, D, H, W, requires_grad=True)
    before = quantizer.codebook.clone()
    q = quantizer(z_e)
    q.loss.backward()
    torch.testing.assert_close(z_e.grad, 2 * (z_e.detach() - before[q.indices].movedim(-1, 1)) / ELEMENTS)


def test_a_reloaded_ema_quantizer_continues_bit_for_bit():
    first = EMAVectorQuantizer(K, D, decay=0.8)
    for _ in range(3):
        first(torch.randn(B, D, H, W))
    second = EMAVectorQuantizer(K, D, decay=0.8)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(3):
        z_e = torch.randn(B, D, H, W)
        assert torch.equal(first(z_e).z_q, second(z_e).z_q)
    assert first.state_dict().keys() == {"codebook", "ema_count", "ema_sum"}
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5])
def test_decay_must_forget_something(decay):
    with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\), got"):
        EMAVectorQuantizer(K, D, decay=decay)


@pytest.mark.parametrize("eps", [0.0, -1e-5])
def test_eps_must_be_positive(eps):
    with pytest.raises(ValueError, match="eps must be positive, got"):
        EMAVectorQuantizer(K, D, eps=eps)


# --- kmeans_init


def distortion(z, codebook) -> float:
    return float((all_distances(z, codebook).min(axis=1) ** 2).mean())


def test_a_kmeans_step_moves_each_code_to_the_mean_of_its_latents():
    z, codebook = torch.randn(50, 3), torch.randn(4, 3)
    nearest = torch.cdist(z, codebook).argmin(dim=1)
    stepped = kmeans_step(z, codebook)
    for k in range(4):
        expected = z[nearest == k].mean(dim=0) if (nearest == k).any() else codebook[k]
        torch.testing.assert_close(stepped[k], expected)


def test_a_kmeans_step_leaves_a_code_without_latents_and_its_arguments_alone():
    z, codebook = torch.randn(20, 3), torch.cat([torch.zeros(1, 3), torch.full((1, 3), 100.0)])
    before = codebook.clone()
    assert torch.equal(kmeans_step(z, codebook)[1], before[1])
    assert torch.equal(codebook, before)


def test_kmeans_steps_never_increase_the_error():
    z, codebook = torch.randn(200, 2), torch.randn(7, 2)
    errors = []
    for _ in range(10):
        errors.append(float(torch.cdist(z, codebook).amin(dim=1).square().sum()))
        codebook = kmeans_step(z, codebook)
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(errors))


def test_a_kmeans_step_is_a_gradient_step_on_the_codebook_loss_with_a_rate_of_its_own_for_each_code():
    z, quantizer = torch.randn(40, D), VectorQuantizer(K, D)
    codes = quantizer.codebook.detach().clone()
    quantized = quantizer(z.T.view(1, D, 5, 8))  # the rows of z, position by position
    quantized.codebook_loss.backward()
    count = torch.bincount(quantized.indices.flatten(), minlength=K)[:, None]
    rate = len(z) * D / (2 * count.clamp(min=1))
    torch.testing.assert_close(codes - rate * quantizer.codebook.grad, kmeans_step(z, codes))


def test_laplace_smoothing_by_hand():
    count = torch.tensor([0.0, 1.0, 3.0])
    torch.testing.assert_close(laplace_smooth(count, 0.5), (count + 0.5) / 5.5 * 4)
    assert count.tolist() == [0, 1, 3]


def test_kmeans_codes_are_distinct_and_follow_the_generator():
    z = torch.randn(60, D)
    codes = kmeans_init(z, K, torch.Generator().manual_seed(3))
    assert codes.shape == (K, D)
    assert len(codes.unique(dim=0)) == K
    torch.rand(7)  # the global generator plays no part
    assert torch.equal(codes, kmeans_init(z, K, torch.Generator().manual_seed(3)))
    assert not torch.equal(codes, kmeans_init(z, K, torch.Generator().manual_seed(4)))


def test_kmeans_seeds_are_latents_and_never_coincide():
    # One latent fills nearly the whole batch: drawn uniformly, seeds would repeat it.
    distinct = torch.randn(K, D)
    z = torch.cat([distinct, distinct[:1].expand(500, D)])
    seeds = kmeans_init(z, K, torch.Generator().manual_seed(0), iterations=0)
    assert {tuple(row) for row in seeds.tolist()} == {tuple(row) for row in distinct.tolist()}


def test_kmeans_seeds_prefer_latents_far_from_those_before():
    # A tight crowd, and one latent so far off that it carries nearly all of the squared distance.
    z = torch.cat([0.01 * torch.randn(500, D), torch.full((1, D), 100.0)])
    for seed in range(10):
        seeds = kmeans_init(z, 2, torch.Generator().manual_seed(seed), iterations=0)
        assert (seeds == 100.0).all(dim=1).any()


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_fits_better_than_latents_at_random(seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(200, D, generator=generator)
    at_random = z[torch.randperm(200, generator=generator)[:K]]
    assert distortion(z, kmeans_init(z, K, generator)) < distortion(z, at_random)


def test_kmeans_finds_separate_clusters():
    middles = 100 * torch.randn(K, D)
    z = (middles[:, None] + torch.randn(K, 12, D)).flatten(0, 1)
    assert (
        distortion(z, kmeans_init(z, K, torch.Generator().manual_seed(0))) < D + 1
    )  # D is the spread inside one cluster


def test_kmeans_ends_with_each_code_at_the_mean_of_its_cell(generator):
    z = torch.randn(60, D)
    codes = kmeans_init(z, K, generator, iterations=100)
    indices = torch.from_numpy(all_distances(z, codes).argmin(axis=1))
    torch.testing.assert_close(codes, torch.stack([z[indices == k].mean(dim=0) for k in range(K)]))


def test_a_kmeans_code_that_no_latent_chooses_keeps_its_place(monkeypatch):
    z = torch.randn(60, D)
    seeds = kmeans_init(z, K, torch.Generator().manual_seed(0), iterations=0)
    monkeypatch.setattr(quantize, "nearest_fast", lambda z, codebook: torch.zeros(len(z), dtype=torch.int64))
    codes = kmeans_init(z, K, torch.Generator().manual_seed(0), iterations=1)
    torch.testing.assert_close(codes[0], z.mean(dim=0))
    assert torch.equal(codes[1:], seeds[1:])


def test_kmeans_keeps_the_dtype():
    assert kmeans_init(torch.randn(60, D, dtype=torch.float64), K).dtype == torch.float64


def test_kmeans_may_use_every_latent():
    z = torch.randn(K, D)
    codes = kmeans_init(z, K)
    torch.testing.assert_close(codes.sort(dim=0).values, z.sort(dim=0).values)


def test_kmeans_refuses_too_few_latents():
    with pytest.raises(ValueError, match="z must hold at least num_codes = 5 latents, got 4"):
        kmeans_init(torch.randn(4, D), K)


def test_kmeans_refuses_too_few_distinct_latents():
    with pytest.raises(ValueError, match="z must hold at least num_codes = 5 distinct latents, got 4"):
        kmeans_init(torch.randn(4, D).repeat(10, 1), K)


@HALVES
@pytest.mark.parametrize("scale", [100.0, 1e-4])
def test_kmeans_of_half_precision_latents_is_that_of_the_same_numbers_in_float32(dtype, scale):
    z = (torch.randn(5000, D) * scale).to(dtype)  # sums of a cell and squared distances are beyond float16
    codes = kmeans_init(z, K, torch.Generator().manual_seed(0))
    exact = kmeans_init(z.float(), K, torch.Generator().manual_seed(0))
    assert codes.dtype == dtype
    assert torch.equal(codes, exact.to(dtype))
    assert len(codes.unique(dim=0)) == K
    stepped = kmeans_step(z, exact.to(dtype))
    assert stepped.dtype == dtype
    assert stepped.isfinite().all()


@pytest.mark.parametrize("power", [-120, -70, 70, 120])
def test_kmeans_does_not_care_for_the_unit(power):
    z = torch.randn(60, D)
    codes = kmeans_init(z, K, torch.Generator().manual_seed(0))
    scaled = kmeans_init(z * 2.0**power, K, torch.Generator().manual_seed(0))  # squares overflow, or vanish
    assert torch.equal(scaled, codes * 2.0**power)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_kmeans_refuses_latents_that_are_not_finite_and_counts_them(value):
    z = torch.randn(60, D)
    z[3, 1] = z[3, 2] = z[7, 0] = value
    with pytest.raises(ValueError, match=r"z must be finite, got NaN or infinity in 2 of 60 latents: look for"):
        kmeans_init(z, K)


def test_kmeans_refuses_a_feature_map():
    with pytest.raises(ValueError, match=r"z must have shape \(N, D\), got"):
        kmeans_init(torch.randn(B, D, H, W), K)


# --- restart_dead_codes


@pytest.fixture
def with_dead_codes():
    """An EMA quantizer after some batches whose codes 1 and 3 nobody chose."""
    quantizer = EMAVectorQuantizer(K, D, decay=0.9)
    with torch.no_grad():
        quantizer.codebook[[1, 3]] = quantizer.ema_sum[[1, 3]] = 100.0
        quantizer.codebook[[0, 2, 4]] = quantizer.ema_sum[[0, 2, 4]] = 0.5 * torch.randn(3, D)
    for _ in range(5):
        quantizer(torch.randn(B, D, H, W))
    assert (quantizer.ema_count < 0.9).nonzero().flatten().tolist() == [1, 3]
    return quantizer


def test_only_dead_codes_restart_and_they_restart_on_latents(with_dead_codes, generator):
    before = copy.deepcopy(with_dead_codes.state_dict())
    z_e = torch.randn(B, D, H, W)
    dead = restart_dead_codes(with_dead_codes, z_e, min_usage=0.9, generator=generator)
    assert dead.nonzero().flatten().tolist() == [1, 3]
    for name, value in with_dead_codes.state_dict().items():
        assert torch.equal(value[[0, 2, 4]], before[name][[0, 2, 4]])
    latents = {tuple(row) for row in rows_of(z_e).tolist()}
    restarted = {tuple(row) for row in with_dead_codes.codebook[dead].tolist()}
    assert restarted <= latents
    assert len(restarted) == 2  # each on a latent of its own


def test_the_statistics_restart_with_the_code(with_dead_codes):
    dead = restart_dead_codes(with_dead_codes, torch.randn(B, D, H, W), min_usage=0.9)
    assert torch.equal(with_dead_codes.ema_count[dead], torch.ones(2))
    assert torch.equal(with_dead_codes.ema_sum[dead], with_dead_codes.codebook[dead])


@pytest.mark.parametrize("min_usage", [0.9, 1.0, 5.0])
def test_a_restarted_code_counts_as_one_latent_or_as_much_as_keeps_it_alive(with_dead_codes, min_usage):
    dead = restart_dead_codes(with_dead_codes, torch.randn(B, D, H, W), min_usage=min_usage)
    assert dead.any()
    assert torch.equal(with_dead_codes.ema_count[dead], torch.full((int(dead.sum()),), max(1.0, min_usage)))
    torch.testing.assert_close(
        with_dead_codes.ema_sum[dead], with_dead_codes.ema_count[dead, None] * with_dead_codes.codebook[dead]
    )
    assert not (with_dead_codes.ema_count < min_usage)[dead].any()


def test_the_next_update_does_not_undo_a_restart(with_dead_codes):
    restart_dead_codes(with_dead_codes, torch.randn(B, D, H, W) - 30, min_usage=0.9)
    placed = with_dead_codes.codebook[[1, 3]].clone()
    with_dead_codes(torch.randn(B, D, H, W))  # far from the restarted codes: nobody chooses them
    torch.testing.assert_close(with_dead_codes.codebook[[1, 3]], placed, rtol=1e-3, atol=0)


def test_a_restart_follows_its_generator(with_dead_codes):
    z_e, other = torch.randn(B, D, H, W), copy.deepcopy(with_dead_codes)
    restart_dead_codes(with_dead_codes, z_e, min_usage=0.9, generator=torch.Generator().manual_seed(3))
    torch.rand(7)
    restart_dead_codes(other, z_e, min_usage=0.9, generator=torch.Generator().manual_seed(3))
    assert torch.equal(with_dead_codes.codebook, other.codebook)


def test_a_codebook_in_use_is_left_alone(with_dead_codes):
    before = copy.deepcopy(with_dead_codes.state_dict())
    assert not restart_dead_codes(with_dead_codes, torch.randn(B, D, H, W), min_usage=0.0).any()
    assert all(torch.equal(value, before[name]) for name, value in with_dead_codes.state_dict().items())


def test_with_more_dead_codes_than_latents_as_many_restart_as_there_are_latents():
    quantizer, z_e = EMAVectorQuantizer(K, D), torch.randn(1, D, 1, 3)
    dead = restart_dead_codes(quantizer, z_e, usage=torch.zeros(K))
    assert dead.sum() == 3
    assert len(quantizer.codebook[dead].unique(dim=0)) == 3


def test_a_gradient_codebook_restarts_by_the_usage_it_is_given():
    quantizer, z_e = VectorQuantizer(K, D), torch.randn(B, D, H, W)
    before = quantizer.codebook.detach().clone()
    dead = restart_dead_codes(quantizer, z_e, usage=torch.tensor([3.0, 0.0, 1.0, 0.99, 7.0]))
    assert dead.nonzero().flatten().tolist() == [1, 3]
    assert torch.equal(quantizer.codebook[[0, 2, 4]], before[[0, 2, 4]])
    latents = {tuple(row) for row in rows_of(z_e).tolist()}
    assert {tuple(row) for row in quantizer.codebook[dead].tolist()} <= latents
    assert quantizer.codebook.requires_grad


def test_a_restart_does_not_spoil_the_backward_pass():
    quantizer, z_e = VectorQuantizer(K, D), torch.randn(B, D, H, W, requires_grad=True)
    expected = torch.autograd.grad(quantizer(z_e).loss, [z_e, quantizer.codebook])
    loss = quantizer(z_e).loss
    restart_dead_codes(quantizer, z_e, usage=torch.zeros(K))
    for got, want in zip(torch.autograd.grad(loss, [z_e, quantizer.codebook]), expected, strict=True):
        torch.testing.assert_close(got, want)


@BOTH
@HALVES
def test_codes_restart_on_half_precision_latents(kind, dtype):
    quantizer, z_e = kind(K, D).to(dtype), torch.randn(B, D, H, W).to(dtype)
    dead = restart_dead_codes(quantizer, z_e, usage=torch.tensor([3.0, 0.0, 70000.0, 0.5, 7.0]))
    assert dead.nonzero().flatten().tolist() == [1, 3]
    latents = {tuple(row) for row in rows_of(z_e).tolist()}
    assert {tuple(row) for row in quantizer.codebook[dead].tolist()} <= latents


@BOTH
def test_no_code_restarts_on_a_latent_that_is_not_finite(kind):
    quantizer, z_e = kind(K, D), torch.full((1, D, 1, 3), math.nan)
    before = quantizer.codebook.detach().clone()
    restart_dead_codes(quantizer, z_e, usage=torch.zeros(K))
    assert torch.equal(quantizer.codebook.detach(), before)
    z_e[0, :, 0, 1] = 1.0
    restart_dead_codes(quantizer, z_e, usage=torch.zeros(K))
    assert quantizer.codebook.isfinite().all()
    assert (quantizer.codebook == 1).all(dim=1).sum() == 1


def test_a_gradient_codebook_keeps_no_counts_of_its_own():
    with pytest.raises(ValueError, match="usage must be given for a quantizer that keeps no counts, got None"):
        restart_dead_codes(VectorQuantizer(K, D), torch.randn(B, D, H, W))


def test_usage_must_count_every_code():
    with pytest.raises(ValueError, match=r"usage must have shape \(5,\), got \(6,\)"):
        restart_dead_codes(EMAVectorQuantizer(K, D), torch.randn(B, D, H, W), usage=torch.ones(6))


@pytest.mark.parametrize("kind", [VectorQuantizer, EMAVectorQuantizer])
@pytest.mark.parametrize("dead", [[], [2], [0, 3, 4], [0, 1, 2, 3, 4]])
def test_a_mask_names_the_restarted_codes_and_each_takes_the_latent_drawn_for_it(kind, dead):
    quantizer, z_e = kind(K, D), torch.randn(1, D, 1, 4)  # four latents: a fifth code has to wait
    before, usage = copy.deepcopy(quantizer.state_dict()), torch.full((K,), 3.0)
    usage[dead] = 0.5
    restarted = restart_dead_codes(quantizer, z_e, usage, 2.0, torch.Generator().manual_seed(3))
    assert restarted.nonzero().flatten().tolist() == dead[:4]
    drawn = torch.randperm(4, generator=torch.Generator().manual_seed(3))[: len(dead[:4])]
    expected = before["codebook"].clone()
    expected[dead[:4]] = z_e[0, :, 0].T[drawn]
    assert torch.equal(quantizer.codebook.detach(), expected)
    if kind is EMAVectorQuantizer:
        assert torch.equal(quantizer.ema_count, torch.where(restarted, 2.0, before["ema_count"]))
        assert torch.equal(quantizer.ema_sum[restarted], 2.0 * expected[restarted])
        assert torch.equal(quantizer.ema_sum[~restarted], before["ema_sum"][~restarted])


@pytest.mark.parametrize("kind", [VectorQuantizer, EMAVectorQuantizer])
def test_a_whole_codebook_is_replaced_with_the_statistics_behind_it(kind):
    quantizer, codes = kind(5, 3), torch.randn(5, 3)
    quantizer.reset_codes(slice(None), codes)
    assert torch.equal(quantizer.codebook.detach(), codes)
    if kind is EMAVectorQuantizer:
        assert torch.equal(quantizer.ema_sum / quantizer.ema_count[:, None], codes)
