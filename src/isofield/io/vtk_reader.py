"""What VTK's own readers read: structured grids, EnSight, CGNS, AVS, legacy files."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from isofield.io.pyvista_bridge import stored_mesh
from isofield.io.registry import Format, FormatError, MeshWarning
from isofield.mesh import Mesh
from isofield.series import MeshSeries


def read(path: Path) -> Mesh:
    """What VTK reads from the file; of a time series the last step, with a warning.

    Blocks are joined, their names kept as cell sets (see `from_pyvista`).

    Raises `FormatError` where VTK reads nothing or a part alone, with VTK's own words.
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
    if "ERROR" in said or "Error" in said:
        raise FormatError(f"VTK reads it in part alone; it says: {said[:300]}")
    if said:
        warnings.warn(f"VTK complains: {said[:300]}", MeshWarning, stacklevel=2)
    return mesh


def _claims_avs(path: Path) -> bool:
    """Whether five counts follow the comments; binary files begin with the byte 7."""
    with path.open("rb") as file:
        head = file.read(4096)
    lines = [line for line in head.splitlines() if not line.startswith(b"#")]
    words = lines[0].split() if lines else []
    return head[:1] == b"\7" or (len(words) == 5 and all(map(bytes.isdigit, words)))


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
