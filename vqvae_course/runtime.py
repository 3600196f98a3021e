"""Where and how a notebook runs: the device, the seed and the time budget."""

import os
import platform
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
import torchvision

T = TypeVar("T")

BUDGETS = ("smoke", "laptop", "gpu")


def pick_device() -> torch.device:
    """Return the fastest device this machine offers: CUDA, else Apple's MPS, else the CPU.

    Returns:
        The device, without an index (``cuda``, ``mps`` or ``cpu``).

    Explained in notebook 00.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def fast_precision(device: torch.device) -> str:
    """Return the precision that layers compute fastest in on a device: ``bfloat16`` where it is at home there.

    A processor without bfloat16 instructions imitates them, slower than it computes in float32.

    Args:
        device: From ``pick_device``.

    Returns:
        ``"bfloat16"`` or ``"float32"``, for ``TrainConfig.precision``.

    Explained on the page about the command line.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    known = getattr(torch.cpu, "get_capabilities", dict)() if device.type == "cpu" else {}  # newer releases tell
    return "bfloat16" if known.get("avx512_bf16") or known.get("amx_bf16") else "float32"


def device_of(model: torch.nn.Module) -> torch.device:
    """Return the device of a model's weights, else of its buffers; the CPU if it has neither.

    Args:
        model: Any module.

    Explained in notebook 00.
    """
    return next((tensor.device for tensor in chain(model.parameters(), model.buffers())), torch.device("cpu"))


def send(x: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Move a tensor to a device; the program goes on while a GPU still takes it in.

    A plain ``to`` waits until the GPU has done all it was told to before. Memory that the operating system may not
    move (pinned memory) is one that a GPU reads by itself, so the tensor is copied there first.

    Args:
        x: Any tensor.
        device: Where it is wanted.

    Explained on the page of benchmarks.
    """
    if x.device.type != "cpu" or torch.device(device).type != "cuda" or torch.compiler.is_compiling():
        return x.to(device)
    pinned = torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x)
    return pinned.to(device, non_blocking=True)


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, NumPy and torch, and return a fresh generator with the same seed.

    Args:
        seed: A non-negative integer.

    Returns:
        A CPU ``torch.Generator``, for whatever takes a ``generator`` argument.

    Raises:
        ValueError: If ``seed`` is negative or not an integer.

    Explained in notebook 00.
    """
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer, got {seed!r}")
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries that draw from the global state are seeded too
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def budget_name() -> str:
    """Return the name of the budget in force: ``smoke``, ``laptop`` or ``gpu``.

    The environment variable ``VQVAE_COURSE_BUDGET`` decides; without it, ``gpu`` where CUDA is
    there, else ``laptop``.

    Raises:
        ValueError: If the variable holds another word.

    Explained in notebook 00.
    """
    default = "gpu" if torch.cuda.is_available() else "laptop"
    name = os.environ.get("VQVAE_COURSE_BUDGET") or default
    if name not in BUDGETS:
        raise ValueError(f"VQVAE_COURSE_BUDGET must be one of {', '.join(BUDGETS)}, got {name!r}")
    return name


def budget(*, smoke: T, laptop: T, gpu: T) -> T:
    """Return the value for the budget in force.

    Args:
        smoke: For continuous integration: the whole notebook in under 20 s on 2 CPU cores.
        laptop: For a reader: no training cell over 90 s, no notebook over 5 minutes.
        gpu: For a Colab GPU: the notebook in under 10 minutes.

    Returns:
        The one of the three that ``budget_name()`` names.

    Explained in notebook 00.
    """
    return {"smoke": smoke, "laptop": laptop, "gpu": gpu}[budget_name()]


@contextmanager
def eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """Put a model in eval mode for a while, and back into the mode it was in.

    Args:
        model: Any module.

    Explained in notebook 05.
    """
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one CPU thread for a while, and then with as many as before; a decorator too.

    For many small steps in a row: after each, threads wait for the slowest, and where another program has taken one's
    core that takes several times as long as all the arithmetic.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class KeptInFloat32(torch.nn.Module):
    """A layer whose own tensors stay float32 (or float64) when the model around it goes to half precision.

    ``model.half()`` and ``model.bfloat16()`` would spoil codes and running statistics: float16 ends at 65504, which
    a count of latents passes within one batch, and neither type has the digits for a mean that moves by a
    hundredth at a time.
    """

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], *args: bool, **kwargs: bool) -> "KeptInFloat32":
        def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
            moved = fn(tensor)
            wide = wide_dtype(moved.dtype)
            return moved if moved.dtype == wide else tensor.to(moved.device, wide_dtype(tensor.dtype))

        return super()._apply(at_least_float32, *args, **kwargs)


def wide_dtype(*dtypes: torch.dtype) -> torch.dtype:
    """Return the type to compute in: the widest of these, and at least float32; whole numbers stay what they are."""
    widest = dtypes[0]
    for dtype in dtypes[1:]:
        widest = torch.promote_types(widest, dtype)
    return torch.promote_types(widest, torch.float32) if widest.is_floating_point else widest


def host_name() -> str:
    """Return what this machine calls itself, in characters that any file system takes."""
    return re.sub(r"[^\w-]", "-", platform.node(), flags=re.ASCII)[:64] or "localhost"


def half_written(path: str | Path) -> list[Path]:
    """Return what processes of this machine that are gone left half written by ``whole_file`` under this very name.

    What a process of another machine writes, on a disk that both share, is left out, since nobody can say here
    whether that process is alive.

    Args:
        path: The name the file would have had.
    """
    path = Path(path)
    if not path.parent.is_dir():
        return []
    # No system numbers processes beyond seven digits; eight are a date, of somebody's own copy.
    host = re.escape(host_name())
    name = re.compile(rf"\.{re.escape(path.name)}\.(?:{host}\.)?([1-9]\d{{0,6}})")  # older ones: no host
    found = ((left, name.fullmatch(left.name)) for left in path.parent.iterdir())
    return sorted(left for left, match in found if match and left.is_file() and not _is_alive(int(match[1])))


def _is_alive(process: int) -> bool:
    """Say whether there is such a process, or there may be one."""
    if os.name == "nt":  # where there is no way to ask without ending it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file beside ``path`` for writing; it takes that name only when it is whole.

    An interruption or an error leaves what was there before. Missing folders are made.

    Args:
        path: The name the file will have.

    Yields:
        The open file.

    Explained in notebook 05.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    half_done = path.with_name(f".{path.name}.{host_name()}.{os.getpid()}")
    try:
        with half_done.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # on the disk before the old one is gone
        half_done.replace(path)
    finally:
        half_done.unlink(missing_ok=True)


REFERENCE_RATE = 600.0  # passes of ``_speed`` a second on the 2 CPU cores that the stored outputs come from


def check_setup(reference_seconds: float) -> list[str]:
    """Print where this notebook runs, how long it will take, and what to mend.

    Args:
        reference_seconds: How long the notebook took on the machine of its stored outputs.

    Returns:
        What to mend, one sentence each; empty if nothing.

    Explained in notebook 00.
    """
    device, name = pick_device(), budget_name()
    problems = []
    if shutil.which("nvidia-smi") and device.type != "cuda":
        problems.append("There is an NVIDIA GPU, but this build of torch cannot use it: install a CUDA build of torch.")
    folder = os.environ.get("VQVAE_COURSE_DATA")
    if folder and not Path(folder).expanduser().is_dir():
        problems.append(f"VQVAE_COURSE_DATA names {folder!r}, which is no folder: mend or unset it.")
    if "google.colab" in sys.modules and device.type != "cuda":
        problems.append("On Colab choose Runtime, Change runtime type, GPU for a faster run.")
    minutes = reference_seconds * REFERENCE_RATE / _speed(device) / 60
    print(f"Python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}")
    print(f"Device: {device.type}, {torch.get_num_threads()} CPU threads. Budget: {name}.")
    if name == "laptop":
        print(f"This notebook should take about {max(minutes, 0.1):.1f} minutes here.")
    print("\n".join(f"To mend: {problem}" for problem in problems) or "Nothing to mend.")
    return problems


def _speed(device: torch.device) -> float:
    """Return how many times a second a small convolution runs forwards and backwards, at its best.

    Tried with all threads and with one: threads that wait for each other on a machine that does something else at the
    moment are slower than one alone, by up to ten times, which the notebook's own larger steps are not.
    """
    rates = [_rate(device)]
    if device.type == "cpu":
        with one_thread():
            rates.append(_rate(device))
    return max(rates)


def _rate(device: torch.device) -> float:
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(device)
    x = torch.rand(64, 64, 7, 7, device=device)
    layer(x).sum().backward()  # the first pass pays for setting up
    rates = []
    for _ in range(5):  # the best of five: what else the machine does at the moment will pass
        passes, started = 0, time.perf_counter()
        while time.perf_counter() - started < 0.1:
            layer(x).sum().backward()
            passes += 1
        rates.append(passes / (time.perf_counter() - started))
    return max(rates)
