import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vqvae_course.classifier import Classifier
from vqvae_course.data import CodeSet, ImageSet
from vqvae_course.evaluate import agreement, evaluate_prior, evaluate_vqvae, judge
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.prior import FrequencyPrior
from vqvae_course.vqvae import VQVAE, VQVAEConfig

N, C, H, W, K = 11, 3, 8, 12, 7


@pytest.fixture
def images():
    return ImageSet(torch.randint(256, (N, C, H, W), dtype=torch.uint8), torch.arange(N) % 4, "noise")


@pytest.fixture
def model(monkeypatch):
    """In double precision: batches of two sizes round differently, and a latent may lie between two codes."""
    config = VQVAEConfig(C, 6, 1, 4, K, 2, downsample=4, normalize_latents=True, data_variance=0.1, restart_below=0.9)
    model = VQVAE(config)
    model(torch.rand(2, C, H, W))  # some statistics to normalise with
    monkeypatch.setattr(model.double(), "latents", lambda x: VQVAE.latents(model, x.double()))
    return model


@pytest.fixture
def codes():
    return CodeSet(torch.randint(K, (N, 4, 6)), torch.arange(N) % 3, "noise")


def assert_left_alone(model: nn.Module, mode: bool, measure) -> None:
    model.train(mode)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure()
    assert model.training is mode
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# --- evaluate_vqvae


def test_scores_are_those_of_the_whole_set_at_once(model, images):
    scores = evaluate_vqvae(model, images, batch_size=4)
    x = images.images.float() / 255
    output = model.eval()(x)
    mse = float((output.x_hat - x).detach().double().square().mean())
    p = torch.bincount(output.indices.flatten(), minlength=K).double() / output.indices.numel()
    assert scores.mse == pytest.approx(mse, rel=1e-5)
    assert scores.normalized_mse == pytest.approx(mse / 0.1, rel=1e-5)
    assert scores.psnr == pytest.approx(-10 * math.log10(mse), rel=1e-5)
    assert scores.perplexity == pytest.approx(float((-p[p > 0] * p[p > 0].log()).sum().exp()), rel=1e-5)
    assert scores.codes_used == len(output.indices.unique())


@pytest.mark.parametrize("batch_size", [1, 4, N, 500])
def test_scores_do_not_depend_on_the_batch_size(model, images, batch_size):
    assert evaluate_vqvae(model, images, batch_size) == pytest.approx(evaluate_vqvae(model, images, 3), rel=1e-5)


class OneCodePerImage(nn.Module):
    """Copies its input, and gives each image one code of its own."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.config = VQVAEConfig(num_codes=16)

    def forward(self, x):
        indices = (x[:, 0, :2, :3] * 255).round().long()
        return type("Output", (), {"x_hat": x + 0.1, "indices": indices})


def test_perplexity_is_that_of_the_set_and_no_mean_over_batches():
    images = torch.arange(8, dtype=torch.uint8).view(8, 1, 1, 1).expand(8, C, H, W)
    scores = evaluate_vqvae(OneCodePerImage(), ImageSet(images, torch.zeros(8), "codes"), batch_size=1)
    assert scores.perplexity == pytest.approx(8.0)  # within a batch it is 1
    assert scores.codes_used == 8
    assert scores.mse == pytest.approx(0.01, rel=1e-4)
    assert scores.psnr == pytest.approx(20.0, rel=1e-4)


@pytest.mark.parametrize("mode", [True, False])
def test_measuring_a_vqvae_changes_nothing(model, images, mode):
    assert_left_alone(model, mode, lambda: evaluate_vqvae(model, images))


# --- evaluate_prior


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("batch_size", [1, 4, N])
def test_the_nats_of_a_prior_are_the_mean_over_all_codes(codes, num_classes, batch_size):
    prior = GatedPixelCNN(GatedPixelCNNConfig(K, hidden=6, layers=2, num_classes=num_classes))
    logits = prior(codes.indices, codes.labels if num_classes else None)
    expected = float(F.cross_entropy(logits.double(), codes.indices).detach())
    assert evaluate_prior(prior, codes, batch_size) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mode", [True, False])
def test_measuring_a_prior_changes_nothing(codes, mode):
    prior = GatedPixelCNN(GatedPixelCNNConfig(K, hidden=6, layers=2))
    assert_left_alone(prior, mode, lambda: evaluate_prior(prior, codes))


# --- agreement


class Brightness(nn.Module):
    """Says 1 for images brighter than one half, else 0."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([-1.0, 1.0]))
        self.dropout = nn.Dropout(0.999)  # would spoil every answer in train mode

    def forward(self, x):
        return self.dropout(self.weight * (x.mean(dim=(1, 2, 3)) - 0.5)[:, None])


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize("mode", [True, False])
def test_agreement_is_the_fraction_of_hits(batch_size, as_bytes, mode):
    shade = torch.tensor([0.1, 0.9, 0.8, 0.2, 0.7]).view(5, 1, 1, 1).expand(5, C, H, W)
    images = (255 * shade).to(torch.uint8) if as_bytes else shade
    classifier, wanted = Brightness().train(mode), torch.tensor([0, 1, 0, 1, 1])
    assert agreement(classifier, images, wanted, batch_size) == pytest.approx(3 / 5)
    assert classifier.training is mode


def test_a_prior_by_counting_is_measured_like_any_other():
    maps = torch.randint(K, (7, 3, 4))
    uniform = FrequencyPrior(maps[:0], K)
    assert evaluate_prior(
        uniform, CodeSet(maps, torch.zeros(7, dtype=torch.int64), "maps"), batch_size=3
    ) == pytest.approx(math.log(K), rel=1e-6)


# --- judge


@pytest.mark.parametrize("batch_size", [1, 4, N])
@pytest.mark.parametrize("mode", [True, False])
def test_a_judge_tells_features_and_probabilities_and_is_left_as_it_was(images, batch_size, mode):
    classifier = Classifier(C, 4, hidden=6)
    classifier(torch.rand(9, C, H, W))  # some statistics to normalise with
    judged = []
    assert_left_alone(classifier, mode, lambda: judged.append(judge(classifier, images.images, batch_size)))
    x = images.images.float() / 255
    classifier.eval()
    torch.testing.assert_close(judged[0].features, classifier.features(x).detach())
    torch.testing.assert_close(judged[0].probabilities, classifier(x).detach().softmax(dim=1))
    torch.testing.assert_close(judge(classifier, x), judged[0])
