"""Meshes and time series from XDMF files."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io import sets
from isofield.io.registry import FormatError, MeshWarning
from isofield.io.xdmf.elements import BY_NAME, BY_NUMBER, CLOUD, DTYPE, SHAPE
from isofield.io.xdmf.functions import function_values
from isofield.io.xdmf.items import Element, Xdmf, children, opened, values
from isofield.io.xdmf.tags import tag_sets
from isofield.mesh import Mesh
from isofield.series import MeshSeries


def read_xdmf(path: Path) -> Mesh:
    """The mesh of the file; of a time series its last step, with a `MeshWarning`.

    Node values of a finite element function (FEniCS checkpoints) are read where its
    degrees of freedom are the nodes or the cells of the mesh, else left out with a
    warning.

    Raises `FormatError` where the file or its heavy data is not complete.
    """
    with opened(path) as file:
        steps = _steps(file)
        if len(steps) > 1:
            warnings.warn(
                f"{len(steps)} time steps; the last (time {steps[-1][0]:g}) was "
                "read; read_series gives all",
                MeshWarning,
                stacklevel=2,
            )
        return _mesh(file, steps[-1][1])


def read_xdmf_series(path: Path) -> MeshSeries:
    """The steps of all temporal collections; those of equal time are joined.

    The light data is parsed once and kept; a step reads its heavy data.
    """
    with opened(path) as file:
        root, steps = file.root, _steps(file)

    def step(number: int) -> Mesh:
        with Xdmf(path, root) as file:
            return _mesh(file, steps[number][1])

    return MeshSeries(np.array([time for time, _ in steps]), step)


def _steps(file: Xdmf) -> list[tuple[float, list[Element]]]:
    """The grids of each time, in the order of the file."""
    domain = file.root.find("Domain")
    grids = (
        [] if domain is None else [g for g in children(file, domain) if g.tag == "Grid"]
    )
    if not grids:
        raise FormatError("there is no <Grid> in its <Domain>")
    temporal = [grid for grid in grids if grid.get("CollectionType") == "Temporal"]
    steps: dict[float, list[Element]] = {}
    for grid in temporal:
        parts = [part for part in children(file, grid) if part.tag == "Grid"]
        times = _listed_times(file, grid, len(parts))
        for number, part in enumerate(parts):
            time = part.find("Time")
            moment = times[number] if time is None else float(time.get("Value", "nan"))
            steps.setdefault(moment, []).append(part)
    if steps:
        return list(steps.items())
    time = grids[0].find("Time")
    return [(0.0 if time is None else float(time.get("Value", "0")), grids)]


def _listed_times(file: Xdmf, grid: Element, count: int) -> np.ndarray:
    """Times of a collection that lists them once, else the numbers of the steps."""
    time = grid.find("Time")
    item = None if time is None else time.find("DataItem")
    if time is None or item is None:
        return np.arange(count, dtype=float)
    listed = values(file, item).reshape(-1)
    if time.get("TimeType") == "HyperSlab":
        listed = listed[0] + listed[1] * np.arange(count)
    if len(listed) < count:
        raise FormatError(f"{count} steps, but only {len(listed)} times are listed")
    return listed


def _mesh(file: Xdmf, grids: list[Element]) -> Mesh:
    """One mesh of grids that share their cells: the fields of all of them.

    Grids of integers on some of the cells or facets are sets, see `tag_sets`.
    """
    grids = [leaf for grid in grids for leaf in _leaves(file, grid)]
    mesh = _uniform(file, grids[0])
    for grid in grids[1:]:
        other = _uniform(file, grid)
        same = list(other.cells) == list(mesh.cells) and all(
            np.array_equal(other.cells[kind], mesh.cells[kind]) for kind in mesh.cells
        )
        tags = None if same else tag_sets(mesh, other)
        if tags is not None:
            ((attribute, sets_found),) = tags.items()
            have = getattr(mesh, attribute)
            mesh = replace(mesh, **{attribute: {**have, **sets_found}})
            continue
        if not same:
            counts = ", ".join(f"{len(n)} {kind}" for kind, n in other.cells.items())
            warnings.warn(
                f"the grid {grid.get('Name')!r} ({counts}) has other cells than the "
                f"first grid {grids[0].get('Name')!r} and was left out",
                MeshWarning,
                stacklevel=2,
            )
            continue
        mesh = mesh.with_point_data(other.point_data).with_cell_data(other.cell_data)
    return mesh


def _leaves(file: Xdmf, grid: Element) -> list[Element]:
    if grid.get("GridType", "Uniform") == "Uniform":
        return [grid]
    inside = [part for part in children(file, grid) if part.tag == "Grid"]
    return [leaf for part in inside for leaf in _leaves(file, part)]


def _uniform(file: Xdmf, grid: Element) -> Mesh:
    elements = {child.tag: child for child in children(file, grid)}
    if "Geometry" not in elements or "Topology" not in elements:
        raise FormatError(
            f"the grid {grid.get('Name')!r} has no geometry or no topology"
        )
    points = _points(file, elements["Geometry"])
    cells, order = _cells(file, elements["Topology"])
    data: dict[str, dict[str, np.ndarray]] = {"Node": {}, "Cell": {}, "Grid": {}}
    for element in children(file, grid):
        if element.tag != "Attribute":
            continue
        name, center = element.get("Name", "unnamed"), element.get("Center", "Node")
        array: np.ndarray | None = None
        if element.get("ItemType") == "FiniteElementFunction":
            center, array = function_values(file, element, cells, len(points))
        elif center in data:
            array = _attribute(file, element)
        if array is None:
            warnings.warn(
                f"the attribute {name!r} at {center} was left out: its values belong "
                "neither to the nodes nor to the cells",
                MeshWarning,
                stacklevel=2,
            )
            continue
        data[center][name] = array[order] if center == "Cell" else array
    fields, named = sets.from_arrays(data["Grid"] | _information(file, grid))
    return Mesh(points, cells, data["Node"], data["Cell"], fields, **named)


def _points(file: Xdmf, geometry: Element) -> np.ndarray:
    kind = geometry.get("GeometryType") or geometry.get("Type") or "XYZ"
    arrays = [values(file, item) for item in geometry if item.tag == "DataItem"]
    columns = {"XYZ": 3, "XY": 2}.get(kind.upper())
    if kind.upper() in ("X_Y_Z", "X_Y"):
        points = np.stack([array.reshape(-1) for array in arrays], axis=1)
    elif columns and len(arrays) == 1:
        points = arrays[0].reshape(-1, columns)
    else:
        raise FormatError(f"geometry of type {kind!r} is not supported; use XYZ or XY")
    return points.astype(np.float64)


def _cells(file: Xdmf, topology: Element) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Cells by type, and the number in the file of each of them."""
    kind = (topology.get("TopologyType") or topology.get("Type") or "").lower()
    item = topology.find("DataItem")
    if item is None:
        raise FormatError(f"the topology of type {kind!r} lists no cells")
    nodes = values(file, item).astype(np.int64)
    if kind == "mixed":
        return _mixed(nodes.reshape(-1))
    if kind not in BY_NAME:
        raise FormatError(f"unknown topology {kind!r}; known are {list(BY_NAME)}")
    name = BY_NAME[kind]
    if kind == "polyline" and int(topology.get("NodesPerElement", "2")) != 2:
        raise FormatError("polylines of more than two nodes are not supported")
    nodes = nodes.reshape(-1, CELL_TYPES[name].nodes)
    base = int(topology.get("BaseOffset", "0"))
    if topology.get(CLOUD):
        return {}, np.zeros(0, np.int64)
    return {name: nodes - base}, np.arange(len(nodes))


def _mixed(stream: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Cells of a stream "type, nodes, type, nodes"; points and lines have a count."""
    starts: dict[str, list[int]] = {}
    numbers: dict[str, list[int]] = {}
    at, count, codes = 0, 0, stream.tolist()
    while at < len(codes):
        code = codes[at]
        if code not in BY_NUMBER:
            raise FormatError(f"unknown cell type {code}; known are {BY_NUMBER}")
        kind = BY_NUMBER[code]
        at += 1
        if code in (1, 2):
            if codes[at] != code:
                raise FormatError(f"a {kind} cell of {codes[at]} nodes: not supported")
            at += 1
        starts.setdefault(kind, []).append(at)
        numbers.setdefault(kind, []).append(count)
        at += CELL_TYPES[kind].nodes
        count += 1
    if at != len(codes):
        raise FormatError("the mixed topology is cut off within a cell")
    cells = {
        kind: stream[np.array(first)[:, None] + np.arange(CELL_TYPES[kind].nodes)]
        for kind, first in starts.items()
    }
    order = [np.array(numbers[kind], np.int64) for kind in cells]
    return cells, np.concatenate([np.zeros(0, np.int64), *order])


def _attribute(file: Xdmf, element: Element) -> np.ndarray:
    item = element.find("DataItem")
    if item is None:
        raise FormatError(f"the attribute {element.get('Name')!r} has no data")
    array = values(file, item)
    if element.get(DTYPE) == "bool":
        array = array.astype(bool)
    kind = element.get("AttributeType") or element.get("Type") or "Scalar"
    noted = element.get(SHAPE) is not None
    if kind == "Scalar" and array.ndim > 1 and array[:1].size == 1 and not noted:
        array = array.reshape(-1)
    return array


def _information(file: Xdmf, grid: Element) -> dict[str, Any]:
    """Field data and sets that `write` left in Information elements."""
    found: dict[str, Any] = {}
    for element in grid.findall("Information"):
        name, item = element.get("Name", ""), element.find("DataItem")
        if item is not None:
            array = values(file, item)
            found[name] = array.astype(bool) if element.get(DTYPE) == "bool" else array
        elif element.get(DTYPE) == "str":
            text = json.loads(element.get("Value", '""'))
            if not isinstance(text, str):
                text = np.array(text, np.str_)
                if (noted := element.get(SHAPE)) is not None:
                    text = text.reshape([int(size) for size in noted.split()])
            found[name] = text
    return found
