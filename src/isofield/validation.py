"""What is wrong with a mesh: the findings that `Mesh.validate` reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from isofield.cells import CELL_TYPES
from isofield.quadrature import density, density_degree, quadrature
from isofield.topology import coincident, first_numbers

# Measures are compared with this share of (longest side of the bounding box)^dimension.
_ZERO = 1e-12

# Cells that are measured at once: bounds the memory of the Jacobians.
_BLOCK = 2**15


def _none() -> np.ndarray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Report:
    """The findings on a mesh: for each kind of fault the numbers of points or cells.

    orphan_points : in no cell (none are, in a mesh without cells).
    duplicate_points : at the very place of a point of lower number.
    nonfinite_points : with a coordinate that is NaN or infinite.
    zero_cells : of zero measure, to rounding.
    inverted_cells : of negative measure, where the cell has as many dimensions as
        points have coordinates; elsewhere there is no sign. A wedge whose first
        triangle faces outward, as some programs write it, counts as inverted.
    folded_cells : det J changes its sign within the cell, at the points of its
        quadrature rule or at its nodes; same restriction.
    nonfinite_cells : with a point that is not finite; not measured.
    nonfinite_point_data, nonfinite_cell_data : field -> rows with NaN or infinity.
    """

    n_points: int
    n_cells: int
    orphan_points: np.ndarray = field(default_factory=_none)
    duplicate_points: np.ndarray = field(default_factory=_none)
    nonfinite_points: np.ndarray = field(default_factory=_none)
    zero_cells: np.ndarray = field(default_factory=_none)
    inverted_cells: np.ndarray = field(default_factory=_none)
    folded_cells: np.ndarray = field(default_factory=_none)
    nonfinite_cells: np.ndarray = field(default_factory=_none)
    nonfinite_point_data: Mapping[str, np.ndarray] = field(default_factory=dict)
    nonfinite_cell_data: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def findings(self) -> dict[str, np.ndarray]:
        """Description -> numbers, for what was found alone."""
        named = {
            "orphan points": self.orphan_points,
            "duplicate points": self.duplicate_points,
            "non-finite points": self.nonfinite_points,
            "cells of zero measure": self.zero_cells,
            "inverted cells": self.inverted_cells,
            "folded cells": self.folded_cells,
            "cells with non-finite points": self.nonfinite_cells,
        }
        for where, fields in [
            ("point", self.nonfinite_point_data),
            ("cell", self.nonfinite_cell_data),
        ]:
            for name, rows in fields.items():
                named[f"{where}s with a non-finite {name!r}"] = rows
        return {name: numbers for name, numbers in named.items() if len(numbers)}

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        head = f"{self.n_points} points, {self.n_cells} cells: "
        if self.ok:
            return head + "nothing wrong"
        lines = []
        for name, numbers in self.findings.items():
            first = ", ".join(str(number) for number in numbers[:5])
            rest = ", ..." if len(numbers) > 5 else ""
            lines.append(f"  {len(numbers)} {name} ({first}{rest})")
        return "\n".join([head + f"{len(lines)} findings", *lines])


def inspect(
    points: np.ndarray,
    cells: Mapping[str, np.ndarray],
    point_data: Mapping[str, np.ndarray],
    cell_data: Mapping[str, np.ndarray],
) -> Report:
    """The report on points (N, d), cells by type and their fields."""
    used = np.zeros(len(points), dtype=bool)
    for nodes in cells.values():
        used[nodes] = True
    n_cells = sum(len(nodes) for nodes in cells.values())
    orphans = np.flatnonzero(~used) if n_cells else _none()
    lowest = coincident(points, 0.0)
    faults = [_faulty_cells(points, nodes, kind) for kind, nodes in cells.items()]
    starts = first_numbers(cells).values()
    zero, inverted, folded, nonfinite = (
        np.concatenate(
            [_none(), *(s + f[k] for s, f in zip(starts, faults, strict=True))]
        )
        for k in range(4)
    )
    return Report(
        len(points),
        n_cells,
        orphan_points=orphans,
        duplicate_points=np.flatnonzero(lowest != np.arange(len(points))),
        nonfinite_points=_nonfinite_rows(points),
        zero_cells=zero,
        inverted_cells=inverted,
        folded_cells=folded,
        nonfinite_cells=nonfinite,
        nonfinite_point_data=_nonfinite_fields(point_data),
        nonfinite_cell_data=_nonfinite_fields(cell_data),
    )


def _nonfinite_rows(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "fc":
        return _none()
    finite = np.all(np.isfinite(values), axis=tuple(range(1, values.ndim)))
    return np.flatnonzero(~finite)


def _nonfinite_fields(fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    rows = {name: _nonfinite_rows(values) for name, values in fields.items()}
    return {name: found for name, found in rows.items() if len(found)}


def _faulty_cells(
    points: np.ndarray, nodes: np.ndarray, kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the zero, inverted, folded and non-finite cells of one type."""
    if CELL_TYPES[kind].dimension == 0:
        finite = np.all(np.isfinite(points[nodes]), axis=(1, 2))
        return _none(), _none(), _none(), np.flatnonzero(~finite)
    masks = [
        _fault_masks(points, nodes[start : start + _BLOCK], kind)
        for start in range(0, len(nodes), _BLOCK)
    ]
    if not masks:
        return _none(), _none(), _none(), _none()
    zero, inverted, folded, nonfinite = (
        np.flatnonzero(np.concatenate(parts)) for parts in zip(*masks, strict=True)
    )
    return zero, inverted, folded, nonfinite


def _fault_masks(
    points: np.ndarray, nodes: np.ndarray, kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    cell, d = CELL_TYPES[kind], points.shape[1]
    corners = points[nodes]
    finite = np.all(np.isfinite(corners), axis=(1, 2))
    corners = np.where(finite[:, None, None], corners, 0.0)
    rule = quadrature(kind, density_degree(kind, d))
    at = np.concatenate([rule.points, cell.reference_points])
    local = torch.arange(corners.shape[0] * corners.shape[1]).reshape(nodes.shape)
    values = density(torch.tensor(corners.reshape(-1, d)), local, kind, at).numpy()
    measure = values[:, : len(rule.weights)] @ rule.weights
    extent = np.ptp(corners, axis=1).max(axis=1)
    far = np.abs(corners).max(axis=(1, 2))
    rounding = 4 * np.finfo(float).eps * far
    zero = np.abs(measure) <= extent ** (cell.dimension - 1) * (
        _ZERO * extent + rounding
    )
    inverted = np.zeros_like(zero)
    folded = np.zeros_like(zero)
    if cell.dimension == d:
        inverted = ~zero & (measure < 0)
        least = 1e-9 * np.abs(values).max(axis=1)
        folded = (values.min(axis=1) < -least) & (values.max(axis=1) > least)
    return zero & finite, inverted & finite, folded & finite, ~finite
