"""Writing: the format by suffix, what it can hold, the whole file or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from isofield.files import refusal
from isofield.io import planar
from isofield.io.capacity import fitted
from isofield.io.door import named
from isofield.io.registry import (
    Format,
    FormatError,
    MeshWarning,
    all_formats,
    formats,
)
from isofield.mesh import Mesh
from isofield.series import MeshSeries


def write(path: str | os.PathLike, mesh: Mesh, *, lossy: bool = False) -> None:
    """Write the mesh in the format of the suffix, the whole file or nothing.

    lossy : False refuses a mesh of which the format would lose something and lists it,
        before any file is touched; True leaves it out with one `MeshWarning`.

    The file is written beside its place and then renamed; an existing file stays as it
    is until then.

    Raises `FormatError` where the format cannot be written or cannot hold the mesh.
    """
    path = Path(path)
    chosen, write_file = written_by(path, "write")
    ready = _storable(path, mesh, chosen, lossy, set())
    with _neighbour(path) as beside:
        named(path, lambda: write_file(beside, ready), "not written: ")


def write_series(
    path: str | os.PathLike, series: MeshSeries, *, lossy: bool = False
) -> None:
    """Write all steps in the format of the suffix, the whole series or nothing.

    Steps are read from the series and written one by one, so that memory holds one of
    them. `.pvd` writes a .vtu file for each into the folder NAME.steps beside it,
    `.xdmf` all arrays into NAME.h5, a mesh that does not change once. What is written
    comes back bit-equal by `read_series`, the times too.

    lossy : as for `write`; what is left out is said once.

    What stood at the path stays until all steps are written. Raises `FormatError` for a
    format of single meshes, for a step that it cannot hold, and for times that are not
    finite or come twice; what the series raises as a step is read is passed on.
    """
    path = Path(path)
    chosen, writer = written_by(path, "series_writer")
    times = series.times
    if not len(times) or not np.isfinite(times).all() or len(set(times)) < len(times):
        raise FormatError(
            f"{path}: expected at least one step and times that are finite, each once, "
            f"got {len(times)} times, {len(set(times))} of them different"
        )
    before = chosen.beside(path) if chosen.beside and path.exists() else []
    said: set[str] = set()
    with _neighbour(path) as beside, writer(beside, path) as add:
        for number, time in enumerate(times.tolist()):
            ready = _storable(path, series[number], chosen, lossy, said)
            named(path, lambda t=time, m=ready: add(t, m), "not written: ")
            del ready
    for file in before:
        file.unlink(missing_ok=True)
    for folder in {file.parent for file in before}:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def written_by(
    path: Path, kind: Literal["write", "series_writer"]
) -> tuple[Format, Any]:
    """The format for the suffix, and its function that writes; else `FormatError`."""
    if path.is_dir():
        raise FormatError(f"{path}: {refusal(path)}")
    known = formats(path)
    candidates = [one for one in known if getattr(one, kind) is not None]
    if not candidates and kind == "series_writer":
        able = sorted({s for f in all_formats() if f.series_writer for s in f.suffixes})
        raise FormatError(
            f"{path}: {path.suffix} files are not written as series; {' '.join(able)} "
            "are"
        )
    if not candidates:
        able = any(one.series_writer is not None for one in known)
        hint = ", but by write_series" if able else ""
        raise FormatError(
            f"{path}: {path.suffix} files can be read but not written{hint}"
        )
    if why := refusal(path):
        raise FormatError(f"{path}: {why}")
    return candidates[0], getattr(candidates[0], kind)


def _storable(
    path: Path, mesh: Mesh, chosen: Format, lossy: bool, said: set[str]
) -> Mesh:
    """What the format holds of the mesh, its points with three columns.

    said : what was left out before, and is not said again; added to.
    """
    bad = np.flatnonzero(~np.isfinite(mesh.points).all(axis=1))
    if len(mesh.points) == 0 or len(bad):
        what = f"{len(bad)} points that are not finite" if len(bad) else "no points"
        raise FormatError(f"{path}: the mesh has {what}; nothing was written")
    fitting, lost = fitted(mesh, chosen)
    if lost and not lossy:
        raise FormatError(
            f"{path}: {chosen.name} cannot hold {'; '.join(lost)}; nothing was "
            "written. Choose another format (.vtu holds most), or leave it out by "
            "lossy=True"
        )
    if new := [what for what in lost if what not in said]:
        warnings.warn(
            f"{path}: {chosen.name} cannot hold and leaves out {'; '.join(new)}",
            MeshWarning,
            stacklevel=3,
        )
        said.update(new)
    mesh = fitting
    if not any(map(len, mesh.cells.values())) and not chosen.clouds:
        raise FormatError(f"{path}: {chosen.name} cannot hold points without cells")
    return planar.padded(mesh, marked=chosen.holds.field_data is not None)


@contextmanager
def _neighbour(path: Path) -> Iterator[Path]:
    """A name in a folder beside `path`; what was written there is renamed at the end,
    the main file last, and removed where something failed."""
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder / path.name
        names = sorted(os.listdir(folder), key=lambda name: name == path.name)
        for name in names:
            os.replace(folder / name, path.parent / name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
