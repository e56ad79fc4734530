"""From Gmsh's node and element numbers to a mesh with its cell sets."""

from __future__ import annotations

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.gmsh.content import Content
from isofield.io.registry import FormatError
from isofield.mesh import Mesh


def mesh_of(content: Content) -> tuple[Mesh, np.ndarray, np.ndarray]:
    """The mesh, the node number of each point, the element number of each cell."""
    node_tags, places = np.unique(content.node_tags, return_index=True)
    if len(node_tags) < len(content.node_tags):
        raise FormatError(
            f"{len(content.node_tags) - len(node_tags)} node numbers appear twice"
        )
    grouped: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for block in content.elements:
        if len(block.tags):
            grouped.setdefault(block.element.cell_type, []).append(
                (block.tags, block.nodes)
            )
    cells, tags = {}, []
    joined = {
        kind: [np.concatenate(part) for part in zip(*blocks, strict=True)]
        for kind, blocks in grouped.items()
    }
    for kind, (numbers, nodes) in sorted(
        joined.items(), key=lambda item: min(item[1][0])
    ):
        order = np.argsort(numbers, kind="stable")
        tags.append(numbers[order])
        cells[kind] = _indices(node_tags, nodes[order], kind)
    cell_tags = np.concatenate(tags) if tags else np.zeros(0, np.int64)
    sets = _cell_sets(content, cells, cell_tags)
    return Mesh(content.points[places], cells, cell_sets=sets), node_tags, cell_tags


def _indices(node_tags: np.ndarray, nodes: np.ndarray, kind: str) -> np.ndarray:
    """Node numbers of the file -> places in `node_tags`, which is sorted."""
    places = np.searchsorted(node_tags, nodes)
    places = np.minimum(places, max(len(node_tags) - 1, 0))
    missing = (
        nodes != node_tags[places] if len(node_tags) else np.ones(nodes.shape, bool)
    )
    if missing.any():
        raise FormatError(
            f"{int(missing.any(axis=1).sum())} {kind} cells name nodes that are not in "
            f"$Nodes, as node {nodes[missing][0]}"
        )
    return places


def _cell_sets(
    content: Content, cells: dict[str, np.ndarray], cell_tags: np.ndarray
) -> dict[str, np.ndarray]:
    """Physical groups as sorted cell numbers; named groups may be empty."""
    dimensions = np.concatenate(
        [np.full(len(n), CELL_TYPES[k].dimension) for k, n in cells.items()]
        or [np.zeros(0, int)]
    )
    members: dict[str, list[np.ndarray]] = {}
    for key in sorted({*content.groups, *content.names}):
        name = content.names.get(key) or f"tag {key[0]} {key[1]}"
        found = members.setdefault(name, [])
        for tags in content.groups.get(key, []):
            found.append(
                np.flatnonzero(np.isin(cell_tags, tags) & (dimensions == key[0]))
            )
    return {
        name: np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
        for name, found in members.items()
    }
