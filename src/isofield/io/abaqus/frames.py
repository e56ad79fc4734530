"""Coordinate systems of an Abaqus file: *SYSTEM, *NODE with SYSTEM, *INSTANCE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isofield.io.abaqus.deck import Block, fields
from isofield.io.registry import FormatError


@dataclass(frozen=True)
class Frame:
    """The rigid motion x -> rotation x + offset."""

    rotation: np.ndarray
    offset: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) points moved."""
        return points @ self.rotation.T + self.offset


def _numbers(line: str, block: Block) -> list[float]:
    try:
        return [float(word.upper().replace("D", "E") or 0) for word in fields(line)]
    except ValueError as error:
        raise FormatError(f"{block.place}: {line[:60]!r}: {error}") from error


def placement(block: Block) -> Frame | None:
    """Where *INSTANCE puts its part: a translation, then a rotation about an axis."""
    if not block.data:
        return None
    shift = np.zeros(3)
    shift[: len(fields(block.data[0]))] = _numbers(block.data[0], block)[:3]
    if len(block.data) == 1:
        return Frame(np.eye(3), shift)
    values = _numbers(block.data[1], block)
    if len(values) != 7:
        raise FormatError(
            f"{block.place}: expected two points of the axis and an angle, found "
            f"{len(values)} numbers"
        )
    start, end, angle = np.array(values[:3]), np.array(values[3:6]), values[6]
    axis = end - start
    length = np.linalg.norm(axis)
    if not length > 0:
        raise FormatError(f"{block.place}: the axis of rotation has no length")
    turn = _rotation(axis / length, np.deg2rad(angle))
    return Frame(turn, turn @ (shift - start) + start)


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula: 1 + sin(angle) K + (1 - cos(angle)) K^2."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def frame_of(block: Block) -> Frame | None:
    """The frame of *SYSTEM: origin, a point on x, a point in the x-y plane."""
    values = [number for line in block.data for number in _numbers(line, block)]
    values += [0.0] * (-len(values) % 3)
    rows = np.reshape(values, (-1, 3))
    if len(rows) == 0:
        return None
    if len(rows) == 1:
        return Frame(np.eye(3), rows[0])
    x = rows[1] - rows[0]
    # with two points alone the global z axis stays the third axis
    z = np.array([0.0, 0.0, 1.0])
    if len(rows) > 2:
        z = np.cross(x, rows[2] - rows[0])
    if not (np.linalg.norm(x) > 0 and np.linalg.norm(np.cross(z, x)) > 0):
        raise FormatError(f"{block.place}: its points span no plane")
    y = np.cross(z, x)
    z = np.cross(x, y)
    axes = np.stack([axis / np.linalg.norm(axis) for axis in (x, y, z)], axis=1)
    return Frame(axes, rows[0])


def from_system(xyz: list[float], block: Block, frame: Frame | None) -> tuple:
    """Global coordinates of a node of *NODE; cylindrical angles are in degrees."""
    system = block.parameters.get("SYSTEM", "R").upper()
    if system == "C":
        radius, angle = xyz[0], np.deg2rad(xyz[1])
        xyz = [radius * np.cos(angle), radius * np.sin(angle), xyz[2]]
    elif system == "S":
        radius, around, up = xyz[0], np.deg2rad(xyz[1]), np.deg2rad(xyz[2])
        flat = radius * np.cos(up)
        xyz = [flat * np.cos(around), flat * np.sin(around), radius * np.sin(up)]
    elif system != "R":
        raise FormatError(f"{block.place}: SYSTEM={system}, expected R, C or S")
    if frame is None:
        return tuple(xyz)
    return tuple(frame(np.array([xyz]))[0])
