"""Diagram 12: the clinic's map of the body: a symptom, the test that tells its causes apart, the organ."""

from tools.diagrams.grammar import WIDTH, Drawing

# symptom, test, organ; lines are separated by |
ROWS = (
    ("loss does not|start at log *K*", "loss before|training", "prior,|its loss"),
    ("one batch is not|learnt by heart", "lowest loss it|allows", "loss,|masks"),
    ("samples worse|than the loss", "gradient:|who sees whom", "masks of|the prior"),
    ("β has an odd|effect", "pull on latents,|pull on codes", "losses of the|quantizer"),
    ("few codes, or|codes too long", "a step goes to|its cell's mean", "codebook"),
    ("eval is not|what train was", "run twice,|compare buffers", "running|means"),
    ("only square|maps work", "a map of|4×7", "shifts,|reshapes"),
    ("a part seems to|do nothing", "count weights;|set them to 0", "residual|stack"),
    ("two versions|disagree", "hand over the|weights", "any layer"),
)
COLUMNS = (("symptom", 8, 140, "gradient"), ("test", 164, 140, "code"), ("organ", 320, 132, "picture"))
STEP = 54


def draw() -> Drawing:
    """Return the diagram."""
    said = "; ".join(" → ".join(cell.replace("|", " ").replace("*", "") for cell in row) for row in ROWS)
    d = Drawing("The body map", f"From the symptom to the test to the organ: {said}.", 34 + STEP * len(ROWS), WIDTH)
    for name, x, w, _ in COLUMNS:
        d.text(x + w / 2, 14, name, bold=True)
    for place, row in enumerate(ROWS):
        y = 34 + place * STEP
        for cell, (_, x, w, role) in zip(row, COLUMNS, strict=True):
            d.box(x, y, w, 46, cell, role)
        d.arrow([(148, y + 23), (162, y + 23)], head=7)
        d.arrow([(304, y + 23), (318, y + 23)], head=7)
    return d
