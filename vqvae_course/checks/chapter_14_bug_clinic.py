"""Checks of notebook 14: each patient's diagnosis and repair, both judged by what can be measured."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqvae_course.checks import chapter_11_gated_pixelcnn as gated_pixelcnn
from vqvae_course.checks import patients
from vqvae_course.checks.answer import Answer, Mistake, NotAttempted, described, kind
from vqvae_course.checks.patients import FINDINGS
from vqvae_course.checks.report import exercise
from vqvae_course.quantize import nearest_code

Patient = Callable[..., Any]

SORTS = {
    "stack": "a stack of residual layers",
    "quantizer": "a quantizer whose codebook learns by gradient",
    "ema": "a quantizer whose codebook follows a running mean",
    "restarting": "a quantizer whose codebook follows a running mean, with restarts",
    "layer": "one layer of a gated PixelCNN",
    "loss": "a reconstruction loss",
}

SORT = dict(
    zip(
        patients.PATIENTS,
        ("stack", "quantizer", "stack", "loss", "quantizer", "ema", "layer", "quantizer", "restarting"),
        strict=True,
    )
)

LACKS = {  # why a finding cannot be made where nothing can be measured
    "beta-on-codebook": "there is no codebook in it, and no β",
    "losses-too-late": "it computes no codebook loss and no commitment loss",
    "reconstruction-trains-codebook": "there is no codebook in it",
    "farthest-code": "it chooses no codes",
    "mixed-channels": "it never lays out a map as rows",
    "ema-start": "it keeps no running counts and sums",
    "restart-keeps-statistics": "it restarts no codes",
    "updates-in-eval": "it has no codebook",
    "shared-layers": "it has no layers, one after the other, that could share anything",
    "inplace-skip": "it has no skip connection",
    "swapped-crop": "it crops nothing",
    "mask-hides-centre": "it has no causal convolution",
    "future-leak": "it predicts nothing in raster order, so no position has a future",
    "softmax-twice": "it computes no cross-entropy",
    "wrong-range-variance": "it divides by no variance",
}

SYMPTOMS = {  # said to whoever calls a patient sound: what is wrong to see, and not why
    "beta-on-codebook": "what β does to the gradients of its loss is not what its description says",
    "losses-too-late": "one of the two things that its loss should move does not move",
    "reconstruction-trains-codebook": "the decoder's gradient ends up where it should not",
    "farthest-code": "the distances from latents to their codes are too large",
    "mixed-channels": "what one position gets depends on another",
    "ema-start": "after its first batch codes lie where no running mean of codes and latents can lie",
    "restart-keeps-statistics": "codes that fell out of use stay out of use",
    "updates-in-eval": "two calls in eval mode give different codes",
    "shared-layers": "layers on top of the first add less than they should",
    "inplace-skip": "with all weights at zero its output differs from its input",
    "swapped-crop": "there are maps that it cannot take",
    "mask-hides-centre": "it feels less than it is meant to feel",
    "future-leak": "it feels more than it is meant to feel",
    "softmax-twice": "its loss has a floor that no weights get below",
    "wrong-range-variance": "an answer of mean grey does not get the loss that its description promises",
}


class Measured(NamedTuple):
    """What a probe saw: whether the fault is there, and the figures in a sentence."""

    found: bool
    text: str


# Pieces of probes


def _map(*shape: int) -> Tensor:
    return torch.randn(shape)


def _codebook(quantizer: Any) -> Tensor:
    codebook = getattr(quantizer, "codebook", None)
    codebook = getattr(codebook, "weight", codebook)
    if not isinstance(codebook, Tensor) or codebook.ndim != 2:
        raise Mistake("The repaired quantizer has no codebook of shape (K, D).", "Keep the attribute's name.")
    return codebook


def _quantized(quantizer: Any, z_e: Tensor) -> Any:
    out = quantizer(z_e)
    for name in ("z_q", "indices", "loss"):
        if not isinstance(getattr(out, name, None), Tensor):
            raise Mistake(
                f"The repaired quantizer returns {kind(out)} without a tensor named {name}.",
                "Return a Quantized, as the patient does.",
            )
    return out


def _gradients(value: Tensor, inputs: tuple[Tensor, ...], back: Tensor | None = None) -> list[Tensor]:
    """Return the gradients, zeros where there is none."""
    inside = [x for x in inputs if x.requires_grad]
    found = (
        iter(torch.autograd.grad(value, inside, back, allow_unused=True)) if value.requires_grad and inside else None
    )
    out = []
    for x in inputs:
        gradient = next(found) if found is not None and x.requires_grad else None
        out.append(torch.zeros_like(x) if gradient is None else gradient)
    return out


class Pulls(NamedTuple):
    """How a loss pulls, in multiples of a mean squared distance's gradient at latents and codes."""

    latents: float
    codes: float
    value: float  # of the loss, in mean squared distances
    straight: bool  # whether the pulls go along the lines between latents and codes


def _pulls(build: Patient, beta: float) -> Pulls:
    quantizer = build(7, 3, beta)
    z_e = _map(2, 3, 4, 5).requires_grad_()
    codebook = _codebook(quantizer)
    before = codebook.detach().clone()
    rows = z_e.detach().movedim(1, -1).reshape(-1, 3)
    chosen = nearest_code(rows, before)
    away = rows - before[chosen]
    lean = 2 * away / away.numel()
    unit_z = lean.view(2, 4, 5, 3).movedim(-1, 1)
    unit_c = torch.zeros_like(before).index_add_(0, chosen, -lean)
    loss = _quantized(quantizer, z_e).loss
    shares, straight = [], True
    for got, unit in zip(_gradients(loss, (z_e, codebook)), (unit_z, unit_c), strict=True):
        share = float((got * unit).sum() / unit.square().sum())
        straight &= torch.allclose(got, share * unit, rtol=1e-3, atol=1e-3 * float(unit.abs().max()))
        shares.append(0.0 if abs(share) < 1e-4 else share)
    return Pulls(*shares, float(loss.detach() / away.square().mean()), straight)


WEAK, STRONG = 0.25, 2.5
PUSHED = " A weight below 0 is a push: the latents move away from their codes."


def _weights(build: Patient) -> tuple[Pulls, Pulls]:
    return _pulls(build, WEAK), _pulls(build, STRONG)


def _n(number: float) -> str:
    return f"{number:.3g}"


# Probes: each is told what to build, and measures


def _beta(build: Patient, sort: str) -> Measured | None:
    if sort not in ("quantizer", "ema", "restarting"):
        return None
    weak, strong = _weights(build)
    found = strong.codes > 2 * max(weak.codes, 0.05)
    text = (
        f"For β = {WEAK} and {STRONG} its loss pulls the latents with weight {_n(weak.latents)} and "
        f"{_n(strong.latents)}, and the codes with weight {_n(weak.codes)} and {_n(strong.codes)}"
    )
    text += ": the codes feel β." if found else ": the codes do not feel β."
    return Measured(found, text + (PUSHED if weak.latents < 0 else ""))


def _late(build: Patient, sort: str) -> Measured | None:
    if sort not in ("quantizer", "ema", "restarting"):
        return None
    pulls = _pulls(build, WEAK)
    if sort == "quantizer":
        found = abs(pulls.codes) < 1e-3
        text = f"Its loss pulls the codes with weight {_n(pulls.codes)}"
        why = ": computed from z_q, in which the code is a constant, " + (
            "it sends them nothing." if found else "it would send them nothing."
        )
        return Measured(found, text + why)
    found = pulls.latents < 1e-3
    text = f"Its loss pulls the latents with weight {_n(pulls.latents)}"
    return Measured(found, text + ("." if found else "; computed from z_q, which follows z_e, it could not."))


def _leaking(build: Patient, sort: str) -> Measured | None:
    if sort not in ("quantizer", "ema", "restarting"):
        return None
    quantizer = build(7, 3)
    z_e = _map(2, 3, 4, 5).requires_grad_()
    back = _map(2, 3, 4, 5)
    to_latents, to_codes = _gradients(_quantized(quantizer, z_e).z_q, (z_e, _codebook(quantizer)), back)
    latents, codes = float(to_latents.norm() / back.norm()), float(to_codes.norm() / back.norm())
    text = f"Of a gradient of length 1 at z_q, {_n(latents)} arrives at the latents and {_n(codes)} at the codebook."
    return Measured(codes > 1e-6 or latents < 1e-6, text)


def _farthest(build: Patient, sort: str) -> Measured | None:
    if sort not in ("quantizer", "ema", "restarting"):
        return None
    quantizer = build(7, 3)
    codebook = _codebook(quantizer).detach().clone()
    z_e = _map(2, 3, 4, 5)
    rows = z_e.movedim(1, -1).reshape(-1, 3)
    with torch.no_grad():
        indices = _quantized(quantizer, z_e).indices.reshape(-1)
    mine = (rows - codebook[indices]).norm(dim=1)
    best = (rows[:, None] - codebook).norm(dim=2).amin(dim=1)
    hits = int((mine <= best * (1 + 1e-4) + 1e-6).sum())
    return Measured(hits < len(rows), f"{hits} of {len(rows)} random latents got their nearest code.")


def _mixed(build: Patient, sort: str) -> Measured | None:
    if sort not in ("quantizer", "ema", "restarting"):
        return None
    quantizer = build(7, 3).eval()
    z_e = _map(2, 3, 4, 5)
    other = z_e.clone()
    other[1, :, 2, 3] += 10 * _map(3)
    with torch.no_grad():
        changed = (_quantized(quantizer, z_e).z_q != _quantized(quantizer, other).z_q).any(dim=1)
    changed[1, 2, 3] = False
    strays = int(changed.sum())
    text = f"When one position of a 4×5 map changes, {strays} other position{'s' * (strays != 1)} of z_q change."
    return Measured(strays > 0, text.replace("0 other", "no other"))


def _segments(before: Tensor, after: Tensor, rows: Tensor, indices: Tensor) -> Tensor:
    """Return (K,) how far each new code lies from the segment between the old one and the mean of its latents."""
    count = torch.bincount(indices, minlength=len(before))[:, None]
    total = torch.zeros_like(before).index_add_(0, indices, rows)
    goal = torch.where(count > 0, total / count.clamp(min=1), before)
    return _off(after, before, goal)


def _off(point: Tensor, start: Tensor, end: Tensor) -> Tensor:
    way = end - start
    t = ((point - start) * way).sum(dim=-1, keepdim=True) / way.square().sum(dim=-1, keepdim=True).clamp(min=1e-12)
    return (point - start - t.clamp(0, 1) * way).norm(dim=-1)


def _trained(quantizer: Any, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Show a quantizer rows (N, D) in train mode; return the codebook before and after, and the indices."""
    before = _codebook(quantizer).detach().clone()
    with torch.no_grad():
        out = _quantized(quantizer.train(), rows.T[None, :, None].contiguous())
    return before, _codebook(quantizer).detach().clone(), out.indices.reshape(-1)


def _start(build: Patient, sort: str) -> Measured | None:
    if sort not in ("ema", "restarting"):
        return None
    quantizer = build(6, 4, decay=0.9)
    codebook = _codebook(quantizer).detach()
    rows = codebook[:2].repeat(6, 1) + 0.1 * _map(12, 4)  # four codes or more are left alone
    before, after, indices = _trained(quantizer, rows)
    idle = torch.bincount(indices, minlength=6) == 0
    off = _segments(before, after, rows, indices)
    found = bool((off > 2e-3 * before.norm(dim=1).max()).any())
    longest = [float(c[idle].norm(dim=1).max()) for c in (before, after)]
    text = (
        f"After its first batch in train mode, the {int(idle.sum())} codes that no latent chose are at most "
        f"{longest[1]:,.3g} long, and {longest[0]:.3g} before it"
    )
    if found and abs(longest[1] - longest[0]) < 1e-2 * longest[0]:
        text += "; but those that were chosen left the line between their old place and the mean of their latents"
    return Measured(found, text + ("." if found else "; the others moved towards the mean of their latents."))


class Restarted(NamedTuple):
    """What became of codes out of use."""

    moves: bool  # at least one was moved though no latent had chosen it
    restarts: bool  # the first that were moved, or some of them, lay on a latent of the batch
    stays: bool  # none was ever thrown anywhere else
    spares: bool  # codes in use were left alone
    spread: bool  # codes that restarted at the same time lie on different latents
    drawn: bool  # and not just on the first of the batch


def _restart_codes(build: Patient) -> Restarted:
    """Use two codes of six, so that four die; then let one of the restarted be chosen a little."""
    quantizer = build(6, 5, decay=0.8, min_count=0.3)
    live = _codebook(quantizer)[:2].detach().clone()
    moves, restarts, stays, spares, spread, drawn = False, False, True, True, True, True
    for step in range(16):
        rows = live.repeat(10, 1) + 0.01 * _map(20, 5)
        if step > 11:  # two latents far out, next to a code that restarted
            codebook = _codebook(quantizer).detach()
            away = codebook[5] - codebook[:2].mean(dim=0)
            rows = torch.cat([rows, (codebook[5] + 3 * F.normalize(away, dim=0)).expand(2, -1)])
        before, after, indices = _trained(quantizer, rows)
        tolerance = 5e-3 * float(before.norm(dim=1).max())
        count = torch.bincount(indices, minlength=6)[:, None]
        mean = torch.zeros_like(before).index_add_(0, indices, rows) / count.clamp(min=1)
        strayed = _segments(before, after, rows, indices) > tolerance
        from_rows = [_off(after, row.expand_as(after), torch.where(count > 0, mean, row)) for row in rows]
        fresh = strayed & (torch.stack(from_rows).amin(dim=0) <= tolerance)
        stays &= not bool((strayed & ~fresh).any())
        if step < 5:  # only the first two codes are in use
            spares &= not bool(strayed[:2].any())
        if not restarts and int(fresh[2:].sum()) > 2:
            new = after[2:][fresh[2:]]
            spread = len(new.unique(dim=0)) > 1
            drawn = not torch.allclose(new, rows[: len(new)], atol=1e-3)
        if not moves:
            restarts = bool(fresh[2:].any())
        moves |= bool(strayed[2:].any())
    return Restarted(moves, restarts, stays, spares, spread, drawn)


def _restart(build: Patient, sort: str) -> Measured | None:
    if sort != "restarting":
        return None
    _, restarts, stays, *_ = _restart_codes(build)
    if not restarts:
        return Measured(
            True,
            "Four of six codes are left out for sixteen batches and fall below min_count. After each forward pass "
            "they lie where their old sums and counts put them, and not on a latent of the batch.",
        )
    if not stays:
        return Measured(
            True,
            "Codes restart on latents of the batch, and at a later update some of them are thrown to a place that "
            "lies neither on a latent nor between where they were and the latents that chose them.",
        )
    return Measured(False, "Codes out of use restart on latents of the batch, and later updates start from there.")


def _eval_moves(build: Patient, sort: str) -> Measured | None:
    if sort not in ("quantizer", "ema", "restarting"):
        return None
    quantizer = build(7, 3).eval()
    before = _codebook(quantizer).detach().clone()
    with torch.no_grad():
        for _ in range(3):
            _quantized(quantizer, _map(2, 3, 4, 5))
    moved = float((_codebook(quantizer).detach() - before).norm())
    return Measured(moved > 0, f"Three batches in eval mode move its codebook by {_n(moved)} in all.")


def _shared(build: Patient, sort: str) -> Measured | None:
    if sort == "layer":
        shapes = {tuple(parameter.shape) for parameter in build(3, 3).parameters() if parameter.ndim > 1}
        return Measured(False, f"It is one layer; its {len(shapes)} kernels differ in shape, so none can be another's.")
    if sort != "stack":
        return None
    one, three = (sum(p.numel() for p in build(3, 5, layers).parameters()) for layers in (1, 3))
    found = three < 3 * one
    text = f"With one layer it has {one:,} parameters, with three {three:,}"
    return Measured(found, text + ("." if found else ", three times as many."))


def _inplace(build: Patient, sort: str) -> Measured | None:
    if sort == "layer":
        module = build(3, 3)
        v, h = _map(2, 3, 5, 5), _map(2, 3, 5, 5)
        before = torch.stack([v, h])
        with torch.no_grad():
            module(v, h)
        change = float((torch.stack([v, h]) - before).abs().max())
        return Measured(change > 0, f"A forward pass changes its inputs by {_n(change)}.")
    if sort != "stack":
        return None
    stack = build(3, 5, 3)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.zero_()
        x = _map(2, 3, 4, 5)
        before = x.clone()
        out = stack(x)
    kept = torch.equal(out, before)
    clipped = torch.equal(out, before.relu())
    found = not torch.equal(x, before) or (not kept and clipped)
    comes = "as it came in" if kept else "with its negative numbers at 0" if clipped else "changed"
    inside = "is as before" if torch.equal(x, before) else "has changed as well"
    text = f"With all weights at zero a 4×5 map comes out {comes}, and the tensor that was put in {inside}."
    return Measured(found, text)


def _crop(build: Patient, sort: str) -> Measured | None:
    if sort == "loss":
        return None
    tries = []
    for height, width in ((5, 5), (4, 7), (7, 4)):
        try:
            if sort == "layer":
                outs = build(3, 3)(_map(1, 3, height, width), _map(1, 3, height, width))
            elif sort == "stack":
                outs = (build(3, 5, 2)(_map(1, 3, height, width)),)
            else:
                outs = (_quantized(build(7, 3), _map(1, 3, height, width)).z_q,)
            shapes = {tuple(out.shape[2:]) for out in outs}
            tries.append("fine" if shapes == {(height, width)} else "in another size")
        except RuntimeError as error:
            tries.append(f"with {described(error)}")
    square, wide, tall = tries
    if tries == ["fine"] * 3:
        return Measured(False, "Maps of 5×5, 4×7 and 7×4 all go through, and come out in their own size.")
    text = f"A 5×5 map goes through {square}, one of 4×7 ends {wide}, one of 7×4 ends {tall}."
    return Measured(square == "fine", text)


def _feels(build: Patient, first: bool) -> tuple[Tensor, Tensor]:
    """Return (25, 25) bool, output position by input position: what the new h feels of h, and of v."""
    module = build(3, 3, first)
    v, h = _map(1, 3, 5, 5).requires_grad_(), _map(1, 3, 5, 5).requires_grad_()
    _, new_h = module(v, h)
    heard = torch.einsum("bchw,c->hw", new_h if first else new_h - h, torch.rand(3) + 0.5).flatten()
    felt = [torch.autograd.grad(place, (h, v), retain_graph=True, materialize_grads=True) for place in heard]
    return tuple(torch.stack([row[n][0].abs().sum(dim=0).flatten() > 0 for row in felt]) for n in range(2))


def _blind(build: Patient, sort: str) -> Measured | None:
    if sort != "layer":
        return None
    own = int(_feels(build, first=False)[0].diagonal().sum())
    return Measured(
        own < 25, f"As a later layer, on a 5×5 map, {own} of 25 positions of the new h feel h at their own."
    )


def _future(build: Patient, sort: str) -> Measured | None:
    if sort != "layer":
        return None
    of_h, of_v = _feels(build, first=True)
    ahead = int((of_h | of_v).triu(0).any(dim=1).sum())
    text = f"As a first layer, on a 5×5 map, {ahead} of 25 positions feel their own place or a later one."
    return Measured(ahead > 0, text)


def _softmax(build: Patient, sort: str) -> Measured | None:
    if sort != "layer":
        return None
    with torch.no_grad():
        new_v, new_h = build(4, 3)(_map(2, 4, 5, 5), _map(2, 4, 5, 5))
    below = [100 * float((out < 0).float().mean()) for out in (new_v, new_h)]
    found = any(torch.allclose(out.sum(dim=1), torch.ones(2, 5, 5), atol=1e-4) for out in (new_v, new_h))
    text = f"{below[0]:.0f} % of the new v and {below[1]:.0f} % of the new h are negative: no softmax made them"
    return Measured(found, f"{text}, and a layer computes no loss.")


def _images(count: int, dark: bool) -> Tensor:
    """Return small uint8 images whose mean is far from mid-grey.

    Images, channels and pixels all have means of their own, and those of the images change from the first to the
    last: no variance of a part, and none within images, channels or pixels, is that of the whole.
    """
    image = torch.linspace(90, 10, count)[:, None, None, None]
    channel = torch.tensor([12.0, -12.0])[:, None, None]
    spread = torch.rand(count, 1, 1, 1) * 20 + 5
    row, column = torch.linspace(-12, 12, 4)[:, None], torch.linspace(-12, 12, 3)
    pixel = channel + row + column + 8 * _map(2, 4, 3)
    images = (image + pixel + spread * _map(count, 2, 4, 3)).clamp(0, 255).round()
    return (images if dark else 255 - images).to(torch.uint8)


def _range(build: Patient, sort: str) -> Measured | None:
    if sort != "loss":
        return None
    images = _images(40, dark=True)
    measure = build(images)
    x = measure.prepare(images)
    grey = float(measure(x, x.mean().expand_as(x)))
    text = f"On its training set, an answer of mean grey everywhere has a loss of {_n(grey)}."
    return Measured(abs(grey - 1) > 0.01, text)


PROBES: dict[str, Callable[[Patient, str], Measured | None]] = {
    "beta-on-codebook": _beta,
    "losses-too-late": _late,
    "reconstruction-trains-codebook": _leaking,
    "farthest-code": _farthest,
    "mixed-channels": _mixed,
    "ema-start": _start,
    "restart-keeps-statistics": _restart,
    "updates-in-eval": _eval_moves,
    "shared-layers": _shared,
    "inplace-skip": _inplace,
    "swapped-crop": _crop,
    "mask-hides-centre": _blind,
    "future-leak": _future,
    "softmax-twice": _softmax,
    "wrong-range-variance": _range,
}


def probe(finding: str, patient: Patient, sort: str) -> Measured:
    """Look for one fault in a patient, or in a repaired one, by measuring.

    Args:
        finding: A key of ``FINDINGS``, not ``"sound"``.
        patient: The class.
        sort: A key of ``SORTS``, which says how to build and to call it.

    Returns:
        Whether it was found, and what was measured; what cannot be measured is not found.

    Explained in notebook 14.
    """
    measured = PROBES[finding](patient, sort)
    return Measured(False, f"It is {SORTS[sort]}: {LACKS[finding]}.") if measured is None else measured


def ailment(patient: Patient, sort: str) -> str:
    """Return the first finding that a probe makes, or ``"sound"``."""
    return next((finding for finding in PROBES if probe(finding, patient, sort).found), "sound")


# Repairs: all that a patient is meant to do, and must still do afterwards


def _require(condition: object, message: str, hint: str = "") -> None:
    if not condition:
        raise Mistake(message, hint)


def _examine_stack(build: Patient, _: str) -> None:
    for channels, hidden, layers in ((3, 5, 1), (2, 4, 3), (4, 3, 2)):
        stack = build(channels, hidden, layers)
        _require(isinstance(stack, nn.Module), f"Your version builds {kind(stack)}; a torch.nn.Module is asked for.")
        count = sum(p.numel() for p in stack.parameters())
        one = channels * hidden * 9 + hidden + hidden * channels + channels
        without = one - hidden - channels  # no bias is a matter of taste
        _require(count, "Your version has no parameters that an optimizer could find.", "nn.ModuleList, not a list.")
        _require(
            count in (layers * one, layers * without),
            f"Your version with {channels} channels, {hidden} hidden ones and layers={layers} has {count} parameters; "
            f"with weights of its own in each layer it has {layers * one}.",
        )
        x = torch.randn(2, channels, 9, 7)
        before = x.clone()
        out = stack(x)
        _require(out.shape == x.shape, f"A map of shape {tuple(x.shape)} comes out as {tuple(out.shape)}.")
        _require(
            torch.equal(before, x),
            "Your version changes the tensor that is put in.",
            "Someone may need it: the skip, for one.",
        )
        _require(torch.equal(out, stack(x)), "The same map comes out differently the second time.")
        heard = [False] * len(list(stack.parameters()))
        for _ in range(10):  # a branch may well start at zero, and a ReLU may be off everywhere by chance
            _randomise(stack)
            gradients = _gradients(stack(x.clone()).square().sum(), tuple(stack.parameters()))
            heard = [one or bool(g.any()) for one, g in zip(heard, gradients, strict=True)]
        _require(all(heard), "Some of the weights receive no gradient.", "Is each layer used?")
        with torch.no_grad():
            for parameter in stack.parameters():
                if parameter.ndim == 1:
                    parameter.zero_()
            below = -torch.rand(2, channels, 9, 7)
            _require(
                torch.allclose(stack(below.clone()), below, atol=1e-6),
                "With biases at zero, a map of negative numbers should come out as it came in: each layer's first ReLU "
                "closes its branch, and the skip carries the map. Yours changes it.",
            )
            above = torch.rand(2, 2, channels, 9, 7)
            if layers == 1:  # a branch of two convolutions and no ReLU between them would be additive here
                gaps = []
                for _ in range(10):  # hidden units that are all on or all off, by chance, would be additive too
                    for parameter in stack.parameters():
                        torch.nn.init.zeros_(parameter) if parameter.ndim == 1 else parameter.normal_(std=0.3)
                    parts = [stack(part) - part for part in above.clone()]
                    gaps.append(stack(above.sum(dim=0)) - above.sum(dim=0) - parts[0] - parts[1])
                _require(
                    any(float(gap.abs().max()) > 1e-5 for gap in gaps),
                    "Between the two convolutions of a layer there is no ReLU any more.",
                )
            for parameter in stack.parameters():
                parameter.zero_()
            mixed = torch.randn(2, channels, 9, 7)
            _require(
                torch.allclose(stack(mixed.clone()), mixed, atol=1e-6),
                "With all weights at zero the corrections are zero, and a map should come out as it came in; yours "
                "changes it.",
                "What exactly is it that each layer adds its correction to?",
            )
    _judge_reach(build)
    _judge_branches(build)


@torch.no_grad()
def _randomise(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.normal_(std=0.3)


def _judge_reach(build: Patient) -> None:
    felt, window = torch.zeros(2, 9, 11, dtype=torch.bool).unbind()
    window[2:7, 3:8] = True
    for _ in range(30):  # a position shows only where no ReLU on its way is off
        stack, x = build(2, 8, 2), torch.randn(2, 2, 9, 11).requires_grad_()
        _randomise(stack)
        (gradient,) = _gradients(stack(x * 1)[:, :, 4, 5].sum(), (x,))
        felt |= gradient.abs().sum(dim=(0, 1)) > 0
        if torch.equal(felt, window):
            return
    raise Mistake(
        f"Two 3×3 convolutions let a position feel the 5×5 square around it, 25 positions. In your version it feels "
        f"{int((felt & window).sum())} of those and {int((felt & ~window).sum())} others."
    )


def _judge_branches(build: Patient) -> None:
    """Put the stack's own weights, in the order of its layers, into the formula."""
    channels, hidden, layers = 3, 5, 2
    stack = build(channels, hidden, layers)
    _randomise(stack)
    groups: dict[tuple[int, ...], list[Tensor]] = {}
    for parameter in stack.parameters():
        groups.setdefault(tuple(parameter.shape), []).append(parameter)
    wide = groups.get((hidden, channels, 3, 3), [])
    narrow = [p.view(channels, hidden, 1, 1) for n in (1, 0) for p in groups.get((channels, hidden) + 2 * n * (1,), [])]
    _require(
        len(wide) == len(narrow) == layers,
        "The kernels of your version have other shapes than 3×3 from channels to hidden and 1×1 back.",
    )
    above, below = (groups.get((size,), [None] * layers) for size in (hidden, channels))
    x = torch.randn(2, channels, 6, 7).requires_grad_()
    out = x
    for a, b, c, d in zip(wide, above, narrow, below, strict=True):
        out = out + F.conv2d(F.conv2d(out.relu(), a, b, padding=1).relu(), c, d)
    got, back = stack(x * 1), torch.randn_like(x)
    _require(
        torch.allclose(got, out, rtol=1e-3, atol=1e-4),
        "With random weights the output is not that of x + conv1x1(relu(conv3x3(relu(x)))), layer after layer, with "
        "zeros around the map.",
    )
    _require(
        torch.allclose(*(_gradients(y, (x,), back)[0] for y in (got, out)), rtol=1e-3, atol=1e-4),
        "The output is right, but its gradient at the input is not: something is cut off, or counted twice.",
    )


def _examine_quantizer(build: Patient, sort: str) -> None:
    for codes, length, height, width in ((7, 3, 4, 5), (5, 2, 3, 2)):
        quantizer = build(codes, length)
        _require(
            isinstance(quantizer, nn.Module), f"Your version builds {kind(quantizer)}; a torch.nn.Module is asked for."
        )
        codebook = _codebook(quantizer)
        _require(
            codebook.shape == (codes, length),
            f"The codebook has shape {tuple(codebook.shape)}. It was ({codes}, {length}).",
        )
        _require(
            len(codebook.detach().unique(dim=0)) == codes,
            f"Of the {codes} codes of a new quantizer some are equal; no latent can be nearer to one of them than to "
            "the other.",
        )
        learns = any(p is codebook for p in quantizer.parameters())
        if sort == "quantizer":
            _require(learns and codebook.requires_grad, "The codebook is no parameter any more: no optimizer finds it.")
        else:
            _require(
                not codebook.requires_grad,
                "The codebook is a parameter now; it follows a running mean, and no optimizer should move it.",
            )
        for training in (True, False):
            _judge_choice(quantizer.train(training), _map(2, length, height, width), sort)
    for beta in (WEAK, STRONG, 0.0):
        _judge_pulls(build, beta, sort)


def _judge_choice(quantizer: Any, z_e: Tensor, sort: str) -> None:
    codebook = _codebook(quantizer)
    before = codebook.detach().clone()
    z_e.requires_grad_()
    out = _quantized(quantizer, z_e)
    shape = (z_e.shape[0], *z_e.shape[2:])
    _require(out.indices.shape == shape, f"indices have shape {tuple(out.indices.shape)}; {shape} is meant.")
    _require(out.indices.dtype == torch.int64, f"indices are {out.indices.dtype}; int64 is meant.")
    _require(out.z_q.shape == z_e.shape, f"z_q has shape {tuple(out.z_q.shape)}; that of z_e is meant.")
    rows = z_e.detach().movedim(1, -1)
    mine = (rows - before[out.indices.clamp(0, len(before) - 1)]).norm(dim=-1)
    best = (rows[..., None, :] - before).norm(dim=-1).amin(dim=-1)
    _require(bool((mine <= best * (1 + 1e-4) + 1e-5).all()), "Not every latent gets its nearest code any more.")
    _require(
        torch.allclose(out.z_q.detach().movedim(1, -1), before[out.indices], atol=1e-5),
        "z_q does not have the value of the chosen codes"
        + (", as they were before the update." if sort != "quantizer" else "."),
    )
    back = torch.randn_like(z_e)
    to_latents, to_codes = _gradients(out.z_q, (z_e, codebook), back)
    _require(not to_codes.any(), "The gradient at z_q flows into the codebook now; it should reach the latents alone.")
    _require(
        torch.allclose(to_latents, back, atol=1e-5),
        "The gradient at z_q does not arrive at the latents unchanged any more.",
    )
    if sort == "quantizer" or not quantizer.training:
        mode = "train" if quantizer.training else "eval"
        _require(
            torch.equal(before, _codebook(quantizer).detach()), f"A forward pass in {mode} mode changes the codebook."
        )


def _judge_pulls(build: Patient, beta: float, sort: str) -> None:
    try:
        pulls = _pulls(build, beta)
    except RuntimeError as error:
        raise Mistake(f"The gradient of the loss cannot be taken: {described(error)}") from error
    codes = 1.0 if sort == "quantizer" else 0.0
    _require(pulls.straight, "The loss pulls in other directions than along the lines between latents and codes.")
    fits = abs(pulls.latents - beta) < 2e-3 * max(1, beta) and abs(pulls.codes - codes) < 2e-3
    _require(
        fits,
        f"For β = {beta:g} the loss of your version pulls the latents with weight {_n(pulls.latents)} and the codes "
        f"with weight {_n(pulls.codes)}; {beta:g} and {codes:g} are meant." + (PUSHED if pulls.latents < 0 else ""),
    )
    _require(
        abs(pulls.value - beta - codes) < 2e-3 * (1 + beta),
        f"The gradients of the loss are right, but for β = {beta:g} its value is {_n(pulls.value)} mean squared "
        f"distances; {beta + codes:g} is meant.",
    )


def _examine_ema(build: Patient, sort: str) -> None:
    _examine_quantizer(build, sort)
    spare = {"min_count": 0.0} if sort == "restarting" else {}  # no count is below 0, so nothing restarts
    for decay in (0.9, 0.5):
        quantizer = build(6, 4, decay=decay, **spare)
        codebook = _codebook(quantizer).detach().clone()
        gap = float((codebook[1:] - codebook[0]).norm(dim=1).min())
        aside = 0.3 * gap * F.normalize(_map(4), dim=0)  # still nearest to the same code
        for step in range(4):
            rows = codebook[0] + (step == 3) * aside + 1e-3 * gap * _map(40, 4)
            before, after, indices = _trained(quantizer, rows)
            _judge_step(before, after, rows, indices, sort, step)
        mean, most = rows.mean(dim=0), (1 - decay) / (1 - decay**4)
        index = int(indices.mode().values)
        share = float(((after - before)[index] * (mean - before[index])).sum() / (mean - before[index]).square().sum())
        _require(
            most / 2 < share < 1.1 * most,
            f"With a decay of {decay}, after three batches at one place, a fourth of the same size moves the code "
            f"{share:.0%} of its way; a running mean that began with a small count goes about {most:.0%}.",
        )


SHRINKS = 0.01  # what Laplace smoothing may take from an idle code in a batch: about eps / N, for counts from 0.01 on


def _judge_step(before: Tensor, after: Tensor, rows: Tensor, indices: Tensor, sort: str, step: int) -> None:
    chosen = torch.bincount(indices, minlength=len(before)) > 0
    shrunk = _off(after, before, (1 - SHRINKS) * before)
    off = torch.where(chosen, _segments(before, after, rows, indices), shrunk) > 2e-3 * before.norm(dim=1).max()
    long_before, long_after = (float(c[~chosen].norm(dim=1).max()) for c in (before, after))
    why = ", though none has fallen below min_count" if sort == "restarting" else ""
    _require(
        not (off & ~chosen).any(),
        f"After a batch, codes that no latent chose have moved{why}: the longest was {long_before:.3g} long, now it is "
        f"{long_after:,.3g}.",
        "Without news, a sum divided by its count should give the same code as before. (Laplace smoothing shortens a "
        "code by eps / N of its length: with counts near eps that is much.)",
    )
    _require(
        not (off & chosen).any(),
        "After a batch, a code that was chosen lies off the line between its old place and the mean of its latents.",
        "A running mean is a mixture of the two, with weights that add up to 1. Do yours?",
    )
    which = ("first", "second", "third", "fourth")[step]
    _require(
        bool((after - before)[chosen].any()),
        f"In its {which} batch in train mode the codebook does not move, not even the codes that were chosen.",
    )


def _examine_restarting(build: Patient, sort: str) -> None:
    _examine_ema(build, sort)
    seen = _restart_codes(build)
    _require(
        seen.moves,
        "Codes are left out for sixteen batches and fall below min_count, and after none of these batches do they lie "
        "on a latent of it: they stay where they are.",
        "In which order are things written, and from what is the codebook computed next?",
    )
    _require(
        seen.restarts,
        "Codes are left out, fall below min_count and are moved, but not to where a latent of that batch lies.",
    )
    _require(
        seen.stays,
        "Codes restart on latents of the batch, but an update throws some of them to a place that lies neither on a "
        "latent nor between where they were and the latents that chose them.",
        "From what is the codebook computed at the next update?",
    )
    _require(seen.spares, "Codes that are in use are restarted as well.")
    _require(seen.spread, "All codes that restart at the same time are put on one and the same latent.")
    _require(seen.drawn, "Codes always restart on the first latents of the batch, which are neighbours; none is drawn.")
    for _ in range(5):
        if _judge_lives(build):  # as good as always
            break
    _judge_leaving(build)


HOME, CROWD = 10, 300  # latents around code 0, and around code 5


def _judge_lives(build: Patient) -> bool:
    """Follow six codes through their lives, keeping the books; return whether all of it could be judged.

    Codes 0 and 5 are used, the others die and restart, most likely among the crowd. Then nothing is left around
    code 0, which dies.
    """
    decay, least = 0.8, 0.3
    quantizer = build(6, 5, decay=decay, min_count=least)
    places = _codebook(quantizer).detach().clone()
    gap = float(torch.pdist(places).min())
    tolerance = 1e-3 * float(places.norm(dim=1).max())

    def batch(home: int, shift: Tensor | float = 0.0) -> tuple[Tensor, ...]:
        rows = torch.cat([places[:1] + shift + 0.03 * gap * _map(home, 5), places[5:] + 0.08 * gap * _map(CROWD, 5)])
        rows = rows[torch.randperm(len(rows))]  # the first latents of a batch are no better than others
        return rows, *_trained(quantizer, rows)

    running, shift, begun = 1.0, torch.zeros(5), 20
    for step in range(20):
        rows, before, after, indices = batch(HOME, shift)
        mine = rows[indices == 0]
        if not len(mine):
            return False  # another code has restarted right there and takes the latents
        if step == begun + 1:
            _judge_memory(before[0], after[0], mine, running, decay)
        _judge_eval(quantizer, rows)
        fresh = (torch.bincount(indices, minlength=6) == 0) & ((after - before).norm(dim=1) > tolerance)
        fresh[[0, 5]] = False
        if begun == 20 and fresh.any():
            begun, shift = step, 0.3 * gap * F.normalize(_map(5), dim=0)
            _judge_restart(after[fresh], rows, 5e-4 * gap + tolerance / 5)
        running = decay * running + (1 - decay) * len(mine)
    history = [running]
    while len(history) < 25:
        _, before, after, indices = batch(0)
        chosen = int((indices == 0).sum())
        history.append(decay * history[-1] + (1 - decay) * chosen)
        if not chosen and float((after - before)[0].norm()) > tolerance:
            break
    _require(
        history[-1] < 1.05 * least,
        f"A code restarts when its running count has fallen to {_n(history[-1])}; min_count is {least}.",
    )
    _require(
        len(history) < 3 or history[-3] > 0.95 * least,
        f"A code's running count has fallen to {_n(history[-3])}, min_count is {least}, and the code does not restart "
        "in this batch, nor in the next.",
    )
    return True


def _judge_leaving(build: Patient) -> None:
    """Move all latents far away as soon as codes have restarted: every code has to follow, in one way or the other."""
    quantizer = build(6, 5, decay=0.8, min_count=0.3)
    places = _codebook(quantizer).detach().clone()
    apart = torch.pdist(places)
    gap, wide = float(apart.min()), float(apart.max())
    far, left = 10 * wide * F.normalize(_map(5), dim=0), 33  # by then even a count of all latents is below 0.3
    for step in range(20):
        before, after, indices = _trained(quantizer, places[5:] + 0.08 * gap * _map(CROWD, 5))
        idle = torch.bincount(indices, minlength=6) == 0
        if step and bool(((after - before).norm(dim=1)[idle] > 0.1 * gap).any()):
            break
    for _ in range(left):
        _trained(quantizer, places[5:] + far + 0.08 * gap * _map(CROWD, 5))
    behind = int(((_codebook(quantizer).detach() - places[5] - far).norm(dim=1) > 3 * wide).sum())
    _require(
        behind == 0,
        f"After codes have restarted, all latents move to another place. After {left} batches there, {behind} of six "
        f"codes ha{'s' if behind == 1 else 've'} neither followed them nor restarted there.",
        "How long does it take until a code that has restarted can fall below min_count again?",
    )


def _judge_eval(quantizer: Any, rows: Tensor) -> None:
    before = _codebook(quantizer).detach().clone()
    with torch.no_grad():
        quantizer.eval()(rows.T[None, :, None].contiguous())
    _require(torch.equal(before, _codebook(quantizer).detach()), "A forward pass in eval mode restarts codes.")


def _judge_restart(fresh: Tensor, rows: Tensor, tolerance: float) -> None:
    _require(
        len(fresh) == 4,
        f"Four codes fall below min_count at the same batch, and {len(fresh)} of them "
        f"restart{'s' * (len(fresh) == 1)}; each should.",
    )
    beside = float((fresh[:, None] - rows).norm(dim=2).amin(dim=1).max())
    _require(
        beside < tolerance,
        f"Codes restart near a latent of the batch, but not on one: one of them lies {_n(beside)} beside the nearest.",
    )


def _judge_memory(before: Tensor, after: Tensor, mine: Tensor, running: float, decay: float) -> None:
    """Judge the step of a code in use, one batch after others have restarted."""
    way = mine.mean(dim=0) - before
    share = float(((after - before) * way).sum() / way.square().sum())
    news = (1 - decay) * len(mine)
    meant = news / (decay * running + news)
    _require(
        0.75 * meant < share < 1.3 * meant,
        f"One batch after others have restarted, a code that was in use all the time goes {share:.0%} of the way to "
        f"its latents. By its running count, {_n(running)}, it should go {meant:.0%}.",
        "What does a restart change, and of which codes?",
    )


def _examine_loss(build: Patient, _: str) -> None:
    for count, dark in ((1500, True), (150, False)):
        images = _images(count, dark)
        measure = build(images)
        ends = measure.prepare(torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3))
        part = measure.prepare(images[: count // 3])
        for x, shape in ((ends, (1, 1, 1, 3)), (part, (count // 3, 2, 4, 3))):
            _require(
                isinstance(x, Tensor) and x.is_floating_point() and x.shape == shape,
                "prepare should turn uint8 images into float ones of the same shape.",
            )
        ends = ends.flatten()
        _require(
            torch.allclose(ends, torch.tensor([-1.0, -0.6, 1.0]), atol=1e-5),
            f"prepare turns 0, 51 and 255 into {', '.join(_n(float(end)) for end in ends)}; the network works between "
            "-1 and 1, so -1, -0.6 and 1 are meant.",
        )
        x = images.float() / 127.5 - 1
        _require(
            torch.allclose(part, x[: count // 3], atol=1e-4),
            "prepare turns single pixels into what they should be, and whole images not.",
        )
        variance = float(x.double().var(correction=0))
        _judge_unit(measure, part, torch.rand_like(part), variance, "a part of the training set")
        for answer in (x.mean().expand_as(x), torch.rand_like(x)):
            _judge_unit(measure, x, answer, variance, "the training set")
        x_hat = torch.rand_like(part).requires_grad_()
        loss = measure(part, x_hat)
        _require(
            isinstance(loss, Tensor) and loss.ndim == 0 and loss.requires_grad,
            "The loss is no scalar tensor that a gradient flows through.",
        )


def _judge_unit(measure: Any, x: Tensor, x_hat: Tensor, variance: float, what: str) -> None:
    square = float(F.mse_loss(x_hat, x))
    got = float(measure(x, x_hat))
    _require(
        abs(got - square / variance) < 0.01 * square / variance,
        f"On {what}, an answer with a mean squared error of {_n(square)} has a loss of {_n(got)}. The prepared "
        f"training images have a variance of {_n(variance)}, so {_n(square / variance)} is meant.",
    )


def _examine_layer(build: Patient, _: str) -> None:
    try:
        gated_pixelcnn.GatedLayer(Answer(_lively(build)))
    except Mistake as mistake:
        message = mistake.message.replace("Your function", "Your class")
        of_sizes = "has shape" in message or ("RuntimeError" in message and "size" in message.lower())
        misleads = mistake.hint.startswith("Somewhere rows and columns are swapped") and not of_sizes
        raise Mistake(message, "" if misleads else mistake.hint) from mistake


def _lively(build: Patient) -> Patient:
    """Return what builds layers, and refuses those that hand a map on as it came."""

    def built(*arguments: Any) -> Any:
        layer = build(*arguments)
        for height, width in ((5, 5), (5, 7)):
            v, h = _map(2, 1, arguments[0], height, width)
            try:
                out = layer(v.clone(), h.clone())
            except Exception:
                break  # will be said by whoever asks for the layer
            if isinstance(out, tuple | list) and out and isinstance(out[0], Tensor) and torch.equal(out[0], v):
                raise Mistake(
                    f"A v of {height} rows and {width} columns comes out of the layer as it went in: no convolution "
                    "and no gate has touched it."
                )
        return layer

    return built


EXAMINE: dict[str, Callable[[Patient, str], None]] = {
    "stack": _examine_stack,
    "quantizer": _examine_quantizer,
    "ema": _examine_ema,
    "restarting": _examine_restarting,
    "layer": _examine_layer,
    "loss": _examine_loss,
}


def _repair(repaired: object, patient: Patient, sort: str) -> Mistake | None:
    """Return what is wrong with a repaired version, or None."""
    if not callable(repaired) or isinstance(repaired, nn.Module | str):
        return Mistake(f"The repaired version is {kind(repaired)}; return the class itself, without building it.")
    try:
        _judge_defaults(repaired, patient)
        EXAMINE[sort](repaired, sort)
    except Mistake as mistake:
        if repaired is patient:
            return Mistake("The repaired version is the patient itself, unchanged.")
        return mistake
    except NotAttempted:
        return Mistake("Your version raised NotImplementedError: one of its methods is still to be written.")
    except TypeError as error:
        if repaired is patient:
            return Mistake("The repaired version is the patient itself, unchanged.")
        text = f"Your version raised {described(error)}"
        return Mistake(text, "Keep the arguments of the patient's __init__ and of its methods.")
    except Exception as error:
        if repaired is patient:
            return Mistake("The repaired version is the patient itself, unchanged.")
        return Mistake(f"Your version raised {described(error)}")
    return None


def _judge_defaults(repaired: Patient, patient: Patient) -> None:
    mine, before = (inspect.signature(build).parameters for build in (repaired, patient))
    for name in mine.keys() & before.keys():
        if mine[name].default != before[name].default and before[name].default is not inspect.Parameter.empty:
            given = "none" if mine[name].default is inspect.Parameter.empty else mine[name].default
            raise Mistake(f"The default of {name} in your version is {given}; it was {before[name].default}.")


def _judge(answer: Answer, number: int) -> None:
    patient = patients.PATIENTS[number - 1]
    sort = SORT[patient]
    diagnosis, repaired = _pair(answer())
    wrong = _misdiagnosis(diagnosis, patient, sort)
    fault = _repair(repaired, patient, sort)
    if wrong is None and fault is None:
        return
    if wrong is None:
        what = (
            "The repair is not yet" if diagnosis != "sound" else "Nothing needs repair; but your version is not sound"
        )
        raise Mistake(f"The diagnosis is right. {what}. {fault.message}", fault.hint)
    if fault is None and repaired is not patient:
        raise Mistake(f"The repaired version is as it should be, but the diagnosis is not what it cures. {wrong}")
    raise Mistake(wrong, "Each finding claims something that can be measured. Which instrument would show it?")


def _pair(value: object) -> tuple[str, object]:
    form = 'Write: return "key-of-the-catalogue", RepairedClass'
    if not isinstance(value, tuple | list) or len(value) != 2:
        what = f"{len(value)} values" if isinstance(value, tuple | list) else kind(value)
        raise Mistake(f"A pair is asked for, the diagnosis and the repaired class; {what} came back.", form)
    diagnosis, repaired = value
    if isinstance(repaired, str) and not isinstance(diagnosis, str):
        raise Mistake("The pair is the wrong way round: first the diagnosis, then the repaired class.", form)
    if not isinstance(diagnosis, str):
        raise Mistake(f"The diagnosis should be a string from the catalogue; {kind(diagnosis)} came back.", form)
    key = "-".join(diagnosis.strip().lower().replace("_", " ").replace("-", " ").split())
    if key not in FINDINGS:
        raise Mistake(f"{diagnosis!r} is not in the catalogue.", f"There are: {', '.join(FINDINGS)}.")
    return key, repaired


def _misdiagnosis(diagnosis: str, patient: Patient, sort: str) -> str | None:
    """Return what speaks against a diagnosis, or None if it is what the probes find."""
    if diagnosis == "sound":
        found = ailment(patient, sort)
        return None if found == "sound" else f"You say: {FINDINGS['sound']}. It does not: {SYMPTOMS[found]}."
    measured = probe(diagnosis, patient, sort)
    return None if measured.found else f"You say: {FINDINGS[diagnosis]}. {measured.text}"


@exercise(points=2)
def patient_1(answer: Answer) -> None:
    """Judge the diagnosis and the repair of a residual stack."""
    _judge(answer, 1)


@exercise(points=3)
def patient_2(answer: Answer) -> None:
    """Judge the diagnosis and the repair of a quantizer."""
    _judge(answer, 2)


@exercise(points=2)
def patient_3(answer: Answer) -> None:
    """Judge the diagnosis and the repair of a residual stack."""
    _judge(answer, 3)


@exercise(points=2)
def patient_4(answer: Answer) -> None:
    """Judge the diagnosis and the repair of a reconstruction loss."""
    _judge(answer, 4)


@exercise(points=2)
def patient_5(answer: Answer) -> None:
    """Judge the diagnosis and the repair of a quantizer."""
    _judge(answer, 5)


@exercise(points=3)
def patient_6(answer: Answer) -> None:
    """Judge the diagnosis and the repair of an EMA quantizer."""
    _judge(answer, 6)


@exercise(points=3)
def patient_7(answer: Answer) -> None:
    """Judge the diagnosis and the repair of a gated layer."""
    _judge(answer, 7)


@exercise(points=3)
def patient_8(answer: Answer) -> None:
    """Judge the diagnosis and the repair of a quantizer."""
    _judge(answer, 8)


@exercise(points=3)
def patient_9(answer: Answer) -> None:
    """Judge the diagnosis and the repair of an EMA quantizer with restarts."""
    _judge(answer, 9)
