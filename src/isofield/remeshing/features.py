"""Sharp points of lines and surfaces: what a new mesh of the shape has to keep."""

from __future__ import annotations

import numpy as np

from isofield.topology import number_rows


def sharp_points(
    points: np.ndarray, facets: np.ndarray, labels: np.ndarray, angle: float
) -> np.ndarray:
    """Numbers of the points at which lines end, meet, turn sharply or change label.

    The lines are the facets (F, 2) themselves or, for triangles (F, 3), their
    `feature_edges`. points : (N, d). labels : (F,). angle : degrees.
    """
    if facets.shape[1] == 2:
        return _corners(points, facets, labels, angle)
    edges = feature_edges(points, facets, labels, angle)
    # where triangles on a line change their label, another line meets it
    return _corners(points, edges, np.zeros(len(edges)), angle)


def feature_edges(
    points: np.ndarray, triangles: np.ndarray, labels: np.ndarray, angle: float
) -> np.ndarray:
    """The edges (E, 2) of triangles (F, 3) that do not belong to exactly two of them,
    lie between two labels, or where normals differ by more than `angle`."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    first, inverse = number_rows(edges)
    count = np.bincount(inverse, minlength=len(first))
    order = np.argsort(inverse, kind="stable")
    start = np.cumsum(count) - count
    a = order[start] // 3
    b = order[start + (count > 1)] // 3
    u, v = (points[triangles[:, k]] - points[triangles[:, 0]] for k in (1, 2))
    normals = np.cross(u, v)
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    # two triangles that run along their edge in the same direction have opposite sides
    along = _runs_forward(triangles, edges[first], a) ^ _runs_forward(
        triangles, edges[first], b
    )
    cosine = (normals[a] * normals[b]).sum(axis=1) * np.where(along, 1.0, -1.0)
    rough = (count != 2) | (labels[a] != labels[b])
    rough |= cosine < np.cos(np.radians(angle))
    return edges[first][rough]


def _runs_forward(
    triangles: np.ndarray, edges: np.ndarray, owners: np.ndarray
) -> np.ndarray:
    """Whether each owner runs from the first to the second point of its edge."""
    nodes = triangles[owners]
    following = np.roll(nodes, -1, axis=1)
    return ((nodes == edges[:, :1]) & (following == edges[:, 1:])).any(axis=1)


def _corners(
    points: np.ndarray, edges: np.ndarray, labels: np.ndarray, angle: float
) -> np.ndarray:
    """Points where the number of edges is not two, labels differ or the line turns."""
    ends = edges.ravel()
    order = np.argsort(ends, kind="stable")
    numbers, start, count = np.unique(
        ends[order], return_index=True, return_counts=True
    )
    two = count == 2
    one, other = order[start[two]], order[start[two] + 1]
    here = points[numbers[two]]
    directions = [points[edges[k // 2, 1 - k % 2]] - here for k in (one, other)]
    u, v = (w / np.linalg.norm(w, axis=1)[:, None] for w in directions)
    sharp = -(u * v).sum(axis=1) < np.cos(np.radians(angle))
    sharp |= labels[one // 2] != labels[other // 2]
    return np.sort(np.concatenate([numbers[~two], numbers[two][sharp]]))
