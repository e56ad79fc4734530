"""Nastran bulk data, `.bdf` and `.nas`: grid points and the cells between them.

Small, large and free fields, INCLUDE, GRID in any coordinate system (CORD1 and CORD2,
R, C and S), surfaces, solids, bars, beams and rods. Each property is a cell set called
"property <number>". Scalar elements, masses, rigid elements and boundary elements of
heat transfer are no cells and are passed over. Points and cells come in the order of
the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isofield.io.nastran.cards import Card, read_cards
from isofield.io.nastran.frames import Frames
from isofield.io.registry import Format, FormatError
from isofield.mesh import Mesh

__all__ = ["FORMAT"]

_HEX = {8: "hexahedron", 20: "hexahedron20"}
# card -> cell type by number of nodes, place of the first node, has a property or not
_CARDS: dict[str, tuple[dict[int, str], int, bool]] = {
    **dict.fromkeys(
        ("CBAR", "CBEAM", "CROD", "CTUBE", "CBEND"), ({2: "line"}, 2, True)
    ),
    "CONROD": ({2: "line"}, 1, False),
    "PLOTEL": ({2: "line"}, 1, False),
    "CBEAM3": ({2: "line", 3: "line3"}, 2, True),
    **dict.fromkeys(("CTRIA3", "CTRIAR"), ({3: "triangle"}, 2, True)),
    "CTRIA6": ({3: "triangle", 6: "triangle6"}, 2, True),
    **dict.fromkeys(("CQUAD4", "CQUADR", "CSHEAR"), ({4: "quad"}, 2, True)),
    "CQUAD8": ({4: "quad", 8: "quad8"}, 2, True),
    "CQUAD": ({4: "quad", 8: "quad8", 9: "quad9"}, 2, True),
    "CTETRA": ({4: "tetra", 10: "tetra10"}, 2, True),
    **dict.fromkeys(("CPYRAM", "CPYRA"), ({5: "pyramid", 13: "pyramid13"}, 2, True)),
    "CPENTA": ({6: "wedge", 15: "wedge15"}, 2, True),
    "CHEXA": (_HEX, 2, True),
}
# place in the file of VTK's node i
_ORDERS = {
    "hexahedron20": (*range(12), 16, 17, 18, 19, 12, 13, 14, 15),
    "wedge15": (*range(9), 12, 13, 14, 9, 10, 11),
}


def read_nastran(path: Path) -> Mesh:
    """The mesh of a bulk data file; raises `FormatError`."""
    cards = list(read_cards(path))
    places, points = _points(cards)
    if not places:
        raise FormatError("there is no GRID card in it")
    cells: dict[str, list[list[int]]] = {}
    members: dict[str, list[tuple[str, int]]] = {}
    for card in cards:
        if card.name not in _CARDS:
            continue
        kind, nodes = _cell(card)
        try:
            row = [places[node] for node in nodes]
        except KeyError as error:
            raise FormatError(f"card {card} names GRID {error}, not defined") from error
        cells.setdefault(kind, []).append(row)
        if _CARDS[card.name][2]:
            number = card.integer(1, card.integer(0))
            own = members.setdefault(f"property {number}", [])
            own.append((kind, len(cells[kind]) - 1))
    starts = dict(zip(cells, np.cumsum([0, *map(len, cells.values())]), strict=False))
    return Mesh(
        points,
        {kind: np.array(rows, dtype=np.int64) for kind, rows in cells.items()},
        cell_sets={
            name: np.array([starts[kind] + i for kind, i in rows])
            for name, rows in members.items()
        },
    )


def _points(cards: list[Card]) -> tuple[dict[int, int], np.ndarray]:
    """GRID number -> place, and the points in the basic coordinate system."""
    default = next((c.integer(1, 0) for c in cards if c.name == "GRDSET"), 0)
    grids: dict[int, tuple[int, np.ndarray]] = {}
    for card in cards:
        if card.name == "GRID":
            x = np.array([card.real(2), card.real(3), card.real(4)])
            grids[card.integer(0)] = (card.integer(1, default), x)

    def basic(number: int) -> np.ndarray:
        if number not in grids:
            raise FormatError(f"a coordinate system names GRID {number}, not defined")
        return frames.to_basic(*grids[number])

    systems = [c for c in cards if c.name[:4] == "CORD" and c.name[4:] in _SYSTEMS]
    frames = Frames(systems, basic)
    points = np.array([basic(number) for number in grids]).reshape(-1, 3)
    return {number: place for place, number in enumerate(grids)}, points


_SYSTEMS = ("1R", "1C", "1S", "2R", "2C", "2S")


def _cell(card: Card) -> tuple[str, list[int]]:
    """Cell type and GRID numbers in VTK's order."""
    kinds, first, _ = _CARDS[card.name]
    texts = [card.text(first + i) for i in range(max(kinds))]
    while texts and texts[-1] in ("", "0"):
        texts.pop()
    count = len(texts)
    if card.name in ("CTRIA6", "CQUAD8", "CQUAD"):
        # what follows the corners may be other fields where middle nodes are left out
        count = next((n for n in sorted(kinds, reverse=True) if n <= count), count)
    if count not in kinds or "" in texts[:count]:
        raise FormatError(
            f"card {card} has {count - texts.count('')} nodes, expected one of "
            f"{list(kinds)}; elements with some of their middle nodes are not read"
        )
    kind = kinds[count]
    nodes = [card.integer(first + i) for i in range(count)]
    return kind, [nodes[i] for i in _ORDERS.get(kind, range(count))]


def _claims(path: Path) -> bool:
    with open(path, "rb") as file:
        return b"\0" not in file.read(4096)


FORMAT = Format(
    name="Nastran",
    suffixes=(".bdf", ".nas"),
    read=read_nastran,
    claims=_claims,
    apart=True,
)
