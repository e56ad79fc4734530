"""Fields brought to mean 0 and size 1, in the measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isofield.data.fields import Field
from isofield.discretization import Discretization


@dataclass(frozen=True)
class Normalizer:
    """`(u - mean) / scale`, per channel; the components of one field share a scale.

    mean, scale : (C,) float64, in the fields' units. A field that is constant up to
    1e-9 of its mean has scale 1, so that a value which never varied in training enters
    as zero.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(
        cls,
        fields: Sequence[Field],
        values: Sequence[np.ndarray],
        domains: Sequence[Discretization],
        through_zero: Sequence[str] = (),
    ) -> Normalizer:
        """Statistics over samples of equal weight, each integrated in its own measure.

        values : (N_s, C) per sample. domains : their discretizations. through_zero :
        names of fields whose zero stays zero, so that their mean is not taken away.
        """
        pairs = [
            (torch.from_numpy(u), domain)
            for u, domain in zip(values, domains, strict=True)
        ]
        means = torch.stack([domain.mean(u)[0] for u, domain in pairs])
        moved = [f.name not in through_zero for f in fields for _ in range(f.channels)]
        mean = means.mean(0) * means.new_tensor(moved)
        squares = torch.stack(
            [domain.mean((u - mean).square())[0] for u, domain in pairs]
        ).mean(0)
        scale, first = torch.ones_like(mean), 0
        for field in fields:
            part = slice(first, first + field.channels)
            size = squares[part].mean().sqrt()
            rounding = 1e-9 * mean[part].abs().max()
            scale[part] = size if size > rounding else 1.0
            first += field.channels
        return cls(mean, scale)

    def apply(self, values: np.ndarray) -> Tensor:
        """Physical units -> normalized, float64."""
        return (torch.from_numpy(values) - self.mean) / self.scale

    def invert(self, values: Tensor) -> Tensor:
        """Normalized -> physical units, in the precision of the values."""
        return values * self.scale.to(values) + self.mean.to(values)
