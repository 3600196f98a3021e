"""The diagrams of the course, as SVG that a script writes: one grammar (``grammar``), one file per diagram.

``python -m tools.diagrams`` writes them all to ``book/_static/diagrams`` and their colours to
``book/_static/diagrams.css``. ``strip`` draws the small machine at the top of every page.
"""

from pathlib import Path

from tools.diagrams import (
    attention,
    blind_spot,
    body_map,
    death,
    gated_block,
    hierarchical_sampling,
    hierarchy,
    machine,
    masks,
    network,
    raster,
    rate,
    running_means,
    straight_through,
    strip,
    two_machines,
    two_stacks,
    two_stages,
)
from tools.diagrams.grammar import stylesheet

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
# Name of the file: the function that draws it.
DRAWN = {
    "01_machine": machine.draw,
    "02_two_machines": two_machines.draw,
    "03_straight_through": straight_through.draw,
    "04_running_means": running_means.draw,
    "05_death": death.draw,
    "06_masks": masks.draw,
    "06_blind_spot": blind_spot.draw,
    "06_two_stacks": two_stacks.draw,
    "06_gated_block": gated_block.draw,
    "07_hierarchy": hierarchy.draw,
    "08_hierarchical_sampling": hierarchical_sampling.draw,
    "09_attention": attention.draw,
    "10_two_stages": two_stages.draw,
    "11_rate": rate.draw,
    "12_body_map": body_map.draw,
    "13_raster": raster.draw,
    "14_network": network.draw,
}


def files() -> dict[str, str]:
    """Return what is stored: path below ``book/_static`` and text."""
    drawings = {name: draw() for name, draw in DRAWN.items()}
    drawings |= {f"strip_{page}": strip.drawing(lit) for page, lit in strip.LIT.items()}
    return {"diagrams.css": stylesheet()} | {f"diagrams/{name}.svg": str(each) for name, each in drawings.items()}
