"""How thick a body is behind each point of its boundary."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from isofield.features.names import FeatureError
from isofield.operators.supermesh.boxes import Boxes, overlapping
from isofield.operators.supermesh.splitting import Split

# pieces of a ray along the largest extent, each looked up in the tree of boxes
PIECES = 32
# pairs of a ray and a simplex that are tried together
AT_ONCE = 1 << 18
# how far beyond a facet, in its size, a ray still meets it: rounding, so that none
# slips through between two facets
SLACK = 1e-9


def thickness(domain: Split, points: Tensor, normals: Tensor) -> Tensor:
    """(N,) the distance to the opposite side of a closed boundary; length.

        t(p) = min {s > 0 : p - s n(p) in ∂Ω}

    domain : the simplices of ∂Ω, those of lines in the plane, triangles in space.
    points : (N, d), those that `domain.nodes` number. normals : (N, d) outward.
    Simplices at p itself do not count.

    The error is O(h²), and O(h) where the normals have that error; t jumps where the
    opposite side begins or ends, and there it is one or the other.

    Raises `FeatureError` where a ray meets nothing: the boundary is open.
    """
    extent = (domain.corners.flatten(0, 1).amax(0) - points.amin(0)).max()
    step = float(extent) / PIECES
    boxes = Boxes.around(domain.corners, SLACK)
    result = torch.full_like(points[:, 0], torch.inf)
    for piece in range(math.ceil(PIECES * math.sqrt(points.shape[1])) + 1):
        left = (~result.isfinite()).nonzero()[:, 0]
        if not len(left):
            break
        begin = points[left] - piece * step * normals[left]
        end = begin - step * normals[left]
        low, high = torch.minimum(begin, end), torch.maximum(begin, end)
        i, j = overlapping(Boxes(low, high), boxes)
        i = left[i]
        furthest = (piece + 1) * step * (1 + SLACK)
        for p, t in zip(i.split(AT_ONCE), j.split(AT_ONCE), strict=True):
            s = _meeting(points[p], -normals[p], domain.corners[t])
            apart = (domain.nodes[t] != p[:, None]).all(1)
            s = torch.where(apart & (s <= furthest), s, torch.inf)
            result = result.scatter_reduce(0, p, s, "amin")
    if not bool(result.isfinite().all()):
        lost = (~result.isfinite()).nonzero()[:, 0]
        raise FeatureError(
            f"behind {len(lost)} of {len(points)} points of the boundary, the first is "
            f"at {points[lost[0]].tolist()}, there is no opposite side: the boundary "
            "is open there, or its cells are not oriented outward"
        )
    return result


def _meeting(start: Tensor, direction: Tensor, corners: Tensor) -> Tensor:
    """(P,) the s > 0 at which rays start + s direction meet simplices (P, d, d), inf
    where they do not."""
    edges = corners[:, 1:] - corners[:, :1]
    matrix = torch.cat([-direction[:, None], edges], 1).mT
    det = torch.linalg.det(matrix)
    size = edges.norm(dim=2).prod(1)
    parallel = det.abs() <= SLACK * size
    matrix = torch.where(
        parallel[:, None, None], torch.eye(matrix.shape[1]).to(matrix), matrix
    )
    found = torch.linalg.solve(matrix, start - corners[:, 0])
    s, share = found[:, 0], found[:, 1:]
    inside = (share >= -SLACK).all(1) & (share.sum(1) <= 1 + SLACK)
    return torch.where(inside & ~parallel & (s > 0), s, torch.inf)
