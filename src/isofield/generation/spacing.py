"""Where points lie: graded axes, conformal maps of the ball, jitter."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from isofield.mesh import Mesh


def jittered(
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
    step = unit(random.standard_normal(points.shape)) * random.random((len(points), 1))
    moved = points + jitter * shortest[:, None] * step
    moved = moved if project is None else project(moved)
    return Mesh(np.where(fixed[:, None], points, moved), cells)


def steps(n: int) -> np.ndarray:
    if n < 1 or n != int(n):
        raise ValueError(f"n: expected a whole number of spacings >= 1, got {n}")
    return np.linspace(0, 1, int(n) + 1)


def log_ratio(grading: float) -> float:
    if not 0 < grading < np.inf:
        raise ValueError(f"grading: expected a ratio > 0, got {grading}")
    return float(np.log(grading))


def graded(t: np.ndarray, grading: float) -> np.ndarray:
    """(grading^t - 1) / (grading - 1), which maps [0, 1] onto itself."""
    rate = log_ratio(grading)
    return t if rate == 0 else np.expm1(rate * t) / np.expm1(rate)


def moebius(points: np.ndarray, grading: float) -> np.ndarray:
    """The conformal map of the unit ball onto itself that takes 0 to a = (a, 0, ...).

    x -> ((1 + 2 a.x + |x|²) a + (1 - a²) x) / (1 + 2 a.x + a² |x|²), in any dimension.
    It stretches by (1 - a) / (1 + a) at (1, 0, ...) and by the inverse opposite.
    """
    a = np.tanh(log_ratio(grading) / 4)
    if a == 0:
        return points
    square = (points**2).sum(1, keepdims=True)
    along = 1 + 2 * a * points[:, :1]
    image = (1 - a**2) * points
    image[:, :1] += (along + square) * a
    return image / (along + a**2 * square)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
