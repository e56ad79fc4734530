"""XDMF files with their arrays in an HDF5 file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from isofield.io import sets
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
                element.set(DTYPE, "str")
                element.set("Value", json.dumps(array.tolist()))
            else:
                _write_item(heavy, element, f"field/{number}", array)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, "utf-8", xml_declaration=True)


def _attribute_type(element: Element, row: tuple[int, ...]) -> str:
    """XDMF's word for rows of this shape; rows of one number are noted as rows."""
    if row == (1,):
        element.set(SHAPE, "1")
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
        topology.set(CLOUD, "true")
    total = sum(len(nodes) for nodes in cells.values())
    topology.set("NumberOfElements", str(total))
    if len(cells) == 1:
        ((kind, nodes),) = cells.items()
        topology.set("TopologyType", NUMBERS[kind][1])
        if kind in ("vertex", "line"):
            topology.set("NodesPerElement", str(nodes.shape[1]))
        _write_item(heavy, topology, "cells", nodes)
        return
    topology.set("TopologyType", "Mixed")
    stream = []
    for kind, nodes in cells.items():
        number = NUMBERS[kind][0]
        head = [number, number] if number in (1, 2) else [number]
        rows = np.broadcast_to(np.array(head, np.int64), (len(nodes), len(head)))
        stream.append(np.concatenate([rows, nodes], axis=1).reshape(-1))
    _write_item(heavy, topology, "cells", np.concatenate(stream))


def _write_item(heavy: Any, parent: Element, name: str, array: np.ndarray) -> None:
    if array.dtype == bool:
        parent.set(DTYPE, "bool")
        array = array.astype(np.uint8)
    heavy.create_dataset(name, data=array)
    kinds = {"f": "Float", "i": "Int", "u": "UInt"}
    item = ElementTree.SubElement(parent, "DataItem", Format="HDF")
    item.set("NumberType", kinds[array.dtype.kind])
    item.set("Precision", str(array.dtype.itemsize))
    item.set("Dimensions", " ".join(map(str, array.shape)) or "1")
    item.text = f"{Path(heavy.filename).name}:/{name}"
