"""``vqvae-course train-prior``: stage 2, from index maps to a distribution over them."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_type_hints

import torch

from vqvae_course.cli.options import Session, device_from, from_plain, given, parse, quick_training, steps_count
from vqvae_course.cli.run import Run, RunError, as_plain, environment, say
from vqvae_course.cli.session import Board, announce, fit_in, report
from vqvae_course.cli.trained import Trained, open_trained, prior_name, with_config_of
from vqvae_course.conditional import ConditionalPrior, ConditionalPriorConfig
from vqvae_course.data import Batches, CodeSet, fingerprint
from vqvae_course.distributed import agreed, together, world
from vqvae_course.evaluate import evaluate_prior
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from vqvae_course.pixelsnail import PixelSNAIL, PixelSNAILConfig
from vqvae_course.prior import Prior
from vqvae_course.runtime import seed_everything
from vqvae_course.sampling import sample
from vqvae_course.train import prior_step

EXAMPLE = "vqvae-course train-prior --out runs/glyphs --hidden 64 --steps 4000"


@dataclass(frozen=True)
class TrainPrior(Session):
    """Learn which index maps are images (notebooks 10, 11 and 13): one prior, or one for each level.

    Attributes:
        prior: Of the only or the top level: gated (a gated PixelCNN) or pixelsnail (with attention). Lower levels
            get a gated PixelCNN that is told of the maps above.
        level: Which level, or all of them, one after another.
        class_conditional: Tell the prior the class, so that a class can be asked for.
        hidden: Channels.
        layers: Gated layers; with attention, in each block.
        kernel_size: Odd size of all kernels but the first layer's.
        first_kernel_size: Odd size of the first layer's kernel.
        blocks: With attention: how many times gated layers and attention follow each other.
        heads: With attention: heads of each.
        stack_layers: Lower levels: residual layers that look at each map above.
    """

    prior: Literal["gated", "pixelsnail"] = "gated"
    level: Literal["all", "top", "middle", "bottom"] = "all"
    class_conditional: bool = True
    hidden: int = 32
    layers: int = 4
    kernel_size: int = 3
    first_kernel_size: int = 5
    blocks: int = 2
    heads: int = 4
    stack_layers: int = 2


def main(arguments: Sequence[str]) -> None:
    """Read the options and train."""
    options = parse(TrainPrior, arguments, "train-prior", EXAMPLE, steps_count(defaults(arguments), arguments))
    with together(options.timeout):
        train_priors(options)


def defaults(arguments: Sequence[str]) -> TrainPrior:
    """Return the options before any is given: those of the run to resume, else the usual ones."""
    if "--resume" in arguments:
        run = Run(given(arguments, "--out") or TrainPrior.out)
        file = options_file(run, given(arguments, "--level"))
        saved = run.read_json(file, "train-prior")["options"]
        saved = with_config_of(saved, get_type_hints(TrainPrior), run / f"{Path(file).stem}.pt")
        return replace(from_plain(TrainPrior, saved), out=run.folder)
    device = device_from(given(arguments, "--device"))
    return TrainPrior(
        training=quick_training(device, steps=1000, lr=8e-3, weight_decay=0.01, clip=1.0),
    )


def options_file(run: Run, level: str | None) -> str:
    """Return the name of the file with what the prior of a level was started with; of no level, the newest."""
    if level not in (None, "all"):
        return f"{prior_name(level)}.json"
    return max(
        run.folder.glob("prior*.json"), key=lambda file: file.stat().st_mtime_ns, default=run / "prior.json"
    ).name


def train_priors(options: TrainPrior) -> None:
    """Train the prior of each level asked for."""
    first, device = world().rank == 0, device_from(options.device)
    trained = open_trained(options.out, device)
    run = trained.run
    if first:
        trained.warn_of_other_classes()
    if options.level != "all" and options.level not in trained.levels:
        raise ValueError(
            f"level must be one of {' '.join(('all', *filter(None, trained.levels)))}, got {options.level}"
        )
    chosen = [number for number, name in enumerate(trained.levels) if options.level in ("all", name)]
    with run.claimed() if first else nullcontext():
        for number in chosen:
            checkpoint = run / f"{prior_name(trained.levels[number])}.pt"
            if checkpoint.exists() and not options.training.resume:
                raise RunError(f"{checkpoint} is there already: go on with --resume, or delete it to start anew")
        trained.check_owner()
        agreed(None)  # nobody starts before the first has the folder
        train_codes, test_codes = trained.codes("train"), trained.codes("test")
        if not trained.classes:  # of a run from before classes had names; its codes may be newer
            trained = trained._replace(classes=train_codes[0].classes)
            trained.check_owner()
        for number in chosen:
            train_level(trained, options, number, train_codes[number], test_codes[number])
        if first:
            say(f"Next: vqvae-course sample --out {run}")


def train_level(trained: Trained, options: TrainPrior, number: int, codes: CodeSet, held_out: CodeSet) -> None:
    """Train the prior of one level, and measure it on maps it has not seen."""
    name, first = trained.levels[number], world().rank == 0
    seed_everything(options.seed)
    prior = build(trained, options, number, codes).to(trained.device)
    generator = torch.Generator().manual_seed(options.seed)
    batches = Batches(codes, options.batch_size, generator, trained.device, tuple(world()))
    training = options.training_for(len(codes.labels))
    if first:
        size = "x".join(map(str, codes.indices.shape[1:]))
        what = f"{len(codes.labels):,} {name + ' ' if name else ''}maps of {size} codes"
        announce(prior, what, training, options.batch_size, trained.device)
    board = None
    if first and options.tensorboard:
        board = Board(trained.run / "tensorboard" / prior_name(name), lambda: preview(trained, prior, codes), dict)
    about = {
        "options": as_plain(options),
        "model": fingerprint(trained.model),
        "classes": codes.classes,
        "environment": environment(trained.device),
    }
    write_about = (lambda: trained.run.write_json(f"{prior_name(name)}.json", about)) if first else None
    history = fit_in(trained.run, prior_name(name), prior, batches, prior_step, training, board, write_about)
    if first:
        report(history)
        say(f"{evaluate_prior(prior, held_out):.4f} nats a code on {len(held_out.labels):,} test images.")


def build(trained: Trained, options: TrainPrior, number: int, codes: CodeSet) -> Prior:
    """Return the prior of one level."""
    classes = len(codes.classes) or int(codes.labels.max()) + 1
    sizes = {
        "hidden": options.hidden,
        "layers": options.layers,
        "kernel_size": options.kernel_size,
        "first_kernel_size": options.first_kernel_size,
        "num_classes": classes if options.class_conditional and classes > 1 else None,
    }
    num_codes = trained.num_codes
    if number > 0:
        above = tuple(zip(num_codes[:number], trained.model.config.strides[:number], strict=True))
        config = ConditionalPriorConfig(num_codes[number], above, stack_layers=options.stack_layers, **sizes)
        return ConditionalPrior(config)
    if options.prior == "pixelsnail":
        return PixelSNAIL(PixelSNAILConfig(num_codes[0], blocks=options.blocks, heads=options.heads, **sizes))
    return GatedPixelCNN(GatedPixelCNNConfig(num_codes[0], **sizes))


def preview(trained: Trained, prior: Prior, codes: CodeSet) -> dict[str, torch.Tensor]:
    """Return a few images for TensorBoard: maps drawn from a prior, those above taken from images.

    Of an upper level there is nothing to see, since the maps below are missing.
    """
    if len(codes.above) < len(trained.levels) - 1:
        return {}
    rows = torch.randperm(len(codes.labels), generator=torch.Generator().manual_seed(0))[:16]
    above = tuple(maps[rows].to(trained.device) for maps in codes.above)
    drawn = sample(
        prior,
        (len(rows), *codes.indices.shape[1:]),
        codes.labels[rows].to(trained.device) if prior.num_classes is not None else None,
        prior.condition_from(above),
        generator=torch.Generator().manual_seed(0),
    )
    return {"samples": trained.decode([*above, drawn])}
