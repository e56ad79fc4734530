"""A transformer whose tokens are slices of the domain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isofield.bases.learned import varied_network
from isofield.discretization import Discretization
from isofield.layers.kernel_integral import KernelPlan
from isofield.layers.local_mean import LocalMean
from isofield.layers.moments import n_moments, shape_features
from isofield.layers.operator import Operator
from isofield.layers.pointwise import pointwise
from isofield.layers.pooling import PoolingPlan, lattice_pooling, pool, pool_lifted
from isofield.layers.slice_attention import SliceAttention
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class Surroundings(Plan):
    """What is known at points. points : themselves. fine, base : from the points of the
    two lattices. shape : positions and moments of the domain."""

    points: Discretization
    fine: KernelPlan
    base: KernelPlan
    shape: Tensor


@dataclass(frozen=True, eq=False)
class SliceTransformerPlan(Plan):
    """fine : pooling of the source to half the spacing. base : pooling of that to the
    spacing. at_base, at_target : what is known there."""

    fine: PoolingPlan
    base: PoolingPlan
    at_base: Surroundings
    at_target: Surroundings


class SliceTransformer(Operator):
    """Lift, attention among slices with pointwise networks between, projection.

        w = L u,   f = (A_f w, A w, S),   v_0 = E f + Q(x),
        v' = v_k + T_k(N v_k),   v_(k+1) = v' + P_k(N v'),   output = P(N v_n, f)

    T_k is attention among slices (`SliceAttention`), N a norm over the channels of each
    point. A_f and A are means over balls around x of a lattice of half the spacing and
    of one of the spacing H (the base, see `lattice_pooling`), S the position and
    moments of the domain. Q begins as varied functions of the position, so that the
    first slices are parts of the domain that differ: without it training is slower.

    Every v_k is a function of the point: slices are means over the base, in its
    measure, and features go through the same blocks at the targets, where they see the
    slices alone. So output at any point has the depth of the network, needs no
    interpolation, and costs the same for each target.

    in_channels, out_channels : of the fields. dimension : d. measure_dimension : 2 for
    surfaces in space, d where it is not given. radius : 3 H, in the scaled coordinates,
    at least three spacings of the coarsest mesh. width : channels inside. blocks : how
    many. heads, slices : of each attention.

    Output at any target points; nothing of the size of a mesh is learned.
    Source: as for `SliceAttention`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        measure_dimension: int | None = None,
        radius: float = 0.18,
        width: int = 64,
        blocks: int = 4,
        heads: int = 8,
        slices: int = 32,
    ) -> None:
        super().__init__()
        self.radius = radius
        self.measure_dimension = measure_dimension
        spacing, narrow = radius / 3, width // 2
        features = dimension + 2 * n_moments(dimension) + 2 * narrow
        self.lift = pointwise(in_channels, width, narrow)
        self.fine_mean = LocalMean(spacing, measure_dimension)
        self.base_mean = LocalMean(2 * spacing, measure_dimension)
        self.enter = pointwise(features, 2 * width, width)
        self.place = varied_network(dimension, width, width)
        self.blocks = nn.ModuleList(_Block(width, heads, slices) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.project = pointwise(width + features, 2 * width, out_channels)
        self.skip = nn.Linear(width + features, out_channels)
        nn.init.normal_(self.skip.weight, std=(width + features) ** -0.5)

    def prepare(
        self, source: Discretization, target: Discretization
    ) -> SliceTransformerPlan:
        """Poolings, means and moments of a geometry, in the precision of the points."""
        spacing = self.radius / 3
        fine = lattice_pooling(source, spacing / 2)
        base = lattice_pooling(fine.coarse, spacing)
        at_base, at_target = (
            self._surroundings(fine.coarse, base.coarse, at)
            for at in (base.coarse, target)
        )
        return SliceTransformerPlan(fine, base, at_base, at_target)

    def _surroundings(
        self, fine: Discretization, base: Discretization, at: Discretization
    ) -> Surroundings:
        return Surroundings(
            at,
            self.fine_mean.prepare(fine, at),
            self.base_mean.prepare(base, at),
            shape_features(fine, base, at, self.radius, self.measure_dimension),
        )

    def forward(self, u: Tensor, plan: SliceTransformerPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        fine = pool_lifted(self.lift, u, plan.fine)
        base = pool(fine, plan.base)
        known = [self._known(fine, base, at) for at in (plan.at_base, plan.at_target)]
        base_at, target_at = plan.at_base.points, plan.at_target.points
        v, out = self._entered(known[0], base_at), self._entered(known[1], target_at)
        for block in self.blocks:
            v, out = block(v, base_at, out, target_at)
        features = torch.cat([self.norm(out), known[1]], 1)
        return self.project(features) + self.skip(features)

    def _known(self, fine: Tensor, base: Tensor, at: Surroundings) -> Tensor:
        means = [self.fine_mean(fine, at.fine), self.base_mean(base, at.base)]
        return torch.cat([*means, at.shape], 1)

    def _entered(self, known: Tensor, at: Discretization) -> Tensor:
        # the scaled domain has the extent 1: twice its positions fill the unit ball
        return self.enter(known) + self.place(2 * at.points)


class _Block(nn.Module):
    """`v' = v + T(N v)`, then `v' + P(N v')`, on the base and on the target.

    The slices are those of the base at both.
    """

    def __init__(self, width: int, heads: int, slices: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = SliceAttention(width, heads=heads, slices=slices)
        self.second_norm = nn.LayerNorm(width)
        self.pointwise = pointwise(width, 2 * width, width)

    def forward(
        self, v: Tensor, base: Discretization, out: Tensor, target: Discretization
    ) -> tuple[Tensor, Tensor]:
        normed, attention = self.norm(v), self.attention
        shares = attention.shares(normed)
        tokens = attention.tokens(normed, shares, base)
        v = v + attention.spread(shares, tokens, base)
        out = out + attention.spread(attention.shares(self.norm(out)), tokens, target)
        return tuple(x + self.pointwise(self.second_norm(x)) for x in (v, out))
