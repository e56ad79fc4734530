"""Several meshes as one, each kept as a cell set."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from isofield.io.registry import FormatError, MeshWarning
from isofield.mesh import Mesh


def joined(parts: list[tuple[str, Mesh]]) -> Mesh:
    """One mesh of several: points one after the other, cells gathered by type.

    Each name becomes a cell set of the cells that came under it; the sets of the parts
    are kept, those of one name united. Floating fields that a part lacks are NaN there,
    others are left out, each with a `MeshWarning`. Field data of one name: the last.

    Raises `FormatError` where one field has rows of different shapes.
    """
    meshes = [mesh for _, mesh in parts]
    counts = [sum(map(len, mesh.cells.values())) for mesh in meshes]
    first_point = np.cumsum([0, *(len(mesh.points) for mesh in meshes)])
    first_cell = np.cumsum([0, *counts])
    cells, order = _gathered(meshes, first_point, first_cell)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    cell_data = _stacked(meshes, "cell_data", counts)
    fields: dict[str, Any] = {}
    point_sets: dict[str, list[np.ndarray]] = {}
    cell_sets: dict[str, list[np.ndarray]] = {}
    facet_sets: dict[str, list[np.ndarray]] = {}
    for part, (name, mesh) in enumerate(parts):
        fields |= mesh.field_data
        own = number[first_cell[part] : first_cell[part + 1]]
        cell_sets.setdefault(name, []).append(np.sort(own))
        for key, members in mesh.point_sets.items():
            point_sets.setdefault(key, []).append(members + first_point[part])
        for key, members in mesh.cell_sets.items():
            cell_sets.setdefault(key, []).append(own[members])
        for key, members in mesh.facet_sets.items():
            pairs = np.stack([own[members[:, 0]], members[:, 1]], axis=1)
            facet_sets.setdefault(key, []).append(pairs)
    return Mesh(
        points=np.concatenate([mesh.points for mesh in meshes]),
        cells=cells,
        point_data=_stacked(meshes, "point_data", [len(m.points) for m in meshes]),
        cell_data={name: values[order] for name, values in cell_data.items()},
        field_data=fields,
        point_sets={key: np.concatenate(lists) for key, lists in point_sets.items()},
        cell_sets={key: np.concatenate(lists) for key, lists in cell_sets.items()},
        facet_sets={key: np.concatenate(lists) for key, lists in facet_sets.items()},
    )


def _gathered(
    meshes: list[Mesh], first_point: np.ndarray, first_cell: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Cells by type, and for each its number counted mesh after mesh."""
    nodes: dict[str, list[np.ndarray]] = {}
    numbers: dict[str, list[np.ndarray]] = {}
    for mesh, point, cell in zip(meshes, first_point, first_cell, strict=False):
        for kind, own in mesh.cells.items():
            nodes.setdefault(kind, []).append(own + point)
            numbers.setdefault(kind, []).append(cell + np.arange(len(own)))
            cell = cell + len(own)
    order = [np.zeros(0, np.int64), *(part for own in numbers.values() for part in own)]
    return {kind: np.concatenate(own) for kind, own in nodes.items()}, np.concatenate(
        order
    )


def _stacked(
    meshes: list[Mesh], attribute: str, counts: list[int]
) -> dict[str, np.ndarray]:
    """Arrays of all meshes one after the other; NaN rows where a mesh has none."""
    names = dict.fromkeys(name for mesh in meshes for name in getattr(mesh, attribute))
    stacked = {}
    for name in names:
        arrays = [getattr(mesh, attribute).get(name) for mesh in meshes]
        present = [array for array in arrays if array is not None]
        row = present[0].shape[1:]
        if any(array.shape[1:] != row for array in present):
            shapes = sorted({array.shape[1:] for array in present})
            raise FormatError(f"{attribute} {name!r} has rows of the shapes {shapes}")
        lacking = sum(n for a, n in zip(arrays, counts, strict=True) if a is None and n)
        floating = np.result_type(*present).kind == "f"
        if lacking:
            fate = f"{lacking} rows are NaN" if floating else "it was left out"
            _warn(f"{attribute} {name!r} is missing in some parts: {fate}")
        if lacking and not floating:
            continue
        stacked[name] = np.concatenate(
            [
                np.full((n, *row), np.nan, present[0].dtype) if array is None else array
                for array, n in zip(arrays, counts, strict=True)
                if array is not None or n
            ]
        )
    return stacked


def _warn(text: str) -> None:
    warnings.warn(text, MeshWarning, stacklevel=2)
