"""Meshes of wanted node counts and spacings: centroidal points and their triangles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial import Delaunay, KDTree

Spacing = Callable[[np.ndarray], np.ndarray]

CANDIDATES = 15  # places per point that stand for its Voronoi cell
PASSES = 15  # of Lloyd's iteration


def centroidal(
    places: np.ndarray, mass: np.ndarray, held: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """(N, d) points moved to the centroids of their Voronoi cells, again and again.

    Lloyd's iteration (1982, doi:10.1109/TIT.1982.1056489) on a sum: places (K, d) with
    a mass (K,) stand for the domain. held : (H, d) points that have cells, but stay.
    """
    points, fixed = points.copy(), len(held)
    for _ in range(PASSES):
        near = KDTree(np.concatenate([held, points])).query(places)[1]
        owner = np.asarray(near) - fixed
        mine = owner >= 0
        total = np.bincount(owner[mine], mass[mine], len(points))
        for axis, x in enumerate(places[mine].T):
            sums = np.bincount(owner[mine], mass[mine] * x, len(points))
            np.divide(sums, total, points[:, axis], where=total > 0)
    return points


def drawn(
    random: np.random.Generator,
    count: int,
    draw: Callable,
    spacing: Spacing,
    least: float = 0.2,
) -> np.ndarray:
    """(count, d) random places, as dense as points of this relative spacing.

    draw : random, count -> (K, d) places of even density in the domain. spacing : at
    least `least` everywhere, at most 1.
    """
    found: list[np.ndarray] = []
    while sum(map(len, found)) < count:
        places = draw(random, 4 * count)
        density = (least / spacing(places)) ** places.shape[1]
        found.append(places[random.random(len(places)) < density])
    return np.concatenate(found)[:count]


def filled(
    random: np.random.Generator,
    held: np.ndarray,
    count: int,
    draw: Callable,
    spacing: Spacing,
    least: float = 0.2,
) -> np.ndarray:
    """(H + count, d): the points held and `count` more of the relative spacing.

    Cells of equal cost have a mass per volume of `spacing^-(d + 2)` (Gersho, 1979,
    doi:10.1109/TIT.1979.1056067); the density of the places is the part `spacing^-d`.
    """
    if count < 1:
        raise ValueError(f"no points are left for the inside: {len(held)} are held")
    places = drawn(random, CANDIDATES * (count + len(held)), draw, spacing, least)
    start = drawn(random, count, draw, spacing, least)
    mass = spacing(places) ** -2.0
    return np.concatenate([held, centroidal(places, mass, held, start)])


def triangulated(points: np.ndarray) -> np.ndarray:
    """(T, d + 1) the Delaunay simplices, positively oriented."""
    return oriented(points, Delaunay(points).simplices.astype(np.int64))


def oriented(points: np.ndarray, simplices: np.ndarray) -> np.ndarray:
    """The simplices (T, d + 1), two corners changed where the volume is negative."""
    edges = points[simplices[:, 1:]] - points[simplices[:, :1]]
    inverted = np.linalg.det(edges) < 0
    simplices[inverted, :2] = simplices[inverted, 1::-1]
    return simplices
