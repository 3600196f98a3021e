"""The whole of Part III on a GPU: two or three levels, their priors, samples, and what measures say of them.

    python -m benchmarks.hierarchy --data folder:PATH --size 32 --device cuda

writes ``hierarchy_NAME.json`` with every number and setting, a page ``hierarchy_NAME.md`` with the main ones, a
picture ``hierarchy_NAME.png`` and the checkpoints, into ``--to``.
"""

import argparse
import copy
import json
import math
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.measure import seconds_of, table
from vqvae_course import plotting
from vqvae_course.checkpoint import save_checkpoint
from vqvae_course.classifier import Classifier
from vqvae_course.conditional import ConditionalPrior, ConditionalPriorConfig
from vqvae_course.data import Batch, Batches, ImageSet, as_float, decode_levels, encode_levels, load_images
from vqvae_course.evaluate import agreement, evaluate_prior, evaluate_vqvae2, judge
from vqvae_course.fidelity import frechet_distance, nearest_distances, precision_recall, reject
from vqvae_course.metrics import data_variance, hierarchy_ratio, nats_per_image
from vqvae_course.pixelsnail import PixelSNAIL, PixelSNAILConfig
from vqvae_course.sampling import sample_levels
from vqvae_course.train import Step, TrainConfig, classifier_step, fit, prior_step, vqvae2_step
from vqvae_course.vqvae2 import VQVAE2, VQVAE2Config

PROBE = 20  # updates that tell how many fit into the time


def steps_for(seconds: float, model: nn.Module, batches: Iterable[Batch], step: Step) -> int:
    """Return how many updates fit into these seconds, from a few on a copy of the model."""
    probe = TrainConfig(steps=PROBE, lr=1e-4, progress=False)
    trial = copy.deepcopy(model)
    fit(trial, batches, step, probe)  # pays for setting up
    return max(PROBE, int(seconds * PROBE / seconds_of(lambda: fit(trial, batches, step, probe))))


def train(seconds: float, lr: float, model: nn.Module, batches: Batches, step: Step, clip: float | None = None) -> dict:
    """Train for about so many seconds; return what was done."""
    steps = steps_for(seconds, model, batches, step)
    started = time.perf_counter()
    history = fit(model, batches, step, TrainConfig(steps=steps, lr=lr, clip=clip, progress=False))
    print(f"{type(model).__name__}: {steps} updates in {time.perf_counter() - started:.0f} s", flush=True)
    return {
        "steps": steps,
        "batch_size": batches.batch_size,
        "lr": lr,
        "seconds": round(history.seconds, 1),
        "last": {name: round(values[-1], 4) for name, values in history.values.items()},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def run(
    train_set: ImageSet,
    test_set: ImageSet,
    config: VQVAE2Config,
    minutes: float,
    device: str,
    to: Path,
    hidden: int = 128,
    samples: int = 10_000,
) -> dict:
    """Train all parts, draw samples, measure them, write the numbers and the picture.

    Args:
        train_set: To learn from.
        test_set: To measure with.
        config: Of the VQ-VAE-2; the data's variance is filled in.
        minutes: Training time in all.
        device: ``cpu`` or ``cuda``.
        to: Folder of the results.
        hidden: Channels of the priors.
        samples: Images to draw.
    """
    torch.manual_seed(0)
    classes = int(train_set.labels.max()) + 1
    test_set = test_set.take(torch.randperm(len(test_set.labels)))  # a folder gives one class after another
    config = VQVAE2Config(**{**asdict(config), "data_variance": data_variance(train_set.images)})
    sizes = config.map_sizes(*train_set.images.shape[2:])
    levels = [(*size, k) for size, k in zip(sizes, config.num_codes, strict=True)]
    seconds = 60 * minutes
    found: dict = {
        "date": str(date.today()),
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor(),
        "torch": torch.__version__,
        "data": train_set.name,
        "images": [len(train_set.images), len(test_set.images)],
        "config": asdict(config),
        "levels": levels,
        "ratio": hierarchy_ratio(train_set.images.shape[1:], levels),
    }

    model = VQVAE2(config).to(device)
    model.init_codebook(as_float(train_set.images[:1000].to(device)))
    found["stage 1"] = train(0.35 * seconds, 2e-3, model, Batches(train_set, 128, device=device), vqvae2_step)
    found["stage 1"] |= evaluate_vqvae2(model, test_set)._asdict()

    codes, test_codes = encode_levels(model, train_set), encode_levels(model, test_set)
    priors = priors_of(config, classes, hidden, device)
    shares = {2: (0.2, 0.4), 3: (0.1, 0.2, 0.3)}[config.levels]
    found["priors"] = []
    for prior, level, held_out, share in zip(priors, codes, test_codes, shares, strict=True):
        done = train(share * seconds, 2e-3, prior, Batches(level, 128, device=device), prior_step, clip=1.0)
        found["priors"].append(done | {"kind": type(prior).__name__, "nats_per_code": evaluate_prior(prior, held_out)})
    found["nats_per_image"] = nats_per_image([prior["nats_per_code"] for prior in found["priors"]], sizes)

    judge_net = Classifier(train_set.images.shape[1], classes, hidden=64).to(device)
    found["judge"] = train(0.05 * seconds, 4e-3, judge_net, Batches(train_set, 128, device=device), classifier_step)
    found["samples"] = samples
    labels = torch.arange(samples) % classes
    started = time.perf_counter()
    drawn = draw_images(model, priors, sizes, labels.to(device))
    found["sampling_seconds"] = time.perf_counter() - started
    decoded = decode_levels(model, [level.indices for level in test_codes])
    found["measures"] = measures(judge_net, test_set, decoded, drawn, labels, train_set, device, 0.025 * seconds)

    to.mkdir(parents=True, exist_ok=True)
    name = f"hierarchy_{train_set.name}"
    (to / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (to / f"{name}.md").write_text(report(found), encoding="utf-8")
    save_picture(to / f"{name}.png", model, judge_net, test_set, decoded, drawn, labels, classes)
    for part in (model, *priors):
        save_checkpoint(to / f"{name}_{type(part).__name__}.pt", part)
    return found


def report(found: dict) -> str:
    """Return the main numbers as Markdown; what a run did not measure reads "not measured"."""
    stage_1, names = found["stage 1"], {2: ("top", "bottom"), 3: ("top", "middle", "bottom")}[len(found["levels"])]
    lines = [
        f"Measured on {found['date']}: {found['device']}, torch {found['torch']}, {found['data']} "
        f"({found['images'][0]:,} images to learn from, {found['images'][1]:,} to measure with).",
        f"Stage 1: {stage_1['steps']:,} updates of {stage_1['batch_size']} in {stage_1['seconds']:.0f} s; "
        f"normalised MSE {stage_1['normalized_mse']:.4f}, PSNR {stage_1['psnr']:.1f} dB, "
        f"{found['ratio']:.1f} times fewer bits than the raw pixels.",
    ]
    levels = [
        [
            f"{name}, {h}×{w}, K = {k}",
            f"{perplexity:.0f}",
            f"{prior['kind']}, {prior['parameters'] / 1e6:.1f} M",
            f"{prior['steps']:,} in {prior['seconds']:.0f} s",
            f"{prior['nats_per_code']:.2f} of {math.log(k):.2f}",
        ]
        for name, (h, w, k), perplexity, prior in zip(
            names, found["levels"], stage_1["perplexity"], found["priors"], strict=True
        )
    ]
    lines.append(table(["level", "perplexity", "prior, parameters", "updates", "nats a code, of log K"], levels))
    lines.append(
        f"All codes of an image together cost {found['nats_per_image']:.0f} nats. "
        f"{found['samples']:,} images were drawn in {found['sampling_seconds']:.1f} s."
    )
    columns = {
        "agreement": "judge agrees",
        "classification_accuracy_score": "classification accuracy score",
        "frechet_distance": "Fréchet distance (judge's features)",
        "precision": "precision",
        "recall": "recall",
    }
    rows = [
        [name, *(f"{row[key]:.3g}" if key in row else "not measured" for key in columns)]
        for name, row in found["measures"].items()
    ]
    lines.append(table(["images", *columns.values()], rows))
    return "\n\n".join(lines) + "\n"


def priors_of(config: VQVAE2Config, classes: int, hidden: int, device: str) -> list[nn.Module]:
    """Return one untrained prior a level, top first: attention for the small map, a condition for the others."""
    top = PixelSNAIL(
        PixelSNAILConfig(config.num_codes[0], hidden=hidden, blocks=3, layers=3, heads=4, num_classes=classes)
    )
    lower = [
        ConditionalPrior(
            ConditionalPriorConfig(
                config.num_codes[level],
                list(zip(config.num_codes[:level], config.strides[:level], strict=True)),
                hidden=hidden,
                layers=10,
                num_classes=classes,
            )
        )
        for level in range(1, config.levels)
    ]
    return [prior.to(device) for prior in (top, *lower)]


def draw_images(model: VQVAE2, priors: list[nn.Module], sizes: list[tuple[int, int]], labels: Tensor) -> Tensor:
    """Return one image a label, drawn from the priors, 1,000 at a time."""
    generator = torch.Generator().manual_seed(0)
    images = []
    for part in labels.split(1000):
        maps = sample_levels(priors, [(len(part), *size) for size in sizes], part, generator=generator)
        images.append(decode_levels(model, maps))
    return torch.cat(images)


def measures(
    judge_net: Classifier,
    test_set: ImageSet,
    decoded: Tensor,
    drawn: Tensor,
    labels: Tensor,
    train_set: ImageSet,
    device: str,
    seconds: float,
) -> dict:
    """Return one row a source of images: agreement, Fréchet distance, precision, recall, accuracy score."""
    real = judge(judge_net, test_set.images)
    judged = judge(judge_net, drawn)
    best = reject(judged.probabilities, labels, 0.25)
    train_rows = torch.randperm(len(train_set.images), generator=torch.Generator().manual_seed(1))[: len(real.features)]
    sources = {
        "training images": (as_float(train_set.images[train_rows]), train_set.labels[train_rows]),
        "reconstructions": (decoded, test_set.labels),
        "samples": (drawn, labels),
        "samples, the best quarter": (drawn[best], labels[best]),
    }
    rows = {}
    few = slice(0, 2500)  # as many of each, or the measures could not be compared
    for name, (images, wanted) in sources.items():
        images, wanted = images[few], wanted[few]
        features = judge(judge_net, images).features
        precision, recall = precision_recall(real.features[few], features)
        student = Classifier(images.shape[1], int(test_set.labels.max()) + 1, hidden=64).to(device)
        shown = ImageSet((255 * images).round().to(torch.uint8), wanted, name)
        train(seconds, 4e-3, student, Batches(shown, min(128, len(images)), device=device), classifier_step)
        nearest = nearest_distances(images[:200].flatten(1), as_float(train_set.images).flatten(1))
        rows[name] = {
            "images": len(images),
            "agreement": agreement(judge_net, images, wanted),
            "frechet_distance": frechet_distance(real.features[few], features),
            "precision": precision,
            "recall": recall,
            "classification_accuracy_score": agreement(student, test_set.images, test_set.labels),
            "distance_to_nearest_training_image": float(nearest.distance.median()),
        }
    rows["test images"] = {"agreement": agreement(judge_net, test_set.images, test_set.labels)}
    return rows


def save_picture(
    path: Path,
    model: VQVAE2,
    judge_net: Classifier,
    test_set: ImageSet,
    decoded: Tensor,
    drawn: Tensor,
    labels: Tensor,
    classes: int,
) -> None:
    """Write a picture with one column a class: real images, their reconstructions, samples, those the judge kept."""
    columns = min(classes, 10)
    first = torch.stack([(test_set.labels == c).nonzero()[0, 0] for c in range(columns)])
    kept = reject(judge(judge_net, drawn).probabilities, labels, 0.25)
    rows = {"real": as_float(test_set.images[first]), "decoded": decoded[first]}
    for turn in range(4):
        rows[f"sample {turn + 1}"] = drawn[[int((labels == c).nonzero()[turn, 0]) for c in range(columns)]]
    for turn in range(3):
        rows[f"kept {turn + 1}"] = drawn[[int(kept[labels[kept] == c][turn]) for c in range(columns)]]
    plotting.mosaic(rows).savefig(path, dpi=150, bbox_inches="tight")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="any name that load_images takes, such as folder:PATH")
    parser.add_argument("--size", type=int, help="side in pixels, for scenes and folders")
    parser.add_argument("--strides", type=int, nargs="+", default=[2, 2], help="top first, see VQVAE2Config")
    parser.add_argument("--minutes", type=float, default=7.0, help="of training in all")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--to", type=Path, default=Path("runs/hierarchy"), help="folder of the results")
    options = parser.parse_args()
    train_set, test_set = (load_images(options.data, split, size=options.size) for split in ("train", "test"))
    config = VQVAE2Config(
        num_codes=(512,) * len(options.strides),
        strides=tuple(options.strides),
        normalize_latents=True,
        restart_below=0.02,
    )
    found = run(train_set, test_set, config, options.minutes, options.device, options.to)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
