"""How far points are from the boundary, and on which side."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from isofield.features.names import FeatureError
from isofield.features.nearest import nearest_in
from isofield.features.regions import BOUNDARY, nearest, region
from isofield.mesh import Mesh, MeshError
from isofield.normals import surface_normals
from isofield.operators.closest import Closest
from isofield.operators.location import locate
from isofield.operators.supermesh.splitting import Split, split
from isofield.topology import number_rows


def signed_distance(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """(M,) the distance of points (M, d) to the boundary, negative inside; length.

        s(x) = -dist(x, ∂Ω) in Ω,   dist(x, ∂Ω) outside

    mesh : that fills Ω, or a closed surface in space (closed curve in the plane) with
    its cells oriented outward, which is ∂Ω then: there the side is that of the normal
    at the nearest point, on edges and at corners the mean of the normals around,
    weighted by their angles. Exact for straight facets, O(h²) for smooth shapes.

    Raises `FeatureError` where the mesh has no inside: a cloud, an open surface, one
    whose cells do not agree on their sides.

    Source: Baerentzen and Aanaes, IEEE Transactions on Visualization and Computer
    Graphics 11(3), 2005, doi:10.1109/TVCG.2005.49.
    """
    wanted = torch.tensor(np.asarray(points, dtype=np.float64))
    d = mesh.points.shape[1]
    if wanted.ndim != 2 or wanted.shape[1] != d or not bool(wanted.isfinite().all()):
        raise FeatureError(
            f"points: expected finite numbers (M, {d}), got {tuple(wanted.shape)}"
        )
    if mesh.dimension == d:
        distance, _ = nearest(region(mesh, BOUNDARY), wanted)
        inside = locate(mesh, wanted).block >= 0
        return torch.where(inside, -distance, distance).numpy()
    if mesh.dimension != d - 1 or len(mesh.boundary_points()):
        raise FeatureError(
            f"cells of dimension {mesh.dimension} in {d}-D enclose nothing: expected "
            "cells that fill the space, or a closed surface"
        )
    try:
        surface_normals(mesh, "cells")
    except MeshError as error:
        raise FeatureError(str(error)) from error
    domain = split(mesh)
    found = nearest_in(domain, wanted)
    at = torch.einsum("mc,mcd->md", found.share, domain.corners[found.simplex])
    outward = ((wanted - at) * _normals(domain, found)).sum(1)
    return torch.where(outward < 0, -found.distance, found.distance).numpy()


def _normals(domain: Split, found: Closest) -> Tensor:
    """(M, d) vectors that say on which side of the surface a point lies.

    The sum over the simplices around the nearest point of their normals times the angle
    that they fill there: all of it inside a simplex, halves on both sides of an edge.
    """
    unit = _unit_normals(domain.corners)
    number = _numbered(domain.corners)
    simplex, on = found.simplex, found.share > 0
    result = unit[simplex]
    parts = _angles(domain.corners)[:, :, None] * unit[:, None]
    at_corner = unit.new_zeros(int(number.max()) + 1, unit.shape[1])
    at_corner = at_corner.index_add(0, number.flatten(), parts.flatten(0, 1))
    alone = on.sum(1) == 1
    corner = found.share[alone].argmax(1)
    result[alone] = at_corner[number[simplex[alone], corner]]
    if domain.dimension == 2:
        edge = on.sum(1) == 2
        # the edge of a triangle is known by the corner opposite
        pairs = number[:, [[1, 2], [2, 0], [0, 1]]].sort(2).values
        _, inverse = number_rows(pairs.flatten(0, 1).numpy())
        place = torch.from_numpy(inverse)
        at_edge = unit.new_zeros(int(place.max()) + 1, unit.shape[1])
        at_edge = at_edge.index_add(0, place, unit.repeat_interleave(3, 0))
        opposite = found.share[edge].argmin(1)
        result[edge] = at_edge[place.view(-1, 3)[simplex[edge], opposite]]
    return result


def _numbered(corners: Tensor) -> Tensor:
    """(S, m + 1) one number for all corners at one place."""
    _, number = torch.unique(corners.flatten(0, 1), dim=0, return_inverse=True)
    return number.view(corners.shape[:2])


def _unit_normals(corners: Tensor) -> Tensor:
    """(S, d) of lines in the plane on their right, of triangles by the right hand."""
    edges = corners[:, 1:] - corners[:, :1]
    if edges.shape[1] == 1:
        x, y = edges[:, 0].unbind(1)
        return torch.nn.functional.normalize(torch.stack([y, -x], 1), dim=1)
    cross = torch.linalg.cross(edges[:, 0], edges[:, 1])
    return torch.nn.functional.normalize(cross, dim=1)


def _angles(corners: Tensor) -> Tensor:
    """(S, m + 1) the angles of triangles at their corners; 1 for lines."""
    if corners.shape[1] == 2:
        return torch.ones_like(corners[:, :, 0])
    a = torch.nn.functional.normalize(corners.roll(-1, 1) - corners, dim=2)
    b = torch.nn.functional.normalize(corners.roll(1, 1) - corners, dim=2)
    return (a * b).sum(2).clamp(-1, 1).arccos()
