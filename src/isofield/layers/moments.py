"""Moments of the domain around a point: shape as every layer sees it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from isofield.discretization import Discretization
from isofield.layers.kernel_integral import kernel_plan

# targets whose pairs are held at one time
AT_ONCE = 1 << 14


def n_moments(dimension: int) -> int:
    """1 + d + d(d + 1)/2, the number of monomials up to degree 2."""
    return 1 + dimension + dimension * (dimension + 1) // 2


def domain_moments(
    source: Discretization,
    target: Discretization,
    radius: float,
    measure_dimension: int | None = None,
) -> Tensor:
    """Windowed moments of the domain in a ball around each target point.

    `m_a(x) = int_{B(x, r)} omega_r(x, y) p_a(xi) dmu(y)`, `xi = (y - x)/r`, with the
    polynomials 1, xi_a, xi_a xi_b shifted and scaled to mean 0 and size 1 under the
    window omega_r of `kernel_plan`: away from the boundary the moments are 1, 0, ...,
    0, near it they tell its distance, direction and curvature. They belong to the
    shape: O(h^2) from the quadrature is all that a mesh adds. Pairs are held for some
    targets at a time.

    source, target : N and M points. radius : length. measure_dimension : see
    `kernel_plan`. Returns (M, 1 + d + d(d + 1)/2).
    """
    return torch.cat(
        [_moments(source, part, radius, measure_dimension) for part in _parts(target)]
    )


def _parts(target: Discretization) -> Iterator[Discretization]:
    """The points in their order, AT_ONCE at a time, each time of all samples."""
    n = len(target)
    if n <= AT_ONCE:
        yield target
        return
    for first in range(0, n, AT_ONCE):
        last = min(first + AT_ONCE, n)
        ptr = target.ptr.clamp(first, last) - first
        part = slice(first, last)
        yield Discretization(target.points[part], target.weights[part], ptr)


def _moments(
    source: Discretization,
    target: Discretization,
    radius: float,
    measure_dimension: int | None,
) -> Tensor:
    plan = kernel_plan(source, target, radius, measure_dimension)
    xi, d = plan.offset, source.dimension
    # moments of the window: <xi_a^2> = 1/(d+6), <xi_a^2 xi_b^2> = 1/((d+6)(d+8))
    second, mixed = 1 / (d + 6), 1 / ((d + 6) * (d + 8))
    columns = [torch.ones_like(plan.weight), *(xi.t() / second**0.5)]
    for a, b in combinations_with_replacement(range(d), 2):
        mean, square = (second, 3 * mixed) if a == b else (0.0, mixed)
        columns.append((xi[:, a] * xi[:, b] - mean) / (square - mean**2) ** 0.5)
    polynomials = torch.stack(columns, 1) * plan.weight[:, None]
    moments = polynomials.new_zeros(plan.graph.n_targets, len(columns))
    return moments.index_add(0, plan.graph.target, polynomials)


def shape_features(
    fine: Discretization,
    base: Discretization,
    at: Discretization,
    radius: float,
    measure_dimension: int | None = None,
) -> Tensor:
    """(M, d + 2 K) positions, and moments of the domain near and far.

    Near is within 2/3 of the radius, of the fine points; far is within 4/3, of the
    base, coarser ones of the same domain. at : M points. measure_dimension : see
    `kernel_plan`.
    """
    near = domain_moments(fine, at, 2 / 3 * radius, measure_dimension)
    far = domain_moments(base, at, 4 / 3 * radius, measure_dimension)
    return torch.cat([at.points, near, far], 1)
