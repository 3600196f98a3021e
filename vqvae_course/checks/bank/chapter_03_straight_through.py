"""Bank, notebook 03: the rotation trick."""

import torch
from torch import Tensor

from vqvae_course.checks.answer import Answer, Mistake, recognise
from vqvae_course.checks.report import exercise

TITLE = "turn the gradient as the latent was turned"

TASK = r"""*difficulty ●●● · 20 min · 3 points*

Straight-through pretends that the code is the latent *moved* by a constant. The *rotation trick*
([Fifty et al., 2024](https://arxiv.org/abs/2410.06424)) pretends that it is the latent *turned and stretched*:

$$z_q = \lambda R\, z_e, \qquad \lambda = \frac{\lVert e_k \rVert}{\lVert z_e \rVert},$$

where $R$ is the rotation that takes the direction $\hat z$ of the latent into the direction $\hat e$ of its code,
within the plane of the two, and leaves everything perpendicular to this plane alone. With $r$ the unit vector halfway
between $\hat z$ and $\hat e$, it turns any vector $v$ into

$$R\,v = v - 2\,r\,(r \cdot v) + 2\,\hat e\,(\hat z \cdot v) .$$

$\lambda$ and $R$ count as **constants** on the way back. Write it for $N$ latents, each with a rotation of its own.
The value is that of the codes; the gradient $g$ that arrives at $z_q$ comes to $z_e$ as this formula wants it, and
none of it gets to $e_k$. All vectors are longer than 0, no code is opposite to its latent, and a code may point in
exactly the latent's direction. $D$ can be in the hundreds: do without $D \times D$ matrices."""

STUB = '''def rotate_through(z_e, e_k):
    """Return the value of the codes, with the gradient of a rotation and a scaling.

    z_e: (N, D) float tensor, the latents; may require gradients.
    e_k: (N, D) float tensor, the code of each latent; may require gradients.
    Returns: z_q, (N, D).
    """
    raise NotImplementedError
'''

QUESTION = r"""A latent and its code have the same length, with an angle of 90° between them. (a) With
straight-through, the loss wants $z_q$ to move straight away from the origin, along $\hat e$. Which way does the
latent move, and does the angle between latent and code become larger or smaller (the code stays)? (b) The same with
the rotation trick. (c) Name one thing that the rotation trick cannot repair either, since the value of $z_q$ is the
same."""

RUBRIC = """- **1 point**: (a) correct direction of the latent's movement and correct consequence for the angle.
- **1 point**: (b) correct direction with the rotation, said relative to the latent itself, and what it means for the
  angle.
- **1 point**: (c) names a limitation that follows from the forward pass (or from treating a quantity as constant) and
  says why it remains.
"""

WRITTEN_POINTS = 3


@exercise(points=3)
def rotate_through(answer: Answer) -> None:
    """Judge ``rotate_through(z_e, e_k)``: gradients in the plane and out of it, by coordinates and not by formula."""
    for n, dim, parallel in ((5, 3, False), (4, 7, False), (1, 2, False), (3, 6, True), (2, 200, False)):
        z_e = (torch.randn(n, dim, dtype=torch.float64) * 1.7 + 0.3).requires_grad_()
        e_k = torch.randn(n, dim, dtype=torch.float64) * 0.6 + 0.3 * z_e.detach()
        if parallel:
            e_k = z_e.detach() * torch.tensor([0.4, 2.5, 1.0], dtype=torch.float64)[:, None]
        e_k.requires_grad_()
        z_q = answer.tensor(z_e, e_k, shape=(n, dim))
        if not torch.allclose(z_q.detach().double(), e_k.detach(), rtol=1e-4, atol=1e-5):
            raise Mistake(
                "The value is not that of the codes.",
                "Is the stretching the right way round? Does every latent have a rotation of its own?",
            )
        if not z_q.requires_grad:
            raise Mistake("No gradient can get from z_q to the latents.", "What is a constant, and what is not?")
        g = torch.randn(n, dim, dtype=torch.float64)
        to_z, to_e = torch.autograd.grad(z_q, (z_e, e_k), g.to(z_q), allow_unused=True)
        to_z = torch.zeros_like(g) if to_z is None else to_z.double()
        _judge_gradient(to_z, g, z_e.detach(), e_k.detach())
        if to_e is not None and float(to_e.abs().max()) > 1e-6:
            raise Mistake(
                "Some of the gradient gets to the codes.", "Rotation and stretching are made of e_k, but are constants."
            )


def _judge_gradient(got: Tensor, g: Tensor, z: Tensor, e: Tensor) -> None:
    """Compare in an orthonormal frame of each plane, with the code's direction as first axis."""
    stretch = e.norm(dim=1, keepdim=True) / z.norm(dim=1, keepdim=True)
    first, start = e / e.norm(dim=1, keepdim=True), z / z.norm(dim=1, keepdim=True)
    cosine = (first * start).sum(1, keepdim=True)
    aside = start - cosine * first
    sine = aside.norm(dim=1, keepdim=True)
    second = aside / sine.clamp(min=1e-9)
    along = (got * first).sum(1, keepdim=True) / stretch, (got * second).sum(1, keepdim=True) / stretch
    wanted = (g * first).sum(1, keepdim=True), (g * second).sum(1, keepdim=True)

    def turned(angle: int) -> tuple[Tensor, Tensor]:
        s = angle * sine
        return cosine * wanted[0] - s * wanted[1], s * wanted[0] + cosine * wanted[1]

    def outside(v: Tensor) -> Tensor:
        return v - (v * first).sum(1, keepdim=True) * first - (v * second).sum(1, keepdim=True) * second

    def same(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> bool:
        return all(torch.allclose(x, y, rtol=1e-4, atol=1e-5) for x, y in zip(a, b, strict=True))

    inside = same(along, turned(1))
    if inside and torch.allclose(outside(got), stretch * outside(g), rtol=1e-4, atol=1e-5):
        return
    recognise(
        got,
        [
            (
                torch.zeros_like(g),
                "No gradient gets to the latents. If nothing is held constant, λRz is the code whatever the latent is, "
                "and its derivative is 0.",
                "Which parts of the formula count as constants?",
            ),
            (g, "The gradient is handed on unchanged: this is straight-through.", "Where do R and λ come in?"),
            (
                stretch * g,
                "The gradient is stretched, but not turned.",
                "z_q has to be R applied to the latent, and not a code with the latent's gradient.",
            ),
        ],
        1e-6,
    )
    unscaled = tuple(stretch * value for value in along)
    if same(unscaled, turned(1)):
        raise Mistake("The gradient is turned as it should be, but λ is missing.", "λ multiplies the latent too.")
    if same(along, turned(-1)) or same(unscaled, turned(-1)):
        raise Mistake(
            "The gradient is turned the wrong way: from the latent to the code. On the way back, what is parallel to "
            "the code has to become parallel to the latent.",
            "Build the value from z_e, and let autograd find the way back.",
        )
    if inside:
        raise Mistake(
            "In the plane of latent and code the gradient is right, but what is perpendicular to the plane does not "
            "arrive as it should.",
            "R leaves such vectors alone; λ does not.",
        )
    raise Mistake(
        "The gradient at the latents is not what λ and R, held constant, make of it.",
        "Test it: a gradient parallel to the code must come out parallel to the latent, λ times as long.",
    )
