"""Networks from channels to channels, at every point alone."""

from __future__ import annotations

import warnings

from torch import nn


def pointwise(in_channels: int, hidden: int, out_channels: int) -> nn.Sequential:
    """A linear map, GELU, a linear map; no inputs leave the bias of the first."""
    with warnings.catch_warnings():
        # where the geometry is the only input there is no weight to draw
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        first = nn.Linear(in_channels, hidden)
    return nn.Sequential(first, nn.GELU(), nn.Linear(hidden, out_channels))
