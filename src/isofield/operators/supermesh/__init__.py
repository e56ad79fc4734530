"""The supermesh: all intersections of the cells of two meshes, cut into simplices.

A source simplex is written in the barycentric coordinates λ of a target simplex, in
which the facets of the target are the planes λ_k = 0: what lies below one of them is
cut off, facet by facet, and the rest is a set of simplices. Their measure is
`|det λ| |T|`, λ the matrix of the coordinates of the corners.

P. E. Farrell and J. R. Maddison 2011, doi:10.1016/j.cma.2010.07.015.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from isofield.operators.supermesh.clipping import (
    barycentric,
    clipped,
    coordinates,
    measured,
)
from isofield.operators.supermesh.splitting import (
    Split,
    cell_centroids,
    cell_measures,
    split,
)
from isofield.operators.supermesh.surfaces import (
    clipped_on_surface,
    given_in_full,
    projected,
)

__all__ = [
    "Pieces",
    "Split",
    "cell_centroids",
    "cell_measures",
    "given_in_full",
    "overlaps",
    "pieces",
    "split",
]


class Pieces(NamedTuple):
    """K simplices, each within one source and one target simplex.

    source, target : (K,) numbers of simplices. in_target, in_source : (K, m + 1, m + 1)
    barycentric coordinates of the corners in the two. measure : (K,), positive.
    """

    source: Tensor
    target: Tensor
    in_target: Tensor
    in_source: Tensor
    measure: Tensor


def pieces(source: Split, target: Split) -> Iterator[Pieces]:
    """All intersections of source with target simplices, in parts.

    Together they tile the intersection of the domains, to rounding. On surfaces in
    space the source is projected along the normals of the target.
    """
    flat = _flat(source)
    to_source = barycentric(source.corners) if flat else None
    for s, t, in_target in (clipped if flat else clipped_on_surface)(source, target):
        if to_source is None:
            in_source = torch.linalg.solve(
                projected(source, s, target, t), in_target, left=False
            )
        else:
            x = torch.bmm(in_target, target.corners.index_select(0, t))
            in_source = coordinates(to_source.index_select(0, s), x)
        measure = torch.linalg.det(in_target).abs() * target.measure[t]
        kept = (measure > 0).nonzero()[:, 0]
        yield Pieces(s[kept], t[kept], in_target[kept], in_source[kept], measure[kept])


def overlaps(source: Split, target: Split) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """`pieces` without where they are: source (K,), target (K,), measure (K,)."""
    if _flat(source):
        yield from measured(source, target)
        return
    for s, t, corners in clipped_on_surface(source, target):
        yield s, t, torch.linalg.det(corners).abs() * target.measure[t]


def _flat(domain: Split) -> bool:
    return domain.corners.shape[2] == domain.dimension
