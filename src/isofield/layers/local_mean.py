"""Means over balls: a field seen from points that are not its own."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from isofield.discretization import Discretization
from isofield.layers.kernel_integral import KernelPlan, kernel_plan
from isofield.layers.operator import Operator
from isofield.operators.product import sparse_product


class LocalMean(Operator):
    """`v(x) = int_{B(x, r)} omega_r(x, y) u(y) dmu(y)`, omega_r of mass 1.

    The window is that of `kernel_plan`; where the ball leaves the domain its mass is
    less, and so is v (the zeroth of `domain_moments` says by how much). Nothing to
    learn; O(h^2) from lumped weights.

    radius : length; choose at least three spacings of the coarsest source.
    measure_dimension : see `kernel_plan`.
    """

    def __init__(self, radius: float, measure_dimension: int | None = None) -> None:
        super().__init__()
        if not radius > 0:
            raise ValueError(f"radius: expected a positive length, got {radius}")
        self.radius = radius
        self.measure_dimension = measure_dimension

    def prepare(self, source: Discretization, target: Discretization) -> KernelPlan:
        """Neighbours and weights, in the precision of the points."""
        return kernel_plan(source, target, self.radius, self.measure_dimension)

    def forward(self, u: Tensor, plan: KernelPlan) -> Tensor:
        """(N, C) at the source points -> (M, C) at the target points."""
        return sparse_product(u.to(plan.weight).contiguous(), plan.weight, plan.graph)


class LocalAverage(Operator):
    """`v(x) = int_B omega_r u dmu / int_B omega_r dmu`: the mean over what of the ball
    lies in the domain.

    As `LocalMean`, but constants are kept exactly and next to the boundary too; there
    v(x) is the mean about a point further inside, so that it errs by O(r), not by half
    the value.

    radius, measure_dimension : see `LocalMean`. Raises `ValueError` in `prepare` where
    targets have no source within the radius.
    """

    def __init__(self, radius: float, measure_dimension: int | None = None) -> None:
        super().__init__()
        self.mean = LocalMean(radius, measure_dimension)

    def prepare(self, source: Discretization, target: Discretization) -> KernelPlan:
        """Neighbours and weights that sum to 1, in the precision of the points."""
        plan = self.mean.prepare(source, target)
        total = plan.weight.new_zeros(len(target))
        total = total.index_add(0, plan.graph.target, plan.weight)
        lonely = int((total <= 0).sum())
        if lonely:
            raise ValueError(
                f"{lonely} of {len(target)} targets have no source within the radius "
                f"{self.mean.radius:.3g}: take a longer radius, or targets nearer to it"
            )
        return replace(plan, weight=plan.weight / total[plan.graph.target])

    def forward(self, u: Tensor, plan: KernelPlan) -> Tensor:
        """(N, C) at the source points -> (M, C) at the target points."""
        return self.mean(u, plan)
