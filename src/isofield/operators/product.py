"""Sparse matrices of one graph times channels, differentiable any number of times."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from isofield.graph import Graph


class Pattern(NamedTuple):
    """Where a sparse matrix has entries, by rows (targets) and by columns (sources).

    Numbers are int32 where they fit, as the sparse products take them, converted once
    for all of them.
    `by_column` : the entries in the order of their columns.
    """

    row_ptr: Tensor
    columns: Tensor
    column_ptr: Tensor
    rows: Tensor
    by_column: Tensor

    @classmethod
    def of(cls, graph: Graph) -> Pattern:
        """The pattern of a matrix with one entry for each edge."""
        order, source_ptr = graph.by_source
        whole = graph.ptr, graph.source, source_ptr, graph.target.index_select(0, order)
        fits = max(graph.n_edges, graph.n_sources, graph.n_targets) < 2**31
        dtype = torch.int32 if fits else torch.int64
        return cls._make([*(numbers.to(dtype) for numbers in whole), order])

    def transposed(self) -> Pattern:
        """The pattern of the transposed matrix, whose entries are `by_column`."""
        back = torch.empty_like(self.by_column)
        back[self.by_column] = torch.arange(len(back), device=back.device)
        return Pattern(
            self.column_ptr, self.rows, self.row_ptr, self.columns, by_column=back
        )


def sparse_product(u: Tensor, values: Tensor, pattern: Pattern) -> Tensor:
    """`v_i = sum_j a_ij u_j`: u (N, C), values (E,) -> (M, C); differentiable in u."""
    return cast(Tensor, _Product.apply(u, values, *pattern))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, values: Tensor, *numbers: Tensor) -> Tensor:
        ctx.save_for_backward(values, *numbers)
        at = Pattern(*numbers)
        return csr(at.row_ptr, at.columns, values, len(u)) @ u

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, *numbers = ctx.saved_tensors
        at = Pattern(*numbers)
        adjoint = values.index_select(0, at.by_column)
        g = gradients[0].contiguous()
        return sparse_product(g, adjoint, at.transposed()), *[None] * (1 + len(at))


def csr(ptr: Tensor, column: Tensor, values: Tensor, n_columns: int) -> Tensor:
    """The matrix with these compressed rows; nothing is checked."""
    _accept_csr()
    # the graph has checked its numbers once; checking them per product would double it
    return torch.sparse_csr_tensor(
        ptr, column, values, (len(ptr) - 1, n_columns), check_invariants=False
    )


@cache
def _accept_csr() -> None:
    """PyTorch says once per process that compressed sparse rows are in beta."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        one = torch.ones(1)
        torch.sparse_csr_tensor([0, 1], [0], one, (1, 1), check_invariants=False)
