"""Errors of fields in the measure."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isofield.discretization import Discretization


def relative_l2(
    prediction: Tensor, truth: Tensor, domain: Discretization, channels: Sequence[int]
) -> Tensor:
    """`||prediction - truth|| / ||truth||` per sample and field, in the measure.

    prediction, truth : (N, C). channels : components of each field, their sum is C.
    Returns (B, F). The norm is that of L2 over the domain, summed over the components
    of a field; a truth that is zero everywhere gives inf or nan, as it should.
    """
    error = domain.integrate((prediction - truth).square())
    size = domain.integrate(truth.square())
    parts = list(channels)
    return torch.stack(
        [
            (e.sum(1) / s.sum(1)).sqrt()
            for e, s in zip(error.split(parts, 1), size.split(parts, 1), strict=True)
        ],
        1,
    )
