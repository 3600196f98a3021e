"""What page 4 claims of the commitment loss, and of codes with few latents or none."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Alike, Every, Less, Ordered, Undecided

CODES, BETA = "adam_and_rare_codes", "beta"
STIFF_TO_WEAK = tuple(f"k-means, β = {b}" for b in ("64", "16", "4", "1", "0.25", "0.05"))
CLAIMS = {
    "04-rare-sgd": Claim(
        "Under plain descent, with all latents in every update, the code with 990 latents moves more than four times "
        "as far as the one with 10, and a code without latents not at all.",
        (
            Every(CODES, "ratio", "SGD, all latents", least=4),
            Every(CODES, "drift", "SGD, all latents", most=0),
        ),
    ),
    "04-rare-adam": Claim(
        "Under Adam, with all latents in every update, the two codes move equally far, up to a tenth; in batches of 50 "
        "the common one moves 1.2 to 2 times as far; and a code that has lost its latents drifts on.",
        (
            Every(CODES, "ratio", "Adam, all latents", least=0.9, most=1.1),
            Every(CODES, "ratio", "Adam, batches of 50", least=1.2, most=2),
            Every(CODES, "drift", "Adam, all latents", least=0.03),
        ),
    ),
    "04-runaway": Claim(
        "Without a commitment term latents end more than a thousand times as far out as with β = 0.25, and a gradient "
        "codebook stays behind, while an EMA codebook follows.",
        (
            Less(BETA, "longest_latent", "k-means, β = 0.25", "k-means, β = 0", times=1000),
            Every(BETA, "longest_code", "k-means, β = 0", most=20),
            Less(BETA, "longest_code", "k-means, β = 0", "EMA, β = 0", times=10),
            Less(BETA, "codes_used", "k-means, β = 0", "EMA, β = 0", times=4),
        ),
    ),
    "04-distance": Claim(
        "From the k-means start, a stiffer spring holds latents nearer to their codes, and codes nearer to each other.",
        (Ordered(BETA, "distance", STIFF_TO_WEAK), Ordered(BETA, "gap", STIFF_TO_WEAK)),
    ),
    "04-kmeans-best": Claim(
        "From the k-means start the error falls until β = 4, is the same at 16, and larger again at 64.",
        (
            Ordered(BETA, "error", STIFF_TO_WEAK[2:]),
            Alike(BETA, "error", "k-means, β = 4", "k-means, β = 16", within=0.02),
            Less(BETA, "error", "k-means, β = 16", "k-means, β = 64"),
        ),
    ),
    "04-random-best": Claim(
        "From the random start β = 0.25 is better than 0.05 and cannot be told from 1; at β = 4 the error is more than "
        "three times as large, with at most three codes in use.",
        (
            Less(BETA, "error", "random, β = 0.25", "random, β = 0.05"),
            Undecided(BETA, "error", "random, β = 0.25", "random, β = 1"),
            Less(BETA, "error", "random, β = 0.25", "random, β = 4", times=3),
            Every(BETA, "codes_used", "random, β = 4", most=3),
        ),
    ),
    "04-speed": Claim(
        "An EMA codebook has at β = 0.25 a much smaller error than a gradient codebook, about that of the latter at "
        "β = 4.",
        (
            Less(BETA, "error", "EMA, β = 0.25", "k-means, β = 0.25", by=0.05),
            Alike(BETA, "error", "EMA, β = 0.25", "k-means, β = 4", within=0.02),
        ),
    ),
}
