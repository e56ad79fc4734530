"""What became of a field that was carried to another mesh."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from isofield.discretization import Discretization
from isofield.operators import SparseOperator

Range = tuple[float, float]


@dataclass(frozen=True)
class Carried:
    """What became of one field. site : "points" or "cells". method : that carried it.
    integral, range : before and after, component by component and over all components;
    the integral is None where a side has no measure, and for labels. outside : targets
    outside of the source. furthest : the largest of their distances, length; inf where
    it was not asked for."""

    name: str
    site: str
    method: str
    integral: tuple[np.ndarray, np.ndarray] | None
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
        if np.issubdtype(u.dtype, np.floating):
            before, after = _integral(operator.source, u), _integral(operator.target, v)
            integral = None if before is None or after is None else (before, after)
        distance, coverage = (operator.facts.get(x) for x in ("outside", "coverage"))
        distance = torch.zeros(len(v)) if distance is None else distance
        # a target without overlap may touch the source, at the distance 0
        away = distance > 0 if coverage is None else coverage <= 0
        furthest = float(distance.max()) if len(distance) else 0.0
        ranges = (_range(u), _range(v))
        method = operator.method
        return cls(name, site, method, integral, ranges, int(away.sum()), furthest)

    @property
    def change(self) -> float:
        """The largest change of a component of the integral; 0 where there is none."""
        if self.integral is None:
            return 0.0
        before, after = self.integral
        return float(np.abs(after - before).max(initial=0.0))


@dataclass(frozen=True)
class Together:
    """What became of one field over the steps of a series or the files of a set.

    count : how many had it. changed : where the integral changed most. worst : what
    became of it there. ranges : over all, before and after. outside : of all, in `away`
    of them. furthest : the largest distance, and where.
    """

    count: int
    changed: str
    worst: Carried
    range: tuple[Range, Range]
    outside: int
    away: int
    furthest: tuple[float, str]

    @classmethod
    def of(cls, where: str, one: Carried) -> Together:
        """One alone."""
        away = int(one.outside > 0)
        place = (one.furthest, where)
        return cls(1, where, one, one.range, one.outside, away, place)

    def __add__(self, other: Together) -> Together:
        first, second = self.worst, other.worst
        worse = other if second.change > first.change else self
        method = first.method
        if second.method not in method.split(", "):
            method = f"{method}, {second.method}"
        low, high = zip(self.range, other.range, strict=True)
        return Together(
            self.count + other.count,
            worse.changed,
            replace(worse.worst, method=method),
            (_hull(*low), _hull(*high)),
            self.outside + other.outside,
            self.away + other.away,
            max(self.furthest, other.furthest, key=lambda pair: pair[0]),
        )


Found = Mapping[tuple[str, str], Together]


def together(found: Found, where: str, one: Carried) -> dict[tuple[str, str], Together]:
    """What was found of all fields, by name and site, and one more."""
    key = (one.name, one.site)
    new = Together.of(where, one)
    return {**found, key: found[key] + new if key in found else new}


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
