"""Sources and targets of a search, and the one formula that decides who is near."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isofield.discretization import Discretization


@dataclass(frozen=True, eq=False)
class Clouds:
    """Checked points, detached from any gradient, and the samples they belong to.

    source : (N, d) and target : (M, d), d = 1, 2 or 3, of one precision and device;
        the same tensor where the two are one cloud.
    source_ptr, target_ptr : (B + 1,) int64.
    """

    source: Tensor
    target: Tensor
    source_ptr: Tensor
    target_ptr: Tensor

    def samples(self) -> Iterator[tuple[int, int, int, int]]:
        """First and last source, first and last target of each sample."""
        s, t = self.source_ptr.tolist(), self.target_ptr.tolist()
        return zip(s, s[1:], t, t[1:], strict=False)

    @property
    def bits(self) -> int:
        """An edge's key is `target << bits | source`: sorted keys are sorted edges."""
        return max(1, len(self.source).bit_length())

    def with_targets(self, rows: Tensor) -> Clouds:
        """The same sources seen from these targets alone; `rows` ascending."""
        ptr = torch.searchsorted(rows, self.target_ptr)
        return Clouds(self.source, self.target[rows], self.source_ptr, ptr)


def checked(source: Discretization | Tensor, target: Discretization | Tensor) -> Clouds:
    """The two clouds of a search.

    Raises `ValueError` where a shape, precision, device or number of samples does not
    fit, where coordinates are not finite or so large that squared distances overflow.
    """
    x, source_ptr = _points_and_ptr(source)
    y, target_ptr = (x, source_ptr) if target is source else _points_and_ptr(target)
    if x.dtype != y.dtype or x.device != y.device or x.shape[1] != y.shape[1]:
        raise ValueError(
            "source and target must agree in precision, device and dimension, got "
            f"{x.dtype} on {x.device} in {x.shape[1]}-D and {y.dtype} on {y.device} "
            f"in {y.shape[1]}-D"
        )
    if len(source_ptr) != len(target_ptr):
        raise ValueError(
            f"source has {len(source_ptr) - 1} samples, target has "
            f"{len(target_ptr) - 1}"
        )
    both = [cloud.aminmax(dim=0) for cloud in (x, y) if len(cloud)]
    if both:
        low = torch.stack([b.min for b in both]).amin(0)
        high = torch.stack([b.max for b in both]).amax(0)
        if not math.isfinite(float((4 * (high - low)).square().sum())):
            raise ValueError(
                f"points spread over {(high - low).tolist()}: squared distances "
                f"overflow in {x.dtype}; use another unit of length or float64"
            )
    return Clouds(x, y, source_ptr, target_ptr)


def _points_and_ptr(cloud: Discretization | Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(cloud, Discretization):
        points, ptr = cloud.points.detach(), cloud.ptr
    else:
        points = cloud.detach()
        ptr = torch.tensor([0, len(points)], device=points.device)
    if points.ndim != 2 or points.shape[1] not in (1, 2, 3):
        raise ValueError(
            f"expected points (N, d), d = 1, 2 or 3, got {tuple(points.shape)}"
        )
    if points.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"expected float32 or float64 points, got {points.dtype}")
    wrong = ~torch.isfinite(points).all(1)
    if bool(wrong.any()):
        raise ValueError(
            f"{int(wrong.sum())} of {len(points)} points are not finite, the first is "
            f"point {int(wrong.nonzero()[0])}"
        )
    return points, ptr


def squared_limit(radius: float, dtype: torch.dtype) -> float:
    """The largest t of this precision with `sqrt(t) <= radius`.

    `distance² <= t` is then the same as `distance <= radius` after rounding: a point
    at sqrt(3) is within the radius `math.sqrt(3)`, whose rounded square is below 3.

    Raises `ValueError` where the radius is not a positive finite number, or its square
    overflows or loses digits in this precision.
    """
    number = np.float32 if dtype == torch.float32 else np.float64
    if not isinstance(radius, (int, float, np.number)) or not 0 < radius < math.inf:
        raise ValueError(f"radius must be a positive length, got {radius!r}")
    with np.errstate(over="ignore", under="ignore"):
        length = number(radius)
        limit = length * length
    if not np.finfo(number).tiny <= limit < np.finfo(number).max:
        raise ValueError(
            f"the square of radius {radius!r} is no normal number in {dtype}; use "
            "another unit of length or float64"
        )
    while np.sqrt(limit) > length:
        limit = np.nextafter(limit, number(0))
    while np.sqrt(np.nextafter(limit, number(np.inf))) <= length:
        limit = np.nextafter(limit, number(np.inf))
    return float(limit)


def squared_distance(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """`|x_i - y_j|²` in the points' own precision, term by term in a fixed order.

    The one formula that decides: a sum whose order were left to the library could
    differ between devices in the last bit.
    """
    step = x.index_select(0, i).sub_(y.index_select(0, j))
    step.mul_(step)
    total = step[:, 0]
    for axis in range(1, step.shape[1]):
        total = total + step[:, axis]
    return total
