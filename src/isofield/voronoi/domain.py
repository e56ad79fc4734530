"""Domains of point clouds: simplices of a mesh, of the hull, or of the dense parts."""

from __future__ import annotations

import math

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh, MeshError

# In the plane and in space 0.07 % of the simplices within a random cloud have a radius
# above REACH times the TYPICAL quantile, of those of a mesh none: in a Poisson process
# the measure of their balls over that of a point has the gamma law of shape d.
REACH = {1: 1.8, 2: 1.8, 3: 1.4}
TYPICAL = 0.8
# Slivers, as of the corners of a square, are no measure of what is typical in space.
SLIVER = 0.05  # of the volume of a cube over the longest edge
# The least that is taken for typical in space, in spacings: with 1, 5 % more of a cube
# of random points is lost, and nothing found that is not found so.
RANDOM = 1.2


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
    return points[_delaunay(points)[0]]


def _delaunay(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S, d + 1) numbers of corners, and (L, 2) pairs of simplices with a facet."""
    from scipy.spatial import Delaunay, QhullError  # pyright: ignore

    d = points.shape[1]
    if len(points) <= d:
        raise ValueError(f"expected more than {d} places in {d}-D, got {len(points)}")
    if d == 1:
        line = np.argsort(points[:, 0], kind="stable")
        number = np.arange(len(line) - 1)
        between = np.stack([number[:-1], number[1:]], axis=1)
        return np.stack([line[:-1], line[1:]], axis=1), between
    try:
        found = Delaunay(points - points.mean(axis=0))
    except QhullError as error:
        raise _flat(points) from error
    simplices = points[found.simplices]
    edges = simplices[:, 1:] - simplices[:, :1]
    size = np.abs(edges).max(axis=(1, 2))
    # Qhull's flat simplices, of points in one plane, measure nothing.
    real = np.abs(np.linalg.det(edges)) > 1e-12 * size**d
    if not real.any():
        raise _flat(points)
    number = np.where(real, real.cumsum() - 1, -1)
    other = np.where(found.neighbors >= 0, number[found.neighbors], -1)
    pairs = np.stack(np.broadcast_arrays(number[:, None], other), axis=2).reshape(-1, 2)
    once = (pairs[:, 0] >= 0) & (pairs[:, 0] < pairs[:, 1])
    return found.simplices[real], pairs[once]


def _flat(points: np.ndarray) -> ValueError:
    return ValueError(
        f"{len(points)} points in {points.shape[1]}-D do not span a domain: do they "
        "lie in a line or a plane?"
    )


def alpha_simplices(points: np.ndarray) -> np.ndarray:
    """(S, d + 1, d) the Delaunay simplices without gaps: the alpha shape of the points.

    A gap is a simplex whose circumscribed radius, in local spacings, is above `REACH`
    times `typical_size` (Edelsbrunner, Kirkpatrick and Seidel 1983,
    doi:10.1109/TIT.1983.1056714). In space few of the simplices that fill a void are so
    large: there a gap is also what chains of simplices above `typical_size` connect to
    one, as edges are told from noise by Canny 1986, doi:10.1109/TPAMI.1986.4767851.
    Above lesser sizes, of 0.9 spacings, chains would run through the whole cloud. A
    point all of whose simplices chains took keeps the smallest.
    """
    numbers, pairs = _delaunay(points)
    simplices, d = points[numbers], points.shape[1]
    edges = simplices[:, 1:] - simplices[:, :1]
    right = (edges**2).sum(axis=2, keepdims=True) / 2
    radius = np.linalg.norm(np.linalg.solve(edges, right)[..., 0], axis=1)
    spacing = local_spacing(points, simplices, d).mean(axis=1)
    size = radius / spacing
    if d < 3:
        return simplices[size <= REACH[d] * typical_size(size, d)]
    longest = np.abs(edges).max(axis=(1, 2))
    thick = np.abs(np.linalg.det(edges)) > SLIVER * longest**d
    typical = typical_size(size[thick] if thick.any() else size, d)
    large = size > REACH[d] * typical
    kept = ~_reached(large, size > typical, pairs)
    kept[_smallest(size, numbers, kept, large)] = True
    return simplices[kept]


def _smallest(
    size: np.ndarray, numbers: np.ndarray, kept: np.ndarray, large: np.ndarray
) -> np.ndarray:
    """The smallest simplex of each point that has none among those kept, if it has one
    that is not large."""
    lonely = ~np.isin(numbers, numbers[kept])
    some = np.flatnonzero(lonely.any(axis=1) & ~large)
    some = some[np.argsort(size[some], kind="stable")]
    row, corner = np.nonzero(lonely[some])
    _, first = np.unique(numbers[some[row], corner], return_index=True)
    return some[row[first]]


def _reached(some: np.ndarray, among: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Those of `among` that chains of them, linked by pairs, connect to `some`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = pairs[among[pairs].all(axis=1)].T
    n = len(some)
    links = coo_array((np.ones(len(a)), (a, b)), shape=(n, n))
    part = connected_components(links, directed=False)[1]
    return among & np.isin(part, part[some])


def typical_size(size: np.ndarray, dimension: int) -> float:
    """What most sizes of simplices, radii in local spacings, are below.

    Regular triangles of a mesh and the wider scatter of a random cloud each set their
    own measure. With `REACH` times that, a hole is found where it is wider than about 3
    spacings among the nodes of a mesh, in a random cloud 4 to 5 in the plane, 3 in
    space.
    """
    typical = float(np.quantile(size, TYPICAL))
    return max(typical, RANDOM) if dimension == 3 else typical


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
