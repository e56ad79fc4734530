"""Element types of Gmsh: their numbers and their node order against VTK's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isofield.cells import CELL_TYPES


@dataclass(frozen=True)
class Element:
    """A Gmsh element type; `order[i]` is the Gmsh place of VTK's node i."""

    code: int
    cell_type: str
    order: tuple[int, ...]

    @property
    def dimension(self) -> int:
        return CELL_TYPES[self.cell_type].dimension

    def to_vtk(self, nodes: np.ndarray) -> np.ndarray:
        """(T, n) nodes in Gmsh's order -> the same in VTK's order."""
        return nodes[:, self.order]

    def from_vtk(self, nodes: np.ndarray) -> np.ndarray:
        """(T, n) nodes in VTK's order -> the same in Gmsh's order."""
        return nodes[:, np.argsort(self.order)]


def _element(code: int, cell_type: str, *swapped: int) -> Element:
    """`swapped`: the last entries of the order, where it is not the identity."""
    plain = CELL_TYPES[cell_type].nodes - len(swapped)
    return Element(code, cell_type, (*range(plain), *swapped))


_HEX_EDGES = (8, 11, 13, 9, 16, 18, 19, 17, 10, 12, 14, 15)
_WEDGE_EDGES = (6, 9, 7, 12, 14, 13, 8, 10, 11)
_PYRAMID_EDGES = (5, 8, 10, 6, 7, 9, 11, 12)

ELEMENTS: dict[int, Element] = {
    element.code: element
    for element in [
        _element(15, "vertex"),
        _element(1, "line"),
        _element(8, "line3"),
        _element(2, "triangle"),
        _element(9, "triangle6"),
        _element(3, "quad"),
        _element(16, "quad8"),
        _element(10, "quad9"),
        _element(4, "tetra"),
        _element(11, "tetra10", 9, 8),
        _element(5, "hexahedron"),
        _element(17, "hexahedron20", *_HEX_EDGES),
        _element(12, "hexahedron27", *_HEX_EDGES, 22, 23, 21, 24, 20, 25, 26),
        _element(6, "wedge"),
        _element(18, "wedge15", *_WEDGE_EDGES),
        _element(13, "wedge18", *_WEDGE_EDGES, 15, 17, 16),
        _element(7, "pyramid"),
        _element(19, "pyramid13", *_PYRAMID_EDGES),
        _element(14, "pyramid14", *_PYRAMID_EDGES, 13),
    ]
}

BY_CELL_TYPE: dict[str, Element] = {
    element.cell_type: element for element in ELEMENTS.values()
}
