"""Planar meshes in formats whose points always have three columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.registry import FormatError
from isofield.io.sets import PREFIX
from isofield.mesh import Mesh

MARK = f"{PREFIX}dimension"


def padded(mesh: Mesh, *, marked: bool) -> Mesh:
    """The mesh with three columns, z = 0 where there were two.

    marked : whether the format holds field data, so that a mesh in 3-D that happens to
        lie in z = 0 can be marked as such and comes back in 3-D.
    """
    if mesh.points.shape[1] == 2:
        zeros = np.zeros((len(mesh.points), 1))
        return replace(mesh, points=np.concatenate([mesh.points, zeros], axis=1))
    if marked and _looks_planar(mesh):
        return replace(mesh, field_data={**mesh.field_data, MARK: np.array([3])})
    return mesh


def unpadded(mesh: Mesh, dimension: int | None) -> Mesh:
    """The mesh in the dimension asked for; by itself 2-D where z is 0 without volumes.

    Raises `FormatError` where `dimension=2` is asked and some z is not 0.
    """
    rest = {key: value for key, value in mesh.field_data.items() if key != MARK}
    noted = mesh.field_data.get(MARK)
    if len(rest) < len(mesh.field_data):
        mesh = replace(mesh, field_data=rest)
    if dimension == 3:
        return padded(mesh, marked=False)
    if mesh.points.shape[1] == 2:
        return mesh
    if dimension == 2:
        off = np.flatnonzero(mesh.points[:, 2])
        if len(off):
            raise FormatError(
                f"dimension=2 is asked for, but {len(off)} points have z other than 0 "
                f"(point {off[0]}: z = {mesh.points[off[0], 2]:g}); read it in 3-D"
            )
    elif noted is not None or not _looks_planar(mesh):
        return mesh
    return replace(mesh, points=mesh.points[:, :2].copy())


def _looks_planar(mesh: Mesh) -> bool:
    flat = not mesh.points[:, 2].any()
    return flat and all(CELL_TYPES[kind].dimension < 3 for kind in mesh.cells)
