"""Moving least squares: transfer between clouds of points."""

from __future__ import annotations

import math
import warnings
from itertools import combinations_with_replacement
from typing import Literal

import torch
from torch import Tensor

from isofield.graph import Graph, knn_graph, radius_graph
from isofield.operators.nearest import check_spaces, spacing
from isofield.operators.places import Where, entries, places_of
from isofield.operators.sparse import SparseOperator, TransferError

AT_ONCE = 1 << 20
# how much rounding the smallest singular value may bear, against the largest
CONDITION = 1e-6
GROWTHS = 4  # of a reach that is chosen here, where it gives no regular fit


class DegreeWarning(UserWarning):
    """A fit has a lower degree than was asked for."""


def moving_least_squares(
    source: Where,
    target: Where,
    *,
    degree: int = 1,
    radius: float | None = None,
    source_at: str = "points",
    target_at: str = "points",
    outside: Literal["error", "nearest", "nan"] = "error",
) -> SparseOperator:
    """The value at each target of the polynomial that fits its neighbours best.

        min_p sum_j w_j omega(|y_j - x| / r) (p(y_j) - u_j)^2,   v(x) = p(x)

    p of at most this degree, omega(s) = (1 - s^2)^2, w_j the weights of the source, so
    that it is the integral over a ball and no point counts twice for being split; 1 for
    points without a measure. Keeps polynomials up to the degree to rounding; order
    degree + 1. Values may leave the range of the source. Cost O(E k^2) for E pairs.

    source, target : meshes, discretizations or points. radius : r, length; where it is
    not given, 1.5 times the distance to the k-th neighbour of the target, k the number
    of coefficients and 2, so that it follows the density of the source, and more where
    the fit is singular there. outside :
    targets with no source within the radius, or, without a radius, further from their
    nearest source than its 6d-th neighbour is from that: an error, NaN, or the nearest
    value. A cloud has no other end: within that distance a fit may extrapolate.

    Where neighbours are too few or lie so that the fit is singular to 1e-6 (on a line,
    a plane, a sphere), only the directions in which they vary are fitted: the
    polynomial of least size, by singular values. Where such a fit does not keep
    constants to 1e-9, the degree is lowered, at last to 0, and a `DegreeWarning` counts
    that. facts["degree"] : (M,) the degree used; facts["outside"] : (M,) the distance
    to the nearest source of those without one in reach, 0 otherwise.

    Source: P. Lancaster and K. Salkauskas 1981, doi:10.1090/S0025-5718-1981-0616367-1.
    """
    if degree not in (0, 1, 2, 3):
        raise ValueError(f"degree: expected 0, 1, 2 or 3, got {degree}")
    if outside not in ("error", "nearest", "nan"):
        raise ValueError(
            f"outside: expected 'error', 'nearest' or 'nan', got {outside!r}"
        )
    a, b = places_of(source, target, source_at, target_at)
    check_spaces(a.points, b.points)
    weights = torch.ones_like(a.points[:, 0])
    if a.discretization is not None:
        weights = a.discretization.weights
    graph, reach = _neighbours(a.points, b.points, degree, radius)
    alone = graph.degree() == 0
    nearest = knn_graph(a.points, b.points, 1).source
    gap = (a.points[nearest] - b.points).norm(dim=1)
    if radius is None:
        alone |= (
            gap
            > spacing(a.points, torch.arange(len(a.points), device=gap.device))[nearest]
        )
    _check_alone(alone, gap, outside)
    values, used = _fitted(a.points, b.points, weights, graph, reach, degree)
    for _ in range(GROWTHS if radius is None else 0):
        low = (used < degree) & ~alone
        if not bool(low.any()):
            break
        reach = torch.where(low, 1.5 * reach, reach)
        graph = _within(a.points, b.points, reach)
        values, used = _fitted(a.points, b.points, weights, graph, reach, degree)
    lowered = int(((used < degree) & ~alone).sum())
    if lowered:
        warnings.warn(
            f"{lowered} of {len(b.points)} targets have too few neighbours for degree "
            f"{degree}: the degree is lower there (facts['degree'])",
            DegreeWarning,
            stacklevel=2,
        )
    rows, columns = graph.target, graph.source
    if bool(alone.any()):
        kept = ~alone[rows]
        far = alone.nonzero()[:, 0]
        rows, columns, values = rows[kept], columns[kept], values[kept]
        if outside == "nearest":
            rows, columns = torch.cat([rows, far]), torch.cat([columns, nearest[far]])
            values = torch.cat([values, values.new_ones(len(far))])
    graph, values = entries(rows, columns, values, len(b.points), len(a.points))
    return SparseOperator(
        graph,
        values,
        a.discretization,
        b.discretization,
        "moving_least_squares",
        alone if outside == "nan" else torch.zeros_like(alone),
        {"degree": used, "outside": torch.where(alone, gap, 0.0)},
    )


def _neighbours(
    source: Tensor, target: Tensor, degree: int, radius: float | None
) -> tuple[Graph, Tensor]:
    """Sources within reach of each target, and the reach (M,)."""
    d = source.shape[1]
    if radius is not None:
        graph = radius_graph(source, target, radius)
        return graph, torch.full_like(target[:, 0], radius)
    k = min(math.comb(d + degree, d) + 2, len(source))
    near = knn_graph(source, target, k)
    gap = (source[near.source] - target[near.target]).norm(dim=1)
    last = torch.zeros_like(target[:, 0]).scatter_reduce(0, near.target, gap, "amax")
    return _within(source, target, 1.5 * last), 1.5 * last


def _within(source: Tensor, target: Tensor, reach: Tensor) -> Graph:
    """Sources within the reach of each target."""
    found = []
    # reaches of one power of two at a time, so that a graded source stays linear
    level = torch.log2(reach.clamp(min=1e-300)).ceil()
    for value in level.unique():
        rows = (level == value).nonzero()[:, 0]
        part = radius_graph(source, target[rows], float(reach[rows].max()))
        i, j = rows[part.target], part.source
        within = (source[j] - target[i]).norm(dim=1) <= reach[i]
        found.append((i[within], j[within]))
    i, j = (torch.cat(x) for x in zip(*found, strict=True))
    order = torch.argsort(i * len(source) + j)
    edges = torch.stack([j[order], i[order]])
    return Graph(edges, len(source), len(target))


def _fitted(
    source: Tensor,
    target: Tensor,
    weights: Tensor,
    graph: Graph,
    reach: Tensor,
    degree: int,
) -> tuple[Tensor, Tensor]:
    """(E,) the entries, and (M,) the degree used. Targets with equally many neighbours,
    up to a power of two, are solved together."""
    count = graph.degree()
    values, used = source.new_zeros(graph.n_edges), torch.zeros_like(count)
    size = torch.where(count > 0, torch.log2(count.double()).ceil(), -1.0)
    for value in size.unique():
        if value < 0:
            continue
        rows = (size == value).nonzero()[:, 0]
        most = int(count[rows].max())
        for block in rows.split(max(1, AT_ONCE // (most * (degree + 2) ** 2))):
            place = torch.arange(most, device=source.device)
            slot = graph.ptr[block][:, None] + place
            real = place < count[block][:, None]
            slot = torch.where(real, slot, 0)
            j = graph.source[slot]
            scaled = (source[j] - target[block][:, None]) / reach[block][:, None, None]
            window = (1 - scaled.square().sum(2)).clamp(min=0).square() * weights[j]
            root = torch.where(real, window, 0.0).sqrt()
            entries_, found = _solved(scaled, root, degree)
            values[slot[real]] = entries_[real]
            used[block] = found
    return values, used


def _solved(scaled: Tensor, root: Tensor, degree: int) -> tuple[Tensor, Tensor]:
    """(K, n) the entries of K fits in scaled offsets (K, n, d), and the degree used."""
    result = torch.zeros_like(root)
    open_ = torch.arange(len(root), device=root.device)
    used = torch.zeros_like(open_)
    for p in range(degree, -1, -1):
        basis = _monomials(scaled[open_], p) * root[open_][:, :, None]
        left, size, right = torch.linalg.svd(basis, full_matrices=False)
        kept = size > CONDITION * size[:, :1]
        inverse = torch.where(kept, 1 / torch.where(kept, size, 1.0), 0.0)
        # the constant's row of the pseudo-inverse: p(x) = c_0
        row = torch.einsum("ks,ks,kns->kn", right[:, :, 0], inverse, left)
        row = row * root[open_]
        good = ((row.sum(1) - 1).abs() < 1e-9) | (p == 0)
        enough = (root[open_] > 0).sum(1) >= basis.shape[2]
        good &= enough | (p == 0)
        result[open_[good]], used[open_[good]] = row[good], p
        open_ = open_[~good]
        if not len(open_):
            break
    return result, used


def _monomials(x: Tensor, degree: int) -> Tensor:
    """(K, n, m) the monomials of points (K, n, d) up to a degree, 1 first."""
    columns = [torch.ones_like(x[:, :, 0])]
    for p in range(1, degree + 1):
        for axes in combinations_with_replacement(range(x.shape[2]), p):
            columns.append(torch.stack([x[:, :, axis] for axis in axes]).prod(0))
    return torch.stack(columns, 2)


def _check_alone(alone: Tensor, gap: Tensor, outside: str) -> None:
    if outside == "error" and bool(alone.any()):
        raise TransferError(
            f"{int(alone.sum())} of {len(alone)} targets have no source within reach, "
            f"the furthest is {float(gap[alone].max()):.6g} from one: give a larger "
            "radius, or outside='nearest' or outside='nan'"
        )
