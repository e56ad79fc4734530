"""Galerkin projection between the spaces of two meshes, over their supermesh."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from isofield.cells import CELL_TYPES
from isofield.discretization import Discretization
from isofield.mesh import Mesh
from isofield.operators.coverage import Overlap, check_overlap, middles, uncovered
from isofield.operators.mass import Mass
from isofield.operators.nearest import nearest_numbers
from isofield.operators.places import added, entries
from isofield.operators.sparse import SparseOperator, TransferError
from isofield.operators.supermesh import (
    Pieces,
    Split,
    cell_centroids,
    given_in_full,
    pieces,
    split,
)
from isofield.quadrature import quadrature

# numbers in the local matrices of the pieces that are assembled at one time
AT_ONCE = 1 << 18
# a share of its support below which a target counts as outside of the source
UNCOVERED = 1e-10
SIMPLICES = {1: "line", 2: "triangle", 3: "tetra"}


class Space(Protocol):
    """Functions on the simplices of a split, of this degree, one for each place."""

    @property
    def split(self) -> Split: ...

    @property
    def degree(self) -> int: ...

    @property
    def places(self) -> Tensor: ...

    def numbers(self, simplex: Tensor) -> Tensor:
        """(K, k) the functions that do not vanish on the simplices (K,)."""
        ...

    def values(self, simplex: Tensor, at: Tensor) -> Tensor:
        """(K, Q, k) of these at barycentric coordinates (K, Q, m + 1)."""
        ...


@dataclass(frozen=True, eq=False)
class Constants:
    """One on each cell, at its centroid; without measure, at the mean of its nodes."""

    split: Split
    middles: Tensor
    degree: int = 0

    @property
    def places(self) -> Tensor:
        found = cell_centroids(self.split)
        return torch.where(found.isnan(), self.middles, found)

    def numbers(self, simplex: Tensor) -> Tensor:
        return self.split.cell[simplex][:, None]

    def values(self, simplex: Tensor, at: Tensor) -> Tensor:
        return at.new_ones(*at.shape[:2], 1)


@dataclass(frozen=True, eq=False)
class Linears:
    """Continuous and linear on each simplex, one for each point of the mesh."""

    split: Split
    degree: int = 1

    @property
    def places(self) -> Tensor:
        return self.split.points

    def numbers(self, simplex: Tensor) -> Tensor:
        return self.split.nodes[simplex]

    def values(self, simplex: Tensor, at: Tensor) -> Tensor:
        return at @ self.split.share[simplex]


@dataclass(frozen=True, eq=False)
class Quadratics:
    """Continuous and quadratic on each straight simplex, one for each point."""

    split: Split
    kind: str
    degree: int = 2

    @property
    def places(self) -> Tensor:
        return self.split.points

    def numbers(self, simplex: Tensor) -> Tensor:
        return self.split.nodes[simplex]

    def values(self, simplex: Tensor, at: Tensor) -> Tensor:
        # corners may have been turned round: back to the order of the cell's nodes
        m = at.shape[2]
        in_order = at @ self.split.share[simplex][:, :, :m]
        reference = in_order[:, :, 1:].reshape(-1, m - 1).numpy()
        shape = torch.from_numpy(CELL_TYPES[self.kind].shape(reference))
        return shape.view(*at.shape[:2], -1)


def nodal(
    source: Mesh,
    target: Mesh,
    source_at: str,
    target_at: str,
    partial: str = "overlap",
    outside: str = "error",
) -> SparseOperator:
    """The Galerkin projection between fields at points or cells.

    `int v phi_i = int u phi_i` for all functions phi_i of the target: v = M^-1 B u with

        B_ij = int phi_i^target phi_j^source,   M_ij = int phi_i^target phi_j^target

    over the pieces of the supermesh. phi are the constants of cells, or the functions
    that are linear on each simplex of the split: the shape functions of linear
    simplices, those of the linear children of quadratic cells, and of other cells the
    linear functions on the fan around their mean points. Keeps constants and integrals
    to rounding; order 2 from points to points, order 1 in the maximum where cells are
    concerned, 2 in their means. Values may leave the range of the source: `bounded`.

    The operator's `source` and `target` carry the weights `int phi_j` in which the
    integral is kept: on simplices the lumped weights of `from_mesh`, on other cells
    O(h^2) from them. partial, outside : as for `conservative`; in "overlap" M and the
    weights of the target are taken over what is covered.
    """
    given, wanted = (
        Linears(split(mesh))
        if at == "points"
        else Constants(split(mesh), middles(mesh))
        for mesh, at in ((source, source_at), (target, target_at))
    )
    return projection(source, given, wanted, "conservative", partial, outside)


def projection(
    mesh: Mesh, source: Space, target: Space, method: str, partial: str, outside: str
) -> SparseOperator:
    """`nodal` for any two spaces. mesh : of the source."""
    m, n = len(target.places), len(source.places)
    curved = source.split.corners.shape[2] > source.split.dimension
    overlap = Overlap.none(source.split, target.split)
    found = _counted(pieces(source.split, target.split), source, target, overlap)
    mixed, mass, support = _assembled(found, target, source)
    alone = _assembled([_itself(target.split)], target, target)
    if partial == "whole" or curved:
        mass = alone.mass
    given = _assembled([_itself(source.split)], source, source).weights(n)
    if curved:
        if max(source.degree, target.degree) > 1:
            raise TransferError("on surfaces in space degree must be 1, got 2")
        values = given_in_full(mixed.columns, mixed.values, given)
        mixed = mixed._replace(values=values)
        mass = _with_sums(mass, mixed, m)
    coverage = torch.where(alone.support > 0, support / alone.support, 0.0)
    empty = coverage <= UNCOVERED
    bare = alone.support == 0
    distance = uncovered(mesh, target.places, empty, bare, "targets", outside)
    check_overlap(overlap, source.split, target.split)
    if bool(empty.any()):
        mixed, mass = _completed(mixed, mass, empty, source, target, outside)
    graph, values = entries(*mixed, m, n)
    weights = torch.zeros_like(coverage).index_add(0, mass.rows, mass.values)
    after = None
    if target.degree == 0:
        values = values / weights[graph.target]
    else:
        after = Mass.of(*entries(*mass, m, m))
    return SparseOperator(
        graph,
        values,
        _measured(source, given),
        _measured(target, torch.where(empty, alone.weights(m), weights)),
        method,
        empty if outside == "nan" else torch.zeros_like(empty),
        {"coverage": torch.where(empty, 0.0, coverage), "outside": distance},
        after,
    )


def _counted(
    parts: Iterable[Pieces], source: Space, target: Space, overlap: Overlap
) -> Iterator[Pieces]:
    """The pieces, their measures added to the overlap as they pass."""
    for part in parts:
        t, s = target.split.cell[part.target], source.split.cell[part.source]
        overlap.add(t, s, part.measure)
        yield part


class _Entries(NamedTuple):
    """rows, columns, values : (K,) of a matrix."""

    rows: Tensor
    columns: Tensor
    values: Tensor


class _Assembled(NamedTuple):
    """B, M, and (M,) the measure of the pieces on which each function lives."""

    mixed: _Entries
    mass: _Entries
    support: Tensor

    def weights(self, count: int) -> Tensor:
        """(M,) the integrals of the functions."""
        total = self.mass.values.new_zeros(count)
        return total.index_add(0, self.mass.rows, self.mass.values)


def _assembled(parts: Iterable[Pieces], target: Space, source: Space) -> _Assembled:
    m, n = len(target.places), len(source.places)
    degree = target.degree + max(source.degree, target.degree)
    rule = quadrature(SIMPLICES[source.split.dimension], max(degree, 1))
    inner = torch.tensor(rule.points)
    at = torch.cat([1 - inner.sum(1, keepdim=True), inner], 1)
    share = torch.tensor(rule.weights / rule.weights.sum())
    mixed, mass = [], []
    support = torch.zeros(m, dtype=torch.float64)
    for part in parts:
        local = max(source.split.nodes.shape[1], target.split.nodes.shape[1]) ** 2
        for rows in torch.arange(len(part.measure)).split(max(1, AT_ONCE // local)):
            block = Pieces(*(x[rows] for x in part))
            i, j = target.numbers(block.target), source.numbers(block.source)
            phi = target.values(block.target, at @ block.in_target)
            psi = source.values(block.source, at @ block.in_source)
            weighted = phi * (block.measure[:, None] * share)[:, :, None]
            mixed.append(_keyed(i, j, weighted.mT @ psi, n))
            mass.append(_keyed(i, i, weighted.mT @ phi, m))
            lives = (phi.abs().amax(1) > 0) * block.measure[:, None]
            support.index_add_(0, i.flatten(), lives.flatten())
    return _Assembled(_entries(mixed, n), _entries(mass, m), support)


def _keyed(i: Tensor, j: Tensor, values: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The entries of local matrices (K, a, b) with keys `row * n + column`, added."""
    keys = i[:, :, None] * n + j[:, None, :]
    # padded places have functions that vanish
    nonzero = values != 0
    return added(keys[nonzero], values[nonzero])


def _entries(parts: list[tuple[Tensor, Tensor]], n: int) -> _Entries:
    if not parts:
        none = torch.zeros(0, dtype=torch.int64)
        return _Entries(none, none, torch.zeros(0, dtype=torch.float64))
    keys, values = added(*(torch.cat(x) for x in zip(*parts, strict=True)))
    return _Entries(keys // n, keys % n, values)


def _with_sums(mass: _Entries, mixed: _Entries, count: int) -> _Entries:
    """M with the row sums of B, by its diagonal: constants and integrals are kept.

    Where B is made of projections the two differ by O(h^2).
    """
    sums = [
        part.values.new_zeros(count).index_add(0, part.rows, part.values)
        for part in (mixed, mass)
    ]
    diagonal = torch.arange(count)
    return _Entries(
        torch.cat([mass.rows, diagonal]),
        torch.cat([mass.columns, diagonal]),
        torch.cat([mass.values, sums[0] - sums[1]]),
    )


def _completed(
    mixed: _Entries,
    mass: _Entries,
    empty: Tensor,
    source: Space,
    target: Space,
    outside: str,
) -> tuple[_Entries, _Entries]:
    """B and M with rows of their own for targets that the source does not meet."""
    far = empty.nonzero()[:, 0]
    kept = ~empty[mixed.rows]
    mixed = _Entries(*(x[kept] for x in mixed))
    kept = ~(empty[mass.rows] | empty[mass.columns])
    one = mass.values.new_ones(len(far))
    mass = _Entries(
        torch.cat([mass.rows[kept], far]),
        torch.cat([mass.columns[kept], far]),
        torch.cat([mass.values[kept], one]),
    )
    if outside == "nearest":
        near = nearest_numbers(source.places, target.places[far])
        mixed = _Entries(
            torch.cat([mixed.rows, far]),
            torch.cat([mixed.columns, near]),
            torch.cat([mixed.values, one]),
        )
    return mixed, mass


def _itself(domain: Split) -> Pieces:
    """Each simplex as a piece of itself."""
    number = torch.arange(len(domain.measure))
    unit = torch.eye(domain.dimension + 1, dtype=torch.float64)
    at = unit.expand(len(number), -1, -1)
    return Pieces(number, number, at, at, domain.measure)


def _measured(space: Space, weights: Tensor) -> Discretization | None:
    """The places with weights; None where one is not positive."""
    if not bool((weights > 0).all()):
        return None
    return Discretization(space.places, weights)
