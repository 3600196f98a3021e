"""What page 3 claims of networks with and without the straight-through estimator."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Less

NAME = "straight_through"
CLAIMS = {
    "03-curve": Claim(
        "After 1200 updates the network without the estimator has more than ten times the error of the one with it, "
        "and that one more than ten times the error of the network without a quantizer.",
        (
            Less(NAME, "error", "curve, straight-through", "curve, without it", times=10),
            Less(NAME, "error", "curve, no quantizer", "curve, straight-through", times=10),
        ),
    ),
    "03-glyphs": Claim(
        "After 300 updates the VQ-VAE without the estimator has more than one and a half times the error of the one "
        "with it.",
        (Less(NAME, "error", "glyphs, straight-through", "glyphs, without it", times=1.5),),
    ),
}
