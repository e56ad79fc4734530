"""XDMF files (.xdmf, .xmf) with HDF5 data: reader, time series and writer."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io import sets
from isofield.io.registry import (
    FLOATS,
    INTEGERS,
    Arrays,
    Format,
    FormatError,
    Holds,
    MeshWarning,
)
from isofield.io.series import MeshSeries
from isofield.io.xdmf_functions import function_values
from isofield.io.xdmf_items import Element, Xdmf, children, opened, values
from isofield.io.xdmf_tags import tag_sets
from isofield.mesh import Mesh

_NUMBERS = {
    "vertex": (1, "Polyvertex"),
    "line": (2, "Polyline"),
    "triangle": (4, "Triangle"),
    "quad": (5, "Quadrilateral"),
    "tetra": (6, "Tetrahedron"),
    "pyramid": (7, "Pyramid"),
    "wedge": (8, "Wedge"),
    "hexahedron": (9, "Hexahedron"),
    "line3": (34, "Edge_3"),
    "quad9": (35, "Quadrilateral_9"),
    "triangle6": (36, "Triangle_6"),
    "quad8": (37, "Quadrilateral_8"),
    "tetra10": (38, "Tetrahedron_10"),
    "pyramid13": (39, "Pyramid_13"),
    "wedge15": (40, "Wedge_15"),
    "wedge18": (41, "Wedge_18"),
    "hexahedron20": (48, "Hexahedron_20"),
    "hexahedron27": (50, "Hexahedron_27"),
}
_BY_NUMBER = {number: kind for kind, (number, _) in _NUMBERS.items()}
_BY_NAME = {name.lower(): kind for kind, (_, name) in _NUMBERS.items()} | {
    "tri_6": "triangle6",
    "quad_8": "quad8",
    "quad_9": "quad9",
    "tet_10": "tetra10",
    "hex_20": "hexahedron20",
    "hex_27": "hexahedron27",
    "interval": "line",
}
_SHAPE, _DTYPE, _CLOUD = "isofield_shape", "isofield_dtype", "isofield_cloud"


def read(path: Path) -> Mesh:
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


def series(path: Path) -> MeshSeries:
    """The steps of all temporal collections; those of equal time are joined."""

    def step(number: int) -> Mesh:
        with opened(path) as file:
            return _mesh(file, _steps(file)[number][1])

    with opened(path) as file:
        times = [time for time, _ in _steps(file)]
    return MeshSeries(np.array(times), step)


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
    if kind not in _BY_NAME:
        raise FormatError(f"unknown topology {kind!r}; known are {list(_BY_NAME)}")
    name = _BY_NAME[kind]
    if kind == "polyline" and int(topology.get("NodesPerElement", "2")) != 2:
        raise FormatError("polylines of more than two nodes are not supported")
    nodes = nodes.reshape(-1, CELL_TYPES[name].nodes)
    base = int(topology.get("BaseOffset", "0"))
    if topology.get(_CLOUD):
        return {}, np.zeros(0, np.int64)
    return {name: nodes - base}, np.arange(len(nodes))


def _mixed(stream: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Cells of a stream "type, nodes, type, nodes"; points and lines have a count."""
    starts: dict[str, list[int]] = {}
    numbers: dict[str, list[int]] = {}
    at, count, codes = 0, 0, stream.tolist()
    while at < len(codes):
        code = codes[at]
        if code not in _BY_NUMBER:
            raise FormatError(f"unknown cell type {code}; known are {_BY_NUMBER}")
        kind = _BY_NUMBER[code]
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
    if element.get(_DTYPE) == "bool":
        array = array.astype(bool)
    kind = element.get("AttributeType") or element.get("Type") or "Scalar"
    noted = element.get(_SHAPE) is not None
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
            found[name] = array.astype(bool) if element.get(_DTYPE) == "bool" else array
        elif element.get(_DTYPE) == "str":
            text = json.loads(element.get("Value", '""'))
            found[name] = text if isinstance(text, str) else np.array(text)
    return found


def write(path: Path, mesh: Mesh) -> None:
    """The mesh as one grid, its arrays in the HDF5 file of the same name beside it.

    One cell type gives its own topology, several a mixed one. Field data and sets stand
    in Information elements, which other programs skip.
    """
    import h5py

    root = ElementTree.Element("Xdmf", Version="3.0")
    grid = ElementTree.SubElement(ElementTree.SubElement(root, "Domain"), "Grid")
    grid.set("Name", "mesh")
    grid.set("GridType", "Uniform")
    ElementTree.SubElement(grid, "Time", Value="0")  # PyVista reads no file without
    with h5py.File(path.with_suffix(".h5"), "w") as heavy:
        _write_topology(heavy, grid, mesh)
        geometry = ElementTree.SubElement(grid, "Geometry", GeometryType="XYZ")
        _write_item(heavy, geometry, "points", mesh.points)
        for center, data in (("Node", mesh.point_data), ("Cell", mesh.cell_data)):
            for number, (name, array) in enumerate(data.items()):
                element = ElementTree.SubElement(grid, "Attribute", Name=name)
                element.set("Center", center)
                element.set("AttributeType", _attribute_type(element, array.shape[1:]))
                _write_item(heavy, element, f"{center.lower()}/{number}", array)
        extras = {**mesh.field_data, **sets.as_arrays(mesh)}
        for number, (name, value) in enumerate(extras.items()):
            element = ElementTree.SubElement(grid, "Information", Name=name)
            array = np.asarray(value)
            if array.dtype.kind == "U":
                element.set(_DTYPE, "str")
                element.set("Value", json.dumps(array.tolist()))
            else:
                _write_item(heavy, element, f"field/{number}", array)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, "utf-8", xml_declaration=True)


def _attribute_type(element: Element, row: tuple[int, ...]) -> str:
    """XDMF's word for rows of this shape; rows of one number are noted as rows."""
    if row == (1,):
        element.set(_SHAPE, "1")
    if row in ((), (1,)):
        return "Scalar"
    if row in ((6,), (9,), (3, 3)):
        return "Tensor6" if row == (6,) else "Tensor"
    return "Vector" if len(row) == 1 else "Matrix"


def _write_topology(heavy: Any, grid: Element, mesh: Mesh) -> None:
    topology = ElementTree.SubElement(grid, "Topology")
    cells = {kind: nodes for kind, nodes in mesh.cells.items() if len(nodes)}
    if not cells:
        cells = {"vertex": np.arange(len(mesh.points))[:, None]}
        topology.set(_CLOUD, "true")
    total = sum(len(nodes) for nodes in cells.values())
    topology.set("NumberOfElements", str(total))
    if len(cells) == 1:
        ((kind, nodes),) = cells.items()
        topology.set("TopologyType", _NUMBERS[kind][1])
        if kind in ("vertex", "line"):
            topology.set("NodesPerElement", str(nodes.shape[1]))
        _write_item(heavy, topology, "cells", nodes)
        return
    topology.set("TopologyType", "Mixed")
    stream = []
    for kind, nodes in cells.items():
        number = _NUMBERS[kind][0]
        head = [number, number] if number in (1, 2) else [number]
        rows = np.broadcast_to(np.array(head, np.int64), (len(nodes), len(head)))
        stream.append(np.concatenate([rows, nodes], axis=1).reshape(-1))
    _write_item(heavy, topology, "cells", np.concatenate(stream))


def _write_item(heavy: Any, parent: Element, name: str, array: np.ndarray) -> None:
    if array.dtype == bool:
        parent.set(_DTYPE, "bool")
        array = array.astype(np.uint8)
    heavy.create_dataset(name, data=array)
    kinds = {"f": "Float", "i": "Int", "u": "UInt"}
    item = ElementTree.SubElement(parent, "DataItem", Format="HDF")
    item.set("NumberType", kinds[array.dtype.kind])
    item.set("Precision", str(array.dtype.itemsize))
    item.set("Dimensions", " ".join(map(str, array.shape)) or "1")
    item.text = f"{Path(heavy.filename).name}:/{name}"


_DATA = Arrays(FLOATS | INTEGERS | {"bool"}, lambda shape: all(shape), sets.NAMES)
FORMAT = Format(
    name="XDMF",
    suffixes=(".xdmf", ".xmf"),
    read=read,
    write=write,
    series=series,
    clouds=True,
    holds=Holds(
        cells=frozenset(_NUMBERS),
        point_data=_DATA,
        cell_data=_DATA,
        field_data=Arrays(_DATA.dtypes | {"str"}, names=sets.OTHER_NAMES),
        point_sets=sets.NAMES,
        cell_sets=sets.NAMES,
        facet_sets=sets.NAMES,
    ),
)
