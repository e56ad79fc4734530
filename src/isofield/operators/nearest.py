"""The value at the nearest source point."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from isofield.graph import Graph, knn_graph
from isofield.mesh import Mesh
from isofield.operators.outside import outside_of
from isofield.operators.places import Where, places_of
from isofield.operators.sparse import SparseOperator, TransferError


def nearest(
    source: Where,
    target: Where,
    *,
    source_at: str = "points",
    target_at: str = "points",
    max_distance: float | None = None,
    outside: Literal["error", "nearest", "nan"] = "error",
) -> SparseOperator:
    """Each target takes the value of the nearest source point: `v_i = u_{j(i)}`.

    Keeps the range of values, constants and labels; order 1; from anything to anything
    in the same space. Of sources at the same distance the first counts. Cost
    O((N + M) log N).

    source, target : meshes, discretizations or points (N, d) and (M, d), length.
    source_at, target_at : of a mesh, its "points" or its "cells", at their centroids.
    outside : what a target outside of the source gets: an error with their count and
    the largest distance, the nearest value all the same, or NaN. max_distance : length.

    Outside of a mesh with cells is what lies in none of them, or off a surface, as for
    `linear`, with the same max_distance. Points have no cells: outside of them is a
    target further from its source than max_distance, or, where it is not given, than
    that source is from its 6d-th neighbour.

    facts["distance"] : (M,) to the source point that was taken. facts["outside"] : (M,)
    the distance to the source, 0 within; inf where outside="nan" asks for no distance.

    Raises `TransferError` for targets outside and for points in spaces of different
    dimension, `ValueError` for points that are not finite.
    """
    if outside not in ("error", "nearest", "nan"):
        raise ValueError(
            f"outside: expected 'error', 'nearest' or 'nan', got {outside!r}"
        )
    if max_distance is not None and not max_distance >= 0:
        raise ValueError(f"max_distance: expected a length, got {max_distance}")
    a, b = places_of(source, target, source_at, target_at)
    check_spaces(a.points, b.points)
    column = nearest_numbers(a.points, b.points)
    distance = (a.points[column] - b.points).norm(dim=1)
    if isinstance(source, Mesh) and source.dimension > 0:
        missing, gap = outside_of(source, b.points, outside, max_distance)
    else:
        missing = _apart(a.points, column, distance, max_distance)
        gap = torch.where(missing, distance, 0.0)
        _check_apart(gap, missing, outside, max_distance)
    edges = torch.stack([column, torch.arange(len(column), device=column.device)])
    return SparseOperator(
        Graph(edges, len(a.points), len(b.points)),
        torch.ones_like(distance),
        a.discretization,
        b.discretization,
        "nearest",
        missing if outside == "nan" else torch.zeros_like(missing),
        {"distance": distance, "outside": gap},
    )


def spacing(source: Tensor, number: Tensor) -> Tensor:
    """(K,) the distance from sources of these numbers to their 6d-th neighbour."""
    k = min(6 * source.shape[1] + 1, len(source))
    return _last_of(source, source[number], k)


def _last_of(source: Tensor, target: Tensor, k: int) -> Tensor:
    """(K,) the distance from each target to its k-th source."""
    near = knn_graph(source, target, k)
    gap = (source[near.source] - target[near.target]).norm(dim=1)
    return torch.zeros_like(target[:, 0]).scatter_reduce(0, near.target, gap, "amax")


def _apart(
    source: Tensor, column: Tensor, distance: Tensor, max_distance: float | None
) -> Tensor:
    """(M,) bool, the targets that are too far from the source that they take."""
    if max_distance is not None:
        return distance > max_distance
    # the first neighbour is never further than the 6d-th, and found sooner
    used, place = torch.unique(column, return_inverse=True)
    apart = distance > _last_of(source, source[used], min(2, len(source)))[place]
    rows = apart.nonzero()[:, 0]
    if len(rows):
        used, place = torch.unique(column[rows], return_inverse=True)
        apart[rows] = distance[rows] > spacing(source, used)[place]
    return apart


def _check_apart(
    gap: Tensor, missing: Tensor, outside: str, max_distance: float | None
) -> None:
    if not bool(missing.any()) or outside == "nan":
        return
    if outside == "nearest" and max_distance is None:
        return
    within = "in reach" if max_distance is None else f"within {max_distance:g}"
    other = "" if outside == "nearest" else "outside='nearest' or "
    raise TransferError(
        f"{int(missing.sum())} of {len(missing)} targets have no source {within}, the "
        f"furthest is {float(gap.max()):.6g} away: pass a larger max_distance, "
        f"{other}outside='nan'"
    )


def nearest_numbers(source: Tensor, target: Tensor) -> Tensor:
    """(M,) the number of the nearest source point of each target."""
    return knn_graph(source, target, 1).source


def check_spaces(source: Tensor, target: Tensor) -> None:
    """Raises `TransferError` unless both have points in the same space."""
    if source.shape[1] != target.shape[1]:
        raise TransferError(
            f"the source lies in {source.shape[1]}-D and the target in "
            f"{target.shape[1]}-D: give both the same number of coordinates, for "
            "instance read a planar mesh with dimension=3, or drop the third "
            "coordinate of the other"
        )
    if not len(source):
        raise TransferError("the source has no points")
