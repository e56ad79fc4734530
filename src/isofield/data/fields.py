"""Named fields of meshes, stacked into the channels of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from isofield.mesh import Mesh

Site = Literal["points", "cells"]


class FieldError(ValueError):
    """A field is missing, has another shape than expected, or holds no number."""


@dataclass(frozen=True)
class Field:
    """name : as in the mesh. shape : of its value at one point; () for a scalar, (3,)
    for a vector, (3, 3) for a tensor. unit : text for labels, empty where unknown."""

    name: str
    shape: tuple[int, ...] = ()
    unit: str = ""

    @property
    def channels(self) -> int:
        """The number of components."""
        return math.prod(self.shape)

    @classmethod
    def of(cls, name: str, mesh: Mesh, at: Site, where: str = "the mesh") -> Field:
        """The field as this mesh has it. Raises `FieldError` where it has not."""
        values = _values(name, mesh, at, {}, where)
        return cls(name, values.shape[1:], _unit_of(name, mesh))


def stacked(
    mesh: Mesh,
    fields: Sequence[Field],
    at: Site = "points",
    values: Mapping[str, float] | None = None,
    where: str = "the mesh",
    finite: bool = True,
) -> np.ndarray:
    """The components of several fields side by side.

    A field is looked for among `values`, then in the point data (or cell data), then
    among the numbers in the mesh's field data, which count as constant.

    Returns (N, C) float64, C the sum of the fields' channels. Raises `FieldError`,
    naming `where`, for a field that is missing, of another shape or unit, or, unless
    `finite` is False, not finite.
    """
    columns, given = [], values or {}
    for field in fields:
        found = _values(field.name, mesh, at, given, where)
        unit = _unit_of(field.name, mesh)
        if field.unit and unit not in ("", field.unit) and field.name not in given:
            raise FieldError(
                f"{where}: field {field.name!r} has the unit {unit!r}, expected "
                f"{field.unit!r}"
            )
        if found.shape[1:] != field.shape:
            raise FieldError(
                f"{where}: field {field.name!r} has shape {found.shape[1:]} per point, "
                f"expected {field.shape}"
            )
        found = found.reshape(len(found), -1)
        wrong = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(wrong) and finite:
            first = wrong[0] if at == "points" else mesh.top_cells[wrong[0]]
            raise FieldError(
                f"{where}: field {field.name!r} is not finite at {len(wrong)} of "
                f"{len(found)} {at}, the first is number {first}"
            )
        columns.append(found)
    rows = _n_sites(mesh, at)
    return np.concatenate([np.empty((rows, 0)), *columns], axis=1)


def check_same_fields(
    meshes: Sequence[Mesh],
    names: Sequence[Sequence[str]],
    at: Site,
    wheres: Sequence[str],
) -> list[list[Field]]:
    """The fields of these names as all meshes have them.

    names : several lists, for instance inputs and targets. A unit counts if any mesh
    gives it. Raises `FieldError` where a mesh lacks a field or has it in another shape
    than the first mesh, where two give it different units, or where points differ in
    their number of coordinates.
    """
    specified = [
        [replace(Field.of(n, meshes[0], at, wheres[0]), unit="") for n in part]
        for part in names
    ]
    d = meshes[0].points.shape[1]
    for mesh, where in zip(meshes, wheres, strict=True):
        if mesh.points.shape[1] != d:
            raise FieldError(
                f"{where}: has points in {mesh.points.shape[1]} dimensions, expected "
                f"{d} as in {wheres[0]}"
            )
        for part in specified:
            stacked(mesh, part, at, where=where)
    return [
        [replace(field, unit=_unit(field.name, meshes, wheres)) for field in part]
        for part in specified
    ]


def _unit(name: str, meshes: Sequence[Mesh], wheres: Sequence[str]) -> str:
    """The unit that meshes give the field; not all formats can hold one."""
    found: dict[str, str] = {}
    for mesh, where in zip(meshes, wheres, strict=True):
        if unit := _unit_of(name, mesh):
            found.setdefault(unit, where)
    units = list(found)
    if len(units) > 1:
        raise FieldError(
            f"{found[units[1]]}: field {name!r} has the unit {units[1]!r}, expected "
            f"{units[0]!r} as in {found[units[0]]}"
        )
    return units[0] if units else ""


def _unit_of(name: str, mesh: Mesh) -> str:
    return str(mesh.field_data.get(f"unit:{name}", ""))


def _values(
    name: str, mesh: Mesh, at: Site, given: Mapping[str, float], where: str
) -> np.ndarray:
    rows = _n_sites(mesh, at)
    if name in given:
        return np.full(rows, float(given[name]))
    data = mesh.point_data if at == "points" else mesh.cell_data
    if name in data:
        values = np.asarray(data[name])
        if values.dtype.kind not in "fiub":
            raise FieldError(
                f"{where}: field {name!r} holds {values.dtype}, expected real numbers"
            )
        if at == "cells":
            values = values[mesh.top_cells]
        return values.astype(np.float64)
    numbers = {key: v for key, v in mesh.field_data.items() if _is_number(v)}
    if name in numbers:
        return np.full(rows, float(np.asarray(numbers[name]).reshape(())))
    known = sorted({*data, *numbers})
    other, there = (
        (mesh.cell_data, "cells") if at == "points" else (mesh.point_data, "points")
    )
    hint = f", but one at {there}" if name in other else ""
    raise FieldError(
        f"{where}: no field {name!r} at {at}{hint}; it has {', '.join(known) or 'none'}"
    )


def _n_sites(mesh: Mesh, at: Site) -> int:
    return len(mesh.points) if at == "points" else len(mesh.top_cells)


def _is_number(value: object) -> bool:
    array = np.asarray(value)
    return array.size == 1 and array.dtype.kind in "fiub"
