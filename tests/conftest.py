"""Meshes of every cell type, loaded meshes and tiny models, for all tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from isofield import Mesh, generation
from isofield.cells import CELL_TYPES
from isofield.surrogate import Surrogate

# one test runs on each core; threads of their own would only wait for each other
torch.set_num_threads(1)


def _corners(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Points of the unit box and its cells (quads or hexahedra) on a grid."""
    axes = [np.linspace(0, 1, n + 1) for n in shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(shape))
    number = np.arange(len(points)).reshape([n + 1 for n in shape])
    reference = CELL_TYPES["quad" if len(shape) == 2 else "hexahedron"].reference_points
    corners = [
        number[tuple(slice(int(s), int(s) + n) for s, n in zip(c, shape, strict=True))]
        for c in reference
    ]
    return points, np.stack(corners, -1).reshape(-1, len(corners))


def _pyramids(points: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each hexahedron as six pyramids over its faces around a new centre."""
    centres = len(points) + np.arange(len(boxes))
    parts = [
        np.column_stack([boxes[:, list(face)[::-1]], centres])
        for _, face in CELL_TYPES["hexahedron"].facets
    ]
    return np.concatenate([points, points[boxes].mean(axis=1)]), np.concatenate(parts)


def _wedges(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, [0, 1, 2, 4, 5, 6]], boxes[:, [0, 2, 3, 4, 6, 7]]])


def _split(cells: np.ndarray, kind: str) -> np.ndarray:
    simplices = CELL_TYPES[kind].simplices
    return cells[:, simplices].reshape(-1, simplices.shape[1])


def _linear(shape: str, n: int) -> Mesh:
    if shape == "line":
        points = np.column_stack([np.linspace(0, 1, n + 1), np.zeros(n + 1)])
        return Mesh(points, {"line": np.column_stack([np.arange(n), np.arange(n) + 1])})
    points, boxes = _corners((n,) * CELL_TYPES[shape].dimension)
    if shape == "triangle":
        return Mesh(points, {shape: _split(boxes, "quad")})
    if shape == "tetra":
        return Mesh(points, {shape: _split(boxes, "hexahedron")})
    if shape == "wedge":
        return Mesh(points, {shape: _wedges(boxes)})
    if shape == "pyramid":
        points, pyramids = _pyramids(points, boxes)
        return Mesh(points, {shape: pyramids})
    return Mesh(points, {shape: boxes})


def _mixed(dimension: int) -> Mesh:
    """Every linear cell type of this dimension side by side, in the unit box."""
    points, boxes = _corners((2,) * dimension)
    if dimension == 2:
        return Mesh(points, {"quad": boxes[:2], "triangle": _split(boxes[2:], "quad")})
    points, pyramids = _pyramids(points, boxes[4:])
    ground = (points[pyramids[:, :4], 2] == 0).all(axis=1)
    return Mesh(
        points,
        {
            "pyramid": pyramids[~ground],
            "hexahedron": boxes[:2],
            "tetra": _split(pyramids[ground], "pyramid"),
            "wedge": _wedges(boxes[2:4]),
        },
    )


_SIMPLICES = ["line3", "triangle6", "tetra10"]
_QUADRATIC = {
    "full": [*_SIMPLICES, "quad9", "hexahedron27", "wedge18", "pyramid14"],
    "serendipity": [*_SIMPLICES, "quad8", "hexahedron20", "wedge15", "pyramid13"],
    "bubble": ["triangle7", "quad9"],
}


def _elevated(mesh: Mesh, family: str) -> Mesh:
    """Quadratic cells: nodes that are means of the same corners are one."""
    types = {CELL_TYPES[kind].linear.name: kind for kind in _QUADRATIC[family]}
    number = {(point,): point for point in range(len(mesh.points))}
    points, cells = list(mesh.points), {}
    for shape, rows in mesh.cells.items():
        cell = CELL_TYPES[types[shape]]
        elevated = []
        for row in rows:
            keys = [tuple(sorted(int(row[i]) for i in mean)) for mean in cell.means]
            for key in keys:
                if key not in number:
                    number[key] = len(points)
                    points.append(mesh.points[list(key)].mean(axis=0))
            elevated.append([number[key] for key in keys])
        cells[cell.name] = np.array(elevated)
    return Mesh(np.array(points), cells)


def _jittered(points: np.ndarray, n: int) -> np.ndarray:
    """Every coordinate within the boundary moved by up to an eighth of a cell."""
    step = np.random.default_rng(n).uniform(-1, 1, points.shape) / (8 * n)
    return points + np.where((points > 0) & (points < 1), step, 0)


_SPACINGS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "uniform": lambda points, n: points,
    "graded": lambda points, n: np.expm1(2 * points) / np.expm1(2),
    "random": _jittered,
}


@pytest.fixture(scope="session")
def mesh_of() -> Callable[..., Mesh]:
    """`mesh_of(kind, n, spacing)`: the unit line, square or cube in cells of one type,
    "uniform", "graded" from 7 to 1 towards the origin, or with "random" corners."""

    def build(kind: str, n: int = 2, spacing: str = "uniform") -> Mesh:
        mesh = _linear(CELL_TYPES[kind].linear.name, n)
        mesh = Mesh(_SPACINGS[spacing](mesh.points, n), mesh.cells)
        family = next((f for f, kinds in _QUADRATIC.items() if kind in kinds), None)
        return mesh if family is None else _elevated(mesh, family)

    return build


@pytest.fixture(scope="session")
def mixed_mesh() -> Callable[..., Mesh]:
    """`mixed_mesh(dimension, family)`: every cell type of a family side by side."""

    def build(dimension: int, family: str = "linear") -> Mesh:
        mesh = _mixed(dimension)
        return mesh if family == "linear" else _elevated(mesh, family)

    return build


@pytest.fixture(scope="session")
def bent() -> Callable[[np.ndarray], np.ndarray]:
    """A smooth one-to-one map of the plane or of space that makes all cells curved."""

    def bend(points: np.ndarray) -> np.ndarray:
        turned = np.roll(points, 1, axis=1)
        return points + 0.1 * np.sin(2 * turned + 0.3) + 0.05 * points * turned

    return bend


def _loaded(mesh: Mesh, load: float) -> Mesh:
    """Inputs `load` (a number) and `f`, targets `u` (a vector, mm) and `s`."""
    x, y = mesh.points.T
    f = np.cos(2 * x) + y
    u = load * np.stack([x * y, x - y**2], 1)
    units = {"unit:load": "kN", "unit:u": "mm"}
    return replace(
        mesh,
        point_data={"f": f, "u": u, "s": load * f + 3},
        field_data={"load": load, **units},
    )


@pytest.fixture(scope="session")
def loaded() -> Callable[[Mesh, float], Mesh]:
    """`loaded(mesh, load)`: a plane mesh with the fields that tiny models learn."""
    return _loaded


@pytest.fixture(scope="session")
def blobs() -> list[Mesh]:
    """Eight loaded meshes of other shapes and sizes, 37 to 91 points."""
    return [
        _loaded(generation.random_blob(seed, 3 + seed % 3), 1 + seed / 8)
        for seed in range(8)
    ]


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Surrogate]:
    """`tiny(cases)`: an untrained model of the smallest network for loaded cases."""

    def build(cases: list[Mesh], inputs=("load", "f"), targets=("u", "s"), **more):
        size = {"width": 8, "blocks": 1, "levels": 2, "rank": 2}
        return Surrogate.for_cases(cases, inputs, targets, **{**size, **more})

    return build
