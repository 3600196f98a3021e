"""The options for speed of one training update, each alone and together: ``python -m benchmarks.options``.

Every setting trains in a process of its own, since how memory is kept and which instructions are used are settings
of a process. All processes are there at once, and in each round all of them are asked, in a random order, for one
update of ``train.fit``, while the others wait.
"""

import argparse
import json
import os
import platform
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from benchmarks.measure import interleaved, processor, seconds_of, table, with_section
from benchmarks.workers import Worker, train_on_request
from vqvae_course.data import Batch, as_float
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.runtime import fast_precision, keep_freed_memory
from vqvae_course.scenes import draw_scenes
from vqvae_course.train import Step, prior_step, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig

LAYOUT, FUSED, KEEP, BF16 = {"channels_last": True}, {"fused": True}, {"keep": True}, {"precision": "bfloat16"}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain: float32, none of these": {},
    "`channels_last`": LAYOUT,
    "`fused`": FUSED,
    "`keep_freed_memory`": KEEP,
    "all three": LAYOUT | FUSED | KEEP,
    "bfloat16": BF16,
    "bfloat16, `channels_last`": BF16 | LAYOUT,
    "bfloat16, all three": BF16 | LAYOUT | FUSED | KEEP,
    "bfloat16, all three, `compile`": BF16 | LAYOUT | FUSED | KEEP | {"compile": True},
}
PLAIN = next(iter(SETTINGS))
# What the libraries are told to make use of. ATen and oneDNN listen to different variables.
INSTRUCTIONS = {
    "AVX-512 without bfloat16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
WITHOUT_BF16 = [PLAIN, "`channels_last`", "all three", "bfloat16", "bfloat16, all three"]
FRESH = {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}  # or a second run would find what the first had compiled
RESULTS, HEADING = Path(__file__).with_name("results.md"), "The options of a training update"
NETWORKS: dict[str, dict[str, Any]] = {
    "128 images, gradient codebook": {"batch_size": 128, "quantizer": "gradient"},
    "128 images, EMA codebook": {"batch_size": 128, "quantizer": "ema"},
    "32 images, gradient codebook": {"batch_size": 32, "quantizer": "gradient"},
    "32 images, EMA codebook": {"batch_size": 32, "quantizer": "ema"},
}
PRIORS: dict[str, dict[str, Any]] = {
    "32 maps of 7×7, K = 128; 4 layers of 32": {"batch_size": 32, "side": 7, "prior": [128, 32, 4]},
    "32 maps of 16×16, K = 512; 8 layers of 64": {"batch_size": 32, "side": 16, "prior": [512, 64, 8]},
}


def build(network: Mapping[str, Any]) -> tuple[nn.Module, Batch, Step]:
    """Return a model, a batch for it, and its step function.

    Args:
        network: ``batch_size``, and either ``prior``, the arguments of a ``GatedPixelCNN``, with the ``side`` of its
            maps, or what a ``VQVAEConfig`` takes.
    """
    settings = dict(network)
    generator, batch_size = torch.Generator().manual_seed(0), settings.pop("batch_size")
    torch.manual_seed(0)
    if "prior" in settings:
        size = (batch_size, settings["side"], settings["side"])
        indices = torch.randint(settings["prior"][0], size, generator=generator)
        return (
            GatedPixelCNN(GatedPixelCNNConfig(*settings["prior"])),
            Batch(indices, torch.zeros(batch_size).long()),
            prior_step,
        )
    images, labels, _ = draw_scenes(batch_size, 32, generator)
    return VQVAE(VQVAEConfig(**settings)), Batch(as_float(images), labels), vqvae_step


def work(network: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Train one network with some options on request; this is what a worker does."""
    options = dict(options)
    if options.pop("keep", False):
        keep_freed_memory()
    train_on_request(*build(network), lr=3e-4, **options)


def measure(
    network: Mapping[str, Any],
    settings: Mapping[str, Mapping[str, Any]] = SETTINGS,
    environment: Mapping[str, str] | None = None,
    rounds: int = 15,
) -> dict[str, dict[str, float]]:
    """Return for each setting the seconds of an update and of the first, and the memory at its highest and between.

    Args:
        network: See ``build``.
        settings: Name to options of ``TrainConfig``, and ``keep``.
        environment: Variables for all workers.
        rounds: Updates that count.
    """
    workers = {
        name: Worker("benchmarks.options", [dict(network), dict(options)], environment)
        for name, options in settings.items()
    }
    for worker in workers.values():
        worker.update(0)  # until everything is imported and the images are drawn
    before = {name: worker.memory_mib()[1] for name, worker in workers.items()}
    first = {name: seconds_of(worker.update) for name, worker in workers.items()}
    seconds = interleaved({name: worker.update for name, worker in workers.items()}, rounds)
    memory = {name: [mib - before[name] for mib in worker.memory_mib()] for name, worker in workers.items()}
    for worker in workers.values():
        worker.stop()
    return {
        name: {"seconds": seconds[name], "first": first[name], "peak_mib": memory[name][0], "held_mib": memory[name][1]}
        for name in workers
    }


def speed_table(measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return one row a setting, one column a network: how many times as fast as plain."""
    header = ["times as fast as plain"]
    for name, found in measured.items():
        header.append(f"{name}; plain {1e3 * found[PLAIN]['seconds']:.1f} ms")
    settings = next(iter(measured.values()))
    body = [
        [setting, *(f"{found[PLAIN]['seconds'] / found[setting]['seconds']:.2f}" for found in measured.values())]
        for setting in settings
    ]
    return table(header, body)


def memory_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Return one row a setting: what training adds to the memory of a process."""
    body = [[name, f"{row['peak_mib']:.0f} MiB", f"{row['held_mib']:.0f} MiB"] for name, row in found.items()]
    return table(["memory", "at its highest", "between two updates"], body)


def measured_on() -> str:
    """Return the line that says when and where."""
    return (
        f"Measured on {date.today()} with `python -m benchmarks.options`: {processor()}, {torch.get_num_threads()} "
        f"threads, {platform.system()}, torch {torch.__version__}; `fast_precision` answers "
        f"{fast_precision(torch.device('cpu'))} here. On a GPU: not measured."
    )


def repeated(times: int, *arguments: Any) -> dict[str, dict[str, float]]:
    """Return the medians of ``measure`` over several sets of processes.

    Of two processes that do the same, one can be some per cent faster, and stay so for all of its life.
    """
    runs = [measure(*arguments) for _ in range(times)]
    return {name: {what: median(run[name][what] for run in runs) for what in found} for name, found in runs[0].items()}


def section(rounds: int = 15, times: int = 3) -> str:
    """Measure everything and return the section of ``results.md``, without its heading."""
    settings = dict(SETTINGS)
    compiler = any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++")))
    if not compiler:
        settings = {name: options for name, options in settings.items() if "compile" not in options}
    speed = {name: repeated(times, network, settings, FRESH, rounds) for name, network in NETWORKS.items()}
    few = {name: SETTINGS[name] for name in WITHOUT_BF16}
    without = {
        f"{instructions}: {name}": measure(NETWORKS[name], few, environment, rounds)
        for instructions, environment in INSTRUCTIONS.items()
        for name in ("128 images, EMA codebook", "32 images, EMA codebook")
    }
    layers = {name: options for name, options in SETTINGS.items() if "compile" not in options}
    priors = {name: measure(network, layers, None, rounds) for name, network in PRIORS.items()}
    shown = speed["128 images, EMA codebook"]
    seconds = [f"{found[name]['first']:.0f}" for found in speed.values() for name in found if "compile" in name]
    return "\n\n".join(
        [
            measured_on(),
            speed_table(speed),
            f"The first update of the last row took {', '.join(seconds)} s." if seconds else "`compile`: not measured.",
            memory_table(shown),
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
        work(*json.loads(options.worker))
        return
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    RESULTS.write_text(with_section(text, HEADING, section()), encoding="utf-8")


if __name__ == "__main__":
    main()
