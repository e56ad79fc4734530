"""What every basis of kernels is: windowed functions on the unit ball."""

from __future__ import annotations

import math
from abc import abstractmethod
from numbers import Integral

import torch
from torch import Tensor, nn


class Basis(nn.Module):
    """B functions `phi_b` on the unit ball of R^d, times a window.

        kernel_b(u) = (1 - |u|^2)^alpha phi_b(u)  for |u| < 1,   0 elsewhere

    of the local coordinates u = (y - x) / r of a point y seen from x. They are the
    part of a kernel `k(u) = sum_b kernel_b(u) W_b` that a layer prepares once; its
    matrices W_b are what it learns. The kernel is of class C^(alpha - 1) over the edge
    of the ball: with alpha = 0 points enter and leave it with a jump.

    Values have the precision and device of u, whatever those of the parameters:
    geometry is prepared in float64. They are functions that autograd differentiates
    any number of times, without a NaN at u = 0 and at |u| = 1.

    dimension : d. size : B. alpha : of the window, at least 0. degree : every
    polynomial up to this degree is a combination of the phi_b; None where none is
    promised.
    """

    def __init__(
        self, dimension: int, size: int, alpha: float, degree: int | None
    ) -> None:
        super().__init__()
        if not (alpha >= 0 and math.isfinite(alpha)):
            raise ValueError(f"alpha: expected a finite number >= 0, got {alpha}")
        self.dimension = dimension
        self.size = size
        self.alpha = float(alpha)
        self.degree = degree

    @property
    def mean_window(self) -> float:
        """The mean of the window over the unit ball, Γ(d/2+1) Γ(α+1) / Γ(d/2+α+1).

        The kernel `window((y - x) / r) / (mean_window |B_d| r^d)` has unit mass.
        """
        half, alpha = self.dimension / 2, self.alpha
        return math.exp(
            math.lgamma(half + 1)
            + math.lgamma(alpha + 1)
            - math.lgamma(half + alpha + 1)
        )

    @torch.no_grad()
    def mean_squares(self) -> Tensor:
        """(B,) float64, `∫ window phi_b^2 / ∫ window` over the ball, to about 1 %.

        By the midpoints of a grid. What a layer may divide by, so that matrices of one
        size give every function the same part in its values.
        """
        n = {1: 1000, 2: 100, 3: 32}.get(self.dimension, 12)
        axis = (torch.arange(n, dtype=torch.float64) + 0.5) * 2 / n - 1
        u = torch.cartesian_prod(*[axis] * self.dimension).view(-1, self.dimension)
        u = u[u.square().sum(1) < 1]
        window = self.window(u)
        return window @ self.functions(u).square() / window.sum()

    @abstractmethod
    def functions(self, u: Tensor) -> Tensor:
        """(..., d) -> (..., B), the phi_b without the window; outside the ball too."""

    def function_gradients(self, u: Tensor) -> Tensor:
        """(..., d) -> (..., B, d), d phi_b / d u, exact: by forward differentiation."""
        columns = []
        for axis in torch.eye(self.dimension).to(u):
            along = axis.expand_as(u)
            columns.append(torch.func.jvp(self.functions, (u,), (along,))[1])
        return torch.stack(columns, -1)

    def window(self, u: Tensor) -> Tensor:
        """(..., d) -> (...,), `(1 - |u|^2)^alpha`, and 0 where |u| >= 1."""
        inside, rest = self._inside(u)
        return torch.where(inside, rest**self.alpha, 0.0)

    def window_gradient(self, u: Tensor) -> Tensor:
        """(..., d) -> (..., d), `-2 alpha (1 - |u|^2)^(alpha - 1) u` inside, else 0."""
        inside, rest = self._inside(u)
        slope = -2 * self.alpha * rest ** (self.alpha - 1)
        return torch.where(inside[..., None], slope[..., None] * self._windowed(u), 0.0)

    def forward(self, u: Tensor) -> Tensor:
        """(..., d) -> (..., B), window times functions, 0 outside the ball."""
        inside, _ = self._inside(u)
        within = torch.where(inside[..., None], u, 0.0)
        return self.window(u)[..., None] * self.functions(within)

    def gradients(self, u: Tensor) -> Tensor:
        """(..., d) -> (..., B, d), the gradients of `forward` by the product rule."""
        inside, _ = self._inside(u)
        within = torch.where(inside[..., None], u, 0.0)
        slope = self.window_gradient(u)[..., None, :]
        window = self.window(u)[..., None, None]
        by_window = self.functions(within)[..., None] * slope
        return by_window + self.function_gradients(within) * window

    def _windowed(self, u: Tensor) -> Tensor:
        """(..., d), the coordinates that the window sees; others are 0."""
        return u

    def _inside(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Whether |u| < 1, and 1 - |u|^2 there, 1 elsewhere: safe under any power."""
        rest = 1 - self._windowed(u).square().sum(-1)
        inside = rest > 0
        return inside, torch.where(inside, rest, 1.0)

    def extra_repr(self) -> str:
        return f"dimension={self.dimension}, size={self.size}, alpha={self.alpha:g}"


def check_dimension(dimension: int, allowed: tuple[int, ...]) -> None:
    """Raises `ValueError` that names the dimensions that a basis has."""
    if dimension not in allowed:
        names = " or ".join(map(str, allowed))
        raise ValueError(f"dimension: expected {names}, got {dimension}")


def check_at_least(name: str, value: int, least: int) -> None:
    """Raises `ValueError` where an order, degree or count is none or too small."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}: expected an integer >= {least}, got {value!r}")
