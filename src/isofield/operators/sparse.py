"""Linear maps between fields on two discretizations, as sparse matrices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from isofield.discretization import Discretization
from isofield.graph import Graph
from isofield.operators.mass import Mass
from isofield.operators.product import sparse_product
from isofield.plan import Plan

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Values = TypeVar("Values", Tensor, np.ndarray)

# what a masked transfer must know of a target's weights to give it a value
LEAST_KNOWN = 1e-9


class TransferError(ValueError):
    """A field cannot be carried from this source to this target."""


@dataclass(frozen=True, eq=False)
class SparseOperator(Plan):
    """A linear map from N source values to M target values, for fields of any rank.

        v_i = sum_j a_ij u_j      or, with mass matrices,  v = P A Q u

    Built once for two discretizations by `nearest`, `linear`, `conservative`,
    `moving_least_squares` or `l2_projection`, then applied to any number of fields and
    time steps, on the device where it lies (`to`); differentiable in the field.

    graph : from sources to targets, an edge for each entry. values : (E,) the entries
    a_ij. source, target : the points with their measures; None where the points have
    none. method : the name of the builder. missing : (M,) bool, targets that get NaN.
    facts : numbers of each target (M,) that the builder reports, by name: "outside" is
    its distance to the source, length, 0 within. after, before : P and Q, None for the
    identity.
    """

    graph: Graph
    values: Tensor
    source: Discretization | None
    target: Discretization | None
    method: str
    missing: Tensor
    facts: dict[str, Tensor] = field(default_factory=dict)
    after: Mass | None = None
    before: Mass | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(M, N)."""
        return self.graph.n_targets, self.graph.n_sources

    def __call__(self, u: Values, masked: bool = False) -> Values:
        """(N, ...) values of a field at the sources -> (M, ...) at the targets.

        u : torch, on the operator's device, or numpy; the answer is of the same kind,
        precision and trailing shape. Integers and booleans are labels: only an operator
        that picks values (`nearest`) carries them, see also `majority`. masked : leave
        out what is not finite, component by component: `A (m u) * A 1 / A m`, m the
        mask, and NaN where nothing is known.

        Raises `TransferError` for another length, for labels that would be averaged,
        for values that are not finite unless `masked`, and for `masked` where entries
        are negative or a mass matrix is solved, so that no renormalization is right.
        """
        field_ = _tensor(u, self.values.device)
        self._check(field_, masked)
        if not field_.is_floating_point():
            result = self._picked(field_)
        else:
            known = torch.isfinite(field_)
            if masked and not bool(known.all()):
                one = torch.ones_like(field_, dtype=self.values.dtype)
                share = self.apply(known.to(one.dtype)) / self.apply(one)
                total = self.apply(torch.where(known, field_, 0.0))
                result = torch.where(share > LEAST_KNOWN, total / share, torch.nan)
            else:
                result = self.apply(field_)
            result = result.to(field_.dtype)
        return result if isinstance(u, Tensor) else result.cpu().numpy()  # type: ignore[return-value]

    def apply(self, u: Tensor) -> Tensor:
        """`__call__` for layers: u (N, ...) floating, unchecked, in our precision."""
        v = u.to(self.values.dtype).reshape(len(u), -1)
        if self.before is not None:
            v = self.before.solve(v)
        v = sparse_product(v.contiguous(), self.values, self.graph)
        if self.after is not None:
            v = self.after.solve(v)
        if self._any_missing:
            v = torch.where(self.missing[:, None], torch.nan, v)
        return v.reshape(-1, *u.shape[1:])

    def adjoint(self) -> SparseOperator:
        """A* with `<A u, v>_target = <u, A* v>_source` in the weighted inner products.

            a*_ji = w_i a_ij / w_j

        Missing targets take no part. The adjoint of a transfer that keeps constants
        keeps integrals. Raises `TransferError` where a side has no measure.
        """
        w_source, w_target = _weights(self.source), _weights(self.target)
        order = self.graph.by_source.order
        values = torch.where(self.missing[self.graph.target], 0.0, self.values)
        values = values.index_select(0, order)
        turned = self.graph.reversed()
        before = after = None
        if self.after is None:
            values = values * w_target[turned.source]
        else:
            before = replace(
                self.after, left=self.after.right, right=self.after.left * w_target
            )
        if self.before is None:
            values = values / w_source[turned.target]
        else:
            after = replace(
                self.before, left=self.before.right / w_source, right=self.before.left
            )
        none = torch.zeros(self.shape[1], dtype=torch.bool, device=values.device)
        return replace(
            self,
            graph=turned,
            values=values,
            source=self.target,
            target=self.source,
            method=f"adjoint of {self.method}",
            missing=none,
            facts={},
            after=after,
            before=before,
        )

    def matrix(self) -> csr_matrix:
        """(M, N) the entries as a scipy matrix. `TransferError` with mass matrices."""
        from scipy.sparse import csr_matrix

        if self.after is not None or self.before is not None:
            raise TransferError(
                f"{self.method} solves a mass matrix each time it is applied; its "
                "matrix would be dense"
            )
        values, ptr = self.values.cpu().numpy(), self.graph.ptr.cpu().numpy()
        return csr_matrix((values, self.graph.source.cpu().numpy(), ptr), self.shape)

    @cached_property
    def picks(self) -> bool:
        """Every target takes the value of one source, so that labels may be carried."""
        if self.after is not None or self.before is not None:
            return False
        one = bool((self.values == 1).all())
        return one and bool((self.graph.degree() <= 1).all())

    @cached_property
    def _any_missing(self) -> bool:
        return bool(self.missing.any())

    def _check(self, u: Tensor, masked: bool) -> None:
        n = self.shape[1]
        if u.ndim < 1 or len(u) != n:
            raise TransferError(
                f"expected a field (N, ...) with N = {n} source values, got "
                f"{tuple(u.shape)}"
            )
        if not u.is_floating_point():
            if not self.picks:
                raise TransferError(
                    f"a field of {u.dtype} holds labels, which {self.method} would "
                    "average: carry them with `nearest` or `majority`, or convert "
                    "them to floating point if they are numbers"
                )
            return
        if masked:
            solved = self.after is not None or self.before is not None
            if solved or bool((self.values < 0).any()):
                raise TransferError(
                    f"{self.method} has no masked form: leave the points without a "
                    "value out of the source, or take `linear` or `nearest`"
                )
            return
        wrong = ~torch.isfinite(u.reshape(n, -1)).all(1)
        if bool(wrong.any()):
            raise TransferError(
                f"{int(wrong.sum())} of {n} source values are not finite, the first is "
                f"number {int(wrong.nonzero()[0])}; pass masked=True to leave them out"
            )

    def _picked(self, u: Tensor) -> Tensor:
        if self._any_missing:
            raise TransferError(
                f"{int(self.missing.sum())} targets lie outside the source and labels "
                f"of {u.dtype} have no NaN: build with outside='nearest'"
            )
        return _taken(u, self.graph.source)


def _weights(side: Discretization | None) -> Tensor:
    if side is None:
        raise TransferError(
            "source or target has no measure, so there is no inner product: build the "
            "operator from meshes or discretizations, not from bare points"
        )
    return side.weights


def _tensor(u: Tensor | np.ndarray, device: torch.device) -> Tensor:
    """A tensor as it is; the values of an array on the device, copied where they are
    read-only, as those of a mesh are, or in another order of bytes than this machine's.
    """
    if isinstance(u, Tensor):
        return u
    if not u.dtype.isnative:
        u = u.astype(u.dtype.newbyteorder("="))
    elif not u.flags.writeable:
        u = u.copy()
    return torch.as_tensor(u).to(device)


# unsigned integers that torch keeps, but neither picks nor sorts
_SIGNED = {
    torch.uint16: torch.int16,
    torch.uint32: torch.int32,
    torch.uint64: torch.int64,
}


def _taken(u: Tensor, number: Tensor) -> Tensor:
    """(K, ...) the rows of these numbers, of any type."""
    signed = _SIGNED.get(u.dtype, u.dtype)
    return u.view(signed).index_select(0, number).view(u.dtype)


def _sortable(u: Tensor) -> Tensor:
    """Integers in the same order, of a type that torch sorts."""
    if u.dtype == torch.uint64:
        return u.view(torch.int64) ^ torch.iinfo(torch.int64).min
    return u.to(torch.int64) if u.dtype in _SIGNED else u


def majority(operator: SparseOperator, labels: Values) -> Values:
    """(N,) labels -> (M,) for each target the label with the largest sum of entries.

    Of equal sums the smallest label. labels : integers or booleans. Raises
    `TransferError` for labels of another shape or kind, for an operator with a mass
    matrix, and where a target has no entry.
    """
    given = _tensor(labels, operator.values.device)
    m, n = operator.shape
    if given.shape != (n,) or given.is_floating_point():
        raise TransferError(
            f"labels: expected ({n},) integers or booleans, got {tuple(given.shape)} "
            f"{given.dtype}"
        )
    if operator.after is not None or operator.before is not None:
        raise TransferError(
            f"{operator.method} has no entries to count, take `nearest`"
        )
    lonely = int((operator.graph.degree() == 0).sum())
    if lonely:
        raise TransferError(f"{lonely} targets have no source to take a label from")
    kinds, number = torch.unique(_sortable(given), return_inverse=True)
    one_of = torch.empty_like(kinds, dtype=torch.int64)
    one_of[number] = torch.arange(n, device=number.device)
    keys = operator.graph.target * len(kinds) + number[operator.graph.source]
    pairs, place = torch.unique(keys, return_inverse=True)
    totals = operator.values.new_zeros(len(pairs)).index_add(0, place, operator.values)
    order = torch.argsort(totals, descending=True, stable=True)
    order = order[torch.argsort(pairs[order] // len(kinds), stable=True)]
    first = torch.searchsorted(
        (pairs[order] // len(kinds)).contiguous(), torch.arange(m, device=pairs.device)
    )
    result = _taken(given, one_of[pairs[order][first] % len(kinds)])
    return result if isinstance(labels, Tensor) else result.cpu().numpy()  # type: ignore[return-value]
