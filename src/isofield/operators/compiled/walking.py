"""From simplex to simplex towards a point."""

from __future__ import annotations

import numba
import numpy as np

MOST = 64  # steps


@numba.njit(cache=True, nogil=True)
def walk(
    points: np.ndarray,
    order: np.ndarray,
    start: np.ndarray,
    origin: np.ndarray,
    inverse: np.ndarray,
    neighbour: np.ndarray,
    deep: float,
    cell: np.ndarray,
    reference: np.ndarray,
) -> np.ndarray:
    """(M,) bool: the points that lie deep in no simplex, or that no walk leads to.

    points : (M, d). order : (M,) in which they are taken, each from the simplex of the
    last one. start : (M,) the simplex next to each, in that order, taken where the
    first walk ends at a boundary. origin : (T, d) the first corners. inverse : (T, d,
    d). neighbour : (T, d + 1), -1 for none. deep : the least barycentric coordinate in
    a simplex that holds a point alone. cell (M,), reference (M, d) : filled for the
    points that are found.
    """
    count, d = points.shape
    stuck = np.zeros(count, dtype=np.bool_)
    xi = np.empty(d)
    last = start[0] if count else 0
    for k in range(count):
        i = order[k]
        found = False
        at = last
        for attempt in range(2):
            if attempt == 1:
                at = start[k]
            for _ in range(MOST):
                first = 1.0
                depth, side = np.inf, -1
                for r in range(d):
                    value = 0.0
                    for c in range(d):
                        value += inverse[at, r, c] * (points[i, c] - origin[at, c])
                    xi[r] = value
                    first -= value
                    if value < depth:
                        depth, side = value, r + 1
                if first < depth:
                    depth, side = first, 0
                # NaN, of a simplex without measure, leaves side at -1
                if side < 0:
                    break
                if depth > deep:
                    found = True
                    break
                if not depth < -deep or neighbour[at, side] < 0:
                    break
                at = neighbour[at, side]
            if found:
                break
        if found:
            last = at
            cell[i] = at
            reference[i] = xi
        else:
            last = start[k]
            stuck[i] = True
    return stuck
