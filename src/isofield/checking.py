"""What a mesh is made of, checked at its door: shapes, types, numbers of points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isofield.cells import CELL_TYPES


class MeshError(ValueError):
    """A mesh, or a file that should hold one, is not what was expected."""


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written through; the caller's own array stays writable."""
    view = array.view()
    view.flags.writeable = False
    return view


def _array(values: Any, name: str) -> np.ndarray:
    """As an array in this machine's byte order; raises `MeshError` for ragged rows."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise MeshError(f"{name}: expected rows of one shape ({error})") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def real_points(points: Any) -> np.ndarray:
    """As float64; raises `MeshError` where they are no real numbers."""
    array = _array(points, "points")
    if array.dtype.kind not in "biuf":
        raise MeshError(f"points: expected real numbers, got {array.dtype}")
    return array.astype(np.float64, copy=False)


def _whole(values: Any, name: str) -> np.ndarray:
    """As int64; raises `MeshError` where something would be lost."""
    array = _array(values, name)
    whole = array.dtype.kind in "iu"
    if array.dtype.kind == "f":
        whole = np.isfinite(array).all() and (array == np.trunc(array)).all()
    if not whole:
        raise MeshError(f"{name}: expected whole numbers, got {array.dtype}")
    return array.astype(np.int64, copy=False)


def check_facets(sets: Mapping[str, np.ndarray], cells: Mapping) -> None:
    """Every facet set names facets that the types of its cells have."""
    counts = np.array([len(CELL_TYPES[kind].facets) for kind in cells], np.int64)
    ends = np.cumsum([len(nodes) for nodes in cells.values()])
    for name, members in sets.items():
        known = counts[np.searchsorted(ends, members[:, 0], side="right")]
        wrong = np.flatnonzero((members[:, 1] < 0) | (members[:, 1] >= known))
        if len(wrong):
            cell, facet = members[wrong[0]]
            raise MeshError(
                f"facet_sets[{name!r}]: cell {cell} has {known[wrong[0]]} facets, "
                f"so no facet {facet}"
            )


def checked_cells(kind: str, nodes: np.ndarray, n_points: int) -> np.ndarray:
    """Cells of a known type as int64 rows of its length, of points that exist."""
    if kind not in CELL_TYPES:
        raise MeshError(f"cells: unknown type {kind!r}; known are {list(CELL_TYPES)}")
    nodes = np.ascontiguousarray(_whole(nodes, f"cells[{kind!r}]"))
    width = CELL_TYPES[kind].nodes
    if nodes.ndim != 2 or nodes.shape[1] != width:
        raise MeshError(f"cells: {kind} has {width} nodes, got shape {nodes.shape}")
    wrong = np.flatnonzero(((nodes < 0) | (nodes >= n_points)).any(axis=1))
    if len(wrong):
        raise MeshError(
            f"cells: {len(wrong)} {kind} cells name points that do not exist (cell "
            f"{wrong[0]}: {nodes[wrong[0]].tolist()}; there are {n_points} points)"
        )
    return read_only(nodes)


def checked_data(data: Mapping, attribute: str, count: int) -> dict[str, np.ndarray]:
    """Fields of `count` rows each, in this machine's byte order."""
    checked = {}
    for name, values in data.items():
        values = _array(values, f"{attribute}[{name!r}]")
        if values.dtype.kind == "O":
            raise MeshError(f"{attribute}[{name!r}]: expected numbers, got objects")
        if values.ndim == 0 or len(values) != count:
            raise MeshError(
                f"{attribute}[{name!r}]: expected {count} rows, got {values.shape}"
            )
        checked[str(name)] = read_only(values)
    return checked


def checked_sets(
    sets: Mapping, attribute: str, count: int, columns: int = 1
) -> dict[str, np.ndarray]:
    """Sets as int64 numbers below `count`, or with two columns as pairs of which the
    first is."""
    checked = {}
    shape = "(k, 2)" if columns == 2 else "(k,)"
    for name, members in sets.items():
        members = _whole(members, f"{attribute}[{name!r}]")
        if members.ndim != columns or (columns == 2 and members.shape[1] != 2):
            raise MeshError(
                f"{attribute}[{name!r}]: expected {shape}, got {members.shape}"
            )
        numbers = members[:, 0] if columns == 2 else members
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < count):
            raise MeshError(
                f"{attribute}[{name!r}]: members {numbers.min()} to {numbers.max()} do "
                f"not lie within 0 to {count - 1}"
            )
        checked[str(name)] = read_only(members)
    return checked
