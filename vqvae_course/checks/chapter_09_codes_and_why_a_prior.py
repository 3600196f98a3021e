"""Checks of notebook 09: encoding a data set, decoding codes, priors by counting, contexts, a wrong script."""

import copy
import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.checks.answer import NARROW, Answer, Mistake, kind, recognise
from vqvae_course.checks.report import exercise
from vqvae_course.data import Batch
from vqvae_course.metrics import code_counts
from vqvae_course.vqvae import VQVAE, VQVAEConfig

Known = dict[str, Any]


def _meant(got: Tensor | float, known: Known) -> None:
    """Refuse the result of a known mistake; a key is what to say, and a hint on a second line.

    A single number meets one of so many candidates by chance more easily than a tensor does, so it has to fit
    more closely; but a mean near 0, of large terms of both signs, is not known better than those are.
    """
    for text, values in known.items():
        message, _, hint = text.partition("\n")
        for value in values if isinstance(values, list) else [values]:
            size = max(1e-6, min(1.0, abs(float(value)))) if not isinstance(got, Tensor) else 1.0
            tolerance = NARROW if isinstance(got, Tensor) else NARROW / 10 / size
            recognise(got, [(value, message, hint)], tolerance)


class Stage1(VQVAE):
    """A VQ-VAE that takes train mode seriously: encoding moves its codebook, decoding its normalisation.

    ``VQVAE.encode`` looks after the mode by itself. Most models do not, and it is the caller who
    has to know.
    """

    def __init__(self, config: VQVAEConfig):
        super().__init__(config)
        self.decoder = nn.Sequential(nn.BatchNorm2d(config.code_dim), self.decoder)
        self.largest = 0  # images or maps that came at once

    def latents(self, x: Tensor) -> Tensor:
        """Return ``z_e``, and remember how many images came at once."""
        self.largest = max(self.largest, len(x))
        return super().latents(x)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Return index maps in whatever mode the model is in."""
        return self.quantizer(self.latents(x)).indices


@torch.no_grad()
def _build(channels: int, num_codes: int) -> Stage1:
    """Return a model whose outcome in train mode differs from that in eval mode."""
    config = VQVAEConfig(
        channels, 5, 0, 2, num_codes=num_codes, code_dim=3, downsample=2, decay=0.5, normalize_latents=True
    )
    model = Stage1(config)
    for parameter in model.decoder.parameters():
        parameter.mul_(2)  # so that pictures leave [0, 1], and have to be cut off
    z = model.to_code_dim(model.encoder(torch.rand(32, channels, 8, 12)))
    spread = z.std(dim=(0, 2, 3))
    model.normalize.running_mean.copy_(z.mean(dim=(0, 2, 3)) + 0.7 * spread)
    model.normalize.running_var.copy_((0.6 * spread) ** 2)
    model.decoder[0].running_mean.normal_()
    model.decoder[0].running_var.uniform_(0.3, 2)
    rows = model.quantizer.to_rows(model.normalize.eval()(z))
    codes = rows[torch.randperm(len(rows))[:num_codes]] + 0.1 * torch.randn(num_codes, 3)
    model.quantizer.reset_codes(torch.arange(num_codes), codes)
    return model


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


LEARNED = (
    "Afterwards the model is not what it was: its codebook or its running statistics have moved, so the first and the "
    "last {} are not treated by the same model."
)
LEARNED_HINT = "In train mode a VQ-VAE learns from whatever passes through it, with no optimizer in sight."


def _must_be_untouched(model: nn.Module, before: dict[str, Tensor], what: str) -> None:
    if not all(torch.equal(value, before[name]) for name, value in model.state_dict().items()):
        raise Mistake(LEARNED.format(what), LEARNED_HINT)
    if not torch.is_grad_enabled():
        torch.set_grad_enabled(True)  # for the rest of the check
        raise Mistake(
            "Your function turns gradients off and leaves them off: nothing can be trained after it.",
            "torch.no_grad() as a context ends by itself.",
        )
    if not all(parameter.requires_grad for parameter in model.parameters()):
        raise Mistake(
            "Your function freezes the weights and leaves them frozen. Whoever trains on with it trains nothing.",
            "Without a graph nothing can reach the weights. Which context keeps torch from building one?",
        )


def _must_be_in_mode(model: nn.Module, mode: bool) -> None:
    if model.training is not mode or any(part.training is not mode for part in model.modules()):
        was, now = ("train", "eval") if mode else ("eval", "train")
        raise Mistake(
            f"The result is right, but the model was in {was} mode and comes back in {now} mode. "
            + ("Whoever trains on with it trains with a codebook that stands still." if mode else ""),
            "Remember the mode at the start. Put it back at the end.",
        )


# Encoding a data set


class _Stream:
    """Batches that can be gone through once."""

    def __init__(self, batches: list[Batch]):
        self.batches = iter(batches)

    def __iter__(self) -> "_Stream":
        return self

    def __next__(self) -> Batch:
        return next(self.batches)


@exercise(points=3)
def encode_dataset(answer: Answer) -> None:
    """Judge ``encode_dataset(model, batches)``: all maps and all labels, in order, by a model that stays as it is."""
    for channels, size, num_codes, sizes, mode, once in (
        (1, (4, 10), 6, (4, 4, 3), True, False),
        (3, (6, 4), 9, (5,), False, False),
        (2, (4, 8), 2, (1, 3, 1, 2), True, True),
        (1, (2, 6), 5, (3, 3), False, True),
    ):
        model = _build(channels, num_codes).train(mode)
        x, labels = torch.rand(sum(sizes), channels, *size), torch.randperm(3 * sum(sizes))[: sum(sizes)]
        batches = [Batch(*pair) for pair in zip(x.split(sizes), labels.split(sizes), strict=True)]
        right = _encoded(model, batches, mode=False)
        trained = _encoded(copy.deepcopy(model), batches, mode=True)
        before, copies = _state(model), [part.x.clone() for part in batches]
        value = _called(answer, model, _Stream(batches) if once else batches, once)
        if any(not torch.equal(part.x, old) for part, old in zip(batches, copies, strict=True)):
            raise Mistake("Your function changes the images of the batches in place.", "Make new tensors.")
        _must_be_untouched(model, before, "image")
        got, got_labels = _maps_and_labels(value, right, labels, sizes, x)
        if got_labels.dtype != torch.int64 or got.dtype != torch.int64:
            dtype = got.dtype if got.dtype != torch.int64 else got_labels.dtype
            raise Mistake(
                f"Numbers of codes and labels come back as {dtype}; int64 is asked for.",
                "An index counts entries of a list. Only whole numbers can look something up.",
            )
        _judge_maps(got, right, trained)
        _recognise_maps(got, right, model, x)
        _judge_labels(got_labels, labels, sizes)
        if model.largest > max(sizes):
            raise Mistake(
                f"The maps are right, but {model.largest} images went through the model at once, in batches of "
                f"{max(sizes)}. A whole data set does not fit.",
                "Encode each batch as it comes. Join the maps, not the images.",
            )
        _must_be_in_mode(model, mode)


def _called(answer: Answer, model: nn.Module, batches: Iterable[Batch], once: bool) -> Any:
    try:
        return answer(model, batches)
    except Mistake as mistake:
        if "stack expects each tensor to be equal size" in mistake.message:
            raise Mistake(
                "torch.stack needs parts of equal size, and the last batch is shorter than the others.",
                "Which function joins tensors along an axis that they already have?",
            ) from mistake
        if "Length mismatch" in mistake.message or "has no len()" in mistake.message:
            raise Mistake(
                "You ask batches for its length or for an entry by number; it may be a stream, which has neither.",
                "A for loop is all that it offers.",
            ) from mistake
        if once and "non-empty" in mistake.message:
            raise Mistake(
                "You go through batches twice. A stream can be read once, and the second time it is empty.",
                "Collect maps and labels in the same loop.",
            ) from mistake
        if "is not subscriptable" in mistake.message:
            raise Mistake(
                "You ask batches for an entry by number; it may be a stream, which has none.",
                "A for loop is all that it offers.",
            ) from mistake
        raise


@torch.no_grad()
def _encoded(model: Stage1, batches: list[Batch], mode: bool) -> Tensor:
    was = model.training
    model.train(mode)
    maps = torch.cat([model.encode(batch.x) for batch in batches])
    model.train(was).largest = 0
    return maps


def _maps_and_labels(value: Any, right: Tensor, labels: Tensor, sizes: tuple[int, ...], x: Tensor) -> tuple:
    if isinstance(value, Tensor) and value.shape == right.shape:
        raise Mistake("The maps alone came back; the labels are asked for too.", "Return a pair.")
    if isinstance(value, list) and len(value) == len(sizes) and len(value) != 2:
        raise Mistake("A list with one entry a batch came back; one tensor of all maps is asked for.", "Join them.")
    if isinstance(value, list) and len(value) == len(labels) > 2:
        raise Mistake("A list with one entry an image came back; a pair of two tensors is asked for.", "Join them.")
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise Mistake(f"A pair (indices, labels) is asked for; {kind(value)} came back.")
    for name, part in zip(("indices", "labels"), value, strict=True):
        if isinstance(part, list | tuple):
            raise Mistake(f"{name} is {kind(part)}, with an entry a batch perhaps; one tensor is asked for.", "Join.")
        if not isinstance(part, Tensor):
            raise Mistake(f"{name} is {kind(part)}; a torch tensor is asked for.")
    got, got_labels = value
    if got.shape == labels.shape and got_labels.shape == right.shape:
        raise Mistake("The two results are in the wrong order: the maps come first.")
    n, h, w = right.shape
    _judge_map_shape(tuple(got.shape), (n, h, w), sizes, x)
    if got_labels.shape != labels.shape:
        if got_labels.shape == (sizes[-1],) and len(sizes) > 1:
            raise Mistake("These are the labels of the last batch alone.", "Keep those of each batch, then join them.")
        raise Mistake(
            f"The labels have shape {tuple(got_labels.shape)}; one for each of the {n} maps is asked for, ({n},).",
            "You go through batches twice, perhaps; a stream is empty the second time."
            if not got_labels.numel()
            else "",
        )
    return got, got_labels


def _judge_map_shape(shape: tuple, right: tuple[int, int, int], sizes: tuple[int, ...], x: Tensor) -> None:
    n, h, w = right
    if shape == right:
        return
    full = sum(size for size in sizes if size == sizes[0])
    if shape in {(n * h * w,), (n * h * w, 1)}:
        message = (
            "All indices came back as one long list. Which image an index belongs to, and where it stands, is lost."
        )
        hint = f"A map for each image is asked for, {right} here. A prior reads rows and columns."
    elif shape in {(n, h * w), (n, h * w, 1)}:
        message = "Each map came back as one row: what stands above what is lost."
        hint = f"Keep rows and columns, {right} here."
    elif shape == (n, w, h):
        message, hint = "Rows and columns are swapped.", f"{right} is asked for: image, row, column."
    elif shape in {(n, 1, h, w), (n, h, w, 1)}:
        message, hint = "There is an axis of length 1 too many.", f"{right} is asked for."
    elif len(sizes) > 1 and shape[1:] == (h, w) and shape[0] == sizes[-1]:
        message, hint = "These are the maps of the last batch alone.", "Keep those of each batch, then join them."
    elif len(sizes) > 1 and shape[1:] == (h, w) and shape[0] == sizes[0]:
        message, hint = "These are the maps of the first batch alone.", "Is the return statement inside the loop?"
    elif shape[1:] == (h, w) and shape[0] == full < n:
        message, hint = "A last batch that is shorter than the others is left out.", "Every image counts."
    elif len(sizes) > 1 and shape[1:] == (h, w) and shape[0] == n - sizes[0]:
        message = "The maps of the first batch are missing. Did you look at it before the loop? A stream gives it once."
        hint = "Whatever has to be known of the first batch can be found out inside the loop."
    elif shape[1:] == (h, w) and shape[0] == len(sizes) * sizes[0] > n:
        message = f"There are {shape[0]} maps for {n} images: room was made for batches of equal size."
        hint = "The last one may be shorter. Collect the maps, then join them."
    elif shape in {(n, 3, h, w), (n, h, w, 3)}:
        message = "These are vectors of the latent space; the numbers of the codes are asked for."
        hint = "Which method of the model returns integers?"
    elif shape == tuple(x.shape):
        message, hint = "These are pictures; the numbers of the codes are asked for.", "Stop before the decoder."
    else:
        message, hint = f"indices has shape {shape}; for these batches {right} is asked for.", ""
    raise Mistake(message, hint)


def _rows(maps: Tensor) -> list[list[int]]:
    return sorted(maps.flatten(1).tolist())


def _judge_maps(got: Tensor, right: Tensor, trained: Tensor) -> None:
    if torch.equal(got, right):
        return
    if torch.equal(got, trained):
        raise Mistake(
            "These are the maps that train mode gives: normalised by the statistics of each batch, and by a codebook "
            "that moves from batch to batch.",
            "The maps of an image must not depend on which others are in its batch.",
        )
    if _rows(got) == _rows(right):
        raise Mistake(
            "The maps are right, but in another order than the images came in.",
            "Nothing needs to be shuffled or sorted here.",
        )
    if torch.equal(got, right + 1):
        raise Mistake("Your indices count from 1; codes are numbered from 0.", "Return what the model says.")
    n, h, w = right.shape
    if torch.equal(got, right.mT.reshape(n, h, w)):
        raise Mistake("Rows and columns are mixed up: the shape is right, but the maps were read column by column.")


@torch.no_grad()
def _recognise_maps(got: Tensor, right: Tensor, model: Stage1, x: Tensor) -> None:
    """Say of maps that are not right how they were made."""
    if torch.equal(got, right):
        return
    n, h, w = right.shape
    double = copy.deepcopy(model).eval()
    z, codebook = double.latents(x), double.quantizer.codebook
    rows, raw = double.quantizer.to_rows(z), double.quantizer.to_rows(double.to_code_dim(double.encoder(x)))
    for maps, message, hint in (
        (
            [torch.cdist(z.reshape(-1, z.shape[1]), codebook).argmin(dim=1)],
            "The latents were cut into vectors in the wrong order: your rows mix numbers of several places.",
            "The D numbers of a place stand along axis 1. A reshape does not move them to the end.",
        ),
        (
            [z.argmax(dim=1), z.argmin(dim=1)],
            "These are channels of the latents; the number of the nearest code is asked for.",
            "With what is a latent vector compared?",
        ),
        (
            [torch.cdist(rows, codebook).argmax(dim=1)],
            "These are the codes farthest from the latents.",
            "argmax or argmin?",
        ),
        (
            [(rows @ codebook.T).argmax(dim=1)],
            "These are the codes with the largest scalar product; the nearest are asked for. Codes differ in length.",
            "Which method of the model makes maps?",
        ),
        (
            [torch.cdist(raw, codebook).argmin(dim=1)],
            "Your latents are not normalised, but the codes live among normalised ones.",
            "The model has a method that does both, and one that makes maps.",
        ),
        (
            [double.encode(other) for other in (2 * x - 1, x / 255, 255 * x, 1 - x, x - x.mean())],
            "The maps are those of other pictures: you rescale the images, which lie in [0, 1] already.",
            "Give the model what comes.",
        ),
    ):
        varied = [
            each.view(n, h, w) for each in maps if len(each.unique()) > 1
        ]  # many roads lead to one code everywhere
        if any(torch.equal(got, each) for each in varied):
            raise Mistake(message, hint)
    if len(got.unique()) == 1:
        raise Mistake(
            "One code stands everywhere in your maps: nothing was filled in, or the latents are not normalised, or you "
            "rescale the images, or lengths instead of distances decide (the largest scalar product).",
            "What does model.encode return?",
        )
    raise Mistake(
        "These are not the index maps that the model gives in eval mode.", "What does model.encode return in each mode?"
    )


def _judge_labels(got: Tensor, labels: Tensor, sizes: tuple[int, ...]) -> None:
    if torch.equal(got, labels):
        return
    if sorted(got.tolist()) == sorted(labels.tolist()):
        raise Mistake(
            "Labels and maps are out of step: all labels are there, but beside the wrong maps.",
            "Treat maps and labels alike, in one loop.",
        )
    if torch.equal(got, torch.arange(len(labels))):
        raise Mistake("You number the images; the labels that come with the batches are asked for.")
    raise Mistake("The labels are not those of the batches.", "Each batch carries its labels beside its images.")


# From codes back to pictures


@exercise(points=2)
def decode_codes(answer: Answer) -> None:
    """Judge ``decode_codes(model, indices)``: the pictures of index maps, clipped, from a model that stays as it is."""
    for channels, (n, h, w), num_codes, mode in (
        (1, (5, 4, 6), 8, True),
        (3, (4, 3, 3), 5, False),
        (2, (1, 2, 5), 2, True),
    ):
        model = _build(channels, num_codes).train(mode)
        indices = torch.randint(num_codes, (n, h, w))
        known = _decoded(model, indices)
        before = _state(model)
        value = _from_whole_numbers(answer, model, indices)
        _must_be_untouched(model, before, "picture")
        _judge_pictures(value, known, channels, (n, h, w))
        _must_be_in_mode(model, mode)


def _from_whole_numbers(answer: Answer, model: Stage1, indices: Tensor) -> Any:
    try:
        return answer(model, indices)
    except Mistake as mistake:
        said = mistake.message
        if ("indices must" in said and "float" in said) or ("used as indices" in said):
            raise Mistake(
                "Your indices reach the lookup as floats. An index counts entries of a list; there is no code 2.5.",
                "Leave them the whole numbers that they are.",
            ) from mistake
        if "x must have shape" in said or "x must be float" in said:
            raise Mistake(
                "Your indices reach the encoder, which reads pictures. They already are what an encoder makes.",
                "Only the second half of the model is needed. It has a method for that.",
            ) from mistake
        if "running_mean should contain" in said or "expected 4D input" in said:
            raise Mistake(
                "The decoder reads the vectors of codes, (N, D, h, w), with the numbers of a vector along axis 1. "
                "Something else reached it.",
                "Indices to vectors first, and their axis to its place. The model has one method for all of it.",
            ) from mistake
        raise


@torch.no_grad()
def _decoded(model: Stage1, indices: Tensor) -> dict[str, Tensor]:
    """Return what different ways of decoding lead to, by name; the model stays as it is."""
    double = copy.deepcopy(model).eval()
    scrambled = double.quantizer.codebook[indices].reshape(len(indices), -1, *indices.shape[1:])
    known = {
        "raw": double.decode(indices),
        "scrambled": double.decoder(scrambled),
        "transposed": double.decode(indices.mT),
        "latents": double.decoder(double.normalize(double.quantizer.lookup(indices))),
        "codes": double.quantizer.lookup(indices),
    }
    return known | {"train": copy.deepcopy(model).train().decode(indices)}


def _judge_pictures(value: Any, known: dict[str, Tensor], channels: int, size: tuple[int, int, int]) -> None:
    n, h, w = size
    raw = known["raw"]
    if isinstance(value, Tensor):
        if value.shape == (n, channels, h, w) and value.shape != raw.shape:
            raise Mistake(
                "Your pictures are as small as the index maps: the indices went through the encoder too.",
                "Indices already are what an encoder makes.",
            )
        if value.shape == known["codes"].shape and value.shape != raw.shape:
            raise Mistake("These are the codes that the indices stand for; pictures are asked for.", "What comes next?")
        if value.shape == size:
            raise Mistake("Index maps came back; pictures are asked for.")
        if value.shape == raw.movedim(1, -1).shape and value.shape != raw.shape:
            raise Mistake("The channels come last in yours; (N, C, H, W) is asked for.")
        if value.shape == raw.mT.shape and value.shape != raw.shape:
            raise Mistake("Rows and columns are swapped.", "Do not transpose the maps.")
        if not value.is_floating_point() and value.shape == raw.shape:
            raise Mistake(f"Pictures come back as {value.dtype}; floats in [0, 1] are asked for.")
    got = _as_answer(value, tuple(raw.shape))
    if got.dtype not in (torch.float32, torch.float64):
        raise Mistake(
            f"Your pictures are rounded to {got.dtype}; the model makes {raw.dtype}.", "Leave them as they are."
        )
    got = got.to(raw)
    if got.requires_grad:
        raise Mistake(
            "Your pictures carry a graph along: every activation of the decoder stays in memory with them.",
            "Nothing is trained here. Which context tells torch so?",
        )
    if torch.allclose(got, raw.clamp(0, 1), rtol=1e-4, atol=1e-5):
        return
    wrong_mode = (
        "The decoder ran in train mode: each picture is normalised with the others of its batch."
        "\nWhich mode is for using a model?"
    )
    clipped = {
        wrong_mode: known["train"],
        "The codes came to the decoder scrambled: their numbers are read in the wrong order.\nThe vector of a code "
        "stands in the last axis after the lookup, and belongs in axis 1. A reshape does not move it.": known[
            "scrambled"
        ],
        "Rows and columns of the maps are swapped.\nDo not transpose.": known["transposed"],
        "You normalise the codes before decoding. They live in the normalised space already.": known["latents"],
    }
    _meant(
        got, {text: [picture.clamp(0, 1), picture] for text, picture in clipped.items() if picture.shape == raw.shape}
    )
    low, high = raw.min(), raw.max()
    _meant(
        got,
        {
            "Your pictures leave the range [0, 1]: a decoder may answer more than white.\nCut off what is beyond.": raw,
            "You squash all pictures into [0, 1], which changes every pixel.\nOnly what is beyond black and white is "
            "to be cut off.": [
                raw.sigmoid(),
                (raw - low) / (high - low),
                (raw - raw.amin((1, 2, 3), True)) / (raw.amax((1, 2, 3), True) - raw.amin((1, 2, 3), True)),
                raw.clamp(min=0) / high,
                raw / high,
                (raw.tanh() + 1) / 2,
                (raw + 1) / 2,
                ((raw + 1) / 2).clamp(0, 1),
                raw.softmax(dim=1),
            ],
            "Your limits are -1 and 1; black is 0.": raw.clamp(-1, 1),
            "Black and white are swapped.": 1 - raw.clamp(0, 1),
            "Pixels that are beyond black or white come back in between, or on the other side.\nWhat is brighter than "
            "white is white.": [
                raw.abs().clamp(max=1),
                raw.abs(),
                torch.where((raw < 0) | (raw > 1), 0, raw),
                raw % 1,
            ],
            "You round to 256 greys; the pictures are to stay as the model makes them.": [
                (255 * raw.clamp(0, 1)).round() / 255,
                (255 * raw.clamp(0, 1)).floor() / 255,
            ],
            "You make pictures of 0 and 1 only; greys are asked for.": [(raw > 0.5).to(raw), raw.clamp(0, 1).round()],
            "Nothing is brighter than white in yours, but there are pixels darker than black.": raw.clamp(max=1),
            "Nothing is darker than black in yours, but there are pixels brighter than white.": raw.clamp(min=0),
            "Pixels are to lie in [0, 1], not in [0, 255].": [255 * raw.clamp(0, 1), (255 * raw).clamp(0, 255)],
        },
    )
    raise Mistake(
        "These are not the pictures that the model makes of these maps in eval mode.",
        "Indices to codes, codes through the decoder, then clip. The model has one method for the first two.",
    )


def _as_answer(value: Any, shape: tuple[int, ...]) -> Tensor:
    return Answer(lambda: value).tensor(shape=shape)


# Priors by counting


ZERO = (
    "Your function returns {}: some code of the test maps was never counted in the training maps, and -log 0 is "
    "infinite. A code that has not been seen yet is not impossible."
)


def _nats(answer: Answer, *arguments: Any) -> float:
    """Return a finite answer; say of infinity and NaN where they come from."""
    try:
        value = answer(*arguments)
    except Mistake as mistake:
        if "out of bounds" in mistake.message:
            raise Mistake(
                "Your table is looked up beyond its end: it holds no code above the largest one that was counted, or "
                "its rows and columns are not those of the maps, which need not be square.",
                "num_codes is an argument.",
            ) from mistake
        raise
    single = isinstance(value, Tensor | np.ndarray | np.generic) and math.prod(value.shape) == 1
    if single or (isinstance(value, Real) and not isinstance(value, bool)):
        number = float(torch.as_tensor(value).detach().reshape(()))
        if not math.isfinite(number):
            raise Mistake(ZERO.format(number), "What does the task say every count starts with?")
        return number
    return Answer(lambda: value).number()


def _draw_maps(n: int, h: int, w: int, num_codes: int, at: Tensor) -> Tensor:
    """Draw maps from a distribution at each place, ``at`` (h, w, K)."""
    drawn = torch.multinomial(at.view(h * w, num_codes), max(n, 1), replacement=True)
    return drawn.T.reshape(-1, h, w)[:n]


def _case(n: int, m: int, h: int, w: int, num_codes: int) -> tuple[Tensor, Tensor, int]:
    """Draw training and test maps that are alike; some codes occur in the test maps alone, some nowhere."""
    at = torch.rand(h, w, num_codes) ** 4 + 1e-3
    train, test = _draw_maps(n, h, w, num_codes, at), _draw_maps(m, h, w, num_codes, at)
    if num_codes > 3:
        train[train >= num_codes - 2] = 0
        test[test == num_codes - 1] = 1
        test[0, 0, -1] = num_codes - 2
    return train, test, num_codes


# Maps for training and for testing, rows, columns, codes; the last cases are the edges.
CASES = ((11, 7, 3, 4, 6), (23, 5, 5, 2, 9), (6, 13, 2, 3, 2), (1, 1, 1, 3, 4), (0, 4, 2, 3, 5), (4, 3, 2, 2, 1))


def _agree(got: float, right: float) -> bool:
    return abs(got - right) <= 1e-4 * abs(right) + 1e-6


def _cost(count: Tensor, scored: Tensor, alpha: float = 1.0) -> Tensor:
    """Return -log p at each place of some maps; ``count`` is (K,) or (h, w, K)."""
    share = (count.double() + alpha) / (count.double() + alpha).sum(dim=-1, keepdim=True)
    return _priced(share, scored)


def _priced(share: Tensor, scored: Tensor) -> Tensor:
    if share.ndim == 1:
        return -share.log()[scored]
    by_map = -share.log().expand(len(scored), *share.shape)
    return by_map.gather(3, scored[..., None])[..., 0]


def _at(p: Tensor) -> Tensor:
    """Return the entropy of (K,) or (h, w, K) probabilities."""
    return torch.special.entr(p).sum(dim=-1)


def _at_places(maps: Tensor, num_codes: int) -> Tensor:
    """Count each code at each place: (h, w, K)."""
    return F.one_hot(maps, num_codes).sum(dim=0)


def _slips(count: Tensor, train: Tensor, test: Tensor, num_codes: int) -> Known:
    """Return what goes wrong with counts of either kind, (K,) or (h, w, K), in nats per code."""
    n = count.double().sum(dim=-1, keepdim=True)
    k, share = num_codes, count.double() / n
    log_p = ((count.double() + 1) / (n + k)).log()
    right = _cost(count, test)
    tested = code_counts(test, k) if count.ndim == 1 else _at_places(test, k)
    told = (tested.double() + 1) / (tested.double() + 1).sum(dim=-1, keepdim=True)
    small = [*(10.0**-digits for digits in range(1, 17)), 1e-20, 1e-30, torch.finfo(torch.float32).eps]
    patched = [torch.where(count > 0, share, eps) for eps in small]
    lifted = [share + eps for eps in (*small, 1)]
    unsmoothed = _priced(share, test)
    seen = unsmoothed.isfinite()
    return {
        "These are log K nats, the price of a prior that has counted nothing.": math.log(k),
        "You score the maps that were counted. What they cost says little of new ones: a table of counts knows its own "
        "maps too well.\nWhich of the two sets is used twice in your function?": _cost(count, train).mean(),
        "These are bits; nats are asked for.\nWhich logarithm belongs to nats?": right.mean() / math.log(2),
        "This is a logarithm to base 10; nats are asked for.\nWhich logarithm belongs to nats?": right.mean()
        / math.log(10),
        "The sign is wrong: a price is never negative.": -right.mean(),
        "This is the cost of all test maps together; per code is asked for.\nA mean, not a sum.": right.sum(),
        "This is the cost of a whole map; per code is asked for.\nA map has h·w codes.": right.sum() / len(test),
        "This is summed over the maps; per code is asked for.\nA mean, not a sum.": right.sum() / right[0].numel(),
        "A start was added to the probabilities, or something small put where a count is 0; it belongs to the counts, "
        "and to their total. Probabilities that sum to more than 1 make a price that nobody can pay.\nGive every code "
        "the same start, then divide by the new total.": [_priced(p, test).mean() for p in patched + lifted],
        "Your probabilities sum to more than 1: K imaginary counts were added above and none below.\nWhat is the sum "
        "of n_k + 1 over all K codes?": _priced((count + 1) / n, test).mean(),
        "Your probabilities do not sum to 1: K counts were added above, and only one below.\nWhat is the sum of n_k "
        "+ 1 over all K codes?": _priced((count + 1) / (n + 1), test).mean(),
        "Your probabilities do not sum to 1: what you divide by is not the sum of what stands above.\nWhat is the sum "
        "of n_k + 1 over all K codes?": [_priced((count + 1) / (n + extra), test).mean() for extra in (k + 1, 2 * k)],
        "You divide by the number of test codes; n is what was counted, in the training maps.": [
            _priced((count + 1) / (tested.sum(dim=-1, keepdim=True) + extra), test).mean() for extra in (k, 0)
        ],
        "Every training map brings a start of 1 of its own in yours, or 1 was added to the shares n_k / n.\nA code "
        "starts at 1 once, before anything is counted.": [
            _cost(count, test, alpha).mean() for alpha in (len(train), float(n.mean()))
        ],
        "1 is added to counts of 0 alone; every code starts with 1.": _cost(count.clamp(min=1), test, 0.0).mean(),
        "Your K is the number of codes that were seen, or the largest of them; codes that were never seen need their "
        "share too.\nnum_codes is an argument.": [
            _priced((count + 1) / (n + seen_codes), test).mean()
            for seen_codes in (
                (count > 0).sum(dim=-1, keepdim=True),
                len(torch.cat([train.flatten(), test.flatten()]).unique()),
                1 + int(torch.cat([train.flatten(), test.flatten()]).max()),
            )
        ],
        "Codes that were never counted are left out of your mean. They are what makes the price of new maps high.\n"
        "Leave nothing out.": [
            unsmoothed[seen].mean(),
            right[seen].mean(),
            torch.where(seen, unsmoothed, 0).sum() / seen.numel(),
        ],
        "The test maps were counted too. Then they are not new any more.\nCount one set, score the other.": [
            _cost(count + tested, test).mean(),
            _cost(tested, test).mean(),
        ],
        "The two sets are swapped: you count the test maps and score the training maps.": _cost(tested, train).mean(),
        "Each code weighs the same in your mean, however often it occurs.\nWhat does the receiver pay for: kinds of "
        "codes, or codes sent?": [-log_p.mean(), -log_p[..., test.unique()].mean()],
        "The logarithm is taken of a mean of probabilities; the mean of logarithms is asked for.\nPrices add up, "
        "probabilities do not.": -(-right).exp().mean().log(),
        "This is a mean of probabilities; the price of a code is minus its logarithm.": [
            (-right).exp().mean(),
            1 - (-right).exp().mean(),
        ],
        "You take the mean over the K codes too. Their shares are weights already: sum over codes, mean over places.": (
            right.mean() / k
        ),
        "The counts of the test maps start at 1 as well. Only a belief needs that; the test maps are what they are.": [
            -(told * log_p).sum(dim=-1).mean(),
            -(log_p.exp() * told.log()).sum(dim=-1).mean(),
        ],
        "This is the perplexity, exp of the nats.": right.mean().exp(),
        "Each count starts with another number than the 1 that the task asks for.": [
            _cost(count, test, alpha).mean() for alpha in (0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 2.0, 1 / k)
        ],
        "Your probabilities go through a softmax as if they were logits.\nWhat does cross_entropy do with what it is "
        "given?": [_priced(p.softmax(dim=-1), test).mean() for p in (log_p.exp(), count.double(), count.double() + 1)],
        "This is the entropy of the prior itself; what it charges for the test maps is asked for.": [
            entropy.mean() * scale for entropy in (_at(log_p.exp()), _at(share)) for scale in (1, right[0].numel())
        ],
        "This is the entropy of the test maps themselves, what somebody would pay who knew their counts in advance.": [
            _cost(tested, test, 1e-15).mean(),
            _at(told).mean(),
        ],
        "This is the divergence of the prior from the test maps: their own entropy has been taken off.\nThe entropy is "
        "a part of the price.": [
            (right - _cost(tested, test, 1e-15)).mean(),
            (told * (told.log() - log_p)).sum(dim=-1).mean(),
        ],
    }


@exercise(points=2)
def unigram_nats(answer: Answer) -> None:
    """Judge ``unigram_nats(train_indices, test_indices, num_codes)``: add-one counts, scored on new maps."""
    for sizes in CASES:
        train, test, num_codes = _case(*sizes)
        got = _nats(answer, train, test, num_codes)
        count = code_counts(train, num_codes)
        if _agree(got, float(_cost(count, test).mean())):
            continue
        _edges(len(train), num_codes)
        _meant(got, _slips(count, train, test, num_codes))
        _meant(
            got,
            {
                "You count at each place on its own; here a code counts wherever it stands.": _cost(
                    _at_places(train, num_codes), test
                ).mean(),
                "Each map is scored by its own counts, or counted on its own.": _own_maps(test, num_codes),
                "You divide by the number of maps; n is the number of codes that were counted.\nHow many codes has a "
                "map?": [_priced((count + 1) / (len(train) + extra), test).mean() for extra in (num_codes, 0, 1)],
                "A code counts once for each map in yours, however often it stands there.": _cost(
                    F.one_hot(train.flatten(1), num_codes).amax(dim=1).sum(dim=0), test
                ).mean(),
            },
        )
        raise Mistake(UNEXPLAINED, "p(k) = (n_k + 1) / (n + K); then the mean of -log p.")


def _own_maps(test: Tensor, num_codes: int) -> Tensor:
    return torch.stack([_cost(code_counts(each, num_codes), each).mean() for each in test]).mean()


UNEXPLAINED = "This is not the mean of -log p over all codes of the test maps."


def _edges(counted: int, num_codes: int) -> None:
    """Refuse a wrong answer where counting comes to an end."""
    if counted == 0:
        raise Mistake(f"With no training maps every code is as likely as any other, and costs log {num_codes} nats.")
    if num_codes == 1:
        raise Mistake("With a single code there is nothing to say, and it costs 0 nats.")


@exercise(points=2)
def position_nats(answer: Answer) -> None:
    """Judge ``position_nats(train_indices, test_indices, num_codes)``: the same, with counts at each place."""
    for sizes in CASES:
        train, test, num_codes = _case(*sizes)
        got = _nats(answer, train, test, num_codes)
        count = _at_places(train, num_codes)
        if _agree(got, float(_cost(count, test).mean())):
            continue
        _edges(len(train), num_codes)
        (n, h, w), k = train.shape, num_codes
        whole = count.double().sum(dim=(0, 1), keepdim=True)
        _meant(
            got,
            {
                "You count codes wherever they stand; here each place has counts of its own.\nWhat shape has your "
                "table?": _cost(code_counts(train, k), test).mean(),
                "Rows and columns are mixed up between counting and scoring, so most places are scored with the counts "
                "of another one.\nA reshape to (w, h) does not transpose.": [
                    _cost(count.transpose(0, 1).reshape(h, w, k), test).mean(),
                    _cost(count.reshape(w, h, k).transpose(0, 1), test).mean(),
                ],
                "Each row has one table of counts, shared by its places; each place is to have its own.": _cost(
                    count.sum(dim=1, keepdim=True).expand(h, w, k), test
                ).mean(),
                "Each column has one table of counts, shared by its places; each place is to have its own.": _cost(
                    count.sum(dim=0, keepdim=True).expand(h, w, k), test
                ).mean(),
                "The counts of a place are divided by the number of all codes; they must sum to 1 at each place.\nHow "
                "many codes were counted at one place?": [
                    _priced((count + 1) / (n * h * w + k), test).mean(),
                    _priced((count + 1) / (n * h * w + h * w * k), test).mean(),
                    _priced((count + 1) / (n + h * w * k), test).mean(),
                ],
                "Your table sums to 1 along its rows or columns; at each place the probabilities of the K codes must "
                "sum to 1.\nWhich axis holds the codes?": [
                    _priced((count + 1) / (count + 1).sum(dim=axis, keepdim=True), test).mean() for axis in (0, 1)
                ],
                "The axis of the codes is not where the scoring looks for it: a reshape has mixed codes with "
                "places.\nWhich function moves an axis?": _cost(count.reshape(k, h, w).movedim(0, -1), test).mean(),
                "You divide by how often the code occurs in all; at each place the probabilities of the K codes must "
                "sum to 1.\nThat is p(place | code). Which of the two is given?": _priced(
                    (count + 1) / (whole + h * w), test
                ).mean(),
                "Only one place is scored, or counted.": [
                    _cost(count, test)[:, 0, 0].mean(),
                    _cost(count, test)[:, -1, -1].mean(),
                    _cost(count[0, 0], test).mean(),
                ],
            },
        )
        _meant(got, _slips(count, train, test, num_codes))
        raise Mistake(UNEXPLAINED, "At each place p(k) = (n_k + 1) / (n + K), where n counts this place.")


# What a known context saves


def _entropy(p: Tensor) -> Tensor:
    return -torch.special.xlogy(p, p).sum()


@exercise(points=2)
def conditional_entropy(answer: Answer) -> None:
    """Judge ``conditional_entropy(joint)``: H(Y | X) in nats from a table p(x, y), with zeros in it."""
    for rows, columns, what in ((4, 6, "zeros"), (5, 3, ""), (2, 7, "row"), (3, 4, "determined"), (1, 5, "zeros")):
        joint = torch.rand(rows, columns) ** 2 + 0.02
        if what == "zeros":
            joint[0, torch.randint(columns, ())] = 0
        if what == "row":
            joint[-1] = 0
        if what == "determined":
            joint = F.one_hot(torch.randint(columns, (rows,)), columns) * torch.rand(rows, 1) + 0.0
        joint = joint / joint.sum()
        value = answer(joint)
        if isinstance(value, Tensor) and value.numel() > 1:
            raise Mistake(
                f"A tensor of shape {tuple(value.shape)} came back; one number is asked for, the mean over contexts."
            )
        try:
            got = Answer(lambda value=value: value).number()
        except Mistake as mistake:
            if any(text in mistake.message for text in ("returns nan", "returns inf", "returns -inf")):
                raise Mistake(
                    "Your function returns NaN or infinity: the table holds a 0, and 0 · log 0 is not a number in "
                    "floating point, nor is 0 / 0. What never happens adds nothing.",
                    "torch.special.xlogy knows the rule. A context that never occurs has weight 0.",
                ) from mistake
            raise
        p, x, y = joint.double(), joint.double().sum(dim=1), joint.double().sum(dim=0)
        right = float(_entropy(p) - _entropy(x))
        if _agree(got, right):
            continue
        given = p / x.clamp(min=1e-300)[:, None]
        weighed = -torch.special.xlogy(given, p).sum()
        each = torch.stack([_entropy(row / row.sum()) if row.sum() > 0 else p.new_zeros(()) for row in p])
        _meant(
            got,
            {
                "You condition the wrong way round: this is H(X | Y).\nWhich axis is the context?": [
                    _entropy(p) - _entropy(y),
                    torch.stack([_entropy(column / column.sum()) for column in p.T if column.sum() > 0]).mean(),
                ],
                "This is H(X, Y), the price of both; X is known already.": _entropy(p),
                "This is H(Y), the price of Y to somebody who does not know X.": _entropy(y),
                "This is H(X), the price of the context.": _entropy(x),
                "This is what knowing X saves, I(X; Y); what is left to pay is asked for.": _entropy(x)
                + _entropy(y)
                - _entropy(p),
                "All contexts weigh the same in your mean; a context that is rare matters little.\nHow often does each "
                "x occur?": [each.mean(), each[x > 0].mean()],
                "You add the entropies of all contexts; their mean is asked for.": each.sum(),
                "You take the worst context; the mean over contexts is asked for.": each.max(),
                "You take the best context; the mean over contexts is asked for.": each.min(),
                "These are bits; nats are asked for.": right / math.log(2),
                "This is a logarithm to base 10; nats are asked for.": right / math.log(10),
                "This is exp of the nats; the nats themselves are asked for.": math.exp(right),
                "The sign is wrong: an entropy is never negative.": -right,
                "You take a plain mean over rows, columns or cells of what is to be summed. How often each happens is "
                "in q(x, y) already.": [right / rows, right / columns, right / (rows * columns)],
                "This is the difference of H(X) and H(Y), of two prices for somebody who knows nothing of the other.\n"
                "How do X and Y occur together?": [_entropy(y) - _entropy(x), _entropy(x) - _entropy(y)],
                "The price of X is paid twice in yours; it is known already.": _entropy(p) + _entropy(x),
                "You weigh with q(y | x) and take the logarithm of q(x, y), or divide after taking it.\nWhich "
                "of the two stands inside the logarithm, and which says how often a pair occurs?": weighed,
                "Your probabilities go through a softmax as if they were logits; they sum to 1 already.": [
                    -(weight * p.log_softmax(dim=1)).sum()
                    for weight in (p, p.softmax(dim=1), p.softmax(dim=1) / rows, p.softmax(dim=1) * x[:, None])
                ],
            },
        )
        raise Mistake(
            "This is not the mean, over contexts x, of the entropy of Y given x.",
            "Divide each row by its sum. What is the entropy of each, and how often does each row happen?",
        )


# A script that only seems to sample


LINES = {
    1: (
        "Line 1 is right: eval mode is what a model is used in.",
        "Which line decides which index maps are decoded?",
    ),
    2: (
        "Line 2 makes numbers, and there is no harm in that. Other numbers in their place would be misused as well.",
        "What is done with them afterwards?",
    ),
    4: (
        "Line 4 is right: it turns index maps into pictures, wherever they come from.",
        "Where do they come from?",
    ),
    5: ("Line 5 only shows what is there.", "Follow the index maps back to where they are made."),
}
REASONS = {
    "a": (
        "Noise between 0 and 1 would be noise as well. Nobody draws digits by noise, in whatever range.",
        "What does the encoder do with any picture it is given?",
    ),
    "b": (
        "The quantizer takes the nearest code in both modes; nothing in a VQ-VAE is drawn at random. Train mode would "
        "only move the codebook, towards noise.",
        "Of which pictures are the maps?",
    ),
    "d": (
        "That is how a VAE samples, whose latents were trained to look Gaussian. This decoder has only seen codes, "
        "and there is no Gaussian anywhere in a VQ-VAE's prior.",
        "Which distribution should index maps be drawn from?",
    ),
    "e": (
        "The same decoder draws good digits from the maps of good digits. More training would not help.",
        "What is wrong with these maps, before they are decoded?",
    ),
}
REPAIRS = {
    "p": (
        "Still the encoder's reading of noise, now in another range.",
        "From what should index maps be drawn, so that they look like those of digits?",
    ),
    "q": (
        "That does draw from a prior, the uniform one; it has learned nothing of digits, and its pictures show it.",
        "Which of the priors on this page costs least on unseen maps?",
    ),
    "r": (
        "These are the maps of real digits, so their pictures are reconstructions. Nothing has been drawn.",
        "Which function of this page draws from a prior?",
    ),
    "t": (
        "The prior is asked about maps of noise, and its likeliest answer at each place is taken without a draw, all "
        "places at once. A place must see what was drawn before it.",
        "Which function of this page goes place by place?",
    ),
}


def _bare(text: str) -> str:
    """Return a choice without what people write around it."""
    return text.strip(" \t\n().:#").lower()


@exercise(points=1)
def explain_random_samples(answer: Answer) -> None:
    """Judge ``explain_random_samples()``: the line, the reason and the repair."""
    value = answer()
    if isinstance(value, str | int | Tensor) or not isinstance(value, tuple | list) or len(value) != 3:
        raise Mistake(f"Three things are asked for, (line, reason, repair); {kind(value)} came back.")
    line, reason, repair = value
    if isinstance(line, str) and _bare(line).removeprefix("line").strip().isdecimal():
        line = int(_bare(line).removeprefix("line"))
    if isinstance(line, bool) or not isinstance(line, Real) or line not in range(1, 6):
        raise Mistake("The first of the three is the number of a line, from 1 to 5.")
    for name, choice, letters in (("second", reason, "abcde"), ("third", repair, "pqrst")):
        if not isinstance(choice, str) or len(_bare(choice)) != 1 or _bare(choice) not in letters:
            raise Mistake(f"The {name} of the three is one of the letters {letters[0]} to {letters[-1]}.")
    reason, repair = _bare(reason), _bare(repair)
    for choices, choice in ((LINES, line), (REASONS, reason), (REPAIRS, repair)):
        if choice in choices:
            raise Mistake(*choices[choice])
