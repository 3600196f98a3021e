"""Processes that train one update at a time, whenever they are asked to.

What is a setting of a whole process (its allocator, its instructions, its threads) can so be measured in turn, as
anything else is.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from vqvae_course.data import Batch
from vqvae_course.train import Step, TrainConfig, fit

ENDLESS = 10**9


class Worker:
    """A process of its own that runs ``python -m MODULE --worker SETTING``.

    Args:
        module: A module whose ``main`` hands such a setting to ``train_on_request``.
        setting: Whatever that module understands, as JSON.
        environment: Variables to set.
    """

    def __init__(self, module: str, setting: Any, environment: Mapping[str, str] | None = None):
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, "--worker", json.dumps(setting)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict(environment or {}),
        )

    def start(self, updates: int = 1) -> None:
        """Ask for some updates, and do not wait."""
        self.process.stdin.write(f"{updates}\n")
        self.process.stdin.flush()

    def wait(self) -> None:
        """Wait until they are made."""
        if not self.process.stdout.readline():
            raise RuntimeError(f"a worker ended with status {self.process.wait()}: its message stands above")

    def update(self, updates: int = 1) -> None:
        """Ask for some updates, and wait for them."""
        self.start(updates)
        self.wait()

    def stop(self) -> str:
        """Let the process end, and return what it prints last."""
        self.process.stdin.close()
        last = self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait()
        return last


def train_on_request(model: nn.Module, batch: Batch, step: Step, **options: Any) -> None:
    """Train with ``fit``, one update for each that standard input asks for, until it is closed."""
    ended = False

    def batches() -> Iterator[Batch]:
        nonlocal ended
        for line in sys.stdin:
            for _ in range(int(line)):
                yield batch
            print("done", flush=True)  # fit has come back for another batch: the update before is made
        ended = True

    try:
        fit(model, batches(), step, TrainConfig(ENDLESS, schedule="constant", progress=False, **options))
    except ValueError:  # the batches ran out
        if not ended:
            raise
