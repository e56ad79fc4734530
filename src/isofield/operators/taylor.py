"""A smooth field from jets at nodes: Taylor polynomials and a partition of unity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Literal

import torch
from torch import Tensor

from isofield.charts import local_coordinates
from isofield.discretization import Discretization
from isofield.graph import Graph, knn_graph
from isofield.operators.basis_product import basis_product
from isofield.operators.jets import multi_indices, order_of
from isofield.operators.product import sparse_product
from isofield.operators.sparse import TransferError
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class Taylor(Plan):
    """From jets at N nodes to the values and derivatives of one field at M points.

    Built by `taylor`, which see for the formula. graph : from the nodes to the points
    within their reach. offset : (E, d), x_i - x_j. partition : (E, P), psi_j and its
    derivatives at x_i, as `multi_indices` lists them. missing : (M,) bool, points that
    get NaN.
    """

    graph: Graph
    offset: Tensor
    partition: Tensor
    missing: Tensor

    def __call__(self, jet: Tensor) -> Tensor:
        """(N, J, ...) jets of any order -> (M, ...), the values of the field."""
        return self._at(jet, 1)[0]

    def derivatives(self, jet: Tensor) -> Tensor:
        """(N, J, ...) -> (M, P, ...), the jets of the field at the points.

        Of the order that the operator was built for; not the Taylor polynomials'
        derivatives, but those of the whole, by the product rule. `derivative` makes
        gradients and Hessians of them.
        """
        return torch.stack(self._at(jet, self.partition.shape[1]), 1)

    def _at(self, jet: Tensor, count: int) -> list[Tensor]:
        """The first derivatives of the field, each (M, ...)."""
        d, n = self.offset.shape[1], self.graph.n_sources
        if jet.ndim < 2 or len(jet) != n:
            raise ValueError(
                f"expected jets (N, J, ...) at N = {n} nodes, got {tuple(jet.shape)}"
            )
        order = order_of(jet.shape[1], d)
        flat = jet.to(self.partition.dtype).reshape(n, jet.shape[1], -1)
        indices = [tuple(a) for a in multi_indices(d, order).tolist()]
        monomials = {a: _monomial(self.offset, a) for a in indices}
        found = []
        for b in multi_indices(d, order_of(self.partition.shape[1], d)).tolist()[
            :count
        ]:
            total = flat.new_zeros(self.graph.n_targets, flat.shape[2])
            for k, a in enumerate(indices):
                values = self._product_rule(a, tuple(b), monomials)
                if values is not None:
                    total = total + _product(flat[:, k], values, self.graph)
            total = torch.where(self.missing[:, None], torch.nan, total)
            found.append(total.reshape(-1, *jet.shape[2:]))
        return found

    def _product_rule(
        self, a: tuple[int, ...], b: tuple[int, ...], monomials: dict
    ) -> Tensor | None:
        """(E,) the derivative b of `psi (x - x_j)^a / a!`; None where it vanishes."""
        total = None
        for place, c in enumerate(multi_indices(len(b), sum(b)).tolist()):
            rest = tuple(i + j - k for i, j, k in zip(a, c, b, strict=True))
            ways = math.prod(map(math.comb, b, c))
            if ways and min(rest) >= 0:
                part = ways * self.partition[:, place] * monomials[rest]
                total = part if total is None else total + part
        return total


def taylor(
    nodes: Discretization,
    points: Discretization | Tensor,
    radius: float,
    *,
    derivatives: int = 0,
    smoothness: int = 2,
    frames: Tensor | None = None,
    outside: Literal["error", "nan"] = "error",
) -> Taylor:
    """Evaluates, at any points, the smooth field that jets at nodes describe.

        u(x) = sum_j psi_j(x) sum_(|a|<=l) J_ja (x - x_j)^a / a!
        psi_j = w_j omega(|x - x_j| / r) / sum_k w_k omega(|x - x_k| / r)
        omega(s) = (1 - s^2)^(smoothness + 1)  for s < 1,  0 beyond

    w_j the weights of the nodes, l the order of the jets that are given. The field is
    as often continuously differentiable as `smoothness` says, wherever a node is within
    reach, and has no more support than that.

    Law: keeps polynomials of degree l to rounding, with their derivatives; from exact
    jets of a smooth field the error is O(r^(l + 1)), that of derivatives one order
    less each. Splitting a node changes nothing.

    nodes : N points with their measure. points : (M, d), or packed as the nodes are;
    with normals on a surface, where x - x_j is the logarithm in the chart of the node.
    radius : r, length; every point must lie nearer than r to a node. derivatives : of
    the field, that `Taylor.derivatives` gives: 0, 1 or 2, at most the smoothness; on
    surfaces 0. frames : of the nodes on a surface, those of their jets. outside : for
    points without a node within reach: an error, or NaN.

    In float64 and kept in the precision of the nodes; differentiable in points, nodes
    and weights any number of times.

    Raises `TransferError` for points without a node within reach, with their count and
    the smallest radius, and `ValueError` for derivatives that the field does not have.

    Source: I. Babuška and J. M. Melenk, The partition of unity method, 1997,
    doi:10.1002/(SICI)1097-0207(19970228)40:4<727::AID-NME86>3.0.CO;2-N.
    """
    _check(nodes, derivatives, smoothness, outside)
    dtype = nodes.points.dtype
    nodes = nodes.to(torch.float64)
    if isinstance(points, Tensor):
        ones = torch.ones_like(points[:, 0]).detach()
        points = Discretization(points, ones)
    at = points.to(torch.float64)
    chart = local_coordinates(at, nodes, radius, frames=frames)
    graph = chart.graph.reversed()
    u = chart.coordinates.index_select(0, chart.graph.by_source.order)
    bumps = _bumps(u, smoothness + 1, derivatives)
    bumps = [nodes.weights[graph.source] * bump for bump in bumps]
    missing = _sum(bumps[0], graph) == 0
    if outside == "error" and bool(missing.any()):
        _raise_for(nodes, at, missing, radius)
    parts = _partition(bumps, graph, u.shape[1])
    scale = multi_indices(u.shape[1], derivatives).sum(1).to(u.device)
    partition = torch.stack(parts, 1) * radius ** -scale.to(u)
    return Taylor(graph, radius * u, partition, missing).to(dtype)


def _bumps(u: Tensor, power: int, derivatives: int) -> list[Tensor]:
    """(E,) omega = (1 - |u|^2)^power and its derivatives in u, by `multi_indices`."""
    # a pair at the radius is a pair: rounding may put it a little beyond
    rest = (1 - u.square().sum(1)).clamp(min=0)
    found = [rest**power]
    axes = range(u.shape[1])
    if derivatives > 0:
        slope = -2 * power * rest ** (power - 1)
        found += [slope * u[:, i] for i in axes]
    if derivatives > 1:
        bend = 4 * power * (power - 1) * rest ** (power - 2)
        for i, k in combinations_with_replacement(axes, 2):
            second = bend * u[:, i] * u[:, k]
            found.append(second + slope if i == k else second)
    return found


def _partition(bumps: list[Tensor], graph: Graph, dimension: int) -> list[Tensor]:
    """psi and its derivatives: the product rule in `psi sum_k omega_k = omega`."""
    sums = [_sum(bump, graph)[graph.target] for bump in bumps]
    whole = torch.where(sums[0] > 0, sums[0], 1.0)
    parts = [bumps[0] / whole]
    for i in range(1, min(len(bumps), dimension + 1)):
        parts.append((bumps[i] - parts[0] * sums[i]) / whole)
    pairs = combinations_with_replacement(range(1, dimension + 1), 2)
    for (i, k), bump, total in zip(
        pairs, bumps[dimension + 1 :], sums[dimension + 1 :], strict=False
    ):
        crossed = parts[i] * sums[k] + parts[k] * sums[i]
        parts.append((bump - parts[0] * total - crossed) / whole)
    return parts


def _sum(values: Tensor, graph: Graph) -> Tensor:
    """(E,) at the pairs -> (M,) at the targets."""
    return values.new_zeros(graph.n_targets).index_add(0, graph.target, values)


def _monomial(offset: Tensor, a: tuple[int, ...]) -> Tensor:
    """(E,) `x^a / a!`."""
    value = torch.ones_like(offset[:, 0])
    for axis, power in enumerate(a):
        for k in range(1, power + 1):
            value = value * offset[:, axis] / k
    return value


def _product(u: Tensor, values: Tensor, graph: Graph) -> Tensor:
    """`sum_j a_ij u_j`, differentiable in what asks for it."""
    if values.requires_grad:
        one = torch.eye(u.shape[1]).to(u)[None]
        return basis_product(u, values[:, None], one, graph)
    return sparse_product(u.contiguous(), values, graph)


def _check(
    nodes: Discretization, derivatives: int, smoothness: int, outside: str
) -> None:
    most = 0 if nodes.normals is not None else min(2, smoothness)
    if smoothness < 0 or not 0 <= derivatives <= most:
        where = "on a surface" if nodes.normals is not None else "of such a field"
        raise ValueError(
            f"derivatives: expected 0 to {max(most, 0)} {where} with smoothness >= 0, "
            f"got {derivatives} and smoothness {smoothness}"
        )
    if outside not in ("error", "nan"):
        raise ValueError(f"outside: expected 'error' or 'nan', got {outside!r}")


def _raise_for(
    nodes: Discretization, points: Discretization, missing: Tensor, radius: float
) -> None:
    nearest = knn_graph(nodes, points, 1)
    gap = (nodes.points[nearest.source] - points.points).norm(dim=1)[missing].max()
    raise TransferError(
        f"{int(missing.sum())} of {len(missing)} points have no node within the radius "
        f"{radius:.6g}, the furthest is {float(gap):.6g} from its nearest node: take a "
        "radius above that, or outside='nan'"
    )
