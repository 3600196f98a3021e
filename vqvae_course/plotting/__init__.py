"""Pictures: arrays in, a matplotlib ``Figure`` out.

- colours with a meaning: ``roles``; an empty figure: ``frame``
- seeds, curves, counts: ``runs``; images and index maps: ``images``; codes in the plane: ``plane``
- a picture that depends on one number: ``slider``
"""

from vqvae_course.plotting.frame import STYLE, panels
from vqvae_course.plotting.images import code_maps, image_rows, mosaic
from vqvae_course.plotting.plane import voronoi
from vqvae_course.plotting.roles import COLOURS, GROUPS, ROLES
from vqvae_course.plotting.runs import TrainingRecord, bands, curves, dots, lines, usage
from vqvae_course.plotting.slider import explore

__all__ = [
    "COLOURS",
    "GROUPS",
    "ROLES",
    "STYLE",
    "TrainingRecord",
    "bands",
    "code_maps",
    "curves",
    "dots",
    "explore",
    "image_rows",
    "lines",
    "mosaic",
    "panels",
    "usage",
    "voronoi",
]
