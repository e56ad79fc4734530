"""meshio's meshes and ours."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io import sets
from isofield.io.registry import FormatError
from isofield.mesh import Mesh


def from_meshio(other: Any) -> Mesh:
    """The mesh that a `meshio.Mesh` holds, fields and sets included.

    Blocks of one cell type are joined, cell data and cell sets follow their cells.
    Point sets and cell sets keep their names; facet sets return from `to_meshio`'s
    field data.

    Raises `FormatError` where a cell type is not one of `isofield.cells.CELL_TYPES`, or
    where it is no such mesh.
    """
    if not hasattr(other, "cells") or not hasattr(other, "cell_sets"):
        raise FormatError(f"expected a meshio.Mesh, got {type(other).__name__}")
    kinds = list(dict.fromkeys(block.type for block in other.cells))
    unknown = [kind for kind in kinds if kind not in CELL_TYPES]
    if unknown:
        raise FormatError(f"cells of unknown type {unknown}; known: {list(CELL_TYPES)}")
    order = [i for kind in kinds for i, b in enumerate(other.cells) if b.type == kind]
    cells = {
        kind: np.concatenate(
            [np.asarray(b.data) for b in other.cells if b.type == kind]
        )
        for kind in kinds
    }
    cell_data = {
        name: np.concatenate([np.asarray(blocks[i]) for i in order])
        for name, blocks in other.cell_data.items()
        if order
    }
    starts = np.cumsum([0, *(len(other.cells[i].data) for i in order)])
    cell_sets = {
        name: np.concatenate(
            [
                np.asarray(blocks[i] if blocks[i] is not None else [], np.int64) + start
                for i, start in zip(order, starts, strict=False)
            ]
        )
        for name, blocks in other.cell_sets.items()
    }
    fields, named = sets.from_arrays(other.field_data)
    named["cell_sets"] |= cell_sets
    named["point_sets"] |= {
        name: np.asarray(members, np.int64)
        for name, members in other.point_sets.items()
    }
    return Mesh(
        points=np.asarray(other.points, np.float64),
        cells=cells,
        point_data=dict(other.point_data),
        cell_data=cell_data,
        field_data=fields,
        **named,
    )


def to_meshio(mesh: Mesh) -> Any:
    """The `meshio.Mesh` with the same points, cells, fields and sets.

    Facet sets, which meshio does not know, become field data under
    `"isofield:facet_set:<name>"`. The law obeyed: `from_meshio(to_meshio(mesh))` is
    `mesh`, bit for bit.

    Raises `FormatError` for cell types that meshio does not have (triangle7,
    wedge15, pyramid13).
    """
    import meshio
    from meshio._mesh import topological_dimension

    unknown = [kind for kind in mesh.cells if kind not in topological_dimension]
    if unknown:
        raise FormatError(f"meshio has no cells of type {unknown}")
    sizes = np.cumsum([len(nodes) for nodes in mesh.cells.values()])
    starts = np.concatenate([[0], sizes]).astype(np.int64)

    def blocks(values: np.ndarray) -> list[np.ndarray]:
        return np.split(values, starts[1:-1])

    facets = {
        f"{sets.PREFIX}facet_set:{name}": members.copy()
        for name, members in mesh.facet_sets.items()
    }
    return meshio.Mesh(
        mesh.points.copy(),
        [(kind, nodes.copy()) for kind, nodes in mesh.cells.items()],
        point_data={name: values.copy() for name, values in mesh.point_data.items()},
        cell_data={
            name: [part.copy() for part in blocks(values)]
            for name, values in mesh.cell_data.items()
        },
        field_data={**mesh.field_data, **facets},
        point_sets={name: members.copy() for name, members in mesh.point_sets.items()},
        cell_sets={
            name: [
                members[(members >= start) & (members < end)] - start
                for start, end in itertools.pairwise(starts)
            ]
            for name, members in mesh.cell_sets.items()
        },
    )
