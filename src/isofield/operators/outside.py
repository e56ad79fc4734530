"""Which points lie outside of a mesh, and how far."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isofield.mesh import Mesh
from isofield.operators.closest import boundary, closest, furthest
from isofield.operators.location import locate
from isofield.operators.sparse import TransferError
from isofield.operators.supermesh.splitting import Split, split

# how far from a surface, in its size, a point still lies on it: rounding
ON_SURFACE = 1e-9


class Outside(NamedTuple):
    """missing : (M,) bool, the points outside. distance : (M,) to the mesh, length, 0
    within; inf where nobody asks for it."""

    missing: Tensor
    distance: Tensor


def outside_of(
    mesh: Mesh, points: Tensor, outside: str, max_distance: float | None = None
) -> Outside:
    """The points (M, d) that lie outside of a mesh with cells, and how far.

    In a mesh that fills its space those in no cell; on a surface (a curve) those
    further from it than max_distance, by default than rounding. outside, and what it
    raises : as `check_outside`. The distance inf : surely further than allowed.
    """
    if is_surface(mesh):
        limit = furthest_allowed(mesh, outside, max_distance)
        surface = hull(mesh, points.device)
        distance = closest(surface, points, limit).distance
        missing = distance > limit
        distance = off_surface(mesh, distance)
    else:
        missing = locate(mesh, points).block < 0
        distance = torch.where(missing, torch.inf, torch.zeros_like(points[:, 0]))
        if outside == "nearest" and bool(missing.any()):
            surface = hull(mesh, points.device)
            distance[missing] = closest(surface, points[missing]).distance
    check_outside(mesh, points, missing, distance, outside, max_distance)
    return Outside(missing, distance)


def distance_outside(mesh: Mesh, points: Tensor) -> Tensor:
    """(M,) how far points (M, d) lie from a mesh with cells, length; 0 within.

    Exact for straight cells, O(h²) for others.
    """
    distance = torch.zeros_like(points[:, 0])
    rows = torch.arange(len(points), device=points.device)
    if not is_surface(mesh):
        rows = rows[locate(mesh, points).block < 0]
    if len(rows):
        surface = hull(mesh, points.device)
        distance[rows] = closest(surface, points[rows]).distance
    return distance


def is_surface(mesh: Mesh) -> bool:
    """Whether the points have more coordinates than the cells have dimensions."""
    return mesh.dimension < mesh.points.shape[1]


def hull(mesh: Mesh, device: torch.device | str = "cpu") -> Split:
    """The simplices to one of which a point outside is nearest: the boundary of a mesh
    that fills its space, all of a surface. `TransferError` where there are none."""
    simplices = split(mesh) if is_surface(mesh) else boundary(mesh)
    if not len(simplices.measure):
        raise TransferError("the source has no cell with a measure above 0")
    return simplices.to(device)


def furthest_allowed(mesh: Mesh, outside: str, max_distance: float | None) -> float:
    """How far from a surface a point may be, length."""
    if max_distance is not None:
        return max_distance
    return math.inf if outside == "nearest" else _rounding(mesh)


def off_surface(mesh: Mesh, distance: Tensor) -> Tensor:
    """The distances with rounding taken for 0."""
    return torch.where(distance > _rounding(mesh), distance, 0.0)


def _rounding(mesh: Mesh) -> float:
    return ON_SURFACE * float(np.ptp(mesh.points, axis=0).max())


def check_outside(
    mesh: Mesh,
    points: Tensor,
    missing: Tensor,
    distance: Tensor,
    outside: str,
    max_distance: float | None,
) -> None:
    """Raises `TransferError` for points outside that are not allowed there, with their
    count and the largest distance: with "error" for all of them, with "nearest" for
    those further than max_distance, with "nan" for none."""
    limit = math.inf if max_distance is None else max_distance
    bad = missing & (distance > limit) if outside == "nearest" else missing
    if outside == "nan" or not bool(bad.any()):
        return
    within = "" if max_distance is None else f" and further than {limit:g} from it"
    ways = ["outside='nan'"]
    if outside == "error":
        ways.insert(0, "outside='nearest' for the value at the boundary")
    if max_distance is not None:
        ways.insert(0, "a larger max_distance")
    elif is_surface(mesh):
        ways.insert(0, "max_distance for a projection onto the surface")
    raise TransferError(
        f"{int(bad.sum())} of {len(bad)} targets lie outside the source{within}, the "
        f"furthest by {furthest(hull(mesh, points.device), points[bad]):.6g}: pass "
        f"{', or '.join(ways)}"
    )
