"""One face for the two kinds of NetCDF file: classic, and on top of HDF5."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from isofield.io.registry import FormatError


class Store:
    """Variables, dimensions and texts of an open NetCDF file, always as copies."""

    def __init__(self, variables: Any, sizes: dict[str, int]):
        self._variables, self.sizes = variables, sizes

    def __contains__(self, name: str) -> bool:
        return name in self._variables

    def array(self, name: str, row: int | None = None) -> np.ndarray:
        """A variable, or one row of it, in this machine's byte order."""
        if name not in self._variables:
            raise FormatError(f"the variable {name} is missing")
        values = np.array(self._variables[name][slice(None) if row is None else row])
        return values.astype(values.dtype.newbyteorder("="))

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._variables[name].shape)

    def text(self, name: str, attribute: str) -> str:
        """An attribute of a variable as text; empty where it is missing."""
        variable = self._variables[name]
        attributes = getattr(variable, "attrs", None)
        if attributes is None:
            attributes = variable._attributes
        value = attributes.get(attribute, b"")
        value = bytes(value) if isinstance(value, bytes) else str(value).encode()
        return value.split(b"\0")[0].decode("utf-8", "replace").strip()

    def names(self, name: str) -> list[str]:
        """A table of characters as a list of texts."""
        if name not in self._variables:
            return []
        table = self.array(name)
        if table.ndim != 2 or not table.size:
            return []
        rows = [bytes(b"".join(row)) for row in table.astype("S1").tolist()]
        # joining drops nothing: a null ends the text
        return [row.split(b"\0")[0].decode("utf-8", "replace").strip() for row in rows]


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """The open file; raises `FormatError` where it is no NetCDF file."""
    with open(path, "rb") as file:
        magic = file.read(8)
    if magic[:4] in (b"CDF\x01", b"CDF\x02"):
        from scipy.io import netcdf_file

        file = netcdf_file(str(path), "r", mmap=False)
        try:
            sizes = {k: v or 0 for k, v in file.dimensions.items()}
            yield Store(file.variables, sizes)
        finally:
            file.close()
    elif magic == b"\x89HDF\r\n\x1a\n":
        import h5py

        with h5py.File(path, "r") as file:
            sizes = {
                name: int(item.shape[0])
                for name, item in file.items()
                if isinstance(item, h5py.Dataset)
                and item.attrs.get("CLASS") == b"DIMENSION_SCALE"
                and item.shape
            }
            yield Store(file, sizes)
    elif magic[:4] == b"CDF\x05":
        raise FormatError(
            "NetCDF of the 64-bit-data kind (CDF-5); convert it with nccopy -k nc4"
        )
    else:
        raise FormatError("neither a classic nor an HDF5-based NetCDF file")
