"""Discretizations and fields on which the laws are checked."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from isofield.discretization import Discretization, from_mesh
from isofield.generation import ball, disk
from isofield.testing.comparing import ScalarFields, generator

SIZES = {1: (16, 24, 36, 54), 2: (7, 10, 14, 20), 3: (4, 6, 8, 11)}


def body(
    dimension: int, n: int, grading: float = 1.0, dtype: torch.dtype = torch.float64
) -> Discretization:
    """[-1, 1], the unit disk or ball, with lumped weights and n spacings a unit."""
    return _body(dimension, n, grading).to(dtype)


@cache
def _body(dimension: int, n: int, grading: float) -> Discretization:
    if dimension > 1:
        return from_mesh({2: disk, 3: ball}[dimension](n, grading=grading))
    t = torch.linspace(0, 1, 2 * n + 1, dtype=torch.float64)
    if grading != 1:
        rate = math.log(grading)
        t = torch.expm1(rate * t) / math.expm1(rate)
    x = 2 * t - 1
    step = x.diff() / 2
    weights = torch.zeros_like(x)
    weights[:-1] += step
    weights[1:] += step
    return Discretization(x[:, None], weights)


def families(
    dimension: int, grading: float = 3.0
) -> dict[float, tuple[Discretization, Discretization]]:
    """Spacing -> the body, uniform and graded, refined together; float64."""
    return {
        1 / n: (body(dimension, n), body(dimension, n, grading))
        for n in SIZES[dimension]
    }


def probes(
    dimension: int, count: int = 40, dtype: torch.dtype = torch.float64
) -> Tensor:
    """(M, d) random points of the body; a quarter of them next to its boundary."""
    random = generator(dimension)
    x = torch.randn(count, dimension, generator=random, dtype=torch.float64)
    u = torch.rand(count, 1, generator=random, dtype=torch.float64)
    radius = 0.97 * u ** (1 / dimension)
    radius[: count // 4] = 0.97
    return (radius * x / x.norm(dim=1, keepdim=True)).to(dtype)


def waves(channels: int) -> ScalarFields:
    """C smooth fields of size 1, each `sin(k_c . x + c)` in its own direction."""

    def field(points: Tensor) -> Tensor:
        d = points.shape[1]
        k = 2 * torch.randn(d, channels, generator=generator(7), dtype=torch.float64)
        phase = torch.arange(channels, dtype=torch.float64)
        return torch.sin(points.double() @ k + phase).to(points.dtype)

    return field
