"""Tensor products of B-splines on the cube, with a window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from isofield.bases.basis import Basis, check_at_least


class BSplineBasis(Basis):
    """Products `phi_p(u) = prod_i N_(p_i)(u_i)` of uniform B-splines on [-1, 1]^d.

    Nonnegative, piecewise polynomials of this degree in each coordinate, degree - 1
    times continuously differentiable, of sum 1 everywhere. Knots are equally spaced
    and not repeated at the ends, so that K functions span K - degree intervals and
    values at the ends are not coefficients. Beyond [-1, 1] the last polynomials go on.

    dimension : d, at least 1. n_control : K, functions per axis, one number or d of
    them; at least degree + 1, on periodic axes at least 1. degree : of the splines, at
    least 0. periodic : one flag or d of them; a periodic axis is a circle of period 2,
    the coordinate an angle over π, on which K functions span K intervals; the window
    does not see it. alpha : of the window.

    size : B = prod K_i, the last axis runs fastest. As a `Basis`, `degree` is that of
    the splines, and 0 with a periodic axis, on which constants alone are polynomials.

    Source: C. de Boor, A practical guide to splines, 1978; as kernels M. Fey et al.,
    arXiv:1711.08920, here for any degree, with a window.
    """

    def __init__(
        self,
        dimension: int,
        n_control: int | Sequence[int],
        degree: int = 2,
        periodic: bool | Sequence[bool] = False,
        alpha: float = 2.0,
    ) -> None:
        check_at_least("dimension", dimension, 1)
        check_at_least("degree", degree, 0)
        counts = _per_axis("n_control", n_control, dimension)
        circles = _per_axis("periodic", periodic, dimension)
        for count, circle in zip(counts, circles, strict=True):
            check_at_least("n_control", count, 1 if circle else degree + 1)
        size = math.prod(counts)
        super().__init__(dimension, size, alpha, 0 if any(circles) else degree)
        self.n_control = counts
        self.spline_degree = degree
        self.periodic = circles

    def functions(self, u: Tensor) -> Tensor:
        """(..., d) -> (..., B), nonnegative, of sum 1."""
        axes = zip(u.unbind(-1), self.n_control, self.periodic, strict=True)
        return product([bsplines(x, k, self.spline_degree, p) for x, k, p in axes])

    def _windowed(self, u: Tensor) -> Tensor:
        return u * (~torch.tensor(self.periodic)).to(u)


def bsplines(x: Tensor, count: int, degree: int, periodic: bool) -> Tensor:
    """(...) -> (..., K), all K uniform B-splines on [-1, 1] at x.

    On the interval that holds x, with t the part of it before x, the degree rises by
    `b_k^p = b_(k-1)^(p-1) (t + p - k) / p + b_k^(p-1) (1 - t + k) / p`.
    """
    spans = count if periodic else count - degree
    first, t = interval(x, spans, bounded=not periodic)
    values = [torch.ones_like(t)]
    for p in range(1, degree + 1):
        zero = torch.zeros_like(t)
        below, above = [zero, *values], [*values, zero]
        values = [
            (below[k] * (t + p - k) + above[k] * (1 - t + k)) / p for k in range(p + 1)
        ]
    index = first[..., None] + torch.arange(degree + 1, device=x.device)
    if periodic:
        index = index % count
    nothing = t.new_zeros(*t.shape, count)
    return nothing.scatter_add(-1, index, torch.stack(values, -1))


def interval(x: Tensor, count: int, bounded: bool = True) -> tuple[Tensor, Tensor]:
    """The number of the interval of [-1, 1], cut into `count`, that holds x, and where
    in it x lies, from 0 to 1. Bounded: the outer ones hold all that is beyond them."""
    scaled = (x + 1) * (count / 2)
    first = scaled.floor()
    if bounded:
        first = first.clamp(0, count - 1)
    return first.long(), scaled - first


def product(axes: list[Tensor]) -> Tensor:
    """d tensors (..., K_i) -> (..., prod K_i), the products; the last axis fastest."""
    values = axes[0]
    for axis in axes[1:]:
        values = (values[..., :, None] * axis[..., None, :]).flatten(-2)
    return values


def _per_axis(name: str, value, dimension: int) -> tuple:
    """One number or flag for each axis."""
    values = (value,) * dimension if isinstance(value, int) else tuple(value)
    if len(values) != dimension:
        raise ValueError(
            f"{name}: expected one or {dimension} of them, one for each axis, got "
            f"{value!r}"
        )
    return values
