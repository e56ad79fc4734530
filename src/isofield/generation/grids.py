"""Shapes cut by a grid: square, L, box and torus."""

from __future__ import annotations

import numpy as np

from isofield.generation.spacing import graded, jittered, moebius, steps, unit
from isofield.mesh import Mesh

# Corners of a hexahedron that make its parts; the faces of neighbours match.
_TETRAHEDRA = [
    (0, 1, 2, 6),
    (0, 3, 7, 6),
    (0, 4, 5, 6),
    (0, 2, 3, 6),
    (0, 5, 1, 6),
    (0, 7, 4, 6),
]
_WEDGES = [(0, 1, 2, 4, 5, 6), (0, 2, 3, 4, 6, 7)]
_INWARD_FACES = [
    (0, 1, 2, 3),
    (4, 7, 6, 5),
    (0, 4, 5, 1),
    (3, 2, 6, 7),
    (0, 3, 7, 4),
    (1, 5, 6, 2),
]


def square(
    n: int,
    cell: str = "triangle",
    *,
    grading: float = 1.0,
    jitter: float = 0.0,
    seed: int = 0,
) -> Mesh:
    """The square [0, 1]², n by n spacings, finest at the origin. Area 1, exactly.

    cell : "triangle" (alternating diagonals, 2 n² cells) or "quad" (n² cells).
    """
    axis = graded(steps(n), grading)
    points, quads, odd = _grid(axis, axis)
    fixed = ((points == 0) | (points == 1)).any(1)
    cells = _split_quads(quads, odd, cell)
    return jittered(points, cells, jitter, seed, fixed)


def l_shape(
    n: int,
    cell: str = "triangle",
    *,
    grading: float = 1.0,
    jitter: float = 0.0,
    seed: int = 0,
) -> Mesh:
    """[-1, 1]² without x > 0 > y, n spacings a unit of length. Area 3, exactly.

    The mesh is finest at the re-entrant corner, the origin. 3 n² quads or 6 n²
    triangles.
    """
    half = graded(steps(n), grading)
    axis = np.concatenate([-half[:0:-1], half])
    points, quads, odd = _grid(axis, axis)
    centre = points[quads].mean(1)
    kept = (centre[:, 0] < 0) | (centre[:, 1] > 0)
    points, quads = _without_orphans(points, quads[kept])
    x, y = points.T
    fixed = (np.abs(points) == 1).any(1) | ((x == 0) & (y <= 0)) | ((y == 0) & (x >= 0))
    cells = _split_quads(quads, odd[kept], cell)
    return jittered(points, cells, jitter, seed, fixed)


def box(
    n: int,
    cell: str = "tetra",
    *,
    grading: float = 1.0,
    jitter: float = 0.0,
    seed: int = 0,
) -> Mesh:
    """The cube [0, 1]³, n spacings each way, finest at the origin. Volume 1, exactly.

    cell : "tetra" (6 n³ cells), "hexahedron" (n³), "wedge" (2 n³) or "pyramid" (6 n³,
        with one more point in the middle of every hexahedron).
    """
    axis = graded(steps(n), grading)
    points, hexahedra, _ = _grid(axis, axis, axis)
    if cell == "pyramid":
        apex = len(points) + np.arange(len(hexahedra))
        points = np.concatenate([points, points[hexahedra].mean(1)])
        nodes = [np.column_stack([hexahedra[:, f], apex]) for f in _INWARD_FACES]
        cells = {cell: np.concatenate(nodes)}
    else:
        parts = {"tetra": _TETRAHEDRA, "wedge": _WEDGES, "hexahedron": [range(8)]}
        if cell not in parts:
            raise ValueError(f"cell: expected {[*parts, 'pyramid']}, got {cell!r}")
        cells = {cell: np.concatenate([hexahedra[:, list(p)] for p in parts[cell]])}
    fixed = ((points == 0) | (points == 1)).any(1)
    return jittered(points, cells, jitter, seed, fixed)


def torus(
    n: int,
    cell: str = "triangle",
    *,
    ring: float = 1.0,
    tube: float = 0.4,
    grading: float = 1.0,
    jitter: float = 0.0,
    seed: int = 0,
) -> Mesh:
    """A torus about the z axis. Area 4 π² ring tube - O(h²).

    n spacings around the tube, `ceil(n ring / tube)` around the ring, finest at +x.
    ring, tube : radii of the centre line and of the tube, ring > tube, length.
    cell : "triangle" or "quad".
    """
    if not 0 < tube < ring:
        raise ValueError(f"expected 0 < tube < ring, got tube={tube}, ring={ring}")
    n = len(steps(n)) - 1
    if n < 3:
        raise ValueError(f"n: a tube needs at least 3 spacings, got {n}")
    around = int(np.ceil(n * ring / tube))
    counts = np.array([around, n])
    lattice, quads, odd = _grid(np.arange(around + 1), np.arange(n + 1))
    wrapped = lattice.astype(np.int64) % counts
    numbers = wrapped[:, 0] * n + wrapped[:, 1]
    quads, inner = numbers[quads], (lattice < counts).all(1)
    angle = 2 * np.pi * lattice[inner] / counts
    circle = np.column_stack([np.cos(angle[:, 0]), np.sin(angle[:, 0])])
    direction = moebius(circle, grading)
    radius = ring + tube * np.cos(angle[:, 1:])
    points = np.column_stack([radius * direction, tube * np.sin(angle[:, 1])])

    def project(points: np.ndarray) -> np.ndarray:
        centre = ring * unit(points * [1, 1, 0])
        return centre + tube * unit(points - centre)

    cells = _split_quads(quads, odd, cell)
    fixed = np.zeros(len(points), bool)
    return jittered(points, cells, jitter, seed, fixed, project)


def _grid(*axes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points and quads or hexahedra of a product grid, and which cells are odd."""
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    shape = tuple(len(axis) for axis in axes)
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    if len(axes) == 3:
        corners = [(*corner, up) for up in (0, 1) for corner in corners]
    first = np.indices([len(axis) - 1 for axis in axes]).reshape(len(axes), -1)
    nodes = [
        np.ravel_multi_index(tuple(first + np.array(corner)[:, None]), shape)
        for corner in corners
    ]
    return points, np.column_stack(nodes), first.sum(0) % 2 == 1


def _split_quads(quads: np.ndarray, odd: np.ndarray, cell: str) -> dict:
    if cell == "quad":
        return {"quad": quads}
    if cell != "triangle":
        raise ValueError(f"cell: expected 'triangle' or 'quad', got {cell!r}")
    a, b, c, d = quads.T
    first = np.where(odd, [a, b, d], [a, b, c]).T
    second = np.where(odd, [b, c, d], [a, c, d]).T
    return {"triangle": np.stack([first, second], 1).reshape(-1, 3)}


def _without_orphans(points: np.ndarray, nodes: np.ndarray) -> tuple:
    used, numbers = np.unique(nodes, return_inverse=True)
    return points[used], numbers.reshape(nodes.shape)
