"""The nearest points of a boundary to many points that may lie far from it."""

from __future__ import annotations

import torch
from torch import Tensor

from isofield.graph import knn_graph
from isofield.operators.closest import Closest, closest, shares
from isofield.operators.supermesh.splitting import Split

# corners that are looked at, and points at a time
CORNERS = 12
AT_ONCE = 1 << 14


def nearest_in(domain: Split, points: Tensor) -> Closest:
    """`closest` of M points, in the memory of some of them at a time.

    The boxes of `closest` tell little at a distance δ from a boundary: in space about
    δ/h of them are as near as the nearest simplex. Corners tell more. For y in a
    simplex with the corners v, `sum λ_v |x - v|² = |x - y|² + sum λ_v |v - y|²`, and
    the last sum is at most R², R the radius of the least ball around the simplex:
    simplices none of whose corners is nearer than D are no nearer than √(D² - R²). So
    those at corners nearer than √(d² + R²) are enough, d the distance to the simplices
    at the nearest corner. Points for which these corners are more than `CORNERS` ask
    `closest`.
    """
    flat, number = torch.unique(
        domain.corners.flatten(0, 1), dim=0, return_inverse=True
    )
    k = min(CORNERS, len(flat))
    order = torch.argsort(number, stable=True)
    at_corner = order // domain.corners.shape[1]
    ptr = torch.searchsorted(number[order], torch.arange(len(flat) + 1))
    room = float(_radius(domain.corners).max()) ** 2 * (1 + 1e-9)
    parts = []
    for block in points.split(AT_ONCE):
        graph = knn_graph(flat, block, k)
        corner = graph.source.view(-1, k)
        gap = (flat[corner] - block[:, None]).square().sum(2)
        gap, place = gap.sort(dim=1, stable=True)
        corner = corner.gather(1, place)
        first = _best(domain, block, corner[:, :1], gap[:, :1] >= 0, at_corner, ptr)
        reach = (first.distance.square() * (1 + 1e-9) + room)[:, None]
        found = _best(domain, block, corner, gap <= reach, at_corner, ptr)
        lost = (gap[:, -1:] <= reach)[:, 0] & (k < len(flat))
        if bool(lost.any()):
            for whole, part in zip(found, closest(domain, block[lost]), strict=True):
                whole[lost] = part
        parts.append(found)
    return Closest(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _best(
    domain: Split,
    points: Tensor,
    corner: Tensor,
    chosen: Tensor,
    at_corner: Tensor,
    ptr: Tensor,
) -> Closest:
    """The nearest simplex among those at the chosen corners (M, k); of equals the
    first."""
    row, column = chosen.nonzero(as_tuple=True)
    node = corner[row, column]
    count = ptr[node + 1] - ptr[node]
    start = (ptr[node] - (count.cumsum(0) - count)).repeat_interleave(count)
    simplex = at_corner[start + torch.arange(len(start))]
    key = row.repeat_interleave(count) * len(domain.corners) + simplex
    key = torch.unique(key)
    row, simplex = key // len(domain.corners), key % len(domain.corners)
    share = shares(domain.corners[simplex], points[row])
    at = torch.einsum("ec,ecd->ed", share, domain.corners[simplex])
    distance = (at - points[row]).norm(dim=1)
    least = torch.full_like(points[:, 0], torch.inf)
    least = least.scatter_reduce(0, row, distance, "amin")
    e = (distance == least[row]).nonzero()[:, 0]
    best = torch.full((len(points),), len(row))
    best = best.scatter_reduce(0, row[e], e, "amin")
    return Closest(simplex[best], share[best], distance[best])


def _radius(corners: Tensor) -> Tensor:
    """(S,) of a ball that holds a simplex of dimension m: its longest side times
    √(m / (2 m + 2)) (Jung 1901)."""
    m = corners.shape[1] - 1
    sides = (corners[:, :, None] - corners[:, None]).norm(dim=3).amax((1, 2))
    return sides * (m / (2 * m + 2)) ** 0.5
