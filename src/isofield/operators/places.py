"""Where fields live, whatever it is given as; and the entries of a matrix, sorted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isofield.discretization import Discretization, from_mesh
from isofield.graph import Graph
from isofield.mesh import Mesh, MeshError

Where = Mesh | Discretization | Tensor | np.ndarray


class Places(NamedTuple):
    """points : (N, d) float64. discretization : the points with their measure, None
    where they have none."""

    points: Tensor
    discretization: Discretization | None

    def to(self, device: torch.device) -> Places:
        """The same on another device."""
        found = self.discretization
        moved = None if found is None else found.to(device)
        return Places(self.points.to(device), moved)


def places_of(
    source: Where, target: Where, source_at: str = "points", target_at: str = "points"
) -> tuple[Places, Places]:
    """`points_of` both. Meshes and arrays go to the device of the other, so that an
    operator is made, and lies, where its points are."""
    a, b = points_of(source, source_at), points_of(target, target_at)
    if not isinstance(source, Tensor | Discretization):
        a = a.to(b.points.device)
    elif not isinstance(target, Tensor | Discretization):
        b = b.to(a.points.device)
    return a, b


def points_of(where: Where, at: str = "points") -> Places:
    """The points of a mesh, its cells' centroids, a discretization, or points alone.

    A mesh with points in no cell, or with cells without measure, gives its points
    without a measure: transfers need none, only their adjoints do.

    Raises `ValueError` for another shape and for points that are not finite,
    `MeshError` for the cells of a mesh without measure.
    """
    if isinstance(where, Mesh):
        try:
            found = from_mesh(where, at)
        except MeshError:
            if at == "cells":
                raise
            return Places(_checked(torch.tensor(where.points)), None)
        return Places(_checked(found.points), found)
    if isinstance(where, Discretization):
        doubled = where.to(torch.float64)
        return Places(_checked(doubled.points), doubled)
    return Places(_checked(torch.as_tensor(where).double()), None)


def _checked(points: Tensor) -> Tensor:
    if points.ndim != 2 or points.shape[1] not in (1, 2, 3):
        raise ValueError(
            f"expected points (N, d) with d = 1, 2 or 3, got {tuple(points.shape)}"
        )
    if bool(torch.isfinite(points.sum())):  # so are all terms
        return points
    wrong = ~torch.isfinite(points).all(1)
    if bool(wrong.any()):
        raise ValueError(
            f"{int(wrong.sum())} of {len(points)} points are not finite, the first is "
            f"number {int(wrong.nonzero()[0])}"
        )
    return points


def entries(
    rows: Tensor, columns: Tensor, values: Tensor, n_targets: int, n_sources: int
) -> tuple[Graph, Tensor]:
    """The graph and the values (E,) of a matrix given entry by entry, in any order.

    Entries of one place are added. rows, columns, values : (K,), targets and sources.
    """
    keys = rows * n_sources + columns
    if bool((keys[1:] > keys[:-1]).all()):
        ptr = torch.zeros(n_targets + 1, dtype=torch.int64, device=rows.device)
        torch.cumsum(torch.bincount(rows, minlength=n_targets), 0, out=ptr[1:])
        return Graph(torch.stack([columns, rows]), n_sources, n_targets, ptr), values
    places, total = added(keys, values)
    edges = torch.stack([places % n_sources, places // n_sources])
    return Graph(edges, n_sources, n_targets), total


def added(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct keys (E,), sorted, and the sum of the values (K,) of each."""
    places, number = torch.unique(keys, return_inverse=True)
    return places, values.new_zeros(len(places)).index_add(0, number, values)
