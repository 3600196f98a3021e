"""Training in two processes: how much faster it is, what they tell each other, and what goes wrong if they do not.

    python -m benchmarks.scaling

writes ``scaling.md`` and ``scaling.json``. The processes find each other as those of ``torchrun`` do, through the
same variables.
"""

import argparse
import json
import platform
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

import vqvae_course.quantize
import vqvae_course.train
from benchmarks import precision as update
from benchmarks.measure import interleaved, processor, table
from benchmarks.workers import Worker, train_on_request
from vqvae_course.cli.presets import PRESETS
from vqvae_course.data import Batch, Batches, ImageSet, as_float, load_images, part_of
from vqvae_course.distributed import Parallel, World, gathered, together, world
from vqvae_course.metrics import data_variance
from vqvae_course.runtime import seed_everything
from vqvae_course.train import TrainConfig, fit, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig

RESULTS = Path(__file__).with_name("scaling.json")
BATCH_SIZES = (32, 128)
UPDATES = 4  # asked for at once
GROUPS = {
    "one process, one thread": (1, 1),
    "one process, two threads": (1, 2),
    "two processes, one thread each": (2, 1),
}
Collectives = dict[str, list[tuple[int, float]]]  # kind to (bytes, seconds) of each


class Group:
    """Workers that train together.

    Args:
        setting: For all of them.
        size: How many.
        threads: Of each.
    """

    def __init__(self, setting: Any, size: int, threads: int):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.workers = [
            Worker(
                "benchmarks.scaling",
                setting,
                {
                    "OMP_NUM_THREADS": str(threads),
                    "RANK": str(rank),
                    "WORLD_SIZE": str(size),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                },
            )
            for rank in range(size)
        ]

    def update(self, updates: int = UPDATES) -> None:
        """Ask all of them for some updates, and wait for them."""
        for worker in self.workers:
            worker.start(updates)
        for worker in self.workers:
            worker.wait()

    def stop(self) -> str:
        """Let them end, and return what the first prints last."""
        for worker in self.workers:
            worker.process.stdin.close()  # all at once: they wait for each other
        first, *_ = [worker.stop() for worker in self.workers]
        return first


def kind_of(operation: str, x: Tensor, config: VQVAEConfig) -> str:
    """Say what processes tell each other, by how and in which shape they do."""
    if operation == "broadcast":
        return "restarted codes"
    if operation == "all_gather":
        return "latents to restart from" if x.is_floating_point() else "indices, for the perplexity"
    shapes = {
        (config.num_codes,): "counts of the codebook",
        (config.num_codes, config.code_dim): "sums of the codebook",
        (config.code_dim,): "means and variances of the latents",
    }
    return shapes.get(tuple(x.shape), "losses, for the log")


def watch(config: VQVAEConfig) -> Collectives:
    """Write down from now on each collective of this process; return where to."""
    seen: Collectives = defaultdict(list)

    def watched(name: str, operation: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            x = args[1] if name == "all_gather" else args[0]
            started = time.perf_counter()
            result = operation(*args, **kwargs)
            seen[kind_of(name, x, config)].append((x.nbytes, time.perf_counter() - started))
            return result

        return call

    all_reduce = dist.all_reduce
    for name in ("all_reduce", "all_gather", "broadcast"):
        setattr(dist, name, watched(name, getattr(dist, name)))

    def averaged(_: None, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        """Do what distributed data parallel does with gradients by default, with a clock."""
        started, gradients = time.perf_counter(), bucket.buffer().div_(world().size)

        def done(future: torch.futures.Future) -> Tensor:
            seen["gradients"].append((gradients.nbytes, time.perf_counter() - started))
            return future.value()[0]

        return all_reduce(gradients, async_op=True).get_future().then(done)

    class Watched(Parallel):
        def __init__(self, model: nn.Module):
            super().__init__(model)
            self.register_comm_hook(None, averaged)
            seen.clear()  # what is told once, at the start

    vqvae_course.train.Parallel = Watched
    return seen


def work(batch_size: int) -> None:
    """Train the network of the preset ``cifar10`` on request, in as many processes as the environment says."""
    preset = PRESETS["cifar10"](torch.device("cpu"))
    with together():
        model, batch, step = update.build({"batch_size": batch_size, **asdict(preset.network)})
        model.init_codebook(batch.x)  # all processes have all images here, which changes nothing
        part = part_of(batch_size, world())
        seen = watch(model.config)
        training = preset.training
        chosen = {name: getattr(training, name) for name in ("precision", "clip")}
        train_on_request(model, Batch(batch.x[part], batch.labels[part]), step, lr=3e-4, **chosen)
        print(json.dumps(seen))


def measure_speed(batch_size: int, rounds: int = 15) -> dict:
    """Return the images a second of each group, and what an update of the last one tells."""
    groups = {name: Group(batch_size, size, threads) for name, (size, threads) in GROUPS.items()}
    for group in groups.values():
        group.update(0)  # until everything is imported and all have met
    seconds = interleaved({name: group.update for name, group in groups.items()}, rounds)
    *_, seen = (json.loads(group.stop()) for group in groups.values())
    updates = UPDATES * (rounds + 2)
    return {
        "batch_size": batch_size,
        "images_per_second": {name: batch_size * UPDATES / value for name, value in seconds.items()},
        "milliseconds": {name: 1e3 * value / UPDATES for name, value in seconds.items()},
        "collectives": {
            kind: {
                "times": len(calls) / updates,
                "bytes": sum(count for count, _ in calls) / updates,
                "milliseconds": 1e3 * median(taken for _, taken in calls) * len(calls) / updates,
            }
            for kind, calls in seen.items()
        },
    }


ALONE = {  # what a process that shares nothing would get
    "total": lambda x: x,
    "gathered": lambda x: x,
    "from_first": lambda x: x,
    "world": lambda: World(0, 1),
}
FAULTS: dict[str, dict[str, Any]] = {
    "all shared; k-means start": {"start": "kmeans"},
    "counts and sums not shared": {"start": "kmeans", "alone": ["total"]},
    "k-means start not shared either": {"start": "kmeans", "alone": list(ALONE), "also_start": True},
    "all shared; start N(0, 1), restarts": {"restart_below": 1.0},
    "restarts not shared": {"restart_below": 1.0, "alone": ["gathered", "from_first", "world"]},
    "counts, sums and restarts not shared": {"restart_below": 1.0, "alone": list(ALONE)},
}


def train_with(fault: dict[str, Any], steps: int, train_set: ImageSet, test_set: ImageSet) -> dict:
    """Train the network of the preset ``quick`` with a fault, in the processes of this run; compare their codebooks.

    Args:
        fault: ``start`` of the codebook, ``restart_below``, and which functions of ``distributed`` the quantizer does
            without (``alone``), from the start of the codebook on if ``also_start``.
        steps: Updates.
        train_set: To learn from.
        test_set: To compare on.
    """
    preset = PRESETS["quick"](torch.device("cpu"))
    seed_everything(0)
    network = asdict(preset.network) | {
        "in_channels": train_set.images.shape[1],
        "data_variance": data_variance(train_set.images),
        "restart_below": fault.get("restart_below", 0.0),
    }
    model = VQVAE(VQVAEConfig(**network))
    shared = {name: getattr(vqvae_course.quantize, name) for name in ALONE}
    missing = {name: ALONE[name] for name in fault.get("alone", ())}
    training = replace(TrainConfig(**{**asdict(preset.training), "checkpoint": None}), steps=steps, progress=False)
    batches = Batches(train_set, preset.batch_size, shard=tuple(world()))
    try:
        if fault.get("also_start"):
            vars(vqvae_course.quantize).update(missing)
        if fault.get("start") == "kmeans":
            model.init_codebook(as_float(train_set.images[:400][part_of(min(400, len(train_set.images)), world())]))
        vars(vqvae_course.quantize).update(missing)
        fit(model, batches, vqvae_step, training)
    finally:
        vars(vqvae_course.quantize).update(shared)
    return compare(model, test_set)


@torch.no_grad()
def compare(model: VQVAE, test_set: ImageSet) -> dict:
    """Return how far the codebooks of the first and the last process are apart, and what that does to images."""
    x = as_float(test_set.images)
    codebooks = gathered(model.quantizer.codebook[None])
    maps = gathered(model.encode(x)[None])
    own, foreign = (
        float((model.decode(indices) - x).square().mean()) / model.config.data_variance for indices in maps[[0, -1]]
    )
    first, last = codebooks[0], codebooks[-1]
    return {
        "drift": float((first - last).square().sum().sqrt() / first.square().sum().sqrt()),
        "codes_differ": float((maps[0] != maps[-1]).float().mean()),
        "normalized_mse": own,
        "normalized_mse_of_foreign_codes": foreign,
    }


def show_faults(steps: int = 1000) -> None:
    """Train with each fault in turn and print what came of it; this is what the workers of ``measure_faults`` do."""
    with together():
        train_set, test_set = (load_images("glyphs", split) for split in ("train", "test"))
        found = {
            name: train_with(fault, steps, train_set, test_set.take(slice(1000))) for name, fault in FAULTS.items()
        }
        print(json.dumps(found))


def measure_faults(steps: int = 1000) -> dict:
    """Return for each fault what two processes with it end with."""
    return json.loads(Group({"faults": steps}, 2, 1).stop())


def report(found: dict) -> str:
    """Return the tables as Markdown."""
    speed = []
    for name in GROUPS:
        entries = []
        for row in found["speed"]:
            rate, base = row["images_per_second"], row["images_per_second"][next(iter(GROUPS))]
            entries.append(f"{rate[name]:,.0f} images/s, {rate[name] / base:.2f}")
        speed.append([name, *entries])
    told = []
    for kind in dict.fromkeys(kind for row in found["speed"] for kind in row["collectives"]):
        entries = []
        for row in found["speed"]:
            counted = row["collectives"].get(kind)
            entries.append(
                f"{counted['times']:.2f}, {counted['bytes'] / 1024:,.1f} KiB, {counted['milliseconds']:.2f} ms"
                if counted
                else "none"
            )
        told.append([kind, *entries])
    batches = [f"batches of {row['batch_size']}" for row in found["speed"]]
    faults = [
        [
            name,
            f"{100 * row['drift']:.0f} %",
            f"{100 * row['codes_differ']:.0f} %",
            f"{row['normalized_mse']:.3f}",
            f"{row['normalized_mse_of_foreign_codes']:.3f}",
        ]
        for name, row in found["faults"].items()
    ]
    header = ["two processes", "codebooks apart by", "codes that differ", "own codes decoded", "the other's decoded"]
    return (
        "\n\n".join(
            [
                f"Measured on {found['date']} with `python -m benchmarks.scaling`: {found['device']}, "
                f"{found['system']}, torch {found['torch']}, gloo, {found['precision']}. On GPUs: not measured.",
                table(["the whole batch stays the same", *batches], speed),
                table(["an update of two processes tells", *(f"{name}: times, size, time" for name in batches)], told),
                table(header, faults),
            ]
        )
        + "\n"
    )


def main() -> None:
    """Read the command line; measure, or be a worker."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if isinstance(options.worker, dict):
        show_faults(options.worker["faults"])
    elif options.worker:
        work(options.worker)
    else:
        found = {
            "date": str(date.today()),
            "device": processor(),
            "system": platform.system(),
            "torch": torch.__version__,
            "precision": PRESETS["cifar10"](torch.device("cpu")).training.precision,
            "speed": [measure_speed(batch_size) for batch_size in BATCH_SIZES],
            "faults": measure_faults(),
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        RESULTS.with_suffix(".md").write_text(report(found), encoding="utf-8")
        print(report(found))


if __name__ == "__main__":
    main()
