"""Errors of fields in the measure."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isofield.discretization import Discretization
from isofield.operators import Gradient


def relative_l2(
    prediction: Tensor, truth: Tensor, domain: Discretization, channels: Sequence[int]
) -> Tensor:
    """`||u - v|| / ||v||` per sample and field, in L2 of the measure.

    prediction u, truth v : (N, C). channels : components of each field, their sum is C.
    Returns (B, F). `||v||^2 = int |v|^2 dmu`, summed over a field's components; a truth
    that is zero everywhere gives inf or nan, as it should.
    """
    error = _squared(prediction - truth, domain, channels)
    return (error / _squared(truth, domain, channels)).sqrt()


def relative_h1(
    prediction: Tensor,
    truth: Tensor,
    domain: Discretization,
    gradient: Gradient,
    channels: Sequence[int],
    length: float = 1.0,
) -> Tensor:
    """`||u - v||_1 / ||v||_1` per sample and field, in H1 of the measure.

    `||v||_1^2 = int |v|^2 dmu + L^2 int |grad v|^2 dmu`; the second integral runs over
    the cells, with the gradients of the nodal interpolant. Arguments and result as for
    `relative_l2`; gradient : of the same mesh. length : L, which makes both terms of
    one unit.
    """

    def size(v: Tensor) -> Tensor:
        slope = (length * gradient(v)).square().sum(2)
        parts = list(channels)
        inner = _fields(gradient.sites.integrate(slope), parts)
        return _squared(v, domain, parts) + inner

    return (size(prediction - truth) / size(truth)).sqrt()


def _squared(v: Tensor, domain: Discretization, channels: Sequence[int]) -> Tensor:
    return _fields(domain.integrate(v.square()), channels)


def _fields(totals: Tensor, channels: Sequence[int]) -> Tensor:
    """(B, C) -> (B, F), the sum over each field's components."""
    parts = totals.split(list(channels), 1)
    return torch.stack([part.sum(1) for part in parts], 1)
