"""Nodes, elements and groups of a Gmsh file, versions 2.x, 4.0 and 4.1."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from isofield.io.gmsh.elements import ELEMENTS, Element
from isofield.io.gmsh.sections import Header, Numbers
from isofield.io.registry import FormatError


@dataclass
class Elements:
    """Elements of one type as they stand in the file: Gmsh's numbers, VTK's order."""

    element: Element
    tags: np.ndarray
    nodes: np.ndarray


@dataclass
class Content:
    """A Gmsh file before its numbers are turned into indices.

    groups : (dimension, physical tag) -> element tags.
    names : (dimension, physical tag) -> the group's name.
    """

    node_tags: np.ndarray
    points: np.ndarray
    elements: list[Elements] = field(default_factory=list)
    groups: dict[tuple[int, int], list[np.ndarray]] = field(default_factory=dict)
    names: dict[tuple[int, int], str] = field(default_factory=dict)


def read_content(sections: list[tuple[str, bytes]], header: Header) -> Content:
    """Nodes, elements and physical groups."""
    bodies = dict(sections)
    for name in ("Nodes", "Elements"):
        if name not in bodies:
            raise FormatError(f"there is no section ${name}; found {list(bodies)}")
    if header.version.startswith("2"):
        content = _nodes_2(bodies["Nodes"], header)
        _elements_2(bodies["Elements"], header, content)
    else:
        numbers = Numbers(bodies["Nodes"], header, "Nodes")
        content = (_nodes_41 if header.version == "4.1" else _nodes_40)(numbers)
        entities: dict[tuple[int, int], list[int]] = {}
        for name in ("Entities", "PartitionedEntities"):
            if bodies.get(name, b"").strip():
                numbers = Numbers(bodies[name], header, name)
                entities |= _entities(numbers, header, name != "Entities")
        numbers = Numbers(bodies["Elements"], header, "Elements")
        _elements_4(numbers, header, entities, content)
    content.names = _physical_names(bodies.get("PhysicalNames", b""))
    return content


def element_type(code: int) -> Element:
    """The element type with this number in Gmsh."""
    if code not in ELEMENTS:
        raise FormatError(
            f"Gmsh element type {code} is not known here: cells of first and second "
            f"order are read; remesh with Mesh.ElementOrder = 1 or 2"
        )
    return ELEMENTS[code]


def _counted(body: bytes) -> tuple[int, bytes]:
    """The count that stands alone on the first line, and what follows it."""
    if not body.strip():
        raise FormatError("$Nodes or $Elements is empty")
    first, _, rest = body.lstrip().partition(b"\n")
    try:
        return int(first), rest
    except ValueError as error:
        raise FormatError(f"expected a count, found {first[:40]!r}") from error


def _nodes_2(body: bytes, header: Header) -> Content:
    count, rest = _counted(body)
    tags, x, y, z = Numbers(rest, header, "Nodes").rows(count, "iddd")
    return Content(tags.astype(np.int64), np.stack([x, y, z], axis=1))


def _nodes_41(numbers: Numbers) -> Content:
    blocks = int(numbers.take(4, "s")[0])
    tags, points = [], []
    for _ in range(blocks):
        dimension, _, parametric = numbers.take(3, "i")
        count = numbers.one("s")
        width = 3 + (int(dimension) if parametric else 0)
        tags.append(numbers.take(count, "s"))
        points.append(numbers.take(count * width, "d").reshape(count, width)[:, :3])
    return _joined(tags, points)


def _nodes_40(numbers: Numbers) -> Content:
    blocks = int(numbers.take(2, "s")[0])
    tags, points = [], []
    for _ in range(blocks):
        _, dimension, parametric = numbers.take(3, "i")
        columns = "iddd" + ("d" * int(dimension) if parametric else "")
        tag, x, y, z, *_ = numbers.rows(numbers.one("s"), columns)
        tags.append(tag.astype(np.int64))
        points.append(np.stack([x, y, z], axis=1))
    return _joined(tags, points)


def _joined(tags: list[np.ndarray], points: list[np.ndarray]) -> Content:
    if not tags:
        return Content(np.zeros(0, np.int64), np.zeros((0, 3)))
    return Content(np.concatenate(tags), np.concatenate(points))


def _entities(
    numbers: Numbers, header: Header, partitioned: bool
) -> dict[tuple[int, int], list[int]]:
    """(dimension, entity tag) -> physical tags."""
    if partitioned:
        numbers.one("s")
        numbers.take(2 * numbers.one("s"), "i")
    groups = {}
    for dimension, count in enumerate(numbers.take(4, "s")):
        for _ in range(count):
            tag = numbers.one("i")
            if partitioned:
                numbers.take(2, "i")
                numbers.take(numbers.one("s"), "i")
            corner = dimension == 0 and header.version == "4.1"
            numbers.take(3 if corner else 6, "d")
            groups[dimension, tag] = numbers.take(numbers.one("s"), "i").tolist()
            if dimension:
                numbers.take(numbers.one("s"), "i")
    return groups


def _elements_4(
    numbers: Numbers,
    header: Header,
    entities: dict[tuple[int, int], list[int]],
    content: Content,
) -> None:
    newer = header.version == "4.1"
    blocks = int(numbers.take(4 if newer else 2, "s")[0])
    for _ in range(blocks):
        first, second, code = numbers.take(3, "i").tolist()
        dimension, tag = (first, second) if newer else (second, first)
        element, count = element_type(code), numbers.one("s")
        width = 1 + len(element.order)
        rows = numbers.take(count * width, "s" if newer else "i").reshape(count, width)
        content.elements.append(
            Elements(element, rows[:, 0], element.to_vtk(rows[:, 1:]))
        )
        for group in entities.get((dimension, tag), []):
            # a negative tag says that the group sees the entity turned over
            content.groups.setdefault((dimension, abs(group)), []).append(rows[:, 0])


def _elements_2(body: bytes, header: Header, content: Content) -> None:
    count, rest = _counted(body)
    numbers = Numbers(rest, header, "Elements")
    found: dict[int, list[np.ndarray]] = {}
    if header.binary:
        done = 0
        while done < count:
            code, rows, tags = numbers.take(3, "i").tolist()
            width = 1 + tags + len(element_type(code).order)
            block = numbers.take(rows * width, "i").reshape(rows, width)
            found.setdefault(code, []).append(_without_tags(block, tags))
            done += rows
    else:
        values = numbers.take(len(numbers.text), "i")  # type: ignore[arg-type]
        for code, tags, starts in _text_rows(values, count):
            width = 3 + tags + len(element_type(code).order)
            block = values[starts[:, None] + np.arange(width)]
            block = np.delete(block, [1, 2], axis=1)
            found.setdefault(code, []).append(_without_tags(block, tags))
    for code, blocks in found.items():
        _add_elements_2(element_type(code), np.concatenate(blocks), content)


def _without_tags(block: np.ndarray, tags: int) -> np.ndarray:
    """Rows of number, `tags` tags, nodes -> number, physical, elementary tag, nodes."""
    first = np.zeros((len(block), 2), np.int64)
    kept = min(tags, 2)
    first[:, :kept] = block[:, 1 : 1 + kept]
    return np.concatenate([block[:, :1], first, block[:, 1 + tags :]], axis=1)


def _text_rows(values: np.ndarray, count: int) -> list[tuple[int, int, np.ndarray]]:
    """(type number, number of tags, starts of the rows) for rows of unequal length."""
    starts: dict[tuple[int, int], list[int]] = {}
    flat, place = values.tolist(), 0
    widths = {code: len(element.order) for code, element in ELEMENTS.items()}
    for _ in range(count):
        if place + 3 > len(flat):
            raise FormatError(
                f"section $Elements: {count} elements were announced and the section "
                f"ends before them; the file is cut off or damaged"
            )
        code, tags = flat[place + 1], flat[place + 2]
        width = widths.get(code) or len(element_type(code).order)
        starts.setdefault((code, tags), []).append(place)
        place += 3 + tags + width
    if place > len(flat):
        raise FormatError("section $Elements: the last element is cut off")
    return [(code, tags, np.array(s)) for (code, tags), s in starts.items()]


def _add_elements_2(element: Element, rows: np.ndarray, content: Content) -> None:
    """Adds the rows; an element written once for each of its groups becomes one."""
    _, first, same = np.unique(
        rows[:, 2:], axis=0, return_index=True, return_inverse=True
    )
    once = np.arange(len(rows))
    if len(first) < len(rows) == len(np.unique(rows[:, 1:], axis=0)):
        rows = rows.copy()
        rows[:, 0] = rows[first[same.reshape(-1)], 0]
        once = np.sort(first)
    content.elements.append(
        Elements(element, rows[once, 0], element.to_vtk(rows[once, 3:]))
    )
    for group in np.unique(rows[:, 1]):
        if group:
            members = rows[rows[:, 1] == group, 0]
            content.groups.setdefault((element.dimension, int(group)), []).append(
                members
            )


def _physical_names(body: bytes) -> dict[tuple[int, int], str]:
    names = {}
    for line in body.decode("utf-8", "replace").splitlines()[1:]:
        found = re.match(r'\s*(\d)\s+(\d+)\s+"(.*)"', line)
        if found:
            names[int(found[1]), int(found[2])] = found[3]
    return names
