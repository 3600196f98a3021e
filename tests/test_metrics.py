import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from vqvae_course.metrics import (
    bits_per_dim,
    code_counts,
    codebook_usage,
    compression_ratio,
    data_variance,
    kl_categorical,
    latent_bits,
    nats_per_code,
    nats_per_image,
    normalized_mse,
    pareto_front,
    perplexity,
    psnr,
    ssim,
)

B, C, H, W, K = 2, 3, 4, 6, 5


# --- pixels


def test_data_variance_of_half_black_half_white_is_a_quarter():
    images = torch.zeros(B, C, H, W, dtype=torch.uint8)
    images[:, :, :, : W // 2] = 255
    assert data_variance(images) == pytest.approx(0.25, abs=1e-12)


def test_data_variance_of_bytes_equals_that_of_floats():
    images = torch.randint(256, (B, C, H, W), dtype=torch.uint8)
    expected = (images.double() / 255).numpy().var()
    assert data_variance(images) == pytest.approx(expected, rel=1e-9)
    assert data_variance(images.float() / 255) == pytest.approx(expected, rel=1e-6)


def test_data_variance_is_that_of_all_pixels_together():
    images = torch.zeros(B, 2, H, W)
    images[:, 1] = 1.0  # no variance within a channel, all of it between the two
    assert data_variance(images) == pytest.approx(0.25)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_data_variance_needs_a_pixel(dtype):
    with pytest.raises(ValueError, match=r"images must hold at least one pixel, got shape \(0, 3, 4, 6\)"):
        data_variance(torch.empty(0, C, H, W, dtype=dtype))


def test_normalized_mse_is_one_for_the_mean_image():
    x = torch.rand(B, C, H, W)
    mean = x.mean().expand_as(x)
    assert float(normalized_mse(x, mean, data_variance(x))) == pytest.approx(1.0, rel=1e-5)


def test_normalized_mse_by_hand():
    x, x_hat = torch.zeros(B, C, H, W), torch.zeros(B, C, H, W)
    x_hat[0, 0, 0, 0] = 6.0  # 36 over 144 pixels
    assert float(normalized_mse(x, x_hat, 0.5)) == pytest.approx(0.5)


def test_normalized_mse_is_computed_in_float32():
    x = torch.rand(B, C, H, W)
    x_hat = (x + 0.01).bfloat16()
    expected = (x_hat.float() - x).square().mean()
    assert normalized_mse(x, x_hat, 1.0).dtype == torch.float32
    torch.testing.assert_close(normalized_mse(x, x_hat, 1.0), expected)


def test_normalized_mse_refuses_different_shapes():
    with pytest.raises(ValueError, match=r"x_hat must have the shape of x, \(2, 3, 4, 6\), got \(2, 3, 6, 4\)"):
        normalized_mse(torch.rand(B, C, H, W), torch.rand(B, C, W, H), 1.0)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan])
def test_normalized_mse_refuses_a_variance_that_is_not_positive(variance):
    with pytest.raises(ValueError, match="variance must be positive, got"):
        normalized_mse(torch.rand(B, C, H, W), torch.rand(B, C, H, W), variance)


def test_psnr_by_hand():
    x = torch.rand(B, C, H, W)
    assert float(psnr(x, x + 0.1)) == pytest.approx(20.0, abs=1e-3)
    assert float(psnr(x, x - 0.01)) == pytest.approx(40.0, abs=1e-2)


def test_psnr_of_a_perfect_copy_is_infinite():
    x = torch.rand(B, C, H, W)
    assert math.isinf(psnr(x, x))


# --- codes


def test_code_counts_by_hand():
    assert code_counts(torch.tensor([[[0, 2, 2], [4, 2, 0]]]), K).tolist() == [2, 0, 3, 0, 1]


@pytest.mark.parametrize("shape", [(0,), (0, H, W)])
def test_no_index_counts_for_no_code(shape):
    assert code_counts(torch.zeros(shape, dtype=torch.int64), K).tolist() == [0] * K


@pytest.mark.parametrize("measure", [code_counts, perplexity, codebook_usage])
@pytest.mark.parametrize("value", [-1, K])
def test_an_index_without_a_code_is_refused(measure, value):
    with pytest.raises(ValueError, match=r"indices must lie in \[0, 5\), got"):
        measure(torch.tensor([[[1, value, 2]]]), K)


def test_perplexity_is_k_for_equal_use_and_one_for_a_single_code():
    assert float(perplexity(torch.arange(K).repeat(7), K)) == pytest.approx(K)
    assert float(perplexity(torch.full((B, H, W), 3), K)) == pytest.approx(1.0)


def test_perplexity_by_hand_with_codes_nobody_uses():
    # p = 1/2, 1/4, 1/4, 0, 0: an entropy of 1.5 bits.
    assert float(perplexity(torch.tensor([0, 0, 1, 2]), K)) == pytest.approx(2**1.5)


def test_perplexity_lies_between_one_and_the_codes_in_use():
    indices = torch.randint(K - 1, (B, H, W))
    assert 1 <= float(perplexity(indices, K)) <= codebook_usage(indices, K) <= K - 1


def test_perplexity_does_not_depend_on_the_names_of_the_codes():
    indices = torch.randint(K, (B, H, W)) ** 2 % K
    torch.testing.assert_close(perplexity(torch.randperm(K)[indices], K), perplexity(indices, K))


def test_perplexity_needs_an_index():
    with pytest.raises(ValueError, match="indices must hold at least one index, got none"):
        perplexity(torch.empty(0, H, W, dtype=torch.int64), K)


def test_codebook_usage_counts_each_code_once():
    assert codebook_usage(torch.tensor([[[0, 2, 2], [4, 2, 0]]]), K) == 3


# --- bits and nats


def test_latent_bits_by_hand():
    assert latent_bits(H, W, 8) == H * W * 3
    assert latent_bits(32, 32, 512) == 9216
    assert latent_bits(H, W, 1) == 0


def test_nats_per_code_is_log_k_for_equal_logits():
    indices = torch.randint(K, (B, H, W))
    assert float(nats_per_code(torch.full((B, K, H, W), 7.0), indices)) == pytest.approx(math.log(K))


def test_nats_per_code_is_the_mean_surprise_over_all_positions():
    logits, indices = torch.randn(B, K, H, W), torch.randint(K, (B, H, W))
    total = 0.0
    for b in range(B):
        for i in range(H):
            for j in range(W):
                p = torch.softmax(logits[b, :, i, j].double(), dim=0)
                total -= math.log(p[indices[b, i, j]])
    assert float(nats_per_code(logits, indices)) == pytest.approx(total / (B * H * W), rel=1e-5)


def test_nats_per_code_ignores_a_constant_added_to_all_logits():
    logits, indices = torch.randn(B, K, H, W), torch.randint(K, (B, H, W))
    torch.testing.assert_close(nats_per_code(logits + 9, indices), nats_per_code(logits, indices))


def test_nats_per_code_is_computed_in_float32():
    logits, indices = torch.randn(B, K, H, W).bfloat16(), torch.randint(K, (B, H, W))
    torch.testing.assert_close(nats_per_code(logits, indices), nats_per_code(logits.float(), indices))


def test_bits_per_dim_of_equally_likely_bytes_is_eight():
    nll_nats = C * H * W * math.log(256)
    assert bits_per_dim(nll_nats, C * H * W) == pytest.approx(8.0)
    torch.testing.assert_close(bits_per_dim(torch.full((B,), nll_nats), C * H * W), torch.full((B,), 8.0))


def test_latent_bits_agree_with_the_nats_of_a_prior_that_knows_nothing():
    nll_nats = H * W * float(nats_per_code(torch.zeros(B, K, H, W), torch.zeros(B, H, W, dtype=torch.int64)))
    assert bits_per_dim(nll_nats, 1) == pytest.approx(latent_bits(H, W, K))


def test_the_nats_of_all_levels_add_up_each_over_its_positions():
    assert nats_per_image([2.0, 0.5], [(3, 4), (6, 8)]) == pytest.approx(12 * 2.0 + 48 * 0.5)
    assert nats_per_image([torch.tensor(2.0), 0.5, 1.0], [(1, 2), (3, 4), (5, 6)]) == pytest.approx(4 + 6 + 30)


def test_the_nats_of_all_levels_are_the_surprise_at_the_whole_image():
    levels = [
        (torch.randn(1, K, 2, 3), torch.randint(K, (1, 2, 3))),
        (torch.randn(1, 7, H, W), torch.zeros(1, H, W).long()),
    ]
    total = -sum(float(logits.log_softmax(1).gather(1, indices[:, None]).double().sum()) for logits, indices in levels)
    per_code = [float(nats_per_code(logits, indices)) for logits, indices in levels]
    assert nats_per_image(per_code, [(2, 3), (H, W)]) == pytest.approx(total, rel=1e-5)


def test_levels_of_equal_codes_that_nothing_is_known_about_cost_their_latent_bits():
    nats = nats_per_image([math.log(K), math.log(8)], [(2, 3), (H, W)])
    assert nats / math.log(2) == pytest.approx(latent_bits(2, 3, K) + latent_bits(H, W, 8))


@pytest.mark.parametrize(("nats", "shapes"), [([], []), ([1.0], [(2, 3), (4, 6)]), ([1.0, 2.0], [(2, 3)])])
def test_each_level_needs_its_shape(nats, shapes):
    with pytest.raises(ValueError, match=rf"shapes must be one .* got {len(shapes)} and {len(nats)}"):
        nats_per_image(nats, shapes)


# --- structural similarity


def test_ssim_by_hand_in_one_window():
    x, y = torch.rand(1, 1, 11, 11, dtype=torch.float64), torch.rand(1, 1, 11, 11, dtype=torch.float64)
    bell = torch.exp(-((torch.arange(11.0, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    weight = torch.outer(bell, bell) / bell.sum() ** 2
    mean_x, mean_y = (weight * x).sum(), (weight * y).sum()
    var_x, var_y = (weight * (x - mean_x) ** 2).sum(), (weight * (y - mean_y) ** 2).sum()
    cov = (weight * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = 1e-4, 9e-4
    right = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    assert float(ssim(x, y)) == pytest.approx(float(right), rel=1e-4)


def test_ssim_is_one_for_a_copy_alone_and_symmetric():
    x, y = torch.rand(B, C, 13, 17), torch.rand(B, C, 13, 17)
    assert float(ssim(x, x)) == pytest.approx(1)
    assert float(ssim(x, y)) == pytest.approx(float(ssim(y, x)))
    assert ssim(x, y) < 0.9


def test_ssim_forgives_brightness_and_punishes_noise_of_the_same_error():
    x = torch.linspace(0.2, 0.7, 20).expand(1, 1, 16, 20)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    noise = 0.1 * noise / noise.square().mean().sqrt()
    assert ssim(x, x + 0.1) > ssim(x, x + noise) + 0.3


def test_ssim_refuses_what_it_cannot_compare():
    with pytest.raises(ValueError, match=r"x_hat must have the shape of x, \(1, 1, 12, 12\), got \(1, 1, 12, 13\)"):
        ssim(torch.rand(1, 1, 12, 12), torch.rand(1, 1, 12, 13))
    with pytest.raises(ValueError, match=r"x must be at least 11x11 pixels, got \(1, 1, 10, 12\)"):
        ssim(torch.rand(1, 1, 10, 12), torch.rand(1, 1, 10, 12))


# --- rates


def test_compression_ratio_by_hand():
    assert compression_ratio((1, 28, 28), (5, 7, 7), 128) == pytest.approx(28 * 28 * 8 / (49 * 7))
    assert compression_ratio((3, 32, 24), (64, 8, 6), 512, bits=16) == pytest.approx(3 * 32 * 24 * 16 / (48 * 9))


def test_the_published_compression_of_imagenet_is_reproduced():
    # VQ-VAE, section 4.2: 128x128x3 to 32x32 indices of K = 512, "approximately 42.6".
    assert compression_ratio((3, 128, 128), (64, 32, 32), 512) == pytest.approx(42.67, abs=0.01)


def test_one_code_costs_nothing_and_compresses_without_bound():
    assert compression_ratio((3, 4, 6), (5, 2, 3), 1) == math.inf


def test_a_hierarchys_published_ratio_is_reproduced_from_its_bits():
    # VQ-VAE-2 on ImageNet 256: 32x32 and 64x64 indices of K = 512.
    bits = latent_bits(32, 32, 512) + latent_bits(64, 64, 512)
    assert 256 * 256 * 24 / bits == pytest.approx(34.1, abs=0.05)


def dominated(point, points):
    return any((other <= point).all() and (other < point).any() for other in points)


def test_the_pareto_front_is_what_nothing_dominates_by_rising_rate():
    first = torch.randint(6, (40,)).double()  # whole numbers, so that ties and copies occur
    points = torch.stack([first, 8 - first + torch.randint(3, (40,))], dim=1)
    front = pareto_front(points)
    assert {*front.tolist()} == {i for i in range(40) if not dominated(points[i], points)}
    assert len(front) > 5
    assert (points[front, 0].diff() >= 0).all()


def test_the_pareto_front_takes_any_number_of_columns():
    assert pareto_front(torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 4.0], [0.0, 9.0, 9.0]])).tolist() == [2, 0]
    assert pareto_front(torch.zeros(0, 2)).tolist() == []


@pytest.mark.parametrize("points", [torch.zeros(3), torch.tensor([[1.0, math.nan]])])
def test_the_pareto_front_refuses_what_cannot_be_ordered(points):
    with pytest.raises(ValueError, match=r"points must be \(N, M\) numbers without NaN"):
        pareto_front(points)


# --- divergences


def test_kl_categorical_agrees_with_torch_distributions():
    q, p = torch.rand(2, 3, K, dtype=torch.float64), torch.rand(3, K, dtype=torch.float64)
    q, p = q / q.sum(dim=-1, keepdim=True), p / p.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(kl_categorical(q, p), kl_divergence(Categorical(q), Categorical(p)))


def test_the_divergence_of_a_one_hot_posterior_from_the_uniform_prior_is_log_k():
    one_hot, uniform = torch.eye(K), torch.full((K,), 1 / K)
    torch.testing.assert_close(kl_categorical(one_hot, uniform), torch.full((K,), math.log(K)))


def test_the_divergence_of_a_one_hot_posterior_is_minus_the_log_of_the_priors_choice():
    p = torch.rand(K).softmax(dim=0)
    torch.testing.assert_close(kl_categorical(torch.eye(K), p), -p.log())


def test_what_the_prior_excludes_costs_infinitely_much_and_what_the_posterior_excludes_nothing():
    assert kl_categorical(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])) == math.inf
    assert float(kl_categorical(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))) == pytest.approx(math.log(2))
    assert kl_categorical(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])) == 0


def test_kl_categorical_refuses_another_number_of_outcomes():
    with pytest.raises(ValueError, match="p must have as many outcomes as q, 3, got 4"):
        kl_categorical(torch.ones(3) / 3, torch.ones(4) / 4)
