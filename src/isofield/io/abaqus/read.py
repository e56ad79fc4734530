"""From Abaqus keyword blocks to parts and instances by the labels of the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from isofield.cells import CELL_TYPES
from isofield.io.abaqus.deck import Block, fields, read_blocks
from isofield.io.abaqus.elements import ORDERS, cell_type
from isofield.io.abaqus.frames import Frame, frame_of, from_system, placement
from isofield.io.registry import FormatError

_LARGEST = 10**8
_GENERATING = ("NGEN", "NFILL", "NCOPY", "NMAP", "ELGEN", "ELCOPY", "TIE MESH")


@dataclass
class Part:
    """Nodes, elements and sets by the labels of the file.

    elements : label -> (cell type, node labels). sets : ("N" or "E", upper-case name)
    -> members, which are labels, names, or either behind "instance.". surfaces :
    upper-case name -> (element or set, face). names : how each name was first written.
    """

    nodes: dict[int, tuple[float, ...]] = field(default_factory=dict)
    elements: dict[int, tuple[str, list[int]]] = field(default_factory=dict)
    kinds: dict[str, None] = field(default_factory=dict)
    sets: dict[tuple[str, str], list[str | int]] = field(default_factory=dict)
    surfaces: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    frame: Frame | None = None

    def add(self, kind: str, name: str, members: Iterable[str | int]) -> None:
        """Adds members to a set, which may exist already."""
        self.names.setdefault((kind, name.upper()), name)
        self.sets.setdefault((kind, name.upper()), []).extend(members)


@dataclass
class Instance:
    """A part in its place; the model itself where the file has no instances."""

    name: str
    part: Part
    place: Frame | None = None


@dataclass
class Deck:
    """Everything of the file that is geometry."""

    model: Part = field(default_factory=Part)
    parts: dict[str, Part] = field(default_factory=dict)
    instances: list[Instance] = field(default_factory=list)


def read_deck(path: Path) -> Deck:
    """All parts and instances of the input file."""
    deck = Deck()
    current = deck.model
    for block in read_blocks(Path(path)):
        word, parameters = block.keyword, block.parameters
        if word == "PART":
            current = deck.parts.setdefault(_name(block, "NAME").upper(), Part())
        elif word == "INSTANCE":
            current = _instance(block, deck)
        elif word in ("END PART", "END INSTANCE"):
            current = deck.model
        elif word == "NODE":
            _add_nodes(block, current)
        elif word == "ELEMENT":
            _add_elements(block, current)
        elif word in ("NSET", "ELSET"):
            _add_set(block, current)
        elif (
            word == "SURFACE" and parameters.get("TYPE", "ELEMENT").upper() == "ELEMENT"
        ):
            _add_surface(block, current)
        elif word == "SYSTEM":
            current.frame = frame_of(block)
        elif word in _GENERATING:
            raise FormatError(
                f"{block.place}: generated nodes and elements are not read; let the "
                f"preprocessor write them out"
            )
    return deck


def _name(block: Block, key: str) -> str:
    if not block.parameters.get(key):
        raise FormatError(f"{block.place}: the parameter {key} is missing")
    return block.parameters[key]


def _instance(block: Block, deck: Deck) -> Part:
    """The part of a new instance: shared, or its own copy to which it may add."""
    name, part = _name(block, "NAME"), block.parameters.get("PART", "").upper()
    if part and part not in deck.parts:
        raise FormatError(f"{block.place}: there is no part {part}")
    source = deck.parts.get(part, Part())
    own = Part(
        dict(source.nodes),
        dict(source.elements),
        dict(source.kinds),
        {key: list(members) for key, members in source.sets.items()},
        {key: list(members) for key, members in source.surfaces.items()},
        dict(source.names),
    )
    deck.instances.append(Instance(name, own, placement(block)))
    return own


def _integers(words: list[str], block: Block) -> list[int]:
    try:
        return [int(word) for word in words]
    except ValueError as error:
        raise FormatError(f"{block.place}: expected whole numbers: {error}") from error


def _add_nodes(block: Block, part: Part) -> None:
    labels = []
    for line in block.data:
        words = fields(line)
        try:
            xyz = [
                float(word.upper().replace("D", "E")) if word else 0.0
                for word in words[1:4]
            ]
            label = int(words[0])
        except (ValueError, IndexError) as error:
            raise FormatError(f"{block.place}: {line[:60]!r}: {error}") from error
        xyz += [0.0] * (3 - len(xyz))
        labels.append(label)
        part.nodes[label] = from_system(xyz, block, part.frame)
    if block.parameters.get("NSET"):
        part.add("N", block.parameters["NSET"], labels)


def _add_elements(block: Block, part: Part) -> None:
    try:
        kind = cell_type(_name(block, "TYPE").upper())
    except FormatError as error:
        raise FormatError(f"{block.place}: {error}") from error
    order = ORDERS.get(kind)
    width = CELL_TYPES[kind].nodes
    part.kinds.setdefault(kind)
    labels, words = [], []
    for line in block.data:
        words += fields(line)
        if len(words) <= width:
            continue
        label, *nodes = _integers(words, block)
        # a beam may name one more node, which only sets its orientation
        if len(nodes) > width + (kind in ("line", "line3")):
            raise FormatError(
                f"{block.place}: element {label} has {len(nodes)} nodes, {kind} has "
                f"{width}"
            )
        if label in part.elements:
            raise FormatError(f"{block.place}: element {label} is defined twice")
        nodes = [nodes[i] for i in order] if order else nodes[:width]
        part.elements[label] = (kind, nodes)
        labels.append(label)
        words = []
    if words:
        raise FormatError(f"{block.place}: the last element has too few nodes: {words}")
    if block.parameters.get("ELSET"):
        part.add("E", block.parameters["ELSET"], labels)


def _add_set(block: Block, part: Part) -> None:
    kind = block.keyword[0]
    name = _name(block, block.keyword)
    prefix = block.parameters.get("INSTANCE", "")
    members: list[str | int] = []
    if kind == "N" and block.parameters.get("ELSET"):
        part.add("N", name, [f"elset:{block.parameters['ELSET']}"])
        return
    for line in block.data:
        words = fields(line)
        if "GENERATE" in block.parameters:
            first, last, *step = _integers(words, block)
            if last - first > _LARGEST:
                raise FormatError(
                    f"{block.place}: {first} to {last} is no set of labels"
                )
            words = range(first, last + 1, step[0] if step and step[0] else 1)
        for word in words:
            if word == "":
                continue
            number = isinstance(word, int) or word.isdigit()
            if prefix:
                members.append(f"{prefix}.{word}")
            else:
                members.append(int(word) if number else str(word))
    part.add(kind, name, members)


def _add_surface(block: Block, part: Part) -> None:
    name = _name(block, "NAME")
    part.names.setdefault(("S", name.upper()), name)
    rows = part.surfaces.setdefault(name.upper(), [])
    for line in block.data:
        words = [*fields(line), ""]
        rows.append((words[0], words[1].upper()))
