"""``vqvae-course train``: stage 1, from images to a codebook."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from math import ceil, prod
from typing import get_type_hints

import torch
from torch import Tensor, nn

from vqvae_course.cli.options import TrainVQVAE, device_from, from_plain, given, kind_of, parse, steps_count
from vqvae_course.cli.pictures import save_pairs
from vqvae_course.cli.presets import PRESETS
from vqvae_course.cli.run import Run, RunError, as_plain, environment, say
from vqvae_course.cli.session import Board, announce, fit_in, report
from vqvae_course.cli.source import (
    PUT_BACK,
    default_out,
    folder_of,
    located,
    must_be_apart,
    must_be_same_classes,
    pictures_of,
    tell,
)
from vqvae_course.cli.trained import with_config_of
from vqvae_course.data import Batches, ImageSet, as_float, load_images, part_of
from vqvae_course.distributed import agreed, together, world
from vqvae_course.folders import PictureFiles
from vqvae_course.metrics import data_variance
from vqvae_course.runtime import eval_mode, seed_everything
from vqvae_course.stream import FolderStream
from vqvae_course.train import LEVEL_NAMES, vqvae2_step, vqvae_step
from vqvae_course.vqvae import VQVAE, VQVAEConfig
from vqvae_course.vqvae2 import VQVAE2, VQVAE2Config

EXAMPLE = "vqvae-course train --preset cifar10 --data folder:pictures --size 32 --out runs/pictures"
MODELS = ("vqvae", "vqvae2")
LATENTS_A_CODE = 64  # for k-means
SHOWN = 8
WATCHED = 256  # images whose codes TensorBoard counts


def main(arguments: Sequence[str]) -> None:
    """Read the options and train."""
    default = defaults(arguments)
    options = parse(type(default), arguments, "train", EXAMPLE, steps_count(default, arguments))
    with together(options.timeout):
        train_model(options)


def defaults(arguments: Sequence[str]) -> TrainVQVAE:
    """Return the options before any is given: those of the run to resume, else of the preset, else of the model."""
    usual = "quick-hierarchy" if given(arguments, "--model") == "vqvae2" else "quick"
    preset = given(arguments, "--preset") or usual
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    chosen = PRESETS[preset](device_from(given(arguments, "--device")))
    if data := given(arguments, "--data"):
        chosen = replace(chosen, out=default_out(data))
    model = given(arguments, "--model") or chosen.model
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
    if model != chosen.model:
        raise ValueError(f"model must be {chosen.model} for the preset {preset}, got {model!r}")
    if "--resume" not in arguments:
        return chosen
    run = Run(given(arguments, "--out") or chosen.out)
    about = run.read_json("train.json", "train")
    saved = about["options"]
    if isinstance(network := saved.get("network"), dict):
        names = get_type_hints(type(kind_of(saved)().network))
        saved |= {"network": with_config_of(network, names, run / "model.pt")}
    resumed = replace(from_plain(kind_of(saved), saved), out=run.folder)
    resumed = replace(resumed, data=located(resumed.data, run, about))
    for option in ("model", "preset"):
        asked, started = given(arguments, f"--{option}"), getattr(resumed, option)
        if asked not in (None, started):
            raise ValueError(f"{option} must be {started}, which this run was started with, got {asked!r}")
    return resumed


def train_model(options: TrainVQVAE) -> None:
    """Train a VQ-VAE or a VQ-VAE-2 in the folder of a run."""
    run, first = Run(options.out), world().rank == 0
    device = device_from(options.device)
    checkpoint = run / "model.pt"
    files = pictures_of(options.data) if first else None
    if files and not checkpoint.exists():
        must_be_apart(run.folder, options.data, files)
    if first and not checkpoint.exists():
        run.must_write_over_nothing()
    if files and options.training.resume and checkpoint.exists():
        must_be_the_same(run, options, files)
    where = {"folder": str(folder_of(options.data).resolve()), "place": str(run.folder.resolve())} if files else {}
    with run.claimed() if first else nullcontext():
        if checkpoint.exists() and not options.training.resume:
            raise RunError(f"{checkpoint} is there already: go on with --resume, or choose another --out")
        agreed(None)  # nobody starts before the first has the folder
        seed_everything(options.seed)
        if first:
            say(f"Reading {options.data}.")
        if files:
            tell(options.data, files)
        batches, some = open_data(options, device)
        must_divide(options, some)
        model = build(options, some).to(device)
        options = replace(options, data_variance=model.config.data_variance)  # not measured again when it resumes
        if not (options.training.resume and checkpoint.exists()):
            start_codebook(model, options, some, device)
        training = options.training_for(len(batches.labels))
        if first:
            about = {
                "options": as_plain(options),
                **({"classes": files.classes, **where} if files else {}),
                "data": {"name": some.name, "shape": list(some.images.shape[1:]), "train": len(batches.labels)},
                "environment": environment(device),
            }
            size = "x".join(map(str, some.images.shape[1:]))
            announce(
                model, f"{len(batches.labels):,} images of {some.name}, {size}", training, options.batch_size, device
            )
        shown = test_images(options, SHOWN) if first else None
        board = None
        if first and options.tensorboard:
            x = as_float(shown.images)
            watched = as_float(some_of(some, WATCHED, options.seed).images).to(device)
            board = Board(
                run / "tensorboard",
                lambda: {"reconstructions": torch.cat([x, reconstruct(model, x, device)])},
                lambda: usage(model, watched),
            )
        step = vqvae2_step if options.model == "vqvae2" else vqvae_step
        write_about = (lambda: run.write_json("train.json", about)) if first else None
        history = fit_in(run, "model", model, batches, step, training, board, write_about)
        if first:
            x = as_float(shown.images)
            picture = save_pairs(run / "pictures" / "reconstructions.png", x, reconstruct(model, x, device))
            report(history)
            say(
                f"Wrote {checkpoint}, {run / 'model.csv'} and {picture}.",
                f"Next: vqvae-course encode --out {run}",
            )


def must_be_the_same(run: Run, options: TrainVQVAE, files: PictureFiles) -> None:
    """Raise ``RunError`` if a run cannot go on with these pictures, since it was started with others."""
    about = run.read_json("train.json", "train")
    must_be_same_classes(options.data, files.classes, "this run", about.get("classes"), PUT_BACK)
    before = about["data"].get("train") if isinstance(about.get("data"), dict) else None
    if before not in (None, len(files.paths)):
        raise RunError(
            f"{run / 'model.pt'} must belong to {len(files.paths):,} examples, as {options.data} has for training now, "
            f"got {before:,}: put back what was there, or start a new run with another --out"
        )


def open_data(options: TrainVQVAE, device: torch.device) -> tuple[Batches | FolderStream, ImageSet]:
    """Return the stream of batches, and enough of the training images to start from."""
    shard = tuple(world())
    generator = torch.Generator().manual_seed(options.seed)
    if options.workers:
        folder = options.data.removeprefix("folder:")
        stream = FolderStream(
            folder,
            options.size,
            options.batch_size,
            workers=options.workers,
            generator=generator,
            device=device,
            shard=shard,
        )
        return stream, stream.peek(max(1000, options.batch_size))
    if world().rank > 0:
        agreed(None)  # the first one downloads what is missing
    images = load_images(options.data, "train", size=options.size)
    if world().rank == 0:
        agreed(None)
    return Batches(images, options.batch_size, generator, device, shard), images


def build(options: TrainVQVAE, images: ImageSet) -> VQVAE | VQVAE2:
    """Return the model for these images."""
    variance = data_variance(images.images) if options.data_variance is None else options.data_variance
    if not variance:
        raise ValueError(
            f"{options.data} must hold pictures that differ, got {len(images.images):,} that are all of one and the "
            "same colour, so there is nothing to learn: look whether they were read or drawn as they should be"
        )
    network = as_plain(options.network) | {"in_channels": images.images.shape[1], "data_variance": variance}
    return VQVAE2(VQVAE2Config(**network)) if options.model == "vqvae2" else VQVAE(VQVAEConfig(**network))


def stride_of(options: TrainVQVAE) -> int:
    """Return how many times smaller the coarsest map is than the image."""
    return prod(options.network.strides) if options.model == "vqvae2" else options.network.downsample


def must_divide(options: TrainVQVAE, images: ImageSet) -> None:
    """Raise ``ValueError`` if images cannot be made as many times smaller as the network makes them."""
    height, width = images.images.shape[2:]
    if height % stride_of(options) or width % stride_of(options):
        raise ValueError(
            f"images must have sides that {stride_of(options)} divides, as often as the network makes them smaller, "
            f"got {height}x{width}: pass another --size, or another "
            f"{'--strides' if options.model == 'vqvae2' else '--downsample'}"
        )


def start_codebook(model: VQVAE | VQVAE2, options: TrainVQVAE, images: ImageSet, device: torch.device) -> None:
    """Put the codes where ``--codebook`` says."""
    quantizers = list(model.quantizers) if isinstance(model, VQVAE2) else [model.quantizer]
    if options.codebook == "uniform":
        for quantizer in quantizers:
            codes = torch.empty_like(quantizer.codebook).uniform_(-1, 1) / quantizer.num_codes
            quantizer.reset_codes(slice(None), codes)
    if options.codebook != "kmeans":
        return
    most = max(quantizer.num_codes for quantizer in quantizers)
    latents = prod(side // stride_of(options) for side in images.images.shape[2:])  # on the coarsest map
    count = min(len(images.images), max(ceil(LATENTS_A_CODE * most / latents), options.batch_size))
    count -= count % world().size
    if count * latents < most:
        raise ValueError(
            f"num_codes must be at most {count * latents:,} for --codebook kmeans, which chooses among the latents of "
            f"{count:,} images, got {most:,}: lower --num-codes, or pass --codebook normal"
        )
    part = part_of(count, world())
    model.init_codebook(as_float(some_of(images, count, options.seed).images[part].to(device)))


def test_images(options: TrainVQVAE, count: int) -> ImageSet:
    """Return a few images that the model is not trained on, of all classes."""
    if options.workers:
        folder = options.data.removeprefix("folder:")
        return FolderStream(folder, options.size, 1, "test", workers=0).peek(count)
    return some_of(load_images(options.data, "test", size=options.size), count)


def some_of(images: ImageSet, count: int, seed: int = 0) -> ImageSet:
    """Draw images at random: the first ones of a folder are all of one class."""
    return images.take(torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(seed))[:count])


@torch.no_grad()
def reconstruct(model: nn.Module, x: Tensor, device: torch.device) -> Tensor:
    """Return what is left of images after encoding and decoding, clipped to [0, 1], on the CPU."""
    with eval_mode(model):
        return model(x.to(device)).x_hat.float().clamp(0, 1).cpu()


def usage(model: VQVAE | VQVAE2, x: Tensor) -> dict[str, Tensor]:
    """Return the indices that images choose on each level, for a histogram."""
    maps = model.encode(x)
    if isinstance(maps, Tensor):
        return {"usage": maps}
    return {f"usage_{name}": level for name, level in zip(LEVEL_NAMES[len(maps)], maps, strict=True)}
