"""One zone of a CGNS file: points, elements, fields, boundary conditions."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.cgns.elements import MIXED, ORDERS, cell_type
from isofield.io.registry import FormatError, MeshWarning

_LARGEST = 10**8


@dataclass
class Zone:
    """Elements by their numbers in the zone; all indices count from 0."""

    name: str
    points: np.ndarray
    kinds: dict[str, list[tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)
    sections: dict[str, np.ndarray] = field(default_factory=dict)
    point_sets: dict[str, np.ndarray] = field(default_factory=dict)
    element_sets: dict[str, np.ndarray] = field(default_factory=dict)
    point_data: dict[str, np.ndarray] = field(default_factory=dict)
    cell_data: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, kind: str, numbers: np.ndarray, nodes: np.ndarray) -> None:
        """Elements of one type, nodes in the order of the file."""
        if kind in ORDERS:
            nodes = nodes[:, ORDERS[kind]]
        self.kinds.setdefault(kind, []).append((numbers, nodes))


def data(node: Any) -> np.ndarray:
    """The array of a node."""
    if " data" not in node:
        raise FormatError(f"the node {node.name} has no data; it may be a broken link")
    return np.asarray(node[" data"])


def text(node: Any) -> str:
    return bytes(data(node).astype(np.uint8)).decode("utf-8", "replace").strip("\0 ")


def children(node: Any, label: str) -> Iterator[tuple[str, Any]]:
    """(name, node) of the children with this label."""
    for name, child in node.items():
        if getattr(child, "attrs", {}).get("label", b"") == label.encode():
            yield name, child


def read_zone(name: str, node: Any, dimension: int, other: set[str]) -> Zone:
    """A zone whose cells have this dimension; `other`: solutions of other times."""
    sizes = data(node)
    kind = text(node["ZoneType"]) if "ZoneType" in node else "Structured"
    zone = Zone(name, _points(node, name))
    if kind == "Unstructured":
        for section, elements in sorted(children(node, "Elements_t"), key=_first):
            _add_section(zone, section, elements)
    else:
        _add_grid(zone, sizes[0][:dimension])
    _add_conditions(zone, node, kind == "Unstructured")
    for name, flow in children(node, "FlowSolution_t"):
        if name not in other:
            _add_solution(zone, flow, dimension)
    return zone


def _points(node: Any, name: str) -> np.ndarray:
    for _, grid in children(node, "GridCoordinates_t"):
        columns = [
            data(grid[key]).reshape(-1)
            for key in ("CoordinateX", "CoordinateY", "CoordinateZ")
            if key in grid
        ]
        if columns:
            points = np.zeros((len(columns[0]), 3))
            points[:, : len(columns)] = np.stack(columns, axis=1)
            return points
    raise FormatError(f"zone {name} has no Cartesian coordinates (CoordinateX, ...)")


def _first(section: tuple[str, Any]) -> int:
    return int(data(section[1]["ElementRange"]).reshape(-1)[0])


def _add_section(zone: Zone, name: str, node: Any) -> None:
    code = int(data(node)[0])
    first, last = data(node["ElementRange"]).reshape(-1)[:2].tolist()
    flat = data(node["ElementConnectivity"]).reshape(-1).astype(np.int64)
    if last - first >= len(flat):
        raise FormatError(f"section {name}: {len(flat)} node numbers do not fit")
    numbers = np.arange(first, last + 1)
    zone.sections[name] = numbers
    if code != MIXED:
        kind = cell_type(code)
        width = CELL_TYPES[kind].nodes
        if len(flat) != len(numbers) * width:
            raise FormatError(f"section {name}: {len(flat)} node numbers do not fit")
        zone.add(kind, numbers, flat.reshape(-1, width) - 1)
        return
    place, rows = 0, {}
    for number in numbers.tolist():
        if place >= len(flat):
            raise FormatError(f"section {name}: its list of nodes ends too early")
        kind = cell_type(int(flat[place]))
        width = CELL_TYPES[kind].nodes
        row = flat[place + 1 : place + 1 + width] - 1
        rows.setdefault(kind, []).append((number, row))
        place += 1 + width
    for kind, pairs in rows.items():
        own = np.array([number for number, _ in pairs])
        zone.add(kind, own, np.stack([row for _, row in pairs]))


def _add_grid(zone: Zone, sizes: np.ndarray) -> None:
    """The lines, quads or bricks of a structured zone, i running fastest."""
    sizes = np.asarray(sizes, dtype=np.int64)
    index = np.arange(len(zone.points)).reshape(sizes[::-1])
    corner = index[tuple(slice(0, -1) for _ in sizes)].reshape(-1)
    step = [1, *np.cumprod(sizes)[:-1].tolist()]
    offsets = [0, step[0]]
    if len(sizes) > 1:
        offsets += [step[0] + step[1], step[1]]
    if len(sizes) > 2:
        offsets += [step[2] + offset for offset in offsets]
    kind = ("line", "quad", "hexahedron")[len(sizes) - 1]
    numbers = np.arange(1, len(corner) + 1)
    zone.add(kind, numbers, corner[:, None] + np.array(offsets))


def _add_conditions(zone: Zone, node: Any, unstructured: bool) -> None:
    """Boundary conditions as point sets or as sets of boundary elements."""
    for _, conditions in children(node, "ZoneBC_t"):
        for name, condition in children(conditions, "BC_t"):
            location = "Vertex"
            if "GridLocation" in condition:
                location = text(condition["GridLocation"])
            members = None
            for key in ("PointList", "ElementList"):
                if key in condition and unstructured:
                    members = data(condition[key]).reshape(-1)
            for key in ("PointRange", "ElementRange"):
                if key in condition and unstructured:
                    first, last = data(condition[key]).reshape(-1)[:2].tolist()
                    if last - first > _LARGEST:
                        raise FormatError(f"condition {name}: {first} to {last}")
                    members = np.arange(first, last + 1)
            if members is None:
                continue
            of_elements = location != "Vertex" or "ElementList" in condition
            of_elements = of_elements or "ElementRange" in condition
            if of_elements:
                zone.element_sets[name] = members.astype(np.int64)
            else:
                zone.point_sets[name] = members.astype(np.int64) - 1


def _add_solution(zone: Zone, flow: Any, dimension: int) -> None:
    location = text(flow["GridLocation"]) if "GridLocation" in flow else "Vertex"
    cells = sum(
        len(numbers)
        for kind, blocks in zone.kinds.items()
        for numbers, _ in blocks
        if CELL_TYPES[kind].dimension == dimension
    )
    for name, node in children(flow, "DataArray_t"):
        values = data(node).reshape(-1)
        if location == "Vertex" and len(values) == len(zone.points):
            zone.point_data[name] = values
        elif location == "CellCenter" and len(values) == cells:
            zone.cell_data[name] = values
        else:
            warnings.warn(
                f"field {re.sub(r'^.*/', '', name)!r} has {len(values)} values at "
                f"{location}, which fits neither the points nor the cells; it was left "
                f"out",
                MeshWarning,
                stacklevel=2,
            )
