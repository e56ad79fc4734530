"""Attention between regional nodes, with kernel integrals to them and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.layers.attention import AttentionPlan, IntegralAttention
from isofield.layers.block import Block
from isofield.layers.ends import Ends, EndsPlan
from isofield.layers.kernel_integral import KernelIntegral, KernelPlan
from isofield.layers.norm import MeasureNorm
from isofield.layers.operator import Operator
from isofield.layers.pooling import PoolingPlan, lattice_pooling, pool
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class RegionalPlan(Plan):
    """ends : of the source and the target. levels : poolings of the fine points, for
    all radii but the first. nodes : the regional nodes with their measure. encode :
    from the fine points and each level to them. decode : from them to the target."""

    ends: EndsPlan
    levels: tuple[PoolingPlan, ...]
    nodes: AttentionPlan
    encode: tuple[KernelPlan, ...]
    decode: KernelPlan


class RegionalOperator(Operator):
    """Kernel integrals of several radii to regional nodes, attention there, and back.

        v_0 = sum_s E_s R_s R L u / sqrt(S) + M,
        v_(k+1) = v_k + P_k(N v_k, A_k N v_k),   output = P(A R L u, D N v_n, M)

    Regional nodes are a lattice pooling of spacing 2 H with the measure of the points
    they stand for, in every domain as dense as in any other. E_s are kernel integrals
    (`KernelIntegral`) over balls of radius 2^s 2 H, of averages R_s over a lattice of a
    quarter of the radius, so that each has as many pairs as the first; D is one over
    balls of 4 H, A_k attention in the measure (`IntegralAttention`), N the norm; L, R,
    A, M (the shape) and P are those of `Ends`. Every node sees every other at once,
    near or far, by features and not by distance alone.

    in_channels, out_channels : of the fields. dimension : d. measure_dimension : 2 for
    surfaces in space, d where it is not given. radius : 3 H, in the scaled coordinates,
    at least three spacings of the coarsest mesh. scales : S, radii of the E_s.
    heads : of attention, a divisor of the width. width : channels inside. blocks :
    their number. rank, hidden : of kernels.

    Cost O(K^2) for K nodes, about `|Omega| / (2 H)^m`, and O(N) for the others.
    Output at any target points; nothing of the size of a mesh is learned.
    Source: Mousavi et al., RIGNO, arXiv:2501.19205; Wen et al., Geometry aware operator
    transformer, arXiv:2505.18781; here in the measure, with nodes that converge where
    random ones do not.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        measure_dimension: int | None = None,
        radius: float = 0.18,
        scales: int = 2,
        heads: int = 4,
        width: int = 48,
        blocks: int = 4,
        rank: int = 8,
        hidden: int = 16,
    ) -> None:
        super().__init__()
        if scales < 1:
            raise ValueError(f"scales: expected at least 1 radius, got {scales}")
        self.spacing = 2 / 3 * radius
        m = measure_dimension

        def integral(reach: float) -> KernelIntegral:
            kernel = {"rank": rank, "hidden": hidden, "measure_dimension": m}
            return KernelIntegral(width, width, dimension, reach, **kernel)

        self.ends = Ends(in_channels, out_channels, dimension, radius, width, width, m)
        self.encode = nn.ModuleList(
            integral(2**s * self.spacing) for s in range(scales)
        )
        self.decode = integral(2 * self.spacing)
        self.blocks = nn.ModuleList(
            Block(width, _SelfAttention(width, dimension, heads)) for _ in range(blocks)
        )
        self.norm = MeasureNorm(width)

    def prepare(self, source: Discretization, target: Discretization) -> RegionalPlan:
        """Nodes and all neighbours of a geometry, in the precision of the points."""
        fine = self.ends.gather(source)
        nodes = lattice_pooling(fine.coarse, self.spacing).coarse
        levels, points, encode = [], fine.coarse, []
        for scale, integral in enumerate(self.encode):
            if scale:
                levels.append(lattice_pooling(points, 2**scale * self.spacing / 4))
                points = levels[-1].coarse
            encode.append(integral.prepare(points, nodes))  # type: ignore[operator]
        return RegionalPlan(
            self.ends.prepare(fine, nodes, target),
            tuple(levels),
            AttentionPlan(nodes, nodes),
            tuple(encode),
            self.decode.prepare(nodes, target),
        )

    def forward(self, u: Tensor, plan: RegionalPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        w = self.ends.lift(u, plan.ends)
        seen = [w]
        for level in plan.levels:
            seen.append(pool(seen[-1], level))
        encoded = [
            integral(field, pairs)
            for integral, field, pairs in zip(
                self.encode, seen, plan.encode, strict=True
            )
        ]
        v = torch.stack(encoded).sum(0) / len(encoded) ** 0.5
        v = v + self.ends.shape(plan.ends)
        for block in self.blocks:
            v = block(v, plan.nodes.source, plan.nodes)
        v = self.norm(v, plan.nodes.source)
        return self.ends.output(w, [self.decode(v, plan.decode)], plan.ends)


class _SelfAttention(nn.Module):
    """Attention of a field to itself; positions are seen too."""

    def __init__(self, width: int, dimension: int, heads: int) -> None:
        super().__init__()
        self.attention = IntegralAttention(
            width, width, dimension, heads=heads, width=width, query_channels=width
        )

    def forward(self, v: Tensor, plan: AttentionPlan) -> Tensor:
        return self.attention(v, plan, v)
