"""A nonlinearity that turns with the frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isofield.layers.field_types import checked_types, widths


class NormActivation(nn.Module):
    """`z -> z sigmoid(a |z| + b)` for every field with a type, GELU for scalars.

    The norm does not depend on frames, so the output turns with them as the input does.
    |z| stands for `sqrt(|z|² + eps²)`, which is smooth where a field vanishes.

    channels : (C_0, ..., C_M), fields of each type (`isofield.layers.field_types`). a
    and b are learned, two numbers for each field with a type. eps : in the unit of the
    fields.
    """

    def __init__(self, channels: Sequence[int], eps: float = 1e-3) -> None:
        super().__init__()
        self.channels = checked_types("channels", channels)
        self.eps = eps
        self.slopes = nn.Parameter(torch.ones(sum(self.channels[1:])))
        self.shifts = nn.Parameter(torch.zeros(sum(self.channels[1:])))

    def forward(self, u: Tensor) -> Tensor:
        """(N, C) -> (N, C)."""
        scalars, *fields = u.split(widths(self.channels), 1)
        slopes = self.slopes.split(self.channels[1:])
        shifts = self.shifts.split(self.channels[1:])
        done = [nn.functional.gelu(scalars)]
        for field, a, b in zip(fields, slopes, shifts, strict=True):
            z = field.unflatten(1, (2, -1))
            norm = (z.square().sum(1) + self.eps**2).sqrt()
            done.append((z * torch.sigmoid(a * norm + b)[:, None]).flatten(1))
        return torch.cat(done, 1)
