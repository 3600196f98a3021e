"""What page 7 claims of codebooks that die and of the cures."""

from vqvae_course.evidence.claims import Claim

CLAIMS: dict[str, Claim] = {}
