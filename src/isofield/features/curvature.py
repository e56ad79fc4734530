"""Curvatures of surfaces in space and of curves in the plane."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.charts import frames
from isofield.discretization import from_mesh
from isofield.features.names import FeatureError
from isofield.graph import radius_graph
from isofield.mesh import Mesh
from isofield.normals import surface_normals
from isofield.operators.jets import multi_indices

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

DEGREE = 3
MOST_RINGS = 5
# points whose fits are solved together
AT_ONCE = 1 << 12
# of a scaled Gram matrix, its smallest eigenvalue against its largest: below, the
# points do not determine the polynomial
DETERMINED = 1e-9


def curvatures(surface: Mesh, normals: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) the mean and (N,) the Gaussian curvature at the points of a surface.

        z(t) = g . t + t . A t / 2 + cubic terms,   minimal sum_j w_j (z(t_j) - z_j)²
        H = -1/m tr((I - g gᵀ/q) A) / sqrt(q),   K = det A / q²,   q = 1 + |g|²

    with t_j, z_j the tangential and the normal part of x_j - x_i in the frame of the
    normal n_i, w_j the weights of `from_mesh`; x_j the points of the cells around x_i
    and of those around these, and of one ring more wherever these do not determine the
    polynomial. Mean curvature is positive where the surface bends away from its
    normals, 1/R on a sphere with normals outward; of a curve in the plane (m = 1) it is
    the curvature, and K is zero.

    surface : triangles or quadrilaterals in space, lines in the plane. normals : (N, d)
    of length 1. The error is O(h²) on smooth surfaces; at an edge, where there is no
    curvature, the values grow like 1/h.

    Raises `FeatureError` where points have too few neighbours.

    Source: Cazals and Pouget, Computer Aided Geometric Design 22(2), 2005,
    doi:10.1016/j.cagd.2004.09.004.
    """
    fits = _Fits(torch.tensor(surface.points), normals, from_mesh(surface).weights)
    return _curvatures(_derivatives(surface, fits), surface.dimension)


def curvature_at_scale(surface: Mesh, normals: Tensor, radius: float) -> Tensor:
    """(N,) the mean curvature at the scale r of a radius, 1/length; at edges too.

        H_r(x) = ∫ ω n . (y - y₀) dA(y) / ∫ ω |y - y₀|² dA(y),
        ω = max(1 - |y - x|²/r², 0) (1 + n(x) . n(y))/2,   y₀ the mean of y by ω

    the slope of the line n(y) = n₀ + H (y - y₀) that fits best; the second factor of ω
    leaves the other side of a thin wall out. Exact on spheres and planes, O(r²) from
    the curvature of smooth surfaces, about 1/r at edges. Integrated over the cells at
    their centroids: O(h²), and O(h) near edges.

    Raises `FeatureError` where less than two cells of one side lie within the radius.
    """
    cells = from_mesh(surface, "cells")
    facing = surface_normals(surface, "cells")
    points = torch.tensor(surface.points)
    graph = radius_graph(cells.points, points, radius)
    i, j = graph.target, graph.source
    offset = cells.points[j] - points[i]
    share = cells.weights[j] * (1 - offset.square().sum(1) / radius**2)
    share = share * (1 + (normals[i] * facing[j]).sum(1)) / 2

    def total(values: Tensor) -> Tensor:
        parts = share.view(-1, *[1] * (values.ndim - 1)) * values
        return parts.new_zeros(len(points), *values.shape[1:]).index_add(0, i, parts)

    mass = total(torch.ones_like(share))
    offset = offset - (total(offset) / mass[:, None])[i]
    spread = total(offset.square().sum(1))
    known = (graph.degree() > 1) & (spread > 0)
    _check_known(known, f"within {radius:.4g}: take a larger radius")
    return total((facing[j] * offset).sum(1)) / spread


@dataclass(frozen=True, eq=False)
class _Fits:
    """points, normals : (N, d). weights : (N,)."""

    points: Tensor
    normals: Tensor
    weights: Tensor

    @cached_property
    def frames(self) -> Tensor:
        """(N, d, m) tangents."""
        return frames(self.normals)

    def solve(
        self, target: Tensor, source: Tensor, share: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(K, J) derivatives at the points `rows` (K,), (K,) whether they are known.

        target : (E,) rising numbers among the K, source : (E,) points, share : (E,).
        """
        found, known = [], []
        for first in range(0, len(rows), AT_ONCE):
            block = rows[first : first + AT_ONCE]
            limits = torch.tensor([first, first + len(block)])
            e = slice(*torch.searchsorted(target, limits).tolist())
            parts = self._block(target[e] - first, source[e], share[e], block)
            found.append(parts[0])
            known.append(parts[1])
        return torch.cat(found), torch.cat(known)

    def _block(
        self, target: Tensor, source: Tensor, share: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        offset = self.points[source] - self.points[rows][target]
        t = torch.einsum("ed,edm->em", offset, self.frames[rows][target])
        z = (offset * self.normals[rows][target]).sum(1)
        size = z.new_zeros(len(rows)).scatter_reduce(0, target, t.norm(dim=1), "amax")
        size = torch.where(size > 0, size, 1.0)
        orders = multi_indices(t.shape[1], DEGREE)[1:]
        u = t / size[target, None]
        columns = (u[:, None] ** orders).prod(2)
        weighted = share[:, None] * columns
        j = len(orders)
        gram = z.new_zeros(len(rows), j * j).index_add(
            0, target, (weighted[:, :, None] * columns[:, None]).flatten(1)
        )
        right = z.new_zeros(len(rows), j).index_add(0, target, z[:, None] * weighted)
        gram = gram.view(-1, j, j)
        scale = gram.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
        safe = torch.where(scale > 0, scale, 1.0)
        gram = gram / (safe[:, :, None] * safe[:, None])
        spectrum = torch.linalg.eigvalsh(gram)
        known = spectrum[:, 0] > DETERMINED * spectrum[:, -1]
        gram = torch.where(known[:, None, None], gram, torch.eye(j).to(gram))
        solution = torch.linalg.solve(gram, right / safe) / safe
        factorial = torch.lgamma(orders + 1.0).sum(1).exp().round()
        lengths = size[:, None] ** orders.sum(1)
        return solution * factorial / lengths, known


def _derivatives(surface: Mesh, fits: _Fits) -> Tensor:
    """(N, J) those of z along the tangents, in the order of `multi_indices`."""
    left = torch.arange(len(fits.points))
    around = _adjacency(surface)
    rings, result = around, fits.points.new_empty(0)
    for _ in range(2, MOST_RINGS + 1):
        rings = _nonzero(rings @ around)
        part = rings[left.numpy()]
        degree = torch.from_numpy(np.diff(part.indptr).astype(np.int64))
        target = torch.arange(len(left)).repeat_interleave(degree)
        source = torch.from_numpy(part.indices.astype(np.int64))
        found, known = fits.solve(target, source, fits.weights[source], left)
        if not len(result):
            result = found.clone()
        result[left[known]] = found[known]
        left = left[~known]
        if not len(left):
            break
    unknown = torch.isin(torch.arange(len(fits.points)), left)
    _check_known(~unknown, f"in {MOST_RINGS} rings of cells")
    return result


def _curvatures(derivatives: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """(N,) mean and (N,) Gaussian curvature of graphs of functions."""
    if m == 1:
        slope, bend = derivatives[:, 0], derivatives[:, 1]
        return -bend / (1 + slope**2) ** 1.5, torch.zeros_like(bend)
    gx, gy, xx, xy, yy = derivatives[:, :5].unbind(1)
    metric = 1 + gx**2 + gy**2
    bend = (1 + gy**2) * xx - 2 * gx * gy * xy + (1 + gx**2) * yy
    return -bend / (2 * metric**1.5), (xx * yy - xy**2) / metric**2


def _adjacency(surface: Mesh) -> csr_matrix:
    """(N, N) 1 for points in one cell."""
    from scipy.sparse import csr_matrix

    rows, columns, cells = [], [], 0
    for kind, nodes in surface.cells.items():
        if CELL_TYPES[kind].dimension == surface.dimension:
            rows.append(np.repeat(cells + np.arange(len(nodes)), nodes.shape[1]))
            columns.append(nodes.ravel())
            cells += len(nodes)
    row, column = np.concatenate(rows), np.concatenate(columns)
    shape = (cells, len(surface.points))
    incidence = csr_matrix((np.ones(len(row)), (row, column)), shape)
    return _nonzero((incidence.T @ incidence).tocsr())


def _nonzero(matrix: csr_matrix) -> csr_matrix:
    matrix.data[:] = 1
    return matrix


def _check_known(known: Tensor, where: str) -> None:
    if not bool(known.all()):
        raise FeatureError(
            f"{int((~known).sum())} of {len(known)} points of the surface, the first "
            f"is number {int((~known).nonzero()[0])}, have too few neighbours for a "
            f"curvature {where}"
        )
