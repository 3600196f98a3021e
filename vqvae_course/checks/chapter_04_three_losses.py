"""Checks of notebook 04: the quantizer's losses, who receives which gradient, β in another unit, misplaced βs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, close, kind, recognise, worth_half
from vqvae_course.checks.report import exercise
from vqvae_course.checks.snippets import VERDICTS
from vqvae_course.checks.task import Task
from vqvae_course.quantize import nearest_code, straight_through

# ---------------------------------------------------------------------------------------------- vq_losses

NAMES = ("z_q", "codebook_loss", "commitment_loss", "loss")
ORDER = f"In this order: {', '.join(NAMES)}."


@exercise(points=3)
def vq_losses(answer: Answer) -> None:
    """Judge ``vq_losses(z_e, codebook, beta)`` by values and by gradients at both ends."""
    weak, strong = float(torch.empty(()).uniform_(0.15, 0.45)), float(torch.empty(()).uniform_(1.6, 2.4))
    cases = []
    for (latents, codes, length), beta, dtype in (
        ((11, 5, 3), weak, torch.float32),
        ((6, 7, 2), strong, torch.float64),
        ((9, 1, 4), weak, torch.float32),
        ((1, 3, 5), strong, torch.float32),
        ((8, 4, 3), 0.0, torch.float32),
    ):
        z_e = torch.randn(length, latents, dtype=dtype).t().requires_grad_()  # rows that are not contiguous
        cases.append((z_e, torch.randn(codes, length, dtype=dtype).requires_grad_(), beta))
    between = torch.tensor([[0.0, 0.3], [2.0, 0.3], [2.0, -1.0]])  # the first is as near to one code as to the other
    cases.append((between.requires_grad_(), torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).requires_grad_(), weak))
    half = [_values_right(answer, *case) for case in cases]
    for case in cases:
        with worth_half() if all(half) else nullcontext():
            _judge_losses(answer, *case)


def _values_right(answer: Answer, z_e: Tensor, codebook: Tensor, beta: float) -> bool:
    """Whether all four values are right, whatever their gradients are."""
    value = answer(z_e, codebook, beta)
    try:
        z_q, *losses = (item.detach() for item in _four_tensors(value, z_e))
        e_k = _judge_choice(z_q, z_e.detach(), codebook.detach())
    except Mistake:
        return False
    square = float((z_e.detach() - e_k).square().mean())
    wanted = (square, square, (1 + beta) * square)
    return all(close(float(got), right) for got, right in zip(losses, wanted, strict=True))


def _judge_losses(answer: Answer, z_e: Tensor, codebook: Tensor, beta: float) -> None:
    z_q, codebook_loss, commitment_loss, loss = _four_tensors(answer(z_e, codebook, beta), z_e)
    if z_e.grad is not None or codebook.grad is not None:
        raise Mistake("Your function calls backward() itself; that is up to whoever uses the loss.")
    e_k = _judge_choice(z_q.detach(), z_e.detach(), codebook.detach())
    _judge_straight_through(z_q, z_e, codebook)

    chosen = nearest_code(e_k, codebook.detach())
    lean = 2 * (z_e.detach() - e_k) / z_e.numel()  # what the commitment loss should send to the latents
    pull = torch.zeros_like(codebook).index_add_(0, chosen, -lean)  # and the codebook loss to the codes
    square = float((z_e.detach() - e_k).square().mean())
    for name, value in (("codebook_loss", codebook_loss), ("commitment_loss", commitment_loss)):
        _judge_value(name, float(value.detach()), square, beta, z_e)
    ends = {
        name: _shares(value, z_e, codebook, lean, pull)
        for name, value in zip(NAMES[1:], (codebook_loss, commitment_loss, loss), strict=True)
    }
    _judge_ends(ends["codebook_loss"], ends["commitment_loss"], sum_is_right=_same(ends["loss"], (beta, 1)))
    _judge_sum(ends["loss"], float(loss.detach()), square, beta)


def _four_tensors(value: object, z_e: Tensor) -> list[Tensor]:
    if not isinstance(value, tuple | list):
        raise Mistake(f"Four values are asked for; {kind(value)} came back.", ORDER)
    if len(value) != 4:
        raise Mistake(f"Four values are asked for; {len(value)} came back.", ORDER)
    for name, item in zip(NAMES, value, strict=True):
        if not isinstance(item, Tensor):
            raise Mistake(
                f"{name} is {kind(item)}, through which no gradient can flow; a torch tensor is asked for.",
                "Numbers from .item() or float() are for printing.",
            )
        if not bool(item.isfinite().all()):
            raise Mistake(f"{name} holds infinite numbers or NaN.", "Is there a square root at 0, or a division?")
    if value[0].ndim == 0 and value[3].shape == z_e.shape:
        raise Mistake("The values come in another order than asked for: the first should be z_q.", ORDER)
    if value[0].shape == z_e.shape[:1] and z_e.shape[1] > 1 and not value[0].is_floating_point():
        raise Mistake("z_q holds the indices of the codes; the codes themselves are asked for.")
    if value[0].shape != z_e.shape:
        raise Mistake(f"z_q has shape {tuple(value[0].shape)}; the shape of z_e, {tuple(z_e.shape)}, is asked for.")
    if value[0].dtype != z_e.dtype:
        raise Mistake(f"z_q is {value[0].dtype}, while z_e is {z_e.dtype}: your function changes the precision.")
    for name, item in zip(NAMES[1:], value[1:], strict=True):
        if item.ndim:
            raise Mistake(f"{name} has shape {tuple(item.shape)}; a scalar is asked for, a mean over all numbers.")
    return list(value)


def _judge_choice(z_q: Tensor, z_e: Tensor, codebook: Tensor) -> Tensor:
    """Return the codes that an answer chose; refuse a ``z_q`` that is no code, or not the nearest one."""
    e_k = codebook[nearest_code(z_q, codebook)]
    if not torch.allclose(z_q, e_k, rtol=1e-4, atol=1e-4):
        if torch.allclose(z_q, z_e, atol=1e-5):
            raise Mistake(
                "z_q has the value of the latents: nothing has been quantized.",
                "Of z_e and e_k, whose value should the decoder see, and whose gradient should flow?",
            )
        raise Mistake(
            "The rows of z_q are no rows of the codebook.",
            "By straight-through, z_q has the value of the chosen code. With numbers for z_e and e_k, what comes out?",
        )
    mine = (z_e - e_k).square().sum(dim=1)
    distances = torch.cdist(z_e, codebook, compute_mode="donot_use_mm_for_euclid_dist").square()
    if not bool((mine <= distances.amin(dim=1) * (1 + 1e-3) + 1e-6).all()):
        if len(codebook) > 1 and torch.allclose(mine, distances.amax(dim=1), rtol=1e-3):
            raise Mistake("You choose the code that is farthest away.", "argmin, not argmax.")
        raise Mistake("Not every latent gets its nearest code.", "nearest_code(z_e, codebook) finds the indices.")
    return e_k


def _judge_straight_through(z_q: Tensor, z_e: Tensor, codebook: Tensor) -> None:
    back = torch.randn_like(z_q)
    to_latents, to_codes = _gradients(z_q, z_e, codebook, back)
    if to_codes.any() and not to_latents.any():
        raise Mistake(
            "z_q is the looked-up code itself: what the decoder sends back goes into the codebook and never reaches "
            "the encoder.",
            "z_q needs the value of e_k and the gradient of z_e.",
        )
    if to_codes.any():
        raise Mistake(
            "The gradient of z_q flows into the codebook as well; only the encoder should receive it.",
            "Is the whole difference e_k - z_e treated as a constant?",
        )
    if not to_latents.any():
        raise Mistake(
            "Nothing of the decoder's gradient reaches the encoder through z_q.",
            "z_q needs the value of e_k and the gradient of z_e.",
        )
    if not torch.allclose(to_latents, back, rtol=1e-3, atol=1e-5):
        raise Mistake("The gradient at z_q does not arrive at z_e unchanged.")


def _judge_value(name: str, got: float, square: float, beta: float, z_e: Tensor) -> None:
    if close(got, square):
        return
    latents, length = z_e.shape
    if abs(got) < 1e-6 * square:
        raise Mistake(f"{name} is 0: two tensors of the same value are compared.", "Which two should be compared?")
    known = []
    if name == "commitment_loss" and beta:
        known.append((beta * square, "commitment_loss is multiplied by β already; β belongs in the sum only.", ""))
    if name == "codebook_loss" and beta:
        known.append((beta * square, "codebook_loss is multiplied by β; codes are pulled with weight 1.", ""))
    if beta:
        known.append(((1 + beta) * square, f"{name} has the value of the whole sum.", ORDER))
    sums = [(latents * length, "all numbers")]
    sums += [(length, "the D numbers of a code")] if latents > 1 else []
    sums += [(latents, "the N latents")] if length > 1 else []
    for factor, over in sums:
        message = f"{name} is a sum over {over}; a mean over all N·D numbers is asked for."
        known.append((factor * square, message, "With a mean, β keeps its meaning when N or D changes."))
    for wrong in (square**0.5, (square * latents * length) ** 0.5):
        known.append((wrong, f"There is a square root too many in {name}: squared distances are asked for.", ""))
    known.append((square / 2, f"There is a ½ too many in {name}: a mean of squares is asked for.", ""))
    recognise(got, known, tolerance=1e-4)
    raise Mistake(
        f"{name} should be {square:.4g} for these latents, the mean squared distance; yours is {got:.4g}.",
        "Square the differences of z_e and e_k, then one mean over everything. The two terms have the same value.",
    )


def _gradients(value: Tensor, z_e: Tensor, codebook: Tensor, back: Tensor | None = None) -> tuple[Tensor, Tensor]:
    if not value.requires_grad:
        return torch.zeros_like(z_e), torch.zeros_like(codebook)
    found = torch.autograd.grad(value, (z_e, codebook), back, allow_unused=True, retain_graph=True)
    to_latents, to_codes = (
        torch.zeros_like(t) if g is None else g for t, g in zip((z_e, codebook), found, strict=True)
    )
    return to_latents, to_codes


def _shares(value: Tensor, z_e: Tensor, codebook: Tensor, lean: Tensor, pull: Tensor) -> tuple[float, float]:
    """Return a loss's gradients at latents and codes as multiples of what the two terms send there."""
    shares = []
    for got, unit in zip(_gradients(value, z_e, codebook), (lean, pull), strict=True):
        share = float((got * unit).sum() / unit.square().sum())
        if not torch.allclose(got, share * unit, rtol=1e-3, atol=1e-3 * float(unit.abs().max())):
            raise Mistake(
                "The values are right, but a gradient is not that of a squared distance to the code.",
                "Differentiate (z - e)² on paper, once for each end, and compare.",
            )
        shares.append(0.0 if abs(share) < 1e-4 else share)
    return shares[0], shares[1]


def _judge_ends(codebook_term: tuple[float, float], commitment_term: tuple[float, float], sum_is_right: bool) -> None:
    """Refuse terms that do not pull where they should; each comes as (pull on the latents, on the codes)."""
    if _same(codebook_term, (0, 1)) and _same(commitment_term, (1, 0)):
        return
    if _same(codebook_term, (1, 0)) and _same(commitment_term, (0, 1)):
        if sum_is_right:
            raise Mistake(
                "The sum is right, but codebook_loss and commitment_loss stand in each other's place.",
                f"Which of them moves the codes? {ORDER}",
            )
        raise Mistake(
            "Your codebook_loss moves the encoder and your commitment_loss the codebook: the stop-gradients are "
            "swapped, and with them β lands on the wrong term.",
            "What stands inside detach() is what does not move.",
        )
    if codebook_term[0] < 0 or (_same(codebook_term, (0, 0)) and _same(commitment_term, (1, 0))):
        raise Mistake(
            "The codebook receives no gradient at all: its term is computed from tensors in which the code stands "
            "inside detach(), as it does in z_q after straight-through.",
            "Compute the losses before straight-through, from e_k.",
        )
    if _same(codebook_term, (1, 1)) and _same(commitment_term, (1, 1)):
        raise Mistake(
            "There is no stop-gradient in the losses: each of them pulls at both ends, so β cannot weigh one end "
            "against the other.",
            "Each term should take one of its two ends as given.",
        )
    if _same(codebook_term, (0, 0)) and _same(commitment_term, (0, 0)):
        raise Mistake(
            "Neither loss sends a gradient anywhere: both ends stand inside detach(), or gradients are switched off."
        )
    if _same(codebook_term, commitment_term):
        raise Mistake("Both losses pull at the same end; one of them should move the codes, the other the latents.")
    for name, term, end in (("codebook_loss", codebook_term, 1), ("commitment_loss", commitment_term, 0)):
        if term[1 - end]:
            there, here = (("latents", "codes") if end else ("codes", "latents"))[:2]
            raise Mistake(
                f"The value of {name} is right, but it pulls at the {there}; it should move the {here} alone.",
                "What stands inside detach() is what does not move.",
            )
        if not term[end]:
            raise Mistake(
                f"The value of {name} is right, but it moves nothing.",
                "Which end should stay in the graph? Note that z_e - z_q has the derivative 1 - 1.",
            )
    raise Mistake("The values are right, but the gradients are not those of a mean squared distance.")


def _judge_sum(shares: tuple[float, float], value: float, square: float, beta: float) -> None:
    if not _same(shares, (beta, 1)):
        if close(value, (1 + beta) * square) and any(shares) and not all(shares):
            raise Mistake(
                f"The sum has the right value, but it pulls at the {'latents' if shares[0] else 'codes'} alone.",
                "A loss does nothing by its value. Was one term detached, or put in for the other?",
            )
        both = (
            "β multiplies both terms: only the commitment term carries it.",
            "The codebook should feel nothing of β.",
        )
        misplaced = "β multiplies the codebook term: only the encoder may feel it."
        for known, message, hint in (
            ((1, beta), misplaced, "Double β in your head: which of the two ends should be pulled harder?"),
            ((1, 1), "β does not occur in the sum.", ""),
            ((beta, beta), *both),
            (
                (1 + beta, 1 + beta),
                "The sum pulls at both ends with the same force: it is made of a distance without stop-gradient.",
                "Build it from the two losses.",
            ),
            ((beta / 2, 0.5), "The sum is halved: a sum of the two terms is asked for, and not their mean.", ""),
            ((beta**2, 1), "β is applied twice.", ""),
            ((0.25, 1), "0.25 is built in: use the β that is handed in.", ""),
            ((-beta, 1), "The commitment term is subtracted: the encoder would be driven away from its codes.", ""),
            ((beta, 0), "The sum lacks the codebook term: nothing would ever move the codes.", ""),
            ((1, 0), "The sum lacks the codebook term: nothing would ever move the codes.", ""),
            ((0, 1), "The sum lacks the commitment term: nothing would hold the encoder.", ""),
            ((0, 0), "The sum sends no gradient anywhere.", "Did .detach() or .item() cut it off?"),
            ((1 - beta, 1), "You weigh the commitment term with 1 - β; no such weight is in the formula.", ""),
            ((1 - beta, beta), "You weigh the terms β and 1 - β; the codebook term has weight 1.", ""),
            ((beta, 1 - beta), "You weigh the terms β and 1 - β; the codebook term has weight 1.", ""),
        ):
            if _same(shares, known):
                raise Mistake(message, hint)
        raise Mistake(
            "The two terms are right, but their sum weighs them differently than codebook_loss + β commitment_loss: "
            f"here it pulls the latents with weight {shares[0]:.3g} and the codes with {shares[1]:.3g}, for β = "
            f"{beta:.3g}."
        )
    if not close(value, (1 + beta) * square):
        raise Mistake(
            "The sum has the right gradients but not the right value: something constant is added, or a part of it "
            "was detached.",
            "codebook_loss + β commitment_loss, and nothing else.",
        )


def _same(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return all(abs(p - q) < 2e-3 * max(1, abs(q)) for p, q in zip(a, b, strict=True))


# ----------------------------------------------------------------------------------------- gradient_table

PARTS = ("encoder", "codebook", "decoder")
TERMS = ("reconstruction", "codebook", "commitment")
VARIANTS = ("as derived", "no straight-through", "no stop-gradients", "too late")


@exercise(points=2)
def gradient_table(answer: Answer) -> None:
    """Judge ``gradient_table(variant)``, pair by pair, against what autograd finds."""
    for variant in VARIANTS:
        got, right = _pairs(answer(variant)), reached(variant)
        for part, term in [(part, term) for term in TERMS for part in PARTS]:
            if ((part, term) in got) != ((part, term) in right):
                fits = (name for name, text in _WHY.items() if name in ((variant, part, term), (part, term)))
                why = _WHY[max(fits, key=len)]
                claim = "is not reached by" if (part, term) in right else "is reached by"
                raise Mistake(f'"{variant}": you say that the {part} {claim} the {term} term. {why}')


def reached(variant: str) -> set[tuple[str, str]]:
    """Return the pairs (part, term) between which autograd finds a gradient, for one of ``VARIANTS``."""
    encoder, decoder = torch.randn(3, 2, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    codebook, x = torch.randn(4, 2, requires_grad=True), torch.randn(20, 3)
    z_e = x @ encoder
    e_k = codebook[nearest_code(z_e, codebook)]
    z_q = e_k if variant == "no straight-through" else straight_through(z_e, e_k)
    code = z_q if variant == "too late" else e_k
    if variant == "no stop-gradients":
        codebook_term = commitment_term = F.mse_loss(z_e, code)
    else:
        codebook_term, commitment_term = F.mse_loss(z_e.detach(), code), F.mse_loss(z_e, code.detach())
    losses = F.mse_loss(z_q @ decoder, x), codebook_term, commitment_term
    found = set()
    for term, loss in zip(TERMS, losses, strict=True):
        gradients = torch.autograd.grad(loss, (encoder, codebook, decoder), allow_unused=True, retain_graph=True)
        found |= {(part, term) for part, g in zip(PARTS, gradients, strict=True) if g is not None and bool(g.any())}
    return found


def _pairs(value: object) -> set[tuple[str, str]]:
    if isinstance(value, Mapping):
        value = [pair for pair, is_reached in value.items() if is_reached]
    if not isinstance(value, set | frozenset | list | tuple):
        raise Mistake(f"A set of pairs (part, term) is asked for; {kind(value)} came back.")
    pairs = set()
    for pair in value:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(name, str) for name in pair):
            raise Mistake(f"Each element should be a pair (part, term); {pair!r} came back.")
        part, term = (name.strip().lower() for name in pair)
        if part in TERMS and term in PARTS and (part not in PARTS or term not in TERMS):
            raise Mistake(f"{tuple(pair)!r} is the wrong way round: first the part that is moved, then the term.")
        if part not in PARTS or term not in TERMS:
            raise Mistake(f"{tuple(pair)!r} is no pair of a part {PARTS} and a term {TERMS}.")
        pairs.add((part, term))
    return pairs


# What to ask oneself about an entry; with a variant in front where that variant needs a question of its own.
_WHY = {
    ("encoder", "reconstruction"): "sg[e_k - z_e] hides one z_e. Is there another one in z_q?",
    ("codebook", "reconstruction"): "Where in z_q does the code stand, and what stands around it?",
    ("decoder", "reconstruction"): "This loss compares x with what the decoder makes of z_q.",
    ("encoder", "codebook"): "Which of the two ends of this distance is inside sg?",
    ("codebook", "codebook"): "e_k is a row of the codebook. Does anything stop the gradient on its way there?",
    ("decoder", "codebook"): "Which of the decoder's weights would have to be known to compute this term?",
    ("encoder", "commitment"): "Which of the two ends of this distance is inside sg?",
    ("codebook", "commitment"): "Which of the two ends of this distance is inside sg?",
    ("decoder", "commitment"): "Which of the decoder's weights would have to be known to compute this term?",
    ("no straight-through", "encoder", "reconstruction"): (
        "Between z_e and the code lies only the choice of an index. What is the derivative of an argmin?"
    ),
    ("no straight-through", "codebook", "reconstruction"): (
        "The decoder's input is a row of the codebook itself. Does anything stop the gradient on its way there?"
    ),
    ("no stop-gradients", "encoder", "codebook"): "A distance changes when either of its ends moves.",
    ("no stop-gradients", "codebook", "commitment"): "A distance changes when either of its ends moves.",
    ("no stop-gradients", "codebook", "reconstruction"): (
        "Only the two distances have lost their sg here; straight-through still has its own."
    ),
    ("too late", "encoder", "codebook"): (
        "The z_e that is written out stands inside sg, but z_q is a function too. What is its derivative?"
    ),
    ("too late", "codebook", "codebook"): (
        "Follow the code back: where in z_q does it stand, and what stands around it?"
    ),
}


# ------------------------------------------------------------------------------------------- rescale_beta


rescale_beta = Task(
    lambda scale, beta=0.25: beta / scale**2,
    name="rescale_beta",
    points=1,
    otherwise=lambda got, scale, beta=0.25: (
        f"For latents {scale:.3g} times as large and beta = {beta:.3g}, the new weight is not {got:.4g}."
    ),
    hint="How does each of the two losses change, as seen from the encoder's weights?",
)


@rescale_beta.inputs
def _scales() -> Iterator[tuple[float, ...]]:
    for scale in (float(torch.empty(()).uniform_(2.5, 6)), 0.4, 1.0, 2.0, 0.01, 300.0):
        yield scale, float(torch.empty(()).uniform_(0.1, 0.9))
    yield 3.0, 0.0
    yield (1.7,)


rescale_beta.mistakes(
    {
        "This goes the wrong way: larger latents make the commitment loss larger already.": (
            lambda scale, beta=0.25: beta * scale**2
        ),
        "You divide by the scale once; the commitment loss is a squared length.": lambda scale, beta=0.25: beta / scale,
        "This goes the wrong way, and a squared length does not grow with the scale itself.": (
            lambda scale, beta=0.25: beta * scale
        ),
        "Your β does not depend on the scale.\nThe commitment loss is a squared length, so it grows with the square of "
        "the scale.": lambda scale, beta=0.25: beta,
        "A square root of the scale? Write the commitment loss of s·z and s·e.": (
            lambda scale, beta=0.25: beta / scale**0.5
        ),
        "One power of the scale too many: on the way to the encoder's weights, the commitment loss of s·u is s² times "
        "that of u, factors of the chain rule included.": lambda scale, beta=0.25: beta / scale**3,
        "You divide by the square twice.": lambda scale, beta=0.25: beta / scale**4,
        "The default 0.25 is built in: use the beta that is handed in.": lambda scale, beta=0.25: 0.25 / scale**2,
        "This is the factor on β; the new β itself is asked for.": lambda scale, beta=0.25: 1 / scale**2,
        "Where no beta is given it is 0.25; yours is another.": (
            lambda scale, beta=0.5: beta / scale**2,
            lambda scale, beta=1.0: beta / scale**2,
        ),
        "Without commitment, β = 0, there is nothing to balance in any unit.": (
            lambda scale, beta=0.25: (beta or 0.25) / scale**2
        ),
    }
)


# ----------------------------------------------------------------------------------------- who_feels_beta

Quantizer = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]


def _look_up(z_e: Tensor, codebook: Tensor) -> Tensor:
    if z_e.ndim != 2 or codebook.ndim != 2 or z_e.shape[1] != codebook.shape[1]:
        raise Mistake(
            f"Your detector calls the quantizer with shapes {tuple(z_e.shape)} and {tuple(codebook.shape)}; (N, D) and "
            "(K, D) are agreed on."
        )
    return codebook[nearest_code(z_e, codebook)]


def _two_terms(z_e: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    e_k = _look_up(z_e, codebook)
    return straight_through(z_e, e_k), F.mse_loss(e_k, z_e.detach()), F.mse_loss(z_e, e_k.detach())


def _weighted(on_codebook: Callable, on_commitment: Callable, constant: Callable = lambda beta: 0.0) -> Quantizer:
    """Return a quantizer whose two terms have weights that may depend on beta."""

    def quantize(z_e: Tensor, codebook: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        z_q, codebook_term, commitment_term = _two_terms(z_e, codebook)
        loss = on_commitment(beta) * commitment_term
        weight = on_codebook(beta)
        return z_q, (loss + weight * codebook_term if weight is not None else loss) + constant(beta)

    return quantize


def _unsplit(z_e: Tensor, codebook: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    e_k = _look_up(z_e, codebook)
    return straight_through(z_e, e_k), beta * F.mse_loss(z_e, e_k)


def _too_late(z_e: Tensor, codebook: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    z_q = _two_terms(z_e, codebook)[0]
    return z_q, F.mse_loss(z_q, z_e.detach()) + beta * F.mse_loss(z_q.detach(), z_e)


# name: (a quantizer, who feels beta)
_SUSPECTS: dict[str, tuple[Quantizer, set[str]]] = {
    "the right loss": (_weighted(lambda b: 1.0, lambda b: b), {"encoder"}),
    "β on the codebook term": (_weighted(lambda b: b, lambda b: 1.0), {"codebook"}),
    "β on both terms": (_weighted(lambda b: b, lambda b: b), {"encoder", "codebook"}),
    "one unsplit term times β": (_unsplit, {"encoder", "codebook"}),
    "no β at all": (_weighted(lambda b: 1.0, lambda b: 1.0), set()),
    "β in the value only": (_weighted(lambda b: 1.0, lambda b: 1.0, lambda b: 10 * b), set()),
    "the commitment term alone": (_weighted(lambda b: None, lambda b: b), {"encoder"}),
    "losses after straight-through": (_too_late, {"encoder"}),
    "weights β and 1 - β": (_weighted(lambda b: 1 - b, lambda b: b), {"encoder", "codebook"}),
}
_DEAF = {"the commitment term alone", "losses after straight-through"}  # their codebook receives no gradient


# What autograd or Python say when a detector stumbles, and what it means here.
_STUMBLES = (
    (
        "not have been used in the graph",
        "One of the quantizers has a loss that does not depend on the codebook at all, and there torch.autograd.grad "
        "refuses.",
        "allow_unused=True makes it answer None, which means: no gradient.",
    ),
    (
        "NoneType",
        "Your detector stumbles over a gradient that is None. That happens where a loss does not depend on the "
        "codebook at all, and means: no gradient.",
        "Treat None as zero.",
    ),
    (
        "not require grad",
        "Your detector asks for a gradient at a tensor that autograd does not follow.",
        "You make z_e and codebook yourself. What must be said when they are made?",
    ),
)


@exercise(points=3)
def who_feels_beta(answer: Answer) -> None:
    """Judge ``who_feels_beta(quantize)`` by trying it on sound and faulty quantizers."""
    names = [list(_SUSPECTS)[place] for place in torch.randperm(len(_SUSPECTS)).tolist()]
    found = {}
    for name in names:
        try:
            found[name] = _feeling(answer(_SUSPECTS[name][0]))
        except Mistake as mistake:
            for fragment, message, hint in _STUMBLES:
                if fragment in mistake.message:
                    raise Mistake(message, hint) from mistake
            raise
    right = {name: feels for name, (_, feels) in _SUSPECTS.items()}
    if found == right:
        return
    _explain_detector(found, right)


def _feeling(value: object) -> frozenset[str]:
    if isinstance(value, str):
        value = {value}
    if not isinstance(value, set | frozenset | list | tuple):
        raise Mistake(f"A set of names is asked for; {kind(value)} came back.")
    names = frozenset(value)
    if not names <= {"encoder", "codebook"}:
        odd = next(iter(names - {"encoder", "codebook"}))
        raise Mistake(f'The names are "encoder" and "codebook"; {odd!r} came back.')
    return names


def _explain_detector(found: dict[str, frozenset[str]], right: dict[str, set[str]]) -> None:
    both, swap = {"encoder", "codebook"}, {"encoder": "codebook", "codebook": "encoder"}
    same_place = (
        "Are both gradients taken at the same latents and codes? Does .grad of the first call add to the second?"
    )
    two_betas = "Compare two gradients, taken at the same place with two different βs."
    if not any(found.values()):
        raise Mistake(
            "Your detector never finds anything, not even in the right loss.",
            "A latent that lies on its code feels no pull, whatever β is. β must differ between the two calls. And the "
            "second backward() may write into the very .grad that you kept from the first.",
        )
    if all(feels == both for feels in found.values()):
        raise Mistake("Your detector always reports both ends, even where β does nothing.", same_place)
    if len(set(found.values())) == 1:
        raise Mistake("Your detector gives the same answer for every quantizer, right or wrong.", two_betas)
    if all(feels == {swap[name] for name in right[case]} for case, feels in found.items()):
        raise Mistake('Your detector confuses the two ends: "encoder" is whoever made z_e.')
    if all(feels == both - ({"codebook"} if case in _DEAF else set()) for case, feels in found.items()):
        raise Mistake(
            "You report every end that receives a gradient; asked is whose gradient changes when β changes.",
            "Compare two gradients at the same place. If you use backward(): it adds to what .grad holds already.",
        )
    if found["no β at all"]:
        raise Mistake("You report a difference in a quantizer that does not use β.", same_place)
    if found["β in the value only"]:
        raise Mistake(
            "In one quantizer only the value of the loss depends on β, and you report a difference: it seems that "
            "values are compared.",
            two_betas,
        )
    wrong = {case for case, feels in found.items() if feels != right[case]}
    if wrong <= {"weights β and 1 - β", "losses after straight-through"} and all(found[c] < right[c] for c in wrong):
        raise Mistake(
            "You miss an end whose pull changes without being proportional to β.",
            "Compare the two gradients themselves, not whether they double or vanish.",
        )
    case = next(case for case in right if case in wrong)
    what = [f"it misses the {name}" for name in sorted(right[case] - found[case])]
    what += [f"it accuses the {name}" for name in sorted(found[case] - right[case])]
    missed_only = all(found[c] < right[c] for c in wrong)
    small = " Gradients of a mean over many numbers are small: an absolute tolerance may swallow them."
    raise Mistake(
        f"Your detector is wrong about a quantizer with {case}: {' and '.join(what)}.",
        two_betas + (small if missed_only else ""),
    )


# ------------------------------------------------------------------------------------------ is_this_a_bug

_RIGHT = {"a": "beta on the codebook term", "b": "right", "c": "losses after straight-through"}


@exercise(points=3)
def is_this_a_bug(answer: Answer) -> None:
    """Judge ``is_this_a_bug(snippet)``: a verdict on each of three snippets."""
    for snippet, right in _RIGHT.items():
        verdict = answer(snippet)
        if isinstance(verdict, tuple | list | set) and len(verdict) == 1:
            (verdict,) = verdict
        if isinstance(verdict, bool):
            raise Mistake("A bare yes or no came back.", "Return one of the verdicts listed above, as a string.")
        if not isinstance(verdict, str):
            raise Mistake(f"A verdict is a string; {kind(verdict)} came back.", "Return one of VERDICTS.")
        verdict = verdict.strip()
        if verdict not in VERDICTS:
            raise Mistake(f"{verdict!r} is none of the verdicts listed.", "Copy one of VERDICTS, letter by letter.")
        if verdict != right:
            test = VERDICTS[verdict]
            raise Mistake(f'Snippet {snippet} fails the test for "{verdict}".', f"The test: {test}")
