"""Transfer that keeps the integral of every field."""

from __future__ import annotations

import warnings
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from isofield.discretization import Discretization
from isofield.mesh import Mesh
from isofield.operators.nearest import nearest_numbers
from isofield.operators.places import added, entries
from isofield.operators.projection import nodal
from isofield.operators.sparse import SparseOperator, TransferError
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

# a share of a measure above which a difference of two domains is said
NOTABLE = 1e-3
CURVED = 0.2  # on surfaces, whose triangulations differ themselves
ROUNDING = 1e-9
# a share that is covered twice, above the rounding of slivers
TWICE = 1e-6


class TransferWarning(UserWarning):
    """A transfer is made, but not of everything to everywhere."""


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
    : target cells without overlap: an error, NaN, or the value of the nearest source
    cell. facts["coverage"] : the covered share of each target cell.

    Two triangulations of one curved surface do not have the same area. The source is
    projected along the normals of the target, each of its cells gives all that it has,
    and the measure of the operator's `target` is what arrives, |T| (1 + O(h^2)): in it
    constants and integrals are kept.

    Warns with `TransferWarning` where target cells, or the source, are covered by less
    than 1 - 1e-3 of their measure, or two surfaces differ by 1 % in area. Raises
    `TransferError` for domains that do not meet, for other dimensions, and for a source
    that covers a target cell more than once.
    """
    _check(source, target)
    for name, value, known in (
        ("source_at", source_at, ("points", "cells")),
        ("target_at", target_at, ("points", "cells")),
        ("partial", partial, ("overlap", "whole")),
        ("outside", outside, ("error", "nearest", "nan")),
    ):
        if value not in known:
            raise ValueError(f"{name}: expected one of {known}, got {value!r}")
    a, b = split(source), split(target)
    if (source_at, target_at) != ("cells", "cells"):
        return nodal(a, b, source_at, target_at, partial, outside)
    shared = _shared(a, b)
    return _of_cells(a, b, shared, partial, outside)


class Shared(NamedTuple):
    """target, source : (K,) cells that meet, measure : (K,) of what they share."""

    target: Tensor
    source: Tensor
    measure: Tensor


def _shared(source: Split, target: Split) -> Shared:
    """The overlap matrix of the cells, entry by entry."""
    parts = []
    for s, t, measure in overlaps(source, target):
        keys = target.cell[t] * source.n_cells + source.cell[s]
        parts.append(added(keys, measure))
    keys, total = added(*(torch.cat(x) for x in zip(*parts, strict=True)))
    kept = total > 0
    rows, columns, total = (
        x[kept] for x in (keys // source.n_cells, keys % source.n_cells, total)
    )
    if source.corners.shape[2] > source.dimension:
        total = given_in_full(columns, total, cell_measures(source))
    return Shared(rows, columns, total)


def _of_cells(
    source: Split, target: Split, shared: Shared, partial: Partial, outside: Outside
) -> SparseOperator:
    whole, given = cell_measures(target), cell_measures(source)
    covered = torch.zeros_like(whole).index_add(0, shared.target, shared.measure)
    used = torch.zeros_like(given).index_add(0, shared.source, shared.measure)
    coverage = torch.where(whole > 0, covered / whole, 0.0)
    if source.corners.shape[2] > source.dimension:
        ratio = float(whole.sum() / given.sum())
        _check_areas(ratio)
        _check_coverage(ratio * coverage, float(used.sum() / given.sum()), CURVED)
    else:
        _check_twice(coverage)
        _check_coverage(coverage, float(used.sum() / given.sum()), NOTABLE)
    divisor = covered if partial == "overlap" else whole
    empty = coverage <= ROUNDING
    missing = torch.zeros_like(empty)
    rows, columns = shared.target, shared.source
    values = shared.measure / divisor[rows]
    if bool(empty.any()):
        rows, columns, values, missing = _completed(
            source, target, empty, outside, (rows, columns, values)
        )
    graph, values = entries(rows, columns, values, target.n_cells, source.n_cells)
    weights = torch.where(empty, whole, divisor)
    return SparseOperator(
        graph,
        values,
        _cells(source, given),
        _cells(target, weights),
        "conservative",
        missing,
        {"coverage": coverage},
    )


def _completed(
    source: Split,
    target: Split,
    empty: Tensor,
    outside: Outside,
    found: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Entries, and which targets are missing, with the empty cells as asked for."""
    rows, columns, values = found
    kept = ~empty[rows]
    rows, columns, values = rows[kept], columns[kept], values[kept]
    if outside == "error":
        number = int(empty.nonzero()[0])
        raise TransferError(
            f"{int(empty.sum())} of {len(empty)} target cells do not meet the source, "
            f"the first is number {number}: pass outside='nearest' or outside='nan', "
            "or leave them out of the target"
        )
    if outside == "nan":
        return rows, columns, values, empty
    far = empty.nonzero()[:, 0]
    nearby = nearest_numbers(cell_centroids(source), cell_centroids(target)[far])
    rows, columns = torch.cat([rows, far]), torch.cat([columns, nearby])
    values = torch.cat([values, values.new_ones(len(far))])
    return rows, columns, values, torch.zeros_like(empty)


def _cells(domain: Split, weights: Tensor) -> Discretization | None:
    """The cells as points with a measure; None where a cell has none."""
    if not bool((weights > 0).all()):
        return None
    return Discretization(cell_centroids(domain), weights)


def _check(source: Mesh, target: Mesh) -> None:
    dimensions = [(mesh.dimension, mesh.points.shape[1]) for mesh in (source, target)]
    if dimensions[0] != dimensions[1]:
        (m, d), (n, e) = dimensions
        raise TransferError(
            f"expected two meshes of one kind, got cells of dimension {m} in {d}-D and "
            f"of dimension {n} in {e}-D: bring the points to the same number of "
            "coordinates, or take `linear` with max_distance, which projects"
        )
    low_s, high_s = source.points.min(0), source.points.max(0)
    low_t, high_t = target.points.min(0), target.points.max(0)
    if (low_s > high_t).any() or (low_t > high_s).any():
        raise TransferError(
            f"the domains do not meet: the source lies within {low_s.tolist()} to "
            f"{high_s.tolist()}, the target within {low_t.tolist()} to "
            f"{high_t.tolist()}; are both in the same units?"
        )


def _check_areas(ratio: float) -> None:
    if abs(ratio - 1) > 0.01:
        warnings.warn(
            f"the target surface has {ratio:.4g} times the area of the source: "
            "check that both are of one shape",
            TransferWarning,
            stacklevel=4,
        )


def _check_twice(coverage: Tensor) -> None:
    twice = int((coverage > 1 + TWICE).sum())
    if twice:
        raise TransferError(
            f"{twice} of {len(coverage)} target cells are covered more than once: "
            "cells of the source overlap each other (mesh.validate() names inverted "
            "ones)"
        )


def _check_coverage(coverage: Tensor, used: float, notable: float) -> None:
    short = int((coverage < 1 - notable).sum())
    lost = max(0.0, 1 - used)  # rounding may use a little more than all
    if short or used < 1 - notable:
        warnings.warn(
            f"{short} of {len(coverage)} target cells are covered by less than "
            f"{100 * (1 - notable):g} %, and {100 * lost:.3g} % of the source's "
            "measure lies outside of the target: the integral over the overlap is kept",
            TransferWarning,
            stacklevel=4,
        )
