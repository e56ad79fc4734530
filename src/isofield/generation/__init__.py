"""Meshes of known shapes, uniform and graded: where tests and examples start.

`n` is a number of spacings, so the spacing is h = O(1 / n). `grading` is the ratio of
the largest to the smallest spacing in one direction, up to O(h); 1 is uniform. It does
not depend on n, hence a graded family is refined together with the uniform one of the
same shape. `jitter` moves every interior point by at most that fraction of the shortest
edge at the point, drawn from `seed`; points of a boundary stay where they are.

Every point that should lie on the boundary (or surface) of a shape does so to rounding.
All cells are oriented positively, surfaces outward.
"""

from isofield.generation.grids import box, l_shape, square, torus
from isofield.generation.plate import plate_with_holes
from isofield.generation.round import (
    ball,
    disk,
    icosphere,
    random_blob,
    random_surface,
)

__all__ = [
    "square",
    "l_shape",
    "plate_with_holes",
    "disk",
    "random_blob",
    "box",
    "ball",
    "icosphere",
    "random_surface",
    "torus",
]
