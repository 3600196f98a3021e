"""Find the planted mistake: a quantizer of twenty lines, one of them wrong, and an input that shows it.

Thirteen mistakes, eight statements in two or three styles, names from lists of three and two orders of the blocks make
more than 10^9 texts. What a text does hangs on the mistake alone, and each of the mistakes shows in a value or in a
gradient.
"""

from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor

from vqvae_course.assignments.variants.draw import Draws, Part
from vqvae_course.checks.answer import Answer, Mistake, kind

TITLE = "find the planted mistake"
MINUTES = 20
LARGEST, MOST_CODES = 24, 4  # numbers in z_e and codes in the codebook of a witness, which a person could follow
PLACES = (
    *("z_q", "indices", "loss", "gradient of loss in z_e", "gradient of loss in codebook"),
    *("gradient of z_q in z_e", "gradient of z_q in codebook"),
)
PARTS = (
    Part(
        "mended_quantizer",
        2,
        '''def mended_quantizer(z_e, codebook, beta):
    """Return (z_q, loss, indices) as described above: the given code without its mistake."""
    raise NotImplementedError
''',
    ),
    Part(
        "witness",
        1,
        '''def witness():
    """Return (z_e, codebook, place): an input that shows the mistake, and where it shows."""
    raise NotImplementedError
''',
        f"""\
And an input that shows the mistake: return `(z_e, codebook, place)` on which the given code and a right one differ, \
with the β above. It must be small enough to follow by hand: at most {LARGEST} numbers in `z_e` and {MOST_CODES} \
codes, no latent equally near to two codes. `place` is a string that names something that differs; for a gradient of \
`z_q`, think of that of a weighted sum of its numbers. One of:

{chr(10).join(f"- `{place!r}`" for place in PLACES)}""",
    ),
)

NAMES = {
    "z_e": ("z_e", "z", "features"),
    "codebook": ("codebook", "E", "table"),
    "beta": ("beta", "weight", "cost"),
    "B": ("B", "n", "batch"),
    "D": ("D", "dim", "channels"),
    "h": ("h", "height", "H"),
    "w": ("w", "width", "W"),
    "rows": ("rows", "flat", "vectors"),
    "d": ("d", "distances", "dist"),
    "k": ("k", "indices", "nearest"),
    "codes": ("codes", "e_k", "chosen"),
    "a": ("codebook_loss", "loss_e", "pull_codes"),
    "b": ("commitment", "loss_z", "pull_latents"),
    "loss": ("loss", "total", "objective"),
    "z_q": ("z_q", "out", "quantized"),
}
SQUARES = "({rows} ** 2).sum(1, keepdim=True)"
STYLES = {
    "rows": (
        "{z_e}.movedim(1, -1).reshape(-1, {D})",
        "{z_e}.permute(0, 2, 3, 1).reshape(-1, {D})",
        "{z_e}.flatten(2).transpose(1, 2).reshape(-1, {D})",
    ),
    "d": (
        SQUARES + " - 2 * {rows} @ {codebook}.T + ({codebook} ** 2).sum(1)",
        "{rows}.square().sum(1)[:, None] + {codebook}.square().sum(1) - 2 * {rows} @ {codebook}.T",
        "(({rows}[:, None] - {codebook}) ** 2).sum(2)",
    ),
    "k": ("{d}.argmin(1)", "{d}.min(1).indices", "torch.argmin({d}, dim=1)"),
    "codes": ("{codebook}[{k}]", "F.embedding({k}, {codebook})", "{codebook}.index_select(0, {k})"),
    "a": (
        "(({codes} - {rows}.detach()) ** 2).mean()",
        "F.mse_loss({codes}, {rows}.detach())",
        "({rows}.detach() - {codes}).square().mean()",
    ),
    "b": (
        "(({rows} - {codes}.detach()) ** 2).mean()",
        "F.mse_loss({rows}, {codes}.detach())",
        "({codes}.detach() - {rows}).square().mean()",
    ),
    "loss": ("{a} + {beta} * {b}", "{beta} * {b} + {a}"),
    "z_q": ("{rows} + ({codes} - {rows}).detach()", "{rows} - ({rows} - {codes}).detach()"),
    "map": (
        "{z_q}.reshape({B}, {h}, {w}, {D}).movedim(-1, 1)",
        "{z_q}.reshape({B}, {h}, {w}, {D}).permute(0, 3, 1, 2)",
    ),
}
# What the mistake changes, and the misconception behind it
MISTAKES: tuple[tuple[dict[str, str], str], ...] = (
    (
        {"rows": "{z_e}.reshape(-1, {D})"},
        "A latent is cut out of a map with its channels first, so numbers of several positions are mixed.",
    ),
    (
        {"map": "{z_q}.reshape({B}, {D}, {h}, {w})"},
        "Rows are taken for a map with its channels first, so codes end up spread over positions.",
    ),
    ({"k": "{d}.argmax(1)"}, "The farthest code is chosen, not the nearest."),
    (
        {"d": SQUARES + " - {rows} @ {codebook}.T + ({codebook} ** 2).sum(1)"},
        "In the squared distance the cross term has lost its factor 2.",
    ),
    (
        {"d": SQUARES + " - 2 * {rows} @ {codebook}.T"},
        "The squared norms of the codes are left out, and they differ from code to code.",
    ),
    (
        {"codes": "{codebook}.detach()[{k}]"},
        "The codes are looked up without their gradient, so the codebook never learns.",
    ),
    (
        {"a": "(({codes}.detach() - {rows}) ** 2).mean()"},
        "The codebook term stops the gradient of the codes, which it is there to move, and moves the latents.",
    ),
    (
        {"b": "(({rows}.detach() - {codes}) ** 2).mean()"},
        "The commitment term stops the gradient of the latents, which it is there to move, and moves the codes.",
    ),
    (
        {"b": "(({rows} - {codes}) ** 2).mean()"},
        "The commitment term stops no gradient, so it moves the codes as well.",
    ),
    ({"loss": "{beta} * {a} + {b}"}, "β stands before the codebook term; it weighs the commitment."),
    (
        {
            "a": "(({codes} - {rows}.detach()) ** 2).sum(1).mean()",
            "b": "(({rows} - {codes}.detach()) ** 2).sum(1).mean()",
        },
        "The squares are summed over the channels and averaged over positions only: D times too large.",
    ),
    (
        {"z_q": "{rows} + ({codes} - {rows})"},
        "The straight-through estimator is missing: the gradient of z_q goes to the codes and not to the latents.",
    ),
    (
        {"z_q": "{codes} + ({rows} - {codes}).detach()"},
        "The straight-through estimator is the wrong way round: it has the latents' value and the codes' gradient.",
    ),
)
SPACE = len(MISTAKES) * prod(len(names) for names in NAMES.values()) * 2 * 2


def draw(draws: Draws) -> dict[str, Any]:
    """Draw a mistake, names, styles and the order of the blocks."""
    changes, _ = draws.choice(MISTAKES)
    styles = {slot: draws.choice(texts) for slot, texts in STYLES.items()}
    names = {role: draws.choice(options) for role, options in NAMES.items()}
    code = written(styles | changes, names, bool(draws.below(2)), bool(draws.below(2)))
    return {"beta": draws.choice((0.1, 0.2, 0.25, 0.3, 0.5)), "code": code}


def written(slots: dict[str, str], names: dict[str, str], swapped: bool = False, loss_last: bool = False) -> str:
    """Return the text of a quantizer.

    Args:
        slots: What stands on the right of each statement.
        names: Of its variables.
        swapped: Whether the commitment comes before the codebook term.
        loss_last: Whether the loss comes after the map.
    """
    terms = [f"{{a}} = {slots['a']}", f"{{b}} = {slots['b']}"]
    loss = [*(terms[::-1] if swapped else terms), f"{{loss}} = {slots['loss']}"]
    out = [f"{{z_q}} = {slots['z_q']}", f"{{z_q}} = {slots['map']}"]
    blocks = [
        ["{B}, {D}, {h}, {w} = {z_e}.shape", f"{{rows}} = {slots['rows']}"],
        [f"{{d}} = {slots['d']}", f"{{k}} = {slots['k']}", f"{{codes}} = {slots['codes']}"],
        *([out, loss] if loss_last else [loss, out]),
        ["return {z_q}, {loss}, {k}.reshape({B}, {h}, {w})"],
    ]
    body = "\n\n".join("\n".join(f"    {line}" for line in block) for block in blocks)
    text = f"\nimport torch\nimport torch.nn.functional as F\n\n\ndef given({{z_e}}, {{codebook}}, {{beta}}):\n{body}\n"
    return text.format(**names)


def source_of(given: dict[str, Any]) -> str:
    """Return the numbers as source: the code between quotes, so that the cell also runs it."""
    return (
        f'{{"beta": {given["beta"]!r}, "code": """{given["code"]}"""}}\n'
        'exec(GIVEN["planted_mistake"]["code"])  # now there is a function given(z_e, codebook, beta)'
    )


def task(given: dict[str, Any]) -> str:
    """Return the task with a student's code."""
    return f"""\
A quantizer of a VQ-VAE takes a map `z_e` of shape (B, D, h, w), a codebook of shape (K, D) and β, and returns three \
things:

- `z_q`, (B, D, h, w): at each position the nearest code, by Euclidean distance, with the straight-through gradient;
- the loss $\\lVert \\mathrm{{sg}}[z_e] - e \\rVert^2 + \\beta\\, \\lVert z_e - \\mathrm{{sg}}[e] \\rVert^2$, each \
term a mean over all its numbers;
- the indices, (B, h, w).

Exactly one thing is wrong in the code below. It runs, and shapes are right. Return what it should: the same function \
with the mistake mended, or one of your own. Value and gradients count. Use β = {given["beta"]} where you need one.

```python
{given["code"].strip()}
```

The next cell holds the same text and runs it, so that you can call `given(z_e, codebook, beta)`."""


def form_mended_quantizer(answer: Answer, given: dict[str, Any]) -> None:
    """Refuse what does not return the three things in their shapes."""
    _called(answer, *_inputs((2, 3, 4, 5), 7), given["beta"])


def judge_mended_quantizer(answer: Answer, given: dict[str, Any]) -> None:
    """Compare values and gradients with those of the right code and of every mistake."""
    mine = run(given["code"])
    for shape, codes, beta in (((2, 3, 4, 5), 7, given["beta"]), ((3, 5, 2, 1), 4, 0.7), ((1, 2, 3, 6), 9, 1.5)):
        z_e, codebook = _inputs(shape, codes)

        def seen_of(function: Callable, inputs: tuple = (z_e, codebook, beta)) -> dict[str, Tensor]:
            return observed(function, *inputs)

        got = seen_of(lambda *arguments: _called(answer, *arguments))
        wrong = differing(got, seen_of(right()))
        if not wrong:
            continue
        for function, message in broken():
            if not differing(got, seen_of(function)):
                same = not differing(got, seen_of(mine))
                raise Mistake("Your function does what the given code does. " * same + message)
        raise Mistake(f"Not what it should be: {', '.join(wrong)}.", "Go through the code a statement at a time.")


def form_witness(answer: Answer, given: dict[str, Any]) -> tuple[Tensor, Tensor, str]:
    """Return the witness; refuse what is no small map, codebook and name of a place."""
    value = answer()
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise Mistake(f"Your function returns {kind(value)}; three things are asked for: (z_e, codebook, place).")
    z_e, codebook, place = value
    for name, tensor, axes in (("z_e", z_e, 4), ("codebook", codebook, 2)):
        if not isinstance(tensor, Tensor) or tensor.ndim != axes or not tensor.is_floating_point():
            raise Mistake(f"{name} must be a tensor of floats with {axes} axes.")
        if not tensor.numel() or not bool(tensor.isfinite().all()):
            raise Mistake(f"{name} must hold finite numbers, at least one.")
    if z_e.shape[1] != codebook.shape[1]:
        raise Mistake(f"z_e has {z_e.shape[1]} channels, and codes are {codebook.shape[1]} long; both are D.")
    if z_e.numel() > LARGEST or len(codebook) > MOST_CODES:
        raise Mistake(
            f"z_e has {z_e.numel()} numbers and the codebook {len(codebook)} codes; at most {LARGEST} and "
            f"{MOST_CODES} are allowed.",
            "The mistake shows on a small input too.",
        )
    if place not in PLACES:
        raise Mistake(f"{place!r:.60} is no place. They are: {', '.join(PLACES)}.")
    return z_e.detach().double(), codebook.detach().double(), place


def judge_witness(answer: Answer, given: dict[str, Any]) -> None:
    """Run the given and the right code on the witness."""
    z_e, codebook, place = form_witness(answer, given)
    distances = torch.cdist(z_e.movedim(1, -1).reshape(-1, z_e.shape[1]), codebook).sort(dim=1).values
    if len(codebook) > 1 and float((distances[:, 1] - distances[:, 0]).min()) < 1e-4:
        raise Mistake("Some latent is equally near to two codes, so either may be chosen.")
    inputs = z_e, codebook, given["beta"]
    wrong = differing(observed(run(given["code"]), *inputs), observed(right(), *inputs))
    if not wrong:
        raise Mistake(
            "On this input the given code does all that it should, in value and gradient.",
            "What would the mistake need, several positions, several channels, other codes, to be seen?",
        )
    if place not in wrong:
        raise Mistake(f"The given code is wrong on this input, but not in {place!r}.", "What does the mistake reach?")


@cache
def run(code: str) -> Callable:
    """Return the function that a text defines."""
    names: dict[str, Any] = {}
    exec(compile(code, "<given>", "exec"), names)
    return names["given"]


def right() -> Callable:
    """Return the quantizer without a mistake."""
    return run(_plain({}))


def broken() -> list[tuple[Callable, str]]:
    """Return the quantizer with each of the mistakes, and the misconception behind it."""
    return [(run(_plain(changes)), message) for changes, message in MISTAKES]


def _plain(changes: dict[str, str]) -> str:
    first = {slot: texts[0] for slot, texts in STYLES.items()}
    return written(first | changes, {role: options[0] for role, options in NAMES.items()})


def _inputs(shape: tuple[int, ...], codes: int) -> tuple[Tensor, Tensor]:
    """Return a random map and codebook, no latent between two codes, codes of different lengths."""
    while True:
        z_e, codebook = 2 * torch.randn(shape), torch.randn(codes, shape[1]) * torch.linspace(0.5, 3, codes)[:, None]
        distances = torch.cdist(z_e.movedim(1, -1).reshape(-1, shape[1]), codebook).sort(dim=1).values
        if float((distances[:, 1] - distances[:, 0]).min()) > 1e-4:
            return z_e, codebook


def _called(answer: Callable, z_e: Tensor, codebook: Tensor, beta: float) -> tuple[Tensor, Tensor, Tensor]:
    """Call an answer; refuse what are not three tensors of the right shapes."""
    value = answer(z_e, codebook, beta)
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise Mistake(f"Your function returns {kind(value)}; three things are asked for: (z_q, loss, indices).")
    (batch, _, *sides), names = z_e.shape, ("z_q", "loss", "indices")
    for name, tensor, shape in zip(names, value, (z_e.shape, (), (batch, *sides)), strict=True):
        if not isinstance(tensor, Tensor):
            raise Mistake(f"{name} is {kind(tensor)}; a tensor is asked for.")
        if tensor.shape != shape:
            raise Mistake(f"{name} has shape {tuple(tensor.shape)}; for this input {tuple(shape)} is asked for.")
    return tuple(value)


def observed(function: Callable, z_e: Tensor, codebook: Tensor, beta: float) -> dict[str, Tensor]:
    """Return all that can be seen of a quantizer on an input, by the names in ``PLACES``."""
    leaves = z_e.detach().clone().requires_grad_(), codebook.detach().clone().requires_grad_()
    z_q, loss, indices = function(*leaves, beta)
    weights = torch.arange(1, z_q.numel() + 1, dtype=z_q.dtype).reshape(z_q.shape).cos()
    gradients = [*_gradients(loss, leaves), *_gradients((weights * z_q).sum(), leaves)]
    return dict(zip(PLACES, (z_q, indices, loss, *gradients), strict=True))


def _gradients(value: Tensor, leaves: tuple[Tensor, Tensor]) -> list[Tensor]:
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return list(torch.autograd.grad(value, leaves, retain_graph=True, materialize_grads=True))


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Return the places where two quantizers do not do the same, up to rounding."""
    pairs = [(place, one[place].detach().double(), other[place].detach().double()) for place in PLACES]
    return [place for place, a, b in pairs if not torch.allclose(a, b, rtol=1e-3, atol=1e-5)]
