"""What page 1 claims of VAEs that differ in the variance of a pixel."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Every, Ordered

NAME = "vae_collapse"
NARROW, SUM, MEAN = "0.02", "0.5 (sum)", "392 (mean)"
CLAIMS = {
    "01-rate": Claim(
        "After 300 updates, the larger the variance of a pixel, the fewer nats are paid and the larger the error.",
        (Ordered(NAME, "rate", (MEAN, SUM, NARROW)), Ordered(NAME, "mse", (NARROW, SUM, MEAN))),
    ),
    "01-bits": Claim(
        "The whole bound, in bits per dimension, is best for the smallest variance.",
        (Ordered(NAME, "bits", (NARROW, SUM, MEAN)),),
    ),
    "01-linear": Claim(
        "The linear theory asks for 60.6, 10.1 and 0 nats; after 300 updates the networks pay nearly as much, about "
        "two thirds, and none.",
        (
            Every(NAME, "rate", NARROW, least=45, most=75),
            Every(NAME, "rate", SUM, least=4, most=10.1),
            Every(NAME, "rate", MEAN, most=1e-4),
        ),
    ),
}
