"""Coarser point sets that carry the measure of finer ones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.graph import Graph
from isofield.operators.product import sparse_product
from isofield.plan import Plan

# hats below so many times the precision are those of points on a plane of the lattice,
# off by rounding: over levels of pooling their weights would fall below any number
ROUNDING = 64


@dataclass(frozen=True, eq=False)
class PoolingPlan(Plan):
    """coarse : the M coarse points. graph : from the N source points to them. hat :
    (E,) value of the coarse point's hat at the source point; those of one source point
    sum to 1. share : (E,) `w_j hat / W_c`; those of one coarse point sum to 1."""

    coarse: Discretization
    graph: Graph
    hat: Tensor
    share: Tensor


def lattice_pooling(
    source: Discretization, spacing: float, with_normals: bool = False
) -> PoolingPlan:
    """Gather points into the hats of a regular lattice.

    With the hat functions h_c of the lattice with this spacing through the origin, a
    partition of unity, coarse point c has

        W_c = int h_c dmu,   x_c = 1/W_c int x h_c dmu,

    and a field is averaged as `u_c = 1/W_c int u h_c dmu`. Measure and first moments
    are kept exactly, so the coarse rule integrates linear functions as the source rule
    does. Splitting or permuting source points changes nothing but rounding; refining
    the source moves W_c and x_c by O(h^2). The coarse points follow the shape of the
    domain: near a boundary x_c moves inwards.

    source : N points, packed or not. spacing : length, positive. with_normals : the
    coarse points have normals, those of the source averaged as fields are and brought
    back to the length 1; otherwise they have none. Cost O(2^d N).

    Raises `ValueError` for another spacing, and with normals where the source has none
    or where averages lose more than half their length: sheets closer than the spacing,
    or a spacing too large for the curvature.
    """
    if not spacing > 0:
        raise ValueError(f"spacing: expected a positive length, got {spacing}")
    scaled = source.points.detach() / spacing
    lower = scaled.floor().long()
    corners = torch.tensor(
        list(product((0, 1), repeat=source.dimension)), device=lower.device
    )
    nodes = lower[:, None] + corners
    hats = (1 - (source.points[:, None] / spacing - nodes).abs()).prod(2)
    masses = hats * source.weights[:, None]
    inside = hats > ROUNDING * torch.finfo(hats.dtype).eps
    point, _ = inside.nonzero(as_tuple=True)
    keys = torch.cat([source.sample[:, None, None].expand(*inside.shape, 1), nodes], 2)
    names, coarse_of = torch.unique(keys[inside], dim=0, return_inverse=True)
    mass = masses[inside]

    weights = source.weights.new_zeros(len(names)).index_add(0, coarse_of, mass)
    share = mass / weights[coarse_of]
    points = source.points.new_zeros(len(names), source.dimension)
    points = points.index_add(0, coarse_of, share[:, None] * source.points[point])
    counts = torch.bincount(names[:, 0], minlength=source.n_samples)
    ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    normals = None
    if with_normals:
        normals = _pooled_normals(source, point, coarse_of, share, len(names))

    order = torch.argsort(coarse_of, stable=True)
    edges = torch.stack([point[order], coarse_of[order]])
    return PoolingPlan(
        Discretization(points, weights, ptr, normals),
        Graph(edges, len(source), len(names)),
        hats[inside][order],
        share[order],
    )


def pooling_by(
    source: Discretization, points: Tensor, ptr: Tensor, graph: Graph, values: Tensor
) -> PoolingPlan:
    """Gather points into hats in proportion to values (E,) >= 0 of the pairs.

        hat_cj = f_cj / sum_c' f_c'j,   W_c = sum_j w_j hat_cj

    so that the measure is kept exactly. points : (M, d) of the coarse points, ptr :
    of their samples. graph : from the source to them. Raises `ValueError` where a
    source point has no coarse point to go to.
    """
    from_, to = graph.edge_index
    total = values.new_zeros(len(source)).index_add(0, from_, values)
    lonely = int((total <= 0).sum())
    if lonely:
        raise ValueError(
            f"{lonely} of {len(source)} points have no coarse point within reach: take "
            "a longer reach, or coarse points closer to each other"
        )
    hat = values / total[from_]
    mass = hat * source.weights[from_]
    weights = mass.new_zeros(len(points)).index_add(0, to, mass)
    coarse = Discretization(points, weights, ptr)
    return PoolingPlan(coarse, graph, hat, mass / weights[to])


def _pooled_normals(
    source: Discretization, point: Tensor, coarse_of: Tensor, share: Tensor, count: int
) -> Tensor:
    if source.normals is None:
        raise ValueError("with_normals: the source has no normals to average")
    mean = source.normals.new_zeros(count, source.dimension)
    mean = mean.index_add(0, coarse_of, share[:, None] * source.normals[point])
    length = torch.linalg.vector_norm(mean, dim=1, keepdim=True)
    short = int((length < 0.5).sum())
    if short:
        raise ValueError(
            f"with_normals: at {short} of {count} coarse points normals cancel; take a "
            "spacing below the distance between sheets and the radius of curvature"
        )
    return mean / length


def pool(u: Tensor, plan: PoolingPlan) -> Tensor:
    """Averages in the measure: (N, C) on the source -> (M, C) on the coarse points."""
    return sparse_product(u.to(plan.share.dtype).contiguous(), plan.share, plan.graph)


def pool_lifted(lift: nn.Sequential, u: Tensor, plan: PoolingPlan) -> Tensor:
    """`pool(lift(u))`: (N, C_in) on the source -> (M, C) on the coarse points.

    lift : as `pointwise` makes them. Averages of shares that sum to 1 commute with its
    last, affine map, which is applied where the points are fewer.
    """
    hidden, last = lift[:-1](u), lift[-1]
    if len(plan.coarse) < len(u):
        return last(pool(hidden, plan))
    return pool(last(hidden), plan)


def unpool(u: Tensor, plan: PoolingPlan) -> Tensor:
    """Interpolation by the hats: (M, C) on the coarse points -> (N, C) on the source.

    The adjoint of `pool` in the weighted inner products of the two point sets.
    """
    hat = plan.hat.index_select(0, plan.graph.by_source.order)
    u = u.to(hat.dtype).contiguous()
    return sparse_product(u, hat, plan.graph.reversed())
