"""The nearest point of lines and triangles, in the plane or in space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isofield.mesh import Mesh
from isofield.operators.supermesh.boxes import Boxes, overlapping
from isofield.operators.supermesh.splitting import Split, split
from isofield.topology import boundary_facets

AT_ONCE = 1 << 18


class Closest(NamedTuple):
    """simplex : (M,) number of the simplex that holds the nearest point. share : (M, m
    + 1) its barycentric coordinates there. distance : (M,), length."""

    simplex: Tensor
    share: Tensor
    distance: Tensor

    def nodes(self, domain: Split) -> tuple[Tensor, Tensor]:
        """(M, k) points of the mesh and their parts in the nearest point."""
        number = self.simplex
        part = torch.einsum("mc,mck->mk", self.share, domain.share[number])
        return domain.nodes[number], part


def boundary(mesh: Mesh) -> Split:
    """The facets of the boundary of a mesh, by the mesh's own point numbers."""
    found = boundary_facets(mesh.cells, mesh.dimension)
    cells = {facets.kind: facets.nodes for facets in found if len(facets.nodes)}
    return split(Mesh(mesh.points, cells))


def closest(domain: Split, points: Tensor) -> Closest:
    """The nearest point of a set of simplices to each of M points, exactly.

    Of the simplices, that is: bilinear and curved cells are taken by their split, which
    lies O(h^2) from them. Far points meet many candidates and cost more.

    domain : simplices of dimension m = 1 or 2. points : (M, d). Of simplices at the
    same distance the first counts. The nearest corner bounds the distance, and the tree
    of boxes gives the simplices within that bound.
    """
    parts = [_closest(domain, block) for block in points.split(AT_ONCE)]
    return Closest(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _closest(domain: Split, points: Tensor) -> Closest:
    from scipy.spatial import KDTree

    corners = domain.corners
    tree = KDTree(corners.flatten(0, 1).numpy())
    bound, corner = (torch.from_numpy(np.asarray(x)) for x in tree.query(points))
    reach = bound * (1 + 1e-12)
    i, j = overlapping(Boxes(points, points, reach), Boxes.around(corners))
    # the simplex of the nearest corner, too, where rounding leaves no other
    m = corners.shape[1] - 1
    i = torch.cat([i, torch.arange(len(points))])
    j = torch.cat([j, corner.long() // (m + 1)])
    share = (_on_line if m == 1 else _on_triangle)(corners[j], points[i])
    at = torch.einsum("kc,kcd->kd", share, corners[j])
    distance = (at - points[i]).norm(dim=1)
    order = torch.argsort(j, stable=True)
    order = order[torch.argsort(distance[order], stable=True)]
    order = order[torch.argsort(i[order], stable=True)]
    first = torch.searchsorted(i[order].contiguous(), torch.arange(len(points)))
    best = order[first]
    return Closest(j[best], share[best], distance[best])


def _on_line(corners: Tensor, x: Tensor) -> Tensor:
    """(K, 2) barycentric coordinates of the nearest point of segments (K, 2, d)."""
    edge = corners[:, 1] - corners[:, 0]
    length = (edge * edge).sum(1)
    along = ((x - corners[:, 0]) * edge).sum(1)
    t = torch.where(length > 0, along / length, 0.0).clamp(0, 1)
    return torch.stack([1 - t, t], 1)


def _on_triangle(corners: Tensor, x: Tensor) -> Tensor:
    """(K, 3) of triangles (K, 3, d): the foot of the normal, or the nearest side."""
    edges = corners[:, 1:] - corners[:, :1]
    gram = edges @ edges.mT
    right = torch.einsum("kcd,kd->kc", edges, x - corners[:, 0])
    det = gram[:, 0, 0] * gram[:, 1, 1] - gram[:, 0, 1] ** 2
    safe = torch.where(det > 0, det, 1.0)
    b = (gram[:, 1, 1] * right[:, 0] - gram[:, 0, 1] * right[:, 1]) / safe
    c = (gram[:, 0, 0] * right[:, 1] - gram[:, 0, 1] * right[:, 0]) / safe
    inner = torch.stack([1 - b - c, b, c], 1)
    within = (det > 0) & (inner >= 0).all(1)
    best = torch.where(within[:, None], inner, torch.nan)
    nearest = torch.where(within, 0.0, torch.inf)
    for a, b_ in ((0, 1), (1, 2), (2, 0)):
        part = _on_line(corners[:, [a, b_]], x)
        at = torch.einsum("kc,kcd->kd", part, corners[:, [a, b_]])
        distance = (at - x).norm(dim=1)
        share = torch.zeros_like(inner)
        share[:, a], share[:, b_] = part.T
        nearer = ~within & (distance < nearest)
        best = torch.where(nearer[:, None], share, best)
        nearest = torch.where(nearer, distance, nearest)
    return best
