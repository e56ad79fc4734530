"""Gmsh's `.msh` files: 2.x, 4.0 and 4.1 are read, text and binary; 4.1 is written.

Physical groups are the cell sets; a group without a name is called "tag <dimension>
<number>", and groups of one name in several dimensions are one set. Cells of lower
dimension stay cells. Points and cells come in the order of their numbers in the file.
Periodic sections, partitions and parametric coordinates are passed over.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.gmsh_elements import BY_CELL_TYPE
from isofield.io.gmsh_read import (
    Content,
    Header,
    Numbers,
    read_bytes,
    read_content,
    read_header,
    split_sections,
)
from isofield.io.gmsh_write import NOTE, write_gmsh
from isofield.io.registry import (
    FLOATS,
    INTEGERS,
    Arrays,
    Format,
    FormatError,
    Holds,
    MeshWarning,
)
from isofield.io.series import MeshSeries
from isofield.mesh import Mesh


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

    path: Path
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
            f"{path}: the file holds {len(times)} time steps and the last was read; "
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
    try:
        sections = split_sections(read_bytes(path))
        header = read_header(dict(sections).get("MeshFormat", b""))
        content = read_content(sections, header)
        mesh, nodes, cells = _mesh(content)
        note = _note(sections)
        views = list(_views(sections, path))
    except FormatError as error:
        raise FormatError(
            f"{path}: {error}".replace(f"{path}: {path}", str(path))
        ) from (error)
    return _File(Path(path), header, mesh, nodes, cells, views, note)


def _mesh(content: Content) -> tuple[Mesh, np.ndarray, np.ndarray]:
    """The mesh, the node number of each point, the element number of each cell."""
    node_tags, places = np.unique(content.node_tags, return_index=True)
    if len(node_tags) < len(content.node_tags):
        raise FormatError(
            f"{len(content.node_tags) - len(node_tags)} node numbers appear twice"
        )
    grouped: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for block in content.elements:
        if len(block.tags):
            grouped.setdefault(block.element.cell_type, []).append(
                (block.tags, block.nodes)
            )
    cells, tags = {}, []
    joined = {
        kind: [np.concatenate(part) for part in zip(*blocks, strict=True)]
        for kind, blocks in grouped.items()
    }
    for kind, (numbers, nodes) in sorted(
        joined.items(), key=lambda item: min(item[1][0])
    ):
        order = np.argsort(numbers, kind="stable")
        tags.append(numbers[order])
        cells[kind] = _indices(node_tags, nodes[order], kind)
    cell_tags = np.concatenate(tags) if tags else np.zeros(0, np.int64)
    sets = _cell_sets(content, cells, cell_tags)
    return Mesh(content.points[places], cells, cell_sets=sets), node_tags, cell_tags


def _indices(node_tags: np.ndarray, nodes: np.ndarray, kind: str) -> np.ndarray:
    """Node numbers of the file -> places in `node_tags`, which is sorted."""
    places = np.searchsorted(node_tags, nodes)
    places = np.minimum(places, max(len(node_tags) - 1, 0))
    missing = (
        nodes != node_tags[places] if len(node_tags) else np.ones(nodes.shape, bool)
    )
    if missing.any():
        raise FormatError(
            f"{int(missing.any(axis=1).sum())} {kind} cells name nodes that are not in "
            f"$Nodes, as node {nodes[missing][0]}"
        )
    return places


def _cell_sets(
    content: Content, cells: dict[str, np.ndarray], cell_tags: np.ndarray
) -> dict[str, np.ndarray]:
    """Physical groups as sorted cell numbers; named groups may be empty."""
    dimensions = np.concatenate(
        [np.full(len(n), CELL_TYPES[k].dimension) for k, n in cells.items()]
        or [np.zeros(0, int)]
    )
    members: dict[str, list[np.ndarray]] = {}
    for key in sorted({*content.groups, *content.names}):
        name = content.names.get(key) or f"tag {key[0]} {key[1]}"
        found = members.setdefault(name, [])
        for tags in content.groups.get(key, []):
            found.append(
                np.flatnonzero(np.isin(cell_tags, tags) & (dimensions == key[0]))
            )
    return {
        name: np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
        for name, found in members.items()
    }


def _views(sections: list[tuple[str, bytes]], path: Path) -> Iterable[_View]:
    for section, body in sections:
        if section in ("NodeData", "ElementData"):
            yield _view(section, body)
        elif section == "ElementNodeData":
            found = re.search(rb'"(.*)"', body)
            name = found[1].decode("utf-8", "replace") if found else "?"
            warnings.warn(
                f"{path}: field {name!r} has its own values in every cell "
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
    return _with_noted_cells(mesh, file.note)


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
            f"{file.path}: field {view.name!r} has values for {int((~known).sum())} "
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


def _with_noted_cells(mesh: Mesh, note: dict) -> Mesh:
    """The mesh with the empty cell types that its writer held, where there were any."""
    kinds = note.get("cells", [])
    if [kind for kind in kinds if kind in mesh.cells] != list(mesh.cells):
        return mesh
    cells = {k: mesh.cells.get(k, np.zeros((0, CELL_TYPES[k].nodes))) for k in kinds}
    return Mesh(
        mesh.points, cells, mesh.point_data, mesh.cell_data, cell_sets=mesh.cell_sets
    )


_FIELDS = Arrays(FLOATS | INTEGERS, names=r'[^"\r\n]+')

FORMAT = Format(
    name="Gmsh",
    suffixes=(".msh",),
    read=read_gmsh,
    write=write_gmsh,
    series=read_gmsh_series,
    holds=Holds(
        cells=frozenset(BY_CELL_TYPE),
        point_data=_FIELDS,
        cell_data=_FIELDS,
        cell_sets=r'[^"\r\n]+',
    ),
)
