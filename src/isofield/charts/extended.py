"""Normals where points of a surface have none."""

from __future__ import annotations

import torch
from torch import Tensor

from isofield.discretization import Discretization
from isofield.graph import knn_graph, radius_graph


def normals_at(source: Discretization, target: Discretization, radius: float) -> Tensor:
    """(M, d) unit normals at targets on a surface, from those of the sources.

        n(x) = m / |m|,   m = sum_j (1 - |x_j - x|²/r²)² w_j n_j

    over the sources within the radius on the sheet of the nearest one, `n_j . n_near >
    0`; the normal of the nearest one where there are no others. Exact on spheres with
    evenly spread points, O(r²) in general. In the measure: splitting a source into two
    changes nothing but, where they are equally near, which one counts as the nearest.

    source : N points with normals. target : M points. radius : r, length.

    Raises `ValueError` where the sources have no normals.
    """
    if source.normals is None:
        raise ValueError("expected normals at the sources, got none")
    nearest = source.normals[knn_graph(source, target, 1).source]
    graph = radius_graph(source, target, radius)
    from_, to = graph.edge_index
    normals = source.normals[from_]
    square = (source.points[from_] - target.points[to]).square().sum(1) / radius**2
    same_sheet = (normals * nearest[to]).sum(1) > 0
    weight = (1 - square).clamp(min=0).square() * source.weights[from_] * same_sheet
    mean = torch.zeros_like(nearest).index_add(0, to, weight[:, None] * normals)
    length = torch.linalg.vector_norm(mean, dim=1, keepdim=True)
    found = length > 0
    return torch.where(found, mean / torch.where(found, length, 1.0), nearest)
