"""Writes a mesh and its sets as an Abaqus input file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.abaqus.elements import FACES, ORDERS, WRITTEN, faces
from isofield.io.facets import facet_numbers
from isofield.mesh import Mesh

_PER_LINE = 15


def fitted_abaqus(mesh: Mesh) -> tuple[Mesh, list[str]]:
    """Without sets whose names differ from another's in case alone, which Abaqus
    ignores, and without facets that it has no side for or that come twice."""
    kept, lost = {}, []
    for kind in ("point_sets", "cell_sets", "facet_sets"):
        kept[kind], seen = {}, {}
        for name, members in getattr(mesh, kind).items():
            other = seen.setdefault(name.upper(), name)
            if other == name:
                kept[kind][name] = members
            else:
                lost.append(f"{kind}[{name!r}] (in Abaqus the same name as {other!r})")
    kinds = [CELL_TYPES[kind].linear.name for kind in mesh.cells]
    ends = np.cumsum([len(nodes) for nodes in mesh.cells.values()])
    for name, facets in list(kept["facet_sets"].items()):
        numbers = np.unique(np.searchsorted(ends, facets[:, 0], side="right"))
        without = {kinds[number] for number in numbers} - set(FACES)
        once = np.sort(np.unique(facets, axis=0, return_index=True)[1])
        if without:
            del kept["facet_sets"][name]
            lost.append(f"facet_sets[{name!r}] ({', '.join(without)} have no sides)")
        elif len(once) < len(facets):
            kept["facet_sets"][name] = facets[once]
            lost.append(f"{len(facets) - len(once)} repeated facets in {name!r}")
    return (replace(mesh, **kept) if lost else mesh), lost


def write_abaqus(path: Path, mesh: Mesh) -> None:
    """Writes `mesh`; labels count from 1, coordinates have all their digits.

    A mesh of at most two dimensions in the plane z = 0 is written with two
    coordinates and plane-stress types (CPS), one in space with shells (S). The cell
    types are geometry alone: change them to what the analysis needs.

    mesh : as `fitted_abaqus` leaves it.
    """
    flat = mesh.dimension <= 2 and not mesh.points[:, 2:].any()
    with open(path, "w", encoding="latin-1", newline="\n") as file:
        file.write("*HEADING\nwritten by isofield\n")
        file.writelines(_nodes(mesh.points[:, :2] if flat else mesh.points))
        file.writelines(_elements(mesh, flat))
        for name, members in mesh.point_sets.items():
            file.writelines(_members("NSET", name, members))
        for name, members in mesh.cell_sets.items():
            file.writelines(_members("ELSET", name, members))
        for name, facets in mesh.facet_sets.items():
            file.writelines(_surface(mesh, name, facets))


def _nodes(points: np.ndarray) -> Iterator[str]:
    yield "*NODE\n"
    for label, point in enumerate(points.tolist(), 1):
        yield f"{label}, {', '.join(map(repr, point))}\n"


def _elements(mesh: Mesh, flat: bool) -> Iterator[str]:
    start = 1
    for kind, nodes in mesh.cells.items():
        yield f"*ELEMENT, TYPE={WRITTEN[kind][not flat]}\n"
        places = ORDERS.get(kind, tuple(range(CELL_TYPES[kind].nodes)))
        rows = nodes[:, np.argsort(places)] + 1
        for label, row in enumerate(rows.tolist(), start):
            yield from _wrapped([label, *row])
        start += len(nodes)


def _wrapped(numbers: list[int]) -> Iterator[str]:
    """Lines of at most 16 numbers; a line that goes on ends in a comma."""
    for place in range(0, len(numbers), _PER_LINE):
        more = "," if place + _PER_LINE < len(numbers) else ""
        words = map(str, numbers[place : place + _PER_LINE])
        yield ", ".join(words) + more + "\n"


def _members(keyword: str, name: str, members: np.ndarray) -> Iterator[str]:
    yield f'*{keyword}, {keyword}="{name}", UNSORTED\n'
    labels = (members + 1).tolist()
    for place in range(0, len(labels), _PER_LINE):
        yield ", ".join(map(str, labels[place : place + _PER_LINE])) + "\n"


def _surface(mesh: Mesh, name: str, facets: np.ndarray) -> Iterator[str]:
    yield f'*SURFACE, NAME="{name}", TYPE=ELEMENT\n'
    ends = np.cumsum([len(nodes) for nodes in mesh.cells.values()])
    kinds = list(mesh.cells)
    sides = {
        kind: {
            facet: side for side, facet in enumerate(facet_numbers(kind, faces(kind)))
        }
        for kind in kinds
    }
    for cell, facet in facets.tolist():
        kind = kinds[int(np.searchsorted(ends, cell, side="right"))]
        yield f"{cell + 1}, S{sides[kind][facet] + 1}\n"
