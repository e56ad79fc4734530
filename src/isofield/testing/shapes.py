"""Discretizations and fields on which the laws are checked."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from isofield.discretization import Discretization, from_mesh
from isofield.generation import ball, disk, icosphere, random_surface
from isofield.testing.comparing import ScalarFields, generator, picked

# a body by its dimension, a closed surface in space by its name
Shape = Literal[1, 2, 3, "sphere", "surface"]

SIZES: dict[Shape, tuple[int, ...]] = {
    1: (16, 24, 36, 54),
    2: (7, 10, 14, 20),
    3: (4, 6, 8, 11),
    "sphere": (5, 7, 10, 14),
    "surface": (8, 11, 16, 23),
}


def body(
    shape: Shape, n: int, grading: float = 1.0, dtype: torch.dtype = torch.float64
) -> Discretization:
    """[-1, 1], the unit disk or ball, with lumped weights and n spacings a unit.

    "sphere" is the unit sphere and "surface" a smooth random closed one of about its
    size, both with the normals of their meshes and n spacings a unit.
    """
    return _body(shape, n, grading).to(dtype)


@cache
def _body(shape: Shape, n: int, grading: float) -> Discretization:
    if shape == "surface":
        return from_mesh(random_surface(_SURFACE, n, grading=grading))
    if shape != 1:
        made = {2: disk, 3: ball, "sphere": icosphere}[shape]
        return from_mesh(made(n, grading=grading))
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


# The random surface on which the laws are checked: its seed, and the spacings of the
# mesh, finer than any other, that the points and normals of probes are taken from.
_SURFACE, _FINEST = 1, 64


def families(
    shape: Shape, grading: float = 3.0
) -> dict[float, tuple[Discretization, Discretization]]:
    """Spacing -> the body, uniform and graded, refined together; float64."""
    return {1 / n: (body(shape, n), body(shape, n, grading)) for n in SIZES[shape]}


def probes(
    shape: Shape, count: int = 40, dtype: torch.dtype = torch.float64
) -> Tensor | Discretization:
    """(M, d) random points of the body; a quarter of them next to its boundary.

    On a surface a discretization: the points have normals, those of the surface up to
    a thousandth.
    """
    if isinstance(shape, str):
        fine = body(shape, _FINEST, dtype=dtype)
        order = torch.randperm(len(fine), generator=generator(2))
        return picked(fine, order[:count])
    dimension, random = shape, generator(shape)
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
