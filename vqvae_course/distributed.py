"""Several processes that train one model: what they share, and how they come to agree.

``torchrun`` starts the processes, and PyTorch's distributed data parallel averages their gradients. A codebook
that follows running means has no gradient, so its statistics are summed here. In a single process every function
returns what it was given.
"""

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class World(NamedTuple):
    """The processes of a run.

    Attributes:
        rank: Number of this one, from 0.
        size: How many there are.
    """

    rank: int
    size: int


class PeerLost(RuntimeError):
    """Another process of the run ended, does not answer, or never came."""


def world() -> World:
    """Return the number of this process and how many there are; (0, 1) unless ``together`` is in force."""
    return (
        World(dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else World(0, 1)
    )


def local_device() -> torch.device | None:
    """Return the GPU that ``torchrun`` means for this process, or None where there is no launcher or no CUDA."""
    if "LOCAL_RANK" not in os.environ or not torch.cuda.is_available():
        return None
    rank, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if rank >= count:
        raise ValueError(f"--nproc_per_node must be at most the {count} GPUs of this machine, got more")
    return torch.device("cuda", rank)


@contextmanager
def together(timeout: float = 300.0) -> Iterator[World]:
    """Join the processes that ``torchrun`` started, and part from them at the end.

    Without a launcher, or with a single process, nothing happens.

    Args:
        timeout: Seconds after which a process that does not answer is given up.

    Yields:
        The ``World``.

    Raises:
        PeerLost: If another process ended, does not answer in time, or never came.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) < 2:
        yield World(0, 1)
        return
    gpu = local_device()
    if gpu is not None:
        torch.cuda.set_device(gpu)
    try:
        # Plain values go over gloo in any case: read from a GPU, they would have to wait for its work.
        backend = "cpu:gloo,cuda:nccl" if gpu is not None else "gloo"
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
        yield world()
    except (dist.DistError, RuntimeError) as error:
        if not _speaks_of_a_peer(error):
            raise
        raise PeerLost(
            f"another of the {os.environ['WORLD_SIZE']} processes ended, did not answer within {timeout:.0f} seconds, "
            f"or never came (this is number {os.environ.get('RANK')}): look above for its own message. The last "
            f"checkpoint is whole. ({str(error).splitlines()[0][:160]})"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _speaks_of_a_peer(error: Exception) -> bool:
    # gloo raises plain RuntimeErrors; what they are about only their text says.
    signs = ("gloo", "Connection closed by peer", "Connection reset", "Timed out", "timed out", "Broken pipe")
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in signs)


@torch.no_grad()
def total(x: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes.

    Args:
        x: Of the same shape in each of them.

    Explained on the page about several processes.
    """
    if world().size == 1:
        return x
    x = x.clone()
    dist.all_reduce(x)
    return x


@torch.no_grad()
def gathered(rows: Tensor) -> Tensor:
    """Return the rows of all processes, those of process 0 first.

    Args:
        rows: (N, ...), of the same shape in each process.

    Returns:
        (size * N, ...).

    Explained on the page about several processes.
    """
    if world().size == 1:
        return rows
    parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world().size)]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


@torch.no_grad()
def from_first(x: Tensor) -> Tensor:
    """Return the tensor that process 0 holds: what is drawn at random is drawn once.

    Args:
        x: Of the same shape in each process; what the others hold does not matter.

    Explained on the page about several processes.
    """
    if world().size == 1:
        return x
    x = x.contiguous().clone()
    dist.broadcast(x, src=0)
    return x


def agreed(value: Any) -> Any:
    """Return the plain value that process 0 holds, such as a path or a decision."""
    if world().size == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def anywhere(flag: bool) -> bool:
    """Say whether a flag is up in any of the processes."""
    if world().size == 1:
        return flag
    return bool(total(torch.tensor(float(flag))))


class _Total(torch.autograd.Function):
    """``total`` with its gradient: what the losses of all processes say about the sum, each process is told."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return total(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return total(grad)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation without learned scale, over the batch of all processes together.

    In one process it is PyTorch's own. PyTorch's ``SyncBatchNorm`` shares as well, but on GPUs only.

    Args:
        num_features: Channels.

    Explained on the page about several processes.
    """

    def __init__(self, num_features: int):
        super().__init__(num_features, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, h, w), each channel over batch and positions of all processes."""
        if not self.training or world().size == 1:
            return super().forward(x)
        count = world().size * x.numel() // x.shape[1]
        wide = x.float()
        # Gradients flow through the sums: each latent moves the mean that the latents of all processes feel.
        mean = _Total.apply(wide.sum(dim=(0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = _Total.apply(centred.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        return (centred * torch.rsqrt(variance + self.eps)[:, None, None]).to(x.dtype)


class Parallel(DistributedDataParallel):
    """PyTorch's distributed data parallel, through which the attributes of the model can still be read.

    Buffers are not copied from process 0 at every step, as they are by default: the codebook's statistics are
    the same everywhere because they are summed, and a copy would only hide it if they were not.

    Args:
        model: On the device of this process. Process 0's weights and buffers are taken over by all.

    Explained on the page about several processes.
    """

    def __init__(self, model: nn.Module):
        for buffer in model.buffers():
            buffer.copy_(from_first(buffer))
        known = inspect.signature(DistributedDataParallel).parameters  # newer releases renamed the argument
        super().__init__(
            model, **{"forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False}
        )

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "module":
                raise
            return getattr(self.module, name)
