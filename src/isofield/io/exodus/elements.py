"""Element types of Exodus: cell types, node order, side numbering."""

from __future__ import annotations

import re

from isofield.io.registry import FormatError

_FLAT = {
    3: "triangle",
    6: "triangle6",
    7: "triangle7",
    4: "quad",
    8: "quad8",
    9: "quad9",
}
# first letters of the type, digits and case dropped -> cell type by number of nodes
_FAMILIES: list[tuple[str, dict[int, str]]] = [
    (r"SPHERE|CIRCLE|POINT|NODE(ELEM)?|VERTEX|MASS", {1: "vertex"}),
    (r"BAR|BEAM|TRUSS|EDGE|ROD|LINE|SPRING|RIGID|LINK", {2: "line", 3: "line3"}),
    (r"TRI|TRIANGLE|TRISHELL", {n: _FLAT[n] for n in (3, 6, 7)}),
    (r"QUAD|QUADRILATERAL", {n: _FLAT[n] for n in (4, 8, 9)}),
    (r"SHELL|MEMBRANE", _FLAT),
    (r"TET|TETRA|TETRAHEDRON", {4: "tetra", 10: "tetra10"}),
    (
        r"HEX|HEXAHEDRON",
        {8: "hexahedron", 20: "hexahedron20", 27: "hexahedron27"},
    ),
    (r"WEDGE|PRISM|PENTA", {6: "wedge", 15: "wedge15", 18: "wedge18"}),
    (
        r"PYR|PYRA|PYRAMID",
        {5: "pyramid", 13: "pyramid13", 14: "pyramid14"},
    ),
]
_HEX_EDGES = (*range(12), 16, 17, 18, 19, 12, 13, 14, 15)
_WEDGE_EDGES = (*range(9), 12, 13, 14, 9, 10, 11)
# place in the file of VTK's node i
ORDERS: dict[str, tuple[int, ...]] = {
    "hexahedron20": _HEX_EDGES,
    "hexahedron27": (*_HEX_EDGES, 23, 24, 25, 26, 21, 22, 20),
    "wedge15": _WEDGE_EDGES,
    "wedge18": (*_WEDGE_EDGES, 15, 16, 17),
}
# corners of sides 1, 2, ... of each shape
_SIDES: dict[str, tuple[tuple[int, ...], ...]] = {
    "line": ((0,), (1,)),
    "triangle": ((0, 1), (1, 2), (2, 0)),
    "quad": ((0, 1), (1, 2), (2, 3), (3, 0)),
    "tetra": ((0, 1, 3), (1, 2, 3), (0, 3, 2), (0, 2, 1)),
    "pyramid": ((0, 1, 4), (1, 2, 4), (2, 3, 4), (0, 4, 3), (0, 3, 2, 1)),
    "wedge": ((0, 1, 4, 3), (1, 2, 5, 4), (0, 3, 5, 2), (0, 2, 1), (3, 4, 5)),
    "hexahedron": (
        (0, 1, 5, 4),
        (1, 2, 6, 5),
        (2, 3, 7, 6),
        (0, 4, 7, 3),
        (0, 3, 2, 1),
        (4, 5, 6, 7),
    ),
}


def cell_type(name: str, nodes: int) -> str:
    """The cell type of an element block; raises `FormatError`."""
    word = re.sub(r"[\d_]+[A-Z]*$", "", name.strip().upper())
    for pattern, kinds in _FAMILIES:
        if re.fullmatch(pattern, word) and nodes in kinds:
            return kinds[nodes]
    raise FormatError(
        f"elements of type {name or '(empty)'} with {nodes} nodes are not known here; "
        f"cells of first and second order of the usual shapes are read"
    )


def sides(kind: str, *, shell: bool) -> tuple[tuple[int, ...], ...]:
    """Corners of sides 1, 2, ...; the two faces of a shell come first, as ()."""
    edges = _SIDES.get(kind.rstrip("0123456789"), ())
    return ((), (), *edges) if shell else edges
