"""VTK XML files of cells (.vtu, .vtp): reader and writer without VTK."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np

from isofield.io import sets
from isofield.io.registry import FLOATS, INTEGERS, Arrays, Format, FormatError, Holds
from isofield.io.vtk_cells import VTK_NUMBERS, cells_from_vtk, cells_to_vtk
from isofield.io.vtk_xml import DTYPE, SHAPE, VTK_DTYPES, VtkXml, array, parsed
from isofield.mesh import Mesh


def read(path: Path) -> Mesh:
    """All pieces of a .vtu or .vtp file as one mesh, points as they stand, 3-D.

    Types that the file interleaves are gathered by type (see `cells_from_vtk`), their
    cell data with them. Arrays that only some pieces have are an error.

    Raises `FormatError` where the file is no complete VTK XML file of cells.
    """
    document = parsed(path)
    kind = document.root.get("type", "")
    if kind not in ("UnstructuredGrid", "PolyData"):
        raise FormatError(
            f"expected a VTK file of type UnstructuredGrid or PolyData, got {kind!r}"
        )
    grid = document.root.find(kind)
    if grid is None:
        raise FormatError(f"the element <{kind}> is missing: the file is truncated")
    pieces = [_piece(document, piece, kind) for piece in grid.findall("Piece")]
    if not pieces:
        raise FormatError(f"<{kind}> has no <Piece>: there are no points")
    fields: dict[str, Any] = {}
    for place in (document.root.find("FieldData"), grid.find("FieldData")):
        fields |= _arrays(document, place)
    fields, named = sets.from_arrays({k: _text(v) for k, v in fields.items()})
    merged = _merged(pieces)
    return Mesh(merged.pop("points"), **merged, field_data=fields, **named)


def _text(values: np.ndarray) -> Any:
    """A single text as str, everything else as it is."""
    return str(values) if values.dtype.kind == "U" and values.ndim == 0 else values


def _arrays(
    document: VtkXml, place: ElementTree.Element | None
) -> dict[str, np.ndarray]:
    found = {}
    for element in () if place is None else place:
        found[element.get("Name", f"array{len(found)}")] = array(document, element)
    return found


def _piece(document: VtkXml, piece: ElementTree.Element, kind: str) -> dict[str, Any]:
    place = piece.find("Points/DataArray")
    count = int(piece.get("NumberOfPoints", "0"))
    points = np.zeros((0, 3)) if place is None else array(document, place)
    points = points.reshape(-1, 3).astype(np.float64)
    if len(points) != count:
        raise FormatError(f"{count} points are announced, {len(points)} are there")
    read_cells = _grid_cells if kind == "UnstructuredGrid" else _surface_cells
    connectivity, offsets, types = read_cells(document, piece)
    if len(connectivity) and not (
        connectivity.min() >= 0 and connectivity.max() < count
    ):
        raise FormatError(
            f"cells name the points {connectivity.min()} to {connectivity.max()}, but "
            f"the piece has {count} points"
        )
    return {
        "points": points,
        "connectivity": connectivity,
        "sizes": np.diff(offsets),
        "types": types,
        "point_data": _arrays(document, piece.find("PointData")),
        "cell_data": _arrays(document, piece.find("CellData")),
    }


def _cell_arrays(
    document: VtkXml, place: ElementTree.Element | None
) -> tuple[np.ndarray, np.ndarray]:
    found = _arrays(document, place)
    empty = np.zeros(0, np.int64)
    offsets = found.get("offsets", empty).reshape(-1).astype(np.int64)
    connectivity = found.get("connectivity", empty).reshape(-1).astype(np.int64)
    return connectivity, np.concatenate([[0], offsets])


def _grid_cells(document: VtkXml, piece: ElementTree.Element) -> tuple[np.ndarray, ...]:
    place = piece.find("Cells")
    connectivity, offsets = _cell_arrays(document, place)
    types = _arrays(document, place).get("types", np.zeros(0, np.uint8)).reshape(-1)
    count = int(piece.get("NumberOfCells", "0"))
    if not len(types) == len(offsets) - 1 == count:
        raise FormatError(
            f"{count} cells are announced, there are {len(types)} cell types and "
            f"{len(offsets) - 1} offsets"
        )
    if _version(document) < (2, 1):
        # the vertical edges 2 and 3 of Lagrange hexahedra changed places in 2.1
        old = offsets[:-1][(types == 72) & (np.diff(offsets) == 27)]
        connectivity = connectivity.copy()
        connectivity[np.concatenate([old + 18, old + 19])] = connectivity[
            np.concatenate([old + 19, old + 18])
        ]
    return connectivity, offsets, types


def _version(document: VtkXml) -> tuple[int, ...]:
    return tuple(int(part) for part in document.root.get("version", "0.1").split("."))


def _surface_cells(
    document: VtkXml, piece: ElementTree.Element
) -> tuple[np.ndarray, ...]:
    """Verts, lines, polygons and strips, in the order that cell data has in VTK."""
    parts, types, start = [], [], 0
    offsets = [np.zeros(1, np.int64)]
    for section, kind in (("Verts", 2), ("Lines", 4), ("Polys", 7), ("Strips", 6)):
        connectivity, ends = _cell_arrays(document, piece.find(section))
        parts.append(connectivity)
        offsets.append(ends[1:] + start)
        start += len(connectivity)
        types.append(np.full(len(ends) - 1, kind))
    return np.concatenate(parts), np.concatenate(offsets), np.concatenate(types)


def _merged(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    starts = np.cumsum([0, *(len(piece["points"]) for piece in pieces)])
    connectivity = np.concatenate(
        [p["connectivity"] + start for p, start in zip(pieces, starts, strict=False)]
    )
    sizes = np.concatenate([piece["sizes"] for piece in pieces])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    types = np.concatenate([piece["types"] for piece in pieces])
    cells, parents = cells_from_vtk(connectivity, offsets, types)
    cell_data = _joined(pieces, "cell_data")
    for name, values in cell_data.items():
        if len(values) != len(types):
            raise FormatError(
                f"cell data {name!r} has {len(values)} rows for {len(types)} cells"
            )
    return {
        "points": np.concatenate([piece["points"] for piece in pieces]),
        "cells": cells,
        "point_data": _joined(pieces, "point_data"),
        "cell_data": {name: values[parents] for name, values in cell_data.items()},
    }


def _joined(pieces: list[dict[str, Any]], attribute: str) -> dict[str, np.ndarray]:
    count = {"point_data": "points", "cell_data": "types"}[attribute]
    filled = [piece for piece in pieces if len(piece[count])]
    names = {name: None for piece in filled for name in piece[attribute]}
    for name in names:
        missing = sum(name not in piece[attribute] for piece in filled)
        if missing:
            raise FormatError(
                f"{attribute} {name!r} is missing in {missing} of {len(filled)} pieces"
            )
    return {
        name: np.concatenate([p[attribute][name] for p in filled]) for name in names
    }


def write(path: Path, mesh: Mesh) -> None:
    """The mesh as one piece, arrays zlib-packed in base64, little-endian.

    Tensors are flattened to components; their shape, and the dtype bool, are noted in
    attributes of the array that VTK ignores. Sets are field data arrays (see
    `isofield.io.sets`), facet sets as pairs (cell number, facet number).
    """
    connectivity, offsets, types = cells_to_vtk(mesh.cells)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(
            '<?xml version="1.0" encoding="UTF-8"?>\n<VTKFile type="UnstructuredGrid" '
            'version="1.0" byte_order="LittleEndian" header_type="UInt64" '
            'compressor="vtkZLibDataCompressor">\n<UnstructuredGrid>\n'
        )
        _section(file, "FieldData", {**mesh.field_data, **sets.as_arrays(mesh)}.items())
        counts = f'NumberOfPoints="{len(mesh.points)}" NumberOfCells="{len(types)}"'
        file.write(f"<Piece {counts}>\n")
        _section(file, "PointData", mesh.point_data.items())
        _section(file, "CellData", mesh.cell_data.items())
        _section(file, "Points", [("Points", mesh.points)])
        cells = {"connectivity": connectivity, "offsets": offsets[1:], "types": types}
        _section(file, "Cells", cells.items())
        file.write("</Piece>\n</UnstructuredGrid>\n</VTKFile>\n")


def _section(file: TextIO, name: str, arrays: Iterable[tuple[str, Any]]) -> None:
    file.write(f"<{name}>\n")
    for key, values in arrays:
        _write_array(file, key, np.asarray(values), field_data=name == "FieldData")
    file.write(f"</{name}>\n")


def _write_array(file: TextIO, name: str, values: np.ndarray, field_data: bool) -> None:
    notes, shape, tag = "", values.shape, "DataArray"
    if values.dtype.kind == "U":
        kind, tag = "String", "Array"
        texts = [str(text).encode() + b"\0" for text in values.reshape(-1)]
        content = b"".join(texts)
    else:
        if values.dtype == bool:
            notes += f' {DTYPE}="bool"'
            values = values.astype(np.uint8)
        kind = VTK_DTYPES[values.dtype.newbyteorder("=").name]
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        content = np.ascontiguousarray(values).tobytes()
    if len(shape) > 1:
        notes += f' NumberOfComponents="{int(np.prod(shape[1:]))}"'
    plain = len(shape) == 1 or (len(shape) == 2 and shape[1] > 1)
    if kind == "String" or not plain:
        notes += f' {SHAPE}="{" ".join(map(str, shape))}"'
    if field_data:
        rows = shape[0] if shape else 1
        notes += f' NumberOfTuples="{rows}"'
    file.write(
        f'<{tag} type="{kind}" Name={quoteattr(name)} '
        f'format="binary"{notes}>\n'
        f"{_packed(content)}\n</{tag}>\n"
    )


def _packed(content: bytes, block: int = 1 << 20) -> str:
    """Base64 of the header and of the zlib blocks, the header encoded on its own."""
    blocks = [content[at : at + block] for at in range(0, len(content), block)]
    packed = [zlib.compress(part) for part in blocks]
    last = len(content) % block
    header = np.array([len(blocks), block, last, *map(len, packed)], dtype="<u8")
    encoded = base64.b64encode(header.tobytes()) + base64.b64encode(b"".join(packed))
    return encoded.decode()


_DATA = Arrays(
    dtypes=FLOATS | INTEGERS | {"bool"},
    shapes=lambda shape: all(shape) or not shape,
    names=sets.NAMES,
)
FORMAT = Format(
    name="VTK XML",
    suffixes=(".vtu",),
    clouds=True,
    read=read,
    write=write,
    holds=Holds(
        cells=frozenset(VTK_NUMBERS),
        point_data=_DATA,
        cell_data=_DATA,
        field_data=Arrays(_DATA.dtypes | {"str"}, names=sets.OTHER_NAMES),
        point_sets=sets.NAMES,
        cell_sets=sets.NAMES,
        facet_sets=sets.NAMES,
    ),
)
SURFACES = Format("VTK XML surface", (".vtp",), read=read, clouds=True)
