"""Round shapes, cut like fans: disk, blob, sphere, smooth surface and ball."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np

from isofield.generation.spacing import jittered, moebius, steps, unit
from isofield.mesh import Mesh


def disk(n: int, *, grading: float = 1.0, jitter: float = 0.0, seed: int = 0) -> Mesh:
    """The unit disk in n rings of triangles. Area π - O(h²).

    1 + 3 n (n + 1) points, 6 n² triangles. Grading is a conformal map of the disk onto
    itself, so that the triangles keep their shape; they are finest at (1, 0).
    """
    points, triangles, fixed = _fan(n, *_hexagon(), solid=True)
    return jittered(
        moebius(points, grading), {"triangle": triangles}, jitter, seed, fixed
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
    z = moebius(points, grading) @ np.array([1, 1j])
    image = (z + (c * z[:, None] ** powers).sum(1)) / np.sqrt(1 + 0.25**2)
    points = np.column_stack([image.real, image.imag])
    return jittered(points, {"triangle": triangles}, jitter, seed, fixed)


def icosphere(
    n: int, *, grading: float = 1.0, jitter: float = 0.0, seed: int = 0
) -> Mesh:
    """The unit sphere, each edge of an icosahedron cut in n. Area 4 π - O(h²).

    10 n² + 2 points, 20 n² triangles. Grading is a conformal map of the sphere onto
    itself, finest at (1, 0, 0).
    """
    points, triangles, _ = _fan(n, *_icosahedron(), solid=False)
    points = moebius(points, grading)
    cells = {"triangle": triangles}
    return jittered(points, cells, jitter, seed, np.zeros(len(points), bool), unit)


def random_surface(
    seed: int, n: int, *, grading: float = 1.0, jitter: float = 0.0
) -> Mesh:
    """A smooth random closed surface around the origin, the same for every n.

    The point in the direction x lies at the distance `exp(f(x))`, with six random waves
    `f(x) = sum_k a_k cos(w_k . x + c_k)`, sum a_k² = 0.3² and |w_k| < 3, so all of it
    is seen from the origin and the distance is between 0.48 and 2.1. The triangles are
    those of `icosphere`: 10 n² + 2 points, 20 n² triangles; grading is finest in the
    direction (1, 0, 0).
    """
    random = np.random.default_rng(seed)
    height = 0.3 * unit(random.standard_normal((1, 6)))[0]
    wave = 3 * unit(random.standard_normal((6, 3))) * random.random((6, 1)) ** (1 / 3)
    phase = 2 * np.pi * random.random(6)

    def onto(points: np.ndarray) -> np.ndarray:
        x = unit(points)
        return x * np.exp(np.cos(x @ wave.T + phase) @ height)[:, None]

    points, triangles, _ = _fan(n, *_icosahedron(), solid=False)
    points, free = onto(moebius(points, grading)), np.zeros(len(points), bool)
    return jittered(points, {"triangle": triangles}, jitter, seed, free, onto)


def ball(n: int, *, grading: float = 1.0, jitter: float = 0.0, seed: int = 0) -> Mesh:
    """The unit ball in n shells of tetrahedra. Volume 4/3 π - O(h²).

    20 n³ tetrahedra; shell k has the points of `icosphere(k)`. Grading is a conformal
    map of the ball onto itself, finest at (1, 0, 0).
    """
    points, tetrahedra, fixed = _fan(n, *_icosahedron(), solid=True)
    return jittered(
        moebius(points, grading), {"tetra": tetrahedra}, jitter, seed, fixed
    )


def _fan(
    n: int, corners: np.ndarray, faces: np.ndarray, solid: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points and simplices of the unit ball (or sphere), and which points are outside.

    corners : (V, d) on the unit sphere; faces : (F, d) corner numbers of a simplicial
    polytope around 0. Each cone from 0 over a face is cut into n^d simplices, and layer
    k is pulled to the radius k / n. Not solid: the outermost layer alone.
    """
    n = len(steps(n)) - 1
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
    points[layer > 0] = unit(points[layer > 0]) * (layer[layer > 0, None] / n)
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
    return unit(corners), np.array(faces)
