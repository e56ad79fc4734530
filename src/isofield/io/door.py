"""Reading: the format by suffix, the checks, errors of one line."""

from __future__ import annotations

import lzma
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from isofield.io import planar
from isofield.io.registry import (
    Format,
    FormatError,
    MeshWarning,
    formats,
)
from isofield.mesh import Mesh
from isofield.series import MeshSeries

# all that the readers of third parties were seen to raise on damaged files; what one
# file of many may raise without stopping the others
READER_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    SystemExit,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zlib.error,
)
Result = TypeVar("Result")


def read(
    path: str | os.PathLike,
    *,
    dimension: int | None = None,
    check: bool = True,
    isolate: bool = True,
) -> Mesh:
    """The mesh in a file, its fields and named sets, in the format of its suffix.

    path : a file, or the folder of an OpenFOAM case.
    dimension : 2 or 3; None gives 2-D points where every z is exactly 0 and there are
        no volume cells, else 3-D points. Meshes written from 2-D therefore return in
        2-D, bit-equal.
    check : validate what was read: inverted, zero-measure and duplicate cells, orphan
        nodes and non-finite values in fields are counted in one `MeshWarning`.
    isolate : run readers that can end the process on damaged files (VTK's) in a child
        process with a time limit.

    A file of points without cells is read where its format knows point clouds.

    Raises `FormatError`, one line that names the file, where the file is missing,
    empty, truncated or of another format, or where points are missing or not finite.
    """
    path = _existing(path)
    if dimension not in (None, 2, 3):
        raise FormatError(f"dimension: expected 2, 3 or None, got {dimension!r}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        raw, found = _first(path, lambda one: _run(one, path, isolate))
    mesh = named(path, lambda: planar.unpadded(_whole(raw, found), dimension))
    _report(path, mesh, caught, check)
    return mesh


def read_series(path: str | os.PathLike, *, isolate: bool = True) -> MeshSeries:
    """The steps of a file that knows time, read one by one as they are asked for.

    A file of one mesh only gives a series of one step at time 0. Each step is checked
    as in `read`, without the report.

    Raises `FormatError` as `read` does, at once or when a damaged step is asked for.
    """
    path = _existing(path)
    series, found = _first(path, lambda one: _steps(one, path, isolate))

    def step(number: int) -> Mesh:
        return named(path, lambda: planar.unpadded(_whole(series[number], found), None))

    return MeshSeries(series.times, step)


def _existing(path: str | os.PathLike) -> Path:
    path = Path(path)
    if path.is_dir():
        if any(one.claims is not None and one.claims(path) for one in formats(path)):
            return path
        raise FormatError(
            f"{path}: is a folder and no OpenFOAM case; give the name of a mesh file"
        )
    if not path.exists():
        raise FormatError(f"{path}: no such file")
    if not os.access(path, os.R_OK):
        raise FormatError(f"{path}: no permission to read it")
    if path.stat().st_size == 0 and not any(one.marker for one in formats(path)):
        raise FormatError(f"{path}: the file is empty")
    return path


def _first(path: Path, attempt: Callable[[Format], Result]) -> tuple[Result, Format]:
    """The result of the first format that can read the file; else its complaint."""
    candidates = [one for one in formats(path) if one.read is not None]
    if not candidates:
        raise FormatError(f"{path}: {path.suffix} files can be written but not read")
    if len(candidates) > 1:
        claiming = [c for c in candidates if c.claims is None or c.claims(path)]
        candidates = claiming or candidates[:1]
    failures: list[FormatError] = []
    for one in candidates:
        try:
            kind = f"not a readable {one.name} file: "
            return named(path, lambda one=one: attempt(one), kind), one
        except FormatError as error:
            failures.append(error)
    raise failures[0]


def named(path: Path, action: Callable[[], Result], kind: str = "") -> Result:
    """Run `action`; whatever fails in it becomes one line that begins with the path."""
    try:
        return action()
    except READER_FAILURES as error:
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            text = error.strerror
        elif not isinstance(error, ValueError):
            text = f"{type(error).__name__}: {text}"
        if text.startswith(str(path)):
            raise FormatError(text) from error
        raise FormatError(f"{path}: {kind}{text[:400]}") from error


def _run(chosen: Format, path: Path, isolate: bool) -> Mesh:
    if chosen.risky and isolate:
        from isofield.io.isolation import read_in_child

        return read_in_child(chosen, path)
    if chosen.read is None:
        raise FormatError(f"{chosen.name} cannot be read")
    return chosen.read(path)


def _steps(chosen: Format, path: Path, isolate: bool) -> MeshSeries:
    if chosen.series is None:
        return MeshSeries(np.zeros(1), lambda number: _run(chosen, path, isolate))
    if chosen.risky and isolate:
        from isofield.io.isolation import series_in_child

        return series_in_child(chosen, path)
    return chosen.series(path)


def _whole(mesh: Mesh, chosen: Format) -> Mesh:
    """The mesh, where it is one: with points, with cells, all of it finite."""
    if len(mesh.points) == 0:
        raise FormatError(f"not a readable {chosen.name} file: there are no points")
    if not any(map(len, mesh.cells.values())) and not chosen.clouds:
        raise FormatError(
            f"not a readable {chosen.name} file: {len(mesh.points)} points and no cells"
        )
    bad = np.flatnonzero(~np.isfinite(mesh.points).all(axis=1))
    if len(bad):
        raise FormatError(
            f"{len(bad)} of {len(mesh.points)} points are not finite (first: point "
            f"{bad[0]}, {mesh.points[bad[0]].tolist()}); mend the program that wrote it"
        )
    return mesh


def _report(
    path: Path, mesh: Mesh, caught: list[warnings.WarningMessage], check: bool
) -> None:
    """One warning for all that the reader and the validation have to say."""
    remarks = []
    for warning in caught:
        if issubclass(warning.category, MeshWarning):
            remarks.append(str(warning.message))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    if check and not (report := mesh.validate()).ok:
        remarks.append(" ".join(str(report).split()))
    if remarks:
        warnings.warn(f"{path}: {'; '.join(remarks)}", MeshWarning, stacklevel=3)
