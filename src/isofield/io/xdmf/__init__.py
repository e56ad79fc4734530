"""XDMF files (`.xdmf`, `.xmf`): read, as time series too, and written.

Heavy data is read from HDF5, from binary files and from the text itself; written to the
HDF5 file of the same name. Meshes that the steps of a series share by XInclude,
functions of FEniCS checkpoints and tags of dolfinx are understood.
"""

from __future__ import annotations

from isofield.io import sets
from isofield.io.registry import FLOATS, INTEGERS, Arrays, Format, Holds
from isofield.io.xdmf.elements import NUMBERS
from isofield.io.xdmf.read import read_xdmf, read_xdmf_series
from isofield.io.xdmf.write import write_xdmf, xdmf_series_writer

__all__ = ["FORMAT"]

_DATA = Arrays(FLOATS | INTEGERS | {"bool"}, lambda shape: all(shape), sets.NAMES)
FORMAT = Format(
    name="XDMF",
    suffixes=(".xdmf", ".xmf"),
    read=read_xdmf,
    write=write_xdmf,
    series=read_xdmf_series,
    series_writer=xdmf_series_writer,
    clouds=True,
    apart=True,
    holds=Holds(
        cells=frozenset(NUMBERS),
        point_data=_DATA,
        cell_data=_DATA,
        field_data=Arrays(_DATA.dtypes | {"str"}, names=sets.OTHER_NAMES),
        point_sets=sets.NAMES,
        cell_sets=sets.NAMES,
        facet_sets=sets.NAMES,
    ),
)
