"""Pairs of neighbours within a radius, in local coordinates and in the measure."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from isofield.charts import chart_dimension, local_coordinates
from isofield.discretization import Discretization
from isofield.graph import Graph, knn_graph
from isofield.operators.supermesh.boxes import morton
from isofield.plan import Plan


class NeighbourWarning(UserWarning):
    """Targets without a source within the radius."""


@dataclass(frozen=True, eq=False)
class Pairs(Plan):
    """Which of N sources and M targets are neighbours, along a space-filling curve.

    Points are counted along a Morton curve, so that neighbours lie near each other in
    memory: a sparse product is then bound by arithmetic, whatever the order of the
    points in their mesh.

    graph : from sources to targets, both counted along the curve. source, target : the
    points in their own order. source_order, target_order : an edge from each point to
    its place along the curve.
    """

    graph: Graph
    source: Discretization
    target: Discretization
    source_order: Graph
    target_order: Graph

    def enter(self, u: Tensor) -> Tensor:
        """(N, ...) values at the sources -> the same along the curve."""
        order = self.source_order
        return permuted(u, order.source, order.by_source.order)

    def leave(self, v: Tensor) -> Tensor:
        """(M, ...) values along the curve -> at the targets."""
        order = self.target_order
        return permuted(v, order.by_source.order, order.source)

    def turned(self) -> Pairs:
        """Targets as sources and sources as targets."""
        return Pairs(
            self.graph.reversed(),
            self.target,
            self.source,
            self.target_order,
            self.source_order,
        )


@dataclass(frozen=True, eq=False)
class Patches(Plan):
    """The neighbourhood of every target, as a basis of kernels sees it.

    pairs : E pairs of neighbours. coordinates : (E, m), u of the source around the
    target over the radius, |u| <= 1. weights : (E,) `w_j / (|B_m| r^m)`, the measure of
    the source over that of the ball.
    """

    pairs: Pairs
    coordinates: Tensor
    weights: Tensor


def patches(
    source: Discretization,
    target: Discretization,
    radius: float | Tensor,
    *,
    frames: Tensor | None = None,
    edges: Graph | None = None,
) -> Patches:
    """All sources within a radius of each target, in the chart of the target.

    source, target : N and M points; the same object where they are the same points.
    radius : r, length; a tensor where its gradient is wanted. frames : (M, d, d - 1),
    tangents of the targets on a surface. edges : pairs of sources that are joined
    within a surface. See `isofield.charts.local_coordinates`.

    In float64, differentiable in points, weights, normals and radius. A
    `NeighbourWarning` counts targets without a source within the radius and says which
    radius would do.
    """
    source_order = along_curve(source)
    target_order = source_order if target is source else along_curve(target)
    sources = _ordered(source.to(torch.float64), source_order)
    targets = sources
    if target is not source:
        targets = _ordered(target.to(torch.float64), target_order)
    reach = float(radius.detach() if isinstance(radius, Tensor) else radius)
    chart = local_coordinates(
        sources,
        targets,
        reach,
        frames=None if frames is None else frames[target_order],
        edges=None if edges is None else _renumbered(edges, source_order),
    )
    _warn_of_the_lonely(chart.graph, sources, targets, reach)
    coordinates, m = chart.coordinates, chart_dimension(source)
    if isinstance(radius, Tensor):
        coordinates = coordinates * (reach / radius.double())
    ball = math.pi ** (m / 2) / math.gamma(m / 2 + 1)
    weights = sources.weights[chart.graph.source] / (ball * radius**m)
    pairs = Pairs(
        chart.graph, source, target, _places(source_order), _places(target_order)
    )
    return Patches(pairs, coordinates, weights)


def permuted(x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """`x[order]`, whose derivative is a permutation as well, not a sum."""
    return cast(Tensor, _Permuted.apply(x, order, inverse))


class _Permuted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.orders = inverse, order
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return permuted(gradients[0], *ctx.orders), None, None


def along_curve(domain: Discretization) -> Tensor:
    """(N,) the points along a Morton curve, sample by sample."""
    points = domain.points.detach()
    if not len(points):
        return torch.zeros(0, dtype=torch.int64, device=points.device)
    low = points.amin(0)
    order = torch.argsort(morton(points, low, points.amax(0) - low), stable=True)
    return order[torch.argsort(domain.sample[order], stable=True)]


def _ordered(domain: Discretization, order: Tensor) -> Discretization:
    normals = None if domain.normals is None else domain.normals[order]
    return replace(
        domain,
        points=domain.points[order],
        weights=domain.weights[order],
        normals=normals,
    )


def _places(order: Tensor) -> Graph:
    """An edge from each point to its place."""
    n = len(order)
    return Graph(torch.stack([order, torch.arange(n, device=order.device)]), n, n)


def _renumbered(edges: Graph, order: Tensor) -> Graph:
    """Edges between points by their places."""
    n = len(order)
    place = torch.empty_like(order)
    place[order] = torch.arange(n, device=order.device)
    source, target = place[edges.edge_index]
    keys = (target * n + source).sort().values
    return Graph(torch.stack([keys % n, keys // n]), n, n)


def _warn_of_the_lonely(
    graph: Graph, source: Discretization, target: Discretization, radius: float
) -> None:
    lonely = graph.degree() == 0
    count = int(lonely.sum())
    if not count:
        return
    bounds = torch.cat([lonely.new_zeros(1).long(), lonely.long().cumsum(0)])
    alone = Discretization(
        target.points.detach()[lonely],
        target.weights.detach()[lonely],
        bounds[target.ptr],
    )
    points = source.points.detach()
    near = knn_graph(replace(source, points=points), alone, 1)
    gap = (points[near.source] - alone.points[near.target]).norm(dim=1).max()
    warnings.warn(
        f"{count} of {len(lonely)} targets have no source within the radius "
        f"{radius:.6g}; the smallest radius that reaches one from each of them is "
        f"{float(gap):.6g}",
        NeighbourWarning,
        stacklevel=4,
    )
