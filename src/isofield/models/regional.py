"""Attention between regional nodes, with kernel integrals to them and back."""

from __future__ import annotations

from collections.abc import Iterable
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
from isofield.layers.pooling import lattice_pooling
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class RegionalPlan(Plan):
    """ends : of the source and the target. nodes : the regional nodes with their
    measure. encode : from the fine points to them, for each radius. decode : from them
    to the target."""

    ends: EndsPlan
    nodes: AttentionPlan
    encode: tuple[KernelPlan, ...]
    decode: tuple[KernelPlan, ...]


class RegionalOperator(Operator):
    """Kernel integrals of several radii to regional nodes, attention there, and back.

        v_0 = sum_s E_s R L u / sqrt(S) + M,   v_(k+1) = v_k + P_k(N v_k, A_k N v_k),
        output = P(A R L u, D_1 N v_n, ..., D_S N v_n, M)

    Regional nodes are a lattice pooling of spacing 2 H with the measure of the points
    they stand for, in every domain as dense as in any other. E_s and D_s are kernel
    integrals (`KernelIntegral`) over balls of radius 2^s times 2 H and 4 H, A_k
    attention in the measure (`IntegralAttention`), N the norm; L, R, A, M (the shape)
    and P are those of `Ends`. Every node sees every other at once, near or far, by
    features and not by distance alone.

    in_channels, out_channels : of the fields. dimension : d. measure_dimension : 2 for
    surfaces in space, d where it is not given. radius : 3 H, in the scaled coordinates,
    at least three spacings of the coarsest mesh. scales : S, radii of the integrals.
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
        m, narrow = measure_dimension, width // scales
        kernel = {"rank": rank, "hidden": hidden, "measure_dimension": m}

        def integrals(channels: int, reach: float) -> nn.ModuleList:
            return nn.ModuleList(
                KernelIntegral(width, channels, dimension, 2**s * reach, **kernel)
                for s in range(scales)
            )

        decoded = narrow * scales
        self.ends = Ends(
            in_channels, out_channels, dimension, radius, width, decoded, m
        )
        self.encode = integrals(width, self.spacing)
        self.decode = integrals(narrow, 2 * self.spacing)
        self.blocks = nn.ModuleList(
            Block(width, _SelfAttention(width, dimension, heads)) for _ in range(blocks)
        )
        self.norm = MeasureNorm(width)

    def prepare(self, source: Discretization, target: Discretization) -> RegionalPlan:
        """Nodes and all neighbours of a geometry, in the precision of the points."""
        fine = self.ends.gather(source)
        nodes = lattice_pooling(fine.coarse, self.spacing).coarse
        return RegionalPlan(
            self.ends.prepare(fine, nodes, target),
            AttentionPlan(nodes, nodes),
            tuple(e.prepare(fine.coarse, nodes) for e in _kernels(self.encode)),
            tuple(d.prepare(nodes, target) for d in _kernels(self.decode)),
        )

    def forward(self, u: Tensor, plan: RegionalPlan) -> Tensor:
        """(N, C_in) at the source points -> (M, C_out) at the target points."""
        w = self.ends.lift(u, plan.ends)
        encoded = torch.stack(_applied(self.encode, w, plan.encode)).sum(0)
        v = encoded / len(self.encode) ** 0.5 + self.ends.shape(plan.ends)
        for block in self.blocks:
            v = block(v, plan.nodes.source, plan.nodes)
        v = self.norm(v, plan.nodes.source)
        return self.ends.output(w, _applied(self.decode, v, plan.decode), plan.ends)


class _SelfAttention(nn.Module):
    """Attention of a field to itself; positions are seen too."""

    def __init__(self, width: int, dimension: int, heads: int) -> None:
        super().__init__()
        self.attention = IntegralAttention(
            width, width, dimension, heads=heads, width=width, query_channels=width
        )

    def forward(self, v: Tensor, plan: AttentionPlan) -> Tensor:
        return self.attention(v, plan, v)


def _kernels(layers: nn.ModuleList) -> Iterable[KernelIntegral]:
    return (layer for layer in layers if isinstance(layer, KernelIntegral))


def _applied(
    layers: nn.ModuleList, u: Tensor, plans: tuple[KernelPlan, ...]
) -> list[Tensor]:
    """What every layer makes of one field."""
    return [layer(u, plan) for layer, plan in zip(layers, plans, strict=True)]
