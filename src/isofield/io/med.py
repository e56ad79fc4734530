"""MED files of Salome and code_aster, `.med`, versions 3 and 4.

Groups are cell sets and point sets. Fields at nodes and cells are read at every time
step; fields with several values in a cell (at Gauss points, or node by node) are left
out with a warning. Cells come type by type in the order of the file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.registry import Format, FormatError, MeshWarning
from isofield.mesh import Mesh
from isofield.series import MeshSeries

__all__ = ["FORMAT"]

_TYPES = {
    "PO1": "vertex",
    "SE2": "line",
    "SE3": "line3",
    "TR3": "triangle",
    "TR6": "triangle6",
    "TR7": "triangle7",
    "QU4": "quad",
    "QU8": "quad8",
    "QU9": "quad9",
    "TE4": "tetra",
    "T10": "tetra10",
    "PY5": "pyramid",
    "P13": "pyramid13",
    "PE6": "wedge",
    "P15": "wedge15",
    "P18": "wedge18",
    "HE8": "hexahedron",
    "H20": "hexahedron20",
    "H27": "hexahedron27",
}
# place in the file of VTK's node i, but for the orientation
_ORDERS = {"hexahedron27": (*range(20), 24, 22, 21, 23, 20, 25, 26)}
_WHOLE = "MED_NO_PROFILE_INTERNAL"


@dataclass(frozen=True)
class _Field:
    """A field of the file: its values by time step."""

    key: str
    name: str
    components: int
    steps: dict[float, str]


@dataclass(frozen=True)
class _File:
    mesh: Mesh
    starts: dict[str, int]
    fields: list[_Field]
    times: np.ndarray


def read_med(path: Path) -> Mesh:
    """The mesh with its fields at the last time step; raises `FormatError`."""
    file = _open(path)
    if len(file.times) > 1:
        warnings.warn(
            f"the file holds {len(file.times)} time steps and the last was read; "
            f"read_series gives all of them",
            MeshWarning,
            stacklevel=3,
        )
    return _step(path, file, file.times[-1])


def read_med_series(path: Path) -> MeshSeries:
    """All time steps. A field with one step alone is in every step."""
    file = _open(path)
    return MeshSeries(file.times, lambda i: _step(path, file, file.times[i]))


def _open(path: Path) -> _File:
    import h5py

    with h5py.File(path, "r") as opened:
        file: Any = opened
        if "ENS_MAA" not in file:
            raise FormatError("there is no ENS_MAA in it, so it is not a MED file")
        names = list(_groups(file["ENS_MAA"]))
        if len(names) != 1:
            raise FormatError(
                f"expected one mesh, found {len(names)}: {names}; write each into its "
                f"own file"
            )
        mesh, starts = _mesh(file, names[0])
        fields = list(_fields(file, names[0]))
    several = [list(f.steps) for f in fields if len(f.steps) > 1]
    single = [max((t for f in fields for t in f.steps), default=0.0)]
    times = np.unique(np.concatenate(several)) if several else np.array(single)
    return _File(mesh, starts, fields, times)


def _groups(node: Any) -> Iterator[str]:
    import h5py

    return (name for name, child in node.items() if isinstance(child, h5py.Group))


def _mesh(file: Any, name: str) -> tuple[Mesh, dict[str, int]]:
    """The mesh, and the number of the first cell of each MED type."""
    head = file["ENS_MAA"][name]
    body = head[sorted(_groups(head))[-1]]
    dimension = int(head.attrs.get("ESP", head.attrs.get("DIM", 3)))
    columns = np.asarray(body["NOE"]["COO"]).reshape(dimension, -1)
    points = np.zeros((columns.shape[1], 3))
    points[:, :dimension] = columns.T
    cells, families, starts, count = {}, [], {}, 0
    for code, node in body.get("MAI", {}).items():
        if code not in _TYPES:
            raise FormatError(
                f"cells of the MED type {code} (polygons, polyhedra, structure "
                f"elements) are not read"
            )
        kind = _TYPES[code]
        rows = np.asarray(node["NOD"]).reshape(CELL_TYPES[kind].nodes, -1).T - 1
        rows = rows[:, _ORDERS.get(kind, slice(None))]
        # MED turns volumes the other way round than VTK does
        volume = CELL_TYPES[kind].dimension == 3
        cells[kind] = rows[:, CELL_TYPES[kind].mirrored] if volume else rows
        families.append(_families(node, len(rows)))
        starts[code] = count
        count += len(rows)
    groups = file["FAS"][name] if "FAS" in file and name in file["FAS"] else {}
    mesh = Mesh(
        points,
        cells,
        point_sets=_sets(groups.get("NOEUD"), _families(body["NOE"], len(points))),
        cell_sets=_sets(
            groups.get("ELEME"), np.concatenate([np.zeros(0, np.int64), *families])
        ),
    )
    return mesh, starts


def _families(node: Any, count: int) -> np.ndarray:
    return np.asarray(node["FAM"]) if "FAM" in node else np.zeros(count, np.int64)


def _sets(groups: Any, families: np.ndarray) -> dict[str, np.ndarray]:
    """Group name -> members, from the family number of each point or cell."""
    numbers: dict[str, list[int]] = {}
    for family in (groups or {}).values():
        if "GRO" in family:
            for row in family["GRO"]["NOM"][()]:
                text = np.asarray(row).astype(np.uint8).tobytes().split(b"\0")[0]
                name = text.decode("utf-8", "replace").strip()
                numbers.setdefault(name, []).append(int(family.attrs["NUM"]))
    return {
        name: np.flatnonzero(np.isin(families, members))
        for name, members in numbers.items()
    }


def _fields(file: Any, mesh: str) -> Iterator[_Field]:
    for name, node in file.get("CHA", {}).items():
        if bytes(node.attrs.get("MAI", mesh.encode())).decode().strip("\0 ") != mesh:
            continue
        steps = {float(step.attrs.get("PDT", 0.0)): key for key, step in node.items()}
        yield _Field(name, name.strip("_ "), int(node.attrs["NCO"]), steps)


def _step(path: Path, file: _File, time: float) -> Mesh:
    import h5py

    point_data: dict[str, np.ndarray] = {}
    cell_data: dict[str, np.ndarray] = {}
    left_out = []
    with h5py.File(path, "r") as opened:
        store: Any = opened
        for field in file.fields:
            time_key = next(iter(field.steps)) if len(field.steps) == 1 else time
            if time_key not in field.steps:
                continue
            step = store["CHA"][field.key][field.steps[time_key]]
            count = len(file.mesh.points)
            for support, values in step.items():
                name, _, code = support.partition(".")
                profiles = list(_groups(values))
                rows = _rows(store, values, profiles, field.components)
                if name == "NOE" and not code and rows is not None:
                    target = point_data.setdefault(field.name, _empty(count, rows[1]))
                    target[rows[0]] = rows[1]
                elif name == "MAI" and code in file.starts and rows is not None:
                    total = sum(map(len, file.mesh.cells.values()))
                    target = cell_data.setdefault(field.name, _empty(total, rows[1]))
                    target[file.starts[code] + rows[0]] = rows[1]
                else:
                    left_out.append(field.name)
    if left_out:
        warnings.warn(
            f"fields with several values in a cell were left out: "
            f"{', '.join(dict.fromkeys(left_out))}",
            MeshWarning,
            stacklevel=4,
        )
    return replace(file.mesh, point_data=point_data, cell_data=cell_data)


def _empty(count: int, like: np.ndarray) -> np.ndarray:
    return np.full((count, *like.shape[1:]), np.nan)


def _rows(
    file: Any, values: Any, profiles: list[str], components: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """(places, values) of one support; None where a place has several values."""
    places, rows = [], []
    for profile in profiles:
        node = values[profile]
        block = np.asarray(node["CO"])
        if int(node.attrs.get("NGA", 1)) > 1:
            return None
        block = block.reshape(components, -1).T
        own = np.arange(len(block))
        if profile != _WHOLE and "PROFILS" in file and profile in file["PROFILS"]:
            own = np.asarray(file["PROFILS"][profile]["PFL"]) - 1
        places.append(own)
        rows.append(block[:, 0] if components == 1 else block)
    if not places:
        return None
    return np.concatenate(places), np.concatenate(rows)


FORMAT = Format(name="MED", suffixes=(".med",), read=read_med, series=read_med_series)
