"""VTK's cell arrays and the cells of a `Mesh`: the same nodes under other names."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.registry import FormatError, MeshWarning

VTK_NUMBERS = {
    "vertex": 1,
    "line": 3,
    "triangle": 5,
    "quad": 9,
    "tetra": 10,
    "hexahedron": 12,
    "wedge": 13,
    "pyramid": 14,
    "line3": 21,
    "triangle6": 22,
    "quad8": 23,
    "tetra10": 24,
    "hexahedron20": 25,
    "wedge15": 26,
    "pyramid13": 27,
    "quad9": 28,
    "hexahedron27": 29,
    "wedge18": 32,
    "triangle7": 34,
}
_NAMES = {number: name for name, number in VTK_NUMBERS.items()}
# Lagrange cells of order 2 (and 1) have the node order of the quadratic cells
_LAGRANGE = {
    68: ("line", "line3"),
    69: ("triangle", "triangle6"),
    70: ("quad", "quad9"),
    71: ("tetra", "tetra10"),
    72: ("hexahedron", "hexahedron27"),
    73: ("wedge", "wedge18"),
    74: ("pyramid", "pyramid13", "pyramid14"),
}
_GRID = {8: ("quad", [0, 1, 3, 2]), 11: ("hexahedron", [0, 1, 3, 2, 4, 5, 7, 6])}
_UNSUPPORTED = {
    30: "quadratic-linear quad",
    31: "quadratic-linear wedge",
    33: "biquadratic hexahedron",
    35: "cubic line",
    36: "quadratic polygon",
    37: "triquadratic pyramid",
    41: "convex point set",
    42: "polyhedron",
}


def _strip(nodes: np.ndarray) -> np.ndarray:
    triangles = np.stack([nodes[:-2], nodes[1:-1], nodes[2:]], axis=1)
    triangles[1::2, :2] = triangles[1::2, 1::-1]
    return triangles


def _fan(nodes: np.ndarray) -> np.ndarray:
    first = np.full(len(nodes) - 2, nodes[0])
    return np.stack([first, nodes[1:-1], nodes[2:]], axis=1)


def _prism(nodes: np.ndarray) -> np.ndarray:
    half = len(nodes) // 2
    return np.concatenate([_fan(nodes[:half]), _fan(nodes[half:])], axis=1)


def _polyline(nodes: np.ndarray) -> np.ndarray:
    return np.stack([nodes[:-1], nodes[1:]], axis=1)


# VTK number -> name of the parts, and how one cell is cut into them
_CUT: dict[int, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    2: ("vertex", lambda nodes: nodes[:, None]),
    4: ("line", _polyline),
    6: ("triangle", _strip),
    7: ("triangle", _fan),
    15: ("wedge", _prism),
    16: ("wedge", _prism),
}
_CUT_WARNS = {
    7: "polygons of five corners or more",
    15: "pentagonal prisms",
    16: "hexagonal prisms",
}


def cells_from_vtk(
    connectivity: np.ndarray, offsets: np.ndarray, types: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Cells by type, and for each of them the number of its cell in VTK's arrays.

    connectivity : node numbers of all cells, one cell after the other.
    offsets : (T + 1,) where each cell starts in `connectivity`.
    types : (T,) VTK's cell type numbers.

    Cells of one type keep their order; types come in the order of their first cell.
    Pixels and voxels become quads and hexahedra; polylines, polyvertices and triangle
    strips become lines, vertices and triangles. Polygons of more than four corners and
    prisms over them are cut from their first corner, with a `MeshWarning`.
    Indexing cell data with the second result gives each part the value of its whole.

    Raises `FormatError` for cells that have no counterpart, and for broken offsets.
    """
    connectivity, offsets, types = (
        np.asarray(array).astype(np.int64, copy=False).reshape(-1)
        for array in (connectivity, offsets, types)
    )
    sizes = np.diff(offsets)
    if len(offsets) != len(types) + 1 or offsets[0] != 0 or (sizes < 0).any():
        raise FormatError("the offsets of the cells do not rise, or are too few")
    if len(types) and not 0 <= types.min() <= types.max() < 256:
        raise FormatError(f"cell types from {types.min()} to {types.max()}: unknown")
    if offsets[-1] > len(connectivity):
        raise FormatError(
            f"the cells need {offsets[-1]} node numbers, there are {len(connectivity)}"
        )
    _warn_of_cuts(types, sizes)
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    codes = types + (sizes << 8)
    for code in np.unique(codes).tolist():
        number, size = code & 255, code >> 8
        numbers = np.flatnonzero(codes == code)
        nodes = connectivity[offsets[numbers][:, None] + np.arange(size)]
        name, nodes, parents = _translated(number, nodes, numbers)
        if name:
            parts.setdefault(name, []).append((nodes, parents))
    return _ordered(parts)


def _translated(
    number: int, nodes: np.ndarray, numbers: np.ndarray
) -> tuple[str, np.ndarray, np.ndarray]:
    """Name, nodes and original numbers of cells of one VTK type and one size."""
    count, size = nodes.shape
    if number in _GRID:
        name, order = _GRID[number]
        if size == len(order):
            return name, nodes[:, order], numbers
    if number == 7 and size in (3, 4):
        return ("triangle" if size == 3 else "quad"), nodes, numbers
    if number == 0:
        return "", nodes, numbers
    if number in _CUT:
        name, cut = _CUT[number]
        cut_cells = [cut(cell) for cell in nodes]
        return (
            name,
            np.concatenate(cut_cells),
            numbers.repeat([len(c) for c in cut_cells]),
        )
    for name in (*_LAGRANGE.get(number, ()), _NAMES.get(number, "")):
        if name and CELL_TYPES[name].nodes == size:
            return name, nodes, numbers
    called = _UNSUPPORTED.get(number, _NAMES.get(number, f"VTK type {number}"))
    raise FormatError(
        f"{count} cells are of the type {called} with {size} nodes, which a mesh here "
        "does not know; split or lower them in the program that wrote the file"
    )


def _warn_of_cuts(types: np.ndarray, sizes: np.ndarray) -> None:
    found = {
        words: int(((types == number) & (sizes > 4)).sum())
        for number, words in _CUT_WARNS.items()
    }
    cut = [f"{count} {words}" for words, count in found.items() if count]
    if cut:
        warnings.warn(
            f"{' and '.join(cut)} were cut from their first corner into triangles or "
            "wedges, which is right where they are convex",
            MeshWarning,
            stacklevel=3,
        )
    if empty := int((types == 0).sum()):
        warnings.warn(f"{empty} empty cells were left out", MeshWarning, stacklevel=3)


def _ordered(
    parts: Mapping[str, list[tuple[np.ndarray, np.ndarray]]],
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    merged = []
    for name, pieces in parts.items():
        nodes = np.concatenate([piece[0] for piece in pieces])
        parents = np.concatenate([piece[1] for piece in pieces])
        if len(pieces) > 1:
            order = np.argsort(parents, kind="stable")
            nodes, parents = nodes[order], parents[order]
        if len(parents):
            merged.append((parents[0], name, nodes, parents))
    merged.sort(key=lambda entry: entry[0])
    cells = {name: nodes for _, name, nodes, _ in merged}
    parents = [parents for *_, parents in merged]
    return cells, np.concatenate(parents) if parents else np.zeros(0, np.int64)


def cells_to_vtk(
    cells: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connectivity, offsets (T + 1,) and VTK type numbers (T,) of the cells."""
    sizes = [np.full(len(nodes), nodes.shape[1], np.int64) for nodes in cells.values()]
    types = [
        np.full(len(nodes), VTK_NUMBERS[name], np.uint8)
        for name, nodes in cells.items()
    ]
    empty = np.zeros(0, np.int64)
    connectivity = [nodes.reshape(-1) for nodes in cells.values()]
    return (
        np.concatenate([empty, *connectivity]),
        np.concatenate([[0], np.cumsum(np.concatenate([empty, *sizes]))]),
        np.concatenate([empty.astype(np.uint8), *types]),
    )
