"""Mass matrices that are solved as a projection is applied."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from isofield.graph import Graph
from isofield.operators.product import sparse_product
from isofield.plan import Plan

MOST_STEPS = 1000


@dataclass(frozen=True, eq=False)
class Mass(Plan):
    """A symmetric positive definite matrix M over points, with scales at both sides.

    graph : from points to points. values : (E,) its entries, `int phi_i phi_j`. left,
    right : (M,) the scales of `solve`; ones in a projection.
    """

    graph: Graph
    values: Tensor
    left: Tensor
    right: Tensor

    @classmethod
    def of(cls, graph: Graph, values: Tensor) -> Mass:
        """The matrix with these entries, unscaled."""
        one = values.new_ones(graph.n_targets)
        return cls(graph, values, one, one)

    def solve(self, b: Tensor) -> Tensor:
        """`left * M^-1 (right * b)`, b (M, C); differentiable in b.

        By conjugate gradients with the diagonal as preconditioner: the condition does
        not depend on the mesh (A. J. Wathen 1987, doi:10.1093/imanum/7.4.449), so
        about 40 steps reach rounding. Raises `ArithmeticError` where they do not.
        """
        inverse = cast(Tensor, _Solve.apply(self.right[:, None] * b, self))
        return self.left[:, None] * inverse

    @cached_property
    def diagonal(self) -> Tensor:
        """(M,) the entries `M_ii`."""
        on = self.graph.source == self.graph.target
        return self.values.new_zeros(self.graph.n_targets).index_add(
            0, self.graph.target[on], self.values[on]
        )

    def __matmul__(self, u: Tensor) -> Tensor:
        """`M u` without the scales: (M, C) -> (M, C)."""
        return sparse_product(u, self.values, self.graph)


class _Solve(torch.autograd.Function):
    """M is symmetric, so the derivative is another solve."""

    @staticmethod
    def forward(ctx: Any, b: Tensor, mass: Mass) -> Tensor:
        ctx.mass = mass
        return _conjugate_gradients(mass, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return cast(Tensor, _Solve.apply(gradients[0].contiguous(), ctx.mass)), None


def _conjugate_gradients(mass: Mass, b: Tensor) -> Tensor:
    scale = 1 / mass.diagonal[:, None]
    x = scale * b
    residual = b - mass @ x
    direction = z = scale * residual
    size = (residual * z).sum(0)
    limit = (4 * torch.finfo(b.dtype).eps) ** 2 * (scale * b * b).sum(0)
    for _ in range(MOST_STEPS):
        if bool((size <= limit).all()):
            return x
        image = mass @ direction
        curvature = (direction * image).sum(0)
        step = torch.where(curvature > 0, size / curvature, 0.0)
        x = x + step * direction
        residual = residual - step * image
        z = scale * residual
        previous, size = size, (residual * z).sum(0)
        ratio = torch.where(previous > 0, size / previous, 0.0)
        direction = z + ratio * direction
    raise ArithmeticError(
        f"the mass matrix of {len(b)} points is not solved after {MOST_STEPS} steps: "
        "are there cells without measure? mesh.validate() names them"
    )
