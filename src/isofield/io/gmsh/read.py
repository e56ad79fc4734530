"""Reads a Gmsh file: its mesh and its fields at one time step."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.gmsh.cells import mesh_of
from isofield.io.gmsh.content import read_content
from isofield.io.gmsh.sections import (
    Header,
    Numbers,
    read_bytes,
    read_header,
    split_sections,
)
from isofield.io.gmsh.write import NOTE
from isofield.io.registry import FormatError, MeshWarning
from isofield.mesh import Mesh
from isofield.series import MeshSeries


@dataclass(frozen=True)
class _View:
    """One $NodeData or $ElementData section; its rows are still bytes."""

    name: str
    of_cells: bool
    time: float
    components: int
    rows: bytes
    count: int


@dataclass(frozen=True)
class _File:
    """A Gmsh file after its sections were found and its mesh was read."""

    header: Header
    mesh: Mesh
    node_tags: np.ndarray
    cell_tags: np.ndarray
    views: list[_View]
    note: dict


def read_gmsh(path: Path) -> Mesh:
    """The mesh with its fields at the last time step of the file.

    A point or cell that a field does not name gets NaN. Raises `FormatError`.
    """
    file = _open(path)
    times = _times(file)
    if len(times) > 1:
        warnings.warn(
            f"the file holds {len(times)} time steps and the last was read; "
            f"read_series gives all of them",
            MeshWarning,
            stacklevel=3,
        )
    return _step(file, times[-1])


def read_gmsh_series(path: Path) -> MeshSeries:
    """All time steps of the file. A field with one step alone is in every step."""
    file = _open(path)
    times = _times(file)
    return MeshSeries(times, lambda number: _step(file, times[number]))


def _open(path: Path) -> _File:
    sections = split_sections(read_bytes(path))
    header = read_header(dict(sections).get("MeshFormat", b""))
    mesh, nodes, cells = mesh_of(read_content(sections, header))
    note, views = _note(sections), list(_views(sections))
    return _File(header, mesh, nodes, cells, views, note)


def _views(sections: list[tuple[str, bytes]]) -> Iterable[_View]:
    for section, body in sections:
        if section in ("NodeData", "ElementData"):
            yield _view(section, body)
        elif section == "ElementNodeData":
            found = re.search(rb'"(.*)"', body)
            name = found[1].decode("utf-8", "replace") if found else "?"
            warnings.warn(
                f"field {name!r} has its own values in every cell "
                f"($ElementNodeData), which point and cell data cannot hold; it was "
                f"left out",
                MeshWarning,
                stacklevel=6,
            )


def _view(section: str, body: bytes) -> _View:
    place = 0

    def line() -> str:
        nonlocal place
        end = body.find(b"\n", place)
        if end < 0:
            raise FormatError(f"section ${section}: its head is cut off")
        text, place = body[place:end], end + 1
        return text.decode("utf-8", "replace").strip()

    try:
        texts = [line() for _ in range(int(line()))]
        reals = [float(line()) for _ in range(int(line()))]
        integers = [int(line()) for _ in range(int(line()))]
    except ValueError as error:
        raise FormatError(
            f"section ${section}: its head is damaged: {error}"
        ) from error
    if not texts or len(integers) < 3:
        raise FormatError(f"section ${section}: a name and three integers must lead it")
    name = texts[0].strip('"')
    time = reals[0] if reals else 0.0
    rows = body[place:]
    return _View(name, section == "ElementData", time, integers[1], rows, integers[2])


def _note(sections: list[tuple[str, bytes]]) -> dict:
    """What the writer of this module left in a comment: dtypes, shapes, cell types."""
    for section, body in sections:
        if section == "Comments" and body.startswith(NOTE):
            try:
                return json.loads(body[len(NOTE) :])
            except ValueError as error:
                raise FormatError(f"section $Comments is damaged: {error}") from error
    return {}


def _times(file: _File) -> np.ndarray:
    """The times of the fields that have several steps, or else the last time."""
    steps: dict[tuple[str, bool], list[float]] = {}
    for view in file.views:
        steps.setdefault((view.name, view.of_cells), []).append(view.time)
    several = [times for times in steps.values() if len(times) > 1]
    if several:
        return np.unique(np.concatenate(several))
    return np.array([max((view.time for view in file.views), default=0.0)])


def _step(file: _File, time: float) -> Mesh:
    steps: dict[tuple[str, bool], list[_View]] = {}
    for view in file.views:
        steps.setdefault((view.name, view.of_cells), []).append(view)
    data: tuple[dict, dict] = ({}, {})
    for (name, of_cells), views in steps.items():
        chosen = views if len(views) == 1 else [v for v in views if v.time == time]
        for view in chosen[-1:]:
            data[of_cells][name] = _values(file, view)
    mesh = file.mesh.with_point_data(data[0]).with_cell_data(data[1])
    return _with_noted(mesh, file.note)


def _values(file: _File, view: _View) -> np.ndarray:
    tags = file.cell_tags if view.of_cells else file.node_tags
    section = "ElementData" if view.of_cells else "NodeData"
    numbers = Numbers(view.rows, file.header, section)
    rows = numbers.rows(view.count, "i" + "d" * view.components)
    order = np.argsort(tags, kind="stable")
    places = np.searchsorted(tags[order], rows[0]) if len(tags) else rows[0] * 0
    known = places < len(tags)
    known[known] = tags[order][places[known]] == rows[0][known]
    if not known.all():
        raise FormatError(
            f"field {view.name!r} has values for {int((~known).sum())} "
            f"{'elements' if view.of_cells else 'nodes'} that do not exist, as "
            f"{rows[0][~known][0]}"
        )
    values = np.full((len(tags), view.components), np.nan)
    values[order[places]] = np.stack(rows[1:], axis=1) if len(rows) > 1 else 0.0
    return _shaped(values, file.note.get(section, {}).get(view.name))


def _shaped(values: np.ndarray, noted: list | None) -> np.ndarray:
    """Rows of 1, 3 or 9 components as scalars, vectors, tensors, or as noted."""
    count, components = values.shape
    if noted is not None:
        dtype, shape = noted[0], tuple(noted[1])
        if shape == (2,) and components == 3:
            values = values[:, :2]
        elif shape == (2, 2) and components == 9:
            values = values.reshape(count, 3, 3)[:, :2, :2]
        if values.size == count * int(np.prod(shape, dtype=int)):
            return values.reshape(count, *shape).astype(dtype)
    if components == 1:
        return values[:, 0]
    return values.reshape(count, 3, 3) if components == 9 else values


def _with_noted(mesh: Mesh, note: dict) -> Mesh:
    """The mesh with the field data and the empty cell types that its writer noted."""
    kinds = note.get("cells", [])
    if [kind for kind in kinds if kind in mesh.cells] != list(mesh.cells):
        kinds = list(mesh.cells)
    cells = {k: mesh.cells.get(k, np.zeros((0, CELL_TYPES[k].nodes))) for k in kinds}
    whole = {}
    for name, (dtype, values, *shape) in note.get("field_data", {}).items():
        whole[name] = values
        if dtype != "text":
            array = np.array(values, dtype)
            whole[name] = array.reshape(shape[0]) if shape else array
    return replace(mesh, cells=cells, field_data=whole)
