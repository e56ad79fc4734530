"""Where a model begins and ends: at the points of its source and of its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.kernel_integral import KernelPlan
from isofield.layers.local_mean import LocalMean
from isofield.layers.moments import n_moments, shape_features
from isofield.layers.pointwise import pointwise
from isofield.layers.pooling import PoolingPlan, lattice_pooling, pool_lifted
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class EndsPlan(Plan):
    """fine : pooling of the source. to_target : from the fine points to the target.
    latent_shape, target_shape : positions and moments of the domain there."""

    fine: PoolingPlan
    to_target: KernelPlan
    latent_shape: Tensor
    target_shape: Tensor


class Ends(nn.Module):
    """The lift at the source, the shape at latent points, the output at the target.

        w = R L u,   s = S(shape),   output = P(A w, v, shape)

    L, S and P are pointwise networks, R averages over a lattice of spacing H / 2 (the
    fine points, see `lattice_pooling`), A over balls of radius H around the targets: so
    detail of the input that latent points do not hold reaches the output. The shape is
    the position and moments of the domain (`shape_features`). v is whatever a model
    brings to the targets.

    in_channels, out_channels : of the fields. dimension : d. radius : 3 H. width : C of
    w, s. decoded : channels of v. measure_dimension : see `kernel_plan`. hidden :
    channels within P, at every target point; 2 width if not given.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        radius: float,
        width: int,
        decoded: int,
        measure_dimension: int | None = None,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.radius = radius
        self.measure_dimension = measure_dimension
        shape, narrow = dimension + 2 * n_moments(dimension), width // 3
        self.lift_source = pointwise(in_channels, width, width)
        self.lift_shape = pointwise(shape, width, width)
        self.narrow = nn.Linear(width, narrow)
        self.mean = LocalMean(radius / 3, measure_dimension)
        features = narrow + decoded + shape
        hidden = 2 * width if hidden is None else hidden
        self.project = pointwise(features, hidden, out_channels)
        self.skip = nn.Linear(features, out_channels)

    def gather(self, source: Discretization) -> PoolingPlan:
        """The pooling of the source to the fine points."""
        return lattice_pooling(source, self.radius / 6)

    def prepare(
        self, fine: PoolingPlan, latent: Discretization, target: Discretization
    ) -> EndsPlan:
        """fine : that of `gather`. latent : where a model works."""
        base = lattice_pooling(fine.coarse, self.radius / 3).coarse
        shapes = [
            shape_features(fine.coarse, base, at, self.radius, self.measure_dimension)
            for at in (latent, target)
        ]
        return EndsPlan(fine, self.mean.prepare(fine.coarse, target), *shapes)

    def lift(self, u: Tensor, plan: EndsPlan) -> Tensor:
        """(N, C_in) at the source -> w (F, C) at the fine points."""
        return pool_lifted(self.lift_source, u, plan.fine)

    def shape(self, plan: EndsPlan) -> Tensor:
        """s (L, C) at the latent points."""
        return self.lift_shape(plan.latent_shape)

    def output(self, w: Tensor, decoded: Sequence[Tensor], plan: EndsPlan) -> Tensor:
        """w (F, C) and parts of v, each (M, ...) -> (M, C_out) at the target."""
        detail = self.mean(self.narrow(w), plan.to_target)
        features = torch.cat([detail, *decoded, plan.target_shape], 1)
        return self.project(features) + self.skip(features)
