"""Colours with a meaning: the same on every page, readable on a white ground and on a dark one."""

BLUE, VERMILION, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"  # of Okabe and Ito: safe for all eyes
# Their orange and sky blue are too pale for a white page.
BROWN, GREY = "#8C6D31", "#6F6F6F"
RED, PALE = "#C0392B", "#949494"
COLOURS = (BLUE, VERMILION, GREEN, PINK, BROWN, GREY)

# The diagrams have the same: tools/diagrams/grammar.py. Things that share a figure stand in one group; within a group
# no two colours look alike to any eye.
GROUPS = {
    "codebooks": {"gradient codebook": VERMILION, "EMA codebook": BLUE},
    "gradients": {"straight-through": GREEN, "without straight-through": PINK},
    "pictures": {"real": GREY, "reconstruction": GREEN, "sample": PINK},
    "levels": {"first level": BROWN, "second level": BLUE, "third level": GREEN},
    "priors": {"counts": GREY, "masked PixelCNN": BROWN, "gated PixelCNN": BLUE, "PixelSNAIL": VERMILION},
    "sight": {"seen": BLUE, "blind": GREEN, "leak": RED, "future": PALE},
}
ROLES = {role: colour for group in GROUPS.values() for role, colour in group.items()}
