"""Checks of notebook 12: encode and decode two levels, what a hierarchy costs, which of two maps is the top."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, close, kind, let_time_begin_anew, recognise
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task

Known = dict[str, Tensor]  # what each tensor of the right way is called

IMAGE, FEATURES = "the image", "the bottom's features"
TOP, QUANTIZED, EXPANDED = "the top's latent before it is quantized", "the quantized top", "the expanded top"
BOTTOM, LOW = "the bottom's encoder output", "the quantized bottom"
ZEROS, REPEATED = "nothing but zeros", "the quantized top, enlarged by something other than parts.expand"


def _same(a: Any, b: Tensor) -> bool:
    """Whether two tensors agree up to rounding."""
    if not isinstance(a, Tensor) or a.shape != b.shape:
        return False
    scale = float(b.double().abs().max()) if b.numel() else 0.0
    return bool(torch.allclose(a.detach().double(), b.double(), rtol=0, atol=1e-4 * scale))


def _name(value: Any, known: Known) -> str:
    """Say what a part was handed: the name of a tensor of the right way, or its shape."""
    for name, tensor in known.items():
        if _same(value, tensor):
            return name
    if not isinstance(value, Tensor):
        return kind(value)
    if value.numel() and not bool(value.any()):
        return ZEROS
    top = known.get(QUANTIZED)
    if top is not None and any(_same(value, enlarged) for enlarged in _enlarged(top)):
        return REPEATED
    if not value.is_floating_point():
        return f"integers of shape {tuple(value.shape)}"
    return f"a tensor of shape {tuple(value.shape)} that is none of those the parts return"


def _enlarged(x: Tensor) -> list[Tensor]:
    """Return the ways to double a map that learn nothing."""
    smooth = [F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=corners) for corners in (True, False)]
    return [x.repeat_interleave(2, 2).repeat_interleave(2, 3), x.repeat(1, 1, 2, 2), *smooth]


def _arguments(name: str, takes: tuple[str, ...], given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """Bring the arguments of a part into their order, whether they come by place or by name."""
    for one in named:
        if one not in takes:
            raise Mistake(f"parts.{name} is called with {one}=...; its arguments are called {', '.join(takes)}.")
    rest = takes[len(given) :]
    if any(one not in rest for one in named):
        raise Mistake(f"parts.{name} is handed an argument twice, by its place and by its name.")
    count = len(given) + len(named)
    if count != len(takes):
        some = "1 argument" if count == 1 else f"{count} arguments"
        raise Mistake(f"parts.{name} is called with {some}; it takes {len(takes)}.")
    return (*given, *(named[one] for one in rest))


# Encode


class _Encoder:
    """Parts of an encoder of two levels, with random weights, that remember what they are handed."""

    def __init__(self, channels: int, features: int, dim: int, codes: tuple[int, int]):
        def weight(*shape: int) -> Tensor:
            return torch.randn(shape, dtype=torch.float64)

        self.down, self.up = weight(features, channels, 2, 2), weight(dim, features, 2, 2)
        self.enlarge, self.mix = weight(dim, dim, 2, 2), weight(dim, features + dim, 1, 1)
        self.books = {"top": weight(codes[0], dim), "bottom": weight(codes[1], dim)}
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.rows = {"top": 0, "bottom": 0}
        self.known: Known = {}
        self.made: list[tuple[str, Tensor]] = []  # what the parts have returned, right or wrong
        self.reads: dict[str, tuple[str, ...]] = {}

    def right(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode, and note how every tensor on the way is called."""
        features = self._down(x)
        top = self._up(features)
        z_top, first = self._nearest(top, "top")
        expanded = self._enlarge(z_top)
        bottom = self._join(features, expanded)
        low, second = self._nearest(bottom, "bottom")
        self.known = {IMAGE: x, FEATURES: features, TOP: top, QUANTIZED: z_top, EXPANDED: expanded, BOTTOM: bottom}
        self.known |= {LOW: low, "the top's indices": first, "the bottom's indices": second}
        return first, second

    def _down(self, x: Tensor) -> Tensor:
        return F.conv2d(x.double(), self.down, stride=2).tanh()

    def _up(self, features: Tensor) -> Tensor:
        return F.conv2d(features.double(), self.up, stride=2) / 2

    def _enlarge(self, z: Tensor) -> Tensor:
        return F.conv_transpose2d(z.double(), self.enlarge, stride=2)

    def _join(self, features: Tensor, expanded: Tensor) -> Tensor:
        return F.conv2d(torch.cat([features.double(), expanded.double()], dim=1), self.mix) / 2

    def _nearest(self, z: Tensor, level: str) -> tuple[Tensor, Tensor]:
        book = self.books[level]
        indices = torch.cdist(z.double().movedim(1, -1), book).argmin(dim=-1)
        return book[indices].movedim(-1, 1), indices

    def parts(self) -> SimpleNamespace:
        """Return what the learner is given."""
        return SimpleNamespace(
            features_bottom=self._part("features_bottom", self._down, IMAGE),
            features_top=self._part("features_top", self._up, FEATURES),
            quantize_top=self._part("quantize_top", lambda z: self._quantize(z, "top"), TOP),
            expand=self._part("expand", self._enlarge, QUANTIZED),
            join=self._part("join", self._join, FEATURES, EXPANDED),
            quantize_bottom=self._part("quantize_bottom", lambda z: self._quantize(z, "bottom"), BOTTOM),
        )

    def _quantize(self, z: Tensor, level: str) -> tuple[Tensor, Tensor]:
        """Quantize as in training, where the codebook has moved when it is called again."""
        if self.rows[level] >= self.known[f"the {level}'s indices"].numel():
            self.books[level] = 0.5 * self.books[level] + 0.5 * torch.randn_like(self.books[level])
        self.rows[level] += len(z) * z.shape[2] * z.shape[3]
        return self._nearest(z, level)

    def _part(self, name: str, function: Callable, *expected: str) -> Callable:
        def part(*by_place: Any, **by_name: Any) -> Any:
            given = _arguments(name, TAKES[name], by_place, by_name)
            self.calls.append((name, tuple(g.detach().clone() if isinstance(g, Tensor) else g for g in given)))
            for value, wanted in zip(given, expected, strict=True):
                right = self.known[wanted]
                fits = isinstance(value, Tensor) and value.ndim == 4 and value.shape[1:] == right.shape[1:]
                if not fits or not value.is_floating_point():
                    self.judge_call(*self.calls[-1])
            result = function(*given)
            for what, tensor in zip(MAKES[name], result if isinstance(result, tuple) else (result,), strict=True):
                self.made.append((what, tensor.detach().clone()))
            return result

        self.reads[name] = tuple(expected)
        return part

    def _called(self, value: Any) -> str:
        """Say what a part was handed, by what it is or by which part made it."""
        name = _name(value, self.known)
        if name not in self.known and isinstance(value, Tensor):
            return next((what for what, tensor in self.made if _same(value, tensor)), name)
        return name

    def judge_call(self, name: str, given: tuple[Any, ...]) -> None:
        """Refuse a call with something else than the right way would hand to the part."""
        expected = self.reads[name]
        named = [self._called(value) for value in given]
        if all(_part_of(value, self.known[wanted]) for value, wanted in zip(given, expected, strict=True)):
            return
        if name == "join" and named == [EXPANDED, FEATURES]:
            raise Mistake(
                "parts.join is handed its two arguments in the wrong order.", "The features first, then the expanded."
            )
        for value, wanted, what in zip(given, expected, named, strict=True):
            if _part_of(value, self.known[wanted]) or what == wanted:  # else wrong already before it came here
                continue
            message, hint = MISPLACED.get(
                (name, wanted, what), (f"parts.{name} is handed {what}.", f"What it reads is {wanted}.")
            )
            if message.startswith("Levels"):
                message = f"parts.{name} is handed {what}. {message}"
            raise Mistake(message, hint)


TAKES = {
    "features_bottom": ("x",),
    "features_top": ("f",),
    "quantize_top": ("z",),
    "expand": ("z_q",),
    "join": ("features", "expanded"),
    "quantize_bottom": ("z",),
    "decoder": ("z",),
}
MAKES = {
    "features_bottom": (FEATURES,),
    "features_top": (TOP,),
    "quantize_top": (QUANTIZED, "the top's indices"),
    "expand": (EXPANDED,),
    "join": (BOTTOM,),
    "quantize_bottom": (LOW, "the bottom's indices"),
}


def _part_of(value: Any, right: Tensor) -> bool:
    """Whether a tensor is the right one, or some images of it."""
    if not isinstance(value, Tensor) or value.ndim != right.ndim:
        return False
    if value.shape == right.shape:
        return _same(value, right)
    if value.shape[1:] != right.shape[1:] or len(value) >= len(right):
        return False
    return all(any(_same(one, other) for other in right) for one in value)


_UNCONDITIONED = (
    "The bottom is not conditioned on the top: parts.join is handed zeros where the expanded top belongs. Then the "
    "bottom has to say again what the top has said already.",
    "What does the bottom have to know about the top before it is quantized?",
)
_LEVELS = ("Levels have codebooks of their own.", "Which latent belongs to which quantizer?")
MISPLACED: dict[tuple[str, str, str], tuple[str, str]] = {
    ("features_top", FEATURES, IMAGE): (
        "parts.features_top is handed the image: that would be two encoders that know nothing of each other.",
        "The top does not look at pixels itself. What is already there for it to read?",
    ),
    ("features_top", FEATURES, LOW): (
        "The top is computed from the quantized bottom. That is the wrong way round: the bottom is chosen last, when "
        "the top is known.",
        "The top reads features, before anything has been quantized.",
    ),
    ("quantize_top", TOP, BOTTOM): _LEVELS,
    ("quantize_bottom", BOTTOM, TOP): _LEVELS,
    ("quantize_top", TOP, FEATURES): (
        "parts.quantize_top is handed the bottom's features; the top's latent has not been computed yet.",
        "One part lies between the two.",
    ),
    ("quantize_bottom", BOTTOM, FEATURES): (
        "The bottom is not conditioned on the top: its features are quantized as they are.",
        "What does parts.join do?",
    ),
    ("quantize_bottom", BOTTOM, EXPANDED): (
        "The bottom sees the top alone: parts.quantize_bottom is handed the expanded top, and the bottom's own "
        "features are lost.",
        "What does parts.join do?",
    ),
    ("expand", QUANTIZED, TOP): (
        "The bottom is conditioned on the top's latent before it is quantized. The decoder will never have that: all "
        "it gets of the top are its indices.",
        "A level may only rely on what the decoder will know as well.",
    ),
    ("expand", QUANTIZED, LOW): (
        "parts.expand is handed the quantized bottom. It is the top that has to be brought to the bottom's grid.",
        "Which map is too small for parts.join?",
    ),
    ("expand", QUANTIZED, "the top's indices"): (
        "parts.expand is handed indices. An index is a number in a list, its size means nothing.",
        "parts.quantize_top returns a pair; which of the two holds code vectors?",
    ),
    ("join", EXPANDED, ZEROS): _UNCONDITIONED,
    ("join", EXPANDED, FEATURES): (
        "parts.join is handed the bottom's features twice; the top does not come in.",
        "Its second argument tells the bottom what the top has said.",
    ),
    ("join", EXPANDED, QUANTIZED): (
        "parts.join is handed the quantized top on its own small grid.",
        "Which part brings it to the grid of the bottom?",
    ),
    ("join", EXPANDED, TOP): (
        "parts.join is handed the top's latent before it is quantized, on its own small grid.",
        "What the bottom is told has to be what the decoder will know, on the bottom's grid.",
    ),
    ("join", EXPANDED, LOW): (
        "parts.join is handed the quantized bottom, which is what is to be found in the end.",
        "The bottom is conditioned on the top.",
    ),
    ("join", EXPANDED, REPEATED): (
        "The quantized top is enlarged by something other than parts.expand, which has learned how to do it and which "
        "the decoder uses, too.",
        "The bottom must be told what the decoder will see.",
    ),
}


@exercise(points=4)
def encode_two_levels(answer: Answer) -> None:
    """Judge ``encode_two_levels(parts, x)``: the top from the bottom's features, the bottom given the top."""
    for channels, features, dim, codes, (batch, h, w) in (
        (3, 4, 4, (9, 9), (3, 2, 5)),  # features as long as codes: no mix-up fails by its shape alone
        (1, 6, 3, (5, 12), (2, 4, 3)),
        (2, 3, 5, (11, 6), (2, 3, 5)),
    ):
        encoder = _Encoder(channels, features, dim, codes)
        x = torch.rand(batch, channels, 4 * h, 4 * w)
        right = encoder.right(x)
        value = answer(encoder.parts(), x)
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise Mistake(f"The pair (indices_top, indices_bottom) is asked for; you return {kind(value)}.")
        if all(_equal(got, want) for got, want in zip(value, right, strict=True)):
            _judge_calls_of_quantizers(encoder, right)
            continue
        for call in sorted(encoder.calls, key=lambda call: call[0] != "features_top"):
            encoder.judge_call(*call)
        _judge_calls_of_quantizers(encoder, right)
        _judge_pair(value, right, encoder)


def _equal(got: Any, right: Tensor) -> bool:
    return isinstance(got, Tensor) and not got.is_floating_point() and torch.equal(got.long(), right)


def _judge_calls_of_quantizers(encoder: _Encoder, right: tuple[Tensor, Tensor]) -> None:
    for level, want in zip(("top", "bottom"), right, strict=True):
        if encoder.rows[level] > want.numel():
            raise Mistake(
                f"Positions of the {level} are quantized more than once. In training every call moves the codebook, so "
                "the second call may choose other codes than those the first one handed on.",
                f"Keep both results of one call of parts.quantize_{level}.",
            )


def _judge_pair(value: Sequence[Any], right: tuple[Tensor, Tensor], encoder: _Encoder) -> None:
    if all(_equal(got, want) for got, want in zip(value[::-1], right, strict=True)):
        raise Mistake("You return the bottom first.", "Lists of levels run top first, everywhere in the course.")
    if all(isinstance(part, tuple | list) for part in value):
        raise Mistake(
            "You return what the quantizers return, pairs of z_q and indices.", "Which of the two is asked for?"
        )
    names = [name for name, _ in encoder.calls]
    for got, want, level in zip(value, right, ("top", "bottom"), strict=True):
        if _equal(got, want):
            continue
        if not isinstance(got, Tensor):
            raise Mistake(f"For the {level} you return {kind(got)}; a tensor of indices is asked for.")
        if got.is_floating_point() and got.shape == want.shape:
            raise Mistake(
                f"The map that you return for the {level} has the dtype {got.dtype}; indices are integers.",
                "Leave them as the quantizer made them.",
            )
        if got.is_floating_point():
            raise Mistake(
                f"For the {level} you return vectors instead of indices: floats of shape {tuple(got.shape)}.",
                "What a quantizer returns is the pair (z_q, indices).",
            )
        if got.shape != want.shape:
            if got.numel() == want.numel():
                raise Mistake(
                    f"The {level}'s indices have shape {tuple(got.shape)}; a map a picture is asked for, "
                    f"{tuple(want.shape)}.",
                    "Leave the shape as the quantizer made it.",
                )
            raise Mistake(f"The {level}'s indices have shape {tuple(got.shape)}; {tuple(want.shape)} is asked for.")
        if f"quantize_{level}" not in names:
            raise Mistake(f"parts.quantize_{level} is never called; where do the {level}'s indices come from?")
        raise Mistake(
            f"The {level}'s indices are not those that parts.quantize_{level} chose.",
            "Return them as they are, image by image.",
        )


# Decode


class _Decoder:
    """Parts of a decoder of two levels, with random weights, that remember what they are handed."""

    def __init__(self, channels: int, dim: int, codes: tuple[int, int]):
        self.codebook_top, self.codebook_bottom = torch.randn(codes[0], dim), torch.randn(codes[1], dim)
        self.enlarge = torch.randn(dim, dim, 2, 2, dtype=torch.float64)
        self.paint = torch.randn(2 * dim, channels, 2, 2, dtype=torch.float64)
        self.dim = dim
        self.seen: list[Tensor] = []
        self.grid = (0, 0)
        self.together = 0  # how many images parts.expand was last handed

    def parts(self) -> SimpleNamespace:
        """Return what the learner is given."""
        return SimpleNamespace(
            codebook_top=self.codebook_top.clone(),
            codebook_bottom=self.codebook_bottom.clone(),
            expand=self._expand,
            decoder=self._decode,
            features_bottom=self._no_encoder,
            features_top=self._no_encoder,
            join=self._no_encoder,
            quantize_top=self._no_encoder,
            quantize_bottom=self._no_encoder,
        )

    def expand(self, z: Tensor) -> Tensor:
        """Double a map."""
        return F.conv_transpose2d(z.double(), self.enlarge, stride=2)

    def paint_image(self, z: Tensor) -> Tensor:
        """Turn both levels into an image."""
        return F.conv_transpose2d(z.double(), self.paint, stride=2).tanh() * 3

    def _expand(self, *given: Any, **named: Any) -> Tensor:
        (z,) = _arguments("expand", TAKES["expand"], given, named)
        h, w = self.grid
        if not isinstance(z, Tensor) or not z.is_floating_point():
            raise Mistake(
                f"parts.expand is handed {kind(z) if not isinstance(z, Tensor) else 'indices'}; it takes one map of "
                "code vectors.",
                "An index stands for a row of a codebook.",
            )
        if z.ndim != 4:
            raise Mistake(
                f"parts.expand is handed shape {tuple(z.shape)}; it takes (B, D, h, w).",
                "Indexing a codebook with a map puts the vectors into a last axis.",
            )
        if z.shape[1] == self.dim and (z.shape[2], z.shape[3]) == (w, h) and h != w:
            raise Mistake(
                "parts.expand is handed a map whose rows and columns are swapped.",
                "Which axis of the looked-up vectors holds the rows?",
            )
        if z.shape[1:] == (h, w, self.dim):
            raise Mistake(
                "parts.expand is handed (B, h, w, D): the channels are still the last axis.",
                "Move them, do not just rename the axes.",
            )
        if (z.shape[2], z.shape[3]) == (2 * h, 2 * w):
            raise Mistake(
                "parts.expand is handed a map on the bottom's grid. It brings the top there from its own grid.",
                "Only one of the levels has to be enlarged.",
            )
        if z.shape[1] != self.dim:
            raise Mistake(f"parts.expand is handed {z.shape[1]} channels; a code has {self.dim}.")
        self.together = len(z)
        return self.expand(z)

    def _decode(self, *given: Any, **named: Any) -> Tensor:
        h, w = self.grid
        if named:
            given = _arguments("decoder", TAKES["decoder"], given, named)
        if len(given) != 1 or not isinstance(given[0], Tensor) or not given[0].is_floating_point():
            raise Mistake("parts.decoder takes one map of floats.", "Both levels go in together, one behind the other.")
        (z,) = given
        wanted = (2 * self.dim, 2 * h, 2 * w)
        if z.ndim != 4 or z.shape[1:] != wanted:
            joined = {(4 * h, 2 * w): "one above the other", (2 * h, 4 * w): "one beside the other"}
            if z.ndim == 4 and z.shape[1] == self.dim and z.shape[2:] == wanted[1:] and len(z) == 2 * self.together:
                raise Mistake(
                    f"parts.decoder is handed {len(z)} maps, twice as many as parts.expand: the levels are joined "
                    "along the batch, as if they were different images.",
                    "Both levels of one image belong together, as channels.",
                )
            if z.ndim == 4 and z.shape[1] == self.dim and tuple(z.shape[2:]) in joined:
                raise Mistake(
                    f"parts.decoder is handed shape {tuple(z.shape)}: the levels are joined "
                    f"{joined[tuple(z.shape[2:])]}, as if they were two parts of the picture.",
                    "Both describe the same places; they belong together as channels.",
                )
            if z.ndim == 4 and z.shape[1] == self.dim and z.shape[2:] == wanted[1:]:
                raise Mistake(
                    f"parts.decoder is handed {self.dim} channels, as many as one code has: one of the levels is "
                    "missing, or the two have been added up.",
                    "It reads both side by side, 2D channels.",
                )
            if z.ndim == 4 and z.shape[1:] == (2 * h, 2 * w, 2 * self.dim):
                raise Mistake(
                    "parts.decoder is handed (B, 2h, 2w, 2D): the channels are still the last axis.", "Move them."
                )
            raise Mistake(f"parts.decoder is handed shape {tuple(z.shape)}; it takes {(len(z), *wanted)}.")
        self.seen.append(z.detach().double().clone())
        return self.paint_image(z)

    @staticmethod
    def _no_encoder(*_: Any, **__: Any) -> None:
        raise Mistake(
            "You call a part of the encoder. Indices say all there is to know: whoever decodes, or samples from a "
            "prior, has no image to encode.",
            "Codebooks, parts.expand and parts.decoder are enough.",
        )


@exercise(points=3)
def decode_levels(answer: Answer) -> None:
    """Judge ``decode_levels(parts, indices_top, indices_bottom)``: look up, expand the top, decode both together."""
    for channels, dim, codes, (batch, h, w) in (
        (3, 5, (8, 8), (2, 3, 5)),  # as many codes in both books, so that swapped books are found by their result
        (1, 3, (6, 17), (3, 4, 3)),
        (2, 4, (13, 7), (2, 2, 5)),
    ):
        decoder = _Decoder(channels, dim, codes)
        decoder.grid = h, w
        top = torch.randint(codes[0], (batch, h, w))
        bottom = torch.randint(codes[1], (batch, 2 * h, 2 * w))
        for indices, count in ((top, codes[0]), (bottom, codes[1])):  # the first code and the last occur as well
            indices.view(-1)[:count] = torch.arange(min(count, indices.numel()))
            indices[0, 0, 0], indices[-1, -1, -1] = 0, count - 1
        got = answer.tensor(decoder.parts(), top, bottom, shape=(batch, channels, 4 * h, 4 * w))
        z_top = decoder.codebook_top[top].movedim(-1, 1)
        z_bottom = decoder.codebook_bottom[bottom].movedim(-1, 1)
        joined = torch.cat([decoder.expand(z_top), z_bottom.double()], dim=1)
        right = decoder.paint_image(joined)
        if torch.allclose(got.detach().double(), right, rtol=0, atol=1e-4):
            continue
        if not decoder.seen:
            raise Mistake("parts.decoder is never called.")
        if not any(_same(z, joined) for z in decoder.seen):
            _judge_joined(decoder, top, bottom, joined)
        if torch.allclose(got.detach().double(), right.clamp(0, 1), rtol=0, atol=1e-4):
            raise Mistake(
                "You clip the image. decode returns what the decoder makes, like the package's; whoever shows the "
                "picture clips it."
            )
        raise Mistake(
            "parts.decoder is handed the right map, and you return another image than it made.",
            "Return its result as it is.",
        )


def _judge_joined(decoder: _Decoder, top: Tensor, bottom: Tensor, joined: Tensor) -> None:
    """Say what is wrong with the map that the decoder was handed."""
    batch, dim = len(top), decoder.dim
    rows_top, rows_bottom = decoder.codebook_top[top], decoder.codebook_bottom[bottom]
    z_top, z_bottom = rows_top.movedim(-1, 1), rows_bottom.movedim(-1, 1)
    up, low = decoder.expand(z_top), z_bottom.double()

    def both(first: Tensor, second: Tensor) -> Tensor:
        return torch.cat([first.double(), second.double()], dim=1)

    view_top = decoder.expand(rows_top.reshape(batch, dim, *top.shape[1:]))
    view_bottom = rows_bottom.reshape(batch, dim, *bottom.shape[1:])
    none = torch.zeros_like(up)
    known: list[tuple[Tensor, str, str]] = [
        (both(low, up), "The two levels are in the wrong order: the decoder reads the expanded top first.", ""),
        *(
            (
                both(first, second),
                "The channels of a level are not moved: reshape and view keep the numbers in their old order and mix "
                "places with channels.",
                "Which function moves an axis?",
            )
            for first, second in ((view_top, low), (up, view_bottom), (view_top, view_bottom), (view_bottom, view_top))
        ),
        *(
            (
                both(*pair),
                "The top is enlarged by something other than parts.expand, which has learned how to do it and which "
                "the encoder used when it chose the bottom's codes.",
                "Which part brings the top to the bottom's grid?",
            )
            for enlarged in _enlarged(z_top)
            for pair in ((enlarged, low), (low, enlarged))
        ),
        *((both(*pair), "The bottom's codes do not come in.", "") for pair in ((up, up), (up, none), (none, up))),
        *((both(*pair), "The top's codes do not come in.", "") for pair in ((low, low), (none, low), (low, none))),
    ]
    most = min(len(decoder.codebook_top), len(decoder.codebook_bottom))
    if int(top.max()) < most and int(bottom.max()) < most:
        other_top = decoder.expand(decoder.codebook_bottom[top].movedim(-1, 1))
        other_bottom = decoder.codebook_top[bottom].movedim(-1, 1)
        known += [
            (
                both(first, second),
                "An index is looked up in the codebook of the other level, where its number stands for something else.",
                "Which codebook belongs to which map?",
            )
            for first, second in (
                (other_top, other_bottom),
                (other_top, low),
                (up, other_bottom),
                (other_bottom, other_top),
            )
        ]
    recognise(decoder.seen[-1], known, 1e-4)
    given = decoder.seen[-1]
    if given.shape == joined.shape:
        halves = [_same(g, r) for g, r in zip(given.chunk(2, 1), joined.chunk(2, 1), strict=True)]
        if any(halves):
            level = "bottom" if halves[0] else "top"
            raise Mistake(
                f"What the decoder is handed of the {level} is wrong; the other level is as it should be.",
                "Look up each index in its level's codebook and keep every vector at its place.",
            )
    raise Mistake(
        "What the decoder is handed is not the expanded top followed by the bottom.",
        "Look up each level in its codebook, expand the top, then put the two side by side.",
    )


# What a hierarchy costs

Levels = list[tuple[int, int, int]]


def _bits(levels: Levels, log: Callable[[int], float] = math.log2) -> float:
    return sum(h * w * log(k) for h, w, k in levels)


def _places(levels: Levels) -> int:
    return sum(h * w for h, w, _ in levels)


def _raw(shape: tuple[int, ...], bits: int) -> int:
    return math.prod(shape) * bits


def _ratio(shape: tuple[int, ...], levels: Levels, bits: int = 8) -> float:
    return _raw(shape, bits) / _bits(levels)


def _over(count: Callable[[Levels], float]) -> Callable[..., float]:
    """Return the mistake that the maps of all levels take another number of bits."""
    return lambda shape, levels, bits=8: _raw(shape, bits) / count(levels)


def _of_ratios(gather: Callable[[list[float]], float]) -> Callable[..., float]:
    """Return the mistake that the ratios of the levels are brought together."""
    return lambda shape, levels, bits=8: gather([_ratio(shape, [one], bits) for one in levels])


def _of_pictures(other: Callable[[tuple[int, ...], int], float]) -> Callable[..., float]:
    """Return the mistake that the picture has another number of bits."""
    return lambda shape, levels, bits=8: other(shape, bits) / _bits(levels)


def _changed(change: Callable[[float], float]) -> Callable[..., float]:
    return lambda shape, levels, bits=8: change(_ratio(shape, levels, bits))


hierarchy_ratio = Task(
    _ratio,
    name="hierarchy_ratio",
    points=2,
    tolerance=1e-5,
    narrow=1e-5,
    otherwise=lambda got, shape, levels, bits=8: f"For an image {shape} and levels {levels} you find {got:.3f}.",
    hint="The bits of the picture, divided by the sum of the bits of all maps.",
)


@hierarchy_ratio.inputs
def _hierarchies() -> Iterator[tuple]:
    yield (3, 40, 56), [(4, 7, 100), (10, 13, 300)]  # not of the shape of the picture, lest h h passes for H H
    yield (1, 48, 80), [(3, 5, 700), (6, 10, 64), (12, 20, 20)], 12
    yield (4, 24, 36), [(6, 9, 1000)], 16
    yield (3, 256, 256), [(32, 32, 512), (64, 64, 512)], 8
    yield (3, 1024, 1024), [(32, 32, 512), (64, 64, 512), (128, 128, 512)]


hierarchy_ratio.mistakes(
    {
        "You count one level only; all maps have to be sent.\nThe decoder needs every one of them.": (
            _over(lambda levels: _bits(levels[:1])),
            _over(lambda levels: _bits(levels[-1:])),
        ),
        "One of the levels is missing; all maps have to be sent.\nIs the last one, or the first, left out?": (
            _over(lambda levels: _bits(levels[:2])),
            _over(lambda levels: _bits(levels[1:] or levels)),
            _over(lambda levels: _bits(levels[:-1] or levels)),
        ),
        "You average the ratios of the levels. Ratios do not average: the bits add up.": _of_ratios(
            lambda ratios: sum(ratios) / len(ratios)
        ),
        "You add up the ratios of the levels: so two maps would be cheaper than one.\nWhat adds up?": _of_ratios(sum),
        "You multiply over the levels. Two messages together have the sum of their bits.": (
            _over(lambda levels: math.prod(_bits([one]) for one in levels)),
            _of_ratios(math.prod),
            _over(lambda levels: math.prod(h * w for h, w, _ in levels) * sum(math.log2(k) for *_, k in levels)),
        ),
        "You leave out the channels of the picture: each pixel has C numbers.": _of_pictures(
            lambda shape, bits: _raw(shape[1:], bits)
        ),
        "You take the picture for a square: it has H times W pixels.": (
            _of_pictures(lambda shape, bits: shape[0] * shape[1] ** 2 * bits),
            _of_pictures(lambda shape, bits: shape[0] * shape[2] ** 2 * bits),
        ),
        "You measure the indices in nats; the picture is measured in bits.\nWhich base has the logarithm?": _over(
            lambda levels: _bits(levels, math.log)
        ),
        "The logarithm has base 10; bits need base 2.": _over(lambda levels: _bits(levels, math.log10)),
        "The number of bits is always 8, whatever bits says.": lambda shape, levels, bits=8: _ratio(shape, levels),
        "The numbers of the raw picture have bits, too.\nThe default is 8.": _of_pictures(
            lambda shape, bits: math.prod(shape)
        ),
        "You take K bits for an index; how many bits tell K numbers apart?": _over(
            lambda levels: _bits(levels, lambda k: k)
        ),
        "You divide numbers by indices; compare the bits they take.\nAn index has log2 K bits.": (
            lambda shape, levels, bits=8: math.prod(shape) / _places(levels),
            _over(_places),
        ),
        "You count the bits of the integers in memory (32 or 64); an index below K needs fewer.": tuple(
            _over(lambda levels, size=size: size * _places(levels)) for size in (8, 16, 32, 64)
        ),
        "You round the bits of an index; several indices can share theirs.\nLeave the logarithm as it is.": (
            _over(lambda levels: _bits(levels, lambda k: math.ceil(math.log2(k)))),
            _over(lambda levels: _bits(levels, lambda k: math.floor(math.log2(k)))),
            _over(lambda levels: _bits(levels, int.bit_length)),
        ),
        "You take one K for all levels; each has its own.": (
            _over(lambda levels: _places(levels) * math.log2(levels[0][2])),
            _over(lambda levels: _places(levels) * math.log2(levels[-1][2])),
            _over(lambda levels: _places(levels) * sum(math.log2(k) for *_, k in levels) / len(levels)),
        ),
        "You count every level on the finest grid. The top is enlarged by the decoder, after it has been sent.\nHow "
        "many indices does a level have?": _over(
            lambda levels: max(h * w for h, w, _ in levels) * sum(math.log2(k) for *_, k in levels)
        ),
        "You count as many indices as h or w squared; a map need not be square.": (
            _over(lambda levels: _bits([(h, h, k) for h, _, k in levels])),
            _over(lambda levels: _bits([(w, w, k) for _, w, k in levels])),
        ),
        "This is the inverse: how large the message is compared with the picture.": (
            _changed(lambda ratio: 1 / ratio),
            _changed(lambda ratio: 100 / ratio),
        ),
        "These are bits; how many times fewer are there than in the picture?": lambda shape, levels, bits=8: _bits(
            levels
        ),
        "This is the share of bits that is saved; how many times fewer bits are there?": (
            _changed(lambda ratio: 1 - 1 / ratio),
            _changed(lambda ratio: 100 * (1 - 1 / ratio)),
        ),
    }
)


@hierarchy_ratio.unless
def _nearly(got: float, shape: tuple[int, ...], levels: Levels, bits: int = 8) -> None:
    if close(got, _ratio(shape, levels, bits), 0.06):
        raise Mistake(f"You find {got:.3f}, near the right number and not equal to it.", "Is something rounded?")


# Which of two maps is the top


class _Experiment(NamedTuple):
    """One call of ``decode``: codes changed per level (in the busiest image), and how far each pixel moved."""

    changed: list[int]
    moved: Tensor


MOST_CALLS = 3000  # of decode; far more than all places, codes and images one by one


class _Fake:
    """A decoder in which one code of the top moves many pixels, one of the bottom few.

    If it is ``quiet``, two of five images ignore their top, and both maps begin with a code that has a twin. If it
    ``rounds``, every change moves every pixel by what a rounding error would. A ``core`` is what a code of the top adds
    to a few pixels in the middle of its patch; ``overlap`` says how many tiles wide a patch of the bottom is. If it
    ``falls``, any other code of the top makes pixels darker, and any other of the bottom makes them brighter.
    """

    def __init__(
        self,
        first: int,
        shapes: tuple[tuple[int, int, int], ...],
        weak: float = 2.0,
        strong: float = 0.5,
        quiet: bool = False,
        rounds: bool = True,
        core: float = 0.0,
        overlap: float = 1.0,
        falls: bool = False,
    ):
        self.first, self.shapes = first, list(shapes)  # first: the position of the top in the list
        self.codes, self.size = 5, 24
        self.amplitudes = (weak, strong)
        self.quiet, self.rounds, self.core, self.overlap = quiet, rounds, core, overlap
        self.tables = [torch.rand(self.codes).double() + torch.arange(self.codes) * 1.5 for _ in range(2)]
        self.original = [torch.randint(2 if quiet else 1, self.codes, shape) for shape in shapes]
        if falls:
            self.original[first].fill_(self.codes - 1)
            self.original[1 - first].zero_()
        for table, one in zip(self.tables, self.original, strict=True):
            if quiet:
                table[1] = table[0]
                one[:, 0, 0] = 0
            table /= table.max()
        self.decoded: list[tuple[list[Tensor], Tensor]] = []

    def numbers(self, maps: list[Tensor]) -> Tensor:
        """Return which of the original images each pair of maps comes from: that which it differs least from."""
        differs = [(one[:, None] != own).flatten(2).sum(dim=2) for one, own in zip(maps, self.original, strict=True)]
        return (differs[0] + differs[1]).argmin(dim=1)

    def _level(self, values: Tensor, half: tuple[float, float], amplitude: float) -> Tensor:
        """Paint each value as a patch around its place."""
        _, h, w = values.shape
        pixels = torch.arange(self.size) + 0.5
        centre_y, centre_x = (torch.arange(h) + 0.5) / h * self.size, (torch.arange(w) + 0.5) / w * self.size
        near_y = ((pixels[:, None] - centre_y).abs() <= half[0]).double()
        near_x = ((pixels[:, None] - centre_x).abs() <= half[1]).double()
        return amplitude * torch.einsum("bij,yi,xj->byx", values, near_y, near_x)

    def picture(self, maps: list[Tensor]) -> Tensor:
        """Decode (B, h, w) maps to (B, 2, H, W)."""
        top, low = self.tables[0][maps[self.first]], self.tables[1][maps[1 - self.first]]
        if self.quiet:
            top = top * (self.numbers(maps) >= 2)[:, None, None]
        half = self.size / 2 * self.overlap  # without overlap the bottom's patches just meet
        tile = (half / low.shape[1], half / low.shape[2])
        painted = self._level(top, (9.0, 9.0), self.amplitudes[0]) + self._level(low, tile, self.amplitudes[1])
        if self.core:
            painted = painted + self._level(top, (1.0, 1.0), self.core)
        rounding = (4e-5 if self.rounds else 0.0) * (top.sum(dim=(1, 2)) + 1.7 * low.sum(dim=(1, 2)))
        return torch.stack([painted, 0.5 * painted.flip(2)], dim=1) + rounding[:, None, None, None]

    def decode(self, *given: Any) -> Tensor:
        """Decode for the learner, who may hand anything in."""
        maps = given[0] if len(given) == 1 else given
        if not isinstance(maps, tuple | list) or len(maps) != 2 or not all(isinstance(m, Tensor) for m in maps):
            raise Mistake("decode takes a list of two index maps, in the order they were given.")
        for one, shape in zip(maps, self.shapes, strict=True):
            if one.ndim != 3 or one.shape[1:] != shape[1:] or len(one) != len(maps[0]):
                raise Mistake(
                    f"decode is handed maps of shapes {[tuple(m.shape) for m in maps]}; the maps you were given have "
                    f"{self.shapes}.",
                    "It takes whole maps, of equally many images.",
                )
            if one.is_floating_point():
                raise Mistake("decode is handed a map of floats; indices are integers.")
            if one.numel() and not 0 <= int(one.min()) <= int(one.max()) < self.codes:
                raise Mistake(
                    f"decode is handed indices from {int(one.min())} to {int(one.max())}; they run from 0 to "
                    "num_codes - 1.",
                    "What comes after the last code?",
                )
        let_time_begin_anew()
        if len(self.decoded) >= MOST_CALLS:
            raise Mistake(f"You call decode more than {MOST_CALLS} times.", "Does your loop come to an end?")
        maps = [one.long().clone() for one in maps]
        image = self.picture(maps)
        self.decoded.append((maps, image))
        return image.float()

    @cached_property
    def tests(self) -> list[_Experiment]:
        """What was decoded, once the answer is there, compared with the original maps, image by image."""
        before, tests = self.picture(self.original), []
        for maps, image in self.decoded:
            own = self.numbers(maps)
            pairs = zip(maps, self.original, strict=True)
            changed = [int((new != old[own]).sum(dim=(1, 2)).max()) for new, old in pairs]
            tests.append(_Experiment(changed, (image.float() - before[own].float()).abs()))  # as the learner sees it
        return tests


@exercise(points=3)
def which_level(answer: Answer) -> None:
    """Judge ``which_level(decode, maps, num_codes)``: the position of the map whose one code moves more pixels."""
    outcomes: list[tuple[_Fake, int]] = []
    for fake in (
        _Fake(0, ((4, 3, 5), (4, 3, 5)), rounds=False),
        _Fake(1, ((4, 5, 3), (4, 5, 3))),
        _Fake(1, ((3, 6, 4), (3, 3, 2))),
        _Fake(1, ((3, 4, 5), (3, 4, 5)), falls=True),
        _Fake(0, ((3, 2, 2), (3, 8, 7)), overlap=2.0),  # all places of the bottom together move more
        _Fake(1, ((4, 4, 3), (4, 4, 3)), weak=0.02, strong=9.0),
        _Fake(0, ((4, 3, 4), (4, 3, 4)), weak=0.02, strong=9.0),
        _Fake(0, ((4, 4, 3), (4, 4, 3)), weak=0.0015, strong=9.0),
        _Fake(1, ((3, 3, 4), (3, 3, 4)), weak=0.02, strong=2.0, core=3.0),
        _Fake(0, ((5, 3, 5), (5, 3, 5)), weak=0.05, strong=4.0, quiet=True),
        _Fake(1, ((5, 4, 3), (5, 4, 3)), weak=0.05, strong=4.0, quiet=True),
    ):
        got = answer.number(fake.decode, [one.clone() for one in fake.original], fake.codes)
        if got not in (0.0, 1.0):
            raise Mistake(f"The position of the top in the list is asked for, 0 or 1; you return {got:g}.")
        outcomes.append((fake, int(got)))
    if not any(fake.decoded for fake, _ in outcomes):
        raise Mistake(
            "You never call decode. The maps alone do not say which is which; here they may be equally large.",
            "Make an experiment: change something, decode, compare.",
        )
    wrong = [fake for fake, got in outcomes if got != fake.first]
    if wrong:
        _judge_experiments(outcomes, wrong)


def _judge_experiments(outcomes: list[tuple[_Fake, int]], wrong: list[_Fake]) -> None:
    for fake in wrong:
        _judge_changes(fake)
    if len(wrong) == len(outcomes):
        raise Mistake(
            "In every case you return the position of the other map, the bottom.",
            "Of which level does one code move more pixels?",
        )
    for fake in wrong:
        of_top = [test.moved for test in fake.tests if _alone(test, fake.first)]
        if of_top and max(float(moved.max()) for moved in of_top) < 1e-4:
            raise Mistake(
                "In none of your experiments with one of the maps did anything move beyond rounding: that image "
                "ignores that level, or the new code is a twin of the old one.",
                "Try several images, places and new codes before you judge.",
            )
    if any(
        _agrees(outcomes, lambda moved, high=high: float((moved > high).double().mean()))
        for high in (0, 1e-7, 1e-6, 1e-5)
    ):
        raise Mistake(
            "You count pixels that move by a rounding error: there is no tolerance, or it is too small. By rounding, "
            "every pixel of these pictures moves a little, with either level.",
            "Only more than 1e-4 counts.",
        )
    if any(_agrees(outcomes, lambda moved, high=high: float((moved > high).double().mean())) for high in (1e-3, 1e-2)):
        raise Mistake(
            "Your tolerance is too large: where a code of the top moves its pixels by very little, you count none of "
            "them.",
            "Anything more than 1e-4 counts.",
        )
    if _agrees(outcomes, lambda moved: float((moved > 1e-4).double().sum()), sum):
        raise Mistake(
            "You add up over all places of a map, and where the bottom has many more places than the top, you take it "
            "for the top. The reach of one code is asked for.",
            "How many codes did you change, one after another?",
        )
    shares = (0.5, 0.3, 0.2, 0.1, 0.05, 0.01)
    if any(_agrees(outcomes, lambda moved, s=s: float((moved > s * moved.max()).double().mean())) for s in shares):
        raise Mistake(
            "You count the pixels that move by more than a share of the largest change. Where a code of the top moves "
            "a few pixels by much and all others by little, the others are forgotten.",
            "A pixel has moved if it moves by more than 1e-4, however much another one moves.",
        )
    sizes: list[Callable[[Tensor], float]] = [
        lambda moved: float(moved.mean()),
        lambda moved: float(moved.square().mean()),
        lambda moved: float(moved.max()),
    ]
    if any(_agrees(outcomes, size) for size in sizes):
        raise Mistake(
            "Where the bottom moves few pixels by much and the top many pixels by little, you take the bottom for the "
            "top: you compare how strongly the picture changes, not how much of it.",
            "Count pixels that have moved at all, beyond rounding.",
        )
    if len({got for _, got in outcomes}) == 1:
        raise Mistake(
            f"You return {outcomes[0][1]} in every case, whichever map is the top.",
            "Do the two levels come out equal? By rounding, every pixel of these pictures moves a little; only more "
            "than 1e-4 counts.",
        )
    raise Mistake(
        f"In {len(wrong)} of {len(outcomes)} cases you name the wrong map.",
        "Change one code, count the pixels that move by more than 1e-4, and do so at several places, in several "
        "images, with several codes, before you compare the levels.",
    )


def _alone(test: _Experiment, level: int) -> bool:
    """Whether codes of this level alone were changed."""
    return test.changed[level] > 0 and test.changed[1 - level] == 0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _agrees(
    outcomes: list[tuple[_Fake, int]],
    size: Callable[[Tensor], float],
    gather: Callable[[list[float]], float] = _mean,
) -> bool:
    """Whether every outcome is the level whose experiments changed the picture more, by some measure of size."""
    first, last = [], []  # what is found if of two equal levels the first is returned, or the last
    for fake, _ in outcomes:
        of = [[size(test.moved) for test in fake.tests if _alone(test, level)] for level in range(2)]
        if not all(of):
            return False
        first.append(int(gather(of[1]) > gather(of[0])))
        last.append(int(gather(of[1]) >= gather(of[0])))
    return [got for _, got in outcomes] in (first, last)


def _judge_changes(fake: _Fake) -> None:
    """Say what is wrong with the changes that were tried."""
    tests = fake.tests
    if not tests:
        return
    most = [max(test.changed[level] for test in tests) for level in range(2)]
    if most == [0, 0]:
        raise Mistake(
            "No map that you decode differs from those you were given: a code is replaced by itself, or the change is "
            "lost.",
            "Is the changed copy the one you decode?",
        )
    if 0 in most:
        raise Mistake(
            f"You change codes of the map at position {1 - most.index(0)} alone; how far a code of the other one "
            "reaches stays unknown.",
            "Compare both.",
        )
    together = [test for test in tests if all(test.changed)]
    steps = [
        [not torch.equal(new, old) for new, old in zip(after, before, strict=True)]
        for (before, _), (after, _) in itertools.pairwise(fake.decoded)
        if len(before[0]) == len(after[0])
    ]
    if len(together) == sum(any(test.changed) for test in tests) and all(all(step) or not any(step) for step in steps):
        raise Mistake(
            "You change both maps at the same time, so nobody can say which of them moved a pixel.",
            "One change at a time.",
        )
    for level in range(2):
        if together and not any(_alone(test, level) for test in tests):
            raise Mistake(
                f"Whenever you change the map at position {level}, the other one is still changed from before.",
                "Begin each experiment with the maps as they were given.",
            )
    for level, old in enumerate(fake.original):
        fewest = min((test.changed[level] for test in tests if _alone(test, level)), default=0)
        if fewest <= 0.4 * old[0].numel():
            return
    raise Mistake(
        "You replace all codes of a level at once, or most of them. Either level then moves pixels everywhere, and "
        "nothing is learned about the reach of one code.",
        "Change a single code of an image.",
    )


# The price of doing without


def _fewest(levels: Levels, grid: tuple[int, int]) -> int:
    """Return the right number, found with Python's integers, which are exact and have no end."""
    product = math.prod(k ** (h * w) for h, w, k in levels)
    right = max(1, math.floor(_codes(levels, grid)) - 2)
    while right ** math.prod(grid) < product:
        right += 1
    return right


def _codes(levels: Levels, grid: tuple[int, int]) -> float:
    """Return the right number before it is rounded up."""
    return 2 ** (_bits(levels) / math.prod(grid))


def _up(codes: float) -> int:
    return math.ceil(codes - 1e-9)


flat_codes = Task(
    _fewest,
    name="flat_codes",
    points=2,
    tolerance=1e-9,
    narrow=1e-9,
    later=20,  # all of them
    otherwise="These are not the fewest codes.",
)


@flat_codes.inputs
def _grids() -> Iterator[tuple[Levels, tuple[int, int]]]:
    yield [(2, 3, 64), (4, 6, 48)], (4, 6)
    yield [(3, 4, 50), (6, 8, 100)], (6, 8)
    yield [(2, 5, 30), (4, 10, 12), (8, 20, 5)], (8, 20)
    yield [(2, 3, 200), (4, 6, 10)], (5, 7)
    yield [(4, 4, 8), (8, 8, 2)], (4, 12)
    yield [(4, 4, 256), (8, 8, 16)], (8, 8)  # here and in the next, nothing is to be rounded
    yield [(3, 5, 32)], (3, 5)
    yield [(1, 1, 101), (1, 1, 3541), (1, 1, 27961)], (1, 2)  # the root of 10^10 + 1, so hardly more than 10^5


flat_codes.mistakes(
    {
        "You round down, and a flat map of so many codes holds fewer bits.": lambda levels, grid: math.floor(
            _codes(levels, grid) + 1e-9
        ),
        "You round to the nearest whole number; where that is the one below, the flat map holds fewer bits.\nWhich "
        "whole number holds enough bits?": lambda levels, grid: round(_codes(levels, grid)),
        "You add up the codes of the levels. It is the bits that add up.\nAnd bits are logarithms of K.": (
            lambda levels, grid: sum(k for *_, k in levels)
        ),
        "You multiply the codes of the levels, as if each place of the flat map had a code of every level to itself.\n"
        "How many places share one code of the top?": lambda levels, grid: math.prod(k for *_, k in levels),
        "You take the largest K of the levels; what the others say has to fit in as well.": lambda levels, grid: max(
            k for *_, k in levels
        ),
        "A number of codes is a whole number.\nWhich whole number holds enough bits?": _codes,
        "These are the bits of an index; how many codes do so many bits tell apart?": (
            lambda levels, grid: _bits(levels) / math.prod(grid),
            lambda levels, grid: math.ceil(_bits(levels) / math.prod(grid)),
        ),
        "You round the bits of an index up before you turn them into codes.\nRound at the very end.": (
            lambda levels, grid: 2 ** math.ceil(_bits(levels) / math.prod(grid))
        ),
        "These are the bits of all maps together; how many codes does a place of the flat map need?": (
            lambda levels, grid: _bits(levels),
            lambda levels, grid: math.ceil(_bits(levels)),
        ),
        "The powers of 2 and e are mixed up: log2 belongs to 2, log to e.": (
            lambda levels, grid: math.ceil(2 ** (_bits(levels, math.log) / math.prod(grid))),
            lambda levels, grid: math.ceil(math.exp(_bits(levels) / math.prod(grid))),
        ),
        "You leave out how many places each level has.\nA level costs h·w·log2 K bits.": (
            lambda levels, grid: _up(2 ** (sum(math.log2(k) for *_, k in levels) / math.prod(grid))),
            lambda levels, grid: _up(2 ** (sum(math.log2(k) for *_, k in levels) / len(levels))),
        ),
        "The flat map has the grid that is asked for, not that of the lowest level.": lambda levels, grid: _up(
            _codes(levels, levels[-1][:2])
        ),
        "You spread the bits over the places of all levels; the flat map has those of its own grid.": (
            lambda levels, grid: _up(_codes(levels, (1, _places(levels))))
        ),
    }
)


@flat_codes.unless
def _by_how_much(got: float, levels: Levels, grid: tuple[int, int]) -> None:
    right, found = _fewest(levels, grid), f"For levels {levels} on a grid {grid} you find {got:g}"
    if got == right + 1 and math.isclose(_codes(levels, grid), right, rel_tol=1e-9):
        raise Mistake(
            f"{found}; one code fewer holds exactly as many bits. Where nothing is left over, no code is to be added.",
            "At least as many: does that include equally many? And may a rounding error come in before you round up?",
        )
    if got == right - 1:
        raise Mistake(f"{found}; a flat map of so many codes holds fewer bits.", "How is it rounded?")
    if got == right + 1:
        raise Mistake(f"{found}; one code fewer would do.", "How is it rounded?")
    raise Mistake(f"{found}.", "As many bits on one grid: what does each of its places have to hold?")
