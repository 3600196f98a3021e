"""Checks of notebook 09: encoding a data set, decoding codes, priors by counting, contexts, a wrong script."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from numbers import Real
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.special import entr, xlogy

from vqvae_course.checks.answer import Answer, Mistake, kind
from vqvae_course.checks.read import tensor, tensors
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task
from vqvae_course.checks.untouched import must_be_in_mode, untouched
from vqvae_course.data import Batch
from vqvae_course.metrics import code_counts
from vqvae_course.runtime import eval_mode
from vqvae_course.vqvae import VQVAE, VQVAEConfig

LN2, LN10 = math.log(2), math.log(10)


class Stage1(VQVAE):
    """A VQ-VAE that takes train mode seriously: encoding moves its codebook, decoding its normalisation.

    ``VQVAE.encode`` and ``decode`` look after the mode by themselves. Most models do not, and it is the caller who
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

    def decode(self, indices: Tensor) -> Tensor:
        """Return pictures in whatever mode the model is in, with gradients."""
        return self.decoder(self.quantizer.lookup(indices))


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
    return model.train()


@torch.no_grad()
def _let_borders_occur(model: Stage1, x: Tensor) -> None:
    """Make code 0 that of the first place of the first image, and the last code that of the last place of the last."""
    with eval_mode(model):
        rows = model.quantizer.to_rows(model.latents(x))
    model.quantizer.reset_codes(torch.tensor([0, len(model.quantizer.codebook) - 1]), rows[[0, -1]])
    model.largest = 0


def _keeps(model: Stage1, what: str) -> AbstractContextManager:
    return untouched(
        model,
        "Afterwards the model is not what it was: its codebook or its running statistics have moved, so the first and "
        f"the last {what} are not treated by the same model.",
        "In train mode a VQ-VAE learns from whatever passes through it, with no optimizer in sight.",
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
        (1, (2, 6), 300, (3, 3), False, True),  # more codes than a byte can tell apart
    ):
        model = _build(channels, num_codes).train(mode)
        x, labels = torch.rand(sum(sizes), channels, *size), torch.randperm(3 * sum(sizes))[: sum(sizes)]
        _let_borders_occur(model, x)
        batches = [Batch(*pair) for pair in zip(x.split(sizes), labels.split(sizes), strict=True)]
        right, trained = (_encoded(copy.deepcopy(model).train(each), batches) for each in (False, True))
        copies = [part.x.clone() for part in batches]
        with _keeps(model, "image"):
            value = _called(answer, model, _Stream(batches) if once else batches, once)
        if any(not torch.equal(part.x, old) for part, old in zip(batches, copies, strict=True)):
            raise Mistake("Your function changes the images of the batches in place.", "Make new tensors.")
        got, got_labels = _maps_and_labels(value, right, labels, sizes, x)
        if not torch.equal(got, right):
            _explain_maps(got, right, trained, model, x)
        _judge_labels(got_labels, labels)
        if model.largest > max(sizes):
            raise Mistake(
                f"The maps are right, but {model.largest} images went through the model at once, in batches of "
                f"{max(sizes)}. A whole data set does not fit.",
                "Encode each batch as it comes. Join the maps, not the images.",
            )
        must_be_in_mode(model, mode)


def _called(answer: Answer, model: nn.Module, batches: Iterable[Batch], once: bool) -> Any:
    try:
        return answer(model, batches)
    except Mistake as mistake:
        said = mistake.message
        if "stack expects each tensor to be equal size" in said:
            raise Mistake(
                "torch.stack needs parts of equal size, and the last batch is shorter than the others.",
                "Which function joins tensors along an axis that they already have?",
            ) from mistake
        if any(text in said for text in ("Length mismatch", "has no len()", "is not subscriptable")):
            raise Mistake(
                "You ask batches for its length or for an entry by number; it may be a stream, which has neither.",
                "A for loop is all that it offers.",
            ) from mistake
        if once and "non-empty" in said:
            raise Mistake(
                "You go through batches twice. A stream can be read once, and the second time it is empty.",
                "Collect maps and labels in the same loop.",
            ) from mistake
        raise


def _encoded(model: Stage1, batches: list[Batch]) -> Tensor:
    return torch.cat([model.encode(batch.x) for batch in batches])


def _maps_and_labels(
    value: Any, right: Tensor, labels: Tensor, sizes: tuple[int, ...], x: Tensor
) -> tuple[Tensor, ...]:
    """Read a pair of maps and labels of the right shapes and types."""
    if isinstance(value, Tensor) and value.shape == right.shape:
        raise Mistake("The maps alone came back; the labels are asked for too.", "Return a pair.")
    if isinstance(value, list) and len(value) == len(sizes) and len(value) != 2:
        raise Mistake("A list with one entry a batch came back; one tensor of all maps is asked for.", "Join them.")
    if isinstance(value, list) and len(value) == len(labels) > 2:
        raise Mistake("A list with one entry an image came back; a pair of two tensors is asked for.", "Join them.")
    if isinstance(value, tuple | list) and len(value) == 2 and any(isinstance(part, list | tuple) for part in value):
        raise Mistake("A list came back, with an entry a batch perhaps; one tensor of all is asked for.", "Join.")
    got, got_labels = tensors("indices", "labels")(value)
    if got.shape == labels.shape and got_labels.shape == right.shape:
        raise Mistake("The two results are in the wrong order: the maps come first.")
    if got.shape != right.shape:
        _explain_map_shape(tuple(got.shape), tuple(right.shape), sizes, x)
    if got_labels.shape != labels.shape:
        if got_labels.shape == (sizes[-1],) and len(sizes) > 1:
            raise Mistake("These are the labels of the last batch alone.", "Keep those of each batch, then join them.")
        raise Mistake(
            f"The labels have shape {tuple(got_labels.shape)}; one for each of the maps is asked for, {labels.shape}.",
            "" if got_labels.numel() else "You go through batches twice, perhaps; a stream is empty the second time.",
        )
    for dtype in (got.dtype, got_labels.dtype):
        if dtype != torch.int64:
            raise Mistake(
                f"Numbers of codes and labels come back as {dtype}; int64 is asked for.",
                "An index counts entries of a list. Only whole numbers can look something up.",
            )
    return got, got_labels


def _explain_map_shape(shape: tuple, right: tuple[int, int, int], sizes: tuple[int, ...], x: Tensor) -> None:
    (n, h, w), first, last = right, sizes[0], sizes[-1]
    whole = sum(size for size in sizes if size == first)
    several = len(sizes) > 1
    keep, join = "Keep those of each batch, then join them.", "Collect the maps, then join them."
    for shapes, message, hint in (
        (
            {(n * h * w,), (n * h * w, 1)},
            "All indices came back as one long list. Which image an index belongs to, and where it stands, is lost.",
            f"A map for each image is asked for, {right} here. A prior reads rows and columns.",
        ),
        (
            {(n, h * w), (n, h * w, 1)},
            "Each map came back as one row: what stands above what is lost.",
            f"Keep rows and columns, {right} here.",
        ),
        ({(n, w, h)}, "Rows and columns are swapped.", f"{right} is asked for: image, row, column."),
        ({(n, 1, h, w), (n, h, w, 1)}, "There is an axis of length 1 too many.", f"{right} is asked for."),
        ({(last, h, w)} if several else {}, "These are the maps of the last batch alone.", keep),
        (
            {(first, h, w)} if several else {},
            "These are the maps of the first batch alone.",
            "Is the return statement inside the loop?",
        ),
        ({(whole, h, w)}, "A last batch that is shorter than the others is left out.", "Every image counts."),
        (
            {(n - first, h, w)} if several else {},
            "The maps of the first batch are missing. Did you look at it before the loop? A stream gives it once.",
            "Whatever has to be known of the first batch can be found out inside the loop.",
        ),
        (
            {(len(sizes) * first, h, w)},
            f"There are {shape[:1]} maps for {n} images: room was made for batches of equal size.",
            "The last one may be shorter. " + join,
        ),
        (
            {(n, 3, h, w), (n, h, w, 3)},
            "These are vectors of the latent space; the numbers of the codes are asked for.",
            "Which method of the model returns integers?",
        ),
        (
            {tuple(x.shape)},
            "These are pictures; the numbers of the codes are asked for.",
            "Stop before the decoder.",
        ),
        ({shape}, f"indices has shape {shape}; for these batches {right} is asked for.", ""),
    ):
        if shape in shapes:
            raise Mistake(message, hint)


@torch.no_grad()
def _explain_maps(got: Tensor, right: Tensor, trained: Tensor, model: Stage1, x: Tensor) -> None:
    """Say of maps that are not right how they were made."""
    n, h, w = right.shape
    double = copy.deepcopy(model).eval()
    z, codebook = double.latents(x), double.quantizer.codebook
    rows, raw = double.quantizer.to_rows(z), double.quantizer.to_rows(double.to_code_dim(double.encoder(x)))
    others = [double.encode(other) for other in (2 * x - 1, x / 255, 255 * x, 1 - x, x - x.mean())]
    for maps, message, hint in (
        (
            [trained],
            "These are the maps that train mode gives: normalised by the statistics of each batch, and by a codebook "
            "that moves from batch to batch.",
            "The maps of an image must not depend on which others are in its batch.",
        ),
        ([right + 1], "Your indices count from 1; codes are numbered from 0.", "Return what the model says."),
        (
            [right.mT],
            "Rows and columns are mixed up: the shape is right, but the maps were read column by column.",
            "",
        ),
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
            others,
            "The maps are those of other pictures: you rescale the images, which lie in [0, 1] already.",
            "Give the model what comes.",
        ),
    ):
        varied = [each for each in maps if len(each.unique()) > 1]  # many roads lead to one code everywhere
        if any(torch.equal(got, each.reshape(n, h, w)) for each in varied):
            raise Mistake(message, hint)
    if sorted(got.flatten(1).tolist()) == sorted(right.flatten(1).tolist()):
        raise Mistake(
            "The maps are right, but in another order than the images came in.",
            "Nothing needs to be shuffled or sorted here.",
        )
    if len(got.unique()) == 1:
        raise Mistake(
            "One code stands everywhere in your maps: nothing was filled in, or the latents are not normalised, or you "
            "rescale the images, or lengths instead of distances decide (the largest scalar product).",
            "What does model.encode return?",
        )
    raise Mistake(
        "These are not the index maps that the model gives in eval mode.", "What does model.encode return in each mode?"
    )


def _judge_labels(got: Tensor, labels: Tensor) -> None:
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


def _pictures(value: Any) -> tuple[Tensor, ...]:
    """Read pictures of a usual type, without a graph."""
    (pictures,) = tensor(value)
    if pictures.dtype == torch.int64:
        raise Mistake("Index maps came back, or other int64 numbers; pictures are asked for, floats in [0, 1].")
    if not pictures.is_floating_point():
        raise Mistake(f"Pictures come back as {pictures.dtype}; floats in [0, 1] are asked for.")
    if pictures.dtype not in (torch.float32, torch.float64):
        raise Mistake(
            f"Your pictures are rounded to {pictures.dtype}; the model makes torch.float32.", "Leave them as they are."
        )
    if pictures.requires_grad:
        raise Mistake(
            "Your pictures carry a graph along: every activation of the decoder stays in memory with them.",
            "Nothing is trained here. Which context tells torch so?",
        )
    return (pictures,)


def _decoded(model: Stage1, indices: Tensor) -> Tensor:
    with torch.no_grad(), eval_mode(model):
        return model.decode(indices)


def _through_decoder(model: Stage1, codes: Callable[[Tensor], Tensor], indices: Tensor) -> Tensor:
    with torch.no_grad(), eval_mode(model):
        return model.decoder(codes(indices))


decode_codes = Task(
    lambda model, indices: _decoded(model, indices).clamp(0, 1),
    name="decode_codes",
    points=2,
    reads=_pictures,
    around=lambda model, indices: _keeps(model, "picture"),
    otherwise="These are not the pictures that the model makes of these maps in eval mode.",
    hint="Indices to codes, codes through the decoder, then clip. The model has one method for the first two.",
)


@decode_codes.inputs
def _maps() -> Iterator[tuple[Stage1, Tensor]]:
    for channels, size, num_codes, mode in (
        (1, (5, 4, 6), 8, True),
        (3, (4, 3, 3), 5, False),
        (2, (1, 2, 5), 2, True),
    ):
        indices = torch.randint(num_codes, size)
        indices[0, 0, 0], indices[-1, -1, -1] = 0, num_codes - 1
        yield _build(channels, num_codes).train(mode), indices


@decode_codes.fails
def _reaches_the_wrong_part(mistake: Mistake, model: Stage1, indices: Tensor) -> None:
    said = mistake.message
    if ("indices must" in said and "float" in said) or "used as indices" in said:
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


def _made_of(change: Callable[[Tensor], Tensor]) -> Callable[[Stage1, Tensor], Tensor]:
    """Return a mistake that changes the pictures otherwise than by clipping."""
    return lambda model, indices: change(_decoded(model, indices))


def _clipped_or_not(pictures: Callable[[Stage1, Tensor], Tensor]) -> tuple[Callable[[Stage1, Tensor], Tensor], ...]:
    return pictures, lambda model, indices: pictures(model, indices).clamp(0, 1)


def _stretched(raw: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return (raw - low) / (high - low)


decode_codes.mistakes(
    {
        "The decoder ran in train mode: each picture is normalised with the others of its batch."
        "\nWhich mode is for using a model?": _clipped_or_not(
            lambda model, indices: copy.deepcopy(model).train().decode(indices).detach()
        ),
        "The codes came to the decoder scrambled: their numbers are read in the wrong order.\nThe vector of a code "
        "stands in the last axis after the lookup, and belongs in axis 1. A reshape does not move it.": _clipped_or_not(
            lambda model, indices: _through_decoder(
                model, lambda maps: model.quantizer.codebook[maps].reshape(len(maps), -1, *maps.shape[1:]), indices
            )
        ),
        "Rows and columns of the maps are swapped.\nDo not transpose.": _clipped_or_not(
            lambda model, indices: _decoded(model, indices.mT)
        ),
        "You normalise the codes before decoding. They live in the normalised space already.": _clipped_or_not(
            lambda model, indices: _through_decoder(
                model, lambda maps: model.normalize(model.quantizer.lookup(maps)), indices
            )
        ),
        "Your pictures leave the range [0, 1]: a decoder may answer more than white."
        "\nCut off what is beyond.": _decoded,
        "You squash all pictures into [0, 1], which changes every pixel.\nOnly what is beyond black and white is to be "
        "cut off.": tuple(
            _made_of(change)
            for change in (
                torch.sigmoid,
                lambda raw: _stretched(raw, raw.min(), raw.max()),
                lambda raw: _stretched(raw, raw.amin((1, 2, 3), True), raw.amax((1, 2, 3), True)),
                lambda raw: raw.clamp(min=0) / raw.max(),
                lambda raw: raw / raw.max(),
                lambda raw: (raw.tanh() + 1) / 2,
                lambda raw: (raw + 1) / 2,
                lambda raw: ((raw + 1) / 2).clamp(0, 1),
                lambda raw: raw.softmax(dim=1),
            )
        ),
        "Your limits are -1 and 1; black is 0.": _made_of(lambda raw: raw.clamp(-1, 1)),
        "Black and white are swapped.": _made_of(lambda raw: 1 - raw.clamp(0, 1)),
        "Pixels that are beyond black or white come back in between, or on the other side.\nWhat is brighter than "
        "white is white.": tuple(
            _made_of(change)
            for change in (
                lambda raw: raw.abs().clamp(max=1),
                torch.abs,
                lambda raw: torch.where((raw < 0) | (raw > 1), 0, raw),
                lambda raw: raw % 1,
            )
        ),
        "You round to 256 greys; the pictures are to stay as the model makes them.": (
            _made_of(lambda raw: (255 * raw.clamp(0, 1)).round() / 255),
            _made_of(lambda raw: (255 * raw.clamp(0, 1)).floor() / 255),
        ),
        "You make pictures of 0 and 1 only; greys are asked for.": (
            _made_of(lambda raw: (raw > 0.5).to(raw)),
            _made_of(lambda raw: raw.clamp(0, 1).round()),
        ),
        "Nothing is brighter than white in yours, but there are pixels darker than black.": _made_of(
            lambda raw: raw.clamp(max=1)
        ),
        "Nothing is darker than black in yours, but there are pixels brighter than white.": _made_of(
            lambda raw: raw.clamp(min=0)
        ),
        "Pixels are to lie in [0, 1], not in [0, 255].": (
            _made_of(lambda raw: 255 * raw.clamp(0, 1)),
            _made_of(lambda raw: (255 * raw).clamp(0, 255)),
        ),
    }
)


@decode_codes.unless
def _other_shapes(got: Tensor, model: Stage1, indices: Tensor) -> None:
    raw = _decoded(model, indices)
    if got.shape == raw.shape:
        return
    if got.shape == (len(indices), raw.shape[1], *indices.shape[1:]):
        raise Mistake(
            "Your pictures are as small as the index maps: the indices went through the encoder too.",
            "Indices already are what an encoder makes.",
        )
    if got.shape == model.quantizer.lookup(indices).shape:
        raise Mistake("These are the codes that the indices stand for; pictures are asked for.", "What comes next?")
    if got.shape == indices.shape:
        raise Mistake("Index maps came back; pictures are asked for.")
    if got.shape == raw.movedim(1, -1).shape:
        raise Mistake("The channels come last in yours; (N, C, H, W) is asked for.")
    if got.shape == raw.mT.shape:
        raise Mistake("Rows and columns are swapped.", "Do not transpose the maps.")


@decode_codes.further
def _comes_back_in_its_mode(answer: Answer) -> None:
    for mode in (True, False):
        model = _build(1, 3).train(mode)
        answer(model, torch.zeros(1, 2, 2, dtype=torch.int64))
        must_be_in_mode(model, mode)


# Priors by counting


class Counted:
    """What counting has to do with, (K,) wherever codes stand or (h, w, K) at each place, in float64."""

    def __init__(self, count: Callable[[Tensor, int], Tensor], train: Tensor, test: Tensor, num_codes: int):
        self.train, self.test, self.k = train, test, num_codes
        self.count, self.tested = count(train, num_codes).double(), count(test, num_codes).double()
        self.n = self.count.sum(dim=-1, keepdim=True)
        self.share = self.count / self.n
        self.p = (self.count + 1) / (self.n + num_codes)
        self.told = (self.tested + 1) / (self.tested + 1).sum(dim=-1, keepdim=True)
        self.right = _prices(self.p, test)  # of each code

    def cost(self, p: Tensor) -> Tensor:
        """Return the nats per test code if these are the probabilities."""
        return _prices(p, self.test).mean()

    def of(self, count: Tensor, start: float = 0.0) -> Tensor:
        """Return the nats per test code if the probabilities are these counts and a start, divided by their sum."""
        return self.cost((count + start) / (count + start).sum(dim=-1, keepdim=True))


def _prices(p: Tensor, maps: Tensor) -> Tensor:
    """Return -log p at each place of some maps; the probabilities are (K,) or (h, w, K)."""
    if p.ndim == 1:
        return -p.log()[maps]
    return -p.log().expand(len(maps), *p.shape).gather(3, maps[..., None])[..., 0]


def _at_places(maps: Tensor, num_codes: int) -> Tensor:
    """Count each code at each place: (h, w, K)."""
    return F.one_hot(maps, num_codes).sum(dim=0)


def _some_missing(n: int, m: int, h: int, w: int, num_codes: int) -> tuple[Tensor, Tensor, int]:
    """Draw training and test maps that are alike; some codes occur in the test maps alone, the last one nowhere."""
    at = (torch.rand(h, w, num_codes) ** 4 + 1e-3).view(h * w, num_codes)
    train, test = (torch.multinomial(at, max(size, 1), replacement=True).T.reshape(-1, h, w) for size in (n, m))
    train = train[:n]
    if num_codes > 3:
        train[train >= num_codes - 2] = 0
        test[test == num_codes - 1] = 1
        test[0, 0, -1] = num_codes - 2
    return train, test, num_codes


def _all_there() -> tuple[Tensor, Tensor, int]:
    """Draw maps in which the first code and the last are the most frequent ones."""
    train, test, num_codes = _some_missing(9, 8, 3, 2, 7)
    for maps in (train, test):
        maps[:5], maps[-3:, 0] = num_codes - 1, 0
    return train, test, num_codes


def _counted_maps() -> Iterator[tuple[Tensor, Tensor, int]]:
    # Maps for training and for testing, rows, columns, codes; the last cases are the edges.
    for sizes in ((11, 7, 3, 4, 6), (23, 5, 5, 2, 9), (6, 13, 2, 3, 2)):
        yield _some_missing(*sizes)
    yield _all_there()
    for sizes in ((1, 1, 1, 3, 4), (0, 4, 2, 3, 5), (4, 3, 2, 2, 1)):
        yield _some_missing(*sizes)


def _beyond_the_end(mistake: Mistake, *_: Any) -> None:
    if "out of bounds" in mistake.message:
        raise Mistake(
            "Your table is looked up beyond its end: it holds no code above the largest one that was counted, or its "
            "rows and columns are not those of the maps, which need not be square.",
            "num_codes is an argument.",
        ) from mistake


def _edges(got: float, train: Tensor, test: Tensor, num_codes: int) -> None:
    if not math.isfinite(got):
        raise Mistake(
            f"Your function returns {got}: some code of the test maps was never counted in the training maps, and "
            "-log 0 is infinite. A code that has not been seen yet is not impossible.",
            "What does the task say every count starts with?",
        )
    if len(train) == 0:
        raise Mistake(f"With no training maps every code is as likely as any other, and costs log {num_codes} nats.")
    if num_codes == 1:
        raise Mistake("With a single code there is nothing to say, and it costs 0 nats.")


Slip = Callable[[Counted], Any]


def _in_terms_of(count: Callable[[Tensor, int], Tensor], slips: dict[str, Slip | tuple[Slip, ...]]) -> dict:
    """Return mistakes as functions of the arguments, where they are written as functions of what was counted."""

    def told(slip: Slip) -> Callable:
        return lambda train, test, num_codes: slip(Counted(count, train, test, num_codes))

    several = {text: slip if isinstance(slip, tuple) else (slip,) for text, slip in slips.items()}
    return {text: tuple(told(slip) for slip in some) for text, some in several.items()}


SMALL = (0.1, 0.01, *(10.0**-digits for digits in range(3, 11)), 1e-12, 1e-16, 1e-20, 1e-30, 2**-23)
SLIPS: dict[str, Slip | tuple[Slip, ...]] = {  # with counts of either kind
    "These are log K nats, the price of a prior that has counted nothing.": lambda c: math.log(c.k),
    "You score the maps that were counted. What they cost says little of new ones: a table of counts knows its own "
    "maps too well.\nWhich of the two sets is used twice in your function?": lambda c: _prices(c.p, c.train).mean(),
    "These are bits; nats are asked for.\nWhich logarithm belongs to nats?": lambda c: c.right.mean() / LN2,
    "This is a logarithm to base 10; nats are asked for.\nWhich logarithm belongs to nats?": lambda c: (
        c.right.mean() / LN10
    ),
    "The sign is wrong: a price is never negative.": lambda c: -c.right.mean(),
    "This is the cost of all test maps together; per code is asked for.\nA mean, not a sum.": lambda c: c.right.sum(),
    "This is the cost of a whole map; per code is asked for.\nA map has h·w codes.": lambda c: (
        c.right.sum() / len(c.test)
    ),
    "This is summed over the maps; per code is asked for.\nA mean, not a sum.": lambda c: (
        c.right.sum() / c.right[0].numel()
    ),
    "A start was added to the probabilities, or something small put where a count is 0; it belongs to the counts, "
    "and to their total. Probabilities that sum to more than 1 make a price that nobody can pay.\nGive every code "
    "the same start, then divide by the new total.": (
        *((lambda c, eps=eps: c.cost(torch.where(c.count > 0, c.share, eps))) for eps in SMALL),
        *((lambda c, eps=eps: c.cost(c.share + eps)) for eps in (*SMALL, 1)),
    ),
    "Your probabilities sum to more than 1: K imaginary counts were added above and none below.\nWhat is the sum "
    "of n_k + 1 over all K codes?": lambda c: c.cost((c.count + 1) / c.n),
    "Your probabilities do not sum to 1: K counts were added above, and only one below.\nWhat is the sum of n_k "
    "+ 1 over all K codes?": lambda c: c.cost((c.count + 1) / (c.n + 1)),
    "Your probabilities do not sum to 1: what you divide by is not the sum of what stands above.\nWhat is the sum "
    "of n_k + 1 over all K codes?": (
        lambda c: c.cost((c.count + 1) / (c.n + c.k + 1)),
        lambda c: c.cost((c.count + 1) / (c.n + 2 * c.k)),
    ),
    "You divide by the number of test codes; n is what was counted, in the training maps.": (
        lambda c: c.cost((c.count + 1) / (c.tested.sum(dim=-1, keepdim=True) + c.k)),
        lambda c: c.cost((c.count + 1) / c.tested.sum(dim=-1, keepdim=True)),
    ),
    "Every training map brings a start of 1 of its own in yours, or 1 was added to the shares n_k / n.\nA code "
    "starts at 1 once, before anything is counted.": (
        lambda c: c.of(c.count, len(c.train)),
        lambda c: c.of(c.count, float(c.n.mean())),
    ),
    "1 is added to counts of 0 alone; every code starts with 1.": lambda c: c.of(c.count.clamp(min=1)),
    "Your K is the number of codes that were seen, or the largest of them; codes that were never seen need their "
    "share too.\nnum_codes is an argument.": (
        lambda c: c.cost((c.count + 1) / (c.n + (c.count > 0).sum(dim=-1, keepdim=True))),
        lambda c: c.cost((c.count + 1) / (c.n + len(torch.cat([c.train.flatten(), c.test.flatten()]).unique()))),
        lambda c: c.cost((c.count + 1) / (c.n + 1 + torch.cat([c.train.flatten(), c.test.flatten()]).max())),
    ),
    "Codes that were never counted are left out of your mean. They are what makes the price of new maps high.\n"
    "Leave nothing out.": (
        lambda c: _prices(c.share, c.test)[_prices(c.count, c.test).isfinite()].mean(),
        lambda c: c.right[_prices(c.count, c.test).isfinite()].mean(),
        lambda c: _prices(c.share.where(c.count > 0, 1), c.test).mean(),
    ),
    "The test maps were counted too. Then they are not new any more.\nCount one set, score the other.": (
        lambda c: c.of(c.count + c.tested, 1),
        lambda c: c.of(c.tested, 1),
    ),
    "The two sets are swapped: you count the test maps and score the training maps.": lambda c: _prices(
        c.told, c.train
    ).mean(),
    "Each code weighs the same in your mean, however often it occurs.\nWhat does the receiver pay for: kinds of "
    "codes, or codes sent?": (lambda c: -c.p.log().mean(), lambda c: -c.p.log()[..., c.test.unique()].mean()),
    "The logarithm is taken of a mean of probabilities; the mean of logarithms is asked for.\nPrices add up, "
    "probabilities do not.": lambda c: -(-c.right).exp().mean().log(),
    "This is a mean of probabilities; the price of a code is minus its logarithm.": (
        lambda c: (-c.right).exp().mean(),
        lambda c: 1 - (-c.right).exp().mean(),
    ),
    "You take the mean over the K codes too. Their shares are weights already: sum over codes, mean over "
    "places.": lambda c: c.right.mean() / c.k,
    "The counts of the test maps start at 1 as well. Only a belief needs that; the test maps are what they are.": (
        lambda c: -(c.told * c.p.log()).sum(dim=-1).mean(),
        lambda c: -(c.p * c.told.log()).sum(dim=-1).mean(),
    ),
    "This is the perplexity, exp of the nats.": lambda c: c.right.mean().exp(),
    "Each count starts with another number than the 1 that the task asks for.": (
        *(
            (lambda c, start=start: c.of(c.count, start))
            for start in (0.5, 2.0, *(10.0**-d for d in (1, 2, 3, 4, 5, 6, 8)))
        ),
        lambda c: c.of(c.count, 1 / c.k),
    ),
    "Your probabilities go through a softmax as if they were logits.\nWhat does cross_entropy do with what it is "
    "given?": (
        lambda c: c.cost(c.p.softmax(dim=-1)),
        lambda c: c.cost(c.count.softmax(dim=-1)),
    ),
    "This is the entropy of the prior itself; what it charges for the test maps is asked for.": (
        lambda c: entr(c.p).sum(dim=-1).mean(),
        lambda c: entr(c.p).sum(dim=-1).mean() * c.right[0].numel(),
        lambda c: entr(c.share).sum(dim=-1).mean(),
        lambda c: entr(c.share).sum(dim=-1).mean() * c.right[0].numel(),
    ),
    "This is the entropy of the test maps themselves, what somebody would pay who knew their counts in advance.": (
        lambda c: c.of(c.tested),
        lambda c: entr(c.told).sum(dim=-1).mean(),
    ),
    "This is the divergence of the prior from the test maps: their own entropy has been taken off.\nThe entropy is "
    "a part of the price.": (
        lambda c: c.right.mean() - c.of(c.tested),
        lambda c: (c.told * (c.told.log() - c.p.log())).sum(dim=-1).mean(),
    ),
}


def _counting_task(name: str, count: Callable[[Tensor, int], Tensor], hint: str) -> Task:
    task = Task(
        lambda train, test, num_codes: Counted(count, train, test, num_codes).right.mean(),
        name=name,
        points=2,
        zero=1e-6,
        otherwise="This is not the mean of -log p over all codes of the test maps.",
        hint=hint,
    )
    task.inputs(_counted_maps)
    task.fails(_beyond_the_end)
    task.unless(_edges)
    return task


unigram_nats = _counting_task("unigram_nats", code_counts, "p(k) = (n_k + 1) / (n + K); then the mean of -log p.")
unigram_nats.mistakes(
    _in_terms_of(
        code_counts,
        SLIPS
        | {
            "You count at each place on its own; here a code counts wherever it stands.": lambda c: Counted(
                _at_places, c.train, c.test, c.k
            ).right.mean(),
            "Each map is scored by its own counts, or counted on its own.": lambda c: torch.stack(
                [_prices((code_counts(one, c.k) + 1) / (one.numel() + c.k), one).mean() for one in c.test]
            ).mean(),
            "You divide by the number of maps; n is the number of codes that were counted.\nHow many codes has a "
            "map?": tuple(
                (lambda c, extra=extra: c.cost((c.count + 1) / (len(c.train) + extra(c))))
                for extra in (lambda c: c.k, lambda c: 0, lambda c: 1)
            ),
            "A code counts once for each map in yours, however often it stands there.": lambda c: c.of(
                F.one_hot(c.train.flatten(1), c.k).amax(dim=1).sum(dim=0), 1
            ),
        },
    )
)

position_nats = _counting_task(
    "position_nats", _at_places, "At each place p(k) = (n_k + 1) / (n + K), where n counts this place."
)
position_nats.mistakes(
    _in_terms_of(
        _at_places,
        {
            "You count codes wherever they stand; here each place has counts of its own.\nWhat shape has your "
            "table?": lambda c: c.of(code_counts(c.train, c.k), 1),
            "Rows and columns are mixed up between counting and scoring, so most places are scored with the counts "
            "of another one.\nA reshape to (w, h) does not transpose.": (
                lambda c: c.of(c.count.transpose(0, 1).reshape(c.count.shape), 1),
                lambda c: c.of(c.count.reshape(c.count.transpose(0, 1).shape).transpose(0, 1), 1),
            ),
            "Each row has one table of counts, shared by its places; each place is to have its own.": lambda c: c.of(
                c.count.sum(dim=1, keepdim=True).expand_as(c.count), 1
            ),
            "Each column has one table of counts, shared by its places; each place is to have its own.": lambda c: c.of(
                c.count.sum(dim=0, keepdim=True).expand_as(c.count), 1
            ),
            "The counts of a place are divided by the number of all codes; they must sum to 1 at each place.\nHow "
            "many codes were counted at one place?": (
                lambda c: c.cost((c.count + 1) / (c.train.numel() + c.k)),
                lambda c: c.cost((c.count + 1) / (c.train.numel() + c.count.numel())),
                lambda c: c.cost((c.count + 1) / (c.n + c.count.numel())),
            ),
            "Your table sums to 1 along its rows or columns; at each place the probabilities of the K codes must "
            "sum to 1.\nWhich axis holds the codes?": (
                lambda c: c.cost((c.count + 1) / (c.count + 1).sum(dim=0, keepdim=True)),
                lambda c: c.cost((c.count + 1) / (c.count + 1).sum(dim=1, keepdim=True)),
            ),
            "The axis of the codes is not where the scoring looks for it: a reshape has mixed codes with "
            "places.\nWhich function moves an axis?": lambda c: c.of(
                c.count.reshape(c.k, *c.count.shape[:2]).movedim(0, -1), 1
            ),
            "You divide by how often the code occurs in all; at each place the probabilities of the K codes must "
            "sum to 1.\nThat is p(place | code). Which of the two is given?": lambda c: c.cost(
                (c.count + 1) / (c.count + 1).sum(dim=(0, 1), keepdim=True)
            ),
            "Only one place is scored, or counted.": (
                lambda c: c.right[:, 0, 0].mean(),
                lambda c: c.right[:, -1, -1].mean(),
                lambda c: c.of(c.count[0, 0], 1),
            ),
        }
        | SLIPS,
    )
)


# What a known context saves


def _split(joint: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the entropies H(X, Y), H(X) and H(Y)."""
    return entr(joint).sum(), entr(joint.sum(dim=1)).sum(), entr(joint.sum(dim=0)).sum()


def _conditional(joint: Tensor) -> Tensor:
    both, x, _ = _split(joint)
    return both - x


def _each(joint: Tensor) -> Tensor:
    """Return the entropy of each row that occurs."""
    rows = joint[joint.sum(dim=1) > 0]
    return entr(rows / rows.sum(dim=1, keepdim=True)).sum(dim=1)


def _given(joint: Tensor) -> Tensor:
    """Return the rows divided by their sums, 0 where that is 0."""
    return (joint / joint.sum(dim=1, keepdim=True)).nan_to_num(0)


def _as_logits(joint: Tensor, weight: Tensor) -> Tensor:
    return -(weight * joint.log_softmax(dim=1)).sum()


conditional_entropy = Task(
    _conditional,
    name="conditional_entropy",
    points=2,
    zero=1e-6,
    otherwise="This is not the mean, over contexts x, of the entropy of Y given x.",
    hint="Divide each row by its sum. What is the entropy of each, and how often does each row happen?",
)


@conditional_entropy.inputs
def _tables() -> Iterator[tuple[Tensor]]:
    for rows, columns, what in (
        (4, 6, "zeros"),
        (5, 3, ""),
        (2, 7, "row"),
        (4, 3, "nearly determined"),
        (3, 4, "determined"),
        (1, 5, "zeros"),
    ):
        joint = torch.rand(rows, columns) ** 2 + 0.02
        if what == "zeros":
            joint[0, torch.randint(columns, ())] = 0
        if what == "row":
            joint[-1] = 0
        if "determined" in what:
            one = F.one_hot(torch.arange(rows) % columns, columns) * (torch.rand(rows, 1) + 0.1)
            joint = one + joint / 1000 if "nearly" in what else one
        yield (joint / joint.sum(),)


@conditional_entropy.fails
def _several_numbers(mistake: Mistake, joint: Tensor) -> None:
    if "returns an array" in mistake.message:
        raise Mistake(mistake.message.removesuffix(".") + ", the mean over contexts.") from mistake


conditional_entropy.mistakes(
    {
        "You condition the wrong way round: this is H(X | Y).\nWhich axis is the context?": (
            lambda joint: _conditional(joint.T),
            lambda joint: _each(joint.T).mean(),
        ),
        "This is H(X, Y), the price of both; X is known already.": lambda joint: _split(joint)[0],
        "This is H(Y), the price of Y to somebody who does not know X.": lambda joint: _split(joint)[2],
        "This is H(X), the price of the context.": lambda joint: _split(joint)[1],
        "This is what knowing X saves, I(X; Y); what is left to pay is asked for.": lambda joint: (
            _split(joint)[2] - _conditional(joint)
        ),
        "All contexts weigh the same in your mean; a context that is rare matters little.\nHow often does each x "
        "occur?": (lambda joint: _each(joint).sum() / len(joint), lambda joint: _each(joint).mean()),
        "You add the entropies of all contexts; their mean is asked for.": lambda joint: _each(joint).sum(),
        "You take the worst context; the mean over contexts is asked for.": lambda joint: _each(joint).max(),
        "You take the best context; the mean over contexts is asked for.": lambda joint: _each(joint).min(),
        "These are bits; nats are asked for.": lambda joint: _conditional(joint) / LN2,
        "This is a logarithm to base 10; nats are asked for.": lambda joint: _conditional(joint) / LN10,
        "This is exp of the nats; the nats themselves are asked for.": lambda joint: _conditional(joint).exp(),
        "The sign is wrong: an entropy is never negative.": lambda joint: -_conditional(joint),
        "You take a plain mean over rows, columns or cells of what is to be summed. How often each happens is in "
        "q(x, y) already.": (
            lambda joint: _conditional(joint) / len(joint),
            lambda joint: _conditional(joint) / joint.shape[1],
            lambda joint: _conditional(joint) / joint.numel(),
        ),
        "This is the difference of H(X) and H(Y), of two prices for somebody who knows nothing of the other.\nHow do X "
        "and Y occur together?": (
            lambda joint: _split(joint)[2] - _split(joint)[1],
            lambda joint: _split(joint)[1] - _split(joint)[2],
        ),
        "The price of X is paid twice in yours; it is known already.": lambda joint: sum(_split(joint)[:2]),
        "You weigh with q(y | x) and take the logarithm of q(x, y), or divide after taking it.\nWhich of the two "
        "stands inside the logarithm, and which says how often a pair occurs?": lambda joint: (
            -xlogy(_given(joint), joint).sum()
        ),
        "Your probabilities go through a softmax as if they were logits; they sum to 1 already.": (
            lambda joint: _as_logits(joint, joint),
            lambda joint: _as_logits(joint, joint.softmax(dim=1)),
            lambda joint: _as_logits(joint, joint.softmax(dim=1) / len(joint)),
            lambda joint: _as_logits(joint, joint.softmax(dim=1) * joint.sum(dim=1, keepdim=True)),
        ),
    }
)


@conditional_entropy.unless
def _zero_times_infinity(got: float, joint: Tensor) -> None:
    if not math.isfinite(got):
        raise Mistake(
            "Your function returns NaN or infinity: the table holds a 0, and 0 · log 0 is not a number in floating "
            "point, nor is 0 / 0. What never happens adds nothing.",
            "torch.special.xlogy knows the rule. A context that never occurs has weight 0.",
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
