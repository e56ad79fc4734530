"""The area that belongs to each point of a cloud on a surface in space."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from isofield.voronoi.cutting import cut, measure
from isofield.voronoi.domain import REACH, local_spacing, typical_size

ROWS_AT_ONCE = 1 << 12


def surface_measure(points: np.ndarray, neighbours: int = 30) -> np.ndarray:
    """(N,) the area of each point's Voronoi cell in its tangent plane.

    The plane has the normal in which the point and its nearest neighbours spread least.
    Laid out there, the neighbours are a plane cloud: its Delaunay triangles without
    gaps, in holes and outside a boundary, are the domain, and the cell is the part of
    it that is nearest to the point. On a flat sheet these are the weights of the alpha
    shape in the plane; on a curved one the error is O((h / R)²), h the spacing and R
    the radius of curvature.

    points : (N, 3), length, no two at the same place, on a surface whose radius of
        curvature and distance to itself are large against the reach of the nearest
        `neighbours`.

    Raises `ValueError` where there are too few points, or neighbours all in one line.
    """
    total = np.zeros(len(points))
    for near, flat, row, nodes in _laid_out(points, neighbours):
        total[near[:, 0]] = _cell_areas(flat, row, nodes)
    return total


def tangent_triangles(points: np.ndarray, neighbours: int = 30) -> np.ndarray:
    """(T, 3) numbers of the corners of the triangles around each point, as
    `surface_measure` finds them: most come three times, once from each corner.

    points, neighbours, and what it raises : as for `surface_measure`.
    """
    found = []
    for near, _, row, nodes in _laid_out(points, neighbours):
        around = (nodes == 0).any(axis=1)
        found.append(near[row[around, None], nodes[around]])
    return np.concatenate(found)


def _laid_out(
    points: np.ndarray, neighbours: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """For some points at a time: near (n, k) themselves and their neighbours, flat (n,
    k, 2) these in tangent planes, and the triangles without gaps, row (T,) and nodes
    (T, 3) among the k."""
    from scipy.spatial import KDTree

    n = len(points)
    if points.shape[1] != 3 or not 6 <= neighbours < n:
        raise ValueError(
            "a surface needs points (N, 3) and at least 6 and at most N - 1 "
            f"neighbours, got {points.shape} and {neighbours}"
        )
    near = np.asarray(KDTree(points).query(points, neighbours + 1)[1])
    spacing = local_spacing(points, points, 2)
    parts = [
        (near[rows], flat, *_triangles(flat, spacing[near[rows]]))
        for rows in np.array_split(np.arange(n), range(ROWS_AT_ONCE, n, ROWS_AT_ONCE))
        for flat in [_tangent_coordinates(points, near[rows])]
    ]
    around = [size[(nodes == 0).any(axis=1)] for _, _, _, nodes, size in parts]
    largest = REACH[2] * typical_size(np.concatenate(around), 2)
    for near_some, flat, row, nodes, size in parts:
        kept = size <= largest
        yield near_some, flat, row[kept], nodes[kept]


def _tangent_coordinates(points: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(n, k, 2) the neighbours of each point, itself the first and the origin.

    In the direction of their projection, but as far as in space: on a sphere of radius
    R a chord is shorter than its arc by only 1 / 24 (arc / R)², a projection by 1 / 6.
    """
    local = points[near] - points[near[:, :1]]
    flat = local @ tangent_axes(points, near)[:, :, 1:]
    length = np.linalg.norm(flat, axis=2, keepdims=True)
    chord = np.linalg.norm(local, axis=2, keepdims=True)
    return flat * np.divide(chord, length, out=np.ones_like(chord), where=length > 0)


def tangent_axes(points: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(n, 3, 3) the directions, in columns, in which neighbours spread ever more."""
    centred = points[near] - points[near].mean(axis=1, keepdims=True)
    return np.linalg.eigh(centred.swapaxes(1, 2) @ centred)[1]


def _triangles(
    flat: np.ndarray, spacing: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Delaunay triangles of each row: the row, nodes (T, 3), radius over spacing."""
    from scipy.spatial import Delaunay, QhullError  # pyright: ignore

    try:
        found = [Delaunay(places).simplices for places in flat]
    except QhullError as error:
        raise ValueError(
            "the nearest neighbours of a point lie in one line: no surface; pass more "
            "neighbours if the cloud is made of lines"
        ) from error
    row = np.repeat(np.arange(len(flat)), [len(nodes) for nodes in found])
    nodes = np.concatenate(found)
    corners = flat[row[:, None], nodes]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    double = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    sides = [np.linalg.norm(side, axis=1) for side in (a, b, a - b)]
    solid = double > 1e-12 * np.max(sides, axis=0) ** 2
    radius = np.prod(sides, axis=0)[solid] / (2 * double[solid])
    row, nodes = row[solid], nodes[solid]
    return row, nodes, radius / spacing[row[:, None], nodes].mean(axis=1)


def _cell_areas(flat: np.ndarray, row: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """(n,) the area of the triangles of each row that is nearest to its origin.

    Neighbour after neighbour, each takes away what lies beyond its bisector.
    """
    pieces = torch.from_numpy(flat[row[:, None], nodes])
    rows, places = torch.from_numpy(row), torch.from_numpy(flat)
    for k in range(1, flat.shape[1]):
        rival = places[rows, k]
        height = (rival * rival).sum(1, keepdim=True) / 2
        for axis in range(2):
            height = height - pieces[:, :, axis] * rival[:, None, axis]
        below = height < 0
        whole = ~below.any(dim=1)
        parts = [(pieces[whole], rows[whole])]
        for cut_rows, _, part in cut(pieces, height, below, sides=(False,)):
            parts.append((part, rows[cut_rows]))
        pieces, rows = map(torch.cat, zip(*parts, strict=True))
    space = torch.nn.functional.pad(pieces, (0, 1))
    areas = torch.zeros(len(flat), dtype=torch.float64)
    return areas.index_add_(0, rows, measure(space)).numpy()
