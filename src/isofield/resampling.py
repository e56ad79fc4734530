"""All fields of one mesh on another, with a report of what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from isofield.discretization import Discretization
from isofield.mesh import Mesh
from isofield.operators import (
    SparseOperator,
    TransferError,
    conservative,
    l2_projection,
    linear,
    majority,
    moving_least_squares,
    nearest,
)

METHODS = ("linear", "conservative", "nearest", "mls", "l2")


@dataclass(frozen=True)
class Carried:
    """What became of one field. site : "points" or "cells". method : that carried it.
    integral, range : before and after, component by component and over all components;
    the integral is None where a side has no measure, and for labels. outside : targets
    outside of the source. furthest : the largest of their distances, length."""

    name: str
    site: str
    method: str
    integral: tuple[np.ndarray, np.ndarray] | None
    range: tuple[tuple[float, float], tuple[float, float]]
    outside: int
    furthest: float


def resample(
    source: Mesh,
    target: Mesh,
    method: str = "linear",
    *,
    fields: Sequence[str] = (),
    outside: str = "error",
    masked: bool = False,
    max_distance: float | None = None,
    partial: str = "overlap",
) -> tuple[Mesh, list[Carried]]:
    """The target mesh with the fields of the source, and what became of each.

    Fields at points come to points and fields at cells to cells; each operator is built
    once. method : "linear", "conservative", "nearest", "mls" (moving least squares) or
    "l2". Fields at cells are constant in each: "linear", "mls" and "l2" carry them
    conservatively. Integers and booleans are labels: to points comes the nearest, to
    cells that of the largest overlap. fields : names; all where none is given. A field
    of the target with one of these names is replaced. masked : leave out values that
    are not finite. Units come along.

    Raises `TransferError` for a name that is not there, and where the operators do.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, got {method!r}")
    _check_names(source, fields)
    options = {"outside": outside, "max_distance": max_distance, "partial": partial}
    made: dict[tuple[str, str], SparseOperator] = {}
    found: dict[str, dict[str, np.ndarray]] = {"points": {}, "cells": {}}
    report = []
    for site, data in (("points", source.point_data), ("cells", source.cell_data)):
        if site == "cells":
            data = {name: values[source.top_cells] for name, values in data.items()}
        for name, values in data.items():
            if fields and name not in fields:
                continue
            labels = not np.issubdtype(values.dtype, np.floating)
            kind = _method(method, site, labels)
            if (site, kind) not in made:
                made[site, kind] = _built(source, target, site, kind, options)
            operator = made[site, kind]
            try:
                carried = (
                    majority(operator, values)
                    if labels and kind == "conservative"
                    else operator(values, masked=masked)
                )
            except TransferError as error:
                raise TransferError(f"field {name!r}: {error}") from error
            found[site][name] = carried
            report.append(_carried(name, site, operator, values, carried))
    units = {
        key: text
        for key, text in source.field_data.items()
        if key.removeprefix("unit:") in {*found["points"], *found["cells"]}
    }
    return _filled(target, found, units), report


def _filled(target: Mesh, found: dict[str, dict], units: dict[str, Any]) -> Mesh:
    """The target with the fields; cells of lower dimension get NaN or 0."""
    cells = {}
    count = sum(map(len, target.cells.values()))
    top = target.top_cells
    for name, values in found["cells"].items():
        empty = np.nan if np.issubdtype(values.dtype, np.floating) else 0
        whole = np.full((count, *values.shape[1:]), empty, dtype=values.dtype)
        whole[top] = values
        cells[name] = whole
    return replace(
        target,
        point_data={**target.point_data, **found["points"]},
        cell_data={**target.cell_data, **cells},
        field_data={**target.field_data, **units},
    )


def _check_names(source: Mesh, fields: Sequence[str]) -> None:
    known = [*source.point_data, *source.cell_data]
    unknown = [name for name in fields if name not in known]
    if unknown or not known:
        raise TransferError(
            f"the source has no field {', '.join(map(repr, unknown)) or 'at all'}; it "
            f"has {', '.join(map(repr, known)) or 'none'}"
        )


def _method(method: str, site: str, labels: bool) -> str:
    """What carries a field: labels are never averaged, cells are constant."""
    if site == "cells":
        return "nearest" if method == "nearest" else "conservative"
    return "nearest" if labels else method


def _built(
    source: Mesh, target: Mesh, site: str, method: str, options: dict[str, Any]
) -> SparseOperator:
    outside, distance = options["outside"], options["max_distance"]
    sites: dict[str, Any] = {"source_at": site, "target_at": site}
    if method == "nearest":
        far = "nan" if outside == "nan" else "error"
        return nearest(source, target, **sites, max_distance=distance, outside=far)
    if method == "linear":
        return linear(source, target, outside=outside, max_distance=distance)
    if method == "mls":
        return moving_least_squares(source, target, outside=outside)
    if method == "l2":
        return l2_projection(source, target, outside=outside)
    return conservative(
        source, target, **sites, partial=options["partial"], outside=outside
    )


def _carried(
    name: str, site: str, operator: SparseOperator, u: np.ndarray, v: np.ndarray
) -> Carried:
    integral = None
    if np.issubdtype(u.dtype, np.floating):
        before, after = _integral(operator.source, u), _integral(operator.target, v)
        integral = None if before is None or after is None else (before, after)
    gap = operator.facts.get("outside")
    if gap is None:
        count, furthest = int(operator.missing.sum()), float("nan")
    else:
        count = int((gap > 0).sum())
        furthest = float(gap.max()) if len(gap) else 0.0
    return Carried(
        name, site, operator.method, integral, (_range(u), _range(v)), count, furthest
    )


def _integral(where: Discretization | None, u: np.ndarray) -> np.ndarray | None:
    """Of what is finite, by component."""
    if where is None:
        return None
    values = np.where(np.isfinite(u), u, 0.0).reshape(len(u), -1)
    return where.integrate(torch.from_numpy(values.astype(np.float64)))[0].numpy()


def _range(u: np.ndarray) -> tuple[float, float]:
    finite = u[np.isfinite(u)]
    if not finite.size:
        return float("nan"), float("nan")
    return float(finite.min()), float(finite.max())
