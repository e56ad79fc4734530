"""Hermite splines: values and derivatives at the nodes of a grid."""

from __future__ import annotations

import math
from itertools import product as combinations

import torch
from torch import Tensor

from isofield.bases.basis import Basis, check_at_least
from isofield.bases.spline import interval, product


class HermiteBasis(Basis):
    """Functions with one derivative 1 at one node of a grid, all others 0.

        phi_(p,a)(u) = prod_i h_(l,a_i)((u_i - p_i) / s),   a in {0..l}^d
        h_(l,a)(x) = sgn(x)^a |x|^a / a! (1 - |x|)^(l+1) sum_(k<=l-a) C(l+k, k) |x|^k

    for |x| <= 1, with the nodes p on a grid of spacing s on [-1, 1]^d. Law:
    `d^b h_(l,a)(0) = delta_ab` for b <= l, and 0 at x = ±1: of class C^l, a piecewise
    polynomial of degree 2l + 1. The coefficient of a polynomial is `s^|a|` times its
    derivative a at the node.

    dimension : d, at least 1. order : l, at least 0. nodes : per axis; at least 2 span
    [-1, 1]^d and all polynomials of degree 2l + 1, 1 is a single node at 0 with s = 1,
    whose functions span none. alpha : of the window.

    spacing : s. size : B = (nodes (l + 1))^d, an axis by its nodes, each by its
    derivatives, the last axis fastest. node, derivative : (B, d) int64, p and a.

    Source: N. Wandel et al., Spline-PINN, arXiv:2109.07143, there with other factors
    and without the closed form.
    """

    def __init__(
        self, dimension: int, order: int = 1, nodes: int = 2, alpha: float = 2.0
    ) -> None:
        check_at_least("dimension", dimension, 1)
        check_at_least("order", order, 0)
        check_at_least("nodes", nodes, 1)
        size = (nodes * (order + 1)) ** dimension
        super().__init__(dimension, size, alpha, 2 * order + 1 if nodes > 1 else None)
        self.order = order
        self.nodes = nodes
        self.spacing = 2 / (nodes - 1) if nodes > 1 else 1.0
        each = torch.tensor(
            list(combinations(range(nodes * (order + 1)), repeat=dimension))
        )
        self.node = each // (order + 1)
        self.derivative = each % (order + 1)

    def functions(self, u: Tensor) -> Tensor:
        """(..., d) -> (..., B); beyond [-1, 1]^d the last polynomials go on."""
        return product([self._along(x) for x in u.unbind(-1)])

    def _along(self, x: Tensor) -> Tensor:
        """(...) -> (..., nodes (l + 1)), from the two nodes of the interval of x."""
        jets = self.order + 1
        # a single node lies between two others, whose functions are left out
        nodes = self.nodes if self.nodes > 1 else 3
        first, t = interval(x, nodes - 1)
        sign = (-1) ** torch.arange(jets, device=x.device)
        left, right = hermite(t, self.order), sign * hermite(1 - t, self.order)
        index = first[..., None] * jets + torch.arange(2 * jets, device=x.device)
        nothing = t.new_zeros(*t.shape, nodes * jets)
        values = nothing.scatter_add(-1, index, torch.cat([left, right], -1))
        return values if self.nodes > 1 else values[..., jets : 2 * jets]


def hermite(t: Tensor, order: int) -> Tensor:
    """(...) -> (..., l + 1), the functions h_(l,a) at t in [0, 1]."""
    end, partial, sums = (1 - t) ** (order + 1), torch.zeros_like(t), []
    for k in range(order + 1):
        partial = partial + math.comb(order + k, k) * t**k
        sums.append(partial)
    values = [t**a / math.factorial(a) * sums[order - a] for a in range(order + 1)]
    return torch.stack(values, -1) * end[..., None]
