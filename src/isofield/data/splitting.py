"""Cells that are longer than what a model resolves, in pieces that are not."""

from __future__ import annotations

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.data.fields import Site
from isofield.mesh import Mesh
from isofield.refinement import refine
from isofield.topology import joined

# how often a cell is split at most: edges 4 times shorter, 16 or 64 pieces
LEVELS = 2


def split(
    mesh: Mesh, values: np.ndarray, longest: float, at: Site = "points"
) -> tuple[Mesh, np.ndarray]:
    """A mesh on which integrals over the same domain are those of shorter cells.

    Cells with an edge above `longest` are cut into their children, at most `LEVELS`
    times; the others stay. Where both meet, points hang on edges: the weights of
    `from_mesh` are a quadrature of the domain all the same, of O(h^2) in the edges that
    there are now. A field is what the mesh says it is: at new points the interpolant by
    the cell's shape functions, in new cells what their parent has. The points keep
    their numbers, new ones follow; fields, sets and cells of lower dimension are left
    behind.

    values : (N, C) at the mesh's points, or at its cells of the highest dimension, as
    `at` says. longest : length.
    Returns the mesh and the values at its points or cells.
    """
    points, cells = mesh.points, {}
    for kind, nodes in mesh.cells.items():
        if CELL_TYPES[kind].dimension == mesh.dimension:
            cells[kind] = nodes
    for _ in range(LEVELS):
        long = {
            kind: _long(points, nodes, kind, longest) for kind, nodes in cells.items()
        }
        if not any(some.any() for some in long.values()):
            break
        fine = refine({k: nodes[long[k]] for k, nodes in cells.items()}, len(points))
        chosen = np.concatenate([long[kind] for kind in cells])
        kept = [(kind, nodes[~long[kind]]) for kind, nodes in cells.items()]
        blocks = [*kept, *fine.cells.items()]
        cells, numbers = joined(blocks)
        if at == "cells":
            parents = np.flatnonzero(chosen)[fine.parents]
            origin = np.concatenate([np.flatnonzero(~chosen), parents])
            place = np.argsort(np.concatenate(numbers))
            values = values[origin[place]]
        else:
            values = fine.extended(values)
        points = fine.extended(points)
    return Mesh(points, cells), values


def _long(
    points: np.ndarray, nodes: np.ndarray, kind: str, longest: float
) -> np.ndarray:
    """(T,) whether a cell has an edge above `longest`."""
    found = np.zeros(len(nodes), dtype=bool)
    for a, b in CELL_TYPES[kind].edges:
        length = np.linalg.norm(points[nodes[:, a]] - points[nodes[:, b]], axis=1)
        found |= length > longest
    return found
