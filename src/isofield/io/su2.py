"""SU2 meshes, `.su2`: cells, and markers as boundary cells with a cell set each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.capacity import kept_cells
from isofield.io.registry import Format, FormatError, Holds, MeshWarning
from isofield.mesh import Mesh

# SU2 numbers its elements as VTK does
_CODES = {
    1: "vertex",
    3: "line",
    5: "triangle",
    9: "quad",
    10: "tetra",
    12: "hexahedron",
    13: "wedge",
    14: "pyramid",
}
_NUMBERS = {kind: code for code, kind in _CODES.items()}


@dataclass
class _Content:
    """Rows of the file: points as text, (type, nodes) of elements and markers."""

    dimension: int = 0
    points: list[list[float]] = field(default_factory=list)
    elements: list[tuple[str, list[int]]] = field(default_factory=list)
    markers: dict[str, list[tuple[str, list[int]]]] = field(default_factory=dict)


def read_su2(path: Path) -> Mesh:
    """The mesh of a file with one zone; raises `FormatError`."""
    content = _content(_lines(path))
    if not content.dimension:
        raise FormatError("there is no NDIME= in it")
    cells: dict[str, list[list[int]]] = {}
    for kind, nodes in content.elements:
        cells.setdefault(kind, []).append(nodes)
    members: dict[str, list[tuple[str, int]]] = {}
    for name, rows in content.markers.items():
        own = members.setdefault(name, [])
        for kind, nodes in rows:
            cells.setdefault(kind, []).append(nodes)
            own.append((kind, len(cells[kind]) - 1))
    starts = dict(zip(cells, np.cumsum([0, *map(len, cells.values())]), strict=False))
    points = np.zeros((len(content.points), 3))
    points[:, : content.dimension] = np.reshape(content.points, (-1, content.dimension))
    return Mesh(
        points,
        {kind: np.array(nodes, dtype=np.int64) for kind, nodes in cells.items()},
        cell_sets={
            name: np.array([starts[kind] + i for kind, i in rows], dtype=np.int64)
            for name, rows in members.items()
        },
    )


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(keyword, value) of keyword lines, ("", line) of the others; no comments."""
    with open(path, encoding="latin-1") as file:
        for line in file:
            text = line.partition("%")[0].strip()
            if "=" in text:
                key, _, value = text.partition("=")
                yield key.strip().upper(), value.strip()
            elif text:
                yield "", text


def _content(lines: Iterator[tuple[str, str]]) -> _Content:
    content, marker, announced = _Content(), "", 0
    for key, value in lines:
        if key in ("NZONE", "IZONE") and _count(key, value) > 1:
            raise FormatError(
                f"the file holds several zones ({key}= {value}), which are meshes of "
                f"their own; write each zone into its own file"
            )
        if key == "NDIME":
            content.dimension = _count(key, value)
            if content.dimension not in (2, 3):
                raise FormatError(f"NDIME= {value}: expected 2 or 3")
        elif key == "NPOIN":
            rows = _rows(lines, _count(key, value), key)
            try:
                content.points = [
                    [float(word) for word in row.split()[: content.dimension]]
                    for row in rows
                ]
            except ValueError as error:
                raise FormatError(f"NPOIN: {error}") from error
        elif key == "NELEM":
            content.elements = _elements(lines, _count(key, value), key)
        elif key == "NMARK":
            announced = _count(key, value)
        elif key == "MARKER_TAG":
            marker = value
        elif key == "MARKER_ELEMS":
            rows = _elements(lines, _count(key, value), f"marker {marker}")
            content.markers.setdefault(marker, []).extend(rows)
            announced -= 1
    if announced > 0:
        raise FormatError(
            f"NMARK: {announced} more markers were announced than there are; the file "
            "is cut off or damaged"
        )
    return content


def _count(key: str, value: str) -> int:
    try:
        return int(value.split()[0])
    except (ValueError, IndexError) as error:
        raise FormatError(f"{key}= {value!r}: expected a whole number") from error


def _rows(lines: Iterator[tuple[str, str]], count: int, name: str) -> list[str]:
    rows = []
    for _ in range(count):
        key, value = next(lines, ("end of file", ""))
        if key:
            raise FormatError(
                f"{name}: {count} rows were announced, found {len(rows)} before {key}; "
                f"the file is cut off or damaged"
            )
        rows.append(value)
    return rows


def _elements(
    lines: Iterator[tuple[str, str]], count: int, name: str
) -> list[tuple[str, list[int]]]:
    elements = []
    for row in _rows(lines, count, name):
        try:
            code, *nodes = [int(word) for word in row.split()]
        except ValueError as error:
            raise FormatError(f"{name}: {row!r}: {error}") from error
        if code not in _CODES:
            raise FormatError(
                f"{name}: element type {code}, expected one of {list(_CODES)}"
            )
        width = CELL_TYPES[_CODES[code]].nodes
        if len(nodes) < width:
            raise FormatError(f"{name}: {row!r} has fewer than {width} nodes")
        elements.append((_CODES[code], nodes[:width]))
    return elements


def fitted_su2(mesh: Mesh) -> tuple[Mesh, list[str]]:
    """Without the sets that are no markers, and without boundary cells in no marker.

    A marker holds boundary cells alone, each once, and no two hold the same.
    """
    top = mesh.dimension
    rows = [(kind, len(nodes)) for kind, nodes in mesh.cells.items()]
    flags = [np.full(count, _dimension(kind) < top) for kind, count in rows]
    boundary = np.concatenate([np.zeros(0, bool), *flags])
    marked, markers, lost = np.zeros(len(boundary), bool), {}, []
    for name, members in mesh.cell_sets.items():
        if not boundary[members].all():
            lost.append(f"cell_sets[{name!r}] (inner cells; markers are of boundary)")
        elif marked[members].any() or len(np.unique(members)) < len(members):
            lost.append(f"cell_sets[{name!r}] (cells of another marker, or repeated)")
        else:
            markers[name] = members
            marked[members] = True
    alone = boundary & ~marked
    if alone.any():
        lost.append(
            f"{alone.sum()} boundary cells in no marker (first: cell {alone.argmax()})"
        )
    return (
        kept_cells(replace(mesh, cell_sets=markers), ~alone) if lost else mesh
    ), lost


def write_su2(path: Path, mesh: Mesh) -> None:
    """Writes the cells of the highest dimension, and the cell sets as markers.

    mesh : as `fitted_su2` leaves it. Warns where boundary cells are not in the order of
    the markers, since they come back in that order.
    """
    inner = {k: n for k, n in mesh.cells.items() if _dimension(k) == mesh.dimension}
    rows = [(k, n) for k, nodes in mesh.cells.items() for n in nodes.tolist()]
    flat = mesh.dimension == 2 and not mesh.points[:, 2:].any()
    _warn_of_order(mesh, [kind for kind, _ in rows])
    with open(path, "w", encoding="latin-1", newline="\n") as file:
        file.write(f"NDIME= {2 if flat else 3}\n")
        file.write(f"NELEM= {sum(map(len, inner.values()))}\n")
        for kind, nodes in inner.items():
            file.writelines(_element(kind, row) for row in nodes.tolist())
        file.write(f"NPOIN= {len(mesh.points)}\n")
        for point in (mesh.points[:, :2] if flat else mesh.points).tolist():
            file.write(" ".join(map(repr, point)) + "\n")
        file.write(f"NMARK= {len(mesh.cell_sets)}\n")
        for name, members in mesh.cell_sets.items():
            file.write(f"MARKER_TAG= {name}\nMARKER_ELEMS= {len(members)}\n")
            file.writelines(_element(*rows[i]) for i in members.tolist())


def _dimension(kind: str) -> int:
    return CELL_TYPES[kind].dimension


def _element(kind: str, nodes: list[int]) -> str:
    return f"{_NUMBERS[kind]} {' '.join(map(str, nodes))}\n"


def _warn_of_order(mesh: Mesh, kinds_of_cells: list[str]) -> None:
    order = np.concatenate([np.zeros(0, np.int64), *mesh.cell_sets.values()])
    kinds = np.array([kinds_of_cells[i] for i in order])
    if any((np.diff(order[kinds == kind]) < 0).any() for kind in np.unique(kinds)):
        warnings.warn(
            "SU2 stores boundary cells marker by marker; they will come back in that "
            "order",
            MeshWarning,
            stacklevel=3,
        )


FORMAT = Format(
    name="SU2",
    suffixes=(".su2",),
    read=read_su2,
    write=write_su2,
    fitted=fitted_su2,
    holds=Holds(
        cells=frozenset(_NUMBERS),
        cell_sets=r"[^\s=%]([^=%\r\n]*[^\s=%])?",
        ordered=False,
    ),
)
