"""Numbers of a tokenizer: bits, perplexity and compression of one encoder and one table of usage.

Every student has another image, another factor and another table of counts. The counts alone, at least six of them
between 3 and 90, make more than 10^11 variants.
"""

import math
from typing import Any

from vqvae_course.assignments.variants.draw import Draws, Part
from vqvae_course.checks.answer import Answer, Mistake, close, kind, recognise

TITLE = "the numbers of a tokenizer"
MINUTES = 15
SPACE = 88**6
KEYS = ("index_bits", "entropy_bits", "perplexity", "compression")
PARTS = (
    Part(
        "tokenizer_numbers",
        3,
        '''def tokenizer_numbers():
    """Return a dict with the keys index_bits, entropy_bits, perplexity and compression."""
    raise NotImplementedError
''',
    ),
)
ROUNDED = 1e-4  # relative; what a rounded number may be off when it is compared with a known mistake


def draw(draws: Draws) -> dict[str, Any]:
    """Draw an image of which one side does not divide evenly, a codebook of no power of two, and its usage."""
    factor = draws.choice((4, 8, 16))
    even, uneven = factor * draws.between(5, 9), factor * draws.between(10, 14) + draws.between(1, factor - 1)
    height, width = draws.shuffled((even, uneven))
    codes = draws.choice((9, 10, 11, 12, 13, 14, 15, 18, 19, 20, 21, 22, 23, 24))
    unused = draws.between(2, 3)
    counts = draws.shuffled([0] * unused + [draws.between(3, 90) for _ in range(codes - unused)])
    return {
        "height": height,
        "width": width,
        "channels": draws.choice((3, 4)),
        "depth": draws.choice((8, 10, 12, 16)),
        "factor": factor,
        "codes": codes,
        "dim": draws.choice((24, 32, 48, 64)),
        "counts": counts,
    }


def task(given: dict[str, Any]) -> str:
    """Return the task with a student's numbers."""
    return f"""\
An encoder takes images of {given["height"]}×{given["width"]} pixels (height×width), {given["channels"]} channels and \
{given["depth"]} bits per channel. It makes both sides {given["factor"]} times smaller; a side that {given["factor"]} \
does not divide is first padded to the next multiple of {given["factor"]}. At each position of the map it chooses one \
of K = {given["codes"]} codes of D = {given["dim"]} numbers. In a sample of {sum(given["counts"])} positions, taken \
from many images, the codes were chosen so often (code 0 first):

`{given["counts"]}`

Return a dict with four numbers, exact or with at least five significant digits:

- `"index_bits"`: bits for one image when each index takes the same whole number of bits;
- `"entropy_bits"`: what the entropy of this table says an image takes at least, when all positions are coded \
independently and with the same table, in bits;
- `"perplexity"`: of the table;
- `"compression"`: how many times fewer bits the indices take (as in `index_bits`) than the image itself."""


def form_tokenizer_numbers(answer: Answer, given: dict[str, Any]) -> dict[str, float]:
    """Return the four numbers; refuse what is no dict of four finite numbers."""
    value = answer()
    if not isinstance(value, dict):
        raise Mistake(f"Your function returns {kind(value)}; a dict is asked for.")
    if set(value) != set(KEYS):
        raise Mistake(f"Your dict has the keys {sorted(map(str, value))}; asked for are {', '.join(KEYS)}.")
    return {key: _number(key, value[key]) for key in KEYS}


def _number(key: str, value: Any) -> float:
    try:
        return Answer(lambda: value).number()
    except Mistake as mistake:
        what = mistake.message.replace("Your function returns", f"{key} is")
        hint = "A code that was never chosen adds 0 to the entropy, though log 0 is not finite."
        raise Mistake(what, hint if " is nan" in what or " is inf" in what else mistake.hint) from mistake


def judge_tokenizer_numbers(answer: Answer, given: dict[str, Any]) -> None:
    """Judge the four numbers, each by itself."""
    got = form_tokenizer_numbers(answer, given)
    for key, (right, known) in expected(given).items():
        if close(got[key], right):
            continue
        recognise(got[key], [(value, f"{key}: {message}", hint) for value, message, hint in known], ROUNDED)
        raise Mistake(f"{key} is {got[key]:.6g}, which is not what the numbers of this student lead to.")


def expected(given: dict[str, Any]) -> dict[str, tuple[float, list[tuple[float, str, str]]]]:
    """Return for each key the right number, and what known mistakes lead to."""
    height, width, factor, codes, dim = (given[key] for key in ("height", "width", "factor", "codes", "dim"))
    pixels, cut = height * width, (height // factor) * (width // factor)
    places = math.ceil(height / factor) * math.ceil(width / factor)
    shares = [count / sum(given["counts"]) for count in given["counts"] if count]
    entropy = -sum(share * math.log2(share) for share in shares)
    width_of_index = (codes - 1).bit_length()
    index_bits, raw = places * width_of_index, pixels * given["channels"] * given["depth"]
    padded = places * factor**2 * given["channels"] * given["depth"]

    def miscounted(per_place: float) -> list[tuple[float, str, str]]:
        return [
            (per_place, "this is what one position takes; an image has more.", "How many positions has the map?"),
            (pixels * per_place, "you count pixels; one index is chosen at each position of the smaller map.", ""),
            (places * dim * per_place, "you count D numbers at each position; one index stands for all D.", ""),
            (pixels * dim * per_place, "you count D numbers at each pixel; one index at each position is sent.", ""),
            (cut * per_place, "you round a side down that does not divide evenly; it is padded, so rounded up.", ""),
        ]

    nats = "this is in nats; bits are asked for."
    return {
        "index_bits": (
            index_bits,
            [
                *miscounted(width_of_index),
                (places * math.log2(codes), "each index takes a whole number of bits here.", "Round log2 K up."),
                (places * math.log(codes), nats, "Which logarithm counts bits?"),
                (places * entropy, "this is the entropy; asked for are indices of one fixed length.", ""),
                (places * codes, "you take K bits for an index; log2 K suffice.", ""),
            ],
        ),
        "entropy_bits": (
            places * entropy,
            [
                (places * entropy * math.log(2), nats, "Which logarithm counts bits?"),
                *miscounted(entropy),
                (sum(given["counts"]) * entropy, "this is for the whole sample of the table, not for an image.", ""),
                (places * math.log2(codes), "this holds if all codes are equally frequent; the table says more.", ""),
                (places * math.log2(len(shares)), "this holds if all used codes are equally frequent.", ""),
                (index_bits, "this is the fixed length; frequent codes can have shorter ones.", ""),
            ],
        ),
        "perplexity": (
            2**entropy,
            [
                (2 ** (entropy * math.log(2)), "you raise 2 to an entropy in nats; base and logarithm must agree.", ""),
                (math.exp(entropy), "you raise e to an entropy in bits; base and logarithm must agree.", ""),
                (entropy, "this is the entropy itself.", "Perplexity counts codes, entropy bits."),
                (entropy * math.log(2), "this is the entropy itself, in nats.", "Perplexity counts codes."),
                (len(shares), "this counts used codes as if all were equally frequent.", ""),
                (codes, "this is K; how often each code is chosen matters.", ""),
                (1 / sum(share**2 for share in shares), "this is one over the sum of squared shares.", ""),
                (2**entropy / codes, "this is the perplexity divided by K.", ""),
            ],
        ),
        "compression": (
            raw / index_bits,
            [
                (index_bits / raw, "this is upside down: the indices take fewer bits than the image.", ""),
                (raw / (places * entropy), "you divide by the entropy; asked for are fixed-length indices.", ""),
                (raw / (8 * index_bits), "you compare bytes with bits.", ""),
                (raw / given["depth"] / index_bits, "you count numbers of the image and bits of the indices.", ""),
                (raw / given["channels"] / index_bits, "you leave out the channels of the image.", ""),
                (padded / index_bits, "you count the padding as part of the image.", ""),
                (raw / (index_bits * dim), "you count D numbers at each position; one index stands for all D.", ""),
                (pixels / places, "this compares positions with pixels, not bits with bits.", ""),
            ],
        ),
    }
