"""What a user says of the equations, as arguments of an architecture."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from isofield.data.fields import Field, FieldError
from isofield.models import ARCHITECTURES


def declared(
    architecture: str,
    linear: Sequence[str],
    magnitudes: Sequence[str],
    inputs: Sequence[Field],
    targets: Sequence[Field],
) -> dict[str, list[int]]:
    """The channels of inputs in which targets are linear, and of targets that are
    lengths of what is linear, where something is said of them or must be.

    Raises `FieldError` for names that are not there, `ValueError` for what the
    architecture cannot be, and for magnitudes of nothing linear or of vectors.
    """
    found = {}
    if linear or "linear" in _options(architecture):
        _check_linear(linear, inputs, architecture)
        found["linear"] = _channels("linear", linear, inputs)
    if magnitudes:
        _check_magnitudes(magnitudes, linear, targets)
        found["magnitudes"] = _channels("magnitudes", magnitudes, targets)
    return found


def _options(architecture: str) -> Mapping[str, Any]:
    return inspect.signature(ARCHITECTURES[architecture]).parameters


def _channels(what: str, names: Sequence[str], fields: Sequence[Field]) -> list[int]:
    """The channels of these of the fields. Raises `FieldError` for one not there."""
    known = [f.name for f in fields for _ in range(f.channels)]
    for name in names:
        if name not in known:
            kind = "input" if what == "linear" else "target"
            raise FieldError(
                f"{what}: no {kind} {name!r}; there are {', '.join(known) or 'none'}"
            )
    return [number for number, name in enumerate(known) if name in names]


def _check_linear(
    linear: Sequence[str], inputs: Sequence[Field], architecture: str
) -> None:
    """Raises `ValueError` where an architecture is never linear, or always is."""
    options = _options(architecture)
    if "linear" not in options:
        raise ValueError(
            f"linear: {architecture} cannot be linear in some of its inputs; "
            "GreenOperator can"
        )
    if not linear and options["linear"].default is inspect.Parameter.empty:
        known = ", ".join(field.name for field in inputs) or "none"
        raise ValueError(
            f"linear: expected at least one of the inputs ({known}), in which the "
            f"targets are linear, for {architecture}; another architecture needs none"
        )


def _check_magnitudes(
    magnitudes: Sequence[str], linear: Sequence[str], targets: Sequence[Field]
) -> None:
    """Raises `ValueError` where nothing is linear, or a target is no scalar."""
    if not linear:
        raise ValueError(
            f"magnitudes: {', '.join(magnitudes)} must be lengths of what is linear in "
            "some input, and linear names none"
        )
    for target in targets:
        if target.name in magnitudes and target.channels > 1:
            raise ValueError(
                f"magnitudes: expected scalars, got {target.name!r} of "
                f"{target.channels} channels"
            )
