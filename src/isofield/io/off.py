"""OFF files: points and polygons."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from isofield.io.registry import Format, FormatError, Holds
from isofield.io.surface_cells import polygon_cells
from isofield.mesh import Mesh


def read(path: Path) -> Mesh:
    """Points and faces; colours and normals of either are not part of the mesh.

    Raises `FormatError` where the first word is not OFF or lines are missing.
    """
    text = re.sub(r"#.*", "", path.read_bytes().decode("utf-8", "replace"))
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or lines[0][0] not in ("OFF", "COFF", "NOFF", "CNOFF", "STOFF"):
        raise FormatError("the first word is not OFF")
    rest = [lines[0][1:], *lines[1:]] if len(lines[0]) > 1 else lines[1:]
    if not rest or len(rest[0]) < 2:
        raise FormatError("the counts of points and faces are missing")
    n_points, n_faces = int(rest[0][0]), int(rest[0][1])
    if min(n_points, n_faces) < 0 or len(rest) < 1 + n_points + n_faces:
        raise FormatError(
            f"{n_points} points and {n_faces} faces are announced, but only "
            f"{len(rest) - 1} lines follow: the file is truncated"
        )
    points = np.array([row[:3] for row in rest[1 : 1 + n_points]], dtype=np.float64)
    faces = []
    for row in rest[1 + n_points : 1 + n_points + n_faces]:
        count = int(row[0])
        if len(row) < 1 + count:
            raise FormatError(f"a face of {count} corners lists {len(row) - 1}")
        faces.append(np.array(row[1 : 1 + count], dtype=np.int64))
    cells, _ = polygon_cells(faces)
    return Mesh(points.reshape(-1, 3), cells)


def write(path: Path, mesh: Mesh) -> None:
    """Points with all their digits, faces in the order of the cells."""
    total = sum(map(len, mesh.cells.values()))
    lines = ["OFF", f"{len(mesh.points)} {total} 0"]
    lines += [" ".join(map(repr, row)) for row in mesh.points.tolist()]
    for nodes in mesh.cells.values():
        lines += [f"{len(row)} {' '.join(map(str, row))}" for row in nodes.tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


FORMAT = Format(
    name="OFF",
    suffixes=(".off",),
    read=read,
    write=write,
    clouds=True,
    holds=Holds(cells=frozenset({"vertex", "line", "triangle", "quad"})),
)
