"""What bfloat16 gains in a training update: ``python -m benchmarks.precision``.

Every setting trains in a process of its own, since which instructions are used is a setting of a process. All
processes are there at once, and in each round all of them are asked, in a random order, for one update of
``train.fit``, while the others wait.
"""

import argparse
import json
import platform
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from benchmarks.measure import interleaved, processor, table, with_section
from benchmarks.workers import Worker, train_on_request
from vqvae_course.data import Batch, as_float
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.runtime import fast_precision
from vqvae_course.scenes import draw_scenes
from vqvae_course.train import Step, prior_step, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig

PRECISIONS = ("float32", "bfloat16")
# What the libraries are told to make use of. ATen and oneDNN listen to different variables.
INSTRUCTIONS = {
    "AVX-512 without bfloat16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
RESULTS, HEADING = Path(__file__).with_name("results.md"), "The precision of a training update"
NETWORKS: dict[str, dict[str, Any]] = {
    "128 images, gradient codebook": {"batch_size": 128, "quantizer": "gradient"},
    "128 images, EMA codebook": {"batch_size": 128, "quantizer": "ema"},
    "32 images, gradient codebook": {"batch_size": 32, "quantizer": "gradient"},
    "32 images, EMA codebook": {"batch_size": 32, "quantizer": "ema"},
}
PRIORS: dict[str, dict[str, Any]] = {
    "32 maps of 7×7, K = 128; 4 layers of 32": {
        "batch_size": 32,
        "side": 7,
        "prior": {"num_codes": 128, "hidden": 32, "layers": 4},
    },
    "32 maps of 16×16, K = 512; 8 layers of 64": {
        "batch_size": 32,
        "side": 16,
        "prior": {"num_codes": 512, "hidden": 64, "layers": 8},
    },
}


def build(network: Mapping[str, Any]) -> tuple[nn.Module, Batch, Step]:
    """Return a model, a batch for it, and its step function.

    Args:
        network: ``batch_size``, and either ``prior``, what a ``GatedPixelCNNConfig`` takes, with the ``side`` of its
            maps, or what a ``VQVAEConfig`` takes.
    """
    settings = dict(network)
    generator, batch_size = torch.Generator().manual_seed(0), settings.pop("batch_size")
    torch.manual_seed(0)
    if "prior" in settings:
        size = (batch_size, settings["side"], settings["side"])
        config = GatedPixelCNNConfig(**settings["prior"])
        indices = torch.randint(config.num_codes, size, generator=generator)
        return GatedPixelCNN(config), Batch(indices, torch.zeros(batch_size).long()), prior_step
    images, labels, _ = draw_scenes(batch_size, 32, generator)
    return VQVAE(VQVAEConfig(**settings)), Batch(as_float(images), labels), vqvae_step


def measure(network: Mapping[str, Any], environment: Mapping[str, str] | None = None, rounds: int = 15) -> dict:
    """Return the seconds of an update in each precision.

    Args:
        network: See ``build``.
        environment: Variables for all workers.
        rounds: Updates that count.
    """
    workers = {name: Worker("benchmarks.precision", [dict(network), name], environment) for name in PRECISIONS}
    for worker in workers.values():
        worker.update(0)  # until everything is imported and the images are drawn
    seconds = interleaved({name: worker.update for name, worker in workers.items()}, rounds)
    for worker in workers.values():
        worker.stop()
    return seconds


def repeated(times: int, *arguments: Any) -> dict[str, float]:
    """Return the medians of ``measure`` over several sets of processes.

    Of two processes that do the same, one can be some per cent faster, and stay so for all of its life.
    """
    runs = [measure(*arguments) for _ in range(times)]
    return {name: median(run[name] for run in runs) for name in PRECISIONS}


def speed_table(measured: Mapping[str, Mapping[str, float]]) -> str:
    """Return one row a network: the milliseconds in float32, and how many times as fast bfloat16 is."""
    body = [
        [network, f"{1e3 * found['float32']:.1f} ms", f"{found['float32'] / found['bfloat16']:.2f}"]
        for network, found in measured.items()
    ]
    return table(["network", "float32", "bfloat16, times as fast"], body)


def section(rounds: int = 15, times: int = 3) -> str:
    """Measure everything and return the section of ``results.md``, without its heading."""
    speed = {name: repeated(times, network, None, rounds) for name, network in NETWORKS.items()}
    without = {
        f"{instructions}: {name}": measure(NETWORKS[name], environment, rounds)
        for instructions, environment in INSTRUCTIONS.items()
        for name in ("128 images, EMA codebook", "32 images, EMA codebook")
    }
    priors = {name: measure(network, None, rounds) for name, network in PRIORS.items()}
    return "\n\n".join(
        [
            f"Measured on {date.today()} with `python -m benchmarks.precision`: {processor()}, "
            f"{torch.get_num_threads()} threads, {platform.system()}, torch {torch.__version__}; `fast_precision` "
            f"answers {fast_precision(torch.device('cpu'))} here. On a GPU: not measured.",
            speed_table(speed),
            "The libraries told to make no use of bfloat16 instructions:",
            speed_table(without),
            "A gated PixelCNN over codes:",
            speed_table(priors),
        ]
    )


def main() -> None:
    """Read the command line; measure, or be a worker."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        network, precision = json.loads(options.worker)
        train_on_request(*build(network), lr=3e-4, precision=precision)
        return
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    RESULTS.write_text(with_section(text, HEADING, section()), encoding="utf-8")


if __name__ == "__main__":
    main()
