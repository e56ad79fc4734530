"""Pictures of fields on meshes and point clouds, in a window or as a PNG file.

Without `path` a window opens that can be turned; with `path`, the same call writes the
same picture to a PNG file and needs no display.
"""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path

import numpy as np

from isofield.mesh import Mesh, MeshError
from isofield.plot.surface import Faces, Piece, drawn, edges, pieces
from isofield.plot.window import Panel, show

__all__ = ["plot", "compare"]

_COLOURS, _ERROR_COLOURS = "viridis", "magma"


def plot(
    mesh: Mesh,
    field: str,
    *,
    component: int | tuple[int, ...] | None = None,
    unit: str | None = None,
    limits: tuple[float, float] | None = None,
    show_edges: bool | None = None,
    title: str = "",
    path: str | PathLike[str] | None = None,
) -> None:
    """Show one field of a mesh or of a point cloud (a mesh without cells).

    field : a name in `point_data` or, where it is not there, in `cell_data`.
    component : of a vector or tensor; without it, the root of the sum of squares.
    unit : stands behind the field's name; without it `field_data["unit:<field>"]`.
    limits : values at the ends of the colour bar; without them those of the field.
    show_edges : of cells; without it, where they are long enough to be told apart.
    path : of a PNG file, which replaces an existing one once it is complete.

    Values that are not finite are grey, with a warning that counts them. Quadratic
    cells are drawn curved.

    Raises `MeshError` for a field that is not there or cannot be drawn, `ValueError`
    for a path that is not a PNG, `RuntimeError` where there is nothing to draw on.
    """
    target = _checked_path(path)
    values, at = _scalars(mesh, field, component)
    label = _label(mesh, field, component, unit)
    faces = drawn(mesh)
    panel = Panel(
        title,
        pieces(mesh, faces, _finite(values, field, at), at),
        _edges(mesh, faces, show_edges),
        label,
        limits or _limits(values),
        _COLOURS,
    )
    show([panel], target)


def compare(
    mesh: Mesh,
    truth: str,
    prediction: str,
    *,
    component: int | tuple[int, ...] | None = None,
    unit: str | None = None,
    show_edges: bool | None = None,
    path: str | PathLike[str] | None = None,
) -> None:
    """Show truth and prediction in the same colours, and the size of their difference.

    truth, prediction : names of two fields of one shape, both at points or at cells.
    The third panel has its own colours and scale: the root of the sum of squares of
    `prediction - truth` over all components, or over the chosen one.

    The other arguments, warnings and errors are those of `plot`; the unit is looked up
    for `truth`.
    """
    target = _checked_path(path)
    true, at = _scalars(mesh, truth, component)
    predicted, other = _scalars(mesh, prediction, component)
    difference = _difference(mesh, truth, prediction, at, other)
    error = np.abs(_magnitude(difference, component, f"{prediction} - {truth}"))
    unit = _unit(mesh, truth) if unit is None else unit
    faces = drawn(mesh)
    lines = _edges(mesh, faces, show_edges)
    shared = _limits(np.concatenate([true, predicted]))
    own = (0.0, _limits(error)[1])
    true_label = _label(mesh, truth, component, unit)
    predicted_label = _label(mesh, prediction, component, unit)
    difference_label = _with_unit("|prediction − truth|", unit)
    shown = [
        ("truth", truth, true, true_label, shared),
        ("prediction", prediction, predicted, predicted_label, shared),
        ("error", f"{prediction} - {truth}", error, difference_label, own),
    ]
    panels = []
    for title, name, values, label, limits in shown:
        parts = pieces(mesh, faces, _finite(values, name, at), at)
        colours = _ERROR_COLOURS if title == "error" else _COLOURS
        panels.append(Panel(title, parts, lines, label, limits, colours))
    show(panels, target)


def _checked_path(path: str | PathLike[str] | None) -> Path | None:
    """Before anything is drawn: a PNG in a folder that exists."""
    if path is None:
        return None
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: expected the name of a .png file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}")
    return path


def _field(mesh: Mesh, name: str) -> tuple[np.ndarray, str]:
    if name in mesh.point_data:
        return mesh.point_data[name], "points"
    if name in mesh.cell_data:
        return mesh.cell_data[name], "cells"
    raise MeshError(
        f"there is no field {name!r}; there are {list(mesh.point_data)} at points and "
        f"{list(mesh.cell_data)} at cells"
    )


def _scalars(
    mesh: Mesh, name: str, component: int | tuple[int, ...] | None
) -> tuple[np.ndarray, str]:
    """(N,) or (T,) the numbers to draw, and where they are."""
    values, at = _field(mesh, name)
    if not len(values):
        raise MeshError(f"{name!r}: there is nothing to draw, the field is empty")
    lost = np.flatnonzero(~np.isfinite(mesh.points).all(axis=1))
    if len(lost):
        raise MeshError(
            f"{len(lost)} of {len(mesh.points)} points are not finite, the first is "
            f"number {lost[0]}; Mesh.validate says what else is wrong"
        )
    scalars = _magnitude(values, component, name)
    if not np.isfinite(scalars).any():
        raise MeshError(f"{name!r}: none of the {len(scalars)} values is finite")
    return scalars, at


def _magnitude(
    values: np.ndarray, component: int | tuple[int, ...] | None, name: str
) -> np.ndarray:
    if values.dtype.kind not in "biuf":
        raise MeshError(f"{name!r}: expected real numbers, got {values.dtype}")
    rank, shape = values.ndim - 1, values.shape[1:]
    values = values.astype(np.float64)
    if component is not None:
        index = (component,) if isinstance(component, int) else tuple(component)
        inside = all(0 <= i < size for i, size in zip(index, shape, strict=False))
        if len(index) != rank or not inside:
            raise MeshError(
                f"{name!r}: component {component} does not fit values of shape {shape}"
            )
        return values[(slice(None), *index)]
    if rank == 0 or shape == (1,):
        return values.reshape(-1)
    return np.linalg.norm(values.reshape(len(values), -1), axis=1)


def _difference(
    mesh: Mesh, truth: str, prediction: str, at: str, other: str
) -> np.ndarray:
    true, predicted = _field(mesh, truth)[0], _field(mesh, prediction)[0]
    if at != other or true.shape != predicted.shape:
        raise MeshError(
            f"expected two fields of one shape, got {truth!r} {true.shape} at {at} and "
            f"{prediction!r} {predicted.shape} at {other}"
        )
    return predicted.astype(np.float64) - true.astype(np.float64)


def _finite(values: np.ndarray, name: str, at: str) -> np.ndarray:
    """The values with NaN, which is drawn grey, for what is not finite."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        warnings.warn(
            f"{name!r}: {wrong.sum()} of {len(values)} values at {at} are not finite "
            f"and drawn in grey, the first is number {wrong.argmax()}",
            stacklevel=3,
        )
    return np.where(wrong, np.nan, values)


def _limits(values: np.ndarray) -> tuple[float, float]:
    """The least and the greatest finite value; some room about a constant."""
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        room = abs(low) / 2 or 1.0
        return low - room, high + room
    return low, high


def _unit(mesh: Mesh, name: str) -> str:
    return str(mesh.field_data.get(f"unit:{name}", ""))


def _with_unit(label: str, unit: str) -> str:
    return f"{label} [{unit}]" if unit else label


def _label(
    mesh: Mesh, name: str, component: int | tuple[int, ...] | None, unit: str | None
) -> str:
    """The title of a colour bar: name, component or magnitude, and unit."""
    unit = _unit(mesh, name) if unit is None else unit
    shape = _field(mesh, name)[0].shape[1:]
    if component is not None:
        index = (component,) if isinstance(component, int) else component
        letters = "xyz" if max(shape) <= 3 else ""
        name += ", " + "".join(letters[i] if letters else str(i) for i in index)
    elif shape not in ((), (1,)):
        name = f"|{name}|"
    return _with_unit(name, unit)


def _edges(mesh: Mesh, faces: list[Faces], wanted: bool | None) -> Piece | None:
    """More than about 8,000 faces in one picture cannot be told apart."""
    if wanted is None:
        wanted = sum(len(face.nodes) for face in faces) <= 8_000
    return edges(mesh, faces) if wanted else None
