"""The area that belongs to each point of a cloud on a surface in space."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from isofield.voronoi.domain import local_spacing, without_gaps


def surface_measure(points: Tensor, neighbours: int = 30) -> Tensor:
    """(N,) a third of the area of the triangles around each point.

    The triangles are those of the point in the Delaunay triangulation of its nearest
    neighbours in their tangent plane, whose normal is the direction in which they
    spread least; their area is taken in space. Where all neighbourhoods agree, the
    triangles are a triangulation of the surface and the weights those of piecewise
    linear functions on it. Triangles that are gaps by their radius, in holes and
    outside a boundary, do not count (`without_gaps`).

    points : (N, 3), length, no two at the same place, on a surface whose curvature
        radius and distance to itself are large against the `neighbours` nearest.
        Gradients flow through the areas.
    """
    n = len(points)
    if points.shape[1:] != (3,) or not 3 <= neighbours < n:
        raise ValueError(
            f"expected points (N, 3) and at least 3 neighbours of N - 1, got "
            f"{tuple(points.shape)} and {neighbours}"
        )
    from scipy.spatial import KDTree

    places = points.detach().double().cpu().numpy()
    near = np.asarray(KDTree(places).query(places, neighbours + 1)[1])
    flat = _tangent_coordinates(places, near)
    rows, i, j = _stars(flat)
    a, b, x, y = near[rows, i], near[rows, j], flat[rows, i], flat[rows, j]
    sides = [np.linalg.norm(side, axis=1) for side in (x, y, x - y)]
    radius = np.prod(sides, axis=0) / (2 * np.abs(_cross(x, y)))
    spacing = local_spacing(places, places, 2)
    kept = without_gaps(radius, (spacing[rows] + spacing[a] + spacing[b]) / 3)
    row, first, second = (
        torch.from_numpy(v[kept]).to(points.device) for v in (rows, a, b)
    )
    exact = points.double()
    edges = exact[first] - exact[row], exact[second] - exact[row]
    area = torch.linalg.cross(*edges).norm(dim=1) / 2
    return exact.new_zeros(n).index_add(0, row, area / 3).to(points.dtype)


def _tangent_coordinates(places: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(N, k, 2) the neighbours in the plane through each point that fits them best."""
    local = places[near] - places[:, None]
    centred = local - local.mean(axis=1, keepdims=True)
    _, axes = np.linalg.eigh(centred.swapaxes(1, 2) @ centred)
    return local @ axes[:, :, 1:]


def _stars(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Delaunay triangles (row, i, j) around the origin, point 0 of each row.

    The star begins at the nearest neighbour and goes round to the left; where it ends
    at an open side, it goes round to the right from where it began.
    """
    start = (flat[:, 1:] ** 2).sum(axis=2).argmin(axis=1) + 1
    whole = np.full(len(flat), 2 * math.pi)
    left, reached = _sweep(flat, start, whole)
    right, _ = _sweep(flat * [1.0, -1.0], start, whole - reached)
    rows, i, j = (np.concatenate(column) for column in zip(*left, *right, strict=True))
    return rows, i, j


def _sweep(
    flat: np.ndarray, start: np.ndarray, limit: np.ndarray
) -> tuple[list[tuple[np.ndarray, np.ndarray, np.ndarray]], np.ndarray]:
    """Triangles one after the other to the left of `start`, and the angle they fill.

    The triangle on the left of the edge to a is the one with the point b whose circle
    reaches least far, with its centre at a / 2 + t rot(a),

        t = (|b|² - a.b) / (2 a x b).
    """
    rows = np.arange(len(flat))
    square = (flat**2).sum(axis=2)
    angle = np.arctan2(flat[..., 1], flat[..., 0])
    turn = (angle - angle[rows, start, None]) % (2 * math.pi)
    turn[rows, start] = 2 * math.pi
    turn[:, 0] = 0.0
    reached, current, found = np.zeros(len(flat)), start.copy(), []
    while len(rows):
        a = flat[rows, current[rows], None]
        double = _cross(a, flat[rows])
        ahead = (turn[rows] > reached[rows, None]) & (turn[rows] <= limit[rows, None])
        numerator = square[rows] - (a * flat[rows]).sum(axis=2)
        t = np.full(double.shape, math.inf)
        np.divide(numerator, double, out=t, where=ahead & (double > 0))
        best = t.argmin(axis=1)
        some = np.isfinite(t[np.arange(len(rows)), best])
        rows, best = rows[some], best[some]
        found.append((rows, current[rows], best))
        reached[rows], current[rows] = turn[rows, best], best
        rows = rows[reached[rows] < 2 * math.pi]
    return found, reached


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
