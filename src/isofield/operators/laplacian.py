"""The Laplace-Beltrami operator of meshes and of clouds, and its eigenfunctions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.discretization import Discretization, from_mesh
from isofield.graph import Graph
from isofield.mesh import Mesh
from isofield.operators.cloud_cells import CloudCells, cloud_cells
from isofield.operators.sparse import SparseOperator
from isofield.quadrature import child_nodes, quadrature

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# how far below 0 the spectrum is shifted, in 1 / extent^2: the matrix is definite then
SHIFT = 0.01


class Eigenpairs(NamedTuple):
    """values : (K,) rising from 0, length^-2. functions : (N, K) at the points, with
    `sum_i w_i f_k(x_i) f_l(x_i) = 1` for k = l, else 0. Both float64."""

    values: Tensor
    functions: Tensor


def stiffness(domain: Mesh | Discretization) -> SparseOperator:
    """The stiffness matrix: u (N, ...) -> (N, ...) `sum_j K_ij u_j`.

        K_ij = ∫ ∇f_i . ∇f_j

    Of a mesh f_i are the shape functions of linear cells of any type, on quadratic
    cells those of their linear children, as for the weights of `from_mesh`: cotangents
    on triangles; on surfaces the tangential gradients. The quadrature is exact for
    simplices and for parallelograms and parallelepipeds.

    Of a cloud they are those of its Delaunay simplices (`CloudCells`): for one sample,
    points at one place share what belongs to it.

    Symmetric, and u . K u >= 0, which is 0 for constants; within straight cells linear
    functions give 0. Source and target are the points with their weights. Raises
    `MeshError` where a mesh has no measure, `ValueError` where a cloud has none.
    """
    if isinstance(domain, Discretization):
        cells = cloud_cells(domain)
        matrix = cells.means.T @ _of_cloud(cells) @ cells.means
        return _operator(matrix.tocsr(), domain, "stiffness")
    return _operator(_of_mesh(domain), from_mesh(domain), "stiffness")


def laplacian(domain: Mesh | Discretization) -> SparseOperator:
    """The Laplacian without flux through the boundary: `-1/w_i sum_j K_ij u_j`.

    K : `stiffness`. w : the weights. Its own adjoint in their inner product, and zero
    for constants. Weakly of order 2: eigenvalues and integrals against smooth functions
    have the error O(h²); its values at the points of an irregular mesh need not
    converge, and at the boundary they hold the flux through it, divided by h.
    """
    found = stiffness(domain)
    measured = domain if isinstance(domain, Discretization) else from_mesh(domain)
    weights = measured.weights.double()
    values = -found.values / weights[found.graph.target]
    return replace(found, values=values, method="laplacian")


def laplacian_eigenpairs(domain: Mesh | Discretization, count: int) -> Eigenpairs:
    """The `count` smallest eigenvalues of minus the Laplacian, with eigenfunctions.

        K f_k = lambda_k W f_k,   0 = lambda_0 <= lambda_1 <= ...

    Errors O(h² lambda_k) relative to lambda_k, for a cloud as well where its simplices
    fill the domain. An eigenfunction is known up to its sign, those of a multiple
    eigenvalue up to a rotation among themselves: nothing that is made of them may
    depend on these. Points at one place have one value, as one point of their weights
    together. The same points give the same numbers.

    By Lanczos' method with shift and inversion (ARPACK), for the cost of one sparse
    factorization. Raises `ValueError` unless 0 < count < number of places.
    """
    if isinstance(domain, Discretization):
        cells = cloud_cells(domain)
        found = _eigenpairs(_of_cloud(cells), cells.merged, count)
        return Eigenpairs(found.values, found.functions[cells.place])
    return _eigenpairs(_of_mesh(domain), from_mesh(domain), count)


def eigenpairs_below(cells: CloudCells, limit: float) -> Eigenpairs:
    """All eigenpairs with an eigenvalue below a limit, length^-2, at the places.

    As many are asked for as Weyl's law lets expect in the interior and along the
    boundary of a round domain, and twice as many until one lies above. Raises
    `ValueError` where all that the places have are below.
    """
    merged, matrix = cells.merged, _of_cloud(cells)
    m = cells.nodes.shape[1] - 1
    ball = {1: 2.0, 2: math.pi, 3: 4 / 3 * math.pi}[m]
    waves = limit**0.5 / (2 * math.pi) * float(merged.measure() / ball) ** (1 / m)
    count = 8 + round(1.2 * (ball**2 * waves**m + (math.pi * waves) ** (m - 1)))
    while True:
        count = min(count, len(merged) - 1)
        found = _eigenpairs(matrix, merged, count)
        kept = found.values < limit
        if not bool(kept.all()):
            return Eigenpairs(found.values[kept], found.functions[:, kept])
        if count == len(merged) - 1:
            raise ValueError(
                f"all eigenvalues of {len(merged)} places are below {limit:.4g}, the "
                f"largest is {float(found.values[-1]):.4g}: take a lower wave number, "
                "or more points"
            )
        count *= 2


def _of_mesh(mesh: Mesh) -> csr_matrix:
    points, parts = torch.tensor(mesh.points), []
    for kind, nodes in mesh.cells.items():
        cell = CELL_TYPES[kind]
        if cell.dimension != mesh.dimension or not len(nodes):
            continue
        whole = [(kind, np.eye(cell.nodes))]
        for name, spread in whole if cell.order == 1 else child_nodes(kind):
            parts.append(_assembled(points, torch.tensor(nodes), name, spread))
    return sum(parts[1:], parts[0])


def _of_cloud(cells: CloudCells) -> csr_matrix:
    """Over the places of a cloud."""
    kind = {2: "line", 3: "triangle", 4: "tetra"}[cells.nodes.shape[1]]
    points = cells.merged.points.double()
    spread = np.eye(cells.nodes.shape[1])
    return _assembled(points, cells.nodes, kind, spread, cells.share)


def _assembled(
    points: Tensor,
    nodes: Tensor,
    kind: str,
    spread: np.ndarray,
    share: Tensor | None = None,
) -> csr_matrix:
    """(N, N) of cells of one linear type, their corners the averages `spread` (c, n) of
    nodes (T, n); each times its share (T,)."""
    from scipy.sparse import csr_matrix

    cell = CELL_TYPES[kind]
    simplex = cell.nodes == cell.dimension + 1
    rule = quadrature(kind, 0 if simplex else 2)
    slope = torch.tensor(cell.gradient(rule.points))
    corners = torch.einsum("cn,tnd->tcd", torch.tensor(spread), points[nodes])
    jacobian = torch.einsum("tcd,qcr->tqdr", corners, slope)
    metric = jacobian.mT @ jacobian
    det = torch.linalg.det(metric)
    # a cell without measure has nothing to integrate
    flat = det <= 0
    metric = torch.where(
        flat[:, :, None, None], torch.eye(cell.dimension).double(), metric
    )
    weight = det.clamp(min=0).sqrt() * torch.tensor(rule.weights)
    if share is not None:
        weight = weight * share[:, None]
    inner = torch.einsum("qcr,tqrs,qes->tqce", slope, torch.linalg.inv(metric), slope)
    local = torch.einsum("tq,tqce->tce", weight, inner)
    local = torch.einsum(
        "cn,tce,em->tnm", torch.tensor(spread), local, torch.tensor(spread)
    )
    rows = nodes[:, :, None].expand_as(local).flatten()
    columns = nodes[:, None].expand_as(local).flatten()
    entries = local.flatten().numpy(), (rows.numpy(), columns.numpy())
    return csr_matrix(entries, (len(points), len(points)))


def _operator(
    matrix: csr_matrix, domain: Discretization, method: str
) -> SparseOperator:
    found = matrix.tocoo()
    order = np.lexsort((found.col, found.row))
    edges = np.stack([found.col[order], found.row[order]]).astype(np.int64)
    n = len(domain)
    return SparseOperator(
        Graph(torch.from_numpy(edges), n, n),
        torch.from_numpy(found.data[order]),
        domain,
        domain,
        method,
        torch.zeros(n, dtype=torch.bool),
    )


def _eigenpairs(matrix: csr_matrix, domain: Discretization, count: int) -> Eigenpairs:
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import eigsh

    n = len(domain)
    if not 0 < count < n:
        raise ValueError(f"count: expected 1 to {n - 1} of {n} points, got {count}")
    root = domain.weights.double().sqrt().numpy()
    # of W^-1/2 K W^-1/2 the eigenvectors are orthogonal in the plain inner product
    scale = diags_array(1 / root)
    symmetric = (scale @ matrix @ scale).tocsc()
    symmetric = (symmetric + symmetric.T) / 2
    points = domain.points.double().numpy()
    shift = -SHIFT / float(np.ptp(points, axis=0).max()) ** 2
    start = root * (1 + _rough(points))
    values, vectors = eigsh(symmetric, count, sigma=shift, v0=start)
    order = np.argsort(values)
    functions = torch.from_numpy(vectors[:, order] / root[:, None])
    return Eigenpairs(torch.from_numpy(values[order]).clamp(min=0), functions)


def _rough(points: np.ndarray) -> np.ndarray:
    """(N,) numbers from 0 to 1 without a pattern, that depend on the places alone: they
    have a part in every eigenspace, whatever the symmetries of the domain."""
    askew = np.array([12.9898, 78.233, 37.719])[: points.shape[1]]
    return np.modf(np.abs(np.sin(points @ askew)) * 43758.5453)[0]
