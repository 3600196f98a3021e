"""What page 13 claims of attention in a prior."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Less, Undecided

RUNS = "attention_and_place"
PLAIN, TOLD, ATTENTION = "convolutions", "convolutions, told the place", "attention, told the place"

CLAIMS = {
    "13-attention": Claim(
        "With the same time for training, attention pays fewer nats per index than convolutions that are told the "
        "place as well; whether telling the place helps convolutions, and whether any of them counts better, these "
        "runs do not decide.",
        (
            Less(RUNS, "nats", ATTENTION, TOLD),
            Less(RUNS, "nats", ATTENTION, PLAIN),
            Undecided(RUNS, "nats", TOLD, PLAIN),
            Undecided(RUNS, "count_right", ATTENTION, TOLD),
        ),
    ),
}
