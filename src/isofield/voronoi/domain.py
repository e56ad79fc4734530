"""Domains of point clouds: simplices of a mesh, of the hull, or of the dense parts."""

from __future__ import annotations

import math

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh, MeshError

# Among the simplices of a random cloud in the plane, some that hold 0.2 % of the area
# have a radius above REACH times the TYPICAL quantile; among those of a mesh, none.
REACH = 1.8
TYPICAL = 0.8


def mesh_simplices(mesh: Mesh) -> np.ndarray:
    """(S, d + 1, d) the simplices that the cells of highest dimension consist of.

    Quadratic cells are refined once first: straight simplices through all their nodes.

    Raises `MeshError` where the cells do not fill the space of the points, as those of
    a surface in space.
    """
    d = mesh.points.shape[1]
    if mesh.dimension != d:
        raise MeshError(
            f"domain: expected cells of dimension {d} for points with {d} coordinates, "
            f"got {mesh!r} of dimension {mesh.dimension}"
        )
    if any(CELL_TYPES[kind].order > 1 for kind in mesh.cells):
        mesh = mesh.of_dimension(d).refined().linearised()
    return np.concatenate(
        [
            mesh.points[nodes[:, CELL_TYPES[kind].simplices]].reshape(-1, d + 1, d)
            for kind, nodes in mesh.cells.items()
            if CELL_TYPES[kind].dimension == d
        ]
    )


def hull_simplices(points: np.ndarray) -> np.ndarray:
    """(S, d + 1, d) the Delaunay simplices of the points: their convex hull.

    Raises `ValueError` where the points lie in a line, or in space in a plane.
    """
    from scipy.spatial import Delaunay, QhullError  # pyright: ignore

    d = points.shape[1]
    if len(points) <= d:
        raise ValueError(f"expected more than {d} places in {d}-D, got {len(points)}")
    if d == 1:
        line = np.sort(points, axis=0)
        return np.stack([line[:-1], line[1:]], axis=1)
    try:
        nodes = Delaunay(points - points.mean(axis=0)).simplices
    except QhullError as error:
        raise ValueError(
            f"{len(points)} points in {d}-D do not span a domain: do they lie in a "
            "line or a plane?"
        ) from error
    simplices = points[nodes]
    edges = simplices[:, 1:] - simplices[:, :1]
    size = np.abs(edges).max(axis=(1, 2))
    # Qhull's flat simplices, of points in one plane, measure nothing.
    return simplices[np.abs(np.linalg.det(edges)) > 1e-12 * size**d]


def alpha_simplices(points: np.ndarray) -> np.ndarray:
    """(S, d + 1, d) the Delaunay simplices without gaps: the alpha shape of the points.

    Gaps are told by `gap_size`: Edelsbrunner, Kirkpatrick and Seidel 1983,
    doi:10.1109/TIT.1983.1056714, with a radius that follows the local density.
    """
    simplices = hull_simplices(points)
    edges = simplices[:, 1:] - simplices[:, :1]
    right = (edges**2).sum(axis=2, keepdims=True) / 2
    radius = np.linalg.norm(np.linalg.solve(edges, right)[..., 0], axis=1)
    spacing = local_spacing(points, simplices, points.shape[1]).mean(axis=1)
    size = radius / spacing
    return simplices[size <= gap_size(size)]


def gap_size(size: np.ndarray) -> float:
    """Above which size a simplex is a gap: its circumscribed radius in local spacings.

    `REACH` times that of most others, so that regular triangles of a mesh and the wider
    scatter of a random cloud each set their own measure. A hole is found where it is
    wider than about 3 spacings among the nodes of a mesh, 4 to 5 in a random cloud.
    """
    return REACH * float(np.quantile(size, TYPICAL))


def local_spacing(points: np.ndarray, places: np.ndarray, dimension: int) -> np.ndarray:
    """(...) the spacing of a uniform cloud as dense as `points` around places (..., d).

    (|ball| / k)^(1 / dimension) for the smallest ball that holds k = 6 dimension points
    beside the nearest; the dimension is 2 on a surface in space.
    """
    from scipy.spatial import KDTree

    k = min(6 * dimension, len(points) - 1)
    radius = np.asarray(KDTree(points).query(places, k + 1)[0])[..., -1]
    ball = {1: 2.0, 2: math.pi, 3: 4 / 3 * math.pi}[dimension]
    return radius * (ball / k) ** (1 / dimension)
