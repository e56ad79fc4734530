"""Normalization of features in the measure."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization


class MeasureNorm(nn.Module):
    """Features divided by their root mean square over the domain of each sample.

    `v_c(x) = g_c u_c(x) / sqrt(1/(C |Omega|) sum_c' int u_c'(y)^2 dmu(y) + eps)`

    One number divides all channels of a sample, so constant fields (loads, materials)
    keep their values relative to the others; a norm per channel would erase them.
    The integral carries the weights of the points: node splitting changes nothing.

    channels : C. eps : added to the mean square, in the unit of u squared.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.eps = eps

    def forward(self, u: Tensor, domain: Discretization) -> Tensor:
        """(N, C) on the points of `domain` -> (N, C)."""
        mean_square = domain.mean((u * u).mean(1))
        scale = torch.rsqrt(mean_square + self.eps)
        return u * scale.index_select(0, domain.sample)[:, None] * self.gain
