"""Bank, notebook 05: one step on a batch that does not fit into memory."""

import copy
from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from vqvae_course.checks.answer import Answer, Mistake, close, kind, recognise
from vqvae_course.checks.report import exercise

TITLE = "a batch in slices"

TASK = r"""*difficulty ●●○ · 15 min · 3 points*

A batch is too large for your GPU. Take **one** step of the optimizer as if the whole batch had gone through the model
at once, but send it through in slices. The slices are not equally large. `model(x)` returns an output with a field
`loss`, a scalar tensor: the mean over the images of `x`. Images do not influence each other.

- The parameters afterwards must be those of one step on the whole batch.
- Only one slice's graph may be in memory at any time; the check counts them.
- As in exercise 5.4, the model may come from an evaluation, and gradients of an earlier step may still lie about.
- Return the loss of the whole batch before the step, as a plain number."""

STUB = '''def accumulate_step(model, slices, optimizer):
    """Take one step on a batch that comes in slices.

    model: a module; model(x) returns an output with a field loss, the mean over x.
    slices: list of (n_i, C, H, W) float tensors, n_i not all equal.
    optimizer: a torch optimizer over model.parameters().
    Returns: the mean loss over all images of the batch, a plain number.
    """
    raise NotImplementedError
'''

QUESTION = r"""The exercise says that images do not influence each other. (a) Name two parts of a VQ-VAE, or of its
training, through which images of one batch *do* influence each other, so that a step in slices differs from a step on
the whole batch even with your function. (b) For an EMA codebook, describe exactly what differs after three slices,
and how one could repair it. (c) Somebody clips the gradient's norm after every slice. What is wrong with that?"""

RUBRIC = """- **1 point**: (a) two valid parts, each with the quantity that is computed over the batch.
- **2 points**: (b) says when the codebook moves and which codebook each slice is quantized with (1), and gives a
  repair that collects the right quantities before anything moves (1).
- **1 point**: (c) says what would have to be clipped instead, and why clipping the parts is not the same.
"""

WRITTEN_POINTS = 4


class _Counted(torch.autograd.Function):
    """The identity, which keeps count of graphs that have not been gone back through."""

    @staticmethod
    def forward(ctx: object, x: Tensor, ledger: dict) -> Tensor:
        ctx.ledger = ledger
        ledger["open"] += 1
        ledger["most"] = max(ledger["most"], ledger["open"])
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:
        ctx.ledger["open"] -= 1
        return gradient, None


class _Model(nn.Module):
    def __init__(self, channels: int, ledger: dict):
        super().__init__()
        self.layer = nn.Conv2d(channels, 3, 3, padding=1)
        self.ledger = ledger

    def forward(self, x: Tensor) -> SimpleNamespace:
        self.ledger["modes"].add(self.training)
        y = self.layer(x)
        loss = (y.tanh() - 0.3).square().mean() + 0.1 * y[:, :1].square().mean()
        return SimpleNamespace(loss=_Counted.apply(loss, self.ledger) if torch.is_grad_enabled() else loss)


def _parameters(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()


def _after(model: nn.Module, lr: float, train: Callable[[nn.Module, torch.optim.Optimizer], None]) -> Tensor:
    twin = copy.deepcopy(model)
    for mine, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        mine.grad = theirs.grad.clone()
    train(twin, torch.optim.SGD(twin.parameters(), lr))
    return _parameters(twin)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, terms: list, fresh: bool = True) -> None:
    if fresh:
        optimizer.zero_grad()
    sum(weight * model(x).loss for weight, x in terms).backward()
    optimizer.step()


@exercise(points=3)
def accumulate_step(answer: Answer) -> None:
    """Judge ``accumulate_step(model, slices, optimizer)``: against the batch in one piece."""
    for sizes, training in (((5, 2, 4), False), ((1, 6), True), ((3,), False)):
        ledger = {"open": 0, "most": 0, "modes": set()}
        model = _Model(2, ledger).train(training)
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        # Slices of different brightness, so that their losses and gradients differ
        slices = [torch.randn(n, 2, 5, 4) * (1 + i) + i for i, n in enumerate(sizes)]
        whole, lr = torch.cat(slices), 0.2
        with torch.no_grad():
            losses = [float(model(x).loss) for x in slices]
            right_loss = float(model(whole).loss)
        before = _parameters(model)
        right = _after(model, lr, lambda m, o, whole=whole: _step(m, o, [(1, whole)]))
        known = _mistakes(model, lr, slices, before)
        ledger.update(open=0, most=0, modes=set())
        value = answer(model, slices, torch.optim.SGD(model.parameters(), lr))
        if not training and False in ledger["modes"]:
            raise Mistake("The model runs in eval mode; it came from an evaluation.", "Who switches it back?")
        if ledger["most"] > 1:
            raise Mistake(
                f"{ledger['most']} slices' graphs are in memory at the same time. Then the batch might as well go "
                "through in one piece.",
                "When is a graph freed? Gradients add up in .grad, losses need not.",
            )
        mine = _parameters(model)
        if not torch.allclose(mine, right, rtol=1e-4, atol=1e-5):
            recognise(mine, known, 1e-5)
            raise Mistake(
                "The parameters are not those of one step on the whole batch.",
                "Write the batch's mean loss as a sum over slices. What stands in front of each slice's mean?",
            )
        _judge_loss(value, right_loss, losses)


def _mistakes(model: nn.Module, lr: float, slices: list[Tensor], before: Tensor) -> list[tuple[Tensor, str, str]]:
    whole, even = torch.cat(slices), [(1 / len(slices), x) for x in slices]
    total = len(whole)

    def each(m: nn.Module, o: torch.optim.Optimizer) -> None:
        for x in slices:
            _step(m, o, [(1, x)])

    def weighted_each(m: nn.Module, o: torch.optim.Optimizer) -> None:
        for x in slices:
            _step(m, o, [(len(x) / total, x)])

    def each_added(m: nn.Module, o: torch.optim.Optimizer) -> None:
        o.zero_grad()
        for x in slices:
            _step(m, o, [(len(x) / total, x)], fresh=False)

    several = (
        "The optimizer steps once a slice, so later slices meet other parameters.",
        "Where does optimizer.step() stand?",
    )
    stale = (
        "Gradients of an earlier step take part in this one.",
        "backward() adds to what is already in .grad.",
    )
    last = (
        "Only the last slice is in the gradient.",
        "Gradients add up by themselves, unless somebody clears them in between.",
    )
    unequal = (
        "Every slice has the same weight, so an image in a small slice counts more than one in a large slice.",
        "What is the share of a slice in the mean over all images?",
    )
    summed = ("The gradients of the slices' means are added up without weights: the step is too long.", unequal[1])
    return [
        (before, "The parameters have not moved.", "Who takes the step?"),
        (_after(model, lr, lambda m, o: _step(m, o, even)), *unequal),
        (_after(model, lr, lambda m, o: _step(m, o, [(1, x) for x in slices])), *summed),
        (_after(model, lr, each), *several),
        (_after(model, lr, weighted_each), *several),
        (_after(model, lr, each_added), *several),
        (_after(model, lr, lambda m, o: _step(m, o, [(1, whole)], fresh=False)), *stale),
        (_after(model, lr, lambda m, o: _step(m, o, even, fresh=False)), *stale),
        (_after(model, lr, lambda m, o: _step(m, o, [(1, slices[-1])])), *last),
        (_after(model, lr, lambda m, o: _step(m, o, [(len(slices[-1]) / total, slices[-1])])), *last),
        (_after(model, lr, lambda m, o: _step(m, o, [(len(x), x) for x in slices])), *summed),
    ]


def _judge_loss(value: object, right: float, losses: list[float]) -> None:
    if isinstance(value, Tensor):
        raise Mistake(
            "The step is right, but the loss comes back as a tensor; a plain number is asked for. Whoever collects "
            "such losses may collect their graphs as well."
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Mistake(f"The step is right, but a plain number is asked for; {kind(value)} came back.")
    if close(value, right):
        return
    if close(value, sum(losses) / len(losses)):
        raise Mistake(
            "The step is right, but the loss you return is the mean over slices, not over images.",
            "A slice with one image counts as much as one with six.",
        )
    if close(value, sum(losses)):
        raise Mistake("The step is right, but the loss you return is the sum of the slices' means.")
    raise Mistake("The step is right, but the number you return is not the batch's mean loss before the step.")
