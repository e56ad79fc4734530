"""From points to reference coordinates: the inverses of the maps of cells."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.operators.shapes import Shapes

# how far outside, in reference coordinates, a point still counts as inside; where
# coordinates are large, ROUNDING of them over the height of the cell
TOLERANCE = 1e-10
ROUNDING = 16 * torch.finfo(torch.float64).eps
# a cell whose height is no more than ten times the rounding has no measure
FLAT = 0.1
CONVERGED = 1e-13
# a determinant that is rounding, against the size of the cell to the power d
SINGULAR = 1e-14
MOST_STEPS = 30


def beyond(xi: Tensor, kind: str) -> Tensor:
    """(K,) how far reference coordinates (K, m) lie outside of a cell; <= 0 inside."""
    shape = CELL_TYPES[kind].linear.name
    if shape in ("line", "quad", "hexahedron"):
        return ((xi - 0.5).abs() - 0.5).amax(1)
    if shape in ("triangle", "tetra"):
        return torch.maximum(-xi.amin(1), added_up(xi) - 1)
    z = xi[:, 2]
    if shape == "wedge":
        flat = torch.maximum(-xi[:, :2].amin(1), xi[:, :2].sum(1) - 1)
        return torch.maximum(flat, (z - 0.5).abs() - 0.5)
    return torch.maximum(xi[:, :2].abs().amax(1) - (1 - z), -z)


def added_up(x: Tensor) -> Tensor:
    """The sum over the last of the dimensions, term by term as compiled loops add."""
    first, *others = x.unbind(-1)
    for other in others:
        first = first + other
    return first


class Simplices:
    """The inverses of affine maps, made once."""

    def __init__(self, corners: Tensor) -> None:
        self.origin = corners[:, 0]
        self.centre = corners.mean(1)
        normals, det = _cofactors(corners[:, 1:] - corners[:, :1])
        inverse = normals / det[:, None, None]
        squared = added_up(inverse.square())
        steepest = squared.amax(1).sqrt()
        rounding = ROUNDING * corners.abs().max() * steepest
        # a cell without measure holds nothing; NaN is not below anything
        solid = (rounding < FLAT)[:, None, None]
        self.inverse = torch.where(solid, inverse, torch.nan)
        self.tolerance = TOLERANCE + rounding

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """(K, d) for points x (K, d) in the simplices t (K,)."""
        offset = x - self.origin.index_select(0, t)
        return added_up(self.inverse.index_select(0, t) * offset[:, None])


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
    return normals, added_up(normals[:, 0] * a)


def inverses(corners: Tensor, kind: str) -> Iterator[Simplices | Curved]:
    """Ways to find reference coordinates in cells (T, n, d), to be tried in turn."""
    if corners.shape[1] == corners.shape[2] + 1:
        yield Simplices(corners)
        return
    nodes = corners.new_tensor(CELL_TYPES[kind].linear.reference_points)
    middle = nodes.mean(0)
    yield Curved(corners, kind, [middle])
    yield Curved(corners, kind, [*(middle + 0.9 * (nodes - middle))])


class Curved:
    """Newton's method for cells whose map is not affine, from several starts."""

    def __init__(self, corners: Tensor, kind: str, starts: list[Tensor]) -> None:
        self.corners = corners
        self.kind = kind
        self.shapes = Shapes(kind, corners.device)
        self.starts = starts
        d = corners.shape[2]
        size = (corners.amax(1) - corners.amin(1)).amax(1)
        middle = torch.stack(starts).mean(0, keepdim=True)
        slope = self.shapes.with_slopes(middle)[1][0]
        det = torch.linalg.det(torch.einsum("tnd,nr->tdr", corners, slope))
        height = det.abs() / size ** (d - 1)
        rounding = ROUNDING * corners.abs().max()
        # a cell without measure holds nothing; NaN is not below anything
        solid = (rounding < FLAT * height) & (height > SINGULAR * size)
        self.tolerance = torch.where(solid, TOLERANCE + rounding / height, torch.nan)
        self.converged = 1e-11 + rounding / size
        nodes = CELL_TYPES[kind].linear.reference_points
        self.low = corners.new_tensor(nodes.min(0)) - 0.5
        self.high = corners.new_tensor(nodes.max(0)) + 0.5

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """(K, d) for points x (K, d) in the cells t (K,); inf where there are none."""
        result = torch.full_like(x, torch.nan)
        open_ = torch.arange(len(x), device=x.device)
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
        corners = self.corners[t] - x[:, None]
        size = (corners.amax(1) - corners.amin(1)).amax(1)
        xi = start.expand(len(x), -1).clone()
        residual = torch.full_like(size, torch.inf)
        active = torch.arange(len(x), device=x.device)
        for _ in range(MOST_STEPS):
            shape, slope = self.shapes.with_slopes(xi[active])
            off = torch.einsum("kn,knd->kd", shape, corners[active])
            residual[active] = off.norm(dim=1) / size[active]
            jacobian = torch.einsum("knd,knr->kdr", corners[active], slope)
            det = torch.linalg.det(jacobian)
            regular = det.abs() > SINGULAR * size[active] ** x.shape[1]
            unit = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
            safe = torch.where(regular[:, None, None], jacobian, unit)
            step = torch.linalg.solve(safe, off)
            moved = torch.clamp(xi[active] - step, self.low, self.high)
            xi[active] = torch.where(regular[:, None], moved, xi[active])
            active = active[(residual[active] > CONVERGED) & regular]
            if not len(active):
                break
        return xi, residual
