"""Which points may own a part of which simplex of the domain: a search in float64."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.spatial import KDTree

FEW = 24


def candidates(
    tree: KDTree, simplices: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Simplices that fill the same domain, and the points that may own a part of each.

    tree : scipy's k-d tree of the points (N, d). simplices : (S, n, d), n corners each.

    Returns (corners, origin, numbers, count): corners (S', n, d), where simplices with
    many points are halved at their longest edge; origin (S',), the simplex that each
    comes from; count (S',) of the points that may own a part of it, whose numbers are
    listed simplex by simplex, the nearest to the centroid first.

    Every point that is nearest to some place of the simplex is among them: it lies
    within d + 2 r of the centroid, where d is the distance from there to the nearest
    point and r to the farthest corner. Of these, points that one rival beats at every
    corner are left out.
    """
    origin, n_corners = np.arange(len(simplices)), simplices.shape[1]
    settled_ones = []
    while True:
        centroid = simplices.mean(axis=1)
        radius = np.linalg.norm(simplices - centroid[:, None], axis=-1).max(axis=1)
        nearest, _ = tree.query(centroid)
        reach = (nearest + 2 * radius) * (1 + 1e-9)
        near = tree.query_ball_point(centroid, reach, return_length=True)
        # Where many points are at the same distance, halving does not make them fewer.
        wide = radius > nearest / 4
        crowded = wide & (near > 4 * n_corners * FEW)
        rows = np.flatnonzero(~crowded)
        found = tree.query_ball_point(centroid[rows], reach[rows])
        rows = np.repeat(rows, near[rows])
        points = np.fromiter(chain.from_iterable(found), np.int64, len(rows))
        contends = _contends(tree, simplices, centroid, rows, points)
        rows, points = rows[contends], points[contends]
        distance = np.linalg.norm(tree.data[points] - centroid[rows], axis=1)
        order = np.lexsort((distance, rows))
        rows, points = rows[order], points[order]
        count = np.bincount(rows, minlength=len(simplices))
        settled = ~crowded & ~(wide & (count > FEW))
        settled_ones.append(
            (simplices[settled], origin[settled], points[settled[rows]], count[settled])
        )
        if settled.all():
            corners, origin, points, count = zip(*settled_ones, strict=True)
            return (
                np.concatenate(corners),
                np.concatenate(origin),
                np.concatenate(points),
                np.concatenate(count),
            )
        simplices, origin = _halved(simplices[~settled]), np.tile(origin[~settled], 2)


def _contends(
    tree: KDTree,
    simplices: np.ndarray,
    centroid: np.ndarray,
    rows: np.ndarray,
    points: np.ndarray,
) -> np.ndarray:
    """Whether point points[k] may be nearest to some place of simplex rows[k].

    It may not where a rival, the point nearest to a corner or to the centroid, is
    nearer to all corners.
    """
    places = np.concatenate([simplices, centroid[:, None]], axis=1)
    rivals = np.asarray(tree.query(places)[1])
    corners = simplices - centroid[:, None]
    rival = tree.data[rivals] - centroid[:, None]
    own = tree.data[points] - centroid[rows]
    # |x - y|² without the term |x|² that all share.
    best = (rival**2).sum(-1)[:, :, None] - 2 * rival @ corners.swapaxes(1, 2)
    mine = (own**2).sum(-1)[:, None] - 2 * np.einsum("pcd,pd->pc", corners[rows], own)
    mine -= 1e-9 * ((own**2).sum(-1) + (corners**2).sum((1, 2))[rows])[:, None]
    contends = np.ones(len(rows), dtype=bool)
    for column in range(rivals.shape[1]):
        contends &= (mine <= best[rows, column]).any(axis=1)
    return contends


def _halved(simplices: np.ndarray) -> np.ndarray:
    """Both halves of each simplex, cut through the middle of its longest edge."""
    n = simplices.shape[1]
    first, second = np.triu_indices(n, 1)
    length = np.linalg.norm(simplices[:, first] - simplices[:, second], axis=-1)
    longest = length.argmax(axis=1)
    rows = np.arange(len(simplices))
    a, b = first[longest], second[longest]
    middle = (simplices[rows, a] + simplices[rows, b]) / 2
    halves = np.stack([simplices, simplices])
    halves[0, rows, a] = middle
    halves[1, rows, b] = middle
    return halves.reshape(-1, *simplices.shape[1:])
