"""Neighbours by scipy's k-d tree, one tree for each sample, on the CPU.

The tree works in float64 and only proposes: it is asked for a little more than the
radius, and `squared_distance` decides.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from isofield.graph.clouds import Clouds, squared_distance

PAIRS_AT_ONCE = 1 << 16
CANDIDATES_AT_ONCE = 1 << 22


def radius_keys(clouds: Clouds, radius: float, limit: float) -> Tensor:
    """Sorted keys `target * N + source` of all pairs with distance² <= limit."""
    from scipy.spatial import KDTree

    n = len(clouds.source)
    same = clouds.source is clouds.target
    reach = float(radius) * (1 + 16 * torch.finfo(clouds.source.dtype).eps)
    keys = [np.zeros(0, dtype=np.int64)]
    for s0, s1, t0, t1 in clouds.samples():
        if s0 == s1 or t0 == t1:
            continue
        x, y = clouds.source[s0:s1], clouds.target[t0:t1]
        tree = KDTree(x.numpy())
        if same:
            near = tree.query_pairs(reach, output_type="ndarray")
            i, j = _within(x, x, near[:, 0], near[:, 1], limit, s0, s0)
            part = np.concatenate([i * n + j, j * n + i, np.arange(s0, s1) * (n + 1)])
        else:
            found = KDTree(y.numpy()).sparse_distance_matrix(
                tree, reach, output_type="ndarray"
            )
            j, i = _within(y, x, found["i"], found["j"], limit, t0, s0)
            part = j * n + i
        part.sort()
        keys.append(part)
    return torch.from_numpy(np.concatenate(keys))


def _within(
    x: Tensor, y: Tensor, i: np.ndarray, j: np.ndarray, limit: float, i0: int, j0: int
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs (x_i, y_j) with distance² <= limit, counted from i0 and j0.

    Block by block, so that the coordinates of a block stay in the cache.
    """
    kept_i, kept_j = [], []
    for start in range(0, len(i), PAIRS_AT_ONCE):
        a = torch.from_numpy(np.ascontiguousarray(i[start : start + PAIRS_AT_ONCE]))
        b = torch.from_numpy(np.ascontiguousarray(j[start : start + PAIRS_AT_ONCE]))
        keep = squared_distance(x, y, a, b) <= limit
        kept_i.append(a[keep].add_(i0).numpy())
        kept_j.append(b[keep].add_(j0).numpy())
    none = [np.zeros(0, dtype=np.int64)]
    return np.concatenate(kept_i or none), np.concatenate(kept_j or none)


def nearest_keys(clouds: Clouds, k: int) -> Tensor:
    """Sorted keys of the k nearest sources of each target, ties to the lower number."""
    from scipy.spatial import KDTree

    keys = [torch.zeros(0, dtype=torch.int64)]
    for s0, s1, t0, t1 in clouds.samples():
        if t0 == t1:
            continue
        x, y = clouds.source[s0:s1], clouds.target[t0:t1]
        tree = KDTree(x.numpy())
        rows, asked = torch.arange(t1 - t0), min(k + 2, s1 - s0)
        while len(rows):
            open_rows = []
            for some in rows.split(max(1, CANDIDATES_AT_ONCE // asked)):
                best, done = _nearest(tree, x, y, some, k, asked)
                key = (some[done, None] + t0) * len(clouds.source) + (best[done] + s0)
                keys.append(key.flatten())
                open_rows.append(some[~done])
            rows, asked = torch.cat(open_rows), min(2 * asked, s1 - s0)
    return torch.cat(keys).sort().values


def _nearest(tree, x: Tensor, y: Tensor, rows: Tensor, k: int, asked: int):
    """The best k of the `asked` nearest sources, and whether these surely hold them.

    They do where the last one proposed lies clearly beyond the k-th: otherwise sources
    that were not proposed may tie with it.
    """
    far, near = tree.query(y[rows].numpy(), k=np.arange(1, asked + 1))
    precision = torch.finfo(x.dtype)
    reach = far[:, k - 1] * (1 + 16 * precision.eps) + 4 * precision.tiny**0.5
    done = torch.from_numpy((far[:, -1] > reach) | (asked == len(x)))
    near = torch.from_numpy(near).sort(1).values
    square = squared_distance(y, x, rows.repeat_interleave(asked), near.flatten())
    order = square.view(near.shape).sort(dim=1, stable=True).indices
    return near.gather(1, order[:, :k]), done
