"""XDMF files with their arrays in an HDF5 file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from isofield.io import sets
from isofield.io.registry import Add
from isofield.io.xdmf.elements import CLOUD, DTYPE, NUMBERS, SHAPE
from isofield.io.xdmf.items import Element
from isofield.mesh import Mesh


def write_xdmf(path: Path, mesh: Mesh) -> None:
    """The mesh as one grid, its arrays in the HDF5 file of the same name beside it.

    One cell type gives its own topology, several a mixed one. Field data and sets stand
    in Information elements, which other programs skip.
    """
    import h5py

    root = ElementTree.Element("Xdmf", Version="3.0")
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        # PyVista reads no file without a time
        grid = _grid(_Heavy(file), mesh, 0.0)
    ElementTree.SubElement(root, "Domain").append(grid)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, "utf-8", xml_declaration=True)


@contextmanager
def xdmf_series_writer(path: Path, place: Path) -> Iterator[Add]:
    """The steps as a temporal collection of grids, each as `write_xdmf` writes it.

    Points, cells, field data and sets that are those of the step before, bit by bit,
    are written once.
    """
    import h5py

    with (
        h5py.File(path.with_suffix(".h5"), "w") as file,
        path.open("w", encoding="utf-8", newline="\n") as light,
    ):
        light.write(
            '<?xml version="1.0" encoding="UTF-8"?>\n<Xdmf Version="3.0">\n<Domain>\n'
            '<Grid Name="steps" GridType="Collection" CollectionType="Temporal">\n'
        )
        heavy, steps = _Heavy(file), count()

        def add(time: float, mesh: Mesh) -> None:
            heavy.prefix = f"{next(steps)}/"
            grid = _grid(heavy, mesh, time)
            ElementTree.indent(grid)
            light.write(ElementTree.tostring(grid, encoding="unicode") + "\n")

        yield add
        light.write("</Grid>\n</Domain>\n</Xdmf>\n")


class _Heavy:
    """The HDF5 file, and the arrays of the last step that the next may share."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.prefix = ""
        self.last: dict[str, tuple[np.ndarray, str]] = {}

    def place(self, name: str, array: np.ndarray, shared: bool) -> str:
        """Where an array stands in the file; written unless it is there."""
        before, at = self.last.get(name, (None, ""))
        if before is not None and _same(before, array):
            return at
        at = f"{self.prefix}{name}"
        self.file.create_dataset(at, data=array)
        if shared:
            self.last[name] = array, at
        return at


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are one, bit by bit."""
    return (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()


def _grid(heavy: _Heavy, mesh: Mesh, time: float) -> Element:
    grid = ElementTree.Element("Grid", Name="mesh", GridType="Uniform")
    ElementTree.SubElement(grid, "Time", Value=repr(time))
    _write_topology(heavy, grid, mesh)
    geometry = ElementTree.SubElement(grid, "Geometry", GeometryType="XYZ")
    _write_item(heavy, geometry, "points", mesh.points, shared=True)
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
            element.set(DTYPE, "str")
            element.set(SHAPE, " ".join(map(str, array.shape)))
            element.set("Value", json.dumps(array.tolist()))
        else:
            _write_item(heavy, element, f"field/{number}", array, shared=True)
    return grid


def _attribute_type(element: Element, row: tuple[int, ...]) -> str:
    """XDMF's word for rows of this shape; rows of one number are noted as rows."""
    if row == (1,):
        element.set(SHAPE, "1")
    if row in ((), (1,)):
        return "Scalar"
    if row in ((6,), (9,), (3, 3)):
        return "Tensor6" if row == (6,) else "Tensor"
    return "Vector" if len(row) == 1 else "Matrix"


def _write_topology(heavy: _Heavy, grid: Element, mesh: Mesh) -> None:
    topology = ElementTree.SubElement(grid, "Topology")
    cells = {kind: nodes for kind, nodes in mesh.cells.items() if len(nodes)}
    if not cells:
        cells = {"vertex": np.arange(len(mesh.points))[:, None]}
        topology.set(CLOUD, "true")
    total = sum(len(nodes) for nodes in cells.values())
    topology.set("NumberOfElements", str(total))
    if len(cells) == 1:
        ((kind, nodes),) = cells.items()
        topology.set("TopologyType", NUMBERS[kind][1])
        if kind in ("vertex", "line"):
            topology.set("NodesPerElement", str(nodes.shape[1]))
        _write_item(heavy, topology, "cells", nodes, shared=True)
        return
    topology.set("TopologyType", "Mixed")
    stream = []
    for kind, nodes in cells.items():
        number = NUMBERS[kind][0]
        head = [number, number] if number in (1, 2) else [number]
        rows = np.broadcast_to(np.array(head, np.int64), (len(nodes), len(head)))
        stream.append(np.concatenate([rows, nodes], axis=1).reshape(-1))
    _write_item(heavy, topology, "cells", np.concatenate(stream), shared=True)


def _write_item(
    heavy: _Heavy, parent: Element, name: str, array: np.ndarray, shared: bool = False
) -> None:
    if array.dtype == bool:
        parent.set(DTYPE, "bool")
        array = array.astype(np.uint8)
    at = heavy.place(name, array, shared)
    kinds = {"f": "Float", "i": "Int", "u": "UInt"}
    item = ElementTree.SubElement(parent, "DataItem", Format="HDF")
    item.set("NumberType", kinds[array.dtype.kind])
    item.set("Precision", str(array.dtype.itemsize))
    item.set("Dimensions", " ".join(map(str, array.shape)) or "1")
    item.text = f"{Path(heavy.file.filename).name}:/{at}"
