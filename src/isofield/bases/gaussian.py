"""Gaussians around centres in the ball."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn

from isofield.bases.basis import Basis, check_at_least, check_dimension


class GaussianBasis(Basis):
    """`phi_b(u) = exp(-1/2 sum_i ((u_i - c_bi) / σ_bi)^2)`, one for each centre c_b.

    centres : (B, d). widths : σ, positive: one number, (B,), or (B, d) for a width
    along each axis. learned : whether centres and the logarithms of the widths are
    parameters, of the default precision of torch; they are kept in float64 otherwise.
    alpha : of the window.

    `on_rings` spreads the centres evenly. Where B grows and the widths follow the
    distance of the centres, any continuous kernel is approached.

    Source: F. Monti et al., Geometric deep learning using mixture model CNNs,
    arXiv:1611.08402, here in the measure and with a window.
    """

    def __init__(
        self,
        centres: Tensor,
        widths: Tensor | float,
        learned: bool = False,
        alpha: float = 2.0,
    ) -> None:
        centres = torch.as_tensor(centres, dtype=torch.float64)
        widths = torch.as_tensor(widths, dtype=torch.float64)
        if centres.ndim != 2 or 0 in centres.shape:
            raise ValueError(
                f"centres: expected (B, d), at least one, got {tuple(centres.shape)}"
            )
        size, dimension = centres.shape
        if widths.shape not in ((), (size,), (size, dimension)) or not bool(
            (widths > 0).all()
        ):
            raise ValueError(
                f"widths: expected positive numbers, one or ({size},) or "
                f"({size}, {dimension}), got {tuple(widths.shape)} from "
                f"{float(widths.min()):.3g}"
            )
        super().__init__(dimension, size, alpha, None)
        widths = widths[:, None] if widths.ndim == 1 else widths
        logarithms = widths.log().expand(size, dimension).clone()
        if learned:
            standard = torch.get_default_dtype()
            self.centres = nn.Parameter(centres.to(standard))
            self.logarithms = nn.Parameter(logarithms.to(standard))
        else:
            self.centres, self.logarithms = centres, logarithms

    @classmethod
    def on_rings(
        cls, dimension: int, rings: int = 2, learned: bool = False, alpha: float = 2.0
    ) -> Self:
        """Centres at 0 and on evenly spaced spheres around it, as wide as their gap.

        Sphere k of `rings` has the radius `k g`, g = 2 / (2 rings + 1): the ball ends
        half a gap beyond the last. It holds 2 centres on the line, 6k in the plane,
        12 k^2 in space, on a spiral. Widths are g / √2.
        """
        check_dimension(dimension, (1, 2, 3))
        check_at_least("rings", rings, 0)
        gap = 2 / (2 * rings + 1)
        spheres = [gap * k * _sphere(dimension, k) for k in range(1, rings + 1)]
        centres = torch.cat([torch.zeros(1, dimension, dtype=torch.float64), *spheres])
        return cls(centres, gap / math.sqrt(2), learned, alpha)

    def functions(self, u: Tensor) -> Tensor:
        """(..., d) -> (..., B), between 0 and 1."""
        inverse = (-self.logarithms.to(u)).exp()
        centres = self.centres.to(u)
        exponent = torch.zeros_like(u[..., :1])
        for axis in range(self.dimension):
            offset = (u[..., axis, None] - centres[:, axis]) * inverse[:, axis]
            exponent = exponent + offset.square()
        return torch.exp(-exponent / 2)


def _sphere(dimension: int, k: int) -> Tensor:
    """Evenly spread unit vectors, for the k-th sphere around 0."""
    if dimension == 1:
        return torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    n = 6 * k if dimension == 2 else 12 * k**2
    number = torch.arange(n, dtype=torch.float64)
    if dimension == 2:
        angle = 2 * math.pi * number / n
        return torch.stack([angle.cos(), angle.sin()], 1)
    golden = math.pi * (3 - math.sqrt(5))
    z = 1 - (2 * number + 1) / n
    side, angle = (1 - z.square()).sqrt(), golden * number
    return torch.stack([side * angle.cos(), side * angle.sin(), z], 1)
