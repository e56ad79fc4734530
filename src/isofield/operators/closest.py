"""The nearest point of lines and triangles, in the plane or in space."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from isofield.graph import knn_graph
from isofield.mesh import Mesh
from isofield.operators.supermesh.boxes import Boxes, overlapping
from isofield.operators.supermesh.splitting import Split, split
from isofield.topology import boundary_facets

AT_ONCE = 1 << 18
AT_ONCE_FAR = 1 << 22  # pairs of a far point and a simplex
NEIGHBOURS = 8  # at a corner
FEW = 512


class Closest(NamedTuple):
    """simplex : (M,) number of the simplex that holds the nearest point. share : (M, m
    + 1) its barycentric coordinates there. distance : (M,), length."""

    simplex: Tensor
    share: Tensor
    distance: Tensor

    def nodes(self, domain: Split) -> tuple[Tensor, Tensor]:
        """(M, k) points of the mesh and their parts in the nearest point."""
        number = self.simplex
        part = torch.einsum("mc,mck->mk", self.share, domain.share[number])
        return domain.nodes[number], part


def boundary(mesh: Mesh) -> Split:
    """The facets of the boundary of a mesh, by the mesh's own point numbers."""
    found = boundary_facets(mesh.cells, mesh.dimension)
    cells = {facets.kind: facets.nodes for facets in found if len(facets.nodes)}
    return split(Mesh(mesh.points, cells))


def closest(domain: Split, points: Tensor, limit: float = math.inf) -> Closest:
    """The nearest point of a set of simplices to each of M points, exactly.

    Of the simplices, that is: bilinear and curved cells are taken by their split, which
    lies O(h^2) from them.

    domain : simplices of dimension m = 1 or 2. points : (M, d). limit : length; a point
    that is surely further gets the distance inf and no simplex, -1. Of simplices at the
    same distance the first counts. The nearest corner bounds the distance, and the tree
    of boxes gives the simplices within that bound; of a point that is further away than
    the domain is large these are many, so few such points are taken at one time.
    """
    corners = _Corners(domain)
    bound, corner = corners.nearest(points)
    first = corners.simplices(corner, 1)[:, 0]
    result = Closest(
        torch.full_like(corner, -1),
        points.new_zeros(len(points), domain.dimension + 1),
        torch.full_like(bound, torch.inf),
    )
    asked = bound <= limit + _side(domain)
    far = bound > _extent(domain)
    some = max(1, AT_ONCE_FAR // len(domain.corners))
    for rows, most in ((asked & ~far, AT_ONCE), (asked & far, some)):
        for block in rows.nonzero()[:, 0].split(most):
            found = _closest(domain, points[block], bound[block], first[block])
            for whole, part in zip(result, found, strict=True):
                whole[block] = part
    return result


def furthest(domain: Split, points: Tensor) -> float:
    """The largest of the distances of M points from a set of simplices, exactly.

    The nearest corner is nearer than the distance and a side of a simplex together, and
    the simplices at it bound the distance from above; the points that are left are
    looked at from the largest bound on, until the next is below what was found.
    """
    corners = _Corners(domain)
    gap, corner = corners.nearest(points)
    kept = gap >= gap.max() - _side(domain)
    points, simplex = points[kept], corners.simplices(corner[kept], NEIGHBOURS)
    some = AT_ONCE // NEIGHBOURS
    bound = torch.cat(
        [
            _distances(domain.corners[j], x[:, None].expand(-1, NEIGHBOURS, -1))
            for j, x in zip(simplex.split(some), points.split(some), strict=True)
        ]
    )
    order = torch.argsort(bound, descending=True)
    largest = 0.0
    for block in order.split(FEW):
        if float(bound[block[0]]) <= largest:
            break
        largest = max(largest, float(closest(domain, points[block]).distance.max()))
    return largest


class _Corners:
    """The distinct corners of S simplices, and the simplices at each."""

    def __init__(self, domain: Split) -> None:
        flat = domain.corners.flatten(0, 1)
        order = torch.arange(len(flat), device=flat.device)
        for column in flat.unbind(1):
            order = order[torch.argsort(column[order], stable=True)]
        new = torch.ones_like(order, dtype=torch.bool)
        new[1:] = (flat[order].diff(dim=0) != 0).any(1)
        self.points = flat[order[new]]
        self.order = order // (domain.dimension + 1)
        starts = new.nonzero()[:, 0]
        self.ptr = torch.cat([starts, torch.full_like(starts[:1], len(flat))])

    def nearest(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """(M,) distances to the nearest corner, and its number."""
        number = knn_graph(self.points, points, 1).source
        return (self.points[number] - points).norm(dim=1), number

    def simplices(self, number: Tensor, most: int) -> Tensor:
        """(M, most) simplices at corners (M,); the last again where there are fewer."""
        more = torch.arange(most, device=number.device)
        place = self.ptr[number][:, None] + more
        return self.order[torch.minimum(place, self.ptr[number + 1][:, None] - 1)]


def _side(domain: Split) -> float:
    """The longest side of a simplex."""
    sides = domain.corners[:, :, None] - domain.corners[:, None]
    return float(sides.norm(dim=3).max())


def _extent(domain: Split) -> float:
    corners = domain.corners.flatten(0, 1)
    return float((corners.amax(0) - corners.amin(0)).max())


def _distances(corners: Tensor, x: Tensor) -> Tensor:
    """(K,) the smallest distance of x (K, k, d) from simplices (K, k, m + 1, d)."""
    shape = x.shape[:2]
    corners, x = corners.flatten(0, 1), x.flatten(0, 1)
    at = torch.einsum("kc,kcd->kd", shares(corners, x), corners)
    return (at - x).norm(dim=1).view(shape).amin(1)


def shares(corners: Tensor, x: Tensor) -> Tensor:
    """(K, m + 1) barycentric coordinates of the point of simplices (K, m + 1, d), one
    for each x (K, d), that is nearest to it."""
    return (_on_line if corners.shape[1] == 2 else _on_triangle)(corners, x)


def _closest(domain: Split, points: Tensor, bound: Tensor, first: Tensor) -> Closest:
    corners = domain.corners
    reach = bound * (1 + 1e-12)
    i, j = overlapping(Boxes(points, points, reach), Boxes.around(corners))
    # a simplex at the nearest corner, too, where rounding leaves no other
    every = torch.arange(len(points), device=points.device)
    i, j = torch.cat([i, every]), torch.cat([j, first])
    share = shares(corners[j], points[i])
    at = torch.einsum("kc,kcd->kd", share, corners[j])
    distance = (at - points[i]).norm(dim=1)
    order = torch.argsort(j, stable=True)
    order = order[torch.argsort(distance[order], stable=True)]
    order = order[torch.argsort(i[order], stable=True)]
    start = torch.searchsorted(i[order].contiguous(), every)
    best = order[start]
    return Closest(j[best], share[best], distance[best])


def _on_line(corners: Tensor, x: Tensor) -> Tensor:
    """(K, 2) barycentric coordinates of the nearest point of segments (K, 2, d)."""
    edge = corners[:, 1] - corners[:, 0]
    length = (edge * edge).sum(1)
    along = ((x - corners[:, 0]) * edge).sum(1)
    t = torch.where(length > 0, along / length, 0.0).clamp(0, 1)
    return torch.stack([1 - t, t], 1)


def _on_triangle(corners: Tensor, x: Tensor) -> Tensor:
    """(K, 3) of triangles (K, 3, d): the foot of the normal, or the nearest side."""
    edges = corners[:, 1:] - corners[:, :1]
    gram = edges @ edges.mT
    right = torch.einsum("kcd,kd->kc", edges, x - corners[:, 0])
    det = gram[:, 0, 0] * gram[:, 1, 1] - gram[:, 0, 1] ** 2
    safe = torch.where(det > 0, det, 1.0)
    b = (gram[:, 1, 1] * right[:, 0] - gram[:, 0, 1] * right[:, 1]) / safe
    c = (gram[:, 0, 0] * right[:, 1] - gram[:, 0, 1] * right[:, 0]) / safe
    inner = torch.stack([1 - b - c, b, c], 1)
    within = (det > 0) & (inner >= 0).all(1)
    best = torch.where(within[:, None], inner, torch.nan)
    nearest = torch.where(within, 0.0, torch.inf)
    for a, b_ in ((0, 1), (1, 2), (2, 0)):
        side = torch.stack([corners[:, a], corners[:, b_]], 1)
        part = _on_line(side, x)
        at = torch.einsum("kc,kcd->kd", part, side)
        distance = (at - x).norm(dim=1)
        share = torch.zeros_like(inner)
        share[:, a], share[:, b_] = part.T
        nearer = ~within & (distance < nearest)
        best = torch.where(nearer[:, None], share, best)
        nearest = torch.where(nearer, distance, nearest)
    return best
