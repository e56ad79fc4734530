"""Interpolation by the shape functions of the cells."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh, MeshError
from isofield.operators import compiled
from isofield.operators.closest import closest
from isofield.operators.inverses import added_up
from isofield.operators.location import Located, locate
from isofield.operators.nearest import check_spaces
from isofield.operators.outside import (
    check_outside,
    furthest_allowed,
    hull,
    is_surface,
    off_surface,
)
from isofield.operators.places import Where, entries, places_of
from isofield.operators.shapes import Shapes
from isofield.operators.sparse import SparseOperator
from isofield.operators.supermesh.splitting import Split

Triplets = tuple[Tensor, Tensor, Tensor]


def linear(
    source: Mesh,
    target: Where,
    *,
    target_at: str = "points",
    outside: Literal["error", "nearest", "nan"] = "error",
    max_distance: float | None = None,
) -> SparseOperator:
    """Values at points by the shape functions of the cell that holds each.

        v_i = sum_n N_n(xi_i) u_n,   x(xi_i) = x_i

    with the element's own functions: linear, bilinear and trilinear ones, those of
    wedges and pyramids, and quadratic ones. Keeps constants and linear fields to
    rounding (quadratic ones on straight quadratic cells), and the range on linear
    simplices. Order 2; 3 on quadratic cells (2 on serendipity cells whose sides are not
    parallel). Cost O((N + M) log N).

    source : a mesh with values at its points. target : a mesh, a discretization or
    points (M, d). outside : what a point in no cell gets: an error with their count and
    the largest distance, the value at the nearest point of the boundary, or NaN.

    On a surface (a curve) in space, each target takes the value at the nearest point of
    the surface, linear on the simplices of its cells, so of order 2. max_distance :
    length, how far it may be; where it is not given, targets lie on the surface up to
    rounding, or anywhere with outside="nearest". Beyond it they are outside. For meshes
    that fill their space it limits outside="nearest".

    facts["outside"] : (M,) the distance to the source, 0 within; inf where
    outside="nan" asks for no distance or the target is far from the surface.

    Raises `TransferError` for targets outside, and for another number of coordinates.
    """
    if outside not in ("error", "nearest", "nan"):
        raise ValueError(
            f"outside: expected 'error', 'nearest' or 'nan', got {outside!r}"
        )
    if not isinstance(source, Mesh) or source.dimension < 1:
        raise MeshError(
            "linear needs a source mesh with cells; for points alone take "
            "`moving_least_squares` or `nearest`"
        )
    given, wanted = places_of(source, target, target_at=target_at)
    check_spaces(given.points, wanted.points)
    points = wanted.points
    if is_surface(source):
        limit = furthest_allowed(source, outside, max_distance)
        parts, distance = _projected(hull(source, points.device), points, limit)
        missing = distance > limit
        distance = off_surface(source, distance)
    else:
        located = locate(source, points)
        parts = _shape_functions(source, located)
        missing = located.block < 0
        distance = torch.where(missing, torch.inf, torch.zeros_like(points[:, 0]))
        if outside == "nearest" and bool(missing.any()):
            far = missing.nonzero()[:, 0]
            limit = math.inf if max_distance is None else max_distance
            surface = hull(source, points.device)
            found, distance[far] = _projected(surface, points[far], limit)
            rows = torch.cat([parts[0], far[found[0]]])
            parts = (
                rows,
                torch.cat([parts[1], found[1]]),
                torch.cat([parts[2], found[2]]),
            )
    check_outside(source, points, missing, distance, outside, max_distance)
    if outside == "nearest":
        missing = torch.zeros_like(missing)
    graph, values = entries(*parts, len(points), len(given.points))
    return SparseOperator(
        graph,
        values,
        given.discretization,
        wanted.discretization,
        "linear",
        missing,
        {"outside": distance},
    )


def _shape_functions(mesh: Mesh, located: Located) -> Triplets:
    """Rows, columns and values for all points that lie in a cell."""
    parts = []
    for number, kind in enumerate(located.kinds):
        if CELL_TYPES[kind].nodes == mesh.dimension + 1:
            parts.append(_barycentric(mesh.cells[kind], located, number))
            continue
        rows = (located.block == number).nonzero()[:, 0]
        shape = Shapes(kind, rows.device)(located.reference[rows])
        nodes = torch.tensor(mesh.cells[kind], device=rows.device)[located.cell[rows]]
        parts.append(_flattened(rows, nodes, shape))
    if len(parts) == 1:
        return parts[0]
    rows, columns, values = (torch.cat(x) for x in zip(*parts, strict=True))
    return rows, columns, values


def _barycentric(cells: np.ndarray, located: Located, number: int) -> Triplets:
    """The same for linear simplices, each point's entries sorted by their column."""
    cell = torch.where(located.block == number, located.cell, -1)
    if cell.device.type == "cpu" and compiled.worth(len(cell)):
        from isofield.operators.compiled import barycentric

        found = barycentric.rows(cells, cell.numpy(), located.reference.numpy())
        rows, columns, values = (torch.from_numpy(array) for array in found)
        return rows, columns, values
    nodes, place = torch.tensor(cells, device=cell.device).sort(1)
    rows = (cell >= 0).nonzero()[:, 0]
    cell, xi = cell[rows], located.reference[rows]
    values = torch.cat([1 - added_up(xi)[:, None], xi], 1)
    values = values.gather(1, place.index_select(0, cell))
    return _flattened(rows, nodes.index_select(0, cell), values)


def _projected(
    domain: Split, points: Tensor, limit: float = math.inf
) -> tuple[Triplets, Tensor]:
    """Entries for the nearest points of simplices, and the distances (M,)."""
    found = closest(domain, points, limit)
    nodes, share = found.nodes(domain)
    rows = torch.arange(len(points), device=points.device)
    return _flattened(rows, nodes, share), found.distance


def _flattened(rows: Tensor, nodes: Tensor, values: Tensor) -> Triplets:
    kept = values != 0
    if bool(kept.all()):
        rows = rows.repeat_interleave(nodes.shape[1])
        return rows, nodes.flatten(), values.flatten()
    return rows[:, None].expand_as(nodes)[kept], nodes[kept], values[kept]
