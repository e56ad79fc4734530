"""Element types of Abaqus and CalculiX: cell types, node order, faces."""

from __future__ import annotations

import re
from functools import cache

from isofield.io.registry import FormatError

_COUNTED = {
    3: "triangle",
    6: "triangle6",
    4: "quad",
    8: "quad8",
    9: "quad9",
}
_SOLIDS = {
    4: "tetra",
    10: "tetra10",
    5: "pyramid",
    13: "pyramid13",
    6: "wedge",
    15: "wedge15",
    8: "hexahedron",
    20: "hexahedron20",
    27: "hexahedron27",
}
# name pattern -> cell type, or the cell types by the number caught in the pattern
_FAMILIES: list[tuple[str, str | dict[int, str]]] = [
    (r"C3D15V", "wedge18"),
    (r"(?:C3D|DC3D|DCC3D|AC3D|SC|CSS|COH3D|Q3D|EC3D|F3D|GK3D)(\d+)[A-Z]*", _SOLIDS),
    (
        r"(?:CPS|CPE|CPEG|CAX|CGAX|CAXA|DC2D|DCC2D|DCAX|DCCAX|AC2D|ACAX|WARP2D|M3D|"
        r"R3D|SFM3D|DS|S|STRI|COH2D|COHAX|CPEF|CPSF)(\d)\d?(?:[A-Z]+5?)?",
        _COUNTED,
    ),
    (r"(?:T[23]D|R2D|RAX|DC1D|AC1D|M2D|RB[23]D)2[A-Z]*", "line"),
    (r"(?:T[23]D|DC1D|AC1D)3[A-Z]*", "line3"),
    (r"(?:B|PIPE|ELBOW)[23][13][A-Z]*|FRAME[23]D|(?:D?S|M|SFM)AX1[A-Z]*", "line"),
    (r"(?:B|PIPE|ELBOW)[23]2[A-Z]*|(?:D?S|M|SFM)AX2[A-Z]*", "line3"),
    (r"CONN[23]D2|SPRING[A2]|DASHPOT[A2]|GAPUNI[T]?|GAPSPHER|GAPCYL|D", "line"),
    (r"MASS|ROTARYI|SPRING1|DASHPOT1|HEATCAP|PD3D", "vertex"),
]
# place in the file of VTK's node i
ORDERS: dict[str, tuple[int, ...]] = {
    # three-node beams and trusses count along the axis, the middle node second
    "line3": (0, 2, 1),
    "hexahedron27": (*range(20), 26, 24, 23, 25, 21, 22, 20),
}
# the written type of each cell type: in the plane, in space
WRITTEN: dict[str, tuple[str, str]] = {
    "vertex": ("MASS", "MASS"),
    "line": ("T2D2", "T3D2"),
    "line3": ("T2D3", "T3D3"),
    "triangle": ("CPS3", "S3"),
    "triangle6": ("CPS6", "STRI65"),
    "quad": ("CPS4", "S4"),
    "quad8": ("CPS8", "S8R"),
    "quad9": ("M3D9", "S9R5"),
    "tetra": ("C3D4", "C3D4"),
    "tetra10": ("C3D10", "C3D10"),
    "hexahedron": ("C3D8", "C3D8"),
    "hexahedron20": ("C3D20", "C3D20"),
    "hexahedron27": ("C3D27", "C3D27"),
    "wedge": ("C3D6", "C3D6"),
    "wedge15": ("C3D15", "C3D15"),
    "wedge18": ("C3D15V", "C3D15V"),
    "pyramid": ("C3D5", "C3D5"),
    "pyramid13": ("C3D13", "C3D13"),
}
# corners of faces S1, S2, ... of each shape
FACES: dict[str, tuple[tuple[int, ...], ...]] = {
    "triangle": ((0, 1), (1, 2), (2, 0)),
    "quad": ((0, 1), (1, 2), (2, 3), (3, 0)),
    "tetra": ((0, 1, 2), (0, 3, 1), (1, 3, 2), (2, 3, 0)),
    "pyramid": ((0, 1, 2, 3), (0, 4, 1), (1, 4, 2), (2, 4, 3), (3, 4, 0)),
    "wedge": ((0, 1, 2), (3, 5, 4), (0, 3, 4, 1), (1, 4, 5, 2), (2, 5, 3, 0)),
    "hexahedron": (
        (0, 1, 2, 3),
        (4, 7, 6, 5),
        (0, 4, 5, 1),
        (1, 5, 6, 2),
        (2, 6, 7, 3),
        (3, 7, 4, 0),
    ),
}


@cache
def cell_type(name: str) -> str:
    """The cell type of the Abaqus element type `name`; raises `FormatError`."""
    for pattern, kinds in _FAMILIES:
        found = re.fullmatch(pattern, name)
        if not found:
            continue
        if isinstance(kinds, str):
            return kinds
        if int(found[1]) in kinds:
            return kinds[int(found[1])]
    raise FormatError(
        f"element type {name} is not known here; remove its *ELEMENT block or write "
        f"the part with a standard type"
    )


def faces(kind: str) -> tuple[tuple[int, ...], ...]:
    """Corner nodes of the faces S1, S2, ... of a cell type; none where it has none."""
    return FACES.get(kind.rstrip("0123456789"), ())
