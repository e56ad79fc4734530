"""Fields and named sets carried from one numbering of points and cells to another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.refinement import Refinement
from isofield.topology import first_numbers, number_rows


def picked(fields: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Every field at these rows."""
    return {name: values[rows] for name, values in fields.items()}


def renumbered(
    sets: Mapping[str, np.ndarray], number: np.ndarray
) -> dict[str, np.ndarray]:
    """Sets (k,) of numbers or (k, 2) of (number, facet) under new numbers.

    number : (old count,) the new number of each, -1 for what is gone. Members that
        become one are named once; the order stays.
    """
    carried = {}
    for name, members in sets.items():
        rows = np.array(members if members.ndim == 2 else members[:, None])
        rows[:, 0] = number[rows[:, 0]]
        rows = rows[rows[:, 0] >= 0]
        rows = rows[number_rows(rows)[0]]
        carried[name] = rows.reshape(-1, *members.shape[1:])
    return carried


def inherited(
    sets: Mapping[str, np.ndarray], parents: np.ndarray
) -> dict[str, np.ndarray]:
    """Sets of cells as sets of their children, `parents` the parent of each child."""
    return {
        name: np.flatnonzero(np.isin(parents, members))
        for name, members in sets.items()
    }


def found(
    sets: Mapping[str, np.ndarray], cells: np.ndarray, places: np.ndarray
) -> dict[str, np.ndarray]:
    """Sets of (cell, facet) pairs as numbers of the facets (cells_i, places_i)."""
    codes = 8 * cells + places
    return {
        name: np.flatnonzero(np.isin(codes, 8 * pairs[:, 0] + pairs[:, 1]))
        for name, pairs in sets.items()
    }


def mirrored(
    sets: Mapping[str, np.ndarray], cells: Mapping[str, np.ndarray], turned: np.ndarray
) -> dict[str, np.ndarray]:
    """Sets of (cell, facet) pairs once the cells `turned` (T,) are mirrored."""
    starts = first_numbers(cells)
    carried = {}
    for name, pairs in sets.items():
        pairs = pairs.copy()
        for kind, nodes in cells.items():
            local = pairs[:, 0] - starts[kind]
            chosen = (local >= 0) & (local < len(nodes)) & turned[pairs[:, 0]]
            pairs[chosen, 1] = CELL_TYPES[kind].mirrored_facets[pairs[chosen, 1]]
        carried[name] = pairs
    return carried


def covered(
    sets: Mapping[str, np.ndarray], cells: Mapping[str, np.ndarray], fine: Refinement
) -> dict[str, np.ndarray]:
    """Sets of (cell, facet) pairs as those of the refined cells that cover them."""
    starts = first_numbers(cells)
    carried = {}
    for name, pairs in sets.items():
        parts = [np.zeros((0, 2), dtype=np.int64)]
        for kind, nodes in cells.items():
            local = pairs[:, 0] - starts[kind]
            inside = (local >= 0) & (local < len(nodes))
            for place in np.unique(pairs[inside, 1]):
                chosen = local[inside & (pairs[:, 1] == place)]
                parts.append(fine.facets(kind, chosen, int(place)))
        carried[name] = np.concatenate(parts)
    return carried


def extended(
    sets: Mapping[str, np.ndarray],
    fine: Refinement,
    boundary: np.ndarray,
    fine_boundary: np.ndarray,
) -> dict[str, np.ndarray]:
    """Sets of points with the new points that are interpolated from members alone.

    A set that lies on the boundary takes no new point within, where an edge through the
    interior joins two of its members. boundary : (N,), fine_boundary : (N + P,) whether
    a point lies there.
    """
    carried = {}
    n = len(boundary)
    for name, members in sets.items():
        inside = np.zeros(n, dtype=bool)
        inside[members] = True
        new = fine.new_within(inside)
        if boundary[members].all():
            new &= fine_boundary[n:]
        carried[name] = np.concatenate([members, n + np.flatnonzero(new)])
    return carried
