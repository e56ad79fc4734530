"""PLY files, ascii and binary: points and polygons with the properties of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from isofield.io.registry import Arrays, Format, FormatError, Holds
from isofield.io.surface_cells import polygon_cells
from isofield.mesh import Mesh

_DTYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4"},
    **{"uint": "u4", "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1"},
    **{"int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float32": "f4", "float64": "f8"},
}
_WORDS = {"int8": "char", "uint8": "uchar", "int16": "short", "uint16": "ushort"}
_WORDS |= {"int32": "int", "uint32": "uint", "float32": "float", "float64": "double"}
_LISTS = ("vertex_indices", "vertex_index")
Column = np.ndarray | list[np.ndarray]  # one number a row, or one list a row


@dataclass(frozen=True)
class _Property:
    name: str
    dtype: str
    length: str = ""  # dtype of the length of a list; no list where empty


@dataclass(frozen=True)
class _Table:
    name: str
    count: int
    properties: tuple[_Property, ...]


def read(path: Path) -> Mesh:
    """Vertices, faces and edges; their other properties are scalar fields.

    Triangles and quads are taken as they are, faces of more corners are cut into
    triangles with a `MeshWarning`, edges become lines. Properties that are lists, the
    corners aside, and elements of other names are not part of the mesh.

    Raises `FormatError` where the header or the data is not complete.
    """
    with path.open("rb") as file:
        order, tables = _header(file)
        content = file.read()
    columns = _binary(content, tables, order) if order else _ascii(content, tables)
    vertices = _scalars(columns.get("vertex", {}))
    if not all(axis in vertices for axis in "xyz"):
        raise FormatError("its vertices have no x, y and z")
    coordinates = [vertices.pop(axis).astype(np.float64) for axis in "xyz"]
    cells, cell_data = _cells(columns)
    return Mesh(np.stack(coordinates, axis=1), cells, vertices, cell_data)


def _header(file: BinaryIO) -> tuple[str, list[_Table]]:
    """Byte order ("" for ascii) and the tables; the file stands behind the header."""
    if file.readline().strip() != b"ply":
        raise FormatError("the first line is not 'ply'")
    order, tables = None, []
    for line in iter(file.readline, b""):
        words = line.decode("ascii", "replace").split()
        if words[:1] == ["end_header"]:
            if order is None:
                raise FormatError("the header names no format")
            return order, tables
        if words[:1] == ["format"] and len(words) > 1:
            orders = {
                "ascii": "",
                "binary_little_endian": "<",
                "binary_big_endian": ">",
            }
            if words[1] not in orders:
                raise FormatError(f"unknown format {words[1]!r}; known: {list(orders)}")
            order = orders[words[1]]
        elif words[:1] == ["element"] and len(words) == 3:
            tables.append(_Table(words[1], int(words[2]), ()))
        elif words[:1] == ["property"] and len(words) in (3, 5) and tables:
            tables[-1] = _with_property(tables[-1], words)
        elif words and words[0] not in ("comment", "obj_info"):
            raise FormatError(f"the header line {' '.join(words)[:60]!r} is not known")
    raise FormatError("the header does not end: the file is truncated")


def _with_property(table: _Table, words: list[str]) -> _Table:
    kinds = words[2:4] if words[1] == "list" else [words[1]]
    unknown = [kind for kind in kinds if kind not in _DTYPES]
    if unknown:
        raise FormatError(f"unknown type {unknown[0]!r} of the property {words[-1]!r}")
    length = _DTYPES[words[2]] if words[1] == "list" else ""
    new = _Property(words[-1], _DTYPES[kinds[-1]], length)
    return replace(table, properties=(*table.properties, new))


def _ascii(content: bytes, tables: list[_Table]) -> dict[str, dict[str, Column]]:
    words, at, found = content.split(), 0, {}
    for table in tables:
        width = len(table.properties)
        if not any(one.length for one in table.properties):
            rows = words[at : at + table.count * width]
            at += len(rows)
            if len(rows) < table.count * width:
                raise FormatError(
                    f"{table.name} data is cut off: the file is truncated"
                )
            found[table.name] = {
                one.name: _numbers(rows[place::width], one.dtype)
                for place, one in enumerate(table.properties)
            }
            continue
        columns: dict[str, list] = {one.name: [] for one in table.properties}
        for _ in range(table.count):
            for one in table.properties:
                count = 1
                if one.length:
                    count, at = int(words[at]), at + 1
                columns[one.name].append(words[at : at + count])
                at += count
        if at > len(words):
            raise FormatError(f"{table.name} data is cut off: the file is truncated")
        found[table.name] = {
            one.name: [_numbers(row, one.dtype) for row in columns[one.name]]
            if one.length
            else _numbers([row[0] for row in columns[one.name]], one.dtype)
            for one in table.properties
        }
    return found


def _numbers(words: list[bytes], dtype: str) -> np.ndarray:
    return np.array(words, dtype="S").astype(dtype) if words else np.zeros(0, dtype)


def _binary(
    content: bytes, tables: list[_Table], order: str
) -> dict[str, dict[str, Column]]:
    at, found = 0, {}
    for table in tables:
        lengths = _first_lengths(content, at, table, order) if table.count else {}
        row = _row_dtype(table, order, lengths)
        if at + table.count * row.itemsize <= len(content):
            rows = np.frombuffer(content, row, table.count, at)
            if all((rows[f"{name} length"] == n).all() for name, n in lengths.items()):
                found[table.name] = {
                    one.name: rows[one.name].astype(one.dtype)
                    for one in table.properties
                }
                at += rows.nbytes
                continue
        found[table.name], at = _ragged(content, at, table, order)
    return found


def _row_dtype(table: _Table, order: str, lengths: dict[str, int]) -> np.dtype:
    fields: list[tuple] = []
    for one in table.properties:
        if one.length:
            fields.append((f"{one.name} length", order + one.length))
            fields.append((one.name, order + one.dtype, (lengths.get(one.name, 0),)))
        else:
            fields.append((one.name, order + one.dtype))
    return np.dtype(fields)


def _first_lengths(
    content: bytes, at: int, table: _Table, order: str
) -> dict[str, int]:
    lengths = {}
    for one in table.properties:
        count = 1
        if one.length:
            count = int(_taken(content, at, order + one.length, 1, table.name)[0])
            lengths[one.name] = count
            at += np.dtype(one.length).itemsize
        at += count * np.dtype(one.dtype).itemsize
    return lengths


def _ragged(
    content: bytes, at: int, table: _Table, order: str
) -> tuple[dict[str, Column], int]:
    """Rows of unequal length, one by one."""
    columns: dict[str, list[np.ndarray]] = {one.name: [] for one in table.properties}
    for _ in range(table.count):
        for one in table.properties:
            count = 1
            if one.length:
                count = int(_taken(content, at, order + one.length, 1, table.name)[0])
                at += np.dtype(one.length).itemsize
            values = _taken(content, at, order + one.dtype, count, table.name)
            columns[one.name].append(values.astype(one.dtype))
            at += values.nbytes
    ragged: dict[str, Column] = {}
    for one in table.properties:
        rows = columns[one.name]
        ragged[one.name] = rows if one.length else np.concatenate(rows)
    return ragged, at


def _taken(content: bytes, at: int, dtype: str, count: int, name: str) -> np.ndarray:
    if count < 0 or at + count * np.dtype(dtype).itemsize > len(content):
        raise FormatError(f"{name} data is cut off: the file is truncated")
    return np.frombuffer(content, dtype, count, at)


def _scalars(columns: dict[str, Column]) -> dict[str, np.ndarray]:
    return {
        name: values
        for name, values in columns.items()
        if isinstance(values, np.ndarray) and values.ndim == 1
    }


def _cells(
    columns: dict[str, dict[str, Column]],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    faces, edges = columns.get("face", {}), columns.get("edge", {})
    corners = next((faces[name] for name in _LISTS if name in faces), [])
    rows = [np.asarray(row, np.int64) for row in corners]
    data = _scalars(faces)
    if "vertex1" in edges and "vertex2" in edges:
        ends = np.stack([edges["vertex1"], edges["vertex2"]], axis=1)
        data = {} if len(ends) else data
        rows += list(ends.astype(np.int64))
    cells, parents = polygon_cells(rows)
    return cells, {name: values[parents] for name, values in data.items()}


def write(path: Path, mesh: Mesh) -> None:
    """A binary little-endian file: double coordinates, uchar counts, int corners."""
    vertex = [(axis, "<f8") for axis in "xyz"]
    vertex += [(name, values.dtype) for name, values in mesh.point_data.items()]
    vertices = np.empty(len(mesh.points), np.dtype(vertex))
    for place, axis in enumerate("xyz"):
        vertices[axis] = mesh.points[:, place]
    for name, values in mesh.point_data.items():
        vertices[name] = values
    head = ["ply", "format binary_little_endian 1.0"]
    head += [f"element vertex {len(vertices)}"]
    head += [f"property {_WORDS[np.dtype(kind).name]} {name}" for name, kind in vertex]
    head += [f"element face {sum(map(len, mesh.cells.values()))}"]
    head += ["property list uchar int vertex_indices"]
    head += [
        f"property {_WORDS[values.dtype.name]} {name}"
        for name, values in mesh.cell_data.items()
    ]
    with path.open("wb") as file:
        file.write(("\n".join([*head, "end_header"]) + "\n").encode("ascii"))
        file.write(vertices.astype(vertices.dtype.newbyteorder("<")).tobytes())
        start = 0
        for nodes in mesh.cells.values():
            faces = _face_rows(nodes, mesh.cell_data, start)
            file.write(faces.astype(faces.dtype.newbyteorder("<")).tobytes())
            start += len(nodes)


def _face_rows(
    nodes: np.ndarray, cell_data: Mapping[str, np.ndarray], start: int
) -> np.ndarray:
    fields = [(name, values.dtype) for name, values in cell_data.items()]
    row = np.dtype([("count", "u1"), ("corners", "i4", (nodes.shape[1],)), *fields])
    faces = np.empty(len(nodes), row)
    faces["count"] = nodes.shape[1]
    faces["corners"] = nodes
    for name, values in cell_data.items():
        faces[name] = values[start : start + len(nodes)]
    return faces


_SCALARS = frozenset(_WORDS)
_POINT_NAMES = r"(?!(x|y|z)$)[!-~]+"
_CELL_NAMES = r"(?!(vertex_index|vertex_indices|count|corners)$)[!-~]+"
FORMAT = Format(
    name="PLY",
    suffixes=(".ply",),
    read=read,
    write=write,
    clouds=True,
    holds=Holds(
        cells=frozenset({"triangle", "quad"}),
        point_data=Arrays(_SCALARS, lambda row: row == (), _POINT_NAMES),
        cell_data=Arrays(_SCALARS, lambda row: row == (), _CELL_NAMES),
    ),
)
