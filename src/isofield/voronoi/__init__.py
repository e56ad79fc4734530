"""Voronoi cells clipped to a domain: the measure that belongs to each point of a cloud.

The measure of a cell V_i within the domain follows from its boundary (divergence
theorem, cones with their tip in x_i): the parts of the bisectors with other points,
and the parts of the domain's boundary that are nearest to x_i,

    d |V_i| = sum_j |x_i - x_j| / 2 |F_ij| + sum_f dist(x_i, f) |V_i n f|.

Bisectors are found simplex by simplex: the plane cuts the simplex, and every other
point takes away what is nearer to it. A facet of the boundary is shared out: it starts
with the point nearest to its centroid, and each other point takes from every piece what
lies on its side. Both are continuous in the points whatever circles or lattices they
form: there is no predicate that rounding could decide wrongly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from isofield.mesh import Mesh
from isofield.voronoi.candidates import candidates
from isofield.voronoi.completion import completed
from isofield.voronoi.cutting import cut, measure, section
from isofield.voronoi.domain import alpha_simplices, hull_simplices, mesh_simplices
from isofield.voronoi.sides import tangent_normals
from isofield.voronoi.surface import surface_measure

if TYPE_CHECKING:
    from scipy.spatial import KDTree

SIMPLICES_AT_ONCE = 1 << 12


def cloud_measure(
    points: Tensor, domain: Mesh | str, neighbours: int, on_boundary: bool = True
) -> Tensor:
    """(N,) the measure of each point in a domain as `from_points` describes it."""
    if points.shape[1] not in (1, 2, 3):
        raise ValueError(
            f"expected points (N, d), d = 1, 2 or 3, got {tuple(points.shape)}"
        )
    lost = int((~torch.isfinite(points)).any(1).sum())
    if lost:
        raise ValueError(f"{lost} of {len(points)} places are not finite")
    if not on_boundary and domain != "alpha":
        raise ValueError(
            'on_boundary: only the domain "alpha" can do without points on the '
            f"boundary, got {domain!r}; leave on_boundary=True"
        )
    if isinstance(domain, Mesh):
        return voronoi_measure(points, torch.tensor(mesh_simplices(domain)))
    if domain not in ("alpha", "hull", "surface"):
        raise ValueError(
            f'domain: expected a mesh, "alpha", "hull" or "surface", got {domain!r}'
        )
    if points.requires_grad:
        raise ValueError(
            f'the domain "{domain}" jumps as the points move, so their weights carry '
            "no gradients: pass a mesh as domain, or points.detach()"
        )
    places = points.double().cpu().numpy()
    if domain == "surface":
        return torch.from_numpy(surface_measure(places, neighbours)).to(points)
    simplices = (alpha_simplices if domain == "alpha" else hull_simplices)(places)
    measure = voronoi_measure(points, torch.from_numpy(simplices))
    if on_boundary:
        return measure
    # a point of no simplex keeps its zero, for which from_points has an error
    whole = completed(places, simplices, measure.double().cpu().numpy())
    return torch.from_numpy(whole).to(points)


def cloud_normals(points: Tensor, neighbours: int) -> Tensor | None:
    """(N, 3) the normals of a cloud on a surface as `from_points` describes them."""
    found = tangent_normals(points.double().cpu().numpy(), neighbours)
    return None if found is None else torch.from_numpy(found).to(points)


def voronoi_measure(points: Tensor, simplices: Tensor) -> Tensor:
    """(N,) the measure of each point's Voronoi cell within a domain.

        w_i = |{x in domain : |x - x_i| <= |x - x_j| for all j}|

    points : (N, d), d = 1, 2 or 3, length, no two at the same place; gradients flow.
    simplices : (S, d + 1, d) corners of simplices that fill the domain and do not
        overlap, in any order; the domain is fixed, without gradients. Nothing is
        assumed of how they lie to the points.

    Computed in float64 on the CPU, exact to rounding; the sum of all w_i is the measure
    of the domain. Once differentiable in the points, with continuous derivatives

        dw_i = sum_j |F_ij| / |x_i - x_j| ((c_ij - x_i) dx_i - (c_ij - x_j) dx_j),

    F_ij the face between two cells and c_ij its centroid. A point that owns no part of
    the domain gets zero.

    Raises `ValueError` for other shapes, for coordinates that are not finite, for two
    points at the same place, and for a domain that requires gradients.
    """
    _check(points, simplices)
    return _Measure.apply(points, simplices)  # type: ignore[return-value]


class _Measure(torch.autograd.Function):
    """The measures, and their derivative from the faces between the cells."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, simplices: Tensor) -> Tensor:
        from scipy.spatial import KDTree

        places = points.detach().double().cpu()
        domain = simplices.double().cpu()
        tree = KDTree(places.numpy(), balanced_tree=False)
        total = places.new_zeros(len(places))
        faces = []
        for block in domain.split(SIMPLICES_AT_ONCE):
            i, j, area, centroid = _faces(_Contest.of(tree, places, block))
            cone = area * (places[i] - places[j]).norm(dim=1) / (2 * places.shape[1])
            total.index_add_(0, i, cone).index_add_(0, j, cone)
            if ctx.needs_input_grad[0]:
                faces.append((i, j, area, centroid))
        facets, inner = _boundary(domain)
        for facet, tip in zip(
            facets.split(SIMPLICES_AT_ONCE), inner.split(SIMPLICES_AT_ONCE), strict=True
        ):
            owner, cone = _boundary_cones(_Contest.of(tree, places, facet), facet, tip)
            total.index_add_(0, owner, cone)
        if faces:
            ctx.save_for_backward(places, *map(torch.cat, zip(*faces, strict=True)))
        return total.to(points)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        places, i, j, area, centroid = ctx.saved_tensors
        (gradient,) = gradients
        given = gradient.double().cpu()
        factor = (given[i] - given[j]) * area / (places[i] - places[j]).norm(dim=1)
        result = torch.zeros_like(places)
        result.index_add_(0, i, factor[:, None] * (centroid - places[i]))
        result.index_add_(0, j, factor[:, None] * (places[j] - centroid))
        return result.to(gradient), None


@dataclass(frozen=True, eq=False)
class _Contest:
    """Simplices, and the points that may own a part of each.

    corners : (S, n, d) and places : (K, d), from the simplex's centroid: small numbers
        wherever the domain lies. centroid : (S, d). origin : (S,).
    number : (K,) of the point. Simplex s has `count[s]` entries from `start[s]` on.
    rounding : (S,) the size of rounding errors in a coordinate.
    """

    corners: Tensor
    centroid: Tensor
    origin: Tensor
    places: Tensor
    number: Tensor
    start: Tensor
    count: Tensor
    rounding: Tensor

    @classmethod
    def of(cls, tree: KDTree, places: Tensor, simplices: Tensor) -> _Contest:
        found = candidates(tree, simplices.numpy())
        corners, origin, number, count = (torch.from_numpy(array) for array in found)
        centroid = corners.mean(dim=1)
        local = places[number] - centroid.repeat_interleave(count, dim=0)
        size = centroid.norm(dim=1) + (corners - centroid[:, None]).norm(dim=2).amax(1)
        return cls(
            corners - centroid[:, None],
            centroid,
            origin,
            local,
            number,
            count.cumsum(0) - count,
            count,
            64 * torch.finfo(places.dtype).eps * size,
        )

    def height(self, corners: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Half of `|x - b|² - |x - a|²` at corners (P, n, d): positive nearer to a."""
        normal = self.places[a] - self.places[b]
        middle = (self.places[a] + self.places[b]) / 2
        height = -(middle * normal).sum(1, keepdim=True)
        for axis in range(corners.shape[2]):
            height = height + corners[:, :, axis] * normal[:, None, axis]
        return height

    def below(self, height: Tensor, simplex: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Which corners count as nearer to b.

        One on the bisector counts for the point with the higher number, in every
        simplex around it: a face of two simplices that lies on a bisector then is cut
        out of one of them, neither of none nor of both.
        """
        near_zero = self.rounding[simplex] * (self.places[a] - self.places[b]).norm(
            dim=1
        )
        b_higher = self.number[b] > self.number[a]
        return height < torch.where(b_higher, near_zero, -near_zero)[:, None]


def _faces(contest: _Contest) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pieces of the faces between cells: the two points, area and centroid of each.

    A piece starts as the section of a simplex by the bisector of two of its points, and
    loses to every other point what is nearer to that.
    """
    simplex, a, b = _pairs(contest)
    height = contest.height(contest.corners[simplex], a, b)
    below = contest.below(height, simplex, a, b)
    found = [
        (rows, part) for rows, part in section(contest.corners[simplex], height, below)
    ]
    rows = torch.cat([simplex[:0], *[rows for rows, _ in found]])
    d = contest.places.shape[1]
    pieces = torch.cat([height.new_zeros(0, d, d), *[part for _, part in found]])
    simplex, a, b = simplex[rows], a[rows], b[rows]
    final = []
    for k in range(int(contest.count.max()) + 1):
        done = contest.count[simplex] <= k
        final.append((pieces[done], simplex[done], a[done], b[done]))
        pieces, simplex, a, b = (x[~done] for x in (pieces, simplex, a, b))
        rival = contest.start[simplex] + k
        height = contest.height(pieces, a, rival)
        height[(rival == a) | (rival == b)] = 0.0
        below = height < 0
        whole = ~below.any(dim=1)
        parts = [(pieces[whole], whole.nonzero()[:, 0])]
        for rows, _, part in cut(pieces, height, below, sides=(False,)):
            parts.append((part, rows))
        pieces = torch.cat([part for part, _ in parts])
        rows = torch.cat([rows for _, rows in parts])
        simplex, a, b = simplex[rows], a[rows], b[rows]
    pieces, simplex, a, b = map(torch.cat, zip(*final, strict=True))
    centroid = pieces.mean(dim=1) + contest.centroid[simplex]
    return contest.number[a], contest.number[b], measure(pieces), centroid


def _pairs(contest: _Contest) -> tuple[Tensor, Tensor, Tensor]:
    """All pairs of points of a simplex: the simplex and the two entries."""
    entry = torch.arange(len(contest.number))
    simplex = torch.repeat_interleave(contest.count)
    before = entry - contest.start[simplex]
    b = entry.repeat_interleave(before)
    first = (before.cumsum(0) - before).repeat_interleave(before)
    a = contest.start[simplex[b]] + torch.arange(len(b)) - first
    return simplex[b], a, b


def _boundary(domain: Tensor) -> tuple[Tensor, Tensor]:
    """Facets (F, d, d) of one simplex alone, and the corner (F, d) opposite to each.

    Facets of two simplices that do not match stay on both sides; their cones cancel.
    """
    n = domain.shape[1]
    others = torch.tensor([[j for j in range(n) if j != i] for i in range(n)])
    _, corner = torch.unique(domain.reshape(-1, n - 1), dim=0, return_inverse=True)
    corner = corner.view(-1, n)[:, others].sort(dim=2).values
    _, facet, count = torch.unique(
        corner.flatten(0, 1), dim=0, return_inverse=True, return_counts=True
    )
    alone = count[facet] == 1
    return domain[:, others].flatten(0, 1)[alone], domain.flatten(0, 1)[alone]


def _boundary_cones(
    contest: _Contest, facets: Tensor, inner: Tensor
) -> tuple[Tensor, Tensor]:
    """The parts of facets by owner, as signed cones with their tip in the owner.

    Positive where the owner lies on the inner side of the facet.
    """
    pieces, simplex = contest.corners, torch.arange(len(contest.corners))
    owner = contest.start
    final = []
    for k in range(1, int(contest.count.max()) + 1):
        done = contest.count[simplex] <= k
        final.append((pieces[done], simplex[done], owner[done]))
        pieces, simplex, owner = pieces[~done], simplex[~done], owner[~done]
        rival = contest.start[simplex] + k
        height = contest.height(pieces, owner, rival)
        below = contest.below(height, simplex, owner, rival)
        taken = below.all(dim=1)
        owner = torch.where(taken, rival, owner)
        kept = taken | ~below.any(dim=1)
        parts = [(pieces[kept], simplex[kept], owner[kept])]
        for rows, side, part in cut(pieces, height, below, sides=(True, False)):
            parts.append((part, simplex[rows], (rival if side else owner)[rows]))
        pieces, simplex, owner = map(torch.cat, zip(*parts, strict=True))
    pieces, simplex, owner = map(torch.cat, zip(*final, strict=True))
    tip = contest.places[owner]
    origin, centroid = contest.origin[simplex], contest.centroid[simplex]
    facet = facets[origin] - centroid[:, None]
    outer = torch.linalg.det(facet - tip[:, None])
    whole = torch.linalg.det(facet - (inner[origin] - centroid)[:, None])
    cone = torch.linalg.det(pieces - tip[:, None]).abs() / math.factorial(tip.shape[1])
    return contest.number[owner], cone * torch.sign(outer) * torch.sign(whole)


def _check(points: Tensor, simplices: Tensor) -> None:
    d = points.shape[-1]
    if points.ndim != 2 or d not in (1, 2, 3) or simplices.shape[1:] != (d + 1, d):
        raise ValueError(
            "expected points (N, d), d = 1, 2 or 3, and simplices (S, d + 1, d), got "
            f"{tuple(points.shape)} and {tuple(simplices.shape)}"
        )
    if not (torch.isfinite(points).all() and torch.isfinite(simplices).all()):
        raise ValueError("points and simplices must be finite")
    if simplices.requires_grad:
        raise ValueError(
            "the domain is fixed: pass simplices.detach(); only points carry gradients"
        )
    if not len(points) or not len(simplices):
        raise ValueError("expected at least one point and one simplex")
    copies = len(points) - len(torch.unique(points.detach(), dim=0))
    if copies:
        raise ValueError(f"{copies} points lie at the place of another point")
