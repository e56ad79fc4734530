"""How far two outputs are apart, and what is said where that is too far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from isofield.discretization import Discretization, pack
from isofield.layers.operator import Operator

ScalarFields = Callable[[Tensor], Tensor]
Probes = Tensor | Discretization


def apply(
    operator: Operator, source: Discretization, u: Tensor, probes: Probes | None
) -> Tensor:
    """The output at the probes, or at the source's own points where there are none."""
    target = source if probes is None else measured(probes)
    with torch.no_grad():
        return operator(u, operator.prepare(source, target))


def measured(probes: Probes) -> Discretization:
    """Target points; no layer asks for the weights of its targets."""
    if isinstance(probes, Discretization):
        return probes
    return Discretization(probes, torch.ones_like(probes[:, 0]))


def picked(domain: Discretization, rows: Tensor) -> Discretization:
    """Some points of one sample, in this order, with their weights and normals."""
    normals = None if domain.normals is None else domain.normals[rows]
    points, weights = domain.points[rows], domain.weights[rows]
    return Discretization(points, weights, normals=normals)


def joined(a: Discretization, b: Discretization, weights: Tensor) -> Discretization:
    """The points of one and of the other as one sample, with these weights for both."""
    normals = None
    if a.normals is not None and b.normals is not None:
        normals = torch.cat([a.normals, b.normals])
    return Discretization(torch.cat([a.points, b.points]), weights, normals=normals)


def moved(domain: Discretization, turn: Tensor, shift: Tensor) -> Discretization:
    """Every x at `turn x + shift`, computed in float64; normals turn along."""
    points = (domain.points.double() @ turn.T + shift).to(domain.points.dtype)
    normals = domain.normals
    if normals is not None:
        normals = (normals.double() @ turn.T).to(normals.dtype)
    return replace(domain, points=points, normals=normals)


def packed_targets(probes: Probes | None, sources: Discretization) -> Discretization:
    """The same probes for every sample, or the samples' own points."""
    if probes is None:
        return sources
    return pack([measured(probes)] * sources.n_samples)


def require_equal(
    found: Tensor, expected: Tensor, tolerance: float, law: str, **context: Any
) -> None:
    """Raises `AssertionError` unless `|found - expected| <= t |expected|`.

    |.| is the root mean square over rows and channels. tolerance : t. context :
    numbers that help to find the cause.
    """
    if found.shape != expected.shape:
        raise AssertionError(
            f"{law}: the output has shape {tuple(found.shape)}, expected "
            f"{tuple(expected.shape)}"
        )
    size = root_mean_square(expected)
    difference = root_mean_square(found - expected)
    # written so that NaN and infinite values are rejected
    if not difference <= tolerance * size < float("inf"):
        rows = (found - expected).abs().flatten(1).amax(1)
        details = "".join(f", {name} = {value}" for name, value in context.items())
        raise AssertionError(
            f"{law}: the output changes by {difference:.3g} in size {size:.3g}, "
            f"expected at most {tolerance:.0e} of the size; the largest change is at "
            f"row {int(rows.nan_to_num(torch.inf).argmax())} of {len(rows)}{details}"
        )


def root_mean_square(values: Tensor) -> float:
    """Over all numbers of a tensor."""
    return float(values.square().mean().sqrt())


def rounding(
    given: float | None, points: Tensor, single: float, double: float
) -> float:
    """The tolerance: as given, or that of the points' precision."""
    if given is not None:
        return given
    return double if points.dtype == torch.float64 else single


def generator(seed: int) -> torch.Generator:
    """Random numbers that leave the global state alone."""
    return torch.Generator().manual_seed(seed)


def fitted_rate(spacings: Sequence[float], errors: Sequence[float]) -> float:
    """The slope of log error over log spacing, by least squares."""
    h = torch.tensor(list(spacings), dtype=torch.float64).log()
    e = torch.tensor(list(errors), dtype=torch.float64).log()
    h, e = h - h.mean(), e - e.mean()
    return float((h @ e) / (h @ h))
