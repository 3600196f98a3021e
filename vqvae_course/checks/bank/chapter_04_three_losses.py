"""Bank, notebook 04: reading the weights of a loss from its gradients."""

import math

import torch
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, close, kind
from vqvae_course.checks.report import exercise

TITLE = "the weights of a stranger's loss"

TASK = r"""*difficulty ●●○ · 15 min · 3 points*

Somebody trains a VQ-VAE with

$$L = L_\text{rec}(z_q)
+ \alpha\, \lVert \mathrm{sg}[z_e] - e \rVert^2 + \beta\, \lVert z_e - \mathrm{sg}[e] \rVert^2 ,$$

$z_q$ by straight-through, both squared distances as means over all $ND$ numbers, and will not tell you $\alpha$ and
$\beta$. From one training step you have the latents, the codebook and three gradients of the *whole* loss $L$: at
`z_e`, at `codebook` and at `z_q`. Work out both weights. Nothing is known of $L_\text{rec}$.

As in real life: some latents stand exactly on their codes, some codes are chosen by nobody, and the gradients are
rounded to float32. At least one code has a gradient if $\alpha \neq 0$. Either weight may be 0. The weights are asked
for to one part in a thousand. You may use `nearest_code`."""

STUB = '''def read_weights(z_e, codebook, grad_z, grad_codebook, grad_zq):
    """Return the weights of the codebook loss and of the commitment loss.

    z_e: (N, D) float tensor, the latents. codebook: (K, D) float tensor.
    grad_z: (N, D), the gradient of L at z_e. grad_codebook: (K, D), at codebook.
    grad_zq: (N, D), the gradient of L at z_q, the decoder's input.
    Returns: (alpha, beta), two numbers.
    """
    raise NotImplementedError
'''

QUESTION = r"""You find $\alpha = 4$ and $\beta = 1$ in a stranger's training. (a) The stranger says: "I wrote
$\alpha = 1$ and $\beta = 0.25$, as in the paper." Give an explanation under which both of you are right, and say what
else would differ in the same way. (b) The codebook is trained with plain SGD there. Does $\alpha$ matter? Would it
matter with Adam? (c) Why can the gradient at the codebook never tell you $\beta$?"""

RUBRIC = """- **1 point**: (a) names a difference in how the squared distances are reduced that explains this factor
  for both weights.
- **1 point**: (b) answers for SGD and for Adam separately, with the reason in each case.
- **1 point**: (c) argues with the stop-gradient and not with a measurement.
"""

WRITTEN_POINTS = 3


@exercise(points=3)
def read_weights(answer: Answer) -> None:
    """Judge ``read_weights(...)``: gradients made by autograd, with weights that only the check knows."""
    for n, dim, size, alpha, beta in (
        (9, 3, 4, 1.0, 0.25),
        (14, 2, 6, 0.7, 1.9),
        (7, 5, 3, 2.6, 0.0),
        (11, 4, 5, 0.0, 0.6),
        (6, 3, 1, 1.3, 0.45),
    ):
        alpha, beta = (weight * (0.8 + 0.4 * float(torch.rand(()))) for weight in (alpha, beta))
        step = _step(n, dim, size, alpha, beta)
        got = _numbers(answer(*step))
        if _right(got, (alpha, beta)):
            continue
        factors = (
            (n * dim, "N·D", "The squared distances are means over all N·D numbers; do you read them as sums?"),
            (n, "N", "The mean runs over N·D numbers; do you divide by D alone?"),
            (dim, "D", "The mean runs over N·D numbers; do you divide by N alone?"),
            (2, "two", "What is the derivative of a square?"),
        )
        if _right(got[::-1], (alpha, beta)):
            raise Mistake("The two weights are in the wrong order: α, that of the codebook loss, comes first.")
        changed = _numbers(answer(*_step(n, dim, size, alpha, beta, like=step)))
        if not close(changed[1], got[1], 1e-2) and abs(changed[1] - got[1]) > 1e-3:
            raise Mistake(
                "Your β changes when only the reconstruction changes. The gradient at z_e holds the reconstruction's "
                "as well.",
                "What does straight-through do with the gradient that arrives at z_q?",
            )
        for name, mine, right in (("α", got[0], alpha), ("β", got[1], beta)):
            if right and close(mine, -right):
                raise Mistake(f"Your {name} has the wrong sign.", "In which direction does the distance grow?")
            for by, word, hint in factors:
                for times, way in ((by, "large"), (1 / by, "small")):
                    if right and close(mine, right * times, 5e-4):
                        raise Mistake(f"Your {name} is too {way} by a factor of {word}.", hint)
        if abs(got[0] - alpha) > 2e-3 * max(alpha, 0.1):
            raise Mistake(
                "α is not right.",
                "A code's gradient is a sum over the latents that chose it. Which row of which difference is it "
                "to be compared with, and what about codes whose row is 0?",
            )
        raise Mistake(
            "β is not right.",
            "Each number of each latent gives an estimate; those close to their codes give a bad one. How do you "
            "average so that they weigh little?",
        )


def _right(got: tuple[float, float], weights: tuple[float, float]) -> bool:
    return all(abs(mine - right) <= 2e-3 * max(right, 0.1) for mine, right in zip(got, weights, strict=True))


def _numbers(value: object) -> tuple[float, float]:
    if isinstance(value, Tensor) and value.shape == (2,):
        value = tuple(value)
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise Mistake(f"A pair of numbers (alpha, beta) is asked for; {kind(value)} came back.")
    try:
        alpha, beta = (float(each) for each in value)
    except Exception as error:
        raise Mistake("A pair of numbers (alpha, beta) is asked for; one of yours is no number.") from error
    if not math.isfinite(alpha) or not math.isfinite(beta):
        raise Mistake(
            "One of your weights is infinite or NaN.",
            "Some latents stand exactly on their codes, and some codes have no latents: a division by 0?",
        )
    return alpha, beta


def _step(
    n: int, dim: int, size: int, alpha: float, beta: float, like: tuple | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return latents, codes and gradients; with ``like`` the same latents under another reconstruction."""
    if like is None:
        codebook = 2 * torch.randn(size, dim, dtype=torch.float64).float().double()
        codebook[-1] += 30 * (size > 1)  # a code that nobody chooses
        indices = torch.randint(max(1, size - 1), (n,))
        z = (codebook[indices] + 0.3 * torch.randn(n, dim)).float().double()
        z[:2] = codebook[indices[:2]]
    else:
        z, codebook = like[0].double(), like[1].double()
    indices = torch.cdist(z, codebook).argmin(1)
    z.requires_grad_()
    codebook.requires_grad_()
    e = codebook[indices]
    z_q = z + (e - z).detach()
    z_q.retain_grad()
    target, weights = torch.randn(n, dim, dtype=torch.float64), torch.randn(n, dim, dtype=torch.float64)
    reconstruction = ((z_q - target).square() * weights.exp()).sum() / n
    loss = reconstruction + alpha * (z.detach() - e).square().mean() + beta * (z - e.detach()).square().mean()
    loss.backward()
    return tuple(each.detach().float() for each in (z, codebook, z.grad, codebook.grad, z_q.grad))
