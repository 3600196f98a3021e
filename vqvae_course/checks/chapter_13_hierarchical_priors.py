"""Checks of notebook 13: causal attention, a condition from above, joint nats, rejection, a distance of features."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.checks.answer import NARROW, Answer, Mistake, close, kind, recognise
from vqvae_course.checks.report import exercise

Candidates = dict[str, Any]


def _meant(got: Tensor | float, known: Candidates, tolerance: float = NARROW) -> None:
    """Refuse the result of a known mistake; a key is what to say, and a hint on a second line."""
    for text, values in known.items():
        message, _, hint = text.partition("\n")
        for value in values if isinstance(values, list) else [values]:
            recognise(got, [(value, message, hint)], tolerance)


def _refuse_if_explained(trials: Sequence[tuple[Any, dict[str, list]]], same: Callable[[Any, Any], bool]) -> None:
    """Refuse what some variant of a known mistake leads to in every trial: in one alone, numbers agree by chance."""
    for text in trials[0][1]:
        for case in zip(*(known[text] for _, known in trials if text in known), strict=True):
            if len(case) == len(trials) and all(same(got, value) for (got, _), value in zip(trials, case, strict=True)):
                message, _, hint = text.partition("\n")
                raise Mistake(message, hint)


# Causal attention


@exercise(points=2)
def causal_attention_mask(answer: Answer) -> None:
    """Judge ``causal_attention_mask(scores)``: a softmax over strictly earlier columns, and 0 elsewhere."""
    for batch, places in ((2, 5), (3, 7), (1, 4), (4, 3)):
        scores = 1.5 * torch.randn(batch, places, places) + torch.randn(batch, 1, 1)
        _judge_weights(_weights(answer, scores), scores)
    for batch, places in ((3, 1), (1, 2)):
        scores = torch.randn(batch, places, places)
        _judge_weights(_weights(answer, scores), scores)
    _judge_extremes(answer)
    _judge_attention_gradient(answer)
    _judge_float16(answer)


def _past(places: int) -> Tensor:
    return torch.ones(places, places, dtype=torch.bool).tril(-1)


def _attention(scores: Tensor, allowed: Tensor | None = None, dim: int = -1) -> Tensor:
    """Return the right weights: a softmax over the allowed entries, 0 where there are none."""
    allowed = _past(scores.shape[1]) if allowed is None else allowed
    return scores.masked_fill(~allowed, -math.inf).softmax(dim).nan_to_num()


def _weights(answer: Answer, scores: Tensor) -> Tensor:
    """Return the answer's weights, of the right shape and finite."""
    got = answer(scores)
    if not isinstance(got, Tensor):
        raise Mistake(f"Your function returns {kind(got)}; a torch tensor is asked for.")
    if got.shape != scores.shape:
        batch, places = scores.shape[:2]
        raise Mistake(
            f"Your function returns shape {tuple(got.shape)}; it is to be that of the scores.",
            "There is no column for nothing." if got.shape == (batch, places, places + 1) else "",
        )
    if not got.dtype.is_floating_point:
        raise Mistake(f"Your function returns {got.dtype}; weights are floating-point numbers.")
    bad = ~got.isfinite()
    if bad.any():
        if bad[:, 0].any() and not bad[:, 1:].any():
            raise Mistake(
                "The first row is not a number: nothing comes before the first position, and a softmax over nothing "
                "divides 0 by 0.",
                "What is the first row to be?",
            )
        raise Mistake("The weights hold infinite numbers or NaN.", "Look for 0 divided by 0, or e to a large power.")
    return got


def _judge_weights(got: Tensor, scores: Tensor) -> None:
    past, right = _past(scores.shape[1]), _attention(scores.double())
    if torch.allclose(got.double(), right, atol=1e-5) and not bool((got != 0)[:, ~past].any()):
        return
    if scores.shape[1] > 2:
        _refuse_known_weights(got, scores.double(), past, right)
    if scores.shape[1] > 2 and _is_shifted(got.detach().double(), right):
        raise Mistake(
            "The columns are shifted by one place: column j holds the weight of position j - 1, as if the scores had "
            'a column for "nothing" in front.',
            "Column j of the weights belongs to position j, as in the scores, and there is no column for nothing.",
        )
    later, itself = ~past & ~torch.eye(len(past), dtype=torch.bool), torch.eye(len(past), dtype=torch.bool)
    if bool((got != 0)[:, later].any()):
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
    off = (got[:, 1:].sum(dim=2) - 1).abs().max()
    if off > 1e-4:
        raise Mistake(
            "The weights of a row do not add up to 1.", "A softmax over the allowed entries alone adds up to 1."
        )
    raise Mistake(
        "Within a row the weights are not the softmax of the scores of earlier positions.",
        "Two allowed entries whose scores differ by s have weights with the ratio e^s.",
    )


def _is_shifted(got: Tensor, right: Tensor) -> bool:
    """Whether columns 1, 2, ... hold what belongs into columns 0, 1, ..., up to a share that column 0 takes."""
    moved = got[:, 1:, 1:]
    total = moved.sum(dim=2, keepdim=True)
    return bool((total > 0).all()) and torch.allclose(moved / total, right[:, 1:, :-1], atol=1e-5)


def _refuse_known_weights(got: Tensor, scores: Tensor, past: Tensor, right: Tensor) -> None:
    places, full = scores.shape[1], scores.softmax(dim=2)
    upto, eye = past | torch.eye(places, dtype=torch.bool), torch.eye(places)[0]
    first = torch.zeros(places, 1)
    first[0] = 1
    inclusive = _attention(scores, upto)
    columns = scores.masked_fill(~past, -math.inf).softmax(dim=1).nan_to_num()
    zeroed = (scores * past).softmax(dim=2)
    known = {
        "Nothing is hidden: this is the softmax over all positions, later ones included.\nWhere does j < i come "
        "in?": full,
        "Each position attends to itself as well. In a prior, what stands there is what is to be predicted.\nStrictly "
        "before: j < i.": [inclusive, inclusive * (1 - first)],
        "The first row is spread over all positions, later ones and itself included. Nothing comes before the first "
        "position, so it is to attend to nothing.\nA softmax of equal numbers is uniform, however small they are."
        "": right + first / places,
        "The first position attends to itself. It has no past, and the row is to be 0: what stands there is what is "
        "to be predicted.\nWhat is left over for the first row?": right + first * eye,
        "Row i attends to the columns after it: the mask is the upper triangle, and the arrow of time is reversed."
        "\nWhich index is the one that looks, and which one is looked at?": [
            _attention(scores, past.T),
            _attention(scores, upto.T),
            _attention(scores, past.T) * (1 - first),
        ],
        "Your result is transposed: column i holds the weights of position i.\nRow i looks, column j is looked "
        "at.": right.transpose(1, 2),
        "The scores are transposed before the softmax.\nRow i looks, column j is looked at.": [
            _attention(scores.transpose(1, 2)),
            _attention(scores.transpose(1, 2), upto),
        ],
        "The softmax runs down the columns: it shares a position among those that look at it. The weights of one that "
        "looks, a row, are to add up to 1.\nWhich axis?": [columns, full * 0 + scores.softmax(dim=1) * past],
        "The softmax runs over the batch.\nWhich axis?": [
            scores.softmax(dim=0) * past,
            scores.masked_fill(~past, -math.inf).softmax(dim=0).nan_to_num(),
        ],
        "You hide the future after the softmax, and so the rows no longer add up to 1: the share of what was hidden is "
        "lost.\nHide before the softmax, or divide by what is left.": [full * past, full * upto],
        "Hidden scores are set to 0 before the softmax. A score of 0 is not a weight of 0: e^0 is 1.\nWhich score has "
        "the weight 0?": zeroed,
        "Hidden scores are set to 0 before the softmax and take a part of the weight, since e^0 is 1; setting their "
        "weights to 0 afterwards does not give it back.\nWhich score has the weight 0?": zeroed * past,
        "The position just before is hidden as well. It has been drawn already, and tells most.\nStrictly before: j < "
        "i, and i - 1 is.": _attention(scores, past.tril(-2)),
        "The scores are divided by a square root again.\nThey come ready for the softmax.": [
            _attention(scores / math.sqrt(places)),
        ],
        "You return the logarithm of the weights.\nsoftmax, not log_softmax.": right.log().nan_to_num(neginf=0.0),
    }
    _meant(got, known)


def _judge_extremes(answer: Answer) -> None:
    batch, places = 2, 6
    noise, past = 3 * torch.randn(batch, places, places), _past(places)
    for what, scores in (
        ("in the hundreds", 100 * noise),
        ("near -100000", noise - 1e5),
        ("near 100000", noise + 1e5),
        ("near -100000 for earlier positions, and near 0 for those that are to be hidden", noise - 1e5 * past),
        ("near -90 for earlier positions, and near 90 for those that are to be hidden", noise + 90 - 180 * past.int()),
    ):
        try:
            got = _weights(answer, scores)
        except Mistake as mistake:
            raise Mistake(f"With scores {what}: {mistake.message}", mistake.hint) from mistake
        if bool((got != 0)[:, ~past].any()):
            raise Mistake(
                f"With scores {what}, hidden positions get a weight. The number that you put in their place is not "
                "small enough.",
                "Smaller than any score: -inf, or the smallest number of the dtype.",
            )
        if not torch.allclose(got.double(), _attention(scores.double()), atol=1e-3):
            raise Mistake(
                f"With scores {what}, the weights are wrong: something rounds to 0 or overflows, or digits are lost "
                "in a difference of large numbers, or what stands in the place of hidden scores is not small enough.",
                "If hidden scores enter the softmax and are taken out afterwards, nothing may be left of the others.",
            )


def _judge_float16(answer: Answer) -> None:
    past = _past(6)
    for what, scores, hint in (
        (
            "",
            8 * torch.randn(2, 6, 6),
            "The largest number of float16 is 65504. Which number stands for minus infinity in every dtype?",
        ),
        (
            " near -1000",
            3 * torch.randn(2, 6, 6) - 1000,
            "The smallest number of float16 is -65504, and whatever is far below it becomes -inf. A row of -inf alone "
            "has no softmax.",
        ),
        (" near 1000", 3 * torch.randn(2, 6, 6) + 1000, "The largest number of float16 is 65504."),
    ):
        scores = scores.half()
        where = f"With scores{what} in float16, as attention computes them on a graphics card"
        try:
            got = _weights(answer, scores)
        except Mistake as mistake:
            raise Mistake(f"{where}: {mistake.message}", hint) from mistake
        if bool((got != 0)[:, ~past].any()) or not torch.allclose(got.double(), _attention(scores.double()), atol=5e-3):
            raise Mistake(
                f"{where}, the weights are wrong.",
                "The largest number of float16 is 65504, and e to the power of 12 is above that. Near 1000 it "
                "counts in steps of a half or of one.",
            )


def _judge_attention_gradient(answer: Answer) -> None:
    scores, weight = torch.randn(2, 5, 5), torch.randn(2, 5, 5)
    mine, other = scores.clone().requires_grad_(), scores.double().requires_grad_()
    got = _weights(answer, mine)
    if not got.requires_grad:
        raise Mistake(
            "No gradient flows from the weights to the scores, so the network before them cannot learn.",
            "Stay within torch, without detach, .data or no_grad.",
        )
    (gradient,) = torch.autograd.grad((got * weight).sum(), mine, allow_unused=True)
    (right,) = torch.autograd.grad((_attention(other) * weight.double()).sum(), other)
    if gradient is None or not bool(gradient.isfinite().all()):
        raise Mistake(
            "The weights are right, but the gradient of the scores is NaN: the first row was NaN at some step, and "
            "replacing it afterwards does not save the way back, where 0 is multiplied by NaN.",
            "Let the first row go through the softmax with something allowed, and set it to 0 afterwards.",
        )
    if not torch.allclose(gradient.double(), right, atol=1e-4):
        raise Mistake(
            "The weights are right, but their gradient is not that of the softmax.", "Is something detached on the way?"
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
            _meant(
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
    known: Candidates = {
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
    _meant(got, known)
    if all(any(torch.allclose(mine, other, atol=1e-5, rtol=1e-4) for other in right) for mine in got):
        raise Mistake("Images get the map above another image of the batch.", "Keep the order of the batch.")
    raise Mistake(
        "The condition is not what the recipe makes of the map above.",
        "Embed, channels first; c = c + conv(relu(c)) for each convolution; repeat each cell a times down and b times "
        "across.",
    )


# Nats of all levels


@exercise(points=2)
def joint_nats(answer: Answer) -> None:
    """Judge ``joint_nats(logits, indices)``: all levels and positions summed, the mean over the batch."""
    trials = []
    for batch, levels in (
        (3, ((5, 2, 3), (7, 4, 6))),
        (2, ((4, 1, 2), (6, 3, 4), (3, 6, 5))),
        (4, ((6, 3, 2),)),
        (5, ((7, 5, 4), (2, 3, 1))),
    ):
        logits = [2 * torch.randn(batch, *level) + torch.randn(batch, 1, 1, 1) for level in levels]
        indices = [torch.randint(codes, (batch, height, width)) for codes, height, width in levels]
        if batch == 2:
            logits = [level.requires_grad_() for level in logits]
        got = _number_of_levels(answer, logits, indices)
        trials.append((got, [level.detach().double() for level in logits], indices))
    if not all(close(got, _all_nats(*given), 1e-4) for got, *given in trials):
        _refuse_if_explained([(got, _wrong_nats(*given)) for got, *given in trials], lambda x, y: close(x, y, 1e-5))
        raise Mistake(
            "This is not the sum of -log p over all levels and positions, averaged over the batch.",
            "Per position -log softmax at the code that came; sum over everything but the batch; mean over the batch.",
        )
    logits = [300 * torch.randn(2, 5, 2, 3), 300 * torch.randn(2, 4, 3, 4)]
    indices = [torch.randint(5, (2, 2, 3)), torch.randint(4, (2, 3, 4))]
    expected = _all_nats(logits, indices)
    try:
        got = _number_of_levels(answer, logits, indices)
    except Mistake as mistake:
        raise Mistake(f"With logits in the hundreds: {mistake.message}", "Stay in logarithms.") from mistake
    if not close(got, expected, 1e-3):
        raise Mistake(
            f"For logits in the hundreds your function gives {got:.12}; {expected:.1f} is right. A probability rounds "
            "to 0 on the way.",
            "Stay in logarithms: log_softmax, or log-sum-exp.",
        )


def _number_of_levels(answer: Answer, logits: list[Tensor], indices: list[Tensor]) -> float:
    first, second = list(logits), list(indices)
    before = [level.detach().clone() for level in (*logits, *indices)]
    got = answer.number(first, second)
    if len(first) != len(logits) or len(second) != len(indices):
        raise Mistake("Your function takes levels out of the lists it is given.", "Go through them with zip.")
    if any(not torch.equal(a, b.detach()) for a, b in zip(before, (*first, *second), strict=True)):
        raise Mistake("Your function changes the logits or the indices in place; whoever called it still needs them.")
    return got


def _each(logits: Tensor, indices: Tensor, dim: int = 1) -> Tensor:
    return -logits.log_softmax(dim=dim).gather(1, indices[:, None])[:, 0]


def _all_nats(logits: list[Tensor], indices: list[Tensor]) -> float:
    pairs = zip(logits, indices, strict=True)
    return sum(float(_each(a.detach().double(), b).sum()) for a, b in pairs) / len(indices[0])


def _wrong_nats(logits: list[Tensor], indices: list[Tensor]) -> dict[str, list[float]]:
    """Return for each known mistake what its variants lead to."""
    right = _all_nats(logits, indices)
    batch, levels = len(indices[0]), len(indices)
    each = [_each(a, b) for a, b in zip(logits, indices, strict=True)]
    means, counts = [float(e.mean()) for e in each], [e[0].numel() for e in each]
    codes = [a.shape[1] for a in logits]
    again = [_each(a.softmax(dim=1), b) for a, b in zip(logits, indices, strict=True)]
    sums = [mean * count for mean, count in zip(means, counts, strict=True)]
    picked = [float(a.gather(1, b[:, None]).sum()) for a, b in zip(logits, indices, strict=True)]
    best = [float(-a.log_softmax(dim=1).amax(dim=1).sum()) for a in logits]
    rolled = [float(_each(a, b.roll(1, 0)).sum()) for a, b in zip(logits, indices, strict=True)]
    known: Candidates = {
        "This is the mean of the levels' nats per code, as if every map had as many codes. A large map costs more."
        "\nSum over positions before you bring levels together.": sum(means) / levels,
        "This adds up the levels' nats per code, as if every map had one code.\nSum over the positions of each "
        "level.": sum(means),
        "This is nats per code, the mean over all positions of all levels. Nats per image are asked for.\nA sum "
        "over positions, not a mean.": sum(sums) / sum(counts),
        "This is the mean over levels; their surprises add up.\nlog p(top, bottom) = log p(top) + log p(bottom | "
        "top).": right / levels,
        "The levels' nats are multiplied. Probabilities multiply, so their logarithms add up.\nA sum.": [
            math.prod(sums),
            math.prod(means),
        ],
        "Every level is counted as if it had the first level's number of positions.\nEach has its own h times w.": [
            sum(means) * counts[0],
            sum(means) * counts[0] / levels,
        ],
        "Every level is counted as if it had the last level's number of positions.\nEach has its own h times w.": [
            sum(means) * counts[-1],
            sum(means) * counts[-1] / levels,
        ],
        "Every level is counted as if it had all levels' positions.\nEach has its own h times w.": [
            sum(means) * sum(counts),
            sum(means) * sum(counts) / levels,
        ],
        "This is the first level alone.\nAll of them belong to the image.": [sums[0], means[0]],
        "This is the last level alone.\nAll of them belong to the image.": [sums[-1], means[-1]],
        "The last level is missing.\nAll of them belong to the image.": sum(sums[:-1]),
        "The levels are subtracted from one another.\nSurprises add up.": [sums[0] - sum(sums[1:])],
        "This is the sum over the batch; the mean over its images is asked for.\nHow does it change with the number of "
        "images?": right * batch,
        "This is in bits: base 2. Nats are asked for.\nWhich logarithm?": right / math.log(2),
        "You apply softmax before the cross-entropy, which applies it again.\nIt takes logits as they are.": [
            sum(float(e.sum()) for e in again) / batch,
            sum(float(e.mean()) for e in again),
        ],
        "The sign is wrong: this is the log-likelihood, which is negative.\nA minus in front.": -right,
        "Each level is weighed with its number of codes K.\nHow many there are to choose from is in the logits "
        "already.": [
            sum(mean * k for mean, k in zip(means, codes, strict=True)),
            sum(total * k for total, k in zip(sums, codes, strict=True)),
        ],
        "Each level is divided by its number of codes K: you average over the codes.\nOne of the K counts, the one "
        "that came.": sum(total / k for total, k in zip(sums, codes, strict=True)),
        "The logits are not normalised, and you do not normalise them.\nA log-sum-exp is missing.": -sum(picked)
        / batch,
        "This is the cost of the likeliest codes, not of those that came.\nUse the indices.": sum(best) / batch,
        "You use the indices of another image of the batch.\nKeep the order.": sum(rolled) / batch,
        "You average -log p over all codes, not only over the one that came.\nWhere do the indices come in?": [
            sum(float(-a.log_softmax(dim=1).mean(dim=1).sum()) for a in logits) / batch,
            sum(float(-a.log_softmax(dim=1).sum()) for a in logits) / batch,
        ],
        "This is the first image alone.\nThe mean over the batch.": float(sum(e[0].sum() for e in each)),
        "This is the entropy of the predictions: it does not ask which code came.\nWhere do the indices come in?": sum(
            float(torch.special.entr(a.softmax(dim=1)).sum()) for a in logits
        )
        / batch,
        "This is what the codes cost when nothing is known about them, log K each.\nWhere do the logits come in?": sum(
            count * math.log(k) for count, k in zip(counts, codes, strict=True)
        ),
        "You reshape (B, K, h, w) into rows of K numbers without moving the codes to the last axis first, so a row "
        "mixes positions.\nMove the axis, then flatten.": sum(
            float(F.cross_entropy(a.reshape(-1, a.shape[1]), b.flatten(), reduction="sum"))
            for a, b in zip(logits, indices, strict=True)
        )
        / batch,
        "This is the perplexity, e to the power of the nats per code.\nLeave out the exp.": [
            math.exp(min(700.0, sum(sums) / sum(counts))),
        ],
    }
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
        wrong = sum(float(_each(a, b, axis).sum()) for a, b in zip(logits, indices, strict=True))
        known[f"The softmax runs over the {name}: the wrong axis.\nThe K codes are axis 1."] = wrong / batch
    return {text: value if isinstance(value, list) else [value] for text, value in known.items()}


# Rejection


@exercise(points=2)
def reject(answer: Answer) -> None:
    """Judge ``reject(probabilities, labels, keep)``: per class, the rows most probable as the class asked for."""
    trials = []
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
        probabilities = (1.5 * torch.randn(len(labels), len(sizes)) + ease).softmax(dim=1)
        trials.append((_rows_kept(answer, probabilities, labels, keep), probabilities, labels, keep))
    if any(got != _kept(*given) for got, *given in trials):
        _refuse_rows(trials)


def _kept(
    score: Tensor, labels: Tensor, keep: float, group: Tensor | None = None, count: Any = None, best: bool = True
) -> list[int]:
    """Return the rows kept, ascending; ``score`` may be the table of probabilities or one number a row."""
    count = count or (lambda n: max(1, math.floor(keep * n + 0.5)))
    score = score.gather(1, labels[:, None])[:, 0] if score.ndim == 2 else score
    group = labels if group is None else group
    rows: list[int] = []
    for label in group.unique():
        own = (group == label).nonzero()[:, 0]
        order = own[score[own].argsort(descending=best)]
        rows += order[: count(len(own))].tolist()
    return sorted(rows)


def _rows_kept(answer: Answer, probabilities: Tensor, labels: Tensor, keep: float) -> list[int]:
    value = answer(probabilities, labels, keep)
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
    rows = value.tolist()
    if rows and not 0 <= min(rows) <= max(rows) < len(labels):
        raise Mistake(f"Your function returns numbers outside [0, {len(labels)}), the rows that there are.")
    if len(set(rows)) < len(rows):
        raise Mistake(
            "Some rows are kept twice.",
            "Are they numbers within a class? Each class then begins with 0. Numbers within the whole set are asked "
            "for.",
        )
    return rows


def _refuse_rows(trials: list[tuple]) -> None:
    """Refuse what some mistake explains in every trial: in one alone, small sets agree by chance."""
    if all(sorted(got) == _kept(*given) for got, *given in trials):
        raise Mistake("The right rows are kept, but not in ascending order.", "Sort the row numbers.")
    _refuse_if_explained([(sorted(got), _wrong_rows(*given)) for got, *given in trials], lambda x, y: x == y)
    for got, probabilities, labels, keep in trials:
        right, classes = _kept(probabilities, labels, keep), range(probabilities.shape[1])
        mine, wanted = (torch.bincount(labels[rows], minlength=len(classes)) for rows in (got, right))
        for label in classes:
            if mine[label] != wanted[label]:
                raise Mistake(
                    f"Of a class with {int((labels == label).sum())} samples, at keep = {keep}, you keep "
                    f"{int(mine[label])}.",
                    "Per class: keep times its number of samples, to the nearest whole number, and at least one.",
                )
    raise Mistake(
        "Of each class the right number is kept, but not the right ones.",
        "Per class, the share with the highest probability of the class that was asked for.",
    )


def _wrong_rows(probabilities: Tensor, labels: Tensor, keep: float) -> dict[str, list[list[int]]]:
    """Return for each known mistake what its variants keep."""
    asked, total = probabilities.gather(1, labels[:, None])[:, 0], len(labels)
    top, said = probabilities.max(dim=1)
    overall = max(1, math.floor(keep * total + 0.5))
    ranking = asked.argsort(descending=True)
    classes, present = probabilities.shape[1], len(labels.unique())

    def nearest(n: int) -> int:
        return max(1, math.floor(keep * n + 0.5))

    def chosen(score: Tensor, **options: Any) -> list[int]:
        return _kept(score, labels, keep, **options)

    def at_least_one(n: int) -> int:
        return max(1, math.floor(keep * n))

    def down(n: int) -> int:
        return math.floor(keep * n)

    def up(n: int) -> int:
        return math.ceil(keep * n)

    def nearest_even(n: int) -> int:
        return max(1, round(keep * n))

    counts = (nearest, nearest_even, at_least_one, down, up)
    local: set[int] = set()
    for label in labels.unique():
        own = asked[labels == label]
        local |= {*own.argsort(descending=True)[: nearest(len(own))].tolist()}
    return {
        "Samples are ranked by the probability of the likeliest class, whichever it is. A sample that is surely "
        "something else than what it was asked to be comes out first.\nWhich column of the table belongs to a "
        "sample?": [chosen(top, count=count) for count in counts],
        "Samples are grouped by what the classifier says, not by what they were asked to be.\nlabels tells the "
        "groups.": [chosen(score, group=said, count=count) for score in (top, asked) for count in counts],
        "The share is taken of all samples together, so easy classes crowd out hard ones.\nRank within each class.": [
            sorted(ranking[:overall].tolist()),
            sorted(ranking[: down(total)].tolist()),
            sorted(ranking[: up(total)].tolist()),
            sorted(top.argsort(descending=True)[:overall].tolist()),
            (asked >= asked.quantile(1 - keep)).nonzero()[:, 0].tolist(),
            (asked > asked.quantile(1 - keep)).nonzero()[:, 0].tolist(),
        ],
        "The least probable samples are kept, and the best thrown away.\nDescending or ascending?": [
            chosen(asked, count=count, best=False) for count in counts
        ],
        "keep is what you throw away.\nIt is the share that stays.": [
            chosen(asked, count=lambda n: max(1, math.floor((1 - keep) * n + 0.5))),
            chosen(asked, count=lambda n: math.floor((1 - keep) * n + 0.5)),
            chosen(asked, count=lambda n: math.floor((1 - keep) * n)),
            chosen(asked, count=lambda n: n - nearest(n)),
        ],
        "A class with few samples loses all of them.\nAt least one of each class that is there.": [
            chosen(asked, count=lambda n: math.floor(keep * n + 0.5)),
            chosen(asked, count=down),
        ],
        "The number that is kept is rounded down; the nearest whole number is asked for.\n2.8 is nearer to 3.": [
            chosen(asked, count=at_least_one)
        ],
        "The number that is kept is rounded up; the nearest whole number is asked for.\n2.4 is nearer to 2.": [
            chosen(asked, count=up),
            chosen(asked, count=lambda n: down(n) + 1),
        ],
        "Every class keeps the same number, however many samples it has.\nkeep is a share of the class's own.": [
            chosen(asked, count=lambda n, m=m: max(1, m))
            for m in (
                1,
                math.floor(keep * total / classes + 0.5),
                int(keep * total / classes),
                math.floor(keep * total / present + 0.5),
                int(keep * total / present),
                overall,
            )
        ],
        "The samples that the classifier agrees with are kept, all of them.\nkeep says how many.": [
            (said == labels).nonzero()[:, 0].tolist()
        ],
        "keep is taken for a threshold of the probability. It is the share that is kept.\nRank, then count.": [
            (score > threshold).nonzero()[:, 0].tolist() for score in (asked, top) for threshold in (keep, 1 - keep)
        ],
        "These are numbers within a class, where each class begins with 0. Rows of the whole set are asked for."
        "\nTranslate them back.": [sorted(local)],
        "The first samples of each class are kept, whatever the classifier says.\nRank them first.": [
            chosen(-torch.arange(total).double())
        ],
        "All samples are ranked by one and the same column of the table.\nEach sample has a column of its own: that of "
        "its label.": [chosen(probabilities[:, c]) for c in (0, -1)],
        "Samples are ranked by the column next to that of their label.\nClasses are counted from 0.": [
            chosen(probabilities.gather(1, ((labels + step) % classes)[:, None])[:, 0]) for step in (1, -1)
        ],
    }


# A distance of features


@exercise(points=3)
def frechet_distance(answer: Answer) -> None:
    """Judge ``frechet_distance(a, b)``: that of two Gaussians with the means and covariances of the features."""
    trials: list[tuple[float, Tensor, Tensor]] = []
    for rows, others, columns in ((8, 8, 4), (12, 9, 3), (20, 11, 5), (6, 13, 2), (7, 5, 1)):
        a, b = _features(rows, columns), _features(others, columns)
        try:
            trials.append((_distance(answer, a, b), a, b))
        except Mistake:
            _judge_trials(answer, trials)  # what was wrong before says more
            raise
    _judge_trials(answer, trials)
    _judge_floor(answer)
    _judge_singular(answer)


def _distance(answer: Answer, a: Tensor, b: Tensor) -> float:
    value = answer(a, b)
    if isinstance(value, complex | np.complexfloating) or getattr(getattr(value, "dtype", None), "is_complex", False):
        raise Mistake(
            "The result is a complex number. The roots of eigenvalues that rounding made negative are imaginary.",
            "Those eigenvalues should be 0 or above.",
        )
    return Answer(lambda *_: value).number(a, b)


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
            got = _distance(answer, x, y)
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


def _judge_floor(answer: Answer) -> None:
    """Refuse a number above 0 in place of eigenvalues that are 0: a set's distance to itself tells how large it is."""
    rows, floors = 5, []
    for columns in (20, 32, 45, 60):
        x = torch.randn(rows, columns, dtype=torch.float64)
        try:
            floors.append((max(0.0, -_distance(answer, x, x.clone())) / (2 * (columns - rows + 1))) ** 2)
        except Mistake:
            return  # another mistake, which the other cases tell
    if min(floors) > 5e-8 and max(floors) < 1.01 * min(floors):
        raise Mistake(
            f"Eigenvalues that are 0 count as if they were {floors[0]:.1g}. With fewer rows than features there are "
            "many of them, and the distance of a set to itself comes out below 0.",
            "The root makes a small number much larger: that of 0.0001 is 0.01. What is to become of an eigenvalue "
            "that rounding made negative?",
        )


def _judge_trials(answer: Answer, trials: list[tuple[float, Tensor, Tensor]]) -> None:
    """Refuse what some mistake explains in every trial."""
    if all(_is_distance(*trial) for trial in trials):
        return
    _refuse_if_explained([(got, _wrong_distances(a, b)) for got, a, b in trials], lambda x, y: close(x, y, 1e-5))
    _judge_floor(answer)
    raise Mistake(
        "This is not the Fréchet distance of the two Gaussians.",
        "Squared distance of the means, both traces, minus twice the sum of the roots of the eigenvalues of C_a C_b.",
    )


def _is_distance(got: float, a: Tensor, b: Tensor) -> bool:
    right, traces = _frechet(a, b), float(_covariance(a).trace() + _covariance(b).trace())
    return abs(got - right) <= 1e-4 * right + 3e-5 * traces


def _wrong_distances(a: Tensor, b: Tensor) -> dict[str, list[float]]:
    """Return for each known mistake what its variants lead to."""
    right = _frechet(a, b)
    gap = float((a.mean(0) - b.mean(0)).square().sum())
    cov_a, cov_b = _covariance(a), _covariance(b)
    traces = float(cov_a.trace() + cov_b.trace())
    rest, product = right - gap, cov_a @ cov_b
    std_a, std_b = a.std(dim=0), b.std(dim=0)
    biased = [_covariance(x) * (len(x) - 1) / len(x) for x in (a, b)]
    roots = traces - rest  # twice the trace of the root
    raw = [x.T @ x / (len(x) - correction) for correction in (1, 0) for x in (a, b)]
    columns, shorter = a.shape[1], min(len(a), len(b))
    halves = torch.linalg.eigvalsh((product + product.T) / 2)
    known: Candidates = {
        "These are the means alone; the covariances are missing.\nTwo clouds with one centre can differ in shape.": gap,
        "The means are missing: this compares the covariances alone.\nA shift costs its squared length.": rest,
        "There is no square root: this takes away twice the trace of C_a C_b.\nA power of 1/2 is a root.": gap
        + traces
        - 2 * float(product.trace()),
        "Each entry of C_a C_b is rooted by itself. The root of a matrix is the matrix whose product with itself it "
        "is.\nEigenvalues.": [
            gap + traces - 2 * float(product.diagonal().sqrt().sum()),
            gap + traces - 2 * float(product.diagonal().abs().sqrt().sum()),
            gap + traces - 2 * float(product.diagonal().clamp(min=0).sqrt().sum()),
        ],
        "Only the variances of the features are compared, not how the features vary together.\nThe whole matrices.": gap
        + float((std_a - std_b).square().sum()),
        "The factor 2 before the root is missing.\nFor equal covariances nothing may be left.": right + roots / 2,
        "The root is added; it is to be taken away.\nFor equal covariances nothing may be left.": right + 2 * roots,
        "This is d; d squared is asked for.\nLeave out the last square root.": math.sqrt(max(0.0, right)),
        "The result is squared once more.\nThe formula gives d squared already.": right**2,
        "The distance of the means is not squared.\nIts square belongs into the sum.": rest + math.sqrt(gap),
        "The squared differences of the means are averaged over the features.\nThey are summed.": rest + gap / columns,
        "The differences of the means are summed and then squared, so they cancel.\nSquare first.": rest
        + float((a.mean(0) - b.mean(0)).sum() ** 2),
        "The covariances are divided by n, and n - 1 is asked for.\nWhich correction?": _frechet(a, b, *biased),
        "One covariance is divided by n, and n - 1 is asked for.\nWhich correction?": [
            _frechet(a, b, biased[0], cov_b),
            _frechet(a, b, cov_a, biased[1]),
        ],
        "Both covariances are divided by one and the same number, though the sets have different sizes.\nEach by its "
        "own n - 1.": [
            _frechet(a, b, cov_a * (len(a) - 1) / number, cov_b * (len(b) - 1) / number)
            for correction in (1, 0)
            for number in (len(a) - correction, len(b) - correction)
        ],
        "The larger set is cut to the size of the smaller one.\nMeans and covariances do not ask for equal numbers.": [
            _frechet(a[:shorter], b[:shorter]),
            _frechet(a[-shorter:], b[-shorter:]),
        ],
        "The features are not centred before their products are taken: these are second moments, which the means are "
        "in once more.\nTake the means off first.": [_frechet(a, b, *raw[:2]), _frechet(a, b, *raw[2:])],
        "These are correlations: the scale of each feature is divided out.\nCovariances.": _frechet(
            a, b, *(torch.corrcoef(x.T).reshape(columns, columns) for x in (a, b))
        ),
        "You multiply the roots of the two covariances. That is the root of their product only if they commute.\nThe "
        "eigenvalues of C_a C_b.": gap + traces - 2 * float((_root(cov_a) * _root(cov_b)).sum()),
        "You take Cholesky factors for roots. L times its transpose is C, but L times L is not.\nThe eigenvalues of "
        "C_a C_b.": gap + float((_cholesky(cov_a) - _cholesky(cov_b)).square().sum()),
        "You take the root of the trace, and the trace of the root is asked for.\nThe sum of the roots of the "
        "eigenvalues.": [
            gap + traces - 2 * math.sqrt(max(0.0, float(product.trace()))),
            gap + traces - 2 * math.sqrt(float(cov_a.trace() * cov_b.trace())),
        ],
        "The eigenvalues of the two covariances are compared one with another. Two clouds of the same shape that point "
        "in other directions would be alike.\nThe eigenvalues of C_a C_b.": gap
        + float((_spectrum(cov_a) - _spectrum(cov_b)).square().sum()),
        "These are singular values of C_a C_b. It is not symmetric, so they are not its eigenvalues.\nEigenvalues, of "
        "C_a C_b or of a symmetric matrix that has the same ones.": gap
        + traces
        - 2 * float(torch.linalg.svdvals(product).sqrt().sum()),
        "C_a C_b is not symmetric, and eigh and eigvalsh read one half of it only.\neigvals, or a symmetric matrix "
        "that has the same eigenvalues.": [
            gap + traces - 2 * float(torch.linalg.eigvalsh(product, half).clamp(min=0).sqrt().sum()) for half in "LU"
        ],
        "The mean of C_a C_b and its transpose is symmetric, but it has other eigenvalues.\nWhich symmetric "
        "matrix has those of C_a C_b?": [
            gap + traces - 2 * float(halves.clamp(min=0).sqrt().sum()),
            gap + traces - 2 * float(halves.abs().sqrt().sum()),
        ],
        "This is the mean squared distance of all pairs. It is not 0 for equal sets.\nFollow the formula: means and "
        "covariances.": float(torch.cdist(a, b).square().mean()),
        "The result is divided by the number of features.\nA sum over features.": right / columns,
        "This compares the covariances entry by entry, with squared differences.\nFollow the formula: traces.": gap
        + float((cov_a - cov_b).square().sum()),
        "The traces of the two covariances are missing.\nFor equal covariances they cancel the root.": gap - roots,
        "The root is missing altogether.\nFor equal covariances nothing may be left.": gap + traces,
        "The eigenvalues of the product are summed without their roots being taken.\nThe trace of the root is the sum "
        "of the roots.": gap + traces - 2 * float(torch.linalg.eigvals(product).real.sum()),
    }
    if len(a) == len(b):
        across = float((a.mean(1) - b.mean(1)).square().sum())
        known["The mean of each image is taken over its features. The mean of each feature over the images is asked "
              "for.\nWhich axis?"] = [across + rest, _frechet(a.T, b.T), gap + _frechet(a.T, b.T) - across]  # fmt: skip
    return {text: value if isinstance(value, list) else [value] for text, value in known.items()}


def _spectrum(matrix: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(matrix).clamp(min=0).sqrt()


def _cholesky(matrix: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return factor * math.nan if bool(failed) else factor
