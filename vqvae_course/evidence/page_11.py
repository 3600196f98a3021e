"""What page 11 claims of the parts of the gated PixelCNN."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Less, Undecided

PARTS, NATS = "gated_pixelcnn_parts", "nats_per_code"
CLAIMS: dict[str, Claim] = {
    "11-stacks": Claim(
        "With as many weights and after 500 updates, two stacks need fewer nats than one, with ReLU and with gates.",
        (
            Less(PARTS, NATS, "two stacks, ReLU", "one stack, ReLU"),
            Less(PARTS, NATS, "two stacks, gates", "one stack, gates"),
        ),
    ),
    "11-gates": Claim(
        "With as many weights and after 500 updates, ReLU needs fewer nats than gates, with two stacks and with one.",
        (
            Less(PARTS, NATS, "two stacks, ReLU", "two stacks, gates"),
            Less(PARTS, NATS, "one stack, ReLU", "one stack, gates"),
        ),
    ),
    "11-link": Claim(
        "A link that is added after a gate of its own needs slightly fewer nats than one before the gate.",
        (Less(PARTS, NATS, "link after the gate", "two stacks, gates"),),
    ),
    "11-class": Claim(
        "After 500 updates these runs cannot tell whether the class helps, nor whether it belongs inside the gate.",
        (
            Undecided(PARTS, NATS, "class inside the gate", "two stacks, gates"),
            Undecided(PARTS, NATS, "class inside the gate", "class after the gate"),
        ),
    ),
}
