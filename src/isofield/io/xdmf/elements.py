"""XDMF's numbers and names of the cell types, and our own attributes."""

from __future__ import annotations

NUMBERS = {
    "vertex": (1, "Polyvertex"),
    "line": (2, "Polyline"),
    "triangle": (4, "Triangle"),
    "quad": (5, "Quadrilateral"),
    "tetra": (6, "Tetrahedron"),
    "pyramid": (7, "Pyramid"),
    "wedge": (8, "Wedge"),
    "hexahedron": (9, "Hexahedron"),
    "line3": (34, "Edge_3"),
    "quad9": (35, "Quadrilateral_9"),
    "triangle6": (36, "Triangle_6"),
    "quad8": (37, "Quadrilateral_8"),
    "tetra10": (38, "Tetrahedron_10"),
    "pyramid13": (39, "Pyramid_13"),
    "wedge15": (40, "Wedge_15"),
    "wedge18": (41, "Wedge_18"),
    "hexahedron20": (48, "Hexahedron_20"),
    "hexahedron27": (50, "Hexahedron_27"),
}
BY_NUMBER = {number: kind for kind, (number, _) in NUMBERS.items()}
BY_NAME = {name.lower(): kind for kind, (_, name) in NUMBERS.items()} | {
    "tri_6": "triangle6",
    "quad_8": "quad8",
    "quad_9": "quad9",
    "tet_10": "tetra10",
    "hex_20": "hexahedron20",
    "hex_27": "hexahedron27",
    "interval": "line",
}
SHAPE, DTYPE, CLOUD = "isofield_shape", "isofield_dtype", "isofield_cloud"
