"""Nearest neighbours that are the same in whatever order points come."""

from __future__ import annotations

import torch
from torch import Tensor

from isofield.discretization import Discretization
from isofield.graph import Graph, knn_graph


def nearest(source: Discretization, target: Discretization, k: int) -> Graph:
    """Edges from the k sources of the same sample that are nearest to each target.

    As `knn_graph`, but of sources at equal distance those with the least coordinates
    count first, not those with the least numbers: renumbered points have the same
    neighbours. Only points at one place are told apart by their numbers.

    Raises what `knn_graph` raises.
    """
    order = by_place(source)
    ranked = Discretization(source.points[order], source.weights[order], source.ptr)
    graph = knn_graph(ranked, target, k)
    keys = graph.target * len(source) + order[graph.source]
    keys = keys.sort().values
    edges = torch.stack([keys % len(source), keys // len(source)])
    return Graph(edges, len(source), len(target), graph.ptr)


def by_place(domain: Discretization) -> Tensor:
    """(N,) numbers of the points, sample by sample in the order of coordinates."""
    order = torch.arange(len(domain), device=domain.points.device)
    columns = domain.points.detach().unbind(1)
    for column in (*reversed(columns), domain.sample):
        order = order[torch.sort(column[order], stable=True).indices]
    return order
