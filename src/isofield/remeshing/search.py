"""The size of edges that gives a wanted number of points."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from isofield.mesh import Mesh

# Passes of the search, and the share of the number that is near enough.
_PASSES, _NEAR = 8, 0.03

_WARNING = (
    "{} points were not reached: the nearest of {} tries has {}. Sharp points, "
    "boundaries and `deviation` may ask for more; where all edges of a mesh are equal, "
    "the number jumps with their size"
)


def with_count(
    made: Callable[[float], Mesh], start: float, wanted: int, dimension: int
) -> Mesh:
    """`made(log h)` for the h that gives the wanted number of points.

    Steps of the secant method; where one leaves the interval in which the number is
    passed, the interval is halved. Warns where no pass comes within 3 %.
    """
    nearest = made(start)
    tried = [(start, _miss(nearest, wanted))]
    while abs(len(nearest.points) - wanted) > _NEAR * wanted:
        if len(tried) == _PASSES:
            warnings.warn(
                _WARNING.format(wanted, _PASSES, len(nearest.points)), stacklevel=3
            )
            break
        at = _next(tried, dimension)
        mesh = made(at)
        tried.append((at, _miss(mesh, wanted)))
        if abs(tried[-1][1]) < abs(_miss(nearest, wanted)):
            nearest = mesh
    return nearest


def _miss(mesh: Mesh, wanted: int) -> float:
    return float(np.log(len(mesh.points) / wanted))


def _next(tried: list[tuple[float, float]], dimension: int) -> float:
    """The next log h to try, from all (log h, log n / wanted) so far."""
    at, miss = tried[-1]
    slope = -float(dimension)
    if len(tried) > 1 and at != tried[-2][0]:
        secant = (miss - tried[-2][1]) / (at - tried[-2][0])
        # n never falls slower than a line's points, or faster than twice a body's
        slope = min(max(secant, -2.0 * dimension), -0.5)
    step = at - miss / slope
    finer = max((h for h, m in tried if m > 0), default=-np.inf)
    coarser = min((h for h, m in tried if m < 0), default=np.inf)
    if np.isfinite(coarser - finer) and finer < coarser and not finer < step < coarser:
        return (finer + coarser) / 2
    return step
