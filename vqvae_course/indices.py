"""Indices: whole numbers that name a code, or a class. Which ones are allowed, and how often each occurs."""

import torch
from torch import Tensor


def holds_integers(values: Tensor) -> bool:
    """Say whether a tensor's type is one of whole numbers."""
    return not (values.dtype.is_floating_point or values.dtype.is_complex or values.dtype == torch.bool)


def check_indices(indices: Tensor, num_codes: int, name: str = "indices", training: bool = False) -> None:
    """Raise ``ValueError`` where an index does not lie in [0, K).

    To see a number that a GPU holds, the program must wait until the GPU has done all it was told to. So within a
    training step on a GPU nothing is looked at: ``train.fit`` has looked at all data before the first. Nor while
    ``torch.compile`` or ``torch.export`` follows the program, when there are no numbers yet.

    Args:
        indices: Whole numbers, any shape; there may be none.
        num_codes: K.
        name: What the message calls them.
        training: Whether a model in train mode asks. If gradients are recorded too, this is a training step.
    """
    on_cpu = indices.device.type == "cpu"
    if torch.compiler.is_compiling() or not indices.numel() or (training and torch.is_grad_enabled() and not on_cpu):
        return
    least, largest = torch.stack([indices.min(), indices.max()]).tolist()
    if not 0 <= least <= largest < num_codes:
        raise ValueError(f"{name} must lie in [0, {num_codes}), got {least} to {largest}")


def check_map(indices: Tensor, num_codes: int, training: bool = False) -> None:
    """Raise ``ValueError`` unless these are index maps, (B, h, w) whole numbers in [0, K); see ``check_indices``."""
    if indices.ndim != 3 or not holds_integers(indices):
        raise ValueError(f"indices must be (B, h, w) integers, got {tuple(indices.shape)} {indices.dtype}")
    check_indices(indices, num_codes, "indices", training)


def count_indices(indices: Tensor, num_codes: int) -> Tensor:
    """Count how often each index occurs; ``metrics.code_counts`` checks them first.

    PyTorch's ``bincount`` does the same, but first asks a GPU for the largest index, and waits for the answer.

    Args:
        indices: Whole numbers in [0, K), any shape.
        num_codes: K.

    Returns:
        (K,) int64.
    """
    indices = indices.reshape(-1).long()
    return torch.zeros(num_codes, dtype=torch.int64, device=indices.device).scatter_add_(
        0, indices, torch.ones_like(indices)
    )
