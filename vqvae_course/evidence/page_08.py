"""What page 8 claims of grids and codes at equal bits, and of images, updates and epochs."""

from vqvae_course.evidence.claims import Claim
from vqvae_course.evidence.rules import Less, Undecided

GRID, IMAGES = "grid_or_codes", "images_or_epochs"

CLAIMS: dict[str, Claim] = {
    "08-grid-or-codes": Claim(
        "At 512 bits 8×8 indices of 256 codes have less error than 16×16 of 4 after 200 updates and after 600. Longer "
        "training helps the coarse grid; whether it helps the fine one these runs do not decide.",
        (
            Less(GRID, "normalized_mse", "8×8 of 256, 200 updates", "16×16 of 4, 200 updates"),
            Less(GRID, "normalized_mse", "8×8 of 256, 600 updates", "16×16 of 4, 600 updates"),
            Less(GRID, "normalized_mse", "8×8 of 256, 600 updates", "8×8 of 256, 200 updates", times=1),
            Undecided(GRID, "normalized_mse", "16×16 of 4, 600 updates", "16×16 of 4, 200 updates"),
        ),
    ),
    "08-images-or-epochs": Claim(
        "On the same 64 images the gap grows with the updates. At the same 50 epochs, 256 images and so four times the "
        "updates leave less error on fresh images; at the same 400 updates these runs cannot tell 64 images from 256.",
        (
            Less(IMAGES, "gap", "64 images, 100 updates", "64 images, 400 updates"),
            Less(IMAGES, "fresh_mse", "256 images, 400 updates", "64 images, 100 updates"),
            Undecided(IMAGES, "fresh_mse", "256 images, 400 updates", "64 images, 400 updates"),
        ),
    ),
}
