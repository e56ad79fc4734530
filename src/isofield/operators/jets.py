"""Jets of a field: its value and its derivatives at points."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations_with_replacement, product

import torch
from torch import Tensor

from isofield.bases import Basis, ZernikeBasis
from isofield.charts import chart_dimension
from isofield.discretization import Discretization
from isofield.graph import Graph
from isofield.operators.basis_operator import BasisOperator, with_basis
from isofield.operators.patches import patches


def jets(
    source: Discretization,
    target: Discretization,
    radius: float | Tensor,
    order: int = 1,
    *,
    degree: int | None = None,
    frames: Tensor | None = None,
    edges: Graph | None = None,
) -> BasisOperator:
    """The derivatives up to an order, at each target, of the polynomial that fits best.

        p_i = argmin sum_j omega(u_ij) w_j (p(u_ij) - v_j)^2,   J_ia = d^a p_i(x_i)

    for |a| <= order, p of at most the degree, omega the window of a `ZernikeBasis`, w_j
    the weights of the source: `jets(...).apply(v)` takes (N, ...) to (M, J, ...), the
    value first, then the gradient, then second derivatives, as `multi_indices` lists
    them; in units of v over length^|a|. On a surface in the frames of the targets.

    source, target, radius, frames, edges : as for `basis_operator`, mode "fit", which
    see for targets with few neighbours. order : at least 0. degree : at least the
    order, the order where it is not given.

    Law: exact for polynomials up to the degree; the derivative a of a smooth field has
    the error O(r^(degree + 1 - |a|)). Splitting a node changes nothing.

    Raises `ValueError` for a degree below the order.
    """
    degree = order if degree is None else degree
    if order < 0 or degree < order:
        raise ValueError(
            f"expected an order >= 0 and a degree >= order, got {order} and {degree}"
        )
    m = chart_dimension(source)
    basis = ZernikeBasis(m, degree)
    found = patches(source, target, radius, frames=frames, edges=edges)
    fit = with_basis(found, basis, "fit", dtype=torch.float64)
    indices = multi_indices(m, order)
    reach = torch.as_tensor(radius, dtype=torch.float64, device=fit.values.device)
    length = reach ** indices.sum(1, keepdim=True).to(reach.device)
    values = fit.values @ (_at_centre(basis, indices).to(length) / length).T
    return replace(fit, values=values.to(source.points.dtype), mode="jets")


def multi_indices(dimension: int, order: int) -> Tensor:
    """(J, d) int64, all a with |a| <= order, J = binomial(order + d, d).

    By |a|, then so that axes rise: in the plane 1, x, y, xx, xy, yy.
    """
    rows = []
    for p in range(order + 1):
        for axes in combinations_with_replacement(range(dimension), p):
            rows.append([axes.count(i) for i in range(dimension)])
    return torch.tensor(rows, dtype=torch.int64).view(-1, dimension)


def order_of(size: int, dimension: int) -> int:
    """The order of jets with this many derivatives; `ValueError` where there is none.

    >>> order_of(6, 2)
    2
    """
    order = 0
    while math.comb(order + dimension, dimension) < size:
        order += 1
    if math.comb(order + dimension, dimension) != size:
        raise ValueError(
            f"expected jets (N, J, ...) with J = binomial(order + {dimension}, "
            f"{dimension}) derivatives, got J = {size}"
        )
    return order


def derivative(jet: Tensor, dimension: int, p: int) -> Tensor:
    """(M, J, ...) jets -> (M, ..., d, ..., d), all derivatives of the order p.

    p = 0 is the value, 1 the gradient (M, ..., d), 2 the Hessian (M, ..., d, d).
    Raises `ValueError` for jets of a lower order.
    """
    order = order_of(jet.shape[1], dimension)
    if p > order:
        raise ValueError(f"jets of order {order} have no derivatives of order {p}")
    place = {
        tuple(a): k for k, a in enumerate(multi_indices(dimension, order).tolist())
    }
    columns = [
        place[tuple(axes.count(i) for i in range(dimension))]
        for axes in product(range(dimension), repeat=p)
    ]
    found = jet[:, columns].movedim(1, -1)
    return found.reshape(*found.shape[:-1], *[dimension] * p)


def _at_centre(basis: Basis, indices: Tensor) -> Tensor:
    """(J, B) float64, the derivatives of the functions at u = 0."""
    centre, function, orders = (
        torch.zeros(basis.dimension).double(),
        basis.functions,
        [],
    )
    for _ in range(int(indices.sum(1).max()) + 1):
        orders.append(function(centre))
        function = torch.func.jacfwd(function)
    rows = []
    for a in indices.tolist():
        axes = [i for i, count in enumerate(a) for _ in range(count)]
        rows.append(orders[len(axes)][(..., *axes)])
    return torch.stack(rows)
