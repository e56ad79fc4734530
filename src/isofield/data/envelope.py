"""What training saw, and what lies outside of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isofield.data.fields import Field

Range = tuple[float, float]


@dataclass(frozen=True)
class Envelope:
    """Extremes over the training samples.

    inputs : name -> least and greatest component, in the field's unit. lower, upper :
    (d,) corners of the box of all points, length. points : fewest and most points of a
    sample. spacing : finest and coarsest mean spacing `(measure / N)^(1/m)`, length, m
    the dimension of the measure. extent : least and largest extent of a sample, length;
    None where it is not known.
    """

    inputs: Mapping[str, Range]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    points: tuple[int, int]
    spacing: Range
    extent: Range | None = None

    @classmethod
    def of(
        cls,
        fields: Sequence[Field],
        values: Sequence[np.ndarray],
        points: Sequence[np.ndarray],
        spacing: Sequence[float],
    ) -> Envelope:
        """values : (N_s, C) and points : (N_s, d) of every sample."""
        return cls(
            ranges(fields, np.concatenate(values)),
            tuple(np.min([p.min(0) for p in points], 0).tolist()),
            tuple(np.max([p.max(0) for p in points], 0).tolist()),
            (min(map(len, points)), max(map(len, points))),
            (min(spacing), max(spacing)),
            (min(map(_extent, points)), max(map(_extent, points))),
        )

    def outside(
        self,
        fields: Sequence[Field],
        values: np.ndarray,
        points: np.ndarray,
        spacing: float,
    ) -> list[str]:
        """One line for each way in which a sample leaves the envelope."""
        lines = []
        lower, upper = np.array(self.lower), np.array(self.upper)
        slack = 1e-6 * float((upper - lower).max())
        least, most = points.min(0), points.max(0)
        if (least < lower - slack).any() or (most > upper + slack).any():
            lines.append(
                f"the mesh spans {_box(least, most)}, training spanned "
                f"{_box(lower, upper)}"
            )
        elif self.extent is not None and _extent(points) > 1.5 * self.extent[1]:
            # in the box of meshes at several places
            lines.append(
                f"the mesh has the extent {_extent(points):.4g}, the largest in "
                f"training had {self.extent[1]:.4g}"
            )
        for name, found in ranges(fields, values).items():
            seen = self.inputs[name]
            slack = 1e-6 * max(abs(seen[0]), abs(seen[1]))
            if found[0] < seen[0] - slack or found[1] > seen[1] + slack:
                lines.append(
                    f"{name} is {_interval(found)}, training saw {_interval(seen)}"
                )
        if spacing > 1.5 * self.spacing[1]:
            lines.append(
                f"the mean spacing of points is {spacing:.4g}, the coarsest in "
                f"training was {self.spacing[1]:.4g}"
            )
        return lines


def ranges(fields: Sequence[Field], values: np.ndarray) -> dict[str, Range]:
    """Least and greatest component of every field among stacked values (N, C)."""
    found, first = {}, 0
    for field in fields:
        part = values[:, first : first + field.channels]
        found[field.name] = (float(part.min()), float(part.max()))
        first += field.channels
    return found


def _extent(points: np.ndarray) -> float:
    return float(np.ptp(points, axis=0).max())


def _interval(pair: Range) -> str:
    return f"{pair[0]:.4g}" if pair[0] == pair[1] else f"{pair[0]:.4g} to {pair[1]:.4g}"


def _box(lower: np.ndarray, upper: np.ndarray) -> str:
    return " x ".join(f"[{a:.4g}, {b:.4g}]" for a, b in zip(lower, upper, strict=True))
