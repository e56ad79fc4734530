"""Legacy VTK files (.vtk), read and written by VTK, and checked for what it passes
over: of files that are cut off it reads a part, and says so of some alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from isofield.io import vtk_reader
from isofield.io.pyvista_bridge import to_pyvista
from isofield.io.registry import FLOATS, INTEGERS, Arrays, Format, FormatError, Holds
from isofield.io.sets import PREFIX
from isofield.io.vtk_cells import VTK_NUMBERS
from isofield.mesh import Mesh

_WIDTHS = {
    b"SCALARS": 1,
    b"VECTORS": 3,
    b"NORMALS": 3,
    b"TENSORS": 9,
    b"TENSORS6": 6,
}
# a line that heads an array in text: points, one of points or cells, one of a FIELD
_HEAD = re.compile(
    rb"^(?:POINTS[ \t]+(?P<points>\d+)[ \t]+\w+"
    rb"|(?P<kind>SCALARS|VECTORS|NORMALS|TENSORS6?)[ \t]+\S+[ \t]+\w+"
    rb"(?:[ \t]+(?P<width>\d+))?(?:[ \t]*\r?\n[ \t]*LOOKUP_TABLE[ \t]+\S+)?"
    rb"|\S+[ \t]+(?P<row>\d+)[ \t]+(?P<rows>\d+)[ \t]+(?!string)[a-z]\w+)"
    rb"[ \t]*\r?$",
    re.MULTILINE,
)
_ROWS = re.compile(rb"^(?:POINT|CELL)_DATA[ \t]+(\d+)", re.MULTILINE)


def read(path: Path) -> Mesh:
    """What VTK reads, where that is all that the file announces.

    Raises `FormatError` where it is not: cells that are missing, and in files of text
    a last array of fewer numbers than its head says.
    """
    mesh = vtk_reader.read(path)
    content = path.read_bytes()
    if not mesh.cells and b"DATASET UNSTRUCTURED_GRID" in content[:1024]:
        counts = re.search(rb"^CELLS[ \t]+\d+[ \t]+(\d+)", content, re.MULTILINE)
        if counts is not None and int(counts[1]):
            raise FormatError("VTK reads none of the cells that it announces")
    if b"\nASCII" in content[:1024]:
        _check_last_array(content)
    return mesh


def _check_last_array(content: bytes) -> None:
    heads = list(_HEAD.finditer(content))
    if not heads:
        return
    start = heads[-1].end()
    points, kind, width, row, rows = heads[-1].groups()
    if points is not None:
        expected = 3 * int(points)
    elif kind is None:
        expected = int(row) * int(rows)
    else:
        counts = _ROWS.findall(content, 0, start)
        expected = int(counts[-1]) * int(width or _WIDTHS[kind]) if counts else 0
    found = len(content[start:].split(None, expected)[:expected])
    if found < expected:
        raise FormatError(
            f"its last array should have {expected} numbers, there are {found}: the "
            "file is cut off"
        )


def write(path: Path, mesh: Mesh) -> None:
    """A binary file, as VTK writes it."""
    to_pyvista(mesh).save(path, binary=True)


def fitted(mesh: Mesh) -> tuple[Mesh, list[str]]:
    """Without field data that have no entries, which VTK does not store."""
    filled = {k: v for k, v in mesh.field_data.items() if np.size(v)}
    lost = [f"field_data[{k!r}] (empty)" for k in mesh.field_data if k not in filled]
    return (replace(mesh, field_data=filled) if lost else mesh), lost


def _rows(row: tuple[int, ...]) -> bool:
    return row == () or (len(row) == 1 and row[0] > 1)


_DATA = Arrays(FLOATS | INTEGERS, _rows, r"\S+")
FORMAT = Format(
    name="legacy VTK",
    suffixes=(".vtk",),
    read=read,
    write=write,
    fitted=fitted,
    clouds=True,
    risky=True,
    holds=Holds(
        cells=frozenset(VTK_NUMBERS),
        point_data=_DATA,
        cell_data=_DATA,
        field_data=replace(_DATA, names=rf"(?!{PREFIX})\S+"),
    ),
)
