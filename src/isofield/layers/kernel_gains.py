"""Sizes with which the matrices of a convolution begin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isofield.bases import Basis
from isofield.discretization import Discretization
from isofield.operators.basis_operator import Mode, basis_operator


def kernel_gains(basis: Basis, mode: Mode, functions: Sequence[int] | None) -> Tensor:
    """(B,) standard deviations s_b with `sum_b s_b^2 <c_b^2> = 1`.

    <> is the mean over fields of variance 1 whose covariance is a Gaussian as wide as
    the radius. s_b is in inverse proportion to the root mean square of the function
    over the ball, a hundredth of the largest added, so that functions that are small by
    their definition count as much as others, and those outside the ball do not.
    """
    n = {1: 200, 2: 30, 3: 12}[basis.dimension]
    axis = (torch.arange(n, dtype=torch.float64) + 0.5) * 2 / n - 1
    points = torch.cartesian_prod(*[axis] * basis.dimension).view(-1, basis.dimension)
    weights = torch.full_like(points[:, 0], (2 / n) ** basis.dimension)
    origin = torch.zeros(1, basis.dimension, dtype=torch.float64)
    moments = basis_operator(
        Discretization(points, weights),
        Discretization(origin, weights[:1]),
        basis,
        1.0,
        mode,
        functions=functions,
    )
    points = moments.pairs.enter(points)[moments.pairs.graph.source]
    covariance = torch.exp(-torch.cdist(points, points).square() / 2)
    variance = (moments.values * (covariance @ moments.values)).sum(0)
    square = basis.mean_squares()
    square = square if functions is None else square[list(functions)]
    gain = (square / square.max() + 0.01).rsqrt()
    return gain / (gain.square() @ variance).sqrt()
