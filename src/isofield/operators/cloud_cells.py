"""The Delaunay simplices that stand for the cells of a cloud of points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from isofield.charts import chart_dimension
from isofield.discretization import Discretization
from isofield.mesh import Mesh
from isofield.voronoi.angles import corner_numbers
from isofield.voronoi.domain import alpha_simplices
from isofield.voronoi.surface import tangent_triangles

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class CloudCells:
    """Simplices over the places of a cloud.

    merged : the P places with the weights of the points there together. place : (N,)
    that of each point. nodes : (S, m + 1) places at the corners of simplices. share :
    (S,) with which each counts: 1 in the plane and in space, where they fill the
    domain; 1/3 for the triangles around each point of a surface, each of which is there
    three times where its corners agree on it. weights : (N,) of the points.
    """

    merged: Discretization
    place: Tensor
    nodes: Tensor
    share: Tensor
    weights: Tensor

    @cached_property
    def means(self) -> csr_matrix:
        """(P, N) from values at points to their means at places, in the measure."""
        from scipy.sparse import csr_matrix

        share = (self.weights / self.merged.weights[self.place]).numpy()
        points = np.arange(len(self.place))
        shape = (len(self.merged), len(points))
        return csr_matrix((share, (self.place.numpy(), points)), shape)

    def mesh(self) -> Mesh:
        """The places with the simplices as cells."""
        kind = {2: "line", 3: "triangle", 4: "tetra"}[self.nodes.shape[1]]
        return Mesh(self.merged.points.numpy(), {kind: self.nodes.numpy()})


def cloud_cells(domain: Discretization, neighbours: int = 30) -> CloudCells:
    """The simplices of one sample.

    In the plane and in space the alpha shape (`isofield.voronoi.domain`), whose holes
    and notches are as `from_points` finds them. On a surface, where points have normals
    or their weights are areas, the Delaunay triangles around each point among its
    nearest `neighbours`, laid out in its tangent plane (`isofield.voronoi.surface`), as
    Sharp and Crane do, doi:10.1111/cgf.14069. In the plane the stiffness of Delaunay
    triangles does not depend on how points on one circle are joined.

    Raises `ValueError` for several samples, and where points span no domain.
    """
    if domain.n_samples != 1:
        raise ValueError(f"expected one sample, got {domain.n_samples}")
    points = domain.points.detach().double().cpu()
    weights = domain.weights.detach().double().cpu()
    places, place = torch.unique(points, dim=0, return_inverse=True)
    merged = Discretization(
        places, weights.new_zeros(len(places)).index_add(0, place, weights)
    )
    if chart_dimension(domain) < points.shape[1]:
        nodes = torch.from_numpy(tangent_triangles(places.numpy(), neighbours))
        share = weights.new_full((len(nodes),), 1 / 3)
    else:
        corners = alpha_simplices(places.numpy())
        nodes = torch.from_numpy(corner_numbers(places.numpy(), corners))
        share = weights.new_ones(len(nodes))
    return CloudCells(merged, place, nodes, share, weights)
