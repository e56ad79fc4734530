"""Ansys Mechanical archives, `.cdb`: NBLOCK, EBLOCK and components.

Solids, shells, planes, beams and links become cells; bricks with repeated nodes become
the tetrahedra, pyramids and wedges that they are. Contact, target and surface-effect
elements, springs and masses lie on the mesh rather than make it: they are passed over
with a warning. Each material is a cell set "material <number>", components are cell
sets and point sets. Points come in the order of the file.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from isofield.io.registry import Format, FormatError, MeshWarning
from isofield.mesh import Mesh

__all__ = ["FORMAT"]

_LARGEST = 10**8
# element routine number -> family
_FAMILIES: dict[int, str] = {
    **dict.fromkeys((5, 45, 62, 64, 65, 69, 70, 96, 97, 185, 190, 278), "brick"),
    **dict.fromkeys((90, 95, 117, 122, 186, 191, 226, 231, 236, 279), "brick"),
    **dict.fromkeys((72, 87, 92, 98, 123, 148, 168, 187, 227, 232, 237, 285), "tetra"),
    **dict.fromkeys((28, 41, 43, 63, 131, 143, 157, 181), "shell"),
    **dict.fromkeys((91, 93, 99, 132, 281), "shell"),
    **dict.fromkeys((2, 35, 146), "triangle"),
    **dict.fromkeys((13, 25, 29, 42, 55, 67, 75, 77, 78, 82, 83, 182, 183), "shell"),
    **dict.fromkeys((121, 145, 223, 230, 233, 238), "shell"),
    **dict.fromkeys((1, 3, 4, 8, 10, 16, 23, 24, 31, 32, 33, 34, 44, 54), "beam"),
    **dict.fromkeys((180, 188, 288), "beam"),
    **dict.fromkeys((189, 289), "beam3"),
}
# MESH200: family by its first key option
_MESH_ONLY = ("beam", "beam3", "beam", "beam3", "triangle", "triangle", "shell")
_MESH_ONLY += ("shell", "tetra", "tetra", "brick", "brick")
# family and number of nodes -> patterns of repeated corners, cell type, places of nodes
_BRICKS = {
    8: {
        "tetra": ("tetra", (0, 1, 2, 4)),
        "pyramid": ("pyramid", (0, 1, 2, 3, 4)),
        "wedge": ("wedge", (0, 1, 2, 4, 5, 6)),
        "brick": ("hexahedron", tuple(range(8))),
    },
    20: {
        "tetra": ("tetra10", (0, 1, 2, 4, 8, 9, 11, 16, 17, 18)),
        "pyramid": ("pyramid13", (0, 1, 2, 3, 4, 8, 9, 10, 11, 16, 17, 18, 19)),
        "wedge": (
            "wedge15",
            (0, 1, 2, 4, 5, 6, 8, 9, 11, 12, 13, 15, 16, 17, 18),
        ),
        "brick": ("hexahedron20", tuple(range(20))),
    },
}


@dataclass
class _Content:
    """What the archive holds, by the numbers of the file."""

    nodes: dict[int, list[float]] = field(default_factory=dict)
    types: dict[int, int] = field(default_factory=dict)
    options: dict[int, int] = field(default_factory=dict)
    elements: dict[int, tuple[int, int, list[int]]] = field(default_factory=dict)
    components: list[tuple[str, str, list[int]]] = field(default_factory=list)


def read_ansys(path: Path) -> Mesh:
    """The mesh of an archive; raises `FormatError`."""
    text = Path(path).read_bytes().decode("latin-1")
    content = _content(text.splitlines())
    if not content.nodes or not content.elements:
        raise FormatError("there is no NBLOCK or no EBLOCK,,SOLID with content in it")
    places = {number: i for i, number in enumerate(content.nodes)}
    grouped: dict[str, list[tuple[int, list[int]]]] = {}
    left_out: Counter[int] = Counter()
    for number, (_, kind, nodes) in content.elements.items():
        cell = _cell(number, content, kind, nodes)
        if cell is None:
            left_out[content.types.get(kind, 0)] += 1
        else:
            grouped.setdefault(cell[0], []).append((number, cell[1]))
    if left_out:
        words = ", ".join(f"{n} of type {kind}" for kind, n in left_out.items())
        warnings.warn(
            f"elements that are no cells of a mesh were left out: {words}",
            MeshWarning,
            stacklevel=3,
        )
    try:
        cells = {
            kind: np.array([[places[node] for node in nodes] for _, nodes in rows])
            for kind, rows in grouped.items()
        }
    except KeyError as error:
        raise FormatError(
            f"elements name node {error}, which is not defined"
        ) from error
    numbers = [number for rows in grouped.values() for number, _ in rows]
    point_sets, cell_sets = _sets(content, places, numbers)
    points = np.array(list(content.nodes.values()), dtype=float)
    return Mesh(points, cells, point_sets=point_sets, cell_sets=cell_sets)


def _content(lines: list[str]) -> _Content:
    content, place = _Content(), 0
    while place < len(lines):
        words = [word.strip() for word in lines[place].split("!")[0].split(",")]
        command = words[0].upper()
        place += 1
        if command == "NBLOCK":
            place = _nodes(lines, place, content)
        elif command == "EBLOCK":
            if len(words) < 3 or words[2].upper() != "SOLID":
                raise FormatError(
                    f"line {place}: EBLOCK without SOLID is not read; write the "
                    f"archive with CDWRITE,DB"
                )
            place = _elements(lines, place, content)
        elif command == "ETBLOCK":
            place = _types(lines, place, content)
        elif command == "ET" and len(words) > 2 and words[1].isdigit():
            routine = re.sub(r"\D", "", words[2])
            content.types[int(words[1])] = int(routine or 0)
            if len(words) > 3 and words[3].isdigit():
                content.options[int(words[1])] = int(words[3])
        elif command == "KEYOP" and len(words) > 3 and words[2] == "1":
            content.options[int(words[1])] = int(float(words[3] or 0))
        elif command == "CMBLOCK" and len(words) > 3:
            place = _component(lines, place, words, content)
    return content


def _widths(lines: list[str], place: int) -> tuple[int, int, int]:
    """Number and width of the integers, width of the reals, from a format line."""
    line = lines[place].strip().lower() if place < len(lines) else ""
    found = re.match(r"\((\d+)i(\d+)(?:,\s*\d+[efga](\d+))?", line)
    if not found:
        raise FormatError(f"line {place + 1}: expected a format like (3i9,6e21.13e3)")
    return int(found[1]), int(found[2]), int(found[3] or 0)


def _integers(line: str, width: int, count: int, number: int) -> list[int]:
    """The integers in the first `count` fields of a line."""
    try:
        fields = (line[i * width : (i + 1) * width] for i in range(count))
        return [int(text) for text in fields if text.strip()]
    except ValueError as error:
        raise FormatError(f"line {number + 1}: {error}") from error


def _nodes(lines: list[str], place: int, content: _Content) -> int:
    count, width, real = _widths(lines, place)
    start = count * width
    for number in range(place + 1, len(lines)):
        line = lines[number]
        if line.lstrip().startswith("-1") or line[:1] in "Nn":
            return number + 1
        values = [line[start + i * real : start + (i + 1) * real] for i in range(3)]
        try:
            content.nodes[int(line[:width])] = [
                float(v) if v.strip() else 0.0 for v in values
            ]
        except ValueError as error:
            raise FormatError(f"line {number + 1}, NBLOCK: {error}") from error
    raise FormatError("NBLOCK does not end; the file is cut off")


def _elements(lines: list[str], place: int, content: _Content) -> int:
    count, width, _ = _widths(lines, place)
    number = place + 1
    while number < len(lines):
        values = _integers(lines[number], width, count, number)
        if values[:1] == [-1]:
            return number + 1
        if len(values) < 11:
            raise FormatError(f"line {number + 1}, EBLOCK: fewer than 11 fields")
        material, kind, nodes, wanted = values[0], values[1], values[11:], values[8]
        while len(nodes) < wanted and number + 1 < len(lines):
            number += 1
            nodes += _integers(lines[number], width, count, number)
        content.elements[values[10]] = (material, kind, nodes[:wanted])
        number += 1
    raise FormatError("EBLOCK does not end; the file is cut off")


def _types(lines: list[str], place: int, content: _Content) -> int:
    _, width, _ = _widths(lines, place)
    for number in range(place + 1, len(lines)):
        values = _integers(lines[number], width, 3, number)
        if values[:1] == [-1] or not values:
            return number + 1
        content.types[values[0]] = values[1]
        content.options[values[0]] = values[2] if len(values) > 2 else 0
    raise FormatError("ETBLOCK does not end; the file is cut off")


def _component(
    lines: list[str], place: int, words: list[str], content: _Content
) -> int:
    count, width, _ = _widths(lines, place)
    total, values, number = int(words[3]), [], place + 1
    while len(values) < total:
        if number >= len(lines):
            raise FormatError(f"component {words[1]} is cut off")
        values += _integers(lines[number], width, count, number)
        number += 1
    members: list[int] = []
    for value in values:
        if value < 0 and not (members and 0 <= -value - members[-1] < _LARGEST):
            raise FormatError(f"component {words[1]}: {value} ends no range")
        # a negative number ends a range that the one before it began
        members += range(members[-1] + 1, 1 - value) if value < 0 else [value]
    content.components.append((words[1], words[2].upper(), members))
    return number


def _cell(
    number: int, content: _Content, kind: int, nodes: list[int]
) -> tuple[str, list[int]] | None:
    """Cell type and nodes in VTK's order; None for an element that is no cell."""
    routine = content.types.get(kind, 0)
    family = _FAMILIES.get(routine, "")
    if routine == 200:
        option = content.options.get(kind, 0)
        family = _MESH_ONLY[option] if 0 <= option < len(_MESH_ONLY) else ""
    found = _shape(family, nodes)
    if found is None:
        return None
    name, places = found
    chosen = [nodes[i] for i in places]
    corners = chosen[: _CORNERS[name.rstrip("0123456789")]]
    if 0 in chosen and not any(chosen[len(corners) :]):
        return name.rstrip("0123456789"), corners
    if 0 in chosen:
        raise FormatError(
            f"element {number} lacks some of its middle nodes, which is not read; "
            f"fill them in with EMID"
        )
    return name, chosen


_CORNERS = {"line": 2, "triangle": 3, "quad": 4, "tetra": 4, "pyramid": 5, "wedge": 6}
_CORNERS["hexahedron"] = 8


def _shape(family: str, nodes: list[int]) -> tuple[str, tuple[int, ...]] | None:
    count = len(nodes)
    if family == "brick" and count in (8, 20):
        return _BRICKS[count][_collapsed(nodes)]
    if family in ("tetra", "brick") and count in (4, 10):
        return ("tetra" if count == 4 else "tetra10"), tuple(range(count))
    if family == "tetra" and count == 8:
        return "tetra", (0, 1, 2, 4)
    if family in ("shell", "triangle") and count in (3, 6):
        return ("triangle" if count == 3 else "triangle6"), tuple(range(count))
    if family == "shell" and count in (4, 8):
        if nodes[2] == nodes[3]:
            triangle = ("triangle", (0, 1, 2)), ("triangle6", (0, 1, 2, 4, 5, 7))
            return triangle[count == 8]
        return ("quad" if count == 4 else "quad8"), tuple(range(count))
    if family == "beam3" and count >= 3:
        return "line3", (0, 1, 2)
    if family.startswith("beam") and count >= 2:
        # a third node of a two-node beam only sets its orientation
        return "line", (0, 1)
    return None


def _collapsed(nodes: list[int]) -> str:
    """The shape of a brick, whose corners may be repeated."""
    _, _, k, le, m, n, o, p = nodes[:8]
    if m == n == o == p:
        return "tetra" if k == le else "pyramid"
    return "wedge" if k == le and o == p else "brick"


def _sets(
    content: _Content, places: dict[int, int], numbers: list[int]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    cell_places = {number: i for i, number in enumerate(numbers)}
    cell_sets: dict[str, list[int]] = {}
    for number in numbers:
        name = f"material {content.elements[number][0]}"
        cell_sets.setdefault(name, []).append(cell_places[number])
    point_sets: dict[str, list[int]] = {}
    for name, kind, members in content.components:
        if kind.startswith("NODE"):
            point_sets[name] = [places[n] for n in members if n in places]
        else:
            cell_sets[name] = [cell_places[n] for n in members if n in cell_places]
    return _arrays(point_sets), _arrays(cell_sets)


def _arrays(sets: dict[str, list[int]]) -> dict[str, np.ndarray]:
    return {name: np.array(numbers, np.int64) for name, numbers in sets.items()}


FORMAT = Format(name="Ansys archive", suffixes=(".cdb",), read=read_ansys)
