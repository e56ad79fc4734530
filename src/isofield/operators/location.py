"""Which cell of a mesh holds a point, and where in it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh
from isofield.operators import compiled
from isofield.operators.inverses import (
    ROUNDING,
    TOLERANCE,
    Simplices,
    beyond,
    inverses,
)
from isofield.operators.supermesh.boxes import Boxes, overlapping
from isofield.operators.walking import located, walked

AT_ONCE = 1 << 18


class Located(NamedTuple):
    """kind : the cell types. block : (M,) which of them holds the point, -1 for none.
    cell : (M,) its number within its block. reference : (M, m) where in it."""

    kinds: list[str]
    block: Tensor
    cell: Tensor
    reference: Tensor


def locate(mesh: Mesh, points: Tensor) -> Located:
    """The cell that holds each of M points, exactly, on the boundary too.

    A point on a shared facet belongs to the cell in which it lies deepest, among equals
    to the first, and where cell types meet to the first type; one outside of all cells
    by less than 1e-10 of a cell counts as inside. Cells without measure, to rounding,
    hold nothing; the orientation does not matter. Linear simplices are inverted in
    closed form, other cells by Newton's method, from their middle and, for points that
    no cell holds then, from near each corner: a point inside a cell that is not folded
    has one solution there. In a mesh of linear simplices points walk from cell to cell
    first; those that get stuck at a boundary, or end near a facet, are looked up as all
    others are.

    mesh : its cells of the highest dimension fill the space of the points. points :
    (M, d) float64, on any device; the answer is there too. Candidates come from a tree
    of boxes: O((M + T) log T).
    """
    kinds = [
        kind
        for kind, nodes in mesh.cells.items()
        if CELL_TYPES[kind].dimension == mesh.dimension and len(nodes)
    ]
    device = points.device
    places = torch.tensor(mesh.points, device=device)
    blocks = [torch.tensor(mesh.cells[kind], device=device) for kind in kinds]
    alone = len(kinds) == 1 and blocks[0].shape[1] == mesh.dimension + 1
    if alone and len(points):
        return _in_simplices(kinds, places, blocks[0], points)
    found = _Found(points)
    for number, (kind, nodes) in enumerate(zip(kinds, blocks, strict=True)):
        rows = torch.arange(len(points), device=device)
        found.look_up(points, rows, places[nodes], kind, number)
    return Located(kinds, found.block, found.cell, found.reference)


def _in_simplices(
    kinds: list[str], places: Tensor, nodes: Tensor, points: Tensor
) -> Located:
    corners = places[nodes]
    on_cpu = points.device.type == "cpu"
    if on_cpu and compiled.worth(len(points) + len(nodes)):
        boxes = _boxes(corners, kinds[0])
        cell, reference = located(places, nodes, boxes, points.contiguous())
        return Located(kinds, cell.clamp(max=0), cell.clamp(min=0), reference)
    found = _Found(points)
    found.cell, found.reference, rest = walked(Simplices(corners), nodes, points)
    found.block.zero_()
    found.block[rest] = -1
    found.look_up(points, rest, corners, kinds[0], 0)
    return Located(kinds, found.block, found.cell, found.reference)


class _Found:
    """What is known of points: the deepest cell so far, as in `Located`."""

    def __init__(self, points: Tensor) -> None:
        count = len(points)
        self.block = torch.full((count,), -1, device=points.device)
        self.cell = torch.zeros_like(self.block)
        self.reference = torch.zeros_like(points)
        self.least = torch.full_like(points[:, 0], torch.inf)

    def look_up(
        self, points: Tensor, rows: Tensor, corners: Tensor, kind: str, number: int
    ) -> None:
        """Tries the cells (T, n, d) whose boxes hold the points with numbers `rows`."""
        asked = points[rows]
        i, j = overlapping(Boxes(asked, asked), _boxes(corners, kind))
        i = rows[i]
        for invert in inverses(corners, kind):
            # more starts are tried where no cell was found with the first
            lost = self.block[i] < 0
            i, j = i[lost], j[lost]
            for p, t in zip(i.split(AT_ONCE), j.split(AT_ONCE), strict=True):
                xi = invert(points.index_select(0, p), t)
                outside = beyond(xi, kind)
                better = (outside <= invert.tolerance[t]).nonzero()[:, 0]
                self._keep(p[better], t[better], xi[better], outside[better], number)

    def _keep(
        self, p: Tensor, t: Tensor, xi: Tensor, outside: Tensor, number: int
    ) -> None:
        """Enter what lies deeper than what is known; of equals the first cell."""
        least = torch.full_like(self.least, torch.inf)
        least = least.scatter_reduce(0, p, outside, "amin")
        wins = outside == least[p]
        wins &= (outside < self.least[p]) | (self.block[p] < 0)
        p, t, xi = p[wins], t[wins], xi[wins]
        first = torch.full_like(self.cell, torch.iinfo(torch.int64).max)
        first = first.scatter_reduce(0, p, t, "amin")
        wins = t == first[p]
        p, t, xi = p[wins], t[wins], xi[wins]
        self.block[p], self.cell[p], self.reference[p] = number, t, xi
        self.least[p] = least[p]


def _boxes(corners: Tensor, kind: str) -> Boxes:
    """Boxes that hold the cells (T, n, d), curved ones too.

    A linear cell lies in the hull of its corners. One of second order differs from the
    linear cell on its corners by at most the Lebesgue constant times the largest such
    difference at a node.
    """
    cell = CELL_TYPES[kind]
    nodes = corners[:, : cell.linear.nodes]
    low, high = _extremes(nodes)
    size = (high - low).amax(1, keepdim=True)
    more = TOLERANCE * size + ROUNDING * corners.abs().max()
    if cell.order > 1:
        at_nodes = corners.new_tensor(cell.linear.shape(cell.reference_points))
        off = corners - torch.einsum("nl,tld->tnd", at_nodes, nodes)
        more = more + _lebesgue(kind) * off.abs().amax(1)
    return Boxes(low - more, high + more)


def _extremes(corners: Tensor) -> tuple[Tensor, Tensor]:
    """(T, d) the smallest and the largest coordinates of cells (T, n, d)."""
    low, *others = corners.unbind(1)
    high = low
    for other in others:
        low, high = torch.minimum(low, other), torch.maximum(high, other)
    return low, high


@lru_cache
def _lebesgue(kind: str) -> float:
    """The largest sum of the shape functions' sizes in the cell, and a tenth more."""
    cell = CELL_TYPES[kind]
    low, high = cell.reference_points.min(0), cell.reference_points.max(0)
    axes = [np.linspace(a, b, 13) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, cell.dimension)
    grid = grid[beyond(torch.from_numpy(grid), kind).numpy() <= 1e-12]
    return 1.1 * float(np.abs(cell.shape(grid)).sum(1).max())
