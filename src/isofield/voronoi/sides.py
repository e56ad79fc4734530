"""The normals of a cloud on a surface in space, all on one side of it."""

from __future__ import annotations

import numpy as np

from isofield.voronoi.surface import ROWS_AT_ONCE, tangent_axes

# nearest points through which the sides are carried, and what a link costs in the tree
# besides its turn: a sparse matrix holds no edge of weight 0
_LINKED = 8
_LINK = 1e-6


def tangent_normals(points: np.ndarray, neighbours: int = 30) -> np.ndarray | None:
    """(N, 3) the directions in which points and their nearest neighbours spread least.

    Their signs are carried from point to point along the spanning tree that turns
    least, `sum (1 - |n_i . n_j|)` smallest among the nearest points. Of every connected
    part the sum of `n_i . (x_i - mean)` is positive: outward where it is closed. The
    error is O(h), h the spacing.

    None where this tells no two sides apart: where two near points keep normals more
    than 120° apart (one-sided surfaces, sheets closer to each other than the points).

    points : (N, 3), length, no two at the same place, more than `neighbours`.

    Source: Hoppe et al., SIGGRAPH 1992, doi:10.1145/133994.134011.
    """
    from scipy.spatial import KDTree

    near = np.asarray(KDTree(points).query(points, neighbours + 1)[1])
    blocks = np.split(near, range(ROWS_AT_ONCE, len(near), ROWS_AT_ONCE))
    normals = np.concatenate([tangent_axes(points, block)[:, :, 0] for block in blocks])
    a, b = np.repeat(np.arange(len(near)), _LINKED), near[:, 1 : _LINKED + 1].ravel()
    turns = (normals[a] * normals[b]).sum(axis=1)
    part, before = _tree(len(points), a, b, 1 - np.abs(turns))
    normals *= _carried(normals, before)[:, None]
    if ((normals[a] * normals[b]).sum(axis=1) < -0.5).any():
        return None
    members = np.bincount(part)[:, None]
    centre = np.stack([np.bincount(part, x) for x in points.T], axis=1) / members
    outward = np.bincount(part, (normals * (points - centre[part])).sum(axis=1))
    return normals * np.where(outward < 0, -1.0, 1.0)[part, None]


def _tree(
    n: int, a: np.ndarray, b: np.ndarray, turn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The connected part of each point, and the point before it in the lightest tree.

    The first point of a part comes before itself.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import (
        breadth_first_order,
        connected_components,
        minimum_spanning_tree,
    )

    links = coo_array((turn + _LINK, (a, b)), shape=(n + 1, n + 1)).tocsr()
    links = links.maximum(links.T)
    part = connected_components(links, directed=False)[1][:n]
    first = np.unique(part, return_index=True)[1]
    # one more point, joined to each part, so that one walk reaches all
    root = coo_array(
        (np.ones(len(first)), (np.full_like(first, n), first)), (n + 1,) * 2
    )
    tree = minimum_spanning_tree(links + root.tocsr())
    before = breadth_first_order(tree, n, directed=False)[1][:n]
    before[first] = first
    return part, before


def _carried(normals: np.ndarray, before: np.ndarray) -> np.ndarray:
    """(N,) the sign of each normal that agrees with its chain of points before it."""
    sign = np.where((normals * normals[before]).sum(axis=1) < 0, -1.0, 1.0)
    while (before != before[before]).any():
        sign *= sign[before]
        before = before[before]
    return sign * sign[before]
