"""What VTK's own readers read: legacy .vtk, structured grids, EnSight, CGNS, AVS."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isofield.io.pyvista_bridge import stored_mesh, to_pyvista
from isofield.io.registry import (
    FLOATS,
    INTEGERS,
    Arrays,
    Format,
    FormatError,
    Holds,
    MeshWarning,
)
from isofield.io.sets import PREFIX
from isofield.io.vtk_cells import VTK_NUMBERS
from isofield.mesh import Mesh
from isofield.series import MeshSeries


def read(path: Path) -> Mesh:
    """What VTK reads from the file; of a time series the last step, with a warning.

    Blocks are joined, their names kept as cell sets (see `from_pyvista`).

    Raises `FormatError` where VTK reads nothing, with VTK's own words.
    """
    with _reader(path) as (reader, complaints):
        times = _times(reader)
        if len(times) > 1:
            warnings.warn(
                f"{len(times)} time steps; the last (time {times[-1]:g}) was read; "
                "read_series gives all",
                MeshWarning,
                stacklevel=2,
            )
            reader.set_active_time_value(float(times[-1]))
        return _mesh(reader, complaints)


def series(path: Path) -> MeshSeries:
    """The steps that VTK's reader names; one step at time 0 where it knows no times."""

    def step(number: int) -> Mesh:
        with _reader(path) as (reader, complaints):
            if len(times) > 1:
                reader.set_active_time_value(float(times[number]))
            return _mesh(reader, complaints)

    with _reader(path) as (reader, _):
        times = _times(reader)
    return MeshSeries(times if len(times) else np.zeros(1), step)


@contextlib.contextmanager
def _reader(path: Path) -> Iterator[tuple[Any, Callable[[], str]]]:
    """PyVista's reader for the suffix, and what VTK has complained of so far."""
    import pyvista
    from vtkmodules.vtkCommonCore import vtkOutputWindow, vtkStringOutputWindow

    window, before = vtkStringOutputWindow(), vtkOutputWindow.GetInstance()
    vtkOutputWindow.SetInstance(window)
    try:
        reader = pyvista.get_reader(path)
        for switch in ("enable_all_point_arrays", "enable_all_cell_arrays"):
            if hasattr(reader, switch):
                getattr(reader, switch)()
        yield reader, lambda: " ".join(str(window.GetOutput()).split())
    finally:
        vtkOutputWindow.SetInstance(before)


def _times(reader: Any) -> np.ndarray:
    values = getattr(reader, "time_values", None) or []
    return np.array(values, dtype=np.float64)


def _mesh(reader: Any, complaints: Callable[[], str]) -> Mesh:
    data = reader.read()
    said = complaints()
    try:
        mesh = stored_mesh(data)
    except FormatError as error:
        raise FormatError(
            f"{error}; VTK says: {said}" if said else str(error)
        ) from error
    if len(mesh.points) == 0:
        raise FormatError(f"VTK reads no points from it; it says: {said or 'nothing'}")
    if "ERR|" in said or "ERROR" in said:
        warnings.warn(f"VTK complains: {said[:300]}", MeshWarning, stacklevel=2)
    return mesh


def write_legacy(path: Path, mesh: Mesh) -> None:
    """A legacy .vtk file, binary, as VTK writes it; sets are field data."""
    to_pyvista(mesh).save(path, binary=True)


def _claims_avs(path: Path) -> bool:
    """Whether five counts follow the comments; binary files begin with the byte 7."""
    with path.open("rb") as file:
        head = file.read(4096)
    lines = [line for line in head.splitlines() if not line.startswith(b"#")]
    words = lines[0].split() if lines else []
    return head[:1] == b"\7" or (len(words) == 5 and all(map(bytes.isdigit, words)))


def _rows(row: tuple[int, ...]) -> bool:
    return row == () or (len(row) == 1 and row[0] > 1)


def fitted_legacy(mesh: Mesh) -> tuple[Mesh, list[str]]:
    """Without field data that have no entries, which VTK does not store."""
    filled = {k: v for k, v in mesh.field_data.items() if np.size(v)}
    lost = [f"field_data[{k!r}] (empty)" for k in mesh.field_data if k not in filled]
    return (replace(mesh, field_data=filled) if lost else mesh), lost


_DATA = Arrays(FLOATS | INTEGERS, _rows, r"\S+")
LEGACY = Format(
    name="legacy VTK",
    suffixes=(".vtk",),
    read=read,
    write=write_legacy,
    fitted=fitted_legacy,
    clouds=True,
    risky=True,
    holds=Holds(
        cells=frozenset(VTK_NUMBERS),
        point_data=_DATA,
        cell_data=_DATA,
        field_data=replace(_DATA, names=rf"(?!{PREFIX})\S+"),
    ),
)
STRUCTURED = Format(
    "VTK",
    (".vti", ".vtr", ".vts", ".pvtu", ".pvtp", ".vtm"),
    read=read,
    apart=True,
    risky=True,
)
ENSIGHT = Format(
    "EnSight", (".case", ".encas"), read=read, series=series, apart=True, risky=True
)
CGNS = Format("CGNS", (".cgns",), read=read, series=series, apart=True, risky=True)
AVS = Format("AVS UCD", (".inp",), read=read, claims=_claims_avs, risky=True)
