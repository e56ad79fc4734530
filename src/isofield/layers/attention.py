"""Attention as a ratio of integrals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, softplus
from torch.utils.checkpoint import checkpoint

from isofield.bases.learned import varied_network
from isofield.discretization import Discretization
from isofield.layers.operator import Operator
from isofield.plan import Plan

Form = Literal["softmax", "linear"]


@dataclass(frozen=True, eq=False)
class AttentionPlan(Plan):
    """source : N points and their measure. target : M points, whose measure does not
    matter."""

    source: Discretization
    target: Discretization


class IntegralAttention(Operator):
    """`v(x) = O int a(x, y) V u(y) dmu(y) / int a(x, y) dmu(y)`, of several heads.

    With queries q(x) and keys k(y) in R^D, D = width / heads,

    - `"softmax"`: `a = exp(q.k / sqrt(D))`; cost N M width.
    - `"linear"`: `a = phi(q).phi(k)`, phi(t) = log(1 + e^t) > 0 in every component; the
      two integrals of `phi(k)` and `phi(k) (V u)^T` serve all targets: cost
      (N + M) width D.

    Both integrals carry the weights of the source points: a mean in the measure, with
    weights of its own for every target. Softmax attention on bare tokens is the case of
    equal weights. Every target sees its whole sample and no other one.

    Queries and keys are networks of the position, so that any point can be a target,
    plus linear maps of features: of u for keys, of `queries` for queries. In
    self-attention the source is the target and u the queries.

    in_channels, out_channels : C_in, C_out. dimension : d; None where positions shall
    not matter, so that motions of the body change nothing. form : of a. heads : their
    number. width : of all heads together. query_channels : C_q, features that are known
    at the targets. chunk : pairs of points, counted for each head, that are held at one
    time; with more, targets come block by block and are evaluated again in the backward
    pass, so that memory grows with N + M.

    Error O(h^2) from lumped weights. Softmax of at most `chunk` pairs is differentiable
    as often as torch's kernels are: once.
    Raises `ValueError` for another form, a width that heads do not divide, and where
    there is neither a dimension nor a query channel to ask with.
    Source: Vaswani et al., arXiv:1706.03762; the linear form Katharopoulos et al.,
    arXiv:2006.16236, and Cao, arXiv:2105.14995; as an integral Kovachki et al.,
    arXiv:2108.08481, here with the quadrature weights of any mesh.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int | None,
        *,
        form: Form = "softmax",
        heads: int = 4,
        width: int = 32,
        query_channels: int = 0,
        chunk: int = 1 << 24,
    ) -> None:
        super().__init__()
        if form not in ("softmax", "linear"):
            raise ValueError(f"form: expected 'softmax' or 'linear', got {form!r}")
        check_heads(heads, width)
        if dimension is None and not query_channels:
            raise ValueError(
                "targets have nothing to ask with: give the dimension of positions, or "
                "query_channels for features at the targets"
            )
        self.form: Form = form
        self.heads = heads
        self.chunk = chunk
        self.channels = (in_channels, query_channels)
        self.value = nn.Linear(in_channels, width)
        self.key = nn.Linear(in_channels, width)
        self.query = nn.Linear(query_channels, width) if query_channels else None
        placed = dimension is not None
        self.key_place = varied_network(dimension, width, width) if placed else None
        self.query_place = varied_network(dimension, width, width) if placed else None
        self.project = nn.Linear(width, out_channels)

    def prepare(self, source: Discretization, target: Discretization) -> AttentionPlan:
        """The points and their measure: there is nothing else to prepare.

        Raises `ValueError` where samples do not match or one has no source point.
        """
        n, m = source.ptr.diff(), target.ptr.diff()
        if len(n) != len(m):
            raise ValueError(
                "source and target: expected as many samples in both, got "
                f"{len(n)} and {len(m)}"
            )
        nothing = (n == 0).nonzero()
        if len(nothing):
            raise ValueError(f"sample {int(nothing[0])} has no source point to see")
        return AttentionPlan(source, target)

    def forward(
        self, u: Tensor, plan: AttentionPlan, queries: Tensor | None = None
    ) -> Tensor:
        """(N, C_in) at the source, queries (M, C_q) at the target -> (M, C_out).

        Integrals are in the precision of the weights, under autocast too.
        """
        source, target = plan.source, plan.target
        self._check(u, source, queries, target)
        key = _asked(self.key, u, self.key_place, source)
        query = _asked(self.query, queries, self.query_place, target)
        value = self.value(u)
        n, m = source.ptr.diff().tolist(), target.ptr.diff().tolist()
        with torch.autocast(u.device.type, enabled=False):
            q, k, v = (
                t.to(source.weights).unflatten(1, (self.heads, -1)).split(counts)
                for t, counts in ((query, m), (key, n), (value, n))
            )
            samples = zip(q, k, v, source.weights.split(n), strict=True)
            attended = torch.cat([self._attended(*sample) for sample in samples])
        return self.project(attended.flatten(1).to(u.dtype))

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, weights: Tensor) -> Tensor:
        if self.form == "linear":
            return linear_attention(q, k, v, weights)
        return softmax_attention(q, k, v, weights, self.chunk)

    def _check(
        self,
        u: Tensor,
        source: Discretization,
        queries: Tensor | None,
        target: Discretization,
    ) -> None:
        in_channels, query_channels = self.channels
        if u.shape != (len(source), in_channels):
            raise ValueError(
                f"u: expected {(len(source), in_channels)}, got {tuple(u.shape)}"
            )
        expected = (len(target), query_channels) if query_channels else None
        found = None if queries is None else tuple(queries.shape)
        if found != expected:
            raise ValueError(
                f"queries: expected {expected} as query_channels = {query_channels} "
                f"says, got {found}; in self-attention the queries are u"
            )


def check_heads(heads: int, width: int) -> None:
    """Raises `ValueError` unless the heads divide the width."""
    if heads < 1 or width < 1 or width % heads:
        raise ValueError(f"heads: expected a divisor of the width {width}, got {heads}")


def softmax_attention(
    q: Tensor, k: Tensor, v: Tensor, weights: Tensor, chunk: int = 1 << 24
) -> Tensor:
    """`sum_j w_j e^{q_i.k_j / sqrt(D)} v_j / sum_j w_j e^{q_i.k_j / sqrt(D)}` by heads.

    q (M, H, D), k and v (N, H, D), weights (N,) -> (M, H, D). The weights are a bias
    `log w_j` of the exponents. chunk : pairs, for each head, that are held at one time.
    """
    q, k, v = (t.transpose(0, 1)[None] for t in (q, k, v))
    bias = (weights / weights.max()).log()[None]
    rows = max(1, chunk // (k.shape[1] * k.shape[2]))
    if q.shape[2] <= rows:
        attended = scaled_dot_product_attention(q, k, v, attn_mask=bias)
    else:
        attended = torch.cat(
            [
                checkpoint(_biased, part, k, v, bias, use_reentrant=False)
                for part in q.split(rows, 2)
            ],
            2,
        )
    return attended[0].transpose(0, 1)


def linear_attention(q: Tensor, k: Tensor, v: Tensor, weights: Tensor) -> Tensor:
    """`phi(q_i).(sum_j w_j phi(k_j) v_j^T) / phi(q_i).(sum_j w_j phi(k_j))` by heads.

    q (M, H, D), k and v (N, H, D), weights (N,) -> (M, H, D); phi is `softplus`.
    """
    q, k, v = (t.transpose(0, 1) for t in (softplus(q), softplus(k), v))
    weighted = k * (weights / weights.sum())[:, None]
    values = q @ (weighted.transpose(1, 2) @ v)
    mass = q @ weighted.sum(1)[:, :, None]
    return (values / mass).transpose(0, 1)


def _biased(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    return scaled_dot_product_attention(q, k, v, attn_mask=bias)


def _asked(
    features: nn.Module | None,
    u: Tensor | None,
    places: nn.Module | None,
    at: Discretization,
) -> Tensor:
    """Queries or keys: what features and positions give, added."""
    parts = []
    if features is not None:
        parts.append(features(u))
    if places is not None:
        parts.append(places(at.points.to(next(places.parameters()).dtype)))
    return sum(parts[1:], parts[0])
