"""Tangent frames, and the angle by which those of two points differ."""

from __future__ import annotations

import torch
from torch import Tensor

from isofield.graph import Graph


def frames(normals: Tensor) -> Tensor:
    """(N, d, d - 1) orthonormal tangents, in columns, with the normals (N, d).

    In space `e1 × e2 = n`: the frame of the horizontal plane turned the shortest way,

        e1 = (1 - x²/(1 + z), -xy/(1 + z), -x),   e2 = (-xy/(1 + z), 1 - y²/(1 + z), -y)

    for n = (x, y, z): smooth except at n = (0, 0, -1), where the frame spins (no field
    of tangents on a sphere is smooth everywhere). In the plane the normal turned
    anticlockwise by a right angle. Float64, differentiable.

    Source: Frisvad, Journal of Graphics Tools 16(3), 2012,
    doi:10.1080/2165347X.2012.689606; near z = -1 here with 1/(1 + z) = (1 - z)/(x² +
    y²), which loses no digits.
    """
    if normals.ndim != 2 or normals.shape[1] not in (2, 3):
        raise ValueError(
            f"normals: expected (N, 2) or (N, 3), got {tuple(normals.shape)}"
        )
    n = torch.nn.functional.normalize(normals.double(), dim=1)
    if n.shape[1] == 2:
        return torch.stack([-n[:, 1], n[:, 0]], 1)[:, :, None]
    x, y, z = n.unbind(1)
    flat = x * x + y * y
    pole = flat == 0
    upper = 1 / torch.where(z > 0, 1 + z, 1.0)
    lower = (1 - z) / torch.where(pole, 1.0, flat)
    share = torch.where(z > 0, upper, lower)
    mixed = -x * y * share
    e1 = torch.stack([1 - x * x * share, mixed, -x], 1)
    # at the lower pole, x = y = 0 leaves e1 and e2 of the upper one: turned over
    flipped = torch.where(pole & (z < 0), -1.0, 1.0)
    e2 = torch.stack([mixed, 1 - y * y * share, -y], 1) * flipped[:, None]
    return torch.stack([e1, e2], 2)


def transport(
    graph: Graph,
    source_normals: Tensor,
    target_normals: Tensor,
    source_frames: Tensor,
    target_frames: Tensor,
) -> Tensor:
    """(E, 2) cosine and sine of the angle phi of parallel transport along each edge.

    A tangent vector with the complex coordinate z in the frame of source j has the
    coordinate `exp(i phi_ij) z` in that of target i, after the shortest rotation that
    takes n_j to n_i,

        v -> v c + a × v + a (a . v)/(1 + c),   a = n_j × n_i,   c = n_j . n_i.

    Exact on spheres (along great circles), O(distance³) elsewhere. The angle back is
    -phi. Turning the frame at j by s and that at i by t changes phi by s - t.

    source_normals, target_normals : (N, 3) and (M, 3). source_frames, target_frames :
    (N, 3, 2) and (M, 3, 2), e1 × e2 = n. Float64, differentiable.

    Raises `ValueError` for edges between opposite normals, where there is no shortest
    rotation.
    """
    j, i = graph.edge_index
    before = source_normals.double().index_select(0, j)
    after = target_normals.double().index_select(0, i)
    v = source_frames.double()[:, :, 0].index_select(0, j)
    cosine = (before * after).sum(1, keepdim=True)
    wrong = (cosine[:, 0] < -1 + 1e-12).nonzero()
    if len(wrong):
        edge = int(wrong[0])
        raise ValueError(
            f"{len(wrong)} edges join opposite normals, the first goes from source "
            f"{int(j[edge])} to target {int(i[edge])}: the shortest rotation between "
            "them is not unique; local_coordinates leaves such edges out"
        )
    axis = torch.linalg.cross(before, after, dim=1)
    moved = v * cosine + torch.linalg.cross(axis, v, dim=1)
    moved = moved + axis * (axis * v).sum(1, keepdim=True) / (1 + cosine)
    frame = target_frames.double().index_select(0, i)
    return torch.einsum("ed,edk->ek", moved, frame)
