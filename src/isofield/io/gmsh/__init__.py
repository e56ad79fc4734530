"""Gmsh's `.msh` files: 2.x, 4.0 and 4.1 are read, text and binary; 4.1 is written.

Physical groups are the cell sets; a group without a name is called "tag <dimension>
<number>", and groups of one name in several dimensions are one set. Cells of lower
dimension stay cells. Points and cells come in the order of their numbers in the file.
Geometry (entities), periodic sections, partitions and parametric coordinates are passed
over.
"""

from __future__ import annotations

from pathlib import Path

from isofield.io import sets
from isofield.io.gmsh.elements import BY_CELL_TYPE
from isofield.io.gmsh.read import read_gmsh, read_gmsh_series
from isofield.io.gmsh.write import fitted_gmsh, write_gmsh
from isofield.io.registry import FLOATS, INTEGERS, Arrays, Format, Holds

__all__ = ["FORMAT"]

_FIELDS = Arrays(FLOATS | INTEGERS, names=r'[^"\r\n]+')


def _claims(path: Path) -> bool:
    with open(path, "rb") as file:
        return b"$" in file.read(64)


FORMAT = Format(
    name="Gmsh",
    suffixes=(".msh",),
    read=read_gmsh,
    write=write_gmsh,
    fitted=fitted_gmsh,
    series=read_gmsh_series,
    holds=Holds(
        cells=frozenset(BY_CELL_TYPE),
        point_data=_FIELDS,
        cell_data=_FIELDS,
        field_data=Arrays(FLOATS | INTEGERS | {"str"}, names=sets.OTHER_NAMES),
        cell_sets=r'[^"\r\n]+',
    ),
    claims=_claims,
)
