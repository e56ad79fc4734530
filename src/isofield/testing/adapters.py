"""Layers that are no operators by themselves, as operators."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from isofield.discretization import Discretization
from isofield.layers.moments import domain_moments
from isofield.layers.norm import MeasureNorm
from isofield.layers.operator import Operator
from isofield.layers.pooling import PoolingPlan, lattice_pooling, pool, unpool
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


class PooledAndBack(Operator):
    """`unpool(pool(u))` over a lattice, at the points of its source."""

    def __init__(self, spacing: float) -> None:
        super().__init__()
        self.spacing = spacing

    def prepare(self, source: Discretization, target: Discretization) -> PoolingPlan:
        require_own_points(source, target)
        return lattice_pooling(source, self.spacing)

    def forward(self, u: Tensor, plan: PoolingPlan) -> Tensor:
        return unpool(pool(u, plan), plan)


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
