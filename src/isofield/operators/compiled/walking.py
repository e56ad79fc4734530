"""From simplex to simplex towards a point, down a tree of boxes where that ends.

A simplex is one row of a table (T, 2 d + d^2 + 1), so that a step of a walk reads one
place: its first corner (d), the rows of the map to reference coordinates (d, d), NaN
without measure, and the simplices across the facets opposite to its corners (d + 1), -1
for none. `axes` is (0, ..., d - 1): the length of a tuple is known to the compiler.
"""

from __future__ import annotations

import numpy as np

from isofield.operators.compiled.kernel import kernel

MOST = 32  # steps of a walk, after which the tree is faster
SURE = 0.999  # the share of a distance that rounding leaves
CHUNK = 1024  # points that are fetched at one time


@kernel
def located(
    points: np.ndarray,
    order: np.ndarray,
    table: np.ndarray,
    tolerance: np.ndarray,
    number: np.ndarray,
    boxes: np.ndarray,
    axes: tuple[int, ...],
    deep: float,
    reference: np.ndarray,
) -> np.ndarray:
    """(M,) the simplex that holds each point, -1 for none.

    points : (M, d), taken in this order, each from the simplex of the last one. table :
    see above. tolerance : (T,) how far outside of each counts as inside. number : (T,)
    by which simplices are named, and the first of equals is known. boxes : (2^k - 1, 2,
    d) low and -high, those of the halves of node i at 2 i + 1 and 2 i + 2, of the
    simplices at the end. deep : the least barycentric coordinate in a simplex that
    holds a point alone; others are looked up in the tree, where the deepest counts.
    reference : (M, d), filled for points that are found.
    """
    d, count = len(axes), len(order)
    cell = np.full(len(points), -1)
    x, xi, best = np.empty((CHUNK, d)), np.empty(d), np.empty(d)
    stack = np.empty(2 * 64, dtype=np.int64)
    # no box reaches into the cube of this half width around the centre
    empty, centre = 0.0, np.empty(d)
    at = 0
    for start in range(0, count, CHUNK):
        chunk = order[start : start + CHUNK]
        for k in range(len(chunk)):
            for c in range(d):
                x[k, c] = points[chunk[k], c]
        for k in range(len(chunk)):
            apart = 0.0
            for c in range(d):
                apart = max(apart, abs(x[k, c] - centre[c]))
            if apart < empty:
                continue
            found = False
            for _ in range(MOST):
                first = 1.0
                depth, side = np.inf, -1
                for r in range(d):
                    value = 0.0
                    for c in range(d):
                        value += table[at, d + d * r + c] * (x[k, c] - table[at, c])
                    xi[r] = value
                    first -= value
                    if value < depth:
                        depth, side = value, r + 1
                if first < depth:
                    depth, side = first, 0
                # NaN, of a simplex without measure, leaves side at -1
                found = side >= 0 and depth > deep
                if found or side < 0 or not depth < -deep:
                    break
                further = int(table[at, d + d * d + side])
                if further < 0:
                    break
                at = further
            if not found:
                t, free = _deepest(
                    x, k, table, tolerance, number, boxes, axes, stack, xi, best
                )
                if t < 0:
                    empty = SURE * free
                    for c in range(d):
                        centre[c] = x[k, c]
                    continue
                at = t
                xi[:] = best
            cell[chunk[k]] = number[at]
            for c in range(d):
                reference[chunk[k], c] = xi[c]
    return cell


@kernel
def _deepest(
    x: np.ndarray,
    k: int,
    table: np.ndarray,
    tolerance: np.ndarray,
    number: np.ndarray,
    boxes: np.ndarray,
    axes: tuple[int, ...],
    stack: np.ndarray,
    xi: np.ndarray,
    best: np.ndarray,
) -> tuple[int, float]:
    """The simplex in which point k lies deepest, -1 for none, and how far, along an
    axis, the next box is; 0 in a box. best : (d,), filled where it is found."""
    d = len(axes)
    inner = len(boxes) // 2
    found, least, free = -1, np.inf, np.inf
    stack[0] = 0
    top = 1
    while top > 0:
        top -= 1
        node = stack[top]
        gap = 0.0
        for c in range(d):
            gap = max(gap, boxes[node, 0, c] - x[k, c], x[k, c] + boxes[node, 1, c])
        if gap > 0:
            free = min(free, gap)
            continue
        if node < inner:
            stack[top], stack[top + 1] = 2 * node + 2, 2 * node + 1
            top += 2
            continue
        free = 0.0
        t = node - inner
        low, total = np.inf, 0.0
        for r in range(d):
            value = 0.0
            for c in range(d):
                value += table[t, d + d * r + c] * (x[k, c] - table[t, c])
            xi[r] = value
            low = min(low, value)
            total += value
        outside = max(-low, total - 1.0)
        if np.isnan(total) or outside > tolerance[t]:
            continue
        if outside < least or (outside == least and number[t] < number[found]):
            found, least = t, outside
            best[:] = xi
    return found, free


@kernel
def neighbours(nodes: np.ndarray) -> np.ndarray:
    """(T, n) the simplex across the facet opposite to each corner, -1 for none.

    Facets wait for their like in chains, by the sum of their nodes; of more than two
    equal ones (cells that overlap) pairs are formed as they come.
    """
    count, n = nodes.shape
    size = 1
    while size < count * n:
        size *= 2
    chains = np.full(size, -1)
    following = np.full(count * n, -1)
    result = np.full((count, n), -1)
    facet, other = np.empty(n - 1, dtype=np.int64), np.empty(n - 1, dtype=np.int64)
    for t in range(count):
        for k in range(n):
            _facet(nodes, t, k, facet)
            key = 0
            for c in range(n - 1):
                key += (2 * c + 1) * facet[c]
            key &= size - 1
            before, waiting = -1, chains[key]
            while waiting >= 0:
                _facet(nodes, waiting // n, waiting % n, other)
                same = True
                for c in range(n - 1):
                    same = same and facet[c] == other[c]
                if same:
                    break
                before, waiting = waiting, following[waiting]
            if waiting < 0:
                following[t * n + k] = chains[key]
                chains[key] = t * n + k
                continue
            result[t, k] = waiting // n
            result[waiting // n, waiting % n] = t
            if before < 0:
                chains[key] = following[waiting]
            else:
                following[before] = following[waiting]
    return result


@kernel
def _facet(nodes: np.ndarray, t: int, k: int, facet: np.ndarray) -> None:
    """The corners of a simplex without the k-th, sorted."""
    count = 0
    for i in range(nodes.shape[1]):
        if i == k:
            continue
        place = count
        while place > 0 and facet[place - 1] > nodes[t, i]:
            facet[place] = facet[place - 1]
            place -= 1
        facet[place] = nodes[t, i]
        count += 1
