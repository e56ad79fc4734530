"""Meshes as simplices whose corners are averages of the mesh's points."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh, MeshError
from isofield.quadrature import child_nodes


class Split(NamedTuple):
    """S simplices of dimension m that tile a mesh, in space of d coordinates.

    corners : (S, m + 1, d). cell : (S,) the cell of each, counted as `from_mesh` counts
    cells. nodes : (S, k) points of the mesh, and share : (S, m + 1, k) their part in
    each corner, not negative, with sum 1; cells with fewer points repeat one with the
    share 0. measure : (S,), positive. points : (N, d) of the mesh. n_cells : its T.
    """

    corners: Tensor
    cell: Tensor
    nodes: Tensor
    share: Tensor
    measure: Tensor
    points: Tensor
    n_cells: int

    @property
    def dimension(self) -> int:
        """m."""
        return self.corners.shape[1] - 1

    def to(self, device: torch.device | str) -> Split:
        """The same on another device."""
        tensors = {
            name: x.to(device)
            for name, x in self._asdict().items()
            if name != "n_cells"
        }
        return self._replace(**tensors)


def split(mesh: Mesh, straight: bool = False) -> Split:
    """The simplices of a mesh: without gaps between cells, and exact in measure.

    Simplices stay as they are. Other cells get their mean point and, in space, that of
    each four-sided face, joined to the edges: the fan over a bilinear face encloses
    just the volume that the face does, and both cells at a face see the same fan.
    Quadratic cells are taken as their linear children. Simplices without measure are
    left out; inverted ones are turned round.

    straight : take quadratic simplices by their corners alone, which is exact where
    their sides are straight.

    Raises `MeshError` where the mesh has no cells.
    """
    if mesh.dimension < 1:
        raise MeshError("expected a mesh with cells, got a cloud of points")
    points = torch.tensor(mesh.points)
    kinds = [
        kind
        for kind, nodes in mesh.cells.items()
        if CELL_TYPES[kind].dimension == mesh.dimension and len(nodes)
    ]
    most = max(CELL_TYPES[kind].nodes for kind in kinds)
    parts, first = [], 0
    for kind in kinds:
        nodes = torch.tensor(mesh.cells[kind])
        template = torch.from_numpy(_template(kind, straight))
        parts.append(_block(points, nodes, template, first, most))
        first += len(nodes)
    corners, cell, nodes, share = (torch.cat(x) for x in zip(*parts, strict=True))
    measure = simplex_measure(corners)
    if mesh.dimension == points.shape[1]:
        inverted = torch.linalg.det(corners[:, 1:] - corners[:, :1]) < 0
        corners[inverted] = corners[inverted].flip(1)
        share[inverted] = share[inverted].flip(1)
    kept = measure > 0
    return Split(
        corners[kept],
        cell[kept],
        nodes[kept],
        share[kept],
        measure[kept],
        points,
        first,
    )


def simplex_measure(corners: Tensor) -> Tensor:
    """(S,) length, area or volume of simplices (S, m + 1, d)."""
    edges = corners[:, 1:] - corners[:, :1]
    m, d = edges.shape[1:]
    if m == d:
        return torch.linalg.det(edges).abs() / math.factorial(m)
    if m == 1:
        return edges[:, 0].norm(dim=1)
    return torch.linalg.cross(edges[:, 0], edges[:, 1]).norm(dim=1) / 2


def _block(
    points: Tensor, nodes: Tensor, template: Tensor, first: int, most: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Corners, cell, nodes and share of T cells of one type."""
    count, n = len(template), nodes.shape[1]
    corners = torch.einsum("scn,tnd->tscd", template, points[nodes]).flatten(0, 1)
    cell = torch.arange(first, first + len(nodes)).repeat_interleave(count)
    padded = torch.cat([nodes, nodes[:, :1].expand(-1, most - n)], 1)
    share = torch.nn.functional.pad(template, (0, most - n))
    return (
        corners,
        cell,
        padded.repeat_interleave(count, 0),
        share.repeat(len(nodes), 1, 1),
    )


@lru_cache
def _template(kind: str, straight: bool) -> np.ndarray:
    """(s, m + 1, n) the shares of the n points of a cell in its simplices' corners."""
    cell = CELL_TYPES[kind]
    if cell.order == 1:
        return _linear_template(kind)
    if straight and cell.linear.nodes == cell.dimension + 1:
        return np.eye(cell.linear.nodes, cell.nodes)[None]
    return np.concatenate(
        [_linear_template(name) @ spread for name, spread in child_nodes(kind)]
    )


def _linear_template(kind: str) -> np.ndarray:
    cell = CELL_TYPES[kind]
    n = cell.nodes
    unit = np.eye(n)
    if n == cell.dimension + 1:
        return unit[None]
    centre = np.full((1, n), 1 / n)
    fans = []
    for name, numbers in cell.facets:
        corners = unit[list(numbers)]
        for part in _linear_template(name) if name != "quad" else _fan(4):
            fans.append(np.concatenate([part @ corners, centre]))
    return np.stack(fans)


def _fan(n: int) -> np.ndarray:
    """(n, 3, n) the triangles from the sides of a polygon to its mean point."""
    unit, centre = np.eye(n), np.full(n, 1 / n)
    return np.stack([[unit[i], unit[(i + 1) % n], centre] for i in range(n)])


def cell_measures(domain: Split) -> Tensor:
    """(T,) the measure of each cell."""
    return domain.measure.new_zeros(domain.n_cells).index_add(
        0, domain.cell, domain.measure
    )


def cell_centroids(domain: Split) -> Tensor:
    """(T, d) the centroids of the cells."""
    first = domain.measure[:, None] * domain.corners.mean(1)
    total = first.new_zeros(domain.n_cells, first.shape[1])
    total = total.index_add(0, domain.cell, first)
    return total / cell_measures(domain)[:, None]
