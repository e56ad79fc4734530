"""Exodus II files (`.e`, `.exo`, `.ex2`, `.g`), classic NetCDF and HDF5-based.

Element blocks are cell sets, node sets are point sets, side sets are facet sets; a side
set on the faces of shells is a cell set. Blocks of one cell type are joined, in the
order of the file. Variables keep their names: the components of a vector are scalars,
as Exodus has them. An element variable is NaN in the blocks that lack it; global
variables are field data. Attributes, distribution factors and the variables of sets are
left out. A file has time steps: `read` gives the last.
"""

from __future__ import annotations

from isofield.io.exodus.read import read_exodus, read_exodus_series
from isofield.io.registry import Format

__all__ = ["FORMAT"]

FORMAT = Format(
    name="Exodus",
    suffixes=(".e", ".exo", ".ex2", ".g"),
    read=read_exodus,
    series=read_exodus_series,
)
