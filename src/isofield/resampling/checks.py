"""What two meshes must have for fields to go from one to the other."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from isofield.mesh import Mesh
from isofield.operators import TransferError, TransferWarning
from isofield.operators.coverage import check_domains
from isofield.operators.nearest import check_spaces
from isofield.validation import inspect

Field = tuple[str, str, np.ndarray]


def check_pair(source: Mesh, target: Mesh, max_distance: float | None) -> None:
    """Raises `TransferError` for points that are not finite, for spaces of different
    dimension and for domains that do not meet."""
    for name, mesh in (("source", source), ("target", target)):
        wrong = np.flatnonzero(~np.isfinite(mesh.points).all(1))
        if len(wrong) or not len(mesh.points):
            first = f", the first is number {wrong[0]}" if len(wrong) else ""
            raise TransferError(
                f"{len(wrong)} of {len(mesh.points)} points of the {name} are not "
                f"finite{first}: expected points, all of them finite"
            )
    check_spaces(torch.tensor(source.points), torch.tensor(target.points))
    if source.dimension > 0:
        check_domains(source, target, max_distance or 0.0)


def warn_of_faults(name: str, mesh: Mesh) -> None:
    """A `TransferWarning` that counts cells that are not what a transfer expects."""
    report = inspect(mesh.points, mesh.cells, {}, {})
    flat = np.setdiff1d(report.zero_cells, report.folded_cells)
    found = [
        f"{len(numbers)} {what} (the first is number {numbers[0]})"
        for what, numbers in (
            ("cells of zero measure, which hold nothing", flat),
            ("inverted cells, which count as if turned round", report.inverted_cells),
            ("folded cells, which intersect themselves", report.folded_cells),
        )
        if len(numbers)
    ]
    if found:
        warnings.warn(
            f"of {report.n_cells} cells the {name} has {'; '.join(found)}: where they "
            "overlap others, so do the values; mesh.mended() mends what can be mended",
            TransferWarning,
            stacklevel=3,
        )


def fields_of(mesh: Mesh, names: Sequence[str]) -> Iterator[Field]:
    """Site, name and values of the fields with these names, of all where there are
    none; those at cells of the highest dimension alone.

    Raises `TransferError` for a name that is not there.
    """
    known = [*mesh.point_data, *mesh.cell_data]
    unknown = [name for name in names if name not in known]
    if unknown or not known:
        raise TransferError(
            f"the source has no field {', '.join(map(repr, unknown)) or 'at all'}; it "
            f"has {', '.join(map(repr, known)) or 'none'}"
        )
    top = mesh.top_cells
    for name, values in mesh.point_data.items():
        if not names or name in names:
            yield "points", name, values
    for name, values in mesh.cell_data.items():
        if not names or name in names:
            yield "cells", name, values[top]


def check_kind(values: np.ndarray) -> None:
    """Raises `TransferError` for what is neither a number nor a label."""
    if values.dtype.kind not in "fiub" or values.dtype.itemsize > 8:
        raise TransferError(
            "expected floating point numbers of at most 64 bits, or labels (integers, "
            f"booleans), got {values.dtype}; complex numbers are two fields"
        )


def filled(target: Mesh, found: dict[str, dict[str, np.ndarray]]) -> Mesh:
    """The target with the fields; cells of lower dimension get NaN, as labels 0."""
    cells = {}
    count = sum(map(len, target.cells.values()))
    top = target.top_cells
    for name, values in found["cells"].items():
        empty = math.nan if values.dtype.kind == "f" else 0
        whole = np.full((count, *values.shape[1:]), empty, dtype=values.dtype)
        whole[top] = values
        cells[name] = whole
    return target.with_point_data(found["points"]).with_cell_data(cells)
