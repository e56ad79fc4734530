"""The kernel integral of graph neural operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from isofield.bases.learned import varied_network
from isofield.discretization import Discretization
from isofield.graph import Graph, radius_graph
from isofield.layers.operator import Operator
from isofield.operators import fused
from isofield.operators.basis_product import basis_product
from isofield.plan import Plan

Kernel = Literal["full", "diagonal", "low_rank"]

# numbers of all layers of a network that are held at one time: they stay in the cache
AT_ONCE = 1 << 22
AT_ONCE_ON_DEVICE = 1 << 27


@dataclass(frozen=True, eq=False)
class KernelPlan(Plan):
    """graph : E pairs within the radius, sorted by target. offset : (E, d), (y - x)/r.
    weight : (E,), window times the measure of y over the measure of the ball."""

    graph: Graph
    offset: Tensor
    weight: Tensor


def kernel_plan(
    source: Discretization,
    target: Discretization,
    radius: float,
    measure_dimension: int | None = None,
) -> KernelPlan:
    """Pairs of points within a radius and their weights in the windowed integral.

    `weight_ij = g (1 - rho_ij^2)^2 w_j / (|B_m| r^m)` with `rho = |y_j - x_i| / r` and
    `g = (m + 2)(m + 4) / 8`, so that inside the domain the weights of one target sum to
    1. The window vanishes with its derivative where a point enters the ball.

    measure_dimension : m, the dimension of the measure: d unless the points lie on a
        surface or curve.
    """
    graph = radius_graph(source, target, radius)
    from_, to = graph.edge_index
    offset = (source.points[from_] - target.points[to]) / radius
    m = source.dimension if measure_dimension is None else measure_dimension
    ball = math.pi ** (m / 2) / math.gamma(m / 2 + 1) * radius**m
    mean_window = 8 / ((m + 2) * (m + 4))
    return KernelPlan(
        graph, offset, window(offset) * source.weights[from_] / (mean_window * ball)
    )


def window(offset: Tensor) -> Tensor:
    """`(1 - rho^2)^2` of offsets (E, d) in radii, rho their length; 0 beyond 1."""
    return (1 - (offset * offset).sum(1)).clamp(min=0).square()


class KernelBasis(nn.Module):
    """B learned functions `phi_b((y - x)/r)` on the ball, windowed and in the measure.

    They are the part of a low-rank kernel `kappa = sum_b phi_b W_b` that is evaluated
    per pair; several integrals with their own matrices W_b may share one evaluation.
    hidden, chunk : see `KernelIntegral`. measure_dimension : m, see `kernel_plan`.
    """

    def __init__(
        self,
        dimension: int,
        radius: float,
        rank: int,
        hidden: int | Sequence[int],
        measure_dimension: int | None = None,
        *,
        chunk: int | None = None,
    ) -> None:
        super().__init__()
        self.radius = radius
        self.measure_dimension = measure_dimension
        self.chunk = chunk
        self.network = varied_network(dimension, hidden, rank)

    def prepare(self, source: Discretization, target: Discretization) -> KernelPlan:
        """Neighbours, offsets and weights, in the precision of the points."""
        return kernel_plan(source, target, self.radius, self.measure_dimension)

    def forward(self, plan: KernelPlan) -> Tensor:
        """(E, B) the functions at every pair, times the weight of the pair."""
        return weighted_values(self.network, plan, self.chunk)


def weighted_values(network: nn.Module, plan: KernelPlan, chunk: int | None) -> Tensor:
    """(E, B) a network of the offsets, times the weights, in pieces of `chunk` pairs.

    Keeps E B numbers for the backward pass, and nothing of the layers between unless
    there is but one piece.
    """

    def piece(offset: Tensor, weight: Tensor) -> Tensor:
        return network(offset) * weight[:, None]

    chunk = chunk or _pairs_at_once(network, plan.offset)
    if plan.graph.n_edges <= chunk:
        return piece(plan.offset, plan.weight)
    parts = zip(plan.offset.split(chunk), plan.weight.split(chunk), strict=True)
    return torch.cat([_made_again(piece, *part) for part in parts])


def _pairs_at_once(network: nn.Module, like: Tensor, least: int = 0) -> int:
    """How many pairs' values of all layers are at most AT_ONCE, or `least`, numbers."""
    widths = [x.out_features for x in network.modules() if isinstance(x, nn.Linear)]
    limit = AT_ONCE if like.device.type == "cpu" else AT_ONCE_ON_DEVICE
    return max(limit, least) // max(1, 2 * sum(widths)) + 1


def _made_again(piece: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """A piece of which the backward pass keeps the inputs alone."""
    made = checkpoint(piece, *inputs, use_reentrant=False, preserve_rng_state=False)
    return cast(Tensor, made)


class Mixing(nn.Module):
    """`v = sum_b (Phi_b u) W_b` for values Phi_b that are given pair by pair."""

    def __init__(self, rank: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        scale = (in_channels * rank) ** -0.5
        self.matrices = nn.Parameter(
            scale * torch.randn(rank, in_channels, out_channels)
        )

    def forward(self, phi: Tensor, u: Tensor, graph: Graph) -> Tensor:
        """phi (E, B), u (N, C_in) -> (M, C_out)."""
        return basis_product(u, phi, self.matrices, graph)


class KernelIntegral(Operator):
    """`v(x) = int_{B(x, r)} omega_r(x, y) kappa(x, y) u(y) dmu(y)`.

    omega_r is the window `(1 - |y - x|^2/r^2)^2` of unit mass (see `kernel_plan`),
    kappa is a small network of `(y - x)/r`. Linear kernels are matrices C_out x C_in:

    - `"full"`: every entry comes from the network; cost E C_out C_in.
    - `"diagonal"`: C_in = C_out, one number per channel.
    - `"low_rank"`: `kappa = sum_b phi_b((y - x)/r) W_b`, b = 1..rank, the network gives
      the phi_b. Applied as `sum_b (Phi_b u) W_b`, so no pair ever carries channels.

    With `nonlinear` the network sees u(y) too and its value is the integrand itself:
    `v(x) = int omega_r(x, y) kappa(x, y, u(y)) dmu(y)`, kappa in R^{C_out}.

    The sum over points carries their weights: it converges to the integral with the
    order of the quadrature (2 for lumped weights), on any source and target points.

    in_channels, out_channels : C_in, C_out. dimension : d, coordinates of a point.
    radius : length; choose at least three spacings of the coarsest source. hidden :
    widths of the hidden layers of the network, or one width of two. rank : number of
    phi_b. chunk : pairs whose network values are held at one time; where it is not
    given, as many as stay in the cache, or as have together the size of u.

    Where there are more pairs, those values are made again in the backward pass, which
    keeps for every pair E B numbers of a low-rank kernel, and none of the others. The
    gradients are the same, to any order. On a GPU with triton and without gradients,
    sums of a diagonal kernel with two hidden layers in float32 run in one kernel
    (`operators.fused`).

    Source: Li et al., Neural operator: graph kernel network, arXiv:2003.03485, here
    with the quadrature weights in the sum and a window at the edge of the ball.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        radius: float,
        *,
        kernel: Kernel = "low_rank",
        nonlinear: bool = False,
        hidden: int | Sequence[int] = 32,
        rank: int = 8,
        chunk: int | None = None,
        measure_dimension: int | None = None,
    ) -> None:
        super().__init__()
        if kernel not in ("full", "diagonal", "low_rank"):
            raise ValueError(
                f"kernel: expected 'full', 'diagonal' or 'low_rank', got {kernel!r}"
            )
        if kernel == "diagonal" and in_channels != out_channels:
            raise ValueError(
                "a diagonal kernel needs in_channels == out_channels, got "
                f"{in_channels} and {out_channels}"
            )
        self.radius = radius
        self.measure_dimension = measure_dimension
        self.chunk = chunk
        self.form = "nonlinear" if nonlinear else kernel
        self.channels = (in_channels, out_channels)
        inputs = dimension + (in_channels if nonlinear else 0)
        outputs = {
            "nonlinear": out_channels,
            "full": in_channels * out_channels,
            "diagonal": in_channels,
            "low_rank": rank,
        }[self.form]
        self.network = varied_network(inputs, hidden, outputs)
        if self.form == "low_rank":
            self.mixing = Mixing(rank, in_channels, out_channels)

    def prepare(self, source: Discretization, target: Discretization) -> KernelPlan:
        """Neighbours, offsets and weights, in the precision of the points."""
        return kernel_plan(source, target, self.radius, self.measure_dimension)

    def forward(self, u: Tensor, plan: KernelPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        if self.form == "low_rank":
            phi = weighted_values(self.network, plan, self.chunk)
            return self.mixing(phi, u, plan.graph)
        if self.form == "diagonal" and fused.fits(
            self.network, u, plan.offset, plan.weight
        ):
            network = cast(nn.Sequential, self.network)
            return fused.network_sums(network, u, plan.offset, plan.weight, plan.graph)
        return self._by_pairs(u, plan)

    def _by_pairs(self, u: Tensor, plan: KernelPlan) -> Tensor:
        """The sum over all pairs, in pieces if they are many."""
        chunk = self.chunk or _pairs_at_once(self.network, u, u.numel())
        if plan.graph.n_edges <= chunk:
            edges = plan.graph.edge_index
            return self._sum(u, plan.offset, plan.weight, edges, plan.graph.n_targets)
        return self._sum_in_pieces(u, plan, chunk)

    def _sum_in_pieces(self, u: Tensor, plan: KernelPlan, chunk: int) -> Tensor:
        """Whole targets at a time, about `chunk` pairs."""
        ptr, n = plan.graph.ptr, plan.graph.n_targets
        starts = torch.arange(0, plan.graph.n_edges, chunk, device=ptr.device)
        cuts = torch.searchsorted(ptr, starts).clamp(max=n).tolist()
        cuts = sorted({0, *cuts, n})
        sizes = ptr[cuts].diff().tolist()
        parts = zip(
            plan.offset.split(sizes),
            plan.weight.split(sizes),
            plan.graph.edge_index.split(sizes, 1),
            pairwise(cuts),
            strict=True,
        )
        return torch.cat(
            [
                _made_again(self._sum, u, offset, weight, edges, last - first, first)
                for offset, weight, edges, (first, last) in parts
            ]
        )

    def _sum(
        self,
        u: Tensor,
        offset: Tensor,
        weight: Tensor,
        edges: Tensor,
        n_targets: int,
        first: int = 0,
    ) -> Tensor:
        """The sum over some pairs, whose targets are numbered from `first`."""
        values = u.index_select(0, edges[0])
        if self.form == "nonlinear":
            integrand = self.network(torch.cat([offset, values], 1))
        elif self.form == "diagonal":
            integrand = self.network(offset) * values
        else:
            kappa = self.network(offset).view(-1, *self.channels)
            integrand = torch.einsum("eio,ei->eo", kappa, values)
        weighted = weight[:, None] * integrand
        v = weighted.new_zeros(n_targets, weighted.shape[1])
        return v.index_add(0, edges[1] - first, weighted)
