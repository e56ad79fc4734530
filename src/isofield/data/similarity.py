"""Targets as multiples of a product of inputs: what dimensional analysis knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from isofield.data.fields import Field, FieldError

_FACTOR = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\^\s*(-?\d+(?:\.\d+)?))?\s*")


@dataclass(frozen=True)
class Similarity:
    """For each target, powers of scalar inputs whose product is its natural size.

    powers : target -> input -> exponent. A network then learns `target / product`,
    which for linear problems depends on fewer inputs or on none: the displacement of an
    elastic body is proportional to `load / young_modulus`, its stress to `load`.
    Targets that are not named are learned as they are.
    """

    powers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def parsed(cls, products: Mapping[str, str]) -> Self:
        """Powers from text such as `{"displacement": "load / young_modulus"}`.

        A product is names joined by * and /, each with an optional power `^ number`.
        Raises `ValueError` for anything else.
        """
        return cls({target: _parsed(text) for target, text in products.items()})

    def check(self, inputs: Sequence[Field], targets: Sequence[Field]) -> None:
        """Raise `FieldError` for a target or a scalar input that does not exist."""
        scalars = [spec.name for spec in inputs if spec.shape == ()]
        names = [target.name for target in targets]
        for target, powers in self.powers.items():
            if target not in names:
                raise FieldError(
                    f"similarity: no target {target!r}; targets are {', '.join(names)}"
                )
            for name in powers:
                if name not in scalars:
                    raise FieldError(
                        f"similarity of {target!r}: no scalar input {name!r}; there "
                        f"are {', '.join(scalars) or 'none'}"
                    )

    def factors(
        self,
        inputs: Sequence[Field],
        targets: Sequence[Field],
        values: np.ndarray,
        where: str = "the mesh",
    ) -> np.ndarray:
        """The product of every target at every point, once per component.

        values : (N, C_in), the inputs in physical units. Returns (N, C_out). Raises
        `FieldError` where an input of a product is not positive.
        """
        starts = np.cumsum([0, *(spec.channels for spec in inputs)])
        column = {f.name: values[:, a] for f, a in zip(inputs, starts, strict=False)}
        parts = [np.empty((len(values), 0))]
        for target in targets:
            product = np.ones(len(values))
            for name, power in self.powers.get(target.name, {}).items():
                wrong = np.flatnonzero(~(column[name] > 0))
                if len(wrong):
                    raise FieldError(
                        f"{where}: {name!r} scales {target.name!r} and must be "
                        f"positive; it is {column[name][wrong[0]]:.4g} at "
                        f"{len(wrong)} sites, the first is number {wrong[0]}"
                    )
                product = product * column[name] ** power
            parts.append(np.repeat(product[:, None], target.channels, axis=1))
        return np.concatenate(parts, axis=1)


def _parsed(text: str) -> dict[str, float]:
    powers: dict[str, float] = {}
    for sign, factor in re.findall(r"(^|[*/])([^*/]*)", text):
        match = _FACTOR.fullmatch(factor)
        if match is None:
            raise ValueError(
                f"similarity: expected names joined by * and /, such as "
                f"'load / young_modulus' or 'speed^2 * density', got {text!r}"
            )
        power = float(match[2] or 1) * (-1 if sign == "/" else 1)
        powers[match[1]] = powers.get(match[1], 0.0) + power
    return powers
