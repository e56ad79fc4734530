"""The mesh: points, cells of several types side by side, fields and named regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from isofield.cells import CELL_TYPES


class MeshError(ValueError):
    """A mesh, or a file that should hold one, is not what was expected."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Points, cells and fields as a solver wrote them.

    points : (N, d), d = 2 or 3, float64, in the file's unit of length.
    cells : cell type -> (T_k, n_k) int64, node numbers in VTK's order.
    point_data : name -> (N, ...), any rank, any numeric type.
    cell_data : name -> (T, ...) over all cells, T = sum of T_k, in the order of `cells`.
    field_data : name -> array or text that belongs to the whole mesh. The unit of a
        field is the text under `"unit:<name>"`.
    point_sets : name -> (k,) int64 point numbers.
    cell_sets : name -> (k,) int64 cell numbers, counted over all cells as in cell_data.
    facet_sets : name -> (k, 2) int64 pairs (cell number, facet number in the cell type).

    Arrays are read-only; `with_point_data`, `refined` and the like return new meshes.

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
        points = _read_only(np.asarray(self.points, dtype=np.float64))
        if points.ndim != 2 or points.shape[1] not in (2, 3):
            raise MeshError(f"points: expected (N, 2) or (N, 3), got {points.shape}")
        cells = {
            kind: _checked_cells(kind, nodes, len(points))
            for kind, nodes in self.cells.items()
        }
        total = sum(len(nodes) for nodes in cells.values())
        checked = {
            "points": points,
            "cells": cells,
            "point_data": _checked_data(self.point_data, "point_data", len(points)),
            "cell_data": _checked_data(self.cell_data, "cell_data", total),
            "field_data": dict(self.field_data),
            "point_sets": _checked_sets(self.point_sets, "point_sets", len(points)),
            "cell_sets": _checked_sets(self.cell_sets, "cell_sets", total),
            "facet_sets": _checked_sets(self.facet_sets, "facet_sets", total, 2),
        }
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

    def __repr__(self) -> str:
        cells = ", ".join(f"{len(nodes)} {kind}" for kind, nodes in self.cells.items())
        fields = [*self.point_data, *self.cell_data]
        return (
            f"Mesh({len(self.points)} points; {cells or 'no cells'}; fields {fields})"
        )


def _read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written through; the caller's own array stays writable."""
    view = array.view()
    view.flags.writeable = False
    return view


def _checked_cells(kind: str, nodes: np.ndarray, n_points: int) -> np.ndarray:
    if kind not in CELL_TYPES:
        raise MeshError(f"cells: unknown type {kind!r}; known are {list(CELL_TYPES)}")
    nodes = np.asarray(nodes, dtype=np.int64)
    width = CELL_TYPES[kind].nodes
    if nodes.ndim != 2 or nodes.shape[1] != width:
        raise MeshError(f"cells: {kind} has {width} nodes, got shape {nodes.shape}")
    wrong = np.flatnonzero(((nodes < 0) | (nodes >= n_points)).any(axis=1))
    if len(wrong):
        raise MeshError(
            f"cells: {len(wrong)} {kind} cells name points that do not exist (cell "
            f"{wrong[0]}: {nodes[wrong[0]].tolist()}; there are {n_points} points)"
        )
    return _read_only(nodes)


def _checked_data(data: Mapping, attribute: str, count: int) -> dict[str, np.ndarray]:
    checked = {}
    for name, values in data.items():
        values = np.asarray(values)
        if values.ndim == 0 or len(values) != count:
            raise MeshError(
                f"{attribute}[{name!r}]: expected {count} rows, got shape {values.shape}"
            )
        checked[str(name)] = _read_only(values)
    return checked


def _checked_sets(
    sets: Mapping, attribute: str, count: int, columns: int = 1
) -> dict[str, np.ndarray]:
    checked = {}
    shape = "(k, 2)" if columns == 2 else "(k,)"
    for name, members in sets.items():
        members = np.asarray(members, dtype=np.int64)
        if members.ndim != columns or (columns == 2 and members.shape[1] != 2):
            raise MeshError(
                f"{attribute}[{name!r}]: expected {shape}, got {members.shape}"
            )
        numbers = members[:, 0] if columns == 2 else members
        if len(numbers) and not (0 <= numbers.min() and numbers.max() < count):
            raise MeshError(
                f"{attribute}[{name!r}]: members {numbers.min()} to {numbers.max()} do "
                f"not lie within 0 to {count - 1}"
            )
        checked[str(name)] = _read_only(members)
    return checked
