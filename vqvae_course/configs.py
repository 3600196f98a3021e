"""What the configurations of the models have in common: which values their fields may hold."""

from math import inf
from typing import Any


def at_least(least: int, config: Any, *names: str) -> None:
    """Raise ``ValueError`` where one of these fields is smaller; None, for a part that a model goes without, is not.

    Args:
        least: The smallest value that is allowed.
        config: What has the fields.
        names: Of the fields.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")


def odd_kernels(config: Any, *names: str) -> None:
    """Raise ``ValueError`` where one of these fields is no size of a kernel with a middle: even, or below 3."""
    for name in names:
        size = getattr(config, name)
        if size < 3 or size % 2 == 0:
            raise ValueError(f"{name} must be odd and at least 3, got {size}")


def check_layers(config: Any) -> None:
    """Raise ``ValueError`` where a field that every model with an encoder and a decoder has is out of its range."""
    at_least(1, config, "in_channels", "hidden", "residual_hidden")
    at_least(0, config, "residual_layers")


def check_codebooks(config: Any) -> None:
    """Raise ``ValueError`` where a field that models with codebooks share is out of its range."""
    check_layers(config)
    at_least(1, config, "code_dim")
    if not 0 < config.data_variance < inf:
        raise ValueError(f"data_variance must be positive and finite, got {config.data_variance}")
    for name in ("beta", "restart_below"):
        if not 0 <= getattr(config, name) < inf:
            raise ValueError(f"{name} must be finite and not negative, got {getattr(config, name)}")
    if not 0 <= config.decay < 1:
        raise ValueError(f"decay must lie in [0, 1), got {config.decay}")
