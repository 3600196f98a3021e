"""What page 11 claims of the parts of the gated PixelCNN."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Less, Undecided

PARTS, NATS = "gated_pixelcnn_parts", "nats_per_code"
CLAIMS: dict[str, Claim] = {
    "11-class": Claim(
        "Told the class, the prior needs fewer nats.",
        (Less(PARTS, NATS, "class inside the gate", "two stacks, gates"),),
    ),
    "11-class-place": Claim(
        "Whether the class enters inside the gate or after it makes no difference that these runs can see.",
        (Undecided(PARTS, NATS, "class inside the gate", "class after the gate"),),
    ),
    "11-stacks": Claim(
        "With ReLU and as many weights, two stacks need fewer nats than one.",
        (Less(PARTS, NATS, "two stacks, ReLU", "one stack, ReLU"),),
    ),
    "11-gates": Claim(
        "With as many weights and after 500 updates, ReLU needs fewer nats than gates, with two stacks and with one.",
        (
            Less(PARTS, NATS, "two stacks, ReLU", "two stacks, gates"),
            Less(PARTS, NATS, "one stack, ReLU", "one stack, gates"),
        ),
    ),
    "11-link": Claim(
        "Whether the link comes before the gate or after it makes no difference that these runs can see.",
        (Undecided(PARTS, NATS, "two stacks, gates", "link after the gate"),),
    ),
}
