"""Simplices cut by the facets of others."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from isofield.operators import compiled
from isofield.operators.supermesh.boxes import Boxes, overlapping
from isofield.operators.supermesh.splitting import Split
from isofield.voronoi.cutting import cut

AT_ONCE = 1 << 18


def clipped(source: Split, target: Split) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Source and target number, and corners (K, m + 1, m + 1) in the target's λ."""
    found = overlapping(Boxes.around(source.corners), Boxes.around(target.corners))
    yield from _cut(source, target, found)


def _cut(
    source: Split, target: Split, pairs: tuple[Tensor, Tensor]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    to_target, to_source = barycentric(target.corners), barycentric(source.corners)
    for s, t in zip(*(numbers.split(AT_ONCE) for numbers in pairs), strict=True):
        corners = coordinates(
            to_target.index_select(0, t), source.corners.index_select(0, s)
        )
        rows = _not_beyond(corners)
        s, t, corners = s[rows], t[rows], corners[rows]
        others = coordinates(
            to_source.index_select(0, s), target.corners.index_select(0, t)
        )
        rows = _not_beyond(others)
        yield cut_off(s[rows], t[rows], corners[rows])


def measured(source: Split, target: Split) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Source and target number, and the measure of what they share."""
    found = overlapping(Boxes.around(source.corners), Boxes.around(target.corners))
    on_cpu = source.corners.device.type == "cpu"
    if not (on_cpu and compiled.worth(len(found[0]))):
        for s, t, corners in _cut(source, target, found):
            yield s, t, torch.linalg.det(corners).abs() * target.measure[t]
        return
    from isofield.operators.compiled import clipping

    shares = clipping.shares_of_triangles if source.dimension == 2 else clipping.shares
    a, to_a, b, to_b = (
        array.contiguous().numpy()
        for side in (source, target)
        for array in (side.corners, barycentric(side.corners))
    )
    for s, t in zip(*(pairs.split(AT_ONCE) for pairs in found), strict=True):
        share = torch.from_numpy(shares(a, to_a, b, to_b, s.numpy(), t.numpy()))
        rows = (share > 0).nonzero()[:, 0]
        s, t = s[rows], t[rows]
        yield s, t, share[rows] * target.measure[t]


def cut_off(s: Tensor, t: Tensor, corners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is left of simplices above λ_k = 0 for all k."""
    for k in range(corners.shape[2]):
        height = corners[:, :, k]
        below = height < 0
        none = ~below.any(1)
        whole = none.nonzero()[:, 0]
        rows = (~none & (height > 0).any(1)).nonzero()[:, 0]
        parts, numbers = [corners[whole]], [whole]
        for row, _, part in cut(
            corners[rows], height[rows], below[rows], sides=(False,)
        ):
            parts.append(part)
            numbers.append(rows[row])
        number = torch.cat(numbers)
        corners, s, t = torch.cat(parts), s[number], t[number]
    return s, t, corners


def barycentric(corners: Tensor) -> Tensor:
    """(S, m + 1, m + 1) the maps from (x, 1) to barycentric coordinates."""
    one = torch.ones_like(corners[:, :, :1])
    return torch.linalg.inv(torch.cat([corners, one], 2))


def coordinates(inverse: Tensor, points: Tensor) -> Tensor:
    """λ (K, c, m + 1) of points (K, c, m) by the maps of `barycentric`."""
    return torch.baddbmm(inverse[:, -1:], points, inverse[:, :-1])


def _not_beyond(coordinates: Tensor) -> Tensor:
    """Rows of simplices that no single facet separates from the other simplex."""
    return (coordinates.amax(1) > 0).all(1).nonzero()[:, 0]
