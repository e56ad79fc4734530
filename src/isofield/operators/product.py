"""Sparse matrices of one graph times channels, differentiable any number of times."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from isofield.graph import Graph


def sparse_product(u: Tensor, values: Tensor, graph: Graph) -> Tensor:
    """`v_i = sum_j a_ij u_j`: u (N, C), values a (E,) -> (M, C).

    Both of one precision, in which the sums stay under autocast too.
    """
    with torch.autocast(u.device.type, enabled=False):
        return cast(Tensor, _Product.apply(u, values, graph))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, values: Tensor, graph: Graph) -> Tensor:
        ctx.save_for_backward(values, u if ctx.needs_input_grad[1] else None)
        ctx.graph = graph
        return csr(*graph.rows, values, len(u)) @ u

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None]:
        values, u = ctx.saved_tensors
        graph: Graph = ctx.graph
        g = gradients[0].contiguous()
        d_u = d_values = None
        if ctx.needs_input_grad[0]:
            adjoint = values.index_select(0, graph.by_source.order)
            d_u = sparse_product(g, adjoint, graph.reversed())
        if ctx.needs_input_grad[1]:
            at_pairs = g.index_select(0, graph.target) * u.index_select(0, graph.source)
            d_values = at_pairs.sum(1)
        return d_u, d_values, None


def csr(ptr: Tensor, column: Tensor, values: Tensor, n_columns: int) -> Tensor:
    """The matrix with these compressed rows; nothing is checked."""
    _accept_csr()
    # the graph has checked its numbers once; checking them per product would double it
    return torch.sparse_csr_tensor(
        ptr, column, values, (len(ptr) - 1, n_columns), check_invariants=False
    )


@cache
def _accept_csr() -> None:
    """PyTorch says once per process that compressed sparse rows are in beta, and some
    versions that they are not checked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        warnings.filterwarnings("ignore", message="Sparse invariant checks")
        one = torch.ones(1)
        torch.sparse_csr_tensor([0, 1], [0], one, (1, 1), check_invariants=False)
