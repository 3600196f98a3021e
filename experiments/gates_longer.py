"""Do gates catch up with ReLU when a prior is trained longer?

The two-stack priors of ``gated_pixelcnn_parts`` with gates and with ReLU, as many weights, more updates (page 11).
"""

from dataclasses import replace

from experiments import gated_pixelcnn_parts as parts
from experiments.gated_pixelcnn_parts import Setting

SETTINGS = {
    "gates, 1200 updates": replace(parts.SETTINGS["two stacks, gates"], updates=1200),
    "ReLU, 1200 updates": replace(parts.SETTINGS["two stacks, ReLU"], updates=1200),
}
SEEDS = parts.SEEDS
SMOKE = parts.SMOKE


def run(seed: int, setting: Setting) -> dict[str, float]:
    """Train one prior; see ``gated_pixelcnn_parts``."""
    return parts.run(seed, setting)
