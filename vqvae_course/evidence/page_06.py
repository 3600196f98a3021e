"""What page 6 claims of EMA codebooks, their first counts, their noise and their lead over gradient codebooks."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Every, Less, Undecided

TUNING = "ema_or_gradient"
EMA, GRADIENT = "EMA, decay 0.99", "gradient, codes × 1"

CLAIMS: dict[str, Claim] = {
    "06-zero-start-jump": Claim(
        "A count of 0 beside a sum that is the code makes the longest code of a real model some 99,000 times as long "
        "at the first update, and one code is left; with a count of 1 nothing jumps.",
        (
            Every("zero_start", "length_0", "N = 0, decay 0.99", most=9),
            Every("zero_start", "length_1", "N = 0, decay 0.99", least=5e5),
            Every("zero_start", "codes_used", "N = 0, decay 0.99", most=1),
            Every("zero_start", "length_1", "N = 1, decay 0.99", most=9),
        ),
    ),
    "06-zero-start-home": Claim(
        "Home is where the longest code is at most twice as long as at first. No codebook is home before ln 2ε / ln γ "
        "updates, 355 for a decay of 0.97 and 103 for 0.9; a code that a batch chose just once can be later.",
        (
            Every("zero_start", "home", "N = 0, decay 0.97", least=355, most=600),
            Every("zero_start", "home", "N = 0, decay 0.9", least=102, most=200),
        ),
    ),
    "06-noise-of-rare-codes": Claim(
        "Under EMA the place of a code with 1 % of the latents has at least fifty times the variance of one with 64 %; "
        "under SGD it has no more.",
        (
            Less("code_noise", "scatter", "EMA, 64%", "EMA, 1%", times=50),
            Less("code_noise", "scatter", "SGD, 1%", "SGD, 64%"),
        ),
    ),
    "06-step-of-rare-codes": Claim(
        "After a jump of its cloud, an EMA code has gone half of the way in 70 batches whatever its share; an SGD code "
        "with 1 % of the latents has hardly set out.",
        (
            Every("code_noise", "gone", "EMA, 64%", least=0.45, most=0.56),
            Every("code_noise", "gone", "EMA, 1%", least=0.45, most=0.56),
            Every("code_noise", "gone", "SGD, 1%", most=0.02),
        ),
    ),
    "06-usual-steps": Claim(
        "With a decay of 0.99 against the network's learning rate for the codes, the EMA codebook has the lower error "
        "and uses more codes after 250 updates.",
        (
            Less(TUNING, "normalized_mse", EMA, GRADIENT),
            Less(TUNING, "codes_used", GRADIENT, EMA),
        ),
    ),
    "06-speed-limit": Claim(
        "No number of the gradient codebook went further than about learning rate times updates, 0.5; those of the "
        "EMA codebook went several times as far.",
        (
            Every(TUNING, "travelled", GRADIENT, most=0.75),
            Less(TUNING, "travelled", GRADIENT, EMA, times=2),
        ),
    ),
    "06-both-tuned": Claim(
        "With each step chosen on other images, a decay of 0.3 and a learning rate of the codes thirty times the "
        "network's, these runs cannot tell the two rules apart after 250 updates.",
        (Undecided(TUNING, "normalized_mse", "EMA, decay 0.3", "gradient, codes × 30"),),
    ),
}
