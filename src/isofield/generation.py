"""Meshes of known shapes, uniform and graded: where tests and examples start.

`n` is a number of spacings, so the spacing is h = O(1 / n). `grading` is the ratio of
the largest to the smallest spacing in one direction, up to O(h); 1 is uniform. It does
not depend on n, hence a graded family is refined together with the uniform one of the
same shape. `jitter` moves every interior point by at most that fraction of the shortest
edge at the point, drawn from `seed`; points of a boundary stay where they are.

Every point that should lie on the boundary (or surface) of a shape does so to rounding.
All cells are oriented positively, surfaces outward.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations

import numpy as np

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
    axis = _graded(_steps(n), grading)
    points, quads, odd = _grid(axis, axis)
    fixed = ((points == 0) | (points == 1)).any(1)
    cells = _split_quads(quads, odd, cell)
    return _mesh(points, cells, jitter, seed, fixed)


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
    half = _graded(_steps(n), grading)
    axis = np.concatenate([-half[:0:-1], half])
    points, quads, odd = _grid(axis, axis)
    centre = points[quads].mean(1)
    kept = (centre[:, 0] < 0) | (centre[:, 1] > 0)
    points, quads = _without_orphans(points, quads[kept])
    x, y = points.T
    fixed = (np.abs(points) == 1).any(1) | ((x == 0) & (y <= 0)) | ((y == 0) & (x >= 0))
    cells = _split_quads(quads, odd[kept], cell)
    return _mesh(points, cells, jitter, seed, fixed)


def disk(n: int, *, grading: float = 1.0, jitter: float = 0.0, seed: int = 0) -> Mesh:
    """The unit disk in n rings of triangles. Area π - O(h²).

    1 + 3 n (n + 1) points, 6 n² triangles. Grading is a conformal map of the disk onto
    itself, so that the triangles keep their shape; they are finest at (1, 0).
    """
    points, triangles, fixed = _fan(n, *_hexagon(), solid=True)
    return _mesh(
        _moebius(points, grading), {"triangle": triangles}, jitter, seed, fixed
    )


def random_blob(
    seed: int, n: int, *, grading: float = 1.0, jitter: float = 0.0
) -> Mesh:
    """A smooth random domain in the plane. Area π - O(h²), the same for every seed.

    The image of `disk` under z + c₂ z² + ... + c₅ z⁵, scaled. The random coefficients
    satisfy sum k |c_k|² = s² = 1/16; the map is one-to-one since sum k |c_k| is at most
    s √14 < 1, and the image has the area π (1 + s²) before it is scaled.
    """
    random = np.random.default_rng(seed)
    powers = np.arange(2, 6)
    c = random.standard_normal((4, 2)) @ np.array([1, 1j])
    c *= 0.25 / np.sqrt((powers * np.abs(c) ** 2).sum())
    points, triangles, fixed = _fan(n, *_hexagon(), solid=True)
    z = _moebius(points, grading) @ np.array([1, 1j])
    image = (z + (c * z[:, None] ** powers).sum(1)) / np.sqrt(1 + 0.25**2)
    points = np.column_stack([image.real, image.imag])
    return _mesh(points, {"triangle": triangles}, jitter, seed, fixed)


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
    axis = _graded(_steps(n), grading)
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
    return _mesh(points, cells, jitter, seed, fixed)


def icosphere(
    n: int, *, grading: float = 1.0, jitter: float = 0.0, seed: int = 0
) -> Mesh:
    """The unit sphere, each edge of an icosahedron cut in n. Area 4 π - O(h²).

    10 n² + 2 points, 20 n² triangles. Grading is a conformal map of the sphere onto
    itself, finest at (1, 0, 0).
    """
    points, triangles, _ = _fan(n, *_icosahedron(), solid=False)
    points = _moebius(points, grading)
    cells = {"triangle": triangles}
    return _mesh(points, cells, jitter, seed, np.zeros(len(points), bool), _unit)


def ball(n: int, *, grading: float = 1.0, jitter: float = 0.0, seed: int = 0) -> Mesh:
    """The unit ball in n shells of tetrahedra. Volume 4/3 π - O(h²).

    20 n³ tetrahedra; shell k has the points of `icosphere(k)`. Grading is a conformal
    map of the ball onto itself, finest at (1, 0, 0).
    """
    points, tetrahedra, fixed = _fan(n, *_icosahedron(), solid=True)
    return _mesh(_moebius(points, grading), {"tetra": tetrahedra}, jitter, seed, fixed)


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
    n = len(_steps(n)) - 1
    around = int(np.ceil(n * ring / tube))
    counts = np.array([around, n])
    lattice, quads, odd = _grid(np.arange(around + 1), np.arange(n + 1))
    numbers = np.ravel_multi_index((lattice.astype(int) % counts).T, (around, n))
    quads, inner = numbers[quads], (lattice < counts).all(1)
    angle = 2 * np.pi * lattice[inner] / counts
    circle = np.column_stack([np.cos(angle[:, 0]), np.sin(angle[:, 0])])
    direction = _moebius(circle, grading)
    radius = ring + tube * np.cos(angle[:, 1:])
    points = np.column_stack([radius * direction, tube * np.sin(angle[:, 1])])

    def project(points: np.ndarray) -> np.ndarray:
        centre = ring * _unit(points * [1, 1, 0])
        return centre + tube * _unit(points - centre)

    cells = _split_quads(quads, odd, cell)
    fixed = np.zeros(len(points), bool)
    return _mesh(points, cells, jitter, seed, fixed, project)


def _mesh(
    points: np.ndarray,
    cells: dict[str, np.ndarray],
    jitter: float,
    seed: int,
    fixed: np.ndarray,
    project: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Mesh:
    """The mesh, after every point that is not fixed has moved by the jitter."""
    if not 0 <= jitter <= 0.25:
        raise ValueError(f"jitter: expected 0 to 0.25 of an edge, got {jitter}")
    if jitter == 0:
        return Mesh(points, cells)
    shortest = np.full(len(points), np.inf)
    for nodes in cells.values():
        for i, j in combinations(range(nodes.shape[1]), 2):
            a, b = nodes[:, i], nodes[:, j]
            length = np.linalg.norm(points[a] - points[b], axis=1)
            np.minimum.at(shortest, a, length)
            np.minimum.at(shortest, b, length)
    random = np.random.default_rng(seed)
    step = _unit(random.standard_normal(points.shape)) * random.random((len(points), 1))
    moved = points + jitter * shortest[:, None] * step
    moved = moved if project is None else project(moved)
    return Mesh(np.where(fixed[:, None], points, moved), cells)


def _steps(n: int) -> np.ndarray:
    if n < 1 or n != int(n):
        raise ValueError(f"n: expected a whole number of spacings >= 1, got {n}")
    return np.linspace(0, 1, int(n) + 1)


def _checked_grading(grading: float) -> float:
    if not 0 < grading < np.inf:
        raise ValueError(f"grading: expected a ratio > 0, got {grading}")
    return float(np.log(grading))


def _graded(t: np.ndarray, grading: float) -> np.ndarray:
    """(grading^t - 1) / (grading - 1), which maps [0, 1] onto itself."""
    rate = _checked_grading(grading)
    return t if rate == 0 else np.expm1(rate * t) / np.expm1(rate)


def _moebius(points: np.ndarray, grading: float) -> np.ndarray:
    """The conformal map of the unit ball onto itself that takes 0 to a = (a, 0, ...).

    x -> ((1 + 2 a.x + |x|²) a + (1 - a²) x) / (1 + 2 a.x + a² |x|²), in any dimension.
    It stretches by (1 - a) / (1 + a) at (1, 0, ...) and by the inverse opposite.
    """
    a = np.tanh(_checked_grading(grading) / 4)
    if a == 0:
        return points
    square = (points**2).sum(1, keepdims=True)
    along = 1 + 2 * a * points[:, :1]
    image = (1 - a**2) * points
    image[:, :1] += (along + square) * a
    return image / (along + a**2 * square)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _grid(*axes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points and quads or hexahedra of a product grid, and which cells are odd."""
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    shape = np.array([len(axis) for axis in axes])
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    if len(axes) == 3:
        corners = [(*corner, up) for up in (0, 1) for corner in corners]
    first = np.indices(shape - 1).reshape(len(axes), -1)
    nodes = [
        np.ravel_multi_index(first + np.array(corner)[:, None], shape)
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


def _fan(
    n: int, corners: np.ndarray, faces: np.ndarray, solid: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points and simplices of the unit ball (or sphere), and which points are outside.

    corners : (V, d) on the unit sphere; faces : (F, d) corner numbers of a simplicial
    polytope around 0. Each cone from 0 over a face is cut into n^d simplices, and layer
    k is pulled to the radius k / n. Not solid: the outermost layer alone.
    """
    n = len(_steps(n)) - 1
    lattice, simplices = _ordered_lattice(n, faces.shape[1] - (not solid))
    if not solid:
        lattice = np.column_stack([np.full(len(lattice), n), lattice])
    # Whole multiples of the corners name a point: faces meet without a tolerance.
    share = -np.diff(lattice, axis=1, append=0)
    multiples = np.zeros((len(faces), len(lattice), len(corners)), np.int64)
    for part, face in zip(multiples, faces, strict=True):
        part[:, face] = share
    keys, numbers = np.unique(
        multiples.reshape(-1, len(corners)), axis=0, return_inverse=True
    )
    layer = keys.sum(1)
    points = keys @ corners
    points[layer > 0] = _unit(points[layer > 0]) * (layer[layer > 0, None] / n)
    cells = numbers.reshape(len(faces), -1)[:, simplices].reshape(
        -1, simplices.shape[1]
    )
    edges = points[cells[:, 1:]] - points[cells[:, :1]]
    matrix = edges if solid else np.append(edges, points[cells[:, :1]], axis=1)
    inverted = np.linalg.det(matrix) < 0
    cells[inverted, :2] = cells[inverted, 1::-1]
    return points, cells, layer == n


def _ordered_lattice(n: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """The points n >= x_1 >= ... >= x_d >= 0 and the n^d simplices between them."""
    cube = np.indices([n + 1] * dimension).reshape(dimension, -1).T
    ordered = (np.diff(cube, axis=1) <= 0).all(1)
    unit = np.eye(dimension, dtype=np.int64)
    simplices = []
    for order in permutations(range(dimension)):
        path = np.cumsum([0 * unit[0], *unit[list(order)]], axis=0)
        corners = cube[(cube < n).all(1), None] + path
        simplices.append(corners[(np.diff(corners, axis=2) <= 0).all((1, 2))])
    numbers = np.cumsum(ordered) - 1
    flat = np.ravel_multi_index(np.concatenate(simplices).T, [n + 1] * dimension)
    return cube[ordered], numbers[flat].T


def _hexagon() -> tuple[np.ndarray, np.ndarray]:
    angle = np.arange(6) * np.pi / 3
    first = np.arange(6)
    faces = np.column_stack([first, (first + 1) % 6])
    return np.column_stack([np.cos(angle), np.sin(angle)]), faces


def _icosahedron() -> tuple[np.ndarray, np.ndarray]:
    golden = (1 + np.sqrt(5)) / 2
    signs = np.array([(a, b) for a in (-1, 1) for b in (-golden, golden)])
    first = np.column_stack([np.zeros(4), signs])
    corners = np.concatenate([np.roll(first, shift, axis=1) for shift in range(3)])
    # The edges of the icosahedron with these corners have the length 2.
    near = np.linalg.norm(corners[:, None] - corners, axis=2) < 2.1
    faces = [
        face
        for face in combinations(range(12), 3)
        if all(near[a, b] for a, b in combinations(face, 2))
    ]
    return _unit(corners), np.array(faces)
