"""Writes Gmsh 4.1 binary files."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.gmsh.elements import BY_CELL_TYPE
from isofield.mesh import Mesh

NOTE = b"isofield "
_EXACT = 2**53


def fitted_gmsh(mesh: Mesh) -> tuple[Mesh, list[str]]:
    """Without fields of integers beyond 2^53, which float64 cannot hold, and with sets
    as physical groups keep them: each cell once, in rising order."""
    fields, lost = {}, []
    for kind in ("point_data", "cell_data"):
        fields[kind] = dict(getattr(mesh, kind))
        for name, values in getattr(mesh, kind).items():
            if values.dtype.kind in "iu" and _largest(values) > _EXACT:
                del fields[kind][name]
                lost.append(f"{kind}[{name!r}] (integers beyond 2^53)")
    sets = {name: np.unique(members) for name, members in mesh.cell_sets.items()}
    for name, members in mesh.cell_sets.items():
        if not np.array_equal(sets[name], members):
            lost.append(f"the order and repetitions of cell_sets[{name!r}]")
    return (replace(mesh, **fields, cell_sets=sets) if lost else mesh), lost


def write_gmsh(path: Path, mesh: Mesh) -> None:
    """Writes `mesh` as a Gmsh 4.1 binary file; node i gets the number i + 1.

    Gmsh stores every field as float64. The dtype and shape, and the field data of the
    mesh, are noted in a $Comments section, which other programs pass over, so that
    integers, float32 and fields of 2 components come back as they were. Vectors of 2
    components and 2 by 2 tensors are padded with zeros to 3 and 3 by 3, as Gmsh draws
    them. Cell sets become physical groups.

    mesh : as `fitted_gmsh` leaves it.
    """
    points = np.zeros((len(mesh.points), 3))
    points[:, : mesh.points.shape[1]] = mesh.points
    entities = _entities(mesh)
    with open(path, "wb") as file:
        file.write(b"$MeshFormat\n4.1 1 8\n" + struct.pack("=i", 1))
        file.write(b"\n$EndMeshFormat\n")
        _write_note(file, mesh)
        _write_names(file, mesh)
        _write_entities(file, mesh, points, entities)
        _write_nodes(file, points, entities)
        _write_elements(file, mesh, entities)
        for name, values in mesh.point_data.items():
            _write_data(file, "NodeData", name, values)
        for name, values in mesh.cell_data.items():
            _write_data(file, "ElementData", name, values)


def _write_note(file: BinaryIO, mesh: Mesh) -> None:
    def described(data) -> dict:
        return {k: [v.dtype.name, list(v.shape[1:])] for k, v in data.items()}

    whole = {}
    for name, value in mesh.field_data.items():
        text = isinstance(value, str)
        array = np.asarray(value)
        kind = "text" if text else array.dtype.name if array.dtype.kind != "U" else "U"
        whole[name] = [kind, value if text else array.tolist(), list(array.shape)]
    note = {
        "field_data": whole,
        "cells": list(mesh.cells),
        "NodeData": described(mesh.point_data),
        "ElementData": described(mesh.cell_data),
    }
    file.write(b"$Comments\n" + NOTE + json.dumps(note).encode() + b"\n$EndComments\n")


def _dimensions(mesh: Mesh) -> np.ndarray:
    """(T,) dimension of every cell."""
    each = [np.full(len(n), CELL_TYPES[k].dimension) for k, n in mesh.cells.items()]
    return np.concatenate([np.zeros(0, int), *each])


def _physical(mesh: Mesh) -> list[tuple[int, int, str, np.ndarray]]:
    """(dimension, tag, name, cells) of every physical group.

    A set of cells of several dimensions is one group in each of them.
    """
    dimensions, groups = _dimensions(mesh), []
    used = {d: 0 for d in range(4)}
    for name in mesh.cell_sets:
        if found := re.fullmatch(r"tag ([0-3]) ([1-9]\d*)", name):
            used[int(found[1])] = max(used[int(found[1])], int(found[2]))
    for name, members in mesh.cell_sets.items():
        unnamed = re.fullmatch(r"tag ([0-3]) ([1-9]\d*)", name)
        present = np.unique(dimensions[members]).tolist()
        if unnamed and present == [int(unnamed[1])]:
            groups.append((int(unnamed[1]), int(unnamed[2]), "", members))
            continue
        for dimension in present or [max(mesh.dimension, 0)]:
            used[dimension] += 1
            inside = members[dimensions[members] == dimension]
            groups.append((dimension, used[dimension], name, inside))
    return groups


def _entities(mesh: Mesh) -> list[tuple[int, int, list[int], np.ndarray]]:
    """(dimension, tag, physical tags, cells): cells that lie in the same groups."""
    dimensions, groups = _dimensions(mesh), _physical(mesh)
    inside = np.zeros((len(groups), len(dimensions)), bool)
    for row, (_, _, _, members) in enumerate(groups):
        inside[row, members] = True
    key = np.packbits(inside, axis=0).T
    key = np.concatenate([dimensions[:, None].astype(np.uint8), key], axis=1)
    _, first, same = np.unique(key, axis=0, return_index=True, return_inverse=True)
    entities, used = [], [0, 0, 0, 0]
    for number in np.argsort(first):
        cells = np.flatnonzero(same.reshape(-1) == number)
        dimension = int(dimensions[cells[0]])
        used[dimension] += 1
        tags = [groups[row][1] for row in np.flatnonzero(inside[:, cells[0]])]
        entities.append((dimension, used[dimension], tags, cells))
    return entities


def _write_names(file: BinaryIO, mesh: Mesh) -> None:
    named = [(d, tag, name) for d, tag, name, _ in _physical(mesh) if name]
    if named:
        lines = [f'{d} {tag} "{name}"' for d, tag, name in named]
        text = "\n".join([str(len(named)), *lines])
        file.write(f"$PhysicalNames\n{text}\n$EndPhysicalNames\n".encode())


def _write_entities(file: BinaryIO, mesh: Mesh, points: np.ndarray, entities) -> None:
    counts = [sum(e[0] == dimension for e in entities) for dimension in range(4)]
    file.write(b"$Entities\n" + struct.pack("=4Q", *counts))
    for dimension, tag, groups, cells in sorted(entities, key=lambda e: e[:2]):
        nodes = _nodes_of(mesh, cells)
        low, high = points[nodes].min(axis=0), points[nodes].max(axis=0)
        box = low if dimension == 0 else np.concatenate([low, high])
        file.write(struct.pack("=i", tag) + box.astype("=f8").tobytes())
        file.write(struct.pack(f"=Q{len(groups)}i", len(groups), *groups))
        if dimension:
            file.write(struct.pack("=Q", 0))
    file.write(b"\n$EndEntities\n")


def _nodes_of(mesh: Mesh, members: np.ndarray) -> np.ndarray:
    """The points of these cells."""
    return np.unique(
        np.concatenate([n.reshape(-1) for _, _, n in _rows(mesh, members)])
    )


def _rows(mesh: Mesh, members: np.ndarray):
    """(cell type, cell numbers, nodes) of these cells, type by type."""
    start = 0
    for kind, nodes in mesh.cells.items():
        inside = members[(members >= start) & (members < start + len(nodes))]
        if len(inside):
            yield kind, inside, nodes[inside - start]
        start += len(nodes)


def _write_nodes(file: BinaryIO, points: np.ndarray, entities) -> None:
    count = len(points)
    dimension, tag = max(((e[0], e[1]) for e in entities), default=(0, 1))
    file.write(b"$Nodes\n" + struct.pack("=4Q", 1, count, min(1, count), count))
    file.write(struct.pack("=3iQ", dimension, tag, 0, count))
    file.write(np.arange(1, count + 1, dtype="=u8").tobytes())
    file.write(points.astype("=f8").tobytes() + b"\n$EndNodes\n")


def _write_elements(file: BinaryIO, mesh: Mesh, entities) -> None:
    blocks = [
        (dimension, tag, *rows)
        for dimension, tag, _, cells in entities
        for rows in _rows(mesh, cells)
    ]
    count = sum(len(block[3]) for block in blocks)
    head = struct.pack("=4Q", len(blocks), count, min(1, count), count)
    file.write(b"$Elements\n" + head)
    for dimension, tag, kind, numbers, nodes in blocks:
        element = BY_CELL_TYPE[kind]
        file.write(struct.pack("=3iQ", dimension, tag, element.code, len(numbers)))
        rows = np.concatenate([numbers[:, None], element.from_vtk(nodes)], axis=1) + 1
        file.write(rows.astype("=u8").tobytes())
    file.write(b"\n$EndElements\n")


def _write_data(file: BinaryIO, section: str, name: str, values: np.ndarray) -> None:
    rows = _padded(values)
    head = f'${section}\n1\n"{name}"\n1\n0.0\n3\n0\n{rows.shape[1]}\n{len(rows)}\n'
    dtype = np.dtype([("tag", "=i4"), ("values", "=f8", (rows.shape[1],))])
    block = np.zeros(len(rows), dtype)
    block["tag"], block["values"] = np.arange(1, len(rows) + 1), rows
    file.write(head.encode() + block.tobytes() + f"\n$End{section}\n".encode())


def _largest(values: np.ndarray) -> int:
    return max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0


def _padded(values: np.ndarray) -> np.ndarray:
    """(N, components) float64; 2-D vectors and tensors padded to 3-D ones."""
    count, shape = len(values), values.shape[1:]
    if shape == (2,):
        return np.concatenate([values, np.zeros((count, 1))], axis=1).astype(np.float64)
    if shape == (2, 2):
        padded = np.zeros((count, 3, 3))
        padded[:, :2, :2] = values
        return padded.reshape(count, 9)
    return values.reshape(count, int(np.prod(shape, dtype=int))).astype(np.float64)
