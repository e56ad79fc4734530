"""Moments of a field around each target: one sparse pattern, B values per entry."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from isofield.bases import Basis
from isofield.charts import chart_dimension
from isofield.discretization import Discretization
from isofield.graph import Graph
from isofield.operators.basis_product import basis_product
from isofield.operators.patch_fit import fitted
from isofield.operators.patches import NeighbourWarning, Pairs, Patches, patches
from isofield.operators.product import sparse_product
from isofield.plan import Plan

Mode = Literal["integral", "fit", "shepard"]
AT_ONCE = 1 << 14  # pairs at which a basis is evaluated at one time


@dataclass(frozen=True, eq=False)
class BasisOperator(Plan):
    """B linear maps Phi_b from N source values to M target values, of one pattern.

    Built once for a pair of discretizations by `basis_operator`; then
    `operator.product(u, W)` is `sum_b (Phi_b u) W_b`. Several are packed block by block
    (`isofield.plan.pack_plans`), moved and cast (`to`), kept on disk
    (`isofield.operators.save_basis_operator`).

    pairs : E pairs of neighbours. values : (E, B) the entries of the B matrices. mode :
    how they were made. facts : numbers of each target (M,), by name.
    """

    pairs: Pairs
    values: Tensor
    mode: str
    facts: dict[str, Tensor] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, M, N)."""
        graph = self.pairs.graph
        return self.values.shape[1], graph.n_targets, graph.n_sources

    def apply(self, u: Tensor) -> Tensor:
        """(N, ...) -> (M, B, ...), all `Phi_b u`; differentiable in u any number of
        times, in the precision of the values."""
        flat = self.pairs.enter(u.to(self.values.dtype).reshape(len(u), -1))
        graph = self.pairs.graph
        found = [
            sparse_product(flat, entries, graph)
            for entries in self.values.t().contiguous()
        ]
        return self.pairs.leave(torch.stack(found, 1)).reshape(
            len(found[0]), len(found), *u.shape[1:]
        )

    def product(
        self, u: Tensor, mixing: Tensor, functions: Sequence[int] | None = None
    ) -> Tensor:
        """`sum_b (Phi_b u) W_b`: u (N, C_in), mixing W (B, C_in, C_out) -> (M, C_out).

        functions : which of the Phi_b take part, as many as there are matrices W_b.
        Costs, memory and derivatives are those of `basis_product`.
        """
        graph, entered = self.pairs.graph, self.pairs.enter(u)
        v = basis_product(entered, self.values, mixing, graph, functions)
        return self.pairs.leave(v)

    def adjoint(self) -> BasisOperator:
        """The B maps Phi_b* with `<Phi_b u, g>_target = <u, Phi_b* g>_source` in the
        weighted inner products: `phi*_ji^b = w_i phi_ij^b / w_j`."""
        pairs = self.pairs.turned()
        graph = pairs.graph
        values = self.values.index_select(0, self.pairs.graph.by_source.order)
        w_from = pairs.enter(pairs.source.weights.to(values.dtype))
        w_to = pairs.target.weights.to(values.dtype)
        w_to = w_to.index_select(0, pairs.target_order.source)
        ratio = w_from[graph.source] / w_to[graph.target]
        return BasisOperator(
            pairs, values * ratio[:, None], f"adjoint of {self.mode}", {}
        )


def basis_operator(
    source: Discretization,
    target: Discretization,
    basis: Basis,
    radius: float | Tensor,
    mode: Mode = "integral",
    *,
    functions: Sequence[int] | None = None,
    frames: Tensor | None = None,
    edges: Graph | None = None,
) -> BasisOperator:
    """What the functions of a basis see of a field around each target.

    With the coordinates u_ij of source j in the chart around target i, m of them, the
    functions phi_b and the window omega of the basis:

    - "integral": `Phi_ij^b = omega phi_b(u_ij) w_j / (|B_m| r^m)`, so that Phi_b u
      converges to `1/(|B_m| r^m) int_B(x, r) omega phi_b u dmu` with the order of the
      quadrature. Beyond the boundary the field counts as 0.
    - "shepard": the same over `sum_j omega w_j / int_B omega`: constants keep their
      values up to the boundary.
    - "fit": `Phi u = G^-1 sum_j omega_ij w_j phi(u_ij) u_j` with
      `G = sum_j omega_ij w_j phi phi^T`, the coefficients of the combination of the
      phi_b that is nearest to the field in the windowed measure. Those of the phi_b
      themselves are found exactly, up to the boundary and in corners. Functions that
      the neighbours of a target do not tell apart are left out there, see
      `isofield.operators.patch_fit`: a `DegreeWarning` counts such targets, and
      facts["functions"] says how many functions are left at each.

    A target without a neighbour gets 0 in all three, with a `NeighbourWarning`.

    source, target : N and M points, packed or not, with normals on surfaces. basis : of
    the dimension m of the charts, d unless the points have normals. radius : r, length;
    at least about three spacings of the coarsest source. functions : which of the basis
    are kept. frames, edges : see `isofield.charts.local_coordinates`.

    Made in float64 and kept in the precision of the source points. Differentiable in
    points, weights, normals, radius and the parameters of the basis, where these ask
    for gradients: functions are then evaluated in pieces, and again in backward.

    Raises `ValueError` for a basis of another dimension and for an unknown mode.

    Source: Z. Sun et al., ZerNet, arXiv:1812.01082 ("fit", there without weights).
    """
    check_mode(mode)
    m = chart_dimension(source)
    if basis.dimension != m:
        hint = ""
        if source.normals is None and basis.dimension < m:
            hint = ", or points with normals if they lie on a surface or curve"
        raise ValueError(
            f"a basis of dimension {basis.dimension} on points with charts of "
            f"dimension {m}: take a basis of dimension {m}{hint}"
        )
    found = patches(source, target, radius, frames=frames, edges=edges)
    return with_basis(found, basis, mode, functions, source.points.dtype)


def with_basis(
    found: Patches,
    basis: Basis,
    mode: Mode = "integral",
    functions: Sequence[int] | None = None,
    dtype: torch.dtype | None = None,
) -> BasisOperator:
    """`basis_operator` on neighbourhoods that are there already, kept as `dtype`."""
    dtype = dtype or found.coordinates.dtype
    pairs = found.pairs
    if mode == "fit":
        values, count = fitted(found, basis)
        values = values if functions is None else values[:, list(functions)]
        facts = {"functions": pairs.leave(count)}
        return BasisOperator(pairs, values.to(dtype), mode, facts)
    weights = found.weights
    if mode == "shepard":
        weights = _corrected(found, basis)
    values = _evaluated(basis, found.coordinates, weights, functions, dtype)
    return BasisOperator(pairs, values, mode)


def check_mode(mode: str) -> None:
    """Raises `ValueError` that names the modes."""
    if mode not in ("integral", "fit", "shepard"):
        raise ValueError(f"mode: expected 'integral', 'fit' or 'shepard', got {mode!r}")


def _evaluated(
    basis: Basis,
    coordinates: Tensor,
    weights: Tensor,
    functions: Sequence[int] | None,
    dtype: torch.dtype,
) -> Tensor:
    """(E, B) windowed functions times weights, some pairs at a time."""

    def piece(u: Tensor, w: Tensor) -> Tensor:
        kernels = basis(u)
        if functions is not None:
            kernels = kernels[:, list(functions)]
        return (kernels * w[:, None]).to(dtype)

    pieces = zip(coordinates.split(AT_ONCE), weights.split(AT_ONCE), strict=True)
    inputs = (coordinates, weights, *basis.parameters())
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        return torch.cat([checkpoint(piece, *p, use_reentrant=False) for p in pieces])
    size = basis.size if functions is None else len(functions)
    values = torch.empty(len(weights), size, dtype=dtype, device=weights.device)
    with torch.no_grad():
        for rows, p in zip(values.split(AT_ONCE), pieces, strict=True):
            rows.copy_(piece(*p))
    return values


def _corrected(found: Patches, basis: Basis) -> Tensor:
    """(E,) weights over the part of the window's mass that a target sees."""
    graph = found.pairs.graph
    window = basis.window(found.coordinates) * found.weights
    mass = window.new_zeros(graph.n_targets).index_add(0, graph.target, window)
    seen = mass > 0
    count = int((~seen & (graph.degree() > 0)).sum())
    if count:
        warnings.warn(
            f"{count} of {len(seen)} targets have sources at the edge of the ball "
            "alone, where the window is 0: they get 0, take a larger radius",
            NeighbourWarning,
            stacklevel=4,
        )
    share = torch.where(seen, basis.mean_window / torch.where(seen, mass, 1.0), 0.0)
    return found.weights * share[graph.target]
