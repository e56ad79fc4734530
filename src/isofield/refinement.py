"""Uniform refinement: every cell into its children, conforming across cell types.

A new point is the weights with which the shape functions of its cell interpolate it.
Two cells mean the same new point if they interpolate it from the same points with the
same weights; shape functions that agree on a shared facet therefore make the refined
mesh conform, whatever the types on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from isofield.cells import CELL_TYPES, CellType
from isofield.topology import first_numbers, joined, number_rows

# Weights are compared as multiples of this; those of all shared points are dyadic.
_UNIT = 2.0**-20


@dataclass(frozen=True, eq=False)
class Subdivision:
    """The children of one cell type.

    weights : (U, n) shape functions at the points of all children.
    children : (cell type, (C, n_child) numbers among the U points) by child type.
    facets : for each facet the (child, facet of the child) pairs that cover it.
    compared : (U,) whether the point may be in another cell, or a node, already.
    """

    weights: np.ndarray
    children: tuple[tuple[str, np.ndarray], ...]
    facets: tuple[tuple[tuple[int, int], ...], ...]
    compared: np.ndarray


@lru_cache
def subdivision(kind: str) -> Subdivision:
    """The children of a cell type, of its own order: quadratic cells have quadratic
    children."""
    cell = CELL_TYPES[kind]
    lattice = cell.lattice.reference_points
    members: dict[str, list[np.ndarray]] = {}
    for linear, corners in cell.children:
        child = _child_type(cell, linear)
        at = CELL_TYPES[linear].shape(child.reference_points) @ lattice[list(corners)]
        members.setdefault(child.name, []).append(at)
    stacked = np.concatenate([at for group in members.values() for at in group])
    ticks = np.round(48 * (stacked + 1)).astype(np.int64)
    ticks = np.pad(ticks, ((0, 0), (0, 1)))  # a column for the vertex, which has none
    first, inverse = number_rows(ticks)
    weights = cell.shape(stacked[first])
    weights[np.abs(weights) < _UNIT / 2] = 0.0
    children, start = [], 0
    for name, group in members.items():
        size = len(group) * CELL_TYPES[name].nodes
        children.append((name, inverse[start : start + size].reshape(len(group), -1)))
        start += size
    supports = [set(np.flatnonzero(row)) for row in weights]
    sides = [set(nodes) for _, nodes in cell.facets]
    compared = np.array(
        [
            cell.dimension < 3 or len(support) == 1 or any(support <= s for s in sides)
            for support in supports
        ]
    )
    facets = _facet_children(cell, children, supports)
    return Subdivision(weights, tuple(children), facets, compared)


def _child_type(cell: CellType, linear: str) -> CellType:
    """The type of a child: that of the cell, or its tetrahedron beside a pyramid."""
    if linear == cell.linear.name:
        return cell
    return CELL_TYPES[linear if cell.order == 1 else "tetra10"]


def _facet_children(
    cell: CellType, children: list[tuple[str, np.ndarray]], supports: list[set]
) -> tuple[tuple[tuple[int, int], ...], ...]:
    found: list[list[tuple[int, int]]] = [[] for _ in cell.facets]
    for side, (_, nodes) in zip(found, cell.facets, strict=True):
        child = 0
        for name, group in children:
            for points in group:
                for place, (_, local) in enumerate(CELL_TYPES[name].facets):
                    if all(supports[points[i]] <= set(nodes) for i in local):
                        side.append((child, place))
                child += 1
    return tuple(tuple(side) for side in found)


@dataclass(frozen=True, eq=False)
class Refinement:
    """A refined mesh as its relation to the coarse one.

    cells : cell type -> (T_k, n_k) nodes; the coarse points keep their numbers, new
        points follow.
    parents : (T,) the coarse cell of each new cell.
    children : cell type -> (T_coarse, C) numbers of the new cells.
    new : (coarse nodes (P, n), weights (P, n)) of new points, block after block.
    """

    cells: dict[str, np.ndarray]
    parents: np.ndarray
    children: dict[str, np.ndarray]
    new: tuple[tuple[np.ndarray, np.ndarray], ...]

    def extended(self, values: np.ndarray) -> np.ndarray:
        """Point values (N, ...), those interpolated at the new points after them."""
        blocks = [
            np.einsum("pn,pn...->p...", weights, values[nodes])
            for nodes, weights in self.new
        ]
        return np.concatenate([values, *blocks]).astype(values.dtype)

    def new_within(self, members: np.ndarray) -> np.ndarray:
        """(P,) whether a new point is interpolated from `members` (N,) alone."""
        blocks = [(members[n] | (w == 0)).all(axis=1) for n, w in self.new]
        return np.concatenate([np.zeros(0, dtype=bool), *blocks])

    def facets(self, kind: str, cells: np.ndarray, place: int) -> np.ndarray:
        """(k, 2) the (cell, facet) pairs that cover facet `place` of coarse cells of
        one type, numbered within that type."""
        covered = subdivision(kind).facets[place]
        pairs = [
            np.stack([self.children[kind][cells, child], np.full(len(cells), side)], 1)
            for child, side in covered
        ]
        return np.concatenate([np.zeros((0, 2), dtype=np.int64), *pairs])


def refine(cells: Mapping[str, np.ndarray], n_points: int) -> Refinement:
    """Every cell into its children, with the new points that they share numbered once.

    Two new points are one if they have the same coarse points and weights.
    """
    cells = {kind: nodes for kind, nodes in cells.items() if len(nodes)}
    points = {kind: np.zeros((0, 0), dtype=np.int64) for kind in cells}
    keys, places = [], []
    for kind, nodes in cells.items():
        table = subdivision(kind)
        points[kind] = np.full((len(nodes), len(table.weights)), -1)
        for local in np.flatnonzero(table.compared):
            support = np.flatnonzero(table.weights[local])
            keys.append(_keys(nodes[:, support], table.weights[local, support]))
            places.append((kind, int(local)))
    reached, new = _number_shared(cells, points, keys, places, n_points)
    for kind, nodes in cells.items():
        table = subdivision(kind)
        for local in np.flatnonzero(~table.compared):
            points[kind][:, local] = reached + np.arange(len(nodes))
            weights = np.broadcast_to(table.weights[local], nodes.shape)
            new.append((nodes, weights))
            reached += len(nodes)
    return _assembled(cells, points, tuple(new))


def _keys(nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(T, k) point numbers and their weights as one integer each, sorted, 0 for none.

    Equal points of a collapsed cell are taken together.
    """
    order = np.argsort(nodes, axis=1, kind="stable")
    nodes = np.take_along_axis(nodes, order, axis=1)
    ticks = np.round(weights / _UNIT).astype(np.int64)[order]
    for column in range(1, nodes.shape[1]):
        same = nodes[:, column] == nodes[:, column - 1]
        ticks[same, column] += ticks[same, column - 1]
        ticks[same, column - 1] = 0
    keys = np.where(ticks != 0, ((nodes + 1) << 22) + ticks + 2**21, 0)
    return np.sort(keys, axis=1)


def _number_shared(
    cells: Mapping[str, np.ndarray],
    points: dict[str, np.ndarray],
    keys: list[np.ndarray],
    places: list[tuple[str, int]],
    n_points: int,
) -> tuple[int, list[tuple[np.ndarray, np.ndarray]]]:
    """Fill `points` where keys are known; the next free number and the new points."""
    if not keys:
        return n_points, []
    owner = np.repeat(np.arange(len(keys)), [len(key) for key in keys])
    row = np.concatenate([np.arange(len(key)) for key in keys])
    width = max(key.shape[1] for key in keys)
    table = np.zeros((len(owner), width), dtype=np.int64)
    start = 0
    for key in keys:
        table[start : start + len(key), width - key.shape[1] :] = key
        start += len(key)
    number = np.full(len(owner), -1)
    entries = (table != 0).sum(axis=1)
    one = entries == 1
    number[one] = (table[one, -1] >> 22) - 1
    reached, firsts = n_points, []
    for count in np.unique(entries[~one]):
        rows = np.flatnonzero(entries == count)
        first, inverse = number_rows(table[rows, width - count :])
        number[rows] = reached + inverse
        firsts.append(rows[first])
        reached += len(first)
    new: list[tuple[np.ndarray, np.ndarray]] = []
    for chosen in firsts:
        new += _interpolated(cells, places, owner[chosen], row[chosen])
    ends = np.cumsum([len(key) for key in keys])[:-1]
    for (kind, local), part in zip(places, np.split(number, ends), strict=True):
        points[kind][:, local] = part
    return reached, new


def _interpolated(
    cells: Mapping[str, np.ndarray],
    places: list[tuple[str, int]],
    owner: np.ndarray,
    row: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(nodes, weights) of the points at (cell, local point), `owner` rising."""
    blocks = []
    for number in np.unique(owner):
        kind, local = places[number]
        weights = subdivision(kind).weights[local]
        support = np.flatnonzero(weights)
        nodes = cells[kind][row[owner == number]][:, support]
        blocks.append((nodes, np.broadcast_to(weights[support], nodes.shape)))
    return blocks


def _assembled(
    cells: Mapping[str, np.ndarray],
    points: Mapping[str, np.ndarray],
    new: tuple[tuple[np.ndarray, np.ndarray], ...],
) -> Refinement:
    starts = first_numbers(cells)
    blocks, parents, owners = [], [], []
    for kind, nodes in cells.items():
        for name, local in subdivision(kind).children:
            chosen = points[kind][:, local]
            blocks.append((name, chosen.reshape(-1, local.shape[1])))
            numbers = starts[kind] + np.arange(len(nodes))
            parents.append(np.repeat(numbers, len(local)))
            owners.append(kind)
    refined, numbers = joined(blocks)
    parent = np.zeros(sum(len(block) for block in numbers), dtype=np.int64)
    children: dict[str, list[np.ndarray]] = {kind: [] for kind in cells}
    for kind, block, above in zip(owners, numbers, parents, strict=True):
        parent[block] = above
        children[kind].append(block.reshape(len(cells[kind]), -1))
    side_by_side = {
        kind: np.concatenate(parts, axis=1) for kind, parts in children.items()
    }
    return Refinement(refined, parent, side_by_side, new)
