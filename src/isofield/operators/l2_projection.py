"""The best approximation of a field in the space of another mesh."""

from __future__ import annotations

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh
from isofield.operators.coverage import check_meshes
from isofield.operators.projection import Linears, Quadratics, Space, projection
from isofield.operators.sparse import SparseOperator, TransferError
from isofield.operators.supermesh import split

STRAIGHT = 1e-8  # how far a middle node may lie from the middle, in sides


def l2_projection(
    source: Mesh,
    target: Mesh,
    *,
    degree: int | None = None,
    outside: str = "error",
) -> SparseOperator:
    """The field of the target's finite element space that is nearest in L2.

        min ||v - u||,   v in V_target,   u in V_source,

    over the exact intersection of the two meshes. Order degree + 1, and no field of
    V_target is nearer; keeps constants and integrals; values may leave the range of the
    source (`bounded`). From finer to coarser meshes it averages where interpolation
    would pick. The cost is that of `conservative`.

    degree : of both spaces. 1: as for `conservative` from points to points. 2: the
    quadratic shape functions of triangle6, tetra10 and line3 with straight sides; a
    linear source stays linear. Where it is not given, 2 if the target has such cells
    alone. outside : as for `conservative`.

    Raises `TransferError` for degree 2 on other or curved cells.
    """
    if outside not in ("error", "nearest", "nan"):
        raise ValueError(
            f"outside: expected 'error', 'nearest' or 'nan', got {outside!r}"
        )
    check_meshes(source, target)
    if degree is None:
        degree = 2 if _quadratic_kind(target) is not None else 1
    if degree not in (1, 2):
        raise ValueError(f"degree: expected 1 or 2, got {degree}")
    given, wanted = _space(source, degree, "source"), _space(target, degree, "target")
    return projection(source, given, wanted, "l2_projection", "overlap", outside)


def _space(mesh: Mesh, degree: int, name: str) -> Space:
    kind = _quadratic_kind(mesh)
    if degree == 1 or (name == "source" and kind is None and _linear(mesh)):
        return Linears(split(mesh))
    if kind is None:
        raise TransferError(
            f"the {name} has no triangle6, tetra10 or line3 alone, but {mesh!r}: "
            "degree=1 is there for all cells"
        )
    cell, nodes = CELL_TYPES[kind], mesh.cells[kind]
    corners = mesh.points[nodes]
    middles = np.stack([corners[:, list(mean)].mean(1) for mean in cell.means], 1)
    size = np.ptp(corners, axis=1).max(1)
    curved = np.abs(middles - corners).max((1, 2)) > STRAIGHT * size
    if curved.any():
        raise TransferError(
            f"{int(curved.sum())} of {len(nodes)} cells of the {name} are curved, the "
            f"first is number {int(np.flatnonzero(curved)[0])}: degree=1 takes them as "
            "their linear children"
        )
    return Quadratics(split(mesh, straight=True), kind)


def _quadratic_kind(mesh: Mesh) -> str | None:
    """The one quadratic simplex of which the mesh consists, or None."""
    kinds = [k for k in mesh.cells if CELL_TYPES[k].dimension == mesh.dimension]
    if len(kinds) == 1 and kinds[0] in ("line3", "triangle6", "tetra10"):
        return kinds[0]
    return None


def _linear(mesh: Mesh) -> bool:
    return all(
        CELL_TYPES[k].order == 1
        for k in mesh.cells
        if CELL_TYPES[k].dimension == mesh.dimension
    )
