"""What page 8 claims of grids and codes at equal bits, and of images, updates and epochs."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Less

GRID, IMAGES = "grid_or_codes", "images_or_epochs"

CLAIMS: dict[str, Claim] = {
    "08-grid-or-codes": Claim(
        "At 512 bits 8×8 indices of 256 codes have less error than 16×16 of 4 after 200 updates and after 600, and "
        "the fine grid gains from longer training.",
        (
            Less(GRID, "normalized_mse", "8×8 of 256, 200 updates", "16×16 of 4, 200 updates"),
            Less(GRID, "normalized_mse", "8×8 of 256, 600 updates", "16×16 of 4, 600 updates"),
            Less(GRID, "normalized_mse", "16×16 of 4, 600 updates", "16×16 of 4, 200 updates"),
        ),
    ),
    "08-images-or-epochs": Claim(
        "The gap grows with the updates on the same 64 images, shrinks with the images at equal updates, and shrinks "
        "with the images at equal epochs too.",
        (
            Less(IMAGES, "gap", "64 images, 100 updates", "64 images, 400 updates"),
            Less(IMAGES, "gap", "256 images, 400 updates", "64 images, 400 updates"),
            Less(IMAGES, "gap", "256 images, 400 updates", "64 images, 100 updates"),
        ),
    ),
}
