"""Reads Exodus: blocks, sets, and the variables of one time step."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.exodus.elements import ORDERS, cell_type, sides
from isofield.io.exodus.store import Store, opened
from isofield.io.facets import facet_numbers
from isofield.io.registry import FormatError, MeshWarning
from isofield.mesh import Mesh
from isofield.series import MeshSeries


@dataclass(frozen=True)
class _Block:
    """An element block: its place in the file and the number of each of its cells."""

    number: int
    name: str
    kind: str
    shell: bool
    nodes: np.ndarray
    cells: np.ndarray


def read_exodus(path: Path) -> Mesh:
    """The mesh with all variables at the last time step; raises `FormatError`."""
    with opened(path) as store:
        mesh, blocks = _mesh(store)
        times = _times(store)
        if len(times) > 1:
            warnings.warn(
                f"the file holds {len(times)} time steps and the last was read; "
                f"read_series gives all of them",
                MeshWarning,
                stacklevel=3,
            )
        for name, word in (("name_nset_var", "node"), ("name_sset_var", "side")):
            if names := store.names(name):
                warnings.warn(
                    f"variables of {word} sets were left out: {', '.join(names)}",
                    MeshWarning,
                    stacklevel=3,
                )
        return _with_fields(mesh, store, blocks, len(times) - 1)


def read_exodus_series(path: Path) -> MeshSeries:
    """All time steps; the mesh is read once, the variables step by step."""
    with opened(path) as store:
        mesh, blocks = _mesh(store)
        times = _times(store)

    def step(number: int) -> Mesh:
        with opened(path) as store:
            return _with_fields(mesh, store, blocks, number if len(times) else -1)

    return MeshSeries(times if len(times) else np.zeros(1), step)


def _times(store: Store) -> np.ndarray:
    return store.array("time_whole") if "time_whole" in store else np.zeros(0)


def _mesh(store: Store) -> tuple[Mesh, list[_Block]]:
    points = _points(store)
    blocks = _blocks(store, len(points))
    cells: dict[str, list[np.ndarray]] = {}
    for block in blocks:
        cells.setdefault(block.kind, []).append(block.nodes)
    cell_sets = {block.name: block.cells for block in blocks}
    facet_sets, more = _side_sets(store, blocks)
    mesh = Mesh(
        points,
        {kind: np.concatenate(nodes) for kind, nodes in cells.items()},
        point_sets=_node_sets(store, len(points)),
        cell_sets={**more, **cell_sets},
        facet_sets=facet_sets,
    )
    return mesh, blocks


def _points(store: Store) -> np.ndarray:
    if "coord" in store:
        columns = list(store.array("coord"))
    else:
        columns = [store.array(n) for n in ("coordx", "coordy", "coordz") if n in store]
    if not columns:
        raise FormatError("there are no coordinates (coordx or coord) in it")
    points = np.zeros((len(columns[0]), 3))
    points[:, : len(columns)] = np.stack(columns, axis=1)
    return points


def _labels(store: Store, names: str, numbers: str, count: int, word: str) -> list[str]:
    """Names of blocks or sets: as given, else the word and the number; all distinct."""
    given = store.names(names) + [""] * count
    ids = store.array(numbers).tolist() if numbers in store else range(1, count + 1)
    labels: list[str] = []
    for name, number in zip(given, ids, strict=False):
        label = name or f"{word} {number}"
        labels.append(label if label not in labels else f"{label} {number}")
    return labels[:count]


def _numbered(store: Store, prefix: str) -> list[int]:
    """The numbers i for which the file may have `prefix`i."""
    count = {
        "connect": "num_el_blk",
        "node_ns": "num_node_sets",
        "elem_ss": "num_side_sets",
    }
    return list(range(1, store.sizes.get(count[prefix], 0) + 1))


def _blocks(store: Store, points: int) -> list[_Block]:
    numbers = _numbered(store, "connect")
    labels = _labels(store, "eb_names", "eb_prop1", len(numbers), "block")
    read: list[tuple[int, str, str, bool, np.ndarray]] = []
    for number, label in zip(numbers, labels, strict=True):
        name = f"connect{number}"
        if name not in store or 0 in store.shape(name):
            continue
        nodes, word = store.array(name), store.text(name, "elem_type")
        if nodes.ndim != 2 or re.match(r"(?i)nsided|nfaced|bex", word):
            raise FormatError(
                f"block {label!r} has elements of type {word}, which are not read "
                f"(polygons, polyhedra and splines)"
            )
        kind = cell_type(word, nodes.shape[1])
        order = ORDERS.get(kind, tuple(range(nodes.shape[1])))
        flat = CELL_TYPES[kind].dimension == 2
        shell = flat and bool(
            re.match(r"(?i)shell", word)
            or (re.match(r"(?i)tri", word) and store.sizes.get("num_dim") == 3)
        )
        read.append((number, label, kind, shell, nodes[:, order].astype(np.int64) - 1))
    kinds = dict.fromkeys(kind for _, _, kind, _, _ in read)
    start, blocks = 0, []
    for kind in kinds:
        for number, label, own, shell, nodes in read:
            if own == kind:
                cells = np.arange(start, start + len(nodes))
                blocks.append(_Block(number, label, kind, shell, nodes, cells))
                start += len(nodes)
    return blocks


def _node_sets(store: Store, points: int) -> dict[str, np.ndarray]:
    numbers = _numbered(store, "node_ns")
    labels = _labels(store, "ns_names", "ns_prop1", len(numbers), "nodeset")
    return {
        label: store.array(f"node_ns{number}").astype(np.int64) - 1
        if f"node_ns{number}" in store
        else np.zeros(0, np.int64)
        for number, label in zip(numbers, labels, strict=True)
    }


def _side_sets(
    store: Store, blocks: list[_Block]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Facets of each side set, and the shells of which a side set names a face."""
    numbers = _numbered(store, "elem_ss")
    labels = _labels(store, "ss_names", "ss_prop1", len(numbers), "sideset")
    in_file = sorted(blocks, key=lambda block: block.number)
    cells = np.concatenate([np.zeros(0, np.int64), *(b.cells for b in in_file)])
    owner = np.repeat(np.arange(len(in_file)), [len(b.cells) for b in in_file])
    tables = [_side_table(block) for block in in_file]
    facet_sets, cell_sets = {}, {}
    for number, label in zip(numbers, labels, strict=True):
        if f"elem_ss{number}" not in store:
            facet_sets[label] = np.zeros((0, 2), np.int64)
            continue
        element = store.array(f"elem_ss{number}").astype(np.int64) - 1
        side = store.array(f"side_ss{number}").astype(np.int64) - 1
        if len(element) and not (element.min() >= 0 and element.max() < len(cells)):
            raise FormatError(f"side set {label!r} names elements that do not exist")
        facet = np.array(
            [
                tables[b][s] if 0 <= s < len(tables[b]) else -2
                for b, s in zip(owner[element], side, strict=True)
            ],
            dtype=np.int64,
        )
        if (facet == -2).any():
            raise FormatError(
                f"side set {label!r} names sides that its elements lack, as side "
                f"{side[facet == -2][0] + 1}"
            )
        edge = facet >= 0
        if edge.any() or edge.all():
            pairs = np.stack([cells[element[edge]], facet[edge]], axis=1)
            facet_sets[label] = pairs
        if not edge.all():
            cell_sets[label] = np.unique(cells[element[~edge]])
    return facet_sets, cell_sets


def _side_table(block: _Block) -> list[int]:
    """Side 1, 2, ... -> facet number; -1 for a face of a shell, which is the cell."""
    corners = sides(block.kind, shell=block.shell)
    numbers = iter(facet_numbers(block.kind, [c for c in corners if c]))
    return [next(numbers) if side else -1 for side in corners]


def _with_fields(mesh: Mesh, store: Store, blocks: list[_Block], step: int) -> Mesh:
    """The mesh with nodal, element and global variables at a step; none at -1."""
    if step < 0:
        return mesh
    point_data: dict[str, np.ndarray] = {}
    for i, name in enumerate(store.names("name_nod_var"), 1):
        if f"vals_nod_var{i}" in store:
            point_data[name] = store.array(f"vals_nod_var{i}", step)
        elif "vals_nod_var" in store:
            point_data[name] = store.array("vals_nod_var", step)[i - 1]
    field_data: dict[str, Any] = {}
    if "vals_glo_var" in store:
        values = store.array("vals_glo_var", step)
        for name, value in zip(store.names("name_glo_var"), values, strict=False):
            field_data[name] = np.array([value])
    return replace(
        mesh,
        point_data=point_data,
        cell_data=_cell_data(store, blocks, step),
        field_data=field_data,
    )


def _cell_data(store: Store, blocks: list[_Block], step: int) -> dict[str, np.ndarray]:
    """Element variables; NaN in the blocks that lack one."""
    count = sum(len(block.cells) for block in blocks)
    data = {}
    for i, name in enumerate(store.names("name_elem_var"), 1):
        values = np.full(count, np.nan)
        dtypes = set()
        for block in blocks:
            variable = f"vals_elem_var{i}eb{block.number}"
            if variable in store:
                own = store.array(variable, step)
                dtypes.add(own.dtype)
                values[block.cells] = own
        # float32 stays so: no value is lost, and what is not given stays NaN
        data[name] = values.astype(dtypes.pop()) if len(dtypes) == 1 else values
    return data
