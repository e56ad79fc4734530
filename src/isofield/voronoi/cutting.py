"""Cut simplices by planes into simplices, many at a time.

Notation: P simplices with n corners each in d dimensions; `height` (P, n) is a linear
function at the corners whose zero set is the plane that cuts; `below` (P, n) says on
which side a corner counts. A corner of a part is a corner of the simplex or the point
where the plane meets an edge,

    x = (height_j x_i - height_i x_j) / (height_j - height_i).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor


def measure(corners: Tensor) -> Tensor:
    """(P,) length or area of simplices (P, n, d), n <= 3; 1 where n = 1."""
    edges = corners[:, 1:] - corners[:, :1]
    if corners.shape[1] == 1:
        return corners.new_ones(len(corners))
    if corners.shape[1] == 2:
        return edges[:, 0].norm(dim=1)
    return torch.linalg.cross(edges[:, 0], edges[:, 1]).norm(dim=1) / 2


def cut(
    corners: Tensor, height: Tensor, below: Tensor, sides: tuple[bool, ...]
) -> Iterator[tuple[Tensor, bool, Tensor]]:
    """Parts of the simplices that have corners on both sides of their plane.

    Yields (rows, side, parts): parts (len(rows), n, d) of the simplices `rows`, all
    below the plane (side True) or all above; the sides that are asked for are filled.
    """
    for rows, a, points in _split(corners, height, below):
        for side in sides:
            for names in _parts(a, corners.shape[1] - a, side):
                yield rows, side, torch.stack([points[name] for name in names], dim=1)


def section(
    corners: Tensor, height: Tensor, below: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Where planes cut the simplices: (rows, parts), parts (len(rows), n - 1, d)."""
    for rows, a, points in _split(corners, height, below):
        for names in _section(a, corners.shape[1] - a):
            yield rows, torch.stack([points[name] for name in names], dim=1)


def _split(
    corners: Tensor, height: Tensor, below: Tensor
) -> Iterator[tuple[Tensor, int, dict[tuple[int, int], Tensor]]]:
    """Rows with `a` corners below, these first, and the points of their parts by name.

    Corner i is named (i, i), the point on the edge from i to j (i, j).
    """
    n_below = below.sum(1)
    for a in range(1, corners.shape[1]):
        rows = (n_below == a).nonzero()[:, 0]
        if not len(rows):
            continue
        order = (~below[rows]).sort(dim=1, stable=True).indices
        h = height[rows].gather(1, order)[..., None]
        x = corners[rows[:, None], order]
        points = {(i, i): x[:, i] for i in range(x.shape[1])}
        for i in range(a):
            for j in range(a, x.shape[1]):
                low, high = h[:, i], h[:, j]
                points[i, j] = (high * x[:, i] - low * x[:, j]) / (high - low)
        yield rows, a, points


@lru_cache
def _parts(a: int, b: int, side: bool) -> list[list[tuple[int, int]]]:
    """The simplices on one side of the plane, a corners below it and b above.

    The side is a simplex where it has one corner, and else a prism of two simplices.
    """
    low, high = range(a), range(a, a + b)
    own, other = (low, high) if side else (high, low)
    fans = [[(i, i), *[(min(i, j), max(i, j)) for j in other]] for i in own]
    if len(own) == 1:
        return [fans[0]]
    if len(other) == 1:
        return _prism([fan[1] for fan in fans], [fan[0] for fan in fans])
    return _prism(fans[0], fans[1])


@lru_cache
def _section(a: int, b: int) -> list[list[tuple[int, int]]]:
    """The simplices of the cut itself: one, or two for a quadrilateral (a = b = 2)."""
    fans = [[(i, j) for j in range(a, a + b)] for i in range(a)]
    if a == 1 or b == 1:
        return [[point for fan in fans for point in fan]]
    return _prism(fans[0], fans[1])


def _prism(bottom: list, top: list) -> list[list]:
    """The simplices of a prism: up the staircase from the bottom to the top."""
    return [bottom[: k + 1] + top[k:] for k in range(len(bottom))]
