"""Derivatives of a Gaussian: Hermite polynomials times it."""

from __future__ import annotations

import math
from itertools import product as combinations

import torch
from torch import Tensor

from isofield.bases.basis import Basis, check_at_least


class GaussHermiteBasis(Basis):
    """All derivatives of a Gaussian up to an order: those of a smoothed field.

        phi_a(u) = prod_i He_(a_i)(u_i / σ) / √(a_i!) exp(-|u|^2 / 2σ^2),   |a| <= order
                 = (-σ)^|a| / √(a!) d^a exp(-|u|^2 / 2σ^2)

    He are the Hermite polynomials of probability theory, He_2(x) = x^2 - 1.

    Law: up to the window, `∫ phi_a(u) v(u) du` is `σ^|a| / √(a!)` times the derivative
    a, at 0, of v smoothed by this Gaussian, of mass (2π)^(d/2) σ^d; with σ = 1/4 the
    ball ends at 4σ. On all of R^d they are orthogonal in the weight exp(|u|^2 / 2σ^2).

    dimension : d, at least 1. order : at least 0. width : σ, positive, of the ball's
    radius. alpha : of the window. size : B = binomial(order + d, d). derivative :
    (B, d) int64, a of each function, by |a|.

    Source: J. Koenderink and A. van Doorn 1987, doi:10.1007/BF00318371.
    """

    def __init__(
        self, dimension: int, order: int, width: float = 0.25, alpha: float = 2.0
    ) -> None:
        check_at_least("dimension", dimension, 1)
        check_at_least("order", order, 0)
        if not (0 < width < math.inf):
            raise ValueError(f"width: expected a positive number, got {width}")
        size = math.comb(order + dimension, dimension)
        super().__init__(dimension, size, alpha, None)
        self.order = order
        self.width = float(width)
        every = combinations(range(order + 1), repeat=dimension)
        kept = sorted((a for a in every if sum(a) <= order), key=sum)
        self.derivative = torch.tensor(kept)

    def functions(self, u: Tensor) -> Tensor:
        """(..., d) -> (..., B)."""
        x = u / self.width
        along = self._along(x)
        values = torch.exp(-x.square().sum(-1, keepdim=True) / 2)
        for axis, order in enumerate(self.derivative.unbind(1)):
            values = values * along[..., axis, :].index_select(-1, order.to(u.device))
        return values

    def _along(self, x: Tensor) -> Tensor:
        """(...) -> (..., order + 1), He_n / √(n!) by their recurrence."""
        last, values = torch.zeros_like(x), [torch.ones_like(x)]
        for n in range(self.order):
            ahead = (x * values[-1] - math.sqrt(n) * last) / math.sqrt(n + 1)
            last = values[-1]
            values.append(ahead)
        return torch.stack(values, -1)
