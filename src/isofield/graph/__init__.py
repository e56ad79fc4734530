"""Neighbourhoods: which sources a target may see, exact and never truncated.

Whether a source lies within the radius of a target is decided by one formula, in the
points' own precision, whatever found the candidates: the k-d tree on the CPU and the
cell list on any device give the same edges, pair for pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isofield.cells import CELL_TYPES, CellType
from isofield.discretization import Discretization
from isofield.graph import cell_list, tree
from isofield.graph.clouds import Clouds, checked, squared_limit
from isofield.mesh import Mesh, MeshError

SEARCHES = {"tree": tree, "cell_list": cell_list}


class SourceOrder(NamedTuple):
    """order : (E,) the edges by source, then by target. ptr : (N + 1,) the entries
    ptr[j] to ptr[j + 1] of `order` are the edges that leave source j."""

    order: Tensor
    ptr: Tensor


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
        """The same graph on another device; itself where it is there already."""
        if self.edge_index.device == torch.empty(0, device=device).device:
            return self
        moved = Graph(
            self.edge_index.to(device),
            self.n_sources,
            self.n_targets,
            self.ptr.to(device),
        )
        order, ptr = self.by_source
        moved.__dict__["by_source"] = SourceOrder(order.to(device), ptr.to(device))
        return moved

    @cached_property
    def by_source(self) -> SourceOrder:
        """The edges in the order of their sources, found once and carried along.

        Values of the edges go over to `reversed()` by `order`:
        `reversed().edge_index == edge_index[:, by_source.order].flip(0)`.
        """
        order = torch.sort(self.source, stable=True).indices
        ends = torch.arange(self.n_sources + 1, device=order.device)
        return SourceOrder(order, torch.searchsorted(self.source[order], ends))

    @cached_property
    def rows(self) -> tuple[Tensor, Tensor]:
        """`ptr` and `source` as sparse products take them: int32 where they fit."""
        fits = max(self.n_edges, self.n_sources, self.n_targets) < 2**31
        dtype = torch.int32 if fits else torch.int64
        return self.ptr.to(dtype), self.source.to(dtype)

    def reversed(self) -> Graph:
        """Every edge turned round: targets become sources; its own inverse."""
        return self._reversed

    @cached_property
    def _reversed(self) -> Graph:
        order, ptr = self.by_source
        edges = self.edge_index[:, order].flip(0)
        return Graph(edges, self.n_targets, self.n_sources, ptr)


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
        (M, d), d = 1, 2 or 3, float32 or float64, length. Fastest where both are the
        same object.
    radius : length, positive.
    method : "tree" (scipy's k-d tree, CPU) or "cell_list" (torch, any device); where it
        is not given, the tree on the CPU and the cell list elsewhere.

    Raises `ValueError` for a radius that is not a positive number, and for points of
    other shapes or precisions or with coordinates that are not finite.

    >>> corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    >>> radius_graph(corners, corners[:1], 1.0).edge_index
    tensor([[0, 1],
            [0, 0]])
    """
    clouds = checked(source, target)
    limit = squared_limit(radius, clouds.source.dtype)
    search = _search(clouds, method)
    return _graph(clouds, search.radius_keys(clouds, radius, limit))


def knn_graph(
    source: Discretization | Tensor,
    target: Discretization | Tensor,
    k: int,
    method: str | None = None,
) -> Graph:
    """Edges from the k sources of the same sample that are nearest to each target.

    Sources at equal distance count in the order of their numbers, so that the graph is
    unique. Distances, arguments and methods are those of `radius_graph`; a point that
    is both source and target is its own nearest neighbour.

    The reach of k neighbours shrinks as points are added, and splitting a point into
    two changes the others' neighbours: for resampling and for baselines. Layers that
    shall not depend on the discretization need `radius_graph`.

    Raises `ValueError` where a sample has targets but less than k sources.
    """
    clouds = checked(source, target)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    for b, (s0, s1, t0, t1) in enumerate(clouds.samples()):
        if t1 > t0 and s1 - s0 < k:
            raise ValueError(f"k = {k}, but sample {b} has only {s1 - s0} sources")
    return _graph(clouds, _search(clouds, method).nearest_keys(clouds, k))


def mesh_graph(mesh: Mesh) -> Graph:
    """The edges of the cells in both directions, from point to point: for baselines.

    A quadratic edge joins its ends to its middle node; nodes inside faces and cells lie
    on no edge. The reach of an edge is the size of its cell: what a layer computes
    along the edges of a mesh changes with the mesh.

    Raises `MeshError` where no cell has an edge.
    """
    pairs = [
        nodes[:, list(edge)]
        for kind, nodes in mesh.cells.items()
        for edge in sorted(_cell_edges(CELL_TYPES[kind]))
    ]
    if not sum(len(pair) for pair in pairs):
        raise MeshError(f"{mesh!r} has no cell with an edge")
    ends = torch.from_numpy(np.concatenate(pairs))
    n = len(mesh.points)
    keys = torch.unique(
        torch.cat([ends[:, 0], ends[:, 1]]) * n + ends.T.flip(0).ravel()
    )
    return Graph(torch.stack([keys % n, keys // n]), n, n)


def _cell_edges(cell: CellType) -> set[tuple[int, int]]:
    """Pairs of nodes next to each other on the edges of the reference cell."""
    if cell.dimension == 1:
        return {(0, 1)} if cell.order == 1 else {(0, 2), (1, 2)}
    edges = set()
    for kind, nodes in cell.facets:
        for a, b in _cell_edges(CELL_TYPES[kind]):
            edges.add((min(nodes[a], nodes[b]), max(nodes[a], nodes[b])))
    return edges


def _search(clouds: Clouds, method: str | None) -> ModuleType:
    device = clouds.source.device
    method = method or ("tree" if device.type == "cpu" else "cell_list")
    if method not in SEARCHES:
        raise ValueError(f"method is one of {list(SEARCHES)}, got {method!r}")
    if method == "tree" and device.type != "cpu":
        raise ValueError(
            f"method 'tree' needs points on the CPU, these are on {device}; use "
            "'cell_list'"
        )
    return SEARCHES[method]


def _graph(clouds: Clouds, keys: Tensor) -> Graph:
    """The graph of the sorted keys `target << bits | source`."""
    n, m = len(clouds.source), len(clouds.target)
    edges = keys.new_empty(2, len(keys))
    torch.bitwise_and(keys, (1 << clouds.bits) - 1, out=edges[0])
    torch.bitwise_right_shift(keys, clouds.bits, out=edges[1])
    ptr = keys.new_zeros(m + 1)
    torch.cumsum(torch.bincount(edges[1], minlength=m), 0, out=ptr[1:])
    return Graph(edges, n, m, ptr)


def pack(graphs: Sequence[Graph]) -> Graph:
    """Several graphs as one, block by block; the inverse of `unpack`."""
    sources = list(itertools.accumulate((g.n_sources for g in graphs), initial=0))
    targets = list(itertools.accumulate((g.n_targets for g in graphs), initial=0))
    edges = list(itertools.accumulate((g.n_edges for g in graphs), initial=0))
    shifted = graphs[0].edge_index.new_empty(2, edges[-1])
    for g, s, t, e in zip(graphs, sources, targets, edges, strict=False):
        for row, shift in enumerate((s, t)):
            torch.add(g.edge_index[row], shift, out=shifted[row, e : e + g.n_edges])
    packed = Graph(
        shifted,
        sources[-1],
        targets[-1],
        _joined([g.ptr for g in graphs], edges),
    )
    order = [g.by_source.order + e for g, e in zip(graphs, edges, strict=False)]
    ptr = _joined([g.by_source.ptr for g in graphs], edges)
    packed.__dict__["by_source"] = SourceOrder(torch.cat(order), ptr)
    return packed


def _joined(ptrs: Sequence[Tensor], edges: Sequence[int]) -> Tensor:
    """The row pointers of blocks, one after the other."""
    heads = [ptr[:-1] + e for ptr, e in zip(ptrs, edges, strict=False)]
    return torch.cat([*heads, ptrs[0].new_full((1,), edges[-1])])


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
