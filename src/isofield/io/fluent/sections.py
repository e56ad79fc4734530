"""The sections of a Fluent mesh or case file, text or binary."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from isofield.io.registry import FormatError

_NODES, _CELLS, _FACES = 10, 12, 13
_FACE_NODES = {2: 2, 3: 3, 4: 4}


@dataclass
class Faces:
    """Faces of one zone and of one number of nodes; cells count from 1, 0 is none."""

    zone: int
    interior: bool
    nodes: np.ndarray
    sides: np.ndarray


@dataclass
class Content:
    """Numbers of the file: nodes and cells count from 1.

    cell_zones : (zone, first, last). names : zone -> name.
    """

    dimension: int = 0
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    faces: list[Faces] = field(default_factory=list)
    cell_zones: list[tuple[int, int, int]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)


def read_content(data: bytes) -> Content:
    """All nodes, cells and faces; raises `FormatError`."""
    content = Content()
    opening = re.compile(rb"\(\s*(\d+)(?=[\s(])")
    place = 0
    while found := opening.search(data, place):
        index = int(found[1])
        kind, binary = (index % 1000, index // 1000) if index > 1000 else (index, 0)
        if kind == 2:
            content.dimension = int(data[found.end() : found.end() + 8].split(b")")[0])
        if kind in (39, 45) and not binary:
            _add_name(content, data[found.end() : found.end() + 300])
        if kind in (_NODES, _CELLS, _FACES) and binary in (0, 2, 3):
            place = _add(content, data, found.end(), kind, binary)
        elif binary:
            place = _behind_binary(data, found.end(), index)
        else:
            place = _behind(data, found.start())
    return content


def _behind(data: bytes, place: int) -> int:
    """The place behind the parenthesis that closes the one at `place`."""
    depth = 0
    for found in re.compile(rb'[()]|"[^"]*"').finditer(data, place):
        depth += {b"(": 1, b")": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    raise FormatError("a section does not end; the file is cut off")


def _behind_binary(data: bytes, place: int, index: int) -> int:
    found = re.compile(rb"End of Binary Section\s+%d\s*\)" % index).search(data, place)
    if not found:
        raise FormatError(f"binary section {index} does not end; the file is cut off")
    return found.end()


def _add_name(content: Content, text: bytes) -> None:
    found = re.match(rb"\s*\(\s*(\d+)\s+(\S+)\s+([^\s()]+)", text)
    if found:
        content.names[int(found[1])] = found[3].decode("utf-8", "replace")


def _add(content: Content, data: bytes, place: int, kind: int, binary: int) -> int:
    """Reads one section of nodes, cells or faces; the place behind it."""
    opening = re.compile(rb"\s*\(([^()]*)\)\s*").match(data, place)
    if not opening:
        raise FormatError(f"section {kind} has no head; the file is damaged")
    head = [int(word, 16) for word in opening[1].split()]
    index = 1000 * binary + kind
    start = opening.end()
    if data[start : start + 1] != b"(" or head[0] == 0:
        if kind == _CELLS and head[0]:
            content.cell_zones.append((head[0], head[1], head[2]))
        if data[start : start + 1] == b")":
            return start + 1
        return _behind_binary(data, place, index) if binary else _behind(data, start)
    start += 1
    if kind == _NODES:
        end = _add_nodes(content, data, start, head, binary)
    elif kind == _FACES:
        end = _add_faces(content, data, start, head, binary)
    else:
        content.cell_zones.append((head[0], head[1], head[2]))
        end = start
    if binary:
        return _behind_binary(data, end, index)
    return data.index(b")", end) + 1


def _add_nodes(
    content: Content, data: bytes, start: int, head: list[int], binary: int
) -> int:
    first, last = head[1], head[2]
    width = head[4] if len(head) > 4 and head[4] else content.dimension
    count = (last - first + 1) * width
    if binary:
        dtype = np.dtype("<f4" if binary == 2 else "<f8")
        values, end = _array(data, start, count, dtype)
    else:
        end = data.find(b")", start)
        values = _numbers(data[start:end], count, 10)
    if not 0 < first <= last < len(data):
        raise FormatError(f"nodes {first} to {last} cannot be in a file of this size")
    if len(content.points) < last:
        more = np.full((last - len(content.points), 3), np.nan)
        content.points = np.concatenate([content.points, more])
    content.points[first - 1 : last] = 0.0
    content.points[first - 1 : last, :width] = values.reshape(-1, width)
    return end


def _array(
    data: bytes, start: int, count: int, dtype: np.dtype
) -> tuple[np.ndarray, int]:
    end = start + count * dtype.itemsize
    if end > len(data):
        raise FormatError("a binary section ends too early; the file is cut off")
    return np.frombuffer(data, dtype, count, start), end


def _numbers(text: bytes, count: int | None, base: int) -> np.ndarray:
    words = text.split()
    if count is not None and len(words) != count:
        raise FormatError(
            f"{count} numbers were announced, found {len(words)}; the file is damaged"
        )
    try:
        if base == 16:
            return np.array([int(word, 16) for word in words], dtype=np.int64)
        return np.array(words).astype(np.float64)
    except ValueError as error:
        raise FormatError(f"not a number: {error}") from error


def _add_faces(
    content: Content, data: bytes, start: int, head: list[int], binary: int
) -> int:
    zone, first, last, condition = head[:4]
    shape = head[4] if len(head) > 4 else 0
    count, interior = last - first + 1, condition == 2
    width = _FACE_NODES.get(shape)
    if width is not None:
        size = count * (width + 2)
        if binary:
            values, end = _array(data, start, size, np.dtype("<i4"))
        else:
            end = data.find(b")", start)
            values = _numbers(data[start:end], size, 16)
        rows = values.reshape(-1, width + 2).astype(np.int64)
        content.faces.append(Faces(zone, interior, rows[:, :width], rows[:, width:]))
        return end
    if binary:
        end = data.find(b")\nEnd of Binary Section", start)
        values = np.frombuffer(data[start : end - (end - start) % 4], "<i4")
    else:
        end = data.find(b")", start)
        values = _numbers(data[start:end], None, 16)
    _add_mixed(content, zone, interior, values.tolist(), count)
    return end


def _add_mixed(
    content: Content, zone: int, interior: bool, values: list[int], count: int
) -> None:
    """Faces of several numbers of nodes, each row led by its number."""
    rows: dict[int, list[list[int]]] = {}
    place = 0
    for _ in range(count):
        if place >= len(values):
            raise FormatError(f"face zone {zone} ends too early; the file is cut off")
        width = values[place]
        rows.setdefault(width, []).append(values[place + 1 : place + 3 + width])
        place += 3 + width
    for width, block in rows.items():
        array = np.array(block, dtype=np.int64)
        content.faces.append(Faces(zone, interior, array[:, :width], array[:, width:]))
