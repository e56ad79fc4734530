"""Products with B sparse matrices of one pattern: `v = sum_b (Phi_b u) W_b`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from isofield.graph import Graph
from isofield.operators import compiled
from isofield.operators.product import csr

# entries of a run of rows: what belongs to them stays in the cache
AT_ONCE = 1 << 15
AT_ONCE_ON_DEVICE = 1 << 20
# the same where every entry carries B x C numbers
AT_ONCE_EDGEWISE = 1 << 12
Inputs = tuple[Tensor, Tensor, Tensor]


def basis_product(
    u: Tensor,
    phi: Tensor,
    mixing: Tensor,
    graph: Graph,
    functions: Sequence[int] | None = None,
) -> Tensor:
    """`v_i = sum_b sum_j phi_ij^b u_j W_b` over the pairs of a graph.

    u : (N, C_in). phi : (E, B). mixing : W, (B, C_in, C_out). functions : which of more
    columns of phi are the B. Returns (M, C_out).

    Sums over points come first where C_in <= C_out, the matrices W_b where not. Saves
    its arguments and nothing else. Differentiable any number of times in u, phi and
    mixing: once by the same products with the reversed graph, from then on by sums over
    pairs, made in pieces and made again as they are needed. Works in the precision of
    phi, under autocast too: sums over points stay in that of the weights. Cost
    2 E B min(C_in, C_out) + 2 N B C_in C_out.
    """
    with torch.autocast(u.device.type, enabled=False):
        u, mixing = u.to(phi.dtype).contiguous(), mixing.to(phi.dtype)
        return cast(Tensor, _BasisProduct.apply(u, phi, mixing, graph, functions))


class _BasisProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u, phi, mixing, graph, functions) -> Tensor:
        ctx.save_for_backward(u, phi, mixing)
        ctx.graph, ctx.functions = graph, functions
        return _summed(_Matrices.by_target(phi, graph, functions), u, mixing)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple:
        tensors, wanted = ctx.saved_tensors, ctx.needs_input_grad[:3]
        g = gradients[0]
        if torch.is_grad_enabled():
            found = _edgewise_gradients(ctx.graph, ctx.functions, tensors, g, wanted)
        else:
            found = _gradients(ctx.graph, ctx.functions, tensors, g, wanted)
        return *found, None, None


class _Run(NamedTuple):
    """Rows a to z, whose entries are p to q."""

    a: int
    z: int
    p: int
    q: int


@dataclass(frozen=True)
class _Matrices:
    """B matrices with compressed rows: ptr (M + 1,), columns (E,), n_columns.

    phi : (E, B') values of the pairs. place : (E,) the pair of each entry, None where
    entries are in the order of pairs. functions : the B columns of phi, None for all.
    """

    phi: Tensor
    ptr: Tensor
    columns: Tensor
    n_columns: int
    place: Tensor | None
    functions: Sequence[int] | None

    @classmethod
    def by_target(cls, phi: Tensor, graph: Graph, functions: Any) -> _Matrices:
        return cls(phi, *graph.rows, graph.n_sources, None, functions)

    @classmethod
    def by_source(cls, phi: Tensor, graph: Graph, functions: Any) -> _Matrices:
        """The transposed matrices."""
        turned = graph.reversed()
        place = graph.by_source.order
        return cls(phi, *turned.rows, graph.n_targets, place, functions)

    def runs(self, at_once: int | None = None) -> Iterator[_Run]:
        """All rows, so many entries at a time in the mean."""
        rows, entries = len(self.ptr) - 1, len(self.columns)
        if at_once is None:
            at_once = AT_ONCE if self.ptr.device.type == "cpu" else AT_ONCE_ON_DEVICE
        step = max(1, at_once * rows // max(entries, 1))
        cuts = [*range(0, rows, step), rows]
        for (a, z), (p, q) in zip(
            pairwise(cuts), pairwise(self.ptr[cuts].tolist()), strict=True
        ):
            yield _Run(a, z, p, q)

    def values(self, run: _Run, functions: slice = slice(None)) -> Tensor:
        """(q - p, B) the entries of a run."""
        if self.place is None:
            phi = self.phi[run.p : run.q]
        else:
            phi = self.phi.index_select(0, self.place[run.p : run.q])
        if self.functions is not None:
            return phi[:, list(self.functions[functions])]
        return phi[:, functions].contiguous()

    def pattern(self, run: _Run) -> tuple[Tensor, Tensor]:
        """Compressed rows of a run."""
        return self.ptr[run.a : run.z + 1] - run.p, self.columns[run.p : run.q]

    def times(self, u: Tensor, run: _Run) -> Tensor:
        """(z - a, B, C) `sum_j phi_ij^b u_j`, u (N, C)."""
        values = self.values(run)
        result = u.new_empty(run.z - run.a, values.shape[1], u.shape[1])
        if self._compiled:
            _compiled("gathered", self.pattern(run), values, u, result)
            return result
        for b, entries in enumerate(values.t().contiguous()):
            result[:, b] = csr(*self.pattern(run), entries, self.n_columns) @ u
        return result

    def add_mixed(self, v: Tensor, mixed: Tensor, run: _Run, which: slice) -> None:
        """`v_i += sum_bj phi_ij^b w_bj`, w of the functions `which`: (B, N, C)."""
        values, rows = self.values(run, which), v[run.a : run.z]
        if self._compiled:
            _compiled("collected", self.pattern(run), values, mixed, rows)
            return
        for entries, u in zip(values.t().contiguous(), mixed, strict=True):
            rows.addmm_(csr(*self.pattern(run), entries, self.n_columns), u)

    def against(self, pulled: Tensor, u: Tensor, run: _Run) -> Tensor:
        """(q - p, B) `<pulled_ib, u_j>` for each entry, pulled (z - a, B, C)."""
        result = u.new_empty(run.q - run.p, pulled.shape[1])
        if self._compiled:
            _compiled("against", self.pattern(run), pulled, u, result)
            return result
        nothing = csr(*self.pattern(run), torch.zeros_like(result[:, 0]), len(u))
        for b in range(pulled.shape[1]):
            found = torch.sparse.sampled_addmm(nothing, pulled[:, b], u.t(), beta=0.0)
            result[:, b] = found.values()
        return result

    @property
    def _compiled(self) -> bool:
        on_cpu = self.phi.device.type == "cpu"
        return on_cpu and compiled.worth(len(self.columns))


def _compiled(
    name: str, pattern: tuple[Tensor, Tensor], one: Tensor, other: Tensor, to: Tensor
) -> None:
    """Runs a kernel of `compiled.blocks`, on as many threads as torch has."""
    from isofield.operators.compiled import blocks

    arrays = [x.detach().numpy() for x in (*pattern, one, other)]
    kernel, rows, result = getattr(blocks, name), len(pattern[0]) - 1, to.numpy()
    threads = min(torch.get_num_threads(), rows)
    if threads <= 1:
        kernel(*arrays, 0, rows, result)
        return
    cuts = [rows * k // threads for k in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda ends: kernel(*arrays, *ends, result), pairwise(cuts)))


def _summed(matrices: _Matrices, u: Tensor, mixing: Tensor) -> Tensor:
    """`sum_b (Phi_b u) W_b`, the smaller side first."""
    b, c_in, c_out = mixing.shape
    rows = len(matrices.ptr) - 1
    if c_in <= c_out:
        v, flat = u.new_empty(rows, c_out), mixing.reshape(b * c_in, c_out)
        for run in matrices.runs():
            patch = matrices.times(u, run).flatten(1)
            torch.mm(patch, flat, out=v[run.a : run.z])
        return v
    v = u.new_zeros(rows, c_out)
    step = max(1, c_in // c_out)  # functions at a time, so that nothing outgrows u
    for first in range(0, b, step):
        which = slice(first, min(first + step, b))
        mixed = torch.matmul(u, mixing[which])
        for run in matrices.runs():
            matrices.add_mixed(v, mixed, run, which)
    return v


def _gradients(
    graph: Graph, functions: Any, tensors: Inputs, g: Tensor, wanted: Sequence[bool]
) -> tuple:
    """Those in u, phi and mixing that are wanted, None for the others."""
    u, phi, mixing = tensors
    by_target = _Matrices.by_target(phi, graph, functions)
    by_source = _Matrices.by_source(phi, graph, functions)
    b, c_in, c_out = mixing.shape
    g = g.contiguous()
    d_u = d_phi = d_mixing = None
    # one pass over the pairs with C_out numbers each, or two with C_in
    if c_out <= 2 * c_in:
        d_u, d_mixing = _by_adjoint(by_source, u, mixing, g, wanted)
    else:
        if wanted[0]:
            d_u = _summed(by_source, g, mixing.transpose(1, 2))
        if wanted[2]:
            d_mixing = torch.zeros_like(mixing).view(b * c_in, c_out)
            for run in by_target.runs():
                patch = by_target.times(u, run).flatten(1)
                d_mixing.addmm_(patch.t(), g[run.a : run.z])
            d_mixing = d_mixing.view(b, c_in, c_out)
    if wanted[1]:
        d_phi = _by_pairs(by_target, u, mixing, g)
    return d_u, d_phi, d_mixing


def _by_adjoint(
    matrices: _Matrices, u: Tensor, mixing: Tensor, g: Tensor, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """`d u = sum_b H_b W_b^T` and `d W_b = u^T H_b` from `H_b = Phi_b^T g`."""
    b, c_in, c_out = mixing.shape
    d_u = torch.empty_like(u) if wanted[0] else None
    d_mixing = u.new_zeros(c_in, b * c_out) if wanted[2] else None
    flat = mixing.transpose(1, 2).reshape(b * c_out, c_in)
    for run in matrices.runs() if wanted[0] or wanted[2] else ():
        adjoint = matrices.times(g, run).flatten(1)
        if d_u is not None:
            torch.mm(adjoint, flat, out=d_u[run.a : run.z])
        if d_mixing is not None:
            d_mixing.addmm_(u[run.a : run.z].t(), adjoint)
    if d_mixing is not None:
        d_mixing = d_mixing.view(c_in, b, c_out).transpose(0, 1)
    return d_u, d_mixing


def _by_pairs(matrices: _Matrices, u: Tensor, mixing: Tensor, g: Tensor) -> Tensor:
    """`d phi_ij^b = <g_i, u_j W_b>`."""
    b, c_in, c_out = mixing.shape
    flat = mixing.permute(2, 0, 1).reshape(c_out, b * c_in)
    d_phi = torch.zeros_like(matrices.phi)
    which = slice(None) if matrices.functions is None else list(matrices.functions)
    for run in matrices.runs():
        pulled = (g[run.a : run.z] @ flat).view(-1, b, c_in)
        d_phi[run.p : run.q, which] = matrices.against(pulled, u, run)
    return d_phi


def _edgewise_gradients(
    graph: Graph, functions: Any, tensors: Inputs, g: Tensor, wanted: Sequence[bool]
) -> tuple:
    """The same, differentiable in turn."""
    v = _edgewise(*tensors, graph, functions)
    inputs = [x for x, needed in zip(tensors, wanted, strict=True) if needed]
    found = iter(torch.autograd.grad(v, inputs, g, create_graph=True))
    return tuple(next(found) if needed else None for needed in wanted)


def _edgewise(
    u: Tensor, phi: Tensor, mixing: Tensor, graph: Graph, functions: Any
) -> Tensor:
    """The product as a sum over pairs, in pieces that are made again in backward."""
    if functions is not None:
        phi = phi[:, list(functions)]

    def piece(run: _Run, u: Tensor, phi: Tensor, mixing: Tensor) -> Tensor:
        pairs = slice(run.p, run.q)
        at_pairs = phi[pairs, :, None] * u.index_select(0, graph.source[pairs])[:, None]
        patch = at_pairs.new_zeros(run.z - run.a, *at_pairs.shape[1:])
        patch = patch.index_add(0, graph.target[pairs] - run.a, at_pairs)
        return patch.flatten(1) @ mixing.flatten(0, 1)

    matrices = _Matrices.by_target(phi, graph, None)
    pieces = [
        checkpoint(piece, run, u, phi, mixing, use_reentrant=False)
        for run in matrices.runs(AT_ONCE_EDGEWISE)
    ]
    return torch.cat(pieces) if pieces else u.new_zeros(0, mixing.shape[2])
