"""Going between resolutions: transfers as layers."""

from __future__ import annotations

from torch import Tensor

from isofield.discretization import Discretization, unpack
from isofield.layers.operator import Operator
from isofield.operators import SparseOperator, moving_least_squares
from isofield.plan import pack_plans


class Resample(Operator):
    """The value at each target of the polynomial that fits the sources within a radius.

    Moving least squares in the measure (`isofield.operators.moving_least_squares`):
    keeps polynomials up to `degree`, converges with order degree + 1, has nothing to
    learn. The plan is a `SparseOperator`, and any other one is a plan as well: one that
    `conservative` or `linear` made from two meshes, or its adjoint on the way back.

    radius : length, at least three spacings of the coarsest source. degree : 0 to 3.
    Targets without a source within the radius raise `TransferError` in `prepare`.
    """

    def __init__(self, radius: float, degree: int = 1) -> None:
        super().__init__()
        if not radius > 0:
            raise ValueError(f"radius: expected a positive length, got {radius}")
        self.radius = radius
        self.degree = degree

    def prepare(self, source: Discretization, target: Discretization) -> SparseOperator:
        """One operator for all samples, block by block, in the points' precision."""
        made = [
            moving_least_squares(a, b, degree=self.degree, radius=self.radius)
            for a, b in zip(unpack(source), unpack(target), strict=True)
        ]
        return pack_plans(made).to(source.points.dtype)

    def forward(self, u: Tensor, plan: SparseOperator) -> Tensor:
        """(N, C) at the source points -> (M, C) at the target points."""
        return plan.apply(u)
