"""The mesh: points, cells of several types side by side, fields and named regions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from isofield import regions
from isofield.cells import CELL_TYPES
from isofield.checking import (
    MeshError,
    check_facets,
    checked_cells,
    checked_data,
    checked_sets,
    read_only,
    real_points,
)
from isofield.refinement import refine
from isofield.topology import boundary_facets, coincident, first_numbers, joined
from isofield.validation import Report, inspect


@dataclass(frozen=True, eq=False)
class Mesh:
    """Points, cells and fields as a solver wrote them.

    points : (N, d), d = 2 or 3, float64, in the file's unit of length.
    cells : cell type -> (T_k, n_k) int64, node numbers in VTK's order.
    point_data : name -> (N, ...), any rank, any numeric type.
    cell_data : name -> (T, ...) over all cells, T = sum of T_k, in the order
        of `cells`.
    field_data : name -> array or text that belongs to the whole mesh. The unit of a
        field is the text under `"unit:<name>"`.
    point_sets : name -> (k,) int64 point numbers.
    cell_sets : name -> (k,) int64 cell numbers, counted over all cells as cell_data.
    facet_sets : name -> (k, 2) int64 pairs (cell number, facet number in its type).

    Arrays are read-only and in this machine's byte order; `with_point_data`, `refined`
    and the like return new meshes.

    Raises `MeshError` where shapes, cell types, node numbers or lengths do not fit.
    """

    points: np.ndarray
    cells: Mapping[str, np.ndarray] = field(default_factory=dict)
    point_data: Mapping[str, np.ndarray] = field(default_factory=dict)
    cell_data: Mapping[str, np.ndarray] = field(default_factory=dict)
    field_data: Mapping[str, Any] = field(default_factory=dict)
    point_sets: Mapping[str, np.ndarray] = field(default_factory=dict)
    cell_sets: Mapping[str, np.ndarray] = field(default_factory=dict)
    facet_sets: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        points = read_only(np.ascontiguousarray(real_points(self.points)))
        if points.ndim != 2 or points.shape[1] not in (2, 3):
            raise MeshError(f"points: expected (N, 2) or (N, 3), got {points.shape}")
        cells = {
            kind: checked_cells(kind, nodes, len(points))
            for kind, nodes in self.cells.items()
        }
        total = sum(len(nodes) for nodes in cells.values())
        checked = {
            "points": points,
            "cells": cells,
            "point_data": checked_data(self.point_data, "point_data", len(points)),
            "cell_data": checked_data(self.cell_data, "cell_data", total),
            "field_data": dict(self.field_data),
            "point_sets": checked_sets(self.point_sets, "point_sets", len(points)),
            "cell_sets": checked_sets(self.cell_sets, "cell_sets", total),
            "facet_sets": checked_sets(self.facet_sets, "facet_sets", total, 2),
        }
        check_facets(checked["facet_sets"], cells)
        for name, value in checked.items():
            value = MappingProxyType(value) if isinstance(value, dict) else value
            object.__setattr__(self, name, value)

    @property
    def dimension(self) -> int:
        """The highest dimension among the cells; -1 where there are none."""
        kinds = [kind for kind, nodes in self.cells.items() if len(nodes)]
        return max((CELL_TYPES[kind].dimension for kind in kinds), default=-1)

    def with_point_data(self, fields: Mapping[str, np.ndarray]) -> Mesh:
        """The same mesh with these point fields added or replaced."""
        return replace(self, point_data={**self.point_data, **fields})

    def with_cell_data(self, fields: Mapping[str, np.ndarray]) -> Mesh:
        """The same mesh with these cell fields added or replaced."""
        return replace(self, cell_data={**self.cell_data, **fields})

    @property
    def top_cells(self) -> np.ndarray:
        """Numbers of the cells of the highest dimension, those that carry measure."""
        return np.flatnonzero(_dimensions(self.cells) == self.dimension)

    def of_dimension(self, dimension: int) -> Mesh:
        """The cells of one dimension alone, and the points that they use."""
        return _part(self, _dimensions(self.cells) == dimension)

    def validate(self) -> Report:
        """What is wrong with points, cells and fields; changes nothing."""
        return inspect(self.points, self.cells, self.point_data, self.cell_data)

    def mended(self, tolerance: float | None = 0.0) -> tuple[Mesh, tuple[str, ...]]:
        """A mended copy, and one line for each thing that was done.

        In this order: points that coincide become one; inverted cells are turned round;
        cells of zero measure are dropped; points in no cell are dropped. Fields and
        sets follow. What is folded or not finite cannot be mended: `validate` still
        says so.

        tolerance : the distance up to which points coincide, length. 0: bit-equal
            coordinates, and only where all point fields are equal as well, so that a
            field that jumps keeps its two values. Above 0: the fields of the point with
            the lowest number stay. None: no points are merged (contact faces, cracks).
        """
        mesh, done = self, []
        if tolerance is not None:
            mesh = _merged(self, tolerance)
            merged = len(self.points) - len(mesh.points)
            done += [f"merged {merged} points into others"] if merged else []
        report = mesh.validate()
        if len(report.inverted_cells):
            mesh = _turned(mesh, report.inverted_cells)
            done.append(f"turned {len(report.inverted_cells)} inverted cells round")
        if len(report.zero_cells):
            done.append(f"dropped {len(report.zero_cells)} cells of zero measure")
        if len(report.zero_cells) or len(report.orphan_points):
            kept = np.ones(report.n_cells, dtype=bool)
            kept[report.zero_cells] = False
            before, mesh = len(mesh.points), _part(mesh, kept)
            if before > len(mesh.points):
                done.append(f"dropped {before - len(mesh.points)} points in no cell")
        return mesh, tuple(done)

    def boundary_points(self) -> np.ndarray:
        """(k,) numbers, rising, of the points of `boundary()`, in its order."""
        facets = boundary_facets(self.cells, self.dimension)
        return np.unique(
            np.concatenate([_NO_NUMBERS, *(f.nodes.ravel() for f in facets)])
        )

    def boundary(self) -> Mesh:
        """The facets of one cell of the highest dimension alone, as a mesh.

        Oriented outward. Points are those of `boundary_points()` with their fields; a
        facet has the cell data of its cell; facet sets become cell sets, less their
        facets between two cells.

        Raises `MeshError` where there are no lines, faces or volumes.
        """
        if self.dimension < 1:
            raise MeshError("the mesh has no lines, faces or volumes, so no boundary")
        facets = boundary_facets(self.cells, self.dimension)
        owners = np.concatenate([_NO_NUMBERS, *(f.cells for f in facets)])
        places = np.concatenate([_NO_NUMBERS, *(f.places for f in facets)])
        whole = Mesh(
            self.points,
            {facet.kind: facet.nodes for facet in facets},
            self.point_data,
            regions.picked(self.cell_data, owners),
            self.field_data,
            self.point_sets,
            regions.found(self.facet_sets, owners, places),
        )
        return _part(whole, np.ones(len(owners), dtype=bool))

    def refined(self) -> Mesh:
        """Every cell in its children, of the same order: edges are halved.

        The points keep their numbers; new ones follow. Point fields and curved geometry
        are interpolated by the cell's own shape functions, cell data are inherited.
        Neighbours of different types still fit (a quadratic cell beside a linear one
        does not fit before either). The measure stays the same, straight or curved. A
        new point is in a point set if all the points that it is interpolated from are,
        and, for a set on the boundary, if it lies there too.

        Warns where an integer field becomes float64, since means are not integers.
        """
        fine, point_data = refine(self.cells, len(self.points)), {}
        for name, values in self.point_data.items():
            point_data[name] = fine.extended(_real(values, name))
        mesh = Mesh(
            fine.extended(self.points),
            fine.cells,
            point_data,
            regions.picked(self.cell_data, fine.parents),
            self.field_data,
            cell_sets=regions.inherited(self.cell_sets, fine.parents),
            facet_sets=regions.covered(self.facet_sets, self.cells, fine),
        )
        if not self.point_sets:
            return mesh
        on_boundary, fine_boundary = (
            np.isin(np.arange(len(m.points)), m.boundary_points()) for m in (self, mesh)
        )
        sets = regions.extended(self.point_sets, fine, on_boundary, fine_boundary)
        return replace(mesh, point_sets=sets)

    def linearised(self) -> Mesh:
        """Quadratic cells cut down to their corners; points no longer used are dropped.

        Cells of one shape become one block, so cell numbers may change; cell data and
        sets follow.
        """
        blocks = []
        for kind, nodes in self.cells.items():
            linear = CELL_TYPES[kind].linear
            blocks.append((linear.name, nodes[:, : linear.nodes]))
        cells, numbers = joined(blocks)
        number = np.concatenate([_NO_NUMBERS, *numbers])
        corners = replace(
            self,
            cells=cells,
            cell_data=regions.picked(self.cell_data, np.argsort(number)),
            cell_sets=regions.renumbered(self.cell_sets, number),
            facet_sets=regions.renumbered(self.facet_sets, number),
        )
        return _part(corners, np.ones(len(number), dtype=bool))

    def __repr__(self) -> str:
        cells = ", ".join(f"{len(nodes)} {kind}" for kind, nodes in self.cells.items())
        fields = [*self.point_data, *self.cell_data]
        return (
            f"Mesh({len(self.points)} points; {cells or 'no cells'}; fields {fields})"
        )


_NO_NUMBERS = np.zeros(0, dtype=np.int64)


def _dimensions(cells: Mapping[str, np.ndarray]) -> np.ndarray:
    """(T,) the dimension of each cell."""
    parts = [np.full(len(n), CELL_TYPES[kind].dimension) for kind, n in cells.items()]
    return np.concatenate([_NO_NUMBERS, *parts])


def _part(mesh: Mesh, kept: np.ndarray) -> Mesh:
    """The cells in the mask `kept` (T,) and the points that they use."""
    starts = first_numbers(mesh.cells)
    cells = {
        kind: nodes[kept[starts[kind] : starts[kind] + len(nodes)]]
        for kind, nodes in mesh.cells.items()
    }
    cells = {kind: nodes for kind, nodes in cells.items() if len(nodes)}
    used = np.zeros(len(mesh.points), dtype=bool)
    for nodes in cells.values():
        used[nodes] = True
    point_number = np.where(used, np.cumsum(used) - 1, -1)
    cell_number = np.where(kept, np.cumsum(kept) - 1, -1)
    return Mesh(
        mesh.points[used],
        {kind: point_number[nodes] for kind, nodes in cells.items()},
        regions.picked(mesh.point_data, used),
        regions.picked(mesh.cell_data, kept),
        mesh.field_data,
        regions.renumbered(mesh.point_sets, point_number),
        regions.renumbered(mesh.cell_sets, cell_number),
        regions.renumbered(mesh.facet_sets, cell_number),
    )


def _merged(mesh: Mesh, tolerance: float) -> Mesh:
    """Points that coincide as the one of lowest number among them."""
    if not tolerance >= 0:
        raise ValueError(f"tolerance: expected a length or None, got {tolerance!r}")
    lowest = coincident(mesh.points, tolerance)
    if tolerance == 0:
        lowest = _with_equal_fields(lowest, mesh.point_data)
    kept = lowest == np.arange(len(lowest))
    number = (np.cumsum(kept) - 1)[lowest]
    return replace(
        mesh,
        points=mesh.points[kept],
        cells={kind: number[nodes] for kind, nodes in mesh.cells.items()},
        point_data=regions.picked(mesh.point_data, kept),
        point_sets=regions.renumbered(mesh.point_sets, number),
    )


def _with_equal_fields(
    lowest: np.ndarray, fields: Mapping[str, np.ndarray]
) -> np.ndarray:
    """(N,) the lowest number among the coincident points with bit-equal fields."""
    if not fields:
        return lowest
    apart, first = np.arange(len(lowest)), {}
    for point in np.flatnonzero(np.bincount(lowest, minlength=len(lowest))[lowest] > 1):
        bits = tuple(values[point].tobytes() for values in fields.values())
        apart[point] = first.setdefault((lowest[point], bits), point)
    return apart


def _turned(mesh: Mesh, inverted: np.ndarray) -> Mesh:
    """The cells of these numbers mirrored, their facet sets along with them."""
    turned = np.zeros(sum(len(nodes) for nodes in mesh.cells.values()), dtype=bool)
    turned[inverted] = True
    starts, cells = first_numbers(mesh.cells), {}
    for kind, nodes in mesh.cells.items():
        chosen = turned[starts[kind] : starts[kind] + len(nodes), None]
        cells[kind] = np.where(chosen, nodes[:, CELL_TYPES[kind].mirrored], nodes)
    facet_sets = regions.mirrored(mesh.facet_sets, mesh.cells, turned)
    return replace(mesh, cells=cells, facet_sets=facet_sets)


def _real(values: np.ndarray, name: str) -> np.ndarray:
    if values.dtype.kind in "fc":
        return values
    warnings.warn(
        f"point field {name!r} of type {values.dtype} becomes float64: between points "
        "it is interpolated",
        stacklevel=3,
    )
    return values.astype(np.float64)
