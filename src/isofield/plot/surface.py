"""What is seen of a mesh: its outer faces, lines and points, curved cells cut fine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh
from isofield.topology import number_rows

_CUTS = 6  # pieces of an edge of a quadratic cell: a chord is off by 1/36 of the bulge


@dataclass(frozen=True)
class Piece:
    """Points (P, 3), cells (F, k) of k = 1 to 4 of them, values of one or the other."""

    points: np.ndarray
    cells: np.ndarray
    values: np.ndarray
    at: str


@dataclass(frozen=True)
class Faces:
    """Cells of one type: their nodes in the mesh, and the cells that own them."""

    kind: str
    nodes: np.ndarray
    owner: np.ndarray


def drawn(mesh: Mesh) -> list[Faces]:
    """What there is to see: outer facets, and cells of lower dimension not among them.

    Facets that belong to one solid cell alone; then all faces, lines and vertices that
    do not merely repeat a facet, an edge or a corner of these.
    """
    own: list[list[Faces]] = [[], [], [], []]
    first = 0
    for kind, nodes in mesh.cells.items():
        cells = Faces(kind, nodes, np.arange(first, first + len(nodes)))
        own[CELL_TYPES[kind].dimension].append(cells)
        first += len(nodes)
    facets = _facets(own[3])
    groups = _groups(facets)
    outer = _kept(facets, np.bincount(groups, minlength=1)[groups] == 1)
    faces = outer + _not_among(own[2], facets)
    lines = _not_among(own[1], _facets(faces))
    ends = _facets(_facets(faces)) + _facets(lines)
    return faces + lines + _not_among(own[0], ends)


def pieces(mesh: Mesh, faces: list[Faces], values: np.ndarray, at: str) -> list[Piece]:
    """The faces with `values` (N,) at points or (T,) at cells; points without cells."""
    points = in_space(mesh.points)
    if mesh.dimension < 0:
        return [Piece(points, np.arange(len(points))[:, None], values, at)]
    return [_sampled(points, face, values, at) for face in faces]


def edges(mesh: Mesh, faces: list[Faces]) -> Piece:
    """Every edge of the faces, once, in segments where it is curved."""
    points = in_space(mesh.points)
    lines = _facets([face for face in faces if CELL_TYPES[face.kind].dimension == 2])
    first = np.zeros(sum(len(line.nodes) for line in lines), bool)
    first[np.unique(_groups(lines), return_index=True)[1]] = True
    parts = [
        _sampled(points, line, np.zeros(len(points)), "points")
        for line in _kept(lines, first)
    ]
    offsets = np.cumsum([0, *(len(part.points) for part in parts)])
    cells = [part.cells + o for part, o in zip(parts, offsets, strict=False)]
    return Piece(
        np.concatenate([np.zeros((0, 3)), *(part.points for part in parts)]),
        np.concatenate([np.zeros((0, 2), np.int64), *cells]),
        np.zeros(offsets[-1]),
        "points",
    )


def in_space(points: np.ndarray) -> np.ndarray:
    """(N, 3), with z = 0 for points of the plane."""
    return np.pad(points, ((0, 0), (0, 3 - points.shape[1])))


def _facets(cells: list[Faces]) -> list[Faces]:
    """The facets of all cells, one entry for each type of facet."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for cell in cells:
        for kind, nodes in CELL_TYPES[cell.kind].facets:
            found.setdefault(kind, []).append((cell.nodes[:, nodes], cell.owner))
    return [
        Faces(kind, *(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        for kind, parts in found.items()
    ]


def _groups(cells: list[Faces]) -> np.ndarray:
    """A number for each cell, the same for cells with the same corners."""
    keys = [np.zeros((0, 4), np.int64)]
    for cell in cells:
        corners = cell.nodes[:, : CELL_TYPES[cell.kind].linear.nodes]
        missing = ((0, 0), (0, 4 - corners.shape[1]))
        keys.append(np.pad(np.sort(corners, axis=1) + 1, missing))
    return number_rows(np.concatenate(keys))[1]


def _kept(cells: list[Faces], mask: np.ndarray) -> list[Faces]:
    kept, first = [], 0
    for cell in cells:
        part = mask[first : first + len(cell.nodes)]
        first += len(cell.nodes)
        if part.any():
            kept.append(Faces(cell.kind, cell.nodes[part], cell.owner[part]))
    return kept


def _not_among(cells: list[Faces], others: list[Faces]) -> list[Faces]:
    groups = _groups(cells + others)
    count = sum(len(cell.nodes) for cell in cells)
    return _kept(cells, ~np.isin(groups[:count], groups[count:]))


def _sampled(points: np.ndarray, faces: Faces, values: np.ndarray, at: str) -> Piece:
    """The faces as they are where they are flat, else cut along the shape functions."""
    cell = CELL_TYPES[faces.kind]
    if cell.order == 1:
        values = values if at == "points" else values[faces.owner]
        return Piece(points, faces.nodes, values, at)
    reference, parts = _cut(cell.linear.name)
    shape = cell.shape(reference)
    fine = np.einsum("qn,fnd->fqd", shape, points[faces.nodes]).reshape(-1, 3)
    start = np.arange(len(faces.nodes)) * len(reference)
    cells = (start[:, None, None] + parts).reshape(-1, parts.shape[1])
    if at == "points":
        values = np.einsum("qn,fn->fq", shape, values[faces.nodes]).reshape(-1)
    else:
        values = values[faces.owner].repeat(len(parts))
    return Piece(fine, cells, values, at)


def _cut(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Reference points of a line, triangle or quad cut finely, and its small cells."""
    k = _CUTS
    if kind == "line":
        number = np.arange(k)
        return np.linspace(0, 1, k + 1)[:, None], np.stack([number, number + 1], 1)
    i, j = (index.ravel() for index in np.indices((k + 1, k + 1)))
    number = np.arange((k + 1) ** 2).reshape(k + 1, k + 1)
    a, b, c, d = (
        corner.ravel()
        for corner in (
            number[:-1, :-1],
            number[1:, :-1],
            number[1:, 1:],
            number[:-1, 1:],
        )
    )
    grid = np.column_stack([i, j]) / k
    if kind == "quad":
        return grid, np.column_stack([a, b, c, d])
    parts = np.concatenate([np.column_stack([a, b, d]), np.column_stack([b, c, d])])
    inside = i + j <= k
    parts = parts[inside[parts].all(1)]
    return grid[inside], (np.cumsum(inside) - 1)[parts]
