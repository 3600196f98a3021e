"""What page 2 claims of longer vectors: what they gain, and what they cost."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Less, Ordered

NAME = "longer_vectors"
CLAIMS = {
    "02-scenes": Claim(
        "At equal bits per pixel, scenes made of larger patches have less than a third of the error.",
        (
            Less(NAME, "error", "scenes, 2×2, K = 16", "scenes, 1×1, K = 2", times=3),
            Less(NAME, "error", "scenes, 4×4, K = 256", "scenes, 2×2, K = 4", times=3),
            Less(NAME, "error", "scenes, 8×8, K = 256", "scenes, 4×4, K = 4", times=3),
        ),
    ),
    "02-filling": Claim(
        "Independent numbers gain as well, and little: normal numbers at one bit each, and patches of shuffled scenes.",
        (
            Less(NAME, "error", "normal, 1 bit, D = 8", "normal, 1 bit, D = 1"),
            Less(NAME, "error", "shuffled, 2×2, K = 16", "shuffled, 1×1, K = 2"),
            Less(NAME, "error", "shuffled, 4×4, K = 256", "shuffled, 2×2, K = 4"),
        ),
    ),
    "02-dimension": Claim(
        "With 256 codes, the error of each of D independent numbers grows with D.",
        (Ordered(NAME, "error", tuple(f"normal, K = 256, D = {d}" for d in (1, 2, 4, 8, 16, 32, 64))),),
    ),
}
