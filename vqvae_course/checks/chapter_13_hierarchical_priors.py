"""Checks of notebook 13: causal attention, a condition from above, joint nats, rejection, a distance of features."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.checks.answer import Answer, Mistake, kind
from vqvae_course.checks.compare import meant
from vqvae_course.checks.read import number, tensor
from vqvae_course.checks.report import exercise
from vqvae_course.checks.task import Task

# Causal attention


def _past(places: int) -> Tensor:
    return torch.ones(places, places, dtype=torch.bool).tril(-1)


def _attention(scores: Tensor, allowed: Tensor | None = None, dim: int = -1) -> Tensor:
    """Return the right weights: a softmax over the allowed entries, 0 where there are none."""
    allowed = (_past(scores.shape[1]) if allowed is None else allowed).expand(scores.shape)
    inside = torch.where(allowed, scores, -math.inf).where(allowed.any(dim=dim, keepdim=True), 0.0)
    return inside.softmax(dim) * allowed


def _weights(value: Any) -> tuple[Tensor, ...]:
    (got,) = tensor(value)
    if not got.dtype.is_floating_point:
        raise Mistake(f"Your function returns {got.dtype}; weights are floating-point numbers.")
    bad = ~got.isfinite()
    if bad.any() and got.ndim == 3 and bad[:, 0].any() and not bad[:, 1:].any():
        raise Mistake(
            "The first row is not a number: nothing comes before the first position, and a softmax over nothing "
            "divides 0 by 0.",
            "What is the first row to be?",
        )
    if bad.any():
        raise Mistake("The weights hold infinite numbers or NaN.", "Look for 0 divided by 0, or e to a large power.")
    return (got,)


causal_attention_mask = Task(
    _attention,
    name="causal_attention_mask",
    points=2,
    reads=_weights,
    tolerance=1e-5,
    zero=1e-6,
    gradients=("scores",),
    otherwise="Within a row the weights are not the softmax of the scores of earlier positions.",
    hint="Two allowed entries whose scores differ by s have weights with the ratio e^s.",
)


@causal_attention_mask.inputs
def _scores() -> Iterator[tuple[Tensor]]:
    for batch, places in ((2, 5), (3, 7), (1, 4), (4, 3), (3, 1), (1, 2)):
        yield ((1.5 * torch.randn(batch, places, places) + torch.randn(batch, 1, 1)).requires_grad_(),)


def _seen(scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return scores, what may be seen, that and oneself, the first row as a column of ones and zeros, and oneself."""
    past, eye = _past(scores.shape[1]), torch.eye(scores.shape[1])
    return scores, past, past | (eye > 0), eye[:, :1], eye


causal_attention_mask.mistakes(
    {
        "Nothing is hidden: this is the softmax over all positions, later ones included.\nWhere does j < i come in?": (
            lambda s, past, upto, first, eye: s.softmax(2)
        ),
        "Each position attends to itself as well. In a prior, what stands there is what is to be predicted.\nStrictly "
        "before: j < i.": (
            lambda s, past, upto, first, eye: _attention(s, upto),
            lambda s, past, upto, first, eye: _attention(s, upto) * (1 - first),
        ),
        "The first row is spread over all positions, later ones and itself included. Nothing comes before the first "
        "position, so it is to attend to nothing.\nA softmax of equal numbers is uniform, however small they are.": (
            lambda s, past, upto, first, eye: _attention(s) + first / len(past)
        ),
        "The first position attends to itself. It has no past, and the row is to be 0: what stands there is what is to "
        "be predicted.\nWhat is left over for the first row?": (
            lambda s, past, upto, first, eye: _attention(s) + first * eye
        ),
        "Row i attends to the columns after it: the mask is the upper triangle, and the arrow of time is reversed."
        "\nWhich index is the one that looks, and which one is looked at?": (
            lambda s, past, upto, first, eye: _attention(s, past.T),
            lambda s, past, upto, first, eye: _attention(s, upto.T),
            lambda s, past, upto, first, eye: _attention(s, past.T) * (1 - first),
        ),
        "Your result is transposed: column i holds the weights of position i.\nRow i looks, column j is looked at.": (
            lambda s, past, upto, first, eye: _attention(s).transpose(1, 2)
        ),
        "The scores are transposed before the softmax.\nRow i looks, column j is looked at.": (
            lambda s, past, upto, first, eye: _attention(s.transpose(1, 2)),
            lambda s, past, upto, first, eye: _attention(s.transpose(1, 2), upto),
        ),
        "The softmax runs down the columns: it shares a position among those that look at it. The weights of one that "
        "looks, a row, are to add up to 1.\nWhich axis?": (
            lambda s, past, upto, first, eye: _attention(s, dim=1),
            lambda s, past, upto, first, eye: s.softmax(1) * past,
        ),
        "The softmax runs over the batch.\nWhich axis?": (
            lambda s, past, upto, first, eye: s.softmax(0) * past,
            lambda s, past, upto, first, eye: s.softmax(0),
        ),
        "You hide the future after the softmax, and so the rows no longer add up to 1: the share of what was hidden is "
        "lost.\nHide before the softmax, or divide by what is left.": (
            lambda s, past, upto, first, eye: s.softmax(2) * past,
            lambda s, past, upto, first, eye: s.softmax(2) * upto,
        ),
        "Hidden scores are set to 0 before the softmax. A score of 0 is not a weight of 0: e^0 is 1.\nWhich score has "
        "the weight 0?": lambda s, past, upto, first, eye: (s * past).softmax(2),
        "Hidden scores are set to 0 before the softmax and take a part of the weight, since e^0 is 1; setting their "
        "weights to 0 afterwards does not give it back.\nWhich score has the weight 0?": (
            lambda s, past, upto, first, eye: (s * past).softmax(2) * past
        ),
        "The position just before is hidden as well. It has been drawn already, and tells most.\nStrictly before: j < "
        "i, and i - 1 is.": lambda s, past, upto, first, eye: _attention(s, past.tril(-2)),
        "The scores are divided by a square root again.\nThey come ready for the softmax.": (
            lambda s, past, upto, first, eye: _attention(s / math.sqrt(len(past)))
        ),
        "You return the logarithm of the weights.\nsoftmax, not log_softmax.": (
            lambda s, past, upto, first, eye: _attention(s).log().nan_to_num(neginf=0.0)
        ),
    },
    of=_seen,
)


@causal_attention_mask.unless
def _rows(got: Tensor, scores: Tensor) -> None:
    batch, places = scores.shape[:2]
    if got.shape != scores.shape:
        raise Mistake(
            f"Your function returns shape {tuple(got.shape)}; it is to be that of the scores.",
            "There is no column for nothing." if got.shape == (batch, places, places + 1) else "",
        )
    if places > 2 and _is_shifted(got, _attention(scores.detach().double())):
        raise Mistake(
            "The columns are shifted by one place: column j holds the weight of position j - 1, as if the scores had "
            'a column for "nothing" in front.',
            "Column j of the weights belongs to position j, as in the scores, and there is no column for nothing.",
        )
    itself = torch.eye(places, dtype=torch.bool)
    if bool((got != 0)[:, ~_past(places) & ~itself].any()):
        raise Mistake(
            "Some weights of later positions, j > i, are not exactly 0: a position sees codes that are drawn after it.",
            "After the softmax the weights of what is hidden have to be 0, whatever the scores are.",
        )
    if bool((got != 0)[:, itself][:, 1:].any()):
        raise Mistake(
            "Some weights of a position for itself are not exactly 0. What stands there is what is to be predicted.",
            "Strictly before: j < i.",
        )
    if bool((got[:, 0] != 0).any()):
        raise Mistake(
            "The first row is not 0. Nothing comes before the first position, so it attends to nothing.",
            "A row without allowed entries needs care of its own.",
        )
    if (got < 0).any():
        raise Mistake("Some weights are negative; a softmax is not.", "Is it the logarithm of one?")
    if float((got[:, 1:].sum(dim=2) - 1).abs().max()) > 1e-4:
        raise Mistake(
            "The weights of a row do not add up to 1.", "A softmax over the allowed entries alone adds up to 1."
        )


def _is_shifted(got: Tensor, right: Tensor) -> bool:
    """Whether columns 1, 2, ... hold what belongs into columns 0, 1, ..., up to a share that column 0 takes."""
    moved = got[:, 1:, 1:]
    total = moved.sum(dim=2, keepdim=True)
    return bool((total > 0).all()) and torch.allclose(moved / total, right[:, 1:, :-1], atol=1e-5)


@causal_attention_mask.further
def _exact_zeros(answer: Answer) -> None:
    scores = torch.randn(2, 6, 6)
    _rows(answer.tensor(scores, shape=scores.shape), scores)


@causal_attention_mask.further
def _extremes(answer: Answer) -> None:
    noise, past = 3 * torch.randn(2, 6, 6), _past(6)
    small = "Smaller than any score: -inf, or the smallest number of the dtype."
    float16 = "The largest number of float16 is 65504. Which number stands for minus infinity in every dtype?"
    low16 = (
        "The smallest number of float16 is -65504, and whatever is far below it becomes -inf. A row of -inf alone has "
        "no softmax."
    )
    for what, scores, hint in (
        ("in the hundreds", 100 * noise, small),
        ("near -100000", noise - 1e5, small),
        ("near 100000", noise + 1e5, small),
        ("near -100000 for earlier positions, and near 0 for those that are to be hidden", noise - 1e5 * past, small),
        (
            "near -90 for earlier positions, and near 90 for those that are to be hidden",
            noise + 90 - 180 * past.int(),
            small,
        ),
        ("in float16", (8 * torch.randn(2, 6, 6)).half(), float16),
        ("near -1000 in float16", (noise - 1000).half(), low16),
        ("near 1000 in float16", (noise + 1000).half(), float16),
    ):
        half = ", as attention computes them on a graphics card" * (scores.dtype == torch.float16)
        where = f"With scores {what}{half}"
        try:
            (got,) = _weights(answer(scores))
        except Mistake as mistake:
            raise Mistake(f"{where}: {mistake.message}", hint if half else mistake.hint) from mistake
        if bool((got != 0)[:, ~past].any()):
            raise Mistake(
                f"{where}, hidden positions get a weight. The number that you put in their place is not small enough.",
                hint,
            )
        if not torch.allclose(got.double(), _attention(scores.double()), atol=5e-3 if half else 1e-3):
            raise Mistake(
                f"{where}, the weights are wrong: something rounds to 0 or overflows, or digits are lost in a "
                "difference of large numbers, or what stands in the place of hidden scores is not small enough.",
                hint
                if half
                else "If hidden scores enter the softmax and are taken out afterwards, nothing may be left of them.",
            )


# A condition from above


class _Told(nn.Module):
    """A prior that checks what it is told, and remembers the condition."""

    def __init__(self, codes: int, channels: int, indices: Tensor, above: Tensor):
        super().__init__()
        self.table = nn.Parameter(torch.randn(codes, codes))
        self.read = nn.Parameter(torch.randn(codes, channels))
        self.indices, self.above, self.channels = indices, above, channels
        self.condition: Tensor | None = None

    def forward(self, indices: Tensor, labels: Any = None, condition: Any = None) -> Tensor:
        """Return logits in which every number of the condition counts."""
        if not isinstance(indices, Tensor) or indices.shape != self.indices.shape:
            seen = tuple(indices.shape) if isinstance(indices, Tensor) else kind(indices)
            raise Mistake(
                f"The first argument of the prior is {seen}; it is to be the bottom's indices, "
                f"{tuple(self.indices.shape)}.",
                "prior(indices, labels, condition).",
            )
        if not torch.equal(indices, self.indices):
            raise Mistake("The prior gets other indices than those it is to judge.", "Hand indices on as they are.")
        if labels is not None:
            if condition is None and isinstance(labels, Tensor) and labels.is_floating_point():
                raise Mistake(
                    "The condition arrives as the prior's second argument, which is the labels.",
                    "prior(indices, labels, condition): there are no labels here.",
                )
            raise Mistake(
                "The prior gets labels. There are none here: the map above comes in as the condition.",
                "prior(indices, labels, condition).",
            )
        self._refuse_condition(condition)
        self.condition = condition
        own = F.embedding(indices, self.table).movedim(-1, 1)
        return own + torch.einsum("kc,bchw->bkhw", self.read, condition)

    def _refuse_condition(self, condition: Any) -> None:
        if condition is None:
            raise Mistake(
                "The prior gets no condition, so the map above does not matter.", "prior(indices, labels, condition)."
            )
        if not isinstance(condition, Tensor):
            raise Mistake(f"The condition is {kind(condition)}; a tensor is asked for.")
        batch, height, width = self.indices.shape
        upper_height, upper_width = self.above.shape[1:]
        if condition.shape != (batch, self.channels, height, width):
            shape, hint = tuple(condition.shape), "Embed: (B, h', w', C). Channels first: (B, C, h', w'). Then repeat."
            if condition.ndim == 4 and shape == (batch, height, width, self.channels):
                hint = "An embedding has its numbers on the last axis; a convolution wants them on axis 1."
            elif shape == (batch, self.channels, upper_height, upper_width):
                hint = (
                    "It still has the grid of the map above. How many cells of the bottom lie below one of its cells?"
                )
            elif shape in _transposed_shapes(self.indices, self.above, self.channels):
                hint = "The map is transposed: rows have become columns. An embedding is (B, h', w', C)."
            elif shape == (batch, 1, height, width) or shape == (batch, height, width):
                hint = "Names of codes are not quantities: code 7 is not more than code 3. Look them up in embed."
            elif condition.ndim == 4 and shape[:2] == (batch, self.channels):
                hint = "Rows and columns have a factor each: h / h' down, w / w' across."
            raise Mistake(
                f"The condition has shape {shape}; (B, C, h, w) is asked for, here "
                f"{(batch, self.channels, height, width)}.",
                hint,
            )
        if not condition.is_floating_point():
            raise Mistake(f"The condition is {condition.dtype}; embedded codes are floats.", "Use embed.")


def _transposed_shapes(indices: Tensor, above: Tensor, channels: int) -> list[tuple[int, ...]]:
    """Return the shapes of a condition that has rows and columns exchanged, unless they are right."""
    (batch, height, width), (rows, columns) = indices.shape, above.shape[1:]
    return [(batch, channels, columns * (height // rows), rows * (width // columns)), (batch, channels, width, height)]


@exercise(points=3)
def conditional_prior(answer: Answer) -> None:
    """Judge ``conditional_prior(prior, embed, mix, indices, above)``: embed, mix without a mask, repeat, ask."""
    for batch, channels, rows, columns, down, across, depth in (
        (5, 3, 2, 4, 2, 3, 2),
        (4, 4, 3, 2, 3, 1, 1),
        (1, 5, 4, 3, 1, 2, 3),
        (2, 3, 3, 5, 2, 2, 2),
        (3, 2, 1, 3, 4, 2, 2),
    ):
        codes, codes_above = channels + 3, channels + 6
        indices = torch.randint(codes, (batch, rows * down, columns * across))
        above = torch.randint(codes_above, (batch, rows, columns))
        prior = _Told(codes, channels, indices, above)
        embed = nn.Embedding(codes_above, channels)
        mix = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth)]
        parts = nn.ModuleList([embed, *mix])
        before = {name: value.clone() for name, value in parts.state_dict().items()}
        got = answer.tensor(prior, embed, mix, indices, above, shape=(batch, codes, *indices.shape[1:]))
        if any(not torch.equal(value, before[name]) for name, value in parts.state_dict().items()):
            raise Mistake("Calling your function changes the weights of embed or of mix.", "It is to use them only.")
        if len(mix) != depth:
            raise Mistake("Calling your function changes the list mix.", "Go through it with a for loop.")
        if prior.condition is None:
            raise Mistake("The prior is never asked.", "Its logits are what you return.")
        condition = _condition(embed, mix, above, down, across)
        if not torch.allclose(prior.condition, condition, atol=1e-5, rtol=1e-4):
            _refuse_condition(prior.condition, embed, mix, indices, above, down, across)
        right = prior(indices, None, condition)
        if not torch.allclose(got, right, atol=1e-4, rtol=1e-4):
            meant(
                got,
                {
                    "You return probabilities. A prior returns logits.\nLeave out the softmax.": right.softmax(dim=1),
                    "You return logarithms of probabilities. Return the prior's logits as they are.\nWhatever needs "
                    "normalised numbers does that itself.": right.log_softmax(dim=1),
                },
            )
            raise Mistake(
                "The condition is right, but what you return is not what the prior answers.", "Return its logits."
            )
        _judge_condition_gradient(got, right, parts)


def _repeat(c: Tensor, down: int, across: int) -> Tensor:
    return c.repeat_interleave(down, dim=2).repeat_interleave(across, dim=3)


def _condition(embed: nn.Embedding, mix: Sequence[nn.Module], above: Tensor, down: int, across: int) -> Tensor:
    c = embed(above).movedim(-1, 1)
    for conv in mix:
        c = c + conv(c.relu())
    return _repeat(c, down, across)


def _judge_condition_gradient(got: Tensor, right: Tensor, parts: nn.ModuleList) -> None:
    if not got.requires_grad:
        raise Mistake(
            "No gradient flows from the logits, so nothing can learn.", "Stay within torch, without no_grad or detach."
        )
    weight, parameters = torch.randn_like(got), list(parts.parameters())
    mine = torch.autograd.grad((got * weight).sum(), parameters, allow_unused=True)
    theirs = torch.autograd.grad((right * weight).sum(), parameters)
    for name, a, b in zip([n for n, _ in parts.named_parameters()], mine, theirs, strict=True):
        if a is None or not torch.allclose(a, b, atol=1e-3, rtol=1e-3):
            part = "embed" if name.startswith("0.") else "mix"
            raise Mistake(
                f"The logits are right, but the gradient does not reach {part}, or not all of it: it would not learn.",
                "Is something detached on the way?",
            )


@torch.no_grad()
def _refuse_condition(
    got: Tensor, embed: nn.Embedding, mix: list, indices: Tensor, above: Tensor, down: int, across: int
) -> None:
    def mixed(c: Tensor, step: Any = lambda c, conv: c + conv(c.relu()), convs: Sequence = tuple(mix)) -> Tensor:
        for conv in convs:
            c = step(c, conv)
        return c

    def masked(c: Tensor, conv: nn.Conv2d, centre: bool) -> Tensor:
        mask = torch.zeros(3, 3)
        mask[0], mask[1, 0], mask[1, 1] = 1, 1, centre
        return c + F.conv2d(c.relu(), conv.weight * mask, conv.bias, padding=1)

    plain = embed(above).movedim(-1, 1)
    low = mixed(plain)
    right, (height, width) = _repeat(low, down, across), indices.shape[1:]
    viewed = embed(above).reshape(plain.shape)
    everywhere = mixed(_repeat(plain, down, across))
    size = {"size": (height, width), "mode": "bilinear"}
    known: dict[str, Any] = {
        "The convolutions of mix are not used: each cell of the condition knows one code of the map above, and nothing "
        "of its neighbours.\nGo through mix before you repeat.": _repeat(plain, down, across),
        "The condition has been through a causal mask. The map above is known as a whole before the first code of the "
        "bottom is drawn, so nothing of it needs to be hidden.\nUse the convolutions as they are.": [
            _repeat(mixed(plain, lambda c, conv: masked(c, conv, False)), down, across),
            _repeat(mixed(plain, lambda c, conv: masked(c, conv, True)), down, across),
        ],
        "The condition is shifted, as if the code at its own position had to be hidden. The map above is known as a "
        "whole.\nCell (i, j) of the bottom lies below cell (i // a, j // b) of the map above.": [
            F.pad(right, (0, 0, 1, 0))[:, :, :-1],
            F.pad(right, (1, 0))[:, :, :, :-1],
            right.roll(1, dims=2),
            right.roll(1, dims=3),
            F.pad(right.flatten(2), (1, 0))[:, :, :-1].view_as(right),
        ],
        "The map is laid out like tiles, again and again, instead of each cell being repeated: cell (i, j) of the "
        "bottom gets a place far away from its own.\nrepeat and repeat_interleave are not the same.": [
            low.repeat(1, 1, down, across),
            low.repeat_interleave(down, dim=2).repeat(1, 1, 1, across),
            low.repeat(1, 1, down, 1).repeat_interleave(across, dim=3),
        ],
        "You repeat first and mix afterwards. A 3x3 convolution then reaches one cell of the bottom, not one cell of "
        "the map above, and costs a times b as much.\nMix on the small map.": everywhere,
        "Between the cells you interpolate. A cell of the bottom gets what the one cell above it holds.\nRepeat each "
        "cell.": [
            F.interpolate(low, **size),
            F.interpolate(low, **size, align_corners=True),
            F.interpolate(low, size=(height, width), mode="bicubic"),
        ],
        "The embedding is reshaped to (B, C, h', w'), which mixes places and channels.\nMove the last axis to the "
        "front: nothing is to change its neighbours.": _repeat(mixed(viewed), down, across),
        "Each convolution replaces the map; its result is to be added to the map.\nc = c + ...": _repeat(
            mixed(plain, lambda c, conv: conv(c.relu())), down, across
        ),
        "There is no ReLU before the convolutions.\nconv(relu(c)).": _repeat(
            mixed(plain, lambda c, conv: c + conv(c)), down, across
        ),
        "The ReLU comes after the convolution, not before it.\nconv(relu(c)).": _repeat(
            mixed(plain, lambda c, conv: c + conv(c).relu()), down, across
        ),
        "The ReLU changes the map that the result is added to: that one is to go past it as it is. An in-place ReLU "
        "does this unseen.\nc = c + conv(relu(c)), with the first c untouched.": _repeat(
            mixed(plain, lambda c, conv: c.relu() + conv(c.relu())), down, across
        ),
        "After each sum comes a ReLU, which is not asked for.\nc = c + conv(relu(c)).": [
            _repeat(mixed(plain, lambda c, conv: (c + conv(c.relu())).relu()), down, across),
            _repeat(mixed(plain, lambda c, conv: (c + conv(c)).relu()), down, across),
        ],
        "At the end comes a ReLU, which is not asked for.\nThe prior gets c as it is.": right.relu(),
        "You go through mix in the reverse order.\nThe first one first.": _repeat(
            mixed(plain, convs=mix[::-1]), down, across
        ),
        "Only one of the convolutions is used.\nAll of them, one after another.": [
            _repeat(mixed(plain, convs=[conv]), down, across) for conv in mix
        ],
        "One convolution of mix is used again and again. Each has weights of its own.\nAll of them, one after "
        "another.": [_repeat(mixed(plain, convs=[conv] * len(mix)), down, across) for conv in mix],
        "The convolutions are used without their biases.\nUse them as they are.": _repeat(
            mixed(plain, lambda c, conv: c + F.conv2d(c.relu(), conv.weight, padding=1)), down, across
        ),
        "The map above is transposed: what lies in row i is put into column i.\nAn embedding is (B, h', w', C).": [
            F.interpolate(mixed(plain.mT), size=(height, width)),
            F.interpolate(low.mT, size=(height, width)),
            _repeat(mixed(plain.mT.reshape(plain.shape)), down, across),
            _repeat(low.mT.reshape(low.shape), down, across),
            right.mT.reshape(right.shape),
        ],
        "All convolutions read the embedded map. Each is to read what the one before has made, or they never see "
        "further than one cell.\nc = c + ... inside the loop.": _repeat(
            plain + sum(conv(plain.relu()) for conv in mix), down, across
        ),
        "The whole map is added once more.\nc = c + conv(relu(c)).": right + _repeat(plain, down, across),
        "All images get the map above the first one.\nKeep the batch axis.": right[:1].expand_as(right),
        "All images get the mean of the maps.\nKeep the batch axis.": right.mean(dim=0, keepdim=True).expand_as(right),
        "Every cell gets the first row of the map above.\nRow i of the bottom lies below row i // a.": right[
            :, :, :1
        ].expand_as(right),
        "Every cell gets the same: the mean over the map above. Where something is, is lost.\nRepeat each cell."
        "": low.mean(dim=(2, 3), keepdim=True).expand_as(right),
        "The condition has only the first row of the map above.\nThe whole of it is known.": F.pad(
            right[:, :, :down], (0, 0, 0, height - down)
        ),
        "You embed the bottom's indices: the prior is told what it is to predict.\nLook up `above`.": [
            mixed(embed(indices).movedim(-1, 1)),
            embed(indices).movedim(-1, 1),
        ],
        "Cells are taken for a grid with the two factors exchanged.\nh / h' down, w / w' across.": [
            _repeat(low, across, down)
        ],
        "The condition is divided by the number of cells that share it.\nRepeat it as it is.": right / (down * across),
    }
    meant(got, known)
    if all(any(torch.allclose(mine, other, atol=1e-5, rtol=1e-4) for other in right) for mine in got):
        raise Mistake("Images get the map above another image of the batch.", "Keep the order of the batch.")
    raise Mistake(
        "The condition is not what the recipe makes of the map above.",
        "Embed, channels first; c = c + conv(relu(c)) for each convolution; repeat each cell a times down and b times "
        "across.",
    )


# Nats of all levels


def _each(logits: Tensor, indices: Tensor, dim: int = 1) -> Tensor:
    return -logits.log_softmax(dim=dim).gather(1, indices[:, None])[:, 0]


def _all_nats(logits: list[Tensor], indices: list[Tensor], dim: int = 1) -> Tensor:
    return sum(_each(a, b, dim).sum() for a, b in zip(logits, indices, strict=True)) / len(indices[0])


joint_nats = Task(
    _all_nats,
    name="joint_nats",
    points=2,
    narrow=1e-5,
    otherwise="This is not the sum of -log p over all levels and positions, averaged over the batch.",
    hint="Per position -log softmax at the code that came; sum over everything but the batch; mean over the batch.",
)


@joint_nats.inputs
def _levels() -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    for batch, spread, levels in (
        (3, 2, ((5, 2, 3), (7, 4, 6))),
        (2, 2, ((4, 1, 2), (6, 3, 4), (3, 6, 5))),
        (4, 2, ((6, 3, 2),)),
        (5, 2, ((7, 5, 4), (2, 3, 1))),
        (2, 300, ((5, 2, 3), (4, 3, 4))),
        (1, 2, ((4, 2, 3), (3, 4, 5))),
    ):
        logits = [spread * torch.randn(batch, *level) + torch.randn(batch, 1, 1, 1) for level in levels]
        indices = [torch.randint(codes, (batch, height, width)) for codes, height, width in levels]
        indices[0][0, 0, :2] = torch.tensor([0, levels[0][0] - 1])  # the first code and the last
        yield [level.requires_grad_(batch == 2) for level in logits], indices


class _Nats:
    """What mistakes about the nats of several levels are made of."""

    def __init__(self, logits: list[Tensor], indices: list[Tensor]):
        self.logits, self.indices, self.batch, self.levels = logits, indices, len(indices[0]), len(indices)
        self.right = _all_nats(logits, indices)
        self.pairs = list(zip(logits, indices, strict=True))
        each = [_each(a, b) for a, b in self.pairs]
        self.first_image = sum(e[0].sum() for e in each)
        self.means, self.counts = [float(e.mean()) for e in each], [e[0].numel() for e in each]
        self.sums = [mean * count for mean, count in zip(self.means, self.counts, strict=True)]
        self.codes = [a.shape[1] for a in logits]
        self.again = [_each(a.softmax(dim=1), b) for a, b in self.pairs]

    def over_pairs(self, what: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return a sum over levels, divided by the number of images."""
        return sum(what(a, b).sum() for a, b in self.pairs) / self.batch

    def weighed(self, values: list[float], weights: list[float]) -> float:
        """Return a sum of values, each with its weight."""
        return sum(value * weight for value, weight in zip(values, weights, strict=True))


joint_nats.mistakes(
    {
        "This is the mean of the levels' nats per code, as if every map had as many codes. A large map costs more."
        "\nSum over positions before you bring levels together.": lambda n: sum(n.means) / n.levels,
        "This adds up the levels' nats per code, as if every map had one code.\nSum over the positions of "
        "each level.": (lambda n: sum(n.means)),
        "This is nats per code, the mean over all positions of all levels. Nats per image are asked for.\nA sum over "
        "positions, not a mean.": lambda n: sum(n.sums) / sum(n.counts),
        "This is the mean over levels; their surprises add up.\nlog p(top, bottom) = log p(top) + log p(bottom | "
        "top).": (lambda n: n.right / n.levels),
        "The levels' nats are multiplied. Probabilities multiply, so their logarithms add up.\nA sum.": (
            lambda n: math.prod(n.sums),
            lambda n: math.prod(n.means),
        ),
        "Every level is counted as if it had the first level's number of positions.\nEach has its own h times w.": (
            lambda n: sum(n.means) * n.counts[0],
            lambda n: sum(n.means) * n.counts[0] / n.levels,
        ),
        "Every level is counted as if it had the last level's number of positions.\nEach has its own h times w.": (
            lambda n: sum(n.means) * n.counts[-1],
            lambda n: sum(n.means) * n.counts[-1] / n.levels,
        ),
        "Every level is counted as if it had all levels' positions.\nEach has its own h times w.": (
            lambda n: sum(n.means) * sum(n.counts),
            lambda n: sum(n.means) * sum(n.counts) / n.levels,
        ),
        "This is the first level alone.\nAll of them belong to the image.": (
            lambda n: n.sums[0],
            lambda n: n.means[0],
        ),
        "This is the last level alone.\nAll of them belong to the image.": (
            lambda n: n.sums[-1],
            lambda n: n.means[-1],
        ),
        "The last level is missing.\nAll of them belong to the image.": lambda n: sum(n.sums[:-1]),
        "The levels are subtracted from one another.\nSurprises add up.": lambda n: n.sums[0] - sum(n.sums[1:]),
        "This is the sum over the batch; the mean over its images is asked for.\nHow does it change with the number of "
        "images?": lambda n: n.right * n.batch,
        "This is in bits: base 2. Nats are asked for.\nWhich logarithm?": lambda n: n.right / math.log(2),
        "You apply softmax before the cross-entropy, which applies it again.\nIt takes logits as they are.": (
            lambda n: sum(e.sum() for e in n.again) / n.batch,
            lambda n: sum(e.mean() for e in n.again),
        ),
        "The sign is wrong: this is the log-likelihood, which is negative.\nA minus in front.": lambda n: -n.right,
        "Each level is weighed with its number of codes K.\nHow many there are to choose from is in the logits "
        "already.": (
            lambda n: n.weighed(n.means, n.codes),
            lambda n: n.weighed(n.sums, n.codes),
        ),
        "Each level is divided by its number of codes K: you average over the codes.\nOne of the K counts, the one "
        "that came.": lambda n: n.weighed(n.sums, [1 / k for k in n.codes]),
        "The logits are not normalised, and you do not normalise them.\nA log-sum-exp is missing.": (
            lambda n: -n.over_pairs(lambda a, b: a.gather(1, b[:, None]))
        ),
        "This is the cost of the likeliest codes, not of those that came.\nUse the indices.": (
            lambda n: -n.over_pairs(lambda a, b: a.log_softmax(dim=1).amax(dim=1))
        ),
        "You use the indices of another image of the batch.\nKeep the order.": (
            lambda n: n.over_pairs(lambda a, b: _each(a, b.roll(1, 0)))
        ),
        "You average -log p over all codes, not only over the one that came.\nWhere do the indices come in?": (
            lambda n: -n.over_pairs(lambda a, b: a.log_softmax(dim=1).mean(dim=1)),
            lambda n: -n.over_pairs(lambda a, b: a.log_softmax(dim=1)),
        ),
        "This is the first image alone.\nThe mean over the batch.": lambda n: n.first_image,
        "This is the entropy of the predictions: it does not ask which code came.\nWhere do the indices come in?": (
            lambda n: n.over_pairs(lambda a, b: torch.special.entr(a.softmax(dim=1)))
        ),
        "This is what the codes cost when nothing is known about them, log K each.\nWhere do the logits come in?": (
            lambda n: n.weighed(n.counts, [math.log(k) for k in n.codes])
        ),
        "You reshape (B, K, h, w) into rows of K numbers without moving the codes to the last axis first, so a row "
        "mixes positions.\nMove the axis, then flatten.": lambda n: n.over_pairs(
            lambda a, b: F.cross_entropy(a.reshape(-1, a.shape[1]), b.flatten(), reduction="none")
        ),
        "This is the perplexity, e to the power of the nats per code.\nLeave out the exp.": (
            lambda n: math.exp(sum(n.sums) / sum(n.counts))
        ),
        "The softmax runs over the batch: the wrong axis.\nThe K codes are axis 1.": (
            lambda n: _all_nats(n.logits, n.indices, 0)
        ),
        "The softmax runs over the height: the wrong axis.\nThe K codes are axis 1.": (
            lambda n: _all_nats(n.logits, n.indices, 2)
        ),
        "The softmax runs over the width: the wrong axis.\nThe K codes are axis 1.": (
            lambda n: _all_nats(n.logits, n.indices, 3)
        ),
    },
    of=lambda logits, indices: (_Nats(logits, indices),),
)


@joint_nats.unless
def _rounded_to_0(got: float, logits: list[Tensor], indices: list[Tensor]) -> None:
    if float(logits[0].detach().abs().max()) > 50:
        raise Mistake(
            f"For logits in the hundreds your function gives {got:.12}; {float(_all_nats(logits, indices)):.1f} is "
            "right. A probability rounds to 0 on the way, or is kept away from 0.",
            "Stay in logarithms: log_softmax, or log-sum-exp.",
        )


# Rejection


def _kept(
    score: Tensor, labels: Tensor, keep: float, group: Tensor | None = None, count: Any = None, best: bool = True
) -> Tensor:
    """Return the rows kept, ascending; ``score`` may be the table of probabilities or one number a row."""
    count = count or (lambda n: max(1, math.floor(keep * n + 0.5)))
    score = score.gather(1, labels[:, None])[:, 0] if score.ndim == 2 else score
    group = labels if group is None else group
    rows = [torch.empty(0, dtype=torch.int64)]
    for label in group.unique():
        own = (group == label).nonzero()[:, 0]
        rows.append(own[score[own].argsort(descending=best)][: count(len(own))])
    return torch.cat(rows).sort().values


def _row_numbers(value: Any) -> tuple[Tensor, ...]:
    if not isinstance(value, Tensor):
        raise Mistake(f"Your function returns {kind(value)}; a tensor of row numbers is asked for.")
    if value.dtype == torch.bool:
        raise Mistake(
            "Your function returns True and False. The numbers of the rows that are kept are asked for.",
            "Where is the mask True?",
        )
    if value.ndim != 1:
        raise Mistake(
            f"Your function returns shape {tuple(value.shape)}; a tensor of row numbers, of shape (M,), is asked for."
        )
    if value.is_floating_point():
        raise Mistake(f"Your function returns {value.dtype}; row numbers are integers.", "Rows, not probabilities.")
    return (value.sort().values,)


reject = Task(
    _kept,
    name="reject",
    points=2,
    reads=_row_numbers,
    tolerance=0,
    otherwise="Of each class the right number is kept, but not the right ones.",
    hint="Per class, the share with the highest probability of the class that was asked for.",
)


@reject.inputs
def _samples() -> Iterator[tuple[Tensor, Tensor, float]]:
    for sizes, keep in (
        ((7, 0, 6, 1), 0.4),
        ((9, 4, 2, 7), 0.2),
        ((5, 8, 3, 11, 1, 4), 0.65),
        ((4, 7), 1.0),
        ((0, 12, 0), 0.3),
        ((13, 6, 9), 0.05),
    ):
        labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        labels = labels[torch.randperm(len(labels))]
        # Some classes are harder than others, so that no one threshold serves all.
        ease = 1.5 * torch.randn(len(sizes))
        yield (1.5 * torch.randn(len(labels), len(sizes)) + ease).softmax(dim=1), labels, keep


class _Ranked:
    """What mistakes about rejection are made of."""

    def __init__(self, table: Tensor, labels: Tensor, keep: float):
        self.table, self.labels, self.keep, self.total = table, labels, keep, len(labels)
        self.asked = table.gather(1, labels[:, None])[:, 0]
        self.top, self.said = table.max(dim=1)
        self.classes, self.present = table.shape[1], len(labels.unique())

    def of_class(self, score: Tensor | None = None, **options: Any) -> Tensor:
        """Keep a share of each class by a score, the probability of the class asked for if None."""
        return _kept(self.asked if score is None else score, self.labels, self.keep, **options)

    def of_all(self, score: Tensor, count: int) -> Tensor:
        """Keep so many of all samples together."""
        return score.argsort(descending=True)[:count].sort().values

    def nearest(self, n: int) -> int:
        """Return a share of n to the nearest whole number, at least one."""
        return max(1, math.floor(self.keep * n + 0.5))

    def next_column(self, step: int) -> Tensor:
        """Return the probability of the class beside the one asked for."""
        return self.table.gather(1, ((self.labels + step) % self.classes)[:, None])[:, 0]

    def within_classes(self) -> Tensor:
        """Return the rows kept, counted within each class."""
        rows = [
            own.argsort(descending=True)[: self.nearest(len(own))]
            for own in (self.asked[self.labels == label] for label in self.labels.unique())
        ]
        return torch.cat(rows).unique()


_COUNTS: tuple[Callable[[float, int], int], ...] = (
    lambda keep, n: max(1, math.floor(keep * n + 0.5)),
    lambda keep, n: max(1, round(keep * n)),
    lambda keep, n: max(1, math.floor(keep * n)),
    lambda keep, n: math.floor(keep * n),
    lambda keep, n: math.ceil(keep * n),
)


def _whatever_is_rounded(rows: Callable) -> tuple[Callable, ...]:
    """Return a mistake for each way to round the number that is kept."""
    return tuple(lambda r, count=count: rows(r, lambda n: count(r.keep, n)) for count in _COUNTS)


reject.mistakes(
    {
        "Samples are ranked by the probability of the likeliest class, whichever it is. A sample that is surely "
        "something else than what it was asked to be comes out first.\nWhich column of the table belongs to "
        "a sample?": (_whatever_is_rounded(lambda r, count: r.of_class(r.top, count=count))),
        "Samples are grouped by what the classifier says, not by what they were asked to be.\nlabels tells the "
        "groups.": (
            *_whatever_is_rounded(lambda r, count: r.of_class(r.top, group=r.said, count=count)),
            *_whatever_is_rounded(lambda r, count: r.of_class(group=r.said, count=count)),
        ),
        "The share is taken of all samples together, so easy classes crowd out hard ones.\nRank within each class.": (
            lambda r: r.of_all(r.asked, r.nearest(r.total)),
            lambda r: r.of_all(r.asked, math.floor(r.keep * r.total)),
            lambda r: r.of_all(r.asked, math.ceil(r.keep * r.total)),
            lambda r: r.of_all(r.top, r.nearest(r.total)),
            lambda r: (r.asked >= r.asked.quantile(1 - r.keep)).nonzero()[:, 0],
            lambda r: (r.asked > r.asked.quantile(1 - r.keep)).nonzero()[:, 0],
        ),
        "The least probable samples are kept, and the best thrown away.\nDescending or ascending?": (
            _whatever_is_rounded(lambda r, count: r.of_class(count=count, best=False))
        ),
        "keep is what you throw away.\nIt is the share that stays.": (
            lambda r: r.of_class(count=lambda n: max(1, math.floor((1 - r.keep) * n + 0.5))),
            lambda r: r.of_class(count=lambda n: math.floor((1 - r.keep) * n + 0.5)),
            lambda r: r.of_class(count=lambda n: math.floor((1 - r.keep) * n)),
            lambda r: r.of_class(count=lambda n: n - r.nearest(n)),
        ),
        "A class with few samples loses all of them.\nAt least one of each class that is there.": (
            lambda r: r.of_class(count=lambda n: math.floor(r.keep * n + 0.5)),
            lambda r: r.of_class(count=lambda n: math.floor(r.keep * n)),
        ),
        "The number that is kept is rounded down; the nearest whole number is asked for.\n2.8 is nearer to 3.": (
            lambda r: r.of_class(count=lambda n: max(1, math.floor(r.keep * n)))
        ),
        "The number that is kept is rounded up; the nearest whole number is asked for.\n2.4 is nearer to 2.": (
            lambda r: r.of_class(count=lambda n: math.ceil(r.keep * n)),
            lambda r: r.of_class(count=lambda n: math.floor(r.keep * n) + 1),
        ),
        "Every class keeps the same number, however many samples it has.\nkeep is a share of the class's own.": (
            lambda r: r.of_class(count=lambda n: 1),
            lambda r: r.of_class(count=lambda n: max(1, math.floor(r.keep * r.total / r.classes + 0.5))),
            lambda r: r.of_class(count=lambda n: max(1, int(r.keep * r.total / r.classes))),
            lambda r: r.of_class(count=lambda n: max(1, math.floor(r.keep * r.total / r.present + 0.5))),
            lambda r: r.of_class(count=lambda n: max(1, int(r.keep * r.total / r.present))),
            lambda r: r.of_class(count=lambda n: r.nearest(r.total)),
        ),
        "The samples that the classifier agrees with are kept, all of them.\nkeep says how many.": (
            lambda r: (r.said == r.labels).nonzero()[:, 0]
        ),
        "keep is taken for a threshold of the probability. It is the share that is kept.\nRank, then count.": (
            lambda r: (r.asked > r.keep).nonzero()[:, 0],
            lambda r: (r.asked > 1 - r.keep).nonzero()[:, 0],
            lambda r: (r.top > r.keep).nonzero()[:, 0],
            lambda r: (r.top > 1 - r.keep).nonzero()[:, 0],
        ),
        "These are numbers within a class, where each class begins with 0. Rows of the whole set are asked for."
        "\nTranslate them back.": lambda r: r.within_classes(),
        "The first samples of each class are kept, whatever the classifier says.\nRank them first.": (
            lambda r: r.of_class(-torch.arange(r.total).double())
        ),
        "All samples are ranked by one and the same column of the table.\nEach sample has a column of its own: that of "
        "its label.": (lambda r: r.of_class(r.table[:, 0]), lambda r: r.of_class(r.table[:, -1])),
        "Samples are ranked by the column next to that of their label.\nClasses are counted from 0.": (
            lambda r: r.of_class(r.next_column(1)),
            lambda r: r.of_class(r.next_column(-1)),
        ),
    },
    of=lambda probabilities, labels, keep: (_Ranked(probabilities, labels, keep),),
)


@reject.unless
def _numbers_of_rows(got: Tensor, probabilities: Tensor, labels: Tensor, keep: float) -> None:
    if len(got) and not 0 <= int(got.min()) <= int(got.max()) < len(labels):
        raise Mistake(f"Your function returns numbers outside [0, {len(labels)}), the rows that there are.")
    if len(got.unique()) < len(got):
        raise Mistake(
            "Some rows are kept twice.",
            "Are they numbers within a class? Each class then begins with 0. Numbers within the whole set are asked "
            "for.",
        )
    classes = probabilities.shape[1]
    mine, wanted = (
        torch.bincount(labels[rows.long()], minlength=classes) for rows in (got, _kept(probabilities, labels, keep))
    )
    for label in (mine != wanted).nonzero()[:, 0].tolist():
        raise Mistake(
            f"Of a class with {int((labels == label).sum())} samples, at keep = {keep}, you keep {int(mine[label])}.",
            "Per class: keep times its number of samples, to the nearest whole number, and at least one.",
        )


@reject.further
def _ascending(answer: Answer) -> None:
    for arguments in _samples():
        rows = answer(*arguments)
        if not torch.equal(rows, rows.sort().values):
            raise Mistake("The right rows are kept, but not in ascending order.", "Sort the row numbers.")


# A distance of features


def _distance(value: Any) -> tuple[Tensor, ...]:
    if isinstance(value, complex | np.complexfloating) or getattr(getattr(value, "dtype", None), "is_complex", False):
        raise Mistake(
            "The result is a complex number. The roots of eigenvalues that rounding made negative are imaginary.",
            "Those eigenvalues should be 0 or above.",
        )
    return number(value)


def _features(rows: int, columns: int) -> Tensor:
    while True:  # nearly dependent features would make the root of a rounding error count
        mix = torch.randn(columns, columns, dtype=torch.float64) + torch.eye(columns)
        if torch.linalg.cond(mix) < 10 and mix.norm() > 0.5:
            break
    return torch.randn(rows, columns, dtype=torch.float64) @ mix + 1.5 * torch.randn(columns, dtype=torch.float64)


def _covariance(x: Tensor) -> Tensor:
    x = x - x.mean(dim=0)
    return x.T @ x / (len(x) - 1)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def _frechet(a: Tensor, b: Tensor, cov_a: Tensor | None = None, cov_b: Tensor | None = None) -> float:
    cov_a = _covariance(a) if cov_a is None else cov_a
    cov_b = _covariance(b) if cov_b is None else cov_b
    roots = torch.linalg.svdvals(_root(cov_b) @ _root(cov_a)).sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * roots)


def _spectrum(matrix: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(matrix).clamp(min=0)


frechet_distance = Task(
    _frechet,
    name="frechet_distance",
    points=3,
    reads=_distance,
    tolerance=3e-4,
    narrow=1e-5,
    otherwise="This is not the Fréchet distance of the two Gaussians.",
    hint="Squared distance of the means, both traces, minus twice the sum of the roots of the eigenvalues of C_a C_b.",
)


@frechet_distance.inputs
def _pairs_of_sets() -> Iterator[tuple[Tensor, Tensor]]:
    for rows, others, columns in ((8, 8, 4), (12, 9, 3), (20, 11, 5), (6, 13, 2), (7, 5, 1)):
        yield _features(rows, columns), _features(others, columns)
    for scale in (0.3, 300.0):
        yield scale * _features(9, 3), scale * _features(11, 3)


class _Gaussians:
    """What mistakes about the distance of two Gaussians are made of."""

    def __init__(self, a: Tensor, b: Tensor):
        self.a, self.b, self.columns, self.shorter = a, b, a.shape[1], min(len(a), len(b))
        self.right, self.shift = _frechet(a, b), a.mean(0) - b.mean(0)
        self.gap = float(self.shift.square().sum())
        self.cov_a, self.cov_b = _covariance(a), _covariance(b)
        self.traces, self.product = float(self.cov_a.trace() + self.cov_b.trace()), self.cov_a @ self.cov_b
        self.rest = self.right - self.gap
        self.roots = self.traces - self.rest  # twice the trace of the root
        self.biased_a, self.biased_b = (_covariance(x) * (len(x) - 1) / len(x) for x in (a, b))

    def with_root(self, root: Tensor | float) -> float:
        """Return the formula with another trace of the root."""
        return self.gap + self.traces - 2 * float(root)

    def divided(self, other: Tensor, correction: int) -> float:
        """Return the distance if both covariances are divided by the size of one set."""
        n = len(other) - correction
        return _frechet(self.a, self.b, self.cov_a * (len(self.a) - 1) / n, self.cov_b * (len(self.b) - 1) / n)

    def moments(self, correction: int) -> float:
        """Return the distance of features that are not centred first."""
        return _frechet(self.a, self.b, *(x.T @ x / (len(x) - correction) for x in (self.a, self.b)))

    def correlations(self) -> float:
        """Return the distance with the scale of each feature divided out."""
        return _frechet(
            self.a, self.b, *(torch.corrcoef(x.T).reshape(self.columns, self.columns) for x in (self.a, self.b))
        )

    def across(self) -> tuple[float, float]:
        """Return the means' part and the whole distance if the mean of each image is taken over its features."""
        if len(self.a) != len(self.b):
            return math.nan, math.nan
        return float((self.a.mean(1) - self.b.mean(1)).square().sum()), _frechet(self.a.T, self.b.T)


frechet_distance.mistakes(
    {
        "These are the means alone; the covariances are missing.\nTwo clouds with one centre can differ in shape.": (
            lambda g: g.gap
        ),
        "The means are missing: this compares the covariances alone.\nA shift costs its squared length.": lambda g: (
            g.rest
        ),
        "There is no square root: this takes away twice the trace of C_a C_b.\nA power of 1/2 is a root.": (
            lambda g: g.with_root(g.product.trace())
        ),
        "Each entry of C_a C_b is rooted by itself. The root of a matrix is the matrix whose product with itself it is."
        "\nEigenvalues.": (
            lambda g: g.with_root(g.product.diagonal().abs().sqrt().sum()),
            lambda g: g.with_root(g.product.diagonal().clamp(min=0).sqrt().sum()),
        ),
        "Only the variances of the features are compared, not how the features vary together.\nThe whole matrices.": (
            lambda g: g.gap + (g.a.std(dim=0) - g.b.std(dim=0)).square().sum()
        ),
        "The factor 2 before the root is missing.\nFor equal covariances nothing may be left.": (
            lambda g: g.right + g.roots / 2
        ),
        "The root is added; it is to be taken away.\nFor equal covariances nothing may be left.": (
            lambda g: g.right + 2 * g.roots
        ),
        "This is d; d squared is asked for.\nLeave out the last square root.": lambda g: math.sqrt(max(0.0, g.right)),
        "The result is squared once more.\nThe formula gives d squared already.": lambda g: g.right**2,
        "The distance of the means is not squared.\nIts square belongs into the sum.": (
            lambda g: g.rest + math.sqrt(g.gap)
        ),
        "The squared differences of the means are averaged over the features.\nThey are summed.": (
            lambda g: g.rest + g.gap / g.columns
        ),
        "The differences of the means are summed and then squared, so they cancel.\nSquare first.": (
            lambda g: g.rest + g.shift.sum() ** 2
        ),
        "The covariances are divided by n, and n - 1 is asked for.\nWhich correction?": (
            lambda g: _frechet(g.a, g.b, g.biased_a, g.biased_b)
        ),
        "One covariance is divided by n, and n - 1 is asked for.\nWhich correction?": (
            lambda g: _frechet(g.a, g.b, g.biased_a, g.cov_b),
            lambda g: _frechet(g.a, g.b, g.cov_a, g.biased_b),
        ),
        "Both covariances are divided by one and the same number, though the sets have different sizes.\nEach by its "
        "own n - 1.": (
            lambda g: g.divided(g.a, 1),
            lambda g: g.divided(g.b, 1),
            lambda g: g.divided(g.a, 0),
            lambda g: g.divided(g.b, 0),
        ),
        "The larger set is cut to the size of the smaller one.\nMeans and covariances do not ask for equal numbers.": (
            lambda g: _frechet(g.a[: g.shorter], g.b[: g.shorter]),
            lambda g: _frechet(g.a[-g.shorter :], g.b[-g.shorter :]),
        ),
        "The features are not centred before their products are taken: these are second moments, which the means are "
        "in once more.\nTake the means off first.": (lambda g: g.moments(1), lambda g: g.moments(0)),
        "These are correlations: the scale of each feature is divided out.\nCovariances.": lambda g: g.correlations(),
        "You multiply the roots of the two covariances. That is the root of their product only if they commute.\nThe "
        "eigenvalues of C_a C_b.": lambda g: g.with_root((_root(g.cov_a) * _root(g.cov_b)).sum()),
        "You take Cholesky factors for roots. L times its transpose is C, but L times L is not.\nThe eigenvalues of "
        "C_a C_b.": (
            lambda g: g.gap + (torch.linalg.cholesky(g.cov_a) - torch.linalg.cholesky(g.cov_b)).square().sum()
        ),
        "You take the root of the trace, and the trace of the root is asked for.\nThe sum of the roots of the "
        "eigenvalues.": (
            lambda g: g.with_root(math.sqrt(max(0.0, float(g.product.trace())))),
            lambda g: g.with_root(math.sqrt(float(g.cov_a.trace() * g.cov_b.trace()))),
        ),
        "The eigenvalues of the two covariances are compared one with another. Two clouds of the same shape that point "
        "in other directions would be alike.\nThe eigenvalues of C_a C_b.": (
            lambda g: g.gap + (_spectrum(g.cov_a).sqrt() - _spectrum(g.cov_b).sqrt()).square().sum()
        ),
        "These are singular values of C_a C_b. It is not symmetric, so they are not its eigenvalues.\nEigenvalues, of "
        "C_a C_b or of a symmetric matrix that has the same ones.": (
            lambda g: g.with_root(torch.linalg.svdvals(g.product).sqrt().sum())
        ),
        "C_a C_b is not symmetric, and eigh and eigvalsh read one half of it only.\neigvals, or a symmetric matrix "
        "that has the same eigenvalues.": (
            lambda g: g.with_root(_spectrum(g.product).sqrt().sum()),
            lambda g: g.with_root(_spectrum(g.product.T).sqrt().sum()),
        ),
        "The mean of C_a C_b and its transpose is symmetric, but it has other eigenvalues.\nWhich symmetric matrix has "
        "those of C_a C_b?": (
            lambda g: g.with_root(_spectrum((g.product + g.product.T) / 2).sqrt().sum()),
            lambda g: g.with_root(torch.linalg.eigvalsh((g.product + g.product.T) / 2).abs().sqrt().sum()),
        ),
        "This is the mean squared distance of all pairs. It is not 0 for equal sets.\nFollow the formula: means and "
        "covariances.": lambda g: torch.cdist(g.a, g.b).square().mean(),
        "The result is divided by the number of features.\nA sum over features.": lambda g: g.right / g.columns,
        "This compares the covariances entry by entry, with squared differences.\nFollow the formula: traces.": (
            lambda g: g.gap + (g.cov_a - g.cov_b).square().sum()
        ),
        "The traces of the two covariances are missing.\nFor equal covariances they cancel the root.": (
            lambda g: g.gap - g.roots
        ),
        "The root is missing altogether.\nFor equal covariances nothing may be left.": lambda g: g.with_root(0),
        "The mean of each image is taken over its features. The mean of each feature over the images is asked for."
        "\nWhich axis?": (
            lambda g: g.across()[0] + g.rest,
            lambda g: g.across()[1],
            lambda g: g.gap + g.across()[1] - g.across()[0],
        ),
    },
    of=lambda a, b: (_Gaussians(a, b),),
)


@frechet_distance.unrecognised
@frechet_distance.further
def _judge_floor(answer: Answer) -> None:
    """Refuse a number above 0 in place of eigenvalues that are 0: a set's distance to itself tells how large it is."""
    rows, floors = 5, []
    for columns in (20, 32, 45, 60):
        x = torch.randn(rows, columns, dtype=torch.float64)
        try:
            floors.append((max(0.0, -float(_distance(answer(x, x.clone()))[0])) / (2 * (columns - rows + 1))) ** 2)
        except Mistake:
            return  # another mistake, which the other cases tell
    if min(floors) > 5e-8 and max(floors) < 1.01 * min(floors):
        raise Mistake(
            f"Eigenvalues that are 0 count as if they were {floors[0]:.1g}. With fewer rows than features there are "
            "many of them, and the distance of a set to itself comes out below 0.",
            "The root makes a small number much larger: that of 0.0001 is 0.01. What is to become of an eigenvalue "
            "that rounding made negative?",
        )


@frechet_distance.further
def _judge_singular(answer: Answer) -> None:
    a, b = _features(4, 6), _features(5, 6)
    small = torch.randn(5, 12, dtype=torch.float64)
    small -= small.mean(dim=0)
    small *= 0.85 / small.norm()  # so the tolerance is the same each time
    constant = _features(9, 3)
    constant[:, 1] = 2.0
    for what, x, y in (
        ("a feature that never changes", constant, _features(7, 3)),
        ("fewer rows than features", a, b),
        ("the same set twice", a, a.clone()),
        ("the same set of small features twice, and fewer rows than features", small, small.clone()),
        ("the same set twice", *_features(15, 4).expand(2, -1, -1).clone()),
    ):
        try:
            got = float(_distance(answer(x, y))[0])
            if not math.isfinite(got):
                raise Mistake(f"Your function returns {got}.")
        except Mistake as mistake:
            raise Mistake(
                f"With {what}: {mistake.message}",
                "Eigenvalues that should be 0 come out as rounding errors, some below 0, and have no real root. What "
                "is the root of 0?",
            ) from mistake
        scale = float(_covariance(x).trace() + _covariance(y).trace())
        if abs(got - _frechet(x, y)) > 1e-2 * scale:
            raise Mistake(
                f"With {what} your function gives {got:.6g}; {_frechet(x, y):.4f} is right.",
                "A covariance without full rank has a root as well, and no inverse and no Cholesky factor.",
            )
