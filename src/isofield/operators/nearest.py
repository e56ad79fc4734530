"""The value at the nearest source point."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from isofield.graph import Graph, knn_graph
from isofield.operators.places import Where, points_of
from isofield.operators.sparse import SparseOperator, TransferError


def nearest(
    source: Where,
    target: Where,
    *,
    source_at: str = "points",
    target_at: str = "points",
    max_distance: float | None = None,
    outside: Literal["error", "nan"] = "error",
) -> SparseOperator:
    """Each target takes the value of the nearest source point: `v_i = u_{j(i)}`.

    Keeps the range of values, constants and labels; order 1; from anything to anything
    in the same space. Of sources at the same distance the first counts. Cost
    O((N + M) log N).

    source, target : meshes, discretizations or points (N, d) and (M, d), length.
    source_at, target_at : of a mesh, its "points" or its "cells", at their centroids.
    max_distance : length; targets further than that from every source are an error, or
    NaN with outside="nan". facts["distance"] : (M,) to the source that was taken.

    Raises `TransferError` for targets too far away and for points in spaces of
    different dimension, `ValueError` for points that are not finite.
    """
    if outside not in ("error", "nan"):
        raise ValueError(f"outside: expected 'error' or 'nan', got {outside!r}")
    if max_distance is not None and not max_distance >= 0:
        raise ValueError(f"max_distance: expected a length, got {max_distance}")
    a, b = points_of(source, source_at), points_of(target, target_at)
    check_spaces(a.points, b.points)
    column = nearest_numbers(a.points, b.points)
    distance = (a.points[column] - b.points).norm(dim=1)
    missing = torch.zeros(len(column), dtype=torch.bool, device=column.device)
    if max_distance is not None:
        missing = distance > max_distance
        if outside == "error" and bool(missing.any()):
            raise TransferError(
                f"{int(missing.sum())} of {len(missing)} targets have no source within "
                f"{max_distance:g}, the furthest is {float(distance.max()):.6g} away: "
                "raise max_distance, or pass outside='nan'"
            )
    edges = torch.stack([column, torch.arange(len(column), device=column.device)])
    return SparseOperator(
        Graph(edges, len(a.points), len(b.points)),
        torch.ones_like(distance),
        a.discretization,
        b.discretization,
        "nearest",
        missing,
        {"distance": distance},
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
