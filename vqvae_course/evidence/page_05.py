"""What page 5 claims of its recipe, on the runs of page 7."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Less

NAME, ERROR = "collapse", "normalized_mse"
RECIPE, PLAIN = "EMA + k-means + normalised + restart, 800 updates", "gradient, 800 updates"
CLAIMS = {
    "05-recipe": Claim(
        "After 800 updates at the same learning rate the plain gradient codebook has more than one and a half times "
        "the error of the recipe, and the recipe uses more of its codes.",
        (
            Less(NAME, ERROR, RECIPE, PLAIN, times=1.5),
            Less(NAME, "codes_used", PLAIN, RECIPE),
        ),
    ),
}
