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
    """Sorted keys of all edges with distance² <= limit."""
    from scipy.spatial import KDTree

    same = clouds.source is clouds.target
    slack = 16 * torch.finfo(clouds.source.dtype).eps
    reach, surely = float(radius) * (1 + slack), float(radius) * (1 - slack)
    parts = [np.zeros(0, dtype=np.int64)]
    for s0, s1, t0, t1 in clouds.samples():
        if s0 == s1 or t0 == t1:
            continue
        x, y = clouds.source[s0:s1], clouds.target[t0:t1]
        tree = KDTree(x.numpy(), balanced_tree=False)
        if same:
            near = tree.query_pairs(reach, output_type="ndarray")
            i, j = near[:, 0], near[:, 1]
            keep = _near(x, x, i, j, limit)
            i, j = (i, j) if keep.all() else (i[keep], j[keep])
            pairs = [(i, j), (j, i), (range(s1 - s0), range(s1 - s0))]
        else:
            other = KDTree(y.numpy(), balanced_tree=False)
            near = tree.sparse_distance_matrix(other, reach, output_type="ndarray")
            unsure = np.flatnonzero(near["v"] > surely)
            keep = _near(x, y, near["i"][unsure], near["j"][unsure], limit)
            near = near if keep.all() else np.delete(near, unsure[~keep])
            pairs = [(near["i"], near["j"])]
        ptr, found = _rows(pairs, t1 - t0, s1 - s0)
        keys = np.repeat(np.arange(t0, t1) << clouds.bits, np.diff(ptr))
        keys += found
        keys += s0
        parts.append(keys)
    return torch.from_numpy(np.concatenate(parts) if len(parts) != 2 else parts[1])


def _near(
    x: Tensor, y: Tensor, i: np.ndarray, j: np.ndarray, limit: float
) -> np.ndarray:
    """Whether the pairs (x_i, y_j) have distance² <= limit.

    Block by block, so that the coordinates of a block stay in the cache.
    """
    keep = np.empty(len(i), dtype=bool)
    for start in range(0, len(i), PAIRS_AT_ONCE):
        block = slice(start, start + PAIRS_AT_ONCE)
        first = torch.from_numpy(np.ascontiguousarray(i[block]))
        second = torch.from_numpy(np.ascontiguousarray(j[block]))
        keep[block] = (squared_distance(x, y, first, second) <= limit).numpy()
    return keep


def _rows(pairs, n_targets: int, n_sources: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (source, target), each once, by target: ptr (M + 1,) and the sources of
    each in rising order. Pairs are put into rows and rows are sorted, which is faster
    than to sort all pairs at once."""
    from scipy.sparse import coo_array

    count = sum(len(i) for i, _ in pairs)
    dtype = np.int32 if max(count, n_targets, n_sources) < 2**31 else np.int64
    source, target = np.empty((2, count), dtype)
    start = 0
    for i, j in pairs:
        part = slice(start, start + len(i))
        source[part], target[part] = i, j
        start += len(i)
    values = np.empty(count, np.int8)
    table = coo_array((values, (target, source)), shape=(n_targets, n_sources)).tocsr()
    return table.indptr, table.indices


def nearest_keys(clouds: Clouds, k: int) -> Tensor:
    """Sorted keys of the k nearest sources of each target, ties to the lower number."""
    from scipy.spatial import KDTree

    keys = [torch.zeros(0, dtype=torch.int64)]
    for s0, s1, t0, t1 in clouds.samples():
        if t0 == t1:
            continue
        x, y = clouds.source[s0:s1], clouds.target[t0:t1]
        tree = KDTree(x.numpy(), balanced_tree=False)
        rows, asked = torch.arange(t1 - t0), min(k + 2, s1 - s0)
        while len(rows):
            open_rows = []
            for some in rows.split(max(1, CANDIDATES_AT_ONCE // asked)):
                best, done = _nearest(tree, x, y, some, k, asked)
                key = ((some[done, None] + t0) << clouds.bits) + (best[done] + s0)
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
