"""What a function must leave in a network that it is given as it was."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from vqvae_course.checks.answer import Mistake


@contextmanager
def untouched(net: nn.Module, message: str, hint: str) -> Iterator[None]:
    """Refuse what an answer leaves behind in a network: other numbers, types, gradients, hooks, frozen parameters.

    Args:
        net: The network that the answer is called on.
        message: What to say if a parameter or a buffer has changed.
        hint: A nudge to go with it.

    Raises:
        Mistake: At the end, if the network is not what it was; its mode is not looked at.
    """
    before = copy.deepcopy(net.state_dict())
    gradients = [None if parameter.grad is None else parameter.grad.clone() for parameter in net.parameters()]
    trainable, hooks = [parameter.requires_grad for parameter in net.parameters()], _hooks(net)
    yield
    for name, value in net.state_dict().items():
        if value.dtype != before[name].dtype:
            raise Mistake("Your function converts the network to another type, and leaves it so.", "Convert a copy.")
        if not torch.equal(value, before[name]):
            raise Mistake(message, hint)
    kept = [(old, parameter.grad) for old, parameter in zip(gradients, net.parameters(), strict=True)]
    if any(old is not None and (new is None or not bool(new.any())) for old, new in kept):
        raise Mistake(
            "Your function erases the gradients that stood in the parameters of the network before.",
            "zero_grad() also takes what was there. torch.autograd.grad stores nothing, so nothing is to be erased.",
        )
    if any(new is not None and (old is None or not torch.equal(old, new)) for old, new in kept):
        raise Mistake(
            "Your function leaves gradients in the parameters of the network; the next optimizer step of its owner "
            "would use them.",
            "backward() stores gradients wherever it can. torch.autograd.grad returns the one you ask for.",
        )
    if [parameter.requires_grad for parameter in net.parameters()] != trainable:
        raise Mistake(
            "Your function leaves parameters with another requires_grad than they had: frozen weights learn nothing "
            "any more.",
            "torch.no_grad() keeps torch from building a graph, and freezes nothing.",
        )
    if _hooks(net) != hooks:
        raise Mistake("Your function leaves a hook in the network: it runs at every later call.", "Remove the hook.")


def must_be_in_mode(net: nn.Module, mode: bool) -> None:
    """Refuse a network that came in train mode, or in eval mode, and is not wholly in it any more."""
    if any(part.training is not mode for part in net.modules()):
        was, now = ("train", "eval") if mode else ("eval", "train")
        raise Mistake(
            f"The network was in {was} mode and comes back in {now} mode, or a part of it does.",
            "Remember the mode at the start. Put it back at the end.",
        )


def _hooks(net: nn.Module) -> list[int]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [len(getattr(part, kind)) for part in net.modules() for kind in kinds]
