"""Networks of PyG's graph convolutions on the nearest points, to compare with.

They are the network of `ZernikeNet`, a lift, blocks `v + P(N v, K N v)` and a
projection, with K one of PyG's layers on the graph of a point set. A neighbour is one
of a number of points, not one of a place: what such a network computes changes with the
mesh. It answers at the points of its source alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, GMMConv

from isofield.discretization import Discretization
from isofield.graph import Graph, knn_graph
from isofield.layers.norm import MeasureNorm
from isofield.layers.operator import Operator
from isofield.layers.pointwise import pointwise
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class EdgePlan(Plan):
    """points : N. graph : of their neighbours. offsets : (E, d), from target to source
    in units of the radius."""

    points: Discretization
    graph: Graph
    offsets: Tensor


class EdgeNetwork(Operator):
    """Lift, blocks `v + P(N v, K N v)`, projection; K sums over the nearest points.

    convolution : width -> K, called with features (N, C), edge_index and offsets.
    in_channels, out_channels : of the fields. width : channels inside. blocks : their
    number. neighbours : of a point, with itself. radius : length, unit of the offsets.
    """

    def __init__(
        self,
        convolution: Callable[[int], nn.Module],
        in_channels: int,
        out_channels: int,
        width: int,
        *,
        blocks: int,
        neighbours: int,
        radius: float,
    ) -> None:
        super().__init__()
        self.neighbours, self.radius = neighbours, radius
        self.lift = pointwise(in_channels + 1, width, width)
        self.norms = nn.ModuleList(MeasureNorm(width) for _ in range(blocks))
        self.convolutions = nn.ModuleList(convolution(width) for _ in range(blocks))
        self.pointwise = nn.ModuleList(
            pointwise(2 * width, 2 * width, width) for _ in range(blocks)
        )
        self.project = pointwise(width, 2 * width, out_channels)
        self.skip = nn.Linear(width, out_channels)

    def prepare(self, source: Discretization, target: Discretization) -> EdgePlan:
        """Raises `ValueError` where the targets are not the sources."""
        if not torch.equal(source.points, target.points):
            raise ValueError("a network on edges answers at its own points alone")
        graph = knn_graph(source, source, self.neighbours)
        from_, to = graph.edge_index
        offsets = (source.points[from_] - source.points[to]) / self.radius
        return EdgePlan(source, graph, offsets)

    def forward(self, u: Tensor, plan: EdgePlan) -> Tensor:
        """(N, C_in) -> (N, C_out), at the points."""
        v = self.lift(torch.cat([u.new_ones(len(u), 1), u], 1))
        parts = zip(self.norms, self.convolutions, self.pointwise, strict=True)
        for norm, convolution, mix in parts:
            normed = norm(v, plan.points)
            found = convolution(normed, plan.graph.edge_index, plan.offsets)
            v = v + mix(torch.cat([normed, found], 1))
        return self.project(v) + self.skip(v)


class _WithoutOffsets(nn.Module):
    """`GCNConv`, which does not ask where its neighbours lie."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = GCNConv(width, width)

    def forward(self, u: Tensor, edges: Tensor, offsets: Tensor) -> Tensor:
        return self.convolution(u, edges)


def gaussian_mixture(width: int) -> nn.Module:
    """`GMMConv` of MoNet, arXiv:1611.08402: four Gaussians of the offset."""
    return GMMConv(width, width, dim=3, kernel_size=4)


PEERS: dict[str, Callable[[int], nn.Module]] = {
    "GMMConv": gaussian_mixture,
    "GCNConv": _WithoutOffsets,
}


def peer(name: str, n_parameters: int, radius: float) -> EdgeNetwork:
    """The network with the number of parameters nearest to this, for scalar fields."""

    def network(width: int) -> EdgeNetwork:
        size = {"blocks": 8, "neighbours": 7, "radius": radius}
        return EdgeNetwork(PEERS[name], 1, 1, width, **size)

    widths = range(8, 97, 2)
    found = min(widths, key=lambda w: abs(parameters(network(w)) - n_parameters))
    torch.manual_seed(0)
    return network(found)


def parameters(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(p.numel() for p in network.parameters())
