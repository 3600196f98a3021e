"""What page 7 claims of codebooks that die and of the cures."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Alike, Every, Less, Ordered

RUNS, ERROR, USED = "collapse", "normalized_mse", "codes_used"
ALL_THREE = "EMA + k-means + normalised + restart"


def smaller_error(low: str, high: str) -> Less:
    """Claim that one setting has a smaller error: by ratio, since errors of the same recipe differ by factors."""
    return Less(RUNS, ERROR, low, high, times=1)


CLAIMS = {
    "07-scale": Claim(
        "Of codes that start at s = 0.001 more win something at update 0 than at s = 1 (the setting called "
        "gradient), and fewer are in use after 200 updates, at a larger error; at s = 10 and 100 a single "
        "code is left.",
        (
            Less(RUNS, "used_at_start", "gradient", "gradient, s = 0.001"),
            Less(RUNS, USED, "gradient, s = 0.001", "gradient"),
            smaller_error("gradient", "gradient, s = 0.001"),
            Every(RUNS, USED, "gradient, s = 10", most=1),
            Every(RUNS, USED, "gradient, s = 100", most=1),
        ),
    ),
    "07-normalised": Claim(
        "Normalised latents lower the error of an EMA codebook and of a gradient codebook, and no seed of "
        "either ends with one code. A k-means start alone is worse than that, and makes a gradient codebook "
        "worse than a random start; on normalised latents it makes it better.",
        (
            smaller_error("EMA + normalised", "EMA"),
            smaller_error("gradient + normalised", "gradient"),
            smaller_error("EMA + normalised", "EMA + k-means"),
            smaller_error("gradient", "gradient + k-means"),
            smaller_error("gradient + k-means + normalised", "gradient + normalised"),
            Every(RUNS, ERROR, "EMA + normalised", most=0.11),
            Every(RUNS, ERROR, "gradient + normalised", most=0.15),
        ),
    ),
    "07-use": Claim(
        "Restarts without normalisation reach more than three times the perplexity of normalisation without "
        "restarts, and a larger error.",
        (
            Less(RUNS, "perplexity", "EMA + normalised", "EMA + restart", times=3),
            smaller_error("EMA + normalised", "EMA + restart"),
        ),
    ),
    "07-together": Claim(
        "With normalised latents, restarts lower the error after 200 updates a little further; a k-means "
        "start on top of both changes it by no more than 0.005, a sixteenth of it.",
        (
            smaller_error("EMA + normalised + restart", "EMA + normalised"),
            Alike(RUNS, ERROR, "EMA + normalised + restart", ALL_THREE, within=0.005),
        ),
    ),
    "07-longer": Claim(
        "After 800 updates normalised latents alone are as good as all three cures to within 0.005, a ninth "
        "of the error, and use every code; the EMA codebook without cures ends anywhere between that and a "
        "single code.",
        (
            Alike(RUNS, ERROR, "EMA + normalised, 800 updates", f"{ALL_THREE}, 800 updates", within=0.005),
            Every(RUNS, USED, "EMA + normalised, 800 updates", least=128),
            Every(RUNS, ERROR, "EMA, 800 updates", least=0.04, most=0.75),
        ),
    ),
    "07-one-code": Claim(
        "A codebook of one code has an error of about 0.75, between the mean picture and mean grey.",
        (Every(RUNS, ERROR, "one code", least=0.74, most=0.76),),
    ),
    "07-sizes": Claim(
        "Restarts lower the error at every K tried, with normalised latents and 200 updates.",
        tuple(smaller_error(f"K = {k} + restart", f"K = {k}") for k in (16, 64, 256)),
    ),
    "07-dims": Claim(
        "A gradient codebook without cures uses more of its codes in fewer dimensions, from D = 32 down to "
        "the plane, and its error in the plane is smaller than at D = 32.",
        (
            Ordered(RUNS, USED, ("gradient", "D = 8", "D = 2")),
            smaller_error("D = 2", "gradient"),
        ),
    ),
}
