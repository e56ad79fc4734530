"""How many waves along the domain a field has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isofield.data.measuring import mean_spacing
from isofield.discretization import Discretization
from isofield.layers.fourier_conv import amplitudes, wave_numbers, waves_at
from isofield.layers.wave_fit import WaveFit

PERIOD = 1.3  # of the waves of the networks, in units of the characteristic length
TRIED = {2: (2, 3, 4, 5, 6, 8, 10, 12, 16), 3: (2, 3, 4, 5, 6)}  # dimension -> numbers
SHARE = 0.01  # of a field's variation that may be left to shorter waves
DOMAINS = 4  # that are looked at
POINTS = 4000  # of each at most, drawn by chance
PER_WAVE = 4  # spacings of a mesh in the shortest wave that is fitted on it


@dataclass(frozen=True)
class Detail:
    """waves : the fewest along a period of 1.3 lengths with at most `SHARE` of the
    variation left to shorter ones, or the most that the meshes tell of. left : what is
    left to shorter ones, of int |u - mean u|²."""

    waves: int
    left: float


def detail(
    domains: Sequence[Discretization],
    fields: Sequence[np.ndarray],
    measure_dimension: int,
) -> Detail | None:
    """Of a field on several domains in scaled coordinates; None where it is constant.

        left(n) = mean over domains of  int |u - Phi_n c|² dmu / int |u - mean u|² dmu,

    Phi_n all waves up to number n, c fitted by `WaveFit`. On the finest domains alone,
    and for waves of at least `PER_WAVE` of their spacings.

    fields : (N, C) each. measure_dimension : m. Exact to the errors of the fit: a sum
    of waves up to number n leaves less than 1e-3 beyond n.
    """
    d, m = domains[0].dimension, measure_dimension
    most = [int(PERIOD / (PER_WAVE * mean_spacing(domain, m))) for domain in domains]
    tried = [n for n in TRIED[d] if n <= max(most)] or [TRIED[d][0]]
    chosen = [i for i in np.argsort(most)[::-1] if most[i] >= min(tried[-1], max(most))]
    parts = [_drawn(domains[i], fields[i]) for i in chosen[:DOMAINS]]
    parts = [(domain, u) for domain, u in parts if _varies(domain, u)]
    if not parts:
        return None
    left = 1.0
    for n in tried:
        left = float(np.mean([_left(domain, u, n, m) for domain, u in parts]))
        if left <= SHARE:
            return Detail(n, left)
    return Detail(tried[-1], left)


def _drawn(domain: Discretization, field: np.ndarray) -> tuple[Discretization, Tensor]:
    """Some of the points with their weights: enough to fit waves to."""
    u = torch.from_numpy(field)
    if len(domain) <= POINTS:
        return domain, u
    drawn = np.random.default_rng(0).permutation(len(domain))[:POINTS]
    weights = domain.weights[drawn] * (len(domain) / POINTS)
    return Discretization(domain.points[drawn], weights), u[drawn]


def _varies(domain: Discretization, u: Tensor) -> bool:
    size = domain.mean(u.square()).sum()
    return bool(domain.mean((u - domain.mean(u)).square()).sum() > 1e-18 * size)


def _left(domain: Discretization, u: Tensor, n: int, m: int) -> float:
    u = u - domain.mean(u)
    u = u / domain.mean(u.square()).sum().sqrt()
    numbers = wave_numbers(domain.dimension, n, PERIOD)
    fit = WaveFit(numbers, PERIOD**m)
    c = amplitudes(u, fit.dual(domain), domain)[:, 0]
    rest = u - waves_at(domain, numbers).values @ c
    return float(domain.mean(rest.square()).sum())
