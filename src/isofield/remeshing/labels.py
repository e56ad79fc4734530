"""Named sets as one label for each cell and facet, and back from a new mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.mesh import Mesh, MeshError
from isofield.remeshing.mmg import Labelled
from isofield.topology import first_numbers, number_rows

# What a column of a table stands for: the attribute of the mesh, the name of the set
# and, for facet sets, the label of the cell on whose side the facet is.
Column = tuple[str, str, int]

LOWER: Column = ("cells", "", 0)


@dataclass(frozen=True, eq=False)
class Names:
    """What the labels of cells and facets mean.

    kinds : the cell types in the order of the mesh. cell_columns, facet_columns : what
    the columns mean. cell_rows, facet_rows : (R, C) bool, row `label - 1` of each
    label. lone_points : name -> numbers of the members of a point set that no cell or
    facet stands for.
    """

    kinds: tuple[str, ...]
    cell_columns: list[Column]
    cell_rows: np.ndarray
    facet_columns: list[Column]
    facet_rows: np.ndarray
    lone_points: dict[str, np.ndarray]


def labelled(mesh: Mesh, kind: str) -> tuple[Labelled, Names]:
    """The cells of type `kind` and their labelled facets, and what labels mean.

    Labelled are all facets of one cell alone or of more than two, those between cells
    in different sets, those in a facet set and those that are cells themselves.
    """
    nodes = mesh.cells[kind]
    inside = {name: _mask(s, len(mesh.points)) for name, s in mesh.point_sets.items()}
    facets, inverse, count = _facets(nodes, kind)
    outer = _mask(facets[count == 1].ravel(), len(mesh.points))
    columns = _cell_columns(mesh, kind, inside, outer)
    cell_labels, cell_rows = _numbered(columns)
    facet_columns = _facet_columns(mesh, kind, facets, inverse, cell_labels)
    owners = cell_labels[np.arange(len(inverse)) % len(nodes)]
    low, high = np.full(len(facets), 2**62), np.zeros(len(facets), dtype=np.int64)
    np.minimum.at(low, inverse, owners)
    np.maximum.at(high, inverse, owners)
    special = (count != 2) | (low != high)
    for mask in facet_columns.values():
        special |= mask
    for name, mask in inside.items():
        facet_columns["point_sets", name, 0] = np.all(mask[facets], axis=1)
    facet_columns = {key: mask[special] for key, mask in facet_columns.items()}
    facet_labels, facet_rows = _numbered(facet_columns)
    old = Labelled(mesh.points, nodes, cell_labels, facets[special], facet_labels)
    lone = {
        name: np.setdiff1d(
            np.flatnonzero(mask), _covered(name, old, columns, facet_columns)
        )
        for name, mask in inside.items()
    }
    kinds, columns_of_facets = tuple(mesh.cells), list(facet_columns)
    names = Names(kinds, list(columns), cell_rows, columns_of_facets, facet_rows, lone)
    return old, names


def _cell_columns(
    mesh: Mesh, kind: str, inside: dict[str, np.ndarray], outer: np.ndarray
) -> dict[Column, np.ndarray]:
    """Which cells are in which cell set, and have all their points in a point set.

    inside : name -> (N,) the members of a point set. outer : (N,) points of boundaries.
    """
    nodes, start = mesh.cells[kind], first_numbers(mesh.cells)[kind]
    columns: dict[Column, np.ndarray] = {LOWER: np.zeros(len(nodes), dtype=bool)}
    total = sum(len(block) for block in mesh.cells.values())
    for name, members in mesh.cell_sets.items():
        columns["cell_sets", name, 0] = _mask(members, total)[start:][: len(nodes)]
    for name, mask in inside.items():
        # a set on the boundary may hold all points of a cell in a corner by accident
        if not outer[mask].all():
            columns["point_sets", name, 0] = np.all(mask[nodes], axis=1)
    return columns


def _covered(
    name: str,
    old: Labelled,
    columns: dict[Column, np.ndarray],
    facet_columns: dict[Column, np.ndarray],
) -> np.ndarray:
    """The members of a point set that cells or labelled facets stand for."""
    key = ("point_sets", name, 0)
    cells = old.cells[columns.get(key, columns[LOWER])]
    return np.concatenate([cells.ravel(), old.facets[facet_columns[key]].ravel()])


def named(new: Labelled, names: Names, kind: str, lone: dict[str, np.ndarray]) -> Mesh:
    """The new mesh with the sets that its labels stand for.

    lone : name -> numbers of the points of `names.lone_points` in the new mesh.
    """
    cell_rows = names.cell_rows[new.cell_labels - 1]
    facet_rows = names.facet_rows[new.facet_labels - 1]
    is_cell = facet_rows[:, names.facet_columns.index(LOWER)]
    blocks = {kind: new.cells}
    facet_kind = CELL_TYPES[kind].facets[0][0]
    if facet_kind in names.kinds:
        blocks[facet_kind] = new.facets[is_cell]
    cells = {name: blocks[name] for name in names.kinds if name in blocks}
    starts = first_numbers(cells)
    facet_number = starts.get(facet_kind, 0) + np.cumsum(is_cell) - 1
    point_sets = {name: [points] for name, points in lone.items()}
    cell_sets: dict[str, list] = {}
    for (attribute, name, _), member in zip(
        names.cell_columns, cell_rows.T, strict=True
    ):
        if attribute == "cell_sets":
            cell_sets[name] = [starts[kind] + np.flatnonzero(member)]
        elif attribute == "point_sets":
            point_sets[name].append(new.cells[member].ravel())
    for (attribute, name, _), member in zip(
        names.facet_columns, facet_rows.T, strict=True
    ):
        if attribute == "cell_sets":
            cell_sets[name].append(facet_number[member & is_cell])
        elif attribute == "point_sets":
            point_sets[name].append(new.facets[member].ravel())
    return Mesh(
        new.points,
        cells,
        point_sets={name: _union(parts) for name, parts in point_sets.items()},
        cell_sets={name: _union(parts) for name, parts in cell_sets.items()},
        facet_sets=_facet_sets(new, names, kind, facet_rows, starts[kind]),
    )


def _facets(nodes: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The facets once each, which one `place * T + cell` is, and in how many cells."""
    places = [list(local) for _, local in CELL_TYPES[kind].facets]
    every = np.concatenate([nodes[:, local] for local in places])
    first, inverse = number_rows(np.sort(every, axis=1))
    return every[first], inverse, np.bincount(inverse, minlength=len(first))


def _facet_columns(
    mesh: Mesh, kind: str, facets: np.ndarray, inverse: np.ndarray, labels: np.ndarray
) -> dict[Column, np.ndarray]:
    """Which facets are cells, of which sets, and which are in which facet set."""
    starts, n_cells = first_numbers(mesh.cells), len(labels)
    columns: dict[Column, np.ndarray] = {LOWER: np.zeros(len(facets), dtype=bool)}
    facet_kind = CELL_TYPES[kind].facets[0][0]
    if facet_kind in mesh.cells:
        number = _places(mesh.cells[facet_kind], facets, facet_kind)
        columns[LOWER][number] = True
        for name, members in mesh.cell_sets.items():
            local = members - starts[facet_kind]
            local = local[(local >= 0) & (local < len(number))]
            columns["cell_sets", name, 0] = _mask(number[local], len(facets))
    for name, pairs in mesh.facet_sets.items():
        local = pairs[:, 0] - starts[kind]
        top = (local >= 0) & (local < n_cells)
        if not top.all():
            raise MeshError(
                f"facet set {name!r}: {int((~top).sum())} of its facets are not of "
                f"{kind} cells"
            )
        number = inverse[pairs[:, 1] * n_cells + local]
        for label in np.unique(labels[local]):
            chosen = number[labels[local] == label]
            columns["facet_sets", name, int(label)] = _mask(chosen, len(facets))
    return columns


def _places(lower: np.ndarray, facets: np.ndarray, kind: str) -> np.ndarray:
    """For each lower cell the number of the facet with its points."""
    rows = np.sort(np.concatenate([facets, lower]), axis=1)
    first, inverse = number_rows(rows)
    number = first[inverse[len(facets) :]]
    alone = int((number >= len(facets)).sum())
    if alone:
        raise MeshError(
            f"{alone} of {len(lower)} {kind} cells are no facets of the cells of "
            "higher dimension; mesh.of_dimension(mesh.dimension) leaves them out"
        )
    return number


def _facet_sets(
    new: Labelled, names: Names, kind: str, rows: np.ndarray, start: int
) -> dict[str, np.ndarray]:
    """The pairs (cell, facet) of the labelled facets, on the side they were on.

    A facet between two cells of the same label is named once, by the lower number.
    """
    _, inverse, _ = _facets(new.cells, kind)
    every = np.concatenate(
        [new.cells[:, list(local)] for _, local in CELL_TYPES[kind].facets]
    )
    both = np.sort(np.concatenate([every, new.facets]), axis=1)
    group = number_rows(both)[1]
    owners, which = group[: len(every)], group[len(every) :]
    cell, place = np.arange(len(inverse)) % len(new.cells), np.arange(len(inverse))
    found: dict[str, list] = {}
    for (attribute, name, label), member in zip(
        names.facet_columns, rows.T, strict=True
    ):
        if attribute != "facet_sets":
            continue
        wanted = np.isin(owners, which[member]) & (new.cell_labels[cell] == label)
        chosen = np.flatnonzero(wanted)
        chosen = chosen[np.argsort(cell[chosen], kind="stable")]
        chosen = chosen[np.sort(np.unique(owners[chosen], return_index=True)[1])]
        pairs = np.stack(
            [start + cell[chosen], place[chosen] // len(new.cells)], axis=1
        )
        found.setdefault(name, []).append(pairs)
    empty = np.zeros((0, 2), dtype=np.int64)
    sets = {name: np.concatenate([empty, *parts]) for name, parts in found.items()}
    return {name: pairs[np.lexsort(pairs.T[::-1])] for name, pairs in sets.items()}


def _numbered(columns: dict[Column, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A label from 1 for each different row, and the rows of the labels, sorted."""
    rows = np.stack(list(columns.values()), axis=1)
    different, inverse = np.unique(rows, axis=0, return_inverse=True)
    return inverse.reshape(-1) + 1, different


def _mask(members: np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(count, dtype=bool)
    mask[members] = True
    return mask


def _union(parts: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate(parts).astype(np.int64))
