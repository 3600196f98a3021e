"""Diagram 8: a class becomes a top map, a bottom map, and a picture."""

from tools.diagrams.grammar import Drawing
from tools.diagrams.hierarchy import SIDES, TILE, some
from tools.diagrams.pictures import scene


def draw() -> Drawing:
    """Return the diagram."""
    d = Drawing(
        "Drawing from two priors",
        "A class goes into both priors. The prior of the top, with attention, draws a map of 8×8 indices. The prior of"
        " the bottom, with convolutions, is told the whole top map and draws a map of 16×16 indices. The decoder makes"
        " a picture of both maps. No encoder takes part.",
        318,
    )
    d.box(8, 62, 56, 36, "class")
    d.arrow([(64, 80), (88, 80)])
    d.box(90, 50, 122, 60, "prior of the top|attention", "prior")
    d.arrow([(212, 80), (240, 80)], "prior")
    d.tiles(244, 56, some(SIDES[0], "top"), TILE)
    d.text(268, 36, "1. draw the top", "top")
    d.arrow([(36, 98), (36, 226), (60, 226)])
    d.arrow([(268, 106), (268, 142), (116, 142), (116, 190)], "top", width=2.5, head=10)
    d.text(126, 160, "all of it", "top", "start")
    d.box(62, 192, 108, 68, "prior of the|bottom", "prior")
    d.text(116, 276, "convolutions", "quiet")
    d.arrow([(170, 226), (194, 226)], "prior")
    d.tiles(198, 178, some(SIDES[1], "bottom"), TILE)
    d.text(246, 292, "2. draw the bottom", "bottom")
    d.arrow([(294, 80), (353, 80), (353, 180)], "top", width=2.5, head=10)
    d.arrow([(296, 226), (316, 226)])
    d.box(318, 182, 70, 88, "decoder")
    d.arrow([(388, 226), (402, 226)], head=7)
    scene(d, 406, 202, 48, "picture")
    d.text(452, 292, "3. decode", "picture", "end")
    return d
