"""What a remeshing takes of a mesh, and what it takes for sizes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from isofield import regions
from isofield.mesh import Mesh, MeshError
from isofield.topology import first_numbers

Size = float | np.ndarray | Callable[[np.ndarray], np.ndarray]

# Types of cells that are remeshed, of their facets, and of what is smaller still.
_PARTS = {
    2: ("triangle", {"triangle", "line"}, {"vertex"}),
    3: ("tetra", {"tetra", "triangle"}, {"vertex", "line"}),
}


def taken(mesh: Mesh) -> tuple[Mesh, str]:
    """The mesh less cells smaller than facets, and the type that is remeshed.

    Warns of cells that are left out. Raises `MeshError` for other types, and for faulty
    cells and points.
    """
    kinds = [kind for kind, nodes in mesh.cells.items() if len(nodes)]
    kind, allowed, smaller = _PARTS.get(mesh.dimension, ("", set(), set()))
    wrong = [name for name in kinds if name not in allowed | smaller]
    if wrong or not kind:
        raise MeshError(
            "remeshing takes triangles (with lines on their edges) or tetrahedra (with "
            f"triangles on their faces), got {', '.join(wrong or kinds) or 'no cells'}."
            " mesh.linearised() turns quadratic cells into these, where they are "
            "triangles or tetrahedra; mesh.of_dimension(d) leaves others out"
        )
    mesh = _without(mesh, smaller)
    report = mesh.validate()
    faults = {
        "non-finite points": report.nonfinite_points,
        "cells of zero measure": report.zero_cells,
        "inverted cells": report.inverted_cells,
        "points in no cell": report.orphan_points,
    }
    found = [f"{len(rows)} {name}" for name, rows in faults.items() if len(rows)]
    if found:
        raise MeshError(
            f"the mesh has {', '.join(found)}; mesh.mended() removes what it can"
        )
    return mesh, kind


def _without(mesh: Mesh, kinds: set[str]) -> Mesh:
    """The mesh less the cells of these types; all points stay."""
    starts = first_numbers(mesh.cells)
    kept = np.ones(sum(map(len, mesh.cells.values())), dtype=bool)
    for kind in kinds & set(mesh.cells):
        kept[starts[kind] : starts[kind] + len(mesh.cells[kind])] = False
        if len(mesh.cells[kind]):
            warnings.warn(
                f"{len(mesh.cells[kind])} {kind} cells are left out: what is smaller "
                "than a facet is not kept as a cell",
                stacklevel=4,
            )
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    return replace(
        mesh,
        cells={name: nodes for name, nodes in mesh.cells.items() if name not in kinds},
        cell_data=regions.picked(mesh.cell_data, kept),
        cell_sets=regions.renumbered(mesh.cell_sets, number),
        facet_sets=regions.renumbered(mesh.facet_sets, number),
    )


def sizes_at(size: Size, points: np.ndarray) -> np.ndarray:
    """(N,) the sizes at the points. Raises `ValueError` where one is no length."""
    given = size(points) if callable(size) else size
    sizes = np.asarray(given, dtype=np.float64)
    if sizes.shape not in ((), (len(points),)):
        raise ValueError(
            f"size: expected one length or ({len(points)},), got {sizes.shape}"
        )
    wrong = ~(np.isfinite(sizes) & (sizes > 0))
    if wrong.any():
        raise ValueError(
            f"size: expected positive lengths, got {int(wrong.sum())} others, the "
            f"first is {float(sizes[wrong].ravel()[0]):.3g}"
        )
    return np.broadcast_to(sizes, (len(points),))


def with_sets(mesh: Mesh, names: Sequence[str]) -> tuple[Mesh, dict[str, np.ndarray]]:
    """The mesh with a cell set for each value of these cell fields, and the values.

    Raises `MeshError` for a field that is not there, or not one whole number a cell.
    """
    sets, values = dict(mesh.cell_sets), {}
    for name in names:
        field = mesh.cell_data.get(name)
        if field is None or field.ndim > 1 or field.dtype.kind not in "iub":
            known = [k for k, v in mesh.cell_data.items() if v.dtype.kind in "iub"]
            raise MeshError(
                f"regions: expected cell fields of one whole number a cell, got "
                f"{name!r}; of such type are {', '.join(map(repr, known)) or 'none'}"
            )
        values[name] = np.unique(field)
        for value in values[name]:
            sets[_set_name(name, value)] = np.flatnonzero(field == value)
    return replace(mesh, cell_sets=sets), values


def with_fields(mesh: Mesh, values: dict[str, np.ndarray]) -> Mesh:
    """The cell fields back from the cell sets of their values."""
    sets, fields = dict(mesh.cell_sets), {}
    count = sum(map(len, mesh.cells.values()))
    for name, each in values.items():
        fields[name] = np.zeros(count, dtype=each.dtype)
        for value in each:
            fields[name][sets.pop(_set_name(name, value))] = value
    return replace(mesh, cell_sets=sets, cell_data={**mesh.cell_data, **fields})


def _set_name(field: str, value: int) -> str:
    return f"{field}\0{value}"
