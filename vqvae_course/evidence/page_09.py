"""What page 9 claims of the encoder's view and of the price of its indices."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Less, Undecided

VIEW = "wide_or_narrow_view"
CLAIMS: dict[str, Claim] = {
    "09-view-counts": Claim(
        "Under both priors that count, an index of the narrow view costs at least half a nat less.",
        (
            Less(VIEW, "unigram", "narrow view", "wide view", by=0.5),
            Less(VIEW, "per_position", "narrow view", "wide view", by=0.5),
        ),
    ),
    "09-view-network": Claim(
        "Looking back saves more on the indices of the wide view, and yet they cost more, after 400 updates "
        "of a small gated PixelCNN.",
        (
            Less(VIEW, "saved_by_looking_back", "narrow view", "wide view"),
            Less(VIEW, "pixelcnn", "narrow view", "wide view"),
        ),
    ),
    "09-view-error": Claim(
        "After 600 updates of stage 1 the errors of the two views cannot be told apart.",
        (Undecided(VIEW, "normalized_mse", "narrow view", "wide view"),),
    ),
}
