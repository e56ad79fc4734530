"""Puts the parts of an Abaqus file in their places: one mesh with its sets."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np

from isofield.cells import CELL_TYPES
from isofield.io.abaqus.elements import faces
from isofield.io.abaqus.read import Deck, Instance
from isofield.io.facets import facet_numbers
from isofield.io.registry import FormatError, MeshWarning
from isofield.mesh import Mesh


@dataclass
class _Assembly:
    """Instances with the global number of each of their nodes and elements."""

    instances: list[Instance]
    nodes: list[dict[int, int]] = field(default_factory=list)
    elements: list[dict[int, int]] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)

    def place(self, name: str) -> int | None:
        for number, instance in enumerate(self.instances):
            if instance.name.upper() == name.upper():
                return number
        return None


def assemble(deck: Deck, path: object) -> Mesh:
    """The mesh of all instances; parts that no instance uses stand where they are.

    Sets of an instance carry its name and a dot before theirs where the plain name
    is taken or where there are several instances.
    """
    instances = list(deck.instances)
    if not instances:
        instances = [Instance(name, part) for name, part in deck.parts.items()]
    assembly = _Assembly([Instance("", deck.model), *instances])
    points = _points(assembly)
    cells = _cells(assembly)
    point_sets, cell_sets, facet_sets = _sets(assembly, cells, path)
    if assembly.missing:
        warnings.warn(
            f"{path}: sets name nodes or elements that do not exist, which were left "
            f"out: {assembly.missing}",
            MeshWarning,
            stacklevel=4,
        )
    return Mesh(
        points, cells, point_sets=point_sets, cell_sets=cell_sets, facet_sets=facet_sets
    )


def _points(assembly: _Assembly) -> np.ndarray:
    blocks, start = [np.zeros((0, 3))], 0
    for instance in assembly.instances:
        nodes = instance.part.nodes
        points = np.array(list(nodes.values()), dtype=float).reshape(-1, 3)
        blocks.append(instance.place(points) if instance.place else points)
        assembly.nodes.append({label: start + i for i, label in enumerate(nodes)})
        start += len(nodes)
    return np.concatenate(blocks)


def _cells(assembly: _Assembly) -> dict[str, np.ndarray]:
    kinds = dict.fromkeys(
        kind for instance in assembly.instances for kind in instance.part.kinds
    )
    rows: dict[str, list[list[int]]] = {kind: [] for kind in kinds}
    owners: dict[str, list[tuple[int, int]]] = {kind: [] for kind in kinds}
    for number, instance in enumerate(assembly.instances):
        known = assembly.nodes[number]
        assembly.elements.append({})
        for label, (kind, nodes) in instance.part.elements.items():
            try:
                rows[kind].append([known[node] for node in nodes])
            except KeyError as error:
                raise FormatError(
                    f"element {label} names node {error}, which does not exist"
                ) from error
            owners[kind].append((number, label))
    start = 0
    for kind in kinds:
        for i, (number, label) in enumerate(owners[kind]):
            assembly.elements[number][label] = start + i
        start += len(owners[kind])
    return {
        kind: np.array(nodes, dtype=np.int64).reshape(-1, CELL_TYPES[kind].nodes)
        for kind, nodes in rows.items()
    }


def _sets(assembly: _Assembly, cells: dict[str, np.ndarray], path: object):
    found: dict[str, dict[str, np.ndarray]] = {"N": {}, "E": {}, "S": {}}
    several = sum(bool(i.part.nodes) for i in assembly.instances) > 1
    for number, instance in enumerate(assembly.instances):
        part = instance.part

        def public(kind: str, name: str, number: int = number) -> str:
            owner = assembly.instances[number]
            plain = owner.part.names[kind, name]
            taken = several or plain in found[kind]
            return f"{owner.name}.{plain}" if owner.name and taken else plain

        for kind, name in part.sets:
            members = _members(assembly, number, kind, name, ())
            found[kind][public(kind, name)] = np.array(
                list(dict.fromkeys(members)), dtype=np.int64
            )
        for name, rows in part.surfaces.items():
            facets, whole = _surface(assembly, number, rows, cells)
            shown = public("S", name)
            if facets is None:
                warnings.warn(
                    f"{path}: surface {shown!r} names no face identifier that its "
                    f"cells have; it was left out",
                    MeshWarning,
                    stacklevel=5,
                )
            elif len(facets) or not len(whole):
                found["S"][shown] = facets
            if facets is not None and len(whole):
                found["E"].setdefault(shown, whole)
    return found["N"], found["E"], found["S"]


def _members(
    assembly: _Assembly, number: int, kind: str, name: str, above: tuple
) -> list[int]:
    """Global numbers of the members of a set, nested sets resolved."""
    if (number, name) in above:
        raise FormatError(f"set {name} contains itself")
    above = (*above, (number, name))
    members: list[int] = []
    for member in assembly.instances[number].part.sets[kind, name]:
        members += _resolved(assembly, number, kind, member, above)
    return members


def _resolved(
    assembly: _Assembly, number: int, kind: str, member: str | int, above: tuple
) -> list[int]:
    labels = (assembly.nodes if kind == "N" else assembly.elements)[number]
    if isinstance(member, str) and member.isdigit():
        member = int(member)
    if isinstance(member, int):
        if member in labels:
            return [labels[member]]
    elif (kind, member.upper()) in assembly.instances[number].part.sets:
        return _members(assembly, number, kind, member.upper(), above)
    elif member.startswith("elset:"):
        cells = _resolved(assembly, number, "E", member[6:], above)
        return _nodes_of(assembly, set(cells))
    elif "." in member:
        owner, _, rest = member.partition(".")
        place = assembly.place(owner)
        if place is not None:
            return _resolved(assembly, place, kind, rest, above)
    name = above[-1][1] if above else str(member)
    assembly.missing[name] = assembly.missing.get(name, 0) + 1
    return []


def _nodes_of(assembly: _Assembly, cells: set[int]) -> list[int]:
    nodes = []
    for number, instance in enumerate(assembly.instances):
        for label, (_, members) in instance.part.elements.items():
            if assembly.elements[number][label] in cells:
                nodes += [assembly.nodes[number][node] for node in members]
    return sorted(set(nodes))


def _surface(
    assembly: _Assembly,
    number: int,
    rows: list[tuple[str, str]],
    cells: dict[str, np.ndarray],
) -> tuple[np.ndarray | None, np.ndarray]:
    """Facets of a surface and the cells that are wholly in it (sides of shells)."""
    kinds = np.concatenate(
        [np.full(len(nodes), i) for i, nodes in enumerate(cells.values())] or [[]]
    )
    names = list(cells)
    facets, whole = [], []
    for member, face in rows:
        for cell in _resolved(assembly, number, "E", member, ()):
            kind = names[int(kinds[cell])]
            flat = CELL_TYPES[kind].dimension < 3
            if face in ("SPOS", "SNEG", "") and flat:
                whole.append(cell)
                continue
            sides = faces(kind)
            side = int(face[1:]) - 1 if face[:1] in "SE" and face[1:].isdigit() else -1
            if not 0 <= side < len(sides):
                return None, np.zeros(0, np.int64)
            facets.append((cell, facet_numbers(kind, sides)[side]))
    unique = np.array(list(dict.fromkeys(facets)), dtype=np.int64).reshape(-1, 2)
    return unique, np.array(list(dict.fromkeys(whole)), dtype=np.int64)
