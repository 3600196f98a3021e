"""What appendix A2 claims of three ways to choose first codes."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Less, Undecided

CLAIMS = {
    "A2-seeding": Claim(
        "The seeds of k-means++ have less error than random ones and than the furthest ones; after ten steps "
        "of k-means random ones are still behind, and the furthest ones cannot be told from k-means++.",
        (
            Less("seeding", "seeds", "k-means++", "always the furthest"),
            Less("seeding", "seeds", "k-means++", "at random"),
            Less("seeding", "after_ten_steps", "k-means++", "at random"),
            Undecided("seeding", "after_ten_steps", "k-means++", "always the furthest"),
        ),
    ),
}
