"""Coordinates without a unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from isofield.discretization import Discretization


@dataclass(frozen=True)
class Frame:
    """Coordinates in which a network works: `(x - origin) / length`.

    origin : (d,), length : both in the meshes' unit of length. measure_dimension : m,
    that of the cells: d for domains, less for surfaces and curves; weights are
    length^m.
    """

    origin: tuple[float, ...]
    length: float
    measure_dimension: int

    @classmethod
    def around(cls, domains: Sequence[Discretization], measure_dimension: int) -> Frame:
        """The lower corner and the largest extent of the box of all points."""
        lower = torch.stack([domain.points.amin(0) for domain in domains]).amin(0)
        upper = torch.stack([domain.points.amax(0) for domain in domains]).amax(0)
        length = float((upper - lower).max())
        return cls(tuple(lower.tolist()), length, measure_dimension)

    def scaled(self, domain: Discretization) -> Discretization:
        """Points and weights in units of the length; weights count as length^m.

        Normals stay as they are.
        """
        origin = torch.tensor(self.origin, dtype=torch.float64).to(domain.points)
        return Discretization(
            (domain.points - origin) / self.length,
            domain.weights / self.length**self.measure_dimension,
            domain.ptr,
            domain.normals,
        )
