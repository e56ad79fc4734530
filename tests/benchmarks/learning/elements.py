"""Linear elements on triangles and tetrahedra: solving, and values anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree

NEAR = 12  # cells whose centres are nearest to a point, tried first


class Interpolation:
    """Values of a piecewise linear function at any points, by the shape functions.

    points : (N, d). cells : (T, d + 1) simplices.
    """

    def __init__(self, points: np.ndarray, cells: np.ndarray) -> None:
        self.corners, self.cells, self.size = points[cells], cells, len(points)
        self.centres = KDTree(self.corners.mean(1))

    def __call__(self, points: np.ndarray, outside: float = 1e-9) -> csr_matrix:
        """(M, N) the matrix from values at the nodes to values at points (M, d).

        outside : the least barycentric coordinate may be this much below 0 where a
        curved boundary bulges over its chords: the nearest cell's function goes on.

        Raises `ValueError` for points further outside.
        """
        share, cell = self._located(points, NEAR)
        lost = np.flatnonzero(share.min(1) < 0)
        if len(lost):
            share[lost], cell[lost] = self._located(points[lost], 20 * NEAR)
        worst = -share.min()
        if worst > outside:
            raise ValueError(
                f"a point lies outside of all cells, by {worst:.2g} of the nearest one"
            )
        rows = np.repeat(np.arange(len(points)), self.cells.shape[1])
        places = (rows, self.cells[cell].ravel())
        return csr_matrix((share.ravel(), places), (len(points), self.size))

    def _located(self, points: np.ndarray, count: int) -> tuple:
        """Barycentric coordinates (M, d + 1) in the best of the nearest cells, (M,)."""
        count = min(count, len(self.cells))
        near = self.centres.query(points, count)[1].reshape(len(points), count)
        first = self.corners[near, 0]
        edges = self.corners[near, 1:] - first[:, :, None]
        away = (points[:, None] - first)[..., None]
        share = np.linalg.solve(np.swapaxes(edges, -1, -2), away)[..., 0]
        share = np.concatenate([1 - share.sum(-1, keepdims=True), share], -1)
        best = share.min(-1).argmax(1)
        rows = np.arange(len(points))
        return share[rows, best], near[rows, best]


def factorized(matrix: Any) -> Any:
    """The solve of a symmetric positive definite sparse matrix."""
    factors = splu(
        matrix.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,  # positive definite: no pivots needed
        options={"SymmetricMode": True},
    )
    return factors.solve
