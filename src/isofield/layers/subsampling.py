"""Coarser point sets that are chosen from the points themselves."""

from __future__ import annotations

from dataclasses import replace

import torch

from isofield.discretization import Discretization
from isofield.graph import Graph
from isofield.layers.nearest import by_place, nearest
from isofield.layers.pooling import PoolingPlan, lattice_pooling, pooling_by

# Lengths below so many spacings do not decide which of two points is nearer: sums in
# another order move a mean by less, and points in symmetric meshes are equally near.
_RESOLVED = 2.0**-20


def point_pooling(source: Discretization, spacing: float) -> PoolingPlan:
    """Gather points into some of them, about one spacing apart.

    The pooling of `lattice_pooling`, with every coarse point moved to the source point
    nearest to it (of equally near ones that with the least coordinates); coarse points
    at one place are one, with the sum of their hats. So

        W_c = int h_c dmu,   u_c = 1/W_c int u h_c dmu

    keep the measure and integrals of fields exactly, and `unpool` is the adjoint of
    `pool`. Coarse points lie on the domain, where it is curved or thin too, and have
    the normals of the points they are. Splitting or permuting source points changes
    nothing but rounding. The choice converges: refined, meshes of one shape choose
    points that tend to the means of `lattice_pooling`, at the rate of their spacing.
    Evenly spaced subsets that are drawn point by point (Poisson disks, farthest points)
    do not: another mesh, another subset, however fine both are.

    source : N points, packed or not. spacing : length, positive. Cost O(2^d N) and a
    search for the nearest of each coarse point.

    Raises `ValueError` for another spacing.
    """
    lattice = lattice_pooling(source, spacing)
    means = _rounded(lattice.coarse, _RESOLVED * spacing)
    order = by_place(source)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    # coarse points in an order that is not that of the source's numbers
    found = rank[nearest(source, means, 1).source]
    ranks, place = torch.unique(found, return_inverse=True)
    chosen = order[ranks]
    pairs = place[lattice.graph.target] * len(source) + lattice.graph.source
    keys, pair = torch.unique(pairs, return_inverse=True)
    graph = Graph(
        torch.stack([keys % len(source), keys // len(source)]),
        len(source),
        len(chosen),
    )
    hats = lattice.hat.new_zeros(len(keys)).index_add(0, pair, lattice.hat)
    ptr = torch.searchsorted(ranks, source.ptr)
    plan = pooling_by(source, source.points[chosen], ptr, graph, hats)
    if source.normals is None:
        return plan
    return replace(plan, coarse=replace(plan.coarse, normals=source.normals[chosen]))


def _rounded(domain: Discretization, step: float) -> Discretization:
    """The points at multiples of a step."""
    points = (domain.points.detach().double() / step).round() * step
    return replace(domain, points=points.to(domain.points.dtype), normals=None)
