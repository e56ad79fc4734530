"""Cells from lists of corners, as surface formats give them."""

from __future__ import annotations

import warnings

import numpy as np

from isofield.io.registry import MeshWarning
from isofield.io.vtk_cells import cells_from_vtk


def polygon_cells(
    rows: list[np.ndarray], kinds: np.ndarray | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Cells by type and the row of each, from one list of corners for each cell.

    kinds : (R,) VTK types of the rows; without, one corner is a vertex, two are a line
        and more are a polygon. Polygons of one or two corners are left out with a
        `MeshWarning`, those of more than four are cut into triangles.
    """
    sizes = np.array([len(row) for row in rows], np.int64)
    if kinds is None:
        kinds = np.where(sizes == 1, 1, np.where(sizes == 2, 3, 7))
    broken = (kinds == 7) & (sizes < 3) | (sizes == 0)
    if broken.any():
        warnings.warn(
            f"{broken.sum()} faces have fewer than three corners and were left out "
            f"(first: face {np.flatnonzero(broken)[0]})",
            MeshWarning,
            stacklevel=2,
        )
    kept = np.flatnonzero(~broken)
    flat = [rows[row] for row in kept]
    nodes = np.concatenate([np.zeros(0, np.int64), *flat])
    offsets = np.concatenate([[0], np.cumsum(sizes[kept])])
    cells, parents = cells_from_vtk(nodes, offsets, kinds[kept])
    return cells, kept[parents]
