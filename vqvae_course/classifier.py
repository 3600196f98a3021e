"""A small classifier of images, trained in seconds: the judge of class-conditional samples."""

from torch import Tensor, nn


class Classifier(nn.Sequential):
    """Name the class of a small image.

    Args:
        in_channels: Channels of the image.
        num_classes: Number of classes.
        hidden: Channels after the second convolution.

    Explained in notebook 11.
    """

    def __init__(self, in_channels: int, num_classes: int, hidden: int = 32):
        super().__init__(
            nn.Conv2d(in_channels, hidden // 2, 3, stride=2, padding=1),
            nn.BatchNorm2d(hidden // 2),
            nn.ReLU(),
            nn.Conv2d(hidden // 2, hidden, 3, stride=2, padding=1),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, 2 * hidden, 3, stride=2, padding=1),
            nn.BatchNorm2d(2 * hidden),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Linear(9 * 2 * hidden, num_classes),
        )

    def features(self, x: Tensor) -> Tensor:
        """Return what the last linear layer reads: what the network sees in an image, before it names a class.

        Args:
            x: (B, C, H, W) in [0, 1].

        Returns:
            (B, 18 * hidden), never below 0.

        Explained in notebook 13.
        """
        for layer in list(self)[:-1]:
            x = layer(x)
        return x
