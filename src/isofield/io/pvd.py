"""ParaView collections (.pvd): the times of a list of VTK XML files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np

from isofield.io import joining, vtu
from isofield.io.registry import Add, Format, FormatError, MeshWarning
from isofield.mesh import Mesh
from isofield.series import MeshSeries

STEPS = ".steps"


def series(path: Path) -> MeshSeries:
    """One step for each time in the collection, the parts of one time joined.

    Where the list gives no times, parts aside each file is a step, numbered from 0.

    Raises `FormatError` where a listed file is missing or of another format.
    """
    steps = _steps(path)
    return MeshSeries(
        np.array(list(steps)), lambda number: _step(list(steps.values())[number])
    )


def read(path: Path) -> Mesh:
    """The last step of the collection, with a `MeshWarning` where there are more."""
    steps = series(path)
    if len(steps) > 1:
        warnings.warn(
            f"{len(steps)} time steps; the last (time {steps.times[-1]:g}) was read; "
            "read_series gives all",
            MeshWarning,
            stacklevel=2,
        )
    return steps[-1]


def _steps(path: Path) -> dict[float, list[tuple[str, Path]]]:
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise FormatError(f"no complete XML: {error}") from error
    entries = root.findall("Collection/DataSet")
    if root.get("type") != "Collection" or not entries:
        raise FormatError("expected a <Collection> of type Collection with data sets")
    steps: dict[float, list[tuple[str, Path]]] = {}
    seen: dict[str, int] = {}
    for entry in entries:
        part = entry.get("part", "0")
        noted = entry.get("timestep")
        time = float(seen.get(part, 0)) if noted is None else float(noted)
        seen[part] = seen.get(part, 0) + 1
        file = path.parent / entry.get("file", "")
        if not file.is_file():
            raise FormatError(f"its listed file {entry.get('file')!r} does not exist")
        steps.setdefault(time, []).append((f"part {part}", file))
    return steps


def _step(parts: list[tuple[str, Path]]) -> Mesh:
    meshes = []
    for name, file in parts:
        if file.suffix.lower() not in (".vtu", ".vtp"):
            raise FormatError(f"lists {file.name!r}; only .vtu and .vtp are supported")
        meshes.append((name, vtu.read(file)))
    return meshes[0][1] if len(meshes) == 1 else joining.joined(meshes)


@contextmanager
def series_writer(path: Path, place: Path) -> Iterator[Add]:
    """One .vtu file for each step, in a folder beside the collection.

    The folder is NAME.steps, or NAME.steps-2 and so on where there is one, so that a
    collection that is replaced stays whole until the new one is.
    """
    first = place.stem + STEPS
    names = chain([first], (f"{first}-{n}" for n in count(2)))
    folder = next(name for name in names if not place.with_name(name).exists())
    (path.parent / folder).mkdir()
    entries: list[str] = []

    def add(time: float, mesh: Mesh) -> None:
        name = f"{folder}/{len(entries):06d}.vtu"
        vtu.write(path.parent / name, mesh)
        entries.append(
            f'<DataSet timestep="{time!r}" part="0" file={quoteattr(name)}/>'
        )

    yield add
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VTKFile type="Collection" version="1.0" byte_order="LittleEndian">\n'
        "<Collection>\n" + "\n".join(entries) + "\n</Collection>\n</VTKFile>\n",
        encoding="utf-8",
    )


def beside(place: Path) -> list[Path]:
    """The files in step folders of its own that a collection lists."""
    try:
        listed = [file for parts in _steps(place).values() for _, file in parts]
    except (FormatError, OSError, ValueError):
        return []
    own = re.compile(re.escape(place.stem + STEPS) + r"(-\d+)?")
    return [
        file
        for file in listed
        if own.fullmatch(file.parent.name) and file.parent.parent == place.parent
    ]


FORMAT = Format(
    "ParaView collection",
    (".pvd",),
    read=read,
    series=series,
    series_writer=series_writer,
    beside=beside,
    holds=vtu.FORMAT.holds,
    clouds=True,
    apart=True,
)
