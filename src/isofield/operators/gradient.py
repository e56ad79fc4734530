"""The gradient of a field inside the cells of its mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.discretization import Discretization
from isofield.graph import Graph
from isofield.mesh import Mesh, MeshError
from isofield.plan import Plan
from isofield.quadrature import density, quadrature


@dataclass(frozen=True, eq=False)
class Gradient(Plan):
    """From N nodal values to gradients at Q quadrature points of the cells.

    sites : the Q points with their weights. graph : from the nodes of each cell to its
    quadrature points. values : (E, d), gradient of the node's shape function there,
    1/length.
    """

    sites: Discretization
    graph: Graph
    values: Tensor

    def __call__(self, u: Tensor) -> Tensor:
        """(N, C) nodal values -> (Q, C, d) gradients; exact for what a cell spans."""
        u = u.to(self.values.dtype)
        parts = u.index_select(0, self.graph.source)[:, :, None] * self.values[:, None]
        total = parts.new_zeros(self.graph.n_targets, *parts.shape[1:])
        return total.index_add(0, self.graph.target, parts)


def gradient(mesh: Mesh) -> Gradient:
    """The gradient operator of a mesh, by the shape functions of its cells.

    `grad u(x_q) = sum_n u_n J (J^T J)^{-1} grad_ref N_n(xi_q)`, J the Jacobian of the
    cell's map; on a surface in space it is the tangential gradient. Exact for linear
    fields (quadratic ones on straight quadratic cells); O(h^p) for smooth fields on
    cells of order p.

    Raises `MeshError` where the mesh has no cells, or a cell has no volume.
    """
    if mesh.dimension < 1:
        raise MeshError("a gradient needs cells; a bare cloud of points has none")
    points = torch.tensor(mesh.points)
    parts, n_sites = [], 0
    for kind, nodes in mesh.cells.items():
        if CELL_TYPES[kind].dimension == mesh.dimension and len(nodes):
            part = _cell_gradients(points, torch.tensor(nodes), kind, n_sites)
            parts.append(part)
            n_sites += len(part.weights)
    edges = torch.cat([part.edges for part in parts], 1)
    order = torch.argsort(edges[1] * len(points) + edges[0], stable=True)
    return Gradient(
        Discretization(
            torch.cat([part.sites for part in parts]),
            torch.cat([part.weights for part in parts]),
        ),
        Graph(edges[:, order], len(points), n_sites),
        torch.cat([part.values for part in parts])[order],
    )


class _Part(NamedTuple):
    """Sites (Q, d), weights (Q,), edges (2, E) and values (E, d) of one cell type."""

    sites: Tensor
    weights: Tensor
    edges: Tensor
    values: Tensor


def _cell_gradients(points: Tensor, nodes: Tensor, kind: str, first: int) -> _Part:
    """T cells of one type; their sites are counted from `first`."""
    cell = CELL_TYPES[kind]
    simplex = cell.nodes == cell.dimension + 1
    rule = quadrature(kind, cell.order if simplex else 2 * cell.order)
    shape = torch.tensor(cell.shape(rule.points))
    slope = torch.tensor(cell.gradient(rule.points))
    corners = points[nodes]
    jacobian = torch.einsum("tnd,qnr->tqdr", corners, slope)
    metric = jacobian.mT @ jacobian
    if not bool((torch.linalg.det(metric) > 0).all()):
        raise MeshError(
            f"a {kind} has no volume, so fields have no gradient on it: "
            "`mesh.validate()` names it, `mesh.mended()` drops it"
        )
    inverse = jacobian @ torch.linalg.inv(metric)
    n_sites = len(nodes) * len(rule.weights)
    weights = density(points, nodes, kind, rule.points).abs() * torch.tensor(
        rule.weights
    )
    edges = torch.stack(
        [
            nodes[:, None].expand(-1, len(rule.weights), -1).reshape(-1),
            torch.arange(first, first + n_sites).repeat_interleave(cell.nodes),
        ]
    )
    return _Part(
        torch.einsum("tnd,qn->tqd", corners, shape).flatten(0, 1),
        weights.flatten(),
        edges,
        torch.einsum("tqdr,qnr->tqnd", inverse, slope).flatten(0, 2),
    )
