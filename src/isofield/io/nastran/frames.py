"""Coordinate systems of Nastran: rectangular, cylindrical and spherical."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from isofield.io.nastran.cards import Card
from isofield.io.registry import FormatError


@dataclass(frozen=True)
class _Frame:
    """Kind R, C or S; columns of `axes` are the directions in the basic system."""

    kind: str
    origin: np.ndarray
    axes: np.ndarray

    def to_basic(self, x: np.ndarray) -> np.ndarray:
        """Basic coordinates of a point given in this system; angles in degrees."""
        if self.kind == "C":
            angle = np.deg2rad(x[1])
            x = np.array([x[0] * np.cos(angle), x[0] * np.sin(angle), x[2]])
        elif self.kind == "S":
            down, around = np.deg2rad(x[1]), np.deg2rad(x[2])
            flat = x[0] * np.sin(down)
            x = np.array(
                [flat * np.cos(around), flat * np.sin(around), x[0] * np.cos(down)]
            )
        return self.origin + self.axes @ x


class Frames:
    """The systems of a file, each worked out when it is first asked for."""

    def __init__(self, cards: list[Card], grid: Callable[[int], np.ndarray]):
        self._grid = grid
        self._cards: dict[int, tuple[Card, int]] = {}
        for card in cards:
            # a CORD1 card may define two systems of four fields each
            starts = (0, 4) if card.name[4] == "1" else (0,)
            for start in starts:
                if card.text(start):
                    self._cards[card.integer(start)] = (card, start)
        self._known: dict[int, _Frame] = {
            0: _Frame("R", np.zeros(3), np.eye(3)),
        }
        self._open: set[int] = set()

    def to_basic(self, number: int, x: np.ndarray) -> np.ndarray:
        """Basic coordinates of the point x (3,) of system `number`."""
        return x if number == 0 else self._frame(number).to_basic(x)

    def _frame(self, number: int) -> _Frame:
        if number in self._known:
            return self._known[number]
        if number not in self._cards:
            raise FormatError(f"coordinate system {number} is not defined")
        if number in self._open:
            raise FormatError(f"coordinate system {number} refers to itself")
        self._open.add(number)
        card, start = self._cards[number]
        if card.name[4] == "1":
            corners = [self._grid(card.integer(start + i)) for i in (1, 2, 3)]
        else:
            base = card.integer(1, 0)
            values = np.reshape([card.real(i) for i in range(2, 11)], (3, 3))
            corners = [self.to_basic(base, row) for row in values]
        frame = self._known[number] = _Frame(card.name[5], corners[0], _axes(*corners))
        self._open.discard(number)
        return frame


def _axes(origin: np.ndarray, on_z: np.ndarray, in_xz: np.ndarray) -> np.ndarray:
    """Columns x, y, z from the origin, a point on z and a point in the x-z plane."""
    z = on_z - origin
    y = np.cross(z, in_xz - origin)
    if not np.linalg.norm(y) > 0:
        raise FormatError("the three points of a coordinate system lie on one line")
    x = np.cross(y, z)
    return np.stack([axis / np.linalg.norm(axis) for axis in (x, y, z)], axis=1)
