"""A numbering of points and cells that has no direction."""

from __future__ import annotations

import numpy as np

from isofield.remeshing.mmg import Labelled


def mixed(mesh: Labelled) -> tuple[Labelled, np.ndarray]:
    """The same mesh in a random order, and the new number (N,) of each point.

    MMG visits points and cells one after the other and compares with what the last
    step left. In the order of a grid one point is pushed on by the next, and cells
    become flat that do not in a random order.

    Points are drawn after they were sorted by their coordinates, cells are sorted by
    the numbers of their points, so that the order, and what MMG makes, does not depend
    on the numbering of `mesh` (that of points at one and the same place apart).
    """
    drawn = np.random.default_rng(0).permutation(len(mesh.points))
    number = np.empty_like(drawn)
    number[np.lexsort(mesh.points.T)] = drawn
    cells, facets = _oriented(number[mesh.cells]), np.sort(number[mesh.facets], axis=1)
    cell_order, facet_order = np.lexsort(cells.T[::-1]), np.lexsort(facets.T[::-1])
    points = np.empty_like(mesh.points)
    points[number] = mesh.points
    new = mesh._replace(
        points=points,
        cells=cells[cell_order],
        cell_labels=mesh.cell_labels[cell_order],
        facets=facets[facet_order],
        facet_labels=mesh.facet_labels[facet_order],
    )
    return new, number


def _oriented(cells: np.ndarray) -> np.ndarray:
    """Rows in rising order, up to their last two: the orientation of each stays."""
    ordered, odd = np.sort(cells, axis=1), np.zeros(len(cells), dtype=bool)
    for i in range(cells.shape[1]):
        for j in range(i):
            odd ^= cells[:, j] > cells[:, i]
    swapped = ordered.copy()
    swapped[:, [-2, -1]] = ordered[:, [-1, -2]]
    return np.where(odd[:, None], swapped, ordered)
