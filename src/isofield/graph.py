"""Neighbourhoods: which sources a target may see, exact and never truncated.

Whether a source lies within the radius of a target is decided by one formula, in the
points' own precision, whatever found the candidates: the k-d tree on the CPU and the
cell list on any device give the same edges, pair for pair.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isofield.discretization import Discretization

CANDIDATES_AT_ONCE = 1 << 22
TARGETS_AT_ONCE = 1 << 18


@dataclass(frozen=True, eq=False)
class Graph:
    """Edges from sources to targets, sorted by target, then by source.

    edge_index : (2, E) int64; row 0 the source, row 1 the target of each edge.
    n_sources, n_targets : how many points the two rows count over.
    ptr : (M + 1,) int64; the edges ptr[i] to ptr[i + 1] end in target i. Computed
        where it is not given.

    Raises `ValueError` where the shape is another, a point does not exist, or the
    edges are not in this order.
    """

    edge_index: Tensor
    n_sources: int
    n_targets: int
    ptr: Tensor = None  # type: ignore[assignment]  # filled in by __post_init__

    def __post_init__(self) -> None:
        edges = self.edge_index
        if edges.ndim != 2 or len(edges) != 2 or edges.dtype != torch.int64:
            raise ValueError(
                f"expected edge_index (2, E) int64, got {tuple(edges.shape)} "
                f"{edges.dtype}"
            )
        if self.ptr is None:
            _check_edges(edges, self.n_sources, self.n_targets)
            ends = torch.arange(self.n_targets + 1, device=edges.device)
            ptr = torch.searchsorted(edges[1].contiguous(), ends)
            object.__setattr__(self, "ptr", ptr)

    @property
    def source(self) -> Tensor:
        """(E,) the source of each edge."""
        return self.edge_index[0]

    @property
    def target(self) -> Tensor:
        """(E,) the target of each edge."""
        return self.edge_index[1]

    @property
    def n_edges(self) -> int:
        """E."""
        return self.edge_index.shape[1]

    def degree(self) -> Tensor:
        """(M,) the number of edges that end in each target."""
        return self.ptr.diff()

    def to(self, device: torch.device | str) -> Graph:
        """The same graph on another device."""
        return Graph(
            self.edge_index.to(device),
            self.n_sources,
            self.n_targets,
            self.ptr.to(device),
        )

    def reversed_order(self) -> Tensor:
        """(E,) the edges by source, then by target: those of `reversed()` in order.

        `reversed().edge_index == edge_index[:, reversed_order()].flip(0)`; values that
        belong to the edges are carried over by the same index.
        """
        return torch.sort(self.source, stable=True).indices

    def reversed(self) -> Graph:
        """Every edge turned round: targets become sources; its own inverse."""
        edges = self.edge_index[:, self.reversed_order()].flip(0)
        return Graph(edges, self.n_targets, self.n_sources)


def _check_edges(edges: Tensor, n_sources: int, n_targets: int) -> None:
    if edges.shape[1] == 0:
        return
    low = edges.amin(1).tolist()
    high = edges.amax(1).tolist()
    if min(low) < 0 or high[0] >= n_sources or high[1] >= n_targets:
        raise ValueError(
            f"edge_index names sources {low[0]} to {high[0]} of {n_sources} and "
            f"targets {low[1]} to {high[1]} of {n_targets}"
        )
    source_step, target_step = edges.diff()
    wrong = (target_step < 0) | ((target_step == 0) & (source_step <= 0))
    if bool(wrong.any()):
        raise ValueError(
            "edges must be sorted by target, then by source, each once: edge "
            f"{int(wrong.nonzero()[0]) + 1} is out of order"
        )


def radius_graph(
    source: Discretization | Tensor,
    target: Discretization | Tensor,
    radius: float,
    method: str | None = None,
) -> Graph:
    """All edges from sources to targets at a distance of at most `radius`.

    `|x_target - x_source| <= radius`, the boundary included, computed in the points'
    own precision; a point that is both source and target is its own neighbour. Edges
    join points of the same sample only. No edge is ever left out, and a target without
    neighbours simply has none.

    source, target : discretizations with equally many samples, or points (N, d) and
        (M, d), d = 1, 2 or 3, float32 or float64, length.
    radius : length, positive.
    method : "tree" (scipy's k-d tree, CPU) or "cell_list" (torch, any device); the
        tree on the CPU and the cell list elsewhere where it is not given.

    Raises `ValueError` for a radius that is not a positive number, for points of other
    shapes or precisions or with coordinates that are not finite.
    """
    clouds = _Clouds.of(source, target, method)
    limit = _squared_limit(radius, clouds.source.dtype)
    if clouds.method == "tree":
        keys = _tree_keys(clouds, radius, limit)
    else:
        keys = _cell_list_keys(clouds, radius, limit)
    return clouds.graph(keys)


@dataclass(frozen=True, eq=False)
class _Clouds:
    """Sources and targets, checked: points detached, `ptr` of equally many samples."""

    source: Tensor
    target: Tensor
    source_ptr: Tensor
    target_ptr: Tensor
    method: str

    @classmethod
    def of(
        cls,
        source: Discretization | Tensor,
        target: Discretization | Tensor,
        method: str | None,
    ) -> _Clouds:
        x, source_ptr = _points_and_ptr(source)
        y, target_ptr = (x, source_ptr) if target is source else _points_and_ptr(target)
        if x.dtype != y.dtype or x.device != y.device or x.shape[1] != y.shape[1]:
            raise ValueError(
                "source and target must agree in precision, device and dimension, got "
                f"{x.dtype} on {x.device} in {x.shape[1]}-D and {y.dtype} on "
                f"{y.device} in {y.shape[1]}-D"
            )
        if len(source_ptr) != len(target_ptr):
            raise ValueError(
                f"source has {len(source_ptr) - 1} samples, target has "
                f"{len(target_ptr) - 1}"
            )
        on_cpu = x.device.type == "cpu"
        method = method or ("tree" if on_cpu else "cell_list")
        if method not in ("tree", "cell_list"):
            raise ValueError(f"method is 'tree' or 'cell_list', got {method!r}")
        if method == "tree" and not on_cpu:
            raise ValueError(
                f"method 'tree' needs points on the CPU, these are on {x.device}; use "
                "'cell_list'"
            )
        return cls(x, y, source_ptr, target_ptr, method)

    def samples(self) -> Iterator[tuple[int, int, int, int]]:
        """First and last source, first and last target of each sample."""
        s, t = self.source_ptr.tolist(), self.target_ptr.tolist()
        return zip(s, s[1:], t, t[1:], strict=False)

    def graph(self, keys: Tensor) -> Graph:
        """The graph of the sorted keys `target * n_sources + source`."""
        n, m = len(self.source), len(self.target)
        edges = torch.empty(2, len(keys), dtype=torch.int64, device=keys.device)
        torch.div(keys, max(n, 1), rounding_mode="floor", out=edges[1])
        torch.sub(keys, edges[1], alpha=n, out=edges[0])
        first = torch.arange(m + 1, device=keys.device) * n
        return Graph(edges, n, m, torch.searchsorted(keys, first))


def _points_and_ptr(cloud: Discretization | Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(cloud, Discretization):
        points, ptr = cloud.points.detach(), cloud.ptr
    else:
        points = cloud.detach()
        ptr = torch.tensor([0, len(points)], device=points.device)
    if points.ndim != 2 or points.shape[1] not in (1, 2, 3):
        raise ValueError(
            f"expected points (N, d), d = 1, 2 or 3, got {tuple(points.shape)}"
        )
    if points.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"expected float32 or float64 points, got {points.dtype}")
    wrong = ~torch.isfinite(points).all(1)
    if bool(wrong.any()):
        raise ValueError(
            f"{int(wrong.sum())} of {len(points)} points are not finite, the first is "
            f"point {int(wrong.nonzero()[0])}"
        )
    return points, ptr


def _squared_limit(radius: float, dtype: torch.dtype) -> float:
    """The largest t of this precision with `sqrt(t) <= radius`.

    `distance² <= t` is then the same as `distance <= radius` after rounding: a point
    at sqrt(3) is within the radius `math.sqrt(3)`, whose rounded square is below 3.
    """
    number = np.float32 if dtype == torch.float32 else np.float64
    if not (isinstance(radius, (int, float, np.number)) and math.isfinite(radius)):
        raise ValueError(f"radius must be a positive length, got {radius!r}")
    length = number(radius)
    limit = number(float(length) * float(length)) if abs(radius) < 1e150 else np.inf
    if length <= 0 or not np.finfo(number).tiny <= limit < np.finfo(number).max:
        raise ValueError(
            f"radius must be a positive length whose square is a normal {dtype} "
            f"number, got {radius!r}"
        )
    while np.sqrt(limit) > length:
        limit = np.nextafter(limit, number(0))
    while np.sqrt(np.nextafter(limit, number(np.inf))) <= length:
        limit = np.nextafter(limit, number(np.inf))
    return float(limit)


def _squared_distance(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """`|x_i - y_j|²` in the points' own precision, term by term in a fixed order.

    The one formula that decides: a sum whose order were left to the library could
    differ between devices in the last bit.
    """
    step = x.index_select(0, i).sub_(y.index_select(0, j))
    step.mul_(step)
    total = step[:, 0]
    for axis in range(1, step.shape[1]):
        total = total + step[:, axis]
    return total


def _enlarged(radius: float, dtype: torch.dtype) -> float:
    """A radius that surely holds every pair within `radius` after rounding."""
    return float(radius) * (1 + 16 * torch.finfo(dtype).eps)


def _tree_keys(clouds: _Clouds, radius: float, limit: float) -> Tensor:
    """Sorted keys of all edges, candidates from a k-d tree of each sample."""
    from scipy.spatial import cKDTree

    n = len(clouds.source)
    same = clouds.source is clouds.target
    found = _enlarged(radius, clouds.source.dtype)
    keys = [np.zeros(0, dtype=np.int64)]
    for s0, s1, t0, t1 in clouds.samples():
        if s0 == s1 or t0 == t1:
            continue
        x, y = clouds.source[s0:s1], clouds.target[t0:t1]
        tree = cKDTree(x.numpy())
        if same:
            pairs = tree.query_pairs(found, output_type="ndarray")
            i, j = _within(x, y, pairs[:, 0], pairs[:, 1], limit)
            own = np.arange(s0, s1)
            i, j = i + s0, j + s0
            part = np.concatenate([i * n + j, j * n + i, own * (n + 1)])
        else:
            other = cKDTree(y.numpy())
            near = other.sparse_distance_matrix(tree, found, output_type="ndarray")
            j, i = _within(y, x, near["i"], near["j"], limit)
            part = (j + t0) * n + (i + s0)
        part.sort()
        keys.append(part)
    return torch.from_numpy(np.concatenate(keys))


def _within(
    x: Tensor, y: Tensor, i: np.ndarray, j: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Those of the pairs (x_i, y_j) whose squared distance is at most `limit`."""
    keep = np.empty(len(i), dtype=bool)
    for a in range(0, len(i), 1 << 16):
        part = slice(a, a + (1 << 16))
        first, second = np.ascontiguousarray(i[part]), np.ascontiguousarray(j[part])
        squared = _squared_distance(
            x, y, torch.from_numpy(first), torch.from_numpy(second)
        )
        keep[part] = (squared <= limit).numpy()
    return i[keep], j[keep]


def _cell_list_keys(clouds: _Clouds, radius: float, limit: float) -> Tensor:
    """Sorted keys of all edges, candidates from the cells around each target."""
    n = len(clouds.source)
    order, source_keys, target_keys, offsets = _cells(clouds, radius)
    parts = [order.new_zeros(0)]
    for start in range(0, len(clouds.target), TARGETS_AT_ONCE):
        around = target_keys[start : start + TARGETS_AT_ONCE, None] + offsets
        first = torch.searchsorted(source_keys, around - 1)
        count = torch.searchsorted(source_keys, around + 1, right=True) - first
        for a, b in _target_chunks(count.sum(1)):
            row, place = _expanded(first[a:b].flatten(), count[a:b].flatten())
            target = row.div_(len(offsets), rounding_mode="floor").add_(start + a)
            source = order[place]
            squared = _squared_distance(clouds.target, clouds.source, target, source)
            keep = squared <= limit
            parts.append((target[keep] * n + source[keep]).sort().values)
    return torch.cat(parts)


def _cells(clouds: _Clouds, radius: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sources sorted by cell, their keys, the targets' keys, offsets to the neighbours.

    Cells are cubes a little wider than the radius, so that neighbours lie in adjacent
    cells although cell numbers are rounded; they are widened where the cloud is so
    spread out that keys would not fit into 64 bits. Adjacent cells along the last axis
    have adjacent keys: one range of keys covers three of them.
    """
    points = torch.cat([clouds.source, clouds.target]).double()
    samples = len(clouds.source_ptr) - 1
    ptrs = (clouds.source_ptr, clouds.target_ptr)
    key = torch.cat(
        [
            torch.repeat_interleave(torch.arange(samples, device=p.device), p.diff())
            for p in ptrs
        ]
    )
    width = float(radius) * 1.001
    if len(points):
        points = points - points.amin(0)
        width = max(width, float(points.max()) * 2.0**-38)
    numbers, sizes = _cell_numbers(points, width)
    while samples * math.prod(sizes) >= 2**62:
        width *= 2
        numbers, sizes = _cell_numbers(points, width)
    for axis, size in enumerate(sizes):
        key = key * size + numbers[:, axis]
    source_keys, order = key[: len(clouds.source)].sort()
    strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes) - 1)]
    steps = itertools.product(*[(-stride, 0, stride) for stride in strides])
    offsets = torch.tensor([sum(step) for step in steps], device=key.device)
    return order, source_keys, key[len(clouds.source) :], offsets


def _cell_numbers(points: Tensor, width: float) -> tuple[Tensor, list[int]]:
    """The cell of each point along each axis, from 1, and one more than the last.

    Runs of empty cells along an axis shrink to one: cells that were adjacent stay
    adjacent, others stay apart.
    """
    numbers = torch.floor(points / width).long() + 1
    if not len(points):
        return numbers, [2] * points.shape[1]
    sizes = [int(size) + 2 for size in numbers.amax(0)]
    if math.prod(sizes) < 2**40:
        return numbers, sizes
    for axis in range(len(sizes)):
        used, inverse = torch.unique(numbers[:, axis], return_inverse=True)
        steps = used.diff(prepend=used[:1] - 1).clamp(max=2)
        numbers[:, axis] = steps.cumsum(0)[inverse]
        sizes[axis] = int(steps.sum()) + 2
    return numbers, sizes


def _target_chunks(count: Tensor) -> Iterator[tuple[int, int]]:
    """Ranges of targets with a bounded number of candidates in all, at least one."""
    ends = count.cumsum(0)
    a, taken = 0, 0
    while a < len(count):
        room = torch.searchsorted(ends, taken + CANDIDATES_AT_ONCE, right=True)
        b = max(int(room), a + 1)
        yield a, b
        a, taken = b, int(ends[b - 1])


def _expanded(first: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """For ranges first to first + count: the number of the range, and each place."""
    ends = count.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    row = torch.repeat_interleave(
        torch.arange(len(count), device=count.device), count, output_size=total
    )
    place = torch.arange(total, device=count.device) + (first - ends + count)[row]
    return row, place


def pack(graphs: Sequence[Graph]) -> Graph:
    """Several graphs as one, block by block; the inverse of `unpack`."""
    sources = list(itertools.accumulate((g.n_sources for g in graphs), initial=0))
    targets = list(itertools.accumulate((g.n_targets for g in graphs), initial=0))
    shifted = [
        g.edge_index + g.edge_index.new_tensor([[s], [t]])
        for g, s, t in zip(graphs, sources, targets, strict=False)
    ]
    return Graph(torch.cat(shifted, dim=1), sources[-1], targets[-1])


def unpack(packed: Graph, source_ptr: Tensor, target_ptr: Tensor) -> list[Graph]:
    """The graphs of the samples, of which `ptr` (B + 1,) name sources and targets.

    Raises `ValueError` where an edge joins two samples.
    """
    s, t = source_ptr.tolist(), target_ptr.tolist()
    graphs = []
    for b in range(len(s) - 1):
        edges = packed.edge_index[:, packed.ptr[t[b]] : packed.ptr[t[b + 1]]]
        edges = edges - edges.new_tensor([[s[b]], [t[b]]])
        graphs.append(Graph(edges, s[b + 1] - s[b], t[b + 1] - t[b]))
    return graphs
