"""Which rows, points and facets are the same: the combinatorics behind a mesh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isofield.cells import CELL_TYPES


def number_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal rows of nonnegative integers (k, m): `first` (u,) and `inverse` (k,).

    `first` holds, in rising order, the first row of each kind; `rows[first][inverse]`
    is `rows`.
    """
    if len(rows) == 0:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty
    columns = _packed(rows)
    order = np.argsort(columns[0]) if len(columns) == 1 else np.lexsort(columns)
    changes = np.zeros(len(rows), dtype=bool)
    changes[0] = True
    for column in columns:
        ordered = column[order]
        changes[1:] |= ordered[1:] != ordered[:-1]
    group = np.cumsum(changes) - 1
    first = np.minimum.reduceat(order, np.flatnonzero(changes))
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    inverse = np.empty(len(rows), dtype=np.int64)
    inverse[order] = rank[group]
    return np.sort(first), inverse


def _packed(rows: np.ndarray) -> list[np.ndarray]:
    """The columns of `rows`, as many to one 64-bit integer as fit: fewer to sort by."""
    size = int(rows.max()) + 1
    columns, room = [], 0
    for column in rows.T:
        room //= size
        if room > 0:
            columns[-1] = columns[-1] * size + column
        else:
            columns.append(column.astype(np.int64))
            room = (2**63 - 1) // size
    return columns


def coincident(points: np.ndarray, tolerance: float) -> np.ndarray:
    """(N,) for each point the lowest number of a point at most `tolerance` away.

    Chains of such points count as one. Points that are not finite stay on their own.
    All points are compared that are closer than `tolerance` along one direction, chosen
    askew to the axes so that on regular meshes few are.
    """
    askew = np.array([1.0, 0.6180339887, 0.3247179572])[: points.shape[1]]
    along = (points * (askew / np.linalg.norm(askew))).sum(axis=1)
    order = np.argsort(along, kind="stable")
    order = order[np.all(np.isfinite(points), axis=1)[order]]
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for step in range(1, len(order)):
        a, b = order[:-step], order[step:]
        near = along[b] - along[a] <= tolerance
        if not near.any():
            break
        a, b = a[near], b[near]
        distance = np.linalg.norm(points[a] - points[b], axis=1)
        pairs.append(np.stack([a, b], axis=1)[distance <= tolerance])
    return _lowest_linked(len(points), np.concatenate(pairs))


def _lowest_linked(count: int, pairs: np.ndarray) -> np.ndarray:
    """(count,) the lowest number that each number is linked to through `pairs`."""
    lowest = np.arange(count)
    while True:
        least = np.minimum(lowest[pairs[:, 0]], lowest[pairs[:, 1]])
        if (lowest[pairs] == least[:, None]).all():
            return lowest
        np.minimum.at(lowest, pairs[:, 0], least)
        np.minimum.at(lowest, pairs[:, 1], least)
        lowest = lowest[lowest]


def first_numbers(cells: Mapping[str, np.ndarray]) -> dict[str, int]:
    """For each cell type the number of its first cell, counted over all cells."""
    starts = np.cumsum([0, *(len(nodes) for nodes in cells.values())])
    return dict(zip(cells, starts[:-1].tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Facets:
    """Facets of one type: nodes (F, n), the cell and the place in it of each."""

    kind: str
    nodes: np.ndarray
    cells: np.ndarray
    places: np.ndarray


def boundary_facets(cells: Mapping[str, np.ndarray], dimension: int) -> list[Facets]:
    """The facets that belong to one cell alone, by type, oriented outward.

    Two facets are the same if they have the same nodes, in any order. A linear cell
    beside a quadratic one shares no facet with it: the mesh does not conform there.
    """
    blocks: dict[str, list[tuple[np.ndarray, np.ndarray, int]]] = {}
    starts = first_numbers(cells)
    for kind, nodes in cells.items():
        cell = CELL_TYPES[kind]
        if cell.dimension != dimension:
            continue
        numbers = starts[kind] + np.arange(len(nodes))
        for place, (facet_kind, local) in enumerate(cell.facets):
            block = (nodes[:, list(local)], numbers, place)
            blocks.setdefault(facet_kind, []).append(block)
    found = []
    for kind, parts in blocks.items():
        nodes = np.concatenate([part[0] for part in parts])
        numbers = np.concatenate([part[1] for part in parts])
        places = np.concatenate([np.full(len(part[1]), part[2]) for part in parts])
        _, inverse = number_rows(np.sort(nodes, axis=1))
        alone = np.flatnonzero(np.bincount(inverse)[inverse] == 1)
        alone = alone[np.lexsort((places[alone], numbers[alone]))]
        if len(alone):
            found.append(Facets(kind, nodes[alone], numbers[alone], places[alone]))
    return found


@dataclass(frozen=True, eq=False)
class Sides:
    """Where cells do not agree on the two sides of the surface that they form.

    crowded : (k, n) corners of facets of more than two cells. turned : (k, n) corners
    of facets whose two cells are of opposite orientation. cells : numbers of the cells
    at the first of these facets.
    """

    crowded: np.ndarray
    turned: np.ndarray
    cells: np.ndarray


def disagreeing_sides(cells: Mapping[str, np.ndarray], dimension: int) -> Sides:
    """Facets at which cells of dimension 1 or 2 do not continue each other's sides.

    Two cells agree where they run through the facet between them in opposite senses.
    Facets are known by their corners; those with two equal corners are left out.
    """
    corners, senses, numbers = [], [], []
    starts = first_numbers(cells)
    for kind, nodes in cells.items():
        cell = CELL_TYPES[kind]
        if cell.dimension != dimension:
            continue
        for place, (_, local) in enumerate(cell.linear.facets):
            facet = nodes[:, list(local)]
            rising = facet[:, 0] < facet[:, -1] if dimension == 2 else place == 1
            corners.append(np.sort(facet, axis=1))
            senses.append(np.where(np.broadcast_to(rising, len(nodes)), 1, -1))
            numbers.append(starts[kind] + np.arange(len(nodes)))
    keys, sense, number = map(np.concatenate, (corners, senses, numbers))
    solid = np.ones(len(keys), dtype=bool)
    if dimension == 2:
        solid = keys[:, 0] < keys[:, 1]
    keys, sense, number = keys[solid], sense[solid], number[solid]
    first, inverse = number_rows(keys)
    count = np.bincount(inverse)
    crowded = np.flatnonzero(count > 2)
    turned = np.flatnonzero((count == 2) & (np.bincount(inverse, sense) != 0))
    worst = np.concatenate([crowded, turned])[:1]
    return Sides(
        keys[first[crowded]], keys[first[turned]], number[np.isin(inverse, worst)]
    )


def joined(
    blocks: Sequence[tuple[str, np.ndarray]],
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Blocks of cells as one mapping by type, and the cell numbers of each block."""
    parts: dict[str, list[np.ndarray]] = {}
    for kind, nodes in blocks:
        parts.setdefault(kind, []).append(nodes)
    cells = {kind: np.concatenate(part) for kind, part in parts.items()}
    reached = first_numbers(cells)
    numbers = []
    for kind, nodes in blocks:
        numbers.append(reached[kind] + np.arange(len(nodes)))
        reached[kind] += len(nodes)
    return cells, numbers
