"""Shapes with a known measure: exact or of second order, oriented, on the boundary."""

from functools import partial

import numpy as np
import pytest

from isofield import Mesh, generation
from isofield.generation import ball, box, disk, icosphere, l_shape, square, torus

# name -> (shape, points it has at n = 4, exact measure, is the mesh's measure exact?)
SHAPES = {
    "square of triangles": (square, 25, 1, True),
    "square of quads": (partial(square, cell="quad"), 25, 1, True),
    "L of triangles": (l_shape, 65, 3, True),
    "L of quads": (partial(l_shape, cell="quad"), 65, 3, True),
    "disk": (disk, 61, np.pi, False),
    "blob": (partial(generation.random_blob, 3), 61, np.pi, False),
    "box of tetrahedra": (box, 125, 1, True),
    "box of hexahedra": (partial(box, cell="hexahedron"), 125, 1, True),
    "box of wedges": (partial(box, cell="wedge"), 125, 1, True),
    "box of pyramids": (partial(box, cell="pyramid"), 189, 1, True),
    "icosphere": (icosphere, 162, 4 * np.pi, False),
    "ball": (ball, 309, 4 / 3 * np.pi, False),
    "torus of triangles": (torus, 40, 1.6 * np.pi**2, False),
    "torus of quads": (partial(torus, cell="quad"), 40, 1.6 * np.pi**2, False),
}
FAMILIES = {
    "uniform": {},
    "graded": {"grading": 4.0},
    "jittered": {"jitter": 0.2},
    "graded and jittered": {"grading": 3.0, "jitter": 0.2},
}
every_shape = pytest.mark.parametrize("name", SHAPES)
every_family = pytest.mark.parametrize("family", FAMILIES)

# A corner and the ends of its edges: their determinant must be positive.
CORNERS = {
    "triangle": [(0, 1, 2)],
    "quad": [(0, 1, 3), (1, 2, 0), (2, 3, 1), (3, 0, 2)],
    "tetra": [(0, 1, 2, 3)],
    "hexahedron": [
        (0, 1, 3, 4), (1, 2, 0, 5), (2, 3, 1, 6), (3, 0, 2, 7),
        (4, 7, 5, 0), (5, 4, 6, 1), (6, 5, 7, 2), (7, 6, 4, 3),
    ],
    "wedge": [
        (0, 1, 2, 3), (1, 2, 0, 4), (2, 0, 1, 5),
        (3, 5, 4, 0), (4, 3, 5, 1), (5, 4, 3, 2),
    ],
    "pyramid": [(0, 1, 3, 4), (1, 2, 0, 4), (2, 3, 1, 4), (3, 0, 2, 4)],
}  # fmt: skip


def determinants(mesh: Mesh) -> np.ndarray:
    """Of every cell's corners; on a surface against the direction that is outward."""
    values = []
    for kind, cells in mesh.cells.items():
        for first, *others in CORNERS[kind]:
            origin = mesh.points[cells[:, first]]
            edges = mesh.points[cells[:, others]] - origin[:, None]
            if edges.shape[1] < edges.shape[2]:
                normal = np.cross(edges[:, 0], edges[:, 1])
                values.append((normal * outward(mesh, origin)).sum(1))
            else:
                values.append(np.linalg.det(edges))
    return np.concatenate(values)


def outward(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    if np.allclose(np.linalg.norm(mesh.points, axis=1), 1):
        return points
    flat = points * [1, 1, 0]
    return points - flat / np.linalg.norm(flat, axis=1, keepdims=True)


def measure(mesh: Mesh) -> float:
    return 0.0


@every_family
@every_shape
def test_cells_are_oriented_positively(name, family):
    mesh = SHAPES[name][0](n=4, **FAMILIES[family])
    assert determinants(mesh).min() > 0
