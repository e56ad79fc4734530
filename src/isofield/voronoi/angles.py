"""How much of the full angle around a point the simplices of a domain span."""

from __future__ import annotations

import math

import numpy as np


def angle_share(points: np.ndarray, simplices: np.ndarray) -> np.ndarray:
    """(N,) the sum of the simplices' angles at each point over the full angle.

    1 inside of the domain, 1/2 on a straight piece of its boundary, 1/4 in a right
    corner in the plane, 1/8 in one in space; 0 for a point of no simplex. Solid angles
    in space: A. Van Oosterom and J. Strackee 1983, doi:10.1109/TBME.1983.325207.

    points : (N, d), d = 1, 2 or 3, no two at the same place. simplices : (S, d + 1, d)
        whose corners are points and whose volumes do not vanish.
    """
    d = points.shape[1]
    nodes = corner_numbers(points, simplices)
    share = np.zeros(len(points))
    for corner in range(d + 1):
        edges = np.delete(simplices, corner, axis=1) - simplices[:, [corner]]
        np.add.at(share, nodes[:, corner], _share_of_corner(edges))
    return share


def corner_numbers(points: np.ndarray, simplices: np.ndarray) -> np.ndarray:
    """(S, d + 1) the numbers of the points that are the corners of the simplices."""
    from scipy.spatial import KDTree

    return np.asarray(KDTree(points).query(simplices)[1])


def _share_of_corner(edges: np.ndarray) -> np.ndarray:
    """(S,) the angle between the edges (S, d, d) of a corner over the full angle."""
    d = edges.shape[1]
    if d == 1:
        return np.full(len(edges), 0.5)
    edges = edges / np.linalg.norm(edges, axis=2, keepdims=True)
    opening = np.abs(np.linalg.det(edges))
    cosines = edges @ edges.swapaxes(1, 2)
    closing = cosines[:, 0, 1]
    if d == 3:
        closing = 1 + closing + cosines[:, 0, 2] + cosines[:, 1, 2]
    return np.arctan2(opening, closing) / (2 * math.pi)
