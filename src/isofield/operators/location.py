"""Which cell of a mesh holds a point, and where in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh
from isofield.operators import compiled
from isofield.operators.supermesh.boxes import Boxes, morton, overlapping
from isofield.topology import number_rows

# how far outside, in reference coordinates, a point still counts as inside; where
# coordinates are large, ROUNDING of them over the height of the cell
TOLERANCE = 1e-10
ROUNDING = 16 * torch.finfo(torch.float64).eps
# a point this deep in a cell lies in no other
DEEP = 1e-8
WALK = 64
CONVERGED = 1e-13
MOST_STEPS = 30
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
    by less than 1e-10 of a cell counts as inside. Cells without measure hold nothing;
    the orientation does not matter. Linear simplices are inverted in closed form, other
    cells by Newton's method, from their middle and, for points that no cell holds then,
    from near each corner: a point inside a cell that is not folded has one solution
    there. In a mesh of linear simplices points walk from cell to cell first; those that
    get stuck at a boundary, or end near a facet, are looked up as all others are.

    mesh : its cells of the highest dimension fill the space of the points. points :
    (M, d) float64. Candidates come from a tree of boxes: O((M + T) log T).
    """
    kinds = [
        kind
        for kind, nodes in mesh.cells.items()
        if CELL_TYPES[kind].dimension == mesh.dimension and len(nodes)
    ]
    block = torch.full((len(points),), -1)
    cell = torch.zeros(len(points), dtype=torch.int64)
    reference = points.new_zeros(len(points), mesh.dimension)
    least = torch.full((len(points),), torch.inf, dtype=torch.float64)
    places = torch.tensor(mesh.points)
    rest = torch.arange(len(points))
    if len(kinds) == 1 and CELL_TYPES[kinds[0]].nodes == mesh.dimension + 1:
        nodes = torch.tensor(mesh.cells[kinds[0]])
        rest = _walk(_Simplices(places[nodes]), nodes, points, block, cell, reference)
    for number, kind in enumerate(kinds):
        corners = places[torch.tensor(mesh.cells[kind])]
        boxes = _boxes(corners, kind)
        i, j = overlapping(Boxes(points[rest], points[rest]), boxes)
        i = rest[i]
        for invert in _inverses(corners, kind):
            # more starts are tried where no cell was found with the first
            lost = block[i] < 0
            i, j = i[lost], j[lost]
            for a in range(0, len(i), AT_ONCE):
                p, t = i[a : a + AT_ONCE], j[a : a + AT_ONCE]
                xi = invert(points.index_select(0, p), t)
                outside = beyond(xi, kind)
                better = (outside <= invert.tolerance[t]).nonzero()[:, 0]
                found = p[better], t[better], xi[better], outside[better]
                _keep_deepest(*found, number, least, block, cell, reference)
    return Located(kinds, block, cell, reference)


def _walk(
    simplices: _Simplices,
    nodes: Tensor,
    points: Tensor,
    block: Tensor,
    cell: Tensor,
    reference: Tensor,
) -> Tensor:
    """Enters points that lie deep in a simplex; returns the numbers of the others.

    Each point starts in the cell that is next to it along a Morton curve and crosses,
    again and again, the facet beyond which it lies furthest.
    """
    low, high = points.amin(0), points.amax(0)
    centre = simplices.centre.clamp(low, high)
    key = morton(centre, low, high - low)
    order = torch.argsort(key)
    own = morton(points, low, high - low)
    sorted_points = torch.argsort(own)
    start = torch.searchsorted(key[order], own[sorted_points])
    at = order[start.clamp(max=len(order) - 1)]
    neighbour = _neighbours(nodes)
    if compiled.worth(len(points)):
        from isofield.operators.compiled.walking import walk

        stuck = walk(
            points.numpy(),
            sorted_points.numpy(),
            at.numpy(),
            simplices.origin.contiguous().numpy(),
            simplices.inverse.contiguous().numpy(),
            neighbour.numpy(),
            DEEP,
            cell.numpy(),
            reference.numpy(),
        )
        stuck = torch.from_numpy(stuck)
        block[~stuck] = 0
        return stuck.nonzero()[:, 0]
    open_, stuck = sorted_points, []
    for _ in range(WALK):
        xi = simplices(points.index_select(0, open_), at)
        first = 1 - xi.sum(1, keepdim=True)
        depth, side = torch.cat([first, xi], 1).min(1)
        deep = depth > DEEP
        done = deep.nonzero()[:, 0]
        numbers = open_[done]
        block[numbers], cell[numbers], reference[numbers] = 0, at[done], xi[done]
        further = neighbour[at, side]
        # NaN, of a cell without measure, compares as False
        goes = ((depth < -DEEP) & (further >= 0)).nonzero()[:, 0]
        stays = (~deep & ~((depth < -DEEP) & (further >= 0))).nonzero()[:, 0]
        stuck.append(open_[stays])
        open_, at = open_[goes], further[goes]
        if not len(open_):
            break
    return torch.cat([*stuck, open_])


def _neighbours(nodes: Tensor) -> Tensor:
    """(T, m + 1) the simplex across the facet opposite to each corner, -1 for none."""
    count, n = nodes.shape
    facets = np.stack([np.delete(nodes.numpy(), k, 1) for k in range(n)], 1)
    _, number = number_rows(np.sort(facets.reshape(-1, n - 1), 1))
    number = torch.from_numpy(np.ascontiguousarray(number))
    order = torch.argsort(number, stable=True)
    same = number[order][1:] == number[order][:-1]
    a, b = order[:-1][same], order[1:][same]
    result = torch.full((count * n,), -1)
    result[a], result[b] = b // n, a // n
    return result.view(count, n)


def _keep_deepest(
    p: Tensor,
    t: Tensor,
    xi: Tensor,
    outside: Tensor,
    number: int,
    least: Tensor,
    block: Tensor,
    cell: Tensor,
    reference: Tensor,
) -> None:
    """Enter what lies deeper than the cell that was known; equals by their number."""
    found = torch.full_like(least, torch.inf).scatter_reduce(0, p, outside, "amin")
    wins = (outside == found[p]) & ((outside < least[p]) | (block[p] < 0))
    p, t, xi = p[wins], t[wins], xi[wins]
    first = torch.full_like(cell, torch.iinfo(torch.int64).max)
    first = first.scatter_reduce(0, p, t, "amin")
    wins = t == first[p]
    p, t, xi = p[wins], t[wins], xi[wins]
    block[p], cell[p], reference[p], least[p] = number, t, xi, found[p]


def _boxes(corners: Tensor, kind: str) -> Boxes:
    """Boxes that hold the cells (T, n, d), curved ones too.

    A linear cell lies in the hull of its corners. One of second order differs from the
    linear cell on its corners by at most the Lebesgue constant times the largest such
    difference at a node.
    """
    cell = CELL_TYPES[kind]
    nodes = corners[:, : cell.linear.nodes]
    at_nodes = torch.tensor(cell.linear.shape(cell.reference_points))
    off = corners - torch.einsum("nl,tld->tnd", at_nodes, nodes)
    more = _lebesgue(kind) * off.abs().amax(1)
    size = (nodes.amax(1) - nodes.amin(1)).amax(1, keepdim=True)
    more = more + TOLERANCE * size + ROUNDING * corners.abs().max()
    return Boxes(nodes.amin(1) - more, nodes.amax(1) + more)


@lru_cache
def _lebesgue(kind: str) -> float:
    """The largest sum of the shape functions' sizes in the cell, and a tenth more."""
    cell = CELL_TYPES[kind]
    low, high = cell.reference_points.min(0), cell.reference_points.max(0)
    axes = [np.linspace(a, b, 13) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, cell.dimension)
    grid = grid[beyond(torch.from_numpy(grid), kind).numpy() <= 1e-12]
    return 1.1 * float(np.abs(cell.shape(grid)).sum(1).max())


def beyond(xi: Tensor, kind: str) -> Tensor:
    """(K,) how far reference coordinates (K, m) lie outside of a cell; <= 0 inside."""
    shape = CELL_TYPES[kind].linear.name
    if shape in ("line", "quad", "hexahedron"):
        return ((xi - 0.5).abs() - 0.5).amax(1)
    if shape in ("triangle", "tetra"):
        return torch.maximum(-xi.amin(1), xi.sum(1) - 1)
    z = xi[:, 2]
    if shape == "wedge":
        flat = torch.maximum(-xi[:, :2].amin(1), xi[:, :2].sum(1) - 1)
        return torch.maximum(flat, (z - 0.5).abs() - 0.5)
    return torch.maximum(xi[:, :2].abs().amax(1) - (1 - z), -z)


class _Simplices:
    """The inverses of affine maps, made once."""

    def __init__(self, corners: Tensor) -> None:
        self.origin = corners[:, 0]
        self.centre = corners.mean(1)
        edges = corners[:, 1:] - corners[:, :1]
        normals, det = _cofactors(edges)
        # a cell without measure holds nothing
        det = torch.where(det == 0, torch.nan, det)
        self.inverse = normals / det[:, None, None]
        steepest = torch.nan_to_num(self.inverse).square().sum(2).amax(1).sqrt()
        self.tolerance = TOLERANCE + ROUNDING * corners.abs().max() * steepest

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        offset = (x - self.origin.index_select(0, t))[:, :, None]
        return (self.inverse.index_select(0, t) @ offset)[:, :, 0]


def _cofactors(edges: Tensor) -> tuple[Tensor, Tensor]:
    """(T, d, d) rows `n_r` with `n_r . edge_s = det` for r = s and 0 else, (T,) det."""
    d = edges.shape[2]
    if d == 1:
        return torch.ones_like(edges), edges[:, 0, 0]
    a, b = edges[:, 0], edges[:, 1]
    if d == 2:
        normals = torch.stack([b[:, 1], -b[:, 0], -a[:, 1], a[:, 0]], 1).view(-1, 2, 2)
    else:
        c = edges[:, 2]
        normals = torch.stack(
            [torch.linalg.cross(*pair) for pair in ((b, c), (c, a), (a, b))], 1
        )
    return normals, (normals[:, 0] * a).sum(1)


def _inverses(corners: Tensor, kind: str) -> Iterator[_Simplices | _Curved]:
    """Ways to find reference coordinates, to be tried in turn."""
    if corners.shape[1] == corners.shape[2] + 1:
        yield _Simplices(corners)
        return
    nodes = CELL_TYPES[kind].linear.reference_points
    middle = nodes.mean(0)
    yield _Curved(corners, kind, [middle])
    yield _Curved(corners, kind, [*(middle + 0.9 * (nodes - middle))])


class _Curved:
    """Newton's method for cells whose map is not affine, from several starts."""

    def __init__(self, corners: Tensor, kind: str, starts: list[np.ndarray]) -> None:
        self.corners = corners
        self.kind = kind
        self.starts = [torch.tensor(start) for start in starts]
        apart = torch.cdist(corners, corners)
        apart.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        shortest = apart.amin((1, 2))
        large = ROUNDING * corners.abs().max() / shortest
        self.tolerance = TOLERANCE + large
        self.converged = 1e-11 + large
        nodes = CELL_TYPES[kind].linear.reference_points
        self.low = torch.tensor(nodes.min(0)) - 0.5
        self.high = torch.tensor(nodes.max(0)) + 0.5

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        result = torch.full_like(x, torch.nan)
        open_ = torch.arange(len(x))
        for start in self.starts:
            xi, residual = self._newton(x[open_], t[open_], start)
            number = t[open_]
            inside = residual <= self.converged[number]
            inside &= beyond(xi, self.kind) <= self.tolerance[number]
            result[open_[inside]] = xi[inside]
            open_ = open_[~inside]
            if not len(open_):
                break
        return torch.nan_to_num(result, nan=torch.inf)

    def _newton(self, x: Tensor, t: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Reference coordinates, and the residual over the size of the cell."""
        cell = CELL_TYPES[self.kind]
        corners = self.corners[t] - x[:, None]
        size = (corners.amax(1) - corners.amin(1)).amax(1)
        xi = start.expand(len(x), -1).clone()
        residual = torch.full_like(size, torch.inf)
        active = torch.arange(len(x))
        for _ in range(MOST_STEPS):
            at = xi[active].numpy()
            shape = torch.from_numpy(cell.shape(at))
            slope = torch.from_numpy(cell.gradient(at))
            off = torch.einsum("kn,knd->kd", shape, corners[active])
            residual[active] = off.norm(dim=1) / size[active]
            jacobian = torch.einsum("knd,knr->kdr", corners[active], slope)
            det = torch.linalg.det(jacobian)
            regular = det.abs() > 1e-14 * size[active] ** x.shape[1]
            unit = torch.eye(x.shape[1], dtype=x.dtype)
            safe = torch.where(regular[:, None, None], jacobian, unit)
            step = torch.linalg.solve(safe, off)
            moved = torch.clamp(xi[active] - step, self.low, self.high)
            xi[active] = torch.where(regular[:, None], moved, xi[active])
            active = active[(residual[active] > CONVERGED) & regular]
            if not len(active):
                break
        return xi, residual
