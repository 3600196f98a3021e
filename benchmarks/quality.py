"""What the classic CIFAR-10 network reaches in so many updates, as public scripts train it and as the course does.

    python -m benchmarks.quality --data folder:PATH --size 32

trains the presets ``cifar10-classic`` and ``cifar10`` of ``vqvae-course train`` (one network, once with the codebook
that learns by gradient, once with the course's quantizer), and writes ``quality_NAME.md`` and ``quality_NAME.json``.

The hyperparameters of ``cifar10`` (decay, learning rate, clipping, when to restart a code) were chosen by their
error on 5,000 training images held out from training, as ``--held-out 5000`` measures it. The test images chose
nothing. Those of ``cifar10-classic`` are the defaults of public scripts.
"""

import argparse
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch

from benchmarks.measure import processor, table
from vqvae_course.cli.options import TrainVQVAE
from vqvae_course.cli.presets import PRESETS
from vqvae_course.cli.train import build, start_codebook
from vqvae_course.data import Batches, ImageSet, load_images
from vqvae_course.evaluate import evaluate_vqvae
from vqvae_course.runtime import seed_everything
from vqvae_course.train import fit, vqvae_step


def run(options: TrainVQVAE, train_set: ImageSet, test_set: ImageSet, device: torch.device) -> dict:
    """Train one model as ``vqvae-course train`` does, and measure it on images it has not seen."""
    seed_everything(options.seed)
    batches = Batches(train_set, options.batch_size, torch.Generator().manual_seed(options.seed), device)
    model = build(options, train_set).to(device)
    started = time.perf_counter()
    start_codebook(model, options, train_set, device)
    started_after = time.perf_counter() - started
    history = fit(model, batches, vqvae_step, replace(options.training, progress=False))
    scores = evaluate_vqvae(model, test_set)
    return {
        "preset": options.preset,
        "steps": options.training.steps,
        "seed": options.seed,
        "lr": options.training.lr,
        "precision": options.training.precision,
        "codebook_seconds": round(started_after, 1),
        "seconds": round(history.seconds, 1),
        "images_per_second": round(history.images_per_second),
        **scores._asdict(),
    }


def measure(
    train_set: ImageSet,
    test_set: ImageSet,
    steps: Sequence[int] = (1000, 2000),
    seeds: int = 3,
    device: torch.device | str = "cpu",
    presets: Sequence[str] = ("cifar10-classic", "cifar10"),
) -> dict:
    """Train each preset for each number of updates with each seed.

    A run of 1,000 updates is not half of one of 2,000: with the course's preset, the learning rate falls to zero by
    the end of either.
    """
    device = torch.device(device)
    runs = []
    for preset in presets:
        for count in steps:
            for seed in range(1 if preset.endswith("classic") else seeds):  # one shows how far off that is
                options = PRESETS[preset](device)
                options = replace(options, seed=seed, training=replace(options.training, steps=count))
                runs.append(run(options, train_set, test_set, device))
                print(json.dumps(runs[-1]), flush=True)
    return {
        "date": str(date.today()),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "torch": torch.__version__,
        "data": train_set.name,
        "images": [len(train_set.images), len(test_set.images)],
        "runs": runs,
    }


def report(found: dict) -> str:
    """Return the table as Markdown: one row a preset and number of updates, one entry a seed."""
    rows = []
    for preset, steps in dict.fromkeys((run["preset"], run["steps"]) for run in found["runs"]):
        runs = [run for run in found["runs"] if (run["preset"], run["steps"]) == (preset, steps)]
        columns = {
            "normalized_mse": "{:.4f}",
            "perplexity": "{:.0f}",
            "codes_used": "{}",
            "seconds": "{:.0f}",
            "images_per_second": "{:,}",
        }
        entries = [", ".join(form.format(run[name]) for run in runs) for name, form in columns.items()]
        rows.append([f"`{preset}`", f"{steps:,}", *entries])
    header = ["preset", "updates of 32", "normalised MSE", "perplexity", "codes used", "seconds", "images/s"]
    where = f"{found['device']}, {found['threads']} thread{'s' if found['threads'] > 1 else ''}, {found['system']}"
    return (
        f"Measured on {found['date']} with `python -m benchmarks.quality`: {where}, torch {found['torch']}, "
        f"{found['runs'][0]['precision']}; {found['data']}, {found['images'][0]:,} images to learn from, "
        f"{found['images'][1]:,} others to measure with; numbers side by side are of different "
        f"seeds. On a GPU: not measured.\n\n{table(header, rows)}\n"
    )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="any name that load_images takes, such as folder:PATH")
    parser.add_argument("--size", type=int, help="side in pixels, for scenes and folders")
    parser.add_argument("--steps", type=int, nargs="+", default=[1000, 2000])
    parser.add_argument("--seeds", type=int, default=3, help="runs of the course's preset")
    parser.add_argument("--presets", nargs="+", default=["cifar10-classic", "cifar10"])
    parser.add_argument("--held-out", type=int, help="measure on so many training images, not trained on, and print")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent, help="folder of the results")
    options = parser.parse_args()
    train_set = load_images(options.data, "train", size=options.size)
    if options.held_out:
        order = torch.randperm(len(train_set.labels), generator=torch.Generator().manual_seed(0))
        train_set, test_set = train_set.take(order[options.held_out :]), train_set.take(order[: options.held_out])
    else:
        test_set = load_images(options.data, "test", size=options.size)
    found = measure(train_set, test_set, options.steps, options.seeds, options.device, options.presets)
    if not options.held_out:
        options.to.mkdir(parents=True, exist_ok=True)
        path = options.to / f"quality_{train_set.name}.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(report(found), encoding="utf-8")
    print(report(found))


if __name__ == "__main__":
    main()
