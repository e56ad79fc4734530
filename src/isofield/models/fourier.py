"""A neural operator of Fourier modes that are summed in the measure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.block import Block
from isofield.layers.fourier_conv import FourierConv, FourierPlan, Waves
from isofield.layers.kernel_integral import KernelPlan
from isofield.layers.local_mean import LocalMean
from isofield.layers.moments import n_moments, shape_features
from isofield.layers.norm import MeasureNorm
from isofield.layers.operator import Operator
from isofield.layers.pointwise import pointwise
from isofield.layers.pooling import PoolingPlan, lattice_pooling, pool, pool_lifted
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class FourierOperatorPlan(Plan):
    """fine : pooling of the source to half the spacing. base : pooling of that to the
    spacing. at_base, at_target : waves there. decode : from the fine and the base
    points to the target. base_shape, target_shape : positions and moments of the domain
    there."""

    fine: PoolingPlan
    base: PoolingPlan
    at_base: Waves
    at_target: Waves
    decode: tuple[KernelPlan, KernelPlan]
    base_shape: Tensor
    target_shape: Tensor


class FourierOperator(Operator):
    """Lift, convolutions by Fourier modes with pointwise networks between, projection.

        w = L u,   v_0 = R w + S,   v_(k+1) = v_k + P_k(N v_k, F_k N v_k),
        output = P(A_f w, A v_n, F N v_n, S)

    R averages over a lattice of spacing H (the base, see `lattice_pooling`), F_k are
    convolutions by Fourier modes (`FourierConv`), N is the norm in the measure. A and
    A_f are means over balls around the targets, of the base and of a lattice twice as
    fine (`LocalMean`), S networks of the position and of moments of the domain. Every
    block sees the whole domain; nothing is searched and nothing cut off but waves that
    the base does not resolve.

    in_channels, out_channels : of the fields. dimension : d. measure_dimension : 2 for
    surfaces in space, d where it is not given. radius : 3 H, in the scaled coordinates,
    at least three spacings of the coarsest mesh. period : of the waves, longer than the
    domain, which is 1 in the scaled coordinates. modes : waves along a period, fewer
    where the shortest would be less than 2 H. width : channels inside. blocks : their
    number. hidden : channels within P, at every target point; 2 width if not given.

    Output at any target points; nothing of the size of a mesh is learned.
    Source: as for `FourierConv`.
    """

    # plates on meshes a third as fine as any learned from then err by a third of what
    # they did in displacement, by half in von Mises stress; learned from, pieces took
    # the error on all others from 2.9 to 3.1 %
    pieces = "in predictions"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        measure_dimension: int | None = None,
        radius: float = 0.18,
        period: float = 1.3,
        modes: int = 6,
        width: int = 48,
        blocks: int = 4,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.radius = radius
        self.measure_dimension = measure_dimension
        spacing, narrow = radius / 3, width // 3
        shape = dimension + 2 * n_moments(dimension)
        waves = {
            "period": period,
            "modes": min(modes, int(period / (2 * spacing))),
            "measure_dimension": measure_dimension,
        }
        self.lift = pointwise(in_channels, width, width)
        self.shape_lift = pointwise(shape, width, width)
        self.blocks = nn.ModuleList(
            Block(width, FourierConv(width, width, dimension, **waves))
            for _ in range(blocks)
        )
        self.norm = MeasureNorm(width)
        self.last = FourierConv(width, width, dimension, **waves)
        self.narrow = nn.Linear(width, narrow)
        self.fine_mean = LocalMean(spacing, measure_dimension)
        self.base_mean = LocalMean(2 * spacing, measure_dimension)
        features = narrow + 2 * width + shape
        self.project = pointwise(
            features, 2 * width if hidden is None else hidden, out_channels
        )
        self.skip = nn.Linear(features, out_channels)

    def prepare(
        self, source: Discretization, target: Discretization
    ) -> FourierOperatorPlan:
        """Poolings, waves and means of a geometry, in the precision of the points."""
        spacing = self.radius / 3
        fine = lattice_pooling(source, spacing / 2)
        base = lattice_pooling(fine.coarse, spacing)
        waves = self.last.prepare(base.coarse, target)
        return FourierOperatorPlan(
            fine,
            base,
            waves.source,
            waves.target,
            (
                self.fine_mean.prepare(fine.coarse, target),
                self.base_mean.prepare(base.coarse, target),
            ),
            *(
                shape_features(
                    fine.coarse, base.coarse, at, self.radius, self.measure_dimension
                )
                for at in (base.coarse, target)
            ),
        )

    def forward(self, u: Tensor, plan: FourierOperatorPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        fine = pool_lifted(self.lift, u, plan.fine)
        v = pool(fine, plan.base) + self.shape_lift(plan.base_shape)
        within = FourierPlan(plan.at_base, plan.at_base)
        for block in self.blocks:
            v = block(v, plan.base.coarse, within)
        v = self.norm(v, plan.base.coarse)
        to_fine, to_base = plan.decode
        decoded = [
            self.fine_mean(self.narrow(fine), to_fine),
            self.base_mean(v, to_base),
            self.last(v, FourierPlan(plan.at_base, plan.at_target)),
            plan.target_shape,
        ]
        features = torch.cat(decoded, 1)
        return self.project(features) + self.skip(features)
