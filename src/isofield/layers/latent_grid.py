"""A regular grid that carries the measure of a domain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from isofield.discretization import Discretization, pack
from isofield.graph import Graph, radius_graph
from isofield.layers.kernel_integral import window
from isofield.layers.pooling import ROUNDING, PoolingPlan, pooling_by
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class LatentGrid(Plan):
    """pooling : of the source to the M nodes in its reach. place : (M,) the number of
    each node among the n^d of a period. nodes : (B,) n, along a side, the same in all
    samples."""

    pooling: PoolingPlan
    place: Tensor
    nodes: Tensor

    @property
    def domain(self) -> Discretization:
        """The nodes in the reach of the domain, with its measure."""
        return self.pooling.coarse

    def nodes_along(self, least: int) -> int:
        """n. Raises `ValueError` below `least`, and where samples differ."""
        found = sorted(set(self.nodes.tolist()))
        if len(found) != 1 or found[0] < least:
            raise ValueError(
                f"expected one number of nodes along a side, at least {least}, got "
                f"{found}"
            )
        return found[0]


def latent_grid(
    source: Discretization, nodes: int, period: float, reach: float
) -> LatentGrid:
    """The nodes of a regular grid near a domain, with the measure of the domain.

    Nodes are the multiples of `h = P / n` along every axis. Those in the reach r of the
    domain share the measure of each point y by the window of `kernel_plan`:

        hat_c(y) = omega(|x_c - y| / r) / sum_c' omega(|x_c' - y| / r),
        W_c = int hat_c dmu = h^d rho(x_c) + aliasing.

    So the measure is kept exactly, and W is the quadrature, by cells of the grid, of a
    smooth density rho: the domain blurred over r, 1 inside and falling to 0 outside. It
    does not depend on the grid; sums over nodes converge as n grows, the faster the
    smoother their summands. Where the domain is not, there is nothing to sum.

    source : N points, packed or not. nodes : n, along a period, the same for all
    samples. period : P, length, at least the extent of each domain and 2 r, because the
    grid is a torus. reach : r, length, at least `sqrt(d)` spacings of the grid; two
    leave aliasing of about half a percent. Cost O(N (r/h)^d) and n^d for each sample.

    Raises `ValueError` where a grid is too coarse for r or a domain too large for P.
    """
    d, spacing = source.dimension, period / nodes
    if not reach >= math.sqrt(d) * spacing:
        raise ValueError(
            f"nodes: {nodes} along the period {period:.3g} are {spacing:.3g} apart, "
            f"expected at most reach / sqrt(d) = {reach / math.sqrt(d):.3g}: at least "
            f"{math.ceil(period / reach * math.sqrt(d))} nodes"
        )
    numbers = [
        _box(source.points[a:b].detach().double(), spacing, nodes, reach)
        for a, b in pairwise(source.ptr.tolist())
    ]
    box = pack([_measured(each, spacing, source.points) for each in numbers])
    graph = radius_graph(source, box, reach)
    values = _window(source, box, graph, reach)
    kept = values > ROUNDING * torch.finfo(values.dtype).eps
    used, target = torch.unique(graph.target[kept], return_inverse=True)
    edges = torch.stack([graph.source[kept], target])
    ptr = torch.searchsorted(used, box.ptr)
    pooling = pooling_by(
        source,
        box.points[used],
        ptr,
        Graph(edges, len(source), len(used)),
        values[kept],
    )
    return LatentGrid(
        pooling,
        row_major(torch.cat(numbers)[used] % nodes, nodes),
        torch.full_like(source.ptr[1:], nodes),
    )


def _box(points: Tensor, spacing: float, nodes: int, reach: float) -> Tensor:
    """(K, d) numbers of all nodes of the box around the points, in order."""
    low, high = points.amin(0) - reach, points.amax(0) + reach
    first = (low / spacing).ceil().long().tolist()
    last = (high / spacing).floor().long().tolist()
    if max(b - a for a, b in zip(first, last, strict=True)) >= nodes:
        raise ValueError(
            f"the domain and its reach {reach:.3g} span {float((high - low).max()):.3g}"
            f", expected at most the period {spacing * nodes:.3g}: take a longer "
            "period, or scale the domain to the extent the model was made for"
        )
    axes = [
        torch.arange(a, b + 1, device=points.device)
        for a, b in zip(first, last, strict=True)
    ]
    return torch.cartesian_prod(*axes).view(-1, len(axes))


def _measured(numbers: Tensor, spacing: float, like: Tensor) -> Discretization:
    """The nodes of these numbers; each weighs a cell of the grid."""
    points = (numbers.double() * spacing).to(like)
    return Discretization(
        points, torch.full_like(points[:, 0], spacing ** points.shape[1])
    )


def _window(
    source: Discretization, target: Discretization, graph: Graph, reach: float
) -> Tensor:
    """(E,) the window of every pair."""
    return window((source.points[graph.source] - target.points[graph.target]) / reach)


def row_major(numbers: Tensor, nodes: int) -> Tensor:
    """(K, d) -> (K,) the number in row-major order of a cube with n nodes a side."""
    flat = numbers[:, 0]
    for axis in range(1, numbers.shape[1]):
        flat = flat * nodes + numbers[:, axis]
    return flat


def resolved(nodes: int | None, period: float, radius: float, dimension: int) -> int:
    """Nodes along a period: as given, or as many as integrals over balls need.

    Of this radius, to half a percent: 0.3 radii apart, on lines, where fewer nodes
    share the error, 0.15, or closer, so that transforms are fast: products of 2, 3, 5.
    """
    if nodes is not None:
        return nodes
    spacing = (0.15 if dimension == 1 else 0.3) * radius
    nodes = math.ceil(period / spacing)
    # beside a power of 30 a number with no other factors divides to 1
    while 30**nodes % nodes:
        nodes += 1
    return nodes
