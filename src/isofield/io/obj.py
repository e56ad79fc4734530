"""Wavefront OBJ files: points, faces, lines and groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isofield.io.registry import Format, FormatError, Holds
from isofield.io.surface_cells import polygon_cells
from isofield.mesh import Mesh

_KINDS = {"p": 2, "l": 4, "f": 7}  # VTK's polyvertex, polyline and polygon
_WORDS = {"vertex": "p", "line": "l", "triangle": "f", "quad": "f"}


def read(path: Path) -> Mesh:
    """Points, faces, lines and points elements; groups and objects are cell sets.

    Colours behind all coordinates are the point data "color". Texture coordinates,
    normals and materials are not part of the mesh. Faces of more than four corners are
    cut into triangles with a `MeshWarning`.

    Raises `FormatError` where a face names a point that is not there.
    """
    text = path.read_bytes().decode("utf-8", "replace")
    text = text.replace("\\\r\n", " ").replace("\\\n", " ")
    points: list[list[str]] = []
    rows: list[np.ndarray] = []
    kinds: list[int] = []
    groups: dict[str, list[int]] = {}
    current: dict[str, list[str]] = {"g": [], "o": []}
    for line in text.splitlines():
        word, *rest = line.split("#")[0].split() or [""]
        if word == "v":
            points.append(rest)
        elif word in ("g", "o"):
            current[word] = rest if word == "g" else [" ".join(rest)]
        elif word in _KINDS:
            for name in dict.fromkeys(current["g"] + current["o"]):
                groups.setdefault(name, []).append(len(rows))
            rows.append(_corners(rest, len(points)))
            kinds.append(_KINDS[word])
    coordinates = _table(points)
    n_points = len(coordinates)
    cells, parents = polygon_cells(rows, np.array(kinds, np.int64))
    for kind, nodes in cells.items():
        if nodes.max(initial=0) >= n_points:
            raise FormatError(
                f"a {kind} names point {nodes.max() + 1}; there are {n_points}"
            )
    wide = coordinates.shape[1] == 6
    return Mesh(
        points=coordinates[:, :3],
        cells=cells,
        point_data={"color": coordinates[:, 3:]} if wide else {},
        cell_sets={
            name: np.flatnonzero(np.isin(parents, members))
            for name, members in groups.items()
            if name
        },
    )


def _corners(words: list[str], n_points: int) -> np.ndarray:
    """Point numbers from 0; negative ones count back from the last point so far."""
    numbers = np.array([int(word.split("/")[0]) for word in words], dtype=np.int64)
    if (numbers == 0).any() or (numbers < -n_points).any():
        raise FormatError("a cell names the point 0 or one before the first")
    return np.where(numbers > 0, numbers - 1, numbers + n_points)


def _table(points: list[list[str]]) -> np.ndarray:
    """(N, 3), or (N, 6) where every point has a colour as well."""
    if any(len(row) < 3 for row in points):
        raise FormatError("a point has fewer than three coordinates")
    width = 6 if points and all(len(row) >= 6 for row in points) else 3
    table = np.array([row[:width] for row in points], dtype=np.float64)
    return table.reshape(-1, width)


def write(path: Path, mesh: Mesh) -> None:
    """Points with all their digits, then the cells in their order."""
    lines = [f"v {' '.join(map(repr, row))}" for row in mesh.points.tolist()]
    for kind, nodes in mesh.cells.items():
        word = _WORDS[kind]
        lines += [f"{word} {' '.join(map(str, row))}" for row in (nodes + 1).tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


FORMAT = Format(
    name="OBJ",
    suffixes=(".obj",),
    read=read,
    write=write,
    clouds=True,
    holds=Holds(cells=frozenset(_WORDS)),
)
