"""Diagram 10: stage 1 is frozen, and only integers enter stage 2."""

from tools.diagrams.grammar import Drawing
from tools.diagrams.pictures import digit, index_map


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "Two stages",
        "Stage 1, trained before and now frozen: images go through the encoder and the nearest code to maps of 7×7"
        " integers. Only these integers cross the line to stage 2, where a prior reads them and is trained on minus"
        " log p of each index. Its gradient ends at the line.",
        366,
    )
    d.text(10, 16, "Stage 1, frozen", anchor="start", bold=True)
    d.line([(98, 36), (320, 36), (320, 134), (98, 134), (98, 36)], "quiet", dashed=True)
    digit(d, 10, 52, 66)
    d.arrow([(80, 85), (106, 85)])
    d.box(108, 62, 84, 46, "encoder")
    d.arrow([(192, 85), (212, 85)])
    d.tray(216, 60, 94, 50)
    d.lines(263, 85, ["nearest", "code"])
    d.arrow([(320, 85), (344, 85)])
    index_map(d, 348, 36, 14)
    d.text(397, 150, "7×7 integers", "code")
    d.line([(10, 188), (450, 188)], "gradient", dashed=True)
    d.text(10, 176, "only integers pass", "quiet", "start")
    d.text(10, 204, "no gradient does", "gradient", "start")
    d.arrow([(397, 162), (397, 226)], "code", width=2.5, head=10)
    d.text(10, 240, "Stage 2, trained", anchor="start", bold=True)
    index_map(d, 348, 230, 14)
    d.arrow([(344, 279), (322, 279)])
    d.box(234, 254, 86, 50, "prior", "prior")
    d.arrow([(234, 279), (200, 279)])
    d.box(60, 258, 138, 42, "loss: −log *p*(*k*)")
    d.arrow([(129, 300), (129, 332), (277, 332), (277, 308)], "gradient", width=2.5, head=10)
    d.text(203, 348, "gradient", "gradient")
    return d
