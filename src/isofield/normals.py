"""Normals of surfaces in space and of curves in the plane."""

from __future__ import annotations

import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh, MeshError
from isofield.quadrature import lumped_area_vectors
from isofield.topology import disagreeing_sides

# an area vector this short against its area has no direction but that of rounding
_SHORT = 1e-8


def surface_normals(
    mesh: Mesh, at: str = "points", points: Tensor | None = None
) -> Tensor:
    """The unit normals of a surface in space, or of a curve in the plane.

        n_i = v_i / |v_i|,   v_i = sum_T ∫_T λ_i n dA

    with λ_i the lumped shape functions of `from_mesh` (at points), or 1 in one cell (at
    cells). On the side to which the cells turn anticlockwise; of a curve on its right,
    so outward where it runs anticlockwise around a domain. On meshes of smooth surfaces
    O(h), and O(h²) at points with cells symmetrically around; at edges and corners a
    mean of the sides.

    at : "points" or "cells". points : (N, d) replaces `mesh.points`; the normals are a
        differentiable function of them. Returns (N, d), or (T, d) in the order of the
        cells of the highest dimension.

    Raises `MeshError` where the cells are no surface in space and no curve in the
    plane, where a facet belongs to more than two cells or its two cells disagree on
    the sides, and where the area vectors around a point cancel; it says where.
    """
    if at not in ("points", "cells"):
        raise ValueError(f'at: expected "points" or "cells", got {at!r}')
    m, d = mesh.dimension, mesh.points.shape[1]
    if m != d - 1 or m < 1:
        raise MeshError(
            f"cells of dimension {m} in {d}-D have no normals: expected a surface in "
            "space or a curve in the plane"
        )
    _check_sides(mesh)
    points = torch.tensor(mesh.points) if points is None else points
    blocks = [
        (kind, torch.tensor(nodes, device=points.device))
        for kind, nodes in mesh.cells.items()
        if len(nodes) and CELL_TYPES[kind].dimension == m
    ]
    shares = [lumped_area_vectors(points, nodes, kind) for kind, nodes in blocks]
    if at == "cells":
        vectors = torch.cat([share.sum(1) for share in shares])
        areas = torch.cat([_lengths(share).sum(1) for share in shares])
    else:
        corner = torch.cat([nodes.reshape(-1) for _, nodes in blocks])
        parts = torch.cat([share.flatten(0, 1) for share in shares])
        vectors = torch.zeros_like(points).index_add(0, corner, parts)
        areas = points.new_zeros(len(points)).index_add(0, corner, _lengths(parts))
    length = _lengths(vectors)
    _check_lengths(length, areas, at)
    return vectors / length[:, None]


def _lengths(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=-1)


def _check_sides(mesh: Mesh) -> None:
    sides = disagreeing_sides(mesh.cells, mesh.dimension)
    what = "edges" if mesh.dimension == 2 else "points"
    if len(sides.crowded):
        raise MeshError(
            f"{len(sides.crowded)} {what} belong to more than two cells, the first, "
            f"{sides.crowded[0].tolist()}, to the cells {sides.cells.tolist()}: the "
            "surface has no two sides there, and so no normals; take it apart at these"
        )
    if len(sides.turned):
        raise MeshError(
            f"at {len(sides.turned)} {what} the two cells have opposite orientations, "
            f"the first, {sides.turned[0].tolist()}, is between the cells "
            f"{sides.cells.tolist()}: turn some cells round, so that all have one side "
            "of the surface in front (a one-sided surface has no normals)"
        )


def _check_lengths(length: Tensor, areas: Tensor, at: str) -> None:
    wrong = (~(length > _SHORT * areas)).nonzero()[:, 0]
    if len(wrong):
        raise MeshError(
            f"{len(wrong)} of {len(length)} {at} have no normal, the first is number "
            f"{int(wrong[0])}: the cells there have no area, or their area vectors "
            "cancel"
        )
