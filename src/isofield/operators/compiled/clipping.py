"""The measures of intersections of simplices."""

from __future__ import annotations

import numpy as np

from isofield.operators.compiled.kernel import kernel


@kernel
def shares(
    source: np.ndarray,
    to_source: np.ndarray,
    target: np.ndarray,
    to_target: np.ndarray,
    s: np.ndarray,
    t: np.ndarray,
) -> np.ndarray:
    """(P,) the measure of each intersection over that of the target simplex.

    source (S, m + 1, m), target (T, m + 1, m) : corners. to_source, to_target : their
    maps (m + 1, m + 1) to barycentric coordinates. s, t : (P,) the pairs.
    """
    m = source.shape[2]
    n = m + 1
    result = np.zeros(len(s))
    # a plane leaves at most m simplices of one, and there are n planes
    parts = np.empty((m**n, n, n))
    others = np.empty((m**n, n, n))
    for pair in range(len(s)):
        i, j = s[pair], t[pair]
        if _coordinates(target[j], to_source[i], parts[0]):
            continue
        if _coordinates(source[i], to_target[j], parts[0]):
            continue
        count = 1
        for k in range(n):
            kept = 0
            for p in range(count):
                kept = _above(parts[p], k, others, kept)
            parts, others = others, parts
            count = kept
        total = 0.0
        for p in range(count):
            total += abs(_determinant(parts[p]))
        result[pair] = total
    return result


@kernel
def shares_of_triangles(
    source: np.ndarray,
    to_source: np.ndarray,
    target: np.ndarray,
    to_target: np.ndarray,
    s: np.ndarray,
    t: np.ndarray,
) -> np.ndarray:
    """`shares` in the plane, where what is left of a triangle stays one polygon."""
    result = np.zeros(len(s))
    # a line adds one corner; where rounding folds a polygon, at most as many as it has
    polygon, other = np.empty((24, 3)), np.empty((24, 3))
    for pair in range(len(s)):
        i, j = s[pair], t[pair]
        if _coordinates(target[j], to_source[i], polygon):
            continue
        if _coordinates(source[i], to_target[j], polygon):
            continue
        n = 3
        for k in range(3):
            kept = 0
            for a in range(n):
                b = a + 1 if a + 1 < n else 0
                x, y = polygon[a, k], polygon[b, k]
                if x >= 0:
                    for c in range(3):
                        other[kept, c] = polygon[a, c]
                    kept += 1
                if (x < 0 and y > 0) or (x > 0 and y < 0):
                    x, y = abs(x), abs(y)
                    for c in range(3):
                        other[kept, c] = (y * polygon[a, c] + x * polygon[b, c]) / (
                            x + y
                        )
                    kept += 1
            polygon, other = other, polygon
            n = kept
        total = 0.0
        for a in range(1, n - 1):
            u1, u2 = polygon[a, 1] - polygon[0, 1], polygon[a, 2] - polygon[0, 2]
            v1, v2 = (
                polygon[a + 1, 1] - polygon[0, 1],
                polygon[a + 1, 2] - polygon[0, 2],
            )
            total += u1 * v2 - u2 * v1
        result[pair] = abs(total)
    return result


@kernel
def _coordinates(points: np.ndarray, inverse: np.ndarray, result: np.ndarray) -> bool:
    """Barycentric coordinates (n, n) of points; whether one facet separates them."""
    n, m = points.shape
    apart = False
    for k in range(n):
        beyond = True
        for c in range(n):
            value = inverse[m, k]
            for r in range(m):
                value += points[c, r] * inverse[r, k]
            result[c, k] = value
            beyond = beyond and not value > 0
        apart = apart or beyond
    return apart


@kernel
def _above(corners: np.ndarray, k: int, result: np.ndarray, kept: int) -> int:
    """Enters the simplices of the part with coordinate k above 0, after `kept`.

    That part is a prism, of the corners above times (themselves, and the points on the
    edges to each corner below): its simplices are the monotone paths through this grid.
    """
    n = len(corners)
    up, down = np.empty(4, dtype=np.int64), np.empty(4, dtype=np.int64)
    ups = downs = 0
    positive = False
    for c in range(n):
        if corners[c, k] < 0:
            down[downs] = c
            downs += 1
        else:
            up[ups] = c
            ups += 1
            positive = positive or corners[c, k] > 0
    if downs == 0:
        result[kept] = corners
        return kept + 1
    if not positive:
        return kept
    for path in range(1 << (n - 1)):
        steps = 0
        for bit in range(n - 1):
            steps += (path >> bit) & 1
        if steps != downs:
            continue
        a = b = 0  # in the grid: which corner above, and which below, 0 for none
        for place in range(n):
            high = corners[up[a]]
            if b == 0:
                for c in range(n):
                    result[kept, place, c] = high[c]
            else:
                low = corners[down[b - 1]]
                x, y = high[k], -low[k]
                for c in range(n):
                    result[kept, place, c] = (y * high[c] + x * low[c]) / (x + y)
            if (path >> place) & 1:
                b += 1
            else:
                a += 1
        kept += 1
    return kept


@kernel
def _determinant(corners: np.ndarray) -> float:
    """Of barycentric coordinates, whose rows have the sum 1."""
    if len(corners) == 2:
        return corners[1, 1] - corners[0, 1]
    a1 = corners[1, 1] - corners[0, 1]
    a2 = corners[1, 2] - corners[0, 2]
    b1 = corners[2, 1] - corners[0, 1]
    b2 = corners[2, 2] - corners[0, 2]
    if len(corners) == 3:
        return a1 * b2 - a2 * b1
    a3 = corners[1, 3] - corners[0, 3]
    b3 = corners[2, 3] - corners[0, 3]
    c1 = corners[3, 1] - corners[0, 1]
    c2 = corners[3, 2] - corners[0, 2]
    c3 = corners[3, 3] - corners[0, 3]
    return (
        a1 * (b2 * c3 - b3 * c2) - a2 * (b1 * c3 - b3 * c1) + a3 * (b1 * c2 - b2 * c1)
    )
