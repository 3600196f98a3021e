"""Small runs of the command line: what they are started with, and what they leave."""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vqvae_course.cli import main

H, W = 8, 12
TRAIN, TEST = {"ant": 11, "bee": 9, "cow": 6}, {"ant": 4, "bee": 3, "cow": 2}
N_TRAIN, N_TEST, CLASSES = sum(TRAIN.values()), sum(TEST.values()), len(TRAIN)
K, K_TOP = 7, 5

QUIET = ("--no-progress", "--precision", "float32", "--batch-size", "6", "--log-every", "2")
SIZES = ("--hidden", "8", "--residual-layers", "1", "--residual-hidden", "4", "--code-dim", "3")
NETWORK = ("--data", "folder:pets", *SIZES)
ONE_LEVEL = (*NETWORK, "--num-codes", f"{K}", "--downsample", "2", *QUIET)
TWO_LEVELS = (*NETWORK, "--model", "vqvae2", "--num-codes", f"{K_TOP}", f"{K}", "--strides", "2", "2", *QUIET)
PRIOR = (*QUIET, "--hidden", "8", "--layers", "2", "--stack-layers", "1", "--heads", "2", "--blocks", "1")


class Outcome(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


Cli = Callable[..., Outcome]


def draw_pets(folder: Path) -> None:
    """Write pictures of noise in three classes, divided into train and test."""
    noise = np.random.default_rng(0)
    for split, sizes in (("train", TRAIN), ("test", TEST)):
        for name, count in sizes.items():
            (folder / split / name).mkdir(parents=True)
            for n in range(count):
                picture = Image.fromarray(noise.integers(256, size=(H, W, 3), dtype=np.uint8))
                picture.save(folder / split / name / f"{n}.png")


def content(folder: str | Path) -> dict[str, bytes]:
    """Return all files of a folder but the one that is only there to be locked."""
    files = {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
    return {path: held for path, held in files.items() if Path(path).name != ".lock"}


def saved(path: str | Path) -> dict[str, Any]:
    """Return all that a checkpoint holds and that a run decides; only the seconds are chance."""
    held = torch.load(path, weights_only=True)
    del held["history"]["seconds"]
    return held


def same(one: Any, other: Any) -> bool:
    """Say whether two nests of dicts, lists and tensors are equal to the last bit."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def in_a_child(arguments: tuple[str, ...], log: Path, before: Callable[[], None] | None = None) -> BaseProcess:
    """Start a command in a process of its own, a copy of this one, which has torch loaded already."""

    def work() -> None:
        tqdm.set_lock(threading.RLock())  # the usual one is shared with this process, which would wait for the dead
        with log.open("w") as sys.stdout:
            sys.stderr = sys.stdout
            if before:
                before()
            status = main(arguments)
        os._exit(status)

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    return child


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something has happened, which must not take forever."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not happened in time"
        time.sleep(0.001)


def written(path: Path) -> int | None:
    """Return what changes whenever a file is written anew."""
    return path.stat().st_mtime_ns if path.exists() else None
