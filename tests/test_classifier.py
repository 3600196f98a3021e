import pytest
import torch

from vqvae_course.classifier import Classifier
from vqvae_course.data import Batches, ImageSet
from vqvae_course.evaluate import agreement
from vqvae_course.train import TrainConfig, classifier_step, fit

B, CLASSES = 2, 4


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 18, 29), (1, 64, 40)])
def test_there_is_one_logit_per_class_for_images_of_any_size(shape):
    classifier = Classifier(shape[0], CLASSES, hidden=6)
    assert classifier(torch.rand(B, *shape)).shape == (B, CLASSES)


def test_in_eval_mode_no_image_of_a_batch_sees_another():
    classifier, x = Classifier(1, CLASSES, hidden=6).eval(), torch.rand(B, 1, 28, 28)
    torch.testing.assert_close(classifier(x), torch.cat([classifier(x[:1]), classifier(x[1:])]))


def corners(count: int) -> ImageSet:
    """Noise with one corner brighter than the others: the label says which."""
    images, labels = torch.randint(100, (count, 1, 24, 18), dtype=torch.uint8), torch.arange(count) % CLASSES
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, 12 * (label // 2) :][:12, 9 * (label % 2) :][:, :9] += 60
    return ImageSet(images, labels, "corners")


def test_it_learns_to_tell_classes_apart():
    classifier, train, test = Classifier(1, CLASSES, hidden=8), corners(200), corners(80)
    config = TrainConfig(steps=40, lr=1e-2, progress=False)
    fit(classifier, Batches(train, 32), classifier_step, config)
    assert agreement(classifier, test.images, test.labels) > 0.9


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 18, 29)])
def test_features_are_what_the_last_layer_reads(shape):
    classifier, x = Classifier(shape[0], CLASSES, hidden=6).eval(), torch.rand(B, *shape)
    features = classifier.features(x)
    assert features.shape == (B, 18 * 6)
    assert features.min() >= 0
    torch.testing.assert_close(classifier[-1](features), classifier(x))
