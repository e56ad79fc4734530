"""Transfer that keeps the integral of every field."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from isofield.discretization import Discretization
from isofield.mesh import Mesh
from isofield.operators.coverage import (
    Overlap,
    check_meshes,
    check_overlap,
    middles,
    uncovered,
)
from isofield.operators.nearest import nearest_numbers
from isofield.operators.places import added, entries
from isofield.operators.projection import nodal
from isofield.operators.sparse import SparseOperator
from isofield.operators.supermesh import (
    Split,
    cell_centroids,
    cell_measures,
    given_in_full,
    overlaps,
    split,
)

Site = Literal["points", "cells"]
Partial = Literal["overlap", "whole"]
Outside = Literal["error", "nearest", "nan"]

ROUNDING = 1e-9


def conservative(
    source: Mesh,
    target: Mesh,
    *,
    source_at: Site = "cells",
    target_at: Site = "cells",
    partial: Partial = "overlap",
    outside: Outside = "error",
) -> SparseOperator:
    """The transfer that keeps the integral of every field and every constant.

        v_T = 1 / |T| sum_S |T n S| u_S,   cells to cells, order 1

    with the exact measures of all intersections (the supermesh); where points are
    named, the Galerkin projection over it, order 2 (`isofield.operators.projection`).
    Both are exact to rounding for meshes of all cell types, of lines, faces in the
    plane, volumes, and of surfaces in space. Cost: proportional to the number of
    intersections; numbers of values are kept, their range by cells alone.

    source_at, target_at : where the fields live. partial : of a target cell that the
    source covers in part. "overlap": |T n source| in place of |T|, the mean over what
    is covered: constants are kept, and the integral over the overlap in the covered
    measure, which is that of the operator's `target`. "whole": |T|, so that
    `sum_T |T| v_T` is the integral over the overlap; constants fall off there. outside
    : targets without overlap: an error with their count and the largest distance, NaN,
    or the value of the nearest source. facts["coverage"] : the covered share of each
    target. facts["outside"] : the distance of those without overlap to the source, 0 of
    the others; inf where outside="nan" asks for none.

    Two triangulations of one curved surface do not have the same area. The source is
    projected along the normals of the target, each of its cells gives all that it has,
    and the measure of the operator's `target` is what arrives, |T| (1 + O(h^2)): in it
    constants and integrals are kept.

    Warns with `TransferWarning` where target cells, or the source, are covered by less
    than 1 - 1e-3 of their measure (on surfaces 0.8), or two surfaces differ by 1 % in
    area where they meet. Raises `TransferError` for domains that do not meet, for other
    dimensions, and where cells of one mesh overlap each other, so that a cell of the
    other is covered more than once.
    """
    check_meshes(source, target)
    for name, value, known in (
        ("source_at", source_at, ("points", "cells")),
        ("target_at", target_at, ("points", "cells")),
        ("partial", partial, ("overlap", "whole")),
        ("outside", outside, ("error", "nearest", "nan")),
    ):
        if value not in known:
            raise ValueError(f"{name}: expected one of {known}, got {value!r}")
    if (source_at, target_at) != ("cells", "cells"):
        return nodal(source, target, source_at, target_at, partial, outside)
    return _of_cells(source, target, partial, outside)


class Shared(NamedTuple):
    """target, source : (K,) cells that meet, measure : (K,) of what they share; on
    surfaces met : (K,) of it in the planes of the target."""

    target: Tensor
    source: Tensor
    measure: Tensor
    met: Tensor


def _shared(source: Split, target: Split) -> Shared:
    """The overlap matrix of the cells, entry by entry."""
    parts = [(torch.zeros(0, dtype=torch.int64), source.measure[:0])]
    for s, t, measure in overlaps(source, target):
        keys = target.cell[t] * source.n_cells + source.cell[s]
        parts.append(added(keys, measure))
    keys, met = added(*(torch.cat(x) for x in zip(*parts, strict=True)))
    kept = met > 0
    rows, columns, met = (
        x[kept] for x in (keys // source.n_cells, keys % source.n_cells, met)
    )
    total = met
    if source.corners.shape[2] > source.dimension:
        total = given_in_full(columns, met, cell_measures(source))
    return Shared(rows, columns, total, met)


def _of_cells(a: Mesh, b: Mesh, partial: Partial, outside: Outside) -> SparseOperator:
    source, target = split(a), split(b)
    rows, columns, measure, met = _shared(source, target)
    whole, places = cell_measures(target), middles(b)
    covered = torch.zeros_like(whole).index_add(0, rows, measure)
    coverage = torch.where(whole > 0, covered / whole, 0.0)
    empty = coverage <= ROUNDING
    distance = uncovered(a, places, empty, whole == 0, "target cells", outside)
    overlap = Overlap.none(source, target)
    overlap.add(rows, columns, met)
    check_overlap(overlap, source, target)
    divisor = covered if partial == "overlap" else whole
    kept = ~empty[rows]
    rows, columns, values = rows[kept], columns[kept], (measure / divisor[rows])[kept]
    if outside == "nearest":
        far = empty.nonzero()[:, 0]
        nearby = nearest_numbers(middles(a), places[far])
        rows, columns = torch.cat([rows, far]), torch.cat([columns, nearby])
        values = torch.cat([values, values.new_ones(len(far))])
    graph, values = entries(rows, columns, values, target.n_cells, source.n_cells)
    return SparseOperator(
        graph,
        values,
        _cells(source, cell_measures(source)),
        _cells(target, torch.where(empty, whole, divisor)),
        "conservative",
        empty if outside == "nan" else torch.zeros_like(empty),
        {"coverage": torch.where(empty, 0.0, coverage), "outside": distance},
    )


def _cells(domain: Split, weights: Tensor) -> Discretization | None:
    """The cells as points with a measure; None where a cell has none."""
    if not bool((weights > 0).all()):
        return None
    return Discretization(cell_centroids(domain), weights)
