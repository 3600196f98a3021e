"""Designing an encoder from a menu of convolutions: size of the map, receptive field, number of layers.

Every student has another image and another menu. There are 113 · 113 images times 525 menus; more than 10^6 of them
have several designs for the same map. What is drawn can be solved: it is made from the designs that there are.
"""

from itertools import accumulate
from typing import Any

from vqvae_course.assignments.variants.draw import Draws, Part
from vqvae_course.checks.answer import Answer, Mistake, kind
from vqvae_course.encdec import receptive_field

TITLE = "an encoder from a menu"
MINUTES = 15
SPACE = 10**6
PARTS = (
    Part(
        "downsampling_layers",
        2,
        '''def downsampling_layers():
    """Return a list of (kernel, stride, padding), first layer first."""
    raise NotImplementedError
''',
    ),
)
Layer = tuple[int, int, int]  # kernel, stride, padding
LAYERS = 4
PLAIN: tuple[Layer, ...] = ((3, 1, 0), (3, 1, 1), (4, 1, 0), (5, 1, 0), (5, 1, 2), (7, 1, 3))
STRIDED: tuple[Layer, ...] = ((3, 2, 1), (4, 2, 1), (5, 2, 2), (5, 2, 0), (7, 2, 3), (4, 3, 1), (5, 3, 2))


def draw(draws: Draws) -> dict[str, Any]:
    """Draw images and menus until there is a map that several designs reach, with fields of several sizes."""
    while True:
        image = draws.between(48, 160), draws.between(48, 160)
        menu = sorted(draws.shuffled(PLAIN)[:2] + draws.shuffled(STRIDED)[:3])
        aim = [draws.choice(menu) for _ in range(LAYERS)]
        latent = sizes(image, aim)
        if latent[0] == latent[1] or not all(3 <= side <= 16 for side in latent):
            continue
        fields = sorted({field for size, field in reachable(image, menu) if size == latent})
        if len(fields) >= 4 and fields[-2] <= min(image):
            return {
                "image": list(image),
                "latent": list(latent),
                "field": fields[-2],  # the largest but one, so that few designs reach it, and more than one
                "layers": LAYERS,
                "menu": [list(layer) for layer in menu],
            }


def reachable(image: tuple[int, int], menu: list[Layer]) -> set[tuple[tuple[int, int], int]]:
    """Return (size of the map, receptive field) of every design with at most ``LAYERS`` layers."""
    states, found = {(image, 1, 1)}, set()
    for _ in range(LAYERS):
        states = {
            (sizes(size, [layer]), field + (layer[0] - 1) * step, step * layer[1])
            for size, field, step in states
            for layer in menu
            if min(sizes(size, [layer])) > 0
        }
        found |= {(size, field) for size, field, _ in states}
    return found


def sizes(image: tuple[int, int], layers: list[Layer], sides: int = 2, up: int = 0) -> tuple[int, int]:
    """Return height and width of the map.

    Args:
        image: Height and width of the input.
        layers: The convolutions.
        sides: On how many sides the padding counts; 1 is a mistake.
        up: Whether the division rounds up, which is another mistake.
    """
    for kernel, stride, padding in layers:
        image = tuple((side + sides * padding - kernel + up * (stride - 1)) // stride + 1 for side in image)
    return image


def task(given: dict[str, Any]) -> str:
    """Return the task with a student's numbers."""
    (height, width), (h, w) = given["image"], given["latent"]
    menu = "\n".join(f"| {kernel} | {stride} | {padding} |" for kernel, stride, padding in given["menu"])
    return f"""\
An encoder is to turn an image of {height}×{width} pixels (height×width) into a map of exactly {h}×{w} positions. Each \
position must see at least {given["field"]} pixels along each side (its receptive field, padding included). You may \
stack at most {given["layers"]} convolutions from this menu, each as often as you like, in any order:

| kernel | stride | padding |
|---|---|---|
{menu}

Kernels are square, padding goes on all four sides, sizes are those of `torch.nn.Conv2d`. Return the layers, first \
layer first, as a list of tuples (kernel, stride, padding). There is more than one solution, and any counts."""


def form_downsampling_layers(answer: Answer, given: dict[str, Any]) -> list[Layer]:
    """Return the layers; refuse what is no list of few enough triples from the menu."""
    value = answer()
    if not isinstance(value, list | tuple) or not value:
        raise Mistake(f"Your function returns {kind(value)}; a list of (kernel, stride, padding) is asked for.")
    for layer in value:
        triple = isinstance(layer, list | tuple) and len(layer) == 3
        if not triple or not all(isinstance(number, int) for number in layer):
            raise Mistake(f"A layer must be three whole numbers (kernel, stride, padding), got {layer!r:.60}.")
        if list(layer) not in given["menu"]:
            raise Mistake(f"The layer {tuple(layer)} is not on your menu.")
    if len(value) > given["layers"]:
        raise Mistake(f"You use {len(value)} layers; at most {given['layers']} are allowed.")
    return [tuple(layer) for layer in value]


def judge_downsampling_layers(answer: Answer, given: dict[str, Any]) -> None:
    """Judge size and receptive field of the design."""
    layers = form_downsampling_layers(answer, given)
    _judge_size(layers, tuple(given["image"]), tuple(given["latent"]))
    _judge_field(layers, given["field"])


def _judge_size(layers: list[Layer], image: tuple[int, int], latent: tuple[int, int]) -> None:
    got = sizes(image, layers)
    if got == latent:
        return
    told = f"The map has {got[0]}×{got[1]} positions; {latent[0]}×{latent[1]} are asked for."
    if min(got) < 1:
        raise Mistake("Nothing is left of the image: some layer has a kernel larger than its input.")
    if got == latent[::-1]:
        raise Mistake(told, "Is the first number the height?")
    if sizes(image, layers, sides=1) == latent:
        raise Mistake(f"{told} It would be right if padding went on one side only.", "Both sides: n + 2p.")
    if sizes(image, layers, up=1) == latent:
        raise Mistake(f"{told} It would be right if the division rounded up.", "A stride that does not fit is cut off.")
    shrink = list(accumulate((stride for _, stride, _ in layers), lambda a, b: a * b))[-1]
    if tuple(side // shrink for side in image) == latent:
        raise Mistake(f"{told} You have divided by the strides alone.", "Kernel and padding count at the border.")
    raise Mistake(told)


def _judge_field(layers: list[Layer], wanted: int) -> None:
    steps = [(kernel, stride) for kernel, stride, _ in layers]
    field = receptive_field(steps)
    if field >= wanted:
        return
    told = f"A position sees {field} pixels along a side; at least {wanted} are asked for."
    if sum(kernel for kernel, _ in steps) >= wanted or _own_stride_too(steps) >= wanted:
        raise Mistake(
            f"{told} Kernels are not just added up, and a layer's own stride does not widen its own kernel.",
            "By which strides is (kernel - 1) multiplied?",
        )
    if receptive_field(steps[::-1]) >= wanted:
        raise Mistake(
            f"{told} The same layers in the opposite order would see enough.",
            "A kernel counts more, the more strides come before it.",
        )
    raise Mistake(told, "A large kernel sees most when it comes after the strides.")


def _own_stride_too(steps: list[tuple[int, int]]) -> int:
    """Return the field as those compute it who multiply a kernel also with its own layer's stride."""
    field, step = 1, 1
    for kernel, stride in steps:
        step *= stride
        field += (kernel - 1) * step
    return field
