"""Functions on triangles and tetrahedra: solving for them, and values anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree

from isofield import Mesh
from isofield.voronoi.angles import corner_numbers
from isofield.voronoi.domain import alpha_simplices
from tests.benchmarks.learning.functions import Function
from tests.benchmarks.learning.meshers import oriented

EDGES = {
    2: [(0, 1), (1, 2), (0, 2)],
    3: [(0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3)],
}  # dimension -> the edges of a simplex, in the order of scikit-fem
ROUNDING = 1e-6  # of places on the boundary, in cells
NEAR = 12  # cells whose centres are nearest to a point, tried first


class Interpolation:
    """Values of a piecewise polynomial at any points, by the shape functions.

    points : (N, d). cells : (T, d + 1) simplices. dofs : (T, k) the numbers of the
    values that belong to a cell: those of its corners (the default), and for quadratic
    functions those of its edges after them, in the order of scikit-fem.
    """

    def __init__(
        self, points: np.ndarray, cells: np.ndarray, dofs: np.ndarray | None = None
    ) -> None:
        self.corners = points[cells]
        self.dofs = cells if dofs is None else dofs
        self.size = int(self.dofs.max()) + 1
        self.centres = KDTree(self.corners.mean(1))

    @classmethod
    def of(cls, basis: Any) -> Interpolation:
        """That of a scalar basis of scikit-fem."""
        mesh = basis.mesh
        return cls(mesh.p.T, mesh.t.T, basis.element_dofs.T)

    def __call__(self, points: np.ndarray, outside: float = 1e-9) -> csr_matrix:
        """(M, N) the matrix from values at the nodes to values at points (M, d).

        outside : the least barycentric coordinate may be this much below 0 where a
        curved boundary bulges over its chords: the nearest cell's function goes on.

        Raises `ValueError` for points further outside.
        """
        share, cell = self.located(points, outside)
        if self.dofs.shape[1] > share.shape[1]:
            share = _quadratic(share)
        rows = np.repeat(np.arange(len(points)), self.dofs.shape[1])
        places = (rows, self.dofs[cell].ravel())
        return csr_matrix((share.ravel(), places), (len(points), self.size))

    def located(self, points: np.ndarray, outside: float = 1e-9) -> tuple:
        """Barycentric coordinates (M, d + 1) of points in their cells (M,)."""
        share, cell = self._located(points, NEAR)
        lost = np.flatnonzero(share.min(1) < 0)
        if len(lost):
            share[lost], cell[lost] = self._located(points[lost], 20 * NEAR)
        worst = -share.min()
        if worst > outside:
            raise ValueError(
                f"a point lies outside of all cells, by {worst:.2g} of the nearest one"
            )
        return share, cell

    def _located(self, points: np.ndarray, count: int) -> tuple:
        """Barycentric coordinates (M, d + 1) in the best of the nearest cells, (M,)."""
        count = min(count, len(self.corners))
        near = self.centres.query(points, count)[1].reshape(len(points), count)
        first = self.corners[near, 0]
        edges = self.corners[near, 1:] - first[:, :, None]
        away = (points[:, None] - first)[..., None]
        share = np.linalg.solve(np.swapaxes(edges, -1, -2), away)[..., 0]
        share = np.concatenate([1 - share.sum(-1, keepdims=True), share], -1)
        best = share.min(-1).argmax(1)
        rows = np.arange(len(points))
        return share[rows, best], near[rows, best]


def with_cells(mesh: Mesh) -> Mesh:
    """The mesh; a cloud with the simplices of its alpha shape (`from_points`).

    Raises `ValueError` where a point of a cloud belongs to none.
    """
    if mesh.cells:
        return mesh
    kind = {2: "triangle", 3: "tetra"}[mesh.points.shape[1]]
    cells = corner_numbers(mesh.points, alpha_simplices(mesh.points))
    lost = len(mesh.points) - len(np.unique(cells))
    if lost:
        raise ValueError(f"{lost} of {len(mesh.points)} points belong to no simplex")
    return Mesh(mesh.points, {kind: oriented(mesh.points, cells)}, mesh.point_data)


def as_held(mesh: Mesh, name: str) -> Function:
    """A field of a simplex mesh, linear in each cell: what is known of it to whoever is
    given that mesh, a network as well."""
    (cells,) = mesh.cells.values()
    interpolation, values = Interpolation(mesh.points, cells), mesh.point_data[name]
    return lambda points: interpolation(points, ROUNDING) @ values


def _quadratic(share: np.ndarray) -> np.ndarray:
    """(M, k) the quadratic shape functions at barycentric coordinates (M, d + 1)."""
    first, second = np.array(EDGES[share.shape[1] - 1]).T
    edges = 4 * share[:, first] * share[:, second]
    return np.concatenate([share * (2 * share - 1), edges], 1)


def factorized(matrix: Any) -> Any:
    """The solve of a symmetric positive definite sparse matrix."""
    factors = splu(
        matrix.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,  # positive definite: no pivots needed
        options={"SymmetricMode": True},
    )
    return factors.solve


def basis_of(mesh: Mesh, degree: int) -> Any:
    """Polynomials of degree 1 or 2 on the triangles or tetrahedra of a mesh."""
    import skfem

    (kind, cells), *_ = mesh.cells.items()
    known = {"triangle": (skfem.MeshTri, "Tri"), "tetra": (skfem.MeshTet, "Tet")}
    grid, name = known[kind]
    element = getattr(skfem, f"Element{name}P{degree}")()
    made = grid(mesh.points.T.copy(), cells.T.copy())
    return skfem.Basis(made, element, intorder=2 * degree)
