"""Element types of CGNS: their numbers and their node order against VTK's."""

from __future__ import annotations

from isofield.io.registry import FormatError

MIXED = 20
_TYPES = {
    2: "vertex",
    3: "line",
    4: "line3",
    5: "triangle",
    6: "triangle6",
    7: "quad",
    8: "quad8",
    9: "quad9",
    10: "tetra",
    11: "tetra10",
    12: "pyramid",
    13: "pyramid14",
    14: "wedge",
    15: "wedge15",
    16: "wedge18",
    17: "hexahedron",
    18: "hexahedron20",
    19: "hexahedron27",
    21: "pyramid13",
}
_HEX_EDGES = (*range(12), 16, 17, 18, 19, 12, 13, 14, 15)
_WEDGE_EDGES = (*range(9), 12, 13, 14, 9, 10, 11)
# place in the file of VTK's node i
ORDERS: dict[str, tuple[int, ...]] = {
    "hexahedron20": _HEX_EDGES,
    "hexahedron27": (*_HEX_EDGES, 24, 22, 21, 23, 20, 25, 26),
    "wedge15": _WEDGE_EDGES,
    "wedge18": (*_WEDGE_EDGES, 15, 16, 17),
}


def cell_type(code: int) -> str:
    """The cell type with this number; raises `FormatError`."""
    if code not in _TYPES:
        kind = {22: " (polygons)", 23: " (polyhedra)"}.get(code, "")
        raise FormatError(
            f"CGNS element type {code}{kind} is not read; cells of first and second "
            f"order of the usual shapes are"
        )
    return _TYPES[code]
