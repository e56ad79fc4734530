"""Reference cells: nodes, shape functions, facets and subdivision of every cell type."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CellType:
    """A reference cell, nodes in VTK's order."""

    name: str
    dimension: int
    order: int
    nodes: int


CELL_TYPES: dict[str, CellType] = {
    name: CellType(name, dimension, order, nodes)
    for name, dimension, order, nodes in [
        ("vertex", 0, 1, 1),
        ("line", 1, 1, 2),
        ("line3", 1, 2, 3),
        ("triangle", 2, 1, 3),
        ("triangle6", 2, 2, 6),
        ("triangle7", 2, 2, 7),
        ("quad", 2, 1, 4),
        ("quad8", 2, 2, 8),
        ("quad9", 2, 2, 9),
        ("tetra", 3, 1, 4),
        ("tetra10", 3, 2, 10),
        ("hexahedron", 3, 1, 8),
        ("hexahedron20", 3, 2, 20),
        ("hexahedron27", 3, 2, 27),
        ("wedge", 3, 1, 6),
        ("wedge15", 3, 2, 15),
        ("wedge18", 3, 2, 18),
        ("pyramid", 3, 1, 5),
        ("pyramid13", 3, 2, 13),
        ("pyramid14", 3, 2, 14),
    ]
}
