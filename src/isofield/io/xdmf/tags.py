"""Tagged cells and facets that stand in a grid of their own, as dolfinx writes them."""

from __future__ import annotations

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh
from isofield.topology import number_rows


def tag_sets(mesh: Mesh, tagged: Mesh) -> dict[str, dict[str, np.ndarray]] | None:
    """The sets of `mesh` that the cells of `tagged`, numbered by integers, mean.

    Tag v of the cell field f gives the set "f v": a cell set where the tagged cells are
    cells of the mesh, a facet set where they are facets; a facet between two cells is
    given as the facet of the first. None where there is no integer field, or where the
    tagged cells are neither.
    """
    fields = {
        name: values
        for name, values in tagged.cell_data.items()
        if values.ndim == 1 and values.dtype.kind in "iu"
    }
    if not fields or len(tagged.points) != len(mesh.points):
        return None
    owners = _owners(mesh, tagged)
    if owners is None:
        return None
    attribute = "cell_sets" if owners.ndim == 1 else "facet_sets"
    return {
        attribute: {
            f"{name} {value}": owners[values == value]
            for name, values in fields.items()
            for value in np.unique(values)
        }
    }


def _owners(mesh: Mesh, tagged: Mesh) -> np.ndarray | None:
    """(k,) cells or (k, 2) facets of `mesh` with the corners of the tagged cells."""
    wanted = _corners(tagged, facets=False)[0]
    for facets in (False, True):
        corners, numbers = _corners(mesh, facets=facets)
        width = max(wanted.shape[1], corners.shape[1])
        rows = np.concatenate([_wide(corners, width), _wide(wanted, width)])
        first, inverse = number_rows(np.sort(rows, axis=1) + 1)
        owner = first[inverse[len(corners) :]]
        if len(corners) and (owner < len(corners)).all():
            return numbers[owner] if facets else numbers[owner, 0]
    return None


def _corners(mesh: Mesh, *, facets: bool) -> tuple[np.ndarray, np.ndarray]:
    """(k, 4 or 8) corners of all cells or facets, -1 where there are fewer, and (k, 2)
    their cell and facet numbers; facets of the highest dimension alone."""
    rows, numbers, start = [np.zeros((0, 1), np.int64)], [np.zeros((0, 2), np.int64)], 0
    for kind, nodes in mesh.cells.items():
        cell = CELL_TYPES[kind]
        places = [(0, tuple(range(cell.linear.nodes)))]
        if facets:
            places = [
                (number, local[: CELL_TYPES[facet].linear.nodes])
                for number, (facet, local) in enumerate(cell.facets)
                if cell.dimension == mesh.dimension
            ]
        for place, local in places:
            rows.append(nodes[:, list(local)])
            own = start + np.arange(len(nodes))
            numbers.append(np.stack([own, np.full(len(nodes), place)], axis=1))
        start += len(nodes)
    width = max(part.shape[1] for part in rows)
    wide = np.concatenate([_wide(part, width) for part in rows])
    pairs = np.concatenate(numbers)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return wide[order], pairs[order]


def _wide(rows: np.ndarray, width: int) -> np.ndarray:
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=-1)
