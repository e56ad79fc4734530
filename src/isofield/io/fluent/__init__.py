"""Fluent meshes and the meshes of case files, `.msh` and `.cas`, without data.

Fluent stores faces and the two cells beside each; cells are put together from them.
Faces of every zone but the interior ones are cells of lower dimension. Zones of cells
and of faces are cell sets. Polyhedra and cells with hanging nodes are not read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isofield.io.fluent.sections import Content, read_content
from isofield.io.registry import Format, FormatError
from isofield.mesh import Mesh

__all__ = ["FORMAT"]

_FACE_TYPES = {2: "line", 3: "triangle", 4: "quad"}
# numbers of nodes of the faces of a cell, sorted -> cell type
_SHAPES = {
    (2, 2, 2): "triangle",
    (2, 2, 2, 2): "quad",
    (3, 3, 3, 3): "tetra",
    (3, 3, 3, 3, 4): "pyramid",
    (3, 3, 4, 4, 4): "wedge",
    (4, 4, 4, 4, 4, 4): "hexahedron",
}


def read_fluent(path: Path) -> Mesh:
    """The mesh of a Fluent file; raises `FormatError`."""
    content = read_content(Path(path).read_bytes())
    if not len(content.points) or not content.faces:
        raise FormatError("there are no nodes or no faces in it")
    faces = _faces_by_cell(content)
    cells: dict[str, list[list[int]]] = {}
    zones: dict[str, list[tuple[str, int]]] = {}
    names = _zone_names(content, sorted(faces))
    for number in sorted(faces):
        kind, nodes = _cell(number, faces[number], content.points)
        cells.setdefault(kind, []).append(nodes)
        zones.setdefault(names[number], []).append((kind, len(cells[kind]) - 1))
    _add_boundary(content, cells, zones)
    starts = dict(zip(cells, np.cumsum([0, *map(len, cells.values())]), strict=False))
    return Mesh(
        content.points,
        {kind: np.array(rows, dtype=np.int64) for kind, rows in cells.items()},
        cell_sets={
            name: np.array([starts[kind] + i for kind, i in members], dtype=np.int64)
            for name, members in zones.items()
        },
    )


def _faces_by_cell(content: Content) -> dict[int, list[list[int]]]:
    """Cell number -> its faces as lists of points, counted from 0."""
    faces: dict[int, list[list[int]]] = {}
    for block in content.faces:
        rows = (block.nodes - 1).tolist()
        for sides in block.sides.T.tolist():
            for number, row in zip(sides, rows, strict=True):
                if number > 0:
                    faces.setdefault(number, []).append(row)
    return faces


def _zone_names(content: Content, numbers: list[int]) -> dict[int, str]:
    names = dict.fromkeys(numbers, "cells")
    for zone, first, last in content.cell_zones:
        label = content.names.get(zone, f"zone {zone}")
        names.update((n, label) for n in range(first, last + 1) if n in names)
    return names


def _cell(
    number: int, faces: list[list[int]], points: np.ndarray
) -> tuple[str, list[int]]:
    """Cell type and nodes, turned so that the measure is positive."""
    kind = _SHAPES.get(tuple(sorted(len(face) for face in faces)))
    if kind is None:
        raise FormatError(
            f"cell {number} has faces with {[len(face) for face in faces]} nodes: "
            f"polyhedra and cells with hanging nodes are not read"
        )
    beside: dict[int, list[int]] = {}
    for face in faces:
        pairs = zip(face, face[1:] + face[:1], strict=True)
        for a, b in pairs if len(face) > 2 else [tuple(face)]:
            beside.setdefault(a, []).append(b)
            beside.setdefault(b, []).append(a)
    if kind in ("triangle", "quad"):
        ring = _ring(number, beside)
        x, y = points[ring, 0], points[ring, 1]
        area = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
        return kind, ring if area > 0 else ring[::-1]
    wanted = 4 if kind in ("pyramid", "hexahedron") else 3
    base = next(face for face in faces if len(face) == wanted)
    top = [next((n for n in beside[a] if n not in base), -1) for a in base]
    if -1 in top:
        raise FormatError(f"cell {number}: its faces do not close a {kind}")
    a, b, c = (points[node] for node in base[:3])
    # the base must be seen turning to the left from within the cell
    if np.dot(np.cross(b - a, c - a), points[top[0]] - a) < 0:
        base, top = base[::-1], top[::-1]
    return kind, base + (top[:1] if kind in ("tetra", "pyramid") else top)


def _ring(number: int, beside: dict[int, list[int]]) -> list[int]:
    """The corners of a flat cell in turn."""
    first = next(iter(beside))
    ring, before = [first], -1
    while len(ring) < len(beside):
        step = [node for node in beside[ring[-1]] if node not in (before, *ring)]
        if not step:
            raise FormatError(f"cell {number}: its edges do not close")
        before = ring[-1]
        ring.append(step[0])
    return ring


def _add_boundary(
    content: Content,
    cells: dict[str, list[list[int]]],
    zones: dict[str, list[tuple[str, int]]],
) -> None:
    for block in content.faces:
        width = block.nodes.shape[1]
        if block.interior:
            continue
        if width not in _FACE_TYPES:
            raise FormatError(f"faces with {width} nodes are not read")
        kind = _FACE_TYPES[width]
        name = content.names.get(block.zone, f"zone {block.zone}")
        rows = cells.setdefault(kind, [])
        zones.setdefault(name, []).extend(
            (kind, len(rows) + i) for i in range(len(block.nodes))
        )
        rows += (block.nodes - 1).tolist()


def _claims(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(64).lstrip().startswith(b"(")


FORMAT = Format(
    name="Fluent mesh", suffixes=(".msh", ".cas"), read=read_fluent, claims=_claims
)
