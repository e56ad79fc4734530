"""Overlaps of two triangulations of one surface in space."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from isofield.operators.supermesh.boxes import Boxes, overlapping
from isofield.operators.supermesh.clipping import AT_ONCE, cut_off
from isofield.operators.supermesh.splitting import Split

SAME_SHEET = 0.5  # the cosine of 60 degrees between normals
MARGIN = 0.5  # how far from a simplex the other surface may lie, in its largest side
WHOLE = 0.8  # the share of a cell above which the rest is taken for curvature


def clipped_on_surface(
    source: Split, target: Split
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Source and target number, and corners (K, m + 1, m + 1) in the target's λ.

    The source is projected along the normal of the target simplex, where both lie on
    the same sheet: their boxes, grown by half of their size, meet, and their normals
    differ by less than 60 degrees up to the sign.
    """
    found = overlapping(
        Boxes.around(source.corners, MARGIN), Boxes.around(target.corners, MARGIN)
    )
    normals = [_directions(domain) for domain in (source, target)]
    for s, t in zip(*(pairs.split(AT_ONCE) for pairs in found), strict=True):
        kept = (normals[0][s] * normals[1][t]).sum(1).abs() > SAME_SHEET
        s, t = s[kept], t[kept]
        corners = projected(source, s, target, t)
        rows = (corners.amax(1) > 0).all(1).nonzero()[:, 0]
        yield cut_off(s[rows], t[rows], corners[rows])


def projected(source: Split, s: Tensor, target: Split, t: Tensor) -> Tensor:
    """(K, m + 1, m + 1) source corners in the λ of the simplices they project to."""
    offset = source.corners[s] - target.corners[t, :1]
    inner = torch.einsum("kcd,kbd->kcb", offset, _projections(target.corners[t]))
    return torch.cat([1 - inner.sum(2, keepdim=True), inner], 2)


def given_in_full(columns: Tensor, values: Tensor, column_sums: Tensor) -> Tensor:
    """(K,) shares of what each source gives, scaled to sum to all that it has.

    Two triangulations of one surface lie apart by O(h^2), and so do the areas of a cell
    and of its projection. A source of which less than `WHOLE` arrives lies at an edge
    that the target does not reach: it keeps what arrives.
    """
    arrived = torch.zeros_like(column_sums).index_add(0, columns, values)
    whole = arrived > WHOLE * column_sums
    return values * torch.where(whole, column_sums / arrived, 1.0)[columns]


def _projections(corners: Tensor) -> Tensor:
    """(S, m, d) the gradients of the barycentric coordinates 1 to m."""
    edges = (corners[:, 1:] - corners[:, :1]).mT
    return torch.linalg.pinv(edges)


def _directions(domain: Split) -> Tensor:
    """(S, d) unit normals of triangles, unit tangents of lines."""
    edges = domain.corners[:, 1:] - domain.corners[:, :1]
    if domain.dimension == 2:
        normal = torch.linalg.cross(edges[:, 0], edges[:, 1])
        return normal / normal.norm(dim=1, keepdim=True)
    tangent = edges[:, 0]
    return tangent / tangent.norm(dim=1, keepdim=True)
