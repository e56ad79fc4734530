"""CGNS files on top of HDF5, `.cgns`; the older ADF files are left to VTK.

All zones of the first base become one mesh. Zones (where there are several) and element
sections are cell sets, boundary conditions are point sets or cell sets. Cells of lower
dimension stay cells; a field at cell centres is NaN on them. Vector components are
scalars, as CGNS has them. Where the file has time steps, `read` gives the last.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.cgns.zone import Zone, children, data, read_zone
from isofield.io.registry import Format, FormatError, MeshWarning
from isofield.mesh import Mesh
from isofield.series import MeshSeries

__all__ = ["FORMAT"]


def read_cgns(path: Path) -> Mesh:
    """The mesh with its fields at the last time step; raises `FormatError`."""
    times = _times(path)
    if len(times) > 1:
        warnings.warn(
            f"the file holds {len(times)} time steps and the last was read; "
            f"read_series gives all of them",
            MeshWarning,
            stacklevel=3,
        )
    return _step(path, len(times) - 1)


def read_cgns_series(path: Path) -> MeshSeries:
    """All time steps, the file opened anew for each."""
    return MeshSeries(_times(path), lambda number: _step(path, number))


def _base(file: Any) -> Any:
    for _, base in children(file, "CGNSBase_t"):
        return base
    raise FormatError("there is no CGNSBase_t in it, so it is not a CGNS file")


def _times(path: Path) -> np.ndarray:
    import h5py

    with h5py.File(path, "r") as file:
        for _, node in children(_base(file), "BaseIterativeData_t"):
            if "TimeValues" in node:
                return data(node["TimeValues"]).reshape(-1).astype(np.float64)
    return np.zeros(1)


def _step(path: Path, step: int) -> Mesh:
    import h5py

    with h5py.File(path, "r") as file:
        base = _base(file)
        dimension = int(data(base)[0])
        zones = []
        for name, node in children(base, "Zone_t"):
            other = _other_solutions(node, step)
            zones.append(read_zone(name, node, dimension, other))
    if not zones:
        raise FormatError("the base has no zones")
    return _joined(zones, dimension)


def _other_solutions(zone: Any, step: int) -> set[str]:
    """The names of the flow solutions that belong to other time steps alone."""
    names: list[str] = []
    for _, node in children(zone, "ZoneIterativeData_t"):
        if "FlowSolutionPointers" in node:
            rows = data(node["FlowSolutionPointers"]).astype(np.uint8)
            texts = [bytes(row).decode("utf-8", "replace") for row in rows]
            names += [text.strip("\0 ") for text in texts]
    return set(names) - set(names[step : step + 1])


def _joined(zones: list[Zone], dimension: int) -> Mesh:
    """The zones side by side, cells type by type, in the order of their numbers."""
    kinds = dict.fromkeys(kind for zone in zones for kind in zone.kinds)
    shifts = np.cumsum([0, *(len(zone.points) for zone in zones)])
    cells: dict[str, np.ndarray] = {}
    owner, number, inner = [], [], []
    for kind in kinds:
        rows = []
        for i, zone in enumerate(zones):
            for numbers, nodes in zone.kinds.get(kind, []):
                rows.append(nodes + shifts[i])
                owner.append(np.full(len(numbers), i))
                number.append(numbers)
                inner.append(np.full(len(numbers), CELL_TYPES[kind].dimension))
        cells[kind] = np.concatenate(rows)
    empty = np.zeros(0, np.int64)
    owner = np.concatenate([empty, *owner])
    number = np.concatenate([empty, *number])
    inner = np.concatenate([empty, *inner]) == dimension
    cell_sets: dict[str, np.ndarray] = {}
    point_sets: dict[str, np.ndarray] = {}
    several = len(zones) > 1
    for i, zone in enumerate(zones):
        prefix = f"{zone.name}/" if several else ""
        if several:
            cell_sets[zone.name] = np.flatnonzero(owner == i)
        for name, members in {**zone.sections, **zone.element_sets}.items():
            chosen = (owner == i) & np.isin(number, members)
            cell_sets[prefix + name] = np.flatnonzero(chosen)
        for name, members in zone.point_sets.items():
            point_sets[prefix + name] = members + shifts[i]
    return Mesh(
        np.concatenate([zone.points for zone in zones]),
        cells,
        point_data=_point_data(zones),
        cell_data=_cell_data(zones, owner, number, inner),
        point_sets=point_sets,
        cell_sets=cell_sets,
    )


def _point_data(zones: list[Zone]) -> dict[str, np.ndarray]:
    names = dict.fromkeys(name for zone in zones for name in zone.point_data)
    return {
        name: np.concatenate(
            [
                zone.point_data.get(name, np.full(len(zone.points), np.nan))
                for zone in zones
            ]
        )
        for name in names
    }


def _cell_data(
    zones: list[Zone], owner: np.ndarray, number: np.ndarray, inner: np.ndarray
) -> dict[str, np.ndarray]:
    """Values stand in the order of the element numbers of the cells of the zone."""
    fields: dict[str, np.ndarray] = {}
    for i, zone in enumerate(zones):
        places = np.flatnonzero((owner == i) & inner)
        places = places[np.argsort(number[places], kind="stable")]
        for name, values in zone.cell_data.items():
            if len(zones) == 1 and inner.all():
                fields[name] = values[np.argsort(np.argsort(number))]
                continue
            field = fields.setdefault(name, np.full(len(owner), np.nan))
            field[places] = values
    return fields


def _claims(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


FORMAT = Format(
    name="CGNS on HDF5",
    suffixes=(".cgns",),
    read=read_cgns,
    series=read_cgns_series,
    claims=_claims,
    apart=True,
)
