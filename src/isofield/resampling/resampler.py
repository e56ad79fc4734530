"""The operators between two meshes, and all fields of the one on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict, Unpack

import numpy as np
import torch

from isofield.mesh import Mesh, MeshError
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
from isofield.operators.outside import outside_of
from isofield.resampling.carried import Carried
from isofield.resampling.checks import (
    check_kind,
    check_pair,
    fields_of,
    filled,
    warn_of_faults,
)

METHODS = ("linear", "conservative", "nearest", "mls", "l2")


class Options(TypedDict, total=False):
    """The options of `resample`."""

    fields: Sequence[str]
    outside: str
    masked: bool
    max_distance: float | None
    partial: str


def resample(
    source: Mesh,
    target: Mesh,
    method: str = "linear",
    **options: Unpack[Options],
) -> tuple[Mesh, list[Carried]]:
    """The target mesh with the fields of the source, and what became of each.

    Fields at points come to points and fields at cells to cells; each operator is built
    once. method : "linear", "conservative", "nearest", "mls" (moving least squares) or
    "l2". Fields at cells are constant in each: "linear", "mls" and "l2" carry them
    conservatively. Integers and booleans are labels: to points comes the nearest, to
    cells that of the largest overlap. A field of the target with the name of one that
    comes is replaced; cells of lower dimension get NaN, as labels 0. Units come along.

    fields : names; all where none is given. outside : what targets outside of the
    source get, "error" (an error with their count and the largest distance), "nearest"
    or "nan". masked : leave out values that are not finite, which otherwise are an
    error. max_distance : length, how far targets may be from a surface, see `linear`.
    partial : of cells that are covered in part, see `conservative`.

    Warns of inverted, folded and flat cells. Raises `TransferError` for a name that is
    not there, for domains that do not meet, and where the operators do.
    """
    resampler = Resampler(source, target, method, **options)
    warn_of_faults("source", source)
    warn_of_faults("target", target)
    return resampler(source)


@dataclass(frozen=True, eq=False)
class Resampler:
    """What carries the fields of meshes with one geometry to a target mesh.

    source, target, and the options : as for `resample`. Operators are built when a
    field first needs them, and kept. `resampler(mesh)` is the target mesh with the
    fields of `mesh`, and what became of each.

    Raises `TransferError` for meshes that no operator can join, and, called, for a mesh
    with other points or cells than the source.
    """

    source: Mesh
    target: Mesh
    method: str = "linear"
    fields: Sequence[str] = ()
    outside: str = "error"
    masked: bool = False
    max_distance: float | None = None
    partial: str = "overlap"
    made: dict[tuple[str, str], SparseOperator] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        check_options(self.method, self.outside, self.partial)
        # the geometry alone: no field is held on to
        object.__setattr__(self, "source", Mesh(self.source.points, self.source.cells))
        check_pair(self.source, self.target, self.max_distance)

    def fits(self, mesh: Mesh) -> bool:
        """Whether a mesh has the points and cells of the source, bit by bit."""
        return (
            np.array_equal(mesh.points, self.source.points)
            and list(mesh.cells) == list(self.source.cells)
            and all(
                np.array_equal(mesh.cells[kind], nodes)
                for kind, nodes in self.source.cells.items()
            )
        )

    def __call__(self, mesh: Mesh) -> tuple[Mesh, list[Carried]]:
        """The target with the fields of a mesh, and what became of each."""
        if not self.fits(mesh):
            raise TransferError(
                "the mesh has other points or cells than the one that the operators "
                "were built for: build a Resampler for it"
            )
        found: dict[str, dict[str, np.ndarray]] = {"points": {}, "cells": {}}
        report = []
        for site, name, values in fields_of(mesh, self.fields):
            try:
                operator, carried = self._carried(site, values)
            except (TransferError, MeshError) as error:
                raise TransferError(f"field {name!r} at {site}: {error}") from error
            found[site][name] = carried
            report.append(Carried.by(operator, name, site, values, carried))
        units = {
            key: text
            for key, text in mesh.field_data.items()
            if key.removeprefix("unit:") in {*found["points"], *found["cells"]}
        }
        result = filled(self.target, found)
        field_data = {**result.field_data, **units}
        return replace(result, field_data=field_data), report

    def _carried(
        self, site: str, values: np.ndarray
    ) -> tuple[SparseOperator, np.ndarray]:
        check_kind(values)
        labels = values.dtype.kind != "f"
        kind = _method(self.method, site, labels)
        if (site, kind) not in self.made:
            self.made[site, kind] = self._built(site, kind)
        operator = self.made[site, kind]
        if labels and kind == "conservative":
            return operator, majority(operator, values)
        return operator, operator(values, masked=self.masked)

    def _built(self, site: str, method: str) -> SparseOperator:
        source, target = self.source, self.target
        sites: dict[str, Any] = {"source_at": site, "target_at": site}
        outside: Any = self.outside
        reach: dict[str, Any] = {"outside": outside, "max_distance": self.max_distance}
        if method == "nearest":
            return nearest(source, target, **sites, **reach)
        if method == "linear":
            return linear(source, target, **reach)
        if method == "mls":
            found = moving_least_squares(source, target, outside=outside)
            return found if source.dimension < 1 else self._within(found)
        if method == "l2":
            return l2_projection(source, target, outside=outside)
        partial: Any = self.partial
        return conservative(source, target, **sites, partial=partial, outside=outside)

    def _within(self, operator: SparseOperator) -> SparseOperator:
        """A transfer between points, held to the cells of the source."""
        points = torch.tensor(self.target.points)
        found = outside_of(self.source, points, self.outside, self.max_distance)
        missing = operator.missing
        if self.outside == "nan":
            missing = missing | found.missing
        facts = {**operator.facts, "outside": found.distance}
        return replace(operator, missing=missing, facts=facts)


def check_options(
    method: str, outside: str = "error", partial: str = "overlap"
) -> None:
    """Raises `ValueError` for a word that is not known."""
    for name, value, known in (
        ("method", method, METHODS),
        ("outside", outside, ("error", "nearest", "nan")),
        ("partial", partial, ("overlap", "whole")),
    ):
        if value not in known:
            raise ValueError(f"{name}: expected one of {known}, got {value!r}")


def _method(method: str, site: str, labels: bool) -> str:
    """What carries a field: labels are never averaged, cells are constant."""
    if site == "cells":
        return "nearest" if method == "nearest" else "conservative"
    return "nearest" if labels else method
