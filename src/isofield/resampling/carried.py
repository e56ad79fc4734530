"""What became of a field that was carried to another mesh."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from isofield.discretization import Discretization
from isofield.operators import SparseOperator

Range = tuple[float, float]
Integral = tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class Carried:
    """What became of one field.

    site : "points" or "cells". method : that carried it, of labels "nearest" or
    "majority". integral, range : before and after, component by component and over all
    components; the integral is None where a side has no measure, and for labels.
    outside : how many targets lie outside of the source. furthest : the largest of
    their distances, length; inf where it was not asked for.
    """

    name: str
    site: str
    method: str
    integral: Integral
    range: tuple[Range, Range]
    outside: int
    furthest: float

    @classmethod
    def by(
        cls,
        operator: SparseOperator,
        name: str,
        site: str,
        u: np.ndarray,
        v: np.ndarray,
    ) -> Carried:
        """Of a field u (N, ...) that the operator made v (M, ...)."""
        integral = None
        if u.dtype.kind == "f":
            before, after = _integral(operator.source, u), _integral(operator.target, v)
            integral = None if before is None or after is None else (before, after)
        distance, coverage = (operator.facts.get(x) for x in ("outside", "coverage"))
        distance = torch.zeros(len(v)) if distance is None else distance
        # a target without overlap may touch the source, at the distance 0
        away = distance > 0 if coverage is None else coverage <= 0
        furthest = float(distance.max()) if len(distance) else 0.0
        ranges = (_range(u), _range(v))
        # only a majority carries labels by weights
        labels, method = u.dtype.kind != "f", operator.method
        method = "majority" if labels and method == "conservative" else method
        return cls(name, site, method, integral, ranges, int(away.sum()), furthest)


@dataclass(frozen=True)
class Together:
    """What became of one field over the steps of a series or the files of a set.

    name, site, method : as in `Carried`. count : how many had the field. integral :
    before and after, where it changed most; changed : which one that was. range :
    before and after, over all. outside : of all together, in `away` of them. furthest :
    the largest distance; furthest_at : which one that was.
    """

    name: str
    site: str
    method: str
    count: int
    integral: Integral
    changed: str
    range: tuple[Range, Range]
    outside: int
    away: int
    furthest: float
    furthest_at: str

    @classmethod
    def of(cls, where: str, one: Carried) -> Together:
        """One alone."""
        return cls(
            one.name,
            one.site,
            one.method,
            1,
            one.integral,
            where,
            one.range,
            one.outside,
            int(one.outside > 0),
            one.furthest,
            where,
        )

    def __add__(self, other: Together) -> Together:
        methods = dict.fromkeys([*self.method.split(", "), *other.method.split(", ")])
        worse = other if _change(other.integral) > _change(self.integral) else self
        further = other if other.furthest > self.furthest else self
        before, after = zip(self.range, other.range, strict=True)
        return Together(
            self.name,
            self.site,
            ", ".join(methods),
            self.count + other.count,
            worse.integral,
            worse.changed,
            (_hull(*before), _hull(*after)),
            self.outside + other.outside,
            self.away + other.away,
            further.furthest,
            further.furthest_at,
        )


Found = dict[tuple[str, str], Together]


def together(*parts: Together) -> Found:
    """What became of each field, by name and site."""
    found: Found = {}
    for one in parts:
        key = one.name, one.site
        found[key] = found[key] + one if key in found else one
    return found


def _change(integral: Integral) -> float:
    """The largest change of a component; below 0 where there is no integral."""
    if integral is None:
        return -1.0
    before, after = integral
    return float(np.abs(after - before).max(initial=0.0))


def _integral(where: Discretization | None, u: np.ndarray) -> np.ndarray | None:
    """Of what is finite, by component."""
    if where is None:
        return None
    values = np.where(np.isfinite(u), u, 0.0).reshape(len(u), -1)
    return where.integrate(torch.from_numpy(values.astype(np.float64)))[0].numpy()


def _range(u: np.ndarray) -> Range:
    finite = u[np.isfinite(u)]
    if not finite.size:
        return math.nan, math.nan
    return float(finite.min()), float(finite.max())


def _hull(a: Range, b: Range) -> Range:
    return float(np.fmin(a[0], b[0])), float(np.fmax(a[1], b[1]))
