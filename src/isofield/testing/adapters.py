"""Layers that are no operators by themselves, as operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.attention import AttentionPlan, IntegralAttention
from isofield.layers.kernel_integral import KernelPlan
from isofield.layers.latent_grid import LatentGrid, latent_grid
from isofield.layers.local_mean import LocalAverage
from isofield.layers.moments import domain_moments
from isofield.layers.norm import MeasureNorm
from isofield.layers.norm_activation import NormActivation
from isofield.layers.operator import Operator
from isofield.layers.pooling import PoolingPlan, lattice_pooling, pool, unpool
from isofield.layers.slice_attention import SliceAttention
from isofield.layers.spectral_conv import SpectralConv
from isofield.layers.steerable_conv import SteerableConv
from isofield.operators.basis_operator import BasisOperator
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class DomainPlan(Plan):
    """domain : the source points, which are also the targets."""

    domain: Discretization


@dataclass(frozen=True, eq=False)
class MomentsPlan(Plan):
    """moments : (M, K) at the target points."""

    moments: Tensor


class Normed(Operator):
    """`MeasureNorm` at the points of its source."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = MeasureNorm(channels)

    def prepare(self, source: Discretization, target: Discretization) -> DomainPlan:
        require_own_points(source, target)
        return DomainPlan(source)

    def forward(self, u: Tensor, plan: DomainPlan) -> Tensor:
        return self.norm(u, plan.domain)


@dataclass(frozen=True, eq=False)
class StackPlan(Plan):
    """first : from the source to itself. second : from the source to the target."""

    first: BasisOperator
    second: BasisOperator


class Steered(Operator):
    """Scalars by way of vectors and fields of type 2 to scalars: no frame is left."""

    def __init__(self, in_channels: int, out_channels: int, radius: float) -> None:
        super().__init__()
        inside = (2, 1, 1)
        self.first = SteerableConv((in_channels,), inside, radius, order=2)
        self.activation = NormActivation(inside)
        self.second = SteerableConv(inside, (out_channels,), radius, order=2)

    def prepare(self, source: Discretization, target: Discretization) -> StackPlan:
        return StackPlan(
            self.first.prepare(source, source), self.second.prepare(source, target)
        )

    def forward(self, u: Tensor, plan: StackPlan) -> Tensor:
        return self.second(self.activation(self.first(u, plan.first)), plan.second)


class SelfAttention(Operator):
    """`IntegralAttention` of features alone, at the points of its source."""

    def __init__(self, in_channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        self.attention = IntegralAttention(
            in_channels,
            out_channels,
            None,
            heads=2,
            width=width,
            query_channels=in_channels,
        )

    def prepare(self, source: Discretization, target: Discretization) -> AttentionPlan:
        require_own_points(source, target)
        return self.attention.prepare(source, target)

    def forward(self, u: Tensor, plan: AttentionPlan) -> Tensor:
        return self.attention(u, plan, u)


class Sliced(Operator):
    """`SliceAttention` of lifted features, at the points of its source."""

    def __init__(self, in_channels: int, channels: int, slices: int = 5) -> None:
        super().__init__()
        self.lift = nn.Linear(in_channels, channels)
        self.attention = SliceAttention(channels, heads=2, slices=slices)

    def prepare(self, source: Discretization, target: Discretization) -> DomainPlan:
        require_own_points(source, target)
        return DomainPlan(source)

    def forward(self, u: Tensor, plan: DomainPlan) -> Tensor:
        return self.attention(self.lift(u), plan.domain)


class PooledAndBack(Operator):
    """`unpool(pool(u))`, at the points of its source.

    gather : the pooling of a source with this spacing.
    """

    def __init__(
        self,
        spacing: float,
        gather: Callable[[Discretization, float], PoolingPlan] = lattice_pooling,
    ) -> None:
        super().__init__()
        self.spacing = spacing
        self.gather = gather

    def prepare(self, source: Discretization, target: Discretization) -> PoolingPlan:
        require_own_points(source, target)
        return self.gather(source, self.spacing)

    def forward(self, u: Tensor, plan: PoolingPlan) -> Tensor:
        return unpool(pool(u, plan), plan)


@dataclass(frozen=True, eq=False)
class GriddedPlan(Plan):
    """grid : of the source. decode : from its nodes to the target."""

    grid: LatentGrid
    decode: KernelPlan


class Gridded(Operator):
    """Averages to a latent grid, `SpectralConv` there, averages to the target.

    reach : of the grid and of averages. nodes : along the period.
    """

    def __init__(self, conv: SpectralConv, period: float, reach: float, nodes: int):
        super().__init__()
        self.conv = conv
        self.size = {"nodes": nodes, "period": period, "reach": reach}
        self.decode = LocalAverage(reach)

    def prepare(self, source: Discretization, target: Discretization) -> GriddedPlan:
        grid = latent_grid(source, **self.size)
        return GriddedPlan(grid, self.decode.prepare(grid.domain, target))

    def forward(self, u: Tensor, plan: GriddedPlan) -> Tensor:
        v = self.conv(pool(u, plan.grid.pooling), plan.grid)
        return self.decode(v, plan.decode)


class Moments(Operator):
    """The first `count` `domain_moments` at the targets, whatever the field."""

    def __init__(self, radius: float, count: int | None = None) -> None:
        super().__init__()
        self.radius = radius
        self.count = count

    def prepare(self, source: Discretization, target: Discretization) -> MomentsPlan:
        return MomentsPlan(domain_moments(source, target, self.radius)[:, : self.count])

    def forward(self, u: Tensor, plan: MomentsPlan) -> Tensor:
        return plan.moments.to(u)


def require_own_points(source: Discretization, target: Discretization) -> None:
    """Raises `ValueError` unless both are one object."""
    if target is not source:
        raise ValueError("this operator answers at the points of its source alone")
