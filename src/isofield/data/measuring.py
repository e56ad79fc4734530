"""What measure the cases of one model have."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from isofield.data.fields import FieldError, Site
from isofield.discretization import Discretization, from_mesh, from_points
from isofield.mesh import Mesh, MeshError


def discretized(
    mesh: Mesh,
    at: Site = "points",
    where: str = "the mesh",
    measure_dimension: int | None = None,
    on_boundary: bool = True,
) -> Discretization:
    """The mesh's discretization; that of a bare cloud where it has no cells.

    measure_dimension : of a cloud: 2 in space for points on a surface, their number of
    coordinates where it is None. on_boundary : of a cloud: False where all its points
    lie strictly inside the domain (see `from_points`); cells need no such word, so it
    is ignored where the mesh has some.

    Raises `FieldError` for fields at cells of a cloud, `MeshError`, naming `where`, for
    points or cells without measure.
    """
    if mesh.dimension <= 0 and at == "cells":
        raise FieldError(
            f"{where}: expected a mesh with cells for fields at cells, got a cloud"
        )
    try:
        if mesh.dimension > 0:
            return from_mesh(mesh, at)
        d = mesh.points.shape[1]
        if measure_dimension in (None, d):
            return from_points(
                torch.from_numpy(mesh.points.copy()), on_boundary=on_boundary
            )
        if (measure_dimension, d) != (2, 3):
            raise ValueError(
                "the weights of a cloud of points on a curve are not known; give the "
                "lines between them as cells"
            )
        return from_points(
            torch.from_numpy(mesh.points.copy()),
            domain="surface",
            on_boundary=on_boundary,
        )
    except ValueError as error:
        raise MeshError(f"{where}: {error}") from error


def measure_dimension(cases: Sequence[Mesh], names: Sequence[str]) -> int:
    """The dimension of the cells of all cases; of their points if none has cells."""
    found: dict[int, str] = {}
    for case, name in zip(cases, names, strict=True):
        if case.dimension > 0:
            found.setdefault(case.dimension, name)
    if len(found) > 1:
        (m, first), (other, name), *_ = found.items()
        raise FieldError(
            f"{name}: has cells of dimension {other}, expected {m} as in {first}"
        )
    return next(iter(found), cases[0].points.shape[1])


def mean_spacing(domain: Discretization, measure_dimension: int) -> float:
    """`(measure / N)^(1/m)`, length; of one sample."""
    return float((domain.measure() / len(domain)) ** (1 / measure_dimension))
