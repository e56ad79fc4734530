"""One step of a network: an integral beside the field itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.norm import MeasureNorm
from isofield.layers.pointwise import pointwise


class Block(nn.Module):
    """`v + P(N v, K N v)`: N the norm in the measure, P a pointwise network.

    width : channels of v. conv : K, a layer from these to as many channels, called as
    `conv(v, plan)`.
    """

    def __init__(self, width: int, conv: nn.Module) -> None:
        super().__init__()
        self.norm = MeasureNorm(width)
        self.conv = conv
        self.pointwise = pointwise(2 * width, 2 * width, width)

    def forward(self, v: Tensor, domain: Discretization, plan: Any) -> Tensor:
        """(N, C) at the points of `domain` -> (N, C); plan : that of the layer."""
        normed = self.norm(v, domain)
        return v + self.pointwise(torch.cat([normed, self.conv(normed, plan)], 1))
