"""Whether a prior knows the codes it is to learn from: looked at before they reach it.

Within a step on a GPU ``check_indices`` does not look, since that would mean to wait for the GPU.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from vqvae_course.data import Batch, Batches, LevelBatch
from vqvae_course.prior import Prior


def known(batches: Iterable[Batch | LevelBatch], prior: Prior) -> Iterator[Batch | LevelBatch]:
    """Return the batches if the prior knows their codes, labels and maps above.

    What ``Batches`` holds is looked at once and as a whole, wherever it lies; other batches one by one.

    Args:
        batches: Of index maps.
        prior: What learns from them.

    Raises:
        ValueError: If there is one that it does not know; for batches that are no ``Batches``, when its turn comes.
    """
    if isinstance(batches, Batches):
        _must_be_known(prior, batches.examples, batches.labels, batches.above)
        return iter(batches)

    def looked_at(batch: Batch | LevelBatch) -> Batch | LevelBatch:
        _must_be_known(prior, batch.x, batch.labels, batch.above if isinstance(batch, LevelBatch) else ())
        return batch

    return map(looked_at, batches)


@torch.no_grad()
def _must_be_known(prior: Prior, maps: Tensor, labels: Tensor, above: tuple[Tensor, ...]) -> None:
    prior.check_inputs(maps, labels if prior.num_classes is not None else None, prior.condition_from(above))
